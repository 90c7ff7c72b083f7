//! Logarithms, powers and hyperbolic tangents of lanes: the same bits on every machine.
//!
//! Every step is an addition, a multiplication, a division or a fused multiply-add, all rounded as IEEE 754 says, so a
//! result depends on its argument alone: not on the width of the vectors, not on the C library. Errors in the table
//! are the largest relative differences from the standard library, whose own error is in them, over 160 000 points from
//! 10⁻¹² to 10² of both signs, in units of 2⁻⁵² (1 to 2 ulp); a test holds them.
//!
//! | function | domain | error |
//! |---|---|---|
//! | [`ln`] | normal numbers above 0 | 1.0 |
//! | [`exp`] | all; kept between e⁻⁷⁰⁸ and e⁷⁰⁸ | 1.0 |
//! | [`expm1`] | −700 to 700 | 1.2 |
//! | [`pow`] | base at least 0 | 1.7 · (1 + abs(y ln x)) |
//! | [`tanh`] | all | 2.2 |
//! | [`ln_1p_exp`] | all; not below e⁻²⁰⁰ | 2.0 |
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

/// (eʳ − 1 − r) / r² for abs(r) ≤ ln 2 / 2: Chebyshev's polynomial of degree 9, error 1.1 · 10⁻¹⁶.
#[inline(always)]
fn exp_tail<V: Lanes>(r: V) -> V {
    let mut p = V::splat(2.510_038_549_551_032e-8);
    for c in [
        2.762_008_844_540_974_8e-7,
        2.755_726_845_999_706_4e-6,
        2.480_152_129_595_437_5e-5,
        1.984_126_986_305_361_7e-4,
        1.388_888_891_721_371_7e-3,
        8.333_333_333_330_062e-3,
        4.166_666_666_662_413e-2,
        1.666_666_666_666_666_7e-1,
        5.000_000_000_000_001e-1,
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

/// Numerator and denominator of tanh x for 0 ≤ x ≤ 300: 1 − e⁻²ˣ and 1 + e⁻²ˣ. Who divides by more than that divides
/// once.
#[inline(always)]
pub fn tanh_parts<V: Lanes>(x: V) -> (V, V) {
    let lost = V::splat(0.0) - expm1(x * V::splat(-2.0));
    (lost, V::splat(2.0) - lost)
}

/// Hyperbolic tangent.
#[inline(always)]
pub fn tanh<V: Lanes>(x: V) -> V {
    let (above, below) = tanh_parts(x.abs().min(V::splat(40.0)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::lanes::{Kernel, LANES, Row, Width};

    /// Some functions of (x, y), one after the other.
    struct All(Row, Row);
    impl Kernel for All {
        type Output = [Row; 6];
        #[inline(always)]
        fn run<V: Lanes>(self) -> [Row; 6] {
            let (x, y) = (V::load(&self.0), V::load(&self.1));
            let mut rows = [Row::default(); 6];
            let all = [ln(x.abs()), exp(x), expm1(x), pow(x.abs(), y), tanh(x), ln_1p_exp(x)];
            rows.iter_mut().zip(all).for_each(|(row, v)| v.store(row));
            rows
        }
    }

    /// Arguments of both signs from 10⁻¹² to 10², and exponents.
    fn arguments() -> Vec<(Row, Row)> {
        let x = |k: usize| {
            let size = 10f64.powf(-12.0 + 14.0 * (k as f64 * 0.618_033_988_749_894_9).fract());
            if k.is_multiple_of(2) { size } else { -size }
        };
        let y = |k: usize| 0.5 + 6.0 * (k as f64 * 0.414_213_562_373_095).fract();
        let rows = |i: usize| {
            let of = |f: &dyn Fn(usize) -> f64| Row(std::array::from_fn(|l| f(i * LANES + l)));
            (of(&x), of(&y))
        };
        (0..20_000).map(rows).collect()
    }

    #[test]
    fn the_errors_are_those_of_the_table() {
        let mut worst = [0.0f64; 6];
        for (x, y) in arguments() {
            let ours = Width::widest().run(All(x, y));
            for l in 0..LANES {
                let (x, y) = (x.0[l], y.0[l]);
                let log = y * x.abs().ln();
                let theirs = [
                    x.abs().ln(),
                    x.exp(),
                    x.exp_m1(),
                    log.exp(),
                    x.tanh(),
                    x.max(0.0) + (-x.abs()).exp().ln_1p(),
                ];
                for k in 0..6 {
                    let error = (ours[k].0[l] - theirs[k]).abs() / theirs[k].abs() / f64::EPSILON;
                    // A power inherits the rounding of its logarithm
                    let allowed = if k == 3 { 1.0 + log.abs() } else { 1.0 };
                    worst[k] = worst[k].max(error / allowed);
                }
            }
        }
        for (error, most) in worst.iter().zip([1.05, 1.05, 1.25, 1.75, 2.25, 2.05]) {
            assert!(error < &most, "{worst:?}");
        }
    }

    #[test]
    fn every_width_gives_the_same_bits() {
        for (x, y) in arguments().into_iter().step_by(50) {
            let plain = Width::Plain.run(All(x, y));
            for width in Width::all() {
                assert_eq!(
                    width.run(All(x, y)).map(|r| r.0.map(f64::to_bits)),
                    plain.map(|r| r.0.map(f64::to_bits))
                );
            }
        }
    }

    #[test]
    fn the_ends_of_the_ranges_are_as_said() {
        let of = |x: f64, y: f64| Width::widest().run(All(Row::splat(x), Row::splat(y))).map(|row| row.0[0]);
        let [_, e, _, power, _, threshold] = of(0.0, 2.0);
        assert_eq!((e, power < 1e-300), (1.0, true));
        assert!((threshold - std::f64::consts::LN_2).abs() < 1e-15);
        let [log, _, _, power, _, _] = of(1.0, 3.3);
        assert_eq!((log, power), (0.0, 1.0));
        let [_, _, _, _, t, threshold] = of(-500.0, 1.0);
        assert_eq!((t, threshold < 1e-80), (-1.0, true));
    }
}
