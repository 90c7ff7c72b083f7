//! The outcome of a cell: `data.toml` with its row and the digests of its files, or `failed.toml`.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::files::{Defect, Failed, FileError, TomlText, crc32, digest, digest_file, load_record};
use crate::models::cell::{Row, Scalar};

/// Folder of what a cell left, in its own.
pub(super) const OUTPUT: &str = "output";
/// The last line of an outcome begins so.
const MARK: &str = "# crc32 ";

/// What stands in a cell's folder.
#[derive(Debug, Clone, PartialEq)]
pub enum Left {
    /// It is done
    Data(Row),
    /// It failed
    Failed(Failed),
    /// No outcome
    Missing,
    /// A file that is no outcome of this cell
    Defective {
        /// `data.toml`, `failed.toml`, `output`
        file: &'static str,
        /// In which way
        defect: Defect,
    },
}

#[derive(Deserialize)]
struct Raw {
    schema: String,
    version: u32,
    parameters: String,
    #[serde(default)]
    model_output: toml::Table,
    #[serde(default)]
    files: toml::Table,
}

/// The text of `data.toml`.
pub(super) fn data_text(comments: &str, parameters: &str, row: &Row, files: &[(String, String)]) -> String {
    let mut text = TomlText::comments(comments);
    text.text("schema", "ekp.data").number("version", 1).text("parameters", parameters).table("model_output");
    for (name, value) in &row.facts {
        text.raw(&format!("{} = {}", crate::files::key(name), value.toml()));
    }
    text.table("files");
    for (name, digest) in files {
        text.text(name, digest);
    }
    let mut text = text.finish();
    let crc = crc32(text.as_bytes());
    text.push_str(&format!("{MARK}{crc}\n"));
    text
}

/// What a model says about seconds; no outcome vouches for it, for it differs from run to run.
pub(super) const SECONDS: &str = "timing.toml";

/// Every file below a folder with its digest, sorted by name; hidden files, links and times are not told.
pub(super) fn files_of(folder: &Path) -> Result<Vec<(String, String)>, FileError> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(folder).to_owned();
            FileError::io("read", &path)(e.into())
        })?;
        let name = entry.path().strip_prefix(folder).unwrap_or(entry.path());
        let hidden = name.components().any(|part| part.as_os_str().to_string_lossy().starts_with('.'));
        if entry.file_type().is_file() && !hidden && name.as_os_str() != SECONDS {
            all.push((name.to_string_lossy().into_owned(), digest_file(entry.path())?));
        }
    }
    Ok(all)
}

/// Look into a cell's folder. A valid `data.toml` beats `failed.toml`; it vouches for the files beside it, which
/// must be there.
///
/// # Errors
/// The disk cannot be read.
pub fn look(folder: &Path, parameters: &str) -> Result<Left, FileError> {
    let defective = |file, defect| Ok(Left::Defective { file, defect });
    let path = folder.join("data.toml");
    let mut broken = None;
    match fs::read(&path) {
        Ok(bytes) => match parse(&bytes, parameters) {
            Ok(raw) => {
                let output = folder.join(OUTPUT);
                if let Some(name) = raw.files.keys().find(|name| !output.join(name).is_file()) {
                    let why = "`data.toml` vouches for it, and it is gone".to_owned();
                    return defective(OUTPUT, Defect::Array { file: name.clone(), why });
                }
                let facts = raw.model_output.iter().filter_map(|(k, v)| Some((k.clone(), Scalar::of(v)?)));
                return Ok(Left::Data(Row { facts: facts.collect(), usage: None }));
            }
            Err(defect) => broken = Some(defect),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) if e.kind() == io::ErrorKind::IsADirectory => return defective("data.toml", Defect::Folder),
        Err(e) => return Err(FileError::io("read", &path)(e)),
    }
    if let Some(defect) = broken {
        return defective("data.toml", defect);
    }
    let path = folder.join("failed.toml");
    match load_record::<Failed>(&path) {
        Ok(failed) => Ok(Left::Failed(failed)),
        Err(e) if e.is_missing() => Ok(Left::Missing),
        Err(FileError::Invalid { why, .. }) => defective("failed.toml", Defect::Unreadable(why)),
        Err(e) => Err(e),
    }
}

fn parse(bytes: &[u8], parameters: &str) -> Result<Raw, Defect> {
    if bytes.is_empty() {
        return Err(Defect::Empty);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Defect::Unreadable("it is no text".into()))?;
    let at = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    let sum = text[at..].trim_end().strip_prefix(MARK).ok_or(Defect::NoChecksum)?;
    if sum != crc32(&bytes[..at]) {
        return Err(Defect::Checksum);
    }
    let raw: Raw = toml::from_str(text)
        .map_err(|e| Defect::Unreadable(e.message().lines().next().unwrap_or_default().to_owned()))?;
    if raw.schema != "ekp.data" || raw.version != 1 {
        return Err(Defect::Unreadable(format!("it is `{}` version {}", raw.schema, raw.version)));
    }
    if raw.parameters != parameters {
        return Err(Defect::Foreign { found: raw.parameters, expected: parameters.to_owned() });
    }
    Ok(raw)
}

/// The digest that an outcome must answer, of the text of its parameters.
pub(super) fn answers(parameters: &str) -> String {
    digest(parameters.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    #[test]
    fn an_outcome_reads_back_and_every_way_to_be_none_is_told() {
        let dir = Scratch::new("cell-outcome").unwrap();
        let folder = dir.path();
        fs::create_dir(folder.join(OUTPUT)).unwrap();
        fs::write(folder.join("output/weights.bin"), "abc").unwrap();
        let mut row = Row::default();
        row.push("loss", Scalar::Float(0.25)).push("state", Scalar::Text("ok".into()));
        let files = files_of(&folder.join(OUTPUT)).unwrap();
        let text = data_text("a cell", "blake3:1", &row, &files);
        let path = folder.join("data.toml");
        fs::write(&path, &text).unwrap();
        assert_eq!(look(folder, "blake3:1").unwrap(), Left::Data(row));
        let defect = |left| match left {
            Left::Defective { file, defect } => format!("{file}: {defect}"),
            other => format!("{other:?}"),
        };
        assert!(defect(look(folder, "blake3:2").unwrap()).contains("answers other parameters"));
        fs::write(&path, &text[..text.len() - 30]).unwrap();
        assert!(defect(look(folder, "blake3:1").unwrap()).contains("cut short"));
        fs::write(&path, text.replace("0.25", "0.75")).unwrap();
        assert!(defect(look(folder, "blake3:1").unwrap()).contains("checksum"));
        fs::write(&path, &text).unwrap();
        fs::remove_file(folder.join("output/weights.bin")).unwrap();
        assert!(defect(look(folder, "blake3:1").unwrap()).contains("weights.bin"));
        fs::remove_file(&path).unwrap();
        assert_eq!(look(folder, "blake3:1").unwrap(), Left::Missing);
    }
}
