//! The end of a grid: every cell's outcome judged, the table written, the run closed when all are ok.
//!
//! The table comes first and is always whole: a row for each cell, whatever became of it. Only then is it said
//! whether the grid is complete, failed, or to be gone on with.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::experiment::Lost;
use crate::files::{Iteration, Member, publish_durable};
use crate::machine;
use crate::models::Cause;
use crate::models::cell::Scalar;
use crate::steps::grid::{GridRun, Left, cell, table};
use crate::steps::{StepError, Stopped, reopen};

/// How long a new file may stay unseen on a network disk.
const NETWORK_WAIT: Duration = Duration::from_secs(60);

/// What a merge found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Merged {
    /// Cells with data
    pub ok: usize,
    /// Cells that failed: stage, number, cause, message
    pub failed: Vec<(Iteration, Member, String, String)>,
    /// Cells with data that say why not to believe them
    pub marked: Vec<(Iteration, Member, String)>,
    /// The tables
    pub tables: Vec<PathBuf>,
}

/// Cells with data that tell of a `mark`: stage, number, why not to believe them. Any program may tell one.
pub fn marked(left: &[Vec<Left>]) -> Vec<(Iteration, Member, String)> {
    let mark = |left: &Left| match left {
        Left::Data(row) => row.get("mark").map(Scalar::csv).filter(|mark| !mark.is_empty()),
        _ => None,
    };
    (1..)
        .zip(left)
        .flat_map(|(stage, cells)| (1..).zip(cells).map(move |(cell, left)| (stage, cell, left)))
        .filter_map(|(stage, cell, left)| Some((stage, cell, mark(left)?)))
        .collect()
}

impl Merged {
    /// For people: all are ok, and which of them are marked.
    pub fn sentence(&self, run: &GridRun) -> String {
        let mut text = format!("all {} cells are ok", self.ok);
        if !self.marked.is_empty() {
            text.push_str(&format!(", {} of them marked", self.marked.len()));
        }
        for (stage, cell, mark) in self.marked.iter().take(6) {
            let name = &run.grid.stages[*stage as usize - 1].name;
            text.push_str(&format!("\n  {name} {}: {mark}", run.shown(*stage, *cell)));
        }
        if self.marked.len() > 6 {
            text.push_str(&format!("\n  and {} more: `ekp-status -v`", self.marked.len() - 6));
        }
        text
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was closed before
    Over,
    /// Every cell is ok: closed now
    Complete(Merged),
}

/// Judge all cells, write the tables, close the run. With `close` the jobs of its cells have ended: cells without
/// an outcome count as lost.
///
/// # Errors
/// Cells without an outcome (exit 3), failed cells (exit 4), cancelled (exit 5), the disk. The tables are written
/// before any of the first two is told.
pub fn run(run: &GridRun, close: bool) -> Result<Outcome, StepError> {
    run.not_cancelled()?;
    if run.is_over() {
        return Ok(Outcome::Over);
    }
    let mut left = settled(run, close)?;
    let missing = missing(&left);
    if !missing.is_empty() && close && gives_up(run)? {
        count_lost(run, &missing)?;
        left = all(run)?;
    }
    let tables = table::write(run, &left)?;
    let missing = self::missing(&left);
    if !missing.is_empty() {
        for (stage, cell, _) in &missing {
            cell::put_aside(run, *stage, *cell)?;
        }
        let total = u32::try_from(run.grid.total()).unwrap_or(u32::MAX);
        let stages = missing.iter().map(|(stage, ..)| *stage);
        let first = stages.min().unwrap_or(1);
        let missing = missing
            .into_iter()
            .map(|(stage, cell, why)| {
                (
                    cell,
                    format!(
                        "`{}` of {}: {why}",
                        run.grid.stages[stage as usize - 1].name,
                        run.shown(stage, cell)
                    ),
                )
            })
            .collect();
        return Err(StepError::CellsOpen { stage: first, missing, total });
    }
    let mut merged = Merged { tables, marked: marked(&left), ..Merged::default() };
    for (stage, cells) in (1..).zip(&left) {
        for (cell, left) in (1..).zip(cells) {
            match left {
                Left::Failed(f) => merged.failed.push((stage, cell, f.cause.clone(), f.message.clone())),
                _ => merged.ok += 1,
            }
        }
    }
    if !merged.failed.is_empty() {
        return Err(failed(run, &merged));
    }
    let stop = Stopped { reason: "cells".into(), last: run.last_stage(), ..Stopped::default() };
    let line =
        |(stage, cell, mark): &(Iteration, Member, String)| format!("{}: {mark}", run.id(*stage, *cell));
    let marks: Vec<String> = merged.marked.iter().map(line).collect();
    publish_durable(&run.dir.stop(), stop.text_of_grid(merged.ok, &marks).as_bytes())?;
    Ok(Outcome::Complete(merged))
}

/// The error of a grid with failed cells: those that failed by themselves, with their logs.
fn failed(run: &GridRun, merged: &Merged) -> StepError {
    let own: Vec<_> =
        merged.failed.iter().filter(|(_, _, cause, _)| cause != Cause::Upstream.word()).collect();
    let line = |(stage, cell, cause, message): &&(Iteration, Member, String, String)| {
        let name = &run.grid.stages[*stage as usize - 1].name;
        let (_, err) = run.logs(*stage, *cell);
        let err = err.strip_prefix(run.dir.root()).unwrap_or(&err).display();
        format!("`{name}` of {}: {cause}: {message}; log: {err}", run.shown(*stage, *cell))
    };
    StepError::Cells {
        failed: merged.failed.len(),
        own: own.len(),
        total: merged.failed.len() + merged.ok,
        table: merged.tables.first().map_or_else(String::new, |path| {
            path.strip_prefix(run.dir.root()).unwrap_or(path).display().to_string()
        }),
        lines: own.iter().take(6).map(line).collect(),
    }
}

/// What every cell left, stage by stage.
///
/// # Errors
/// The disk cannot be read.
pub fn all(run: &GridRun) -> Result<Vec<Vec<Left>>, StepError> {
    (1..=run.last_stage())
        .map(|stage| (1..=run.cells(stage)).map(|cell| cell::left(run, stage, cell)).collect())
        .collect()
}

/// The same; on a network disk a missing outcome is looked for again for a while before it counts.
fn settled(run: &GridRun, wait: bool) -> Result<Vec<Vec<Left>>, StepError> {
    let until = Instant::now() + NETWORK_WAIT;
    loop {
        let left = all(run)?;
        let network = || machine::disk::disk(run.dir.root()).is_ok_and(|disk| disk.network);
        if missing(&left).is_empty() || !wait || !network() || Instant::now() > until {
            return Ok(left);
        }
        std::thread::sleep(Duration::from_secs(3));
    }
}

/// Cells without an outcome, and what was found in its place.
fn missing(left: &[Vec<Left>]) -> Vec<(Iteration, Member, String)> {
    let why = |left: &Left| match left {
        Left::Missing => Some("no `data.toml` and no `failed.toml`".to_owned()),
        Left::Defective { file, defect } => Some(format!("`{file}`: {defect}")),
        _ => None,
    };
    (1..)
        .zip(left)
        .flat_map(|(stage, cells)| (1..).zip(cells).map(move |(cell, left)| (stage, cell, left)))
        .filter_map(|(stage, cell, left)| Some((stage, cell, why(left)?)))
        .collect()
}

fn gives_up(run: &GridRun) -> Result<bool, StepError> {
    Ok(run.grid.lost == Lost::Fail || reopen::reruns_of(&run.dir, 0)?)
}

/// Cells without an outcome count as failed; those that stand on failed ones follow.
///
/// # Errors
/// The disk.
pub fn count_lost(run: &GridRun, missing: &[(Iteration, Member, String)]) -> Result<(), StepError> {
    for (stage, cell, why) in missing {
        // A cell that waits for one of these is no loss of its own.
        let waits = run
            .upstream(*stage, *cell)
            .iter()
            .any(|(before, cells)| cells.iter().any(|c| !run.folder(*before, *c).join("data.toml").exists()));
        if waits {
            let first = run
                .upstream(*stage, *cell)
                .into_iter()
                .flat_map(|(s, cells)| cells.into_iter().map(move |c| (s, c)));
            let first = first.filter(|&(s, c)| !run.folder(s, c).join("data.toml").exists()).map(|(s, c)| {
                format!("`{}` of {} has no data", run.grid.stages[s as usize - 1].name, run.shown(s, c))
            });
            let reason = first.into_iter().next().unwrap_or_else(|| why.clone());
            cell::mark_failed(run, *stage, *cell, Cause::Upstream, &reason)?;
        } else {
            let reason = format!("its process ended without an outcome: {why}");
            cell::mark_failed(run, *stage, *cell, Cause::Lost, &reason)?;
        }
    }
    Ok(())
}
