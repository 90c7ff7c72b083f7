//! Dynamically dimensioned search: the next trial as a pure function of what the trials before it gave.
//!
//! ```text
//!   results so far ──merge──▶ Standing (the best, the pool or the archive; how long without success)
//!   Standing + number of the trial + its own random stream ──trial──▶ parameters
//! ```
//!
//! Generations merge their results in one go, workers without a coordinator as they see them; the rule is the same.
//! A score is always made as large as it can be: whoever minimises turns the sign before and after.
//! Belongs here: the rule, the space it moves in, what is kept of the results. Not here: leases (`files`), workers
//! (`steps`), where a score comes from (`models`).
//!
//! # Source
//! Tolson & Shoemaker (2007), Water Resour. Res. 43, W01413, doi:10.1029/2005WR004723; for integers Tolson et al.
//! (2009), Water Resour. Res. 45, W12416, doi:10.1029/2008WR007673; for several objectives Asadzadeh & Tolson (2013),
//! Eng. Optim. 45, 1489–1509, doi:10.1080/0305215X.2012.748046.

mod axis;
mod pareto;
mod rule;
mod space;
mod standing;

pub use axis::{Axis, Kind};
pub use pareto::{MOST_VOLUME, crowding, dominates, hypervolume_shares};
pub use rule::{perturb, probability};
pub use space::{Space, Tie};
pub use standing::{Found, Standing, Tried};

use crate::numerics::{Purpose, Streams};

/// What happens to a coordinate that leaves its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// It is mirrored at the bound
    Reflect,
    /// It is mirrored, or set to the bound, by a coin (Asadzadeh & Tolson 2008): for optima that sit on bounds
    Absorb,
}

/// Which results a trial may start from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Select {
    /// The best one
    Best,
    /// The best of three out of so many good ones, as in SYMFLUENCE: for comparison, it searches worse
    Pool(u32),
    /// Any that no other beats in all objectives, by the distance to its neighbours
    Crowding,
    /// The same, by the share of the dominated volume that it alone holds
    Hypervolume,
    /// The same, all alike
    Uniform,
}

impl Select {
    /// Whether it keeps an archive of several objectives.
    pub fn several(self) -> bool {
        matches!(self, Self::Crowding | Self::Hypervolume | Self::Uniform)
    }
}

/// Evaluations without a new best after which the widening variant doubles its step.
pub const STAGNANT: u32 = 100;

/// A search: everything that does not change while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Where it moves
    pub space: Space,
    /// Uniform draws before the rule counts, n₀ ≥ 1
    pub initial: u32,
    /// Standard deviation of a step as a share of the interval
    pub r: f64,
    /// Probability of a coordinate at least
    pub p_min: f64,
    /// Double `r` (to 0.5 at most) while [`STAGNANT`] evaluations brought nothing new
    pub widen: bool,
    /// At the bounds
    pub boundary: Boundary,
    /// Where trials start from
    pub select: Select,
    /// First trial, in place of a draw
    pub start: Option<Vec<f64>>,
    /// Stop when so many evaluations in a row failed
    pub storm: u32,
    /// Uniform draws that may fail before anything succeeded
    pub most_failures: u32,
}

/// A trial, ready to be run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// d values, physical
    pub x: Vec<f64>,
    /// Probability with which each coordinate moved; 1 for a draw
    pub p: f64,
    /// The trial it started from; none for a draw
    pub parent: Option<u32>,
    /// Coordinates that the rule moved (all for a draw)
    pub moved: u32,
}

/// Why a search ends before its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiveUp {
    /// So many evaluations in a row failed
    Storm(u32),
    /// So many draws failed, and nothing succeeded
    Beginning(u32),
}

impl Search {
    /// n₀ of a budget: max(5, round(0.005 m)), or 1 with a start.
    pub fn usual_initial(budget: u32, start: bool) -> u32 {
        if start { 1 } else { 5.max((0.005 * f64::from(budget)).round() as u32) }
    }

    /// Evaluations that there are, budget or not: one is enough where nothing is free.
    pub fn evaluations(&self, budget: u32) -> u32 {
        if self.space.free().is_empty() { budget.min(1) } else { budget }
    }

    /// Trial number `t` (from 1) of `budget` after the results in `standing`. Its random numbers are those of its
    /// number, so it is a pure function of (seed, t, standing).
    pub fn trial(&self, standing: &Standing, t: u32, budget: u32, draw: &Streams) -> Trial {
        let mut stream = draw.at(Purpose::Search, 0, t);
        let free = self.space.free();
        let drawn = |x: Vec<f64>| Trial { x, p: 1.0, parent: None, moved: free.len() as u32 };
        if t == 1
            && let Some(start) = &self.start
        {
            return drawn(start.clone());
        }
        if t <= self.initial || standing.kept.is_empty() {
            return drawn(self.space.draw(&mut stream));
        }
        let (k, left) = (t - self.initial, budget.saturating_sub(self.initial));
        let parent = rule::parent(self, standing, t, &mut stream);
        let p = probability(k, left).max(self.p_min);
        let r = if self.widen && standing.stagnant >= STAGNANT { (2.0 * self.r).min(0.5) } else { self.r };
        let chosen = rule::chosen(&free, p, &mut stream);
        let x = self.space.moved(&parent.x, &chosen, r, self.boundary, &mut stream);
        Trial { x, p, parent: Some(parent.trial), moved: chosen.len() as u32 }
    }

    /// Whether it has no sense to go on.
    pub fn gives_up(&self, standing: &Standing) -> Option<GiveUp> {
        if standing.kept.is_empty() && standing.failed >= self.most_failures {
            return Some(GiveUp::Beginning(standing.failed));
        }
        (standing.failed_in_row >= self.storm).then_some(GiveUp::Storm(standing.failed_in_row))
    }
}

#[cfg(test)]
mod tests;
