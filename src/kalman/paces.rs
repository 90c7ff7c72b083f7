//! Groups that take steps of their own: how far each is, and what that makes of the whole.
//!
//! Belongs here: what is kept of each group between steps, the numbers that stand for all of them.
//! Not here: the steps (`groups`), the rule (`schedule`).

use super::groups::Part;
use super::schedule::Progress;
use crate::numerics::Mat;
use crate::problem::{AlgorithmError, GroupSteps, State};

/// Sum of steps, last step, whether the end was reached: a row for each group.
const KEPT: &str = "group_progress";

/// One group after a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) progress: Progress,
    /// Whether it moved
    pub(super) moves: bool,
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y) over its data, before the step; 0 where it did not move
    pub(super) misfit: f64,
}

/// All groups.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paces {
    each: Vec<Pace>,
    /// Which group a row of u is in
    owner: Vec<usize>,
}

impl Paces {
    /// The paces of all groups, and of each of the d parameters the group that it belongs to.
    pub(super) fn new(each: Vec<Pace>, parts: &[Part]) -> Self {
        let d = parts.iter().map(|part| part.parameters.len()).sum();
        let mut owner = vec![0; d];
        for (k, part) in parts.iter().enumerate() {
            part.parameters.iter().for_each(|&row| owner[row] = k);
        }
        Self { each, owner }
    }

    /// As kept between calls; before the first step nothing is, and all groups are at the beginning.
    ///
    /// # Errors
    /// `Shape` for a state of other groups.
    pub(super) fn read(state: &State, groups: usize) -> Result<Self, AlgorithmError> {
        let at = |progress| Pace { progress, moves: true, misfit: 0.0 };
        let each = match state.arrays.get(KEPT) {
            None => vec![at(Progress::default()); groups],
            Some(kept) if (kept.nrows(), kept.ncols()) == (groups, 3) => (0..groups)
                .map(|k| {
                    at(Progress { time: kept[(k, 0)], step: kept[(k, 1)], reached: kept[(k, 2)] != 0.0 })
                })
                .collect(),
            Some(kept) => {
                return Err(AlgorithmError::Shape { what: KEPT, found: kept.nrows(), expected: groups });
            }
        };
        Ok(Self { each, owner: Vec::new() })
    }

    /// Keep it.
    pub(super) fn write(&self, state: &mut State) {
        let entry = |k: usize, what: usize| {
            let Progress { time, step, reached } = self.each[k].progress;
            [time, step, f64::from(u8::from(reached))][what]
        };
        state.arrays.insert(KEPT.into(), Mat::from_fn(self.each.len(), 3, entry));
    }

    /// Where a part stands.
    pub(super) fn of(&self, part: &Part) -> Progress {
        self.each[part.index as usize - 1].progress
    }

    /// One number each for all: the shortest step of those that moved, the pseudo-time of the last, and whether all
    /// have reached their end.
    pub(super) fn whole(&self) -> Progress {
        let least = |of: &dyn Fn(&Pace) -> f64, who: &dyn Fn(&&Pace) -> bool| {
            self.each.iter().filter(who).map(of).fold(f64::INFINITY, f64::min)
        };
        Progress {
            time: least(&|pace| pace.progress.time, &|_| true),
            step: least(&|pace| pace.progress.step, &|pace| pace.moves),
            reached: self.each.iter().all(|pace| pace.progress.reached),
        }
    }

    /// The length of its step for each row of u; 0 for rows that did not move.
    pub(super) fn steps(&self) -> Vec<f64> {
        let of = |&k: &usize| if self.each[k].moves { self.each[k].progress.step } else { 0.0 };
        self.owner.iter().map(of).collect()
    }

    /// What people are told of each group.
    pub(super) fn told(&self) -> GroupSteps {
        let list = |of: fn(&Pace) -> f64| self.each.iter().map(of).collect();
        GroupSteps {
            step: list(|pace| if pace.moves { pace.progress.step } else { 0.0 }),
            time: list(|pace| pace.progress.time),
            misfit: list(|pace| pace.misfit),
        }
    }
}
