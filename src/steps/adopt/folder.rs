//! The layout of EKP.jl and ClimaCalibrate: which iterations and members a folder has, by their names.
//!
//! ```text
//!   DIR/iteration_000/member_001/parameters.toml      EKP.jl counts iterations from 0, ClimaCalibrate from 1
//! ```
//! Belongs here: names, and that none is missing. Not here: what stands in any file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::refused;
use crate::files::FileError;
use crate::steps::StepError;

/// The iterations of a folder, in order and without a gap.
pub(super) struct Folder {
    /// Number of the first one: 0 or 1
    pub(super) base: u32,
    pub(super) iterations: Vec<Theirs>,
}

/// An iteration, and its members in order.
pub(super) struct Theirs {
    /// `iteration_001`
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Folder of each member, from 1
    pub(super) members: Vec<PathBuf>,
}

/// Look at the names below `folder`; each iteration must have `members` members.
///
/// # Errors
/// `Refused` for a folder that is of another kind, or has gaps.
pub(super) fn look(folder: &Path, members: u32) -> Result<Folder, StepError> {
    let shown = folder.display();
    if !folder.is_dir() {
        let what = if folder.exists() { "is no folder" } else { "is not there" };
        return Err(refused(
            format!("`{shown}` {what}: nothing to adopt"),
            "name the folder that holds `iteration_000` or `iteration_001`",
        ));
    }
    if folder.join("run.toml").is_file() {
        return Err(refused(
            format!("`{shown}` is a run of this toolkit: there is nothing to adopt"),
            &format!(
                "`ekp-launch {shown}` carries it on, `--from {shown}:N` starts another run from its ensemble"
            ),
        ));
    }
    let mut numbered = BTreeMap::new();
    for (number, path) in numbered_folders(folder, "iteration_")? {
        numbered.insert(number, (members_of(&path)?, path));
    }
    // With numbers from 1 an empty `iteration_000` may stand before them: it lets ClimaCalibrate find its state.
    if numbered.len() > 1 && numbered.get(&0).is_some_and(|(members, _)| members.is_empty()) {
        numbered.remove(&0);
    }
    let Some((&base, _)) = numbered.first_key_value() else {
        return Err(refused(
            format!("`{shown}` holds no iterations"),
            "they are folders `iteration_000` (EKP.jl) or `iteration_001` (ClimaCalibrate), with a folder `member_001` and so on in each",
        ));
    };
    if base > 1 {
        return Err(refused(
            format!("the first iteration of `{shown}` is {base}, those before it are missing"),
            "the first is 0 (EKP.jl) or 1 (ClimaCalibrate): steps and pseudo-time are replayed from there on",
        ));
    }
    let mut iterations = Vec::new();
    for (expected, (number, (found, path))) in (base..).zip(numbered) {
        if number != expected {
            return Err(refused(
                format!("`{shown}` has iteration {number}, but none {expected}"),
                "bring it back, or move the later ones away",
            ));
        }
        iterations.push(iteration(path, found, members)?);
    }
    Ok(Folder { base, iterations })
}

fn iteration(path: PathBuf, found: BTreeMap<u32, PathBuf>, members: u32) -> Result<Theirs, StepError> {
    let shown = path.display().to_string();
    if let Some((expected, (number, _))) =
        (1..).zip(&found).find(|(expected, (number, _))| expected != *number)
    {
        return Err(refused(
            format!("`{shown}` has member {number}, but none {expected}"),
            "members count from 1 without a gap: bring the folder back",
        ));
    }
    if found.len() != members as usize {
        let n = found.len();
        return Err(refused(
            format!("`{shown}` has {n} members, the experiment has {members}"),
            &if n < 2 {
                "each member has a folder: `member_001`, `member_002`, …".into()
            } else {
                format!(
                    "all iterations have the same members; if {n} is right: `--set algorithm.members={n}`"
                )
            },
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Theirs { name, members: found.into_values().collect(), path })
}

fn members_of(iteration: &Path) -> Result<BTreeMap<u32, PathBuf>, StepError> {
    numbered_folders(iteration, "member_")
}

/// Folders `STEM` with a number behind it, padded or not.
fn numbered_folders(folder: &Path, stem: &str) -> Result<BTreeMap<u32, PathBuf>, StepError> {
    let mut all: BTreeMap<u32, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(FileError::io("read", folder))? {
        let path = entry.map_err(FileError::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digits = name.strip_prefix(stem).filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let Some(number) = digits.and_then(|n| n.parse().ok()) else { continue };
        if !path.is_dir() {
            continue;
        }
        if let Some(other) = all.insert(number, path.clone()) {
            return Err(refused(
                format!("`{}` and `{}` have the same number", other.display(), path.display()),
                "keep the one that was run",
            ));
        }
    }
    Ok(all)
}
