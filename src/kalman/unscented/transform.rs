//! The unscented analysis in the space of its points: linear in the number of observations.
//!
//! The same mean and covariance as [`super::dense`] by the matrix-inversion lemma, from the products that all
//! methods share ([`crate::kalman::evidence`]): outputs about their weighted mean are combinations of outputs about
//! their plain one.
//! Huang, Huang, Reich & Stuart (2022), Inverse Problems 38, 125006, doi:10.1088/1361-6420/ac99fa.

use super::Analysis;
use super::sigma::{Weights, weighted_mean};
use crate::kalman::evidence::Evidence;
use crate::numerics::columns;
use crate::numerics::linalg;
use crate::numerics::{LinalgError, Mat};

/// Which points span the covariance, as `T` (n × k): `√wᵢ (eᵢ − w̄)`, so that `Y T` has columns `√wᵢ (gᵢ − ḡ_w)`.
///
/// A point that is the mean itself spans nothing: it has no column, and its weight, which may be negative, no root.
pub fn basis(weights: &Weights) -> Mat {
    let n = weights.mean.len();
    let spans = |&i: &usize| weights.mean[i] != 1.0 && weights.covariance[i] > 0.0;
    let who: Vec<usize> = (0..n).filter(spans).collect();
    Mat::from_fn(n, who.len(), |i, k| {
        let here = if i == who[k] { 1.0 } else { 0.0 };
        weights.covariance[who[k]].sqrt() * (here - weights.mean[i])
    })
}

/// Evidence of n points, `Y = W (g − ḡ)` (p × n) and `r = W (y − ḡ)` (p), about the weighted mean: `Y T` (p × k) and
/// `r − Y w̄`, for `t` = T of n × k and `mean` = w̄ of n weights; of products `TᵀYᵀY T` (k × k) and `Tᵀ(Yᵀr − YᵀY w̄)` (k).
pub fn about(evidence: &Evidence, t: &Mat, mean: &[f64]) -> Evidence {
    match evidence {
        Evidence::Gram { s, b } => {
            let st = linalg::matmul(s, t); // n × k
            let mut off = b.clone();
            columns::add_scaled(&mut off, -1.0, &linalg::matvec(s, mean));
            let b = linalg::matvec_t(t, &off);
            let product = linalg::matmul_tn(t, &st);
            let s = Mat::from_fn(b.len(), b.len(), |i, j| 0.5 * (product[(i, j)] + product[(j, i)]));
            Evidence::Gram { s, b }
        }
        Evidence::Whitened { y, r } => {
            let mut r = r.clone();
            columns::add_scaled(&mut r, -1.0, &linalg::matvec(y, mean));
            Evidence::Whitened { y: linalg::matmul(y, t), r }
        }
    }
}

/// Mean and covariance after the data: `x̄ + X (I + S)⁻¹ Δt/2 Yᵀr` and `X (I + S)⁻¹ Xᵀ`, `S = Δt/2 YᵀY`.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | x | `x` | d × n | unconstrained parameter space |
/// | w | `weights` | n | 1 |
/// | X = x T | `t` | n × k of [`basis`] | |
/// | Y, r | `evidence` | p × k, p (or their products), of [`about`]; a prior that is imposed is d rows more | 1 |
/// | Δt | `dt` | scalar, > 0 | 1 |
///
/// The covariance has no negative eigenvalue, however small the noise.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn analyse(
    x: &Mat,
    weights: &Weights,
    t: &Mat,
    evidence: &Evidence,
    dt: f64,
) -> Result<Analysis, LinalgError> {
    let spectrum = evidence.spectrum(dt / 2.0)?;
    let wide = linalg::matmul(&linalg::centred(x).0, t); // X, d × k: columns of T sum to zero, so any centre will do
    let xv = linalg::matmul(&wide, &spectrum.v); // d × r
    let w: Vec<f64> = spectrum.pull.iter().zip(&spectrum.lambda).map(|(pull, l)| pull / (1.0 + l)).collect();
    let mut mean = weighted_mean(x, &weights.mean);
    columns::add_scaled(&mut mean, 1.0, &linalg::matvec(&xv, &w));
    let kept: Vec<f64> = spectrum.lambda.iter().map(|l| 1.0 / (1.0 + l)).collect();
    let scaled = Mat::from_fn(xv.nrows(), xv.ncols(), |i, j| xv[(i, j)] * kept[j].sqrt());
    let mut covariance = linalg::gram(&scaled.transpose());
    if spectrum.lambda.len() < t.ncols() {
        // What the data do not see keeps its covariance: (X − X V Vᵀ)(…)ᵀ
        let mut rest = wide;
        columns::add_scaled(rest.data_mut(), -1.0, linalg::matmul_nt(&xv, &spectrum.v).data());
        columns::add_scaled(covariance.data_mut(), 1.0, linalg::gram(&rest.transpose()).data());
    }
    Ok(Analysis { mean, covariance })
}
