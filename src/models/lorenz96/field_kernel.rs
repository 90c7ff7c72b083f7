//! The ring under a forcing that differs from place to place: statistics of each variable, and trajectories.
//!
//! The same steps and the same memory as in `kernel`; a lane here has its own start and its own forcing.

use super::kernel::{BEFORE, Ring, add};
use crate::numerics::Mat;
use crate::numerics::simd::Kernel;

/// Mean and standard deviation in time of each variable, for some members side by side.
pub(super) struct Moments<'a> {
    /// x(0), n × lanes
    pub(super) initial: &'a Mat,
    /// n × lanes
    pub(super) forcing: &'a Mat,
    /// Time units
    pub(super) dt: f64,
    /// Steps before the statistics
    pub(super) skip: usize,
    /// States described, at least 2
    pub(super) states: usize,
}

impl Kernel for Moments<'_> {
    /// For each lane n means, then n standard deviations (divisor: states − 1).
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut ring = Ring::starting(self.initial, self.forcing, self.dt);
        for _ in 0..self.skip {
            ring.step();
        }
        let (lanes, size) = (self.forcing.ncols(), self.forcing.data().len());
        let (mut sums, mut squares, mut shift) = (vec![0.0; size], vec![0.0; size], Vec::new());
        for _ in 0..self.states {
            ring.step();
            let x = &ring.x[BEFORE * lanes..][..size];
            if shift.is_empty() {
                // Sums of differences to a state of the attractor: cancellation costs two digits at most.
                shift = x.to_vec();
            }
            add(x, &shift, &mut sums, &mut squares);
        }
        let count = self.states as f64;
        let of_lane = |l: usize| {
            let cells = || (l..size).step_by(lanes);
            let mean = cells().map(|m| shift[m] + sums[m] / count);
            let variance = cells().map(|m| (squares[m] - sums[m] * sums[m] / count) / (count - 1.0));
            mean.chain(variance.map(|v| v.max(0.0).sqrt())).collect()
        };
        (0..lanes).map(of_lane).collect()
    }
}

/// States of one trajectory, one after each `every` steps.
pub(super) struct Trajectory<'a> {
    /// x(0), n × 1
    pub(super) initial: &'a Mat,
    /// n × 1
    pub(super) forcing: &'a Mat,
    /// Time units
    pub(super) dt: f64,
    /// Steps between states
    pub(super) every: usize,
    /// States wanted
    pub(super) states: usize,
}

impl Kernel for Trajectory<'_> {
    /// n × states
    type Output = Mat;

    #[inline(always)]
    fn run(self) -> Mat {
        let n = self.initial.nrows();
        let mut ring = Ring::starting(self.initial, self.forcing, self.dt);
        let mut kept = Vec::with_capacity(n * self.states);
        for _ in 0..self.states {
            for _ in 0..self.every {
                ring.step();
            }
            kept.extend_from_slice(&ring.x[BEFORE..][..n]);
        }
        Mat::from_columns(n, self.states, kept)
    }
}
