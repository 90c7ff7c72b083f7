//! `[algorithm]` of the methods that place their own points: UTKI, UKI.

use super::schedule::schedule;
use crate::experiment::groups;
use crate::experiment::localisation::Named;
use crate::explain::Marked;
use crate::files::human::Section;
use crate::kalman::{Points, Schedule, Unscented};

/// The keys of the unscented methods in `[algorithm]`, whose places follow from the number of parameters.
pub(super) fn read(
    section: &Section<'_>,
    warnings: &mut Vec<String>,
    named: &mut Named,
) -> Result<Unscented, Marked> {
    let groups = groups::read(section, named)?;
    let own_steps = groups::own_steps(section, !groups.is_empty())?;
    let shared_points = groups::shared_points(section, !groups.is_empty())?;
    let points = match section.choice("sigma_points", &["symmetric", "simplex"])? {
        Some("simplex") => Points::Simplex,
        _ => Points::Symmetric,
    };
    let defaults = Unscented::new(points);
    let impose_prior = section.opt("impose_prior")?.unwrap_or(false);
    if impose_prior {
        for key in ["alpha_reg", "update_freq"] {
            if section.keys().any(|k| k == key) {
                let label = "`impose_prior = true` needs `alpha_reg = 1`, `update_freq = 1` and sets both: leave it out";
                return Err(section.wrong(key, format!("`{key}` has no use here"), label));
            }
        }
    } else if section.keys().any(|k| k == "prior_weight") {
        let label = "it belongs to `impose_prior = true`";
        return Err(section.wrong("prior_weight", "`prior_weight` has no use here", label));
    }
    let alpha = section.number("alpha_reg", "above 0, at most 1", |a| a > 0.0 && a <= 1.0)?;
    let freq = section.integer("update_freq", 0..=1_000_000)?;
    let theta = match section.choice("prior_weight", &["once", "twice"])? {
        Some("twice") => 1.0,
        _ => defaults.theta,
    };
    let schedule = schedule(section, if impose_prior { "fixed" } else { "data-misfit" })?;
    if impose_prior && schedule != (Schedule::Fixed { step: 1.0 }) {
        warnings.push(
            "with `impose_prior` the posterior is the limit for steps of 1: others scale its covariance by 2/(1 + Δt)"
                .into(),
        );
    }
    if !impose_prior {
        warnings
            .push("without `impose_prior` the spread of an unscented method is not the posterior's".into());
    }
    Ok(Unscented {
        modified: section.opt("modified_transform")?.unwrap_or(defaults.modified),
        alpha: alpha.unwrap_or(defaults.alpha),
        freq: freq.map_or(defaults.freq, |freq| u32::try_from(freq).expect("at most a million")),
        impose_prior,
        theta,
        nugget: section.number("nugget", "zero or a positive number", |x| x >= 0.0)?.unwrap_or(0.0),
        schedule,
        ignore_failures: section.choice("failed_members", &["reweight", "ignore"])? == Some("ignore"),
        groups,
        own_steps,
        shared_points,
        ..defaults
    })
}
