//! Unscented Kalman inversion: mean and covariance are carried from step to step, members are points placed by them.
//!
//! Huang, Schneider & Stuart (2022), J. Comput. Phys. 463, 111262, doi:10.1016/j.jcp.2022.111262; in the transform
//! form Huang, Huang, Reich & Stuart (2022), Inverse Problems 38, 125006, doi:10.1088/1361-6420/ac99fa.
//! Belongs here: the order in which things are done. Not here: points (`sigma`), what is kept (`kept`), the data's
//! part (`transform`, and `dense` as its slow twin).

pub mod dense;
pub mod kept;
pub mod sigma;
#[cfg(test)]
mod tests;
pub mod transform;

pub use kept::Kept;
pub use sigma::{Points, Scheme, Weights};

use super::evidence::{Evidence, Keep, Misfits, Rows, gather};
use super::metrics;
use super::repair::{self, Sorted};
use super::schedule::{Progress, Schedule};
use crate::numerics::{Mat, Streams};
use crate::problem::observation::{Covariance, Noise};
use crate::problem::{
    Algorithm, AlgorithmError, Ensemble, Evaluated, Prior, Problem, Report, State, Step, Stop,
};

/// Unscented Kalman inversion with all its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Unscented {
    /// Where members lie
    pub points: Points,
    /// The mean is the value at the centre, as EKP.jl has it; without it all points weigh in
    pub modified: bool,
    /// α in (0, 1]: below 1 the mean is pulled back to where it began
    pub alpha: f64,
    /// After so many predictions the evolution is that of the covariance at hand; 0: never, it stays the prior's
    pub freq: u32,
    /// Count the prior as data at each step; sets α = 1, freq = 1
    pub impose_prior: bool,
    /// θ: the imposed prior has noise θ C₀, the data have 2Γ. 2 makes the posterior the fixed point for steps of 1;
    /// 1, as EKP.jl 2.7.1 has it, counts the prior twice
    pub theta: f64,
    /// Added to diagonals of covariances: 0, or 2⁻²⁶ to repeat EKP.jl's UKI; not 0 asks for the dense form
    pub nugget: f64,
    /// Step lengths
    pub schedule: Schedule,
    /// One missing value anywhere refuses the step; else failed points are left out and the others weigh more
    pub ignore_failures: bool,
    /// Share of a block's values that may be missing before a point counts as failed
    pub nan_tolerance: f64,
}

/// Mean and covariance after the data.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// μ, d
    pub mean: Vec<f64>,
    /// P, d × d
    pub covariance: Mat,
}

/// A prior that counts as data.
#[derive(Debug, Clone, PartialEq)]
pub struct Imposed {
    /// m, d
    pub mean: Vec<f64>,
    /// C₀, d × d
    pub covariance: Mat,
    /// θ: its noise is θ C₀/Δt
    pub theta: f64,
}

impl Unscented {
    /// A method with its defaults: modified weights, α = 1, the evolution of the prior, no prior imposed, one step of 1.
    pub fn new(points: Points) -> Self {
        Self {
            points,
            modified: true,
            alpha: 1.0,
            freq: 0,
            impose_prior: false,
            theta: 2.0,
            nugget: 0.0,
            schedule: Schedule::Fixed { step: 1.0 },
            ignore_failures: false,
            nan_tolerance: 0.0,
        }
    }

    /// α and freq as they count: an imposed prior sets both.
    fn evolution(&self) -> (f64, u32) {
        if self.impose_prior { (1.0, 1) } else { (self.alpha, self.freq) }
    }

    /// The first ensemble and state: points of the prior.
    ///
    /// # Errors
    /// `Prior` for one without mean and covariance; `Collapsed` for one without spread.
    pub fn begin(&self, prior: &Prior) -> Result<(Ensemble, State), AlgorithmError> {
        let (m, c0) = moments(prior)?;
        let scheme = Scheme::new(self.points, self.modified, m.len());
        let (alpha, freq) = self.evolution();
        let mut kept = Kept::new(m, c0, alpha);
        // A prediction of no length, which counts: as in EKP.jl
        let u = kept.predict(&scheme, alpha, freq, 0.0)?;
        let mut state = State::default();
        kept.write(&mut state);
        Progress::default().write(&mut state);
        Ok((Ensemble { u }, state))
    }

    /// Mean and covariance after the data, in the form that is cheaper and holds the weights.
    fn analyse(
        &self,
        x: &Mat,
        rows: &Rows<'_>,
        data: Evidence,
        weights: &Weights,
        dt: f64,
        imposed: Option<&Imposed>,
    ) -> Result<Analysis, AlgorithmError> {
        if self.nugget > 0.0 || !weights.has_roots() {
            let g = Mat::from_fn(rows.rows.len(), rows.members.len(), |i, j| {
                rows.g[(rows.rows[i], rows.members[j])]
            });
            return dense::analyse(x, &g, (rows.y, rows.noise), weights, dt, imposed, self.nugget)
                .map_err(AlgorithmError::of("the points' outputs"));
        }
        let t = transform::basis(weights);
        let mut all = transform::about(&data, &t, &weights.mean);
        let keep = if all.is_stiff(dt / 2.0) {
            // Eigenvalues over too many orders of magnitude for products: all rows again
            all = transform::about(&gather(rows, Keep::Whitened).0, &t, &weights.mean);
            Keep::Whitened
        } else {
            form(rows, imposed.is_some(), x.nrows())
        };
        if let Some(Imposed { mean, covariance, theta }) = imposed {
            // S counts the data with Δt/2 and the prior with Δt/θ: the same with noise θ/2 C₀
            let mut c0 = covariance.clone();
            c0.data_mut().iter_mut().for_each(|x| *x *= theta / 2.0);
            let (parameters, points): (Vec<usize>, Vec<usize>) =
                ((0..mean.len()).collect(), (0..x.ncols()).collect());
            let mut noise = Noise::default();
            noise
                .push(&Covariance::Dense(c0), &parameters)
                .map_err(|_| AlgorithmError::NotPositiveDefinite { what: "the prior".into() })?;
            let prior = Rows { g: x, rows: &parameters, members: &points, y: mean, noise: &noise };
            all = all.plus(transform::about(&gather(&prior, keep).0, &t, &weights.mean));
        }
        transform::analyse(x, weights, &t, &all, dt).map_err(AlgorithmError::of("the points' outputs"))
    }

    /// What a person should know about this step.
    fn warnings(&self, d: usize, sorted: &Sorted<'_>) -> Vec<String> {
        let mut said = Vec::new();
        let failed = sorted.failed();
        if failed.is_empty() {
            return said;
        }
        let off = sorted.survivors.iter().filter(|&&i| i > 0).count();
        let dead = |i: &usize| failed.contains(&(i + 1)) && failed.contains(&(i + 1 + d));
        let blind = match self.points {
            Points::Symmetric => (0..d).filter(dead).count(),
            Points::Simplex => d.saturating_sub(off),
        };
        if blind > 0 {
            said.push(format!(
                "failed points leave {blind} of {d} directions without any: nothing is learnt there"
            ));
        }
        if failed.contains(&0) {
            said.push("the centre failed: the mean of the other points stands for it".into());
        }
        said
    }
}

/// Whichever is smaller: products of points, or all rows.
fn form(rows: &Rows<'_>, imposed: bool, d: usize) -> Keep {
    let more = if imposed { d } else { 0 };
    if rows.rows.len() + more < rows.members.len() { Keep::Whitened } else { Keep::Gram }
}

fn moments(prior: &Prior) -> Result<(Vec<f64>, Mat), AlgorithmError> {
    prior.moments().map_err(|error| AlgorithmError::Prior { why: format!("{error}") })
}

/// How far the predicted observation `ḡ = g w` is from the data; each measure is the same for "members" and mean.
fn predicted(rows: &Rows<'_>, weights: &Weights) -> Misfits {
    let mean = predicted_outputs(rows, weights);
    let off: Vec<f64> = rows.rows.iter().zip(rows.y).map(|(&i, y)| y - mean[(i, 0)]).collect();
    let plain = off.iter().map(|x| x * x).sum();
    let mut off = Mat::from_columns(off.len(), 1, off);
    rows.noise.whiten(&mut off);
    let weighted = off.data().iter().map(|x| x * x).sum();
    Misfits {
        rows: rows.rows.len(),
        members: vec![weighted],
        mean: weighted,
        plain_members: vec![plain],
        plain_mean: plain,
    }
}

/// Outputs that the points predict, all rows × 1.
fn predicted_outputs(rows: &Rows<'_>, weights: &Weights) -> Mat {
    let mut mean = vec![0.0; rows.g.nrows()];
    for (&j, w) in rows.members.iter().zip(&weights.mean).filter(|(_, w)| **w != 0.0) {
        mean.iter_mut().zip(rows.g.col(j)).for_each(|(mean, g)| *mean += w * g);
    }
    Mat::from_columns(mean.len(), 1, mean)
}

impl Algorithm for Unscented {
    fn first(&self, problem: &Problem, _draw: &Streams) -> (Ensemble, State) {
        self.begin(&problem.prior).expect("the prior was found to have mean and covariance")
    }

    fn estimate(&self, ensemble: Ensemble, state: &State) -> Result<Ensemble, AlgorithmError> {
        let d = ensemble.u.nrows();
        let kept = Kept::read(state, d)?;
        let l = kept::factor(&kept.covariance)?;
        // ±√d along each axis: over 2d + 1 members a divisor of 2d makes P of 2 d L Lᵀ
        let side = (d as f64).sqrt();
        let u = Mat::from_fn(d, 2 * d + 1, |i, j| {
            let along = match j {
                0 => 0.0,
                _ if j <= d => side * l[(i, j - 1)],
                _ => -side * l[(i, j - 1 - d)],
            };
            kept.mean[i] + along
        });
        Ok(Ensemble { u })
    }

    fn next(
        &self,
        problem: &Problem,
        state: State,
        tried: &Evaluated<'_>,
        _draw: &Streams,
    ) -> Result<Step, AlgorithmError> {
        let (observation, ensemble) = (&problem.observation, &tried.ensemble.u);
        let d = ensemble.nrows();
        for (what, found, expected) in
            [("g", tried.g.ncols(), ensemble.ncols()), ("the points", ensemble.ncols(), self.points.count(d))]
        {
            if found != expected {
                return Err(AlgorithmError::Shape { what, found, expected });
            }
        }
        let before = Progress::read(&state)?;
        self.schedule.may_go_on(&before)?;
        let mut kept = Kept::read(&state, d)?;
        let scheme = Scheme::new(self.points, self.modified, d);

        // 1. Failures are set aside; the others weigh more.
        let sorted = if self.ignore_failures {
            Sorted::all(&tried.g, observation)?
        } else {
            repair::sort(&tried.g, observation, self.nan_tolerance)?
        };
        let weights = scheme.surviving(&sorted.survivors)?;
        let x = ensemble.select_cols(&sorted.survivors); // d × n
        let rows = Rows {
            g: &sorted.g,
            rows: observation.observed(),
            members: &sorted.survivors,
            y: observation.y(),
            noise: observation.noise(),
        };
        let imposed = if self.impose_prior {
            let (mean, covariance) = moments(&problem.prior)?;
            Some(Imposed { mean, covariance, theta: self.theta })
        } else {
            None
        };

        // 2. The length of the step, from all points as if they were an ensemble.
        let (data, misfits) = gather(&rows, form(&rows, self.impose_prior, d));
        let after = self.schedule.next(&before, &misfits, &data)?;

        // 3. What people are told of the points before they move.
        let told = predicted(&rows, &weights);
        let mean = predicted_outputs(&rows, &weights);
        let blocks = metrics::blocks(&Rows { g: &mean, members: &[0], ..rows }, observation);
        let mut measures = metrics::plain(&told);
        let spectrum = metrics::plain_spectrum(&rows, |evidence| {
            transform::about(&evidence, &transform::basis(&weights), &weights.mean)
        });
        let crps = spectrum.map_err(AlgorithmError::of("the points' outputs"))?;
        if let Some(crps) = crps.and_then(|spectrum| metrics::crps_of(&spectrum, 1.0, sorted.survivors.len()))
        {
            measures.insert("crps".into(), crps);
        }
        if let Some(Imposed { mean, covariance, .. }) = &imposed {
            let at = sigma::weighted_mean(&x, &weights.mean);
            let loss = metrics::bayes_loss(&told, &at, mean, covariance);
            measures.insert("bayes_loss".into(), loss.map_err(AlgorithmError::of("the prior"))?);
        }

        // 4. The data's part, then the prediction of the same length.
        let analysis = self.analyse(&x, &rows, data, &weights, after.step, imposed.as_ref())?;
        kept.mean = analysis.mean;
        kept.covariance = symmetric(&analysis.covariance);
        let (alpha, freq) = self.evolution();
        let u = kept.predict(&scheme, alpha, freq, after.step)?;
        if !u.is_finite() || !kept.covariance.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }

        let mut state = state;
        kept.write(&mut state);
        after.write(&mut state);
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        let report = Report {
            step: after.step,
            time: after.time,
            misfit: told.loss(),
            avg_rmse: told.avg_rmse(),
            spread: (0..d).map(|i| kept.covariance[(i, i)].max(0.0).sqrt()).collect(),
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            metrics: measures,
            blocks: blocks.map_err(AlgorithmError::of("the observation"))?,
            warnings: self.warnings(d, &sorted),
            set_aside: sorted.failed,
        };
        Ok(Step { ensemble: Ensemble { u }, state, stop, report })
    }
}

fn symmetric(a: &Mat) -> Mat {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| 0.5 * (a[(i, j)] + a[(j, i)]))
}
