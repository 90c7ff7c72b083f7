//! Gradients, SGLD steps and HMC draws of small networks: `cargo bench --bench llc`.
//!
//! Processor time of the calling thread, best of several short repetitions. Flops are 6 n p for a gradient of n rows
//! (what is done is less: the first layer has no errors to compute), held against the peak of fused multiply-adds,
//! measured here first. The peer is JAX on the same kind of core: 7640 (f64) and 10 700 (f32) gradients/s of 955
//! parameters, 1040 and 2320 of 9921; 12 400 and 17 400 SGLD steps/s; 705 and 1037 HMC draws/s.

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use ekp::files::human::Document;
use ekp::models::llc::options::TargetOptions;
use ekp::models::llc::sample::{SampleOptions, plain_carry, sample};
use ekp::models::llc::target::Target;
use ekp::numerics::panels::{Kernel, Lanes, Real};

/// Best processor time of `runs` calls, seconds.
fn best<T>(runs: usize, mut work: impl FnMut() -> T) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..runs {
        let start = ekp::machine::thread_cpu_s();
        black_box(work());
        best = best.min(ekp::machine::thread_cpu_s() - start);
    }
    best
}

const ROUNDS: usize = 100_000;
const SUMS: usize = 16;

/// Fused multiply-adds on numbers that stay in registers.
struct Peak;
impl<T: Real> Kernel<T> for Peak {
    type Output = T;
    #[inline(always)]
    fn run<L: Lanes<Number = T>>(self) -> T {
        let (a, b) = (L::splat(black_box(T::of(0.999_999))), L::splat(black_box(T::of(1e-9))));
        let mut sums = [L::splat(T::ONE); SUMS];
        for _ in 0..ROUNDS {
            for sum in &mut sums {
                *sum = sum.fused(a, b);
            }
        }
        let mut sum = T::ZERO;
        for s in sums {
            sum += s.sum();
        }
        sum
    }
}

/// Flops a second.
fn peak<T: Real>() -> f64 {
    (2 * ROUNDS * SUMS * T::LANES) as f64 / best(10, || T::widest(Peak))
}

fn options(text: &str) -> Document {
    Document::parse(Path::new("bench.toml"), text).expect("the benchmark's own text")
}

fn target(precision: &str, depth: usize, params: usize) -> Target {
    let text = format!(
        "precision = \"{precision}\"\nmodel = {{ d_in = 32, depth = {depth}, target_params = {params} }}\n\
         data = {{ n = 1000 }}\ntraining = {{ steps = 200, polish = false }}"
    );
    let document = options(&text);
    let options = TargetOptions::read(&document.section()).expect("the benchmark's own options");
    Target::build(&options).expect("it trains")
}

/// Processor time of a run, of which warming up and start-up are taken away by a second, shorter one.
fn per_draw(target: &Target, text: impl Fn(u64) -> String, draws: u64) -> f64 {
    let time = |draws: u64| {
        let document = options(&text(draws));
        let options = SampleOptions::read(&document.section()).expect("the benchmark's own options");
        best(3, || sample(&options, target, plain_carry(1)).expect("it samples"))
    };
    (time(3 * draws) - time(draws)) / (2 * draws) as f64
}

fn gradients<T: Real>(target: &Target, peak: f64) {
    let mut objective = target.objective::<T>();
    let w: Vec<T> = target.w.iter().map(|w| T::of(*w)).collect();
    let mut g = vec![T::ZERO; w.len()];
    let reps = 20_000_000 / (1000 * w.len()) + 1;
    let seconds = best(20, || (0..reps).map(|_| objective.gradient(&w, &mut g)).sum::<f64>()) / reps as f64;
    let flops = 6.0 * 1000.0 * w.len() as f64 / seconds;
    println!(
        "{:>6} {} gradients/s: {:>7.0}   {:>6.1} GFLOP/s, {:>3.0} % of the peak",
        w.len(),
        target.facts.precision,
        1.0 / seconds,
        flops / 1e9,
        100.0 * flops / peak
    );
}

/// A whole cell of a grid that has next to nothing to do, as a process of its own: what it costs to begin.
fn whole_cells() {
    let work = std::env::temp_dir().join(format!("ekp-bench-llc-{}", std::process::id()));
    std::fs::create_dir_all(&work).expect("a temporary folder");
    let text = "schema = \"ekp.experiment\"\nversion = 1\nname = \"short\"\nseed = 1\n[algorithm]\nmethod = \"grid\"\n\
        [[axis]]\nname = \"target\"\n[axis.options.quadratic]\nkind = \"quadratic\"\neigenvalues = [1.0, 10.0]\n\
        [[axis]]\nname = \"seed\"\nrange = [1, 40]\n\
        [[stage]]\nname = \"build\"\nover = [\"target\"]\nmodel = { builtin = \"llc-target\" }\n\
        [[stage]]\nname = \"sample\"\nover = [\"target\", \"seed\"]\nafter = \"build\"\n[stage.model]\nbuiltin = \"llc-sample\"\n\
        [stage.model.llc-sample]\ndraws = 20\nwarmup = 0\n";
    let (experiment, run) = (work.join("experiment.toml"), work.join("run"));
    std::fs::write(&experiment, text).expect("an experiment");
    let quiet = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().expect("a tool");
        assert!(status.success(), "{command:?}: {status}");
    };
    quiet(Command::new(env!("CARGO_BIN_EXE_ekp-init")).arg("-q").arg(&experiment).arg(&run));
    let cell = |stage: &str, number: u32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ekp-run-member"));
        command.arg(&run).args(["-q", "-i", stage, "-m", &number.to_string()]);
        quiet(&mut command);
    };
    cell("1", 1);
    let walls = (1..=40).map(|number| {
        let begun = Instant::now();
        cell("2", number);
        begun.elapsed().as_secs_f64()
    });
    let least = walls.fold(f64::INFINITY, f64::min);
    let timings = std::fs::read_dir(run.join("stage_2_sample")).expect("cells").flatten();
    let timings = timings.filter_map(|cell| std::fs::read_to_string(cell.path().join("timing.toml")).ok());
    let memory = timings.filter_map(|text| {
        text.lines().find_map(|line| line.strip_prefix("peak_rss_mb = ")?.parse::<f64>().ok())
    });
    let most = memory.fold(0.0, f64::max);
    println!(
        "a cell of 20 draws of two parameters, process, files and table row included: {:.1} ms at least, {most:.0} MB at most",
        1e3 * least
    );
    let _ = std::fs::remove_dir_all(&work);
}

fn main() {
    whole_cells();
    let peaks = [peak::<f64>(), peak::<f32>()];
    println!("peak of fused multiply-adds: f64 {:.0}, f32 {:.0} GFLOP/s", peaks[0] / 1e9, peaks[1] / 1e9);
    for (depth, params) in [(2, 1000), (3, 10_000)] {
        for (precision, peak) in ["f64", "f32"].into_iter().zip(peaks) {
            let target = target(precision, depth, params);
            if precision == "f64" {
                gradients::<f64>(&target, peak)
            } else {
                gradients::<f32>(&target, peak)
            }
            let p = target.facts.p;
            let show = |what: &str, seconds: f64, share: f64| {
                let flops = share * 6.0 * 1000.0 * p as f64 / seconds;
                println!(
                    "{p:>6} {precision} {what}: {:>7.0}   {:>6.1} GFLOP/s, {:>3.0} % of the peak",
                    1.0 / seconds,
                    flops / 1e9,
                    100.0 * flops / peak
                );
            };
            for precond in ["none", "rmsprop"] {
                let text = |steps: u64| {
                    format!(
                        "sampler = \"sgld\"\nchains = 1\nwarmup = 0\nsteps = {steps}\neval_every = 1000\nbatch = 256\n\
                         step_size = 1e-9\nprecond = \"{precond}\""
                    )
                };
                let steps = if p < 5000 { 4000 } else { 1000 };
                show(&format!("SGLD steps/s, batch 256, {precond}"), per_draw(&target, text, steps), 0.256);
            }
            let text = |draws: u64| {
                format!("chains = 1\nwarmup = 0\nadapt = false\nstep_size = 1e-4\ndraws = {draws}")
            };
            show("HMC draws/s, 10 leapfrogs", per_draw(&target, text, if p < 5000 { 200 } else { 30 }), 10.0);
        }
    }
}
