//! Who worked when: a lane for each worker, and how busy they were.

use std::collections::BTreeMap;

use crate::report::draw::{Anchor, Axis, Frame, Panel, Picture, RED, colour, viridis};
use crate::report::figures::{Figure, csv};
use crate::report::table::{count, span};
use crate::report::timings::{Kind, Row, seconds};

/// Lanes that have room.
const LANES: usize = 64;
/// Bars of a lane are drawn one by one up to so many in all.
const BARS: usize = 6000;
/// Stretches of time in the heat map.
const BINS: usize = 100;

/// A stretch of work.
struct Work {
    lane: usize,
    start_s: f64,
    end_s: f64,
    iteration: u32,
    failed: bool,
}

/// Gantt chart and utilisation.
pub(super) fn figure(rows: &[Row]) -> Option<Figure> {
    let members: Vec<&Row> = rows.iter().filter(|row| row.kind != Kind::Update).collect();
    let begin = members.iter().filter_map(|r| seconds(&r.timing.start)).fold(f64::INFINITY, f64::min);
    let end = rows.iter().filter_map(|r| seconds(&r.timing.end)).fold(f64::NEG_INFINITY, f64::max);
    if members.is_empty() || end <= begin {
        return None;
    }
    let name = |r: &Row| (r.timing.host.clone(), r.timing.job.clone(), r.timing.array_task, r.timing.worker);
    let mut lanes: BTreeMap<_, usize> = members.iter().map(|r| (name(r), 0)).collect();
    // Elements of arrays and short-lived workers share lanes: a lane is a place where one thing runs at a time.
    let many = lanes.len() > LANES;
    lanes.values_mut().enumerate().for_each(|(k, lane)| *lane = k);
    let mut work: Vec<Work> = members
        .iter()
        .filter_map(|r| {
            let (start, end) = (seconds(&r.timing.start)? - begin, seconds(&r.timing.end)? - begin);
            let lane = lanes[&name(r)];
            // The outcome's own time: what a retry or a wait took before it is no work.
            let start = if r.timing.wall_s > 0.0 { (end - r.timing.wall_s).max(start) } else { start };
            Some(Work {
                lane,
                start_s: start,
                end_s: end,
                iteration: r.iteration,
                failed: !r.error.is_empty(),
            })
        })
        .collect();
    work.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let slots = if many { pack(&mut work) } else { lanes.len() };
    let total = end - begin;
    let unit = if total > 7200.0 {
        ("time (h)", 3600.0)
    } else if total > 300.0 {
        ("time (min)", 60.0)
    } else {
        ("time (s)", 1.0)
    };
    let tall = (slots.min(LANES) as f64 * 9.0).clamp(60.0, 260.0);
    let mut picture = Picture::new(560.0, tall * 1.6 + 130.0, "workers");
    let x = || Axis::linear(unit.0, (0.0, total / unit.1));
    let lane_axis = |slots: usize| {
        let every = slots.div_ceil(12).max(1);
        let names = (0..slots).step_by(every).map(|k| (k as f64 + 0.5, (k + 1).to_string())).collect();
        Axis::linear("worker", (0.0, slots as f64)).from_top().named(names)
    };
    let frame = Frame { left: 52.0, top: 26.0, width: 490.0, height: tall };
    let mut panel = Panel::new(
        &mut picture,
        frame,
        "a  Members by worker, a colour for each iteration",
        x(),
        lane_axis(slots),
    );
    for w in work.iter().take(BARS) {
        let shade = if w.failed { RED } else { colour(w.iteration as usize * 5) };
        let lane = w.lane as f64;
        panel.block(
            (w.start_s / unit.1, w.end_s / unit.1),
            (lane + 0.12, lane + 0.88),
            shade,
            if w.failed { 1.0 } else { 0.8 },
        );
    }
    let failed = work.iter().filter(|w| w.failed).count();
    if failed > 0 {
        panel.note(total / unit.1, 0.0, Anchor::End, &format!("{} failed", count(failed, "member")));
    }
    let busy = busy(&work, slots, total);
    let frame = Frame { left: 52.0, top: tall + 85.0, width: 490.0, height: tall * 0.6 };
    let mut panel = Panel::new(&mut picture, frame, "b  Share of time at work", x(), lane_axis(slots));
    let width = total / unit.1 / BINS as f64;
    for (lane, bins) in busy.iter().enumerate() {
        for (k, share) in bins.iter().enumerate() {
            let (left, top) = (k as f64 * width, lane as f64);
            panel.block((left, left + width), (top, top + 1.0), &viridis(*share), 1.0);
        }
    }
    let sum: f64 = work.iter().map(|w| w.end_s - w.start_s).sum();
    let caption = format!(
        "{} on {} in {}; the workers were at work for {:.0} % of it. Gaps at the end of an iteration are workers that wait for \
         the slowest member. In b dark is idle, yellow is busy.",
        count(work.len(), "run"),
        count(slots, "worker"),
        span(total),
        100.0 * sum / (total * slots as f64)
    );
    let a = csv(
        "worker,start_s,end_s,iteration,failed",
        work.iter().map(|w| {
            vec![
                (w.lane + 1) as f64,
                w.start_s,
                w.end_s,
                f64::from(w.iteration),
                f64::from(u8::from(w.failed)),
            ]
        }),
    );
    let b = csv(
        "worker,bin_start_s,busy_share",
        busy.iter().enumerate().flat_map(|(lane, bins)| {
            bins.iter()
                .enumerate()
                .map(move |(k, s)| vec![(lane + 1) as f64, k as f64 * total / BINS as f64, *s])
        }),
    );
    Some(Figure {
        name: "fig_workers".into(),
        title: "Workers",
        caption,
        picture,
        panels: vec![('a', a), ('b', b)],
    })
}

/// As few lanes as hold all work, each one thing at a time, first come first served.
fn pack(work: &mut [Work]) -> usize {
    let mut free: Vec<f64> = Vec::new();
    for w in work.iter_mut() {
        match free.iter().position(|&end| end <= w.start_s) {
            Some(lane) => w.lane = lane,
            None => {
                w.lane = free.len();
                free.push(0.0);
            }
        }
        free[w.lane] = w.end_s;
    }
    free.len()
}

/// For each lane and bin the share of time at work.
fn busy(work: &[Work], lanes: usize, total: f64) -> Vec<Vec<f64>> {
    let width = total / BINS as f64;
    let mut shares = vec![vec![0.0; BINS]; lanes];
    for w in work {
        let (first, last) = ((w.start_s / width) as usize, (w.end_s / width) as usize);
        for (k, share) in shares[w.lane].iter_mut().enumerate().take(last.min(BINS - 1) + 1).skip(first) {
            let (left, right) = (k as f64 * width, (k + 1) as f64 * width);
            *share += ((w.end_s.min(right) - w.start_s.max(left)) / width).max(0.0);
        }
    }
    shares.iter_mut().flatten().for_each(|s| *s = s.min(1.0));
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(lane: usize, start_s: f64, end_s: f64) -> Work {
        Work { lane, start_s, end_s, iteration: 0, failed: false }
    }

    #[test]
    fn shares_of_bins_sum_to_the_time_at_work() {
        let all = [work(0, 0.0, 2.5), work(0, 4.0, 10.0), work(1, 9.99, 10.0)];
        let shares = busy(&all, 2, 10.0);
        let sum = |lane: usize| shares[lane].iter().sum::<f64>() * 10.0 / BINS as f64;
        assert!((sum(0) - 8.5).abs() < 1e-9 && (sum(1) - 0.01).abs() < 1e-9, "round-off of a hundred sums");
    }

    #[test]
    fn lanes_hold_one_thing_at_a_time_and_are_as_few_as_can_be() {
        let mut all = [work(9, 0.0, 5.0), work(9, 1.0, 2.0), work(9, 2.0, 6.0), work(9, 5.0, 7.0)];
        assert_eq!(pack(&mut all), 2);
        assert_eq!(all.map(|w| w.lane), [0, 1, 1, 0]);
    }
}
