//! Parquet: what its foot says, then its rows.

use std::path::Path;

use crate::files::parquet::{self, Unread, Values};
use crate::files::{TomlText, key, quoted};
use crate::report::ReportError;
use crate::report::cat::{Form, Printed, csv, damaged, float};
use crate::report::table::count;

/// How others write a file that is read here.
const PLAIN: &str = "read here are flat tables with plain pages, as `ekp-export` writes them; from Python: \
                     `pyarrow.parquet.write_table(table, path, compression=\"none\", use_dictionary=False)`";

/// A table; a gap is an empty cell, in TOML a key that is not there.
pub(super) fn parquet(path: &Path, bytes: &[u8], form: Form) -> Result<Printed, ReportError> {
    let table = parquet::read(bytes).map_err(|e| match e {
        Unread::Damaged(why) => damaged(path, why),
        Unread::Beyond(why) => ReportError::Refused {
            what: format!("`{}` is Parquet that is not read here: {why}", path.display()),
            hint: PLAIN.into(),
        },
    })?;
    // What other programs keep for themselves there is long and says nothing.
    let notes: Vec<&(String, String)> =
        table.notes.iter().filter(|(key, _)| !key.starts_with("ARROW:") && key != "pandas").collect();
    let said: Vec<String> = notes.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let note =
        [vec![format!("Parquet, {}", count(table.rows, "row")), "no checksum in it".into()], said].concat();
    let names = table.columns.iter().map(|(name, _)| name.clone());
    let text = match form {
        Form::Csv => {
            let line = |k: usize| table.columns.iter().map(|(_, v)| cell(v, k).unwrap_or_default()).collect();
            csv(std::iter::once(names.collect()).chain((0..table.rows).map(line)))
        }
        Form::Toml => {
            let mut text = TomlText::default();
            text.number("rows", table.rows as i128);
            if !notes.is_empty() {
                text.table("notes");
                notes.iter().for_each(|(key, value)| {
                    text.text(key, value);
                });
            }
            for k in 0..table.rows {
                text.raw("\n[[row]]");
                for (name, values) in &table.columns {
                    if let Some(shown) = cell(values, k) {
                        let shown = if matches!(values, Values::Text(_)) { quoted(&shown) } else { shown };
                        text.raw(&format!("{} = {shown}", key(name)));
                    }
                }
            }
            text.finish()
        }
    };
    Ok(Printed { text, note: note.join("; ") })
}

/// A value as text; none for a gap.
fn cell(values: &Values, row: usize) -> Option<String> {
    match values {
        Values::Text(v) => v[row].clone(),
        Values::Int32(v) => v[row].map(|n| n.to_string()),
        Values::Int64(v) => v[row].map(|n| n.to_string()),
        Values::Double(v) => v[row].map(float),
        Values::Bool(v) => v[row].map(|b| b.to_string()),
    }
}
