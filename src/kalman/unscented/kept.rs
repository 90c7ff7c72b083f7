//! What an unscented method remembers between steps, and how it predicts from it.
//!
//! Belongs here: mean and covariance after the last data, the evolution that widens them, the next points.
//! Not here: what the data do to them.

use super::sigma::Scheme;
use crate::numerics::Mat;
use crate::numerics::columns;
use crate::numerics::linalg::{self, Cholesky};
use crate::problem::{AlgorithmError, State};

/// Eigenvalues below this share of the largest are raised to it where rounding left no Cholesky factor.
const FLOOR: f64 = 1e-10;

/// Mean, covariance and their evolution.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// μ, d: after the last data
    pub mean: Vec<f64>,
    /// P, d × d
    pub covariance: Mat,
    /// Q, d × d: what a step of 1 adds
    pub evolution: Mat,
    /// r, d: where α < 1 pulls
    pub reference: Vec<f64>,
    /// Predictions so far
    pub count: u32,
}

const MEAN: &str = "unscented_mean";
const COVARIANCE: &str = "unscented_covariance";
const EVOLUTION: &str = "unscented_evolution";
const REFERENCE: &str = "unscented_reference";
const COUNT: &str = "unscented_predictions";

impl Kept {
    /// Before any data: the prior N(m, C₀), `Q = (2 − α²) C₀`.
    pub fn new(m: Vec<f64>, c0: Mat, alpha: f64) -> Self {
        let evolution = scaled(&c0, 2.0 - alpha * alpha);
        Self { mean: m.clone(), covariance: c0, evolution, reference: m, count: 0 }
    }

    /// As kept between calls, by d parameters together.
    ///
    /// # Errors
    /// `State` when an entry is missing; `Shape` when one is not of d parameters.
    pub fn read(state: &State, d: usize) -> Result<Self, AlgorithmError> {
        Self::read_parts(state, &[(0..d).collect()]).map(|mut all| all.remove(0))
    }

    /// As kept between calls, by each of these parts of the parameters: a row of an array has the numbers of its
    /// part side by side.
    ///
    /// # Errors
    /// `State` when an entry is missing; `Shape` when one is not of these parts.
    pub fn read_parts(state: &State, parts: &[Vec<usize>]) -> Result<Vec<Self>, AlgorithmError> {
        let (d, widest) = (parts.iter().map(Vec::len).sum(), parts.iter().map(Vec::len).max().unwrap_or(0));
        let lacks = |key: &str| AlgorithmError::State { key: key.to_owned() };
        let array = |key: &'static str, cols: usize| {
            let found = state.arrays.get(key).ok_or_else(|| lacks(key))?;
            if (found.nrows(), found.ncols()) == (d, cols) {
                Ok(found)
            } else {
                Err(AlgorithmError::Shape { what: key, found: found.nrows(), expected: d })
            }
        };
        let count = state.scalars.get(COUNT).copied().ok_or_else(|| lacks(COUNT))?;
        let (mean, covariance) = (array(MEAN, 1)?, array(COVARIANCE, widest)?);
        let (evolution, reference) = (array(EVOLUTION, widest)?, array(REFERENCE, 1)?);
        let part = |rows: &Vec<usize>| {
            let column = |x: &Mat| rows.iter().map(|&row| x[(row, 0)]).collect();
            let square = |a: &Mat| Mat::from_fn(rows.len(), rows.len(), |i, j| a[(rows[i], j)]);
            Self {
                mean: column(mean),
                covariance: square(covariance),
                evolution: square(evolution),
                reference: column(reference),
                count: count as u32,
            }
        };
        Ok(parts.iter().map(part).collect())
    }

    /// Keep it.
    pub fn write(&self, state: &mut State) {
        Self::write_parts(std::slice::from_ref(self), &[(0..self.mean.len()).collect()], state);
    }

    /// Keep what each part of the parameters knows.
    pub fn write_parts(all: &[Self], parts: &[Vec<usize>], state: &mut State) {
        let (d, widest) = (parts.iter().map(Vec::len).sum(), parts.iter().map(Vec::len).max().unwrap_or(0));
        let (mut mean, mut reference) = (Mat::zeros(d, 1), Mat::zeros(d, 1));
        let (mut covariance, mut evolution) = (Mat::zeros(d, widest), Mat::zeros(d, widest));
        for (kept, rows) in all.iter().zip(parts) {
            for (i, &row) in rows.iter().enumerate() {
                (mean[(row, 0)], reference[(row, 0)]) = (kept.mean[i], kept.reference[i]);
                for j in 0..rows.len() {
                    covariance[(row, j)] = kept.covariance[(i, j)];
                    evolution[(row, j)] = kept.evolution[(i, j)];
                }
            }
        }
        for (key, array) in
            [(MEAN, mean), (COVARIANCE, covariance), (EVOLUTION, evolution), (REFERENCE, reference)]
        {
            state.arrays.insert(key.into(), array);
        }
        let count = all.iter().map(|kept| kept.count).max().unwrap_or(0);
        state.scalars.insert(COUNT.into(), f64::from(count));
    }

    /// The points of `N(α μ + (1 − α) r, α² P + Δt Q)`, d × n. Every `freq`-th time Q becomes `(2 − α²) P` first.
    ///
    /// Q is that of this step, while the next data come with a step of their own, as in EKP.jl.
    ///
    /// # Errors
    /// `Collapsed`, `NotPositiveDefinite`, `NoConvergence`.
    pub fn predict(
        &mut self,
        scheme: &Scheme,
        alpha: f64,
        freq: u32,
        dt: f64,
    ) -> Result<Mat, AlgorithmError> {
        self.count += 1;
        if freq > 0 && self.count.is_multiple_of(freq) {
            self.evolution = scaled(&self.covariance, 2.0 - alpha * alpha);
        }
        let mean: Vec<f64> =
            self.mean.iter().zip(&self.reference).map(|(m, r)| alpha * m + (1.0 - alpha) * r).collect();
        let mut covariance = scaled(&self.covariance, alpha * alpha);
        columns::add_scaled(covariance.data_mut(), dt, self.evolution.data());
        Ok(scheme.place(&mean, &factor(&covariance)?))
    }
}

fn scaled(a: &Mat, by: f64) -> Mat {
    let mut a = a.clone();
    a.data_mut().iter_mut().for_each(|x| *x *= by);
    a
}

/// L of `A = L Lᵀ`, both n × n, L lower triangular. Where rounding left eigenvalues of zero or below, they are raised to [`FLOOR`] of the largest.
///
/// # Errors
/// `Collapsed` when none is above zero; `NoConvergence`; `NotPositiveDefinite` does not occur after the floor.
pub fn factor(a: &Mat) -> Result<Mat, AlgorithmError> {
    const OF: &str = "the parameters";
    if let Ok(factor) = Cholesky::new(a) {
        return Ok(factor.factor());
    }
    let eigen = linalg::symmetric_eigen(a).map_err(AlgorithmError::of(OF))?;
    let most = eigen.values.last().copied().unwrap_or(0.0);
    if most < f64::MIN_POSITIVE {
        return Err(AlgorithmError::Collapsed { what: OF });
    }
    let raised: Vec<f64> = eigen.values.iter().map(|w| w.max(FLOOR * most).sqrt()).collect();
    let root = Mat::from_fn(a.nrows(), a.ncols(), |i, j| eigen.vectors[(i, j)] * raised[j]);
    // V √W: its Gram matrix is far enough from singular for a factor
    let mended = linalg::gram(&root.transpose());
    Ok(Cholesky::new(&mended).map_err(AlgorithmError::of(OF))?.factor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{apart, rough};

    #[test]
    fn what_is_kept_survives_its_state() {
        let mut kept = Kept::new(vec![1.0, -2.0], Mat::identity(2), 0.5);
        kept.count = 7;
        let mut state = State::default();
        kept.write(&mut state);
        assert_eq!(Kept::read(&state, 2).unwrap(), kept);
        assert_eq!(kept.evolution[(0, 0)], 1.75);
        assert!(matches!(Kept::read(&state, 3), Err(AlgorithmError::Shape { .. })));
        assert!(matches!(Kept::read(&State::default(), 2), Err(AlgorithmError::State { .. })));
    }

    #[test]
    fn a_covariance_that_rounding_made_singular_is_raised_a_little() {
        // Rank 2 of 4, and a slightly negative eigenvalue
        let x = rough(1, 4, 2);
        let mut a = linalg::gram(&x.transpose());
        a[(3, 3)] -= 1e-14;
        let l = factor(&a).unwrap();
        assert!((0..4).all(|j| (0..j).all(|i| l[(i, j)] == 0.0) && l[(j, j)] > 0.0));
        assert!(apart(linalg::gram(&l.transpose()).data(), a.data()) < 4.0 * FLOOR);
        assert!(matches!(factor(&Mat::zeros(2, 2)), Err(AlgorithmError::Collapsed { .. })));
    }
}
