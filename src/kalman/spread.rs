//! The principal root of an ensemble's covariance, by the singular values of its members.
//!
//! Belongs here: Gaussian draws with the spread of an ensemble, never d × d for fewer members than parameters.
//! Not here: what the draws are for.

use crate::numerics::columns;
use crate::numerics::linalg::{self, Svd};
use crate::numerics::{LinalgError, Mat};

/// `C = U diag(λ) Uᵀ`, the covariance of columns.
#[derive(Debug, Clone)]
pub struct Root {
    /// U, d × r with r = min(d, J)
    basis: Mat,
    /// λ, descending, r numbers
    lambda: Vec<f64>,
}

impl Root {
    /// The covariance of the columns of `u` (d × J) about their mean, divided by `divisor` (J or J − 1).
    ///
    /// # Errors
    /// `NotFinite`, `NoConvergence`.
    pub fn of(u: &Mat, divisor: f64) -> Result<Self, LinalgError> {
        let (x, _) = linalg::centred(u);
        let Svd { u: basis, s, .. } = linalg::thin_svd(&x)?;
        Ok(Self { basis, lambda: s.iter().map(|s| s * s / divisor).collect() })
    }

    /// Largest eigenvalue of C.
    pub fn most(&self) -> f64 {
        self.lambda.first().copied().unwrap_or(0.0)
    }

    /// Smallest eigenvalue of C: 0 where members span less than all parameters.
    pub fn least(&self) -> f64 {
        let spans = self.lambda.len() == self.basis.nrows();
        if spans { self.lambda.last().copied().unwrap_or(0.0) } else { 0.0 }
    }

    /// `(C + a I)^½ ξ = √a ξ + U (√(λ + a) − √a) Uᵀ ξ`, d × k, for `xi` = ξ of d × k and a ≥ 0 in the unit of C.
    pub fn times(&self, a: f64, xi: &Mat) -> Mat {
        let mut part = linalg::matmul_tn(&self.basis, xi); // r × k
        for k in 0..part.ncols() {
            for (x, l) in part.col_mut(k).iter_mut().zip(&self.lambda) {
                *x *= (l + a).sqrt() - a.sqrt();
            }
        }
        let mut drawn = linalg::matmul(&self.basis, &part); // d × k
        columns::add_scaled(drawn.data_mut(), a.sqrt(), xi.data());
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{apart, rough};

    #[test]
    fn the_root_is_that_of_the_dense_matrix() {
        for (d, members, a) in [(3, 20, 0.0), (6, 4, 0.1), (6, 4, 0.0)] {
            let (u, xi) = (rough(7, d, members), rough(8, d, 5));
            let root = Root::of(&u, members as f64).unwrap();
            let mut c = linalg::covariance(&u, members as f64);
            (0..d).for_each(|i| c[(i, i)] += a);
            let want = linalg::matmul(&linalg::symmetric_root(&c).unwrap(), &xi);
            // The root of a zero eigenvalue is known to √eps only
            assert!(apart(root.times(a, &xi).data(), want.data()) < 1e-7);
            assert_eq!(root.least() == 0.0, members < d);
        }
    }
}
