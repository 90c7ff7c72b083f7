//! The hot loop: earths side by side, and exponentials by squaring.
//!
//! Wavenumbers and Laplace variables are powers of two of each other: λ_j = λ_0 2^{j/p}, s_k = s_0 2^{2k/3}. Along a chain
//! (j, k), (j + p, k + 3), … λ doubles and s becomes four times as large, so w/λ² is one number of the chain: u_i/λ and
//! the reflection R_i of each interface are worked out once for it, and with D = e^{−2uh} − 1 the next exponential is
//! D (D + 2), which loses no digit where D is small. Where e^{−2uh} of the deepest layer has come to nothing for all
//! earths, the layer is left out: D is −1 to the last bit there, so the same bits come out with it.
//!
//! Conductivities of polarised earths change with s, so nothing is carried along their chains: every node begins anew.
//!
//! A lane is an earth. No lane looks at its neighbours but to leave out what is exactly nothing, so an earth has the
//! same bits alone and in a batch, in any order, on any number of threads.

use crate::models::tem1d::reflect::{DEEP, Earth, MU0};
use crate::numerics::Mat;
use crate::numerics::complex::Complex;
use crate::numerics::lanes::power::expm1;
use crate::numerics::lanes::trig::sin_cosm1;
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row};

/// Steps of k that make s four times as large.
pub(super) const STRIDE: usize = 3;
/// Where Re 2uh is above this, D is −1 but for its last bit, and two doublings later −1 itself.
const GONE: f64 = 60.0;

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
        Self {
            chains,
            octave,
            g: nodes.iter().map(|node| node.1).collect(),
            s: s.to_vec(),
            weights: (0..weights.nrows()).flat_map(row).collect(),
            rows: weights.nrows(),
        }
    }

    /// A node of a chain as a chain of its own.
    pub(super) fn node(&self, chain: &Chain, t: usize) -> Chain {
        Chain {
            j: chain.j + self.octave * t,
            k: chain.k + STRIDE * t,
            steps: 1,
            c: chain.c,
            lambda2: chain.lambda2 * (t as f64).exp2(),
            again: false,
        }
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
fn over<V: Lanes>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    let size = V::splat(1.0) / b.0.fma(b.0, b.1 * b.1);
    let (re, im) = (a.0.fma(b.0, a.1 * b.1), a.0.fnma(b.1, a.1 * b.0));
    (re * size, im * size)
}

/// Conductivities of eight earths at a node.
pub(super) trait Ground<V> {
    /// μ₀ s σ_i/λ²
    fn layer(&self, i: usize) -> Pair<V>;
    /// The same of σ_{i−1} − σ_i; of −σ_0 for the first
    fn change(&self, i: usize) -> Pair<V>;
}

/// One conductivity for all s: S/m, and μ₀ s/λ² of the chain.
pub(super) struct Plain<'a, V> {
    pub(super) sigma: &'a [V],
    pub(super) change: &'a [V],
    pub(super) c: Pair<V>,
}

impl<V: Lanes> Ground<V> for Plain<'_, V> {
    #[inline(always)]
    fn layer(&self, i: usize) -> Pair<V> {
        (self.c.0 * self.sigma[i], self.c.1 * self.sigma[i])
    }

    #[inline(always)]
    fn change(&self, i: usize) -> Pair<V> {
        (self.c.0 * self.change[i], self.c.1 * self.change[i])
    }
}

/// Conductivities that change with s: μ₀ s σ_i at the s of the node, and 1/λ².
pub(super) struct Polarised<'a, V> {
    pub(super) w: &'a [[Row; 2]],
    pub(super) over: V,
}

impl<V: Lanes> Ground<V> for Polarised<'_, V> {
    #[inline(always)]
    fn layer(&self, i: usize) -> Pair<V> {
        (V::load(&self.w[i][0]) * self.over, V::load(&self.w[i][1]) * self.over)
    }

    #[inline(always)]
    fn change(&self, i: usize) -> Pair<V> {
        let zero = V::splat(0.0);
        let below = (V::load(&self.w[i][0]), V::load(&self.w[i][1]));
        let above =
            if i == 0 { (zero, zero) } else { (V::load(&self.w[i - 1][0]), V::load(&self.w[i - 1][1])) };
        ((above.0 - below.0) * self.over, (above.1 - below.1) * self.over)
    }
}

/// What is worked out for a chain, or a node of a polarised earth: u_i/λ, R_0 … R_{L−1}, D_1 … D_{L−1}.
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
        let mut w = vec![[Row::default(); 2]; if polarised { layers * self.chains.s.len() } else { 0 }];
        let mut work = Work::new(layers);
        let mut field = vec![[Row::default(); 2]; self.chains.s.len()];
        let mut all = Vec::with_capacity(self.earths.len());
        for eight in self.earths.chunks(LANES) {
            fill(&mut thickness, eight, |earth, i| earth.thickness.get(i).copied().unwrap_or(0.0));
            field.fill([Row::default(); 2]);
            if polarised {
                relaxed(&mut w, eight, &self.chains.s);
                for chain in &self.chains.chains {
                    for t in 0..chain.steps {
                        let node = self.chains.node(chain, t);
                        let ground = Polarised {
                            w: &w[layers * node.k..][..layers],
                            over: V::splat(4.0 / (node.lambda2 * node.lambda2)),
                        };
                        media(&ground, &mut work);
                        decays(&thickness, &mut work, V::splat(node.lambda2), 1);
                        walk(self.chains, &node, &mut work, &mut field);
                    }
                }
            } else {
                fill(&mut sigma, eight, |earth, i| 1.0 / earth.resistivity[i]);
                for i in 1..layers {
                    change[i] = sigma[i - 1] - sigma[i];
                }
                change[0] = zero - sigma[0];
                for chain in &self.chains.chains {
                    if !chain.again {
                        let c = (V::splat(chain.c.re), V::splat(chain.c.im));
                        media(&Plain { sigma: &sigma, change: &change, c }, &mut work);
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
fn fill<V: Lanes>(to: &mut [V], earths: &[Earth], of: impl Fn(&Earth, usize) -> f64) {
    for (i, to) in to.iter_mut().enumerate() {
        let lane = |l: usize| of(&earths[l.min(earths.len() - 1)], i);
        *to = V::load(&Row(std::array::from_fn(lane)));
    }
}

/// μ₀ s σ_i of each layer at each s.
fn relaxed(w: &mut [[Row; 2]], earths: &[Earth], s: &[Complex]) {
    let layers = earths[0].resistivity.len();
    for (w, s) in w.chunks_mut(layers).zip(s) {
        for (i, w) in w.iter_mut().enumerate() {
            for l in 0..LANES {
                let one = earths[l.min(earths.len() - 1)].conductivity(i, *s) * s.scale(MU0);
                (w[0].0[l], w[1].0[l]) = (one.re, one.im);
            }
        }
    }
}

/// Roots and reflections of all layers.
#[inline(always)]
pub(super) fn media<V: Lanes>(ground: &impl Ground<V>, work: &mut Work<V>) {
    let (one, half) = (V::splat(1.0), V::splat(0.5));
    let mut above = (one, V::splat(0.0));
    for i in 0..work.u.len() {
        let (x, y) = ground.layer(i);
        let x = x + one;
        let size = x.fma(x, y * y).sqrt();
        let root = ((size + x) * half).sqrt();
        let u = (root, half * y / root);
        work.u[i] = u;
        let sum = (above.0 + u.0, above.1 + u.1);
        let square = (sum.1.fnma(sum.1, sum.0 * sum.0), (sum.0 + sum.0) * sum.1);
        work.r[i] = over(ground.change(i), square);
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

/// A node with Γ_1 = n/d.
#[inline(always)]
fn add<V: Lanes>(r: Pair<V>, n: Pair<V>, d: Pair<V>, g: f64, to: &mut [Row; 2]) {
    let above = fma(r, d, n);
    let under = fma(r, n, d);
    let size = V::splat(g) / under.0.fma(under.0, under.1 * under.1);
    let re = above.0.fma(under.0, above.1 * under.1);
    let im = above.0.fnma(under.1, above.1 * under.0);
    re.fma(size, V::load(&to[0])).store(&mut to[0]);
    im.fma(size, V::load(&to[1])).store(&mut to[1]);
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
            add(top, n, d, *g, field);
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
        add(work.r[0], n, d, chains.g[chain.j + chains.octave * t], &mut field[chain.k + STRIDE * t]);
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
