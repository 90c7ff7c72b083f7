//! Ensemble Kalman methods: each a pure function on arrays, and here the order in which things are done.
//!
//! Belongs here: the processes, step lengths, repair of failed members, metrics: one file each.
//! Not here: files, processes of the machine, threads it did not get as an argument.

pub mod accelerate;
#[cfg(test)]
mod closed;
pub mod eki;
pub mod etki;
pub mod evidence;
#[cfg(test)]
mod given;
pub mod gnki;
pub mod groups;
pub mod inflate;
pub mod localise;
pub mod method;
pub mod metrics;
mod names;
mod paces;
pub mod repair;
pub mod sampler;
pub mod schedule;
pub mod sparse;
pub mod spectrum;
pub mod spread;
pub mod streamed;
mod survivors;
pub mod unscented;

pub use accelerate::Momentum;
pub use gnki::Draws;
pub use groups::Group;
pub use inflate::{Inflation, Rate, Sigma};
pub use localise::Localisation;
pub use method::Method;
pub use repair::FailureRule;
pub use schedule::{OnTerminate, Schedule};
pub use sparse::Sparse;
pub use unscented::{Points, Unscented};

use std::borrow::Cow;

use crate::numerics::{Mat, Purpose, Streams, standard_normals};
use crate::problem::{Algorithm, AlgorithmError, Ensemble, Evaluated, Problem, Report, State, Step, Stop};
use evidence::{Misfits, Rows};
use paces::Paces;
use repair::Sorted;
use schedule::Progress;
use survivors::{Seen, Survivors};

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
    /// Ensemble Kalman sampler
    Eks,
    /// Affine-invariant interacting Langevin dynamics
    Aldi,
    /// Gauss-Newton Kalman inversion: the prior counts in each step
    Gnki {
        /// Each member sees its own draw of the observation
        perturbed: bool,
        /// How large draws of prior and noise are
        draws: Draws,
    },
    /// Ensemble Kalman inversion, then a limit on the sum of magnitudes ([`Kalman::sparse`])
    Sparse {
        /// Each member sees its own draw of the observation
        perturbed: bool,
    },
}

impl Process {
    /// Whether the members become a sample of the posterior as T → ∞; the prior counts at each step then.
    pub fn samples(self) -> bool {
        matches!(self, Self::Eks | Self::Aldi)
    }

    /// Whether each step needs the prior's mean and covariance.
    fn needs_prior(self) -> bool {
        self.samples() || matches!(self, Self::Gnki { .. })
    }
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
    /// How much a step goes on in the direction of the last
    pub momentum: Momentum,
    /// What becomes of failed members
    pub failures: FailureRule,
    /// Share of a block's values that may be missing before a member counts as failed
    pub nan_tolerance: f64,
    /// Count the prior as data at each step, to converge to the maximum of the posterior as T → ∞;
    /// the first ensemble may then start anywhere
    pub impose_prior: bool,
    /// Added to the diagonal of covariances, of the samplers' covariance of parameters: 0, or 2⁻²⁶ to repeat
    /// EKP.jl's numbers; not for ETKI
    pub nugget: f64,
    /// How much spread each step gives back
    pub inflation: Inflation,
    /// With an imposed prior and perturbed observations: each member sees its own draw N(m, C₀/Δt) of the prior, too
    pub perturb_prior: bool,
    /// What is done to covariances of few members
    pub localisation: Option<Localisation>,
    /// Parameters that learn from some of the data alone; empty: all from all
    pub groups: Vec<Group>,
    /// Each group takes steps of its own length, and is done when its own pseudo-time is used up
    pub own_steps: bool,
    /// Members whose misfit is larger than so many times the median count as failed
    pub outlier_factor: Option<f64>,
    /// The limit of the sparse method
    pub sparse: Sparse,
    /// Threads for the pass over the outputs; the bits do not depend on it
    pub threads: usize,
}

impl Kalman {
    /// A method with its defaults: misfit controller to T = 1, no momentum, failed members redrawn, nothing missing tolerated.
    pub fn new(process: Process, members: usize) -> Self {
        Self {
            process,
            members,
            schedule: Schedule::DataMisfit { terminate_at: 1.0, on_terminate: OnTerminate::Stop },
            momentum: Momentum::None,
            failures: FailureRule::default(),
            nan_tolerance: 0.0,
            impose_prior: false,
            nugget: 0.0,
            perturb_prior: false,
            inflation: Inflation::None,
            localisation: None,
            groups: Vec::new(),
            own_steps: false,
            outlier_factor: None,
            sparse: Sparse::default(),
            threads: 1,
        }
    }
}

impl Kalman {
    /// Whether the misfit controller ends the run when its pseudo-time is used up.
    pub fn stops(&self) -> bool {
        matches!(self.schedule, Schedule::DataMisfit { on_terminate: OnTerminate::Stop, .. })
    }

    /// Whether each step is a combination of members: localisation and groups leave their span, and Gauss and Newton
    /// add draws of the prior.
    pub fn stays_in_span(&self) -> bool {
        let mixes = matches!(self.process, Process::Gnki { .. });
        self.localisation.is_none() && self.groups.is_empty() && !mixes
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
        let (observation, ensemble) = (&problem.observation, &tried.ensemble.u);
        if ensemble.ncols() != tried.g.ncols() {
            let (found, expected) = (tried.g.ncols(), ensemble.ncols());
            return Err(AlgorithmError::Shape { what: "g", found, expected });
        }
        let before = Progress::read(&state)?;
        self.schedule.may_go_on(&before)?;

        // 1. Failures are set aside.
        let mut sorted = match self.failures {
            FailureRule::Redraw => repair::sort(&tried.g, observation, self.nan_tolerance)?,
            FailureRule::Ignore => Sorted::all(&tried.g, observation)?,
        };
        if let Some(factor) = self.outlier_factor {
            repair::outliers(&mut sorted, observation, factor)?;
        }
        let u = survivors_of(ensemble, &sorted);
        let u = u.as_ref(); // d × J
        let rows = Rows {
            g: &sorted.g,
            rows: observation.observed(),
            members: &sorted.survivors,
            y: observation.y(),
            noise: observation.noise(),
        };
        let survivors = Survivors::new(self, &problem.prior, u, rows)?;

        // 2. and 3. The length of the step, which may refuse it, and the step.
        let Moved { moved, misfits, after, planned, seen, paces } =
            self.advance(problem, &survivors, &before, &state, draw, tried.iteration)?;

        // 4. The failed are drawn anew from the moved survivors.
        let xi = normals(draw, Purpose::Redraw, tried.iteration, &sorted.failed(), u.nrows());
        let (next, singular) =
            repair::complete(moved, &sorted, &xi).map_err(AlgorithmError::of("the survivors' spread"))?;

        // 5. All but those go on in the direction of their last step.
        let mut state = state;
        let mut next = self.momentum.push(next, ensemble, &sorted.failed(), &mut state)?;

        // 6. Spread that was lost is given back.
        let xi = if self.inflation.is_random() {
            let everyone: Vec<usize> = (0..next.ncols()).collect();
            normals(draw, Purpose::Inflation, tried.iteration, &everyone, next.nrows())
        } else {
            Mat::default()
        };
        let lengths = paces.as_ref().map(Paces::steps);
        let length = |row: usize| lengths.as_ref().map_or(after.step, |lengths| lengths[row]);
        let longest = (0..next.nrows()).map(length).fold(0.0, f64::max);
        let (inflation, limited) = match self.schedule {
            // Steps that are known beforehand were refused beforehand.
            Schedule::Fixed { .. } | Schedule::Mutable { .. } => (self.inflation.clone(), None),
            _ => self.inflation.limited(longest),
        };
        inflation.apply(&mut next, ensemble, length, &xi, &mut state)?;
        for (row, _) in lengths.iter().flatten().enumerate().filter(|(_, length)| **length == 0.0) {
            // A group that is done stays as it is, whatever was drawn anew.
            (0..next.ncols()).for_each(|j| next[(row, j)] = ensemble[(row, j)]);
        }
        if !next.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }

        // 7. What people and the next call are told.
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        let mut metrics = metrics::measure(&rows, &misfits, seen.as_ref())?;
        let loss = survivors.bayes_loss(&misfits)?;
        if let Some(loss) = loss.or_else(|| metrics::bayes_loss_by(&misfits, &u.mean(), &problem.prior)) {
            metrics.insert("bayes_loss".into(), loss);
        }
        let mut warnings =
            self.warnings(&before, u.nrows(), metrics::twins(&rows, &misfits), &sorted, singular);
        if metrics::uncorrelated(u, &rows) {
            warnings.push("no output is correlated with any parameter: the data move nobody".into());
        }
        warnings.extend(limited);
        let step = after.step;
        if step < planned && !matches!(self.process, Process::Gnki { .. }) {
            warnings.push(format!(
                "the localised step of {planned:.3e} would have made the misfit grow: {step:.3e} was taken"
            ));
        }
        let report = Report {
            step: after.step,
            time: after.time,
            misfit: misfits.loss(),
            avg_rmse: misfits.avg_rmse(),
            spread: metrics::spread(&next),
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            metrics,
            blocks: metrics::blocks(&rows, observation).map_err(AlgorithmError::of("the observation"))?,
            warnings,
            groups: paces.as_ref().map(Paces::told),
            set_aside: sorted.failed,
        };
        after.write(&mut state);
        paces.iter().for_each(|paces| paces.write(&mut state));
        Ok(Step { ensemble: Ensemble { u: next }, state, stop, report })
    }
}

/// The survivors after their step.
struct Moved {
    /// d × J
    moved: Mat,
    misfits: Misfits,
    after: Progress,
    /// The length that the rule allowed
    planned: f64,
    /// Eigenvalues of all data, where the step needed them
    seen: Option<Seen>,
    /// Where groups with steps of their own stand
    paces: Option<Paces>,
}

impl Kalman {
    /// The survivors move, all by one length or each group by its own; a localised step may have to be shorter.
    fn advance(
        &self,
        problem: &Problem,
        survivors: &Survivors<'_>,
        before: &Progress,
        state: &State,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Moved, AlgorithmError> {
        if self.own_steps && !self.groups.is_empty() {
            let (moved, paces) = groups::each(self, problem, survivors, state, draw, iteration)?;
            let (after, misfits) = (paces.whole(), evidence::distances(&survivors.rows));
            return Ok(Moved { moved, misfits, after, planned: after.step, seen: None, paces: Some(paces) });
        }
        let (data, misfits) = survivors.look();
        let after = self.schedule.next(before, &misfits, &data)?;
        let (planned, mut seen) = (after.step, None);
        let (moved, step) =
            groups::step(self, problem, survivors, data, planned, draw, iteration, &mut seen)?;
        Ok(Moved { moved, misfits, after: after.shortened(before, step), planned, seen, paces: None })
    }

    /// What a person should know about this step.
    fn warnings(
        &self,
        before: &Progress,
        parameters: usize,
        twins: Option<(usize, usize)>,
        sorted: &Sorted<'_>,
        singular: bool,
    ) -> Vec<String> {
        let (used, failed) = (sorted.survivors.len(), sorted.failed.len());
        let mut said = Vec::new();
        if failed > used {
            said.push(format!("{failed} of {} members failed: the step learns from {used}", failed + used));
        }
        if singular {
            said.push("the survivors span too little: redrawn members lie almost within their span".into());
        }
        if let Some((a, b)) = twins {
            said.push(format!("members {} and {} have the same outputs", number(a), number(b)));
        }
        if before.time == 0.0 && used <= parameters && self.stays_in_span() {
            said.push(format!(
                "{used} members for {parameters} parameters: no step leaves the span of the first ensemble"
            ));
        }
        if before.time == 0.0 && self.process == (Process::Eki { perturbed: false }) {
            said.push("without perturbed observations the spread falls below the posterior's".into());
        }
        said
    }
}

/// The columns of those to learn from; the same matrix where all are.
fn survivors_of<'a>(u: &'a Mat, sorted: &Sorted<'_>) -> Cow<'a, Mat> {
    if sorted.survivors.len() == u.ncols() {
        return Cow::Borrowed(u);
    }
    Cow::Owned(u.select_cols(&sorted.survivors))
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

#[cfg(test)]
mod tests;
