//! One number in place of eight: the same kernel text as a plain scalar loop.
//!
//! Only the first lane of a row is read and written; what the others hold is left as it is.

use std::ops::{Add, Div, Mul, Sub};

use crate::numerics::lanes::{HALF_ROOT, Lanes, MAGIC, Row};

/// The first lane.
#[derive(Clone, Copy)]
pub(super) struct Single(f64);

macro_rules! operator {
    ($name:ident, $method:ident, $op:tt) => {
        impl $name for Single {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Self(self.0 $op other.0)
            }
        }
    };
}
operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

/// k of m 2ᵏ.
#[inline(always)]
fn exponent(bits: u64) -> i64 {
    (bits.wrapping_sub(HALF_ROOT) as i64) >> 52
}

impl Lanes for Single {
    type Mask = bool;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self(x)
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        Self(row.0[0])
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        row.0[0] = self.0;
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Self(self.0.mul_add(b.0, c.0))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self.0 < other.0 { self } else { other }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self.0 > other.0 { self } else { other }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs())
    }
    #[inline(always)]
    fn above(self, other: Self) -> bool {
        self.0 > other.0
    }
    #[inline(always)]
    fn any(mask: bool) -> bool {
        mask
    }
    #[inline(always)]
    fn select(mask: bool, yes: Self, no: Self) -> Self {
        if mask { yes } else { no }
    }
    #[inline(always)]
    fn two_to(self) -> Self {
        Self(f64::from_bits(self.0.to_bits().wrapping_add(1023) << 52))
    }
    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        let bits = self.0.to_bits();
        let k = exponent(bits);
        let shifted = f64::from_bits(MAGIC.to_bits().wrapping_add(k as u64));
        (Self(shifted - MAGIC), Self(f64::from_bits(bits.wrapping_sub((k as u64) << 52))))
    }
}
