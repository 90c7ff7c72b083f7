//! One localised step of each method.
//!
//! Belongs here: which covariances a method takes, what it does with them. Not here: the covariances.

use super::guard::Walked;
use super::joint::correlated;
use super::sec::Within;
use super::{Form, Joint, Plan, cross, local};
use crate::kalman::evidence::{Keep, Rows, gather};
use crate::kalman::survivors::{Survivors, below};
use crate::kalman::{Process, gnki, normals};
use crate::numerics::columns::{add_scaled, dot};
use crate::numerics::linalg::{self, Cholesky};
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::AlgorithmError;
use crate::problem::observation::{Covariance, Noise};

/// Centred parameters and outputs of the survivors, and what their outputs lack.
struct Sample {
    /// d × J
    x: Mat,
    /// p × J
    y: Mat,
    /// (Perturbed) observation minus outputs, p × J
    e: Mat,
}

/// A localised step of length `dt`; none when it is too long (see `guard`).
///
/// # Errors
/// `Unfit` for too few members; decompositions.
pub(in crate::kalman) fn step(
    s: &Survivors<'_>,
    plan: &Plan,
    dt: f64,
    draw: &Streams,
    iteration: u32,
) -> Result<Option<Mat>, AlgorithmError> {
    let members = s.u.ncols();
    if let Plan::Correction(rule, _) = plan
        && members < rule.least_members()
    {
        let why = format!("`sec-fisher` needs {} members, {members} are left", rule.least_members());
        return Err(AlgorithmError::Unfit { what: "the localisation", why });
    }
    let (Plan::Kernel(_, form) | Plan::Correction(_, form)) = plan;
    match (s.process, plan) {
        (Process::Etki, Plan::Kernel(kernel, Form::Local)) => transform(s, kernel, dt).map(Some),
        (Process::Gnki { .. }, _) => newton(s, plan, dt, draw, iteration).map(Some),
        (Process::Sparse { .. }, _) => {
            let gain_dt = s.sparse.gain_step(dt);
            let sample = sample(s, dt, draw, iteration)?;
            let (change, sigma, _) = joint(s, plan, &sample, gain_dt)?;
            s.sparse(&change, sigma, draw, iteration).map(Some)
        }
        (Process::Eki { .. }, _) if *form != Form::Local => kalman(s, plan, *form, dt, draw, iteration),
        _ => Err(AlgorithmError::Unfit {
            what: "the localisation",
            why: "this method cannot use a rule in this form".into(),
        }),
    }
}

fn sample(s: &Survivors<'_>, dt: f64, draw: &Streams, iteration: u32) -> Result<Sample, AlgorithmError> {
    let outputs = s.outputs();
    let (x, y) = (linalg::centred(s.u).0, linalg::centred(&outputs).0);
    let mut e = Mat::from_fn(outputs.nrows(), outputs.ncols(), |i, j| s.rows.y[i] - outputs[(i, j)]);
    if s.perturbed() {
        let mut xi = normals(draw, Purpose::Perturbation, iteration, s.rows.members, outputs.nrows());
        s.rows.noise.root(&mut xi).map_err(AlgorithmError::of("the observation's noise"))?;
        add_scaled(e.data_mut(), (s.draw_scale(dt) / dt).sqrt(), xi.data());
    }
    Ok(Sample { x, y, e })
}

fn kalman(
    s: &Survivors<'_>,
    plan: &Plan,
    form: Form,
    dt: f64,
    draw: &Streams,
    iteration: u32,
) -> Result<Option<Mat>, AlgorithmError> {
    let Sample { x, y, e } = &sample(s, dt, draw, iteration)?;
    let (change, ug) = if form == Form::Cross {
        crossed(s, plan, x, y, e, dt)?
    } else {
        let sample = Sample { x: x.clone(), y: y.clone(), e: e.clone() };
        let (change, _, ug) = joint(s, plan, &sample, dt)?;
        (change, ug)
    };
    let mut moved = s.u.clone();
    add_scaled(moved.data_mut(), 1.0, change.data());
    // Where C_gg was corrected together with C_ug, steps stay bounded.
    if form == Form::Cross || matches!(plan, Plan::Kernel(..)) {
        let deviations = cross::deviations(x, s.nugget);
        let variance: Vec<f64> = deviations.iter().map(|s| s * s).collect();
        let ug = if ug.ncols() > y.nrows() { first_columns(&ug, y.nrows()) } else { ug };
        let walked = Walked { x, y, ug: &ug, variance: &variance, e, change: &change, noise: s.rows.noise };
        let (mut before, mut after) = walked.misfits();
        if let Some((m, c0)) = &s.imposed {
            let c0 = Cholesky::new(c0).map_err(AlgorithmError::of("the prior"))?;
            before += from_prior(s.u, m, &c0);
            after += from_prior(&moved, m, &c0);
        }
        // Rounding alone may make a step of nothing grow.
        if after > before * (1.0 + 1e-12) || !moved.is_finite() {
            return Ok(None);
        }
    }
    finite(moved).map(Some)
}

/// Σ (uⱼ − m)ᵀ C₀⁻¹ (uⱼ − m).
fn from_prior(u: &Mat, m: &[f64], c0: &Cholesky) -> f64 {
    let mut off = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] - m[i]);
    c0.half_solve(&mut off);
    dot(off.data(), off.data())
}

/// Change (d × J), covariance of the parameters after it (d × d), and the localised C_ug.
fn joint(
    s: &Survivors<'_>,
    plan: &Plan,
    sample: &Sample,
    dt: f64,
) -> Result<(Mat, Mat, Mat), AlgorithmError> {
    let (p, d) = (sample.y.nrows(), s.u.nrows());
    let mut joint = Joint::new(&sample.x, &sample.y, s.nugget);
    let gamma = s.rows.noise.to_dense();
    let (r, e) = match &s.imposed {
        None => (Mat::from_fn(p, p, |i, k| gamma[(i, k)] / dt), sample.e.clone()),
        Some((m, c0)) => {
            joint = joint.with_prior(s.nugget);
            let entry = |i: usize, k: usize| match (i < p, k < p) {
                (true, true) => gamma[(i, k)] / dt,
                (false, false) => c0[(i - p, k - p)] / dt,
                _ => 0.0,
            };
            (Mat::from_fn(p + d, p + d, entry), with_prior(&sample.e, s.u, m))
        }
    };
    joint.localise(plan, s.u.ncols());
    let (change, sigma) = joint.analysis(&r, &e).map_err(AlgorithmError::of("the localised covariance"))?;
    Ok((change, sigma, joint.ug))
}

/// What is missing to the data, and below it what is missing to the prior's mean (not perturbed).
fn with_prior(e: &Mat, u: &Mat, m: &[f64]) -> Mat {
    let mut all = below(e, m.len());
    for j in 0..u.ncols() {
        (0..m.len()).for_each(|i| all[(e.nrows() + i, j)] = m[i] - u[(i, j)]);
    }
    all
}

/// The linear form, with the rows of an imposed prior below those of the data.
fn crossed(
    s: &Survivors<'_>,
    plan: &Plan,
    x: &Mat,
    y: &Mat,
    e: &Mat,
    dt: f64,
) -> Result<(Mat, Mat), AlgorithmError> {
    let mut ug = cross::covariance(x, y, plan, s.nugget);
    let mut noise = s.with_nugget(s.rows.noise, dt, "the observation")?;
    let (mut y, mut e) = (y.clone(), e.clone());
    if let Some((m, c0)) = &s.imposed {
        let uu = linalg::matmul_nt(x, x);
        let (p, n) = (ug.ncols(), x.ncols() as f64);
        let mut prior = Noise::default();
        prior
            .push(&Covariance::Dense(c0.clone()), &(0..m.len()).collect::<Vec<_>>())
            .map_err(|_| AlgorithmError::NotPositiveDefinite { what: "the prior".into() })?;
        noise = noise.then(&s.with_nugget(&prior, dt, "the prior")?);
        ug = Mat::from_fn(x.nrows(), p + m.len(), |i, k| if k < p { ug[(i, k)] } else { uu[(i, k - p)] / n });
        e = with_prior(&e, s.u, m);
        let rows = y.nrows();
        y = Mat::from_fn(
            rows + m.len(),
            x.ncols(),
            |i, j| {
                if i < rows { y[(i, j)] } else { x[(i - rows, j)] }
            },
        );
    }
    let change = cross::change(&ug, &y, &e, &noise, dt);
    Ok((change.map_err(AlgorithmError::of("the members' outputs"))?, ug))
}

fn first_columns(a: &Mat, n: usize) -> Mat {
    a.select_cols(&(0..n).collect::<Vec<_>>())
}

/// Gauss-Newton with a localised linearisation: C_gg has no part in it, so this is linear in p for every rule.
fn newton(
    s: &Survivors<'_>,
    plan: &Plan,
    dt: f64,
    draw: &Streams,
    iteration: u32,
) -> Result<Mat, AlgorithmError> {
    let Sample { x, y, e } = &sample(s, dt, draw, iteration)?;
    let (d, n) = (x.nrows(), x.ncols());
    let of = AlgorithmError::of("the members' parameters");
    let ug = cross::covariance(x, y, plan, 0.0);
    let mut uu = linalg::gram(&x.transpose());
    uu.data_mut().iter_mut().for_each(|c| *c /= n as f64);
    if let Plan::Correction(rule, _) = plan {
        let deviations = super::joint::deviations(&uu);
        correlated(&mut uu, &deviations, &deviations, |rho| rule.within(rho, n, Within::Parameters));
    }
    (0..d).for_each(|i| uu[(i, i)] += s.nugget);
    let mut h = ug; // Hᵀ, d × p
    if s.nugget > 0.0 {
        linalg::solve_symmetric(&uu, &mut h).map_err(&of)?;
    } else {
        h = linalg::matmul(&linalg::pseudo_inverse(&uu, d.max(n)).map_err(&of)?, &h);
    }
    let (mut h, mut e) = (h.transpose(), e.clone());
    s.rows.noise.whiten(&mut h);
    s.rows.noise.whiten(&mut e);
    let slope = gnki::Slope { f: linalg::gram(&h), q: linalg::matmul_tn(&h, &e) };
    let xi = normals(draw, Purpose::PriorDraw, iteration, s.rows.members, d);
    let (m, c0) = s.prior()?;
    let moved = gnki::blend(s.u, &slope, (m, c0), &xi, s.draw_scale(dt), dt);
    finite(moved.map_err(AlgorithmError::of("the prior"))?)
}

/// The transform, row by row.
fn transform(s: &Survivors<'_>, kernel: &Mat, dt: f64) -> Result<Mat, AlgorithmError> {
    let everyone: Vec<usize> = (0..s.u.ncols()).collect();
    let mut prior = Noise::default();
    let all: Vec<usize> = (0..s.u.nrows()).collect();
    if let Some((_, c0)) = &s.imposed {
        prior
            .push(&Covariance::Dense(c0.clone()), &all)
            .map_err(|_| AlgorithmError::NotPositiveDefinite { what: "the prior".into() })?;
    }
    let evidence = |keep: Keep| {
        let y = s.imposed.as_ref().map_or(&[][..], |(m, _)| m);
        gather(&Rows { g: s.u, rows: &all, members: &everyone, y, noise: &prior }, keep).0
    };
    let imposed: Option<&dyn Fn(Keep) -> _> = if s.imposed.is_some() { Some(&evidence) } else { None };
    let moved = local::update(s.u, &s.outputs(), s.rows.y, s.rows.noise, kernel, imposed, dt);
    finite(moved.map_err(AlgorithmError::of("the members' outputs"))?)
}

fn finite(moved: Mat) -> Result<Mat, AlgorithmError> {
    if moved.is_finite() { Ok(moved) } else { Err(AlgorithmError::NotFinite) }
}
