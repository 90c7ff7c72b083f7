//! How many workers, and the end of a launch that other programs carried.

use std::fs::File;
use std::str::FromStr;

use crate::files::FileError;
use crate::launch::{LaunchError, Watch};
use crate::machine;
use crate::plan::Due;
use crate::steps::{Run, due, update};

/// `--workers`: a number, `physical`, `logical`, or `-2` for all but two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// So many
    Number(usize),
    /// One for each physical core that this process may use
    Physical,
    /// One for each hardware thread that this process may use
    Logical,
    /// Physical cores less so many
    AllBut(usize),
}

impl FromStr for Workers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "physical" => Ok(Self::Physical),
            "logical" => Ok(Self::Logical),
            _ => match text.parse::<i64>() {
                Ok(n @ 1..=100_000) => Ok(Self::Number(usize::try_from(n).expect("positive"))),
                Ok(n @ -100_000..=-1) => Ok(Self::AllBut(usize::try_from(-n).expect("positive"))),
                _ => Err(format!("`{text}` is no number of workers; allowed: `8`, `physical`, `logical`, `-2` (all cores but two)")),
            },
        }
    }
}

impl Workers {
    /// The number, within affinity mask and cgroup; `threads` of each are taken into account unless the
    /// number was given.
    pub fn count(self, threads: usize) -> usize {
        let cores = machine::Cores::here();
        let share = |n: usize| (n / threads.max(1)).max(1);
        match self {
            Self::Number(n) => n,
            Self::Physical => share(cores.physical),
            Self::Logical => share(cores.logical),
            Self::AllBut(n) => share(cores.physical.saturating_sub(n).max(1)),
        }
    }
}

/// A courtesy: one launcher at a time. Where the file system cannot lock, nothing is lost but work done twice.
///
/// # Errors
/// [`LaunchError::Busy`] when another holds it.
pub fn alone(run: &Run) -> Result<Option<File>, LaunchError> {
    let path = run.dir.top("run.toml");
    let Ok(file) = File::options().read(true).write(true).open(&path) else {
        return match File::open(&path) {
            Ok(_) => Ok(None),
            Err(e) => Err(FileError::io("open", &path)(e).into()),
        };
    };
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Some(file)),
        Err(e) if e.kind() == fs2::lock_contended_error().kind() => Err(LaunchError::Busy),
        Err(_) => Ok(None),
    }
}

/// Another program carried the plan: the files say how it ended, not its exit status.
///
/// # Errors
/// What kept the run from its end.
pub fn conclude(run: &Run, watch: &dyn Watch, how: &str) -> Result<(), LaunchError> {
    run.not_cancelled()?;
    match due::due(run)? {
        Due::Over => Ok(()),
        Due::Update(iteration) | Due::Members(iteration, _) => {
            // Asking for the update gives the reason in the words of the step.
            if let update::Outcome::Closed(update) | update::Outcome::Finished(update) =
                update::run(run, iteration, false)?
            {
                watch.closed(&update);
            }
            match due::due(run)? {
                Due::Over => Ok(()),
                _ => Err(stopped_short(how)),
            }
        }
        Due::Ensemble => Err(stopped_short(how)),
    }
}

fn stopped_short(how: &str) -> LaunchError {
    LaunchError::Carrier { what: format!("the run is not at its end: {how}"), hint: "the same command again goes on".into() }
}
