//! Scaling: what more workers gain, and where the rest of their time goes.
//!
//! T(p) is the median wall time of the repeats on p workers at a fixed total amount of work. A baseline that was not
//! run is said, never invented: speed-up is then relative to the fewest workers there are.
//! Belongs here: formulas on numbers. Not here: reading runs (`timings`), tables and figures.

mod fits;

use rand::RngExt;

use crate::numerics::Stream;

pub use fits::{Cost, amdahl, cost, gustafson, slope};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// The middle of some numbers: the mean of the two middle ones of an even count; none of none.
pub fn median(numbers: &[f64]) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (n > 0).then(|| 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]))
}

/// One number of workers with the wall times of its repeats.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeats {
    /// p
    pub workers: u32,
    /// Seconds, of runs that ended well
    pub wall_s: Vec<f64>,
}

/// What p workers gain.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// p
    pub workers: u32,
    /// Repeats that ended well
    pub runs: usize,
    /// T(p), median
    pub median_s: f64,
    /// Fastest
    pub min_s: f64,
    /// Slowest
    pub max_s: f64,
    /// Upper less lower quartile
    pub iqr_s: f64,
    /// S = T(b) / T(p), with b the workers of the baseline
    pub speedup: f64,
    /// 5 % and 95 % of S over resamples of the repeats; S itself where each has one
    pub speedup_range: (f64, f64),
    /// S b / p
    pub efficiency: f64,
    /// (1/S − b/p) / (1 − b/p), the serial fraction as seen at p (Karp & Flatt 1990, doi:10.1145/78607.78614); none at the baseline
    pub karp_flatt: Option<f64>,
    /// b: 1 where one worker was run
    pub baseline: u32,
}

/// Scaling at each number of workers that has a run, fewest first. `draw` resamples the repeats.
pub fn scaling(all: &[Repeats], draw: &mut Stream) -> Vec<Scaling> {
    let mut with: Vec<&Repeats> = all.iter().filter(|r| !r.wall_s.is_empty() && r.workers > 0).collect();
    with.sort_by_key(|r| r.workers);
    let Some(base) = with.first() else { return Vec::new() };
    let (b, base_s) = (f64::from(base.workers), median(&base.wall_s).expect("there is a repeat"));
    with.iter()
        .map(|r| {
            let mut sorted = r.wall_s.clone();
            sorted.sort_by(f64::total_cmp);
            let median_s = median(&sorted).expect("there is a repeat");
            let (speedup, share) = (base_s / median_s, b / f64::from(r.workers));
            let karp_flatt = (r.workers > base.workers).then(|| (1.0 / speedup - share) / (1.0 - share));
            Scaling {
                workers: r.workers,
                runs: r.wall_s.len(),
                median_s,
                min_s: sorted[0],
                max_s: sorted[sorted.len() - 1],
                iqr_s: quantile(&sorted, 0.75) - quantile(&sorted, 0.25),
                speedup,
                speedup_range: resampled(&base.wall_s, &r.wall_s, base.workers == r.workers, draw),
                efficiency: speedup * share,
                karp_flatt,
                baseline: base.workers,
            }
        })
        .collect()
}

/// 5 % and 95 % of the ratio of medians under resampling with replacement (Efron 1979, doi:10.1214/aos/1176344552).
fn resampled(base: &[f64], these: &[f64], same: bool, draw: &mut Stream) -> (f64, f64) {
    if same {
        return (1.0, 1.0);
    }
    let one = |from: &[f64], draw: &mut Stream| {
        let sample: Vec<f64> = from.iter().map(|_| from[draw.random_range(0..from.len())]).collect();
        median(&sample).expect("as many as there are")
    };
    let mut ratios: Vec<f64> = (0..RESAMPLES).map(|_| one(base, draw) / one(these, draw)).collect();
    ratios.sort_by(f64::total_cmp);
    (quantile(&ratios, 0.05), quantile(&ratios, 0.95))
}

/// The number below which a share `q` of sorted numbers lies, by straight lines between them.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let at = q * last as f64;
    let k = (at as usize).min(last);
    let next = sorted[(k + 1).min(last)];
    sorted[k] + (at - k as f64) * (next - sorted[k])
}

/// A stretch of work of one worker, seconds from the begin of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Busy {
    /// Who
    pub worker: usize,
    /// It took the work up: folders, parameters, earlier tries
    pub from_s: f64,
    /// The model began
    pub start_s: f64,
    /// The outcome was there
    pub end_s: f64,
    /// It came to nothing
    pub lost: bool,
}

/// Where the time of `workers` over `wall_s` went, seconds of worker time each; they sum to `workers × wall_s`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shares {
    /// The model ran, and gave data
    pub model_s: f64,
    /// Before a worker's first work
    pub startup_s: f64,
    /// Within a work, outside of the model: folders, files, tries before the one that counted
    pub io_s: f64,
    /// Between works: claims, barriers
    pub wait_s: f64,
    /// After a worker's last work
    pub idle_tail_s: f64,
    /// The model ran, and failed
    pub lost_s: f64,
}

impl Shares {
    /// All of it.
    pub fn held_s(&self) -> f64 {
        self.model_s + self.startup_s + self.io_s + self.wait_s + self.idle_tail_s + self.lost_s
    }

    /// Share of the allocated time in which a model ran for data.
    pub fn utilisation(&self) -> f64 {
        let all = self.held_s();
        if all > 0.0 { self.model_s / all } else { 0.0 }
    }

    /// The mean of `n` that this is the mean of, and one more.
    #[must_use]
    pub fn mean_with(&self, n: f64, one: &Self) -> Self {
        let mean = |of: fn(&Self) -> f64| (of(self) * n + of(one)) / (n + 1.0);
        Self {
            model_s: mean(|s| s.model_s),
            startup_s: mean(|s| s.startup_s),
            io_s: mean(|s| s.io_s),
            wait_s: mean(|s| s.wait_s),
            idle_tail_s: mean(|s| s.idle_tail_s),
            lost_s: mean(|s| s.lost_s),
        }
    }
}

/// Split the time of `workers` that were held for `wall_s`. Works of one worker do not overlap.
pub fn shares(work: &[Busy], workers: usize, wall_s: f64) -> Shares {
    let mut shares = Shares::default();
    let mut each: Vec<Vec<&Busy>> = vec![Vec::new(); workers];
    work.iter().filter(|w| w.worker < workers).for_each(|w| each[w.worker].push(w));
    for mine in each {
        let sum = |of: fn(&Busy) -> f64| mine.iter().map(|w| of(w)).sum::<f64>();
        let inside = sum(|w| w.end_s - w.from_s);
        let first = mine.iter().map(|w| w.from_s).fold(wall_s, f64::min);
        let last = mine.iter().map(|w| w.end_s).fold(first, f64::max);
        shares.model_s += sum(|w| if w.lost { 0.0 } else { w.end_s - w.start_s });
        shares.lost_s += sum(|w| if w.lost { w.end_s - w.start_s } else { 0.0 });
        shares.io_s += sum(|w| w.start_s - w.from_s);
        shares.startup_s += first;
        shares.wait_s += (last - first - inside).max(0.0);
        shares.idle_tail_s += (wall_s - last).max(0.0);
    }
    shares
}

/// The shortest time in which `cores` can do tasks of these lengths, whatever the order: the longest of them, or an
/// even share (Graham 1969, doi:10.1137/0117039).
pub fn makespan_bound(tasks_s: &[f64], cores: usize) -> f64 {
    let sum: f64 = tasks_s.iter().sum();
    tasks_s.iter().copied().fold(sum / cores.max(1) as f64, f64::max)
}

/// When the best score of a search first reached `target`: pairs (seconds, score) in any order; none if it never did.
pub fn time_to_target(scores: &[(f64, f64)], target: f64) -> Option<f64> {
    scores.iter().filter(|(_, score)| *score >= target).map(|(at, _)| *at).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{Purpose, Streams};

    fn draw() -> Stream {
        Streams::new(42).at(Purpose::Report, 0, 0)
    }

    fn runs(all: &[(u32, &[f64])]) -> Vec<Repeats> {
        all.iter().map(|(workers, wall_s)| Repeats { workers: *workers, wall_s: wall_s.to_vec() }).collect()
    }

    #[test]
    fn perfect_scaling_has_efficiency_one_and_no_serial_part() {
        let all = scaling(&runs(&[(1, &[8.0]), (2, &[4.0]), (8, &[1.0])]), &mut draw());
        let seen: Vec<(f64, f64, Option<f64>)> =
            all.iter().map(|s| (s.speedup, s.efficiency, s.karp_flatt)).collect();
        assert_eq!(seen, [(1.0, 1.0, None), (2.0, 1.0, Some(0.0)), (8.0, 1.0, Some(0.0))]);
        assert_eq!(all[2].speedup_range, (8.0, 8.0), "one repeat has no spread");
    }

    #[test]
    fn a_tenth_that_is_serial_is_seen_at_every_number_of_workers() {
        // T(p) = 10 (0.1 + 0.9 / p), by hand: 10, 5.5, 3.25, 2.125
        let all = scaling(&runs(&[(8, &[2.125]), (1, &[10.0]), (4, &[3.25]), (2, &[5.5])]), &mut draw());
        for s in &all[1..] {
            assert!((s.karp_flatt.unwrap() - 0.1).abs() < 1e-12, "{s:?}: round-off");
        }
        assert!((all[3].speedup - 10.0 / 2.125).abs() < 1e-12);
    }

    #[test]
    fn without_a_run_on_one_worker_the_fewest_are_the_baseline_and_nothing_is_multiplied_up() {
        let all = scaling(&runs(&[(1, &[]), (4, &[10.0]), (16, &[5.0])]), &mut draw());
        assert_eq!(all.len(), 2, "a number of workers whose runs all failed has no row");
        assert_eq!((all[0].baseline, all[1].speedup, all[1].efficiency), (4, 2.0, 0.5));
        // (1/2 − 1/4) / (1 − 1/4)
        assert!((all[1].karp_flatt.unwrap() - 1.0 / 3.0).abs() < 1e-15);
        assert!(scaling(&[], &mut draw()).is_empty());
    }

    #[test]
    fn one_repeat_has_its_numbers_and_no_spread() {
        // 10 s and 4 s, by hand: S = 2.5, E = 5/8, (2/5 − 1/4) / (1 − 1/4) = 1/5
        let all = scaling(&runs(&[(1, &[10.0]), (4, &[4.0])]), &mut draw());
        let s = &all[1];
        assert_eq!((s.speedup, s.efficiency, s.speedup_range), (2.5, 0.625, (2.5, 2.5)));
        assert_eq!((s.median_s, s.min_s, s.max_s, s.iqr_s), (4.0, 4.0, 4.0, 0.0));
        assert!((s.karp_flatt.unwrap() - 0.2).abs() < 1e-15, "round-off of a quotient");
    }

    #[test]
    fn runs_that_failed_have_no_time_and_count_for_nothing() {
        // Of three runs on two workers one is over, of those on four none; the median of 10, 12, 11 is 11
        let all = scaling(&runs(&[(1, &[10.0, 12.0, 11.0]), (2, &[6.0]), (4, &[])]), &mut draw());
        let seen: Vec<(u32, f64)> = all.iter().map(|s| (s.workers, s.speedup)).collect();
        assert_eq!(seen, [(1, 1.0), (2, 11.0 / 6.0)]);
        // Where all of the baseline failed the next one is it
        let all = scaling(&runs(&[(1, &[]), (2, &[6.0]), (4, &[4.0])]), &mut draw());
        assert_eq!((all[0].baseline, all[0].workers, all[1].speedup), (2, 2, 1.5));
        assert_eq!(all[1].efficiency, 0.75);
    }

    #[test]
    fn spread_of_repeats_is_spread_of_the_speedup() {
        let all = scaling(&runs(&[(1, &[10.0, 10.0, 10.0]), (2, &[5.0, 4.0, 8.0])]), &mut draw());
        let s = &all[1];
        assert_eq!((s.median_s, s.min_s, s.max_s, s.iqr_s), (5.0, 4.0, 8.0, 2.0));
        assert_eq!(s.speedup_range, (1.25, 2.5), "27 samples; 7 of them have the median 8, 7 have 4");
    }

    #[test]
    fn shares_sum_to_the_time_that_was_held() {
        // Worker 0: 1 s to begin, a work of 3 s of which 0.5 s are files, 1 s of waiting, a failed one of 1 s
        let work = [(0, 1.0, 1.5, 4.0, false), (0, 5.0, 5.0, 6.0, true), (1, 0.5, 0.5, 9.0, false)];
        let work =
            work.map(|(worker, from_s, start_s, end_s, lost)| Busy { worker, from_s, start_s, end_s, lost });
        let s = shares(&work, 3, 10.0);
        assert_eq!((s.model_s, s.lost_s, s.io_s), (2.5 + 8.5, 1.0, 0.5));
        assert_eq!((s.startup_s, s.wait_s, s.idle_tail_s), (1.0 + 0.5 + 10.0, 1.0, 4.0 + 1.0));
        assert_eq!(s.held_s(), 30.0);
        assert!((s.utilisation() - 11.0 / 30.0).abs() < 1e-15);
        let mean = s.mean_with(1.0, &Shares { model_s: 1.0, ..Shares::default() });
        assert_eq!((mean.model_s, mean.wait_s), (6.0, 0.5));
    }

    #[test]
    fn no_order_of_tasks_is_quicker_than_the_bound() {
        assert_eq!(makespan_bound(&[3.0, 3.0, 2.0], 2), 4.0);
        assert_eq!(makespan_bound(&[9.0, 1.0], 4), 9.0);
        assert_eq!(makespan_bound(&[], 4), 0.0);
    }

    #[test]
    fn a_target_is_reached_when_it_first_is_or_never() {
        let scores = [(3.0, 0.9), (1.0, 0.5), (2.0, 0.8)];
        assert_eq!((time_to_target(&scores, 0.7), time_to_target(&scores, 0.95)), (Some(2.0), None));
    }
}
