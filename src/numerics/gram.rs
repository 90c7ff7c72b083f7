//! Gram matrices AᵀA of tall panels, at the speed of fused multiply-adds.
//!
//! Columns are packed in groups of eight, row after row, so that one load brings a row of a group; a tile of
//! 16 × 8 products stays in registers while rows go by, and only tiles on or below the diagonal are computed.
//! Each entry is one chain of fused multiply-adds in the order of rows: AVX2 and AVX-512 give the same bits.
//!
//! Belongs here: the symmetric product, its packing, its processor-specific kernels.
//! Not here: what is multiplied.
#![allow(unsafe_code)]

use crate::numerics::Mat;
#[cfg(target_arch = "x86_64")]
use crate::numerics::simd::{has_avx2, has_avx512};

/// Columns of a group: one register of AVX-512.
pub(super) const GROUP: usize = 8;
/// Rows that are packed at once: two or three groups of them stay in the first-level cache.
const DEPTH: usize = 256;
/// Above this many columns packed rows no longer fit into the second-level cache, and a library that cuts all
/// three ways is better.
const WIDEST: usize = 640;

/// One row of a group, where a register of AVX-512 loads it without crossing a line of the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Row(pub(super) [f64; GROUP]);

/// Lower triangle of S += PᵀP for a panel P of `rows` rows, columns one after the other. False where this
/// processor has no fused multiply-add, or P is too wide: nothing was done.
pub(super) fn add(s: &mut Mat, panel: &[f64], rows: usize) -> bool {
    let n = s.ncols();
    assert!(panel.len() >= rows * n, "a panel has all its columns");
    let Some(kernel) = Kernel::for_columns(n) else { return false };
    let mut packed = vec![Row([0.0; GROUP]); n.div_ceil(GROUP) * DEPTH.min(rows)];
    for start in (0..rows).step_by(DEPTH) {
        let depth = DEPTH.min(rows - start);
        for (g, group) in packed.chunks_exact_mut(depth).take(n.div_ceil(GROUP)).enumerate() {
            let column = |c: usize| {
                let j = g * GROUP + c;
                if j < n { &panel[j * rows + start..][..depth] } else { &ZEROS[..depth] }
            };
            kernel.interleave(std::array::from_fn(column), group);
        }
        kernel.add_packed(s, &packed, depth);
    }
    true
}

static ZEROS: [f64; DEPTH] = [0.0; DEPTH];

/// Which instructions there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kernel {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

/// Products of one group of columns with one or two groups of rows: `[column][row]`.
pub(super) type Tile<const ROWS: usize> = [[f64; ROWS]; GROUP];

impl Kernel {
    /// The instructions of this processor; none without fused multiply-adds, or for too many columns.
    pub(super) fn for_columns(n: usize) -> Option<Self> {
        Self::of_this_processor().filter(|_| n <= WIDEST)
    }

    /// The instructions of this processor; none without fused multiply-adds.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn of_this_processor() -> Option<Self> {
        if has_avx512() { Some(Self::Avx512) } else { has_avx2().then_some(Self::Avx2) }
    }

    /// None: the kernels are those of x86-64.
    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn of_this_processor() -> Option<Self> {
        None
    }

    /// Eight columns become rows of eight.
    fn interleave(self, columns: [&[f64]; GROUP], out: &mut [Row]) {
        match self {
            // SAFETY: `of_this_processor` has asked for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::interleave_512(columns, out) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => interleave(columns, out),
        }
    }

    /// Lower triangle of S += the product of the packed groups, each of `rows` rows.
    pub(super) fn add_packed(self, s: &mut Mat, packed: &[Row], rows: usize) {
        let groups = s.ncols().div_ceil(GROUP);
        for start in (0..rows).step_by(DEPTH) {
            let depth = DEPTH.min(rows - start);
            let group = |g: usize| &packed[g * rows + start..][..depth];
            // Two groups stay in the first-level cache while those to their left go by.
            for left in (0..groups).step_by(2) {
                for right in 0..=left {
                    if left + 1 < groups {
                        put(s, left, right, &self.two(group(left), group(left + 1), group(right)));
                    } else {
                        put(s, left, right, &self.one(group(left), group(right)));
                    }
                }
                if left + 1 < groups {
                    put(s, left + 1, left + 1, &self.one(group(left + 1), group(left + 1)));
                }
            }
        }
    }

    /// AᵀB of two groups of equal depth, `[column of b][column of a]`.
    pub(super) fn one(self, a: &[Row], b: &[Row]) -> Tile<GROUP> {
        assert_eq!(a.len(), b.len(), "groups of one panel");
        match self {
            // SAFETY: `of_this_processor` has asked for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::one_512(a, b) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::one_256(a, b) },
        }
    }

    /// The same with two groups to the left: columns of `a`, then those of `below`.
    pub(super) fn two(self, a: &[Row], below: &[Row], b: &[Row]) -> Tile<{ 2 * GROUP }> {
        assert!(a.len() == b.len() && below.len() == b.len(), "groups of one panel");
        match self {
            // SAFETY: `of_this_processor` has asked for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::two_512(a, below, b) },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                let (upper, lower) = (self.one(a, b), self.one(below, b));
                std::array::from_fn(|j| {
                    std::array::from_fn(|i| if i < GROUP { upper[j][i] } else { lower[j][i - GROUP] })
                })
            }
        }
    }
}

/// Add a tile to S where S has entries on or below its diagonal.
fn put<const ROWS: usize>(s: &mut Mat, left: usize, right: usize, tile: &Tile<ROWS>) {
    let (n, top) = (s.ncols(), left * GROUP);
    for (j, column) in
        tile.iter().enumerate().map(|(c, column)| (right * GROUP + c, column)).take_while(|(j, _)| *j < n)
    {
        let first = j.max(top);
        let end = (top + ROWS).min(n);
        if first < end {
            let to = &mut s.col_mut(j)[first..end];
            to.iter_mut().zip(&column[first - top..]).for_each(|(s, x)| *s += x);
        }
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
fn interleave(columns: [&[f64]; GROUP], out: &mut [Row]) {
    for (k, row) in out.iter_mut().enumerate() {
        *row = Row(columns.map(|column| column[k]));
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use std::arch::x86_64::{
        __m256d, __m512d, _mm256_broadcast_sd, _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_setzero_pd,
        _mm256_storeu_pd, _mm512_fmadd_pd, _mm512_loadu_pd, _mm512_set1_pd, _mm512_setzero_pd,
        _mm512_shuffle_f64x2, _mm512_storeu_pd, _mm512_unpackhi_pd, _mm512_unpacklo_pd,
    };

    use super::{GROUP, Row, Tile};

    /// # Safety
    /// AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn two_512(a: &[Row], below: &[Row], b: &[Row]) -> Tile<{ 2 * GROUP }> {
        let mut upper = [_mm512_setzero_pd(); GROUP];
        let mut lower = [_mm512_setzero_pd(); GROUP];
        for ((x, y), by) in a.iter().zip(below).zip(b) {
            let (x, y) = (load(x), load(y));
            for j in 0..GROUP {
                let by = _mm512_set1_pd(by.0[j]);
                upper[j] = _mm512_fmadd_pd(x, by, upper[j]);
                lower[j] = _mm512_fmadd_pd(y, by, lower[j]);
            }
        }
        let mut tile = [[0.0; 2 * GROUP]; GROUP];
        for (to, (x, y)) in tile.iter_mut().zip(upper.into_iter().zip(lower)) {
            // SAFETY: sixteen numbers lie there.
            unsafe {
                _mm512_storeu_pd(to.as_mut_ptr(), x);
                _mm512_storeu_pd(to.as_mut_ptr().add(GROUP), y);
            }
        }
        tile
    }

    #[target_feature(enable = "avx512f")]
    fn load(row: &Row) -> __m512d {
        // SAFETY: a row is eight numbers.
        unsafe { _mm512_loadu_pd(row.0.as_ptr()) }
    }

    /// # Safety
    /// AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn one_512(a: &[Row], b: &[Row]) -> Tile<GROUP> {
        let mut sums = [_mm512_setzero_pd(); GROUP];
        for (x, by) in a.iter().zip(b) {
            let x = load(x);
            for (sum, by) in sums.iter_mut().zip(&by.0) {
                *sum = _mm512_fmadd_pd(x, _mm512_set1_pd(*by), *sum);
            }
        }
        let mut tile = [[0.0; GROUP]; GROUP];
        for (to, sum) in tile.iter_mut().zip(sums) {
            // SAFETY: eight numbers lie there.
            unsafe { _mm512_storeu_pd(to.as_mut_ptr(), sum) };
        }
        tile
    }

    /// # Safety
    /// AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn one_256(a: &[Row], b: &[Row]) -> Tile<GROUP> {
        let mut tile = [[0.0; GROUP]; GROUP];
        // Four columns at a time: eight sums, two rows and a factor are eleven of sixteen registers.
        for (half, to) in tile.chunks_exact_mut(GROUP / 2).enumerate() {
            let mut sums: [[__m256d; 2]; GROUP / 2] = [[_mm256_setzero_pd(); 2]; GROUP / 2];
            for (row, by) in a.iter().zip(b) {
                // SAFETY: a row is eight numbers.
                let (x, y) =
                    unsafe { (_mm256_loadu_pd(row.0.as_ptr()), _mm256_loadu_pd(row.0.as_ptr().add(4))) };
                for (sum, by) in sums.iter_mut().zip(&by.0[4 * half..]) {
                    let by = _mm256_broadcast_sd(by);
                    sum[0] = _mm256_fmadd_pd(x, by, sum[0]);
                    sum[1] = _mm256_fmadd_pd(y, by, sum[1]);
                }
            }
            for (to, sum) in to.iter_mut().zip(sums) {
                // SAFETY: eight numbers lie there.
                unsafe {
                    _mm256_storeu_pd(to.as_mut_ptr(), sum[0]);
                    _mm256_storeu_pd(to.as_mut_ptr().add(4), sum[1]);
                }
            }
        }
        tile
    }

    /// Eight columns become rows of eight, by transposing 8 × 8 numbers in registers.
    ///
    /// # Safety
    /// AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn interleave_512(columns: [&[f64]; GROUP], out: &mut [Row]) {
        let whole = out.len() / GROUP * GROUP;
        assert!(columns.iter().all(|column| column.len() >= out.len()), "a number for each row");
        for k in (0..whole).step_by(GROUP) {
            // SAFETY: every column has eight numbers from k on.
            let rows = transposed(columns.map(|column| unsafe { _mm512_loadu_pd(column.as_ptr().add(k)) }));
            for (to, row) in out[k..].iter_mut().zip(rows) {
                // SAFETY: a row is eight numbers.
                unsafe { _mm512_storeu_pd(to.0.as_mut_ptr(), row) };
            }
        }
        super::interleave(columns.map(|column| &column[whole..]), &mut out[whole..]);
    }

    /// Eight registers as the columns of 8 × 8 numbers, to its rows.
    #[target_feature(enable = "avx512f")]
    pub(in crate::numerics) fn transposed(c: [__m512d; GROUP]) -> [__m512d; GROUP] {
        // Pairs of columns, then quarters, then halves.
        let low = |a, b| _mm512_unpacklo_pd(a, b);
        let high = |a, b| _mm512_unpackhi_pd(a, b);
        let pairs = [
            low(c[0], c[1]),
            high(c[0], c[1]),
            low(c[2], c[3]),
            high(c[2], c[3]),
            low(c[4], c[5]),
            high(c[4], c[5]),
            low(c[6], c[7]),
            high(c[6], c[7]),
        ];
        let even = |a, b| _mm512_shuffle_f64x2::<0b10_00_10_00>(a, b);
        let odd = |a, b| _mm512_shuffle_f64x2::<0b11_01_11_01>(a, b);
        let quarters = [
            even(pairs[0], pairs[2]),
            even(pairs[1], pairs[3]),
            odd(pairs[0], pairs[2]),
            odd(pairs[1], pairs[3]),
            even(pairs[4], pairs[6]),
            even(pairs[5], pairs[7]),
            odd(pairs[4], pairs[6]),
            odd(pairs[5], pairs[7]),
        ];
        [
            even(quarters[0], quarters[4]),
            even(quarters[1], quarters[5]),
            even(quarters[2], quarters[6]),
            even(quarters[3], quarters[7]),
            odd(quarters[0], quarters[4]),
            odd(quarters[1], quarters[5]),
            odd(quarters[2], quarters[6]),
            odd(quarters[3], quarters[7]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::{gram, matmul_tn};

    fn rough(rows: usize, cols: usize) -> Mat {
        Mat::from_fn(rows, cols, |i, j| ((i * 7919 + j * 104_729) % 1009) as f64 / 1009.0 - 0.5)
    }

    #[test]
    fn it_is_the_product_whatever_the_shape() {
        for (rows, cols) in [(1, 1), (5, 3), (8, 8), (9, 17), (192, 16), (200, 24), (500, 101), (1000, 33)] {
            let a = rough(rows, cols);
            let (s, want) = (gram(&a), matmul_tn(&a, &a));
            for (got, want) in s.data().iter().zip(want.data()) {
                // rows sums below rows/4, each rounded to half an eps of itself, twice: once here, once there
                assert!(
                    (got - want).abs() <= 2.3e-16 * (rows * rows) as f64 / 4.0 + 1e-16,
                    "{rows} × {cols}: {got} {want}"
                );
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_kernels_give_the_same_bits() {
        if !has_avx512() {
            return;
        }
        let (depth, n) = (100, 24);
        let a = rough(depth, n);
        let mut results = Vec::new();
        for kernel in [Kernel::Avx512, Kernel::Avx2] {
            let mut packed = vec![Row([0.0; GROUP]); n.div_ceil(GROUP) * depth];
            for (g, group) in packed.chunks_exact_mut(depth).enumerate() {
                kernel.interleave(std::array::from_fn(|c| a.col(g * GROUP + c)), group);
            }
            let mut s = Mat::zeros(n, n);
            kernel.add_packed(&mut s, &packed, depth);
            results.push(s);
        }
        assert_eq!(results[0], results[1]);
    }
}
