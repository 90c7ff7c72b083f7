//! What a run costs besides the model, by how it is handed out: one by one, in shares, as programs, as array elements.

use std::collections::BTreeMap;

use crate::report::draw::{Axis, Corner, Frame, Panel, Picture, Stroke, colour};
use crate::report::figures::{Figure, csv};
use crate::report::metrics::median;
use crate::report::scaling::Case;
use crate::report::table::{short, span};

/// Share of the workers' time in the model that is asked for in the caption.
const ENOUGH: f64 = 0.9;

/// Runs of one length, handed out in one way.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Measured {
    /// Seconds that the model takes
    run_s: f64,
    /// Worker time besides it for each run, seconds
    besides_s: f64,
}

impl Measured {
    fn efficiency(self) -> f64 {
        self.run_s / (self.run_s + self.besides_s)
    }
}

/// A way to hand out runs: its family, and how many go together.
type Way = (String, u32);

/// `10ms pack16`: a run takes 0.01 s, sixteen go together.
fn read(group: &str) -> Option<(f64, Way)> {
    let (cost, way) = group.split_once(' ')?;
    let run_s = match cost.strip_suffix("ms") {
        Some(ms) => ms.parse::<f64>().ok()? / 1e3,
        None => cost.strip_suffix('s')?.parse().ok()?,
    };
    let digits = way.len() - way.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (family, together) = way.split_at(way.len() - digits);
    (run_s > 0.0).then(|| (run_s, (family.to_owned(), together.parse().unwrap_or(1))))
}

/// Overhead and efficiency by the length of a run, and by how many go together; none where no group names a length.
pub fn figure(cases: &[Case]) -> Option<Figure> {
    let mut ways: BTreeMap<Way, Vec<Measured>> = BTreeMap::new();
    for case in cases.iter().filter(|case| case.listed.sweep.starts_with("overhead") && case.ended() > 0) {
        let (Some((run_s, way)), Some(wall)) = (read(&case.listed.group), median(&case.wall_s)) else {
            continue;
        };
        let runs = case.ended() as f64 / case.wall_s.len() as f64;
        let held_s = wall * f64::from(case.listed.workers) / runs;
        // A clock that is coarser than the cost shows next to none.
        let besides_s = (held_s - run_s).max(1e-6);
        ways.entry(way).or_default().push(Measured { run_s, besides_s });
    }
    ways.values_mut().for_each(|line| line.sort_by(|a, b| a.run_s.total_cmp(&b.run_s)));
    let mut lengths: Vec<f64> = ways.values().flatten().map(|m| m.run_s).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    let (first, last) = (*lengths.first()?, *lengths.last()?);
    if first == last {
        return None;
    }
    let mut families: Vec<&str> = ways.keys().map(|way| way.0.as_str()).collect();
    families.dedup();
    let shade = |family: &str| colour(families.iter().position(|f| *f == family).unwrap_or(0));
    let mut picture = Picture::new(560.0, 455.0, "overhead");
    let frame = |left: f64, top: f64| Frame { left, top, width: 210.0, height: 150.0 };
    let seconds = || Axis::log("model, s per run", 10, (first / 1.6, last * 1.6));
    let besides =
        |(lo, hi): (f64, f64)| Axis::log("besides, ms per run", 10, (lo * 1e3 / 2.0, hi * 1e3 * 2.0));
    let percent = || Axis::linear("efficiency (%)", (0.0, 110.0));
    // a and b: ways that hand out one run at a time
    let single = || ways.iter().filter(|(way, _)| way.1 == 1);
    let mut panel = Panel::new(
        &mut picture,
        frame(52.0, 26.0),
        "a  One by one",
        seconds(),
        besides(ends(&mut single().flat_map(|(_, line)| line))),
    );
    for (way, line) in single() {
        let points: Vec<(f64, f64)> = line.iter().map(|m| (m.run_s, 1e3 * m.besides_s)).collect();
        panel.line(&points, Stroke::of(shade(&way.0)));
        panel.dots(&points, shade(&way.0), 2.4, 1.0);
    }
    let mut panel = Panel::new(&mut picture, frame(330.0, 26.0), "b  Efficiency", seconds(), percent());
    for (way, line) in single() {
        let points: Vec<(f64, f64)> = line.iter().map(|m| (m.run_s, 100.0 * m.efficiency())).collect();
        panel.line(&points, Stroke::of(shade(&way.0)));
        panel.dots(&points, shade(&way.0), 2.4, 1.0);
    }
    // c and d: what it is worth to hand out more of them
    let shared: Vec<&str> =
        families.iter().copied().filter(|f| ways.keys().any(|w| w.0 == *f && w.1 > 1)).collect();
    let quick: Vec<f64> = lengths.iter().copied().filter(|s| *s < 0.5).collect();
    let share = |way: &Way| shared.contains(&way.0.as_str()) || way.0 == "pool";
    let short_runs =
        || ways.iter().filter(|(way, _)| share(way)).flat_map(|(_, line)| line).filter(|m| m.run_s < 0.5);
    let together = || {
        let most = ways.keys().map(|way| way.1).max().unwrap_or(1);
        Axis::log("runs that go together", 2, (0.85, f64::from(most) * 1.2))
    };
    let line_of = |family: &str, run_s: f64, of: &dyn Fn(Measured) -> f64| -> Vec<(f64, f64)> {
        // A pack of one is what a pool hands out.
        let one = ways.iter().filter(|(way, _)| way.0 == family || (family == "pack" && way.0 == "pool"));
        let point = |(way, line): (&Way, &Vec<Measured>)| {
            Some((f64::from(way.1), of(*line.iter().find(|m| m.run_s == run_s)?)))
        };
        let mut points: Vec<(f64, f64)> = one.filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let looks =
        |k: usize| if k == 0 { Stroke::of("ink") } else { Stroke::of("ink").dashed().faint(1.0 / k as f64) };
    let mut panel = Panel::new(
        &mut picture,
        frame(52.0, 236.0),
        "c  In shares",
        together(),
        besides(ends(&mut short_runs())),
    );
    for family in &shared {
        for (k, run_s) in quick.iter().enumerate() {
            let points = line_of(family, *run_s, &|m| 1e3 * m.besides_s);
            panel.line(&points, Stroke { colour: shade(family), ..looks(k) });
            panel.dots(&points, shade(family), 2.0, 1.0);
        }
    }
    for family in &families {
        panel.name_line(Stroke::of(shade(family)), family);
    }
    for (k, run_s) in quick.iter().enumerate() {
        panel.name_line(looks(k), &format!("{} ms", (1e3 * run_s).round()));
    }
    panel.legend(Corner::Foot);
    let mut panel = Panel::new(&mut picture, frame(330.0, 236.0), "d  Efficiency", together(), percent());
    for family in &shared {
        for (k, run_s) in quick.iter().enumerate() {
            let points = line_of(family, *run_s, &|m| 100.0 * m.efficiency());
            panel.line(&points, Stroke { colour: shade(family), ..looks(k) });
            panel.dots(&points, shade(family), 2.0, 1.0);
        }
    }
    let told = single().filter_map(|(way, line)| {
        let middle = median(&line.iter().map(|m| m.besides_s).collect::<Vec<_>>())?;
        Some(format!("{} {} ms (from {} on)", way.0, short(1e3 * middle), pays(middle)))
    });
    let caption = format!(
        "What a worker spends on a run besides the model, medians over lengths, and the length at which it is a tenth of all: \
         {}. In c and d full lines are the shortest runs; to the right more of them share an outcome, a lease or an element.",
        told.collect::<Vec<_>>().join(", ")
    );
    let number =
        |family: &str| families.iter().position(|f| *f == family).map_or(f64::NAN, |k| k as f64 + 1.0);
    let rows = ways.iter().flat_map(|(way, line)| {
        let head = [number(&way.0), f64::from(way.1)];
        line.iter().map(move |m| [&head[..], &[m.run_s, m.besides_s, m.efficiency()]].concat())
    });
    let heading = format!("way ({}),together,run_s,besides_s,efficiency", families.join(" "));
    let table = csv(&heading, rows);
    let panels = ['a', 'b', 'c', 'd'].map(|letter| (letter, table.clone())).to_vec();
    Some(Figure { name: "fig_overhead".into(), title: "Overhead", caption, picture, panels })
}

/// Smallest and largest time besides the model.
fn ends(all: &mut dyn Iterator<Item = &Measured>) -> (f64, f64) {
    all.fold((f64::INFINITY, 0.0), |(lo, hi), m| (lo.min(m.besides_s), hi.max(m.besides_s)))
}

/// How long a run must be for this to be a tenth of the time.
fn pays(besides_s: f64) -> String {
    let needed = besides_s * ENOUGH / (1.0 - ENOUGH);
    if needed < 1.0 { format!("{} ms", (1e3 * needed).round()) } else { span(needed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_says_how_long_a_run_is_and_how_many_go_together() {
        assert_eq!(read("10ms pack16"), Some((0.01, ("pack".into(), 16))));
        assert_eq!(read("1s pool"), Some((1.0, ("pool".into(), 1))));
        assert!(read("hbv").is_none() && read("simd 64").is_none() && read("0ms pool").is_none());
    }

    #[test]
    fn half_of_the_time_besides_the_model_is_an_efficiency_of_a_half() {
        let one = Measured { run_s: 0.01, besides_s: 0.01 };
        assert!((one.efficiency() - 0.5).abs() < 1e-15);
        assert_eq!((pays(0.001), pays(1.0)), ("9 ms".into(), "9 s".into()));
    }
}
