//! Step 0: draw the first ensemble from the prior.
//!
//! Reads   `run.toml`, `experiment.toml`, `priors.toml`
//! Writes  the first `iteration_…/`, whole

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::steps::{Run, StepError, ensemble};

/// Step 0: draw the first ensemble from the prior
#[derive(Debug, Parser)]
#[command(name = "ekp-init-ensemble", version, after_help = "Example:\n  ekp-init-ensemble runs/sinusoid")]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-init-ensemble", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, StepError> {
    let run = Run::look(&args.run)?;
    let new = ensemble::run(&run)?;
    let first = run.experiment.first_iteration;
    let name = run.dir.iteration_name(first);
    args.voice.say(&if new {
        format!("made `{name}`: {} members", run.dir.members(first))
    } else {
        "already done".into()
    });
    Ok(Exit::Done)
}
