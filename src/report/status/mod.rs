//! Where a run stands, from its files: what is done, what failed and why, what to type next.
//!
//! Closed iterations are read from `update.toml` alone (their members' files may be gone); of the open one
//! each member costs the read of its outcome. Nothing is written, not even a scratch file, so the age of a
//! lease is told by this machine's clock.
//! Belongs here: the facts. Not here: their words (`status::text`), asking the scheduler (the caller does).

pub mod disk;
mod failures;
mod logs;
mod look;
pub mod text;

use std::time::SystemTime;

use chrono::DateTime;
use serde::Serialize;

pub use failures::{Failures, Message};
pub use logs::Lost;
pub use look::{Running, Seen};

use crate::files::{Iteration, Members, load_record};
use crate::plan::Due;
use crate::report::ReportError;
use crate::report::runs::typed;
use crate::steps::timing::Timing;
use crate::steps::{Run, StepError, Update, due, update};

/// What the caller knows beside the files.
#[derive(Debug, Clone)]
pub struct View {
    /// The run as the person named it
    pub named: String,
    /// Members of one array element
    pub per_element: u32,
    /// The run's jobs, when the scheduler was asked
    pub jobs: Option<Vec<Job>>,
    /// Tell of this iteration in detail, not of the open one
    pub iteration: Option<Iteration>,
}

/// A job, an element of an array, or all waiting elements of one, as the scheduler tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// As the scheduler names it: `12`, `12_3`, `12_[4-8]`
    pub id: String,
    /// Job name
    pub name: String,
    /// `running`, `waiting`, or the scheduler's own word
    pub state: String,
    /// Why it waits, in the scheduler's word
    pub reason: String,
    /// When it is expected to start, or did (the site's local time); empty when nobody knows
    pub start: String,
    /// Where it runs
    pub nodes: String,
    /// Elements that this line stands for
    pub elements: u32,
    /// Iteration whose members it runs
    pub iteration: Option<Iteration>,
    /// Array element, for one that runs
    pub element: Option<u32>,
    /// It will never start by itself: what to do
    pub advice: Option<String>,
}

/// Where a run stands, in a word for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Made, nothing done
    Made,
    /// Members of an iteration have no outcome
    Members,
    /// An iteration is to be closed
    Update,
    /// Too many members failed
    Quorum,
    /// The stop mark is there
    Cancelled,
    /// The run is over
    Over,
}

/// An iteration in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which
    pub iteration: Iteration,
    /// Its decision is published
    pub closed: bool,
    /// Members that the update used, or that have an outcome
    pub done: usize,
    /// Members somebody works on
    pub running: usize,
    /// Members that failed
    pub failed: usize,
    /// Members without an outcome that nobody works on
    pub missing: usize,
    /// As in `update.toml`
    pub misfit: Option<f64>,
    /// Step length Δt
    pub step: Option<f64>,
    /// Pseudo-time after the step
    pub time: Option<f64>,
    /// From the iteration's making to its closing, waiting included
    pub elapsed_s: Option<f64>,
}

/// A parameter, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// `amplitude`, `mixing[2]`
    pub name: String,
    /// First ensemble, physical units
    pub prior_mean: f64,
    /// First ensemble
    pub prior_std: f64,
    /// Last ensemble
    pub mean: f64,
    /// Last ensemble
    pub std: f64,
}

/// An outcome that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defective {
    /// Whose
    pub member: u32,
    /// Which file
    pub file: String,
    /// In which way
    pub defect: String,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The run folder as it was named
    pub run: String,
    /// Name of the experiment
    pub name: String,
    /// Id of the run
    pub id: String,
    /// Method
    pub method: String,
    /// Ensemble size
    pub members: u32,
    /// Iterations, at most
    pub iterations_at_most: u32,
    /// Number of the first
    pub first_iteration: u32,
    /// In a word
    pub state: State,
    /// In a sentence
    pub sentence: String,
    /// The step that is due, as `--next` has it
    pub due: Option<String>,
    /// A row for each iteration
    pub iterations: Vec<Row>,
    /// The iteration told in detail below
    pub detail: Option<Iteration>,
    /// Its failed members, by cause and host
    pub failures: Vec<Failures>,
    /// Its outcomes that are none
    pub defective: Vec<Defective>,
    /// Its members that were lost, by what the scheduler's logs say
    pub lost: Vec<Lost>,
    /// Its members that somebody works on
    pub running: Vec<Running>,
    /// Its members without an outcome that nobody works on: `3,7-9`
    pub missing: String,
    /// The result of a run that is over
    pub result: Vec<Estimate>,
    /// Folder of the ensemble that is the result
    pub final_ensemble: Option<String>,
    /// Jobs of the run; absent when the scheduler was not asked
    pub jobs: Option<Vec<Job>>,
    /// What a person should know
    pub warnings: Vec<String>,
    /// Space it takes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<disk::Disk>,
}

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
        detail: None,
        failures: Vec::new(),
        defective: Vec::new(),
        lost: Vec::new(),
        running: Vec::new(),
        missing: String::new(),
        result: Vec::new(),
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
    stands(run, working, seen.as_deref(), stop.as_ref().map(|s| s.why()), &mut status)?;
    if let Some(stop) = stop {
        status.final_ensemble = Some(typed(&view.named, &run.dir.iteration_name(stop.last)));
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
    let update: Update = match load_record(&run.dir.update(iteration)) {
        Ok(update) => update,
        Err(e) => {
            status.warnings.push(e.to_string());
            return None;
        }
    };
    let ended = load_record::<Timing>(&run.dir.update_timing(iteration)).ok();
    let ended = ended.and_then(|t| DateTime::parse_from_rfc3339(&t.end).ok()).map(SystemTime::from);
    let elapsed = ended.zip(began).and_then(|(end, start)| end.duration_since(start).ok());
    status.iterations.push(Row {
        iteration,
        closed: true,
        done: update.ok as usize,
        running: 0,
        failed: update.failed as usize,
        missing: 0,
        misfit: Some(update.misfit),
        step: Some(update.step),
        time: Some(update.time),
        elapsed_s: elapsed.map(|d| d.as_secs_f64()),
    });
    ended
}

/// The row of the iteration that is open.
fn row(run: &Run, iteration: Iteration, seen: &[Seen], warnings: &mut Vec<String>) -> Row {
    let count = |which: fn(&Seen) -> bool| seen.iter().filter(|s| which(s)).count();
    // A decision without the next iteration: the update died in between, or is at it.
    let update = match load_record::<Update>(&run.dir.update(iteration)) {
        Ok(update) => Some(update),
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
        step: update.as_ref().map(|u| u.step),
        time: update.as_ref().map(|u| u.time),
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
    let total = run.dir.identity.members as usize;
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
    let allowed = update::allowed_failures(run);
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
            (State::Update, format!("iteration {it}: all members have an outcome; its update is due"))
        }
        Due::Members(it, open) => (
            State::Members,
            format!("iteration {it}: {} of {total} members have an outcome", total - open.len()),
        ),
    };
    (status.state, status.sentence) = (state, sentence);
    if state != State::Over && run.dir.cancel().exists() {
        status.state = State::Cancelled;
        status.sentence = format!("cancelled; it stood at {}", status.sentence);
    }
    Ok(())
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
