//! `batch.toml`: which observations of a series an iteration sees. Made with the iteration, never changed.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;

use crate::files::{FileError, Record, TomlText, load_record};

/// What the members of an iteration are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Names of the observations of the batch; none without a series
    pub observations: Cow<'a, [String]>,
    /// Names of the blocks, in the order of the stacked y
    pub blocks: Cow<'a, [String]>,
    /// Numbers of each
    pub lengths: Cow<'a, [usize]>,
}

impl Asked<'_> {
    /// Numbers of all blocks.
    pub fn total(&self) -> usize {
        self.lengths.iter().sum()
    }
}

/// `iteration_NNN/batch.toml`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct BatchRecord {
    /// Which pass over the series, from 0
    pub epoch: u32,
    /// Which batch of it, from 0
    pub position: u32,
    /// Batches of an epoch
    pub batches: u32,
    /// Names, in the order of the stacked y
    pub observations: Vec<String>,
    /// Blocks of these observations
    pub blocks: Vec<String>,
    /// Numbers of each block
    pub lengths: Vec<usize>,
}

impl Record for BatchRecord {
    const SCHEMA: &'static str = "ekp.batch";
    const VERSION: u32 = 1;
}

impl BatchRecord {
    /// Read it.
    ///
    /// # Errors
    /// Missing or damaged.
    pub fn load(path: &Path) -> Result<Self, FileError> {
        load_record(path)
    }

    /// As it stands in the file.
    pub fn text(&self) -> String {
        let lengths: Vec<u32> = self.lengths.iter().map(|&n| u32::try_from(n).unwrap_or(u32::MAX)).collect();
        TomlText::record::<Self>(
            "ekp batch: the observations that the members of this iteration answer, in this order.\n\
             A model finds their names in EKP_BATCH, too.",
        )
        .number("epoch", self.epoch)
        .number("position", self.position)
        .number("batches", self.batches)
        .texts("observations", &self.observations)
        .texts("blocks", &self.blocks)
        .numbers("lengths", &lengths)
        .finish()
    }

    /// What it asks for.
    pub fn asked(self) -> Asked<'static> {
        Asked {
            observations: Cow::Owned(self.observations),
            blocks: Cow::Owned(self.blocks),
            lengths: Cow::Owned(self.lengths),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::parse_record;

    #[test]
    fn it_comes_back_as_it_was() {
        let batch = BatchRecord {
            epoch: 2,
            position: 1,
            batches: 4,
            observations: vec!["y1990".into(), "y1987".into()],
            blocks: vec!["y1990_q".into(), "y1990_snow".into(), "y1987".into()],
            lengths: vec![365, 12, 300],
        };
        let text = batch.text();
        let back: BatchRecord = parse_record(Path::new("batch.toml"), text.as_bytes()).unwrap();
        assert_eq!(back, batch);
        assert_eq!(back.asked().total(), 677);
    }
}
