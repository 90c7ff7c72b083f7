//! The sinusoid: two parameters, two outputs, a random phase. The smallest honest inverse problem.
//!
//! f(t) = A sin(t + φ) + v on t = 0, 0.01, …, 6.29 (630 points); the outputs are max f − min f and mean f.
//! φ is uniform on [0, 2π) and drawn anew for every member from the model's own stream, whatever the try.
//!
//! # Source
//! The sinusoid example of EnsembleKalmanProcesses.jl 2.7.1: truth A = 1, v = 7; noise 0.1 I.

use rand::RngExt;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::{CheckError, Forward, ModelError, Output, Place, ThetaRef, Want, given, split};
use crate::numerics::Stream;

/// Points of the grid: the last multiple of 0.01 not above 2π + 0.01 is 6.29.
const POINTS: u32 = 630;
/// Names of the parameters.
const NAMES: [&str; 2] = ["amplitude", "vert_shift"];
/// Numbers it gives.
const OUTPUTS: usize = 2;

/// The sinusoid.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sinusoid;

impl Sinusoid {
    /// From `[model.sinusoid]`, which has no options.
    ///
    /// # Errors
    /// An option is given all the same.
    pub fn read(section: Option<&Section<'_>>) -> Result<Self, Marked> {
        section.map_or(Ok(()), Section::finish)?;
        Ok(Self)
    }

    /// Range and mean of A sin(t + φ) + v over the grid.
    ///
    /// | symbol | argument | unit |
    /// |---|---|---|
    /// | A | `amplitude` | that of the outputs |
    /// | v | `vert_shift` | that of the outputs |
    /// | φ | `phase` | radian |
    pub fn evaluate(amplitude: f64, vert_shift: f64, phase: f64) -> [f64; OUTPUTS] {
        let (mut low, mut high, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
        for i in 0..POINTS {
            let s = (f64::from(i) * 0.01 + phase).sin();
            (low, high, sum) = (f64::min(low, s), f64::max(high, s), sum + s);
        }
        // The extremes of A s + v are those of s, in one order or the other.
        [(amplitude * (high - low)).abs(), amplitude * sum / f64::from(POINTS) + vert_shift]
    }

    /// The same with a phase from a stream: what a member does, and how data are made at the truth.
    pub fn draw(amplitude: f64, vert_shift: f64, stream: &mut Stream) -> [f64; OUTPUTS] {
        let phase = stream.random::<f64>() * std::f64::consts::TAU;
        Self::evaluate(amplitude, vert_shift, phase)
    }
}

impl Forward for Sinusoid {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let one = |(j, place): (usize, &mut Place)| {
            let amplitude = thetas.needed("sinusoid", NAMES[0], j)?;
            let vert_shift = thetas.needed("sinusoid", NAMES[1], j)?;
            // A clone: a second call with the same place gives the same numbers.
            split("sinusoid", &Self::draw(amplitude, vert_shift, &mut place.stream.stream()), want)
        };
        places.iter_mut().enumerate().map(one).collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        CheckError::parameters("sinusoid", &NAMES, &[], names)?;
        CheckError::outputs("sinusoid", OUTPUTS, want)?;
        Ok(Vec::new())
    }

    fn describe(&self) -> Vec<String> {
        vec![
            "range and mean of A sin(t + phase) + v over t = 0, 0.01, ..., 6.29, in the unit of A and v"
                .into(),
            "the phase is uniform on a circle, drawn anew for every run".into(),
        ]
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        given(self, names, vec![("range".into(), 1), ("mean".into(), 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;
    use crate::models::test_place;
    use crate::numerics::Mat;

    #[test]
    fn range_and_mean_agree_with_the_closed_form() {
        // An extreme lies within half a step (0.005) of a point: 1 − cos(0.005) of it is lost at most.
        // The sum of sin over the grid is (sin(φ + 3.145) sin(3.15)/ sin(0.005)): the Dirichlet kernel.
        for k in 0..50 {
            let phase = 0.13 * f64::from(k);
            let [range, mean] = Sinusoid::evaluate(1.5, -3.0, phase);
            assert!(range <= 3.0 && range >= 3.0 * 0.005f64.cos() - 1e-15, "{range}");
            let n = f64::from(POINTS);
            let kernel = (phase + (n - 1.0) * 0.005).sin() * (n * 0.005).sin() / 0.005f64.sin() / n;
            assert!((mean - (1.5 * kernel - 3.0)).abs() < 1e-13, "{mean}"); // round-off of 630 terms
        }
    }

    #[test]
    fn any_layout_of_two_numbers_will_do_and_the_try_does_not_matter() {
        let names = [("vert_shift".to_owned(), 1), ("amplitude".to_owned(), 1)];
        let values = Mat::from_columns(2, 2, vec![7.0, 1.0, -2.0, -3.0]);
        let thetas = ThetaRef { names: &names, values: &values };
        let mut places = vec![test_place(1), test_place(2)];
        let one = Want::series(vec![("both".into(), 2)]);
        let two = Want::series(vec![("range".into(), 1), ("mean".into(), 1)]);
        let a = Sinusoid.run(thetas, &one, &mut places);
        places.iter_mut().for_each(|place| place.attempt = 2);
        let b = Sinusoid.run(thetas, &two, &mut places);
        for (a, b) in a.iter().zip(&b) {
            let (a, b) = (&a.as_ref().unwrap().blocks, &b.as_ref().unwrap().blocks);
            assert_eq!(a[0], [b[0][0], b[1][0]]);
        }
        // A batch gives the bits of single runs
        let alone = values.select_cols(&[1]);
        let c = Sinusoid.run(ThetaRef { names: &names, values: &alone }, &two, &mut places[1..]);
        assert_eq!(c[0].as_ref().unwrap(), b[1].as_ref().unwrap());
        assert!((b[1].as_ref().unwrap().blocks[0][0] - 6.0).abs() < 1e-3);
    }

    #[test]
    fn a_wrong_parameter_or_length_is_refused_before_anything_runs() {
        let names = vec![("amplitud".to_owned(), 1), ("vert_shift".to_owned(), 1)];
        let two = Want::series(vec![("both".into(), 2)]);
        let error = Sinusoid.fits(&names, &two).unwrap_err();
        assert!(error.to_string().contains("no parameter `amplitud`"), "{error}");
        assert_eq!(error.hint().as_deref(), Some("did you mean `amplitude`?"));
        let names = vec![("amplitude".to_owned(), 1), ("vert_shift".to_owned(), 1)];
        assert!(Sinusoid.fits(&names, &two).is_ok());
        let three = Want::series(vec![("both".into(), 3)]);
        assert!(Sinusoid.fits(&names, &three).unwrap_err().to_string().contains('3'));
    }
}
