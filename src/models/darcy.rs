//! Darcy flow: the pressure of a fluid that seeps through a square of uneven permeability. The unknown is a field.
//!
//! −∇·(a ∇p) = s on [0, 1]², p = 0 on the boundary; a stands at the n × n points of a grid that includes the
//! boundary, the first axis fastest. Outputs are p at k × k points, evenly spaced inside.
//! Finite volumes around the points, with the harmonic mean of a across each face; a banded Cholesky solve.
//!
//! # Source
//! The inverse problem of Iglesias, Law & Stuart (2013), doi:10.1088/0266-5611/29/4/045001, with a constant source.

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::{Cause, CheckError, Forward, ModelError, Output, Place, ThetaRef, Want, given, split};
use crate::numerics::LinalgError;
use crate::numerics::banded::Banded;

/// Darcy flow.
#[derive(Debug, Clone, Copy)]
pub struct Darcy {
    /// Points along each axis, n
    points: usize,
    /// Points observed along each axis, k
    observed: usize,
    /// s, pressure × permeability / length²
    source: f64,
}

impl Default for Darcy {
    fn default() -> Self {
        Self { points: 37, observed: 8, source: 1.0 }
    }
}

impl Darcy {
    /// From `[model.darcy]`: `points`, `observed`, `source`.
    ///
    /// # Errors
    /// An unknown option, or one out of range.
    pub fn read(section: Option<&Section<'_>>) -> Result<Self, Marked> {
        let mut darcy = Self::default();
        let Some(section) = section else { return Ok(darcy) };
        let size = |n: i64| usize::try_from(n).expect("within range");
        if let Some(points) = section.integer("points", 3..=300)? {
            darcy.points = size(points);
        }
        let most = i64::try_from(darcy.points - 2).expect("a few hundred");
        if let Some(observed) = section.integer("observed", 1..=most)? {
            darcy.observed = size(observed);
        } else {
            darcy.observed = darcy.observed.min(darcy.points - 2);
        }
        if let Some(source) = section.number("source", "a number", |_| true)? {
            darcy.source = source;
        }
        section.finish()?;
        Ok(darcy)
    }

    /// Pressure at all n × n points, boundary included.
    ///
    /// # Errors
    /// `NotPositiveDefinite` for a permeability that is not positive.
    pub fn pressure(&self, a: &[f64]) -> Result<Vec<f64>, LinalgError> {
        let (n, m) = (self.points, self.points - 2);
        assert_eq!(a.len(), n * n, "a permeability at each point");
        let h = 1.0 / (n as f64 - 1.0);
        let face = |i: usize, j: usize| 2.0 * a[i] * a[j] / (a[i] + a[j]);
        let mut matrix = Banded::zeros(m * m, m);
        for row in 0..m {
            for col in 0..m {
                let (unknown, here) = (row * m + col, (row + 1) * n + col + 1);
                let (west, south) = (face(here, here - 1), face(here, here - n));
                *matrix.entry(unknown, unknown) = west + south + face(here, here + 1) + face(here, here + n);
                if col > 0 {
                    *matrix.entry(unknown, unknown - 1) = -west;
                }
                if row > 0 {
                    *matrix.entry(unknown, unknown - m) = -south;
                }
            }
        }
        let inside = matrix.solve(&vec![self.source * h * h; m * m])?;
        let mut pressure = vec![0.0; n * n];
        for row in 0..m {
            pressure[(row + 1) * n + 1..(row + 1) * n + 1 + m]
                .copy_from_slice(&inside[row * m..(row + 1) * m]);
        }
        Ok(pressure)
    }

    /// The values at the points observed.
    fn seen(&self, pressure: &[f64]) -> Vec<f64> {
        let (n, k) = (self.points, self.observed);
        // The nearest grid point to (i + 1)/(k + 1); exact where k + 1 divides n − 1
        let at = |i: usize| ((i + 1) * (n - 1) + k.div_ceil(2)) / (k + 1);
        (0..k)
            .flat_map(|row| (0..k).map(move |col| (row, col)))
            .map(|(row, col)| pressure[at(row) * n + at(col)])
            .collect()
    }
}

impl Forward for Darcy {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let one = |j: usize| {
            let pressure = self.pressure(thetas.values.col(j)).map_err(|_| {
                ModelError::new(
                    Cause::Exit,
                    "the model `darcy` needs a permeability that is positive everywhere",
                )
            })?;
            split("darcy", &self.seen(&pressure), want)
        };
        (0..places.len()).map(one).collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        let values = self.points * self.points;
        if names.len() != 1 || names[0].1 != values {
            let found = names.iter().map(|(name, n)| format!("{name} ({n})")).collect();
            let what = format!("needs one field of {0} × {0} = {values} values", self.points);
            return Err(CheckError::Parameter { model: "darcy".into(), what, found, name: None, near: None });
        }
        CheckError::outputs("darcy", self.observed * self.observed, want)?;
        Ok(Vec::new())
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        given(self, names, vec![("pressure".into(), self.observed * self.observed)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_square_has_the_pressure_of_its_series() {
        // −Δp = 1: p(½, ½) = (16/π⁴) Σ_{i, j odd} (−1)^((i+j)/2 − 1) / (i j (i² + j²)) = 0.0736713…
        let darcy = Darcy { points: 65, ..Darcy::default() };
        let p = darcy.pressure(&vec![1.0; 65 * 65]).unwrap();
        let middle = p[32 * 65 + 32];
        assert!((middle - 0.073_671_353).abs() < 3e-5, "{middle}"); // h² = 2.4e-4 times a fourth derivative of 1
        // Twice the permeability, half the pressure
        let half = darcy.pressure(&vec![2.0; 65 * 65]).unwrap();
        assert!((half[32 * 65 + 32] * 2.0 - middle).abs() < 1e-14);
    }

    #[test]
    fn layers_conduct_in_series() {
        // The flux out of the square balances the source: Σ over boundary faces = s × volume of the cells
        let darcy = Darcy { points: 21, ..Darcy::default() };
        let n = 21;
        let a: Vec<f64> = (0..n * n).map(|i| 1.0 + 0.9 * (i as f64 * 0.37).sin()).collect();
        let p = darcy.pressure(&a).unwrap();
        let face = |i: usize, j: usize| 2.0 * a[i] * a[j] / (a[i] + a[j]) * (p[i] - p[j]);
        let mut out = 0.0;
        for k in 1..n - 1 {
            out += face(n + k, k) + face((n - 2) * n + k, (n - 1) * n + k);
            out += face(k * n + 1, k * n) + face(k * n + n - 2, k * n + n - 1);
        }
        let h = 1.0 / (n as f64 - 1.0);
        assert!((out - (n as f64 - 2.0).powi(2) * h * h).abs() < 1e-13);
        assert!(darcy.pressure(&vec![-1.0; n * n]).is_err());
    }

    #[test]
    fn it_gives_what_was_asked_for() {
        let darcy = Darcy::default();
        assert_eq!(darcy.seen(&vec![0.5; 37 * 37]), vec![0.5; 64]);
        let want = Want::series(vec![("pressure".into(), 64)]);
        assert!(darcy.fits(&[("a".into(), 37 * 37)], &want).is_ok());
        assert!(darcy.fits(&[("a".into(), 37)], &want).is_err());
        assert!(darcy.fits(&[("a".into(), 37 * 37)], &Want::series(vec![("p".into(), 63)])).is_err());
    }
}
