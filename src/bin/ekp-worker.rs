//! A worker of a pool: runs open members, leased from the folder, until none is left.
//!
//! Reads   the run folder
//! Writes  outcomes, and with `--to-end` what updates write

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::files::{Iteration, Members, RunDir};
use ekp::launch::local::Answer;
use ekp::machine::signals;
use ekp::steps::grid::{self, GridRun};
use ekp::steps::member::{self, Options, Outcome};
use ekp::steps::trials::Until;
use ekp::steps::worker::{self, Worker};
use ekp::steps::{Run, StepError};

/// A worker of a pool: runs open members until none is left
#[derive(Debug, Parser)]
#[command(
    name = "ekp-worker",
    version,
    after_help = "Examples:
  srun -n 64 ekp-worker RUN              a pool of 64 for the open iteration
  mpirun -n 4 ekp-worker RUN --to-end    a pool that carries the whole run
  seq 8 | xargs -P 8 -I{} ekp-worker RUN --rank {}"
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// Only this iteration
    #[arg(short, long, value_parser = cli::iteration, allow_negative_numbers = true)]
    iteration: Option<Iteration>,
    /// Close iterations too, and go on to the end of the run
    #[arg(long, conflicts_with = "iteration")]
    to_end: bool,
    /// Leave when all that is open is held by others, in place of waiting for what they leave behind
    #[arg(long, conflicts_with = "to_end")]
    leave: bool,
    /// Which worker this is, from 1 [default: from the environment of srun or mpirun]
    #[arg(long, value_parser = cli::from_one)]
    rank: Option<u32>,
    /// Threads of one member
    #[arg(long, env = "SLURM_CPUS_PER_TASK", default_value_t = 1, value_parser = cli::threads)]
    threads: usize,
    /// A lease not renewed for so many seconds is taken over
    #[arg(long, env = "EKP_LEASE", default_value_t = 60.0, value_name = "SECONDS", value_parser = cli::seconds)]
    lease: f64,
    /// Begin no trial that would hardly end by then: seconds since 1970 (method `dds-async`)
    #[arg(long, env = "SLURM_JOB_END_TIME", value_name = "SECONDS", value_parser = cli::seconds)]
    until: Option<f64>,
    /// For `ekp-launch`: take lines `ITERATION MEMBERS` on standard input
    #[arg(long, hide = true)]
    serve: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-worker", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, StepError> {
    // A worker of trials finishes the one it runs before its job ends; members have no such end.
    let leaderless = RunDir::open(&args.run).is_ok_and(|dir| dir.leaderless());
    let (stop, drain) = if leaderless {
        signals::stop_and_drain().map_or((None, None), |(stop, drain)| (Some(stop), Some(drain)))
    } else {
        (signals::stop_flag().ok(), None)
    };
    let options = Options {
        threads: args.threads.max(1),
        worker: args.rank.unwrap_or_else(rank),
        stop,
        ..Options::default()
    };
    let grid = GridRun::open_if(&args.run)?;
    if args.serve {
        if let Some(run) = grid {
            return serve(&|stage, cells, each| grid::cell::run(&run, stage, cells, &options, each));
        }
        let run = Run::open(&args.run)?;
        return serve(&|iteration, members, each| member::run(&run, iteration, members, &options, each));
    }
    let worker = Worker {
        options,
        lease_s: args.lease.max(0.1),
        to_end: args.to_end,
        iteration: args.iteration,
        wait: !args.leave,
        until: until(args, drain),
    };
    if let Some(run) = grid {
        let work = grid::worker::work(&run, &worker, &|stage, cell, outcome| match outcome {
            Outcome::Failed { reason } => args.voice.say(&format!("{}: {reason}", run.id(stage, cell))),
            Outcome::Done { seconds } => {
                args.voice.detail(&format!("{}: done in {seconds:.3} s", run.id(stage, cell)));
            }
            _ => {}
        })?;
        args.voice.say(&format!("{} done, {} failed", work.done, work.failed));
        return Ok(Exit::Done);
    }
    let run = Run::open(&args.run)?;
    let work = worker::work(&run, &worker, &|m, outcome| match outcome {
        Outcome::Failed { reason } => args.voice.say(&format!("member {m}: model failed: {reason}")),
        Outcome::Done { seconds } => args.voice.detail(&format!("member {m}: done in {seconds:.3} s")),
        _ => {}
    })?;
    let mut said = format!("{} done, {} failed, {} iterations closed", work.done, work.failed, work.closed);
    if work.duplicates > 0 {
        said.push_str(&format!(", {} done twice", work.duplicates));
    }
    if work.left_early {
        said.push_str("; the job ends soon: the rest is for others");
    }
    args.voice.say(&said);
    Ok(Exit::Done)
}

/// The end of the job, and the word that it comes.
fn until(args: &Args, drain: Option<Arc<AtomicBool>>) -> Option<Until> {
    const FAR: f64 = 4e9; // in 2096
    let end = SystemTime::UNIX_EPOCH + Duration::from_secs_f64(args.until.unwrap_or(FAR).min(FAR));
    (args.until.is_some() || drain.is_some()).then_some(Until { end, drain })
}

/// A rank from 1, where a starter tells one. It spreads workers out and names them; nothing depends on it.
fn rank() -> u32 {
    let names = ["SLURM_PROCID", "PMIX_RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK"];
    let found = names.iter().find_map(|n| std::env::var(n).ok()?.parse::<u32>().ok());
    found.map_or_else(|| std::process::id() % 997 + 1, |r| r + 1)
}

/// Runs members (of a grid cells) and tells each end.
type Work<'a> = &'a dyn Fn(Iteration, &Members, &(dyn Fn(u32, &Outcome) + Sync)) -> Result<(), StepError>;

fn serve(work: Work<'_>) -> Result<Exit, StepError> {
    // Answers of quick members go out together: each wakes the launcher.
    let waiting = Mutex::new((String::new(), Instant::now()));
    let answer = |answer: &Answer| {
        let mut waiting = waiting.lock().expect("no one panics under this lock");
        waiting.0.push_str(&answer.line());
        if matches!(answer, Answer::End(..)) || waiting.1.elapsed() > Duration::from_millis(50) {
            // A launcher that went away ends our input, too.
            cli::out(&waiting.0);
            *waiting = (String::new(), Instant::now());
        }
    };
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Some((iteration, members)) = line.split_once(' ') else { continue };
        let (Ok(iteration), Ok(members)) = (iteration.parse(), members.parse::<Members>()) else { continue };
        let result = work(iteration, &members, &|m, outcome| {
            answer(&Answer::Member(m, outcome.clone()));
        });
        if matches!(result, Err(StepError::Interrupted)) {
            // Told to stop: a launcher that goes on takes another worker for what is left.
            return Ok(Exit::Failed);
        }
        answer(&Answer::end(&result));
    }
    Ok(Exit::Done)
}
