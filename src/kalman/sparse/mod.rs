//! Sparse ensemble Kalman inversion: a Kalman step, then the nearest point with a limited sum of magnitudes.
//!
//! Schneider, Stuart & Wu (2022), J. Comput. Phys. 470, 111559, doi:10.1016/j.jcp.2022.111559, with the
//! outputs eliminated from their quadratic programme: what remains has d unknowns.
//! Belongs here: options, and what is done to the members after the step. Not here: the programme (`path`).

mod path;

use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};

/// Options of the sparse method.
#[derive(Debug, Clone, PartialEq)]
pub struct Sparse {
    /// γ: most that the magnitudes of the limited parameters may sum to, unconstrained space, above 0
    pub limit: f64,
    /// Which parameters are limited; empty: all
    pub parameters: Vec<String>,
    /// Limited parameters no larger than this become 0 after the step
    pub threshold: f64,
    /// Variance of noise put on limited parameters after the step
    pub jitter: f64,
    /// Which noise the step weighs the data with
    pub scaling: Scaling,
}

/// Γ of the step and its programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Γ/Δt, as that of the perturbations: steps add up to the weight of the data
    Consistent,
    /// Γ, perturbed with Γ/Δt, as in EKP.jl; the same for Δt = 1
    Peer,
}

impl Default for Sparse {
    fn default() -> Self {
        Self {
            limit: f64::INFINITY,
            parameters: Vec::new(),
            threshold: 0.0,
            jitter: 0.0,
            scaling: Scaling::Consistent,
        }
    }
}

impl Sparse {
    /// The length of the step that the covariances see.
    pub(super) fn gain_step(&self, dt: f64) -> f64 {
        match self.scaling {
            Scaling::Consistent => dt,
            Scaling::Peer => 1.0,
        }
    }
}

/// Each member to the point nearest to it in the metric of Σ⁻¹ whose limited magnitudes sum to no more than γ; then
/// small ones to zero.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | a | `a` | d × J | unconstrained parameter space; members after the Kalman step |
/// | Σ | `sigma` | d × d | the same, squared; covariance after the step |
/// | I | `limited` | | rows that are limited |
///
/// A Σ that is singular (always so for J ≤ d without localisation) gets λ_max √eps on its diagonal, so that the limit
/// can be met.
///
/// # Errors
/// `NotFinite`; `NoConvergence`, also where the path to the limit is lost in rounding.
pub fn project(a: &Mat, mut sigma: Mat, limited: &[usize], options: &Sparse) -> Result<Mat, LinalgError> {
    let firm = Cholesky::new(&sigma).is_ok_and(|c| {
        c.least_pivot((0..sigma.nrows()).map(|i| sigma[(i, i)])) > f64::EPSILON * sigma.nrows() as f64
    });
    if !firm {
        let eigen = linalg::symmetric_eigen(&sigma)?;
        let most = eigen.values.last().copied().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        // A localised Σ may also be indefinite: what is negative is noise.
        let values: Vec<f64> = eigen.values.iter().map(|l| l.max(0.0) + most * f64::EPSILON.sqrt()).collect();
        let scaled = Mat::from_fn(a.nrows(), values.len(), |i, k| eigen.vectors[(i, k)] * values[k]);
        sigma = linalg::matmul_nt(&scaled, &eigen.vectors);
    }
    let mut moved = a.clone();
    for j in 0..a.ncols() {
        let x = path::nearest(a.col(j), &sigma, limited, options.limit)?;
        moved.col_mut(j).copy_from_slice(&x);
        for &i in limited {
            if moved[(i, j)].abs() <= options.threshold {
                moved[(i, j)] = 0.0;
            }
        }
    }
    Ok(moved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::eki;
    use crate::kalman::evidence::Keep;
    use crate::kalman::given::{apart, covariance, evidence, noise, rough};
    use crate::kalman::localise::Joint;
    use crate::kalman::survivors::posterior_covariance;
    use crate::numerics::fixture::Fixture;

    #[test]
    fn reference_values_are_met_by_products_and_by_the_dense_formula() {
        for case in Fixture::read("sparse").cases("*") {
            let inputs = &case.inputs;
            let (u, g, y) = (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"));
            let (dt, nugget) = (inputs.number("dt"), inputs.number("nugget"));
            let limited: Vec<usize> = inputs.vector("indices").iter().map(|&i| i as usize).collect();
            let options = Sparse {
                limit: inputs.number("l1_limit"),
                threshold: inputs.number("threshold"),
                scaling: Scaling::Peer,
                ..Sparse::default()
            };
            let gain_dt = options.gain_step(dt);
            // Products: the noise of the step is Γ, its perturbation that of Γ/Δt
            let gamma = noise(&[(covariance(inputs), y.len())]);
            let more = gamma.plus(nugget * gain_dt).unwrap();
            let mut e = eki::whitened_noise(&gamma, &more, inputs.matrix("xi")).unwrap();
            e.data_mut().iter_mut().for_each(|e| *e *= (gain_dt / dt).sqrt());
            let all = evidence(&g, &y, &more, Keep::Whitened);
            let a = eki::update(&u, &all, gain_dt, Some(&e)).unwrap();
            let sigma = posterior_covariance(&u, &all, gain_dt, nugget).unwrap();
            let got = project(&a, sigma.clone(), &limited, &options).unwrap();
            case.assert_near("u", got.data(), case.expected.matrix("u").data());
            // Dense
            let (x, centred) = (linalg::centred(&u).0, linalg::centred(&g).0);
            let mut xi = inputs.matrix("xi");
            gamma.root(&mut xi).unwrap();
            let off = Mat::from_fn(y.len(), u.ncols(), |i, j| y[i] - g[(i, j)] + xi[(i, j)] / dt.sqrt());
            let (change, dense) = Joint::new(&x, &centred, nugget).analysis(&gamma.to_dense(), &off).unwrap();
            let a = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] + change[(i, j)]);
            let got = project(&a, dense.clone(), &limited, &options).unwrap();
            case.assert_near("u", got.data(), case.expected.matrix("u").data());
            assert!(apart(sigma.data(), dense.data()) < 1e-6); // a nugget of 1e-8 against a spread of 0.1
        }
    }

    #[test]
    fn a_flat_covariance_does_not_keep_the_limit_from_being_met() {
        // Three members of six parameters: Σ has two directions, neither of which leads into the ball.
        let x = linalg::centred(&rough(1, 6, 3)).0;
        let options = Sparse { limit: 0.5, ..Sparse::default() };
        let a = rough(2, 6, 3);
        let all: Vec<usize> = (0..6).collect();
        let got = project(&a, linalg::matmul_nt(&x, &x), &all, &options).unwrap();
        for j in 0..3 {
            let sum: f64 = got.col(j).iter().map(|x| x.abs()).sum();
            assert!((sum - 0.5).abs() < 1e-9, "{sum}");
        }
    }
}
