//! Parameters of the models of a batch: any models, in any order, the same numbers for everyone.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::experiment::ExperimentError;
use crate::explain::Marked;
use crate::files::rows::{Reader, Writer};
use crate::files::{FileError, Hasher, Record, TomlText, digest, load_record};
use crate::numerics::{Purpose, Streams};
use crate::problem::Prior;
use crate::problem::inputs::{Axis, Grid, Source, Table};
use crate::steps::forward::plan::order;
use crate::steps::{Run, StepError};

/// `inputs.toml`: what the models of a batch are, where no prior says so.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct InputsRecord {
    /// `prior`, `table` or `grid`
    pub source: String,
    /// Models
    pub models: u32,
    /// Names of the parameters, each number by itself
    pub columns: Vec<String>,
    /// Axes of a grid, the last one the fastest
    #[serde(default)]
    pub axis: Vec<AxisRecord>,
    /// Digest of `inputs.npy`, the table
    #[serde(default)]
    pub table: String,
}

/// An axis of a grid.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AxisRecord {
    /// The parameter
    pub name: String,
    /// Its values
    pub values: Vec<f64>,
}

impl Record for InputsRecord {
    const SCHEMA: &'static str = "ekp.inputs";
    const VERSION: u32 = 1;
}

impl InputsRecord {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut text = TomlText::record::<Self>(
            "ekp inputs: the parameters of the models of this batch. Written once by `ekp-init`.\n\
             prior: model k is the draw of the stream (seed, k). table: model k is row k of `inputs.npy`.\n\
             grid: all combinations of the values of the axes, the last axis fastest (C order).",
        );
        text.text("source", &self.source).number("models", self.models).texts("columns", &self.columns);
        if !self.table.is_empty() {
            text.text("table", &self.table);
        }
        for axis in &self.axis {
            text.raw("").raw("[[axis]]");
            text.text("name", &axis.name).floats("values", &axis.values);
        }
        text.finish()
    }

    /// The grid, where it is one.
    pub fn grid(&self) -> Option<Grid> {
        let axes =
            self.axis.iter().map(|a| Axis { name: a.name.clone(), values: a.values.clone() }).collect();
        (self.source == "grid").then_some(Grid { axes })
    }
}

/// What `[inputs]` comes to, before there is a run.
#[derive(Debug, Clone)]
pub struct Found {
    /// The record, without the digest of a table's copy
    pub record: InputsRecord,
    /// The numbers in short: the same inputs have the same
    pub digest: String,
    /// The table to copy, and the folder it is seen from
    table: Option<(Table, PathBuf)>,
    /// Least and greatest number of each column
    range: Vec<(f64, f64)>,
}

impl Found {
    /// Least and greatest number of each column; nothing of draws.
    pub fn range(&self) -> &[(f64, f64)] {
        &self.range
    }
}

/// Read what `[inputs]` names, seen from `folder`; columns of draws are those of the prior.
///
/// # Errors
/// A table that cannot be used, at its line.
pub fn find(source: &Source, prior: Option<&Prior>, folder: &Path) -> Result<Found, Marked> {
    Ok(match source {
        Source::Prior(models) => {
            let names = prior.map(Prior::names).unwrap_or_default();
            let one = |(name, n): &(String, usize)| match n {
                1 => vec![name.clone()],
                &n => (1..=n).map(|k| format!("{name}[{k}]")).collect(),
            };
            let columns = names.iter().flat_map(one).collect();
            let record =
                InputsRecord { source: "prior".into(), models: *models, columns, ..InputsRecord::default() };
            Found { record, digest: String::new(), table: None, range: Vec::new() }
        }
        Source::Grid(grid) => {
            let models = grid.models().and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
            let columns = grid.axes.iter().map(|a| a.name.clone()).collect();
            let axis: Vec<AxisRecord> = grid
                .axes
                .iter()
                .map(|a| AxisRecord { name: a.name.clone(), values: a.values.clone() })
                .collect();
            // Powers of ten may differ in the last bit from host to host: the run keeps those it was made with.
            let digest = digest(format!("{:?}", grid.shape()).as_bytes());
            let record = InputsRecord { source: "grid".into(), models, columns, axis, table: String::new() };
            let range = grid.axes.iter().map(|a| a.values.iter().fold(NOTHING, wider)).collect();
            Found { record, digest, table: None, range }
        }
        Source::Table(table) => {
            let mut hasher = Hasher::default();
            let mut range: Vec<(f64, f64)> = Vec::new();
            let (columns, rows) = table.read(folder, &mut |names, numbers| {
                hasher.numbers(numbers);
                range.resize(names.len(), NOTHING);
                for row in numbers.chunks_exact(names.len()) {
                    range.iter_mut().zip(row).for_each(|(range, x)| *range = wider(*range, x));
                }
                Ok(())
            })?;
            let models = u32::try_from(rows).map_err(|_| {
                table.place.marked("this table has too many models", format!("it has {rows}"))
            })?;
            hasher.bytes(columns.join(",").as_bytes());
            let record = InputsRecord { source: "table".into(), models, columns, ..InputsRecord::default() };
            Found { record, digest: hasher.digest(), table: Some((table.clone(), folder.to_owned())), range }
        }
    })
}

/// No number yet.
const NOTHING: (f64, f64) = (f64::INFINITY, f64::NEG_INFINITY);

fn wider((low, high): (f64, f64), x: &f64) -> (f64, f64) {
    (low.min(*x), high.max(*x))
}

impl Found {
    /// A `priors.toml` for those who gave none: middle and half width of each parameter.
    pub fn centre(&self, named: &[(String, usize)]) -> String {
        let mut text = TomlText::comments(
            "Made by `ekp-init`: no prior was given, the inputs say what the parameters are. Middle and half width of\n\
             each, so that `ekp-init --try` can run a model among them; nothing is drawn from this.",
        );
        let mut rest = self.range.as_slice();
        for (name, n) in named {
            let (own, after) = rest.split_at(*n);
            rest = after;
            let law = |(low, high): &(f64, f64)| {
                let half = (high - low) / 2.0;
                format!("Normal({:?}, {:?})", low / 2.0 + high / 2.0, if half > 0.0 { half } else { 1.0 })
            };
            text.table(&crate::files::key(name));
            match own {
                [one] => {
                    text.text("prior", &format!("Parameterized({})", law(one)));
                    text.text("constraint", "no_constraint()");
                }
                several => {
                    let laws: Vec<String> = several.iter().map(law).collect();
                    text.text("prior", &format!("VectorOfParameterized([{}])", laws.join(", ")));
                    text.text("constraint", &format!("repeat([no_constraint()], {n})"));
                }
            }
            text.text("type", "float");
        }
        text.finish()
    }

    /// Write `inputs.toml`, and the copy of a table, into a run folder that is being made.
    ///
    /// # Errors
    /// The disk; the table is another now.
    pub fn write(&self, hidden: &Path) -> Result<String, StepError> {
        let mut record = self.record.clone();
        if let Some((table, folder)) = &self.table {
            let path = hidden.join("inputs.npy");
            let mut writer = Writer::new(&path, &[record.models as usize, record.columns.len()])?;
            let mut left = record.models as usize * record.columns.len();
            let changed = |why: &str| FileError::Invalid {
                path: folder.join(&table.path),
                kind: "table of models",
                why: why.to_owned(),
            };
            let (columns, rows) = table
                .read(folder, &mut |_, numbers| {
                    left = left.checked_sub(numbers.len()).ok_or_else(|| changed("it grew meanwhile"))?;
                    writer.append(numbers)
                })
                .map_err(ExperimentError::from)?;
            if rows != u64::from(record.models) || columns != record.columns {
                return Err(changed("it changed meanwhile").into());
            }
            record.table = writer.show(true)?.0;
        }
        Ok(record.text())
    }
}

/// The parameters of a run's models.
#[derive(Debug)]
pub struct Models {
    from: From,
    /// Numbers of a model
    pub columns: usize,
    /// Where each of them stands in a row of the source; none where the order is the same
    order: Option<Vec<usize>>,
}

#[derive(Debug)]
enum From {
    Prior(Box<Prior>, Streams),
    Table(Reader),
    Grid(Grid),
}

impl Models {
    /// Of a run, in the order of `wanted`.
    ///
    /// # Errors
    /// A file of the run cannot be read.
    pub fn open(run: &Run, wanted: &[String]) -> Result<Self, StepError> {
        let record: InputsRecord = load_record(&run.dir.inputs())?;
        let columns = record.columns.len();
        let from = match record.source.as_str() {
            "prior" => From::Prior(Box::new(run.prior()?), Streams::new(run.experiment.seed)),
            "table" => {
                let reader = Reader::open(&run.dir.input_table())?;
                if (reader.rows, reader.columns) != (record.models as usize, columns) {
                    let why = format!("it has {} × {} numbers", reader.rows, reader.columns);
                    let path = run.dir.input_table();
                    return Err(FileError::Invalid { path, kind: "table of models", why }.into());
                }
                From::Table(reader)
            }
            _ => From::Grid(record.grid().unwrap_or(Grid { axes: Vec::new() })),
        };
        let order =
            (record.source != "prior" && record.columns != wanted).then(|| order(&record.columns, wanted));
        Ok(Self { from, columns, order })
    }

    /// The parameters of `count` models from `first` on (from 1), one after the other, in place of what `out` holds.
    ///
    /// # Errors
    /// The table cannot be read.
    pub fn fill(&self, first: u32, count: usize, out: &mut Vec<f64>) -> Result<(), StepError> {
        let before = first as usize - 1;
        out.clear();
        match &self.from {
            From::Table(reader) => reader.read(before..before + count, 0..self.columns, out)?,
            From::Grid(grid) => (before..before + count).for_each(|k| grid.push(k as u64, out)),
            From::Prior(prior, draw) => {
                for model in (first..).take(count) {
                    let u = prior.sample(&mut draw.at(Purpose::Prior, 0, model));
                    out.extend(prior.constrain(&u));
                }
            }
        }
        if let Some(order) = &self.order {
            let mut row = vec![0.0; self.columns];
            for numbers in out.chunks_exact_mut(self.columns) {
                row.copy_from_slice(numbers);
                numbers.iter_mut().zip(order).for_each(|(x, &k)| *x = row[k]);
            }
        }
        Ok(())
    }
}
