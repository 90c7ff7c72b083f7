//! `[algorithm]` of the Kalman methods: a name becomes an algorithm.

mod ensemble;
mod schedule;
mod unscented;

use super::localisation::Named;
use super::task::{METHODS, chosen};
use crate::explain::Marked;
use crate::files::human::Section;
use crate::kalman::Method;

pub(super) use ensemble::scheduler;

/// Methods that place their own members.
pub(super) const UNSCENTED: &[&str] = &["utki", "uki"];

/// Methods that draw their first ensemble and optimise, or take one step to the posterior.
const DRAWN: &[&str] = &["etki", "eki", "gnki", "sparse-eki"];

/// Whether a method says itself how many members there are.
pub fn places_members(method: &str) -> bool {
    UNSCENTED.contains(&method)
}

/// Keys that some methods have no use for, and those that have.
const KEYS: &[(&str, &[&str])] = &[
    ("perturb", &["eki", "gnki", "sparse-eki"]),
    ("nugget", &["eki", "gnki", "sparse-eki", "eks", "aldi", "uki"]),
    ("impose_prior", &["etki", "eki", "utki", "uki"]),
    ("perturb_prior", &["eki"]),
    ("momentum", DRAWN),
    ("momentum_factor", DRAWN),
    ("momentum_r", DRAWN),
    ("inflation", DRAWN),
    ("inflation_rate", DRAWN),
    ("inflation_covariance", DRAWN),
    ("localisation", DRAWN),
    ("group_points", UNSCENTED),
    ("draws", &["gnki"]),
    ("sparse", &["sparse-eki"]),
    ("sigma_points", UNSCENTED),
    ("modified_transform", UNSCENTED),
    ("alpha_reg", UNSCENTED),
    ("update_freq", UNSCENTED),
    ("prior_weight", UNSCENTED),
];

/// `[algorithm]`, read.
pub(super) struct Algorithm {
    pub(super) method: String,
    /// 0 where the method says how many, and the file does not
    pub(super) members: u32,
    pub(super) iterations: u32,
    pub(super) kalman: Method,
    pub(super) warnings: Vec<String>,
    /// Names whose meaning only priors and observation tell
    pub(super) named: Named,
}

/// `[algorithm]` of a calibration; its key `method` decides which other keys are known.
pub(super) fn read(section: &Section<'_>) -> Result<Algorithm, Marked> {
    let method = chosen(section, METHODS)?.unwrap_or("etki");
    let own = UNSCENTED.contains(&method);
    let members = match section.integer("members", 2..=1_000_000)? {
        Some(members) => members,
        None if own => 0,
        None => return Err(section.missing("members", "ensemble size, such as 20")),
    };
    let members = u32::try_from(members).expect("at most a million");
    let iterations = section
        .integer("iterations", 1..=100_000)?
        .ok_or_else(|| section.missing("iterations", "how many at most, such as 10"))?;
    let iterations = u32::try_from(iterations).expect("at most 100000");
    for (key, of) in KEYS.iter().filter(|(_, of)| !of.contains(&method)) {
        if section.keys().any(|k| k == *key) {
            return Err(foreign(section, key, method, of));
        }
    }
    let mut warnings = Vec::new();
    let mut named = Named::default();
    let kalman = if own {
        Method::Unscented(unscented::read(section, &mut warnings, &mut named)?)
    } else {
        Method::Ensemble(ensemble::read(section, method, members, &mut warnings, &mut named)?)
    };
    section.finish()?;
    Ok(Algorithm { method: method.to_owned(), members, iterations, kalman, warnings, named })
}

fn foreign(section: &Section<'_>, key: &str, method: &str, of: &[&str]) -> Marked {
    let why = match (key, method) {
        ("perturb", "etki") => "`etki` is deterministic".to_owned(),
        ("impose_prior", "gnki") => "`gnki` counts the prior in each step".to_owned(),
        ("impose_prior", "eks" | "aldi") => format!("`{method}` is a sampler: the prior counts always"),
        ("momentum" | "inflation", "eks" | "aldi") => format!("`{method}` samples: it would change the law"),
        ("localisation", "eks" | "aldi" | "utki" | "uki") => {
            format!("`{method}` has no covariance of few members to correct")
        }
        _ => format!("`{method}` does not know it"),
    };
    let label = format!("{why}; allowed with method {}", crate::explain::one_of(of));
    section.wrong(key, format!("`{key}` has no use here"), label)
}
