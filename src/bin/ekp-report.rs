//! Figures of a run, the numbers behind them, and one page that tells it.
//!
//! Reads   the run folder, also while it runs
//! Writes  `report/` in it, or the folder named with `-o`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::setup;
use ekp::report::status::View;
use ekp::report::table::count;
use ekp::report::write::{self, FORMATS, Written};
use ekp::report::{ReportError, runs, scaling};
use ekp::steps::Run;
use ekp::steps::grid::GridRun;

/// Figures of a run, the numbers behind them, and one page that tells it
#[derive(Debug, Parser)]
#[command(
    name = "ekp-report",
    version,
    after_help = "Examples:
  ekp-report RUN                         RUN/report/report.html, figures as SVG, their numbers as CSV
  ekp-report RUN --format svg,png,pdf    PNG of 300 dots per inch, PDF with text as text
  ekp-report 'runs/*' -o reports         a folder for each run
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
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-report", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    let roots = runs::runs(&args.run)?;
    for root in &roots {
        if scaling::is_sweep(root) {
            let folder = args.output.clone().unwrap_or_else(|| root.join("report"));
            tell(args, &write::sweep(root, &folder, &args.format)?);
            continue;
        }
        if GridRun::open_if(root)?.is_some() {
            return Err(ReportError::Refused {
                what: format!("`{}` is a grid: figures of grids are not there yet", root.display()),
                hint: "its table is in `results/`; `ekp-status` shows its stages".into(),
            });
        }
        let run = Run::open(root)?;
        if run.experiment.forwards().is_some() {
            return Err(ReportError::Refused {
                what: format!(
                    "`{}` is a batch of forward models: there is no calibration to draw",
                    root.display()
                ),
                hint: "its statistics stand in `results/quantiles.csv`, `ekp-export` writes all of it".into(),
            });
        }
        let folder = match &args.output {
            Some(output) if roots.len() > 1 => output.join(root.file_name().unwrap_or(root.as_os_str())),
            Some(output) => output.clone(),
            None => run.dir.top("report"),
        };
        let site = setup::site_of(&run).unwrap_or_default();
        let id = &run.dir.identity;
        let per_element = setup::per_element(id.members, id.pack, &site);
        let view = View { named: root.display().to_string(), per_element, jobs: None, iteration: None };
        let written = write::report(&run, &view, &folder, &args.format)?;
        tell(args, &written);
    }
    Ok(Exit::Done)
}

fn tell(args: &Args, written: &Written) {
    args.voice.warn(&written.warnings);
    cli::out(&format!("{}\n", written.page.display()));
    args.voice.say(&count(written.figures, "figure"));
}
