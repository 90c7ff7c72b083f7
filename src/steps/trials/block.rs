//! Many cheap trials under one lease: made, run and merged in memory, published as one outcome.
//!
//! ```text
//!   chunk_000001/try_1/claim.toml parameters.npy data.npy     trials × d, trials × numbers of an outcome
//!                data.toml                                     names them with digests; the first wins
//!                timing.toml
//! ```
//! Arrays lie in the folder of their try: two who overlap never touch each other's.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering;

use serde::Deserialize;

use super::{Bench, View};
use crate::dds::Tried;
use crate::files::{FileError, Record, TomlText, crc32, digest, npy, parse_record, publish, publish_new};
use crate::models::{Cause, ModelError, Output, ThetaRef};
use crate::numerics::{Mat, Streams};
use crate::steps::member::{self, Outcome, judged};
use crate::steps::timing::Clock;
use crate::steps::tries::set_aside;
use crate::steps::worker::Work;
use crate::steps::{Run, StepError};

/// Trials that are made from the same knowledge: as many as vector units take at once, few enough that the search
/// loses nothing by it.
const TOGETHER: u32 = 16;

/// `chunk_NNNNNN/data.toml` of a search without a coordinator
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Block {
    run: String,
    first: u32,
    /// Results that its maker knew
    known: u32,
    together: u32,
    parameters_file: String,
    parameters: String,
    data_file: String,
    data: String,
    shape: Vec<usize>,
    failed: Vec<u32>,
    causes: Vec<String>,
    messages: Vec<String>,
}

impl Record for Block {
    const SCHEMA: &'static str = "ekp.block";
    const VERSION: u32 = 1;
}

fn trials(bench: &Bench<'_>, number: u32) -> RangeInclusive<u32> {
    let first = (number - 1) * bench.size + 1;
    first..=(first + bench.size - 1).min(bench.run.dir.budget())
}

/// A trial's values, and what its model gave.
type Ended = (Vec<f64>, Result<Output, ModelError>);

/// Run a block under its lease.
pub(super) fn run(
    bench: &Bench<'_>,
    view: &mut View,
    number: u32,
    attempt: u32,
    place: &Path,
    each: &(dyn Fn(u32, &Outcome) + Sync),
    work: &mut Work,
) -> Result<(), StepError> {
    let clock = Clock::start();
    let known = view.standing.done;
    let mut standing = view.standing.clone();
    let trials = trials(bench, number);
    let draw = Streams::new(bench.run.experiment.seed);
    let (mut ended, mut tried) = (Vec::<Ended>::new(), Vec::<Tried>::new());
    let mut next = *trials.start();
    while next <= *trials.end() {
        if bench.worker.options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(StepError::Interrupted);
        }
        let last = (next + TOGETHER - 1).min(*trials.end());
        let budget = bench.run.dir.budget();
        let values: Vec<Vec<f64>> =
            (next..=last).map(|t| bench.search.trial(&standing, t, budget, &draw).x).collect();
        let results = evaluate(bench, next, &values, place)?;
        for ((t, x), result) in (next..).zip(values).zip(results) {
            let goals = result.as_ref().ok().map(|output| bench.searching.score.goals(&output.blocks[0]));
            let one = Tried { trial: t, x: x.clone(), goals };
            tried.push(one);
            ended.push((x, result));
        }
        let from = (next - trials.start()) as usize;
        bench.search.merge(&mut standing, &tried[from..]);
        next = last + 1;
    }
    let folder = bench.folder(number);
    let (timing, _) = bench.worker.options.timed(&clock, None, attempt);
    publish(&folder.join("timing.toml"), timing.as_bytes())?;
    let seconds = clock.wall_s() / ended.len().max(1) as f64;
    if put(bench, number, known, place, &ended)? {
        for (t, (_, result)) in trials.zip(&ended) {
            match result {
                Ok(_) => {
                    work.done += 1;
                    each(t, &Outcome::Done { seconds });
                }
                Err(e) => {
                    work.failed += 1;
                    each(t, &Outcome::Failed { reason: e.message.clone() });
                }
            }
        }
        view.take(bench, number, tried);
    } else {
        work.duplicates += ended.len();
    }
    Ok(())
}

/// Run trials that belong together: all at once, or side by side where there are threads.
fn evaluate(
    bench: &Bench<'_>,
    first: u32,
    values: &[Vec<f64>],
    place: &Path,
) -> Result<Vec<Result<Output, ModelError>>, StepError> {
    let run = bench.run;
    let iteration = run.dir.identity.first_iteration;
    let asked = run.asked(iteration)?;
    let want = run.want(&asked);
    let names = bench.prior.names();
    let some = |first: u32, values: &[Vec<f64>]| {
        let theta = Mat::from_columns(bench.prior.values(), values.len(), values.concat());
        let options = &bench.worker.options;
        let mut places: Vec<_> = (first..)
            .take(values.len())
            .map(|t| member::place(run, &asked, iteration, t, 1, place, options))
            .collect();
        run.experiment.model.forward.run(ThetaRef { names, values: &theta }, &want, &mut places)
    };
    let threads = bench.worker.options.threads.clamp(1, values.len().max(1));
    let results = if threads == 1 || run.experiment.model.whole {
        some(first, values)
    } else {
        let part = values.len().div_ceil(threads);
        std::thread::scope(|scope| {
            let parts: Vec<_> = values
                .chunks(part)
                .zip((first..).step_by(part))
                .map(|(values, first)| scope.spawn(move || some(first, values)))
                .collect();
            parts.into_iter().flat_map(|part| part.join().expect("a model does not panic")).collect()
        })
    };
    Ok(results.into_iter().map(|r| r.and_then(|output| judged(run, &asked, output))).collect())
}

/// Publish a block; false when another was first.
fn put(bench: &Bench<'_>, number: u32, known: u32, place: &Path, ended: &[Ended]) -> Result<bool, StepError> {
    let folder = bench.folder(number);
    let rows = bench.run.asked(bench.run.dir.identity.first_iteration)?.total();
    let trials = trials(bench, number);
    let (mut values, mut data) = (Vec::new(), Vec::new());
    let (mut failed, mut causes, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for (t, (x, result)) in trials.clone().zip(ended) {
        values.extend_from_slice(x);
        match result {
            Ok(output) => output.blocks.iter().for_each(|block| data.extend_from_slice(block)),
            Err(error) => {
                data.extend(std::iter::repeat_n(f64::NAN, rows));
                failed.push(t);
                causes.push(error.cause.word());
                messages.push(error.message.clone());
            }
        }
    }
    let array = |name: &str, width: usize, numbers: &[f64]| -> Result<(String, String), StepError> {
        let bytes = npy::write(&[ended.len(), width], numbers);
        let path = place.join(name);
        fs::create_dir_all(place).map_err(FileError::io("make", place))?;
        fs::write(&path, &bytes).map_err(FileError::io("write", &path))?;
        let shown = path.strip_prefix(&folder).unwrap_or(&path).display().to_string();
        Ok((shown, digest(&bytes)))
    };
    let (parameters_file, parameters) = array("parameters.npy", bench.prior.values(), &values)?;
    let (data_file, data) = array("data.npy", rows, &data)?;
    let (first, last) = (*trials.start(), *trials.end());
    let mut text = TomlText::record::<Block>(&format!(
        "ekp block: trials {first} to {last} of a search, a row each in its arrays.\n\
         Score: {}.\nWritten last: its presence closes the block.",
        bench.searching.score.words()
    ));
    text.text("run", &bench.run.dir.identity.id)
        .number("first", first)
        .number("known", known)
        .number("together", TOGETHER)
        .text("parameters_file", &parameters_file)
        .text("parameters", &parameters)
        .text("data_file", &data_file)
        .text("data", &data)
        .raw(&format!("shape = [{}, {rows}]", ended.len()))
        .numbers("failed", &failed)
        .texts("causes", &causes)
        .texts("messages", &messages);
    let mut text = text.finish();
    text.push_str(&format!("# crc32 {}\n", crc32(text.as_bytes())));
    let path = folder.join("data.toml");
    if publish_new(&path, text.as_bytes())? {
        return Ok(true);
    }
    if load(bench.run, bench, number).is_some() {
        return Ok(false);
    }
    // What is there is no outcome.
    set_aside(&folder, &["data.toml"])?;
    Ok(publish_new(&path, text.as_bytes())?)
}

/// A block with its numbers, if it is whole.
struct Loaded {
    record: Block,
    /// Trials × d
    values: Vec<f64>,
    /// Trials × numbers of an outcome
    data: Vec<f64>,
}

fn load(run: &Run, bench: &Bench<'_>, number: u32) -> Option<Loaded> {
    let folder = bench.folder(number);
    let path = folder.join("data.toml");
    let text = fs::read_to_string(&path).ok()?;
    let (body, sum) = text.rsplit_once("# crc32 ")?;
    if sum.trim_end() != crc32(body.as_bytes()) {
        return None;
    }
    let record: Block = parse_record(&path, text.as_bytes()).ok()?;
    let trials = trials(bench, number);
    let count = trials.clone().count();
    if record.run != run.dir.identity.id || record.first != *trials.start() {
        return None;
    }
    let rows = run.asked(run.dir.identity.first_iteration).ok()?.total();
    let array = |file: &str, expected: &str, width: usize| {
        let inside = Path::new(file).components().all(|c| matches!(c, std::path::Component::Normal(_)));
        let bytes = inside.then(|| fs::read(folder.join(file)).ok())??;
        let array = npy::read(&bytes).ok()?;
        (digest(&bytes) == expected && array.shape == [count, width]).then_some(array.data)
    };
    let values = array(&record.parameters_file, &record.parameters, bench.prior.values())?;
    let data = array(&record.data_file, &record.data, rows)?;
    Some(Loaded { values, data, record })
}

/// The results of a block, if it has them.
pub(super) fn read(bench: &Bench<'_>, number: u32) -> Option<Vec<Tried>> {
    let loaded = load(bench.run, bench, number)?;
    let objectives = bench.searching.score.names.len();
    let (d, trials) = (bench.prior.values(), trials(bench, number));
    let rows = loaded.data.len() / trials.clone().count().max(1);
    let one = |(j, t): (usize, u32)| Tried {
        trial: t,
        x: loaded.values[j * d..(j + 1) * d].to_vec(),
        goals: (!loaded.record.failed.contains(&t))
            .then(|| bench.searching.score.goals(&loaded.data[j * rows..][..objectives])),
    };
    Some(trials.enumerate().map(one).collect())
}

/// Digest of its parameters and the numbers of a trial.
pub(super) fn recorded(bench: &Bench<'_>, trial: u32) -> Option<(String, Vec<f64>)> {
    let number = (trial - 1) / bench.size + 1;
    let loaded = load(bench.run, bench, number)?;
    let at = (trial - trials(bench, number).start()) as usize;
    let rows = loaded.data.len() / trials(bench, number).count().max(1);
    Some((format!("{} row {}", loaded.record.parameters, at + 1), loaded.data[at * rows..][..rows].to_vec()))
}

/// What `update.toml` says of each trial: digests are of blocks.
pub(super) fn marks(bench: &Bench<'_>, number: u32) -> Vec<String> {
    let Some(loaded) = load(bench.run, bench, number) else { return Vec::new() };
    let record = &loaded.record;
    let mark = |(j, t): (usize, u32)| match record.failed.iter().position(|failed| *failed == t) {
        Some(k) => format!("failed: {}", record.causes.get(k).map_or("", String::as_str)),
        None => format!("{} row {}", record.data, j + 1),
    };
    trials(bench, number).enumerate().map(mark).collect()
}

/// Give up on a block.
pub(super) fn mark_failed(bench: &Bench<'_>, number: u32, cause: Cause, why: &str) -> Result<(), StepError> {
    let x = vec![f64::NAN; bench.prior.values()];
    let ended: Vec<Ended> =
        trials(bench, number).map(|_| (x.clone(), Err(ModelError::new(cause, why)))).collect();
    put(bench, number, 0, &bench.folder(number).join("lost"), &ended).map(|_| ())
}
