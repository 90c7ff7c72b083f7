//! The row of a cell in the table of results: names and order of the columns, as pure functions.
//!
//! What a run cannot know of itself (state, attempt, host, job, seconds) is added by whoever merges; seconds are in
//! the run's `timing.toml`, because a row is part of an outcome, whose bytes do not depend on when and where.

use crate::files::TomlText;
use crate::models::cell::{Row, Scalar};
use crate::models::llc::ids::{hash, inline};
use crate::models::llc::sample::{SampleOptions, SampleOutcome, Sampler, TRACE, lengths};
use crate::models::llc::target::{Target, TargetRecord};

fn text(word: impl Into<String>) -> Scalar {
    Scalar::Text(word.into())
}
fn count(n: impl TryInto<i64>) -> Scalar {
    Scalar::Integer(n.try_into().unwrap_or(i64::MAX))
}

/// Facts that a target and a run on it share.
fn target_facts(row: &mut Row, f: &TargetRecord) {
    let (d_in, d_out) = (f.sizes.first().copied().unwrap_or(f.p), f.sizes.last().copied().unwrap_or(1));
    let hidden: Vec<String> =
        f.sizes.iter().skip(1).take(f.sizes.len().saturating_sub(2)).map(usize::to_string).collect();
    row.push("model", text(&f.presets[0]))
        .push("data", text(&f.presets[1]))
        .push("teacher", text(&f.presets[2]))
        .push("depth", count(hidden.len()))
        .push("widths", text(hidden.join(",")))
        .push("activation", text(&f.activation))
        .push("p", count(f.p))
        .push("n", count(f.n))
        .push("d_in", count(d_in))
        .push("d_out", count(d_out))
        .push("target_seed", count(f.seed));
}

/// Row of a target.
pub fn target_row(target: &Target) -> Row {
    let (mut row, f) = (Row::default(), &target.facts);
    row.push("target_id", text(&f.target_id));
    target_facts(&mut row, f);
    row.push("loss", text(&f.loss))
        .push("precision", text(&f.precision))
        .push("L0", Scalar::Float(f.l0))
        .push("grad_norm_inf", Scalar::Float(f.grad_norm_inf))
        .push("train_steps", count(f.train_steps))
        .push("stop_reason", text(&f.stop_reason))
        .push("llc_true", Scalar::Float(f.llc_true.unwrap_or(f64::NAN)))
        .push("config_hash", text(&f.config_hash));
    row
}

/// Row of a run: the columns of the table of results, in their order, but for those of the merge.
pub fn sample_row(outcome: &SampleOutcome, options: &SampleOptions, target: &Target) -> Row {
    let (mut row, f, a) = (Row::default(), &target.facts, &outcome.analysis);
    let float = Scalar::Float;
    let (beta, n_beta, gamma) = outcome.posterior;
    let (draws, warmup, thin) = lengths(&options.sampler);
    let leapfrog = if let Sampler::Hmc(o) = &options.sampler { o.leapfrog } else { 0 };
    let batch = match &options.sampler {
        Sampler::Sgld(o) => o.batch,
        Sampler::Vi(o) => o.batch,
        _ => 0,
    };
    let payload = options.payload(&f.target_id);
    row.push("target_id", text(&f.target_id))
        .push("run_id", text(&outcome.run_id))
        .push("sampler", text(options.word()))
        .push("label", text(&options.label))
        .push("diverged", Scalar::Bool(!a.llc_mean.is_finite()))
        .push("mark", text(a.mark().unwrap_or_default()));
    target_facts(&mut row, f);
    row.push("seed", count(options.seed as i64))
        .push("loss", text(&f.loss))
        .push("precision", text(&f.precision))
        .push("L0", float(f.l0))
        .push("grad_norm_inf", float(f.grad_norm_inf))
        .push("beta", float(beta))
        .push("n_beta", float(n_beta))
        .push("gamma", float(gamma))
        .push("chains", count(options.chains))
        .push("draws", count(draws))
        .push("warmup", count(warmup))
        .push("thin", count(thin))
        .push("llc_mean", float(a.llc_mean))
        .push("llc_std", float(a.llc_std))
        .push("llc_min", float(a.llc_min))
        .push("llc_max", float(a.llc_max))
        .push("llc_sem", float(a.llc_sem))
        .push("llc_mcse", float(a.llc_mcse))
        .push("llc_minibatch", float(a.llc_minibatch))
        .push("llc_true", float(f.llc_true.unwrap_or(f64::NAN)))
        .push("r_hat", float(a.r_hat))
        .push("ess", float(a.ess))
        .push("ess_bulk", float(a.ess_bulk))
        .push("ess_tail", float(a.ess_tail))
        .push("acceptance", float(a.acceptance))
        .push("divergences", count(a.divergences))
        .push("frac_below_L0", float(a.frac_below_l0))
        .push("step_size", float(outcome.chains.step_size))
        .push("stability", float(outcome.chains.stability))
        .push("e_bfmi", float(a.e_bfmi))
        .push("energy_variance", float(a.energy_variance))
        .push("max_distance", float(a.max_distance))
        .push("n_leapfrog", count(leapfrog))
        .push("batch", count(batch))
        .push("precond", text(options.precond()))
        .push("total_fge", float(a.total_fge))
        .push("max_fge", float(a.max_fge))
        .push("fge_warmup", float(a.fge_warmup))
        .push("loss_evals", float(a.loss_evals))
        .push("wnv", float(a.wnv))
        .push("efficiency_work", float(a.efficiency_work))
        .push("code_version", text(env!("CARGO_PKG_VERSION")))
        .push("config_hash", text(hash(&payload)))
        .push("params_toml", text(inline(&payload)));
    row
}

/// `analysis.toml`: the row, and the trace it stands on.
pub(super) fn analysis_text(
    outcome: &SampleOutcome,
    options: &SampleOptions,
    target: &Target,
    trace: &str,
) -> String {
    let mut text = TomlText::comments(
        "ekp llc-sample: what a trace says. Missing is nan. Columns of trace.npy, a row for each kept draw:\n\
         chain and draw from 0; fge: full-gradient equivalents of the chain so far, warming up not counted",
    );
    text.text("schema", "ekp.llc-analysis")
        .number("version", 1)
        .text("trace", trace)
        .texts("columns", &TRACE);
    for (name, value) in sample_row(outcome, options, target).facts {
        text.raw(&format!("{name} = {}", value.toml()));
    }
    text.finish()
}
