//! The rule itself: how many coordinates move, and how far one goes.

use rand::RngExt;

use super::pareto::{crowding, hypervolume_shares};
use super::{Found, Search, Select, Standing};
use crate::numerics::Stream;

/// Probability with which each coordinate moves in search step `k` of `left`: 1 − ln k / ln left, within 0 and 1.
///
/// 1 where `left` is 1, and 0 at the last step: then one coordinate moves.
pub fn probability(k: u32, left: u32) -> f64 {
    if left <= 1 || k <= 1 {
        return 1.0;
    }
    (1.0 - f64::from(k).ln() / f64::from(left).ln()).clamp(0.0, 1.0)
}

/// One step of one coordinate: x + step z, mirrored once at the bound it crosses, and set to that bound when the
/// mirror image crosses the other one.
///
/// | symbol | argument | unit |
/// |---|---|---|
/// | x | where it starts | of the coordinate |
/// | z | a standard normal number | 1 |
/// | lo, hi | `bounds` | of the coordinate |
/// | r (hi − lo) | `step` | of the coordinate |
pub fn perturb(x: f64, z: f64, bounds: (f64, f64), step: f64) -> f64 {
    let (lo, hi) = bounds;
    if hi <= lo {
        return lo;
    }
    let y = x + step * z;
    if y < lo {
        let mirrored = lo + (lo - y);
        if mirrored > hi { lo } else { mirrored }
    } else if y > hi {
        let mirrored = hi - (y - hi);
        if mirrored < lo { hi } else { mirrored }
    } else {
        y
    }
}

/// The coordinates that move: each by its own number, one at least.
pub(super) fn chosen(free: &[usize], p: f64, stream: &mut Stream) -> Vec<usize> {
    let chosen: Vec<usize> = free.iter().copied().filter(|_| stream.random::<f64>() < p).collect();
    let one = pick(free.len(), stream);
    if chosen.is_empty() && !free.is_empty() { vec![free[one]] } else { chosen }
}

/// An index below `n`, all alike.
fn pick(n: usize, stream: &mut Stream) -> usize {
    let u: f64 = stream.random();
    ((u * n as f64) as usize).min(n.saturating_sub(1))
}

/// Where a trial starts from. `standing.kept` is not empty.
pub(super) fn parent<'a>(search: &Search, standing: &'a Standing, t: u32, stream: &mut Stream) -> &'a Found {
    let kept = &standing.kept;
    match search.select {
        Select::Best => &kept[0],
        Select::Pool(_) => {
            // Three different ones: the pool is sorted, so the best of them has the smallest index.
            let mut open: Vec<usize> = (0..kept.len()).collect();
            let three = (0..3.min(kept.len())).map(|_| open.swap_remove(pick(open.len(), stream)));
            &kept[three.min().unwrap_or(0)]
        }
        Select::Crowding | Select::Hypervolume | Select::Uniform => {
            // What just entered the archive is followed up, one after the other.
            let fresh: Vec<&Found> =
                kept.iter().filter(|found| standing.fresh.contains(&found.trial)).collect();
            if let Some(nth) = t.checked_sub(standing.done + 1)
                && let Some(found) = fresh.get(nth as usize)
            {
                return found;
            }
            let goals: Vec<&[f64]> = kept.iter().map(|found| found.goals.as_slice()).collect();
            let weights = match search.select {
                Select::Crowding => crowding(&goals),
                Select::Hypervolume => hypervolume_shares(&goals),
                _ => vec![1.0; kept.len()],
            };
            &kept[weighted(&weights, stream)]
        }
    }
}

/// An index by weight; all alike where no weight is positive.
fn weighted(weights: &[f64], stream: &mut Stream) -> usize {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 || !total.is_finite() {
        return pick(weights.len(), stream);
    }
    let mut at = stream.random::<f64>() * total;
    for (i, weight) in weights.iter().enumerate() {
        if at < *weight {
            return i;
        }
        at -= weight;
    }
    weights.iter().rposition(|w| *w > 0.0).unwrap_or(0)
}
