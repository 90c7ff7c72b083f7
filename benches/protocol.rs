//! The file protocol and the task launcher against bare loops in C, interleaved run by run.
//!
//! Needs the tools of `make dist` (target/tools) and a C compiler; `make bench` sees to both.
//! Prints medians and the ratio of medians; times are of this machine, ratios travel.

#![allow(clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = root.join("target/tools");
    if !tools.join("ekp-launch").exists() {
        eprintln!("no target/tools: run `make bench`");
        return;
    }
    let work = std::env::temp_dir().join(format!("ekp-bench-{}", std::process::id()));
    fs::create_dir_all(&work).expect("a temporary folder");
    let floor = work.join("floor");
    let built = Command::new("cc")
        .args(["-O2", "-static", "-o"])
        .arg(&floor)
        .arg(root.join("benches/floor.c"))
        .status();
    if !built.is_ok_and(|s| s.success()) {
        eprintln!("no C compiler: nothing to hold against");
        return;
    }
    machine();
    pool(&tools, &floor, &work);
    one_member(&tools, &floor, &work);
    publication(&floor, &work);
    startup(root, &tools, &floor, &work);
    sinusoid(root, &tools, &work);
    let _ = fs::remove_dir_all(&work);
}

fn machine() {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|l| l.starts_with("model name")).unwrap_or("");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {}, {cores} cores, load {}", model.trim_start_matches("model name\t: "), load.trim());
}

/// An experiment with an external model of no work and `members` members, made into `run`.
fn experiment(tools: &Path, floor: &Path, work: &Path, run: &Path, members: u32) {
    fs::write(
        work.join("experiment.toml"),
        format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"bench\"\nseed = 1\n[model]\ncommand = [\"{}\", \"model\", \
             \"{{parameters}}\", \"{{data}}\"]\n[prior]\nfile = \"priors.toml\"\n[observation]\nfile = \"observation.toml\"\n\
             [algorithm]\nmethod = \"etki\"\nmembers = {members}\niterations = 1\n[files]\nkeep = \"failed\"\n",
            floor.display()
        ),
    )
    .expect("experiment");
    fs::write(
        work.join("priors.toml"),
        "[a]\nprior = \"Parameterized(Normal(0, 1))\"\nconstraint = \"no_constraint()\"\n",
    )
    .expect("priors");
    fs::write(
        work.join("observation.toml"),
        "schema = \"ekp.observation\"\nversion = 1\n[[block]]\nname = \"y\"\ny = [1.0, 2.1]\ncovariance = { scalar = 1.0 }\n",
    )
    .expect("observation");
    let _ = fs::remove_dir_all(run);
    quiet(Command::new(tools.join("ekp-init")).arg("-q").arg(work.join("experiment.toml")).arg(run));
    quiet(Command::new(tools.join("ekp-init-ensemble")).arg("-q").arg(run));
}

fn quiet(command: &mut Command) {
    let status =
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status().expect("a tool");
    assert!(status.success(), "{command:?}: {status}");
}

fn numbers(command: &mut Command) -> Vec<f64> {
    let output = command.output().expect("the floor");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(|w| w.parse().expect("a number")).collect()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Members' folders as `ekp-init-ensemble` leaves them.
fn clean(run: &Path) {
    for entry in fs::read_dir(run.join("iteration_000")).expect("iteration").flatten() {
        if entry.path().is_dir() {
            for name in ["data.toml", "timing.toml"] {
                let _ = fs::remove_file(entry.path().join(name));
            }
            let _ = fs::remove_dir_all(entry.path().join("try_1"));
        }
    }
    for name in ["update.toml", "timing.toml"] {
        let _ = fs::remove_file(run.join("iteration_000").join(name));
    }
    let _ = fs::remove_dir_all(run.join("iteration_001"));
    let _ = fs::remove_file(run.join("stop.toml"));
}

/// Wall and CPU (children included) of a command, ms.
fn cost(command: &mut Command) -> (f64, f64) {
    let before = children_cpu();
    let start = Instant::now();
    quiet(command);
    (start.elapsed().as_secs_f64() * 1e3, (children_cpu() - before) * 1e3)
}

/// CPU of all children that have ended, from /proc/self/stat in clock ticks of 10 ms.
fn children_cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |k: usize| fields.get(k).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / 100.0
}

fn pool(tools: &Path, floor: &Path, work: &Path) {
    const MEMBERS: u32 = 500;
    let run = work.join("pool");
    experiment(tools, floor, work, &run, MEMBERS);
    for workers in ["1", "2"] {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        let (mut ours_cpu, mut bare_cpu) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            clean(&run);
            let found = numbers(
                Command::new(floor)
                    .args(["members"])
                    .arg(run.join("iteration_000"))
                    .args([MEMBERS.to_string().as_str(), workers])
                    .arg(floor)
                    .arg("close"),
            );
            bare.push(found[0]);
            bare_cpu.push(found[1]);
            clean(&run);
            let (wall, cpu) =
                cost(Command::new(tools.join("ekp-launch")).args(["-q", "--workers", workers]).arg(&run));
            ours.push(wall / f64::from(MEMBERS));
            ours_cpu.push(cpu / f64::from(MEMBERS));
        }
        let (o, b, oc, bc) =
            (median(&mut ours), median(&mut bare), median(&mut ours_cpu), median(&mut bare_cpu));
        println!(
            "local pool, {workers} workers, external member: {o:.3} ms wall ({oc:.3} cpu), C loop {b:.3} ({bc:.3}): {:.2} x wall, {:.2} x cpu",
            o / b,
            oc / bc
        );
    }
}

/// A process for each member, ours and one in C that does the same.
fn one_member(tools: &Path, floor: &Path, work: &Path) {
    const MEMBERS: u32 = 100;
    let run = work.join("one");
    experiment(tools, floor, work, &run, MEMBERS);
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..11 {
        clean(&run);
        let before = children_cpu();
        for m in 1..=MEMBERS {
            let folder = run.join(format!("iteration_000/member_{m:03}"));
            quiet(Command::new(floor).arg("member").arg(folder).arg(floor));
        }
        bare.push((children_cpu() - before) * 1e3 / f64::from(MEMBERS));
        clean(&run);
        let before = children_cpu();
        for m in 1..=MEMBERS {
            quiet(Command::new(tools.join("ekp-run-member")).arg("-q").arg(&run).args([
                "-i",
                "0",
                "-m",
                &m.to_string(),
            ]));
        }
        ours.push((children_cpu() - before) * 1e3 / f64::from(MEMBERS));
    }
    let (o, b) = (median(&mut ours), median(&mut bare));
    println!(
        "ekp-run-member, a process for each external member: {o:.3} ms cpu, the same in C {b:.3}: adds {:.3} ms",
        o - b
    );
}

fn publication(floor: &Path, work: &Path) {
    const MEMBERS: u32 = 2000;
    let folder = work.join("files");
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    let timing = "x".repeat(330);
    for _ in 0..7 {
        for (k, rates) in [&mut bare, &mut ours].into_iter().enumerate() {
            let _ = fs::remove_dir_all(&folder);
            for m in 1..=MEMBERS {
                fs::create_dir_all(folder.join(format!("member_{m:03}"))).expect("a folder");
            }
            if k == 0 {
                rates
                    .push(numbers(Command::new(floor).arg("files").arg(&folder).arg(MEMBERS.to_string()))[0]);
            } else {
                let start = Instant::now();
                for m in 1..=MEMBERS {
                    let member = folder.join(format!("member_{m:03}"));
                    ekp::files::publish(&member.join("timing.toml"), timing.as_bytes()).expect("timing");
                    let data = ekp::files::data_text(
                        "a\nb\nc",
                        "blake3:00000000000000000000000000000000",
                        &[("y", &[1.0, 2.0])],
                    );
                    ekp::files::publish_new(&member.join("data.toml"), data.as_bytes()).expect("data");
                }
                rates.push(start.elapsed().as_secs_f64() * 1e3 / f64::from(MEMBERS));
            }
        }
    }
    let (o, b) = (median(&mut ours), median(&mut bare));
    println!(
        "member files written and published: {:.1} us, bare C {:.1}: {:.2} of the bare rate",
        o * 1e3,
        b * 1e3,
        b / o
    );
}

fn startup(root: &Path, tools: &Path, floor: &Path, work: &Path) {
    let Some(reference) = reference(root) else {
        println!("start-up: the reference program was not built (make bench builds it)");
        return;
    };
    let run = work.join("one");
    let file = run.join("run.toml");
    let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..7 {
        let spawn = |program: &Path, args: &[&Path]| {
            numbers(Command::new(floor).args(["spawn", "200"]).arg(program).args(args))[1]
        };
        bare.push(spawn(floor, &[]));
        theirs.push(spawn(&reference, &[&file]));
        ours.push(spawn(&tools.join("ekp-init-ensemble"), &[&run]));
    }
    let (o, t, b) = (median(&mut ours), median(&mut theirs), median(&mut bare));
    println!(
        "start-up: ekp-init-ensemble with nothing to do {o:.3} ms cpu, static clap + toml {t:.3}, static C {b:.3}: {:.2} x",
        o / t
    );
}

fn reference(root: &Path) -> Option<PathBuf> {
    glob::glob(&root.join("target/startup/*/dist/startup").to_string_lossy()).ok()?.flatten().next()
}

fn sinusoid(root: &Path, tools: &Path, work: &Path) {
    let experiment = root.join("examples/sinusoid_interface/experiment.toml");
    if !experiment.exists() {
        return;
    }
    let (mut steps, mut inside) = (Vec::new(), Vec::new());
    for k in 0..7 {
        let run = work.join(format!("interface_{k}"));
        let start = Instant::now();
        quiet(Command::new(tools.join("ekp-init")).arg("-q").arg(&experiment).arg(&run));
        quiet(Command::new(tools.join("ekp-init-ensemble")).arg("-q").arg(&run));
        for i in 0..5 {
            for m in 1..=6 {
                quiet(Command::new(tools.join("ekp-run-member")).arg("-q").arg(&run).args([
                    "-i",
                    &i.to_string(),
                    "-m",
                    &m.to_string(),
                ]));
            }
            quiet(Command::new(tools.join("ekp-update")).arg("-q").arg(&run).args(["-i", &i.to_string()]));
        }
        steps.push(start.elapsed().as_secs_f64() * 1e3);
        let run = work.join(format!("inside_{k}"));
        let start = Instant::now();
        quiet(Command::new(tools.join("ekp-init")).arg("-q").arg(&experiment).arg(&run));
        quiet(
            Command::new(tools.join("ekp-launch"))
                .args(["-q", "--on", "threads", "--workers", "1"])
                .arg(&run),
        );
        inside.push(start.elapsed().as_secs_f64() * 1e3);
    }
    println!(
        "file-interface sinusoid (J = 6, 5 iterations): {:.0} ms as 37 processes, {:.0} ms as two (init, launch in threads)",
        median(&mut steps),
        median(&mut inside)
    );
}
