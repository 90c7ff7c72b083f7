//! Numbers that stand in a file beside `observation.toml`: csv and npy.

use std::path::{Path, PathBuf};

use crate::explain::{one_of, reason};
use crate::files::npy::{self, NpyError};

/// Numbers in rows and columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Row by row
    pub(super) data: Vec<f64>,
}

/// Why a file gives no numbers.
#[derive(Debug, thiserror::Error)]
pub(super) enum TableError {
    #[error("`{}`: {}", path.display(), reason(error))]
    Io { path: PathBuf, error: std::io::Error },
    #[error("`{}`: allowed are files that end in `.csv` or `.npy`", path.display())]
    Kind { path: PathBuf },
    #[error("`{}`: {error}", path.display())]
    Npy { path: PathBuf, error: NpyError },
    #[error("`{}`: {error}", path.display())]
    Csv { path: PathBuf, error: csv::Error },
    #[error("`{}`, line {line}: `{found}` is not a number", path.display())]
    Number { path: PathBuf, line: u64, found: String },
    #[error("`{}`, line {line}: cells: {found} here, {expected} in the first line", path.display())]
    Ragged { path: PathBuf, line: u64, found: usize, expected: usize },
    #[error("`{}` has no column `{wanted}`: it has {}", path.display(), if names.is_empty() { "no heading".to_owned() } else { one_of(&names.iter().map(String::as_str).collect::<Vec<_>>()).replace(" or ", " and ") })]
    NoColumn { path: PathBuf, wanted: String, names: Vec<String> },
    #[error("`{}` is an npy file: its columns have no names", path.display())]
    NpyColumn { path: PathBuf },
}

impl TableError {
    /// What to do.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                Some("paths are relative to the folder of `observation.toml`")
            }
            Self::Number { .. } | Self::Ragged { .. } => Some(
                "cells are separated by `,`, numbers have a decimal point, an empty cell is not observed",
            ),
            _ => None,
        }
    }
}

/// Read a table; with `column` only that one.
pub(super) fn read(path: &Path, column: Option<&str>) -> Result<Table, TableError> {
    let path = path.to_path_buf();
    let kind = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let load =
        |path: &PathBuf| std::fs::read(path).map_err(|error| TableError::Io { path: path.clone(), error });
    match kind.as_deref() {
        Some("npy") if column.is_some() => Err(TableError::NpyColumn { path }),
        Some("npy") => match npy::read(&load(&path)?) {
            Ok(array) => {
                let cols = array.shape.get(1).copied().unwrap_or(1);
                Ok(Table { rows: array.shape[0], cols, data: array.data })
            }
            Err(error) => Err(TableError::Npy { path, error }),
        },
        Some("csv") => csv(&path, &load(&path)?, column),
        _ => Err(TableError::Kind { path }),
    }
}

/// An empty cell, `nan` and `NA` are missing values; a first line with other words is a heading; `#` begins a comment.
fn csv(path: &Path, bytes: &[u8], column: Option<&str>) -> Result<Table, TableError> {
    let path = || path.to_path_buf();
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut table = Table { rows: 0, cols: 0, data: Vec::new() };
    let mut width = 0;
    let mut pick = 0..0;
    for (n, record) in reader.records().enumerate() {
        let record = record.map_err(|error| TableError::Csv { path: path(), error })?;
        let line = record.position().map_or(0, csv::Position::line);
        if n == 0 {
            width = record.len();
            pick = 0..width;
            if let Some(wanted) = column {
                let Some(k) = record.iter().position(|name| name == wanted) else {
                    let heading = record.iter().any(|cell| number(cell).is_none());
                    let names = record.iter().filter(|_| heading).map(str::to_owned).collect();
                    return Err(TableError::NoColumn { path: path(), wanted: wanted.to_owned(), names });
                };
                pick = k..k + 1;
            }
            table.cols = pick.len();
            if column.is_some() || record.iter().any(|cell| number(cell).is_none()) {
                continue;
            }
        }
        if record.len() != width {
            return Err(TableError::Ragged { path: path(), line, found: record.len(), expected: width });
        }
        // Words in columns nobody asked for (stamps, station names) do no harm.
        for cell in record.iter().take(pick.end).skip(pick.start) {
            let wrong = || TableError::Number { path: path(), line, found: cell.to_owned() };
            table.data.push(number(cell).ok_or_else(wrong)?);
        }
        table.rows += 1;
    }
    Ok(table)
}

fn number(cell: &str) -> Option<f64> {
    if cell.is_empty() || cell.eq_ignore_ascii_case("na") {
        return Some(f64::NAN);
    }
    cell.parse().ok()
}
