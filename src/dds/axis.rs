//! One coordinate: its interval, and how it moves in it.

use rand::RngExt;
use rand_distr::StandardNormal;

use super::Boundary;
use super::rule::perturb;
use crate::numerics::Stream;

/// What kind of number a coordinate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any number of the interval
    Real,
    /// Any positive number; it moves in its logarithm
    Log,
    /// A whole number
    Integer,
    /// A whole number that names a choice: neighbours are not alike
    Choice,
}

/// A coordinate. Both bounds belong to the interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    /// Lower bound, finite
    pub lo: f64,
    /// Upper bound, finite, ≥ `lo`: a coordinate without room is fixed
    pub hi: f64,
    /// How it moves
    pub kind: Kind,
}

impl Axis {
    /// Whole numbers only count from the first to the last one inside.
    pub fn new(lo: f64, hi: f64, kind: Kind) -> Self {
        match kind {
            Kind::Integer | Kind::Choice => Self { lo: lo.ceil(), hi: hi.floor(), kind },
            _ => Self { lo, hi, kind },
        }
    }

    /// Whether it can move.
    pub fn free(&self) -> bool {
        self.lo < self.hi
    }

    fn whole(&self) -> bool {
        matches!(self.kind, Kind::Integer | Kind::Choice)
    }

    /// The interval where steps are made: logarithms, or half a number beyond the last whole ones.
    fn inner(&self) -> (f64, f64) {
        match self.kind {
            Kind::Log => (self.lo.ln(), self.hi.ln()),
            Kind::Integer | Kind::Choice => (self.lo - 0.5, self.hi + 0.5),
            Kind::Real => (self.lo, self.hi),
        }
    }

    /// From where steps are made to the value: round-off never leaves the interval.
    fn outer(&self, y: f64) -> f64 {
        let x = match self.kind {
            Kind::Log => y.exp(),
            Kind::Integer | Kind::Choice => y.round(), // half away from zero
            Kind::Real => y,
        };
        x.clamp(self.lo, self.hi)
    }

    /// Uniform, for `Log` in the logarithm.
    pub(super) fn draw(&self, stream: &mut Stream) -> f64 {
        let u: f64 = stream.random();
        if !self.free() {
            return self.lo;
        }
        let (lo, hi) = self.inner();
        self.outer(lo + u * (hi - lo))
    }

    /// The value after one step from `x`; `narrow` is the part of the interval that order leaves.
    pub(super) fn step(
        &self,
        x: f64,
        narrow: (f64, f64),
        r: f64,
        boundary: Boundary,
        stream: &mut Stream,
    ) -> f64 {
        let part = Self::new(narrow.0.max(self.lo), narrow.1.min(self.hi), self.kind);
        let z: f64 = stream.sample(StandardNormal);
        let coin: f64 = stream.random();
        if !part.free() {
            return if part.lo == part.hi { part.lo } else { x };
        }
        if self.kind == Kind::Choice {
            return part.another(x, stream);
        }
        let (from, width) = match self.kind {
            Kind::Log => (x.ln(), self.inner().1 - self.inner().0),
            _ => (x, self.inner().1 - self.inner().0),
        };
        let (lo, hi) = part.inner();
        let raw = from + r * width * z;
        let inside = if boundary == Boundary::Absorb && coin < 0.5 {
            raw.clamp(lo, hi)
        } else {
            perturb(from, z, (lo, hi), r * width)
        };
        let y = part.outer(inside);
        // A step that rounds back to where it began would waste an evaluation.
        if self.whole() && y == x { part.another(x, stream) } else { y }
    }

    /// A whole number other than `x`, all alike.
    fn another(&self, x: f64, stream: &mut Stream) -> f64 {
        let u: f64 = stream.random();
        let inside = self.lo <= x && x <= self.hi;
        let count = self.hi - self.lo + f64::from(u8::from(!inside));
        let at = self.lo + (u * count).floor().min(count - 1.0);
        if inside && at >= x { at + 1.0 } else { at }
    }
}
