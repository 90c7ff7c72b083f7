//! The trait of an algorithm that works in generations, and what goes in and comes out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::explain::{Exit, Explain};
use crate::numerics::{LinalgError, Mat, Streams};
use crate::problem::{Observation, Prior};

/// Prior and observation.
#[derive(Debug, Clone)]
pub struct Problem {
    /// What is believed before
    pub prior: Prior,
    /// What was seen
    pub observation: Observation,
}

/// Unconstrained parameters, d × J, one member per column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ensemble {
    /// d × J
    pub u: Mat,
}

/// An ensemble and what the model made of it.
#[derive(Debug, Clone)]
pub struct Evaluated<'a> {
    /// Which iteration this is, from 0
    pub iteration: u32,
    /// What was tried
    pub ensemble: &'a Ensemble,
    /// Model outputs, p × J, unit of the observation; a failed member's column is all NaN,
    /// a single NaN is a missing value
    pub g: Mat,
}

/// What an algorithm keeps between calls: named numbers and arrays, so that one record serves all.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Named numbers
    pub scalars: BTreeMap<String, f64>,
    /// Named arrays
    pub arrays: BTreeMap<String, Mat>,
}

/// Why no further ensemble is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The pseudo-time T was reached: the next ensemble is the result
    Time,
}

/// What a step tells people; goes into `update.toml`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Members set aside by the algorithm (index from 0) and why
    pub set_aside: Vec<(usize, String)>,
    /// Step length Δt
    pub step: f64,
    /// Pseudo-time after the step: the sum of steps
    pub time: f64,
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y), survivors, before the step
    pub misfit: f64,
    /// Mean over members of the root of (1/p) (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y), before the step
    pub avg_rmse: f64,
    /// Standard deviation of each unconstrained parameter after the step (divisor J − 1), d numbers
    pub spread: Vec<f64>,
    /// Members the step learnt from
    pub used: usize,
    /// Missing values of those members that were filled in
    pub imputed: usize,
    /// Further measures by name, before the step: `unweighted_loss`, `unweighted_avg_rmse`, `crps`, `bayes_loss`
    pub metrics: BTreeMap<String, f64>,
    /// How well each block is met, before the step; empty where there is one, or more than anyone reads
    pub blocks: Vec<BlockFit>,
    /// Each group's step, where groups take steps of their own
    pub groups: Option<GroupSteps>,
    /// Things a person should know
    pub warnings: Vec<String>,
}

/// Groups with steps of their own, in their order in the experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupSteps {
    /// Step length Δt; 0 for a group that was done before
    pub step: Vec<f64>,
    /// Pseudo-time after the step
    pub time: Vec<f64>,
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y) over the group's data, before the step; 0 where there was none
    pub misfit: Vec<f64>,
}

/// How well an ensemble meets one block of the observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlockFit {
    /// The block
    pub name: String,
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y) over its p observed rows
    pub loss: f64,
    /// Mean over members of the root of (1/p) (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y)
    pub avg_rmse: f64,
    /// (1/p) |ḡ − y|², unit² of the observation; 0 in records that lack it
    #[serde(default)]
    pub unweighted_loss: f64,
    /// Mean over members of the root of (1/p) |gⱼ − y|², unit of the observation; 0 in records that lack it
    #[serde(default)]
    pub unweighted_avg_rmse: f64,
    /// Continuous ranked probability score over the axes of this block's outputs, unit of the observation; none where all
    /// members agree, and of unscented methods
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crps: Option<f64>,
}

/// The outcome of one step.
#[derive(Debug, Clone)]
pub struct Step {
    /// The next ensemble; the last one is the result
    pub ensemble: Ensemble,
    /// The next state
    pub state: State,
    /// Why nothing more is to be run, if so
    pub stop: Option<Stop>,
    /// For people
    pub report: Report,
}

/// An algorithm that works in generations. State goes in and comes out, because it lives in a file between calls.
pub trait Algorithm: Send + Sync {
    /// The first ensemble and state.
    fn first(&self, problem: &Problem, draw: &Streams) -> (Ensemble, State);
    /// Members whose plain mean and spread (divisor J − 1) are the estimate at an ensemble and its state: the
    /// ensemble itself, but for methods that keep mean and covariance in their state.
    ///
    /// # Errors
    /// `State` for a state that is not of this method.
    fn estimate(&self, ensemble: Ensemble, _state: &State) -> Result<Ensemble, AlgorithmError> {
        Ok(ensemble)
    }
    /// One step.
    ///
    /// # Errors
    /// Nothing was changed; the reason says what to mend.
    fn next(
        &self,
        problem: &Problem,
        state: State,
        tried: &Evaluated<'_>,
        draw: &Streams,
    ) -> Result<Step, AlgorithmError>;
}

/// Why a step cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AlgorithmError {
    /// Fewer than two members to learn from
    #[error("only {found} of {total} members can be used, a step needs at least 2")]
    TooFewMembers {
        /// Usable members
        found: usize,
        /// All members
        total: usize,
    },
    /// Arrays that do not fit together
    #[error("`{what}` has {found} rows or columns where {expected} are needed")]
    Shape {
        /// Which array
        what: &'static str,
        /// Found
        found: usize,
        /// Expected
        expected: usize,
    },
    /// A covariance has no Cholesky factor
    #[error("the covariance of {what} is not positive definite")]
    NotPositiveDefinite {
        /// Of what
        what: String,
    },
    /// A decomposition failed
    #[error(
        "the decomposition of {what} did not converge: values range over too many orders of magnitude, or are not finite"
    )]
    NoConvergence {
        /// Which
        what: &'static str,
    },
    /// An update made numbers that are none
    #[error("the updated ensemble is not finite")]
    NotFinite,
    /// The prior counts at each step, but has no mean and covariance
    #[error("the method needs mean and covariance of the prior: {why}")]
    Prior {
        /// In the words of the prior
        why: String,
    },
    /// Inflation without bound
    #[error(
        "inflation of rate {rate} over a step of {step} is without bound: rate times step must be below 1"
    )]
    Inflation {
        /// s
        rate: f64,
        /// Δt
        step: f64,
    },
    /// A covariance that is zero
    #[error("the covariance of {what} has collapsed to zero")]
    Collapsed {
        /// Of what
        what: &'static str,
    },
    /// What was asked for by name, or by size, does not fit this problem
    #[error("{what}: {why}")]
    Unfit {
        /// Which part of the method
        what: &'static str,
        /// In which way
        why: String,
    },
    /// A localised step grows however short it is made
    #[error("the localised step makes the misfit grow however short it is: {halvings} halvings did not help")]
    Diverges {
        /// How often it was made shorter
        halvings: u32,
    },
    /// Outputs that come piece by piece cannot be read
    #[error("{why}")]
    Outputs {
        /// Which, and why
        why: String,
    },
    /// A step after the last
    #[error("the run is over: pseudo-time {time} was reached")]
    Over {
        /// Sum of steps
        time: f64,
    },
    /// The state on disk lacks something this algorithm needs
    #[error("the state lacks `{key}`")]
    State {
        /// Which entry
        key: String,
    },
}

impl AlgorithmError {
    /// A failed decomposition, with the name of what was decomposed.
    pub fn of(what: &'static str) -> impl Fn(LinalgError) -> Self {
        move |error| match error {
            LinalgError::NotPositiveDefinite => Self::NotPositiveDefinite { what: what.into() },
            LinalgError::NotFinite | LinalgError::NoConvergence => Self::NoConvergence { what },
        }
    }
}

impl Explain for AlgorithmError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::TooFewMembers { .. } => "see `failed.toml` of the failed members".into(),
            Self::NotPositiveDefinite { .. } => "look for a zero variance, or add a diagonal".into(),
            Self::Shape { .. } | Self::NoConvergence { .. } => "look at the members' `data.toml`".into(),
            Self::NotFinite => "are outputs or variances out of scale by many orders of magnitude?".into(),
            Self::Prior { .. } => {
                "give each prior a finite mean and variance, or choose `etki` or `eki` without `impose_prior`"
                    .into()
            }
            Self::Outputs { .. } => "the same command again reads all outcomes anew".into(),
            Self::Inflation { .. } => "lower `inflation_rate`, or the steps".into(),
            Self::Collapsed { .. } => "is a prior without spread, or the noise of zero size?".into(),
            Self::Unfit { .. } => "parameters and blocks are called as in `run.toml`".into(),
            Self::Diverges { .. } => {
                "choose `form = \"joint\"` with a rule that corrects outputs, too (`sec-nice`), or more members".into()
            }
            Self::Over { .. } => "raise `terminate_at`, or choose `on_terminate = \"continue\"`".into(),
            Self::State { .. } => "was the run made by another version of the tools?".into(),
        })
    }
    fn exit(&self) -> Exit {
        match self {
            Self::TooFewMembers { .. } => Exit::Quorum,
            Self::Over { .. } => Exit::Done,
            _ => Exit::Failed,
        }
    }
}
