//! What a worker knows: the results it has read, each once, and what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use super::spare::Spare;
use super::{Bench, block};
use crate::dds::{Standing, Tried};
use crate::files::{Found, digest};
use crate::problem::MemberFile;
use crate::steps::{Run, StepError};

/// How old a look may be: for a model of seconds it is none, for one of microseconds looking would be all there is.
const FRESH: Duration = Duration::from_millis(20);

/// What a worker knows.
#[derive(Debug, Default)]
pub struct View {
    /// What the results come to, merged one by one in the order of their numbers
    pub standing: Standing,
    /// Results, by number of their lease
    results: BTreeMap<u32, Vec<Tried>>,
    /// Leases that somebody has or had
    touched: BTreeSet<u32>,
    /// Whether another was first at the last claim
    pub(super) missed: bool,
    /// The folder of its last try
    pub(super) spare: Option<Spare>,
    /// When it last looked
    looked: Option<Instant>,
    /// Room for a file
    room: Vec<u8>,
}

impl View {
    /// Read what is new. A folder that is not seen yet only means that this worker knows less.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn look(&mut self, bench: &Bench<'_>) -> Result<(), StepError> {
        if !self.missed && self.looked.is_some_and(|then| then.elapsed() < FRESH) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        self.list(bench);
        let unread: Vec<u32> =
            self.touched.iter().copied().filter(|number| !self.results.contains_key(number)).collect();
        let mut new = Vec::new();
        for number in unread {
            let read = if bench.size > 1 { block::read(bench, number) } else { self.trial(bench, number)? };
            if let Some(read) = read {
                new.push(number);
                self.results.insert(number, read);
            }
        }
        self.merge(bench, &new);
        Ok(())
    }

    /// Which folders are there.
    fn list(&mut self, bench: &Bench<'_>) {
        let dir = &bench.run.dir;
        let all = bench.leases();
        let mut number = 1;
        while number <= all {
            // All of a bucket that is full and read need not be listed again.
            let last = dir.bucket_end(number).min(all);
            let known = self.results.range(number..=last).count();
            if known < (last - number + 1) as usize
                && let Some(bucket) = bench.folder(number).parent()
                && let Ok(entries) = fs::read_dir(bucket)
            {
                let prefix = if bench.size > 1 { "chunk_" } else { "trial_" };
                let numbers = entries
                    .filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix(prefix)?.parse::<u32>().ok());
                self.touched.extend(numbers.filter(|n| (number..=last).contains(n)));
            }
            number = last + 1;
        }
    }

    /// The result of one trial, if it has one.
    fn trial(&mut self, bench: &Bench<'_>, trial: u32) -> Result<Option<Vec<Tried>>, StepError> {
        let run = bench.run;
        let first = run.dir.identity.first_iteration;
        let folder = run.dir.member(first, trial);
        if !folder.join("data.toml").exists() && !folder.join("failed.toml").exists() {
            return Ok(None);
        }
        let Ok(text) = fs::read_to_string(run.dir.parameters(first, trial)) else { return Ok(None) };
        let asked = run.asked(first)?;
        let mut numbers = vec![0.0; asked.total()];
        let expected = digest(text.as_bytes());
        let found =
            Found::read(&folder, &expected, &asked.blocks, &asked.lengths, &mut numbers, &mut self.room)?;
        let goals = match found {
            Found::Data(_) => {
                let objectives = bench.searching.score.names.len();
                Some(bench.searching.score.goals(&numbers[..objectives]))
            }
            Found::Failed(_) => None,
            // No outcome: whoever takes the trial moves it aside.
            Found::Missing | Found::Defective { .. } => return Ok(None),
        };
        let Ok(x) = MemberFile::read(&text, bench.prior.names()) else { return Ok(None) };
        Ok(Some(vec![Tried { trial, x, goals }]))
    }

    /// Take in new results, as if all had come in the order of their numbers.
    fn merge(&mut self, bench: &Bench<'_>, new: &[u32]) {
        let Some(first) = new.first() else { return };
        let behind = self.results.range(first..).count() == new.len();
        if behind {
            for number in new {
                for tried in &self.results[number] {
                    bench.search.merge(&mut self.standing, std::slice::from_ref(tried));
                }
            }
            return;
        }
        let mut standing = Standing::default();
        for tried in self.results.values().flatten() {
            bench.search.merge(&mut standing, std::slice::from_ref(tried));
        }
        self.standing = standing;
    }

    /// Whether a lease still has no results, by a look of its own.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn still_open(&self, bench: &Bench<'_>, number: u32) -> Result<bool, StepError> {
        Ok(if bench.size > 1 {
            block::read(bench, number).is_none()
        } else {
            Self::default().trial(bench, number)?.is_none()
        })
    }

    /// The result of a trial that this worker ran itself.
    pub(super) fn own(&mut self, bench: &Bench<'_>, number: u32) -> Result<(), StepError> {
        match self.trial(bench, number)? {
            Some(results) => self.take(bench, number, results),
            None => {
                self.touched.insert(number);
            }
        }
        Ok(())
    }

    /// A worker's own results, which it need not read.
    pub(super) fn take(&mut self, bench: &Bench<'_>, number: u32, results: Vec<Tried>) {
        self.touched.insert(number);
        self.results.insert(number, results);
        self.merge(bench, &[number]);
    }

    /// Whether a lease has ended with results.
    pub(super) fn known(&self, number: u32) -> bool {
        self.results.contains_key(&number)
    }

    /// How many leases have results.
    pub(super) fn results(&self) -> usize {
        self.results.len()
    }

    /// Leases that nobody has taken.
    pub(super) fn untouched(&self, bench: &Bench<'_>) -> Vec<u32> {
        (1..=bench.leases()).filter(|number| !self.touched.contains(number)).take(64).collect()
    }

    /// Whether every lease has its results.
    pub(super) fn all_known(&self, bench: &Bench<'_>) -> bool {
        self.results.len() >= bench.leases() as usize
    }

    /// Leases without results.
    pub(super) fn open(&self, bench: &Bench<'_>) -> Vec<u32> {
        (1..=bench.leases()).filter(|number| !self.results.contains_key(number)).collect()
    }

    /// All results, by number of the trial.
    pub(super) fn all(self) -> Vec<Tried> {
        self.results.into_values().flatten().collect()
    }

    /// Trials that failed.
    pub(super) fn failed(&self) -> Vec<u32> {
        self.results
            .values()
            .flatten()
            .filter(|tried| tried.goals.is_none())
            .map(|tried| tried.trial)
            .collect()
    }
}

/// Trials without an outcome, judged by content.
///
/// # Errors
/// The disk cannot be read.
pub fn open(run: &Run) -> Result<Vec<u32>, StepError> {
    let Some(searching) = run.experiment.searching() else { return Ok(Vec::new()) };
    let worker = crate::steps::worker::Worker::plain();
    let bench = Bench::new(run, searching, &worker)?;
    let mut view = View::default();
    view.look(&bench)?;
    let (size, budget) = (bench.size, run.dir.budget());
    Ok(view.open(&bench).into_iter().flat_map(|n| (n - 1) * size + 1..=(n * size).min(budget)).collect())
}
