//! What chains sample: log π(w) = −nβ L_n(w) − (γ/2)‖w − w*‖².

use std::ops::Range;
use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};

use crate::models::llc::objective::Objective;
use crate::numerics::panels::Real;
use crate::numerics::{Purpose, Stream, Streams};

/// What all chains of a run share.
#[derive(Debug, Clone)]
pub struct Setting<T> {
    /// w*
    pub center: Arc<Vec<T>>,
    /// nβ
    pub n_beta: f64,
    /// γ
    pub gamma: f64,
    /// L_n(w*)
    pub l0: f64,
    /// Random numbers of the run
    pub streams: Streams,
    /// Parts of w that may share a scale
    pub tensors: Vec<Range<usize>>,
    /// How many
    pub chains: u32,
}

/// What a stream of a chain is for; the codes are part of every result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Start = 0,
    Draw = 1,
    Batch = 2,
    Curvature = 3,
}

impl<T: Real> Setting<T> {
    /// Random numbers of step `number` of a chain (from 0).
    pub(super) fn stream(&self, part: Part, number: u64, chain: u32) -> Stream {
        let number = u32::try_from(number).expect("fewer than 2³² steps");
        self.streams.part(part as u32).at(Purpose::Chain, number, chain + 1)
    }

    /// w* + 0.01 N(0, I)
    pub(super) fn start(&self, chain: u32) -> Vec<T> {
        let mut stream = self.stream(Part::Start, 0, chain);
        self.center.iter().map(|w| *w + T::of(0.01) * normal(&mut stream)).collect()
    }

    /// Curvature of −log π where that of L_n is a: nβ a + γ.
    pub(super) fn stiffness(&self, a: f64) -> f64 {
        self.n_beta * a + self.gamma
    }

    /// ‖w − w*‖
    pub(super) fn distance(&self, w: &[T]) -> f64 {
        w.iter().zip(self.center.iter()).map(|(w, c)| (*w - *c).wide().powi(2)).sum::<f64>().sqrt()
    }
}

/// The next standard normal number.
pub(super) fn normal<T: Real>(stream: &mut Stream) -> T {
    let z: f64 = StandardNormal.sample(stream);
    T::of(z)
}

/// log π of one chain, with the working memory of its loss and a count of its work.
pub struct Density<T: Real> {
    /// L_n
    pub objective: Box<dyn Objective<T>>,
    /// w*
    center: Arc<Vec<T>>,
    n_beta: f64,
    gamma: f64,
    /// L_n at the last point
    pub loss: f64,
    /// Gradients taken, in full-gradient equivalents
    pub fge: f64,
    /// Losses alone
    pub losses: f64,
}

impl<T: Real> Density<T> {
    /// With a loss of its own.
    pub fn new(objective: Box<dyn Objective<T>>, setting: &Setting<T>) -> Self {
        let (center, n_beta, gamma) = (Arc::clone(&setting.center), setting.n_beta, setting.gamma);
        Self { objective, center, n_beta, gamma, loss: f64::NAN, fge: 0.0, losses: 0.0 }
    }

    /// log π(w), its gradient into `g`.
    pub fn log(&mut self, w: &[T], g: &mut [T]) -> f64 {
        self.loss = self.objective.gradient(w, g);
        self.fge += 1.0;
        let (minus, gamma) = (T::of(-self.n_beta), T::of(self.gamma));
        let mut square = 0.0;
        for ((g, w), c) in g.iter_mut().zip(w).zip(self.center.iter()) {
            let off = *w - *c;
            square += off.wide() * off.wide();
            *g = minus * *g - gamma * off;
        }
        -self.n_beta * self.loss - 0.5 * self.gamma * square
    }

    /// L_n(w) alone.
    pub fn loss_at(&mut self, w: &[T]) -> f64 {
        self.losses += 1.0;
        self.objective.loss(w)
    }

    /// Largest eigenvalue of the Hessian of L_n at `w`: 20 power iterations with differences of gradients.
    pub fn curvature(&mut self, w: &[T], stream: &mut Stream) -> f64 {
        let p = w.len();
        let mut v: Vec<f64> = (0..p).map(|_| normal(stream)).collect();
        let (mut g0, mut g1) = (vec![T::ZERO; p], vec![T::ZERO; p]);
        self.objective.gradient(w, &mut g0);
        self.fge += 1.0;
        let size = w.iter().map(|w| w.wide().powi(2)).sum::<f64>().sqrt();
        // A difference of gradients loses half the digits of a number where its step is the root of them.
        let digits: f64 = if size_of::<T>() == 4 { 1e-3 } else { 1e-6 };
        let step = digits * (1.0 + size);
        let mut largest = 0.0;
        for _ in 0..20 {
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
            if norm.is_nan() || norm <= 0.0 {
                return 0.0;
            }
            let moved: Vec<T> = w.iter().zip(&v).map(|(w, v)| T::of(w.wide() + step * v / norm)).collect();
            self.objective.gradient(&moved, &mut g1);
            self.fge += 1.0;
            for ((v, a), b) in v.iter_mut().zip(&g1).zip(&g0) {
                *v = (a.wide() - b.wide()) / step;
            }
            largest = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        }
        largest
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::models::llc::gradient::tests::{fixture, numbers};
    use crate::models::llc::objective::Polynomial;

    pub(crate) fn setting(center: Vec<f64>, n_beta: f64, gamma: f64) -> Setting<f64> {
        let tensors = std::iter::once(0..center.len()).collect();
        let streams = Streams::new(3);
        Setting { center: Arc::new(center), n_beta, gamma, l0: 0.0, streams, tensors, chains: 4 }
    }

    #[test]
    fn the_tempered_posterior_is_that_of_the_second_implementation() {
        for id in ["tanh_3_4_2", "relu_5_6_6_1", "gelu_2_3_3_1_t", "dln_3_2_3_nobias"] {
            let (network, w, case) = fixture::<f64>(id);
            let post = &case["posterior"];
            let number = |key: &str| post[key].as_f64().unwrap();
            let setting = setting(numbers(&post["w0"]), number("n_beta"), number("gamma"));
            let mut density = Density::new(Box::new(network), &setting);
            let mut g = vec![0.0; w.len()];
            let log = density.log(&w, &mut g);
            assert!((log - number("logpost")).abs() < 1e-10 * log.abs(), "{id}");
            let want = numbers(&post["grad_logpost"]);
            let scale = want.iter().fold(1.0_f64, |m, x| m.max(x.abs()));
            assert!(g.iter().zip(&want).all(|(g, want)| (g - want).abs() < 1e-9 * scale), "{id}");
        }
    }

    #[test]
    fn the_largest_curvature_is_found() {
        let setting = setting(vec![0.0; 3], 1.0, 1.0);
        let mut density = Density::new(Box::new(Polynomial::Quadratic(vec![1.0, 10.0, 100.0])), &setting);
        let a = density.curvature(&[0.3, 0.1, -0.2], &mut setting.stream(Part::Curvature, 0, 0));
        assert!((a - 100.0).abs() < 1e-3, "{a}");
    }
}
