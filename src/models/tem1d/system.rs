//! A measuring system, ready to compute: wavenumbers, Laplace variables and weights.

use crate::models::tem1d::doubling::{self, Chains};
use crate::models::tem1d::gates::{Moment, Quantity};
use crate::models::tem1d::geometry::{Geometry, Range};
use crate::models::tem1d::kernel::{Batch, Engine, Node};
use crate::models::tem1d::reflect::{Earth, MU0, derivatives, reflection};
use crate::models::tem1d::{contour, weights};
use crate::numerics::Mat;
use crate::numerics::complex::Complex;
use crate::numerics::lanes::{LANES, Row, Width};

/// A wavenumber of a Laplace variable that changes no gate of no earth by more than this share is left out. Hundreds are:
/// together they stay well below the error of the weights.
const CUT: f64 = 2e-10;

/// How many Laplace variables a decade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accuracy {
    /// Five: 10⁻⁶
    Accurate,
    /// Four: 10⁻⁵
    Fast,
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
    /// Laplace variables
    pub accuracy: Accuracy,
}

/// A system, ready.
#[derive(Debug, Clone)]
pub struct System {
    setup: Setup,
    /// For earths with polarisation
    engine: Engine,
    /// For all others
    chains: Chains,
    /// λ and G
    nodes: Vec<(f64, f64)>,
    /// rows × 2 N_s
    weights: Mat,
}

impl System {
    /// Work out wavenumbers, Laplace variables and weights.
    pub fn new(setup: Setup) -> Self {
        let size = setup.geometry.shape.size();
        // Early gates of a large loop on conductive ground: the field has hardly begun to decay.
        let wide = 6.0 * setup.rho.0 * times(&setup.moments).0 / (MU0 * size * size) < 0.05;
        Self::over(setup, wide)
    }

    /// The same with Laplace variables up to ten times as far where `wide`.
    pub(super) fn over(setup: Setup, wide: bool) -> Self {
        let (first, last) = times(&setup.moments);
        let range = Range { rho: setup.rho, time: (first, last) };
        let octave = octave(&setup);
        let nodes = setup.geometry.nodes(&range, octave);
        let s = weights::ray(first, last, wide);
        let weights = weights::weights(&setup.moments, &s, first, last);
        let engine = engine(&nodes, &s, &weights);
        let mut system = Self { engine, chains: Chains::default(), setup, nodes, weights };
        let needed = system.narrow();
        system.chains = Chains::new(&system.nodes, octave, &s, &needed, &system.weights);
        system
    }

    /// What it is.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Gates of all moments.
    pub fn rows(&self) -> usize {
        self.engine.rows
    }

    /// Laplace variables and wavenumbers.
    pub fn size(&self) -> (usize, usize) {
        (self.engine.nodes.len(), self.nodes.len())
    }

    /// Pairs of a Laplace variable and a wavenumber that count.
    pub fn pairs(&self) -> usize {
        self.chains.chains.iter().map(|chain| chain.steps).sum()
    }

    /// The gates of each earth, all moments one after the other. All earths have as many layers.
    pub fn responses(&self, earths: &[Earth], width: Width) -> Vec<Vec<f64>> {
        if earths.iter().all(|earth| earth.polarisation.is_empty()) {
            return width.run(doubling::Batch { chains: &self.chains, earths });
        }
        width.run(Batch { engine: &self.engine, earths })
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

    /// Gates and their derivatives by ln ρ of each layer, ln h of each but the last, and the height of the
    /// transmitters (1/m): a column each. For earths without polarisation.
    pub fn derivatives(&self, earth: &Earth) -> (Vec<f64>, Mat) {
        let n = 2 * earth.resistivity.len();
        let mut sums = vec![vec![Complex::default(); n + 1]; self.engine.nodes.len()];
        for (node, sums) in self.engine.nodes.iter().zip(&mut sums) {
            let over = Complex::real(-1.0) / node.s;
            for &(lambda, g) in &self.nodes {
                let (r, by) = derivatives(earth, lambda, node.s);
                let by_height = std::iter::once(r.scale(-lambda));
                for (sum, d) in sums.iter_mut().zip(std::iter::once(r).chain(by).chain(by_height)) {
                    *sum = *sum + d.scale(g) * over;
                }
            }
        }
        let row = |i: usize, c: usize| -> f64 {
            sums.iter()
                .enumerate()
                .map(|(k, f)| self.weights[(i, 2 * k)] * f[c].re + self.weights[(i, 2 * k + 1)] * f[c].im)
                .sum()
        };
        let gates = (0..self.rows()).map(|i| row(i, 0)).collect();
        (gates, Mat::from_fn(self.rows(), n, |i, j| row(i, j + 1)))
    }

    /// Which pairs of a Laplace variable and a wavenumber some gate sees, judged by earths at the corners of what is allowed.
    fn narrow(&mut self) -> Vec<Vec<bool>> {
        let (lo, hi) = self.setup.rho;
        let middle = (lo * hi).sqrt();
        let mut earths: Vec<Earth> = [lo, middle, hi].map(|rho| Earth::new(vec![rho], Vec::new())).to_vec();
        for (a, b) in [(lo, hi), (hi, lo), (middle, lo), (middle, hi)] {
            for h in [2.0, 10.0, 50.0, 200.0] {
                earths.push(Earth::new(vec![a, b], vec![h]));
            }
        }
        let n = self.engine.nodes.len();
        let mut needed = vec![vec![false; self.nodes.len()]; n];
        for earth in &earths {
            let parts: Vec<Vec<Complex>> =
                self.engine.nodes.iter().map(|node| self.parts(earth, node.s)).collect();
            let total: Vec<Complex> =
                parts.iter().map(|p| p.iter().fold(Complex::default(), |a, b| a + *b)).collect();
            let data: Vec<f64> = (0..self.rows())
                .map(|i| {
                    (0..n)
                        .map(|k| {
                            self.weights[(i, 2 * k)] * total[k].re
                                + self.weights[(i, 2 * k + 1)] * total[k].im
                        })
                        .sum()
                })
                .collect();
            // Of each Laplace variable the gate that it matters most to
            let mut most = vec![0.0_f64; n];
            for i in 0..self.rows() {
                // A gate where the field changes its sign is as precise as its neighbours.
                let beside =
                    [i.saturating_sub(1), (i + 1).min(self.rows() - 1)].map(|j| 0.01 * data[j].abs());
                let size = data[i].abs().max(beside[0]).max(beside[1]);
                for (k, most) in most.iter_mut().enumerate() {
                    let weight = self.weights[(i, 2 * k)].hypot(self.weights[(i, 2 * k + 1)]);
                    *most = most.max(weight / size);
                }
            }
            for ((parts, most), needed) in parts.iter().zip(most).zip(&mut needed) {
                for (part, needed) in parts.iter().zip(needed) {
                    *needed |= part.abs() * most > CUT;
                }
            }
        }
        for (node, needed) in self.engine.nodes.iter_mut().zip(&needed) {
            let first = needed.iter().position(|n| *n).unwrap_or(0);
            node.from = first / LANES;
            node.to = needed.iter().rposition(|n| *n).map_or(node.from, |j| j / LANES + 1);
        }
        needed
    }

    /// What each wavenumber adds to F(s).
    fn parts(&self, earth: &Earth, s: Complex) -> Vec<Complex> {
        let over = Complex::real(-1.0) / s;
        self.nodes.iter().map(|&(lambda, g)| reflection(earth, lambda, s).scale(g) * over).collect()
    }
}

/// Wavenumbers to an octave.
fn octave(setup: &Setup) -> usize {
    match (setup.accuracy, setup.geometry.central()) {
        (Accuracy::Fast, true) => 5,
        (Accuracy::Accurate, true) => 6,
        (Accuracy::Fast, false) => 6,
        (Accuracy::Accurate, false) => 9,
    }
}

/// First and last time that count: since the current is back at zero, and with the waveform's length.
fn times(moments: &[Moment]) -> (f64, f64) {
    let gates = || moments.iter().flat_map(|m| (0..m.gates.len()).map(move |k| (m, k)));
    let first = gates().map(|(m, k)| m.gates[k].0 - m.off()).fold(f64::INFINITY, f64::min);
    let last = gates().map(|(m, k)| m.gates[k].1 - m.off() + m.duration()).fold(0.0, f64::max);
    (first, last)
}

fn engine(nodes: &[(f64, f64)], s: &[Complex], weights: &Mat) -> Engine {
    // Lanes without a wavenumber repeat the last one with weight zero.
    let end = nodes.last().expect("there are wavenumbers").0;
    let row = |part: &[(f64, f64)], of: fn(&(f64, f64)) -> f64, none: f64| {
        Row(std::array::from_fn(|l| part.get(l).map_or(none, of)))
    };
    let rows = weights.nrows();
    let blocks = rows.div_ceil(LANES);
    let cell = |i: usize, c: usize| if i < rows { weights[(i, c)] } else { 0.0 };
    let of_node = |c: usize| (0..blocks).map(move |b| Row(std::array::from_fn(|l| cell(b * LANES + l, c))));
    let all = nodes.len().div_ceil(LANES);
    Engine {
        lambda: nodes.chunks(LANES).map(|part| row(part, |n| n.0, end)).collect(),
        g: nodes.chunks(LANES).map(|part| row(part, |n| n.1, 0.0)).collect(),
        nodes: s.iter().map(|&s| Node { s, root: (s.scale(MU0)).sqrt().re, from: 0, to: all }).collect(),
        weights: (0..2 * s.len()).flat_map(of_node).collect(),
        rows,
    }
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
        .map(|m| format!("`{}`: {}, {}", m.name, quantity(m.quantity), m.quantity.unit()))
        .collect();
    all.extend(
        [
            "sign: z up; in the centre of a loop B > 0 and dB/dt < 0 after switch-off; voltage is -dB/dt times area",
            "time zero: that of the waveform; of a step-off without one; gates in s",
            "normalisation: as the system says, per ampere of peak current and turn, or per moment of the loop",
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
