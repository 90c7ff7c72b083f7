//! Slurm: who may submit, what is due, what was submitted, how it is called back.
//!
//! The calibration script submits the chain; what it asks is answered here. Every submission has a record
//! `jobs/NNNN.toml`, made exclusively before the first `sbatch`: of two that begin at once one gets the
//! number, the other finds it taken and looks again. The jobs of a submission carry its token as comment,
//! so that they are found whatever became of the record.
//!
//! ```text
//!   begin       one chain at a time; lift the stop mark; what is due; the record with the intent
//!   submitted   the record with the numbers
//!   next        begin, submit one iteration, submitted: the rolling chain
//!   cancel      all jobs of the run;  rest: those that wait, after an early stop
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;

use crate::explain::{Exit, Explain};
use crate::files::{FileError, Iteration, RunDir};
use crate::launch::LaunchError;
use crate::launch::queue::{JobId, Listed, Queue, QueueError, State};
use crate::launch::setup;
use crate::launch::site::{Job, Site};
use crate::steps::{Run, StepError};

mod again;
mod begin;
mod carry;
mod dry_run;
mod grid;
mod next;
mod ours;
mod record;
mod submitter;

pub use begin::{Begun, Start};
pub use carry::Slurm;
pub(super) use carry::submit;
pub use grid::GridScheduler;
pub use ours::of_run;
pub use record::{Submission, submissions};

use record::{publish_new, rewrite};

/// Slurm, as one run sees it.
pub struct Scheduler<'a> {
    run: &'a Run,
    desk: Desk<'a>,
}

/// Slurm, as any run folder sees it: its jobs and its submissions, whatever they run.
pub struct Desk<'a> {
    dir: &'a RunDir,
    site: Site,
    queue: Queue,
    note: &'a (dyn Fn(&str) + Sync),
}

impl<'a> Deref for Scheduler<'a> {
    type Target = Desk<'a>;
    fn deref(&self) -> &Desk<'a> {
        &self.desk
    }
}

/// What goes wrong between a run and its jobs.
#[derive(Debug, thiserror::Error)]
pub enum SlurmError {
    /// A script says otherwise than `site.toml`
    #[error("`{script}` was not written for this `site.toml` ({what})")]
    Stale {
        /// Which script
        script: &'static str,
        /// What differs
        what: String,
    },
    /// The words after `--submitted`
    #[error("`{found}` is no job of a submission; `WHAT=NUMBER` is, as in `init=12`")]
    Word {
        /// As given
        found: String,
    },
    /// Workers came and went, and finished no trial
    #[error("{arrays} arrays of workers, one behind the other, finished no trial: {open} are still open")]
    NoProgress {
        /// Trials without an outcome
        open: u32,
        /// How often nothing happened
        arrays: usize,
    },
    /// Jobs that would not go
    #[error("{left} jobs are still in the queue after {seconds} s")]
    Stubborn {
        /// How many
        left: usize,
        /// How long they were waited for
        seconds: u64,
    },
}

impl Explain for SlurmError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Stale { .. } => "write the scripts anew: the same `ekp-init` again".into(),
            Self::Word { .. } => {
                "`ekp_calibration.sbatch` calls this; by hand use `ekp-launch --on slurm`".into()
            }
            Self::NoProgress { .. } => {
                "`logs/iteration_…/N.out` say how they ended; is `time` of members in site.toml longer than a trial? To go on: bash ekp_calibration.sbatch".into()
            }
            Self::Stubborn { .. } => {
                "`squeue --me` shows them; the stop mark is set, they end by themselves".into()
            }
        })
    }
    fn exit(&self) -> Exit {
        match self {
            Self::Stale { .. } | Self::Word { .. } => Exit::Usage,
            Self::Stubborn { .. } | Self::NoProgress { .. } => Exit::Failed,
        }
    }
}

impl<'a> Scheduler<'a> {
    /// For a run whose machine is its `site.toml`; `note` hears what a person should know.
    ///
    /// # Errors
    /// A fault in `site.toml`.
    pub fn new(run: &'a Run, note: &'a (dyn Fn(&str) + Sync)) -> Result<Self, LaunchError> {
        Ok(Self { run, desk: Desk::new(&run.dir, note)? })
    }

    /// Members of one array element.
    fn per_element(&self) -> u32 {
        let id = &self.run.dir.identity;
        if self.run.dir.leaderless() { 1 } else { setup::per_element(id.members, id.pack, &self.site) }
    }

    /// Array elements of the largest iteration.
    fn elements(&self) -> u32 {
        if self.run.dir.leaderless() {
            return self.run.dir.identity.members;
        }
        self.run.dir.most_members().div_ceil(self.per_element())
    }

    /// Array elements of an iteration.
    fn elements_at(&self, iteration: Iteration) -> u32 {
        if self.run.dir.leaderless() {
            return self.elements();
        }
        self.run.dir.members(iteration).div_ceil(self.per_element())
    }

    /// The scripts carry numbers of `site.toml`: another number there means other members here.
    fn scripts_fit(&self) -> Result<(), LaunchError> {
        let wanted = format!("--per-element {}\n", self.per_element());
        let script = "ekp_run_member.sbatch";
        let path = self.run.dir.top(script);
        let text = fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
        if text.contains("--per-element ") && !text.contains(&wanted) {
            return Err(SlurmError::Stale { script, what: "members of one array element".into() }.into());
        }
        let script = "ekp_calibration.sbatch";
        let path = self.run.dir.top(script);
        let text = fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
        let many = crate::launch::scripts::needs_offsets(self.elements(), &self.site.slurm);
        if text.contains("todo") && text.contains("${todo//") != many {
            return Err(SlurmError::Stale { script, what: "largest index of an array".into() }.into());
        }
        Ok(())
    }

    fn member_request(&self) -> crate::launch::site::Request {
        self.site.slurm.request(Job::Member)
    }
}

impl<'a> Desk<'a> {
    /// For a run folder whose machine is its `site.toml`; `note` hears what a person should know.
    ///
    /// # Errors
    /// A fault in `site.toml`.
    pub fn new(dir: &'a RunDir, note: &'a (dyn Fn(&str) + Sync)) -> Result<Self, LaunchError> {
        Ok(Self { dir, site: setup::site_of_dir(dir)?, queue: Queue::default(), note })
    }

    /// The run's jobs in the queue, the caller's own among them.
    ///
    /// # Errors
    /// Slurm does not answer.
    pub fn jobs(&self) -> Result<Vec<Listed>, LaunchError> {
        let records = submissions(self.dir)?;
        // Where nothing was ever submitted, nobody waits for a controller that is away.
        let listed = match records.is_empty() {
            true => self.queue.mine().unwrap_or_default(),
            false => self.patiently(|| self.queue.mine())?,
        };
        Ok(ours::of_run(self.dir, &records, listed))
    }

    /// Complete the record of a submission: `jobs` is `init=12 it000.members=13 …`. Tells whether the
    /// chain reached its end; one that was cut short runs, and is submitted again when it ended.
    ///
    /// # Errors
    /// The words make no sense, there is no such record, the disk.
    pub fn submitted(&self, number: u32, jobs: &str) -> Result<bool, LaunchError> {
        let mut ids: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
        for word in jobs.split_whitespace() {
            let pair = word.split_once('=').and_then(|(what, id)| Some((what, id.parse().ok()?)));
            let (what, id) = pair.ok_or_else(|| SlurmError::Word { found: word.into() })?;
            ids.entry(what.to_owned()).or_default().push(id);
        }
        let mut submission: Submission = crate::files::load_record(&self.dir.job(number))?;
        let count: usize = ids.values().map(Vec::len).sum();
        let whole = ids.contains_key("collect") || submission.rolling;
        submission.jobs = ids;
        submission.complete = true;
        rewrite(self.dir, number, &submission)?;
        if !whole {
            (self.note)(&match count {
                0 => "nothing was submitted".into(),
                n => format!(
                    "the chain was cut short: {n} jobs are queued and will run; submit again when they have ended \
(where a limit was reached, `chain = \"rolling\"` in site.toml submits one iteration at a time)"
                ),
            });
        }
        Ok(whole)
    }

    /// Call back every job of the run and wait until they are gone; how many there were.
    ///
    /// # Errors
    /// Slurm does not answer, or jobs stay.
    pub fn cancel(&self) -> Result<usize, LaunchError> {
        const SECONDS: u64 = 60;
        let mut seen = std::collections::BTreeSet::new();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(SECONDS);
        loop {
            let left: Vec<Listed> = self.jobs()?.into_iter().filter(|job| !self.is_me(job)).collect();
            // What waits goes first: the end of what runs would start it.
            for waits in [true, false] {
                let some = left.iter().filter(|job| (job.state == State::Pending) == waits);
                let ids: Vec<JobId> = some.map(|job| job.id).collect();
                self.queue.cancel(&ids)?;
                seen.extend(ids);
            }
            if left.is_empty() {
                return Ok(seen.len());
            }
            if std::time::Instant::now() > until {
                return Err(SlurmError::Stubborn { left: left.len(), seconds: SECONDS }.into());
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
        }
    }

    /// After an early stop: call back what waits, but not the tables of times; how many there were.
    ///
    /// # Errors
    /// Slurm does not answer.
    pub fn rest(&self) -> Result<usize, LaunchError> {
        let waits = |job: &Listed| job.state == State::Pending && !ours::is_collect(job) && !self.is_me(job);
        let ids: Vec<JobId> = self.jobs()?.iter().filter(|job| waits(job)).map(|job| job.id).collect();
        self.queue.cancel(&ids)?;
        Ok(ids.len())
    }

    fn is_me(&self, job: &Listed) -> bool {
        submitter::own_job() == Some(job.own)
    }

    /// Ask again while the controller is away.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, QueueError>) -> Result<T, QueueError> {
        for pause in &self.queue.patience.pauses {
            match ask() {
                Err(away @ (QueueError::Away { .. } | QueueError::Hung { .. })) => {
                    (self.note)(&format!("{away}; asking again in {} s", pause.as_secs()));
                    std::thread::sleep(*pause);
                }
                other => return other,
            }
        }
        ask()
    }

    fn dir(&self) -> &RunDir {
        self.dir
    }
}

/// A run that was cancelled is no place to go on, unless a person says so.
fn not_cancelled(run: &Run) -> Result<(), StepError> {
    run.not_cancelled()
}
