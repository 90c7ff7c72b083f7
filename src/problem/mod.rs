//! The inverse problem as mathematics: prior, observation, ensemble, and the trait of an algorithm.
//!
//! Belongs here: what is unknown (θ with its constraints), what is known (y, Γ), what was tried.
//! Not here: how an algorithm moves, where a file lies.

pub mod algorithm;
pub mod inputs;
pub mod observation;
pub mod prior;

pub use algorithm::{
    Algorithm, AlgorithmError, BlockFit, Ensemble, Evaluated, GroupSteps, Problem, Report, State, Step, Stop,
};
pub use inputs::Inputs;
pub use observation::Observation;
pub use prior::{MemberFile, Prior, PriorError};
