//! Numbers that a person gave, in `observation.toml` or a file beside it, each with its place.
//!
//! Belongs here: numbers, lists and rows of them. Not here: what they mean.

use std::ops::Range;
use std::path::Path;

use super::table::{self, Table};
use crate::explain::Marked;
use crate::files::human::{Node, Section, Value};
use crate::numerics::Mat;

/// Numbers and the place each came from.
pub(super) struct Given {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Row by row
    pub(super) data: Vec<f64>,
    /// Place of each number, where they stand in the document itself
    spans: Vec<Range<usize>>,
    /// Place of the whole
    span: Range<usize>,
}

impl Given {
    /// A fault at a number of the list (row and column from 0), or at the whole where numbers have no places.
    pub(super) fn fault(
        &self,
        section: &Section<'_>,
        row: usize,
        col: usize,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Marked {
        let span = self.spans.get(row * self.cols + col.min(self.cols - 1)).unwrap_or(&self.span);
        Marked::new(section.source(), span.clone(), title, label)
    }

    /// The numbers of a single column; more of them are a fault at `key`.
    pub(super) fn one_column(&self, section: &Section<'_>, key: &str) -> Result<&[f64], Marked> {
        if self.cols == 1 {
            return Ok(&self.data);
        }
        let label = format!("found {} columns, allowed: one", self.cols);
        let fault = section.wrong(key, "one column of numbers is needed", label);
        Err(fault.hint("for csv, name it: `column = \"…\"`"))
    }

    /// As a matrix, rows × cols.
    pub(super) fn matrix(&self) -> Mat {
        Mat::from_fn(self.rows, self.cols, |i, j| self.data[i * self.cols + j])
    }
}

/// `file` and `column` of a section.
pub(super) fn from_file(section: &Section<'_>, folder: &Path) -> Result<Given, Marked> {
    let file: String = section.need("file")?;
    let column: Option<String> = section.opt("column")?;
    let span = section.node("file").map_or(0..0, |node| node.span.clone());
    let Table { rows, cols, data } =
        table::read(&folder.join(&file), column.as_deref()).map_err(|error| {
            let fault = section.wrong("file", "the file gives no numbers", error.to_string());
            match error.hint() {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        })?;
    if data.is_empty() {
        return Err(section.wrong("file", "the file gives no numbers", "it has no row of them"));
    }
    Ok(Given { rows, cols, data, spans: Vec::new(), span })
}

/// The numbers at `form` of a covariance: in place, or `{ file = "…" }`.
pub(super) fn numbers(table: &Section<'_>, form: &str, node: &Node, folder: &Path) -> Result<Given, Marked> {
    match &node.value {
        Value::Table(_) => match table.section(form)? {
            Some(inner) => {
                if inner.node("file").is_none() {
                    return Err(inner.missing("file", "a csv or npy file"));
                }
                let found = from_file(&inner, folder)?;
                inner.finish()?;
                Ok(found)
            }
            None => Err(table.missing(form, shape_of(form))),
        },
        Value::Text(name) => {
            let label = format!("found a string, allowed: {}", shape_of(form));
            let fault = table.wrong(form, format!("`{form}` has the wrong type"), label);
            Err(match name.trim().parse::<f64>() {
                Ok(_) => fault.hint(format!("write `{{ {form} = {} }}`, without quotes", name.trim())),
                Err(_) => fault.hint(format!("write `{{ {form} = {{ file = \"{name}\" }} }}`")),
            })
        }
        _ => inline(table, form, node),
    }
}

/// A number, an array, or an array of arrays.
fn inline(section: &Section<'_>, form: &str, node: &Node) -> Result<Given, Marked> {
    match (form, &node.value) {
        ("scalar", value) => match value.number() {
            Some(s) => Ok(Given {
                rows: 1,
                cols: 1,
                data: vec![s],
                spans: vec![node.span.clone()],
                span: node.span.clone(),
            }),
            None => Err(wrong_type(section, form, node)),
        },
        ("dense" | "samples" | "u" | "tall", Value::Array(rows)) => {
            let mut all = Given {
                rows: rows.len(),
                cols: 0,
                data: Vec::new(),
                spans: Vec::new(),
                span: node.span.clone(),
            };
            for (i, row) in rows.iter().enumerate() {
                let Value::Array(_) = &row.value else {
                    let label =
                        format!("found {}, allowed: rows, `[[1.0, 0.0], [0.0, 1.0]]`", row.value.kind());
                    let title = format!("`{form}` is an array of rows");
                    return Err(Marked::new(section.source(), row.span.clone(), title, label));
                };
                let part = list(section, form, row)?;
                if i > 0 && part.rows != all.cols {
                    let label = format!("this row has {}, the first one {}", part.rows, all.cols);
                    return Err(Marked::new(
                        section.source(),
                        row.span.clone(),
                        "rows differ in length",
                        label,
                    ));
                }
                all.cols = part.rows;
                all.data.extend(part.data);
                all.spans.extend(part.spans);
            }
            Ok(all)
        }
        _ => list(section, form, node),
    }
}

/// An array of numbers.
pub(super) fn list(section: &Section<'_>, key: &str, node: &Node) -> Result<Given, Marked> {
    let Value::Array(items) = &node.value else { return Err(wrong_type(section, key, node)) };
    let mut given =
        Given { rows: items.len(), cols: 1, data: Vec::new(), spans: Vec::new(), span: node.span.clone() };
    for item in items {
        let Some(x) = item.value.number() else {
            let label = format!("found {}, allowed: a number", item.value.kind());
            return Err(Marked::new(
                section.source(),
                item.span.clone(),
                format!("`{key}` holds numbers"),
                label,
            ));
        };
        given.data.push(x);
        given.spans.push(item.span.clone());
    }
    Ok(given)
}

fn wrong_type(section: &Section<'_>, key: &str, node: &Node) -> Marked {
    let allowed = if key == "y" { "an array of numbers" } else { shape_of(key) };
    let label = format!("found {}, allowed: {allowed}", node.value.kind());
    Marked::new(section.source(), node.span.clone(), format!("`{key}` has the wrong type"), label)
}

fn shape_of(form: &str) -> &'static str {
    match form {
        "scalar" => "a number",
        "diagonal" | "s" => "an array of numbers",
        _ => "an array of arrays of numbers",
    }
}
