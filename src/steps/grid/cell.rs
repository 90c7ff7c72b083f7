//! Run cells of a stage: each ends with `data.toml` or `failed.toml`.
//!
//! A cell that has an outcome is left alone. One that stands on a failed cell fails at once and says so; one that
//! stands on a cell without an outcome waits. Order of publications: the try's folder becomes `output/`, then
//! `timing.toml`, then the outcome, whose presence vouches for the rest.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crate::experiment::{ExperimentError, Keep};
use crate::files::{CLAIM, Failed, FileError, Iteration, Member, Members, publish, publish_new};
use crate::models::cell::{Cell, CellPlace, Row, Upstream};
use crate::models::{Cause, ModelError, Place};
use crate::numerics::{Purpose, Streams};
use crate::steps::grid::outcome::{OUTPUT, answers, data_text, files_of, look};
use crate::steps::grid::{GridRun, Left, parameters};
use crate::steps::member::{Options, Outcome, in_lanes};
use crate::steps::timing::Clock;
use crate::steps::tries::{new_try, remove, rounds};
use crate::steps::{StepError, platform};

/// Folder that outlives the tries of a cell, until it has its outcome.
const CHECKPOINT: &str = "checkpoint";

/// Run cells of a stage, telling `each` how one ended.
///
/// # Errors
/// Cancelled, cells before them have no outcome yet, the disk. A model that fails is no error.
pub fn run(
    run: &GridRun,
    stage: Iteration,
    cells: &Members,
    options: &Options,
    each: &(dyn Fn(Member, &Outcome) + Sync),
) -> Result<(), StepError> {
    run.not_cancelled()?;
    let found = run.stage(stage)?;
    let total = run.cells(stage);
    if let Some(member) = cells.last().filter(|&m| m > total) {
        return Err(StepError::NoSuchMember { member, members: total });
    }
    platform::of_host(&run.dir, || None);
    let list: Vec<Member> = cells.iter().collect();
    // Threads are shared out among cells of this process; a program of its own gets them all.
    let lanes = if found.program().is_some() { 1 } else { options.threads.clamp(1, list.len().max(1)) };
    let mut options = options.clone();
    options.threads = (options.threads / lanes).max(1);
    let waiting = Mutex::new(Vec::new());
    in_lanes(lanes, &list, |&cell| {
        if options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) {
            return Err(StepError::Interrupted);
        }
        match one(run, stage, cell, &options)? {
            Some(outcome) => each(cell, &outcome),
            None => waiting.lock().expect("no one panics under this lock").push(cell),
        }
        Ok(())
    })?;
    let mut waiting = waiting.into_inner().expect("no one panics under this lock");
    waiting.sort_unstable();
    if waiting.is_empty() {
        return Ok(());
    }
    let why = |cell: Member| (cell, format!("it waits for {}", awaited(run, stage, cell)));
    Err(StepError::NotReady { iteration: stage, missing: waiting.into_iter().map(why).collect(), total })
}

/// The first cell without an outcome that a cell stands on, in words.
fn awaited(run: &GridRun, stage: Iteration, cell: Member) -> String {
    let open =
        run.upstream(stage, cell).into_iter().flat_map(|(s, cells)| cells.into_iter().map(move |c| (s, c)));
    let mut open = open.filter(|&(s, c)| !run.folder(s, c).join("data.toml").exists());
    open.next().map_or_else(
        || "a cell before it".into(),
        |(s, c)| format!("`{}` of {}", run.grid.stages[s as usize - 1].name, run.shown(s, c)),
    )
}

/// Run one cell, if it has no outcome; none when it has to wait.
fn one(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    options: &Options,
) -> Result<Option<Outcome>, StepError> {
    let folder = run.folder(stage, cell);
    let text = parameters::text(run, stage, cell);
    let answer = answers(&text);
    let again = options.again;
    let mut before = look(&folder, &answer)?;
    if matches!(before, Left::Data(_)) && !again {
        return Ok(Some(Outcome::AlreadyDone));
    }
    let standing = match stands_on(run, stage, cell)? {
        Standing::Waits => return Ok(None),
        standing => standing,
    };
    // What failed for want of another cell runs when that one is there.
    let healed = matches!(standing, Standing::Ready(_))
        && matches!(&before, Left::Failed(f) if f.cause == Cause::Upstream.word());
    if healed {
        aside(&folder, &["failed.toml"])?;
        before = look(&folder, &answer)?;
    }
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    match &before {
        Left::Failed(_) if !again => return Ok(Some(Outcome::AlreadyFailed)),
        Left::Defective { .. } => aside(&folder, &["data.toml", "failed.toml", OUTPUT])?,
        _ => {}
    }
    let parameters = folder.join("parameters.toml");
    if fs::read(&parameters).ok().as_deref() != Some(text.as_bytes()) {
        publish(&parameters, text.as_bytes())?;
    }
    let upstream = match standing {
        Standing::Ready(upstream) => upstream,
        Standing::Failed(reason) => {
            let error = ModelError::new(Cause::Upstream, reason.clone());
            publish_outcome(run, stage, cell, &answer, options, Err(failed(run, stage, cell, error, 0)))?;
            return Ok(Some(Outcome::Failed { reason }));
        }
        Standing::Waits => return Ok(None),
    };
    let finished = attempts(run, stage, cell, upstream, options)?;
    publish(&folder.join("timing.toml"), finished.timing.as_bytes())?;
    let outcome = match &finished.result {
        Ok(_) => Outcome::Done { seconds: finished.seconds },
        Err(failed) => Outcome::Failed { reason: failed.message.clone() },
    };
    publish_outcome(run, stage, cell, &answer, options, finished.result)?;
    tidy(run, &folder, &finished.tries, &outcome);
    Ok(Some(outcome))
}

/// What a cell stands on.
enum Standing {
    Ready(Vec<Upstream>),
    /// A cell before it failed: why
    Failed(String),
    /// A cell before it has no outcome
    Waits,
}

fn stands_on(run: &GridRun, stage: Iteration, cell: Member) -> Result<Standing, StepError> {
    let (mut ready, mut failed) = (Vec::new(), None);
    for (before, cells) in run.upstream(stage, cell) {
        let name = &run.grid.stages[before as usize - 1].name;
        let mut upstream = Upstream { stage: name.clone(), folders: Vec::new(), rows: Vec::new() };
        for c in cells {
            let folder = run.folder(before, c);
            match look(&folder, &answers(&parameters::text(run, before, c)))? {
                Left::Data(row) => {
                    upstream.folders.push(folder.join(OUTPUT));
                    upstream.rows.push(row);
                }
                Left::Failed(f) => {
                    let deeper = f.cause == Cause::Upstream.word();
                    failed.get_or_insert_with(|| match deeper {
                        true => f.message,
                        false => format!("`{name}` of {} failed: {}", run.shown(before, c), f.message),
                    });
                }
                Left::Missing | Left::Defective { .. } => return Ok(Standing::Waits),
            }
        }
        ready.push(upstream);
    }
    Ok(failed.map_or(Standing::Ready(ready), Standing::Failed))
}

/// What all tries of a cell gave.
struct Finished {
    result: Result<(Row, PathBuf), Failed>,
    timing: String,
    seconds: f64,
    /// Folder of each try
    tries: Vec<PathBuf>,
}

fn attempts(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    upstream: Vec<Upstream>,
    options: &Options,
) -> Result<Finished, StepError> {
    let found = run.stage(stage)?;
    let folder = run.folder(stage, cell);
    let work = run.grid.cell(stage as usize - 1, cell as usize - 1).map_err(ExperimentError::from)?;
    // A model of this process gives the same failure again.
    let allowed = if work.in_process() { 1 } else { 1 + found.retries };
    let (mut tries, mut times) = (Vec::new(), None);
    let (result, rounds) = rounds(allowed, (stage, cell), options, |round| {
        let (attempt, place) = match (&options.held, round) {
            (Some((attempt, held)), 1) => (*attempt, held.clone()),
            _ => new_try(&folder)?,
        };
        tries.push(place.clone());
        let clock = Clock::start();
        // What a stopped one kept in its checkpoint stays.
        let result = call(run, stage, cell, work.as_ref(), &upstream, attempt, &place, options)?;
        let usage = result.as_ref().map_or_else(|error| error.usage, |row| row.usage);
        times = Some(options.timed(&clock, usage, attempt));
        Ok(result.map(|row| (row, place)))
    })?;
    let (timing, seconds) = times.expect("there is at least one try");
    let result = result.map_err(|error| failed(run, stage, cell, error, rounds));
    Ok(Finished { result, timing, seconds, tries })
}

#[allow(clippy::too_many_arguments)] // a cell, its place and what it stands on
fn call(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    work: &dyn Cell,
    upstream: &[Upstream],
    attempt: u32,
    place: &Path,
    options: &Options,
) -> Result<Result<Row, ModelError>, StepError> {
    let (folder, id) = (run.folder(stage, cell), run.id(stage, cell));
    let name = run.stage(stage)?.name.clone();
    let (log, err) = run.logs(stage, cell);
    let logs = log.parent().unwrap_or(run.dir.root());
    fs::create_dir_all(logs).map_err(FileError::io("make", logs))?;
    let checkpoint = folder.join(CHECKPOINT);
    fs::create_dir_all(&checkpoint).map_err(FileError::io("make", &checkpoint))?;
    let seed = parameters::seed(id);
    let place = CellPlace {
        place: Place {
            run: run.dir.root().to_owned(),
            iteration: stage,
            member: cell,
            attempt,
            seed,
            // The address within the streams of this seed: nothing of the cell's number is in it.
            stream: Streams::new(seed).address(Purpose::Model, 0, 1),
            parameters: folder.join("parameters.toml"),
            folder: place.to_owned(),
            threads: options.threads,
            worker: options.worker,
            stop: options.stop.clone(),
            batch: String::new(),
        },
        stage: name,
        id: id.to_owned(),
        upstream: upstream.to_vec(),
        checkpoint,
        log,
        err,
    };
    let result = work.run(&place);
    if let (true, Err(error)) = (work.in_process(), &result)
        && error.cause != Cause::Lost
    {
        // What a program would have written there by itself.
        let said = format!("{}\n", error.message);
        let file = fs::OpenOptions::new().create(true).append(true).open(&place.err);
        let _ = file.and_then(|mut file| file.write_all(said.as_bytes()));
    }
    Ok(result)
}

fn failed(run: &GridRun, stage: Iteration, cell: Member, error: ModelError, tries: u32) -> Failed {
    Failed {
        cause: error.cause.word().into(),
        exit_code: error.exit_code,
        signal: error.signal,
        message: error.message,
        stderr_tail: error.stderr_tail,
        rerun: format!("ekp-run-member . --cell {} --again", run.id(stage, cell)),
        attempt: tries,
    }
}

/// Publish an outcome; of two that are made at once the first counts.
fn publish_outcome(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    answer: &str,
    options: &Options,
    result: Result<(Row, PathBuf), Failed>,
) -> Result<(), StepError> {
    let folder = run.folder(stage, cell);
    let name = &run.stage(stage)?.name;
    let (id, shown) = (run.id(stage, cell), run.shown(stage, cell));
    let (file, text) = match result {
        Ok((row, place)) => {
            // A lease is no part of what the cell made.
            remove(&place.join(CLAIM))?;
            let output = folder.join(OUTPUT);
            if !options.again && matches!(look(&folder, answer)?, Left::Data(_)) {
                // Another process was first: its files and its outcome count.
                if run.grid.keep != Keep::All {
                    let _ = fs::remove_dir_all(&place);
                }
                return Ok(());
            }
            // Of a process that died before it could publish.
            aside(&folder, &[OUTPUT])?;
            match fs::rename(&place, &output) {
                Ok(()) => {}
                // Another process put its own there in this moment: the same bytes, and its outcome counts.
                Err(_) if output.is_dir() => {}
                Err(e) => return Err(FileError::io("move", &place)(e).into()),
            }
            let comments = format!(
                "ekp data: cell {id}, `{name}` of {shown}. Its files are in `output`.\n\
                 Written last, by `ekp-run-member`: its presence closes the cell.\n\
                 By hand:  ekp-run-member . --cell {id} --again"
            );
            ("data.toml", data_text(&comments, answer, &row, &files_of(&output)?))
        }
        Err(failed) => {
            let comments = format!("ekp failed: cell {id}, `{name}` of {shown}, has no data.");
            ("failed.toml", failed.text(&comments))
        }
    };
    let path = folder.join(file);
    if options.again {
        publish(&path, text.as_bytes())?;
        remove(&folder.join(if file == "data.toml" { "failed.toml" } else { "data.toml" }))?;
    } else if !publish_new(&path, text.as_bytes())?
        && matches!(look(&folder, answer)?, Left::Defective { .. } | Left::Missing)
    {
        aside(&folder, &[file])?;
        publish_new(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Move what is no outcome into a try's folder of its own: the last one may be the one we work in.
fn aside(folder: &Path, names: &[&str]) -> Result<(), FileError> {
    let there: Vec<_> = names.iter().filter(|name| folder.join(name).symlink_metadata().is_ok()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let (_, place) = new_try(folder)?;
    for name in there {
        match fs::rename(folder.join(name), place.join(name)) {
            // Another process moved it first.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            moved => moved.map_err(FileError::io("move", &folder.join(name)))?,
        }
    }
    Ok(())
}

/// Remove what nobody asked to keep. The outcome is on disk already.
fn tidy(run: &GridRun, folder: &Path, tries: &[PathBuf], outcome: &Outcome) {
    if matches!(outcome, Outcome::Done { .. }) {
        let _ = fs::remove_dir_all(folder.join(CHECKPOINT));
    } else {
        let _ = fs::remove_dir(folder.join(CHECKPOINT)); // when there is nothing in it
    }
    for (k, place) in tries.iter().enumerate() {
        let stays = match run.grid.keep {
            Keep::All | Keep::Failed => true,
            Keep::Last => k + 1 == tries.len(),
        };
        if !stays {
            let _ = fs::remove_dir_all(place);
        }
    }
}

/// Mark a cell as failed without running it; false when it has data.
///
/// # Errors
/// The disk.
pub fn mark_failed(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    cause: Cause,
    reason: &str,
) -> Result<bool, StepError> {
    let folder = run.folder(stage, cell);
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    let text = parameters::text(run, stage, cell);
    let answer = answers(&text);
    match look(&folder, &answer)? {
        Left::Data(_) => return Ok(false),
        Left::Failed(_) if cause != Cause::User => return Ok(true),
        Left::Failed(_) => aside(&folder, &["failed.toml"])?,
        Left::Defective { .. } => aside(&folder, &["data.toml", "failed.toml", OUTPUT])?,
        Left::Missing => {}
    }
    publish(&folder.join("parameters.toml"), text.as_bytes())?;
    let error = ModelError::new(cause, reason);
    publish_outcome(run, stage, cell, &answer, &Options::default(), Err(failed(run, stage, cell, error, 0)))?;
    Ok(true)
}

/// What a cell left, judged by content.
///
/// # Errors
/// The disk cannot be read.
pub fn left(run: &GridRun, stage: Iteration, cell: Member) -> Result<Left, StepError> {
    Ok(look(&run.folder(stage, cell), &answers(&parameters::text(run, stage, cell)))?)
}

/// Move what is no outcome of a cell out of the way, so that it runs again wherever presence decides.
///
/// # Errors
/// The disk.
pub(super) fn put_aside(run: &GridRun, stage: Iteration, cell: Member) -> Result<(), StepError> {
    let folder = run.folder(stage, cell);
    if let Left::Defective { .. } = left(run, stage, cell)? {
        aside(&folder, &["data.toml", "failed.toml", OUTPUT])?;
    }
    Ok(())
}
