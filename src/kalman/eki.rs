//! Ensemble Kalman inversion, with perturbed observations or without.
//!
//! Iglesias, Law & Stuart (2013), Inverse Problems 29, 045001, doi:10.1088/0266-5611/29/4/045001;
//! perturbations as Schillings & Stuart (2017), SIAM J. Numer. Anal. 55, 1264–1290, eqs. (4)–(5),
//! doi:10.1137/16M105959X; the ensemble-space form is the matrix-inversion lemma, as in
//! Evensen (2004), Ocean Dynamics 54, 539–560, doi:10.1007/s10236-004-0099-2.

use std::borrow::Cow;

use super::evidence::Evidence;
use crate::numerics::columns;
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};
use crate::problem::observation::Noise;

/// One step of ensemble Kalman inversion: `u + C_ug (C_gg + Γ/Δt)⁻¹ (y + √(Γ/Δt) ξⱼ − gⱼ)`.
///
/// Covariances are normalised by J, as in EKP.jl. In ensemble space, with `s = Δt/J`:
/// `u + (u − ū) (I + s YᵀY)⁻¹ s (Yᵀr 1ᵀ − YᵀY + Yᵀ E/√Δt)`.
/// With perturbation, linear G, ΣΔt = 1 and J → ∞ the ensemble is the posterior; without it the mean follows
/// nearly the same path, but the spread falls far below the posterior's.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J; one that is given away is overwritten | unconstrained parameter space |
/// | Y, r | `evidence` | p × J, p (or their products) | 1: in units of the noise |
/// | Δt | `dt` | scalar, > 0 | 1 |
/// | E | `noise` | `Whitened`: E = W Γ^½ Ξ, p × J | 1; none: not perturbed |
/// | YᵀE | `noise` | `Gram`: J × J | 1; see [`noise_in_ensemble_space`] |
///
/// # Errors
/// `NotFinite` for outputs that are not finite; `NoConvergence`; `NotPositiveDefinite` does not occur but for overflow.
///
/// # Source
/// See the head of the file.
pub fn update<'a>(
    u: impl Into<Cow<'a, Mat>>,
    evidence: &Evidence,
    dt: f64,
    noise: Option<&Mat>,
) -> Result<Mat, LinalgError> {
    let u = u.into();
    let members = u.ncols();
    assert_eq!(evidence.members(), members, "evidence speaks of these members");
    let scale = dt / members as f64;
    let root_dt = dt.sqrt();
    let change = match evidence {
        Evidence::Gram { s, b } => {
            let mut a = s.clone();
            a.data_mut().iter_mut().for_each(|x| *x *= scale);
            let mut k = Mat::from_fn(members, members, |i, j| {
                scale * (b[i] - s[(i, j)] + noise.map_or(0.0, |n| n[(i, j)] / root_dt))
            });
            (0..members).for_each(|j| a[(j, j)] += 1.0);
            Cholesky::new(&a)?.solve(&mut k); // J × J
            // u + (u − ū) K as weights of old members in new ones
            linalg::with_column_sums(&mut k, 0.0);
            (0..members).for_each(|j| k[(j, j)] += 1.0);
            return Ok(linalg::reweight(u, &k));
        }
        Evidence::Whitened { y, .. } => {
            let (x, _) = linalg::centred(&u); // d × J
            let spectrum = evidence.spectrum(scale)?;
            let yv = linalg::matmul(y, &spectrum.v); // p × r
            let ve = noise.map(|e| linalg::matmul_tn(&yv, e)); // r × J
            let k = Mat::from_fn(spectrum.lambda.len(), members, |i, j| {
                let l = spectrum.lambda[i];
                let drawn = ve.as_ref().map_or(0.0, |ve| scale * ve[(i, j)] / root_dt);
                (spectrum.pull[i] - l * spectrum.v[(j, i)] + drawn) / (1.0 + l)
            });
            linalg::matmul(&linalg::matmul(&x, &spectrum.v), &k) // d × J
        }
    };
    let mut moved = u.into_owned();
    columns::add_scaled(moved.data_mut(), 1.0, change.data());
    Ok(moved)
}

/// `Yᵀ E` for standard normal E (p × J), drawn without E: its columns are N(0, YᵀY), so `L Z` has their law where
/// `L Lᵀ = YᵀY`.
///
/// Saves p × J normal numbers. `z` is J × J, one column of standard normals per member. The products of centred
/// outputs are singular, at least along 1, which no step sees: L is the Cholesky factor of `YᵀY + δ I`, δ of the size
/// of the products' own rounding. Where that is not enough, L is the principal root, for forty times as long.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn noise_in_ensemble_space(s: &Mat, z: &Mat) -> Result<Mat, LinalgError> {
    let n = s.ncols();
    let most = (0..n).map(|j| s[(j, j)]).fold(f64::MIN_POSITIVE, f64::max);
    let mut lifted = s.clone();
    // n sums, each rounded to eps of the largest product, a few times
    (0..n).for_each(|j| lifted[(j, j)] += 8.0 * n as f64 * f64::EPSILON * most);
    match Cholesky::new(&lifted) {
        Ok(cholesky) => Ok(linalg::matmul(&cholesky.factor(), z)),
        Err(LinalgError::NotPositiveDefinite) => Ok(linalg::matmul(&linalg::symmetric_root(s)?, z)),
        Err(error) => Err(error),
    }
}

/// `W Γ^½ Ξ`: standard normals Ξ (p × J) become draws of the noise Γ by its principal root, and then are whitened
/// as the evidence was (by Γ itself, or by Γ with a nugget).
///
/// # Errors
/// `NoConvergence` of a dense block's root.
pub fn whitened_noise(gamma: &Noise, whitened_by: &Noise, mut xi: Mat) -> Result<Mat, LinalgError> {
    gamma.root(&mut xi)?;
    whitened_by.whiten(&mut xi);
    Ok(xi)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::evidence::Keep;
    use crate::kalman::given::{Linear, apart, covariance, evidence, noise, rough};
    use crate::numerics::fixture::Fixture;
    use crate::problem::observation::Covariance;

    /// The slow twin: the dense formula, p × p, as it stands in the paper.
    fn dense(u: &Mat, g: &Mat, targets: &Mat, gamma: &Mat, dt: f64, nugget: f64) -> Mat {
        let members = u.ncols() as f64;
        let (du, dg) = (linalg::centred(u).0, linalg::centred(g).0);
        let mut c_ug = linalg::matmul_nt(&du, &dg); // d × p
        c_ug.data_mut().iter_mut().for_each(|x| *x /= members);
        let mut c_gg = linalg::covariance(g, members); // p × p
        columns::add_scaled(c_gg.data_mut(), 1.0 / dt, gamma.data());
        (0..g.nrows()).for_each(|i| c_gg[(i, i)] += nugget);
        let mut off = targets.clone();
        columns::add_scaled(off.data_mut(), -1.0, g.data());
        Cholesky::new(&c_gg).unwrap().solve(&mut off);
        let mut moved = u.clone();
        columns::add_scaled(moved.data_mut(), 1.0, linalg::matmul(&c_ug, &off).data());
        moved
    }

    #[test]
    fn the_root_of_products_of_any_rank_gives_them_back() {
        // J − 1 by centring; 3 of few outputs; 1; 0 where all members agree
        for (p, members) in [(40, 12), (3, 20), (1, 9), (0, 5)] {
            let y = linalg::centred(&rough(11, p.max(1), members)).0;
            let s = if p == 0 { Mat::zeros(members, members) } else { linalg::gram(&y) };
            let root = noise_in_ensemble_space(&s, &Mat::identity(members)).unwrap();
            let again = linalg::matmul_nt(&root, &root);
            let most = s.data().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (x, y) in again.data().iter().zip(s.data()) {
                // δ, and as many rounding errors of the factor
                let allowed = 16.0 * members as f64 * f64::EPSILON * most + 1e-300;
                assert!((x - y).abs() <= allowed, "{p} × {members}: {x} {y}");
            }
        }
        // Products that rounding has made indefinite beyond δ have the principal root of what is not negative
        let mut s = Mat::identity(3);
        s[(2, 2)] = -1e-9;
        let root = noise_in_ensemble_space(&s, &Mat::identity(3)).unwrap();
        assert!((root[(0, 0)] - 1.0).abs() < 1e-15 && root[(2, 2)].abs() < 1e-15);
        s[(0, 1)] = f64::NAN;
        assert_eq!(noise_in_ensemble_space(&s, &Mat::identity(3)), Err(LinalgError::NotFinite));
    }

    #[test]
    fn reference_values_are_met() {
        for case in Fixture::read("eki").cases("*") {
            let inputs = &case.inputs;
            let (u, g, y, dt) =
                (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"), inputs.number("dt"));
            let nugget = inputs.number("nugget") * dt;
            let gamma = noise(&[(covariance(inputs), y.len())]);
            let more = gamma.plus(nugget).unwrap();
            let xi = inputs.has("xi").then(|| whitened_noise(&gamma, &more, inputs.matrix("xi")).unwrap());
            let forms: &[Keep] = if xi.is_some() { &[Keep::Whitened] } else { &[Keep::Gram, Keep::Whitened] };
            for &keep in forms {
                let mut all = evidence(&g, &y, &more, keep);
                let mut drawn = xi.clone();
                if inputs.has("prior_mean") {
                    let c0 = noise(&[(Covariance::Dense(inputs.matrix("prior_cov")), u.nrows())]);
                    let c0 = c0.plus(nugget).unwrap();
                    all = all.plus(evidence(&u, &inputs.vector("prior_mean"), &c0, keep));
                    drawn = drawn.map(|xi| crate::kalman::survivors::below(&xi, u.nrows()));
                }
                let got = update(&u, &all, dt, drawn.as_ref()).unwrap();
                case.assert_near("u", got.data(), case.expected.matrix("u").data());
            }
        }
    }

    #[test]
    fn the_dense_formula_gives_the_same_members() {
        for (d, p, members, dt, nugget) in [(3, 7, 5, 0.4, 0.0), (4, 3, 12, 1.0, 1e-3), (2, 9, 9, 2.0, 0.0)] {
            let linear = Linear::new(30, d, p);
            let u = rough(31, d, members);
            let g = linalg::matmul(&linear.h, &u);
            let gamma = linear.noise();
            let more = gamma.plus(nugget * dt).unwrap();
            let xi = rough(32, p, members);
            let e = whitened_noise(&gamma, &more, xi.clone()).unwrap();
            let mut drawn = xi;
            gamma.root(&mut drawn).unwrap();
            let targets = Mat::from_fn(p, members, |i, j| linear.y[i] + drawn[(i, j)] / dt.sqrt());
            let slow = dense(&u, &g, &targets, &linear.gamma, dt, nugget);
            let fast = update(&u, &evidence(&g, &linear.y, &more, Keep::Whitened), dt, Some(&e)).unwrap();
            assert!(apart(fast.data(), slow.data()) < 1e-12);
            // The same from products alone
            let Evidence::Whitened { y, .. } = evidence(&g, &linear.y, &more, Keep::Whitened) else {
                panic!()
            };
            let pull = linalg::matmul_tn(&y, &e);
            let gram = update(&u, &evidence(&g, &linear.y, &more, Keep::Gram), dt, Some(&pull)).unwrap();
            assert!(apart(gram.data(), slow.data()) < 1e-12);
        }
    }

    #[test]
    fn noise_of_low_rank_moves_members_as_its_dense_twin_does() {
        for (p, members) in [(20, 6), (5, 12)] {
            let (u, g, y) = (rough(70, 3, members), rough(71, p, members), rough(72, p, 1));
            let d: Vec<f64> = (0..p).map(|i| 0.3 + 0.05 * i as f64).collect();
            let v = rough(73, p, 2);
            let spiked = noise(&[(Covariance::Spiked { d, v }, p)]);
            let twin = noise(&[(Covariance::Dense(spiked.to_dense()), p)]);
            for (keep, nugget) in [(Keep::Gram, 0.0), (Keep::Whitened, 0.0), (Keep::Gram, 1e-3)] {
                let step = |gamma: &Noise| {
                    update(&u, &evidence(&g, y.data(), &gamma.plus(nugget).unwrap(), keep), 0.7, None)
                        .unwrap()
                };
                assert!(apart(step(&spiked).data(), step(&twin).data()) < 1e-12);
            }
            // Perturbed: the noise in its own units is standard normal, exactly
            let xi = rough(74, p, members);
            let e = whitened_noise(&spiked, &spiked, xi.clone()).unwrap();
            assert!(apart(e.data(), xi.data()) < 1e-14);
        }
    }

    #[test]
    fn noise_drawn_in_ensemble_space_has_the_law_of_noise_drawn_in_data_space() {
        // Covariance over many draws of YᵀE is YᵀY: 200 000 draws, error 4 √2/√n of the largest entry
        let (p, members, draws) = (6, 4, 200_000);
        let y = rough(40, p, members);
        let s = linalg::gram(&y);
        let drawn = noise_in_ensemble_space(&s, &rough(41, members, draws)).unwrap();
        let direct = linalg::matmul_tn(&y, &rough(42, p, draws));
        for sample in [drawn, direct] {
            let got = linalg::covariance(&sample, draws as f64);
            assert!(apart(got.data(), s.data()) < 4.0 * (2.0 / draws as f64).sqrt());
            assert!(sample.mean().iter().all(|m| m.abs() < 0.03)); // 4 standard errors of a variance below 10
        }
    }

    #[test]
    fn a_large_perturbed_ensemble_is_the_posterior() {
        let (d, p, members) = (2, 3, 100_000);
        let linear = Linear::new(50, d, p);
        let u = rough(51, d, members);
        let (mean, cov) = linear.posterior(&[0.0; 2], &Mat::identity(2));
        let g = linalg::matmul(&linear.h, &u);
        let e = whitened_noise(&linear.noise(), &linear.noise(), rough(52, p, members)).unwrap();
        let moved =
            update(&u, &evidence(&g, &linear.y, &linear.noise(), Keep::Whitened), 1.0, Some(&e)).unwrap();
        let off = |a: &[f64], b: &[f64]| a.iter().zip(b).fold(0.0_f64, |w, (a, b)| w.max((a - b).abs()));
        // 1/√J = 0.003 times spreads below 1
        assert!(off(&moved.mean(), &mean) < 0.005);
        assert!(off(linalg::covariance(&moved, members as f64).data(), cov.data()) < 0.005);
    }
}
