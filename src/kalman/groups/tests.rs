//! Update groups against the reference, and against their problems one by one.

use super::*;
use crate::kalman::evidence::{Keep, gather};
use crate::kalman::given::{covariance, observation, standard_prior};
use crate::kalman::schedule::Progress;
use crate::kalman::{Inflation, Rate};
use crate::numerics::fixture::Fixture;
use crate::problem::observation::{Block, Covariance};
use crate::problem::{Algorithm, Ensemble, Evaluated, State, Step};

#[test]
fn reference_values_are_met_with_overlapping_data() {
    for case in Fixture::read("groups_minibatch").cases("groups_*") {
        let inputs = &case.inputs;
        let (u, g, y) = (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"));
        let observation = observation(y, covariance(inputs));
        let process = match inputs.word("process") {
            "etki" => Process::Etki,
            _ => Process::Eki { perturbed: false },
        };
        let nugget = inputs.number("nugget");
        let kalman = Kalman { nugget, ..Kalman::new(process, u.ncols()) };
        let members: Vec<usize> = (0..u.ncols()).collect();
        let rows = Rows {
            g: &g,
            rows: observation.observed(),
            members: &members,
            y: observation.y(),
            noise: observation.noise(),
        };
        let all = Survivors::new(&kalman, &standard_prior(5), &u, rows).unwrap();
        let parts: Vec<Part> = inputs
            .list("groups")
            .iter()
            .map(|group| {
                let rows = |key: &str| group.vector(key).iter().map(|&i| i as usize).collect::<Vec<_>>();
                let (parameters, observed) = (rows("u"), rows("g"));
                let places = (0..observed.len()).collect();
                Part { index: 1, parameters, outputs: observed.len(), observed, places }
            })
            .collect();
        let draw = Streams::new(1);
        let moved = together(&all, &parts, &[None, None], inputs.number("dt"), &draw, 0);
        case.assert_near("u", moved.unwrap().unwrap().data(), case.expected.matrix("u").data());
    }
}

fn groups(list: &[(&[&str], &[&str])]) -> Vec<Group> {
    let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
    list.iter().map(|(p, b)| Group { parameters: words(p), blocks: words(b) }).collect()
}

#[test]
fn groups_that_are_no_partition_are_told_apart() {
    let block = |name: &str, y: f64| (Block { name: name.into(), y: vec![y; 2] }, Covariance::Scalar(1.0));
    let observation =
        Observation::new(vec![block("a", 0.0), block("b", 1.0), block("none", f64::NAN)]).unwrap();
    let prior = standard_prior(3);
    let check = |list: &[(&[&str], &[&str])]| check(&groups(list), &prior, &observation);
    check(&[(&["u0", "u2"], &["a"]), (&["u1"], &["b", "a"])]).unwrap();
    let why = |list: &[(&[&str], &[&str])]| check(list).unwrap_err();
    assert_eq!(why(&[(&["u0", "u9"], &["a"])]).why, "there is no parameter `u9`");
    assert_eq!(why(&[(&["u0"], &["c"])]).entry, Some(("blocks", 0)));
    assert_eq!(why(&[(&["u0"], &["a", "a"])]).why, "`a` is in this group already");
    let twice = why(&[(&["u0", "u1"], &["a"]), (&["u2", "u1"], &["b"])]);
    assert_eq!((twice.group, twice.entry), (1, Some(("parameters", 1))));
    assert_eq!(twice.why, "`u1` is in group 1 already");
    assert_eq!(why(&[(&["u0", "u1"], &["a"])]).why, "`u2` is in no group");
    assert_eq!(why(&[(&["u0"], &["none"])]).why, "nothing in the blocks of this group was observed");
}

#[test]
fn a_star_is_a_group_for_each_parameter_that_fits() {
    let block = |name: &str| (Block { name: name.into(), y: vec![0.0; 2] }, Covariance::Scalar(1.0));
    let observation = Observation::new(vec![block("b0"), block("b1"), block("b2"), block("all")]).unwrap();
    let prior = standard_prior(3);
    let parts = resolve(&groups(&[(&["u*"], &["b*", "all"])]), &prior, &observation).unwrap();
    let told: Vec<_> = parts.iter().map(|p| (p.index, p.parameters.clone(), p.observed.clone())).collect();
    let each = |i: usize| (i as u32 + 1, vec![i], vec![2 * i, 2 * i + 1, 6, 7]);
    assert_eq!(told, [each(0), each(1), each(2)]);
    let why = |list: &[(&[&str], &[&str])]| check(&groups(list), &prior, &observation).unwrap_err().why;
    assert_eq!(why(&[(&["v*"], &["b*"])]), "there is no parameter `v*`");
    assert_eq!(why(&[(&["u*"], &["c*"])]), "there is no block `c0`");
    assert_eq!(why(&[(&["u0"], &["b0"]), (&["u*"], &["b*"])]), "`u0` is in group 1 already");
}

#[test]
fn a_part_knows_the_places_of_its_outputs_observed_or_not() {
    let block = |name: &str, y: Vec<f64>| (Block { name: name.into(), y }, Covariance::Scalar(1.0));
    let hole = vec![1.0, f64::NAN, 2.0];
    let observation = Observation::new(vec![block("a", hole), block("b", vec![3.0]), block("c", vec![4.0])]);
    let observation = observation.unwrap();
    let parts = resolve(
        &groups(&[(&["u1", "u0"], &["c", "a"]), (&["u2"], &["b"])]),
        &standard_prior(3),
        &observation,
    )
    .unwrap();
    let first = &parts[0];
    assert_eq!((&first.parameters[..], &first.observed[..]), (&[0, 1][..], &[0, 1, 3][..]));
    assert_eq!((&first.places[..], first.outputs), (&[0, 2, 3][..], 4));
    assert_eq!((parts[1].index, &parts[1].observed[..]), (2, &[2][..]));
}

#[test]
fn data_are_gathered_for_the_part_alone() {
    // One parameter per block: each group is the problem without the other's data.
    let y = vec![1.0, -2.0];
    let observation = observation(y.clone(), Covariance::Scalar(0.5));
    let (u, members) = (crate::kalman::given::rough(3, 2, 6), (0..6).collect::<Vec<_>>());
    let rows = Rows {
        g: &u,
        rows: observation.observed(),
        members: &members,
        y: observation.y(),
        noise: observation.noise(),
    };
    let kalman = Kalman::new(Process::Etki, 6);
    let all = Survivors::new(&kalman, &standard_prior(2), &u, rows).unwrap();
    let part = |i: usize| Part {
        index: i as u32 + 1,
        parameters: vec![i],
        observed: vec![i],
        places: vec![0],
        outputs: 1,
    };
    let moved =
        together(&all, &[part(0), part(1)], &[None, None], 0.7, &Streams::new(1), 0).unwrap().unwrap();
    for i in 0..2 {
        let own = Mat::from_fn(1, 6, |_, j| u[(i, j)]);
        let noise = crate::kalman::given::noise(&[(Covariance::Scalar(0.5), 1)]);
        let alone = Rows { g: &own, rows: &[0], members: &members, y: &y[i..=i], noise: &noise };
        let alone = crate::kalman::etki::update(&own, &gather(&alone, Keep::Whitened).0, 0.7).unwrap();
        (0..6).for_each(|j| assert_eq!(moved[(i, j)], alone[(0, j)]));
    }
}

/// Two sites with a parameter, or two, and data of their own; the model of a site is mildly nonlinear.
fn site(k: usize) -> (usize, Vec<f64>, f64) {
    [(2, vec![1.0, -0.5, 2.0, 0.3], 0.04), (1, vec![3.0, 2.5], 4.0)][k].clone()
}

fn model(k: usize, u: &[f64]) -> Vec<f64> {
    let n = site(k).1.len();
    (0..n)
        .map(|i| u.iter().enumerate().map(|(m, u)| (u * (i + m + 1) as f64 / 3.0).sin() + u).sum())
        .collect()
}

/// One site alone, or both in one problem.
fn survey(which: &[usize]) -> (Problem, Vec<Group>) {
    let mut blocks = Vec::new();
    let mut groups = Vec::new();
    let mut first = 0;
    for &k in which {
        let (d, y, variance) = site(k);
        blocks.push((Block { name: format!("s{k}"), y }, Covariance::Scalar(variance)));
        let parameters = (first..first + d).map(|i| format!("u{i}")).collect();
        groups.push(Group { parameters, blocks: vec![format!("s{k}")] });
        first += d;
    }
    (Problem { prior: standard_prior(first), observation: Observation::new(blocks).unwrap() }, groups)
}

fn outputs(which: &[usize], u: &Mat) -> Mat {
    let column = |j: usize| {
        let mut first = 0;
        let mut all = Vec::new();
        for &k in which {
            let d = site(k).0;
            all.extend(model(k, &u.col(j)[first..first + d]));
            first += d;
        }
        all
    };
    let columns: Vec<f64> = (0..u.ncols()).flat_map(column).collect();
    Mat::from_columns(columns.len() / u.ncols(), u.ncols(), columns)
}

/// All steps to the end, at most `most`.
fn carry(
    method: &dyn Algorithm,
    which: &[usize],
    problem: &Problem,
    (mut ensemble, mut state): (Ensemble, State),
    most: u32,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for iteration in 0..most {
        let tried = Evaluated { iteration, ensemble: &ensemble, g: outputs(which, &ensemble.u) };
        let step = method.next(problem, state, &tried, &Streams::new(5)).unwrap();
        (ensemble, state) = (step.ensemble.clone(), step.state.clone());
        let over = step.stop.is_some();
        steps.push(step);
        if over {
            break;
        }
    }
    steps
}

#[test]
fn groups_with_their_own_steps_are_their_problems_one_by_one() {
    let members = 12;
    let u = crate::kalman::given::rough(9, 3, members);
    for inflation in [Inflation::None, Inflation::Multiplicative(Rate::Fixed(0.01))] {
        let alone = Kalman { inflation, ..Kalman::new(Process::Etki, members) };
        let begin = |rows: std::ops::Range<usize>| {
            let mut state = State::default();
            Progress::default().write(&mut state);
            (Ensemble { u: Mat::from_fn(rows.len(), members, |i, j| u[(rows.start + i, j)]) }, state)
        };
        let first = carry(&alone, &[0], &survey(&[0]).0, begin(0..2), 100);
        let second = carry(&alone, &[1], &survey(&[1]).0, begin(2..3), 100);
        assert!(first.len() > second.len() && first.last().unwrap().stop.is_some());
        let (problem, groups) = survey(&[0, 1]);
        let both = Kalman { groups, own_steps: true, ..alone.clone() };
        let both = carry(&both, &[0, 1], &problem, begin(0..3), 100);
        assert_eq!(both.len(), first.len());
        for (n, step) in both.iter().enumerate() {
            let (a, b) = (&first[n], &second[n.min(second.len() - 1)]);
            let told = step.report.groups.as_ref().unwrap();
            let moved = if n < second.len() { b.report.step } else { 0.0 };
            assert_eq!(
                (&told.step, &told.time),
                (&vec![a.report.step, moved], &vec![a.report.time, b.report.time])
            );
            assert_eq!(step.report.time, a.report.time.min(b.report.time));
            for j in 0..members {
                assert_eq!(&step.ensemble.u.col(j)[..2], a.ensemble.u.col(j));
                assert_eq!(&step.ensemble.u.col(j)[2..], b.ensemble.u.col(j));
            }
        }
    }
}

#[test]
fn a_group_that_is_done_stays_though_members_fail() {
    let (problem, groups) = survey(&[0, 1]);
    let momentum = crate::kalman::Momentum::Nesterov;
    let kalman = Kalman { groups, own_steps: true, momentum, ..Kalman::new(Process::Etki, 12) };
    let steps = carry(&kalman, &[0, 1], &problem, kalman.first(&problem, &Streams::new(1)), 100);
    let at = steps.iter().position(|s| s.report.groups.as_ref().unwrap().time[1] == 1.0).unwrap();
    let Step { ensemble, state, .. } = &steps[at];
    let mut g = outputs(&[0, 1], &ensemble.u);
    g.col_mut(4).fill(f64::NAN);
    let tried = Evaluated { iteration: at as u32 + 1, ensemble, g };
    let next = kalman.next(&problem, state.clone(), &tried, &Streams::new(1)).unwrap();
    assert_eq!(next.report.set_aside.len(), 1);
    for j in 0..12 {
        assert_eq!(next.ensemble.u[(2, j)], ensemble.u[(2, j)]);
        assert_ne!(next.ensemble.u[(0, j)], ensemble.u[(0, j)]);
    }
}

#[test]
fn unscented_groups_are_their_problems_one_by_one_however_their_points_lie() {
    use crate::kalman::unscented::{Kept, Points, Unscented};
    for (points, impose_prior, shared_points, own_steps) in [
        (Points::Symmetric, true, false, false),
        (Points::Symmetric, true, true, false),
        (Points::Simplex, true, false, false),
        (Points::Simplex, false, true, true),
        (Points::Symmetric, false, false, true),
    ] {
        let mut alone = Unscented { impose_prior, ..Unscented::new(points) };
        if own_steps {
            alone.schedule = Kalman::new(Process::Etki, 2).schedule;
        }
        let run = |method: &Unscented, which: &[usize]| {
            let problem = survey(which).0;
            let begin = method.begin(&problem.prior).unwrap();
            carry(method, which, &problem, begin, 12)
        };
        let (first, second) = (run(&alone, &[0]), run(&alone, &[1]));
        let groups = survey(&[0, 1]).1;
        let both = Unscented { groups, own_steps, shared_points, ..alone.clone() };
        let steps = run(&both, &[0, 1]);
        let last = |steps: &[Step], d| {
            let step = steps.last().unwrap();
            (
                Kept::read(&step.state, d).unwrap(),
                both.estimate(step.ensemble.clone(), &step.state).unwrap().u,
            )
        };
        let ((a, _), (b, _)) = (last(&first, 2), last(&second, 1));
        let step = steps.last().unwrap();
        let kept = Kept::read_parts(&step.state, &[vec![0, 1], vec![2]]).unwrap();
        assert_eq!(steps.len(), first.len().max(second.len()));
        for (kept, want) in kept.iter().zip([&a, &b]) {
            // The same operations on the same numbers
            assert_eq!((&kept.mean, &kept.covariance), (&want.mean, &want.covariance));
        }
        let spread = [a.covariance[(0, 0)], a.covariance[(1, 1)], b.covariance[(0, 0)]];
        let estimate = both.estimate(step.ensemble.clone(), &step.state).unwrap().u;
        for (got, want) in crate::kalman::metrics::spread(&estimate).iter().zip(spread) {
            assert!((got - want.sqrt()).abs() < 1e-14 * want.sqrt() + 1e-15, "{got} {want}");
        }
        let members = match (points, shared_points) {
            (Points::Symmetric, false) => 7,
            (Points::Symmetric, true) => 5,
            (Points::Simplex, false) => 1 + 3 + 2,
            (Points::Simplex, true) => 4,
        };
        assert_eq!((both.members(&survey(&[0, 1]).0.prior), step.ensemble.u.ncols()), (members, members));
    }
}

#[test]
fn a_point_that_failed_is_missed_by_its_own_group_alone() {
    use crate::kalman::unscented::{Kept, Points, Unscented};
    let (problem, groups) = survey(&[0, 1]);
    let method = Unscented { groups, impose_prior: true, ..Unscented::new(Points::Symmetric) };
    let (ensemble, state) = method.begin(&problem.prior).unwrap();
    let step = |failed: &[usize]| {
        let mut g = outputs(&[0, 1], &ensemble.u);
        failed.iter().for_each(|&j| g.col_mut(j).fill(f64::NAN));
        let tried = Evaluated { iteration: 0, ensemble: &ensemble, g };
        let step = method.next(&problem, state.clone(), &tried, &Streams::new(1)).unwrap();
        let kept = Kept::read_parts(&step.state, &[vec![0, 1], vec![2]]).unwrap();
        (kept, step.report.warnings)
    };
    let ((all, none), (less, said)) = (step(&[]), step(&[1, 3]));
    assert!(none.is_empty());
    assert_eq!(all[1], less[1]);
    assert_ne!(all[0], less[0]);
    assert_eq!(said, ["failed points leave 1 of 3 directions without any: nothing is learnt there"]);
}
