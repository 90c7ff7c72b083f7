//! Derivatives of the gates, along the chains of `doubling`: a lane is an earth.
//!
//! With Γ_i = n_i/d_i and r = N/D, the product of the interfaces' determinants E_i (1 − R_i²) down to a layer is all that
//! its derivatives need: dr/dR_i = κ_i E_i (d² − n²)/D² of what lies below, dr/d ln E_i = κ_i d_i n_i/D². How R_i and
//! ln E_i change with a resistivity depends on w/λ² alone, so it is worked out once for a chain; a node costs some
//! multiplications a layer and no root, exponential or quotient of it. What nothing comes back from has κ = 0 to the
//! last bit, so leaving it out changes none; the gates are bit for bit those without derivatives.

use crate::models::tem1d::doubling::{
    Chain, Chains, Pair, STRIDE, Work, decays, doubled, fill, fma, gates, interface, media, over,
};
use crate::models::tem1d::reflect::Earth;
use crate::numerics::lanes::{Kernel, LANES, Lanes, Row};

/// Of each earth the gates, then their derivatives by ln ρ of each layer, by ln h of each but the last, and by the
/// height of the transmitters. All have as many layers, and none is polarised.
pub(super) struct Slopes<'a> {
    pub(super) chains: &'a Chains,
    pub(super) earths: &'a [Earth],
}

impl Kernel for Slopes<'_> {
    type Output = Vec<Vec<f64>>;

    #[inline(always)]
    fn run<V: Lanes>(self) -> Vec<Vec<f64>> {
        let Self { chains, earths } = self;
        let Some(first) = earths.first() else { return Vec::new() };
        let (layers, variables) = (first.resistivity.len(), chains.s.len());
        let zero = V::splat(0.0);
        let (mut sigma, mut change) = (vec![zero; layers], vec![zero; layers]);
        let mut thickness = vec![zero; layers];
        let mut work = Work::new(layers);
        let mut rates = vec![Rates::none(); layers];
        let mut below = vec![((zero, zero), (V::splat(1.0), zero)); layers];
        let mut field = vec![[Row::default(); 2]; (2 * layers + 1) * variables];
        let mut all = Vec::with_capacity(earths.len());
        for eight in earths.chunks(LANES) {
            fill(&mut thickness, eight, |earth, i| earth.thickness.get(i).copied().unwrap_or(0.0));
            fill(&mut sigma, eight, |earth, i| 1.0 / earth.resistivity[i]);
            for i in 1..layers {
                change[i] = sigma[i - 1] - sigma[i];
            }
            change[0] = zero - sigma[0];
            field.fill([Row::default(); 2]);
            for chain in &chains.chains {
                if !chain.again {
                    let c = (V::splat(chain.c.re), V::splat(chain.c.im));
                    media(&sigma, &change, c, &mut work);
                    rate(&sigma, c, &work, &mut rates);
                }
                decays(&thickness, &mut work, V::splat(chain.lambda2), chain.steps);
                walk(chains, chain, &thickness, &rates, &mut work, &mut below, &mut field);
            }
            let from = all.len();
            for (c, column) in field.chunks(variables).enumerate() {
                let mut of = Vec::with_capacity(eight.len());
                gates::<V>(chains, column, eight.len(), &mut of);
                if c == 0 {
                    all.append(&mut of);
                } else {
                    all[from..].iter_mut().zip(of).for_each(|(all, of)| all.extend(of));
                }
            }
        }
        all
    }
}

/// How what a layer reflects changes, along a whole chain.
#[derive(Clone, Copy)]
struct Rates<V> {
    /// 1 − R² of its upper face
    rest: Pair<V>,
    /// By ln ρ: R of its upper face, R of its lower face, and 2uh over 2λh
    by_rho: [Pair<V>; 3],
}

impl<V: Lanes> Rates<V> {
    fn none() -> Self {
        let zero = (V::splat(0.0), V::splat(0.0));
        Self { rest: zero, by_rho: [zero; 3] }
    }
}

/// a b.
#[inline(always)]
fn times<V: Lanes>(a: Pair<V>, b: Pair<V>) -> Pair<V> {
    let zero = V::splat(0.0);
    fma(a, b, (zero, zero))
}

#[inline(always)]
fn rate<V: Lanes>(sigma: &[V], c: Pair<V>, work: &Work<V>, rates: &mut [Rates<V>]) {
    let (zero, one, two) = (V::splat(0.0), V::splat(1.0), V::splat(2.0));
    let Work { u, r, .. } = work;
    for (i, to) in rates.iter_mut().enumerate() {
        let square = times(r[i], r[i]);
        to.rest = (one - square.0, zero - square.1);
        // −du/d ln ρ = w/(2u)
        let slope = over((c.0 * sigma[i], c.1 * sigma[i]), (two * u[i].0, two * u[i].1));
        let above = if i == 0 { (one, zero) } else { u[i - 1] };
        let upper = times(slope, face(u[i], above, two));
        let mut lower = (zero, zero);
        if i + 1 < u.len() {
            lower = times(slope, face(u[i], u[i + 1], zero - two));
        }
        to.by_rho = [upper, lower, slope];
    }
}

/// dR/du of a layer's face times −1 or 1: 2u′/(u + u′)², u′ on the other side.
#[inline(always)]
fn face<V: Lanes>(u: Pair<V>, other: Pair<V>, factor: V) -> Pair<V> {
    let sum = (u.0 + other.0, u.1 + other.1);
    over((factor * other.0, factor * other.1), times(sum, sum))
}

/// Each node of a chain onto all fields.
#[inline(always)]
fn walk<V: Lanes>(
    chains: &Chains,
    chain: &Chain,
    thickness: &[V],
    rates: &[Rates<V>],
    work: &mut Work<V>,
    below: &mut [(Pair<V>, Pair<V>)],
    field: &mut [[Row; 2]],
) {
    let (zero, one) = (V::splat(0.0), V::splat(1.0));
    let (layers, variables) = (rates.len(), chains.s.len());
    let Work { u, r, d, ends } = work;
    let mut seen = layers - 1;
    let mut lambda2 = chain.lambda2;
    for t in 0..chain.steps {
        while seen > 0 && ends[seen - 1] <= t {
            seen -= 1;
        }
        // (n, d) of what each layer rests on
        below[seen] = ((zero, zero), (one, zero));
        for i in (1..=seen).rev() {
            let (n, under) = below[i];
            below[i - 1] = interface(r[i], d[i - 1], n, under);
        }
        let (n, under) = below[0];
        let (above, under) = (fma(r[0], under, n), fma(r[0], n, under));
        let g = V::splat(chains.g[chain.j + chains.octave * t]);
        let at = chain.k + STRIDE * t;
        // r is `part` over the square of D's modulus
        let size = under.0.fma(under.0, under.1 * under.1);
        let part = (above.0.fma(under.0, above.1 * under.1), above.0.fnma(under.1, above.1 * under.0));
        let share = g / size;
        put(&mut field[at], share, part);
        put(&mut field[2 * layers * variables + at], share * V::splat(-0.5 * lambda2), part);
        // G/D²
        let turned = (under.0, zero - under.1);
        let (scale, square) = (share / size, times(turned, turned));
        let whole = (square.0 * scale, square.1 * scale);
        let mut kappa = times(whole, rates[0].rest);
        let mut upper = times(whole, spread(below[0]));
        for i in 0..=seen {
            let Rates { by_rho: [above, lower, depth], .. } = rates[i];
            if i == seen {
                put(&mut field[(1 + i) * variables + at], one, times(above, upper));
                break;
            }
            let decayed = times(kappa, (d[i].0 + one, d[i].1));
            let under = times(decayed, spread(below[i + 1]));
            let (n, own) = below[i];
            let h = thickness[i] * V::splat(lambda2);
            let deep = times(kappa, times(n, own));
            let deep = (deep.0 * h, deep.1 * h);
            put(
                &mut field[(1 + i) * variables + at],
                one,
                fma(above, upper, fma(lower, under, times(depth, deep))),
            );
            put(&mut field[(1 + layers + i) * variables + at], zero - one, times(u[i], deep));
            kappa = times(decayed, rates[i + 1].rest);
            upper = under;
            d[i] = doubled(d[i]);
        }
        lambda2 += lambda2;
    }
}

/// Onto a field.
#[inline(always)]
fn put<V: Lanes>(to: &mut [Row; 2], factor: V, value: Pair<V>) {
    value.0.fma(factor, V::load(&to[0])).store(&mut to[0]);
    value.1.fma(factor, V::load(&to[1])).store(&mut to[1]);
}

/// d² − n².
#[inline(always)]
fn spread<V: Lanes>((n, d): (Pair<V>, Pair<V>)) -> Pair<V> {
    times((d.0 - n.0, d.1 - n.1), (d.0 + n.0, d.1 + n.1))
}
