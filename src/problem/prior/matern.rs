//! The Matérn covariance of a random field: how alike two points are at a distance.

use std::f64::consts::LN_2;

use super::distribution::ln_gamma;
use crate::numerics::bessel::ln_bessel_k;

/// Correlation at distance `r` for smoothness ν and correlation length L (the unit of r), 1 at r = 0.
///
/// `2^(1−ν)/Γ(ν) z^ν K_ν(z)` with `z = √(2ν) r/L`: ν = ½ is the exponential, ν → ∞ a Gaussian. A field has
/// ⌈ν⌉ − 1 derivatives in the mean square. To 1e-13; closed forms for ν = ½, 3/2, 5/2.
///
/// # Source
/// Rasmussen & Williams (2006), Gaussian Processes for Machine Learning, eq. 4.14.
pub(super) fn matern(nu: f64, length: f64, r: f64) -> f64 {
    let z = (2.0 * nu).sqrt() * r / length;
    if z == 0.0 {
        return 1.0;
    }
    if nu == 0.5 {
        return (-z).exp();
    }
    if nu == 1.5 {
        return (1.0 + z) * (-z).exp();
    }
    if nu == 2.5 {
        return (1.0 + z + z * z / 3.0) * (-z).exp();
    }
    let ln = (1.0 - nu) * LN_2 - ln_gamma(nu) + nu * z.ln() + ln_bessel_k(nu, z);
    ln.exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_orders_agree_with_the_closed_forms_beside_them() {
        for nu in [0.5, 1.5, 2.5] {
            for r in [1e-9, 1e-4, 0.01, 0.3, 1.0, 4.0, 20.0] {
                let (exact, beside) = (matern(nu, 0.7, r), matern(nu * (1.0 + 1e-15), 0.7, r));
                assert!((exact - beside).abs() < 2e-14, "ν = {nu}, r = {r}: {exact} {beside}");
            }
        }
    }

    #[test]
    fn it_falls_from_one_and_smooth_fields_start_flat() {
        for nu in [0.2, 1.0, 3.3, 12.0] {
            let values: Vec<f64> = (0..200).map(|k| matern(nu, 0.25, 0.01 * f64::from(k))).collect();
            assert_eq!(values[0], 1.0);
            assert!(values.windows(2).all(|w| w[1] < w[0]), "ν = {nu}");
        }
        // k = 1 − z²/(4(ν − 1)) + … for ν > 1
        let (nu, r) = (12.0, 1e-3);
        let z2 = 2.0 * nu * r * r;
        assert!((1.0 - matern(nu, 1.0, r) - z2 / (4.0 * (nu - 1.0))).abs() < 1e-10);
        // ν = 1: z K₁(z), K₁(1) = 0.6019…
        assert!((matern(1.0, 2f64.sqrt(), 1.0) - 0.601_907_230_197_234_6).abs() < 1e-14);
    }
}
