//! Lanes as arrays: for machines without wide vectors, and the text that the others are held against.

use std::array::from_fn;
use std::ops::{Add, Div, Mul, Sub};

use crate::numerics::lanes::{HALF_ROOT, LANES, Lanes, MAGIC, Row};

/// Eight doubles in an array.
#[derive(Clone, Copy)]
pub(super) struct Plain([f64; LANES]);

macro_rules! operator {
    ($name:ident, $method:ident, $op:tt) => {
        impl $name for Plain {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(from_fn(|l| self.0[l] $op other.0[l]))
            }
        }
    };
}
operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl Plain {
    #[inline(always)]
    fn bits(self, of: impl Fn(u64) -> u64) -> Self {
        Self(self.0.map(|x| f64::from_bits(of(x.to_bits()))))
    }
}

impl Lanes for Plain {
    type Mask = [bool; LANES];

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self([x; LANES])
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        Self(row.0)
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        row.0 = self.0;
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(from_fn(|l| self.0[l].mul_add(b.0[l], c.0[l])))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(from_fn(|l| if self.0[l] < other.0[l] { self.0[l] } else { other.0[l] }))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(from_fn(|l| if self.0[l] > other.0[l] { self.0[l] } else { other.0[l] }))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.map(f64::sqrt))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.map(f64::abs))
    }
    #[inline(always)]
    fn above(self, other: Self) -> Self::Mask {
        from_fn(|l| self.0[l] > other.0[l])
    }
    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask.contains(&true)
    }
    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        Self(from_fn(|l| if mask[l] { yes.0[l] } else { no.0[l] }))
    }
    #[inline(always)]
    fn two_to(self) -> Self {
        self.bits(|b| b.wrapping_add(1023) << 52)
    }
    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        let k = |b: u64| (b.wrapping_sub(HALF_ROOT) as i64) >> 52;
        let exponent =
            self.0.map(|x| f64::from_bits(MAGIC.to_bits().wrapping_add(k(x.to_bits()) as u64)) - MAGIC);
        (Self(exponent), self.bits(|b| b.wrapping_sub((k(b) as u64) << 52)))
    }
}
