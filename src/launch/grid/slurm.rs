//! Slurm as a launcher of grids: the calibration script submits, the files tell how far it is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::explain::Exit;
use crate::launch::grid::WatchCells;
use crate::launch::slurm::{GridScheduler, submit};
use crate::launch::{LaunchError, Means};
use crate::steps::StepError;
use crate::steps::grid::{GridRun, due, merge};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often the controller is asked, and only while the files do not move.
const ASK: Duration = Duration::from_secs(30);

/// Submit what is left; with `wait` watch it to its end.
///
/// # Errors
/// Nothing could be submitted; failed cells (exit 4); the chain ended early.
pub fn launch(means: &Means, run: &GridRun, watch: &dyn WatchCells, wait: bool) -> Result<Exit, LaunchError> {
    submit(run.dir.root())?;
    if !wait {
        return Ok(if run.is_over() { Exit::Done } else { Exit::NotYet });
    }
    follow(means, run, watch)
}

/// Watch the files until the grid has its end.
fn follow(means: &Means, run: &GridRun, watch: &dyn WatchCells) -> Result<Exit, LaunchError> {
    let open = || -> Vec<usize> { due::open(run).iter().map(Vec::len).collect() };
    let mut left = open();
    watch.left(run, &left);
    let mut moved = Instant::now();
    loop {
        if run.is_over() {
            return Ok(Exit::Done);
        }
        run.not_cancelled()?;
        if means.stop.load(Ordering::Relaxed) {
            watch.note("no longer watched; the jobs go on (`ekp-status`, `ekp-cancel`)");
            return Err(StepError::Interrupted.into());
        }
        let now = open();
        if now != left {
            watch.standing(run, &now);
            (left, moved) = (now, Instant::now());
        }
        let asks = moved.elapsed() > ASK || left.iter().all(|&open| open == 0);
        if asks
            && GridScheduler::new(run, &|text: &str| watch.note(text))?
                .desk
                .jobs()?
                .iter()
                .all(|j| j.name.ends_with(".collect"))
        {
            // No job of ours is left: the files have the last word.
            if let merge::Outcome::Complete(merged) = merge::run(run, false)? {
                watch.complete(run, &merged);
            }
            return Ok(Exit::Done);
        }
        if asks {
            moved = Instant::now();
        }
        std::thread::sleep(LOOK);
    }
}
