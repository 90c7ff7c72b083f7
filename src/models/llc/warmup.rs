//! Warming up of HMC: step size by dual averaging, variances by windows.

use serde::{Deserialize, Serialize};

/// Dual averaging of the logarithm of a step size towards an acceptance.
///
/// # Source
/// Hoffman & Gelman (2014), JMLR 15, 1593–1623, algorithm 5 with γ = 0.05, t₀ = 10, κ = 0.75. (blackjax averages
/// the iterate before the new one.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DualAveraging {
    mu: f64,
    h: f64,
    log_mean: f64,
    t: f64,
    /// ε of the next draw
    pub step: f64,
}

impl DualAveraging {
    /// Anew from a step size.
    pub fn new(step: f64) -> Self {
        Self { mu: (10.0 * step).ln(), h: 0.0, log_mean: 0.0, t: 0.0, step }
    }

    /// A draw was accepted with probability `accept`.
    pub fn update(&mut self, accept: f64, target: f64) {
        self.t += 1.0;
        let eta = 1.0 / (self.t + 10.0);
        self.h = (1.0 - eta) * self.h + eta * (target - accept);
        let log = self.mu - self.t.sqrt() / 0.05 * self.h;
        let weight = self.t.powf(-0.75);
        self.log_mean = weight * log + (1.0 - weight) * self.log_mean;
        self.step = log.exp();
    }

    /// ε̄: what is kept at the end.
    pub fn mean(&self) -> f64 {
        if self.t > 0.0 { self.log_mean.exp() } else { self.step }
    }
}

/// For each draw of warming up: whether variances are learnt, and whether a window of them ends.
pub fn schedule(draws: usize) -> Vec<(bool, bool)> {
    if draws < 20 {
        return vec![(false, false); draws];
    }
    let (mut fast, mut window, mut last) = (75, 25, 50);
    if fast + window + last > draws {
        fast = draws * 15 / 100;
        last = draws / 10;
        window = draws - fast - last;
    }
    let mut all = vec![(false, false); fast];
    let mut left = draws - fast - last;
    while left > 0 {
        if left < 3 * window {
            window = left;
        }
        all.extend(std::iter::repeat_n((true, false), window - 1));
        all.push((true, true));
        left -= window;
        window *= 2;
    }
    all.extend(std::iter::repeat_n((false, false), last));
    all
}

/// Means and variances as numbers come.
///
/// # Source
/// Welford (1962), Technometrics 4, 419–420, doi:10.1080/00401706.1962.10490022.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Welford {
    count: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Welford {
    /// One more vector.
    pub fn add(&mut self, x: impl ExactSizeIterator<Item = f64>) {
        if self.mean.is_empty() {
            self.mean = vec![0.0; x.len()];
            self.squares = vec![0.0; x.len()];
        }
        self.count += 1.0;
        for ((mean, squares), x) in self.mean.iter_mut().zip(&mut self.squares).zip(x) {
            let off = x - *mean;
            *mean += off / self.count;
            *squares += off * (x - *mean);
        }
    }

    /// Variances, divisor k − 1.
    pub fn variances(&self) -> Vec<f64> {
        self.squares.iter().map(|s| s / (self.count - 1.0).max(1.0)).collect()
    }

    /// (k/(k + 5)) var + 10⁻³ · 5/(k + 5)
    pub fn shrunk(&self) -> Vec<f64> {
        let k = self.count;
        self.variances().iter().map(|v| (k / (k + 5.0)) * v + 1e-3 * (5.0 / (k + 5.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::gradient::tests::numbers;
    use serde_json::Value;

    #[test]
    fn all_of_it_is_that_of_the_second_implementation() {
        let all: Value = serde_json::from_str(include_str!("../../../tests/reference/llc/hmc.json")).unwrap();
        let dual = &all["dual_averaging"];
        let mut ours = DualAveraging::new(dual["eps0"].as_f64().unwrap());
        let rows = numbers(&dual["accepts"]).into_iter().zip(numbers(&dual["eps"]));
        for ((accept, step), mean) in rows.zip(numbers(&dual["eps_bar"])) {
            ours.update(accept, 0.8);
            assert!((ours.step / step - 1.0).abs() < 1e-9 && (ours.mean() / mean - 1.0).abs() < 1e-9);
        }
        for (draws, want) in all["warmup"].as_object().unwrap() {
            let ours = schedule(draws.parse().unwrap());
            let want: Vec<(bool, bool)> = want
                .as_array()
                .unwrap()
                .iter()
                .map(|w| (w[0].as_i64() == Some(1), w[1].as_bool().unwrap()))
                .collect();
            assert_eq!(ours, want, "{draws}");
        }
        let mut welford = Welford::default();
        for row in all["metric"]["samples"].as_array().unwrap() {
            welford.add(numbers(row).into_iter());
        }
        for (got, want) in welford.shrunk().iter().zip(numbers(&all["metric"]["inv_mass"])) {
            assert!((got / want - 1.0).abs() < 1e-9);
        }
    }
}
