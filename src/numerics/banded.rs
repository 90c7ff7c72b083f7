//! Symmetric positive definite systems with a band: grids of cells coupled to their neighbours.

use super::LinalgError;

/// The lower half of a symmetric n × n matrix with entries within `width` of the diagonal; then its Cholesky factor.
#[derive(Debug, Clone)]
pub struct Banded {
    width: usize,
    /// Row by row: entries (i, i − width) to (i, i)
    rows: Vec<f64>,
    n: usize,
}

impl Banded {
    /// All zeros.
    pub fn zeros(n: usize, width: usize) -> Self {
        Self { width, rows: vec![0.0; n * (width + 1)], n }
    }

    /// Entry (i, j) for j ≤ i ≤ j + width.
    pub fn entry(&mut self, i: usize, j: usize) -> &mut f64 {
        assert!(j <= i && i - j <= self.width && i < self.n, "an entry lies in the lower band");
        &mut self.rows[i * (self.width + 1) + self.width + j - i]
    }

    /// x with A x = b; A is used up: n width² operations.
    ///
    /// # Errors
    /// `NotPositiveDefinite`.
    pub fn solve(mut self, b: &[f64]) -> Result<Vec<f64>, LinalgError> {
        let (n, w) = (self.n, self.width);
        assert_eq!(b.len(), n, "a right side has as many rows as the matrix");
        let mut x = b.to_vec();
        for i in 0..n {
            let first = i.saturating_sub(w);
            let (above, row) = self.rows.split_at_mut(i * (w + 1));
            let row = &mut row[..=w];
            for j in first..i {
                // Columns that row j has, too
                let from = first.max(j.saturating_sub(w));
                let other = &above[j * (w + 1)..(j + 1) * (w + 1)];
                let (a, b) = (&row[w + from - i..w + j - i], &other[w + from - j..w]);
                let dot: f64 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                row[w + j - i] = (row[w + j - i] - dot) / other[w];
            }
            let part = &row[w + first - i..w];
            let pivot = row[w] - part.iter().map(|l| l * l).sum::<f64>();
            if pivot.is_nan() || pivot <= 0.0 {
                return Err(LinalgError::NotPositiveDefinite);
            }
            let dot: f64 = part.iter().zip(&x[first..i]).map(|(l, x)| l * x).sum();
            row[w] = pivot.sqrt();
            x[i] = (x[i] - dot) / row[w];
        }
        for i in (0..n).rev() {
            let row = &self.rows[i * (w + 1)..(i + 1) * (w + 1)];
            x[i] /= row[w];
            let (value, first) = (x[i], i.saturating_sub(w));
            x[first..i].iter_mut().zip(&row[w + first - i..w]).for_each(|(x, l)| *x -= l * value);
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::Mat;
    use crate::numerics::linalg::Cholesky;

    #[test]
    fn a_banded_system_has_the_solution_of_the_full_one() {
        for (n, width) in [(1, 0), (6, 2), (20, 4), (5, 7)] {
            let entry = |i: usize, j: usize| match i.abs_diff(j) {
                0 => 4.0 + i as f64,
                d if d <= width => -1.0 / (1.0 + d as f64 + (i + j) as f64 * 0.1),
                _ => 0.0,
            };
            let full = Mat::from_fn(n, n, entry);
            let mut banded = Banded::zeros(n, width);
            (0..n)
                .for_each(|i| (i.saturating_sub(width)..=i).for_each(|j| *banded.entry(i, j) = entry(i, j)));
            let b: Vec<f64> = (0..n).map(|i| (i as f64 * 1.3).cos()).collect();
            let want = Cholesky::new(&full).unwrap().solve_vec(&b);
            let got = banded.solve(&b).unwrap();
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-14), "{n} {width}");
        }
        let mut indefinite = Banded::zeros(2, 1);
        *indefinite.entry(0, 0) = 1.0;
        *indefinite.entry(1, 0) = 2.0;
        *indefinite.entry(1, 1) = 1.0;
        assert_eq!(indefinite.solve(&[1.0, 1.0]), Err(LinalgError::NotPositiveDefinite));
    }
}
