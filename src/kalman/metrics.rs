//! How good an ensemble is: numbers for people, none of which a step depends on.
//!
//! Belongs here: misfits per row, CRPS, spread. Not here: choosing a step by them.

use super::evidence::{Misfits, Rows};
use crate::numerics::linalg::{self, Cholesky, Svd};
use crate::numerics::special::erf;
use crate::numerics::{LinalgError, Mat};

/// CRPS needs the singular values of all outputs, which beyond this many numbers would cost more than the step.
const CRPS_LIMIT: usize = 1_000_000;

impl Misfits {
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y).
    pub fn loss(&self) -> f64 {
        self.mean / self.rows as f64
    }

    /// Mean over members of √((1/p) (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y)).
    pub fn avg_rmse(&self) -> f64 {
        self.mean_root(&self.members)
    }

    /// (1/p) |ḡ − y|².
    pub fn unweighted_loss(&self) -> f64 {
        self.plain_mean / self.rows as f64
    }

    /// Mean over members of √((1/p) |gⱼ − y|²).
    pub fn unweighted_avg_rmse(&self) -> f64 {
        self.mean_root(&self.plain_members)
    }

    fn mean_root(&self, sums: &[f64]) -> f64 {
        sums.iter().map(|sum| (sum / self.rows as f64).sqrt()).sum::<f64>() / sums.len() as f64
    }
}

/// `(1/(d p)) [(ḡ−y)ᵀΓ⁻¹(ḡ−y) + (ū−m)ᵀ C₀⁻¹ (ū−m)]`, both of one iteration (EKP.jl takes ū after the step).
///
/// # Errors
/// `NotPositiveDefinite` for C₀.
pub fn bayes_loss(misfits: &Misfits, u_mean: &[f64], m: &[f64], c0: &Mat) -> Result<f64, LinalgError> {
    let off: Vec<f64> = u_mean.iter().zip(m).map(|(u, m)| u - m).collect();
    let prior = linalg::dot(&off, &Cholesky::new(c0)?.solve_vec(&off));
    Ok((misfits.mean + prior) / (misfits.rows * m.len()) as f64)
}

/// Continuous ranked probability score of y under the Gaussian of the outputs, mean over its principal axes.
///
/// With eigenpairs (λₖ, vₖ) of the covariance of g (divisor J − 1) and `zₖ = vₖᵀ(y − ḡ)/√λₖ`: the mean over k of
/// `√λₖ [z (2Φ(z) − 1) + 2φ(z) − 1/√π]`, unit of the observation. None above a million outputs, and none
/// where all members agree.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
///
/// # Source
/// Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102, 359–378, doi:10.1198/016214506000001437, eq. (21) for a Gaussian.
pub fn crps(rows: &Rows<'_>) -> Result<Option<f64>, LinalgError> {
    let (p, n) = (rows.rows.len(), rows.members.len());
    if p * n > CRPS_LIMIT {
        return Ok(None);
    }
    let g = Mat::from_fn(p, n, |i, j| rows.g[(rows.rows[i], rows.members[j])]);
    let (dg, mean) = linalg::centred(&g);
    let Svd { u, s, .. } = linalg::thin_svd(&dg)?;
    let cut = s.first().copied().unwrap_or(0.0) * p.min(n) as f64 * f64::EPSILON;
    let r: Vec<f64> = rows.y.iter().zip(&mean).map(|(y, m)| y - m).collect();
    let (mut sum, mut count) = (0.0, 0);
    for (k, s) in s.iter().enumerate().take_while(|(_, s)| **s > cut) {
        let sd = s / (n as f64 - 1.0).sqrt();
        let z = linalg::dot(u.col(k), &r) / sd;
        let phi = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let inner =
            z * erf(z * std::f64::consts::FRAC_1_SQRT_2) + 2.0 * phi - 0.5 * std::f64::consts::FRAC_2_SQRT_PI;
        sum += sd * inner;
        count += 1;
    }
    Ok((count > 0).then(|| sum / f64::from(count)))
}

/// Standard deviation of each row over the columns, divisor J − 1.
pub fn spread(u: &Mat) -> Vec<f64> {
    let (x, _) = linalg::centred(u);
    let mut sums = vec![0.0; u.nrows()];
    for j in 0..u.ncols() {
        sums.iter_mut().zip(x.col(j)).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter().map(|sum| (sum / (u.ncols() as f64 - 1.0)).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::evidence::{Keep, gather};
    use crate::kalman::given::{covariance, noise};
    use crate::numerics::fixture::Fixture;

    #[test]
    fn reference_values_are_met() {
        for case in Fixture::read("extras").cases(|name| name == "metrics") {
            let inputs = &case.inputs;
            let (g, y) = (inputs.matrix("g"), inputs.vector("y"));
            let noise = noise(&[(covariance(inputs), y.len())]);
            let (all, members): (Vec<usize>, Vec<usize>) =
                ((0..g.nrows()).collect(), (0..g.ncols()).collect());
            let rows = Rows { g: &g, rows: &all, members: &members, y: &y, noise: &noise };
            let misfits = gather(&rows, Keep::Gram).1;
            let c0 = inputs.matrix("prior_cov");
            let bayes =
                bayes_loss(&misfits, &inputs.vector("u_mean"), &inputs.vector("prior_mean"), &c0).unwrap();
            for (name, got) in [
                ("loss", misfits.loss()),
                ("avg_rmse", misfits.avg_rmse()),
                ("unweighted_loss", misfits.unweighted_loss()),
                ("unweighted_avg_rmse", misfits.unweighted_avg_rmse()),
                ("bayes_loss", bayes),
                ("crps", crps(&rows).unwrap().unwrap()),
            ] {
                case.assert_near(name, &[got], &[case.expected.number(name)]);
            }
        }
    }

    #[test]
    fn members_that_agree_have_no_crps_and_no_spread() {
        let g = Mat::from_fn(2, 3, |i, _| i as f64);
        let noise = noise(&[(crate::problem::observation::Covariance::Scalar(1.0), 2)]);
        let rows = Rows { g: &g, rows: &[0, 1], members: &[0, 1, 2], y: &[0.0, 0.0], noise: &noise };
        assert_eq!(crps(&rows).unwrap(), None);
        assert_eq!(spread(&g), [0.0, 0.0]);
    }
}
