//! Hamiltonian Monte Carlo: leapfrog, dual averaging, a diagonal metric.
//!
//! # Source
//! Neal (2011), MCMC using Hamiltonian dynamics, Handbook of MCMC, ch. 5; warming up as in Stan.

use rand::RngExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::models::llc::density::{Density, Part, Setting, normal};
use crate::models::llc::method::{At, Draw, Method};
use crate::models::llc::warmup::{DualAveraging, Welford, schedule};
use crate::numerics::panels::Real;

/// Where M⁻¹ comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// 1
    Unit,
    /// A variance for each parameter
    Diagonal,
    /// One for each weight matrix and each bias: right where draws are fewer than parameters
    Layer,
}

/// Options of the sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Hmc {
    /// Draws kept, of each chain
    pub draws: u64,
    /// Draws before them
    pub warmup: u64,
    /// Trajectories of a kept draw: those between are not recorded
    pub thin: u64,
    /// Steps of a trajectory
    pub leapfrog: usize,
    /// ε at first
    pub step_size: f64,
    /// Whether ε and M⁻¹ are tuned
    pub adapt: bool,
    /// Acceptance aimed at
    pub target: f64,
    /// M⁻¹
    pub metric: Metric,
    /// ε is multiplied by U(1 − jitter, 1 + jitter) for each draw
    pub jitter: f64,
    /// Chains share ε and M⁻¹, learnt from all of them
    pub pooled: bool,
}

/// ε and M⁻¹, for all chains or for one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: DeserializeOwned"))]
pub struct Tuned<T> {
    step: f64,
    inv_mass: Vec<T>,
    dual: DualAveraging,
    window: Welford,
}

/// A chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: DeserializeOwned"))]
pub struct State<T> {
    q: Vec<T>,
    /// ∇ log π
    g: Vec<T>,
    log: f64,
    loss: f64,
}

/// `steps` leapfrog steps from (q, p) with gradient `g` of log π at q; all three are moved along. Returns log π.
pub fn leapfrog<T: Real>(
    [q, p, g]: [&mut [T]; 3],
    inv_mass: &[T],
    step: f64,
    steps: usize,
    mut log: impl FnMut(&[T], &mut [T]) -> f64,
) -> f64 {
    let (step, half) = (T::of(step), T::of(0.5 * step));
    let mut value = f64::NAN;
    for k in 0..steps {
        // Two half kicks between drifts are one, but in the order of the definition they round as it says.
        let kicks = if k == 0 { 1 } else { 2 };
        for _ in 0..kicks {
            p.iter_mut().zip(g.iter()).for_each(|(p, g)| *p += half * *g);
        }
        q.iter_mut().zip(p.iter()).zip(inv_mass).for_each(|((q, p), m)| *q += step * *m * *p);
        value = log(q, g);
    }
    p.iter_mut().zip(g.iter()).for_each(|(p, g)| *p += half * *g);
    value
}

/// ½ pᵀ M⁻¹ p
pub fn kinetic<T: Real>(p: &[T], inv_mass: &[T]) -> f64 {
    0.5 * p.iter().zip(inv_mass).map(|(p, m)| (*p * *p * *m).wide()).sum::<f64>()
}

impl Hmc {
    /// One trajectory: momenta, steps, acceptance.
    fn trajectory<T: Real>(
        &self,
        setting: &Setting<T>,
        tuned: &Tuned<T>,
        density: &mut Density<T>,
        state: &mut State<T>,
        at: At,
    ) -> Draw {
        let mut stream = setting.stream(Part::Draw, at.number, at.chain);
        let mut p: Vec<T> = tuned.inv_mass.iter().map(|m| normal::<T>(&mut stream) / m.root()).collect();
        let jitter = if self.jitter > 0.0 { stream.random_range(-self.jitter..self.jitter) } else { 0.0 };
        let before = kinetic(&p, &tuned.inv_mass) - state.log;
        let (mut q, mut g) = (state.q.clone(), state.g.clone());
        let fge = density.fge;
        let step = tuned.step * (1.0 + jitter);
        let log = leapfrog([&mut q, &mut p, &mut g], &tuned.inv_mass, step, self.leapfrog, |q, g| {
            density.log(q, g)
        });
        let after = kinetic(&p, &tuned.inv_mass) - log;
        let divergent = !after.is_finite() || after - before > 1000.0;
        let accept = if divergent { 0.0 } else { (before - after).exp().min(1.0) };
        if stream.random::<f64>() < accept {
            *state = State { q, g, log, loss: density.loss };
        }
        Draw {
            loss: state.loss,
            accept,
            energy: before,
            divergent,
            fge: density.fge - fge,
            losses: 0.0,
            distance: setting.distance(&state.q),
            batch_loss: f64::NAN,
        }
    }

    fn of<'a, T>(&self, tuning: &'a [Tuned<T>], chain: u32) -> &'a Tuned<T> {
        &tuning[if self.pooled { 0 } else { chain as usize }]
    }

    /// Double or halve ε until the acceptance of one step crosses 0.8.
    fn first_step<T: Real>(
        &self,
        setting: &Setting<T>,
        density: &mut Density<T>,
        state: &State<T>,
        chain: u32,
    ) -> f64 {
        let ones = vec![T::ONE; state.q.len()];
        let (mut step, mut direction) = (self.step_size, 0);
        for k in 0..60 {
            let mut stream = setting.stream(Part::Start, 1 + k, chain);
            let mut p: Vec<T> = (0..ones.len()).map(|_| normal(&mut stream)).collect();
            let (mut q, mut g) = (state.q.clone(), state.g.clone());
            let before = kinetic(&p, &ones) - state.log;
            let log = leapfrog([&mut q, &mut p, &mut g], &ones, step, 1, |q, g| density.log(q, g));
            let accept = (before - (kinetic(&p, &ones) - log)).exp();
            let next = if accept > 0.8 { 1 } else { -1 };
            if direction != 0 && next != direction {
                break;
            }
            direction = next;
            step *= if next > 0 { 2.0 } else { 0.5 };
        }
        step
    }
}

impl<T: Real> Method<T> for Hmc {
    type Tuning = Vec<Tuned<T>>;
    type State = State<T>;

    fn length(&self) -> (u64, u64) {
        (self.warmup, self.draws)
    }

    fn start(&self, setting: &Setting<T>, density: &mut Density<T>, chain: u32) -> State<T> {
        let q = setting.start(chain);
        let mut g = vec![T::ZERO; q.len()];
        let log = density.log(&q, &mut g);
        State { q, g, log, loss: density.loss }
    }

    fn tuning(&self, setting: &Setting<T>, density: &mut Density<T>, states: &[State<T>]) -> Vec<Tuned<T>> {
        let groups = if self.pooled { 1 } else { states.len() };
        let one = |chain: usize| {
            let step = if self.adapt && self.warmup > 0 {
                self.first_step(setting, density, &states[chain], chain as u32)
            } else {
                self.step_size
            };
            let inv_mass = vec![T::ONE; states[chain].q.len()];
            Tuned { step, inv_mass, dual: DualAveraging::new(step), window: Welford::default() }
        };
        (0..groups).map(one).collect()
    }

    fn draw(
        &self,
        setting: &Setting<T>,
        tuning: &Vec<Tuned<T>>,
        density: &mut Density<T>,
        state: &mut State<T>,
        at: At,
    ) -> Draw {
        let tuned = self.of(tuning, at.chain);
        // Trajectories have numbers of their own, so that thinning makes no others.
        let (first, thin) = match at.number.checked_sub(self.warmup) {
            Some(kept) => (self.warmup + kept * self.thin, self.thin),
            None => (at.number, 1),
        };
        let mut draw = Draw::default();
        for number in first..first + thin {
            let one = self.trajectory(setting, tuned, density, state, At { number, ..at });
            draw = Draw {
                accept: draw.accept + one.accept / thin as f64,
                divergent: draw.divergent | one.divergent,
                fge: draw.fge + one.fge,
                ..one
            };
        }
        draw
    }

    fn adapt(
        &self,
        setting: &Setting<T>,
        tuning: &mut Vec<Tuned<T>>,
        _densities: &mut [Density<T>],
        states: &[State<T>],
        draws: &[Draw],
        number: u64,
    ) {
        if !self.adapt {
            return;
        }
        let warmup = usize::try_from(self.warmup).expect("draws fit into memory");
        let (slow, ends) = schedule(warmup)[number as usize];
        let groups = tuning.len();
        for (k, tuned) in tuning.iter_mut().enumerate() {
            let mine = if groups == 1 { 0..states.len() } else { k..k + 1 };
            let accept = draws[mine.clone()].iter().map(|d| d.accept).sum::<f64>() / mine.len() as f64;
            tuned.dual.update(accept, self.target);
            tuned.step = tuned.dual.step;
            if slow && self.metric != Metric::Unit {
                states[mine].iter().for_each(|s| tuned.window.add(s.q.iter().map(|q| q.wide())));
            }
            if ends {
                if self.metric != Metric::Unit {
                    let mut variances = tuned.window.shrunk();
                    if self.metric == Metric::Layer {
                        for tensor in &setting.tensors {
                            let part = &mut variances[tensor.clone()];
                            let mean = part.iter().sum::<f64>() / part.len() as f64;
                            part.fill(mean);
                        }
                    }
                    tuned.inv_mass = variances.iter().map(|v| T::of(*v)).collect();
                    tuned.window = Welford::default();
                }
                tuned.dual = DualAveraging::new(tuned.dual.mean());
                tuned.step = tuned.dual.step;
            }
            if number + 1 == self.warmup {
                tuned.step = tuned.dual.mean();
            }
        }
    }

    fn step_size(&self, tuning: &Vec<Tuned<T>>) -> f64 {
        tuning.iter().map(|t| t.step).sum::<f64>() / tuning.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::gradient::tests::{fixture, numbers};
    use serde_json::Value;

    fn follows(case: &Value, mut log: impl FnMut(&[f64], &mut [f64]) -> f64) -> f64 {
        let inv_mass = numbers(&case["inv_mass"]);
        let (mut q, mut p) = (numbers(&case["q0"]), numbers(&case["p0"]));
        let mut g = vec![0.0; q.len()];
        let mut value = log(&q, &mut g);
        let near = |a: &[f64], b: &Value| {
            a.iter().zip(numbers(b)).all(|(a, b)| (a - b).abs() < 1e-9 * b.abs().max(1.0))
        };
        let mut energies = Vec::new();
        for (k, at) in case["trajectory"].as_array().unwrap().iter().enumerate() {
            if k > 0 {
                value =
                    leapfrog([&mut q, &mut p, &mut g], &inv_mass, case["eps"].as_f64().unwrap(), 1, &mut log);
            }
            energies.push(kinetic(&p, &inv_mass) - value);
            assert!(near(&q, &at["q"]) && near(&p, &at["p"]), "{k}");
            assert!((energies[k] - at["H"].as_f64().unwrap()).abs() < 1e-9 * energies[k].abs().max(1.0));
        }
        // All steps at once round as one after the other
        let (mut q1, mut p1) = (numbers(&case["q0"]), numbers(&case["p0"]));
        let mut g1 = vec![0.0; q.len()];
        log(&q1, &mut g1);
        let steps = case["steps"].as_u64().unwrap() as usize;
        leapfrog([&mut q1, &mut p1, &mut g1], &inv_mass, case["eps"].as_f64().unwrap(), steps, &mut log);
        assert!(q1 == q && p1 == p);
        (energies[0] - energies[energies.len() - 1]).exp().min(1.0)
    }

    #[test]
    fn trajectories_are_those_of_the_second_implementation() {
        let all: Value = serde_json::from_str(include_str!("../../../tests/reference/llc/hmc.json")).unwrap();
        let precision: Vec<Vec<f64>> =
            all["gaussian"]["precision"].as_array().unwrap().iter().map(numbers).collect();
        let gauss = |q: &[f64], g: &mut [f64]| {
            for (g, row) in g.iter_mut().zip(&precision) {
                *g = -row.iter().zip(q).map(|(a, q)| a * q).sum::<f64>();
            }
            0.5 * q.iter().zip(g.iter()).map(|(q, g)| q * g).sum::<f64>()
        };
        let accept = numbers(&all["accept_probability"]);
        assert!((follows(&all["gaussian"], gauss) - accept[0]).abs() < 1e-9);
        let (network, w, _) = fixture::<f64>("tanh_3_4_2");
        let case = &all["network"];
        let setting = Setting {
            center: std::sync::Arc::new(w),
            n_beta: case["n_beta"].as_f64().unwrap(),
            gamma: case["gamma"].as_f64().unwrap(),
            l0: 0.0,
            streams: crate::numerics::Streams::new(1),
            tensors: Vec::new(),
            chains: 1,
        };
        let mut density = Density::new(Box::new(network), &setting);
        assert!((follows(case, |q, g| density.log(q, g)) - accept[1]).abs() < 1e-9);
    }
}
