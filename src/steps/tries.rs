//! Tries of a member, a cell, a model of a chunk: one after the other, in folders that are kept or removed after it.
//!
//! Belongs here: when there is another, `try_K` and what is moved into it. Not here: what runs there, leases.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::experiment::Keep;
use crate::files::{CLAIM, FileError, Iteration, Member, next_try};
use crate::models::{Cause, ModelError};
use crate::steps::member::Options;
use crate::steps::{Run, StepError};

/// Run something until it succeeds, `allowed` times at most; what the last round gave, and which it was. `one` is told the
/// round, from 1.
///
/// # Errors
/// Those of `one`; [`StepError::Interrupted`] for what our own stop ended, [`StepError::Hindered`] for what did not run for
/// reasons of this machine: neither is a result of the model. They name `whose` rounds these are.
pub(super) fn rounds<T>(
    allowed: u32,
    (iteration, member): (Iteration, Member),
    options: &Options,
    mut one: impl FnMut(u32) -> Result<Result<T, ModelError>, StepError>,
) -> Result<(Result<T, ModelError>, u32), StepError> {
    let mut round = 1;
    loop {
        let result = one(round)?;
        match result {
            Err(_) if options.stop.as_ref().is_some_and(|s| s.load(Ordering::Relaxed)) => {
                return Err(StepError::Interrupted);
            }
            Err(ModelError { cause: Cause::Lost, message: why, .. }) => {
                return Err(StepError::Hindered { iteration, member, why });
            }
            Err(_) if round < allowed => round += 1,
            result => return Ok((result, round)),
        }
    }
}

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
        // A leased one holds its claim, too.
        let emptied = || fs::remove_file(folder.join(CLAIM)).and_then(|()| fs::remove_dir(folder));
        if fs::remove_dir(folder).is_err() && emptied().is_err() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn failure(cause: Cause) -> Result<u32, ModelError> {
        Err(ModelError::new(cause, "no"))
    }

    #[test]
    fn there_is_another_round_after_a_failure_of_the_model_and_after_nothing_else() {
        let stop = Arc::new(AtomicBool::new(false));
        let options = Options { stop: Some(stop.clone()), ..Options::default() };
        let three = |one: &mut dyn FnMut(u32) -> Result<Result<u32, ModelError>, StepError>| {
            rounds(3, (2, 7), &options, one)
        };
        // The second succeeds; none does
        let fails_below = |limit: u32| move |k| Ok(if k < limit { failure(Cause::Exit) } else { Ok(10 * k) });
        assert_eq!(three(&mut fails_below(2)).map(|(r, k)| (r.ok(), k)).ok(), Some((Some(20), 2)));
        let (result, last) = three(&mut fails_below(9)).unwrap();
        assert!(result.is_err_and(|e| e.cause == Cause::Exit) && last == 3);
        // What this machine refused is no result, and is not tried again here
        let mut calls = 0;
        let hindered = three(&mut |_| {
            calls += 1;
            Ok(failure(Cause::Lost))
        });
        assert!(matches!(hindered, Err(StepError::Hindered { iteration: 2, member: 7, .. })) && calls == 1);
        // What was ended by a signal is none, either; what came through before it is one
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(three(&mut fails_below(2)), Err(StepError::Interrupted)));
        assert!(three(&mut fails_below(1)).is_ok_and(|(result, last)| result.is_ok() && last == 1));
    }
}
