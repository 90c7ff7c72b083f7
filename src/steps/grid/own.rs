//! A table that a model brings: fixed columns in a fixed order, a row for each cell of its stage, always.
//!
//! A column is filled from what the cell told under its name, else from the cell it stands on, else from what
//! every cell has: where it is, how it ended, what it cost.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::experiment::ExperimentError;
use crate::files::parquet::{self, Values};
use crate::files::{Iteration, Member, Record, RunDir, load_record, publish};
use crate::models::cell::{Kind, Row, Scalar, TableShape};
use crate::steps::StepError;
use crate::steps::grid::outcome::{OUTPUT, SECONDS};
use crate::steps::grid::table::{self, Table};
use crate::steps::grid::{GridRun, Left, parameters};
use crate::steps::timing::Timing;

/// Write the own table of a stage, where its model has one; the paths.
///
/// # Errors
/// The disk.
pub(super) fn write(run: &GridRun, left: &[Vec<Left>], stage: Iteration) -> Result<Vec<PathBuf>, StepError> {
    if run.stage(stage)?.builtin().is_none() {
        return Ok(Vec::new());
    }
    let first = run.grid.cell(stage as usize - 1, 0).map_err(ExperimentError::from)?;
    let Some(shape) = first.table() else { return Ok(Vec::new()) };
    let table = Table { columns: names(shape), rows: rows(run, left, stage, shape)? };
    let path = |ending: &str| run.dir.results().join(format!("{}.{ending}", shape.name));
    publish(&path("csv"), &table.csv())?;
    publish(&path("parquet"), &parquet(run, shape, &table))?;
    Ok(vec![path("csv"), path("parquet")])
}

/// Rows of an own table: a value for each of its columns, none where there is none.
type Rows = Vec<Vec<Option<Scalar>>>;

/// The own table of a stage, where its model has one: also of a grid under way, with whatever is there.
///
/// # Errors
/// Options that cannot be read, the disk.
pub fn table(run: &GridRun, left: &[Vec<Left>], stage: Iteration) -> Result<Option<Table>, StepError> {
    if run.stage(stage)?.builtin().is_none() {
        return Ok(None);
    }
    let first = run.grid.cell(stage as usize - 1, 0).map_err(ExperimentError::from)?;
    let Some(shape) = first.table() else { return Ok(None) };
    Ok(Some(Table { columns: names(shape), rows: rows(run, left, stage, shape)? }))
}

/// An own table: its name, its rows, the same as Parquet.
pub type Named = (&'static str, Table, Vec<u8>);

/// Every own table of a grid.
///
/// # Errors
/// As [`table`].
pub fn tables(run: &GridRun, left: &[Vec<Left>]) -> Result<Vec<Named>, StepError> {
    let mut all = Vec::new();
    for stage in run.grid.leaves() {
        let number = u32::try_from(stage + 1).unwrap_or(u32::MAX);
        let Some(table) = table(run, left, number)? else { continue };
        let first = run.grid.cell(stage, 0).map_err(ExperimentError::from)?;
        if let Some(shape) = first.table() {
            let bytes = parquet(run, shape, &table);
            all.push((shape.name, table, bytes));
        }
    }
    Ok(all)
}

fn names(shape: &TableShape) -> Vec<String> {
    shape.columns.iter().map(|(name, _)| (*name).to_owned()).collect()
}

fn parquet(run: &GridRun, shape: &TableShape, table: &Table) -> Vec<u8> {
    let values = shape.columns.iter().enumerate().map(|(k, (name, kind))| {
        ((*name).to_owned(), typed(*kind, table.rows.iter().map(|row| row[k].as_ref())))
    });
    let notes = [("ekp.table", shape.name), ("ekp.run", run.dir.identity.id.as_str())];
    parquet::table(&values.collect::<Vec<_>>(), &notes)
}

fn rows(run: &GridRun, left: &[Vec<Left>], stage: Iteration, shape: &TableShape) -> Result<Rows, StepError> {
    let facts = |stage: Iteration, cell: Member| match &left[stage as usize - 1][cell as usize - 1] {
        Left::Data(row) => row.clone(),
        _ => Row::default(),
    };
    let submitted = submitted(&run.dir)?;
    let rows = (1..=run.cells(stage)).map(|cell| {
        let found = &left[stage as usize - 1][cell as usize - 1];
        let own = facts(stage, cell);
        let before: Vec<Row> = run
            .upstream(stage, cell)
            .into_iter()
            .filter_map(|(s, cells)| if let [only] = cells.as_slice() { Some(facts(s, *only)) } else { None })
            .collect();
        let mut known = known(run, stage, cell, found);
        known.extend(queued(run, stage, cell, &submitted).map(|s| ("queue_sec", Scalar::Float(s))));
        let seconds = seconds(run, stage, cell, &own);
        let value = |(name, kind): &(&str, Kind)| {
            // The label is what the person called it, whatever its options say.
            let first = known.iter().find(|(n, v)| n == name && *n == "label" && !v.csv().is_empty());
            if let Some((_, label)) = first {
                return fitted(label.clone(), *kind);
            }
            let told = own.get(name).or_else(|| seconds.get(name));
            let told = told.or_else(|| before.iter().find_map(|row| row.get(name))).cloned();
            let value = told.or_else(|| known.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone()));
            value.and_then(|value| fitted(value, *kind))
        };
        shape.columns.iter().map(value).collect()
    });
    Ok(rows.collect())
}

/// The part of a submission's record that tells when its jobs were submitted.
#[derive(Debug, serde::Deserialize)]
struct Submission {
    time: DateTime<Utc>,
    #[serde(default)]
    jobs: BTreeMap<String, Vec<u64>>,
}

impl Record for Submission {
    const SCHEMA: &'static str = "ekp.job";
    const VERSION: u32 = 1;
}

/// When each of the run's jobs was submitted.
fn submitted(dir: &RunDir) -> Result<HashMap<u64, DateTime<Utc>>, StepError> {
    let mut all = HashMap::new();
    for number in 1.. {
        match load_record::<Submission>(&dir.job(number)) {
            Ok(s) => all.extend(s.jobs.into_values().flatten().map(|id| (id, s.time))),
            Err(e) if e.is_missing() => break,
            Err(e) => return Err(e.into()),
        }
    }
    Ok(all)
}

/// Seconds between the moment a job could have begun (it was submitted, and what its cell stands on had ended)
/// and its beginning; none without a scheduler.
fn queued(
    run: &GridRun,
    stage: Iteration,
    cell: Member,
    submitted: &HashMap<u64, DateTime<Utc>>,
) -> Option<f64> {
    let timing = |s: Iteration, c: Member| load_record::<Timing>(&run.folder(s, c).join("timing.toml")).ok();
    let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
    let own = timing(stage, cell)?;
    let mut ready = *submitted.get(&own.job.parse().ok()?)?;
    for (before, cells) in run.upstream(stage, cell) {
        for end in cells.into_iter().filter_map(|c| at(&timing(before, c)?.end)) {
            ready = ready.max(end);
        }
    }
    let waited = at(&own.start)? - ready;
    Some(waited.as_seconds_f64().max(0.0))
}

/// Seconds that a model left beside its files, and what follows from them.
fn seconds(run: &GridRun, stage: Iteration, cell: Member, own: &Row) -> Row {
    let path = run.folder(stage, cell).join(OUTPUT).join(SECONDS);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let mut row = Row::default();
    for (name, value) in table.iter().filter_map(|(k, v)| Some((k, Scalar::of(v)?))) {
        row.push(name, value);
    }
    if let (Some(Scalar::Float(ess)), Some(Scalar::Float(s))) = (own.get("ess"), row.get("sample_sec"))
        && *s > 0.0
    {
        let per = Scalar::Float(ess / s);
        row.push("ess_per_sec", per);
    }
    row
}

/// What every cell has, under the names of such tables.
fn known(run: &GridRun, stage: Iteration, cell: Member, left: &Left) -> Vec<(&'static str, Scalar)> {
    let about = table::about(run, stage, cell, left);
    let found = &run.grid.stages[stage as usize - 1];
    let mut all: Vec<(&'static str, Scalar)> = Vec::new();
    let text = |s: &str| Scalar::Text(s.to_owned());
    if let Some((s, only)) =
        run.upstream(stage, cell).first().and_then(|(s, cells)| Some((*s, *cells.first()?)))
    {
        all.push(("target_id", text(run.id(s, only))));
    }
    all.push(("run_id", text(run.id(stage, cell))));
    all.push(("label", text(&found.blocks[found.block_of(cell as usize - 1)].name)));
    // A cell that failed for want of another has failed; the message says of which.
    let diverged = matches!(left, Left::Failed(f) if f.message.contains("diverged") && f.cause == "output");
    let state = match table::state(left) {
        _ if diverged => "diverged",
        "upstream" => "failed",
        other => other,
    };
    all.push(("state", text(state)));
    for (name, theirs) in [
        ("tries", "attempt"),
        ("host", "host"),
        ("job", "job_id"),
        ("wall_s", "walltime_sec"),
        ("folder", "run_dir"),
        ("message", "error"),
    ] {
        if let Some(value) = about.get(name) {
            all.push((theirs, value.clone()));
        }
    }
    all.push(("code_version", text(env!("CARGO_PKG_VERSION"))));
    all.push(("config_hash", text(&run.dir.identity.experiment)));
    all.push(("params_toml", text(&parameters::text(run, stage, cell))));
    all
}

/// The value as its column has it; a gap where it is of another kind, or no number.
fn fitted(value: Scalar, kind: Kind) -> Option<Scalar> {
    match (kind, value) {
        (Kind::Text, Scalar::Text(text)) => Some(Scalar::Text(text)),
        (Kind::Text, other) => Some(Scalar::Text(other.csv())),
        (Kind::Int32 | Kind::Int64, Scalar::Integer(i)) => Some(Scalar::Integer(i)),
        (Kind::Int32 | Kind::Int64, Scalar::Float(x)) if x.fract() == 0.0 && x.abs() < 9e15 => {
            Some(Scalar::Integer(x as i64))
        }
        (Kind::Double, Scalar::Integer(i)) => Some(Scalar::Float(i as f64)),
        (Kind::Double, Scalar::Float(x)) if !x.is_nan() => Some(Scalar::Float(x)),
        _ => None,
    }
}

fn typed<'a>(kind: Kind, values: impl Iterator<Item = Option<&'a Scalar>>) -> Values {
    let int = |v: Option<&Scalar>| if let Some(Scalar::Integer(i)) = v { Some(*i) } else { None };
    match kind {
        Kind::Text => Values::Text(values.map(|v| v.map(Scalar::csv)).collect()),
        Kind::Int32 => Values::Int32(values.map(|v| int(v).and_then(|i| i32::try_from(i).ok())).collect()),
        Kind::Int64 => Values::Int64(values.map(int).collect()),
        Kind::Double => {
            let of = |v: Option<&Scalar>| if let Some(Scalar::Float(x)) = v { Some(*x) } else { None };
            Values::Double(values.map(of).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Members;
    use crate::machine::folder::Scratch;
    use crate::steps::grid::{cell, init, merge};
    use crate::steps::init::Request;
    use crate::steps::member::Options;

    #[test]
    fn a_model_of_ours_has_its_table_and_a_row_for_each_cell_whatever_became_of_it() {
        // Given a grid of a model that lives in this process: one of its targets fails
        let dir = Scratch::new("own-table").unwrap();
        let text = "schema = \"ekp.experiment\"\nversion = 1\nname = \"g\"\nseed = 1\n[algorithm]\nmethod = \"grid\"\n\
            [[axis]]\nname = \"seed\"\nvalues = [42, 43]\n\
            [[axis]]\nname = \"sampler\"\n[axis.options.hmc]\ndraws = 100\n[axis.options.vi]\ndraws = 10\n\
            [[stage]]\nname = \"build\"\nover = [\"seed\"]\nmodel = { builtin = \"echo\", echo = { n = 5, fails_at = 43 } }\n\
            [[stage]]\nname = \"sample\"\nafter = \"build\"\nover = [\"seed\", \"sampler\"]\nmodel = { builtin = \"echo\" }\n";
        let experiment = dir.path().join("experiment.toml");
        std::fs::write(&experiment, text).unwrap();
        let request = Request { experiment, run: Some(dir.path().join("run")), ..Request::default() };
        let prepared = init::check(&request, None).unwrap();
        init::make(&prepared, &[]).unwrap();
        let run = GridRun::open(&dir.path().join("run")).unwrap();
        // When all of it has run
        let each = |_: Member, _: &crate::steps::member::Outcome| {};
        cell::run(&run, 1, &Members::all(2), &Options::default(), &each).unwrap();
        cell::run(&run, 2, &Members::all(4), &Options { threads: 3, ..Options::default() }, &each).unwrap();
        let StepError::Cells { failed, own, .. } = merge::run(&run, false).unwrap_err() else {
            panic!("cells failed")
        };
        assert_eq!((failed, own), (3, 1));
        // Then the table has its columns and four rows: facts of the cell, of its target, of the grid
        let left = merge::all(&run).unwrap();
        let rows = rows(&run, &left, 2, &crate::models::llc_runs::TABLE).unwrap();
        let at =
            |name: &str| crate::models::llc_runs::TABLE.columns.iter().position(|(n, _)| *n == name).unwrap();
        let shown =
            |row: usize, name: &str| rows[row][at(name)].as_ref().map_or_else(String::new, Scalar::csv);
        assert_eq!(rows.len(), 4);
        assert_eq!(
            ["draws", "n", "label", "state", "error"].map(|c| shown(0, c)),
            ["100", "5", "hmc", "ok", ""]
        );
        assert_eq!(["draws", "n", "label", "state"].map(|c| shown(3, c)), ["", "", "vi", "failed"]);
        assert!(
            shown(3, "error").contains("`build` of seed=43 failed: told to fail"),
            "{}",
            shown(3, "error")
        );
        assert_eq!(shown(0, "target_id"), run.id(1, 1));
        assert!(run.dir.results().join("llc_runs.parquet").is_file());
        let csv = std::fs::read_to_string(run.dir.results().join("llc_runs.csv")).unwrap();
        assert!(csv.starts_with("target_id,run_id,sampler,label,state,attempt,model,"), "{csv}");
    }
}
