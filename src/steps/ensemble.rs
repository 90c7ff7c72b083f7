//! Step 0, and what every update does too: an iteration's folder appears whole.

use std::fs;
use std::path::Path;

use crate::experiment::{Calibration, Task};
use crate::files::{FileError, Iteration, RunDir, save_state, whole_folder};
use crate::numerics::Streams;
use crate::problem::{Algorithm, Ensemble, Observation, Prior, State};
use crate::steps::parameters::{ENSEMBLE, STATE, Writer};
use crate::steps::{Run, StepError, batch, dds, fork, pack, trials};

/// Make the first iteration; false when it was there already.
///
/// # Errors
/// Cancelled, a fault in the prior, the disk.
pub fn run(run: &Run) -> Result<bool, StepError> {
    let first = run.experiment.first_iteration;
    if run.dir.iteration(first).is_dir() {
        return Ok(false);
    }
    run.not_cancelled()?;
    match &run.experiment.task {
        Task::Kalman(calibration) => drawn(run, calibration, first),
        // Chunks make their folders themselves: each draws its own parameters.
        Task::Forward(_) => whole_folder(&run.dir.iteration(first), |_| Ok(())),
        Task::Search(searching) if run.dir.leaderless() => trials::begin(run, searching),
        Task::Search(searching) => dds::first(run, searching, first),
    }
}

/// The first ensemble of a Kalman method.
fn drawn(run: &Run, calibration: &Calibration, first: Iteration) -> Result<bool, StepError> {
    let problem = run.problem()?;
    let (mut ensemble, state) = calibration.algorithm.first(&problem, &Streams::new(run.experiment.seed));
    if let Some(start) = fork::start(&run.dir)? {
        ensemble = start;
    }
    write_iteration(&run.dir, &problem.prior, Some(&problem.observation), first, &ensemble, &state)
}

/// Write an iteration's folder, whole; false when another was first. `observation` is the run's, with all of a series.
///
/// # Errors
/// A parameter is not finite, the disk.
pub fn write_iteration(
    dir: &RunDir,
    prior: &Prior,
    observation: Option<&Observation>,
    iteration: Iteration,
    ensemble: &Ensemble,
    state: &State,
) -> Result<bool, StepError> {
    whole_folder(&dir.iteration(iteration), |hidden| {
        if let Some(batch) = observation.and_then(|y| batch::record(&dir.identity, y, iteration)) {
            durable(&hidden.join("batch.toml"), batch.text().as_bytes())?;
        }
        durable(&hidden.join("ensemble.bin"), &save_state(ENSEMBLE.0, ENSEMBLE.1, ensemble)?)?;
        durable(&hidden.join("state.bin"), &save_state(STATE.0, STATE.1, state)?)?;
        if dir.packed() {
            return pack::write_parameters(dir, prior, iteration, hidden, ensemble);
        }
        let writer = Writer::new(dir, prior);
        for column in 0..ensemble.u.ncols() {
            let member = u32::try_from(column + 1).expect("members are counted in u32");
            let folder = hidden.join(dir.member_name(member));
            fs::create_dir(&folder).map_err(FileError::io("make", &folder))?;
            let path = folder.join("parameters.toml");
            let text = writer.text(ensemble, iteration, member)?;
            fs::write(&path, text).map_err(FileError::io("write", &path))?;
        }
        Ok(())
    })
}

/// Write a file of a folder that is not published yet, and wait until the disk has it.
pub(super) fn durable(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    use std::io::Write as _;
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(FileError::io("write", path))
}
