//! Loops and receivers as wavenumbers with weights: H(s) = Σ_j G_j r(λ_j, s), in T per A.
//!
//! The centre of a circle needs one distance; every other source is wire pieces, each at its own distance. Their
//! integrals over wavenumbers are one sum (`hankel`); heights are factors of its terms.

use std::f64::consts::PI;

use crate::models::tem1d::hankel::{self, Node};
use crate::models::tem1d::reflect::MU0;

/// Source loop in the plane of the ground, at some height.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Radius, m; the receiver at a horizontal distance from its centre
    Circle {
        /// m
        radius: f64,
    },
    /// Corners in order, m; the receiver at `offset` from the origin
    Polygon {
        /// (x, y), m
        corners: Vec<(f64, f64)>,
    },
}

impl Shape {
    /// A square around the origin.
    pub fn square(side: f64) -> Self {
        let h = side / 2.0;
        Self::Polygon { corners: vec![(-h, -h), (h, -h), (h, h), (-h, h)] }
    }

    /// m²
    pub fn area(&self) -> f64 {
        match self {
            Self::Circle { radius } => PI * radius * radius,
            Self::Polygon { corners } => {
                let next = corners.iter().cycle().skip(1);
                0.5 * corners.iter().zip(next).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum::<f64>().abs()
            }
        }
    }

    /// Radius of the circle of the same area, m.
    pub fn size(&self) -> f64 {
        (self.area() / PI).sqrt()
    }
}

/// Transmitters and receivers.
#[derive(Debug, Clone, PartialEq)]
pub struct Geometry {
    /// The loop
    pub shape: Shape,
    /// Receiver's horizontal place, m
    pub offset: (f64, f64),
    /// Heights of transmitters above ground, m, with their polarities
    pub transmitters: Vec<(f64, f64)>,
    /// Heights of receivers, with their polarities
    pub receivers: Vec<(f64, f64)>,
}

/// What the earth and the times may be: it decides which wavenumbers count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Ω m, least and largest
    pub rho: (f64, f64),
    /// s, first and last
    pub time: (f64, f64),
}

impl Geometry {
    /// Heights as a factor of each wavenumber.
    fn heights(&self, lambda: f64) -> f64 {
        let pairs = self.transmitters.iter().flat_map(|t| self.receivers.iter().map(move |r| (t, r)));
        pairs.map(|(t, r)| t.1 * r.1 * (-lambda * (t.0 + r.0)).exp()).sum()
    }

    fn least_height(&self) -> f64 {
        let least = |all: &[(f64, f64)]| all.iter().map(|h| h.0).fold(f64::INFINITY, f64::min);
        least(&self.transmitters) + least(&self.receivers)
    }

    fn distance(&self) -> f64 {
        self.offset.0.hypot(self.offset.1)
    }

    /// Wavenumbers and weights for earths and times within a range.
    pub(super) fn nodes(&self, range: &Range, octave: usize) -> Vec<Node> {
        // Diffusion lengths: the largest at the last time in the most resistive ground.
        let lowest = (MU0 / (range.rho.1 * range.time.1)).sqrt();
        let highest = (MU0 / (range.rho.0 * range.time.0)).sqrt();
        let damped = |most: f64, at: f64| {
            let height = self.least_height();
            if height > 0.0 { (most * highest).min(at / height) } else { most * highest }
        };
        let nodes = hankel::nodes(&self.pieces(), 0.002 * lowest, damped(20.0, 60.0), octave);
        nodes.into_iter().map(|(lambda, g)| (lambda, g * self.heights(lambda))).collect()
    }

    /// Is the receiver in the middle of a circle?
    fn central(&self) -> bool {
        matches!(self.shape, Shape::Circle { .. }) && self.distance() < 0.01
    }

    /// Pieces of wire: (distance to the receiver, length times the sine of the angle they are seen under), m.
    fn pieces(&self) -> Vec<(f64, f64)> {
        match &self.shape {
            Shape::Circle { radius } if self.central() => vec![(*radius, 2.0 * PI * radius)],
            Shape::Circle { radius } => {
                let (a, r) = (*radius, self.distance());
                let n = (30.0 * a / (r - a).abs().max(self.least_height())).ceil().max(32.0);
                (0..n as usize)
                    .map(|k| {
                        let phi = 2.0 * PI * (k as f64 + 0.5) / n;
                        let rr = (a * a + r * r - 2.0 * a * r * phi.cos()).sqrt();
                        (rr, 2.0 * PI * a / n * (a - r * phi.cos()) / rr)
                    })
                    .collect()
            }
            Shape::Polygon { corners } => {
                let next = corners.iter().cycle().skip(1);
                corners.iter().zip(next).flat_map(|(a, b)| self.side(*a, *b)).collect()
            }
        }
    }

    /// A straight side: 24 Gauss points on each part, parts no longer than ten times the distance to the receiver.
    fn side(&self, a: (f64, f64), b: (f64, f64)) -> Vec<(f64, f64)> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let length = dx.hypot(dy);
        let (x, y) = (self.offset.0 - a.0, self.offset.1 - a.1);
        // Along the side, and to its left
        let (along, left) = ((x * dx + y * dy) / length, (y * dx - x * dy) / length);
        let near = left.abs().max(0.02 * length);
        // The foot of the receiver is an end of parts: the integrand bends there.
        let foot = along.clamp(0.0, length);
        let mut parts = Vec::new();
        for (from, to) in [(0.0, foot), (foot, length)] {
            let count = ((to - from) / (10.0 * near)).ceil() as usize;
            let step = (to - from) / count.max(1) as f64;
            parts.extend((0..count).map(|k| (from + k as f64 * step, from + (k + 1) as f64 * step)));
        }
        let mut pieces = Vec::new();
        for (from, to) in parts {
            for &(node, weight) in &gauss_legendre(24) {
                let at = 0.5 * (from + to) + 0.5 * (to - from) * node;
                let rr = (at - along).hypot(left);
                pieces.push((rr, 0.5 * (to - from) * weight * left / rr));
            }
        }
        pieces
    }
}

/// Nodes and weights of Gauss and Legendre on −1 to 1, by Newton's steps from Tricomi's guesses.
pub(super) fn gauss_legendre(n: usize) -> Vec<(f64, f64)> {
    (0..n)
        .map(|k| {
            let mut x = (PI * (k as f64 + 0.75) / (n as f64 + 0.5)).cos();
            let mut slope = 1.0;
            for _ in 0..20 {
                let (mut p, mut before) = (1.0, 0.0);
                for j in 0..n {
                    let j = j as f64;
                    (p, before) = (((2.0 * j + 1.0) * x * p - j * before) / (j + 1.0), p);
                }
                slope = n as f64 * (x * p - before) / (x * x - 1.0);
                let step = p / slope;
                x -= step;
                if step.abs() < 1e-16 {
                    break;
                }
            }
            (x, 2.0 / ((1.0 - x * x) * slope * slope))
        })
        .collect()
}
