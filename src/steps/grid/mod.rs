//! Runs of `method = "grid"`: cells of stages, each with an outcome, and the table at the end.
//!
//! Belongs here: what loops of iterations have in the files beside this folder: making a run, running a part of
//! it, what is due, closing it. A stage stands where an iteration stands, a cell where a member stands.
//! Not here: which cells there are (`experiment::grid`), how they are spread over machines (`launch::grid`).

pub mod cell;
pub mod due;
pub mod index;
pub mod init;
pub mod merge;
mod outcome;
pub mod own;
mod parameters;
pub mod reopen;
mod reuse;
pub mod table;
pub mod worker;

use std::path::{Path, PathBuf};

use crate::experiment::grid::{Grid, METHOD, Stage};
use crate::experiment::{ExperimentError, load};
use crate::files::{Iteration, Member, Members, RunDir};
use crate::models::cell::Forecast;
use crate::steps::StepError;

pub use outcome::{Left, look};

/// A run folder of a grid.
pub struct GridRun {
    /// The folder, by an absolute path
    pub dir: RunDir,
    /// What it is about
    pub grid: Grid,
    /// Id of every cell, stage by stage, as the run was made with
    pub ids: Vec<Vec<String>>,
}

impl GridRun {
    /// Open a run folder, if it is one of a grid.
    ///
    /// # Errors
    /// It is no run folder, or its files cannot be read.
    pub fn open_if(path: &Path) -> Result<Option<Self>, StepError> {
        let dir = RunDir::open(path)?;
        if dir.identity.method != METHOD {
            return Ok(None);
        }
        Self::of(dir.absolute()?).map(Some)
    }

    /// Open a run folder of a grid.
    ///
    /// # Errors
    /// It is none, or its files cannot be read.
    pub fn open(path: &Path) -> Result<Self, StepError> {
        Self::of(RunDir::open(path)?.absolute()?)
    }

    fn of(dir: RunDir) -> Result<Self, StepError> {
        let document = load(&dir.top("experiment.toml"))?;
        let grid = Grid::read(&document, &dir.base()).map_err(ExperimentError::from)?;
        let ids = index::load(&dir, &grid)?;
        Ok(Self { dir, grid, ids })
    }

    /// A stage by its number, from 1.
    ///
    /// # Errors
    /// There is no such stage.
    pub fn stage(&self, number: Iteration) -> Result<&Stage, StepError> {
        let found = number.checked_sub(1).and_then(|k| self.grid.stages.get(k as usize));
        found.ok_or_else(|| {
            let names: Vec<String> =
                (1..).zip(&self.grid.stages).map(|(n, stage)| format!("{n} is `{}`", stage.name)).collect();
            StepError::Refused { what: format!("there is no stage {number}"), hint: names.join(", ") }
        })
    }

    /// How many cells a stage has.
    pub fn cells(&self, stage: Iteration) -> u32 {
        self.ids.get(stage as usize - 1).map_or(0, |ids| u32::try_from(ids.len()).unwrap_or(u32::MAX))
    }

    /// The number of the last stage.
    pub fn last_stage(&self) -> Iteration {
        u32::try_from(self.grid.stages.len()).unwrap_or(u32::MAX)
    }

    /// Id of a cell; both numbers from 1.
    pub fn id(&self, stage: Iteration, cell: Member) -> &str {
        &self.ids[stage as usize - 1][cell as usize - 1]
    }

    /// Folder of a cell.
    pub fn folder(&self, stage: Iteration, cell: Member) -> PathBuf {
        let name = &self.grid.stages[stage as usize - 1].name;
        self.dir.stage(stage, name).join(self.id(stage, cell))
    }

    /// A cell's labels for people.
    pub fn shown(&self, stage: Iteration, cell: Member) -> String {
        self.grid.stages[stage as usize - 1].shown(&self.grid.axes, cell as usize - 1)
    }

    /// What a cell will cost, where its model can tell from its options.
    pub fn forecast(&self, stage: Iteration, cell: Member) -> Option<Forecast> {
        let work = |s: Iteration, c: Member| {
            self.grid.stages[s as usize - 1].builtin()?;
            self.grid.cell(s as usize - 1, c as usize - 1).ok()
        };
        let before = self.upstream(stage, cell);
        let before = before.iter().flat_map(|(s, cells)| cells.iter().map(|&c| work(*s, c)?.size()));
        work(stage, cell)?.forecast(&before.collect::<Option<Vec<_>>>()?)
    }

    /// Folder of what a cell left, in its own.
    pub fn output(&self, stage: Iteration, cell: Member) -> PathBuf {
        self.folder(stage, cell).join(outcome::OUTPUT)
    }

    /// What a cell prints, and what it complains about.
    pub fn logs(&self, stage: Iteration, cell: Member) -> (PathBuf, PathBuf) {
        let (k, id) = (stage as usize - 1, self.id(stage, cell));
        let found = &self.grid.stages[k];
        // A program's logs have its cell's id; our own models may name theirs by more.
        let work = found.builtin().and_then(|_| self.grid.cell(k, cell as usize - 1).ok());
        let name = work.map(|work| {
            let before = self.upstream(stage, cell);
            let ids = before.iter().flat_map(|(s, cells)| cells.iter().map(|&c| self.id(*s, c).to_owned()));
            work.log_name(id, &ids.collect::<Vec<_>>())
        });
        self.dir.cell_logs(&found.name, name.as_deref().unwrap_or(id))
    }

    /// Stage and number of a cell by its id.
    pub fn find(&self, id: &str) -> Option<(Iteration, Member)> {
        (1..).zip(&self.ids).find_map(|(stage, ids)| {
            let at = ids.iter().position(|known| known == id)?;
            Some((stage, u32::try_from(at + 1).ok()?))
        })
    }

    /// Stage and cell numbers of what a cell stands on, stage by stage.
    pub fn upstream(&self, stage: Iteration, cell: Member) -> Vec<(Iteration, Vec<Member>)> {
        let found = &self.grid.stages[stage as usize - 1];
        let number = |k: &usize| u32::try_from(k + 1).unwrap_or(u32::MAX);
        let spec = &found.cells[cell as usize - 1];
        found
            .after
            .iter()
            .zip(&spec.upstream)
            .map(|(s, cells)| (number(s), cells.iter().map(number).collect()))
            .collect()
    }

    /// Whether a cell before this one failed, so that it cannot run.
    pub fn wants_another(&self, stage: Iteration, cell: Member) -> bool {
        self.upstream(stage, cell)
            .iter()
            .any(|(s, cells)| cells.iter().any(|&c| due::state(self, *s, c) == due::CellState::Failed))
    }

    /// Cells of an element (from 1) of a block (from 1), `per_element` cells each. Elements of blocks that wait
    /// for each other cell by cell have the same numbers.
    pub fn element(&self, stage: Iteration, block: u32, element: u32, per_element: u32) -> Members {
        let found = self.grid.stages.get(stage as usize - 1).and_then(|s| s.blocks.get(block as usize - 1));
        let Some(block) = found else { return Members::new(Vec::new()) };
        let first = u32::try_from(block.first).unwrap_or(u32::MAX);
        let cells = u32::try_from(block.cells).unwrap_or(u32::MAX);
        Members::new(Members::of_element(element, per_element, cells).iter().map(|m| m + first).collect())
    }

    /// Refuse to work on a cancelled run.
    ///
    /// # Errors
    /// [`StepError::Cancelled`].
    pub fn not_cancelled(&self) -> Result<(), StepError> {
        if self.dir.cancel().exists() { Err(StepError::Cancelled) } else { Ok(()) }
    }

    /// True when every cell is ok and the table is written.
    pub fn is_over(&self) -> bool {
        self.dir.stop().exists()
    }

    /// A word of warning when other tools made this run.
    pub fn other_tools(&self) -> Option<String> {
        let (made, mine) = (&self.dir.identity.tools, env!("CARGO_PKG_VERSION"));
        (made != mine).then(|| {
            format!("version {made} of the tools made this run, this is {mine}; its records are understood, it goes on")
        })
    }
}
