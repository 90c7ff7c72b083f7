//! Forty unknown forcings of Lorenz 96 from eighty statistics: do the methods come down to the noise in few steps?
//!
//! The problem is `examples/lorenz96_forcing`; the measure is that of the comparison of EnsembleKalmanProcesses.jl:
//! model runs until RMSE = |Γ^-½ (y − G(ū))|/√p is below 1, at 100 members and steps of 1.

use ekp::files::human::Document;
use ekp::files::npy;
use ekp::kalman::{Draws, Inflation, Kalman, Process, Rate, Schedule};
use ekp::models::lorenz96::field::{LorenzField, Windows};
use ekp::models::{Forward, Place, ThetaRef, Want};
use ekp::numerics::{Mat, Streams, linalg};
use ekp::problem::observation::{Block, Covariance};
use ekp::problem::{Algorithm, Evaluated, Observation, Prior, Problem};

use crate::statistics::{example, folder, place, repeat};
use crate::support::Study;

/// The setting of the example, with data of its own for each seed.
fn model(initial_seed: u64) -> LorenzField {
    let text = format!("forcing = \"field\"\ninitial_seed = {initial_seed}");
    let document = Document::parse("options".as_ref(), &text).unwrap();
    LorenzField::read(&document.section()).unwrap()
}

/// Noise as in the comparison: twice the covariance of 800 windows, since both the data and the model have it.
fn noise(windows: &Windows) -> Mat {
    let mut gamma = windows.covariance.clone();
    gamma.data_mut().iter_mut().for_each(|x| *x *= 2.0);
    gamma
}

fn problem(windows: Windows, prior: &Prior) -> Problem {
    let gamma = noise(&windows);
    let block = Block { name: "statistics".into(), y: windows.first };
    Problem {
        prior: prior.clone(),
        observation: Observation::new(vec![(block, Covariance::Dense(gamma))]).unwrap(),
    }
}

/// Outputs of the columns of `u`, members `first`, `first + 1`, …
fn outputs(model: &LorenzField, prior: &Prior, u: &Mat, draw: &Streams, iteration: u32, first: u32) -> Mat {
    let values: Vec<f64> = (0..u.ncols()).flat_map(|j| prior.constrain(u.col(j))).collect();
    let values = Mat::from_columns(40, u.ncols(), values);
    let mut places: Vec<Place> = (first..).take(u.ncols()).map(|m| place(draw, iteration, m)).collect();
    let want = Want::series(vec![("statistics".into(), 80)]);
    let all = model.run(ThetaRef { names: prior.names(), values: &values }, &want, &mut places);
    let column = |output: Result<ekp::models::Output, _>| match output {
        Ok(output) => output.blocks.concat(),
        Err(_) => vec![f64::NAN; 80],
    };
    Mat::from_columns(80, u.ncols(), all.into_iter().flat_map(column).collect())
}

/// RMSE of G(ū) before the first step and after each, until it is below 1 or `most` steps are made.
fn errors(model: &LorenzField, kalman: &Kalman, problem: &Problem, seed: u64, most: u32) -> Vec<f64> {
    let draw = Streams::new(seed);
    let (mut ensemble, mut state) = kalman.first(problem, &draw);
    let mut found = Vec::new();
    for iteration in 0..=most {
        let mean = Mat::from_columns(40, 1, ensemble.u.mean());
        // No member has this number: the run at the mean has a start of its own.
        let g = outputs(model, &problem.prior, &mean, &draw, iteration, 1_000_000);
        let y = problem.observation.y();
        let mut column = Mat::from_fn(80, 1, |i, _| y[i] - g[(i, 0)]);
        problem.observation.noise().whiten(&mut column);
        found.push((column.data().iter().map(|x| x * x).sum::<f64>() / 80.0).sqrt());
        if found.last().is_some_and(|&rmse| rmse < 1.0) || iteration == most {
            break;
        }
        let g = outputs(model, &problem.prior, &ensemble.u, &draw, iteration, 1);
        let tried = Evaluated { iteration, ensemble: &ensemble, g };
        let step = kalman.next(problem, state, &tried, &draw).unwrap();
        (ensemble, state) = (step.ensemble, step.state);
    }
    found
}

#[test]
fn forty_forcings_are_found_within_twenty_steps_by_three_methods() {
    let (_, prior) = example("lorenz96_forcing");
    let schedule = Schedule::Fixed { step: 1.0 };
    let with = |process, impose_prior| Kalman { schedule, impose_prior, ..Kalman::new(process, 100) };
    let eki = Process::Eki { perturbed: true };
    let damped = Kalman { inflation: Inflation::Multiplicative(Rate::Capped(1e-3)), ..with(eki, true) };
    let gnki = Process::Gnki { perturbed: true, draws: Draws::Exact };
    for (name, kalman) in [("ETKI", with(Process::Etki, true)), ("EKI", damped), ("GNKI", with(gnki, false))]
    {
        let all = repeat(0..2, |seed| {
            let model = model(seed);
            let problem = problem(model.windows(800).unwrap(), &prior);
            errors(&model, &kalman, &problem, 50 + seed, 20)
        });
        for found in all {
            let shown: Vec<String> = found.iter().map(|x| format!("{x:.2}")).collect();
            println!("Lorenz 96 with 40 forcings, {name}, J = 100: RMSE {}", shown.join(" "));
            assert!(found[0] > 2.0, "{name} begins too well");
            assert!(found[found.len() - 1] < 1.0, "{name} is not there after {} steps", found.len() - 1);
        }
    }
}

#[test]
fn the_prior_of_the_example_is_the_exponential_covariance() {
    let (_, prior) = example("lorenz96_forcing");
    let about = prior.constrain(&[0.0; 40]);
    let column = |k: usize| {
        let unit: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i == k))).collect();
        prior.constrain(&unit).iter().zip(&about).map(|(x, m)| x - m).collect::<Vec<f64>>()
    };
    let root = Mat::from_columns(40, 40, (0..40).flat_map(column).collect());
    let found = linalg::matmul_nt(&root, &root);
    assert!(about.iter().all(|x| (x - 8.0).abs() < 1e-12));
    for i in 0..40 {
        for j in 0..40 {
            let want = 9.0 * (-(i as f64 - j as f64).abs() / 2.0).exp();
            assert!((found[(i, j)] - want).abs() < 1e-7, "{i} {j}: {} {want}", found[(i, j)]); // Bessel functions
        }
    }
}

#[test]
fn the_observation_of_the_forty_forcings_is_that_of_the_truth() {
    let folder = folder("lorenz96_forcing");
    let windows = model(0).windows(800).unwrap();
    let text = observation_text(&windows.first);
    let gamma = noise(&windows);
    let bytes = npy::write(&[80, 80], gamma.data());
    if std::env::var_os("EKP_BLESS").is_some() {
        std::fs::write(folder.join("observation.toml"), text).unwrap();
        std::fs::write(folder.join("covariance.npy"), bytes).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(folder.join("observation.toml")).unwrap();
    let same = committed == text;
    let table: toml::Table = committed.parse().unwrap();
    let y: Vec<f64> =
        table["block"][0]["y"].as_array().unwrap().iter().map(|x| x.as_float().unwrap()).collect();
    let kept = npy::read(&std::fs::read(folder.join("covariance.npy")).unwrap()).unwrap();
    println!("the committed observation is {}", if same { "repeated" } else { "another trajectory" });
    for (i, (then, now)) in y.iter().zip(&windows.first).enumerate() {
        // A sine with another last bit makes another trajectory: then five standard deviations of a difference of two
        // windows (Γ is twice the variance of one), and of a ratio of variances of 800, √(4/800) each
        assert!((then - now).abs() < 5.0 * gamma[(i, i)].sqrt(), "output {}", i + 1);
        let ratio = kept.data[i * 81] / gamma[(i, i)];
        assert!((ratio - 1.0).abs() < 0.36, "variance {}: {ratio}", i + 1);
    }
}

/// `observation.toml` of the example.
fn observation_text(y: &[f64]) -> String {
    let list = |x: &[f64]| x.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    let rows: String = y.chunks(5).map(|five| format!("    {},\n", list(five))).collect();
    format!(
        "# Mean in time of each of 40 variables, then their standard deviations, over one window at the truth; noise: twice\n\
         # the covariance of 800 windows (divisor 799). Written by `LorenzField::windows`; again:\n\
         #   EKP_BLESS=1 cargo test --test main the_observation_of_the_forty_forcings\n\
         schema  = \"ekp.observation\"\nversion = 1\n\n[[block]]\nname       = \"statistics\"\n\
         y          = [\n{rows}]\ncovariance = {{ dense = {{ file = \"covariance.npy\" }} }}\n"
    )
}

#[test]
fn the_example_comes_down_to_the_noise() {
    let study = Study::example("forcing", "lorenz96_forcing");
    let run = study.init("runs/test");
    run.launch(&["--on", "threads"]);
    let misfit = |n: u32| run.toml(&format!("iteration_{n:03}/update.toml"))["misfit"].as_float().unwrap();
    let readme = std::fs::read_to_string(study.folder.path().join("README.md")).unwrap();
    println!("misfit {:.1} {:.2} {:.2} {:.2}", misfit(0), misfit(1), misfit(2), misfit(7));
    assert!(misfit(0) > 4.0 && misfit(7) < 1.0);
    assert!(readme.contains("RMSE"));
    // One member alone gives the bytes it gave beside others
    let alone = study.init("runs/alone");
    alone.tool("ekp-init-ensemble").succeeds();
    alone.tool("ekp-run-member").args(["-i", "0", "-m", "7"]).succeeds();
    let name = "iteration_000/member_007/data.toml";
    assert_eq!(alone.read(name), run.read(name));
}
