//! Gaussian random fields: an expansion in the principal functions of their covariance (Karhunen & Loève).
//!
//! `f(x) = m + Σᵢ √λᵢ ψᵢ(x) cᵢ` with q coefficients c ~ N(0, 1), which are what an algorithm sees; a model gets
//! f at the n points of a grid, each after the constraint of the block.
//! Belongs here: what a field is, its expansion, its record. Not here: the eigenproblem (`modes`), its grammar.

use serde::{Deserialize, Serialize};

use super::modes;
use crate::numerics::{LinalgError, Mat};

/// One axis of a grid: n ≥ 2 equally spaced points, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Axis {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) points: usize,
}

impl Axis {
    /// Distance of neighbours.
    pub(super) fn step(&self) -> f64 {
        (self.to - self.from) / (self.points as f64 - 1.0)
    }

    /// Length that belongs to each point: half a step at the ends (the trapezoid rule).
    pub(super) fn weight(&self, i: usize) -> f64 {
        let end = i == 0 || i + 1 == self.points;
        self.step() * if end { 0.5 } else { 1.0 }
    }
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Spec {
    /// Smoothness ν
    pub(super) nu: f64,
    /// Correlation length
    pub(super) length: f64,
    /// Standard deviation at a point, before the expansion is cut
    pub(super) std: f64,
    /// Mean at all points
    pub(super) mean: f64,
    /// One to three; the first runs fastest in the list of values
    pub(super) axes: Vec<Axis>,
    /// Terms q
    pub(super) terms: usize,
}

impl Spec {
    /// Points of the grid, n.
    pub(super) fn points(&self) -> usize {
        self.axes.iter().map(|axis| axis.points).product()
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let points: Vec<String> = self.axes.iter().map(|axis| axis.points.to_string()).collect();
        format!(
            "Matern({:?}, {:?}) on {} points, {} terms",
            self.nu,
            self.length,
            points.join(" × "),
            self.terms
        )
    }
}

/// A field with its functions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Field {
    pub(super) spec: Spec,
    /// λ, descending, in (unit of the field)² × (unit of length)^axes
    pub(super) lambda: Vec<f64>,
    /// √λᵢ ψᵢ, n × q, unit of the field
    functions: Mat,
}

impl Field {
    /// Work its functions out: seconds for ten thousand points.
    ///
    /// # Errors
    /// `NoConvergence`, `NotFinite` for lengths beyond all numbers.
    pub(super) fn new(spec: Spec) -> Result<Self, LinalgError> {
        let (lambda, mut functions) = modes::largest(&spec)?;
        for (k, lambda) in lambda.iter().enumerate() {
            functions.col_mut(k).iter_mut().for_each(|x| *x *= lambda.sqrt());
        }
        Ok(Self { spec, lambda, functions })
    }

    /// Coefficients, q.
    pub(super) fn terms(&self) -> usize {
        self.lambda.len()
    }

    /// n values of the field, before the constraint. Written as plain sums in a fixed order: equal bits on every host.
    pub(super) fn values(&self, c: &[f64]) -> Vec<f64> {
        let mut values = vec![self.spec.mean; self.functions.nrows()];
        for (k, c) in c.iter().enumerate() {
            values.iter_mut().zip(self.functions.col(k)).for_each(|(f, psi)| *f += psi * c);
        }
        values
    }

    /// Coefficients of the field nearest to n values in the mean square; exact for a field of this expansion.
    pub(super) fn coefficients(&self, values: &[f64]) -> Vec<f64> {
        let weights = modes::weights(&self.spec);
        let one = |k: usize| {
            let psi = self.functions.col(k).iter().zip(&weights);
            let along: f64 = psi.zip(values).map(|((psi, w), f)| w * psi * (f - self.spec.mean)).sum();
            // ∫ (√λ ψ)² = λ
            if self.lambda[k] > 0.0 { along / self.lambda[k] } else { 0.0 }
        };
        (0..self.terms()).map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::prior::matern::matern;

    fn spec(nu: f64, length: f64, axes: &[usize], terms: usize) -> Spec {
        let axes = axes.iter().map(|&points| Axis { from: 0.0, to: 1.0, points }).collect();
        Spec { nu, length, std: 1.0, mean: 0.0, axes, terms }
    }

    #[test]
    fn all_terms_together_have_the_trace_and_the_covariance_of_the_kernel() {
        for axes in [&[21][..], &[6, 5], &[3, 4, 3]] {
            let mut spec = spec(1.0, 0.3, axes, usize::MAX);
            spec.terms = spec.points();
            spec.std = 2.0;
            let field = Field::new(spec.clone()).unwrap();
            let volume: f64 = modes::weights(&spec).iter().sum();
            assert!((volume - 1.0).abs() < 1e-14);
            // Σ λ = ∫ k(x, x) = σ² × volume
            assert!((field.lambda.iter().sum::<f64>() - 4.0).abs() < 1e-12);
            let place = |i: usize| {
                let (mut rest, mut at) = (i, Vec::new());
                for axis in &spec.axes {
                    at.push((rest % axis.points) as f64 * axis.step());
                    rest /= axis.points;
                }
                at
            };
            for i in 0..spec.points() {
                for j in 0..spec.points() {
                    let r: f64 =
                        place(i).iter().zip(place(j)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                    let got: f64 =
                        (0..field.terms()).map(|k| field.functions[(i, k)] * field.functions[(j, k)]).sum();
                    assert!((got - 4.0 * matern(1.0, 0.3, r)).abs() < 1e-11, "{i} {j}");
                }
            }
        }
    }

    #[test]
    fn the_exponential_on_an_interval_has_its_known_eigenvalues() {
        // exp(−|x − y|/L) on an interval of length 1: λ = 2c/(ω² + c²), c = 1/L, with ω from
        // c = ω tan(ω/2) for even functions and ω = −c tan(ω/2) for odd ones (Ghanem & Spanos 1991, §2.3.3).
        let (length, terms) = (0.5, 6);
        let c = 1.0 / length;
        let field = Field::new(spec(0.5, length, &[1001], terms)).unwrap();
        let pi = std::f64::consts::PI;
        for k in 0..terms {
            let even = k % 2 == 0;
            let f = |w: f64| {
                if even {
                    c * (0.5 * w).cos() - w * (0.5 * w).sin()
                } else {
                    w * (0.5 * w).cos() + c * (0.5 * w).sin()
                }
            };
            let (mut low, mut high) = (k as f64 * pi + 1e-9, (k as f64 + 1.0) * pi);
            for _ in 0..200 {
                let middle = 0.5 * (low + high);
                if (f(low) > 0.0) == (f(middle) > 0.0) { low = middle } else { high = middle }
            }
            let want = 2.0 * c / (low * low + c * c);
            // The trapezoid rule at the kink of the kernel: error h² k''-like, 1e-6 × c² of the trace
            assert!((field.lambda[k] / want - 1.0).abs() < 2e-4, "{k}: {} {want}", field.lambda[k]);
        }
    }

    #[test]
    fn more_terms_bring_the_variance_nearer_to_the_kernels() {
        let variance = |terms: usize| {
            let field = Field::new(spec(1.0, 0.25, &[16, 16], terms)).unwrap();
            let n = field.functions.nrows();
            (0..n).map(|i| (0..terms).map(|k| field.functions[(i, k)].powi(2)).sum::<f64>()).sum::<f64>()
                / n as f64
        };
        let found: Vec<f64> = [5, 20, 80, 256].map(variance).to_vec();
        assert!(found.windows(2).all(|w| w[1] > w[0]) && found[1] > 0.75, "{found:?}");
        assert!((found[3] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn coefficients_come_back_from_the_values() {
        let mut spec = spec(1.5, 0.4, &[9, 7], 10);
        spec.mean = -3.0;
        let field = Field::new(spec).unwrap();
        let c: Vec<f64> = (0..10).map(|k| (1.7 * f64::from(k)).sin() * 2.0).collect();
        let back = field.coefficients(&field.values(&c));
        assert!(c.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-11), "{back:?}");
        assert_eq!(field.values(&[0.0; 10]), vec![-3.0; 63]);
    }
}
