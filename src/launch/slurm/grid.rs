//! Slurm for grids: one array for each block of a stage, element by element after the block it stands on, then
//! the merge. What is submitted is what is left.

use std::fmt;

use crate::explain::count;
use crate::files::{FileError, Member};
use crate::launch::LaunchError;
use crate::launch::grid::dry_run::cost;
use crate::launch::grid::{per_element, scripts::script_of};
use crate::launch::scripts;
use crate::launch::site::Job;
use crate::launch::slurm::again::{Evidence, end_of};
use crate::launch::slurm::begin::{Begun, Standing};
use crate::launch::slurm::{Desk, SlurmError, Start, submissions};
use crate::plan::grid::{Array, Wait, arrays};
use crate::steps::grid::due::{self, CellState, state};
use crate::steps::grid::{GridRun, Left, cell, merge, reopen};

/// Slurm, as a grid sees it.
pub struct GridScheduler<'a> {
    run: &'a GridRun,
    /// Its jobs and submissions
    pub desk: Desk<'a>,
}

/// What is to be submitted, under which number: the lines that `ekp_calibration.sbatch` reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GridBegun {
    record: u32,
    token: String,
    lines: Vec<String>,
}

impl fmt::Display for GridBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:04} {}", self.record, self.token)?;
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl<'a> GridScheduler<'a> {
    /// For a grid whose machine is its `site.toml`; `note` hears what a person should know.
    ///
    /// # Errors
    /// A fault in `site.toml`.
    pub fn new(run: &'a GridRun, note: &'a (dyn Fn(&str) + Sync)) -> Result<Self, LaunchError> {
        Ok(Self { run, desk: Desk::new(&run.dir, note)? })
    }

    /// Begin a submission: none when the grid is over, or another submission is under way or queued.
    ///
    /// # Errors
    /// Slurm does not answer, the scripts are not those of `site.toml`, the run was cancelled, the disk.
    pub fn begin(&self, start: Start) -> Result<Option<GridBegun>, LaunchError> {
        self.scripts_fit()?;
        let over = || (self.desk.note)("the run is over (`stop.toml`): nothing to submit");
        if self.run.is_over() {
            over();
            return Ok(None);
        }
        loop {
            let records = submissions(self.desk.dir)?;
            match self.desk.standing(&records, start)? {
                Standing::Taken => return Ok(None),
                Standing::Moving => continue,
                Standing::Free(leftovers) => self.desk.queue.cancel(&leftovers)?,
            }
            if start == Start::Again {
                self.run.not_cancelled()?;
            } else {
                let reopened = reopen::reopen(self.run)?;
                if reopened.lifted {
                    (self.desk.note)("the stop mark (`cancel.toml`) is lifted");
                }
                if !reopened.members.is_empty() {
                    (self.desk.note)(&format!(
                        "{} cells without data get another try",
                        reopened.members.len()
                    ));
                }
            }
            let open = self.open()?;
            if open.iter().all(Vec::is_empty) && complete(self.run)? {
                // Every cell is ok and only the table is to be written: that needs no job.
                merge::run(self.run, false)?;
                over();
                return Ok(None);
            }
            let lines = self.lines(&open)?;
            let begun = Begun {
                record: 0,
                step: "members",
                iteration: 0,
                open: 0,
                arrays: Vec::new(),
                token: String::new(),
                options: Vec::new(),
                many: false,
            };
            if let Some(begun) = self.desk.claim(begun, &records, start, false)? {
                let cells: usize = open.iter().map(Vec::len).sum();
                (self.desk.note)(&format!(
                    "submitting {} arrays for {cells} cells, and the merge",
                    lines.len()
                ));
                return Ok(Some(GridBegun { record: begun.record, token: begun.token, lines }));
            }
        }
    }

    /// Cells without an outcome, judged by content: what a dying node cut short is there, and is none.
    fn open(&self) -> Result<Vec<Vec<Member>>, LaunchError> {
        let mut all = Vec::new();
        for stage in 1..=self.run.last_stage() {
            let mut open = Vec::new();
            for number in 1..=self.run.cells(stage) {
                if matches!(cell::left(self.run, stage, number)?, Left::Missing | Left::Defective { .. }) {
                    open.push(number);
                }
            }
            all.push(open);
        }
        Ok(all)
    }

    fn arrays(&self, open: &[Vec<Member>]) -> Vec<Array> {
        arrays(&self.run.grid, open, &|stage| per_element(&self.desk.site, stage))
    }

    /// A line for each array: name, script, block, offset, elements, logs, what it waits for, options.
    fn lines(&self, open: &[Vec<Member>]) -> Result<Vec<String>, LaunchError> {
        let all = self.arrays(open);
        let mut lines = Vec::new();
        // Names of the parts of each array: Slurm limits the largest index.
        let mut names: Vec<Vec<(u32, String)>> = Vec::new();
        for array in &all {
            let stage = &self.run.grid.stages[array.stage as usize - 1].name;
            let request = self.desk.site.slurm.request(Job::Stage(stage));
            let options = self.desk.more(&request, &self.evidence(array))?;
            let parts = scripts::arrays(array.elements.iter().copied(), &self.desk.site.slurm);
            let mut own = Vec::new();
            for part in &parts {
                let name = match part.offset {
                    0 => scripts::job_name(&array.name),
                    offset => format!("{}+{offset}", scripts::job_name(&array.name)),
                };
                let wait = match &array.wait {
                    Wait::Nothing => "none".to_owned(),
                    Wait::Each(before) => {
                        let same = names[*before].iter().find(|(offset, _)| *offset == part.offset);
                        same.map_or_else(|| "none".to_owned(), |(_, name)| format!("each:{name}"))
                    }
                    Wait::Whole(before) => {
                        let all: Vec<&str> =
                            before.iter().flat_map(|&b| &names[b]).map(|(_, name)| name.as_str()).collect();
                        format!("all:{}", all.join(":"))
                    }
                };
                let mut line = format!(
                    "{name} {} {} {} {} {} {wait}",
                    script_of(stage),
                    array.block,
                    part.offset,
                    part.indices,
                    log_of(stage, array.block, part.offset)
                );
                options.iter().for_each(|option| {
                    line.push(' ');
                    line.push_str(option);
                });
                lines.push(line);
                own.push((part.offset, name));
            }
            names.push(own);
        }
        Ok(lines)
    }

    /// What the logs of an array's earlier elements tell.
    fn evidence(&self, array: &Array) -> Evidence {
        let mut evidence = Evidence::default();
        let stage = &self.run.grid.stages[array.stage as usize - 1];
        let per = per_element(&self.desk.site, &stage.name);
        let largest = self.desk.site.slurm.largest_index();
        let block = &stage.blocks[array.block as usize - 1];
        let elements = u32::try_from(block.cells.div_ceil(per as usize)).unwrap_or(u32::MAX);
        for element in 1..=elements {
            let offset = (element - 1) / largest * largest;
            let name =
                log_of(&stage.name, array.block, offset).replace("%a", &(element - offset).to_string());
            let Some(log) = end_of(&self.desk.dir.root().join(name)) else { continue };
            let cells = self.run.element(array.stage, array.block, element, per);
            let is_open = array.elements.contains(&element);
            let done = |m| state(self.run, array.stage, m) == CellState::Done;
            evidence.add(&log, is_open, !is_open && cells.iter().any(done));
        }
        evidence
    }

    /// The scripts carry numbers of `site.toml`: another number there means other cells here.
    fn scripts_fit(&self) -> Result<(), LaunchError> {
        for stage in &self.run.grid.stages {
            let script = script_of(&stage.name);
            let path = self.desk.dir.top(&script);
            let text = std::fs::read_to_string(&path).map_err(FileError::io("read", &path))?;
            let wanted = per_element(&self.desk.site, &stage.name).to_string();
            let found = text.split("--per-element ").nth(1).and_then(|rest| rest.split_whitespace().next());
            if found.is_some_and(|found| found != wanted) {
                let (script, what) = ("ekp_stage_*.sbatch", "cells of one array element".into());
                return Err(SlurmError::Stale { script, what }.into());
            }
        }
        Ok(())
    }

    /// What would be submitted, before anything is: jobs, dependencies, core-hours, memory, files, disk.
    ///
    /// # Errors
    /// The disk.
    pub fn dry_run(&self) -> Result<String, LaunchError> {
        use std::fmt::Write as _;
        if self.run.is_over() {
            return Ok("nothing: the run is over (`stop.toml`)\n".into());
        }
        let open = due::open(self.run);
        let all = self.arrays(&open);
        let mut text = String::new();
        let (mut hours, mut limited, mut elements) = (0.0, true, 0);
        for (k, array) in all.iter().enumerate() {
            let stage = &self.run.grid.stages[array.stage as usize - 1].name;
            let request = self.desk.site.slurm.request(Job::Stage(stage));
            let parts = scripts::arrays(array.elements.iter().copied(), &self.desk.site.slurm);
            let indices: Vec<&str> = parts.iter().map(|part| part.indices.as_str()).collect();
            let wait = match &array.wait {
                Wait::Nothing => String::new(),
                Wait::Each(before) => format!("    aftercorr:{}", before + 1),
                Wait::Whole(before) => {
                    let all: Vec<String> = before.iter().map(|b| (b + 1).to_string()).collect();
                    format!("    afterany:{}", all.join(":"))
                }
            };
            let what = format!("{} [{}]", array.name, indices.join(" "));
            let mut asks = Vec::new();
            let cores = request.ntasks.unwrap_or(1) * request.cpus_per_task.unwrap_or(1);
            asks.push(count(cores as usize, "core"));
            match (request.mem, request.mem_per_cpu) {
                (Some(mem), _) => asks.push(mem.to_string()),
                (None, Some(mem)) => asks.push(format!("{mem} a core")),
                _ => {}
            }
            match request.time.and_then(|time| time.0) {
                Some(seconds) => {
                    asks.push(request.time.map_or_else(String::new, |time| time.to_string()));
                    hours += array.elements.len() as f64 * seconds as f64 * f64::from(cores) / 3600.0;
                }
                None => limited = false,
            }
            elements += array.elements.len();
            let _ = writeln!(
                text,
                "{:>4}  {what:<28}  {} {}  ({}){wait}",
                k + 1,
                script_of(stage),
                array.block,
                asks.join(", ")
            );
        }
        let merge = all.len() + 1;
        let ends: Vec<String> = (1..merge).map(|k| format!(":{k}")).collect();
        let wait = if ends.is_empty() { String::new() } else { format!("    afterany{}", ends.concat()) };
        let _ = writeln!(text, "{merge:>4}  {:<28}  ekp_merge.sbatch{wait}", "merge");
        let _ = writeln!(
            text,
            "{:>4}  {:<28}  ekp_collect_timings.sbatch    afterany:{merge}",
            merge + 1,
            "collect"
        );
        let cells: usize = open.iter().map(Vec::len).sum();
        let _ = writeln!(text, "{} jobs with {elements} array elements for {cells} cells", merge + 1);
        if limited && hours > 0.0 {
            let _ = writeln!(text, "cells may use {hours:.1} core-hours before their wall time ends them");
        }
        text.push_str(&cost(self.run, &open));
        Ok(text)
    }
}

/// Whether every cell has data.
fn complete(run: &GridRun) -> Result<bool, LaunchError> {
    Ok(due::states(run).iter().flatten().all(|state| *state == CellState::Done))
}

/// Log of the elements of a block: `logs/build/b1_%a.out`.
fn log_of(stage: &str, block: u32, offset: u32) -> String {
    let offset = if offset > 0 { format!("{offset}+") } else { String::new() };
    format!("logs/{stage}/b{block}_{offset}%a.out")
}
