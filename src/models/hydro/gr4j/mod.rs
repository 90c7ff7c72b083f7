//! GR4J with the snow of CemaNeige: four parameters and two, daily steps; lumped or in elevation bands.
//!
//! Belongs here: parameters, options, and how sets are cut into groups of lanes. The processes are in `kernel`.
//!
//! # Source
//! Perrin, Michel & Andréassian (2003), J. Hydrol. 279, 275–289, doi:10.1016/S0022-1694(03)00225-7;
//! Valéry, Andréassian & Perrin (2014), J. Hydrol. 517, 1176–1187, doi:10.1016/j.jhydrol.2014.04.058 (without
//! hysteresis). Differs in the layers: ours are bands with a linear lapse.

mod hydrograph;
mod kernel;
#[cfg(test)]
mod plain;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::Forward;
use crate::models::backend::Backend;
use crate::models::hydro::basin::Basin;
use crate::models::hydro::sink::{Booked, Held, Keep, Reduce, Sink};
use crate::models::hydro::{Book, Parameter, Runoff, Sums, Target, domain};
use crate::numerics::lanes::{self, LANES, Width};

use kernel::{Day, GROUPS, Group, Layer, MOST_TAPS, Run, START};

/// Parameters in the order of a set; without snow the first four.
pub const PARAMETERS: [Parameter; 6] = [
    Parameter::new("x1", "mm", 100.0, 1200.0, 350.0),
    Parameter::new("x2", "mm/d", -5.0, 3.0, 0.0),
    Parameter::new("x3", "mm", 20.0, 300.0, 90.0),
    Parameter::new("x4", "d", 1.1, 2.9, 1.7),
    Parameter::new("ctg", "-", 0.0, 1.0, 0.5),
    Parameter::new("kf", "mm/°C/d", 2.0, 6.0, 4.0),
];
/// Those of GR4J alone.
const WITHOUT_SNOW: usize = 4;
const X4: usize = 3;

/// GR4J with its options.
#[derive(Debug, Clone)]
pub struct Gr4j {
    /// CemaNeige, or all precipitation as rain
    snow: bool,
    /// Mean annual snowfall of each band, mm, where it is given
    annual_snow: Option<Vec<f64>>,
    /// Another width than the widest
    width: Option<Width>,
    /// What it runs on
    backend: Backend,
}

/// GR4J as `[model.gr4j]` asks for it.
///
/// # Errors
/// An option or a line of a file that cannot be used; steps that are no days.
pub fn forward(options: &Section<'_>, base: &Path, backend: Backend) -> Result<Arc<dyn Forward>, Marked> {
    let own = |options: &Section<'_>, basin: &Basin| {
        if basin.calendar.step_h != 24 {
            let label = format!("it has steps of {} h, allowed: 24 h", basin.calendar.step_h);
            return Err(options.wrong("forcing", "GR4J is a model of days", label));
        }
        let snow = options.choice("snow", &["cemaneige", "none"])? != Some("none");
        let annual_snow: Option<Vec<f64>> = options.opt("annual_snow_mm")?;
        if let Some(given) = &annual_snow
            && (given.len() != basin.bands.len() || given.iter().any(|x| !x.is_finite() || *x < 0.0))
        {
            let label = format!("allowed: {} numbers, one for each band, in mm", basin.bands.len());
            return Err(options.wrong("annual_snow_mm", "`annual_snow_mm` does not fit", label));
        }
        Ok(Gr4j { annual_snow, backend, ..Gr4j::new(snow) })
    };
    domain::forward(options, base, own)
}

/// Share of precipitation that falls as snow: all at −1 °C, none at 3 °C.
fn solid_share(t: f64) -> f64 {
    (1.0 - (t + 1.0) / 4.0).clamp(0.0, 1.0)
}

/// G_t of each band, mm: nine tenths of its mean annual snowfall over the whole forcing, however short a run is.
fn thresholds(basin: &Basin) -> Vec<f64> {
    let of_band = |band| {
        let weather = basin.weather(band);
        let snow = |step| {
            let (t, p) = weather(step);
            solid_share(t) * p
        };
        let total: f64 = (0..basin.calendar.steps).map(snow).sum();
        0.9 * total / basin.calendar.steps as f64 * 365.25
    };
    basin.bands.iter().map(of_band).collect()
}

impl Gr4j {
    /// With or without the snow of CemaNeige.
    pub fn new(snow: bool) -> Self {
        Self { snow, annual_snow: None, width: None, backend: Backend::default() }
    }

    /// The same with vectors of this width: for tests and benchmarks, since no bit depends on it.
    #[must_use]
    pub fn at(self, width: Width) -> Self {
        Self { width: Some(width), ..self }
    }

    /// The same on another back end, on which no bit depends.
    #[must_use]
    pub fn on(self, backend: Backend) -> Self {
        Self { backend, ..self }
    }

    /// Weather of each step and band, and the bands.
    fn days(&self, basin: &Basin, steps: &Range<usize>) -> (Vec<Day>, Vec<Layer>) {
        let thresholds = match &self.annual_snow {
            Some(given) => given.iter().map(|snow| 0.9 * snow).collect(),
            None => thresholds(basin),
        };
        let layer = |(band, threshold): (&crate::models::hydro::basin::Band, f64)| Layer {
            share: band.share,
            per_threshold: if threshold > 0.0 { 1.0 / threshold } else { f64::MAX },
        };
        let layers = basin.bands.iter().zip(thresholds).map(layer).collect();
        let weather: Vec<_> = basin.bands.iter().map(|band| basin.weather(band)).collect();
        let mut days = Vec::with_capacity(steps.len() * weather.len());
        for i in steps.clone() {
            for (t, p) in weather.iter().map(|of| of(i)) {
                let solid = if self.snow { solid_share(t) * p } else { 0.0 };
                days.push(Day { t, liquid: p - solid, solid });
            }
        }
        (days, layers)
    }

    /// All sets with as many taps as the longest hydrograph needs; `each` gets the numbers of some sets, the sink that
    /// has their flow, and what each of them holds at the end.
    fn run<S: Sink>(
        &self,
        basin: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
        sink: impl Fn(usize) -> S,
        each: impl FnMut(&[usize], &S, Held<'_>),
    ) {
        if sets.iter().all(|set| set[X4] <= 8.0) {
            self.passes::<S, 16>(basin, steps, sets, sink, each);
        } else {
            self.passes::<S, MOST_TAPS>(basin, steps, sets, sink, each);
        }
    }

    fn passes<S: Sink, const TAPS: usize>(
        &self,
        basin: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
        sink: impl Fn(usize) -> S,
        mut each: impl FnMut(&[usize], &S, Held<'_>),
    ) {
        let (days, layers) = self.days(basin, steps);
        // Groups of hydrographs of about one length.
        let mut order: Vec<usize> = (0..sets.len()).collect();
        order.sort_by(|a, b| sets[*a][X4].total_cmp(&sets[*b][X4]));
        let whole = |k: &usize| {
            let mut set = sets[*k].clone();
            set.resize(PARAMETERS.len(), 0.0);
            set
        };
        let at_once = if self.backend == Backend::Scalar { 1 } else { GROUPS * LANES };
        for some in order.chunks(at_once) {
            let group = |members: &[usize]| {
                let sets: Vec<Vec<f64>> = members.iter().map(whole).collect();
                let sets: Vec<&[f64]> = sets.iter().map(Vec::as_slice).collect();
                Group::<TAPS>::new(&sets, layers.len())
            };
            let mut groups: Vec<_> = some.chunks(LANES).map(group).collect();
            let mut sink = sink(groups.len());
            let run = Run::<S, TAPS> {
                days: &days,
                layers: &layers,
                pet: &basin.pet[steps.clone()],
                groups: &mut groups,
                sink: &mut sink,
            };
            if self.backend == Backend::Scalar {
                lanes::one_by_one(run);
            } else {
                self.width.unwrap_or_else(Width::widest).run(run);
            }
            each(some, &sink, &|at| groups[at / LANES].held(at % LANES, &layers, steps.len()));
        }
    }

    fn reduced<const LOG: bool>(
        &self,
        basin: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Vec<Sums> {
        let observed = target.of_observed();
        let mut all = vec![Sums::default(); sets.len()];
        let sink = |groups| Reduce::<LOG>::new(groups, target);
        self.run(basin, steps, sets, sink, |members, sink, _| {
            for (at, k) in members.iter().enumerate() {
                all[*k] = sink.sums(at, &observed);
            }
        });
        all
    }
}

impl Runoff for Gr4j {
    fn name(&self) -> &'static str {
        "gr4j"
    }

    fn parameters(&self) -> &[Parameter] {
        if self.snow { &PARAMETERS } else { &PARAMETERS[..WITHOUT_SNOW] }
    }

    fn check(&self, set: &[f64]) -> Result<(), String> {
        for (parameter, x) in self.parameters().iter().zip(set) {
            let (name, what) = (
                parameter.name,
                match parameter.name {
                    _ if !x.is_finite() => "must be finite".to_owned(),
                    "x1" | "x3" if *x <= 0.0 => "must be above 0".to_owned(),
                    "x4" if *x <= 0.0 || *x > hydrograph::LONGEST => {
                        format!("must be above 0, at most {}", hydrograph::LONGEST)
                    }
                    "ctg" if !(0.0..=1.0).contains(x) => "must be from 0 to 1".to_owned(),
                    "kf" if *x < 0.0 => "must not be below 0".to_owned(),
                    _ => continue,
                },
            );
            return Err(format!("`{name}` is {x:?}, which {what}"));
        }
        Ok(())
    }

    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut flows = vec![Vec::new(); sets.len()];
        let sink = |groups| Keep::new(groups, steps.len());
        self.run(basin, &steps, sets, sink, |members, sink, _| {
            for (at, k) in members.iter().enumerate() {
                flows[*k] = sink.series(at);
            }
        });
        flows
    }

    fn booked(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Option<Vec<(Vec<f64>, Book)>> {
        let one = |(basin, set): &(&Basin, &[f64])| {
            let (days, layers) = self.days(basin, &steps);
            let of_bands = days.iter().zip(layers.iter().cycle());
            let input = of_bands.map(|(day, layer)| layer.share * (day.liquid + day.solid)).sum();
            let start = START.0 * set[0] + START.1 * set[2];
            let mut kept = Default::default();
            let sink = |groups| Booked::new(groups, steps.len());
            self.run(basin, &steps, &[set.to_vec()], sink, |_, sink, held| {
                kept = sink.kept(input, held(0) - start);
            });
            kept
        };
        Some(columns.iter().map(one).collect())
    }

    fn sums(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>], target: &Target) -> Vec<Sums> {
        match target.log {
            Some(_) => self.reduced::<true>(basin, &steps, sets, target),
            None => self.reduced::<false>(basin, &steps, sets, target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::hydro::testing::{basin, synthetic, twelve_bands};

    fn sets(n: usize, longest: f64) -> Vec<Vec<f64>> {
        let share = |i: usize, k: usize| ((i * 37 + k * 101 + i * k * 13) % 97) as f64 / 96.0;
        let value = |i: usize, k: usize| match k {
            X4 => 0.5 + share(i, k) * (longest - 0.5),
            _ => PARAMETERS[k].lower + share(i, k) * (PARAMETERS[k].upper - PARAMETERS[k].lower),
        };
        (0..n).map(|i| (0..PARAMETERS.len()).map(|k| value(i, k)).collect()).collect()
    }

    fn like_the_twin(basin: &Basin, sets: &[Vec<f64>], snow: bool) {
        let thresholds = thresholds(basin);
        let model = Gr4j::new(snow);
        for (set, flow) in sets.iter().zip(model.flows(basin, 50..basin.calendar.steps, sets)) {
            let twin = plain::run(basin, 50..basin.calendar.steps, set, snow.then_some(&thresholds[..]));
            for (a, b) in flow.iter().zip(&twin.flow) {
                // Round-off of the differences in the twin's percolation, kept by the stores
                assert!((a - b).abs() <= 1e-10 * b.max(1.0), "{set:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn lanes_agree_with_the_plain_twin() {
        for snow in [true, false] {
            like_the_twin(&synthetic(1500), &sets(21, 2.9), snow);
            like_the_twin(&synthetic(700), &sets(9, 20.0), snow);
        }
        let Some(mut bow) = basin("bow/bow_daily_lumped.csv") else { return };
        like_the_twin(&bow, &sets(16, 5.0), true);
        twelve_bands(&mut bow);
        like_the_twin(&bow, &sets(9, 2.9), true);
    }

    #[test]
    fn a_set_has_the_same_bits_alone_in_a_batch_and_at_every_width() {
        let basin = synthetic(800);
        for longest in [4.0, 15.0] {
            let sets = sets(45, longest);
            let together = Gr4j::new(true).flows(&basin, 0..800, &sets);
            for width in Width::all() {
                let model = Gr4j::new(true).at(width);
                assert!(model.flows(&basin, 0..800, &sets) == together, "{width:?}");
                for k in [0, 7, 20, 44] {
                    assert!(model.flows(&basin, 0..800, &sets[k..=k])[0] == together[k], "{width:?} {k}");
                }
            }
            assert!(Gr4j::new(true).on(Backend::Scalar).flows(&basin, 0..800, &sets) == together);
        }
    }

    #[test]
    fn sums_made_on_the_way_are_those_of_the_series() {
        let basin = synthetic(900);
        let (sets, model) = (sets(19, 2.9), Gr4j::new(true));
        let mut observed = model.flows(&basin, 0..900, &sets[..1]).remove(0);
        observed[..300].fill(f64::NAN);
        let target = Target::new(observed, true);
        for (sums, flow) in
            model.sums(&basin, 0..900, &sets, &target).iter().zip(model.flows(&basin, 0..900, &sets))
        {
            let theirs = target.sums(&flow);
            for (a, b) in [(sums.plain, theirs.plain), (sums.log, theirs.log)] {
                assert_eq!(a.pairs, b.pairs);
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * b.abs().max(1.0);
                assert!(close(a.ss, b.ss) && close(a.os, b.os) && close(a.s, b.s), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn sets_without_meaning_are_refused() {
        let good: Vec<f64> = PARAMETERS.iter().map(|p| p.default).collect();
        assert_eq!(Gr4j::new(true).check(&good), Ok(()));
        assert_eq!(Gr4j::new(false).check(&good[..4]), Ok(()));
        for (k, x) in [(0, 0.0), (1, f64::NAN), (2, -1.0), (3, 21.0), (4, 1.5), (5, -1.0)] {
            let mut set = good.clone();
            set[k] = x;
            assert!(Gr4j::new(true).check(&set).unwrap_err().contains(PARAMETERS[k].name));
        }
    }
}
