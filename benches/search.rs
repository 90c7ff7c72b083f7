//! What a search costs beside its model: `cargo bench --bench search`.
//!
//! ```text
//!   use of the workers   64 of them, runs that sleep 1 s · e^(0.5 z), 30 evaluations for each: busy / allocated
//!   files                one worker, runs of 20 ms: what a trial takes beside its run
//!   a whole calibration  HBV, 14 parameters, 1000 evaluations, from ekp-worker's start to stop.toml
//! ```
//! Busy: a run's own time, from `timing.toml`. Allocated: from a worker's start to its end, as a job array counts it:
//! the first worker stays to the end, the others leave when nothing is left to take (`--leave`). Workers are processes
//! that share the folder and nothing else; sleeping, they need no cores.
//! `EKP_BENCH_TOOLS` names the folder of the tools (target/release by default), the words behind `--` choose parts.

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ekp::files::load_record;
use ekp::steps::timing::Timing;

const WORKERS: usize = 64;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools =
        std::env::var_os("EKP_BENCH_TOOLS").map_or_else(|| root.join("target/release"), PathBuf::from);
    if !tools.join("ekp-worker").exists() {
        eprintln!("no tools in {}: run `cargo build --release --bins`", tools.display());
        return;
    }
    let work = std::env::temp_dir().join(format!("ekp-bench-search-{}", std::process::id()));
    let chosen: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|word| word == part);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.trim());
    if wanted("use") {
        in_use(&tools, &work);
    }
    if wanted("files") {
        files(&tools, &work);
    }
    if wanted("calibration") {
        calibration(root, &tools, &work);
    }
    let _ = fs::remove_dir_all(&work);
}

/// A run folder of a landscape whose runs take `cost_s` e^(`sd` z).
fn landscape(tools: &Path, work: &Path, workers: usize, budget: usize, cost_s: f64, sd: f64) -> PathBuf {
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(work).expect("a temporary folder");
    let experiment = format!(
        "schema = \"ekp.experiment\"\nversion = 1\nname = \"bench\"\nseed = 42\n[model]\nbuiltin = \"landscape\"\n\
         [model.landscape]\ncost_s = {cost_s:?}\ncost_sd = {sd:?}\n[prior]\nfile = \"priors.toml\"\n\
         [score]\nfrom_model = true\n[algorithm]\nmethod = \"dds-async\"\nmembers = {workers}\nbudget = {budget}\n"
    );
    let priors = "[x]\nprior = \"VectorOfParameterized([Normal(0, 1), Normal(0, 1), Normal(0, 1), Normal(0, 1)])\"\n\
                  constraint = \"repeat([bounded(-5.0, 5.0)], 4)\"\ntype = \"float\"\n";
    fs::write(work.join("experiment.toml"), experiment).expect("experiment");
    fs::write(work.join("priors.toml"), priors).expect("priors");
    init(tools, work)
}

fn init(tools: &Path, work: &Path) -> PathBuf {
    let run = work.join("run");
    let made = Command::new(tools.join("ekp-init"))
        .args(["-q", "experiment.toml", "run"])
        .current_dir(work)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "ekp-init");
    run
}

fn worker(tools: &Path, run: &Path, rank: usize, more: &str) -> Child {
    let mut command = Command::new(tools.join("ekp-worker"));
    command.arg(run).args(["-q", more, "--rank", &rank.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("a worker")
}

/// Timings of all trials.
fn timings(run: &Path) -> Vec<Timing> {
    // A thousand trials to a folder: trials_000, trials_001, …
    let folders = glob::glob(&format!("{}/trials_*/*/timing.toml", run.display())).expect("a pattern");
    folders.flatten().filter_map(|timing| load_record(&timing).ok()).collect()
}

/// User and system time of ended children, s.
fn children_s() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after.split_whitespace().skip(13).take(2).filter_map(|word| word.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}

fn in_use(tools: &Path, work: &Path) {
    let budget = WORKERS * 30;
    let run = landscape(tools, work, WORKERS, budget, 1.0, 0.5);
    let (began, before) = (Instant::now(), children_s());
    let mut left: Vec<(usize, Child)> = (1..=WORKERS)
        .map(|rank| (rank, worker(tools, &run, rank, if rank == 1 { "--to-end" } else { "--leave" })))
        .collect();
    let (mut allocated, mut last) = (0.0, 0.0);
    while !left.is_empty() {
        left.retain_mut(|(_, child)| {
            let ended = !matches!(child.try_wait(), Ok(None));
            if ended {
                last = began.elapsed().as_secs_f64();
                allocated += last;
            }
            !ended
        });
        std::thread::sleep(Duration::from_millis(5));
    }
    let all = timings(&run);
    let busy: f64 = all.iter().map(|timing| timing.wall_s).sum();
    println!(
        "{WORKERS} workers, runs of 1 s (log-normal, 0.5), {} trials in {last:.1} s\n  \
         busy / allocated          {:.1} %\n  \
         busy / (workers × time)   {:.1} %   were all to stay to the end\n  \
         processor time of the workers beside the runs: {:.2} ms a trial",
        all.len(),
        100.0 * busy / allocated,
        100.0 * busy / (WORKERS as f64 * last),
        1e3 * (children_s() - before) / all.len() as f64,
    );
}

fn files(tools: &Path, work: &Path) {
    const TRIALS: usize = 250;
    let mut best = (f64::INFINITY, 0.0);
    // Each in a place of its own, all removed at the end: ext4 passes over names that were freed a short time ago one by
    // one, so that who deletes thousands of files makes the next thousand dear (0.2 ms each in place of 0.02).
    for k in 0..4 {
        let run = landscape(tools, &work.join(k.to_string()), 1, TRIALS, 0.02, 0.0);
        let (began, before) = (Instant::now(), children_s());
        let _ = worker(tools, &run, 1, "--leave").wait();
        let (wall, cpu) = (began.elapsed().as_secs_f64(), children_s() - before);
        let busy: f64 = timings(&run).iter().map(|timing| timing.wall_s).sum();
        let beside = (wall - busy) / TRIALS as f64;
        if beside < best.0 {
            best = (beside, cpu / TRIALS as f64);
        }
    }
    println!(
        "one worker, runs of 20 ms: {:.2} ms a trial beside the run ({:.1} % of it), {:.2} ms of processor time",
        1e3 * best.0,
        100.0 * best.0 / 0.02,
        1e3 * best.1
    );
}

fn calibration(root: &Path, tools: &Path, work: &Path) {
    let example = root.join("examples/synthetic_basin");
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).expect("a temporary folder");
        for name in ["forcing.csv", "observed.csv", "priors.toml"] {
            fs::copy(example.join(name), work.join(name)).expect("a file of the example");
        }
        let text = fs::read_to_string(example.join("experiment_dds_async.toml")).expect("the example");
        let mut table: toml::Table = text.parse().expect("TOML");
        let algorithm = table["algorithm"].as_table_mut().expect("a table");
        algorithm.insert("budget".into(), 1000.into());
        algorithm.insert("members".into(), 1.into());
        algorithm.insert("claim_size".into(), 100.into());
        fs::write(work.join("experiment.toml"), table.to_string()).expect("experiment");
        let run = init(tools, work);
        let began = Instant::now();
        let _ = worker(tools, &run, 1, "--to-end").wait();
        best = best.min(began.elapsed().as_secs_f64());
        assert!(run.join("stop.toml").exists(), "the search ends");
    }
    println!("a whole calibration (examples/synthetic_basin, 1000 evaluations, claim_size 100): {best:.3} s");
}
