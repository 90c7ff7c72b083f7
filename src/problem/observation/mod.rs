//! What was seen: the observation y in named blocks, and the covariance Γ of its noise.
//!
//! Belongs here: y, which of its rows count, Γ, and reading `observation.toml`.
//! Not here: what a model does to be compared with it, how an algorithm uses it.

mod batches;
mod covariance;
mod factors;
mod forms;
mod given;
mod kept;
mod noise;
mod read;
mod samples;
mod series;
mod table;
pub mod text;

use serde::{Deserialize, Serialize};

pub use covariance::{Covariance, CovarianceError};
pub use noise::Noise;
pub use series::{Batch, Minibatch, Series};

/// One named part of the observation: what a model returns under that name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Name, unique in the observation
    pub name: String,
    /// Values in the unit of the observation; NaN: not observed, the model's number there is ignored
    pub y: Vec<f64>,
}

impl Block {
    /// Numbers the model returns for it, observed or not.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// No numbers at all (refused by [`Observation::new`]).
    pub fn is_empty(&self) -> bool {
        self.y.is_empty()
    }
}

/// The observation y and the covariance Γ of its noise.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Observation {
    blocks: Vec<Block>,
    observed: Vec<usize>,
    y: Vec<f64>,
    noise: Noise,
    series: Option<Box<Series>>,
}

/// Why blocks make no observation.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ObservationError {
    /// Nothing was observed
    #[error("no value of `y` is observed")]
    Nothing,
    /// A block without rows
    #[error("block `{name}` is empty")]
    Empty {
        /// Its name
        name: String,
    },
    /// An infinite value
    #[error("row {row} of block `{name}` is {found}")]
    Value {
        /// Its name
        name: String,
        /// From 1
        row: usize,
        /// What stands there
        found: f64,
    },
    /// Two blocks of one name
    #[error("two blocks are called `{name}`")]
    Duplicate {
        /// Their name
        name: String,
    },
    /// A block's covariance is none
    #[error("block `{name}`: {error}")]
    Covariance {
        /// The block's name
        name: String,
        /// In which way
        error: CovarianceError,
    },
}

impl Observation {
    /// An observation from its blocks; dense covariances are factored here, once.
    ///
    /// # Errors
    /// Nothing observed, infinite values, names used twice, a covariance that is none.
    pub fn new(parts: Vec<(Block, Covariance)>) -> Result<Self, ObservationError> {
        let mut all = Self {
            blocks: Vec::new(),
            observed: Vec::new(),
            y: Vec::new(),
            noise: Noise::default(),
            series: None,
        };
        let mut from = 0;
        for (block, covariance) in parts {
            let name = || block.name.clone();
            if block.is_empty() {
                return Err(ObservationError::Empty { name: name() });
            }
            if all.blocks.iter().any(|other| other.name == block.name) {
                return Err(ObservationError::Duplicate { name: name() });
            }
            if let Some(i) = block.y.iter().position(|y| y.is_infinite()) {
                return Err(ObservationError::Value { name: name(), row: i + 1, found: block.y[i] });
            }
            let wrong = |error| ObservationError::Covariance { name: block.name.clone(), error };
            covariance.check(block.len()).map_err(wrong)?;
            let rows: Vec<usize> = (0..block.len()).filter(|&i| !block.y[i].is_nan()).collect();
            all.noise.push(&covariance, &rows).map_err(wrong)?;
            all.observed.extend(rows.iter().map(|i| from + i));
            all.y.extend(rows.iter().map(|&i| block.y[i]));
            from += block.len();
            all.blocks.push(block);
        }
        if all.y.is_empty() { Err(ObservationError::Nothing) } else { Ok(all) }
    }

    /// One after the other; names of blocks must differ.
    pub fn join<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self {
            blocks: Vec::new(),
            observed: Vec::new(),
            y: Vec::new(),
            noise: Noise::default(),
            series: None,
        };
        for part in parts {
            let from = all.len();
            all.blocks.extend_from_slice(&part.blocks);
            all.observed.extend(part.observed.iter().map(|i| from + i));
            all.y.extend_from_slice(&part.y);
            all.noise.join(&part.noise);
        }
        all
    }

    /// All observations of a series, one after the other.
    pub fn of_series(series: Series) -> Self {
        Self { series: Some(Box::new(series.clone())), ..Self::join(series.parts.iter()) }
    }

    /// The series that this is the whole of.
    pub fn series(&self) -> Option<&Series> {
        self.series.as_deref()
    }

    /// Its blocks, in the order of the file.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Numbers a model returns in all, observed or not.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(Block::len).sum()
    }

    /// Never: an observation has rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names and lengths of the blocks, as a model is asked for them.
    pub fn shape(&self) -> Vec<(String, usize)> {
        self.blocks.iter().map(|block| (block.name.clone(), block.len())).collect()
    }

    /// Rows of the model's output (from 0) that were observed, ascending: the p rows an update uses.
    pub fn observed(&self) -> &[usize] {
        &self.observed
    }

    /// Observed values, p numbers.
    pub fn y(&self) -> &[f64] {
        &self.y
    }

    /// Covariance of the noise over the observed rows, p × p.
    pub fn noise(&self) -> &Noise {
        &self.noise
    }
}
