//! The dense form: the joint covariance of parameters and outputs, localised, in the formula of the paper.
//!
//! Belongs here: covariances of [u; g] as matrices, what a localiser does to them, the step that uses them.
//! Not here: products that are linear in p.

use super::Plan;
use super::sec::Within;
use crate::numerics::columns::add_scaled;
use crate::numerics::linalg;
use crate::numerics::{LinalgError, Mat};

/// The covariance of [u; g], in three of its four blocks (divisor J).
#[derive(Debug, Clone)]
pub(crate) struct Joint {
    /// d × d
    pub(crate) uu: Mat,
    /// d × p
    pub(crate) ug: Mat,
    /// p × p
    pub(crate) gg: Mat,
}

impl Joint {
    /// Of centred parameters `x` (d × J) and centred outputs `y` (p × J), with ε on the diagonal.
    pub(crate) fn new(x: &Mat, y: &Mat, nugget: f64) -> Self {
        let n = x.ncols() as f64;
        let over = |mut c: Mat| {
            c.data_mut().iter_mut().for_each(|c| *c /= n);
            c
        };
        let square = |a: &Mat| {
            let mut c = over(linalg::gram(&a.transpose()));
            (0..c.nrows()).for_each(|i| c[(i, i)] += nugget);
            c
        };
        Self { uu: square(x), ug: over(linalg::matmul_nt(x, y)), gg: square(y) }
    }

    /// Of [u; g; u]: a prior that is imposed makes the parameters outputs, too. ε stays off their cross block.
    pub(crate) fn with_prior(self, nugget: f64) -> Self {
        let (d, p) = (self.uu.nrows(), self.gg.nrows());
        let entry = |i: usize, k: usize| match (i < p, k < p) {
            (true, true) => self.gg[(i, k)],
            (true, false) => self.ug[(k - p, i)],
            (false, true) => self.ug[(i - p, k)],
            (false, false) => self.uu[(i - p, k - p)],
        };
        let gg = Mat::from_fn(p + d, p + d, entry);
        let exact = |i: usize, k: usize| self.uu[(i, k)] - if i == k { nugget } else { 0.0 };
        let ug = Mat::from_fn(d, p + d, |i, k| if k < p { self.ug[(i, k)] } else { exact(i, k - p) });
        Self { uu: self.uu, ug, gg }
    }

    /// What the rule leaves. A kernel weighs the first p columns of C_ug alone: the place of a parameter among
    /// the outputs of an imposed prior says nothing.
    pub(crate) fn localise(&mut self, plan: &Plan, members: usize) {
        match plan {
            Plan::Kernel(kernel, _) => {
                for k in 0..kernel.ncols() {
                    self.ug.col_mut(k).iter_mut().zip(kernel.col(k)).for_each(|(c, w)| *c *= w);
                }
            }
            Plan::Correction(rule, _) => {
                let (su, sg) = (deviations(&self.uu), deviations(&self.gg));
                correlated(&mut self.ug, &su, &sg, |rho| rule.cross(rho, members));
                correlated(&mut self.gg, &sg, &sg, |rho| rule.within(rho, members, Within::Outputs));
                correlated(&mut self.uu, &su, &su, |rho| rule.within(rho, members, Within::Parameters));
            }
        }
    }

    /// `C_ug (C_gg + R)⁻¹ E` (d × J), and `C_uu − C_ug (C_gg + R)⁻¹ C_gu` (d × d).
    ///
    /// # Errors
    /// `NotFinite`.
    pub(crate) fn analysis(&self, r: &Mat, e: &Mat) -> Result<(Mat, Mat), LinalgError> {
        let (d, p) = (self.uu.nrows(), self.gg.nrows());
        let mut system = self.gg.clone();
        add_scaled(system.data_mut(), 1.0, r.data());
        let members = e.ncols();
        // E and C_gu side by side: one factorisation for both
        let right = |i: usize, j: usize| if j < members { e[(i, j)] } else { self.ug[(j - members, i)] };
        let mut both = Mat::from_fn(p, members + d, right);
        linalg::solve_symmetric(&system, &mut both)?;
        let product = linalg::matmul(&self.ug, &both); // d × (J + d)
        let change = Mat::from_fn(d, members, |i, j| product[(i, j)]);
        let left = |i: usize, k: usize| 0.5 * (product[(i, members + k)] + product[(k, members + i)]);
        Ok((change, Mat::from_fn(d, d, |i, k| self.uu[(i, k)] - left(i, k))))
    }
}

/// Roots of the diagonal of `c` (n × n): n numbers.
pub(super) fn deviations(c: &Mat) -> Vec<f64> {
    (0..c.nrows()).map(|i| c[(i, i)].sqrt()).collect()
}

/// Let a rule work on correlations, and make covariances of them again. What does not vary correlates with nothing.
/// `c` is m × n; `rows` and `cols` are its m and n standard deviations.
pub(super) fn correlated(c: &mut Mat, rows: &[f64], cols: &[f64], rule: impl FnOnce(&mut Mat)) {
    let scale = |c: &mut Mat, by: &dyn Fn(f64, f64) -> f64| {
        for (k, sk) in cols.iter().enumerate() {
            c.col_mut(k).iter_mut().zip(rows).for_each(|(c, si)| *c = by(*c, si * sk));
        }
    };
    scale(c, &|c, s| if s > 0.0 { c / s } else { 0.0 });
    rule(c);
    scale(c, &|c, s| c * s);
}
