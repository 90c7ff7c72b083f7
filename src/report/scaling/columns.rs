//! `scaling_metrics.csv`: a row for each case.

use std::path::Path;

use crate::files::FileError;
use crate::report::ReportError;
use crate::report::metrics::{Scaling, median};
use crate::report::scaling::{Case, NAME, Searched};

/// Headings, units in their names.
pub const COLUMNS: [&str; 51] = [
    "experiment",
    "variant",
    "group",
    "platform_id",
    "workers",
    "threads",
    "nodes",
    "units",
    "budget",
    "run_index",
    "n_runs",
    "failed_runs",
    "wall_median_s",
    "wall_min_s",
    "wall_max_s",
    "wall_iqr_s",
    "startup_s",
    "model_s",
    "io_s",
    "wait_s",
    "idle_tail_s",
    "lost_s",
    "evals_ok",
    "evals_failed",
    "evals_duplicate",
    "evals_per_s",
    "time_per_eval_s",
    "cpu_per_eval_s",
    "baseline_workers",
    "speedup",
    "speedup_lo",
    "speedup_hi",
    "efficiency",
    "overhead_fraction",
    "karp_flatt",
    "utilisation",
    "best_score",
    "score_at_25",
    "score_at_50",
    "score_eval",
    "target_score",
    "reached_runs",
    "time_to_target_s",
    "bytes_read",
    "bytes_written",
    "metadata_ops",
    "peak_rss_mb",
    "core_hours",
    "science",
    "config_hash",
    "code_version",
];

/// The table as CSV.
///
/// # Errors
/// None that a disk could make; kept for the writer's sake.
pub fn csv(cases: &[Case]) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |e: csv::Error| FileError::Invalid { path: NAME.into(), kind: "table", why: e.to_string() };
    writer.write_record(COLUMNS).map_err(wrong)?;
    for case in cases {
        writer.write_record(row(case)).map_err(wrong)?;
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new(NAME))(e.into_error()))?)
}

fn number(x: f64) -> String {
    format!("{x:?}")
}

fn perhaps(x: Option<f64>) -> String {
    x.map_or_else(String::new, number)
}

fn row(case: &Case) -> Vec<String> {
    let l = &case.listed;
    let s = case.scaling.as_ref();
    let of = |f: fn(&Scaling) -> f64| perhaps(s.map(f));
    let ran = |x: f64| if case.wall_s.is_empty() { String::new() } else { number(x) };
    let wall = median(&case.wall_s);
    let ends = |f: fn(f64, f64) -> f64| perhaps(case.wall_s.iter().copied().reduce(f));
    let total: f64 = case.wall_s.iter().sum();
    let ended = case.ended();
    let each = |sum: f64| if ended > 0 { number(sum / ended as f64) } else { String::new() };
    let searched = |f: &dyn Fn(&Searched) -> Option<f64>| {
        perhaps(median(&case.searches.iter().filter_map(f).collect::<Vec<_>>()))
    };
    let reached: Vec<f64> = match case.target {
        Some(target) => case.searches.iter().filter_map(|path| path.reached_s(target)).collect(),
        None => Vec::new(),
    };
    let runs: Vec<String> = case.repeats.iter().map(u32::to_string).collect();
    let cores = f64::from(l.workers) * f64::from(l.threads);
    let row = [
        l.sweep.clone(),
        l.case.clone(),
        l.group.clone(),
        case.hosts.join(" "),
        l.workers.to_string(),
        l.threads.to_string(),
        l.nodes.to_string(),
        case.units.to_string(),
        case.budget.to_string(),
        runs.join(" "),
        case.wall_s.len().to_string(),
        case.failed_runs.to_string(),
        perhaps(wall),
        ends(f64::min),
        ends(f64::max),
        of(|s| s.iqr_s),
        ran(case.shares.startup_s),
        ran(case.shares.model_s),
        ran(case.shares.io_s),
        ran(case.shares.wait_s),
        ran(case.shares.idle_tail_s),
        ran(case.shares.lost_s),
        case.evaluations.0.to_string(),
        case.evaluations.1.to_string(),
        case.further_tries.to_string(),
        if total > 0.0 { number(ended as f64 / total) } else { String::new() },
        perhaps(case.per_evaluation_s()),
        each(case.cpu_s),
        s.map_or_else(String::new, |s| s.baseline.to_string()),
        of(|s| s.speedup),
        of(|s| s.speedup_range.0),
        of(|s| s.speedup_range.1),
        of(|s| s.efficiency),
        of(|s| 1.0 - s.efficiency),
        perhaps(s.and_then(|s| s.karp_flatt)),
        ran(case.shares.utilisation()),
        searched(&Searched::last),
        searched(&|path| path.at(0.25)),
        searched(&|path| path.at(0.5)),
        searched(&|path| path.evaluation),
        perhaps(case.target),
        if case.target.is_some() { reached.len().to_string() } else { String::new() },
        perhaps(case.time_to_target_s()),
        case.bytes.0.to_string(),
        case.bytes.1.to_string(),
        case.names.to_string(),
        number(case.peak_rss_mb),
        if total > 0.0 { number(total * cores / 3600.0) } else { String::new() },
        case.science.clone(),
        case.id.clone(),
        case.tools.clone(),
    ];
    row.to_vec()
}
