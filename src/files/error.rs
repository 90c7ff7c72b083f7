//! What goes wrong with files.

use std::io;
use std::path::{Path, PathBuf};

use crate::explain::{Exit, Explain, reason};

/// A file that cannot be read, written, or believed.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused
    #[error("cannot {verb} `{}`: {}", path.display(), reason(source))]
    Io {
        /// read, write, …
        verb: &'static str,
        /// Which file
        path: PathBuf,
        /// Why
        source: io::Error,
    },
    /// A file of ours whose content is not what its name says
    #[error("`{}` is not a valid {kind}: {why}", path.display())]
    Invalid {
        /// Which file
        path: PathBuf,
        /// What it should be
        kind: &'static str,
        /// In which way it is not
        why: String,
    },
    /// Made by another version of the tools
    #[error("`{}` has `{schema}` version {found}, these tools know version {known}", path.display())]
    Version {
        /// Which file
        path: PathBuf,
        /// Which record
        schema: &'static str,
        /// In the file
        found: u32,
        /// Here
        known: u32,
    },
    /// The folder is no run
    #[error("`{}` is not a run folder: {why}", path.display())]
    NotARun {
        /// Which folder
        path: PathBuf,
        /// What it lacks
        why: String,
    },
    /// An iteration that nobody has made yet
    #[error("iteration {iteration} is not there yet: `{}` is missing", path.display())]
    NotYet {
        /// Which iteration
        iteration: u32,
        /// What is missing
        path: PathBuf,
    },
}

impl FileError {
    /// For `map_err`: an error of the system at `path`.
    pub fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { verb, path, source }
    }

    /// True for a file that is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// True where another path, not another try, is what helps: the one named cannot be used.
    pub fn is_place(&self) -> bool {
        use io::ErrorKind as Kind;
        let Self::Io { source, .. } = self else { return false };
        let kinds = [Kind::NotFound, Kind::NotADirectory, Kind::IsADirectory, Kind::PermissionDenied];
        let more = [Kind::ReadOnlyFilesystem, Kind::AlreadyExists, Kind::InvalidInput, Kind::InvalidFilename];
        kinds.contains(&source.kind()) || more.contains(&source.kind())
    }
}

impl Explain for FileError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, path, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("the disk is full: free space, then run the same command again".into())
                }
                io::ErrorKind::QuotaExceeded => {
                    Some("your quota is used up: free space, then run the same command again".into())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some(format!("look at the permissions of `{}`", path.parent().unwrap_or(path).display()))
                }
                _ => None,
            },
            Self::Invalid { path, kind: "state file", .. } => path.parent().map(|folder| {
                format!(
                    "remove `{}` and launch again: it is made anew from the iteration before it",
                    folder.display()
                )
            }),
            Self::Invalid { .. } => None,
            Self::Version { .. } => {
                Some("use the tools that made the run, or make it anew with `ekp-init`".into())
            }
            Self::NotARun { why, .. } if why.starts_with("its ") => {
                Some("take `run.toml` from a copy of the folder, or make the run anew with `ekp-init`".into())
            }
            Self::NotARun { .. } => {
                Some("`cd` into the run folder, or make one with `ekp-init experiment.toml`".into())
            }
            Self::NotYet { iteration: 0, .. } => Some("`ekp-init-ensemble` makes the first iteration".into()),
            Self::NotYet { iteration, .. } => {
                Some(format!("it appears when `ekp-update -i {}` has closed the one before", iteration - 1))
            }
        }
    }
    fn exit(&self) -> Exit {
        match self {
            Self::NotARun { .. } | Self::Version { .. } => Exit::Usage,
            Self::NotYet { .. } => Exit::NotYet,
            _ => Exit::Failed,
        }
    }
}
