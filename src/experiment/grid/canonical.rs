//! Values in a form with one spelling, for ids: keys sorted, numbers by their bits, no white space.
//!
//! `t` and `f`, `i42`, `d` and the sixteen hexadecimal digits of a double (−0 counts as 0), strings as in JSON,
//! `[a,b]`, `{"k":v,…}`. `1` and `1.0` are different values here, as they are in TOML.

use std::fmt::Write;

use crate::files::human::{Table, Value};
use crate::files::json;

/// The canonical text of a value.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

/// The canonical text of a table.
pub fn canonical_table(table: &Table) -> String {
    let mut text = String::new();
    write_table(&mut text, table);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Text(s) => json::push_string(text, s),
        Value::Integer(i) => {
            let _ = write!(text, "i{i}");
        }
        Value::Float(x) => {
            let x = if *x == 0.0 { 0.0 } else { *x };
            let _ = write!(text, "d{:016x}", x.to_bits());
        }
        Value::Bool(b) => text.push(if *b { 't' } else { 'f' }),
        Value::Datetime(d) => json::push_string(text, d),
        Value::Array(items) => {
            text.push('[');
            for (k, item) in items.iter().enumerate() {
                if k > 0 {
                    text.push(',');
                }
                write_value(text, &item.value);
            }
            text.push(']');
        }
        Value::Table(table) => write_table(text, table),
    }
}

fn write_table(text: &mut String, table: &Table) {
    let mut entries: Vec<_> = table.entries.iter().collect();
    entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    text.push('{');
    for (k, (key, _, node)) in entries.into_iter().enumerate() {
        if k > 0 {
            text.push(',');
        }
        json::push_string(text, key);
        text.push(':');
        write_value(text, &node.value);
    }
    text.push('}');
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    #[test]
    fn the_form_is_that_of_the_reference() {
        // The cases of an independent implementation (Python), written as TOML
        for (toml, expected) in [
            ("a = 1\nb = [1, 2.5, \"x\"]", r#"{"a":i1,"b":[i1,d4004000000000000,"x"]}"#),
            (
                "eps = 1e-06\nflag = true\nz = { y = 0.1, x = -3 }",
                r#"{"eps":d3eb0c6f7a0b5ed8d,"flag":t,"z":{"x":i-3,"y":d3fb999999999999a}}"#,
            ),
            (
                "zero = -0.0\nbig = 1e300\nq = 'a\"b\\c'",
                r#"{"big":d7e37e43c8800759c,"q":"a\"b\\c","zero":d0000000000000000}"#,
            ),
        ] {
            let document = Document::parse(Path::new("x.toml"), toml).unwrap();
            assert_eq!(canonical_table(&document.root), expected);
        }
    }
}
