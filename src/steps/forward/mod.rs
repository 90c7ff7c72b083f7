//! Batches of forward models: no update, no ensemble. A run's members are its chunks, files of thousands of models.
//!
//! ```text
//!   inputs.toml inputs.npy                     what the models are; the table, where they come from one
//!   iteration_000/chunk_000001/…               chunk by chunk, each final when it is there (`chunk`)
//!                 update.toml                  all chunks are there, and were read (`merge`)
//!   results/quantiles.csv chunks.csv …         statistics of each output, and where its numbers lie (`results`)
//! ```
//! Belongs here: from `[inputs]` to results. Not here: what a model is, how quantiles are found.

mod check;
mod chunk;
mod external;
pub mod merge;
mod pilot;
pub mod plan;
mod results;
pub mod source;

use std::ops::RangeInclusive;

use crate::files::{Chunk, Iteration, Members, TomlText};
use crate::models::{Cause, Want};
use crate::steps::member::{Options, Outcome, in_lanes};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError};

use source::Models;

pub use plan::Planned;
pub use source::InputsRecord;

/// A batch that is being worked on.
pub struct Batch<'a> {
    /// The parameters of its models
    models: Models,
    /// Names of the parameters with their components
    names: Vec<(String, usize)>,
    /// A name for each number of a model's parameters
    columns: Vec<String>,
    /// What each model gives
    want: Want,
    /// The model is a program of its own
    external: bool,
    /// The iteration whose members the chunks are
    iteration: Iteration,
    run: &'a Run,
}

impl<'a> Batch<'a> {
    /// Of a run.
    ///
    /// # Errors
    /// Its files cannot be read.
    pub fn open(run: &'a Run) -> Result<Self, StepError> {
        let id = &run.dir.identity;
        let names = run.parameters();
        let models = Models::open(run, &columns(&names))?;
        let want = Want::series(id.blocks.iter().cloned().zip(id.lengths.iter().copied()).collect());
        let external = run.experiment.model.external.is_some();
        Ok(Self {
            models,
            columns: columns(&names),
            names,
            want,
            external,
            iteration: id.first_iteration,
            run,
        })
    }

    /// Models of a chunk, first and last, from 1.
    fn models_of(&self, chunk: u32) -> Models32 {
        Models32(self.run.dir.models_of(chunk))
    }

    /// Is this model run a second time?
    fn is_checked(&self, model: u32) -> bool {
        let every = self.run.experiment.forwards().map_or(0, |forwards| forwards.inputs.check);
        every > 0 && (model - 1).is_multiple_of(every)
    }

    /// What the numbers of a row are.
    fn write_blocks(&self, text: &mut TomlText) {
        text.table("model").text("name", &self.run.experiment.model.title);
        text.texts("conventions", &self.run.experiment.model.forward.describe());
        for (name, length) in &self.want.blocks {
            text.raw("").raw("[[block]]");
            text.text("name", name).number("length", i128::try_from(*length).unwrap_or(i128::MAX));
        }
    }
}

/// Numbers of models, from 1.
struct Models32(RangeInclusive<u32>);

impl Models32 {
    fn start(&self) -> &u32 {
        self.0.start()
    }
    fn end(&self) -> &u32 {
        self.0.end()
    }
    fn len(&self) -> usize {
        (self.0.end() - self.0.start()) as usize + 1
    }
}

/// A name for each number: `rho1`, `mixing[2]`.
pub fn columns(names: &[(String, usize)]) -> Vec<String> {
    let one = |(name, n): &(String, usize)| match n {
        1 => vec![name.clone()],
        &n => (1..=n).map(|k| format!("{name}[{k}]")).collect(),
    };
    names.iter().flat_map(one).collect()
}

/// Run chunks, telling `each` how one ended.
///
/// # Errors
/// The disk, a signal. A model that fails is no error.
pub fn run(
    run: &Run,
    chunks: &Members,
    options: &Options,
    each: &(dyn Fn(u32, &Outcome) + Sync),
) -> Result<(), StepError> {
    let batch = Batch::open(run)?;
    let list: Vec<u32> = chunks.iter().collect();
    // A model that has use for all threads gets them; chunks of others share them out.
    let lanes = if run.experiment.model.whole { 1 } else { options.threads.clamp(1, list.len().max(1)) };
    in_lanes(lanes, &list, |&number| {
        let outcome = chunk::one(run, &batch, number, options)?;
        each(number, &outcome);
        Ok(())
    })
}

/// Mark all models of a chunk as failed without running them; false when it has an outcome.
///
/// # Errors
/// The disk.
pub fn mark_failed(batch: &Batch<'_>, number: u32, cause: Cause, reason: &str) -> Result<bool, StepError> {
    chunk::mark(batch.run, batch, number, cause, reason)
}

/// Give the chunks with failed models another run, when more failed than may; which.
///
/// # Errors
/// The disk.
pub fn reopen(run: &Run) -> Result<Vec<u32>, StepError> {
    let batch = Batch::open(run)?;
    let (mut failed, mut chunks) = (0, Vec::new());
    for number in 1..=run.dir.identity.members {
        if let Ok(Some(record)) = record(&batch, number)
            && !record.failed.is_empty()
        {
            failed += record.failed.len();
            // What a person marked as failed stays so.
            if record.causes.iter().any(|cause| cause != Cause::User.word()) {
                chunks.push(number);
            }
        }
    }
    if failed <= merge::allowed(run) {
        return Ok(Vec::new());
    }
    for &number in &chunks {
        set_aside(&run.dir.member(batch.iteration, number), &["data.toml"])?;
    }
    Ok(chunks)
}

/// What the chunks that are there come to; their arrays are not read.
///
/// # Errors
/// The files of the run cannot be read.
pub fn so_far(run: &Run) -> Result<merge::Merged, StepError> {
    let batch = Batch::open(run)?;
    let records = (1..=run.dir.identity.members).filter_map(|number| record(&batch, number).ok().flatten());
    Ok(merge::Merged::of(&records.collect::<Vec<_>>()))
}

/// The record of a chunk, if it is one of this run.
///
/// # Errors
/// In which way it is none.
pub fn record(batch: &Batch<'_>, number: u32) -> Result<Option<Chunk>, String> {
    chunk::of(batch.run, batch, number)
}
