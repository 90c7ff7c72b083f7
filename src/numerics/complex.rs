//! Complex numbers: what Laplace variables and reflection coefficients need.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// re + i im.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Complex {
    /// Real part
    pub re: f64,
    /// Imaginary part
    pub im: f64,
}

impl Complex {
    /// re + i im.
    pub const fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    /// A real number.
    pub const fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    /// modulus · e^{i angle}.
    pub fn polar(modulus: f64, angle: f64) -> Self {
        Self::new(modulus * angle.cos(), modulus * angle.sin())
    }

    /// Modulus.
    pub fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// Times a real number.
    pub fn scale(self, x: f64) -> Self {
        Self::new(self.re * x, self.im * x)
    }

    /// The root with a real part ≥ 0.
    pub fn sqrt(self) -> Self {
        let m = self.abs();
        if m == 0.0 {
            return Self::default();
        }
        // The sum that does not cancel is taken, the other part follows from re · im = im(self) / 2.
        if self.re >= 0.0 {
            let re = (0.5 * (m + self.re)).sqrt();
            Self::new(re, 0.5 * self.im / re)
        } else {
            let im = (0.5 * (m - self.re)).sqrt();
            let im = if self.im < 0.0 { -im } else { im };
            Self::new(0.5 * self.im / im, im)
        }
    }

    /// e^self.
    pub fn exp(self) -> Self {
        Self::polar(self.re.exp(), self.im)
    }

    /// self^x, principal branch; 0 stays 0.
    pub fn powf(self, x: f64) -> Self {
        let m = self.abs();
        if m == 0.0 { Self::default() } else { Self::polar(m.powf(x), x * self.im.atan2(self.re)) }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Self::new(self.re + b.re, self.im + b.im)
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, b: Self) -> Self {
        Self::new(self.re - b.re, self.im - b.im)
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        Self::new(self.re * b.re - self.im * b.im, self.re * b.im + self.im * b.re)
    }
}

impl Div for Complex {
    type Output = Self;
    fn div(self, b: Self) -> Self {
        let over = 1.0 / (b.re * b.re + b.im * b.im);
        Self::new((self.re * b.re + self.im * b.im) * over, (self.im * b.re - self.re * b.im) * over)
    }
}

impl Neg for Complex {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.re, -self.im)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_powers_and_quotients_undo_what_made_them() {
        for (re, im) in [(3.0, 4.0), (-3.0, 4.0), (-3.0, -1e-9), (1e-12, 5.0), (-2.0, 0.0)] {
            let z = Complex::new(re, im);
            let root = z.sqrt();
            assert!(root.re >= 0.0 && (root * root - z).abs() <= 4e-16 * z.abs(), "{z:?}: two roundings");
            assert!((z.powf(0.5) - root).abs() <= 1e-15 * root.abs() || im < 0.0, "{z:?}");
            assert!(((z * root) / root - z).abs() <= 8e-16 * z.abs(), "{z:?}");
        }
        let turn = Complex::new(0.0, std::f64::consts::PI).exp();
        assert!((turn - Complex::real(-1.0)).abs() < 2e-16);
    }
}
