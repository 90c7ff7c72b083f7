//! Both models as cells of a grid.

use std::path::Path;
use std::time::Duration;

use crate::explain::Marked;
use crate::files::FileError;
use crate::files::human::Section;
use crate::models::cell::{Cell, CellPlace, Row, TableShape};
use crate::models::llc::columns::{sample_row, target_row};
use crate::models::llc::driver::Carry;
use crate::models::llc::options::TargetOptions;
use crate::models::llc::sample::{SampleOptions, sample};
use crate::models::llc::target::Target;
use crate::models::{Cause, ModelError};

/// Names of the two models.
pub const NAMES: [&str; 2] = ["llc-target", "llc-sample"];

/// A target to be built.
#[derive(Debug)]
pub struct TargetCell {
    /// What from
    pub options: TargetOptions,
}

/// A sampler to be run on the target before it.
#[derive(Debug)]
pub struct SampleCell {
    /// How
    pub options: SampleOptions,
    /// Between two states on disk
    pub every: Duration,
}

impl SampleCell {
    /// From `[model.llc-sample]`; the caller finishes the section. `checkpoint_s` changes no number.
    ///
    /// # Errors
    /// An option is unknown or out of range.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let every = section.number("checkpoint_s", "at least 0", |x| x >= 0.0)?.unwrap_or(600.0);
        Ok(Self { options: SampleOptions::read(section)?, every: Duration::from_secs_f64(every.min(1e9)) })
    }
}

fn lost(error: FileError) -> ModelError {
    ModelError::new(Cause::Lost, error.to_string())
}

impl Cell for TargetCell {
    fn id(&self, _stage: &str, _upstream: &[String]) -> Result<String, ModelError> {
        Ok(self.options.id())
    }

    fn run(&self, place: &CellPlace) -> Result<Row, ModelError> {
        run_target(&self.options, &place.place.folder).map(|target| target_row(&target))
    }
}

/// Build a target and leave it in `folder`.
///
/// # Errors
/// Training diverged; the disk.
pub fn run_target(options: &TargetOptions, folder: &Path) -> Result<Target, ModelError> {
    let mut target = Target::build(options)?;
    target.write(folder).map_err(lost)?;
    Ok(target)
}

impl Cell for SampleCell {
    fn id(&self, stage: &str, upstream: &[String]) -> Result<String, ModelError> {
        match upstream {
            [target] => Ok(self.options.id(target)),
            other => {
                let message = format!("`{stage}` samples one target, and stands after {}", other.len());
                Err(ModelError::new(Cause::Exit, message))
            }
        }
    }

    fn run(&self, place: &CellPlace) -> Result<Row, ModelError> {
        let folders: Vec<_> = place.upstream.iter().flat_map(|up| &up.folders).collect();
        let [folder] = folders.as_slice() else {
            let message = format!("a sampler stands after one target, not after {}", folders.len());
            return Err(ModelError::new(Cause::Exit, message));
        };
        let target = Target::load(folder).map_err(lost)?;
        let carry = Carry {
            checkpoint: Some(&place.checkpoint),
            id: &self.options.id(&target.facts.target_id),
            threads: place.place.threads,
            stop: place.place.stop.as_deref(),
            every: self.every,
        };
        let Some(outcome) = sample(&self.options, &target, carry)? else {
            return Err(ModelError::new(Cause::Lost, "told to stop; its state is kept"));
        };
        outcome.write(&place.place.folder, &self.options, &target).map_err(lost)?;
        if !outcome.analysis.llc_mean.is_finite() {
            let step = outcome.chains.step_size;
            let message =
                format!("the chains diverged: the loss is not finite at step size {step:?}; make it smaller");
            return Err(ModelError::new(Cause::Output, message));
        }
        Ok(sample_row(&outcome, &self.options, &target))
    }

    fn table(&self) -> Option<&'static TableShape> {
        Some(&crate::models::llc_runs::TABLE)
    }
}
