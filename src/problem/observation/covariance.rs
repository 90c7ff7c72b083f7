//! What a person may say about the noise of one block: the covariance in one of its forms.
//!
//! Belongs here: the forms, and what makes numbers no covariance. Not here: reading them from a file, using them
//! (`noise`), the ways between forms (`samples`).

use crate::explain::plain;
use crate::numerics::Mat;

/// Covariance of one block of the observation, (unit of the observation)².
#[derive(Debug, Clone, PartialEq)]
pub enum Covariance {
    /// The same variance for every row
    Scalar(f64),
    /// A variance for each row
    Diagonal(Vec<f64>),
    /// All of it
    Dense(Mat),
    /// D + V Vᵀ: a few patterns that covary and noise of each row by itself
    Spiked {
        /// Variances D of each row by itself, above 0
        d: Vec<f64>,
        /// Patterns, rows × r; U √S of U S Uᵀ
        v: Mat,
    },
    /// V Vᵀ alone, which has no inverse: its pseudo-inverse is used, residuals outside the patterns have no weight
    Span(Mat),
    /// The inverse is D − R Rᵀ
    Precision {
        /// One over a variance for each row, above 0
        d: Vec<f64>,
        /// R, rows × r
        r: Mat,
    },
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
    /// An entry of a factor that is no number
    #[error("number {col} of row {row} is {}", plain(*found))]
    Pattern {
        /// From 1
        row: usize,
        /// From 1
        col: usize,
        /// What stands there
        found: f64,
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
            Self::Spiked { d, v } | Self::Precision { d, r: v } => {
                Self::Diagonal(d.clone()).check(rows)?;
                patterns(v, rows)
            }
            Self::Span(v) => patterns(v, rows),
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

/// A factor with as many rows as there are values, all of them finite.
fn patterns(v: &Mat, rows: usize) -> Result<(), CovarianceError> {
    if v.nrows() != rows {
        return Err(CovarianceError::Length { found: v.nrows(), expected: rows });
    }
    for j in 0..v.ncols() {
        if let Some(i) = v.col(j).iter().position(|x| !x.is_finite()) {
            return Err(CovarianceError::Pattern { row: i + 1, col: j + 1, found: v[(i, j)] });
        }
    }
    Ok(())
}
