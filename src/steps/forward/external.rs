//! The models of a chunk that are programs: one after the other, each in a folder of its own within the chunk's try.

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{Check, FileError};
use crate::models::{Cause, ModelError, Output, Place, ThetaRef};
use crate::numerics::Mat;
use crate::problem::MemberFile;
use crate::steps::forward::{Batch, check, chunk};
use crate::steps::member::{Options, judged_as};
use crate::steps::tries::{new_try, rounds, tidy};
use crate::steps::{Run, StepError};

/// Programs of one chunk.
pub(super) struct Programs<'a> {
    run: &'a Run,
    batch: &'a Batch<'a>,
    options: &'a Options,
    text: MemberFile,
    /// The chunk's try
    place: PathBuf,
    attempt: u32,
    /// Ours to remove
    own: bool,
}

impl<'a> Programs<'a> {
    /// # Errors
    /// The disk, a fault in the prior.
    pub(super) fn new(
        run: &'a Run,
        batch: &'a Batch<'a>,
        folder: &Path,
        options: &'a Options,
    ) -> Result<Self, StepError> {
        let (attempt, place) = match &options.held {
            Some(held) => held.clone(),
            None => new_try(folder)?,
        };
        let own = options.held.is_none();
        Ok(Self { run, batch, options, text: run.prior()?.member_file(), place, attempt, own })
    }

    /// Run a piece of the chunk, model by model.
    ///
    /// # Errors
    /// The disk, a signal, reasons of this machine.
    #[allow(clippy::type_complexity)] // what the models gave, and the check
    pub(super) fn run(
        &mut self,
        thetas: ThetaRef<'_>,
        first: u32,
    ) -> Result<(Vec<Result<Output, ModelError>>, Check), StepError> {
        let mut checked = Check::default();
        let mut all = Vec::with_capacity(thetas.values.ncols());
        for (model, j) in (first..).zip(0..thetas.values.ncols()) {
            let values = Mat::from_columns(thetas.values.nrows(), 1, thetas.values.col(j).to_vec());
            let one = ThetaRef { names: thetas.names, values: &values };
            let result = self.attempts(one, model)?;
            if self.batch.is_checked(model) && result.is_ok() {
                let place = self.prepare(one, model, "again")?;
                let forward = self.run.experiment.model.forward.as_ref();
                checked = checked.join(check::again(forward, one, &self.batch.want, &place, 0, &result));
                tidy(self.run, &[(place.folder, true)]);
            }
            all.push(result);
        }
        Ok((all, checked))
    }

    fn attempts(&self, theta: ThetaRef<'_>, model: u32) -> Result<Result<Output, ModelError>, StepError> {
        let allowed = 1 + self.run.experiment.failures.retries;
        let tolerance = self.run.experiment.failures.nan_tolerance;
        let mut tries = Vec::new();
        let (result, _) = rounds(allowed, (self.batch.iteration, model), self.options, |round| {
            let more = if round == 1 { String::new() } else { round.to_string() };
            let place = self.prepare(theta, model, &more)?;
            let folder = place.folder.clone();
            let forward = self.run.experiment.model.forward.as_ref();
            let result = forward
                .run(theta, &self.batch.want, &mut [place])
                .pop()
                .unwrap_or_else(|| Err(ModelError::new(Cause::Output, "the model gave nothing back")))
                .and_then(|output| judged_as(&self.batch.want, tolerance, output));
            tries.push((folder, result.is_ok()));
            Ok(result)
        })?;
        tidy(self.run, &tries);
        Ok(result)
    }

    /// The folder of a model with its parameters.
    fn prepare(&self, theta: ThetaRef<'_>, model: u32, more: &str) -> Result<Place, StepError> {
        let more = if more.is_empty() { String::new() } else { format!("_{more}") };
        let folder = self.place.join(format!("model_{model:07}{more}"));
        fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
        let mut place = chunk::place(self.run, &folder, model, self.options);
        place.attempt = self.attempt;
        let header = format!("# ekp parameters 1: model {model} of a batch");
        let text = self.text.text(&header, theta.values.col(0))?;
        fs::write(&place.parameters, text).map_err(FileError::io("write", &place.parameters))?;
        Ok(place)
    }

    /// The try goes when nothing in it is kept.
    pub(super) fn tidy(self) {
        if self.own {
            let _ = fs::remove_dir(&self.place);
        }
    }
}
