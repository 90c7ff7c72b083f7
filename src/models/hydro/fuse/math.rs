//! The exponential and the logarithm of the fluxes.

/// eˣ
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    x.exp()
}

/// ln x
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    x.ln()
}
