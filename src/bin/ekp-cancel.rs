//! Cancel a run: the stop mark first, then its jobs.
//!
//! Reads   `run.toml`, `site.toml`, `jobs/`
//! Writes  `cancel.toml`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::files::RunDir;
use ekp::launch::LaunchError;
use ekp::launch::queue::QueueError;
use ekp::launch::slurm::{Desk, submissions};
use ekp::report::table::count;
use ekp::steps::grid::GridRun;
use ekp::steps::{Run, cancel, due};

/// Cancel a run: the stop mark first, then its jobs
#[derive(Debug, Parser)]
#[command(
    name = "ekp-cancel",
    version,
    after_help = "Examples:
  ekp-cancel RUN
  ekp-cancel RUN --reason 'wrong observations'

Nothing of the run goes on: workers finish the member they are at, queued jobs go.
Submitting or launching the run again lifts the mark and goes on where it stands."
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// Why, for those who find the mark
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
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
    let (dir, over) = match GridRun::open_if(&args.run)? {
        Some(grid) => (grid.dir.clone(), grid.is_over()),
        None => {
            let run = Run::look(&args.run)?;
            let over = due::stopped(&run)?.is_some();
            (run.dir, over)
        }
    };
    if args.rest || over {
        let what = if over { "the run is over" } else { "no stop mark is set" };
        args.voice.say(&format!("{what}; {}", jobs(args, &dir, true)?));
        return Ok(Exit::Done);
    }
    // The mark first: whatever still runs sees it, and nothing is submitted any more.
    let new = cancel::mark(&dir, &args.reason)?;
    args.voice.say(if new { "cancelled (`cancel.toml`)" } else { "it was cancelled before" });
    args.voice.say(&jobs(args, &dir, false)?);
    args.voice.say("submitting or launching the run again goes on where it stands");
    Ok(Exit::Done)
}

/// End the run's jobs, with `rest` only those that wait; what was done, in words.
fn jobs(args: &Args, dir: &RunDir, rest: bool) -> Result<String, LaunchError> {
    let note = |text: &str| args.voice.say(text);
    let scheduler = Desk::new(dir, &note)?;
    match if rest { scheduler.rest() } else { scheduler.cancel() } {
        Ok(jobs) => Ok(format!("{} taken out of the queue", count(jobs, "job"))),
        Err(LaunchError::Queue(QueueError::NotHere { .. })) => {
            Ok("no Slurm on this machine; what runs elsewhere stops at its next step".into())
        }
        // Nothing of this run was ever submitted: a Slurm that does not work is no fault of ours.
        Err(LaunchError::Queue(e)) if submissions(dir)?.is_empty() => Ok(format!("no word on jobs: {e}")),
        Err(other) => Err(other),
    }
}
