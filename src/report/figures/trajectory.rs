//! A search: scores and the best so far by evaluations, and where in each parameter the trials were.

use crate::report::draw::{Axis, BLUE, Corner, Frame, Panel, Picture, RED, Stroke, padded};
use crate::report::export::Table;
use crate::report::figures::{Figure, csv, heading, quantile, sorted};
use crate::report::table::short;

/// Parameters that have room.
const SHOWN: usize = 24;
/// Columns of their panels.
const COLUMNS: usize = 4;
/// Trials that are drawn one by one, over the scores and in the panel of a parameter.
const DOTS: (usize, usize) = (2000, 400);

/// A search as it is drawn.
pub struct Searched<'a> {
    /// A row for each trial, in the order of their numbers
    pub table: &'a Table,
    /// Names of the objectives
    pub objectives: &'a [String],
    /// A row's member is the trial's number; else trials are counted over all generations
    pub numbered: bool,
    /// What is large when a score is good: of one trial's scores, one number each
    pub goals: &'a dyn Fn(&[f64]) -> Vec<f64>,
}

/// A trial that ended with scores.
struct Trial<'a> {
    number: f64,
    x: &'a [f64],
    scores: &'a [f64],
    goals: Vec<f64>,
}

/// Panels of the objectives (two at most), then one for each parameter; none before a trial has ended with a score.
pub(super) fn figure(of: &Searched<'_>) -> Option<Figure> {
    let ran = || of.table.rows.iter().filter(|row| row.state != "result");
    let count = of.objectives.len();
    let trials: Vec<Trial<'_>> = (1_u32..)
        .zip(ran())
        .filter_map(|(k, row)| {
            let scores = row.outputs.as_deref()?.get(..count)?;
            let number = f64::from(if of.numbered { row.member } else { k });
            let goals = (of.goals)(scores);
            goals.iter().all(|g| g.is_finite()).then(|| Trial { number, x: &row.parameters, scores, goals })
        })
        .collect();
    let last = trials.last()?.number;
    // For each objective the trial that is the best one so far, as often as it changes.
    let best: Vec<Vec<&Trial<'_>>> = (0..count)
        .map(|q| {
            let mut steps: Vec<&Trial<'_>> = Vec::new();
            for trial in &trials {
                if steps.last().is_none_or(|then| trial.goals[q] > then.goals[q]) {
                    steps.push(trial);
                }
            }
            steps
        })
        .collect();
    let parameters = of.table.parameters.len();
    let shown = parameters.min(SHOWN);
    let height = 218.0 + 124.0 * shown.div_ceil(COLUMNS) as f64 + 14.0;
    let mut picture = Picture::new(560.0, height, &format!("{}: search", of.table.name));
    let x = || Axis::linear("evaluation", (0.0, last * 1.01));
    let objectives = count.min(2);
    let below = (0..objectives)
        .map(|q| scores(&mut picture, &trials, &best[q], q, (&of.objectives[q], objectives), x()))
        .sum::<usize>();
    // Of several objectives no trial is the best: there it is the first one's best that is followed.
    for i in 0..shown {
        let frame = Frame {
            left: 140.0 * (i % COLUMNS) as f64 + 38.0,
            top: 218.0 + 124.0 * (i / COLUMNS) as f64 + 14.0,
            width: 90.0,
            height: 80.0,
        };
        let below = if i + COLUMNS >= shown { x() } else { Axis::linear("", (0.0, last * 1.01)) };
        let y = Axis::linear("", padded(trials.iter().map(|t| t.x[i]), 0.04));
        let mut panel = Panel::new(&mut picture, frame, &of.table.parameters[i], below, y);
        let dots: Vec<(f64, f64)> = thinned(&trials, DOTS.1).map(|t| (t.number, t.x[i])).collect();
        panel.dots(&dots, BLUE, 0.8, 0.45);
        panel.line(&stairs(&best[0], last, |t| t.x[i]), Stroke::of(RED).wide(1.1));
    }
    let failed = ran().filter(|row| row.state.starts_with("failed")).count();
    let caption = caption(&trials, &best, of, (failed, below, parameters - shown));
    let names = ["evaluation".to_owned()].into_iter().chain(of.objectives.iter().cloned());
    let names: Vec<String> = names
        .chain(of.objectives.iter().map(|name| format!("best {name}")))
        .chain(of.table.parameters.clone())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut so_far = vec![f64::NEG_INFINITY; count];
    let mut known = vec![f64::NAN; count];
    let rows = trials.iter().map(|t| {
        for q in 0..count {
            if t.goals[q] > so_far[q] {
                (so_far[q], known[q]) = (t.goals[q], t.scores[q]);
            }
        }
        [vec![t.number], t.scores.to_vec(), known.clone(), t.x.to_vec()].concat()
    });
    let panels = vec![('a', csv(&heading(&names), rows))];
    Some(Figure { name: "fig_search".into(), title: "Search", caption, picture, panels })
}

/// Every trial's score and the best one so far; how many lie outside of the panel.
fn scores(
    picture: &mut Picture,
    trials: &[Trial<'_>],
    best: &[&Trial<'_>],
    q: usize,
    (name, panels): (&str, usize),
    x: Axis,
) -> usize {
    let all = sorted(trials.iter().map(|t| t.scores[q]));
    // The worst trials are far off and would press all others together: a tenth of them on the bad side may be outside.
    let steps = best.iter().map(|t| t.scores[q]);
    let good = best[best.len() - 1].scores[q];
    let up = good >= quantile(&all, 0.5);
    let worst = quantile(&all, if up { 0.1 } else { 0.9 });
    let (lo, hi) = padded([worst, good].into_iter().chain(steps.skip(best.len() / 3)), 0.06);
    let outside = trials.iter().filter(|t| !(lo..=hi).contains(&t.scores[q])).count();
    let wide = if panels > 1 { 206.0 } else { 492.0 };
    let frame = Frame { left: 54.0 + 280.0 * q as f64, top: 26.0, width: wide, height: 150.0 };
    let title = format!("{}  Score by evaluations", char::from(b'a' + q as u8));
    let mut panel = Panel::new(picture, frame, &title, x, Axis::linear(name, (lo, hi)));
    let dots: Vec<(f64, f64)> = thinned(trials, DOTS.0).map(|t| (t.number, t.scores[q])).collect();
    panel.dots(&dots, BLUE, 1.1, 0.45);
    let last = trials[trials.len() - 1].number;
    panel.line(&stairs(best, last, |t| t.scores[q]), Stroke::of(RED).wide(1.4));
    panel.name_dots(BLUE, "trial");
    panel.name_line(Stroke::of(RED), "best so far");
    panel.legend(if up { Corner::BottomRight } else { Corner::TopRight });
    outside
}

/// At most `most` trials, evenly over the search.
fn thinned<'t, 'x>(trials: &'t [Trial<'x>], most: usize) -> impl Iterator<Item = &'t Trial<'x>> {
    trials.iter().step_by(trials.len().div_ceil(most).max(1))
}

/// A line that stays until the next step, up to the last trial.
fn stairs(steps: &[&Trial<'_>], last: f64, of: impl Fn(&Trial<'_>) -> f64) -> Vec<(f64, f64)> {
    let ends = steps.iter().skip(1).map(|next| next.number).chain([last]);
    steps.iter().zip(ends).flat_map(|(step, end)| [(step.number, of(step)), (end, of(step))]).collect()
}

fn caption(
    trials: &[Trial<'_>],
    best: &[Vec<&Trial<'_>>],
    of: &Searched<'_>,
    (failed, outside, left_out): (usize, usize, usize),
) -> String {
    let mut text = format!("{} trials with a score", trials.len());
    if failed > 0 {
        text.push_str(&format!(", {failed} that failed"));
    }
    text.push_str(". Points are trials, the line is the best so far");
    for (q, (name, steps)) in of.objectives.iter().zip(best).enumerate() {
        if let Some(found) = steps.last() {
            text.push_str(&format!("; {name} {} at trial {}", short(found.scores[q]), found.number));
        }
    }
    text.push_str(". Below, the same for each parameter: a search narrows around what it has found.");
    if outside > 0 {
        text.push_str(&format!(" {outside} scores lie outside of the panel."));
    }
    if trials.len() > DOTS.1 {
        text.push_str(" Not every trial has a point; the table has all.");
    }
    if left_out > 0 {
        text.push_str(&format!(" {left_out} more parameters are in the table."));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::export::Row;

    fn table(scores: &[Option<[f64; 2]>]) -> Table {
        let row = |(k, scores): (usize, &Option<[f64; 2]>)| Row {
            iteration: 0,
            member: k as u32 + 1,
            state: if scores.is_some() { "ok" } else { "failed:exit" }.into(),
            parameters: vec![k as f64],
            outputs: scores.map(|s| s.to_vec()),
        };
        Table {
            run: "r".into(),
            name: "n".into(),
            parameters: vec!["x".into()],
            outputs: vec!["kge".into(), "bias".into()],
            rows: scores.iter().enumerate().map(row).collect(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_best_so_far_is_by_goals_and_failed_trials_keep_their_numbers() {
        // The second objective is good where it is near zero
        let table = table(&[Some([0.1, -3.0]), None, Some([0.5, 2.0]), Some([0.4, -1.0])]);
        let names = ["kge".to_owned(), "bias".to_owned()];
        let goals = |s: &[f64]| vec![s[0], -s[1].abs()];
        let figure =
            figure(&Searched { table: &table, objectives: &names, numbered: true, goals: &goals }).unwrap();
        let lines: Vec<&str> = figure.panels[0].1.lines().collect();
        assert_eq!(
            lines,
            [
                "evaluation,kge,bias,best kge,best bias,x",
                "1.0,0.1,-3.0,0.1,-3.0,0.0",
                "3.0,0.5,2.0,0.5,2.0,2.0",
                "4.0,0.4,-1.0,0.5,-1.0,3.0"
            ]
        );
        assert!(figure.caption.contains("3 trials with a score, 1 that failed"), "{}", figure.caption);
        let none = self::table(&[None, None]);
        let none = Searched { table: &none, objectives: &names, numbered: true, goals: &goals };
        assert!(self::figure(&none).is_none());
    }

    #[test]
    fn a_long_search_makes_no_endless_picture() {
        let scores: Vec<Option<[f64; 2]>> = (0..50_000).map(|k| Some([f64::from(k % 97), 0.0])).collect();
        let table = table(&scores);
        let names = ["kge".to_owned()];
        let goals = |s: &[f64]| s.to_vec();
        let figure =
            figure(&Searched { table: &table, objectives: &names, numbered: true, goals: &goals }).unwrap();
        assert!(figure.picture.svg().len() < 300_000, "{}", figure.picture.svg().len());
        assert_eq!(figure.panels[0].1.lines().count(), 50_001);
    }
}
