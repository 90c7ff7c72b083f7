//! The Cholesky factor, at the speed of fused multiply-adds.
//!
//! Block column by block column: what the columns before explain is taken away from tiles of 16 × 8 numbers that stay
//! in registers; then, from the top down, each pair of groups is finished against the groups above it, tile by tile, a
//! triangle of eight at a time.
//! Every entry is one chain of fused multiply-adds in the order of columns: each vector width, and none, has the same bits.
//! Golub & Van Loan (2013), Matrix Computations, §4.2 (left-looking, blocked).
//! Belongs here: the order of the work. Not here: who needs the factor.

use super::{Triangle, start};
use crate::numerics::lanes::{self, Kernel, LANES, Lanes, Row};

/// Groups of columns in a block.
pub(super) const BLOCK: usize = 16;
/// Columns before it that are taken away at once: their rows for one block stay in the second-level cache.
pub(super) const DEPTH: usize = 256;

/// Eight rows of eight columns.
pub(super) type Tile = [Row; LANES];

/// L of A = L Lᵀ takes the place of A; none for a pivot that is not above 0, or infinite.
pub(super) fn factor(triangle: &mut Triangle) -> Option<()> {
    lanes::widest(Factor(triangle))
}

impl Triangle {
    /// Groups g and g + 1, the second empty where there is none, and all groups above them.
    #[inline(always)]
    fn pair(&mut self, g: usize) -> (&[Row], &mut [Row], &mut [Row]) {
        let below = start(g + 2).min(self.rows.len());
        let (above, rest) = self.rows[..below].split_at_mut(start(g));
        let (upper, lower) = rest.split_at_mut(LANES * (g + 1));
        (above, upper, lower)
    }
}

/// Group q among those above.
#[inline(always)]
pub(super) fn group(above: &[Row], q: usize) -> &[Row] {
    &above[start(q)..start(q + 1)]
}

struct Factor<'a>(&'a mut Triangle);

impl Kernel for Factor<'_> {
    type Output = Option<()>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Option<()> {
        let Self(triangle) = self;
        let groups = triangle.n.div_ceil(LANES);
        for first in (0..groups).step_by(BLOCK) {
            let end = groups.min(first + BLOCK);
            for from in (0..first * LANES).step_by(DEPTH) {
                let columns = (from, (first * LANES).min(from + DEPTH));
                for g in (first..groups).step_by(2) {
                    let (above, upper, lower) = triangle.pair(g);
                    for q in first..end.min(g) {
                        both::<V>(upper, lower, group(above, q), q, columns);
                    }
                    on_diagonal::<V>(upper, lower, g, end, columns);
                }
            }
            for g in (first..groups).step_by(2) {
                let (above, upper, lower) = triangle.pair(g);
                for q in first..end.min(g) {
                    let b = group(above, q);
                    both::<V>(upper, lower, b, q, (first * LANES, q * LANES));
                    substitute::<V>(tile(upper, q), &b[q * LANES..]);
                    if !lower.is_empty() {
                        substitute::<V>(tile(lower, q), &b[q * LANES..]);
                    }
                }
                if g >= end {
                    continue;
                }
                let done = first * LANES;
                own::<V>(upper, g, (done, g * LANES));
                corner(tile(upper, g))?;
                if !lower.is_empty() {
                    one::<V>(lower, upper, g, (done, g * LANES));
                    substitute::<V>(tile(lower, g), &upper[g * LANES..]);
                    own::<V>(lower, g + 1, (done, (g + 1) * LANES));
                    corner(tile(lower, g + 1))?;
                }
            }
        }
        Some(())
    }
}

/// Eight columns from 8 q on of a group.
#[inline(always)]
pub(super) fn tile(group: &mut [Row], q: usize) -> &mut Tile {
    group[q * LANES..].first_chunk_mut().expect("a group reaches its diagonal")
}

/// Tiles q of a pair of groups lose what `columns` explain of them; `b` is group q.
#[inline(always)]
pub(super) fn both<V: Lanes>(
    upper: &mut [Row],
    lower: &mut [Row],
    b: &[Row],
    q: usize,
    columns: (usize, usize),
) {
    if lower.is_empty() {
        return one::<V>(upper, b, q, columns);
    }
    let range = columns.0..columns.1;
    let (x, c0) = upper.split_at_mut(q * LANES);
    let (y, c1) = lower.split_at_mut(q * LANES);
    let mut s0: [V; LANES] = std::array::from_fn(|j| V::load(&c0[j]));
    let mut s1: [V; LANES] = std::array::from_fn(|j| V::load(&c1[j]));
    for ((x, y), b) in x[range.clone()].iter().zip(&y[range.clone()]).zip(&b[range]) {
        let (x, y) = (V::load(x), V::load(y));
        for j in 0..LANES {
            let b = V::splat(b.0[j]);
            s0[j] = x.fnma(b, s0[j]);
            s1[j] = y.fnma(b, s1[j]);
        }
    }
    for j in 0..LANES {
        s0[j].store(&mut c0[j]);
        s1[j].store(&mut c1[j]);
    }
}

/// The same for one group.
#[inline(always)]
pub(super) fn one<V: Lanes>(group: &mut [Row], b: &[Row], q: usize, columns: (usize, usize)) {
    let (x, c) = group.split_at_mut(q * LANES);
    take::<V>(c, &x[columns.0..columns.1], &b[columns.0..columns.1]);
}

/// The same for the tile of a group on the diagonal.
#[inline(always)]
fn own<V: Lanes>(group: &mut [Row], g: usize, columns: (usize, usize)) {
    let (x, c) = group.split_at_mut(g * LANES);
    let x = &x[columns.0..columns.1];
    take::<V>(c, x, x);
}

#[inline(always)]
fn take<V: Lanes>(c: &mut [Row], x: &[Row], b: &[Row]) {
    let mut sums: [V; LANES] = std::array::from_fn(|j| V::load(&c[j]));
    for (x, b) in x.iter().zip(b) {
        let x = V::load(x);
        for (sum, b) in sums.iter_mut().zip(b.0) {
            *sum = x.fnma(V::splat(b), *sum);
        }
    }
    sums.into_iter().zip(c).for_each(|(sum, c)| sum.store(c));
}

/// Tiles of a pair that are on the diagonal, or between, lose what columns of other blocks explain.
#[inline(always)]
fn on_diagonal<V: Lanes>(
    upper: &mut [Row],
    lower: &mut [Row],
    g: usize,
    end: usize,
    columns: (usize, usize),
) {
    if g >= end {
        return;
    }
    own::<V>(upper, g, columns);
    if !lower.is_empty() {
        one::<V>(lower, upper, g, columns);
        own::<V>(lower, g + 1, columns);
    }
}

/// X of X Lᵀ = C takes the place of C, L being the finished triangle.
#[inline(always)]
pub(super) fn substitute<V: Lanes>(c: &mut Tile, l: &[Row]) {
    let mut x: [V; LANES] = std::array::from_fn(|j| V::load(&c[j]));
    for k in 0..LANES {
        x[k] = x[k] / V::splat(l[k].0[k]);
        for j in k + 1..LANES {
            x[j] = x[k].fnma(V::splat(l[k].0[j]), x[j]);
        }
    }
    for k in 0..LANES {
        x[k].store(&mut c[k]);
    }
}

/// The factor of a tile on the diagonal takes its place; none for a pivot that is not above 0, or infinite.
#[inline(always)]
fn corner(c: &mut Tile) -> Option<()> {
    for j in 0..LANES {
        let pivot = c[j].0[j];
        if !(pivot > 0.0 && pivot < f64::INFINITY) {
            return None;
        }
        let root = pivot.sqrt();
        c[j].0[j] = root;
        for i in j + 1..LANES {
            c[j].0[i] /= root;
        }
        c[j].0[..j].fill(0.0);
        for k in j + 1..LANES {
            let factor = -c[j].0[k];
            for i in k..LANES {
                c[k].0[i] = factor.mul_add(c[j].0[i], c[k].0[i]);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::fixture::rough;
    use crate::numerics::lanes::Width;
    use crate::numerics::linalg::{self, LinalgError};
    use crate::numerics::{Cholesky, Mat};

    fn cholesky(a: &Mat) -> Result<Mat, LinalgError> {
        Cholesky::new(a).map(|cholesky| cholesky.factor())
    }

    /// A Gram matrix of numbers that look random, plus a multiple of the identity.
    fn spread(n: usize, least: f64) -> Mat {
        let mut a = linalg::gram(&rough(n.min(40), n));
        (0..n).for_each(|i| a[(i, i)] += least);
        a
    }

    /// ‖L Lᵀ − A‖ in units of n eps ‖A‖, the largest entry being the norm; L is a lower triangle.
    fn residual(l: &Mat, a: &Mat) -> f64 {
        let n = a.nrows();
        assert!((0..n).all(|j| l.col(j)[..j].iter().all(|x| *x == 0.0)), "{n}: zeros above the diagonal");
        let again = linalg::matmul_nt(l, l);
        let most = |x: &[f64]| x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let off: Vec<f64> = again.data().iter().zip(a.data()).map(|(x, y)| x - y).collect();
        most(&off) / (n as f64 * f64::EPSILON * most(a.data()))
    }

    #[test]
    fn the_factor_puts_its_matrix_together_again_at_every_size() {
        for n in (1..=70).chain([100, 127, 128, 129, 136, 200, 255, 256, 257, 300, 511, 700]) {
            for least in [1.0, 1e-6] {
                let a = spread(n, least);
                let mut given = a.clone();
                // What stands above the diagonal is not read.
                (0..n).for_each(|j| given.col_mut(j)[..j].fill(f64::NAN));
                let l = cholesky(&given).unwrap();
                // Higham (2002), Accuracy and Stability, th. 10.3: (n + 1) eps/2 |L||Lᵀ|, and each row of L is as
                // long as the root of its diagonal entry
                assert!(residual(&l, &a) <= 1.0, "{n}, {least}");
            }
        }
    }

    #[test]
    fn a_large_factor_too() {
        let a = spread(2000, 1.0);
        let l = cholesky(&a).unwrap();
        // L Lᵀ times two vectors, since a test has no time for all of it
        for seed in [1.0, 2.0] {
            let x: Vec<f64> = (0..2000).map(|i| (seed * f64::from(i)).sin()).collect();
            let (got, want) = (linalg::matvec(&l, &linalg::matvec_t(&l, &x)), linalg::matvec(&a, &x));
            for (got, want) in got.iter().zip(&want) {
                // n products, each rounded to eps of at most 5
                assert!((got - want).abs() < 2000.0 * 5.0 * f64::EPSILON * 10.0, "{got} {want}");
            }
        }
    }

    #[test]
    fn the_factor_of_min_i_j_is_all_ones() {
        for n in [1, 7, 8, 9, 16, 17, 130, 257] {
            let a = Mat::from_fn(n, n, |i, j| (i.min(j) + 1) as f64);
            let l = cholesky(&a).unwrap();
            assert_eq!(l, Mat::from_fn(n, n, |i, j| f64::from(u8::from(i >= j))), "{n}: no rounding at all");
        }
    }

    #[test]
    fn a_matrix_without_a_factor_is_refused_wherever_the_pivot_lies() {
        for n in [1, 8, 20, 129, 300] {
            for row in [0, n / 2, n - 1] {
                for entry in [-1.0, 0.0] {
                    let mut a = spread(n, 1.0);
                    a[(row, row)] = entry;
                    assert_eq!(cholesky(&a), Err(LinalgError::NotPositiveDefinite), "{n} {row} {entry}");
                }
            }
        }
        // Positive diagonal, negative eigenvalue
        let a = Mat::from_fn(9, 9, |i, j| if i == j { 1.0 } else { 1.0001 });
        assert_eq!(cholesky(&a), Err(LinalgError::NotPositiveDefinite));
        assert_eq!(cholesky(&Mat::zeros(0, 0)), Ok(Mat::zeros(0, 0)));
    }

    #[test]
    fn every_width_has_the_same_bits() {
        for n in [5, 64, 141] {
            let a = spread(n, 0.1);
            let bits = |width: Width| {
                let mut triangle = Triangle::packed(&a);
                width.run(Factor(&mut triangle)).unwrap();
                triangle.rows
            };
            let plain = bits(Width::Plain);
            assert!(Width::all().into_iter().all(|width| bits(width) == plain), "{n}");
        }
    }
}
