//! Changes of a run that is made: more iterations, another step length. Each is a new record; the last one counts.

use std::fs;

use crate::files::{FileError, TomlText, publish_new_durable};
use crate::kalman::Schedule;
use crate::steps::{Run, StepError, due};

/// As in `[algorithm]`.
const MOST_ITERATIONS: u32 = 100_000;

/// More iterations for a run: a new record, not a changed experiment. The stop that the old limit set goes.
/// False when the run has as many already.
///
/// # Errors
/// Fewer iterations than before, more than an experiment may have, or an algorithm that reached its end.
pub fn iterations(run: &Run, iterations: u32) -> Result<bool, StepError> {
    if run.experiment.forwards().is_some() {
        return Err(StepError::Refused {
            what: "a batch of forward models has no iterations".into(),
            hint: "for more models make a new run: draws of the prior with the same seed begin with the same models".into(),
        });
    }
    if run.dir.budget() > 0 {
        return Err(StepError::Refused {
            what: "a search has a budget of evaluations, no number of iterations".into(),
            hint: "write `--extend budget=2000 RUN`".into(),
        });
    }
    let now = run.dir.iterations()?;
    if iterations == now {
        return Ok(false);
    }
    if iterations > MOST_ITERATIONS {
        return Err(StepError::Refused {
            what: format!("{iterations} iterations are too many: at most {MOST_ITERATIONS}"),
            hint: "write `--extend iterations=20 RUN`".into(),
        });
    }
    if iterations < now {
        return Err(StepError::Refused {
            what: format!("the run has {now} iterations, it cannot be extended to {iterations}"),
            hint: "`ekp-cancel` ends a run early".into(),
        });
    }
    let stop = due::stopped(run)?;
    if stop.as_ref().is_some_and(|s| s.reason != "iterations") {
        return Err(StepError::Refused {
            what: "the run ended because the data are used up: more iterations would count them twice".into(),
            hint: "to go on all the same make a new run with `on_terminate = \"continue\"`, or fork: `ekp-init --from RUN:N`".into(),
        });
    }
    publish_next(run, "more iterations than the run was made with", |text| {
        text.number("iterations", iterations)
    })?;
    // `stop.toml` said where the old limit was; the last update of the longer run writes it anew.
    match fs::remove_file(run.dir.stop()) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(FileError::io("remove", &run.dir.stop())(e).into())
        }
        _ => Ok(true),
    }
}

/// More evaluations for a search: a new record. What its trials are drawn from follows the larger budget from now on.
/// False when it has as many already.
///
/// # Errors
/// Another kind of run, fewer evaluations than before.
pub fn budget(run: &Run, budget: u32) -> Result<bool, StepError> {
    let now = run.dir.budget();
    if now == 0 {
        return Err(StepError::Refused {
            what: format!("a run of `{}` has no budget", run.experiment.method),
            hint: "write `--extend iterations=20 RUN`".into(),
        });
    }
    if budget == now {
        return Ok(false);
    }
    if budget < now {
        return Err(StepError::Refused {
            what: format!("the search has {now} evaluations, it cannot be cut to {budget}"),
            hint: "`ekp-cancel` ends a run early".into(),
        });
    }
    let end = run.end()?;
    publish_next(run, "more evaluations than the run was made with", |text| text.number("budget", budget))?;
    // What stood behind the old end said what the result was; the run goes on from the decision before it.
    let gone = |result: std::io::Result<()>, path: &std::path::Path| match result {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FileError::io("remove", path)(e)),
        _ => Ok(()),
    };
    gone(fs::remove_file(run.dir.stop()), &run.dir.stop())?;
    if run.dir.leaderless() {
        let update = run.dir.update(run.dir.identity.first_iteration);
        gone(fs::remove_file(&update), &update)?;
    } else {
        let last = run.dir.iteration(end);
        gone(fs::remove_dir_all(&last), &last)?;
    }
    Ok(true)
}

/// Another length for the steps to come: a new record. False when that length holds already.
///
/// Steps that were decided keep theirs; `update.toml` says which.
///
/// # Errors
/// A length that is none, or a run whose steps are not `mutable`.
pub fn set_step(run: &Run, length: f64) -> Result<bool, StepError> {
    let schedule = run.experiment.calibration().map(|calibration| calibration.algorithm.schedule());
    let Some(&Schedule::Mutable { step }) = schedule else {
        return Err(StepError::Refused {
            what: "the step length of this run cannot be changed".into(),
            hint: "it can in runs made with `scheduler = \"mutable\"`; `ekp-init --from RUN:N` forks into such a run"
                .into(),
        });
    };
    if !length.is_finite() || length <= 0.0 {
        return Err(StepError::Refused {
            what: format!("a step cannot have the length {length}: allowed is a positive number"),
            hint: "write `--extend step=0.5 RUN`".into(),
        });
    }
    if length == step {
        return Ok(false);
    }
    publish_next(run, "another length for the steps to come", |text| text.float("step", length))?;
    Ok(true)
}

/// The next free `extend_NNN.toml`, holding the one key that `fill` writes.
fn publish_next(
    run: &Run,
    what: &str,
    fill: impl FnOnce(&mut TomlText) -> &mut TomlText,
) -> Result<(), FileError> {
    let mut text = TomlText::comments(&format!("ekp extend: {what}."));
    text.text("schema", "ekp.extend").number("version", 1);
    let text = fill(&mut text).finish();
    for number in 1.. {
        if publish_new_durable(&run.dir.extend(number), text.as_bytes())? {
            break;
        }
    }
    Ok(())
}
