//! The best trial of a search: which it is, and the same run once more.

use std::path::Path;

use crate::files::{FileError, load_record, load_state};
use crate::models::{ThetaRef, Usage};
use crate::numerics::Mat;
use crate::problem::State;
use crate::steps::member::{Options, judged, place};
use crate::steps::parameters::STATE;
use crate::steps::record::{Best, Progress};
use crate::steps::timing::Clock;
use crate::steps::{Run, StepError, Stopped, dds, due, trials};

/// How far a search without a coordinator is; none before it began.
///
/// # Errors
/// The disk, a fault in the prior.
pub fn so_far(run: &Run) -> Result<Option<Progress>, StepError> {
    let Some(searching) = run.experiment.searching() else { return Ok(None) };
    let standing = if run.dir.leaderless() {
        trials::standing(run, searching)?
    } else {
        let Some(open) = due::open_iteration(run) else { return Ok(None) };
        let state: State = load_state(&run.dir.state(open), STATE.0, STATE.1)?;
        dds::known(&state)
    };
    Ok(Some(dds::progress(run, searching, &standing)))
}

/// A trial: its number, its values, its scores where it has them.
pub type Ended = (u32, Vec<f64>, Option<Vec<f64>>);

/// All trials of a search without a coordinator that have ended, by number.
///
/// # Errors
/// The disk, a fault in the prior.
pub fn trials(run: &Run) -> Result<Vec<Ended>, StepError> {
    let Some(searching) = run.experiment.searching() else { return Ok(Vec::new()) };
    let all = trials::results(run, searching)?.into_iter();
    let shown = |goals: Vec<f64>| searching.score.shown(&goals);
    Ok(all.map(|tried| (tried.trial, tried.x, tried.goals.map(shown))).collect())
}

/// The folder of a trial's outcome, as a person in the run folder types it.
pub fn folder_of(run: &Run, trial: u32) -> String {
    let (iteration, member) = dds::place(run, trial);
    dds::folder(run, iteration, member)
}

/// The best trial, run once more.
#[derive(Debug)]
pub struct Again {
    /// As recorded
    pub recorded: Best,
    /// Names and numbers of its outcome now
    pub now: Vec<(String, Vec<f64>)>,
    /// The same bits
    pub same: bool,
    /// What it cost
    pub usage: Usage,
}

/// Run the best trial alone, in `folder`, publish nothing, and hold its numbers against those recorded.
///
/// # Errors
/// No search, nothing found yet, the disk; a model that fails now.
pub fn again(run: &Run, folder: &Path, options: &Options) -> Result<Again, StepError> {
    let refuse = |what: String, hint: &str| StepError::Refused { what, hint: hint.into() };
    let Some(searching) = run.experiment.searching() else {
        let what = format!("method `{}` has no best member", run.experiment.method);
        return Err(refuse(what, "`--best` is for searches; the result of this run is an ensemble"));
    };
    let prior = run.prior()?;
    let recorded = match load_record::<Stopped>(&run.dir.stop()) {
        Ok(stop) => stop.best.into_iter().next(),
        Err(e) if e.is_missing() => {
            let last = due::open_iteration(run).unwrap_or(run.experiment.first_iteration);
            dds::stopped(run, searching, &prior, "", last)?.best.into_iter().next()
        }
        Err(e) => return Err(e.into()),
    };
    let Some(recorded) = recorded else {
        return Err(refuse("the search has found nothing yet".into(), "`ekp-status` shows how far it is"));
    };
    let (iteration, member) = dds::place(run, recorded.trial);
    let asked = run.asked(iteration)?;
    std::fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
    let folder = std::path::absolute(folder).map_err(FileError::io("find", folder))?;
    let parameters = folder.join("parameters.toml");
    let text = prior.member_file().text("# ekp parameters 1: the best trial, once more", &recorded.values)?;
    std::fs::write(&parameters, text).map_err(FileError::io("write", &parameters))?;
    let mut place = place(run, &asked, iteration, member, 1, &folder, options);
    place.parameters = parameters;
    let values = Mat::from_columns(recorded.values.len(), 1, recorded.values.clone());
    let clock = Clock::start();
    let forward = &run.experiment.model.forward;
    let result = forward
        .run(ThetaRef { names: prior.names(), values: &values }, &run.want(&asked), &mut [place])
        .pop()
        .expect("a model answers for each place");
    let output = result.and_then(|output| judged(run, &asked, output));
    let output = output.map_err(|e| StepError::Hindered { iteration, member, why: e.message })?;
    let usage = output.usage.unwrap_or_else(|| clock.own_usage());
    let now: Vec<(String, Vec<f64>)> = asked.blocks.iter().cloned().zip(output.blocks).collect();
    let numbers = now.iter().flat_map(|(_, values)| values.iter().copied()).collect::<Vec<f64>>();
    let before: Vec<f64> = recorded
        .score
        .iter()
        .copied()
        .chain(now[1..].iter().map(|(name, _)| recorded.parts.get(name).copied().unwrap_or(f64::NAN)))
        .collect();
    let same = numbers.len() == before.len()
        && numbers.iter().zip(&before).all(|(now, then)| now.to_bits() == then.to_bits());
    Ok(Again { recorded, now, same, usage })
}
