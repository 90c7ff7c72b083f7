//! Eigenvalues of what members say about the data: `YᵀY`, times a scale.
//!
//! Belongs here: which decomposition serves which form of the evidence. Not here: the decompositions, the steps.

use super::evidence::Evidence;
use crate::numerics::linalg::{self, Svd};
use crate::numerics::tridiagonal::Tridiagonal;
use crate::numerics::{LinalgError, Mat};

/// `scale · YᵀY = V diag(λ) Vᵀ`.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// V, J × r
    pub v: Mat,
    /// λ ≥ 0, r numbers
    pub lambda: Vec<f64>,
    /// `scale · Vᵀ Yᵀ r`, r numbers
    pub pull: Vec<f64>,
}

/// The same without eigenvectors, in no order.
#[derive(Debug, Clone)]
pub struct Values {
    /// λ ≥ 0, r numbers
    pub lambda: Vec<f64>,
    /// `scale · Vᵀ Yᵀ r`, r numbers
    pub pull: Vec<f64>,
}

impl Values {
    /// Of `scale · A` and a vector along its eigenvectors.
    ///
    /// # Errors
    /// `NoConvergence`.
    pub fn of_form(form: &Tridiagonal, scale: f64, pull: &[f64]) -> Result<Self, LinalgError> {
        let (mut lambda, pull) = form.values_and_parts(pull)?;
        lambda.iter_mut().for_each(|l| *l = scale * l.max(0.0));
        Ok(Self { lambda, pull })
    }
}

impl Evidence {
    /// [`Spectrum`] without eigenvectors.
    ///
    /// # Errors
    /// `NotFinite`, `NoConvergence`.
    pub fn values(&self, scale: f64) -> Result<Values, LinalgError> {
        if let Self::Gram { s, b } = self
            && let Some(form) = Tridiagonal::new(s)?
        {
            let pull: Vec<f64> = b.iter().map(|b| scale * b).collect();
            return Values::of_form(&form, scale, &pull);
        }
        let Spectrum { lambda, pull, .. } = self.spectrum(scale)?;
        Ok(Values { lambda, pull })
    }

    /// Eigenvalues of `scale · YᵀY`, those that rounding made negative cut at 0.
    ///
    /// # Errors
    /// `NotFinite`, `NoConvergence`.
    pub fn spectrum(&self, scale: f64) -> Result<Spectrum, LinalgError> {
        match self {
            Self::Gram { s, b } => {
                let eigen = linalg::symmetric_eigen(s)?;
                let lambda = eigen.values.iter().map(|l| scale * l.max(0.0)).collect();
                let pull = linalg::matvec_t(&eigen.vectors, b).iter().map(|x| scale * x).collect();
                Ok(Spectrum { v: eigen.vectors, lambda, pull })
            }
            Self::Whitened { y, r } => {
                let Svd { u, s, v } = linalg::thin_svd(y)?;
                let lambda = s.iter().map(|s| scale * s * s).collect();
                let pull = linalg::matvec_t(&u, r).iter().zip(&s).map(|(x, s)| scale * s * x).collect();
                Ok(Spectrum { v, lambda, pull })
            }
        }
    }
}
