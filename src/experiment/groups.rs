//! `[[algorithm.group]]`: which parameters learn from which blocks.

use super::localisation::Named;
use crate::explain::{Marked, Place};
use crate::files::human::{Names, Section};
use crate::kalman::groups::{Group, check};
use crate::problem::Problem;

/// Where a group and its entries stand.
#[derive(Debug, Clone)]
pub(super) struct Stands {
    whole: Place,
    parameters: Vec<Place>,
    blocks: Vec<Place>,
}

/// The tables `[[algorithm.group]]`; none when there are none.
pub(super) fn read(algorithm: &Section<'_>, named: &mut Named) -> Result<Vec<Group>, Marked> {
    let mut groups = Vec::new();
    for section in algorithm.sections("group")? {
        let list = |key: &str, example: &str| -> Result<(Vec<String>, Vec<Place>), Marked> {
            let names = Names::read(&section, key)?
                .ok_or_else(|| section.missing(key, &format!("names, such as {example}")))?;
            let split: (Vec<String>, Vec<Place>) =
                names.iter().map(|(name, place)| (name.to_owned(), place.clone())).unzip();
            if split.0.is_empty() {
                let label = format!("allowed: names, such as {example}");
                return Err(section.wrong(key, format!("`{key}` is empty"), label));
            }
            Ok(split)
        };
        let (parameters, at_parameters) = list("parameters", "[\"drag\"]")?;
        let (blocks, at_blocks) = list("blocks", "[\"wind\"]")?;
        section.finish()?;
        named.groups.push(Stands {
            whole: algorithm.place("group"),
            parameters: at_parameters,
            blocks: at_blocks,
        });
        groups.push(Group { parameters, blocks });
    }
    Ok(groups)
}

/// Whether each group takes steps of its own.
pub(super) fn own_steps(algorithm: &Section<'_>, any: bool) -> Result<bool, Marked> {
    belongs_to_groups(algorithm, "group_steps", any)?;
    Ok(algorithm.choice("group_steps", &["common", "own"])? == Some("own"))
}

/// Whether the points of all groups move at the same time.
pub(super) fn shared_points(algorithm: &Section<'_>, any: bool) -> Result<bool, Marked> {
    belongs_to_groups(algorithm, "group_points", any)?;
    Ok(algorithm.choice("group_points", &["own", "shared"])? == Some("shared"))
}

fn belongs_to_groups(algorithm: &Section<'_>, key: &str, any: bool) -> Result<(), Marked> {
    if !any && algorithm.keys().any(|k| k == key) {
        let label = "it belongs to `[[algorithm.group]]`, of which there is none";
        return Err(algorithm.wrong(key, format!("`{key}` has no use here"), label));
    }
    Ok(())
}

/// Do the groups part the parameters, and are their blocks there?
///
/// # Errors
/// The first name that does not fit, at its place.
pub(super) fn fit(groups: &[Group], places: &[Stands], problem: &Problem) -> Result<(), Marked> {
    if groups.is_empty() {
        return Ok(());
    }
    let Err(misfit) = check(groups, &problem.prior, &problem.observation) else { return Ok(()) };
    let stands = &places[misfit.group];
    let place = match misfit.entry {
        Some(("parameters", at)) => &stands.parameters[at],
        Some((_, at)) => &stands.blocks[at],
        None => &stands.whole,
    };
    let list = |names: Vec<&str>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Err(match misfit.entry {
        Some(("blocks", _)) => {
            let known = problem.observation.blocks().iter().map(|b| b.name.as_str()).collect();
            place
                .marked("this group cannot learn from these blocks", misfit.why)
                .hint(format!("blocks are {}", list(known)))
        }
        _ => {
            let known = problem.prior.names().iter().map(|(name, _)| name.as_str()).collect();
            let fault = place.marked("the groups do not part the parameters", misfit.why);
            fault.hint(format!("each of these in one group: {}", list(known)))
        }
    })
}
