//! `[algorithm]`: a name becomes an algorithm.

use super::localisation::{self, Named};
use super::{groups, sparse};
use crate::explain::Marked;
use crate::files::human::Section;
use crate::kalman::{Draws, FailureRule, Kalman, Momentum, OnTerminate, Process, Schedule};

/// Methods that `[algorithm]` knows.
pub const METHODS: &[&str] = &["etki", "eki", "gnki", "sparse"];

/// `[algorithm]`, read.
pub(super) struct Algorithm {
    pub(super) method: String,
    pub(super) members: u32,
    pub(super) iterations: u32,
    pub(super) kalman: Kalman,
    pub(super) warnings: Vec<String>,
    /// Names whose meaning only priors and observation tell
    pub(super) named: Named,
}

pub(super) fn read(section: &Section<'_>) -> Result<Algorithm, Marked> {
    let method = section.choice("method", METHODS)?.unwrap_or("etki");
    let members = section
        .integer("members", 2..=1_000_000)?
        .ok_or_else(|| section.missing("members", "ensemble size, such as 20"))?;
    let members = u32::try_from(members).expect("at most a million");
    let iterations = section
        .integer("iterations", 1..=100_000)?
        .ok_or_else(|| section.missing("iterations", "how many at most, such as 10"))?;
    let iterations = u32::try_from(iterations).expect("at most 100000");
    let momentum = match section.choice("momentum", &["none", "nesterov"])? {
        Some("nesterov") => Momentum::Nesterov,
        _ => Momentum::None,
    };
    let mut nugget = 0.0;
    if method != "gnki" {
        foreign(section, "draws", "gnki", method)?;
    }
    if method != "sparse" {
        foreign(section, "sparse", "sparse", method)?;
    }
    let process = match method {
        "eki" | "gnki" | "sparse" => {
            // Momentum would carry the noise of one step into all that follow.
            let perturbed = section.opt("perturb")?.unwrap_or(momentum == Momentum::None);
            nugget = section.number("nugget", "zero or a positive number", |x| x >= 0.0)?.unwrap_or(0.0);
            match method {
                "gnki" => Process::Gnki {
                    perturbed,
                    draws: match section.choice("draws", &["exact", "peer"])? {
                        Some("peer") => Draws::Peer,
                        _ => Draws::Exact,
                    },
                },
                "sparse" => Process::Sparse { perturbed },
                _ => Process::Eki { perturbed },
            }
        }
        _ => {
            if section.keys().any(|k| k == "perturb") {
                let label = "`etki` is deterministic; allowed with methods `eki`, `gnki` and `sparse`";
                return Err(section.wrong("perturb", "`perturb` has no use here", label));
            }
            Process::Etki
        }
    };
    let schedule = schedule(section, method)?;
    let mut named = Named::default();
    let localisation = localisation::read(section, method, members, &mut named)?;
    let groups = groups::read(section, &mut named)?;
    let sparse = if method == "sparse" { sparse::read(section, &mut named)? } else { Default::default() };
    let failures = match section.choice("failed_members", &["redraw", "ignore"])? {
        Some("ignore") => FailureRule::Ignore,
        _ => FailureRule::Redraw,
    };
    section.finish()?;
    let mut warnings = Vec::new();
    if members < 10 {
        warnings.push(format!("{members} members are few: 10 or more give a usable covariance"));
    }
    if matches!(process, Process::Sparse { .. }) && matches!(schedule, Schedule::Fixed { .. }) {
        warnings.push("`sparse` with steps of fixed length: the data count once for each step of 1".into());
    }
    if matches!(process, Process::Eki { perturbed: false }) {
        warnings.push("`eki` without perturbed observations: the spread collapses too fast, do not read it as uncertainty".into());
    }
    let kalman = Kalman {
        schedule,
        momentum,
        failures,
        nugget,
        localisation,
        groups,
        sparse,
        ..Kalman::new(process, members as usize)
    };
    Ok(Algorithm { method: method.to_owned(), members, iterations, kalman, warnings, named })
}

/// Refuse what belongs to another method.
fn foreign(section: &Section<'_>, key: &str, of: &str, method: &str) -> Result<(), Marked> {
    if section.keys().any(|k| k == key) {
        let label = format!("it belongs to `method = \"{of}\"`, this is `{method}`");
        return Err(section.wrong(key, format!("`{key}` has no use here"), label));
    }
    Ok(())
}

/// The scheduler of a method: Gauss and Newton take whole steps, others what the misfits allow.
pub(super) fn scheduler(method: &str) -> &'static str {
    if method == "gnki" { "fixed" } else { "data-misfit" }
}

fn schedule(section: &Section<'_>, method: &str) -> Result<Schedule, Marked> {
    let kind = section.choice("scheduler", &["data-misfit", "fixed"])?.unwrap_or(scheduler(method));
    let foreign = |key: &str, of: &str| {
        section.wrong(
            key,
            format!("`{key}` has no use here"),
            format!("it belongs to `scheduler = \"{of}\"`, this is `{kind}`"),
        )
    };
    if kind == "fixed" {
        for key in ["terminate_at", "on_terminate"] {
            if section.keys().any(|k| k == key) {
                return Err(foreign(key, "data-misfit"));
            }
        }
        let step = if method == "gnki" {
            section.number("step", "above 0, at most 1 with `gnki`", |x| x > 0.0 && x <= 1.0)?
        } else {
            section.number("step", "a positive number", |x| x > 0.0)?
        };
        let step = step.unwrap_or(1.0);
        return Ok(Schedule::Fixed { step });
    }
    if section.keys().any(|k| k == "step") {
        return Err(foreign("step", "fixed"));
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
