//! Carrying out grids: lanes on this machine, make, MPI, a Slurm chain; the scripts of a run folder.
//!
//! Belongs here: what loops of iterations have in the files beside this folder. Not here: what a cell is.

pub mod crew;
pub mod dry_run;
pub mod scripts;
pub mod setup;
pub mod slurm;

use std::path::Path;

use crate::files::{Iteration, Member};
use crate::launch::crew::Lane;
use crate::launch::local::Local;
use crate::launch::make::Make;
use crate::launch::mpi::Mpi;
use crate::launch::site::{Job, Site};
use crate::launch::{LaunchError, Means, Watch, threads, workers};
use crate::steps::grid::{GridRun, cell, merge};
use crate::steps::member::{Options, Outcome};

/// Who wants to know how a grid goes.
pub trait WatchCells: Watch {
    /// So many cells of each stage are left to run.
    fn left(&self, run: &GridRun, open: &[usize]);
    /// The same, seen from outside while jobs are at work.
    fn standing(&self, run: &GridRun, open: &[usize]);
    /// A cell ended.
    fn cell(&self, run: &GridRun, stage: Iteration, cell: Member, outcome: &Outcome);
    /// All outcomes are judged, and all are ok.
    fn complete(&self, run: &GridRun, merged: &merge::Merged);
}

/// Cells of one array element of a stage.
pub fn per_element(site: &Site, stage: &str) -> u32 {
    site.slurm.request(Job::Stage(stage)).members_per_task.unwrap_or(1).max(1)
}

/// Carry a grid to its end in worker processes.
///
/// # Errors
/// What keeps it from its end; failed cells (exit 4).
pub fn local(local: &Local, run: &GridRun, watch: &dyn WatchCells) -> Result<(), LaunchError> {
    local.with_workers(run.dir.root(), watch, |means, lane| crew::carry(run, watch, means, lane))
}

/// Carry a grid to its end in threads of this process.
///
/// # Errors
/// As [`local`].
pub fn in_threads(means: &Means, run: &GridRun, watch: &dyn WatchCells) -> Result<(), LaunchError> {
    let mut means = means.clone();
    means.workers = workers::that_fit(means.workers, threads::FILES, watch);
    crew::carry(run, watch, &means, &mut |number| {
        Ok(Box::new(Thread { run, options: means.of_lane(number) }) as Box<dyn Lane + '_>)
    })
}

struct Thread<'a> {
    run: &'a GridRun,
    options: Options,
}

impl Lane for Thread<'_> {
    fn members(
        &mut self,
        stage: Iteration,
        cells: &crate::files::Members,
        each: &(dyn Fn(Member, &Outcome) + Sync),
    ) -> Result<(), LaunchError> {
        Ok(cell::run(self.run, stage, cells, &self.options, each)?)
    }
}

/// Carry a grid to its end with make.
///
/// # Errors
/// As [`local`].
pub fn make(make: &Make, run: &GridRun, watch: &dyn WatchCells) -> Result<(), LaunchError> {
    make.carry(run.dir.root())?;
    conclude(run, watch, &make.means)
}

/// Carry a grid to its end with ranks under mpirun or srun.
///
/// # Errors
/// As [`local`].
pub fn mpi(mpi: &Mpi, run: &GridRun, watch: &dyn WatchCells) -> Result<(), LaunchError> {
    mpi.carry(run.dir.root())?;
    conclude(run, watch, &mpi.means)
}

/// Another program carried the plan: the files say how it ended.
fn conclude(run: &GridRun, watch: &dyn WatchCells, means: &Means) -> Result<(), LaunchError> {
    use std::sync::atomic::Ordering;
    if means.stop.load(Ordering::Relaxed) {
        return Err(crate::steps::StepError::Interrupted.into());
    }
    if let merge::Outcome::Complete(merged) = merge::run(run, false)? {
        watch.complete(run, &merged);
    }
    Ok(())
}

/// A run folder's name as a person types it.
fn shown(root: &Path) -> String {
    crate::launch::setup::shown(root)
}
