//! Update groups: some parameters learn from some of the data, as if the rest were not there.
//!
//! Each group is a step of its own with its own rows of u, blocks of y and sub-blocks of Γ and C₀ (the inverse is
//! taken of the sub-block). Parameters of all groups are a partition; blocks may be in several groups, or in none.
//! Belongs here: names of groups become rows, steps of parts are put together, a step that is too long is halved for all.
//! Not here: the steps.

use super::evidence::{Evidence, Rows};
use super::localise::Plan;
use super::survivors::{Seen, Survivors};
use super::{Kalman, Process, names};
use crate::numerics::{Mat, Streams};
use crate::problem::{AlgorithmError, Observation, Prior, Problem};

/// A localised step is halved so often before it is given up: 10⁻⁹ of its length.
const HALVINGS: u32 = 30;

/// Parameters that learn from blocks, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `drag`, or `mixing[2]` for one component
    pub parameters: Vec<String>,
    /// Names of observation blocks
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

    /// A weight for each parameter and observed output, by their places within the part: d × p.
    pub(super) fn kernel(&self, weight: impl Fn(usize, usize) -> f64) -> Mat {
        Mat::from_fn(self.parameters.len(), self.places.len(), |i, k| weight(i, self.places[k]))
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
    let rows = prior.row_names();
    let mut owner: Vec<Option<usize>> = vec![None; rows.len()];
    let mut parts = Vec::with_capacity(groups.len());
    for (n, group) in groups.iter().enumerate() {
        let wrong = |key, at, why: String| Misfit { group: n, entry: Some((key, at)), why };
        let mut parameters = Vec::new();
        for (at, name) in group.parameters.iter().enumerate() {
            let found = names::parameter(prior, name)
                .ok_or_else(|| wrong("parameters", at, format!("there is no parameter `{name}`")))?;
            for row in found {
                if let Some(other) = owner[row] {
                    let whose =
                        if other == n { "this group".to_owned() } else { format!("group {}", other + 1) };
                    return Err(wrong("parameters", at, format!("`{}` is in {whose} already", rows[row])));
                }
                owner[row] = Some(n);
                parameters.push(row);
            }
        }
        let mut outputs = Vec::new();
        for (at, name) in group.blocks.iter().enumerate() {
            let found = names::outputs(observation, name)
                .ok_or_else(|| wrong("blocks", at, format!("there is no block `{name}`")))?;
            if outputs.contains(&found[0]) {
                return Err(wrong("blocks", at, format!("`{name}` is in this group already")));
            }
            outputs.extend(found);
        }
        parameters.sort_unstable();
        outputs.sort_unstable();
        let (mut observed, mut places) = (Vec::new(), Vec::new());
        for (place, row) in outputs.iter().enumerate() {
            if let Ok(position) = observation.observed().binary_search(row) {
                observed.push(position);
                places.push(place);
            }
        }
        if parameters.is_empty() || observed.is_empty() {
            let (key, why) = match parameters.is_empty() {
                true => ("parameters", "a group needs a parameter"),
                false => ("blocks", "nothing in the blocks of this group was observed"),
            };
            return Err(wrong(key, 0, why.into()));
        }
        let index = u32::try_from(n + 1).expect("fewer than four billion groups");
        parts.push(Part { index, parameters, observed, places, outputs: outputs.len() });
    }
    match owner.iter().position(Option::is_none) {
        Some(row) => Err(Misfit { group: 0, entry: None, why: format!("`{}` is in no group", rows[row]) }),
        None => Ok(parts),
    }
}

/// The parts of a step.
///
/// # Errors
/// `Unfit` for groups that are no partition of this problem.
pub(super) fn parts(kalman: &Kalman, problem: &Problem, d: usize) -> Result<Vec<Part>, AlgorithmError> {
    if kalman.groups.is_empty() {
        return Ok(vec![Part::whole(d, &problem.observation)]);
    }
    resolve(&kalman.groups, &problem.prior, &problem.observation)
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
    let parts = parts(kalman, problem, all.u.nrows())?;
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
    let (n, whole) = (all.u.ncols(), all.rows);
    let mut next = all.u.clone();
    for (part, plan) in parts.iter().zip(plans) {
        let u = Mat::from_fn(part.parameters.len(), n, |i, j| all.u[(part.parameters[i], j)]);
        let rows: Vec<usize> = part.observed.iter().map(|&i| whole.rows[i]).collect();
        let y: Vec<f64> = part.observed.iter().map(|&i| whole.y[i]).collect();
        let noise = whole.noise.select(&part.observed).map_err(AlgorithmError::of("the observation"))?;
        let rows = Rows { rows: &rows, y: &y, noise: &noise, ..whole };
        let own = all.part(&part.parameters, &u, rows);
        let draw = draw.part(part.index);
        let moved = match plan {
            Some(plan) => own.localised(plan, dt, &draw, iteration)?,
            None => Some(own.step(own.look().0, dt, &draw, iteration, &mut None)?),
        };
        let Some(moved) = moved else { return Ok(None) };
        for (i, &row) in part.parameters.iter().enumerate() {
            (0..n).for_each(|j| next[(row, j)] = moved[(i, j)]);
        }
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::evidence::{Keep, gather};
    use crate::kalman::given::{covariance, observation, standard_prior};
    use crate::numerics::fixture::Fixture;
    use crate::problem::observation::{Block, Covariance};

    #[test]
    fn reference_values_are_met_with_overlapping_data() {
        for case in Fixture::read("groups_minibatch").cases("groups_*") {
            let inputs = &case.inputs;
            let (u, g, y) = (inputs.matrix("u"), inputs.matrix("g"), inputs.vector("y"));
            let observation = observation(y, covariance(inputs));
            let process = match inputs.word("process") {
                "etki" => Process::Etki,
                _ => Process::Eki { perturbed: false },
            };
            let nugget = inputs.number("nugget");
            let kalman = Kalman { nugget, ..Kalman::new(process, u.ncols()) };
            let members: Vec<usize> = (0..u.ncols()).collect();
            let rows = Rows {
                g: &g,
                rows: observation.observed(),
                members: &members,
                y: observation.y(),
                noise: observation.noise(),
            };
            let all = Survivors::new(&kalman, &standard_prior(5), &u, rows).unwrap();
            let parts: Vec<Part> = inputs
                .list("groups")
                .iter()
                .map(|group| {
                    let rows = |key: &str| group.vector(key).iter().map(|&i| i as usize).collect::<Vec<_>>();
                    let (parameters, observed) = (rows("u"), rows("g"));
                    let places = (0..observed.len()).collect();
                    Part { index: 1, parameters, outputs: observed.len(), observed, places }
                })
                .collect();
            let draw = Streams::new(1);
            let moved = together(&all, &parts, &[None, None], inputs.number("dt"), &draw, 0);
            case.assert_near("u", moved.unwrap().unwrap().data(), case.expected.matrix("u").data());
        }
    }

    fn groups(list: &[(&[&str], &[&str])]) -> Vec<Group> {
        let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect();
        list.iter().map(|(p, b)| Group { parameters: words(p), blocks: words(b) }).collect()
    }

    #[test]
    fn groups_that_are_no_partition_are_told_apart() {
        let block =
            |name: &str, y: f64| (Block { name: name.into(), y: vec![y; 2] }, Covariance::Scalar(1.0));
        let observation =
            Observation::new(vec![block("a", 0.0), block("b", 1.0), block("none", f64::NAN)]).unwrap();
        let prior = standard_prior(3);
        let check = |list: &[(&[&str], &[&str])]| check(&groups(list), &prior, &observation);
        check(&[(&["u0", "u2"], &["a"]), (&["u1"], &["b", "a"])]).unwrap();
        let why = |list: &[(&[&str], &[&str])]| check(list).unwrap_err();
        assert_eq!(why(&[(&["u0", "u9"], &["a"])]).why, "there is no parameter `u9`");
        assert_eq!(why(&[(&["u0"], &["c"])]).entry, Some(("blocks", 0)));
        assert_eq!(why(&[(&["u0"], &["a", "a"])]).why, "`a` is in this group already");
        let twice = why(&[(&["u0", "u1"], &["a"]), (&["u2", "u1"], &["b"])]);
        assert_eq!((twice.group, twice.entry), (1, Some(("parameters", 1))));
        assert_eq!(twice.why, "`u1` is in group 1 already");
        assert_eq!(why(&[(&["u0", "u1"], &["a"])]).why, "`u2` is in no group");
        assert_eq!(why(&[(&["u0"], &["none"])]).why, "nothing in the blocks of this group was observed");
    }

    #[test]
    fn a_part_knows_the_places_of_its_outputs_observed_or_not() {
        let block = |name: &str, y: Vec<f64>| (Block { name: name.into(), y }, Covariance::Scalar(1.0));
        let hole = vec![1.0, f64::NAN, 2.0];
        let observation =
            Observation::new(vec![block("a", hole), block("b", vec![3.0]), block("c", vec![4.0])]);
        let observation = observation.unwrap();
        let parts = resolve(
            &groups(&[(&["u1", "u0"], &["c", "a"]), (&["u2"], &["b"])]),
            &standard_prior(3),
            &observation,
        )
        .unwrap();
        let first = &parts[0];
        assert_eq!((&first.parameters[..], &first.observed[..]), (&[0, 1][..], &[0, 1, 3][..]));
        assert_eq!((&first.places[..], first.outputs), (&[0, 2, 3][..], 4));
        assert_eq!((parts[1].index, &parts[1].observed[..]), (2, &[2][..]));
    }

    #[test]
    fn data_are_gathered_for_the_part_alone() {
        // One parameter per block: each group is the problem without the other's data.
        let y = vec![1.0, -2.0];
        let observation = observation(y.clone(), Covariance::Scalar(0.5));
        let (u, members) = (crate::kalman::given::rough(3, 2, 6), (0..6).collect::<Vec<_>>());
        let rows = Rows {
            g: &u,
            rows: observation.observed(),
            members: &members,
            y: observation.y(),
            noise: observation.noise(),
        };
        let kalman = Kalman::new(Process::Etki, 6);
        let all = Survivors::new(&kalman, &standard_prior(2), &u, rows).unwrap();
        let part = |i: usize| Part {
            index: i as u32 + 1,
            parameters: vec![i],
            observed: vec![i],
            places: vec![0],
            outputs: 1,
        };
        let moved =
            together(&all, &[part(0), part(1)], &[None, None], 0.7, &Streams::new(1), 0).unwrap().unwrap();
        for i in 0..2 {
            let own = Mat::from_fn(1, 6, |_, j| u[(i, j)]);
            let noise = crate::kalman::given::noise(&[(Covariance::Scalar(0.5), 1)]);
            let alone = Rows { g: &own, rows: &[0], members: &members, y: &y[i..=i], noise: &noise };
            let alone = crate::kalman::etki::update(&own, &gather(&alone, Keep::Whitened).0, 0.7).unwrap();
            (0..6).for_each(|j| assert_eq!(moved[(i, j)], alone[(0, j)]));
        }
    }
}
