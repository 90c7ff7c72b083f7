//! Unscented Kalman inversion: mean and covariance are carried from step to step, members are points placed by them.
//!
//! Huang, Schneider & Stuart (2022), J. Comput. Phys. 463, 111262, doi:10.1016/j.jcp.2022.111262; in the transform
//! form Huang, Huang, Reich & Stuart (2022), Inverse Problems 38, 125006, doi:10.1088/1361-6420/ac99fa.
//! Belongs here: the order in which things are done. Not here: points (`sigma`), what is kept (`kept`), the data's
//! part (`transform`, and `dense` as its slow twin), measures and words (`told`).

pub mod dense;
pub mod kept;
mod layout;
pub mod sigma;
#[cfg(test)]
mod tests;
mod told;
pub mod transform;

pub use kept::Kept;
pub use sigma::{Points, Scheme, Weights};

use super::evidence::{Evidence, Keep, Rows, gather};
use super::groups::{self, Group};
use super::metrics;
use super::paces::{Pace, Paces};
use super::repair::{self, Sorted};
use super::schedule::{Progress, Schedule};
use crate::numerics::{Mat, Streams};
use crate::problem::observation::{Covariance, Noise};
use crate::problem::{
    Algorithm, AlgorithmError, Ensemble, Evaluated, Prior, Problem, Report, State, Step, Stop,
};
use layout::Place;
use told::predicted;

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
    /// Parameters that learn from some of the data alone; empty: all from all
    pub groups: Vec<Group>,
    /// Each group takes steps of its own length, and is done when its own pseudo-time is used up
    pub own_steps: bool,
    /// The points of all groups move at the same time; else each group has its own, while the others stay at their
    /// centre
    pub shared_points: bool,
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
            groups: Vec::new(),
            own_steps: false,
            shared_points: false,
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
        let (alpha, freq) = self.evolution();
        let layout = self.layout(prior).map_err(unfit)?;
        let mut u = Mat::zeros(m.len(), layout::size(&layout));
        let mut all = Vec::with_capacity(layout.len());
        for place in &layout {
            let scheme = Scheme::new(self.points, self.modified, place.rows.len());
            let mut kept = Kept::new(place.rows.iter().map(|&i| m[i]).collect(), place.block(&c0), alpha);
            // A prediction of no length, which counts: as in EKP.jl
            place.put(&kept.predict(&scheme, alpha, freq, 0.0)?, &mut u);
            all.push(kept);
        }
        let mut state = State::default();
        self.keep(&all, &layout, m.len(), &mut state);
        Progress::default().write(&mut state);
        Ok((Ensemble { u }, state))
    }

    fn keep(&self, all: &[Kept], layout: &[Place], d: usize, state: &mut State) {
        let rows: Vec<Vec<usize>> = layout.iter().map(|place| place.rows.clone()).collect();
        Kept::write_parts(all, &rows, state);
        layout::write(layout, d, state);
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

    /// Directions of d in which no point is left; `survivors` are points.
    fn blind(&self, d: usize, survivors: &[usize]) -> usize {
        let alive = |i: usize| survivors.binary_search(&i).is_ok();
        match self.points {
            Points::Symmetric => (0..d).filter(|i| !alive(i + 1) && !alive(i + 1 + d)).count(),
            Points::Simplex => d.saturating_sub(survivors.iter().filter(|&&i| i > 0).count()),
        }
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

impl Algorithm for Unscented {
    fn first(&self, problem: &Problem, _draw: &Streams) -> (Ensemble, State) {
        self.begin(&problem.prior).expect("the prior was found to have mean and covariance")
    }

    fn estimate(&self, ensemble: Ensemble, state: &State) -> Result<Ensemble, AlgorithmError> {
        let d = ensemble.u.nrows();
        let parts = layout::rows(state, d);
        let all = Kept::read_parts(state, &parts)?;
        // ±√w along each axis: over 2w + 1 members a divisor of 2w makes P of 2 w L Lᵀ. Each group has the first of
        // the axes, so that w is that of the widest.
        let wide = parts.iter().map(Vec::len).max().unwrap_or(0);
        let side = (wide as f64).sqrt();
        let mut u = Mat::zeros(d, 2 * wide + 1);
        for (kept, rows) in all.iter().zip(&parts) {
            let l = kept::factor(&kept.covariance)?;
            for j in 0..u.ncols() {
                for (i, &row) in rows.iter().enumerate() {
                    let along = match j {
                        _ if (1..=rows.len()).contains(&j) => side * l[(i, j - 1)],
                        _ if (wide + 1..=wide + rows.len()).contains(&j) => -side * l[(i, j - 1 - wide)],
                        _ => 0.0,
                    };
                    u[(row, j)] = kept.mean[i] + along;
                }
            }
        }
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
        let layout = self.layout(&problem.prior).map_err(unfit)?;
        for (what, found, expected) in [
            ("g", tried.g.ncols(), ensemble.ncols()),
            ("the points", ensemble.ncols(), layout::size(&layout)),
        ] {
            if found != expected {
                return Err(AlgorithmError::Shape { what, found, expected });
            }
        }
        let before = Progress::read(&state)?;
        self.schedule.may_go_on(&before)?;

        // 1. Failures are set aside; the others weigh more.
        let sorted = if self.ignore_failures {
            Sorted::all(&tried.g, observation)?
        } else {
            repair::sort(&tried.g, observation, self.nan_tolerance)?
        };
        let rows = Rows {
            g: &sorted.g,
            rows: observation.observed(),
            members: &sorted.survivors,
            y: observation.y(),
            noise: observation.noise(),
        };
        let prior = if self.impose_prior { Some(moments(&problem.prior)?) } else { None };

        // 2. The length of the step, from all points as if they were an ensemble; groups may have lengths of their own.
        let parts = groups::parts(&self.groups, problem, d)?;
        let mut state = state;
        let own = self.own_steps && !self.groups.is_empty();
        let paces = if own { Some(Paces::read(&state, parts.len())?) } else { None };
        let whole = if own { None } else { Some(gather(&rows, form(&rows, self.impose_prior, d))) };
        let common = match &whole {
            Some((data, misfits)) => Some(self.schedule.next(&before, misfits, data)?),
            None => None,
        };

        // 3. What people are told of the points before they move.
        let mut told = self.told(observation, &rows, &sorted, &layout)?;
        if let Some((mean, covariance)) = &prior {
            let loss = metrics::bayes_loss(&told.misfits, &told.at(ensemble), mean, covariance);
            told.measures.insert("bayes_loss".into(), loss.map_err(AlgorithmError::of("the prior"))?);
        } else if let Some(loss) = metrics::bayes_loss_by(&told.misfits, &told.at(ensemble), &problem.prior) {
            told.measures.insert("bayes_loss".into(), loss);
        }

        // 4. Group by group the data's part, then the prediction of the same length.
        let kept_rows: Vec<Vec<usize>> = layout.iter().map(|place| place.rows.clone()).collect();
        let mut kept = Kept::read_parts(&state, &kept_rows)?;
        let (alpha, freq) = self.evolution();
        let (mut u, mut blind, mut done) = (ensemble.clone(), 0, Vec::new());
        let mut whole = whole.map(|(data, _)| data);
        for (k, (part, place)) in parts.iter().zip(&layout).enumerate() {
            let progress = paces.as_ref().map_or(before, |paces| paces.of(part));
            if own && self.schedule.is_over(&progress) {
                done.push(Pace { progress, moves: false, misfit: 0.0 });
                continue;
            }
            let points: Vec<usize> = (0..place.columns.len())
                .filter(|&i| sorted.survivors.binary_search(&place.columns[i]).is_ok())
                .collect();
            let members: Vec<usize> = points.iter().map(|&i| place.columns[i]).collect();
            let n = place.rows.len();
            blind += self.blind(n, &points);
            let scheme = Scheme::new(self.points, self.modified, n);
            let weights = scheme.surviving(&points)?;
            let x = Mat::from_fn(n, members.len(), |i, j| ensemble[(place.rows[i], members[j])]);
            let cut;
            let rows = if self.groups.is_empty() {
                rows
            } else {
                cut = part.outputs_of(&rows)?;
                Rows { members: &members, ..cut.rows(rows) }
            };
            let imposed = prior.as_ref().map(|(mean, covariance)| Imposed {
                mean: place.rows.iter().map(|&i| mean[i]).collect(),
                covariance: place.block(covariance),
                theta: self.theta,
            });
            let mut seen = None;
            let data = match whole.take() {
                Some(data) if self.groups.is_empty() => data,
                _ => {
                    let (data, misfits) = gather(&rows, form(&rows, self.impose_prior, n));
                    seen = Some(misfits);
                    data
                }
            };
            let after = match (&common, &seen) {
                (Some(common), _) => *common,
                (None, Some(misfits)) => self.schedule.next(&progress, misfits, &data)?,
                (None, None) => unreachable!("a group with its own step has looked at its own data"),
            };
            let analysis = self.analyse(&x, &rows, data, &weights, after.step, imposed.as_ref())?;
            kept[k].mean = analysis.mean;
            kept[k].covariance = symmetric(&analysis.covariance);
            place.put(&kept[k].predict(&scheme, alpha, freq, after.step)?, &mut u);
            if !kept[k].covariance.is_finite() {
                return Err(AlgorithmError::NotFinite);
            }
            let misfit = if own { predicted(&rows, &weights).loss() } else { 0.0 };
            done.push(Pace { progress: after, moves: true, misfit });
        }
        if !u.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }

        let paces = own.then(|| Paces::new(done, &parts));
        let after = match (&paces, common) {
            (Some(paces), _) => paces.whole(),
            (None, Some(common)) => common,
            (None, None) => before,
        };
        self.keep(&kept, &layout, d, &mut state);
        after.write(&mut state);
        paces.iter().for_each(|paces| paces.write(&mut state));
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        let mut spread = vec![0.0; d];
        for (kept, place) in kept.iter().zip(&layout) {
            for (i, &row) in place.rows.iter().enumerate() {
                spread[row] = kept.covariance[(i, i)].max(0.0).sqrt();
            }
        }
        let report = Report {
            step: after.step,
            time: after.time,
            misfit: told.misfits.loss(),
            avg_rmse: told.misfits.avg_rmse(),
            spread,
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            metrics: told.measures,
            blocks: told.blocks,
            warnings: self.warnings(d, blind, &sorted),
            groups: paces.as_ref().map(Paces::told),
            set_aside: sorted.failed,
        };
        Ok(Step { ensemble: Ensemble { u }, state, stop, report })
    }
}

fn unfit(misfit: groups::Misfit) -> AlgorithmError {
    AlgorithmError::Unfit { what: "the groups", why: misfit.why }
}

fn symmetric(a: &Mat) -> Mat {
    Mat::from_fn(a.nrows(), a.ncols(), |i, j| 0.5 * (a[(i, j)] + a[(j, i)]))
}
