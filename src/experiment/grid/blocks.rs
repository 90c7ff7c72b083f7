//! Which cells a stage has, in which order, and what each stands on.
//!
//! Cells of a stage that adds axes to the stage before it stand in blocks, a block for each choice on the new
//! axes; within a block cell number k stands on cell number k of a block before. That is what lets a scheduler
//! wait cell by cell. Where cells gather several others, a stage is one block that waits for all before it.

use crate::experiment::grid::Axis;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// For each axis of the stage which label, from 0
    pub labels: Vec<usize>,
    /// For each stage it is after which cells, from 0
    pub upstream: Vec<Vec<usize>>,
}

/// Cells that follow each other and wait in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The labels on the axes that this stage adds; empty where there are none
    pub name: String,
    /// Its first cell, from 0
    pub first: usize,
    /// How many
    pub cells: usize,
    /// What they wait for
    pub after: After,
}

/// What a block waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing
    Nothing,
    /// Cell k for cell k of this block of the stage before
    Each(usize),
    /// Every cell for whole stages
    Whole,
}

/// A stage that has its cells: what the next one builds on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before<'a> {
    /// Its axes
    pub over: &'a [usize],
    /// Its cells
    pub cells: &'a [Spec],
    /// Its blocks
    pub blocks: &'a [Block],
}

/// Cells and blocks of a stage over these axes, after these stages.
pub(super) fn arrange(axes: &[Axis], over: &[usize], after: &[Before<'_>]) -> (Vec<Spec>, Vec<Block>) {
    if let [before] = after
        && before.over.iter().all(|axis| over.contains(axis))
    {
        return one_by_one(axes, over, *before);
    }
    let mut cells = Vec::new();
    for labels in product(axes, over) {
        let shares = |before: &Before<'_>, spec: &Spec| {
            before.over.iter().zip(&spec.labels).all(|(axis, label)| {
                over.iter().position(|own| own == axis).is_none_or(|k| labels[k] == *label)
            })
        };
        let upstream = after
            .iter()
            .map(|before| (0..before.cells.len()).filter(|&k| shares(before, &before.cells[k])).collect())
            .collect();
        cells.push(Spec { labels, upstream });
    }
    let after = if after.is_empty() { After::Nothing } else { After::Whole };
    let block = Block { name: String::new(), first: 0, cells: cells.len(), after };
    (cells, vec![block])
}

fn one_by_one(axes: &[Axis], over: &[usize], before: Before<'_>) -> (Vec<Spec>, Vec<Block>) {
    let new: Vec<usize> = over.iter().copied().filter(|axis| !before.over.contains(axis)).collect();
    let (mut cells, mut blocks) = (Vec::new(), Vec::new());
    for choice in product(axes, &new) {
        for (number, block) in before.blocks.iter().enumerate() {
            let names = new.iter().zip(&choice).map(|(&axis, &label)| axes[axis].labels[label].name.as_str());
            let names: Vec<&str> =
                names.chain([block.name.as_str()]).filter(|name| !name.is_empty()).collect();
            let after = After::Each(number);
            blocks.push(Block { name: names.join("-"), first: cells.len(), cells: block.cells, after });
            for k in block.first..block.first + block.cells {
                let label = |axis: &usize| match new.iter().position(|own| own == axis) {
                    Some(at) => choice[at],
                    None => {
                        let at = before.over.iter().position(|theirs| theirs == axis);
                        before.cells[k].labels[at.expect("an axis is new or was there before")]
                    }
                };
                cells.push(Spec { labels: over.iter().map(label).collect(), upstream: vec![vec![k]] });
            }
        }
    }
    (cells, blocks)
}

/// How many cells that will be, before they are made.
pub(super) fn count(axes: &[Axis], over: &[usize]) -> Option<usize> {
    over.iter().try_fold(1usize, |n, &axis| n.checked_mul(axes[axis].labels.len()))
}

/// All choices of labels, the last axis fastest.
fn product(axes: &[Axis], over: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for &axis in over {
        let extend = |head: &Vec<usize>| {
            let head = head.clone();
            (0..axes[axis].labels.len()).map(move |label| [head.as_slice(), &[label]].concat())
        };
        all = all.iter().flat_map(extend).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    fn axes() -> Vec<Axis> {
        let text =
            "[[axis]]\nname = \"t\"\nrange = [1, 3]\n[[axis]]\nname = \"s\"\nvalues = [\"hmc\", \"vi\"]\n";
        let document = Document::parse(Path::new("x"), text).unwrap();
        document.section().sections("axis").unwrap().iter().map(|s| Axis::read(s).unwrap()).collect()
    }

    #[test]
    fn a_stage_that_adds_an_axis_has_a_block_for_each_label_and_stands_cell_on_cell() {
        let axes = axes();
        let (build, first) = arrange(&axes, &[0], &[]);
        assert_eq!((build.len(), first.len(), first[0].after), (3, 1, After::Nothing));
        let before = Before { over: &[0], cells: &build, blocks: &first };
        let (sample, blocks) = arrange(&axes, &[0, 1], &[before]);
        let names: Vec<&str> = blocks.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["hmc", "vi"]);
        assert_eq!(blocks[1], Block { name: "vi".into(), first: 3, cells: 3, after: After::Each(0) });
        assert_eq!(sample[4], Spec { labels: vec![1, 1], upstream: vec![vec![1]] });
        // A third stage over the same axes: block stands on block
        let before = Before { over: &[0, 1], cells: &sample, blocks: &blocks };
        let (post, third) = arrange(&axes, &[0, 1], &[before]);
        assert_eq!((post[4].upstream[0][0], third[1].after), (4, After::Each(1)));
    }

    #[test]
    fn a_stage_with_fewer_axes_gathers() {
        let axes = axes();
        let (all, blocks) = arrange(&axes, &[0, 1], &[]);
        let before = Before { over: &[0, 1], cells: &all, blocks: &blocks };
        let (per_target, one) = arrange(&axes, &[0], &[before]);
        assert_eq!(per_target[1].upstream, [vec![2, 3]]);
        assert_eq!(one[0].after, After::Whole);
        let (single, _) = arrange(&axes, &[], &[before]);
        assert_eq!(single[0].upstream[0].len(), 6);
    }
}
