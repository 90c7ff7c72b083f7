//! An array, or an object with an array per block; `null` is NaN.

use serde_json::Value;

use crate::models::external::output::Found;

/// The numbers below a key of a JSON file, its parts outermost first; `null` is NaN.
pub(crate) fn numbers(text: &str, key: &[String]) -> Result<Found, String> {
    let root: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let here = text.lines().nth(line.saturating_sub(1)).unwrap_or("");
        // The parser stops within the word it does not know.
        let from = here.char_indices().nth(column.saturating_sub(4)).map_or(0, |(at, _)| at);
        let near: String = here[from..].chars().take(12).collect();
        let why = if near.contains("NaN") || near.contains("Inf") {
            "JSON knows no NaN or infinity; write `null` for a missing value"
        } else if error.is_eof() {
            "it ends too soon; was the file cut short?"
        } else {
            "not JSON"
        };
        format!("line {line}, column {column}: {why}")
    })?;
    let mut node = &root;
    for step in key {
        node = node.get(step).ok_or_else(|| format!("has no `{}`", key.join(".")))?;
    }
    if key.is_empty()
        && let Some(inner) = node.get("model_output")
    {
        node = inner;
    }
    match node {
        Value::Object(blocks) => {
            let blocks = blocks.iter().filter(|(_, value)| !value.is_string());
            let pair = |(name, value): (&String, &Value)| Ok((name.clone(), array(value, name)?));
            Ok(Found::Blocks(blocks.map(pair).collect::<Result<_, String>>()?))
        }
        _ => Ok(Found::Whole(array(node, &key.join("."))?)),
    }
}

fn array(value: &Value, name: &str) -> Result<Vec<f64>, String> {
    let one = |(k, value): (usize, &Value)| match value {
        Value::Null => Ok(f64::NAN),
        Value::Number(x) => x.as_f64().ok_or_else(|| format!("number {} is too large", k + 1)),
        other => {
            let of = if name.is_empty() { String::new() } else { format!(" of `{name}`") };
            let mut short = other.to_string();
            short = short.chars().take(40).collect();
            Err(format!("entry {}{of}: found `{short}`, expected a number", k + 1))
        }
    };
    match value {
        Value::Array(items) => items.iter().enumerate().map(one).collect(),
        single => Ok(vec![one((0, single))?]),
    }
}
