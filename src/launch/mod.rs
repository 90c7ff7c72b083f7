//! Launchers: five ways to carry out one plan. They differ in where calls run, never in which.
//!
//! Belongs here: threads, the local pool, Slurm, make, MPI; `site.toml`; the scripts of a run folder.
//! Not here: knowledge of algorithms or models.

pub mod crew;
pub mod dry_run;
pub mod grid;
pub mod local;
pub mod make;
pub mod mpi;
pub mod once;
pub mod queue;
pub mod scripts;
pub mod setup;
pub mod site;
pub mod slurm;
pub mod sweep;
pub mod test_only;
pub mod threads;
mod trials;
pub mod workers;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::explain::{Exit, Explain, Marked};
use crate::files::{FileError, Iteration, Member};
use crate::steps::member::{Options, Outcome};
use crate::steps::{Run, StepError, Update, update};

/// Why a launch ended badly.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A step did not do its work
    #[error(transparent)]
    Step(#[from] StepError),
    /// A script cannot be written
    #[error(transparent)]
    Script(#[from] scripts::ScriptError),
    /// Site file
    #[error(transparent)]
    Site(#[from] Box<Marked>),
    /// A program that carries the plan cannot be started, or failed
    #[error("{what}")]
    Carrier {
        /// What happened
        what: String,
        /// What to do
        hint: String,
    },
    /// Slurm
    #[error(transparent)]
    Queue(#[from] queue::QueueError),
    /// A run and its jobs
    #[error(transparent)]
    Slurm(#[from] slurm::SlurmError),
    /// A worker process reported an error
    #[error("{what}")]
    Worker {
        /// In its words
        what: String,
        /// Its advice
        hint: Option<String>,
        /// Its exit code
        exit: Exit,
    },
    /// A worker process is gone
    #[error("a worker died ({how})")]
    Died {
        /// Its exit status
        how: String,
    },
    /// Another launcher is at work on this run
    #[error("another `ekp-launch` is at work on this run")]
    Busy,
}

impl From<FileError> for LaunchError {
    fn from(error: FileError) -> Self {
        Self::Step(error.into())
    }
}

impl Explain for LaunchError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Step(e) => e.hint(),
            Self::Script(e) => e.hint(),
            Self::Site(e) => Explain::hint(e.as_ref()),
            Self::Queue(e) => e.hint(),
            Self::Slurm(e) => e.hint(),
            Self::Carrier { hint, .. } => Some(hint.clone()),
            Self::Worker { hint, .. } => hint.clone(),
            Self::Died { .. } => Some("the same command again goes on".into()),
            Self::Busy => Some("`ekp-status --watch` shows how far it is".into()),
        }
    }
    fn exit(&self) -> Exit {
        match self {
            Self::Step(e) => e.exit(),
            Self::Script(e) => e.exit(),
            Self::Site(e) => e.exit(),
            Self::Queue(e) => e.exit(),
            Self::Slurm(e) => e.exit(),
            Self::Carrier { .. } | Self::Died { .. } => Exit::Failed,
            Self::Worker { exit, .. } => *exit,
            Self::Busy => Exit::NotYet,
        }
    }
    fn marked(&self) -> Option<&Marked> {
        match self {
            Self::Step(e) => e.marked(),
            Self::Site(e) => Some(e),
            _ => None,
        }
    }
}

/// Who wants to know how a launch goes.
pub trait Watch: Sync {
    /// Members of an iteration begin to run.
    fn begin(&self, iteration: Iteration, members: usize);
    /// A member ended.
    fn member(&self, member: Member, outcome: &Outcome);
    /// An iteration was closed.
    fn closed(&self, update: &Update);
    /// Something to tell.
    fn note(&self, text: &str);
}

/// Tell how an update ended.
fn told(watch: &dyn Watch, outcome: &update::Outcome) {
    match outcome {
        update::Outcome::Closed(update) | update::Outcome::Finished(update) => watch.closed(update),
        update::Outcome::Merged(merged) => watch.note(&merged.sentence()),
        _ => {}
    }
}

/// What all launchers of one machine need.
#[derive(Debug, Clone)]
pub struct Means {
    /// Lanes
    pub workers: usize,
    /// Threads of each
    pub threads: usize,
    /// Set by a signal
    pub stop: Arc<AtomicBool>,
}

impl Means {
    /// How the lane of this number, a thread of this process, runs members.
    fn of_lane(&self, number: usize) -> Options {
        Options {
            threads: self.threads,
            worker: u32::try_from(number).unwrap_or(u32::MAX),
            stop: Some(self.stop.clone()),
            ..Options::default()
        }
    }
}

/// A way to carry out what is left of a run.
pub trait Launcher {
    /// Carry the run on to its end.
    ///
    /// # Errors
    /// A step failed, or the carrier itself.
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError>;
}

/// The folder of the tools: where this program is.
///
/// # Errors
/// The system does not tell.
pub fn tools() -> Result<std::path::PathBuf, FileError> {
    let me = std::env::current_exe().map_err(FileError::io("find", std::path::Path::new("this program")))?;
    Ok(me.parent().map_or_else(|| ".".into(), std::path::Path::to_owned))
}
