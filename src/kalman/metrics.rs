//! How good an ensemble is: numbers for people, none of which a step depends on.
//!
//! Belongs here: misfits per row, CRPS, spread, suspicious outputs. Not here: choosing a step by them.

use std::collections::BTreeMap;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use super::evidence::{Evidence, Keep, Misfits, PANEL, Rows, distances, gather};
use super::spectrum::Values;
use super::survivors::Seen;
use crate::numerics::columns;
use crate::numerics::linalg::Cholesky;
use crate::numerics::special::erf;
use crate::numerics::{LinalgError, Mat};
use crate::problem::observation::Noise;
use crate::problem::{AlgorithmError, BlockFit, Observation, Prior};

/// CRPS needs a Gram matrix of its own: with more numbers than these it would double the cost of a step.
pub(super) const CRPS_LIMIT: usize = 1_000_000;

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

/// With more blocks than these nobody reads them one by one.
const BLOCKS: usize = 100;

/// How well each block is met, where there are two blocks or more, and at most a hundred, and at most a million
/// numbers; a block that was not observed
/// is left out. The losses, weighted by their rows, sum to the whole loss.
///
/// # Errors
/// `NotPositiveDefinite` does not occur but for rounding; `NotFinite`, `NoConvergence` of the scores.
pub fn blocks(rows: &Rows<'_>, observation: &Observation) -> Result<Vec<BlockFit>, LinalgError> {
    let names = observation.blocks();
    // With very many numbers a pass of their own would double the cost of a step.
    if names.len() < 2 || names.len() > BLOCKS || rows.rows.len() * rows.members.len() > CRPS_LIMIT {
        return Ok(Vec::new());
    }
    let (mut all, mut first, mut end) = (Vec::with_capacity(names.len()), 0, 0);
    for block in names {
        end += block.len();
        let own: Vec<usize> = (first..).take_while(|&k| rows.rows.get(k).is_some_and(|&i| i < end)).collect();
        first += own.len();
        if own.is_empty() {
            continue;
        }
        let noise = rows.noise.select(&own)?;
        let range = own[0]..own[0] + own.len();
        let part = Rows { rows: &rows.rows[range.clone()], y: &rows.y[range], noise: &noise, ..*rows };
        let fit = distances(&part);
        let crps = if part.members.len() > 1 { crps(&part)? } else { None };
        all.push(BlockFit {
            name: block.name.clone(),
            loss: fit.loss(),
            avg_rmse: fit.avg_rmse(),
            unweighted_loss: fit.unweighted_loss(),
            unweighted_avg_rmse: fit.unweighted_avg_rmse(),
            crps,
        });
    }
    Ok(all)
}

/// `(1/(d p)) [(ḡ−y)ᵀΓ⁻¹(ḡ−y) + (ū−m)ᵀ C₀⁻¹ (ū−m)]`, both of one iteration (EKP.jl takes ū after the step).
/// `u_mean` is ū, `m` the prior's mean, d each in unconstrained space; `c0` is C₀, d × d. Without unit.
///
/// # Errors
/// `NotPositiveDefinite` for C₀.
pub fn bayes_loss(misfits: &Misfits, u_mean: &[f64], m: &[f64], c0: &Mat) -> Result<f64, LinalgError> {
    let off: Vec<f64> = u_mean.iter().zip(m).map(|(u, m)| u - m).collect();
    let prior = columns::dot(&off, &Cholesky::new(c0)?.solve_vec(&off));
    Ok((misfits.mean + prior) / (misfits.rows * m.len()) as f64)
}

/// With more parameters a factor of C₀ would cost more than the step, where no step needs it.
const PRIOR_LIMIT: usize = 200;

/// [`bayes_loss`] with the mean and covariance of a prior that the step does not use. None above 200 parameters, of a
/// prior without moments, or where its covariance has no factor.
pub(super) fn bayes_loss_by(misfits: &Misfits, u_mean: &[f64], prior: &Prior) -> Option<f64> {
    if u_mean.len() > PRIOR_LIMIT {
        return None;
    }
    let (m, c0) = prior.moments().ok().filter(|(m, _)| m.len() == u_mean.len())?;
    bayes_loss(misfits, u_mean, &m, &c0).ok()
}

/// Correlations below this are rounding.
const NOTHING: f64 = 1e-8;

/// Whether no output is correlated with any parameter (`u`, d × J): the data say nothing. Not looked at above a million
/// outputs. The first correlation that counts ends the search.
pub(super) fn uncorrelated(u: &Mat, rows: &Rows<'_>) -> bool {
    let n = rows.members.len();
    if rows.rows.len() * n > CRPS_LIMIT {
        return false;
    }
    // Deviations of length 1; none of a row that does not vary
    let unit = |row: Vec<f64>| {
        let (mean, most) =
            (row.iter().sum::<f64>() / n as f64, row.iter().fold(0.0, |m: f64, x| m.max(x.abs())));
        let off: Vec<f64> = row.iter().map(|x| x - mean).collect();
        let length = columns::dot(&off, &off).sqrt();
        (length > n as f64 * f64::EPSILON * most)
            .then(|| off.iter().map(|x| x / length).collect::<Vec<f64>>())
    };
    let parameters: Vec<Vec<f64>> =
        (0..u.nrows()).filter_map(|i| unit((0..n).map(|j| u[(i, j)]).collect())).collect();
    let mut outputs =
        rows.rows.iter().filter_map(|&i| unit(rows.members.iter().map(|&j| rows.g[(i, j)]).collect()));
    !outputs.any(|g| parameters.iter().any(|u| columns::dot(u, &g).abs() >= NOTHING))
}

/// Continuous ranked probability score of y under the Gaussian of the outputs, mean over its principal axes.
///
/// With eigenpairs (λₖ, vₖ) of the covariance of g (divisor J − 1) and `zₖ = vₖᵀ(y − ḡ)/√λₖ`: the mean over k of
/// `√λₖ [z (2Φ(z) − 1) + 2φ(z) − 1/√π]`, unit of the observation. Axes below `4 J eps` of the largest eigenvalue
/// are rounding. None above a million outputs, and none where all members agree.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
///
/// # Source
/// Gneiting & Raftery (2007), J. Am. Stat. Assoc. 102, 359–378, doi:10.1198/016214506000001437, eq. (21) for a Gaussian.
pub fn crps(rows: &Rows<'_>) -> Result<Option<f64>, LinalgError> {
    let n = rows.members.len();
    let scale = 1.0 / (n as f64 - 1.0);
    let values = plain_values_of(rows, scale, |evidence| evidence)?;
    Ok(values.and_then(|values| crps_of(&values, scale, n)))
}

/// The eigenvalues of the outputs themselves, each row in its own unit; `about` may take them about another mean.
/// None above a million outputs.
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn plain_values(
    rows: &Rows<'_>,
    about: impl Fn(Evidence) -> Evidence,
) -> Result<Option<Values>, LinalgError> {
    plain_values_of(rows, 1.0, about)
}

fn plain_values_of(
    rows: &Rows<'_>,
    scale: f64,
    about: impl Fn(Evidence) -> Evidence,
) -> Result<Option<Values>, LinalgError> {
    let (p, n) = (rows.rows.len(), rows.members.len());
    if p * n > CRPS_LIMIT {
        return Ok(None);
    }
    let plain = Noise::identity(p);
    let keep = if p < n { Keep::Whitened } else { Keep::Gram };
    about(gather(&Rows { noise: &plain, ..*rows }, keep).0).values(scale).map(Some)
}

/// [`crps`] from the eigenvalues of `n` outputs that was scaled by `scale`; none where it is all zero.
pub fn crps_of(values: &Values, scale: f64, n: usize) -> Option<f64> {
    let Values { lambda, pull } = values;
    let cut = 4.0 * n as f64 * f64::EPSILON * lambda.iter().copied().fold(0.0, f64::max);
    let (mut sum, mut count) = (0.0, 0);
    for (lambda, pull) in lambda.iter().zip(pull).filter(|(lambda, _)| **lambda > cut) {
        let z = pull / (scale.sqrt() * lambda); // pull is scale σ vᵀ(y − ḡ), and λ is scale σ²
        let phi = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        sum += lambda.sqrt() * (z * erf(z * FRAC_1_SQRT_2) + 2.0 * phi - 0.5 * FRAC_2_SQRT_PI);
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// [`crps`] from the eigenvalues that a step was made of; none inside where they are not those of the outputs in one
/// unit: then rows differ in their noise.
fn crps_seen(rows: &Rows<'_>, seen: &Seen) -> Option<Option<f64>> {
    if rows.rows.len() * rows.members.len() > CRPS_LIMIT {
        return Some(None);
    }
    let mut one = None;
    for range in rows.noise.panels(PANEL) {
        let weights = rows.noise.weights(&range)?;
        if weights.iter().any(|weight| weight != one.get_or_insert(*weight)) {
            return None;
        }
    }
    // W = w I: λ is Δt w² σ², and so is the pull.
    let factor = 1.0 / (seen.dt * one?.powi(2));
    let mut values = seen.step.values().ok()?;
    values.lambda.iter_mut().chain(&mut values.pull).for_each(|x| *x *= factor);
    let n = rows.members.len();
    Some(crps_of(&values, 1.0 / (n as f64 - 1.0), n))
}

/// Measures by name: `unweighted_loss`, `unweighted_avg_rmse`, and `crps` where there is one. `seen` saves an
/// eigendecomposition where the step had the same.
///
/// # Errors
/// `NoConvergence`.
pub(super) fn measure(
    rows: &Rows<'_>,
    misfits: &Misfits,
    seen: Option<&Seen>,
) -> Result<BTreeMap<String, f64>, AlgorithmError> {
    let mut all = plain(misfits);
    let known = seen.and_then(|seen| crps_seen(rows, seen));
    let score = known.map_or_else(|| crps(rows), Ok);
    if let Some(crps) = score.map_err(AlgorithmError::of("the members' outputs"))? {
        all.insert("crps".to_owned(), crps);
    }
    Ok(all)
}

/// Those measures by name that need misfits only.
pub fn plain(misfits: &Misfits) -> BTreeMap<String, f64> {
    BTreeMap::from([
        ("unweighted_loss".to_owned(), misfits.unweighted_loss()),
        ("unweighted_avg_rmse".to_owned(), misfits.unweighted_avg_rmse()),
    ])
}

/// Survivors (places among them) next to each other in the order of their misfits.
pub(super) fn neighbours(misfits: &Misfits) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..misfits.members.len()).collect();
    order.sort_by(|&a, &b| misfits.members[a].total_cmp(&misfits.members[b]));
    order.windows(2).map(|pair| (pair[0], pair[1])).collect()
}

/// Two members (columns of g) with the same outputs to the last bit: a model that does not see its parameters.
pub fn twins(rows: &Rows<'_>, misfits: &Misfits) -> Option<(usize, usize)> {
    // Equal outputs have equal misfits: only neighbours in that order are compared row by row.
    let mut pairs = neighbours(misfits).into_iter().map(|(a, b)| (rows.members[a], rows.members[b]));
    pairs.find(|&(a, b)| {
        let (a, b) = (rows.g.col(a), rows.g.col(b));
        rows.rows.iter().all(|&i| a[i] == b[i])
    })
}

/// Standard deviation of each row over the columns, divisor J − 1.
pub fn spread(u: &Mat) -> Vec<f64> {
    let mean = u.mean();
    let mut sums = vec![0.0; u.nrows()];
    for j in 0..u.ncols() {
        let rows = sums.iter_mut().zip(u.col(j)).zip(&mean);
        rows.for_each(|((sum, u), mean)| *sum += (u - mean) * (u - mean));
    }
    sums.iter().map(|sum| (sum / (u.ncols() as f64 - 1.0)).sqrt()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{covariance, noise};
    use crate::numerics::fixture::Fixture;

    #[test]
    fn reference_values_are_met() {
        for case in Fixture::read("extras").cases("metrics") {
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
    fn a_score_from_the_eigenvalues_of_a_step_is_that_of_the_outputs() {
        use crate::kalman::etki;
        use crate::problem::observation::Covariance;
        for (p, n) in [(30, 8), (5, 12)] {
            let g = crate::kalman::given::rough(p as u64, p, n);
            let (all, members): (Vec<usize>, Vec<usize>) = ((0..p).collect(), (0..n).collect());
            let y: Vec<f64> = all.iter().map(|i| (*i as f64).sin()).collect();
            let score = |covariance| {
                let noise = noise(&[(covariance, p)]);
                let rows = Rows { g: &g, rows: &all, members: &members, y: &y, noise: &noise };
                let keep = if p < n { Keep::Whitened } else { Keep::Gram };
                let step = etki::decompose(&gather(&rows, keep).0, 0.3).unwrap();
                (crps_seen(&rows, &Seen { step, dt: 0.3 }), crps(&rows).unwrap().unwrap())
            };
            let (seen, own) = score(Covariance::Scalar(0.04));
            assert!((seen.unwrap().unwrap() - own).abs() < 1e-12 * own.abs(), "{seen:?} {own}");
            let variances = (0..p).map(|i| 1.0 + i as f64).collect();
            assert!(score(Covariance::Diagonal(variances)).0.is_none(), "rows in different units");
        }
    }

    #[test]
    fn blocks_share_the_loss_by_their_rows() {
        use crate::problem::observation::{Block, Covariance};
        let linear = crate::kalman::given::Linear::new(3, 2, 3);
        let block = |name: &str, y: Vec<f64>, c| (Block { name: name.into(), y }, c);
        let observation = Observation::new(vec![
            block("a", vec![1.0, f64::NAN, 2.0], Covariance::Scalar(0.5)),
            block("b", vec![0.0, 1.0, -1.0], Covariance::Dense(linear.gamma.clone())),
            block("none", vec![f64::NAN], Covariance::Scalar(1.0)),
            block("c", vec![3.0], Covariance::Scalar(2.0)),
        ])
        .unwrap();
        let (g, members) = (crate::kalman::given::rough(4, 8, 5), (0..5).collect::<Vec<_>>());
        let rows = Rows {
            g: &g,
            rows: observation.observed(),
            members: &members,
            y: observation.y(),
            noise: observation.noise(),
        };
        let all = blocks(&rows, &observation).unwrap();
        let names: Vec<&str> = all.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let whole = gather(&rows, Keep::Gram).1;
        let sum = all[0].loss * 2.0 + all[1].loss * 3.0 + all[2].loss;
        assert!((sum / 6.0 - whole.loss()).abs() < 1e-12);
        let one = (0..5).map(|j| (g[(7, j)] - 3.0).abs() / 2f64.sqrt()).sum::<f64>() / 5.0;
        assert!((all[2].avg_rmse - one).abs() < 1e-14);
        // The same in the data's unit, and the score of a block of one row: that of its Gaussian
        assert!((all[2].unweighted_avg_rmse - 2f64.sqrt() * one).abs() < 1e-14);
        assert!((all[2].unweighted_loss - 2.0 * all[2].loss).abs() < 1e-14);
        let g: Vec<f64> = (0..5).map(|j| g[(7, j)]).collect();
        let mean = g.iter().sum::<f64>() / 5.0;
        let sigma = (g.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
        let z = (3.0 - mean) / sigma;
        let phi = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        let want = sigma * (z * erf(z * FRAC_1_SQRT_2) + 2.0 * phi - 0.5 * FRAC_2_SQRT_PI);
        assert!((all[2].crps.unwrap() - want).abs() < 1e-12);
        let single = crate::kalman::given::observation(vec![1.0; 8], Covariance::Scalar(1.0));
        assert!(blocks(&rows, &single).unwrap().is_empty());
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
