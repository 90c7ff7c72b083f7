//! Lorenz 96 under a forcing of its own at each place: as many unknowns as variables, each observed by two moments.
//!
//! dxᵢ/dt = (xᵢ₊₁ − xᵢ₋₂) xᵢ₋₁ − xᵢ + Fᵢ. Outputs are mean and standard deviation in time of each xᵢ over a window.
//! Where a window begins is not known: each run starts from a state of the attractor of the truth plus a draw of
//! N(0, share × covariance of the states), from the member's own random stream. So G is noisy, and its noise is
//! that of the data.
//!
//! Belongs here: options, the trait, the data. The hot loops are in `field_kernel`.
//!
//! # Source
//! The setting of the defaults (40 variables, Fᵢ = 8 + 6 sin(4πi/40), window 54 of which 4 are dropped, share 0.1) is
//! that of the comparison of calibration methods of EnsembleKalmanProcesses.jl 2.7.1.

use std::sync::OnceLock;

use rand_distr::{Distribution, StandardNormal};

use super::field_kernel::{Moments, Trajectory};
use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::{Cause, CheckError, Forward, ModelError, Output, Place, ThetaRef, Want, given, split};
use crate::numerics::simd::widest;
use crate::numerics::{Mat, Purpose, Stream, Streams, linalg};

/// Members in one pass of the hot loop: its eight arrays of 40 variables then fit in 32 KiB of first-level cache.
const LANES: usize = 8;
/// Steps between two states that the climate is estimated from; neighbouring steps say the same.
const THINNED: usize = 10;

/// Lorenz 96 with a forcing for each variable, and its options.
#[derive(Debug)]
pub struct LorenzField {
    /// Variables on the ring
    n: usize,
    /// Time step, model time units
    dt: f64,
    /// Steps to the attractor of the truth
    spin_up: usize,
    /// Steps from which the covariance of its states is estimated
    climate_steps: usize,
    /// Steps of a run that are not described
    skip: usize,
    /// Steps of a run that are
    states: usize,
    /// Covariance of starts, as a share of the covariance of states
    share: f64,
    /// Of x(0) before the spin-up, and of the starts of the data
    initial_seed: u64,
    /// F of the truth, n × 1
    truth: Mat,
    climate: OnceLock<Option<Climate>>,
}

/// Where runs start.
#[derive(Debug)]
struct Climate {
    /// A state of the attractor
    state: Vec<f64>,
    /// Lower root of share × covariance of the states
    root: Mat,
}

/// What the truth shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    /// Outputs of the first window, 2n: y
    pub first: Vec<f64>,
    /// Covariance of the outputs over windows (divisor: windows − 1), 2n × 2n
    pub covariance: Mat,
}

impl LorenzField {
    /// From `[model.lorenz96]` with `forcing = "field"`; every other option has a default.
    ///
    /// # Errors
    /// An option is unknown or out of range.
    pub fn read(options: &Section<'_>) -> Result<Self, Marked> {
        options.choice("forcing", &["wave", "field"])?;
        let n = options.integer("n", 4..=10_000)?.unwrap_or(40) as usize;
        let dt = options.number("dt", "above 0, at most 0.1", |x| x > 0.0 && x <= 0.1)?.unwrap_or(0.01);
        let time = |key: &str, default: f64| -> Result<usize, Marked> {
            let time = options.number(key, "0 to 10⁶", |x| (0.0..=1e6).contains(&x))?.unwrap_or(default);
            Ok((time / dt).round() as usize)
        };
        let (spin_up, climate_steps) = (time("t_start", 1000.0)?, time("t_climate", 2000.0)?);
        let (window, skip) = (time("window", 54.0)?, time("drop", 4.0)?);
        let share = options.number("initial_share", "0 to 1", |x| (0.0..=1.0).contains(&x))?.unwrap_or(0.1);
        let initial_seed = options.integer("initial_seed", 0..=i64::MAX)?.unwrap_or(0) as u64;
        let number = |key: &str, default: f64| -> Result<f64, Marked> {
            Ok(options.number(key, "a number", |_| true)?.unwrap_or(default))
        };
        let (mean, swing) = (number("truth_mean", 8.0)?, number("truth_amplitude", 6.0)?);
        let waves = options.integer("truth_waves", 0..=10_000)?.unwrap_or(2) as f64;
        options.finish()?;
        if window < skip + 2 {
            let label = "allowed: at least two steps less than `window`";
            return Err(options.wrong("drop", "`drop` leaves nothing of the window", label));
        }
        if climate_steps < 2 * THINNED * n {
            let label = format!("allowed with {n} variables: at least {:?}", (2 * THINNED * n) as f64 * dt);
            return Err(options.wrong("t_climate", "`t_climate` is too short for a covariance", label));
        }
        let forcing =
            |i: usize, _| mean + swing * (std::f64::consts::TAU * waves * i as f64 / n as f64).sin();
        let truth = Mat::from_fn(n, 1, forcing);
        let states = window - skip;
        let climate = OnceLock::new();
        Ok(Self { n, dt, spin_up, climate_steps, skip, states, share, initial_seed, truth, climate })
    }

    /// F of the truth, one for each variable.
    pub fn truth(&self) -> &[f64] {
        self.truth.data()
    }

    /// Outputs of `windows` windows at the truth, each with its own start. `None` when a state blew up.
    pub fn windows(&self, windows: usize) -> Option<Windows> {
        // Member 0 of iteration 0: no member of a run has this address.
        let mut stream = Streams::new(self.initial_seed).part(1).at(Purpose::Model, 0, 0);
        let climate = self.climate()?;
        let starts: Vec<Vec<f64>> = (0..windows).map(|_| climate.start(&mut stream)).collect();
        let forcing = vec![self.truth.data(); windows];
        let columns = self.outputs(&starts, &forcing).concat();
        let samples = Mat::from_columns(2 * self.n, windows, columns);
        let covariance = linalg::covariance(&samples, windows as f64 - 1.0);
        samples.is_finite().then(|| Windows { first: samples.col(0).to_vec(), covariance })
    }

    /// Where runs start; worked out when first asked for, a twentieth of a second.
    fn climate(&self) -> Option<&Climate> {
        let estimate = || {
            let mut stream = Streams::new(self.initial_seed).at(Purpose::Model, 0, 0);
            let x0 = (0..self.n).map(|_| StandardNormal.sample(&mut stream)).collect();
            let (forcing, dt) = (&self.truth, self.dt);
            let after = |initial: &Mat, every: usize, states: usize| {
                widest(Trajectory { initial, forcing, dt, every, states })
            };
            let start = after(&Mat::from_columns(self.n, 1, x0), self.spin_up, 1);
            let states = after(&start, THINNED, self.climate_steps / THINNED); // n × states
            let mut covariance = linalg::covariance(&states, states.ncols() as f64 - 1.0);
            covariance.data_mut().iter_mut().for_each(|c| *c *= self.share);
            let root = if self.share > 0.0 {
                linalg::Cholesky::new(&covariance).ok()?.factor()
            } else {
                Mat::zeros(self.n, self.n)
            };
            Some(Climate { state: states.col(states.ncols() - 1).to_vec(), root })
        };
        self.climate.get_or_init(estimate).as_ref()
    }

    /// 2n numbers for each start and forcing.
    fn outputs(&self, starts: &[Vec<f64>], forcing: &[&[f64]]) -> Vec<Vec<f64>> {
        let some = |(starts, forcing): (&[Vec<f64>], &[&[f64]])| {
            widest(Moments {
                initial: &Mat::from_columns(self.n, starts.len(), starts.concat()),
                forcing: &Mat::from_columns(self.n, starts.len(), forcing.concat()),
                dt: self.dt,
                skip: self.skip,
                states: self.states,
            })
        };
        starts.chunks(LANES).zip(forcing.chunks(LANES)).flat_map(some).collect()
    }
}

impl Climate {
    /// A state, moved by a draw.
    fn start(&self, stream: &mut Stream) -> Vec<f64> {
        let xi: Vec<f64> = self.state.iter().map(|_| StandardNormal.sample(&mut *stream)).collect();
        let moved = linalg::matvec(&self.root, &xi);
        self.state.iter().zip(moved).map(|(x, m)| x + m).collect()
    }
}

impl Forward for LorenzField {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let Some(climate) = self.climate() else {
            let message = format!("the truth of `lorenz96` blows up with `dt = {}`", self.dt);
            return vec![Err(ModelError::new(Cause::Output, message)); places.len()];
        };
        let starts: Vec<Vec<f64>> =
            places.iter().map(|place| climate.start(&mut place.stream.stream())).collect();
        let forcing: Vec<&[f64]> = (0..places.len()).map(|j| thetas.values.col(j)).collect();
        let judged = |numbers: Vec<f64>| {
            if numbers.iter().all(|x| x.is_finite()) {
                return split("lorenz96", &numbers, want);
            }
            let message = format!("the state blew up: `dt = {}` is too long for this forcing", self.dt);
            Err(ModelError::new(Cause::Output, message))
        };
        self.outputs(&starts, &forcing).into_iter().map(judged).collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        if names.len() != 1 || names[0].1 != self.n {
            let found = names.iter().map(|(name, n)| format!("{name} ({n})")).collect();
            let what = format!("needs one parameter of {} values, the forcing", self.n);
            return Err(CheckError::Parameter {
                model: "lorenz96".into(),
                what,
                found,
                name: None,
                near: None,
            });
        }
        CheckError::outputs("lorenz96", 2 * self.n, want)?;
        Ok(Vec::new())
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        given(self, names, vec![("mean".into(), self.n), ("std".into(), self.n)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::Document;
    use crate::models::test_place;
    use std::path::Path;

    fn read(text: &str) -> Result<LorenzField, Marked> {
        let text = format!("forcing = \"field\"\nt_start = 20\nt_climate = 40\n{text}");
        let document = Document::parse(Path::new("experiment.toml"), &text).unwrap();
        let top = document.section();
        LorenzField::read(&top)
    }

    fn run(model: &LorenzField, forcing: &Mat, first: u32) -> Vec<Result<Output, ModelError>> {
        let names = [("F".to_owned(), model.n)];
        let mut places: Vec<_> = (first..).take(forcing.ncols()).map(test_place).collect();
        let want = Want::series(vec![("mean".into(), model.n), ("std".into(), model.n)]);
        model.run(ThetaRef { names: &names, values: forcing }, &want, &mut places)
    }

    #[test]
    fn the_slow_twin_agrees_over_a_short_time() {
        // In the plainest words: all states kept, two passes. Chaos doubles a difference about every 0.4 time units.
        let model = read("n = 9\nwindow = 4\ndrop = 1").unwrap();
        let n = model.n;
        let forcing = Mat::from_fn(n, 1, |i, _| 4.0 + i as f64);
        let slope = |x: &[f64]| -> Vec<f64> {
            let at = |i: usize, shift: usize| x[(i + n + shift - 2) % n];
            (0..n).map(|i| (at(i, 3) - at(i, 0)) * at(i, 1) - at(i, 2) + forcing[(i, 0)]).collect()
        };
        let add =
            |x: &[f64], h: f64, k: &[f64]| -> Vec<f64> { x.iter().zip(k).map(|(x, k)| x + h * k).collect() };
        let mut x = model.climate().unwrap().start(&mut test_place(5).stream.stream());
        let (mut kept, h) = (Vec::new(), model.dt);
        for step in 1..=400 {
            let k1 = slope(&x);
            let k2 = slope(&add(&x, h / 2.0, &k1));
            let k3 = slope(&add(&x, h / 2.0, &k2));
            let k4 = slope(&add(&x, h, &k3));
            for i in 0..n {
                x[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
            }
            if step > 100 {
                kept.push(x.clone());
            }
        }
        let output = run(&model, &forcing, 5).remove(0).unwrap();
        for i in 0..n {
            let mean = kept.iter().map(|x| x[i]).sum::<f64>() / 300.0;
            let std = (kept.iter().map(|x| (x[i] - mean).powi(2)).sum::<f64>() / 299.0).sqrt();
            assert!((output.blocks[0][i] - mean).abs() < 1e-9, "{mean}");
            assert!((output.blocks[1][i] - std).abs() < 1e-9, "{std}");
        }
    }

    #[test]
    fn lanes_do_not_change_a_bit_and_each_member_has_its_own_start() {
        let model = read("window = 6").unwrap();
        let forcing = Mat::from_fn(40, 19, |i, j| 6.0 + 0.1 * i as f64 + 0.05 * j as f64);
        let together = run(&model, &forcing, 1);
        for j in [0, 7, 8, 18] {
            let alone = run(&model, &forcing.select_cols(&[j]), j as u32 + 1).remove(0).unwrap();
            assert_eq!(&alone, together[j].as_ref().unwrap());
        }
        let other = run(&model, &forcing.select_cols(&[0]), 2).remove(0).unwrap();
        assert_ne!(&other, together[0].as_ref().unwrap());
        // With no share of the covariance all start alike
        let alike = read("window = 6\ninitial_share = 0").unwrap();
        let pair = run(&alike, &forcing.select_cols(&[0, 0]), 1);
        assert_eq!(pair[0].as_ref().unwrap(), pair[1].as_ref().unwrap());
    }

    #[test]
    fn starts_have_the_covariance_that_is_asked_for() {
        let model = read("n = 4").unwrap();
        let climate = model.climate().unwrap();
        let mut stream = Streams::new(9).at(Purpose::Model, 0, 1);
        let draws = 50_000;
        let columns = (0..draws).flat_map(|_| climate.start(&mut stream)).collect();
        let got = linalg::covariance(&Mat::from_columns(4, draws, columns), draws as f64);
        let want = linalg::matmul_nt(&climate.root, &climate.root);
        for i in 0..4 {
            for j in 0..4 {
                // Four standard errors of a sample covariance
                let variance = want[(i, i)] * want[(j, j)] + want[(i, j)].powi(2);
                assert!((got[(i, j)] - want[(i, j)]).abs() < 4.0 * (variance / draws as f64).sqrt());
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (text, words) in [
            ("amplitude = 3", "unknown key"),
            ("n = 3", "out of range"),
            ("window = 4", "leaves nothing"),
            ("initial_share = 2", "out of range"),
            ("n = 400", "too short"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(words), "{text}");
        }
        let model = read("").unwrap();
        let want = |n: usize| Want::series(vec![("statistics".into(), n)]);
        assert!(model.fits(&[("F".into(), 40)], &want(80)).is_ok());
        assert!(model.fits(&[("F".into(), 1)], &want(80)).is_err());
        assert!(model.fits(&[("F".into(), 40)], &want(40)).is_err());
        // A state that blows up fails its member alone
        let forcing = Mat::from_fn(40, 3, |_, j| if j == 1 { 1e6 } else { 8.0 });
        let all = run(&model, &forcing, 1);
        assert!(all[0].is_ok() && all[2].is_ok());
        assert_eq!(all[1].as_ref().unwrap_err().cause, Cause::Output);
    }
}
