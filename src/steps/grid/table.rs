//! `results/NAME_runs.csv` and `.parquet`: a row for each cell, whatever became of it.
//!
//! Columns: what the cell is, how it ended, where and at what cost it ran, then every fact that any cell told. A
//! cell of a later stage also has the facts of the one cell before it, named `STAGE.FACT`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::files::parquet::{self, Values};
use crate::files::{FileError, Iteration, Member, load_record, publish};
use crate::models::cell::{Row, Scalar};
use crate::steps::StepError;
use crate::steps::grid::{GridRun, Left, own};
use crate::steps::timing::Timing;

/// Columns before the labels.
const HEAD: [&str; 3] = ["stage", "cell", "id"];
/// Columns behind the labels.
const END: [&str; 13] = [
    "state",
    "cause",
    "message",
    "tries",
    "host",
    "job",
    "start",
    "wall_s",
    "cpu_s",
    "peak_rss_mb",
    "threads",
    "folder",
    "log",
];

/// How a cell ended, in a word: ok, failed, timeout, missing, or upstream for want of another.
pub fn state(left: &Left) -> &'static str {
    match left {
        Left::Data(_) => "ok",
        Left::Failed(f) => match f.cause.as_str() {
            "timeout" => "timeout",
            "lost" => "missing",
            "upstream" => "upstream",
            _ => "failed",
        },
        Left::Missing | Left::Defective { .. } => "missing",
    }
}

/// A table: names of columns, and rows of values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Names
    pub columns: Vec<String>,
    /// A value for each name; none where there is none
    pub rows: Vec<Vec<Option<Scalar>>>,
}

impl Table {
    /// As CSV.
    pub fn csv(&self) -> Vec<u8> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let cell = |value: &Option<Scalar>| value.as_ref().map_or_else(String::new, Scalar::csv);
        // Writing into memory does not fail.
        let _ = out.write_record(&self.columns);
        for row in &self.rows {
            let _ = out.write_record(row.iter().map(cell));
        }
        out.into_inner().unwrap_or_default()
    }
}

impl Table {
    /// As Parquet: a column of one type each, gaps are nulls.
    pub fn parquet(&self, notes: &[(&str, &str)]) -> Vec<u8> {
        let column =
            |(k, name): (usize, &String)| (name.clone(), typed(self.rows.iter().map(|row| row[k].as_ref())));
        let columns: Vec<(String, Values)> = self.columns.iter().enumerate().map(column).collect();
        parquet::table(&columns, notes)
    }
}

/// The narrowest type that holds all values of a column; where they are of several kinds, text.
fn typed<'a>(values: impl Iterator<Item = Option<&'a Scalar>> + Clone) -> Values {
    let there = || values.clone().flatten();
    if there().next().is_some() && there().all(|v| matches!(v, Scalar::Bool(_))) {
        let of = |v: &Scalar| if let Scalar::Bool(b) = v { Some(*b) } else { None };
        return Values::Bool(values.map(|v| v.and_then(of)).collect());
    }
    if there().next().is_some() && there().all(|v| matches!(v, Scalar::Integer(_))) {
        let of = |v: &Scalar| if let Scalar::Integer(i) = v { Some(*i) } else { None };
        return Values::Int64(values.map(|v| v.and_then(of)).collect());
    }
    if there().next().is_some() && there().all(|v| matches!(v, Scalar::Integer(_) | Scalar::Float(_))) {
        let of = |v: &Scalar| match v {
            Scalar::Integer(i) => Some(*i as f64),
            Scalar::Float(x) => Some(*x).filter(|x| !x.is_nan()),
            _ => None,
        };
        return Values::Double(values.map(|v| v.and_then(of)).collect());
    }
    Values::Text(values.map(|v| v.map(Scalar::csv)).collect())
}

/// The table of all cells as Parquet.
pub fn parquet_of(run: &GridRun, table: &Table) -> Vec<u8> {
    table.parquet(&[("ekp.schema", "ekp.cells 1"), ("ekp.run", &run.dir.identity.id)])
}

/// Write the tables; their paths, the first one the table of all cells.
///
/// # Errors
/// The disk.
pub fn write(run: &GridRun, left: &[Vec<Left>]) -> Result<Vec<PathBuf>, StepError> {
    let folder = run.dir.results();
    std::fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    let table = all(run, left);
    let csv = folder.join(format!("{}_runs.csv", run.grid.name));
    publish(&csv, &table.csv())?;
    let parquet = folder.join(format!("{}_runs.parquet", run.grid.name));
    publish(&parquet, &parquet_of(run, &table))?;
    let mut paths = vec![csv, parquet];
    for stage in run.grid.leaves() {
        paths.extend(own::write(run, left, u32::try_from(stage + 1).unwrap_or(u32::MAX))?);
    }
    Ok(paths)
}

/// The table of all cells.
pub fn all(run: &GridRun, left: &[Vec<Left>]) -> Table {
    let axes: Vec<&str> = run.grid.axes.iter().map(|axis| axis.name.as_str()).collect();
    let mut rows: Vec<BTreeMap<String, Scalar>> = Vec::new();
    let mut facts: Vec<String> = Vec::new();
    for (stage, cells) in (1..).zip(left) {
        for (cell, found) in (1..).zip(cells) {
            let mut row = about(run, stage, cell, found);
            for (name, value) in told(run, left, stage, cell) {
                if !facts.contains(&name) {
                    facts.push(name.clone());
                }
                row.insert(format!("fact {name}"), value);
            }
            rows.push(row);
        }
    }
    let columns: Vec<&str> = HEAD.iter().chain(&axes).chain(&END).copied().collect();
    let key = |name: &String| format!("fact {name}");
    let rows = rows
        .into_iter()
        .map(|row| {
            let fixed = columns.iter().map(|name| row.get(*name).cloned());
            fixed.chain(facts.iter().map(|name| row.get(&key(name)).cloned())).collect()
        })
        .collect();
    let columns =
        columns.into_iter().map(str::to_owned).chain(facts.iter().map(|name| column(name, &axes))).collect();
    Table { columns, rows }
}

/// A fact that has the name of another column gets a name of its own.
fn column(name: &str, axes: &[&str]) -> String {
    let taken = HEAD.contains(&name) || END.contains(&name) || axes.contains(&name);
    if taken { format!("{name}_told") } else { name.to_owned() }
}

/// What a cell is and how it ended.
pub(super) fn about(run: &GridRun, stage: Iteration, cell: Member, left: &Left) -> BTreeMap<String, Scalar> {
    let found = &run.grid.stages[stage as usize - 1];
    let folder = run.folder(stage, cell);
    let (_, err) = run.logs(stage, cell);
    let here = |path: &std::path::Path| {
        Scalar::Text(path.strip_prefix(run.dir.root()).unwrap_or(path).display().to_string())
    };
    let mut row = BTreeMap::new();
    let mut put = |name: &str, value: Scalar| {
        row.insert(name.to_owned(), value);
    };
    put("stage", Scalar::Text(found.name.clone()));
    put("cell", Scalar::Integer(cell.into()));
    put("id", Scalar::Text(run.id(stage, cell).to_owned()));
    for (axis, label) in found.labels(&run.grid.axes, cell as usize - 1) {
        put(axis, Scalar::Text(label.to_owned()));
    }
    put("state", Scalar::Text(state(left).into()));
    put("folder", here(&folder));
    put("log", here(&err));
    match left {
        Left::Failed(f) => {
            put("cause", Scalar::Text(f.cause.clone()));
            put("message", Scalar::Text(f.message.replace('\n', " ")));
            put("tries", Scalar::Integer(f.attempt.into()));
        }
        Left::Missing => put("cause", Scalar::Text("no outcome".into())),
        Left::Defective { file, defect } => {
            put("cause", Scalar::Text("no outcome".into()));
            put("message", Scalar::Text(format!("`{file}`: {defect}")));
        }
        Left::Data(_) => {}
    }
    if let Ok(timing) = load_record::<Timing>(&folder.join("timing.toml")) {
        put("host", Scalar::Text(timing.host));
        if !timing.job.is_empty() {
            put("job", Scalar::Text(timing.job));
        }
        put("start", Scalar::Text(timing.start));
        put("wall_s", Scalar::Float(timing.wall_s));
        put("cpu_s", Scalar::Float(timing.cpu_s));
        put("peak_rss_mb", Scalar::Float(timing.peak_rss_mb));
        put("threads", Scalar::Integer(timing.threads.into()));
        if matches!(left, Left::Data(_)) {
            put("tries", Scalar::Integer(timing.attempt.into()));
        }
    }
    row
}

/// Facts of a cell: its own, and those of the only cell it stands on.
fn told(run: &GridRun, left: &[Vec<Left>], stage: Iteration, cell: Member) -> Vec<(String, Scalar)> {
    let own = |stage: Iteration, cell: Member| -> &[(String, Scalar)] {
        match &left[stage as usize - 1][cell as usize - 1] {
            Left::Data(Row { facts, .. }) => facts,
            _ => &[],
        }
    };
    let mut all = own(stage, cell).to_vec();
    for (before, cells) in run.upstream(stage, cell) {
        if let [only] = cells.as_slice() {
            let name = &run.grid.stages[before as usize - 1].name;
            all.extend(
                own(before, *only).iter().map(|(fact, value)| (format!("{name}.{fact}"), value.clone())),
            );
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_has_the_type_that_holds_all_it_has() {
        let of = |values: &[Option<Scalar>]| typed(values.iter().map(Option::as_ref));
        let (int, float) = (Some(Scalar::Integer(3)), Some(Scalar::Float(0.5)));
        assert_eq!(of(&[int.clone(), None]), Values::Int64(vec![Some(3), None]));
        assert_eq!(
            of(&[int.clone(), float.clone(), Some(Scalar::Float(f64::NAN))]),
            Values::Double(vec![Some(3.0), Some(0.5), None])
        );
        assert_eq!(of(&[Some(Scalar::Bool(true))]), Values::Bool(vec![Some(true)]));
        let mixed = of(&[int, Some(Scalar::Text("a".into())), None]);
        assert_eq!(mixed, Values::Text(vec![Some("3".into()), Some("a".into()), None]));
        assert_eq!(of(&[None]), Values::Text(vec![None]));
    }
}
