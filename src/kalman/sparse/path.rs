//! The quadratic programme of a sparse step, solved exactly along its path.
//!
//! Minimise ½ (x − a)ᵀ Σ⁻¹ (x − a) + λ Σ_{i ∈ I} |xᵢ|: for λ = 0 the answer is a, and while λ grows it moves on straight
//! lines, with a bend where a limited xᵢ becomes 0 or leaves it. The path is followed until the magnitudes sum to γ, which
//! gives the answer to rounding, without a tolerance to choose and without Σ⁻¹.
//!
//! # Source
//! Osborne, Presnell & Turlach (2000), IMA J. Numer. Anal. 20, 389–403, doi:10.1093/imanum/20.3.389 (the path of the
//! lasso); here from its free end, as the unlimited answer is known.

use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{LinalgError, Mat};

/// How a limited number stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Held {
    /// Not zero, with this sign
    Free(f64),
    /// Zero
    Zero,
}

/// x and the multipliers μ on the current line: `x = c − λ w`, and for the zeros `μ = α − λ β`.
struct Line {
    c: Vec<f64>,
    w: Vec<f64>,
    /// Zeros, indices into `limited`
    zeros: Vec<usize>,
    alpha: Vec<f64>,
    beta: Vec<f64>,
}

/// The point nearest to `a` in the metric of Σ⁻¹ with `Σ_{i ∈ limited} |xᵢ| ≤ limit`, Σ positive definite, limit > 0.
///
/// `a` and the result have d numbers in unconstrained space, `sigma` is Σ, d × d; `limited` are indices into `a`.
///
/// # Errors
/// `NotPositiveDefinite` for Σ; `NoConvergence` when rounding makes the path turn in circles.
pub(super) fn nearest(
    a: &[f64],
    sigma: &Mat,
    limited: &[usize],
    limit: f64,
) -> Result<Vec<f64>, LinalgError> {
    let sum: f64 = limited.iter().map(|&i| a[i].abs()).sum();
    if sum <= limit {
        return Ok(a.to_vec());
    }
    let state = |&i: &usize| if a[i] == 0.0 { Held::Zero } else { Held::Free(a[i].signum()) };
    let mut held: Vec<Held> = limited.iter().map(state).collect();
    let (mut lambda, mut turned) = (0.0_f64, None);
    // Each number can be met a few times, not without end.
    for _ in 0..100 + 50 * limited.len() {
        let line = line(a, sigma, limited, &held)?;
        let (mut next, mut who) = (f64::INFINITY, None);
        let mut meet = |at: f64, k: usize, as_held: Held| {
            // The number at whose bend this line begins meets its own bend at λ again, by rounding.
            let least = if turned == Some(k) { lambda * (1.0 + 1e-10) } else { lambda * (1.0 - 1e-13) };
            if at.is_finite() && at > 0.0 && at >= least && at < next {
                (next, who) = (at.max(lambda), Some((k, as_held)));
            }
        };
        let (mut at_zero, mut slope) = (0.0, 0.0);
        for (k, &i) in limited.iter().enumerate() {
            if let Held::Free(sign) = held[k] {
                at_zero += sign * line.c[i];
                slope += sign * line.w[i];
                // Only those that shrink: sign (c − λ w) falls
                if sign * line.w[i] > 0.0 {
                    meet(line.c[i] / line.w[i], k, Held::Zero);
                }
            }
        }
        for (z, &k) in line.zeros.iter().enumerate() {
            // μ = ±λ is where a zero ends; only where |μ| outgrows λ
            for sign in [1.0, -1.0] {
                let speed = sign + line.beta[z];
                if sign * speed < 0.0 {
                    meet(line.alpha[z] / speed, k, Held::Free(sign));
                }
            }
        }
        let reached = (at_zero - limit) / slope;
        if slope > 0.0 && reached <= next {
            let at = reached.max(lambda);
            let mut x: Vec<f64> = line.c.iter().zip(&line.w).map(|(c, w)| c - at * w).collect();
            line.zeros.iter().for_each(|&k| x[limited[k]] = 0.0);
            return Ok(x);
        }
        let Some((k, as_held)) = who else { return Err(LinalgError::NoConvergence) };
        held[k] = as_held;
        (lambda, turned) = (next, Some(k));
    }
    Err(LinalgError::NoConvergence)
}

/// The line that belongs to a set of zeros and signs: `x = a − λ Σ_F s − Σ_Z μ` with `x_Z = 0`.
fn line(a: &[f64], sigma: &Mat, limited: &[usize], held: &[Held]) -> Result<Line, LinalgError> {
    let d = a.len();
    let zeros: Vec<usize> = (0..held.len()).filter(|&k| held[k] == Held::Zero).collect();
    let mut w = vec![0.0; d]; // Σ_F s
    for (k, &i) in limited.iter().enumerate() {
        if let Held::Free(sign) = held[k] {
            w.iter_mut().zip(sigma.col(i)).for_each(|(w, s)| *w += sign * s);
        }
    }
    let mut c = a.to_vec();
    if zeros.is_empty() {
        return Ok(Line { c, w, zeros, alpha: Vec::new(), beta: Vec::new() });
    }
    let at = |z: usize| limited[zeros[z]];
    let inner = Mat::from_fn(zeros.len(), zeros.len(), |i, j| sigma[(at(i), at(j))]);
    let right = Mat::from_fn(zeros.len(), 2, |i, j| if j == 0 { a[at(i)] } else { w[at(i)] });
    let mut solved = right;
    Cholesky::new(&inner)?.solve(&mut solved);
    let (alpha, beta) = (solved.col(0).to_vec(), solved.col(1).to_vec());
    let columns = Mat::from_fn(d, zeros.len(), |i, z| sigma[(i, at(z))]);
    let (by_alpha, by_beta) = (linalg::matvec(&columns, &alpha), linalg::matvec(&columns, &beta));
    c.iter_mut().zip(by_alpha).for_each(|(c, x)| *c -= x);
    w.iter_mut().zip(by_beta).for_each(|(w, x)| *w -= x);
    Ok(Line { c, w, zeros, alpha, beta })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::rough;

    /// Conditions that hold at the minimum alone: the limit is met, and `Σ⁻¹(a − x) = λ s` with s the sign of xᵢ where
    /// it is not zero, within ±1 where it is, and 0 for numbers without limit.
    fn is_minimum(a: &[f64], sigma: &Mat, limited: &[usize], limit: f64, x: &[f64]) {
        let sum: f64 = limited.iter().map(|&i| x[i].abs()).sum();
        assert!((sum - limit).abs() < 1e-9 * limit, "{sum} {limit}");
        let off: Vec<f64> = a.iter().zip(x).map(|(a, x)| a - x).collect();
        let pull = Cholesky::new(sigma).unwrap().solve_vec(&off);
        let lambda = limited.iter().fold(0.0_f64, |most, &i| most.max(pull[i].abs()));
        for (i, pull) in pull.iter().enumerate() {
            if !limited.contains(&i) {
                assert!(pull.abs() < 1e-7 * lambda, "{i}: {pull}");
            } else if x[i] != 0.0 {
                assert!((pull - lambda * x[i].signum()).abs() < 1e-7 * lambda, "{i}: {pull} of {lambda}");
            }
        }
    }

    #[test]
    fn the_conditions_of_a_minimum_hold_at_every_limit() {
        let mut zeros = 0;
        for seed in 0..60 {
            let d = 2 + (seed as usize % 11);
            let root = rough(seed, d, d);
            let mut sigma = linalg::matmul_nt(&root, &root);
            (0..d).for_each(|i| sigma[(i, i)] += 0.05);
            let a = rough(1000 + seed, d, 1).data().to_vec();
            let limited: Vec<usize> = (0..d).filter(|i| seed % 3 > 0 || i % 3 > 0).collect();
            let whole: f64 = limited.iter().map(|&i| a[i].abs()).sum();
            assert_eq!(nearest(&a, &sigma, &limited, whole).unwrap(), a);
            for share in [0.95, 0.6, 0.3, 0.05, 1e-3] {
                let x = nearest(&a, &sigma, &limited, share * whole).unwrap();
                is_minimum(&a, &sigma, &limited, share * whole, &x);
                zeros += limited.iter().filter(|&&i| x[i] == 0.0).count();
            }
        }
        assert!(zeros > 500, "{zeros}");
    }

    #[test]
    fn without_covariances_it_is_soft_thresholding() {
        // Σ = I: xᵢ = sign(aᵢ) max(|aᵢ| − λ, 0), here with λ = 1 and a tie
        let a = [3.0, -2.0, 0.5, 0.0, -1.0, 2.0];
        let all: Vec<usize> = (0..6).collect();
        let x = nearest(&a, &Mat::identity(6), &all, 4.0).unwrap();
        let want = [2.0, -1.0, 0.0, 0.0, 0.0, 1.0];
        x.iter().zip(&want).for_each(|(x, want)| assert!((x - want).abs() < 1e-14, "{x} {want}"));
    }
}
