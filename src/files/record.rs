//! Records: TOML files that tools leave for tools, with `schema` and `version` first.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::files::FileError;
use crate::files::floats::{push_array, push_float};

/// A type that crosses the disk.
pub trait Record: DeserializeOwned {
    /// `ekp.update`
    const SCHEMA: &'static str;
    /// Raised when an old reader would misread a new file
    const VERSION: u32;
}

#[derive(serde::Deserialize)]
struct Head {
    schema: String,
    version: u32,
}

/// Read and check a record.
///
/// # Errors
/// Missing, not TOML, another schema, another version.
pub fn load_record<R: Record>(path: &Path) -> Result<R, FileError> {
    parse_record(path, &std::fs::read(path).map_err(FileError::io("read", path))?)
}

/// Check a record that was read from `path`.
///
/// # Errors
/// Not TOML, another schema, another version.
pub fn parse_record<R: Record>(path: &Path, bytes: &[u8]) -> Result<R, FileError> {
    let invalid = |why: String| FileError::Invalid { path: path.to_owned(), kind: R::SCHEMA, why };
    let text = std::str::from_utf8(bytes)
        .map_err(|e| invalid(format!("byte {} is not UTF-8", e.valid_up_to() + 1)))?;
    let first_line = |e: &toml::de::Error| e.message().lines().next().unwrap_or_default().to_owned();
    if begins_as::<R>(text) {
        return toml::from_str(text).map_err(|e| invalid(first_line(&e)));
    }
    let head: Head = toml::from_str(text).map_err(|e| invalid(first_line(&e)))?;
    if head.schema != R::SCHEMA {
        return Err(invalid(format!("its schema is `{}`", head.schema)));
    }
    if head.version != R::VERSION {
        let (found, known) = (head.version, R::VERSION);
        return Err(FileError::Version { path: path.to_owned(), schema: R::SCHEMA, found, known });
    }
    toml::from_str(text).map_err(|e| invalid(first_line(&e)))
}

/// Comments, then the two lines that our own tools write: no need to read the file twice.
fn begins_as<R: Record>(text: &str) -> bool {
    let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
    let value = |line: Option<&str>, key: &str| {
        line.and_then(|l| l.strip_prefix(key)).and_then(|l| l.strip_prefix(" = ")).map(str::to_owned)
    };
    value(lines.next(), "schema").is_some_and(|v| v.trim_matches('"') == R::SCHEMA)
        && value(lines.next(), "version").is_some_and(|v| v.parse() == Ok(R::VERSION))
}

/// Writes TOML line by line: keys in the order given, comments where a person wants them,
/// floats in shortest round-trip form (the `toml` crate writes 1e-300 as three hundred zeros).
#[derive(Debug, Default)]
pub struct TomlText(String);

impl TomlText {
    /// A record: comment lines, then schema and version.
    pub fn record<R: Record>(comments: &str) -> Self {
        let mut text = Self::comments(comments);
        text.text("schema", R::SCHEMA).number("version", R::VERSION);
        text
    }

    /// A file that begins with comment lines.
    pub fn comments(comments: &str) -> Self {
        let mut text = Self(String::with_capacity(512));
        for line in comments.lines() {
            text.0.push_str(if line.is_empty() { "#" } else { "# " });
            text.raw(line);
        }
        text
    }

    /// A line as it is.
    pub fn raw(&mut self, line: &str) -> &mut Self {
        self.0.push_str(line);
        self.0.push('\n');
        self
    }

    /// A blank line and `[name]`.
    pub fn table(&mut self, name: &str) -> &mut Self {
        self.line(format_args!("\n[{name}]"))
    }

    /// `key = "value"`
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).raw(&quoted(value))
    }

    /// `key = 3`
    pub fn number(&mut self, key: &str, value: impl Into<i128>) -> &mut Self {
        self.key(key).line(format_args!("{}", value.into()))
    }

    /// `key = true`
    pub fn boolean(&mut self, key: &str, value: bool) -> &mut Self {
        self.key(key).raw(if value { "true" } else { "false" })
    }

    /// `key = 3.0`
    pub fn float(&mut self, key: &str, value: f64) -> &mut Self {
        push_float(&mut self.key(key).0, value);
        self.raw("")
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.0.push_str(&bare(key));
        self.0.push_str(" = ");
        self
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) -> &mut Self {
        let _ = std::fmt::Write::write_fmt(&mut self.0, line);
        self.raw("")
    }

    /// `key = [1.0, 2.0]`, eight numbers to a line when there are more.
    pub fn floats(&mut self, key: &str, values: &[f64]) -> &mut Self {
        self.0.push_str(&bare(key));
        self.0.push_str(" = ");
        push_array(&mut self.0, values);
        self.0.push('\n');
        self
    }

    /// `key = ["a", "b"]`
    pub fn texts<S: AsRef<str>>(&mut self, key: &str, values: &[S]) -> &mut Self {
        let list: Vec<String> = values.iter().map(|v| quoted(v.as_ref())).collect();
        self.raw(&format!("{} = [{}]", bare(key), list.join(", ")))
    }

    /// `key = [1, 2]`
    pub fn numbers(&mut self, key: &str, values: &[u32]) -> &mut Self {
        let list: Vec<String> = values.iter().map(u32::to_string).collect();
        self.raw(&format!("{} = [{}]", bare(key), list.join(", ")))
    }

    /// All of it.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

/// A TOML string with its quotes; several lines stay several lines.
pub fn quoted(value: &str) -> String {
    use escapes::escape;
    if value.contains('\n') {
        format!("\"\"\"\n{}\"\"\"", escape(value, true))
    } else {
        format!("\"{}\"", escape(value, false))
    }
}

/// A key, quoted when it must be.
fn bare(key: &str) -> std::borrow::Cow<'_, str> {
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { key.into() } else { quoted(key).into() }
}

mod escapes {
    use std::fmt::Write as _;

    /// Escapes of a basic string (TOML 1.0).
    pub(super) fn escape(value: &str, lines: bool) -> String {
        let mut out = String::with_capacity(value.len());
        for c in value.chars() {
            match c {
                '\\' => out.push_str("\\\\"),
                '"' => out.push_str("\\\""),
                '\n' if lines => out.push('\n'),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                c if c.is_control() => {
                    let _ = write!(out, "\\u{:04X}", c as u32);
                }
                c => out.push(c),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_written_reads_back_the_same() {
        let values = [0.1, 1e-300, -0.0, 5e-324, 1e300, 7.0, 1.0 / 3.0, 2.0, 9.0, f64::INFINITY];
        let nasty = "a \"quoted\" \\ back\nsecond\ttab \u{1}";
        let mut text = TomlText::comments("one\n\ntwo");
        text.text("plain key", nasty)
            .floats("many", &values)
            .float("one", 1e22)
            .texts("list", &["a", "b\"c"]);
        let table: toml::Table = toml::from_str(&text.finish()).unwrap();
        assert_eq!(table["plain key"].as_str().unwrap(), nasty);
        let back: Vec<f64> =
            table["many"].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect();
        assert!(back.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits()));
        assert_eq!(table["one"].as_float(), Some(1e22));
        assert_eq!(table["list"][1].as_str(), Some("b\"c"));
    }
}
