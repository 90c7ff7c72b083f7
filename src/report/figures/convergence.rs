//! How a calibration went: the misfit, and how much is left of the first spread.

use crate::report::draw::{Axis, BLUE, Corner, Frame, Panel, Picture, RED, Stroke, colour};
use crate::report::figures::{Figure, csv, heading};
use crate::report::story::Story;
use crate::report::table::short;

/// Parameters drawn with a colour and a name of their own.
const NAMED: usize = 6;

/// Misfit by iteration, spread by iteration.
pub(super) fn figure(story: &Story) -> Option<Figure> {
    let updates = &story.updates;
    let (first, last) = (updates.first()?, updates.last()?);
    let mut picture = Picture::new(560.0, 240.0, &format!("{}: convergence", story.name));
    let frame = |left: f64| Frame { left, top: 30.0, width: 210.0, height: 165.0 };
    let at = |k: u32| f64::from(k);
    let span = (at(first.iteration) - 0.3, at(last.iteration) + 0.3);

    let misfit: Vec<(f64, f64)> = updates.iter().map(|u| (at(u.iteration), u.misfit)).collect();
    let members: Vec<(f64, f64)> = updates.iter().map(|u| (at(u.iteration), u.avg_rmse.powi(2))).collect();
    let both = misfit.iter().chain(&members).map(|p| p.1).chain([1.0]);
    let y = Axis::by_range("misfit per observation", both, 20.0);
    let mut panel = Panel::new(&mut picture, frame(58.0), "a  Fit", Axis::linear("iteration", span), y);
    let noise = Stroke::of("ink").dashed().wide(0.8);
    panel.line(&[(span.0, 1.0), (span.1, 1.0)], noise);
    let (mean, each) = (Stroke::of(BLUE), Stroke::of(RED));
    panel.line(&members, each);
    panel.dots(&members, RED, 2.2, 1.0);
    panel.line(&misfit, mean);
    panel.dots(&misfit, BLUE, 2.2, 1.0);
    panel.name_line(mean, "mean");
    panel.name_line(each, "members");
    panel.name_line(noise, "noise");
    panel.legend(Corner::Above);

    // Spreads of the ensembles themselves, unconstrained space would hide that a bound is reached.
    let spreads = spreads(story);
    let ratios: Vec<Vec<(f64, f64)>> = (0..story.parameters.len())
        .map(|i| {
            let start = spreads[0][i];
            story.iterations.iter().zip(&spreads).map(|(&n, s)| (at(n), s[i] / start)).collect()
        })
        .collect();
    let y = Axis::by_range("spread / first spread", ratios.iter().flatten().map(|p| p.1), 5.0);
    let span = (at(*story.iterations.first()?) - 0.3, at(*story.iterations.last()?) + 0.3);
    let mut panel = Panel::new(&mut picture, frame(336.0), "b  Spread", Axis::linear("iteration", span), y);
    let few = ratios.len() <= NAMED;
    for (i, line) in ratios.iter().enumerate() {
        let stroke = if few { Stroke::of(colour(i)) } else { Stroke::of(BLUE).wide(0.6).faint(0.5) };
        panel.line(line, stroke);
        if few {
            panel.dots(line, colour(i), 2.2, 1.0);
            panel.name_line(stroke, &story.parameters[i]);
        }
    }
    panel.legend(Corner::TopRight);

    let fits = updates.iter().map(|u| {
        vec![
            at(u.iteration),
            u.misfit,
            u.avg_rmse.powi(2),
            u.step,
            u.time,
            f64::from(u.ok),
            f64::from(u.failed),
        ]
    });
    let a = csv("iteration,misfit_of_mean,misfit_of_members,step,time,members_used,members_failed", fits);
    let names: Vec<&str> =
        std::iter::once("iteration").chain(story.parameters.iter().map(String::as_str)).collect();
    let spread_rows = story
        .iterations
        .iter()
        .zip(&spreads)
        .map(|(&n, s)| std::iter::once(at(n)).chain(s.iter().copied()).collect());
    let b = csv(&heading(&names), spread_rows);
    let caption = format!(
        "The misfit per observation, in units of the noise, went from {} to {} in {} iterations; near 1 the model fits as \
         well as the noise allows, far below 1 it fits the noise. Right: standard deviation of each parameter over that of \
         the first ensemble.",
        short(first.misfit),
        short(last.misfit),
        updates.len()
    );
    Some(Figure {
        name: "fig_convergence".into(),
        title: "Convergence",
        caption,
        picture,
        panels: vec![('a', a), ('b', b)],
    })
}

/// Standard deviation (divisor J − 1) of each parameter of each ensemble, physical units.
fn spreads(story: &Story) -> Vec<Vec<f64>> {
    let one = |ensemble: &crate::numerics::Mat| {
        let mean = ensemble.mean();
        let n = ensemble.ncols() as f64;
        let square =
            |i: usize| (0..ensemble.ncols()).map(|j| (ensemble[(i, j)] - mean[i]).powi(2)).sum::<f64>();
        (0..ensemble.nrows()).map(|i| (square(i) / (n - 1.0)).sqrt()).collect()
    };
    story.ensembles.iter().map(one).collect()
}
