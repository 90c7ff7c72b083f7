//! The covariance Γ of the observation noise: block by block, never p × p unless a block says so.
//!
//! Belongs here: applying Γ⁻¹ and square roots of Γ to columns. Not here: reading it from a file.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::explain::plain;
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};

/// Covariance of one block of the observation, (unit of the observation)².
#[derive(Debug, Clone, PartialEq)]
pub enum Covariance {
    /// The same variance for every row
    Scalar(f64),
    /// A variance for each row
    Diagonal(Vec<f64>),
    /// All of it
    Dense(Mat),
}

/// Why a block's covariance cannot be one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CovarianceError {
    /// Not as long as `y`
    #[error("`y` has {expected} values, the covariance {found}")]
    Length {
        /// Rows of the covariance
        found: usize,
        /// Rows of y
        expected: usize,
    },
    /// Not as wide as high
    #[error("the covariance is {rows} × {cols}, not square")]
    NotSquare {
        /// Rows
        rows: usize,
        /// Columns
        cols: usize,
    },
    /// NaN, infinity, or a variance that is not positive
    #[error("{} of row {row} is {}", if row == col { "the variance".to_owned() } else { format!("covariance {col}") }, plain(*found))]
    Entry {
        /// From 1
        row: usize,
        /// From 1
        col: usize,
        /// What stands there
        found: f64,
    },
    /// Two halves that differ
    #[error("the covariance is not symmetric: [{row}, {col}] is {found}, [{col}, {row}] is {other}")]
    Asymmetric {
        /// From 1
        row: usize,
        /// From 1
        col: usize,
        /// Entry at (row, col)
        found: f64,
        /// Entry at (col, row)
        other: f64,
    },
    /// No Cholesky factor, or one that rounding decides
    #[error("the covariance is not positive definite")]
    NotPositiveDefinite,
}

impl Covariance {
    /// Whether this can be the covariance of `rows` numbers; positive definiteness shows when it is factored.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self, rows: usize) -> Result<(), CovarianceError> {
        let variance = |row: usize, found: f64| {
            let good = found.is_finite() && found > 0.0;
            if good { Ok(()) } else { Err(CovarianceError::Entry { row: row + 1, col: row + 1, found }) }
        };
        match self {
            Self::Scalar(s) => variance(0, *s),
            Self::Diagonal(d) if d.len() != rows => {
                Err(CovarianceError::Length { found: d.len(), expected: rows })
            }
            Self::Diagonal(d) => d.iter().enumerate().try_for_each(|(i, &s)| variance(i, s)),
            Self::Dense(c) if c.nrows() != c.ncols() => {
                Err(CovarianceError::NotSquare { rows: c.nrows(), cols: c.ncols() })
            }
            Self::Dense(c) if c.nrows() != rows => {
                Err(CovarianceError::Length { found: c.nrows(), expected: rows })
            }
            Self::Dense(c) => {
                (0..rows).try_for_each(|i| variance(i, c[(i, i)]))?;
                for j in 0..rows {
                    for i in 0..rows {
                        let (found, other) = (c[(i, j)], c[(j, i)]);
                        let (row, col) = (i + 1, j + 1);
                        if !found.is_finite() {
                            return Err(CovarianceError::Entry { row, col, found });
                        }
                        // Files with ten digits are symmetric to that; a wrong entry is further off.
                        if (found - other).abs() > 1e-10 * (c[(i, i)] * c[(j, j)]).sqrt() {
                            return Err(CovarianceError::Asymmetric { row, col, found, other });
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

/// Γ over the rows that were observed.
#[derive(Debug, Clone, Default)]
pub struct Noise {
    rows: usize,
    pieces: Vec<Piece>,
}

/// Rows whose noise is independent of all other rows'.
#[derive(Debug, Clone)]
struct Piece {
    rows: Range<usize>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Standard deviation of each row
    Diagonal(Vec<f64>),
    /// All of it, with its factors
    Dense(Arc<Dense>),
}

#[derive(Debug)]
struct Dense {
    matrix: Mat,
    factor: Cholesky,
    /// Principal root, made when first asked for
    root: OnceLock<Mat>,
}

impl Dense {
    fn new(matrix: Mat) -> Result<Self, LinalgError> {
        let factor = Cholesky::new(&matrix)?;
        // A pivot of the size of rounding would be pure rounding: 10 n eps.
        let least = 10.0 * f64::EPSILON * matrix.nrows() as f64;
        if factor.least_pivot() <= least {
            return Err(LinalgError::NotPositiveDefinite);
        }
        Ok(Self { matrix, factor, root: OnceLock::new() })
    }

    fn root(&self) -> Result<&Mat, LinalgError> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let root = linalg::symmetric_root(&self.matrix)?;
        Ok(self.root.get_or_init(|| root))
    }
}

impl Noise {
    /// Append a block of which only `rows` (indices within it) are observed.
    ///
    /// # Errors
    /// `NotPositiveDefinite` when those rows of a dense covariance have no factor.
    pub fn push(&mut self, covariance: &Covariance, rows: &[usize]) -> Result<(), CovarianceError> {
        let form = match covariance {
            Covariance::Scalar(s) => Form::Diagonal(vec![s.sqrt(); rows.len()]),
            Covariance::Diagonal(d) => Form::Diagonal(rows.iter().map(|&i| d[i].sqrt()).collect()),
            Covariance::Dense(c) => {
                let even = |a: usize, b: usize| 0.5 * (c[(a, b)] + c[(b, a)]);
                let part = Mat::from_fn(rows.len(), rows.len(), |i, j| even(rows[i], rows[j]));
                let dense = Dense::new(part).map_err(|_| CovarianceError::NotPositiveDefinite)?;
                Form::Dense(Arc::new(dense))
            }
        };
        self.append(form, rows.len());
        Ok(())
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

    /// Rows cut into ranges that [`Noise::whiten_rows`] takes: at most `limit` rows each, but a dense block is whole.
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
            Form::Dense(_) => None,
        }
    }

    /// X ← W X for the rows of one panel, WᵀW = Γ⁻¹: in these units the noise is N(0, I).
    pub fn whiten_rows(&self, panel: &Range<usize>, x: &mut Mat) {
        match (&self.piece(panel).form, self.weights(panel)) {
            (Form::Dense(dense), _) => dense.factor.half_solve(x),
            (Form::Diagonal(_), weights) => scale_rows(x, &weights.unwrap_or_default()),
        }
    }

    fn piece(&self, panel: &Range<usize>) -> &Piece {
        let holds = |piece: &&Piece| piece.rows.contains(&panel.start);
        self.pieces.iter().find(holds).expect("a panel lies within one piece")
    }

    /// X ← W X, WᵀW = Γ⁻¹ (diagonal: one over the standard deviation; dense: L⁻¹ of Γ = L Lᵀ). X is p × n.
    pub fn whiten(&self, x: &mut Mat) {
        self.each_piece(x, |piece, part| self.whiten_rows(&piece.rows, part));
    }

    /// X ← Γ⁻¹ X.
    pub fn solve(&self, x: &mut Mat) {
        self.each_piece(x, |piece, part| match &piece.form {
            Form::Diagonal(sd) => {
                scale_rows(part, &sd.iter().map(|sd| 1.0 / (sd * sd)).collect::<Vec<f64>>())
            }
            Form::Dense(dense) => dense.factor.solve(part),
        });
    }

    /// Ξ ← Γ^½ Ξ with the principal (symmetric) root: standard normals become noise.
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
                    let mut matrix = dense.matrix.clone();
                    (0..rows.len()).for_each(|i| matrix[(i, i)] += c);
                    Form::Dense(Arc::new(Dense::new(matrix)?))
                }
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
        let mut wanted = wanted.iter().copied().peekable();
        for Piece { rows, form } in &self.pieces {
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
                Form::Dense(dense) => {
                    let entry = |i: usize, j: usize| dense.matrix[(own[i], own[j])];
                    Form::Dense(Arc::new(Dense::new(Mat::from_fn(own.len(), own.len(), entry))?))
                }
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
        other.pieces.iter().for_each(|piece| both.append(piece.form.clone(), piece.rows.len()));
        both
    }

    /// Γ as a matrix: for tests, and for p of a few hundred.
    pub fn to_dense(&self) -> Mat {
        let mut gamma = Mat::zeros(self.rows, self.rows);
        for Piece { rows, form } in &self.pieces {
            for (j, col) in rows.clone().enumerate() {
                for (i, row) in rows.clone().enumerate() {
                    gamma[(row, col)] = match form {
                        Form::Diagonal(sd) if i == j => sd[i] * sd[i],
                        Form::Diagonal(_) => 0.0,
                        Form::Dense(dense) => dense.matrix[(i, j)],
                    };
                }
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

fn scale_rows(x: &mut Mat, by: &[f64]) {
    for j in 0..x.ncols() {
        x.col_mut(j).iter_mut().zip(by).for_each(|(x, by)| *x *= by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::{matmul, matmul_tn};

    fn mixed() -> Noise {
        let dense = Mat::from_columns(2, 2, vec![2.0, 0.6, 0.6, 1.0]);
        let mut noise = Noise::default();
        noise.push(&Covariance::Scalar(0.25), &[0, 1, 2]).unwrap();
        noise.push(&Covariance::Diagonal(vec![9.0, 16.0]), &[1]).unwrap();
        noise.push(&Covariance::Dense(dense), &[0, 1]).unwrap();
        noise
    }

    #[test]
    fn all_ways_of_applying_the_noise_agree_with_the_dense_matrix() {
        let noise = mixed();
        let gamma = noise.to_dense();
        assert_eq!((noise.len(), gamma[(3, 3)], gamma[(4, 5)]), (6, 16.0, 0.6));
        let near = |a: &Mat, b: &Mat| {
            a.data().iter().zip(b.data()).for_each(|(a, b)| assert!((a - b).abs() < 1e-14, "{a} {b}"));
        };
        let mut inverse = Mat::identity(6);
        noise.solve(&mut inverse);
        near(&matmul(&gamma, &inverse), &Mat::identity(6));
        let mut white = Mat::identity(6);
        noise.whiten(&mut white);
        near(&matmul_tn(&white, &white), &inverse);
        let mut root = Mat::identity(6);
        noise.root(&mut root).unwrap();
        near(&matmul(&root, &root), &gamma);
        near(&root, &root.transpose());
        assert_eq!(noise.plus(0.5).unwrap().to_dense()[(4, 4)], 2.5);
    }

    #[test]
    fn some_rows_have_the_sub_block() {
        let (noise, rows) = (mixed(), [0, 2, 3, 5]);
        let whole = noise.to_dense();
        let part = noise.select(&rows).unwrap();
        assert_eq!(part.to_dense(), Mat::from_fn(4, 4, |i, j| whole[(rows[i], rows[j])]));
        assert_eq!(noise.select(&[0, 1, 2, 3, 4, 5]).unwrap().to_dense(), whole);
        assert!(noise.select(&[]).unwrap().is_empty());
        let two = noise.then(&part).to_dense();
        assert_eq!((two.nrows(), two[(4, 5)], two[(9, 9)], two[(5, 9)]), (10, 0.6, 1.0, 0.0));
    }

    #[test]
    fn panels_cover_all_rows_and_keep_dense_blocks_whole() {
        let noise = mixed();
        assert_eq!(noise.panels(3), [0..3, 3..4, 4..6]);
        assert_eq!(noise.panels(1).len(), 5);
    }

    #[test]
    fn what_is_no_covariance_is_refused() {
        let dense = |data: [f64; 4]| Covariance::Dense(Mat::from_columns(2, 2, data.to_vec()));
        assert!(matches!(Covariance::Scalar(0.0).check(3), Err(CovarianceError::Entry { .. })));
        assert!(matches!(Covariance::Diagonal(vec![1.0]).check(2), Err(CovarianceError::Length { .. })));
        let nan = Covariance::Diagonal(vec![1.0, f64::NAN]).check(2);
        assert!(matches!(nan, Err(CovarianceError::Entry { row: 2, .. })));
        assert!(matches!(dense([1.0, 0.5, 0.4, 1.0]).check(2), Err(CovarianceError::Asymmetric { .. })));
        let singular = dense([1.0, 1.0, 1.0, 1.0]);
        singular.check(2).unwrap();
        let refused = Noise::default().push(&singular, &[0, 1]);
        assert_eq!(refused, Err(CovarianceError::NotPositiveDefinite));
        // One row of it alone is fine.
        Noise::default().push(&singular, &[1]).unwrap();
    }
}
