//! Paths that a user names: those that cannot be used are wrong usage, told before anything is read or written.
//!
//! Belongs here: whether a file or a folder can be written there. Not here: writing.

use std::path::Path;

use crate::files::{Draft, FileError};
use crate::report::ReportError;

/// A fault of the disk stays one; a place that cannot be used is refused, with advice.
///
/// # Errors
/// Always.
pub fn refused(hint: &str) -> impl FnOnce(FileError) -> ReportError {
    move |error| match error.is_place() {
        true => ReportError::Refused { what: error.to_string(), hint: hint.to_owned() },
        false => error.into(),
    }
}

/// A file can be made, or replaced, at this path.
///
/// # Errors
/// It cannot.
pub fn file(path: &Path) -> Result<(), ReportError> {
    if path.is_dir() {
        return Err(ReportError::Refused {
            what: format!("`{}` is a folder", path.display()),
            hint: "`-o` names a file: `-o table.csv`".into(),
        });
    }
    // A draft that is dropped leaves nothing.
    Draft::new(path).map(drop).map_err(refused("`-o` names a file in a folder that is there: `-o table.csv`"))
}

/// A folder is there, or can be made, at this path.
///
/// # Errors
/// It cannot.
pub fn folder(path: &Path) -> Result<(), ReportError> {
    if path.exists() && !path.is_dir() {
        return Err(ReportError::Refused {
            what: format!("`{}` is a file", path.display()),
            hint: "`-o` names a folder: `-o results`".into(),
        });
    }
    std::fs::create_dir_all(path)
        .map_err(FileError::io("make", path))
        .map_err(refused("`-o` names a folder, or where one can be made: `-o results`"))
}
