//! Any record of the toolkit as TOML or CSV, its checksums verified first.
//!
//! What a file is its content says, not its name: npy and Parquet by their magic, state by its first line, else TOML.
//! Belongs here: telling kinds apart, checking, printing. Not here: what the numbers mean.

mod arrays;
mod records;
mod tables;

use std::path::Path;

use crate::files::{FileError, parquet};
use crate::report::{ReportError, place};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As TOML
    Toml,
    /// As a table
    Csv,
}

/// A record as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Printed {
    /// For stdout
    pub text: String,
    /// What was verified
    pub note: String,
}

/// Read, verify and print a file; without a form arrays and tables come as CSV, everything else as TOML.
///
/// # Errors
/// It is missing, damaged, or nothing of ours.
pub fn cat(path: &Path, form: Option<Form>) -> Result<Printed, ReportError> {
    if path.is_dir() {
        return Err(ReportError::Refused {
            what: format!("`{}` is a folder", path.display()),
            hint: "name a file in it, such as `update.toml`, `ensemble.bin` or `member_001/data.toml`".into(),
        });
    }
    let bytes = std::fs::read(path).map_err(FileError::io("read", path)).map_err(place::refused(
        "name a file of a run, such as `update.toml`, `iteration_000/ensemble.bin`",
    ))?;
    if bytes.is_empty() {
        return Err(damaged(path, "it is empty".into()));
    }
    if bytes.starts_with(b"\x93NUMPY") {
        return arrays::npy(path, &bytes, form.unwrap_or(Form::Csv));
    }
    if bytes.starts_with(parquet::MAGIC) {
        return tables::parquet(path, &bytes, form.unwrap_or(Form::Csv));
    }
    if is_state(&bytes) {
        return arrays::state(path, &bytes, form.unwrap_or(Form::Toml));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => records::toml(path, text, form.unwrap_or(Form::Toml)),
        Err(e) => {
            let why =
                format!("it is neither text (byte {}) nor npy nor Parquet nor a state file", e.valid_up_to());
            Err(ReportError::Foreign { path: path.to_owned(), why })
        }
    }
}

/// `ekp.ensemble 1 328 blake3:…`: also a torn one counts, so that its fault can be told.
fn is_state(bytes: &[u8]) -> bool {
    let line = bytes.split(|&b| b == b'\n').next().unwrap_or_default();
    let words = line.split(|&b| b == b' ').count();
    line.starts_with(b"ekp.") && (2..=4).contains(&words) && !line.contains(&b'=')
}

/// A damaged file, with what mends it.
fn damaged(path: &Path, why: String) -> ReportError {
    let name = path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
    let hint = match name.as_str() {
        "data.toml" | "failed.toml" | "data.npy" => {
            "it does not count as an outcome: the next launch or submission runs the member again"
        }
        "parameters.toml" | "parameters.npy" => "`ekp-run-member` writes it anew from `ensemble.bin`",
        "ensemble.bin" | "state.bin" => {
            "move the iteration's folder away; `ekp-update -i` with the iteration before makes it anew from the outcomes"
        }
        "timing.toml" => "it holds times only: nothing depends on it",
        _ => "put back a copy, or make it anew with the tool that wrote it (the comment on its top names it)",
    };
    ReportError::Damaged { path: path.to_owned(), why, hint: hint.into() }
}

/// A number as it reads back the same.
fn float(x: f64) -> String {
    if x.is_nan() { "nan".into() } else { format!("{x:?}") }
}

/// Rows as CSV.
fn csv(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        // Writing into memory does not fail.
        let _ = writer.write_record(&row);
    }
    String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_files_are_known_by_their_first_line_also_when_torn() {
        assert!(is_state(b"ekp.ensemble 1 328 blake3:00\n\x01\x02"));
        assert!(is_state(b"ekp.state 1 3"));
        assert!(!is_state(b"schema = \"ekp.data\"\n"));
        assert!(!is_state(b"# ekp data: member 7 of iteration 3.\n"));
    }
}
