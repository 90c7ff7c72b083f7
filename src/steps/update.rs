//! Close an iteration: judge the outcomes, make the step, publish the decision and what follows from it.
//!
//! Order of publications: `update.toml`, durably and exclusively, says what was used and decided; then
//! `iteration_{N+1}/` appears whole; then `stop.toml` when the run is over. A process that dies in between
//! is followed by one that finds the decision and makes the rest from exactly those outcomes.

use std::time::{Duration, Instant};

use crate::experiment::{Lost, Task};
use crate::files::{
    FileError, Iteration, load_record, load_state, publish, publish_durable, publish_new_durable,
};
use crate::machine;
use crate::models::Cause;
use crate::numerics::{Mat, Streams};
use crate::problem::{Algorithm, Ensemble, Evaluated, Prior, Problem, State, Step, Stop};
use crate::steps::forward::{self, merge::Merged};
use crate::steps::outcomes::{self, Gathered, Left};
use crate::steps::parameters::{ENSEMBLE, STATE};
use crate::steps::record::Estimate;
use crate::steps::timing::{Clock, Who, job_id};
use crate::steps::{
    Run, StepError, Stopped, Update, dds, due, ensemble, member, pack, reopen, stream, trials,
};

/// How long a new file may stay unseen on a network disk.
const NETWORK_WAIT: Duration = Duration::from_secs(60);

/// Outputs that take more than so many MiB are read block by block.
pub const MEMORY_MIB: u32 = 512;

/// How an update ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was closed before
    AlreadyClosed,
    /// The run was over before this iteration
    Over,
    /// Closed now
    Closed(Box<Update>),
    /// Closed now, and the run is over
    Finished(Box<Update>),
    /// A batch of forward models was merged, and the run is over
    Merged(Box<Merged>),
}

/// Close `iteration`. With `close` the members' jobs have ended: members without an outcome count as lost.
///
/// # Errors
/// Outcomes are missing (exit 3), too many failed (exit 4), cancelled (exit 5), the disk, the mathematics.
pub fn run(run: &Run, iteration: Iteration, close: bool) -> Result<Outcome, StepError> {
    run_within(run, iteration, close, MEMORY_MIB, 1)
}

/// As [`run`], by several threads where the step is one pass over files.
///
/// # Errors
/// As [`run`].
pub fn run_by(run: &Run, iteration: Iteration, threads: usize) -> Result<Outcome, StepError> {
    run_within(run, iteration, false, MEMORY_MIB, threads)
}

/// As [`run`], with outputs of all members together in memory only up to `mib` MiB, and by several threads where the
/// step is one pass over files. The bytes are the same either way.
///
/// # Errors
/// As [`run`].
pub fn run_within(
    run: &Run,
    iteration: Iteration,
    close: bool,
    mib: u32,
    threads: usize,
) -> Result<Outcome, StepError> {
    match &run.experiment.task {
        Task::Forward(_) => merge(run, iteration, close, threads),
        Task::Kalman(_) => kalman(run, iteration, close, mib),
        Task::Search(searching) if run.dir.leaderless() => trials::update(run, searching, iteration, close),
        Task::Search(searching) => dds::update(run, searching, iteration, close),
    }
}

/// The last step of a batch.
fn merge(run: &Run, iteration: Iteration, close: bool, threads: usize) -> Result<Outcome, StepError> {
    let first = run.experiment.first_iteration;
    if iteration < first {
        return Err(StepError::NoSuchIteration { iteration, first });
    }
    run.not_cancelled()?;
    Ok(match forward::merge::run(run, close, threads)? {
        Some(merged) => Outcome::Merged(Box::new(merged)),
        None => Outcome::Over,
    })
}

/// What a call finds before there is anything to do.
pub(super) enum Entry {
    /// Nothing is to be done
    Ended(Outcome),
    /// The iteration is to be closed; with the decision, where that was published
    Open(Option<Box<Update>>),
}

/// Look whether an iteration is there to be closed.
pub(super) fn enter(run: &Run, iteration: Iteration) -> Result<Entry, StepError> {
    let first = run.experiment.first_iteration;
    if iteration < first {
        return Err(StepError::NoSuchIteration { iteration, first });
    }
    run.not_cancelled()?;
    if let Some(stop) = due::stopped(run)?
        && iteration >= stop.last
    {
        return Ok(Entry::Ended(Outcome::Over));
    }
    if let Some(last) = due::ended_before(run, iteration)? {
        finish(run, iteration - 1, &last)?;
        return Ok(Entry::Ended(Outcome::Over));
    }
    let folder = run.dir.iteration(iteration);
    if !folder.is_dir() {
        return Err(FileError::NotYet { iteration, path: folder }.into());
    }
    let published = published(run, iteration)?;
    if let Some(update) = &published
        && !run.dir.leaderless()
        && run.dir.iteration(iteration + 1).is_dir()
    {
        finish(run, iteration, update)?;
        return Ok(Entry::Ended(Outcome::AlreadyClosed));
    }
    Ok(Entry::Open(published.map(Box::new)))
}

fn kalman(run: &Run, iteration: Iteration, close: bool, mib: u32) -> Result<Outcome, StepError> {
    let clock = Clock::start();
    let published = match enter(run, iteration)? {
        Entry::Ended(outcome) => return Ok(outcome),
        Entry::Open(published) => published.map(|update| *update),
    };
    let whole = run.problem()?;
    let problem = run.problem_of(&whole, iteration)?;
    let tried: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let state: State = load_state(&run.dir.state(iteration), STATE.0, STATE.1)?;
    let by_blocks = stream::due(run, &problem, mib);
    let wait = close && published.is_none();
    let mut gathered = settled(run, wait, || match by_blocks {
        Some(kalman) => stream::survey(run, kalman, &problem, &tried, iteration),
        None => outcomes::gather(run, &problem.prior, &tried, iteration),
    })?;
    if let Some(update) = &published {
        as_decided(&mut gathered.left, update)?;
    } else {
        complete(run, &problem.prior, &tried, iteration, &mut gathered.left, close)?;
        quorum(run, iteration, &gathered.left)?;
    }
    let decided = published.as_ref().map(|update| update.step);
    let streamed = match by_blocks {
        Some(kalman) => stream::step(run, kalman, &problem, iteration, &tried, &state, &mut gathered)?,
        None => None,
    };
    let left = gathered.left.clone();
    let step = match streamed {
        Some(step) => step,
        None => {
            let g = match by_blocks {
                Some(_) => stream::all(run, &problem, iteration, &tried, &left)?,
                None => gathered.matrix(),
            };
            step(run, &problem, iteration, &tried, state, g, decided)?
        }
    };
    let update = match published {
        Some(update) => update,
        None => match decide(run, iteration, &left, &step)? {
            Some(update) => update,
            // Another process was first, perhaps with other outcomes: its decision counts.
            None => return kalman(run, iteration, close, mib),
        },
    };
    let (prior, observation) = (&whole.prior, Some(&whole.observation));
    ensemble::write_iteration(&run.dir, prior, observation, iteration + 1, &step.ensemble, &step.state)?;
    timed(run, iteration, &clock)?;
    let over = finish(run, iteration, &update)?;
    let update = Box::new(update);
    Ok(if over { Outcome::Finished(update) } else { Outcome::Closed(update) })
}

/// What the update itself cost.
pub(super) fn timed(run: &Run, iteration: Iteration, clock: &Clock) -> Result<(), StepError> {
    let who = Who { job: job_id(), worker: 1, threads: 1, attempt: 1, ..Who::default() };
    Ok(publish(&run.dir.update_timing(iteration), clock.stop(clock.own_usage(), &who).text().as_bytes())?)
}

fn published(run: &Run, iteration: Iteration) -> Result<Option<Update>, StepError> {
    match load_record(&run.dir.update(iteration)) {
        Ok(update) => Ok(Some(update)),
        Err(e) if e.is_missing() => Ok(None),
        Err(_) if !due::decided(run, iteration) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The outcomes; on a network disk a missing one is looked for again for a while before it counts.
pub(super) fn settled(
    run: &Run,
    wait: bool,
    look: impl Fn() -> Result<Gathered, StepError>,
) -> Result<Gathered, StepError> {
    let complete = |found: &Result<Gathered, StepError>| match found {
        Ok(gathered) => !gathered.left.iter().any(|l| matches!(l, Left::Missing(_))),
        Err(_) => true,
    };
    settled_when(run, wait, look, complete)
}

/// Look, and on a network disk look again for a while until it is complete.
pub(super) fn settled_when<T>(
    run: &Run,
    wait: bool,
    look: impl Fn() -> Result<T, StepError>,
    complete: impl Fn(&Result<T, StepError>) -> bool,
) -> Result<T, StepError> {
    let until = Instant::now() + NETWORK_WAIT;
    loop {
        let found = look();
        if complete(&found) || !wait || !on_network_disk(run) || Instant::now() > until {
            return found;
        }
        std::thread::sleep(Duration::from_secs(3));
    }
}

fn on_network_disk(run: &Run) -> bool {
    machine::disk::disk(run.dir.root()).is_ok_and(|disk| disk.network)
}

/// A decision is on disk: what it did not use counts as failed, what it used must still be there.
pub(super) fn as_decided(left: &mut [Left], update: &Update) -> Result<(), StepError> {
    for (j, (left, used)) in left.iter_mut().zip(&update.outcomes).enumerate() {
        match used.strip_prefix("failed: ") {
            Some(cause) => *left = Left::Failed { cause: cause.into(), message: String::new() },
            None if left.mark() == *used => {}
            None => {
                let member = u32::try_from(j + 1).expect("members are counted in u32");
                return Err(StepError::Outcomes { iteration: update.iteration, member });
            }
        }
    }
    Ok(())
}

/// Members without an outcome: not yet, lost and to run again, or lost and failed.
pub(super) fn complete(
    run: &Run,
    prior: &Prior,
    tried: &Ensemble,
    iteration: Iteration,
    left: &mut [Left],
    close: bool,
) -> Result<(), StepError> {
    let missing: Vec<(u32, String)> = (1u32..)
        .zip(left.iter())
        .filter_map(|(m, l)| match l {
            Left::Missing(why) => Some((m, why.clone())),
            _ => None,
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let give_up =
        close && (run.experiment.failures.lost == Lost::Fail || reopen::reruns_used_up(run, iteration)?);
    if !give_up {
        outcomes::put_aside(run, prior, tried, iteration, missing.iter().map(|(m, _)| *m))?;
        return Err(StepError::NotReady { iteration, missing, total: run.dir.members(iteration) });
    }
    count_lost(run, iteration, &missing)?;
    for (m, message) in missing {
        left[m as usize - 1] = Left::Failed { cause: Cause::Lost.word().into(), message };
    }
    Ok(())
}

/// Members without an outcome count as failed from now on.
///
/// # Errors
/// The disk.
pub fn count_lost(run: &Run, iteration: Iteration, missing: &[(u32, String)]) -> Result<(), StepError> {
    let batch = run.experiment.forwards().is_some().then(|| forward::Batch::open(run)).transpose()?;
    for (m, why) in missing {
        let reason = format!("its process ended without an outcome: {why}");
        if let Some(batch) = &batch {
            forward::mark_failed(batch, *m, Cause::Lost, &reason)?;
        } else if run.dir.packed() {
            pack::mark_failed(run, iteration, (m - 1) / run.dir.identity.pack + 1, Cause::Lost, &reason)?;
        } else {
            member::mark_failed(run, iteration, *m, Cause::Lost, &reason)?;
        }
    }
    Ok(())
}

/// Refuse to go on with too few members.
fn quorum(run: &Run, iteration: Iteration, left: &[Left]) -> Result<(), StepError> {
    let failed = left.iter().filter(|l| !matches!(l, Left::Data { .. })).count();
    let allowed = allowed_failures(run, iteration);
    if failed > allowed {
        let (total, quorum) = (run.dir.members(iteration), run.experiment.failures.quorum);
        return Err(StepError::Quorum { iteration, failed, total, allowed, quorum });
    }
    Ok(())
}

/// How many members may fail: at least the quorum's share, and at least two, must have succeeded.
pub fn allowed_failures(run: &Run, iteration: Iteration) -> usize {
    let total = f64::from(run.dir.members(iteration));
    let needed = (run.experiment.failures.quorum * total - 1e-9).ceil().max(2.0);
    (total - needed).max(0.0) as usize
}

fn step(
    run: &Run,
    problem: &Problem,
    iteration: Iteration,
    tried: &Ensemble,
    state: State,
    g: Mat,
    decided: Option<f64>,
) -> Result<Step, StepError> {
    let mut algorithm = run.calibration()?.algorithm.clone();
    if let Some(length) = decided {
        // A length that a person has set since is for the steps after this one.
        algorithm.set_step(length);
    }
    let index = iteration - run.experiment.first_iteration;
    let evaluated = Evaluated { iteration: index, ensemble: tried, g };
    let draw = Streams::new(run.experiment.seed);
    Ok(algorithm.next(problem, state, &evaluated, &draw)?)
}

/// Publish the decision; none if another process was first.
fn decide(run: &Run, iteration: Iteration, left: &[Left], step: &Step) -> Result<Option<Update>, StepError> {
    let stop = match &step.stop {
        Some(Stop::Time) => "time",
        None => "",
    };
    let marks: Vec<String> = left.iter().map(Left::mark).collect();
    let mut report = step.report.clone();
    for (j, why) in &mut report.set_aside {
        // The member's own words are better than what its missing numbers look like.
        if let Left::Failed { cause, message } = &left[*j] {
            *why = format!("{cause}: {message}");
        }
    }
    let update = Update::new(iteration, &report, stop, marks);
    run.not_cancelled()?;
    let first = publish_new_durable(&run.dir.update(iteration), update.text().as_bytes())?;
    Ok(first.then_some(update))
}

/// Publish `stop.toml` when the run is over; true if it is.
pub(super) fn finish(run: &Run, iteration: Iteration, update: &Update) -> Result<bool, StepError> {
    let last = iteration + 1;
    let search = run.experiment.searching();
    let reason = match update.stop.as_str() {
        "" if last >= run.end()? => {
            if search.is_some() {
                "budget"
            } else {
                "iterations"
            }
        }
        "" => return Ok(false),
        other => other,
    };
    if due::stopped(run)?.is_some() {
        return Ok(true);
    }
    let prior = run.prior()?;
    let stop = match search {
        Some(searching) => dds::stopped(run, searching, &prior, reason, last)?,
        None => Stopped {
            reason: reason.into(),
            last,
            result: estimates(run, &prior, last)?,
            ..Stopped::default()
        },
    };
    publish_durable(&run.dir.stop(), stop.text(&run.dir.iteration_name(last)).as_bytes())?;
    Ok(true)
}

/// Mean and spread of each parameter, first ensemble against the one of `last`, physical units.
fn estimates(run: &Run, prior: &Prior, last: Iteration) -> Result<Vec<Estimate>, StepError> {
    let algorithm = &run.calibration()?.algorithm;
    let moments = |iteration| -> Result<Vec<(f64, f64)>, StepError> {
        let mut ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
        // Methods that keep mean and covariance have them in their state; for others the ensemble is the estimate.
        if algorithm.places(prior).is_some() {
            let state: State = load_state(&run.dir.state(iteration), STATE.0, STATE.1)?;
            ensemble = algorithm.estimate(ensemble, &state)?;
        }
        Ok(physical_moments(prior, &ensemble))
    };
    let before = moments(run.experiment.first_iteration)?;
    let after = moments(last)?;
    Ok(prior
        .row_names()
        .into_iter()
        .zip(before.into_iter().zip(after))
        .map(|(name, ((prior_mean, prior_std), (mean, std)))| Estimate {
            name,
            prior_mean,
            prior_std,
            mean,
            std,
        })
        .collect())
}

/// Mean and standard deviation (divisor J − 1) of each parameter in physical units; of fields of their coefficients.
pub fn physical_moments(prior: &Prior, ensemble: &Ensemble) -> Vec<(f64, f64)> {
    let columns: Vec<Vec<f64>> = (0..ensemble.u.ncols()).map(|j| prior.physical(ensemble.u.col(j))).collect();
    let n = columns.len() as f64;
    (0..ensemble.u.nrows())
        .map(|i| {
            let mean = columns.iter().map(|c| c[i]).sum::<f64>() / n;
            let square = columns.iter().map(|c| (c[i] - mean).powi(2)).sum::<f64>();
            (mean, (square / (n - 1.0)).sqrt())
        })
        .collect()
}
