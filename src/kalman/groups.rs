//! Update groups: some parameters learn from some of the data, as if the rest were not there.
//!
//! Each group is a step of its own with its own rows of u, blocks of y and sub-blocks of Γ and C₀ (the inverse is
//! taken of the sub-block). Parameters of all groups are a partition; blocks may be in several groups, or in none.
//! Belongs here: names of groups become rows, steps of parts are put together, a step that is too long is halved for all.
//! Not here: the steps.

use std::collections::BTreeSet;

use super::evidence::{Evidence, Rows};
use super::localise::Plan;
use super::paces::{Pace, Paces};
use super::survivors::{Seen, Survivors};
use super::{Kalman, Process, names};
use crate::numerics::{Mat, Streams};
use crate::problem::observation::Noise;
use crate::problem::{AlgorithmError, Observation, Prior, Problem, State};

/// A localised step is halved so often before it is given up: 10⁻⁹ of its length.
const HALVINGS: u32 = 30;

/// Parameters that learn from blocks, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `drag`, or `mixing[2]` for one component; `site_*`: a group for each such parameter
    pub parameters: Vec<String>,
    /// Names of observation blocks; a star stands for what it stands for in the parameters
    pub blocks: Vec<String>,
}

/// What is wrong with groups, and where: group and entry count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Which group
    pub group: usize,
    /// `parameters` or `blocks`, and which entry of it; none: the list of groups as a whole
    pub entry: Option<(&'static str, usize)>,
    /// In which way
    pub why: String,
}

/// Parameters that learn from the same data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its number: 0 is the whole, groups count from 1
    pub(super) index: u32,
    /// Rows of u, ascending
    pub(super) parameters: Vec<usize>,
    /// Positions among the observed rows, ascending
    pub(super) observed: Vec<usize>,
    /// The place of each of those among all outputs of the part, observed or not
    pub(super) places: Vec<usize>,
    /// All outputs of the part
    pub(super) outputs: usize,
}

impl Part {
    /// Everything.
    pub(super) fn whole(d: usize, observation: &Observation) -> Self {
        Self {
            index: 0,
            parameters: (0..d).collect(),
            observed: (0..observation.observed().len()).collect(),
            places: observation.observed().to_vec(),
            outputs: observation.len(),
        }
    }

    /// What this part sees of all members.
    pub(super) fn data(&self, all: &Survivors<'_>) -> Result<PartData, AlgorithmError> {
        let n = all.u.ncols();
        let u = Mat::from_fn(self.parameters.len(), n, |i, j| all.u[(self.parameters[i], j)]);
        Ok(PartData { u, ..self.outputs_of(&all.rows)? })
    }

    /// The same without the parameters.
    pub(super) fn outputs_of(&self, whole: &Rows<'_>) -> Result<PartData, AlgorithmError> {
        Ok(PartData {
            u: Mat::default(),
            rows: self.observed.iter().map(|&i| whole.rows[i]).collect(),
            y: self.observed.iter().map(|&i| whole.y[i]).collect(),
            noise: whole.noise.select(&self.observed).map_err(AlgorithmError::of("the observation"))?,
        })
    }

    /// Its rows of all parameters become these.
    pub(super) fn put(&self, own: &Mat, all: &mut Mat) {
        for j in 0..own.ncols() {
            for (i, &row) in self.parameters.iter().enumerate() {
                all[(row, j)] = own[(i, j)];
            }
        }
    }

    /// A weight for each parameter and observed output, by their places within the part: d × p.
    pub(super) fn kernel(&self, weight: impl Fn(usize, usize) -> f64) -> Mat {
        Mat::from_fn(self.parameters.len(), self.places.len(), |i, k| weight(i, self.places[k]))
    }
}

/// Parameters, data and noise of a part.
pub(super) struct PartData {
    /// d × J of the part
    pub(super) u: Mat,
    rows: Vec<usize>,
    y: Vec<f64>,
    noise: Noise,
}

impl PartData {
    /// The part's rows of what `all` has.
    pub(super) fn rows<'a>(&'a self, all: Rows<'a>) -> Rows<'a> {
        Rows { rows: &self.rows, y: &self.y, noise: &self.noise, ..all }
    }

    /// Those members as the part sees them.
    fn survivors<'a>(&'a self, all: &'a Survivors<'a>, part: &Part) -> Survivors<'a> {
        all.part(&part.parameters, &self.u, self.rows(all.rows))
    }
}

/// Names of groups as rows of this problem.
///
/// # Errors
/// The first name that is unknown or used twice, the first parameter in no group, a group without observed data.
pub fn check(groups: &[Group], prior: &Prior, observation: &Observation) -> Result<(), Misfit> {
    resolve(groups, prior, observation).map(|_| ())
}

fn resolve(groups: &[Group], prior: &Prior, observation: &Observation) -> Result<Vec<Part>, Misfit> {
    let outputs_of = names::Outputs::of(observation);
    let groups = spelt_out(groups, prior);
    let claims = claims(&groups, prior)?;
    let mut parts = Vec::with_capacity(groups.len());
    for ((n, (from, group)), parameters) in groups.iter().enumerate().zip(&claims.rows) {
        let wrong = |at, why: String| Misfit { group: *from, entry: Some(("blocks", at)), why };
        let (mut outputs, mut seen) = (Vec::new(), BTreeSet::new());
        for (at, name) in group.blocks.iter().enumerate() {
            let found =
                outputs_of.find(name).ok_or_else(|| wrong(at, format!("there is no block `{name}`")))?;
            if !seen.insert(name) {
                return Err(wrong(at, format!("`{name}` is in this group already")));
            }
            outputs.extend(found);
        }
        outputs.sort_unstable();
        let (mut observed, mut places) = (Vec::new(), Vec::new());
        for (place, row) in outputs.iter().enumerate() {
            if let Ok(position) = observation.observed().binary_search(row) {
                observed.push(position);
                places.push(place);
            }
        }
        if observed.is_empty() {
            return Err(wrong(0, "nothing in the blocks of this group was observed".into()));
        }
        let index = u32::try_from(n + 1).expect("fewer than four billion groups");
        parts.push(Part { index, parameters: parameters.clone(), observed, places, outputs: outputs.len() });
    }
    claims.complete()?;
    Ok(parts)
}

/// Rows of u of each group, ascending.
///
/// # Errors
/// The first name that is unknown or used twice, the first parameter in no group.
pub(super) fn partition(groups: &[Group], prior: &Prior) -> Result<Vec<Vec<usize>>, Misfit> {
    let claims = claims(&spelt_out(groups, prior), prior)?;
    claims.complete()?;
    Ok(claims.rows)
}

/// Groups with a star become a group for each parameter that it stands for; and which group of the file each is.
///
/// The star of the first parameter that has one stands for the same text in all names of the group.
fn spelt_out(groups: &[Group], prior: &Prior) -> Vec<(usize, Group)> {
    let mut all = Vec::with_capacity(groups.len());
    for (from, group) in groups.iter().enumerate() {
        let before = all.len();
        let star = group.parameters.iter().find_map(|name| name.split_once('*'));
        for (name, _) in prior.names().iter().filter(|_| star.is_some()) {
            let word = star.and_then(|(head, tail)| name.strip_prefix(head)?.strip_suffix(tail));
            let Some(word) = word.filter(|word| !word.is_empty()) else { continue };
            let fill = |names: &[String]| names.iter().map(|name| name.replace('*', word)).collect();
            all.push((from, Group { parameters: fill(&group.parameters), blocks: fill(&group.blocks) }));
        }
        if all.len() == before {
            all.push((from, group.clone()));
        }
    }
    all
}

/// Which rows of u each group asked for.
struct Claims {
    rows: Vec<Vec<usize>>,
    names: Vec<String>,
    owner: Vec<Option<usize>>,
}

impl Claims {
    /// Whether every row has a group.
    ///
    /// # Errors
    /// The first that has none.
    fn complete(&self) -> Result<(), Misfit> {
        match self.owner.iter().position(Option::is_none) {
            None => Ok(()),
            Some(row) => {
                Err(Misfit { group: 0, entry: None, why: format!("`{}` is in no group", self.names[row]) })
            }
        }
    }
}

fn claims(groups: &[(usize, Group)], prior: &Prior) -> Result<Claims, Misfit> {
    let names = prior.row_names();
    let known = names::Parameters::of(prior);
    let mut owner: Vec<Option<usize>> = vec![None; names.len()];
    let mut rows = Vec::with_capacity(groups.len());
    for (from, group) in groups {
        let wrong = |at, why: String| Misfit { group: *from, entry: Some(("parameters", at)), why };
        let mut own = Vec::new();
        for (at, name) in group.parameters.iter().enumerate() {
            let found =
                known.find(name).ok_or_else(|| wrong(at, format!("there is no parameter `{name}`")))?;
            for row in found {
                if let Some(other) = owner[row] {
                    let whose =
                        if other == *from { "this group".to_owned() } else { format!("group {}", other + 1) };
                    return Err(wrong(at, format!("`{}` is in {whose} already", names[row])));
                }
                owner[row] = Some(*from);
                own.push(row);
            }
        }
        if own.is_empty() {
            return Err(wrong(0, "a group needs a parameter".into()));
        }
        own.sort_unstable();
        rows.push(own);
    }
    Ok(Claims { rows, names, owner })
}

/// The parts of a step.
///
/// # Errors
/// `Unfit` for groups that are no partition of this problem.
pub(super) fn parts(groups: &[Group], problem: &Problem, d: usize) -> Result<Vec<Part>, AlgorithmError> {
    if groups.is_empty() {
        return Ok(vec![Part::whole(d, &problem.observation)]);
    }
    resolve(groups, &problem.prior, &problem.observation)
        .map_err(|misfit| AlgorithmError::Unfit { what: "the groups", why: misfit.why })
}

/// One step of all parts, of length `dt` or, where that is too long, of a half of it, a quarter, …; and its length.
///
/// `data` is what [`Survivors::look`] gave; `seen` gets the eigenvalues of all data, where one step needs them.
///
/// # Errors
/// Those of the method; `Diverges`.
#[allow(clippy::too_many_arguments)] // a method, its problem and members, and what the step is made of
pub(super) fn step(
    kalman: &Kalman,
    problem: &Problem,
    all: &Survivors<'_>,
    data: Evidence,
    dt: f64,
    draw: &Streams,
    iteration: u32,
    seen: &mut Option<Seen>,
) -> Result<(Mat, f64), AlgorithmError> {
    // A step of Gauss and Newton is a share of the way to the solution.
    let dt = if matches!(kalman.process, Process::Gnki { .. }) { dt.min(1.0) } else { dt };
    let parts = parts(&kalman.groups, problem, all.u.nrows())?;
    if let ([_], None) = (parts.as_slice(), &kalman.localisation)
        && kalman.groups.is_empty()
    {
        return all.step(data, dt, draw, iteration, seen).map(|moved| (moved, dt));
    }
    let mut dt = dt;
    let plan = |part: &Part| match &kalman.localisation {
        None => Ok(None),
        Some(rule) => rule.plan(problem, part, &draw.part(part.index), iteration).map(Some),
    };
    let plans = parts.iter().map(plan).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..=HALVINGS {
        if let Some(moved) = together(all, &parts, &plans, dt, draw, iteration)? {
            return Ok((moved, dt));
        }
        dt *= 0.5;
    }
    Err(AlgorithmError::Diverges { halvings: HALVINGS })
}

/// Every part by itself; none when the step is too long for one of them.
fn together(
    all: &Survivors<'_>,
    parts: &[Part],
    plans: &[Option<Plan>],
    dt: f64,
    draw: &Streams,
    iteration: u32,
) -> Result<Option<Mat>, AlgorithmError> {
    let mut next = all.u.clone();
    for (part, plan) in parts.iter().zip(plans) {
        let data = part.data(all)?;
        let own = data.survivors(all, part);
        let draw = draw.part(part.index);
        let moved = match plan {
            Some(plan) => own.localised(plan, dt, &draw, iteration)?,
            None => Some(own.step(own.look().0, dt, &draw, iteration, &mut None)?),
        };
        let Some(moved) = moved else { return Ok(None) };
        part.put(&moved, &mut next);
    }
    Ok(Some(next))
}

/// Each part with a step length of its own: the rule looks at its data alone, and a part whose pseudo-time is used up
/// stays where it is. The moved members, and where each part stands afterwards.
///
/// A part costs what its own problem costs, so that a survey of many costs their sum.
///
/// # Errors
/// Those of the method; `Diverges`.
pub(super) fn each(
    kalman: &Kalman,
    problem: &Problem,
    all: &Survivors<'_>,
    state: &State,
    draw: &Streams,
    iteration: u32,
) -> Result<(Mat, Paces), AlgorithmError> {
    let parts = parts(&kalman.groups, problem, all.u.nrows())?;
    let before = Paces::read(state, parts.len())?;
    let mut next = all.u.clone();
    let mut after = Vec::with_capacity(parts.len());
    for part in &parts {
        let progress = before.of(part);
        if kalman.schedule.is_over(&progress) {
            after.push(Pace { progress, moves: false, misfit: 0.0 });
            continue;
        }
        let data = part.data(all)?;
        let own = data.survivors(all, part);
        let draw = draw.part(part.index);
        let (seen, misfits) = own.look();
        let planned = kalman.schedule.next(&progress, &misfits, &seen)?;
        let capped = matches!(kalman.process, Process::Gnki { .. });
        let mut dt = if capped { planned.step.min(1.0) } else { planned.step };
        let moved = match &kalman.localisation {
            None => own.step(seen, dt, &draw, iteration, &mut None)?,
            Some(rule) => {
                let plan = rule.plan(problem, part, &draw, iteration)?;
                let mut tries = 0..=HALVINGS;
                loop {
                    tries.next().ok_or(AlgorithmError::Diverges { halvings: HALVINGS })?;
                    match own.localised(&plan, dt, &draw, iteration)? {
                        Some(moved) => break moved,
                        None => dt *= 0.5,
                    }
                }
            }
        };
        part.put(&moved, &mut next);
        let progress = planned.shortened(&progress, dt);
        after.push(Pace { progress, moves: true, misfit: misfits.loss() });
    }
    Ok((next, Paces::new(after, &parts)))
}

#[cfg(test)]
mod tests;
