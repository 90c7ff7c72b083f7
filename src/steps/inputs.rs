//! Files that a model is made from, held against those its run was made with.
//!
//! Belongs here: their names and digests in `run.toml`, and the refusal of others. Not here: reading them (`models`).

use std::path::Path;

use crate::experiment::Model;
use crate::files::Identity;
use crate::steps::StepError;

/// Name and digest of each file, in the order they were read; names as the experiment has them, relative to `base`.
pub(super) fn of(model: &Model, base: &Path) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for input in model.forward.inputs() {
        let name = input.path.strip_prefix(base).unwrap_or(&input.path).to_string_lossy().into_owned();
        // One file may hold forcing and flow.
        if !all.iter().any(|(known, _)| *known == name) {
            all.push((name, input.digest));
        }
    }
    all
}

/// Files that are others than a run was made with, in words; of a run that records none, none.
pub(super) fn changed(identity: &Identity, found: &[(String, String)]) -> Vec<String> {
    let made = identity.inputs.iter().zip(&identity.input_digests);
    let differs = |(name, digest): (&String, &String)| {
        let now = found.iter().find(|(known, _)| known == name);
        // What cannot be read is told where it is needed.
        now.is_some_and(|(_, now)| now != digest).then(|| name.clone())
    };
    made.filter_map(differs).collect()
}

/// Refuse to run a model with other files than those its run was made with.
///
/// # Errors
/// [`StepError::Inputs`], with their names.
pub(super) fn check(identity: &Identity, model: &Model, base: &Path) -> Result<(), StepError> {
    if identity.inputs.is_empty() {
        return Ok(());
    }
    let files = changed(identity, &of(model, base));
    if files.is_empty() { Ok(()) } else { Err(StepError::Inputs { files }) }
}

/// Some files, for a sentence: ``the model's input `a.csv` ``.
pub(super) fn named(files: &[String]) -> String {
    let list: Vec<String> = files.iter().map(|name| format!("`{name}`")).collect();
    let inputs = if files.len() == 1 { "input" } else { "inputs" };
    format!("the model's {inputs} {}", list.join(", "))
}
