//! Functions of a symmetric matrix without its eigenvectors, from Householder's tridiagonal form.
//!
//! A = Q T Qᵀ costs 2 n³ operations that stream through columns, and f(A) = Q f(T) Qᵀ three more; eigenvectors cost
//! several times as much, most of it in short steps that wait for each other. The inverse square root is a sum of
//! resolvents, which a tridiagonal matrix has in closed form; eigenvalues and the parts of one vector along their
//! eigenvectors need no eigenvectors either.
//!
//! Golub & Van Loan (2013), Matrix Computations, §8.3.1.
//! Belongs here: the form, the ways to it and back. Not here: what it is for.
#![allow(unsafe_code)]

mod resolvents;
mod values;

use super::columns::dot;
use super::gram::Kernel;
use super::linalg::LinalgError;
use crate::numerics::Mat;

/// Above this many rows the columns leave the second-level cache, and blocked eigenvectors are faster.
const WIDEST: usize = 640;

/// A = Q T Qᵀ, with Q a product of reflections I − v vᵀ.
#[derive(Debug, Clone)]
pub struct Tridiagonal {
    kernel: Kernel,
    /// Diagonal of T, n
    diagonal: Vec<f64>,
    /// Beside it, n − 1
    beside: Vec<f64>,
    /// v of the k-th reflection in column k, from row k + 1 on: |v|² = 2, or v = 0
    reflections: Mat,
}

impl Tridiagonal {
    /// The form of a symmetric matrix; none where this processor has no kernel or A is large.
    ///
    /// # Errors
    /// `NotFinite`.
    pub fn new(a: &Mat) -> Result<Option<Self>, LinalgError> {
        if !a.is_finite() {
            return Err(LinalgError::NotFinite);
        }
        let n = a.nrows();
        let Some(kernel) = Kernel::of_this_processor().filter(|_| (1..=WIDEST).contains(&n)) else {
            return Ok(None);
        };
        let (diagonal, beside) = (vec![0.0; n], vec![0.0; n - 1]);
        let mut form = Self { kernel, diagonal, beside, reflections: Mat::zeros(n, n) };
        form.reduce(a.clone());
        Ok(Some(form))
    }

    fn reduce(&mut self, mut a: Mat) {
        let n = a.nrows();
        let (mut v, mut w, mut p) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for k in 0..n {
            // The next column first: its reflection multiplies while the rest is brought up to date.
            let (v_k, w_k) = (v[k], w[k]);
            let column = &mut a.col_mut(k)[k..];
            for (a, (&v, &w)) in column.iter_mut().zip(v[k..].iter().zip(&w[k..])) {
                *a -= v * w_k + w * v_k;
            }
            self.diagonal[k] = column[0];
            if k + 1 == n {
                return;
            }
            let to = self.reflections.col_mut(k);
            self.beside[k] = reflection(&column[1..], &mut to[k + 1..]);
            self.kernel.pass(&mut a, k + 1, (&v, &w), to, &mut p);
            v.copy_from_slice(to);
            halved(&p, &v, &mut w);
        }
    }

    /// F ← Q F Qᵀ for a symmetric F.
    fn back(&self, f: &mut Mat) {
        let n = f.nrows();
        let zero = vec![0.0; n];
        let (mut v, mut w, mut p) = (zero.clone(), zero.clone(), zero.clone());
        for k in (0..n.saturating_sub(1)).rev() {
            let next = self.reflections.col(k);
            self.kernel.pass(f, 0, (&v, &w), next, &mut p);
            v.copy_from_slice(next);
            halved(&p, &v, &mut w);
        }
        self.kernel.pass(f, 0, (&v, &w), &zero, &mut p);
    }

    /// z ← Qᵀ z.
    fn turn(&self, z: &mut [f64]) {
        for k in 0..z.len().saturating_sub(1) {
            reflect(&self.reflections.col(k)[k + 1..], &mut z[k + 1..]);
        }
    }

    /// z ← Q z.
    fn turn_back(&self, z: &mut [f64]) {
        for k in (0..z.len().saturating_sub(1)).rev() {
            reflect(&self.reflections.col(k)[k + 1..], &mut z[k + 1..]);
        }
    }
}

/// z ← (I − v vᵀ) z.
fn reflect(v: &[f64], z: &mut [f64]) {
    let along = dot(v, z);
    z.iter_mut().zip(v).for_each(|(z, v)| *z -= along * v);
}

/// v with |v|² = 2 so that (I − v vᵀ) x = α e₁, or 0 where x is that already; α.
fn reflection(x: &[f64], v: &mut [f64]) -> f64 {
    let first = x[0];
    // In units of the largest: squares neither overflow nor vanish.
    let size = x.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    if x[1..].iter().all(|x| *x == 0.0) {
        return first;
    }
    v.iter_mut().zip(x).for_each(|(v, x)| *v = x / size);
    let length = dot(v, v).sqrt();
    let alpha = if v[0] > 0.0 { -length } else { length };
    v[0] -= alpha;
    // |x − α e₁|² = 2 length |x₁ − α|
    let scale = 1.0 / (length * v[0].abs()).sqrt();
    v.iter_mut().for_each(|v| *v *= scale);
    alpha * size
}

/// w = p − (pᵀv / 2) v, so that (I − v vᵀ) A (I − v vᵀ) = A − v wᵀ − w vᵀ where p = A v.
fn halved(p: &[f64], v: &[f64], w: &mut [f64]) {
    let half = -0.5 * dot(p, v);
    w.iter_mut().zip(p.iter().zip(v)).for_each(|(w, (p, v))| *w = p + half * v);
}

impl Kernel {
    /// A ← A − v wᵀ − w vᵀ and p ← A x in one pass, in the rows and columns `from ..`; p is 0 above.
    fn pass(self, a: &mut Mat, from: usize, (v, w): (&[f64], &[f64]), x: &[f64], p: &mut [f64]) {
        let a = a.data_mut();
        match self {
            // SAFETY: a kernel is made by asking for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::pass_512(a, from, v, w, x, p) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::pass_256(a, from, v, w, x, p) },
        }
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[inline(always)]
fn pass_by(a: &mut [f64], from: usize, v: &[f64], w: &[f64], x: &[f64], p: &mut [f64]) {
    p.fill(0.0);
    let n = p.len();
    let (v, w, x, p) = (&v[from..n], &w[from..n], &x[from..n], &mut p[from..n]);
    let mut columns = a[from * n..].chunks_exact_mut(n).map(|column| &mut column[from..]);
    let rows = n - from;
    // Four columns share what they load of v, w and p.
    for j in (0..rows - rows % 4).step_by(4) {
        let mut next = || columns.next().unwrap_or_default();
        let four = [next(), next(), next(), next()];
        let [c0, c1, c2, c3] = four;
        let (c0, c1, c2, c3) = (&mut c0[..rows], &mut c1[..rows], &mut c2[..rows], &mut c3[..rows]);
        let (vj, wj, xj) = (&v[j..j + 4], &w[j..j + 4], &x[j..j + 4]);
        for i in 0..rows {
            let moved = |c: f64, k: usize| (-v[i]).mul_add(wj[k], (-w[i]).mul_add(vj[k], c));
            let y = [moved(c0[i], 0), moved(c1[i], 1), moved(c2[i], 2), moved(c3[i], 3)];
            (c0[i], c1[i], c2[i], c3[i]) = (y[0], y[1], y[2], y[3]);
            p[i] = (0..4).fold(p[i], |p, k| y[k].mul_add(xj[k], p));
        }
    }
    for (column, j) in columns.zip(rows - rows % 4..) {
        for i in 0..rows {
            let y = (-v[i]).mul_add(w[j], (-w[i]).mul_add(v[j], column[i]));
            column[i] = y;
            p[i] = y.mul_add(x[j], p[i]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    macro_rules! pass_with {
        ($features:literal, $name:ident) => {
            /// # Safety
            /// The features.
            #[target_feature(enable = $features)]
            pub(super) unsafe fn $name(
                a: &mut [f64],
                from: usize,
                v: &[f64],
                w: &[f64],
                x: &[f64],
                p: &mut [f64],
            ) {
                super::pass_by(a, from, v, w, x, p);
            }
        };
    }
    pass_with!("avx512f", pass_512);
    pass_with!("avx2,fma", pass_256);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::{gram, matmul, matmul_nt};

    /// YᵀY of a rough Y whose columns add up to nothing: one eigenvalue is 0.
    pub(super) fn products(n: usize) -> Mat {
        let mut x = 0.37_f64;
        let y = Mat::from_fn(2 * n, n, |_, _| {
            x = 3.99 * x * (1.0 - x);
            x - 0.5
        });
        let mean = y.mean();
        gram(&Mat::from_fn(2 * n, n, |i, j| y[(i, j)] - mean[i]))
    }

    #[test]
    fn there_and_back_is_the_matrix_itself() {
        for n in [1, 2, 3, 7, 20, 41, 130] {
            let a = products(n);
            let Some(form) = Tridiagonal::new(&a).unwrap() else { return };
            let mut t = Mat::zeros(n, n);
            for i in 0..n {
                t[(i, i)] = form.diagonal[i];
                if i + 1 < n {
                    (t[(i, i + 1)], t[(i + 1, i)]) = (form.beside[i], form.beside[i]);
                }
            }
            form.back(&mut t);
            let most = a.data().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            // n reflections from each side, a few roundings each
            let off = t.data().iter().zip(a.data()).fold(0.0_f64, |w, (x, y)| w.max((x - y).abs()));
            assert!(off <= 4e-16 * n as f64 * most, "{n}: {off}");
            let z: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let mut turned = z.clone();
            form.turn(&mut turned);
            form.turn_back(&mut turned);
            assert!(turned.iter().zip(&z).all(|(a, b)| (a - b).abs() < 1e-15 * n as f64 + 1e-15));
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn both_kernels_give_the_same_bits() {
        let Some(form) = Tridiagonal::new(&products(37)).unwrap() else { return };
        let narrow = || {
            let mut form =
                Tridiagonal { kernel: Kernel::Avx2, reflections: Mat::zeros(37, 37), ..form.clone() };
            form.reduce(products(37));
            form
        };
        assert_eq!(form.diagonal, narrow().diagonal);
        assert_eq!(form.inverse_root(0.7), narrow().inverse_root(0.7));
    }

    #[test]
    fn what_is_tridiagonal_stays_and_nan_is_refused() {
        let a = Mat::from_fn(4, 4, |i, j| if i == j { 2.0 } else { f64::from(u8::from(i.abs_diff(j) == 1)) });
        let Some(form) = Tridiagonal::new(&a).unwrap() else { return };
        assert_eq!((form.diagonal, form.beside), (vec![2.0; 4], vec![1.0; 3]));
        let bad = Mat::from_fn(3, 3, |i, j| if i + j == 2 { f64::NAN } else { 1.0 });
        assert_eq!(Tridiagonal::new(&bad).err(), Some(LinalgError::NotFinite));
        // Zeros have no scale.
        let none = Tridiagonal::new(&Mat::zeros(5, 5)).unwrap().unwrap();
        assert_eq!(none.inverse_root(1.0), Mat::identity(5));
        assert_eq!(
            matmul(&matmul_nt(&none.inverse_root(1.0), &Mat::identity(5)), &Mat::identity(5)),
            Mat::identity(5)
        );
    }
}
