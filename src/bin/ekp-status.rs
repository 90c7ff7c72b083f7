//! Where runs stand: what is done, what failed and why, what to type next.
//!
//! Reads   the run folders; asks `squeue` once where jobs were submitted
//! Writes  nothing

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::{Exit, Explain};
use ekp::files::{Iteration, RunDir};
use ekp::launch::queue::{self, Listed, Patience, Queue};
use ekp::launch::{setup, slurm};
use ekp::machine::process;
use ekp::report::status::{self, Job, State, Status, View, text};
use ekp::report::{ReportError, grid, runs};
use ekp::steps::Run;
use ekp::steps::grid::{GridRun, due};

/// How often a run is looked at by `--watch`.
const LOOK: Duration = Duration::from_secs(2);
/// How often the scheduler is asked, at most: it serves others, too.
const ASK: Duration = Duration::from_secs(30);
/// How long its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where runs stand: what is done, what failed and why, what to type next
#[derive(Debug, Parser)]
#[command(
    name = "ekp-status",
    version,
    after_help = "Examples:
  ekp-status                        the run in this folder
  ekp-status 'runs/*'               many runs, a line each
  ekp-status RUN --iteration 3      why members of that iteration failed
  ekp-status RUN --watch            looks again every 2 s until the run is over
  read -r step iteration members < <(ekp-status RUN --next)"
)]
pub(crate) struct Args {
    /// Run folders, or patterns such as 'runs/*'
    #[arg(default_value = ".")]
    run: Vec<String>,
    /// Tell of this iteration in detail, not of the open one
    #[arg(short, long, value_name = "N", value_parser = cli::iteration, allow_negative_numbers = true)]
    iteration: Option<Iteration>,
    /// Look again every 2 s until all runs are over
    #[arg(long, conflicts_with_all = ["next", "json"])]
    watch: bool,
    /// As JSON, an object on a line for each run
    #[arg(long, conflicts_with = "next")]
    json: bool,
    /// List every job of the run
    #[arg(long)]
    jobs: bool,
    /// Add the space the run takes
    #[arg(long)]
    disk: bool,
    /// In scripts: the step that is due, such as `init 0`, `members 3 1-20`, `update 3`; nothing when it is over
    #[arg(long)]
    next: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-status", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    let found = runs::runs(&args.run)?;
    let names: Vec<String> = found.iter().map(|path| path.display().to_string()).collect();
    if args.next {
        for name in &names {
            // Of several runs each line says whose it is.
            let whose = if names.len() > 1 { format!("{name}\t") } else { String::new() };
            if let Some(run) = GridRun::open_if(name.as_ref())? {
                due::lines(&run).iter().for_each(|line| cli::out(&format!("{whose}{line}\n")));
            } else if let Some(line) = status::next(&Run::look(name.as_ref())?)? {
                cli::out(&format!("{whose}{line}\n"));
            }
        }
        return Ok(Exit::Done);
    }
    let mut queue = Asked { voice: args.voice, last: None };
    // Grids have stages, not iterations: each is told by itself.
    let (grids, names): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| matches!(GridRun::open_if(name.as_ref()), Ok(Some(_))));
    if !grids.is_empty() {
        let over = tell_grids(args, &grids, &mut queue)?;
        if names.is_empty() {
            return Ok(over);
        }
    }
    if args.watch {
        return watch(args, &names, &mut queue);
    }
    if let [name] = names.as_slice() {
        let status = look(args, name, &mut queue)?;
        cli::out(&shown(args, &status));
        return Ok(Exit::Done);
    }
    let all: Vec<_> = names.iter().map(|name| (name, look(args, name, &mut queue))).collect();
    cli::out(&several(args, &all));
    Ok(if all.iter().any(|(_, found)| found.is_err()) { Exit::Failed } else { Exit::Done })
}

/// Tell of grids, with `--watch` until all of them are over.
fn tell_grids(args: &Args, names: &[String], queue: &mut Asked) -> Result<Exit, ReportError> {
    let mut before = String::new();
    loop {
        let (mut text, mut over) = (String::new(), true);
        for name in names {
            let run = GridRun::open(name.as_ref())?;
            let status = grid::look(&run, name, queue.of(&run.dir, true))?;
            over &= matches!(status.state.as_str(), "over" | "quorum" | "cancelled");
            text.push_str(&match args.json {
                true => serde_json::to_string(&status).unwrap_or_default() + "\n",
                false => grid::text(&status, args.voice.verbose),
            });
            if args.disk && !args.json {
                text.push_str(&format!("\n{}", status::disk::disk(run.dir.root()).text()));
            }
        }
        if text != before {
            cli::out(&text);
        }
        if over || !args.watch {
            return Ok(Exit::Done);
        }
        before = text;
        std::thread::sleep(LOOK);
    }
}

fn look(args: &Args, name: &str, queue: &mut Asked) -> Result<Status, ReportError> {
    let run = Run::look(name.as_ref())?;
    if !args.watch {
        args.voice.warn(run.other_tools().as_slice());
    }
    // A fault in site.toml is for those who submit; here it costs the tie between logs and members.
    let site = setup::site_of(&run).unwrap_or_default();
    let id = &run.dir.identity;
    let per_element = setup::per_element(id.members, id.pack, &site);
    // Where arrays have an offset, an index alone names no element.
    let plain = id.members.div_ceil(per_element) <= site.slurm.largest_index();
    let view = View {
        named: name.to_owned(),
        per_element,
        jobs: queue.jobs(&run, plain),
        iteration: args.iteration,
    };
    let mut status = status::look(&run, &view)?;
    if args.disk {
        status.disk = Some(status::disk::disk(run.dir.root()));
    }
    Ok(status)
}

/// The scheduler's last answer, for all runs together.
struct Asked {
    voice: Voice,
    last: Option<(Instant, Option<Vec<Listed>>)>,
}

impl Asked {
    /// The run's jobs; the scheduler is not asked where nothing was ever submitted.
    fn jobs(&mut self, run: &Run, plain: bool) -> Option<Vec<Job>> {
        self.of(&run.dir, plain)
    }

    fn of(&mut self, dir: &RunDir, plain: bool) -> Option<Vec<Job>> {
        let records = slurm::submissions(dir).ok().filter(|records| !records.is_empty())?;
        let listed = self.listed()?.clone();
        Some(slurm::of_run(dir, &records, listed).iter().map(|job| told(job, plain)).collect())
    }

    fn listed(&mut self) -> Option<&Vec<Listed>> {
        if self.last.as_ref().is_none_or(|(when, _)| when.elapsed() >= ASK) {
            process::find("squeue".as_ref())?;
            let patience = Patience { call: PATIENCE, pauses: Vec::new() };
            let answer = Queue { patience, clients: None }.mine();
            let answer =
                answer.inspect_err(|e| self.voice.say(&format!("warning: no word on jobs: {e}"))).ok();
            self.last = Some((Instant::now(), answer));
        }
        self.last.as_ref().and_then(|(_, answer)| answer.as_ref())
    }
}

/// A job in the words of the report.
fn told(job: &Listed, plain: bool) -> Job {
    let iteration =
        job.name.rsplit_once(".it").and_then(|(_, rest)| rest.strip_suffix(".members")?.parse().ok());
    let waits = job.state == queue::State::Pending;
    Job {
        id: job.shown.clone(),
        name: job.name.clone(),
        state: match &job.state {
            queue::State::Pending => "waiting".into(),
            queue::State::Running => "running".into(),
            queue::State::Ending => "ending".into(),
            queue::State::Suspended => "suspended".into(),
            queue::State::Other(word) => word.clone(),
        },
        reason: job.reason.clone(),
        start: job.start.clone(),
        nodes: job.nodes.clone(),
        elements: job.elements,
        iteration,
        element: job.shown.rsplit_once('_').and_then(|(_, index)| index.parse().ok()).filter(|_| plain),
        advice: queue::advice(&job.reason).filter(|_| waits).map(str::to_owned),
    }
}

fn shown(args: &Args, status: &Status) -> String {
    if args.json { json(status) } else { text::one(status, telling(args)) }
}

fn telling(args: &Args) -> text::Telling {
    text::Telling { all: args.voice.verbose, jobs: args.jobs }
}

fn json(status: &Status) -> String {
    // Numbers that are not finite become null: JSON has no word for them.
    serde_json::to_string(status).map_or_else(|e| format!("{{\"error\":\"{e}\"}}\n"), |text| text + "\n")
}

fn several(args: &Args, all: &[(&String, Result<Status, ReportError>)]) -> String {
    if args.json {
        let line = |(name, found): &(&String, Result<Status, ReportError>)| match found {
            Ok(status) => json(status),
            Err(e) => format!("{}\n", serde_json::json!({ "run": name, "error": e.to_string() })),
        };
        return all.iter().map(line).collect();
    }
    if args.voice.verbose || args.iteration.is_some() {
        let block = |(name, found): &(&String, Result<Status, ReportError>)| match found {
            Ok(status) => format!("== {name}\n{}\n", text::one(status, telling(args))),
            Err(e) => format!("== {name}\n{e}\n\n"),
        };
        return all.iter().map(block).collect();
    }
    let rows: Vec<_> = all
        .iter()
        .map(|(name, found)| match found {
            Ok(status) => Ok(status.clone()),
            Err(e) => Err(((*name).clone(), e.to_string())),
        })
        .collect();
    text::many(&rows)
}

/// Look again and again until nothing moves any more.
fn watch(args: &Args, names: &[String], queue: &mut Asked) -> Result<Exit, ReportError> {
    let terminal = std::io::stdout().is_terminal();
    let mut before = String::new();
    loop {
        let mut all: Vec<_> = names.iter().map(|name| (name, look(args, name, queue))).collect();
        let text = match all.as_slice() {
            [(_, Ok(status))] => text::one(status, telling(args)),
            [(_, Err(_))] => return all.remove(0).1.map(|_| Exit::Done),
            _ => several(args, &all),
        };
        if terminal {
            cli::out(&format!("\x1b[H\x1b[2J{text}"));
        } else if text != before {
            cli::out(&format!("{text}\n"));
        }
        // A folder that is no run does not become one.
        if all.iter().all(|(_, found)| found.as_ref().map_or_else(|e| e.exit() == Exit::Usage, ended)) {
            return Ok(Exit::Done);
        }
        before = text;
        std::thread::sleep(LOOK);
    }
}

/// Over, or cancelled and nobody works on it any more.
fn ended(status: &Status) -> bool {
    let idle = status.running.is_empty() && status.jobs.as_ref().is_none_or(Vec::is_empty);
    status.state == State::Over || (status.state == State::Cancelled && idle)
}
