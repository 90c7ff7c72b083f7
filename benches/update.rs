//! A whole `ekp-update`, from a run folder to the next iteration, and its reader against the general TOML parser.
//!
//! Processor time of the process (user and system), best of several; with it the largest memory (a small process shows
//! that of this one, from which it was started).
//! Arguments: words that the names of sizes must contain. `huge` (10⁶ outputs, 100 members) runs only when named.

#![allow(clippy::print_stdout, unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use ekp::files::{ARRAY, data_beside, data_text, digest, parse_data};

/// Name; d, p, J
const SIZES: [(&str, usize, usize, usize); 4] = [
    ("small", 5, 50, 20),
    ("middle", 50, 1000, 100),
    ("large", 200, 100_000, 100),
    ("huge", 200, 1_000_000, 100),
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let work = std::env::temp_dir().join(format!("ekp-bench-update-{}", std::process::id()));
    arrays(if asked.is_empty() { 12 } else { 3 });
    for (name, d, p, members) in SIZES {
        let wanted = asked.iter().any(|a| name.contains(a.as_str()));
        if !(wanted || asked.is_empty() && name != "huge") {
            continue;
        }
        for form in ["toml", "npy"] {
            let folder = work.join(format!("{name}-{form}"));
            let run = study(&folder, d, p, members, form);
            let times = if p < 10_000 { 20 } else { 5 };
            for memory in [None, Some("0")] {
                let (mut best, mut rss) = (f64::INFINITY, 0);
                for _ in 0..if p > 500_000 { 2 } else { times } {
                    let (cpu, peak) = update(&run, memory);
                    (best, rss) = (best.min(cpu), peak.max(rss));
                }
                let way = if memory.is_some() { "block by block" } else { "as it decides" };
                println!(
                    "update {name} (d {d}, p {p}, J {members}) from {form}, {way}: {best:.2} ms cpu, peak {} MB",
                    rss / 1000
                );
            }
            let _ = fs::remove_dir_all(&folder);
        }
    }
    let _ = fs::remove_dir_all(&work);
}

fn values(seed: usize, n: usize) -> Vec<f64> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed as u64 + 1) | 1;
    let mut next = || {
        (x, _) = (x ^ (x << 13), ());
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n).map(|_| 20.0 * (next() - 0.5)).collect()
}

/// One outcome of 10⁵ numbers: this reader and writer, and the general ones.
fn arrays(times: u32) {
    let numbers = values(0, 100_000);
    let text = data_text("", "blake3:00", &[("y", &numbers)]);
    let (names, lengths) = (["y".to_owned()], [numbers.len()]);
    let mut best = [f64::INFINITY; 4];
    for _ in 0..times {
        let mut timed = |k: usize, work: &mut dyn FnMut()| {
            let start = Instant::now();
            work();
            best[k] = best[k].min(start.elapsed().as_secs_f64());
        };
        timed(0, &mut || {
            drop(parse_data(text.as_bytes(), "blake3:00", &names, &lengths).expect("an outcome"))
        });
        timed(1, &mut || drop(text.parse::<toml::Table>().expect("toml")));
        timed(2, &mut || drop(data_text("", "blake3:00", &[("y", &numbers)])));
        let table = toml::Table::from_iter([("y".to_owned(), toml::Value::from(numbers.clone()))]);
        timed(3, &mut || drop(toml::to_string(&table).expect("toml")));
    }
    for (name, seconds) in
        ["outcome read", "toml crate, read", "outcome written", "toml crate, written"].iter().zip(best)
    {
        println!("{name}: {:.0} MB/s", text.len() as f64 / seconds / 1e6);
    }
}

/// A run whose first iteration waits for its update.
fn study(folder: &Path, d: usize, p: usize, members: usize, form: &str) -> PathBuf {
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    fs::create_dir_all(folder).expect("a folder");
    write(
        "experiment.toml",
        format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"bench\"\nseed = 1\n[model]\ncommand = [\"true\"]\n\
             [prior]\nfile = \"priors.toml\"\n[observation]\nfile = \"observation.toml\"\n\
             [algorithm]\nmethod = \"etki\"\nmembers = {members}\niterations = 2\n"
        ),
    );
    write(
        "priors.toml",
        format!(
            "[theta]\nprior = \"Parameterized(MvNormal({d}, 1.0))\"\nconstraint = \"repeat([no_constraint()], {d})\"\n"
        ),
    );
    let y = data_text("", "", &[("y", &values(9, p))]);
    let y = y.split("[model_output]").nth(1).expect("an array").rsplit_once("# crc32").expect("a sum").0;
    write(
        "observation.toml",
        format!(
            "schema = \"ekp.observation\"\nversion = 1\n[[block]]\nname = \"y\"{y}covariance = {{ scalar = 100.0 }}\n"
        ),
    );
    let run = folder.join("run");
    tool(Command::new(env!("CARGO_BIN_EXE_ekp-init")).arg("-q").arg(folder).arg(&run));
    tool(Command::new(env!("CARGO_BIN_EXE_ekp-init-ensemble")).arg("-q").arg(&run));
    for member in 1..=members {
        let folder = run.join(format!("iteration_000/member_{member:03}"));
        let parameters = digest(&fs::read(folder.join("parameters.toml")).expect("parameters"));
        let numbers = values(member + 10, p);
        let text = if form == "npy" {
            let (text, array) = data_beside("", &parameters, &[("y", &numbers)]);
            fs::write(folder.join(ARRAY), array).expect("an array");
            text
        } else {
            data_text("", &parameters, &[("y", &numbers)])
        };
        fs::write(folder.join("data.toml"), text).expect("an outcome");
    }
    run
}

fn tool(command: &mut Command) {
    assert!(command.stdout(std::process::Stdio::null()).status().expect("a tool").success());
}

#[allow(clippy::zombie_processes, reason = "wait4 waits for it, and tells what it used")]
/// CPU time of one update in ms, and its largest memory in kB; the run is as before.
fn update(run: &Path, memory: Option<&str>) -> (f64, i64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ekp-update"));
    command.arg("-q").arg(run).args(["-i", "0"]);
    if let Some(memory) = memory {
        command.args(["--memory", memory]);
    }
    let mut child = command.spawn().expect("ekp-update");
    let id = i32::try_from(child.id()).expect("a process number");
    // SAFETY: plain numbers, and both pointers live through the call; the child is not waited for elsewhere.
    let (usage, status) = unsafe {
        let (mut usage, mut status) = (std::mem::zeroed::<libc::rusage>(), 0);
        assert_eq!(libc::wait4(id, &raw mut status, 0, &raw mut usage), id);
        (usage, status)
    };
    assert_eq!(status, 0, "the update succeeds");
    drop(child.stdout.take());
    for file in ["iteration_000/update.toml", "stop.toml", "iteration_000/timing.toml"] {
        let _ = fs::remove_file(run.join(file));
    }
    fs::remove_dir_all(run.join("iteration_001")).expect("the next iteration");
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    (ms(usage.ru_utime) + ms(usage.ru_stime), usage.ru_maxrss)
}
