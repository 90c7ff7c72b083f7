//! One step of the survivors: which products are taken, with which noise, and which method uses them.
//!
//! Belongs here: what all processes without localisation share around their formula.
//! Not here: the formulas, who survived, how long the step is.

use super::evidence::{Evidence, Keep, Misfits, Rows, gather};
use super::sampler::{self, Gaussian};
use super::{Kalman, Process, eki, etki, metrics, normals};
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::observation::{Covariance, Noise};
use crate::problem::{AlgorithmError, Prior};

/// Members to learn from, before their step.
#[derive(Debug)]
pub(super) struct Survivors<'a> {
    process: Process,
    /// d × J
    u: &'a Mat,
    rows: Rows<'a>,
    /// ε of EKI and the samplers
    nugget: f64,
    /// Mean and covariance of a prior that counts as data
    imposed: Option<(Vec<f64>, Mat)>,
    /// Mean and covariance of the prior that a sampler always has
    sampled: Option<(Vec<f64>, Mat)>,
}

impl<'a> Survivors<'a> {
    /// Survivors `u` of a method, and their outputs.
    ///
    /// # Errors
    /// `Prior`, `Shape` for a prior that is to be imposed and cannot.
    pub(super) fn new(
        kalman: &Kalman,
        prior: &Prior,
        u: &'a Mat,
        rows: Rows<'a>,
    ) -> Result<Self, AlgorithmError> {
        let moments = || {
            let no = |error| AlgorithmError::Prior { why: format!("{error}") };
            let (m, c0) = prior.moments().map_err(no)?;
            if m.len() != u.nrows() {
                return Err(AlgorithmError::Shape { what: "the prior", found: m.len(), expected: u.nrows() });
            }
            Ok((m, c0))
        };
        let samples = kalman.process.samples();
        let imposed = (kalman.impose_prior && !samples).then(moments).transpose()?;
        let sampled = samples.then(moments).transpose()?;
        let nugget = if kalman.process == Process::Etki { 0.0 } else { kalman.nugget };
        Ok(Self { process: kalman.process, u, rows, nugget, imposed, sampled })
    }

    /// What they say about the data, and how far they are from it.
    pub(super) fn look(&self) -> (Evidence, Misfits) {
        gather(&self.rows, self.smaller())
    }

    /// Whichever is smaller: J × J products, or all p (+ d) rows.
    fn smaller(&self) -> Keep {
        let rows = self.rows.rows.len() + self.imposed.as_ref().map_or(0, |(m, _)| m.len());
        if rows < self.u.ncols() { Keep::Whitened } else { Keep::Gram }
    }

    /// The loss with the prior's part, where the prior counts.
    ///
    /// # Errors
    /// `NotPositiveDefinite` for the prior's covariance.
    pub(super) fn bayes_loss(&self, misfits: &Misfits) -> Result<Option<f64>, AlgorithmError> {
        let Some((m, c0)) = self.imposed.as_ref().or(self.sampled.as_ref()) else { return Ok(None) };
        let loss = metrics::bayes_loss(misfits, &self.u.mean(), m, c0);
        loss.map(Some).map_err(AlgorithmError::of("the prior"))
    }

    /// One step of length `dt`. `data` is what [`Survivors::look`] gave; it is taken again only where the nugget,
    /// or eigenvalues over too many orders of magnitude, ask for another form.
    ///
    /// # Errors
    /// `NoConvergence`, `NotPositiveDefinite`; `NotFinite` for members that left the numbers.
    pub(super) fn step(
        &self,
        data: Evidence,
        dt: f64,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Mat, AlgorithmError> {
        if let Some((m, c0)) = &self.sampled {
            return self.diffuse(&data, dt, (m, c0), draw, iteration);
        }
        let members = self.u.ncols();
        let perturbed = self.process == Process::Eki { perturbed: true };
        let divisor = if self.process == Process::Etki { members - 1 } else { members };
        let stiff = data.is_stiff(dt / divisor as f64);
        let keep = if stiff || (perturbed && self.nugget > 0.0) { Keep::Whitened } else { self.smaller() };

        let noise = self.with_nugget(self.rows.noise, dt, "the observation")?;
        let data = if stiff || self.nugget > 0.0 {
            gather(&Rows { noise: &noise, ..self.rows }, keep).0
        } else {
            data
        };
        let mut drawn = None;
        if perturbed {
            drawn = Some(self.perturbation(&data, &noise, draw, iteration)?);
        }
        let evidence = match &self.imposed {
            None => data,
            Some((m, c0)) => {
                let (all, everyone) = ((0..m.len()).collect::<Vec<_>>(), (0..members).collect::<Vec<_>>());
                let mut noise = Noise::default();
                noise
                    .push(&Covariance::Dense(c0.clone()), &all)
                    .map_err(|_| AlgorithmError::NotPositiveDefinite { what: "the prior".into() })?;
                let noise = self.with_nugget(&noise, dt, "the prior")?;
                let prior = Rows { g: self.u, rows: &all, members: &everyone, y: m, noise: &noise };
                if keep == Keep::Whitened {
                    drawn = drawn.map(|drawn| below(&drawn, m.len())); // the prior's rows are not perturbed
                }
                data.plus(gather(&prior, keep).0)
            }
        };
        let moved = match self.process {
            Process::Etki => etki::update(self.u, &evidence, dt),
            // The samplers went another way above.
            _ => eki::update(self.u, &evidence, dt, drawn.as_ref()),
        }
        .map_err(AlgorithmError::of("the members' outputs"))?;
        if moved.is_finite() { Ok(moved) } else { Err(AlgorithmError::NotFinite) }
    }

    /// One step of a sampler.
    fn diffuse(
        &self,
        data: &Evidence,
        dt: f64,
        (m, c0): (&[f64], &Mat),
        draw: &Streams,
        iteration: u32,
    ) -> Result<Mat, AlgorithmError> {
        let prior = Gaussian::new(m, c0).map_err(AlgorithmError::of("the prior"))?;
        let numbers = |n| normals(draw, Purpose::Sampler, iteration, self.rows.members, n);
        let moved = if self.process == Process::Eks {
            sampler::eks(self.u, data, dt, &prior, self.nugget, &numbers(m.len()))
        } else {
            // A number for every pair of members, whoever failed: nobody's numbers depend on another's fate.
            let (all, who) = (numbers(self.rows.g.ncols()), self.rows.members);
            let xi = Mat::from_fn(who.len(), who.len(), |i, j| all[(who[i], j)]);
            sampler::aldi(self.u, data, dt, &prior, self.nugget, &xi)
        }
        .map_err(AlgorithmError::of("the members' outputs"))?;
        if moved.is_finite() { Ok(moved) } else { Err(AlgorithmError::NotFinite) }
    }

    /// Γ + Δt ε I: `(Γ + Δt ε)/Δt = Γ/Δt + ε`, so a nugget is a little more noise.
    fn with_nugget(&self, noise: &Noise, dt: f64, of: &'static str) -> Result<Noise, AlgorithmError> {
        if self.nugget == 0.0 {
            return Ok(noise.clone());
        }
        noise.plus(self.nugget * dt).map_err(AlgorithmError::of(of))
    }

    /// The perturbation of each member's observation, in the form of the evidence (see [`eki::update`]).
    fn perturbation(
        &self,
        data: &Evidence,
        noise: &Noise,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Mat, AlgorithmError> {
        let numbers = |n| normals(draw, Purpose::Perturbation, iteration, self.rows.members, n);
        match data {
            Evidence::Gram { s, b } => eki::noise_in_ensemble_space(s, &numbers(b.len())),
            Evidence::Whitened { y, .. } => eki::whitened_noise(self.rows.noise, noise, numbers(y.nrows())),
        }
        .map_err(AlgorithmError::of("the observation's noise"))
    }
}

/// Rows of zeros below.
pub(super) fn below(a: &Mat, more: usize) -> Mat {
    Mat::from_fn(a.nrows() + more, a.ncols(), |i, j| if i < a.nrows() { a[(i, j)] } else { 0.0 })
}
