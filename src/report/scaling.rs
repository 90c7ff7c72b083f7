//! The table of a sweep: a row for each case, from the times of its runs.
//!
//! A number that nobody measured is an empty cell. Wall time is from the first member's start to the end of the last
//! update, so that waiting in a queue does not count; start-up is what a worker held before its first work within it.
//! Belongs here: reading `sweep.tsv`, putting times together. Not here: formulas (`metrics`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::DateTime;

use crate::files::{FileError, RunDir, publish};
use crate::numerics::{Purpose, Streams};
use crate::report::ReportError;
use crate::report::metrics::{Busy, Repeats, Scaling, Shares, scaling, shares};
use crate::report::timings::{self, Kind, Row};

/// Name of the table.
pub const NAME: &str = "scaling_metrics.csv";
/// The list of cases in a sweep's folder.
pub const LIST: &str = "sweep.tsv";
/// Seed of resampled repeats: the same runs give the same table.
const SEED: u64 = 42;

/// A line of `sweep.tsv`.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Listed {
    /// Name of the sweep
    pub sweep: String,
    /// Part of a study
    pub part: u32,
    /// Name of the case
    pub case: String,
    /// Repeat, from 1
    pub repeat: u32,
    /// Cases of a group differ in workers alone
    pub group: String,
    /// Run folder, seen from the list
    pub run: String,
    /// What carried it
    pub on: String,
    /// Members at once
    pub workers: u32,
    /// Threads of each
    pub threads: u32,
    /// Nodes
    pub nodes: u32,
    /// What the case changes
    pub settings: String,
}

/// What the repeats of a case took.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// As in the list, first repeat
    pub listed: Listed,
    /// Hosts that worked
    pub hosts: Vec<String>,
    /// Seconds of each repeat that is over
    pub wall_s: Vec<f64>,
    /// Repeats that are not over, or had no member that ended well
    pub failed_runs: usize,
    /// Time of the workers, mean over repeats
    pub shares: Shares,
    /// Members of all repeats that ended well, and that failed
    pub evaluations: (u64, u64),
    /// Bytes of all repeats read and written by members, where the system tells
    pub bytes: (u64, u64),
    /// Largest member
    pub peak_rss_mb: f64,
    /// Id of the run: the same science has the same
    pub id: String,
    /// Version of the tools
    pub tools: String,
    /// What its workers gain, where its group has a baseline
    pub scaling: Option<Scaling>,
}

/// Is this folder a sweep's?
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(LIST).is_file()
}

/// The runs that a sweep lists.
///
/// # Errors
/// A damaged list.
pub fn list(folder: &Path) -> Result<Vec<Listed>, ReportError> {
    let path = folder.join(LIST);
    let bytes = fs::read(&path).map_err(FileError::io("read", &path))?;
    let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').quoting(false).from_reader(bytes.as_slice());
    reader.deserialize().collect::<Result<_, _>>().map_err(|e| ReportError::Damaged {
        path,
        why: e.to_string(),
        hint: "`ekp-sweep` with the same words writes it anew".into(),
    })
}

/// Run folders of the list.
pub fn runs(folder: &Path, list: &[Listed]) -> Vec<PathBuf> {
    list.iter().map(|listed| folder.join(&listed.run)).collect()
}

/// Put the rows of all runs together, case by case in the order of the list; `rows[k]` are those of the k-th line.
///
/// # Errors
/// A run folder that cannot be read.
pub fn cases(folder: &Path, list: &[Listed], rows: &[Vec<Row>]) -> Result<Vec<Case>, ReportError> {
    let mut all: Vec<Case> = Vec::new();
    for (listed, rows) in list.iter().zip(rows) {
        let dir = RunDir::open(&folder.join(&listed.run))?;
        let same = |case: &&mut Case| case.listed.case == listed.case && case.listed.sweep == listed.sweep;
        if all.iter_mut().find(same).is_none() {
            all.push(Case {
                listed: listed.clone(),
                hosts: Vec::new(),
                wall_s: Vec::new(),
                failed_runs: 0,
                shares: Shares { model_s: 0.0, startup_s: 0.0, wait_s: 0.0, idle_tail_s: 0.0 },
                evaluations: (0, 0),
                bytes: (0, 0),
                peak_rss_mb: 0.0,
                id: dir.identity.id.clone(),
                tools: dir.identity.tools.clone(),
                scaling: None,
            });
        }
        let case = all.iter_mut().find(same).expect("it was put there");
        add(case, rows, dir.stop().is_file());
    }
    let mut groups: BTreeMap<(String, String), Vec<Repeats>> = BTreeMap::new();
    let key = |case: &Case| (case.listed.sweep.clone(), case.listed.group.clone());
    for case in &all {
        let repeats = Repeats { workers: case.listed.workers, wall_s: case.wall_s.clone() };
        groups.entry(key(case)).or_default().push(repeats);
    }
    for (number, (group, repeats)) in (0_u32..).zip(groups) {
        let mut draw = Streams::new(SEED).at(Purpose::Report, 1, number);
        let found = scaling(&repeats, &mut draw);
        // One number of workers alone says nothing of scaling.
        for case in all.iter_mut().filter(|case| key(case) == group && found.len() > 1) {
            case.scaling =
                found.iter().find(|s| s.workers == case.listed.workers && !case.wall_s.is_empty()).cloned();
        }
    }
    Ok(all)
}

fn add(case: &mut Case, rows: &[Row], over: bool) {
    let seconds =
        |text: &str| DateTime::parse_from_rfc3339(text).ok().map(|t| t.timestamp_micros() as f64 * 1e-6);
    let members: Vec<&Row> = rows.iter().filter(|row| row.kind != Kind::Update).collect();
    let begin = members.iter().filter_map(|r| seconds(&r.timing.start)).fold(f64::INFINITY, f64::min);
    let end = rows.iter().filter_map(|r| seconds(&r.timing.end)).fold(f64::NEG_INFINITY, f64::max);
    let mut lanes: BTreeMap<(String, String, u32, u32), usize> = BTreeMap::new();
    let mut work = Vec::new();
    for row in &members {
        let t = &row.timing;
        let count = u64::from(row.members);
        if row.error.is_empty() {
            case.evaluations.0 += count
        } else {
            case.evaluations.1 += count
        }
        case.bytes.0 += t.bytes_read;
        case.bytes.1 += t.bytes_written;
        case.peak_rss_mb = case.peak_rss_mb.max(t.peak_rss_mb);
        if !case.hosts.contains(&t.host) {
            case.hosts.push(t.host.clone());
        }
        let next = lanes.len();
        let worker = *lanes.entry((t.host.clone(), t.job.clone(), t.array_task, t.worker)).or_insert(next);
        if let (Some(start), Some(end)) = (seconds(&t.start), seconds(&t.end)) {
            work.push(Busy { worker, start_s: (end - t.wall_s).max(start) - begin, end_s: end - begin });
        }
    }
    let well = members.iter().any(|row| row.error.is_empty());
    if !over || !well || end <= begin {
        case.failed_runs += 1;
        return;
    }
    let n = case.wall_s.len() as f64;
    case.wall_s.push(end - begin);
    let workers = lanes.len().max(case.listed.workers as usize);
    let one = shares(&work, workers, end - begin);
    let mean = |old: f64, new: f64| (old * n + new) / (n + 1.0);
    case.shares = Shares {
        model_s: mean(case.shares.model_s, one.model_s),
        startup_s: mean(case.shares.startup_s, one.startup_s),
        wait_s: mean(case.shares.wait_s, one.wait_s),
        idle_tail_s: mean(case.shares.idle_tail_s, one.idle_tail_s),
    };
}

/// Headings, units in their names.
pub const COLUMNS: [&str; 29] = [
    "experiment",
    "variant",
    "group",
    "platform_id",
    "workers",
    "nodes",
    "n_runs",
    "failed_runs",
    "wall_median_s",
    "wall_min_s",
    "wall_max_s",
    "wall_iqr_s",
    "startup_s",
    "model_s",
    "wait_s",
    "idle_tail_s",
    "evals_ok",
    "evals_failed",
    "evals_per_s",
    "baseline_workers",
    "speedup",
    "speedup_lo",
    "speedup_hi",
    "efficiency",
    "karp_flatt",
    "utilisation",
    "peak_rss_mb",
    "config_hash",
    "code_version",
];

/// The table as CSV.
///
/// # Errors
/// None that a disk could make; kept for the writer's sake.
pub fn csv(cases: &[Case]) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |e: csv::Error| FileError::Invalid { path: NAME.into(), kind: "table", why: e.to_string() };
    writer.write_record(COLUMNS).map_err(wrong)?;
    for case in cases {
        let l = &case.listed;
        let number = |x: f64| format!("{x:?}");
        let s = case.scaling.as_ref();
        let wall = crate::report::metrics::median(&case.wall_s);
        let of = |f: fn(&Scaling) -> f64| s.map_or_else(String::new, |s| number(f(s)));
        let ran = |x: f64| if wall.is_some() { number(x) } else { String::new() };
        let ends =
            |f: fn(f64, f64) -> f64| case.wall_s.iter().copied().reduce(f).map_or_else(String::new, number);
        let total: f64 = case.wall_s.iter().sum();
        let rate = if total > 0.0 { number(case.evaluations.0 as f64 / total) } else { String::new() };
        writer
            .write_record([
                l.sweep.clone(),
                l.case.clone(),
                l.group.clone(),
                case.hosts.join(" "),
                l.workers.to_string(),
                l.nodes.to_string(),
                case.wall_s.len().to_string(),
                case.failed_runs.to_string(),
                wall.map_or_else(String::new, number),
                ends(f64::min),
                ends(f64::max),
                of(|s| s.iqr_s),
                ran(case.shares.startup_s),
                ran(case.shares.model_s),
                ran(case.shares.wait_s),
                ran(case.shares.idle_tail_s),
                case.evaluations.0.to_string(),
                case.evaluations.1.to_string(),
                rate,
                s.map_or_else(String::new, |s| s.baseline.to_string()),
                of(|s| s.speedup),
                of(|s| s.speedup_range.0),
                of(|s| s.speedup_range.1),
                of(|s| s.efficiency),
                s.and_then(|s| s.karp_flatt).map_or_else(String::new, number),
                ran(case.shares.utilisation()),
                number(case.peak_rss_mb),
                case.id.clone(),
                case.tools.clone(),
            ])
            .map_err(wrong)?;
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new(NAME))(e.into_error()))?)
}

/// Read a sweep and write `timing_raw.csv` and `scaling_metrics.csv` into a folder; the cases, and what could not be read.
///
/// # Errors
/// A damaged list or run, the disk.
pub fn write(sweep: &Path, folder: &Path) -> Result<(Vec<Case>, Vec<String>), ReportError> {
    let listed = list(sweep)?;
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    for listed in &listed {
        let (mut found, more) = timings::rows(&sweep.join(&listed.run), listed.repeat as usize)?;
        found.iter_mut().for_each(|row| row.experiment.clone_from(&listed.case));
        warnings.extend(more);
        rows.push(found);
    }
    let cases = cases(sweep, &listed, &rows)?;
    warnings.extend(unfinished(&cases));
    timings::write(folder, &rows.concat())?;
    publish(&folder.join(NAME), &csv(&cases)?)?;
    Ok((cases, warnings))
}

/// Cases without a run that is over, and groups without a run on one worker: said, never invented.
fn unfinished(cases: &[Case]) -> Vec<String> {
    let mut told: Vec<String> = cases
        .iter()
        .filter(|case| case.failed_runs > 0)
        .map(|case| {
            format!(
                "`{}`: {} of {} runs are not over",
                case.listed.case,
                case.failed_runs,
                case.failed_runs + case.wall_s.len()
            )
        })
        .collect();
    for case in cases {
        if let Some(s) = case.scaling.as_ref().filter(|s| s.baseline > 1) {
            let line = format!(
                "`{}`: no run on one worker; speed-up is relative to {} workers",
                case.listed.sweep, s.baseline
            );
            if !told.contains(&line) {
                told.push(line);
            }
        }
    }
    told
}
