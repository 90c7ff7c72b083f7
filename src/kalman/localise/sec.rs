//! Corrections of sample correlations: small ones are likely accidents, large ones hardly.
//!
//! Belongs here: three rules on matrices of correlations. Not here: how correlations become covariances again.
//!
//! # Source
//! `sec`: Lee (2021), arXiv:2105.11341. `sec-fisher`: Flowerdew (2015), Tellus A 67, 25257,
//! doi:10.3402/tellusa.v67.25257. `sec-nice`: Vishny, Morzfeld, Gwirtz, Bach, Dunbar & Hodyss (2024), "High-dimensional
//! covariance estimation from a small number of samples", J. Adv. Model. Earth Syst. 16, e2024MS004417,
//! doi:10.1029/2024MS004417. All as in EnsembleKalmanProcesses.jl 2.7.1, but for `Std::Theory`.

use crate::numerics::Mat;

/// Correlations are kept this far from ±1 by two of the rules: 10⁸ eps.
const CLIP: f64 = 1e8 * f64::EPSILON;

/// What is done to a sample correlation ρ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// ρ |ρ|^α, and 0 where that is no larger than `cutoff`
    Sec {
        /// α ≥ 0
        alpha: f64,
        /// 0 to 1
        cutoff: f64,
    },
    /// ρ Q²/(1 + Q²) with Q = ρ/σ, σ the deviation of ρ by Fisher's transformation; needs more than 3 members
    Fisher,
    /// A power of ρ, as high as the noise of the whole block allows
    Nice {
        /// Noise taken from correlations of parameters and outputs, in units of its expected size
        delta_ug: f64,
        /// The same for correlations of outputs
        delta_gg: f64,
        /// How large the noise of a correlation is expected to be
        std: Std,
    },
}

/// Standard deviation of a sample correlation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Std {
    /// (1 − ρ)/√J, as in EKP.jl: too large for negative ρ, and another number when an output changes its sign
    Peer,
    /// (1 − ρ²)/√(J − 1), that of a Gaussian sample to first order
    Theory,
}

/// Whose correlations a square block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// Parameters
    Parameters,
    /// Outputs
    Outputs,
}

impl Correction {
    /// Correlations of parameters with outputs, d × p, estimated from `members`.
    pub fn cross(&self, rho: &mut Mat, members: usize) {
        match *self {
            Self::Sec { alpha, cutoff } => each(rho, |r| power(r, alpha, cutoff)),
            Self::Fisher => each(rho, |r| fisher(clip(r), members)),
            Self::Nice { delta_ug, std, .. } => {
                each(rho, clip);
                nice(rho, delta_ug, members, std);
            }
        }
    }

    /// Correlations within one set, n × n.
    pub fn within(&self, rho: &mut Mat, members: usize, whose: Within) {
        match *self {
            Self::Sec { alpha, cutoff } => each(rho, |r| power(r, alpha, cutoff)),
            Self::Fisher => {
                each(rho, |r| fisher(clip(r), members));
                (0..rho.nrows()).for_each(|i| rho[(i, i)] = 1.0);
            }
            Self::Nice { delta_gg, std, .. } => {
                each(rho, clip);
                if whose == Within::Outputs {
                    nice(rho, delta_gg, members, std);
                }
            }
        }
    }

    /// Fewest members the rule works with.
    pub fn least_members(&self) -> usize {
        if matches!(self, Self::Fisher) { 4 } else { 2 }
    }
}

fn each(rho: &mut Mat, rule: impl Fn(f64) -> f64) {
    rho.data_mut().iter_mut().for_each(|r| *r = rule(*r));
}

fn clip(r: f64) -> f64 {
    r.clamp(CLIP - 1.0, 1.0 - CLIP)
}

fn power(r: f64, alpha: f64, cutoff: f64) -> f64 {
    let r = r * r.abs().powf(alpha);
    if r.abs() > cutoff { r } else { 0.0 }
}

fn fisher(r: f64, members: usize) -> f64 {
    let (s, delta) = (r.atanh(), 1.0 / (members as f64 - 3.0).sqrt());
    let sigma = 0.5 * ((s + delta).tanh() - (s - delta).tanh());
    let q = (r / sigma).powi(2);
    r * q / (1.0 + q)
}

/// The correlations B become ((1 − a) B^(γ−2) + a B^γ) ∘ B, powers entry by entry: γ is the first of 2, 4, … 10 at which
/// the change exceeds the noise expected of B, and a the largest of ten shares from 1 to 0 at which it does not.
fn nice(b: &mut Mat, delta: f64, members: usize, std: Std) {
    let n = members as f64;
    let sum = |change: &dyn Fn(f64) -> f64| b.data().iter().map(|&r| change(r).powi(2)).sum::<f64>().sqrt();
    let target = delta
        * match std {
            Std::Peer => sum(&|r| 1.0 - r) / n.sqrt(),
            Std::Theory => sum(&|r| 1.0 - r * r) / (n - 1.0).sqrt(),
        };
    let exceeds = |gamma: &i32| sum(&|r| r.powi(gamma + 1) - r) > target;
    let gamma = [2, 4, 6, 8, 10].into_iter().find(exceeds).unwrap_or(10);
    for step in 0..10 {
        let a = 1.0 - f64::from(step) / 9.0;
        let rule = |r: f64| ((1.0 - a) * r.powi(gamma - 2) + a * r.powi(gamma)) * r;
        if sum(&|r| rule(r) - r) < target {
            each(b, rule);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::rough;

    #[test]
    fn no_rule_makes_a_correlation_larger_or_turns_it() {
        let mut b = rough(1, 6, 9);
        each(&mut b, f64::tanh);
        for rule in [
            Correction::Sec { alpha: 0.5, cutoff: 0.1 },
            Correction::Fisher,
            Correction::Nice { delta_ug: 1.0, delta_gg: 1.0, std: Std::Peer },
            Correction::Nice { delta_ug: 0.5, delta_gg: 1.0, std: Std::Theory },
        ] {
            let mut after = b.clone();
            rule.cross(&mut after, 8);
            for (after, before) in after.data().iter().zip(b.data()) {
                assert!(after * before >= 0.0 && after.abs() <= before.abs(), "{rule:?}: {before} {after}");
            }
            assert_ne!(after, b);
        }
    }

    #[test]
    fn no_noise_leaves_everything_and_the_sign_of_an_output_does_not_matter() {
        let mut b = rough(2, 4, 5);
        each(&mut b, |x| clip(x.tanh()));
        let mut still = b.clone();
        nice(&mut still, 0.0, 10, Std::Peer);
        assert_eq!(still, b);
        // Turning an output over turns its column, and no more
        let (mut plain, mut turned) = (b.clone(), b.clone());
        turned.col_mut(2).iter_mut().for_each(|x| *x = -*x);
        nice(&mut plain, 1.0, 10, Std::Theory);
        nice(&mut turned, 1.0, 10, Std::Theory);
        plain.col_mut(2).iter_mut().for_each(|x| *x = -*x);
        assert_eq!(plain, turned);
    }
}
