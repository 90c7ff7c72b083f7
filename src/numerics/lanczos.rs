//! A few eigenpairs of a large symmetric matrix: those of the largest eigenvalues.

use rand::RngExt;

use super::linalg::{Eigen, symmetric_eigen};
use super::{LinalgError, Mat, Purpose, Streams};
use crate::numerics::columns::{add_scaled, dot};

/// Residuals |A v − λ v| wanted, relative to the largest eigenvalue.
const PRECISION: f64 = 1e-13;

/// The `q` largest eigenvalues of a symmetric n × n matrix, descending, with orthonormal vectors.
///
/// Lanczos with every vector made orthogonal to all before, twice: no ghosts (Golub & Van Loan 2013, §10.3). The
/// matrix is used through `apply` alone, which writes A x. Eigenvalues that are exactly equal show as often as
/// rounding separates them: take symmetries out first.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn largest(n: usize, q: usize, mut apply: impl FnMut(&[f64], &mut [f64])) -> Result<Eigen, LinalgError> {
    let q = q.min(n);
    let mut stream = Streams::new(0).at(Purpose::Model, 0, 0);
    let mut fresh = || -> Vec<f64> { (0..n).map(|_| stream.random::<f64>() - 0.5).collect() };
    let mut basis: Vec<Vec<f64>> = Vec::new();
    let (mut alpha, mut beta): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut next = fresh();
    orthonormal(&mut next, &basis);
    let mut image = vec![0.0; n];
    while basis.len() < n {
        apply(&next, &mut image);
        if !image.iter().all(|x| x.is_finite()) {
            return Err(LinalgError::NotFinite);
        }
        alpha.push(dot(&next, &image));
        basis.push(std::mem::take(&mut next));
        next = image.clone();
        let scale = alpha.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
        let mut length = orthonormal(&mut next, &basis);
        if length <= f64::EPSILON * scale {
            // The space of this start is used up: go on from another.
            length = 0.0;
            next = fresh();
            orthonormal(&mut next, &basis);
        }
        let steps = basis.len();
        if steps == n || (steps >= q + 8 && steps.is_multiple_of(16)) {
            let small = tridiagonal(&alpha, &beta)?;
            let most = small.values[steps - 1].abs().max(f64::MIN_POSITIVE);
            // Below rounding of the largest nothing is known, and nothing is waited for.
            let done =
                |k: usize| length * small.vectors[(steps - 1, steps - 1 - k)].abs() <= PRECISION * most;
            if steps == n || (length > 0.0 && (0..q).all(done)) {
                return Ok(lifted(&small, &basis, q));
            }
        }
        beta.push(length);
    }
    Err(LinalgError::NoConvergence)
}

/// Take the parts along `basis` off, twice, and scale to length 1; the length before.
fn orthonormal(x: &mut [f64], basis: &[Vec<f64>]) -> f64 {
    for _ in 0..2 {
        for b in basis {
            let along = dot(b, x);
            add_scaled(x, -along, b);
        }
    }
    let length = dot(x, x).sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x /= length);
    }
    length
}

fn tridiagonal(alpha: &[f64], beta: &[f64]) -> Result<Eigen, LinalgError> {
    let n = alpha.len();
    symmetric_eigen(&Mat::from_fn(n, n, |i, j| match i.abs_diff(j) {
        0 => alpha[i],
        1 => beta[i.min(j)],
        _ => 0.0,
    }))
}

fn lifted(small: &Eigen, basis: &[Vec<f64>], q: usize) -> Eigen {
    let (n, steps) = (basis[0].len(), basis.len());
    let mut vectors = Mat::zeros(n, q);
    for k in 0..q {
        let to = vectors.col_mut(k);
        for (j, b) in basis.iter().enumerate() {
            add_scaled(to, small.vectors[(j, steps - 1 - k)], b);
        }
    }
    Eigen { values: small.values.iter().rev().take(q).copied().collect(), vectors }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::linalg::{gram, matvec};

    #[test]
    fn the_largest_eigenpairs_are_those_of_the_full_decomposition() {
        for n in [1, 5, 40, 150] {
            let a = Mat::from_fn(n, n, |i, j| (-0.2 * i.abs_diff(j) as f64).exp() + 0.01 * (i + j) as f64);
            let full = symmetric_eigen(&a).unwrap();
            let q = n.min(12);
            let few = largest(n, q, |x, y| y.copy_from_slice(&matvec(&a, x))).unwrap();
            let most = full.values[n - 1];
            for k in 0..q {
                assert!((few.values[k] - full.values[n - 1 - k]).abs() < 1e-13 * most, "{k} of {n}");
                let image = matvec(&a, few.vectors.col(k));
                let off = image.iter().zip(few.vectors.col(k)).map(|(a, v)| (a - few.values[k] * v).abs());
                assert!(off.fold(0.0, f64::max) < 1e-12 * most, "{k} of {n}");
            }
            let g = gram(&few.vectors);
            (0..q).for_each(|i| {
                (0..q).for_each(|j| assert!((g[(i, j)] - f64::from(u8::from(i == j))).abs() < 1e-13))
            });
        }
    }

    #[test]
    fn a_matrix_of_small_rank_is_no_trap() {
        let few = largest(30, 5, |x, y| {
            let sum = x.iter().sum::<f64>();
            y.fill(sum);
        });
        let few = few.unwrap();
        assert!((few.values[0] - 30.0).abs() < 1e-12 && few.values[1..].iter().all(|l| l.abs() < 1e-12));
    }
}
