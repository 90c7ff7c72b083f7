//! Names of parameters and observation blocks become rows.

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
