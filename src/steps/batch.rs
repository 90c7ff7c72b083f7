//! Which observations an iteration sees: its `batch.toml`, and the problem that they make.

use std::borrow::Cow;

use crate::files::{Asked, BatchRecord, Identity, Iteration, publish};
use crate::models::Want;
use crate::numerics::Streams;
use crate::problem::{Observation, Problem};
use crate::steps::{Run, StepError};

/// The record of an iteration's batch; none without a series.
pub(super) fn record(id: &Identity, observation: &Observation, iteration: Iteration) -> Option<BatchRecord> {
    let series = observation.series()?;
    let (batch, seen) = series.at(iteration - id.first_iteration, &Streams::new(id.seed));
    let (blocks, lengths) = seen.shape().into_iter().unzip();
    Some(BatchRecord {
        epoch: batch.epoch,
        position: batch.position,
        batches: batch.batches,
        observations: series.names_of(&batch),
        blocks,
        lengths,
    })
}

/// What a model is asked for.
pub(super) fn want(asked: &Asked<'_>) -> Want {
    Want::series(asked.blocks.iter().cloned().zip(asked.lengths.iter().copied()).collect())
}

impl Run {
    /// What the model is asked for: series for these blocks, or a score.
    pub(super) fn want(&self, asked: &Asked<'_>) -> Want {
        match self.experiment.searching() {
            Some(searching) => searching.score.want(),
            None => want(asked),
        }
    }

    /// What the members of an iteration are asked for: all blocks, or those of its batch. A record that is gone is
    /// worked out again.
    ///
    /// # Errors
    /// A record that is damaged, the disk.
    pub fn asked(&self, iteration: Iteration) -> Result<Asked<'_>, StepError> {
        let id = &self.dir.identity;
        if id.observations.is_empty() {
            return Ok(Asked {
                observations: Cow::Borrowed(&[]),
                blocks: Cow::Borrowed(&id.blocks),
                lengths: Cow::Borrowed(&id.lengths),
            });
        }
        Ok(self.batch(iteration)?.asked())
    }

    fn batch(&self, iteration: Iteration) -> Result<BatchRecord, StepError> {
        let path = self.dir.batch(iteration);
        match BatchRecord::load(&path) {
            Err(missing) if missing.is_missing() => {
                let observation = self.calibration()?.observation(self.dir.root())?;
                record(&self.dir.identity, &observation, iteration).ok_or_else(|| missing.into())
            }
            other => Ok(other?),
        }
    }

    /// Put the record back where it is gone: a model may read it.
    ///
    /// # Errors
    /// A fault in the observation, the disk.
    pub(super) fn restore_batch(&self, iteration: Iteration) -> Result<(), StepError> {
        let path = self.dir.batch(iteration);
        if self.dir.identity.observations.is_empty() || path.exists() {
            return Ok(());
        }
        Ok(publish(&path, self.batch(iteration)?.text().as_bytes())?)
    }

    /// The problem that an iteration's members answer: of a series the recorded batch.
    ///
    /// # Errors
    /// A damaged record, or one that names what the series does not have.
    pub(super) fn problem_of(&self, whole: &Problem, iteration: Iteration) -> Result<Problem, StepError> {
        let Some(series) = whole.observation.series() else { return Ok(whole.clone()) };
        let batch = self.batch(iteration)?;
        let parts = batch.observations.iter().map(|name| {
            let k = series.names.iter().position(|known| known == name);
            k.map(|k| &series.parts[k]).ok_or_else(|| StepError::Refused {
                what: format!(
                    "`batch.toml` of iteration {iteration} names `{name}`, which is no observation"
                ),
                hint: "remove that `batch.toml`: it is made again".into(),
            })
        });
        let parts: Vec<&Observation> = parts.collect::<Result<_, _>>()?;
        Ok(Problem { prior: whole.prior.clone(), observation: Observation::join(parts.into_iter()) })
    }
}
