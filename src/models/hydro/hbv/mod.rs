//! HBV-96: snow by degree days, one soil store, two response stores, triangular routing; lumped or in elevation bands.
//!
//! Belongs here: parameters, options, and how sets are cut into groups of lanes. The processes are in `kernel`.
//!
//! # Source
//! Bergström (1976), SMHI RHO 7; Lindström et al. (1997), J. Hydrol. 201, 272–288,
//! doi:10.1016/S0022-1694(97)00041-3. Order of the steps, start values and the nodal routing are those of the HBV of
//! SYMFLUENCE 0.7.10; the routing of the paper is the default.

mod device;
mod kernel;
#[cfg(test)]
mod plain;
pub mod routing;

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

use device::Batch;
use kernel::{Day, GROUPS, Group, MOST_TAPS, Run, START};
use routing::Routing;

/// Parameters in the order of a set.
pub const PARAMETERS: [Parameter; 15] = [
    Parameter::new("tt", "°C", -3.0, 3.0, 0.0),
    Parameter::new("cfmax", "mm/°C/d", 1.0, 10.0, 3.5),
    Parameter::new("sfcf", "-", 0.5, 1.5, 0.9),
    Parameter::new("cfr", "-", 0.0, 0.1, 0.05),
    Parameter::new("cwh", "-", 0.0, 0.2, 0.1),
    Parameter::new("fc", "mm", 50.0, 700.0, 250.0),
    Parameter::new("lp", "-", 0.3, 1.0, 0.7),
    Parameter::new("beta", "-", 1.0, 6.0, 2.5),
    Parameter::new("k0", "1/d", 0.05, 0.5, 0.3),
    Parameter::new("k1", "1/d", 0.01, 0.3, 0.1),
    Parameter::new("k2", "1/d", 0.0001, 0.1, 0.01),
    Parameter::new("uzl", "mm", 0.0, 100.0, 30.0),
    Parameter::new("perc", "mm/d", 0.0, 20.0, 2.5),
    Parameter::new("maxbas", "d", 1.0, 7.0, 2.5),
    Parameter::new("smoothing", "-", 1.0, 50.0, 15.0),
];

/// HBV with its options.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hbv {
    /// How the triangle becomes weights
    pub routing: Routing,
    /// Thresholds without corners, for methods that need slopes; scores are not those of hard thresholds
    pub smooth: bool,
    /// Hours of a step
    step_h: u32,
    /// Another width than the widest
    width: Option<Width>,
    /// What it runs on
    backend: Backend,
}

/// HBV as `[model.hbv]` asks for it.
///
/// # Errors
/// An option or a line of a file that cannot be used.
pub fn forward(options: &Section<'_>, base: &Path, backend: Backend) -> Result<Arc<dyn Forward>, Marked> {
    let own = |options: &Section<'_>, basin: &Basin| {
        let routing = match options.choice("routing", &["integral", "nodal"])? {
            Some("nodal") => Routing::Nodal,
            _ => Routing::Integral,
        };
        let smooth = options.choice("thresholds", &["hard", "smooth"])? == Some("smooth");
        Ok(Hbv { routing, smooth, step_h: basin.calendar.step_h, width: None, backend })
    };
    backend.without_domain(options)?;
    domain::forward(options, base, own)
}

impl Hbv {
    /// HBV with daily steps.
    pub fn daily(routing: Routing, smooth: bool) -> Self {
        Self { routing, smooth, step_h: 24, width: None, backend: Backend::default() }
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

    /// Run all sets with as many taps as the longest routing needs; `each` gets the numbers of some sets, the
    /// sink that has their flow, and what each of them holds at the end.
    fn run<S: Sink>(
        &self,
        basin: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
        sink: impl Fn(usize) -> S,
        each: impl FnMut(&[usize], &S, Held<'_>),
    ) {
        let longest = sets.iter().map(|set| set[MAXBAS] * 24.0 / f64::from(self.step_h)).fold(1.0, f64::max);
        match (longest <= 8.0, self.smooth) {
            (true, false) => self.passes::<S, 8, false>(basin, steps, sets, sink, each),
            (true, true) => self.passes::<S, 8, true>(basin, steps, sets, sink, each),
            (false, false) => self.passes::<S, MOST_TAPS, false>(basin, steps, sets, sink, each),
            (false, true) => self.passes::<S, MOST_TAPS, true>(basin, steps, sets, sink, each),
        }
    }

    /// What each band gets step by step, and the shares of the bands.
    fn forcing(&self, basin: &Basin, steps: &Range<usize>) -> (Vec<Day>, Vec<f64>) {
        let weather: Vec<_> = basin.bands.iter().map(|band| basin.weather(band)).collect();
        let mut days = Vec::with_capacity(steps.len() * weather.len());
        for i in steps.clone() {
            for (t, p) in weather.iter().map(|of| of(i)) {
                days.push(Day { t, p, pet: basin.pet[i] });
            }
        }
        (days, basin.bands.iter().map(|band| band.share).collect())
    }

    fn passes<S: Sink, const TAPS: usize, const SOFT: bool>(
        &self,
        basin: &Basin,
        steps: &Range<usize>,
        sets: &[Vec<f64>],
        sink: impl Fn(usize) -> S,
        mut each: impl FnMut(&[usize], &S, Held<'_>),
    ) {
        let (days, shares) = self.forcing(basin, steps);
        let mut order: Vec<usize> = (0..sets.len()).collect();
        order.sort_by(|a, b| sets[*a][TT].total_cmp(&sets[*b][TT]));
        let at_once = if self.backend == Backend::Scalar { 1 } else { GROUPS * LANES };
        for some in order.chunks(at_once) {
            let group = |members: &[usize]| {
                let sets: Vec<&[f64]> = members.iter().map(|k| sets[*k].as_slice()).collect();
                Group::<TAPS>::new(&sets, self.step_h, basin.bands.len(), self.routing)
            };
            let mut groups: Vec<_> = some.chunks(LANES).map(group).collect();
            let mut sink = sink(groups.len());
            let run =
                Run::<S, TAPS, SOFT> { days: &days, shares: &shares, groups: &mut groups, sink: &mut sink };
            if self.backend == Backend::Scalar {
                lanes::one_by_one(run);
            } else {
                self.width.unwrap_or_else(Width::widest).run(run);
            }
            each(some, &sink, &|at| groups[at / LANES].held(at % LANES, &shares, steps.len()));
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
        self.run(
            basin,
            steps,
            sets,
            |groups| Reduce::<LOG>::new(groups, target),
            |members, sink, _| {
                for (at, k) in members.iter().enumerate() {
                    all[*k] = sink.sums(at, &observed);
                }
            },
        );
        all
    }
}

/// Places in a set.
const TT: usize = 0;
const SFCF: usize = 2;
const MAXBAS: usize = 13;

impl Runoff for Hbv {
    fn name(&self) -> &'static str {
        "hbv"
    }

    fn parameters(&self) -> &[Parameter] {
        &PARAMETERS
    }

    fn check(&self, set: &[f64]) -> Result<(), String> {
        let [_, cfmax, sfcf, cfr, cwh, fc, lp, beta, k0, k1, k2, uzl, perc, maxbas, smoothing] = *set else {
            unreachable!("a set has as many numbers as there are parameters")
        };
        if let Some(k) = set.iter().position(|x| !x.is_finite()) {
            return Err(format!("`{}` is {}", PARAMETERS[k].name, set[k]));
        }
        for (name, x) in
            [("fc", fc), ("lp", lp), ("beta", beta), ("maxbas", maxbas), ("smoothing", smoothing)]
        {
            if x <= 0.0 {
                return Err(format!("`{name}` is {x:?}, which must be above 0"));
            }
        }
        let stores =
            [("cfmax", cfmax), ("sfcf", sfcf), ("cfr", cfr), ("cwh", cwh), ("uzl", uzl), ("perc", perc)];
        for (name, x) in stores.into_iter().chain([("k0", k0), ("k1", k1), ("k2", k2)]) {
            if x < 0.0 {
                return Err(format!("`{name}` is {x:?}, which must not be below 0"));
            }
        }
        if k0 + k1 > 1.0 || k2 > 1.0 {
            // More would leave the store than it holds: water from nothing
            return Err(format!("`k0` + `k1` is {:?} and `k2` {k2:?}, at most 1 may leave a store", k0 + k1));
        }
        if maxbas * 24.0 / f64::from(self.step_h) > MOST_TAPS as f64 {
            return Err(format!("`maxbas` is {maxbas:?}, at most {MOST_TAPS} steps are kept"));
        }
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        self.backend.device().map(drop)
    }

    fn flows_on(
        &self,
        _: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
    ) -> Result<Vec<Vec<f64>>, String> {
        match self.backend.device()? {
            Some(device) => Batch { model: self, basin, steps }.flows(device, sets),
            None => Ok(self.flows(basin, steps, sets)),
        }
    }

    fn sums_on(
        &self,
        _: usize,
        basin: &Basin,
        steps: Range<usize>,
        sets: &[Vec<f64>],
        target: &Target,
    ) -> Result<Vec<Sums>, String> {
        match self.backend.device()? {
            Some(device) => Batch { model: self, basin, steps }.sums(device, sets, target),
            None => Ok(self.sums(basin, steps, sets, target)),
        }
    }

    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let mut flows = vec![Vec::new(); sets.len()];
        self.run(
            basin,
            &steps,
            sets,
            |groups| Keep::new(groups, steps.len()),
            |members, sink, _| {
                for (at, k) in members.iter().enumerate() {
                    flows[*k] = sink.series(at);
                }
            },
        );
        flows
    }

    fn booked(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Option<Vec<(Vec<f64>, Book)>> {
        if self.smooth {
            // Thresholds without corners are clipped where a store would fall below 0: water from nothing.
            return None;
        }
        let one = |(basin, set): &(&Basin, &[f64])| {
            let (days, shares) = self.forcing(basin, &steps);
            // Snowfall counts as corrected: so much of it lies
            let fallen = |day: &Day| if day.t > set[TT] { day.p } else { set[SFCF] * day.p };
            let input = days.iter().zip(shares.iter().cycle()).map(|(day, share)| share * fallen(day)).sum();
            let start = START.iter().sum::<f64>() * shares.iter().sum::<f64>();
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

    /// Sets spread over the usual ranges.
    fn sets(n: usize) -> Vec<Vec<f64>> {
        let share = |i: usize, k: usize| ((i * 37 + k * 101 + i * k * 13) % 97) as f64 / 96.0;
        let value = |i: usize, k: usize| {
            PARAMETERS[k].lower + share(i, k) * (PARAMETERS[k].upper - PARAMETERS[k].lower)
        };
        (0..n).map(|i| (0..PARAMETERS.len()).map(|k| value(i, k)).collect()).collect()
    }

    fn all_forms() -> Vec<Hbv> {
        [(Routing::Integral, false), (Routing::Nodal, false), (Routing::Integral, true)]
            .map(|(routing, smooth)| Hbv::daily(routing, smooth))
            .to_vec()
    }

    #[test]
    fn lanes_agree_with_the_plain_twin() {
        let mut hills = synthetic(1500);
        hills.bands = [(-0.6, 0.3), (0.0, 0.5), (1.1, 0.2)]
            .map(|(dz_km, share)| crate::models::hydro::basin::Band { dz_km, share })
            .to_vec();
        hills.gradient = 0.1;
        for basin in [synthetic(1500), hills] {
            for model in all_forms() {
                let sets = sets(21);
                let flows = model.flows(&basin, 100..1500, &sets);
                for (set, flow) in sets.iter().zip(&flows) {
                    let sharpness = if model.smooth { set[14] } else { 0.0 };
                    let twin = plain::run(&basin, 100..1500, set, model.routing, sharpness);
                    for (a, b) in flow.iter().zip(&twin.flow) {
                        // Round-off of powers, kept by stores for a thousand steps; some thresholds are steep
                        assert!((a - b).abs() <= 1e-11 * b.max(1.0), "{model:?} {set:?}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_set_has_the_same_bits_alone_in_a_batch_and_at_every_width() {
        let basin = synthetic(800);
        let sets = sets(45);
        for model in all_forms() {
            let together = model.flows(&basin, 0..800, &sets);
            for width in Width::all() {
                let model = model.at(width);
                assert!(model.flows(&basin, 0..800, &sets) == together, "{model:?}");
                for k in [0, 7, 20, 44] {
                    assert!(model.flows(&basin, 0..800, &sets[k..=k])[0] == together[k], "{model:?} {k}");
                }
            }
            assert!(model.on(Backend::Scalar).flows(&basin, 0..800, &sets) == together, "{model:?}");
        }
    }

    #[test]
    fn sums_made_on_the_way_are_those_of_the_series() {
        let basin = synthetic(900);
        let (sets, model) = (sets(19), Hbv::daily(Routing::Integral, false));
        let mut observed = model.flows(&basin, 0..900, &sets[..1]).remove(0);
        observed[..300].fill(f64::NAN);
        observed[555] = f64::NAN;
        for with_log in [false, true] {
            let target = Target::new(observed.clone(), with_log);
            let ours = model.sums(&basin, 0..900, &sets, &target);
            for (sums, flow) in ours.iter().zip(model.flows(&basin, 0..900, &sets)) {
                let theirs = target.sums(&flow);
                let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * b.abs().max(1.0) * 600.0;
                for (a, b) in [(sums.plain, theirs.plain), (sums.log, theirs.log)] {
                    assert_eq!(a.pairs, b.pairs);
                    assert!(close(a.ss, b.ss) && close(a.os, b.os) && close(a.s, b.s), "{a:?} {b:?}");
                    assert!(close(a.oo, b.oo) && close(a.o, b.o), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn hours_are_days_cut_into_pieces() {
        // A steady rain on full stores: what comes in goes out, whatever the step
        let day = synthetic(10);
        for step_h in [1, 6, 24] {
            let steps = 400 * 24 / step_h as usize;
            let mut basin = day.clone();
            basin.calendar = crate::models::hydro::table::Calendar { step_h, steps, ..day.calendar };
            basin.precipitation = vec![5.0 * f64::from(step_h) / 24.0; steps];
            basin.temperature = vec![10.0; steps];
            basin.pet = vec![0.0; steps];
            let model = Hbv { step_h, ..Hbv::daily(Routing::Integral, false) };
            let set: Vec<f64> = PARAMETERS.iter().map(|p| p.default).collect();
            let flow = model.flows(&basin, 0..steps, &[set]).remove(0);
            let last_day: f64 = flow[steps - 24 / step_h as usize..].iter().sum();
            assert!((last_day - 5.0).abs() < 0.05, "{step_h}: {last_day}");
        }
    }

    #[test]
    fn the_bow_in_twelve_bands_is_that_of_the_twin() {
        let Some(mut bow) = basin("bow/bow_daily_lumped.csv") else { return };
        twelve_bands(&mut bow);
        let (sets, model) = (sets(9), Hbv::daily(Routing::Nodal, false));
        for (set, flow) in sets.iter().zip(model.flows(&bow, 0..2556, &sets)) {
            let twin = plain::run(&bow, 0..2556, set, Routing::Nodal, 0.0);
            assert!(flow.iter().zip(&twin.flow).all(|(a, b)| (a - b).abs() <= 1e-10 * b.max(1.0)));
        }
    }

    #[test]
    fn sets_without_meaning_are_refused() {
        let good: Vec<f64> = PARAMETERS.iter().map(|p| p.default).collect();
        let model = Hbv::daily(Routing::Integral, false);
        assert_eq!(model.check(&good), Ok(()));
        for (k, x, words) in [
            (8, 0.95, "at most 1"),
            (5, 0.0, "`fc`"),
            (13, 500.0, "`maxbas`"),
            (4, f64::NAN, "`cwh`"),
            (11, -1.0, "`uzl`"),
        ] {
            let mut set = good.clone();
            set[k] = x;
            assert!(model.check(&set).unwrap_err().contains(words), "{words}");
        }
    }
}
