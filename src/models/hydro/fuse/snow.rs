//! Rain error and snow of FUSE: precipitation and temperature of a step become rain and melt.
//!
//! Per elevation band: melt only where snow lay at the start of the step and T > MBASE, at most old snow and new.
//! A band that melts away is set to exactly 0, because the first of these tests depends on it.
//!
//! # Source
//! Henn et al. (2015), doi:10.1002/2014WR016736.

use std::f64::consts::TAU;

use crate::models::hydro::fuse::decisions::{Decisions, RainError, Snow};
use crate::models::hydro::fuse::parameters::Values;
use crate::models::hydro::fuse::sizes::Lane;

/// Where in its yearly swing the melt factor stands: 0 lowest, 1 highest; both middles are on 21 March.
pub fn season(day_of_year: u32, leap: bool) -> f64 {
    let day = f64::from(day_of_year);
    let phase = if leap { (day - 81.0) / 366.0 } else { (day - 80.0) / 365.0 };
    0.5 + 0.5 * (TAU * phase).sin()
}

/// Snow of some parameter sets in some elevation bands.
#[derive(Debug, Clone)]
pub(super) struct Pack<const L: usize> {
    error: RainError,
    kept: bool,
    add: Lane<L>,
    factor: Lane<L>,
    mbase: Lane<L>,
    mfmin: Lane<L>,
    swing: Lane<L>,
    pxtemp: Lane<L>,
    bands: Vec<Band<L>>,
}

/// One band.
#[derive(Debug, Clone)]
struct Band<const L: usize> {
    share: f64,
    /// Added to the temperature, K
    shift: Lane<L>,
    /// Precipitation is multiplied by the first and divided by the second
    times: Lane<L>,
    over: Lane<L>,
    /// Snow water, mm
    swe: Lane<L>,
}

impl<const L: usize> Pack<L> {
    /// No snow yet. `bands`: height above that of the forcing (km) and share of the area.
    pub(super) fn new(d: &Decisions, sets: &[Values; L], bands: &[(f64, f64)]) -> Self {
        let each = |of: &dyn Fn(&Values) -> f64| std::array::from_fn(|l| of(&sets[l]));
        let band = |&(dz, share): &(f64, f64)| Band {
            share,
            shift: each(&|g| g.lapse * dz),
            times: each(&|g| if dz > 0.0 { 1.0 + g.opg * dz } else { 1.0 }),
            over: each(&|g| if dz > 0.0 { 1.0 } else { 1.0 - g.opg * dz }),
            swe: [0.0; L],
        };
        let kept = d.snow == Snow::TemperatureIndex;
        Self {
            error: d.rain_error,
            kept,
            add: each(&|g| g.rferr_add),
            factor: each(&|g| g.rferr_mlt),
            mbase: each(&|g| g.mbase),
            mfmin: each(&|g| g.mfmin),
            swing: each(&|g| g.mfmax - g.mfmin),
            pxtemp: each(&|g| g.pxtemp),
            bands: if kept { bands.iter().map(band).collect() } else { Vec::new() },
        }
    }

    /// One step of `dt` days: precipitation `p` (mm/step) at temperature `t` (°C). Rain and melt that leave, and all
    /// that came in, mm/step.
    #[inline(always)]
    pub(super) fn step(&mut self, p: &Lane<L>, t: &Lane<L>, season: f64, dt: f64) -> (Lane<L>, Lane<L>) {
        let (mut liquid, mut total) = ([0.0; L], [0.0; L]);
        if !self.kept {
            for l in 0..L {
                liquid[l] = erring(self.error, p[l], self.add[l] * dt, self.factor[l]);
            }
            return (liquid, liquid);
        }
        for band in &mut self.bands {
            for l in 0..L {
                let here = t[l] + band.shift[l];
                let wet =
                    erring(self.error, p[l] * band.times[l] / band.over[l], self.add[l] * dt, self.factor[l]);
                let fallen = if here < self.pxtemp[l] { wet } else { 0.0 };
                let degree_days = (self.mfmin[l] + self.swing[l] * season) * (here - self.mbase[l]) * dt;
                let melts = band.swe[l] > 0.0 && here > self.mbase[l];
                let melt = if melts { degree_days } else { 0.0 };
                let most = band.swe[l] + fallen;
                let all = melt >= most;
                let melt = if all { most } else { melt };
                band.swe[l] = if all { 0.0 } else { band.swe[l] + (fallen - melt) };
                liquid[l] += band.share * (wet - fallen + melt);
                total[l] += band.share * wet;
            }
        }
        (liquid, total)
    }

    /// Snow water of each band, mm.
    pub(super) fn swe(&self) -> impl Iterator<Item = &Lane<L>> {
        self.bands.iter().map(|band| &band.swe)
    }

    /// Mean snow water, mm.
    pub(super) fn mean(&self) -> Lane<L> {
        std::array::from_fn(|l| self.bands.iter().map(|band| band.share * band.swe[l]).sum())
    }
}

#[inline(always)]
fn erring(error: RainError, p: f64, add: f64, factor: f64) -> f64 {
    match error {
        RainError::Additive => (p + add).max(0.0),
        RainError::Multiplicative => p * factor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_that_melts_away_is_exactly_empty_and_stays_so() {
        let d = Decisions::default();
        let g = Values { mbase: 0.0, mfmin: 3.0, mfmax: 3.0, pxtemp: 1.0, ..Values::default() };
        let mut pack = Pack::new(&d, &[g], &[(0.0, 1.0)]);
        assert_eq!(pack.step(&[0.1], &[-2.0], 0.5, 1.0), ([0.0], [0.1]));
        assert_eq!(pack.step(&[0.2], &[-2.0], 0.5, 1.0), ([0.0], [0.2]));
        // 0.1 + 0.2 of snow, 0.5 of degree days' melt: all of it goes
        let (liquid, _) = pack.step(&[0.0], &[0.2], 0.5, 1.0);
        assert!((liquid[0] - 0.3).abs() < 1e-15);
        assert_eq!(pack.mean(), [0.0]);
        // At T = PXTEMP precipitation is rain; new snow does not melt on the day it falls on bare ground
        assert_eq!(pack.step(&[1.0], &[1.0], 0.5, 1.0), ([1.0], [1.0]));
        assert_eq!(pack.step(&[1.0], &[0.9], 0.5, 1.0), ([0.0], [1.0]));
    }
}
