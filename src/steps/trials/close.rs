//! The end of a search without a coordinator: what its outcomes come to, said once.
//!
//! `update.toml` beside the first trials says which outcomes counted, `stop.toml` what the best one is. Any process
//! may write them; all would write the same.

use std::fs;

use super::{Bench, View, block};
use crate::dds::{Search, Standing, Tried};
use crate::experiment::Searching;
use crate::files::{FileError, Found, Iteration, digest, publish_new_durable};
use crate::steps::outcomes::Left;
use crate::steps::timing::Clock;
use crate::steps::update::{Entry, Outcome, enter, finish, timed};
use crate::steps::worker::Worker;
use crate::steps::{Run, StepError, dds};

/// Make the folder of the first trials; false when it was there.
///
/// # Errors
/// The disk.
pub(in crate::steps) fn begin(run: &Run, _: &Searching) -> Result<bool, StepError> {
    let folder = run.dir.iteration(run.dir.identity.first_iteration);
    match fs::create_dir(&folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(FileError::io("make", &folder)(e).into()),
    }
}

/// What all results come to.
///
/// # Errors
/// The disk, a fault in the prior.
pub(in crate::steps) fn standing(run: &Run, searching: &Searching) -> Result<Standing, StepError> {
    let worker = Worker::plain();
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    view.look(&bench)?;
    Ok(view.standing)
}

/// All results, by number of the trial.
///
/// # Errors
/// As [`standing`].
pub(in crate::steps) fn results(run: &Run, searching: &Searching) -> Result<Vec<Tried>, StepError> {
    let worker = Worker::plain();
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    view.look(&bench)?;
    Ok(view.all())
}

/// True when only failures came.
///
/// # Errors
/// As [`standing`].
pub(in crate::steps) fn stuck(run: &Run, searching: &Searching, search: &Search) -> Result<bool, StepError> {
    Ok(search.gives_up(&standing(run, searching)?).is_some())
}

/// True when the search has found only failures, so that its update will say so.
///
/// # Errors
/// As [`standing`].
pub fn stuck_now(run: &Run) -> Result<bool, StepError> {
    let Some(searching) = run.experiment.searching() else { return Ok(false) };
    stuck(run, searching, &run.search(searching, &run.prior()?)?)
}

/// Digest of the parameters and the numbers of a trial in a block.
pub(in crate::steps) fn recorded(run: &Run, trial: u32) -> Option<(String, Vec<f64>)> {
    let worker = Worker::plain();
    let bench = Bench::new(run, run.experiment.searching()?, &worker).ok()?;
    block::recorded(&bench, trial)
}

/// Say how the search ended, once all trials have.
///
/// # Errors
/// `NotReady` while some have not; `Storm` when it found only failures.
pub(in crate::steps) fn update(
    run: &Run,
    searching: &Searching,
    iteration: Iteration,
    close: bool,
) -> Result<Outcome, StepError> {
    let clock = Clock::start();
    let published = match enter(run, iteration)? {
        Entry::Ended(outcome) => return Ok(outcome),
        Entry::Open(published) => published.map(|update| *update),
    };
    if let Some(update) = published
        && update.search.as_ref().is_some_and(|search| search.evaluations >= run.dir.budget())
    {
        finish(run, iteration, &update)?;
        return Ok(Outcome::AlreadyClosed);
    }
    let worker = Worker::plain();
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    view.look(&bench)?;
    if let Some(gives_up) = bench.search.gives_up(&view.standing) {
        return Err(dds::storm(iteration, gives_up, &left(&bench, &view.failed())?));
    }
    let open = super::open(run)?;
    if !open.is_empty() {
        put_aside(&bench, &view)?;
        let why = if close { "no worker has finished it" } else { "it has not ended" };
        let missing = open.into_iter().map(|trial| (trial, why.to_owned())).collect();
        return Err(StepError::NotReady { iteration, missing, total: run.dir.budget() });
    }
    let all: Vec<u32> = (1..=run.dir.budget()).collect();
    let left = left(&bench, &all)?;
    let update = dds::decision(run, searching, iteration, &left, &view.standing);
    run.not_cancelled()?;
    if !publish_new_durable(&run.dir.update(iteration), update.text().as_bytes())? {
        return self::update(run, searching, iteration, close);
    }
    timed(run, iteration, &clock)?;
    finish(run, iteration, &update)?;
    Ok(Outcome::Finished(Box::new(update)))
}

/// What trials left.
fn left(bench: &Bench<'_>, trials: &[u32]) -> Result<Vec<Left>, StepError> {
    let run = bench.run;
    let first = run.dir.identity.first_iteration;
    let asked = run.asked(first)?;
    let mut all = Vec::with_capacity(trials.len());
    let (mut number, mut marks) = (0, Vec::new());
    for &trial in trials {
        if bench.size > 1 {
            let block = (trial - 1) / bench.size + 1;
            if block != number {
                (number, marks) = (block, block::marks(bench, block));
            }
            let mark = marks.get(((trial - 1) % bench.size) as usize).cloned().unwrap_or_default();
            all.push(match mark.strip_prefix("failed: ") {
                Some(cause) => Left::Failed { cause: cause.into(), message: String::new() },
                None => Left::Data { digest: mark, form: crate::files::Stored::Other },
            });
            continue;
        }
        let text = fs::read_to_string(run.dir.parameters(first, trial)).unwrap_or_default();
        let folder = run.dir.member(first, trial);
        let expected = digest(text.as_bytes());
        all.push(match Found::look(&folder, &expected, &asked.blocks, &asked.lengths)? {
            Found::Data(data) => Left::Data { digest: data.digest, form: data.form },
            Found::Failed(failed) => Left::Failed { cause: failed.cause, message: failed.message },
            _ => Left::Missing("no outcome".into()),
        });
    }
    Ok(all)
}

/// Move what is no outcome out of the way, so that workers take its trials again.
fn put_aside(bench: &Bench<'_>, view: &View) -> Result<(), StepError> {
    for number in view.open(bench) {
        let folder = bench.folder(number);
        for name in ["data.toml", "failed.toml"] {
            // Looked at once more: by now a good one may be there.
            let there = folder.join(name).symlink_metadata().is_ok();
            if there && view.still_open(bench, number)? {
                crate::steps::tries::set_aside(&folder, &[name])?;
            }
        }
    }
    Ok(())
}
