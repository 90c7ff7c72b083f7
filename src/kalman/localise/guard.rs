//! Is a localised step too long?
//!
//! A rule that edits C_ug and leaves C_gg makes a joint matrix that need not be a covariance. In directions that the
//! members do not span, C_gg + Γ/Δt is Γ/Δt alone, and where a parameter's variance exceeds twice the noise, the step
//! overshoots more each time. For Δt → 0 the step goes downhill, so halving it helps.
//! Belongs here: the prediction that finds out. Not here: what is done then (`groups`).

use crate::numerics::Mat;
use crate::numerics::columns::dot;
use crate::numerics::linalg;
use crate::problem::observation::Noise;

/// What a step was made of.
pub(super) struct Walked<'a> {
    /// Centred parameters, d × J
    pub(super) x: &'a Mat,
    /// Centred outputs, p × J
    pub(super) y: &'a Mat,
    /// C_ug, localised, d × p
    pub(super) ug: &'a Mat,
    /// Variance of each parameter, d
    pub(super) variance: &'a [f64],
    /// What was missing to the (perturbed) observation, p × J
    pub(super) e: &'a Mat,
    /// The step, d × J
    pub(super) change: &'a Mat,
    /// Γ
    pub(super) noise: &'a Noise,
}

impl Walked<'_> {
    /// Weighted misfit before, and after by a linear model, summed over members.
    ///
    /// The model is `c H`, `H = C_gu diag(C_uu)⁻¹` of the localised covariances: it knows also what a step out of the
    /// members' span does. c in 0 to 1 is the best fit of `c H x` to y, for parameters that covary count twice in H.
    pub(super) fn misfits(&self) -> (f64, f64) {
        let predict = |steps: &Mat| {
            let entry = |i: usize, j: usize| {
                if self.variance[i] > 0.0 { steps[(i, j)] / self.variance[i] } else { 0.0 }
            };
            let mut g = linalg::matmul_tn(self.ug, &Mat::from_fn(steps.nrows(), steps.ncols(), entry));
            self.noise.whiten(&mut g);
            g
        };
        let white = |a: &Mat| {
            let mut a = a.clone();
            self.noise.whiten(&mut a);
            a
        };
        let (known, seen) = (predict(self.x), white(self.y));
        let square = dot(known.data(), known.data());
        let c = if square > 0.0 { (dot(known.data(), seen.data()) / square).clamp(0.0, 1.0) } else { 0.0 };
        let (e, moved) = (white(self.e), predict(self.change));
        let after = e.data().iter().zip(moved.data()).map(|(e, m)| (e - c * m).powi(2)).sum();
        (dot(e.data(), e.data()), after)
    }
}
