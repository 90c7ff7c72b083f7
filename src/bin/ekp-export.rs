//! One table of a run: every member of every iteration with its parameters and outputs.
//!
//! Reads   `ensemble.bin`, `update.toml`, outcomes
//! Writes  the file named with `-o`, or CSV on stdout

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::files::publish;
use ekp::report::table::count;
use ekp::report::{ReportError, batch, cells, climacalibrate, export, place};
use ekp::steps::Run;
use ekp::steps::grid::GridRun;

/// One table of a run: every member of every iteration with its parameters and outputs
#[derive(Debug, Parser)]
#[command(
    name = "ekp-export",
    version,
    after_help = "Examples:
  ekp-export RUN > table.csv
  ekp-export RUN -o table.csv
  ekp-export RUN -o table.npy      table.parameters.npy, table.outputs.npy, table.index.npy, table.toml
  ekp-export GRID -o cells.parquet           of a grid a row for each cell; `--table llc_runs`: that of its samplers
  ekp-export RUN --climacalibrate -o DIR     folders of members, G_ensemble as csv and npy, for Julia

Columns: iteration, member, state (ok, failed:CAUSE, missing; result in the last ensemble, which nobody runs),
the parameters in physical units, the outputs block[1], block[2], ...
Of a batch of forward models: model, state, parameters, outputs; npy without an index"
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// File to write [default: CSV on stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// csv, npy or parquet, of a grid csv or parquet [default: by the file's name, else csv]
    #[arg(long)]
    format: Option<String>,
    /// The whole run in the layout of ClimaCalibrate, into the folder named with `-o`
    #[arg(long, conflicts_with = "format", requires = "output")]
    climacalibrate: bool,
    /// Of a grid: which table, such as `llc_runs` [default: that of all cells]
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-export", run(&Args::parse()))
}

/// A grid: a row for each cell, whatever became of it.
fn of_grid(args: &Args, run: &GridRun) -> Result<Exit, ReportError> {
    let refused = |what: &str, hint: &str| ReportError::Refused { what: what.into(), hint: hint.into() };
    if args.climacalibrate {
        return Err(refused(
            "a grid has no ensembles, which the layout of ClimaCalibrate is made of",
            "`ekp-export GRID -o table.csv` writes its cells",
        ));
    }
    let extension =
        args.output.as_deref().and_then(Path::extension).map(|e| e.to_string_lossy().into_owned());
    let format = args.format.clone().or(extension).unwrap_or_else(|| "csv".into()).to_lowercase();
    if !["csv", "parquet"].contains(&format.as_str()) {
        return Err(refused(
            &format!("cells of a grid have words, which `{format}` cannot hold"),
            "allowed of a grid: csv, parquet",
        ));
    }
    args.output.as_deref().map(place::file).transpose()?;
    let table = cells::table(run, args.table.as_deref())?;
    let bytes = if format == "csv" { &table.csv } else { &table.parquet };
    match &args.output {
        Some(path) => {
            publish(path, bytes)?;
            cli::out(&format!("{}\n", path.display()));
        }
        None if format == "csv" => cli::out(&String::from_utf8_lossy(bytes)),
        None => return Err(refused("parquet is no text for stdout", "name it: `-o table.parquet`")),
    }
    args.voice.say(&format!("{}: {}", table.name, count(table.rows, "row")));
    Ok(Exit::Done)
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    if let Some(run) = GridRun::open_if(&args.run)? {
        return of_grid(args, &run);
    }
    if args.table.is_some() {
        return Err(ReportError::Refused {
            what: "`--table` is for grids, and this is no run of one".into(),
            hint: "leave it out: this run has one table".into(),
        });
    }
    if let (true, Some(folder)) = (args.climacalibrate, &args.output) {
        let run = Run::look(&args.run)?;
        place::folder(folder)?;
        let (table, written) = climacalibrate::write(&run, folder)?;
        args.voice.warn(&table.warnings);
        cli::out(&format!("{}\n", folder.display()));
        args.voice.say(&format!("{}, numbered from 1", count(written.len(), "iteration")));
        return Ok(Exit::Done);
    }
    // A wrong format is told before a long read.
    let extension =
        args.output.as_deref().and_then(Path::extension).map(|e| e.to_string_lossy().into_owned());
    let format = args.format.clone().or(extension).unwrap_or_else(|| "csv".into()).to_lowercase();
    if !["csv", "npy", "parquet"].contains(&format.as_str()) {
        return Err(ReportError::Format { found: format });
    }
    let refused = |what: &str, hint: &str| ReportError::Refused { what: what.into(), hint: hint.into() };
    let target = match (&args.output, format.as_str()) {
        (None, "npy") => {
            return Err(ReportError::Refused {
                what: "npy is several files, stdout is one".into(),
                hint: "name it: `-o table.npy`".into(),
            });
        }
        (None, "parquet") => {
            return Err(refused("parquet is no text for stdout", "name it: `-o table.parquet`"));
        }
        (target, _) => target,
    };
    let run = Run::look(&args.run)?;
    target.as_ref().map(|path| place::file(path)).transpose()?;
    if run.experiment.forwards().is_some() {
        let written = match (target, format.as_str()) {
            (Some(path), "npy") => batch::npy(&run, path)?,
            (Some(path), "parquet") => batch::parquet(&run, path)?,
            (target, _) => batch::csv(&run, target.as_deref())?,
        };
        args.voice.warn(&written.warnings);
        written.files.iter().for_each(|path| cli::out(&format!("{}\n", path.display())));
        args.voice.say(&count(written.rows, "model"));
        return Ok(Exit::Done);
    }
    let table = export::table(&run)?;
    args.voice.warn(&table.warnings);
    let Some(path) = target else {
        cli::out(&String::from_utf8_lossy(&export::csv(&table)?));
        return Ok(Exit::Done);
    };
    let written = match format.as_str() {
        "npy" => export::write_npy(&table, path)?,
        "parquet" => {
            publish(path, &export::parquet(&table))?;
            vec![path.clone()]
        }
        _ => {
            publish(path, &export::csv(&table)?)?;
            vec![path.clone()]
        }
    };
    for path in &written {
        cli::out(&format!("{}\n", path.display()));
    }
    args.voice.say(&format!(
        "{}, {}, {}",
        count(table.rows.len(), "row"),
        count(table.parameters.len(), "parameter"),
        count(table.outputs.len(), "output")
    ));
    Ok(Exit::Done)
}
