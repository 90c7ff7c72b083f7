//! Stochastic gradient Langevin dynamics, plain or with the preconditioners of RMSprop and Adam.
//!
//! # Source
//! Welling & Teh (2011), ICML; Li, Chen, Carlson & Carin (2016), AAAI; conventions of Hitchcock & Hoogland (2025), arXiv
//! 2507.21449: v starts at 1, m at 0, time counts from 1 and bias is corrected all the same; statistics see the
//! gradient of the loss only; no term for the state dependence of G.

use rand::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::models::llc::density::{Density, Part, Setting, normal};
use crate::models::llc::mala;
use crate::models::llc::method::{At, Draw, Method};
use crate::numerics::panels::Real;
use crate::numerics::simd;

/// Steps between two looks at whether the last one would have been accepted.
const LOOK: u64 = 1000;

/// What the gradient is scaled by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// G = 1
    None,
    /// G = 1/(√v̂ + a)
    Rmsprop,
    /// The same, with momentum
    Adam,
}

/// Options of the sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Sgld {
    /// Steps kept, of each chain
    pub steps: u64,
    /// Steps before them
    pub warmup: u64,
    /// Examples of a step
    pub batch: usize,
    /// ε; `None`: 0.1 of what is stable
    pub step_size: Option<f64>,
    /// Steps of a draw: the full loss is recorded after each
    pub eval_every: u64,
    /// G
    pub precondition: Precondition,
    /// Of m
    pub beta1: f64,
    /// Of v
    pub beta2: f64,
    /// a
    pub denominator: f64,
    /// m̂ and v̂ in place of m and v
    pub bias_correction: bool,
}

/// ε and the curvature it was chosen for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tuned {
    step: f64,
    /// Largest eigenvalue of the Hessian of L_n seen
    curvature: f64,
}

/// A chain.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: DeserializeOwned"))]
pub struct State<T> {
    w: Vec<T>,
    m: Vec<T>,
    v: Vec<T>,
    t: u64,
}

impl<T: Real> State<T> {
    fn at(w: Vec<T>) -> Self {
        let p = w.len();
        Self { w, m: vec![T::ZERO; p], v: vec![T::ONE; p], t: 0 }
    }
}

/// One update of all parameters, in a loop without branches.
struct Update<'a, T> {
    state: &'a mut State<T>,
    center: &'a [T],
    g: &'a [T],
    z: &'a [T],
    step: f64,
    n_beta: f64,
    gamma: f64,
    options: &'a Sgld,
}

impl<T: Real> simd::Kernel for Update<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (options, state) = (self.options, self.state);
        let p = self.g.len();
        let (center, g, z) = (&self.center[..p], &self.g[..p], &self.z[..p]);
        let (w, m, v) = (&mut state.w[..p], &mut state.m[..p], &mut state.v[..p]);
        let (epsilon, half) = (T::of(self.step), T::of(0.5));
        let (n_beta, gamma) = (T::of(self.n_beta), T::of(self.gamma));
        if options.precondition == Precondition::None {
            let root = T::of(self.step.sqrt());
            for i in 0..p {
                w[i] = w[i] - half * epsilon * (gamma * (w[i] - center[i]) + n_beta * g[i]) + root * z[i];
            }
            return;
        }
        let (b1, b2) = (options.beta1, options.beta2);
        let t = state.t as f64;
        let correct = |b: f64| if options.bias_correction { 1.0 / (1.0 - b.powf(t)) } else { 1.0 };
        let (c1, c2) = (T::of(correct(b1)), T::of(correct(b2)));
        let (b1, b2, r1, r2) = (T::of(b1), T::of(b2), T::of(1.0 - b1), T::of(1.0 - b2));
        let a = T::of(options.denominator);
        let adam = options.precondition == Precondition::Adam;
        for i in 0..p {
            v[i] = b2 * v[i] + r2 * g[i] * g[i];
            m[i] = b1 * m[i] + r1 * g[i];
            let drift = if adam { m[i] * c1 } else { g[i] };
            let e = epsilon / ((v[i] * c2).root() + a);
            w[i] = w[i] - half * e * (gamma * (w[i] - center[i]) + n_beta * drift) + e.root() * z[i];
        }
    }
}

impl Sgld {
    /// One step with given gradient of the minibatch loss and given normal numbers.
    fn update<T: Real>(&self, setting: &Setting<T>, step: f64, state: &mut State<T>, g: &[T], z: &[T]) {
        state.t += 1;
        let (n_beta, gamma) = (setting.n_beta, setting.gamma);
        simd::widest(Update { state, center: &setting.center, g, z, step, n_beta, gamma, options: self });
    }

    /// ε G of one parameter, as the last step had it.
    fn own_step<T: Real>(&self, step: f64, state: &State<T>, i: usize) -> f64 {
        if self.precondition == Precondition::None {
            return step;
        }
        let correct = if self.bias_correction { 1.0 - self.beta2.powf(state.t as f64) } else { 1.0 };
        step / ((state.v[i].wide() / correct).sqrt() + self.denominator)
    }

    /// 0.1 of what is stable where the curvature is a. With a preconditioner G is about 1/√(a/nβ), the inverse of the
    /// size that gradients have in equilibrium.
    fn safe_step<T: Real>(&self, curvature: f64, setting: &Setting<T>) -> f64 {
        let plain = 0.1 / setting.stiffness(curvature);
        match self.precondition {
            Precondition::None => plain,
            _ => plain * ((curvature / setting.n_beta).sqrt() + self.denominator).min(1.0),
        }
    }

    fn is_time(&self, number: u64) -> bool {
        let rounds = (self.warmup / self.eval_every).max(1);
        // Eight times while warming up, the last at its end
        ((number + 1) * 8) / rounds > (number * 8) / rounds
    }
}

/// `batch` examples out of n, with replacement.
pub(super) fn choose(stream: &mut impl Rng, n: usize, rows: &mut [u32]) {
    let n = n as u64;
    for pair in rows.chunks_mut(2) {
        let bits = stream.next_u64();
        pair[0] = ((u64::from(bits as u32) * n) >> 32) as u32;
        if let Some(second) = pair.get_mut(1) {
            *second = (((bits >> 32) * n) >> 32) as u32;
        }
    }
}

impl<T: Real> Method<T> for Sgld {
    type Tuning = Tuned;
    type State = State<T>;

    fn length(&self) -> (u64, u64) {
        (self.warmup / self.eval_every, self.steps / self.eval_every)
    }

    fn start(&self, setting: &Setting<T>, _density: &mut Density<T>, chain: u32) -> State<T> {
        State::at(setting.start(chain))
    }

    fn tuning(&self, setting: &Setting<T>, density: &mut Density<T>, states: &[State<T>]) -> Tuned {
        let mut stream = setting.stream(Part::Curvature, 0, 0);
        let mut curvature = density.curvature(&setting.center, &mut stream);
        // Where the minimum is flat, look as far from it as chains will go: where nβ ΔL + γr²/2 is p/2.
        let p = states[0].w.len();
        let z: Vec<f64> = (0..p).map(|_| normal::<f64>(&mut stream)).collect();
        let (mut low, mut high) = (0.0_f64, 10.0 / setting.gamma.max(1e-6).sqrt());
        let moved = |r: f64| -> Vec<T> {
            setting.center.iter().zip(&z).map(|(c, z)| T::of(c.wide() + r * z)).collect()
        };
        for _ in 0..30 {
            let r = 0.5 * (low + high);
            let rise = density.loss_at(&moved(r)) - setting.l0;
            let square: f64 = z.iter().map(|z| r * r * z * z).sum();
            let energy = setting.n_beta * rise + 0.5 * setting.gamma * square;
            if energy < 0.5 * p as f64 { low = r } else { high = r }
        }
        curvature = curvature.max(density.curvature(&moved(low), &mut stream));
        let step = self.step_size.unwrap_or_else(|| self.safe_step(curvature, setting));
        Tuned { step, curvature }
    }

    fn draw(
        &self,
        setting: &Setting<T>,
        tuning: &Tuned,
        density: &mut Density<T>,
        state: &mut State<T>,
        at: At,
    ) -> Draw {
        let n = density.objective.examples();
        let p = state.w.len();
        let mut rows = vec![0_u32; self.batch];
        let (mut g, mut z) = (vec![T::ZERO; p], vec![T::ZERO; p]);
        let mut losses = 0.0;
        let looks = (state.t + self.eval_every) / LOOK > state.t / LOOK;
        let mut before = Vec::new();
        for k in 0..self.eval_every {
            if looks && k + 1 == self.eval_every {
                before.clone_from(&state.w);
            }
            let mut stream = setting.stream(Part::Batch, state.t, at.chain);
            if n > 0 {
                choose(&mut stream, n, &mut rows);
            }
            losses += density.objective.batch_gradient(&state.w, &rows, &mut g);
            z.iter_mut().for_each(|z| *z = normal(&mut stream));
            self.update(setting, tuning.step, state, &g, &z);
        }
        let accept = if looks {
            mala::acceptance(density, &before, &state.w, |i| self.own_step(tuning.step, state, i))
        } else {
            f64::NAN
        };
        let share = if n > 0 { self.batch as f64 / n as f64 } else { 1.0 };
        let loss = density.loss_at(&state.w);
        Draw {
            loss,
            accept,
            energy: f64::NAN,
            divergent: !loss.is_finite(),
            fge: share * self.eval_every as f64 + if looks { 2.0 } else { 0.0 },
            losses: 1.0,
            distance: setting.distance(&state.w),
            batch_loss: losses / self.eval_every as f64,
        }
    }

    fn adapt(
        &self,
        setting: &Setting<T>,
        tuning: &mut Tuned,
        densities: &mut [Density<T>],
        states: &[State<T>],
        _draws: &[Draw],
        number: u64,
    ) {
        if !self.is_time(number) {
            return;
        }
        for (chain, (density, state)) in densities.iter_mut().zip(states).enumerate() {
            let mut stream = setting.stream(Part::Curvature, 1 + number, chain as u32);
            let here = density.curvature(&state.w, &mut stream);
            tuning.curvature = tuning.curvature.max(here);
        }
        if self.step_size.is_none() {
            tuning.step = self.safe_step(tuning.curvature, setting);
        }
    }

    fn step_size(&self, tuning: &Tuned) -> f64 {
        tuning.step
    }

    fn stability(&self, setting: &Setting<T>, tuning: &Tuned) -> f64 {
        tuning.step * setting.n_beta * tuning.curvature
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::gradient::tests::{fixture, numbers};
    use crate::models::llc::objective::Objective;
    use serde_json::Value;

    fn follows<T: Real>(tolerance: f64) {
        let all: Value =
            serde_json::from_str(include_str!("../../../tests/reference/llc/sgld.json")).unwrap();
        let number = |key: &str| all[key].as_f64().unwrap();
        let narrow = |v: &Value| numbers(v).iter().map(|x| T::of(*x)).collect::<Vec<T>>();
        let cases = [
            (Precondition::None, true, &all["trajectories"]["none"]),
            (Precondition::Rmsprop, true, &all["trajectories"]["rmsprop"]),
            (Precondition::Adam, true, &all["trajectories"]["adam"]),
            (Precondition::Rmsprop, false, &all["rmsprop_no_bias_correction"]),
        ];
        for (precondition, bias_correction, want) in cases {
            let (mut network, w, _) = fixture::<T>("relu_5_6_6_1");
            let options = Sgld {
                steps: 5,
                warmup: 0,
                batch: 4,
                step_size: Some(number("eps")),
                eval_every: 1,
                precondition,
                beta1: number("beta1"),
                beta2: number("beta2"),
                denominator: number("eps_denominator"),
                bias_correction,
            };
            let setting = Setting {
                center: std::sync::Arc::new(w.iter().map(|w| T::of(*w)).collect()),
                n_beta: number("n_beta"),
                gamma: number("gamma"),
                l0: 0.0,
                streams: crate::numerics::Streams::new(1),
                tensors: Vec::new(),
                chains: 1,
            };
            let mut state = State::at(narrow(&all["start"]));
            let mut g = vec![T::ZERO; state.w.len()];
            for t in 0..5 {
                let rows: Vec<u32> = numbers(&all["batches"][t]).iter().map(|r| *r as u32).collect();
                network.batch_gradient(&state.w, &rows, &mut g);
                options.update(&setting, number("eps"), &mut state, &g, &narrow(&all["noise"][t]));
                for (got, want) in state.w.iter().zip(numbers(&want[t])) {
                    assert!((got.wide() - want).abs() < tolerance, "{precondition:?} {t}: {got:?} {want}");
                }
            }
        }
    }

    #[test]
    fn updates_are_those_of_the_second_implementation() {
        follows::<f64>(1e-10);
        follows::<f32>(1e-5);
    }

    #[test]
    fn every_example_is_chosen_equally_often() {
        let mut stream = crate::numerics::Streams::new(1).at(crate::numerics::Purpose::Chain, 0, 1);
        let mut rows = vec![0; 100_001];
        choose(&mut stream, 10, &mut rows);
        for k in 0..10 {
            let share = rows.iter().filter(|r| **r == k).count() as f64 / 1e5;
            assert!((share - 0.1).abs() < 0.004, "{k}: {share}"); // 4 √(0.09/10⁵)
        }
    }
}
