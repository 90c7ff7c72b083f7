//! `scaling_fits.csv`: the laws of Amdahl and Gustafson and a law of costs, fitted to each group of cases.
//!
//! A group is strong where all its cases have the same work, weak where work grows with the workers.
//! Belongs here: which law fits which group, its spread over repeats, the table, a sentence. Not here: the fits (`metrics`).

use std::collections::BTreeMap;
use std::path::Path;

use rand::RngExt;

use crate::files::FileError;
use crate::numerics::{Purpose, Stream, Streams};
use crate::report::ReportError;
use crate::report::metrics::{Cost, amdahl, cost, gustafson, median, quantile};
use crate::report::scaling::{Case, SEED};
use crate::report::table::short;

/// Name of the table.
pub const NAME: &str = "scaling_fits.csv";
/// Resamples of the repeats.
const RESAMPLES: usize = 1000;
/// Work is in proportion to workers, or the same, as far as whole numbers of evaluations allow.
const ROUNDED: f64 = 0.05;

const COLUMNS: [&str; 15] = [
    "sweep",
    "group",
    "kind",
    "points",
    "baseline_workers",
    "amdahl_f",
    "amdahl_f_lo",
    "amdahl_f_hi",
    "gustafson_alpha",
    "gustafson_alpha_lo",
    "gustafson_alpha_hi",
    "cost_serial_s",
    "cost_parallel_s",
    "cost_tree_s",
    "cost_line_s",
];

/// How the work of a group changes with its workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not at all
    Strong,
    /// In proportion
    Weak,
    /// In some other way
    Mixed,
}

/// A fraction with 5 % and 95 % over resamples of the repeats.
type Fraction = (f64, f64, f64);

/// The laws of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct Laws {
    /// Sweep
    pub sweep: String,
    /// Group; empty where a sweep has one
    pub group: String,
    /// How its work changes
    pub kind: Kind,
    /// Numbers of workers
    pub points: usize,
    /// The fewest of them
    pub baseline: u32,
    /// Serial fraction of fixed work
    pub amdahl: Option<Fraction>,
    /// Serial fraction of work that grows with the workers
    pub gustafson: Option<Fraction>,
    /// Parts of the time of fixed work
    pub cost: Option<Cost>,
}

/// Workers, work of a run, and seconds of its repeats.
type Measured = (f64, f64, Vec<f64>);

/// The laws of each group that has runs on two numbers of workers, in the order of names.
pub fn laws(cases: &[Case]) -> Vec<Laws> {
    type Group<'a> = ((&'a str, &'a str), BTreeMap<u32, Measured>);
    let mut groups: BTreeMap<(&str, &str), BTreeMap<u32, Measured>> = BTreeMap::new();
    for case in cases.iter().filter(|case| !case.wall_s.is_empty() && case.listed.workers > 0) {
        let p = case.listed.workers;
        let work = case.budget as f64 * case.units as f64;
        let group = groups.entry((&case.listed.sweep, &case.listed.group)).or_default();
        let at = group.entry(p).or_insert_with(|| (f64::from(p), work, Vec::new()));
        at.2.extend(&case.wall_s);
    }
    let told = |(number, ((sweep, group), points)): (u32, Group<'_>)| {
        let baseline = *points.keys().next()?;
        let points: Vec<Measured> = points.into_values().collect();
        let kind = kind(&points);
        // Resamples apart from those of the table of cases
        let mut draw = Streams::new(SEED).at(Purpose::Report, 2, number);
        let mut with = |law: fn(&[(f64, f64)]) -> Option<f64>, of: Kind, scaled: bool| {
            (kind == of && baseline == 1).then(|| fraction(&points, law, scaled, &mut draw)).flatten()
        };
        (points.len() > 1).then(|| Laws {
            sweep: sweep.to_owned(),
            group: group.to_owned(),
            kind,
            points: points.len(),
            baseline,
            amdahl: with(amdahl, Kind::Strong, false),
            gustafson: with(gustafson, Kind::Weak, true),
            cost: (kind == Kind::Strong).then(|| cost(&medians(&points))).flatten(),
        })
    };
    (0_u32..).zip(groups).filter_map(told).collect()
}

fn kind(points: &[Measured]) -> Kind {
    let near = |of: &dyn Fn(&Measured) -> f64| {
        points.iter().all(|point| (of(point) / of(&points[0]) - 1.0).abs() <= ROUNDED)
    };
    match (near(&|point| point.1), near(&|point| point.1 / point.0)) {
        (true, _) => Kind::Strong,
        (_, true) => Kind::Weak,
        _ => Kind::Mixed,
    }
}

/// (p, T(p))
fn medians(points: &[Measured]) -> Vec<(f64, f64)> {
    points.iter().map(|(p, _, wall)| (*p, median(wall).expect("a case that is over"))).collect()
}

/// A law of (p, S), with its spread; S = T(1)/T(p), times p where the work is `scaled`.
fn fraction(
    points: &[Measured],
    law: fn(&[(f64, f64)]) -> Option<f64>,
    scaled: bool,
    draw: &mut Stream,
) -> Option<Fraction> {
    let of = |times: &[(f64, f64)]| {
        let gain = |&(p, t): &(f64, f64)| (p, times[0].1 / t * if scaled { p } else { 1.0 });
        law(&times.iter().map(gain).collect::<Vec<_>>())
    };
    let found = of(&medians(points))?;
    let mut again: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| {
            let sample = |(p, work, wall): &Measured, draw: &mut Stream| -> Measured {
                let again = wall.iter().map(|_| wall[draw.random_range(0..wall.len())]);
                (*p, *work, again.collect())
            };
            let sampled: Vec<Measured> = points.iter().map(|point| sample(point, draw)).collect();
            of(&medians(&sampled))
        })
        .collect();
    again.sort_by(f64::total_cmp);
    Some((found, quantile(&again, 0.05), quantile(&again, 0.95)))
}

/// The table.
///
/// # Errors
/// None that a disk could make; kept for the writer's sake.
pub(super) fn csv(laws: &[Laws]) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let damaged = |e: csv::Error| FileError::Invalid { path: NAME.into(), kind: "table", why: e.to_string() };
    writer.write_record(COLUMNS).map_err(damaged)?;
    for law in laws {
        let kind = match law.kind {
            Kind::Strong => "strong",
            Kind::Weak => "weak",
            Kind::Mixed => "mixed",
        };
        let mut cells = vec![law.sweep.clone(), law.group.clone(), kind.into()];
        cells.extend([law.points.to_string(), law.baseline.to_string()]);
        let number = |x: Option<f64>| x.map_or_else(String::new, |x| format!("{x:?}"));
        for of in [law.amdahl, law.gustafson] {
            cells.extend([of.map(|f| f.0), of.map(|f| f.1), of.map(|f| f.2)].map(number));
        }
        let parts: [fn(Cost) -> f64; 4] = [|c| c.serial, |c| c.parallel, |c| c.tree, |c| c.line];
        cells.extend(parts.map(|part| number(law.cost.map(part))));
        writer.write_record(&cells).map_err(damaged)?;
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new(NAME))(e.into_error()))?)
}

impl Laws {
    /// What the laws say, in a sentence; none where no law fits.
    pub fn told(&self) -> Option<String> {
        let name = if self.group.is_empty() { &self.sweep } else { &self.group };
        let percent = |f: Fraction| {
            format!("{} % ({} to {})", short(100.0 * f.0), short(100.0 * f.1), short(100.0 * f.2))
        };
        let mut parts = Vec::new();
        if let Some(f) = self.amdahl {
            let most =
                if f.0 > 0.0 { format!(", speed-up below {}", short(1.0 / f.0)) } else { String::new() };
            parts.push(format!("Amdahl's serial part {}{most}", percent(f)));
        }
        if let Some(alpha) = self.gustafson {
            parts.push(format!("Gustafson's serial part {}", percent(alpha)));
        }
        if let Some(c) = self.cost {
            parts.push(format!(
                "T(p) = {} s + {} s / p + {} s log₂ p + {} s p",
                short(c.serial),
                short(c.parallel),
                short(c.tree),
                short(c.line)
            ));
        }
        (!parts.is_empty()).then(|| format!("{name}: {}.", parts.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(work: fn(f64) -> f64, time: fn(f64) -> f64) -> Vec<Measured> {
        [1.0, 2.0, 4.0, 8.0].map(|p| (p, work(p), vec![time(p); 3])).to_vec()
    }

    #[test]
    fn fixed_and_growing_work_are_told_apart_and_their_fractions_found_again() {
        let mut draw = Streams::new(SEED).at(Purpose::Report, 2, 0);
        let strong = points(|_| 1000.0, |p| 10.0 * (0.1 + 0.9 / p));
        assert_eq!(kind(&strong), Kind::Strong);
        let found = fraction(&strong, amdahl, false, &mut draw).unwrap();
        assert!([found.0, found.1, found.2].iter().all(|f| (f - 0.1).abs() < 1e-12), "{found:?}: round-off");
        // p T(1)/T(p) = p - 0.2 (p - 1)
        let weak = points(|p| 125.0 * p, |p| 10.0 * p / (p - 0.2 * (p - 1.0)));
        assert_eq!(kind(&weak), Kind::Weak);
        let found = fraction(&weak, gustafson, true, &mut draw).unwrap();
        assert!([found.0, found.1, found.2].iter().all(|f| (f - 0.2).abs() < 1e-12), "{found:?}: round-off");
        assert_eq!(kind(&points(|p| p * p, |_| 1.0)), Kind::Mixed);
    }

    #[test]
    fn repeats_that_differ_spread_the_fraction_around_its_value() {
        let mut draw = Streams::new(SEED).at(Purpose::Report, 2, 0);
        let mut strong = points(|_| 1000.0, |p| 10.0 * (0.1 + 0.9 / p));
        strong.iter_mut().for_each(|point| point.2 = [0.9, 1.0, 1.1].map(|k| k * point.2[0]).to_vec());
        let (f, lo, hi) = fraction(&strong, amdahl, false, &mut draw).unwrap();
        assert!(lo < f && f < hi && hi < 0.3, "{lo} {f} {hi}");
    }
}
