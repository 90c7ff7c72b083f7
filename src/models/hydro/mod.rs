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
pub mod hbv;
pub mod pet;
mod sink;
pub mod table;
#[cfg(test)]
pub(crate) mod testing;

use std::ops::Range;
use std::path::Path;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::hydro::basin::{Basin, inside};
use crate::models::score::{LOG_SHARE, Measure, Moments, Scoring};
use crate::models::{Cause, CheckError, Forward, ModelError, Output, Place, ThetaRef, Want};

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

/// A rainfall–runoff model: what one file in this folder provides.
pub trait Runoff: Send + Sync {
    /// As in `builtin`.
    fn name(&self) -> &'static str;

    /// Its parameters, in the order of a set.
    fn parameters(&self) -> &[Parameter];

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

    /// What of the flow is a delay that is linear in it, so that runoffs may be added up before; by default nothing.
    fn delay(&self, basin: &Basin, set: &[f64], runoff: &mut [f64]) {
        let _ = (basin, set, runoff);
    }

    /// [`Runoff::flows`] with up to this number of threads, on which no bit depends.
    fn flows_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
    ) -> Vec<Vec<f64>> {
        let _ = threads;
        self.flows(basin, steps, sets)
    }

    /// [`Runoff::sums`] with up to this number of threads.
    fn sums_on(
        &self,
        threads: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Vec<Sums> {
        let _ = threads;
        self.sums(basin, steps, sets, target)
    }
}

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
    fn scored(&self, scoring: &Scoring) -> Result<(Range<usize>, Target), String> {
        let calendar = &self.basin.calendar;
        let Some(flow) = &self.basin.flow else {
            return Err(
                "has no observed flow: add `flow = { column = \"…\", unit = \"m3/s\" }` to its options"
                    .into(),
            );
        };
        if scoring.measures.is_empty() {
            return Err(format!(
                "has no score of its own; `name` in `[score]` is one of {}",
                Measure::NAMES.join(", ")
            ));
        }
        let days = match scoring.period {
            Some(period) => {
                inside(calendar, period).map_err(|words| format!("cannot be scored there: {words}"))?
            }
            None => self.basin.output_steps(),
        };
        let start = match scoring.spin_up {
            Some(period) => {
                inside(calendar, period).map_err(|words| format!("cannot begin there: {words}"))?.start
            }
            None => 0,
        };
        if start > days.start {
            return Err("would begin its spin-up after the first scored day".into());
        }
        let steps = start..days.end;
        let observed = |i: usize| if days.contains(&i) { flow[i] } else { f64::NAN };
        let observed: Vec<f64> = steps.clone().map(observed).collect();
        if observed.iter().filter(|q| q.is_finite()).count() < 2 {
            return Err("has fewer than 2 observed flows in the scored period".into());
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
            Err(words) => return vec![Err(self.failed(&words)); sets.len()],
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
        self.model.sums_on(threads, &self.basin, steps, sets, &target).into_iter().map(judged).collect()
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
        self.model.flows_on(threads, &self.basin, 0..days.end, sets).into_iter().map(judged).collect()
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
        let Some(scoring) = &want.score else {
            if self.kept(want.total()).is_none() {
                let observed = self.observed_steps().len();
                let given = if observed == 0 { self.basin.output_steps().len() } else { observed };
                CheckError::outputs(self.model.name(), given, want)?;
            }
            return Ok(self.spin_up(&(0..self.basin.output_steps().start)));
        };
        let (steps, target) = self
            .scored(scoring)
            .map_err(|what| CheckError::Data { model: self.model.name().into(), what })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::hydro::testing::{numbers, reference, synthetic};
    use crate::models::score::Period;
    use crate::models::test_place;
    use crate::numerics::Mat;

    /// Half of the precipitation at once, the rest never.
    struct Half;
    const HALF: [Parameter; 2] = [
        Parameter { name: "share", unit: "-", lower: 0.0, upper: 1.0, default: 0.5 },
        Parameter { name: "base", unit: "mm", lower: 0.0, upper: 9.0, default: 1.0 },
    ];
    impl Runoff for Half {
        fn name(&self) -> &'static str {
            "half"
        }
        fn parameters(&self) -> &[Parameter] {
            &HALF
        }
        fn check(&self, set: &[f64]) -> Result<(), String> {
            if set[0] <= 1.0 { Ok(()) } else { Err("`share` is above 1".into()) }
        }
        fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
            let of =
                |set: &Vec<f64>| steps.clone().map(|i| set[1] + set[0] * basin.precipitation[i]).collect();
            sets.iter().map(of).collect()
        }
    }

    fn half() -> Hydro<Half> {
        let mut basin = synthetic(800);
        let mut flow = Half.flows(&basin, 0..800, &[vec![0.5, 1.0]]).remove(0);
        flow[500] = f64::NAN;
        basin.flow = Some(flow);
        basin.output = Some(period("2002-02-01", "2002-12-31"));
        Hydro::new(basin, Half)
    }

    fn period(first: &str, last: &str) -> Period {
        Period { first: first.parse().unwrap(), last: last.parse().unwrap() }
    }

    fn run(model: &Hydro<Half>, want: &Want, shares: &[f64]) -> Vec<Result<Output, ModelError>> {
        let names = [("share".to_owned(), 1)];
        let values = Mat::from_columns(1, shares.len(), shares.to_vec());
        let mut places: Vec<_> = (1..=shares.len()).map(|j| test_place(j as u32)).collect();
        model.run(ThetaRef { names: &names, values: &values }, want, &mut places)
    }

    #[test]
    fn scores_come_with_their_parts_and_bad_sets_fail_alone() {
        let model = half();
        let measures = vec![Measure::Kge, Measure::LogNse, Measure::Pbias];
        let scoring = Scoring { measures, spin_up: None, period: Some(period("2002-01-01", "2002-12-31")) };
        let want = Want::score(scoring.clone());
        let all = run(&model, &want, &[0.5, 2.0, 0.7]);
        let good = all[0].as_ref().unwrap();
        assert!((good.scores[0].value - 1.0).abs() < 1e-7 && (good.scores[1].value - 1.0).abs() < 1e-12);
        assert_eq!(good.scores[0].pairs, 364);
        assert!(all[1].as_ref().unwrap_err().message.contains("`share` is above 1"));
        // The sums give what the whole series gives
        let flow = Half.flows(&model.basin, 0..730, &[vec![0.7, 1.0]]).remove(0);
        let observed = &model.basin.flow.as_ref().unwrap()[365..730];
        for (score, measure) in all[2].as_ref().unwrap().scores.iter().zip(scoring.measures) {
            let whole = measure.of(observed, &flow[365..]).unwrap();
            assert!(
                (score.value - whole.value).abs() < 1e-11 * whole.value.abs().max(1.0),
                "{score:?} {whole:?}"
            );
        }
    }

    #[test]
    fn series_are_the_flow_on_all_days_or_on_observed_ones() {
        let model = half();
        let days = model.basin.output_steps();
        assert_eq!(days, 396..730);
        for (count, left_out) in [(334, None), (333, Some(500))] {
            let want = Want::series(vec![("a".into(), 100), ("b".into(), count - 100)]);
            let output = run(&model, &want, &[0.25]).remove(0).unwrap();
            let expected: Vec<f64> = (396..730)
                .filter(|i| Some(*i) != left_out)
                .map(|i| 1.0 + 0.25 * model.basin.precipitation[i])
                .collect();
            assert_eq!(output.blocks.concat(), expected);
            assert_eq!(model.fits(&[("share".into(), 1)], &want).unwrap(), Vec::<String>::new());
        }
        let want = Want::series(vec![("a".into(), 100)]);
        assert!(model.fits(&[("share".into(), 1)], &want).is_err());
        assert!(run(&model, &want, &[0.5])[0].is_err());
    }

    #[test]
    fn what_cannot_be_scored_is_refused_before_anything_runs() {
        let mut model = half();
        let names = [("share".to_owned(), 1)];
        let scoring = |measures: &[Measure], spin_up, period| {
            Want::score(Scoring { measures: measures.to_vec(), spin_up, period })
        };
        let year = Some(period("2002-01-01", "2002-12-31"));
        for (want, words) in [
            (scoring(&[], None, year), "no score of its own"),
            (
                scoring(&[Measure::Kge], None, Some(period("2002-01-01", "2004-12-31"))),
                "the forcing has 2001-01-01 to",
            ),
            (scoring(&[Measure::Kge], Some(period("2002-03-01", "2002-04-01")), year), "spin-up"),
            (scoring(&[Measure::Kge], None, Some(period("2002-05-16", "2002-05-16"))), "fewer than 2"),
        ] {
            assert!(model.fits(&names, &want).unwrap_err().to_string().contains(words), "{words}");
            assert!(run(&model, &want, &[0.5])[0].is_err());
        }
        let short = scoring(&[Measure::Kge], Some(period("2001-12-01", "2001-12-31")), year);
        assert!(model.fits(&names, &short).unwrap()[0].contains("31 days of spin-up"));
        assert!(model.fits(&[("shore".into(), 1)], &short).is_err());
        model.basin.flow = None;
        assert!(model.fits(&names, &short).unwrap_err().to_string().contains("no observed flow"));
    }

    #[test]
    fn scores_agree_with_the_second_implementation() {
        let pieces = reference("small_pieces.json");
        let metrics = &pieces["metrics"];
        let series = |key: &str| -> Vec<f64> {
            metrics[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
        };
        for (measure, key) in [
            (Measure::Kge, "kge"),
            (Measure::KgePrime, "kge_prime"),
            (Measure::Nse, "nse"),
            (Measure::LogNse, "log_nse"),
            (Measure::Pbias, "pbias"),
        ] {
            let ours = measure.of(&series("obs"), &series("sim")).unwrap();
            let theirs = metrics[key].as_f64().unwrap();
            assert!((ours.value - theirs).abs() < 1e-13 * theirs.abs().max(1.0), "{key}: {ours:?} {theirs}");
            if let Some(parts) = metrics[format!("{key}_parts")].as_object() {
                for (name, x) in &ours.parts {
                    assert!((x - parts[name].as_f64().unwrap()).abs() < 1e-13, "{key} {name}");
                }
            }
        }
        assert!(!numbers(&pieces["maxbas"][0]["nodal"]).is_empty());
    }
}
