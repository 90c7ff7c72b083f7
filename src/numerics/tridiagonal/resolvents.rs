//! The inverse square root of I + s A as a sum of resolvents of its tridiagonal form.
//!
//! Hale, Higham & Trefethen (2008), SIAM J. Numer. Anal. 46, 2505–2523, doi:10.1137/070700607, method 3 (shifts and
//! weights); Meurant (1992), SIAM J. Matrix Anal. Appl. 13, 707–728, doi:10.1137/0613045 (inverses of tridiagonal
//! matrices). All terms are positive: no digits are lost, whatever the condition.
//! Belongs here: functions of I + s A by its inverses. Not here: the form.
#![allow(unsafe_code)]

use super::Tridiagonal;
use crate::numerics::Mat;
use crate::numerics::gram::Kernel;

/// Resolvents that are worked on side by side.
const LANES: usize = 8;

impl Tridiagonal {
    /// (I + s A)^(−½) for s A ⪰ 0, to a few rounding errors of it.
    pub fn inverse_root(&self, s: f64) -> Mat {
        let n = self.diagonal.len();
        let (d, e) = self.shifted(s);
        let beside = |i: usize| e.get(i).map_or(0.0, |e| e.abs());
        // Gershgorin's circles
        let most = (0..n).map(|i| d[i] + beside(i) + if i > 0 { beside(i - 1) } else { 0.0 });
        let nodes = nodes(most.fold(1.0, f64::max));
        let mut f = Mat::zeros(n, n);
        self.kernel.add_resolvents(&nodes, &d, &e, &mut f);
        for j in 0..n {
            for i in 0..j {
                f[(j, i)] = f[(i, j)];
            }
        }
        self.back(&mut f);
        f
    }

    /// (I + s A)⁻¹ z for s A ⪰ 0.
    pub fn inverse_times(&self, s: f64, z: &[f64]) -> Vec<f64> {
        let n = z.len();
        let (mut d, e) = self.shifted(s);
        let mut x = z.to_vec();
        self.turn(&mut x);
        for i in 1..n {
            let factor = e[i - 1] / d[i - 1];
            d[i] -= factor * e[i - 1];
            x[i] -= factor * x[i - 1];
        }
        for i in (0..n).rev() {
            let next = if i + 1 < n { e[i] * x[i + 1] } else { 0.0 };
            x[i] = (x[i] - next) / d[i];
        }
        self.turn_back(&mut x);
        x
    }

    /// I + s T: diagonal, and beside it.
    fn shifted(&self, s: f64) -> (Vec<f64>, Vec<f64>) {
        let d = self.diagonal.iter().map(|d| 1.0 + s * d).collect();
        (d, self.beside.iter().map(|e| s * e).collect())
    }
}

/// Shifts and weights of `z^(−½) = Σ weight / (z + shift)` for 1 ≤ z ≤ `most`, to rounding.
///
/// The substitution z = −tn²(u) by the elliptic function with complementary modulus `most^(−½)` makes the integral
/// of Cauchy periodic, and the midpoint rule converges as `exp(−2π² N / (ln most + 3))`.
fn nodes(most: f64) -> Vec<(f64, f64)> {
    use std::f64::consts::{FRAC_PI_2, PI};
    let most = most.max(1.001);
    let count = ((most.ln() + 3.0) * 1.86).ceil() as usize;
    // Arithmetic and geometric means from 1 and k', k' = most^(−½); half of a difference below 1e-8 has its square next
    let k1 = most.sqrt().recip();
    let (mut means, mut b) = (vec![(1.0, (1.0 - 1.0 / most).sqrt())], k1);
    while let Some(&(a, _)) = means.last().filter(|(a, c)| c / a > 1e-8) {
        means.push((0.5 * (a + b), 0.5 * (a - b)));
        b = (a * b).sqrt();
    }
    let last = means.len() - 1;
    let quarter = FRAC_PI_2 / means[last].0; // K
    let factor = 2.0 * quarter / (PI * count as f64);
    let mut nodes = vec![(0.0, 0.0); count];
    for j in 0..count.div_ceil(2) {
        let u = (j as f64 + 0.5) * quarter / count as f64;
        let start = (1_u64 << last) as f64 * means[last].0 * u;
        let phi = means[1..].iter().rev().fold(start, |phi, (a, c)| 0.5 * ((c / a * phi.sin()).asin() + phi));
        let (sn, cn) = phi.sin_cos();
        let (tn, dn) = (sn / cn, (cn * cn + (1.0 - cn * cn) / most).sqrt());
        nodes[j] = (tn * tn, factor * dn * (1.0 + tn * tn));
        // tn(K − u) = 1 / (k' tn u), dn(K − u) = k' / dn u: without the digits that K − u would lose
        let (tn, dn) = (1.0 / (k1 * tn), k1 / dn);
        nodes[count - 1 - j] = (tn * tn, factor * dn * (1.0 + tn * tn));
    }
    nodes
}

impl Kernel {
    /// Upper triangle of F += Σ weight (T + shift)⁻¹.
    fn add_resolvents(self, nodes: &[(f64, f64)], d: &[f64], e: &[f64], f: &mut Mat) {
        match self {
            // SAFETY: a kernel is made by asking for the features, the one condition.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { x86::resolvents_512(nodes, d, e, f) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { x86::resolvents_256(nodes, d, e, f) },
        }
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
#[inline(always)]
fn resolvents_by(nodes: &[(f64, f64)], d: &[f64], e: &[f64], f: &mut Mat) {
    let n = d.len();
    // Pivots from above; G(i, i); G(i, j) = G(i + 1, j) ratio(i) above the diagonal, G the resolvent
    let mut above = vec![[0.0; LANES]; n];
    let (mut own, mut ratio) = (above.clone(), above.clone());
    let mut row = vec![0.0; n];
    for some in nodes.chunks(LANES) {
        let at = |l: usize| some.get(l).copied().unwrap_or((1.0, 0.0));
        let (shift, weight): ([f64; LANES], [f64; LANES]) =
            (std::array::from_fn(|l| at(l).0), std::array::from_fn(|l| at(l).1));
        let mut pivot = [f64::INFINITY; LANES];
        for i in 0..n {
            let b = if i > 0 { e[i - 1] } else { 0.0 };
            for l in 0..LANES {
                pivot[l] = d[i] + shift[l] - b * b / pivot[l];
            }
            above[i] = pivot;
        }
        pivot = [f64::INFINITY; LANES];
        for i in (0..n).rev() {
            let (b, before) = (if i + 1 < n { e[i] } else { 0.0 }, if i > 0 { e[i - 1] } else { 0.0 });
            for l in 0..LANES {
                let entry = d[i] + shift[l];
                pivot[l] = entry - b * b / pivot[l];
                own[i][l] = weight[l] / (above[i][l] + (pivot[l] - entry));
                ratio[i][l] = -before / pivot[l];
            }
        }
        for l in 0..some.len() {
            for j in 0..n {
                let r = ratio[j][l];
                let to = f.col_mut(j);
                for (x, f) in row[..j].iter_mut().zip(&mut to[..j]) {
                    *x *= r;
                    *f += *x;
                }
                row[j] = own[j][l];
                to[j] += own[j][l];
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Mat, resolvents_by};

    /// # Safety
    /// AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn resolvents_512(nodes: &[(f64, f64)], d: &[f64], e: &[f64], f: &mut Mat) {
        resolvents_by(nodes, d, e, f);
    }

    /// # Safety
    /// AVX2 and FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn resolvents_256(nodes: &[(f64, f64)], d: &[f64], e: &[f64], f: &mut Mat) {
        resolvents_by(nodes, d, e, f);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::products;
    use super::*;
    use crate::numerics::linalg::{matmul, matvec};

    #[test]
    fn the_sum_is_the_inverse_square_root() {
        for most in [1.0, 1.3, 2.0, 10.0, 1e3, 1e6, 1e8, 1e10] {
            let nodes = nodes(most);
            for k in 0..=40 {
                let z = f64::powf(most, f64::from(k) / 40.0);
                let sum: f64 = nodes.iter().map(|(shift, weight)| weight / (z + shift)).sum();
                // a few roundings of each term, and of the widest shifts
                assert!((sum * z.sqrt() - 1.0).abs() < 1e-13, "{most}: {sum} at {z}");
            }
        }
    }

    #[test]
    fn root_and_inverse_undo_the_matrix() {
        for (n, s) in [(1, 0.5), (2, 3.0), (5, 1e-9), (20, 1.0), (21, 1e3), (90, 0.2), (130, 1e5)] {
            let a = products(n);
            let Some(form) = Tridiagonal::new(&a).unwrap() else { return };
            let shifted = Mat::from_fn(n, n, |i, j| s * a[(i, j)] + f64::from(u8::from(i == j)));
            let root = form.inverse_root(s);
            let one = matmul(&matmul(&root, &shifted), &root);
            let off = |x: &Mat| {
                let far = |k: usize| (x.data()[k] - f64::from(u8::from(k % n == k / n))).abs();
                (0..n * n).map(far).fold(0.0, f64::max)
            };
            // roundings of A in units of its eigenvalues' range
            let range = 1.0 + s * (0..n).map(|i| a[(i, i)]).sum::<f64>();
            assert!(off(&one) < 1e-15 * n as f64 * range.sqrt() + 1e-14, "{n}: {}", off(&one));
            let z: Vec<f64> = (0..n).map(|i| (i as f64).sin() + 0.1).collect();
            let x = form.inverse_times(s, &z);
            let back = matvec(&shifted, &x);
            let size = range * x.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            let far = back.iter().zip(&z).fold(0.0_f64, |w, (a, b)| w.max((a - b).abs()));
            assert!(far < 1e-15 * n as f64 * size + 1e-15, "{n}: {far}");
        }
    }
}
