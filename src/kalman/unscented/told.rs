//! What points say before they move: their prediction, how far it is from the data, what a person should know.
//!
//! Belongs here: measures and words. Not here: the step.

use std::collections::BTreeMap;

use super::layout::Place;
use super::{Scheme, Unscented, Weights, transform};
use crate::kalman::evidence::{Misfits, Rows};
use crate::kalman::metrics;
use crate::kalman::repair::Sorted;
use crate::numerics::Mat;
use crate::problem::{AlgorithmError, BlockFit, Observation};

/// What the points say before they move.
pub(super) struct Told {
    pub(super) misfits: Misfits,
    pub(super) measures: BTreeMap<String, f64>,
    pub(super) blocks: Vec<BlockFit>,
    /// Weights of the survivors in the mean of everything, by member
    weights: Vec<(usize, f64)>,
}

impl Told {
    /// The mean of the parameters, d.
    pub(super) fn at(&self, u: &Mat) -> Vec<f64> {
        let mut mean = vec![0.0; u.nrows()];
        for (j, w) in self.weights.iter().filter(|(_, w)| *w != 0.0) {
            mean.iter_mut().zip(u.col(*j)).for_each(|(mean, u)| *mean += w * u);
        }
        mean
    }
}

impl Unscented {
    /// The prediction and how far it is from the data. Points of several groups have no common weights: there the
    /// centre is the prediction, and no score of a spread is taken.
    pub(super) fn told(
        &self,
        observation: &Observation,
        rows: &Rows<'_>,
        sorted: &Sorted<'_>,
        layout: &[Place],
    ) -> Result<Told, AlgorithmError> {
        let weights = match layout {
            [one] => Scheme::new(self.points, self.modified, one.rows.len()).surviving(&sorted.survivors)?,
            _ => centre(&sorted.survivors),
        };
        let misfits = predicted(rows, &weights);
        let mean = predicted_outputs(rows, &weights);
        let blocks = metrics::blocks(&Rows { g: &mean, members: &[0], ..*rows }, observation)
            .map_err(AlgorithmError::of("the observation"))?;
        let mut measures = metrics::plain(&misfits);
        if layout.len() == 1 {
            let values = metrics::plain_values(rows, |evidence| {
                transform::about(&evidence, &transform::basis(&weights), &weights.mean)
            })
            .map_err(AlgorithmError::of("the points' outputs"))?;
            let n = sorted.survivors.len();
            if let Some(crps) = values.and_then(|values| metrics::crps_of(&values, 1.0, n)) {
                measures.insert("crps".into(), crps);
            }
        }
        let weights = sorted.survivors.iter().copied().zip(weights.mean).collect();
        Ok(Told { misfits, measures, blocks, weights })
    }

    /// What a person should know about this step.
    pub(super) fn warnings(&self, d: usize, blind: usize, sorted: &Sorted<'_>) -> Vec<String> {
        let mut said = Vec::new();
        if blind > 0 {
            said.push(format!(
                "failed points leave {blind} of {d} directions without any: nothing is learnt there"
            ));
        }
        if sorted.failed().contains(&0) {
            said.push("the centre failed: the mean of the other points stands for it".into());
        }
        said
    }
}

/// All weight at the centre, or the same for all where it failed.
fn centre(survivors: &[usize]) -> Weights {
    let n = survivors.len();
    let alone = survivors.first() == Some(&0);
    let weigh = |(k, _): (usize, &usize)| match (alone, k) {
        (true, 0) => 1.0,
        (true, _) => 0.0,
        (false, _) => 1.0 / n as f64,
    };
    Weights { mean: survivors.iter().enumerate().map(weigh).collect(), covariance: vec![1.0 / n as f64; n] }
}

/// How far the predicted observation `ḡ = g w` is from the data; each measure is the same for "members" and mean.
pub(super) fn predicted(rows: &Rows<'_>, weights: &Weights) -> Misfits {
    let mean = predicted_outputs(rows, weights);
    let off: Vec<f64> = rows.rows.iter().zip(rows.y).map(|(&i, y)| y - mean[(i, 0)]).collect();
    let plain = off.iter().map(|x| x * x).sum();
    let mut off = Mat::from_columns(off.len(), 1, off);
    rows.noise.whiten(&mut off);
    let weighted = off.data().iter().map(|x| x * x).sum();
    Misfits {
        rows: rows.rows.len(),
        members: vec![weighted],
        mean: weighted,
        plain_members: vec![plain],
        plain_mean: plain,
    }
}

/// Outputs that the points predict, all rows × 1.
fn predicted_outputs(rows: &Rows<'_>, weights: &Weights) -> Mat {
    let mut mean = vec![0.0; rows.g.nrows()];
    for (&j, w) in rows.members.iter().zip(&weights.mean).filter(|(_, w)| **w != 0.0) {
        mean.iter_mut().zip(rows.g.col(j)).for_each(|(mean, g)| *mean += w * g);
    }
    Mat::from_columns(mean.len(), 1, mean)
}
