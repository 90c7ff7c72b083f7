//! Tests of localisation: reference numbers, the two forms against each other, and a problem with too few members.

use super::*;
use crate::kalman::evidence::Rows;
use crate::kalman::given::{Linear, apart, covariance, observation, rough, standard_prior};
use crate::kalman::groups::Part;
use crate::kalman::schedule::Progress;
use crate::kalman::survivors::Survivors;
use crate::kalman::{Kalman, Momentum, Process, Schedule};
use crate::numerics::fixture::{Case, Fixture};
use crate::numerics::linalg;
use crate::problem::observation::{Block, Covariance, Observation};
use crate::problem::{Algorithm, Ensemble, Evaluated, State};

const PEER: Correction = Correction::Nice { delta_ug: 1.0, delta_gg: 1.0, std: Std::Peer };

const THEORY: Correction = Correction::Nice { delta_ug: 1.0, delta_gg: 1.0, std: Std::Theory };

/// The rule of a reference case.
fn rule(case: &Case) -> (Option<Rule>, Option<Mat>) {
    let params = case.inputs.part("params");
    let correction = |c| (Some(Rule::Correction(c)), None);
    match case.inputs.word("localizer") {
        "delta" => (Some(Rule::Delta), None),
        "rbf" => (Some(Rule::Rbf { length: params.number("lengthscale") }), None),
        "kernel" => (None, Some(params.matrix("kernel_ug"))),
        "sec" | "sec_cutoff" => {
            correction(Correction::Sec { alpha: params.number("alpha"), cutoff: params.number("r0") })
        }
        "sec_fisher" => correction(Correction::Fisher),
        _ => correction(Correction::Nice {
            delta_ug: params.number("delta_ug"),
            delta_gg: params.number("delta_gg"),
            std: Std::Peer,
        }),
    }
}

#[test]
fn reference_covariances_and_steps_are_met() {
    for case in Fixture::read("localizers").cases("*") {
        let inputs = &case.inputs;
        let (u, g, y) = (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"));
        let (dt, nugget) = (inputs.number("dt"), inputs.number("nugget"));
        let observation = observation(y, covariance(inputs));
        let part = Part::whole(u.nrows(), &observation);
        let problem = Problem { prior: standard_prior(u.nrows()), observation };
        let plan = match rule(case) {
            (Some(rule), _) => {
                Localisation { rule, form: Form::Joint }.plan(&problem, &part, &Streams::new(1), 0).unwrap()
            }
            (None, kernel) => Plan::Kernel(kernel.unwrap(), Form::Joint),
        };
        let (x, centred) = (linalg::centred(&u).0, linalg::centred(&g).0);
        let mut joint = Joint::new(&x, &centred, nugget);
        joint.localise(&plan, u.ncols());
        let want = &case.expected;
        case.assert_near("cov_ug", joint.ug.data(), want.matrix("cov_ug").data());
        let p = g.nrows();
        let diagonal: Vec<f64> = (0..p).map(|i| joint.gg[(i, i)]).collect();
        let first: Vec<f64> = (0..p).map(|i| joint.gg[(0, i)]).collect();
        case.assert_near("cov_gg_diag", &diagonal, &want.vector("cov_gg_diag"));
        case.assert_near("cov_gg_row0", &first, &want.vector("cov_gg_row0"));
        let mut gamma = problem.observation.noise().to_dense();
        gamma.data_mut().iter_mut().for_each(|x| *x /= dt);
        let y = problem.observation.y();
        let off = Mat::from_fn(p, u.ncols(), |i, j| y[i] - g[(i, j)]);
        let change = joint.analysis(&gamma, &off).unwrap().0;
        let moved = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] + change[(i, j)]);
        case.assert_near("u", moved.data(), want.matrix("u_unperturbed_eki").data());
    }
}

/// One step of a method from `u` on a linear problem, without a guard.
fn one(kalman: &Kalman, linear: &Linear, u: &Mat, dt: f64) -> Option<Mat> {
    let observation = observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone()));
    let g = linalg::matmul(&linear.h, u);
    let members: Vec<usize> = (0..u.ncols()).collect();
    let problem = Problem { prior: standard_prior(u.nrows()), observation };
    let rows = Rows {
        g: &g,
        rows: problem.observation.observed(),
        members: &members,
        y: problem.observation.y(),
        noise: problem.observation.noise(),
    };
    let all = Survivors::new(kalman, &problem.prior, u, rows).unwrap();
    let draw = Streams::new(5);
    match &kalman.localisation {
        None => Some(all.step(all.look().0, dt, &draw, 3, &mut None).unwrap()),
        Some(rule) => {
            let part = Part::whole(u.nrows(), &problem.observation);
            let plan = rule.plan(&problem, &part, &draw, 3).unwrap();
            all.localised(&plan, dt, &draw, 3).unwrap()
        }
    }
}

fn with(process: Process, rule: Rule, form: Form, members: usize) -> Kalman {
    Kalman { localisation: Some(Localisation { rule, form }), ..Kalman::new(process, members) }
}

/// A rule that keeps everything.
fn everything() -> Rule {
    Rule::Weights(Vec::new())
}

#[test]
fn a_rule_that_keeps_everything_changes_nothing_in_any_form() {
    let eki = |perturbed| Process::Eki { perturbed };
    let peer = Process::Gnki { perturbed: true, draws: super::super::Draws::Peer };
    for (d, p, n) in [(3, 5, 9), (4, 12, 7), (6, 9, 4)] {
        let linear = Linear::new(40, d, p);
        let u = rough(41, d, n);
        for (process, forms) in [
            (eki(false), &[Form::Joint, Form::Cross][..]),
            (eki(true), &[Form::Joint, Form::Cross][..]),
            (Process::Etki, &[Form::Local][..]),
            (peer, &[Form::Joint][..]),
            (Process::Sparse { perturbed: true }, &[Form::Joint][..]),
        ] {
            for (impose_prior, nugget) in [(false, 0.0), (true, 1e-3), (true, 0.0)] {
                // A sparse step by the whole covariance needs one that has an inverse.
                let sparse = matches!(process, Process::Sparse { .. });
                if sparse && n <= d {
                    continue;
                }
                let options = super::super::Sparse { limit: 1.5, ..Default::default() };
                let plain = Kalman { impose_prior, nugget, sparse: options, ..Kalman::new(process, n) };
                // The draws of noise are in data space in one, in ensemble space in the other where p ≥ J.
                let same_draws = nugget > 0.0 || p + d * usize::from(impose_prior) < n;
                if (process == eki(true) || sparse || process == peer) && !same_draws {
                    continue;
                }
                if process == peer && p >= n {
                    continue;
                }
                let want = one(&plain, &linear, &u, 0.7).unwrap();
                for &form in forms {
                    let rule = Some(Localisation { rule: everything(), form });
                    let got = one(&Kalman { localisation: rule, ..plain.clone() }, &linear, &u, 0.7).unwrap();
                    // Round-off of two ways, one of which solves p × p
                    let off = apart(got.data(), want.data());
                    assert!(off < 1e-8, "{process:?} {form:?} {d} {p} {n} {impose_prior}: {off}");
                }
            }
        }
    }
}

#[test]
fn without_correction_of_outputs_the_linear_form_is_the_dense_one() {
    let nice = |delta_gg| Correction::Nice { delta_ug: 1.0, delta_gg, std: Std::Theory };
    for (d, p, n, impose_prior) in [(4, 6, 8, false), (7, 10, 5, false), (4, 6, 8, true)] {
        let linear = Linear::new(50, d, p);
        let u = rough(51, d, n);
        for rule in [Rule::Delta, Rule::Rbf { length: 2.0 }, Rule::Dropout { keep: 0.4 }] {
            let step = |form| {
                let kalman = with(Process::Eki { perturbed: true }, rule.clone(), form, n);
                one(&Kalman { impose_prior, ..kalman }, &linear, &u, 1e-2).unwrap()
            };
            let (dense, linear) = (step(Form::Joint), step(Form::Cross));
            assert!(apart(linear.data(), dense.data()) < 1e-10, "{rule:?}");
        }
        // A correction that leaves outputs alone: they are clipped at 1 − 2e-8, so no closer than that
        if !impose_prior {
            let step = |form| {
                let rule = Rule::Correction(nice(0.0));
                one(&with(Process::Eki { perturbed: true }, rule, form, n), &linear, &u, 1e-2).unwrap()
            };
            assert!(apart(step(Form::Cross).data(), step(Form::Joint).data()) < 1e-6);
        }
    }
}

#[test]
fn weights_go_by_name_and_a_parameter_without_data_keeps_its_place() {
    let (n, d) = (12, 2);
    let block = |name: &str, y: Vec<f64>| (Block { name: name.into(), y }, Covariance::Scalar(0.3));
    let observation =
        Observation::new(vec![block("a", vec![1.0, f64::NAN, 2.0]), block("b", vec![-1.0])]).unwrap();
    let problem = Problem { prior: standard_prior(d), observation };
    let weight = |parameter: &str, block: &str, weight| Weight {
        parameter: parameter.into(),
        block: block.into(),
        weight,
    };
    let rule = Rule::Weights(vec![weight("u0", "b", 0.0), weight("u1", "a", 0.0), weight("u1", "b", 0.0)]);
    let part = Part::whole(d, &problem.observation);
    let plan =
        Localisation { rule: rule.clone(), form: Form::Joint }.plan(&problem, &part, &Streams::new(1), 0);
    let Plan::Kernel(kernel, _) = plan.unwrap() else { panic!() };
    assert_eq!(kernel, Mat::from_columns(2, 3, vec![1.0, 0.0, 1.0, 0.0, 0.0, 0.0]));
    let unknown = Localisation { rule: Rule::Weights(vec![weight("u0", "c", 0.0)]), form: Form::Joint };
    let refused = unknown.plan(&problem, &part, &Streams::new(1), 0).unwrap_err();
    assert_eq!(refused.to_string(), "weights of the localisation: there is no `c`");
    // Whatever the form, u1 stays, to the last bit
    let (ensemble, g) = (Ensemble { u: rough(2, d, n) }, rough(3, 4, n));
    for (process, form) in [
        (Process::Eki { perturbed: true }, Form::Joint),
        (Process::Eki { perturbed: false }, Form::Cross),
        (Process::Etki, Form::Local),
    ] {
        let kalman = with(process, rule.clone(), form, n);
        let tried = Evaluated { iteration: 0, ensemble: &ensemble, g: g.clone() };
        let step = kalman.next(&problem, started(), &tried, &Streams::new(4)).unwrap();
        for j in 0..n {
            assert!((step.ensemble.u[(1, j)] - ensemble.u[(1, j)]).abs() < 1e-14, "{process:?}");
            assert_ne!(step.ensemble.u[(0, j)], ensemble.u[(0, j)]);
        }
    }
}

#[test]
fn dropout_keeps_its_share_and_belongs_to_the_address() {
    for (d, p) in [(30, 70), (70, 30), (40, 40)] {
        let draw = Streams::new(9);
        let kept = dropout(d, p, 0.3, &draw, 2);
        assert_eq!((kept.nrows(), kept.ncols()), (d, p));
        assert_eq!(kept, dropout(d, p, 0.3, &draw, 2));
        assert_ne!(kept, dropout(d, p, 0.3, &draw, 3));
        assert_ne!(kept, dropout(d, p, 0.3, &draw.part(1), 2));
        let small = d.min(p);
        for i in 0..small {
            assert_eq!(kept[(i, i)], 1.0);
            (0..small).for_each(|k| assert_eq!(kept[(i, k)], kept[(k, i)]));
        }
        let ones = kept.data().iter().sum::<f64>() - small as f64;
        let share = ones / (d * p - small) as f64;
        // Four standard errors of pairs that are drawn together: 4 √(0.21 · 2 / 1540)
        assert!((share - 0.3).abs() < 0.07, "{share}");
    }
}

fn started() -> State {
    let mut state = State::default();
    Progress::default().write(&mut state);
    state
}

/// Twenty steps of 1 on the identity map, d = p = 50, y = 10 U(0, 1), Γ = I, prior N(0, ¼ I): final loss and ratio of spreads.
fn identity(
    localisation: Option<Localisation>,
    members: usize,
    seed: u64,
    process: Process,
    nesterov: bool,
) -> (f64, f64) {
    use rand::RngExt;
    let d = 50;
    let mut stream = Streams::new(seed).at(Purpose::Model, 7, 0);
    let y: Vec<f64> = (0..d).map(|_| 10.0 * stream.random::<f64>()).collect();
    let problem =
        Problem { prior: standard_prior(d), observation: observation(y.clone(), Covariance::Scalar(1.0)) };
    let momentum = if nesterov { Momentum::Nesterov } else { Momentum::None };
    let schedule = Schedule::Fixed { step: 1.0 };
    let kalman = Kalman { schedule, momentum, localisation, ..Kalman::new(process, members) };
    let mut u = rough(seed + 1000, d, members);
    u.data_mut().iter_mut().for_each(|x| *x *= 0.5);
    let spread = |u: &Mat| {
        let c = linalg::covariance(u, members as f64);
        (0..d).map(|i| c[(i, i)]).sum::<f64>().sqrt()
    };
    let first = spread(&u);
    let (mut ensemble, mut state) = (Ensemble { u }, started());
    for iteration in 0..20 {
        let g = ensemble.u.clone();
        let step = kalman
            .next(&problem, state, &Evaluated { iteration, ensemble: &ensemble, g }, &Streams::new(seed))
            .unwrap();
        (ensemble, state) = (step.ensemble, step.state);
    }
    let mean = ensemble.u.mean();
    let loss = mean.iter().zip(&y).map(|(m, y)| (m - y).powi(2)).sum::<f64>() / d as f64;
    (loss, spread(&ensemble.u) / first)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    let n = all.len();
    0.5 * (all[(n - 1) / 2] + all[n / 2])
}

#[test]
fn every_rule_beats_none_where_members_are_few() {
    // Medians of ten repetitions by an independent program; ours of eleven others. One repetition of these losses
    // varies by a factor of about 1.5 around the median, a median of ten by 1.25: within 1.6 of each other.
    let joint = |rule| Some(Localisation { rule, form: Form::Joint });
    let sec = |alpha, cutoff| Rule::Correction(Correction::Sec { alpha, cutoff });
    let unperturbed = Process::Eki { perturbed: false };
    for (name, localisation, known) in [
        ("none", None, 28.5),
        ("delta", joint(Rule::Delta), 0.14),
        ("rbf", joint(Rule::Rbf { length: 1.0 }), 0.28),
        ("sec 10", joint(sec(10.0, 0.0)), 0.78),
        ("sec-nice", joint(Rule::Correction(PEER)), 0.78),
        ("sec 1 0.1", joint(sec(1.0, 0.1)), 12.7),
        ("sec-fisher", joint(Rule::Correction(Correction::Fisher)), 20.2),
    ] {
        let all: Vec<(f64, f64)> =
            (0..11).map(|seed| identity(localisation.clone(), 10, 100 + seed, unperturbed, true)).collect();
        let found = median(all.iter().map(|(loss, _)| *loss).collect());
        eprintln!("{name}: {found:.3} (known {known})");
        assert!(found < 1.6 * known && known < 1.6 * found, "{name}: {found}, known {known}");
        // And no spread doubles
        assert!(all.iter().all(|(_, ratio)| *ratio < 2.0), "{name}: {all:?}");
    }
}

#[test]
fn the_deviation_of_theory_takes_less_noise_away_but_beats_none() {
    // Here every correlation off the diagonal is noise, so whoever takes most away is best: 0.8 with the larger
    // deviation, 28 without correction.
    let localisation = Some(Localisation { rule: Rule::Correction(THEORY), form: Form::Joint });
    let one = |seed| identity(localisation.clone(), 10, seed, Process::Eki { perturbed: false }, true).0;
    let found = median((100..111).map(one).collect());
    assert!(found > 0.8 && found < 4.0, "{found}");
}

#[test]
fn five_members_do_not_run_away() {
    // Delta and RBF with perturbed observations grew to a spread of 1e200 here without the guard.
    for form in [Form::Joint, Form::Cross] {
        for rule in [Rule::Delta, Rule::Rbf { length: 0.1 }, Rule::Correction(Correction::Fisher)] {
            for seed in 0..5 {
                let localisation = Some(Localisation { rule: rule.clone(), form });
                let (loss, ratio) =
                    identity(localisation, 5, 200 + seed, Process::Eki { perturbed: true }, false);
                // The first loss is 33, and Fisher learns little from five members. Halved steps have larger draws of
                // the noise, so the spread may grow somewhat.
                assert!(loss < 50.0 && ratio < 5.0, "{form:?} {rule:?}: {loss} {ratio}");
            }
        }
    }
}

#[test]
fn the_local_transform_needs_no_guard_and_has_the_right_spread() {
    let delta = Localisation { rule: Rule::Delta, form: Form::Local };
    let (loss, ratio) = identity(Some(delta), 10, 300, Process::Etki, false);
    // Twenty steps of 1 weigh the data twenty times: with a variance s² = ¼, give or take half of it in ten members, the
    // variance becomes s²/(1 + 20 s²), 0.41² of it, and of the first misfit of 33 there remains 1/(1 + 20 s²)², 0.9.
    assert!(loss < 3.0 && ratio < 0.5, "{loss} {ratio}");
    // One step of 1 on one parameter is Kalman's formula with the sample's variance, whatever the others are
    let linear = Linear { h: Mat::identity(3), y: vec![1.0, -2.0, 0.5], gamma: Mat::identity(3) };
    let u = rough(8, 3, 6);
    let got = one(&with(Process::Etki, Rule::Delta, Form::Local, 6), &linear, &u, 1.0).unwrap();
    let (before, after) = (linalg::covariance(&u, 5.0), linalg::covariance(&got, 5.0));
    for i in 0..3 {
        let c = before[(i, i)];
        assert!((after[(i, i)] - c / (1.0 + c)).abs() < 1e-13);
        let mean = u.mean()[i] + c / (1.0 + c) * (linear.y[i] - u.mean()[i]);
        assert!((got.mean()[i] - mean).abs() < 1e-13);
    }
}

#[test]
fn localised_steps_reach_directions_that_no_member_had() {
    let (d, n) = (12, 5);
    let linear = Linear { h: Mat::identity(d), y: vec![1.0; d], gamma: Mat::identity(d) };
    let u = rough(9, d, n);
    let rank = |u: &Mat, about: &[f64]| {
        let off = Mat::from_fn(d, u.ncols(), |i, j| u[(i, j)] - about[i]);
        let s = linalg::thin_svd(&off).unwrap().s;
        s.iter().filter(|x| **x > 1e-10 * s[0]).count()
    };
    assert_eq!(rank(&u, &u.mean()), n - 1);
    for rule in [Rule::Delta, Rule::Correction(PEER)] {
        let moved =
            one(&with(Process::Eki { perturbed: false }, rule, Form::Joint, n), &linear, &u, 0.1).unwrap();
        let both = Mat::from_columns(d, 2 * n, [u.data(), moved.data()].concat());
        assert!(rank(&both, &u.mean()) > n - 1);
    }
}

/// Lorenz 96 with F = 8 from a state to that 0.4 time units later, Runge-Kutta with steps of 0.05.
fn lorenz(x: &[f64], steps: usize) -> Vec<f64> {
    let n = x.len();
    let slope = |x: &[f64]| -> Vec<f64> {
        (0..n).map(|i| (x[(i + 1) % n] - x[(i + n - 2) % n]) * x[(i + n - 1) % n] - x[i] + 8.0).collect()
    };
    let add =
        |x: &[f64], h: f64, k: &[f64]| -> Vec<f64> { x.iter().zip(k).map(|(x, k)| x + h * k).collect() };
    let mut x = x.to_vec();
    for _ in 0..steps {
        let k1 = slope(&x);
        let k2 = slope(&add(&x, 0.025, &k1));
        let k3 = slope(&add(&x, 0.025, &k2));
        let k4 = slope(&add(&x, 0.05, &k3));
        for i in 0..n {
            x[i] += 0.05 / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        }
    }
    x
}

/// Loss of the mean output after twenty steps of 1: d = p = 100, 20 members, prior N(0, I), noise of variance 1.
fn state_estimate(localisation: Option<Localisation>, process: Process, nesterov: bool) -> f64 {
    let (d, n) = (100, 20);
    let truth = lorenz(&rough(500, d, 1).data().iter().map(|x| 8.0 + 0.01 * x).collect::<Vec<_>>(), 2000);
    let y = lorenz(&truth, 8).iter().zip(rough(501, d, 1).data()).map(|(x, e)| x + e).collect();
    let problem = Problem { prior: standard_prior(d), observation: observation(y, Covariance::Scalar(1.0)) };
    let momentum = if nesterov { Momentum::Nesterov } else { Momentum::None };
    let kalman =
        Kalman { schedule: Schedule::Fixed { step: 1.0 }, momentum, localisation, ..Kalman::new(process, n) };
    let (mut ensemble, mut state) = (Ensemble { u: rough(502, d, n) }, started());
    let mut loss = f64::NAN;
    for iteration in 0..=20 {
        let columns = (0..n).flat_map(|j| lorenz(ensemble.u.col(j), 8)).collect();
        let g = Mat::from_columns(d, n, columns);
        let tried = Evaluated { iteration, ensemble: &ensemble, g };
        let step = kalman.next(&problem, state, &tried, &Streams::new(9)).unwrap();
        loss = step.report.misfit;
        (ensemble, state) = (step.ensemble, step.state);
    }
    loss
}

#[test]
fn the_state_of_a_ring_of_a_hundred_is_found_with_twenty_members_only_when_localised() {
    let sec_nice = |rule| Some(Localisation { rule: Rule::Correction(rule), form: Form::Joint });
    let near = |form| Some(Localisation { rule: Rule::Rbf { length: 3.0 }, form });
    let eki = Process::Eki { perturbed: false };
    // First loss 16. Bounds are 1.5 times what was found: 12.0, 6.2, 6.0, 2.6, 1.9
    let without = state_estimate(None, eki, true);
    assert!(without > 8.0, "{without}");
    for (name, localisation, process, nesterov, most) in [
        ("sec-nice", sec_nice(PEER), eki, true, 9.0),
        ("sec-nice, theory", sec_nice(THEORY), eki, true, 9.0),
        ("rbf", near(Form::Cross), eki, true, 4.0),
        ("local rbf", near(Form::Local), Process::Etki, false, 3.0),
    ] {
        let found = state_estimate(localisation, process, nesterov);
        assert!(found < most && found < 0.8 * without, "{name}: {found}, without {without}");
    }
}
