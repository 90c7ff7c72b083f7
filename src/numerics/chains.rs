//! Whether chains of a sampler agree, and how many independent draws they are worth.
//!
//! A trace is one scalar along `m` chains of one length. All functions are pure; a value that cannot be told is
//! `None`, never a number that looks like one.
//!
//! # Source
//! Vehtari, Gelman, Simpson, Carpenter & Bürkner (2021), Bayesian Analysis 16, 667–718, doi:10.1214/20-BA1221;
//! truncation: Geyer (1992), Statistical Science 7, 473–483, in the form of arviz 0.23.

use crate::numerics::special::normal_quantile;

/// Chains cut in two halves; of an odd length the middle draw is left out.
fn halves(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let half = |c: &Vec<f64>| [c[..c.len() / 2].to_vec(), c[c.len() - c.len() / 2..].to_vec()];
    let (first, second): (Vec<_>, Vec<_>) = chains.iter().map(half).map(|[a, b]| (a, b)).unzip();
    [first, second].concat()
}

/// Each value's place among all of them as a normal quantile: Φ⁻¹((rank − 3/8)/(S + 1/4)); ties share their mean rank.
fn normalised(chains: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let n = chains.first().map_or(0, Vec::len);
    let all: Vec<f64> = chains.concat();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| all[a].total_cmp(&all[b]));
    let mut scores = vec![0.0; all.len()];
    let mut from = 0;
    while from < order.len() {
        let mut to = from + 1;
        while to < order.len() && all[order[to]] == all[order[from]] {
            to += 1;
        }
        let rank = (from + to + 1) as f64 / 2.0;
        let score = normal_quantile((rank - 0.375) / (all.len() as f64 + 0.25));
        order[from..to].iter().for_each(|&k| scores[k] = score);
        from = to;
    }
    scores.chunks(n.max(1)).map(<[f64]>::to_vec).collect()
}

fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Divisor n − 1.
fn variance(x: &[f64]) -> f64 {
    let m = mean(x);
    x.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0)
}

/// √((B/W + n − 1)/n) as it is, without splitting.
fn r_hat_of(chains: &[Vec<f64>]) -> Option<f64> {
    let n = chains.first()?.len() as f64;
    let means: Vec<f64> = chains.iter().map(|c| mean(c)).collect();
    let between = n * variance(&means);
    let within = mean(&chains.iter().map(|c| variance(c)).collect::<Vec<_>>());
    Some(((between / within + n - 1.0) / n).sqrt()).filter(|r| r.is_finite())
}

/// R-hat of rank-normalised halves, or of their distance from the median, whichever is larger.
pub fn r_hat(chains: &[Vec<f64>]) -> Option<f64> {
    if !usable(chains, 4) {
        return None;
    }
    let halves = halves(chains);
    let mut all = halves.concat();
    all.sort_by(f64::total_cmp);
    let median = (all[(all.len() - 1) / 2] + all[all.len() / 2]) / 2.0;
    let folded: Vec<Vec<f64>> =
        halves.iter().map(|c| c.iter().map(|x| (x - median).abs()).collect()).collect();
    Some(r_hat_of(&normalised(&halves))?.max(r_hat_of(&normalised(&folded))?))
}

/// Chains of one length, long enough, all numbers finite.
fn usable(chains: &[Vec<f64>], least: usize) -> bool {
    let n = chains.first().map_or(0, Vec::len);
    n >= least && chains.iter().all(|c| c.len() == n && c.iter().all(|x| x.is_finite()))
}

/// Draws that the chains are worth for the mean of their trace, not split.
fn ess_of(chains: &[Vec<f64>]) -> Option<f64> {
    let (m, n) = (chains.len() as f64, chains.first()?.len());
    let length = n as f64;
    let mut covariance = vec![0.0; n];
    for chain in chains {
        for (sum, c) in covariance.iter_mut().zip(autocovariance(chain)) {
            *sum += c / m;
        }
    }
    let within = covariance[0] * length / (length - 1.0);
    let means: Vec<f64> = chains.iter().map(|c| mean(c)).collect();
    let total = within * (length - 1.0) / length + if chains.len() > 1 { variance(&means) } else { 0.0 };
    if total.is_nan() || total <= 0.0 {
        return None;
    }
    let rho = |t: usize| if t == 0 { 1.0 } else { 1.0 - (within - covariance[t]) / total };
    // Pairs (ρ₀, ρ₁), (ρ₂, ρ₃), … until one has no positive sum; the last one looked at is never a whole pair.
    let (mut pairs, mut t) = (Vec::new(), 0);
    while t + 2 < n - 2 && rho(t) + rho(t + 1) > 0.0 {
        pairs.push(rho(t) + rho(t + 1));
        t += 2;
    }
    let last = rho(t).max(0.0);
    let mut least = f64::INFINITY;
    let sum: f64 = pairs
        .into_iter()
        .map(|pair| {
            least = least.min(pair);
            least
        })
        .sum();
    let draws = m * length;
    let tau = (-1.0 + 2.0 * sum + last).max(1.0 / draws.log10());
    Some(draws / tau).filter(|ess| ess.is_finite())
}

/// Draws that the middle of the distribution is known by.
pub fn ess_bulk(chains: &[Vec<f64>]) -> Option<f64> {
    usable(chains, 10).then(|| ess_of(&normalised(&halves(chains))))?
}

/// Draws that the mean is known by.
pub fn ess_mean(chains: &[Vec<f64>]) -> Option<f64> {
    usable(chains, 10).then(|| ess_of(&halves(chains)))?
}

/// Draws that the 5 % and 95 % quantiles are known by: the smaller of both.
pub fn ess_tail(chains: &[Vec<f64>]) -> Option<f64> {
    if !usable(chains, 10) {
        return None;
    }
    let mut all = chains.concat();
    all.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = q * (all.len() - 1) as f64;
        let (low, high) = (all[at.floor() as usize], all[at.ceil() as usize]);
        low + (high - low) * at.fract()
    };
    let below = |limit: f64| -> Vec<Vec<f64>> {
        let flag = |x: &f64| f64::from(u8::from(*x <= limit));
        chains.iter().map(|c| c.iter().map(flag).collect()).collect()
    };
    let of = |q: f64| ess_of(&halves(&below(quantile(q))));
    Some(of(0.05)?.min(of(0.95)?))
}

/// Autocovariances of lags 0 … n − 1, divisor n, through a Fourier transform of twice the length.
fn autocovariance(x: &[f64]) -> Vec<f64> {
    let (n, m) = (x.len(), mean(x));
    let size = (2 * n).next_power_of_two();
    let mut a: Vec<(f64, f64)> = x.iter().map(|x| (x - m, 0.0)).collect();
    a.resize(size, (0.0, 0.0));
    transform(&mut a);
    a.iter_mut().for_each(|z| *z = (z.0 * z.0 + z.1 * z.1, 0.0));
    transform(&mut a); // of an even real sequence: forth is back, but for the factor
    a[..n].iter().map(|z| z.0 / (size as f64 * n as f64)).collect()
}

/// Fourier transform in place, length a power of two: Cooley & Tukey (1965), doi:10.2307/2003354.
fn transform(a: &mut [(f64, f64)]) {
    let n = a.len();
    let shift = usize::BITS - n.trailing_zeros();
    for i in 0..n {
        let j = if n == 1 { 0 } else { i.reverse_bits() >> shift };
        if i < j {
            a.swap(i, j);
        }
    }
    let turn = |k: usize| {
        let angle = -std::f64::consts::TAU * k as f64 / n as f64;
        (angle.cos(), angle.sin())
    };
    let turns: Vec<(f64, f64)> = (0..n / 2).map(turn).collect();
    let mut half = 1;
    while half < n {
        for block in a.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (x, y)) in low.iter_mut().zip(high).enumerate() {
                let (c, s) = turns[k * (n / (2 * half))];
                let z = (y.0 * c - y.1 * s, y.0 * s + y.1 * c);
                (*x, *y) = ((x.0 + z.0, x.1 + z.1), (x.0 - z.0, x.1 - z.1));
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn all_values_are_those_of_the_second_implementation() {
        // numpy, confirmed by arviz 0.23: tests/reference/llc/README.md
        let text = include_str!("../../tests/reference/llc/diagnostics.json");
        let all: Value = serde_json::from_str(text).unwrap();
        for (k, case) in all["cases"].as_array().unwrap().iter().enumerate() {
            let numbers = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
            let chains: Vec<Vec<f64>> = case["chains"].as_array().unwrap().iter().map(numbers).collect();
            for (name, got) in [
                ("rhat_rank", r_hat(&chains)),
                ("ess_bulk", ess_bulk(&chains)),
                ("ess_tail", ess_tail(&chains)),
                ("ess_mean", ess_mean(&chains)),
            ] {
                let want = case[name].as_f64().unwrap();
                let got = got.unwrap_or_else(|| panic!("case {k}: no {name}"));
                assert!(
                    (got - want).abs() < 1e-9 * want.abs().max(1.0),
                    "case {k}: {name} {got}, not {want}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_told_is_missing() {
        let constant = vec![vec![1.0; 50]; 4];
        assert_eq!((r_hat(&constant), ess_mean(&constant), ess_tail(&constant)), (None, None, None));
        assert_eq!((r_hat(&[]), ess_bulk(&[])), (None, None));
        assert_eq!(ess_bulk(&[vec![1.0, 2.0, f64::NAN, 3.0, 1.0, 2.0, 1.0, 5.0, 3.0, 4.0]]), None);
    }

    #[test]
    fn the_transform_is_the_sum_it_stands_for() {
        let x: Vec<(f64, f64)> = (0..8).map(|k| (f64::from(k * k % 7), f64::from(k % 3))).collect();
        let mut fast = x.clone();
        transform(&mut fast);
        for (k, z) in fast.iter().enumerate() {
            let mut sum = (0.0, 0.0);
            for (j, x) in x.iter().enumerate() {
                let angle = -std::f64::consts::TAU * (j * k) as f64 / 8.0;
                sum.0 += x.0 * angle.cos() - x.1 * angle.sin();
                sum.1 += x.0 * angle.sin() + x.1 * angle.cos();
            }
            assert!((z.0 - sum.0).abs() + (z.1 - sum.1).abs() < 1e-13); // eight terms below ten
        }
    }
}
