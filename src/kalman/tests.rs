//! Every process through a whole step: reference runs, equal bits, failures, what has no influence.

use super::*;
use crate::numerics::fixture::Fixture;
use crate::numerics::linalg;
use crate::problem::observation::{Block, Covariance, Observation};
use given::{Linear, apart, covariance, observation, rough, standard_prior};

fn problem(observation: Observation, d: usize) -> Problem {
    Problem { prior: standard_prior(d), observation }
}

fn start(u: &Mat) -> (Ensemble, State) {
    let mut state = State::default();
    Progress::default().write(&mut state);
    (Ensemble { u: u.clone() }, state)
}

fn tried(iteration: u32, ensemble: &Ensemble, g: Mat) -> Evaluated<'_> {
    Evaluated { iteration, ensemble, g }
}

#[test]
fn the_sinusoid_without_phase_repeats_the_reference_to_its_end() {
    for case in Fixture::read("end_to_end").cases("*_etki_*") {
        let inputs = &case.inputs;
        let problem = problem(observation(inputs.vector("y"), covariance(inputs)), 2);
        let kalman = Kalman::new(Process::Etki, 20);
        let (mut ensemble, mut state) = start(&inputs.matrix("u0"));
        let (want, mut steps) = (case.expected.matrices("u_per_step"), Vec::new());
        for (n, want) in want.iter().enumerate() {
            let u = &ensemble.u;
            let g = Mat::from_fn(2, 20, |i, j| if i == 0 { 2.0 * u[(0, j)].exp() } else { u[(1, j)] });
            let step =
                kalman.next(&problem, state, &tried(n as u32, &ensemble, g), &Streams::new(1)).unwrap();
            case.assert_near("u", step.ensemble.u.data(), want.data());
            steps.push(step.report.step);
            (ensemble, state) = (step.ensemble, step.state);
            // The step that takes the remainder says so, and no other.
            assert_eq!(step.stop.is_some(), steps.len() == case.expected.vector("dt").len(), "{}", case.name);
        }
        case.assert_near("dt", &steps, &case.expected.vector("dt"));
    }
}

#[test]
fn the_sinusoid_with_corrected_correlations_and_momentum_repeats_the_reference_to_its_end() {
    use localise::{Correction, Form, Rule, Std};
    for case in Fixture::read("end_to_end").cases("*_eki_*") {
        let inputs = &case.inputs;
        let problem = problem(observation(inputs.vector("y"), covariance(inputs)), 2);
        let rule = Rule::Correction(Correction::Nice { delta_ug: 1.0, delta_gg: 1.0, std: Std::Peer });
        let kalman = Kalman {
            momentum: Momentum::Nesterov,
            nugget: inputs.number("nugget"),
            localisation: Some(Localisation { rule, form: Form::Joint }),
            ..Kalman::new(Process::Eki { perturbed: false }, 20)
        };
        let (mut ensemble, mut state) = start(&inputs.matrix("u0"));
        let (mut steps, mut losses) = (Vec::new(), Vec::new());
        for (n, want) in case.expected.matrices("u_per_step").iter().enumerate() {
            let u = &ensemble.u;
            let g = Mat::from_fn(2, 20, |i, j| if i == 0 { 2.0 * u[(0, j)].exp() } else { u[(1, j)] });
            let step =
                kalman.next(&problem, state, &tried(n as u32, &ensemble, g), &Streams::new(1)).unwrap();
            case.assert_near("u", step.ensemble.u.data(), want.data());
            steps.push(step.report.step);
            losses.push(step.report.misfit);
            (ensemble, state) = (step.ensemble, step.state);
            assert_eq!(step.stop.is_some(), steps.len() == case.expected.vector("dt").len());
        }
        case.assert_near("dt", &steps, &case.expected.vector("dt"));
        case.assert_near("loss", &losses, &case.expected.vector("loss"));
        let mean = ensemble.u.mean();
        case.assert_near("phi", &[mean[0].exp(), mean[1]], &case.expected.vector("phi_mean_final"));
    }
}

#[test]
fn the_first_ensemble_is_drawn_member_by_member() {
    let problem = problem(observation(vec![0.0], Covariance::Scalar(1.0)), 3);
    let draw = Streams::new(42);
    let (few, state) = Kalman::new(Process::Etki, 4).first(&problem, &draw);
    let (many, _) = Kalman::new(Process::Etki, 9).first(&problem, &draw);
    assert_eq!(few.u, many.u.select_cols(&[0, 1, 2, 3]));
    assert_eq!(Progress::read(&state).unwrap(), Progress::default());
    let second = problem.prior.sample(&mut draw.at(Purpose::Prior, 0, 2));
    assert_eq!(few.u.col(1), second);
}

/// All processes, with p above and below J.
fn everything() -> Vec<(Kalman, Linear, Mat)> {
    use localise::{Correction, Form, Rule};
    let mut all = Vec::new();
    let all_processes = [
        Process::Etki,
        Process::Eki { perturbed: true },
        Process::Eki { perturbed: false },
        Process::Eks,
        Process::Aldi,
        Process::Gnki { perturbed: true, draws: Draws::Exact },
        Process::Sparse { perturbed: true },
    ];
    for process in all_processes {
        for (p, members) in [(20, 8), (3, 8), (3, 3)] {
            for (impose_prior, nugget) in [(false, 0.0), (true, 1e-8)] {
                let momentum = if impose_prior { Momentum::Nesterov } else { Momentum::None };
                let rate = Rate::Fixed(0.1);
                let inflation = match (impose_prior, p > members) {
                    (false, _) => Inflation::None,
                    (true, true) => Inflation::Additive { rate, of: Sigma::Initial },
                    (true, false) => Inflation::Multiplicative(rate),
                };
                let sparse = Sparse { limit: 1.0, jitter: 1e-4, ..Sparse::default() };
                let usual = Kalman::new(process, members);
                let kalman = Kalman { impose_prior, nugget, momentum, inflation, sparse, ..usual };
                let sec = Rule::Correction(Correction::Sec { alpha: 0.5, cutoff: 0.05 });
                let weights = Rule::Weights(Vec::new());
                let forms: &[(Rule, Form)] = match process {
                    Process::Etki => &[(weights, Form::Local)],
                    Process::Eki { .. } => &[(sec, Form::Joint), (weights, Form::Cross)],
                    Process::Eks | Process::Aldi => &[],
                    _ => &[(sec, Form::Joint)],
                };
                for (rule, form) in forms {
                    let localisation = Some(Localisation { rule: rule.clone(), form: *form });
                    let kalman = Kalman { localisation, ..kalman.clone() };
                    all.push((kalman, Linear::new(60, 3, p), rough(61, 3, members)));
                }
                let group = |parameters: &[&str]| Group {
                    parameters: parameters.iter().map(|&p| p.to_owned()).collect(),
                    blocks: vec!["all".into()],
                };
                let groups = vec![group(&["u2", "u0"]), group(&["u1"])];
                let grouped = Kalman { groups, ..kalman.clone() };
                all.push((grouped, Linear::new(60, 3, p), rough(61, 3, members)));
                all.push((kalman, Linear::new(60, 3, p), rough(61, 3, members)));
            }
        }
    }
    all
}

#[test]
fn equal_calls_give_equal_bits_and_a_failed_member_shifts_no_other_members_numbers() {
    let draw = Streams::new(7);
    for (kalman, linear, u) in everything() {
        let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 3);
        let (ensemble, state) = start(&u);
        let g = linalg::matmul(&linear.h, &u);
        let step =
            |g: &Mat| kalman.next(&problem, state.clone(), &tried(2, &ensemble, g.clone()), &draw).unwrap();
        let (one, two) = (step(&g), step(&g));
        assert_eq!((&one.ensemble, &one.state, &one.report), (&two.ensemble, &two.state, &two.report));
        // A failed member: its own outputs no longer matter, whatever else stands in its column.
        let mut failed = g.clone();
        failed.col_mut(1).fill(f64::NAN);
        let mut half = g.clone();
        half[(0, 1)] = f64::INFINITY;
        let (a, b) = (step(&failed), step(&half));
        assert_eq!(a.ensemble, b.ensemble);
        assert_eq!((a.report.used, a.report.set_aside[0].0), (u.ncols() - 1, 1));
        assert!(a.ensemble.u.is_finite());
    }
}

#[test]
fn what_was_not_observed_has_no_influence() {
    let draw = Streams::new(7);
    for (kalman, linear, u) in everything() {
        let p = linear.y.len();
        // Given row 1 of the observation is not there, in the full problem and in one without that row
        let mut y = linear.y.clone();
        y[1] = f64::NAN;
        let kept: Vec<usize> = (0..p).filter(|&i| i != 1).collect();
        let short = Mat::from_fn(p - 1, p - 1, |i, j| linear.gamma[(kept[i], kept[j])]);
        let masked = problem(observation(y, Covariance::Dense(linear.gamma.clone())), 3);
        let y = kept.iter().map(|&i| linear.y[i]).collect();
        let without = problem(observation(y, Covariance::Dense(short)), 3);
        // When the model gives nonsense there, Then both steps are one
        let (ensemble, state) = start(&u);
        let g = linalg::matmul(&linear.h, &u);
        let mut nonsense = g.clone();
        (0..u.ncols()).for_each(|j| nonsense[(1, j)] = if j == 0 { f64::NAN } else { 1e9 });
        let rest = Mat::from_fn(p - 1, u.ncols(), |i, j| g[(kept[i], j)]);
        let a = kalman.next(&masked, state.clone(), &tried(0, &ensemble, nonsense), &draw).unwrap();
        let b = kalman.next(&without, state, &tried(0, &ensemble, rest), &draw).unwrap();
        assert_eq!(a.ensemble, b.ensemble);
    }
}

#[test]
fn refused_steps_say_why() {
    let linear = Linear::new(70, 3, 5);
    let u = rough(71, 3, 6);
    let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 3);
    let (ensemble, state) = start(&u);
    let g = linalg::matmul(&linear.h, &u);
    let kalman = Kalman::new(Process::Etki, 6);
    let draw = Streams::new(1);
    let next = |kalman: &Kalman, state: &State, g: &Mat| {
        kalman.next(&problem, state.clone(), &tried(0, &ensemble, g.clone()), &draw)
    };
    let mut over = state.clone();
    Progress { time: 1.0, step: 0.2, reached: true }.write(&mut over);
    assert!(matches!(next(&kalman, &over, &g), Err(AlgorithmError::Over { .. })));
    assert!(matches!(next(&kalman, &State::default(), &g), Err(AlgorithmError::State { .. })));
    let short = g.select_cols(&[0, 1]);
    assert!(matches!(next(&kalman, &state, &short), Err(AlgorithmError::Shape { .. })));
    let nan = Mat::from_fn(5, 6, |_, _| f64::NAN);
    let dead = next(&kalman, &state, &nan);
    assert!(matches!(dead, Err(AlgorithmError::TooFewMembers { found: 0, total: 6 })));
    // One hole refuses the step where failures are ignored.
    let mut hole = g.clone();
    hole[(0, 0)] = f64::NAN;
    let ignore = Kalman { failures: FailureRule::Ignore, ..kalman };
    assert!(matches!(next(&ignore, &state, &hole), Err(AlgorithmError::NoConvergence { .. })));
    next(&ignore, &state, &g).unwrap();
}

#[test]
fn an_imposed_prior_brings_a_linear_problem_to_its_maximum() {
    // Infinite-time ETKI: the mean tends to the maximum of the posterior like 1/T.
    let linear = Linear::new(80, 2, 3);
    let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 2);
    let (map, _) = linear.posterior(&[0.0; 2], &Mat::identity(2));
    let schedule = Schedule::Fixed { step: 1.0 };
    let kalman = Kalman { impose_prior: true, schedule, ..Kalman::new(Process::Etki, 6) };
    let mut far = rough(81, 2, 6);
    far.data_mut().iter_mut().for_each(|x| *x = 3.0 * *x + 5.0);
    let (mut ensemble, mut state) = start(&far);
    for n in 0..2000 {
        let g = linalg::matmul(&linear.h, &ensemble.u);
        let step = kalman.next(&problem, state, &tried(n, &ensemble, g), &Streams::new(1)).unwrap();
        assert!(step.report.metrics.contains_key("bayes_loss"));
        (ensemble, state) = (step.ensemble, step.state);
    }
    assert!(apart(&ensemble.u.mean(), &map) < 5e-3); // a few times 1/T
}

#[test]
fn with_draws_of_the_prior_an_imposed_step_has_the_spread_of_all_data_together() {
    // One step of 1 from N(0, I): data and prior both count with their own draws, so the covariance is the inverse of
    // I + C0^-1 + H' Gamma^-1 H; without them it is smaller.
    let (d, members) = (2, 20_000);
    let linear = Linear::new(82, d, 3);
    let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), d);
    let (ensemble, state) = start(&rough(83, d, members));
    let g = linalg::matmul(&linear.h, &ensemble.u);
    let spread = |perturb_prior: bool| {
        let schedule = Schedule::Fixed { step: 1.0 };
        let process = Process::Eki { perturbed: true };
        let kalman = Kalman { impose_prior: true, perturb_prior, schedule, ..Kalman::new(process, members) };
        let next = kalman.next(&problem, state.clone(), &tried(0, &ensemble, g.clone()), &Streams::new(1));
        linalg::covariance(&next.unwrap().ensemble.u, members as f64 - 1.0)
    };
    // The prior counts twice: as the law of the members and as data
    let mut half = Mat::identity(d);
    half.data_mut().iter_mut().for_each(|x| *x *= 0.5);
    let (_, want) = linear.posterior(&[0.0; 2], &half);
    // Five standard errors of a covariance, and the members' own covariance in the gain
    let near = 10.0 * (2.0 / members as f64).sqrt() * want[(0, 0)].max(want[(1, 1)]);
    let with = spread(true);
    assert!(apart(with.data(), want.data()) < near, "{with:?} {want:?}");
    let without = spread(false);
    assert!((0..d).all(|i| without[(i, i)] < with[(i, i)]));
}

#[test]
fn outputs_that_do_not_know_the_parameters_are_said() {
    let problem = problem(observation(vec![1.0, 2.0], Covariance::Scalar(1.0)), 2);
    let (ensemble, state) = start(&rough(84, 2, 8));
    let told = |g: Mat| {
        let step = Kalman::new(Process::Etki, 8).next(
            &problem,
            state.clone(),
            &tried(0, &ensemble, g),
            &Streams::new(1),
        );
        step.unwrap().report.warnings.iter().any(|w| w.starts_with("no output is correlated"))
    };
    assert!(told(Mat::from_fn(2, 8, |i, _| i as f64 + 0.1)));
    assert!(!told(Mat::from_fn(2, 8, |i, j| if i == 0 { 0.1 } else { ensemble.u[(0, j)] })));
}

#[test]
fn fewer_members_than_parameters_stay_in_their_span() {
    let linear = Linear::new(90, 6, 10);
    let u = rough(91, 6, 4);
    let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 6);
    for process in [Process::Etki, Process::Eki { perturbed: true }] {
        let (ensemble, state) = start(&u);
        let g = linalg::matmul(&linear.h, &u);
        let kalman = Kalman::new(process, 4);
        let next = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
        assert!(next.report.warnings.iter().any(|w| w.starts_with("4 members for 6 parameters")));
        // The moved members add no direction to the old ones.
        let both = Mat::from_columns(6, 8, [u.data(), next.ensemble.u.data()].concat());
        let about = u.mean();
        let off = Mat::from_fn(6, 8, |i, j| both[(i, j)] - about[i]);
        let s = linalg::thin_svd(&off).unwrap().s;
        assert!(s[3] < 1e-13 * s[0], "{s:?}");
    }
}

#[test]
fn every_process_lowers_the_error_of_linear_and_nonlinear_maps() {
    // d = 2, truth (−1, 2) in physical units; prior N(0, ½²) bounded to (−2, 2), and N(3, ½²); 30 members,
    // 12 outputs with noise 0.1, here 15 steps: the error of the mean must be below that of the first ensemble.
    let truth: [f64; 2] = [-1.0, 2.0];
    let physical = |u: &[f64]| [4.0 / (1.0 + (-u[0]).exp()) - 2.0, u[1]];
    let line = rough(400, 12, 2);
    let linear =
        |x: [f64; 2]| -> Vec<f64> { (0..12).map(|i| line[(i, 0)] * x[0] + line[(i, 1)] * x[1]).collect() };
    let norms = |x: [f64; 2]| -> Vec<f64> {
        let (a, b) = ((x[0] - truth[0]).abs(), (x[1] - truth[1]).abs());
        (0..12).map(|i| [a + b, a.hypot(b), a.max(b)][i % 3]).collect()
    };
    let prior = "[a]\nprior = \"Parameterized(Normal(0, 0.5))\"\nconstraint = \"bounded(-2, 2)\"\n\
                 [b]\nprior = \"Parameterized(Normal(3, 0.5))\"\nconstraint = \"no_constraint()\"\n";
    let document = crate::files::human::Document::parse("priors.toml".as_ref(), prior).unwrap();
    let prior = crate::problem::Prior::read(&document, None).unwrap();
    let maps: [&dyn Fn([f64; 2]) -> Vec<f64>; 2] = [&linear, &norms];
    let sec = localise::Rule::Correction(localise::Correction::Sec { alpha: 0.2, cutoff: 0.0 });
    for (n, map) in maps.iter().enumerate() {
        let noise = rough(410 + n as u64, 12, 1);
        let y = map(truth).iter().zip(noise.data()).map(|(g, e)| g + 0.1 * e).collect();
        let problem = Problem { prior: prior.clone(), observation: observation(y, Covariance::Scalar(0.01)) };
        for process in [
            Process::Etki,
            Process::Eki { perturbed: true },
            Process::Gnki { perturbed: true, draws: Draws::Exact },
            Process::Sparse { perturbed: true },
        ] {
            for localised in [false, true] {
                let form =
                    if process == Process::Etki { localise::Form::Local } else { localise::Form::Joint };
                let rule =
                    if process == Process::Etki { localise::Rule::Weights(vec![]) } else { sec.clone() };
                let kalman = Kalman {
                    schedule: Schedule::Fixed { step: 0.5 },
                    sparse: Sparse { limit: 3.5, ..Sparse::default() },
                    localisation: localised.then_some(Localisation { rule, form }),
                    ..Kalman::new(process, 30)
                };
                let draw = Streams::new(7);
                let (mut ensemble, mut state) = kalman.first(&problem, &draw);
                let error = |u: &Mat| {
                    let x = physical(&u.mean());
                    (x[0] - truth[0]).hypot(x[1] - truth[1])
                };
                let before = error(&ensemble.u);
                for iteration in 0..15 {
                    let columns = (0..30).flat_map(|j| map(physical(ensemble.u.col(j)))).collect();
                    let g = Mat::from_columns(12, 30, columns);
                    let step = kalman.next(&problem, state, &tried(iteration, &ensemble, g), &draw).unwrap();
                    (ensemble, state) = (step.ensemble, step.state);
                }
                let after = error(&ensemble.u);
                assert!(after < before, "{process:?} {localised} map {n}: {before} became {after}");
            }
        }
    }
}

#[test]
fn a_member_that_went_astray_is_drawn_anew_and_named() {
    let linear = Linear::new(97, 2, 3);
    let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 2);
    let (ensemble, state) = start(&rough(98, 2, 8));
    let mut g = linalg::matmul(&linear.h, &ensemble.u);
    g[(1, 4)] = 1e9;
    let kalman = Kalman { outlier_factor: Some(1e6), ..Kalman::new(Process::Etki, 8) };
    let step =
        kalman.next(&problem, state.clone(), &tried(0, &ensemble, g.clone()), &Streams::new(3)).unwrap();
    assert_eq!((step.report.used, step.report.set_aside[0].0), (7, 4));
    assert!(step.report.set_aside[0].1.starts_with("its misfit is "));
    // The step is that of a member which failed
    g.col_mut(4).fill(f64::NAN);
    let failed = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
    assert_eq!(failed.ensemble, step.ensemble);
}

#[test]
fn members_with_the_same_outputs_are_named() {
    let observation =
        Observation::new(vec![(Block { name: "a".into(), y: vec![0.0; 2] }, Covariance::Scalar(1.0))])
            .unwrap();
    let problem = problem(observation, 2);
    let (ensemble, state) = start(&rough(95, 2, 4));
    let mut g = rough(96, 2, 4);
    let copy = g.col(0).to_vec();
    g.col_mut(3).copy_from_slice(&copy);
    let kalman = Kalman::new(Process::Etki, 4);
    let step = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
    assert_eq!(step.report.warnings, ["members 1 and 4 have the same outputs"]);
}
