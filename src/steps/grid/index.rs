//! `stage_1_build/cells.toml`: the cells of a stage in the order of their numbers, as the run was made with.
//!
//! Ids are those of the day the run was made: a program that is edited later does not make other cells of them.

use serde::Deserialize;

use crate::experiment::grid::Grid;
use crate::files::{FileError, Record, RunDir, TomlText, load_record, quoted};

/// The index of one stage.
#[derive(Debug, Deserialize)]
struct Index {
    cells: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
}

impl Record for Index {
    const SCHEMA: &'static str = "ekp.cells";
    const VERSION: u32 = 1;
}

/// The text of the index of stage `number` (from 1).
pub fn text(grid: &Grid, number: u32, ids: &[Vec<String>]) -> String {
    let stage = &grid.stages[number as usize - 1];
    let mut text = TomlText::record::<Index>(&format!(
        "ekp cells: the cells of stage {number}, `{}`. Cell number N is the N-th line.\n\
         By hand:  ekp-run-member . -i {number} -m N     or     ekp-run-member . --cell ID",
        stage.name
    ));
    let axes: Vec<&str> = stage.over.iter().map(|&axis| grid.axes[axis].name.as_str()).collect();
    text.text("stage", &stage.name).number("number", number).texts("axes", &axes).raw("cells = [");
    for (k, spec) in stage.cells.iter().enumerate() {
        let labels: Vec<String> =
            stage.labels(&grid.axes, k).iter().map(|(_, label)| quoted(label)).collect();
        let after: Vec<String> = (stage.after.iter().zip(&spec.upstream))
            .flat_map(|(&s, cells)| cells.iter().map(move |&c| quoted(&ids[s][c])))
            .collect();
        text.raw(&format!(
            "  {{ id = {}, labels = [{}], after = [{}] }},",
            quoted(&ids[number as usize - 1][k]),
            labels.join(", "),
            after.join(", ")
        ));
    }
    text.raw("]").finish()
}

/// The ids of all cells, stage by stage.
///
/// # Errors
/// An index that is not there, or not that of this experiment.
pub fn load(dir: &RunDir, grid: &Grid) -> Result<Vec<Vec<String>>, FileError> {
    let mut all = Vec::with_capacity(grid.stages.len());
    for (number, stage) in (1..).zip(&grid.stages) {
        let path = dir.cells(number, &stage.name);
        let index: Index = load_record(&path)?;
        if index.cells.len() != stage.cells.len() {
            return Err(FileError::Invalid {
                path,
                kind: Index::SCHEMA,
                why: format!("it has {} cells, `experiment.toml` {}", index.cells.len(), stage.cells.len()),
            });
        }
        all.push(index.cells.into_iter().map(|cell| cell.id).collect());
    }
    Ok(all)
}
