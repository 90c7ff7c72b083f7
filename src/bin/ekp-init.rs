//! Make a run folder from one experiment file.
//!
//! Reads   `experiment.toml` and the files it names, `site.toml`
//! Writes  `RUN/` with copies and scripts; prints its path

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::{LaunchError, setup};
use ekp::steps::init::{self, Made, Request};
use ekp::steps::{Run, StepError};

/// Make a run folder from one experiment file
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:
  ekp-init --new etki my_study          starter files in the folder my_study
  ekp-init my_study/experiment.toml     makes my_study/runs/<name> and says what to type next
  ekp-init --check experiment.toml      only look for faults
  ekp-init --try experiment.toml        run the model once, at the centre of the prior
  ekp-init --extend iterations=20 RUN   more iterations for a run"
)]
pub(crate) struct Args {
    /// The experiment (a folder means `experiment.toml` in it); with --new the folder to make
    #[arg(default_value = "experiment.toml")]
    experiment: PathBuf,
    /// The run folder to make [default: runs/<name> beside the experiment]
    run: Option<PathBuf>,
    /// Change a value of the experiment: `algorithm.members=40`
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The machine: partition, account, modules [default: site.toml beside the experiment]
    #[arg(long, value_name = "FILE")]
    site: Option<PathBuf>,
    /// Check everything, make nothing
    #[arg(long, conflicts_with_all = ["try_", "new", "extend"])]
    check: bool,
    /// Run one member at the centre of the prior through the real command; publish nothing
    #[arg(long = "try", conflicts_with_all = ["new", "extend"])]
    try_: bool,
    /// Write starter files for this method into the folder given
    #[arg(long, value_name = "METHOD", conflicts_with = "extend")]
    new: Option<String>,
    /// Give the run (named in place of the experiment) more iterations: `iterations=20`
    #[arg(long, value_name = "iterations=N")]
    extend: Option<String>,
    /// Start from an ensemble of another run: `RUN:3`
    #[arg(long, value_name = "RUN:N")]
    from: Option<String>,
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
    let experiment = if args.experiment.is_dir() {
        args.experiment.join("experiment.toml")
    } else {
        args.experiment.clone()
    };
    let from = args.from.as_deref().map(fork).transpose()?;
    let request =
        Request { experiment: experiment.clone(), run: args.run.clone(), settings: args.set.clone(), from };
    let site = setup::site(args.site.as_deref(), &experiment)?;
    if args.check {
        let prepared = init::check(&request)?;
        setup::context(&prepared, &site, "")?;
        args.voice.warn(&prepared.warnings);
        args.voice.say(&setup::summary(&prepared));
        setup::test_only(&prepared, &site, args.voice.verbose).iter().for_each(|line| args.voice.say(line));
        return Ok(Exit::Done);
    }
    if args.try_ {
        let prepared = init::check(&request)?;
        args.voice.warn(&prepared.warnings);
        let (report, good) = setup::try_once(&prepared, &site)?;
        args.voice.say(&report);
        return Ok(if good { Exit::Done } else { Exit::Failed });
    }
    let (prepared, made) = setup::make(&request, &site, &setup::made_by())?;
    args.voice.warn(&prepared.warnings);
    let root = prepared.root.display();
    match made {
        Made::New => args.voice.say(&format!("made `{root}`: {}", setup::summary(&prepared))),
        Made::Same => args.voice.say("the run is there already, with this experiment: nothing changed"),
        Made::Refreshed => {
            args.voice.say("the run is there already, with this experiment: scripts and site written anew")
        }
    }
    cli::out(&format!("{root}\n"));
    args.voice.say(&setup::next_steps(&prepared, &site));
    Ok(Exit::Done)
}

fn fork(text: &str) -> Result<(PathBuf, u32), LaunchError> {
    let parsed = text.rsplit_once(':').and_then(|(run, n)| Some((PathBuf::from(run), n.parse().ok()?)));
    parsed.ok_or_else(|| {
        refused(format!("`--from {text}` names no iteration of a run"), "write `--from RUN:3`")
    })
}

fn extend(args: &Args, extension: &str) -> Result<Exit, LaunchError> {
    let iterations = extension.strip_prefix("iterations=").and_then(|n| n.parse().ok());
    let iterations = iterations.ok_or_else(|| {
        refused(format!("`--extend {extension}` is not understood"), "write `--extend iterations=20 RUN`")
    })?;
    let folder =
        if args.experiment == Path::new("experiment.toml") { Path::new(".") } else { &args.experiment };
    let run = Run::open(folder)?;
    init::extend(&run, iterations)?;
    setup::rewrite(&run)?;
    args.voice.say(&format!("the run has {iterations} iterations now; submit or launch it again to go on"));
    Ok(Exit::Done)
}

fn starter(args: &Args, method: &str) -> Result<Exit, LaunchError> {
    let folder =
        if args.experiment == Path::new("experiment.toml") { Path::new(method) } else { &args.experiment };
    let files = setup::starter(method, folder)?;
    for file in files {
        args.voice.say(&format!("wrote `{}`", file.display()));
    }
    cli::out(&format!("{}\n", folder.display()));
    args.voice.say(&format!("next:  edit `{0}/experiment.toml`, then  ekp-init --try {0}", folder.display()));
    Ok(Exit::Done)
}

fn refused(what: String, hint: &str) -> LaunchError {
    StepError::Refused { what, hint: hint.into() }.into()
}
