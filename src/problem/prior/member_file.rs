//! A member's `parameters.toml`: the whole dictionary with this member's values in it.
//!
//! It is the model's file: what EKP.jl writes, `[name]` tables with `value` and `type`, so that Julia
//! models and ClimaParams read it unchanged. Written for each member of each iteration, hence cut into
//! pieces once: fixed text with holes for the values.
//! Belongs here: writing and reading that text. Not here: constraints, file names.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;

use super::{PriorError, ranges, row_name};
use crate::files::floats::push_float;
use crate::files::human::{Document, Node, Table, Value};

/// The text of a member's parameters with holes for its values.
#[derive(Debug, Clone)]
pub struct MemberFile {
    names: Vec<(String, usize)>,
    dim: usize,
    /// Text, and the rows of the value that follows it
    pieces: Vec<(String, Range<usize>)>,
    tail: String,
}

impl MemberFile {
    /// Cut `dictionary`; `names` are the calibrated tables with their lengths, in row order.
    pub(super) fn new(dictionary: &Table, names: &[(String, usize)]) -> Self {
        let rows: HashMap<&str, Range<usize>> = ranges(names).collect();
        let dim = names.iter().map(|(_, length)| length).sum();
        let mut file = Self { names: names.to_vec(), dim, pieces: Vec::new(), tail: String::new() };
        let mut text = String::new();
        // Keys that belong to no table must stand before the first one.
        for (key, _, node) in &dictionary.entries {
            if !matches!(node.value, Value::Table(_)) {
                entry(&mut text, key, node);
            }
        }
        for (name, _, node) in &dictionary.entries {
            let Value::Table(table) = &node.value else { continue };
            if !(text.is_empty() && file.pieces.is_empty()) {
                text.push('\n');
            }
            text.push('[');
            write_key(&mut text, name);
            text.push_str("]\n");
            let rows = rows.get(name.as_str());
            for (key, _, node) in &table.entries {
                match rows {
                    Some(rows) if key == "value" => file.hole(&mut text, rows),
                    _ => entry(&mut text, key, node),
                }
            }
            if let Some(rows) = rows {
                if table.get("value").is_none() {
                    file.hole(&mut text, rows);
                }
                if table.get("type").is_none() {
                    text.push_str("type = \"float\"\n");
                }
            }
        }
        file.tail = text;
        file
    }

    fn hole(&mut self, text: &mut String, rows: &Range<usize>) {
        text.push_str("value = ");
        self.pieces.push((std::mem::take(text), rows.clone()));
        text.push('\n');
    }

    /// The file for d physical values `theta`, in row order. `header` is its first line, a comment such as
    /// `# ekp parameters 1: …`; several lines or none are fine, too.
    ///
    /// # Errors
    /// `Length`, or `NotFinite` for the first value that is NaN or infinite.
    pub fn text(&self, header: &str, theta: &[f64]) -> Result<String, PriorError> {
        if theta.len() != self.dim {
            return Err(PriorError::Length { found: theta.len(), expected: self.dim });
        }
        if let Some(i) = theta.iter().position(|x| !x.is_finite()) {
            return Err(PriorError::NotFinite { parameter: row_name(&self.names, i), value: theta[i] });
        }
        let fixed: usize = self.pieces.iter().map(|(text, _)| text.len()).sum();
        // 17 digits, sign, point, exponent and a separator
        let mut out = String::with_capacity(header.len() + 1 + fixed + self.tail.len() + 26 * self.dim);
        out.push_str(header);
        if !header.is_empty() && !header.ends_with('\n') {
            out.push('\n');
        }
        for (text, rows) in &self.pieces {
            out.push_str(text);
            match &theta[rows.clone()] {
                [one] => push_float(&mut out, *one),
                several => {
                    separated(&mut out, '[', several, ']', |out, x| push_float(out, *x));
                }
            }
        }
        out.push_str(&self.tail);
        Ok(out)
    }

    /// The d values of `names` (with lengths, in row order) out of the text of a member's parameters, of
    /// ours, of EKP.jl's (whole dictionary) or ClimaCalibrate's (calibrated tables only).
    ///
    /// # Errors
    /// `Unreadable`, `Absent`, or `Value` for a wrong kind or length; `NotFinite`.
    pub fn read(text: &str, names: &[(String, usize)]) -> Result<Vec<f64>, PriorError> {
        let document = Document::parse(Path::new("parameters.toml"), text).map_err(|marked| {
            PriorError::Unreadable { reason: format!("line {}: {}", marked.line(), marked.title()) }
        })?;
        // Thousands of names would make a search from the top for each a square.
        let tables: HashMap<&str, &Node> =
            document.root.entries.iter().map(|(key, _, node)| (key.as_str(), node)).collect();
        let mut theta = Vec::with_capacity(names.iter().map(|(_, length)| length).sum());
        for (name, length) in names {
            let value = match tables.get(name.as_str()).map(|node| &node.value) {
                Some(Value::Table(table)) => table.get("value"),
                _ => None,
            };
            let value = &value.ok_or_else(|| PriorError::Absent { parameter: name.clone() })?.value;
            let wrong = |found: String| {
                let expected =
                    if *length == 1 { "a number".into() } else { format!("an array of {length} numbers") };
                PriorError::Value { parameter: name.clone(), found, expected }
            };
            let single = [value.number()];
            let numbers: Vec<Option<f64>> = match value {
                Value::Array(items) => items.iter().map(|item| item.value.number()).collect(),
                _ if single[0].is_some() => single.to_vec(),
                other => return Err(wrong(other.kind().into())),
            };
            if numbers.len() != *length {
                let array = matches!(value, Value::Array(_));
                return Err(wrong(if array {
                    format!("an array of {}", numbers.len())
                } else {
                    "one number".into()
                }));
            }
            for number in numbers {
                let x = number.ok_or_else(|| wrong("an array of other things".into()))?;
                if !x.is_finite() {
                    return Err(PriorError::NotFinite { parameter: row_name(names, theta.len()), value: x });
                }
                theta.push(x);
            }
        }
        Ok(theta)
    }
}

/// `key = value`
fn entry(out: &mut String, key: &str, node: &Node) {
    write_key(out, key);
    out.push_str(" = ");
    write_value(out, &node.value);
    out.push('\n');
}

fn write_key(out: &mut String, key: &str) {
    if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        out.push_str(key);
    } else {
        quoted(out, key);
    }
}

/// A value on one line: tables inside a parameter's table are written inline, so that keys keep their order.
fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Text(text) => quoted(out, text),
        Value::Integer(i) => display(out, i),
        Value::Float(x) => push_float(out, *x),
        Value::Bool(b) => display(out, b),
        Value::Datetime(text) => out.push_str(text),
        Value::Array(items) => separated(out, '[', items, ']', |out, item| write_value(out, &item.value)),
        Value::Table(table) => separated(out, '{', &table.entries, '}', |out, (key, _, node)| {
            write_key(out, key);
            out.push_str(" = ");
            write_value(out, &node.value);
        }),
    }
}

fn separated<T>(
    out: &mut String,
    open: char,
    items: &[T],
    close: char,
    mut item: impl FnMut(&mut String, &T),
) {
    out.push(open);
    for (i, each) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        item(out, each);
    }
    out.push(close);
}

fn display(out: &mut String, value: impl std::fmt::Display) {
    write!(out, "{value}").expect("writing to a string does not fail");
}

/// A basic string on one line.
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{0}'..='\u{1f}' | '\u{7f}' => display(out, format_args!("\\u{:04X}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Prior;
    use proptest::prelude::*;

    const FILE: &str = r#"
schema = "theirs" # belongs to no table

[amplitude]
prior = "constrained_gaussian(amplitude, 2, 1, 0, Inf)"
value = 2
description = """
two lines, a "quote", a \\ and a tab	here
π ≈ 3.14"""
alias = "größe"
tag = ["a", "b"]

["old name"]
value = "0.64"
since = 1979-05-27T07:32:00Z
at = 07:32:00
hex = 0xff
big = 1_000
tiny = 1e-300
void = []
limits = [-inf, nan, inf]

["old name".'deeper.still']
deep = { x = [[1, 2], [3.5, "x"]], y = true }

[profile]
prior = 'Parameterized(MvNormal(3, 1.0))'
constraint = "repeat([no_constraint()], 3)"
L2 = 1.0

[[runs]]
n = 1
[[runs]]
n = 2
"#;

    fn prior(text: &str) -> Prior {
        Prior::read(&Document::parse(Path::new("priors.toml"), text).unwrap(), None).unwrap()
    }

    fn table(text: &str) -> toml::Table {
        text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn every_value_comes_through_and_those_of_the_member_are_put_in() {
        let prior = prior(FILE);
        let theta = [0.1 + 0.2, -1e-300, 5.0, 1e22];
        let text = prior.member_file().text("# ekp parameters 1: member 7 of iteration 3", &theta).unwrap();
        assert!(text.starts_with("# ekp parameters 1: member 7 of iteration 3\nschema = \"theirs\"\n"));
        let (mut want, mut got) = (table(FILE), table(&text));
        want["amplitude"]["value"] = 0.300_000_000_000_000_04.into();
        let amplitude = want["amplitude"].as_table_mut().unwrap();
        amplitude.insert("type".into(), "float".into());
        let profile = want["profile"].as_table_mut().unwrap();
        profile.insert("value".into(), vec![-1e-300, 5.0, 1e22].into());
        profile.insert("type".into(), "float".into());
        // NaN equals nothing, itself included.
        for table in [&mut want, &mut got] {
            assert!(table["old name"]["limits"][1].as_float().unwrap().is_nan());
            table["old name"]["limits"][1] = 0.into();
        }
        assert_eq!(got, want);
        assert!(text.contains("\nvalue = [-1e-300, 5.0, 1e22]\n"), "{text}");
        assert_eq!(MemberFile::read(&text, prior.names()).unwrap(), theta);
    }

    #[test]
    fn a_file_of_calibrated_tables_only_is_read_too() {
        let names = [("b".to_owned(), 2), ("a".to_owned(), 1)];
        let text = "[a]\ntype = \"float\"\nvalue = 3\n[b]\nvalue = [1, 2.5]\n";
        assert_eq!(MemberFile::read(text, &names).unwrap(), [1.0, 2.5, 3.0]);
    }

    #[test]
    fn what_cannot_be_read_or_written_names_its_parameter() {
        let names = [("a".to_owned(), 2)];
        for (text, words) in [
            ("a = ", "the parameters cannot be read: line 1: this is not TOML"),
            ("b = 1", "the parameters lack `value` in `[a]`"),
            ("[a]\n", "the parameters lack `value` in `[a]`"),
            ("[a]\nvalue = 1.0", "`value` in `[a]` is one number, needed is an array of 2 numbers"),
            ("[a]\nvalue = true", "`value` in `[a]` is a boolean, needed is an array of 2 numbers"),
            (
                "[a]\nvalue = [1, \"x\"]",
                "`value` in `[a]` is an array of other things, needed is an array of 2 numbers",
            ),
            ("[a]\nvalue = [1.0, nan]", "`a[2]` is NaN"),
        ] {
            assert_eq!(MemberFile::read(text, &names).unwrap_err().to_string(), words);
        }
        let file = prior(FILE).member_file();
        let infinite = file.text("", &[1.0, 2.0, f64::INFINITY, 0.0]).unwrap_err();
        assert_eq!(infinite.to_string(), "`profile[2]` is inf");
        assert_eq!(file.text("", &[1.0]).unwrap_err(), PriorError::Length { found: 1, expected: 4 });
    }

    proptest! {
        #[test]
        fn any_text_and_number_come_back(text in any::<String>(), key in any::<String>(), x in proptest::num::f64::NORMAL) {
            let mut out = String::new();
            write_key(&mut out, &key);
            out.push_str(" = [");
            quoted(&mut out, &text);
            out.push_str(", ");
            push_float(&mut out, x);
            out.push(']');
            let back = table(&out);
            prop_assert_eq!(back[&key][0].as_str(), Some(text.as_str()));
            prop_assert_eq!(back[&key][1].as_float(), Some(x));
        }
    }
}
