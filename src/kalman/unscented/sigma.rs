//! Sigma points: the few places at which a model stands for a Gaussian, and their weights.
//!
//! Belongs here: where points lie, what each weighs, and what the rest weigh when some failed.
//! Not here: what is made of the model's outputs.
//!
//! # Source
//! Symmetric points: Julier & Uhlmann (2004), Proc. IEEE 92, 401–422, doi:10.1109/JPROC.2003.823141; with the modified
//! weights of Huang, Schneider & Stuart (2022), J. Comput. Phys. 463, 111262, doi:10.1016/j.jcp.2022.111262.
//! Simplex points: Julier (2003), Proc. American Control Conf., 2429–2434, doi:10.1109/ACC.2003.1243439.

use crate::numerics::Mat;
use crate::numerics::linalg;
use crate::problem::AlgorithmError;

/// Which points stand for a Gaussian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Points {
    /// The centre, and one point on each side along d axes: 2d + 1
    Symmetric,
    /// The centre, and the corners of a simplex: d + 2
    Simplex,
}

impl Points {
    /// How many points d parameters need: the ensemble size.
    pub fn count(self, d: usize) -> usize {
        match self {
            Self::Symmetric => 2 * d + 1,
            Self::Simplex => d + 2,
        }
    }
}

/// Points of N(0, I) in d dimensions and their weights; point 0 is the centre.
#[derive(Debug, Clone)]
pub struct Scheme {
    /// d × n
    offsets: Mat,
    /// Weights of the mean, n numbers, sum 1
    mean: Vec<f64>,
    /// Weights of the covariance, n numbers
    covariance: Vec<f64>,
    /// The mean is the centre's value
    modified: bool,
}

/// Weights of those points whose model succeeded, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// Of the mean, sum 1
    pub mean: Vec<f64>,
    /// Of the covariance about that mean
    pub covariance: Vec<f64>,
}

impl Weights {
    /// Whether the transform form can hold these weights: it needs roots of them, and the centre's may be negative.
    /// A centre that is the mean itself spans nothing, whatever its weight.
    pub fn has_roots(&self) -> bool {
        self.mean.iter().zip(&self.covariance).all(|(mean, weight)| *mean == 1.0 || *weight >= 0.0)
    }
}

impl Scheme {
    /// Points and weights for d parameters.
    ///
    /// Symmetric, with κ = min(4, d): offsets ±√κ along each axis, which weigh 1/(2κ); the centre weighs
    /// (κ − d)/κ in the mean and (κ − d)/κ + 3 − κ/d in the covariance.
    /// Simplex, with s = d/(4(d + 1)): corners weigh s in the covariance and 1/(d + 1) in the mean, the centre nothing.
    /// With `modified` the mean is the value at the centre, so that the centre drops out of covariances.
    pub fn new(points: Points, modified: bool, d: usize) -> Self {
        let (n, dim) = (points.count(d), d as f64);
        let (offsets, mut mean, covariance) = match points {
            Points::Symmetric => {
                let kappa = dim.min(4.0);
                let side = kappa.sqrt();
                let offsets = Mat::from_fn(d, n, |i, j| match j {
                    _ if j == i + 1 => side,
                    _ if j == i + 1 + d => -side,
                    _ => 0.0,
                });
                let mut mean = vec![1.0 / (2.0 * kappa); n];
                let mut covariance = mean.clone();
                mean[0] = (kappa - dim) / kappa;
                covariance[0] = mean[0] + 3.0 - kappa / dim;
                (offsets, mean, covariance)
            }
            Points::Simplex => {
                let s = dim / (4.0 * (dim + 1.0));
                let offsets = Mat::from_fn(d, n, |row, j| {
                    // Row i (from 1) of column j (from 1): the centre is column 0
                    let i = row as f64 + 1.0;
                    let size = 1.0 / (s * i * (i + 1.0)).sqrt();
                    match j {
                        0 => 0.0,
                        // The first row has the other sign in the literature and in EKP.jl
                        _ if row == 0 && j == 1 => -size,
                        _ if row == 0 && j == 2 => size,
                        _ if row == 0 => 0.0,
                        _ if j <= row + 1 => size,
                        _ if j == row + 2 => -i * size,
                        _ => 0.0,
                    }
                });
                let (mut mean, mut covariance) = (vec![1.0 / (dim + 1.0); n], vec![s; n]);
                (mean[0], covariance[0]) = (0.0, 0.0);
                (offsets, mean, covariance)
            }
        };
        if modified {
            mean.fill(0.0);
            mean[0] = 1.0;
        }
        Self { offsets, mean, covariance, modified }
    }

    /// The points of N(a, L Lᵀ), d × n.
    pub fn place(&self, a: &[f64], l: &Mat) -> Mat {
        let mut points = linalg::matmul(l, &self.offsets);
        for j in 0..points.ncols() {
            points.col_mut(j).iter_mut().zip(a).for_each(|(x, a)| *x += a);
        }
        points
    }

    /// Weights of the survivors (ascending indices of points).
    ///
    /// In the mean they are scaled to the sum 1, or all weigh the same when the modified mean has lost its centre;
    /// in the covariance those off the centre are scaled so that together they weigh what all did.
    ///
    /// # Errors
    /// `TooFewMembers` when what is left cannot be scaled: nobody off the centre, or weights that cancel.
    pub fn surviving(&self, survivors: &[usize]) -> Result<Weights, AlgorithmError> {
        let lost = AlgorithmError::TooFewMembers { found: survivors.len(), total: self.mean.len() };
        let pick = |weights: &[f64]| survivors.iter().map(|&i| weights[i]).collect::<Vec<f64>>();
        let off: f64 = survivors.iter().filter(|&&i| i > 0).map(|&i| self.covariance[i]).sum();
        let all: f64 = self.covariance[1..].iter().sum();
        if off <= 0.0 {
            return Err(lost);
        }
        let mut covariance = pick(&self.covariance);
        for (w, &i) in covariance.iter_mut().zip(survivors) {
            if i > 0 && off != all {
                *w *= all / off;
            }
        }
        let mean = if self.modified && survivors[0] != 0 {
            vec![1.0 / survivors.len() as f64; survivors.len()]
        } else {
            let mut mean = pick(&self.mean);
            let sum: f64 = mean.iter().sum();
            // Unmodified weights of the centre are negative for d > 4: a sum near zero means nothing.
            if sum < 1e-3 {
                return Err(lost);
            }
            if survivors.len() < self.mean.len() {
                mean.iter_mut().for_each(|w| *w /= sum);
            }
            mean
        };
        Ok(Weights { mean, covariance })
    }
}

/// A weighted mean of columns: `g w`, p numbers, for `g` of p × n and n weights.
pub fn weighted_mean(g: &Mat, weights: &[f64]) -> Vec<f64> {
    linalg::matvec(g, weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::apart;

    #[test]
    fn points_have_the_mean_and_covariance_they_stand_for() {
        for d in [1, 2, 5, 20] {
            for points in [Points::Symmetric, Points::Simplex] {
                for modified in [true, false] {
                    let scheme = Scheme::new(points, modified, d);
                    let n = points.count(d);
                    let all = scheme.surviving(&(0..n).collect::<Vec<_>>()).unwrap();
                    let x = scheme.place(&vec![0.0; d], &Mat::identity(d));
                    let mean = weighted_mean(&x, &all.mean);
                    assert!(mean.iter().all(|m| m.abs() < 1e-12)); // round-off of 2d terms
                    let scaled = Mat::from_fn(d, n, |i, j| x[(i, j)] * all.covariance[j]);
                    let cov = linalg::matmul_nt(&scaled, &x);
                    assert!(apart(cov.data(), Mat::identity(d).data()) < 1e-12, "{points:?} {d}");
                    assert!((all.mean.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn what_survives_weighs_together_what_all_did() {
        let scheme = Scheme::new(Points::Symmetric, true, 2);
        let off = scheme.surviving(&[0, 1, 3, 4]).unwrap();
        assert_eq!(off.mean, [1.0, 0.0, 0.0, 0.0]);
        assert!((off.covariance[1..].iter().sum::<f64>() - 1.0).abs() < 1e-15);
        let centre = scheme.surviving(&[1, 2, 4]).unwrap();
        assert_eq!(centre.mean, [1.0 / 3.0; 3]);
        assert!((centre.covariance.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        assert!(matches!(scheme.surviving(&[0]), Err(AlgorithmError::TooFewMembers { found: 1, total: 5 })));
        // Far from the centre's negative weight: with d = 20 half of the points cannot make a mean.
        let many = Scheme::new(Points::Symmetric, false, 20);
        assert!(many.surviving(&(0..21).collect::<Vec<_>>()).is_err());
        let all: Vec<usize> = (0..41).collect();
        assert!(!many.surviving(&all).unwrap().has_roots());
        assert!(Scheme::new(Points::Symmetric, true, 20).surviving(&all).unwrap().has_roots());
    }
}
