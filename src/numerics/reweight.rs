//! Weighted means of tall columns, at the speed of fused multiply-adds.
//!
//! Offsets from the first column are multiplied, some rows at a time that stay in the cache: no digits are lost where
//! columns differ by little, and memory is read once and written once, from the registers. The rows of the result may
//! take the place of those they are made of: the packed offsets are a copy. The tiles are those of [`super::gram`].
//! Belongs here: the product A T of a tall A. Not here: the weights, other products.
#![allow(unsafe_code)]

use std::ops::Range;

use super::gram::{GROUP, Kernel, Row};
use crate::numerics::Mat;

/// Rows that are packed at once: with a group of weights they stay in the second-level cache.
const ROWS: usize = 192;
/// Numbers in a line of the cache.
const LINE: usize = 8;

/// A T for weights whose columns each sum to 1; none where this processor has no kernel for so many columns.
pub(super) fn reweighted(a: &Mat, t: &Mat) -> Option<Mat> {
    let kernel = Kernel::for_columns(a.ncols())?;
    let mut out = Mat::zeros(a.nrows(), a.ncols());
    run(kernel, Some(a), t, &mut out);
    Some(out)
}

/// A T takes the place of A; false, and nothing changed, where this processor has no kernel for so many columns.
pub(super) fn in_place(a: &mut Mat, t: &Mat) -> bool {
    let kernel = Kernel::for_columns(a.ncols());
    kernel.map(|kernel| run(kernel, None, t, a)).is_some()
}

/// A T, A being `from` or what stands in `out`.
fn run(kernel: Kernel, from: Option<&Mat>, t: &Mat, out: &mut Mat) {
    let (rows, n) = (out.nrows(), out.ncols());
    // Group q of eight columns, weight after weight
    let mut weights = vec![Row([0.0; GROUP]); n.div_ceil(GROUP) * n];
    for (q, group) in weights.chunks_exact_mut(n).enumerate() {
        for (c, column) in (q * GROUP..n).take(GROUP).map(|j| t.col(j)).enumerate() {
            group.iter_mut().zip(column).for_each(|(row, t)| row.0[c] = *t);
        }
    }
    // Group g of eight rows, column after column; the last may be half empty
    let mut packed = vec![Row([0.0; GROUP]); ROWS.min(rows.next_multiple_of(2 * GROUP)) / GROUP * n];
    for start in (0..rows).step_by(ROWS) {
        let stripe = start..rows.min(start + ROWS);
        match kernel {
            // SAFETY: a kernel is made by asking for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => unsafe { x86::stripe_512(from, stripe, &weights, &mut packed, out) },
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => move_stripe(kernel, from, stripe, &weights, &mut packed, out),
        }
    }
}

/// Some rows of the result: offsets are packed, multiplied tile by tile, and put beside the first column, while the
/// rows of the next stripe are asked for.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[inline(always)]
fn move_stripe(
    kernel: Kernel,
    from: Option<&Mat>,
    stripe: Range<usize>,
    weights: &[Row],
    packed: &mut [Row],
    out: &mut Mat,
) {
    let n = out.ncols();
    let mut first = [0.0; ROWS];
    let first = &mut first[..stripe.len()];
    for k in 0..n {
        let column = &from.unwrap_or(out).col(k)[stripe.clone()];
        if k == 0 {
            first.copy_from_slice(column);
        }
        let (whole, rest) = column.as_chunks::<GROUP>();
        let (whole_first, rest_first) = first.as_chunks::<GROUP>();
        for (g, (x, f)) in whole.iter().zip(whole_first).enumerate() {
            packed[g * n + k] = Row(std::array::from_fn(|i| x[i] - f[i]));
        }
        if !rest.is_empty() {
            let to = &mut packed[whole.len() * n + k].0;
            to.iter_mut().zip(rest.iter().zip(rest_first)).for_each(|(to, (x, f))| *to = x - f);
        }
    }
    // There are more tiles than columns: each asks for a column of the next stripe.
    let next = stripe.end..out.nrows().min(stripe.end + ROWS);
    let mut columns = 0..n;
    let pairs = packed.chunks_exact(2 * n).zip(first.chunks(2 * GROUP));
    for ((pair, first), place) in pairs.zip((stripe.start..).step_by(2 * GROUP)) {
        let (upper, lower) = pair.split_at(n);
        for (q, weights) in weights.chunks_exact(n).enumerate() {
            if let Some(k) = columns.next() {
                ask(&from.unwrap_or(out).col(k)[next.clone()]);
            }
            let tile = kernel.two(upper, lower, weights);
            for (j, tile) in (q * GROUP..n).zip(&tile) {
                let to = &mut out.col_mut(j)[place..place + first.len()];
                if let (Ok(to), Ok(first)) =
                    (<&mut [f64; 2 * GROUP]>::try_from(&mut *to), <&[f64; 2 * GROUP]>::try_from(first))
                {
                    *to = std::array::from_fn(|i| tile[i] + first[i]);
                } else {
                    to.iter_mut().zip(tile.iter().zip(first)).for_each(|(to, (x, f))| *to = x + f);
                }
            }
        }
    }
}

/// Ask for these numbers, which will be read soon.
#[inline(always)]
fn ask(numbers: &[f64]) {
    #[cfg(target_arch = "x86_64")]
    for line in numbers.chunks(LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a hint, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernel, Mat, Range, Row, move_stripe};

    /// # Safety
    /// AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn stripe_512(
        from: Option<&Mat>,
        stripe: Range<usize>,
        weights: &[Row],
        packed: &mut [Row],
        out: &mut Mat,
    ) {
        move_stripe(Kernel::Avx512, from, stripe, weights, packed, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::{matmul, with_column_sums};

    #[test]
    fn it_is_the_product_whatever_the_shape() {
        for (rows, n) in [(1, 1), (5, 20), (15, 3), (16, 8), (96, 9), (97, 24), (111, 2), (500, 33)] {
            let mut x = 0.37_f64;
            let mut rough = |_, _| {
                x = 3.99 * x * (1.0 - x);
                x - 0.5
            };
            let a = Mat::from_fn(rows, n, &mut rough);
            let mut t = Mat::from_fn(n, n, rough);
            with_column_sums(&mut t, 1.0);
            let Some(got) = reweighted(&a, &t) else { return };
            let mut same = a.clone();
            assert!(in_place(&mut same, &t));
            assert_eq!(same, got);
            for (got, want) in got.data().iter().zip(matmul(&a, &t).data()) {
                // n products below 1, rounded, and the column sums' own rounding
                assert!((got - want).abs() < 1e-15 * n as f64, "{rows} × {n}: {got} {want}");
            }
        }
    }
}
