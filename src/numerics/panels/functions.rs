//! Elementary functions without branches, which the compiler turns into lanes where a loop calls them.
// Parts of constants stand with all their digits.
#![allow(clippy::excessive_precision)]

use crate::numerics::panels::Real;

/// 1.5 · 2⁵²: added to a number it leaves the nearest integer in the low bits.
const MAGIC: f64 = 6_755_399_441_055_744.0;
/// 1.5 · 2²³, the same for floats.
const MAGIC_F32: f32 = 12_582_912.0;

/// eˣ = 2ᵏ eʳ, |r| ≤ ½ ln 2, with the Taylor polynomial of degree 12 (remainder 2e-16).
#[inline(always)]
pub(super) fn exp_f64(x: f64) -> f64 {
    let x = x.clamp(-708.0, 708.0);
    let t = x.mul_add(std::f64::consts::LOG2_E, MAGIC);
    let k = t - MAGIC;
    let r = (-k).mul_add(1.908_214_929_270_587_7e-10, (-k).mul_add(6.931_471_803_691_238e-1, x));
    let mut p = 1.0 / 479_001_600.0;
    p = f64::mul_add(p, r, 1.0 / 39_916_800.0);
    p = f64::mul_add(p, r, 1.0 / 3_628_800.0);
    p = f64::mul_add(p, r, 1.0 / 362_880.0);
    p = f64::mul_add(p, r, 1.0 / 40_320.0);
    p = f64::mul_add(p, r, 1.0 / 5_040.0);
    p = f64::mul_add(p, r, 1.0 / 720.0);
    p = f64::mul_add(p, r, 1.0 / 120.0);
    p = f64::mul_add(p, r, 1.0 / 24.0);
    p = f64::mul_add(p, r, 1.0 / 6.0);
    p = f64::mul_add(p, r, 0.5);
    p = f64::mul_add(p, r, 1.0);
    p = f64::mul_add(p, r, 1.0);
    p * f64::from_bits(t.to_bits().wrapping_add(1023) << 52)
}

/// The same with degree 7 (remainder 1e-8).
#[inline(always)]
pub(super) fn exp_f32(x: f32) -> f32 {
    let x = x.clamp(-87.0, 87.0);
    let t = x.mul_add(std::f32::consts::LOG2_E, MAGIC_F32);
    let k = t - MAGIC_F32;
    let r = (-k).mul_add(-2.121_944_4e-4, (-k).mul_add(0.693_359_375, x));
    let mut p = 1.0 / 5_040.0;
    p = f32::mul_add(p, r, 1.0 / 720.0);
    p = f32::mul_add(p, r, 1.0 / 120.0);
    p = f32::mul_add(p, r, 1.0 / 24.0);
    p = f32::mul_add(p, r, 1.0 / 6.0);
    p = f32::mul_add(p, r, 0.5);
    p = f32::mul_add(p, r, 1.0);
    p = f32::mul_add(p, r, 1.0);
    p * f32::from_bits(t.to_bits().wrapping_add(127) << 23)
}

/// tanh x, to a rounding error of 1.
#[inline(always)]
pub fn tanh<T: Real>(x: T) -> T {
    let size = if x < T::ZERO { -x } else { x };
    let e = (-(size + size)).exp();
    let t = (T::ONE - e) / (T::ONE + e);
    if x < T::ZERO { -t } else { t }
}

/// z Φ(z) in its tanh form, and its slope: ½z(1 + t), t = tanh(√(2/π)(z + 0.044715 z³)).
#[inline(always)]
pub fn gelu<T: Real>(z: T) -> (T, T) {
    let (root, cube) = (T::of((2.0 / std::f64::consts::PI).sqrt()), T::of(0.044_715));
    let (half, square) = (T::of(0.5), z * z);
    let t = tanh(root * (z + cube * square * z));
    let inner = root * (T::ONE + T::of(3.0 * 0.044_715) * square);
    (half * z * (T::ONE + t), half * (T::ONE + t) + half * z * (T::ONE - t * t) * inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_agree_with_the_library() {
        for k in -7000..7000 {
            let x = f64::from(k) * 0.1;
            assert!((exp_f64(x) / x.exp() - 1.0).abs() < 4e-16, "{x}");
            assert!((tanh(x / 50.0) - (x / 50.0).tanh()).abs() < 3e-16, "{x}");
            let y = x as f32 / 10.0;
            assert!((exp_f32(y) / y.exp() - 1.0).abs() < 3e-7, "{y}");
            assert!((tanh(y) - y.tanh()).abs() < 2e-7, "{y}");
        }
        assert!(tanh(f64::NAN).is_nan() && gelu(f32::NAN).0.is_nan());
    }

    #[test]
    fn the_slope_of_gelu_is_its_derivative() {
        for k in -40..40 {
            let z = f64::from(k) * 0.1;
            let h = 1e-5;
            let slope = (gelu(z + h).0 - gelu(z - h).0) / (2.0 * h);
            assert!((gelu(z).1 - slope).abs() < 1e-9, "{z}"); // h² of the difference
        }
    }
}
