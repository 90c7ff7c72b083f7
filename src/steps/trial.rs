//! Runs that publish nothing: a member in a folder of its own, or one at the centre of the prior.

use std::fs;
use std::path::{Path, PathBuf};

use crate::experiment::{Model, Searching};
use crate::files::{FileError, Iteration, Member};
use crate::models::{ModelError, Output, Period, Place, Score, Scoring, ThetaRef, Usage, Want};
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::{MemberFile, Prior};
use crate::steps::init::Prepared;
use crate::steps::member::{Options, judged, judged_as, place};
use crate::steps::timing::Clock;
use crate::steps::{Run, StepError, batch, parameters, score};

/// What a trial gave.
#[derive(Debug)]
pub struct Trial {
    /// The outputs, or why there are none
    pub result: Result<Output, ModelError>,
    /// What it cost
    pub usage: Usage,
    /// Bytes that it left in its folder
    pub disk: u64,
    /// What it was asked for
    pub want: Want,
    /// Where it worked
    pub folder: PathBuf,
}

/// Run a member in `folder`, publish nothing. An edited copy of its `parameters.toml` in that folder is used as it is.
///
/// # Errors
/// The iteration is not there, the disk.
pub fn scratch(
    run: &Run,
    iteration: Iteration,
    member: Member,
    folder: &Path,
    options: &Options,
) -> Result<Trial, StepError> {
    single(run)?;
    fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
    let folder = std::path::absolute(folder).map_err(FileError::io("find", folder))?;
    let copy = folder.join("parameters.toml");
    let text = match fs::read_to_string(&copy) {
        Ok(text) => text,
        Err(_) => {
            let text = parameters::load(run, iteration, member)?.text;
            fs::write(&copy, &text).map_err(FileError::io("write", &copy))?;
            text
        }
    };
    let asked = run.asked(iteration)?;
    let mut place = place(run, &asked, iteration, member, 1, &folder, options);
    place.parameters = copy;
    let id = &run.dir.identity;
    let names: Vec<(String, usize)> =
        id.parameters.iter().cloned().zip(id.components.iter().copied()).collect();
    let mut trial = call(&run.experiment.model, &names, &run.want(&asked), &text, place, folder)?;
    trial.result = trial.result.and_then(|output| judged(run, &asked, output));
    trial.want = batch::want(&asked);
    Ok(trial)
}

/// Members of a batch are chunks of thousands: there is no single one to look at.
fn single(run: &Run) -> Result<(), StepError> {
    match run.experiment.forwards() {
        None => Ok(()),
        Some(_) => Err(StepError::Refused {
            what: "the members of a batch are chunks of many models: `--scratch` and `--print` are for single ones".into(),
            hint: "`ekp-init --try experiment.toml` runs one model; failed ones of a program keep their folder in `try_K/`".into(),
        }),
    }
}

/// Run one member at the centre of the prior, through the real command, before there is a run.
///
/// # Errors
/// The disk.
pub fn at_centre(prepared: &Prepared, folder: &Path, threads: usize) -> Result<Trial, StepError> {
    fs::create_dir_all(folder.join("try_1")).map_err(FileError::io("make", folder))?;
    let prior = prepared.given.prior();
    let text = prior
        .member_file()
        .text("# ekp parameters 1: the centre of the prior", &prior.constrain(&prior.centre()))?;
    let path = folder.join("parameters.toml");
    fs::write(&path, &text).map_err(FileError::io("write", &path))?;
    let draw = Streams::new(prepared.experiment.seed);
    let first = prepared.given.problem().and_then(|problem| {
        batch::record(&prepared.identity, &problem.observation, prepared.identity.first_iteration)
    });
    let (want, observations) = match first {
        Some(first) => {
            // A model may look for it where the members of a run find it.
            let path = folder.join("batch.toml");
            fs::write(&path, first.text()).map_err(FileError::io("write", &path))?;
            let asked = first.asked();
            (batch::want(&asked), asked.observations.join(","))
        }
        None => (prepared.given.want(), String::new()),
    };
    let place = Place {
        run: folder.to_owned(),
        iteration: prepared.experiment.first_iteration,
        member: 1,
        attempt: 1,
        seed: draw.model_seed(0, 1),
        stream: draw.address(Purpose::Model, 0, 1),
        parameters: path,
        folder: folder.join("try_1"),
        threads,
        worker: 1,
        stop: None,
        batch: observations,
    };
    let (model, folder) = (&prepared.experiment.model, folder.join("try_1"));
    let mut trial = call(model, prior.names(), &want, &text, place, folder)?;
    let tolerance = prepared.experiment.failures.nan_tolerance;
    let layout = Want::series(prepared.given.layout());
    trial.result = trial.result.and_then(|output| {
        let output = match prepared.experiment.searching() {
            Some(searching) => score::blocks(&searching.score, output)?,
            None => output,
        };
        judged_as(if prepared.given.problem().is_some() { &want } else { &layout }, tolerance, output)
    });
    if prepared.given.problem().is_none() {
        trial.want = layout;
    }
    Ok(trial)
}

/// Scores of another period for these values (d × 1), by a model of this process; none where it cannot tell. A run
/// begins where those of the search do.
pub(super) fn scored(
    run: &Run,
    searching: &Searching,
    prior: &Prior,
    values: &Mat,
    period: Period,
) -> Vec<Score> {
    let forward = &run.experiment.model.forward;
    if !forward.in_process() {
        return Vec::new();
    }
    let scoring = &searching.score.scoring;
    let first = scoring.spin_up.or(scoring.period).map(|begin| begin.first);
    let spin_up = first
        .filter(|first| *first < period.first)
        .map(|first| Period { first, last: period.first.pred_opt().unwrap_or(period.first) });
    let want = Want::score(Scoring { spin_up, period: Some(period), ..scoring.clone() });
    let first = run.dir.identity.first_iteration;
    let Ok(asked) = run.asked(first) else { return Vec::new() };
    let place = place(run, &asked, first, 1, 1, run.dir.root(), &Options::default());
    let result = forward.run(ThetaRef { names: prior.names(), values }, &want, &mut [place]).pop();
    result.and_then(Result::ok).map_or_else(Vec::new, |output| output.scores)
}

fn call(
    model: &Model,
    names: &[(String, usize)],
    want: &Want,
    text: &str,
    place: Place,
    folder: PathBuf,
) -> Result<Trial, StepError> {
    let theta = MemberFile::read(text, names)?;
    let values = Mat::from_columns(theta.len(), 1, theta);
    let clock = Clock::start();
    let result = model.forward.run(ThetaRef { names, values: &values }, want, &mut [place]).pop();
    let result = result
        .unwrap_or_else(|| Err(ModelError::new(crate::models::Cause::Output, "the model gave nothing back")));
    let usage = match &result {
        Ok(output) => output.usage,
        Err(error) => error.usage,
    };
    let usage = usage.unwrap_or_else(|| clock.own_usage());
    let disk = walkdir::WalkDir::new(&folder)
        .into_iter()
        .filter_map(|e| e.ok()?.metadata().ok())
        .filter(fs::Metadata::is_file)
        .map(|m| m.len())
        .sum();
    Ok(Trial { result, usage, disk, want: want.clone(), folder })
}

/// What a member does, as text to paste into a shell.
///
/// # Errors
/// The iteration is not there.
pub fn printable(
    run: &Run,
    iteration: Iteration,
    member: Member,
    options: &Options,
) -> Result<String, StepError> {
    single(run)?;
    parameters::load(run, iteration, member)?;
    let Some(external) = &run.experiment.model.external else {
        let name = &run.experiment.model.title;
        return Ok(format!("# `{name}` is a model of the toolkit: it runs inside ekp-run-member\n"));
    };
    let folder = run.dir.member(iteration, member);
    let attempt = crate::files::next_try(&folder)?;
    let asked = run.asked(iteration)?;
    let place =
        place(run, &asked, iteration, member, attempt, &folder.join(format!("try_{attempt}")), options);
    Ok(external.printable(&place))
}
