//! Another try: lift the stop mark, give failed members another chance, count how often members were lost.

use std::fs;

use crate::experiment::Searching;
use crate::files::{Failed, FileError, Iteration, Record, RunDir, load_record};
use crate::models::Cause;
use crate::steps::{Run, StepError, dds, due, forward, pack, trials, tries, update};

/// How often lost members of an iteration run again before they count as failed.
pub const RERUNS: usize = 3;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reopened {
    /// The stop mark was there
    pub lifted: bool,
    /// Members of the open iteration that get another try
    pub members: Vec<u32>,
}

/// Prepare a run to go on: `cancel.toml` goes, and when the open iteration cannot be closed because too
/// many members failed, those get another try (their records move into their try's folder).
///
/// # Errors
/// The disk.
pub fn reopen(run: &Run) -> Result<Reopened, StepError> {
    let mut done = Reopened::default();
    match fs::remove_file(run.dir.cancel()) {
        Ok(()) => done.lifted = true,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(FileError::io("remove", &run.dir.cancel())(e).into()),
    }
    let Some(iteration) = due::open_iteration(run) else { return Ok(done) };
    if due::stopped(run)?.is_some() || due::decided(run, iteration) {
        return Ok(done);
    }
    if run.experiment.forwards().is_some() {
        done.members = forward::reopen(run)?;
        return Ok(done);
    }
    if let Some(searching) = run.experiment.searching() {
        done.members = search(run, searching, iteration)?;
        return Ok(done);
    }
    if run.dir.packed() {
        let failed = pack::failed(run, iteration);
        if failed.len() > update::allowed_failures(run, iteration) {
            pack::reopen(run, iteration, &failed)?;
            done.members = failed;
        }
        return Ok(done);
    }
    let failed: Vec<u32> = (1..=run.dir.members(iteration))
        .filter(|&m| {
            let folder = run.dir.member(iteration, m);
            // What a person marked as failed stays so.
            let failed = load_record::<Failed>(&folder.join("failed.toml"));
            failed.is_ok_and(|f| f.cause != Cause::User.word()) && !folder.join("data.toml").exists()
        })
        .collect();
    if failed.len() > update::allowed_failures(run, iteration) {
        for &m in &failed {
            tries::set_aside(&run.dir.member(iteration, m), &["failed.toml"])?;
        }
        done.members = failed;
    }
    Ok(done)
}

/// A search goes on without those that failed, until only failures come: then those of the open generation get
/// another try.
fn search(run: &Run, searching: &Searching, iteration: Iteration) -> Result<Vec<u32>, StepError> {
    if run.dir.leaderless() {
        return trials::reopen(run, searching);
    }
    if !dds::stuck(run, searching, iteration)? {
        return Ok(Vec::new());
    }
    let failed: Vec<u32> = if run.dir.packed() {
        let failed = pack::failed(run, iteration);
        pack::reopen(run, iteration, &failed)?;
        failed
    } else {
        (1..=run.dir.members(iteration))
            .filter(|&m| run.dir.member(iteration, m).join("failed.toml").exists())
            .collect()
    };
    if !run.dir.packed() {
        for &m in &failed {
            again(run, iteration, m)?;
        }
    }
    Ok(failed)
}

/// Another try for a failed member, unless a person marked it as failed.
///
/// # Errors
/// The disk.
pub(super) fn again(run: &Run, iteration: Iteration, member: u32) -> Result<(), StepError> {
    let folder = run.dir.member(iteration, member);
    let by_hand =
        load_record::<Failed>(&folder.join("failed.toml")).is_ok_and(|f| f.cause == Cause::User.word());
    if !by_hand && !folder.join("data.toml").exists() {
        tries::set_aside(&folder, &["failed.toml"])?;
    }
    Ok(())
}

/// The part of a submission record that counts reruns.
#[derive(Debug, serde::Deserialize)]
struct Submission {
    iteration: u32,
    rerun: bool,
}

impl Record for Submission {
    const SCHEMA: &'static str = "ekp.job";
    const VERSION: u32 = 1;
}

/// True when the members of this iteration were submitted again and again, and some still have no outcome.
///
/// # Errors
/// The disk.
pub fn reruns_used_up(run: &Run, iteration: Iteration) -> Result<bool, StepError> {
    reruns_of(&run.dir, iteration)
}

/// The same for any run folder; a grid counts all its submissions as those of iteration 0.
pub(super) fn reruns_of(dir: &RunDir, iteration: Iteration) -> Result<bool, StepError> {
    let mut used = 0;
    for number in 1.. {
        match load_record::<Submission>(&dir.job(number)) {
            Ok(s) if s.rerun && s.iteration == iteration => used += 1,
            Ok(_) => {}
            Err(e) if e.is_missing() => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(used >= RERUNS)
}
