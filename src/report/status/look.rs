//! What each member of an iteration has: an outcome, a failure, somebody who works on it, nothing.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::files::{
    CLAIM, Chunk, Data, Failed, Found, Iteration, Member, RunDir, Stored, digest, load_record, load_state,
};
use crate::problem::{Ensemble, Prior};
use crate::report::ReportError;
use crate::report::status::View;
use crate::steps::parameters::{ENSEMBLE, Writer};
use crate::steps::{Run, StepError, Update, forward};

/// A try without a lease that left no trace for so long counts as given up, unless a scheduler runs it.
const QUIET: Duration = Duration::from_secs(600);

/// What stands in a member's place.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// An outcome
    Done,
    /// A failure
    Failed(Box<Failed>),
    /// No outcome
    Open {
        /// A file that is none, and in which way
        defect: Option<(String, String)>,
        /// Somebody works on it
        running: Option<Running>,
    },
}

/// A member somebody works on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Running {
    /// Which
    pub member: Member,
    /// Folder of the try, in the run; empty when only the scheduler tells
    pub folder: String,
    /// Who has leased it
    pub worker: String,
    /// Since its beginning
    pub since_s: Option<f64>,
}

/// The members for which `which` holds.
pub(super) fn members(seen: &[Seen], which: impl Fn(&Seen) -> bool) -> Vec<Member> {
    (1..).zip(seen).filter(|(_, s)| which(s)).map(|(m, _)| m).collect()
}

/// The members somebody works on, the longest first.
pub(super) fn running(seen: &[Seen]) -> Vec<Running> {
    let one = |s: &Seen| match s {
        Seen::Open { running, .. } => running.clone(),
        _ => None,
    };
    let mut all: Vec<Running> = seen.iter().filter_map(one).collect();
    all.sort_by(|a, b| {
        b.since_s.unwrap_or(0.0).total_cmp(&a.since_s.unwrap_or(0.0)).then(a.member.cmp(&b.member))
    });
    all
}

/// Look at every member of the open iteration, judging outcomes by content.
pub(super) fn open(
    run: &Run,
    iteration: Iteration,
    view: &View,
    warnings: &mut Vec<String>,
) -> Result<Vec<Seen>, ReportError> {
    let mut all = if run.experiment.forwards().is_some() {
        chunks(run, iteration)?
    } else if run.dir.packed() {
        packs(&run.dir, iteration)?
    } else if run.dir.leaderless() {
        // Each trial was made from what was known: only workers and updates judge its outcome.
        singles(run, iteration, None)?
    } else {
        match Expected::new(run, iteration) {
            Ok(expected) => singles(run, iteration, Some(&expected))?,
            Err(e) => {
                warnings.push(format!("{e}; outcomes are told by their presence, not by their content"));
                singles(run, iteration, None)?
            }
        }
    };
    // What the scheduler runs, runs, also where the model's folder does not show it.
    for job in view.jobs.iter().flatten().filter(|j| j.state == "running" && j.iteration == Some(iteration)) {
        let Some(element) = job.element else { continue };
        let first = element.saturating_sub(1).saturating_mul(view.per_element) + 1;
        for member in first..first.saturating_add(view.per_element) {
            if let Some(Seen::Open { running: running @ None, .. }) = all.get_mut(member as usize - 1) {
                let (folder, worker) = (String::new(), format!("job {} on {}", job.id, job.nodes));
                *running = Some(Running { member, folder, worker, since_s: None });
            }
        }
    }
    Ok(all)
}

/// What a member's outcome must answer: digests of the parameters, made from the ensemble and not read one by one.
struct Expected {
    prior: Prior,
    ensemble: Ensemble,
}

impl Expected {
    fn new(run: &Run, iteration: Iteration) -> Result<Self, StepError> {
        let ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
        Ok(Self { prior: run.prior()?, ensemble })
    }
}

fn singles(run: &Run, iteration: Iteration, expected: Option<&Expected>) -> Result<Vec<Seen>, ReportError> {
    let asked = run.asked(iteration)?;
    let writer = expected.map(|e| (Writer::new(&run.dir, &e.prior), &e.ensemble));
    let one = |member| {
        let folder = run.dir.member(iteration, member);
        let found = match &writer {
            Some((writer, ensemble)) => {
                let digest = digest(writer.text(ensemble, iteration, member)?.as_bytes());
                Found::look(&folder, &digest, &asked.blocks, &asked.lengths)?
            }
            None => present(&folder),
        };
        Ok(match found {
            Found::Data(_) => Seen::Done,
            Found::Failed(failed) => Seen::Failed(Box::new(failed)),
            Found::Missing => Seen::Open { defect: None, running: at_work(&run.dir, iteration, member) },
            Found::Defective { file, defect } => Seen::Open {
                defect: Some((run.dir.shown(iteration, member, file), defect.to_string())),
                running: None,
            },
        })
    };
    (1..=run.dir.members(iteration)).map(one).collect()
}

/// By presence alone.
fn present(folder: &Path) -> Found {
    if folder.join("data.toml").exists() {
        return Found::Data(Data { digest: String::new(), form: Stored::Other });
    }
    load_record(&folder.join("failed.toml")).map_or(Found::Missing, Found::Failed)
}

/// The last try of a member, if it shows signs of life.
fn at_work(dir: &RunDir, iteration: Iteration, member: Member) -> Option<Running> {
    let folder = dir.member(iteration, member);
    let attempt = last_try(&folder)?;
    let name = format!("try_{attempt}");
    let place = folder.join(&name);
    let modified = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let began = modified(&place);
    let claim: Option<toml::Table> =
        fs::read_to_string(place.join(CLAIM)).ok().and_then(|text| text.parse().ok());
    let (touched, patience) = match &claim {
        Some(claim) => {
            let lease = claim.get("lease_s").and_then(toml::Value::as_float).unwrap_or(60.0);
            // Clocks of two machines may differ a little.
            (modified(&place.join(CLAIM)), Duration::from_secs_f64(lease.clamp(0.0, 1e6) + 10.0))
        }
        None => (modified(&place.join("log.txt")).max(began), QUIET),
    };
    let now = SystemTime::now();
    let age = |t: SystemTime| now.duration_since(t).unwrap_or(Duration::ZERO);
    if age(touched?) > patience {
        return None;
    }
    let worker =
        claim.as_ref().and_then(|c| c.get("worker")?.as_str().map(str::to_owned)).unwrap_or_default();
    let folder = dir.shown(iteration, member, &name);
    Some(Running { member, folder, worker, since_s: began.map(|t| age(t).as_secs_f64()) })
}

/// The number of a member's last try.
pub(super) fn last_try(folder: &Path) -> Option<u32> {
    let entries = fs::read_dir(folder).ok()?;
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix("try_")?.parse().ok()).max()
}

/// The chunks of a batch, by their records; the arrays beside them are not read.
fn chunks(run: &Run, iteration: Iteration) -> Result<Vec<Seen>, ReportError> {
    let batch = forward::Batch::open(run)?;
    let one = |chunk| match forward::record(&batch, chunk) {
        Ok(Some(_)) => Seen::Done,
        Ok(None) => Seen::Open { defect: None, running: at_work(&run.dir, iteration, chunk) },
        Err(why) => {
            Seen::Open { defect: Some((run.dir.shown(iteration, chunk, "data.toml"), why)), running: None }
        }
    };
    Ok((1..=run.dir.members(iteration)).map(one).collect())
}

fn packs(dir: &RunDir, iteration: Iteration) -> Result<Vec<Seen>, ReportError> {
    let mut all = Vec::with_capacity(dir.members(iteration) as usize);
    for chunk in 1..=dir.chunks(iteration) {
        let folder = dir.chunk(iteration, chunk);
        let found = Chunk::read(&folder);
        let shown = format!("{}/chunk_{chunk:06}/data.toml", dir.iteration_name(iteration));
        for member in dir.chunk_members(iteration, chunk) {
            all.push(match &found {
                Ok(None) => Seen::Open { defect: None, running: None },
                Err(defect) => Seen::Open { defect: Some((shown.clone(), defect.clone())), running: None },
                Ok(Some(record)) => match record.failed.iter().position(|&m| m == member) {
                    None => Seen::Done,
                    Some(k) => Seen::Failed(Box::new(Failed {
                        cause: record.causes.get(k).cloned().unwrap_or_default(),
                        exit_code: None,
                        signal: None,
                        message: record.messages.get(k).cloned().unwrap_or_default(),
                        stderr_tail: String::new(),
                        rerun: String::new(),
                        attempt: 1,
                    })),
                },
            });
        }
    }
    Ok(all)
}

/// The members of a closed iteration as its update saw them; of failed ones the record is read if it is still there.
pub(super) fn decided(
    run: &Run,
    iteration: Iteration,
    warnings: &mut Vec<String>,
) -> Result<Vec<Seen>, ReportError> {
    if run.experiment.forwards().is_some() {
        return chunks(run, iteration);
    }
    let update: Update = load_record(&run.dir.update(iteration))?;
    let mut gone = 0;
    let one = |(member, used): (Member, &String)| {
        let Some(cause) = used.strip_prefix("failed: ") else { return Seen::Done };
        let path = run.dir.member(iteration, member).join("failed.toml");
        Seen::Failed(Box::new(load_record(&path).unwrap_or_else(|_| {
            gone += 1;
            Failed {
                cause: cause.to_owned(),
                exit_code: None,
                signal: None,
                message: String::new(),
                stderr_tail: String::new(),
                rerun: String::new(),
                attempt: 0,
            }
        })))
    };
    let seen = (1..).zip(&update.outcomes).map(one).collect();
    if gone > 0 && !run.dir.packed() {
        warnings.push(format!("the records of {gone} failed members of iteration {iteration} are gone"));
    }
    Ok(seen)
}
