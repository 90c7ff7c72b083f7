//! Losses: the mean over all n · d_out entries of a function of the residual.
//!
//! λ does not depend on a constant factor in front of L as n grows, but an estimate at finite n and the strength of γ
//! beside nβ do: every row of results says which loss it was.

use crate::numerics::panels::Real;

/// A loss of residuals r = ŷ − y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// r²
    Mse,
    /// r²/(2σ²): the negative logarithm of a normal likelihood but for a constant; σ²
    Gauss(f64),
    /// ½(ν+1) ln(1 + r²/(νσ²)); ν and νσ²
    T(f64, f64),
}

impl Loss {
    /// Their names.
    pub const WORDS: [&'static str; 3] = ["mse", "gauss_nll", "t_regression"];

    /// By name, with σ and ν.
    pub fn of(word: &str, noise_scale: f64, student_df: f64) -> Option<Self> {
        Some(match word {
            "mse" => Self::Mse,
            "gauss_nll" => Self::Gauss(noise_scale * noise_scale),
            "t_regression" => Self::T(student_df, student_df * noise_scale * noise_scale),
            _ => return None,
        })
    }

    /// Outputs of one feature of a panel become its errors ∂L/∂ŷ; the sum of its losses is given back, taken in
    /// doubles over eight lanes. Rows from `valid` on count for nothing; `terms` = n · d_out.
    #[inline(always)]
    pub(super) fn errors<T: Real>(self, out: &mut [T], y: &[T], valid: usize, terms: f64) -> f64 {
        for i in 0..out.len() {
            out[i] = if i < valid { out[i] - y[i] } else { T::ZERO };
        }
        let mut sums = [0.0_f64; 8];
        match self {
            Self::Mse | Self::Gauss(_) => {
                for eight in out.chunks_exact(8) {
                    for l in 0..8 {
                        let r = eight[l].wide();
                        sums[l] += r * r;
                    }
                }
                let (factor, scale) = match self {
                    Self::Gauss(s) => (T::of(1.0 / (terms * s)), 0.5 / s),
                    _ => (T::of(2.0 / terms), 1.0),
                };
                for r in out.iter_mut() {
                    *r *= factor;
                }
                for s in &mut sums {
                    *s *= scale;
                }
            }
            Self::T(nu, q) => {
                for eight in out.chunks_exact_mut(8) {
                    for l in 0..8 {
                        let r = eight[l].wide();
                        sums[l] += 0.5 * (nu + 1.0) * (r * r / q).ln_1p();
                        eight[l] = T::of((nu + 1.0) * r / (q + r * r) / terms);
                    }
                }
            }
        }
        ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
    }
}
