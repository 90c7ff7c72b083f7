//! A whole `ekp-update`, from a run folder to the next iteration, and its reader against the general TOML parser.
//!
//! Processor time of the process (user and system), best of several, and the largest memory. Beside it stands the
//! floor: a bare process that reads the same outcomes, sums them up, reads their digits with fast-float2, takes the
//! Gram matrix and leaves the same folders and files, synced as often; it checks nothing and makes no step.
//! Arguments: words that the names of sizes must contain. `huge` (10⁶ outputs, 100 members) runs only when named.

#![allow(clippy::print_stdout, unsafe_code)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use ekp::files::{ARRAY, data_beside, data_text, digest, parse_data};
use ekp::numerics::{Mat, linalg};

/// Name; d, p, J
const SIZES: [(&str, usize, usize, usize); 4] = [
    ("small", 5, 50, 20),
    ("middle", 50, 1000, 100),
    ("large", 200, 100_000, 100),
    ("huge", 200, 1_000_000, 100),
];

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    if let [floor, run, p, members] = asked.as_slice()
        && floor == "floor"
    {
        return bare(Path::new(run), p.parse().expect("p"), members.parse().expect("J"));
    }
    let work = std::env::temp_dir().join(format!("ekp-bench-update-{}", std::process::id()));
    arrays(if asked.is_empty() { 12 } else { 3 });
    for (name, d, p, members) in SIZES {
        let wanted = asked.iter().any(|a| name.contains(a.as_str()));
        if !(wanted || asked.is_empty() && name != "huge") {
            continue;
        }
        for form in ["toml", "npy"] {
            let run = study(&work.join(format!("{name}-{form}")), d, p, members, form);
            let times = if p < 10_000 { 20 } else { 5 };
            let times = if p > 500_000 { 2 } else { times };
            let mut floor = Command::new(std::env::current_exe().expect("this program"));
            floor.arg("floor").arg(&run).args([p.to_string(), members.to_string()]);
            let best = |command: &mut Command| {
                (0..times).map(|_| timed(&run, command)).fold(f64::INFINITY, f64::min)
            };
            // A matrix of 800 MB is no floor for a process that does without.
            let floor = (p < 500_000).then(|| best(&mut floor));
            for (way, memory) in [("as it decides", None), ("block by block", Some("0"))] {
                let cpu = best(update(&run).args(memory.iter().flat_map(|m| ["--memory", m])));
                let peak = peak(&run, memory);
                let beside =
                    floor.map_or(String::new(), |f| format!(", floor {f:.2} ms, ratio {:.2}", cpu / f));
                println!(
                    "update {name} (d {d}, p {p}, J {members}) from {form}, {way}: {cpu:.2} ms cpu, peak {peak:.0} MB{beside}"
                );
            }
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

fn update(run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ekp-update"));
    command.arg("-q").arg(run).args(["-i", "0"]);
    command
}

#[allow(clippy::zombie_processes, reason = "wait4 waits for it, and tells what it used")]
/// CPU time of one update in ms; the run is as before.
fn timed(run: &Path, command: &mut Command) -> f64 {
    let child = command.spawn().expect("a program");
    let id = i32::try_from(child.id()).expect("a process number");
    // SAFETY: plain numbers, and both pointers live through the call; the child is not waited for elsewhere.
    let (usage, status) = unsafe {
        let (mut usage, mut status) = (std::mem::zeroed::<libc::rusage>(), 0);
        assert_eq!(libc::wait4(id, &raw mut status, 0, &raw mut usage), id);
        (usage, status)
    };
    assert_eq!(status, 0, "the update succeeds");
    again(run);
    let ms = |t: libc::timeval| t.tv_sec as f64 * 1e3 + t.tv_usec as f64 / 1e3;
    ms(usage.ru_utime) + ms(usage.ru_stime)
}

/// The largest memory of an update in MB, as it writes it down itself. A program that is started from a large one
/// counts that one's memory as its own; from a shell's child it does not.
fn peak(run: &Path, memory: Option<&str>) -> f64 {
    let program = update(run);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("\"$@\"; exit $?").arg("sh").arg(program.get_program()).args(program.get_args());
    tool(shell.args(memory.iter().flat_map(|m| ["--memory", m])));
    let text = fs::read_to_string(run.join("iteration_000/timing.toml")).expect("timing");
    again(run);
    text.parse::<toml::Table>().expect("toml")["peak_rss_mb"].as_float().expect("a number")
}

/// Take the next iteration away. It is moved, not removed: for some seconds ext4 does not use the place of a removed
/// file again, and every new one would have to search behind them.
fn again(run: &Path) {
    static CALL: AtomicU32 = AtomicU32::new(0);
    let aside = run.join(format!("../aside_{}", CALL.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&aside).expect("a folder");
    for (name, to) in [
        ("iteration_001", "next"),
        ("iteration_000/update.toml", "update"),
        ("iteration_000/timing.toml", "timing"),
        ("stop.toml", "stop"),
    ] {
        let _ = fs::rename(run.join(name), aside.join(to));
    }
}

/// What no update can do without.
fn bare(run: &Path, p: usize, members: usize) {
    let before = run.join("iteration_000");
    let member = |m: usize| format!("member_{m:03}");
    let (mut g, mut room) = (Mat::zeros(p, members), Vec::new());
    for m in 1..=members {
        let folder = before.join(member(m));
        let array = File::open(folder.join(ARRAY));
        let (mut file, text) = match array {
            Ok(file) => (file, false),
            Err(_) => (File::open(folder.join("data.toml")).expect("an outcome"), true),
        };
        room.clear();
        file.read_to_end(&mut room).expect("an outcome");
        assert!(crc32fast::hash(&room) != 0, "a sum");
        let column = g.col_mut(m - 1);
        if text {
            let mut at = room.windows(3).position(|w| w == b"= [").expect("an array") + 3;
            for place in column {
                while matches!(room[at], b' ' | b'\n' | b',') {
                    at += 1;
                }
                let (x, length) = fast_float2::parse_partial::<f64, _>(&room[at..]).expect("a number");
                (*place, at) = (x, at + length);
            }
        } else {
            let data = room.len() - 8 * p;
            for (place, bytes) in column.iter_mut().zip(room[data..].chunks_exact(8)) {
                *place = f64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            }
        }
    }
    let gram = linalg::gram(&g);
    assert!(gram[(0, 0)] > 0.0, "a product");
    let synced = |path: &Path, bytes: &[u8]| {
        let mut file = File::create(path).expect("a file");
        file.write_all(bytes).and_then(|()| file.sync_all()).expect("a file");
    };
    let sync = |folder: &Path| File::open(folder).and_then(|f| f.sync_all()).expect("a folder");
    synced(&before.join("update.toml"), &room[..(60 * members).min(room.len())]);
    sync(&before);
    let hidden = run.join(".next");
    fs::create_dir(&hidden).expect("a folder");
    for name in ["ensemble.bin", "state.bin"] {
        synced(&hidden.join(name), &fs::read(before.join(name)).expect("a state"));
    }
    let text = fs::read(before.join(member(1)).join("parameters.toml")).expect("parameters");
    for m in 1..=members {
        fs::create_dir(hidden.join(member(m))).expect("a folder");
        fs::write(hidden.join(member(m)).join("parameters.toml"), &text).expect("parameters");
    }
    sync(&hidden);
    fs::rename(&hidden, run.join("iteration_001")).expect("the next iteration");
    sync(run);
    fs::write(before.join("timing.toml"), "").expect("a file");
    synced(&run.join("stop.toml"), &text);
    sync(run);
}
