//! Close an iteration and make the next one.
//!
//! Reads   `ensemble.bin`, `state.bin`, every member's outcome
//! Writes  `update.toml`, the next `iteration_…/`, `stop.toml` when the run is over;
//!         of a grid the tables in `results/`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice, short};
use ekp::explain::Exit;
use ekp::files::Iteration;
use ekp::steps::grid::{GridRun, merge};
use ekp::steps::update::{self, Outcome};
use ekp::steps::{Run, StepError, Update};

/// Close an iteration and make the next one
#[derive(Debug, Parser)]
#[command(
    name = "ekp-update",
    version,
    after_help = "Example:
  ekp-update . -i 3            exit 3 while a member has no outcome
  ekp-update . -i 3 --close    the members' jobs have ended: what is missing is lost
  ekp-update . -i 2            of a grid with two stages: a row for each cell; exit 4 unless all are ok"
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// Iteration, as in the folder's name
    #[arg(short, long, value_parser = cli::iteration, allow_negative_numbers = true)]
    iteration: Iteration,
    /// The members' jobs have ended: look again for a while, then count the rest as lost
    #[arg(long)]
    close: bool,
    /// Outputs of all members together that take more memory than this, in MiB, are read block by block; the result is the same
    #[arg(long, value_name = "MIB", default_value_t = update::MEMORY_MIB)]
    memory: u32,
    /// Threads for the pass over the outputs; the result is the same
    #[arg(long, env = "SLURM_CPUS_PER_TASK", default_value_t = 1, value_parser = cli::threads)]
    threads: usize,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-update", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, StepError> {
    if let Some(run) = GridRun::open_if(&args.run)? {
        return merged(args, &run);
    }
    let mut run = Run::look(&args.run)?;
    if run.experiment.forwards().is_some() {
        // A batch tells with its results what the model's numbers mean.
        run = Run::open(&args.run)?;
    }
    if let Some(calibration) = run.experiment.calibration_mut() {
        calibration.algorithm.use_threads(args.threads);
    }
    let say = |update: &Update, more: &str| {
        args.voice.warn(&update.warnings);
        args.voice.say(&format!(
            "iteration {} closed: {} ok, {} failed, step {}, time {}, misfit {}{more}",
            update.iteration,
            update.ok,
            update.failed,
            short(update.step),
            short(update.time),
            short(update.misfit)
        ));
    };
    match update::run_within(&run, args.iteration, args.close, args.memory, args.threads)? {
        Outcome::AlreadyClosed => args.voice.say("already done"),
        Outcome::Over => args.voice.say("the run is over (`stop.toml`): nothing to do"),
        Outcome::Merged(merged) => {
            args.voice.say(&format!("{}; the run is over, statistics are in `results/`", merged.sentence()));
        }
        Outcome::Closed(update) => say(&update, ""),
        Outcome::Finished(update) => say(&update, "; the run is over, the result is in `stop.toml`"),
    }
    Ok(Exit::Done)
}

/// The end of a grid: judge all cells, write the tables.
fn merged(args: &Args, run: &GridRun) -> Result<Exit, StepError> {
    if args.iteration != run.last_stage() {
        let what = format!("a grid is merged once, after its last stage: `-i {}`", run.last_stage());
        return Err(StepError::Refused { what, hint: "stages before it need no update".into() });
    }
    match merge::run(run, args.close)? {
        merge::Outcome::Over => args.voice.say("the run is over (`stop.toml`): nothing to do"),
        merge::Outcome::Complete(merged) => {
            merged.tables.iter().for_each(|path| cli::out(&format!("{}\n", path.display())));
            args.voice.say(&merged.sentence(run));
        }
    }
    Ok(Exit::Done)
}
