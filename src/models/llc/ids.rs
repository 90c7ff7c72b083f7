//! Names made from content: the canonical text of a configuration, and its SHA-256.
//!
//! `n`, `t`/`f`, `i42`, `d` and sixteen hexadecimal digits of a double (−0 counts as 0), strings as in JSON,
//! `[a,b]`, `{"k":v}` sorted by the bytes of the keys. Only what changes numbers goes in: the same work has the
//! same name in every run, on every machine, after every commit.

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::files::json;

/// A value of a configuration, after its type is settled.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not given
    Null,
    /// Yes or no
    Bool(bool),
    /// A whole number
    Integer(i64),
    /// A double, never NaN
    Float(f64),
    /// Words
    Text(String),
    /// In order
    List(Vec<Value>),
    /// By key
    Table(BTreeMap<String, Value>),
}

impl Value {
    /// A table.
    pub fn table<const N: usize>(entries: [(&str, Value); N]) -> Self {
        Self::Table(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
    /// A word.
    pub fn text(word: impl Into<String>) -> Self {
        Self::Text(word.into())
    }
    /// A count.
    pub fn count(n: usize) -> Self {
        Self::Integer(i64::try_from(n).expect("counts are below 2⁶³"))
    }
    /// Counts.
    pub fn counts(all: &[usize]) -> Self {
        Self::List(all.iter().map(|&n| Self::count(n)).collect())
    }
    /// Doubles.
    pub fn floats(all: &[f64]) -> Self {
        Self::List(all.iter().map(|&x| Self::Float(x)).collect())
    }
}

/// The one spelling of a value.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write(&mut text, value);
    text
}

fn write(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push('n'),
        Value::Bool(b) => text.push(if *b { 't' } else { 'f' }),
        Value::Integer(i) => {
            let _ = write!(text, "i{i}");
        }
        Value::Float(x) => {
            let x = if *x == 0.0 { 0.0 } else { *x };
            let _ = write!(text, "d{:016x}", x.to_bits());
        }
        Value::Text(s) => json::push_string(text, s),
        Value::List(items) => {
            text.push('[');
            for (k, item) in items.iter().enumerate() {
                if k > 0 {
                    text.push(',');
                }
                write(text, item);
            }
            text.push(']');
        }
        Value::Table(entries) => {
            text.push('{');
            for (k, (key, value)) in entries.iter().enumerate() {
                if k > 0 {
                    text.push(',');
                }
                json::push_string(text, key);
                text.push(':');
                write(text, value);
            }
            text.push('}');
        }
    }
}

/// A value as inline TOML; what is not given is left out.
pub fn inline(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        Value::Null => "nan".into(),
        Value::Bool(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Float(x) => format!("{x:?}"),
        Value::Text(s) => crate::files::quoted(s),
        Value::List(items) => format!("[{}]", joined(items.iter().map(inline).collect())),
        Value::Table(entries) => {
            let given = entries.iter().filter(|(_, value)| **value != Value::Null);
            let all = given.map(|(key, value)| format!("{} = {}", crate::files::key(key), inline(value)));
            format!("{{ {} }}", joined(all.collect()))
        }
    }
}

/// All 64 digits of the SHA-256 of the canonical text.
pub fn hash(value: &Value) -> String {
    Sha256::digest(canonical(value).as_bytes()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Prefix and the first twelve digits.
pub fn id(prefix: &str, value: &Value) -> String {
    format!("{prefix}{}", &hash(value)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    fn value(json: &Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(b) => Value::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap()), Value::Integer),
            Json::String(s) => Value::Text(s.clone()),
            Json::Array(items) => Value::List(items.iter().map(value).collect()),
            Json::Object(entries) => {
                Value::Table(entries.iter().map(|(k, v)| (k.clone(), value(v))).collect())
            }
        }
    }

    #[test]
    fn texts_and_ids_are_those_of_the_second_implementation() {
        let all: Json = serde_json::from_str(include_str!("../../../tests/reference/llc/ids.json")).unwrap();
        for case in all["cases"].as_array().unwrap() {
            let value = value(&case["value"]);
            assert_eq!(canonical(&value), case["canonical"].as_str().unwrap());
            assert_eq!(id("tgt_", &value), case["target_id"].as_str().unwrap());
            assert_eq!(id("run_", &value), case["run_id"].as_str().unwrap());
        }
    }

    #[test]
    fn control_signs_are_escaped_and_others_stay() {
        assert_eq!(canonical(&Value::text("a\u{1}\n/ü\u{7f}")), "\"a\\u0001\\n/ü\u{7f}\"");
    }
}
