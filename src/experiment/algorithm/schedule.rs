//! The step lengths of `[algorithm]`.

use crate::explain::Marked;
use crate::files::human::Section;
use crate::kalman::{OnTerminate, Schedule};

/// Names of the rules.
const RULES: &[&str] = &["data-misfit", "fixed", "mutable", "eks-stable"];

/// Keys, and the rules they belong to.
const KEYS: &[(&str, &[&str])] = &[
    ("terminate_at", &["data-misfit"]),
    ("on_terminate", &["data-misfit"]),
    ("step", &["fixed", "mutable"]),
    ("numerator", &["eks-stable"]),
];

/// The rule that stands in the section, or `default`.
pub(super) fn schedule(section: &Section<'_>, default: &'static str) -> Result<Schedule, Marked> {
    let kind = section.choice("scheduler", RULES)?.unwrap_or(default);
    for (key, of) in KEYS.iter().filter(|(_, of)| !of.contains(&kind)) {
        if section.keys().any(|k| k == *key) {
            let words: Vec<String> = of.iter().map(|of| format!("`scheduler = \"{of}\"`")).collect();
            let label = format!("it belongs to {}, this is `{kind}`", words.join(" or "));
            return Err(section.wrong(key, format!("`{key}` has no use here"), label));
        }
    }
    let positive = |key: &str| section.number(key, "a positive number", |x| x > 0.0);
    match kind {
        "fixed" => return Ok(Schedule::Fixed { step: positive("step")?.unwrap_or(1.0) }),
        "mutable" => return Ok(Schedule::Mutable { step: positive("step")?.unwrap_or(1.0) }),
        "eks-stable" => return Ok(Schedule::EksStable { numerator: positive("numerator")?.unwrap_or(1.0) }),
        _ => {}
    }
    let terminate_at = match section.opt::<f64>("terminate_at")? {
        Some(t) if t > 0.0 => t,
        Some(t) => {
            let label = format!("found {}, allowed: a positive number, or inf", crate::explain::plain(t));
            return Err(section.wrong("terminate_at", "`terminate_at` is out of range", label));
        }
        None => 1.0,
    };
    let on_terminate = match section.choice("on_terminate", &["stop", "continue-fixed", "continue"])? {
        Some("continue-fixed") => OnTerminate::ContinueFixed,
        Some("continue") => OnTerminate::Continue,
        _ => OnTerminate::Stop,
    };
    Ok(Schedule::DataMisfit { terminate_at, on_terminate })
}
