//! Back ends side by side; the size of domains; ensembles of models and how their parts were placed.

use std::collections::BTreeMap;

use crate::report::draw::{Anchor, Axis, Corner, Frame, Panel, Picture, Stroke, colour};
use crate::report::figures::{Figure, csv};
use crate::report::metrics::{makespan_bound, median, slope};
use crate::report::scaling::Case;
use crate::report::table::short;

/// Latency by the number of sets that come together, and time of a calibration; none where no case names a back end.
pub fn backends(cases: &[Case]) -> Option<Figure> {
    let ran = || cases.iter().filter(|case| !case.wall_s.is_empty());
    if !ran().any(|case| case.listed.settings.contains("model.backend=")) {
        return None;
    }
    // `simd 64`: a back end and how many sets
    let batch = |case: &Case| -> Option<(String, f64)> {
        let (name, sets) = case.listed.group.rsplit_once(' ')?;
        Some((name.to_owned(), sets.parse().ok()?))
    };
    let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    let mut bars = Vec::new();
    for case in ran() {
        match (batch(case), case.per_evaluation_s()) {
            (Some((name, sets)), Some(s)) => curves.entry(name).or_default().push((sets, 1e6 * s)),
            // Slow ones have fewer evaluations: what one takes is what compares.
            _ => bars.push((
                case.listed.case.as_str(),
                case.listed.group.as_str(),
                1e3 * median(&case.wall_s)? * case.wall_s.len() as f64 / case.ended().max(1) as f64,
            )),
        }
    }
    let mut picture = Picture::new(560.0, 300.0, "back ends");
    let points = || curves.values().flatten();
    let (least, most) = points().fold((f64::INFINITY, 0.0_f64), |(lo, hi), p| (lo.min(p.0), hi.max(p.0)));
    let (quick, slow) = points().fold((f64::INFINITY, 0.0_f64), |(lo, hi), p| (lo.min(p.1), hi.max(p.1)));
    if most > 0.0 {
        let x = Axis::log("sets that come together", 10, (least / 1.5, most * 1.5));
        let y = Axis::log("model, \u{b5}s per set", 10, (quick / 1.5, slow * 1.5));
        let frame = Frame { left: 52.0, top: 26.0, width: 190.0, height: 200.0 };
        let mut panel = Panel::new(&mut picture, frame, "a  Latency", x, y);
        for (k, (name, line)) in curves.iter_mut().enumerate() {
            line.sort_by(|a, b| a.0.total_cmp(&b.0));
            panel.line(line, Stroke::of(colour(k)));
            panel.dots(line, colour(k), 2.4, 1.0);
            panel.name_line(Stroke::of(colour(k)), name);
        }
        panel.legend(Corner::Foot);
    }
    if !bars.is_empty() {
        calibrations(&mut picture, &bars);
    }
    let first = bars.first().map_or(f64::NAN, |b| b.2);
    let rows = curves.iter().enumerate().flat_map(|(k, (_, line))| {
        line.iter().map(move |&(sets, us)| vec![k as f64 + 1.0, sets, us, 1e6 / us])
    });
    let a = csv("backend,sets,us_per_set,sets_per_s", rows);
    let b = csv(
        "case,ms_per_evaluation,speedup",
        bars.iter().enumerate().map(|(k, b)| vec![k as f64 + 1.0, b.2, first / b.2]),
    );
    let best = curves.iter().filter_map(|(name, line)| {
        let least = line.iter().map(|p| p.1).reduce(f64::min)?;
        Some(format!("{name} {} sets/s", short(1e6 / least)))
    });
    let caption = format!(
        "In a what the model takes for a set when so many come together (the launcher and files are not in it): at best {}. \
         In b the whole search, files and start too, by its evaluations; the numbers are speed-ups over the first. With few and quick runs \
         the tools are most of it.",
        best.collect::<Vec<_>>().join(", ")
    );
    let panels = vec![('a', a), ('b', b)];
    Some(Figure { name: "fig_jax_acceleration".into(), title: "Back ends", caption, picture, panels })
}

/// A bar for each case: its name, what it is, and how long an evaluation took in all; at least one.
fn calibrations(picture: &mut Picture, bars: &[(&str, &str, f64)]) {
    let names = bars.iter().enumerate().map(|(k, b)| (k as f64 + 0.5, b.0.to_owned())).collect();
    let y = Axis::linear("", (0.0, bars.len() as f64)).from_top().named(names);
    let longest = bars.iter().map(|b| b.2).fold(1e-9, f64::max);
    let shortest = bars.iter().map(|b| b.2).fold(longest, f64::min);
    let x = Axis::log("whole search, ms per evaluation", 10, (shortest / 2.0, longest * 6.0));
    let frame = Frame { left: 350.0, top: 26.0, width: 195.0, height: 200.0 };
    let mut panel = Panel::new(picture, frame, "b  Calibration", x, y);
    let first = bars[0].2;
    for (k, (_, what, wall)) in bars.iter().enumerate() {
        let y = k as f64;
        panel.block((shortest / 2.0, *wall), (y + 0.2, y + 0.8), colour(k % 2 * 5), 0.85);
        let gain = first / wall;
        let told = format!("{what}, \u{d7}{}", short(gain));
        // Beside its bar, or within one that leaves no room.
        if (2.0 * wall / shortest).ln() > 0.6 * (12.0 * longest / shortest).ln() {
            panel.note_within(wall / 1.1, y + 0.85, &told);
        } else {
            panel.note(wall * 1.1, y + 0.85, Anchor::Start, &told);
        }
    }
}

/// Cases of one sweep of an ensemble, placed in time from its begin.
struct Mode<'a> {
    name: &'a str,
    tasks: Vec<(&'a str, f64, f64)>,
    makespan: f64,
    /// Σ and longest of the tasks over the places that there were
    bound: f64,
}

impl<'a> Mode<'a> {
    fn of(name: &'a str, cases: &[&'a Case]) -> Option<Self> {
        let begin = cases.iter().flat_map(|c| &c.spans).map(|s| s.0).reduce(f64::min)?;
        let mut tasks: Vec<(&str, f64, f64)> = cases
            .iter()
            .flat_map(|c| c.spans.iter().map(move |s| (c.listed.case.as_str(), s.0 - begin, s.1 - begin)))
            .collect();
        tasks.sort_by(|a, b| a.1.total_cmp(&b.1));
        let places = tasks.iter().map(|t| tasks.iter().filter(|o| o.1 <= t.1 && t.1 < o.2).count()).max()?;
        let lengths: Vec<f64> = tasks.iter().map(|t| t.2 - t.1).collect();
        let makespan = tasks.iter().map(|t| t.2).fold(0.0, f64::max);
        Some(Self { name, makespan, bound: makespan_bound(&lengths, places), tasks })
    }
}

/// Time of an evaluation against units, and a Gantt chart of ensembles; none without either.
pub fn weak_ensemble(cases: &[Case]) -> Option<Figure> {
    let mut sizes: Vec<(f64, f64, &Case)> = cases
        .iter()
        .filter(|case| case.listed.sweep == "weak" && case.listed.threads == 1)
        .filter_map(|case| Some((case.units as f64, case.per_evaluation_s()?, case)))
        .collect();
    sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sweeps: Vec<(&str, Vec<&Case>)> = Vec::new();
    for case in cases.iter().filter(|case| case.listed.sweep.starts_with("ensemble")) {
        match sweeps.last_mut().filter(|(name, _)| *name == case.listed.sweep) {
            Some((_, all)) => all.push(case),
            None => sweeps.push((&case.listed.sweep, vec![case])),
        }
    }
    let modes: Vec<Mode<'_>> = sweeps.iter().filter_map(|(name, all)| Mode::of(name, all)).collect();
    if sizes.len() < 2 && modes.is_empty() {
        return None;
    }
    let lanes: usize = modes.iter().map(|mode| mode.tasks.len() + 1).sum();
    let tall = (lanes as f64 * 9.0).clamp(170.0, 420.0);
    let mut picture = Picture::new(560.0, tall + 80.0, "sizes and ensembles");
    let line: Vec<(f64, f64)> = sizes.iter().map(|s| (s.0, 1e3 * s.1)).collect();
    let exponent = slope(&line.iter().filter(|p| p.0 > 1.0).copied().collect::<Vec<_>>());
    if line.len() > 1 {
        let ends = |of: fn(&(f64, f64)) -> f64| {
            line.iter().map(of).fold((f64::INFINITY, 0.0_f64), |(lo, hi), x| (lo.min(x), hi.max(x)))
        };
        let ((x0, x1), (y0, y1)) = (ends(|p| p.0), ends(|p| p.1));
        let x = Axis::log("units", 10, (x0 / 1.6, x1 * 2.5));
        let y = Axis::log("ms per evaluation", 10, (y0 / 2.0, y1 * 2.0));
        let frame = Frame { left: 52.0, top: 26.0, width: 180.0, height: 170.0 };
        let mut panel = Panel::new(&mut picture, frame, "a  Size of the domain", x, y);
        let (n, t) = line[line.len() - 1];
        panel.line(&[(x0, t * x0 / n), (n, t)], Stroke::of("ink").dashed().wide(0.8));
        panel.name_line(Stroke::of("ink").dashed().wide(0.8), "in proportion");
        panel.line(&line, Stroke::of(colour(0)));
        panel.dots(&line, colour(0), 2.6, 1.0);
        panel.name_line(Stroke::of(colour(0)), "measured");
        panel.legend(Corner::TopLeft);
    }
    let b = if modes.is_empty() { Vec::new() } else { gantt(&mut picture, &modes, lanes, tall) };
    let a = csv(
        "units,s_per_evaluation,bytes_read_per_evaluation,bytes_written_per_evaluation,peak_rss_mb",
        sizes.iter().map(|(units, s, case)| {
            let n = case.ended().max(1) as f64;
            vec![*units, *s, case.bytes.0 as f64 / n, case.bytes.1 as f64 / n, case.peak_rss_mb]
        }),
    );
    let b = csv("mode,task,start_s,end_s,makespan_s,lower_bound_s", b.into_iter());
    let power =
        exponent.map_or_else(String::new, |e| format!("Time grows with the power {e:.2} of the units. "));
    let told = modes.iter().map(|mode| {
        let name = mode.name.trim_start_matches("ensemble_");
        format!("{name} {} s ({:.2} of the least possible)", short(mode.makespan), mode.makespan / mode.bound)
    });
    let gain = |name: &str| modes.iter().find(|mode| mode.name == name).map(|mode| mode.makespan);
    let gain = match (gain("ensemble_sequential"), gain("ensemble_parallel")) {
        (Some(one), Some(all)) => {
            format!(" At once is {} times as fast as one after the other.", short(one / all))
        }
        _ => String::new(),
    };
    let caption = format!(
        "{power}Ensembles from first begin to last end: {}; dashed is the least possible.{gain}",
        told.collect::<Vec<_>>().join(", ")
    );
    let (title, panels) = ("Sizes and ensembles", vec![('a', a), ('b', b)]);
    Some(Figure { name: "fig_weak_ensemble".into(), title, caption, picture, panels })
}

/// A lane for each task, modes one under the other; rows of the table behind.
fn gantt(picture: &mut Picture, modes: &[Mode<'_>], lanes: usize, tall: f64) -> Vec<Vec<f64>> {
    let longest = modes.iter().map(|mode| mode.makespan).fold(0.0, f64::max);
    let mut names = Vec::new();
    let mut lane = 0;
    for mode in modes {
        for (k, task) in mode.tasks.iter().enumerate() {
            let name = task.0.trim_start_matches("ensemble_").replace('_', " ");
            names.push(((lane + k) as f64 + 0.5, name));
        }
        lane += mode.tasks.len() + 1;
    }
    let y = Axis::linear("", (0.0, lanes as f64)).from_top().named(names);
    let frame = Frame { left: 345.0, top: 26.0, width: 200.0, height: tall };
    let x = Axis::linear("time (s)", (0.0, longest * 1.02));
    let mut panel = Panel::new(picture, frame, "b  Ensembles", x, y);
    let (mut rows, mut lane) = (Vec::new(), 0.0);
    for (m, mode) in modes.iter().enumerate() {
        for (k, (_, start, end)) in mode.tasks.iter().enumerate() {
            panel.block((*start, *end), (lane + 0.12, lane + 0.88), colour(m), 0.85);
            rows.push(vec![m as f64 + 1.0, k as f64 + 1.0, *start, *end, mode.makespan, mode.bound]);
            lane += 1.0;
        }
        let lines = [(mode.bound, lane - mode.tasks.len() as f64), (mode.bound, lane)];
        panel.line(&lines, Stroke::of("ink").wide(0.8).dashed());
        lane += 1.0;
    }
    rows
}
