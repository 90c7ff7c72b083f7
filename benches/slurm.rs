//! On a real Slurm of four virtual nodes on this machine (`tests/slurm/bed`): how long a dependent step waits,
//! and what a thousand members of no work take.
//!
//! Needs the tools of `make dist` and Slurm (`make test` installs it); says so and ends where they are missing.

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::DateTime;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/tools");
    if !tools.join("ekp-init").exists() {
        eprintln!("no target/tools: run `make bench`");
        return;
    }
    if std::env::var_os("EKP_BENCH_INSIDE").is_some() {
        return inside(root, &tools);
    }
    let this = std::env::current_exe().expect("this program");
    let status = Command::new(root.join("tests/slurm/bed"))
        .args(["run", "--"])
        .arg(this)
        .env("EKP_BENCH_INSIDE", "1")
        .status();
    if !status.is_ok_and(|s| s.success()) {
        eprintln!("no Slurm here: nothing measured");
    }
}

fn inside(root: &Path, tools: &Path) {
    let work = std::env::temp_dir().join(format!("ekp-bench-slurm-{}", std::process::id()));
    fs::create_dir_all(&work).expect("a temporary folder");
    let experiment = root.join("examples/sinusoid/experiment.toml");

    let mut waits = Vec::new();
    for k in 0..3 {
        let run = work.join(format!("chain_{k}"));
        let fixed = ["algorithm.iterations=4", "algorithm.scheduler=\"fixed\"", "algorithm.step=0.1"];
        init(tools, &experiment, &run, &fixed);
        submit(&run);
        waits.extend(waits_of(&run, 4));
    }
    waits.sort_by(f64::total_cmp);
    let middle = waits[waits.len() / 2];
    let last = waits[waits.len() - 1];
    println!(
        "a dependent step starts after its predecessor: median {middle:.2} s, longest {last:.2} s ({} steps)",
        waits.len()
    );

    let (mut walls, mut spans) = (Vec::new(), Vec::new());
    for k in 0..3 {
        let run = work.join(format!("thousand_{k}"));
        init(
            tools,
            &experiment,
            &run,
            &["algorithm.members=1000", "algorithm.iterations=1", "model.pack=100"],
        );
        let (wall, members) = thousand(&run);
        walls.push(wall);
        spans.push(members);
    }
    println!(
        "1000 packed members of no work: {:.2} s from sbatch to the closed iteration (first ensemble, members, update), {:.2} s from the first to the last of them (best of 3: {walls:.2?})",
        walls.iter().copied().fold(f64::INFINITY, f64::min),
        spans.iter().copied().fold(f64::INFINITY, f64::min),
    );
    let _ = fs::remove_dir_all(&work);
}

fn init(tools: &Path, experiment: &Path, run: &Path, settings: &[&str]) {
    let mut command = Command::new(tools.join("ekp-init"));
    command.arg("-q").arg(experiment).arg(run);
    for setting in settings {
        command.args(["--set", setting]);
    }
    let out = command.output().expect("ekp-init");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// Submit a run and wait until nothing is queued.
fn submit(run: &Path) {
    sbatch(run);
    wait(idle);
}

fn sbatch(run: &Path) {
    let out = Command::new("sbatch").arg("ekp_calibration.sbatch").current_dir(run).output().expect("sbatch");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

fn idle() -> bool {
    let out = Command::new("squeue").arg("-h").output().expect("squeue");
    out.status.success() && out.stdout.is_empty()
}

fn wait(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(120), "the queue does not empty");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Start and end of something that ran, seconds since the epoch.
fn span(folder: &Path) -> (f64, f64) {
    let path = folder.join("timing.toml");
    let table: toml::Table = fs::read_to_string(&path).expect("timing").parse().expect("TOML");
    let stamp = |key: &str| {
        let time = DateTime::parse_from_rfc3339(table[key].as_str().expect("a time")).expect("RFC 3339");
        time.timestamp_micros() as f64 * 1e-6
    };
    (stamp("start"), stamp("end"))
}

/// From the last member's end to the update's start, and from there to the first member of the next iteration.
fn waits_of(run: &Path, iterations: usize) -> Vec<f64> {
    let mut waits = Vec::new();
    let mut updated = None;
    for i in 0..iterations {
        let folder = run.join(format!("iteration_{i:03}"));
        let members: Vec<(f64, f64)> = folders(&folder).iter().map(|m| span(m)).collect();
        let first = members.iter().map(|m| m.0).fold(f64::INFINITY, f64::min);
        let last = members.iter().map(|m| m.1).fold(0.0, f64::max);
        if let Some(updated) = updated {
            waits.push(first - updated);
        }
        let (start, end) = span(&folder);
        waits.push(start - last);
        updated = Some(end);
    }
    waits
}

fn folders(iteration: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(iteration).expect("an iteration").flatten().map(|e| e.path());
    entries.filter(|p| p.is_dir() && p.join("timing.toml").exists()).collect()
}

/// Seconds from submission until the iteration is closed, and from the first pack's start to the last one's end.
fn thousand(run: &Path) -> (f64, f64) {
    let start = Instant::now();
    sbatch(run);
    let closed = run.join("iteration_000/update.toml");
    wait(|| closed.exists());
    let wall = start.elapsed().as_secs_f64();
    wait(idle);
    let spans = packs(&run.join("iteration_000"));
    let first = spans.iter().map(|s| s.0).fold(f64::INFINITY, f64::min);
    let last = spans.iter().map(|s| s.1).fold(0.0, f64::max);
    (wall, last - first)
}

/// Times of all packs of an iteration.
fn packs(iteration: &Path) -> Vec<(f64, f64)> {
    folders(iteration).iter().map(|folder| span(folder)).collect()
}
