//! Factored covariances of one block: what is kept so that Γ⁻¹ and roots of Γ cost little to apply.
//!
//! Belongs here: dense, diagonal plus low rank, low rank alone. Not here: which block has which (`noise`).

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::numerics::linalg::{self, Svd};
use crate::numerics::{Cholesky, LinalgError, Mat, Triangle};

/// A matrix with its Cholesky factor: p³/3 once, then p² for each column.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dense {
    matrix: Triangle,
    factor: Cholesky,
    /// Principal root, made when first asked for
    #[serde(skip)]
    root: OnceLock<Mat>,
}

impl Dense {
    /// Of a covariance, p × p.
    pub(super) fn new(matrix: Triangle) -> Result<Self, LinalgError> {
        let factor = Cholesky::of(&matrix)?;
        // A pivot of the size of rounding would be pure rounding: 10 n eps.
        let least = 10.0 * f64::EPSILON * matrix.order() as f64;
        if factor.least_pivot(matrix.diagonal()) <= least {
            return Err(LinalgError::NotPositiveDefinite);
        }
        Ok(Self { matrix, factor, root: OnceLock::new() })
    }

    /// Γ, its lower triangle.
    pub(super) fn matrix(&self) -> &Triangle {
        &self.matrix
    }

    /// X ← L⁻¹ X.
    pub(super) fn half_solve(&self, x: &mut Mat) {
        self.factor.half_solve(x);
    }

    /// X ← Γ⁻¹ X.
    pub(super) fn solve(&self, x: &mut Mat) {
        self.factor.solve(x);
    }

    /// Γ^½, symmetric, p × p; made once.
    ///
    /// # Errors
    /// `NoConvergence`.
    pub(super) fn root(&self) -> Result<&Mat, LinalgError> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let root = linalg::symmetric_root(&self.matrix.symmetric())?;
        Ok(self.root.get_or_init(|| root))
    }
}

/// Γ = D + V Vᵀ with a positive diagonal D and V of r columns: everything is linear in p.
///
/// With `B = D^-½ V = Q diag(σ) Pᵀ` it is `Γ = D^½ (I + Q diag(σ²) Qᵀ) D^½`, so that functions of the bracket act
/// on the span of Q alone. Nothing is divided by σ: patterns of weight zero are fine. Through `(I + BBᵀ)^-½` a
/// residual along a pattern is known to eps σ relative; `D⁻¹ − R Rᵀ` in one go would lose eps σ².
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spiked {
    /// D
    d: Vec<f64>,
    /// V, p × r
    v: Mat,
    /// Q, p × min(p, r)
    q: Mat,
    /// σ, descending
    sigma: Vec<f64>,
}

impl Spiked {
    /// The diagonal of D + V Vᵀ.
    pub(super) fn variances(&self) -> Vec<f64> {
        let row = |i: usize| (0..self.v.ncols()).map(|j| self.v[(i, j)].powi(2)).sum::<f64>();
        self.d.iter().enumerate().map(|(i, d)| d + row(i)).collect()
    }

    /// From the diagonal D (p variances, each above 0) and patterns V, p × r.
    pub(super) fn new(d: Vec<f64>, v: Mat) -> Result<Self, LinalgError> {
        let mut b = v.clone();
        scale_rows(&mut b, &d.iter().map(|d| 1.0 / d.sqrt()).collect::<Vec<_>>());
        let Svd { u: q, s: sigma, .. } = linalg::thin_svd(&b)?;
        Ok(Self { d, v, q, sigma })
    }

    /// Γ + c I.
    pub(super) fn plus(&self, c: f64) -> Result<Self, LinalgError> {
        let d: Vec<f64> = self.d.iter().map(|d| d + c).collect();
        if d.iter().any(|d| d.is_nan() || *d <= 0.0) {
            return Err(LinalgError::NotPositiveDefinite);
        }
        Self::new(d, self.v.clone())
    }

    /// These rows of Γ alone: the same rows of D and V.
    pub(super) fn select(&self, rows: &[usize]) -> Result<Self, LinalgError> {
        let v = Mat::from_fn(rows.len(), self.v.ncols(), |i, j| self.v[(rows[i], j)]);
        Self::new(rows.iter().map(|&i| self.d[i]).collect(), v)
    }

    /// X ← X + Q diag(c(σ)) Qᵀ X.
    fn stretch(&self, x: &mut Mat, c: impl Fn(f64) -> f64) {
        let mut along = linalg::matmul_tn(&self.q, x); // r × n
        scale_rows(&mut along, &self.sigma.iter().map(|&s| c(s)).collect::<Vec<_>>());
        let more = linalg::matmul(&self.q, &along);
        x.data_mut().iter_mut().zip(more.data()).for_each(|(x, more)| *x += more);
    }

    /// X ← (I + BBᵀ)^-½ X.
    fn shrink(&self, x: &mut Mat) {
        // 1/√(1+σ²) − 1, without cancellation for small σ
        self.stretch(x, |s| {
            let root = s.hypot(1.0);
            -(s / root) * (s / (1.0 + root))
        });
    }

    fn unscale(&self, x: &mut Mat) {
        scale_rows(x, &self.d.iter().map(|d| 1.0 / d.sqrt()).collect::<Vec<_>>());
    }

    /// X ← W X, `W = (I + BBᵀ)^-½ D^-½`.
    pub(super) fn whiten(&self, x: &mut Mat) {
        self.unscale(x);
        self.shrink(x);
    }

    /// X ← Γ⁻¹ X.
    pub(super) fn solve(&self, x: &mut Mat) {
        self.unscale(x);
        self.shrink(x);
        self.shrink(x);
        self.unscale(x);
    }

    /// X ← `D^½ (I + BBᵀ)^½` X: for equal D the principal root, else another one.
    pub(super) fn root(&self, x: &mut Mat) {
        self.stretch(x, |s| s * (s / (1.0 + s.hypot(1.0))));
        scale_rows(x, &self.d.iter().map(|d| d.sqrt()).collect::<Vec<_>>());
    }

    /// Γ itself, p × p.
    pub(super) fn to_dense(&self) -> Mat {
        let mut gamma = linalg::matmul_nt(&self.v, &self.v);
        (0..self.d.len()).for_each(|i| gamma[(i, i)] += self.d[i]);
        gamma
    }

    /// Numbers that are kept.
    pub(super) fn size(&self) -> usize {
        self.d.len() + self.v.data().len() + self.q.data().len()
    }
}

/// Γ = V Vᵀ with its pseudo-inverse: what lies outside the span of V has no weight.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Span {
    /// Orthonormal basis, p × rank
    u: Mat,
    /// Roots of the eigenvalues above `min(p, r) eps` of the largest
    sigma: Vec<f64>,
}

impl Span {
    /// The diagonal of V Vᵀ.
    pub(super) fn variances(&self) -> Vec<f64> {
        let one = |i: usize, j: usize| (self.u[(i, j)] * self.sigma[j]).powi(2);
        (0..self.u.nrows()).map(|i| (0..self.u.ncols()).map(|j| one(i, j)).sum()).collect()
    }

    /// These rows of Γ alone.
    pub(super) fn select(&self, rows: &[usize]) -> Result<Self, LinalgError> {
        Self::new(Mat::from_fn(rows.len(), self.u.ncols(), |i, j| self.u[(rows[i], j)] * self.sigma[j]))
    }

    /// From patterns V, p × r; V = 0 is `NotPositiveDefinite`.
    pub(super) fn new(v: Mat) -> Result<Self, LinalgError> {
        let Svd { u, s, .. } = linalg::thin_svd(&v)?;
        let least = s.first().copied().unwrap_or(0.0) * v.nrows().min(v.ncols()) as f64 * f64::EPSILON;
        let rank = s.iter().take_while(|&&s| s > least).count();
        if rank == 0 {
            return Err(LinalgError::NotPositiveDefinite);
        }
        Ok(Self { u: u.select_cols(&(0..rank).collect::<Vec<_>>()), sigma: s[..rank].to_vec() })
    }

    /// X ← U diag(f(σ)) Uᵀ X.
    fn apply(&self, x: &mut Mat, f: impl Fn(f64) -> f64) {
        let mut along = linalg::matmul_tn(&self.u, x);
        scale_rows(&mut along, &self.sigma.iter().map(|&s| f(s)).collect::<Vec<_>>());
        *x = linalg::matmul(&self.u, &along);
    }

    /// X ← W X, W the principal root of the pseudo-inverse.
    pub(super) fn whiten(&self, x: &mut Mat) {
        self.apply(x, |s| 1.0 / s);
    }

    /// X ← Γ⁺ X.
    pub(super) fn solve(&self, x: &mut Mat) {
        self.apply(x, |s| 1.0 / (s * s));
    }

    /// X ← Γ^½ X.
    pub(super) fn root(&self, x: &mut Mat) {
        self.apply(x, |s| s);
    }

    /// Γ + c I, c > 0, which has an inverse.
    pub(super) fn plus(&self, c: f64) -> Result<Spiked, LinalgError> {
        if c.is_nan() || c <= 0.0 {
            return Err(LinalgError::NotPositiveDefinite);
        }
        Spiked::new(vec![c; self.u.nrows()], self.patterns())
    }

    fn patterns(&self) -> Mat {
        Mat::from_fn(self.u.nrows(), self.sigma.len(), |i, j| self.u[(i, j)] * self.sigma[j])
    }

    /// Γ itself, p × p; what was below the rank is left out.
    pub(super) fn to_dense(&self) -> Mat {
        let v = self.patterns();
        linalg::matmul_nt(&v, &v)
    }

    /// Numbers that are kept.
    pub(super) fn size(&self) -> usize {
        self.u.data().len()
    }
}

/// Row i of X times `by[i]`.
pub(super) fn scale_rows(x: &mut Mat, by: &[f64]) {
    for j in 0..x.ncols() {
        x.col_mut(j).iter_mut().zip(by).for_each(|(x, by)| *x *= by);
    }
}

/// A shared value in a record: as the value itself.
pub(super) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Write what is shared.
    pub(in super::super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().serialize(to)
    }

    /// Read it; nobody else shares it yet.
    pub(in super::super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}
