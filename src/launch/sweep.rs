//! Sweeps: a run folder for each case, and scripts that carry all of them out.
//!
//! ```text
//!   DIR/sweep.tsv  Makefile  submit_all.sbatch  run_case.sbatch  CASE/  CASE_r1/ ...
//! ```
//!
//! Belongs here: making the folders, how their scripts follow each other. Not here: what a case is (`experiment::sweep`).

mod cost;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use minijinja::{Value, context};

use crate::experiment::sweep::{Case, Order, Sweep};
use crate::experiment::{ExperimentError, setting_at, with_settings};
use crate::explain::{self, Marked, Place};
use crate::files::human::Document;
use crate::files::{FileError, publish};
use crate::launch::scripts::{self, environment, fill, job_name};
use crate::launch::setup;
use crate::launch::site::{Job, Request, Site};
use crate::launch::{LaunchError, tools};
use crate::steps::StepError;
use crate::steps::init::{self, Made, Prepared};

pub use cost::Costs;

/// The list of cases in a sweep's folder.
pub const LIST: &str = "sweep.tsv";

/// A case with what it needs to be made.
struct Ready {
    request: init::Request,
    site: Site,
}

/// What was made, or would be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Swept {
    /// A line for each case
    pub lines: Vec<String>,
    /// Cases
    pub cases: usize,
    /// Runs that were not there before
    pub new: usize,
    /// Members of all cases together, at most
    pub members: u64,
    /// What they cost, of a sweep that was checked
    pub costs: Costs,
    /// What a person should know, and of which cases
    warned: BTreeMap<String, Vec<String>>,
}

impl Swept {
    /// What a person should know: the same of many cases is said once.
    pub fn warnings(&self) -> Vec<String> {
        let told = |(warning, of): (&String, &Vec<String>)| match of.len() {
            1 => format!("{}: {warning}", of[0]),
            n => format!("{} and {} more: {warning}", of[0], n - 1),
        };
        self.warned.iter().map(told).collect()
    }
}

/// Check every case of a sweep; write nothing.
///
/// # Errors
/// The first fault, at its line.
pub fn check(sweep: &Sweep, folder: &Path) -> Result<Swept, LaunchError> {
    let mut swept = Swept::default();
    let (mut last, mut all) = (None, Vec::new());
    for case in &sweep.cases {
        // Repeats differ in their seed alone.
        if case.repeat <= 1 {
            last = possible(sweep, case, folder, &mut swept)?.map(Rc::new);
        }
        if let Some(prepared) = &last {
            all.push((case, prepared.clone()));
        }
    }
    all.iter().for_each(|(case, prepared)| swept.costs.look(case, prepared));
    for (case, prepared) in all {
        count(&mut swept, case, &prepared);
        let members = most_members(&prepared);
        let said = swept.costs.add(case, &prepared, &ready(sweep, case, folder)?.site, members);
        if let Some(line) = swept.lines.last_mut() {
            line.push_str(&format!("\t{said}"));
        }
    }
    Ok(swept)
}

/// Make every case, the list and the scripts. The same again changes nothing.
///
/// # Errors
/// As [`check`]; a folder that holds another run.
pub fn make(sweeps: &[Sweep], folder: &Path, made_by: &str) -> Result<Swept, LaunchError> {
    let mut swept = Swept::default();
    // All are checked before the first is made: nothing is left half done.
    let mut left_out = Vec::new();
    for sweep in sweeps {
        for case in sweep.cases.iter().filter(|case| case.repeat <= 1) {
            if possible(sweep, case, folder, &mut swept)?.is_none() {
                left_out.push(case.name.clone());
            }
        }
    }
    fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
    let mut list =
        String::from("sweep\tpart\tcase\trepeat\tgroup\trun\ton\tworkers\tthreads\tnodes\tsettings\n");
    let mut rows = Vec::new();
    // Sweeps of one study follow each other, so that none disturbs another's timings.
    let mut ended: Vec<String> = Vec::new();
    for sweep in sweeps {
        let mut lanes: BTreeMap<usize, String> = BTreeMap::new();
        let places = lanes_of(sweep);
        for (case, lane) in sweep.cases.iter().zip(places) {
            if left_out.contains(&case.name) {
                continue;
            }
            let ready = ready(sweep, case, folder)?;
            let (prepared, made) = named(case, setup::make_for(&ready.request, ready.site, made_by))?;
            swept.new += usize::from(made == Made::New);
            count(&mut swept, case, &prepared);
            list.push_str(&line(sweep, case));
            let before = lanes.insert(lane, case.folder()).map_or_else(|| ended.clone(), |case| vec![case]);
            rows.push(row(case, before, sweep.exclusive));
        }
        ended = lanes.into_values().collect();
    }
    publish(&folder.join(LIST), list.as_bytes())?;
    let site = sweeps.iter().find_map(|sweep| sweep.site.as_deref());
    for (name, text) in texts(sweeps, &rows, site, made_by)? {
        publish(&folder.join(name), text.as_bytes())?;
    }
    Ok(swept)
}

/// What would be made of a case; none, and a word, where it is optional and cannot be here.
fn possible(
    sweep: &Sweep,
    case: &Case,
    folder: &Path,
    swept: &mut Swept,
) -> Result<Option<Prepared>, LaunchError> {
    let ready = ready(sweep, case, folder)?;
    match named(case, init::check(&ready.request).map_err(LaunchError::from)) {
        Ok(prepared) => {
            let external = prepared.experiment.model.external.as_ref().filter(|_| case.optional);
            let Some(why) = external.and_then(|program| program.unable()) else { return Ok(Some(prepared)) };
            swept.warned.entry(format!("left out: {why}")).or_default().push(case.folder());
            Ok(None)
        }
        Err(error) if case.optional => {
            let why = error.to_string();
            // The label of the marked line says most: `^^^^ built without …`
            let label = why
                .lines()
                .find_map(|line| line.split_once('^'))
                .map(|(_, rest)| rest.trim_matches(['^', ' ']));
            let reason = label.filter(|l| !l.is_empty()).or_else(|| why.lines().next()).unwrap_or_default();
            swept.warned.entry(format!("left out: {reason}")).or_default().push(case.folder());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The lane of each case: those of a lane follow each other. Where so many run at once, each case goes to the lane
/// that is free first as far as costs tell: with the longest first as Graham (1969) has it, doi:10.1137/0117039.
fn lanes_of(sweep: &Sweep) -> Vec<usize> {
    let mut load = match sweep.order {
        Order::Sequential => vec![0.0],
        Order::Parallel => return (0..sweep.cases.len()).collect(),
        Order::Hybrid(at_once) => vec![0.0_f64; at_once as usize],
    };
    let free = |case: &Case| {
        let (lane, _) = load.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).expect("there is a lane");
        load[lane] += case.cost;
        lane
    };
    sweep.cases.iter().map(free).collect()
}

/// A row of the scripts.
#[derive(Clone)]
struct Row {
    folder: String,
    on: String,
    workers: u32,
    threads: u32,
    /// What its job asks for
    options: String,
    /// Cases that end before it begins
    before: Vec<String>,
}

fn row(case: &Case, before: Vec<String>, exclusive: bool) -> Row {
    let launch = &case.launch;
    let mut options = match launch.on.as_str() {
        "mpi" => {
            format!("--nodes={} --ntasks={} --cpus-per-task={}", launch.nodes, launch.workers, launch.threads)
        }
        // The chain's own jobs do the work; this one waits.
        "slurm" => "--nodes=1 --ntasks=1 --cpus-per-task=1".into(),
        _ => {
            format!("--nodes=1 --ntasks=1 --cpus-per-task={}", launch.workers.saturating_mul(launch.threads))
        }
    };
    if exclusive && launch.on != "slurm" {
        options.push_str(" --exclusive");
    }
    let (on, workers, threads) = (launch.on.clone(), launch.workers, launch.threads);
    Row { folder: case.folder(), on, workers, threads, options, before }
}

fn line(sweep: &Sweep, case: &Case) -> String {
    let l = &case.launch;
    let mut settings = case.settings.clone();
    settings.extend(case.site.iter().map(|s| format!("site.{s}")));
    format!(
        "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n",
        sweep.name,
        sweep.part,
        case.name,
        case.repeat.max(1),
        case.group,
        case.folder(),
        l.on,
        l.workers,
        l.threads,
        l.nodes,
        settings.join("; ").replace(['\t', '\n'], " ")
    )
}

/// Members of all iterations, at most.
fn most_members(prepared: &Prepared) -> u64 {
    u64::from(prepared.identity.members) * u64::from(prepared.identity.iterations)
}

fn count(swept: &mut Swept, case: &Case, prepared: &Prepared) {
    let id = &prepared.identity;
    let members = most_members(prepared);
    swept.cases += 1;
    swept.members += members;
    swept.lines.push(format!(
        "{}\t{}\t{}\t{}\tat most {}",
        case.folder(),
        id.method,
        case.launch.on,
        explain::count(case.launch.workers as usize, "worker"),
        explain::count(usize::try_from(members).unwrap_or(usize::MAX), "member")
    ));
    for warning in &prepared.warnings {
        swept.warned.entry(warning.clone()).or_default().push(case.folder());
    }
}

/// An error of a case says which.
fn named<T>(case: &Case, result: Result<T, LaunchError>) -> Result<T, LaunchError> {
    result.map_err(|error| match error {
        LaunchError::Step(StepError::Refused { what, hint }) => {
            StepError::Refused { what: format!("case `{}`: {what}", case.folder()), hint }.into()
        }
        LaunchError::Step(StepError::Experiment(ExperimentError::Absent { path })) => {
            let label = format!("`{}`: no such file", path.display());
            match place(case, "experiment") {
                Some(place) => told(place.marked("there is no such experiment", label)),
                None => StepError::from(ExperimentError::Absent { path }).into(),
            }
        }
        LaunchError::Step(StepError::Experiment(ExperimentError::Marked(fault)))
            if fault.path() == Path::new(init::TYPED) =>
        {
            match place(case, fault.text()) {
                Some(place) => told(fault.moved(place)),
                None => told(*fault),
            }
        }
        other => other,
    })
}

fn told(fault: Marked) -> LaunchError {
    StepError::from(ExperimentError::from(fault)).into()
}

/// Where the sweep says a setting; the last one counts.
fn place<'a>(case: &'a Case, setting: &str) -> Option<&'a Place> {
    case.places.iter().rev().find(|(known, _)| known == setting).map(|(_, place)| place)
}

fn ready(sweep: &Sweep, case: &Case, folder: &Path) -> Result<Ready, LaunchError> {
    let beside = case.experiment.parent().unwrap_or(Path::new("")).join("site.toml");
    let path: Option<PathBuf> = sweep.site.clone().or_else(|| beside.is_file().then_some(beside));
    let text = match &path {
        Some(path) => fs::read_to_string(path).map_err(FileError::io("read", path))?,
        None => "schema = \"ekp.site\"\nversion = 1\n".into(),
    };
    let mut settings = case.site.clone();
    if settings.iter().all(|s| !s.starts_with("local.workers=")) {
        settings.push(format!("local.workers={}", case.launch.workers));
    }
    if settings.iter().all(|s| !s.starts_with("local.threads=")) {
        settings.push(format!("local.threads={}", case.launch.threads));
    }
    let before = text;
    let text = with_settings(&before, &settings).map_err(StepError::from)?;
    let shown = path.unwrap_or_else(|| "site.toml".into());
    let read = Document::parse(&shown, &text).and_then(|document| Site::read(&document));
    let site = read.map_err(|fault| {
        let setting = setting_at(&fault, &before, &settings).map(|(k, _)| format!("site.{}", settings[k]));
        match setting.and_then(|setting| place(case, &setting)) {
            Some(place) => told(fault.moved(place)),
            None => Box::new(fault).into(),
        }
    })?;
    let request = init::Request {
        experiment: case.experiment.clone(),
        run: Some(folder.join(case.folder())),
        settings: case.settings.clone(),
        ..init::Request::default()
    };
    Ok(Ready { request, site })
}

fn texts(
    sweeps: &[Sweep],
    rows: &[Row],
    site: Option<&Path>,
    made_by: &str,
) -> Result<Vec<(&'static str, String)>, LaunchError> {
    let site = match site {
        Some(path) => setup::site(Some(path), Path::new(""))?,
        None => Site::default(),
    };
    let names: Vec<&str> = sweeps.iter().map(|s| s.name.as_str()).collect();
    let name = names.join(", ");
    let tools = tools()?.display().to_string();
    let cases: Vec<Value> = rows
        .iter()
        .map(|row| {
            let Row { folder, on, workers, threads, options, before } = row.clone();
            context! { folder, on, workers, threads, options, before }
        })
        .collect();
    let common = |request: &Request, what: &str| -> Value {
        let env: Vec<Vec<String>> = request.env.iter().map(|(k, v)| vec![k.clone(), v.clone()]).collect();
        context! {
            name => name.as_str(),
            made_by,
            cases => cases.clone(),
            tools => tools.as_str(),
            env,
            job_name => job_name(names.first().copied().unwrap_or("sweep")),
            modules => request.modules.clone().unwrap_or_default(),
            prologue => request.prologue.clone().unwrap_or_default(),
            directives => scripts::of_site(request, &format!("{}.{what}", job_name(&name))),
        }
    };
    let environment = environment()?;
    let member = site.slurm.request(Job::Member);
    let init = site.slurm.request(Job::Init);
    Ok(vec![
        ("run_case.sbatch", fill(&environment, "run_case.sbatch", common(&member, "case"))?),
        ("submit_all.sbatch", fill(&environment, "submit_all.sbatch", common(&init, "submit"))?),
        ("Makefile", fill(&environment, "sweep.make", common(&member, "case"))?),
    ])
}
