//! The table of a sweep: a row for each case, from the times of its runs.
//!
//! A number that nobody measured is an empty cell. Wall time is from the first member's start to the end of the last
//! update, so that waiting in a queue does not count; start-up is what a worker held before its first work within it.
//! Belongs here: reading `sweep.tsv`, putting times together. Not here: formulas (`metrics`).

mod columns;
mod laws;
mod search;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use crate::explain::briefly;
use crate::files::{FileError, RunDir, publish};
use crate::machine::tree::names_below;
use crate::numerics::{Purpose, Streams};
use crate::report::ReportError;
use crate::report::metrics::{Busy, Repeats, Scaling, Shares, median, scaling, shares};
use crate::report::table::count;
use crate::report::timings::{self, Kind, Row, seconds};
use crate::steps::Run;

pub use columns::{COLUMNS, csv};
pub use laws::{Laws, NAME as FITS, laws};
pub use search::{Path as Searched, Point};

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
    /// Name of its experiment
    pub science: String,
    /// Hosts that worked
    pub hosts: Vec<String>,
    /// Repeats, from 1, that are over
    pub repeats: Vec<u32>,
    /// Seconds of each repeat that is over
    pub wall_s: Vec<f64>,
    /// When each of them began and ended, seconds since 1970
    pub spans: Vec<(f64, f64)>,
    /// Who worked when in the first of them
    pub work: Vec<Busy>,
    /// How the search of each of them went; none of other methods
    pub searches: Vec<Searched>,
    /// Evaluations of a run, at most
    pub budget: u64,
    /// Units of the model's domain; 1 where it cannot be made
    pub units: usize,
    /// Why it cannot
    pub unmade: Option<String>,
    /// Repeats that are not over, or had no member that ended well
    pub failed_runs: usize,
    /// Time of the workers, mean over repeats
    pub shares: Shares,
    /// Members of all repeats that ended well, and that failed
    pub evaluations: (u64, u64),
    /// Tries beyond the first of a member: after a failure, a lost worker, a lease that ran out
    pub further_tries: u64,
    /// Processor time of all members
    pub cpu_s: f64,
    /// Names (files, folders) that all repeats left
    pub names: u64,
    /// Score from which on a search of its sweep counts as done
    pub target: Option<f64>,
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

impl Case {
    /// Workers that it had: as asked for, or as many as worked.
    pub fn lanes(&self) -> usize {
        self.work.iter().map(|w| w.worker + 1).max().unwrap_or(0).max(self.listed.workers as usize)
    }

    /// Evaluations of all runs that are over or not, failed ones too.
    pub fn ended(&self) -> u64 {
        self.evaluations.0 + self.evaluations.1
    }

    /// Seconds that a model took for an evaluation, with what a pack or a block adds; none before a run is over.
    pub fn per_evaluation_s(&self) -> Option<f64> {
        let busy = (self.shares.model_s + self.shares.lost_s) * self.wall_s.len() as f64;
        (self.ended() > 0 && !self.wall_s.is_empty()).then(|| busy / self.ended() as f64)
    }

    /// Seconds until a search reached the target, median over its runs, where a run that never did took longer than
    /// all others; none where that is the median, or nothing was searched.
    pub fn time_to_target_s(&self) -> Option<f64> {
        let target = self.target?;
        let times: Vec<f64> =
            self.searches.iter().map(|path| path.reached_s(target).unwrap_or(f64::INFINITY)).collect();
        median(&times).filter(|t| t.is_finite())
    }
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
    let mut known: HashMap<(&str, &str), usize> = HashMap::new();
    for (listed, rows) in list.iter().zip(rows) {
        let dir = RunDir::open(&folder.join(&listed.run))?;
        let at = *known.entry((&listed.sweep, &listed.case)).or_insert(all.len());
        if at == all.len() {
            all.push(Case {
                listed: listed.clone(),
                science: dir.identity.name.clone(),
                hosts: Vec::new(),
                repeats: Vec::new(),
                wall_s: Vec::new(),
                spans: Vec::new(),
                work: Vec::new(),
                searches: Vec::new(),
                budget: budget(&dir),
                units: 1,
                unmade: None,
                failed_runs: 0,
                shares: Shares::default(),
                evaluations: (0, 0),
                further_tries: 0,
                cpu_s: 0.0,
                names: 0,
                target: None,
                bytes: (0, 0),
                peak_rss_mb: 0.0,
                id: dir.identity.id.clone(),
                tools: dir.identity.tools.clone(),
                scaling: None,
            });
        }
        let case = &mut all[at];
        let over = add(case, listed.repeat, rows, dir.stop().is_file());
        case.names += names_below(dir.root());
        // Models are made again only where something is to be learnt of them.
        if let (Some(begin), Ok(run)) = (over, Run::look(dir.root())) {
            // What a model is made from may be gone: then nobody knows its units.
            match Run::open(dir.root()) {
                Ok(run) => case.units = run.experiment.model.forward.units(),
                Err(e) => case.unmade = Some(briefly(&e)),
            }
            case.searches.extend(search::path(&run, rows, begin)?);
        }
    }
    search::targets(&mut all);
    let mut groups: BTreeMap<(String, String), Vec<Repeats>> = BTreeMap::new();
    let key = |case: &Case| (case.listed.sweep.clone(), case.listed.group.clone());
    for case in &all {
        let repeats = Repeats { workers: case.listed.workers, wall_s: case.wall_s.clone() };
        groups.entry(key(case)).or_default().push(repeats);
    }
    let mut gained: BTreeMap<(String, String), Vec<Scaling>> = BTreeMap::new();
    for (number, (group, repeats)) in (0_u32..).zip(groups) {
        let mut draw = Streams::new(SEED).at(Purpose::Report, 1, number);
        let found = scaling(&repeats, &mut draw);
        // One number of workers alone says nothing of scaling.
        if found.len() > 1 {
            gained.insert(group, found);
        }
    }
    for case in all.iter_mut().filter(|case| !case.wall_s.is_empty()) {
        let of = gained.get(&key(case)).into_iter().flatten();
        case.scaling = of.into_iter().find(|s| s.workers == case.listed.workers).cloned();
    }
    Ok(all)
}

/// Evaluations that a run has at most.
fn budget(dir: &RunDir) -> u64 {
    match dir.budget() {
        0 => u64::from(dir.most_members()) * u64::from(dir.iterations().unwrap_or(dir.identity.iterations)),
        n => u64::from(n),
    }
}

/// Add a run to its case; when it began, where it is over and had a member that ended well.
fn add(case: &mut Case, repeat: u32, rows: &[Row], over: bool) -> Option<f64> {
    let members: Vec<&Row> = rows.iter().filter(|row| row.kind != Kind::Update).collect();
    let begin = members.iter().filter_map(|r| seconds(&r.timing.start)).fold(f64::INFINITY, f64::min);
    let end = rows.iter().filter_map(|r| seconds(&r.timing.end)).fold(f64::NEG_INFINITY, f64::max);
    let mut lanes: BTreeMap<(&str, &str, u32, u32), usize> = BTreeMap::new();
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
        case.further_tries += u64::from(t.attempt.saturating_sub(1));
        case.cpu_s += t.cpu_s;
        if !case.hosts.contains(&t.host) {
            case.hosts.push(t.host.clone());
        }
        let next = lanes.len();
        let worker = *lanes.entry((&t.host, &t.job, t.array_task, t.worker)).or_insert(next);
        if let (Some(start), Some(end)) = (seconds(&t.start), seconds(&t.end)) {
            let model = (end - t.wall_s).max(start);
            let lost = !row.error.is_empty() && row.members == 1;
            work.push(Busy {
                worker,
                from_s: start - begin,
                start_s: model - begin,
                end_s: end - begin,
                lost,
            });
        }
    }
    let well = members.iter().any(|row| row.error.is_empty());
    if !over || !well || end <= begin {
        case.failed_runs += 1;
        return None;
    }
    let n = case.wall_s.len() as f64;
    case.repeats.push(repeat);
    case.wall_s.push(end - begin);
    case.spans.push((begin, end));
    let workers = lanes.len().max(case.listed.workers as usize);
    case.shares = case.shares.mean_with(n, &shares(&work, workers, end - begin));
    if case.work.is_empty() {
        case.work = work;
    }
    Some(begin)
}

/// What was read of a sweep.
pub struct Collected {
    /// Its cases
    pub cases: Vec<Case>,
    /// Its run folders
    pub runs: Vec<PathBuf>,
    /// A row for each member, pack and update of them
    pub rows: Vec<Row>,
    /// What could not be read, and what is missing
    pub warnings: Vec<String>,
}

/// Read a sweep and write `timing_raw.csv`, `scaling_metrics.csv` and `scaling_fits.csv` into a folder.
///
/// # Errors
/// A damaged list or run, the disk.
pub fn write(sweep: &Path, folder: &Path) -> Result<Collected, ReportError> {
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
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    timings::write(folder, &rows)?;
    publish(&folder.join(NAME), &csv(&cases)?)?;
    publish(&folder.join(FITS), &laws::csv(&laws(&cases))?)?;
    Ok(Collected { cases, runs: runs(sweep, &listed), rows, warnings })
}

/// Cases without a run that is over that are named one by one.
const NAMED: usize = 5;

/// Cases without a run that is over, and groups without a run on one worker: said, never invented.
fn unfinished(cases: &[Case]) -> Vec<String> {
    let open: Vec<&Case> = cases.iter().filter(|case| case.failed_runs > 0).collect();
    let line = |case: &&Case| {
        let all = case.failed_runs + case.wall_s.len();
        format!("`{}`: {} of {all} runs are not over", case.listed.case, case.failed_runs)
    };
    let mut told: Vec<String> = open.iter().take(NAMED).map(line).collect();
    if open.len() > NAMED {
        told.push(format!("runs of {} more cases are not over, either", open.len() - NAMED));
    }
    let mut whys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for case in cases {
        if let Some(why) = &case.unmade {
            whys.entry(why).or_default().push(&case.listed.case);
        }
    }
    for (why, of) in whys {
        let more =
            if of.len() > 1 { format!(" and {}", count(of.len() - 1, "more case")) } else { String::new() };
        told.push(format!("`{}`{more}: {why}; units of the domain are not known, 1 stands for them", of[0]));
    }
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
