//! Gauss-Newton Kalman inversion: each step solves the problem linearised by the whole ensemble, prior included.
//!
//! Chada, Chen & Sanz-Alonso (2021), Foundations of Data Science 3, 331–369, doi:10.3934/fods.2021011;
//! for reservoirs Chen & Oliver (2013), Comput. Geosci. 17, 689–703, doi:10.1007/s10596-013-9351-5.
//! With draws of variance 2 − Δt a stationary ensemble has the covariance of the linearised posterior for every Δt
//! (EKP.jl draws with 2, which is right for Δt → 0 and twice too much at Δt = 1): the members follow
//! `u ← (1 − Δt) u + Δt z` with Cov(z) = s C/Δt, which is stationary at s C/(2 − Δt).

use super::evidence::Evidence;
use crate::numerics::columns::add_scaled;
use crate::numerics::linalg::{self, Cholesky, Svd};
use crate::numerics::{LinalgError, Mat};

/// How large draws of prior and noise are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draws {
    /// Variances times (2 − Δt)/Δt
    Exact,
    /// Variances times 2/Δt, as in EKP.jl
    Peer,
}

impl Draws {
    /// s, where draws have variances times s/Δt.
    pub fn scale(self, dt: f64) -> f64 {
        match self {
            Self::Exact => 2.0 - dt,
            Self::Peer => 2.0,
        }
    }
}

/// The linearised model H in units of the noise, as far as a step needs it: nothing of the length of the data.
#[derive(Debug, Clone)]
pub struct Slope {
    /// Hᵀ Γ⁻¹ H, d × d
    pub f: Mat,
    /// Hᵀ Γ⁻¹ (yⱼ − gⱼ), d × J
    pub q: Mat,
}

impl Slope {
    /// `H = Y X⁺`, from a singular value decomposition of the centred parameters X: for J ≤ d it knows the members'
    /// span only. With a nugget ε it is `C_gu (C_uu + ε I)⁻¹`.
    ///
    /// | symbol | argument | shape | unit |
    /// |---|---|---|---|
    /// | u | `u` | d × J | unconstrained parameter space |
    /// | Y, r | `evidence` | p × J, p (or their products) | 1: in units of the noise |
    /// | E | `noise` | p × J or, for products, YᵀE (J × J) | 1; draws of the noise; none: not perturbed |
    /// | | `factor` | scalar | 1; E is multiplied by it |
    ///
    /// # Errors
    /// `NotFinite`; `NoConvergence`.
    pub fn new(
        u: &Mat,
        evidence: &Evidence,
        noise: Option<&Mat>,
        factor: f64,
        nugget: f64,
    ) -> Result<Self, LinalgError> {
        let n = u.ncols();
        let Svd { u: basis, s, v } = linalg::thin_svd(&linalg::centred(u).0)?;
        let least = u.nrows().max(n) as f64 * f64::EPSILON * s.first().copied().unwrap_or(0.0);
        let inverse = |s: f64| {
            if nugget > 0.0 {
                s / (s * s + n as f64 * nugget)
            } else if s > least {
                1.0 / s
            } else {
                0.0
            }
        };
        let scaled = Mat::from_fn(n, s.len(), |i, k| v[(i, k)] * inverse(s[k]));
        let t = linalg::matmul_nt(&scaled, &basis); // X⁺, J × d
        let drawn = |i: usize, j: usize| noise.map_or(0.0, |e| factor * e[(i, j)]);
        Ok(match evidence {
            Evidence::Gram { s, b } => {
                let off = Mat::from_fn(n, n, |i, j| b[i] - s[(i, j)] + drawn(i, j));
                Self { f: linalg::matmul_tn(&t, &linalg::matmul(s, &t)), q: linalg::matmul_tn(&t, &off) }
            }
            Evidence::Whitened { y, r } => {
                let h = linalg::matmul(y, &t); // p × d
                let off = Mat::from_fn(y.nrows(), n, |i, j| r[i] - y[(i, j)] + drawn(i, j));
                Self { f: linalg::gram(&h), q: linalg::matmul_tn(&h, &off) }
            }
        })
    }
}

/// One step: `(1 − Δt) uⱼ + Δt (mⱼ + K (yⱼ − gⱼ − H (mⱼ − uⱼ)))` with `K = (C₀⁻¹ + HᵀΓ⁻¹H)⁻¹ HᵀΓ⁻¹` and
/// `mⱼ = m + √(s C₀/Δt) ξⱼ`.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J | unconstrained parameter space |
/// | H, yⱼ − gⱼ | `slope` | d × d, d × J | |
/// | m, C₀ | `prior` | d, d × d | unconstrained parameter space |
/// | ξ | `xi` | d × J | standard normals |
/// | s | `scale` | scalar | 1, see [`Draws`] |
/// | Δt | `dt` | scalar, 0 to 1 | 1 |
///
/// # Errors
/// `NotPositiveDefinite` for C₀; `NotFinite`, `NoConvergence`.
///
/// # Source
/// See the head of the file. Solved as `L (I + Lᵀ F L)⁻¹ Lᵀ`, `C₀ = L Lᵀ`, so a vague prior does no harm.
pub fn blend(
    u: &Mat,
    slope: &Slope,
    prior: (&[f64], &Mat),
    xi: &Mat,
    scale: f64,
    dt: f64,
) -> Result<Mat, LinalgError> {
    let (d, n) = (u.nrows(), u.ncols());
    let (m, c0) = prior;
    let mut centre = linalg::matmul(&linalg::symmetric_root(c0)?, xi); // mⱼ, d × J
    centre.data_mut().iter_mut().for_each(|x| *x *= (scale / dt).sqrt());
    (0..n).for_each(|j| add_scaled(centre.col_mut(j), 1.0, m));
    let l = Cholesky::new(c0)?.factor();
    let mut a = linalg::matmul_tn(&l, &linalg::matmul(&slope.f, &l));
    (0..d).for_each(|i| a[(i, i)] += 1.0);
    let off = Mat::from_fn(d, n, |i, j| centre[(i, j)] - u[(i, j)]);
    let mut q = slope.q.clone();
    add_scaled(q.data_mut(), -1.0, linalg::matmul(&slope.f, &off).data());
    let mut k = linalg::matmul_tn(&l, &q);
    Cholesky::new(&a)?.solve(&mut k);
    let gained = linalg::matmul(&l, &k);
    Ok(Mat::from_fn(d, n, |i, j| (1.0 - dt) * u[(i, j)] + dt * (centre[(i, j)] + gained[(i, j)])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::eki::whitened_noise;
    use crate::kalman::evidence::Keep;
    use crate::kalman::given::{Linear, apart, covariance, evidence, noise, rough};
    use crate::numerics::fixture::Fixture;

    #[test]
    fn reference_values_are_met_in_both_forms() {
        for case in Fixture::read("gnki").cases("*") {
            let inputs = &case.inputs;
            let (u, g, y) = (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"));
            let (dt, nugget) = (inputs.number("dt"), inputs.number("nugget"));
            let gamma = noise(&[(covariance(inputs), y.len())]);
            let prior = (inputs.vector("prior_mean"), inputs.matrix("prior_cov"));
            let scale = Draws::Peer.scale(dt);
            for keep in [Keep::Gram, Keep::Whitened] {
                let evidence = evidence(&g, &y, &gamma, keep);
                let mut drawn = inputs
                    .has("xi_y")
                    .then(|| whitened_noise(&gamma, &gamma, inputs.matrix("xi_y")).unwrap());
                if let (Evidence::Gram { .. }, Some(e)) = (&evidence, &drawn) {
                    let Evidence::Whitened { y, .. } =
                        crate::kalman::given::evidence(&g, &y, &gamma, Keep::Whitened)
                    else {
                        panic!()
                    };
                    drawn = Some(linalg::matmul_tn(&y, e));
                }
                let slope = Slope::new(&u, &evidence, drawn.as_ref(), (scale / dt).sqrt(), nugget).unwrap();
                let got = blend(&u, &slope, (&prior.0, &prior.1), &inputs.matrix("xi_m"), scale, dt).unwrap();
                case.assert_near("u", got.data(), case.expected.matrix("u").data());
            }
        }
    }

    #[test]
    fn one_whole_step_without_draws_lands_every_member_on_the_maximum() {
        for (d, p, members) in [(3, 7, 8), (4, 2, 12)] {
            let linear = Linear::new(1, d, p);
            let root = rough(4, d, d);
            let mut c0 = linalg::matmul_nt(&root, &root);
            (0..d).for_each(|i| c0[(i, i)] += 0.3);
            let m: Vec<f64> = rough(5, d, 1).data().to_vec();
            let mut u = rough(6, d, members);
            u.data_mut().iter_mut().for_each(|x| *x = 4.0 * *x - 3.0);
            let g = linalg::matmul(&linear.h, &u);
            let (mean, _) = linear.posterior(&m, &c0);
            for keep in [Keep::Gram, Keep::Whitened] {
                let slope =
                    Slope::new(&u, &evidence(&g, &linear.y, &linear.noise(), keep), None, 0.0, 0.0).unwrap();
                let got = blend(&u, &slope, (&m, &c0), &Mat::zeros(d, members), 0.0, 1.0).unwrap();
                // Round-off of two ways to the same numbers, H from singular values spread over 10
                (0..members).for_each(|j| assert!(apart(got.col(j), &mean) < 1e-10));
            }
        }
    }

    #[test]
    fn a_stationary_ensemble_is_the_posterior_whatever_the_step() {
        let (d, p, members) = (2, 3, 40_000);
        let linear = Linear::new(10, d, p);
        let (m, c0) = (vec![0.5, -1.0], Mat::from_columns(2, 2, vec![1.0, 0.3, 0.3, 0.5]));
        let (mean, cov) = linear.posterior(&m, &c0);
        for (draws, dt, excess) in [
            (Draws::Exact, 1.0, 1.0),
            (Draws::Exact, 0.4, 1.0),
            (Draws::Peer, 1.0, 2.0),
            (Draws::Peer, 0.5, 2.0 / 1.5),
        ] {
            let mut u = rough(11, d, members);
            for n in 0..if dt == 1.0 { 1 } else { 30 } {
                let g = linalg::matmul(&linear.h, &u);
                // H itself: products of this many members would be slow
                let mut h = linear.h.clone();
                linear.noise().whiten(&mut h);
                let mut off = Mat::from_fn(p, members, |i, j| linear.y[i] - g[(i, j)]);
                linear.noise().whiten(&mut off);
                add_scaled(off.data_mut(), (draws.scale(dt) / dt).sqrt(), rough(100 + n, p, members).data());
                let slope = Slope { f: linalg::gram(&h), q: linalg::matmul_tn(&h, &off) };
                u = blend(&u, &slope, (&m, &c0), &rough(200 + n, d, members), draws.scale(dt), dt).unwrap();
            }
            let got = linalg::covariance(&u, members as f64);
            let want: Vec<f64> = cov.data().iter().map(|c| c * excess).collect();
            // 4 standard errors: √(2/J) = 0.007 of a variance
            assert!(apart(got.data(), &want) < 0.03, "{draws:?} {dt}: {:?} {want:?}", got.data());
            assert!(apart(&u.mean(), &mean) < 0.04);
        }
    }

    #[test]
    fn fewer_members_than_parameters_give_numbers_and_the_rest_comes_from_the_prior() {
        let linear = Linear::new(20, 6, 4);
        let u = rough(21, 6, 4);
        let g = linalg::matmul(&linear.h, &u);
        let slope =
            Slope::new(&u, &evidence(&g, &linear.y, &linear.noise(), Keep::Gram), None, 0.0, 0.0).unwrap();
        let moved = blend(&u, &slope, (&[0.0; 6], &Mat::identity(6)), &Mat::zeros(6, 4), 0.0, 1.0).unwrap();
        // Across the span nothing was learnt: that part of u is gone, the prior's mean stands there.
        let Svd { u: basis, .. } = linalg::thin_svd(&linalg::centred(&u).0.select_cols(&[0, 1, 2])).unwrap();
        let inside = linalg::matmul(&basis, &linalg::matmul_tn(&basis, &moved));
        assert!(apart(inside.data(), moved.data()) < 1e-12);
    }
}
