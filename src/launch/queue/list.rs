//! What `squeue` says, read tolerantly: a line that makes no sense is left out, an unknown state kept as text.

use std::path::PathBuf;

use super::JobId;

/// Between fields stands a sign that no path or comment holds.
const SEPARATOR: char = '\u{1f}';

const FIELDS: [&str; 12] = ["%i", "%F", "%A", "%T", "%r", "%E", "%S", "%V", "%N", "%j", "%k", "%Z"];

/// What `squeue --format` is asked for: the fields that [`parse`] reads, in its order.
pub(super) fn format() -> String {
    FIELDS.join(&SEPARATOR.to_string())
}

/// What a job is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Waiting
    Pending,
    /// Running or starting
    Running,
    /// Over, but not yet cleared away
    Ending,
    /// Suspended or stopped
    Suspended,
    /// Anything else, in Slurm's word
    Other(String),
}

/// One job, one running element of an array, or all waiting elements of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Number; of an array the number of the whole
    pub id: JobId,
    /// Number of its own; of a running array element not that of the array
    pub own: JobId,
    /// As squeue names it: `12`, `12_3`, `12_[4-8%3]`
    pub shown: String,
    /// Elements that this line stands for
    pub elements: u32,
    /// What it is doing
    pub state: State,
    /// Why it waits, in Slurm's word
    pub reason: String,
    /// What it waits for
    pub dependency: String,
    /// When it started, or is expected to (the site's local time)
    pub start: String,
    /// When it was submitted (the site's local time)
    pub submitted: String,
    /// Where it runs
    pub nodes: String,
    /// Job name
    pub name: String,
    /// Comment
    pub comment: String,
    /// Folder it runs in
    pub folder: PathBuf,
}

/// The jobs in the output of `squeue`; lines that are no jobs are left out.
pub(super) fn parse(text: &str) -> Vec<Listed> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Listed> {
    let fields: Vec<&str> = line.split(SEPARATOR).collect();
    let [shown, id, own, state, reason, dependency, start, submitted, nodes, name, comment, folder] =
        fields.try_into().ok()?;
    let known = |text: &str| if matches!(text, "(null)" | "N/A") { String::new() } else { text.to_owned() };
    Some(Listed {
        id: id.trim().parse().ok()?,
        own: own.trim().parse().ok()?,
        shown: shown.to_owned(),
        elements: elements(shown),
        state: match state {
            "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "SPECIAL_EXIT" => State::Pending,
            "RUNNING" | "CONFIGURING" | "SIGNALING" => State::Running,
            "COMPLETING" | "STAGE_OUT" | "CANCELLED" | "COMPLETED" | "FAILED" | "TIMEOUT" | "NODE_FAIL"
            | "OUT_OF_MEMORY" | "PREEMPTED" | "BOOT_FAIL" | "DEADLINE" => State::Ending,
            "SUSPENDED" | "STOPPED" | "RESIZING" => State::Suspended,
            other => State::Other(other.to_owned()),
        },
        reason: reason.to_owned(),
        dependency: known(dependency),
        start: known(start),
        submitted: known(submitted),
        nodes: known(nodes),
        name: known(name),
        comment: known(comment),
        folder: PathBuf::from(folder),
    })
}

/// How many elements `12_[1-3,7%2]` stands for; long lists are cut by squeue, then it is at least so many.
fn elements(shown: &str) -> u32 {
    let Some((_, list)) = shown.split_once("_[") else { return 1 };
    let list = list.trim_end_matches(']').split('%').next().unwrap_or_default();
    let count = |part: &str| match part.split_once('-') {
        Some((first, last)) => {
            let (last, step) = last.split_once(':').unwrap_or((last, "1"));
            let (first, last, step): (u32, u32, u32) =
                (first.parse().ok()?, last.parse().ok()?, step.parse().ok()?);
            Some(last.checked_sub(first)? / step.max(1) + 1)
        }
        None => part.parse::<u32>().ok().map(|_| 1),
    };
    list.split(',').filter_map(count).fold(0, u32::saturating_add).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(fields: [&str; 12]) -> String {
        fields.join(&SEPARATOR.to_string())
    }

    #[test]
    fn a_waiting_array_is_one_line_of_many_elements() {
        let lines = [
            text([
                "12_[3-30%2]",
                "12",
                "12",
                "PENDING",
                "JobArrayTaskLimit",
                "(null)",
                "N/A",
                "2026-11-20T11:01:31",
                "",
                "s.it000.members",
                "ekp:a:0001 b|c",
                "/tmp/q x|y'z",
            ]),
            text(["12_1", "12", "13", "RUNNING", "None", "(null)", "t", "t", "n1", "s", "(null)", "/a"]),
        ];
        let listed = parse(&lines.join("\n"));
        assert_eq!(listed.len(), 2);
        assert_eq!((listed[0].id, listed[0].elements), (12, 28));
        assert_eq!(listed[0].state, State::Pending);
        assert_eq!(listed[0].comment, "ekp:a:0001 b|c");
        assert_eq!(listed[0].folder, PathBuf::from("/tmp/q x|y'z"));
        assert_eq!((listed[1].elements, listed[1].state.clone()), (1, State::Running));
        assert_eq!((listed[1].id, listed[1].own), (12, 13));
        assert_eq!(listed[1].comment, "");
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        assert!(parse("slurm_load_jobs: warning\n\n1\u{1f}2\n").is_empty());
        assert_eq!(elements("12_[1-3,7,10-20:5%2]"), 3 + 1 + 3);
        assert_eq!(elements("12_[1,3,...]"), 2);
        assert_eq!(elements("12_5"), 1);
    }
}
