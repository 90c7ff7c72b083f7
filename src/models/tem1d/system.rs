//! A measuring system, ready to compute: wavenumbers, Laplace variables and weights.

use crate::models::tem1d::alone::Alone;
use crate::models::tem1d::doubling::{Batch, Chains};
use crate::models::tem1d::gates::{Moment, Quantity};
use crate::models::tem1d::geometry::{Geometry, Range};
use crate::models::tem1d::hankel::Node as Wavenumber;
use crate::models::tem1d::reflect::{Earth, MU0, reflection};
use crate::models::tem1d::slopes::Slopes;
use crate::models::tem1d::{contour, weights};
use crate::numerics::Mat;
use crate::numerics::complex::Complex;
use crate::numerics::lanes::{LANES, Width};

/// Wavenumbers to an octave that are exact to 10⁻¹².
const FINEST: usize = 12;

/// How exact gates are: what the spacing of wavenumbers may change of one over a half space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// 10⁻⁶
    Accurate,
    /// 10⁻⁵
    Fast,
}

impl Accuracy {
    fn allowed(self) -> f64 {
        match self {
            Self::Accurate => 1e-6,
            Self::Fast => 1e-5,
        }
    }

    /// A wavenumber of a Laplace variable that changes no gate of no earth by more than this share is left out. Hundreds
    /// are: together they stay well below the error of the weights.
    fn cut(self) -> f64 {
        match self {
            Self::Accurate => 2e-10,
            Self::Fast => 1e-8,
        }
    }

    /// 6 ρ t/(μ₀ a²) of the earliest gate over the most conductive ground, below which the field of a loop has hardly
    /// begun to decay and dB/dt is so small beside B/t that Laplace variables have to reach ten times as far.
    fn early(self) -> f64 {
        match self {
            Self::Accurate => 0.05,
            Self::Fast => 0.03,
        }
    }
}

/// What a system is.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// Loop and receiver
    pub geometry: Geometry,
    /// What is measured
    pub moments: Vec<Moment>,
    /// Resistivities that earths may have, Ω m
    pub rho: (f64, f64),
    /// Wavenumbers and Laplace variables
    pub accuracy: Accuracy,
}

/// A system, ready.
#[derive(Debug, Clone)]
pub struct System {
    setup: Setup,
    /// What the loop reads
    chains: Chains,
    /// Laplace variables
    s: Vec<Complex>,
    /// λ and G
    nodes: Vec<(f64, f64)>,
    /// rows × 2 N_s
    weights: Mat,
}

impl System {
    /// Work out wavenumbers, Laplace variables and weights.
    pub fn new(setup: Setup) -> Self {
        let size = setup.geometry.shape.size();
        let wide = 6.0 * setup.rho.0 * times(&setup.moments).0 / (MU0 * size * size) < setup.accuracy.early();
        Self::over(setup, wide)
    }

    /// The same with Laplace variables up to ten times as far where `wide`.
    pub(super) fn over(setup: Setup, wide: bool) -> Self {
        let (first, last) = times(&setup.moments);
        let range = Range { rho: setup.rho, time: (first, last) };
        let s = weights::ray(first, last, wide);
        let weights = weights::weights(&setup.moments, &s, first, last);
        let (octave, nodes) = spaced(&setup, &range, &s, &weights);
        let mut system = Self { chains: Chains::default(), setup, nodes, s, weights };
        system.chains = Chains::new(&system.nodes, octave, &system.s, &system.needed(), &system.weights);
        system
    }

    /// What it is.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Gates of all moments.
    pub fn rows(&self) -> usize {
        self.weights.nrows()
    }

    /// Laplace variables and wavenumbers.
    pub fn size(&self) -> (usize, usize) {
        (self.s.len(), self.nodes.len())
    }

    /// Pairs of a Laplace variable and a wavenumber that count.
    pub fn pairs(&self) -> usize {
        self.chains.chains.iter().map(|chain| chain.steps).sum()
    }

    /// The gates of each earth, all moments one after the other. All earths have as many layers.
    pub fn responses(&self, earths: &[Earth], width: Width) -> Vec<Vec<f64>> {
        // Few lanes are as slow as all eight: a few earths fill them with their own chains, or wavenumbers.
        let polarised = earths.iter().any(|earth| !earth.polarisation.is_empty());
        let few = if polarised { 6 } else { 2 };
        let rest = earths.len() % LANES;
        let (eights, rest) = earths.split_at(earths.len() - if rest <= few { rest } else { 0 });
        let mut all = width.run(Batch { chains: &self.chains, earths: eights });
        all.extend(rest.iter().flat_map(|earth| width.run(Alone { chains: &self.chains, earth })));
        all
    }

    /// The gates of an earth by contours, gate by gate: slow, right to 10⁻⁹ but for the filter.
    pub fn reference(&self, earth: &Earth) -> Vec<f64> {
        let h = |s: Complex| self.transform(earth, s);
        self.setup
            .moments
            .iter()
            .flat_map(|m| (0..m.gates.len()).map(move |k| (m, k)))
            .map(|(m, k)| contour::gate(m, k, &h))
            .collect()
    }

    /// −H(s), T per A.
    fn transform(&self, earth: &Earth, s: Complex) -> Complex {
        self.nodes
            .iter()
            .fold(Complex::default(), |sum, &(lambda, g)| sum - reflection(earth, lambda, s).scale(g))
    }

    /// Of each earth the gates, then the derivatives of all gates by ln ρ of each layer, by ln h of each but the last,
    /// and by the height of the transmitters (1/m). For earths of as many layers, without polarisation.
    pub fn derivatives(&self, earths: &[Earth], width: Width) -> Vec<Vec<f64>> {
        width.run(Slopes { chains: &self.chains, earths })
    }

    /// The same of an earth, wavenumber by wavenumber.
    #[cfg(test)]
    pub(super) fn derivatives_one_by_one(&self, earth: &Earth) -> Vec<f64> {
        let columns = 2 * earth.resistivity.len() + 1;
        let mut sums = vec![vec![Complex::default(); self.s.len()]; columns];
        for (k, s) in self.s.iter().enumerate() {
            let over = Complex::real(-1.0) / *s;
            for &(lambda, g) in &self.nodes {
                let (r, by) = crate::models::tem1d::reflect::derivatives(earth, lambda, *s);
                let all = std::iter::once(r).chain(by).chain([r.scale(-lambda)]);
                for (sums, d) in sums.iter_mut().zip(all) {
                    sums[k] = sums[k] + d.scale(g) * over;
                }
            }
        }
        sums.iter().flat_map(|field| gates(&self.weights, field)).collect()
    }

    /// Which pairs of a Laplace variable and a wavenumber some gate sees, judged by earths at the corners of what is allowed.
    fn needed(&self) -> Vec<Vec<bool>> {
        let (lo, hi) = self.setup.rho;
        let middle = (lo * hi).sqrt();
        let mut earths: Vec<Earth> = [lo, middle, hi].map(|rho| Earth::new(vec![rho], Vec::new())).to_vec();
        for (a, b) in [(lo, hi), (hi, lo), (middle, lo), (middle, hi)] {
            for h in [2.0, 10.0, 50.0, 200.0] {
                earths.push(Earth::new(vec![a, b], vec![h]));
            }
        }
        let (n, cut) = (self.s.len(), self.setup.accuracy.cut());
        let mut needed = vec![vec![false; self.nodes.len()]; n];
        for earth in &earths {
            let parts: Vec<Vec<Complex>> = self.s.iter().map(|s| self.parts(earth, *s)).collect();
            let total: Vec<Complex> =
                parts.iter().map(|p| p.iter().fold(Complex::default(), |a, b| a + *b)).collect();
            let size = sizes(&gates(&self.weights, &total));
            // Of each Laplace variable the gate that it matters most to
            let mut most = vec![0.0_f64; n];
            for (i, size) in size.iter().enumerate() {
                for (k, most) in most.iter_mut().enumerate() {
                    let weight = self.weights[(i, 2 * k)].hypot(self.weights[(i, 2 * k + 1)]);
                    *most = most.max(weight / size);
                }
            }
            for ((parts, most), needed) in parts.iter().zip(most).zip(&mut needed) {
                for (part, needed) in parts.iter().zip(needed) {
                    *needed |= part.abs() * most > cut;
                }
            }
        }
        needed
    }

    /// What each wavenumber adds to F(s).
    fn parts(&self, earth: &Earth, s: Complex) -> Vec<Complex> {
        let over = Complex::real(-1.0) / s;
        self.nodes.iter().map(|&(lambda, g)| reflection(earth, lambda, s).scale(g) * over).collect()
    }
}

/// The fewest wavenumbers to an octave that give every gate over half spaces as [`FINEST`] do, and the wavenumbers.
fn spaced(setup: &Setup, range: &Range, s: &[Complex], weights: &Mat) -> (usize, Vec<Wavenumber>) {
    let rho =
        std::iter::successors(Some(setup.rho.0), |rho| Some(2.0 * rho)).take_while(|rho| *rho < setup.rho.1);
    let rho: Vec<f64> = rho.chain([setup.rho.1]).collect();
    let gates = |nodes: &[Wavenumber]| -> Vec<Vec<f64>> {
        let over = |rho: f64| {
            let field = s.iter().map(|s| {
                let w = s.scale(MU0 / rho);
                nodes.iter().fold(Complex::default(), |sum, &(lambda, g)| {
                    let u = Complex::real(lambda) + (Complex::real(lambda * lambda) + w).sqrt();
                    sum + (w / (u * u)).scale(g)
                }) / *s
            });
            gates(weights, &field.collect::<Vec<_>>())
        };
        rho.iter().map(|rho| over(*rho)).collect()
    };
    let finest = setup.geometry.nodes(range, FINEST);
    let expected = gates(&finest);
    for octave in 3..FINEST {
        let nodes = setup.geometry.nodes(range, octave);
        let enough = gates(&nodes).iter().zip(&expected).all(|(found, expected)| {
            found
                .iter()
                .zip(expected)
                .zip(sizes(expected))
                .all(|((a, b), size)| (a - b).abs() < setup.accuracy.allowed() * size)
        });
        if enough {
            return (octave, nodes);
        }
    }
    (FINEST, finest)
}

/// All gates from F at all Laplace variables.
fn gates(weights: &Mat, field: &[Complex]) -> Vec<f64> {
    let row = |i: usize| {
        let pair = |(k, f): (usize, &Complex)| weights[(i, 2 * k)] * f.re + weights[(i, 2 * k + 1)] * f.im;
        field.iter().enumerate().map(pair).sum()
    };
    (0..weights.nrows()).map(row).collect()
}

/// What an error of each gate is held against: itself, but where the field changes its sign its neighbours.
fn sizes(gates: &[f64]) -> Vec<f64> {
    let of = |i: usize| gates[i.min(gates.len() - 1)].abs();
    (0..gates.len()).map(|i| of(i).max(0.01 * of(i.saturating_sub(1))).max(0.01 * of(i + 1))).collect()
}

/// First and last time that count: since the current is back at zero, and with the waveform's length.
fn times(moments: &[Moment]) -> (f64, f64) {
    let gates = || moments.iter().flat_map(|m| (0..m.gates.len()).map(move |k| (m, k)));
    let first = gates().map(|(m, k)| m.gates[k].0 - m.off()).fold(f64::INFINITY, f64::min);
    let last = gates().map(|(m, k)| m.gates[k].1 - m.off() + m.duration()).fold(0.0, f64::max);
    (first, last)
}

/// Blocks, one per moment: name and gates.
pub(super) fn shape(setup: &Setup) -> Vec<(String, usize)> {
    setup.moments.iter().map(|m| (m.name.clone(), m.gates.len())).collect()
}

/// Conventions, for the head of outputs.
pub(super) fn conventions(setup: &Setup) -> Vec<String> {
    let mut all: Vec<String> = setup
        .moments
        .iter()
        .map(|m| {
            let per = m.per.words();
            let per = if per.is_empty() { per } else { format!(": {per}") };
            format!("`{}`: {}, {}{per}", m.name, quantity(m.quantity), m.unit())
        })
        .collect();
    all.extend(
        [
            "sign: z up; in the centre of a loop B > 0 and dB/dt < 0 after switch-off; voltage is -dB/dt times area",
            "time zero: that of the waveform; of a step-off without one; gates in s",
        ]
        .map(String::from),
    );
    all
}

fn quantity(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::B => "vertical B of the ground",
        Quantity::DbDt => "vertical dB/dt of the ground",
        Quantity::Voltage => "induced voltage",
    }
}
