//! The hot loop of HBV: eight parameter sets in a vector, some vectors side by side, one pass over the forcing.
//!
//! All sets see the same weather, so what a day cannot do is skipped for all lanes of a group at once: no melt and no
//! rain below the lowest threshold, no snowfall above the highest, no recharge where no water comes down. What is
//! skipped would have changed no bit, so a set has the same bits whatever its neighbours are. Sets are sorted by `tt`
//! before they are grouped, which leaves few days between the thresholds of one group.
//!
//! Runoff is kept for as many steps as the routing looks back, and routed only on steps that someone looks at.

use crate::models::hydro::hbv::routing::{Routing, weights};
use crate::models::hydro::sink::Sink;
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row, power};

/// Groups in one pass: enough to hide the latency of a day's chain of operations, few enough for the first-level cache.
pub(super) const GROUPS: usize = 4;
/// Steps that the routing may look back at most: a week of hours, and some more.
pub(super) const MOST_TAPS: usize = 256;

// Rows of parameters as the loop wants them.
const TT: usize = 0;
const CFMAX: usize = 1;
const SFCF: usize = 2;
/// cfr · cfmax
const REFREEZE: usize = 3;
const CWH: usize = 4;
/// 1 / fc
const PER_FC: usize = 5;
/// lp · fc
const LIMIT: usize = 6;
/// 1 / (lp · fc)
const PER_LIMIT: usize = 7;
const BETA: usize = 8;
const K0: usize = 9;
const K1: usize = 10;
const K2: usize = 11;
const UZL: usize = 12;
const PERC: usize = 13;
/// Sharpness s of smooth thresholds, and 1 / s
const SHARP: usize = 14;
const PER_SHARP: usize = 15;
const ROWS: usize = 16;

/// snow, snow_water, sm, suz, slz at the start, mm.
pub(super) const START: [f64; 5] = [0.0, 0.0, 150.0, 10.0, 10.0];

/// Eight sets: parameters, states, runoff on its way. `TAPS` is a power of two.
pub(super) struct Group<const TAPS: usize> {
    parameters: [Row; ROWS],
    /// Smallest and largest `tt`
    thresholds: (f64, f64),
    /// States of each band, mm
    pub(super) states: Vec<[Row; 5]>,
    weights: [Row; TAPS],
    /// Runoff of step i at i mod `TAPS`
    runoff: [Row; TAPS],
    /// Weights above 0 in some lane
    taps: usize,
}

impl<const TAPS: usize> Group<TAPS> {
    /// Up to eight sets, ordered as [`super::PARAMETERS`]; the last one fills the lanes that remain.
    pub(super) fn new(sets: &[&[f64]], step_h: u32, bands: usize, routing: Routing) -> Self {
        let day = f64::from(step_h) / 24.0;
        let mut group = Self {
            parameters: [Row::default(); ROWS],
            thresholds: (f64::INFINITY, f64::NEG_INFINITY),
            states: vec![START.map(Row::splat); bands],
            weights: [Row::default(); TAPS],
            runoff: [Row::default(); TAPS],
            taps: 0,
        };
        for lane in 0..LANES {
            let set = sets[lane.min(sets.len() - 1)];
            let [tt, cfmax, sfcf, cfr, cwh, fc, lp, beta, k0, k1, k2, uzl, perc, maxbas, sharp] = *set else {
                unreachable!("a set has as many numbers as there are parameters")
            };
            let cfmax = cfmax * day;
            let share = |k: f64| if step_h == 24 { k } else { 1.0 - (1.0 - k).powf(day) };
            let rows = [
                tt,
                cfmax,
                sfcf,
                cfr * cfmax,
                cwh,
                1.0 / fc,
                lp * fc,
                1.0 / (lp * fc),
                beta,
                share(k0),
                share(k1),
                share(k2),
                uzl,
                perc * day,
                sharp,
                1.0 / sharp,
            ];
            group.parameters.iter_mut().zip(rows).for_each(|(row, x)| row.0[lane] = x);
            group.thresholds = (group.thresholds.0.min(tt), group.thresholds.1.max(tt));
            let weights = weights(routing, maxbas / day);
            group.taps = group.taps.max(weights.len());
            group.weights.iter_mut().zip(weights).for_each(|(row, w)| row.0[lane] = w);
        }
        group
    }

    /// Its rows of parameters, as the loop wants them.
    pub(super) fn parameters(&self) -> &[Row] {
        &self.parameters
    }

    /// Weights of the routing, from the step itself backwards.
    pub(super) fn weights(&self) -> &[Row] {
        &self.weights
    }

    /// How many of them are above 0 in some lane.
    pub(super) fn taps(&self) -> usize {
        self.taps.min(TAPS)
    }

    /// What a lane holds after `steps` steps, mm: all stores of all bands, and runoff that is still on its way.
    pub(super) fn held(&self, lane: usize, shares: &[f64], steps: usize) -> f64 {
        let of_band =
            |(states, share): (&[Row; 5], &f64)| share * states.iter().map(|x| x.0[lane]).sum::<f64>();
        // Of the runoff of the last step all weights but the first are to come, of the one before all but two, …
        let to_come = |age: usize| {
            let rest = self.weights[age + 1..].iter().map(|w| w.0[lane]).sum::<f64>();
            self.runoff[(steps - 1 - age) % TAPS].0[lane] * rest
        };
        let on_its_way: f64 = (0..TAPS.min(steps)).map(to_come).sum();
        self.states.iter().zip(shares).map(of_band).sum::<f64>() + on_its_way
    }

    /// Flow of step i: Σ wⱼ runoff(i − j).
    #[inline(always)]
    fn routed<V: Lanes>(&self, step: usize) -> V {
        let mut flow = V::splat(0.0);
        // A short routing is unrolled whole: weights of 0 change no bit.
        let taps = if TAPS == 8 { TAPS } else { self.taps() };
        for (j, weight) in self.weights[..taps].iter().enumerate() {
            flow = V::load(weight).fma(V::load(&self.runoff[step.wrapping_sub(j) % TAPS]), flow);
        }
        flow
    }
}

/// Some groups through some steps.
pub(super) struct Run<'a, S, const TAPS: usize, const SOFT: bool> {
    /// Step by step what each band gets
    pub(super) days: &'a [Day],
    /// Shares of the bands
    pub(super) shares: &'a [f64],
    pub(super) groups: &'a mut [Group<TAPS>],
    pub(super) sink: &'a mut S,
}

impl<S: Sink, const TAPS: usize, const SOFT: bool> Kernel for Run<'_, S, TAPS, SOFT> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        for (step, days) in self.days.chunks_exact(self.shares.len()).enumerate() {
            let wanted = self.sink.wants(step);
            for (k, group) in self.groups.iter_mut().enumerate() {
                let (mut runoff, mut evaporation) = (V::splat(0.0), V::splat(0.0));
                let of_bands = group.states.iter_mut().zip(days).zip(self.shares);
                for ((states, day), share) in of_bands {
                    let column = Column { parameters: &group.parameters, thresholds: group.thresholds };
                    let (part, air): (V, V) =
                        if SOFT { soft(&column, states, day) } else { hard(&column, states, day) };
                    runoff = part.fma(V::splat(*share), runoff);
                    evaporation = air.fma(V::splat(*share), evaporation);
                }
                self.sink.evaporated(k, evaporation);
                runoff.store(&mut group.runoff[step % TAPS]);
                if wanted {
                    let flow: V = group.routed(step);
                    self.sink.take(k, step, flow);
                }
            }
        }
    }
}

/// What the columns of a group share.
struct Column<'a> {
    parameters: &'a [Row; ROWS],
    thresholds: (f64, f64),
}

/// What a step brings to a band: temperature, °C; precipitation and potential evapotranspiration, mm.
#[derive(Clone, Copy)]
pub(super) struct Day {
    pub(super) t: f64,
    pub(super) p: f64,
    pub(super) pet: f64,
}

/// One step of one band with hard thresholds: runoff before routing, and what evaporates, mm.
#[inline(always)]
fn hard<V: Lanes>(column: &Column<'_>, states: &mut [Row; 5], day: &Day) -> (V, V) {
    let zero = V::splat(0.0);
    let parameters = column.parameters;
    let of = |k: usize| V::load(&parameters[k]);
    let (t, p) = (V::splat(day.t), V::splat(day.p));
    let (mut snow, mut water) = (V::load(&states[0]), V::load(&states[1]));
    let mut inflow = zero;
    let mut comes = false;
    if day.t <= column.thresholds.0 {
        // All is snow. Where no water is held, nothing else happens.
        snow = p.fma(of(SFCF), snow);
        if V::any(water.above(zero)) {
            let refrozen = (of(REFREEZE) * (of(TT) - t)).min(water);
            (snow, water) = (snow + refrozen, water - refrozen);
            inflow = (water - of(CWH) * snow).max(zero);
            water = water - inflow;
            water.store(&mut states[1]);
            comes = true;
        }
    } else if day.t > column.thresholds.1 {
        // All is rain, and what there is of snow melts.
        let melt = (of(CFMAX) * (t - of(TT))).min(snow);
        snow = snow - melt;
        water = water + (melt + p);
        inflow = (water - of(CWH) * snow).max(zero);
        water = water - inflow;
        water.store(&mut states[1]);
        comes = true;
    } else {
        let above = t.above(of(TT));
        let warmth = t - of(TT);
        snow = V::select(above, snow, p.fma(of(SFCF), snow));
        let melt = (of(CFMAX) * warmth.max(zero)).min(snow);
        snow = snow - melt;
        water = water + (melt + V::select(above, p, zero));
        let refrozen = (of(REFREEZE) * (zero - warmth).max(zero)).min(water);
        (snow, water) = (snow + refrozen, water - refrozen);
        inflow = (water - of(CWH) * snow).max(zero);
        water = water - inflow;
        water.store(&mut states[1]);
        comes = true;
    }
    snow.store(&mut states[0]);
    let (mut suz, mut evaporation) = (V::load(&states[3]), zero);
    comes = comes && V::any(inflow.above(zero));
    if comes || day.pet > 0.0 {
        let mut sm = V::load(&states[2]);
        if comes {
            let wet = (sm * of(PER_FC)).min(V::splat(1.0));
            let recharge = inflow * power::pow(wet, of(BETA));
            (sm, suz) = (sm + (inflow - recharge), suz + recharge);
        }
        evaporation = (V::splat(day.pet) * (sm.min(of(LIMIT)) * of(PER_LIMIT))).min(sm);
        (sm - evaporation).store(&mut states[2]);
    }
    let percolation = of(PERC).min(suz);
    suz = suz - percolation;
    let slz = V::load(&states[4]) + percolation;
    let (q0, q1, q2) = (of(K0) * (suz - of(UZL)).max(zero), of(K1) * suz, of(K2) * slz);
    (suz - (q0 + q1)).max(zero).store(&mut states[3]);
    (slz - q2).max(zero).store(&mut states[4]);
    (q0 + q1 + q2, evaporation)
}

/// A threshold without its corner, s sharp. Methods and not closures: these are always put in place, and keep vectors wide.
#[derive(Clone, Copy)]
struct Bend<V> {
    sharp: V,
    per_sharp: V,
}

impl<V: Lanes> Bend<V> {
    /// max(v, 0) → ln(1 + e^(s v)) / s
    #[inline(always)]
    fn above_0(self, v: V) -> V {
        power::ln_1p_exp(v * self.sharp) * self.per_sharp
    }

    /// min(a, b)
    #[inline(always)]
    fn least(self, a: V, b: V) -> V {
        a - self.above_0(a - b)
    }
}

/// The same with smooth thresholds.
#[inline(always)]
fn soft<V: Lanes>(column: &Column<'_>, states: &mut [Row; 5], day: &Day) -> (V, V) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let parameters = column.parameters;
    let of = |k: usize| V::load(&parameters[k]);
    let bend = Bend { sharp: of(SHARP), per_sharp: of(PER_SHARP) };
    let (t, p) = (V::splat(day.t), V::splat(day.p));
    let (mut snow, mut water) = (V::load(&states[0]), V::load(&states[1]));
    let warmth = t - of(TT);
    let rain_share = one / (one + power::exp((zero - bend.sharp * warmth).min(V::splat(200.0))));
    let rain = p * rain_share;
    snow = snow + p * of(SFCF) * (one - rain_share);
    let melt = bend.least(of(CFMAX) * bend.above_0(warmth), snow);
    snow = snow - melt;
    water = water + (melt + rain);
    let refrozen = bend.least(of(REFREEZE) * bend.above_0(zero - warmth), water);
    (snow, water) = (snow + refrozen, water - refrozen);
    let inflow = bend.above_0(water - of(CWH) * snow);
    water = water - inflow;
    snow.max(zero).store(&mut states[0]);
    water.max(zero).store(&mut states[1]);
    let mut sm = V::load(&states[2]);
    let recharge = inflow * power::pow(bend.least(sm * of(PER_FC), one), of(BETA));
    sm = sm + (inflow - recharge);
    let evaporation = bend.least(V::splat(day.pet) * (bend.least(sm, of(LIMIT)) * of(PER_LIMIT)), sm);
    (sm - evaporation).max(zero).store(&mut states[2]);
    let mut suz = V::load(&states[3]) + recharge;
    let percolation = bend.least(of(PERC), suz);
    suz = suz - percolation;
    let slz = V::load(&states[4]) + percolation;
    let (q0, q1, q2) = (of(K0) * bend.above_0(suz - of(UZL)), of(K1) * suz, of(K2) * slz);
    (suz - (q0 + q1)).max(zero).store(&mut states[3]);
    (slz - q2).max(zero).store(&mut states[4]);
    (q0 + q1 + q2, evaporation)
}
