//! Localisation: covariances of few members are cleaned of what chance put into them.
//!
//! J members know J − 1 directions. A sample correlation of two unrelated numbers is about 1/√J, and with many
//! parameters those accidents add up to a wrong step. A localiser weakens or removes them, by what is known of
//! parameters and outputs (kernels), or by the size of the correlations themselves (`sec`).
//! Belongs here: which rule, in which form, and the kernel of a problem. Not here: the steps (`joint`, `cross`,
//! `local`), corrections of correlations (`sec`), when a step is too long (`guard`).

mod cross;
mod guard;
mod joint;
mod local;
mod sec;
mod step;
#[cfg(test)]
mod tests;

pub use sec::{Correction, Std};

pub(super) use joint::Joint;
pub(super) use step::step;

use rand::RngExt;

use super::groups::Part;
use super::names;
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::{AlgorithmError, Problem};

/// A localiser: what is done to covariances, and which formula uses them.
#[derive(Debug, Clone, PartialEq)]
pub struct Localisation {
    /// What is done
    pub rule: Rule,
    /// Where it is used
    pub form: Form,
}

/// What is done to the covariances of parameters i and outputs k.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Output i informs parameter i and no other
    Delta,
    /// Weight exp(−(i − k)² / 2 l²)
    Rbf {
        /// l > 0, in positions
        length: f64,
    },
    /// Each covariance off the diagonal is kept or not, by lot, anew in each step
    Dropout {
        /// Probability to keep, 0 to 1
        keep: f64,
    },
    /// Weights by name; pairs that are not named weigh 1
    Weights(Vec<Weight>),
    /// Correlations of the sample are corrected for its size
    Correction(Correction),
}

/// How much an observation block counts for a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Weight {
    /// `drag`, or `mixing[2]` for one component
    pub parameter: String,
    /// Name of the block
    pub block: String,
    /// 0 to 1
    pub weight: f64,
}

/// The formula that uses the localised covariances.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The dense one, with all of C_gg: (p + d)³ operations, (p + d)² numbers
    Joint,
    /// C_ug localised, C_gg as it is and never formed: linear in p
    Cross,
    /// A transform step for each parameter with the data weighted for it: linear in p, no indefinite matrix
    Local,
}

/// A rule with its names looked up and its lots drawn, for one part of one step.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    /// Weights, d × p
    Kernel(Mat, Form),
    /// A correction of correlations
    Correction(Correction, Form),
}

impl Localisation {
    /// The rule for the parameters and observed rows of a part.
    ///
    /// # Errors
    /// `Unfit` for names that the problem does not have.
    pub(super) fn plan(
        &self,
        problem: &Problem,
        part: &Part,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Plan, AlgorithmError> {
        let kernel = match &self.rule {
            Rule::Correction(correction) => return Ok(Plan::Correction(*correction, self.form)),
            Rule::Delta => part.kernel(|i, k| f64::from(u8::from(i == k))),
            Rule::Rbf { length } => {
                part.kernel(|i, k| (-0.5 * ((i as f64 - k as f64) / length).powi(2)).exp())
            }
            Rule::Dropout { keep } => {
                let kept = dropout(part.parameters.len(), part.outputs, *keep, draw, iteration);
                part.kernel(|i, k| kept[(i, k)])
            }
            Rule::Weights(weights) => by_name(weights, problem, part)?,
        };
        Ok(Plan::Kernel(kernel, self.form))
    }
}

/// Zeros and ones, d × p: 1 on the diagonal; off it 1 with probability `keep`, the same on both sides of the
/// diagonal where both are there. The numbers belong to the run, the iteration and the part.
///
/// # Source
/// `BernoulliDropout` of EnsembleKalmanProcesses.jl 2.7.1, which draws from the program's global generator.
fn dropout(d: usize, p: usize, keep: f64, draw: &Streams, iteration: u32) -> Mat {
    let (n, m) = (d.max(p), d.min(p));
    let mut stream = draw.at(Purpose::Dropout, iteration, 0);
    let mut kept = Mat::from_fn(n, m, |i, j| f64::from(u8::from(i == j)));
    for j in 0..m {
        for i in j + 1..n {
            let lot = f64::from(u8::from(stream.random_bool(keep)));
            kept[(i, j)] = lot;
            if i < m {
                kept[(j, i)] = lot;
            }
        }
    }
    if d < p { kept.transpose() } else { kept }
}

/// Weights of the pairs that are named, 1 for all others.
fn by_name(weights: &[Weight], problem: &Problem, part: &Part) -> Result<Mat, AlgorithmError> {
    let mut kernel = Mat::from_fn(part.parameters.len(), part.observed.len(), |_, _| 1.0);
    for Weight { parameter, block, weight } in weights {
        let rows = names::parameter(&problem.prior, parameter);
        let columns = names::block(&problem.observation, block);
        let unfit = |name: &str| AlgorithmError::Unfit {
            what: "weights of the localisation",
            why: format!("there is no `{name}`"),
        };
        let (rows, columns) = (rows.ok_or_else(|| unfit(parameter))?, columns.ok_or_else(|| unfit(block))?);
        for (k, position) in part.observed.iter().enumerate() {
            if columns.binary_search(position).is_err() {
                continue;
            }
            for (i, row) in part.parameters.iter().enumerate() {
                if rows.contains(row) {
                    kernel[(i, k)] = *weight;
                }
            }
        }
    }
    Ok(kernel)
}
