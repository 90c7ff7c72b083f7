//! Registers of AVX-512 and AVX2, as pairs where two make one of ours.

use std::arch::x86_64::*;

use crate::numerics::panels::Lanes;

/// Eight doubles, AVX-512. Made only inside functions compiled for it (`real.rs`), as are the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct D8(__m512d);
/// Sixteen floats, AVX-512
#[derive(Debug, Clone, Copy)]
pub(super) struct S16(__m512);
/// Eight doubles, AVX2
#[derive(Debug, Clone, Copy)]
pub(super) struct D4x2(__m256d, __m256d);
/// Sixteen floats, AVX2
#[derive(Debug, Clone, Copy)]
pub(super) struct S8x2(__m256, __m256);

macro_rules! wide {
    ($name:ident, $number:ty, $half:ident, $set1:ident, $zero:ident, $load:ident, $store:ident, $fmadd:ident,
     $fnmadd:ident, $mul:ident, $max:ident, $cmp:ident, $mov:ident, $low:ident, $high:ident) => {
        impl Lanes for $name {
            type Number = $number;
            #[inline(always)]
            fn splat(x: $number) -> Self {
                // SAFETY: this type exists only where AVX-512 does; so for every method below.
                Self(unsafe { $set1(x) })
            }
            #[inline(always)]
            unsafe fn load(from: *const $number) -> Self {
                // SAFETY: the caller's promise, and as for `splat`.
                Self(unsafe { $load(from) })
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $number) {
                // SAFETY: the caller's promise, and as for `splat`.
                unsafe { $store(to, self.0) }
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                // SAFETY: as for `splat`.
                Self(unsafe { $fmadd(self.0, b.0, c.0) })
            }
            #[inline(always)]
            fn ramp(self) -> Self {
                // SAFETY: as for `splat`. Of a zero and what is no number the second is taken.
                Self(unsafe { $max($zero(), self.0) })
            }
            #[inline(always)]
            fn where_positive(self, gate: Self) -> Self {
                // SAFETY: as for `splat`.
                Self(unsafe { $mov($cmp::<_CMP_GT_OQ>(gate.0, $zero()), self.0) })
            }
            #[inline(always)]
            fn times_one_minus_square(self, a: Self) -> Self {
                // SAFETY: as for `splat`.
                Self(unsafe { $mul(self.0, $fnmadd(a.0, a.0, $set1(1.0))) })
            }
            #[inline(always)]
            fn sum(self) -> $number {
                // SAFETY: as for `splat`; where there is AVX-512 there is AVX2.
                unsafe { $half($low(self.0), $high::<1>(self.0)).sum() }
            }
        }
    };
}
wide!(
    D8,
    f64,
    D4x2,
    _mm512_set1_pd,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_fmadd_pd,
    _mm512_fnmadd_pd,
    _mm512_mul_pd,
    _mm512_max_pd,
    _mm512_cmp_pd_mask,
    _mm512_maskz_mov_pd,
    _mm512_castpd512_pd256,
    _mm512_extractf64x4_pd
);
wide!(
    S16,
    f32,
    S8x2,
    _mm512_set1_ps,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_fmadd_ps,
    _mm512_fnmadd_ps,
    _mm512_mul_ps,
    _mm512_max_ps,
    _mm512_cmp_ps_mask,
    _mm512_maskz_mov_ps,
    _mm512_castps512_ps256,
    _mm512_extractf32x8_ps
);

macro_rules! pair {
    ($name:ident, $number:ty, $half:literal, $set1:ident, $zero:ident, $load:ident, $store:ident, $fmadd:ident,
     $fnmadd:ident, $mul:ident, $max:ident, $cmp:ident, $and:ident, $sum:ident) => {
        impl Lanes for $name {
            type Number = $number;
            #[inline(always)]
            fn splat(x: $number) -> Self {
                // SAFETY: this type exists only where AVX2 does; so for every method below.
                unsafe { Self($set1(x), $set1(x)) }
            }
            #[inline(always)]
            unsafe fn load(from: *const $number) -> Self {
                // SAFETY: the caller's promise, and as for `splat`.
                unsafe { Self($load(from), $load(from.add($half))) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut $number) {
                // SAFETY: the caller's promise, and as for `splat`.
                unsafe {
                    $store(to, self.0);
                    $store(to.add($half), self.1);
                }
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe { Self($fmadd(self.0, b.0, c.0), $fmadd(self.1, b.1, c.1)) }
            }
            #[inline(always)]
            fn ramp(self) -> Self {
                // SAFETY: as for `splat`. Of a zero and what is no number the second is taken.
                unsafe { Self($max($zero(), self.0), $max($zero(), self.1)) }
            }
            #[inline(always)]
            fn where_positive(self, gate: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe {
                    Self(
                        $and($cmp::<_CMP_GT_OQ>(gate.0, $zero()), self.0),
                        $and($cmp::<_CMP_GT_OQ>(gate.1, $zero()), self.1),
                    )
                }
            }
            #[inline(always)]
            fn times_one_minus_square(self, a: Self) -> Self {
                // SAFETY: as for `splat`.
                unsafe {
                    Self(
                        $mul(self.0, $fnmadd(a.0, a.0, $set1(1.0))),
                        $mul(self.1, $fnmadd(a.1, a.1, $set1(1.0))),
                    )
                }
            }
            #[inline(always)]
            fn sum(self) -> $number {
                // SAFETY: as for `splat`.
                unsafe { $sum(self.0, self.1) }
            }
        }
    };
}
pair!(
    D4x2,
    f64,
    4,
    _mm256_set1_pd,
    _mm256_setzero_pd,
    _mm256_loadu_pd,
    _mm256_storeu_pd,
    _mm256_fmadd_pd,
    _mm256_fnmadd_pd,
    _mm256_mul_pd,
    _mm256_max_pd,
    _mm256_cmp_pd,
    _mm256_and_pd,
    sum_of_doubles
);
pair!(
    S8x2,
    f32,
    8,
    _mm256_set1_ps,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps,
    _mm256_mul_ps,
    _mm256_max_ps,
    _mm256_cmp_ps,
    _mm256_and_ps,
    sum_of_floats
);

#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_doubles(low: __m256d, high: __m256d) -> f64 {
    let four = _mm256_add_pd(low, high);
    let two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd::<1>(four));
    _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn sum_of_floats(low: __m256, high: __m256) -> f32 {
    let eight = _mm256_add_ps(low, high);
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps::<1>(two, two)))
}
