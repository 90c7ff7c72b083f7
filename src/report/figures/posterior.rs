//! What was learnt: each parameter before and after, and each pair.

use crate::report::draw::{Axis, BLUE, Corner, Frame, GREY, Panel, Picture, Stroke, padded};
use crate::report::figures::{Figure, csv, heading, quantile, sorted};
use crate::report::story::Story;

/// Parameters that have room in a figure of marginals.
const MARGINALS: usize = 12;
/// Parameters that have room in a figure of pairs.
const PAIRS: usize = 6;
/// Places at which a density is worked out.
const PLACES: usize = 400;

/// A density of draws: Gaussian kernels of Silverman's (1986) width, 0.9 min(sd, IQR/1.34) n^(−1/5).
fn density(draws: &[f64], places: &[f64]) -> Vec<f64> {
    let n = draws.len() as f64;
    let mean = draws.iter().sum::<f64>() / n;
    let sd = (draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0)).sqrt();
    let iqr = quantile(draws, 0.75) - quantile(draws, 0.25);
    let scale = if iqr > 0.0 { sd.min(iqr / 1.34) } else { sd };
    let width = (0.9 * scale * n.powf(-0.2)).max(f64::MIN_POSITIVE);
    let one = |at: f64| draws.iter().map(|x| (-0.5 * ((at - x) / width).powi(2)).exp()).sum::<f64>();
    let norm = n * width * (2.0 * std::f64::consts::PI).sqrt();
    places.iter().map(|&at| one(at) / norm).collect()
}

fn even(lo: f64, hi: f64) -> Vec<f64> {
    (0..PLACES).map(|k| lo + (hi - lo) * k as f64 / (PLACES - 1) as f64).collect()
}

/// Densities of the prior and of the last ensemble, a panel per parameter.
pub(super) fn marginals(story: &Story) -> Option<Figure> {
    story.updates.first()?;
    let last = story.ensembles.last()?;
    let shown = story.parameters.len().min(MARGINALS);
    let columns = shown.min(3);
    let (wide, tall) = (187.0, 142.0);
    let (width, height) = (wide * columns.max(2) as f64, tall * shown.div_ceil(columns) as f64 + 12.0);
    let mut picture = Picture::new(width, height, &format!("{}: marginals", story.name));
    let mut panels = Vec::new();
    for i in 0..shown {
        let before = sorted((0..story.prior.ncols()).map(|j| story.prior[(i, j)]));
        let after = sorted((0..last.ncols()).map(|j| last[(i, j)]));
        // The bulk of the prior; a heavy tail would leave nothing to see.
        let bulk = [quantile(&before, 0.01), quantile(&before, 0.99)];
        let (lo, hi) = padded(bulk.into_iter().chain(after.iter().copied()), 0.05);
        // A posterior a thousand times narrower than the prior wants its own window.
        let (lo, hi) = window((lo, hi), &after);
        let places = even(lo, hi);
        let (p, q) = (density(&before, &places), density(&after, &places));
        let top = p.iter().chain(&q).fold(0.0_f64, |a, b| a.max(*b)) * 1.12;
        let frame = Frame {
            left: wide * (i % columns) as f64 + 16.0,
            top: tall * (i / columns) as f64 + 24.0,
            width: wide - 30.0,
            height: tall - 48.0,
        };
        let x = Axis::linear("", (lo, hi));
        let y = Axis::linear("", (0.0, top)).quiet();
        let mut panel = Panel::new(&mut picture, frame, &story.parameters[i], x, y);
        let curve = |values: &[f64]| -> Vec<(f64, f64)> {
            places.iter().copied().zip(values.iter().copied()).collect()
        };
        panel.band(&places.iter().zip(&p).map(|(&x, &p)| (x, 0.0, p)).collect::<Vec<_>>(), GREY, 0.25);
        panel.line(&curve(&p), Stroke::of(GREY).wide(1.0));
        panel.band(&places.iter().zip(&q).map(|(&x, &q)| (x, 0.0, q)).collect::<Vec<_>>(), BLUE, 0.3);
        panel.line(&curve(&q), Stroke::of(BLUE));
        let members: Vec<(f64, f64, f64)> = after.iter().map(|&x| (x, 0.0, 0.045 * top)).collect();
        panel.ranges(&members, Stroke::of("ink").wide(0.6).faint(0.7));
        if i == 0 {
            panel.name_area(GREY, 0.4, "prior");
            panel.name_area(BLUE, 0.5, "result");
        }
        panel.legend(Corner::Foot);
        let letter = char::from(b'a' + u8::try_from(i).unwrap_or(25));
        let rows = places.iter().zip(p.iter().zip(&q)).map(|(&x, (&p, &q))| vec![x, p, q]);
        panels
            .push((letter, csv(&heading(&[&story.parameters[i], "prior_density", "result_density"]), rows)));
    }
    let rest = story.parameters.len() - shown;
    let more = if rest > 0 {
        format!(" The first {shown} of {} parameters.", story.parameters.len())
    } else {
        String::new()
    };
    let caption = format!(
        "Prior and last ensemble, as densities (kernels of Silverman's width); ticks are the {} members.{more}",
        last.ncols()
    );
    Some(Figure { name: "fig_marginals".into(), title: "What was learnt", caption, picture, panels })
}

/// The window of a marginal: the prior's, unless the result is so narrow in it that it would be a line.
fn window((lo, hi): (f64, f64), after: &[f64]) -> (f64, f64) {
    let (first, last) = (after.first().copied().unwrap_or(lo), after.last().copied().unwrap_or(hi));
    let span = last - first;
    if span > 0.0 && span * 25.0 < hi - lo { (first - 6.0 * span, last + 6.0 * span) } else { (lo, hi) }
}

/// Every pair of parameters: prior and last ensemble.
pub(super) fn pairs(story: &Story) -> Option<Figure> {
    story.updates.first()?;
    let last = story.ensembles.last()?;
    let d = story.parameters.len().min(PAIRS);
    if d < 2 {
        return None;
    }
    let cell = if d <= 3 { 170.0 } else { 115.0 };
    let size = 50.0 + cell * (d - 1) as f64;
    let mut picture = Picture::new(size + 10.0, size + 14.0, &format!("{}: pairs", story.name));
    let ranges: Vec<(f64, f64)> = (0..d)
        .map(|i| {
            let before = sorted((0..story.prior.ncols()).map(|j| story.prior[(i, j)]));
            let bulk = [quantile(&before, 0.02), quantile(&before, 0.98)];
            padded(bulk.into_iter().chain((0..last.ncols()).map(|j| last[(i, j)])), 0.05)
        })
        .collect();
    let cloud = 400.min(story.prior.ncols());
    for row in 1..d {
        for column in 0..row {
            let frame = Frame {
                left: 52.0 + cell * column as f64,
                top: 14.0 + cell * (row - 1) as f64,
                width: cell - 14.0,
                height: cell - 14.0,
            };
            let (bottom, left) = (row + 1 == d, column == 0);
            let x = Axis::linear(if bottom { &story.parameters[column] } else { "" }, ranges[column]);
            let y = Axis::linear(if left { &story.parameters[row] } else { "" }, ranges[row]);
            let x = if bottom { x } else { x.quiet() };
            let y = if left { y } else { y.quiet() };
            let mut panel = Panel::new(&mut picture, frame, "", x, y);
            let of = |m: &crate::numerics::Mat, n: usize| -> Vec<(f64, f64)> {
                (0..n).map(|j| (m[(column, j)], m[(row, j)])).collect()
            };
            panel.dots(&of(&story.prior, cloud), GREY, 1.2, 0.4);
            panel.dots(&of(last, last.ncols()), BLUE, 2.2, 0.85);
            if row == 1 {
                panel.name_dots(GREY, "prior");
                panel.name_dots(BLUE, "result");
            }
            panel.legend(Corner::Foot);
        }
    }
    let names: Vec<&str> = story.parameters.iter().take(d).map(String::as_str).collect();
    let rows = (0..last.ncols()).map(|j| (0..d).map(|i| last[(i, j)]).collect());
    let caption = format!(
        "Each pair of parameters: {cloud} draws of the prior, and the {} members of the last ensemble. A slanted cloud is a \
         pair that the observation knows only together.",
        last.ncols()
    );
    let panels = vec![('a', csv(&heading(&names), rows))];
    Some(Figure { name: "fig_pairs".into(), title: "Pairs of parameters", caption, picture, panels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_density_has_area_one_and_the_height_of_its_law() {
        // Given evenly spread quantiles of a standard normal law
        let below = |x: f64| 0.5 * (1.0 + crate::numerics::special::erf(x / std::f64::consts::SQRT_2));
        let at = |p: f64| {
            let halve = |(lo, hi): (f64, f64), _| {
                if below((lo + hi) / 2.0) < p { ((lo + hi) / 2.0, hi) } else { (lo, (lo + hi) / 2.0) }
            };
            (0..60).fold((-8.0, 8.0), halve).0
        };
        let draws: Vec<f64> = (1..2000).map(|k| at(f64::from(k) / 2000.0)).collect();
        let places = even(-5.0, 5.0);
        let values = density(&draws, &places);
        let area: f64 = values.iter().sum::<f64>() * 10.0 / (PLACES - 1) as f64;
        assert!((area - 1.0).abs() < 1e-3, "{area}: the trapezoid's ends are empty");
        let middle = density(&draws, &[0.0])[0];
        assert!((middle - 0.3989).abs() < 0.02, "{middle}: kernels of width 0.2 flatten by 2 %");
    }

    #[test]
    fn a_needle_in_a_haystack_gets_its_own_window() {
        assert_eq!(window((0.0, 100.0), &[50.0, 51.0]), (44.0, 57.0));
        assert_eq!(window((0.0, 100.0), &[40.0, 60.0]), (0.0, 100.0));
    }
}
