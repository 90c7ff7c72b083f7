//! How the searches of a sweep went: the best score against evaluations and against time.

use std::collections::BTreeMap;

use crate::files::load_record;
use crate::report::ReportError;
use crate::report::metrics::{median, time_to_target};
use crate::report::scaling::Case;
use crate::report::timings::{Kind, Row, seconds};
use crate::steps::{Run, Stopped, Update, best};

/// The best score so far, as it was known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Evaluations that had ended
    pub evaluations: u32,
    /// Seconds from the begin of the run
    pub at_s: f64,
    /// The best of them, large is good
    pub best: f64,
}

/// A search, point by point.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Path {
    /// In the order of time; `best` does not fall
    pub points: Vec<Point>,
    /// Evaluations in all
    pub budget: u32,
    /// Score of the best in the evaluation period
    pub evaluation: Option<f64>,
}

impl Path {
    /// The best score after a share of the budget.
    pub fn at(&self, share: f64) -> Option<f64> {
        let until = share * f64::from(self.budget);
        self.points.iter().take_while(|p| f64::from(p.evaluations) <= until).last().map(|p| p.best)
    }

    /// The best score in the end.
    pub fn last(&self) -> Option<f64> {
        self.points.last().map(|p| p.best)
    }

    /// When the best first was at least `target`.
    pub fn reached_s(&self, target: f64) -> Option<f64> {
        time_to_target(&self.points.iter().map(|p| (p.at_s, p.best)).collect::<Vec<_>>(), target)
    }
}

/// The path of a run with one objective; none of a run that does not search. Generations are known when they close
/// (`update.toml`), trials of workers when they end.
///
/// # Errors
/// The disk, a fault in the prior.
pub(super) fn path(run: &Run, rows: &[Row], begin_s: f64) -> Result<Option<Path>, ReportError> {
    let Some(searching) = run.experiment.searching().filter(|s| s.score.names.len() == 1) else {
        return Ok(None);
    };
    let mut path = Path { budget: run.dir.budget(), ..Path::default() };
    let goal = |score: &[f64]| searching.score.goals(score)[0];
    if run.dir.leaderless() {
        let scores: BTreeMap<u32, f64> =
            best::trials(run)?.into_iter().filter_map(|(n, _, score)| Some((n, goal(&score?)))).collect();
        let mut ended: Vec<(f64, &Row)> = rows
            .iter()
            .filter(|row| row.kind != Kind::Update)
            .filter_map(|row| Some((seconds(&row.timing.end)?, row)))
            .collect();
        ended.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut evaluations, mut best) = (0, f64::NEG_INFINITY);
        for (end, row) in ended {
            evaluations += row.members;
            let of =
                scores.range(row.member..row.member.saturating_add(row.members)).map(|(_, score)| *score);
            best = of.fold(best, f64::max);
            path.points.push(Point { evaluations, at_s: end - begin_s, best });
        }
    } else {
        for row in rows.iter().filter(|row| row.kind == Kind::Update) {
            let update: Update = load_record(&run.dir.update(row.iteration))?;
            let Some(known) = update.search.filter(|known| known.score.len() == 1) else { continue };
            let (at_s, best) = (seconds(&row.timing.end).unwrap_or(begin_s) - begin_s, goal(&known.score));
            path.points.push(Point { evaluations: known.evaluations, at_s, best });
        }
    }
    path.points.retain(|p| p.best.is_finite());
    let stop: Option<Stopped> = load_record(&run.dir.stop()).ok();
    path.evaluation =
        stop.and_then(|stop| stop.best.first()?.evaluation.get(&searching.score.names[0]).copied());
    Ok(Some(path))
}

/// The target of each sweep: what half of its searches reach in the end, less a hundredth of the way there from a
/// quarter of the budget. It is the same for all cases of a sweep on the same experiment.
pub(super) fn targets(cases: &mut [Case]) {
    let mut groups: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (k, case) in cases.iter().enumerate().filter(|(_, case)| !case.searches.is_empty()) {
        groups.entry((case.listed.sweep.clone(), case.science.clone())).or_default().push(k);
    }
    for members in groups.into_values() {
        let all = |of: &dyn Fn(&Path) -> Option<f64>| {
            let numbers: Vec<f64> =
                members.iter().flat_map(|&k| cases[k].searches.iter().filter_map(of)).collect();
            median(&numbers)
        };
        let (last, early) = (all(&Path::last), all(&|path: &Path| path.at(0.25)));
        let target = last.map(|last| last - 0.01 * (last - early.unwrap_or(last)).abs());
        members.iter().for_each(|&k| cases[k].target = target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_budget_and_a_target_are_read_off_the_path() {
        let point = |evaluations, at_s, best| Point { evaluations, at_s, best };
        let points = vec![point(5, 1.0, 0.5), point(10, 2.0, 0.8), point(20, 4.0, 0.9)];
        let path = Path { points, budget: 20, evaluation: None };
        assert_eq!(
            [0.2, 0.25, 0.5, 0.99, 1.0].map(|s| path.at(s)),
            [None, Some(0.5), Some(0.8), Some(0.8), Some(0.9)]
        );
        assert_eq!((path.reached_s(0.8), path.reached_s(0.95), path.last()), (Some(2.0), None, Some(0.9)));
    }
}
