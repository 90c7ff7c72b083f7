//! The unscented analysis in its dense form, p × p, as it stands in the paper.
//!
//! Huang, Schneider & Stuart (2022), J. Comput. Phys. 463, 111262, doi:10.1016/j.jcp.2022.111262. Slow twin of
//! [`super::transform`]; needed where the covariance of outputs itself is to be changed: by a nugget, or by weights
//! of the centre that are negative.

use super::sigma::{Weights, weighted_mean};
use super::{Analysis, Imposed};
use crate::numerics::columns;
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};
use crate::problem::observation::Noise;

/// Mean and covariance after the data: `x̄ + K (y − ḡ)` and `C_xx − K C_xgᵀ`, `K = C_xg (C_gg + 2Γ/Δt)⁻¹`.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | x | `x` | d × n | unconstrained parameter space |
/// | g | `g` | p × n | unit of the observation |
/// | y, Γ | `y`, `noise` | p, p × p | unit of the observation, and its square |
/// | w | `weights` | n | 1 |
/// | Δt | `dt` | scalar, > 0 | 1 |
/// | ε | `nugget` | scalar, ≥ 0: on the diagonals of C_xx and C_gg | both units² |
///
/// With the prior imposed, `[g; x]` answers `[y; m]` with noise `blockdiag(2Γ, θ C₀)/Δt`. Memory (p + d)², time (p + d)³.
///
/// # Errors
/// `NotPositiveDefinite` when negative weights leave no covariance; `NotFinite`.
pub fn analyse(
    x: &Mat,
    g: &Mat,
    (y, noise): (&[f64], &Noise),
    weights: &Weights,
    dt: f64,
    imposed: Option<&Imposed>,
    nugget: f64,
) -> Result<Analysis, LinalgError> {
    let (d, p) = (x.nrows(), g.nrows());
    let about = |a: &Mat| {
        let mean = weighted_mean(a, &weights.mean);
        (Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] - mean[i]), mean)
    };
    let ((dx, x_mean), (dg, g_mean)) = (about(x), about(g));
    let weighted = |a: &Mat| Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] * weights.covariance[j]);
    let (wx, wg) = (weighted(&dx), weighted(&dg));
    let mut c_xx = linalg::matmul_nt(&wx, &dx); // d × d
    (0..d).for_each(|i| c_xx[(i, i)] += nugget);
    let c_gx = linalg::matmul_nt(&wg, &dx); // p × d
    let mut root = Mat::identity(p);
    noise.root(&mut root)?;
    let mut c_gg = linalg::matmul_nt(&wg, &dg); // p × p
    columns::add_scaled(c_gg.data_mut(), 2.0 / dt, linalg::matmul_nt(&root, &root).data());
    (0..p).for_each(|i| c_gg[(i, i)] += nugget);

    let mut off: Vec<f64> = y.iter().zip(&g_mean).map(|(y, g)| y - g).collect();
    let (mut joint, mut cross) = (c_gg, c_gx); // M and Nᵀ
    if let Some(Imposed { mean, covariance, theta }) = imposed {
        let entry = |i: usize, j: usize| match (i < p, j < p) {
            (true, true) => joint[(i, j)],
            (true, false) => cross[(i, j - p)],
            (false, true) => cross[(j, i - p)],
            (false, false) => c_xx[(i - p, j - p)] + theta / dt * covariance[(i - p, j - p)],
        };
        joint = Mat::from_fn(p + d, p + d, entry);
        cross = Mat::from_fn(p + d, d, |i, j| if i < p { cross[(i, j)] } else { c_xx[(i - p, j)] });
        off.extend(mean.iter().zip(&x_mean).map(|(m, x)| m - x));
    }
    // M = L Lᵀ: K (y − ḡ) = (L⁻¹ Nᵀ)ᵀ L⁻¹ (y − ḡ), K N ᵀ = (L⁻¹ Nᵀ)ᵀ (L⁻¹ Nᵀ)
    let factor = Cholesky::new(&joint)?;
    let mut off = Mat::from_columns(off.len(), 1, off);
    factor.half_solve(&mut cross);
    factor.half_solve(&mut off);
    let shift = linalg::matvec_t(&cross, off.data());
    let mut mean = x_mean;
    columns::add_scaled(&mut mean, 1.0, &shift);
    let mut covariance = c_xx;
    columns::add_scaled(covariance.data_mut(), -1.0, linalg::gram(&cross).data());
    Ok(Analysis { mean, covariance })
}
