//! Lorenz 96: a ring of variables, chaotic, forced by a constant or by a slow wave; outputs are variances.
//!
//! dxᵢ/dt = (xᵢ₊₁ − xᵢ₋₂) xᵢ₋₁ − xᵢ + F + A sin(ωt). The system forgets where it started, so a window of
//! the trajectory is described by statistics: the variance over all variables and the states of a short
//! window, averaged over groups of such windows.
//!
//! Belongs here: options, the trait, the truth. The hot loop is in `kernel`; with `forcing = "field"` the ring is
//! that of `field`.
//!
//! # Source
//! Lorenz (1996), "Predictability: a problem partly solved", Proc. ECMWF Seminar on Predictability I, 1–18.
//! The setting of the defaults (36 variables, forcing held at the end of each step, 72 windows in 4 groups,
//! truth F = 8, A = 2.5) is that of the Lorenz example of EnsembleKalmanProcesses.jl 2.7.1.

pub mod field;
mod field_kernel;
mod kernel;

use std::sync::Arc;

use rand_distr::{Distribution, StandardNormal};

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::{Cause, CheckError, Forward, ModelError, Output, Place, ThetaRef, Want, given, split};
use crate::numerics::simd::widest;
use crate::numerics::{Mat, Purpose, Streams};

use field::LorenzField;
use kernel::{Forcing, Run};

const NAMES: [&str; 2] = ["F", "A"];
/// Members in one pass of the hot loop: its six arrays of 36 variables then fit in 32 KiB of first-level cache.
const LANES: usize = 16;

/// The ring that `[model.lorenz96]` asks for: forced by a wave, or by a field.
///
/// # Errors
/// An option is unknown or out of range.
pub fn forward(section: Option<&Section<'_>>) -> Result<Arc<dyn Forward>, Marked> {
    match section {
        Some(options) if options.choice("forcing", &["wave", "field"])? == Some("field") => {
            Ok(Arc::new(LorenzField::read(options)?))
        }
        _ => Ok(Arc::new(Lorenz96::read(section)?)),
    }
}

/// Lorenz 96 with its options.
#[derive(Debug, Clone, PartialEq)]
pub struct Lorenz96 {
    /// Variables on the ring
    n: usize,
    /// Time step, model time units
    dt: f64,
    /// Steps before the statistics begin
    spin_up: usize,
    /// Steps of the period that is described
    period: usize,
    /// Short windows in it
    n_windows: usize,
    /// Outputs: averages over groups of windows
    groups: usize,
    /// ω, radian per time unit
    omega: f64,
    initial_seed: u64,
    /// Standard deviation of x(0)
    initial_std: f64,
}

/// What a noise-free and perfect model would show: data and their noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Truth {
    /// Mean of the outputs over periods: y
    pub mean: Vec<f64>,
    /// Covariance of the outputs over periods (divisor: periods − 1): Γ, groups × groups
    pub covariance: Mat,
}

impl Lorenz96 {
    /// From `[model.lorenz96]`; every option has a default.
    ///
    /// # Errors
    /// An option is unknown or out of range.
    pub fn read(section: Option<&Section<'_>>) -> Result<Self, Marked> {
        let Some(options) = section else { return Ok(Self::default()) };
        options.choice("forcing", &["wave"])?;
        let size = |key: &str, low: i64, default: usize| -> Result<usize, Marked> {
            Ok(options.integer(key, low..=1_000_000)?.map_or(default, |n| n as usize))
        };
        let above = |key: &str, default: f64| -> Result<f64, Marked> {
            Ok(options.number(key, "above 0", |x| x > 0.0)?.unwrap_or(default))
        };
        let dt = options.number("dt", "above 0, at most 0.1", |x| x > 0.0 && x <= 0.1)?.unwrap_or(1.0 / 64.0);
        let t_start = options.number("t_start", "at least 0", |x| x >= 0.0)?.unwrap_or(800.0);
        let window = above("window", 72.0)?;
        let model = Self {
            n: size("n", 4, 36)?,
            dt,
            spin_up: (t_start / dt).round() as usize,
            period: (window / dt).round() as usize,
            n_windows: size("n_windows", 1, 72)?,
            groups: size("groups", 1, 4)?,
            omega: above("omega", std::f64::consts::TAU / window)?,
            initial_seed: options.integer("initial_seed", 0..=i64::MAX)?.unwrap_or(0) as u64,
            initial_std: above("initial_std", 0.01)?,
        };
        options.finish()?;
        if model.spin_up + model.period > 1_000_000_000 {
            let label = format!("{} steps, allowed: at most 10⁹", model.spin_up + model.period);
            return Err(options.wrong("dt", "`dt` makes too many steps", label));
        }
        if model.states_per_window() == 0 {
            let label = format!("found {}, allowed: fewer than the steps of `window / dt`", model.n_windows);
            return Err(options.wrong("n_windows", "`n_windows` is out of range", label));
        }
        if !model.n_windows.is_multiple_of(model.groups) {
            let label =
                format!("found {}, allowed: divisors of `n_windows = {}`", model.groups, model.n_windows);
            return Err(options.wrong("groups", "`groups` does not divide `n_windows`", label));
        }
        Ok(model)
    }

    /// States strictly inside the period are cut into equal windows; the rest is dropped.
    fn states_per_window(&self) -> usize {
        self.period.saturating_sub(1) / self.n_windows
    }

    /// Numbers it gives.
    pub fn outputs(&self) -> usize {
        self.groups
    }

    /// x(0) ~ N(0, `initial_std`²), the same for all members and the truth.
    fn initial(&self) -> Vec<f64> {
        // Member 0 of iteration 0: no member of a run has this address.
        let mut stream = Streams::new(self.initial_seed).at(Purpose::Model, 0, 0);
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        (0..self.n).map(|_| normal() * self.initial_std).collect()
    }

    /// y and Γ: mean and covariance of the outputs over `periods` periods one after the other on a single
    /// trajectory. (20 periods at F = 8, A = 2.5 in the peer's example.) `None` when the state blew up.
    ///
    /// | symbol | argument | unit |
    /// |---|---|---|
    /// | F | `forcing` | model units |
    /// | A | `amplitude` | model units; 0 for constant forcing |
    pub fn truth_statistics(&self, forcing: f64, amplitude: f64, periods: usize) -> Option<Truth> {
        let columns = self.outputs_of(&[Forcing { constant: forcing, amplitude }], periods).concat();
        if columns.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let samples = Mat::from_columns(self.groups, periods, columns);
        let mean = samples.mean();
        let product = |a: usize, b: usize| {
            let terms = (0..periods).map(|k| (samples[(a, k)] - mean[a]) * (samples[(b, k)] - mean[b]));
            terms.sum::<f64>() / (periods as f64 - 1.0)
        };
        Some(Truth { covariance: Mat::from_fn(self.groups, self.groups, product), mean })
    }

    /// For each member the outputs of one period after the other.
    fn outputs_of(&self, forcing: &[Forcing], periods: usize) -> Vec<Vec<f64>> {
        widest(Run {
            initial: &self.initial(),
            dt: self.dt,
            omega: self.omega,
            forcing,
            spin_up: self.spin_up,
            period: self.period,
            states: self.states_per_window(),
            n_windows: self.n_windows,
            groups: self.groups,
            periods,
        })
    }
}

impl Default for Lorenz96 {
    fn default() -> Self {
        Self {
            n: 36,
            dt: 1.0 / 64.0,
            spin_up: 51_200,
            period: 4608,
            n_windows: 72,
            groups: 4,
            omega: std::f64::consts::TAU / 72.0,
            initial_seed: 0,
            initial_std: 0.01,
        }
    }
}

impl Forward for Lorenz96 {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let forcing = |j: usize| {
            let amplitude = thetas.scalar(NAMES[1], j).unwrap_or(0.0);
            Ok(Forcing { constant: thetas.needed("lorenz96", NAMES[0], j)?, amplitude })
        };
        let members = match (0..places.len()).map(forcing).collect::<Result<Vec<_>, ModelError>>() {
            Ok(members) => members,
            Err(error) => return vec![Err(error); places.len()],
        };
        let numbers = members.chunks(LANES).flat_map(|some| self.outputs_of(some, 1));
        let judged = |(numbers, member): (Vec<f64>, &Forcing)| {
            if numbers.iter().all(|x| x.is_finite()) {
                return split("lorenz96", &numbers, want);
            }
            let (f, a, dt) = (member.constant, member.amplitude, self.dt);
            let message = format!("the state blew up with F = {f}, A = {a}: `dt = {dt}` is too long for it");
            Err(ModelError::new(Cause::Output, message))
        };
        numbers.zip(&members).map(judged).collect()
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        CheckError::parameters("lorenz96", &NAMES[..1], &NAMES[1..], names)?;
        CheckError::outputs("lorenz96", self.groups, want)?;
        Ok(Vec::new())
    }

    fn shape(&self, names: &[(String, usize)]) -> Result<Option<Vec<(String, usize)>>, CheckError> {
        given(self, names, vec![("variance".into(), self.groups)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::Document;
    use crate::models::test_place;
    use std::path::Path;

    fn read(text: &str) -> Result<Lorenz96, Marked> {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        let top = document.section();
        Lorenz96::read(Some(&top))
    }

    fn run(model: &Lorenz96, f: &[f64], a: &[f64]) -> Vec<Result<Output, ModelError>> {
        let names = [("F".to_owned(), 1), ("A".to_owned(), 1)];
        let values = Mat::from_fn(2, f.len(), |i, j| if i == 0 { f[j] } else { a[j] });
        let mut places: Vec<_> = (1..=f.len()).map(|j| test_place(j as u32)).collect();
        let want = Want::series(vec![("v".into(), model.groups)]);
        model.run(ThetaRef { names: &names, values: &values }, &want, &mut places)
    }

    /// The same in the plainest words: no ghost cells, no lanes, all states kept, two passes.
    fn plain(model: &Lorenz96, f: f64, a: f64) -> Vec<f64> {
        let n = model.n;
        let slope = |x: &[f64], force: f64| -> Vec<f64> {
            let at = |i: usize, shift: usize| x[(i + n + shift - 2) % n];
            (0..n).map(|i| (at(i, 3) - at(i, 0)) * at(i, 1) - at(i, 2) + force).collect()
        };
        let add =
            |x: &[f64], h: f64, k: &[f64]| -> Vec<f64> { x.iter().zip(k).map(|(x, k)| x + h * k).collect() };
        let mut x = model.initial();
        let mut kept = Vec::new();
        for step in 1..model.spin_up + model.period {
            let t = step as f64 * model.dt;
            let force = f + a * (model.omega * t).sin();
            let k1 = slope(&x, force);
            let k2 = slope(&add(&x, model.dt / 2.0, &k1), force);
            let k3 = slope(&add(&x, model.dt / 2.0, &k2), force);
            let k4 = slope(&add(&x, model.dt, &k3), force);
            for i in 0..n {
                x[i] += model.dt / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
            }
            if step > model.spin_up {
                kept.extend_from_slice(&x);
            }
        }
        let size = model.states_per_window() * n;
        let variance = |w: &[f64]| {
            let mean = w.iter().sum::<f64>() / w.len() as f64;
            w.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (w.len() as f64 - 1.0)
        };
        let windows: Vec<f64> = kept.chunks_exact(size).take(model.n_windows).map(variance).collect();
        windows
            .chunks(model.n_windows / model.groups)
            .map(|g| g.iter().sum::<f64>() / g.len() as f64)
            .collect()
    }

    #[test]
    fn the_slow_twin_agrees_over_a_short_time() {
        // Chaos doubles a difference about every 0.4 time units: 1e-16 · 2^(8/0.4) is 1e-10
        for text in ["n = 36", "n = 7", "n = 40\nomega = 3.0"] {
            let model = read(&format!(
                "{text}\nt_start = 4\nwindow = 4\nn_windows = 6\ngroups = 3\ninitial_std = 1.0"
            ));
            let model = model.unwrap();
            for (f, a) in [(8.0, 2.5), (8.0, 0.0), (3.0, -1.0)] {
                let ours = run(&model, &[f], &[a]).remove(0).unwrap().blocks.remove(0);
                for (x, y) in ours.iter().zip(plain(&model, f, a)) {
                    assert!((x - y).abs() < 1e-9 * y, "{text} {f} {a}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn lanes_do_not_change_a_bit() {
        let model = read("t_start = 20\nwindow = 10\nn_windows = 8").unwrap();
        let f: Vec<f64> = (0..37).map(|j| 6.0 + 0.1 * f64::from(j)).collect();
        let a: Vec<f64> = (0..37).map(|j| 0.05 * f64::from(j)).collect();
        let together = run(&model, &f, &a);
        for j in [0, 15, 16, 36] {
            let alone = run(&model, &f[j..=j], &a[j..=j]).remove(0).unwrap();
            assert_eq!(&alone, together[j].as_ref().unwrap());
        }
        let five = run(&model, &f[3..8], &a[3..8]);
        assert_eq!(five[0].as_ref().unwrap(), together[3].as_ref().unwrap());
    }

    #[test]
    fn the_default_is_the_published_setting_and_the_truth_looks_like_itself() {
        let model = read("").unwrap();
        assert_eq!(model, Lorenz96::default());
        assert_eq!(model.states_per_window(), 63);
        // y at the truth lies within its own noise, and the first group of the peak of the wave is the largest:
        // energy grows with the forcing, sin is positive in the first half of the period
        let truth = model.truth_statistics(8.0, 2.5, 20).unwrap();
        let g = run(&model, &[8.0], &[2.5]).remove(0).unwrap().blocks.remove(0);
        for k in 0..4 {
            let sd = truth.covariance[(k, k)].sqrt();
            assert!(sd > 0.05 && sd < 2.0, "{truth:?}");
            assert!((g[k] - truth.mean[k]).abs() < 4.5 * sd, "{g:?} {truth:?}");
        }
        assert!(truth.mean[0] > truth.mean[2] && truth.mean[1] > truth.mean[3], "{truth:?}");
        // 20 periods of one trajectory begin with the period of a member
        let first = model.truth_statistics(8.0, 2.5, 1).unwrap();
        assert_eq!(first.mean, g);
    }

    #[test]
    fn what_blows_up_is_a_failed_member_and_its_neighbours_are_fine() {
        let model = read("t_start = 5\nwindow = 5\nn_windows = 4").unwrap();
        let all = run(&model, &[8.0, 1e6, 9.0], &[0.0; 3]);
        assert!(all[0].is_ok() && all[2].is_ok());
        assert_eq!(all[1].as_ref().unwrap_err().cause, Cause::Output);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (text, words) in [
            ("windows = 3", "unknown key"),
            ("n = 3", "out of range"),
            ("groups = 5", "does not divide"),
            ("n_windows = 5000\ngroups = 1", "out of range"),
            ("dt = 0.5", "out of range"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(words), "{text}");
        }
    }
}
