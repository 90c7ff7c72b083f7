//! Samplers against values that are known: closed forms, quadratures, a second sampler, and themselves.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::models::llc::driver::Carry;
use crate::models::llc::known;
use crate::models::llc::log::Log;
use crate::models::llc::options::tests::read as target_options;
use crate::models::llc::sample::{SampleOptions, SampleOutcome, plain_carry, sample};
use crate::models::llc::target::Target;

fn target(text: &str) -> Target {
    Target::build(&target_options(text).unwrap()).unwrap()
}

fn options(text: &str) -> SampleOptions {
    let document =
        crate::files::human::Document::parse(std::path::Path::new("experiment.toml"), text).unwrap();
    let top = document.section();
    let options = SampleOptions::read(&top).unwrap();
    top.finish().unwrap();
    options
}

fn run(target: &Target, text: &str) -> SampleOutcome {
    sample(&options(text), target, plain_carry(1)).unwrap().unwrap()
}

/// λ̂ is `want` within four standard errors, and within `bias` of it for what no chain makes up for.
fn near(outcome: &SampleOutcome, want: f64, bias: f64, what: &str) {
    let a = &outcome.analysis;
    let allowed = 4.0 * a.llc_mcse + bias * want;
    assert!(
        (a.llc_mean - want).abs() < allowed,
        "{what}: {} ± {}, not {want}; {a:?}",
        a.llc_mean,
        a.llc_mcse
    );
    assert!(a.llc_mcse < 0.1 * want, "{what}: too few draws to tell: {a:?}");
    assert!(a.r_hat.is_nan() || a.r_hat < 1.1, "{what}: {a:?}");
}

const HMC: &str = "sampler = \"hmc\"\ndraws = 3000\nwarmup = 500\njitter = 0.3";
const SGLD: &str = "sampler = \"sgld\"\nsteps = 200000\nwarmup = 20000\neval_every = 20\nbatch = 1";
const RMSPROP: &str =
    "sampler = \"sgld\"\nsteps = 200000\nwarmup = 20000\neval_every = 20\nbatch = 1\nprecond = \"rmsprop\"";

#[test]
fn a_quadratic_has_the_coefficient_of_its_closed_form() {
    let eigenvalues: Vec<f64> = (0..12).map(|k| 1.5_f64.powi(k)).collect();
    let quadratic = target(&format!("kind = \"quadratic\"\neigenvalues = {eigenvalues:?}\nn = 1000"));
    let n_beta = 1000.0 / 1000.0_f64.ln();
    let want = known::quadratic(&eigenvalues, n_beta, 1.0);
    near(&run(&quadratic, HMC), want, 0.0, "hmc");
    for metric in ["diag", "unit"] {
        near(
            &run(&quadratic, &format!("{HMC}\nmetric = \"{metric}\"\nadaptation = \"chain\"")),
            want,
            0.0,
            metric,
        );
    }
    near(&run(&quadratic, "sampler = \"mclmc\"\ndraws = 20000\nwarmup = 3000"), want, 0.03, "mclmc");
    near(&run(&quadratic, SGLD), want, 0.05, "sgld");
    near(&run(&quadratic, RMSPROP), want, 0.05, "rmsprop");
    near(&run(&quadratic, "sampler = \"vi\"\nsteps = 4000\neval_samples = 2000"), want, 0.01, "vi");
}

#[test]
fn singular_minima_have_the_values_of_quadrature_not_half_the_parameters() {
    let n_beta = 1000.0 / 1000.0_f64.ln();
    let quartic = target("kind = \"monomial\"\nhalf_exponents = [2]\ncopies = 6\nn = 1000");
    let want = 6.0 * known::power(2, n_beta, 1.0);
    near(&run(&quartic, HMC), want, 0.0, "w⁴ hmc");
    near(&run(&quartic, "sampler = \"mclmc\"\ndraws = 30000\nwarmup = 3000"), want, 0.03, "w⁴ mclmc");
    near(&run(&quartic, SGLD), want, 0.05, "w⁴ sgld");
    near(&run(&quartic, RMSPROP), want, 0.05, "w⁴ rmsprop");
    let crossing = target("kind = \"monomial\"\nhalf_exponents = [1, 1]\ncopies = 4\nn = 1000");
    let want = 4.0 * known::two_squares(n_beta, 1.0);
    near(&run(&crossing, HMC), want, 0.0, "w₁²w₂² hmc");
    near(&run(&crossing, "sampler = \"mclmc\"\ndraws = 60000\nwarmup = 5000"), want, 0.03, "w₁²w₂² mclmc");
    let finer = SGLD.replace("200000", "400000");
    near(&run(&crossing, &finer), want, 0.05, "w₁²w₂² sgld");
}

#[test]
fn a_linear_regression_has_the_coefficient_of_its_hessian() {
    let regression = target(
        "model = { d_in = 6, depth = 0, activation = \"identity\" }\n\
         data = { n = 500, noise_scale = 0.3 }\ntraining = { steps = 3000, learning_rate = 1e-2 }",
    );
    assert_eq!(regression.facts.llc_true, Some(3.5));
    // Hessian of the mean square: (2/n) XᵀX with a column of ones; its trace form by solving with 7 × 7
    let (n, d) = (500, 7);
    let at = |row: usize, i: usize| if i < 6 { regression.x[row * 6 + i] } else { 1.0 };
    let hessian = crate::numerics::Mat::from_fn(d, d, |i, j| {
        2.0 / n as f64 * (0..n).map(|row| at(row, i) * at(row, j)).sum::<f64>()
    });
    let n_beta = 500.0 / 500.0_f64.ln();
    let eigenvalues = crate::numerics::linalg::symmetric_eigen(&hessian).unwrap().values;
    let want = known::quadratic(&eigenvalues, n_beta, 1.0);
    assert!(want > 3.4 && want < 3.5);
    near(&run(&regression, HMC), want, 0.0, "hmc");
    near(&run(&regression, "sampler = \"mclmc\"\ndraws = 20000\nwarmup = 3000"), want, 0.03, "mclmc");
    let batch = "sampler = \"sgld\"\nsteps = 100000\nwarmup = 10000\neval_every = 20\nbatch = 128";
    // Steps and minibatches add to the spread: 2.7 % and 3.8 % in a run of 10⁶ steps
    for (text, what) in [(batch.to_owned(), "sgld"), (format!("{batch}\nprecond = \"rmsprop\""), "rmsprop")] {
        let outcome = run(&regression, &text);
        near(&outcome, want, 0.05, what);
        // Sound steps: Metropolis would accept nearly all of them
        assert!((0.9..=1.0).contains(&outcome.analysis.acceptance), "{what}: {:?}", outcome.analysis);
    }
}

#[test]
fn deep_linear_networks_have_the_values_of_the_second_sampler() {
    let text = include_str!("../../../tests/reference/llc/statistical.json");
    let all: serde_json::Value = serde_json::from_str(text).unwrap();
    for case in all["cases"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let target = target(&format!(
            "kind = \"deep-linear\"\nwidths = {}\nrank = {}\nn = {}",
            case["widths"], case["rank"], case["n"]
        ));
        let known = target.facts.llc_true.unwrap();
        assert!((known - number("learning_coefficient")).abs() < 1e-12);
        let text = "sampler = \"hmc\"\ndraws = 4000\nwarmup = 600\njitter = 0.3\nleapfrog = 12\nmetric = \"unit\"\nchains = 8";
        let a = run(&target, text).analysis;
        let error = a.llc_mcse.hypot(number("mcse"));
        assert!((a.llc_mean - number("llc")).abs() < 4.0 * error, "{}: {a:?}", case["widths"]);
        // Half the parameters would be far off
        assert!((a.llc_mean - number("half_parameters")).abs() > 10.0 * error);
    }
}

struct Folder(PathBuf);
impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ekp-llc-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What a run leaves, seconds left out.
fn bytes(outcome: &SampleOutcome, text: &str, target: &Target) -> [Vec<u8>; 2] {
    let folder = Folder::new("bytes");
    outcome.write(&folder.0, &options(text), target).unwrap();
    ["trace.npy", "analysis.toml"].map(|name| std::fs::read(folder.0.join(name)).unwrap())
}

#[test]
fn threads_stops_and_resumes_do_not_change_a_byte() {
    for precision in ["f64", "f32"] {
        let target = target(&format!("precision = \"{precision}\"\ntraining = {{ steps = 300 }}"));
        for text in [
            "sampler = \"hmc\"\ndraws = 60\nwarmup = 40\nchains = 3",
            "sampler = \"mclmc\"\ndraws = 60\nwarmup = 40\nchains = 3",
            "sampler = \"sgld\"\nsteps = 300\nwarmup = 200\neval_every = 10\nbatch = 16\nprecond = \"adam\"",
            "sampler = \"vi\"\nsteps = 200\neval_every = 10\nbatch = 16",
        ] {
            let whole = bytes(&run(&target, text), text, &target);
            let options = options(text);
            for threads in [2, 8] {
                let other = sample(&options, &target, plain_carry(threads)).unwrap().unwrap();
                assert!(bytes(&other, text, &target) == whole, "{text}: {threads} threads");
            }
            // Given a run that is told to stop again and again, at any time
            let folder = Folder::new("resume");
            let (mut tries, mut done) = (0, None);
            while done.is_none() {
                tries += 1;
                let stop = AtomicBool::new(false);
                let carry = Carry {
                    checkpoint: Some(&folder.0),
                    id: "run_a",
                    threads: 1 + tries % 3,
                    stop: Some(&stop),
                    every: Duration::ZERO,
                    log: Log::default(),
                };
                done = std::thread::scope(|scope| {
                    scope.spawn(|| {
                        std::thread::sleep(Duration::from_micros(300 * tries as u64));
                        stop.store(true, Ordering::Relaxed);
                    });
                    sample(&options, &target, carry).unwrap()
                });
            }
            assert!(bytes(&done.unwrap(), text, &target) == whole, "{text}: after {tries} tries");
            // The state of another run is not taken
            let carry = Carry { checkpoint: Some(&folder.0), id: "run_b", ..plain_carry(1) };
            let fresh = sample(&options, &target, carry).unwrap().unwrap();
            assert!(bytes(&fresh, text, &target) == whole, "{text}");
        }
    }
}

#[test]
fn a_step_that_is_too_long_is_a_marked_cell_not_a_number() {
    let quadratic = target("kind = \"quadratic\"\neigenvalues = [1.0, 100.0]");
    let outcome = run(&quadratic, "sampler = \"sgld\"\nsteps = 2000\nwarmup = 100\nstep_size = 1.0");
    assert!(outcome.analysis.mark().unwrap().contains("diverged"), "{:?}", outcome.analysis);
    // One that is long and still stable is told by what Metropolis would say of it
    let long = "sampler = \"sgld\"\nsteps = 40000\nwarmup = 2000\neval_every = 20\nstep_size = ";
    let acceptance = |step: &str| run(&quadratic, &format!("{long}{step}")).analysis.acceptance;
    let (short, far) = (acceptance("6e-6"), acceptance("2e-4")); // nβ a = 14476: ε nβ a is 0.09 and 2.9
    assert!(short > 0.97 && far < 0.8, "{short} {far}");
    // Chains that start far apart for their speed have not met
    let slow = run(&quadratic, "sampler = \"sgld\"\nsteps = 2000\nwarmup = 0\nstep_size = 1e-9");
    assert!(slow.analysis.mark().unwrap().contains("R-hat"), "{:?}", slow.analysis);
    assert!(slow.chains.stability < 1e-4);
}

#[test]
fn ids_follow_what_changes_numbers_and_work_is_counted() {
    let quadratic = target("kind = \"quadratic\"\neigenvalues = [1.0, 10.0]");
    let id = |text: &str| options(text).id(&quadratic.facts.target_id);
    assert_eq!(id("label = \"long\""), id("sampler = \"hmc\"\nchains = 4"));
    assert_ne!(id(""), id("draws = 1001"));
    assert_ne!(id(""), id("seed = 1"));
    let outcome = run(&quadratic, "draws = 50\nwarmup = 30\nadapt = false\nleapfrog = 7");
    let a = &outcome.analysis;
    assert_eq!((a.total_fge, a.max_fge), (4.0 * 50.0 * 7.0, 350.0));
    // Warming up, and the gradient at each start
    assert_eq!(a.fge_warmup, 4.0 * 30.0 * 7.0 + 4.0);
    assert!(a.acceptance > 0.9 && a.divergences == 0);
}

#[test]
fn thinning_keeps_every_third_draw_of_the_same_chain() {
    let quadratic = target("kind = \"quadratic\"\neigenvalues = [1.0, 10.0]");
    let all = run(&quadratic, "draws = 90\nwarmup = 40\nchains = 2");
    let thin = run(&quadratic, "draws = 30\nwarmup = 40\nchains = 2\nthin = 3");
    assert_ne!(all.run_id, thin.run_id);
    assert_eq!(all.analysis.total_fge, thin.analysis.total_fge);
    for (all, thin) in all.chains.draws.iter().zip(&thin.chains.draws) {
        let every: Vec<f64> = all.iter().skip(2).step_by(3).map(|draw| draw.loss).collect();
        assert_eq!(every, thin.iter().map(|draw| draw.loss).collect::<Vec<_>>());
    }
}
