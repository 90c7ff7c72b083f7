//! The algorithm on iterations that another tool closed: what it would remember, had it made them.
//!
//! Replayed, from the adopted parameters and outputs of each iteration: the step length, hence pseudo-time and
//! whether it is used up; who counts as failed; misfits; how often momentum counted. Taken as it is: the next
//! ensemble, so the ensemble that the step would have made is dropped, with its random numbers; momentum remembers
//! what the adopted ensemble was before its push.

use super::{Closed, Got, Past, refused};
use crate::experiment::Experiment;
use crate::explain::Explain;
use crate::kalman::{Method, metrics};
use crate::numerics::{Mat, Streams};
use crate::problem::{Algorithm, AlgorithmError, Evaluated, Problem};
use crate::steps::StepError;

/// Give each iteration its state, and all but the last how it was closed.
///
/// # Errors
/// `Refused` when the algorithm cannot make a step that was made there.
pub(super) fn replay(
    experiment: &Experiment,
    algorithm: &Method,
    problem: &Problem,
    iterations: &mut [Past],
    warnings: &mut Vec<String>,
) -> Result<(), StepError> {
    let draw = Streams::new(experiment.seed);
    let (_, mut state) = algorithm.first(problem, &draw);
    for k in 0..iterations.len() {
        let (now, later) = iterations[k..].split_at_mut(1);
        let now = &mut now[0];
        now.state = state.clone();
        let Some(next) = later.first() else { break };
        let g = matrix(problem.observation.shape().iter().map(|(_, n)| n).sum(), &now.got);
        let iteration = u32::try_from(k).unwrap_or(u32::MAX);
        let tried = Evaluated { iteration, ensemble: &now.ensemble, g };
        let step =
            algorithm.next(problem, state, &tried, &draw).map_err(|error| cannot(&now.name, &error))?;
        let (mut report, mut after) = (step.report, step.state);
        let redrawn: Vec<usize> = report.set_aside.iter().map(|(j, _)| *j).collect();
        algorithm.follow(&now.state, &now.ensemble.u, &next.ensemble.u, &redrawn, &mut after);
        report.spread = metrics::spread(&next.ensemble.u);
        let over = step.stop.is_some();
        now.closed = Some(Closed { report, stop: step.stop });
        state = after;
        if over && later.len() == 1 && later[0].got.iter().any(|got| *got != Got::Nothing) {
            later[0].got.fill(Got::Nothing);
            warnings.push(format!(
                "the outputs of {} are not taken: the data are used up before it, its ensemble is the result",
                later[0].name
            ));
        }
    }
    Ok(())
}

/// p × J; members without data are columns of NaN.
fn matrix(outputs: usize, got: &[Got]) -> Mat {
    let mut g = Mat::zeros(outputs, got.len());
    for (j, got) in got.iter().enumerate() {
        match got {
            Got::Data(values) => g.col_mut(j).copy_from_slice(values),
            _ => g.col_mut(j).fill(f64::NAN),
        }
    }
    g
}

fn cannot(name: &str, error: &AlgorithmError) -> StepError {
    match error {
        AlgorithmError::Over { time } => refused(
            format!(
                "`{name}` was closed, but pseudo-time {time:?} was reached before it: the experiment ends there"
            ),
            "the other tool went on: set `on_terminate = \"continue\"`, another `scheduler`, or a larger `terminate_at`",
        ),
        AlgorithmError::TooFewMembers { .. } => refused(
            format!("the step after `{name}` cannot be replayed: {error}"),
            "members without outputs, or with NaN in them, count as failed: are those of this iteration complete?",
        ),
        other => refused(
            format!("the step after `{name}` cannot be replayed: {other}"),
            &other.hint().unwrap_or_else(|| "does the experiment describe that calibration?".into()),
        ),
    }
}
