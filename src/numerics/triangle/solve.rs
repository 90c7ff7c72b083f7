//! Systems of equations with a triangle, eight of them side by side.
//!
//! The right sides are turned so that a lane is a system and a row an unknown: to the factor they look like more rows
//! of eight, and its tiles serve them too. Sixteen systems at a time meet one block of the triangle while it is in the
//! second-level cache, so that a large triangle is read from memory once, however many systems there are.
//! Every unknown is one chain of fused multiply-adds: each vector width, and none, has the same bits.
//! Belongs here: the order of the work. Not here: what the systems mean.

use std::ops::Range;

use super::factor::{BLOCK, DEPTH, Tile, both, group, substitute, tile};
use super::{Triangle, start};
use crate::numerics::Mat;
use crate::numerics::lanes::{self, Kernel, LANES, Lanes, Row};

/// With which of the two triangles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// L X = B
    Lower,
    /// L Lᵀ X = B
    Both,
}

/// X takes the place of B, n × k.
pub(super) fn with(l: &Triangle, b: &mut Mat, side: Side) {
    assert_eq!(l.n, b.nrows(), "an equation for each row of the triangle");
    let mut systems = turned(b);
    lanes::widest(Solve { l, systems: &mut systems, side });
    turn_back(&systems, b);
}

/// Eight columns of B to a group, one to a lane, and pairs of groups; what is not there is zero.
fn turned(b: &Mat) -> Vec<Row> {
    let (n, k) = (b.nrows(), b.ncols());
    let stride = n.next_multiple_of(LANES);
    let pairs = k.div_ceil(2 * LANES);
    let mut systems = Vec::with_capacity(2 * pairs * stride);
    for first in (0..2 * LANES * pairs).step_by(LANES) {
        let columns: [&[f64]; LANES] =
            std::array::from_fn(|l| if first + l < k { b.col(first + l) } else { &[] });
        if columns[LANES - 1].len() == n {
            systems.extend((0..n).map(|i| Row(columns.map(|column| column[i]))));
        } else {
            let entry = |i: usize| columns.map(|column| column.get(i).copied().unwrap_or(0.0));
            systems.extend((0..n).map(|i| Row(entry(i))));
        }
        systems.resize(systems.len() + stride - n, Row::default());
    }
    systems
}

fn turn_back(systems: &[Row], b: &mut Mat) {
    let n = b.nrows();
    let stride = n.next_multiple_of(LANES);
    for j in 0..b.ncols() {
        let rows = &systems[j / LANES * stride..][..n];
        b.col_mut(j).iter_mut().zip(rows).for_each(|(x, row)| *x = row.0[j % LANES]);
    }
}

struct Solve<'a> {
    l: &'a Triangle,
    systems: &'a mut [Row],
    side: Side,
}

impl Kernel for Solve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { l, systems, side } = self;
        let groups = l.n.div_ceil(LANES);
        for first in (0..groups).step_by(BLOCK) {
            down::<V>(l, systems, first..groups.min(first + BLOCK), groups * LANES);
        }
        if side == Side::Both {
            for first in (0..groups).step_by(BLOCK).rev() {
                up::<V>(l, systems, first..groups.min(first + BLOCK), groups);
            }
        }
    }
}

/// Two groups of systems at a time.
#[inline(always)]
fn pairs(systems: &mut [Row], stride: usize) -> impl Iterator<Item = (&mut [Row], &mut [Row])> {
    systems.chunks_mut(2 * stride.max(1)).map(move |pair| pair.split_at_mut(stride))
}

/// The unknowns of some groups, those before them being known: X Lᵀ = C.
#[inline(always)]
fn down<V: Lanes>(l: &Triangle, systems: &mut [Row], block: Range<usize>, stride: usize) {
    let known = block.start * LANES;
    for from in (0..known).step_by(DEPTH) {
        let columns = (from, known.min(from + DEPTH));
        for (one, two) in pairs(systems, stride) {
            for q in block.clone() {
                both::<V>(one, two, group(&l.rows, q), q, columns);
            }
        }
    }
    for (one, two) in pairs(systems, stride) {
        for q in block.clone() {
            let b = group(&l.rows, q);
            both::<V>(one, two, b, q, (known, q * LANES));
            substitute::<V>(tile(one, q), &b[q * LANES..]);
            substitute::<V>(tile(two, q), &b[q * LANES..]);
        }
    }
}

/// The same from below, with the triangle turned: X L = C.
#[inline(always)]
fn up<V: Lanes>(l: &Triangle, systems: &mut [Row], block: Range<usize>, groups: usize) {
    let stride = groups * LANES;
    for from in (block.end..groups).step_by(DEPTH / LANES) {
        let below = from..groups.min(from + DEPTH / LANES);
        for (one, two) in pairs(systems, stride) {
            for q in block.clone() {
                both_below::<V>(one, two, l, q, below.clone());
            }
        }
    }
    for (one, two) in pairs(systems, stride) {
        for q in block.clone().rev() {
            both_below::<V>(one, two, l, q, q + 1..block.end);
            let corner = &group(&l.rows, q)[q * LANES..];
            substitute_up::<V>(tile(one, q), corner);
            substitute_up::<V>(tile(two, q), corner);
        }
    }
}

/// Tiles q of a pair of systems lose what the unknowns of some groups below explain of them.
#[inline(always)]
fn both_below<V: Lanes>(one: &mut [Row], two: &mut [Row], l: &Triangle, q: usize, below: Range<usize>) {
    let (mut s0, mut s1) = (loaded::<V>(tile(one, q)), loaded::<V>(tile(two, q)));
    for g in below {
        let l = tile_of(l, g, q);
        let (x, y) = (tile(one, g), tile(two, g));
        for i in 0..LANES {
            let (x, y) = (V::load(&x[i]), V::load(&y[i]));
            for j in 0..LANES {
                let l = V::splat(l[j].0[i]);
                s0[j] = x.fnma(l, s0[j]);
                s1[j] = y.fnma(l, s1[j]);
            }
        }
    }
    store(s0, tile(one, q));
    store(s1, tile(two, q));
}

#[inline(always)]
fn loaded<V: Lanes>(tile: &Tile) -> [V; LANES] {
    std::array::from_fn(|j| V::load(&tile[j]))
}

#[inline(always)]
fn store<V: Lanes>(sums: [V; LANES], tile: &mut Tile) {
    sums.into_iter().zip(tile).for_each(|(sum, row)| sum.store(row));
}

/// Rows of group g in columns of group q.
#[inline(always)]
fn tile_of(l: &Triangle, g: usize, q: usize) -> &Tile {
    l.rows[start(g) + q * LANES..].first_chunk().expect("a group reaches its diagonal")
}

/// X of X L = C takes the place of C, L being the finished triangle.
#[inline(always)]
fn substitute_up<V: Lanes>(c: &mut Tile, l: &[Row]) {
    let mut x = loaded::<V>(c);
    for k in (0..LANES).rev() {
        x[k] = x[k] / V::splat(l[k].0[k]);
        for j in 0..k {
            x[j] = x[k].fnma(V::splat(l[j].0[k]), x[j]);
        }
    }
    store(x, c);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::fixture::rough;
    use crate::numerics::lanes::Width;
    use crate::numerics::{Cholesky, linalg};

    /// Ones on and below the diagonal: A is min(i, j) + 1.
    fn ones(n: usize) -> Cholesky {
        Cholesky::new(&Mat::from_fn(n, n, |i, j| (i.min(j) + 1) as f64)).unwrap()
    }

    #[test]
    fn with_all_ones_the_unknowns_are_differences_without_rounding() {
        for n in [1, 2, 7, 8, 9, 16, 127, 128, 129, 300, 520] {
            for k in [0, 1, 7, 8, 9, 16, 17, 33] {
                let b = Mat::from_fn(n, k, |i, j| ((3 * i * i + 7 * j) % 101) as f64);
                let mut half = b.clone();
                ones(n).half_solve(&mut half);
                let above = |b: &Mat, i: usize, j: usize| if i == 0 { 0.0 } else { b[(i - 1, j)] };
                assert_eq!(half, Mat::from_fn(n, k, |i, j| b[(i, j)] - above(&b, i, j)), "{n} {k}");
                let mut whole = b.clone();
                ones(n).solve(&mut whole);
                let below = |i: usize, j: usize| if i + 1 == n { 0.0 } else { half[(i + 1, j)] };
                assert_eq!(whole, Mat::from_fn(n, k, |i, j| half[(i, j)] - below(i, j)), "{n} {k}");
            }
        }
    }

    #[test]
    fn a_solution_put_in_gives_the_right_side_again() {
        for (n, k) in [(5, 3), (64, 1), (150, 20), (400, 37)] {
            let mut a = linalg::gram(&rough(n + 10, n));
            (0..n).for_each(|i| a[(i, i)] += 1.0);
            let cholesky = Cholesky::new(&a).unwrap();
            let (b, mut x) = (rough(n, k), rough(n, k));
            cholesky.solve(&mut x);
            let again = linalg::matmul(&a, &x);
            // Higham (2002), th. 10.4: 3 (n + 1) eps/2 times |L||Lᵀ||x|, whose rows are as long as the diagonal
            let most = |m: &Mat| m.data().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            let bound = 3.0 * (n * n) as f64 * f64::EPSILON * most(&a) * most(&x);
            for (got, want) in again.data().iter().zip(b.data()) {
                assert!((got - want).abs() <= bound, "{n} {k}: {got} {want}, {bound:e}");
            }
        }
    }

    #[test]
    fn every_width_has_the_same_bits() {
        let n = 141;
        let mut a = linalg::gram(&rough(n, n));
        (0..n).for_each(|i| a[(i, i)] += 0.1);
        let mut l = Triangle::packed(&a);
        crate::numerics::triangle::factor::factor(&mut l).unwrap();
        let bits = |width: Width| {
            let mut systems = turned(&rough(n, 19));
            width.run(Solve { l: &l, systems: &mut systems, side: Side::Both });
            systems
        };
        let plain = bits(Width::Plain);
        assert!(Width::all().into_iter().all(|width| bits(width) == plain));
    }
}
