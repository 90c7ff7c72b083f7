//! Forward models: the trait, the built-in ones, and any executable.
//!
//! Belongs here: turning constrained parameters into outputs.
//! Not here: observation noise, ensembles, anything of one algorithm.

use std::path::PathBuf;

use crate::explain::Explain;
use crate::numerics::{Mat, Stream};

/// Constrained, physical parameters of some members.
#[derive(Debug, Clone, Copy)]
pub struct ThetaRef<'a> {
    /// Names of the calibrated parameters with their number of components, in row order
    pub names: &'a [(String, usize)],
    /// d × members, physical units of `priors.toml`
    pub values: &'a Mat,
}

impl ThetaRef<'_> {
    /// First component of a parameter, for member (column) `j`.
    pub fn scalar(&self, name: &str, j: usize) -> Option<f64> {
        let mut row = 0;
        for (known, length) in self.names {
            if known == name {
                return Some(self.values[(row, j)]);
            }
            row += length;
        }
        None
    }
}

/// What the caller needs back.
#[derive(Debug, Clone, PartialEq)]
pub struct Want {
    /// Observation blocks and their lengths, in the order of `observation.toml`
    pub blocks: Vec<(String, usize)>,
}

/// Where and as whom one member runs. Absolute paths.
#[derive(Debug, Clone)]
pub struct Place {
    /// Run folder
    pub run: PathBuf,
    /// From 0 (or the run's first iteration)
    pub iteration: u32,
    /// From 1
    pub member: u32,
    /// From 1: which try this is
    pub attempt: u32,
    /// Seed for a model with its own generator; depends on seed, iteration, member, not on the try
    pub seed: u64,
    /// The model's own random stream, for built-in models; independent of the try
    pub stream: Stream,
    /// What the model reads
    pub parameters: PathBuf,
    /// Working folder of this try; exists already when the model is external
    pub folder: PathBuf,
    /// Threads this member may use
    pub threads: usize,
    /// Who runs it: a number from 1
    pub worker: u32,
}

/// What one run of a model cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Wall time
    pub wall_s: f64,
    /// User and system time, children included
    pub cpu_s: f64,
    /// Largest resident set
    pub peak_rss_mb: f64,
    /// Bytes read from disk, where the kernel tells
    pub bytes_read: u64,
    /// Bytes written to disk
    pub bytes_written: u64,
}

/// What a model made.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// One series per block, in the order asked for
    pub blocks: Vec<Vec<f64>>,
    /// Cost, where the model is a program of its own
    pub usage: Option<Usage>,
}

/// How a member ended badly. The words are those of `failed.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Non-zero exit status
    Exit,
    /// Killed by a signal
    Signal,
    /// Longer than `timeout_s`
    Timeout,
    /// Ran out of memory
    Memory,
    /// Output missing, unreadable, of wrong length, not finite
    Output,
    /// Vanished without an outcome
    Lost,
    /// Marked as failed by a person
    User,
}

impl Cause {
    /// As written in `failed.toml`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Output => "output",
            Self::Lost => "lost",
            Self::User => "user",
        }
    }
}

/// Why a member gave no output: a result, not an error of the toolkit.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// In which way
    pub cause: Cause,
    /// Exit status, when it exited
    pub exit_code: Option<i32>,
    /// Signal, when it was killed
    pub signal: Option<i32>,
    /// One line for a person
    pub message: String,
    /// The last lines it printed
    pub stderr_tail: String,
    /// What it cost all the same
    pub usage: Option<Usage>,
}

impl Explain for ModelError {}

impl ModelError {
    /// An error with only a cause and a message.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { cause, exit_code: None, signal: None, message, stderr_tail: String::new(), usage: None }
    }
}

/// A forward model G.
pub trait Forward: Send + Sync {
    /// Columns of `thetas` are members; `places[j]` says where and as whom member j runs.
    /// A single run is a batch of one, with the same bits.
    fn run(&self, thetas: ThetaRef<'_>, want: &Want, places: &mut [Place])
    -> Vec<Result<Output, ModelError>>;

    /// Runs inside this process (a program of its own needs a working folder and a log).
    fn in_process(&self) -> bool {
        true
    }
}
