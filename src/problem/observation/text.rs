//! The observation as a text that needs no other file: what a run folder keeps.
//!
//! A text that names no file stays as it is. Else each `file` gives way to its numbers, in place, so that
//! comments and order stay. Belongs here: that exchange. Not here: reading (`read`), checking.

use std::path::Path;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use super::table::{self, Table};
use crate::explain::Marked;
use crate::files::human::{self, Document};

/// The text with all numbers in it.
///
/// # Errors
/// A file cannot be read.
pub fn whole(document: &Document, folder: &Path) -> Result<String, Marked> {
    if !names_a_file(&document.root) {
        return Ok(document.source.text.clone());
    }
    let wrong = |why: String| {
        Marked::new(&document.source, 0..0, "the files of the observation cannot be taken over", why)
    };
    let mut text: DocumentMut =
        document.source.text.parse().map_err(|e: toml_edit::TomlError| wrong(e.to_string()))?;
    let mut fault = None;
    let mut each = |block: &mut dyn TableLike| {
        let done = block_in_place(block, folder);
        fault = fault.take().or(done.err());
    };
    let mut all: Vec<&mut Item> = Vec::new();
    for (key, item) in text.iter_mut() {
        match (key.get(), item) {
            ("block", item) => all.push(item),
            ("observation", Item::ArrayOfTables(observations)) => {
                all.extend(observations.iter_mut().filter_map(|table| table.get_mut("block")));
            }
            _ => {}
        }
    }
    all.into_iter().for_each(|blocks| match blocks {
        Item::ArrayOfTables(blocks) => blocks.iter_mut().for_each(|block| each(block)),
        Item::Value(Value::Array(blocks)) => {
            blocks.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|block| each(block));
        }
        _ => {}
    });
    match fault {
        Some(why) => Err(wrong(why)),
        None => Ok(text.to_string()),
    }
}

fn names_a_file(table: &human::Table) -> bool {
    fn inside(value: &human::Value) -> bool {
        match value {
            human::Value::Table(table) => names_a_file(table),
            human::Value::Array(items) => items.iter().any(|item| inside(&item.value)),
            _ => false,
        }
    }
    table.entries.iter().any(|(key, _, node)| key == "file" || inside(&node.value))
}

fn block_in_place(block: &mut dyn TableLike, folder: &Path) -> Result<(), String> {
    if let Some((table, source)) = taken(block, folder)? {
        let list = array(&table.data, "");
        block.insert("y", Item::Value(list.decorated(" ", format!("  # of {source}"))));
    }
    let Some(covariance) = block.get_mut("covariance").and_then(Item::as_table_like_mut) else {
        return Ok(());
    };
    inside(covariance, folder)
}

/// Each `{ file = "…" }` in a table gives way to its numbers, however deep it stands.
fn inside(table: &mut dyn TableLike, folder: &Path) -> Result<(), String> {
    for (form, item) in table.iter_mut() {
        let Some(inner) = item.as_table_like_mut() else { continue };
        let Some((table, _)) = taken(inner, folder)? else {
            inside(inner, folder)?;
            continue;
        };
        let value = match form.get() {
            "scalar" => number(table.data.first().copied().unwrap_or(f64::NAN)),
            "diagonal" | "s" => array(&table.data, ""),
            _ => rows(&table),
        };
        *item = Item::Value(value);
    }
    Ok(())
}

/// Take `file` and `column` out; the numbers, and what they were called.
fn taken(table: &mut dyn TableLike, folder: &Path) -> Result<Option<(Table, String)>, String> {
    let text = |item: Option<Item>| item.and_then(|i| i.as_str().map(str::to_owned));
    let Some(file) = text(table.remove("file")) else { return Ok(None) };
    let column = text(table.remove("column"));
    let found = table::read(&folder.join(&file), column.as_deref()).map_err(|e| e.to_string())?;
    let named = column.map_or(String::new(), |c| format!(", column {c}"));
    let source: String =
        format!("{file}{named}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Ok(Some((found, source)))
}

/// Shortest digits that read back to the same number; `toml_edit` itself writes 1e-300 with 300 zeros.
fn written(x: f64) -> String {
    if x.is_nan() { "nan".into() } else { format!("{x:?}") }
}

fn parsed(text: &str) -> Value {
    text.parse().expect("numbers written here are TOML")
}

fn number(x: f64) -> Value {
    parsed(&written(x))
}

/// Eight numbers to a line.
fn array(numbers: &[f64], indent: &str) -> Value {
    parsed(&flat(numbers, indent))
}

fn flat(numbers: &[f64], indent: &str) -> String {
    let lines: Vec<String> = numbers
        .chunks(8)
        .map(|part| part.iter().map(|x| written(*x)).collect::<Vec<_>>().join(", "))
        .collect();
    match lines.as_slice() {
        [] => "[]".into(),
        [only] => format!("[{only}]"),
        lines => format!("[\n{indent}  {},\n{indent}]", lines.join(&format!(",\n{indent}  "))),
    }
}

fn rows(table: &Table) -> Value {
    let each = table.data.chunks(table.cols.max(1)).map(|row| format!("  {},\n", flat(row, "  ")));
    parsed(&format!("[\n{}]", each.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Observation;

    fn document(text: &str) -> Document {
        Document::parse(Path::new("observation.toml"), text).unwrap()
    }

    #[test]
    fn a_text_without_files_stays_as_it_is() {
        let text = "schema = \"ekp.observation\" # why\nversion=1\n[[block]]\ny=[1]\ncovariance={scalar=1}\n";
        assert_eq!(whole(&document(text), Path::new("/nowhere")).unwrap(), text);
    }

    #[test]
    fn files_give_way_to_their_numbers_and_the_observation_is_the_same() {
        let dir = std::env::temp_dir().join(format!("ekp-whole-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let q: Vec<String> = (0..11)
            .map(|i| if i == 4 { String::new() } else { format!("{:?}", 1.0 / f64::from(i + 3)) })
            .collect();
        std::fs::write(dir.join("q.csv"), format!("q\n{}\n", q.join("\n").replace("\n\n", "\nNA\n")))
            .unwrap();
        std::fs::write(dir.join("v.csv"), "1e-300\n".repeat(11)).unwrap();
        std::fs::write(dir.join("c.csv"), "1.0,0.25\n0.25,2.0\n").unwrap();
        let text = "schema = \"ekp.observation\"\nversion = 1\n\n# discharge\n[[block]]\nname = \"q\"\nfile = \"q.csv\"\n\
            column = \"q\"\ncovariance = { diagonal = { file = \"v.csv\" } }  # guessed\n\n[[block]]\ny = [1, 2]\n\
            [block.covariance]\ndense.file = \"c.csv\"\n";
        let before = Observation::read(&document(text), &dir).unwrap();
        let new = whole(&document(text), &dir).unwrap();
        assert!(!new.contains("file") && new.contains("# discharge") && new.contains("# guessed"), "{new}");
        let after = Observation::read(&document(&new), Path::new("/nowhere"))
            .unwrap_or_else(|e| panic!("{e}\n{new}"));
        assert_eq!(before.y(), after.y());
        assert_eq!(before.shape(), after.shape());
        assert_eq!(before.observed(), after.observed());
        assert_eq!(before.noise().to_dense(), after.noise().to_dense());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
