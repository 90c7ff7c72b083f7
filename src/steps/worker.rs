//! A worker of a pool without a coordinator: it leases open members from the folder until none is left.
//!
//! Any number of workers on any number of hosts may run at once; each member is done once, also by workers
//! that do not know of each other. With `to_end` the workers close the iterations too and go on to the end.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::experiment::Keep;
use crate::files::{CLAIM, Claim, FileError, Iteration, Lease, Members, claim};
use crate::machine;
use crate::plan::Due;
use crate::steps::member::{Options, Outcome};
use crate::steps::patience::Patience;
use crate::steps::reopen::RERUNS;
use crate::steps::trials::Until;
use crate::steps::{Run, StepError, due, ensemble, member, trials, update};

/// A lease not renewed for so long was left behind, seconds.
pub const LEASE_S: f64 = 60.0;

/// How a worker works.
#[derive(Debug, Clone)]
pub struct Worker {
    /// How members are run
    pub options: Options,
    /// A lease not renewed for so long is taken over
    pub lease_s: f64,
    /// Close iterations too and go on to the end of the run
    pub to_end: bool,
    /// Only this iteration
    pub iteration: Option<Iteration>,
    /// Wait for members that others hold, to take over what they leave behind
    pub wait: bool,
    /// In a job that ends: when to begin nothing more
    pub until: Option<Until>,
}

impl Worker {
    /// One that only looks, or runs what it is told to.
    pub fn plain() -> Self {
        Self {
            options: Options::default(),
            lease_s: LEASE_S,
            to_end: false,
            iteration: None,
            wait: false,
            until: None,
        }
    }
}

/// What a worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Members that have data now
    pub done: usize,
    /// Members that failed
    pub failed: usize,
    /// Iterations closed
    pub closed: usize,
    /// Trials that another had finished first
    pub duplicates: usize,
    /// It began nothing more because its job ends
    pub left_early: bool,
}

/// Work until nothing is left to lease.
///
/// # Errors
/// Cancelled, interrupted, the disk; too many failures when this worker closes iterations.
pub fn work(run: &Run, worker: &Worker, each: &(dyn Fn(u32, &Outcome) + Sync)) -> Result<Work, StepError> {
    if let Some(searching) = run.experiment.searching().filter(|_| run.dir.leaderless()) {
        return trials::work(run, searching, worker, each);
    }
    let mut work = Work::default();
    let mut reruns: BTreeMap<Iteration, usize> = BTreeMap::new();
    let mut patience = Patience::default();
    loop {
        let look = Instant::now();
        run.not_cancelled()?;
        stopped(worker)?;
        let due = due::due(run)?;
        let now = match &due {
            Due::Ensemble => {
                ensemble::run(run)?;
                continue;
            }
            Due::Over => return Ok(work),
            Due::Members(iteration, _) | Due::Update(iteration) => *iteration,
        };
        if worker.iteration.is_some_and(|only| only != now) {
            return Ok(work);
        }
        let did = match due {
            Due::Members(iteration, members) => {
                let list: Vec<u32> = members.iter().collect();
                sweep(run, worker, iteration, &list, each, &mut work)?
            }
            _ if !worker.to_end => return Ok(work),
            _ => close(run, worker, now, &mut work, reruns.entry(now).or_default())?,
        };
        match did {
            Did::Something => patience.over(),
            Did::Nothing if !worker.wait => return Ok(work),
            Did::Nothing => patience.wait(look),
        }
    }
}

/// What a look at the folder led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Something,
    /// All that is open is held by others
    Nothing,
}

/// `Interrupted` once somebody asked the worker to stop.
pub(super) fn stopped(worker: &Worker) -> Result<(), StepError> {
    let stop = worker.options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed));
    if stop { Err(StepError::Interrupted) } else { Ok(()) }
}

/// Who has a lease, in words: host, process and number of the worker.
pub(super) fn name(worker: &Worker) -> String {
    format!("{} {} worker {}", machine::host(), std::process::id(), worker.options.worker)
}

/// Close an iteration, if nobody is at it: hundreds of workers that all read every outcome, and each write
/// the next ensemble, would be right, too, but a burden for the disk.
fn close(
    run: &Run,
    worker: &Worker,
    iteration: Iteration,
    work: &mut Work,
    reruns: &mut usize,
) -> Result<Did, StepError> {
    let Claim::Got(lease) = claim(&run.dir.iteration(iteration), worker.lease_s, &name(worker))? else {
        return Ok(Did::Nothing);
    };
    let folder = lease.folder.clone();
    let result = renewed(worker.lease_s, lease, || update::run_by(run, iteration, worker.options.threads));
    // Best effort: a lease that stays runs out.
    let _ = fs::remove_dir_all(folder);
    match result {
        Ok(update::Outcome::Closed(_) | update::Outcome::Finished(_) | update::Outcome::Merged(_)) => {
            work.closed += 1
        }
        Ok(_) => {}
        // Defective outcomes were found and put aside: their members run again, a few times.
        Err(StepError::NotReady { missing, .. }) => {
            *reruns += 1;
            if *reruns > RERUNS {
                update::count_lost(run, iteration, &missing)?;
            }
        }
        Err(e) => return Err(e),
    }
    Ok(Did::Something)
}

/// One pass over the open members.
fn sweep(
    run: &Run,
    worker: &Worker,
    iteration: Iteration,
    open: &[u32],
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<Did, StepError> {
    let (mut did, mut busy) = (false, false);
    // Workers begin at different places, so that they do not all reach for the same member.
    let start = (worker.options.worker as usize).wrapping_sub(1) * 7919 % open.len().max(1);
    let mut chunk_done = 0;
    for k in 0..open.len() {
        let m = open[(start + k) % open.len()];
        stopped(worker)?;
        run.not_cancelled()?;
        let (folder, finished) = if run.dir.packed() {
            let chunk = (m - 1) / run.dir.identity.pack + 1;
            if chunk == chunk_done {
                continue;
            }
            chunk_done = chunk;
            let folder = run.dir.chunk(iteration, chunk);
            let finished = folder.join("data.toml").exists();
            (folder, finished)
        } else {
            let folder = run.dir.member(iteration, m);
            let finished = folder.join("data.toml").exists() || folder.join("failed.toml").exists();
            (folder, finished)
        };
        if finished {
            continue;
        }
        let claimed = match claim(&folder, worker.lease_s, &name(worker)) {
            // A purge of the disk took the folder: it comes back with its parameters.
            Err(e) if e.is_missing() => {
                fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
                claim(&folder, worker.lease_s, &name(worker))?
            }
            claimed => claimed?,
        };
        match claimed {
            Claim::Got(lease) => {
                leased(run, worker, iteration, m, lease, each, work)?;
                did = true;
            }
            Claim::Busy => busy = true,
        }
    }
    // Nothing open and nothing held: others were quicker, the next look finds what is due.
    Ok(if did || !busy { Did::Something } else { Did::Nothing })
}

/// Run one member (or its pack) under a lease.
fn leased(
    run: &Run,
    worker: &Worker,
    iteration: Iteration,
    m: u32,
    lease: Lease,
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<(), StepError> {
    let place = lease.folder.clone();
    let mut options = worker.options.clone();
    options.held = Some((lease.attempt, place.clone()));
    let tally = Mutex::new((0usize, 0usize));
    let members = Members::new(vec![m]);
    renewed(worker.lease_s, lease, || {
        member::run(run, iteration, &members, &options, &|m, outcome| {
            let mut tally = tally.lock().expect("no one panics under this lock");
            match outcome {
                Outcome::Done { .. } => tally.0 += 1,
                Outcome::Failed { .. } => tally.1 += 1,
                _ => {}
            }
            each(m, outcome);
        })
    })?;
    let (done, failed) = tally.into_inner().expect("no one panics under this lock");
    let in_process = run.experiment.model.external.is_none();
    if run.dir.identity.models > 0 && !in_process && done + failed > 0 {
        // Programs of a chunk work inside the lease; what is kept of them keeps the folder.
        let _ = fs::remove_file(place.join(CLAIM));
        let _ = fs::remove_dir(place);
    } else if done + failed == 0
        || (run.dir.packed() && run.experiment.keep != Keep::All)
        || (run.dir.identity.models > 0 && in_process)
    {
        // Another one had done it; or a lease of a pack, which holds nothing but the claim.
        let _ = fs::remove_dir_all(place);
    }
    work.done += done;
    work.failed += failed;
    Ok(())
}

/// Do `work` while a thread says every quarter of the lease that it goes on.
pub(super) fn renewed<T>(
    lease_s: f64,
    lease: Lease,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let held = Held::new(lease, Duration::from_secs_f64((lease_s / 4.0).max(0.05)));
    let result = work();
    drop(held);
    result
}

/// A lease that is being renewed, until this goes.
struct Held(u64);

/// Leases of this process. One thread renews them all: one for each trial would cost as much as the trial's files.
struct Keeper {
    leases: Vec<(u64, Instant, Duration, Lease)>,
    next: u64,
    /// When the thread looks again by itself; none: it waits to be called, or is not there yet
    wakes: Option<Instant>,
    runs: bool,
}

static KEEPER: (Mutex<Keeper>, Condvar) =
    (Mutex::new(Keeper { leases: Vec::new(), next: 0, wakes: None, runs: false }), Condvar::new());

impl Held {
    fn new(lease: Lease, every: Duration) -> Self {
        let mut keeper = KEEPER.0.lock().expect("no one panics under this lock");
        let (id, due) = (keeper.next, Instant::now() + every);
        keeper.next += 1;
        keeper.leases.push((id, due, every, lease));
        if !keeper.runs {
            // One that cannot be renewed costs double work at worst; the next lease asks for the thread again.
            keeper.runs = std::thread::Builder::new().spawn(keep).is_ok();
        } else if keeper.wakes.is_none_or(|wakes| wakes > due) {
            KEEPER.1.notify_one();
        }
        Self(id)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The lock: none is renewed after its work has ended.
        KEEPER.0.lock().expect("no one panics under this lock").leases.retain(|(id, ..)| *id != self.0);
    }
}

fn keep() {
    let mut keeper = KEEPER.0.lock().expect("no one panics under this lock");
    loop {
        let now = Instant::now();
        for (_, due, every, lease) in &mut keeper.leases {
            if *due <= now {
                // One that cannot be renewed costs double work at worst.
                lease.renew();
                *due = Instant::now() + *every;
            }
        }
        keeper.wakes = keeper.leases.iter().map(|(_, due, ..)| *due).min();
        keeper = match keeper.wakes {
            Some(wakes) => {
                let pause = wakes.saturating_duration_since(Instant::now());
                KEEPER.1.wait_timeout(keeper, pause).expect("no one panics under this lock").0
            }
            None => KEEPER.1.wait(keeper).expect("no one panics under this lock"),
        };
    }
}
