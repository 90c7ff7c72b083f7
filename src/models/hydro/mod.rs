//! Hydrological models: flow out of a basin from precipitation, temperature and potential evapotranspiration.
//!
//! ```text
//!   [model.hbv] ── basin ── table (CSV, units, dates), pet (Oudin, Hamon)
//!                    │
//!   one file per model, a `Runoff`: parameter sets ──▶ flow, or the sums that scores are made of
//!                    │
//!               `Hydro`, the `Forward` of all of them: named parameters ──▶ series, or scores
//! ```
//! Belongs here: what all hydrological models share. Not here: processes (`hbv`, `gr4j`, …), measures (`score`).
//!
//! A search asks for scores: the model then runs from the first day of the spin-up to the last scored one, and adds up
//! while it runs, so no series is kept. A Kalman method asks for series: the flow on the days of `period`, either on all
//! of them or, where the block is shorter, on those that have an observed flow.

pub mod basin;
pub mod domain;
pub mod fuse;
pub mod gr4j;
pub mod hbv;
pub mod pet;
mod sink;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::Path;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::hydro::basin::{Basin, inside};
use crate::models::score::{LOG_SHARE, Measure, Moments, Scoring};
use crate::models::{Cause, CheckError, Forward, Input, ModelError, Output, Place, ThetaRef, Want};

/// A parameter of a model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// As in `priors.toml`
    pub name: &'static str,
    /// Unit, `-` without one
    pub unit: &'static str,
    /// Least value that is usually searched
    pub lower: f64,
    /// Largest
    pub upper: f64,
    /// Where it is not calibrated and not given
    pub default: f64,
}

impl Parameter {
    const fn new(name: &'static str, unit: &'static str, lower: f64, upper: f64, default: f64) -> Self {
        Self { name, unit, lower, upper, default }
    }
}

/// A rainfall–runoff model: what one file in this folder provides.
pub trait Runoff: Send + Sync {
    /// As in `builtin`.
    fn name(&self) -> &'static str;

    /// Its parameters, in the order of a set.
    fn parameters(&self) -> &[Parameter];

    /// Columns of one run.
    fn units(&self) -> usize {
        1
    }

    /// Files it was read from, beside those of the basin.
    fn inputs(&self) -> &[Input] {
        &[]
    }

    /// May this set be run at all? An error says why not.
    ///
    /// # Errors
    /// Values without meaning: the member fails, and says so.
    fn check(&self, set: &[f64]) -> Result<(), String>;

    /// Flow in mm/step of each set, begun anew at the first of `steps`, one number per step.
    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>>;

    /// The sums of each set against a target over `steps`. A model that can makes them while it runs.
    fn sums(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>], target: &Target) -> Vec<Sums> {
        self.flows(basin, steps, sets).iter().map(|flow| target.sums(flow)).collect()
    }

    /// Runoff of some columns, each a basin with a set, before [`Runoff::delay`]; columns of one basin stand side by side.
    fn columns(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Vec<Vec<f64>> {
        let of_one = columns.chunk_by(|a, b| std::ptr::eq(a.0, b.0));
        let flows = |some: &[(&Basin, &[f64])]| {
            let sets: Vec<Vec<f64>> = some.iter().map(|(_, set)| set.to_vec()).collect();
            self.flows(some[0].0, steps.clone(), &sets)
        };
        of_one.flat_map(flows).collect()
    }

    /// As [`Runoff::columns`], each with the book of its water; none from a model that keeps no books.
    fn booked(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Option<Vec<(Vec<f64>, Book)>> {
        let _ = (steps, columns);
        None
    }

    /// What of the flow is a delay that is linear in it, so that runoffs may be added up before; by default nothing.
    /// Gives back what is still on its way at the end, in the unit of `runoff` times a step.
    fn delay(&self, basin: &Basin, set: &[f64], runoff: &mut [f64]) -> f64 {
        let _ = (basin, set, runoff);
        0.0
    }

    /// Can it run here? Asked before anything is made.
    ///
    /// # Errors
    /// What is missing, in words: a device, a library, a feature of these programs.
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    /// [`Runoff::flows`] with up to this number of threads or on a device, on which no bit depends.
    ///
    /// # Errors
    /// The device, in words.
    fn flows_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, String> {
        let _ = threads;
        Ok(self.flows(basin, steps, sets))
    }

    /// [`Runoff::sums`] in the same way.
    ///
    /// # Errors
    /// The device, in words.
    fn sums_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Result<Vec<Sums>, String> {
        let _ = threads;
        Ok(self.sums(basin, steps, sets, target))
    }
}

/// Where the water of a column went besides its runoff, mm over its area.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Book {
    /// Rain and snow
    pub input: f64,
    /// Into the air
    pub evaporation: f64,
    /// Out of the ground; below 0 into it
    pub ground: f64,
    /// More in the stores at the end than at the start
    pub stored: f64,
}

/// Why a run cannot be scored: the key of `[score]` at fault, where it is one, and words.
type Unscored = (Option<&'static str>, String);

/// Observed flow on some steps, ready for sums.
#[derive(Debug, Clone)]
pub struct Target {
    /// mm/step, one per step of the run; NaN outside of the scored period and where it is missing
    pub observed: Vec<f64>,
    /// Mean of those that are there
    pub mean: f64,
    /// Steps that are scored, and some others, from the first on
    pub first: usize,
    /// The same for logarithms, where a measure asks for them
    pub log: Option<LogTarget>,
}

/// ln(o + ε)
#[derive(Debug, Clone)]
pub struct LogTarget {
    /// ε, mm/step
    pub eps: f64,
    /// One per step, NaN as above
    pub observed: Vec<f64>,
    /// Mean of those that are there
    pub mean: f64,
}

/// What the measures of one run are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sums {
    /// Of flow
    pub plain: Moments,
    /// Of ln(flow + ε), where asked for
    pub log: Moments,
}

impl Target {
    /// From observed flow on the steps of a run, NaN where it does not count.
    pub fn new(observed: Vec<f64>, with_log: bool) -> Self {
        let first = observed.iter().position(|q| q.is_finite()).unwrap_or(observed.len());
        let mean = mean(&observed);
        let log = with_log.then(|| {
            let eps = LOG_SHARE * mean;
            let observed: Vec<f64> = observed.iter().map(|q| (q + eps).ln()).collect();
            LogTarget { eps, mean: self::mean(&observed), observed }
        });
        Self { observed, mean, first, log }
    }

    /// Sums of observations alone: what does not depend on the model.
    pub fn of_observed(&self) -> Sums {
        let sums = |observed: &[f64], mean: f64| {
            let mut moments = Moments::about(mean);
            observed.iter().filter(|q| q.is_finite()).for_each(|q| moments.add(*q, mean));
            moments
        };
        let log = self.log.as_ref().map_or(Moments::default(), |log| sums(&log.observed, log.mean));
        Sums { plain: sums(&self.observed, self.mean), log }
    }

    /// Sums of a whole series.
    pub fn sums(&self, flow: &[f64]) -> Sums {
        let mut sums = Sums { plain: Moments::about(self.mean), log: Moments::default() };
        for (o, s) in self.observed.iter().zip(flow).filter(|(o, _)| o.is_finite()) {
            sums.plain.add(*o, *s);
        }
        if let Some(log) = &self.log {
            sums.log = Moments::about(log.mean);
            for (o, s) in log.observed.iter().zip(flow).filter(|(o, _)| o.is_finite()) {
                sums.log.add(*o, (s + log.eps).ln());
            }
        }
        sums
    }
}

fn mean(numbers: &[f64]) -> f64 {
    let there = numbers.iter().filter(|x| x.is_finite());
    let (sum, n) = there.fold((0.0, 0.0), |(sum, n), x| (sum + x, n + 1.0));
    sum / n
}

/// A model in its basin.
#[derive(Debug, Clone)]
pub struct Hydro<M> {
    basin: Basin,
    model: M,
    /// Values of the parameters that are not calibrated, in the order of a set
    fixed: Vec<f64>,
}

impl<M: Runoff> Hydro<M> {
    /// From `[model.<name>]`: the basin, then `own` options of the model, then fixed parameters.
    ///
    /// # Errors
    /// The first fault, in whichever file it is.
    pub fn read(
        options: &Section<'_>,
        base: &Path,
        own: impl FnOnce(&Section<'_>, &Basin) -> Result<M, Marked>,
    ) -> Result<Self, Marked> {
        let basin = Basin::read(options, base)?;
        let model = own(options, &basin)?;
        let mut fixed: Vec<f64> = model.parameters().iter().map(|parameter| parameter.default).collect();
        if let Some(given) = options.section("parameters")? {
            for (value, parameter) in fixed.iter_mut().zip(model.parameters()) {
                if let Some(x) = given.number(parameter.name, "a finite number", |_| true)? {
                    *value = x;
                }
            }
            given.finish()?;
        }
        options.finish()?;
        Ok(Self { basin, model, fixed })
    }

    /// A model in a basin with its default parameters.
    pub fn new(basin: Basin, model: M) -> Self {
        let fixed = model.parameters().iter().map(|parameter| parameter.default).collect();
        Self { basin, model, fixed }
    }

    /// The whole set of each member.
    fn sets(&self, thetas: ThetaRef<'_>, members: usize) -> Vec<Vec<f64>> {
        let of = |j: usize| {
            let value =
                |(parameter, fixed): (&Parameter, &f64)| thetas.scalar(parameter.name, j).unwrap_or(*fixed);
            self.model.parameters().iter().zip(&self.fixed).map(value).collect()
        };
        (0..members).map(of).collect()
    }

    /// Steps of a run that is scored, and what it is scored against.
    fn scored(&self, scoring: &Scoring) -> Result<(Range<usize>, Target), Unscored> {
        let whole = |words: String| (None, words);
        let calendar = &self.basin.calendar;
        let Some(flow) = &self.basin.flow else {
            return Err(whole(
                "has no observed flow: add `flow = { column = \"…\", unit = \"m3/s\" }` to its options"
                    .into(),
            ));
        };
        if scoring.measures.is_empty() {
            return Err(whole(format!(
                "has no score of its own; `name` in `[score]` is one of {}",
                Measure::NAMES.join(", ")
            )));
        }
        let days = match scoring.period {
            Some(period) => inside(calendar, period)
                .map_err(|words| (Some("calibration"), format!("cannot be scored there: {words}")))?,
            None => self.basin.output_steps(),
        };
        let start = match scoring.spin_up {
            Some(period) => {
                inside(calendar, period)
                    .map_err(|words| (Some("spin_up"), format!("cannot begin there: {words}")))?
                    .start
            }
            None => 0,
        };
        if start > days.start {
            return Err((Some("spin_up"), "would begin its spin-up after the first scored day".into()));
        }
        let steps = start..days.end;
        let observed = |i: usize| if days.contains(&i) { flow[i] } else { f64::NAN };
        let observed: Vec<f64> = steps.clone().map(observed).collect();
        if observed.iter().filter(|q| q.is_finite()).count() < 2 {
            return Err((Some("calibration"), "has fewer than 2 observed flows in the scored period".into()));
        }
        let with_log = scoring.measures.contains(&Measure::LogNse);
        Ok((steps, Target::new(observed, with_log)))
    }

    fn scores(
        &self,
        threads: usize,
        scoring: &Scoring,
        sets: &[Vec<f64>],
    ) -> Vec<Result<Output, ModelError>> {
        let (steps, target) = match self.scored(scoring) {
            Ok(scored) => scored,
            Err((_, words)) => return vec![Err(self.failed(&words)); sets.len()],
        };
        let judged = |sums: Sums| {
            let one = |measure: &Measure| {
                let moments = if *measure == Measure::LogNse { &sums.log } else { &sums.plain };
                if !moments.ss.is_finite() {
                    return Err(self.failed("gave a flow that is not finite"));
                }
                let word = measure.word();
                measure
                    .from_moments(moments)
                    .ok_or_else(|| self.failed(&format!("gave a flow for which `{word}` is undefined")))
            };
            let scores = scoring.measures.iter().map(one).collect::<Result<_, _>>()?;
            Ok(Output { scores, ..Output::default() })
        };
        match self.model.sums_on(threads, &self.basin, steps, sets, &target) {
            Ok(sums) => sums.into_iter().map(judged).collect(),
            Err(words) => vec![Err(self.failed(&words)); sets.len()],
        }
    }

    fn series(&self, threads: usize, want: &Want, sets: &[Vec<f64>]) -> Vec<Result<Output, ModelError>> {
        let days = self.basin.output_steps();
        let Some(kept) = self.kept(want.total()) else {
            let message =
                format!("the model `{}` gives {} numbers, {}", self.model.name(), days.len(), want.words());
            return vec![Err(ModelError::new(Cause::Output, message)); sets.len()];
        };
        let judged = |flow: Vec<f64>| {
            let numbers: Vec<f64> = kept.iter().map(|i| self.basin.output_unit.to(flow[*i])).collect();
            if numbers.iter().any(|q| !q.is_finite()) {
                return Err(self.failed("gave a flow that is not finite"));
            }
            crate::models::split(self.model.name(), &numbers, want)
        };
        match self.model.flows_on(threads, &self.basin, 0..days.end, sets) {
            Ok(flows) => flows.into_iter().map(judged).collect(),
            Err(words) => vec![Err(self.failed(&words)); sets.len()],
        }
    }

    /// The steps that make `count` numbers: all of the period, or those with an observed flow.
    fn kept(&self, count: usize) -> Option<Vec<usize>> {
        let days = self.basin.output_steps();
        if days.len() == count {
            return Some(days.collect());
        }
        let observed = self.observed_steps();
        (observed.len() == count && count > 0).then_some(observed)
    }

    fn observed_steps(&self) -> Vec<usize> {
        let flow = self.basin.flow.as_deref().unwrap_or_default();
        self.basin.output_steps().filter(|i| flow.get(*i).is_some_and(|q| q.is_finite())).collect()
    }

    fn failed(&self, words: &str) -> ModelError {
        ModelError::new(Cause::Output, format!("the model `{}` {words}", self.model.name()))
    }
}

impl<M: Runoff> Forward for Hydro<M> {
    fn units(&self) -> usize {
        self.model.units()
    }

    fn inputs(&self) -> Vec<Input> {
        [&self.basin.inputs, self.model.inputs()].concat()
    }

    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let sets = self.sets(thetas, places.len());
        let threads = places.iter().map(|place| place.threads).max().unwrap_or(1);
        // Sets without meaning are set aside: what remains runs side by side.
        let mut faults: Vec<Option<ModelError>> = sets
            .iter()
            .map(|set| self.model.check(set).err().map(|words| self.failed(&format!("cannot run: {words}"))))
            .collect();
        let good: Vec<Vec<f64>> =
            sets.into_iter().zip(&faults).filter(|(_, fault)| fault.is_none()).map(|(set, _)| set).collect();
        let mut results = match &want.score {
            Some(scoring) => self.scores(threads, scoring, &good),
            None => self.series(threads, want, &good),
        }
        .into_iter();
        let mut next = || results.next().expect("a result for every set that ran");
        faults.iter_mut().map(|fault| fault.take().map_or_else(&mut next, Err)).collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        let known: Vec<&str> = self.model.parameters().iter().map(|parameter| parameter.name).collect();
        CheckError::parameters(self.model.name(), &[], &known, names)?;
        self.model.ready().map_err(|what| CheckError::Backend { what })?;
        let Some(scoring) = &want.score else {
            if self.kept(want.total()).is_none() {
                let observed = self.observed_steps().len();
                let given = if observed == 0 { self.basin.output_steps().len() } else { observed };
                CheckError::outputs(self.model.name(), given, want)?;
            }
            return Ok(self.spin_up(&(0..self.basin.output_steps().start)));
        };
        let (steps, target) = self.scored(scoring).map_err(|(key, what)| CheckError::Data {
            model: self.model.name().into(),
            what,
            key,
        })?;
        Ok(self.spin_up(&(steps.start..steps.start + target.first)))
    }
}

impl<M: Runoff> Hydro<M> {
    /// A word about a run that is scored before it has forgotten how it began.
    fn spin_up(&self, steps: &Range<usize>) -> Vec<String> {
        let days = steps.len() * self.basin.calendar.step_h as usize / 24;
        let name = self.model.name();
        if days >= 180 {
            return Vec::new();
        }
        vec![format!(
            "`{name}` has {days} days of spin-up: its stores may still show how they were filled at the start"
        )]
    }
}
