//! Eigenvalues, and the parts of one vector along their eigenvectors, by implicit QL steps on the tridiagonal form.
//!
//! Golub & Van Loan (2013), Matrix Computations, §8.3.5; the vector turns along with the rotations, which costs n² in
//! place of the 3 n³ of eigenvectors.
//! Belongs here: QL without eigenvectors. Not here: the form.

use super::Tridiagonal;
use crate::numerics::LinalgError;

impl Tridiagonal {
    /// Eigenvalues, and the part of z along the eigenvector of each: V diag(λ) Vᵀ = A, Vᵀz. In no order.
    ///
    /// # Errors
    /// `NoConvergence`.
    pub fn values_and_parts(&self, z: &[f64]) -> Result<(Vec<f64>, Vec<f64>), LinalgError> {
        let n = z.len();
        let (mut d, mut e, mut z) = (self.diagonal.clone(), self.beside.clone(), z.to_vec());
        self.turn(&mut z);
        e.push(0.0);
        let size = d.iter().chain(&e).fold(0.0_f64, |most, x| most.max(x.abs()));
        for l in 0..n {
            for round in 0.. {
                let m = (l..n).find(|&m| e[m].abs() <= f64::EPSILON * size).unwrap_or(n - 1);
                if m == l {
                    break;
                }
                if round == 60 {
                    return Err(LinalgError::NoConvergence);
                }
                ql_step(&mut d[l..=m], &mut e[l..=m], &mut z[l..=m]);
            }
        }
        Ok((d, z))
    }
}

/// One implicit QL step with Wilkinson's shift on a tridiagonal matrix whose last `e` is not in use; z turns along.
fn ql_step(d: &mut [f64], e: &mut [f64], z: &mut [f64]) {
    let m = d.len() - 1;
    let g = (d[1] - d[0]) / (2.0 * e[0]);
    let r = g.hypot(1.0);
    let mut g = d[m] - d[0] + e[0] / (g + r.copysign(g));
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (0..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = (f * f + g * g).sqrt();
        e[i + 1] = r;
        if r == 0.0 {
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        (s, c) = (f / r, g / r);
        g = d[i + 1] - p;
        let r = (d[i] - g) * s + 2.0 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        let (low, high) = (z[i], z[i + 1]);
        z[i + 1] = s * low + c * high;
        z[i] = c * low - s * high;
    }
    d[0] -= p;
    e[0] = g;
    e[m] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::super::tests::products;
    use super::*;
    use crate::numerics::linalg::{matvec_t, symmetric_eigen};

    #[test]
    fn they_are_those_of_the_whole_decomposition() {
        for n in [1, 2, 3, 8, 20, 77] {
            let a = products(n);
            let Some(form) = Tridiagonal::new(&a).unwrap() else { return };
            let z: Vec<f64> = (0..n).map(|i| (i as f64).cos()).collect();
            let (values, parts) = form.values_and_parts(&z).unwrap();
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
            let eigen = symmetric_eigen(&a).unwrap();
            let want = matvec_t(&eigen.vectors, &z);
            let most = eigen.values.iter().fold(0.0_f64, |m, x| m.max(x.abs()));
            for (k, &i) in order.iter().enumerate() {
                assert!((values[i] - eigen.values[k]).abs() < 1e-15 * n as f64 * most + 1e-300);
                // Signs are free; vectors turn by rounding over the gap
                assert!((parts[i].abs() - want[k].abs()).abs() < 1e-10, "{n}: {} {}", parts[i], want[k]);
            }
        }
    }
}
