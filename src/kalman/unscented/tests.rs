//! The unscented methods against the reference, closed forms, and each other.

use super::*;
use crate::kalman::OnTerminate;
use crate::kalman::given::{Linear, apart, covariance, observation, rough, standard_prior};
use crate::numerics::fixture::{Case, Fixture, Part};
use crate::numerics::linalg;
use crate::problem::observation::Noise;

/// An analysis of all points or of some, in the dense form or by the transform.
fn analysis(
    method: &Unscented,
    inputs: &Part,
    x: &Mat,
    g: &Mat,
    dt: f64,
    who: &[usize],
) -> (Analysis, Vec<f64>) {
    let d = x.nrows();
    let scheme = Scheme::new(method.points, method.modified, d);
    let weights = scheme.surviving(who).unwrap();
    let y = inputs.vector("y");
    let noise = noise(inputs);
    let all: Vec<usize> = (0..y.len()).collect();
    let rows = Rows { g, rows: &all, members: who, y: &y, noise: &noise };
    let imposed = method.impose_prior.then(|| Imposed {
        mean: inputs.vector("prior_mean"),
        covariance: inputs.matrix("prior_cov"),
        theta: method.theta,
    });
    let data = gather(&rows, form(&rows, method.impose_prior, d)).0;
    let points = x.select_cols(who);
    let got = method.analyse(&points, &rows, data, &weights, dt, imposed.as_ref()).unwrap();
    let predicted = sigma::weighted_mean(&g.select_cols(who), &weights.mean);
    (got, predicted)
}

fn noise(inputs: &Part) -> Noise {
    crate::kalman::given::noise(&[(covariance(inputs), inputs.vector("y").len())])
}

/// The options of a case; what it does not list has the defaults of the file's author.
fn method(inputs: &Part) -> Unscented {
    let mut method = Unscented { theta: 1.0, ..Unscented::new(Points::Symmetric) };
    method.nugget = if inputs.has("nugget") { inputs.number("nugget") } else { 0.0 };
    if !inputs.has("options") {
        return method;
    }
    let options = inputs.part("options");
    if options.has("kind") && options.word("kind") == "simplex" {
        method.points = Points::Simplex;
    }
    if options.has("alpha_reg") {
        method.alpha = options.number("alpha_reg");
    }
    if options.has("update_freq") {
        method.freq = options.number("update_freq") as u32;
    }
    if options.has("prior_noise_scale") {
        method.theta = options.number("prior_noise_scale");
    }
    method.modified = !options.has("modified") || options.flag("modified");
    method.impose_prior = options.has("impose_prior") && options.flag("impose_prior");
    method
}

fn start(method: &Unscented, inputs: &Part) -> (Kept, Scheme, Mat) {
    let (m, c0) = (inputs.vector("prior_mean"), inputs.matrix("prior_cov"));
    let (alpha, freq) = method.evolution();
    let scheme = Scheme::new(method.points, method.modified, m.len());
    let mut kept = Kept::new(m, c0, alpha);
    let points = kept.predict(&scheme, alpha, freq, 0.0).unwrap();
    (kept, scheme, points)
}

fn check(case: &Case, want: &Part, got: &Analysis, predicted: &[f64]) {
    case.assert_near("mean", &got.mean, &want.vector("mean"));
    case.assert_near("cov", got.covariance.data(), want.matrix("cov").data());
    case.assert_near("obs_pred", predicted, &want.vector("obs_pred"));
}

#[test]
fn reference_runs_are_repeated() {
    for case in Fixture::read("unscented").cases("*_sym*|*_simplex*") {
        let inputs = &case.inputs;
        let method = method(inputs);
        let (mut kept, scheme, mut points) = start(&method, inputs);
        case.assert_near("initial_points", points.data(), case.expected.matrix("initial_points").data());
        let everyone: Vec<usize> = (0..points.ncols()).collect();
        let steps = inputs.matrices("g_per_step").into_iter().zip(inputs.vector("dt_per_step"));
        for ((g, dt), want) in steps.zip(case.expected.list("steps")) {
            let (got, predicted) = analysis(&method, inputs, &points, &g, dt, &everyone);
            check(case, &want, &got, &predicted);
            (kept.mean, kept.covariance) = (got.mean, symmetric(&got.covariance));
            let (alpha, freq) = method.evolution();
            points = kept.predict(&scheme, alpha, freq, dt).unwrap();
            case.assert_near("points", points.data(), want.matrix("points").data());
        }
    }
}

#[test]
fn single_analyses_of_the_reference_are_met_also_with_failed_points() {
    for case in Fixture::read("unscented").cases("*_failed_*|*_utki_*") {
        let inputs = &case.inputs;
        let method = method(inputs);
        let (_, _, points) = start(&method, inputs);
        let failed: &[usize] = match case.name.split_once("failed_") {
            Some((_, "2")) => &[2],
            Some(_) => &[0, 3],
            None => &[],
        };
        let who: Vec<usize> = (0..points.ncols()).filter(|i| !failed.contains(i)).collect();
        let (got, predicted) =
            analysis(&method, inputs, &points, &inputs.matrix("g"), inputs.number("dt"), &who);
        check(case, &case.expected, &got, &predicted);
    }
}

/// A linear problem with prior N(0, I), and a run on it.
fn run(method: &Unscented, linear: &Linear, steps: u32) -> (Kept, Report) {
    let d = linear.h.ncols();
    let problem = Problem {
        prior: standard_prior(d),
        observation: observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())),
    };
    let (mut ensemble, mut state) = method.first(&problem, &Streams::new(1));
    let mut report = Report::default();
    for iteration in 0..steps {
        let g = linalg::matmul(&linear.h, &ensemble.u);
        let tried = Evaluated { iteration, ensemble: &ensemble, g };
        let step = method.next(&problem, state, &tried, &Streams::new(1)).unwrap();
        (ensemble, state, report) = (step.ensemble, step.state, step.report);
    }
    (Kept::read(&state, d).unwrap(), report)
}

fn kinds() -> [Unscented; 2] {
    [Unscented::new(Points::Symmetric), Unscented::new(Points::Simplex)]
}

#[test]
fn an_imposed_prior_brings_a_linear_problem_to_its_posterior() {
    for (d, p) in [(2, 3), (3, 40), (6, 2)] {
        let linear = Linear::new(3, d, p);
        let (mean, cov) = linear.posterior(&vec![0.0; d], &Mat::identity(d));
        for kind in kinds() {
            let method = Unscented { impose_prior: true, ..kind };
            // The error halves with each step: 2⁻⁴⁰ is 1e-12
            let (kept, report) = run(&method, &linear, 60);
            assert!(apart(&kept.mean, &mean) < 1e-8);
            assert!(apart(kept.covariance.data(), cov.data()) < 1e-8);
            assert!(report.metrics.contains_key("bayes_loss"));
            for i in 0..d {
                assert!((report.spread[i] - cov[(i, i)].sqrt()).abs() < 1e-8);
            }
            // θ = 1 counts the prior twice: the posterior of N(0, I/2)
            let twice = Unscented { theta: 1.0, ..method };
            let mut half = Mat::identity(d);
            half.data_mut().iter_mut().for_each(|x| *x *= 0.5);
            let (mean, cov) = linear.posterior(&vec![0.0; d], &half);
            let (kept, _) = run(&twice, &linear, 60);
            assert!(apart(&kept.mean, &mean) < 1e-8 && apart(kept.covariance.data(), cov.data()) < 1e-8);
        }
    }
}

#[test]
fn with_an_evolution_of_its_own_covariance_the_fixed_point_is_least_squares() {
    let (d, p) = (3, 12);
    let linear = Linear::new(5, d, p);
    // (HᵀΓ⁻¹H)⁻¹ and that times HᵀΓ⁻¹y, by whitening
    let noise = linear.noise();
    let (mut wh, mut wy) = (linear.h.clone(), Mat::from_columns(p, 1, linear.y.clone()));
    noise.whiten(&mut wh);
    noise.whiten(&mut wy);
    let factor = linalg::Cholesky::new(&linalg::gram(&wh)).unwrap();
    let mean = factor.solve_vec(&linalg::matvec_t(&wh, wy.data()));
    let mut cov = Mat::identity(d);
    factor.solve(&mut cov);
    for kind in kinds() {
        let (kept, _) = run(&Unscented { freq: 1, ..kind }, &linear, 80);
        assert!(apart(&kept.mean, &mean) < 1e-8);
        assert!(apart(kept.covariance.data(), cov.data()) < 1e-8);
    }
}

#[test]
fn the_transform_is_its_dense_twin() {
    for (d, p) in [(2, 3), (3, 30), (7, 4)] {
        let linear = Linear::new(7, d, p);
        let noise = linear.noise();
        for kind in kinds() {
            for (modified, failed) in [(true, vec![]), (true, vec![2]), (true, vec![0, 3]), (false, vec![])] {
                let scheme = Scheme::new(kind.points, modified, d);
                let n = kind.points.count(d);
                let who: Vec<usize> = (0..n).filter(|i| !failed.contains(i)).collect();
                let Ok(weights) = scheme.surviving(&who) else { continue };
                if !weights.has_roots() {
                    continue;
                }
                let mut x = scheme.place(rough(8, d, 1).data(), &Mat::identity(d)).select_cols(&who);
                x.data_mut().iter_mut().for_each(|x| *x += 0.1 * x.sin());
                let g = Mat::from_fn(p, who.len(), |i, j| linalg::matvec(&linear.h, x.col(j))[i].powi(3));
                let (rows, all): (Vec<usize>, Vec<usize>) = ((0..p).collect(), (0..who.len()).collect());
                let rows = Rows { g: &g, rows: &rows, members: &all, y: &linear.y, noise: &noise };
                let c0 = Mat::from_fn(d, d, |i, j| if i == j { 2.0 } else { 0.3 });
                let imposed = Imposed { mean: vec![0.3; d], covariance: c0, theta: 2.0 };
                for imposed in [None, Some(&imposed)] {
                    let slow =
                        dense::analyse(&x, &g, (&linear.y, &noise), &weights, 0.4, imposed, 0.0).unwrap();
                    let method = Unscented { modified, impose_prior: imposed.is_some(), ..kind.clone() };
                    let data = gather(&rows, form(&rows, imposed.is_some(), d)).0;
                    let fast = method.analyse(&x, &rows, data, &weights, 0.4, imposed).unwrap();
                    // Round-off times the condition of S, at most 1e4 here
                    assert!(apart(&fast.mean, &slow.mean) < 1e-10, "{d} {p} {modified} {failed:?}");
                    assert!(apart(fast.covariance.data(), slow.covariance.data()) < 1e-10);
                }
            }
        }
    }
}

#[test]
fn tiny_noise_gives_numbers_and_a_covariance_without_negative_eigenvalues() {
    let (d, p) = (3, 20);
    let linear =
        Linear { gamma: Mat::from_fn(p, p, |i, j| if i == j { 1e-18 } else { 0.0 }), ..Linear::new(9, d, p) };
    let truth = [0.5, -1.0, 2.0];
    let linear = Linear { y: linalg::matvec(&linear.h, &truth), ..linear };
    for kind in kinds() {
        let (kept, _) = run(&kind, &linear, 3);
        assert!(apart(&kept.mean, &truth) < 1e-7);
        assert!((0..d).all(|i| kept.covariance[(i, i)] > 0.0));
    }
}

#[test]
fn equal_calls_give_equal_bits_and_a_failed_point_counts_by_its_absence_only() {
    let linear = Linear::new(11, 3, 8);
    let problem = Problem {
        prior: standard_prior(3),
        observation: observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())),
    };
    for kind in kinds() {
        for method in [kind.clone(), Unscented { nugget: 1e-8, impose_prior: true, ..kind }] {
            let (ensemble, state) = method.first(&problem, &Streams::new(1));
            let g = linalg::matmul(&linear.h, &ensemble.u);
            let step = |g: &Mat, seed| {
                let tried = Evaluated { iteration: 0, ensemble: &ensemble, g: g.clone() };
                method.next(&problem, state.clone(), &tried, &Streams::new(seed)).unwrap()
            };
            // No random number is drawn: not even the seed matters
            let (one, two) = (step(&g, 1), step(&g, 2));
            assert_eq!((&one.ensemble, &one.state, &one.report), (&two.ensemble, &two.state, &two.report));
            let (mut dead, mut half) = (g.clone(), g.clone());
            dead.col_mut(2).fill(f64::NAN);
            half[(0, 2)] = f64::NEG_INFINITY;
            let (a, b) = (step(&dead, 1), step(&half, 1));
            assert_eq!(a.ensemble, b.ensemble);
            assert_eq!((a.report.used, a.report.set_aside[0].0), (ensemble.u.ncols() - 1, 2));
        }
    }
}

#[test]
fn the_estimate_is_the_mean_and_covariance_that_are_kept() {
    let linear = Linear::new(13, 3, 8);
    let method = Unscented::new(Points::Simplex);
    let (kept, _) = run(&method, &linear, 2);
    let mut state = State::default();
    kept.write(&mut state);
    let u = method.estimate(Ensemble { u: Mat::zeros(3, 5) }, &state).unwrap().u;
    assert!(apart(&u.mean(), &kept.mean) < 1e-13);
    let cov = linalg::covariance(&u, u.ncols() as f64 - 1.0);
    assert!(apart(cov.data(), kept.covariance.data()) < 1e-13);
}

#[test]
fn people_are_told_of_the_predicted_observation() {
    let linear = Linear::new(15, 2, 5);
    let problem = Problem {
        prior: standard_prior(2),
        observation: observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())),
    };
    let stop = Schedule::DataMisfit { terminate_at: 1e-3, on_terminate: OnTerminate::Stop };
    let method = Unscented { schedule: stop, ..Unscented::new(Points::Symmetric) };
    let (ensemble, state) = method.first(&problem, &Streams::new(1));
    let g = Mat::from_fn(5, 5, |i, j| linalg::matvec(&linear.h, ensemble.u.col(j))[i].powi(2));
    let tried = Evaluated { iteration: 0, ensemble: &ensemble, g: g.clone() };
    let step = method.next(&problem, state, &tried, &Streams::new(1)).unwrap();
    assert_eq!(step.stop, Some(Stop::Time));
    // The centre is the prior's mean, 0, and so is its output: the misfit is that of y
    let mut y = Mat::from_columns(5, 1, linear.y.clone());
    let plain = y.data().iter().map(|y| y * y).sum::<f64>() / 5.0;
    linear.noise().whiten(&mut y);
    let loss = y.data().iter().map(|y| y * y).sum::<f64>() / 5.0;
    let near = |a: f64, b: f64| (a - b).abs() < 1e-12 * b;
    assert!(near(step.report.misfit, loss) && near(step.report.avg_rmse, loss.sqrt()));
    assert!(near(step.report.metrics["unweighted_loss"], plain));
    assert!(near(step.report.metrics["unweighted_avg_rmse"], plain.sqrt()));
    // CRPS by eigenvectors of the weighted covariance, 1/(2κ) = 1/4 for each point off the centre
    let off = Mat::from_fn(5, 4, |i, j| 0.5 * (g[(i, j + 1)] - g[(i, 0)]));
    let svd = linalg::thin_svd(&off).unwrap();
    let rank = svd.s.iter().filter(|s| **s > 1e-7 * svd.s[0]).count();
    let score = |k: usize| {
        let z = svd.u.col(k).iter().zip(&linear.y).map(|(v, y)| v * y).sum::<f64>() / svd.s[k];
        let phi = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let erf = crate::numerics::special::erf(z * std::f64::consts::FRAC_1_SQRT_2);
        svd.s[k] * (z * erf + 2.0 * phi - 1.0 / std::f64::consts::PI.sqrt())
    };
    let want = (0..rank).map(score).sum::<f64>() / rank as f64;
    assert!((step.report.metrics["crps"] - want).abs() < 1e-9 * want.abs());
}
