//! What the reading tools cost on a large study: `cargo bench --bench tooling`.
//!
//! ```text
//!   a study   1024 cases: 512 of an ensemble on 1, 2, 4, 8 workers, 512 searches by generations and without;
//!             100 evaluations in each, so 10⁵ `timing.toml` of members, laid out as `ekp-launch` leaves them
//!   times     ekp-collect-timings 'STUDY/*' -o DIR: the table of times alone
//!   collect   ekp-collect-timings STUDY: with what the searches found, and names counted
//!   report    ekp-report STUDY, and the bytes of what it leaves
//! ```
//! Wall and processor time, user and system, of the whole process; files in the system's cache, best of three.
//! `EKP_BENCH_TOOLS` names the folder of the tools (target/release by default), `EKP_BENCH_STUDY` a folder in which a
//! study is made once and kept.

#![allow(clippy::print_stdout)] // a benchmark speaks

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Cases of each half, over four numbers of workers.
const HALF: usize = 512;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools =
        std::env::var_os("EKP_BENCH_TOOLS").map_or_else(|| root.join("target/release"), PathBuf::from);
    if !tools.join("ekp-report").exists() {
        eprintln!("no tools in {}: run `cargo build --release --bins`", tools.display());
        return;
    }
    let kept = std::env::var_os("EKP_BENCH_STUDY").map(PathBuf::from);
    let work = kept
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("ekp-bench-tooling-{}", std::process::id())));
    if !work.join("study/made").exists() {
        make(&tools, &work);
    }
    let study = work.join("study");
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.trim());
    let rows = |folder: &Path| {
        let table = fs::read_to_string(folder.join("timing_raw.csv")).expect("the table");
        format!("{} rows", table.lines().count() - 1)
    };
    let runs = format!("{}/*_np*", study.display());
    let tables = work.join("tables");
    let tool = || Command::new(tools.join("ekp-collect-timings"));
    let times = measure("times", tool().args(["-q", &runs, "-o"]).arg(&tables), || rows(&tables));
    let collected = measure("collect", tool().arg("-q").arg(&study), || rows(&study.join("results")));
    let page = measure("report", Command::new(tools.join("ekp-report")).arg("-q").arg(&study), || {
        let bytes = |entry: fs::DirEntry| (entry.file_name(), entry.metadata().map_or(0, |m| m.len()));
        let mut files: Vec<_> =
            fs::read_dir(study.join("report")).expect("a report").flatten().map(bytes).collect();
        files.sort();
        let told = |(name, size): &(std::ffi::OsString, u64)| {
            format!("{} {} KB", name.to_string_lossy(), size.div_ceil(1000))
        };
        files.iter().map(told).collect::<Vec<_>>().join(", ")
    });
    println!("{times}\n{collected}\n{page}");
    if kept.is_none() {
        let _ = fs::remove_dir_all(&work);
    }
}

/// Best of three after one that warms the cache: wall, user, system; and what it left.
fn measure(name: &str, command: &mut Command, left: impl Fn() -> String) -> String {
    let best = (0..4)
        .map(|_| {
            let (user, system) = children();
            let start = Instant::now();
            quiet(command);
            let (user, system) = (children().0 - user, children().1 - system);
            (start.elapsed().as_secs_f64(), user, system)
        })
        .skip(1)
        .min_by(|a, b| (a.1 + a.2).total_cmp(&(b.1 + b.2)))
        .expect("three");
    let (wall, user, system) = best;
    let cpu = user + system;
    format!(
        "{name}: {cpu:.2} s of processor time ({user:.2} user, {system:.2} system), {wall:.2} s; {}",
        left()
    )
}

/// User and system time of all children that have ended, from /proc/self/stat in clock ticks of 10 ms.
fn children() -> (f64, f64) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let field = |k: usize| after.split(' ').nth(k).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0) * 0.01;
    (field(13), field(14))
}

fn quiet(command: &mut Command) {
    let status = command.stdout(Stdio::null()).stdin(Stdio::null()).status().expect("a tool");
    assert!(status.success(), "{command:?}: {status}");
}

/// A study whose cases have all been carried out.
fn make(tools: &Path, work: &Path) {
    let _ = fs::remove_dir_all(work);
    let write = |name: &str, text: &str| {
        let path = work.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let head = "schema = \"ekp.experiment\"\nversion = 1\nseed = 42\n";
    write(
        "eki/experiment.toml",
        &format!(
            "{head}name = \"ensemble\"\n[model]\nbuiltin = \"sinusoid\"\n[prior]\nfile = \"priors.toml\"\n\
             [observation]\nfile = \"observation.toml\"\n\
             [algorithm]\nmethod = \"etki\"\nmembers = 20\niterations = 5\nscheduler = \"fixed\"\nstep = 0.1\n"
        ),
    );
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sinusoid");
    for name in ["priors.toml", "observation.toml"] {
        fs::copy(examples.join(name), work.join("eki").join(name)).expect("the example");
    }
    let seeds = |n: usize| (1..=n).map(|k| k.to_string()).collect::<Vec<_>>().join(", ");
    let workers = "[[axis]]\nname = \"workers\"\nvalues = [1, 2, 4, 8]\nsets = \"launch.workers\"\n";
    write(
        "eki/sweep.toml",
        &format!(
            "schema = \"ekp.sweep\"\nversion = 1\nname = \"strong_eki\"\npart = 1\nexperiment = \"experiment.toml\"\n\
             names = \"eki_{{seed}}_np{{workers}}\"\n[set]\nlaunch.on = \"threads\"\n\
             [[axis]]\nname = \"seed\"\nvalues = [{}]\nsets = \"seed\"\n{workers}",
            seeds(HALF / 4)
        ),
    );
    write(
        "search/experiment.toml",
        &format!(
            "{head}name = \"search\"\n[model]\nbuiltin = \"landscape\"\n[prior]\nfile = \"priors.toml\"\n\
             [score]\nfrom_model = true\n[algorithm]\nmethod = \"dds\"\nmembers = 4\nbudget = 100\n"
        ),
    );
    write(
        "search/priors.toml",
        "[x]\nprior = \"VectorOfParameterized([Normal(0, 1), Normal(0, 1), Normal(0, 1), Normal(0, 1)])\"\n\
         constraint = \"repeat([bounded(-5.0, 5.0)], 4)\"\ntype = \"float\"\n",
    );
    write(
        "search/sweep.toml",
        &format!(
            "schema = \"ekp.sweep\"\nversion = 1\nname = \"searches\"\npart = 2\nexperiment = \"experiment.toml\"\n\
             names = \"{{method}}_{{seed}}_np{{workers}}\"\n[set]\nlaunch.on = \"threads\"\n\
             [[axis]]\nname = \"method\"\nvalues = [\"dds\", \"dds-async\"]\nsets = \"algorithm.method\"\n\
             [[axis]]\nname = \"seed\"\nvalues = [{}]\nsets = \"seed\"\n{workers}",
            seeds(HALF / 8)
        ),
    );
    let study = work.join("study");
    println!("a study is being made in {}", work.display());
    quiet(Command::new(tools.join("ekp-sweep")).arg("-q").arg(work).arg(&study));
    let list = fs::read_to_string(study.join("sweep.tsv")).expect("the list");
    for line in list.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        quiet(
            Command::new(tools.join("ekp-launch"))
                .args(["-q", "--on", "threads", "--workers", cells[7]])
                .arg(study.join(cells[5]))
                .stderr(Stdio::null()),
        );
    }
    write("study/made", "");
}
