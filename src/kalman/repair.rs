//! Failed members and missing values: who is set aside, what is filled in, who is drawn anew.
//!
//! Belongs here: sorting members before a step, replacing the failed ones after it.
//! Not here: why a model failed.

use std::borrow::Cow;

use super::spread::Root;
use crate::numerics::columns;
use crate::numerics::{LinalgError, Mat};
use crate::problem::{AlgorithmError, Observation};

/// What becomes of failed members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureRule {
    /// The survivors are updated as if they were all; each failed member is drawn anew from their Gaussian
    #[default]
    Redraw,
    /// None is set aside: one missing value anywhere refuses the step
    Ignore,
}

/// Members sorted before a step.
#[derive(Debug, Clone)]
pub struct Sorted<'a> {
    /// Outputs with the survivors' missing values filled in
    pub g: Cow<'a, Mat>,
    /// Members to learn from, ascending
    pub survivors: Vec<usize>,
    /// Members set aside, ascending, and why
    pub failed: Vec<(usize, String)>,
    /// Values filled in
    pub imputed: usize,
}

impl<'a> Sorted<'a> {
    /// Nobody set aside, nothing filled in.
    ///
    /// # Errors
    /// `Shape`; `TooFewMembers` below two members.
    pub fn all(g: &'a Mat, observation: &Observation) -> Result<Self, AlgorithmError> {
        check(g, observation)?;
        let survivors: Vec<usize> = (0..g.ncols()).collect();
        enough(&survivors, g.ncols())?;
        Ok(Self { g: Cow::Borrowed(g), survivors, failed: Vec::new(), imputed: 0 })
    }

    /// Indices of the failed members, ascending.
    pub fn failed(&self) -> Vec<usize> {
        self.failed.iter().map(|(j, _)| *j).collect()
    }
}

fn check(g: &Mat, observation: &Observation) -> Result<(), AlgorithmError> {
    let (found, expected) = (g.nrows(), observation.len());
    if found == expected { Ok(()) } else { Err(AlgorithmError::Shape { what: "g", found, expected }) }
}

/// Two members at least, or there is no covariance: `TooFewMembers`.
pub(super) fn enough(survivors: &[usize], total: usize) -> Result<(), AlgorithmError> {
    let found = survivors.len();
    if found >= 2 { Ok(()) } else { Err(AlgorithmError::TooFewMembers { found, total }) }
}

/// Set failed members aside and fill the holes of the others.
///
/// A member has failed when in some block more than `⌊nan_tolerance · n⌋` of its n observed values are NaN or infinite.
/// A survivor's hole becomes the mean of the other survivors' values in that row, or y where none has one.
/// (EKP.jl counts over all blocks together, leaves infinities, and averages failed members, too.)
///
/// # Errors
/// `Shape`; `TooFewMembers` below two survivors.
pub fn sort<'a>(
    g: &'a Mat,
    observation: &Observation,
    nan_tolerance: f64,
) -> Result<Sorted<'a>, AlgorithmError> {
    check(g, observation)?;
    let mut survivors = Vec::with_capacity(g.ncols());
    let mut failed = Vec::new();
    let mut holed = false;
    for j in 0..g.ncols() {
        if columns::is_finite(g.col(j)) {
            survivors.push(j);
            continue;
        }
        match judge(g.col(j), observation, nan_tolerance) {
            Some(why) => failed.push((j, why)),
            None => {
                holed = true;
                survivors.push(j);
            }
        }
    }
    enough(&survivors, g.ncols())?;
    let mut sorted = Sorted { g: Cow::Borrowed(g), survivors, failed, imputed: 0 };
    if holed {
        fill(&mut sorted, observation);
    }
    Ok(sorted)
}

/// Why this member has failed, if it has.
pub(super) fn judge(column: &[f64], observation: &Observation, nan_tolerance: f64) -> Option<String> {
    let mut observed = observation.observed().iter().peekable();
    let mut end = 0;
    for block in observation.blocks() {
        end += block.len();
        let (mut rows, mut holes) = (0_usize, 0_usize);
        while let Some(&i) = observed.next_if(|i| **i < end) {
            rows += 1;
            holes += usize::from(!column[i].is_finite());
        }
        // 0.29 × 100 is 28.999…: a share of 29 in 100 means 29.
        let allowed = (nan_tolerance * rows as f64 + 1e-9).floor() as usize;
        if holes > allowed {
            let name = &block.name;
            return Some(format!(
                "{holes} of {rows} values of `{name}` are NaN or infinite, at most {allowed} may be"
            ));
        }
    }
    None
}

fn fill(sorted: &mut Sorted<'_>, observation: &Observation) {
    let mut g = sorted.g.clone().into_owned();
    for (&i, &y) in observation.observed().iter().zip(observation.y()) {
        let (mut sum, mut have) = (0.0, 0_usize);
        for &j in &sorted.survivors {
            let x = g[(i, j)];
            if x.is_finite() {
                sum += x;
                have += 1;
            }
        }
        if have == sorted.survivors.len() {
            continue;
        }
        let value = if have == 0 { y } else { sum / have as f64 };
        for &j in &sorted.survivors {
            if !g[(i, j)].is_finite() {
                g[(i, j)] = value;
                sorted.imputed += 1;
            }
        }
    }
    sorted.g = Cow::Owned(g);
}

/// Set aside survivors whose misfit is more than `factor` times that of the survivor in the middle.
///
/// Misfit is (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y); one that the noise explains (no more than p) is never too large. A model that
/// went astray may return finite nonsense, and one such number would decide every covariance.
///
/// # Errors
/// `TooFewMembers` below two survivors.
pub fn outliers(
    sorted: &mut Sorted<'_>,
    observation: &Observation,
    factor: f64,
) -> Result<(), AlgorithmError> {
    let p = observation.y().len();
    let misfit = |&j: &usize| {
        let off = |(&i, y): (&usize, &f64)| sorted.g[(i, j)] - y;
        let off = observation.observed().iter().zip(observation.y()).map(off).collect();
        let mut off = Mat::from_columns(p, 1, off);
        observation.noise().whiten(&mut off);
        columns::dot(off.data(), off.data())
    };
    let misfits: Vec<f64> = sorted.survivors.iter().map(misfit).collect();
    let mut ordered = misfits.clone();
    ordered.sort_by(f64::total_cmp);
    let middle = ordered[(ordered.len() - 1) / 2].max(p as f64);
    let mut astray = Vec::new();
    for (&j, &misfit) in sorted.survivors.iter().zip(&misfits) {
        let times = misfit / middle;
        // A square beyond all numbers is too far, too.
        if times > factor || !times.is_finite() {
            astray
                .push((j, format!("its misfit is {times:.1e} times the median, at most {factor:e} may be")));
        }
    }
    sorted.survivors.retain(|j| astray.iter().all(|(other, _)| other != j));
    sorted.failed.extend(astray);
    sorted.failed.sort_by_key(|(j, _)| *j);
    enough(&sorted.survivors, sorted.g.ncols())
}

/// All members again: the moved survivors (d × J) at their places, at the others' places draws from their Gaussian.
///
/// `xi` holds one column of standard normals per failed member, in their order. The second value is that of [`redraw`].
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn complete(moved: Mat, sorted: &Sorted<'_>, xi: &Mat) -> Result<(Mat, bool), LinalgError> {
    if sorted.failed.is_empty() {
        return Ok((moved, false));
    }
    let (drawn, singular) = redraw(&moved, xi)?;
    let mut all = Mat::zeros(moved.nrows(), moved.ncols() + drawn.ncols());
    for (from, places) in [(&moved, &sorted.survivors), (&drawn, &sorted.failed())] {
        for (k, &j) in places.iter().enumerate() {
            all.col_mut(j).copy_from_slice(from.col(k));
        }
    }
    Ok((all, singular))
}

/// Draw members from N(mean, covariance) of the columns of `u` (divisor J − 1, principal root).
///
/// | symbol | argument | shape | unit |
/// |---|---|---|---|
/// | u | `u` | d × J | unconstrained parameter space |
/// | ξ | `xi` | d × k | standard normals, one column per member to draw |
///
/// A covariance that is singular (smallest eigenvalue ≤ d eps λ_max, always so for J ≤ d) gets λ_max √eps on its
/// diagonal; the second value says so. Works with the singular values of the columns ([`Root`]).
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub fn redraw(u: &Mat, xi: &Mat) -> Result<(Mat, bool), LinalgError> {
    let (mean, root) = (u.mean(), Root::of(u, u.ncols() as f64 - 1.0)?);
    let singular = root.least() <= u.nrows() as f64 * f64::EPSILON * root.most();
    let a = if singular { root.most() * f64::EPSILON.sqrt() } else { 0.0 };
    let mut drawn = root.times(a, xi); // d × k
    for k in 0..drawn.ncols() {
        columns::add_scaled(drawn.col_mut(k), 1.0, &mean);
    }
    Ok((drawn, singular))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{apart, observation, rough};
    use crate::numerics::fixture::Fixture;
    use crate::numerics::linalg;
    use crate::problem::observation::{Block, Covariance};

    #[test]
    fn holes_are_filled_as_in_the_reference() {
        for case in Fixture::read("extras").cases("impute_*") {
            let g = case.inputs.matrix("g");
            let observation = observation(case.inputs.vector("row_values"), Covariance::Scalar(1.0));
            let sorted = sort(&g, &observation, case.inputs.number("nan_tolerance")).unwrap();
            let failed: Vec<f64> = sorted.failed.iter().map(|(j, _)| *j as f64).collect();
            assert_eq!(failed, case.expected.vector("failed"));
            case.assert_near("g", sorted.g.data(), case.expected.matrix("g").data());
            assert_eq!(sorted.imputed, 1 + 39); // one hole, and a dead row of 39 survivors
        }
    }

    #[test]
    fn an_infinity_is_a_hole_and_each_block_has_its_own_share() {
        // Given two blocks of 2 and 4 rows, one row of the second not observed
        let scalar = || Covariance::Scalar(1.0);
        let observation = Observation::new(vec![
            (Block { name: "a".into(), y: vec![0.0; 2] }, scalar()),
            (Block { name: "b".into(), y: vec![0.0, f64::NAN, 0.0, 0.0] }, scalar()),
        ])
        .unwrap();
        let mut g = rough(3, 6, 4);
        g[(3, 0)] = f64::NAN; // not observed: no harm
        g[(4, 1)] = f64::INFINITY; // 1 of 3 in b
        g[(0, 2)] = f64::NAN; // 1 of 2 in a
        // When a third may be missing, Then member 3 has failed and member 2 is mended
        let sorted = sort(&g, &observation, 0.34).unwrap();
        assert_eq!(sorted.survivors, [0, 1, 3]);
        assert_eq!(sorted.failed[0].1, "1 of 2 values of `a` are NaN or infinite, at most 0 may be");
        assert_eq!((sorted.imputed, sorted.g[(4, 1)]), (1, (g[(4, 0)] + g[(4, 3)]) / 2.0));
        // When nothing may be missing, both have failed
        assert_eq!(sort(&g, &observation, 0.0).unwrap().survivors, [0, 3]);
        // One survivor is too few
        g[(0, 3)] = f64::NAN;
        let refused = sort(&g, &observation, 0.0).unwrap_err();
        assert!(matches!(refused, AlgorithmError::TooFewMembers { found: 1, total: 4 }));
    }

    #[test]
    fn a_member_that_went_astray_is_named_and_set_aside() {
        let observation = observation(vec![0.0; 3], Covariance::Scalar(1.0));
        let mut g = rough(5, 3, 6);
        g[(1, 2)] = 1e4;
        g[(0, 4)] = 1e200; // its square is no number
        g[(2, 0)] = f64::NAN;
        let set_aside = |factor| {
            let mut sorted = sort(&g, &observation, 0.0).unwrap();
            outliers(&mut sorted, &observation, factor).unwrap();
            sorted
        };
        let sorted = set_aside(1e6);
        assert_eq!((sorted.survivors.as_slice(), sorted.failed()), (&[1, 3, 5][..], vec![0, 2, 4]));
        assert!(sorted.failed[1].1.contains("times the median, at most 1e6 may be"), "{:?}", sorted.failed);
        assert_eq!(set_aside(1e9).failed(), [0, 4]);
        // What the noise explains is no outlier, however good the others are
        let mut close = Mat::from_fn(3, 4, |_, j| 1e-9 * j as f64);
        close[(0, 3)] = 1.0;
        let mut sorted = sort(&close, &observation, 0.0).unwrap();
        outliers(&mut sorted, &observation, 2.0).unwrap();
        assert!(sorted.failed.is_empty());
        // All may not go
        close[(0, 3)] = 1e9;
        let mut two = Sorted::all(&close, &observation).unwrap();
        two.survivors = vec![0, 3];
        assert!(outliers(&mut two, &observation, 2.0).is_err());
    }

    #[test]
    fn a_step_with_failed_members_is_that_of_the_reference() {
        use crate::kalman::eki;
        use crate::kalman::evidence::{Keep, Rows, gather};
        for case in Fixture::read("extras").cases("eki_with_failed_members") {
            let inputs = &case.inputs;
            let (g, y, dt) = (inputs.matrix("g"), inputs.vector("y"), inputs.number("dt"));
            let observation = observation(y, Covariance::Dense(inputs.matrix("gamma")));
            let sorted = sort(&g, &observation, 0.1).unwrap();
            let gamma = observation.noise();
            let more = gamma.plus(inputs.number("nugget") * dt).unwrap();
            let rows = Rows {
                g: &sorted.g,
                rows: observation.observed(),
                members: &sorted.survivors,
                y: observation.y(),
                noise: &more,
            };
            let xi = inputs.matrix("xi").select_cols(&sorted.survivors);
            let e = eki::whitened_noise(gamma, &more, xi).unwrap();
            let u = inputs.matrix("u").select_cols(&sorted.survivors);
            let moved = eki::update(&u, &gather(&rows, Keep::Whitened).0, dt, Some(&e)).unwrap();
            let (all, singular) = complete(moved, &sorted, &inputs.matrix("xi_failed")).unwrap();
            assert!(!singular);
            case.assert_near("u", all.data(), case.expected.matrix("u").data());
        }
    }

    #[test]
    fn redrawn_members_use_the_principal_root() {
        for (d, members) in [(3, 20), (6, 4)] {
            let (u, xi) = (rough(7, d, members), rough(8, d, 2));
            let (drawn, singular) = redraw(&u, &xi).unwrap();
            assert_eq!(singular, members <= d);
            let mut c = linalg::covariance(&u, members as f64 - 1.0);
            let most = *linalg::symmetric_eigen(&c).unwrap().values.last().unwrap();
            (0..d).for_each(|i| c[(i, i)] += if singular { most * f64::EPSILON.sqrt() } else { 0.0 });
            let dense = linalg::matmul(&linalg::symmetric_root(&c).unwrap(), &xi);
            let mean = u.mean();
            let want = Mat::from_fn(d, 2, |i, k| mean[i] + dense[(i, k)]);
            assert!(apart(drawn.data(), want.data()) < 1e-10); // root of eigenvalues known to eps
        }
    }
}
