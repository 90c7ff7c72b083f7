//! Delay of runoff by a gamma distribution.

use crate::numerics::gamma::{incomplete_gamma, ln_gamma};

/// Shape of the distribution.
const SHAPE: f64 = 2.5;
/// Share that may be left over before the ordinates are scaled to 1.
const REST: f64 = 1e-12;

/// Shares of a step's runoff that leave in that step of `dt` days and the following ones; mean delay `delay` days.
pub fn ordinates(delay: f64, dt: f64) -> Vec<f64> {
    let log_gamma = ln_gamma(SHAPE);
    let (mut shares, mut below) = (Vec::new(), 0.0);
    while 1.0 - below > REST && shares.len() < 20_000 {
        let until = (shares.len() + 1) as f64 * dt;
        let (p, _) = incomplete_gamma(SHAPE, SHAPE * until / delay, log_gamma);
        shares.push(p - below);
        below = p;
    }
    let sum: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= sum);
    shares
}

/// Runoff that has left (mm/step), in place of the runoff that was made. Returns what is still on its way, step by step.
pub fn route(shares: &[f64], runoff: &mut [f64]) -> Vec<f64> {
    let mut on_its_way = vec![0.0; shares.len()];
    for q in runoff {
        on_its_way.iter_mut().zip(shares).for_each(|(later, share)| *later += *q * share);
        *q = on_its_way[0];
        on_its_way.rotate_left(1);
        *on_its_way.last_mut().expect("one share at least") = 0.0;
    }
    on_its_way.pop();
    on_its_way
}
