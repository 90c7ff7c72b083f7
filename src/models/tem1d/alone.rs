//! One earth by itself: a lane is a chain (of a polarised earth: `polarised`) where the loop for many has an earth in each.
//!
//! The steps of each chain and the order of the sum are those of `doubling`, so the bits are those of a batch.

use crate::models::tem1d::doubling::{
    Chain, Chains, STRIDE, Work, decays, doubled, fma, gates, interface, media, parts,
};
use crate::models::tem1d::polarised::of_one;
use crate::models::tem1d::reflect::Earth;
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
        let mut steps = Vec::new();
        if earth.polarisation.is_empty() {
            let mut sigma = vec![zero; layers];
            let mut change = vec![zero; layers];
            for i in 0..layers {
                sigma[i] = V::splat(1.0 / earth.resistivity[i]);
                change[i] = if i == 0 { zero - sigma[0] } else { sigma[i - 1] - sigma[i] };
            }
            for eight in chains.chains.chunks(LANES) {
                let c = (lanes::<V>(eight, |chain| chain.c.re), lanes::<V>(eight, |chain| chain.c.im));
                media(&sigma, &change, c, &mut work);
                eight_chains::<V>(chains, eight, &thickness, &mut work, &mut steps);
                sum(chains, eight, &steps, &mut field);
            }
        } else {
            of_one::<V>(chains, earth, &mut field);
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
    all: &mut Vec<[Row; 3]>,
) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let mut steps = 0;
    for chain in eight {
        steps = steps.max(chain.steps);
    }
    decays(thickness, work, lanes::<V>(eight, |chain| chain.lambda2), steps);
    all.clear();
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
        all.push(parts(above, under, V::load(&g)));
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
