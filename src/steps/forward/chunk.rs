//! One chunk of a batch, from parameters to files: `parameters.npy`, `data.npy`, `timing.toml`, and last `data.toml`,
//! which vouches for them.
//!
//! Models go through in pieces that fit a cache, so a chunk of any size takes little memory. Two processes on one
//! chunk write the same bytes: the one that renames last changes nothing.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::files::rows::Writer;
use crate::files::{Check, Chunk, FileError, publish, publish_new};
use crate::models::{Cause, ModelError, Output, Place, ThetaRef};
use crate::numerics::{Mat, Purpose, Streams};
use crate::steps::forward::{Batch, check, external};
use crate::steps::member::{Options, Outcome, judged_as};
use crate::steps::timing::{Clock, Who, job_id};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError};

/// Numbers of a piece: half a MiB of parameters and outputs.
const PIECE: usize = 1 << 16;
/// Messages that a record holds in full.
const MESSAGES: usize = 1000;

/// Run a chunk, if it has no outcome.
///
/// # Errors
/// The disk, a signal.
pub(super) fn one(run: &Run, batch: &Batch<'_>, chunk: u32, options: &Options) -> Result<Outcome, StepError> {
    let folder = run.dir.member(run.dir.identity.first_iteration, chunk);
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    if !options.again {
        match of(run, batch, chunk) {
            Ok(Some(_)) => return Ok(Outcome::AlreadyDone),
            Ok(None) => {}
            Err(_) => set_aside(&folder, &["data.toml"])?,
        }
    }
    let clock = Clock::start();
    let record = calculate(run, batch, chunk, &folder, options)?;
    let who = Who {
        job: job_id(),
        element: options.element,
        worker: options.worker,
        threads: 1,
        attempt: options.held.as_ref().map_or(1, |held| held.0),
    };
    publish(&folder.join("timing.toml"), clock.stop(clock.own_usage(), &who).text().as_bytes())?;
    let text = text(batch, chunk, &record);
    let path = folder.join("data.toml");
    if options.again {
        publish(&path, text.as_bytes())?;
    } else if !publish_new(&path, text.as_bytes())? && !matches!(of(run, batch, chunk), Ok(Some(_))) {
        set_aside(&folder, &["data.toml"])?;
        publish_new(&path, text.as_bytes())?;
    }
    let models = batch.models_of(chunk).len();
    Ok(match record.messages.first() {
        Some(message) if record.failed.len() == models => {
            Outcome::Failed { reason: format!("all {models} models of the chunk: {message}") }
        }
        _ => Outcome::Done { seconds: clock.wall_s() },
    })
}

/// The record of a chunk, if it is one of this run; the arrays beside it are not read.
pub(super) fn of(run: &Run, batch: &Batch<'_>, chunk: u32) -> Result<Option<Chunk>, String> {
    let folder = run.dir.member(run.dir.identity.first_iteration, chunk);
    let Some(record) = Chunk::read(&folder).map_err(|why| format!("`data.toml`: {why}"))? else {
        return Ok(None);
    };
    let models = batch.models_of(chunk);
    if record.run != run.dir.identity.id || record.first != *models.start() {
        return Err("`data.toml` answers other parameters".into());
    }
    if record.shape != [models.len(), batch.want.total()] {
        let expected = format!("{} × {}", models.len(), batch.want.total());
        return Err(format!("`data.toml` tells of an array of {:?}, not {expected}", record.shape));
    }
    Ok(Some(record))
}

fn calculate(
    run: &Run,
    batch: &Batch<'_>,
    chunk: u32,
    folder: &Path,
    options: &Options,
) -> Result<Chunk, StepError> {
    let models = batch.models_of(chunk);
    let (d, rows) = (batch.models.columns, batch.want.total());
    let size = (PIECE / (d + rows).max(1)).clamp(1, models.len());
    let mut parameters = Writer::new(&folder.join("parameters.npy"), &[models.len(), d])?;
    let mut data = Writer::new(&folder.join("data.npy"), &[models.len(), rows])?;
    let mut record = begun(run, batch, chunk);
    let mut programs =
        batch.external.then(|| external::Programs::new(run, batch, folder, options)).transpose()?;
    let mut places: Vec<Place> = Vec::new();
    let (mut numbers, mut out) = (Vec::new(), Vec::new());
    let mut first = *models.start();
    while first <= *models.end() {
        if options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
            return Err(StepError::Interrupted);
        }
        let count = size.min((models.end() - first) as usize + 1);
        batch.models.fill(first, count, &mut numbers)?;
        parameters.append(&numbers)?;
        let values = Mat::from_columns(d, count, std::mem::take(&mut numbers));
        let thetas = ThetaRef { names: &batch.names, values: &values };
        let (results, checked) = match &mut programs {
            Some(programs) => programs.run(thetas, first)?,
            None => {
                places.truncate(count);
                for j in 0..count {
                    let model = first + u32::try_from(j).expect("models are counted in u32");
                    match places.get_mut(j) {
                        Some(place) => become_model(place, run, model),
                        None => places.push(place(run, folder, model, options)),
                    }
                }
                in_process(run, batch, thetas, first, &mut places)
            }
        };
        record.check = record.check.join(checked);
        out.clear();
        for (model, result) in (first..).zip(&results) {
            match result {
                Ok(output) => output.blocks.iter().for_each(|block| out.extend_from_slice(block)),
                Err(error) => {
                    out.extend(std::iter::repeat_n(f64::NAN, rows));
                    note(&mut record, model, error);
                }
            }
        }
        data.append(&out)?;
        numbers = values.into_data();
        first = first.saturating_add(u32::try_from(count).expect("models are counted in u32"));
    }
    record.parameters = parameters.show(false)?.0;
    record.data = data.show(false)?.0;
    if let Some(programs) = programs {
        programs.tidy();
    }
    Ok(record)
}

/// A chunk whose models all failed, without running them; false when it has an outcome.
///
/// # Errors
/// The disk.
pub(super) fn mark(
    run: &Run,
    batch: &Batch<'_>,
    chunk: u32,
    cause: Cause,
    reason: &str,
) -> Result<bool, StepError> {
    let folder = run.dir.member(batch.iteration, chunk);
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    match of(run, batch, chunk) {
        Ok(Some(_)) => return Ok(false),
        Ok(None) => {}
        Err(_) => set_aside(&folder, &["data.toml"])?,
    }
    let models = batch.models_of(chunk);
    let (d, rows) = (batch.models.columns, batch.want.total());
    let mut parameters = Writer::new(&folder.join("parameters.npy"), &[models.len(), d])?;
    let mut data = Writer::new(&folder.join("data.npy"), &[models.len(), rows])?;
    let mut record = begun(run, batch, chunk);
    let (mut numbers, none) = (Vec::new(), vec![f64::NAN; rows]);
    let error = ModelError::new(cause, reason);
    for model in *models.start()..=*models.end() {
        batch.models.fill(model, 1, &mut numbers)?;
        parameters.append(&numbers)?;
        data.append(&none)?;
        note(&mut record, model, &error);
    }
    record.parameters = parameters.show(false)?.0;
    record.data = data.show(false)?.0;
    Ok(publish_new(&folder.join("data.toml"), text(batch, chunk, &record).as_bytes())?)
}

/// The record of a chunk before its models have run.
fn begun(run: &Run, batch: &Batch<'_>, chunk: u32) -> Chunk {
    let models = batch.models_of(chunk);
    Chunk {
        shape: vec![models.len(), batch.want.total()],
        run: run.dir.identity.id.clone(),
        first: *models.start(),
        ..Chunk::default()
    }
}

/// A model without data. Of thousands of failures the first ones are told in full.
fn note(record: &mut Chunk, model: u32, error: &ModelError) {
    record.failed.push(model);
    record.causes.push(error.cause.word().to_owned());
    let told = record.messages.len() < MESSAGES;
    record.messages.push(if told { error.message.clone() } else { String::new() });
}

fn in_process(
    run: &Run,
    batch: &Batch<'_>,
    thetas: ThetaRef<'_>,
    first: u32,
    places: &mut [Place],
) -> (Vec<Result<Output, ModelError>>, Check) {
    let forward = run.experiment.model.forward.as_ref();
    let results = forward.run(thetas, &batch.want, places);
    let mut checked = Check::default();
    for (j, result) in results.iter().enumerate() {
        if batch.is_checked(first + u32::try_from(j).expect("models are counted in u32")) {
            let again = check::again(forward, thetas, &batch.want, &places[j], j, result);
            checked = checked.join(again);
        }
    }
    let tolerance = run.experiment.failures.nan_tolerance;
    let judged = |result: Result<Output, ModelError>| {
        result.and_then(|output| judged_as(&batch.want, tolerance, output))
    };
    (results.into_iter().map(judged).collect(), checked)
}

/// Where and as which model one runs.
pub(super) fn place(run: &Run, folder: &Path, model: u32, options: &Options) -> Place {
    let draw = Streams::new(run.experiment.seed);
    Place {
        run: run.dir.root().to_owned(),
        iteration: run.dir.identity.first_iteration,
        member: model,
        attempt: 1,
        seed: draw.model_seed(0, model),
        stream: draw.address(Purpose::Model, 0, model),
        parameters: folder.join("parameters.toml"),
        folder: folder.to_owned(),
        threads: options.threads,
        worker: options.worker,
        stop: options.stop.clone(),
        batch: String::new(),
    }
}

/// The same place for another model.
fn become_model(place: &mut Place, run: &Run, model: u32) {
    let draw = Streams::new(run.experiment.seed);
    place.member = model;
    place.seed = draw.model_seed(0, model);
    place.stream = draw.address(Purpose::Model, 0, model);
}

/// The text of `data.toml`.
fn text(batch: &Batch<'_>, chunk: u32, record: &Chunk) -> String {
    let models = batch.models_of(chunk);
    let mut text = record.begin(&format!(
        "ekp chunk: models {} to {} of a batch, a row each in `parameters.npy` and `data.npy`.\n\
         The files of chunks 1, 2, … follow each other; failed models are rows of NaN.\n\
         Written last: its presence closes the chunk.\n\
         By hand:  ekp-run-member . -i {} -m {chunk} --again",
        models.start(),
        models.end(),
        batch.iteration,
    ));
    text.text("run", &record.run).number("first", record.first).texts("columns", &batch.columns);
    record.check.write(&mut text);
    batch.write_blocks(&mut text);
    Chunk::finish(text)
}
