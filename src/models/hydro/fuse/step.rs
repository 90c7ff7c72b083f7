//! One step in time: the root x ≥ 0 of `x = S + Δt f(x)`, then `S ← S + Δt f(x)`, which closes the balance exactly.
//!
//! Newton's method with halved steps where the residual would grow, in all lanes at once; a lane that has arrived
//! stays where it is, so that its bits do not depend on its neighbours. Where a kink of the equations holds Newton
//! up, the lane goes on alone (`hard`): other starts, then the saturated area by bisection and full steps across kinks.
//!
//! # Source
//! Clark & Kavetski (2010), doi:10.1029/2009WR008894: implicit Euler with a fixed step. The states are not clipped:
//! capacities are soft, stores pass them by about a hundredth.

use crate::models::hydro::fuse::decisions::{Decisions, STORES};
use crate::models::hydro::fuse::fluxes::{Fluxes, Point, area, evaluate, evaluate_at_area};
use crate::models::hydro::fuse::sizes::{Lane, Sizes};

/// Evaluations before a lane is handed over to `hard`.
const TOGETHER: usize = 40;
/// Residual that is good enough where rounding keeps it from the tolerance, mm.
const ENOUGH: f64 = 1e-10;

/// Rates and fluxes at the root, with the residual there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root<const L: usize> {
    pub(super) rate: [Lane<L>; STORES],
    pub(super) flux: Fluxes<L>,
    /// Largest residual of a store, mm; NaN where no root was found
    pub(super) residual: Lane<L>,
    /// Evaluations
    pub(super) evaluations: usize,
}

/// Rates and fluxes at the end of a step of `dt` days that starts at `s`.
#[inline(always)]
pub(super) fn implicit<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    s: &[Lane<L>; STORES],
    rain: &Lane<L>,
    pet: &Lane<L>,
    dt: f64,
) -> Root<L> {
    let n = d.stores();
    let mut point = Point::ZERO;
    let mut root =
        Root { rate: [[0.0; L]; STORES], flux: Fluxes::ZERO, residual: [f64::INFINITY; L], evaluations: 0 };
    let mut x = *s;
    for store in &mut x[..n] {
        store.iter_mut().for_each(|v| *v = v.max(0.0));
    }
    // The best point so far, the way from there, the share of the way tried, the sum of squares there
    let (mut from, mut way) = (x, [[0.0; L]; STORES]);
    let (mut share, mut least) = ([1.0; L], [f64::INFINITY; L]);
    // A lane that was lost in an earlier step has no state to go on from
    let mut arrived: [bool; L] = std::array::from_fn(|l| s[0][l].is_nan());
    for l in 0..L {
        root.residual[l] = if arrived[l] { f64::NAN } else { f64::INFINITY };
    }
    for _ in 0..TOGETHER {
        evaluate(d, k, &x, rain, pet, &mut point);
        root.evaluations += 1;
        let (mut minus, mut worst, mut squares) = ([[0.0; L]; STORES], [0.0; L], [0.0; L]);
        for i in 0..n {
            for l in 0..L {
                let r = s[i][l] + dt * point.rate[i][l] - x[i][l];
                minus[i][l] = r;
                worst[l] = r.abs().max(worst[l]);
                squares[l] += r * r;
            }
        }
        let mut better = [false; L];
        for l in 0..L {
            better[l] = !arrived[l] && squares[l] < least[l];
        }
        keep(&mut root, &point, &worst, &better, n);
        let mut all = true;
        for l in 0..L {
            // A step that makes it no better, from a point that is good enough: rounding is all that is left
            arrived[l] |= root.residual[l] < k.tolerance[l] || (!better[l] && root.residual[l] < ENOUGH);
            all &= arrived[l];
        }
        if all {
            break;
        }
        newton(&point, &mut minus, dt, n);
        for l in 0..L {
            share[l] = if better[l] { 1.0 } else { 0.5 * share[l] };
            least[l] = if better[l] { squares[l] } else { least[l] };
        }
        for i in 0..n {
            for l in 0..L {
                from[i][l] = if better[l] { x[i][l] } else { from[i][l] };
                way[i][l] = if better[l] { minus[i][l] } else { way[i][l] };
                let next = (from[i][l] + share[l] * way[i][l]).max(0.0);
                x[i][l] = if arrived[l] { x[i][l] } else { next };
            }
        }
    }
    if !arrived.iter().all(|a| *a) {
        for l in 0..L {
            if !arrived[l] {
                alone(d, k, s, rain, pet, dt, l, &mut root);
            }
        }
    }
    root
}

/// Take over the lanes that are `better`.
#[inline(always)]
fn keep<const L: usize>(root: &mut Root<L>, point: &Point<L>, worst: &Lane<L>, better: &[bool; L], n: usize) {
    let select = |to: &mut Lane<L>, from: &Lane<L>| {
        for l in 0..L {
            to[l] = if better[l] { from[l] } else { to[l] };
        }
    };
    for i in 0..n {
        select(&mut root.rate[i], &point.rate[i]);
    }
    root.flux.all_mut().into_iter().zip(point.flux.all()).for_each(|(to, from)| select(to, from));
    select(&mut root.residual, worst);
}

/// Solve `(I − Δt f′) way = −r` in place, `minus` being −r on entry.
///
/// Without exchange of rows: what leaves a store enters another or the river, so that the matrix is diagonally
/// dominant by columns but for two couplings (area by free storage, area by the lower layer), whose products in the
/// elimination are positive too.
#[inline(always)]
fn newton<const L: usize>(point: &Point<L>, minus: &mut [Lane<L>; STORES], dt: f64, n: usize) {
    let mut a = [[[0.0; L]; STORES]; STORES];
    for i in 0..n {
        for j in 0..n {
            let unit = if i == j { 1.0 } else { 0.0 };
            for l in 0..L {
                a[i][j][l] = unit - dt * point.slope[i][j][l];
            }
        }
    }
    for p in 0..n {
        for i in p + 1..n {
            let mut factor = [0.0; L];
            for l in 0..L {
                factor[l] = a[i][p][l] / a[p][p][l];
            }
            for j in p + 1..n {
                for l in 0..L {
                    a[i][j][l] -= factor[l] * a[p][j][l];
                }
            }
            for l in 0..L {
                minus[i][l] -= factor[l] * minus[p][l];
            }
        }
    }
    for i in (0..n).rev() {
        for j in i + 1..n {
            for l in 0..L {
                minus[i][l] -= a[i][j][l] * minus[j][l];
            }
        }
        for l in 0..L {
            minus[i][l] /= a[i][i][l];
        }
    }
}

/// One lane that did not arrive with the others.
#[cold]
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "one lane of `implicit`")]
fn alone<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    s: &[Lane<L>; STORES],
    rain: &Lane<L>,
    pet: &Lane<L>,
    dt: f64,
    l: usize,
    root: &mut Root<L>,
) {
    let one = k.lane(l);
    let start: [Lane<1>; STORES] = std::array::from_fn(|i| [s[i][l]]);
    let found = hard(d, &one, &start, rain[l], pet[l], dt);
    for i in 0..STORES {
        root.rate[i][l] = found.rate[i][0];
    }
    root.flux.all_mut().into_iter().zip(found.flux.all()).for_each(|(to, from)| to[l] = from[0]);
    root.residual[l] = found.residual[0];
    root.evaluations += found.evaluations;
}

/// The same root with more patience. The residual is NaN where there is none to be found.
fn hard(d: &Decisions, k: &Sizes<1>, s: &[Lane<1>; STORES], rain: f64, pet: f64, dt: f64) -> Root<1> {
    let mut search = Search {
        d,
        k,
        s,
        rain,
        pet,
        dt,
        area: None,
        point: Point::ZERO,
        best: Root { rate: [[0.0]; STORES], flux: Fluxes::ZERO, residual: [f64::INFINITY], evaluations: 0 },
    };
    let level = |share: f64| -> [Lane<1>; STORES] { std::array::from_fn(|i| [share * k.full[i][0]]) };
    let half: [Lane<1>; STORES] = std::array::from_fn(|i| [0.5 * (s[i][0].max(0.0) + k.full[i][0])]);
    for start in [*s, half, level(1e-3), level(0.95)] {
        search.from(start, true);
        if search.good() {
            return search.best;
        }
    }
    search.by_area();
    if !search.good() {
        search.best.residual = [f64::NAN];
        search.best.rate = [[0.0]; STORES];
    }
    search.best
}

struct Search<'a> {
    d: &'a Decisions,
    k: &'a Sizes<1>,
    s: &'a [Lane<1>; STORES],
    rain: f64,
    pet: f64,
    dt: f64,
    /// The saturated area, where it is held fast
    area: Option<f64>,
    point: Point<1>,
    best: Root<1>,
}

impl Search<'_> {
    fn good(&self) -> bool {
        self.best.residual[0] < ENOUGH
    }

    /// The saturated area by bisection, for each area the stores from as many starts as it takes.
    ///
    /// More area, less water in every store, less area of these stores: there is one crossing. The area may jump as
    /// near to it as numbers go (a full basin with AXV_BEXP near 0); the stores for a given area have no such jump.
    fn by_area(&mut self) {
        let (mut low, mut high) = (0.0, 1.0);
        let mut x = *self.s;
        while high - low > f64::EPSILON * high {
            let middle = 0.5 * (low + high);
            self.area = Some(middle);
            self.best.residual = [f64::INFINITY];
            let start = x;
            for guarded in [true, false] {
                for start in [start, *self.s, self.k.full, self.k.full.map(|v| [1e-3 * v[0]])] {
                    if !self.good() {
                        x = self.from(start, guarded);
                    }
                }
            }
            if !self.good() || self.rain == 0.0 || middle == low || middle == high {
                return;
            }
            if area(self.d, self.k, &x) > middle { low = middle } else { high = middle }
        }
    }

    /// Newton from a start; the best point is remembered. Where it ends.
    fn from(&mut self, start: [Lane<1>; STORES], guarded: bool) -> [Lane<1>; STORES] {
        let n = self.d.stores();
        let mut x = start.map(|v| [v[0].max(0.0)]);
        let (mut from, mut way, mut share, mut least) = (x, [[0.0]; STORES], 1.0, f64::INFINITY);
        for _ in 0..60 {
            match self.area {
                Some(area) => {
                    evaluate_at_area(self.d, self.k, &x, [self.rain, self.pet, area], &mut self.point);
                }
                None => evaluate(self.d, self.k, &x, &[self.rain], &[self.pet], &mut self.point),
            }
            self.best.evaluations += 1;
            let mut minus = [[0.0]; STORES];
            let (mut worst, mut squares) = (0.0_f64, 0.0);
            for i in 0..n {
                let r = self.s[i][0] + self.dt * self.point.rate[i][0] - x[i][0];
                minus[i][0] = r;
                worst = worst.max(r.abs());
                squares += r * r;
            }
            if worst < self.best.residual[0] {
                keep(&mut self.best, &self.point, &[worst], &[true], n);
            }
            if worst < self.k.tolerance[0] {
                return x;
            }
            let better = squares < least;
            if better || !guarded {
                newton(&self.point, &mut minus, self.dt, n);
                (from, way, share, least) = (x, minus, 1.0, squares);
            } else {
                share *= 0.5;
                if share < 1e-6 {
                    return from;
                }
            }
            for i in 0..n {
                x[i][0] = (from[i][0] + share * way[i][0]).max(0.0);
            }
        }
        from
    }
}

/// Rates and fluxes at the start of the step: explicit Euler. Nothing keeps a store from running below zero.
#[inline(always)]
pub(super) fn explicit<const L: usize>(
    d: &Decisions,
    k: &Sizes<L>,
    s: &[Lane<L>; STORES],
    rain: &Lane<L>,
    pet: &Lane<L>,
    dt: f64,
) -> Root<L> {
    let mut point = Point::ZERO;
    evaluate(d, k, s, rain, pet, &mut point);
    let mut residual = [0.0; L];
    for i in 0..d.stores() {
        for l in 0..L {
            let next = s[i][l] + dt * point.rate[i][l];
            residual[l] = if next >= 0.0 { residual[l] } else { f64::NAN };
        }
    }
    Root { rate: point.rate, flux: point.flux, residual, evaluations: 1 }
}
