//! The rule against its oracle, its edge cases by name, and what it finds.

use serde_json::Value;

use super::*;

fn pieces() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/hydro/small_pieces.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn search(space: Space, budget: u32) -> Search {
    Search {
        space,
        initial: Search::usual_initial(budget, false),
        r: 0.2,
        p_min: 0.0,
        widen: false,
        boundary: Boundary::Reflect,
        select: Select::Best,
        start: None,
        storm: 50,
        most_failures: 10 * Search::usual_initial(budget, false),
    }
}

fn cube(d: usize) -> Space {
    Space { axes: vec![Axis::new(-5.0, 5.0, Kind::Real); d], ..Space::default() }
}

/// Goals of a trial, by number and values.
type Landscape<'a> = &'a dyn Fn(u32, &[f64]) -> Option<Vec<f64>>;

/// A whole search in batches; `f` tells the goals of a trial. The standing, and all trials in order.
fn run(search: &Search, budget: u32, batch: u32, seed: u64, f: Landscape<'_>) -> (Standing, Vec<Trial>) {
    let (mut standing, mut all) = (Standing::default(), Vec::new());
    let draw = Streams::new(seed);
    let budget_here = search.evaluations(budget);
    let mut size = search.initial.max(batch);
    while standing.done < budget_here {
        let last = (standing.done + size).min(budget_here);
        let trials: Vec<Trial> =
            (standing.done + 1..=last).map(|t| search.trial(&standing, t, budget, &draw)).collect();
        let tried = |(t, trial): (u32, &Trial)| Tried { trial: t, x: trial.x.clone(), goals: f(t, &trial.x) };
        let together: Vec<Tried> = (standing.done + 1..).zip(&trials).map(tried).collect();
        search.merge(&mut standing, &together);
        all.extend(trials);
        size = batch;
        if search.gives_up(&standing).is_some() {
            break;
        }
    }
    (standing, all)
}

fn sphere(_: u32, x: &[f64]) -> Option<Vec<f64>> {
    Some(vec![-x.iter().map(|x| (x - 1.0).powi(2)).sum::<f64>()])
}

#[test]
fn one_step_and_the_probability_are_those_of_the_oracle() {
    let pieces = pieces();
    for case in pieces["dds_perturb"].as_array().unwrap() {
        let of = |key: &str| case[key].as_f64().unwrap();
        let y = perturb(of("x"), of("z"), (of("lo"), of("hi")), of("r") * (of("hi") - of("lo")));
        assert!((y - of("y")).abs() < 1e-12 * of("y").abs().max(1.0), "{case}"); // round-off of three terms
    }
    for case in pieces["dds_probability"].as_array().unwrap() {
        let of = |key: &str| case[key].as_u64().unwrap() as u32;
        let p = probability(of("k"), of("m"));
        assert!((p - case["p"].as_f64().unwrap()).abs() < 1e-14, "{case}");
    }
}

#[test]
fn the_number_of_moved_coordinates_is_what_the_probability_says() {
    let search = search(cube(10), 1000);
    let (_, trials) = run(&search, 1000, 1, 3, &sphere);
    let left = 1000 - search.initial;
    for (from, to) in [(1, 50), (51, 300), (301, 995)] {
        let (mut moved, mut mean, mut variance) = (0.0, 0.0, 0.0);
        for k in from..=to.min(left) {
            let p = probability(k, left);
            moved += f64::from(trials[(search.initial + k) as usize - 1].moved);
            // At least one moves: 10 p + (1 − p)^10
            mean += 10.0 * p + (1.0 - p).powi(10);
            variance += 10.0 * p * (1.0 - p) + (1.0 - p).powi(10);
        }
        assert!((moved - mean).abs() < 4.0 * f64::sqrt(variance) + 1e-9, "{from}: {moved} for {mean}");
    }
    // The last step moves one coordinate.
    assert_eq!(trials.last().unwrap().moved, 1);
}

#[test]
fn a_trial_is_a_function_of_its_number_and_of_what_is_known() {
    let search = search(cube(6), 200);
    let (first, trials) = run(&search, 200, 1, 9, &sphere);
    // Asked again, in another order, the same trials come out.
    let (again, same) = run(&search, 200, 1, 9, &sphere);
    assert_eq!((&first, &trials), (&again, &same));
    let draw = Streams::new(9);
    assert_eq!(search.trial(&first, 150, 200, &draw), search.trial(&first, 150, 200, &draw));
    assert_ne!(search.trial(&first, 150, 200, &draw).x, search.trial(&first, 151, 200, &draw).x);
}

#[test]
fn a_coordinate_without_room_is_never_moved_and_a_space_without_room_is_tried_once() {
    let mut space = cube(3);
    space.axes[1] = Axis::new(2.0, 2.0, Kind::Real);
    let search = search(space, 100);
    assert_eq!(search.space.free(), [0, 2]);
    let (_, trials) = run(&search, 100, 4, 1, &sphere);
    assert!(trials.iter().all(|trial| trial.x[1] == 2.0 && trial.moved <= 2));
    // No coordinate is free
    let fixed =
        super::tests::search(Space { axes: vec![Axis::new(3.0, 3.0, Kind::Real)], ..Space::default() }, 50);
    let (standing, trials) = run(&fixed, 50, 1, 1, &sphere);
    assert_eq!((standing.done, trials.len()), (1, 1));
}

#[test]
fn a_budget_within_the_draws_ends_with_them() {
    for budget in [1, 3, 5, 6, 7] {
        let search = search(cube(2), budget);
        let (standing, trials) = run(&search, budget, 1, 4, &sphere);
        assert_eq!((standing.done, trials.len()), (budget, budget as usize));
        assert!(trials.iter().take(5).all(|trial| trial.parent.is_none()));
        assert!(trials.iter().skip(5).all(|trial| trial.parent.is_some()));
    }
    assert_eq!(
        (probability(1, 1), probability(1, 2), probability(2, 2), probability(1, 0)),
        (1.0, 1.0, 0.0, 1.0)
    );
}

#[test]
fn failures_count_and_are_never_the_best() {
    let search = search(cube(2), 60);
    let fails = |t: u32, x: &[f64]| if t.is_multiple_of(3) { None } else { sphere(t, x) };
    let (standing, _) = run(&search, 60, 4, 8, &fails);
    assert_eq!((standing.done, standing.failed), (60, 20));
    assert_ne!(standing.kept[0].trial % 3, 0);
    // NaN is a failure, too
    let nan = |_: u32, _: &[f64]| Some(vec![f64::NAN]);
    assert_eq!(run(&search, 20, 4, 8, &nan).0.failed, 20);
}

#[test]
fn without_a_best_it_goes_on_drawing_and_gives_up_after_ten_times_the_draws() {
    let search = search(cube(2), 1000);
    let late = |t: u32, x: &[f64]| if t < 30 { None } else { sphere(t, x) };
    let (standing, trials) = run(&search, 1000, 1, 2, &late);
    assert_eq!(standing.done, 1000);
    assert!(trials[..30].iter().all(|trial| trial.parent.is_none()));
    assert!(trials[30].parent.is_some());
    let (standing, _) = run(&search, 1000, 1, 2, &|_, _| None);
    assert_eq!(search.gives_up(&standing), Some(GiveUp::Beginning(50)));
    assert_eq!(standing.done, 50);
}

#[test]
fn a_storm_of_failures_ends_it() {
    let search = search(cube(2), 1000);
    let breaks = |t: u32, x: &[f64]| if t > 100 { None } else { sphere(t, x) };
    let (standing, _) = run(&search, 1000, 1, 2, &breaks);
    assert_eq!(search.gives_up(&standing), Some(GiveUp::Storm(50)));
    assert_eq!(standing.done, 150);
}

#[test]
fn the_newest_of_equals_counts_and_of_those_that_come_together_the_first() {
    let search = search(cube(1), 100);
    let tried = |trial, goal| Tried { trial, x: vec![f64::from(trial)], goals: Some(vec![goal]) };
    let mut standing = Standing::default();
    search.merge(&mut standing, &[tried(1, 1.0), tried(2, 1.0)]);
    assert_eq!(standing.kept[0].trial, 1);
    search.merge(&mut standing, &[tried(3, 1.0), tried(4, 0.5), tried(5, 1.0)]);
    assert_eq!((standing.kept[0].trial, standing.stagnant), (3, 3));
    search.merge(&mut standing, &[tried(6, 2.0)]);
    assert_eq!((standing.kept[0].trial, standing.stagnant), (6, 0));
}

#[test]
fn the_start_is_tried_first() {
    let mut search = search(cube(2), 20);
    search.start = Some(vec![0.25, -0.5]);
    search.initial = Search::usual_initial(20, true);
    let (_, trials) = run(&search, 20, 1, 1, &sphere);
    assert_eq!(trials[0].x, [0.25, -0.5]);
    assert_eq!(trials[1].parent, Some(1));
    assert!(!search.space.holds(&[0.25, 7.0]));
}

#[test]
fn whole_numbers_move_to_others_and_stay_inside() {
    let space = Space {
        axes: vec![Axis::new(0.6, 4.9, Kind::Integer), Axis::new(1.0, 3.0, Kind::Choice)],
        ..Space::default()
    };
    assert_eq!((space.axes[0].lo, space.axes[0].hi), (1.0, 4.0));
    let mut stream = Streams::new(5).at(Purpose::Search, 0, 1);
    let mut seen = [[0u32; 5]; 2];
    for _ in 0..4000 {
        let x = space.draw(&mut stream);
        for (row, x) in x.iter().enumerate() {
            assert_eq!(x.fract(), 0.0);
            seen[row][*x as usize] += 1;
        }
    }
    // Uniform: 1000 of each of four, 1333 of each of three, within five standard errors
    assert!(seen[0][1..].iter().all(|n| n.abs_diff(1000) < 140), "{seen:?}");
    assert!(seen[1][1..4].iter().all(|n| n.abs_diff(1333) < 150), "{seen:?}");
    for row in 0..2 {
        let mut to = [0u32; 5];
        for _ in 0..3000 {
            let y = space.moved(&[1.0, 2.0], &[row], 0.2, Boundary::Reflect, &mut stream)[row];
            to[y as usize] += 1;
        }
        let from = [1, 2][row];
        assert_eq!(to[from], 0, "a step leads elsewhere: {to:?}");
        assert!((1..=4 - row).filter(|n| *n != from).all(|n| to[n] > 0), "{to:?}");
    }
}

#[test]
fn a_logarithmic_coordinate_moves_in_its_logarithm() {
    let space = Space { axes: vec![Axis::new(1e-4, 1e2, Kind::Log)], ..Space::default() };
    let mut stream = Streams::new(5).at(Purpose::Search, 0, 1);
    let n = 6000;
    let below = (0..n).filter(|_| space.draw(&mut stream)[0] < 1e-1).count();
    assert!(below.abs_diff(n / 2) < 200, "{below}"); // five standard errors
    for _ in 0..1000 {
        let x = space.moved(&[1e-3], &[0], 0.2, Boundary::Reflect, &mut stream)[0];
        assert!((1e-4..=1e2).contains(&x));
    }
}

#[test]
fn ties_and_order_hold_in_every_trial() {
    let space = Space {
        axes: vec![
            Axis::new(0.0, 1.0, Kind::Real),
            Axis::new(0.2, 0.9, Kind::Real),
            Axis::new(0.0, 1.0, Kind::Log),
            Axis::new(-1.0, 3.0, Kind::Real),
        ]
        .into_iter()
        .map(|axis| if axis.kind == Kind::Log { Axis::new(1e-3, 1.0, Kind::Log) } else { axis })
        .collect(),
        ties: vec![Tie { row: 3, to: 0, factor: 2.0, offset: 0.5 }],
        order: vec![vec![2, 0, 1]],
    };
    let search = search(space, 400);
    assert_eq!(search.space.free(), [0, 1, 2]);
    let (_, trials) = run(&search, 400, 4, 6, &sphere);
    for trial in &trials {
        assert!(search.space.holds(&trial.x), "{trial:?}");
        assert_eq!(trial.x[3], 2.0 * trial.x[0] + 0.5);
    }
}

#[test]
fn batches_of_a_few_search_nearly_as_well_as_one_at_a_time() {
    // Median of −best on the sphere in 10 coordinates; a plain second program has 0.023 one at a time, quartiles 0.014
    // and 0.032
    let median = |batch: u32| {
        let search = search(cube(10), 1000);
        let mut all: Vec<f64> =
            (0..31).map(|seed| -run(&search, 1000, batch, seed, &sphere).0.kept[0].goals[0]).collect();
        all.sort_by(f64::total_cmp);
        all[15]
    };
    let (serial, few, many) = (median(1), median(4), median(16));
    assert!((0.014..0.034).contains(&serial), "{serial}");
    assert!(few < 1.7 * serial && many < 4.0 * serial, "{serial} {few} {many}");
}

#[test]
fn variants_do_what_they_say() {
    // A floor of the probability: half of the coordinates move to the end
    let mut search = search(cube(10), 300);
    search.p_min = 0.5;
    let (_, trials) = run(&search, 300, 1, 1, &sphere);
    let moved: u32 = trials[200..].iter().map(|trial| trial.moved).sum();
    assert!(moved.abs_diff(500) < 80, "{moved}");
    // Absorbing bounds put trials onto a bound, reflecting ones do not
    let on_bound = |boundary| {
        let search = Search { boundary, ..super::tests::search(cube(4), 400) };
        let at_edge = |_: u32, x: &[f64]| Some(vec![x.iter().sum()]);
        let (_, trials) = run(&search, 400, 1, 1, &at_edge);
        trials.iter().filter(|trial| trial.x.contains(&5.0)).count()
    };
    assert_eq!(on_bound(Boundary::Reflect), 0);
    assert!(on_bound(Boundary::Absorb) > 20);
    // Without anything new for long the step doubles
    let widening = Search { widen: true, ..super::tests::search(cube(3), 1000) };
    let mut standing = Standing { stagnant: STAGNANT, done: 500, ..Standing::default() };
    standing.kept.push(Found { trial: 1, x: vec![0.0; 3], goals: vec![0.0] });
    let far = |search: &Search, standing: &Standing| -> f64 {
        let steps = (501..900).map(|t| search.trial(standing, t, 1000, &Streams::new(1)));
        steps.map(|trial| trial.x.iter().map(|x| x.abs()).fold(0.0, f64::max)).sum()
    };
    let wide = far(&widening, &standing);
    standing.stagnant = 0;
    assert!(wide > 1.4 * far(&widening, &standing));
}

#[test]
fn the_pool_keeps_the_best_few_and_starts_from_one_of_them() {
    let search = Search { select: Select::Pool(5), ..search(cube(4), 300) };
    let (standing, trials) = run(&search, 300, 4, 2, &sphere);
    assert_eq!(standing.kept.len(), 5);
    assert!(standing.kept.windows(2).all(|pair| pair[0].goals[0] >= pair[1].goals[0]));
    let parents: std::collections::BTreeSet<u32> = trials[100..].iter().filter_map(|t| t.parent).collect();
    assert!(parents.len() > 10, "{parents:?}");
}

/// Two objectives whose best sets lie on the line between (0, 0, …) and (2, 2, …).
fn two(_: u32, x: &[f64]) -> Option<Vec<f64>> {
    let from = |centre: f64| -x.iter().map(|x| (x - centre).powi(2)).sum::<f64>();
    Some(vec![from(0.0), from(2.0)])
}

#[test]
fn the_archive_is_what_nobody_beats_whatever_the_order_of_results() {
    let search = Search { select: Select::Crowding, ..search(cube(3), 400) };
    let (standing, trials) = run(&search, 400, 4, 5, &two);
    let all: Vec<Tried> = (1..)
        .zip(&trials)
        .map(|(t, trial)| Tried { trial: t, x: trial.x.clone(), goals: two(t, &trial.x) })
        .collect();
    let goals = |tried: &Tried| tried.goals.clone().unwrap();
    let expected: Vec<u32> = all
        .iter()
        .filter(|a| !all.iter().any(|b| dominates(&goals(b), &goals(a))))
        .map(|a| a.trial)
        .collect();
    let archive = |standing: &Standing| standing.kept.iter().map(|f| f.trial).collect::<Vec<_>>();
    assert_eq!(archive(&standing), expected);
    let mut one = Standing::default();
    all.iter().for_each(|tried| search.merge(&mut one, std::slice::from_ref(tried)));
    assert_eq!(one.kept, standing.kept);
    let mut together = Standing::default();
    search.merge(&mut together, &all);
    assert_eq!(together.kept, standing.kept);
}

#[test]
fn every_selection_finds_the_front_of_two_objectives() {
    for select in [Select::Crowding, Select::Hypervolume, Select::Uniform] {
        let search = Search { select, ..search(cube(3), 1000) };
        let (standing, _) = run(&search, 1000, 4, 5, &two);
        assert!(standing.kept.len() > 20, "{select:?}: {}", standing.kept.len());
        // On the front √f₁ + √f₂ = 2 √3; the median of the archive is near it.
        let mut off: Vec<f64> = standing
            .kept
            .iter()
            .map(|f| f.goals.iter().map(|g| (-g).sqrt()).sum::<f64>() - 2.0 * 3f64.sqrt())
            .collect();
        off.sort_by(f64::total_cmp);
        assert!(off[0] > -1e-9 && off[off.len() / 2] < 0.25, "{select:?}: {}", off[off.len() / 2]);
    }
}

#[test]
fn distances_and_volumes_have_their_closed_forms() {
    let goals: Vec<&[f64]> = vec![&[0.0, 4.0], &[1.0, 3.0], &[4.0, 0.0]];
    // The inner point: 4/4 + 4/4; the ends get as much
    assert_eq!(crowding(&goals), [2.0, 2.0, 2.0]);
    // Above (−0.4, −0.4): 0.4 × 1, 1 × 3, 3 × 0.4
    let shares = hypervolume_shares(&goals);
    for (share, expected) in shares.iter().zip([0.4, 3.0, 1.2]) {
        assert!((share - expected).abs() < 1e-12, "{shares:?}");
    }
    assert_eq!(crowding(&[&[1.0, 1.0]]), [1.0]);
    assert!(dominates(&[1.0, 2.0], &[1.0, 1.0]) && !dominates(&[1.0, 2.0], &[1.0, 2.0]));
}

#[test]
fn volumes_of_three_objectives_are_those_of_counted_cells() {
    // Points with whole numbers: every unit cell between the reference and the largest is counted by who covers it.
    let mut seed = 7u64;
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 33) % 10) as f64
    };
    for front in 0..20 {
        let all: Vec<[f64; 3]> = (0..20).map(|_| std::array::from_fn(|_| draw())).collect();
        let mut kept: Vec<[f64; 3]> = Vec::new();
        for p in &all {
            if !all.iter().any(|other| dominates(other, p)) && !kept.contains(p) {
                kept.push(*p);
            }
        }
        let goals: Vec<&[f64]> = kept.iter().map(<[f64; 3]>::as_slice).collect();
        let low: [f64; 3] = std::array::from_fn(|q| {
            let (least, most) = goals.iter().fold((9.0f64, 0.0f64), |(a, b), g| (a.min(g[q]), b.max(g[q])));
            least - if most > least { 0.1 * (most - least) } else { 1.0 }
        });
        let mut counted = vec![0.0; goals.len()];
        // Edges of cells: the reference, then whole numbers
        let edges = |q: usize| -> Vec<f64> {
            [low[q]].into_iter().chain((0..=10).map(f64::from).filter(|x| *x > low[q])).collect()
        };
        for x in edges(0).windows(2) {
            for y in edges(1).windows(2) {
                for z in edges(2).windows(2) {
                    let covers = |g: &&[f64]| g[0] >= x[1] && g[1] >= y[1] && g[2] >= z[1];
                    let who: Vec<usize> = (0..goals.len()).filter(|&i| covers(&goals[i])).collect();
                    if let [alone] = who[..] {
                        counted[alone] += (x[1] - x[0]) * (y[1] - y[0]) * (z[1] - z[0]);
                    }
                }
            }
        }
        for (share, expected) in hypervolume_shares(&goals).iter().zip(&counted) {
            assert!((share - expected).abs() < 1e-9, "{front}: {share} {expected}");
        }
    }
}

#[test]
fn the_number_of_draws_follows_the_budget() {
    assert_eq!([100, 1000, 1100, 1101, 4000].map(|m| Search::usual_initial(m, false)), [5, 5, 6, 6, 20]);
    assert_eq!(Search::usual_initial(4000, true), 1);
}
