//! A run of a sampler: its trace, its estimate while draws come in, and how its chains share the ranks.

use crate::report::draw::{Anchor, Axis, Frame, Panel, Picture, RED, Stroke, colour, padded};
use crate::report::figures::{Figure, csv, heading};
use crate::report::gallery::{Sampled, Trace, envelope};

/// Bins of the trace: two points of each are drawn.
const BINS: usize = 160;
/// Places of the running estimate.
const POINTS: usize = 120;
/// Least draws of a chain in a bin of ranks.
const IN_A_BIN: usize = 10;
/// Chains with a colour of their own.
const COLOURED: usize = 6;
/// Height of the picture, points.
const TALL: f64 = 168.0;

const TITLE: &str = "Chains";

/// The figure of a run whose draws are there.
pub fn figure(name: String, run: &Sampled, trace: &Trace) -> Figure {
    let mut picture = Picture::new(560.0, TALL, &format!("{}, {}: chains", run.target, run.label));
    let frame = |left: f64, width: f64| Frame { left, top: 24.0, width, height: TALL - 62.0 };
    let (chains, draws) = (trace.llc.len(), trace.draws());
    let thin = if chains > 1 { 0.6 } else { 0.8 };

    // a: every draw
    let lines: Vec<Vec<(f64, f64)>> = trace.llc.iter().map(|chain| envelope(chain, BINS)).collect();
    let y = padded(lines.iter().flatten().map(|p| p.1), 0.04);
    let x = Axis::linear("draw", (0.0, draws.max(2) as f64));
    let mut panel = Panel::new(&mut picture, frame(46.0, 150.0), "a  Trace", x, Axis::linear("llc", y));
    for (k, line) in lines.iter().enumerate() {
        panel.line(line, Stroke::of(colour(k % COLOURED)).wide(thin).faint(0.75));
    }
    let lost: Vec<(f64, f64)> = trace
        .divergent
        .iter()
        .zip(&trace.llc)
        .flat_map(|(lost, llc)| lost.iter().zip(llc).enumerate().filter(|(_, (lost, _))| **lost))
        .map(|(k, (_, llc))| (k as f64, *llc))
        .collect();
    panel.dots(&lost, RED, 1.8, 1.0);

    // b: the estimate so far
    let running = trace.running(POINTS);
    let (error, truth) = (run.number("llc_mcse"), run.number("llc_true"));
    let n = running.last().map_or(1, |r| r.0) as f64;
    let band: Vec<(f64, f64, f64)> = running
        .iter()
        .filter(|_| error.is_finite())
        .map(|(k, work, mean, _)| {
            let half = 2.0 * error * (n / *k as f64).sqrt();
            (*work, mean - half, mean + half)
        })
        .collect();
    // Early means are wild: the axis has room for the later half of the run, and for what is known.
    let late = running.iter().filter(|r| 5 * r.0 >= running.last().map_or(0, |l| l.0));
    let late = late.flat_map(|r| r.3.iter().copied().chain([r.2]));
    let y = padded(late.chain([truth]).chain(band.last().iter().flat_map(|b| [b.1, b.2])), 0.1);
    let work = running.last().map_or(1.0, |r| r.1);
    let (x, label) = if work > 0.0 {
        (Axis::linear("full gradients, all chains", (0.0, work)), true)
    } else {
        (Axis::linear("draw", (0.0, n)), false)
    };
    let at = |r: &(usize, f64, f64, Vec<f64>)| if label { r.1 } else { r.0 as f64 };
    let mut panel = Panel::new(&mut picture, frame(240.0, 150.0), "b  Mean so far", x, Axis::linear("", y));
    if label {
        panel.band(&band, "#8c8c8c", 0.25);
    }
    if truth.is_finite() {
        let end = if label { work } else { n };
        panel.line(&[(0.0, truth), (end, truth)], Stroke::of("ink").dashed().wide(0.8));
        panel.note(end, truth, Anchor::End, "known");
    }
    for k in 0..chains {
        let line: Vec<(f64, f64)> = running.iter().map(|r| (at(r), r.3[k])).collect();
        panel.line(&line, Stroke::of(colour(k % COLOURED)).wide(0.8).faint(0.8));
    }
    if chains > 1 {
        let mean: Vec<(f64, f64)> = running.iter().map(|r| (at(r), r.2)).collect();
        panel.line(&mean, Stroke::of("ink").wide(1.4));
    }

    // c: ranks among all draws; chains that have met share them evenly
    let bins = (draws / IN_A_BIN).clamp(1, 20);
    let ranks = if chains > 1 && bins > 2 { trace.ranks(bins) } else { Vec::new() };
    let most = ranks.iter().flatten().copied().fold(2.0, f64::max) * 1.05;
    let x = Axis::linear("rank among all draws", (0.0, 1.0))
        .named([(0.0, "least"), (1.0, "largest")].map(|(at, name)| (at, name.to_owned())).to_vec());
    let mut panel =
        Panel::new(&mut picture, frame(430.0, 112.0), "c  Share of ranks", x, Axis::linear("", (0.0, most)));
    panel.line(&[(0.0, 1.0), (1.0, 1.0)], Stroke::of("ink").dashed().wide(0.8));
    for (k, row) in ranks.iter().enumerate() {
        let step = |(bin, share): (usize, &f64)| {
            let edge = |bin: usize| bin as f64 / bins as f64;
            [(edge(bin), *share), (edge(bin + 1), *share)]
        };
        let line: Vec<(f64, f64)> = row.iter().enumerate().flat_map(step).collect();
        panel.line(&line, Stroke::of(colour(k % COLOURED)).wide(0.9).faint(0.85));
    }
    if ranks.is_empty() {
        panel.note(0.5, 0.5, Anchor::Middle, if chains > 1 { "too few draws" } else { "one chain" });
    }

    let each: Vec<String> = (1..=chains).map(|k| format!("chain_{k}")).collect();
    let named = |first: &[&str]| -> String {
        heading(&first.iter().copied().chain(each.iter().map(String::as_str)).collect::<Vec<_>>())
    };
    let a = csv(
        "chain,draw,llc",
        (1..).zip(&lines).flat_map(|(k, line)| line.iter().map(move |p| vec![f64::from(k), p.0, p.1])),
    );
    let rows = running.iter().map(|r| [vec![r.0 as f64, r.1, r.2], r.3.clone()].concat());
    let b = csv(&named(&["draws", "full_gradients", "mean"]), rows);
    let rows = (0..if ranks.is_empty() { 0 } else { bins }).map(|bin| {
        let edges = vec![bin as f64 / bins as f64, (bin + 1) as f64 / bins as f64];
        edges.into_iter().chain(ranks.iter().map(|row| row[bin])).collect()
    });
    let c = csv(&named(&["rank_from", "rank_to"]), rows);
    Figure { name, title: TITLE, caption: caption(run), picture, panels: vec![('a', a), ('b', b), ('c', c)] }
}

/// What stands in place of a figure: slanting lines, why, and where to look.
pub fn missing(name: String, run: &Sampled, why: &str) -> Figure {
    let mut picture = Picture::new(560.0, 96.0, &format!("{}, {}: no data", run.target, run.label));
    picture.hatched(Frame { left: 8.0, top: 6.0, width: 544.0, height: 84.0 });
    let mut lines = wrapped(why, 84, 3);
    lines.push(format!("log: {}", run.log));
    let first = 50.0 - 6.0 * (lines.len() as f64 - 1.0);
    picture.label((280.0, first), 8.0, &lines);
    Figure { name, title: TITLE, caption: why.to_owned(), picture, panels: Vec::new() }
}

/// A text in lines of at most so many letters; what is left over ends in dots.
fn wrapped(text: &str, wide: usize, lines: usize) -> Vec<String> {
    let mut all: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let full = all.len() == lines;
        let last = all.last_mut().expect("there is one line at least");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= wide {
            last.push(' ');
            last.push_str(word);
        } else if full {
            last.push_str(" …");
            break;
        } else {
            all.push(word.to_owned());
        }
    }
    // A path has no blanks to break at.
    all.iter().map(|line| line.chars().take(wide + 2).collect()).collect()
}

/// Estimate and diagnostics in a sentence.
fn caption(run: &Sampled) -> String {
    let number = |name: &str, digits: usize| {
        let x = run.number(name);
        if x.is_finite() { format!("{x:.digits$}") } else { "-".into() }
    };
    let mut text = format!(
        "λ̂ = {}, R̂ {}, {} effective draws, {} full gradients (warming up {})",
        run.estimate(),
        number("r_hat", 3),
        number("ess", 0),
        number("total_fge", 0),
        number("fge_warmup", 0)
    );
    if run.number("llc_true").is_finite() {
        text.push_str(&format!("; known: {}", number("llc_true", 3)));
    }
    if run.number("divergences") > 0.0 {
        text.push_str(&format!("; {} divergent draws (dots)", number("divergences", 0)));
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_has_few_lines_and_dots() {
        let lines = wrapped(&"word ".repeat(60), 20, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].ends_with('…') && lines.iter().all(|line| line.chars().count() <= 22), "{lines:?}");
        assert_eq!(wrapped("short", 20, 3), ["short"]);
    }
}
