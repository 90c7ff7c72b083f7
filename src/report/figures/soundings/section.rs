//! A section of the ground along a line of soundings.

use crate::models::soundings::Soundings;
use crate::report::draw::{Anchor, Axis, Corner, Frame, Panel, Picture, viridis};
use crate::report::figures::soundings::{DEPTHS, Profile, ROWS, ends, three};
use crate::report::figures::{Figure, cell, quantile, sorted};
use crate::report::story::Story;
use crate::report::table::count;

/// Rows and most columns.
const CELLS: (usize, usize) = (60, 240);

/// Resistivity along a line of soundings: its middle, how well it is known, and the known one.
pub(super) fn figure(story: &Story, soundings: &Soundings, all: &[Profile]) -> Option<Figure> {
    let n = all.len();
    if n <= ROWS {
        return None;
    }
    let every = n.div_ceil(CELLS.1);
    let profiles: Vec<(usize, &Profile)> = all.iter().enumerate().step_by(every).collect();
    let bottoms = sorted(profiles.iter().map(|(_, p)| p.depths[DEPTHS - 1]));
    let end = quantile(&bottoms, 0.98) / 1.2;
    let depths: Vec<f64> = (0..CELLS.0).map(|k| end * (k as f64 + 0.5) / CELLS.0 as f64).collect();
    let of = |value: &dyn Fn(&Profile, f64) -> f64| -> Vec<Vec<f64>> {
        profiles.iter().map(|(_, p)| depths.iter().map(|z| value(p, *z)).collect()).collect()
    };
    let quantiles = |p: &Profile, z: f64| three(p.result.iter().map(|l| l.at(z)));
    let known = profiles.iter().all(|(_, p)| p.truth.is_some());
    let mut maps = vec![
        ("resistivity, p50", "Ω m", of(&|p, z| quantiles(p, z)[1])),
        ("how well it is known: p90 / p10", "", of(&|p, z| quantiles(p, z)[2] / quantiles(p, z)[0])),
    ];
    if known {
        let truth = |p: &Profile, z: f64| p.truth.as_ref().map_or(f64::NAN, |l| l.at(z));
        maps.insert(0, ("known resistivity", "Ω m", of(&truth)));
    }
    let (width, tall) = (580.0, 158.0);
    let mut picture =
        Picture::new(width, tall * maps.len() as f64 + 26.0, &format!("{}: section", story.name));
    // Resistivities share their colours
    let shared = maps.iter().filter(|m| !m.1.is_empty()).flat_map(|m| m.2.iter().flatten().copied());
    let shared = ends(shared);
    let mut csv = String::from("sounding,depth_m,result_p50,p90_over_p10,truth\n");
    for (k, (title, unit, values)) in maps.iter().enumerate() {
        let range = if unit.is_empty() { ends(values.iter().flatten().copied()) } else { shared };
        let frame =
            Frame { left: 52.0, top: tall * k as f64 + 24.0, width: width - 132.0, height: tall - 38.0 };
        map(&mut picture, frame, (title, unit), values, (range, every, end), k + 1 == maps.len());
    }
    for (c, (k, profile)) in profiles.iter().enumerate() {
        for (r, z) in depths.iter().enumerate() {
            let truth = profile.truth.as_ref().map_or(f64::NAN, |l| l.at(*z));
            let map = |back: usize| maps[maps.len() - back].2[c][r];
            let cells = [*z, map(2), map(1), truth].map(cell).join(",");
            csv.push_str(&format!("{},{cells}\n", soundings.names[*k].trim_end_matches('_')));
        }
    }
    let caption = format!(
        "{} side by side: resistivity in the middle of the members at each depth, and the ratio of its p90 and p10{}.",
        count(n, "sounding"),
        if known { ", below the known earth" } else { "" }
    );
    Some(Figure { name: "fig_section".into(), title: "Section", caption, picture, panels: vec![('a', csv)] })
}

/// A map with its colours beside it.
fn map(
    picture: &mut Picture,
    frame: Frame,
    (title, unit): (&str, &str),
    values: &[Vec<f64>],
    (range, every, end): ((f64, f64), usize, f64),
    last: bool,
) {
    let n = (values.len() * every) as f64;
    let x = Axis::linear(if last { "sounding" } else { "" }, (0.5, n + 0.5));
    let y = Axis::linear("depth, m", (0.0, end)).from_top();
    let mut panel = Panel::new(picture, frame, title, x, y);
    let scale = (range.1 / range.0).ln().max(1e-9);
    let tint = |value: f64| viridis((value / range.0).ln() / scale);
    let step = end / CELLS.0 as f64;
    for (c, column) in values.iter().enumerate() {
        let left = (c * every) as f64 + 0.5;
        let mut from = 0;
        // Cells of one colour are one block
        for r in 1..=column.len() {
            if r == column.len() || tint(column[r]) != tint(column[from]) {
                let (top, bottom) = (from as f64 * step, r as f64 * step);
                panel.block((left, left + every as f64), (top, bottom), &tint(column[from]), 1.0);
                from = r;
            }
        }
    }
    panel.legend(Corner::Above);
    let bar = Frame { left: frame.left + frame.width + 36.0, width: 12.0, ..frame };
    let (x, y) = (Axis::linear("", (0.0, 1.0)).named(Vec::new()), Axis::log("", 10, range));
    let mut panel = Panel::new(picture, bar, "", x, y);
    for k in 0..64 {
        let at = |k: usize| range.0 * (scale * k as f64 / 64.0).exp();
        panel.block((0.0, 1.0), (at(k), at(k + 1)), &viridis((k as f64 + 0.5) / 64.0), 1.0);
    }
    panel.legend(Corner::Above);
    picture.text((bar.left + 6.0, bar.top - 7.0), 8.0, Anchor::Middle, unit);
}
