//! What a target or a run will cost, from its options alone: before anything has run.
//!
//! Work is gradients of 6 n p flops; a core is taken for a cautious 20 GFLOP/s, losses, random numbers and files
//! included: of `examples/llc_grid` it says 157 core-seconds, and one core of a busy EPYC took 69.

use crate::models::cell::{Forecast, Size};
use crate::models::llc::options::{Kind, TargetOptions};
use crate::models::llc::sample::{SampleOptions, Sampler, lengths};

/// Flops a second of a core.
const RATE: f64 = 2e10;
/// A process that has begun.
const PROCESS_MB: f64 = 13.0;
/// Records beside the arrays.
const RECORDS_MB: f64 = 0.01;
/// Rows that a gradient works on at once.
const ROWS: usize = 128;

/// Seconds of so many gradients.
fn seconds(gradients: f64, size: &Size) -> f64 {
    gradients * 6.0 * size.rows as f64 * size.parameters as f64 / RATE
}

/// How large a target is.
pub(super) fn size(options: &TargetOptions) -> Size {
    match &options.kind {
        Kind::Network { shape, .. } => {
            let sizes = &shape.sizes;
            let ends = sizes.first().copied().unwrap_or(0) + sizes.last().copied().unwrap_or(0);
            let (examples, parameters) = (options.n, shape.parameters());
            Size { rows: examples, parameters, numbers: examples * ends + ROWS * sizes.iter().sum::<usize>() }
        }
        Kind::DeepLinear { widths, .. } => {
            let parameters = widths.windows(2).map(|w| w[0] * w[1]).sum();
            Size { rows: 1, parameters, numbers: parameters }
        }
        Kind::Monomial { half_exponents, copies } => {
            Size { rows: 1, parameters: half_exponents.len() * copies, numbers: 0 }
        }
        Kind::Quadratic { eigenvalues } => Size { rows: 1, parameters: eigenvalues.len(), numbers: 0 },
    }
}

/// A target: training to its last step.
pub(super) fn target(options: &TargetOptions) -> Forecast {
    let size = size(options);
    let steps = match &options.kind {
        Kind::Network { training, .. } => training.steps as f64,
        _ => 1.0,
    };
    let arrays = 8e-6 * (size.numbers + 6 * size.parameters) as f64;
    let files = 8e-6 * (size.numbers + size.parameters) as f64;
    Forecast {
        seconds: seconds(steps, &size),
        memory_mb: PROCESS_MB + 2.0 * arrays,
        disk_mb: RECORDS_MB + files,
    }
}

/// A run of all its chains on a target of this size.
pub(super) fn run(options: &SampleOptions, target: &Size) -> Forecast {
    let chains = f64::from(options.chains);
    let (draws, warmup, thin) = lengths(&options.sampler);
    let (draws_, warmup_) = (draws as f64, warmup as f64);
    let share = |batch: usize| (batch as f64 / target.rows as f64).min(1.0);
    // A loss alone is a third of a gradient.
    let gradients = match &options.sampler {
        Sampler::Hmc(o) => (warmup_ + draws_ * thin as f64) * o.leapfrog as f64,
        Sampler::Mclmc(o) => (warmup_ + draws_) * thin as f64 * if o.minimal_norm { 2.0 } else { 1.0 },
        Sampler::Sgld(o) => (warmup_ + o.steps as f64) * share(o.batch) + draws_ / 3.0,
        Sampler::Vi(o) => warmup_ * share(o.batch) + draws_ / 3.0,
    };
    let kept = 64e-6 * chains * draws_;
    let arrays = 8e-6 * (target.numbers as f64 + 6.0 * chains * target.parameters as f64);
    Forecast {
        seconds: seconds(chains * gradients, target),
        // Draws are held, and once more as the trace that is written.
        memory_mb: PROCESS_MB + arrays + 2.0 * kept,
        disk_mb: RECORDS_MB + kept,
    }
}
