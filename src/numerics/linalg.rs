//! Dense linear algebra over `Mat`: products, Gram matrices, factorisations, sample covariances.
//!
//! A thin wrap of faer and of what is faster here (`triangle`, `gram`, `reweight`), always on one thread: sums keep one order, so results repeat bit for bit on one
//! kind of processor. Every factorisation looks for NaN and infinity first, because faer's
//! eigendecomposition of a NaN matrix succeeds.
//! Belongs here: what a textbook on matrices has. Not here: what the numbers stand for.

use std::borrow::Cow;

use faer::linalg::matmul::matmul as faer_matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::{Solve, SolveLstsq};
use faer::{Accum, MatMut, MatRef, Par, Side};

use crate::numerics::columns::{add_scaled, dot, is_finite};
pub use crate::numerics::triangle::Cholesky;
use crate::numerics::{Mat, gram, reweight};

/// Why a factorisation cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinalgError {
    /// NaN or infinity went in
    #[error("a matrix holds NaN or infinity")]
    NotFinite,
    /// No Cholesky factor
    #[error("a matrix is not positive definite")]
    NotPositiveDefinite,
    /// The iteration did not converge
    #[error("a decomposition did not converge")]
    NoConvergence,
}

/// A Mat as faer sees it, without copying.
fn view(a: &Mat) -> MatRef<'_, f64> {
    MatRef::from_column_major_slice(a.data(), a.nrows(), a.ncols())
}

fn view_mut(a: &mut Mat) -> MatMut<'_, f64> {
    let (rows, cols) = (a.nrows(), a.ncols());
    MatMut::from_column_major_slice_mut(a.data_mut(), rows, cols)
}

fn owned(a: MatRef<'_, f64>) -> Mat {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)])
}

fn finite(a: &Mat) -> Result<(), LinalgError> {
    if is_finite(a.data()) { Ok(()) } else { Err(LinalgError::NotFinite) }
}

/// A B, m × n, for A of m × k and B of k × n.
pub fn matmul(a: &Mat, b: &Mat) -> Mat {
    assert_eq!(a.ncols(), b.nrows(), "inner sizes of a product agree");
    let mut c = Mat::zeros(a.nrows(), b.ncols());
    faer_matmul(view_mut(&mut c), Accum::Replace, view(a), view(b), 1.0, Par::Seq);
    c
}

/// A T, m × n, for A of m × n and a square T (n × n) whose columns each sum to 1: every column of the result is a mean of A's columns with weights.
///
/// Offsets from the first column are multiplied: no digits are lost where columns differ by little.
pub fn reweighted(a: &Mat, t: &Mat) -> Mat {
    let (rows, n) = (a.nrows(), a.ncols());
    assert!(t.nrows() == n && t.ncols() == n, "a weight of each column for each column");
    reweight::reweighted(a, t).unwrap_or_else(|| {
        let first = a.col(0);
        let offsets = Mat::from_fn(rows, n, |i, j| a[(i, j)] - first[i]);
        let mut out = matmul(&offsets, t);
        (0..n).for_each(|j| add_scaled(out.col_mut(j), 1.0, first));
        out
    })
}

/// [`reweighted`], in the place of an A that nobody else needs: the same bits, and no second matrix.
pub fn reweight(a: Cow<'_, Mat>, t: &Mat) -> Mat {
    match a {
        Cow::Borrowed(a) => reweighted(a, t),
        Cow::Owned(mut a) => {
            assert!(
                t.nrows() == a.ncols() && t.ncols() == a.ncols(),
                "a weight of each column for each column"
            );
            if reweight::in_place(&mut a, t) { a } else { reweighted(&a, t) }
        }
    }
}

/// K (m × n, in place) minus the mean of each of its columns, plus `total / n`: columns then sum to `total`.
pub fn with_column_sums(k: &mut Mat, total: f64) {
    let n = k.nrows() as f64;
    for j in 0..k.ncols() {
        let column = k.col_mut(j);
        let change = (total - column.iter().sum::<f64>()) / n;
        column.iter_mut().for_each(|x| *x += change);
    }
}

/// Aᵀ B, m × n, for A of k × m and B of k × n.
pub fn matmul_tn(a: &Mat, b: &Mat) -> Mat {
    assert_eq!(a.nrows(), b.nrows(), "inner sizes of a product agree");
    let mut c = Mat::zeros(a.ncols(), b.ncols());
    faer_matmul(view_mut(&mut c), Accum::Replace, view(a).transpose(), view(b), 1.0, Par::Seq);
    c
}

/// A Bᵀ, m × n, for A of m × k and B of n × k.
pub fn matmul_nt(a: &Mat, b: &Mat) -> Mat {
    assert_eq!(a.ncols(), b.ncols(), "inner sizes of a product agree");
    let mut c = Mat::zeros(a.nrows(), b.nrows());
    faer_matmul(view_mut(&mut c), Accum::Replace, view(a), view(b).transpose(), 1.0, Par::Seq);
    c
}

/// A x, m numbers, for A of m × n and x of n.
pub fn matvec(a: &Mat, x: &[f64]) -> Vec<f64> {
    assert_eq!(a.ncols(), x.len(), "inner sizes of a product agree");
    let mut y = vec![0.0; a.nrows()];
    for (j, &s) in x.iter().enumerate() {
        add_scaled(&mut y, s, a.col(j));
    }
    y
}

/// Aᵀ x, n numbers, for A of m × n and x of m.
pub fn matvec_t(a: &Mat, x: &[f64]) -> Vec<f64> {
    (0..a.ncols()).map(|j| dot(a.col(j), x)).collect()
}

/// Aᵀ A, n × n, symmetric to the last bit, for A of m × n.
pub fn gram(a: &Mat) -> Mat {
    let mut s = Mat::zeros(a.ncols(), a.ncols());
    add_gram(&mut s, a.data(), a.nrows());
    mirror(&mut s);
    s
}

/// Lower triangle of S += PᵀP (n × n) for a panel P of `rows` × n, columns one after the other.
///
/// Panels of a few hundred rows stay in the second-level cache while they are centred, scaled and multiplied;
/// [`mirror`] completes S after the last.
pub fn add_gram(s: &mut Mat, panel: &[f64], rows: usize) {
    if gram::add(s, panel, rows) {
        return;
    }
    let n = s.ncols();
    let p = MatRef::from_column_major_slice(panel, rows, n);
    triangular::matmul(
        view_mut(s),
        BlockStructure::TriangularLower,
        Accum::Add,
        p.transpose(),
        BlockStructure::Rectangular,
        p,
        BlockStructure::Rectangular,
        1.0,
        Par::Seq,
    );
}

/// Copy the lower triangle of S (n × n) onto the upper one.
pub fn mirror(s: &mut Mat) {
    for j in 0..s.ncols() {
        for i in 0..j {
            s[(i, j)] = s[(j, i)];
        }
    }
}

/// Columns of A (m × n) minus their mean, m × n, and the mean, m numbers.
pub fn centred(a: &Mat) -> (Mat, Vec<f64>) {
    let mean = a.mean();
    let mut centred = a.clone();
    for j in 0..a.ncols() {
        for (x, m) in centred.col_mut(j).iter_mut().zip(&mean) {
            *x -= m;
        }
    }
    (centred, mean)
}

/// Sample covariance of the columns of A (n × J), n × n, with the divisor given (J or J − 1).
pub fn covariance(a: &Mat, divisor: f64) -> Mat {
    let mut c = gram(&centred(a).0.transpose());
    c.data_mut().iter_mut().for_each(|x| *x /= divisor);
    c
}

/// X (n × k) that makes ‖A X − B‖ least, for A (m × n) with full column rank and B of m × k: columns of A scaled to length 1, then Householder's QR.
pub fn least_squares(a: &Mat, b: &Mat) -> Mat {
    let lengths: Vec<f64> = (0..a.ncols()).map(|j| dot(a.col(j), a.col(j)).sqrt()).collect();
    let scaled = Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)] / lengths[j]);
    let x = view(&scaled).qr().solve_lstsq(view(b));
    Mat::from_fn(a.ncols(), b.ncols(), |i, j| x[(i, j)] / lengths[i])
}

/// B ← A⁻¹ B (n × k) for a symmetric A (n × n) that may be indefinite: Cholesky where it exists, else LU with pivots.
///
/// # Errors
/// `NotFinite`, also for a singular A.
pub fn solve_symmetric(a: &Mat, b: &mut Mat) -> Result<(), LinalgError> {
    match Cholesky::new(a) {
        Ok(cholesky) => cholesky.solve(b),
        Err(LinalgError::NotPositiveDefinite) => {
            view(a).partial_piv_lu().solve_in_place(view_mut(b));
        }
        Err(error) => return Err(error),
    }
    finite(b)
}

/// A⁺ (m × m) for a symmetric, positive semidefinite A of m × m: eigenvalues below n eps of the largest count as zero.
///
/// # Errors
/// `NotFinite`; `NoConvergence`.
pub fn pseudo_inverse(a: &Mat, n: usize) -> Result<Mat, LinalgError> {
    let Eigen { values, vectors } = symmetric_eigen(a)?;
    let least = n as f64 * f64::EPSILON * values.last().copied().unwrap_or(0.0);
    let mut scaled = vectors.clone();
    for (j, value) in values.iter().enumerate() {
        let factor = if *value > least { 1.0 / value } else { 0.0 };
        scaled.col_mut(j).iter_mut().for_each(|x| *x *= factor);
    }
    Ok(matmul_nt(&scaled, &vectors))
}

/// A = Q diag(λ) Qᵀ.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// λ, ascending
    pub values: Vec<f64>,
    /// Q, one eigenvector per column; signs are arbitrary
    pub vectors: Mat,
}

/// Eigendecomposition of a symmetric matrix, n × n (only its lower triangle is read): n values, vectors n × n.
///
/// # Errors
/// `NotFinite`; `NoConvergence`.
pub fn symmetric_eigen(a: &Mat) -> Result<Eigen, LinalgError> {
    finite(a)?;
    let eigen = view(a).self_adjoint_eigen(Side::Lower).map_err(|_| LinalgError::NoConvergence)?;
    let s = eigen.S().column_vector();
    Ok(Eigen { values: (0..a.nrows()).map(|i| s[i]).collect(), vectors: owned(eigen.U()) })
}

/// A = U diag(σ) Vᵀ with r = min(rows, columns) columns in U and V.
#[derive(Debug, Clone)]
pub struct Svd {
    /// U, rows × r; signs are arbitrary
    pub u: Mat,
    /// σ, descending
    pub s: Vec<f64>,
    /// V, columns × r
    pub v: Mat,
}

/// Thin singular value decomposition of A (m × n): U m × r, r values, V n × r, with r = min(m, n).
///
/// # Errors
/// `NotFinite`; `NoConvergence`.
pub fn thin_svd(a: &Mat) -> Result<Svd, LinalgError> {
    finite(a)?;
    let svd = view(a).thin_svd().map_err(|_| LinalgError::NoConvergence)?;
    let s = svd.S().column_vector();
    let s = (0..a.nrows().min(a.ncols())).map(|i| s[i]).collect();
    Ok(Svd { u: owned(svd.U()), s, v: owned(svd.V()) })
}

/// The principal square root of a symmetric matrix, both n × n: symmetric, no negative eigenvalues (those of A are cut at 0).
///
/// # Errors
/// `NotFinite`; `NoConvergence`.
pub fn symmetric_root(a: &Mat) -> Result<Mat, LinalgError> {
    let Eigen { values, vectors } = symmetric_eigen(a)?;
    let mut scaled = vectors.clone();
    for (j, value) in values.iter().enumerate() {
        let root = value.max(0.0).sqrt();
        scaled.col_mut(j).iter_mut().for_each(|x| *x *= root);
    }
    Ok(matmul_nt(&scaled, &vectors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::fixture::rough;

    fn assert_near(a: &Mat, b: &Mat, tolerance: f64) {
        assert_eq!((a.nrows(), a.ncols()), (b.nrows(), b.ncols()));
        for (x, y) in a.data().iter().zip(b.data()) {
            assert!((x - y).abs() <= tolerance, "{x} and {y}");
        }
    }

    #[test]
    fn products_agree_with_the_sum_over_the_inner_index() {
        let (a, b) = (rough(7, 5), rough(5, 3));
        let slow = Mat::from_fn(7, 3, |i, j| (0..5).map(|k| a[(i, k)] * b[(k, j)]).sum());
        assert_near(&matmul(&a, &b), &slow, 1e-15); // round-off of 5 terms below 1
        assert_near(&matmul_tn(&a.transpose(), &b), &slow, 1e-15);
        assert_near(&matmul_nt(&a, &b.transpose()), &slow, 1e-15);
        let first = Mat::from_columns(7, 1, matvec(&a, b.col(0)));
        assert_near(&first, &Mat::from_columns(7, 1, slow.col(0).to_vec()), 1e-15);
        assert_eq!(matvec_t(&a.transpose(), b.col(0)).len(), 7);
    }

    #[test]
    fn a_gram_matrix_is_symmetric_to_the_last_bit_and_panels_add_up() {
        let a = rough(100, 37);
        let whole = gram(&a);
        assert_near(&whole, &matmul_tn(&a, &a), 1e-13); // 100 terms
        assert_eq!(whole, whole.transpose());
        let mut sum = Mat::zeros(37, 37);
        for (from, to) in [(0, 64), (64, 100)] {
            let panel = Mat::from_fn(to - from, 37, |i, j| a[(from + i, j)]);
            add_gram(&mut sum, panel.data(), to - from);
        }
        mirror(&mut sum);
        assert_near(&sum, &whole, 1e-13);
    }

    #[test]
    fn factorisations_put_their_matrix_together_again() {
        let mut a = gram(&rough(30, 12));
        for i in 0..12 {
            a[(i, i)] += 0.5;
        }
        let cholesky = Cholesky::new(&a).unwrap();
        assert_near(&matmul_nt(&cholesky.factor(), &cholesky.factor()), &a, 1e-13);
        let mut x = rough(12, 4);
        cholesky.solve(&mut x);
        assert_near(&matmul(&a, &x), &rough(12, 4), 1e-13);
        let eigen = symmetric_eigen(&a).unwrap();
        assert!(eigen.values.windows(2).all(|w| w[0] <= w[1]), "ascending");
        let root = symmetric_root(&a).unwrap();
        assert_near(&matmul(&root, &root), &a, 1e-13);
        assert_near(&root, &root.transpose(), 1e-14);
        let b = rough(9, 4);
        let svd = thin_svd(&b).unwrap();
        let us = Mat::from_fn(9, 4, |i, j| svd.u[(i, j)] * svd.s[j]);
        assert_near(&matmul_nt(&us, &svd.v), &b, 1e-14);
    }

    #[test]
    fn indefinite_systems_are_solved_and_singular_ones_by_what_they_span() {
        let mut a = gram(&rough(9, 5));
        a[(0, 0)] = -2.0;
        let mut x = rough(5, 3);
        solve_symmetric(&a, &mut x).unwrap();
        assert_near(&matmul(&a, &x), &rough(5, 3), 1e-13);
        assert!(solve_symmetric(&Mat::zeros(2, 2), &mut Mat::identity(2)).is_err());
        let flat = rough(6, 2);
        let a = matmul_nt(&flat, &flat);
        let inverse = pseudo_inverse(&a, 6).unwrap();
        assert_near(&matmul(&matmul(&a, &inverse), &a), &a, 1e-14);
        assert_near(&matmul(&matmul(&inverse, &a), &inverse), &inverse, 1e-11); // 1/λ of about 10
    }

    #[test]
    fn nan_and_indefinite_matrices_are_refused() {
        let mut a = Mat::identity(3);
        a[(1, 1)] = -1.0;
        assert_eq!(Cholesky::new(&a).unwrap_err(), LinalgError::NotPositiveDefinite);
        a[(1, 1)] = f64::NAN;
        assert_eq!(Cholesky::new(&a).unwrap_err(), LinalgError::NotFinite);
        assert_eq!(symmetric_eigen(&a).unwrap_err(), LinalgError::NotFinite);
        assert_eq!(thin_svd(&a).unwrap_err(), LinalgError::NotFinite);
    }

    #[test]
    fn the_least_pivot_does_not_depend_on_units() {
        // Variances 1e-12 and 1e6, correlation 0.6: 1 − 0.36 is left unexplained.
        let a = Mat::from_columns(2, 2, vec![1e-12, 0.6e-3, 0.6e-3, 1e6]);
        let least = Cholesky::new(&a).unwrap().least_pivot([1e-12, 1e6].into_iter());
        assert!((least - 0.64).abs() < 1e-14, "{least}");
    }

    #[test]
    fn covariance_of_three_points_is_known() {
        let a = Mat::from_columns(2, 3, vec![0.0, 0.0, 3.0, 0.0, 0.0, 3.0]);
        let c = covariance(&a, 2.0);
        assert_near(&c, &Mat::from_columns(2, 2, vec![3.0, -1.5, -1.5, 3.0]), 1e-15);
    }
}
