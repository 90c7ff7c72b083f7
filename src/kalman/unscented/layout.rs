//! Which member is which point of which group.
//!
//! Member 1 is the centre of all. By default each group has the other points to itself, and all other parameters
//! stay at their centre meanwhile; points that groups share move them all at once, which costs as many members as the
//! largest group needs, and is right where no group's blocks answer to another's parameters.
//! Belongs here: places of points, the partition as it is kept. Not here: where points lie.

use super::Unscented;
use crate::kalman::groups::{Misfit, partition};
use crate::numerics::Mat;
use crate::problem::{Prior, State};

/// Group of each row of u, d × 1, counted from 0: only where there are groups.
const GROUPS: &str = "unscented_groups";

/// One group's rows of u, and the members that are its points, in the order of the points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) rows: Vec<usize>,
    pub(super) columns: Vec<usize>,
}

impl Place {
    /// Its points (d × n of the group) among the members: where it has no point it is at its centre.
    pub(super) fn put(&self, points: &Mat, all: &mut Mat) {
        for j in 0..all.ncols() {
            self.rows.iter().enumerate().for_each(|(i, &row)| all[(row, j)] = points[(i, 0)]);
        }
        for (k, &j) in self.columns.iter().enumerate() {
            self.rows.iter().enumerate().for_each(|(i, &row)| all[(row, j)] = points[(i, k)]);
        }
    }

    /// Its rows of a covariance.
    pub(super) fn block(&self, a: &Mat) -> Mat {
        let n = self.rows.len();
        Mat::from_fn(n, n, |i, j| a[(self.rows[i], self.rows[j])])
    }
}

impl Unscented {
    /// How many members there are.
    pub fn members(&self, prior: &Prior) -> usize {
        // Groups that do not fit are refused with their place in the file, elsewhere.
        self.layout(prior).map_or_else(|_| self.points.count(prior.dim()), |all| size(&all))
    }

    /// The places of all groups; one place where there are none.
    ///
    /// # Errors
    /// Groups that are no partition of the parameters.
    pub(super) fn layout(&self, prior: &Prior) -> Result<Vec<Place>, Misfit> {
        let all = if self.groups.is_empty() {
            vec![(0..prior.dim()).collect()]
        } else {
            partition(&self.groups, prior)?
        };
        let mut next = 1;
        let mut place = |rows: Vec<usize>| {
            let count = self.points.count(rows.len());
            let first = if self.shared_points { 1 } else { next };
            next += count - 1;
            Place { rows, columns: std::iter::once(0).chain(first..first + count - 1).collect() }
        };
        Ok(all.into_iter().map(&mut place).collect())
    }
}

/// Members of a layout.
pub(super) fn size(layout: &[Place]) -> usize {
    layout.iter().flat_map(|place| &place.columns).max().map_or(0, |last| last + 1)
}

/// Keep the partition, for those who know only the state.
pub(super) fn write(layout: &[Place], d: usize, state: &mut State) {
    if layout.len() < 2 {
        return;
    }
    let mut owner = Mat::zeros(d, 1);
    for (k, place) in layout.iter().enumerate() {
        place.rows.iter().for_each(|&row| owner[(row, 0)] = k as f64);
    }
    state.arrays.insert(GROUPS.into(), owner);
}

/// Rows of each group, from a state.
pub(super) fn rows(state: &State, d: usize) -> Vec<Vec<usize>> {
    let Some(owner) = state.arrays.get(GROUPS).filter(|owner| owner.nrows() == d) else {
        return vec![(0..d).collect()];
    };
    let groups = owner.data().iter().fold(0.0, |most: f64, k| most.max(*k)) as usize + 1;
    let mut all = vec![Vec::new(); groups];
    owner.data().iter().enumerate().for_each(|(row, &k)| all[k as usize].push(row));
    all
}
