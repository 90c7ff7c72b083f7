//! Scaling: speed-up and efficiency against workers, a line for each group of cases.

use std::collections::BTreeMap;

use crate::report::draw::{Axis, BLUE, Corner, Frame, GREY, Panel, Picture, RED, Stroke, colour};
use crate::report::figures::{Figure, named_csv, quantile, sorted};
use crate::report::metrics::{Scaling, amdahl};
use crate::report::scaling::Case;
use crate::report::table::short;

/// Groups with a line of their own; more of them are shown together.
const LINES: usize = 6;
/// Thin lines that have room.
const THIN: usize = 200;

/// By name, each in the order of workers.
type Groups<'a> = BTreeMap<&'a str, Vec<At<'a>>>;

/// One number of workers of a line.
struct At<'a> {
    case: &'a Case,
    s: &'a Scaling,
}

impl At<'_> {
    /// Worker time outside of the model for each evaluation, ms.
    fn besides_ms(&self) -> f64 {
        let shares = &self.case.shares;
        let runs = self.case.wall_s.len() as f64;
        1e3 * (shares.held_s() - shares.model_s - shares.lost_s) * runs / self.case.ended().max(1) as f64
    }
}

/// Speed-up, efficiency, cost besides the model and memory of the cases of one sweep, or of several whose lines
/// belong together; none where no group has two numbers of workers.
pub fn figure(title: &str, cases: &[Case]) -> Option<Figure> {
    let mut groups: Groups<'_> = BTreeMap::new();
    for case in cases {
        if let Some(s) = &case.scaling {
            groups.entry(&case.listed.group).or_default().push(At { case, s });
        }
    }
    groups.values_mut().for_each(|g| g.sort_by_key(|at| at.s.workers));
    let all = || groups.values().flatten().map(|at| at.s);
    let most = all().map(|s| f64::from(s.workers)).fold(0.0, f64::max);
    let least = all().map(|s| f64::from(s.workers)).fold(f64::INFINITY, f64::min);
    if most <= least {
        return None;
    }
    let few = groups.len() <= LINES;
    let mut picture = Picture::new(560.0, 450.0, &format!("{title}: scaling"));
    let frame = |left: f64, top: f64| Frame { left, top, width: 210.0, height: 150.0 };
    let x = || Axis::log("workers", 2, (least / 1.15, most * 1.15));
    let top = all().map(|s| s.speedup_range.1.max(s.speedup)).fold(most / least, f64::max);
    let bottom = all().map(|s| s.speedup_range.0.min(s.speedup)).fold(1.0, f64::min);
    let y = Axis::log("speed-up", 2, (bottom / 1.15, top * 1.15));
    let mut panel = Panel::new(&mut picture, frame(52.0, 26.0), "a  Speed-up", x(), y);
    let ideal = Stroke::of("ink").dashed().wide(0.8);
    panel.line(&[(least, 1.0), (most, most / least)], ideal);
    panel.name_line(ideal, "ideal");
    if few {
        for (k, (name, group)) in groups.iter().enumerate() {
            let range = |at: &At<'_>| (f64::from(at.s.workers), at.s.speedup_range.0, at.s.speedup_range.1);
            panel.ranges(&group.iter().map(range).collect::<Vec<_>>(), Stroke::of(colour(k)).wide(1.0));
            panel.name_line(Stroke::of(colour(k)), if name.is_empty() { "measured" } else { name });
        }
    } else {
        panel.name_line(Stroke::of(RED), &format!("median of {} groups", groups.len()));
        panel.name_area(BLUE, 0.25, "90 % of groups");
    }
    lines(&mut panel, &groups, |at| at.s.speedup);
    panel.legend(Corner::Foot);
    let highest = 105.0 * all().map(|s| s.efficiency).fold(0.0, f64::max);
    let y = Axis::linear("efficiency (%)", (0.0, highest.max(110.0)));
    let mut panel = Panel::new(&mut picture, frame(330.0, 26.0), "b  Efficiency", x(), y);
    panel.line(&[(least, 100.0), (most, 100.0)], ideal);
    for limit in [80.0, 50.0] {
        panel.line(&[(least / 1.15, limit), (most * 1.15, limit)], Stroke::of(GREY).dashed().wide(0.6));
    }
    lines(&mut panel, &groups, |at| 100.0 * at.s.efficiency);
    // The first number of workers below a limit has a ring.
    for group in groups.values().filter(|_| few) {
        let below = |limit: f64| group.iter().find(|at| at.s.efficiency < limit);
        let marked: Vec<(f64, f64)> = [below(0.8), below(0.5)]
            .into_iter()
            .flatten()
            .map(|at| (f64::from(at.s.workers), 100.0 * at.s.efficiency))
            .collect();
        panel.rings(&marked, 4.0);
    }
    let numbers = || groups.values().flatten();
    let y = Axis::by_range("ms per evaluation", numbers().map(At::besides_ms), 30.0);
    let title_c = "c  Worker time besides the model";
    let mut panel = Panel::new(&mut picture, frame(52.0, 236.0), title_c, x(), y);
    lines(&mut panel, &groups, |at| at.besides_ms());
    let y = Axis::by_range("MB", numbers().map(|at| at.case.peak_rss_mb), 30.0);
    let mut panel = Panel::new(&mut picture, frame(330.0, 236.0), "d  Largest process", x(), y);
    lines(&mut panel, &groups, |at| at.case.peak_rss_mb);
    let table = |heads: &str, of: &dyn Fn(&At<'_>) -> Vec<f64>| {
        let each = groups.iter().flat_map(|(name, group)| group.iter().map(move |at| (*name, at)));
        let rows = each.map(|(name, at)| (name, [vec![f64::from(at.s.workers)], of(at)].concat()));
        named_csv(&format!("group,workers,{heads}"), rows)
    };
    let speed = table("speedup,speedup_p05,speedup_p95,efficiency,wall_median_s", &|at| {
        let s = at.s;
        vec![s.speedup, s.speedup_range.0, s.speedup_range.1, s.efficiency, s.median_s]
    });
    let heads = "besides_ms_per_evaluation,names_per_evaluation,bytes_read_per_evaluation,bytes_written_per_evaluation";
    let files = table(heads, &|at| {
        let n = at.case.ended().max(1) as f64;
        let (read, written) = at.case.bytes;
        vec![at.besides_ms(), at.case.names as f64 / n, read as f64 / n, written as f64 / n]
    });
    let memory = table("peak_rss_mb", &|at| vec![at.case.peak_rss_mb]);
    let seen = if few {
        let told = groups.iter().map(|(name, group)| match same_work(group) {
            true => told(name, &group.iter().map(|at| at.s).collect::<Vec<_>>()),
            false => format!(
                "{}: the work is not the same on all numbers of workers; a and b compare times of whole runs.",
                if name.is_empty() { "measured" } else { name }
            ),
        });
        let told = told.collect::<Vec<_>>().join(" ");
        format!("{told} In b the first number of workers below 80 % and below 50 % has a ring.")
    } else {
        let middle = summary(&groups, |at| at.s.efficiency);
        let below = |limit: f64| middle.iter().find(|at| at.2 < limit).map(|at| format!("{}", at.0));
        let below = |limit: f64| below(limit).unwrap_or_else(|| "no number seen".into());
        format!(
            "{} groups of cases, each a thin line; the median efficiency falls below 0.8 at {} and below 0.5 at {} \
             workers. The tables have every group.",
            groups.len(),
            below(0.8),
            below(0.5)
        )
    };
    let caption = format!(
        "{seen} In c workers' time that was not the model's: start, files, claims, waiting; its table has files, names \
         and bytes for each evaluation, too."
    );
    let panels = vec![('a', speed.clone()), ('b', speed), ('c', files), ('d', memory)];
    Some(Figure { name: "fig_strong_scaling".into(), title: "Scaling", caption, picture, panels })
}

/// A line with dots for each group; of many groups thin lines, their median and the range of nine tenths of them.
fn lines(panel: &mut Panel<'_>, groups: &Groups<'_>, of: impl Fn(&At<'_>) -> f64) {
    let line = |group: &Vec<At<'_>>| -> Vec<(f64, f64)> {
        group.iter().map(|at| (f64::from(at.s.workers), of(at))).collect()
    };
    if groups.len() <= LINES {
        for (k, group) in groups.values().enumerate() {
            panel.line(&line(group), Stroke::of(colour(k)));
            panel.dots(&line(group), colour(k), 2.4, 1.0);
        }
        return;
    }
    for group in groups.values().step_by(groups.len().div_ceil(THIN)) {
        panel.line(&line(group), Stroke::of(GREY).wide(0.4).faint(0.35));
    }
    let all = summary(groups, &of);
    panel.band(&all.iter().map(|at| (at.0, at.1, at.3)).collect::<Vec<_>>(), BLUE, 0.25);
    let middle: Vec<(f64, f64)> = all.iter().map(|at| (at.0, at.2)).collect();
    panel.line(&middle, Stroke::of(RED));
    panel.dots(&middle, RED, 2.4, 1.0);
}

/// By number of workers what 5 %, half and 95 % of the groups are below.
fn summary(groups: &Groups<'_>, of: impl Fn(&At<'_>) -> f64) -> Vec<(f64, f64, f64, f64)> {
    let mut by: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for at in groups.values().flatten() {
        by.entry(at.s.workers).or_default().push(of(at));
    }
    let row = |(workers, numbers): (u32, Vec<f64>)| {
        let all = sorted(numbers.into_iter());
        let [lo, middle, hi] = [0.05, 0.5, 0.95].map(|q| quantile(&all, q));
        (f64::from(workers), lo, middle, hi)
    };
    by.into_iter().map(row).collect()
}

/// Whether a speed-up of this group is one: all have the same evaluations of the same domain, to a twentieth.
fn same_work(group: &[At<'_>]) -> bool {
    let work = |at: &At<'_>| at.case.budget as f64 * at.case.units as f64;
    group.iter().all(|at| (work(at) / work(&group[0]) - 1.0).abs() <= 0.05)
}

/// A group in a sentence: where it falls below 0.8 and 0.5, and the serial part that explains it.
fn told(name: &str, group: &[&Scaling]) -> String {
    let below = |limit: f64| group.iter().find(|s| s.efficiency < limit).map(|s| s.workers);
    let mut text = if name.is_empty() { String::from("Efficiency") } else { format!("{name}: efficiency") };
    match (below(0.8), below(0.5)) {
        (None, _) => text.push_str(" stays above 0.8"),
        (Some(a), None) => text.push_str(&format!(" falls below 0.8 at {a} workers")),
        (Some(a), Some(b)) => text.push_str(&format!(" falls below 0.8 at {a} workers and below 0.5 at {b}")),
    }
    let base = group.first().map_or(1, |s| s.baseline);
    if base == 1 {
        let points: Vec<(f64, f64)> = group.iter().map(|s| (f64::from(s.workers), s.speedup)).collect();
        if let Some(f) = amdahl(&points) {
            text.push_str(&format!("; Amdahl's serial part {} %", short(100.0 * f)));
        }
    } else {
        text.push_str(&format!("; relative to {base} workers, one worker was not run"));
    }
    text.push('.');
    text
}
