//! The plan of a grid: arrays of elements that run open cells, and what each array waits for.
//!
//! Elements of blocks that stand on each other cell by cell have the same numbers, so that a scheduler can let
//! element k wait for element k. An element that has nothing to wait for any more goes into an array of its own:
//! one that waited for an element which is not in the queue would wait for ever.

use std::collections::BTreeSet;

use crate::experiment::grid::{After, Grid};
use crate::files::Member;

/// Elements of one block that wait in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Stage, from 1
    pub stage: u32,
    /// Block of the stage, from 1
    pub block: u32,
    /// `build`, `sample.hmc`; a second array of the same block ends with `.2`
    pub name: String,
    /// Elements, from 1, ascending
    pub elements: Vec<u32>,
    /// Open cells in them
    pub cells: usize,
    /// What it waits for
    pub wait: Wait,
}

/// What an array waits for: numbers of arrays further up, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Nothing
    Nothing,
    /// Element k for element k
    Each(usize),
    /// All for the end of all of these
    Whole(Vec<usize>),
}

/// Arrays for the open cells of each stage, `per_element(stage name)` cells to an element.
pub fn arrays(grid: &Grid, open: &[Vec<Member>], per_element: &dyn Fn(&str) -> u32) -> Vec<Array> {
    let mut all: Vec<Array> = Vec::new();
    for (k, stage) in grid.stages.iter().enumerate() {
        let per = per_element(&stage.name).max(1);
        for (b, block) in stage.blocks.iter().enumerate() {
            // Open cells of this block by their number in it, from 0
            let mine: Vec<u32> = open[k]
                .iter()
                .map(|m| *m as usize - 1)
                .filter(|m| (block.first..block.first + block.cells).contains(m))
                .map(|m| u32::try_from(m - block.first).unwrap_or(u32::MAX))
                .collect();
            let mut left: BTreeSet<u32> = mine.iter().map(|m| m / per + 1).collect();
            let base = match block.name.as_str() {
                "" => stage.name.clone(),
                name => format!("{}.{name}", stage.name),
            };
            let mut parts: Vec<(BTreeSet<u32>, Wait)> = Vec::new();
            let before: Vec<usize> = all
                .iter()
                .enumerate()
                .filter(|(_, array)| stage.after.contains(&(array.stage as usize - 1)))
                .map(|(i, _)| i)
                .collect();
            match block.after {
                After::Each(theirs) if per == per_element(&grid.stages[stage.after[0]].name).max(1) => {
                    for &i in before.iter().filter(|&&i| all[i].block as usize - 1 == theirs) {
                        let both = left.iter().copied().filter(|e| all[i].elements.contains(e)).collect();
                        left = &left - &both;
                        parts.push((both, Wait::Each(i)));
                    }
                    parts.push((left, Wait::Nothing));
                }
                After::Nothing => parts.push((left, Wait::Nothing)),
                _ if before.is_empty() => parts.push((left, Wait::Nothing)),
                _ => parts.push((left, Wait::Whole(before))),
            }
            let parts = parts.into_iter().filter(|(elements, _)| !elements.is_empty());
            for (number, (elements, wait)) in (1u32..).zip(parts) {
                let name = if number == 1 { base.clone() } else { format!("{base}.{number}") };
                let cells = mine.iter().filter(|m| elements.contains(&(*m / per + 1))).count();
                let (stage, block) = (k as u32 + 1, b as u32 + 1);
                all.push(Array { stage, block, name, elements: elements.into_iter().collect(), cells, wait });
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    fn grid() -> Grid {
        let text = "schema = \"ekp.experiment\"\nversion = 1\nname = \"g\"\nseed = 1\n[algorithm]\nmethod = \"grid\"\n\
            [[axis]]\nname = \"t\"\nrange = [1, 5]\n[[axis]]\nname = \"s\"\nvalues = [\"hmc\", \"vi\"]\n\
            [[stage]]\nname = \"build\"\nover = [\"t\"]\nmodel = { command = [\"/bin/true\"] }\n\
            [[stage]]\nname = \"sample\"\nafter = \"build\"\nover = [\"t\", \"s\"]\nmodel = { command = [\"/bin/true\"] }\n\
            [[stage]]\nname = \"sum\"\nafter = \"sample\"\nover = []\nmodel = { command = [\"/bin/true\"] }\n";
        Grid::read(&Document::parse(Path::new("x"), text).unwrap(), Path::new("/")).unwrap()
    }

    fn told(arrays: &[Array]) -> Vec<String> {
        let of = |a: &Array| format!("{} {:?} {:?}", a.name, a.elements, a.wait);
        arrays.iter().map(of).collect()
    }

    #[test]
    fn a_whole_grid_is_an_array_per_block_that_waits_element_by_element() {
        let open = [(1..=5).collect(), (1..=10).collect(), vec![1]];
        assert_eq!(
            told(&arrays(&grid(), &open, &|_| 1)),
            [
                "build [1, 2, 3, 4, 5] Nothing",
                "sample.hmc [1, 2, 3, 4, 5] Each(0)",
                "sample.vi [1, 2, 3, 4, 5] Each(0)",
                "sum [1] Whole([0, 1, 2])"
            ]
            .map(|line| line.replace("Whole([0, 1, 2])", "Whole([1, 2])"))
        );
        // Two cells to an element, in both stages
        let paired = arrays(&grid(), &open, &|_| 2);
        assert_eq!(told(&paired)[1], "sample.hmc [1, 2, 3] Each(0)");
        assert_eq!(paired[1].cells, 5);
        // Another grain: element numbers mean other cells, so the whole array is waited for
        let mixed = arrays(&grid(), &open, &|stage| if stage == "build" { 1 } else { 5 });
        assert_eq!(told(&mixed)[1], "sample.hmc [1] Whole([0])");
    }

    #[test]
    fn what_has_its_target_waits_for_nothing() {
        // Targets 2 and 4 are open, and what stands on them; of the rest cell 1 of `vi`
        let open = [vec![2, 4], vec![2, 4, 6, 7, 9], vec![1]];
        assert_eq!(
            told(&arrays(&grid(), &open, &|_| 1)),
            [
                "build [2, 4] Nothing",
                "sample.hmc [2, 4] Each(0)",
                "sample.vi [2, 4] Each(0)",
                "sample.vi.2 [1] Nothing",
                "sum [1] Whole([1, 2, 3])"
            ]
        );
        assert!(arrays(&grid(), &[vec![], vec![], vec![]], &|_| 1).is_empty());
    }
}
