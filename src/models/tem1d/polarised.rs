//! Polarised earths: conductivities change with s, so nothing is carried along a chain and every node begins anew.
//!
//! Nodes are in the order of their Laplace variables, each with its own in the order of the chains. A lane is an earth;
//! for an earth by itself it is one of eight wavenumbers of a Laplace variable. Both take the same steps for a node and
//! add in the same order, so they have the same bits. Below a layer that nothing comes back from everything is left out:
//! where a lane sees no deeper, it forgets what came from there, whether or not its neighbours had it worked out.

use crate::models::tem1d::doubling::{Chains, GONE, Pair, STRIDE, add, fma, interface, over, parts};
use crate::models::tem1d::reflect::{DEEP, Earth, MU0};
use crate::numerics::complex::Complex;
use crate::numerics::lanes::power::{exp, expm1};
use crate::numerics::lanes::trig::{sin_cos, sin_cosm1};
use crate::numerics::lanes::{LANES, Lanes, Row};

/// Up to eight nodes of a Laplace variable. Lanes without one repeat the last, with a weight of 0.
#[derive(Debug, Clone)]
pub(super) struct Eight {
    /// Number of the Laplace variable
    k: usize,
    count: usize,
    /// 2 λ
    lambda2: Row,
    /// 1/λ²
    over: Row,
    /// G
    g: Row,
}

/// All nodes of some chains.
pub(super) fn nodes(chains: &Chains) -> Vec<Eight> {
    let mut of = vec![Vec::new(); chains.s.len()];
    for chain in &chains.chains {
        for t in 0..chain.steps {
            let lambda2 = chain.lambda2 * (t as f64).exp2();
            of[chain.k + STRIDE * t].push((lambda2, chains.g[chain.j + chains.octave * t]));
        }
    }
    let mut all = Vec::new();
    for (k, nodes) in of.iter().enumerate() {
        for eight in nodes.chunks(LANES) {
            let lane = |l: usize| eight[l.min(eight.len() - 1)];
            all.push(Eight {
                k,
                count: eight.len(),
                lambda2: Row(std::array::from_fn(|l| lane(l).0)),
                over: Row(std::array::from_fn(|l| 4.0 / (lane(l).0 * lane(l).0))),
                g: Row(std::array::from_fn(|l| if l < eight.len() { lane(l).1 } else { 0.0 })),
            });
        }
    }
    all
}

/// A layer as its conductivity needs it: ρ₀, m, ln τ, c.
type Relaxing<V> = [V; 4];

/// The same of a layer of an earth.
fn relaxing(earth: &Earth, i: usize) -> [f64; 4] {
    let rho = earth.resistivity[i];
    earth.polarisation.get(i).map_or([rho, 0.0, 0.0, 1.0], |ip| [rho, ip.m, ip.tau.ln(), ip.c])
}

/// Laplace variables: ln of the modulus, angle, and μ₀ s.
struct Variable<V> {
    log: V,
    angle: V,
    w: Pair<V>,
}

/// The numbers of a Laplace variable.
fn variable(s: Complex) -> [f64; 4] {
    [s.abs().ln(), s.im.atan2(s.re), MU0 * s.re, MU0 * s.im]
}

/// μ₀ s σ(s); σ = 1 / (ρ₀ (1 − m z/(1 + z))), z = (sτ)^c.
#[inline(always)]
fn conducts<V: Lanes>([rho, m, tau, c]: Relaxing<V>, s: &Variable<V>) -> Pair<V> {
    let one = V::splat(1.0);
    let (sin, cos) = sin_cos(c * s.angle);
    let size = exp(c * (s.log + tau));
    let z = (size * cos, size * sin);
    let share = over(z, (z.0 + one, z.1));
    let rho = (rho * m.fnma(share.0, one), rho * (V::splat(0.0) - m * share.1));
    over(s.w, rho)
}

/// What a node is worked out in: R_0 … R_{L−1}, D_1 … D_{L−1}, and whether anything comes back through the layer.
pub(super) struct Room<V: Lanes> {
    w: Vec<Pair<V>>,
    r: Vec<Pair<V>>,
    d: Vec<(Pair<V>, V)>,
}

impl<V: Lanes> Room<V> {
    fn new(layers: usize) -> Self {
        let zero = V::splat(0.0);
        Self {
            w: vec![(zero, zero); layers],
            r: vec![(zero, zero); layers],
            d: vec![((zero, zero), zero); layers],
        }
    }
}

/// Numerator and denominator of r at eight nodes, or at a node of eight earths.
#[inline(always)]
fn node<V: Lanes>(thickness: &[V], lambda2: V, by: V, room: &mut Room<V>) -> (Pair<V>, Pair<V>) {
    let (zero, one, half, gone) = (V::splat(0.0), V::splat(1.0), V::splat(0.5), V::splat(-GONE));
    let Room { w, r, d } = room;
    let mut above = ((one, zero), (zero, zero));
    let mut seen = 0;
    for (i, ((w, r), d)) in w.iter().zip(r.iter_mut()).zip(d.iter_mut()).enumerate() {
        // u/λ
        let (x, y) = (w.0.fma(by, one), w.1 * by);
        let size = x.fma(x, y * y).sqrt();
        let root = ((size + x) * half).sqrt();
        let u = (root, half * y / root);
        let sum = (above.0.0 + u.0, above.0.1 + u.1);
        let square = (sum.1.fnma(sum.1, sum.0 * sum.0), (sum.0 + sum.0) * sum.1);
        *r = over(((above.1.0 - w.0) * by, (above.1.1 - w.1) * by), square);
        above = (u, *w);
        seen = i;
        if i < thickness.len() {
            let h = zero - thickness[i] * lambda2;
            let (x, y) = (u.0 * h, u.1 * h);
            if !V::any(x.above(gone)) {
                break;
            }
            let (sin, cosm1) = sin_cosm1(y);
            let e = expm1(x.max(V::splat(-DEEP)));
            *d = ((e.fma(cosm1, e + cosm1), e.fma(sin, sin)), x);
        }
    }
    let (mut n, mut under) = ((zero, zero), (one, zero));
    for (r, (e, x)) in r[1..=seen].iter().zip(&d[..seen]).rev() {
        let sees = x.above(gone);
        (n, under) = interface(*r, *e, n, under);
        n = (V::select(sees, n.0, zero), V::select(sees, n.1, zero));
        under = (V::select(sees, under.0, one), V::select(sees, under.1, zero));
    }
    (fma(r[0], under, n), fma(r[0], n, under))
}

/// The field of up to eight earths, of as many layers each.
#[inline(always)]
pub(super) fn of_earths<V: Lanes>(chains: &Chains, earths: &[Earth], field: &mut [[Row; 2]]) {
    let layers = earths[0].resistivity.len();
    let lane = |l: usize| &earths[l.min(earths.len() - 1)];
    let thickness: Vec<V> =
        (1..layers).map(|i| V::load(&Row(std::array::from_fn(|l| lane(l).thickness[i - 1])))).collect();
    let relaxing: Vec<Relaxing<V>> = (0..layers)
        .map(|i| {
            let all: [[f64; 4]; LANES] = std::array::from_fn(|l| relaxing(lane(l), i));
            std::array::from_fn(|q| V::load(&Row(all.map(|one| one[q]))))
        })
        .collect();
    let mut room = Room::new(layers);
    let mut k = usize::MAX;
    for eight in &chains.nodes {
        if eight.k != k {
            k = eight.k;
            let [log, angle, re, im] = variable(chains.s[k]).map(V::splat);
            let s = Variable { log, angle, w: (re, im) };
            for (w, relaxing) in room.w.iter_mut().zip(&relaxing) {
                *w = conducts(*relaxing, &s);
            }
        }
        for l in 0..eight.count {
            let (lambda2, by) = (V::splat(eight.lambda2.0[l]), V::splat(eight.over.0[l]));
            let (above, under) = node(&thickness, lambda2, by, &mut room);
            add(above, under, V::splat(eight.g.0[l]), &mut field[k]);
        }
    }
}

/// The field of an earth.
#[inline(always)]
pub(super) fn of_one<V: Lanes>(chains: &Chains, earth: &Earth, field: &mut [[f64; 2]]) {
    let layers = earth.resistivity.len();
    let thickness: Vec<V> = earth.thickness.iter().map(|h| V::splat(*h)).collect();
    // Conductivities at eight Laplace variables at once
    let mut w = vec![[Row::default(); 2]; layers * chains.s.len().div_ceil(LANES)];
    for (s, w) in chains.s.chunks(LANES).zip(w.chunks_mut(layers)) {
        let all: [[f64; 4]; LANES] = std::array::from_fn(|l| variable(s[l.min(s.len() - 1)]));
        let [log, angle, re, im] = std::array::from_fn(|q| V::load(&Row(all.map(|one| one[q]))));
        let s = Variable { log, angle, w: (re, im) };
        for (i, w) in w.iter_mut().enumerate() {
            let (re, im) = conducts(relaxing(earth, i).map(V::splat), &s);
            re.store(&mut w[0]);
            im.store(&mut w[1]);
        }
    }
    let mut room = Room::new(layers);
    let mut k = usize::MAX;
    for eight in &chains.nodes {
        if eight.k != k {
            k = eight.k;
            for (to, w) in room.w.iter_mut().zip(&w[k / LANES * layers..]) {
                *to = (V::splat(w[0].0[k % LANES]), V::splat(w[1].0[k % LANES]));
            }
        }
        let (lambda2, by) = (V::load(&eight.lambda2), V::load(&eight.over));
        let (above, under) = node(&thickness, lambda2, by, &mut room);
        let part = parts(above, under, V::load(&eight.g));
        let to = &mut field[k];
        for l in 0..eight.count {
            to[0] = part[0].0[l].mul_add(part[2].0[l], to[0]);
            to[1] = part[1].0[l].mul_add(part[2].0[l], to[1]);
        }
    }
}
