//! Run members of an iteration: each ends with `data.toml` or `failed.toml`.
//!
//! A member that has an outcome is left alone. A defective outcome is named, moved aside and run again.
//! Side files (timing) come first, the outcome last: its presence vouches for the rest.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::files::{
    ARRAY, Asked, Failed, Found, Iteration, Member, Members, data_beside, data_text, publish, publish_new,
};
use crate::models::{Cause, ModelError, Output, Place, ThetaRef, Usage, Want};
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::MemberFile;
use crate::steps::parameters::{self, Loaded};
use crate::steps::timing::{Clock, Who, job_id};
use crate::steps::tries::{new_try, remove, rounds, set_aside, tidy};
use crate::steps::{Run, StepError, batch, due, forward, pack, platform, score, trials};

/// How members are to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run even if there is an outcome, and replace it
    pub again: bool,
    /// Threads: members at once for a model of this process, threads of the model otherwise
    pub threads: usize,
    /// Which worker this is, from 1
    pub worker: u32,
    /// Array element, 0 without one
    pub element: u32,
    /// Work inside a try folder that is there already (a lease)
    pub held: Option<(u32, PathBuf)>,
    /// That folder stays when the member is done: whoever holds the lease has use for it
    pub held_stays: bool,
    /// Set by a signal: finish nothing new
    pub stop: Option<Arc<AtomicBool>>,
}

impl Default for Options {
    fn default() -> Self {
        Self { again: false, threads: 1, worker: 1, element: 0, held: None, held_stays: false, stop: None }
    }
}

impl Options {
    /// The text of `timing.toml` of a try that ends now, and its seconds; `usage` is what the model told of itself.
    pub(super) fn timed(&self, clock: &Clock, usage: Option<Usage>, attempt: u32) -> (String, f64) {
        let usage = usage.unwrap_or_else(|| clock.own_usage());
        let (element, worker, threads) = (self.element, self.worker, self.threads);
        let who = Who { job: job_id(), element, worker, threads, attempt };
        (clock.stop(usage, &who).text(), usage.wall_s)
    }
}

/// How a member ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It had data
    AlreadyDone,
    /// It had failed before
    AlreadyFailed,
    /// The iteration is closed, or the run over: nobody needs it
    Closed,
    /// It has data now
    Done {
        /// Wall time
        seconds: f64,
    },
    /// It failed; that is a result
    Failed {
        /// One line
        reason: String,
    },
}

/// Run `members`, telling `each` how one ended.
///
/// # Errors
/// Cancelled, the iteration is not there, the disk. A model that fails is no error.
pub fn run(
    run: &Run,
    iteration: Iteration,
    members: &Members,
    options: &Options,
    each: &(dyn Fn(Member, &Outcome) + Sync),
) -> Result<(), StepError> {
    run.not_cancelled()?;
    let first = run.dir.identity.first_iteration;
    if iteration < first {
        return Err(StepError::NoSuchIteration { iteration, first });
    }
    let all = run.dir.members(iteration);
    if let Some(member) = members.last().filter(|&m| m > all) {
        return Err(StepError::NoSuchMember { member, members: all });
    }
    if !options.again && nobody_needs(run, iteration)? {
        members.iter().for_each(|m| each(m, &Outcome::Closed));
        return Ok(());
    }
    platform::once(run);
    if run.experiment.forwards().is_some() {
        return forward::run(run, members, options, each);
    }
    if let Some(searching) = run.experiment.searching().filter(|_| run.dir.leaderless()) {
        return trials::run_list(run, searching, members, options, each);
    }
    if run.dir.packed() {
        return pack::run(run, iteration, members, options, each);
    }
    let list: Vec<Member> = members.iter().collect();
    // A model that has use for all threads gets them; members of others share them out.
    let lanes = if run.experiment.model.whole { 1 } else { options.threads.clamp(1, list.len().max(1)) };
    in_lanes(lanes, &list, |&member| {
        if options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
            return Err(StepError::Interrupted);
        }
        let outcome = one(run, iteration, member, options)?;
        each(member, &outcome);
        Ok(())
    })
}

/// True when the iteration is closed or lies behind the end of the run.
fn nobody_needs(run: &Run, iteration: Iteration) -> Result<bool, StepError> {
    if due::decided(run, iteration) {
        return Ok(true);
    }
    Ok(due::stopped(run)?.is_some_and(|stop| iteration >= stop.last))
}

/// Do `work` on each item, `lanes` at a time; the first error ends it.
pub(super) fn in_lanes<T: Sync>(
    lanes: usize,
    items: &[T],
    work: impl Fn(&T) -> Result<(), StepError> + Sync,
) -> Result<(), StepError> {
    if lanes <= 1 {
        return items.iter().try_for_each(work);
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let lane = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        // This thread is a lane, too: it does the work of those that cannot be started.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, lane).ok();
        let others: Vec<_> = (1..lanes).map_while(start).collect();
        let own = lane();
        others.into_iter().map(|lane| lane.join().expect("a lane does not panic")).fold(own, Result::and)
    })
}

/// Run one member, if it has no outcome.
///
/// # Errors
/// As [`run`].
pub fn one(run: &Run, iteration: Iteration, member: Member, options: &Options) -> Result<Outcome, StepError> {
    let asked = run.asked(iteration)?;
    let folder = run.dir.member(iteration, member);
    let loaded = parameters::load(run, iteration, member)?;
    run.restore_batch(iteration)?;
    if !options.again {
        match Found::look(&folder, &loaded.digest, &asked.blocks, &asked.lengths)? {
            Found::Data(_) => return Ok(Outcome::AlreadyDone),
            Found::Failed(_) => return Ok(Outcome::AlreadyFailed),
            Found::Missing => {}
            Found::Defective { .. } => set_aside(&folder, &["data.toml", "failed.toml"])?,
        }
    }
    let finished = attempts(run, &asked, iteration, member, &loaded, options)?;
    publish(&folder.join("timing.toml"), finished.timing.as_bytes())?;
    let (name, text, beside, outcome) = match finished.result {
        Ok(Written { text, beside }) => {
            ("data.toml", text, beside, Outcome::Done { seconds: finished.seconds })
        }
        Err(failed) => {
            let comments = format!("ekp failed: member {member} of iteration {iteration} has no data.");
            ("failed.toml", failed.text(&comments), None, Outcome::Failed { reason: failed.message })
        }
    };
    // The array comes before the record that names it. Where two processes run one member and their arrays differ,
    // one record names an array that is gone: it is no outcome, and the member gets another.
    let array = || match &beside {
        Some(bytes) => publish(&folder.join(ARRAY), bytes),
        None => Ok(()),
    };
    array()?;
    if options.again {
        // Asked for by a person: the new outcome takes the place of the old one.
        publish(&folder.join(name), text.as_bytes())?;
        let other = if name == "data.toml" { "failed.toml" } else { "data.toml" };
        remove(&folder.join(other))?;
        if beside.is_none() {
            remove(&folder.join(ARRAY))?;
        }
    } else if !publish_new(&folder.join(name), text.as_bytes())? {
        // Another try was first; its outcome counts if it is one. (A link to nowhere is there, and is none.)
        match Found::look(&folder, &loaded.digest, &asked.blocks, &asked.lengths)? {
            Found::Data(_) | Found::Failed(_) => {}
            Found::Defective { .. } | Found::Missing => {
                set_aside(&folder, &[name])?;
                array()?;
                publish_new(&folder.join(name), text.as_bytes())?;
            }
        }
    }
    tidy(run, &finished.tries);
    Ok(outcome)
}

/// A member's outcome, ready for the disk.
struct Written {
    /// `data.toml`
    text: String,
    /// `data.npy`
    beside: Option<Vec<u8>>,
}

/// What all tries of a member gave.
struct Finished {
    result: Result<Written, Failed>,
    timing: String,
    seconds: f64,
    /// Folder of each try and whether it succeeded
    tries: Vec<(PathBuf, bool)>,
}

fn attempts(
    run: &Run,
    asked: &Asked<'_>,
    iteration: Iteration,
    member: Member,
    loaded: &Loaded,
    options: &Options,
) -> Result<Finished, StepError> {
    let folder = run.dir.member(iteration, member);
    let external = run.experiment.model.external.is_some();
    // A model of this process gives the same failure again.
    let allowed = if external { 1 + run.experiment.failures.retries } else { 1 };
    let (mut tries, mut times) = (Vec::new(), None);
    let (result, rounds) = rounds(allowed, (iteration, member), options, |round| {
        let (attempt, place) = match (&options.held, round) {
            (Some((attempt, held)), 1) => (*attempt, held.clone()),
            _ if external => new_try(&folder)?,
            _ => (1, folder.clone()),
        };
        let clock = Clock::start();
        let result = call(run, asked, iteration, member, loaded, attempt, &place, options)
            .and_then(|output| judged(run, asked, output));
        let usage = result.as_ref().map_or_else(|error| error.usage, |output| output.usage);
        times = Some(options.timed(&clock, usage, attempt));
        if external || options.held.is_some() && !(options.held_stays && result.is_ok()) {
            tries.push((place, result.is_ok()));
        }
        Ok(result)
    })?;
    let (timing, seconds) = times.expect("there is at least one try");
    let result = match result {
        Ok(output) => Ok(data(run, asked, iteration, member, loaded, &output)),
        Err(error) => Err(failed(iteration, member, error, rounds)),
    };
    Ok(Finished { result, timing, seconds, tries })
}

#[allow(clippy::too_many_arguments)] // a member, its place and what is asked of it
fn call(
    run: &Run,
    asked: &Asked<'_>,
    iteration: Iteration,
    member: Member,
    loaded: &Loaded,
    attempt: u32,
    folder: &Path,
    options: &Options,
) -> Result<Output, ModelError> {
    let id = &run.dir.identity;
    let names: Vec<(String, usize)> =
        id.parameters.iter().cloned().zip(id.components.iter().copied()).collect();
    let theta = MemberFile::read(&loaded.text, &names)
        .map_err(|e| ModelError::new(Cause::Output, format!("`parameters.toml` cannot be read: {e}")))?;
    let values = Mat::from_columns(theta.len(), 1, theta);
    let place = place(run, asked, iteration, member, attempt, folder, options);
    let want = run.want(asked);
    let forward = &run.experiment.model.forward;
    forward
        .run(ThetaRef { names: &names, values: &values }, &want, &mut [place])
        .pop()
        .unwrap_or_else(|| Err(ModelError::new(Cause::Output, "the model gave nothing back")))
}

/// Where and as whom a member runs.
pub(super) fn place(
    run: &Run,
    asked: &Asked<'_>,
    iteration: Iteration,
    member: Member,
    attempt: u32,
    folder: &Path,
    options: &Options,
) -> Place {
    let draw = Streams::new(run.experiment.seed);
    // Streams count iterations from the first, whatever its number is.
    let index = iteration - run.experiment.first_iteration;
    Place {
        run: run.dir.root().to_owned(),
        iteration,
        member,
        attempt,
        seed: draw.model_seed(index, member),
        stream: draw.address(Purpose::Model, index, member),
        parameters: run.dir.parameters(iteration, member),
        folder: folder.to_owned(),
        threads: options.threads,
        worker: options.worker,
        stop: options.stop.clone(),
        batch: asked.observations.join(","),
    }
}

/// Is this output an outcome? Lengths, infinities, NaN against the tolerance.
pub(super) fn judged(run: &Run, asked: &Asked<'_>, output: Output) -> Result<Output, ModelError> {
    let output = match run.experiment.searching() {
        Some(searching) => score::blocks(&searching.score, output)?,
        None => output,
    };
    judged_as(&batch::want(asked), run.experiment.failures.nan_tolerance, output)
}

/// The same before there is a run.
pub(super) fn judged_as(want: &Want, nan_tolerance: f64, output: Output) -> Result<Output, ModelError> {
    let usage = output.usage;
    let refuse = |message: String| Err(ModelError { usage, ..ModelError::new(Cause::Output, message) });
    if output.blocks.len() != want.blocks.len() {
        return refuse(format!(
            "the model gave {} blocks, the observation has {}",
            output.blocks.len(),
            want.blocks.len()
        ));
    }
    for ((name, length), values) in want.blocks.iter().zip(&output.blocks) {
        if values.len() != *length {
            return refuse(format!(
                "block `{name}` has {} numbers, the observation has {length}",
                values.len()
            ));
        }
        if let Some(at) = values.iter().position(|x| x.is_infinite()) {
            return refuse(format!("block `{name}` holds an infinite number at position {}", at + 1));
        }
        let nan = values.iter().filter(|x| x.is_nan()).count();
        let allowed = (nan_tolerance * *length as f64).floor();
        if nan as f64 > allowed {
            return refuse(format!(
                "block `{name}` holds {nan} NaN among {length} numbers, {allowed} are tolerated"
            ));
        }
    }
    Ok(output)
}

fn data(
    run: &Run,
    asked: &Asked<'_>,
    iteration: Iteration,
    member: Member,
    loaded: &Loaded,
    output: &Output,
) -> Written {
    let comments = format!(
        "ekp data: member {member} of iteration {iteration}.\n\
         Written last, by `ekp-run-member`: its presence closes the member.\n\
         By hand:  ekp-run-member . -i {iteration} -m {member} --again"
    );
    let comments = match run.experiment.searching() {
        Some(searching) => format!("{comments}\nScore: {}.", searching.score.words()),
        None => comments,
    };
    let names = asked.blocks.iter().map(String::as_str);
    let blocks: Vec<(&str, &[f64])> = names.zip(output.blocks.iter().map(Vec::as_slice)).collect();
    if run.experiment.outputs.beside(asked.total()) {
        let (text, bytes) = data_beside(&comments, &loaded.digest, &blocks);
        return Written { text, beside: Some(bytes) };
    }
    Written { text: data_text(&comments, &loaded.digest, &blocks), beside: None }
}

fn failed(iteration: Iteration, member: Member, error: ModelError, tries: u32) -> Failed {
    Failed {
        cause: error.cause.word().into(),
        exit_code: error.exit_code,
        signal: error.signal,
        message: error.message,
        stderr_tail: error.stderr_tail,
        rerun: format!("ekp-run-member . -i {iteration} -m {member} --again"),
        attempt: tries,
    }
}

/// Mark a member as failed without running it.
///
/// # Errors
/// The disk; a member that has data already keeps it, which is told by `false`.
pub fn mark_failed(
    run: &Run,
    iteration: Iteration,
    member: Member,
    cause: Cause,
    reason: &str,
) -> Result<bool, StepError> {
    if run.experiment.forwards().is_some() {
        return forward::mark_failed(&forward::Batch::open(run)?, member, cause, reason);
    }
    let loaded = parameters::load(run, iteration, member)?;
    let asked = run.asked(iteration)?;
    let folder = run.dir.member(iteration, member);
    let path = folder.join("failed.toml");
    let failed = failed(iteration, member, ModelError::new(cause, reason), 0);
    let text = failed.text(&format!("ekp failed: member {member} of iteration {iteration} has no data."));
    match Found::look(&folder, &loaded.digest, &asked.blocks, &asked.lengths)? {
        Found::Data(_) => return Ok(false),
        // A person's word takes the place of an earlier one.
        Found::Failed(_) if cause == Cause::User => publish(&path, text.as_bytes())?,
        Found::Failed(_) => {}
        Found::Defective { .. } => {
            set_aside(&folder, &["data.toml", "failed.toml"])?;
            publish_new(&path, text.as_bytes())?;
        }
        Found::Missing => {
            publish_new(&path, text.as_bytes())?;
        }
    }
    Ok(true)
}
