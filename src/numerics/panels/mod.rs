//! Products of small matrices with many rows, rows in vector lanes: the inner loops of small networks.
//!
//! Rows (examples) are cut into panels of [`Real::PANEL`] rows; within a panel each feature lies as one run of
//! numbers, so that the rows of a feature fill vector registers whatever the number of features, and nothing is
//! padded but the last panel. A weight is one number for all rows: it is broadcast.
//! Every output is one chain of fused multiply-adds in the order of its sum, and a sum over rows runs in a fixed
//! number of lanes: each vector width, and none, gives the same bits.
//!
//! Belongs here: the layout, three products (forward, back, outer), elementary functions of many numbers, their
//! dispatch by processor, floats as well as doubles. Not here: what a network is, losses, samplers.
//! (`lanes` next door has more operations, on doubles; here there is what a product of layers needs.)
#![allow(unsafe_code)]

mod functions;
mod lanes;
mod products;
mod real;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use functions::{gelu, tanh};
pub use lanes::Lanes;
pub use products::{After, affine, gather, outer, pull_back};
pub use real::{Kernel, Real};

/// Registers that a feature fills in a panel.
pub const DEEP: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// One layer forward, back and outer, on `panels` panels.
    struct Layer<'a, T> {
        fan_in: usize,
        fan_out: usize,
        panels: usize,
        x: &'a [T],
        w: &'a [T],
    }

    impl<T: Real> Kernel<T> for Layer<'_, T> {
        type Output = (Vec<T>, Vec<T>, Vec<T>);
        #[inline(always)]
        fn run<L: Lanes<Number = T>>(self) -> Self::Output {
            let (rows_in, rows_out) = (self.fan_in * T::PANEL, self.fan_out * T::PANEL);
            let mut out = vec![T::ZERO; self.panels * rows_out];
            let mut back = self.x.to_vec();
            for k in 0..self.panels {
                let x = &self.x[k * rows_in..(k + 1) * rows_in];
                let to = &mut out[k * rows_out..(k + 1) * rows_out];
                affine::<L>(x, self.w, true, After::Ramp, to);
                pull_back::<L>(to, self.w, After::Tanh, &mut back[k * rows_in..(k + 1) * rows_in]);
            }
            let mut g = vec![T::ZERO; self.w.len()];
            outer::<L>(self.panels, self.x, &out, true, &mut g);
            (out, back, g)
        }
    }

    fn numbers<T: Real>(n: usize, seed: f64) -> Vec<T> {
        (0..n).map(|k| T::of((seed + k as f64 * 0.754_877).sin())).collect()
    }

    /// All three products in plain words, sums in doubles.
    fn check<T: Real>(tolerance: f64) {
        for (fan_in, fan_out) in [(1, 1), (3, 4), (5, 7), (32, 18), (18, 1), (62, 62), (13, 11)] {
            let panels = 3;
            let x = numbers::<T>(panels * fan_in * T::PANEL, 0.3);
            let w = numbers::<T>((fan_in + 1) * fan_out, 1.1);
            let layer = || Layer { fan_in, fan_out, panels, x: &x, w: &w };
            let (out, back, g) = T::widest(layer());
            let (out_plain, back_plain, g_plain) = T::plain(layer());
            assert!(out == out_plain && back == back_plain && g == g_plain, "{fan_in} {fan_out}: bits");
            let at = |a: &[T], features: usize, row: usize, f: usize| {
                a[(row / T::PANEL * features + f) * T::PANEL + row % T::PANEL].wide()
            };
            let rows = panels * T::PANEL;
            for row in (0..rows).step_by(7) {
                for j in 0..fan_out {
                    let z =
                        (0..fan_in).map(|i| at(&x, fan_in, row, i) * w[i * fan_out + j].wide()).sum::<f64>();
                    let z = (z + w[fan_in * fan_out + j].wide()).max(0.0);
                    assert!((z - at(&out, fan_out, row, j)).abs() < tolerance * fan_in as f64);
                }
                for i in 0..fan_in {
                    let e: f64 =
                        (0..fan_out).map(|j| at(&out, fan_out, row, j) * w[i * fan_out + j].wide()).sum();
                    let e = e * (1.0 - at(&x, fan_in, row, i).powi(2));
                    assert!((e - at(&back, fan_in, row, i)).abs() < tolerance * 10.0 * fan_out as f64);
                }
            }
            for i in 0..=fan_in {
                for j in 0..fan_out {
                    let x = |row| if i < fan_in { at(&x, fan_in, row, i) } else { 1.0 };
                    let sum: f64 = (0..rows).map(|row| x(row) * at(&out, fan_out, row, j)).sum();
                    assert!((sum - g[i * fan_out + j].wide()).abs() < tolerance * 10.0 * rows as f64);
                }
            }
        }
    }

    #[test]
    fn products_are_those_of_plain_loops_at_every_width() {
        check::<f64>(1e-15); // round-off of a term of size one, times the number of terms
        check::<f32>(5e-7);
    }

    #[test]
    fn rows_are_gathered_into_panels_with_zeros_behind() {
        let table: Vec<f64> = (0..30).map(f64::from).collect();
        let mut out = vec![9.0; 3 * f64::PANEL];
        gather(&table, 3, &[9, 0, 9, 4], &mut out);
        for (f, feature) in out.chunks(f64::PANEL).enumerate() {
            let want = [27.0, 0.0, 27.0, 12.0].map(|x| x + f as f64);
            assert!(feature[..4] == want && feature[4..].iter().all(|x| *x == 0.0));
        }
    }

    #[test]
    fn what_is_no_number_stays_so() {
        let x = vec![f64::NAN; f64::PANEL];
        let layer = Layer { fan_in: 1, fan_out: 1, panels: 1, x: &x, w: &[1.0, 0.0] };
        assert!(f64::widest(layer).0.iter().all(|x| x.is_nan()));
    }
}
