//! Steps: load, call a lower room, publish. The only room where mathematics meets the disk.
//!
//! Belongs here: one file per tool call, each safe to repeat. Not here: formulas, and how or where
//! a step is started.

pub mod adopt;
mod batch;
pub mod best;
pub mod cancel;
pub mod dds;
pub mod due;
pub mod ensemble;
pub mod extend;
mod fork;
pub mod forward;
pub mod grid;
pub mod init;
mod inputs;
pub mod member;
pub mod outcomes;
pub mod pack;
pub mod parameters;
mod patience;
pub mod platform;
pub mod record;
pub mod reopen;
mod score;
mod stream;
pub mod timing;
pub mod trial;
pub mod trials;
mod tries;
pub mod update;
pub mod worker;

use std::path::{Path, PathBuf};

use crate::experiment::{Calibration, Experiment, ExperimentError, load};
use crate::explain::{Exit, Explain, Marked};
use crate::files::human::Document;
use crate::files::{FileError, Members, RunDir, load_record, publish};
use crate::problem::PriorError;
use crate::problem::{AlgorithmError, Observation, Prior, Problem};

pub use record::{Stopped, Update};

/// A run folder with its experiment.
pub struct Run {
    /// The folder, by an absolute path
    pub dir: RunDir,
    /// What it is about
    pub experiment: Experiment,
}

impl Run {
    /// Open a run folder to run its model.
    ///
    /// # Errors
    /// It is no run folder, its files or those of the model cannot be read, or the model's files are others than the
    /// run was made with.
    pub fn open(path: &Path) -> Result<Self, StepError> {
        let run = Self::with(path, Experiment::read)?;
        inputs::check(&run.dir.identity, &run.experiment.model, &run.dir.base())?;
        Ok(run)
    }

    /// Open a run folder to look, or to make a step without the model: what the model is made from is not read.
    ///
    /// # Errors
    /// It is no run folder, or its files cannot be read.
    pub fn look(path: &Path) -> Result<Self, StepError> {
        Self::with(path, Experiment::look)
    }

    fn with(
        path: &Path,
        read: impl Fn(&Document, &Path) -> Result<Experiment, Marked>,
    ) -> Result<Self, StepError> {
        let dir = RunDir::open(path)?.absolute()?;
        if dir.identity.method == crate::experiment::grid::METHOD {
            return Err(StepError::Refused {
                what: format!("`{}` is a run of a grid: this has no use there", path.display()),
                hint: "`ekp-launch`, `ekp-status`, `ekp-run-member`, `ekp-update` carry grids; results are in `results/`"
                    .into(),
            });
        }
        let document = load(&dir.top("experiment.toml"))?;
        let mut experiment = read(&document, &dir.base()).map_err(ExperimentError::from)?;
        if let Some(calibration) = experiment.calibration_mut()
            && let Some(step) = dir.step()?
        {
            calibration.algorithm.set_step(step);
        }
        Ok(Self { dir, experiment })
    }

    /// Prior and observation, for those who make steps. A large covariance comes with its factors out of
    /// `observation.bin`; where that is gone or damaged it is made again.
    ///
    /// # Errors
    /// A fault in either file.
    pub fn problem(&self) -> Result<Problem, StepError> {
        let (path, kept) = (self.dir.top("observation.toml"), self.dir.factored());
        let text = std::fs::read(&path).map_err(FileError::io("read", &path))?;
        let observation = match Observation::kept(&kept, &text) {
            Some(observation) => observation,
            None => {
                let observation = self.calibration()?.observation(self.dir.root())?;
                if let Some(bytes) = observation.record(&text)? {
                    // It only saves time: a full disk is told by those who write results.
                    let _ = publish(&kept, &bytes);
                }
                observation
            }
        };
        Ok(Problem { prior: self.prior()?, observation })
    }

    /// The calibration against an observation that this run is.
    ///
    /// # Errors
    /// Its method has no observation.
    pub fn calibration(&self) -> Result<&Calibration, StepError> {
        self.experiment.calibration().ok_or_else(|| StepError::Refused {
            what: format!("method `{}` has no observation", self.experiment.method),
            hint: "this is for runs of the Kalman methods".into(),
        })
    }

    /// The prior alone.
    ///
    /// # Errors
    /// A fault in its file.
    pub fn prior(&self) -> Result<Prior, StepError> {
        Ok(self.experiment.prior(self.dir.root())?)
    }

    /// A word of warning when other tools made this run: its records have the same versions, so it goes on.
    pub fn other_tools(&self) -> Option<String> {
        let (made, mine) = (&self.dir.identity.tools, env!("CARGO_PKG_VERSION"));
        (made != mine).then(|| {
            format!("version {made} of the tools made this run, this is {mine}; its records are understood, it goes on")
        })
    }

    /// Names of the parameters with the numbers of each.
    pub fn parameters(&self) -> Vec<(String, usize)> {
        let id = &self.dir.identity;
        id.parameters.iter().cloned().zip(id.components.iter().copied()).collect()
    }

    /// The iteration after the last one.
    ///
    /// # Errors
    /// An extension record cannot be read.
    pub fn end(&self) -> Result<u32, StepError> {
        Ok(self.experiment.first_iteration + self.dir.iterations()?)
    }

    /// Pseudo-time reached, when a run ended before the time that gives the data their weight once.
    pub fn short_of_time(&self, stop: &Stopped) -> Option<f64> {
        let wanted = self.experiment.calibration()?.algorithm.terminate_at()?;
        let update: Update = load_record(&self.dir.update(stop.last.checked_sub(1)?)).ok()?;
        (stop.reason == "iterations" && update.time < wanted.min(1.0)).then_some(update.time)
    }

    /// Refuse to work on a cancelled run.
    ///
    /// # Errors
    /// [`StepError::Cancelled`].
    pub fn not_cancelled(&self) -> Result<(), StepError> {
        if self.dir.cancel().exists() { Err(StepError::Cancelled) } else { Ok(()) }
    }
}

/// Why a step did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Files
    #[error(transparent)]
    File(#[from] FileError),
    /// The experiment
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// The algorithm
    #[error(transparent)]
    Algorithm(#[from] AlgorithmError),
    /// The prior
    #[error(transparent)]
    Prior(#[from] PriorError),
    /// A folder holds another run
    #[error("`{folder}` holds a run of another experiment\n  {}", differences.join("\n  "))]
    Changed {
        /// Which folder
        folder: String,
        /// What differs, a line each
        differences: Vec<String>,
    },
    /// Files of the model that are not those its run was made with
    #[error("{} changed since this run was made", inputs::named(files))]
    Inputs {
        /// Which, as the experiment names them
        files: Vec<String>,
    },
    /// A place where no run folder can be made
    #[error("no run folder can be made at `{folder}`: {why}")]
    Occupied {
        /// Which folder
        folder: String,
        /// What is there
        why: String,
    },
    /// Members without an outcome
    #[error("iteration {iteration} is not complete: {} of {total} members have no outcome yet", missing.len())]
    NotReady {
        /// Which iteration
        iteration: u32,
        /// Member and what was found in its place
        missing: Vec<(u32, String)>,
        /// All members
        total: u32,
    },
    /// Too many members failed
    #[error(
        "iteration {iteration}: {failed} of {total} members failed, at most {allowed} may (quorum {quorum})"
    )]
    Quorum {
        /// Which iteration
        iteration: u32,
        /// Failed members
        failed: usize,
        /// All members
        total: u32,
        /// How many may fail
        allowed: usize,
        /// As in `[failures]`
        quorum: f64,
    },
    /// Cells of a grid without an outcome
    #[error("the grid is not complete: {} of {total} cells have no outcome yet", missing.len())]
    CellsOpen {
        /// The first stage that has some
        stage: u32,
        /// Number and what was found in its place
        missing: Vec<(u32, String)>,
        /// All cells
        total: u32,
    },
    /// Cells of a grid failed
    #[error("{failed} of {total} cells have no data: {own} failed, {} stand on those\n  {}", failed - own, lines.join("\n  "))]
    Cells {
        /// Without data
        failed: usize,
        /// Of those by themselves
        own: usize,
        /// All cells
        total: usize,
        /// The table that has a row for each
        table: String,
        /// Some of them
        lines: Vec<String>,
    },
    /// A folder holds another grid
    #[error("`{folder}` holds a run of another experiment\n  {}", differences.join("\n  "))]
    OtherGrid {
        /// Which folder
        folder: String,
        /// What differs, a line each
        differences: Vec<String>,
    },
    /// A search that finds only failures
    #[error("iteration {iteration}: {failed} evaluations in a row failed")]
    Storm {
        /// Which iteration
        iteration: u32,
        /// How many
        failed: u32,
        /// What the first of them said
        first: String,
    },
    /// The stop mark is there
    #[error("the run was cancelled (`cancel.toml`)")]
    Cancelled,
    /// A member that the ensemble does not have
    #[error("there is no member {member}: the ensemble has {members}")]
    NoSuchMember {
        /// Asked for
        member: u32,
        /// J
        members: u32,
    },
    /// An iteration number before the first
    #[error("there is no iteration {iteration}: the first is {first}")]
    NoSuchIteration {
        /// Asked for
        iteration: u32,
        /// The first
        first: u32,
    },
    /// Something asked for that cannot be
    #[error("{what}")]
    Refused {
        /// What cannot be
        what: String,
        /// What to do
        hint: String,
    },
    /// `update.toml` was made from outcomes that are gone
    #[error(
        "`update.toml` of iteration {iteration} was made from other outcomes than the members have now (member {member})"
    )]
    Outcomes {
        /// Which iteration
        iteration: u32,
        /// The first member that differs
        member: u32,
    },
    /// What a run of another begins with is not there as it was
    #[error("`{}` cannot be used: {why}", path.display())]
    Start {
        /// `start.bin`, or the first iteration that was adopted
        path: PathBuf,
        /// What is wrong with it
        why: String,
        /// Which option brought it
        again: &'static str,
    },
    /// A member could not be run, for reasons of this machine
    #[error("member {member} of iteration {iteration} could not be run: {why}")]
    Hindered {
        /// Which iteration
        iteration: u32,
        /// Which member
        member: u32,
        /// What was refused
        why: String,
    },
    /// The signal to stop came
    #[error("stopped by a signal; what was finished is on disk")]
    Interrupted,
}

/// True when a run and an experiment differ in their number of iterations alone.
fn only_iterations(differences: &[String]) -> bool {
    matches!(differences, [only] if only.starts_with("experiment.toml: algorithm.iterations:"))
}

/// True when a run and an experiment differ in the length of steps alone.
fn only_step(differences: &[String]) -> bool {
    matches!(differences, [only] if only.starts_with("experiment.toml: algorithm.step:"))
}

impl Explain for StepError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Experiment(e) => e.hint(),
            Self::Algorithm(e) => e.hint(),
            Self::Prior(e) => e.hint(),
            Self::Changed { differences, .. } if only_iterations(differences) => {
                Some("for more iterations of the same run: `ekp-init --extend iterations=N RUN`".into())
            }
            Self::Changed { differences, .. } if only_step(differences) => Some(
                "for other steps of the same run, where its scheduler is `mutable`: `ekp-init --extend step=X RUN`".into(),
            ),
            Self::Changed { .. } => {
                Some("give the new experiment a folder of its own: `ekp-init experiment.toml OTHER_RUN`".into())
            }
            Self::Inputs { .. } => Some(
                "the run keeps to what it was made with: put that back, or make a run of its own with `ekp-init experiment.toml OTHER_RUN`"
                    .into(),
            ),
            Self::Occupied { .. } => Some("name another folder, or empty it".into()),
            Self::NotReady { iteration, missing, .. } => {
                let list: Vec<String> = missing.iter().take(5).map(|(m, why)| format!("member {m}: {why}")).collect();
                let more = if missing.len() > 5 { format!(", and {} more", missing.len() - 5) } else { String::new() };
                let all = Members::new(missing.iter().map(|(m, _)| *m).collect()).to_string();
                let run = match all.len() {
                    0..100 => format!("`ekp-run-member . -i {iteration} -m {all}` runs them"),
                    _ => "`ekp-launch .` runs them".into(),
                };
                Some(format!("{run}; {}{more}", list.join("; ")))
            }
            Self::CellsOpen { missing, .. } => {
                let list: Vec<&str> = missing.iter().take(4).map(|(_, why)| why.as_str()).collect();
                let more = if missing.len() > 4 { format!("; and {} more", missing.len() - 4) } else { String::new() };
                Some(format!("{}{more}", list.join("; ")))
            }
            Self::Cells { table, .. } => Some(format!(
                "`{table}` has a row for each cell; mend the cause, then submit or launch again: failed cells get another try"
            )),
            Self::OtherGrid { folder, .. } => Some(format!(
                "give it a folder of its own and take the finished cells over: `ekp-init experiment.toml OTHER --from {folder}`"
            )),
            Self::Quorum { .. } => Some(
                "`ekp-status` groups the failures; mend the cause, then submit or launch again: failed members get another try".into(),
            ),
            Self::Storm { first, .. } => Some(format!(
                "the first said: {first}; mend the cause, then submit or launch again: they get another try"
            )),
            Self::Cancelled => Some("submitting or launching again lifts the mark and goes on".into()),
            Self::NoSuchMember { members, .. } => Some(format!("members are 1 to {members}")),
            Self::NoSuchIteration { .. } => None,
            Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Outcomes { .. } => Some("put the `data.toml` files back that the update used, or fork: `ekp-init --from RUN:N`".into()),
            Self::Start { again: again @ "--adopt DIR", .. } => {
                Some(format!("put it back from a copy, or make the run anew: `ekp-init {again}`"))
            }
            Self::Start { again, .. } => Some(format!(
                "`ekp-init` with the words that made this run, `{again}` among them, puts it back"
            )),
            Self::Hindered { why, .. } => Some(
                match why {
                    w if w.contains("No space left") => "the disk is full: free space, then run the same command again",
                    w if w.contains("quota") => "your quota is used up: free space, then run the same command again",
                    w if w.contains("Too many open files") => "`ulimit -n` says how many may be open; fewer `--workers` need fewer",
                    w if w.contains("Resource temporarily") => "no more processes (`ulimit -u`): try fewer `--workers`",
                    _ => "the same command again tries it anew",
                }
                .into(),
            ),
            Self::Interrupted => Some("the same command again goes on".into()),
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::File(e) => e.exit(),
            Self::Experiment(e) => e.exit(),
            Self::Algorithm(e) => e.exit(),
            Self::Prior(e) => e.exit(),
            Self::Changed { .. }
            | Self::Inputs { .. }
            | Self::Occupied { .. }
            | Self::NoSuchMember { .. } => Exit::Usage,
            Self::NoSuchIteration { .. } | Self::Refused { .. } => Exit::Usage,
            Self::NotReady { .. } => Exit::NotYet,
            Self::OtherGrid { .. } => Exit::Usage,
            Self::CellsOpen { .. } => Exit::NotYet,
            Self::Quorum { .. } | Self::Storm { .. } | Self::Cells { .. } => Exit::Quorum,
            Self::Cancelled => Exit::Cancelled,
            Self::Outcomes { .. } | Self::Start { .. } | Self::Hindered { .. } | Self::Interrupted => {
                Exit::Failed
            }
        }
    }

    fn marked(&self) -> Option<&Marked> {
        match self {
            Self::Experiment(e) => e.marked(),
            Self::Prior(e) => e.marked(),
            _ => None,
        }
    }
}
