//! Lanes in the registers of x86-64: eight doubles in one of AVX-512, or in two of AVX2.

use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

use crate::numerics::lanes::single::Single;
use crate::numerics::lanes::{HALF_ROOT, Kernel, Lanes, MAGIC, Row};

/// Run a kernel where the compiler may use AVX2.
#[target_feature(enable = "avx2,fma")]
pub(super) fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Pair>()
}

/// Run a kernel where the compiler may use AVX-512.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
pub(super) fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Wide>()
}

/// One number at a time, with the fused multiply-add of the machine in place of a library's.
#[target_feature(enable = "fma")]
pub(super) fn single<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Single>()
}

/// AVX-512. Made only inside of [`avx512`], whose features its methods need.
#[derive(Clone, Copy)]
pub(super) struct Wide(__m512d);

/// Two registers of AVX2, lanes 0–3 and 4–7. Made only inside of [`avx2`].
#[derive(Clone, Copy)]
pub(super) struct Pair(__m256d, __m256d);

macro_rules! operator {
    ($name:ident, $method:ident, $wide:ident, $half:ident) => {
        impl $name for Wide {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: a `Wide` exists only where AVX-512 does.
                Self(unsafe { $wide(self.0, other.0) })
            }
        }
        impl $name for Pair {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                // SAFETY: a `Pair` exists only where AVX2 does.
                unsafe { Self($half(self.0, other.0), $half(self.1, other.1)) }
            }
        }
    };
}
operator!(Add, add, _mm512_add_pd, _mm256_add_pd);
operator!(Sub, sub, _mm512_sub_pd, _mm256_sub_pd);
operator!(Mul, mul, _mm512_mul_pd, _mm256_mul_pd);
operator!(Div, div, _mm512_div_pd, _mm256_div_pd);

impl Lanes for Wide {
    type Mask = __mmask8;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: a kernel with `Wide` runs only where AVX-512 is; so for every method below.
        Self(unsafe { _mm512_set1_pd(x) })
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        // SAFETY: a row is eight doubles on a boundary of 64 bytes.
        Self(unsafe { _mm512_load_pd(row.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        // SAFETY: as for `load`.
        unsafe { _mm512_store_pd(row.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_fmadd_pd(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_fnmadd_pd(self.0, b.0, c.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_min_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_max_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_sqrt_pd(self.0) })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_abs_pd(self.0) })
    }
    #[inline(always)]
    fn above(self, other: Self) -> Self::Mask {
        // SAFETY: see `splat`.
        unsafe { _mm512_cmp_pd_mask::<_CMP_GT_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask != 0
    }
    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        // SAFETY: see `splat`.
        Self(unsafe { _mm512_mask_blend_pd(mask, no.0, yes.0) })
    }
    #[inline(always)]
    fn two_to(self) -> Self {
        // SAFETY: see `splat`.
        unsafe {
            let bits = _mm512_add_epi64(_mm512_castpd_si512(self.0), _mm512_set1_epi64(1023));
            Self(_mm512_castsi512_pd(_mm512_slli_epi64::<52>(bits)))
        }
    }
    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        // SAFETY: see `splat`.
        unsafe {
            let bits = _mm512_castpd_si512(self.0);
            let k = _mm512_srai_epi64::<52>(_mm512_sub_epi64(bits, _mm512_set1_epi64(HALF_ROOT as i64)));
            let fraction = _mm512_sub_epi64(bits, _mm512_slli_epi64::<52>(k));
            let magic = _mm512_set1_pd(MAGIC);
            let shifted = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(magic), k));
            (Self(_mm512_sub_pd(shifted, magic)), Self(_mm512_castsi512_pd(fraction)))
        }
    }
}

impl Pair {
    /// The same for both halves.
    #[inline(always)]
    fn both(self, of: impl Fn(__m256d) -> __m256d) -> Self {
        Self(of(self.0), of(self.1))
    }
}

impl Lanes for Pair {
    type Mask = (__m256d, __m256d);

    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: a kernel with `Pair` runs only where AVX2 and FMA are; so for every method below.
        let half = unsafe { _mm256_set1_pd(x) };
        Self(half, half)
    }
    #[inline(always)]
    fn load(row: &Row) -> Self {
        // SAFETY: a row is eight doubles on a boundary of 64 bytes.
        unsafe { Self(_mm256_load_pd(row.0.as_ptr()), _mm256_load_pd(row.0.as_ptr().add(4))) }
    }
    #[inline(always)]
    fn store(self, row: &mut Row) {
        // SAFETY: as for `load`.
        unsafe {
            _mm256_store_pd(row.0.as_mut_ptr(), self.0);
            _mm256_store_pd(row.0.as_mut_ptr().add(4), self.1);
        }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_fmadd_pd(self.0, b.0, c.0), _mm256_fmadd_pd(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn fnma(self, b: Self, c: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_fnmadd_pd(self.0, b.0, c.0), _mm256_fnmadd_pd(self.1, b.1, c.1)) }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_min_pd(self.0, other.0), _mm256_min_pd(self.1, other.1)) }
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_max_pd(self.0, other.0), _mm256_max_pd(self.1, other.1)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: see `splat`.
        self.both(|x| unsafe { _mm256_sqrt_pd(x) })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: see `splat`.
        self.both(|x| unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), x) })
    }
    #[inline(always)]
    fn above(self, other: Self) -> Self::Mask {
        // SAFETY: see `splat`.
        unsafe {
            (_mm256_cmp_pd::<_CMP_GT_OQ>(self.0, other.0), _mm256_cmp_pd::<_CMP_GT_OQ>(self.1, other.1))
        }
    }
    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        // SAFETY: see `splat`.
        unsafe { _mm256_movemask_pd(_mm256_or_pd(mask.0, mask.1)) != 0 }
    }
    #[inline(always)]
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self {
        // SAFETY: see `splat`.
        unsafe { Self(_mm256_blendv_pd(no.0, yes.0, mask.0), _mm256_blendv_pd(no.1, yes.1, mask.1)) }
    }
    #[inline(always)]
    fn two_to(self) -> Self {
        // SAFETY: see `splat`.
        self.both(|x| unsafe {
            let bits = _mm256_add_epi64(_mm256_castpd_si256(x), _mm256_set1_epi64x(1023));
            _mm256_castsi256_pd(_mm256_slli_epi64::<52>(bits))
        })
    }
    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        // AVX2 has no arithmetic shift of 64 bits: a bias makes the number positive, and goes again afterwards.
        // SAFETY: see `splat`.
        let k = |x: __m256d| unsafe {
            let off = _mm256_set1_epi64x((1i64 << 62) - HALF_ROOT as i64);
            let biased = _mm256_srli_epi64::<52>(_mm256_add_epi64(_mm256_castpd_si256(x), off));
            _mm256_sub_epi64(biased, _mm256_set1_epi64x(1 << 10))
        };
        // SAFETY: see `splat`.
        let exponent = self.both(|x| unsafe {
            let magic = _mm256_set1_pd(MAGIC);
            let shifted = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(magic), k(x)));
            _mm256_sub_pd(shifted, magic)
        });
        // SAFETY: see `splat`.
        let fraction = self.both(|x| unsafe {
            _mm256_castsi256_pd(_mm256_sub_epi64(_mm256_castpd_si256(x), _mm256_slli_epi64::<52>(k(x))))
        });
        (exponent, fraction)
    }
}
