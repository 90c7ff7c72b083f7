//! Make a run folder from one experiment file.
//!
//! Reads   `experiment.toml` and the files it names, `site.toml`
//! Writes  `RUN/` with copies and scripts; prints its path

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::{LaunchError, grid, setup, test_only};
use ekp::steps::extend;
use ekp::steps::grid::{self as grid_steps, GridRun};
use ekp::steps::init::{self, Made, Prepared, Request};
use ekp::steps::{Run, StepError};

/// Make a run folder from one experiment file
#[derive(Debug, Parser)]
#[command(
    name = "ekp-init",
    version,
    after_help = "Examples:
  ekp-init --new etki my_study          starter files in the folder my_study; also dds, forward, grid, sweep
  ekp-init my_study/experiment.toml     makes my_study/runs/<name> and says what to type next
  ekp-init --check experiment.toml      only look for faults
  ekp-init --try experiment.toml        run the model once, at the centre of the prior
  ekp-init --extend iterations=20 RUN   more iterations for a run
  ekp-init --extend budget=2000 RUN     more evaluations for a search
  ekp-init --extend step=0.5 RUN        another length for the steps to come
  ekp-init --adopt output experiment.toml RUN      go on with what EKP.jl or ClimaCalibrate left in output"
)]
pub(crate) struct Args {
    /// The experiment, or its folder [default: experiment.toml]; with --new the folder to make, with --extend the run
    experiment: Option<PathBuf>,
    /// The run folder to make [default: runs/<name> beside the experiment]
    run: Option<PathBuf>,
    /// Change a value of the experiment: `algorithm.members=40`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The machine: partition, account, modules [default: site.toml beside the experiment]
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Check everything (where Slurm is, also that it takes the jobs), make nothing
    #[arg(long, conflicts_with_all = ["try_", "new", "extend"])]
    check: bool,
    /// Run one member at the centre of the prior through the real command; publish nothing
    #[arg(long = "try", conflicts_with_all = ["new", "extend"])]
    try_: bool,
    /// Write starter files for this method, or for a `sweep`, into the folder given
    #[arg(long, value_name = "METHOD", conflicts_with = "extend")]
    new: Option<String>,
    /// Give the run (named in place of the experiment) more iterations, `iterations=20`; a search more evaluations,
    /// `budget=2000`; or, where the scheduler is `mutable`, another step length, `step=0.5`
    #[arg(long, value_name = "KEY=VALUE")]
    extend: Option<String>,
    /// Start from an ensemble of another run: `RUN:3`
    #[arg(long, value_name = "RUN:N")]
    from: Option<String>,
    /// Go on from a folder of EKP.jl or ClimaCalibrate: its iterations become the first ones of the run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["from", "try_", "new", "extend"])]
    adopt: Option<PathBuf>,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-init", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, LaunchError> {
    if let Some(method) = &args.new {
        return starter(args, method);
    }
    if let Some(extension) = &args.extend {
        return extend(args, extension);
    }
    let mut experiment = args.experiment.clone().unwrap_or_else(|| "experiment.toml".into());
    if experiment.is_dir() {
        experiment.push("experiment.toml");
    }
    if let Some(run) = run_folder(&experiment) {
        return again(args, run);
    }
    let mut request = Request {
        experiment: experiment.clone(),
        run: args.run.clone(),
        settings: args.set.clone(),
        from: None,
        adopt: args.adopt.clone(),
    };
    if grid_steps::init::asked(&request) {
        return of_grid(args, &request);
    }
    request.from = args.from.as_deref().map(fork).transpose()?;
    if args.check {
        let site = setup::site(args.site.as_deref(), &experiment)?;
        let prepared = init::check(&request)?;
        setup::context(&prepared, &site, "")?;
        args.voice.warn(&prepared.warnings);
        args.voice.say(&setup::summary(&prepared));
        adopted(args, &prepared);
        told(args, &test_only::test_only(&prepared, &site)?);
        return Ok(Exit::Done);
    }
    if args.try_ {
        let site = setup::site(args.site.as_deref(), &experiment)?;
        let prepared = init::check(&request)?;
        args.voice.warn(&prepared.warnings);
        let (report, good) = setup::try_once(&prepared, &site)?;
        args.voice.say(&report);
        return Ok(if good { Exit::Done } else { Exit::Failed });
    }
    let (prepared, made) = setup::make(&request, args.site.as_deref(), &setup::made_by())?;
    args.voice.warn(&prepared.warnings);
    let root = prepared.root.display();
    match made {
        Made::New => {
            args.voice.say(&format!("made `{root}`: {}", setup::summary(&prepared)));
            adopted(args, &prepared);
        }
        Made::Same => args.voice.say("the run is there already, with this experiment: nothing changed"),
        Made::Refreshed => {
            args.voice.say("the run is there already, with this experiment: scripts and site written anew")
        }
    }
    let run = Run::look(&prepared.root)?;
    args.voice.warn(run.other_tools().as_slice());
    cli::out(&format!("{root}\n"));
    args.voice.say(&setup::next_steps(&prepared, &setup::site_of(&run)?));
    Ok(Exit::Done)
}

/// The same for a grid.
fn of_grid(args: &Args, request: &Request) -> Result<Exit, LaunchError> {
    if args.try_ || args.adopt.is_some() {
        let hint = "`--check` looks for faults; `ekp-run-member RUN -i 1 -m 1` runs the first cell";
        return Err(refused("`--try` and `--adopt` are not for grids".into(), hint));
    }
    // A grid has no iterations to begin from: finished cells come over by what they are.
    let from = args.from.as_deref().map(Path::new);
    if args.check {
        let site = setup::site(args.site.as_deref(), &request.experiment)?;
        let prepared = grid_steps::init::check(request, from)?;
        args.voice.warn(&prepared.warnings);
        args.voice.warn(&grid::setup::strange(&prepared.grid, &site));
        args.voice.say(&grid::setup::summary(&prepared.grid));
        told(args, &grid::setup::test_only(&prepared, &site)?);
        return Ok(Exit::Done);
    }
    let made_by = setup::made_by();
    let (prepared, made, brought) = grid::setup::make(request, from, args.site.as_deref(), &made_by)?;
    args.voice.warn(&prepared.warnings);
    let root = &prepared.root;
    match made {
        Made::New => {
            args.voice.say(&format!("made `{}`: {}", root.display(), grid::setup::summary(&prepared.grid)));
            if from.is_some() {
                args.voice.say(&format!("{brought} finished cells came over: they do not run again"));
            }
        }
        Made::Same => args.voice.say("the run is there already, with this experiment: nothing changed"),
        Made::Refreshed => {
            args.voice.say("the run is there already, with this experiment: scripts and site written anew")
        }
    }
    cli::out(&format!("{}\n", root.display()));
    let run = GridRun::open(root)?;
    args.voice.say(&grid::setup::next_steps(root, &setup::site_of_dir(&run.dir)?));
    Ok(Exit::Done)
}

/// Say what was adopted, if anything was.
fn adopted(args: &Args, prepared: &Prepared) {
    if let (Some(adopted), Some(folder)) = (&prepared.adopted, &args.adopt) {
        args.voice.say(&adopted.summary(folder));
    }
}

/// The run folder that `experiment` is the copy of, if it is one.
fn run_folder(experiment: &Path) -> Option<&Path> {
    let folder = match experiment.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    folder.join("run.toml").is_file().then_some(folder)
}

/// In a run folder: its scripts follow its `site.toml` again. The copy is no experiment to begin from: its
/// model lies elsewhere.
fn again(args: &Args, folder: &Path) -> Result<Exit, LaunchError> {
    if args.run.is_some()
        || !args.set.is_empty()
        || args.from.is_some()
        || args.adopt.is_some()
        || args.try_
        || args.check
    {
        let shown = setup::shown(folder);
        return Err(refused(
            format!("`{}` is a run folder already", folder.display()),
            &format!(
                "`ekp-launch {shown}` carries it on; a new run begins from the experiment outside, or with `--from {shown}:N`"
            ),
        ));
    }
    let renewed = match GridRun::open_if(folder)? {
        Some(run) => grid::setup::rewrite(&run, args.site.as_deref())?,
        None => {
            let run = Run::look(folder)?;
            args.voice.warn(run.other_tools().as_slice());
            setup::rewrite(&run, args.site.as_deref())?
        }
    };
    args.voice.say(if renewed {
        "a run folder: its scripts are written anew, after its `site.toml`"
    } else {
        "a run folder, and its scripts are those of its `site.toml`: nothing changed"
    });
    cli::out(&format!("{}\n", folder.display()));
    Ok(Exit::Done)
}

fn fork(text: &str) -> Result<(PathBuf, u32), LaunchError> {
    let parsed = text.rsplit_once(':').and_then(|(run, n)| Some((PathBuf::from(run), n.parse().ok()?)));
    parsed.ok_or_else(|| {
        refused(
            format!("`--from {text}` names no iteration of a run"),
            "write `--from RUN:3`: a run folder, a colon, a number",
        )
    })
}

fn extend(args: &Args, extension: &str) -> Result<Exit, LaunchError> {
    let folder = args.experiment.as_deref().unwrap_or(Path::new("."));
    if let Some(step) = extension.strip_prefix("step=").and_then(|x| x.parse().ok()) {
        let run = Run::look(folder)?;
        args.voice.warn(run.other_tools().as_slice());
        args.voice.say(&if extend::set_step(&run, step)? {
            format!("steps have the length {step} from now on")
        } else {
            format!("steps have the length {step} already: nothing changed")
        });
        return Ok(Exit::Done);
    }
    if let Some(budget) = extension.strip_prefix("budget=").and_then(|n| n.parse().ok()) {
        let run = Run::look(folder)?;
        args.voice.warn(run.other_tools().as_slice());
        let new = extend::budget(&run, budget)?;
        setup::rewrite(&Run::look(folder)?, args.site.as_deref())?;
        args.voice.say(&if new {
            format!("the search has {budget} evaluations now; submit or launch it again to go on")
        } else {
            format!("the search has {budget} evaluations already: nothing changed")
        });
        return Ok(Exit::Done);
    }
    let iterations = extension.strip_prefix("iterations=").and_then(|n| n.parse().ok());
    let iterations = iterations.ok_or_else(|| {
        refused(
            format!("`--extend {extension}` is not understood"),
            "write `--extend iterations=20 RUN`, `--extend step=0.5 RUN`, or of a search `--extend budget=2000 RUN`",
        )
    })?;
    let run = Run::look(folder)?;
    args.voice.warn(run.other_tools().as_slice());
    let new = extend::iterations(&run, iterations)?;
    setup::rewrite(&run, args.site.as_deref())?;
    args.voice.say(&if new {
        format!("the run has {iterations} iterations now; submit or launch it again to go on")
    } else {
        format!("the run has {iterations} iterations already: nothing changed")
    });
    Ok(Exit::Done)
}

fn starter(args: &Args, method: &str) -> Result<Exit, LaunchError> {
    let folder = args.experiment.as_deref().unwrap_or(Path::new(method));
    let files = setup::starter(method, folder)?;
    for file in files {
        args.voice.say(&format!("wrote `{}`", file.display()));
    }
    cli::out(&format!("{}\n", folder.display()));
    let shown = folder.display();
    let (file, then) = match method {
        setup::SWEEP => ("sweep.toml", format!("ekp-sweep {shown}/sweep.toml --dry-run")),
        "grid" => ("experiment.toml", format!("ekp-init --check {shown}")),
        _ => ("experiment.toml", format!("ekp-init --try {shown}")),
    };
    args.voice.say(&format!("next:  edit `{shown}/{file}`, then  {then}"));
    Ok(Exit::Done)
}

/// What Slurm says of the jobs.
fn told(args: &Args, answer: &test_only::Told) {
    answer.lines.iter().for_each(|line| args.voice.say(line));
    answer.more.iter().for_each(|all| args.voice.detail(all));
}

fn refused(what: String, hint: &str) -> LaunchError {
    StepError::Refused { what, hint: hint.into() }.into()
}
