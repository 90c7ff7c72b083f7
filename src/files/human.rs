//! Reading what a person wrote in TOML: every fault points at its line.
//!
//! A `Section` hands out values by key and remembers which were asked for; `finish` refuses the rest
//! with the nearest allowed key. Belongs here: turning text into typed values with places.
//! Not here: what the values mean.

mod arrays;
mod section;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use crate::explain::{Marked, Source};

pub use arrays::canonical;
pub use section::{FromNode, Names, Section};

/// A value with its place in the file.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value
    pub value: Value,
    /// Bytes it takes in the file
    pub span: Range<usize>,
}

/// A TOML value.
#[derive(Debug, Clone)]
pub enum Value {
    /// `"text"`
    Text(String),
    /// `3`
    Integer(i64),
    /// `3.0`
    Float(f64),
    /// `true`
    Bool(bool),
    /// A date or time, as written
    Datetime(String),
    /// `[…]`
    Array(Vec<Node>),
    /// `{…}` or `[…]` header
    Table(Table),
}

/// A table, entries in the order of the file.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Key, its place, its value
    pub entries: Vec<(String, Range<usize>, Node)>,
}

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(k, ..)| k == key).map(|(.., node)| node)
    }
}

impl Value {
    /// The kind, in words for a person.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a decimal number",
            Self::Bool(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }

    /// As a number: integers count as numbers.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }
}

/// A whole file.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its text
    pub source: Arc<Source>,
    /// Its top level
    pub root: Table,
}

impl Document {
    /// Read `text`; `path` is only for messages.
    ///
    /// # Errors
    /// A syntax error, at its place.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Marked> {
        let source = Source::new(path, text);
        let long = arrays::Long::find(&source.text);
        let root = DeTable::parse(long.rest.as_deref().unwrap_or(&source.text)).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            if error.message().contains("duplicate key") {
                return Marked::new(
                    &source,
                    span,
                    "a key stands here twice",
                    "it is there further up already",
                );
            }
            Marked::new(&source, span, "this is not TOML", error.message().to_owned())
        })?;
        let root = table(root.get_ref(), &source, &long)?;
        Ok(Self { source, root })
    }

    /// As [`Document::parse`], from the bytes of a file.
    ///
    /// # Errors
    /// A byte that is no text, or a syntax error, at its place.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Marked> {
        Self::parse(path, &text(path, bytes)?)
    }

    /// The top level as a section.
    pub fn section(&self) -> Section<'_> {
        Section::new(&self.source, "", &self.root, 0..0)
    }
}

/// The text of a file that a person wrote.
///
/// # Errors
/// The first byte that is not UTF-8, at its place.
pub fn text(path: &Path, bytes: Vec<u8>) -> Result<String, Marked> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let source = Source::new(path, shown);
        Marked::new(&source, at..at + 1, "this is not UTF-8 text", format!("byte {}", at + 1))
            .hint("save the file as UTF-8; from an older encoding: `iconv -f latin1 -t utf-8`")
    })
}

fn table(table: &DeTable<'_>, source: &Arc<Source>, long: &arrays::Long) -> Result<Table, Marked> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let node = node(value.get_ref(), value.span(), source, long)?;
        entries.push((key.get_ref().to_string(), key.span(), node));
    }
    // The parser hands keys out sorted by name; a person's order is the order of places.
    entries.sort_by_key(|(_, span, _): &(String, Range<usize>, Node)| span.start);
    Ok(Table { entries })
}

fn node(
    value: &DeValue<'_>,
    span: Range<usize>,
    source: &Arc<Source>,
    long: &arrays::Long,
) -> Result<Node, Marked> {
    let too_large = |what: &str, most: &str| {
        Marked::new(source, span.clone(), format!("this {what} is too large"), format!("allowed: {most}"))
    };
    let integer = |negative: bool| match negative {
        true => too_large("integer", "at least -9223372036854775808"),
        false => too_large("integer", "at most 9223372036854775807"),
    };
    let number = || too_large("number", "at most 1.8e308; `inf` where infinity is meant");
    let value = match value {
        DeValue::String(s) => Value::Text(s.to_string()),
        DeValue::Integer(i) => {
            let parsed = i64::from_str_radix(i.as_str(), i.radix());
            Value::Integer(parsed.map_err(|_| integer(i.as_str().starts_with('-')))?)
        }
        DeValue::Float(x) => {
            let parsed: f64 = x.as_str().parse().map_err(|_| number())?;
            if parsed.is_infinite() && !x.as_str().contains("inf") {
                return Err(number());
            }
            Value::Float(parsed)
        }
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Datetime(d) => Value::Datetime(d.to_string()),
        DeValue::Array(items) => match long.at(span.start) {
            Some(nodes) => Value::Array(nodes),
            None => Value::Array(
                items.iter().map(|v| node(v.get_ref(), v.span(), source, long)).collect::<Result<_, _>>()?,
            ),
        },
        DeValue::Table(t) => Value::Table(table(t, source, long)?),
    };
    Ok(Node { value, span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_too_large_for_a_double_is_refused() {
        let fault = Document::parse(Path::new("x.toml"), "a = 1e400\n").unwrap_err();
        assert_eq!(fault.line(), 1);
    }
}
