//! Tables of times of runs: what every member and update took, where.
//!
//! Reads   `timing.toml` of members, packs and updates
//! Writes  `results/timing_raw.csv`, of a sweep `results/scaling_{metrics,fits}.csv`, too; `platform.toml` where there is
//!         none, `accounting.csv` where the scheduler keeps accounts; with `--advise` nothing

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::setup;
use ekp::launch::site::{Job, Memory, Walltime};
use ekp::report::advise::{self, Amounts, Asked};
use ekp::report::table::count;
use ekp::report::{ReportError, accounting, place, runs, scaling, timings};
use ekp::steps::Run;

/// Tables of times of runs: what every member and update took, where
#[derive(Debug, Parser)]
#[command(
    name = "ekp-collect-timings",
    version,
    after_help = "Examples:
  ekp-collect-timings                         writes results/timing_raw.csv of the run in this folder
  ekp-collect-timings 'runs/*' -o results     one table of many runs
  ekp-collect-timings SWEEP                   also scaling_metrics.csv: speed-up, efficiency, utilisation by case
  ekp-collect-timings --advise                asked against used, lines for site.toml"
)]
pub(crate) struct Args {
    /// Run folders, or patterns such as 'runs/*'
    #[arg(default_value = ".")]
    run: Vec<String>,
    /// Folder for one table of all runs [default: RUN/results of each]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print what was asked of Slurm against what was used, and lines for site.toml with a margin of 25 %
    #[arg(long)]
    advise: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-collect-timings", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    if let [sweep] = args.run.as_slice()
        && scaling::is_sweep(Path::new(sweep))
        && !args.advise
    {
        return of_sweep(args, Path::new(sweep));
    }
    let roots = runs::runs(&args.run)?;
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = Vec::new();
    for root in &roots {
        let (mut rows, warnings) = timings::rows(root, 1)?;
        args.voice.warn(&warnings);
        if let Some(name) = rows.first().map(|row| row.experiment.clone()) {
            let index = known.entry(name).or_default();
            *index += 1;
            rows.iter_mut().for_each(|row| row.run_index = *index);
        }
        if args.output.is_none() && !args.advise {
            let folder = root.join("results");
            place::folder(&folder)?;
            told(args, &timings::write(&folder, &rows)?, rows.len());
            beside(args, &folder, root, std::slice::from_ref(root), &rows)?;
        }
        all.append(&mut rows);
    }
    if let Some(folder) = &args.output {
        place::folder(folder)?;
        told(args, &timings::write(folder, &all)?, all.len());
        beside(args, folder, folder, &roots, &all)?;
    }
    if args.advise {
        let asked = roots.first().map(|root| asked(root)).unwrap_or_default();
        match advise::advise(&all, &asked) {
            Some(advice) => cli::out(&advice.text(&asked, &Slurm)),
            None => args.voice.say("no member has run yet: nothing to compare"),
        }
    }
    Ok(Exit::Done)
}

/// Tables of a sweep: its runs by case, and what their workers gain.
fn of_sweep(args: &Args, sweep: &Path) -> Result<Exit, ReportError> {
    let folder = args.output.clone().unwrap_or_else(|| sweep.join("results"));
    args.output.as_deref().map(place::folder).transpose()?;
    let collected = scaling::write(sweep, &folder)?;
    args.voice.warn(&collected.warnings);
    beside(args, &folder, sweep, &collected.runs, &collected.rows)?;
    let cases = collected.cases;
    cli::out(&format!(
        "{}\n{}\n{}\n",
        folder.join(timings::NAME).display(),
        folder.join(scaling::NAME).display(),
        folder.join(scaling::FITS).display()
    ));
    args.voice.say(&count(cases.len(), "case"));
    Ok(Exit::Done)
}

/// What the scheduler and the machine tell, beside the times.
fn beside(
    args: &Args,
    folder: &Path,
    measured: &Path,
    runs: &[PathBuf],
    rows: &[timings::Row],
) -> Result<(), ReportError> {
    match accounting::write(folder, rows)? {
        Ok(Some(path)) => args.voice.say(&format!("accounts of the scheduler: {}", path.display())),
        Ok(None) => {}
        Err(why) => args.voice.say(&why),
    }
    let path = accounting::platform(folder, measured, runs)?;
    args.voice.detail(&format!("machine: {}", path.display()));
    Ok(())
}

fn told(args: &Args, path: &Path, rows: usize) {
    cli::out(&format!("{}\n", path.display()));
    args.voice.say(&format!("{rows} rows"));
}

/// What members ask for; a `site.toml` that cannot be read counts as one that says nothing.
fn asked(root: &Path) -> Asked {
    let Ok(run) = Run::look(root) else { return Asked { per_element: 1, ..Asked::default() } };
    let site = setup::site_of(&run).unwrap_or_default();
    let request = site.slurm.request(Job::Member);
    let id = &run.dir.identity;
    Asked {
        time_s: request.time.and_then(|time| time.0),
        mem_mib: request.mem.map(|m| m.0).filter(|&m| m > 0),
        mem_per_cpu_mib: request.mem_per_cpu.map(|m| m.0),
        cpus: request.cpus_per_task,
        per_element: setup::per_element(id.members, id.pack, &site),
    }
}

/// Amounts as `site.toml` has them.
struct Slurm;

impl Amounts for Slurm {
    fn time(&self, seconds: u64) -> String {
        Walltime::seconds(seconds).to_string()
    }
    fn memory(&self, mib: u64) -> String {
        Memory(mib).to_string()
    }
}
