//! How far a batch of forward models is: models, failures, and what a second run of some of them gave.

use serde::Serialize;

use crate::files::load_record;
use crate::report::table::count;
use crate::steps::forward::merge::Merged;
use crate::steps::{Run, forward};

/// A batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Batch {
    /// Models
    pub models: u32,
    /// Models of a chunk, but for the last
    pub chunk: u32,
    /// Models with data so far
    pub ok: u32,
    /// Models that failed so far
    pub failed: u32,
    /// Why, the most frequent first
    pub failures: Vec<Failure>,
    /// Models that ran again, each by itself
    pub checked: u32,
    /// Largest difference of those to the batch: 0 when each bit is the same
    pub alone: f64,
    /// Models that ran by the reference, too
    pub referred: u32,
    /// Largest difference to the reference, as a share of it
    pub reference: f64,
}

/// Models that failed in one way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// As in `failed.toml`
    pub cause: String,
    /// How many
    pub models: u32,
    /// The first
    pub first: u32,
    /// In its words
    pub message: String,
}

impl Batch {
    /// Of a run, from its last record, or from the chunks that are there.
    pub(super) fn look(run: &Run) -> Option<Self> {
        run.experiment.forwards()?;
        let id = &run.dir.identity;
        let merged = load_record::<Merged>(&run.dir.update(id.first_iteration))
            .ok()
            .or_else(|| forward::so_far(run).ok())
            .unwrap_or_default();
        let failures = merged.failure.into_iter().map(|f| Failure {
            cause: f.cause,
            models: f.models,
            first: f.first,
            message: f.message,
        });
        Some(Self {
            models: id.models,
            chunk: id.chunk,
            ok: merged.ok,
            failed: merged.failed,
            failures: failures.collect(),
            checked: merged.check.models,
            alone: merged.check.alone,
            referred: merged.check.referred,
            reference: merged.check.reference,
        })
    }

    /// In lines for people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("\n{} of {} ok", self.ok, count(self.models as usize, "model"));
        if self.failed > 0 {
            text.push_str(&format!(", {} failed", self.failed));
        }
        if self.checked > 0 {
            let alone =
                if self.alone == 0.0 { "the same bits".into() } else { format!("{:e} apart", self.alone) };
            text.push_str(&format!("\n{} again, alone: {alone}", count(self.checked as usize, "model")));
        }
        if self.referred > 0 {
            text.push_str(&format!("; by the reference: {:.1e} of it apart", self.reference));
        }
        text.push('\n');
        for f in &self.failures {
            let models = count(f.models as usize, "model");
            text.push_str(&format!("  {}: {models}, the first is {}: {}\n", f.cause, f.first, f.message));
        }
        text
    }
}
