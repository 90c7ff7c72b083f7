//! Names of parameters and observation blocks become rows.

use std::collections::HashMap;
use std::ops::Range;

use crate::problem::{Observation, Prior};

/// Rows of u of a parameter, or of one component, `mixing[2]`.
pub(super) fn parameter(prior: &Prior, name: &str) -> Option<Range<usize>> {
    let mut first = 0;
    for (known, length) in prior.names() {
        if known == name {
            return Some(first..first + length);
        }
        first += length;
    }
    prior.row_names().iter().position(|row| row == name).map(|i| i..i + 1)
}

/// Places of a block's outputs among all outputs: of all blocks of that name, ascending.
pub(super) fn outputs(observation: &Observation, name: &str) -> Option<Vec<usize>> {
    let mut first = 0;
    let mut found: Option<Vec<usize>> = None;
    for block in observation.blocks() {
        let rows = first..first + block.len();
        first = rows.end;
        if block.name == name {
            found.get_or_insert_default().extend(rows);
        }
    }
    found
}

/// Positions of a block's outputs among the rows that were observed, ascending.
pub(super) fn block(observation: &Observation, name: &str) -> Option<Vec<usize>> {
    let rows = outputs(observation, name)?;
    let at = |row: &usize| observation.observed().binary_search(row).ok();
    Some(rows.iter().filter_map(at).collect())
}

/// All names of parameters, for many look-ups.
pub(super) struct Parameters(HashMap<String, Range<usize>>);

impl Parameters {
    /// Those of a prior.
    pub(super) fn of(prior: &Prior) -> Self {
        let mut all = HashMap::new();
        for (i, row) in prior.row_names().into_iter().enumerate() {
            all.entry(row).or_insert(i..i + 1);
        }
        let mut first = 0;
        let mut blocks = HashMap::new();
        for (name, length) in prior.names() {
            blocks.entry(name.clone()).or_insert(first..first + length);
            first += length;
        }
        all.extend(blocks);
        Self(all)
    }

    /// As [`parameter`].
    pub(super) fn find(&self, name: &str) -> Option<Range<usize>> {
        self.0.get(name).cloned()
    }
}

/// All names of blocks, for many look-ups.
pub(super) struct Outputs<'a>(HashMap<&'a str, Vec<Range<usize>>>);

impl<'a> Outputs<'a> {
    /// Those of an observation.
    pub(super) fn of(observation: &'a Observation) -> Self {
        let mut all: HashMap<&str, Vec<Range<usize>>> = HashMap::new();
        let mut first = 0;
        for block in observation.blocks() {
            let rows = first..first + block.len();
            first = rows.end;
            all.entry(&block.name).or_default().push(rows);
        }
        Self(all)
    }

    /// As [`outputs`].
    pub(super) fn find(&self, name: &str) -> Option<Vec<usize>> {
        self.0.get(name).map(|ranges| ranges.iter().cloned().flatten().collect())
    }
}
