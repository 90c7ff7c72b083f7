//! One register of numbers, whatever its width in hardware.

use crate::numerics::panels::Real;

/// Numbers that move together. Operations are those of IEEE 754, lane by lane.
pub trait Lanes: Copy {
    /// What a lane holds
    type Number: Real;
    /// All lanes the same
    fn splat(x: Self::Number) -> Self;
    /// The first numbers of a slice, which has enough of them.
    ///
    /// # Safety
    /// `from` points at `Number::LANES` numbers.
    unsafe fn load(from: *const Self::Number) -> Self;
    /// To memory.
    ///
    /// # Safety
    /// `to` points at room for `Number::LANES` numbers.
    unsafe fn store(self, to: *mut Self::Number);
    /// self · b + c, rounded once
    fn fused(self, b: Self, c: Self) -> Self;
    /// Negative numbers become 0; what is no number stays so
    fn ramp(self) -> Self;
    /// self where `gate` > 0, else 0
    fn where_positive(self, gate: Self) -> Self;
    /// self · (1 − a²)
    fn times_one_minus_square(self, a: Self) -> Self;
    /// Sum over lanes: halves are added until one is left
    fn sum(self) -> Self::Number;
}

/// The same in plain Rust, for processors without the instructions, and as the slow twin in tests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain<T, const N: usize>([T; N]);

impl<T: Real, const N: usize> Lanes for Plain<T, N> {
    type Number = T;
    #[inline(always)]
    fn splat(x: T) -> Self {
        Self([x; N])
    }
    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        // SAFETY: the caller's promise.
        Self(std::array::from_fn(|l| unsafe { *from.add(l) }))
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut T) {
        // SAFETY: the caller's promise.
        (0..N).for_each(|l| unsafe { *to.add(l) = self.0[l] });
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        Self(std::array::from_fn(|l| self.0[l].fused(b.0[l], c.0[l])))
    }
    #[inline(always)]
    fn ramp(self) -> Self {
        Self(self.0.map(|x| if x < T::ZERO { T::ZERO } else { x }))
    }
    #[inline(always)]
    fn where_positive(self, gate: Self) -> Self {
        Self(std::array::from_fn(|l| if gate.0[l] > T::ZERO { self.0[l] } else { T::ZERO }))
    }
    #[inline(always)]
    fn times_one_minus_square(self, a: Self) -> Self {
        let slope = |a: T| (-a).fused(a, T::ONE);
        Self(std::array::from_fn(|l| self.0[l] * slope(a.0[l])))
    }
    #[inline(always)]
    fn sum(self) -> T {
        let mut x = self.0;
        let mut half = N / 2;
        while half > 0 {
            for l in 0..half {
                x[l] += x[l + half];
            }
            half /= 2;
        }
        x[0]
    }
}
