//! Figures of a run, the numbers behind them, and one page that tells it.
//!
//! Reads   the run folder, also while it runs
//! Writes  `report/` in it, or the folder named with `-o`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::setup;
use ekp::report::gallery::Choice;
use ekp::report::status::View;
use ekp::report::table::count;
use ekp::report::write::{self, FORMATS, Written};
use ekp::report::{ReportError, place, runs, scaling};
use ekp::steps::grid::GridRun;

/// Figures of a run, the numbers behind them, and one page that tells it
#[derive(Debug, Parser)]
#[command(
    name = "ekp-report",
    version,
    after_help = "Examples:
  ekp-report RUN                         RUN/report/report.html, figures as SVG, their numbers as CSV
  ekp-report RUN --format svg,png,pdf    PNG of 300 dots per inch, PDF with text as text
  ekp-report RUN --truth truth.csv       beside what is known of the parameters
  ekp-report 'runs/*' -o reports         a folder for each run
  ekp-report GRID --label hmc --best     of a grid of samplers: estimates, and a gallery of the runs chosen
  ekp-report SWEEP                       cases, speed-up, efficiency of a sweep made by ekp-sweep

The page needs no network and no other file. The same run gives the same bytes."
)]
pub(crate) struct Args {
    /// Run folders, or patterns such as 'runs/*'
    #[arg(default_value = ".")]
    run: Vec<String>,
    /// Folder to write [default: `report` in the run]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Formats of the figures
    #[arg(long, value_delimiter = ',', default_value = "svg", value_parser = FORMATS.to_vec())]
    format: Vec<String>,
    /// What is known of the parameters of a calibration, as CSV: a column for each, or for each of a sounding's
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Of a grid of samplers: show runs on this target, an id or a label
    #[arg(long, value_name = "TARGET")]
    target: Vec<String>,
    /// Of a grid of samplers: show runs of this label
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// Of a grid of samplers: show the best run on each target, the least wnv with an R-hat below 1.05
    #[arg(long)]
    best: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-report", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    let roots = runs::runs(&args.run)?;
    let choice = Choice { targets: args.target.clone(), labels: args.label.clone(), best: args.best };
    for root in &roots {
        let truth = args.truth.as_deref();
        let plain = scaling::is_sweep(root) || GridRun::open_if(root)?.is_some();
        if truth.is_some() && plain {
            return Err(write::untold(&root.display().to_string()));
        }
        if scaling::is_sweep(root) {
            let folder = args.output.clone().unwrap_or_else(|| root.join("report"));
            place::folder(&folder)?;
            tell(args, &write::sweep(root, &folder, &args.format)?);
            continue;
        }
        if let Some(run) = GridRun::open_if(root)? {
            let folder = folder(args, &roots, root);
            place::folder(&folder)?;
            let named = root.display().to_string();
            tell(args, &write::grid(&run, &named, &choice, &folder, &args.format)?);
            continue;
        }
        let (run, without) = write::read(root)?;
        if choice != Choice::default() {
            return Err(ReportError::Refused {
                what: format!(
                    "`{}` is no grid: there are no runs of samplers to choose from",
                    root.display()
                ),
                hint: "leave out `--target`, `--label` and `--best`".into(),
            });
        }
        if run.experiment.forwards().is_some() {
            return Err(ReportError::Refused {
                what: format!(
                    "`{}` is a batch of forward models: there is no calibration to draw",
                    root.display()
                ),
                hint: "its statistics stand in `results/quantiles.csv`, `ekp-export` writes all of it".into(),
            });
        }
        let folder = folder(args, &roots, root);
        place::folder(&folder)?;
        let site = setup::site_of(&run).unwrap_or_default();
        let id = &run.dir.identity;
        let per_element = setup::per_element(id.members, id.pack, &site);
        let view = View { named: root.display().to_string(), per_element, jobs: None, iteration: None };
        let written = write::report(&run, &view, truth, without, &folder, &args.format)?;
        tell(args, &written);
    }
    Ok(Exit::Done)
}

/// Where the report on one of several runs goes.
fn folder(args: &Args, roots: &[PathBuf], root: &Path) -> PathBuf {
    match &args.output {
        Some(output) if roots.len() > 1 => output.join(root.file_name().unwrap_or(root.as_os_str())),
        Some(output) => output.clone(),
        None => root.join("report"),
    }
}

fn tell(args: &Args, written: &Written) {
    args.voice.warn(&written.warnings);
    cli::out(&format!("{}\n", written.page.display()));
    args.voice.say(&count(written.figures, "figure"));
}
