//! Tables of a grid for export: of all cells, or the one that its model brings; also of a grid under way.

use crate::report::ReportError;
use crate::steps::grid::{GridRun, merge, own, table};

/// A table in both formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    /// Its name: `integrals_runs`, `llc_runs`
    pub name: String,
    /// A row for each cell
    pub csv: Vec<u8>,
    /// The same with types
    pub parquet: Vec<u8>,
    /// Rows
    pub rows: usize,
}

/// The table of this name; without one that of all cells.
///
/// # Errors
/// There is no such table; the disk cannot be read.
pub fn table(run: &GridRun, wanted: Option<&str>) -> Result<Cells, ReportError> {
    let left = merge::all(run)?;
    let all = table::all(run, &left);
    let name = format!("{}_runs", run.grid.name);
    let mut tables =
        vec![Cells { csv: all.csv(), parquet: table::parquet_of(run, &all), rows: all.rows.len(), name }];
    for (name, own, parquet) in own::tables(run, &left)? {
        tables.push(Cells { name: name.to_owned(), csv: own.csv(), parquet, rows: own.rows.len() });
    }
    let known: Vec<String> = tables.iter().map(|table| format!("`{}`", table.name)).collect();
    let found = match wanted {
        None => Some(tables.remove(0)),
        Some(wanted) => tables.into_iter().find(|table| table.name == wanted),
    };
    found.ok_or_else(|| ReportError::Refused {
        what: format!("there is no table `{}`", wanted.unwrap_or_default()),
        hint: format!("allowed: {}", known.join(", ")),
    })
}
