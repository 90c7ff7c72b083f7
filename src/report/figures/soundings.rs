//! Soundings over layers: decays against what was measured, and resistivity against depth.

mod section;

use std::collections::HashMap;

use crate::models::soundings::{Curve, Layers, Soundings};
use crate::numerics::Mat;
use crate::report::draw::{Axis, BLUE, Corner, Frame, GREY, Panel, Picture, Stroke, colour};
use crate::report::figures::{Figure, cell, quantile, sorted};
use crate::report::story::{Fit, Story};
use crate::report::table::count;

/// Soundings that have room in the figure, a row each.
const ROWS: usize = 3;
/// Depths at which quantiles are taken.
const DEPTHS: usize = 160;
/// Draws of the prior that a profile is shown with.
const DRAWS: usize = 400;

/// Quantiles that are shown.
type Three = [f64; 3];

fn three(all: impl Iterator<Item = f64>) -> Three {
    let all = sorted(all);
    [0.1, 0.5, 0.9].map(|q| quantile(&all, q))
}

/// A sounding's layers before and after.
struct Profile {
    result: Vec<Layers>,
    truth: Option<Layers>,
    /// m
    depths: Vec<f64>,
    /// p10, p50, p90 at each depth, Ω m
    before: Vec<Three>,
    after: Vec<Three>,
}

impl Profile {
    fn of(story: &Story, soundings: &Soundings, name: &str, rows: &HashMap<&str, usize>) -> Option<Self> {
        let row = |of: &str| rows.get(of).copied();
        let layers = |values: &Mat, most: usize| -> Option<Vec<Layers>> {
            (0..values.ncols().min(most))
                .map(|j| soundings.layers(name, |p| row(p).map(|i| values[(i, j)])))
                .collect()
        };
        let truth = soundings.layers(name, |p| row(p).map(|i| story.truth[i]).filter(|x| x.is_finite()));
        let (prior, result) = (layers(&story.prior, DRAWS)?, layers(story.ensembles.last()?, usize::MAX)?);
        let deepest = three(result.iter().filter_map(|l| l.bottoms.last().copied()))[2];
        let known = truth.as_ref().and_then(|l| l.bottoms.last().copied()).unwrap_or(0.0);
        let end = if deepest.is_finite() { 1.4 * deepest.max(known) } else { 100.0 };
        let depths: Vec<f64> = (0..DEPTHS).map(|k| end * (k as f64 + 0.5) / DEPTHS as f64).collect();
        let at = |all: &[Layers]| depths.iter().map(|z| three(all.iter().map(|l| l.at(*z)))).collect();
        let (before, after) = (at(&prior), at(&result));
        Some(Self { result, truth, depths, before, after })
    }
}

/// Of a model that has soundings: decays and profiles, and a section where there are more than a few.
pub(super) fn figures(story: &Story) -> Vec<Figure> {
    let (Some(soundings), Some(_)) = (&story.soundings, story.updates.first()) else { return Vec::new() };
    let rows: HashMap<&str, usize> =
        story.parameters.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let profiles: Option<Vec<Profile>> =
        soundings.names.iter().map(|name| Profile::of(story, soundings, name, &rows)).collect();
    let Some(profiles) = profiles else { return Vec::new() };
    let all = [figure(story, soundings, &profiles), section::figure(story, soundings, &profiles)];
    all.into_iter().flatten().collect()
}

/// Decays and profiles of a few soundings; the numbers of all.
fn figure(story: &Story, soundings: &Soundings, profiles: &[Profile]) -> Option<Figure> {
    // A panel for each quantity that is measured
    let mut labels: Vec<&str> = Vec::new();
    let mut units = String::new();
    for curve in soundings.curves.iter().filter(|_| !story.fits.is_empty()) {
        if !labels.contains(&curve.label.as_str()) && labels.len() < 2 {
            labels.push(&curve.label);
            if !curve.per.is_empty() {
                units.push_str(&format!(" {}: {}.", curve.label, curve.per));
            }
        }
    }
    // Those that are shown are the first, the last, and what lies evenly between them
    let n = soundings.names.len();
    let rows = n.min(ROWS);
    let shown: Vec<usize> = (0..rows).map(|k| k * (n - 1) / (rows - 1).max(1)).collect();
    let (wide, narrow, tall) = (if labels.len() > 1 { 235.0 } else { 330.0 }, 235.0, 262.0);
    let (width, height) = (wide * labels.len() as f64 + narrow, tall * rows as f64 + 18.0);
    let mut picture = Picture::new(width, height, &format!("{}: soundings", story.name));
    let mut decays = String::from(
        "sounding,block,time_s,observed,noise_sd,first_p10,first_p50,first_p90,last_p10,last_p50,last_p90\n",
    );
    let mut layers = String::from(
        "sounding,depth_m,prior_p10,prior_p50,prior_p90,result_p10,result_p50,result_p90,truth\n",
    );
    for (k, name) in soundings.names.iter().enumerate() {
        let title = name.trim_end_matches('_');
        let fits: Vec<(&Curve, Decay)> = soundings
            .curves
            .iter()
            .filter_map(|c| {
                let fit = story.fits.iter().find(|fit| fit.block == format!("{name}{}", c.block))?;
                Some((c, Decay::of(c, fit)?))
            })
            .collect();
        for (curve, decay) in &fits {
            for row in &decay.rows {
                let cells: Vec<String> = row.iter().map(|x| cell(*x)).collect();
                decays.push_str(&format!("{title},{},{}\n", curve.block, cells.join(",")));
            }
        }
        let profile = &profiles[k];
        for (i, z) in profile.depths.iter().enumerate() {
            let known = profile.truth.as_ref().map_or(f64::NAN, |l| l.at(*z));
            let numbers = [*z].into_iter().chain(profile.before[i]).chain(profile.after[i]).chain([known]);
            let cells: Vec<String> = numbers.map(cell).collect();
            layers.push_str(&format!("{title},{}\n", cells.join(",")));
        }
        let Some(row) = shown.iter().position(|at| *at == k) else { continue };
        let top = tall * row as f64 + 28.0;
        for (g, label) in labels.iter().enumerate() {
            let frame = Frame { left: wide * g as f64 + 62.0, top, width: wide - 76.0, height: tall - 68.0 };
            let these: Vec<&(&Curve, Decay)> = fits.iter().filter(|(c, _)| c.label == *label).collect();
            draw_decays(&mut picture, frame, title, label, &these, row == 0 && g == 0);
        }
        let left = wide * labels.len() as f64 + 54.0;
        let frame = Frame { left, top, width: narrow - 68.0, height: tall - 68.0 };
        draw_profile(&mut picture, frame, if labels.is_empty() { title } else { "" }, profile, row == 0);
    }
    let more = if n > rows {
        format!(
            " Three of {}, first to last; the numbers beside the figure are of all.",
            count(n, "sounding")
        )
    } else {
        String::new()
    };
    let known =
        if story.truth.iter().any(|x| x.is_finite()) { ", and the known earth (black, broken)" } else { "" };
    let measured = match story.shown {
        Some((first, last)) if !labels.is_empty() => format!(
            "Left: measured decays with two standard deviations of their noise (black), and the middle 80 % of what the \
             members of iterations {first} (grey) and {last} (colours) gave, with the middle. Right: r"
        ),
        _ => "R".into(),
    };
    let caption = format!(
        "{measured}esistivity against depth: p10 to p90 and p50 of the prior (grey) and of the result (blue), its {} members \
         (thin){known}.{units}{more}",
        story.ensembles.last()?.ncols()
    );
    let panels = vec![('a', decays), ('b', layers)];
    Some(Figure { name: "fig_soundings".into(), title: "Soundings", caption, picture, panels })
}

/// A curve with its ensembles; numbers as they are, drawn with the sign that most of them have.
struct Decay {
    /// time, observed, sd, first p10, p50, p90, last p10, p50, p90
    rows: Vec<[f64; 9]>,
    sign: f64,
}

impl Decay {
    fn of(curve: &Curve, fit: &Fit) -> Option<Self> {
        if curve.times.len() != fit.y.len() {
            return None;
        }
        let spread = |members: &[Vec<f64>], r: usize| three(members.iter().map(|m| m[r]));
        let row = |r: usize| {
            let (a, b) = (spread(&fit.first, r), spread(&fit.last, r));
            [curve.times[r], fit.y[r], fit.sd[r], a[0], a[1], a[2], b[0], b[1], b[2]]
        };
        let middle = three(fit.y.iter().copied())[1];
        let sign = if middle < 0.0 { -1.0 } else { 1.0 };
        Some(Self { rows: (0..fit.y.len()).map(row).collect(), sign })
    }
}

fn ends(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers
        .filter(|x| x.is_finite() && *x > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(lo, hi), x| (lo.min(x), hi.max(x)))
}

fn draw_decays(
    picture: &mut Picture,
    frame: Frame,
    title: &str,
    label: &str,
    curves: &[&(&Curve, Decay)],
    legend: bool,
) {
    let rows = || curves.iter().flat_map(|(_, d)| d.rows.iter().map(move |r| (r, d.sign)));
    let times = ends(rows().map(|(r, _)| r[0]));
    let shown = ends(rows().flat_map(|(r, sign)| [sign * r[1], sign * r[6], sign * r[7], sign * r[8]]));
    // A wide prior may be far off: it has as much room as the data, at most
    let prior = ends(rows().flat_map(|(r, sign)| [sign * r[3], sign * r[5]]));
    let lo = shown.0.min(prior.0.max(shown.0 / 10.0)) / 1.5;
    let hi = shown.1.max(prior.1.min(shown.1 * 10.0)) * 1.5;
    let minus = if curves.iter().any(|(_, d)| d.sign < 0.0) { "\u{2212}" } else { "" };
    let x = Axis::log("time, s", 10, (times.0 / 1.15, times.1 * 1.15));
    let y = Axis::log(&format!("{minus}{label}"), 10, (lo, hi));
    let mut panel = Panel::new(picture, frame, title, x, y);
    let floor = lo / 1e3;
    let band = |d: &Decay, at: usize| -> Vec<(f64, f64, f64)> {
        let (a, b) = if d.sign < 0.0 { (at + 2, at) } else { (at, at + 2) };
        d.rows.iter().map(|r| (r[0], (d.sign * r[a]).max(floor), (d.sign * r[b]).max(floor))).collect()
    };
    let line =
        |d: &Decay, at: usize| -> Vec<(f64, f64)> { d.rows.iter().map(|r| (r[0], d.sign * r[at])).collect() };
    for (_, decay) in curves {
        panel.band(&band(decay, 3), GREY, 0.28);
        panel.line(&line(decay, 4), Stroke::of(GREY).wide(0.9));
    }
    for (k, (_, decay)) in curves.iter().enumerate() {
        panel.band(&band(decay, 6), colour(k), 0.35);
        panel.line(&line(decay, 7), Stroke::of(colour(k)).wide(1.2));
    }
    for (_, d) in curves {
        let bars: Vec<(f64, f64, f64)> = d
            .rows
            .iter()
            .map(|r| (r[0], (d.sign * r[1] - 2.0 * r[2]).max(floor), d.sign * r[1] + 2.0 * r[2]))
            .collect();
        panel.ranges(&bars, Stroke::of("ink").wide(0.8));
        panel.dots(&line(d, 1), "ink", 1.5, 1.0);
    }
    if legend {
        panel.name_dots("ink", "observed, 2 sd");
        panel.name_area(GREY, 0.45, "first ensemble");
        for (k, (curve, _)) in curves.iter().enumerate() {
            panel.name_area(
                colour(k),
                0.6,
                &if curves.len() > 1 { format!("last, {}", curve.block) } else { "last".into() },
            );
        }
    }
    panel.legend(Corner::Foot);
}

/// A quantity of layers as steps.
fn steps(layers: &Layers, end: f64) -> Vec<(f64, f64)> {
    let bottoms = layers.bottoms.iter().copied().chain([end]);
    let mut top = 0.0;
    let mut points = Vec::new();
    for (rho, bottom) in layers.resistivity.iter().zip(bottoms) {
        points.extend([(*rho, top), (*rho, bottom.min(end))]);
        top = bottom;
        if top >= end {
            break;
        }
    }
    points
}

fn draw_profile(picture: &mut Picture, frame: Frame, title: &str, profile: &Profile, legend: bool) {
    let Profile { result, truth, depths, before, after } = profile;
    let step = depths[0];
    let end = depths[depths.len() - 1] + step;
    let known = truth.iter().flat_map(|l| l.resistivity.iter().copied());
    let (lo, hi) = ends(before.iter().chain(after).flat_map(|q| [q[0], q[2]]).chain(known));
    let x = Axis::log("resistivity, Ω m", 10, (lo / 1.3, hi * 1.3));
    let y = Axis::linear("depth, m", (0.0, end)).from_top();
    let mut panel = Panel::new(picture, frame, title, x, y);
    // Cells of depth have two ends: quantiles are steps, too
    let band = |all: &[Three]| -> Vec<(f64, f64, f64)> {
        depths.iter().zip(all).flat_map(|(z, q)| [(z - step, q[0], q[2]), (z + step, q[0], q[2])]).collect()
    };
    let middle = |all: &[Three]| -> Vec<(f64, f64)> {
        depths.iter().zip(all).flat_map(|(z, q)| [(q[1], z - step), (q[1], z + step)]).collect()
    };
    panel.upright_band(&band(before), GREY, 0.25);
    panel.line(&middle(before), Stroke::of(GREY).wide(0.9));
    for layers in result.iter().take(100) {
        panel.line(&steps(layers, end), Stroke::of(BLUE).wide(0.4).faint(0.25));
    }
    panel.upright_band(&band(after), BLUE, 0.3);
    panel.line(&middle(after), Stroke::of(BLUE).wide(1.6));
    if let Some(truth) = truth {
        panel.line(&steps(truth, end), Stroke::of("ink").wide(1.1).dashed());
    }
    if legend {
        panel.name_area(GREY, 0.4, "prior");
        panel.name_area(BLUE, 0.5, "result");
        if truth.is_some() {
            panel.name_line(Stroke::of("ink").wide(1.1).dashed(), "known");
        }
    }
    panel.legend(Corner::Above);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_become_steps_down_to_the_end_of_the_axis() {
        let layers = Layers { resistivity: vec![30.0, 200.0, 5.0], bottoms: vec![10.0, 50.0] };
        let shown = steps(&layers, 40.0);
        assert_eq!(shown, [(30.0, 0.0), (30.0, 10.0), (200.0, 10.0), (200.0, 40.0)]);
    }

    #[test]
    fn a_decay_below_zero_is_drawn_upwards_and_told_as_it_is() {
        let curve = Curve {
            block: "z".into(),
            label: "dB/dt, T/s".into(),
            per: String::new(),
            times: vec![1e-5, 1e-4],
        };
        let fit = Fit {
            block: "z".into(),
            y: vec![-2.0, -1.0],
            sd: vec![0.1, 0.1],
            first: vec![vec![-4.0, -2.0]],
            last: vec![vec![-2.5, -1.5]],
        };
        let decay = Decay::of(&curve, &fit).unwrap();
        assert_eq!((decay.sign, decay.rows[0][1], decay.rows[1][7]), (-1.0, -2.0, -1.5));
        assert!(Decay::of(&Curve { times: vec![1.0], ..curve }, &fit).is_none());
    }
}
