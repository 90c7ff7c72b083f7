//! Which jobs in the queue belong to a run, and whether they get on.

use std::path::Path;

use crate::files::RunDir;
use crate::launch::queue::{JobId, Listed, State, never_starts};
use crate::launch::scripts;
use crate::launch::slurm::Submission;

/// The run's jobs among those of this user. Runs of one experiment have one id, and a copied folder has
/// the records of the first, so the folder a job runs in must be this one; of a folder that was moved
/// away under its jobs the records tell.
pub fn of_run(dir: &RunDir, records: &[(u32, Submission)], listed: Vec<Listed>) -> Vec<Listed> {
    let prefix = scripts::comment(&dir.identity.id, "");
    let here = dir.root().canonicalize().unwrap_or_else(|_| dir.root().to_owned());
    let recorded = |job: &Listed| records.iter().any(|(_, record)| record.token == job.comment);
    listed
        .into_iter()
        .filter(|job| job.state != State::Ending && job.comment.starts_with(&prefix))
        .filter(|job| match job.folder.canonicalize() {
            Ok(folder) => folder == here,
            Err(_) => job.folder == here || recorded(job),
        })
        .collect()
}

/// The tables of times: harmless at any time, so it is nobody's chain.
pub(super) fn is_collect(job: &Listed) -> bool {
    job.name.ends_with(".collect")
}

/// Submitted by a person, and no part of a chain.
pub(super) fn is_by_hand(job: &Listed) -> bool {
    Path::new(&job.comment.replace(':', "/")).ends_with("hand")
}

/// How the jobs of one submission get on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Chain {
    /// Something runs, or will
    Lives,
    /// Nothing runs, and everything waits for something else: true of a moment between two jobs, too
    Waits,
    /// Nothing will ever start; Slurm's reasons
    Stands(Vec<String>),
}

/// Look at the jobs of one submission.
pub(super) fn chain<'l>(jobs: impl IntoIterator<Item = &'l Listed>) -> Chain {
    let mut stands = Vec::new();
    for job in jobs {
        match &job.state {
            State::Pending if job.reason == "Dependency" => {}
            // Held jobs wait for a person, and closed partitions open again: those chains live.
            State::Pending if hopeless(&job.reason) => stands.push(job.reason.clone()),
            _ => return Chain::Lives,
        }
    }
    stands.sort_unstable();
    stands.dedup();
    if stands.is_empty() { Chain::Waits } else { Chain::Stands(stands) }
}

fn hopeless(reason: &str) -> bool {
    const PATIENCE: [&str; 5] =
        ["JobHeldUser", "JobHeldAdmin", "ReqNodeNotAvail", "PartitionDown", "PartitionInactive"];
    never_starts(reason) && !PATIENCE.iter().any(|word| reason.contains(word))
}

/// Numbers, each once.
pub(super) fn ids<'l>(jobs: impl IntoIterator<Item = &'l Listed>) -> Vec<JobId> {
    let mut ids: Vec<JobId> = jobs.into_iter().map(|job| job.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: State, reason: &str) -> Listed {
        Listed {
            id: 7,
            own: 7,
            shown: "7".into(),
            elements: 1,
            state,
            reason: reason.into(),
            dependency: String::new(),
            start: String::new(),
            submitted: String::new(),
            nodes: String::new(),
            name: "s.it003.members".into(),
            comment: "ekp:abc:0001:ff".into(),
            folder: "/".into(),
        }
    }

    #[test]
    fn a_chain_stands_still_when_its_first_job_never_starts_and_nothing_runs() {
        let waits = || job(State::Pending, "Dependency");
        let held = || job(State::Pending, "launch failed requeued held");
        let stands = chain(&[held(), waits()]);
        assert_eq!(stands, Chain::Stands(vec!["launch failed requeued held".into()]));
        assert_eq!(chain(&[held(), job(State::Running, "None"), waits()]), Chain::Lives);
        assert_eq!(chain(&[waits(), waits()]), Chain::Waits);
        assert_eq!(chain(&[job(State::Pending, "JobHeldUser"), waits()]), Chain::Lives);
        assert_eq!(chain(&[job(State::Pending, "Priority")]), Chain::Lives);
    }

    #[test]
    fn a_job_by_hand_is_told_from_one_of_a_chain() {
        let mut by_hand = job(State::Running, "None");
        assert!(!is_by_hand(&by_hand));
        by_hand.comment = "ekp:abc:hand".into();
        assert!(is_by_hand(&by_hand));
    }
}
