//! Searches side by side: the best score against evaluations and against time, and who was at work.

use crate::report::draw::{Axis, Frame, Panel, Picture, Stroke, colour, padded, viridis};
use crate::report::figures::{Figure, csv, sorted};
use crate::report::metrics::{Busy, median, quantile};
use crate::report::scaling::{Case, Searched};
use crate::report::table::short;

/// Cases with a line of their own.
const LINES: usize = 12;
/// Stretches of time in the heat map.
const BINS: usize = 60;

/// A case of searches, its look, and its number in the tables.
struct Line<'a> {
    case: &'a Case,
    stroke: Stroke,
}

/// Convergence of the searches of one sweep; none where there are not two cases of them.
pub fn figure(name: &str, cases: &[Case]) -> Option<Figure> {
    let searching: Vec<&Case> = cases.iter().filter(|case| !case.searches.is_empty()).collect();
    let left_out = searching.len().saturating_sub(LINES);
    // Of many cases some, evenly over the list, so that none of its parts is forgotten.
    let lines: Vec<Line<'_>> = (0..searching.len().min(LINES))
        .map(|k| searching[k * searching.len() / searching.len().min(LINES)])
        .enumerate()
        .map(|(k, case)| {
            let stroke = Stroke::of(colour(k)).wide(1.3);
            Line { case, stroke: if k < 6 { stroke } else { stroke.dashed() } }
        })
        .collect();
    if lines.len() < 2 {
        return None;
    }
    let paths = || lines.iter().flat_map(|line| &line.case.searches);
    let budget = f64::from(paths().map(|path| path.budget).max().unwrap_or(1));
    let longest = paths().filter_map(|path| Some(path.points.last()?.at_s)).fold(0.0, f64::max);
    let soonest = paths().filter_map(|path| Some(path.points.first()?.at_s)).fold(f64::INFINITY, f64::min);
    let soonest = soonest.clamp(longest * 1e-4, longest * 0.5);
    // The first draws are far below: from a tenth of the budget on the lines tell apart.
    let seen: Vec<f64> = paths().flat_map(|path| [0.1, 1.0].map(|s| path.at(s))).flatten().collect();
    let range = padded(seen.iter().copied(), 0.08);
    let tall = (lines.len() as f64 * 18.0).clamp(90.0, 220.0);
    let mut picture = Picture::new(560.0, 360.0 + tall, &format!("{name}: searches"));
    let frame = |left: f64| Frame { left, top: 26.0, width: 210.0, height: 150.0 };
    let x = Axis::log("evaluations", 10, (budget / 100.0, budget * 1.05));
    let title = "a  Best score by evaluations";
    let mut panel = Panel::new(&mut picture, frame(52.0), title, x, Axis::linear("best score", range));
    let mut a = Vec::new();
    for (k, line) in lines.iter().enumerate() {
        let by = by_evaluations(&line.case.searches, budget);
        panel.line(&by.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>(), line.stroke);
        a.extend(by.into_iter().map(|p| [vec![k as f64 + 1.0], p.to_vec()].concat()));
    }
    let x = Axis::log("time (s)", 10, (soonest, longest * 1.05));
    let title = "b  Best score by time";
    let mut panel = Panel::new(&mut picture, frame(330.0), title, x, Axis::linear("", range));
    let mut b = Vec::new();
    for (k, line) in lines.iter().enumerate() {
        let by = by_time(&line.case.searches, soonest, longest);
        panel.line(&by.iter().map(|p| (p[0], p[1])).collect::<Vec<_>>(), line.stroke);
        b.extend(by.into_iter().map(|p| [vec![k as f64 + 1.0], p.to_vec()].concat()));
    }
    let target = lines.iter().find_map(|line| line.case.target);
    if let Some(target) = target {
        panel.line(&[(soonest, target), (longest, target)], Stroke::of("ink").wide(0.5).dashed());
    }
    names(&mut picture, &lines, 232.0);
    let c = workers(&mut picture, &lines, 232.0 + 12.0 * lines.len().div_ceil(3) as f64 + 26.0, tall);
    let told: Vec<String> = lines.iter().map(|line| told(line.case)).collect();
    let caption = format!(
        "Lines are medians over the runs of a case{}. In c every worker of the first run of each case, bright while the \
         model ran, over the time of that run. {}.{}",
        target.map_or_else(String::new, |t| format!(", the thin one in b the target {}", short(t))),
        told.join("; "),
        if left_out > 0 {
            format!(" {left_out} more cases are in the tables of the study.")
        } else {
            String::new()
        }
    );
    let panels = vec![
        ('a', csv("case,evaluations,best_median,best_min,best_max", a.into_iter())),
        ('b', csv("case,at_s,best_median", b.into_iter())),
        ('c', csv("case,worker,bin_start_share,busy_share", c.into_iter())),
    ];
    Some(Figure { name: "fig_async_dds".into(), title: "Searches", caption, picture, panels })
}

/// Evaluations, and median, least and greatest of the best scores that were known then.
fn by_evaluations(paths: &[Searched], budget: f64) -> Vec<[f64; 4]> {
    let at = |k: u32| (0.01 * 100.0_f64.powf(f64::from(k) / 60.0)).min(1.0);
    (0..=60)
        .filter_map(|k| {
            let best = sorted(paths.iter().filter_map(|path| path.at(at(k))));
            let middle = (best.len() == paths.len()).then(|| median(&best)).flatten()?;
            Some([at(k) * budget, middle, best[0], best[best.len() - 1]])
        })
        .collect()
}

/// Seconds, and the median of the best scores that were known then; up to the end of the median run.
fn by_time(paths: &[Searched], soonest: f64, longest: f64) -> Vec<[f64; 2]> {
    let ends = sorted(paths.iter().filter_map(|path| Some(path.points.last()?.at_s)));
    let end = quantile(&ends, 0.5);
    let at = |k: u32| soonest * (longest / soonest).powf(f64::from(k) / 120.0);
    (0..=120)
        .map(at)
        .take_while(|t| *t <= end * 1.02)
        .filter_map(|t| {
            let known =
                |path: &Searched| path.points.iter().take_while(|p| p.at_s <= t).last().map(|p| p.best);
            // A run that knows nothing yet is below all others: so a median never falls.
            let mut best: Vec<f64> = paths.iter().map(|p| known(p).unwrap_or(f64::NEG_INFINITY)).collect();
            best.sort_by(f64::total_cmp);
            let middle = 0.5 * (best.get(best.len().checked_sub(1)? / 2)? + best.get(best.len() / 2)?);
            middle.is_finite().then_some([t, middle])
        })
        .collect()
}

/// Names of the lines in three columns.
fn names(picture: &mut Picture, lines: &[Line<'_>], top: f64) {
    let rows = lines.len().div_ceil(3);
    for column in 0..3 {
        let left = 52.0 + 170.0 * column as f64;
        let frame = Frame { left, top: top - 4.0, width: 160.0, height: 12.0 * rows as f64 };
        let names: Vec<(Stroke, String)> = lines
            .iter()
            .enumerate()
            .skip(column * rows)
            .take(rows)
            .map(|(k, line)| (line.stroke, format!("{}  {}", k + 1, line.case.listed.case)))
            .collect();
        Panel::names(picture, frame, names.iter().map(|(stroke, name)| (*stroke, name.as_str())));
    }
}

/// The heat map: a strip for each case, in it a lane for each worker.
fn workers(picture: &mut Picture, lines: &[Line<'_>], top: f64, tall: f64) -> Vec<Vec<f64>> {
    let names = (0..lines.len()).map(|k| (k as f64 + 0.5, (k + 1).to_string())).collect();
    let y = Axis::linear("case", (0.0, lines.len() as f64)).from_top().named(names);
    let frame = Frame { left: 52.0, top, width: 488.0, height: tall };
    let x = Axis::linear("share of the time of the run (%)", (0.0, 100.0));
    let mut panel = Panel::new(picture, frame, "c  Workers at work", x, y);
    let mut rows = Vec::new();
    for (k, line) in lines.iter().enumerate() {
        let case = line.case;
        let end = case.wall_s.first().copied().unwrap_or(0.0);
        let high = 1.0 / case.lanes() as f64;
        for (worker, bins) in busy(&case.work, case.lanes(), end).into_iter().enumerate() {
            let y = k as f64 + worker as f64 * high;
            for (bin, share) in bins.into_iter().enumerate() {
                let x = 100.0 * bin as f64 / BINS as f64;
                panel.block((x, x + 100.0 / BINS as f64), (y, y + high), &viridis(share), 1.0);
                rows.push(vec![k as f64 + 1.0, worker as f64 + 1.0, x / 100.0, share]);
            }
        }
        if k > 0 {
            panel.line(&[(0.0, k as f64), (100.0, k as f64)], Stroke::of("#ffffff").wide(1.6));
        }
    }
    rows
}

/// For each lane and bin the share of time at work.
fn busy(work: &[Busy], lanes: usize, total: f64) -> Vec<Vec<f64>> {
    let width = total / BINS as f64;
    let mut shares = vec![vec![0.0_f64; BINS]; lanes];
    for w in work.iter().filter(|_| width > 0.0) {
        let (first, last) = ((w.start_s / width) as usize, (w.end_s / width) as usize);
        for (k, share) in shares[w.worker].iter_mut().enumerate().take(last.min(BINS - 1) + 1).skip(first) {
            let (left, right) = (k as f64 * width, (k + 1) as f64 * width);
            *share = (*share + ((w.end_s.min(right) - w.start_s.max(left)) / width).max(0.0)).min(1.0);
        }
    }
    shares
}

fn told(case: &Case) -> String {
    let last = median(&case.searches.iter().filter_map(Searched::last).collect::<Vec<_>>());
    let best = last.map_or_else(|| "-".into(), short);
    let target = match (case.target, case.time_to_target_s()) {
        (Some(_), Some(s)) => format!(", target after {} s", short(s)),
        (Some(_), None) => ", target not reached by half of its runs".into(),
        (None, _) => String::new(),
    };
    let used = 100.0 * case.shares.utilisation();
    format!("{}: best {best}{target}, {used:.0} % at work", case.listed.case)
}
