//! A dense matrix of doubles, columns one after the other.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::pages;

/// A dense matrix in column-major order. An ensemble holds one member per column.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Mat {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

/// A matrix as a file has it: its numbers may be more or fewer than rows times columns.
#[derive(Deserialize)]
struct Unchecked {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

/// Most rows or columns of a matrix without numbers. No file is too small to claim more, and whoever walks along them
/// would not come back.
const LONGEST_EMPTY: usize = 1 << 20;

impl TryFrom<Unchecked> for Mat {
    type Error = String;
    fn try_from(Unchecked { rows, cols, data }: Unchecked) -> Result<Self, String> {
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(format!("{} numbers for a matrix of {rows} × {cols}", data.len()));
        }
        if rows.max(cols) > LONGEST_EMPTY && data.is_empty() {
            return Err(format!("a matrix of {rows} × {cols} has no numbers"));
        }
        Ok(Self { rows, cols, data })
    }
}

impl Mat {
    /// All zeros; of a large matrix, in large pages where the system has them.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        let mut data = vec![0.0; rows * cols];
        pages::ask_large(&mut data);
        Self { rows, cols, data }
    }

    /// The identity.
    pub fn identity(n: usize) -> Self {
        Self::from_fn(n, n, |i, j| f64::from(u8::from(i == j)))
    }

    /// Entry by entry.
    pub fn from_fn(rows: usize, cols: usize, mut entry: impl FnMut(usize, usize) -> f64) -> Self {
        let mut data = Vec::with_capacity(rows * cols);
        for j in 0..cols {
            for i in 0..rows {
                data.push(entry(i, j));
            }
        }
        Self { rows, cols, data }
    }

    /// From columns laid one after the other; `data` has `rows * cols` entries.
    pub fn from_columns(rows: usize, cols: usize, data: Vec<f64>) -> Self {
        assert_eq!(data.len(), rows * cols, "a matrix has rows times columns entries");
        Self { rows, cols, data }
    }

    /// Number of rows.
    pub fn nrows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn ncols(&self) -> usize {
        self.cols
    }

    /// One column.
    pub fn col(&self, j: usize) -> &[f64] {
        &self.data[j * self.rows..(j + 1) * self.rows]
    }

    /// One column, to write.
    pub fn col_mut(&mut self, j: usize) -> &mut [f64] {
        &mut self.data[j * self.rows..(j + 1) * self.rows]
    }

    /// All entries, column by column.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// All entries, to write.
    pub fn data_mut(&mut self) -> &mut [f64] {
        &mut self.data
    }

    /// All entries, column by column, for other use.
    pub fn into_data(self) -> Vec<f64> {
        self.data
    }

    /// Rows become columns.
    pub fn transpose(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |i, j| self[(j, i)])
    }

    /// Only the columns named, in that order.
    pub fn select_cols(&self, columns: &[usize]) -> Self {
        let mut data = Vec::with_capacity(self.rows * columns.len());
        for &j in columns {
            data.extend_from_slice(self.col(j));
        }
        Self { rows: self.rows, cols: columns.len(), data }
    }

    /// Mean of the columns.
    pub fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.rows];
        for j in 0..self.cols {
            for (m, x) in mean.iter_mut().zip(self.col(j)) {
                *m += x;
            }
        }
        let n = self.cols as f64;
        mean.iter_mut().for_each(|m| *m /= n);
        mean
    }

    /// No NaN, no infinity.
    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|x| x.is_finite())
    }
}

impl From<Mat> for Cow<'_, Mat> {
    fn from(owned: Mat) -> Self {
        Self::Owned(owned)
    }
}

impl<'a> From<&'a Mat> for Cow<'a, Mat> {
    fn from(lent: &'a Mat) -> Self {
        Self::Borrowed(lent)
    }
}

impl std::ops::Index<(usize, usize)> for Mat {
    type Output = f64;
    fn index(&self, (i, j): (usize, usize)) -> &f64 {
        debug_assert!(i < self.rows);
        &self.data[j * self.rows + i]
    }
}

impl std::ops::IndexMut<(usize, usize)> for Mat {
    fn index_mut(&mut self, (i, j): (usize, usize)) -> &mut f64 {
        debug_assert!(i < self.rows);
        &mut self.data[j * self.rows + i]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_cannot_claim_a_matrix_that_it_does_not_hold() {
        let read = |rows: usize, cols: usize, data: &[f64]| {
            let text = format!("{{\"rows\": {rows}, \"cols\": {cols}, \"data\": {data:?}}}");
            serde_json::from_str::<Mat>(&text)
        };
        assert_eq!(read(1, 2, &[3.0, 4.0]).unwrap(), Mat::from_columns(1, 2, vec![3.0, 4.0]));
        assert_eq!(read(0, 20, &[]).unwrap(), Mat::zeros(0, 20));
        assert!(read(2, 2, &[3.0]).is_err());
        assert!(read(usize::MAX, 2, &[3.0]).is_err());
        for (rows, cols) in [(0, 1 << 60), (1 << 60, 0)] {
            let told = read(rows, cols, &[]).unwrap_err().to_string();
            assert!(told.contains("has no numbers"), "{told}");
        }
    }
}
