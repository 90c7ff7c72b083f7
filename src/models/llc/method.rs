//! A sampler as the driver sees it: a tuning that chains share, a state of each chain, one draw at a time.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::models::llc::density::{Density, Setting};
use crate::numerics::panels::Real;

/// What is kept of one draw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    /// L_n(w)
    pub loss: f64,
    /// Probability of acceptance; of SGLD now and then what it would be; NaN where it is not known
    pub accept: f64,
    /// Energy, or change of energy
    pub energy: f64,
    /// The integrator lost it
    pub divergent: bool,
    /// Work of this draw, full-gradient equivalents
    pub fge: f64,
    /// Losses evaluated alone
    pub losses: f64,
    /// ‖w − w*‖
    pub distance: f64,
    /// Mean loss over the draw's minibatches; NaN without
    pub batch_loss: f64,
}

/// A sampler.
pub trait Method<T: Real>: Sync {
    /// What is tuned while warming up
    type Tuning: Clone + Send + Sync + Serialize + DeserializeOwned;
    /// One chain
    type State: Clone + Send + Serialize + DeserializeOwned;

    /// Draws of warming up, which are never kept, and draws that are.
    fn length(&self) -> (u64, u64);
    /// Before the first draw; `density` is that of chain 0.
    fn tuning(&self, setting: &Setting<T>, density: &mut Density<T>, states: &[Self::State]) -> Self::Tuning;
    /// Chain number `chain` (from 0) at its start.
    fn start(&self, setting: &Setting<T>, density: &mut Density<T>, chain: u32) -> Self::State;
    /// Draw `number` (from 0, warming up included) of a chain.
    fn draw(
        &self,
        setting: &Setting<T>,
        tuning: &Self::Tuning,
        density: &mut Density<T>,
        state: &mut Self::State,
        at: At,
    ) -> Draw;
    /// After draw `number` of warming up, of all chains.
    fn adapt(
        &self,
        setting: &Setting<T>,
        tuning: &mut Self::Tuning,
        densities: &mut [Density<T>],
        states: &[Self::State],
        draws: &[Draw],
        number: u64,
    );
    /// Step size, for the table.
    fn step_size(&self, tuning: &Self::Tuning) -> f64;
    /// A number that tells whether the step is sound: ε nβ a_max of SGLD; NaN where there is none.
    fn stability(&self, _setting: &Setting<T>, _tuning: &Self::Tuning) -> f64 {
        f64::NAN
    }
}

/// Which draw of which chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// From 0, warming up included
    pub number: u64,
    /// From 0
    pub chain: u32,
}
