//! One step of the survivors: which products are taken, with which noise, and which method uses them.
//!
//! Belongs here: what all processes without localisation share around their formula.
//! Not here: the formulas, who survived, how long the step is.

use super::evidence::{Evidence, Keep, Misfits, Rows, gather, gather_on};
use super::localise::{self, Plan};
use super::names;
use super::sampler::{self, Gaussian};
use super::sparse::{self, Sparse};
use super::{Kalman, Process, eki, etki, gnki, metrics, normals};
use crate::numerics::columns::add_scaled;
use crate::numerics::{LinalgError, Mat, Purpose, Streams, linalg};
use crate::problem::observation::{Covariance, Noise};
use crate::problem::{AlgorithmError, Prior};

/// Members to learn from, before their step.
#[derive(Debug)]
pub(super) struct Survivors<'a> {
    pub(super) process: Process,
    /// Threads for the pass over the outputs
    threads: usize,
    /// d × J
    pub(super) u: &'a Mat,
    pub(super) rows: Rows<'a>,
    /// ε of EKI and the samplers
    pub(super) nugget: f64,
    /// Mean and covariance of a prior that counts as data
    pub(super) imposed: Option<(Vec<f64>, Mat)>,
    /// Whether each member sees its own draw of that prior
    perturb_prior: bool,
    /// Mean and covariance of the prior, for methods that need it in each step
    prior: Option<(Vec<f64>, Mat)>,
    /// Options of the sparse method, and the rows it limits
    pub(super) sparse: &'a Sparse,
    pub(super) limited: Vec<usize>,
}

/// The products of the data in units of the noise, times Δt: what a deterministic step is made of.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) step: etki::Decomposed,
    pub(super) dt: f64,
}

impl<'a> Survivors<'a> {
    /// Survivors `u` of a method, and their outputs.
    ///
    /// # Errors
    /// `Prior`, `Shape` for a prior that is to be imposed and cannot.
    pub(super) fn new(
        kalman: &'a Kalman,
        prior: &Prior,
        u: &'a Mat,
        rows: Rows<'a>,
    ) -> Result<Self, AlgorithmError> {
        let mut known = None;
        let needed = kalman.process.needs_prior();
        if kalman.impose_prior || needed {
            let no = |error| AlgorithmError::Prior { why: format!("{error}") };
            let (m, c0) = prior.moments().map_err(no)?;
            if m.len() != u.nrows() {
                return Err(AlgorithmError::Shape { what: "the prior", found: m.len(), expected: u.nrows() });
            }
            known = Some((m, c0));
        }
        let limited = limited(kalman, prior, u.nrows())?;
        let (imposed, prior) = if needed { (None, known) } else { (known, None) };
        let nugget = if kalman.process == Process::Etki { 0.0 } else { kalman.nugget };
        Ok(Self {
            process: kalman.process,
            threads: kalman.threads,
            u,
            rows,
            nugget,
            imposed,
            perturb_prior: kalman.perturb_prior,
            prior,
            sparse: &kalman.sparse,
            limited,
        })
    }

    /// The same for some parameters `u` (rows `parameters` of all) and some data alone: sub-blocks of every covariance.
    pub(super) fn part<'b>(&'b self, parameters: &[usize], u: &'b Mat, rows: Rows<'b>) -> Survivors<'b> {
        let cut = |whole: &Option<(Vec<f64>, Mat)>| {
            whole.as_ref().map(|(m, c0)| {
                let n = parameters.len();
                let entry = |i: usize, k: usize| c0[(parameters[i], parameters[k])];
                (parameters.iter().map(|&i| m[i]).collect(), Mat::from_fn(n, n, entry))
            })
        };
        let own = parameters.iter().enumerate().filter(|(_, row)| self.limited.contains(row));
        Survivors {
            process: self.process,
            threads: self.threads,
            u,
            rows,
            nugget: self.nugget,
            imposed: cut(&self.imposed),
            perturb_prior: self.perturb_prior,
            prior: cut(&self.prior),
            sparse: self.sparse,
            limited: own.map(|(i, _)| i).collect(),
        }
    }

    /// Whether each member sees its own draw of the observation.
    pub(super) fn perturbed(&self) -> bool {
        matches!(
            self.process,
            Process::Eki { perturbed: true }
                | Process::Gnki { perturbed: true, .. }
                | Process::Sparse { perturbed: true }
        )
    }

    /// Draws of the noise have the covariance Γ times this over Δt.
    pub(super) fn draw_scale(&self, dt: f64) -> f64 {
        match self.process {
            Process::Gnki { draws, .. } => draws.scale(dt),
            _ => 1.0,
        }
    }

    /// The survivors' outputs in the rows that count, p × J.
    pub(super) fn outputs(&self) -> Mat {
        let Rows { g, rows, members, .. } = self.rows;
        Mat::from_fn(rows.len(), members.len(), |i, j| g[(rows[i], members[j])])
    }

    /// Mean and covariance of the prior, for a method that cannot do without.
    ///
    /// # Errors
    /// `Prior`.
    pub(super) fn prior(&self) -> Result<(&[f64], &Mat), AlgorithmError> {
        let found = self.prior.as_ref().map(|(m, c0)| (m.as_slice(), c0));
        found.ok_or_else(|| AlgorithmError::Prior { why: "it was not given".into() })
    }

    /// One step with localised covariances; none when it is too long.
    ///
    /// # Errors
    /// As [`Survivors::step`]; `Unfit` for a rule that this method or so few members cannot use.
    pub(super) fn localised(
        &self,
        plan: &Plan,
        dt: f64,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Option<Mat>, AlgorithmError> {
        localise::step(self, plan, dt, draw, iteration)
    }

    /// What they say about the data, and how far they are from it.
    pub(super) fn look(&self) -> (Evidence, Misfits) {
        gather_on(self.threads, &self.rows, self.smaller())
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
        let Some((m, c0)) = self.imposed.as_ref().or(self.prior.as_ref()) else { return Ok(None) };
        let loss = metrics::bayes_loss(misfits, &self.u.mean(), m, c0);
        loss.map(Some).map_err(AlgorithmError::of("the prior"))
    }

    /// One step of length `dt`. `data` is what [`Survivors::look`] gave; it is taken again only where the nugget,
    /// or eigenvalues over too many orders of magnitude, ask for another form. `seen` gets the eigenvalues of the data,
    /// where the step needs just those.
    ///
    /// # Errors
    /// `NoConvergence`, `NotPositiveDefinite`; `NotFinite` for members that left the numbers.
    pub(super) fn step(
        &self,
        data: Evidence,
        dt: f64,
        draw: &Streams,
        iteration: u32,
        seen: &mut Option<Seen>,
    ) -> Result<Mat, AlgorithmError> {
        if self.process.samples() {
            return self.diffuse(&data, dt, self.prior()?, draw, iteration);
        }
        let members = self.u.ncols();
        let perturbed = self.perturbed();
        let taken = dt;
        let dt = if self.process == Process::Etki { dt } else { self.gain_step(dt) };
        let divisor = if self.process == Process::Etki { members - 1 } else { members };
        let stiff = data.is_stiff(dt / divisor as f64);
        // Gauss and Newton have a nugget on the parameters alone.
        let softened = self.nugget > 0.0 && !matches!(self.process, Process::Gnki { .. });
        // Draws of the prior are rows of their own, below those of the noise.
        let own_draws = perturbed && self.perturb_prior && self.imposed.is_some();
        let keep =
            if stiff || own_draws || (perturbed && softened) { Keep::Whitened } else { self.smaller() };

        let noise = if softened {
            self.with_nugget(self.rows.noise, dt, "the observation")?
        } else {
            self.rows.noise.clone()
        };
        let data = if stiff || softened || own_draws {
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
                let exact = noise;
                let noise = self.with_nugget(&exact, dt, "the prior")?;
                let prior = Rows { g: self.u, rows: &all, members: &everyone, y: m, noise: &noise };
                if keep == Keep::Whitened {
                    drawn = drawn.map(|drawn| below(&drawn, m.len())); // without draws of its own: zeros
                }
                if let Some(drawn) = drawn.as_mut().filter(|_| own_draws) {
                    let xi = normals(draw, Purpose::PriorDraw, iteration, self.rows.members, m.len());
                    let of = AlgorithmError::of("the prior");
                    let own = eki::whitened_noise(&exact, &noise, xi).map_err(of)?; // d × J
                    let first = drawn.nrows() - m.len();
                    (0..members).for_each(|j| drawn.col_mut(j)[first..].copy_from_slice(own.col(j)));
                }
                data.plus(gather(&prior, keep).0)
            }
        };
        let moved = match self.process {
            Process::Etki => etki::decompose(&evidence, dt).map(|step| {
                let moved = etki::moved(self.u, &step);
                *seen = self.imposed.is_none().then_some(Seen { step, dt });
                moved
            }),
            // The samplers went another way above.
            Process::Eki { .. } | Process::Eks | Process::Aldi => {
                eki::update(self.u, &evidence, dt, drawn.as_ref())
            }
            Process::Gnki { .. } => return self.newton(&evidence, drawn.as_ref(), dt, draw, iteration),
            Process::Sparse { .. } => {
                // Draws of Γ/Δt in a step that may weigh the data with Γ
                if let Some(drawn) = &mut drawn {
                    drawn.data_mut().iter_mut().for_each(|e| *e *= (dt / taken).sqrt());
                }
                let of = AlgorithmError::of("the members' outputs");
                let moved = eki::update(self.u, &evidence, dt, drawn.as_ref()).map_err(&of)?;
                let sigma = posterior_covariance(self.u, &evidence, dt, self.nugget).map_err(&of)?;
                let mut change = moved;
                add_scaled(change.data_mut(), -1.0, self.u.data());
                return self.sparse(&change, sigma, draw, iteration);
            }
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

    /// The step length that the covariances see.
    fn gain_step(&self, dt: f64) -> f64 {
        if matches!(self.process, Process::Sparse { .. }) { self.sparse.gain_step(dt) } else { dt }
    }

    /// A step of Gauss and Newton.
    fn newton(
        &self,
        data: &Evidence,
        drawn: Option<&Mat>,
        dt: f64,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Mat, AlgorithmError> {
        let (m, c0) = self.prior()?;
        let scale = self.draw_scale(dt);
        let slope = gnki::Slope::new(self.u, data, drawn, (scale / dt).sqrt(), self.nugget)
            .map_err(AlgorithmError::of("the members' parameters"))?;
        let xi = normals(draw, Purpose::PriorDraw, iteration, self.rows.members, self.u.nrows());
        let moved = gnki::blend(self.u, &slope, (m, c0), &xi, scale, dt);
        let moved = moved.map_err(AlgorithmError::of("the prior"))?;
        if moved.is_finite() { Ok(moved) } else { Err(AlgorithmError::NotFinite) }
    }

    /// What the sparse method does after its Kalman step.
    ///
    /// # Errors
    /// `NoConvergence`, `NotFinite`.
    pub(super) fn sparse(
        &self,
        change: &Mat,
        sigma: Mat,
        draw: &Streams,
        iteration: u32,
    ) -> Result<Mat, AlgorithmError> {
        let mut a = self.u.clone();
        add_scaled(a.data_mut(), 1.0, change.data());
        let moved = sparse::project(&a, sigma, &self.limited, self.sparse);
        let mut moved = moved.map_err(AlgorithmError::of("the covariance after the step"))?;
        if self.sparse.jitter > 0.0 {
            let xi = normals(draw, Purpose::Jitter, iteration, self.rows.members, self.limited.len());
            for j in 0..moved.ncols() {
                for (k, &i) in self.limited.iter().enumerate() {
                    moved[(i, j)] += self.sparse.jitter.sqrt() * xi[(k, j)];
                }
            }
        }
        if moved.is_finite() { Ok(moved) } else { Err(AlgorithmError::NotFinite) }
    }

    /// Γ + Δt ε I: `(Γ + Δt ε)/Δt = Γ/Δt + ε`, so a nugget is a little more noise.
    pub(super) fn with_nugget(
        &self,
        noise: &Noise,
        dt: f64,
        of: &'static str,
    ) -> Result<Noise, AlgorithmError> {
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

/// Rows that the sparse method limits.
fn limited(kalman: &Kalman, prior: &Prior, d: usize) -> Result<Vec<usize>, AlgorithmError> {
    if !matches!(kalman.process, Process::Sparse { .. }) {
        return Ok(Vec::new());
    }
    if kalman.sparse.parameters.is_empty() {
        return Ok((0..d).collect());
    }
    let mut rows = Vec::new();
    for name in &kalman.sparse.parameters {
        let unfit =
            || AlgorithmError::Unfit { what: "the limited parameters", why: format!("there is no `{name}`") };
        rows.extend(names::parameter(prior, name).ok_or_else(unfit)?);
    }
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}

/// Covariance of the parameters after a step of EKI: `X (I + s YᵀY)⁻¹ Xᵀ/J + ε I`, `s = Δt/J` (d × d, divisor J).
///
/// # Errors
/// `NotFinite`, `NoConvergence`.
pub(super) fn posterior_covariance(
    u: &Mat,
    evidence: &Evidence,
    dt: f64,
    nugget: f64,
) -> Result<Mat, LinalgError> {
    let n = u.ncols() as f64;
    let spectrum = evidence.spectrum(dt / n)?;
    let x = linalg::centred(u).0;
    let xv = linalg::matmul(&x, &spectrum.v); // d × r
    // With all of V the shares that are left, else what is taken from the whole
    let full = spectrum.lambda.len() == u.ncols();
    let share = |l: f64| if full { 1.0 / (1.0 + l) } else { -l / (1.0 + l) };
    let weighted = Mat::from_fn(xv.nrows(), xv.ncols(), |i, k| xv[(i, k)] * share(spectrum.lambda[k]));
    let mut sigma = linalg::matmul_nt(&weighted, &xv);
    if !full {
        add_scaled(sigma.data_mut(), 1.0, linalg::matmul_nt(&x, &x).data());
    }
    sigma.data_mut().iter_mut().for_each(|c| *c /= n);
    (0..sigma.nrows()).for_each(|i| sigma[(i, i)] += nugget);
    linalg::mirror(&mut sigma);
    Ok(sigma)
}

/// Rows of zeros below.
pub(super) fn below(a: &Mat, more: usize) -> Mat {
    Mat::from_fn(a.nrows() + more, a.ncols(), |i, j| if i < a.nrows() { a[(i, j)] } else { 0.0 })
}
