//! Cancel a run: the stop mark first, then its jobs.
//!
//! Reads   `run.toml`, `site.toml`, `jobs/`
//! Writes  `cancel.toml`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::launch::{LaunchError, slurm};
use ekp::report::table::count;
use ekp::steps::{Run, cancel, due};

/// Cancel a run: the stop mark first, then its jobs
#[derive(Debug, Parser)]
#[command(
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
    let run = Run::open(&args.run)?;
    let over = due::stopped(&run)?.is_some();
    if args.rest || over {
        let jobs = jobs(&run, true)?;
        let what = if over { "the run is over" } else { "no stop mark was set" };
        args.voice.say(&format!("{what}; {} taken out of the queue", count(jobs, "waiting job")));
        return Ok(Exit::Done);
    }
    // The mark first: whatever still runs sees it, and nothing is submitted any more.
    let new = cancel::mark(&run, &args.reason)?;
    let jobs = jobs(&run, false)?;
    let mark = if new { "cancelled (`cancel.toml`)" } else { "it was cancelled before" };
    args.voice.say(&format!("{mark}; {} taken out of the queue", count(jobs, "job")));
    args.voice.say("submitting or launching the run again goes on where it stands");
    Ok(Exit::Done)
}

/// End the run's jobs, where it has any; `rest` only those that wait.
fn jobs(run: &Run, rest: bool) -> Result<usize, LaunchError> {
    if !run.dir.jobs().is_dir() { Ok(0) } else { slurm::cancel(run, rest) }
}
