//! Any method of this room by one name: what an experiment holds.
//!
//! Belongs here: which of the algorithms it is, and what the other rooms ask of all of them.
//! Not here: how any of them moves.

use super::{FailureRule, Group, Kalman, OnTerminate, Schedule, Unscented};
use crate::numerics::{Mat, Streams};
use crate::problem::{Algorithm, AlgorithmError, Ensemble, Evaluated, Prior, Problem, State, Step};

/// A method with all its parts.
#[derive(Debug, Clone, PartialEq)]
pub enum Method {
    /// An ensemble that is drawn and then moves: ETKI, EKI, GNKI, sparse EKI, EKS, ALDI
    Ensemble(Kalman),
    /// A mean and covariance that place their points: UKI, UTKI
    Unscented(Unscented),
}

impl Method {
    /// The rule for step lengths.
    pub fn schedule(&self) -> &Schedule {
        match self {
            Self::Ensemble(kalman) => &kalman.schedule,
            Self::Unscented(unscented) => &unscented.schedule,
        }
    }

    /// The pseudo-time T at which the misfit controller ends a run; none for other rules.
    pub fn terminate_at(&self) -> Option<f64> {
        match self.schedule() {
            Schedule::DataMisfit { terminate_at, .. } => Some(*terminate_at),
            _ => None,
        }
    }

    /// Whether the misfit controller ends the run when its pseudo-time is used up.
    pub fn stops(&self) -> bool {
        matches!(self.schedule(), Schedule::DataMisfit { on_terminate: OnTerminate::Stop, .. })
    }

    /// Set the length of the steps to come; false, and nothing changed, where the rule does not allow it.
    pub fn set_step(&mut self, to: f64) -> bool {
        let schedule = match self {
            Self::Ensemble(kalman) => &mut kalman.schedule,
            Self::Unscented(unscented) => &mut unscented.schedule,
        };
        match schedule {
            Schedule::Mutable { step } => {
                *step = to;
                true
            }
            _ => false,
        }
    }

    /// Share of a block's values that may be missing before a member counts as failed.
    pub fn tolerate(&mut self, missing: f64) {
        match self {
            Self::Ensemble(kalman) => kalman.nan_tolerance = missing,
            Self::Unscented(unscented) => unscented.nan_tolerance = missing,
        }
    }

    /// Let members with a misfit of more than `factor` medians count as failed; false, and nothing changed, where
    /// failed members are not redrawn.
    pub fn sets_aside_outliers(&mut self, factor: f64) -> bool {
        match self {
            Self::Ensemble(kalman) if kalman.failures == FailureRule::Redraw => {
                kalman.outlier_factor = Some(factor);
                true
            }
            _ => false,
        }
    }

    /// Share the pass over the outputs out to this many threads, where the method can; the bits stay the same.
    pub fn use_threads(&mut self, threads: usize) {
        if let Self::Ensemble(kalman) = self {
            kalman.threads = threads.max(1);
        }
    }

    /// A method whose ensemble was drawn.
    pub fn drawn(&self) -> Option<&Kalman> {
        match self {
            Self::Ensemble(kalman) => Some(kalman),
            Self::Unscented(_) => None,
        }
    }

    /// Whether no step leaves the span of the first ensemble.
    pub fn stays_in_span(&self) -> bool {
        self.drawn().is_some_and(Kalman::stays_in_span)
    }

    /// A step was replayed, but members went where another program put them: what is kept of the ensemble follows
    /// them. `before` and `after` are the states around the step, `tried` and `next` the ensembles (d × J),
    /// `redrawn` members that failed.
    pub fn follow(&self, before: &State, tried: &Mat, next: &Mat, redrawn: &[usize], after: &mut State) {
        if let Self::Ensemble(kalman) = self {
            kalman.momentum.recall(before, tried, next, redrawn, after);
        }
    }

    /// Parameters that learn from some of the data alone.
    pub fn groups(&self) -> &[Group] {
        match self {
            Self::Ensemble(kalman) => &kalman.groups,
            Self::Unscented(unscented) => &unscented.groups,
        }
    }

    /// How many members the method places for this prior; none where a person says how many.
    pub fn places(&self, prior: &Prior) -> Option<usize> {
        match self {
            Self::Ensemble(_) => None,
            Self::Unscented(unscented) => Some(unscented.members(prior)),
        }
    }

    /// Whether members become a sample of the posterior as pseudo-time goes on.
    pub fn samples(&self) -> bool {
        matches!(self, Self::Ensemble(kalman) if kalman.process.samples())
    }

    /// Is there what the method needs of a prior?
    ///
    /// # Errors
    /// `Prior` for one without mean and covariance where they are needed; `Collapsed` for one without spread.
    pub fn check(&self, prior: &Prior) -> Result<(), AlgorithmError> {
        match self {
            // Groups that do not fit are refused with their place in the file, elsewhere.
            Self::Unscented(unscented) => {
                Unscented { groups: Vec::new(), ..unscented.clone() }.begin(prior).map(drop)
            }
            Self::Ensemble(kalman) if kalman.impose_prior || kalman.process.samples() => {
                prior.moments().map(drop).map_err(|error| AlgorithmError::Prior { why: format!("{error}") })
            }
            Self::Ensemble(_) => Ok(()),
        }
    }
}

impl Algorithm for Method {
    fn first(&self, problem: &Problem, draw: &Streams) -> (Ensemble, State) {
        match self {
            Self::Ensemble(kalman) => kalman.first(problem, draw),
            Self::Unscented(unscented) => unscented.first(problem, draw),
        }
    }

    fn estimate(&self, ensemble: Ensemble, state: &State) -> Result<Ensemble, AlgorithmError> {
        match self {
            Self::Ensemble(kalman) => kalman.estimate(ensemble, state),
            Self::Unscented(unscented) => unscented.estimate(ensemble, state),
        }
    }

    fn next(
        &self,
        problem: &Problem,
        state: State,
        tried: &Evaluated<'_>,
        draw: &Streams,
    ) -> Result<Step, AlgorithmError> {
        match self {
            Self::Ensemble(kalman) => kalman.next(problem, state, tried, draw),
            Self::Unscented(unscented) => unscented.next(problem, state, tried, draw),
        }
    }
}
