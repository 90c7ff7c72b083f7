//! A table of models: a line each, csv with a heading or npy. Read line by line: it may be larger than memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::explain::{Marked, Place, reason};
use crate::files::{FileError, npy, rows};

/// Told of each row: names of the columns, numbers.
type Each<'a> = dyn FnMut(&[String], &[f64]) -> Result<(), FileError> + 'a;

/// Numbers that are handed on at once.
const PIECE: usize = 1 << 16;

/// `table = "models.csv"`
#[derive(Debug, Clone)]
pub struct Table {
    /// As written
    pub path: PathBuf,
    /// Names of the columns of an npy table
    pub columns: Option<Vec<String>>,
    /// Where it is named
    pub place: Place,
}

/// Why a table gives no models.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The system refused
    #[error("{}", reason(.0))]
    Io(std::io::Error),
    /// Where its rows were to go
    #[error(transparent)]
    Sink(#[from] FileError),
    /// Neither csv nor npy
    #[error("allowed are files that end in `.csv` or `.npy`")]
    Kind,
    /// An array that is none
    #[error("{0}")]
    Npy(String),
    /// A cell that is no finite number
    #[error("line {line}, column `{column}`: `{found}` is no finite number")]
    Number {
        /// From 1
        line: u64,
        /// Its name
        column: String,
        /// As it stands there
        found: String,
    },
    /// More or fewer cells than names
    #[error("line {line}: {found} cells, the heading has {expected}")]
    Ragged {
        /// From 1
        line: u64,
        /// Cells of the line
        found: usize,
        /// Names
        expected: usize,
    },
    /// The first line holds numbers
    #[error("line {line}: the heading is missing: `{found}` is a number, not a name")]
    Heading {
        /// From 1
        line: u64,
        /// Its first cell that is a number
        found: String,
    },
    /// No line after the heading
    #[error("it holds no model")]
    Empty,
    /// An npy table without names
    #[error("an npy table has no heading: `columns` must name its columns")]
    NoColumns,
    /// A csv table with names beside it
    #[error("a csv table has a heading: `columns` is for npy tables alone")]
    TwoHeadings,
    /// Names and columns differ in number
    #[error("it has {found} columns, `columns` names {expected}")]
    Width {
        /// Columns of the array
        found: usize,
        /// Names
        expected: usize,
    },
}

impl TableError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Some("paths are relative to the folder of the file they stand in")
            }
            Self::Number { .. } | Self::Ragged { .. } => Some(
                "cells are separated by `,`, numbers have a decimal point, lines that begin with `#` are comments",
            ),
            Self::Heading { .. } => Some("the first line names the parameters: `rho1,rho2,h1`"),
            Self::NoColumns => Some("add `columns = [\"rho1\", \"rho2\", \"h1\"]` below it"),
            _ => None,
        }
    }
}

impl Table {
    /// Read it, seen from `folder`, handing whole rows on to `each`; names of the columns, and how many rows.
    ///
    /// # Errors
    /// The first fault: the place where the table is named, and the line in it.
    pub fn read(&self, folder: &Path, each: &mut Each<'_>) -> Result<(Vec<String>, u64), Marked> {
        let path = folder.join(&self.path);
        read(&path, self.columns.as_deref(), each).map_err(|error| {
            let label = format!("`{}`: {error}", path.display());
            let fault = self.place.marked("this table cannot be used", label);
            match error.hint() {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })
    }
}

fn read(
    path: &Path,
    columns: Option<&[String]>,
    each: &mut Each<'_>,
) -> Result<(Vec<String>, u64), TableError> {
    let kind = path.extension().map(|e| e.to_string_lossy().to_lowercase());
    let (names, rows) = match (kind.as_deref(), columns) {
        (Some("npy"), Some(columns)) => array(path, columns, each)?,
        (Some("npy"), None) => return Err(TableError::NoColumns),
        (Some("csv"), None) => text(File::open(path).map_err(TableError::Io)?, each)?,
        (Some("csv"), Some(_)) => return Err(TableError::TwoHeadings),
        _ => return Err(TableError::Kind),
    };
    if rows == 0 { Err(TableError::Empty) } else { Ok((names, rows)) }
}

/// A heading, then numbers. Every line stands for itself, so that faults are told with the line an editor shows.
fn text(from: impl Read, each: &mut Each<'_>) -> Result<(Vec<String>, u64), TableError> {
    let mut from = BufReader::with_capacity(1 << 16, from);
    let (mut names, mut numbers, mut rows) = (Vec::<String>::new(), Vec::new(), 0);
    let (mut bytes, mut line) = (Vec::new(), 0);
    loop {
        bytes.clear();
        line += 1;
        if from.read_until(b'\n', &mut bytes).map_err(TableError::Io)? == 0 {
            break;
        }
        // Some spreadsheets put three bytes in front.
        let text = if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        let cells = text.split(|&b| b == b',').map(cell);
        if names.is_empty() {
            if let Some(cell) = cells.clone().find(|cell| number(cell).is_some()) {
                return Err(TableError::Heading { line, found: shown(cell) });
            }
            names = cells.map(shown).collect();
            continue;
        }
        for (k, cell) in cells.clone().enumerate() {
            let Some(name) = names.get(k) else { break };
            let wrong = || TableError::Number { line, column: name.clone(), found: shown(cell) };
            numbers.push(number(cell).filter(|x| x.is_finite()).ok_or_else(wrong)?);
        }
        let found = cells.count();
        if found != names.len() {
            return Err(TableError::Ragged { line, found, expected: names.len() });
        }
        rows += 1;
        if numbers.len() >= PIECE {
            each(&names, &numbers)?;
            numbers.clear();
        }
    }
    if !numbers.is_empty() {
        each(&names, &numbers)?;
    }
    Ok((names, rows))
}

/// What stands between two commas, without blanks and quotes.
fn cell(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.trim_ascii();
    bytes.strip_prefix(b"\"").and_then(|b| b.strip_suffix(b"\"")).unwrap_or(bytes)
}

fn shown(cell: &[u8]) -> String {
    String::from_utf8_lossy(&cell[..cell.len().min(40)]).into_owned()
}

fn number(cell: &[u8]) -> Option<f64> {
    fast_float2::parse(cell).ok()
}

fn array(path: &Path, columns: &[String], each: &mut Each<'_>) -> Result<(Vec<String>, u64), TableError> {
    let width = |found: usize| {
        if found == columns.len() {
            Ok(())
        } else {
            Err(TableError::Width { found, expected: columns.len() })
        }
    };
    let finite = |first: usize, numbers: &[f64]| match numbers.iter().position(|x| !x.is_finite()) {
        Some(k) => Err(TableError::Number {
            line: (first + k / columns.len() + 1) as u64,
            column: columns[k % columns.len()].clone(),
            found: numbers[k].to_string(),
        }),
        None => Ok(()),
    };
    if let Ok(reader) = rows::Reader::open(path) {
        width(reader.columns)?;
        let step = (PIECE / columns.len().max(1)).max(1);
        let mut numbers = Vec::new();
        for first in (0..reader.rows).step_by(step) {
            reader.read(first..(first + step).min(reader.rows), 0..columns.len(), &mut numbers)?;
            finite(first, &numbers)?;
            each(columns, &numbers)?;
        }
        return Ok((columns.to_vec(), reader.rows as u64));
    }
    // Other kinds of arrays are read whole.
    let bytes = std::fs::read(path).map_err(TableError::Io)?;
    let array = npy::read(&bytes).map_err(|e| TableError::Npy(e.to_string()))?;
    width(array.shape.get(1).copied().unwrap_or(1))?;
    finite(0, &array.data)?;
    each(columns, &array.data)?;
    Ok((columns.to_vec(), array.shape[0] as u64))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8]) -> Result<(Vec<String>, Vec<f64>), TableError> {
        let mut all = Vec::new();
        let (names, rows) = text(bytes, &mut |_, numbers| {
            all.extend_from_slice(numbers);
            Ok(())
        })?;
        assert_eq!(all.len() as u64, rows * names.len() as u64);
        Ok((names, all))
    }

    #[test]
    fn headings_comments_blanks_and_the_mark_of_spreadsheets_are_read() {
        let (names, all) = parse(b"\xef\xbb\xbf# made by hand\nrho1, h1\n\n10, 2.5\n 1e3 ,-0.5\n").unwrap();
        assert_eq!((names, all), (vec!["rho1".to_owned(), "h1".into()], vec![10.0, 2.5, 1000.0, -0.5]));
    }

    #[test]
    fn faults_are_told_with_their_line() {
        for (bytes, words) in [
            (&b"a,b\n1,2\n\n3,x\n"[..], "line 4, column `b`: `x` is no finite number"),
            (b"a,b\n1,inf\n", "line 2, column `b`: `inf` is no finite number"),
            (b"a,b\n1,\n", "line 2, column `b`: `` is no finite number"),
            (b"a,b\n# x\n1\n", "line 3: 1 cells, the heading has 2"),
            (b"1,2\n3,4\n", "line 1: the heading is missing: `1` is a number, not a name"),
        ] {
            assert_eq!(parse(bytes).unwrap_err().to_string(), words);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back_as_they_were(rows in proptest::collection::vec(any::<[f64; 3]>(), 1..40)) {
            let rows: Vec<[f64; 3]> = rows.into_iter().filter(|r| r.iter().all(|x| x.is_finite())).collect();
            let mut csv = "a,b,c\n".to_owned();
            rows.iter().for_each(|[a, b, c]| csv.push_str(&format!("{a:?}, {b:?} ,{c:e}\r\n")));
            prop_assert_eq!(parse(csv.as_bytes()).unwrap().1, rows.concat());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..40) {
            let _ = parse(&bytes);
            let mut good = b"a,b\n1,2\n\"3\",4\n# c\n5,6e7\n".to_vec();
            good.truncate(cut);
            good.extend(&bytes[..bytes.len().min(5)]);
            let _ = parse(&good);
        }
    }
}
