//! The reflection coefficient of a layered earth for the transverse electric mode, one wavenumber at a time.
//!
//! u_i = √(λ² + μ₀ s σ_i); the naive u_i − u_{i+1} loses all digits at late times, so that it is never formed.
//!
//! # Source
//! Ward & Hohmann (1988), in Nabighian, Electromagnetic Methods in Applied Geophysics 1, SEG.

use crate::numerics::complex::Complex;

/// Magnetic permeability of free space, H/m.
pub(super) const MU0: f64 = 4e-7 * std::f64::consts::PI;
/// Deeper layers change r by less than e^−80.
pub(super) const DEEP: f64 = 80.0;

/// A layered earth, top to bottom; the last layer has no bottom.
#[derive(Debug, Clone, PartialEq)]
pub struct Earth {
    /// Ω m, one per layer
    pub resistivity: Vec<f64>,
    /// m, one less
    pub thickness: Vec<f64>,
    /// Chargeability, one per layer; none without induced polarisation
    pub polarisation: Vec<ColeCole>,
}

/// Induced polarisation of a layer: ρ(s) = ρ₀ (1 − m (1 − 1/(1 + (sτ)^c))).
///
/// # Source
/// Pelton, Ward, Hallof, Sill & Nelson (1978), Geophysics 43, 588–609, doi:10.1190/1.1440839.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColeCole {
    /// Chargeability, 0 to 1
    pub m: f64,
    /// Time constant, s
    pub tau: f64,
    /// Exponent
    pub c: f64,
}

impl Earth {
    /// Layers without induced polarisation.
    pub fn new(resistivity: Vec<f64>, thickness: Vec<f64>) -> Self {
        Self { resistivity, thickness, polarisation: Vec::new() }
    }

    /// Conductivity of layer `i` at Laplace variable `s`, S/m.
    pub(super) fn conductivity(&self, i: usize, s: Complex) -> Complex {
        let rho = self.resistivity[i];
        let Some(ip) = self.polarisation.get(i).filter(|ip| ip.m != 0.0) else {
            return Complex::real(1.0 / rho);
        };
        let one = Complex::real(1.0);
        let relaxed = one / (one + s.scale(ip.tau).powf(ip.c));
        one / (one - (one - relaxed).scale(ip.m)).scale(rho)
    }
}

/// r(λ, s), dimensionless; λ in 1/m, s in 1/s.
pub fn reflection(earth: &Earth, lambda: f64, s: Complex) -> Complex {
    let one = Complex::real(1.0);
    let mut gamma = Complex::default();
    // The layer below: w = μ₀ s σ, u
    let mut below: Option<(Complex, Complex)> = None;
    for i in (0..earth.resistivity.len()).rev() {
        let w = earth.conductivity(i, s) * s.scale(MU0);
        let u = (Complex::real(lambda * lambda) + w).sqrt();
        if let Some((under, v)) = below {
            let between = (w - under) / ((u + v) * (u + v));
            let x = u.scale(-2.0 * earth.thickness[i]);
            let decay = Complex::new(x.re.max(-DEEP), x.im).exp();
            gamma = decay * (between + gamma) / (one + between * gamma);
        }
        below = Some((w, u));
    }
    let (w, u) = below.unwrap_or_default();
    let sum = Complex::real(lambda) + u;
    let top = -w / (sum * sum);
    (top + gamma) / (one + top * gamma)
}

/// Everything about one (λ, s), for derivatives as in textbooks, which those along the chains are held against.
#[cfg(test)]
struct Wave {
    u: Vec<Complex>,
    /// Γ at the top of each layer below the first interface: Γ_i, i = 1 … L, with Γ_L = 0
    gamma: Vec<Complex>,
    /// R_i = between layer i and the one below, i = 1 … L − 1
    between: Vec<Complex>,
    /// E_i = e^{−2 u_i h_i}
    decay: Vec<Complex>,
    top: Complex,
    r: Complex,
}

#[cfg(test)]
impl Wave {
    fn new(earth: &Earth, w: &[Complex], lambda: f64) -> Self {
        let (n, one) = (w.len(), Complex::real(1.0));
        let u: Vec<Complex> = w.iter().map(|w| (Complex::real(lambda * lambda) + *w).sqrt()).collect();
        let mut gamma = vec![Complex::default(); n];
        let mut between = vec![Complex::default(); n];
        let mut decay = vec![Complex::default(); n];
        for i in (0..n - 1).rev() {
            let sum = u[i] + u[i + 1];
            between[i] = (w[i] - w[i + 1]) / (sum * sum);
            let x = u[i].scale(-2.0 * earth.thickness[i]);
            decay[i] = Complex::new(x.re.max(-DEEP), x.im).exp();
            gamma[i] = decay[i] * (between[i] + gamma[i + 1]) / (one + between[i] * gamma[i + 1]);
        }
        let sum = Complex::real(lambda) + u[0];
        let top = -w[0] / (sum * sum);
        let r = (top + gamma[0]) / (one + top * gamma[0]);
        Self { u, gamma, between, decay, top, r }
    }
}

/// r and its derivatives: by ln ρ of each layer, then by ln h of each layer but the last. Without polarisation.
#[cfg(test)]
pub(super) fn derivatives(earth: &Earth, lambda: f64, s: Complex) -> (Complex, Vec<Complex>) {
    let n = earth.resistivity.len();
    let w: Vec<Complex> = (0..n).map(|i| earth.conductivity(i, s) * s.scale(MU0)).collect();
    let wave = Wave::new(earth, &w, lambda);
    let one = Complex::real(1.0);
    let Wave { u, gamma, between, decay, top, r } = wave;
    let above = one + top * gamma[0];
    let above = above * above;
    // g_i = dr/dΓ_i
    let mut g = (one - top * top) / above;
    let mut by_u = vec![Complex::default(); n];
    let mut by_h = vec![Complex::default(); n.saturating_sub(1)];
    let air = Complex::real(lambda) + u[0];
    by_u[0] = (one - gamma[0] * gamma[0]) / above * (Complex::real(-2.0 * lambda) / (air * air));
    for i in 0..n.saturating_sub(1) {
        let h = earth.thickness[i];
        let below = one + between[i] * gamma[i + 1];
        let below = below * below;
        let by_r = decay[i] * (one - gamma[i + 1] * gamma[i + 1]) / below;
        let sum = u[i] + u[i + 1];
        let over = one / (sum * sum);
        by_u[i] = by_u[i] + g * (by_r * u[i + 1].scale(2.0) * over - gamma[i].scale(2.0 * h));
        by_u[i + 1] = by_u[i + 1] - g * by_r * u[i].scale(2.0) * over;
        by_h[i] = -(u[i] * gamma[i] * g).scale(2.0 * h);
        g = g * decay[i] * (one - between[i] * between[i]) / below;
    }
    // d/d ln σ_i = d/du_i · w_i / (2 u_i), and ln ρ is −ln σ
    let mut all: Vec<Complex> = (0..n).map(|i| -(by_u[i] * w[i] / u[i].scale(2.0))).collect();
    all.extend(by_h);
    (r, all)
}
