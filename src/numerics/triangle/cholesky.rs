//! A symmetric matrix as the product of a triangle and its transpose.
//!
//! Belongs here: the factor and what it is asked for. Not here: the loops (`factor`, `solve`).

use serde::{Deserialize, Serialize};

use super::{Triangle, factor, solve};
use crate::numerics::columns::is_finite;
use crate::numerics::{LinalgError, Mat};

/// A = L Lᵀ.
///
/// # Source
/// Golub & Van Loan (2013), Matrix Computations, §4.2.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cholesky {
    l: Triangle,
}

impl Cholesky {
    /// Factor a symmetric matrix, n × n (only its lower triangle is read).
    ///
    /// # Errors
    /// `NotFinite`; `NotPositiveDefinite`.
    pub fn new(a: &Mat) -> Result<Self, LinalgError> {
        Self::in_place(Triangle::packed(a), || (0..a.ncols()).all(|j| is_finite(&a.col(j)[j..])))
    }

    /// Factor a symmetric matrix that is a triangle already.
    ///
    /// # Errors
    /// `NotFinite`; `NotPositiveDefinite`.
    pub fn of(a: &Triangle) -> Result<Self, LinalgError> {
        Self::in_place(a.clone(), || a.rows.iter().all(|row| is_finite(&row.0)))
    }

    /// NaN or infinity in a row leaves it without a pivot: the matrix is looked through only then.
    fn in_place(mut l: Triangle, finite: impl FnOnce() -> bool) -> Result<Self, LinalgError> {
        match factor::factor(&mut l) {
            Some(()) => Ok(Self { l }),
            None if finite() => Err(LinalgError::NotPositiveDefinite),
            None => Err(LinalgError::NotFinite),
        }
    }

    /// L, n × n, with zeros above the diagonal.
    pub fn factor(&self) -> Mat {
        self.l.lower()
    }

    /// Smallest Lᵢᵢ²/Aᵢᵢ: the share of a row that the rows above leave unexplained, 1 for a diagonal matrix;
    /// `diagonal` is that of the matrix that was factored. Below a few rounding errors it is singular to working
    /// precision, whatever its units.
    pub fn least_pivot(&self, diagonal: impl Iterator<Item = f64>) -> f64 {
        self.l.diagonal().zip(diagonal).map(|(l, a)| l * l / a).fold(1.0, f64::min)
    }

    /// B ← A⁻¹ B, n × k.
    pub fn solve(&self, b: &mut Mat) {
        solve::with(&self.l, b, solve::Side::Both);
    }

    /// B ← L⁻¹ B, n × k, so that (L⁻¹B)ᵀ(L⁻¹B) = Bᵀ A⁻¹ B.
    pub fn half_solve(&self, b: &mut Mat) {
        solve::with(&self.l, b, solve::Side::Lower);
    }

    /// A⁻¹ b, n numbers.
    pub fn solve_vec(&self, b: &[f64]) -> Vec<f64> {
        let mut x = Mat::from_columns(b.len(), 1, b.to_vec());
        self.solve(&mut x);
        x.into_data()
    }
}
