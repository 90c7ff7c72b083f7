//! Folders of tries within a member's folder: made for a program to work in, kept or removed after it.
//!
//! Belongs here: `try_K` and what is moved into it. Not here: what runs there, leases.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::experiment::Keep;
use crate::files::{FileError, next_try};
use crate::steps::Run;

/// Make the folder of the next try. Another process may make one at the same time: then the one after.
pub(super) fn new_try(folder: &Path) -> Result<(u32, PathBuf), FileError> {
    // A folder with two links has no folder in it, so this is the first try and nobody needs to list it.
    // Where a file system does not count, the name is taken, or the folder listed.
    let untried = fs::metadata(folder).is_ok_and(|folder| folder.nlink() == 2);
    let mut attempt = if untried { 1 } else { next_try(folder)? };
    loop {
        let place = folder.join(format!("try_{attempt}"));
        match fs::create_dir(&place) {
            Ok(()) => return Ok((attempt, place)),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => attempt = next_try(folder)?,
            Err(e) => return Err(FileError::io("make", &place)(e)),
        }
    }
}

/// Move files that are no outcomes out of the way, into the folder of the last try.
///
/// # Errors
/// The disk.
pub(super) fn set_aside(folder: &Path, names: &[&str]) -> Result<(), FileError> {
    for name in names {
        let path = folder.join(name);
        if path.symlink_metadata().is_err() {
            continue;
        }
        let attempt = (next_try(folder)? - 1).max(1);
        let place = folder.join(format!("try_{attempt}"));
        fs::create_dir_all(&place).map_err(FileError::io("make", &place))?;
        let mut to = place.join(name);
        for number in 2.. {
            if to.symlink_metadata().is_err() {
                break;
            }
            to = place.join(format!("{name}.{number}"));
        }
        match fs::rename(&path, &to) {
            Ok(()) => {}
            // Another process moved it first.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(FileError::io("move", &path)(e)),
        }
    }
    Ok(())
}

/// Remove a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FileError::io("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Remove working folders that nobody asked to keep. The outcome is on disk already: a folder that
/// cannot be removed (a file still open on NFS) stays and hurts nobody.
pub(super) fn tidy(run: &Run, tries: &[(PathBuf, bool)]) {
    for (k, (folder, succeeded)) in tries.iter().enumerate() {
        let stays = match run.experiment.keep {
            Keep::All => true,
            Keep::Failed => !succeeded,
            Keep::Last => k + 1 == tries.len(),
        };
        if stays {
            continue;
        }
        // Most hold the log and the output and nothing else: no need to list them.
        for name in run.experiment.model.external.iter().flat_map(|model| model.files()) {
            let _ = fs::remove_file(folder.join(name));
        }
        if fs::remove_dir(folder).is_err() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
