//! From Laplace variables to gates: nodes on a ray, and weights that are right for every decay.
//!
//! A gate is Σ_k wr_k Re F(s_k) + wi_k Im F(s_k) with F = −H/s. The weights come from least squares over decays
//! e^{−αt}: 1/(s_k + α) must give T(α). Rows that hold back rounding keep them as small as double precision needs.

use std::f64::consts::{LN_10, PI};

use crate::models::tem1d::gates::Moment;
use crate::numerics::complex::Complex;
use crate::numerics::{Mat, linalg};

/// The angle of the ray: Re u stays comfortably above zero, and the time axis is well sampled.
const ANGLE: f64 = 80.0 * PI / 180.0;
/// Decays a decade.
const DECAYS: f64 = 12.0;

/// A gate: its moment, its number there, its row of the result.
type Row = (usize, usize, usize);

/// Log-spaced numbers, both ends included, about `per_decade` to a decade.
fn spaced(from: f64, to: f64, per_decade: f64) -> Vec<f64> {
    let decades = (to / from).log10();
    let n = (per_decade * decades).round().max(1.0);
    (0..=n as usize).map(|k| from * 10_f64.powf(decades * k as f64 / n)).collect()
}

/// s_k for times from `first` to `last`, three to two octaves; `wide` for large loops on conductive ground.
pub(super) fn ray(first: f64, last: f64, wide: bool) -> Vec<Complex> {
    let (from, to) = (0.1 / last, if wide { 1000.0 } else { 100.0 } / first);
    let n = (1.5 * (to / from).log2()).round();
    // Both ends move by as much
    let start = (from * to).sqrt() * (-n / 3.0).exp2();
    (0..=n as usize).map(|k| Complex::polar(start * (k as f64 / 1.5).exp2(), ANGLE)).collect()
}

/// Weights of every gate of every moment, a row each: wr_1, wi_1, wr_2, … (rows × 2 N_s).
pub(super) fn weights(moments: &[Moment], s: &[Complex], first: f64, last: f64) -> Mat {
    let alphas = spaced(1e-3 / last, 1e4 / first, DECAYS);
    let rows: usize = moments.iter().map(|m| m.gates.len()).sum();
    let mut all = Mat::zeros(2 * s.len(), rows);
    let mut row = 0;
    // Gates at one time share their matrix, whatever the quantity.
    let mut solved: Vec<(f64, Vec<Row>)> = Vec::new();
    for (m, moment) in moments.iter().enumerate() {
        for k in 0..moment.gates.len() {
            let t = moment.since_off(k);
            match solved.iter_mut().find(|(time, _)| *time == t) {
                Some((_, gates)) => gates.push((m, k, row)),
                None => solved.push((t, vec![(m, k, row)])),
            }
            row += 1;
        }
    }
    for (t, gates) in solved {
        let (matrix, om) = system(s, &alphas, t);
        let scale = |m: usize, k: usize| {
            let own = moments[m].scale.abs();
            if moments[m].quantity == crate::models::tem1d::gates::Quantity::B {
                own
            } else {
                own / moments[m].since_off(k)
            }
        };
        let mut rhs = Mat::zeros(matrix.nrows(), gates.len());
        for (column, &(m, k, _)) in gates.iter().enumerate() {
            for (i, (alpha, om)) in alphas.iter().zip(&om).enumerate() {
                rhs[(i, column)] = om * moments[m].decay(k, *alpha) / scale(m, k);
            }
        }
        let found = linalg::least_squares(&matrix, &rhs);
        for (column, &(m, k, row)) in gates.iter().enumerate() {
            let w = found.col(column).iter().map(|w| w * scale(m, k));
            all.col_mut(row).iter_mut().zip(w).for_each(|(to, w)| *to = w);
            filtered(all.col_mut(row), s, &moments[m].lowpass);
        }
    }
    all.transpose()
}

/// Rows for decays, and rows that hold back rounding; the weights of the former.
fn system(s: &[Complex], alphas: &[f64], t: f64) -> (Mat, Vec<f64>) {
    let n = s.len();
    // More weight on quick decays serves small loops at late times, less serves large ones at early times.
    let om: Vec<f64> = alphas.iter().map(|a| a * t).collect();
    let mut matrix = Mat::zeros(alphas.len() + 2 * n, 2 * n);
    for (k, s) in s.iter().enumerate() {
        let mut sum = Complex::default();
        for (i, (alpha, om)) in alphas.iter().zip(&om).enumerate() {
            let one = Complex::real(*om) / (*s + Complex::real(*alpha));
            matrix[(i, 2 * k)] = one.re;
            matrix[(i, 2 * k + 1)] = one.im;
            sum = sum + one;
        }
        let rounding = 3.0 * 3e-16 * sum.abs() * LN_10 / DECAYS;
        matrix[(alphas.len() + 2 * k, 2 * k)] = rounding;
        matrix[(alphas.len() + 2 * k + 1, 2 * k + 1)] = rounding;
    }
    (matrix, om)
}

/// Weights of the unfiltered field into weights of the filtered one: F(s_k) is multiplied by Π 1/(1 + s_k/(2πf)).
fn filtered(weights: &mut [f64], s: &[Complex], lowpass: &[f64]) {
    for (pair, s) in weights.chunks_exact_mut(2).zip(s) {
        let one = Complex::real(1.0);
        let c = lowpass.iter().fold(one, |c, f| c / (one + s.scale(0.5 / (PI * f))));
        (pair[0], pair[1]) = (pair[0] * c.re + pair[1] * c.im, pair[1] * c.re - pair[0] * c.im);
    }
}
