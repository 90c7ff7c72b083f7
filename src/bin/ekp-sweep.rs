//! Make a sweep: one run for each case, and scripts that carry all of them out.
//!
//! Reads   `sweep.toml`, or a folder of sweeps; the experiments and sites they name
//! Writes  `DIR/`: a run folder for each case, `sweep.tsv`, `submit_all.sbatch`, `Makefile`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::experiment::sweep::Sweep;
use ekp::experiment::{ExperimentError, load};
use ekp::explain::Exit;
use ekp::files::FileError;
use ekp::launch::{LaunchError, setup, sweep};
use ekp::report::table::count;
use ekp::steps::StepError;

/// Make a sweep: one run for each case, and scripts that carry all of them out
#[derive(Debug, Parser)]
#[command(
    name = "ekp-sweep",
    version,
    after_help = "Examples:
  ekp-sweep sweep.toml study               study/CASE for each case; then  make -C study
  ekp-sweep sweep.toml study --dry-run     its cases and what they cost; makes nothing
  ekp-sweep scaling/ study --platform hpc  all sweeps of a folder; then  cd study && sbatch submit_all.sbatch
  ekp-sweep scaling/ study --part 1,3 --only 'strong_*'"
)]
pub(crate) struct Args {
    /// A sweep, or a folder whose subfolders hold a `sweep.toml` each
    #[arg(default_value = "sweep.toml")]
    sweep: PathBuf,
    /// Folder to make [default: `runs` beside the sweep]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Cases and values of a platform of the file
    #[arg(long, value_name = "NAME")]
    platform: Option<String>,
    /// Only cases whose names fit the pattern
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Only these parts of a folder of sweeps
    #[arg(long, value_delimiter = ',', value_name = "N")]
    part: Vec<u32>,
    /// Show cases and what they cost; make nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-sweep", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, LaunchError> {
    let sweeps = sweeps(args)?;
    let beside = if args.sweep.is_dir() { args.sweep.clone() } else { folder_of(&args.sweep).to_owned() };
    let folder = args.folder.clone().unwrap_or_else(|| beside.join("runs"));
    if args.dry_run {
        let (mut members, mut costs) = (0, sweep::Costs::default());
        for one in &sweeps {
            let swept = sweep::check(one, &folder)?;
            swept.lines.iter().for_each(|line| cli::out(&format!("{line}\n")));
            args.voice.warn(&swept.warnings());
            members += swept.members;
            costs.plus(&swept.costs);
        }
        args.voice.say(&format!(
            "{} in all, at most {}",
            count(cases(&sweeps), "case"),
            count(usize::try_from(members).unwrap_or(usize::MAX), "member")
        ));
        costs.lines().iter().for_each(|line| args.voice.say(line));
        return Ok(Exit::Done);
    }
    let swept = sweep::make(&sweeps, &folder, &setup::made_by())?;
    args.voice.warn(&swept.warnings());
    cli::out(&format!("{}\n", folder.display()));
    let shown = setup::shown(&folder);
    args.voice.say(&format!(
        "{}, {} new\nnext:  make -C {shown}                        on this machine\n\
         or:    cd {shown} && sbatch submit_all.sbatch",
        count(swept.cases, "case"),
        swept.new
    ));
    Ok(Exit::Done)
}

fn cases(sweeps: &[Sweep]) -> usize {
    sweeps.iter().map(|sweep| sweep.cases.len()).sum()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

/// The sweeps asked for, by part and name, with the cases asked for.
fn sweeps(args: &Args) -> Result<Vec<Sweep>, LaunchError> {
    let paths = if args.sweep.is_dir() { within(&args.sweep)? } else { vec![args.sweep.clone()] };
    let only = args.only.as_deref().map(glob::Pattern::new).transpose().map_err(|e| {
        refused(format!("`--only` is no pattern: {e}"), "`*` stands for any text, as in `--only 'strong_*'`")
    })?;
    let mut all = Vec::new();
    for path in &paths {
        if !path.exists() {
            return Err(refused(
                format!("there is no sweep `{}`", path.display()),
                "name the file, or a folder of sweeps: `ekp-sweep sweep.toml`",
            ));
        }
        let document = load(path).map_err(StepError::from)?;
        let read = Sweep::read(&document, folder_of(path), args.platform.as_deref());
        let mut sweep = read.map_err(|e| StepError::from(ExperimentError::from(e)))?;
        if !args.part.is_empty() && !args.part.contains(&sweep.part) {
            continue;
        }
        sweep.cases.retain(|case| only.as_ref().is_none_or(|p| p.matches(&case.name)));
        if !sweep.cases.is_empty() {
            all.push(sweep);
        }
    }
    all.sort_by_key(|sweep| sweep.part);
    if all.is_empty() {
        return Err(refused(
            "no case is left".into(),
            "`--only` and `--part` choose among the cases that `--dry-run` lists",
        ));
    }
    Ok(all)
}

/// `*/sweep.toml` of a folder.
fn within(folder: &Path) -> Result<Vec<PathBuf>, LaunchError> {
    let entries = std::fs::read_dir(folder).map_err(FileError::io("read", folder))?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|e| e.path().join("sweep.toml")).filter(|path| path.is_file()).collect();
    found.sort();
    if found.is_empty() {
        return Err(refused(
            format!("`{}` holds no sweeps", folder.display()),
            "a folder of sweeps has `NAME/sweep.toml` in it",
        ));
    }
    Ok(found)
}

fn refused(what: String, hint: &str) -> LaunchError {
    StepError::Refused { what, hint: hint.into() }.into()
}
