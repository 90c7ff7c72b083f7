//! What is due: where a run stands, from its files alone.

use crate::files::{Iteration, Members, load_record};
use crate::plan::Due;
use crate::steps::{Run, StepError, Stopped, Update, outcomes};

/// The stop record, unless an extension has overtaken it.
///
/// # Errors
/// An unreadable record.
pub fn stopped(run: &Run) -> Result<Option<Stopped>, StepError> {
    match load_record::<Stopped>(&run.dir.stop()) {
        Ok(stop) if stop.reason == "iterations" && stop.last < run.end()? => Ok(None),
        Ok(stop) if stop.reason == "budget" && stop.evaluations < run.dir.budget() => Ok(None),
        Ok(stop) => Ok(Some(stop)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The open iteration: the last whose folder is there, if there is one.
pub fn open_iteration(run: &Run) -> Option<Iteration> {
    let first = run.experiment.first_iteration;
    let mut iteration = first;
    if !run.dir.iteration(iteration).is_dir() {
        return None;
    }
    while !run.dir.leaderless() && run.dir.iteration(iteration + 1).is_dir() {
        iteration += 1;
    }
    Some(iteration)
}

/// Is there a decision for this iteration? An empty file is none: where links are refused, the name is
/// reserved before the content follows, and who reserved it may have died.
pub fn decided(run: &Run, iteration: Iteration) -> bool {
    std::fs::metadata(run.dir.update(iteration)).is_ok_and(|m| m.len() > 0)
}

/// The decision before `iteration`, when it was that the run ends there: the update that made it may have
/// died before it could write `stop.toml`.
///
/// # Errors
/// An unreadable record.
pub fn ended_before(run: &Run, iteration: Iteration) -> Result<Option<Update>, StepError> {
    if iteration <= run.experiment.first_iteration {
        return Ok(None);
    }
    match load_record::<Update>(&run.dir.update(iteration - 1)) {
        Ok(update) => Ok(Some(update).filter(|u| !u.stop.is_empty())),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// What is to be done next.
///
/// # Errors
/// The disk cannot be read.
pub fn due(run: &Run) -> Result<Due, StepError> {
    if stopped(run)?.is_some() {
        return Ok(Due::Over);
    }
    let Some(iteration) = open_iteration(run) else { return Ok(Due::Ensemble) };
    if iteration >= run.end()? || ended_before(run, iteration)?.is_some() {
        // The last update died between its two publications: it is to be finished.
        return Ok(Due::Update(iteration - 1));
    }
    if decided(run, iteration) {
        return Ok(Due::Update(iteration));
    }
    let open: Vec<u32> = outcomes::missing(run, iteration)?;
    Ok(if open.is_empty() { Due::Update(iteration) } else { Due::Members(iteration, Members::new(open)) })
}

/// One line per due step, for scripts: `init`, `members 3 1-20`, `update 3`, or nothing when it is over.
pub fn line(due: &Due) -> Option<String> {
    match due {
        Due::Ensemble => Some("init 0".into()),
        Due::Members(iteration, members) => Some(format!("members {iteration} {members}")),
        Due::Update(iteration) => Some(format!("update {iteration}")),
        Due::Over => None,
    }
}
