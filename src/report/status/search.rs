//! How far a search is, and the best it has found.

use super::{Row, SearchSeen};
use crate::files::load_record;
use crate::report::ReportError;
use crate::steps::{Run, Stopped, Update, best};

/// What is told of a search; none for other methods.
pub(super) fn seen(
    run: &Run,
    stop: Option<&Stopped>,
    rows: &[Row],
) -> Result<Option<SearchSeen>, ReportError> {
    let Some(searching) = run.experiment.searching() else { return Ok(None) };
    let mut all = SearchSeen {
        evaluations: 0,
        budget: run.dir.budget(),
        failed: 0,
        best: 0,
        folder: String::new(),
        score: Vec::new(),
        scored: searching.score.words(),
        archive: 0,
        values: Vec::new(),
        parts: Vec::new(),
    };
    if let Some(stop) = stop {
        (all.evaluations, all.failed, all.archive) = (stop.evaluations, stop.failed, stop.best.len() as u32);
        if let Some(best) = stop.best.first() {
            (all.best, all.folder, all.score) = (best.trial, best.folder.clone(), best.score.clone());
            all.values = best.names.iter().cloned().zip(best.values.iter().copied()).collect();
            let evaluation = best.evaluation.iter().map(|(name, x)| (format!("evaluation {name}"), *x));
            all.parts = best.parts.iter().map(|(name, x)| (name.clone(), *x)).chain(evaluation).collect();
        }
        return Ok(Some(all));
    }
    if run.dir.leaderless() {
        if let Some(now) = best::so_far(run)? {
            (all.evaluations, all.failed, all.best) = (now.evaluations, now.failed, now.best);
            (all.score, all.archive) = (now.score, now.archive);
        }
    } else if let Some(row) = rows.iter().rev().find(|row| row.closed)
        && let Some(now) = load_record::<Update>(&run.dir.update(row.iteration))?.search
    {
        (all.evaluations, all.failed, all.best) = (now.evaluations, now.failed, now.best);
        (all.score, all.archive) = (now.score, now.archive);
    }
    if all.best > 0 {
        all.folder = best::folder_of(run, all.best);
    }
    Ok(Some(all))
}
