//! A search by generations: trials are made from what is known, run as members, and merged by the update.
//!
//! `ensemble.bin` holds the trials (physical values, d × J), `state.bin` what is known before them. The last folder,
//! which nobody runs, holds the best trial; of several objectives the archive.

use std::collections::BTreeMap;

use crate::dds::{Found, GiveUp, Search, Standing, Tried};
use crate::experiment::{ExperimentError, Searching};
use crate::files::{Iteration, load_state, publish_new_durable};
use crate::numerics::{Mat, Streams};
use crate::problem::{Ensemble, Prior, Report, State};
use crate::steps::outcomes::{self, Left};
use crate::steps::parameters::{ENSEMBLE, STATE};
use crate::steps::record::{Best, Progress};
use crate::steps::timing::Clock;
use crate::steps::update::{Entry, Outcome, as_decided, complete, enter, finish, settled, timed};
use crate::steps::{Run, StepError, Stopped, Update, ensemble, trials};

impl Run {
    /// The search in the space of the prior.
    ///
    /// # Errors
    /// The prior does not fit it.
    pub(super) fn search(&self, searching: &Searching, prior: &Prior) -> Result<Search, StepError> {
        Ok(searching.search(prior, self.dir.identity.members).map_err(ExperimentError::from)?)
    }
}

/// Make the first generation; false when it was there already.
///
/// # Errors
/// As [`ensemble::run`].
pub(super) fn first(run: &Run, searching: &Searching, first: Iteration) -> Result<bool, StepError> {
    let prior = run.prior()?;
    let search = run.search(searching, &prior)?;
    let standing = Standing::default();
    let trials = generation(run, &search, &standing, first);
    ensemble::write_iteration(&run.dir, &prior, None, first, &trials, &kept(&standing))
}

/// The trials of an iteration; behind the last one the best, or the archive.
fn generation(run: &Run, search: &Search, standing: &Standing, iteration: Iteration) -> Ensemble {
    let (count, budget) = (run.dir.members(iteration), run.dir.budget());
    let columns: Vec<Vec<f64>> = if count == 0 {
        standing.kept.iter().map(|found| found.x.clone()).collect()
    } else {
        let draw = Streams::new(run.experiment.seed);
        let first = standing.done + 1;
        (first..first + count).map(|t| search.trial(standing, t, budget, &draw).x).collect()
    };
    let d = search.space.axes.len();
    Ensemble { u: Mat::from_columns(d, columns.len(), columns.concat()) }
}

/// What is known, as `state.bin` has it.
pub(super) fn kept(standing: &Standing) -> State {
    let Standing { done, failed, failed_in_row, stagnant, kept, fresh } = standing;
    let counts =
        [("done", done), ("failed", failed), ("failed_in_row", failed_in_row), ("stagnant", stagnant)];
    let row = |numbers: Vec<f64>| Mat::from_columns(1, numbers.len(), numbers);
    let (d, q) = kept.first().map_or((0, 0), |found| (found.x.len(), found.goals.len()));
    let arrays = [
        ("x", Mat::from_columns(d, kept.len(), kept.iter().flat_map(|f| f.x.clone()).collect())),
        ("goals", Mat::from_columns(q, kept.len(), kept.iter().flat_map(|f| f.goals.clone()).collect())),
        ("trials", row(kept.iter().map(|found| f64::from(found.trial)).collect())),
        ("fresh", row(fresh.iter().map(|trial| f64::from(*trial)).collect())),
    ];
    State {
        scalars: counts.into_iter().map(|(name, n)| (name.to_owned(), f64::from(*n))).collect(),
        arrays: arrays.into_iter().map(|(name, mat)| (name.to_owned(), mat)).collect(),
    }
}

/// And back.
pub(super) fn known(state: &State) -> Standing {
    let count = |name: &str| state.scalars.get(name).copied().unwrap_or(0.0) as u32;
    let empty = Mat::default();
    let array = |name: &str| state.arrays.get(name).unwrap_or(&empty);
    let (x, goals, trials) = (array("x"), array("goals"), array("trials"));
    let kept = (0..trials.ncols())
        .map(|k| Found { trial: trials[(0, k)] as u32, x: x.col(k).to_vec(), goals: goals.col(k).to_vec() })
        .collect();
    let fresh = array("fresh");
    Standing {
        done: count("done"),
        failed: count("failed"),
        failed_in_row: count("failed_in_row"),
        stagnant: count("stagnant"),
        kept,
        fresh: (0..fresh.ncols()).map(|k| fresh[(0, k)] as u32).collect(),
    }
}

/// The trials of a generation with their goals.
fn tried(
    searching: &Searching,
    standing: &Standing,
    trials: &Ensemble,
    left: &[Left],
    g: &Mat,
) -> Vec<Tried> {
    let objectives = searching.score.names.len();
    let one = |(j, left): (usize, &Left)| Tried {
        trial: standing.done + 1 + j as u32,
        x: trials.u.col(j).to_vec(),
        goals: matches!(left, Left::Data { .. }).then(|| searching.score.goals(&g.col(j)[..objectives])),
    };
    left.iter().enumerate().map(one).collect()
}

/// Close a generation.
///
/// # Errors
/// As [`crate::steps::update::run`]; [`StepError::Storm`] when it finds only failures.
pub(super) fn update(
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
    let prior = run.prior()?;
    let search = run.search(searching, &prior)?;
    let trials: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let mut standing = known(&load_state(&run.dir.state(iteration), STATE.0, STATE.1)?);
    let wait = close && published.is_none();
    let mut gathered = settled(run, wait, || outcomes::gather(run, &prior, &trials, iteration))?;
    match &published {
        Some(update) => as_decided(&mut gathered.left, update)?,
        None => complete(run, &prior, &trials, iteration, &mut gathered.left, close)?,
    }
    let left = gathered.left.clone();
    let together = tried(searching, &standing, &trials, &left, &gathered.matrix());
    search.merge(&mut standing, &together);
    let update = match published {
        Some(update) => update,
        None => {
            if let Some(gives_up) = search.gives_up(&standing) {
                return Err(storm(iteration, gives_up, &left));
            }
            let update = decision(run, searching, iteration, &left, &standing);
            run.not_cancelled()?;
            if !publish_new_durable(&run.dir.update(iteration), update.text().as_bytes())? {
                // Another process was first, perhaps with other outcomes: its decision counts.
                return self::update(run, searching, iteration, close);
            }
            update
        }
    };
    let next = generation(run, &search, &standing, iteration + 1);
    ensemble::write_iteration(&run.dir, &prior, None, iteration + 1, &next, &kept(&standing))?;
    timed(run, iteration, &clock)?;
    let over = finish(run, iteration, &update)?;
    let update = Box::new(update);
    Ok(if over { Outcome::Finished(update) } else { Outcome::Closed(update) })
}

/// Why it ends, with the words of the first failure.
pub(super) fn storm(iteration: Iteration, gives_up: GiveUp, left: &[Left]) -> StepError {
    let (GiveUp::Storm(failed) | GiveUp::Beginning(failed)) = gives_up;
    let first = left.iter().find_map(|left| match left {
        Left::Failed { cause, message } => Some(format!("{cause}: {message}")),
        _ => None,
    });
    StepError::Storm { iteration, failed, first: first.unwrap_or_default() }
}

/// How far a search is when it knows this.
pub(super) fn progress(run: &Run, searching: &Searching, standing: &Standing) -> Progress {
    let best = standing.best();
    Progress {
        evaluations: standing.done,
        budget: run.dir.budget(),
        failed: standing.failed,
        best: best.map_or(0, |best| best.trial),
        score: best.map_or_else(Vec::new, |best| searching.score.shown(&best.goals)),
        archive: standing.kept.len() as u32,
    }
}

/// What `update.toml` says.
pub(super) fn decision(
    run: &Run,
    searching: &Searching,
    iteration: Iteration,
    left: &[Left],
    standing: &Standing,
) -> Update {
    let marks: Vec<String> = left.iter().map(Left::mark).collect();
    let mut report =
        Report { used: left.iter().filter(|l| matches!(l, Left::Data { .. })).count(), ..Report::default() };
    for (j, left) in left.iter().enumerate() {
        if let Left::Failed { cause, message } = left {
            report.set_aside.push((j, format!("{cause}: {message}")));
        }
    }
    Update { search: Some(progress(run, searching, standing)), ..Update::new(iteration, &report, "", marks) }
}

/// True when the open generation was refused because only failures came.
///
/// # Errors
/// The disk.
pub(super) fn stuck(run: &Run, searching: &Searching, iteration: Iteration) -> Result<bool, StepError> {
    let prior = run.prior()?;
    let search = run.search(searching, &prior)?;
    if run.dir.leaderless() {
        return trials::stuck(run, searching, &search);
    }
    let tried_: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let mut standing = known(&load_state(&run.dir.state(iteration), STATE.0, STATE.1)?);
    let gathered = outcomes::gather(run, &prior, &tried_, iteration)?;
    if gathered.left.iter().any(|left| matches!(left, Left::Missing(_))) {
        return Ok(false);
    }
    let left = gathered.left.clone();
    let together = tried(searching, &standing, &tried_, &left, &gathered.matrix());
    search.merge(&mut standing, &together);
    Ok(search.gives_up(&standing).is_some())
}

/// The number of the first trial of a generation, and in which generation a trial ran.
pub(super) fn place(run: &Run, trial: u32) -> (Iteration, u32) {
    let mut iteration = run.experiment.first_iteration;
    let mut before = 0;
    loop {
        let size = run.dir.members(iteration);
        if trial <= before + size || size == 0 {
            return (iteration, trial.saturating_sub(before));
        }
        before += size;
        iteration += 1;
    }
}

/// What `stop.toml` says.
///
/// # Errors
/// The disk, an outcome of the best trials that is gone.
pub(super) fn stopped(
    run: &Run,
    searching: &Searching,
    prior: &Prior,
    reason: &str,
    last: Iteration,
) -> Result<Stopped, StepError> {
    let standing = if run.dir.leaderless() {
        trials::standing(run, searching)?
    } else {
        known(&load_state(&run.dir.state(last), STATE.0, STATE.1)?)
    };
    let names = prior.row_names();
    let mut best = Vec::new();
    let mut kept: Vec<&Found> = standing.kept.iter().collect();
    if !run.search(searching, prior)?.select.several() {
        // A pool has several, of which one is the result.
        kept = standing.best().into_iter().collect();
    }
    for found in kept {
        let (iteration, member) = place(run, found.trial);
        let (parameters, numbers) = recorded(run, iteration, member)?;
        let score = searching.score.shown(&found.goals);
        let layout = searching.score.layout();
        let parts: BTreeMap<String, f64> = layout[1..]
            .iter()
            .map(|(name, _)| name.clone())
            .zip(numbers.iter().skip(score.len()).copied())
            .collect();
        best.push(Best {
            trial: found.trial,
            folder: folder(run, iteration, member),
            // As the outcome has it: a goal has lost the sign of a bias.
            score: if numbers.is_empty() { score } else { numbers[..searching.score.names.len()].to_vec() },
            scored: searching.score.words(),
            parameters,
            parts,
            evaluation: evaluated(run, searching, prior, found),
            names: names.clone(),
            values: found.x.clone(),
        });
    }
    let (evaluations, failed) = (standing.done, standing.failed);
    Ok(Stopped { reason: reason.into(), last, evaluations, failed, best, ..Stopped::default() })
}

/// The folder of a trial's outcome, in the run.
pub(super) fn folder(run: &Run, iteration: Iteration, member: u32) -> String {
    if run.dir.packed() {
        let chunk = (member - 1) / run.dir.identity.pack + 1;
        let path = run.dir.chunk(iteration, chunk);
        return path.strip_prefix(run.dir.root()).unwrap_or(&path).display().to_string();
    }
    run.dir.shown(iteration, member, "").trim_end_matches('/').to_owned()
}

/// Digest of the parameters and all numbers of a trial's outcome; nothing where a purge took it.
fn recorded(run: &Run, iteration: Iteration, member: u32) -> Result<(String, Vec<f64>), StepError> {
    let asked = run.asked(iteration)?;
    if run.dir.packed() {
        return Ok(if run.dir.leaderless() {
            trials::recorded(run, member).unwrap_or_default()
        } else {
            crate::steps::pack::recorded(run, iteration, member).unwrap_or_default()
        });
    }
    let Ok(loaded) = crate::steps::parameters::load(run, iteration, member) else {
        return Ok(Default::default());
    };
    let mut numbers = vec![0.0; asked.total()];
    let folder = run.dir.member(iteration, member);
    let found = crate::files::Found::read(
        &folder,
        &loaded.digest,
        &asked.blocks,
        &asked.lengths,
        &mut numbers,
        &mut Vec::new(),
    )?;
    let data = matches!(found, crate::files::Found::Data(_));
    Ok((loaded.digest, if data { numbers } else { Vec::new() }))
}

/// Scores of the evaluation period; a model that cannot tell leaves it out.
fn evaluated(run: &Run, searching: &Searching, prior: &Prior, found: &Found) -> BTreeMap<String, f64> {
    let Some(period) = searching.score.evaluation else { return BTreeMap::new() };
    let values = Mat::from_columns(found.x.len(), 1, found.x.clone());
    let scores = crate::steps::trial::scored(run, searching, prior, &values, period);
    let pairs = scores.iter().flat_map(|score| {
        let pairs = (format!("{}_pairs", score.name.replace('-', "_")), score.pairs as f64);
        [(score.name.replace('-', "_"), score.value), pairs]
    });
    pairs.collect()
}
