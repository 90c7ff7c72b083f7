//! A worker of a pool without a coordinator: it leases open members from the folder until none is left.
//!
//! Any number of workers on any number of hosts may run at once; each member is done once, also by workers
//! that do not know of each other. With `to_end` the workers close the iterations too and go on to the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::files::{Claim, Iteration, claim};
use crate::machine;
use crate::plan::Due;
use crate::steps::member::{Options, Outcome};
use crate::steps::{Run, StepError, due, ensemble, member, outcomes, update};

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
}

/// Work until nothing is left to lease.
///
/// # Errors
/// Cancelled, interrupted, the disk; too many failures when this worker closes iterations.
pub fn work(run: &Run, worker: &Worker, each: &(dyn Fn(u32, &Outcome) + Sync)) -> Result<Work, StepError> {
    let mut work = Work::default();
    loop {
        run.not_cancelled()?;
        match due::due(run)? {
            Due::Over => return Ok(work),
            Due::Ensemble => {
                ensemble::run(run)?;
            }
            Due::Members(iteration, _) if worker.iteration.is_some_and(|only| only != iteration) => {
                return Ok(work);
            }
            Due::Update(iteration) if worker.iteration.is_some_and(|only| only != iteration) => {
                return Ok(work);
            }
            Due::Members(iteration, members) => {
                let list: Vec<u32> = members.iter().collect();
                let (did, busy) = sweep(run, worker, iteration, &list, each, &mut work)?;
                if !did && busy && !worker.wait {
                    return Ok(work);
                }
                if !did && busy {
                    // Others are at it: look again, not faster than once a second.
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            Due::Update(iteration) if worker.to_end => match update::run(run, iteration, false) {
                Ok(_) => work.closed += 1,
                // A defective outcome was found: it is put aside, and its member runs again.
                Err(StepError::NotReady { missing, .. }) => {
                    for (m, _) in missing {
                        member::set_aside(&run.dir.member(iteration, m), &["data.toml", "failed.toml"])?;
                    }
                }
                Err(e) => return Err(e),
            },
            Due::Update(_) => return Ok(work),
        }
    }
}

/// One pass over the open members; tells whether something was done and whether something is held by others.
fn sweep(
    run: &Run,
    worker: &Worker,
    iteration: Iteration,
    open: &[u32],
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<(bool, bool), StepError> {
    let (mut did, mut busy) = (false, false);
    // Workers begin at different places, so that they do not all reach for the same member.
    let start = (worker.options.worker as usize).wrapping_sub(1) * 7919 % open.len().max(1);
    let mut chunk_done = 0;
    for k in 0..open.len() {
        let m = open[(start + k) % open.len()];
        if worker.options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
            return Err(StepError::Interrupted);
        }
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
        let name = format!("{} {} worker {}", machine::host(), std::process::id(), worker.options.worker);
        let Claim::Got(lease) = claim(&folder, worker.lease_s, &name)? else {
            busy = true;
            continue;
        };
        let mut options = worker.options.clone();
        options.held = Some((lease.attempt, lease.folder.clone()));
        let count = |m: u32, outcome: &Outcome| each(m, outcome);
        let result = renewed(worker.lease_s, lease, || {
            let tally = std::sync::Mutex::new((0usize, 0usize));
            let members = crate::files::Members::new(vec![m]);
            member::run(run, iteration, &members, &options, &|m, outcome| {
                let mut tally = tally.lock().expect("no one panics under this lock");
                match outcome {
                    Outcome::Done { .. } => tally.0 += 1,
                    Outcome::Failed { .. } => tally.1 += 1,
                    _ => {}
                }
                count(m, outcome);
            })?;
            Ok(tally.into_inner().expect("no one panics under this lock"))
        });
        let (done, failed) = result?;
        work.done += done;
        work.failed += failed;
        did = true;
    }
    if !did && !busy && outcomes::missing(run, iteration)?.is_empty() {
        did = true;
    }
    Ok((did, busy))
}

/// Do `work` while a thread says every quarter of the lease that it goes on.
fn renewed<T>(
    lease_s: f64,
    lease: crate::files::Lease,
    work: impl FnOnce() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let over = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let watch = Arc::clone(&over);
    let every = Duration::from_secs_f64((lease_s / 4.0).max(0.05));
    let thread = std::thread::spawn(move || {
        let (over, wake) = &*watch;
        let mut ended = over.lock().expect("no one panics under this lock");
        while !*ended {
            let (guard, timeout) = wake.wait_timeout(ended, every).expect("no one panics under this lock");
            ended = guard;
            if timeout.timed_out() && !*ended {
                lease.renew();
            }
        }
    });
    let result = work();
    *over.0.lock().expect("no one panics under this lock") = true;
    over.1.notify_all();
    let _ = thread.join();
    result
}
