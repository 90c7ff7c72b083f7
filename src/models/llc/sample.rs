//! `[model.llc-sample]`: a sampler on a target, from options to a trace and its row.
//!
//! Leaves `trace.npy` (a row for each kept draw), `analysis.toml`, and, last of its own, `timing.toml` beside them: the
//! only file with seconds in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::explain::Marked;
use crate::files::human::Section;
use crate::files::{FileError, npy, publish};
use crate::models::llc::analysis::{Analysis, Trace, analyse, llc};
use crate::models::llc::density::Setting;
use crate::models::llc::driver::{self, Carry, Chains, Ended};
use crate::models::llc::hmc::{Hmc, Metric};
use crate::models::llc::ids::{Value, id};
use crate::models::llc::known::beta_star;
use crate::models::llc::log::Log;
use crate::models::llc::mclmc::Mclmc;
use crate::models::llc::method::Method;
use crate::models::llc::sgld::{Precondition, Sgld};
use crate::models::llc::target::Target;
use crate::models::llc::vi::MeanField;
use crate::models::{Cause, ModelError};
use crate::numerics::Streams;
use crate::numerics::panels::Real;

/// A sampler with its options.
#[derive(Debug, Clone, PartialEq)]
pub enum Sampler {
    /// Hamiltonian Monte Carlo
    Hmc(Hmc),
    /// Microcanonical Langevin Monte Carlo
    Mclmc(Mclmc),
    /// Stochastic gradient Langevin dynamics
    Sgld(Sgld),
    /// Mean-field variational inference
    Vi(MeanField),
}

/// Everything that makes a run on a target.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleOptions {
    /// Name of the sampler with its options, for the table
    pub label: String,
    /// Of the chains
    pub seed: u64,
    /// How many
    pub chains: u32,
    /// β₀/ln n, or β₀ itself
    pub beta_over_log_n: bool,
    /// β₀
    pub beta0: f64,
    /// γ
    pub gamma: f64,
    /// Above 0: γ = p/radius² in its place
    pub prior_radius: f64,
    /// How
    pub sampler: Sampler,
}

const SAMPLERS: [&str; 4] = ["hmc", "mclmc", "sgld", "vi"];
const MANY: i64 = 4_000_000_000;

impl SampleOptions {
    /// From `[model.llc-sample]`; all keys have defaults. The caller finishes the section.
    ///
    /// # Errors
    /// A value has another type or is out of range; a key of a table within it is unknown.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let word = section.choice("sampler", &SAMPLERS)?.unwrap_or("hmc");
        let label = section.opt::<String>("label")?.unwrap_or_else(|| word.to_owned());
        let seed = section.integer("seed", 0..=i64::MAX)?.unwrap_or(12_345) as u64;
        let chains = section.integer("chains", 1..=10_000)?.unwrap_or(4) as u32;
        let above = |s: &Section<'_>, key: &str| s.number(key, "above 0", |x| x > 0.0);
        let count = |s: &Section<'_>, key: &str, low: i64, default: u64| -> Result<u64, Marked> {
            Ok(s.integer(key, low..=MANY)?.map_or(default, |n| n as u64))
        };
        let posterior = section.section("posterior")?;
        let (mut over, mut beta0, mut gamma, mut radius) = (true, 1.0, 1.0, 0.0);
        if let Some(p) = &posterior {
            over = p.choice("beta_mode", &["1_over_log_n", "fixed"])?.is_none_or(|w| w != "fixed");
            beta0 = above(p, "beta0")?.unwrap_or(beta0);
            gamma = p.number("gamma", "at least 0", |x| x >= 0.0)?.unwrap_or(gamma);
            radius = p.number("prior_radius", "at least 0", |x| x >= 0.0)?.unwrap_or(radius);
            p.finish()?;
        }
        let sampler = match word {
            "mclmc" => Sampler::Mclmc(Mclmc {
                draws: count(section, "draws", 1, 1000)?,
                warmup: count(section, "warmup", 0, 1000)?,
                steps_per_draw: count(section, "steps_per_draw", 1, 1)?,
                length: above(section, "L")?,
                step_size: above(section, "step_size")?,
                minimal_norm: section.choice("integrator", &["mclachlan", "velocity_verlet"])?
                    != Some("velocity_verlet"),
            }),
            "sgld" => {
                let options = Sgld {
                    steps: count(section, "steps", 1, 781_250)?,
                    warmup: count(section, "warmup", 0, 50_000)?,
                    batch: count(section, "batch", 1, 256)? as usize,
                    step_size: above(section, "step_size")?,
                    eval_every: count(section, "eval_every", 1, 100)?,
                    precondition: match section.choice("precond", &["none", "rmsprop", "adam"])? {
                        Some("rmsprop") => Precondition::Rmsprop,
                        Some("adam") => Precondition::Adam,
                        _ => Precondition::None,
                    },
                    beta1: section
                        .number("beta1", "from 0 to below 1", |x| (0.0..1.0).contains(&x))?
                        .unwrap_or(0.9),
                    beta2: section
                        .number("beta2", "from 0 to below 1", |x| (0.0..1.0).contains(&x))?
                        .unwrap_or(0.999),
                    denominator: above(section, "eps")?.unwrap_or(1e-8),
                    bias_correction: section.opt("bias_correction")?.unwrap_or(true),
                };
                for (key, n) in [("steps", options.steps), ("warmup", options.warmup)] {
                    if !n.is_multiple_of(options.eval_every) {
                        let label =
                            format!("found {n}, allowed: multiples of `eval_every = {}`", options.eval_every);
                        return Err(section.wrong(key, format!("`{key}` is cut by `eval_every`"), label));
                    }
                }
                Sampler::Sgld(options)
            }
            "vi" => {
                let eval_every = count(section, "eval_every", 1, 50)?;
                let steps = count(section, "steps", 1, 5000)?;
                if !steps.is_multiple_of(eval_every) {
                    let label = format!("found {steps}, allowed: multiples of `eval_every = {eval_every}`");
                    return Err(section.wrong("steps", "`steps` is cut by `eval_every`", label));
                }
                Sampler::Vi(MeanField {
                    steps,
                    batch: count(section, "batch", 1, 256)? as usize,
                    learning_rate: above(section, "lr")?.unwrap_or(0.01),
                    eval_every,
                    eval_samples: count(section, "eval_samples", 2, 64)?,
                })
            }
            _ => Sampler::Hmc(Hmc {
                draws: count(section, "draws", 1, 1000)?,
                warmup: count(section, "warmup", 0, 200)?,
                thin: count(section, "thin", 1, 1)?,
                leapfrog: count(section, "leapfrog", 1, 10)? as usize,
                step_size: above(section, "step_size")?.unwrap_or(0.01),
                adapt: section.opt("adapt")?.unwrap_or(true),
                target: section
                    .number("target_acceptance", "above 0 and below 1", |x| x > 0.0 && x < 1.0)?
                    .unwrap_or(0.8),
                metric: match section.choice("metric", &["layer", "diag", "unit"])? {
                    Some("unit") => Metric::Unit,
                    Some("diag") => Metric::Diagonal,
                    _ => Metric::Layer,
                },
                jitter: section
                    .number("jitter", "from 0 to below 1", |x| (0.0..1.0).contains(&x))?
                    .unwrap_or(0.0),
                pooled: section.choice("adaptation", &["pooled", "chain"])? != Some("chain"),
            }),
        };
        // Independent draws need no second chain
        let chains = if word == "vi" { 1 } else { chains };
        Ok(Self { label, seed, chains, beta_over_log_n: over, beta0, gamma, prior_radius: radius, sampler })
    }

    /// What its numbers follow from on a target of that id, and nothing else: the label is a name.
    pub fn payload(&self, target_id: &str) -> Value {
        let text = |word: &str| Value::text(word);
        let count = |n: u64| Value::Integer(n as i64);
        let optional = |x: Option<f64>| x.map_or(Value::Null, Value::Float);
        let sampler = match &self.sampler {
            // Without thinning the ids are those that runs had before it could be asked for.
            Sampler::Hmc(o) if o.thin > 1 => {
                let plain = Self { sampler: Sampler::Hmc(Hmc { thin: 1, ..o.clone() }), ..self.clone() };
                Value::table([("thin", count(o.thin)), ("of", plain.payload(target_id))])
            }
            Sampler::Hmc(o) => Value::table([
                ("draws", count(o.draws)),
                ("warmup", count(o.warmup)),
                ("leapfrog", Value::count(o.leapfrog)),
                ("step_size", Value::Float(o.step_size)),
                ("adapt", Value::Bool(o.adapt)),
                ("target_acceptance", Value::Float(o.target)),
                (
                    "metric",
                    text(match o.metric {
                        Metric::Unit => "unit",
                        Metric::Diagonal => "diag",
                        Metric::Layer => "layer",
                    }),
                ),
                ("jitter", Value::Float(o.jitter)),
                ("pooled", Value::Bool(o.pooled)),
            ]),
            Sampler::Mclmc(o) => Value::table([
                ("draws", count(o.draws)),
                ("warmup", count(o.warmup)),
                ("steps_per_draw", count(o.steps_per_draw)),
                ("L", optional(o.length)),
                ("step_size", optional(o.step_size)),
                ("minimal_norm", Value::Bool(o.minimal_norm)),
            ]),
            Sampler::Sgld(o) => Value::table([
                ("steps", count(o.steps)),
                ("warmup", count(o.warmup)),
                ("batch", Value::count(o.batch)),
                ("step_size", optional(o.step_size)),
                ("eval_every", count(o.eval_every)),
                ("precond", text(self.precond())),
                ("beta1", Value::Float(o.beta1)),
                ("beta2", Value::Float(o.beta2)),
                ("eps", Value::Float(o.denominator)),
                ("bias_correction", Value::Bool(o.bias_correction)),
            ]),
            Sampler::Vi(o) => Value::table([
                ("steps", count(o.steps)),
                ("batch", Value::count(o.batch)),
                ("lr", Value::Float(o.learning_rate)),
                ("eval_every", count(o.eval_every)),
                ("eval_samples", count(o.eval_samples)),
            ]),
        };
        Value::table([
            ("schema", text("ekp.llc-sample 1")),
            ("target_id", text(target_id)),
            ("sampler", text(self.word())),
            ("of", sampler),
            ("beta_over_log_n", Value::Bool(self.beta_over_log_n)),
            ("beta0", Value::Float(self.beta0)),
            ("gamma", Value::Float(self.gamma)),
            ("prior_radius", Value::Float(self.prior_radius)),
            ("chains", Value::Integer(self.chains.into())),
            ("seed", Value::Integer(self.seed as i64)),
        ])
    }

    /// `run_` and twelve digits.
    pub fn id(&self, target_id: &str) -> String {
        id("run_", &self.payload(target_id))
    }

    /// `hmc`, `mclmc`, `sgld`, `vi`
    pub fn word(&self) -> &'static str {
        match self.sampler {
            Sampler::Hmc(_) => SAMPLERS[0],
            Sampler::Mclmc(_) => SAMPLERS[1],
            Sampler::Sgld(_) => SAMPLERS[2],
            Sampler::Vi(_) => SAMPLERS[3],
        }
    }

    /// `none`, `rmsprop`, `adam`
    pub fn precond(&self) -> &'static str {
        match &self.sampler {
            Sampler::Sgld(o) => match o.precondition {
                Precondition::None => "none",
                Precondition::Rmsprop => "rmsprop",
                Precondition::Adam => "adam",
            },
            _ => "none",
        }
    }

    /// β, nβ and γ on a target.
    pub fn posterior(&self, target: &Target) -> (f64, f64, f64) {
        let n = target.facts.n;
        let beta = if self.beta_over_log_n { beta_star(n, self.beta0) } else { self.beta0 };
        let p = target.facts.p as f64;
        let gamma =
            if self.prior_radius > 0.0 { p / (self.prior_radius * self.prior_radius) } else { self.gamma };
        (beta, beta * n as f64, gamma)
    }
}

/// What a finished run leaves.
#[derive(Debug, Clone)]
pub struct SampleOutcome {
    /// `run_…`
    pub run_id: String,
    /// Diagnostics
    pub analysis: Analysis,
    /// Draws
    pub chains: Chains,
    /// β, nβ, γ
    pub posterior: (f64, f64, f64),
}

/// Sample: to the end (`Some`), or until told to stop, the state kept in the checkpoint folder (`None`).
///
/// # Errors
/// The sampler does not fit the target; the state cannot be written (`Cause::Lost`).
pub fn sample(
    options: &SampleOptions,
    target: &Target,
    carry: Carry<'_>,
) -> Result<Option<SampleOutcome>, ModelError> {
    if target.facts.precision == "f32" {
        of::<f32>(options, target, carry)
    } else {
        of::<f64>(options, target, carry)
    }
}

fn of<T: Real>(
    options: &SampleOptions,
    target: &Target,
    carry: Carry<'_>,
) -> Result<Option<SampleOutcome>, ModelError> {
    let posterior = options.posterior(target);
    let setting = Setting {
        center: Arc::new(target.w.iter().map(|w| T::of(*w)).collect()),
        n_beta: posterior.1,
        gamma: posterior.2,
        l0: target.facts.l0,
        streams: Streams::new(options.seed),
        tensors: target.tensors(),
        chains: options.chains,
    };
    let objective = target.objective::<T>();
    let ended = match &options.sampler {
        Sampler::Hmc(method) => driver::run(method, &setting, objective.as_ref(), carry),
        Sampler::Mclmc(_) if target.facts.p < 2 => {
            let message = "mclmc needs at least two parameters: its direction is a unit vector";
            return Err(ModelError::new(Cause::Exit, message));
        }
        Sampler::Mclmc(method) => driver::run(method, &setting, objective.as_ref(), carry),
        Sampler::Sgld(method) => driver::run(method, &setting, objective.as_ref(), carry),
        Sampler::Vi(method) => driver::run(method, &setting, objective.as_ref(), carry),
    };
    let chains = match ended.map_err(lost)? {
        Ended::Stopped => return Ok(None),
        Ended::Done(chains) => chains,
    };
    let kind = match &options.sampler {
        Sampler::Hmc(_) => Trace::Hmc,
        Sampler::Mclmc(_) => Trace::Mclmc(target.facts.p),
        Sampler::Sgld(_) => Trace::Sgld,
        Sampler::Vi(_) => Trace::Independent,
    };
    let analysis = analyse(&chains, posterior.1, target.facts.l0, kind);
    Ok(Some(SampleOutcome { run_id: options.id(&target.facts.target_id), analysis, chains, posterior }))
}

fn lost(error: FileError) -> ModelError {
    ModelError::new(Cause::Lost, error.to_string())
}

/// Columns of `trace.npy`. `fge` is cumulative over the kept draws of a chain.
pub const TRACE: [&str; 8] = ["chain", "draw", "llc", "L", "accept", "energy", "divergent", "fge"];

impl SampleOutcome {
    /// Leave trace, analysis and timing in `folder`.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, folder: &Path, options: &SampleOptions, target: &Target) -> Result<(), FileError> {
        let traces = llc(&self.chains, self.posterior.1, target.facts.l0);
        let mut table = Vec::new();
        for (c, (draws, trace)) in self.chains.draws.iter().zip(&traces).enumerate() {
            let mut fge = 0.0;
            for (k, (draw, llc)) in draws.iter().zip(trace).enumerate() {
                fge += draw.fge;
                let divergent = f64::from(u8::from(draw.divergent));
                table.extend([c as f64, k as f64, *llc, draw.loss, draw.accept, draw.energy, divergent, fge]);
            }
        }
        let bytes = npy::write(&[table.len() / TRACE.len(), TRACE.len()], &table);
        publish(&folder.join("trace.npy"), &bytes)?;
        let text =
            crate::models::llc::columns::analysis_text(self, options, target, &crate::files::digest(&bytes));
        publish(&folder.join("analysis.toml"), text.as_bytes())?;
        let mut timing = crate::files::TomlText::comments("Seconds of an llc-sample, over all its tries.");
        timing.float("adapt_sec", self.chains.seconds[0]).float("sample_sec", self.chains.seconds[1]);
        publish(&folder.join("timing.toml"), timing.finish().as_bytes())
    }
}

/// A carry without checkpoint, for tests and benchmarks.
pub fn plain_carry(threads: usize) -> Carry<'static> {
    Carry {
        checkpoint: None,
        id: "",
        threads,
        stop: None,
        every: Duration::from_secs(600),
        log: Log::default(),
    }
}

/// Draws kept, draws of warming up and steps between draws, for the table.
pub fn lengths(sampler: &Sampler) -> (u64, u64, u64) {
    match sampler {
        Sampler::Hmc(o) => (o.draws, o.warmup, o.thin),
        Sampler::Mclmc(o) => (o.draws, o.warmup, o.steps_per_draw),
        Sampler::Sgld(o) => (Method::<f64>::length(o).1, o.warmup, o.eval_every),
        Sampler::Vi(o) => (o.eval_samples, o.steps, 1),
    }
}
