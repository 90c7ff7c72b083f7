//! The hot loop: earths side by side, and exponentials by squaring.
//!
//! Wavenumbers and Laplace variables are powers of two of each other: λ_j = λ_0 2^{j/p}, s_k = s_0 2^{2k/3}. Along a chain
//! (j, k), (j + p, k + 3), … λ doubles and s becomes four times as large, so w/λ² is one number of the chain: u_i/λ and
//! the reflection R_i of each interface are worked out once for it, and with D = e^{−2uh} − 1 the next exponential is
//! D (D + 2), which loses no digit where D is small. Where e^{−2uh} of the deepest layer has come to nothing for all
//! earths, the layer is left out: D is −1 to the last bit there, so the same bits come out with it.
//!
//! A lane is an earth. No lane looks at its neighbours but to leave out what is exactly nothing, so an earth has the
//! same bits alone and in a batch, in any order, on any number of threads.

use crate::models::tem1d::polarised::{Eight, nodes as nodes_of, of_earths};
use crate::models::tem1d::reflect::{DEEP, Earth, MU0};
use crate::numerics::Mat;
use crate::numerics::complex::Complex;
use crate::numerics::lanes::power::expm1;
use crate::numerics::lanes::trig::sin_cosm1;
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row};

/// Steps of k that make s four times as large.
pub(super) const STRIDE: usize = 3;
/// Where Re 2uh is above this, D is −1 but for its last bit, and two doublings later −1 itself.
pub(super) const GONE: f64 = 60.0;

/// Nodes (λ, s), (2λ, 4s), (4λ, 16s), …
#[derive(Debug, Clone)]
pub(super) struct Chain {
    /// Number of its first wavenumber
    pub(super) j: usize,
    /// Number of its first Laplace variable
    pub(super) k: usize,
    /// Nodes
    pub(super) steps: usize,
    /// μ₀ s/λ²
    pub(super) c: Complex,
    /// 2 λ of the first node
    pub(super) lambda2: f64,
    /// Is μ₀ s/λ² that of the chain before?
    pub(super) again: bool,
}

/// Everything about a system that the loop reads.
#[derive(Debug, Clone, Default)]
pub(super) struct Chains {
    pub(super) chains: Vec<Chain>,
    /// Wavenumbers to an octave
    pub(super) octave: usize,
    /// G_j
    pub(super) g: Vec<f64>,
    /// Laplace variables
    pub(super) s: Vec<Complex>,
    /// The nodes of all chains, for earths whose conductivities change with s
    pub(super) nodes: Vec<Eight>,
    /// For each gate the weights of Re H and Im H of each Laplace variable
    pub(super) weights: Vec<f64>,
    /// Gates of all moments
    pub(super) rows: usize,
}

impl Chains {
    /// Chains through all `needed` nodes (λ_j with G_j, s_k). `weights` are those of F = −H/s.
    pub(super) fn new(
        nodes: &[(f64, f64)],
        octave: usize,
        s: &[Complex],
        needed: &[Vec<bool>],
        weights: &Mat,
    ) -> Self {
        let mut chains: Vec<Chain> = Vec::new();
        // Beginnings with one μ₀ s/λ² follow each other: k/3 − j/p, times 3p, is a whole number for each.
        let ratio = |j: usize, k: usize| (octave * k) as isize - (STRIDE * j) as isize;
        let mut begins: Vec<(usize, usize)> = (0..nodes.len())
            .flat_map(|j| (0..s.len()).map(move |k| (j, k)))
            .filter(|&(j, k)| j < octave || k < STRIDE)
            .collect();
        begins.sort_by_key(|&(j, k)| (ratio(j, k), j));
        let mut last = None;
        for (j, k) in begins {
            let most = ((nodes.len() - j).div_ceil(octave)).min((s.len() - k).div_ceil(STRIDE));
            let counts = |t: &usize| needed[k + STRIDE * t][j + octave * t];
            let Some(from) = (0..most).find(counts) else { continue };
            let to = (0..most).rfind(counts).map_or(from, |t| t + 1);
            let at = ratio(j, k);
            let lambda = nodes[j].0;
            chains.push(Chain {
                j: j + octave * from,
                k: k + STRIDE * from,
                steps: to - from,
                // Those of one ratio have the same bits: roots are taken once for all
                c: if last == Some(at) {
                    chains.last().map_or_else(Complex::default, |chain| chain.c)
                } else {
                    s[k].scale(MU0 / (lambda * lambda))
                },
                lambda2: 2.0 * nodes[j + octave * from].0,
                again: last == Some(at),
            });
            last = Some(at);
        }
        let row = |i: usize| {
            s.iter().enumerate().flat_map(move |(k, s)| {
                let w = Complex::new(weights[(i, 2 * k)], -weights[(i, 2 * k + 1)]) / -*s;
                [w.re, -w.im]
            })
        };
        let mut all = Self {
            chains,
            octave,
            g: nodes.iter().map(|node| node.1).collect(),
            s: s.to_vec(),
            weights: (0..weights.nrows()).flat_map(row).collect(),
            rows: weights.nrows(),
            nodes: Vec::new(),
        };
        all.nodes = nodes_of(&all);
        all
    }
}

/// Two parts of eight complex numbers.
pub(super) type Pair<V> = (V, V);

/// a b + c.
#[inline(always)]
pub(super) fn fma<V: Lanes>(a: Pair<V>, b: Pair<V>, c: Pair<V>) -> Pair<V> {
    (a.1.fnma(b.1, a.0.fma(b.0, c.0)), a.1.fma(b.0, a.0.fma(b.1, c.1)))
}

/// a / b.
#[inline(always)]
pub(super) fn over<V: Lanes>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    let size = V::splat(1.0) / b.0.fma(b.0, b.1 * b.1);
    let (re, im) = (a.0.fma(b.0, a.1 * b.1), a.0.fnma(b.1, a.1 * b.0));
    (re * size, im * size)
}

/// What is worked out for a chain: u_i/λ, R_0 … R_{L−1}, D_1 … D_{L−1}.
pub(super) struct Work<V> {
    pub(super) u: Vec<Pair<V>>,
    pub(super) r: Vec<Pair<V>>,
    pub(super) d: Vec<Pair<V>>,
    /// Steps after which an exponential is nothing
    pub(super) ends: Vec<usize>,
}

impl<V: Lanes> Work<V> {
    /// Room for a chain over so many layers.
    pub(super) fn new(layers: usize) -> Self {
        let zero = (V::splat(0.0), V::splat(0.0));
        Self { u: vec![zero; layers], r: vec![zero; layers], d: vec![zero; layers], ends: vec![0; layers] }
    }
}

/// The gates of some earths, all of as many layers.
pub(super) struct Batch<'a> {
    pub(super) chains: &'a Chains,
    pub(super) earths: &'a [Earth],
}

impl Kernel for Batch<'_> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<Vec<f64>> {
        let Some(first) = self.earths.first() else { return Vec::new() };
        let layers = first.resistivity.len();
        let polarised = self.earths.iter().any(|earth| !earth.polarisation.is_empty());
        let zero = V::splat(0.0);
        let mut thickness = vec![zero; layers];
        let (mut sigma, mut change) = (vec![zero; layers], vec![zero; layers]);
        let mut work = Work::new(layers);
        let mut field = vec![[Row::default(); 2]; self.chains.s.len()];
        let mut all = Vec::with_capacity(self.earths.len());
        for eight in self.earths.chunks(LANES) {
            field.fill([Row::default(); 2]);
            if polarised {
                of_earths::<V>(self.chains, eight, &mut field);
            } else {
                fill(&mut thickness, eight, |earth, i| earth.thickness.get(i).copied().unwrap_or(0.0));
                fill(&mut sigma, eight, |earth, i| 1.0 / earth.resistivity[i]);
                for i in 1..layers {
                    change[i] = sigma[i - 1] - sigma[i];
                }
                change[0] = zero - sigma[0];
                for chain in &self.chains.chains {
                    if !chain.again {
                        let c = (V::splat(chain.c.re), V::splat(chain.c.im));
                        media(&sigma, &change, c, &mut work);
                    }
                    decays(&thickness, &mut work, V::splat(chain.lambda2), chain.steps);
                    walk(self.chains, chain, &mut work, &mut field);
                }
            }
            gates::<V>(self.chains, &field, eight.len(), &mut all);
        }
        all
    }
}

/// A number of each layer. Lanes without an earth repeat the last one.
#[inline(always)]
pub(super) fn fill<V: Lanes>(to: &mut [V], earths: &[Earth], of: impl Fn(&Earth, usize) -> f64) {
    for (i, to) in to.iter_mut().enumerate() {
        let lane = |l: usize| of(&earths[l.min(earths.len() - 1)], i);
        *to = V::load(&Row(std::array::from_fn(lane)));
    }
}

/// Roots and reflections of all layers: σ_i, σ_{i−1} − σ_i (of the first −σ_0) in S/m, μ₀ s/λ² of the chain.
#[inline(always)]
pub(super) fn media<V: Lanes>(sigma: &[V], change: &[V], c: Pair<V>, work: &mut Work<V>) {
    let (one, half) = (V::splat(1.0), V::splat(0.5));
    let mut above = (one, V::splat(0.0));
    for i in 0..work.u.len() {
        let (x, y) = (c.0 * sigma[i] + one, c.1 * sigma[i]);
        let size = x.fma(x, y * y).sqrt();
        let root = ((size + x) * half).sqrt();
        let u = (root, half * y / root);
        work.u[i] = u;
        let sum = (above.0 + u.0, above.1 + u.1);
        let square = (sum.1.fnma(sum.1, sum.0 * sum.0), (sum.0 + sum.0) * sum.1);
        work.r[i] = over((c.0 * change[i], c.1 * change[i]), square);
        above = u;
    }
}

/// Exponentials at the first node of a chain, and where they end.
#[inline(always)]
pub(super) fn decays<V: Lanes>(thickness: &[V], work: &mut Work<V>, lambda2: V, steps: usize) {
    let minus = V::splat(0.0) - lambda2;
    for (i, h) in thickness.iter().enumerate().take(work.u.len() - 1) {
        let h = *h * minus;
        let (x, y) = (work.u[i].0 * h, work.u[i].1 * h);
        let least = x.max(V::splat(-DEEP));
        let (sin, cosm1) = sin_cosm1(y);
        let e = expm1(least);
        work.d[i] = (e.fma(cosm1, e + cosm1), e.fma(sin, sin));
        // The lane that decays least: from so many doublings on nothing is left of it, and of it squared.
        let mut row = Row::default();
        x.store(&mut row);
        let slowest = row.0.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b));
        let mut own = 2;
        let mut at = -slowest;
        while at < GONE && own < steps {
            at += at;
            own += 1;
        }
        work.ends[i] = own.min(steps);
    }
}

/// G r of each node of a chain onto the field.
#[inline(always)]
fn walk<V: Lanes>(chains: &Chains, chain: &Chain, work: &mut Work<V>, field: &mut [[Row; 2]]) {
    let layers = work.r.len();
    let mut at = 0;
    let mut seen = layers - 1;
    while at < chain.steps {
        while seen > 0 && work.ends[seen - 1] <= at {
            seen -= 1;
        }
        let to = if seen > 0 { work.ends[seen - 1] } else { chain.steps };
        match seen {
            0 => few::<V, 0>(chains, chain, work, field, at, to),
            1 => few::<V, 1>(chains, chain, work, field, at, to),
            2 => few::<V, 2>(chains, chain, work, field, at, to),
            3 => few::<V, 3>(chains, chain, work, field, at, to),
            _ => many(chains, chain, work, seen, field, at, to),
        }
        at = to;
    }
}

/// Γ of one interface more: from n/d below to E (R d + n) / (d + R n).
#[inline(always)]
pub(super) fn interface<V: Lanes>(r: Pair<V>, e: Pair<V>, n: Pair<V>, d: Pair<V>) -> (Pair<V>, Pair<V>) {
    let x = fma(r, d, n);
    (fma(e, x, x), fma(r, n, d))
}

/// D of twice the wavenumber.
#[inline(always)]
pub(super) fn doubled<V: Lanes>(d: Pair<V>) -> Pair<V> {
    // D² + 2D, rounded once: what is next to −1 becomes −1
    (d.1.fnma(d.1, d.0.fma(d.0, d.0 + d.0)), (d.1 + d.1) * (d.0 + V::splat(1.0)))
}

/// G r of a node, r = above/under, onto the field.
#[inline(always)]
pub(super) fn add<V: Lanes>(above: Pair<V>, under: Pair<V>, g: V, to: &mut [Row; 2]) {
    let size = g / under.0.fma(under.0, under.1 * under.1);
    let re = above.0.fma(under.0, above.1 * under.1);
    let im = above.0.fnma(under.1, above.1 * under.0);
    re.fma(size, V::load(&to[0])).store(&mut to[0]);
    im.fma(size, V::load(&to[1])).store(&mut to[1]);
}

/// The same of eight nodes, to be added one by one: Re and Im of what r is over a positive number, and G over it.
#[inline(always)]
pub(super) fn parts<V: Lanes>(above: Pair<V>, under: Pair<V>, g: V) -> [Row; 3] {
    let mut part = [Row::default(); 3];
    above.0.fma(under.0, above.1 * under.1).store(&mut part[0]);
    above.0.fnma(under.1, above.1 * under.0).store(&mut part[1]);
    (g / under.0.fma(under.0, under.1 * under.1)).store(&mut part[2]);
    part
}

/// Steps `from` to `to` with so many interfaces that are seen below the surface.
#[inline(always)]
fn few<V: Lanes, const N: usize>(
    chains: &Chains,
    chain: &Chain,
    work: &mut Work<V>,
    field: &mut [[Row; 2]],
    from: usize,
    to: usize,
) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let top = work.r[0];
    let mut r = [(zero, zero); N];
    let mut e = [(zero, zero); N];
    r.copy_from_slice(&work.r[1..=N]);
    e.copy_from_slice(&work.d[..N]);
    let g = chains.g[chain.j..].iter().step_by(chains.octave).skip(from).take(to - from);
    let field = field[chain.k..].iter_mut().step_by(STRIDE).skip(from);
    for (g, field) in g.zip(field) {
        if N == 0 {
            let g = V::splat(*g);
            top.0.fma(g, V::load(&field[0])).store(&mut field[0]);
            top.1.fma(g, V::load(&field[1])).store(&mut field[1]);
        } else {
            let (mut n, mut d) = ((zero, zero), (one, zero));
            for i in (0..N).rev() {
                (n, d) = interface(r[i], e[i], n, d);
                e[i] = doubled(e[i]);
            }
            add(fma(top, d, n), fma(top, n, d), V::splat(*g), field);
        }
    }
    work.d[..N].copy_from_slice(&e);
}

/// The same for any number.
#[inline(always)]
fn many<V: Lanes>(
    chains: &Chains,
    chain: &Chain,
    work: &mut Work<V>,
    seen: usize,
    field: &mut [[Row; 2]],
    from: usize,
    to: usize,
) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    for t in from..to {
        let (mut n, mut d) = ((zero, zero), (one, zero));
        for (r, e) in work.r[1..=seen].iter().zip(&mut work.d[..seen]).rev() {
            (n, d) = interface(*r, *e, n, d);
            *e = doubled(*e);
        }
        let (above, under) = (fma(work.r[0], d, n), fma(work.r[0], n, d));
        let g = V::splat(chains.g[chain.j + chains.octave * t]);
        add(above, under, g, &mut field[chain.k + STRIDE * t]);
    }
}

/// Gates of `count` earths.
#[inline(always)]
pub(super) fn gates<V: Lanes>(chains: &Chains, field: &[[Row; 2]], count: usize, all: &mut Vec<Vec<f64>>) {
    const TOGETHER: usize = 4;
    let first = all.len();
    for _ in 0..count {
        all.push(vec![0.0; chains.rows]);
    }
    let wide = 2 * chains.s.len();
    for (b, weights) in chains.weights.chunks(TOGETHER * wide).enumerate() {
        let mut sums = [V::splat(0.0); TOGETHER];
        let rows = weights.len() / wide;
        for (k, f) in field.as_flattened().iter().enumerate() {
            let f = V::load(f);
            for (i, sum) in sums.iter_mut().enumerate().take(rows) {
                *sum = V::splat(weights[i * wide + k]).fma(f, *sum);
            }
        }
        for (i, sum) in sums.iter().enumerate().take(rows) {
            let mut row = Row::default();
            sum.store(&mut row);
            for (gates, x) in all[first..].iter_mut().zip(row.0) {
                gates[b * TOGETHER + i] = x;
            }
        }
    }
}
