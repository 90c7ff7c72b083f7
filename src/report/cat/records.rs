//! TOML records: their checksum where they have one, then their text or a table of keys and values.

use std::path::Path;

use crate::files::crc32;
use crate::report::ReportError;
use crate::report::cat::{Form, Printed, csv, damaged, float};

/// Kinds whose last line must be a checksum.
const SUMMED: [&str; 2] = ["ekp.data", "ekp.chunk"];

/// A TOML file of ours, its checksum tested, in the form asked for.
pub(super) fn toml(path: &Path, text: &str, form: Form) -> Result<Printed, ReportError> {
    let head = head_sum(text);
    let foot = foot_sum(text);
    if head == Some(false) || foot == Some(false) {
        return Err(damaged(path, "its checksum does not fit its content (cut short, or changed)".into()));
    }
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(e) if is_ours(text) => return Err(damaged(path, where_in(text, &e))),
        Err(e) => {
            return Err(ReportError::Foreign { path: path.to_owned(), why: where_in(text, &e) });
        }
    };
    let schema = table.get("schema").and_then(toml::Value::as_str).unwrap_or_default();
    if SUMMED.contains(&schema) && foot.is_none() {
        return Err(damaged(path, "it does not end with a `# crc32` line (cut short)".into()));
    }
    let kind = if schema.is_empty() { "TOML" } else { schema };
    let note = match (head, foot) {
        (Some(true), _) | (_, Some(true)) => format!("{kind}, its checksum fits"),
        _ => format!("{kind}, without a checksum"),
    };
    let text = match form {
        Form::Toml => text.to_owned(),
        Form::Csv => {
            let mut rows = vec![vec!["key".to_owned(), "value".to_owned()]];
            flat("", &toml::Value::Table(table), &mut rows);
            csv(rows)
        }
    };
    Ok(Printed { text, note })
}

/// A record that begins like ours, or names a schema of ours.
fn is_ours(text: &str) -> bool {
    text.starts_with("# ekp ") || text.contains("\"ekp.")
}

fn where_in(text: &str, e: &toml::de::Error) -> String {
    let line = e.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
    format!("line {line} is no TOML: {}", e.message().lines().next().unwrap_or_default())
}

/// `# ekp parameters 1: …, crc32 xxxxxxxx` above the body it vouches for.
fn head_sum(text: &str) -> Option<bool> {
    let (first, body) = text.split_once('\n')?;
    let (_, sum) = first.strip_prefix("# ekp parameters ")?.split_once(", crc32 ")?;
    Some(sum == crc32(body.as_bytes()))
}

/// `# crc32 xxxxxxxx` as the last line.
fn foot_sum(text: &str) -> Option<bool> {
    let start = text.trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
    let sum = text[start..].strip_prefix("# crc32 ")?;
    Some(sum.trim_end() == crc32(&text.as_bytes()[..start]))
}

/// Keys with dots and places from 1: `model_output.mean[3]`, `result[1].name`.
fn flat(key: &str, value: &toml::Value, rows: &mut Vec<Vec<String>>) {
    let mut put = |value: String| rows.push(vec![key.to_owned(), value]);
    match value {
        toml::Value::String(text) => put(text.clone()),
        toml::Value::Float(x) => put(float(*x)),
        toml::Value::Integer(n) => put(n.to_string()),
        toml::Value::Boolean(b) => put(b.to_string()),
        toml::Value::Datetime(t) => put(t.to_string()),
        toml::Value::Array(items) => {
            items.iter().zip(1..).for_each(|(item, k)| flat(&format!("{key}[{k}]"), item, rows));
        }
        toml::Value::Table(table) => {
            for (name, value) in table {
                let below = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flat(&below, value, rows);
            }
        }
    }
}
