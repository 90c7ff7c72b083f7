//! The topographic index of TOPMODEL: its distribution, its mean power, the area above a threshold.
//!
//! x = 3 + gamma(shape, scale χ), mean λ̄ (LOGLAMB), χ = (λ̄ − 3) / shape (TISHAPE).

use crate::numerics::gamma::{incomplete_gamma, ln_gamma};

/// Offset of the distribution.
pub(super) const OFFSET: f64 = 3.0;
/// Classes of the index and where they end.
const CLASSES: usize = 2000;
const TOP: f64 = 50.0;

/// χ, the scale of the distribution.
pub(super) fn scale(loglamb: f64, tishape: f64) -> f64 {
    (loglamb - OFFSET) / tishape
}

/// λ = mean of `exp(x)^(1/n)`: over 2000 equal classes of 0 ≤ x ≤ 50, the probability of a class times the value in
/// its middle.
///
/// The exact mean, exp(3/n) (1 − χ/n)^−shape, is infinite for n ≤ χ; the classes of the published code keep it finite.
pub fn mean_power_index(loglamb: f64, tishape: f64, n: f64) -> f64 {
    let (chi, log_gamma) = (scale(loglamb, tishape), ln_gamma(tishape));
    let width = TOP / CLASSES as f64;
    let (mut sum, mut below) = (0.0, 0.0);
    for class in 1..=CLASSES {
        let edge = class as f64 * width;
        if edge <= OFFSET {
            continue;
        }
        let (p, _) = incomplete_gamma(tishape, (edge - OFFSET) / chi, log_gamma);
        sum += ((edge - 0.5 * width) / n).exp() * (p - below);
        below = p;
        if p == 1.0 {
            break;
        }
    }
    sum
}

/// Share of the area whose index lies above `edge`, and its derivative by `edge`.
#[inline]
pub(super) fn area_above(edge: f64, chi: f64, tishape: f64, log_gamma: f64) -> (f64, f64) {
    let x = (edge - OFFSET) / chi;
    if x <= 0.0 {
        return (1.0, 0.0);
    }
    let (_, upper) = incomplete_gamma(tishape, x, log_gamma);
    let density = ((tishape - 1.0) * x.ln() - x - log_gamma).exp();
    (upper, -density / chi)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_power_tends_to_its_closed_form_where_that_is_finite() {
        // χ/n = 0.3: the tail above 50 is nothing; the middle of a class of 0.025 is off by (0.025/n)²/24
        let (loglamb, shape, n) = (7.5, 3.0, 5.0);
        let chi = scale(loglamb, shape);
        let exact = f64::exp(OFFSET / n) * (1.0 - chi / n).powf(-shape);
        let got = mean_power_index(loglamb, shape, n);
        assert!((got / exact - 1.0).abs() < 2e-6, "{got} {exact}");
    }

    #[test]
    fn the_derivative_of_the_area_is_its_difference_quotient() {
        let (chi, shape) = (1.3, 2.7);
        let area = |edge: f64| area_above(edge, chi, shape, ln_gamma(shape));
        for edge in [3.5, 5.0, 9.0, 20.0] {
            let h = 1e-5;
            let quotient = (area(edge + h).0 - area(edge - h).0) / (2.0 * h);
            assert!((quotient / area(edge).1 - 1.0).abs() < 1e-7, "{edge}");
        }
        assert_eq!(area(2.9), (1.0, 0.0));
    }
}
