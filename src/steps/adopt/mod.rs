//! Adopting a folder that another tool made: its iterations become the first ones of a run.
//!
//! ```text
//!   folder.rs    names: iterations from 0 or 1, members from 1
//!   values.rs    parameters of members, checked against the prior, unconstrained
//!   outputs.rs   numbers of members, or a matrix for all of them
//!   numbers.rs   numbers out of csv, text, npy and TOML
//!   replay.rs    the algorithm on each iteration that is closed: step, time, memory
//!   write.rs     all of it as files of a run
//! ```
//! Taken as they are: parameters and outputs, because the other tool drew other numbers. Replayed: what the
//! algorithm keeps between iterations. Everything is read, checked and replayed before anything is written.
//! Not here: how the run folder comes to be (`steps::init`), what comes after the last adopted iteration.

mod folder;
mod numbers;
mod outputs;
mod replay;
mod values;
mod write;

use std::path::Path;

use serde::Deserialize;

use crate::experiment::{Calibration, Experiment};
use crate::files::{Record, digest};
use crate::problem::{Ensemble, Problem, Report, State, Stop};
use crate::steps::StepError;

pub(super) use write::write;

/// The iterations of a folder, ready to be written.
#[derive(Debug)]
pub struct Adopted {
    /// In order; the last one is open, or the result
    pub iterations: Vec<Past>,
    /// Of all parameters and outputs
    pub digest: String,
    /// The folder, seen from the run
    pub origin: String,
    /// What a person should know
    pub warnings: Vec<String>,
}

/// One iteration.
#[derive(Debug)]
pub struct Past {
    /// Name of its folder there
    name: String,
    /// Physical values of each member, as its file has them
    theta: Vec<Vec<f64>>,
    /// The same unconstrained, d × J
    ensemble: Ensemble,
    /// What each member left
    got: Vec<Got>,
    /// The files that was read from: `G_ensemble.npy`, or `member_*/output.csv`; empty when there was none
    source: String,
    /// The algorithm's state at its start
    state: State,
    /// How it was closed; none for the last one
    closed: Option<Closed>,
}

/// What a member left.
#[derive(Debug, Clone, PartialEq)]
enum Got {
    /// Numbers of all blocks, one after the other
    Data(Vec<f64>),
    /// It failed: word of the cause, and a line
    Failed(&'static str, String),
    /// No outcome yet
    Nothing,
}

/// What the algorithm says of an iteration.
#[derive(Debug)]
struct Closed {
    report: Report,
    stop: Option<Stop>,
}

/// `adopted.toml`: where the first iterations of a run came from.
#[derive(Debug, Deserialize)]
pub(super) struct AdoptedRecord {
    /// Of all parameters and outputs that were adopted
    pub(super) digest: String,
}

impl Record for AdoptedRecord {
    const SCHEMA: &'static str = "ekp.adopted";
    const VERSION: u32 = 1;
}

/// Read, check and replay `folder`; `priors` is the text of `priors.toml`.
///
/// # Errors
/// `Refused` for an experiment that cannot adopt, and for the first thing in the folder that does not fit.
pub(super) fn read(
    folder: &Path,
    experiment: &Experiment,
    problem: &Problem,
    priors: &str,
) -> Result<Adopted, StepError> {
    let calibration = fits(experiment, problem)?;
    let found = folder::look(folder, experiment.members)?;
    let mut known = values::Reader::new(&problem.prior, priors);
    let shape = problem.observation.shape();
    let want = outputs::Wanted { shape: &shape, nan_tolerance: experiment.failures.nan_tolerance };
    let (mut iterations, mut warnings) = (Vec::new(), Vec::new());
    for (k, one) in found.iterations.iter().enumerate() {
        let (theta, ensemble) = known.iteration(one)?;
        let last = k + 1 == found.iterations.len();
        let outputs::Found { got, source } = want.iteration(one, last, &mut warnings)?;
        let state = State::default();
        iterations.push(Past { name: one.name.clone(), theta, ensemble, got, source, state, closed: None });
    }
    replay::replay(experiment, &calibration.algorithm, problem, &mut iterations, &mut warnings)?;
    within(experiment, folder, &iterations)?;
    let digest = digest_of(&iterations);
    let origin = folder.display().to_string();
    if found.base != experiment.first_iteration {
        warnings.push(format!(
            "{} is iteration {} of the run; `layout.first_iteration = {}` keeps their numbers",
            iterations[0].name, experiment.first_iteration, found.base
        ));
    }
    Ok(Adopted { iterations, digest, origin, warnings })
}

impl Adopted {
    /// Where the adopted iterations end, in one line.
    pub fn summary(&self, folder: &Path) -> String {
        let closed = self.iterations.iter().filter_map(|past| past.closed.as_ref());
        let (n, time) = closed.fold((0, 0.0), |(n, _), c| (n + 1, c.report.time));
        let last = self.iterations.last().expect("a folder without iterations is refused");
        let done = last.got.iter().filter(|got| **got != Got::Nothing).count();
        format!(
            "adopted {} of `{}`: {n} closed, pseudo-time {time:.4}; the last has {done} of {} outputs",
            if self.iterations.len() == 1 {
                "1 iteration".into()
            } else {
                format!("{} iterations", self.iterations.len())
            },
            folder.display(),
            last.got.len()
        )
    }
}

/// Methods of another kind.
pub(super) fn no_ensembles(experiment: &Experiment) -> StepError {
    let what = format!("`{}` cannot adopt a folder: it has no ensembles", experiment.method);
    refused(what, "choose `etki` or `eki`")
}

/// Methods and problems whose past can be told from an ensemble and its outputs.
fn fits<'a>(experiment: &'a Experiment, problem: &Problem) -> Result<&'a Calibration, StepError> {
    let refuse = |what: String, hint: &str| Err(refused(what, hint));
    let Some(calibration) = experiment.calibration() else { return Err(no_ensembles(experiment)) };
    if calibration.algorithm.places(&problem.prior).is_some() {
        return refuse(
            format!(
                "`{}` cannot adopt a folder: it goes on from a mean and a covariance, which its members do not tell",
                experiment.method
            ),
            "write mean and spread of the last iteration into `priors.toml` and begin anew, or choose `etki` or `eki`",
        );
    }
    if problem.observation.series().is_some() {
        return refuse(
            "the observation is a series: which of its batches an adopted iteration saw cannot be told"
                .into(),
            "name one observation, or begin anew: `ekp-init` without `--adopt`",
        );
    }
    if problem.prior.fields()?.is_some() {
        return refuse(
            "the prior has a random field: its coefficients cannot be told from the values in a member's file".into(),
            "begin anew: `ekp-init` without `--adopt`",
        );
    }
    if experiment.model.pack > 1 {
        return refuse(
            format!(
                "`model.pack` is {}: an adopted iteration has an outcome for each member",
                experiment.model.pack
            ),
            "take `pack` out of the experiment, or `--set model.pack=1`",
        );
    }
    Ok(calibration)
}

/// Does the experiment ask for as many iterations as there are?
fn within(experiment: &Experiment, folder: &Path, iterations: &[Past]) -> Result<(), StepError> {
    let last = iterations.last().expect("a folder without iterations is refused");
    let evaluated = last.got.iter().any(|got| *got != Got::Nothing);
    let run = iterations.len() - usize::from(!evaluated);
    if run <= experiment.iterations as usize {
        return Ok(());
    }
    Err(refused(
        format!(
            "`{}` has {run} iterations with outputs, the experiment has at most {}",
            folder.display(),
            experiment.iterations
        ),
        &format!("`--set algorithm.iterations={}`, or more", run),
    ))
}

fn digest_of(iterations: &[Past]) -> String {
    let mut bytes = Vec::new();
    let mut add = |numbers: &[f64]| {
        bytes.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
    };
    for past in iterations {
        past.theta.iter().for_each(|theta| add(theta));
        for got in &past.got {
            match got {
                Got::Data(values) => add(values),
                Got::Failed(..) => add(&[1.0]),
                Got::Nothing => add(&[2.0]),
            }
        }
    }
    digest(&bytes)
}

fn refused(what: String, hint: &str) -> StepError {
    StepError::Refused { what, hint: hint.into() }
}
