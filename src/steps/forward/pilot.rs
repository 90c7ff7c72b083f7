//! How many models share a file, where the user leaves it to the tools: settled once, when the run is made.

use std::time::{Duration, Instant};

use crate::machine::cores::Cores;
use crate::models::{Forward, Place, ThetaRef, Want};
use crate::numerics::Mat;

/// Chunks for each worker: enough for all to end together.
const PER_WORKER: u32 = 15;
/// Workers that a run may meet on its way, at least.
const WORKERS: usize = 16;
/// A chunk takes at least so long: a hundred times what its files cost.
const LEAST_S: f64 = 0.05;
/// And at most so long: what a kill can take away.
const MOST_S: f64 = 30.0;
/// Bytes of a chunk's files, at most.
const BYTES: usize = 64 << 20;
/// Files are counted in thousands, not in millions.
const CHUNKS: u32 = 50_000;
/// The pilot takes so long.
const PILOT: Duration = Duration::from_millis(20);

/// Seconds of a model in a batch, from a few runs of the first ones; none when they all fail.
pub(super) fn measure(
    forward: &dyn Forward,
    names: &[(String, usize)],
    want: &Want,
    values: &Mat,
    place: impl Fn(u32) -> Place,
) -> Option<f64> {
    let mut places: Vec<Place> = (1..).take(values.ncols()).map(place).collect();
    let begin = Instant::now();
    let (mut count, mut best) = (1, None);
    loop {
        count = count.min(values.ncols());
        let some = values.select_cols(&(0..count).collect::<Vec<_>>());
        let start = Instant::now();
        let results = forward.run(ThetaRef { names, values: &some }, want, &mut places[..count]);
        if results.iter().all(Result::is_err) {
            return best;
        }
        best = Some(start.elapsed().as_secs_f64() / count as f64);
        if begin.elapsed() > PILOT || count == values.ncols() {
            return best;
        }
        count *= 4;
    }
}

/// Models of a chunk: a power of two, so that a pilot on a busy machine comes to the same.
pub(super) fn choose(models: u32, numbers: usize, seconds: Option<f64>) -> u32 {
    let workers = u32::try_from(Cores::here().physical.max(WORKERS)).unwrap_or(u32::MAX);
    let mut chunk = f64::from(models) / f64::from(workers.saturating_mul(PER_WORKER));
    if let Some(seconds) = seconds.filter(|s| *s > 0.0) {
        chunk = chunk.clamp(LEAST_S / seconds, (MOST_S / seconds).max(LEAST_S / seconds));
    }
    chunk = chunk.min(BYTES as f64 / (8 * numbers.max(1)) as f64);
    chunk = chunk.max(f64::from(models.div_ceil(CHUNKS))).min(1e7);
    (chunk.max(1.0) as u32).next_power_of_two().min(models.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_long_enough_to_pay_and_many_enough_to_share_out() {
        let workers = Cores::here().physical.max(WORKERS) as f64;
        for (models, seconds) in
            [(100, 1e-5), (10_000, 1e-5), (1_000_000, 1e-5), (1_000_000, 1e-4), (10_000, 1.0)]
        {
            let chunk = choose(models, 66, Some(seconds));
            let (time, chunks) = (f64::from(chunk) * seconds, models.div_ceil(chunk));
            assert!(chunk == models || time >= LEAST_S, "{models} {seconds} {chunk}");
            assert!(
                time <= 2.0 * MOST_S && f64::from(chunks) <= 20.0 * workers || seconds == 1.0,
                "{models} {seconds} {chunk}"
            );
        }
        // Small batches are one chunk: nothing is gained by sharing out a millisecond.
        assert_eq!(choose(100, 66, Some(1e-5)), 100);
        assert_eq!(choose(1000, 10_000_000, None), 1);
    }
}
