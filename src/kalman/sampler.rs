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
    /// N(m, C₀): `m` has d numbers, `c0` is d × d, both in unconstrained space.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::evidence::Keep;
    use crate::kalman::given::{
        Linear, apart, covariance, evidence, noise, observation, rough, standard_prior,
    };
    use crate::kalman::schedule::Progress;
    use crate::kalman::{Kalman, Process, Schedule, normals};
    use crate::numerics::fixture::Fixture;
    use crate::numerics::{Purpose, Streams};
    use crate::problem::observation::Covariance;
    use crate::problem::{Algorithm, Ensemble, Evaluated, Problem, State};

    #[test]
    fn reference_values_are_met_in_both_forms() {
        for case in Fixture::read("samplers").cases("*_eks|*_aldi") {
            let inputs = &case.inputs;
            let (u, g, y, dt) =
                (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"), inputs.number("dt"));
            let noise = noise(&[(covariance(inputs), y.len())]);
            let c0 = inputs.matrix("prior_cov");
            let prior = Gaussian::new(&inputs.vector("prior_mean"), &c0).unwrap();
            let (nugget, xi) = (inputs.number("nugget"), inputs.matrix("xi"));
            let step = if case.name.ends_with("_eks") { eks } else { aldi };
            for keep in [Keep::Gram, Keep::Whitened] {
                let got = step(&u, &evidence(&g, &y, &noise, keep), dt, &prior, nugget, &xi).unwrap();
                case.assert_near("u", got.data(), case.expected.matrix("u").data());
            }
        }
    }

    /// Time averages of mean and covariance (divisor J − 1) over a long run with a linear model and N(0, I) before.
    fn stationary(process: Process, members: usize, dt: f64, steps: u32, linear: &Linear) -> (Vec<f64>, Mat) {
        let d = linear.h.ncols();
        let observation = observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone()));
        let problem = Problem { prior: standard_prior(d), observation };
        let schedule = Schedule::Fixed { step: dt };
        let kalman = Kalman { schedule, ..Kalman::new(process, members) };
        let draw = Streams::new(5);
        let (mut ensemble, mut state) = kalman.first(&problem, &draw);
        let (mut mean, mut cov) = (vec![0.0; d], Mat::zeros(d, d));
        let skipped = (10.0 / dt) as u32; // ten times the time in which the start is forgotten
        for iteration in 0..steps + skipped {
            let g = linalg::matmul(&linear.h, &ensemble.u);
            let tried = Evaluated { iteration, ensemble: &ensemble, g };
            let step = kalman.next(&problem, state, &tried, &draw).unwrap();
            (ensemble, state) = (step.ensemble, step.state);
            if iteration >= skipped {
                columns::add_scaled(&mut mean, 1.0 / f64::from(steps), &ensemble.u.mean());
                let now = linalg::covariance(&ensemble.u, members as f64 - 1.0);
                columns::add_scaled(cov.data_mut(), 1.0 / f64::from(steps), now.data());
            }
        }
        (mean, cov)
    }

    #[test]
    fn the_stationary_law_of_a_linear_problem_is_its_posterior() {
        let linear = Linear::new(3, 2, 3);
        let (mean, cov) = linear.posterior(&[0.0; 2], &Mat::identity(2));
        // Preconditioned by the covariance every direction relaxes at rate 1: T time units of J members hold
        // T J / 2 independent draws. Four standard errors of a mean and of a variance, and the bias of steps Δt
        // (Δt/2 for the variance), and for EKS that of J members, (d + 1)/J.
        for (process, members, steps, bias) in
            [(Process::Aldi, 30, 20_000, 0.0), (Process::Eks, 200, 5_000, 3.0 / 200.0)]
        {
            let dt = 0.02;
            let (got_mean, got_cov) = stationary(process, members, dt, steps, &linear);
            let draws = f64::from(steps) * dt * members as f64 / 2.0;
            for i in 0..2 {
                let sd = cov[(i, i)].sqrt();
                let off = (got_mean[i] - mean[i]).abs() / sd;
                assert!(off < 4.0 / draws.sqrt() + dt, "{process:?}: mean {i} off by {off} sd");
                for j in 0..2 {
                    let unit = (cov[(i, i)] * cov[(j, j)]).sqrt();
                    let off = (got_cov[(i, j)] - cov[(i, j)]).abs() / unit;
                    assert!(off < 4.0 * (2.0 / draws).sqrt() + dt + bias, "{process:?}: [{i}, {j}] {off}");
                }
            }
        }
    }

    #[test]
    fn a_failed_member_leaves_the_others_their_own_random_numbers() {
        let linear = Linear::new(20, 2, 3);
        let u = rough(21, 2, 6);
        let observation = observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone()));
        let problem = Problem { prior: standard_prior(2), observation };
        let (draw, dt, who) = (Streams::new(9), 0.1, [0, 1, 3, 5]);
        let survivors = u.select_cols(&who);
        let g = linalg::matmul(&linear.h, &u);
        let data = evidence(&g.select_cols(&who), &linear.y, &linear.noise(), Keep::Whitened);
        let (m, c0) = problem.prior.moments().unwrap();
        let prior = Gaussian::new(&m, &c0).unwrap();
        let mut failed = g.clone();
        [2, 4].iter().for_each(|&j| failed.col_mut(j).fill(f64::NAN));
        for process in [Process::Eks, Process::Aldi] {
            let kalman = Kalman { schedule: Schedule::Fixed { step: dt }, ..Kalman::new(process, 6) };
            let mut state = State::default();
            Progress::default().write(&mut state);
            let ensemble = Ensemble { u: u.clone() };
            let tried = Evaluated { iteration: 7, ensemble: &ensemble, g: failed.clone() };
            let next = kalman.next(&problem, state, &tried, &draw).unwrap();
            // The numbers of members 1, 2, 4, 6, as if nobody had failed; of ALDI's the rows of those who are left
            let want = if process == Process::Eks {
                let xi = normals(&draw, Purpose::Sampler, 7, &who, 2);
                eks(&survivors, &data, dt, &prior, 0.0, &xi).unwrap()
            } else {
                let xi = normals(&draw, Purpose::Sampler, 7, &who, 6);
                let xi = Mat::from_fn(4, 4, |i, j| xi[(who[i], j)]);
                aldi(&survivors, &data, dt, &prior, 0.0, &xi).unwrap()
            };
            assert_eq!(next.ensemble.u.select_cols(&who), want);
            assert!(next.ensemble.u.is_finite());
        }
    }

    #[test]
    fn aldi_does_not_see_the_units_of_parameters() {
        // u → A u + b with prior and model to match moves members the same way.
        let (linear, u) = (Linear::new(30, 2, 4), rough(31, 2, 8));
        let (a, b) = (Mat::from_columns(2, 2, vec![30.0, 2.0, -0.5, 0.1]), [4.0, -7.0]);
        let moved = |u: &Mat| {
            let mut au = linalg::matmul(&a, u);
            (0..au.ncols()).for_each(|j| columns::add_scaled(au.col_mut(j), 1.0, &b));
            au
        };
        let data = evidence(&linalg::matmul(&linear.h, &u), &linear.y, &linear.noise(), Keep::Gram);
        let (one, c0) = (Mat::identity(2), linalg::matmul_nt(&a, &a));
        let xi = rough(32, 8, 8);
        let plain = aldi(&u, &data, 0.1, &Gaussian::new(&[0.0; 2], &one).unwrap(), 0.0, &xi).unwrap();
        let other = aldi(&moved(&u), &data, 0.1, &Gaussian::new(&b, &c0).unwrap(), 0.0, &xi).unwrap();
        // Round-off times the condition of A Aᵀ, 1e5
        assert!(apart(other.data(), moved(&plain).data()) < 1e-10);
    }
}
