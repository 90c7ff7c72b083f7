//! Landscapes: functions with a known highest point, for trying out a search; and runs that take as long as wanted.
//!
//! `score` of the values x₁ … x_d of all parameters, about `at` (there it is 0, its largest value):
//!
//! | function | −score |
//! |---|---|
//! | `sphere` | Σ zᵢ² |
//! | `rastrigin` | Σ (zᵢ² − 10 cos 2πzᵢ + 10) |
//! | `griewank` | Σ zᵢ²/4000 − Π cos(zᵢ/√i) + 1 |
//! | `ackley` | 20 − 20 exp(−0.2 √(Σzᵢ²/d)) + e − exp(Σ cos(2πzᵢ)/d) |
//! | `two` | two scores: Σ zᵢ², and Σ (zᵢ − 2)² |
//!
//! A run sleeps `cost_s` e^(`cost_sd` z), z normal, its own for each run: like models whose cost depends on their
//! parameters (scaling studies with stragglers). `failures` is the share of runs that fail.

use std::f64::consts::{E, TAU};
use std::time::Duration;

use rand::RngExt;
use rand_distr::StandardNormal;

use super::{Cause, CheckError, Forward, ModelError, Output, Place, Score, ThetaRef, Want};
use crate::explain::Marked;
use crate::files::human::Section;

/// A landscape.
#[derive(Debug, Clone, PartialEq)]
pub struct Landscape {
    function: Function,
    at: f64,
    cost_s: f64,
    cost_sd: f64,
    failures: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Sphere,
    Rastrigin,
    Griewank,
    Ackley,
    Two,
}

const NAMES: &[&str] = &["sphere", "rastrigin", "griewank", "ackley", "two"];

impl Landscape {
    /// Read `[model.landscape]`.
    ///
    /// # Errors
    /// An unknown function, a negative cost, a share outside 0 to 1.
    pub fn read(options: Option<&Section<'_>>) -> Result<Self, Marked> {
        let mut all = Self { function: Function::Sphere, at: 0.0, cost_s: 0.0, cost_sd: 0.0, failures: 0.0 };
        let Some(section) = options else { return Ok(all) };
        all.function = match section.choice("function", NAMES)? {
            Some("rastrigin") => Function::Rastrigin,
            Some("griewank") => Function::Griewank,
            Some("ackley") => Function::Ackley,
            Some("two") => Function::Two,
            _ => Function::Sphere,
        };
        let positive = |key: &str| section.number(key, "zero or a positive number", |x| x >= 0.0);
        all.at = section.number("at", "a finite number", |_| true)?.unwrap_or(0.0);
        all.cost_s = positive("cost_s")?.unwrap_or(0.0);
        all.cost_sd = positive("cost_sd")?.unwrap_or(0.0);
        all.failures =
            section.number("failures", "a share from 0 to 1", |x| (0.0..=1.0).contains(&x))?.unwrap_or(0.0);
        section.finish()?;
        Ok(all)
    }

    fn scores(&self, x: &[f64]) -> Vec<f64> {
        let z: Vec<f64> = x.iter().map(|x| x - self.at).collect();
        let d = z.len() as f64;
        let squares = |centre: f64| z.iter().map(|z| (z - centre).powi(2)).sum::<f64>();
        let loss = match self.function {
            Function::Two => return vec![-squares(0.0), -squares(2.0)],
            Function::Sphere => squares(0.0),
            Function::Rastrigin => z.iter().map(|z| z * z - 10.0 * (TAU * z).cos() + 10.0).sum(),
            Function::Griewank => {
                let product: f64 = (1..).zip(&z).map(|(i, z)| (z / f64::from(i).sqrt()).cos()).product();
                squares(0.0) / 4000.0 - product + 1.0
            }
            Function::Ackley => {
                let waves = z.iter().map(|z| (TAU * z).cos()).sum::<f64>() / d;
                20.0 - 20.0 * (-0.2 * (squares(0.0) / d).sqrt()).exp() + E - waves.exp()
            }
        };
        vec![-loss]
    }

    fn one(&self, x: &[f64], place: &Place) -> Result<Output, ModelError> {
        // Making a stream costs more than the function.
        if self.cost_s > 0.0 || self.failures > 0.0 {
            let mut stream = place.stream.stream();
            let z: f64 = stream.sample(StandardNormal);
            let u: f64 = stream.random();
            std::thread::sleep(Duration::from_secs_f64((self.cost_s * (self.cost_sd * z).exp()).min(1e6)));
            if u < self.failures {
                return Err(ModelError::new(Cause::Exit, "this run was to fail"));
            }
        }
        let score = |value: f64| Score { name: "score".into(), value, parts: Vec::new(), pairs: 0 };
        Ok(Output { scores: self.scores(x).into_iter().map(score).collect(), ..Output::default() })
    }
}

impl Forward for Landscape {
    fn run(&self, thetas: ThetaRef<'_>, _: &Want, places: &mut [Place]) -> Vec<Result<Output, ModelError>> {
        places.iter().enumerate().map(|(j, place)| self.one(thetas.values.col(j), place)).collect()
    }

    fn fits(&self, _: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        let own = want.score.as_ref().is_some_and(|scoring| scoring.measures.is_empty());
        let given = if self.function == Function::Two { 2 } else { 1 };
        let what = match own {
            true if want.total() == given => return Ok(Vec::new()),
            true => format!("has {given} score(s) of its own, `name` in `[score]` names {}", want.total()),
            false => {
                "has a score of its own: a method that searches asks for it by `from_model = true`".into()
            }
        };
        Err(CheckError::Data { model: "landscape".into(), what, key: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_zero_at_its_top_and_lower_elsewhere() {
        for function in [Function::Sphere, Function::Rastrigin, Function::Griewank, Function::Ackley] {
            let land = Landscape { function, at: 1.5, cost_s: 0.0, cost_sd: 0.0, failures: 0.0 };
            assert!(land.scores(&[1.5; 6])[0].abs() < 1e-14, "{function:?}"); // round-off of e and cosines
            assert!(land.scores(&[1.5, 1.5, 2.1])[0] < -1e-5, "{function:?}");
        }
        let two = Landscape { function: Function::Two, at: 0.0, cost_s: 0.0, cost_sd: 0.0, failures: 0.0 };
        assert_eq!(two.scores(&[1.0, 1.0]), [-2.0, -2.0]);
    }
}
