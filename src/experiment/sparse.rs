//! `[algorithm.sparse]`: the limit of the sparse method.

use super::localisation::Named;
use crate::explain::Marked;
use crate::files::human::{Names, Section};
use crate::kalman::Sparse;
use crate::kalman::sparse::Scaling;

/// `[algorithm.sparse]`: the limit of the sum of magnitudes, and which parameters it is for.
pub(super) fn read(algorithm: &Section<'_>, named: &mut Named) -> Result<Sparse, Marked> {
    let missing = "the most that magnitudes may sum to, such as 2.0";
    let Some(section) = algorithm.section("sparse")? else {
        let label = format!("add `[algorithm.sparse]` with `limit = …`: {missing}");
        return Err(algorithm.wrong("method", "`sparse-eki` needs a limit", label));
    };
    let limit = section.number("limit", "a positive number", |x| x > 0.0)?;
    let limit = limit.ok_or_else(|| section.missing("limit", missing))?;
    let mut parameters = Vec::new();
    if let Some(names) = Names::read(&section, "parameters")? {
        if names.iter().next().is_none() {
            let label = "allowed: names; without this key all parameters are limited";
            return Err(section.wrong("parameters", "`parameters` is empty", label));
        }
        for (name, place) in names.iter() {
            parameters.push(name.to_owned());
            named.parameters.push((name.to_owned(), place.clone()));
        }
    }
    let positive = |key| section.number(key, "zero or a positive number", |x| x >= 0.0);
    let sparse = Sparse {
        limit,
        parameters,
        threshold: positive("threshold")?.unwrap_or(0.0),
        jitter: positive("jitter")?.unwrap_or(0.0),
        scaling: match section.choice("scaling", &["consistent", "peer"])? {
            Some("peer") => Scaling::Peer,
            _ => Scaling::Consistent,
        },
    };
    section.finish()?;
    Ok(sparse)
}
