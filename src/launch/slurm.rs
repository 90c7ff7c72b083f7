//! The Slurm chain: records of submissions, what is due, and ending what is queued.
//!
//! Belongs here: `jobs/NNNN.toml`, and the decisions that scripts ask for. Not here: talking to Slurm
//! (`launch::queue`), the text of scripts (`launch::scripts`).

use crate::launch::{LaunchError, Launcher, Watch};
use crate::steps::Run;

/// The chain of jobs, submitted from this machine.
#[derive(Debug)]
pub struct Slurm;

impl Launcher for Slurm {
    fn launch(&self, run: &Run, _watch: &dyn Watch) -> Result<(), LaunchError> {
        begin(run, false).map(|_| ())
    }
}

/// `--begin`: take the next record, or `None` when the run is over or a chain is queued.
///
/// # Errors
/// The disk, the queue.
pub fn begin(_run: &Run, _again: bool) -> Result<Option<String>, LaunchError> {
    Ok(None)
}

/// `--submitted RECORD IDS`: complete a record.
///
/// # Errors
/// The disk.
pub fn submitted(_run: &Run, _record: u32, _ids: &str) -> Result<(), LaunchError> {
    Ok(())
}

/// `--on slurm --next`: submit exactly what is due.
///
/// # Errors
/// The disk, the queue.
pub fn next(_run: &Run, _begin: bool) -> Result<(), LaunchError> {
    Ok(())
}

/// Jobs, dependencies, core-hours, files and disk, submitting nothing.
///
/// # Errors
/// The disk.
pub fn dry_run(_run: &Run) -> Result<String, LaunchError> {
    Ok(String::new())
}

/// End the run's queued jobs; `rest` spares the running one and the collection of timings.
///
/// # Errors
/// The queue.
pub fn cancel(_run: &Run, _rest: bool) -> Result<usize, LaunchError> {
    Ok(0)
}
