//! `--once`: do what is due and return. Safe from cron and from two hosts.
//!
//! On one host a courtesy lock lets one call work while the others return; between hosts, and where the
//! file system cannot lock, leases keep each member with one worker.

use std::sync::atomic::Ordering;

use crate::explain::Exit;
use crate::launch::crew::side_by_side;
use crate::launch::workers::alone;
use crate::launch::{LaunchError, Means, Watch, threads, workers};
use crate::plan::Due;
use crate::steps::worker::{self, Worker};
use crate::steps::{Run, due, ensemble, update};

/// Make the first ensemble if it is due, run the open members, close the iteration. 0: closed, 3: others are at it.
///
/// # Errors
/// What kept the step from being done.
pub fn once(run: &Run, means: &Means, watch: &dyn Watch) -> Result<Exit, LaunchError> {
    let _lock = match alone(&run.dir) {
        Ok(lock) => lock,
        Err(LaunchError::Busy) => return Ok(Exit::NotYet),
        Err(e) => return Err(e),
    };
    if due::due(run)? == Due::Ensemble {
        ensemble::run(run)?;
    }
    if let Due::Members(iteration, members) = due::due(run)? {
        watch.begin(iteration, members.len());
        pool(run, means, iteration, watch)?;
    }
    match due::due(run)? {
        Due::Update(iteration) => {
            super::told(watch, &update::run_by(run, iteration, means.workers)?);
            Ok(Exit::Done)
        }
        Due::Over => Ok(Exit::Done),
        _ => Ok(Exit::NotYet),
    }
}

/// As many leasing workers as lanes, in threads: each runs programs, or a built-in model.
fn pool(run: &Run, means: &Means, iteration: u32, watch: &dyn Watch) -> Result<(), LaunchError> {
    let lanes = workers::that_fit(
        means.workers.min(run.dir.chunks(iteration) as usize).max(1),
        threads::FILES,
        watch,
    );
    let mut ranks: Vec<usize> = (1..=lanes).collect();
    let results = side_by_side(&mut ranks, |rank| {
        let worker = Worker { options: means.of_lane(*rank), iteration: Some(iteration), ..Worker::plain() };
        let result = worker::work(run, &worker, &|m, outcome| watch.member(m, outcome)).map(|_| ());
        if result.is_err() {
            means.stop.store(true, Ordering::Relaxed);
        }
        result
    });
    Ok(results.into_iter().flatten().find(Result::is_err).unwrap_or(Ok(()))?)
}
