//! Wavenumbers and weights of a loop: ∫ g(λ) f(λ) dλ = Σ_j G_j f(λ_j), λ_j = λ_0 2^{j/p}.
//!
//! In x = ln λ what a layered earth returns, f, is smooth: it has no singularity within 50° of the real axis at any s, 45° at
//! any time, so its Fourier transform falls as e^{−πξ/4} and its values at equal steps h determine it. g oscillates
//! without end, but only its part below the frequency π/h meets f. That part is
//!
//! ```text
//!   g_<(x) = 1/π Re ∫₀^∞ P(ξ) ĝ(ξ) e^{iξx} dξ,     P(ξ) = ½ erf((π/h + ξ)/√2 σ) + ½ erf((π/h − ξ)/√2 σ),
//! ```
//! P the window of a sinc times a Gaussian. ĝ is known in closed form, for any number of wire pieces at once: of λ J1(λ r)
//! it is r^{iξ−1} 2^{−iξ} Γ(1 − iξ/2)/Γ(1 + iξ/2), of modulus 1/r; and because the integrand is analytic and ends, equal steps
//! of ξ give the integral to the last digit. What is left is what f has above π/h: a factor of 20 less for each
//! wavenumber more to an octave. With nine it is 10⁻¹².
//! Not here: which pieces a loop has (`geometry`), how many wavenumbers are enough (`system`).
//!
//! # Source
//! The transform: Abramowitz & Stegun (1964), 11.4.16. Filters from samples of smooth functions: Johansen & Sørensen (1979),
//! Geophysical Prospecting 27, 876–901, doi:10.1111/j.1365-2478.1979.tb01005.x; a sinc times a Gaussian: Qian (2003),
//! Proc. Amer. Math. Soc. 131, 1169–1176, doi:10.1090/S0002-9939-02-06887-9.

use std::f64::consts::{LN_2, PI, SQRT_2};

use crate::models::tem1d::reflect::MU0;
use crate::numerics::complex::Complex;
use crate::numerics::special::erf;

/// Width of the window's edge: wider, and it reaches into what f has; narrower, and weights end later.
const EDGE: f64 = 1.5;
/// Step of ξ: weights repeat after 2π/STEP in ln λ, far outside of all that count.
const STEP: f64 = 0.1;
/// Below this λ r the weights are those of the trapezoidal rule: the window changes less than 10⁻¹³ there.
const PLAIN: f64 = 0.1;

/// A wavenumber and its weight.
pub(super) type Node = (f64, f64);

/// Weights of Σ w λ J1(λ r) μ₀/4π over pieces of wire (r, w), m, at `octave` wavenumbers to an octave.
pub(super) fn nodes(pieces: &[(f64, f64)], from: f64, to: f64, octave: usize) -> Vec<Node> {
    let h = LN_2 / octave as f64;
    let end = PI / h;
    let (least, most) = pieces.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), (r, _)| (a.min(*r), b.max(*r)));
    // A sinc that is 10⁻¹¹ of itself: no piece has weights beyond.
    let to = to.min(end / least * (7.1 / EDGE).exp());
    let count = ((to / from).ln() / h).ceil().max(1.0) as usize + 1;
    let spectrum: Vec<Complex> = (0..)
        .map(|k| f64::from(k) * STEP)
        .take_while(|xi| *xi < end + 9.0 * EDGE)
        .map(|xi| {
            let edge = |x: f64| 0.5 * erf(x / (SQRT_2 * EDGE));
            let window = (edge(end + xi) + edge(end - xi)) * if xi == 0.0 { 0.5 } else { 1.0 };
            let own = -2.0 * argument_of_gamma(0.5 * xi) - xi * LN_2;
            pieces.iter().fold(Complex::default(), |sum, (r, w)| {
                sum + Complex::polar(window * STEP / PI * w / r, own + xi * r.ln())
            })
        })
        .collect();
    let weight = |lambda: f64| {
        if lambda * most < PLAIN {
            return pieces.iter().map(|(r, w)| w * lambda * small_j1(lambda * r)).sum();
        }
        let x = lambda.ln();
        let part = |(k, a): (usize, &Complex)| {
            let (sin, cos) = (k as f64 * STEP * x).sin_cos();
            a.re * cos - a.im * sin
        };
        spectrum.iter().enumerate().map(part).sum::<f64>()
    };
    let node = |k: usize| {
        let lambda = from * (h * k as f64).exp();
        (lambda, MU0 / (4.0 * PI) * h * lambda * weight(lambda))
    };
    (0..count).map(node).collect()
}

/// J1 of a small number.
fn small_j1(z: f64) -> f64 {
    let q = z * z / 4.0;
    0.5 * z * (1.0 - q / 2.0 * (1.0 - q / 6.0 * (1.0 - q / 12.0 * (1.0 - q / 20.0))))
}

/// The argument of Γ(1 + iy), continuous in y: Stirling's series twelve steps further on, and back by Γ(z + 1) = z Γ(z).
fn argument_of_gamma(y: f64) -> f64 {
    const SHIFT: i32 = 12;
    let z = Complex::new(1.0 + f64::from(SHIFT), y);
    let over = Complex::real(1.0) / z;
    let square = over * over;
    let ln = Complex::new(z.abs().ln(), z.im.atan2(z.re));
    let mut sum = (z - Complex::real(0.5)) * ln - z;
    let mut power = over;
    for c in
        [1.0 / 12.0, -1.0 / 360.0, 1.0 / 1260.0, -1.0 / 1680.0, 1.0 / 1188.0, -691.0 / 360_360.0, 1.0 / 156.0]
    {
        sum = sum + power.scale(c);
        power = power * square;
    }
    sum.im - (1..=SHIFT).map(|k| y.atan2(f64::from(k))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gamma_function_turns_as_in_tables() {
        // arg Γ(1 + i) = −0.301640320467534, arg Γ(1 + 10i) = 13.8029…, from mpmath
        assert!((argument_of_gamma(1.0) + 0.301_640_320_467_533_2).abs() < 1e-14);
        assert_eq!(argument_of_gamma(0.0), 0.0);
        // |Γ(1 + iy)| says nothing of the argument; Γ(2 + iy) = (1 + iy) Γ(1 + iy) ties it to Stirling's series at 1
        let y = 40.0_f64;
        let stirling = y * (y.ln() - 1.0) + PI / 4.0 - 1.0 / (12.0 * y);
        assert!((argument_of_gamma(y) - stirling).abs() < 1e-4, "{} {stirling}", argument_of_gamma(y));
    }

    #[test]
    fn weights_give_integrals_that_are_known() {
        // ∫ λ J1(λ r) e^{−λ H} dλ = r / (r² + H²)^{3/2}, for H from a thousandth of r to a thousand times as much
        for r in [0.5, 10.0, 80.0] {
            for octave in [5, 6, 9, 12] {
                let nodes = nodes(&[(r, 1.0)], 1e-8 / r, 1e6 / r, octave);
                // e^{−x} is smooth within 90° of the axis: its transform falls as e^{−πξ/2}
                let allowed = (20.0 * (-PI * PI / 2.0 * octave as f64 / LN_2 * 0.9).exp()).max(1e-11);
                for ratio in [1e-3, 0.03, 0.3, 1.0, 3.0, 30.0, 1000.0] {
                    let height = r * ratio;
                    let found: f64 = nodes.iter().map(|(l, g)| g * (-l * height).exp()).sum();
                    let expected = MU0 / (4.0 * PI) * r / (r * r + height * height).powf(1.5);
                    let error = (found / expected - 1.0).abs();
                    assert!(error < allowed, "r {r} H/r {ratio} octave {octave}: {error:.1e} {allowed:.1e}");
                }
            }
        }
    }
}
