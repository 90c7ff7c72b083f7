//! Close a batch: every chunk is held against its record, the statistics are made, and the run is over.
//!
//! Order of publications: `results/`, then `update.toml`, durably and exclusively, then `stop.toml`. All of them are
//! functions of the chunks alone, so a process that dies in between is followed by one that writes the same bytes.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::experiment::Lost;
use crate::files::{
    Check, Chunk, FileError, Record, TomlText, load_record, publish, publish_durable, publish_new_durable,
    rows,
};
use crate::steps::forward::{Batch, chunk, results};
use crate::steps::member::in_lanes;
use crate::steps::timing::{Clock, Who, job_id};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError, Stopped, due, reopen, update};

/// `update.toml` of a batch: what was merged.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Merged {
    /// Models with data
    pub ok: u32,
    /// Models without
    pub failed: u32,
    /// Files that they stand in
    pub chunks: u32,
    /// Why models failed, the most frequent first
    #[serde(default)]
    pub failure: Vec<Failure>,
    /// What a second run of some models gave
    pub check: Check,
}

/// Models that failed in one way.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failure {
    /// As in `failed.toml`
    pub cause: String,
    /// How many
    pub models: u32,
    /// The first of them
    pub first: u32,
    /// In its words
    pub message: String,
}

impl Record for Merged {
    const SCHEMA: &'static str = "ekp.merge";
    const VERSION: u32 = 1;
}

impl Merged {
    /// Of all chunks.
    pub(super) fn of(records: &[Chunk]) -> Self {
        let mut merged = Self { chunks: u32::try_from(records.len()).unwrap_or(u32::MAX), ..Self::default() };
        let mut failures: BTreeMap<&str, Failure> = BTreeMap::new();
        for record in records {
            let failed = u32::try_from(record.failed.len()).unwrap_or(u32::MAX);
            merged.failed += failed;
            merged.ok += u32::try_from(record.shape[0]).unwrap_or(u32::MAX) - failed;
            merged.check = merged.check.join(record.check);
            for ((&first, cause), message) in record.failed.iter().zip(&record.causes).zip(&record.messages) {
                let new = || Failure { cause: cause.clone(), models: 0, first, message: message.clone() };
                failures.entry(cause).or_insert_with(new).models += 1;
            }
        }
        merged.failure = failures.into_values().collect();
        merged.failure.sort_by_key(|f| (std::cmp::Reverse(f.models), f.first));
        merged
    }

    /// In a line, for people.
    pub fn sentence(&self) -> String {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let check = &self.check;
        let mut told = format!("{} models ok{failed}, in {} chunks", self.ok, self.chunks);
        if check.models > 0 {
            let alone =
                if check.alone == 0.0 { "the same bits".into() } else { format!("{:e} apart", check.alone) };
            told.push_str(&format!("; {} of them again, alone: {alone}", check.models));
        }
        if check.referred > 0 {
            told.push_str(&format!(", by the reference: {:.1e} of it apart", check.reference));
        }
        told
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = TomlText::record::<Self>(
            "ekp merge: all chunks of this batch are there and were read; statistics are in `results/`.\n\
             check: some models ran a second time. alone is the largest difference to the batch, 0 when each bit is\n\
             the same; reference the largest difference to the model's reference, as a share of it.",
        );
        text.number("ok", self.ok).number("failed", self.failed).number("chunks", self.chunks);
        self.check.write(&mut text);
        for failure in &self.failure {
            text.raw("").raw("[[failure]]");
            text.text("cause", &failure.cause)
                .number("models", failure.models)
                .number("first", failure.first)
                .text("message", &failure.message);
        }
        text.finish()
    }
}

/// Close the batch; none when it was closed before.
///
/// # Errors
/// Chunks are missing (exit 3), too many models failed (exit 4), cancelled (exit 5), the disk.
pub fn run(run: &Run, close: bool, threads: usize) -> Result<Option<Merged>, StepError> {
    let clock = Clock::start();
    run.not_cancelled()?;
    let iteration = run.dir.identity.first_iteration;
    let folder = run.dir.iteration(iteration);
    if due::decided(run, iteration) {
        let merged: Merged = load_record(&run.dir.update(iteration))?;
        stop(run, &merged)?;
        return Ok(None);
    }
    if !folder.is_dir() {
        return Err(FileError::NotYet { iteration, path: folder }.into());
    }
    let batch = Batch::open(run)?;
    let records = match update::settled_when(run, close, || survey(run, &batch, threads), Result::is_ok) {
        // The jobs have ended, and what is missing is not to be waited for.
        Err(StepError::NotReady { missing, .. })
            if close
                && (run.experiment.failures.lost == Lost::Fail
                    || reopen::reruns_used_up(run, iteration)?) =>
        {
            update::count_lost(run, iteration, &missing)?;
            survey(run, &batch, threads)?
        }
        found => found?,
    };
    let merged = Merged::of(&records);
    quorum(run, &merged)?;
    results::write(run, &batch, &records, threads)?;
    publish_new_durable(&run.dir.update(iteration), merged.text().as_bytes())?;
    let who = Who { job: job_id(), worker: 1, threads, attempt: 1, ..Who::default() };
    publish(&run.dir.update_timing(iteration), clock.stop(clock.own_usage(), &who).text().as_bytes())?;
    stop(run, &merged)?;
    Ok(Some(merged))
}

/// The records of all chunks, each held against its arrays; those that are none are put out of the way.
fn survey(run: &Run, batch: &Batch<'_>, threads: usize) -> Result<Vec<Chunk>, StepError> {
    let total = run.dir.identity.members;
    let numbers: Vec<u32> = (1..=total).collect();
    let found = std::sync::Mutex::new(vec![None; total as usize]);
    in_lanes(threads.clamp(1, 16), &numbers, |&number| {
        let record = whole(run, batch, number);
        found.lock().expect("no one panics under this lock")[number as usize - 1] = Some(record);
        Ok(())
    })?;
    let (mut records, mut missing) = (Vec::with_capacity(total as usize), Vec::new());
    let iteration = run.dir.identity.first_iteration;
    for (number, found) in (1..).zip(found.into_inner().expect("no one panics under this lock")) {
        match found.expect("each was looked at") {
            Ok(record) => records.push(record),
            Err(why) => {
                set_aside(&run.dir.member(iteration, number), &["data.toml"])?;
                missing.push((number, why));
            }
        }
    }
    if missing.is_empty() { Ok(records) } else { Err(StepError::NotReady { iteration, missing, total }) }
}

/// A chunk whose arrays are those that its record names.
fn whole(run: &Run, batch: &Batch<'_>, number: u32) -> Result<Chunk, String> {
    let record = chunk::of(run, batch, number)?.ok_or("no `data.toml`")?;
    let folder = run.dir.member(run.dir.identity.first_iteration, number);
    for (file, digest) in [("data.npy", &record.data), ("parameters.npy", &record.parameters)] {
        match rows::digest_of(&folder.join(file)) {
            Ok(found) if found == *digest => {}
            Ok(_) => return Err(format!("`{file}` is not the file that `data.toml` names")),
            Err(e) => return Err(e.to_string()),
        }
    }
    Ok(record)
}

/// How many models may fail: at least the quorum's share, and at least one, must have succeeded.
pub(super) fn allowed(run: &Run) -> usize {
    let total = f64::from(run.dir.identity.models);
    let needed = (run.experiment.failures.quorum * total - 1e-9).ceil().max(1.0);
    (total - needed).max(0.0) as usize
}

/// Refuse to close a batch in which too many models failed.
fn quorum(run: &Run, merged: &Merged) -> Result<(), StepError> {
    let (total, quorum) = (run.dir.identity.models, run.experiment.failures.quorum);
    let allowed = allowed(run);
    let failed = merged.failed as usize;
    if failed <= allowed {
        return Ok(());
    }
    let iteration = run.dir.identity.first_iteration;
    Err(StepError::Quorum { iteration, failed, total, allowed, quorum })
}

/// Publish `stop.toml`, unless it is there.
fn stop(run: &Run, merged: &Merged) -> Result<(), StepError> {
    if due::stopped(run)?.is_none() {
        let text = Stopped::of_batch(run.dir.identity.first_iteration + 1, merged);
        publish_durable(&run.dir.stop(), text.as_bytes())?;
    }
    Ok(())
}
