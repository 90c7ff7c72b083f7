//! `start.bin`: the ensemble of another run, which a forked run starts from.
//!
//! The run's id is of its digest, too: a start that is gone, damaged, or that of another run is found out before the first
//! iteration is made from it. Belongs here: taking it, checking it, putting it back. Not here: what becomes of it
//! (`ensemble`).

use std::path::Path;

use crate::experiment::Experiment;
use crate::files::{FileError, RunDir, digest, load_state, publish_durable, run_id, save_state};
use crate::problem::{Ensemble, Prior};
use crate::steps::due::open_iteration;
use crate::steps::parameters::ENSEMBLE;
use crate::steps::{Run, StepError};

/// The ensemble of an iteration of the run `from`.
///
/// # Errors
/// The experiment cannot start from one, or not from that one; the disk.
pub(super) fn parent(
    from: &Path,
    iteration: u32,
    prior: &Prior,
    experiment: &Experiment,
) -> Result<Ensemble, StepError> {
    let Some(calibration) = experiment.calibration() else {
        return Err(StepError::Refused {
            what: format!(
                "`{}` has no ensemble: it cannot start from that of another run",
                experiment.method
            ),
            hint: "`--from` forks into a run of a Kalman method".into(),
        });
    };
    if calibration.algorithm.places(prior).is_some() {
        return Err(StepError::Refused {
            what: format!("`{}` places its members itself: it cannot start from another ensemble", experiment.method),
            hint: "write mean and spread of the other run's result into `priors.toml`, or fork to another method".into(),
        });
    }
    let parent = Run::look(from)?;
    if !parent.dir.ensemble(iteration).is_file() {
        let first = parent.experiment.first_iteration;
        return Err(StepError::Refused {
            what: format!("`{}` has no ensemble of iteration {iteration}", from.display()),
            hint: match open_iteration(&parent) {
                Some(last) if last > first => format!("it has those of iterations {first} to {last}"),
                Some(_) => format!("it has that of iteration {first}"),
                None => "it has none yet: `ekp-init-ensemble` makes the first".into(),
            },
        });
    }
    let ensemble: Ensemble = load_state(&parent.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let theirs: Vec<(String, usize)> = parent
        .dir
        .identity
        .parameters
        .iter()
        .cloned()
        .zip(parent.dir.identity.components.iter().copied())
        .collect();
    if theirs != prior.names()
        || ensemble.u.nrows() != prior.dim()
        || ensemble.u.ncols() != experiment.members as usize
    {
        let list = |names: &[(String, usize)]| {
            let words: Vec<String> = names
                .iter()
                .map(|(name, n)| if *n == 1 { format!("`{name}`") } else { format!("`{name}` ({n})") })
                .collect();
            words.join(", ")
        };
        return Err(StepError::Refused {
            what: format!(
                "`{}` has {} members of {}, the experiment has {} of {}",
                from.display(),
                ensemble.u.ncols(),
                list(&theirs),
                experiment.members,
                list(prior.names())
            ),
            hint: "a fork keeps parameters and ensemble size; method, model and observation may change"
                .into(),
        });
    }
    Ok(ensemble)
}

/// What of a start the run's id knows.
pub(super) fn digest_of(start: &Ensemble) -> String {
    digest(&start.u.data().iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())
}

/// The ensemble that a run was made to start from; none where it draws its own.
///
/// # Errors
/// [`StepError::Start`] where it is not that one, the disk.
pub(super) fn start(dir: &RunDir) -> Result<Option<Ensemble>, StepError> {
    let id = &dir.identity;
    let made_with = |beginning: &str| {
        run_id(&id.experiment, &id.priors, &format!("{}{beginning}", id.observation)) == id.id
    };
    let wrong = |why: String| StepError::Start { path: dir.fork(), why, again: "--from RUN:N" };
    match load_state(&dir.fork(), ENSEMBLE.0, ENSEMBLE.1) {
        Ok(start) if made_with(&digest_of(&start)) => Ok(Some(start)),
        Ok(_) => Err(wrong("it is not the ensemble that this run was made to start from".into())),
        Err(e) if e.is_missing() && made_with("") => Ok(None),
        Err(e) if e.is_missing() && dir.adopted().exists() => Err(StepError::Start {
            path: dir.iteration(id.first_iteration),
            why: "it is gone, and it was made by other tools".into(),
            again: "--adopt DIR",
        }),
        Err(e) if e.is_missing() => Err(wrong("it is gone, and this run was made to start from it".into())),
        Err(FileError::Invalid { why, .. }) => Err(wrong(why)),
        Err(FileError::Io { source, .. }) => Err(wrong(source.to_string())),
        Err(e) => Err(e.into()),
    }
}

/// Put a run's start back where it is damaged or gone; true if it was.
///
/// # Errors
/// The disk.
pub(super) fn restore(dir: &RunDir, start: Option<&Ensemble>) -> Result<bool, StepError> {
    let Some(start) = start else { return Ok(false) };
    let path = dir.fork();
    if load_state::<Ensemble>(&path, ENSEMBLE.0, ENSEMBLE.1).is_ok_and(|found| found == *start) {
        return Ok(false);
    }
    publish_durable(&path, &save_state(ENSEMBLE.0, ENSEMBLE.1, start)?)?;
    Ok(true)
}
