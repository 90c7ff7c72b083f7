//! Where a run stands, from its files: what is done, what failed and why, what to type next.
//!
//! Closed iterations are read from `update.toml` alone (their members' files may be gone); of the open one
//! each member costs the read of its outcome. Nothing is written, not even a scratch file, so the age of a
//! lease is told by this machine's clock.
//! Belongs here: the facts. Not here: their words (`status::text`), asking the scheduler (the caller does).

mod batch;
pub mod disk;
mod facts;
mod failures;
mod logs;
mod look;
mod search;
pub mod text;

use std::collections::BTreeMap;
use std::time::SystemTime;

pub use batch::Batch;
use chrono::DateTime;
pub use facts::{Defective, Estimate, Job, Row, SearchSeen, State, Status, View};
pub use failures::{Failures, Message};
pub use logs::Lost;
pub use look::{Running, Seen};

use crate::files::{Iteration, Members, load_record};
use crate::machine::locks;
use crate::plan::Due;
use crate::report::ReportError;
use crate::report::runs::typed;
use crate::steps::cancel::Cancelled;
use crate::steps::timing::Timing;
use crate::steps::{Run, StepError, Update, due, update};

/// Look at a run.
///
/// # Errors
/// It is no run, or its top files cannot be read. Faults further below are told as warnings.
pub fn look(run: &Run, view: &View) -> Result<Status, ReportError> {
    let id = &run.dir.identity;
    let stop = due::stopped(run)?;
    let mut status = Status {
        run: view.named.clone(),
        name: id.name.clone(),
        id: id.id.clone(),
        method: id.method.clone(),
        members: id.members,
        iterations_at_most: run.dir.iterations()?,
        first_iteration: id.first_iteration,
        state: State::Made,
        sentence: String::new(),
        due: None,
        iterations: Vec::new(),
        blocks: Vec::new(),
        detail: None,
        failures: Vec::new(),
        defective: Vec::new(),
        lost: Vec::new(),
        running: Vec::new(),
        missing: String::new(),
        launcher: launcher(run),
        batch: Batch::look(run),
        result: Vec::new(),
        search: None,
        final_ensemble: None,
        jobs: view.jobs.clone(),
        warnings: Vec::new(),
        disk: None,
    };
    let open = due::open_iteration(run);
    let end = match &stop {
        Some(stop) => stop.last,
        None => open.map_or(id.first_iteration, |open| open.min(run.end().unwrap_or(open))),
    };
    let mut began = open.and_then(|_| made(run));
    for iteration in id.first_iteration..end {
        began = closed(run, iteration, began, &mut status);
    }
    let working = open.filter(|open| stop.is_none() && *open >= end && Some(*open) < run.end().ok());
    let seen = working.map(|iteration| look::open(run, iteration, view, &mut status.warnings)).transpose()?;
    if let (Some(iteration), Some(seen)) = (working, &seen) {
        status.iterations.push(row(run, iteration, seen, &mut status.warnings));
    }
    status.search = search::seen(run, stop.as_ref(), &status.iterations)?;
    stands(run, working, seen.as_deref(), stop.as_ref().map(|s| s.why()), &mut status)?;
    if let Some(stop) = stop {
        let ensembles = run.experiment.forwards().is_none() && !run.dir.leaderless();
        status.final_ensemble = ensembles.then(|| typed(&view.named, &run.dir.iteration_name(stop.last)));
        status.result = stop
            .result
            .into_iter()
            .map(|e| Estimate {
                name: e.name,
                prior_mean: e.prior_mean,
                prior_std: e.prior_std,
                mean: e.mean,
                std: e.std,
            })
            .collect();
    }
    detail(run, view, working, seen, &mut status)?;
    Ok(status)
}

/// A launcher holds a lock on `run.toml`.
fn launcher(run: &Run) -> Option<u32> {
    let holder = locks::holder(&run.dir.top("run.toml"))?;
    // Inode numbers of other disks may be the same.
    holder.program.starts_with("ekp-launch").then_some(holder.pid)
}

/// When the first iteration was made, as the file server has it.
fn made(run: &Run) -> Option<SystemTime> {
    std::fs::metadata(run.dir.ensemble(run.dir.identity.first_iteration)).and_then(|m| m.modified()).ok()
}

/// The row of a closed iteration; tells when it ended.
fn closed(
    run: &Run,
    iteration: Iteration,
    began: Option<SystemTime>,
    status: &mut Status,
) -> Option<SystemTime> {
    let (update, batch) = match (&status.batch, load_record(&run.dir.update(iteration))) {
        (Some(batch), _) => (None, Some(batch)),
        (None, Ok(update)) => (Some::<Update>(update), None),
        (None, Err(e)) => {
            status.warnings.push(e.to_string());
            return None;
        }
    };
    let chunks = batch.map_or(0, |_| run.dir.members(iteration) as usize);
    let ended = load_record::<Timing>(&run.dir.update_timing(iteration)).ok();
    let ended = ended.and_then(|t| DateTime::parse_from_rfc3339(&t.end).ok()).map(SystemTime::from);
    let elapsed = ended.zip(began).and_then(|(end, start)| end.duration_since(start).ok());
    let kalman = update.as_ref().is_some_and(|update| update.search.is_none());
    status.iterations.push(Row {
        iteration,
        closed: true,
        done: update.as_ref().map_or(chunks, |u| u.ok as usize),
        running: 0,
        failed: update.as_ref().map_or(0, |u| u.failed as usize),
        missing: 0,
        misfit: update.as_ref().filter(|_| kalman).map(|u| u.misfit),
        avg_rmse: update.as_ref().filter(|_| kalman).map(|u| u.avg_rmse),
        metrics: update.as_ref().map_or_else(BTreeMap::new, |u| u.metrics.clone()),
        step: update.as_ref().filter(|_| kalman).map(|u| u.step),
        time: update.as_ref().filter(|_| kalman).map(|u| u.time),
        score: update.as_ref().and_then(|u| u.search.as_ref()?.score.first().copied()),
        elapsed_s: elapsed.map(|d| d.as_secs_f64()),
    });
    status.blocks = update.map_or_else(Vec::new, |u| u.blocks);
    ended
}

/// The row of the iteration that is open.
fn row(run: &Run, iteration: Iteration, seen: &[Seen], warnings: &mut Vec<String>) -> Row {
    let count = |which: fn(&Seen) -> bool| seen.iter().filter(|s| which(s)).count();
    // A decision without the next iteration: the update died in between, or is at it.
    let update = match load_record::<Update>(&run.dir.update(iteration)) {
        Ok(update) => Some(update),
        Err(_) if run.experiment.forwards().is_some() => None,
        Err(e) if e.is_missing() => None,
        Err(e) => {
            warnings.push(e.to_string());
            None
        }
    };
    Row {
        iteration,
        closed: false,
        done: count(|s| matches!(s, Seen::Done)),
        running: count(|s| matches!(s, Seen::Open { running: Some(_), .. })),
        failed: count(|s| matches!(s, Seen::Failed(_))),
        missing: count(|s| matches!(s, Seen::Open { running: None, .. })),
        misfit: update.as_ref().map(|u| u.misfit),
        avg_rmse: update.as_ref().map(|u| u.avg_rmse),
        metrics: update.as_ref().map_or_else(BTreeMap::new, |u| u.metrics.clone()),
        step: update.as_ref().map(|u| u.step),
        time: update.as_ref().map(|u| u.time),
        score: None,
        elapsed_s: None,
    }
}

/// State, sentence, and what is due.
fn stands(
    run: &Run,
    working: Option<Iteration>,
    seen: Option<&[Seen]>,
    why: Option<&'static str>,
    status: &mut Status,
) -> Result<(), StepError> {
    let place = working.unwrap_or(run.dir.identity.first_iteration);
    let total = run.dir.members(place) as usize;
    let open: Vec<u32> =
        seen.map(|seen| look::members(seen, |s| matches!(s, Seen::Open { .. }))).unwrap_or_default();
    let due = match (why, working) {
        (Some(_), _) => Due::Over,
        (None, None) if due::open_iteration(run).is_none() => Due::Ensemble,
        // The last ensemble is there, the stop record is not.
        (None, None) => Due::Update(run.end()?.saturating_sub(1)),
        (None, Some(it)) if open.is_empty() || run.dir.update(it).exists() => Due::Update(it),
        (None, Some(it)) => Due::Members(it, Members::new(open)),
    };
    status.due = due::line(&due);
    let failed = seen.map_or(0, |seen| seen.iter().filter(|s| matches!(s, Seen::Failed(_))).count());
    let allowed = update::allowed_failures(run, place);
    let what = if status.batch.is_some() { "chunks" } else { "members" };
    let (state, sentence) = match &due {
        Due::Over => (State::Over, format!("over: {}", why.unwrap_or_default())),
        Due::Ensemble => (State::Made, "made; nothing has run yet".into()),
        Due::Update(it) if failed > allowed && !run.dir.update(*it).exists() => (
            State::Quorum,
            format!(
                "iteration {it} cannot be closed: {failed} of {total} members failed, at most {allowed} may (quorum {})",
                run.experiment.failures.quorum
            ),
        ),
        Due::Update(it) => {
            (State::Update, format!("iteration {it}: all {what} have an outcome; its update is due"))
        }
        Due::Members(it, open) => (
            State::Members,
            format!("iteration {it}: {} of {total} {what} have an outcome", total - open.len()),
        ),
    };
    (status.state, status.sentence) = (state, sentence);
    if state != State::Over && run.dir.cancel().exists() {
        status.state = State::Cancelled;
        status.sentence = format!("cancelled{}\n{}", mark(run), status.sentence);
    }
    Ok(())
}

/// By whom, when and why, as far as the mark tells.
fn mark(run: &Run) -> String {
    let Ok(mark) = load_record::<Cancelled>(&run.dir.cancel()) else { return String::new() };
    let part = |lead: &str, text: &str| if text.is_empty() { String::new() } else { format!("{lead}{text}") };
    format!("{}{}{}", part(" by ", &mark.by), part(" at ", &mark.time), part(": ", mark.reason.trim_end()))
}

/// Failures and gaps of one iteration, the open one unless another was asked for.
fn detail(
    run: &Run,
    view: &View,
    working: Option<Iteration>,
    seen: Option<Vec<Seen>>,
    status: &mut Status,
) -> Result<(), ReportError> {
    let (iteration, seen) = match (view.iteration, working, seen) {
        (None, Some(open), Some(seen)) => (open, seen),
        (Some(asked), Some(open), Some(seen)) if asked == open => (open, seen),
        (Some(asked), ..) => {
            if asked < run.dir.identity.first_iteration {
                return Err(StepError::NoSuchIteration {
                    iteration: asked,
                    first: run.dir.identity.first_iteration,
                }
                .into());
            }
            if !status.iterations.iter().any(|row| row.iteration == asked) {
                return Err(ReportError::Refused {
                    what: format!("iteration {asked} has not begun"),
                    hint: "`ekp-status` without `--iteration` shows those that have".into(),
                });
            }
            // In a closed one the update's word counts, whatever the folder holds now.
            (asked, look::decided(run, asked, &mut status.warnings)?)
        }
        _ => return Ok(()),
    };
    status.detail = Some(iteration);
    status.failures = failures::grouped(run, view, iteration, &seen);
    status.defective = seen
        .iter()
        .zip(1u32..)
        .filter_map(|(s, member)| match s {
            Seen::Open { defect: Some((file, defect)), .. } => {
                Some(Defective { member, file: typed(&view.named, file), defect: defect.clone() })
            }
            _ => None,
        })
        .collect();
    status.running = look::running(&seen);
    let missing = look::members(&seen, |s| matches!(s, Seen::Open { running: None, .. }));
    status.lost = logs::lost(run, view, iteration, &missing);
    status.missing = Members::new(missing).to_string();
    Ok(())
}

/// For scripts: the step that is due, a line each; empty when the run is over. Members are judged by the
/// presence of their files alone.
///
/// # Errors
/// The disk cannot be read.
pub fn next(run: &Run) -> Result<Option<String>, ReportError> {
    Ok(due::line(&due::due(run)?))
}
