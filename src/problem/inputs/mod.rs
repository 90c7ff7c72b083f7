//! The inputs of a batch of forward models: draws of the prior, a table, or a full grid. Model k, counted from 1, has
//! the same parameters whoever asks for them and whatever was asked for before.
//!
//! Belongs here: reading `[inputs]`, the values of a grid, the lines of a table.
//! Not here: how many models share a file, where a copy of the table lies.

pub mod grid;
pub mod table;

use std::path::PathBuf;

use crate::explain::{Marked, Place};
use crate::files::human::Section;

pub use grid::{Axis, Grid};
pub use table::{Table, TableError};

/// Models of a batch, at most.
const MOST: i64 = 1_000_000_000;
/// Models that share a file, at most.
const LARGEST_CHUNK: i64 = 10_000_000;
/// Every so many models one is run a second time.
pub const CHECK: u32 = 1000;

/// Where the parameters come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// So many draws of the prior, each from a stream of its own
    Prior(u32),
    /// A table that a person made
    Table(Table),
    /// All combinations of the values of some axes
    Grid(Grid),
}

/// `[inputs]`
#[derive(Debug, Clone)]
pub struct Inputs {
    /// Where the parameters come from
    pub source: Source,
    /// Models that share a file; none where the tools are to choose
    pub chunk: Option<u32>,
    /// Every so many models one is run again, alone and by the model's reference; 0 for none
    pub check: u32,
    /// Where it stands
    pub place: Place,
    /// Where each axis of a grid stands
    pub axes: Vec<(String, Place)>,
}

impl Inputs {
    /// Where a column is said: its axis, or the table.
    pub fn place_of(&self, column: &str) -> &Place {
        let axis = self.axes.iter().find(|(name, _)| name == column).map(|(_, place)| place);
        axis.unwrap_or(match &self.source {
            Source::Table(table) => &table.place,
            _ => &self.place,
        })
    }
}

impl Inputs {
    /// Read `[inputs]`.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let given: Vec<&str> =
            ["prior", "table", "grid"].into_iter().filter(|key| section.keys().any(|k| k == *key)).collect();
        let mut axes = Vec::new();
        let source = match given.as_slice() {
            ["prior"] => {
                let count = section.integer("prior", 1..=MOST)?.expect("the key is there");
                Source::Prior(u32::try_from(count).expect("at most a thousand million"))
            }
            ["table"] => {
                let path: String = section.need("table")?;
                let columns = section.opt::<Vec<String>>("columns")?;
                let place = section.place("table");
                Source::Table(Table { path: PathBuf::from(path), columns, place })
            }
            [_grid] => {
                let grid = section.section("grid")?.expect("the key is there");
                let read = Grid::read(&grid)?;
                if read.models().is_none_or(|n| n > MOST as u64) {
                    let label = format!("at most {MOST} combinations are allowed");
                    return Err(section.wrong("grid", "this grid has too many points", label));
                }
                axes = grid.keys().map(|name| (name.to_owned(), grid.place(name))).collect();
                Source::Grid(read)
            }
            [] => {
                let allowed = "allowed: `prior = 100000`, `table = \"models.csv\"`, or a `grid`";
                return Err(section.wrong("", "`[inputs]` does not say where the parameters come from", allowed).hint(
                    "a grid: `grid = { rho1 = { logspace = [1, 3, 50] }, h1 = { linspace = [10, 100, 30] }, h2 = [5, 20] }`",
                ));
            }
            [first, second, ..] => {
                let label = format!("there is `{first}` already: one of the two");
                return Err(section.wrong(second, "`[inputs]` has two sources of parameters", label));
            }
        };
        let chunk = match section.opt::<String>("chunk") {
            Ok(Some(word)) if word == "auto" => None,
            Ok(None) => None,
            Ok(Some(word)) => {
                let label = format!("found `{word}`, allowed: a number of models, or `\"auto\"`");
                return Err(section.wrong("chunk", "`chunk` has no such choice", label));
            }
            Err(_) => section
                .integer("chunk", 1..=LARGEST_CHUNK)?
                .map(|n| u32::try_from(n).expect("at most ten million")),
        };
        let check = section
            .integer("check", 0..=i64::from(u32::MAX))?
            .map_or(CHECK, |n| u32::try_from(n).expect("in range"));
        section.finish()?;
        Ok(Self { source, chunk, check, place: section.place(""), axes })
    }
}

/// Parameters out of names of columns: `rho1`, or `mixing[1]`, `mixing[2]` beside each other for one of several
/// numbers.
///
/// # Errors
/// A name twice, a component without those before it: which, and in which way.
pub fn parameters(columns: &[String]) -> Result<Vec<(String, usize)>, (String, String)> {
    let mut all: Vec<(String, usize)> = Vec::new();
    for column in columns {
        let wrong = |why: &str| Err((column.clone(), why.to_owned()));
        let component = column
            .strip_suffix(']')
            .and_then(|c| c.rsplit_once('['))
            .and_then(|(name, k)| Some((name, k.parse::<usize>().ok()?)));
        match component {
            None if column.is_empty() => return wrong("it has no name"),
            None if all.iter().any(|(name, _)| name == column) => return wrong("it is there twice"),
            None => all.push((column.clone(), 1)),
            Some((name, 1)) if all.iter().any(|(known, _)| known == name) => {
                return wrong("it is there twice");
            }
            Some((name, 1)) => all.push((name.to_owned(), 1)),
            Some((name, k)) => match all.last_mut() {
                Some((last, length)) if last == name && *length + 1 == k => *length = k,
                _ => return wrong(&format!("`{name}[{}]` does not stand before it", k.saturating_sub(1))),
            },
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    fn read(text: &str) -> Result<Inputs, Marked> {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        Inputs::read(&document.section().section("inputs").unwrap().unwrap())
    }

    #[test]
    fn sources_chunks_and_checks_are_read() {
        let inputs = read("[inputs]\nprior = 1000\nchunk = 64\n").unwrap();
        assert!(matches!(inputs.source, Source::Prior(1000)));
        assert_eq!((inputs.chunk, inputs.check), (Some(64), CHECK));
        let inputs = read("[inputs]\ntable = 'm.csv'\nchunk = \"auto\"\ncheck = 0").unwrap();
        assert!(matches!(&inputs.source, Source::Table(t) if t.path == Path::new("m.csv")));
        assert_eq!((inputs.chunk, inputs.check), (None, 0));
    }

    #[test]
    fn what_cannot_be_is_told_at_its_line() {
        for (text, line, word) in [
            ("[inputs]\n", 1, "where the parameters come from"),
            ("[inputs]\nprior = 3\ntable = 'm.csv'", 3, "two sources"),
            ("[inputs]\nprior = 0", 2, "out of range"),
            ("[inputs]\nprior = 3\nchunk = 'big'", 3, "no such choice"),
            ("[inputs]\nprior = 3\nchunk = 0", 3, "out of range"),
            ("[inputs]\nprior = 3\nchunks = 2", 3, "unknown key"),
            (
                "[inputs]\ngrid = { a = { linspace = [0, 1, 100000] }, b = { linspace = [0, 1, 100000] } }",
                2,
                "too many",
            ),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!(fault.line(), line, "{text}: {fault}");
            assert!(fault.to_string().contains(word), "{text}: {fault}");
        }
    }

    #[test]
    fn columns_make_parameters() {
        let of = |names: &[&str]| parameters(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            of(&["a", "m[1]", "m[2]", "b"]).unwrap(),
            [("a".into(), 1), ("m".into(), 2), ("b".into(), 1)]
        );
        for bad in
            [&["a", "a"][..], &["m[2]"], &["m[1]", "a", "m[2]"], &["m", "m[1]"], &[""], &["m[1]", "m[3]"]]
        {
            assert!(of(bad).is_err(), "{bad:?}");
        }
    }
}
