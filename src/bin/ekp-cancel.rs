//! Cancel a run: the stop mark first, then its jobs.
//!
//! Reads   `run.toml`, `site.toml`, `jobs/`
//! Writes  `cancel.toml`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::LaunchError;
use ekp::launch::queue::QueueError;
use ekp::launch::slurm::Scheduler;
use ekp::steps::{Run, cancel};

/// Cancel a run: the stop mark first, then its jobs
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:
  ekp-cancel RUN      nothing of it runs or waits any more; submitting or launching again goes on"
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// In scripts: only jobs that wait, without the stop mark (after an early stop)
    #[arg(long, hide = true)]
    rest: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-cancel", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, LaunchError> {
    let run = Run::open(&args.run)?;
    let note = |text: &str| args.voice.say(text);
    let scheduler = Scheduler::new(&run, &note)?;
    if args.rest {
        let jobs = scheduler.rest()?;
        args.voice.say(&format!("{jobs} waiting jobs cancelled: the run is over"));
        return Ok(Exit::Done);
    }
    // The mark first: whatever runs sees it and submits nothing more.
    cancel::mark(&run)?;
    match scheduler.cancel() {
        Ok(jobs) => args.voice.say(&format!("cancelled; {jobs} jobs taken out of the queue")),
        Err(LaunchError::Queue(QueueError::NotHere { .. })) => {
            args.voice
                .say("cancelled (no Slurm on this machine); what runs elsewhere stops at its next step");
        }
        Err(other) => return Err(other),
    }
    Ok(Exit::Done)
}
