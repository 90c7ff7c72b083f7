//! What goes wrong with reports.

use std::path::PathBuf;

use crate::explain::{Exit, Explain, Marked};
use crate::files::FileError;
use crate::steps::StepError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run cannot be read
    #[error(transparent)]
    Step(#[from] StepError),
    /// A pattern that names no run
    #[error("`{pattern}` names no run folder")]
    NoRuns {
        /// As typed
        pattern: String,
    },
    /// A pattern that is none
    #[error("`{pattern}` is no pattern: {why}")]
    Pattern {
        /// As typed
        pattern: String,
        /// What is wrong with it
        why: String,
    },
    /// A file of ours that was damaged
    #[error("`{}` is damaged: {why}", path.display())]
    Damaged {
        /// Which file
        path: PathBuf,
        /// What was found, what was expected
        why: String,
        /// What to do
        hint: String,
    },
    /// A file that no tool here wrote
    #[error("`{}` is no record of the toolkit: {why}", path.display())]
    Foreign {
        /// Which file
        path: PathBuf,
        /// What was found
        why: String,
    },
    /// A format that cannot be written
    #[error("the format `{found}` cannot be written")]
    Format {
        /// As given
        found: String,
    },
    /// A picture cannot be turned into another format
    #[cfg(feature = "figures")]
    #[error(transparent)]
    Render(#[from] crate::report::draw::render::RenderError),
    /// Something asked for that cannot be
    #[error("{what}")]
    Refused {
        /// What cannot be
        what: String,
        /// What to do
        hint: String,
    },
}

impl From<FileError> for ReportError {
    fn from(error: FileError) -> Self {
        Self::Step(error.into())
    }
}

impl Explain for ReportError {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Step(e) => return e.hint(),
            Self::NoRuns { .. } => {
                "a run is a folder with `run.toml`; quote a pattern so that the shell leaves it alone: 'runs/*'".into()
            }
            Self::Pattern { .. } => "`*` stands for any text, `?` for one sign, `[ab]` for a or b".into(),
            Self::Damaged { hint, .. } | Self::Refused { hint, .. } => hint.clone(),
            Self::Foreign { .. } => {
                "it prints state files (`ensemble.bin`), `.npy` and every `.toml` of a run".into()
            }
            #[cfg(feature = "figures")]
            Self::Render(_) => "the SVG of it is written with `--format svg`".into(),
            Self::Format { .. } => {
                "there are `csv`, `npy` and `parquet`: `-o table.csv`".into()
            }
        })
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Step(e) => e.exit(),
            Self::Damaged { .. } => Exit::Failed,
            #[cfg(feature = "figures")]
            Self::Render(_) => Exit::Failed,
            _ => Exit::Usage,
        }
    }

    fn marked(&self) -> Option<&Marked> {
        match self {
            Self::Step(e) => e.marked(),
            _ => None,
        }
    }
}
