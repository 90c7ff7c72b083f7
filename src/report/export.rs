//! One table of a run: a row for each member of each iteration, with parameters and outputs.
//!
//! Parameters are physical values, made from `ensemble.bin`, so members whose folders are gone have them, too.
//! Belongs here: the table, as CSV and as arrays. Not here: which rows are good (the update decided that).

use std::path::{Path, PathBuf};

use crate::files::parquet::{self, Values};
use crate::files::{FileError, Iteration, Record, TomlText, digest, load_record, load_state, npy, publish};
use crate::problem::Ensemble;
use crate::report::ReportError;
use crate::report::table::count;
use crate::steps::outcomes::{self, Left};
use crate::steps::parameters::ENSEMBLE;
use crate::steps::{Run, Update, best, due};

/// A table of a whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Id of the run
    pub run: String,
    /// Name of the experiment
    pub name: String,
    /// Names of the parameters: `amplitude`, `mixing[2]`
    pub parameters: Vec<String>,
    /// Names of the outputs: `mean[1]`
    pub outputs: Vec<String>,
    /// In the order iteration, member
    pub rows: Vec<Row>,
    /// What a person should know
    pub warnings: Vec<String>,
}

/// A member of an iteration.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Iteration
    pub iteration: Iteration,
    /// Member, from 1
    pub member: u32,
    /// `ok`, `failed:CAUSE`, `missing`; `result` in the last ensemble, which nobody runs
    pub state: String,
    /// Physical values
    pub parameters: Vec<f64>,
    /// All blocks, one after the other; none without an outcome
    pub outputs: Option<Vec<f64>>,
}

/// `ekp.export`: names the arrays of a table.
#[derive(Debug, serde::Deserialize)]
pub struct Arrays {
    /// Each of them
    pub array: Vec<Array>,
}

/// An array beside its record.
#[derive(Debug, serde::Deserialize)]
pub struct Array {
    /// File name, in the record's folder
    pub file: String,
    /// Of the whole file
    pub checksum: String,
}

impl Record for Arrays {
    const SCHEMA: &'static str = "ekp.export";
    const VERSION: u32 = 1;
}

/// Read a run.
///
/// # Errors
/// An ensemble that is damaged, the disk.
pub fn table(run: &Run) -> Result<Table, ReportError> {
    let id = &run.dir.identity;
    let prior = run.prior()?;
    let stop = due::stopped(run)?;
    let end = match &stop {
        Some(stop) => stop.last,
        None => run.end()?,
    };
    let mut table = Table {
        run: id.id.clone(),
        name: id.name.clone(),
        parameters: prior.row_names(),
        outputs: id
            .blocks
            .iter()
            .zip(&id.lengths)
            .flat_map(|(b, &n)| (1..=n).map(move |k| format!("{b}[{k}]")))
            .collect(),
        rows: Vec::new(),
        warnings: Vec::new(),
    };
    if run.dir.leaderless() {
        return trials(run, table);
    }
    let physical = |u: &[f64]| if run.dir.budget() > 0 { u.to_vec() } else { prior.physical(u) };
    let mut iteration = id.first_iteration;
    while run.dir.iteration(iteration).is_dir() && iteration <= end {
        let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
        let update: Option<Update> = match load_record(&run.dir.update(iteration)) {
            Ok(update) => Some(update),
            Err(e) if e.is_missing() => None,
            Err(e) => return Err(e.into()),
        };
        let gathered =
            if iteration == end { None } else { Some(outcomes::gather(run, &prior, &ensemble, iteration)?) };
        let places = if gathered.is_some() { places(run, iteration)? } else { Vec::new() };
        let mut gone = 0;
        for member in 1..=u32::try_from(ensemble.u.ncols()).unwrap_or(u32::MAX) {
            let j = member as usize - 1;
            let used = update.as_ref().and_then(|u| u.outcomes.get(j));
            let left = gathered.as_ref().map(|g| (&g.left[j], g.g.col(j)));
            let (state, outputs) = state(left, used.map(String::as_str));
            let outputs = outputs.map(|values| spread(&values, &places, table.outputs.len()));
            gone += usize::from(state == "ok" && outputs.is_none());
            let parameters = physical(ensemble.u.col(j));
            table.rows.push(Row { iteration, member, state, parameters, outputs });
        }
        if gone > 0 {
            let name = run.dir.iteration_name(iteration);
            let gone = count(gone, "member");
            table.warnings.push(format!("the outputs of {gone} of `{name}` are gone: their cells are empty"));
        }
        iteration += 1;
    }
    Ok(table)
}

/// A search without a coordinator: a row for each trial that has ended, with its score.
fn trials(run: &Run, mut table: Table) -> Result<Table, ReportError> {
    let first = run.dir.identity.first_iteration;
    table.outputs = run.experiment.searching().map_or_else(Vec::new, |s| s.score.names.clone());
    for (member, parameters, outputs) in best::trials(run)? {
        let state = if outputs.is_some() { "ok" } else { "failed" }.to_owned();
        table.rows.push(Row { iteration: first, member, state, parameters, outputs });
    }
    Ok(table)
}

/// The column of each number that the members of an iteration give; of a series they give a batch.
fn places(run: &Run, iteration: Iteration) -> Result<Vec<usize>, ReportError> {
    let (id, asked) = (&run.dir.identity, run.asked(iteration)?);
    let mut first = std::collections::BTreeMap::new();
    let mut column = 0;
    for (name, n) in id.blocks.iter().zip(&id.lengths) {
        first.insert(name, column);
        column += n;
    }
    let block = |(name, &n): (&String, &usize)| {
        let from = first.get(name).copied().unwrap_or(column);
        from..from + n
    };
    Ok(asked.blocks.iter().zip(asked.lengths.iter()).flat_map(block).collect())
}

/// What was not asked for is NaN.
fn spread(values: &[f64], places: &[usize], columns: usize) -> Vec<f64> {
    let mut row = vec![f64::NAN; columns];
    for (&value, &column) in values.iter().zip(places) {
        if let Some(cell) = row.get_mut(column) {
            *cell = value;
        }
    }
    row
}

/// State and outputs of a member; where the update has decided, its word counts.
fn state(left: Option<(&Left, &[f64])>, used: Option<&str>) -> (String, Option<Vec<f64>>) {
    let failed = |cause: &str| (format!("failed:{cause}"), None);
    match (left, used) {
        (None, _) => ("result".into(), None),
        (_, Some(mark)) if mark.starts_with("failed: ") => failed(&mark["failed: ".len()..]),
        (Some((Left::Data { .. }, values)), _) => ("ok".into(), Some(values.to_vec())),
        (Some(_), Some(_)) => ("ok".into(), None),
        (Some((Left::Failed { cause, .. }, _)), None) => failed(cause),
        (Some((Left::Missing(_), _)), None) => ("missing".into(), None),
    }
}

/// The table as CSV: floats in the shortest form that reads back the same, empty cells without an outcome.
///
/// # Errors
/// None that a disk could make; kept for the writer's sake.
pub fn csv(table: &Table) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong =
        |e: csv::Error| FileError::Invalid { path: "the table".into(), kind: "table", why: e.to_string() };
    let head = ["iteration", "member", "state"].map(str::to_owned);
    writer.write_record(head.iter().chain(&table.parameters).chain(&table.outputs)).map_err(wrong)?;
    for row in &table.rows {
        let mut cells = vec![row.iteration.to_string(), row.member.to_string(), row.state.clone()];
        cells.extend(row.parameters.iter().map(|x| format!("{x:?}")));
        match &row.outputs {
            Some(outputs) => cells.extend(outputs.iter().map(|x| format!("{x:?}"))),
            None => cells.extend(std::iter::repeat_n(String::new(), table.outputs.len())),
        }
        writer.write_record(&cells).map_err(wrong)?;
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new("the table"))(e.into_error()))?)
}

/// The table as Parquet: the columns of the CSV with types; what is missing is null.
pub fn parquet(table: &Table) -> Vec<u8> {
    let rows = &table.rows;
    let number = |n: u32| i32::try_from(n).ok();
    let mut columns = vec![
        ("iteration".to_owned(), Values::Int32(rows.iter().map(|r| number(r.iteration)).collect())),
        ("member".to_owned(), Values::Int32(rows.iter().map(|r| number(r.member)).collect())),
        ("state".to_owned(), Values::Text(rows.iter().map(|r| Some(r.state.clone())).collect())),
    ];
    for (k, name) in table.parameters.iter().enumerate() {
        columns.push((
            name.clone(),
            Values::Double(rows.iter().map(|r| r.parameters.get(k).copied()).collect()),
        ));
    }
    for (k, name) in table.outputs.iter().enumerate() {
        let cell = |r: &Row| r.outputs.as_ref().and_then(|all| all.get(k).copied());
        columns.push((name.clone(), Values::Double(rows.iter().map(cell).collect())));
    }
    parquet::table(&columns, &[("run", &table.run), ("name", &table.name)])
}

/// Three arrays of doubles, a row per row of the table, and the TOML record that names them, written last:
/// for `table.npy` the files `table.parameters.npy`, `table.outputs.npy`, `table.index.npy` and `table.toml`.
///
/// # Errors
/// The disk.
pub fn write_npy(table: &Table, path: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let n = table.rows.len();
    let mut states: Vec<&str> = table.rows.iter().map(|row| row.state.as_str()).collect();
    states.sort_unstable();
    states.dedup();
    let code = |state: &str| states.iter().position(|s| *s == state).unwrap_or_default() as f64;
    let parameters: Vec<f64> = table.rows.iter().flat_map(|row| row.parameters.iter().copied()).collect();
    let none = vec![f64::NAN; table.outputs.len()];
    let outputs: Vec<f64> =
        table.rows.iter().flat_map(|row| row.outputs.as_ref().unwrap_or(&none).iter().copied()).collect();
    let index: Vec<f64> = table
        .rows
        .iter()
        .flat_map(|row| [f64::from(row.iteration), f64::from(row.member), code(&row.state)])
        .collect();
    let head = ["iteration", "member", "state"].map(str::to_owned).to_vec();
    let arrays = [
        ("parameters", &table.parameters, parameters),
        ("outputs", &table.outputs, outputs),
        ("index", &head, index),
    ];
    let stem = path.file_stem().map_or_else(|| "table".into(), |s| s.to_string_lossy().into_owned());
    let mut text = TomlText::record::<Arrays>(&format!(
        "ekp export: every member of every iteration of `{}`, a row each, in three arrays of the same row order.\n\
         parameters are physical values; outputs are NaN where a member has none.\n\
         The third column of index counts, from 0, in `states`.",
        table.name
    ));
    text.text("run", &table.run).texts("states", &states);
    let mut written = Vec::new();
    for (name, columns, data) in arrays {
        let file = format!("{stem}.{name}.npy");
        let bytes = npy::write(&[n, columns.len()], &data);
        let target = path.with_file_name(&file);
        publish(&target, &bytes)?;
        written.push(target);
        text.raw("").raw("[[array]]");
        text.text("name", name)
            .text("file", &file)
            .raw(&format!("shape = [{n}, {}]", columns.len()))
            .text("dtype", "<f8")
            .text("checksum", &digest(&bytes))
            .texts("columns", columns);
    }
    let record = path.with_file_name(format!("{stem}.toml"));
    publish(&record, text.finish().as_bytes())?;
    written.push(record);
    Ok(written)
}
