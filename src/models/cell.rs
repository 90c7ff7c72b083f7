//! Cells of a grid: what a stage runs, and the row of facts each cell leaves.
//!
//! A cell has a working folder, the folders that the cells before it left, and options; it leaves files in its
//! folder and a row: named scalars, each of which becomes a column of the table of results.
//! Belongs here: the trait and its words. Not here: which cells there are, where outcomes are published.

use std::path::PathBuf;

use crate::models::{ModelError, Place, Usage};

/// A fact of one cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// Words
    Text(String),
    /// A whole number
    Integer(i64),
    /// A number; NaN means that there is none
    Float(f64),
    /// Yes or no
    Bool(bool),
}

impl Scalar {
    /// As a cell of a CSV table; what is not there is empty.
    pub fn csv(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Integer(i) => i.to_string(),
            Self::Float(x) if x.is_nan() => String::new(),
            Self::Float(x) => format!("{x:?}"),
            Self::Bool(b) => b.to_string(),
        }
    }

    /// As a TOML value.
    pub fn toml(&self) -> String {
        match self {
            Self::Text(text) => crate::files::quoted(text),
            Self::Integer(i) => i.to_string(),
            Self::Float(x) if x.is_nan() => "nan".into(),
            Self::Float(x) if x.is_infinite() => if *x > 0.0 { "inf" } else { "-inf" }.into(),
            Self::Float(x) => format!("{x:?}"),
            Self::Bool(b) => b.to_string(),
        }
    }

    /// From a TOML value, if it is a scalar.
    pub fn of(value: &toml::Value) -> Option<Self> {
        Some(match value {
            toml::Value::String(text) => Self::Text(text.clone()),
            toml::Value::Integer(i) => Self::Integer(*i),
            toml::Value::Float(x) => Self::Float(*x),
            toml::Value::Boolean(b) => Self::Bool(*b),
            toml::Value::Datetime(d) => Self::Text(d.to_string()),
            _ => return None,
        })
    }
}

/// What a cell says of itself, in its order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Name and value
    pub facts: Vec<(String, Scalar)>,
    /// Cost, where it is a program of its own
    pub usage: Option<Usage>,
}

impl Row {
    /// Add a fact.
    pub fn push(&mut self, name: &str, value: Scalar) -> &mut Self {
        self.facts.push((name.to_owned(), value));
        self
    }

    /// The value of a fact.
    pub fn get(&self, name: &str) -> Option<&Scalar> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// What a cell stands on.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Name of the stage
    pub stage: String,
    /// What each of its cells left, in their order; absolute
    pub folders: Vec<PathBuf>,
    /// What each of them said
    pub rows: Vec<Row>,
}

/// Where and as what one cell runs. Absolute paths.
#[derive(Debug, Clone)]
pub struct CellPlace {
    /// Run folder, stage (as iteration), number of the cell (as member), try, seed, working folder, threads, stop flag
    pub place: Place,
    /// Name of the stage
    pub stage: String,
    /// Id of the cell
    pub id: String,
    /// Cells it stands on, one entry for each stage in `after`
    pub upstream: Vec<Upstream>,
    /// A folder that outlives this try and is gone once the cell has its outcome; there already
    pub checkpoint: PathBuf,
    /// Takes what the cell prints
    pub log: PathBuf,
    /// Takes its complaints
    pub err: PathBuf,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Words
    Text,
    /// 32-bit integers
    Int32,
    /// 64-bit integers
    Int64,
    /// Doubles; what is no number is a gap
    Double,
}

/// A table of its own that a model's cells have, beside that of all cells.
#[derive(Debug)]
pub struct TableShape {
    /// `llc_runs`: its file's name without the ending
    pub name: &'static str,
    /// Columns in order
    pub columns: &'static [(&'static str, Kind)],
}

/// What a cell will cost, as far as its options tell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Forecast {
    /// On one core
    pub seconds: f64,
    /// Largest resident set, 10⁶ bytes
    pub memory_mb: f64,
    /// What it leaves, 10⁶ bytes
    pub disk_mb: f64,
}

/// How large a cell's result is to those that stand on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Examples; 1 where there are none
    pub rows: usize,
    /// p
    pub parameters: usize,
    /// Numbers that a run on it holds beside its parameters
    pub numbers: usize,
}

/// One cell, ready to run.
pub trait Cell: Send + Sync {
    /// Its id, from what changes its numbers and nothing else: the same work has the same id in every run.
    /// `upstream` are the ids of the cells it stands on.
    ///
    /// # Errors
    /// A file it is made from cannot be read.
    fn id(&self, stage: &str, upstream: &[String]) -> Result<String, ModelError>;

    /// Run it in its place.
    ///
    /// # Errors
    /// Why it gave nothing: a result, not an error of the toolkit. `Cause::Lost` when it was told to stop.
    fn run(&self, place: &CellPlace) -> Result<Row, ModelError>;

    /// How large its result is, where others need to know before it is there.
    fn size(&self) -> Option<Size> {
        None
    }

    /// What it will cost, standing on results of these sizes.
    fn forecast(&self, _upstream: &[Size]) -> Option<Forecast> {
        None
    }

    /// Name of its logs without their endings; `upstream` are the ids of the cells it stands on.
    fn log_name(&self, id: &str, _upstream: &[String]) -> String {
        id.to_owned()
    }

    /// The table that has a row for each cell of this kind, where there is one.
    fn table(&self) -> Option<&'static TableShape> {
        None
    }

    /// Whether it runs in this process, so that several may share its threads and a second try gives the same.
    fn in_process(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_read_back_and_what_is_missing_is_an_empty_cell() {
        for value in [
            Scalar::Text("a \"b\"\tc".into()),
            Scalar::Integer(-3),
            Scalar::Float(0.1),
            Scalar::Float(1e-300),
            Scalar::Bool(true),
        ] {
            let table: toml::Table = format!("x = {}", value.toml()).parse().unwrap();
            assert_eq!(Scalar::of(&table["x"]), Some(value));
        }
        assert_eq!(Scalar::Float(f64::NAN).csv(), "");
        assert_eq!(Scalar::Float(2.0).csv(), "2.0");
    }
}
