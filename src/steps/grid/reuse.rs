//! Finished cells of another run: what has the same id is the same work, and is never done again.

use std::fs;
use std::path::Path;

use crate::files::{FileError, RunDir};
use crate::steps::StepError;
use crate::steps::grid::init::Prepared;

/// Bring every finished cell of `from` that `prepared` has, too, into the folder that is being made. Files are
/// linked where the disk allows it, else copied. Returns how many.
///
/// # Errors
/// `from` is no run of a grid, or the disk.
pub(super) fn bring(prepared: &Prepared, from: &Path, into: &Path) -> Result<usize, StepError> {
    let theirs = RunDir::open(from)?;
    let making = RunDir::making(into, prepared.identity.clone());
    let mut brought = 0;
    for (number, (stage, ids)) in (1..).zip(prepared.grid.stages.iter().zip(&prepared.ids)) {
        // The stage may have had another number there.
        let Some(source) = folder_of(&theirs, &stage.name) else { continue };
        for id in ids {
            let cell = source.join(id);
            if !cell.join("data.toml").is_file() {
                continue;
            }
            let to = making.stage(number, &stage.name).join(id);
            for name in ["parameters.toml", "output", "timing.toml", "data.toml"] {
                copy(&cell.join(name), &to.join(name))?;
            }
            brought += 1;
        }
    }
    Ok(brought)
}

fn folder_of(dir: &RunDir, stage: &str) -> Option<std::path::PathBuf> {
    (1..=99).map(|number| dir.stage(number, stage)).find(|folder| folder.is_dir())
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    for entry in walkdir::WalkDir::new(from) {
        let Ok(entry) = entry else { continue };
        let below = entry.path().strip_prefix(from).unwrap_or(Path::new(""));
        let target = if below == Path::new("") { to.to_owned() } else { to.join(below) };
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target).map_err(FileError::io("make", &target))?;
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(FileError::io("make", parent))?;
        }
        // Outcomes are never changed in place, so a link is as good as a copy.
        if fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target).map_err(FileError::io("copy", entry.path()))?;
        }
    }
    Ok(())
}
