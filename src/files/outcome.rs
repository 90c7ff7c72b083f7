//! The outcome of a member: `data.toml` or `failed.toml`, written whole, checked when read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Deserialize;

use crate::files::data::{Data, read_data};
use crate::files::{FileError, Record, TomlText, load_record, parse_record};

/// Why a file is not an outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    /// Cut short, or changed
    #[error("its checksum does not fit its content (cut short, or changed)")]
    Checksum,
    /// No checksum line at the end
    #[error("it does not end with a `# crc32` line (cut short, or not written by the toolkit)")]
    NoChecksum,
    /// Nothing in it
    #[error("it is empty")]
    Empty,
    /// No file
    #[error("it is a folder")]
    Folder,
    /// Not TOML, or other keys
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// Answers other parameters
    #[error("it answers other parameters ({found}, this member has {expected})")]
    Foreign {
        /// In the file
        found: String,
        /// Of this member
        expected: String,
    },
    /// Other blocks than observed
    #[error("it has blocks {found:?}, the observation has {expected:?}")]
    Blocks {
        /// In the file
        found: Vec<String>,
        /// In the observation
        expected: Vec<String>,
    },
    /// Wrong number of values
    #[error("block `{block}` has {found} numbers, the observation has {expected}")]
    Length {
        /// Which block
        block: String,
        /// In the file
        found: usize,
        /// In the observation
        expected: usize,
    },
    /// The array beside it is not the one it names
    #[error("`{file}`: {why}")]
    Array {
        /// Name of the array
        file: String,
        /// In which way
        why: String,
    },
    /// An infinite value
    #[error("block `{block}` holds an infinite number at position {at}")]
    Infinite {
        /// Which block
        block: String,
        /// From 1
        at: usize,
    },
}

/// `failed.toml`: why a member has no data. The same on every host, so no host, no path, no time in it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Failed {
    /// exit, signal, timeout, memory, output, lost, user
    pub cause: String,
    /// Exit status, when it exited
    pub exit_code: Option<i32>,
    /// Signal, when it was killed
    pub signal: Option<i32>,
    /// One line for a person
    pub message: String,
    /// The last lines it printed
    #[serde(default)]
    pub stderr_tail: String,
    /// The command that reruns just this member
    pub rerun: String,
    /// Tries it had
    #[serde(default, rename = "try")]
    pub attempt: u32,
}

impl Record for Failed {
    const SCHEMA: &'static str = "ekp.failed";
    const VERSION: u32 = 1;
}

impl Failed {
    /// The text of the file.
    pub fn text(&self, comments: &str) -> String {
        let mut text = TomlText::record::<Self>(comments);
        text.text("cause", &self.cause);
        if let Some(code) = self.exit_code {
            text.number("exit_code", code);
        }
        if let Some(signal) = self.signal {
            text.number("signal", signal);
        }
        text.text("message", &self.message).number("try", self.attempt).text("rerun", &self.rerun);
        if !self.stderr_tail.is_empty() {
            let tail = self.stderr_tail.trim_end_matches('\n');
            text.text("stderr_tail", &format!("{tail}\n"));
        }
        text.finish()
    }
}

/// What stands in a member's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A valid outcome
    Data(Data),
    /// It failed
    Failed(Failed),
    /// No outcome
    Missing,
    /// A file that is no outcome of this member
    Defective {
        /// `data.toml` or `failed.toml`
        file: &'static str,
        /// In which way
        defect: Defect,
    },
}

impl Found {
    /// Look into a member's folder. A valid `data.toml` beats `failed.toml`; a defective one does not.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn look(
        folder: &Path,
        parameters: &str,
        names: &[String],
        lengths: &[usize],
    ) -> Result<Self, FileError> {
        let mut values = vec![0.0; lengths.iter().sum()];
        Self::read(folder, parameters, names, lengths, &mut values, &mut Vec::new())
    }

    /// As [`Found::look`], with a place for the numbers: `out` holds those of all blocks, one after the other, and
    /// rubbish when there is no data. `room` is that for the file, to be used again: it only grows.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn read(
        folder: &Path,
        parameters: &str,
        names: &[String],
        lengths: &[usize],
        out: &mut [f64],
        room: &mut Vec<u8>,
    ) -> Result<Self, FileError> {
        let defective = match content(&folder.join("data.toml"), room)? {
            Content::Bytes(text) => match read_data(text, Some(folder), parameters, names, lengths, out) {
                Ok(data) => return Ok(Self::Data(data)),
                Err(defect) => Some(defect),
            },
            Content::Folder => Some(Defect::Folder),
            Content::Missing => None,
        };
        if let Some(defect) = defective {
            return match load_record::<Failed>(&folder.join("failed.toml")) {
                Ok(failed) => Ok(Self::Failed(failed)),
                Err(_) => Ok(Self::Defective { file: "data.toml", defect }),
            };
        }
        let path = folder.join("failed.toml");
        let defective = |defect| Self::Defective { file: "failed.toml", defect };
        Ok(match content(&path, room)? {
            Content::Missing => Self::Missing,
            Content::Folder => defective(Defect::Folder),
            Content::Bytes([]) => defective(Defect::Empty),
            Content::Bytes(text) => match parse_record::<Failed>(&path, text) {
                Ok(failed) => Self::Failed(failed),
                // A torn one says nothing: the member has no outcome.
                Err(FileError::Invalid { why, .. }) => defective(Defect::Unreadable(why)),
                Err(other) => defective(Defect::Unreadable(other.to_string())),
            },
        })
    }
}

/// What stands under a name.
enum Content<'a> {
    Bytes(&'a [u8]),
    Folder,
    Missing,
}

fn content<'a>(path: &Path, room: &'a mut Vec<u8>) -> Result<Content<'a>, FileError> {
    match whole(path, room) {
        Ok(length) => Ok(Content::Bytes(&room[..length])),
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => Ok(Content::Folder),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Content::Missing),
        Err(e) => Err(FileError::io("read", path)(e)),
    }
}

/// Read a file into the begin of `room`, and tell its length. What stood there is overwritten, not cleared: for files
/// of megabytes that would cost as much as a pass over them.
fn whole(path: &Path, room: &mut Vec<u8>) -> io::Result<usize> {
    let mut file = File::open(path)?;
    // A file may shrink or grow meanwhile: this is only a guess.
    let guess = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(1 << 30) + 1;
    if room.len() < guess {
        room.resize(guess, 0);
    }
    let mut length = 0;
    loop {
        if length == room.len() {
            room.resize(2 * length, 0);
        }
        match file.read(&mut room[length..]) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
