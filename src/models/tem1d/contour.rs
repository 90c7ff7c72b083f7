//! The slow way that is known to be right: a hyperbolic contour for each time, waveforms by superposition.
//!
//! # Source
//! Weideman & Trefethen (2007), Mathematics of Computation 76, 1341–1356, doi:10.1090/S0025-5718-07-01945-X.

use std::f64::consts::PI;

use crate::models::tem1d::gates::{Moment, Quantity};
use crate::models::tem1d::geometry::gauss_legendre;
use crate::numerics::complex::Complex;

/// Points of the contour: 10⁻¹⁴ but for rounding.
const N: f64 = 14.0;
/// Half periods of a repeated pulse that are added before the sum's tail is averaged.
const PULSES: usize = 400;

/// f(t) of its transform.
fn inverse(t: f64, transform: impl Fn(Complex) -> Complex) -> f64 {
    let step = 1.081_792_140 / N;
    let m = 4.492_075_287 * N / t;
    let phi: f64 = 1.172_104_229;
    (0..N as usize)
        .map(|k| {
            let theta = (k as f64 + 0.5) * step;
            // sin and cos of iθ − φ
            let (sin, cos) = (
                Complex::new(-phi.sin() * theta.cosh(), phi.cos() * theta.sinh()),
                Complex::new(phi.cos() * theta.cosh(), phi.sin() * theta.sinh()),
            );
            let s = (Complex::real(1.0) + sin).scale(m);
            // s′/i = m cos(iθ − φ)
            let weight = cos.scale(m * step / PI);
            (s.scale(t).exp() * weight * transform(s)).re
        })
        .sum()
}

/// Gate `k` of a moment from −H(s), the transform of dB/dt after a step-off (without the impulse at 0).
pub(super) fn gate(moment: &Moment, k: usize, minus_h: &dyn Fn(Complex) -> Complex) -> f64 {
    let (from, to) = moment.gates[k];
    let low = |s: Complex| {
        let one = Complex::real(1.0);
        moment.lowpass.iter().fold(one, |c, f| c / (one + s.scale(0.5 / (PI * f))))
    };
    // Step-off: B, dB/dt and the integral of B from 0, at a time
    let b = |t: f64| inverse(t, |s| minus_h(s) * low(s) / s);
    let rate = |t: f64| inverse(t, |s| minus_h(s) * low(s));
    // ∫ B dτ has the transform F/s; its limit at s = 0 is finite for every earth
    let area = |t: f64| inverse(t, |s| minus_h(s) * low(s) / (s * s));
    let bends = moment.bends();
    let single = |t: f64| match (moment.quantity, bends.is_empty()) {
        (Quantity::B, true) => b(t),
        (Quantity::B, false) => {
            -bends.iter().filter(|x| x.0 < t).map(|(at, c)| c * area(t - at)).sum::<f64>()
        }
        (_, true) => rate(t),
        (_, false) => -bends.iter().filter(|x| x.0 < t).map(|(at, c)| c * b(t - at)).sum::<f64>(),
    };
    let repeated = |t: f64| {
        let Some(f) = moment.repetition else { return single(t) };
        // An alternating sum whose terms fall slowly: the mean of its last two partial sums
        let (mut sum, mut before) = (0.0, 0.0);
        for n in 0..PULSES {
            before = sum;
            let sign = if n % 2 == 0 { 1.0 } else { -1.0 };
            sum += sign * single(t + n as f64 / (2.0 * f));
        }
        0.5 * (sum + before)
    };
    let value = if from == to {
        repeated(from)
    } else {
        let mean = |&(x, w): &(f64, f64)| 0.5 * w * repeated(0.5 * (from + to) + 0.5 * (to - from) * x);
        gauss_legendre(8).iter().map(mean).sum()
    };
    moment.signed(value)
}
