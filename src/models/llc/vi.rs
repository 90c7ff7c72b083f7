//! Mean-field variational inference: a normal around w* with a spread for each parameter.
//!
//! The evidence bound is E_q[−nβL − γ/2‖w − w*‖²] + H(q); its gradient is pathwise for the energy (draws in antithetic
//! pairs) and exact for the entropy, which keeps q from shrinking to a point. A normal is the wrong shape around a
//! singular minimum: its coefficient is biased there by construction.

use serde::{Deserialize, Serialize};

use crate::models::llc::density::{Density, Part, Setting, normal};
use crate::models::llc::method::{At, Draw, Method};
use crate::numerics::panels::Real;

/// Options of the sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanField {
    /// Steps of Adam
    pub steps: u64,
    /// Examples of a step
    pub batch: usize,
    /// Step length at first; falls to 0 over the last half
    pub learning_rate: f64,
    /// Steps between two looks
    pub eval_every: u64,
    /// Independent draws at the end
    pub eval_samples: u64,
}

/// Nothing is tuned beside the state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tuned {}

/// softplus⁻¹ of the spreads, and Adam's moments.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    rho: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    t: u64,
}

const LEAST: f64 = 1e-4;
const MOST: f64 = 1e2;

fn spread(rho: f64) -> f64 {
    let softplus = if rho > 30.0 { rho } else { rho.exp().ln_1p() };
    softplus.clamp(LEAST, MOST)
}

impl<T: Real> Method<T> for MeanField {
    type Tuning = Tuned;
    type State = State;

    fn length(&self) -> (u64, u64) {
        (self.steps / self.eval_every, self.eval_samples)
    }

    fn start(&self, setting: &Setting<T>, density: &mut Density<T>, chain: u32) -> State {
        let p = setting.center.len();
        let a = density.curvature(&setting.center, &mut setting.stream(Part::Curvature, 0, chain));
        let sigma = (1.0 / setting.stiffness(a).sqrt()).clamp(2.0 * LEAST, MOST);
        let rho = sigma.exp_m1().ln();
        State { rho: vec![rho; p], m: vec![0.0; p], v: vec![0.0; p], t: 0 }
    }

    fn tuning(&self, _setting: &Setting<T>, _density: &mut Density<T>, _states: &[State]) -> Tuned {
        Tuned {}
    }

    fn draw(
        &self,
        setting: &Setting<T>,
        _tuning: &Tuned,
        density: &mut Density<T>,
        state: &mut State,
        at: At,
    ) -> Draw {
        let n = density.objective.examples();
        let p = state.rho.len();
        let none = Draw { accept: f64::NAN, energy: f64::NAN, batch_loss: f64::NAN, ..Draw::default() };
        let place = |z: &[T], sign: f64, state: &State| -> Vec<T> {
            let moved = |((c, z), rho): ((&T, &T), &f64)| T::of(c.wide() + sign * spread(*rho) * z.wide());
            setting.center.iter().zip(z).zip(&state.rho).map(moved).collect()
        };
        if at.number >= self.steps / self.eval_every {
            let mut stream = setting.stream(Part::Draw, at.number, at.chain);
            let z: Vec<T> = (0..p).map(|_| normal(&mut stream)).collect();
            let w = place(&z, 1.0, state);
            let loss = density.loss_at(&w);
            let distance = setting.distance(&w);
            return Draw { loss, losses: 1.0, distance, divergent: !loss.is_finite(), ..none };
        }
        let mut rows = vec![0_u32; self.batch];
        let mut g = vec![T::ZERO; p];
        let mut losses = 0.0;
        for _ in 0..self.eval_every {
            let mut stream = setting.stream(Part::Batch, state.t, at.chain);
            if n > 0 {
                super::sgld::choose(&mut stream, n, &mut rows);
            }
            let z: Vec<T> = (0..p).map(|_| normal(&mut stream)).collect();
            let mut energy = vec![0.0; p];
            for sign in [1.0, -1.0] {
                let w = place(&z, sign, state);
                losses += 0.5 * density.objective.batch_gradient(&w, &rows, &mut g);
                for i in 0..p {
                    energy[i] += 0.5 * sign * setting.n_beta * g[i].wide() * z[i].wide();
                }
            }
            state.t += 1;
            let done = state.t as f64 / self.steps as f64;
            let rate = self.learning_rate * (2.0 * (1.0 - done)).clamp(0.0, 1.0);
            let (c1, c2) = (1.0 - 0.9_f64.powf(state.t as f64), 1.0 - 0.999_f64.powf(state.t as f64));
            for i in 0..p {
                let sigma = spread(state.rho[i]);
                // Of the bound: −energy − γ σ z² (its mean: γ σ) + 1/σ, times dσ/dρ
                let up = -energy[i] - setting.gamma * sigma + 1.0 / sigma;
                // Relative to 1/σ, so that narrow and wide directions learn alike: a step in ln σ
                let up = up * sigma;
                state.m[i] += 0.1 * (up - state.m[i]);
                state.v[i] += 0.001 * (up * up - state.v[i]);
                let step = rate * (state.m[i] / c1) / ((state.v[i] / c2).sqrt() + 1e-8);
                state.rho[i] = (sigma * step.exp()).clamp(LEAST, MOST).exp_m1().ln();
            }
        }
        let share = if n > 0 { self.batch as f64 / n as f64 } else { 1.0 };
        let batch_loss = losses / self.eval_every as f64;
        Draw { loss: batch_loss, fge: 2.0 * share * self.eval_every as f64, batch_loss, ..none }
    }

    fn adapt(
        &self,
        _setting: &Setting<T>,
        _tuning: &mut Tuned,
        _densities: &mut [Density<T>],
        _states: &[State],
        _draws: &[Draw],
        _number: u64,
    ) {
    }

    fn step_size(&self, _tuning: &Tuned) -> f64 {
        self.learning_rate
    }
}
