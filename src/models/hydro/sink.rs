//! Where the flow of lanes goes: into series, or into the sums that scores are made of.
//!
//! Belongs here: what happens to the flow of one step of some groups of eight sets. Not here: where it comes from.

use crate::models::hydro::{Book, Sums, Target};
use crate::models::score::Moments;
use crate::numerics::lanes::{LANES, Lanes, Row, power};

/// Takes the flow of each step.
pub(super) trait Sink {
    /// Will the flow of this step be looked at? A model need not finish it otherwise.
    fn wants(&self, step: usize) -> bool;
    /// Flow of a group in a step that is wanted, mm/step.
    fn take<V: Lanes>(&mut self, group: usize, step: usize, flow: V);
    /// What of a group goes into the air in a step, mm; of no interest where no book is kept.
    #[inline(always)]
    fn evaporated<V: Lanes>(&mut self, _group: usize, _water: V) {}
    /// What comes out of the ground, mm; below 0 what goes there.
    #[inline(always)]
    fn out_of_ground<V: Lanes>(&mut self, _group: usize, _water: V) {}
}

/// Keeps everything.
pub(super) struct Keep {
    steps: usize,
    /// Step by step for each group
    rows: Vec<Row>,
}

impl Keep {
    /// Room for `steps` values of each lane of `groups` groups of sets.
    pub(super) fn new(groups: usize, steps: usize) -> Self {
        Self { steps, rows: vec![Row::default(); groups * steps] }
    }

    /// The series of one set.
    pub(super) fn series(&self, set: usize) -> Vec<f64> {
        let rows = &self.rows[set / LANES * self.steps..][..self.steps];
        rows.iter().map(|row| row.0[set % LANES]).collect()
    }
}

impl Sink for Keep {
    #[inline(always)]
    fn wants(&self, _: usize) -> bool {
        true
    }
    #[inline(always)]
    fn take<V: Lanes>(&mut self, group: usize, step: usize, flow: V) {
        flow.store(&mut self.rows[group * self.steps + step]);
    }
}

/// What a set of a pass holds at the end of a run, mm.
pub(super) type Held<'a> = &'a dyn Fn(usize) -> f64;

/// Keeps everything, and a book of what leaves other than as flow.
pub(super) struct Booked {
    flow: Keep,
    /// Evaporation, and water from the ground, of each group; mm
    sums: Vec<[Row; 2]>,
}

impl Booked {
    /// Room for the flow of `steps` steps, and two sums, of each lane of `groups` groups of sets.
    pub(super) fn new(groups: usize, steps: usize) -> Self {
        Self { flow: Keep::new(groups, steps), sums: vec![[Row::default(); 2]; groups] }
    }

    /// Flow and book of the first set, into which went `input` and in whose stores is so much more; mm.
    pub(super) fn kept(&self, input: f64, stored: f64) -> (Vec<f64>, Book) {
        let [evaporation, ground] = self.sums[0].map(|row| row.0[0]);
        (self.flow.series(0), Book { input, evaporation, ground, stored })
    }

    #[inline(always)]
    fn add<V: Lanes>(&mut self, group: usize, which: usize, water: V) {
        let sum = &mut self.sums[group][which];
        (V::load(sum) + water).store(sum);
    }
}

impl Sink for Booked {
    #[inline(always)]
    fn wants(&self, _: usize) -> bool {
        true
    }
    #[inline(always)]
    fn take<V: Lanes>(&mut self, group: usize, step: usize, flow: V) {
        self.flow.take(group, step, flow);
    }
    #[inline(always)]
    fn evaporated<V: Lanes>(&mut self, group: usize, water: V) {
        self.add(group, 0, water);
    }
    #[inline(always)]
    fn out_of_ground<V: Lanes>(&mut self, group: usize, water: V) {
        self.add(group, 1, water);
    }
}

/// Adds up; `LOG` says whether logarithms are asked for, too.
pub(super) struct Reduce<'a, const LOG: bool> {
    target: &'a Target,
    /// Σ (s − c), Σ (s − c)², Σ (o − c)(s − c) of each group
    plain: Vec<[Row; 3]>,
    log: Vec<[Row; 3]>,
}

impl<'a, const LOG: bool> Reduce<'a, LOG> {
    /// Sums at 0 for `groups` groups of sets, to be held against `target`.
    pub(super) fn new(groups: usize, target: &'a Target) -> Self {
        let rows = vec![[Row::default(); 3]; groups];
        Self { target, log: if LOG { rows.clone() } else { Vec::new() }, plain: rows }
    }

    /// The sums of one set; `observed` are those of [`Target::of_observed`].
    pub(super) fn sums(&self, set: usize, observed: &Sums) -> Sums {
        let of = |rows: &[Row; 3], of: &Moments| {
            let [s, ss, os] = rows.map(|row| row.0[set % LANES]);
            Moments { s, ss, os, ..*of }
        };
        let log = if LOG { of(&self.log[set / LANES], &observed.log) } else { observed.log };
        Sums { plain: of(&self.plain[set / LANES], &observed.plain), log }
    }
}

impl<const LOG: bool> Sink for Reduce<'_, LOG> {
    #[inline(always)]
    fn wants(&self, step: usize) -> bool {
        self.target.observed[step].is_finite()
    }
    #[inline(always)]
    fn take<V: Lanes>(&mut self, group: usize, step: usize, flow: V) {
        let target = self.target;
        add(&mut self.plain[group], flow, target.observed[step], target.mean);
        if LOG && let Some(log) = &target.log {
            let flow = power::ln((flow + V::splat(log.eps)).max(V::splat(f64::MIN_POSITIVE)));
            add(&mut self.log[group], flow, log.observed[step], log.mean);
        }
    }
}

#[inline(always)]
fn add<V: Lanes>(sums: &mut [Row; 3], simulated: V, observed: f64, about: f64) {
    let s = simulated - V::splat(about);
    let [sum, squares, products] = sums;
    (V::load(sum) + s).store(sum);
    s.fma(s, V::load(squares)).store(squares);
    s.fma(V::splat(observed - about), V::load(products)).store(products);
}
