//! Run members of one iteration.
//!
//! Reads   `run.toml`, `experiment.toml`, `iteration_NNN/member_MMM/parameters.toml`
//! Writes  `iteration_NNN/member_MMM/{timing.toml, data.toml}`, or `failed.toml`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::files::{Iteration, Members};
use ekp::machine::{self, signals};
use ekp::models::Cause;
use ekp::steps::grid::{self, GridRun};
use ekp::steps::member::{self, Options, Outcome};
use ekp::steps::{Run, StepError, best, trial};

/// Run members of one iteration
#[derive(Debug, Parser)]
#[command(
    name = "ekp-run-member",
    version,
    after_help = "Examples:
  ekp-run-member . -i 3 -m 7                   run it, if it has no outcome
  ekp-run-member . -i 3 -m 7 --again           run it anew, replace its outcome
  ekp-run-member . -i 3 -m 7 --scratch /tmp/a  run it there, publish nothing
  ekp-run-member . -i 3 -m 7 --print           what would be run, to paste
  ekp-run-member . --best                      of a search: the best trial once more, compared
  ekp-run-member . -i 2 -m 1-4                 of a grid: cells 1 to 4 of stage 2
  ekp-run-member . --cell sample_3f9a1c02b7d5  of a grid: this cell"
)]
pub(crate) struct Args {
    /// Run folder, as made by `ekp-init`
    #[arg(default_value = ".")]
    run: PathBuf,
    /// Iteration, as in the folder's name; of a grid the stage
    #[arg(short, long, value_parser = cli::iteration, allow_negative_numbers = true, default_value_t = 0,
        required_unless_present_any = ["cell", "best"], hide_default_value = true)]
    iteration: Iteration,
    /// Members, counted from 1: `7`, `1-64`, `3,7,9`
    #[arg(short, long, required_unless_present_any = ["element", "cell", "best"])]
    members: Option<Members>,
    /// Of a grid: the cell with this id
    #[arg(long, value_name = "ID", conflicts_with_all = ["iteration", "members", "element"])]
    cell: Option<String>,
    /// In scripts, of a grid: block of the stage, from 1
    #[arg(long, requires = "element", value_parser = cli::from_one)]
    block: Option<u32>,
    /// In scripts: array element, from 1
    #[arg(long, requires = "per_element", conflicts_with = "members", value_parser = cli::from_one)]
    element: Option<u32>,
    /// In scripts: members of one array element
    #[arg(long, value_parser = cli::from_one)]
    per_element: Option<u32>,
    /// Run even if there is an outcome, and replace it
    #[arg(long)]
    again: bool,
    /// Run in this folder and publish nothing; an edited parameters.toml there is used
    #[arg(long, value_name = "DIR", conflicts_with_all = ["again", "print", "fail"])]
    scratch: Option<PathBuf>,
    /// Print command, environment and folder, to paste; run nothing
    #[arg(long, conflicts_with_all = ["again", "fail"])]
    print: bool,
    /// Mark as failed, with a reason, without running
    #[arg(long, value_name = "REASON")]
    fail: Option<String>,
    /// Of a search: run the best trial once more, alone, and compare; publishes nothing
    #[arg(long, conflicts_with_all = ["members", "element", "again", "print", "fail"])]
    best: bool,
    /// Exit with 1 when a model failed
    #[arg(long)]
    strict: bool,
    /// Threads: of the model, or members at once for a built-in model
    #[arg(long, env = "SLURM_CPUS_PER_TASK", default_value_t = 1, value_parser = cli::threads)]
    threads: usize,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-run-member", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, StepError> {
    if let Some(run) = GridRun::open_if(&args.run)? {
        return cells(args, &run);
    }
    let run = Run::open(&args.run)?;
    if args.cell.is_some() || args.block.is_some() {
        let what = "`--cell` and `--block` belong to a grid, and this is no run of one".into();
        return Err(StepError::Refused { what, hint: "name iteration and members: `-i 3 -m 7`".into() });
    }
    let members = match (&args.members, args.element, args.per_element) {
        (Some(members), ..) => members.clone(),
        (None, Some(element), Some(per)) => element_members(&run, args.iteration, element, per)?,
        _ => Members::new(Vec::new()),
    };
    if args.element.is_some() {
        // The log of an array element says where it ran, also when nothing else comes after.
        args.voice.say(&format!("iteration {} members {members} on {}", args.iteration, machine::host()));
    }
    let options = Options {
        again: args.again,
        threads: args.threads,
        element: args.element.unwrap_or(0),
        stop: signals::stop_flag().ok(),
        ..Options::default()
    };
    if args.best {
        return again(args, &run, &options);
    }
    if let Some(folder) = &args.scratch {
        return scratch(args, &run, &members, folder, &options);
    }
    if args.print {
        for m in members.iter() {
            cli::out(&trial::printable(&run, args.iteration, m, &options)?);
        }
        return Ok(Exit::Done);
    }
    if let Some(reason) = &args.fail {
        for m in members.iter() {
            let marked = member::mark_failed(&run, args.iteration, m, Cause::User, reason)?;
            args.voice.say(&format!(
                "member {m}: {}",
                if marked { "marked as failed" } else { "it has data; nothing changed" }
            ));
        }
        return Ok(Exit::Done);
    }
    let failed = AtomicUsize::new(0);
    let several = members.len() > 1;
    member::run(&run, args.iteration, &members, &options, &|m, outcome| {
        if let Outcome::Failed { .. } | Outcome::AlreadyFailed = outcome {
            failed.fetch_add(1, Ordering::Relaxed);
        }
        let who = if several { format!("member {m}: ") } else { String::new() };
        args.voice.say(&format!("{who}{}", told(outcome)));
    })?;
    Ok(if args.strict && failed.into_inner() > 0 { Exit::Failed } else { Exit::Done })
}

/// Cells of a grid.
fn cells(args: &Args, run: &GridRun) -> Result<Exit, StepError> {
    let refused = |what: String, hint: &str| StepError::Refused { what, hint: hint.into() };
    if args.scratch.is_some() || args.print {
        return Err(refused(
            "`--scratch` and `--print` are not for cells of a grid".into(),
            "run the cell: `--again`",
        ));
    }
    let (stage, cells) = match (&args.cell, &args.members, args.element, args.per_element) {
        (Some(id), ..) => {
            let hint = "`stage_*/cells.toml` lists them";
            let (stage, cell) =
                run.find(id).ok_or_else(|| refused(format!("there is no cell `{id}`"), hint))?;
            (stage, Members::new(vec![cell]))
        }
        (None, Some(members), ..) => (args.iteration, members.clone()),
        (None, None, Some(element), Some(per)) => {
            run.stage(args.iteration)?;
            (args.iteration, run.element(args.iteration, args.block.unwrap_or(1), element, per))
        }
        _ => (args.iteration, Members::new(Vec::new())),
    };
    run.stage(stage)?;
    if args.element.is_some() {
        args.voice.say(&format!("iteration {stage} members {cells} on {}", machine::host()));
    }
    if cells.is_empty() {
        return Err(refused(
            "there is no such element".into(),
            "submit the array as `ekp_calibration.sbatch` does",
        ));
    }
    if let Some(reason) = &args.fail {
        for cell in cells.iter() {
            let marked = grid::cell::mark_failed(run, stage, cell, Cause::User, reason)?;
            let how = if marked { "marked as failed" } else { "it has data; nothing changed" };
            args.voice.say(&format!("{}: {how}", run.id(stage, cell)));
        }
        return Ok(Exit::Done);
    }
    let options = Options {
        again: args.again,
        threads: args.threads,
        element: args.element.unwrap_or(0),
        stop: signals::stop_flag().ok(),
        ..Options::default()
    };
    let failed = AtomicUsize::new(0);
    grid::cell::run(run, stage, &cells, &options, &|cell, outcome| {
        if let Outcome::Failed { .. } | Outcome::AlreadyFailed = outcome {
            failed.fetch_add(1, Ordering::Relaxed);
        }
        args.voice.say(&format!("{} ({}): {}", run.id(stage, cell), run.shown(stage, cell), told(outcome)));
    })?;
    Ok(if args.strict && failed.into_inner() > 0 { Exit::Failed } else { Exit::Done })
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::AlreadyDone => "already done".into(),
        Outcome::AlreadyFailed => "already failed (`--again` runs it anew)".into(),
        Outcome::Closed => "the iteration is closed: nothing to do".into(),
        Outcome::Done { seconds } => format!("done in {seconds:.3} s"),
        // A failed model is a result, not an error: the chain goes on without it.
        Outcome::Failed { reason } => format!("model failed: {reason}"),
    }
}

fn element_members(run: &Run, iteration: Iteration, element: u32, per: u32) -> Result<Members, StepError> {
    let total = run.dir.members(iteration);
    let members = Members::of_element(element, per, total);
    // A smaller iteration than the others leaves elements of the array without work.
    if members.is_empty() && element > run.dir.most_members().div_ceil(per) {
        return Err(StepError::Refused {
            what: format!(
                "there is no element {element}: {total} members, {per} each, are {}",
                total.div_ceil(per)
            ),
            hint: "submit the array as `ekp_calibration.sbatch` does".into(),
        });
    }
    Ok(members)
}

fn scratch(
    args: &Args,
    run: &Run,
    members: &Members,
    folder: &std::path::Path,
    options: &Options,
) -> Result<Exit, StepError> {
    let mut good = true;
    for m in members.iter() {
        let folder = if members.len() > 1 { folder.join(run.dir.member_name(m)) } else { folder.to_owned() };
        let trial = trial::scratch(run, args.iteration, m, &folder, options)?;
        match &trial.result {
            Ok(output) => {
                for (name, values) in run.asked(args.iteration)?.blocks.iter().zip(&output.blocks) {
                    cli::out(&format!("{name} = {values:?}\n"));
                }
                args.voice.say(&format!(
                    "done in {:.3} s in `{}`; nothing published",
                    trial.usage.wall_s,
                    folder.display()
                ));
            }
            Err(error) => {
                good = false;
                args.voice.say(&format!("model failed: {error}\n{}", error.stderr_tail));
            }
        }
    }
    Ok(if args.strict && !good { Exit::Failed } else { Exit::Done })
}

/// The best trial of a search once more, beside what is recorded of it.
fn again(args: &Args, run: &Run, options: &Options) -> Result<Exit, StepError> {
    let own = std::env::temp_dir().join(format!("ekp-best-{}", std::process::id()));
    let folder = args.scratch.clone().unwrap_or(own.clone());
    let again = best::again(run, &folder, options);
    if args.scratch.is_none() {
        // Best effort: a leftover in the temporary folder hurts nobody.
        let _ = std::fs::remove_dir_all(&own);
    }
    let again = again?;
    let best = &again.recorded;
    cli::out(&format!("trial = {}\nfolder = \"{}\"\n", best.trial, best.folder));
    cli::out(&format!("scored = \"{}\"\nparameters = \"{}\"\n", best.scored, best.parameters));
    for (name, values) in best.names.iter().zip(&best.values) {
        cli::out(&format!("{name} = {values:?}\n"));
    }
    cli::out(&format!("\nrecorded_score = {:?}\n", best.score));
    for (name, values) in &again.now {
        cli::out(&format!("{name} = {values:?}\n"));
    }
    args.voice.say(&format!(
        "trial {} again in {:.3} s: {}",
        best.trial,
        again.usage.wall_s,
        if again.same { "the same numbers, bit for bit" } else { "OTHER NUMBERS than recorded" }
    ));
    Ok(if again.same { Exit::Done } else { Exit::Failed })
}
