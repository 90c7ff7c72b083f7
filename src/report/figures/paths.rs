//! Where the members went: each parameter, iteration by iteration.

use crate::report::draw::{Axis, BLUE, Corner, Frame, Panel, Picture, RED, Stroke, padded};
use crate::report::figures::{Figure, csv, heading, quantile, sorted};
use crate::report::story::Story;

/// Parameters that have room.
const SHOWN: usize = 12;
/// Members that are drawn one by one.
const MEMBERS: usize = 60;

/// A panel per parameter.
pub(super) fn figure(story: &Story) -> Option<Figure> {
    story.updates.first()?;
    let shown = story.parameters.len().min(SHOWN);
    let columns = shown.min(3);
    let (wide, tall) = (187.0, 155.0);
    let height = tall * shown.div_ceil(columns) as f64 + 12.0;
    let mut picture = Picture::new(wide * columns.max(2) as f64, height, &format!("{}: paths", story.name));
    let members = story.ensembles.iter().map(crate::numerics::Mat::ncols).min().unwrap_or(0).min(MEMBERS);
    let at = |k: usize| f64::from(story.iterations[k]);
    let last = story.iterations.len() - 1;
    let mut panels = Vec::new();
    for i in 0..shown {
        let frame = Frame {
            left: wide * (i % columns) as f64 + 44.0,
            top: tall * (i / columns) as f64 + 22.0,
            width: wide - 56.0,
            height: tall - 62.0,
        };
        let rows: Vec<[f64; 4]> = story
            .ensembles
            .iter()
            .enumerate()
            .map(|(k, e)| {
                let all = sorted((0..e.ncols()).map(|j| e[(i, j)]));
                [at(k), quantile(&all, 0.05), quantile(&all, 0.5), quantile(&all, 0.95)]
            })
            .collect();
        let y = Axis::linear("", padded(rows.iter().flat_map(|r| [r[1], r[3]]), 0.12));
        let x = Axis::linear(if i + columns >= shown { "iteration" } else { "" }, (at(0), at(last)));
        let mut panel = Panel::new(&mut picture, frame, &story.parameters[i], x, y);
        panel.band(&rows.iter().map(|r| (r[0], r[1], r[3])).collect::<Vec<_>>(), BLUE, 0.18);
        for j in 0..members {
            let path: Vec<(f64, f64)> =
                story.ensembles.iter().enumerate().map(|(k, e)| (at(k), e[(i, j)])).collect();
            panel.line(&path, Stroke::of(BLUE).wide(0.4).faint(0.45));
        }
        panel.line(&rows.iter().map(|r| (r[0], r[2])).collect::<Vec<_>>(), Stroke::of(RED));
        if i == 0 {
            panel.name_line(Stroke::of(RED), "middle");
            panel.name_area(BLUE, 0.3, "90 % of members");
        }
        panel.legend(Corner::Foot);
        let letter = char::from(b'a' + u8::try_from(i).unwrap_or(25));
        panels.push((
            letter,
            csv(&heading(&["iteration", "p05", "p50", "p95"]), rows.iter().map(|r| r.to_vec())),
        ));
    }
    let caption = "Members (thin), their middle and the range of 90 % of them, iteration by iteration; a path that still moves at \
                   the end wants more iterations."
        .to_owned();
    Some(Figure { name: "fig_paths".into(), title: "Paths of the parameters", caption, picture, panels })
}
