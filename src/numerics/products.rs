//! Products of centred, weighted columns and of their distance to a target, in one pass over memory.
//!
//! Rows come in panels. Each number is read once: its offset from the first column goes, weighted, into the packed
//! rows of the Gram matrix, its distance from the target into two sums, itself into the mean of its row. Offsets from
//! one of the columns are of the size of the columns' spread, so that the mean can be taken out of the products
//! afterwards without cancellation, J × J numbers in place of a second pass.
//!
//! Belongs here: the pass, and its processor-specific inner loop. Not here: what columns and target are.
#![allow(unsafe_code)]

use crate::numerics::Mat;
use crate::numerics::columns::{self, Distance, fold};
use crate::numerics::gram::{GROUP, Kernel, Row};

/// Sums over the panels seen so far, in parts: what belongs to a part is added up by itself and then to the rest, so
/// that parts may be made by several threads and joined in their order, with the bits of one.
#[derive(Debug)]
pub struct CentredProducts {
    kernel: Kernel,
    /// Columns, n
    n: usize,
    /// Parts that are closed
    closed: Sums,
    /// The part that is open
    open: Sums,
    packed: Vec<Row>,
}

#[derive(Debug)]
struct Sums {
    /// Lower triangle of DᵀD, D the weighted offsets of columns and target from the first column
    gram: Mat,
    /// How far each column is from the target, n, and behind them the columns' mean
    off: Vec<Distance>,
}

impl Sums {
    fn none(n: usize) -> Self {
        Self { gram: Mat::zeros(n + 1, n + 1), off: vec![Distance::default(); n + 1] }
    }

    fn add(&mut self, other: &Self) {
        columns::add_scaled(self.gram.data_mut(), 1.0, other.gram.data());
        for (sum, more) in self.off.iter_mut().zip(&other.off) {
            sum.plain += more.plain;
            sum.weighted += more.weighted;
        }
    }
}

/// What one part of the rows adds up to.
#[derive(Debug)]
pub struct Part(Sums);

/// What all panels gave.
#[derive(Debug, Clone)]
pub struct Products {
    /// YᵀY, Y the weighted columns minus their mean, n × n
    pub s: Mat,
    /// Yᵀr, r the weighted target minus that mean, n
    pub b: Vec<f64>,
    /// How far each column is from the target, n
    pub off: Vec<Distance>,
    /// How far the columns' mean is from the target
    pub mean: Distance,
}

/// Eight running sums of one column: row k of a panel adds to sum k mod 8, on every processor.
type Lanes = [[f64; 8]; GROUP];

/// One group of columns with what its rows are held against.
struct Group<'a> {
    columns: [&'a [f64]; GROUP],
    /// How many of them count for the mean
    counted: usize,
    shift: &'a [f64],
    target: &'a [f64],
    weights: &'a [f64],
}

impl CentredProducts {
    /// No rows yet; none where this processor, or so many columns, are better served otherwise.
    pub fn new(n: usize) -> Option<Self> {
        let kernel = Kernel::for_columns(n + 1)?;
        Some(Self { kernel, n, closed: Sums::none(n), open: Sums::none(n), packed: Vec::new() })
    }

    /// Add a panel of m rows to the open part: n columns, `target` and `weights`, m numbers each.
    pub fn add(&mut self, columns: &[&[f64]], target: &[f64], weights: &[f64]) {
        let (n, rows) = (self.n, target.len());
        assert!(columns.len() == n && n > 0, "n columns");
        assert!(columns.iter().all(|c| c.len() == rows) && weights.len() == rows, "equally long");
        let groups = (n + 1).div_ceil(GROUP);
        self.packed.resize(groups * rows, Row([0.0; GROUP]));
        let mut sum = vec![0.0; rows];
        for (g, out) in self.packed.chunks_exact_mut(rows).enumerate() {
            // Behind the last column stands the target, and then zeros.
            let column = |c: usize| match g * GROUP + c {
                j if j < n => columns[j],
                j if j == n => target,
                _ => columns[0],
            };
            let group = Group {
                columns: std::array::from_fn(column),
                counted: (n - (g * GROUP).min(n)).min(GROUP),
                shift: columns[0],
                target,
                weights,
            };
            let found = offsets(self.kernel, &group, &mut sum, out);
            let own = &mut self.open.off[..n][(g * GROUP).min(n)..];
            for (off, (plain, weighted)) in own.iter_mut().zip(found.0.into_iter().zip(found.1)) {
                off.plain += fold(plain);
                off.weighted += fold(weighted);
            }
        }
        self.kernel.add_packed(&mut self.open.gram, &self.packed, rows);
        let mut off: Vec<f64> = sum.iter().zip(target).map(|(sum, y)| y - sum / n as f64).collect();
        self.open.off[n].plain += columns::dot(&off, &off);
        off.iter_mut().zip(weights).for_each(|(r, w)| *r *= w);
        self.open.off[n].weighted += columns::dot(&off, &off);
    }

    /// Take the open part away; another begins.
    pub fn take(&mut self) -> Part {
        Part(std::mem::replace(&mut self.open, Sums::none(self.n)))
    }

    /// Add a part to those that are closed.
    pub fn join(&mut self, Part(part): &Part) {
        self.closed.add(part);
    }

    /// Close the open part.
    pub fn close(&mut self) {
        let part = self.take();
        self.join(&part);
    }

    /// All parts.
    pub fn finish(mut self) -> Products {
        self.close();
        let (n, Sums { gram: mut m, mut off }) = (self.n, self.closed);
        crate::numerics::linalg::mirror(&mut m);
        let count = n as f64;
        let mean: Vec<f64> = (0..=n).map(|j| m.col(j)[..n].iter().sum::<f64>() / count).collect();
        let all = mean[..n].iter().sum::<f64>() / count;
        let s = Mat::from_fn(n, n, |i, j| m[(i, j)] - (mean[i] + mean[j]) + all);
        let b = (0..n).map(|j| m[(n, j)] - (mean[j] + mean[n]) + all).collect();
        let mean = off.pop().unwrap_or_default();
        Products { s, b, off, mean }
    }
}

/// Pack `w (x − shift)`; add x to `sum` for the columns that count; add up (x − target)² and (w (x − target))².
fn offsets(kernel: Kernel, group: &Group<'_>, sum: &mut [f64], out: &mut [Row]) -> (Lanes, Lanes) {
    let mut lanes = ([[0.0; 8]; GROUP], [[0.0; 8]; GROUP]);
    let rows = out.len();
    let whole = rows / 8 * 8;
    match kernel {
        // SAFETY: the kernel was chosen by asking for the features; all slices are `rows` long (see `add`).
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 => unsafe { x86::offsets_512(group, whole, sum, out, &mut lanes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2 => unsafe { x86::offsets_256(group, whole, sum, out, &mut lanes) },
    }
    offsets_plain(group, whole..rows, sum, out, &mut lanes);
    lanes
}

#[inline(always)]
fn offsets_plain(
    group: &Group<'_>,
    rows: std::ops::Range<usize>,
    sum: &mut [f64],
    out: &mut [Row],
    lanes: &mut (Lanes, Lanes),
) {
    for k in rows {
        let (shift, y, w) = (group.shift[k], group.target[k], group.weights[k]);
        for (c, column) in group.columns.iter().enumerate() {
            let x = column[k];
            if c < group.counted {
                sum[k] += x;
            }
            let e = x - y;
            let we = w * e;
            lanes.0[c][k % 8] += e * e;
            lanes.1[c][k % 8] += we * we;
            out[k].0[c] = w * (x - shift);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm512_add_pd, _mm512_loadu_pd, _mm512_mul_pd, _mm512_setzero_pd, _mm512_storeu_pd, _mm512_sub_pd,
    };

    use super::{GROUP, Group, Lanes, Row, offsets_plain};
    use crate::numerics::gram::x86::transposed;

    /// # Safety
    /// AVX-512F; every slice of the group, `sum` and `out` hold `whole` rows, a multiple of eight.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn offsets_512(
        group: &Group<'_>,
        whole: usize,
        sum: &mut [f64],
        out: &mut [Row],
        lanes: &mut (Lanes, Lanes),
    ) {
        let mut plain = [_mm512_setzero_pd(); GROUP];
        let mut weighted = [_mm512_setzero_pd(); GROUP];
        for k in (0..whole).step_by(8) {
            // SAFETY: eight numbers from k on lie in each slice.
            unsafe {
                let shift = _mm512_loadu_pd(group.shift.as_ptr().add(k));
                let y = _mm512_loadu_pd(group.target.as_ptr().add(k));
                let w = _mm512_loadu_pd(group.weights.as_ptr().add(k));
                let mut total = _mm512_loadu_pd(sum.as_ptr().add(k));
                let mut packed = [_mm512_setzero_pd(); GROUP];
                for c in 0..GROUP {
                    let x = _mm512_loadu_pd(group.columns[c].as_ptr().add(k));
                    if c < group.counted {
                        total = _mm512_add_pd(total, x);
                    }
                    let e = _mm512_sub_pd(x, y);
                    let we = _mm512_mul_pd(w, e);
                    // Not fused: a product and a sum, as where there is no AVX-512.
                    plain[c] = _mm512_add_pd(plain[c], _mm512_mul_pd(e, e));
                    weighted[c] = _mm512_add_pd(weighted[c], _mm512_mul_pd(we, we));
                    packed[c] = _mm512_mul_pd(w, _mm512_sub_pd(x, shift));
                }
                _mm512_storeu_pd(sum.as_mut_ptr().add(k), total);
                for (to, row) in out[k..k + 8].iter_mut().zip(transposed(packed)) {
                    _mm512_storeu_pd(to.0.as_mut_ptr(), row);
                }
            }
        }
        for c in 0..GROUP {
            // SAFETY: eight numbers lie in each.
            unsafe {
                _mm512_storeu_pd(lanes.0[c].as_mut_ptr(), plain[c]);
                _mm512_storeu_pd(lanes.1[c].as_mut_ptr(), weighted[c]);
            }
        }
    }

    /// # Safety
    /// AVX2; as above.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn offsets_256(
        group: &Group<'_>,
        whole: usize,
        sum: &mut [f64],
        out: &mut [Row],
        lanes: &mut (Lanes, Lanes),
    ) {
        offsets_plain(group, 0..whole, sum, out, lanes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rough(seed: usize, n: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729 + 13) % 1009) as f64 / 1009.0 - 0.4).collect()
    }

    #[test]
    fn products_and_distances_are_those_of_the_definition() {
        for (n, rows) in [(1, 3), (2, 8), (7, 20), (8, 33), (20, 50), (33, 300)] {
            let Some(mut products) = CentredProducts::new(n) else { return };
            let columns: Vec<Vec<f64>> = (0..n).map(|j| rough(j, rows)).collect();
            let (target, weights) = (rough(91, rows), rough(92, rows));
            // In two panels, with and without a part of their own
            let cut = rows / 3 + 1;
            for range in [0..cut, cut..rows] {
                let part: Vec<&[f64]> = columns.iter().map(|c| &c[range.clone()]).collect();
                products.add(&part, &target[range.clone()], &weights[range.clone()]);
                if n % 2 == 0 {
                    products.close();
                }
            }
            let Products { s, b, off, mean: Distance { plain, weighted } } = products.finish();
            // rows terms of at most 1, each rounded a few times
            let near = |a: f64, b: f64, what: &str| {
                assert!((a - b).abs() < 1e-15 * (rows * 4) as f64, "{what} of {n} × {rows}: {a} {b}");
            };
            let mean = |k: usize| columns.iter().map(|c| c[k]).sum::<f64>() / n as f64;
            let sum = |f: &dyn Fn(usize) -> f64| (0..rows).map(f).sum::<f64>();
            near(plain, sum(&|k| (mean(k) - target[k]).powi(2)), "the mean");
            near(weighted, sum(&|k| (weights[k] * (mean(k) - target[k])).powi(2)), "the weighted mean");
            for i in 0..n {
                let c = &columns[i];
                near(off[i].plain, sum(&|k| (c[k] - target[k]).powi(2)), "a distance");
                near(off[i].weighted, sum(&|k| (weights[k] * (c[k] - target[k])).powi(2)), "a distance");
                let y = |j: usize, k: usize| weights[k] * (columns[j][k] - mean(k));
                near(b[i], sum(&|k| y(i, k) * weights[k] * (target[k] - mean(k))), "b");
                (0..n).for_each(|j| near(s[(i, j)], sum(&|k| y(i, k) * y(j, k)), "s"));
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_inner_loops_give_the_same_bits() {
        if !crate::numerics::simd::has_avx512() {
            return;
        }
        let rows = 45;
        let columns: Vec<Vec<f64>> = (0..GROUP).map(|j| rough(j, rows)).collect();
        let (target, weights) = (rough(91, rows), rough(92, rows));
        let group = Group {
            columns: std::array::from_fn(|c| columns[c].as_slice()),
            counted: 5,
            shift: &columns[0],
            target: &target,
            weights: &weights,
        };
        let run = |kernel| {
            let (mut sum, mut out) = (vec![0.5; rows], vec![Row([0.0; GROUP]); rows]);
            let lanes = offsets(kernel, &group, &mut sum, &mut out);
            (lanes, sum, out.iter().map(|row| row.0).collect::<Vec<_>>())
        };
        assert_eq!(run(Kernel::Avx512), run(Kernel::Avx2));
    }
}
