//! What members say about the data, in units of the noise.
//!
//! All updates without localisation need the p outputs of J members only through products over rows. Here
//! they are taken, in one pass over panels of rows that stay in the cache. Rows of independent noise add up:
//! the data, a prior that is imposed, later the batches of a series.
//! Belongs here: centring, whitening, Gram matrices, misfits. Not here: how a method uses them.

use std::convert::Infallible;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;

use crate::numerics::columns;
use crate::numerics::linalg;
use crate::numerics::{CentredProducts, Mat, Part, Products};
use crate::problem::observation::Noise;

/// Rows of a panel: 768 × 100 doubles are 600 KiB, within a second-level cache.
pub(super) const PANEL: usize = 768;

/// About so many panels are added up by themselves, whoever does it: the order of sums does not depend on threads.
const PART: usize = 8;

/// In how many parts so many panels are added up, all of nearly the same size: an even number of them, so that two
/// threads are done at the same time.
fn parts(panels: usize) -> usize {
    if panels <= PART { 1 } else { 2 * panels.div_ceil(2 * PART) }
}

/// Above this sum of eigenvalues the small ones of a Gram matrix are known to worse than 1e-7 (eps × 1e9):
/// the singular values of Y itself are used instead.
const STIFF: f64 = 1e9;

/// Rows to compare: outputs of members, what they should be, how well that is known.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Outputs, all rows × all members
    pub g: &'a Mat,
    /// Rows that count, ascending: p of them
    pub rows: &'a [usize],
    /// Members that count: J of them
    pub members: &'a [usize],
    /// What was seen, p
    pub y: &'a [f64],
    /// Γ, p × p
    pub noise: &'a Noise,
}

/// Products of whitened, centred outputs `Y = W (g − ḡ)` and residual `r = W (y − ḡ)`, where WᵀW = Γ⁻¹.
#[derive(Debug, Clone)]
pub enum Evidence {
    /// For p ≥ J: only products are kept
    Gram {
        /// YᵀY, J × J
        s: Mat,
        /// Yᵀr, J
        b: Vec<f64>,
    },
    /// For p < J, and for stiff problems: all of it
    Whitened {
        /// Y, p × J
        y: Mat,
        /// r, p
        r: Vec<f64>,
    },
}

/// How far members are from the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Misfits {
    /// Rows, p
    pub rows: usize,
    /// (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y), J numbers
    pub members: Vec<f64>,
    /// (ḡ − y)ᵀ Γ⁻¹ (ḡ − y)
    pub mean: f64,
    /// |gⱼ − y|², J numbers
    pub plain_members: Vec<f64>,
    /// |ḡ − y|²
    pub plain_mean: f64,
}

impl Misfits {
    fn none(rows: usize, n: usize) -> Self {
        Self { rows, members: vec![0.0; n], plain_members: vec![0.0; n], ..Self::default() }
    }

    fn add(&mut self, products: &Products) {
        for (j, off) in products.off.iter().enumerate() {
            self.plain_members[j] += off.plain;
            self.members[j] += off.weighted;
        }
        self.plain_mean += products.mean.plain;
        self.mean += products.mean.weighted;
    }
}

/// Which products [`gather`] keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// YᵀY and Yᵀr
    Gram,
    /// Y and r
    Whitened,
}

/// One pass over the rows: p J² + O(p J) operations, memory J² (`Gram`) or p J (`Whitened`).
pub fn gather(rows: &Rows<'_>, keep: Keep) -> (Evidence, Misfits) {
    let n = rows.members.len();
    let load = |range: &Range<usize>, panel: &mut Mat, sum: &mut [f64]| {
        load(rows, range, panel, sum);
        Ok::<(), Infallible>(())
    };
    // Outputs that lie side by side need no copy.
    let there = |j: usize, range: &Range<usize>| {
        let wanted = &rows.rows[range.clone()];
        let (first, last) = (wanted[0], wanted[wanted.len() - 1]);
        (last - first + 1 == wanted.len()).then(|| &rows.g.col(rows.members[j])[first..=last])
    };
    match gather_by(rows.y, rows.noise, n, keep, there, load) {
        Ok(both) => both,
        Err(never) => match never {},
    }
}

/// [`gather`] with this many threads: the same bits. One thread does what cannot be shared out.
pub fn gather_on(threads: usize, rows: &Rows<'_>, keep: Keep) -> (Evidence, Misfits) {
    let shared = || {
        let n = rows.members.len();
        let products = CentredProducts::new(n).filter(|_| threads > 1 && keep == Keep::Gram)?;
        let panels = rows.noise.panels(PANEL);
        let unbroken =
            |range: &Range<usize>| rows.rows[range.end - 1] - rows.rows[range.start] + 1 == range.len();
        let independent = |range: &Range<usize>| rows.noise.weights(range).is_some();
        let can = panels.len() > PART && panels.iter().all(|range| unbroken(range) && independent(range));
        can.then(|| side_by_side(threads, rows, &panels, products))
    };
    shared().unwrap_or_else(|| gather(rows, keep))
}

fn side_by_side(
    threads: usize,
    rows: &Rows<'_>,
    panels: &[Range<usize>],
    mut all: CentredProducts,
) -> (Evidence, Misfits) {
    let n = rows.members.len();
    let count = parts(panels.len());
    let first = |part: usize| (part * panels.len()).div_ceil(count);
    let parts: Vec<&[Range<usize>]> = (0..count).map(|k| &panels[first(k)..first(k + 1)]).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut own = Vec::new();
        let Some(mut products) = CentredProducts::new(n) else { return own };
        loop {
            let k = next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = parts.get(k) else { break };
            for range in *part {
                let (from, to) = (rows.rows[range.start], rows.rows[range.end - 1]);
                let columns: Vec<&[f64]> = rows.members.iter().map(|&j| &rows.g.col(j)[from..=to]).collect();
                let weights = rows.noise.weights(range).unwrap_or_default();
                products.add(&columns, &rows.y[range.clone()], &weights);
            }
            own.push((k, products.take()));
        }
        own
    };
    let mut done: Vec<(usize, Part)> = std::thread::scope(|scope| {
        // A thread that the system refuses leaves its parts to the others.
        let start = |_| Builder::new().spawn_scoped(scope, worker).ok();
        let others: Vec<_> = (1..threads.min(parts.len())).filter_map(start).collect();
        let mut done = worker();
        done.extend(others.into_iter().flat_map(|other| other.join().expect("sums do not panic")));
        done
    });
    done.sort_by_key(|(k, _)| *k);
    done.iter().for_each(|(_, part)| all.join(part));
    let mut misfits = Misfits::none(rows.rows.len(), n);
    let products = all.finish();
    misfits.add(&products);
    (Evidence::Gram { s: products.s, b: products.b }, misfits)
}

/// The same for outputs that come panel by panel: `load` fills the first J columns of a panel with those rows of
/// the outputs, and adds them up over the members, in their order, in its last argument (which holds zeros).
///
/// # Errors
/// Those of `load`.
pub fn gather_from<E>(
    y: &[f64],
    noise: &Noise,
    n: usize,
    keep: Keep,
    load: impl FnMut(&Range<usize>, &mut Mat, &mut [f64]) -> Result<(), E>,
) -> Result<(Evidence, Misfits), E> {
    gather_by(y, noise, n, keep, |_, _| None, load)
}

fn gather_by<'a, E>(
    y: &[f64],
    noise: &Noise,
    n: usize,
    keep: Keep,
    there: impl Fn(usize, &Range<usize>) -> Option<&'a [f64]>,
    mut load: impl FnMut(&Range<usize>, &mut Mat, &mut [f64]) -> Result<(), E>,
) -> Result<(Evidence, Misfits), E> {
    let p = y.len();
    let mut misfits = Misfits::none(p, n);
    // Y and r side by side: one Gram matrix holds YᵀY and Yᵀr, one whitening does both.
    let mut whole = if keep == Keep::Whitened { Mat::zeros(p, n + 1) } else { Mat::default() };
    let mut gram = Mat::default();
    let mut products = if keep == Keep::Gram { CentredProducts::new(n) } else { None };
    let mut panel = Mat::default();
    let panels = noise.panels(PANEL);
    let (count, parts) = (panels.len(), parts(panels.len()));
    for (k, range) in panels.into_iter().enumerate() {
        let opens = k > 0 && k * parts / count > (k - 1) * parts / count;
        if let Some(products) = products.as_mut().filter(|_| opens) {
            products.close();
        }
        let mut sum = vec![0.0; range.len()];
        let mut filled = |panel: &mut Mat, sum: &mut [f64]| {
            if panel.nrows() != range.len() {
                *panel = Mat::zeros(range.len(), n + 1);
            }
            load(&range, panel, sum)
        };
        if let (Some(products), Some(weights)) = (&mut products, noise.weights(&range)) {
            // Rows of independent noise: everything in one pass.
            if there(0, &range).is_none() {
                filled(&mut panel, &mut sum)?;
            }
            let column = |j| there(j, &range).unwrap_or_else(|| panel.col(j));
            let columns: Vec<&[f64]> = (0..n).map(column).collect();
            products.add(&columns, &y[range.clone()], &weights);
            continue;
        }
        filled(&mut panel, &mut sum)?;
        compare(&y[range.clone()], noise, &range, &mut panel, sum, &mut misfits);
        match keep {
            Keep::Gram => {
                if gram.ncols() == 0 {
                    gram = Mat::zeros(n + 1, n + 1);
                }
                linalg::add_gram(&mut gram, panel.data(), range.len());
            }
            Keep::Whitened => {
                for j in 0..=n {
                    whole.col_mut(j)[range.clone()].copy_from_slice(panel.col(j));
                }
            }
        }
    }
    let evidence = match keep {
        Keep::Gram => {
            let (mut s, mut b) = match products {
                Some(products) => {
                    let products = products.finish();
                    misfits.add(&products);
                    (products.s, products.b)
                }
                None => (Mat::zeros(n, n), vec![0.0; n]),
            };
            if gram.ncols() > 0 {
                linalg::mirror(&mut gram);
                for j in 0..n {
                    columns::add_scaled(s.col_mut(j), 1.0, &gram.col(j)[..n]);
                    b[j] += gram[(n, j)];
                }
            }
            Evidence::Gram { s, b }
        }
        Keep::Whitened => {
            let r = whole.col(n).to_vec();
            Evidence::Whitened { y: Mat::from_columns(p, n, whole.data()[..p * n].to_vec()), r }
        }
    };
    Ok((evidence, misfits))
}

/// Misfits alone: one pass over the rows, no memory but a panel.
pub fn distances(rows: &Rows<'_>) -> Misfits {
    let (p, n) = (rows.rows.len(), rows.members.len());
    let mut misfits = Misfits::none(p, n);
    for range in rows.noise.panels(PANEL) {
        let mut panel = Mat::zeros(range.len(), n + 1);
        let mut sum = vec![0.0; range.len()];
        load(rows, &range, &mut panel, &mut sum);
        compare(&rows.y[range.clone()], rows.noise, &range, &mut panel, sum, &mut misfits);
    }
    misfits
}

/// Fill the first J columns of a panel, and add them up.
fn load(rows: &Rows<'_>, range: &Range<usize>, panel: &mut Mat, sum: &mut [f64]) {
    let wanted = &rows.rows[range.clone()];
    let (first, last) = (wanted[0], wanted[wanted.len() - 1]);
    let unbroken = last - first + 1 == wanted.len();
    for (j, &member) in rows.members.iter().enumerate() {
        let from = rows.g.col(member);
        let to = panel.col_mut(j);
        if unbroken {
            columns::copy_and_add(to, &from[first..=last], sum);
        } else {
            to.iter_mut().zip(wanted).for_each(|(to, &i)| *to = from[i]);
            columns::add_scaled(sum, 1.0, to);
        }
    }
}

/// A panel of outputs whose rows add up to `mean` becomes, in units of the noise: centred outputs in the first J
/// columns, `y − ḡ` in the last; the distances r − x, which are y − gⱼ, are added up before whitening and after.
fn compare(
    y: &[f64],
    noise: &Noise,
    range: &Range<usize>,
    panel: &mut Mat,
    mut mean: Vec<f64>,
    misfits: &mut Misfits,
) {
    let n = misfits.members.len();
    mean.iter_mut().for_each(|m| *m /= n as f64);
    let r: Vec<f64> = y.iter().zip(&mean).map(|(y, m)| y - m).collect();
    misfits.plain_mean += columns::dot(&r, &r);
    panel.col_mut(n).copy_from_slice(&r);

    let independent = noise.weights(range);
    let weights = independent.clone().unwrap_or_else(|| vec![1.0; range.len()]);
    for j in 0..n {
        let off = columns::centre_and_scale(panel.col_mut(j), &mean, &r, &weights);
        misfits.plain_members[j] += off.plain;
        misfits.members[j] += if independent.is_some() { off.weighted } else { 0.0 };
    }
    match independent {
        Some(weights) => panel.col_mut(n).iter_mut().zip(&weights).for_each(|(r, w)| *r *= w),
        None => {
            noise.whiten_rows(range, panel);
            for (j, sum) in misfits.members.iter_mut().enumerate() {
                *sum += columns::distance_squared(panel.col(n), panel.col(j));
            }
        }
    }
    misfits.mean += columns::dot(panel.col(n), panel.col(n));
}

impl Evidence {
    /// Members, J.
    pub fn members(&self) -> usize {
        match self {
            Self::Gram { b, .. } => b.len(),
            Self::Whitened { y, .. } => y.ncols(),
        }
    }

    /// With further rows of independent noise; both of one form.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Gram { mut s, mut b }, Self::Gram { s: s2, b: b2 }) => {
                columns::add_scaled(s.data_mut(), 1.0, s2.data());
                columns::add_scaled(&mut b, 1.0, &b2);
                Self::Gram { s, b }
            }
            (Self::Whitened { y, mut r }, Self::Whitened { y: y2, r: r2 }) => {
                let p = y.nrows();
                let entry = |i: usize, j: usize| if i < p { y[(i, j)] } else { y2[(i - p, j)] };
                let y = Mat::from_fn(p + y2.nrows(), y.ncols(), entry);
                r.extend(r2);
                Self::Whitened { y, r }
            }
            _ => unreachable!("evidence of one step is gathered in one form"),
        }
    }

    /// Whether eigenvalues of `scale · YᵀY` span too much for a Gram matrix.
    pub fn is_stiff(&self, scale: f64) -> bool {
        match self {
            Self::Gram { s, b } => scale * (0..b.len()).map(|j| s[(j, j)]).sum::<f64>() > STIFF,
            Self::Whitened { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::rough;
    use crate::problem::observation::Covariance;

    #[test]
    fn threads_and_sources_change_no_bit() {
        let (p, n) = (20_000, 13);
        let (g, y) = (rough(1, p, n), rough(2, p, 1).data().to_vec());
        let (all, members): (Vec<usize>, Vec<usize>) = ((0..p).collect(), (0..n).collect());
        let mut noise = Noise::default();
        noise.push(&Covariance::Diagonal((0..p).map(|i| 1.0 + (i % 7) as f64).collect()), &all).unwrap();
        let rows = Rows { g: &g, rows: &all, members: &members, y: &y, noise: &noise };
        let bits = |(evidence, misfits): (Evidence, Misfits)| match evidence {
            Evidence::Gram { s, b } => (s, b, misfits),
            Evidence::Whitened { .. } => unreachable!("products were asked for"),
        };
        let one = bits(gather(&rows, Keep::Gram));
        for threads in [1, 2, 3, 8] {
            assert_eq!(bits(gather_on(threads, &rows, Keep::Gram)), one);
        }
        // Panel by panel, as from files
        let from_files = gather_from(&y, &noise, n, Keep::Gram, |range, panel, sum| {
            load(&rows, range, panel, sum);
            Ok::<(), Infallible>(())
        });
        assert_eq!(bits(from_files.unwrap()), one);
    }
}
