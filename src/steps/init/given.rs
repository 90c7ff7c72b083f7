//! What a method starts from, read from the files that the experiment names, and whether the model fits it.

use std::path::Path;

use crate::experiment::{Experiment, ExperimentError, Task, places_members};
use crate::explain::{Explain, Marked};
use crate::files::human::Document;
use crate::kalman::Method;
use crate::models::{CheckError, Want};
use crate::numerics::{Purpose, Streams};
use crate::problem::{Prior, Problem};
use crate::steps::StepError;
use crate::steps::forward::Planned;

/// What a method starts from.
pub enum Given {
    /// Prior and observation
    Problem(Problem),
    /// The models of a batch
    Forward(Box<Planned>),
    /// Prior, and a score in place of an observation
    Search {
        /// Its bounds say where
        prior: Prior,
        /// What a model is asked for
        want: Want,
        /// What an outcome holds
        layout: Vec<(String, usize)>,
    },
}

impl Given {
    /// The prior.
    pub fn prior(&self) -> &Prior {
        match self {
            Self::Problem(problem) => &problem.prior,
            Self::Forward(planned) => &planned.prior,
            Self::Search { prior, .. } => prior,
        }
    }

    /// Prior and observation, where there is one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Forward(_) => None,
            Self::Search { .. } => None,
        }
    }

    /// What a model is asked for.
    pub fn want(&self) -> Want {
        match self {
            Self::Problem(problem) => Want::series(problem.observation.shape()),
            Self::Forward(planned) => planned.want.clone(),
            Self::Search { want, .. } => want.clone(),
        }
    }

    /// The models of a batch, where the method is that.
    pub fn forward(&self) -> Option<&Planned> {
        match self {
            Self::Forward(planned) => Some(planned),
            Self::Problem(_) | Self::Search { .. } => None,
        }
    }

    /// Names and lengths of what an outcome holds.
    pub fn layout(&self) -> Vec<(String, usize)> {
        match self {
            Self::Problem(problem) => problem.observation.shape(),
            Self::Forward(planned) => planned.want.blocks.clone(),
            Self::Search { layout, .. } => layout.clone(),
        }
    }

    /// Read what the experiment names.
    pub(super) fn read(
        experiment: &Experiment,
        folder: &Path,
        fields: Option<&Path>,
    ) -> Result<Self, ExperimentError> {
        let prior = || match fields {
            Some(fields) => experiment.prior_with(folder, fields),
            None => experiment.prior(folder),
        };
        match &experiment.task {
            Task::Forward(forwards) => {
                Ok(Self::Forward(Box::new(Planned::read(experiment, forwards, folder)?)))
            }
            Task::Kalman(calibration) => {
                let prior = prior()?;
                let observation = calibration.observation(folder)?;
                Ok(Self::Problem(calibration.fitting(Problem { prior, observation })?))
            }
            Task::Search(searching) => {
                let score = &searching.score;
                Ok(Self::Search { prior: prior()?, want: score.want(), layout: score.layout() })
            }
        }
    }
}

/// What a person who calibrates should know of method, prior and observation together.
pub(super) fn of_calibration(experiment: &Experiment, given: &Given) -> Vec<String> {
    let (Some(calibration), Some(problem)) = (experiment.calibration(), given.problem()) else {
        return Vec::new();
    };
    let mut warnings: Vec<String> = of_series(&calibration.algorithm, problem).into_iter().collect();
    let (members, dimension) = (experiment.members, problem.prior.dim());
    // Ten members for each parameter, and a hundred from ten parameters on, as EKP.jl advises
    let enough = if dimension < 10 { 10 * dimension } else { 100 };
    if members >= 10 && (members as usize) < enough && !places_members(&experiment.method) {
        warnings.push(format!(
            "{members} members for {dimension} parameters are few: {enough} give a usable covariance"
        ));
    }
    if members as usize <= dimension && calibration.algorithm.stays_in_span() {
        warnings.push(format!(
            "{members} members for {dimension} parameters: the result stays in the span of the first ensemble; more members, or localisation, would free it"
        ));
    }
    warnings
}

/// Minibatches use up the pseudo-time of the misfit controller before all data were seen as often as they should.
fn of_series(algorithm: &Method, problem: &Problem) -> Option<String> {
    let series = problem.observation.series()?;
    let batches = series.minibatch.length(series.parts.len());
    let time = algorithm.terminate_at()?;
    (batches > 1 && time.is_finite() && time != batches as f64 && algorithm.stops()).then(|| {
        format!(
            "{batches} batches share a pseudo-time of {time:?}: `terminate_at = {:?}` gives each observation its weight once in one pass; or `on_terminate = \"continue\"` with so many `iterations` as you want batches",
            batches as f64
        )
    })
}

/// Does the model fit parameters and observation?
pub(super) fn fits(
    experiment: &Experiment,
    document: &Document,
    given: &Given,
    folder: &Path,
    warnings: &mut Vec<String>,
) -> Result<(), StepError> {
    let at_model = |e: &CheckError| {
        let top = document.section();
        let place = match e {
            CheckError::Parameter { name: Some(name), .. } => experiment.prior_place(folder, name),
            CheckError::Data { key: Some(key), .. } => {
                let score = top.section("score").ok().flatten();
                score.filter(|score| score.keys().any(|k| k == *key)).map(|score| score.place(key))
            }
            _ => None,
        };
        let place = place.unwrap_or_else(|| top.place("model"));
        let marked = place.marked("the model does not fit", e.to_string());
        ExperimentError::from(e.hint().into_iter().fold(marked, Marked::hint))
    };
    let wants = match given.problem().and_then(|problem| problem.observation.series()) {
        // A program may name a column for each block; a model of ours is asked for one batch at a time.
        Some(series) if experiment.model.external.is_none() => {
            (0..series.minibatch.length(series.parts.len()))
                .map(|n| {
                    let n = u32::try_from(n).unwrap_or(u32::MAX);
                    Want::series(series.at(n, &Streams::new(experiment.seed)).1.shape())
                })
                .collect()
        }
        _ => vec![given.want()],
    };
    for want in wants {
        let more =
            experiment.model.forward.fits(given.prior().names(), &want).map_err(|e| match e.marked() {
                Some(marked) => ExperimentError::from(Marked::clone(marked)),
                None => at_model(&e),
            })?;
        warnings.extend(more.into_iter().filter(|new| !warnings.contains(new)).collect::<Vec<_>>());
    }
    warnings.extend(outside(experiment, given));
    Ok(())
}

/// Draws that tell how much of a prior lies outside of what a model can take.
const DRAWS: u32 = 500;
/// Most numbers of a prior for which they are made.
const MOST_NUMBERS: usize = 1000;
/// Shares below this are no word worth.
const SHARE: f64 = 0.01;

/// Parameters of which a share of the prior lies outside of what the model can take, a word each.
fn outside(experiment: &Experiment, given: &Given) -> Vec<String> {
    let prior = given.prior();
    let drawn = given.forward().is_none_or(|planned| planned.found.record.source == "prior");
    if experiment.model.external.is_some() || !drawn || prior.values() > MOST_NUMBERS {
        return Vec::new();
    }
    let (draw, mut refused) = (Streams::new(experiment.seed), vec![(0u32, String::new()); prior.values()]);
    let names: Vec<&str> =
        prior.names().iter().flat_map(|(name, n)| std::iter::repeat_n(name.as_str(), *n)).collect();
    for k in 1..=DRAWS {
        let values = prior.constrain(&prior.sample(&mut draw.at(Purpose::Prior, 0, k)));
        for ((value, name), (count, why)) in values.iter().zip(&names).zip(&mut refused) {
            if let Err(words) = experiment.model.forward.allows(name, *value) {
                *count += 1;
                *why = words;
            }
        }
    }
    let told = |(name, (count, why)): (&&str, &(u32, String))| {
        let share = f64::from(*count) / f64::from(DRAWS);
        (share >= SHARE)
            .then(|| format!("{:.0} % of the draws of `{name}` are {why}; such members fail", 100.0 * share))
    };
    names.iter().zip(&refused).filter_map(told).collect()
}
