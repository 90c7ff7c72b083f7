//! Forward models: the trait, the built-in ones, and any executable.
//!
//! Belongs here: turning constrained parameters into outputs.
//! Not here: observation noise, ensembles, anything of one algorithm.

pub mod backend;
pub mod cell;
pub mod darcy;
pub mod external;
pub mod hydro;
pub mod landscape;
pub mod llc;
pub mod llc_runs;
pub mod lorenz96;
pub mod score;
pub mod sinusoid;
pub mod soundings;
pub mod tem1d;

use std::path::{Path, PathBuf};

use crate::explain::{Exit, Explain, Marked, nearest, one_of};
use crate::files::digest;
use crate::numerics::{Address, Mat};

pub use score::{Measure, Moments, Period, Score, Scoring};

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

    /// The same for a model that cannot do without.
    fn needed(&self, model: &str, name: &str, j: usize) -> Result<f64, ModelError> {
        self.scalar(name, j).ok_or_else(|| {
            ModelError::new(Cause::Exit, format!("the model `{model}` needs a parameter `{name}`"))
        })
    }
}

/// What the caller needs back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Want {
    /// Observation blocks and their lengths, in the order of `observation.toml`; none where a score is wanted
    pub blocks: Vec<(String, usize)>,
    /// The score, where that is what counts
    pub score: Option<Scoring>,
}

impl Want {
    /// Series for these blocks.
    pub fn series(blocks: Vec<(String, usize)>) -> Self {
        Self { blocks, score: None }
    }

    /// A score in place of series.
    pub fn score(scoring: Scoring) -> Self {
        Self { blocks: Vec::new(), score: Some(scoring) }
    }

    /// Numbers of all blocks together.
    pub fn total(&self) -> usize {
        self.blocks.iter().map(|(_, length)| length).sum()
    }

    /// What is wanted, in words: ``observation block `q` has 365``.
    fn words(&self) -> String {
        match self.blocks.as_slice() {
            [] => "the observation has no blocks".into(),
            [(name, length)] => format!("observation block `{name}` has {length}"),
            [first, rest @ ..] => {
                let mut sum = format!("the observation blocks `{}`", first.0);
                rest.iter().for_each(|(name, _)| sum.push_str(&format!(", `{name}`")));
                let lengths: Vec<String> = self.blocks.iter().map(|(_, n)| n.to_string()).collect();
                format!("{sum} have {} = {}", lengths.join(" + "), self.total())
            }
        }
    }
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
    pub stream: Address,
    /// What the model reads
    pub parameters: PathBuf,
    /// Working folder of this try; exists already when the model is external
    pub folder: PathBuf,
    /// Threads this member may use
    pub threads: usize,
    /// Who runs it: a number from 1
    pub worker: u32,
    /// Set by a signal: an external member then ends early as `lost`, which is no outcome
    pub stop: Option<std::sync::Arc<std::sync::atomic::AtomicBool>>,
    /// Observations of a series that this iteration asks for, names joined by commas; empty without a series
    pub batch: String,
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// One series per block, in the order asked for
    pub blocks: Vec<Vec<f64>>,
    /// One for each measure asked for, in that order; those of a model that has its own in the order of its file
    pub scores: Vec<Score>,
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
    /// A cell that this one stands on failed
    Upstream,
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
            Self::Upstream => "upstream",
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

/// Numbers in the order of the blocks wanted.
fn split(model: &str, numbers: &[f64], want: &Want) -> Result<Output, ModelError> {
    if numbers.len() != want.total() {
        let message = format!("the model `{model}` gives {} numbers, {}", numbers.len(), want.words());
        return Err(ModelError::new(Cause::Output, message));
    }
    let mut rest = numbers;
    let mut block = |length: usize| {
        let (head, tail) = rest.split_at(length);
        rest = tail;
        head.to_vec()
    };
    let blocks = want.blocks.iter().map(|&(_, length)| block(length)).collect();
    Ok(Output { blocks, ..Output::default() })
}

/// Why a model and an experiment do not fit together: found before anything runs.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CheckError {
    /// A fault in a file of the user
    #[error(transparent)]
    Marked(#[from] Marked),
    /// A parameter the model cannot do without, or does not know
    #[error("the model `{model}` {what}; calibrated are {}", list(found))]
    Parameter {
        /// Which model
        model: String,
        /// What it needs, or does not know
        what: String,
        /// Names that are calibrated
        found: Vec<String>,
        /// The parameter at fault, where it is one that was given
        name: Option<String>,
        /// The name most likely meant
        near: Option<String>,
    },
    /// Numbers it gives against numbers observed
    #[error("the model `{model}` gives {given} numbers, {wanted}")]
    Outputs {
        /// Which model
        model: String,
        /// Numbers it gives
        given: usize,
        /// What the observation has, in words
        wanted: String,
    },
    /// Data that do not go with what is asked for
    #[error("the model `{model}` {what}")]
    Data {
        /// Which model
        model: String,
        /// What is wrong, in words
        what: String,
        /// The key of `[score]` at fault, where it is one
        key: Option<&'static str>,
    },
    /// The back end cannot work here
    #[error("{what}")]
    Backend {
        /// What is missing, in words
        what: String,
    },
}

fn list(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if names.is_empty() { "none".into() } else { one_of(&names).replace(" or ", " and ") }
}

impl CheckError {
    /// The calibrated parameters are the needed ones and perhaps some optional ones, each a single number.
    fn parameters(
        model: &str,
        needed: &[&str],
        optional: &[&str],
        names: &[(String, usize)],
    ) -> Result<(), Self> {
        let found = || names.iter().map(|(name, _)| name.clone()).collect();
        let fault = |what: String, name: Option<&str>, near: Option<&str>| {
            let (name, near) = (name.map(str::to_owned), near.map(str::to_owned));
            Err(Self::Parameter { model: model.into(), what, found: found(), name, near })
        };
        let known: Vec<&str> = needed.iter().chain(optional).copied().collect();
        for (name, length) in names {
            if !known.contains(&name.as_str()) {
                // Most likely it is one that is not there yet.
                let free: Vec<&str> =
                    known.iter().copied().filter(|k| !names.iter().any(|(given, _)| given == k)).collect();
                let near = nearest(name, &free);
                let lacks = needed.iter().find(|n| near.is_none() && free.contains(n));
                let needs = lacks.map_or(String::new(), |n| format!(", and needs `{n}`"));
                return fault(format!("knows no parameter `{name}`{needs}"), Some(name), near);
            }
            if *length != 1 {
                return fault(format!("takes one number for `{name}`, not {length}"), Some(name), None);
            }
        }
        for name in needed {
            if !names.iter().any(|(known, _)| known == name) {
                return fault(format!("needs a parameter `{name}`"), None, None);
            }
        }
        Ok(())
    }

    /// As many numbers as are observed.
    fn outputs(model: &str, given: usize, want: &Want) -> Result<(), Self> {
        if given == want.total() {
            return Ok(());
        }
        Err(Self::Outputs { model: model.into(), given, wanted: want.words() })
    }
}

impl Explain for CheckError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Marked(marked) => marked.hint(),
            Self::Parameter { near: Some(near), .. } => Some(format!("did you mean `{near}`?")),
            Self::Parameter { .. } => Some("see `names` in `[prior]`, and the tables of its file".into()),
            Self::Outputs { .. } => Some("see the blocks of `observation.toml`".into()),
            Self::Backend { .. } => {
                Some("`backend = \"threads\"` gives the same numbers on any machine".into())
            }
            Self::Data { model, .. } => Some(format!("see `[score]`, and `[model.{model}]`")),
        }
    }
    fn exit(&self) -> Exit {
        Exit::Usage
    }
    fn marked(&self) -> Option<&Marked> {
        match self {
            Self::Marked(marked) => Some(marked),
            _ => None,
        }
    }
}

/// A file that a model was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it was read
    pub path: PathBuf,
    /// Digest of its bytes
    pub digest: String,
}

impl Input {
    /// From the bytes that were read.
    pub fn new(path: &Path, bytes: &[u8]) -> Self {
        Self { path: path.to_owned(), digest: digest(bytes) }
    }
}

/// A forward model G.
pub trait Forward: Send + Sync {
    /// Columns of `thetas` are members; `places[j]` says where and as whom member j runs.
    /// A single run is a batch of one, with the same bits.
    fn run(&self, thetas: ThetaRef<'_>, want: &Want, places: &mut [Place])
    -> Vec<Result<Output, ModelError>>;

    /// Units of its domain: columns, bands, cells; 1 where it has none.
    fn units(&self) -> usize {
        1
    }

    /// Files that it was made from, digested as they were read: a run keeps to those it was made with.
    fn inputs(&self) -> Vec<Input> {
        Vec::new()
    }

    /// Runs inside this process (a program of its own needs a working folder and a log).
    fn in_process(&self) -> bool {
        true
    }

    /// Do these parameters and observations fit the model? Asked before anything runs; returns warnings.
    ///
    /// # Errors
    /// They do not; the error says what would.
    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        let _ = (names, want);
        Ok(Vec::new())
    }

    /// Names and lengths of the blocks that the model gives for these parameters, where no observation says what
    /// is wanted; none when only a run of it could tell (a program of its own).
    ///
    /// # Errors
    /// The parameters do not fit.
    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        let _ = names;
        Ok(None)
    }

    /// Can it take this value of a parameter, whatever the others are? Asked of grids, tables and draws before anything
    /// runs; a model that does not know says yes.
    ///
    /// # Errors
    /// It cannot: why, in words that follow the value.
    fn allows(&self, name: &str, value: f64) -> Result<(), String> {
        let _ = (name, value);
        Ok(())
    }

    /// Conventions that a reader of its numbers should know, a line each: time zero, signs, normalisation, units.
    fn describe(&self) -> Vec<String> {
        Vec::new()
    }

    /// What its parameters and outputs are as soundings over layers; none of every other model.
    fn soundings(&self) -> Option<soundings::Soundings> {
        None
    }

    /// The same members again by a slow way that is known to be right, where the model has one: what its numbers
    /// are held against.
    fn reference(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Option<Vec<Result<Output, ModelError>>> {
        let _ = (thetas, want, places);
        None
    }
}

/// What a built-in model gives, once its parameters fit.
fn given(
    model: &dyn Forward,
    names: &[(String, usize)],
    blocks: Vec<(String, usize)>,
) -> Result<Option<Vec<(String, usize)>>, CheckError> {
    let want = Want::series(blocks);
    model.fits(names, &want)?;
    Ok(Some(want.blocks))
}

/// A place for tests.
#[cfg(test)]
fn test_place(member: u32) -> Place {
    let draw = crate::numerics::Streams::new(42);
    Place {
        run: "/run".into(),
        iteration: 3,
        member,
        attempt: 1,
        seed: draw.model_seed(3, member),
        stream: draw.address(crate::numerics::Purpose::Model, 3, member),
        parameters: format!("/run/iteration_003/member_{member:03}/parameters.toml").into(),
        folder: format!("/run/iteration_003/member_{member:03}/try_1").into(),
        threads: 1,
        worker: 1,
        stop: None,
        batch: String::new(),
    }
}
