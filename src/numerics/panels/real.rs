//! Numbers of two precisions, and running a kernel with the widest registers of this machine.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::numerics::panels::lanes::{Lanes, Plain};
use crate::numerics::panels::{DEEP, functions};

/// Work written once for any registers. Mark `run` and what it calls `#[inline(always)]`, or it stays narrow.
pub trait Kernel<T: Real> {
    /// What it gives back
    type Output;
    /// The work
    fn run<L: Lanes<Number = T>>(self) -> Self::Output;
}

/// A float or a double.
pub trait Real:
    Copy
    + std::fmt::Debug
    + Default
    + Send
    + Sync
    + Serialize
    + DeserializeOwned
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + 'static
{
    /// Lanes of a register
    const LANES: usize;
    /// Rows of a panel
    const PANEL: usize = Self::LANES * DEEP;
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// The nearest number of this precision
    fn of(x: f64) -> Self;
    /// Exact
    fn wide(self) -> f64;
    /// self · b + c, rounded once
    fn fused(self, b: Self, c: Self) -> Self;
    /// Square root
    fn root(self) -> Self;
    /// eˣ to about one rounding error, branch free, within the range of normal numbers
    fn exp(self) -> Self;
    /// Run a kernel with the widest registers of this machine.
    fn widest<K: Kernel<Self>>(kernel: K) -> K::Output;
    /// Run it in plain Rust.
    fn plain<K: Kernel<Self>>(kernel: K) -> K::Output;
}

macro_rules! real {
    ($t:ty, $lanes:literal, $exp:path, $avx512:ident, $avx2:ident) => {
        impl Real for $t {
            const LANES: usize = $lanes;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                self.into()
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                <$t>::mul_add(self, b, c)
            }
            #[inline(always)]
            fn root(self) -> Self {
                <$t>::sqrt(self)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline]
            fn widest<K: Kernel<Self>>(kernel: K) -> K::Output {
                #[cfg(target_arch = "x86_64")]
                {
                    use crate::numerics::panels::x86::{$avx2, $avx512};
                    use crate::numerics::simd::{has_avx2, has_avx512};
                    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,fma")]
                    fn avx512<K: Kernel<$t>>(kernel: K) -> K::Output {
                        kernel.run::<$avx512>()
                    }
                    #[target_feature(enable = "avx2,fma")]
                    fn avx2<K: Kernel<$t>>(kernel: K) -> K::Output {
                        kernel.run::<$avx2>()
                    }
                    if has_avx512() {
                        // SAFETY: this machine has just been asked for the features the function needs.
                        return unsafe { avx512(kernel) };
                    }
                    if has_avx2() {
                        // SAFETY: as above.
                        return unsafe { avx2(kernel) };
                    }
                }
                Self::plain(kernel)
            }
            fn plain<K: Kernel<Self>>(kernel: K) -> K::Output {
                kernel.run::<Plain<$t, $lanes>>()
            }
        }
    };
}

real!(f64, 8, functions::exp_f64, D8, D4x2);
real!(f32, 16, functions::exp_f32, S16, S8x2);
