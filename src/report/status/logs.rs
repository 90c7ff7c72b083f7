//! Members without an outcome: what the scheduler's logs say about their end.
//!
//! Each attempt of an array element begins its log with `iteration 3 members 5-8 on n1` (`ekp-run-member`);
//! the scheduler adds why it ended one. Only what stands after the last such line counts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Serialize;

use crate::files::{Iteration, Member, Members};
use crate::report::runs::typed;
use crate::report::status::View;
use crate::steps::Run;

/// Of a log that a chatty model filled only the end is read, bytes.
const TAIL: u64 = 64 << 10;

/// What a line in a log means: cause, its signs, what to do.
const SIGNS: [(&str, &[&str], &str); 4] = [
    (
        "time limit",
        &["DUE TO TIME LIMIT"],
        "submitting again gives them more time (`[slurm.retry]`); or set a longer `time` in `[slurm.member]` of site.toml",
    ),
    (
        "out of memory",
        &["exceeded memory limit", "oom-kill", "oom_kill", "Out Of Memory", "OUT_OF_MEMORY"],
        "submitting again gives them more memory (`[slurm.retry]`); or set more `mem` in `[slurm.member]` of site.toml",
    ),
    (
        "node failure",
        &["DUE TO NODE FAILURE", "NODE_FAIL"],
        "the node was lost; submitting again runs them elsewhere",
    ),
    ("cancelled", &["CANCELLED AT", "DUE TO PREEMPTION", "DUE to SIGNAL"], "submitting again goes on"),
];

/// Members that were lost in the same way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lost {
    /// `time limit`, `out of memory`, `node failure`, `cancelled`
    pub cause: String,
    /// Where
    pub host: String,
    /// Which: `3,7-9`
    pub members: String,
    /// The line that says so
    pub line: String,
    /// The log of the first of them
    pub log: String,
    /// What to do
    pub advice: &'static str,
}

/// Place in [`SIGNS`], host, line.
type Verdict = (usize, String, String);

/// Classify the missing members of an iteration by the logs of their array elements.
pub(super) fn lost(run: &Run, view: &View, iteration: Iteration, missing: &[Member]) -> Vec<Lost> {
    let mut groups: BTreeMap<(usize, String), (Vec<Member>, String, String)> = BTreeMap::new();
    let logs = elements(&run.dir.logs(iteration));
    if logs.is_empty() {
        return Vec::new();
    }
    let mut last: Option<(u32, Option<Verdict>)> = None;
    for &member in missing {
        let element = (member - 1) / view.per_element.max(1) + 1;
        let Some(name) = logs.get(&element) else { continue };
        if last.as_ref().is_none_or(|(e, _)| *e != element) {
            last = Some((element, tail(&run.dir.logs(iteration).join(name)).and_then(|text| verdict(&text))));
        }
        let Some((_, Some((sign, host, line)))) = &last else { continue };
        let log = format!("logs/{}/{name}", run.dir.logs_name(iteration));
        let group = groups
            .entry((*sign, host.clone()))
            .or_insert_with(|| (Vec::new(), line.clone(), typed(&view.named, &log)));
        group.0.push(member);
    }
    groups
        .into_iter()
        .map(|((sign, host), (members, line, log))| Lost {
            cause: SIGNS[sign].0.into(),
            host,
            members: Members::new(members).to_string(),
            line,
            log,
            advice: SIGNS[sign].2,
        })
        .collect()
}

/// Logs of array elements by element: `7.out`, and `1000+7.out` where arrays have an offset.
fn elements(folder: &Path) -> BTreeMap<u32, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let stem = name.strip_suffix(".out")?;
            let (offset, index) = stem.split_once('+').unwrap_or(("0", stem));
            Some((offset.parse::<u32>().ok()?.checked_add(index.parse().ok()?)?, name))
        })
        .collect()
}

fn tail(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Which sign the last attempt ended with, on which host, in which line.
fn verdict(text: &str) -> Option<Verdict> {
    let lines: Vec<&str> = text.lines().collect();
    let starts =
        |line: &&str| line.starts_with("iteration ") && line.contains(" members ") && line.contains(" on ");
    let start = lines.iter().rposition(starts);
    let host = start.and_then(|at| lines[at].rsplit_once(" on ")).map_or("", |(_, host)| host);
    // The scheduler's own words are among the last; a job step names its end before the job does.
    lines[start.map_or(0, |at| at + 1)..].iter().rev().find_map(|line| {
        let sign = SIGNS.iter().position(|(_, signs, _)| signs.iter().any(|s| line.contains(s)))?;
        Some((sign, host.to_owned(), line.trim().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_attempt_in_a_log_counts() {
        let first = "iteration 3 members 5-8 on n1\nslurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-20T11:00:00 DUE TO TIME LIMIT ***\n";
        let (sign, host, line) = verdict(first).unwrap();
        assert_eq!((SIGNS[sign].0, host.as_str()), ("time limit", "n1"));
        assert!(line.ends_with("DUE TO TIME LIMIT ***"));
        // It was restarted, and is at it again
        assert_eq!(verdict(&format!("{first}iteration 3 members 5-8 on n2\n")), None);
        let memory = "iteration 3 members 5 on n2\nslurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch\n";
        assert_eq!(verdict(memory).map(|(s, ..)| SIGNS[s].0), Some("out of memory"));
        assert_eq!(verdict("members talk about oom"), None);
    }
}
