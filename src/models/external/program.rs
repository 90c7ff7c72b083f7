//! Where the program of a command lies.

use std::path::{Path, PathBuf};

use crate::machine::process;
use crate::models::Place;
use crate::models::external::argument::Argument;
use crate::models::external::link::{Links, plain};

/// The first word of the command.
#[derive(Debug)]
pub(crate) struct Program {
    written: Argument,
    /// Files that are written into the working folder before the start: filled templates
    made: Vec<PathBuf>,
}

impl Program {
    /// The program as it was written, and the files that templates make in the working folder.
    pub(crate) fn new(written: Argument, made: Vec<PathBuf>) -> Self {
        Self { written, made }
    }

    /// Absolute, or relative to the working folder, or `None` when it depends on the member.
    ///
    /// A name without `/` is looked up in `PATH`; with one, it is a linked file or a filled template of the
    /// working folder, else relative to `base`.
    pub(crate) fn lookup(&self, links: &Links, base: &Path) -> Result<Option<PathBuf>, String> {
        let Some(name) = self.written.fixed() else { return Ok(None) };
        let path = Path::new(name);
        if name.contains('/') && !path.is_absolute() {
            let here = plain(path);
            if links.bring(&here) || self.made.contains(&here) {
                return Ok(Some(here));
            }
        }
        absolute(base, path).map(Some).ok_or_else(|| format!("no program `{name}` in `PATH`"))
    }

    /// The program of one member, where it depends on the member.
    pub(crate) fn of(&self, place: &Place, data: &Path, base: &Path) -> PathBuf {
        let path = PathBuf::from(self.written.fill(place, data));
        absolute(base, &path).unwrap_or(path)
    }
}

/// A name without `/` is looked up in `PATH`, anything else is relative to `base`.
pub(crate) fn absolute(base: &Path, path: &Path) -> Option<PathBuf> {
    if path.to_string_lossy().contains('/') {
        return Some(base.join(plain(path)));
    }
    // An entry of `PATH` may be relative; the model has another working folder.
    std::path::absolute(process::find(path)?).ok()
}
