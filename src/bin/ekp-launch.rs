//! Carry a run out, or on, to its end.
//!
//! Reads   the run folder, or an experiment (whose run folder it makes first)
//! Writes  what the steps write

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use ekp::cli::{self, Progress, Voice, short};
use ekp::explain::Exit;
use ekp::files::{Iteration, Member, load_record};
use ekp::launch::grid::{self, WatchCells};
use ekp::launch::local::Local;
use ekp::launch::make::Make;
use ekp::launch::mpi::Mpi;
use ekp::launch::site::{Site, Workers};
use ekp::launch::slurm::{GridScheduler, Scheduler, Slurm, Start};
use ekp::launch::threads::Threads;
use ekp::launch::{LaunchError, Launcher, Means, Watch, dry_run, once, setup, workers};
use ekp::machine::{limits, signals};
use ekp::plan::Due;
use ekp::report::table::{count, span};
use ekp::steps::grid::merge::Merged;
use ekp::steps::grid::{self as grid_steps, GridRun};
use ekp::steps::init::Request;
use ekp::steps::member::Outcome;
use ekp::steps::reopen::Reopened;
use ekp::steps::{Run, Stopped, Update, due, reopen};

/// Carry a run out, or on, to its end
#[derive(Debug, Parser)]
#[command(
    name = "ekp-launch",
    version,
    after_help = "Examples:
  ekp-launch experiment.toml           makes the run folder, runs it with a pool of worker processes
  ekp-launch runs/sinusoid             goes on where it stands
  ekp-launch RUN --on slurm            submits the chain of jobs
  ekp-launch RUN --on mpi --workers 8  workers under mpirun or srun
  ekp-launch RUN --once                does what is due and returns: 0 closed, 3 running (for cron)"
)]
pub(crate) struct Args {
    /// Run folder, or experiment file
    #[arg(default_value = ".")]
    run: PathBuf,
    /// What carries the run
    #[arg(long, value_enum, default_value_t = On::Local)]
    on: On,
    /// Members at once: a number, `physical` or `logical` cores, `-2` for all but two [default: site.toml, else physical]
    #[arg(long, value_parser = workers::parse, allow_hyphen_values = true)]
    workers: Option<Workers>,
    /// Threads of each member [default: site.toml, else 1]
    #[arg(long, value_parser = cli::threads)]
    threads: Option<usize>,
    /// Do what is due and return: 0 closed, 3 running
    #[arg(long, conflicts_with = "next")]
    once: bool,
    /// With `--on slurm`: submit exactly what is due
    #[arg(long)]
    next: bool,
    /// Show jobs, dependencies, core-hours, files, disk; start nothing
    #[arg(long)]
    dry_run: bool,
    /// With `--on mpi`: the words that start ranks, such as `mpiexec -n 8`
    #[arg(long, value_name = "WORDS")]
    starter: Option<String>,
    /// In scripts: take the next submission record
    #[arg(long, hide = true)]
    begin: bool,
    /// In scripts: from a job of this run; lifts nothing, reopens nothing
    #[arg(long, hide = true)]
    again: bool,
    /// In scripts: complete a submission record with job ids
    #[arg(long, hide = true, num_args = 2, value_names = ["RECORD", "IDS"])]
    submitted: Option<Vec<String>>,
    #[command(flatten)]
    voice: Voice,
}

/// What carries a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// Worker processes on this machine
    Local,
    /// Threads of this process
    Threads,
    /// A chain of Slurm jobs
    Slurm,
    /// GNU make
    Make,
    /// Workers under mpirun or srun
    Mpi,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-launch", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, LaunchError> {
    let folder = folder(args)?;
    if let Some(run) = GridRun::open_if(&folder)? {
        return carry_grid(args, &run);
    }
    let run = Run::open(&folder)?;
    let note = |text: &str| args.voice.say(text);
    args.voice.warn(run.other_tools().as_slice());
    if let Some([record, ids]) = args.submitted.as_deref() {
        Scheduler::new(&run, &note)?.submitted(record.parse().unwrap_or(0), ids)?;
        return Ok(Exit::Done);
    }
    let site = setup::site_of(&run)?;
    if args.dry_run {
        let text =
            if args.on == On::Slurm { Scheduler::new(&run, &note)?.dry_run()? } else { dry_run::text(&run)? };
        cli::out(&text);
        return Ok(Exit::Done);
    }
    if args.next {
        Scheduler::new(&run, &note)?.next(if args.begin { Start::Fresh } else { Start::Again })?;
        return Ok(Exit::Done);
    }
    if args.begin {
        let start = if args.again { Start::Again } else { Start::Fresh };
        if let Some(begun) = Scheduler::new(&run, &note)?.begin(start)? {
            cli::out(&format!("{begun}\n"));
        }
        return Ok(Exit::Done);
    }
    let means = means(args, &site)?;
    let watch = Screen::new(args.voice);
    if args.once {
        let exit = if args.on == On::Slurm {
            Scheduler::new(&run, &note)?.next(Start::Again)?;
            if due::due(&run)? == Due::Over { Exit::Done } else { Exit::NotYet }
        } else {
            once::once(&run, &means, &watch)?
        };
        watch.progress.end();
        return Ok(exit);
    }
    if args.on == On::Slurm {
        let result = Slurm { means }.launch(&run, &watch);
        watch.progress.end();
        result?;
        result_table(&run, args.voice);
        return Ok(Exit::Done);
    }
    let _lock = workers::alone(&run.dir)?;
    let reopened = reopen::reopen(&run)?;
    if reopened.lifted {
        args.voice.say("`cancel.toml` is lifted");
    }
    if !reopened.members.is_empty() {
        args.voice.say(&format!("{} failed members get another try", reopened.members.len()));
    }
    let result = match args.on {
        On::Threads => Threads { means }.launch(&run, &watch),
        On::Make => Make { means }.launch(&run, &watch),
        On::Mpi => Mpi { means, starter: starter(args) }.launch(&run, &watch),
        On::Local | On::Slurm => Local { means }.launch(&run, &watch),
    };
    watch.progress.end();
    result?;
    result_table(&run, args.voice);
    Ok(Exit::Done)
}

/// What carries the run on this machine.
fn means(args: &Args, site: &Site) -> Result<Means, LaunchError> {
    let threads = args.threads.unwrap_or(site.local.threads as usize).max(1);
    let workers = workers::count(args.workers.unwrap_or(site.local.workers), threads);
    let stop = signals::stop_flag().map_err(|e| LaunchError::Carrier {
        what: format!("cannot listen to signals: {e}"),
        hint: "is this a Linux system?".into(),
    })?;
    // Hundreds of workers need more files than the soft limit of a login shell allows.
    let _ = limits::raise_open_files();
    Ok(Means { workers, threads, stop })
}

/// `--starter`, word by word.
fn starter(args: &Args) -> Option<Vec<String>> {
    args.starter.as_deref().map(|words| words.split_whitespace().map(str::to_owned).collect())
}

/// The same for a grid.
fn carry_grid(args: &Args, run: &GridRun) -> Result<Exit, LaunchError> {
    let note = |text: &str| args.voice.say(text);
    args.voice.warn(run.other_tools().as_slice());
    if let Some([record, ids]) = args.submitted.as_deref() {
        GridScheduler::new(run, &note)?.desk.submitted(record.parse().unwrap_or(0), ids)?;
        return Ok(Exit::Done);
    }
    if args.dry_run {
        let slurm = args.on == On::Slurm;
        cli::out(&if slurm { GridScheduler::new(run, &note)?.dry_run()? } else { grid::dry_run::text(run)? });
        return Ok(Exit::Done);
    }
    if args.begin {
        let start = if args.again { Start::Again } else { Start::Fresh };
        if let Some(begun) = GridScheduler::new(run, &note)?.begin(start)? {
            cli::out(&begun.to_string());
        }
        return Ok(Exit::Done);
    }
    let means = means(args, &setup::site_of_dir(&run.dir)?)?;
    let watch = Screen::new(args.voice);
    if args.on == On::Slurm || args.next {
        let wait = !(args.next || args.once);
        let result = grid::slurm::launch(&means, run, &watch, wait);
        watch.progress.end();
        return result;
    }
    let _lock = match workers::alone(&run.dir) {
        Err(LaunchError::Busy) if args.once => return Ok(Exit::NotYet),
        lock => lock?,
    };
    if args.once {
        run.not_cancelled()?; // cron must not undo a person's decision
    }
    // A call that comes every few minutes gives no other try: what failed waits for a person.
    let reopened = if args.once { Reopened::default() } else { grid_steps::reopen::reopen(run)? };
    if reopened.lifted {
        args.voice.say("`cancel.toml` is lifted");
    }
    if !reopened.members.is_empty() {
        args.voice.say(&format!("{} cells without data get another try", reopened.members.len()));
    }
    if run.is_over() {
        args.voice.say("over: all cells are ok (`stop.toml`), nothing to do");
        return Ok(Exit::Done);
    }
    let result = match args.on {
        On::Threads => grid::in_threads(&means, run, &watch),
        On::Make => grid::make(&Make { means }, run, &watch),
        On::Mpi => grid::mpi(&Mpi { means, starter: starter(args) }, run, &watch),
        On::Local | On::Slurm => grid::local(&Local { means }, run, &watch),
    };
    watch.progress.end();
    result.map(|()| Exit::Done)
}

/// The run folder: named, or made from the experiment named.
fn folder(args: &Args) -> Result<PathBuf, LaunchError> {
    let path = &args.run;
    let experiment =
        if path.is_dir() && !path.join("run.toml").exists() && path.join("experiment.toml").exists() {
            path.join("experiment.toml")
        } else if path.is_file() || path.extension().is_some_and(|end| end == "toml") {
            path.clone()
        } else {
            return Ok(path.clone());
        };
    let request = Request { experiment: experiment.clone(), ..Request::default() };
    let made_by = format!("ekp-init {}", setup::shown(&experiment));
    if grid_steps::init::asked(&request) {
        let (prepared, ..) = grid::setup::make(&request, None, None, &made_by)?;
        args.voice.warn(&prepared.warnings);
        args.voice.say(&format!("run folder: {}", setup::shown(&prepared.root)));
        return Ok(prepared.root);
    }
    let (prepared, _) = setup::make(&request, None, &made_by)?;
    args.voice.warn(&prepared.warnings);
    args.voice.say(&format!("run folder: {}", setup::shown(&prepared.root)));
    Ok(prepared.root)
}

/// Progress for people.
struct Screen {
    progress: Progress,
    voice: Voice,
    /// Of a grid
    stages: Mutex<Vec<Stage>>,
}

/// How far a stage is.
struct Stage {
    /// To run
    cells: usize,
    ended: usize,
    failed: usize,
    since: Instant,
}

impl Screen {
    fn new(voice: Voice) -> Self {
        Self { progress: Progress::new(voice), voice, stages: Mutex::new(Vec::new()) }
    }
}

impl Watch for Screen {
    fn begin(&self, iteration: Iteration, members: usize) {
        self.progress.begin(&format!("iteration {iteration}"), members as u64);
    }
    fn member(&self, member: Member, outcome: &Outcome) {
        self.progress.step(matches!(outcome, Outcome::Failed { .. } | Outcome::AlreadyFailed));
        if let Outcome::Failed { reason } = outcome {
            self.progress.line(&format!("member {member} failed: {reason}"));
        }
    }
    fn closed(&self, update: &Update) {
        if let Some(search) = &update.search {
            let score: Vec<String> = search.score.iter().map(|x| short(*x)).collect();
            self.progress.line(&format!(
                "iteration {:>3}: {} of {} evaluations, {} failed, best {} (trial {})",
                update.iteration,
                search.evaluations,
                search.budget,
                search.failed,
                score.join(", "),
                search.best
            ));
            return;
        }
        let (step, time, misfit) = (short(update.step), short(update.time), short(update.misfit));
        let failed = if update.failed > 0 { format!(", {} failed", update.failed) } else { String::new() };
        self.progress.line(&format!(
            "iteration {:>3}: {} ok{failed}, misfit {misfit}, step {step}, time {time}",
            update.iteration, update.ok
        ));
        for warning in &update.warnings {
            self.progress.line(&format!("warning: {warning}"));
        }
    }
    fn note(&self, text: &str) {
        if !self.voice.quiet {
            self.progress.line(text);
        }
    }
}

impl WatchCells for Screen {
    fn left(&self, run: &GridRun, open: &[usize]) {
        self.progress.begin("cells", open.iter().sum::<usize>() as u64);
        let mut stages = self.stages.lock().expect("no one panics under this lock");
        stages.clear();
        for (stage, &cells) in run.grid.stages.iter().zip(open) {
            stages.push(Stage { cells, ended: 0, failed: 0, since: Instant::now() });
            if cells > 0 {
                self.progress.line(&format!("stage {}: {} to run", stage.name, count(cells, "cell")));
            }
        }
    }
    fn standing(&self, run: &GridRun, open: &[usize]) {
        let of = |(stage, &left): (&ekp::experiment::grid::Stage, &usize)| {
            let all = stage.cells.len();
            format!("{} {} of {all}", stage.name, all - left)
        };
        let all: Vec<String> = run.grid.stages.iter().zip(open).map(of).collect();
        self.progress.line(&format!("ended: {}", all.join(", ")));
    }
    fn cell(&self, run: &GridRun, stage: Iteration, cell: Member, outcome: &Outcome) {
        self.progress.step(matches!(outcome, Outcome::Failed { .. } | Outcome::AlreadyFailed));
        let name = &run.grid.stages[stage as usize - 1].name;
        match outcome {
            // What fails for want of another cell was told when that one failed.
            Outcome::Failed { .. } if !self.voice.verbose && run.wants_another(stage, cell) => {}
            Outcome::Failed { reason } => {
                self.progress.line(&format!("{name} {} failed: {reason}", run.shown(stage, cell)));
            }
            Outcome::Done { seconds } if self.voice.verbose => {
                self.progress.line(&format!("{name} {}: {seconds:.3} s", run.shown(stage, cell)));
            }
            _ => {}
        }
        let mut stages = self.stages.lock().expect("no one panics under this lock");
        let Some(s) = stages.get_mut(stage as usize - 1) else { return };
        s.ended += 1;
        s.failed += usize::from(matches!(outcome, Outcome::Failed { .. } | Outcome::AlreadyFailed));
        if s.ended == s.cells {
            let failed = if s.failed > 0 { format!(", {} failed", s.failed) } else { String::new() };
            let took = span(s.since.elapsed().as_secs_f64());
            self.progress.line(&format!("stage {name}: {} of {} ended{failed}, {took}", s.ended, s.cells));
        }
    }
    fn complete(&self, run: &GridRun, merged: &Merged) {
        self.progress.line(&format!("over: {}", merged.sentence(run)));
        for table in &merged.tables {
            cli::out(&format!("{}\n", setup::shown(table)));
        }
    }
}

/// The best trial of a search; of several objectives the archive.
fn best_table(stop: &Stopped, voice: Voice) {
    let mut rows = Vec::new();
    if let [best] = stop.best.as_slice() {
        rows.push(["parameter", "best"].map(str::to_owned).to_vec());
        rows.extend(best.names.iter().zip(&best.values).map(|(name, x)| vec![name.clone(), short(*x)]));
    } else if let Some(first) = stop.best.first() {
        let scores = (1..=first.score.len()).map(|k| format!("score {k}"));
        rows.push(["trial".to_owned()].into_iter().chain(scores).chain(first.names.clone()).collect());
        for best in &stop.best {
            let numbers = best.score.iter().chain(&best.values).map(|x| short(*x));
            rows.push([best.trial.to_string()].into_iter().chain(numbers).collect());
        }
    }
    cli::out(&cli::table(&rows));
    for best in stop.best.iter().take(1) {
        let score: Vec<String> = best.score.iter().map(|x| short(*x)).collect();
        voice.say(&format!(
            "best: {} ({}), trial {} in `{}`",
            score.join(", "),
            best.scored,
            best.trial,
            best.folder
        ));
        for (name, x) in &best.evaluation {
            voice.say(&format!("evaluation period: {name} {}", short(*x)));
        }
    }
    voice.say(&format!(
        "over: {}; {} evaluations, {} failed; `ekp-run-member . --best` runs the best once more",
        stop.why(),
        stop.evaluations,
        stop.failed
    ));
}

/// Prior and result, side by side.
fn result_table(run: &Run, voice: Voice) {
    let Ok(stop) = load_record::<Stopped>(&run.dir.stop()) else { return };
    if run.experiment.forwards().is_some() {
        return batch_table(run, &stop, voice);
    }
    if run.experiment.searching().is_some() {
        return best_table(&stop, voice);
    }
    let head = ["parameter", "prior mean", "prior std", "mean", "std"].map(str::to_owned).to_vec();
    let mut rows = vec![head];
    for e in &stop.result {
        let numbers = [e.prior_mean, e.prior_std, e.mean, e.std].map(short);
        rows.push([vec![e.name.clone()], numbers.to_vec()].concat());
    }
    cli::out(&cli::table(&rows));
    let last = run.dir.iteration_name(stop.last);
    if let Some(time) = run.short_of_time(&stop) {
        voice.say(&format!(
            "warning: the data were used with weight {} of 1 only: `ekp-init --extend iterations={} {}` gives it more iterations",
            short(time),
            2 * run.experiment.iterations.max(stop.last),
            setup::shown(run.dir.root())
        ));
    }
    voice.say(&format!("over: {}; the result is the ensemble of `{last}`", stop.why()));
    voice.say(&format!("look:  {}", setup::shown(Path::new(&run.dir.iteration(stop.last)))));
}

/// Outputs of a batch that are shown.
const OUTPUTS: usize = 12;

/// The statistics of a batch, as far as they fit a screen.
fn batch_table(run: &Run, stop: &Stopped, voice: Voice) {
    let path = run.dir.results().join("quantiles.csv");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (k, line) in text.lines().take(OUTPUTS + 1).enumerate() {
        let cell = |cell: &str| match cell.parse::<f64>() {
            Ok(x) if k > 0 && cell.parse::<u64>().is_err() => short(x),
            _ => cell.to_owned(),
        };
        rows.push(line.split(',').map(cell).collect());
    }
    cli::out(&cli::table(&rows));
    let more = text.lines().count().saturating_sub(OUTPUTS + 1);
    if more > 0 {
        cli::out(&format!("and {more} more outputs\n"));
    }
    voice.say(&format!("over: {}", stop.why()));
    voice.say(&format!("look:  {}", setup::shown(&path)));
}
