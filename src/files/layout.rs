//! The run folder: the only place that spells a file name.
//!
//! ```text
//!   RUN/run.toml experiment.toml priors.toml observation.toml site.toml
//!       iteration_000/ensemble.bin state.bin update.toml timing.toml
//!       iteration_000/member_001/parameters.toml data.toml failed.toml timing.toml try_1/
//!       stage_1_build/cells.toml ID/parameters.toml output/ data.toml failed.toml timing.toml try_1/   (grids)
//!       trials_000/trial_000123/trial.toml parameters.toml data.toml failed.toml timing.toml try_1/claim.toml
//!       stop.toml cancel.toml extend_001.toml jobs/0001.toml platform/HOST.toml logs/ results/ report/
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{FileError, Record, digest, load_record};

/// An iteration, as in its folder's name.
pub type Iteration = u32;

/// A member, counted from 1.
pub type Member = u32;

/// The method whose members are trials that workers lease.
const LEADERLESS: &str = "dds-async";

/// Trials, or blocks of them, in one folder: a folder of many names is slow to list.
const BUCKET: u32 = 1000;

/// The folder of trials with these thousands.
fn bucket(number: u32) -> String {
    format!("trials_{:03}", number / BUCKET)
}

/// `run.toml`: who this run is. Written once by `ekp-init`, never changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Identity {
    /// Name of the experiment
    pub name: String,
    /// Digest of experiment, priors and observation: the same science has the same id
    pub id: String,
    /// Version of the tools that made the run
    pub tools: String,
    /// Seed of all random numbers
    pub seed: u64,
    /// Method of `[algorithm]`
    pub method: String,
    /// Members of an iteration, ensemble size J
    pub members: u32,
    /// Members of the first iterations, where they have another number; none where all are alike
    #[serde(default)]
    pub sizes: Vec<u32>,
    /// Members of all iterations together at most; 0 without such a limit
    #[serde(default)]
    pub budget: u32,
    /// Iterations asked for when the run was made; `extend_NNN.toml` may raise it
    pub iterations: u32,
    /// Number of the first iteration: 0, or 1 as ClimaCalibrate has it
    pub first_iteration: u32,
    /// Digits of an iteration's number in a folder's name
    pub iteration_digits: usize,
    /// Digits of a member's number in a folder's name
    pub member_digits: usize,
    /// Members that share one outcome (1: each its own)
    pub pack: u32,
    /// Models of a batch of forward models; its members are chunks of them. 0 in other runs
    #[serde(default)]
    pub models: u32,
    /// Models of a chunk, but for the last
    #[serde(default)]
    pub chunk: u32,
    /// Names of the calibrated parameters in row order
    pub parameters: Vec<String>,
    /// Components of each of them
    pub components: Vec<usize>,
    /// Names of the observation blocks
    pub blocks: Vec<String>,
    /// Lengths of the blocks, as the model puts them out
    pub lengths: Vec<usize>,
    /// Names of the observations of a series; none without one
    #[serde(default)]
    pub observations: Vec<String>,
    /// Files that the model was made from, as the experiment names them; none where it has none, and in runs made before
    /// these were recorded
    #[serde(default)]
    pub inputs: Vec<String>,
    /// The digest of each of them
    #[serde(default)]
    pub input_digests: Vec<String>,
    /// Folder of the experiment file, where the model's files are
    pub base: PathBuf,
    /// The same seen from the run folder, for trees that move as a whole
    pub base_relative: PathBuf,
    /// Digest of `experiment.toml` in the run
    pub experiment: String,
    /// Digest of `priors.toml`
    pub priors: String,
    /// Digest of `observation.toml`; empty where the method has none
    #[serde(default)]
    pub observation: String,
}

impl Record for Identity {
    const SCHEMA: &'static str = "ekp.run";
    const VERSION: u32 = 1;
}

/// The id of a run from the digests of its inputs: the same science has the same id.
pub fn run_id(experiment: &str, priors: &str, observation: &str) -> String {
    let all = digest(format!("{experiment}\n{priors}\n{observation}").as_bytes());
    all["blake3:".len()..][..12].to_owned()
}

/// An extension: more iterations than the run was made with, or another length for the steps to come.
#[derive(Debug, Deserialize)]
struct Extension {
    #[serde(default)]
    iterations: u32,
    #[serde(default)]
    budget: u32,
    step: Option<f64>,
}

impl Record for Extension {
    const SCHEMA: &'static str = "ekp.extend";
    const VERSION: u32 = 1;
}

fn no_run(root: &Path, why: String) -> FileError {
    FileError::NotARun { path: root.to_owned(), why }
}

/// A run folder.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
    /// Limits on all members together, one after the other as they were raised; none without a limit
    budgets: Vec<u32>,
    /// What `run.toml` says
    pub identity: Identity,
}

impl RunDir {
    /// Open a run folder.
    ///
    /// # Errors
    /// No `run.toml`, an unreadable one, or one of another version.
    pub fn open(root: &Path) -> Result<Self, FileError> {
        match load_record(&root.join("run.toml")) {
            Ok(identity) => {
                let mut dir = Self::making(root, identity);
                if dir.identity.budget > 0 {
                    let more: Vec<u32> = dir.extensions()?.iter().map(|extension| extension.budget).collect();
                    dir.budgets.extend(more.into_iter().filter(|budget| *budget > 0));
                }
                Ok(dir)
            }
            Err(FileError::Invalid { why, .. }) => {
                Err(no_run(root, format!("its `run.toml` is damaged: {why}")))
            }
            Err(_) if root.is_file() => Err(no_run(root, "it is a file".into())),
            Err(e) if e.is_missing() && !root.exists() => Err(no_run(root, "there is no such folder".into())),
            Err(e) if e.is_missing() => Err(no_run(root, "it has no `run.toml`".into())),
            Err(e) => Err(e),
        }
    }

    /// A folder that is being made: its `run.toml` may not be there yet.
    pub fn making(root: &Path, identity: Identity) -> Self {
        let budgets = if identity.budget > 0 { vec![identity.budget] } else { Vec::new() };
        Self { root: root.to_owned(), budgets, identity }
    }

    /// The folder, as it was named.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The same folder by an absolute path.
    ///
    /// # Errors
    /// The current folder is gone.
    pub fn absolute(&self) -> Result<Self, FileError> {
        let root = std::path::absolute(&self.root).map_err(FileError::io("find", &self.root))?;
        // `RUN/.` and `RUN` are one folder; a path that models see should look it.
        let root = root.components().collect();
        Ok(Self { root, ..self.clone() })
    }

    /// Folder of the experiment file, where the model's files are.
    pub fn base(&self) -> PathBuf {
        let base = &self.identity.base;
        if base.is_dir() { base.clone() } else { self.root.join(&self.identity.base_relative) }
    }

    /// Iterations asked for, extensions included.
    ///
    /// # Errors
    /// An extension record that cannot be read.
    pub fn iterations(&self) -> Result<u32, FileError> {
        if !self.budgets.is_empty() {
            let count = if self.leaderless() { 1 } else { self.generations().count() };
            return Ok(u32::try_from(count).unwrap_or(u32::MAX));
        }
        let given = self.extensions()?.iter().map(|extension| extension.iterations).max();
        Ok(self.identity.iterations.max(given.unwrap_or(0)))
    }

    /// The step length that was set last, if one was.
    ///
    /// # Errors
    /// An extension record that cannot be read.
    pub fn step(&self) -> Result<Option<f64>, FileError> {
        Ok(self.extensions()?.iter().rev().find_map(|extension| extension.step))
    }

    fn extensions(&self) -> Result<Vec<Extension>, FileError> {
        let mut all = Vec::new();
        for number in 1.. {
            match load_record::<Extension>(&self.extend(number)) {
                Ok(extension) => all.push(extension),
                Err(e) if e.is_missing() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(all)
    }

    /// `iteration_003`, of trials that workers lease `trials_000`
    pub fn iteration_name(&self, iteration: Iteration) -> String {
        if self.leaderless() && iteration == self.identity.first_iteration {
            return bucket(0); // no other iteration is ever there
        }
        format!("iteration_{iteration:0width$}", width = self.identity.iteration_digits)
    }

    /// Folder of an iteration.
    pub fn iteration(&self, iteration: Iteration) -> PathBuf {
        self.root.join(self.iteration_name(iteration))
    }

    /// `member_007`, `trial_000007`
    pub fn member_name(&self, member: Member) -> String {
        if self.identity.models > 0 {
            return format!("chunk_{member:06}");
        }
        if self.leaderless() {
            return format!("trial_{member:06}");
        }
        format!("member_{member:0width$}", width = self.identity.member_digits)
    }

    /// Folder of a member.
    pub fn member(&self, iteration: Iteration, member: Member) -> PathBuf {
        if self.leaderless() {
            return self.root.join(bucket(member)).join(self.member_name(member));
        }
        self.iteration(iteration).join(self.member_name(member))
    }

    /// The last number whose folder lies beside that of `number`, where workers lease trials.
    pub fn bucket_end(&self, number: u32) -> u32 {
        number / BUCKET * BUCKET + (BUCKET - 1)
    }

    /// Path of a file in a member's folder as a person in the run folder types it.
    pub fn shown(&self, iteration: Iteration, member: Member, file: &str) -> String {
        let folder = if self.leaderless() { bucket(member) } else { self.iteration_name(iteration) };
        format!("{folder}/{}/{file}", self.member_name(member))
    }

    /// `chunk_000001`, the outcome of a pack of members (packs count from 1).
    pub fn chunk(&self, iteration: Iteration, chunk: u32) -> PathBuf {
        let name = format!("chunk_{chunk:06}");
        if self.leaderless() {
            return self.root.join(bucket(chunk)).join(name);
        }
        self.iteration(iteration).join(name)
    }

    /// Members of an iteration: as many as in all others, where the run does not say otherwise.
    pub fn members(&self, iteration: Iteration) -> u32 {
        let id = &self.identity;
        let index = iteration.saturating_sub(id.first_iteration) as usize;
        match self.budgets.as_slice() {
            [] => id.sizes.get(index).copied().unwrap_or(id.members),
            [.., last] if self.leaderless() => {
                if index == 0 {
                    *last
                } else {
                    0
                }
            }
            // All alike behind those that are listed: no need to count them one by one.
            [only] if id.sizes.len() <= index => {
                let listed: u64 = id.sizes.iter().copied().map(u64::from).sum();
                let before = listed + u64::from(id.members) * (index - id.sizes.len()) as u64;
                id.members.min(u32::try_from(u64::from(*only).saturating_sub(before)).unwrap_or(u32::MAX))
            }
            _ => self.generations().nth(index).unwrap_or(0),
        }
    }

    /// Members of one iteration after the other, until the budget is used up: one that was cut short by the budget of
    /// its time stays so when there is more.
    fn generations(&self) -> impl Iterator<Item = u32> + '_ {
        let (mut index, mut before) = (0, 0u32);
        std::iter::from_fn(move || {
            let limit = self.budgets.iter().copied().find(|budget| *budget > before)?;
            let size = self.identity.sizes.get(index).copied().unwrap_or(self.identity.members).max(1);
            let size = size.min(limit - before);
            before += size;
            index += 1;
            Some(size)
        })
    }

    /// Members of all iterations together at most, extensions included; 0 without such a limit.
    pub fn budget(&self) -> u32 {
        self.budgets.last().copied().unwrap_or(0)
    }

    /// Whether its members are trials that workers lease, each made when it is leased.
    pub fn leaderless(&self) -> bool {
        self.identity.method == LEADERLESS
    }

    /// Members of the largest iteration.
    pub fn most_members(&self) -> u32 {
        self.identity.sizes.iter().copied().max().unwrap_or(0).max(self.identity.members)
    }

    /// Number of packs of an iteration.
    pub fn chunks(&self, iteration: Iteration) -> u32 {
        self.members(iteration).div_ceil(self.identity.pack)
    }

    /// Members of a pack, first and last.
    pub fn chunk_members(&self, iteration: Iteration, chunk: u32) -> std::ops::RangeInclusive<u32> {
        let first = (chunk - 1) * self.identity.pack + 1;
        first..=(first + self.identity.pack - 1).min(self.members(iteration))
    }

    /// Models of a chunk of a batch, first and last, from 1.
    pub fn models_of(&self, chunk: u32) -> std::ops::RangeInclusive<u32> {
        let first = chunk.saturating_sub(1).saturating_mul(self.identity.chunk).saturating_add(1);
        first..=first.saturating_add(self.identity.chunk.saturating_sub(1)).min(self.identity.models)
    }

    /// What the models of a batch are.
    pub fn inputs(&self) -> PathBuf {
        self.root.join("inputs.toml")
    }

    /// The table that the models of a batch come from.
    pub fn input_table(&self) -> PathBuf {
        self.root.join("inputs.npy")
    }

    /// True when members share outcomes.
    pub fn packed(&self) -> bool {
        self.identity.pack > 1
    }

    /// What the model reads.
    pub fn parameters(&self, iteration: Iteration, member: Member) -> PathBuf {
        self.member(iteration, member).join("parameters.toml")
    }

    /// The ensemble of an iteration, unconstrained.
    pub fn ensemble(&self, iteration: Iteration) -> PathBuf {
        self.iteration(iteration).join("ensemble.bin")
    }

    /// The algorithm's state at the start of an iteration.
    pub fn state(&self, iteration: Iteration) -> PathBuf {
        self.iteration(iteration).join("state.bin")
    }

    /// Which observations of a series the iteration sees.
    pub fn batch(&self, iteration: Iteration) -> PathBuf {
        self.iteration(iteration).join("batch.toml")
    }

    /// The decision that closes an iteration.
    pub fn update(&self, iteration: Iteration) -> PathBuf {
        self.iteration(iteration).join("update.toml")
    }

    /// Timing of the update.
    pub fn update_timing(&self, iteration: Iteration) -> PathBuf {
        self.iteration(iteration).join("timing.toml")
    }

    /// Why the run is over.
    pub fn stop(&self) -> PathBuf {
        self.root.join("stop.toml")
    }

    /// The mark of a cancelled run.
    pub fn cancel(&self) -> PathBuf {
        self.root.join("cancel.toml")
    }

    /// An extension, from 1.
    pub fn extend(&self, number: u32) -> PathBuf {
        self.root.join(format!("extend_{number:03}.toml"))
    }

    /// The ensemble that a forked run starts from.
    pub fn fork(&self) -> PathBuf {
        self.root.join("start.bin")
    }

    /// Where the first iterations came from, when another tool made them.
    pub fn adopted(&self) -> PathBuf {
        self.root.join("adopted.toml")
    }

    /// The observation with its factors, where they are large.
    pub fn factored(&self) -> PathBuf {
        self.root.join("observation.bin")
    }

    /// A submission, from 1.
    pub fn job(&self, number: u32) -> PathBuf {
        self.jobs().join(format!("{number:04}.toml"))
    }

    /// All submissions.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("jobs")
    }

    /// What a host is.
    pub fn platform(&self, host: &str) -> PathBuf {
        self.root.join("platform").join(format!("{host}.toml"))
    }

    /// The scheduler's output of an iteration's jobs.
    pub fn logs(&self, iteration: Iteration) -> PathBuf {
        self.root.join("logs").join(self.logs_name(iteration))
    }

    /// The name of that folder, which scripts spell too: `iteration_003`, whatever the iteration's own is.
    pub fn logs_name(&self, iteration: Iteration) -> String {
        format!("iteration_{iteration:0width$}", width = self.identity.iteration_digits)
    }

    /// Folder of a stage of a grid, stages counted from 1: `stage_1_build`.
    pub fn stage(&self, number: u32, name: &str) -> PathBuf {
        self.root.join(format!("stage_{number}_{name}"))
    }

    /// The cells of a stage, in the order of their numbers.
    pub fn cells(&self, number: u32, name: &str) -> PathBuf {
        self.stage(number, name).join("cells.toml")
    }

    /// What a cell prints, and what it complains about: `logs/build/NAME.log`, `logs/build/NAME.err`.
    pub fn cell_logs(&self, stage: &str, name: &str) -> (PathBuf, PathBuf) {
        let folder = self.root.join("logs").join(stage);
        (folder.join(format!("{name}.log")), folder.join(format!("{name}.err")))
    }

    /// Tables of results.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// A file of the run's top level.
    pub fn top(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}
