//! C_ug localised, C_gg left as it is and never formed: linear in the length of the data.
//!
//! Belongs here: one step by products of p × J and d × p. Not here: which covariances are kept.

use super::Plan;
use super::joint::correlated;
use crate::numerics::columns::{add_scaled, dot};
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};
use crate::problem::observation::Noise;

/// C_ug of centred parameters x (d × J) and outputs y (p × J), divisor J, with what the rule leaves: d × p.
pub(super) fn covariance(x: &Mat, y: &Mat, plan: &Plan, nugget: f64) -> Mat {
    let n = x.ncols();
    let mut ug = linalg::matmul_nt(x, y);
    ug.data_mut().iter_mut().for_each(|c| *c /= n as f64);
    match plan {
        Plan::Kernel(kernel, _) => {
            ug.data_mut().iter_mut().zip(kernel.data()).for_each(|(c, w)| *c *= w);
        }
        Plan::Correction(rule, _) => {
            let (su, sg) = (deviations(x, nugget), deviations(y, nugget));
            correlated(&mut ug, &su, &sg, |rho| rule.cross(rho, n));
        }
    }
    ug
}

/// Root of the variance of each row (divisor J, plus ε).
pub(super) fn deviations(x: &Mat, nugget: f64) -> Vec<f64> {
    let mut sums = vec![0.0; x.nrows()];
    for j in 0..x.ncols() {
        sums.iter_mut().zip(x.col(j)).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter().map(|sum| (sum / x.ncols() as f64 + nugget).sqrt()).collect()
}

/// `C_ug (C_gg + Γ/Δt)⁻¹ E` by the matrix-inversion lemma: `W = R⁻¹E − B A⁻¹ BᵀE` with `R = Γ/Δt`, `B = R⁻¹ Y/√J`,
/// `A = I + YᵀB/√J`.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | C_ug | `ug` | d × p | localised |
/// | Y | `y` | p × J | unit of the observation; centred outputs |
/// | E | `e` | p × J | the same; what is missing to the (perturbed) observation |
/// | Γ | `noise` | p × p | with Δt ε on its diagonal, where there is a nugget |
///
/// # Errors
/// `NotFinite`; `NotPositiveDefinite` for overflow.
pub(super) fn change(ug: &Mat, y: &Mat, e: &Mat, noise: &Noise, dt: f64) -> Result<Mat, LinalgError> {
    let n = y.ncols();
    let scale = dt / n as f64;
    let mut b = y.clone();
    noise.solve(&mut b); // Γ⁻¹ Y, p × J
    let mut a = Mat::from_fn(n, n, |i, j| if j <= i { scale * dot(y.col(i), b.col(j)) } else { 0.0 });
    (0..n).for_each(|i| a[(i, i)] += 1.0);
    let mut k = linalg::matmul_tn(&b, e); // J × J
    Cholesky::new(&a)?.solve(&mut k);
    let mut w = e.clone();
    noise.solve(&mut w);
    let back = linalg::matmul(&b, &k); // p × J
    add_scaled(w.data_mut(), -scale, back.data());
    w.data_mut().iter_mut().for_each(|w| *w *= dt);
    Ok(linalg::matmul(ug, &w))
}
