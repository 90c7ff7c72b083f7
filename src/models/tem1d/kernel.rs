//! The hot loop: F(s_k) of one earth, eight wavenumbers at a time, and the gates out of it.
//!
//! A lane is a wavenumber, never an earth, so an earth has the same bits alone and in a batch, in any order, on any
//! number of threads. Per layer: two roots and a quotient for u, an exponential with its sine and cosine; the
//! recursion itself is free of divisions (Γ = n/d), but one at the end.

use crate::models::tem1d::reflect::{DEEP, Earth, MU0};
use crate::numerics::complex::Complex;
use crate::numerics::lanes::power::exp;
use crate::numerics::lanes::trig::sin_cos;
use crate::numerics::lanes::{Kernel, LANES, Lanes, MAGIC, Row};

/// Layers between two rescalings of n and d: d grows as (u_i + u_{i+1})² a layer.
const RESCALE: usize = 8;
/// Layers whose tops are deeper than e^−42 do not change r in double precision.
const UNSEEN: f64 = 42.0;

/// A Laplace variable with the blocks of wavenumbers that count for it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// s
    pub(super) s: Complex,
    /// √(μ₀ |s|) cos(angle / 2): Re u is at least this times √σ
    pub(super) root: f64,
    /// First block
    pub(super) from: usize,
    /// One past the last
    pub(super) to: usize,
}

/// Everything about a system that the loop reads.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// λ, blocks of eight
    pub(super) lambda: Vec<Row>,
    /// G, zero where there is no wavenumber
    pub(super) g: Vec<Row>,
    /// s_k
    pub(super) nodes: Vec<Node>,
    /// For each node weights of Re F, then of Im F: `rows.div_ceil(8)` blocks each
    pub(super) weights: Vec<Row>,
    /// Gates of all moments
    pub(super) rows: usize,
}

/// Two parts of eight complex numbers.
type Pair<V> = (V, V);

#[inline(always)]
fn times<V: Lanes>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    let zero = V::splat(0.0);
    (a.0.fma(b.0, (zero - a.1) * b.1), a.0.fma(b.1, a.1 * b.0))
}

#[inline(always)]
fn plus<V: Lanes>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    (a.0 + b.0, a.1 + b.1)
}

/// A number per node times eight.
#[inline(always)]
fn scaled<V: Lanes>(a: Complex, b: Pair<V>) -> Pair<V> {
    times((V::splat(a.re), V::splat(a.im)), b)
}

/// √(λ² + w), real part above zero.
#[inline(always)]
fn wave<V: Lanes>(lambda2: V, w: Complex) -> Pair<V> {
    let (x, y) = (lambda2 + V::splat(w.re), V::splat(w.im));
    let half = V::splat(0.5);
    let m = x.fma(x, y * y).sqrt();
    let re = ((m + x) * half).sqrt();
    (re, half * y / re)
}

/// e^{−2uh}, not below e^−80.
#[inline(always)]
fn decay<V: Lanes>(u: Pair<V>, h: f64) -> Pair<V> {
    let h = V::splat(-2.0 * h);
    let size = exp((u.0 * h).max(V::splat(-DEEP)));
    let (sin, cos) = sin_cos(u.1 * h);
    (size * cos, size * sin)
}

/// n and d by the power of two next to d: both keep their digits.
#[inline(always)]
fn tamed<V: Lanes>(n: Pair<V>, d: Pair<V>) -> (Pair<V>, Pair<V>) {
    let size = d.0.abs() + d.1.abs() + V::splat(f64::MIN_POSITIVE);
    let (k, _) = size.exponent_and_fraction();
    let by = (V::splat(MAGIC) - k).two_to();
    ((n.0 * by, n.1 * by), (d.0 * by, d.1 * by))
}

/// Σ_j G_j r(λ_j, s) over the blocks of a node. `w` are μ₀ s σ_i of `layers` layers.
#[inline(always)]
fn sum<V: Lanes>(engine: &Engine, node: &Node, w: &[Complex], thickness: &[f64]) -> Complex {
    let last = w.len() - 1;
    let (mut re, mut im) = (V::splat(0.0), V::splat(0.0));
    for b in node.from..node.to {
        let lambda = V::load(&engine.lambda[b]);
        let lambda2 = lambda * lambda;
        let mut below = wave(lambda2, w[last]);
        let (mut n, mut d) = ((V::splat(0.0), V::splat(0.0)), (V::splat(1.0), V::splat(0.0)));
        for i in (0..last).rev() {
            let u = wave(lambda2, w[i]);
            let both = plus(u, below);
            let q = times(both, both);
            let p = w[i] - w[i + 1];
            let e = decay(u, thickness[i]);
            let up = times(e, plus(scaled(p, d), times(q, n)));
            d = plus(times(q, d), scaled(p, n));
            n = up;
            below = u;
            if (last - i).is_multiple_of(RESCALE) {
                (n, d) = tamed(n, d);
            }
        }
        let air = (lambda + below.0, below.1);
        let q = times(air, air);
        let p = Complex::new(-w[0].re, -w[0].im);
        let above = plus(scaled(p, d), times(q, n));
        let under = plus(times(q, d), scaled(p, n));
        let size = V::splat(1.0) / under.0.fma(under.0, under.1 * under.1);
        let g = V::load(&engine.g[b]) * size;
        re = (above.0.fma(under.0, above.1 * under.1)).fma(g, re);
        im = (above.1.fma(under.0, (V::splat(0.0) - above.0) * under.1)).fma(g, im);
    }
    Complex::new(total(re), total(im))
}

/// The sum of lanes, in one order.
#[inline(always)]
fn total<V: Lanes>(v: V) -> f64 {
    let mut row = Row::default();
    v.store(&mut row);
    let [a, b, c, d, e, f, g, h] = row.0;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}

/// The gates of some earths, all of as many layers.
pub(super) struct Batch<'a> {
    pub(super) engine: &'a Engine,
    pub(super) earths: &'a [Earth],
}

impl Kernel for Batch<'_> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<Vec<f64>> {
        let mut w = Vec::new();
        let mut roots = Vec::new();
        let mut all = Vec::with_capacity(self.earths.len());
        // A loop: a closure would be compiled on its own, without the vectors.
        for earth in self.earths {
            all.push(one::<V>(self.engine, earth, &mut w, &mut roots));
        }
        all
    }
}

#[inline(always)]
fn one<V: Lanes>(engine: &Engine, earth: &Earth, w: &mut Vec<Complex>, roots: &mut Vec<f64>) -> Vec<f64> {
    let blocks = engine.rows.div_ceil(LANES);
    let mut gates = vec![Row::default(); blocks];
    let count = earth.resistivity.len();
    // 2 h √σ, summed from the top: how deep in decays a layer's bottom lies for a unit root
    roots.clear();
    let mut depth = 0.0;
    for (rho, h) in earth.resistivity.iter().zip(&earth.thickness) {
        depth += 2.0 * h / rho.sqrt();
        roots.push(depth);
    }
    let plain = earth.polarisation.is_empty();
    for (k, node) in engine.nodes.iter().enumerate() {
        // Polarisation makes layers more conductive as s grows, never less by more than its chargeability: the bound
        // holds for plain layers, and the others are taken to the bottom.
        let seen = if plain {
            roots.iter().position(|d| d * node.root > UNSEEN).map_or(count, |i| i + 1)
        } else {
            count
        };
        w.clear();
        for i in 0..seen {
            let sigma =
                if plain { Complex::real(1.0 / earth.resistivity[i]) } else { earth.conductivity(i, node.s) };
            w.push(sigma * node.s.scale(MU0));
        }
        let h = sum::<V>(engine, node, w, &earth.thickness);
        let f = -h / node.s;
        let (re, im) = (V::splat(f.re), V::splat(f.im));
        let weights = &engine.weights[2 * blocks * k..2 * blocks * (k + 1)];
        for (b, gate) in gates.iter_mut().enumerate() {
            let sum = re.fma(V::load(&weights[b]), V::load(gate));
            im.fma(V::load(&weights[blocks + b]), sum).store(gate);
        }
    }
    let mut flat: Vec<f64> = gates.iter().flat_map(|row| row.0).collect();
    flat.truncate(engine.rows);
    flat
}
