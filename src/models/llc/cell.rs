//! Both models as cells of a grid.

use std::path::Path;
use std::time::Duration;

use crate::explain::Marked;
use crate::files::FileError;
use crate::files::human::Section;
use crate::models::cell::{Cell, CellPlace, Forecast, Row, Size, TableShape};
use crate::models::llc::columns::{sample_row, target_row};
use crate::models::llc::driver::Carry;
use crate::models::llc::forecast;
use crate::models::llc::log::Log;
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
        let log = Log::to(&place.log);
        log.line(&format!("{}: {} of seed {}", place.id, self.options.kind_word(), self.options.seed));
        let target = run_target(&self.options, &place.place.folder)?;
        let f = &target.facts;
        log.line(&format!("{} parameters, {} examples, {}", f.p, f.n, f.precision));
        if f.train_steps > 0 {
            log.line(&format!("trained in {} steps, ended by {}", f.train_steps, f.stop_reason));
        }
        log.line(&format!("L(w*) = {:e}, largest slope {:.1e}", f.l0, f.grad_norm_inf));
        Ok(target_row(&target))
    }

    fn size(&self) -> Option<Size> {
        Some(forecast::size(&self.options))
    }

    fn forecast(&self, _upstream: &[Size]) -> Option<Forecast> {
        Some(forecast::target(&self.options))
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
        let log = Log::to(&place.log);
        log.line(&format!(
            "{}: {} on {}, {} parameters, {} examples, {}",
            place.id,
            self.options.word(),
            target.facts.target_id,
            target.facts.p,
            target.facts.n,
            target.facts.precision
        ));
        let carry = Carry {
            checkpoint: Some(&place.checkpoint),
            id: &self.options.id(&target.facts.target_id),
            threads: place.place.threads,
            stop: place.place.stop.as_deref(),
            every: self.every,
            log,
        };
        let Some(outcome) = sample(&self.options, &target, carry)? else {
            return Err(ModelError::new(Cause::Lost, "told to stop; its state is kept"));
        };
        outcome.write(&place.place.folder, &self.options, &target).map_err(lost)?;
        let a = &outcome.analysis;
        let r_hat = if a.r_hat.is_nan() { "-".to_owned() } else { format!("{:.4}", a.r_hat) };
        log.line(&format!(
            "sampled in {:.3} s: llc_mean {:.6} +- {:.2e}, R-hat {r_hat}, ess {:.0}, {:.0} full gradients, {:.0} before them",
            outcome.chains.seconds[1], a.llc_mean, a.llc_mcse, a.ess, a.total_fge, a.fge_warmup
        ));
        if let Some(mark) = a.mark() {
            log.line(&format!("marked: {mark}"));
        }
        if !a.llc_mean.is_finite() {
            let step = outcome.chains.step_size;
            let message =
                format!("the chains diverged: the loss is not finite at step size {step:?}; make it smaller");
            return Err(ModelError::new(Cause::Output, message));
        }
        Ok(sample_row(&outcome, &self.options, &target))
    }

    fn forecast(&self, upstream: &[Size]) -> Option<Forecast> {
        upstream.first().map(|target| forecast::run(&self.options, target))
    }

    /// `TARGET_SAMPLER_RUN`, as such workflows name them.
    fn log_name(&self, id: &str, upstream: &[String]) -> String {
        format!("{}_{}_{id}", upstream.join("_"), self.options.word())
    }

    fn table(&self) -> Option<&'static TableShape> {
        Some(&crate::models::llc_runs::TABLE)
    }
}
