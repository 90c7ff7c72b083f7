//! The hot loop of GR4J with CemaNeige: eight parameter sets in a vector, some vectors side by side.
//!
//! A step is taken in four passes over the groups, not in one from snow to flow: along a set a step is one chain of some
//! 250 cycles, of which a processor has no more than two or three in sight. Of short chains it sees all eight at once,
//! for the price of a few rows that stay in the first-level cache (194 000 evaluations per second in place of 143 000).
//!
//! As in `hbv`, what a day cannot do is skipped for all lanes of a group at once: melt below 0 °C, the production
//! store's exchange with the air where nothing comes down and nothing evaporates. What is skipped would change no bit.
//! The root (1 + y)^(−1/4) of percolation is a polynomial, since the store is never fuller than full. That of the
//! routing store has no such bound: two square roots and a division, which cost less than Newton's method here.

use crate::models::hydro::gr4j::hydrograph;
use crate::models::hydro::sink::Sink;
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row, power};

/// Groups in one pass.
pub(super) const GROUPS: usize = 8;
/// Steps that the longest hydrograph looks back, as a power of two.
pub(super) const MOST_TAPS: usize = 64;

const X1: usize = 0;
/// 1 / x1
const PER_X1: usize = 1;
const X2: usize = 2;
/// 1 / x3
const PER_X3: usize = 3;
const CTG: usize = 4;
/// 1 − ctg
const COLD: usize = 5;
const KF: usize = 6;
const ROWS: usize = 7;

/// Shares of the stores at the start.
pub(super) const START: (f64, f64) = (0.3, 0.5);

/// Eight sets: parameters, states, water on its way. `TAPS` is a power of two.
pub(super) struct Group<const TAPS: usize> {
    parameters: [Row; ROWS],
    /// Snow (mm) and thermal state (°C) of each band
    snow: Vec<[Row; 2]>,
    production: Row,
    routing: Row,
    /// Ordinates times 0.9 and 0.1
    fast: [Row; TAPS],
    slow: [Row; TAPS],
    /// Water for routing of step i at i mod `TAPS`
    water: [Row; TAPS],
    /// Ordinates above 0 in some lane
    taps: (usize, usize),
    /// Water from one pass of a step to the next, mm, and whether there is any in some lane
    passing: Row,
    comes: bool,
}

impl<const TAPS: usize> Group<TAPS> {
    /// Up to eight sets: x1, x2, x3, x4, ctg, kf. The last one fills the lanes that remain.
    pub(super) fn new(sets: &[&[f64]], bands: usize) -> Self {
        let mut group = Self {
            parameters: [Row::default(); ROWS],
            snow: vec![[Row::default(); 2]; bands],
            production: Row::default(),
            routing: Row::default(),
            fast: [Row::default(); TAPS],
            slow: [Row::default(); TAPS],
            water: [Row::default(); TAPS],
            taps: (0, 0),
            passing: Row::default(),
            comes: false,
        };
        for lane in 0..LANES {
            let [x1, x2, x3, x4, ctg, kf] = *sets[lane.min(sets.len() - 1)] else {
                unreachable!("a set has as many numbers as there are parameters")
            };
            let rows = [x1, 1.0 / x1, x2, 1.0 / x3, ctg, 1.0 - ctg, kf];
            group.parameters.iter_mut().zip(rows).for_each(|(row, x)| row.0[lane] = x);
            group.production.0[lane] = START.0 * x1;
            group.routing.0[lane] = START.1 * x3;
            let (fast, slow) = (hydrograph::first(x4), hydrograph::second(x4));
            group.taps = (group.taps.0.max(fast.len()), group.taps.1.max(slow.len()));
            group.fast.iter_mut().zip(fast).for_each(|(row, o)| row.0[lane] = 0.9 * o);
            group.slow.iter_mut().zip(slow).for_each(|(row, o)| row.0[lane] = 0.1 * o);
        }
        group
    }

    /// What a lane holds after `steps` steps, mm: snow of all bands, both stores, and what is still on its way.
    pub(super) fn held(&self, lane: usize, layers: &[Layer], steps: usize) -> f64 {
        let snow = self.snow.iter().zip(layers).map(|([pack, _], layer)| layer.share * pack.0[lane]);
        // Of the water of the last step all shares but the first are to come, of the one before all but two, …
        let to_come = |age: usize| {
            let rest = |ordinates: &[Row]| ordinates[age + 1..].iter().map(|o| o.0[lane]).sum::<f64>();
            let water = self.water[(steps - 1 - age) % TAPS].0[lane];
            water * (rest(&self.fast) + rest(&self.slow))
        };
        let on_its_way = (0..TAPS.min(steps)).map(to_come).sum::<f64>();
        snow.sum::<f64>() + self.production.0[lane] + self.routing.0[lane] + on_its_way
    }

    /// Σ oⱼ water(i − j).
    #[inline(always)]
    fn arrived<V: Lanes>(water: &[Row; TAPS], ordinates: &[Row], step: usize) -> V {
        let mut sum = V::splat(0.0);
        for (j, ordinate) in ordinates.iter().enumerate() {
            sum = V::load(ordinate).fma(V::load(&water[step.wrapping_sub(j) % TAPS]), sum);
        }
        sum
    }
}

/// What a step brings to a band.
#[derive(Clone, Copy)]
pub(super) struct Day {
    /// °C
    pub(super) t: f64,
    /// Rain, mm
    pub(super) liquid: f64,
    /// Snowfall, mm
    pub(super) solid: f64,
}

/// A band.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    /// Of the area
    pub(super) share: f64,
    /// 1 / G_t, 1/mm; 0 where it never snows
    pub(super) per_threshold: f64,
}

/// Some groups through some steps.
pub(super) struct Run<'a, S, const TAPS: usize> {
    /// Step by step what each band gets
    pub(super) days: &'a [Day],
    pub(super) layers: &'a [Layer],
    /// mm/step
    pub(super) pet: &'a [f64],
    pub(super) groups: &'a mut [Group<TAPS>],
    pub(super) sink: &'a mut S,
}

impl<S: Sink, const TAPS: usize> Kernel for Run<'_, S, TAPS> {
    type Output = ();

    #[inline(always)]
    fn run<V: Lanes>(self) {
        let days = self.days.chunks_exact(self.layers.len());
        for (step, (days, pet)) in days.zip(self.pet).enumerate() {
            let wanted = self.sink.wants(step);
            for group in self.groups.iter_mut() {
                let (rain, comes) = melted::<V>(&group.parameters, &mut group.snow, days, self.layers);
                rain.store(&mut group.passing);
                group.comes = comes;
            }
            for (k, group) in self.groups.iter_mut().enumerate() {
                let rain = V::load(&group.passing);
                let (through, evaporation): (V, V) =
                    produced(&group.parameters, &mut group.production, rain, group.comes, *pet);
                through.store(&mut group.passing);
                self.sink.evaporated(k, evaporation);
            }
            for group in self.groups.iter_mut() {
                let percolation: V = percolated(&group.parameters, &mut group.production);
                (V::load(&group.passing) + percolation).store(&mut group.water[step % TAPS]);
            }
            for (k, group) in self.groups.iter_mut().enumerate() {
                let fast: V =
                    Group::<TAPS>::arrived(&group.water, &group.fast[..group.taps.0.min(TAPS)], step);
                let before = V::load(&group.routing);
                let (routed, exchange) = routed(&group.parameters, &mut group.routing, fast);
                if wanted {
                    let slow: V =
                        Group::<TAPS>::arrived(&group.water, &group.slow[..group.taps.1.min(TAPS)], step);
                    let direct = (slow + exchange).max(V::splat(0.0));
                    self.sink.take(k, step, routed + direct);
                    // As it happened: the stores give no more than they have.
                    let after = V::load(&group.routing) + routed;
                    self.sink.out_of_ground(k, (after - (before + fast)) + (direct - slow));
                }
            }
        }
    }
}

/// CemaNeige: rain and melt of all bands, mm, and whether there is any in some lane.
#[inline(always)]
fn melted<V: Lanes>(
    parameters: &[Row; ROWS],
    snow: &mut [[Row; 2]],
    days: &[Day],
    layers: &[Layer],
) -> (V, bool) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut sum = zero;
    let mut comes = false;
    for (([pack, thermal], day), layer) in snow.iter_mut().zip(days).zip(layers) {
        let t = V::splat(day.t);
        let state = V::load(&parameters[CTG]).fma(V::load(thermal), V::load(&parameters[COLD]) * t).min(zero);
        state.store(thermal);
        let mut out = V::splat(day.liquid);
        comes |= day.liquid > 0.0;
        if day.t > 0.0 {
            let held = V::load(pack) + V::splat(day.solid);
            let most = (V::load(&parameters[KF]) * t).min(held);
            let possible = V::select(zero.above(state), zero, most);
            // Where it never snows there is nothing to cover: the share does not matter.
            let covered = (held * V::splat(layer.per_threshold)).min(one);
            let melt = covered.fma(V::splat(0.9), V::splat(0.1)) * possible;
            (held - melt).store(pack);
            out = out + melt;
            comes |= V::any(melt.above(zero));
        } else if day.solid > 0.0 {
            (V::load(pack) + V::splat(day.solid)).store(pack);
        }
        sum = out.fma(V::splat(layer.share), sum);
    }
    (sum, comes)
}

/// The production store and the air: what does not enter the store, and what evaporates, mm.
#[inline(always)]
fn produced<V: Lanes>(parameters: &[Row; ROWS], store: &mut Row, rain: V, comes: bool, pet: f64) -> (V, V) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let per_x1 = V::load(&parameters[PER_X1]);
    let mut s = V::load(store);
    let (mut through, mut evaporation) = (zero, zero);
    if comes {
        let net = rain - V::splat(pet);
        let wet = net.above(zero);
        let (above, below) = power::tanh_parts((net.abs() * per_x1).min(V::splat(13.0)));
        let x = s * per_x1;
        // Wet: x1 (1 − x²) t / (1 + x t) comes in; dry: s (2 − x) t / (1 + (1 − x) t) goes; t = above / below.
        let whole = V::select(wet, V::load(&parameters[X1]) * (one - x * x), s * (V::splat(2.0) - x));
        let part = V::select(wet, x, one - x);
        let moved = whole * above / part.fma(above, below);
        s = V::select(wet, s + moved, s - moved).max(zero);
        through = V::select(wet, net - moved, zero);
        evaporation = V::select(wet, V::splat(pet), rain + moved);
    } else if pet > 0.0 {
        // Dry in all lanes.
        let (above, below) = power::tanh_parts((V::splat(pet) * per_x1).min(V::splat(13.0)));
        let x = s * per_x1;
        let moved = s * (V::splat(2.0) - x) * above / (one - x).fma(above, below);
        s = (s - moved).max(zero);
        evaporation = moved;
    }
    s.store(store);
    (through, evaporation)
}

/// What percolates out of the production store, mm.
#[inline(always)]
fn percolated<V: Lanes>(parameters: &[Row; ROWS], store: &mut Row) -> V {
    let s = V::load(store);
    let x = s * V::load(&parameters[PER_X1]) * V::splat(4.0 / 9.0);
    let square = x * x;
    let percolation = s * percolating(square * square);
    (s - percolation).store(store);
    percolation
}

/// 1 − (1 + y)^(−1/4) for 0 ≤ y ≤ (4/9)⁴, relative error 3 · 10⁻¹⁷: Chebyshev's polynomial of degree 7 times y.
#[inline(always)]
fn percolating<V: Lanes>(y: V) -> V {
    let mut p = V::splat(-0.049_746_783_943_625);
    for c in [
        0.062_761_965_182_288_13,
        -0.070_800_811_054_951,
        0.080_932_340_224_357_02,
        -0.095_214_841_006_338_1,
        0.117_187_499_986_627_77,
        -0.156_249_999_999_975_14,
        0.25,
    ] {
        p = p.fma(y, V::splat(c));
    }
    p * y
}

/// The routing store: what leaves it, and the exchange with the ground, mm.
#[inline(always)]
fn routed<V: Lanes>(parameters: &[Row; ROWS], store: &mut Row, arrives: V) -> (V, V) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let per_x3 = V::load(&parameters[PER_X3]);
    let r = V::load(store);
    let full = r * per_x3;
    let exchange = V::load(&parameters[X2]) * (full * full * full) * full.sqrt();
    let r = (r + arrives + exchange).max(zero);
    let full = r * per_x3;
    let square = full * full;
    let left = r / square.fma(square, one).sqrt().sqrt();
    left.store(store);
    ((r - left).max(zero), exchange)
}
