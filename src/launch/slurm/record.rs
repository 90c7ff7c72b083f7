//! `jobs/NNNN.toml`: who submitted what and why; first the intent, then the numbers.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::{FileError, Record, RunDir, TomlText, load_record, publish_durable, publish_new_durable};
use crate::launch::queue::JobId;
use crate::launch::slurm::submitter::Submitter;

/// One submission.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Submission {
    /// Comment of each of its jobs
    pub token: String,
    /// The step it begins with: init, members, update, collect
    pub step: String,
    /// Iteration of that step
    pub iteration: u32,
    /// Array elements it begins with, as the scripts write them
    pub elements: String,
    /// Trials without an outcome before it, of a search by workers
    #[serde(default)]
    pub open: u32,
    /// Members that were lost run again: counted, for it has an end
    pub rerun: bool,
    /// One iteration only
    pub rolling: bool,
    /// More options of its member arrays, after failures
    pub options: Vec<String>,
    /// When
    pub time: String,
    /// Who submits
    pub by: Submitter,
    /// All that was to be submitted was, or it was given up
    pub complete: bool,
    /// What was submitted: job numbers by kind
    #[serde(default)]
    pub jobs: BTreeMap<String, Vec<JobId>>,
}

impl Record for Submission {
    const SCHEMA: &'static str = "ekp.job";
    const VERSION: u32 = 1;
}

impl Submission {
    fn text(&self) -> String {
        let mut text = TomlText::record::<Self>(
            "ekp job: a submission to Slurm. Made before its first job (the intent), completed with the numbers.\n\
             Its jobs:  squeue --me -o '%i %T %r %j %k' | grep TOKEN",
        );
        text.text("token", &self.token)
            .text("step", &self.step)
            .number("iteration", self.iteration)
            .text("elements", &self.elements)
            .number("open", self.open)
            .boolean("rerun", self.rerun)
            .boolean("rolling", self.rolling)
            .texts("options", &self.options)
            .text("time", &self.time)
            .boolean("complete", self.complete)
            .table("by")
            .text("host", &self.by.host)
            .number("pid", self.by.pid)
            .number("pid_start", self.by.pid_start)
            .number("job", self.by.job)
            .table("jobs");
        for (what, ids) in &self.jobs {
            let ids: Vec<String> = ids.iter().map(JobId::to_string).collect();
            // Names such as `it003.members` hold a dot.
            text.raw(&format!("\"{what}\" = [{}]", ids.join(", ")));
        }
        text.finish()
    }
}

/// All submissions of a run, by number.
///
/// # Errors
/// A record that cannot be read.
pub fn submissions(dir: &RunDir) -> Result<Vec<(u32, Submission)>, FileError> {
    let mut all = Vec::new();
    for number in 1.. {
        match load_record(&dir.job(number)) {
            Ok(submission) => all.push((number, submission)),
            Err(e) if e.is_missing() => break,
            Err(e) => return Err(e),
        }
    }
    Ok(all)
}

/// Take a number; false when another was first.
pub(super) fn publish_new(dir: &RunDir, number: u32, submission: &Submission) -> Result<bool, FileError> {
    let jobs = dir.jobs();
    std::fs::create_dir_all(&jobs).map_err(FileError::io("make", &jobs))?;
    publish_new_durable(&dir.job(number), submission.text().as_bytes())
}

/// Only the one who took the number calls this.
pub(super) fn rewrite(dir: &RunDir, number: u32, submission: &Submission) -> Result<(), FileError> {
    publish_durable(&dir.job(number), submission.text().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_with_the_numbers_of_its_jobs() {
        let submission = Submission {
            token: "ekp:3f9a1c:0007:9f3b2c".into(),
            step: "members".into(),
            iteration: 3,
            elements: "3,7".into(),
            open: 12,
            rerun: true,
            rolling: false,
            options: vec!["--exclude=n2".into()],
            time: "2026-11-20T11:00:00Z".into(),
            by: Submitter { host: "n1".into(), pid: 42, pid_start: 4711, job: 12 },
            complete: true,
            jobs: [("it003.members".to_owned(), vec![13, 14]), ("collect".to_owned(), vec![15])].into(),
        };
        let back: Submission = toml::from_str(&submission.text()).unwrap();
        assert_eq!(back, submission);
    }
}
