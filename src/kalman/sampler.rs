//! Samplers: interacting Langevin diffusions whose members become a sample of the posterior as T → ∞.
//!
//! EKS: Garbuno-Inigo, Hoffmann, Li & Stuart (2020), SIAM J. Appl. Dyn. Syst. 19, 412–441, doi:10.1137/19M1251655.
//! ALDI: Garbuno-Inigo, Nüsken & Reich (2020), SIAM J. Appl. Dyn. Syst. 19, 1633–1658, doi:10.1137/19M1304891.
//! The prior is stepped implicitly, the data explicitly, as in EnsembleKalmanProcesses.jl 2.7.1.

use super::evidence::Evidence;
use super::spread::Root;
use crate::numerics::columns;
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};

/// The Gaussian prior of a sampler, with C₀ factored once.
#[derive(Debug)]
pub struct Gaussian<'a> {
    /// C₀, d × d
    c0: &'a Mat,
    /// C₀⁻¹ m, d
    weighted_mean: Vec<f64>,
}

impl<'a> Gaussian<'a> {
    /// N(m, C₀).
    ///
    /// # Errors
    /// `NotPositiveDefinite`, `NotFinite`.
    pub fn new(m: &[f64], c0: &'a Mat) -> Result<Self, LinalgError> {
        Ok(Self { c0, weighted_mean: Cholesky::new(c0)?.solve_vec(m) })
    }
}

/// `D = (g − ḡ)ᵀ Γ⁻¹ (g − y 1ᵀ)/J = (YᵀY − Yᵀr 1ᵀ)/J`, J × J: how the data pull each member along each other one.
pub fn drift(evidence: &Evidence) -> Mat {
    let n = evidence.members() as f64;
    let of = |s: &Mat, b: &[f64]| Mat::from_fn(b.len(), b.len(), |k, j| (s[(k, j)] - b[k]) / n);
    match evidence {
        Evidence::Gram { s, b } => of(s, b),
        Evidence::Whitened { y, r } => of(&linalg::gram(y), &linalg::matvec_t(y, r)),
    }
}

/// One step of the ensemble Kalman sampler: `u* + √(2Δt) C^½ ξ`, with u* of [`implicit`].
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J | unconstrained parameter space |
/// | Y, r | `evidence` | p × J, p (or their products) | 1: in units of the noise |
/// | Δt | `dt` | scalar, > 0 | 1 |
/// | m, C₀ | `prior` | d, d × d | unconstrained parameter space |
/// | ε | `nugget` | scalar, ≥ 0: on the diagonal of C | (unit of u)² |
/// | ξ | `xi` | d × J standard normals | 1 |
///
/// `C = (u − ū)(u − ū)ᵀ/J + ε I`; the root is the principal one. Linear G, Δt → 0: the members' law tends to the
/// posterior for J → ∞; for few members its covariance is too small by about (d + 1)/J, which ALDI mends.
///
/// # Errors
/// `NotFinite`, `NoConvergence`; `NotPositiveDefinite` only for overflow.
///
/// # Source
/// See the head of the file.
pub fn eks(
    u: &Mat,
    evidence: &Evidence,
    dt: f64,
    prior: &Gaussian<'_>,
    nugget: f64,
    xi: &Mat,
) -> Result<Mat, LinalgError> {
    let mut moved = implicit(u, evidence, dt, prior, nugget, 0.0)?;
    let jolt = Root::of(u, u.ncols() as f64)?.times(nugget, xi);
    columns::add_scaled(moved.data_mut(), (2.0 * dt).sqrt(), jolt.data());
    Ok(moved)
}

/// One step of affine-invariant interacting Langevin dynamics: `u* + √(2Δt/J) (u − ū) Ξ`.
///
/// Arguments as [`eks`], but `xi` is J × J: the noise stays in the span of the ensemble, no root is needed, and with
/// the drift (d + 1)/J (u − ū) the law of few members is right, too. J > d + 1 members are needed to reach everywhere.
///
/// # Errors
/// As [`eks`].
///
/// # Source
/// See the head of the file.
pub fn aldi(
    u: &Mat,
    evidence: &Evidence,
    dt: f64,
    prior: &Gaussian<'_>,
    nugget: f64,
    xi: &Mat,
) -> Result<Mat, LinalgError> {
    let (d, members) = (u.nrows() as f64, u.ncols() as f64);
    let mut moved = implicit(u, evidence, dt, prior, nugget, dt * (d + 1.0) / members)?;
    let jolt = linalg::matmul(&linalg::centred(u).0, xi); // d × J
    columns::add_scaled(moved.data_mut(), (2.0 * dt / members).sqrt(), jolt.data());
    Ok(moved)
}

/// u* of `(I + Δt C C₀⁻¹) u* = u − Δt (u − ū) D + Δt C C₀⁻¹ m 1ᵀ + outward (u − ū)`, solved as the symmetric system
/// `u* = C₀ (C₀ + Δt C)⁻¹ …`. p J² for D, d² J + d³ for the rest.
fn implicit(
    u: &Mat,
    evidence: &Evidence,
    dt: f64,
    prior: &Gaussian<'_>,
    nugget: f64,
    outward: f64,
) -> Result<Mat, LinalgError> {
    let (d, members) = (u.nrows(), u.ncols());
    assert_eq!(evidence.members(), members, "evidence speaks of these members");
    let (x, _) = linalg::centred(u); // d × J
    let mut c = linalg::covariance(u, members as f64); // d × d
    (0..d).for_each(|i| c[(i, i)] += nugget);
    let to_mean = linalg::matvec(&c, &prior.weighted_mean); // d
    let pull = linalg::matmul(&x, &drift(evidence)); // d × J
    let mut v = u.clone();
    columns::add_scaled(v.data_mut(), -dt, pull.data());
    columns::add_scaled(v.data_mut(), outward, x.data());
    (0..members).for_each(|j| columns::add_scaled(v.col_mut(j), dt, &to_mean));
    let mut sum = prior.c0.clone();
    columns::add_scaled(sum.data_mut(), dt, c.data());
    Cholesky::new(&sum)?.solve(&mut v);
    Ok(linalg::matmul(prior.c0, &v))
}
