//! The Cholesky factor of large matrices, at the speed of fused multiply-adds.
//!
//! Block column by block column: what the columns before explain is taken away in the tiles of [`super::gram`], whose
//! packed rows grow with the factor; the block on the diagonal and the rows below it are a library's.
//! Golub & Van Loan (2013), Matrix Computations, §4.2 (left-looking, blocked).
//! Belongs here: the order of blocks. Not here: small matrices, who needs the factor.

use super::gram::{GROUP, Kernel, Row, Tile};
use super::linalg::{Cholesky, LinalgError, solve_below};
use super::pages;
use crate::numerics::Mat;

/// Columns of a block: a multiple of [`GROUP`].
const BLOCK: usize = 128;
/// Columns before it that are taken away at once: their packed rows for one block stay in the second-level cache.
const DEPTH: usize = 256;
/// Smaller matrices are a library's.
pub(super) const LEAST: usize = 384;

/// A becomes L of A = L Lᵀ, with zeros above the diagonal; only the lower triangle is read. False where this
/// processor has no kernel, or A is small: nothing was done.
///
/// # Errors
/// `NotFinite`; `NotPositiveDefinite`: A is half changed then.
pub(super) fn in_place(a: &mut Mat) -> Result<bool, LinalgError> {
    let n = a.nrows();
    let Some(kernel) = Kernel::of_this_processor().filter(|_| n >= LEAST) else { return Ok(false) };
    let groups = n.div_ceil(GROUP);
    // Group g of eight rows, column after column
    let mut packed = Vec::with_capacity(groups * n);
    pages::ask_large(packed.spare_capacity_mut());
    packed.resize(groups * n, Row([0.0; GROUP]));
    for k in (0..n).step_by(BLOCK) {
        let width = BLOCK.min(n - k);
        let (first, end) = (k / GROUP, (k + width).div_ceil(GROUP));
        for start in (0..k).step_by(DEPTH) {
            let depth = DEPTH.min(k - start);
            let group = |g: usize| &packed[g * n + start..][..depth];
            for left in (first..groups).step_by(2) {
                for right in first..end.min(left + 2) {
                    if left + 1 < groups {
                        take(a, left, right, &kernel.two(group(left), group(left + 1), group(right)));
                    } else if right <= left {
                        take(a, left, right, &kernel.one(group(left), group(right)));
                    }
                }
            }
        }
        let corner = Mat::from_fn(width, width, |i, j| if i < j { 0.0 } else { a[(k + i, k + j)] });
        let corner = Cholesky::new(&corner)?;
        for j in 0..width {
            a.col_mut(k + j)[..k].fill(0.0);
            a.col_mut(k + j)[k..k + width].copy_from_slice(corner.factor().col(j));
        }
        solve_below(a, k, width);
        for t in k..k + width {
            let column = a.col(t);
            for (g, rows) in column.chunks(GROUP).enumerate().skip(first) {
                packed[g * n + t].0[..rows.len()].copy_from_slice(rows);
            }
        }
    }
    Ok(true)
}

/// Take a tile away from A where A has entries on or below its diagonal.
fn take<const ROWS: usize>(a: &mut Mat, left: usize, right: usize, tile: &Tile<ROWS>) {
    let (n, top) = (a.ncols(), left * GROUP);
    let end = (top + ROWS).min(n);
    for (c, column) in tile.iter().enumerate() {
        let j = right * GROUP + c;
        let first = j.max(top);
        if first < end {
            let to = &mut a.col_mut(j)[first..end];
            to.iter_mut().zip(&column[first - top..]).for_each(|(a, x)| *a -= x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg;

    #[test]
    fn it_is_the_factor_at_all_edges_of_blocks() {
        for n in [LEAST, 385, 391, 511, 512, 700] {
            let mut x = 0.37_f64;
            let b = Mat::from_fn(n, n, |_, _| {
                x = 3.99 * x * (1.0 - x);
                x - 0.5
            });
            let mut a = linalg::gram(&b);
            (0..n).for_each(|i| a[(i, i)] += 1.0);
            let mut l = a.clone();
            // What stands above the diagonal is not read.
            (0..n).for_each(|j| l.col_mut(j)[..j].fill(f64::NAN));
            if !in_place(&mut l).unwrap() {
                return; // no kernel on this processor
            }
            let again = linalg::matmul_nt(&l, &l);
            let most = a.data().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
            for (x, y) in again.data().iter().zip(a.data()) {
                // n products of rounding errors
                assert!((x - y).abs() <= 1e-15 * n as f64 * most, "{n}: {x} {y}");
            }
            assert!((0..n).all(|j| l.col(j)[..j].iter().all(|x| *x == 0.0)));
            // A row that others explain: no factor, wherever it lies
            for row in [0, 200, n - 1] {
                let mut bad = a.clone();
                bad[(row, row)] = -1.0;
                assert_eq!(in_place(&mut bad), Err(LinalgError::NotPositiveDefinite));
            }
        }
    }
}
