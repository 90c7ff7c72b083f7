//! Sine and cosine of lanes: the same bits on every machine.
//!
//! x = kπ + r with abs(r) ≤ π/2, and the power series of r: 10 terms leave (π/2)²¹/21! = 3 · 10⁻¹⁶. Absolute error
//! below 4 · 10⁻¹⁶ for abs(x) ≤ 10⁵; larger arguments lose digits with their size.

use crate::numerics::lanes::{Lanes, MAGIC};

/// What π has beyond its nearest double; a fused multiply-add forms x − kπ with one rounding.
const PI_REST: f64 = 1.224_646_799_147_353_2e-16;

/// sin x and cos x.
#[inline(always)]
pub fn sin_cos<V: Lanes>(x: V) -> (V, V) {
    let (sin, cosm1, sign) = parts(x);
    (sin * sign, (cosm1 + V::splat(1.0)) * sign)
}

/// sin x and cos x − 1, without the loss near 0.
#[inline(always)]
pub fn sin_cosm1<V: Lanes>(x: V) -> (V, V) {
    let (sin, cosm1, sign) = parts(x);
    (sin * sign, cosm1.fma(sign, sign - V::splat(1.0)))
}

/// sin r, cos r − 1 and the sign of both sine and cosine of x = kπ + r.
#[inline(always)]
fn parts<V: Lanes>(x: V) -> (V, V, V) {
    let magic = V::splat(MAGIC);
    let k = x.fma(V::splat(std::f64::consts::FRAC_1_PI), magic) - magic;
    let r = k.fma(V::splat(-PI_REST), k.fma(V::splat(-std::f64::consts::PI), x));
    // Odd k turn both signs: k less twice the nearest integer of its half is −1, 0 or 1.
    let half = k.fma(V::splat(0.5), magic) - magic;
    let odd = half.fma(V::splat(-2.0), k);
    let sign = (odd * odd).fma(V::splat(-2.0), V::splat(1.0));
    let z = r * r;
    let mut s = V::splat(-1.0 / 121_645_100_408_832_000.0);
    for c in [
        1.0 / 355_687_428_096_000.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
    ] {
        s = s.fma(z, V::splat(c));
    }
    let sin = (s * z).fma(r, r);
    let mut c = V::splat(1.0 / 2_432_902_008_176_640_000.0);
    for t in [
        -1.0 / 6_402_373_705_728_000.0,
        1.0 / 20_922_789_888_000.0,
        -1.0 / 87_178_291_200.0,
        1.0 / 479_001_600.0,
        -1.0 / 3_628_800.0,
        1.0 / 40_320.0,
        -1.0 / 720.0,
        1.0 / 24.0,
        -0.5,
    ] {
        c = c.fma(z, V::splat(t));
    }
    (sin, c * z, sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::lanes::{Kernel, Row, Width};

    struct At(Row);
    impl Kernel for At {
        type Output = (Row, Row);
        #[inline(always)]
        fn run<V: Lanes>(self) -> (Row, Row) {
            let (mut a, mut b) = (Row::default(), Row::default());
            let (s, c) = sin_cos(V::load(&self.0));
            s.store(&mut a);
            c.store(&mut b);
            (a, b)
        }
    }

    #[test]
    fn sine_and_cosine_agree_with_the_standard_library_and_between_widths() {
        for k in 0..4000 {
            let row = Row(std::array::from_fn(|l| f64::from(k - 2000) * 0.0517 + l as f64 * 11.3));
            let (s, c) = Width::Plain.run(At(row));
            for l in 0..8 {
                assert!((s.0[l] - row.0[l].sin()).abs() < 5e-16, "sin {}", row.0[l]);
                assert!((c.0[l] - row.0[l].cos()).abs() < 5e-16, "cos {}", row.0[l]);
            }
            for width in Width::all() {
                assert_eq!(width.run(At(row)), (s, c), "{width:?}");
            }
        }
    }
}
