//! `method = "grid"`: axes, stages over them, and the cells that follow.
//!
//! Belongs here: `[[axis]]` and `[[stage]]` as types, which cells there are and what each stands on, what makes
//! a cell the same as another. Not here: how or where a cell runs.

mod axis;
mod blocks;
mod builtin;
mod canonical;
mod stage;

use std::path::Path;
use std::sync::Arc;

use crate::experiment::{Failures, Keep, Lost, failures, name, needed};
use crate::explain::{Marked, Place};
use crate::files::human::Document;
use crate::models::ModelError;
use crate::models::cell::Cell;

pub use axis::{Axis, Label};
pub(crate) use axis::{scalars, shown};
pub use blocks::{After, Block, Spec};
pub use canonical::{canonical, canonical_table};
pub use stage::Stage;

/// The method's name.
pub const METHOD: &str = "grid";

/// An experiment that is a grid, checked.
pub struct Grid {
    /// Name of the run
    pub name: String,
    /// Seed of cells that do not bring their own
    pub seed: u64,
    /// Its axes
    pub axes: Vec<Axis>,
    /// Its stages, each after those it waits for
    pub stages: Vec<Stage>,
    /// What becomes of cells without an outcome
    pub lost: Lost,
    /// Which closed tries keep their folder
    pub keep: Keep,
    /// Where `[[stage]]` stands
    place: Place,
}

/// Whether a text asks for a grid, as far as it can be read: by its method, or by stages without a model.
pub fn is_grid(text: &str) -> bool {
    let Ok(table) = text.parse::<toml::Table>() else { return false };
    let method = table.get("algorithm").and_then(|a| a.get("method")?.as_str());
    method == Some(METHOD) || (table.contains_key("stage") && !table.contains_key("model"))
}

impl Grid {
    /// Read and check. `base` is the folder that the models' paths are relative to.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(document: &Document, base: &Path) -> Result<Self, Marked> {
        let top = document.section();
        top.schema("ekp.experiment", 1)?;
        let name = name(&top)?;
        let seed = top.integer("seed", 0..=i64::MAX)?;
        let seed = seed.ok_or_else(|| top.missing("seed", "an integer, such as 42"))?.unsigned_abs();
        let algorithm = needed(&top, "algorithm")?;
        if algorithm.choice("method", &[METHOD])?.is_none() {
            return Err(algorithm.missing("method", "\"grid\", as there are stages"));
        }
        algorithm.finish()?;
        let given: Option<Vec<String>> =
            top.section("failures")?.map(|s| s.keys().map(str::to_owned).collect());
        for key in given.iter().flatten() {
            if !["retries", "lost"].contains(&key.as_str()) {
                let section = top.section("failures")?.expect("it was just there");
                let label = "allowed in `[failures]` of a grid: lost, retries";
                return Err(section.wrong(key, format!("`{key}` has no use in a grid"), label));
            }
        }
        let Failures { retries, lost, .. } = failures(&top)?;
        let keep = match top.section("files")? {
            Some(files) => {
                let keep = match files.choice("keep", &["all", "failed", "last"])? {
                    Some("all") => Keep::All,
                    Some("last") => Keep::Last,
                    _ => Keep::Failed,
                };
                files.finish()?;
                keep
            }
            None => Keep::Failed,
        };
        for table in ["model", "prior", "observation", "score", "inputs", "layout"] {
            if top.keys().any(|key| key == table) {
                let label = "a grid has `[[axis]]` and `[[stage]]`, each stage with its own `model`";
                return Err(top.wrong(table, format!("`[{table}]` has no use here"), label));
            }
        }
        let mut axes: Vec<Axis> = Vec::new();
        for section in top.sections("axis")? {
            let axis = Axis::read(&section)?;
            if axes.iter().any(|other| other.name == axis.name) {
                return Err(axis
                    .place
                    .marked(format!("there are two axes `{}`", axis.name), "give it another name"));
            }
            axes.push(axis);
        }
        let sections = top.sections("stage")?;
        if sections.is_empty() {
            return Err(top.missing("stage", "a grid has at least one `[[stage]]`"));
        }
        let mut stages: Vec<Stage> = Vec::new();
        for section in sections {
            let stage = Stage::read(&section, base, &axes, &stages, retries)?;
            stages.push(stage);
        }
        let place = top.place("stage");
        top.finish()?;
        if let Some(idle) = axes.iter().enumerate().find(|(k, _)| !stages.iter().any(|s| s.over.contains(k)))
        {
            let axis = idle.1;
            return Err(axis.place.marked(
                format!("no stage goes over axis `{}`", axis.name),
                "name it in `over`, or leave it out",
            ));
        }
        Ok(Self { name, seed, axes, stages, lost, keep, place })
    }

    /// A cell, ready to run; both numbers from 0.
    ///
    /// # Errors
    /// Options that its model refuses, at their line.
    pub fn cell(&self, stage: usize, number: usize) -> Result<Arc<dyn Cell>, Marked> {
        let own = self.own(stage);
        self.stages[stage].cell(&self.axes, &own, self.seed, number)
    }

    /// Axes of a stage that no stage before it goes over.
    fn own(&self, stage: usize) -> Vec<usize> {
        let stage = &self.stages[stage];
        let theirs: Vec<usize> =
            stage.after.iter().flat_map(|&k| self.stages[k].over.iter().copied()).collect();
        stage.over.iter().copied().filter(|axis| !theirs.contains(axis)).collect()
    }

    /// Every cell's id, stage by stage; checks every cell's options and every program on the way.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn ids(&self, warnings: &mut Vec<String>) -> Result<Vec<Vec<String>>, Marked> {
        let mut all: Vec<Vec<String>> = Vec::new();
        for (k, stage) in self.stages.iter().enumerate() {
            if let Some(program) = stage.program() {
                let numbers: Vec<String> = self.numbers(stage);
                for warning in program.check_cell(&numbers)? {
                    warnings.push(format!("stage `{}`: {warning}", stage.name));
                }
            }
            let mut ids = Vec::with_capacity(stage.cells.len());
            for (number, spec) in stage.cells.iter().enumerate() {
                let before: Vec<String> = (stage.after.iter().zip(&spec.upstream))
                    .flat_map(|(&s, cells)| cells.iter().map(move |&c| (s, c)))
                    .map(|(s, c)| all[s][c].clone())
                    .collect();
                let cell = self.cell(k, number)?;
                let unreadable = |e: ModelError| {
                    self.place.marked(format!("stage `{}` cannot be used", stage.name), e.message)
                };
                ids.push(cell.id(&stage.name, &before).map_err(unreadable)?);
            }
            let mut seen = std::collections::HashMap::new();
            for (number, id) in ids.iter().enumerate() {
                if let Some(first) = seen.insert(id, number) {
                    let (a, b) = (stage.shown(&self.axes, first), stage.shown(&self.axes, number));
                    let title = format!("two cells of `{}` are the same work", stage.name);
                    return Err(self.place.marked(title, format!("{a} and {b}: their options are the same")));
                }
            }
            all.push(ids);
        }
        Ok(all)
    }

    /// Placeholders with a number in every cell of a stage.
    fn numbers(&self, stage: &Stage) -> Vec<String> {
        let numeric = |axis: &Axis, hole: &String| {
            axis.labels.iter().all(|label| match (label.options(), hole.split_once('.')) {
                (None, _) => label.node.value.number().is_some(),
                (Some(table), Some((_, key))) => {
                    axis::scalars("", table).iter().any(|(k, value)| k == key && value.number().is_some())
                }
                (Some(_), None) => false,
            })
        };
        stage
            .over
            .iter()
            .map(|&axis| &self.axes[axis])
            .flat_map(|axis| axis.holes().into_iter().filter(|hole| numeric(axis, hole)).collect::<Vec<_>>())
            .collect()
    }

    /// All cells of all stages.
    pub fn total(&self) -> usize {
        self.stages.iter().map(|stage| stage.cells.len()).sum()
    }

    /// Stages that no other comes after: their cells are what the grid is for.
    pub fn leaves(&self) -> Vec<usize> {
        (0..self.stages.len()).filter(|k| !self.stages.iter().any(|s| s.after.contains(k))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "schema = \"ekp.experiment\"\nversion = 1\nname = \"g\"\nseed = 1\n[algorithm]\nmethod = \"grid\"\n";

    fn read(text: &str) -> Result<Grid, Marked> {
        let document = Document::parse(Path::new("experiment.toml"), &format!("{HEAD}{text}")).unwrap();
        Grid::read(&document, Path::new("/"))
    }

    const TWO: &str = "[[axis]]\nname = \"target\"\nvalues = [1, 2]\n\
        [[axis]]\nname = \"sampler\"\n[axis.options.long]\ndraws = 9\n[axis.options.short]\ndraws = 3\n\
        [[stage]]\nname = \"build\"\nover = [\"target\"]\nmodel = { command = [\"/bin/echo\", \"{target}\"] }\n\
        [[stage]]\nname = \"sample\"\nafter = \"build\"\nover = [\"target\", \"sampler\"]\n\
        model = { command = [\"/bin/echo\", \"{upstream}\", \"{sampler.draws}\"] }\n";

    #[test]
    fn ids_tell_what_changes_the_numbers_and_nothing_else() {
        let ids = |text: &str| read(text).unwrap().ids(&mut Vec::new()).unwrap();
        let all = ids(TWO);
        assert_eq!((all[0].len(), all[1].len()), (2, 4));
        assert!(all[0][0].starts_with("build_") && all[1][0].starts_with("sample_"));
        // Another order of labels, another retry rule: the same work
        let turned = TWO
            .replace("values = [1, 2]", "values = [2, 1]")
            .replace("over = [\"target\"]", "retries = 3\nover = [\"target\"]");
        let turned = ids(&turned);
        assert_eq!((&turned[0][0], &turned[0][1]), (&all[0][1], &all[0][0]));
        assert_eq!(turned[1][0], all[1][1]);
        // Another option of one sampler: its cells alone are other ones
        let other = ids(&TWO.replace("draws = 9", "draws = 10"));
        assert_eq!(other[0], all[0]);
        assert_ne!(other[1][..2], all[1][..2]);
        assert_eq!(other[1][2..], all[1][2..]);
        // Another command of the first stage: everything after it, too
        let other = ids(&TWO.replace("\"{target}\"]", "\"-n\", \"{target}\"]"));
        assert!(other.iter().flatten().all(|id| !all.iter().flatten().any(|old| old == id)));
    }

    #[test]
    fn faults_point_at_their_line() {
        let fault = |text: &str| {
            let e = match read(text) {
                Err(e) => e,
                Ok(grid) => grid.ids(&mut Vec::new()).unwrap_err(),
            };
            format!("{e} | {}", e.picture(false))
        };
        let with = |from: &str, to: &str| fault(&TWO.replace(from, to));
        assert!(with("after = \"build\"", "after = \"biuld\"").contains("there is no such stage before"));
        assert!(with("over = [\"target\"]", "over = [\"tarket\"]").contains("there is no such axis"));
        assert!(with("{sampler.draws}", "{sampler.steps}").contains("unknown placeholder"));
        assert!(with("values = [1, 2]", "values = [1, 1]").contains("has the label `1` twice"));
        assert!(fault("[[axis]]\nname = \"a\"\nvalues = [1]\n").contains("`stage` is missing"));
    }
}
