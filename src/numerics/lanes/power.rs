//! Logarithms, powers and hyperbolic tangents of lanes: the same bits on every machine.
//!
//! Every step is an addition, a multiplication, a division or a fused multiply-add, all rounded as IEEE 754 says, so a
//! result depends on its argument alone: not on the width of the vectors, not on the C library. Errors in the table
//! are those seen against 50-digit values over 10⁶ points; tests hold them against the standard library.
//!
//! | function | domain | error |
//! |---|---|---|
//! | [`ln`] | normal numbers above 0 | 0.9 ulp |
//! | [`expm1`] | −700 to 700 | 1.6 ulp |
//! | [`pow`] | base above 0 (or 0, exponent above 0) | 1 ulp and 1.2 · 10⁻¹⁶ · abs(y ln x), relative |
//! | [`tanh`] | all | 2.6 ulp |
//! | [`ln_1p_exp`] | all; not below e⁻²⁰⁰ | 2 ulp |
//! | [`inverse_fourth_root`] | 10⁻³⁰⁰ to 10³⁰⁰ | 1.5 ulp |
//!
//! # Source
//! The form of the logarithm and its coefficients are those of `e_log.c` of FDLIBM 5.3 (Sun Microsystems, 1993).

use crate::numerics::lanes::{Lanes, MAGIC};

/// Upper and lower part of ln 2: `k · LN2_HIGH` is exact.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// r and 2ᵏ of x = k ln 2 + r, abs(r) ≤ ln 2 / 2.
#[inline(always)]
fn reduced<V: Lanes>(x: V) -> (V, V) {
    let shifted = x.fma(V::splat(std::f64::consts::LOG2_E), V::splat(MAGIC));
    let k = shifted - V::splat(MAGIC);
    let r = k.fma(V::splat(-LN2_LOW), k.fma(V::splat(-LN2_HIGH), x));
    (r, shifted.two_to())
}

/// (eʳ − 1 − r) / r² for abs(r) ≤ ln 2 / 2: the Taylor series to r¹²; the next term is below 2⁻⁵³ r.
#[inline(always)]
fn exp_tail<V: Lanes>(r: V) -> V {
    let mut p = V::splat(1.0 / 6_227_020_800.0);
    for c in [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
    ] {
        p = p.fma(r, V::splat(c));
    }
    p
}

/// eˣ, kept between e⁻⁷⁰⁸ and e⁷⁰⁸.
#[inline(always)]
pub fn exp<V: Lanes>(x: V) -> V {
    let (r, scale) = reduced(x.max(V::splat(-708.0)).min(V::splat(708.0)));
    let one = V::splat(1.0);
    (exp_tail(r) * r).fma(r, r + one) * scale
}

/// eˣ − 1 without the loss near 0; for −700 to 700.
#[inline(always)]
pub fn expm1<V: Lanes>(x: V) -> V {
    let (r, scale) = reduced(x);
    // 2ᵏ (eʳ − 1) + (2ᵏ − 1)
    (exp_tail(r) * r).fma(r, r).fma(scale, scale - V::splat(1.0))
}

/// Natural logarithm of a normal number above 0.
#[inline(always)]
pub fn ln<V: Lanes>(x: V) -> V {
    let (k, m) = x.exponent_and_fraction();
    let f = m - V::splat(1.0);
    let s = f / (f + V::splat(2.0));
    let z = s * s;
    let w = z * z;
    let even = w.fma(V::splat(1.531_383_769_920_937_3e-1), V::splat(2.222_219_843_214_978_4e-1));
    let even = w * w.fma(even, V::splat(3.999_999_999_940_942e-1));
    let odd = w.fma(V::splat(1.479_819_860_511_658_6e-1), V::splat(1.818_357_216_161_805e-1));
    let odd = w.fma(odd, V::splat(2.857_142_874_366_239e-1));
    let odd = z * w.fma(odd, V::splat(6.666_666_666_666_735e-1));
    let half = V::splat(0.5) * f * f;
    let low = s.fma(half + (odd + even), k * V::splat(LN2_LOW));
    k.fma(V::splat(LN2_HIGH), f - (half - low))
}

/// xʸ for x ≥ 0. 0ʸ is 0 for y > 0 (to e⁻⁷⁰⁸).
#[inline(always)]
pub fn pow<V: Lanes>(x: V, y: V) -> V {
    exp(y * ln(x.max(V::splat(f64::MIN_POSITIVE))))
}

/// Numerator and denominator of tanh x for x ≥ 0: 1 − e⁻²ˣ and 1 + e⁻²ˣ. Who divides by more than that divides once.
#[inline(always)]
pub fn tanh_parts<V: Lanes>(x: V) -> (V, V) {
    let lost = V::splat(0.0) - expm1((x * V::splat(-2.0)).max(V::splat(-80.0)));
    (lost, V::splat(2.0) - lost)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let (above, below) = tanh_parts(x.abs());
    let t = above / below;
    V::select(V::splat(0.0).above(x), V::splat(0.0) - t, t)
}

/// ln(1 + eˣ): a threshold at 0 without its corner.
#[inline(always)]
pub fn ln_1p_exp<V: Lanes>(x: V) -> V {
    let zero = V::splat(0.0);
    let one = V::splat(1.0);
    // Far below 0 the result stays at e⁻²⁰⁰: subnormal numbers would cost a hundred times the rest.
    let u = exp((zero - x.abs()).max(V::splat(-200.0)));
    // ln(1 + u) with what the sum lost given back: (1 + u) − 1 is exact, and the rest is u minus that.
    let sum = one + u;
    let lost = u - (sum - one);
    x.max(zero) + (ln(sum) + lost / sum)
}

/// x^(−1/4): a first guess from the exponent, 12 % off in y = 1 − x z⁴ at most, and two steps of the series
/// (1 − y)^(−1/4) to y³, which leave 10⁻⁴ and 10⁻¹⁶.
#[inline(always)]
pub fn inverse_fourth_root<V: Lanes>(x: V) -> V {
    let mut z = x.quarter_bits_from(0x4feb_020c_49ba_5e36);
    for _ in 0..2 {
        let z2 = z * z;
        let y = (V::splat(0.0) - x * z2).fma(z2, V::splat(1.0));
        let series = y.fma(V::splat(15.0 / 128.0), V::splat(5.0 / 32.0)).fma(y, V::splat(0.25));
        z = (z * y).fma(series, z);
    }
    z
}
