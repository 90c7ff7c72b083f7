//! Eight doubles side by side: one kernel text, compiled for the widest vectors of the machine and for none.
//!
//! A kernel is generic over [`Lanes`]. [`widest`] asks the machine once per call and runs the kernel with AVX-512, with
//! AVX2, or with plain arrays. Every operation is correctly rounded or defined bit by bit, and a fused multiply-add is
//! one only where it is written, so a lane has the same bits at every width and whatever its neighbours hold.
//! Belongs here: the operations, the dispatch, and functions of lanes (`power`, `trig`). Not here: what a kernel computes.
#![allow(unsafe_code)]

mod plain;
pub mod power;
mod single;
pub mod trig;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::{Add, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

#[cfg(target_arch = "x86_64")]
use crate::numerics::simd::{has_avx2, has_avx512};

/// Lanes of a vector.
pub const LANES: usize = 8;

/// Eight numbers as they lie in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[repr(C, align(64))]
pub struct Row(pub [f64; LANES]);

impl Row {
    /// The same number in every lane.
    pub const fn splat(x: f64) -> Self {
        Self([x; LANES])
    }
}

/// Eight doubles.
pub trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// One bit per lane
    type Mask: Copy;

    /// The same number in every lane.
    fn splat(x: f64) -> Self;
    /// From memory.
    fn load(row: &Row) -> Self;
    /// To memory.
    fn store(self, row: &mut Row);
    /// `self · b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `c − self · b`, rounded once.
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        (Self::splat(0.0) - self).fma(b, c)
    }
    /// `self` where it is less, else `other`: a NaN on either side gives `other`.
    fn min(self, other: Self) -> Self;
    /// `self` where it is greater, else `other`.
    fn max(self, other: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Without sign.
    fn abs(self) -> Self;
    /// Where `self` > `other`; false for NaN.
    fn above(self, other: Self) -> Self::Mask;
    /// Is any bit set?
    fn any(mask: Self::Mask) -> bool;
    /// `yes` where the bit is set, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// 2ᵏ from [`MAGIC`] + k, −1022 ≤ k ≤ 1023.
    fn two_to(self) -> Self;
    /// k and m of `self` = m 2ᵏ, 1/√2 ≤ m < √2; for normal numbers above 0.
    fn exponent_and_fraction(self) -> (Self, Self);
}

/// 1.5 · 2⁵²: added to a number it leaves the nearest integer in the low bits.
pub const MAGIC: f64 = 6_755_399_441_055_744.0;
/// Bits of 1/√2: fractions begin there.
const HALF_ROOT: u64 = 0x3fe6_a09e_667f_3bcd;

/// A loop over lanes.
pub trait Kernel {
    /// What it gives back
    type Output;
    /// The loop. Mark it and what it calls `#[inline(always)]`, or the vectors stay narrow.
    fn run<V: Lanes>(self) -> Self::Output;
}

/// How wide the vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Width {
    /// Arrays: every machine
    Plain,
    /// Four lanes in a register, with fused multiply-add
    Avx2,
    /// Eight
    Avx512,
}

impl Width {
    /// Those of this machine, widest last.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx2() {
                all.push(Self::Avx2);
            }
            if has_avx512() {
                all.push(Self::Avx512);
            }
        }
        all
    }

    /// The widest of this machine.
    pub fn widest() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if has_avx512() {
                return Self::Avx512;
            }
            if has_avx2() {
                return Self::Avx2;
            }
        }
        Self::Plain
    }

    /// Run a kernel at this width, which the machine must have.
    ///
    /// # Panics
    /// The machine does not have it.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Self::Plain => kernel.run::<plain::Plain>(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                assert!(has_avx2(), "this machine has no AVX2");
                // SAFETY: it has what the function needs.
                unsafe { x86::avx2(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                assert!(has_avx512(), "this machine has no AVX-512");
                // SAFETY: it has what the function needs.
                unsafe { x86::avx512(kernel) }
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => panic!("this machine has other vectors"),
        }
    }
}

/// Run a kernel with the widest vectors of this machine.
pub fn widest<K: Kernel>(kernel: K) -> K::Output {
    Width::widest().run(kernel)
}

/// Run a kernel on the first lane alone, one number at a time: what vectors are held against. Only for kernels whose
/// lanes know nothing of each other.
pub fn one_by_one<K: Kernel>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("fma") {
        // SAFETY: the machine has what the function needs.
        return unsafe { x86::single(kernel) };
    }
    kernel.run::<single::Single>()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Everything;
    impl Kernel for Everything {
        type Output = Vec<u64>;
        #[inline(always)]
        fn run<V: Lanes>(self) -> Vec<u64> {
            let mut bits = Vec::new();
            let a: Row = Row(std::array::from_fn(|l| 0.3 + 1.7f64.powi(l as i32 * 9 - 30)));
            let b = Row([1.0, -2.0, 0.5, f64::NAN, 1e300, -0.0, 3.0, f64::INFINITY]);
            let (x, y) = (V::load(&a), V::load(&b));
            let (k, m) = x.exponent_and_fraction();
            let mask = x.above(y);
            for v in [
                x + y,
                x - y,
                x * y,
                x / y,
                x.fma(y, x),
                x.min(y),
                y.min(x),
                x.max(y),
                y.max(x),
                x.sqrt(),
                y.abs(),
                V::select(mask, x, y),
                k,
                m,
                (k + V::splat(MAGIC)).two_to(),
            ] {
                let mut row = Row::default();
                v.store(&mut row);
                bits.extend(row.0.map(f64::to_bits));
            }
            bits.push(u64::from(V::any(mask)));
            bits
        }
    }

    #[test]
    fn every_operation_has_the_same_bits_at_every_width() {
        let plain = Width::Plain.run(Everything);
        for width in Width::all() {
            let other = width.run(Everything);
            for (k, (a, b)) in plain.iter().zip(&other).enumerate() {
                let nan = f64::from_bits(*a).is_nan() && f64::from_bits(*b).is_nan();
                assert!(a == b || nan, "{width:?} operation {} lane {}", k / LANES, k % LANES);
            }
        }
        assert_eq!(widest(Everything).len(), plain.len());
    }

    #[test]
    fn the_first_lane_alone_has_the_same_bits() {
        let (all, one) = (Width::Plain.run(Everything), one_by_one(Everything));
        // All but the last, which asks for any lane
        for (k, (a, b)) in all.iter().zip(&one).enumerate().take(15 * LANES).step_by(LANES) {
            assert_eq!(a, b, "operation {}", k / LANES);
        }
    }
}
