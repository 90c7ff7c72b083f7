//! Ensemble Kalman methods: each a pure function on arrays, and here the order in which things are done.
//!
//! Belongs here: the processes, step lengths, repair of failed members, metrics: one file each.
//! Not here: files, processes of the machine, threads it did not get as an argument.

pub mod eki;
pub mod etki;
pub mod evidence;
#[cfg(test)]
mod given;
pub mod metrics;
pub mod repair;
pub mod schedule;

pub use repair::FailureRule;
pub use schedule::{OnTerminate, Schedule};

use crate::numerics::{Mat, Purpose, Streams, standard_normals};
use crate::problem::observation::{Covariance, Noise};
use crate::problem::{Algorithm, AlgorithmError, Ensemble, Evaluated, Problem, Report, State, Step, Stop};
use evidence::{Evidence, Keep, Misfits, Rows, gather};
use repair::Sorted;
use schedule::Progress;

/// How an ensemble moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// Ensemble Kalman inversion
    Eki {
        /// Each member sees its own draw of the observation: right spread for many members, noise for few
        perturbed: bool,
    },
    /// Ensemble transform Kalman inversion: deterministic
    Etki,
}

/// An ensemble Kalman method with all its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Kalman {
    /// How the ensemble moves
    pub process: Process,
    /// Ensemble size J
    pub members: usize,
    /// Step lengths
    pub schedule: Schedule,
    /// What becomes of failed members
    pub failures: FailureRule,
    /// Share of a block's values that may be missing before a member counts as failed
    pub nan_tolerance: f64,
    /// Count the prior as data at each step, to converge to the maximum of the posterior as T → ∞;
    /// the first ensemble may then start anywhere
    pub impose_prior: bool,
    /// Added to the diagonal of EKI's covariance of outputs: 0, or 2⁻²⁶ to repeat EKP.jl's numbers
    pub nugget: f64,
}

impl Kalman {
    /// A method with the defaults: misfit controller to T = 1, failed members redrawn, nothing missing tolerated.
    pub fn new(process: Process, members: usize) -> Self {
        Self {
            process,
            members,
            schedule: Schedule::DataMisfit { terminate_at: 1.0, on_terminate: OnTerminate::Stop },
            failures: FailureRule::default(),
            nan_tolerance: 0.0,
            impose_prior: false,
            nugget: 0.0,
        }
    }
}

impl Algorithm for Kalman {
    fn first(&self, problem: &Problem, draw: &Streams) -> (Ensemble, State) {
        let mut u = Mat::zeros(problem.prior.dim(), self.members);
        for j in 0..self.members {
            let member = problem.prior.sample(&mut draw.at(Purpose::Prior, 0, number(j)));
            u.col_mut(j).copy_from_slice(&member);
        }
        let mut state = State::default();
        Progress::default().write(&mut state);
        (Ensemble { u }, state)
    }

    fn next(
        &self,
        problem: &Problem,
        state: State,
        tried: &Evaluated<'_>,
        draw: &Streams,
    ) -> Result<Step, AlgorithmError> {
        let observation = &problem.observation;
        let before = Progress::read(&state)?;
        if self.schedule.is_over(&before) {
            return Err(AlgorithmError::Over { time: before.time });
        }
        let u_all = &tried.ensemble.u;
        if u_all.ncols() != tried.g.ncols() {
            let (found, expected) = (tried.g.ncols(), u_all.ncols());
            return Err(AlgorithmError::Shape { what: "g", found, expected });
        }

        // 1. Failures are set aside.
        let sorted = match self.failures {
            FailureRule::Redraw => repair::sort(&tried.g, observation, self.nan_tolerance)?,
            FailureRule::Ignore => Sorted::all(&tried.g, observation)?,
        };
        let u = u_all.select_cols(&sorted.survivors); // d × J
        let rows = Rows {
            g: &sorted.g,
            rows: observation.observed(),
            members: &sorted.survivors,
            y: observation.y(),
            noise: observation.noise(),
        };

        // 2. The length of the step, which may refuse it.
        let (data, misfits) = gather(&rows, self.keep(&rows, u.nrows()));
        let after = self.schedule.next(&before, &misfits)?;

        // 3. The step of the survivors.
        let imposed = self.imposed(problem, &u, after.step)?;
        let moved = self.update(&u, &rows, data, imposed.as_ref(), after.step, (draw, tried.iteration))?;
        if !moved.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }

        // 4. Failed members are drawn anew from the moved survivors.
        let mut report = self.report(&rows, &misfits, &sorted, &after, u_all.ncols())?;
        let mut next = Mat::zeros(u_all.nrows(), u_all.ncols());
        for (k, &j) in sorted.survivors.iter().enumerate() {
            next.col_mut(j).copy_from_slice(moved.col(k));
        }
        if !sorted.failed.is_empty() {
            let failed: Vec<usize> = sorted.failed.iter().map(|(j, _)| *j).collect();
            let xi = normals(draw, Purpose::Redraw, tried.iteration, &failed, u_all.nrows());
            let (drawn, singular) =
                repair::redraw(&moved, &xi).map_err(AlgorithmError::of("the survivors' spread"))?;
            for (k, &j) in failed.iter().enumerate() {
                next.col_mut(j).copy_from_slice(drawn.col(k));
            }
            if singular {
                let said = "the survivors' covariance is singular: redrawn members lie almost in their span";
                report.warnings.push(said.into());
            }
        }

        // 5. What people and the next call need.
        if let Some(Imposed { m, c0, .. }) = &imposed {
            let loss =
                metrics::bayes_loss(&misfits, &u.mean(), m, c0).map_err(AlgorithmError::of("the prior"))?;
            report.metrics.insert("bayes_loss".into(), loss);
        }
        report.spread = metrics::spread(&next);
        let mut state = state;
        after.write(&mut state);
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        Ok(Step { ensemble: Ensemble { u: next }, state, stop, report })
    }
}

/// The prior as rows to compare: u against m with covariance C₀.
struct Imposed {
    m: Vec<f64>,
    c0: Mat,
    /// C₀, with the nugget times Δt
    noise: Noise,
}

impl Kalman {
    /// Whichever is smaller: J × J products, or all p (+ d) rows.
    fn keep(&self, rows: &Rows<'_>, d: usize) -> Keep {
        let p = rows.rows.len() + if self.impose_prior { d } else { 0 };
        if p < rows.members.len() { Keep::Whitened } else { Keep::Gram }
    }

    fn imposed(&self, problem: &Problem, u: &Mat, dt: f64) -> Result<Option<Imposed>, AlgorithmError> {
        if !self.impose_prior {
            return Ok(None);
        }
        let (m, c0) =
            problem.prior.moments().map_err(|error| AlgorithmError::Prior { why: error.to_string() })?;
        if m.len() != u.nrows() {
            return Err(AlgorithmError::Shape { what: "the prior", found: m.len(), expected: u.nrows() });
        }
        let prior = || AlgorithmError::NotPositiveDefinite { what: "the prior".into() };
        let rows: Vec<usize> = (0..m.len()).collect();
        let mut noise = Noise::default();
        noise.push(&Covariance::Dense(c0.clone()), &rows).map_err(|_| prior())?;
        let nugget = self.nugget_of_process() * dt;
        let noise = if nugget > 0.0 { noise.plus(nugget).map_err(|_| prior())? } else { noise };
        Ok(Some(Imposed { m, c0, noise }))
    }

    fn nugget_of_process(&self) -> f64 {
        if matches!(self.process, Process::Eki { .. }) { self.nugget } else { 0.0 }
    }

    /// One step of the survivors. `data` is the evidence already gathered for the step length.
    fn update(
        &self,
        u: &Mat,
        rows: &Rows<'_>,
        data: Evidence,
        imposed: Option<&Imposed>,
        dt: f64,
        (draw, iteration): (&Streams, u32),
    ) -> Result<Mat, AlgorithmError> {
        let (d, members) = (u.nrows(), u.ncols());
        let perturbed = self.process == Process::Eki { perturbed: true };
        let nugget = self.nugget_of_process();
        // (Γ + Δt ε)/Δt is Γ/Δt + ε: the nugget is a little more noise.
        let noise = (nugget > 0.0).then(|| rows.noise.plus(nugget * dt)).transpose();
        let noise = noise.map_err(AlgorithmError::of("the observation"))?;
        let gamma = rows.noise;
        let rows = &Rows { noise: noise.as_ref().unwrap_or(gamma), ..*rows };

        let scale = dt / (members as f64 - if self.process == Process::Etki { 1.0 } else { 0.0 });
        let mut keep = self.keep(rows, d);
        let mut data = data;
        if data.is_stiff(scale) || (nugget > 0.0 && perturbed) {
            keep = Keep::Whitened;
        }
        if nugget > 0.0 || matches!((&data, keep), (Evidence::Gram { .. }, Keep::Whitened)) {
            data = gather(rows, keep).0;
        }

        let noise =
            if perturbed { Some(self.perturbation(rows, gamma, &data, (draw, iteration))?) } else { None };
        let (evidence, noise) = match imposed {
            None => (data, noise),
            Some(Imposed { m, noise: c0, .. }) => {
                let all: Vec<usize> = (0..d).collect();
                let members: Vec<usize> = (0..members).collect();
                let prior = Rows { g: u, rows: &all, members: &members, y: m, noise: c0 };
                let noise = noise.map(|noise| match keep {
                    Keep::Gram => noise,
                    Keep::Whitened => below(&noise, d), // the prior's rows are not perturbed
                });
                (data.plus(gather(&prior, keep).0), noise)
            }
        };
        match self.process {
            Process::Etki => etki::update(u, &evidence, dt),
            Process::Eki { .. } => eki::update(u, &evidence, dt, noise.as_ref()),
        }
        .map_err(AlgorithmError::of("the members' outputs"))
    }

    /// The perturbation of each member's observation, in the form of the evidence (see [`eki::update`]).
    fn perturbation(
        &self,
        rows: &Rows<'_>,
        gamma: &Noise,
        data: &Evidence,
        (draw, iteration): (&Streams, u32),
    ) -> Result<Mat, AlgorithmError> {
        let numbers = |n| normals(draw, Purpose::Perturbation, iteration, rows.members, n);
        match data {
            Evidence::Gram { s, b } => eki::noise_in_ensemble_space(s, &numbers(b.len())),
            Evidence::Whitened { y, .. } => eki::whitened_noise(gamma, rows.noise, numbers(y.nrows())),
        }
        .map_err(AlgorithmError::of("the observation's noise"))
    }

    fn report(
        &self,
        rows: &Rows<'_>,
        misfits: &Misfits,
        sorted: &Sorted<'_>,
        after: &Progress,
        total: usize,
    ) -> Result<Report, AlgorithmError> {
        let mut report = Report {
            set_aside: sorted.failed.clone(),
            step: after.step,
            time: after.time,
            misfit: misfits.loss(),
            avg_rmse: misfits.avg_rmse(),
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            ..Report::default()
        };
        let mut measure = |name: &str, value: f64| report.metrics.insert(name.to_owned(), value);
        measure("unweighted_loss", misfits.unweighted_loss());
        measure("unweighted_avg_rmse", misfits.unweighted_avg_rmse());
        let crps = metrics::crps(rows).map_err(AlgorithmError::of("the members' outputs"))?;
        crps.map(|crps| measure("crps", crps));
        if 2 * sorted.survivors.len() < total {
            let (failed, used) = (sorted.failed.len(), sorted.survivors.len());
            report.warnings.push(format!("{failed} of {total} members failed: the step learns from {used}"));
        }
        Ok(report)
    }
}

/// Rows of zeros below.
fn below(a: &Mat, more: usize) -> Mat {
    Mat::from_fn(a.nrows() + more, a.ncols(), |i, j| if i < a.nrows() { a[(i, j)] } else { 0.0 })
}

/// Members count from 1 in addresses of random numbers, as in names of folders.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).expect("fewer than four billion members")
}

/// `n` standard normals for each member, from its own stream: no member's numbers depend on another's fate.
fn normals(draw: &Streams, purpose: Purpose, iteration: u32, members: &[usize], n: usize) -> Mat {
    let column = |&j: &usize| standard_normals(&mut draw.at(purpose, iteration, number(j)), n);
    Mat::from_columns(n, members.len(), members.iter().flat_map(column).collect())
}
