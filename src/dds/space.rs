//! The space of a search: coordinates, some tied to others, some in a given order.

use super::Boundary;
use super::axis::Axis;
use crate::numerics::Stream;

/// A coordinate that follows another: `factor` x + `offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tie {
    /// Which follows
    pub row: usize,
    /// Whom
    pub to: usize,
    /// Times
    pub factor: f64,
    /// Plus
    pub offset: f64,
}

/// Where a search moves. Values are physical, in the order of the coordinates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Space {
    /// d coordinates
    pub axes: Vec<Axis>,
    /// Coordinates that follow others; those they follow follow nobody
    pub ties: Vec<Tie>,
    /// Chains x₁ ≤ x₂ ≤ …; no coordinate stands in two, none of them is tied
    pub order: Vec<Vec<usize>>,
}

/// Draws that may miss the order before it is forced.
const DRAWS: usize = 1000;

impl Space {
    /// The coordinates that the rule moves.
    pub fn free(&self) -> Vec<usize> {
        let tied = |row| self.ties.iter().any(|tie| tie.row == row);
        (0..self.axes.len()).filter(|&row| self.axes[row].free() && !tied(row)).collect()
    }

    /// Whether `x` lies in it.
    pub fn holds(&self, x: &[f64]) -> bool {
        let inside = |(axis, x): (&Axis, &f64)| axis.lo <= *x && *x <= axis.hi;
        let ordered = |chain: &Vec<usize>| chain.windows(2).all(|pair| x[pair[0]] <= x[pair[1]]);
        x.len() == self.axes.len()
            && self.axes.iter().zip(x).all(inside)
            && self.order.iter().all(ordered)
            && self.ties.iter().all(|tie| x[tie.row] == self.tied(tie, x))
    }

    fn tied(&self, tie: &Tie, x: &[f64]) -> f64 {
        let axis = &self.axes[tie.row];
        (tie.factor * x[tie.to] + tie.offset).clamp(axis.lo, axis.hi)
    }

    /// Give the tied coordinates their values.
    pub fn tie(&self, x: &mut [f64]) {
        for tie in &self.ties {
            x[tie.row] = self.tied(tie, x);
        }
    }

    /// Uniform; where coordinates are in order, uniform among what keeps it.
    pub fn draw(&self, stream: &mut Stream) -> Vec<f64> {
        let mut x: Vec<f64> = self.axes.iter().map(|axis| axis.draw(stream)).collect();
        for chain in &self.order {
            let mut missed = 0;
            while chain.windows(2).any(|pair| x[pair[0]] > x[pair[1]]) {
                missed += 1;
                if missed > DRAWS {
                    // Intervals that hardly overlap: the nearest values that keep the order.
                    let mut least = f64::NEG_INFINITY;
                    for &row in chain {
                        x[row] = x[row].max(least).clamp(self.axes[row].lo, self.axes[row].hi);
                        least = x[row];
                    }
                    break;
                }
                for &row in chain {
                    x[row] = self.axes[row].draw(stream);
                }
            }
        }
        self.tie(&mut x);
        x
    }

    /// `best` with the `chosen` coordinates moved, one after the other, within what order leaves each.
    pub(super) fn moved(
        &self,
        best: &[f64],
        chosen: &[usize],
        r: f64,
        boundary: Boundary,
        stream: &mut Stream,
    ) -> Vec<f64> {
        let mut x = best.to_vec();
        for &row in chosen {
            let narrow = self.between(row, &x);
            x[row] = self.axes[row].step(x[row], narrow, r, boundary, stream);
        }
        self.tie(&mut x);
        x
    }

    /// What the neighbours in its chain leave to a coordinate.
    fn between(&self, row: usize, x: &[f64]) -> (f64, f64) {
        for chain in &self.order {
            if let Some(at) = chain.iter().position(|&r| r == row) {
                let below = at.checked_sub(1).map_or(f64::NEG_INFINITY, |b| x[chain[b]]);
                let above = chain.get(at + 1).map_or(f64::INFINITY, |&a| x[a]);
                return (below, above);
            }
        }
        (f64::NEG_INFINITY, f64::INFINITY)
    }
}
