//! The hot loop of Lorenz 96: classical Runge–Kutta for some members side by side.
//!
//! Variable i of lane l stands at `(i + 2) · lanes + l`: two ghost cells before the ring and one behind it, so
//! that neighbours are plain offsets, and every loop is one long stream over variables and lanes that the
//! compiler vectorises. Every number sees the same operations in the same order whatever the lanes and the
//! vector width, so the bits depend on neither.

use crate::numerics::Mat;
use crate::numerics::simd::Kernel;

/// Ghost cells before the ring.
pub(super) const BEFORE: usize = 2;
/// Ghost cells in all.
const GHOSTS: usize = 3;

/// Forcing of one member: `constant` + `amplitude` sin(ωt).
#[derive(Debug, Clone, Copy)]
pub(super) struct Forcing {
    pub(super) constant: f64,
    pub(super) amplitude: f64,
}

/// Some members from t = 0 to the end of their statistics.
pub(super) struct Run<'a> {
    /// x(0), shared by all lanes
    pub(super) initial: &'a [f64],
    /// Time units
    pub(super) dt: f64,
    /// Radian per time unit
    pub(super) omega: f64,
    /// One per lane
    pub(super) forcing: &'a [Forcing],
    /// Steps before the first period
    pub(super) spin_up: usize,
    /// Steps of a period
    pub(super) period: usize,
    /// States per window
    pub(super) states: usize,
    /// Windows per period
    pub(super) n_windows: usize,
    /// Groups of windows per period
    pub(super) groups: usize,
    /// Periods to describe
    pub(super) periods: usize,
}

impl Kernel for Run<'_> {
    /// For each lane the groups of the first period, then those of the second, …
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let lanes = self.forcing.len();
        let mut ring = Ring::new(self.initial, lanes, self.dt);
        let mut outputs = vec![Vec::with_capacity(self.periods * self.groups); lanes];
        let per_group = self.n_windows / self.groups;
        let mut step = 0;
        for p in 0..self.periods {
            let start = self.spin_up + p * self.period;
            self.advance(&mut ring, &mut step, start);
            for _ in 0..self.groups {
                let mut group = vec![0.0; lanes];
                for _ in 0..per_group {
                    let variance = self.window(&mut ring, &mut step);
                    group.iter_mut().zip(variance).for_each(|(sum, v)| *sum += v);
                }
                outputs.iter_mut().zip(group).for_each(|(out, sum)| out.push(sum / per_group as f64));
            }
        }
        outputs
    }
}

impl Run<'_> {
    /// Up to state number `until`. The forcing of a step is that at its end.
    #[inline(always)]
    fn advance(&self, ring: &mut Ring, step: &mut usize, until: usize) {
        while *step < until {
            *step += 1;
            let wave = (self.omega * (*step as f64 * self.dt)).sin();
            let force = |f: &Forcing| f.constant + f.amplitude * wave;
            if let [only] = self.forcing {
                ring.force.fill(force(only));
            } else {
                let (first, others) = ring.force.split_at_mut(self.forcing.len());
                first.iter_mut().zip(self.forcing).for_each(|(cell, f)| *cell = force(f));
                others.chunks_exact_mut(first.len()).for_each(|cells| cells.copy_from_slice(first));
            }
            ring.step();
        }
    }

    /// Variance (divisor: count − 1) over all variables of the next states, for each lane.
    ///
    /// One pass: sums of x − c and (x − c)² per variable, c being the first state's first variable. With
    /// values around ten and 10⁵ numbers, cancellation costs two digits of sixteen at most.
    #[inline(always)]
    fn window(&self, ring: &mut Ring, step: &mut usize) -> Vec<f64> {
        let (lanes, size) = (ring.lanes, ring.force.len());
        let (mut sums, mut squares, mut shift) = (vec![0.0; size], vec![0.0; size], Vec::new());
        for _ in 0..self.states {
            let next = *step + 1;
            self.advance(ring, step, next);
            let x = &ring.x[BEFORE * lanes..][..size];
            if shift.is_empty() {
                shift = x[..lanes].repeat(ring.n);
            }
            add(x, &shift, &mut sums, &mut squares);
        }
        let count = (self.states * ring.n) as f64;
        let of_lane = |l: usize| {
            let s: f64 = sums.iter().skip(l).step_by(lanes).sum();
            let q: f64 = squares.iter().skip(l).step_by(lanes).sum();
            (q - s * s / count) / (count - 1.0)
        };
        (0..lanes).map(of_lane).collect()
    }
}

/// The state of some members.
pub(super) struct Ring {
    n: usize,
    lanes: usize,
    dt: f64,
    /// Forcing of this step, for each variable and lane
    force: Vec<f64>,
    /// With ghosts
    pub(super) x: Vec<f64>,
    /// Two stages in turn, with ghosts
    stages: [Vec<f64>; 2],
    /// k₁ + 2 k₂ + 2 k₃
    total: Vec<f64>,
}

impl Ring {
    #[inline(always)]
    fn new(initial: &[f64], lanes: usize, dt: f64) -> Self {
        let n = initial.len();
        let mut x = vec![0.0; (n + GHOSTS) * lanes];
        for (cell, x0) in x[BEFORE * lanes..].chunks_exact_mut(lanes).zip(initial) {
            cell.fill(*x0);
        }
        wrap(&mut x, n, lanes);
        let stages = [x.clone(), x.clone()];
        Self { n, lanes, dt, force: vec![0.0; n * lanes], x, stages, total: vec![0.0; n * lanes] }
    }

    /// Each lane with its own x(0) and its own forcing that does not change, n × lanes both.
    #[inline(always)]
    pub(super) fn starting(initial: &Mat, forcing: &Mat, dt: f64) -> Self {
        let (n, lanes) = (initial.nrows(), initial.ncols());
        let mut ring = Self::new(initial.col(0), lanes, dt);
        for i in 0..n {
            for l in 0..lanes {
                ring.x[(i + BEFORE) * lanes + l] = initial[(i, l)];
                ring.force[i * lanes + l] = forcing[(i, l)];
            }
        }
        wrap(&mut ring.x, n, lanes);
        ring
    }

    /// One step of the classical Runge-Kutta method, length dt, of all lanes.
    #[inline(always)]
    pub(super) fn step(&mut self) {
        let (n, lanes, dt) = (self.n, self.lanes, self.dt);
        let inner = BEFORE * lanes..(BEFORE + n) * lanes;
        let (force, total) = (&self.force, &mut self.total);
        let [a, b] = &mut self.stages;
        first(&self.x, force, dt / 2.0, total, &mut a[inner.clone()]);
        wrap(a, n, lanes);
        middle(a, &self.x[inner.clone()], force, dt / 2.0, total, &mut b[inner.clone()]);
        wrap(b, n, lanes);
        middle(b, &self.x[inner.clone()], force, dt, total, &mut a[inner.clone()]);
        wrap(a, n, lanes);
        last(a, force, dt / 6.0, total, &mut self.x[inner]);
        wrap(&mut self.x, n, lanes);
    }
}

// The stages are functions, and not loops in `step`, because the compiler takes it from the arguments of a
// function that slices do not overlap, and keeps that when it puts them in place.

/// total = k₁ from x; to = x + h k₁
#[inline(always)]
fn first(x: &[f64], force: &[f64], h: f64, total: &mut [f64], to: &mut [f64]) {
    let size = force.len();
    let near = neighbours(x, size);
    let (total, to) = (&mut total[..size], &mut to[..size]);
    for m in 0..size {
        let k = slope(near, force, m);
        total[m] = k;
        to[m] = near[2][m] + h * k;
    }
}

/// total += 2 k, k from `from`; to = x + h k
#[inline(always)]
fn middle(from: &[f64], x: &[f64], force: &[f64], h: f64, total: &mut [f64], to: &mut [f64]) {
    let size = force.len();
    let near = neighbours(from, size);
    let (x, total, to) = (&x[..size], &mut total[..size], &mut to[..size]);
    for m in 0..size {
        let k = slope(near, force, m);
        total[m] += 2.0 * k;
        to[m] = x[m] + h * k;
    }
}

/// x += h (total + k₄), k₄ from `from`
#[inline(always)]
fn last(from: &[f64], force: &[f64], h: f64, total: &[f64], x: &mut [f64]) {
    let size = force.len();
    let near = neighbours(from, size);
    let (total, x) = (&total[..size], &mut x[..size]);
    for m in 0..size {
        x[m] += h * (total[m] + slope(near, force, m));
    }
}

/// sums += x − shift; squares += (x − shift)²
#[inline(always)]
pub(super) fn add(x: &[f64], shift: &[f64], sums: &mut [f64], squares: &mut [f64]) {
    let size = x.len();
    let (shift, sums, squares) = (&shift[..size], &mut sums[..size], &mut squares[..size]);
    for m in 0..size {
        let d = x[m] - shift[m];
        sums[m] += d;
        squares[m] += d * d;
    }
}

/// xᵢ₋₂, xᵢ₋₁, xᵢ, xᵢ₊₁ as four slices of one length: said once, it spares the loops their bound checks.
#[inline(always)]
fn neighbours(x: &[f64], size: usize) -> [&[f64]; 4] {
    let lanes = (x.len() - size) / GHOSTS;
    [&x[..size], &x[lanes..][..size], &x[2 * lanes..][..size], &x[3 * lanes..][..size]]
}

/// (xᵢ₊₁ − xᵢ₋₂) xᵢ₋₁ − xᵢ + force
#[inline(always)]
fn slope([two_before, before, here, after]: [&[f64]; 4], force: &[f64], m: usize) -> f64 {
    (after[m] - two_before[m]) * before[m] - here[m] + force[m]
}

/// Ghosts get the values of the other end.
#[inline(always)]
fn wrap(x: &mut [f64], n: usize, lanes: usize) {
    let (ghosts, rest) = x.split_at_mut(BEFORE * lanes);
    let (ring, behind) = rest.split_at_mut(n * lanes);
    if lanes == 1 {
        // Without calls of `memcpy`, which would take a third of the time
        (ghosts[0], ghosts[1], behind[0]) = (ring[n - 2], ring[n - 1], ring[0]);
        return;
    }
    ghosts.copy_from_slice(&ring[(n - BEFORE) * lanes..]);
    behind.copy_from_slice(&ring[..lanes]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x at t = 1 with constant forcing.
    fn at_one(dt: f64) -> Vec<f64> {
        let initial: Vec<f64> = (0..36).map(|i| (f64::from(i) * 0.7).sin() * 3.0).collect();
        let mut ring = Ring::new(&initial, 1, dt);
        ring.force.fill(8.0);
        for _ in 0..(1.0 / dt).round() as usize {
            ring.step();
        }
        ring.x[BEFORE..BEFORE + 36].to_vec()
    }

    #[test]
    fn the_method_converges_with_order_four() {
        let fine = at_one(1.0 / 4096.0);
        let error = |dt: f64| {
            let x = at_one(dt);
            x.iter().zip(&fine).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        for dt in [1.0 / 64.0, 1.0 / 128.0, 1.0 / 256.0] {
            let order = (error(dt) / error(dt / 2.0)).log2();
            assert!((order - 4.0).abs() < 0.3, "{dt}: {order}");
        }
    }

    #[test]
    fn every_vector_width_gives_the_same_bits() {
        let initial: Vec<f64> = (0..36).map(|i| (f64::from(i) * 1.3).cos()).collect();
        let forcing: Vec<Forcing> =
            (0..8).map(|l| Forcing { constant: 6.0 + f64::from(l), amplitude: 1.0 }).collect();
        let run = || Run {
            initial: &initial,
            dt: 1.0 / 64.0,
            omega: 0.3,
            forcing: &forcing,
            spin_up: 300,
            period: 200,
            states: 24,
            n_windows: 8,
            groups: 4,
            periods: 2,
        };
        assert_eq!(crate::numerics::simd::widest(run()), run().run());
    }
}
