//! `parameters.toml` of a cell: what it is, for its program and for people. Made from the index alone, so that it
//! is the same wherever the cell runs, and in every run that has the cell.

use crate::files::human::{Table, Value};
use crate::files::{Iteration, Member, TomlText, crc32, digest, key};
use crate::steps::grid::GridRun;

/// The seed of a cell: from its id, so that other cells beside it change nothing. Below 2⁶³.
pub(super) fn seed(id: &str) -> u64 {
    let hex = digest(id.as_bytes());
    u64::from_str_radix(&hex["blake3:".len()..][..16], 16).unwrap_or(0) >> 1
}

/// The text of a cell's parameters.
pub(super) fn text(run: &GridRun, stage: Iteration, cell: Member) -> String {
    let found = &run.grid.stages[stage as usize - 1];
    let id = run.id(stage, cell);
    let mut body = TomlText::comments("");
    body.text("stage", &found.name).text("cell", id).number("seed", seed(id));
    let after: Vec<String> = run
        .upstream(stage, cell)
        .iter()
        .flat_map(|(s, cells)| cells.iter().map(|&c| run.id(*s, c).to_owned()))
        .collect();
    body.texts("after", &after).table("axis");
    let spec = &found.cells[cell as usize - 1];
    let labels = || {
        found.over.iter().zip(&spec.labels).map(|(&axis, &k)| {
            let axis = &run.grid.axes[axis];
            (axis.name.as_str(), &axis.labels[k])
        })
    };
    for (axis, label) in labels() {
        match label.options() {
            Some(_) => body.text(axis, &label.name),
            None => body.raw(&format!("{} = {}", key(axis), toml(&label.node.value))),
        };
    }
    for (axis, label) in labels() {
        if let Some(table) = label.options() {
            body.table(axis);
            for (name, _, node) in &table.entries {
                body.raw(&format!("{} = {}", key(name), toml(&node.value)));
            }
        }
    }
    let body = body.finish();
    format!("# ekp parameters 1: {id}, crc32 {}\n{body}", crc32(body.as_bytes()))
}

/// A value on one line of TOML.
fn toml(value: &Value) -> String {
    match value {
        Value::Text(text) => inline(text),
        Value::Integer(i) => i.to_string(),
        Value::Float(x) if x.is_nan() => "nan".into(),
        Value::Float(x) if x.is_infinite() => if *x > 0.0 { "inf" } else { "-inf" }.into(),
        Value::Float(x) => format!("{x:?}"),
        Value::Bool(b) => b.to_string(),
        Value::Datetime(d) => d.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| toml(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(Table { entries }) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, _, node)| format!("{} = {}", key(name), toml(&node.value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
    }
}

/// A string of several lines stays on one.
fn inline(text: &str) -> String {
    toml::Value::String(text.replace('\n', "\u{0}")).to_string().replace("\\u0000", "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_several_lines_stands_on_one_and_reads_back() {
        for text in ["plain", "two\nlines \"quoted\" \\ back", ""] {
            let line = inline(text);
            assert!(!line.contains('\n'));
            let table: toml::Table = format!("x = {line}").parse().unwrap();
            assert_eq!(table["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn seeds_are_below_two_to_the_63() {
        assert!((0..100).all(|k| seed(&format!("cell_{k}")) < 1 << 63));
        assert_ne!(seed("a"), seed("b"));
    }
}
