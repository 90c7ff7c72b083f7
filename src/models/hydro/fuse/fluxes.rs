//! The fluxes of FUSE at given states, and how the stores change by them: for some parameter sets side by side.
//!
//! Each loop runs over lanes, without branches, so that the compiler makes vectors of it; the choice of the structure
//! stands outside of the loops. Derivatives come along, for Newton's method.
//!
//! | symbol | field | unit |
//! |---|---|---|
//! | P_e | `rain`: rain and melt | mm/d |
//! | PET | `pet` | mm/d |
//! | S | `x`: the stores, upper layer first (`Decisions::store_names`) | mm |
//!
//! # Source
//! Clark et al. (2008), doi:10.1029/2007WR006735. Two things follow the published code and not its words: 1 − PERCFRAC
//! of the percolation goes to tension storage, and the /1000 in the baseflow of `unlimpow_2` is meant.

use crate::models::hydro::fuse::decisions::{
    Decisions, Interflow, Lower, Percolation, STORES, Surface, Upper,
};
use crate::models::hydro::fuse::lower::lower;
use crate::models::hydro::fuse::sizes::{Brim, Lane, Sizes};
use crate::models::hydro::fuse::topography::area_above;
use crate::models::hydro::fuse::upper::upper;

/// Fluxes, mm/d.
#[derive(Debug, Clone, Copy)]
pub struct Fluxes<const L: usize> {
    /// Surface runoff
    pub qsx: Lane<L>,
    /// Evaporation of the upper layer
    pub evap_1: Lane<L>,
    /// Evaporation of the lower layer
    pub evap_2: Lane<L>,
    /// Interflow
    pub intf: Lane<L>,
    /// Percolation
    pub perc: Lane<L>,
    /// Spill of the upper layer
    pub oflow_1: Lane<L>,
    /// Spill of the lower layer
    pub oflow_2: Lane<L>,
    /// Baseflow
    pub base: Lane<L>,
}

impl<const L: usize> Fluxes<L> {
    /// All fluxes 0
    pub(super) const ZERO: Self = Self {
        qsx: [0.0; L],
        evap_1: [0.0; L],
        evap_2: [0.0; L],
        intf: [0.0; L],
        perc: [0.0; L],
        oflow_1: [0.0; L],
        oflow_2: [0.0; L],
        base: [0.0; L],
    };

    /// In the order qsx, evap_1, evap_2, intf, perc, oflow_1, oflow_2, base.
    #[inline(always)]
    pub fn all_mut(&mut self) -> [&mut Lane<L>; 8] {
        [
            &mut self.qsx,
            &mut self.evap_1,
            &mut self.evap_2,
            &mut self.intf,
            &mut self.perc,
            &mut self.oflow_1,
            &mut self.oflow_2,
            &mut self.base,
        ]
    }

    /// The same order, to read.
    #[inline(always)]
    pub fn all(&self) -> [&Lane<L>; 8] {
        [
            &self.qsx,
            &self.evap_1,
            &self.evap_2,
            &self.intf,
            &self.perc,
            &self.oflow_1,
            &self.oflow_2,
            &self.base,
        ]
    }
}

/// The right-hand side of the state equations at one point.
#[derive(Debug, Clone, Copy)]
pub struct Point<const L: usize> {
    /// dS/dt of each store, mm/d
    pub rate: [Lane<L>; STORES],
    /// `slope[i][j]`: derivative of the rate of store i by store j, 1/d
    pub slope: [[Lane<L>; STORES]; STORES],
    /// Share of the area that sheds rain at once; left as it was where there is no rain
    pub area: Lane<L>,
    /// Fluxes
    pub flux: Fluxes<L>,
}

impl<const L: usize> Point<L> {
    /// All rates, slopes and fluxes 0
    pub(super) const ZERO: Self = Self {
        rate: [[0.0; L]; STORES],
        slope: [[[0.0; L]; STORES]; STORES],
        area: [0.0; L],
        flux: Fluxes::ZERO,
    };
}

/// x^c for x ≥ 0, and its derivative by x. c ≥ 1 but for the surface area, whose slope at 0 is cut off.
#[inline(always)]
pub(super) fn power(x: f64, c: f64) -> (f64, f64) {
    let safe = x.max(f64::MIN_POSITIVE);
    let p = (c * safe.ln()).exp();
    let p = if x > 0.0 { p } else { 0.0 };
    (p, c * p / safe)
}

/// A switch that opens just below a full store, and its derivative.
#[inline(always)]
pub(super) fn brim<const L: usize>(s: &Lane<L>, at: &Brim<L>) -> (Lane<L>, Lane<L>) {
    let (mut open, mut slope) = ([0.0; L], [0.0; L]);
    for l in 0..L {
        let g = 1.0 / (1.0 + ((at.half[l] - s[l]) * at.sharpness[l]).exp());
        open[l] = g;
        slope[l] = g * (1.0 - g) * at.sharpness[l];
    }
    (open, slope)
}

/// Contents of the conceptual parts of both layers, and what of a whole store is tension (1) or free (0).
pub(super) struct Parts<const L: usize> {
    pub(super) w1: Lane<L>,
    pub(super) t1: Lane<L>,
    pub(super) f1: Lane<L>,
    pub(super) w2: Lane<L>,
    pub(super) t2: Lane<L>,
    /// Derivative of t1 by W1 where the upper layer is one store
    pub(super) tense: Lane<L>,
}

#[inline(always)]
fn parts<const L: usize>(d: &Decisions, k: &Sizes<L>, x: &[Lane<L>; STORES]) -> Parts<L> {
    let mut p =
        Parts { w1: [0.0; L], t1: [0.0; L], f1: [0.0; L], w2: [0.0; L], t2: [0.0; L], tense: [1.0; L] };
    match d.upper {
        Upper::OneState => {
            for l in 0..L {
                p.w1[l] = x[0][l];
                p.t1[l] = x[0][l].min(k.t1[l]);
                p.f1[l] = (x[0][l] - k.t1[l]).max(0.0);
                p.tense[l] = if x[0][l] < k.t1[l] { 1.0 } else { 0.0 };
            }
        }
        Upper::Tension => {
            for l in 0..L {
                (p.t1[l], p.f1[l]) = (x[0][l], x[1][l]);
                p.w1[l] = x[0][l] + x[1][l];
            }
        }
        Upper::TwoZones => {
            for l in 0..L {
                (p.t1[l], p.f1[l]) = (x[0][l] + x[1][l], x[2][l]);
                p.w1[l] = p.t1[l] + p.f1[l];
            }
        }
    }
    let below = d.uppers();
    for l in 0..L {
        if d.lower == Lower::Parallel {
            p.t2[l] = x[below][l];
            p.w2[l] = x[below][l] + x[below + 1][l] + x[below + 2][l];
        } else {
            p.w2[l] = x[below][l];
            p.t2[l] = x[below][l].min(k.t2[l]);
        }
    }
    p
}

/// Water that enters the soil and its derivatives by tension stores, the free store, and the lower layer.
pub(super) struct Input<const L: usize> {
    pub(super) inp: Lane<L>,
    pub(super) by_t: Lane<L>,
    pub(super) by_f: Lane<L>,
    pub(super) by_2: Lane<L>,
}

#[inline(always)]
fn surface<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    p: &Parts<L>,
    rain: &Lane<L>,
    area: &mut Lane<L>,
    qsx: &mut Lane<L>,
) -> Input<L> {
    let mut slope = [0.0; L];
    let mut input = Input { inp: [0.0; L], by_t: [0.0; L], by_f: [0.0; L], by_2: [0.0; L] };
    match d.surface {
        Surface::Arno => {
            for l in 0..L {
                let dry = 1.0 - (p.w1[l] / k.s1[l]).min(1.0);
                let (left, by) = power(dry, k.axv_bexp[l]);
                area[l] = 1.0 - left;
                slope[l] = by / k.s1[l];
            }
        }
        Surface::Prms => {
            for l in 0..L {
                let full = p.t1[l] / k.t1[l];
                area[l] = k.sareamax[l] * full.min(1.0);
                slope[l] = if full < 1.0 { k.sareamax[l] / k.t1[l] * p.tense[l] } else { 0.0 };
            }
        }
        Surface::Topographic => {
            for l in 0..L {
                area[l] = 0.0;
                if p.w2[l] > 0.0 {
                    let edge = k.qb_powr[l] * (k.lambda[l] * k.s2[l] / p.w2[l]).ln();
                    let (above, by) = area_above(edge, k.chi[l], k.tishape[l], k.log_gamma[l]);
                    area[l] = above;
                    slope[l] = -by * k.qb_powr[l] / p.w2[l];
                }
            }
        }
    }
    for l in 0..L {
        qsx[l] = rain[l] * area[l];
        input.inp[l] = rain[l] - qsx[l];
        let by = -rain[l] * slope[l];
        match d.surface {
            Surface::Arno => (input.by_t[l], input.by_f[l]) = (by, by),
            Surface::Prms => input.by_t[l] = by,
            Surface::Topographic => input.by_2[l] = by,
        }
    }
    input
}

/// Percolation with its derivatives by the free store (or W1) and by the content of the lower layer.
pub(super) struct Drain<const L: usize> {
    pub(super) perc: Lane<L>,
    pub(super) by_f: Lane<L>,
    pub(super) by_2: Lane<L>,
    /// Interflow, and its derivative by the free store
    pub(super) intf: Lane<L>,
    pub(super) intf_by: Lane<L>,
}

#[inline(always)]
fn drainage<const L: usize>(d: &Decisions, k: &Sizes<L>, p: &Parts<L>) -> Drain<L> {
    let one = d.upper == Upper::OneState;
    let mut out = Drain { perc: [0.0; L], by_f: [0.0; L], by_2: [0.0; L], intf: [0.0; L], intf_by: [0.0; L] };
    let mut by = [0.0; L]; // derivative of F1/F1max by the store
    for l in 0..L {
        by[l] = if one { (1.0 - p.tense[l]) / k.f1[l] } else { 1.0 / k.f1[l] };
    }
    match d.percolation {
        Percolation::Free => {
            for l in 0..L {
                let (share, slope) = power(p.f1[l] / k.f1[l], k.percexp[l]);
                out.perc[l] = k.percrte[l] * share;
                out.by_f[l] = k.percrte[l] * slope * by[l];
            }
        }
        Percolation::Whole => {
            for l in 0..L {
                let (share, slope) = power(p.w1[l] / k.s1[l], k.percexp[l]);
                out.perc[l] = k.percrte[l] * share;
                out.by_f[l] = k.percrte[l] * slope / k.s1[l];
            }
        }
        Percolation::Demand => {
            for l in 0..L {
                let (want, slope) = power((1.0 - p.w2[l] / k.s2[l]).max(0.0), k.sacpexp[l]);
                let most = k.q0[l] * (1.0 + k.sacpmlt[l] * want);
                let free = p.f1[l] / k.f1[l];
                out.perc[l] = most * free;
                out.by_f[l] = most * by[l];
                out.by_2[l] = -k.q0[l] * k.sacpmlt[l] * slope / k.s2[l] * free;
            }
        }
    }
    if d.interflow == Interflow::Some {
        for l in 0..L {
            out.intf[l] = k.iflwrte[l] * (p.f1[l] / k.f1[l]);
            out.intf_by[l] = k.iflwrte[l] * by[l];
        }
    }
    out
}

/// Rates of change and fluxes at the stores `x` (mm, none negative) under constant rain and PET (mm/d).
#[inline(always)]
pub fn evaluate<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    x: &[Lane<L>; STORES],
    rain: &Lane<L>,
    pet: &Lane<L>,
    out: &mut Point<L>,
) {
    let p = parts(d, k, x);
    if rain.iter().all(|r| *r == 0.0) {
        // Nothing to share out: the same zeros without a power and the brims
        out.flux.qsx = [0.0; L];
        balance(d, k, x, &p, None, pet, out);
    } else {
        let soil = surface(d, k, &p, rain, &mut out.area, &mut out.flux.qsx);
        balance(d, k, x, &p, Some(&soil), pet, out);
    }
}

/// The same with a given saturated area in place of that of the states.
pub(super) fn evaluate_at_area(
    d: &Decisions,
    k: &Sizes<1>,
    x: &[Lane<1>; STORES],
    [rain, pet, area]: [f64; 3],
    out: &mut Point<1>,
) {
    out.flux.qsx = [rain * area];
    let soil = Input { inp: [rain - out.flux.qsx[0]], by_t: [0.0], by_f: [0.0], by_2: [0.0] };
    balance(d, k, x, &parts(d, k, x), Some(&soil), &[pet], out);
}

/// The saturated area of the states `x`.
pub(super) fn area(d: &Decisions, k: &Sizes<1>, x: &[Lane<1>; STORES]) -> f64 {
    let mut area = [0.0];
    surface(d, k, &parts(d, k, x), &[0.0], &mut area, &mut [0.0]);
    area[0]
}

/// All but the surface: what the water that enters the soil does there.
#[inline(always)]
fn balance<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    x: &[Lane<L>; STORES],
    p: &Parts<L>,
    soil: Option<&Input<L>>,
    pet: &Lane<L>,
    out: &mut Point<L>,
) {
    let drain = drainage(d, k, p);
    let evap_by = upper(d, k, x, p, soil, &drain, pet, out);
    lower(d, k, x, p, &drain, &evap_by, pet, out);
}
