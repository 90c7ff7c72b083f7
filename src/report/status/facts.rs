//! The facts that a status is made of, and what its caller adds to them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::files::Iteration;
use crate::problem::BlockFit;
use crate::report::status::{Batch, Failures, Lost, Running, disk};

/// What the caller knows beside the files.
#[derive(Debug, Clone)]
pub struct View {
    /// The run as the person named it
    pub named: String,
    /// Members of one array element
    pub per_element: u32,
    /// The run's jobs, when the scheduler was asked
    pub jobs: Option<Vec<Job>>,
    /// Tell of this iteration in detail, not of the open one
    pub iteration: Option<Iteration>,
}

/// A job, an element of an array, or all waiting elements of one, as the scheduler tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// As the scheduler names it: `12`, `12_3`, `12_[4-8]`
    pub id: String,
    /// Job name
    pub name: String,
    /// `running`, `waiting`, or the scheduler's own word
    pub state: String,
    /// Why it waits, in the scheduler's word
    pub reason: String,
    /// When it is expected to start, or did (the site's local time); empty when nobody knows
    pub start: String,
    /// Where it runs
    pub nodes: String,
    /// Elements that this line stands for
    pub elements: u32,
    /// Iteration whose members it runs
    pub iteration: Option<Iteration>,
    /// Array element, for one that runs
    pub element: Option<u32>,
    /// It will never start by itself: what to do
    pub advice: Option<String>,
}

/// Where a run stands, in a word for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Made, nothing done
    Made,
    /// Members of an iteration have no outcome
    Members,
    /// An iteration is to be closed
    Update,
    /// Too many members failed
    Quorum,
    /// The stop mark is there
    Cancelled,
    /// The run is over
    Over,
}

/// An iteration in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which
    pub iteration: Iteration,
    /// Its decision is published
    pub closed: bool,
    /// Members that the update used, or that have an outcome
    pub done: usize,
    /// Members somebody works on
    pub running: usize,
    /// Members that failed
    pub failed: usize,
    /// Members without an outcome that nobody works on
    pub missing: usize,
    /// As in `update.toml`
    pub misfit: Option<f64>,
    /// As in `update.toml`
    pub avg_rmse: Option<f64>,
    /// Further measures by name, as in `update.toml`
    pub metrics: BTreeMap<String, f64>,
    /// Step length Δt
    pub step: Option<f64>,
    /// Pseudo-time after the step
    pub time: Option<f64>,
    /// Of a search the best score so far
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// From the iteration's making to its closing, waiting included
    pub elapsed_s: Option<f64>,
}

/// A parameter, before and after.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// `amplitude`, `mixing[2]`
    pub name: String,
    /// First ensemble, physical units
    pub prior_mean: f64,
    /// First ensemble
    pub prior_std: f64,
    /// Last ensemble
    pub mean: f64,
    /// Last ensemble
    pub std: f64,
}

/// How far a search is, and what it found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SearchSeen {
    /// Evaluations so far
    pub evaluations: u32,
    /// As many as there will be
    pub budget: u32,
    /// Failed ones among them
    pub failed: u32,
    /// Number of the best trial; 0 before there is one
    pub best: u32,
    /// Folder of its outcome
    pub folder: String,
    /// Its score, a number for each objective
    pub score: Vec<f64>,
    /// What is scored, and when
    pub scored: String,
    /// Trials that nobody beats
    pub archive: u32,
    /// Of a search that is over: names and values of the best
    pub values: Vec<(String, f64)>,
    /// And what its score consists of, with scores of the evaluation period
    pub parts: Vec<(String, f64)>,
}

/// An outcome that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Defective {
    /// Whose
    pub member: u32,
    /// Which file
    pub file: String,
    /// In which way
    pub defect: String,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The run folder as it was named
    pub run: String,
    /// Name of the experiment
    pub name: String,
    /// Id of the run
    pub id: String,
    /// Method
    pub method: String,
    /// Ensemble size
    pub members: u32,
    /// Iterations, at most
    pub iterations_at_most: u32,
    /// Number of the first
    pub first_iteration: u32,
    /// In a word
    pub state: State,
    /// In a sentence
    pub sentence: String,
    /// The step that is due, as `--next` has it
    pub due: Option<String>,
    /// A row for each iteration
    pub iterations: Vec<Row>,
    /// How well each observation block is met in the last closed iteration, before its step; empty where there is one
    pub blocks: Vec<BlockFit>,
    /// The iteration told in detail below
    pub detail: Option<Iteration>,
    /// Its failed members, by cause and host
    pub failures: Vec<Failures>,
    /// Its outcomes that are none
    pub defective: Vec<Defective>,
    /// Its members that were lost, by what the scheduler's logs say
    pub lost: Vec<Lost>,
    /// Its members that somebody works on
    pub running: Vec<Running>,
    /// Its members without an outcome that nobody works on: `3,7-9`
    pub missing: String,
    /// Process number of the `ekp-launch` on this machine that carries the run
    pub launcher: Option<u32>,
    /// Models of a batch of forward models
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// The result of a run that is over
    pub result: Vec<Estimate>,
    /// How far a search is
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchSeen>,
    /// Folder of the ensemble that is the result
    pub final_ensemble: Option<String>,
    /// Jobs of the run; absent when the scheduler was not asked
    pub jobs: Option<Vec<Job>>,
    /// What a person should know
    pub warnings: Vec<String>,
    /// Space it takes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<disk::Disk>,
}
