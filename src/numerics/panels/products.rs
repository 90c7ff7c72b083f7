//! The three products of a layer: forward, back, and the outer product summed over rows.
//!
//! Weights are `fan_in × fan_out`, row after row, as the parameter vector has them; a bias is one row more, so
//! that weights and bias of a layer are one matrix. A panel has `features × PANEL` numbers.
//! No closures and no iterators that take one inside the loops: they are functions of their own, which would not be
//! compiled for the processor's widest registers.
#![allow(clippy::needless_range_loop)]

use crate::numerics::panels::{DEEP, Lanes, Real};

/// Outputs whose sums stay in registers together: 6 × 4 of the 32 of AVX-512, with 4 for what they are made of.
const ACROSS: usize = 6;
/// Rows of weights whose gradients do.
const DOWN: usize = 4;

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing
    Keep,
    /// forward: max(0, z); back: 0 where what lies at its place is not above 0
    Ramp,
    /// back: times 1 − a², a being what lies at its place
    Tanh,
}

/// Parts of at most `most` that `n` is cut into, as even as can be: how many, and their lengths.
#[derive(Clone, Copy)]
struct Parts {
    count: usize,
    base: usize,
    longer: usize,
}

impl Parts {
    #[inline(always)]
    fn new(n: usize, most: usize) -> Self {
        let count = n.div_ceil(most);
        Self { count, base: n / count.max(1), longer: n % count.max(1) }
    }
    /// Start and length of part `k`.
    #[inline(always)]
    fn at(self, k: usize) -> (usize, usize) {
        (k * self.base + k.min(self.longer), self.base + usize::from(k < self.longer))
    }
}

/// For each of 1 to 6 its own copy of the loop, with that many sums in registers.
macro_rules! sized {
    ($length:expr, $tile:ident :: < $($t:ty),* > ( $($arg:expr),* )) => {
        match $length {
            1 => $tile::<$($t,)* 1>($($arg),*),
            2 => $tile::<$($t,)* 2>($($arg),*),
            3 => $tile::<$($t,)* 3>($($arg),*),
            4 => $tile::<$($t,)* 4>($($arg),*),
            5 => $tile::<$($t,)* 5>($($arg),*),
            _ => $tile::<$($t,)* 6>($($arg),*),
        }
    };
}

/// One panel: out_j = b_j + Σᵢ x_i W_ij.
///
/// | argument | shape |
/// |---|---|
/// | `x` | fan_in × PANEL |
/// | `w` | (fan_in + 1 with `bias`) × fan_out |
/// | `out` | fan_out × PANEL |
#[inline(always)]
pub fn affine<L: Lanes>(x: &[L::Number], w: &[L::Number], bias: bool, after: After, out: &mut [L::Number]) {
    let panel = L::Number::PANEL;
    let (fan_in, fan_out) = (x.len() / panel, out.len() / panel);
    assert!(w.len() == (fan_in + usize::from(bias)) * fan_out, "weights of another shape");
    let parts = Parts::new(fan_out, ACROSS);
    for k in 0..parts.count {
        let (start, length) = parts.at(k);
        let sum = Sum { x: x.as_ptr(), terms: fan_in, w: w[start..].as_ptr(), next: fan_out, beside: 1 };
        let bias = if bias { Some(w[fan_in * fan_out + start..].as_ptr()) } else { None };
        let out = out[start * panel..(start + length) * panel].as_mut_ptr();
        // SAFETY: `length` outputs from `start` on exist in w, bias and out, by the assertion and the slices.
        unsafe { sized!(length, tile::<L>(sum, bias, after, false, out)) };
    }
}

/// One panel: out_i = (Σⱼ δ_j W_ij) · slope, the slope of the activation being told from what lies in `out`.
///
/// | argument | shape |
/// |---|---|
/// | `delta` | fan_out × PANEL |
/// | `w` | fan_in × fan_out, more may follow |
/// | `out` | fan_in × PANEL: activations in, errors out |
#[inline(always)]
pub fn pull_back<L: Lanes>(delta: &[L::Number], w: &[L::Number], after: After, out: &mut [L::Number]) {
    let panel = L::Number::PANEL;
    let (fan_in, fan_out) = (out.len() / panel, delta.len() / panel);
    assert!(w.len() >= fan_in * fan_out, "weights of another shape");
    let parts = Parts::new(fan_in, ACROSS);
    for k in 0..parts.count {
        let (start, length) = parts.at(k);
        let w = w[start * fan_out..].as_ptr();
        let sum = Sum { x: delta.as_ptr(), terms: fan_out, w, next: 1, beside: fan_out };
        let out = out[start * panel..(start + length) * panel].as_mut_ptr();
        // SAFETY: `length` rows of w from `start` on exist, by the assertion, and of out, by the slice.
        unsafe { sized!(length, tile::<L>(sum, None, after, true, out)) };
    }
}

/// Where the terms of a sum lie.
#[derive(Clone, Copy)]
struct Sum<T> {
    /// terms × PANEL
    x: *const T,
    terms: usize,
    w: *const T,
    /// From a weight to that of the next term
    next: usize,
    /// From a weight to that of the next output
    beside: usize,
}

#[inline(always)]
unsafe fn tile<L: Lanes, const J: usize>(
    sum: Sum<L::Number>,
    bias: Option<*const L::Number>,
    after: After,
    back: bool,
    out: *mut L::Number,
) {
    let (lanes, panel) = (L::Number::LANES, L::Number::PANEL);
    // SAFETY: the caller's promise: J outputs, `terms` terms.
    unsafe {
        let mut sums = [[L::splat(L::Number::ZERO); DEEP]; J];
        if let Some(bias) = bias {
            for j in 0..J {
                sums[j] = [L::splat(*bias.add(j)); DEEP];
            }
        }
        let (mut x, mut w) = (sum.x, sum.w);
        for _ in 0..sum.terms {
            let x4 =
                [L::load(x), L::load(x.add(lanes)), L::load(x.add(2 * lanes)), L::load(x.add(3 * lanes))];
            for j in 0..J {
                let weight = L::splat(*w.add(j * sum.beside));
                for v in 0..DEEP {
                    sums[j][v] = x4[v].fused(weight, sums[j][v]);
                }
            }
            x = x.add(panel);
            w = w.add(sum.next);
        }
        for j in 0..J {
            for v in 0..DEEP {
                let sum = sums[j][v];
                let place = out.add(j * panel + v * lanes);
                let value = match (after, back) {
                    (After::Ramp, false) => sum.ramp(),
                    (After::Ramp, true) => sum.where_positive(L::load(place)),
                    (After::Tanh, true) => sum.times_one_minus_square(L::load(place)),
                    _ => sum,
                };
                value.store(place);
            }
        }
    }
}

/// Some panels: G_ij += Σ over rows x_i δ_j, and with `bias` a last row Σ over rows δ_j.
///
/// | argument | shape |
/// |---|---|
/// | `x` | panels × fan_in × PANEL |
/// | `delta` | panels × fan_out × PANEL |
/// | `g` | (fan_in + 1 with `bias`) × fan_out |
#[inline(always)]
pub fn outer<L: Lanes>(panels: usize, x: &[L::Number], delta: &[L::Number], bias: bool, g: &mut [L::Number]) {
    let panel = L::Number::PANEL;
    let (fan_in, fan_out) = (x.len() / (panels * panel), delta.len() / (panels * panel));
    let rows = fan_in + usize::from(bias);
    assert!(x.len() == panels * fan_in * panel && delta.len() == panels * fan_out * panel, "whole panels");
    assert!(g.len() == rows * fan_out, "gradient of another shape");
    let ones = [L::Number::ONE; 64];
    let ones = &ones[..panel];
    let (downs, acrosses) = (Parts::new(rows, DOWN), Parts::new(fan_out, ACROSS));
    for k in 0..downs.count {
        let (i0, down) = downs.at(k);
        // Rows of x, and ones for the bias: their start, and the way to the next panel
        let mut x4 = [(ones.as_ptr(), 0); DOWN];
        for i in 0..down {
            if i0 + i < fan_in {
                x4[i] = (x[(i0 + i) * panel..].as_ptr(), fan_in * panel);
            }
        }
        for k in 0..acrosses.count {
            let (j0, across) = acrosses.at(k);
            let delta = Deltas { from: delta[j0 * panel..].as_ptr(), next: fan_out * panel };
            let g = &mut g[i0 * fan_out + j0..];
            // SAFETY: `down` rows and `across` columns exist from here on in x or ones, delta and g, in all panels.
            unsafe {
                match down {
                    1 => sized!(across, dots::<L, Down<1>>(panels, x4, delta, fan_out, g)),
                    2 => sized!(across, dots::<L, Down<2>>(panels, x4, delta, fan_out, g)),
                    3 => sized!(across, dots::<L, Down<3>>(panels, x4, delta, fan_out, g)),
                    _ => sized!(across, dots::<L, Down<4>>(panels, x4, delta, fan_out, g)),
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Deltas<T> {
    from: *const T,
    next: usize,
}

trait Rows {
    const I: usize;
}
struct Down<const I: usize>;
impl<const I: usize> Rows for Down<I> {
    const I: usize = I;
}

#[inline(always)]
unsafe fn dots<L: Lanes, R: Rows, const J: usize>(
    panels: usize,
    x: [(*const L::Number, usize); DOWN],
    delta: Deltas<L::Number>,
    stride: usize,
    g: &mut [L::Number],
) {
    let (lanes, panel) = (L::Number::LANES, L::Number::PANEL);
    // SAFETY: the caller's promise: I rows of x and J of delta in all panels.
    unsafe {
        let mut sums = [[L::splat(L::Number::ZERO); J]; DOWN];
        let mut rows = x;
        let mut d = delta.from;
        for _ in 0..panels {
            for v in 0..DEEP {
                let mut dj = [L::splat(L::Number::ZERO); J];
                for j in 0..J {
                    dj[j] = L::load(d.add(j * panel + v * lanes));
                }
                for i in 0..R::I {
                    let xi = L::load(rows[i].0.add(v * lanes));
                    for j in 0..J {
                        sums[i][j] = xi.fused(dj[j], sums[i][j]);
                    }
                }
            }
            for i in 0..R::I {
                rows[i].0 = rows[i].0.add(rows[i].1);
            }
            d = d.add(delta.next);
        }
        for i in 0..R::I {
            for j in 0..J {
                g[i * stride + j] += sums[i][j].sum();
            }
        }
    }
}

/// Rows of a table become panels: row `rows[k]` is example k, what is left of the last panel is zero.
///
/// | argument | shape |
/// |---|---|
/// | `table` | any number × `features`, row after row |
/// | `out` | panels × features × PANEL, panels = ⌈rows / PANEL⌉ |
///
/// # Panics
/// A row that the table does not have; `out` of another length.
#[inline(always)]
pub fn gather<T: Real>(table: &[T], features: usize, rows: &[u32], out: &mut [T]) {
    assert!(out.len() == rows.len().div_ceil(T::PANEL) * features * T::PANEL, "whole panels");
    let mut most = 0;
    for &row in rows {
        most = most.max(row);
    }
    assert!(rows.is_empty() || (most as usize) < table.len() / features, "rows of the table");
    for (rows, out) in rows.chunks(T::PANEL).zip(out.chunks_exact_mut(features * T::PANEL)) {
        if rows.len() < T::PANEL {
            out.fill(T::ZERO);
        }
        for f in 0..features {
            let out = &mut out[f * T::PANEL..(f + 1) * T::PANEL];
            for k in 0..rows.len() {
                // SAFETY: the largest row is within the table, and f < features; k < PANEL.
                unsafe { *out.get_unchecked_mut(k) = *table.get_unchecked(rows[k] as usize * features + f) };
            }
        }
    }
}
