//! Ensemble transform Kalman inversion: a deterministic square-root step.
//!
//! Bishop, Etherton & Majumdar (2001), Mon. Weather Rev. 129, 420–436,
//! doi:10.1175/1520-0493(2001)129<0420:ASWTET>2.0.CO;2; the symmetric root, which alone keeps the mean:
//! Wang, Bishop & Julier (2004), Mon. Weather Rev. 132, 1590–1605,
//! doi:10.1175/1520-0493(2004)132<1590:WIBAAE>2.0.CO;2; as an inversion with steps Δt:
//! Huang, Huang, Reich & Stuart (2022), Inverse Problems 38, 125006, doi:10.1088/1361-6420/ac99fa.

use std::borrow::Cow;

use super::evidence::Evidence;
use super::spectrum::{Spectrum, Values};
use crate::numerics::columns;
use crate::numerics::linalg;
use crate::numerics::tridiagonal::Tridiagonal;
use crate::numerics::{LinalgError, Mat};

/// One step of ensemble transform Kalman inversion.
///
/// With `X = u − ū`, `Δt/(J−1) YᵀY = V Λ Vᵀ`: `ū 1ᵀ + X (w 1ᵀ + (I+Λ)^(−½))`, `w = V (I+Λ)⁻¹ Vᵀ Δt/(J−1) Yᵀr`.
/// Covariances are normalised by J − 1, as in EKP.jl. Linear G: the members' mean and covariance become those of
/// the Kalman posterior exactly, and steps compose: ΣΔt = 1 in many steps is one step of 1.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J; one that is given away is overwritten | unconstrained parameter space |
/// | Y, r | `evidence` | p × J, p (or their products) | 1: in units of the noise |
/// | Δt | `dt` | scalar, > 0 | 1 |
///
/// # Errors
/// `NotFinite` for outputs that are not finite; `NoConvergence`.
///
/// # Source
/// See the head of the file. The complement of V is left as it is, so that p < J costs p² J.
pub fn update<'a>(u: impl Into<Cow<'a, Mat>>, evidence: &Evidence, dt: f64) -> Result<Mat, LinalgError> {
    Ok(moved(u, &decompose(evidence, dt)?))
}

/// `Δt/(J−1) YᵀY` in a form that a step of length Δt is made from.
#[derive(Debug)]
pub enum Decomposed {
    /// `YᵀY` as Q T Qᵀ
    Form {
        /// Q and T
        form: Tridiagonal,
        /// Δt/(J−1)
        scale: f64,
        /// `Δt/(J−1) Yᵀr`, J numbers
        pull: Vec<f64>,
    },
    /// V Λ Vᵀ: for evidence that is not in products, and for ensembles too large for the other form
    Eigen(Spectrum),
}

impl Decomposed {
    /// Λ, and `Δt/(J−1) Vᵀ Yᵀr`.
    ///
    /// # Errors
    /// `NoConvergence`.
    pub fn values(&self) -> Result<Values, LinalgError> {
        match self {
            Self::Form { form, scale, pull } => Values::of_form(form, *scale, pull),
            Self::Eigen(Spectrum { lambda, pull, .. }) => {
                Ok(Values { lambda: lambda.clone(), pull: pull.clone() })
            }
        }
    }
}

/// What a step of length Δt is made of.
///
/// # Errors
/// As [`update`].
pub fn decompose(evidence: &Evidence, dt: f64) -> Result<Decomposed, LinalgError> {
    let scale = dt / (evidence.members() as f64 - 1.0);
    if let Evidence::Gram { s, b } = evidence
        && let Some(form) = Tridiagonal::new(s)?
    {
        return Ok(Decomposed::Form { form, scale, pull: b.iter().map(|b| scale * b).collect() });
    }
    evidence.spectrum(scale).map(Decomposed::Eigen)
}

/// The members `u` (d × J) after the step: d × J, each a mean of all with the weights of `decomposed` (J × J); an
/// ensemble that is given away is overwritten.
pub fn moved<'a>(u: impl Into<Cow<'a, Mat>>, decomposed: &Decomposed) -> Mat {
    let u = u.into();
    let members = u.ncols();
    let spectrum = match decomposed {
        Decomposed::Form { form, scale, pull } => {
            let (root, w) = (form.inverse_root(*scale), form.inverse_times(*scale, pull));
            return linalg::reweight(u, &transform(root, &w));
        }
        Decomposed::Eigen(spectrum) => spectrum,
    };
    assert_eq!(spectrum.v.nrows(), members, "evidence speaks of these members");
    let rank = spectrum.lambda.len();
    let w: Vec<f64> = spectrum.pull.iter().zip(&spectrum.lambda).map(|(pull, l)| pull / (1.0 + l)).collect();
    if rank == members {
        let mut scaled = spectrum.v.clone();
        for (j, l) in spectrum.lambda.iter().enumerate() {
            scaled.col_mut(j).iter_mut().for_each(|x| *x /= (1.0 + l).sqrt());
        }
        let root = linalg::matmul_nt(&scaled, &spectrum.v);
        return linalg::reweight(u, &transform(root, &linalg::matvec(&spectrum.v, &w)));
    }
    let (x, mean) = linalg::centred(&u); // d × J
    let xv = linalg::matmul(&x, &spectrum.v); // d × r
    let shift = linalg::matvec(&xv, &w); // d
    // X (I+Λ)^(−½) as a change of X within the span of V
    let mut scaled = xv;
    for (j, l) in spectrum.lambda.iter().enumerate() {
        let root = (1.0 + l).sqrt();
        // 1/√(1+λ) − 1 without cancellation
        let factor = -l / (root * (1.0 + root));
        scaled.col_mut(j).iter_mut().for_each(|x| *x *= factor);
    }
    let mut moved = linalg::matmul_nt(&scaled, &spectrum.v); // d × J
    for j in 0..members {
        let column = moved.col_mut(j);
        columns::add_scaled(column, 1.0, x.col(j));
        columns::add_scaled(column, 1.0, &mean);
        columns::add_scaled(column, 1.0, &shift);
    }
    moved
}

/// The step as weights of old members in new ones, J × J: `11ᵀ/J + (I − 11ᵀ/J) (w 1ᵀ + root)`.
fn transform(mut root: Mat, w: &[f64]) -> Mat {
    (0..root.ncols()).for_each(|j| columns::add_scaled(root.col_mut(j), 1.0, w));
    linalg::with_column_sums(&mut root, 1.0);
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::evidence::Keep;
    use crate::kalman::given::{Linear, apart, covariance, evidence, noise, rough};
    use crate::numerics::fixture::Fixture;
    use crate::problem::observation::Covariance;

    #[test]
    fn reference_values_are_met_in_both_forms() {
        for case in Fixture::read("etki").cases("*") {
            let inputs = &case.inputs;
            let (u, g, y, dt) =
                (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"), inputs.number("dt"));
            let noise = if inputs.has("svd_u") {
                let (basis, s) = (inputs.matrix("svd_u"), inputs.vector("svd_s"));
                let v = Mat::from_fn(y.len(), s.len(), |i, j| basis[(i, j)] * s[j].sqrt());
                noise(&[(Covariance::Spiked { d: inputs.vector("diag"), v }, y.len())])
            } else if inputs.has("block_1") {
                let blocks = ["block_1", "block_2"].map(|b| inputs.matrix(b));
                noise(&blocks.map(|b| (Covariance::Dense(b.clone()), b.nrows())))
            } else {
                noise(&[(covariance(inputs), y.len())])
            };
            for keep in [Keep::Gram, Keep::Whitened] {
                let mut all = evidence(&g, &y, &noise, keep);
                if inputs.has("prior_mean") {
                    let c0 = crate::kalman::given::noise(&[(
                        Covariance::Dense(inputs.matrix("prior_cov")),
                        u.nrows(),
                    )]);
                    all = all.plus(evidence(&u, &inputs.vector("prior_mean"), &c0, keep));
                }
                let got = update(&u, &all, dt).unwrap();
                case.assert_near("u", got.data(), case.expected.matrix("u").data());
            }
        }
    }

    #[test]
    fn a_linear_problem_gets_the_posterior_of_its_sample_moments() {
        let (d, p) = (4, 6);
        let linear = Linear::new(1, d, p);
        for (members, keep) in
            [(12, Keep::Whitened), (12, Keep::Gram), (5, Keep::Gram), (200, Keep::Whitened)]
        {
            let u = rough(5, d, members);
            let (mean, cov) = linear.posterior(&u.mean(), &linalg::covariance(&u, members as f64 - 1.0));
            let g = linalg::matmul(&linear.h, &u);
            let moved = update(&u, &evidence(&g, &linear.y, &linear.noise(), keep), 1.0).unwrap();
            let got = linalg::covariance(&moved, members as f64 - 1.0);
            // Round-off of two ways to the same numbers
            assert!(apart(&moved.mean(), &mean) < 1e-10);
            assert!(apart(got.data(), cov.data()) < 1e-10);
        }
    }

    #[test]
    fn many_short_steps_make_one_long_step_when_the_model_is_linear() {
        let linear = Linear::new(8, 3, 5);
        let start = rough(9, 3, 20);
        let run = |steps: &[f64]| {
            let mut u = start.clone();
            for dt in steps {
                let g = linalg::matmul(&linear.h, &u);
                u = update(&u, &evidence(&g, &linear.y, &linear.noise(), Keep::Gram), *dt).unwrap();
            }
            u
        };
        let (one, many) = (run(&[1.0]), run(&[0.01, 0.09, 0.5, 0.25, 0.15]));
        assert!(apart(many.data(), one.data()) < 1e-9);
    }

    #[test]
    fn members_in_another_order_move_alike() {
        let linear = Linear::new(12, 3, 30);
        let u = rough(13, 3, 10);
        let order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7];
        let step = |u: &Mat| {
            let g = linalg::matmul(&linear.h, u);
            update(u, &evidence(&g, &linear.y, &linear.noise(), Keep::Gram), 0.3).unwrap()
        };
        let moved = step(&u).select_cols(&order);
        assert!(apart(step(&u.select_cols(&order)).data(), moved.data()) < 1e-12);
    }

    #[test]
    fn tiny_noise_and_identical_members_give_numbers() {
        let u = rough(20, 3, 8);
        // Noise of 1e-10 against a spread of 1: Λ reaches 1e20. The map is onto, so that u becomes H⁻¹ y.
        let linear = Linear::new(21, 3, 3);
        let sharp = noise(&[(Covariance::Scalar(1e-20), 3)]);
        let g = linalg::matmul(&linear.h, &u);
        let moved = update(&u, &evidence(&g, &linear.y, &sharp, Keep::Whitened), 1.0).unwrap();
        let fit = linalg::matvec(&linear.h, &moved.mean());
        assert!(apart(&fit, &linear.y) < 1e-9, "{fit:?} {:?}", linear.y);
        // All members equal: nothing is learnt, nothing moves.
        let same = Mat::from_fn(3, 8, |i, _| i as f64);
        let g = linalg::matmul(&linear.h, &same);
        let still = update(&same, &evidence(&g, &linear.y, &linear.noise(), Keep::Gram), 1.0).unwrap();
        assert!(apart(still.data(), same.data()) < 1e-14);
    }
}
