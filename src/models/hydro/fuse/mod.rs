//! FUSE: a family of rainfall–runoff models whose structure is put together from decisions.
//!
//! Belongs here: options, and the trait. Decisions, parameters and fluxes stand in files of their own, one step in time
//! in `step`, the loop in `column`.
//!
//! # Source
//! Clark et al. (2008), Water Resour. Res. 44, W00B02, doi:10.1029/2007WR006735; Henn et al. (2015) for snow. Written
//! from the formulas and held against the authors' code; jFUSE goes by the same name and has other formulas.
#![expect(clippy::needless_range_loop, reason = "a loop over lanes goes through many arrays at once")]

pub mod column;
pub mod decisions;
pub mod fluxes;
mod lower;
pub mod parameters;
pub mod routing;
pub mod sizes;
pub mod snow;
mod step;
#[cfg(test)]
mod tests;
mod topography;
mod upper;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::Forward;
use crate::models::hydro::basin::Basin;
use crate::models::hydro::{Book, Parameter, Runoff, domain};
use crate::numerics::simd::widest;

use column::{Column, Scheme, Weather};
use decisions::{Decisions, Delay, PARENTS};
use parameters::{PARAMETERS, Values, used};

pub use topography::mean_power_index;

/// Parameter sets in one pass of the loop.
const LANES: usize = 16;

/// FUSE with a structure.
#[derive(Debug, Clone)]
pub struct Fuse {
    decisions: Decisions,
    scheme: Scheme,
    /// Those that the structure uses
    parameters: Vec<Parameter>,
}

/// From `[model.fuse]`; paths are relative to `base`.
///
/// # Errors
/// An option or a file that cannot be used.
pub fn forward(options: &Section<'_>, base: &Path) -> Result<Arc<dyn Forward>, Marked> {
    domain::forward(options, base, Fuse::read)
}

impl Fuse {
    /// A structure, solved by the implicit scheme. `banded`: snow is kept in elevation bands.
    pub fn new(decisions: Decisions, banded: bool) -> Self {
        let parameters = PARAMETERS.iter().filter(|p| used(&decisions, banded, p.name)).copied().collect();
        Self { decisions, scheme: Scheme::default(), parameters }
    }

    /// `structure`, single decisions, `solver`, `substeps`.
    fn read(options: &Section<'_>, basin: &Basin) -> Result<Self, Marked> {
        let mut d = match options.choice("structure", PARENTS)? {
            Some(name) => Decisions::parent(name).expect("one of the parents"),
            None => Decisions::default(),
        };
        macro_rules! decision {
            ($($field:ident: $option:ident),+) => {
                $(if let Some(word) = options.choice(decisions::$option::KEY, decisions::$option::WORDS)? {
                    d.$field = decisions::$option::from_word(word).expect("one of the words");
                })+
            };
        }
        decision!(
            rain_error: RainError,
            upper: Upper,
            lower: Lower,
            surface: Surface,
            percolation: Percolation,
            evaporation: Evaporation,
            interflow: Interflow,
            delay: Delay,
            snow: Snow
        );
        if let Some((key, words)) = d.conflict() {
            return Err(options
                .wrong(key, "these decisions do not go together", words)
                .hint(format!("asked for: {d}")));
        }
        let implicit = options.choice("solver", &["implicit", "explicit"])? != Some("explicit");
        let parts =
            options.integer("substeps", 1..=10_000)?.map_or(1, |n| u32::try_from(n).expect("at most 10 000"));
        let banded = basin.bands.iter().any(|band| band.dz_km != 0.0);
        Ok(Self { scheme: Scheme { implicit, parts }, ..Self::new(d, banded) })
    }

    /// A whole set from that of the parameters used.
    fn values(&self, set: &[f64]) -> Values {
        let mut values = Values::default();
        for (parameter, x) in self.parameters.iter().zip(set) {
            *values.get_mut(parameter.name).expect("of the table") = *x;
        }
        values
    }

    /// Runoff of some lanes, mm/step, step by step, and their books; the last lanes may be copies that nobody reads.
    fn lanes<const L: usize>(
        &self,
        sets: &[Values],
        weather: &[Weather<'_>],
        seasons: &[f64],
        bands: &[(f64, f64)],
        step_days: f64,
    ) -> Vec<(Vec<f64>, Book)> {
        let lane = |l: usize| l.min(sets.len() - 1);
        let column = Column {
            decisions: &self.decisions,
            sets: &std::array::from_fn(|l| sets[lane(l)]),
            weather: std::array::from_fn::<_, L, _>(|l| weather[lane(l)]),
            seasons,
            bands,
            step_days,
            scheme: self.scheme,
        };
        let ended = widest(column);
        let lane = |l: usize| (ended.runoff.iter().map(|q| q[l]).collect(), ended.book(l));
        (0..sets.len()).map(lane).collect()
    }

    /// Runoff of any number of columns, each with its parameters and its weather; the bits are those of each alone.
    fn side_by_side(
        &self,
        sets: &[Values],
        weather: &[Weather<'_>],
        seasons: &[f64],
        bands: &[(f64, f64)],
        step_days: f64,
    ) -> Vec<(Vec<f64>, Book)> {
        let chunks = sets.chunks(LANES).zip(weather.chunks(LANES));
        let run = |(sets, weather): (&[Values], &[Weather<'_>])| match sets.len() {
            1 => self.lanes::<1>(sets, weather, seasons, bands, step_days),
            2..=8 => self.lanes::<8>(sets, weather, seasons, bands, step_days),
            _ => self.lanes::<LANES>(sets, weather, seasons, bands, step_days),
        };
        chunks.flat_map(run).collect()
    }

    /// Runoff of columns, and their books: a column keeps one anyway.
    fn books(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Vec<(Vec<f64>, Book)> {
        let Some((first, _)) = columns.first() else { return Vec::new() };
        let season = |step: usize| {
            let (day, leap) = first.day_of_year(step);
            snow::season(day, leap)
        };
        let seasons: Vec<f64> = steps.clone().map(season).collect();
        // Columns of a domain differ in their weather, those of a banded basin have one; both have the same bands
        let bands: Vec<(f64, f64)> = first.bands.iter().map(|band| (band.dz_km, band.share)).collect();
        let weather: Vec<Weather<'_>> = columns
            .iter()
            .map(|(basin, _)| Weather {
                precipitation: &basin.precipitation[steps.clone()],
                temperature: &basin.temperature[steps.clone()],
                pet: &basin.pet[steps.clone()],
            })
            .collect();
        let values: Vec<Values> = columns.iter().map(|(_, set)| self.values(set)).collect();
        self.side_by_side(&values, &weather, &seasons, &bands, step_days(first))
    }
}

impl Runoff for Fuse {
    fn name(&self) -> &'static str {
        "fuse"
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn check(&self, set: &[f64]) -> Result<(), String> {
        match self.values(set).fault() {
            Some((name, value, allowed)) => Err(format!("`{name}` is {value}, allowed: {allowed}")),
            None => Ok(()),
        }
    }

    fn flows(&self, basin: &Basin, steps: Range<usize>, sets: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let columns: Vec<(&Basin, &[f64])> = sets.iter().map(|set| (basin, set.as_slice())).collect();
        let mut flows = self.columns(steps, &columns);
        for (flow, set) in flows.iter_mut().zip(sets) {
            self.delay(basin, set, flow);
        }
        flows
    }

    fn columns(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Vec<Vec<f64>> {
        self.books(steps, columns).into_iter().map(|(runoff, _)| runoff).collect()
    }

    fn booked(&self, steps: Range<usize>, columns: &[(&Basin, &[f64])]) -> Option<Vec<(Vec<f64>, Book)>> {
        Some(self.books(steps, columns))
    }

    fn delay(&self, basin: &Basin, set: &[f64], runoff: &mut [f64]) -> f64 {
        if self.decisions.delay != Delay::Gamma {
            return 0.0;
        }
        let shares = routing::ordinates(self.values(set).timedelay, step_days(basin));
        routing::route(&shares, runoff).iter().sum()
    }
}

fn step_days(basin: &Basin) -> f64 {
    f64::from(basin.calendar.step_h) / 24.0
}
