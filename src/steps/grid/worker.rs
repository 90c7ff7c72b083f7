//! Workers of a pool without a coordinator, on a grid: each leases open cells whose cells before have data.

use std::fs;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::files::{CLAIM, Claim, FileError, Iteration, Member, Members, claim};
use crate::steps::StepError;
use crate::steps::grid::due::{CellState, state};
use crate::steps::grid::{GridRun, cell, merge};
use crate::steps::member::Outcome;
use crate::steps::patience::Patience;
use crate::steps::worker::{Work, Worker, name, renewed};

/// Work until every cell has an outcome; with `to_end` also write the tables.
///
/// # Errors
/// Cancelled, interrupted, the disk; failed cells when this worker writes the tables.
pub fn work(
    run: &GridRun,
    worker: &Worker,
    each: &(dyn Fn(Iteration, Member, &Outcome) + Sync),
) -> Result<Work, StepError> {
    let mut work = Work::default();
    let mut patience = Patience::default();
    loop {
        let look = Instant::now();
        run.not_cancelled()?;
        if run.is_over() {
            return Ok(work);
        }
        let (did, open) = sweep(run, worker, each, &mut work)?;
        if !open {
            return if worker.to_end { close(run, worker, work) } else { Ok(work) };
        }
        if did {
            patience.over();
        } else if worker.wait {
            patience.wait(look);
        } else {
            return Ok(work);
        }
    }
}

/// Write the tables, if nobody is at it.
fn close(run: &GridRun, worker: &Worker, mut work: Work) -> Result<Work, StepError> {
    let folder = run.dir.results();
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    let Claim::Got(lease) = claim(&folder, worker.lease_s, &name(worker))? else { return Ok(work) };
    let place = lease.folder.clone();
    let result = renewed(worker.lease_s, lease, || merge::run(run, false));
    let _ = fs::remove_dir_all(place);
    match result? {
        merge::Outcome::Complete(_) => work.closed += 1,
        merge::Outcome::Over => {}
    }
    Ok(work)
}

/// One pass over all cells: whether this worker did something, and whether any cell is open.
fn sweep(
    run: &GridRun,
    worker: &Worker,
    each: &(dyn Fn(Iteration, Member, &Outcome) + Sync),
    work: &mut Work,
) -> Result<(bool, bool), StepError> {
    let (mut did, mut open) = (false, false);
    for stage in (1..=run.last_stage()).filter(|stage| worker.iteration.is_none_or(|only| only == *stage)) {
        let cells = run.cells(stage);
        // Workers begin at different places, so that they do not all reach for the same cell.
        let start = worker.options.worker.wrapping_sub(1).wrapping_mul(7919) % cells.max(1);
        for k in 0..cells {
            let number = (start + k) % cells + 1;
            if worker.options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
                return Err(StepError::Interrupted);
            }
            if state(run, stage, number) != CellState::Open {
                continue;
            }
            open = true;
            if !ready(run, stage, number) {
                continue;
            }
            run.not_cancelled()?;
            let folder = run.folder(stage, number);
            fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
            let Claim::Got(lease) = claim(&folder, worker.lease_s, &name(worker))? else { continue };
            let mut options = worker.options.clone();
            let place = lease.folder.clone();
            options.held = Some((lease.attempt, place.clone()));
            let told = std::sync::Mutex::new((0usize, 0usize));
            renewed(worker.lease_s, lease, || {
                cell::run(run, stage, &Members::new(vec![number]), &options, &|m, outcome| {
                    let mut told = told.lock().expect("no one panics under this lock");
                    match outcome {
                        Outcome::Done { .. } => told.0 += 1,
                        Outcome::Failed { .. } => told.1 += 1,
                        _ => {}
                    }
                    each(stage, m, outcome);
                })
            })?;
            let (done, failed) = told.into_inner().expect("no one panics under this lock");
            work.done += done;
            work.failed += failed;
            did = true;
            if done == 0 {
                // Nothing ran in it, or its record says what: a lease without a try.
                let _ = fs::remove_file(place.join(CLAIM));
                let _ = fs::remove_dir(&place);
            }
        }
    }
    Ok((did, open))
}

/// Whether every cell it stands on has an outcome.
fn ready(run: &GridRun, stage: Iteration, cell: Member) -> bool {
    run.upstream(stage, cell)
        .iter()
        .all(|(before, cells)| cells.iter().all(|&c| state(run, *before, c) != CellState::Open))
}
