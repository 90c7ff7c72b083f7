//! A search without a coordinator: workers lease trials from a folder, each made from what its worker can see.
//!
//! ```text
//!   look at the folders ──▶ results not known yet are read ──▶ the smallest number that nobody has
//!     ──▶ its trial from the best so far ──▶ folder with `trial.toml`, `parameters.toml`, `try_1/claim.toml`: whole,
//!         by one rename, so that of several who want it one has it ──▶ run ──▶ `data.toml` or `failed.toml`
//!   nothing new left ──▶ leases that ran out are taken over: same trial, same parameters, the next try
//! ```
//!
//! There is no file of the best: it follows from the outcomes. Right is what the names of outcomes say, a lease only
//! saves work. Belongs here: a worker's loop, and what becomes of trials that many died on.
//! Not here: what is known (`view`), the record of a trial (`record`), many trials under one lease (`block`), the end
//! (`close`).

mod block;
mod close;
mod record;
mod spare;
mod view;

use std::fs;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

pub use close::stuck_now;
pub(super) use close::{begin, recorded, results, standing, stuck, update};
pub use record::TrialRecord;
pub use view::{View, open};

use crate::dds::Search;
use crate::experiment::{Form, Keep, Searching};
use crate::files::{CLAIM, Claim, FileError, Lease, Members, claim, fresh_folder, write_claim};
use crate::models::Cause;
use crate::numerics::Streams;
use crate::problem::Prior;
use crate::steps::member::{self, Outcome};
use crate::steps::parameters::Writer;
use crate::steps::worker::{Work, Worker, name, renewed, stopped};
use crate::steps::{Run, StepError, due, platform, reopen};

/// Claims of one trial before it counts as lost.
pub const CLAIMS: usize = 3;

/// Pauses of a worker that finds everything held by others.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// Numbers over which workers that want the same one spread.
const SPREAD: usize = 8;

/// What a worker has at hand.
pub(super) struct Bench<'a> {
    pub(super) run: &'a Run,
    pub(super) searching: &'a Searching,
    pub(super) search: Search,
    pub(super) prior: Prior,
    pub(super) worker: &'a Worker,
    /// Trials under one lease
    pub(super) size: u32,
}

impl<'a> Bench<'a> {
    /// All that a worker needs before its first trial; reads the prior of the run.
    pub(super) fn new(run: &'a Run, searching: &'a Searching, worker: &'a Worker) -> Result<Self, StepError> {
        let prior = run.prior()?;
        let search = run.search(searching, &prior)?;
        let size = match searching.form {
            Form::Workers { claim_size } => claim_size,
            Form::Generations => 1,
        };
        Ok(Self { run, searching, search, prior, worker, size })
    }

    /// Leases that there are: trials, or blocks of them.
    fn leases(&self) -> u32 {
        self.run.dir.budget().div_ceil(self.size)
    }

    fn folder(&self, number: u32) -> std::path::PathBuf {
        let dir = &self.run.dir;
        if self.size > 1 { dir.chunk(0, number) } else { dir.member(dir.identity.first_iteration, number) }
    }
}

/// Work until no trial is left.
///
/// # Errors
/// As [`crate::steps::worker::work`].
pub(super) fn work(
    run: &Run,
    searching: &Searching,
    worker: &Worker,
    each: &(dyn Fn(u32, &Outcome) + Sync),
) -> Result<Work, StepError> {
    let mut work = Work::default();
    let bench = Bench::new(run, searching, worker)?;
    let mut view = View::default();
    let mut pause = FIRST_PAUSE;
    let mut clock = Pace::default();
    platform::once(run);
    loop {
        run.not_cancelled()?;
        stopped(worker)?;
        if due::stopped(run)?.is_some()
            || due::decided(run, run.dir.identity.first_iteration) && !worker.to_end
        {
            return Ok(work);
        }
        if view.results() == 0 {
            begin(run, searching)?;
        }
        if worker.until.as_ref().is_some_and(|until| clock.too_late(until)) {
            work.left_early = true;
            return Ok(work);
        }
        view.look(&bench)?;
        let done = view.all_known(&bench) || bench.search.gives_up(&view.standing).is_some();
        if done {
            if worker.to_end {
                match crate::steps::update::run(run, run.dir.identity.first_iteration, false) {
                    Ok(_) => work.closed += 1,
                    // An outcome was no outcome: its trial is open again.
                    Err(StepError::NotReady { .. }) => {
                        view = View::default();
                        continue;
                    }
                    Err(e) => return Err(e),
                }
            }
            return Ok(work);
        }
        let start = Instant::now();
        match one(&bench, &mut view, each, &mut work)? {
            Did::Something => {
                clock.ran(start.elapsed());
                pause = FIRST_PAUSE;
            }
            Did::Missed => {}
            Did::Nothing if !worker.wait => return Ok(work),
            Did::Nothing => {
                wait(worker, pause);
                pause = (pause * 2).min(LAST_PAUSE);
            }
        }
    }
}

/// Sleep, but hear a signal.
fn wait(worker: &Worker, pause: Duration) {
    // Workers that began to wait together do not look together.
    let share = 0.75 + 0.5 * f64::from(worker.options.worker.wrapping_mul(7919) % 100) / 100.0;
    let until = Instant::now() + pause.mul_f64(share);
    while Instant::now() < until && stopped(worker).is_ok() {
        std::thread::sleep(Duration::from_millis(50).min(until.saturating_duration_since(Instant::now())));
    }
}

/// What a look led to.
enum Did {
    Something,
    /// Another was first
    Missed,
    /// All that is open is held by others
    Nothing,
}

/// Take one trial, or block, and run it.
fn one(
    bench: &Bench<'_>,
    view: &mut View,
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<Did, StepError> {
    // Those that nobody has taken come first, in order; workers that meet go apart.
    let new = view.untouched(bench);
    if !new.is_empty() {
        let at = if view.missed { bench.worker.options.worker as usize % SPREAD % new.len() } else { 0 };
        let number = new[at];
        view.missed = false;
        return match fresh(bench, view, number)? {
            Some(lease) => leased(bench, view, number, lease, each, work).map(|()| Did::Something),
            None => {
                view.missed = true;
                Ok(Did::Missed)
            }
        };
    }
    let open = view.open(bench);
    let begin = bench.worker.options.worker as usize * 7919 % open.len().max(1);
    for k in 0..open.len() {
        let number = open[(begin + k) % open.len()];
        let folder = bench.folder(number);
        match again(bench, number, &folder)? {
            Again::Busy => {}
            Again::Lost => return Ok(Did::Something),
            Again::Got(lease) => {
                return leased(bench, view, number, lease, each, work).map(|()| Did::Something);
            }
        }
    }
    Ok(Did::Nothing)
}

/// Make a trial's folder with its lease; none when another was first.
fn fresh(bench: &Bench<'_>, view: &mut View, number: u32) -> Result<Option<Lease>, StepError> {
    let folder = bench.folder(number);
    let mut touched = None;
    let mut spare = view.spare.take();
    let mut claim = |hidden: &std::path::Path| -> Result<(), StepError> {
        let place = hidden.join("try_1");
        let lease_s = bench.worker.lease_s;
        if let Some(moved) = spare.take().and_then(|spare| spare.moved(&place, lease_s)) {
            touched = Some(moved.touched);
            return Ok(());
        }
        fs::create_dir(&place).map_err(FileError::io("make", &place))?;
        touched = Some(Instant::now());
        Ok(write_claim(&place, lease_s, &name(bench.worker))?)
    };
    let made = fresh_folder(&folder, |hidden| -> Result<(), StepError> {
        if bench.size == 1 {
            let trial = propose(bench, view, number)?;
            let write = |name: &str, text: &str| {
                let path = hidden.join(name);
                fs::write(&path, text).map_err(FileError::io("write", &path))
            };
            write("trial.toml", &trial.text())?;
            write("parameters.toml", &parameters(bench.run, &bench.prior, &trial)?)?;
        }
        claim(hidden)
    })?;
    view.spare = spare;
    let lease = |touched| Lease { attempt: 1, folder: folder.join("try_1"), touched };
    Ok(touched.filter(|_| made).map(lease))
}

/// The trial of that number, from what this worker knows.
fn propose(bench: &Bench<'_>, view: &View, number: u32) -> Result<TrialRecord, StepError> {
    let (budget, draw) = (bench.run.dir.budget(), Streams::new(bench.run.experiment.seed));
    let trial = bench.search.trial(&view.standing, number, budget, &draw);
    Ok(TrialRecord::new(bench.run, number, trial, view))
}

/// The text of a trial's `parameters.toml`.
fn parameters(run: &Run, prior: &Prior, trial: &TrialRecord) -> Result<String, StepError> {
    Writer::new(&run.dir, prior).text_of(&trial.values, run.dir.identity.first_iteration, trial.trial)
}

/// Put `parameters.toml` back where it is gone or torn; `trial.toml` says what stood there. Where that is torn, too,
/// the trial is made anew: nobody has an outcome of it.
///
/// # Errors
/// The disk.
pub(super) fn restore(run: &Run, number: u32) -> Result<String, StepError> {
    let searching = run.experiment.searching().expect("only searches have trials");
    let first = run.dir.identity.first_iteration;
    let folder = run.dir.member(first, number);
    if !folder.is_dir() {
        return Err(FileError::NotYet { iteration: first, path: folder }.into());
    }
    let path = folder.join("trial.toml");
    let record = match TrialRecord::read(&path) {
        Some(record) => record,
        None => {
            let worker = Worker::plain();
            let bench = Bench::new(run, searching, &worker)?;
            let mut view = View::default();
            view.look(&bench)?;
            crate::steps::tries::set_aside(&folder, &["trial.toml"])?;
            let record = propose(&bench, &view, number)?;
            crate::files::publish_new(&path, record.text().as_bytes())?;
            TrialRecord::read(&path).unwrap_or(record)
        }
    };
    let text = parameters(run, &run.prior()?, &record)?;
    crate::files::publish(&folder.join("parameters.toml"), text.as_bytes())?;
    Ok(text)
}

enum Again {
    Got(Lease),
    Busy,
    /// Too many died on it: it counts as failed now
    Lost,
}

/// Take over a trial whose lease ran out.
fn again(bench: &Bench<'_>, number: u32, folder: &std::path::Path) -> Result<Again, StepError> {
    let before = claims(folder);
    match claim(folder, bench.worker.lease_s, &name(bench.worker)) {
        Ok(Claim::Got(lease)) if before >= CLAIMS => {
            let _ = fs::remove_dir_all(&lease.folder);
            let why = format!("{before} workers took it, and none came back");
            if bench.size > 1 {
                block::mark_failed(bench, number, Cause::Lost, &why)?;
            } else {
                member::mark_failed(
                    bench.run,
                    bench.run.dir.identity.first_iteration,
                    number,
                    Cause::Lost,
                    &why,
                )?;
            }
            Ok(Again::Lost)
        }
        Ok(Claim::Got(lease)) => Ok(Again::Got(lease)),
        Ok(Claim::Busy) => Ok(Again::Busy),
        // A person removed the folder: it is simply free again.
        Err(e) if e.is_missing() => Ok(Again::Busy),
        Err(e) => Err(e.into()),
    }
}

/// Tries that were leases.
fn claims(folder: &std::path::Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().filter(|e| e.path().join(CLAIM).exists()).count()
}

/// Run what was leased.
fn leased(
    bench: &Bench<'_>,
    view: &mut View,
    number: u32,
    lease: Lease,
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<(), StepError> {
    let (attempt, place, touched) = (lease.attempt, lease.folder.clone(), lease.touched);
    // What a program leaves in its folder would be found by the next.
    let in_process = bench.run.experiment.model.external.is_none();
    let moves = in_process && bench.size == 1 && bench.run.experiment.keep == Keep::Failed;
    let result = renewed(bench.worker.lease_s, lease, || {
        if bench.size > 1 {
            return block::run(bench, view, number, attempt, &place, each, work);
        }
        let mut options = bench.worker.options.clone();
        options.held = Some((attempt, place.clone()));
        options.held_stays = moves;
        let outcome = member::one(bench.run, bench.run.dir.identity.first_iteration, number, &options)?;
        match &outcome {
            Outcome::Done { .. } => work.done += 1,
            Outcome::Failed { .. } => work.failed += 1,
            // Another one had done it meanwhile.
            _ => work.duplicates += 1,
        }
        if moves && !matches!(outcome, Outcome::Failed { .. }) {
            view.spare = Some(spare::Spare::new(Lease { attempt, folder: place.clone(), touched }));
        }
        view.own(bench, number)?;
        each(number, &outcome);
        Ok(())
    });
    if let Err(StepError::Interrupted | StepError::Hindered { .. }) = &result {
        // Given back: whoever comes next need not wait for the lease to run out.
        let _ = fs::remove_dir_all(&place);
    }
    result
}

/// Run trials of given numbers, as launchers that hand out numbers do. One that another holds is left to it.
///
/// # Errors
/// As [`crate::steps::member::run`].
pub(super) fn run_list(
    run: &Run,
    searching: &Searching,
    members: &Members,
    options: &member::Options,
    each: &(dyn Fn(u32, &Outcome) + Sync),
) -> Result<(), StepError> {
    let worker = Worker { options: options.clone(), ..Worker::plain() };
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    let mut work = Work::default();
    begin(run, searching)?;
    let mut last = 0;
    for member in members.iter() {
        stopped(&worker)?;
        run.not_cancelled()?;
        let number = (member - 1) / bench.size + 1;
        if number == last {
            continue;
        }
        last = number;
        view.look(&bench)?;
        if options.again && bench.size == 1 {
            each(member, &member::one(run, run.dir.identity.first_iteration, member, options)?);
        } else if view.known(number) {
            each(member, &Outcome::AlreadyDone);
        } else if let Some(lease) = fresh(&bench, &mut view, number)? {
            leased(&bench, &mut view, number, lease, each, &mut work)?;
        } else if let Again::Got(lease) = again(&bench, number, &bench.folder(number))? {
            leased(&bench, &mut view, number, lease, each, &mut work)?;
        }
    }
    Ok(())
}

/// Give failed trials another try, when they ended the search.
///
/// # Errors
/// The disk.
pub(super) fn reopen(run: &Run, searching: &Searching) -> Result<Vec<u32>, StepError> {
    let search = run.search(searching, &run.prior()?)?;
    if !stuck(run, searching, &search)? {
        return Ok(Vec::new());
    }
    let worker = Worker::plain();
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    view.look(&bench)?;
    let failed = view.failed();
    for &trial in &failed {
        if bench.size > 1 {
            crate::steps::tries::set_aside(&bench.folder((trial - 1) / bench.size + 1), &["data.toml"])?;
        } else {
            reopen::again(run, run.dir.identity.first_iteration, trial)?;
        }
    }
    Ok(failed)
}

/// When a worker of a job with an end should begin nothing more.
#[derive(Debug, Clone)]
pub struct Until {
    /// The end of the job
    pub end: std::time::SystemTime,
    /// Set by a signal (USR1): what runs may finish, nothing else begins
    pub drain: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
}

/// How long trials took.
#[derive(Default)]
struct Pace {
    /// Seconds, ascending
    runs: Vec<f64>,
}

impl Pace {
    fn ran(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = self.runs.partition_point(|known| *known < seconds);
        self.runs.insert(at, seconds);
        if self.runs.len() > 2000 {
            // A thousand of each end tell as much.
            self.runs = self.runs.iter().copied().step_by(2).collect();
        }
    }

    /// Less than twice the time that 95 of 100 trials took is left.
    fn too_late(&self, until: &Until) -> bool {
        if until.drain.as_ref().is_some_and(|drain| drain.load(Ordering::Relaxed)) {
            return true;
        }
        let Some(usual) = self.runs.get(self.runs.len() * 95 / 100).or(self.runs.last()) else {
            return false;
        };
        let left = until.end.duration_since(std::time::SystemTime::now()).unwrap_or(Duration::ZERO);
        left.as_secs_f64() < 2.0 * usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn nothing_begins_that_would_hardly_end_in_time() {
        let mut pace = Pace::default();
        let until = |s: f64| Until { end: SystemTime::now() + Duration::from_secs_f64(s), drain: None };
        assert!(!pace.too_late(&until(0.0)), "nothing is known yet");
        (0..100).for_each(|k| pace.ran(Duration::from_secs_f64(100.0 + f64::from(k))));
        assert!(pace.too_late(&until(350.0)) && !pace.too_late(&until(450.0)));
        let drain = Some(std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)));
        assert!(pace.too_late(&Until { drain, ..until(1e6) }));
    }
}
