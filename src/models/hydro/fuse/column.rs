//! A column of FUSE through all steps: some parameter sets, or some units of a domain, side by side.
//!
//! Belongs here: the loop in time and the book of what came and went. Runoff leaves it unrouted, so that a domain can
//! add up before it routes.

use crate::models::hydro::Book;
use crate::models::hydro::fuse::decisions::{Decisions, STORES};
use crate::models::hydro::fuse::parameters::Values;
use crate::models::hydro::fuse::sizes::{Lane, Sizes};
use crate::models::hydro::fuse::snow::Pack;
use crate::models::hydro::fuse::step::{explicit, implicit};
use crate::numerics::simd::Kernel;

/// Stores start at this share of their capacity; one without capacity at this share of MAXWATR_2.
const START: f64 = 0.25;

/// How the state equations are solved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scheme {
    /// Implicit Euler; else explicit
    pub implicit: bool,
    /// Equal parts of a forcing step
    pub parts: u32,
}

impl Default for Scheme {
    fn default() -> Self {
        Self { implicit: true, parts: 1 }
    }
}

/// What drives one lane.
#[derive(Debug, Clone, Copy)]
pub struct Weather<'a> {
    /// mm/step
    pub precipitation: &'a [f64],
    /// °C
    pub temperature: &'a [f64],
    /// mm/step
    pub pet: &'a [f64],
}

/// A column ready to run.
pub struct Column<'a, const L: usize> {
    /// Structure
    pub decisions: &'a Decisions,
    /// Parameters of each lane
    pub sets: &'a [Values; L],
    /// Forcing of each lane, all of one length
    pub weather: [Weather<'a>; L],
    /// [`season`](crate::models::hydro::fuse::snow::season) of each step
    pub seasons: &'a [f64],
    /// Snow bands: height above that of the forcing (km), share of the area
    pub bands: &'a [(f64, f64)],
    /// Length of a step, days
    pub step_days: f64,
    /// How to solve
    pub scheme: Scheme,
}

/// Where a column ended, and its book; mm over the area.
#[derive(Debug, Clone)]
pub struct Ended<const L: usize> {
    /// Runoff of each step, mm/step; NaN from a step on that could not be solved
    pub runoff: Vec<Lane<L>>,
    /// The stores, upper layer first
    pub stores: [Lane<L>; STORES],
    /// Snow water of each band
    pub swe: Vec<Lane<L>>,
    /// Mean snow water
    pub snow: Lane<L>,
    /// All stores at the start
    pub start: Lane<L>,
    /// Rain and snow
    pub input: Lane<L>,
    /// qsx, evap_1, evap_2, intf, perc, oflow_1, oflow_2, base
    pub totals: [Lane<L>; 8],
    /// Largest residual of a step, mm
    pub residual: Lane<L>,
    /// Times that the right-hand side was evaluated
    pub evaluations: usize,
}

impl<const L: usize> Ended<L> {
    /// The book of a lane.
    pub(super) fn book(&self, lane: usize) -> Book {
        let [_, upper, lower, ..] = self.totals;
        let held = self.stores.iter().map(|store| store[lane]).sum::<f64>() + self.snow[lane];
        Book {
            input: self.input[lane],
            evaporation: upper[lane] + lower[lane],
            ground: 0.0,
            stored: held - self.start[lane],
        }
    }
}

impl<const L: usize> Kernel for Column<'_, L> {
    type Output = Ended<L>;

    #[inline(always)]
    fn run(self) -> Ended<L> {
        let (d, n) = (self.decisions, self.decisions.stores());
        let k = Sizes::new(d, self.sets);
        let mut pack = Pack::new(d, self.sets, self.bands);
        let mut s = [[0.0; L]; STORES];
        for i in 0..n {
            s[i] = k.full[i].map(|full| START * full);
        }
        let mut ended = Ended {
            runoff: Vec::with_capacity(self.seasons.len()),
            stores: s,
            swe: Vec::new(),
            snow: [0.0; L],
            start: std::array::from_fn(|l| s[..n].iter().map(|store| store[l]).sum()),
            input: [0.0; L],
            totals: [[0.0; L]; 8],
            residual: [0.0; L],
            evaluations: 0,
        };
        let dt = self.step_days / f64::from(self.scheme.parts);
        for (step, season) in self.seasons.iter().enumerate() {
            let (mut p, mut t, mut pet) = ([0.0; L], [0.0; L], [0.0; L]);
            for (l, w) in self.weather.iter().enumerate() {
                p[l] = w.precipitation[step];
                t[l] = w.temperature[step];
                pet[l] = w.pet[step] / self.step_days;
            }
            let (liquid, total) = pack.step(&p, &t, *season, self.step_days);
            let rain: Lane<L> = std::array::from_fn(|l| liquid[l] / self.step_days);
            let mut runoff = [0.0; L];
            for _ in 0..self.scheme.parts {
                let root = if self.scheme.implicit {
                    implicit(d, &k, &s, &rain, &pet, dt)
                } else {
                    explicit(d, &k, &s, &rain, &pet, dt)
                };
                for i in 0..n {
                    for l in 0..L {
                        s[i][l] += dt * root.rate[i][l];
                    }
                }
                for (sum, flux) in ended.totals.iter_mut().zip(root.flux.all()) {
                    for l in 0..L {
                        sum[l] += flux[l] * dt;
                    }
                }
                let f = &root.flux;
                for l in 0..L {
                    let q = f.qsx[l] + f.intf[l] + f.oflow_1[l] + f.oflow_2[l] + f.base[l];
                    // A step without a root is the end of that lane: NaN from here on
                    let lost = root.residual[l].is_nan();
                    runoff[l] += if lost { f64::NAN } else { q * dt };
                    s[0][l] = if lost { f64::NAN } else { s[0][l] };
                    ended.residual[l] = if root.residual[l] > ended.residual[l] || lost {
                        root.residual[l]
                    } else {
                        ended.residual[l]
                    };
                }
                ended.evaluations += root.evaluations;
            }
            for l in 0..L {
                ended.input[l] += total[l];
            }
            ended.runoff.push(runoff);
        }
        ended.stores = s;
        ended.snow = pack.mean();
        ended.swe = pack.swe().copied().collect();
        ended
    }
}
