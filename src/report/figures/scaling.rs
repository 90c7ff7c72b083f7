//! Scaling: speed-up and efficiency against workers, a line for each group of cases.

use std::collections::BTreeMap;

use crate::report::draw::{Axis, Corner, Frame, Panel, Picture, Stroke, colour};
use crate::report::figures::{Figure, csv};
use crate::report::metrics::{Scaling, amdahl};
use crate::report::scaling::Case;
use crate::report::table::short;

/// Groups with a line of their own.
const LINES: usize = 6;

/// Speed-up and efficiency of one sweep; none where no group has two numbers of workers.
pub fn figure(cases: &[Case]) -> Option<Figure> {
    let mut groups: BTreeMap<&str, Vec<&Scaling>> = BTreeMap::new();
    for case in cases {
        if let Some(s) = &case.scaling {
            groups.entry(&case.listed.group).or_default().push(s);
        }
    }
    groups.values_mut().for_each(|g| g.sort_by_key(|s| s.workers));
    let all = || groups.values().flatten();
    let most = all().map(|s| f64::from(s.workers)).fold(0.0, f64::max);
    let least = all().map(|s| f64::from(s.workers)).fold(f64::INFINITY, f64::min);
    if most <= least {
        return None;
    }
    let sweep = &cases[0].listed.sweep;
    let mut picture = Picture::new(560.0, 240.0, &format!("{sweep}: scaling"));
    let frame = |left: f64| Frame { left, top: 30.0, width: 210.0, height: 160.0 };
    let x = || Axis::log("workers", 2, (least / 1.15, most * 1.15));
    let top = all().map(|s| s.speedup_range.1.max(s.speedup)).fold(most / least, f64::max);
    let bottom = all().map(|s| s.speedup_range.0.min(s.speedup)).fold(1.0, f64::min);
    let y = Axis::log("speed-up", 2, (bottom / 1.15, top * 1.15));
    let mut panel = Panel::new(&mut picture, frame(52.0), "a  Speed-up", x(), y);
    let ideal = Stroke::of("ink").dashed().wide(0.8);
    panel.line(&[(least, 1.0), (most, most / least)], ideal);
    panel.name_line(ideal, "ideal");
    for (k, (name, group)) in groups.iter().enumerate().take(LINES) {
        let line: Vec<(f64, f64)> = group.iter().map(|s| (f64::from(s.workers), s.speedup)).collect();
        let ranges: Vec<(f64, f64, f64)> =
            group.iter().map(|s| (f64::from(s.workers), s.speedup_range.0, s.speedup_range.1)).collect();
        panel.ranges(&ranges, Stroke::of(colour(k)).wide(1.0));
        panel.line(&line, Stroke::of(colour(k)));
        panel.dots(&line, colour(k), 2.4, 1.0);
        panel.name_line(Stroke::of(colour(k)), if name.is_empty() { "measured" } else { name });
    }
    panel.legend(Corner::TopLeft);
    let y = Axis::linear(
        "efficiency (%)",
        (0.0, 110.0_f64.max(105.0 * all().map(|s| s.efficiency).fold(0.0, f64::max))),
    );
    let mut panel = Panel::new(&mut picture, frame(330.0), "b  Efficiency", x(), y);
    panel.line(&[(least, 100.0), (most, 100.0)], ideal);
    for (k, group) in groups.values().enumerate().take(LINES) {
        let line: Vec<(f64, f64)> =
            group.iter().map(|s| (f64::from(s.workers), 100.0 * s.efficiency)).collect();
        panel.line(&line, Stroke::of(colour(k)));
        panel.dots(&line, colour(k), 2.4, 1.0);
    }
    let rows = groups.values().enumerate().flat_map(|(k, group)| {
        group.iter().map(move |s| {
            vec![
                k as f64 + 1.0,
                f64::from(s.workers),
                s.speedup,
                s.speedup_range.0,
                s.speedup_range.1,
                s.efficiency,
                s.median_s,
            ]
        })
    });
    let table = csv("group,workers,speedup,speedup_p05,speedup_p95,efficiency,wall_median_s", rows);
    let caption = groups.iter().map(|(name, group)| told(name, group)).collect::<Vec<_>>().join(" ");
    let panels = vec![('a', table.clone()), ('b', table)];
    Some(Figure { name: "fig_strong_scaling".into(), title: "Scaling", caption, picture, panels })
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
