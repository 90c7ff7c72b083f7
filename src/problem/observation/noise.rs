//! The covariance Γ of the observation noise: block by block, never p × p unless a block says so.
//!
//! Belongs here: applying Γ⁻¹ and square roots of Γ to columns. Not here: reading it from a file.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::factors::{Dense, Span, Spiked, scale_rows, shared};
use super::{Covariance, CovarianceError};
use crate::numerics::linalg;
use crate::numerics::{LinalgError, Mat, Triangle};

/// Γ over the rows that were observed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Noise {
    rows: usize,
    pieces: Vec<Piece>,
}

/// Rows whose noise is independent of all other rows'.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Piece {
    rows: Range<usize>,
    form: Form,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Form {
    /// Standard deviation of each row
    Diagonal(Vec<f64>),
    /// All of it, with its factors
    Dense(#[serde(with = "shared")] Arc<Dense>),
    /// D + V Vᵀ
    Spiked(#[serde(with = "shared")] Arc<Spiked>),
    /// V Vᵀ with its pseudo-inverse
    Span(#[serde(with = "shared")] Arc<Span>),
}

impl Noise {
    /// Append a block of which only `rows` (indices within it) are observed.
    ///
    /// # Errors
    /// `NotPositiveDefinite` when those rows of a dense covariance have no factor.
    pub fn push(&mut self, covariance: &Covariance, rows: &[usize]) -> Result<(), CovarianceError> {
        if rows.is_empty() {
            return Ok(());
        }
        let singular = |_| CovarianceError::NotPositiveDefinite;
        let form = match covariance {
            Covariance::Scalar(s) => Form::Diagonal(vec![s.sqrt(); rows.len()]),
            Covariance::Diagonal(d) => Form::Diagonal(rows.iter().map(|&i| d[i].sqrt()).collect()),
            Covariance::Dense(c) => {
                Form::Dense(Arc::new(Dense::new(Triangle::even_part(c, rows)).map_err(singular)?))
            }
            // A part of these matrices is made of the same rows of their factors.
            Covariance::Spiked { d, v } => {
                let d = rows.iter().map(|&i| d[i]).collect();
                Form::Spiked(Arc::new(Spiked::new(d, select_rows(v, rows)).map_err(singular)?))
            }
            Covariance::Span(v) => Form::Span(Arc::new(Span::new(select_rows(v, rows)).map_err(singular)?)),
            // The part of Γ is wanted, not that of its inverse.
            Covariance::Precision { d, r } => {
                let (d, v) = inverse(d, r).map_err(singular)?;
                return self.push(&Covariance::Spiked { d, v }, rows);
            }
        };
        self.append(form, rows.len());
        Ok(())
    }

    /// Rows of `other` below: independent of these.
    pub fn join(&mut self, other: &Self) {
        for Piece { rows, form } in &other.pieces {
            self.append(form.clone(), rows.len());
        }
    }

    /// Numbers that all factors hold.
    pub fn size(&self) -> usize {
        let one = |piece: &Piece| match &piece.form {
            Form::Diagonal(sd) => sd.len(),
            Form::Dense(_) => piece.rows.len() * piece.rows.len(),
            Form::Spiked(spiked) => spiked.size(),
            Form::Span(span) => span.size(),
        };
        self.pieces.iter().map(one).sum()
    }

    /// Independent rows of variance 1.
    pub fn identity(rows: usize) -> Self {
        let mut noise = Self::default();
        noise.append(Form::Diagonal(vec![1.0; rows]), rows);
        noise
    }

    fn append(&mut self, form: Form, n: usize) {
        let rows = self.rows..self.rows + n;
        self.rows = rows.end;
        if n == 0 {
            return;
        }
        match (self.pieces.last_mut(), form) {
            // Neighbouring diagonals are one: a hundred short blocks cost as much as a long one.
            (Some(Piece { rows: before, form: Form::Diagonal(sd) }), Form::Diagonal(more)) => {
                before.end = rows.end;
                sd.extend(more);
            }
            (_, form) => self.pieces.push(Piece { rows, form }),
        }
    }

    /// Rows, p.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// No rows at all.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Rows cut into ranges that [`Noise::whiten_rows`] takes: at most `limit` rows each, but a dense or low-rank block is whole.
    pub fn panels(&self, limit: usize) -> Vec<Range<usize>> {
        let mut panels = Vec::new();
        for Piece { rows, form } in &self.pieces {
            let step = if matches!(form, Form::Diagonal(_)) { limit } else { rows.len() };
            panels.extend(rows.clone().step_by(step).map(|from| from..(from + step).min(rows.end)));
        }
        panels
    }

    /// One over the standard deviation of each row of a panel, where these rows are independent.
    pub fn weights(&self, panel: &Range<usize>) -> Option<Vec<f64>> {
        let piece = self.piece(panel);
        match &piece.form {
            Form::Diagonal(sd) => {
                let at = panel.start - piece.rows.start;
                Some(sd[at..at + panel.len()].iter().map(|sd| 1.0 / sd).collect())
            }
            Form::Dense(_) | Form::Spiked(_) | Form::Span(_) => None,
        }
    }

    /// X ← W X for the rows of one panel, WᵀW = Γ⁻¹: in these units the noise is N(0, I).
    pub fn whiten_rows(&self, panel: &Range<usize>, x: &mut Mat) {
        match (&self.piece(panel).form, self.weights(panel)) {
            (Form::Dense(dense), _) => dense.half_solve(x),
            (Form::Spiked(spiked), _) => spiked.whiten(x),
            (Form::Span(span), _) => span.whiten(x),
            (Form::Diagonal(_), weights) => scale_rows(x, &weights.unwrap_or_default()),
        }
    }

    fn piece(&self, panel: &Range<usize>) -> &Piece {
        let at = self.pieces.partition_point(|piece| piece.rows.end <= panel.start);
        self.pieces.get(at).expect("a panel lies within one piece")
    }

    /// X ← W X, WᵀW = Γ⁻¹ (diagonal: one over the standard deviation; dense: L⁻¹ of Γ = L Lᵀ; low rank: see
    /// [`Spiked`], [`Span`]). X is p × n.
    pub fn whiten(&self, x: &mut Mat) {
        self.each_piece(x, |piece, part| self.whiten_rows(&piece.rows, part));
    }

    /// X ← Γ⁻¹ X.
    pub fn solve(&self, x: &mut Mat) {
        self.each_piece(x, |piece, part| match &piece.form {
            Form::Diagonal(sd) => {
                scale_rows(part, &sd.iter().map(|sd| 1.0 / (sd * sd)).collect::<Vec<f64>>())
            }
            Form::Dense(dense) => dense.solve(part),
            Form::Spiked(spiked) => spiked.solve(part),
            Form::Span(span) => span.solve(part),
        });
    }

    /// Ξ ← Γ^½ Ξ: standard normals become noise. The root is the principal (symmetric) one, but for D + V Vᵀ
    /// with unequal D, where it is `D^½ (I + B Bᵀ)^½`: the same law, linear in p.
    ///
    /// # Errors
    /// `NoConvergence` of the eigendecomposition of a dense block.
    pub fn root(&self, xi: &mut Mat) -> Result<(), LinalgError> {
        let mut result = Ok(());
        self.each_piece(xi, |piece, part| match &piece.form {
            Form::Diagonal(sd) => scale_rows(part, sd),
            Form::Dense(dense) => match dense.root() {
                Ok(root) => *part = linalg::matmul(root, part),
                Err(error) => result = Err(error),
            },
            Form::Spiked(spiked) => spiked.root(part),
            Form::Span(span) => span.root(part),
        });
        result
    }

    /// Γ + c I.
    ///
    /// # Errors
    /// `NotPositiveDefinite` for a c below zero.
    pub fn plus(&self, c: f64) -> Result<Self, LinalgError> {
        let mut sum = Self::default();
        for Piece { rows, form } in &self.pieces {
            let form = match form {
                Form::Diagonal(sd) => Form::Diagonal(sd.iter().map(|sd| (sd * sd + c).sqrt()).collect()),
                Form::Dense(dense) => {
                    let mut matrix = dense.matrix().clone();
                    matrix.add_to_diagonal(c);
                    Form::Dense(Arc::new(Dense::new(matrix)?))
                }
                Form::Spiked(spiked) => Form::Spiked(Arc::new(spiked.plus(c)?)),
                Form::Span(span) if c == 0.0 => Form::Span(Arc::clone(span)),
                Form::Span(span) => Form::Spiked(Arc::new(span.plus(c)?)),
            };
            sum.append(form, rows.len());
        }
        Ok(sum)
    }

    /// The noise of some rows alone (positions, ascending): the sub-block of Γ, not of its inverse.
    ///
    /// # Errors
    /// `NotPositiveDefinite` when rounding leaves those rows of a dense block without a factor.
    pub fn select(&self, wanted: &[usize]) -> Result<Self, LinalgError> {
        let mut part = Self::default();
        let begin =
            wanted.first().map_or(0, |row| self.pieces.partition_point(|piece| piece.rows.end <= *row));
        let mut wanted = wanted.iter().copied().peekable();
        for Piece { rows, form } in &self.pieces[begin..] {
            if wanted.peek().is_none() {
                break;
            }
            let mut own: Vec<usize> = Vec::new();
            while let Some(row) = wanted.next_if(|row| rows.contains(row)) {
                own.push(row - rows.start);
            }
            if own.is_empty() {
                continue;
            }
            let form = match form {
                Form::Diagonal(sd) => Form::Diagonal(own.iter().map(|&i| sd[i]).collect()),
                Form::Dense(dense) if own.len() == rows.len() => Form::Dense(Arc::clone(dense)),
                Form::Dense(dense) => Form::Dense(Arc::new(Dense::new(dense.matrix().select(&own))?)),
                Form::Spiked(spiked) => Form::Spiked(Arc::new(spiked.select(&own)?)),
                Form::Span(span) => Form::Span(Arc::new(span.select(&own)?)),
            };
            part.append(form, own.len());
        }
        assert!(wanted.next().is_none(), "rows to select are ascending and exist");
        Ok(part)
    }

    /// These rows, and below them the rows of another noise that is independent of it.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.join(other);
        both
    }

    /// The diagonal of Γ, p numbers.
    pub fn variances(&self) -> Vec<f64> {
        let part = |piece: &Piece| match &piece.form {
            Form::Diagonal(sd) => sd.iter().map(|s| s * s).collect(),
            Form::Dense(dense) => dense.matrix().diagonal().collect(),
            Form::Spiked(spiked) => spiked.variances(),
            Form::Span(span) => span.variances(),
        };
        self.pieces.iter().flat_map(part).collect::<Vec<f64>>()
    }

    /// Γ as a matrix: for tests, and for p of a few hundred.
    pub fn to_dense(&self) -> Mat {
        let mut gamma = Mat::zeros(self.rows, self.rows);
        for Piece { rows, form } in &self.pieces {
            let part = match form {
                Form::Diagonal(sd) => {
                    Mat::from_fn(sd.len(), sd.len(), |i, j| if i == j { sd[i] * sd[i] } else { 0.0 })
                }
                Form::Dense(dense) => dense.matrix().symmetric(),
                Form::Spiked(spiked) => spiked.to_dense(),
                Form::Span(span) => span.to_dense(),
            };
            for (j, col) in rows.clone().enumerate() {
                gamma.col_mut(col)[rows.clone()].copy_from_slice(part.col(j));
            }
        }
        gamma
    }

    /// Hand each piece its rows of X, and put them back.
    fn each_piece(&self, x: &mut Mat, mut work: impl FnMut(&Piece, &mut Mat)) {
        assert_eq!(x.nrows(), self.rows, "noise and array have the same rows");
        for piece in &self.pieces {
            if piece.rows.len() == self.rows {
                work(piece, x);
                continue;
            }
            let mut part = Mat::from_fn(piece.rows.len(), x.ncols(), |i, j| x[(piece.rows.start + i, j)]);
            work(piece, &mut part);
            for j in 0..x.ncols() {
                x.col_mut(j)[piece.rows.clone()].copy_from_slice(part.col(j));
            }
        }
    }
}

fn select_rows(v: &Mat, rows: &[usize]) -> Mat {
    Mat::from_fn(rows.len(), v.ncols(), |i, j| v[(rows[i], j)])
}

/// `(D − R Rᵀ)⁻¹ = D⁻¹ + V Vᵀ` with `V = D⁻¹ R L⁻ᵀ`, `L Lᵀ = I − Rᵀ D⁻¹ R` (Sherman, Morrison, Woodbury).
pub(super) fn inverse(d: &[f64], r: &Mat) -> Result<(Vec<f64>, Mat), LinalgError> {
    let mut scaled = r.clone();
    scale_rows(&mut scaled, &d.iter().map(|d| 1.0 / d).collect::<Vec<_>>());
    let mut inner = linalg::matmul_tn(r, &scaled);
    for j in 0..inner.ncols() {
        inner.col_mut(j).iter_mut().for_each(|x| *x = -*x);
        inner[(j, j)] += 1.0;
    }
    let factor = linalg::Cholesky::new(&inner)?;
    let mut v = scaled.transpose(); // r × p
    factor.half_solve(&mut v);
    Ok((d.iter().map(|d| 1.0 / d).collect(), v.transpose()))
}

#[cfg(test)]
mod tests;
