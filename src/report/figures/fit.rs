//! Data against ensemble: what was observed, what the first ensemble said, what the last one says.

use crate::report::draw::{Axis, BLUE, Corner, Frame, GREY, Panel, Picture, Stroke, padded};
use crate::report::figures::{Figure, csv, quantile, sorted};
use crate::report::story::{Fit, Story};
use crate::report::table::count;

/// Blocks that have room in the figure.
const BLOCKS: usize = 6;
/// Numbers of a block that are drawn; of longer ones every k-th.
const POINTS: usize = 800;

/// A panel per block.
pub(super) fn figure(story: &Story) -> Option<Figure> {
    let (first, last) = story.shown?;
    let scalars = story.fits.len() > 1 && story.fits.iter().all(|fit| fit.y.len() == 1);
    let joined;
    let fits: &[Fit] = if scalars {
        joined = [join(&story.fits)];
        &joined
    } else {
        &story.fits
    };
    let shown = fits.len().min(BLOCKS);
    let columns = if shown == 1 { 1 } else { 2 };
    let (wide, tall) = (if columns == 1 { 560.0 } else { 290.0 }, 215.0);
    let (width, height) = (wide * columns as f64, tall * shown.div_ceil(columns) as f64);
    let mut picture = Picture::new(width, height, &format!("{}: data against ensemble", story.name));
    let mut panels = Vec::new();
    for (k, fit) in fits.iter().take(shown).enumerate() {
        let frame = Frame {
            left: wide * (k % columns) as f64 + 62.0,
            top: tall * (k / columns) as f64 + 26.0,
            width: wide - 76.0,
            height: tall - 66.0,
        };
        panels.push((
            char::from(b'a' + k as u8),
            panel(&mut picture, frame, fit, scalars.then_some(&story.fits[..]), k == 0),
        ));
    }
    let more = if fits.len() > shown {
        format!(" The first {shown} of {}.", count(fits.len(), "block"))
    } else {
        String::new()
    };
    let caption = format!(
        "Observed numbers with two standard deviations of their noise (black), and what the ensembles of iteration {first} \
         (grey) and {last} (blue) gave: middle, and the range of the middle 90 % of members.{more}"
    );
    Some(Figure { name: "fig_fit".into(), title: "Data against ensemble", caption, picture, panels })
}

/// Blocks of one number each, side by side.
fn join(fits: &[Fit]) -> Fit {
    let members = |part: fn(&Fit) -> &Vec<Vec<f64>>| {
        (0..part(&fits[0]).len()).map(|j| fits.iter().map(|f| part(f)[j][0]).collect()).collect()
    };
    Fit {
        block: "observation".into(),
        y: fits.iter().map(|f| f.y[0]).collect(),
        sd: fits.iter().map(|f| f.sd[0]).collect(),
        first: members(|f| &f.first),
        last: members(|f| &f.last),
    }
}

/// 5 %, 50 % and 95 % of the members at a row.
fn spread(members: &[Vec<f64>], row: usize) -> [f64; 3] {
    let all = sorted(members.iter().map(|m| m[row]));
    [0.05, 0.5, 0.95].map(|q| quantile(&all, q))
}

fn panel(picture: &mut Picture, frame: Frame, fit: &Fit, names: Option<&[Fit]>, legend: bool) -> String {
    let n = fit.y.len();
    let rows: Vec<usize> = (0..n).step_by(n.div_ceil(POINTS)).collect();
    let table: Vec<[f64; 9]> = rows
        .iter()
        .map(|&r| {
            let (a, b) = (spread(&fit.first, r), spread(&fit.last, r));
            [(r + 1) as f64, fit.y[r], fit.sd[r], a[0], a[1], a[2], b[0], b[1], b[2]]
        })
        .collect();
    let all = table.iter().flat_map(|t| [t[1] - 2.0 * t[2], t[1] + 2.0 * t[2], t[3], t[5], t[6], t[8]]);
    let y = Axis::linear("", padded(all, 0.06));
    let few = n <= 30;
    // Eight points to both sides, or a sixth of the room that a number has
    let aside = (8.0 * n as f64 / frame.width).min(0.16);
    let mut x = Axis::linear(if names.is_some() { "" } else { "number in the block" }, (0.5, n as f64 + 0.5));
    if let Some(names) = names.filter(|names| names.len() <= 12) {
        x = x.named(names.iter().enumerate().map(|(k, f)| ((k + 1) as f64, f.block.clone())).collect());
    } else if few && n <= 8 {
        x = x.named((1..=n).map(|k| (k as f64, k.to_string())).collect());
    }
    let mut panel = Panel::new(picture, frame, &fit.block, x, y);
    let column = |at: [usize; 3], shift: f64| -> Vec<(f64, f64, f64)> {
        table.iter().map(|t| (t[at[0]] + shift, t[at[1]], t[at[2]])).collect()
    };
    let middle =
        |at: usize, shift: f64| -> Vec<(f64, f64)> { table.iter().map(|t| (t[0] + shift, t[at])).collect() };
    if few {
        panel.ranges(&column([0, 3, 5], -aside), Stroke::of(GREY).wide(5.0).faint(0.45));
        panel.dots(&middle(4, -aside), GREY, 2.4, 1.0);
        panel.ranges(&column([0, 6, 8], aside), Stroke::of(BLUE).wide(5.0).faint(0.45));
        panel.dots(&middle(7, aside), BLUE, 2.4, 1.0);
    } else {
        panel.band(&column([0, 3, 5], 0.0), GREY, 0.3);
        panel.band(&column([0, 6, 8], 0.0), BLUE, 0.35);
        panel.line(&middle(4, 0.0), Stroke::of(GREY).wide(0.9));
        panel.line(&middle(7, 0.0), Stroke::of(BLUE).wide(1.2));
    }
    let bars: Vec<(f64, f64, f64)> =
        table.iter().map(|t| (t[0], t[1] - 2.0 * t[2], t[1] + 2.0 * t[2])).collect();
    let (thin, size) = if n > 120 { (0.35, 0.7) } else { (0.9, 2.0) };
    panel.ranges(&bars, Stroke::of("ink").wide(thin));
    panel.dots(&middle(1, 0.0), "ink", size, 1.0);
    if legend {
        panel.name_dots("ink", "observed, 2 sd");
        panel.name_area(GREY, 0.45, "first");
        panel.name_area(BLUE, 0.5, "last");
    }
    panel.legend(Corner::Above);
    csv(
        "row,observed,noise_sd,first_p05,first_p50,first_p95,last_p05,last_p50,last_p95",
        table.iter().map(|t| t.to_vec()),
    )
}
