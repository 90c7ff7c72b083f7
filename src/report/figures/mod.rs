//! Figures of a run: each a picture, the numbers behind its panels, and a sentence that says what is seen.
//!
//! Belongs here: what is shown and how it is laid out. Not here: lines and axes (`draw`), reading a run (`story`).

pub mod chains;
pub mod compare;
mod convergence;
mod fit;
pub mod overhead;
mod paths;
mod posterior;
pub mod scaling;
pub mod searches;
mod soundings;
pub mod trajectory;
mod workers;

use crate::report::draw::Picture;
use crate::report::metrics::quantile;
use crate::report::story::Story;
use crate::report::timings::Row;

/// A figure.
#[derive(Debug, Clone)]
pub struct Figure {
    /// File name without its ending: `fig_convergence`
    pub name: String,
    /// What it is about
    pub title: &'static str,
    /// What is seen
    pub caption: String,
    /// The picture
    pub picture: Picture,
    /// Numbers of each panel: its letter and a CSV text
    pub panels: Vec<(char, String)>,
}

/// Everything that can be drawn of a calibration, in the order of a report.
pub fn of_calibration(story: &Story, rows: &[Row]) -> Vec<Figure> {
    let mut all: Vec<Option<Figure>> =
        vec![convergence::figure(story), posterior::marginals(story), posterior::pairs(story)];
    // Decays over five decades say nothing on a linear axis: where there are soundings, they take the place of the fit
    let soundings = soundings::figures(story);
    if soundings.is_empty() {
        all.push(fit::figure(story));
    }
    all.extend(soundings.into_iter().map(Some));
    all.extend([paths::figure(story), workers::figure(rows)]);
    all.into_iter().flatten().collect()
}

/// What can be drawn of a search: its trials, and who worked when.
pub fn of_search(searched: &trajectory::Searched<'_>, rows: &[Row]) -> Vec<Figure> {
    trajectory::figure(searched).into_iter().chain(workers::figure(rows)).collect()
}

/// What can be drawn of any run: who worked when.
pub fn of_times(rows: &[Row]) -> Vec<Figure> {
    workers::figure(rows).into_iter().collect()
}

/// A table of numbers as CSV: floats in the shortest form that reads back the same.
fn csv(heading: &str, rows: impl Iterator<Item = Vec<f64>>) -> String {
    let mut text = format!("{heading}\n");
    for row in rows {
        let cells: Vec<String> = row.iter().map(|x| cell(*x)).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// The same with a name in front of each row.
fn named_csv<'n>(heading: &str, rows: impl Iterator<Item = (&'n str, Vec<f64>)>) -> String {
    let mut text = format!("{heading}\n");
    for (name, row) in rows {
        let cells: Vec<String> = row.iter().map(|x| cell(*x)).collect();
        text.push_str(&format!("{},{}\n", self::heading(&[name]), cells.join(",")));
    }
    text
}

fn cell(x: f64) -> String {
    if x.is_nan() { String::new() } else { format!("{x:?}") }
}

/// Finite numbers in order.
fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = numbers.filter(|x| x.is_finite()).collect();
    all.sort_by(f64::total_cmp);
    all
}

/// A CSV heading of names that may hold a comma.
fn heading(names: &[&str]) -> String {
    let quoted = |n: &&str| if n.contains(',') { format!("\"{n}\"") } else { (*n).to_owned() };
    names.iter().map(quoted).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_straight_lines_between_the_numbers() {
        let numbers = [1.0, 2.0, 4.0, 8.0];
        assert_eq!([0.0, 0.5, 1.0].map(|q| quantile(&numbers, q)), [1.0, 3.0, 8.0]);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(sorted([3.0, f64::NAN, 1.0].into_iter()), [1.0, 3.0]);
    }

    #[test]
    fn a_missing_number_is_an_empty_cell() {
        assert_eq!(csv("a,b", [vec![0.1, f64::NAN]].into_iter()), "a,b\n0.1,\n");
        assert_eq!(heading(&["a", "b[1,2]"]), "a,\"b[1,2]\"");
    }
}
