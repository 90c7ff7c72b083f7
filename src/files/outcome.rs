//! The outcome of a member: `data.toml` or `failed.toml`, written whole, checked when read.

use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::files::{FileError, Record, TomlText, crc32, digest, load_record, parse_record};

/// What a model made, one series per block.
#[derive(Debug, Clone, PartialEq)]
pub struct Data {
    /// Digest of the parameters it answers
    pub parameters: String,
    /// Block names with their numbers, in the order of the file
    pub blocks: Vec<(String, Vec<f64>)>,
    /// Digest of the whole file
    pub digest: String,
}

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
    /// An infinite value
    #[error("block `{block}` holds an infinite number at position {at}")]
    Infinite {
        /// Which block
        block: String,
        /// From 1
        at: usize,
    },
}

#[derive(Deserialize)]
struct Raw {
    schema: String,
    version: u32,
    parameters: String,
    model_output: toml::Table,
}

/// The text of a `data.toml`: comment lines, digest of the parameters, one array per block, checksum.
pub fn data_text(comments: &str, parameters: &str, blocks: &[(&str, &[f64])]) -> String {
    let mut text = TomlText::comments(comments);
    text.text("schema", "ekp.data").number("version", 1).text("parameters", parameters).table("model_output");
    for (name, values) in blocks {
        text.floats(name, values);
    }
    let mut text = text.finish();
    let crc = crc32(text.as_bytes());
    text.push_str(&format!("# crc32 {crc}\n"));
    text
}

/// Read and check a `data.toml` for a member whose parameters have the digest `parameters`.
///
/// # Errors
/// Every way in which it is not that member's outcome.
pub fn parse_data(
    bytes: &[u8],
    parameters: &str,
    names: &[String],
    lengths: &[usize],
) -> Result<Data, Defect> {
    const MARK: &str = "# crc32 ";
    if bytes.is_empty() {
        return Err(Defect::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| Defect::Unreadable(e.to_string()))?;
    let body_end = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    let sum =
        text[body_end..].strip_prefix(MARK).and_then(|s| s.strip_suffix('\n')).ok_or(Defect::NoChecksum)?;
    if sum != crc32(&bytes[..body_end]) {
        return Err(Defect::Checksum);
    }
    let raw: Raw = toml::from_str(text).map_err(|e| Defect::Unreadable(e.message().to_owned()))?;
    if raw.schema != "ekp.data" || raw.version != 1 {
        return Err(Defect::Unreadable(format!("it is `{}` version {}", raw.schema, raw.version)));
    }
    if raw.parameters != parameters {
        return Err(Defect::Foreign { found: raw.parameters, expected: parameters.to_owned() });
    }
    let found: Vec<String> = raw.model_output.keys().cloned().collect();
    if found.len() != names.len() || names.iter().any(|n| !raw.model_output.contains_key(n)) {
        return Err(Defect::Blocks { found, expected: names.to_vec() });
    }
    let mut blocks = Vec::with_capacity(names.len());
    for (name, &expected) in names.iter().zip(lengths) {
        let values = numbers(&raw.model_output[name])
            .ok_or_else(|| Defect::Unreadable(format!("block `{name}` is no array of numbers")))?;
        if values.len() != expected {
            return Err(Defect::Length { block: name.clone(), found: values.len(), expected });
        }
        if let Some(at) = values.iter().position(|x| x.is_infinite()) {
            return Err(Defect::Infinite { block: name.clone(), at: at + 1 });
        }
        blocks.push((name.clone(), values));
    }
    Ok(Data { parameters: raw.parameters, blocks, digest: digest(bytes) })
}

fn numbers(value: &toml::Value) -> Option<Vec<f64>> {
    let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    value.as_array()?.iter().map(number).collect()
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
        let defective = match content(&folder.join("data.toml"))? {
            Content::Bytes(bytes) => match parse_data(&bytes, parameters, names, lengths) {
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
        Ok(match content(&path)? {
            Content::Missing => Self::Missing,
            Content::Folder => defective(Defect::Folder),
            Content::Bytes(bytes) if bytes.is_empty() => defective(Defect::Empty),
            Content::Bytes(bytes) => match parse_record::<Failed>(&path, &bytes) {
                Ok(failed) => Self::Failed(failed),
                // A torn one says nothing: the member has no outcome.
                Err(FileError::Invalid { why, .. }) => defective(Defect::Unreadable(why)),
                Err(other) => defective(Defect::Unreadable(other.to_string())),
            },
        })
    }
}

/// What stands under a name.
enum Content {
    Bytes(Vec<u8>),
    Folder,
    Missing,
}

fn content(path: &Path) -> Result<Content, FileError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Content::Bytes(bytes)),
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => Ok(Content::Folder),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Content::Missing),
        Err(e) => Err(FileError::io("read", path)(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (Vec<String>, Vec<usize>) {
        (vec!["range".into(), "mean".into()], vec![1, 3])
    }

    fn good() -> String {
        data_text("a comment", "blake3:00", &[("range", &[2.5]), ("mean", &[1.0, f64::NAN, -1e-300])])
    }

    #[test]
    fn data_reads_back_with_the_same_bits() {
        let (names, lengths) = names();
        let data = parse_data(good().as_bytes(), "blake3:00", &names, &lengths).unwrap();
        assert_eq!(data.blocks[0].1, [2.5]);
        assert!(data.blocks[1].1[1].is_nan());
        assert_eq!(data.blocks[1].1[2].to_bits(), (-1e-300f64).to_bits());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_passes() {
        let (names, lengths) = names();
        let good = good().into_bytes();
        for at in 0..good.len() {
            assert!(parse_data(&good[..at], "blake3:00", &names, &lengths).is_err(), "cut at {at}");
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert!(parse_data(&flipped, "blake3:00", &names, &lengths).is_err(), "byte {at}");
        }
    }

    #[test]
    fn foreign_wrong_length_and_infinite_are_told_apart() {
        let (names, lengths) = names();
        let of = |blocks: &[(&str, &[f64])]| {
            parse_data(data_text("", "blake3:00", blocks).as_bytes(), "blake3:00", &names, &lengths)
        };
        assert!(matches!(
            parse_data(good().as_bytes(), "blake3:11", &names, &lengths),
            Err(Defect::Foreign { .. })
        ));
        assert!(matches!(of(&[("range", &[1.0])]), Err(Defect::Blocks { .. })));
        assert!(matches!(
            of(&[("range", &[1.0]), ("mean", &[1.0])]),
            Err(Defect::Length { found: 1, expected: 3, .. })
        ));
        let infinite = of(&[("range", &[f64::INFINITY]), ("mean", &[1.0; 3])]);
        assert_eq!(infinite, Err(Defect::Infinite { block: "range".into(), at: 1 }));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let (names, lengths) = names();
            let _ = parse_data(&bytes, "blake3:00", &names, &lengths);
            let mut summed = bytes;
            summed.push(b'\n');
            let line = format!("# crc32 {}\n", crc32(&summed));
            summed.extend_from_slice(line.as_bytes());
            let _ = parse_data(&summed, "blake3:00", &names, &lengths);
        }
    }
}
