//! What a trace says: the coefficient, its error, and whether to believe it.

use crate::models::llc::driver::Chains;
use crate::numerics::chains::{ess_bulk, ess_mean, ess_tail, r_hat};

/// Above this R-hat chains have not met, and a cell is marked.
pub const R_HAT_LIMIT: f64 = 1.1;

/// Diagnostics of one run. NaN is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Analysis {
    /// Mean of nβ(L_n(w) − L_n(w*)) over kept draws of all chains
    pub llc_mean: f64,
    /// Standard deviation, divisor N
    pub llc_std: f64,
    /// Smallest
    pub llc_min: f64,
    /// Largest
    pub llc_max: f64,
    /// `llc_std`/√`ess`
    pub llc_sem: f64,
    /// sd/√(draws the mean is worth): the error of `llc_mean`
    pub llc_mcse: f64,
    /// The same mean from minibatch losses, SGLD alone
    pub llc_minibatch: f64,
    /// Rank-normalised split R-hat
    pub r_hat: f64,
    /// The smaller of the two below
    pub ess: f64,
    /// For the middle
    pub ess_bulk: f64,
    /// For the tails
    pub ess_tail: f64,
    /// Mean, where it is known
    pub acceptance: f64,
    /// Kept draws that were lost
    pub divergences: u64,
    /// Share of kept losses below L_n(w*): above 0.01 w* was no minimum
    pub frac_below_l0: f64,
    /// Largest ‖w − w*‖
    pub max_distance: f64,
    /// Σ(ΔH)²/Σ(H − H̄)², mean over chains: HMC alone
    pub e_bfmi: f64,
    /// Var(E)/d: MCLMC alone
    pub energy_variance: f64,
    /// Gradients of kept draws, full-gradient equivalents, all chains
    pub total_fge: f64,
    /// The chain that worked most
    pub max_fge: f64,
    /// Gradients of warming up, all chains
    pub fge_warmup: f64,
    /// Losses evaluated alone
    pub loss_evals: f64,
    /// `llc_mcse`² · `total_fge`
    pub wnv: f64,
    /// `ess`/`total_fge`
    pub efficiency_work: f64,
}

/// What kind of draws they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// With acceptance and energies of trajectories
    Hmc,
    /// With changes of energy, in so many dimensions
    Mclmc(usize),
    /// Neither
    Sgld,
    /// Independent draws
    Independent,
}

/// nβ(L − L₀) of each chain.
pub fn llc(chains: &Chains, n_beta: f64, l0: f64) -> Vec<Vec<f64>> {
    chains.draws.iter().map(|c| c.iter().map(|d| n_beta * (d.loss - l0)).collect()).collect()
}

fn mean(all: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = all.clone().count() as f64;
    all.sum::<f64>() / n
}

/// Diagnostics of kept draws.
pub fn analyse(chains: &Chains, n_beta: f64, l0: f64, kind: Trace) -> Analysis {
    let traces = llc(chains, n_beta, l0);
    let all: Vec<f64> = traces.concat();
    let draws = || chains.draws.iter().flatten();
    let n = all.len() as f64;
    let llc_mean = all.iter().sum::<f64>() / n;
    let squares: f64 = all.iter().map(|x| (x - llc_mean).powi(2)).sum();
    let missing = |x: Option<f64>| x.unwrap_or(f64::NAN);
    let independent = kind == Trace::Independent;
    let own = |f: fn(&[Vec<f64>]) -> Option<f64>| if independent { n } else { missing(f(&traces)) };
    let (bulk, tail, for_mean) = (own(ess_bulk), own(ess_tail), own(ess_mean));
    let told = traces.len() >= 2 && n >= 20.0 && !independent;
    let ess = if bulk.is_nan() || tail.is_nan() { f64::NAN } else { bulk.min(tail) };
    let llc_std = (squares / n).sqrt();
    let llc_mcse = (squares / (n - 1.0) / for_mean).sqrt();
    let total_fge: f64 = draws().map(|d| d.fge).sum();
    let of_chain = |of: &dyn Fn(&[f64]) -> f64| {
        let energies = chains.draws.iter().map(|c| c.iter().map(|d| d.energy).collect::<Vec<f64>>());
        mean(energies.map(|e| of(&e)).collect::<Vec<f64>>().into_iter())
    };
    let spread = |e: &[f64]| {
        let m = mean(e.iter().copied());
        e.iter().map(|x| (x - m).powi(2)).sum::<f64>()
    };
    Analysis {
        llc_mean,
        llc_std,
        llc_min: all.iter().copied().fold(f64::INFINITY, f64::min),
        llc_max: all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        llc_sem: llc_std / ess.sqrt(),
        llc_mcse,
        llc_minibatch: n_beta * (mean(draws().map(|d| d.batch_loss)) - l0),
        r_hat: if told { missing(r_hat(&traces)) } else { f64::NAN },
        ess,
        ess_bulk: bulk,
        ess_tail: tail,
        acceptance: mean(draws().map(|d| d.accept).filter(|accept| !accept.is_nan())),
        divergences: draws().filter(|d| d.divergent).count() as u64,
        frac_below_l0: draws().filter(|d| d.loss < l0).count() as f64 / n,
        max_distance: draws().fold(0.0, |most, d| d.distance.max(most)),
        e_bfmi: match kind {
            Trace::Hmc => of_chain(&|e| e.windows(2).map(|e| (e[1] - e[0]).powi(2)).sum::<f64>() / spread(e)),
            _ => f64::NAN,
        },
        energy_variance: match kind {
            Trace::Mclmc(d) => of_chain(&|e| spread(e) / e.len() as f64) / d as f64,
            _ => f64::NAN,
        },
        total_fge,
        max_fge: chains.draws.iter().map(|c| c.iter().map(|d| d.fge).sum()).fold(0.0, f64::max),
        fge_warmup: chains.warmup[0],
        loss_evals: chains.warmup[1] + draws().map(|d| d.losses).sum::<f64>(),
        // Draws that cost no gradient (VI) have no such numbers: the work was done before.
        wnv: if total_fge > 0.0 { llc_mcse * llc_mcse * total_fge } else { f64::NAN },
        efficiency_work: if total_fge > 0.0 { ess / total_fge } else { f64::NAN },
    }
}

impl Analysis {
    /// Why not to believe it, if so: chains that have not met, or that left for infinity.
    pub fn mark(&self) -> Option<String> {
        if !self.llc_mean.is_finite() {
            return Some("diverged: the loss is not finite".into());
        }
        if self.r_hat > R_HAT_LIMIT {
            return Some(format!("R-hat {:.3} is above {R_HAT_LIMIT}: the chains have not met", self.r_hat));
        }
        (self.frac_below_l0 > 0.01)
            .then(|| format!("{:.0} % of losses are below L0: w* is no minimum", 100.0 * self.frac_below_l0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::method::Draw;

    #[test]
    fn numbers_are_those_of_their_definitions() {
        let draw = |k: u32| Draw { loss: f64::from(k % 5), fge: 2.0, accept: 0.5, ..Draw::default() };
        let draws: Vec<Vec<Draw>> = (0..2).map(|c| (0..50).map(|k| draw(k * k + c)).collect()).collect();
        let chains = Chains { draws, warmup: [7.0, 1.0], step_size: 0.1, stability: 0.2, seconds: [0.0; 2] };
        let got = analyse(&chains, 10.0, 1.0, Trace::Hmc);
        let all = llc(&chains, 10.0, 1.0).concat();
        assert!((got.llc_mean - all.iter().sum::<f64>() / 100.0).abs() < 1e-12);
        assert!(got.llc_min == -10.0 && got.total_fge == 200.0 && got.max_fge == 100.0);
        assert!((got.wnv - got.llc_mcse.powi(2) * 200.0).abs() < 1e-12);
        assert!((got.acceptance - 0.5).abs() < 1e-15 && got.mark().is_some());
        let free = analyse(&chains, 10.0, 1.0, Trace::Independent);
        assert!(free.r_hat.is_nan() && free.ess == 100.0);
    }
}
