//! Where a grid stands, from the presence of files alone: quick, for plans and status.

use crate::files::{Iteration, Member, Members};
use crate::steps::grid::GridRun;

/// What a cell is, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellState {
    /// It has data
    Done,
    /// It failed
    Failed,
    /// No outcome
    Open,
}

/// Every cell, stage by stage.
pub fn states(run: &GridRun) -> Vec<Vec<CellState>> {
    (1..=run.last_stage())
        .map(|stage| (1..=run.cells(stage)).map(|cell| state(run, stage, cell)).collect())
        .collect()
}

/// One cell.
pub fn state(run: &GridRun, stage: Iteration, cell: Member) -> CellState {
    let folder = run.folder(stage, cell);
    if folder.join("data.toml").exists() {
        CellState::Done
    } else if folder.join("failed.toml").exists() {
        CellState::Failed
    } else {
        CellState::Open
    }
}

/// Open cells of each stage.
pub fn open(run: &GridRun) -> Vec<Vec<Member>> {
    let list = |cells: &Vec<CellState>| {
        (1..).zip(cells).filter(|(_, state)| **state == CellState::Open).map(|(m, _)| m).collect()
    };
    states(run).iter().map(list).collect()
}

/// One line per due step, for scripts: `members 1 1-4`, `members 2 1-12`, `update 2`; nothing when it is over.
pub fn lines(run: &GridRun) -> Vec<String> {
    if run.is_over() {
        return Vec::new();
    }
    let open = open(run);
    let lines: Vec<String> = (1u32..)
        .zip(open)
        .filter(|(_, cells)| !cells.is_empty())
        .map(|(stage, cells)| format!("members {stage} {}", Members::new(cells)))
        .collect();
    if lines.is_empty() { vec![format!("update {}", run.last_stage())] } else { lines }
}
