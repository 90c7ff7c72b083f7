//! Where a grid stands: its stages, its failures, what to type.

use std::fmt::Write as _;
use std::fs;

use serde::Serialize;

use crate::files::{Failed, load_record};
use crate::models::Cause;
use crate::report::ReportError;
use crate::report::runs::{typed, word};
use crate::report::status::Job;
use crate::report::table::{count, table};
use crate::steps::grid::GridRun;
use crate::steps::grid::due::{CellState, states};
use crate::steps::grid::merge;

/// Failed cells shown without `-v`.
const SHOWN: usize = 8;

/// A stage in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageRow {
    /// From 1
    pub number: u32,
    /// Its name
    pub stage: String,
    /// All its cells
    pub cells: usize,
    /// With data
    pub done: usize,
    /// Failed by themselves
    pub failed: usize,
    /// Failed for want of a cell before them
    pub upstream: usize,
    /// Without an outcome, and a try was begun
    pub begun: usize,
    /// Without an outcome, not begun
    pub open: usize,
}

/// A failed cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedCell {
    /// Its id
    pub id: String,
    /// Name of the stage
    pub stage: String,
    /// `target=a, sampler=hmc`
    pub labels: String,
    /// exit, signal, timeout, memory, output, lost, user
    pub cause: String,
    /// One line
    pub message: String,
    /// What it complained about
    pub log: String,
    /// Runs it again
    pub rerun: String,
    /// Cells behind it that have no data for want of it
    pub behind: usize,
}

/// A cell that has data and says why not to believe them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkedCell {
    /// Its id
    pub id: String,
    /// Name of the stage
    pub stage: String,
    /// `target=a, sampler=hmc`
    pub labels: String,
    /// Why
    pub mark: String,
}

/// Where a grid stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridStatus {
    /// The run folder as it was named
    pub run: String,
    /// Name of the experiment
    pub name: String,
    /// Id of the run
    pub id: String,
    /// `grid`
    pub method: String,
    /// made, members, update, quorum, cancelled, over: as for other methods
    pub state: String,
    /// In a sentence
    pub sentence: String,
    /// The steps that are due, as `--next` has them
    pub due: Vec<String>,
    /// A row for each stage
    pub stages: Vec<StageRow>,
    /// Cells that failed by themselves
    pub failures: Vec<FailedCell>,
    /// Cells whose data are not to be believed as they are
    pub marked: Vec<MarkedCell>,
    /// Tables of results
    pub tables: Vec<String>,
    /// Jobs of the run; absent when the scheduler was not asked
    pub jobs: Option<Vec<Job>>,
}

/// Look at a grid; `jobs` are its jobs where the scheduler was asked.
///
/// # Errors
/// The disk cannot be read.
pub fn look(run: &GridRun, named: &str, jobs: Option<Vec<Job>>) -> Result<GridStatus, ReportError> {
    let (mut stages, mut failures) = (Vec::new(), Vec::new());
    for (number, cells) in (1u32..).zip(states(run)) {
        let stage = &run.grid.stages[number as usize - 1];
        let of = |wanted| cells.iter().filter(|state| **state == wanted).count();
        let mut row = StageRow {
            number,
            stage: stage.name.clone(),
            cells: cells.len(),
            done: of(CellState::Done),
            failed: 0,
            upstream: 0,
            begun: 0,
            open: 0,
        };
        for (cell, state) in (1u32..).zip(&cells) {
            let folder = run.folder(number, cell);
            match state {
                CellState::Done => {}
                CellState::Open => match begun(&folder) {
                    true => row.begun += 1,
                    false => row.open += 1,
                },
                CellState::Failed => {
                    let record = load_record::<Failed>(&folder.join("failed.toml")).ok();
                    let (cause, message) =
                        record.map_or(("unreadable".into(), String::new()), |f| (f.cause, f.message));
                    if cause == Cause::Upstream.word() {
                        row.upstream += 1;
                        continue;
                    }
                    row.failed += 1;
                    let (_, err) = run.logs(number, cell);
                    let err = err.strip_prefix(run.dir.root()).unwrap_or(&err).display().to_string();
                    failures.push(FailedCell {
                        id: run.id(number, cell).to_owned(),
                        stage: stage.name.clone(),
                        labels: run.shown(number, cell),
                        cause,
                        message,
                        log: typed(named, &err),
                        rerun: format!(
                            "ekp-run-member {} --cell {} --again",
                            word(named),
                            run.id(number, cell)
                        ),
                        behind: behind(run, number, cell),
                    });
                }
            }
        }
        stages.push(row);
    }
    let marked = merge::marked(&merge::all(run)?);
    let marked = marked.into_iter().map(|(number, cell, mark)| MarkedCell {
        id: run.id(number, cell).to_owned(),
        stage: run.grid.stages[number as usize - 1].name.clone(),
        labels: run.shown(number, cell),
        mark,
    });
    let table = run.dir.results().join(format!("{}_runs.csv", run.grid.name));
    let tables = if table.is_file() {
        vec![typed(named, &format!("results/{}_runs.csv", run.grid.name))]
    } else {
        Vec::new()
    };
    let marked: Vec<MarkedCell> = marked.collect();
    let (state, mut sentence) = said(run, &stages);
    if !marked.is_empty() {
        sentence.push_str(&format!("; {} marked", count(marked.len(), "cell")));
    }
    Ok(GridStatus {
        run: named.to_owned(),
        name: run.grid.name.clone(),
        id: run.dir.identity.id.clone(),
        method: run.dir.identity.method.clone(),
        state: state.into(),
        sentence,
        due: crate::steps::grid::due::lines(run),
        stages,
        failures,
        marked,
        tables,
        jobs,
    })
}

fn begun(folder: &std::path::Path) -> bool {
    let tries = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("try_");
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(tries))
}

/// Cells that stand on a cell, directly or not.
fn behind(run: &GridRun, stage: u32, cell: u32) -> usize {
    let mut seen = std::collections::BTreeSet::from([(stage, cell)]);
    for later in stage + 1..=run.last_stage() {
        for number in 1..=run.cells(later) {
            let stands = run.upstream(later, number);
            if stands.iter().any(|(s, cells)| cells.iter().any(|&c| seen.contains(&(*s, c)))) {
                seen.insert((later, number));
            }
        }
    }
    seen.len() - 1
}

fn said(run: &GridRun, stages: &[StageRow]) -> (&'static str, String) {
    let sum = |of: fn(&StageRow) -> usize| stages.iter().map(of).sum::<usize>();
    let (all, done) = (sum(|s| s.cells), sum(|s| s.done));
    let (failed, upstream) = (sum(|s| s.failed), sum(|s| s.upstream));
    let open = all - done - failed - upstream;
    if run.is_over() {
        return ("over", format!("over: all {all} cells are ok"));
    }
    if run.dir.cancel().exists() {
        return ("cancelled", format!("cancelled; {done} of {all} cells have data"));
    }
    if open == all && sum(|s| s.begun) == 0 {
        return ("made", "made, nothing has run yet".into());
    }
    if open > 0 {
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        return ("members", format!("{done} of {all} cells have data{failed}, {open} have no outcome yet"));
    }
    if failed + upstream > 0 {
        let more = if upstream > 0 { format!(", {upstream} more stand on those") } else { String::new() };
        return (
            "quorum",
            format!("{} failed{more}; {done} of {all} cells have data", count(failed, "cell")),
        );
    }
    ("update", format!("all {all} cells are ok; the table is to be written"))
}

/// For people.
pub fn text(s: &GridStatus, all: bool) -> String {
    let cells: usize = s.stages.iter().map(|stage| stage.cells).sum();
    let mut t = format!(
        "{}: grid of {} in {}\n{}\n\n",
        s.name,
        count(cells, "cell"),
        count(s.stages.len(), "stage"),
        s.sentence
    );
    let head = ["stage", "cells", "done", "failed", "for want of another", "begun", "not begun"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for r in &s.stages {
        let mut row = vec![format!("{} {}", r.number, r.stage)];
        row.extend([r.cells, r.done, r.failed, r.upstream, r.begun, r.open].map(|n| n.to_string()));
        rows.push(row);
    }
    t.push_str(&table(&rows));
    if !s.failures.is_empty() {
        t.push_str("\nfailed\n");
    }
    let shown = if all { s.failures.len() } else { SHOWN };
    for f in s.failures.iter().take(shown) {
        let behind = if f.behind > 0 {
            format!("; {} for want of it", count(f.behind, "cell"))
        } else {
            String::new()
        };
        let _ = writeln!(t, "  {} {}: {}: {}{behind}", f.stage, f.labels, f.cause, f.message);
        let _ = writeln!(t, "    log     {}\n    rerun   {}", f.log, f.rerun);
    }
    if s.failures.len() > shown {
        let _ = writeln!(t, "  and {} more (`-v` shows them)", s.failures.len() - shown);
    }
    if !s.marked.is_empty() {
        t.push_str("\nmarked: with data, and a reason not to believe them\n");
    }
    let shown = if all { s.marked.len() } else { SHOWN };
    for m in s.marked.iter().take(shown) {
        let _ = writeln!(t, "  {} {}: {}", m.stage, m.labels, m.mark);
    }
    if s.marked.len() > shown {
        let _ = writeln!(t, "  and {} more (`-v` shows them)", s.marked.len() - shown);
    }
    if let Some(jobs) = &s.jobs {
        let _ = write!(t, "{}", crate::report::status::text::jobs(jobs, all, &s.run));
    }
    for path in &s.tables {
        let _ = writeln!(t, "\ntable of all cells: {path}");
    }
    let at_work = s.jobs.as_ref().is_some_and(|jobs| !jobs.is_empty());
    if s.state != "over" && !at_work {
        let run = word(&s.run);
        let cd = if s.run == "." { String::new() } else { format!("cd {run} && ") };
        let why =
            if s.state == "quorum" { "mend the cause; failed cells then get another try\n" } else { "" };
        let _ = write!(t, "\n{why}next:  ekp-launch {run}\nor:    {cd}sbatch ekp_calibration.sbatch\n");
    }
    t
}
