//! A covariance from N draws of the noise: A Aᵀ with `A = (Z − mean)/√(N − 1)`, never p × p for N ≤ p.
//!
//! Belongs here: draws to patterns, and cutting them at a rank. Not here: what is added, who asks.

use crate::numerics::linalg::{self, Svd};
use crate::numerics::{LinalgError, Mat};

/// Patterns V of the sample covariance V Vᵀ (divisor N − 1) of draws Z, p × N.
///
/// | | shape | unit |
/// |---|---|---|
/// | `draws` | p × N, N ≥ 2 | that of y |
/// | `rank` | keep so many of the largest; the others' variance is dropped | 1 |
/// | result | p × N, or p × min(rank, rank of A) | that of y |
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub(super) fn patterns(draws: &Mat, rank: Option<usize>) -> Result<Mat, LinalgError> {
    let (mut a, _) = linalg::centred(draws);
    let scale = 1.0 / (draws.ncols() as f64 - 1.0).sqrt();
    a.data_mut().iter_mut().for_each(|x| *x *= scale);
    let Some(rank) = rank else { return Ok(a) };
    // Tall matrices are reduced to a triangle first, so this is linear in p.
    let Svd { u, s, .. } = linalg::thin_svd(&a)?;
    let least = s.first().copied().unwrap_or(0.0) * a.nrows().min(a.ncols()) as f64 * f64::EPSILON;
    // The mean takes one rank, whatever rounding leaves of it.
    let rank = s.iter().take_while(|&&s| s > least).count().min(rank).min(draws.ncols() - 1);
    Ok(Mat::from_fn(u.nrows(), rank, |i, j| u[(i, j)] * s[j]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(p: usize, n: usize) -> Mat {
        Mat::from_fn(p, n, |i, j| (1.3 + 2.1 * i as f64 + 5.9 * (j * (i + 1)) as f64).sin() + i as f64)
    }

    fn apart(a: &Mat, b: &Mat) -> f64 {
        let most = b.data().iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        a.data().iter().zip(b.data()).fold(0.0_f64, |worst, (a, b)| worst.max((a - b).abs())) / most
    }

    #[test]
    fn patterns_make_the_sample_covariance() {
        for (p, n) in [(60, 7), (5, 20)] {
            let z = draws(p, n);
            let dense = linalg::covariance(&z, n as f64 - 1.0);
            for rank in [None, Some(usize::MAX)] {
                let v = patterns(&z, rank).unwrap();
                assert!(apart(&linalg::matmul_nt(&v, &v), &dense) < 1e-13);
                assert!(rank.is_none() || v.ncols() == p.min(n - 1), "the mean takes one rank");
            }
        }
    }

    #[test]
    fn a_rank_keeps_the_largest_eigenvalues() {
        let z = draws(40, 9);
        let v = patterns(&z, Some(3)).unwrap();
        let mut all = linalg::symmetric_eigen(&linalg::covariance(&z, 8.0)).unwrap().values;
        all.reverse();
        let kept = linalg::symmetric_eigen(&linalg::gram(&v)).unwrap().values;
        for (kept, all) in kept.iter().rev().zip(&all) {
            assert!((kept / all - 1.0).abs() < 1e-12);
        }
        assert_eq!(v.ncols(), 3);
    }
}
