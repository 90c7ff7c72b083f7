//! What Metropolis and Hastings would say of a Langevin step: a cheap look at whether a step size is sound.
//!
//! # Source
//! Roberts & Tweedie (1996), Bernoulli 2, 341–363, doi:10.2307/3318418.

use crate::models::llc::density::Density;
use crate::numerics::panels::Real;

/// Probability that the step from `from` to `to` would have been accepted, by two full gradients.
///
/// A step proposes N(w + ½ε∘∇log π(w), diag ε); `step(i)` is ε of parameter i, taken as the same on the way back.
/// What a minibatch added to the step's drift counts as part of its noise: noisy gradients lower the number.
pub(super) fn acceptance<T: Real>(
    density: &mut Density<T>,
    from: &[T],
    to: &[T],
    step: impl Fn(usize) -> f64,
) -> f64 {
    let (mut g0, mut g1) = (vec![T::ZERO; from.len()], vec![T::ZERO; from.len()]);
    let mut log = -density.log(from, &mut g0);
    log += density.log(to, &mut g1);
    for (i, (a, b)) in from.iter().zip(to).enumerate() {
        let (a, b, e) = (a.wide(), b.wide(), step(i));
        let there = b - a - 0.5 * e * g0[i].wide();
        let back = a - b - 0.5 * e * g1[i].wide();
        log += (there * there - back * back) / (2.0 * e);
    }
    if log.is_nan() { 0.0 } else { log.min(0.0).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::density::tests::setting;
    use crate::models::llc::objective::Polynomial;

    #[test]
    fn the_probability_is_that_of_the_formula() {
        // One parameter, log π = −(a/2)w² with a = nβ·2 + γ = 5; from 0.3 to −0.2 with ε = 0.4
        let setting = setting(vec![0.0], 2.0, 1.0);
        let mut density = Density::new(Box::new(Polynomial::Quadratic(vec![2.0])), &setting);
        let (a, e, x, y) = (5.0_f64, 0.4, 0.3_f64, -0.2_f64);
        let q = |to: f64, from: f64| -(to - from + 0.5 * e * a * from).powi(2) / (2.0 * e);
        let log = 0.5 * a * (x * x - y * y) + q(x, y) - q(y, x);
        let got = acceptance(&mut density, &[x], &[y], |_| e);
        assert!((got - log.min(0.0).exp()).abs() < 1e-12, "{got} {log}");
        assert_eq!(density.fge, 2.0);
        // The way back of a move that is not sure is sure, and the other way round
        let other = acceptance(&mut density, &[y], &[x], |_| e);
        assert!(got.max(other) == 1.0 && got.min(other) < 1.0, "{got} {other}");
        // A step that lands where nothing is finite is refused
        assert_eq!(acceptance(&mut density, &[x], &[f64::INFINITY], |_| e), 0.0);
    }
}
