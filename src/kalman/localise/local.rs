//! A transform step for each parameter, with the data weighted for it: local ensemble transform Kalman inversion.
//!
//! The joint covariance is never edited, so nothing can become indefinite, and the cost stays linear in p:
//! p J² for each set of parameters with the same weights.
//!
//! # Source
//! Hunt, Kostelich & Szunyogh (2007), Physica D 230, 112–126, doi:10.1016/j.physd.2006.11.008, section 3 (their weights
//! multiply the inverse noise); the transform is that of [`crate::kalman::etki`].

use crate::kalman::etki;
use crate::kalman::evidence::{Evidence, Keep, Rows, gather};
use crate::numerics::{LinalgError, Mat};
use crate::problem::observation::Noise;

/// One transform step, row by row: `Γ⁻¹` becomes `diag(√ρᵢ) Γ⁻¹ diag(√ρᵢ)` for row i.
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J | unconstrained parameter space |
/// | g, y, Γ | `g`, `y`, `noise` | p × J, p, p × p | unit of the observation |
/// | ρ | `kernel` | d × p | 1, from 0 to 1 |
/// | | `prior` | | evidence of a prior that is imposed: it is not weighted |
///
/// # Errors
/// `NotFinite` for outputs that are not finite; `NoConvergence`.
pub(super) fn update(
    u: &Mat,
    g: &Mat,
    y: &[f64],
    noise: &Noise,
    kernel: &Mat,
    prior: Option<&dyn Fn(Keep) -> Evidence>,
    dt: f64,
) -> Result<Mat, LinalgError> {
    let (members, n) = ((0..g.ncols()).collect::<Vec<_>>(), g.ncols());
    let all: Vec<usize> = (0..g.nrows()).collect();
    let mut moved = u.clone();
    for alike in alike(kernel) {
        let root: Vec<f64> = (0..g.nrows()).map(|k| kernel[(alike[0], k)].sqrt()).collect();
        let weighted = Mat::from_fn(g.nrows(), n, |k, j| root[k] * g[(k, j)]);
        let seen: Vec<f64> = y.iter().zip(&root).map(|(y, w)| w * y).collect();
        let rows = Rows { g: &weighted, rows: &all, members: &members, y: &seen, noise };
        let in_form = |keep: Keep| {
            let data = gather(&rows, keep).0;
            match prior {
                Some(prior) => data.plus(prior(keep)),
                None => data,
            }
        };
        let mut evidence = in_form(Keep::Gram);
        if evidence.is_stiff(dt / (n as f64 - 1.0)) {
            evidence = in_form(Keep::Whitened);
        }
        let own = Mat::from_fn(alike.len(), n, |i, j| u[(alike[i], j)]);
        let own = etki::update(&own, &evidence, dt)?;
        for (i, &row) in alike.iter().enumerate() {
            (0..n).for_each(|j| moved[(row, j)] = own[(i, j)]);
        }
    }
    Ok(moved)
}

/// Rows with equal weights, together; in the order of their first.
fn alike(kernel: &Mat) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    for i in 0..kernel.nrows() {
        let same = |set: &&mut Vec<usize>| {
            (0..kernel.ncols()).all(|k| kernel[(set[0], k)].to_bits() == kernel[(i, k)].to_bits())
        };
        match sets.iter_mut().find(same) {
            Some(set) => set.push(i),
            None => sets.push(vec![i]),
        }
    }
    sets
}
