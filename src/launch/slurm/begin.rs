//! The beginning of a submission: one chain at a time, what is due, and the record with the intent.

use std::collections::BTreeMap;
use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};

use crate::files::{Iteration, digest, load_record};
use crate::launch::LaunchError;
use crate::launch::queue::{JobId, Listed, State};
use crate::launch::scripts::{self, ArrayPart};
use crate::launch::slurm::ours::{Chain, chain, ids, is_by_hand, is_collect, of_run};
use crate::launch::slurm::submitter::{Submitter, own_job};
use crate::launch::slurm::{
    Desk, Scheduler, SlurmError, Submission, not_cancelled, publish_new, submissions,
};
use crate::plan::Due;
use crate::steps::{due, outcomes, reopen};

/// A chain that only waits is looked at so often, so far apart, before it counts as standing still:
/// between two jobs of a healthy chain the scheduler needs a moment.
const LOOKS: usize = 6;
const BETWEEN: Duration = Duration::from_secs(2);

/// Arrays of workers, one behind the other, that finish no trial, before a chain stops.
const IDLE: usize = 2;

/// Why a submission begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// A person wants the run to go on: the stop mark goes, failed members get another try
    Fresh,
    /// A job of the run goes on by itself
    Again,
}

/// What is to be submitted, under which number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Number of the record
    pub record: u32,
    /// init, members, update
    pub step: &'static str,
    /// Iteration of that step
    pub iteration: Iteration,
    /// Trials of a search by workers that have no outcome; 0 of other runs
    pub open: u32,
    /// Arrays of the elements without an outcome
    pub arrays: Vec<ArrayPart>,
    /// Comment of every job
    pub token: String,
    /// More options of the member arrays
    pub options: Vec<String>,
    pub(super) many: bool,
}

/// The line that `ekp_calibration.sbatch` reads.
impl fmt::Display for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrays = scripts::word_of(&self.arrays, self.many);
        write!(f, "{:04} {} {} {arrays} {}", self.record, self.step, self.iteration, self.token)?;
        self.options.iter().try_for_each(|option| write!(f, " {option}"))
    }
}

/// What the queue and the records say before a submission.
pub(super) enum Standing {
    /// Somebody else is at it
    Taken,
    /// Nobody is, when these are gone
    Free(Vec<JobId>),
    /// A record changed while the queue was looked at
    Moving,
}

impl Scheduler<'_> {
    /// Begin a submission: none when the run is over, or another submission is under way or queued.
    ///
    /// # Errors
    /// Slurm does not answer, the scripts are not those of `site.toml`, the run was cancelled, the disk.
    pub fn begin(&self, start: Start) -> Result<Option<Begun>, LaunchError> {
        self.begin_with(start, false)
    }

    /// The same; `rolling` where jobs submit their successors, and what goes on is one of them.
    pub(super) fn begin_with(&self, start: Start, rolling: bool) -> Result<Option<Begun>, LaunchError> {
        self.scripts_fit()?;
        if due::stopped(self.run)?.is_some() {
            (self.note)("the run is over (`stop.toml`): nothing to submit");
            return Ok(None);
        }
        loop {
            let records = submissions(self.dir())?;
            match self.standing(&records, start)? {
                Standing::Taken => return Ok(None),
                Standing::Moving => continue,
                Standing::Free(leftovers) => self.queue.cancel(&leftovers)?,
            }
            self.lift(start)?;
            let Some(begun) = self.due(rolling)? else { return Ok(None) };
            if start == Start::Again {
                gets_on(&records, begun.open)?;
            }
            // Whoever comes second looks at everything anew.
            if let Some(begun) = self.claim(begun, &records, start, rolling)? {
                return Ok(Some(begun));
            }
        }
    }

    /// Nothing but a step, for now.
    pub(super) fn blank(&self, step: &'static str, iteration: Iteration) -> Begun {
        let many = scripts::needs_offsets(self.elements(), &self.site.slurm);
        Begun {
            record: 0,
            step,
            iteration,
            open: 0,
            arrays: Vec::new(),
            token: String::new(),
            options: Vec::new(),
            many,
        }
    }

    /// What a person's wish to go on undoes; a job that goes on by itself undoes nothing.
    fn lift(&self, start: Start) -> Result<(), LaunchError> {
        if start == Start::Again {
            return Ok(not_cancelled(self.run)?);
        }
        let reopened = reopen::reopen(self.run)?;
        if reopened.lifted {
            (self.note)("the stop mark (`cancel.toml`) is lifted");
        }
        if !reopened.members.is_empty() {
            (self.note)(&format!("{} failed members get another try", reopened.members.len()));
        }
        Ok(())
    }

    /// What is due, as arrays and options; no record yet.
    fn due(&self, rolling: bool) -> Result<Option<Begun>, LaunchError> {
        let mut begun = self.blank("init", self.run.experiment.first_iteration);
        match due::due(self.run)? {
            Due::Over => {
                (self.note)("the run is over (`stop.toml`): nothing to submit");
                return Ok(None);
            }
            Due::Ensemble => {
                begun.arrays = scripts::arrays(1..=self.elements_at(begun.iteration), &self.site.slurm);
                if self.dir().leaderless() {
                    begun.open = self.dir().budget();
                }
            }
            Due::Update(iteration) if self.dir().update(iteration).exists() => {
                (begun.step, begun.iteration) = ("update", iteration);
            }
            Due::Members(iteration, _) | Due::Update(iteration) => {
                begun.iteration = iteration;
                // By content: an outcome that a dying node cut short is there, and is none.
                let open = outcomes::open(self.run, iteration)?;
                begun.step = if open.is_empty() { "update" } else { "members" };
                begun.arrays = scripts::arrays(self.elements_of(&open), &self.site.slurm);
                begun.options = self.options(iteration, &open)?;
                if self.dir().leaderless() {
                    begun.open = u32::try_from(open.len()).unwrap_or(u32::MAX);
                }
            }
        }
        let what = if rolling { "one iteration" } else { "a chain" };
        let shown = scripts::word_of(&begun.arrays, begun.many);
        (self.note)(&format!(
            "submitting {what} from {} of iteration {} on, elements {shown}",
            begun.step, begun.iteration
        ));
        Ok(Some(begun))
    }
}

impl Desk<'_> {
    /// Take the next number; none when another was first.
    pub(super) fn claim(
        &self,
        mut begun: Begun,
        records: &[(u32, Submission)],
        start: Start,
        rolling: bool,
    ) -> Result<Option<Begun>, LaunchError> {
        begun.record = records.last().map_or(1, |(number, _)| number + 1);
        let by = Submitter::here();
        let time = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let nonce = &digest(format!("{by:?} {time}").as_bytes())["blake3:".len()..][..8];
        begun.token = scripts::comment(&self.dir().identity.id, &format!("{:04}:{nonce}", begun.record));
        let record = Submission {
            token: begun.token.clone(),
            step: begun.step.into(),
            iteration: begun.iteration,
            elements: scripts::word_of(&begun.arrays, begun.many),
            open: begun.open,
            rerun: start == Start::Again
                && begun.step == "members"
                && (!rolling || had(records, begun.iteration)),
            rolling,
            options: begun.options.clone(),
            time,
            by,
            complete: false,
            jobs: BTreeMap::new(),
        };
        Ok(publish_new(self.dir(), begun.record, &record)?.then_some(begun))
    }

    /// Who has this run, by the queue and by the submissions on disk.
    pub(super) fn standing(
        &self,
        records: &[(u32, Submission)],
        start: Start,
    ) -> Result<Standing, LaunchError> {
        for look in 1.. {
            let listed = self.patiently(|| self.queue.mine())?;
            let own = own_token(&listed).filter(|_| start == Start::Again);
            let jobs = of_run(self.dir(), records, listed.clone());
            let in_chain = |job: &&Listed| !is_collect(job) && !is_by_hand(job) && Some(job.own) != own_job();
            let mut leftovers = Vec::new();
            let mut undecided = false;
            for (number, record) in records {
                let jobs: Vec<&Listed> =
                    jobs.iter().filter(in_chain).filter(|job| job.comment == record.token).collect();
                if own.as_ref() == Some(&record.token) {
                    // Behind the job that goes on by itself: it would go when that one ends. Now is sooner,
                    // and also right when that job is run again after its own new chain began.
                    leftovers.extend(ids(jobs.into_iter().filter(|job| job.state == State::Pending)));
                } else if !record.complete {
                    if record.by.is_alive(self.dir(), *number, &listed)? {
                        self.say_taken(*number, "is being submitted", &record.by.host);
                        return Ok(Standing::Taken);
                    }
                    // It may have been completed since it was read, and its submitter ended well.
                    if load_record::<Submission>(&self.dir().job(*number))?.complete {
                        return Ok(Standing::Moving);
                    }
                    // Its submitter died half-way: how far it got nobody knows.
                    leftovers.extend(ids(jobs));
                } else if !jobs.is_empty() {
                    match chain(jobs.iter().copied()) {
                        Chain::Lives => {
                            self.say_taken(*number, "is queued", &reasons(&jobs));
                            return Ok(Standing::Taken);
                        }
                        Chain::Waits if look < LOOKS => undecided = true,
                        Chain::Waits => {
                            self.give_up(*number, "a job it waits for is gone", &jobs, &mut leftovers)
                        }
                        Chain::Stands(why) => self.give_up(*number, &why.join(", "), &jobs, &mut leftovers),
                    }
                }
            }
            if !undecided {
                return Ok(Standing::Free(leftovers));
            }
            sleep(BETWEEN);
        }
        Ok(Standing::Taken)
    }

    fn say_taken(&self, number: u32, how: &str, more: &str) {
        (self.note)(&format!("nothing submitted: a chain of this run {how} (jobs/{number:04}.toml; {more})"));
    }

    fn give_up(&self, number: u32, why: &str, jobs: &[&Listed], leftovers: &mut Vec<JobId>) {
        (self.note)(&format!(
            "the queued chain (jobs/{number:04}.toml) stands still: {why}; a new one takes its place"
        ));
        leftovers.extend(ids(jobs.iter().copied()));
    }
}

/// Workers that end without a finished trial would follow each other for ever: after two arrays of them, one behind the
/// other, a chain does not go on by itself.
fn gets_on(records: &[(u32, Submission)], open: u32) -> Result<(), SlurmError> {
    let mut idle = 0;
    for (_, record) in records.iter().rev().filter(|(_, record)| record.step != "collect") {
        idle += usize::from(open > 0 && record.open == open);
        // What a person began counts from there.
        if record.open != open || !record.rerun || idle == IDLE {
            break;
        }
    }
    if idle < IDLE { Ok(()) } else { Err(SlurmError::NoProgress { open, arrays: IDLE }) }
}

/// Whether a submission began with members of this iteration. In a rolling chain each iteration has one.
fn had(records: &[(u32, Submission)], iteration: Iteration) -> bool {
    let begins = |record: &Submission| matches!(record.step.as_str(), "init" | "members");
    records.iter().any(|(_, record)| record.iteration == iteration && begins(record))
}

/// The token of the submission that this process's job belongs to.
fn own_token(listed: &[Listed]) -> Option<String> {
    let me = own_job()?;
    listed
        .iter()
        .find(|job| job.own == me)
        .map(|job| job.comment.clone())
        .filter(|comment| !comment.is_empty())
}

/// A word on what a chain is doing.
fn reasons(jobs: &[&Listed]) -> String {
    let running = jobs.iter().filter(|job| job.state == State::Running).count();
    let waiting = jobs.len() - running;
    let mut why: Vec<&str> = jobs
        .iter()
        .filter(|j| j.state == State::Pending && j.reason != "Dependency")
        .map(|j| j.reason.as_str())
        .collect();
    why.sort_unstable();
    why.dedup();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join(", ")) };
    format!("{running} jobs run, {waiting} wait{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(open: u32, rerun: bool) -> (u32, Submission) {
        let by = Submitter { host: "n1".into(), pid: 1, pid_start: 1, job: 1 };
        let record = Submission {
            token: String::new(),
            step: "members".into(),
            iteration: 0,
            elements: "1-4".into(),
            open,
            rerun,
            rolling: false,
            options: Vec::new(),
            time: String::new(),
            by,
            complete: true,
            jobs: BTreeMap::new(),
        };
        (1, record)
    }

    #[test]
    fn a_chain_of_workers_that_finish_nothing_ends_and_a_person_may_begin_another() {
        let goes_on = |records: &[(u32, bool)], open: u32| {
            let records: Vec<_> = records.iter().map(|&(open, rerun)| record(open, rerun)).collect();
            gets_on(&records, open).is_ok()
        };
        assert!(goes_on(&[(90, false)], 80) && goes_on(&[(90, false)], 90), "once may be bad luck");
        assert!(!goes_on(&[(90, false), (90, true)], 90));
        assert!(!goes_on(&[(90, false), (80, true), (80, true)], 80));
        assert!(goes_on(&[(90, false), (80, true), (80, true)], 79));
        // Begun anew by a person
        assert!(goes_on(&[(90, false), (90, true), (90, false)], 90));
        assert!(!goes_on(&[(90, false), (90, true), (90, false), (90, true)], 90));
        // Members of generations are counted elsewhere
        assert!(goes_on(&[(0, false), (0, true), (0, true)], 0));
    }
}
