//! One earth by itself: a lane is a chain, or a node of a polarised earth, where the loop for many has an earth in each.
//!
//! The steps of each chain and the order of the sum are those of `doubling`, so the bits are those of a batch.

use crate::models::tem1d::doubling::{
    Chain, Chains, Plain, Polarised, STRIDE, Work, decays, doubled, fma, gates, interface, media,
};
use crate::models::tem1d::reflect::{Earth, MU0};
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row};

/// The gates of an earth.
pub(super) struct Alone<'a> {
    pub(super) chains: &'a Chains,
    pub(super) earth: &'a Earth,
}

impl Kernel for Alone<'_> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<Vec<f64>> {
        let Self { chains, earth } = self;
        let layers = earth.resistivity.len();
        let (zero, s) = (V::splat(0.0), &chains.s);
        let mut thickness = vec![zero; layers];
        for (to, h) in thickness.iter_mut().zip(&earth.thickness) {
            *to = V::splat(*h);
        }
        let mut work = Work::new(layers);
        let mut field = vec![[0.0; 2]; s.len()];
        let mut parts = Vec::new();
        if earth.polarisation.is_empty() {
            let mut sigma = vec![zero; layers];
            let mut change = vec![zero; layers];
            for i in 0..layers {
                sigma[i] = V::splat(1.0 / earth.resistivity[i]);
                change[i] = if i == 0 { zero - sigma[0] } else { sigma[i - 1] - sigma[i] };
            }
            for eight in chains.chains.chunks(LANES) {
                let c = (lanes::<V>(eight, |chain| chain.c.re), lanes::<V>(eight, |chain| chain.c.im));
                media(&Plain { sigma: &sigma, change: &change, c }, &mut work);
                eight_chains::<V>(chains, eight, &thickness, &mut work, &mut parts);
                sum(chains, eight, &parts, &mut field);
            }
        } else {
            let nodes: Vec<Chain> =
                chains.chains.iter().flat_map(|c| (0..c.steps).map(|t| chains.node(c, t))).collect();
            let relaxed = |k: usize, i: usize| earth.conductivity(i, s[k]) * s[k].scale(MU0);
            let all: Vec<_> = (0..s.len() * layers).map(|at| relaxed(at / layers, at % layers)).collect();
            let mut w = vec![[Row::default(); 2]; layers];
            for eight in nodes.chunks(LANES) {
                for (i, w) in w.iter_mut().enumerate() {
                    for l in 0..LANES {
                        let one = all[eight[l.min(eight.len() - 1)].k * layers + i];
                        (w[0].0[l], w[1].0[l]) = (one.re, one.im);
                    }
                }
                let over = lanes::<V>(eight, |node| 4.0 / (node.lambda2 * node.lambda2));
                media(&Polarised { w: &w, over }, &mut work);
                eight_chains::<V>(chains, eight, &thickness, &mut work, &mut parts);
                sum(chains, eight, &parts, &mut field);
            }
        }
        let rows: Vec<[Row; 2]> = field.iter().map(|f| f.map(Row::splat)).collect();
        let mut all = Vec::new();
        gates::<V>(chains, &rows, 1, &mut all);
        all
    }
}

/// A number of each chain. Lanes without one repeat the last.
#[inline(always)]
fn lanes<V: Lanes>(chains: &[Chain], of: impl Fn(&Chain) -> f64) -> V {
    let mut row = Row::default();
    for l in 0..LANES {
        row.0[l] = of(&chains[l.min(chains.len() - 1)]);
    }
    V::load(&row)
}

/// Of each step of eight chains Re, Im of what r is over a positive number, and G over that number.
#[inline(always)]
fn eight_chains<V: Lanes>(
    chains: &Chains,
    eight: &[Chain],
    thickness: &[V],
    work: &mut Work<V>,
    parts: &mut Vec<[Row; 3]>,
) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut steps = 0;
    for chain in eight {
        steps = steps.max(chain.steps);
    }
    decays(thickness, work, lanes::<V>(eight, |chain| chain.lambda2), steps);
    parts.clear();
    let mut seen = work.r.len() - 1;
    for t in 0..steps {
        while seen > 0 && work.ends[seen - 1] <= t {
            seen -= 1;
        }
        let (mut n, mut d) = ((zero, zero), (one, zero));
        for (r, e) in work.r[1..=seen].iter().zip(&mut work.d[..seen]).rev() {
            (n, d) = interface(*r, *e, n, d);
            *e = doubled(*e);
        }
        let (above, under) = (fma(work.r[0], d, n), fma(work.r[0], n, d));
        let mut g = Row::default();
        for (l, chain) in eight.iter().enumerate() {
            if t < chain.steps {
                g.0[l] = chains.g[chain.j + chains.octave * t];
            }
        }
        let size = V::load(&g) / under.0.fma(under.0, under.1 * under.1);
        let mut part = [Row::default(); 3];
        above.0.fma(under.0, above.1 * under.1).store(&mut part[0]);
        above.0.fnma(under.1, above.1 * under.0).store(&mut part[1]);
        size.store(&mut part[2]);
        parts.push(part);
    }
}

/// Chain by chain, step by step: the order of a batch.
#[inline(always)]
fn sum(chains: &Chains, eight: &[Chain], parts: &[[Row; 3]], field: &mut [[f64; 2]]) {
    debug_assert!(field.len() == chains.s.len());
    for (l, chain) in eight.iter().enumerate() {
        for (t, part) in parts.iter().enumerate().take(chain.steps) {
            let to = &mut field[chain.k + STRIDE * t];
            to[0] = part[0].0[l].mul_add(part[2].0[l], to[0]);
            to[1] = part[1].0[l].mul_add(part[2].0[l], to[1]);
        }
    }
}
