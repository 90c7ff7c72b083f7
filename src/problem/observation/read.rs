//! Reading `observation.toml`: every fault points at its line.
//!
//! ```toml
//! schema  = "ekp.observation"
//! version = 1
//!
//! [[block]]
//! name = "discharge"
//! y = [3.1, nan, 2.7]                      # nan: not observed; or file = "q.csv", column = "q_mm"
//! covariance = { diagonal = [0.1, 0.1, 0.2] }  # variances; or scalar, dense; each also { file = "…" }
//! ```

use std::ops::Range;
use std::path::Path;

use super::table::{self, Table};
use super::{Block, Covariance, CovarianceError, Observation, ObservationError};
use crate::explain::{Marked, nearest, one_of, plain};
use crate::files::human::{Document, Node, Section, Value};
use crate::numerics::Mat;

/// Forms of a covariance that exist.
const FORMS: [&str; 3] = ["scalar", "diagonal", "dense"];

impl Observation {
    /// Read an observation; files it names are looked for in `folder`.
    ///
    /// # Errors
    /// The first fault, at its place in the document.
    pub fn read(document: &Document, folder: &Path) -> Result<Self, Marked> {
        let top = document.section();
        top.schema("ekp.observation", 1)?;
        let sections = top.sections("block")?;
        top.finish()?;
        if sections.is_empty() {
            return Err(top.missing("block", "at least one `[[block]]` with `y` and `covariance`"));
        }
        let parts = parts(&sections, folder)?;
        let names: Vec<String> = parts.iter().map(|(block, _)| block.name.clone()).collect();
        Self::new(parts).map_err(|error| match &error {
            ObservationError::Covariance { name, error: fault } => {
                let k = names.iter().position(|other| other == name).unwrap_or(0);
                let label = format!("allowed: {}", rule(fault, 0));
                sections[k]
                    .wrong("covariance", error.to_string(), label)
                    .hint("a covariance estimated from fewer samples than rows is singular: add a diagonal")
            }
            other => top.wrong("block", other.to_string(), "nothing to compare a model with"),
        })
    }
}

/// Each block with its covariance.
fn parts(sections: &[Section<'_>], folder: &Path) -> Result<Vec<(Block, Covariance)>, Marked> {
    let mut parts: Vec<(Block, Covariance)> = Vec::with_capacity(sections.len());
    for (k, section) in sections.iter().enumerate() {
        let taken: Vec<&str> = parts.iter().map(|(block, _)| block.name.as_str()).collect();
        let name = name(section, k, &taken)?;
        let y = y(section, folder)?;
        let covariance = covariance(section, folder, &y)?;
        section.finish()?;
        parts.push((Block { name, y }, covariance));
    }
    Ok(parts)
}

/// The block's name: given, or its number.
fn name(section: &Section<'_>, k: usize, taken: &[&str]) -> Result<String, Marked> {
    let given: Option<String> = section.opt("name")?;
    let name = given.unwrap_or_else(|| format!("block_{}", k + 1));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        let label = format!("found `{name}`, allowed: letters, digits, `_` and `-`");
        return Err(section.wrong("name", "a block's name is a key of the model's output", label));
    }
    if let Some(first) = taken.iter().position(|other| *other == name) {
        let label = format!("found `{name}`, which block {} has already", first + 1);
        return Err(section
            .wrong("name", "two blocks have one name", label)
            .hint("give each block its own `name`"));
    }
    Ok(name)
}

/// The block's values, from the file itself or one beside it.
fn y(section: &Section<'_>, folder: &Path) -> Result<Vec<f64>, Marked> {
    let given = match (section.node("y"), section.node("file")) {
        (Some(node), None) => {
            let given = list(section, "y", node)?;
            if section.node("column").is_some() {
                return Err(section.wrong("column", "`column` belongs to `file`", "there is no `file` here"));
            }
            given
        }
        (None, Some(_)) => {
            let given = from_file(section, folder)?;
            given.one_column(section, "file")?;
            given
        }
        (None, None) => return Err(section.missing("y", "an array of numbers, or `file = \"….csv\"`")),
        (Some(_), Some(_)) => {
            return Err(section.wrong(
                "file",
                "values are given twice",
                "found `y` and `file`, allowed: one of them",
            ));
        }
    };
    let key = if section.node("y").is_some() { "y" } else { "file" };
    if given.data.is_empty() {
        return Err(section.wrong(key, "a block needs at least one value", "found none"));
    }
    if let Some(i) = given.data.iter().position(|y| y.is_infinite()) {
        let label = format!(
            "row {} is {}, allowed: a number, or `nan` for not observed",
            i + 1,
            plain(given.data[i])
        );
        return Err(given.fault(section, i, 0, "an observed value is infinite", label));
    }
    Ok(given.data)
}

/// The block's covariance.
fn covariance(section: &Section<'_>, folder: &Path, y: &[f64]) -> Result<Covariance, Marked> {
    let allowed = "`{ scalar = variance }`, `{ diagonal = [variances] }` or `{ dense = [[…], …] }`";
    match section.node("covariance").map(|node| &node.value) {
        None => return Err(section.missing("covariance", allowed)),
        Some(Value::Table(_)) => {}
        Some(other) => {
            let label = format!("found {}, allowed: {allowed}", other.kind());
            let fault = section.wrong("covariance", "a covariance says which form it has", label);
            return Err(match other.number() {
                Some(s) => fault.hint(format!("write `covariance = {{ scalar = {s:?} }}`")),
                None => fault,
            });
        }
    }
    let Some(table) = section.section("covariance")? else {
        return Err(section.missing("covariance", allowed));
    };
    let known: Vec<(&str, &Node)> =
        FORMS.iter().filter_map(|form| table.node(form).map(|node| (*form, node))).collect();
    if let Some(unknown) = table.keys().find(|key| !FORMS.contains(key)) {
        let label = format!("found `{unknown}`, allowed: {}", one_of(&FORMS));
        let fault = table.wrong(unknown, "a covariance has no such form", label);
        return Err(match nearest(unknown, &FORMS) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        });
    }
    let [(form, node)] = known[..] else {
        let found = if known.is_empty() { "none".to_owned() } else { format!("{} forms", known.len()) };
        let label = format!("found {found}, allowed: one of {}", one_of(&FORMS));
        return Err(section.wrong("covariance", "a covariance has one form", label));
    };
    let given = match &node.value {
        Value::Table(_) => match table.section(form)? {
            Some(inner) => {
                if inner.node("file").is_none() {
                    return Err(inner.missing("file", "a csv or npy file"));
                }
                let found = from_file(&inner, folder)?;
                inner.finish()?;
                found
            }
            None => return Err(table.missing(form, allowed)),
        },
        Value::Text(name) => {
            let label = format!("found a string, allowed: {}", shape_of(form));
            let fault = table.wrong(form, format!("`{form}` has the wrong type"), label);
            return Err(match name.trim().parse::<f64>() {
                Ok(_) => fault.hint(format!("write `{{ {form} = {} }}`, without quotes", name.trim())),
                Err(_) => fault.hint(format!("write `{{ {form} = {{ file = \"{name}\" }} }}`")),
            });
        }
        _ => inline(&table, form, node)?,
    };
    let covariance = match form {
        "dense" => Covariance::Dense(given.matrix()),
        "diagonal" => Covariance::Diagonal(given.one_column(&table, form)?.to_vec()),
        _ if given.data.len() == 1 => Covariance::Scalar(given.data[0]),
        _ => {
            let label = format!("found {} numbers, allowed: one", given.data.len());
            return Err(table.wrong(form, "a scalar covariance is one number", label));
        }
    };
    covariance.check(y.len()).map_err(|error| {
        let (title, label) = (error.to_string(), format!("allowed: {}", rule(&error, y.len())));
        let (row, col) = match &error {
            CovarianceError::Entry { row, col, .. } | CovarianceError::Asymmetric { row, col, .. } => {
                (*row, *col)
            }
            _ => return table.wrong(form, title, label),
        };
        let fault = given.fault(&table, row - 1, col - 1, title, label);
        match error {
            CovarianceError::Entry { .. } => fault
                .hint("variances, not standard deviations; a value that was not observed is `nan` in `y`"),
            _ => fault,
        }
    })?;
    Ok(covariance)
}

fn shape_of(form: &str) -> &'static str {
    match form {
        "scalar" => "a number",
        "diagonal" => "an array of numbers",
        _ => "an array of arrays of numbers",
    }
}

fn rule(error: &CovarianceError, rows: usize) -> String {
    match error {
        CovarianceError::Length { .. } | CovarianceError::NotSquare { .. } => {
            format!("{rows} rows, as many as `y` has")
        }
        CovarianceError::Entry { row, col, .. } if row == col => "a finite number above 0".into(),
        CovarianceError::Entry { .. } => "a finite number".into(),
        CovarianceError::Asymmetric { .. } => "a symmetric matrix".into(),
        CovarianceError::NotPositiveDefinite => "a positive definite matrix, each eigenvalue above 0".into(),
    }
}

/// Numbers and the place each came from.
struct Given {
    rows: usize,
    cols: usize,
    /// Row by row
    data: Vec<f64>,
    /// Place of each number, where they stand in the document itself
    spans: Vec<Range<usize>>,
    /// Place of the whole
    span: Range<usize>,
}

impl Given {
    fn fault(
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

    fn one_column(&self, section: &Section<'_>, key: &str) -> Result<&[f64], Marked> {
        if self.cols == 1 {
            return Ok(&self.data);
        }
        let label = format!("found {} columns, allowed: one", self.cols);
        let fault = section.wrong(key, "one column of numbers is needed", label);
        Err(fault.hint("for csv, name it: `column = \"…\"`"))
    }

    fn matrix(&self) -> Mat {
        Mat::from_fn(self.rows, self.cols, |i, j| self.data[i * self.cols + j])
    }
}

/// `file` and `column` of a section.
fn from_file(section: &Section<'_>, folder: &Path) -> Result<Given, Marked> {
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
        ("dense", Value::Array(rows)) => {
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
fn list(section: &Section<'_>, key: &str, node: &Node) -> Result<Given, Marked> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    fn read(body: &str) -> Result<Observation, Marked> {
        let text = format!("schema = \"ekp.observation\"\nversion = 1\n{body}");
        let document = Document::parse(Path::new("observation.toml"), &text)?;
        Observation::read(
            &document,
            &std::env::temp_dir().join(format!("ekp-observation-{}", std::process::id())),
        )
    }

    /// A folder with files for one test process.
    fn file(name: &str, bytes: &[u8]) {
        let folder = std::env::temp_dir().join(format!("ekp-observation-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn blocks_keep_their_order_and_a_nan_is_not_observed() {
        let observation = read(
            "[[block]]\nname = \"q\"\ny = [1, nan, 3.5]\ncovariance = { diagonal = [1, 2, 3] }\n\
             [[block]]\ny = [7.0, 8.0]\ncovariance = { dense = [[2.0, 0.5], [0.5, 1.0]] }\n",
        )
        .unwrap();
        assert_eq!(observation.shape(), [("q".to_owned(), 3), ("block_2".to_owned(), 2)]);
        assert_eq!((observation.len(), observation.observed()), (5, &[0, 2, 3, 4][..]));
        assert_eq!(observation.y(), [1.0, 3.5, 7.0, 8.0]);
        let gamma = observation.noise().to_dense();
        assert!((gamma[(1, 1)] - 3.0).abs() < 1e-15, "round-off of a root and a square");
        assert_eq!((gamma[(2, 2)], gamma[(2, 3)], gamma[(0, 1)]), (2.0, 0.5, 0.0));
    }

    #[test]
    fn values_and_covariances_may_stand_in_files() {
        file("q.csv", b"# daily\nday, q_mm, gauge\n2001-01-01, 1.5, A\n2001-01-02,, A\n");
        file("v.csv", b"0.1\n0.2\n");
        file("c.npy", &crate::files::npy::write(&[2, 2], &[4.0, 1.0, 1.0, 9.0]));
        let observation = read(
            "[[block]]\nname = \"q\"\nfile = \"q.csv\"\ncolumn = \"q_mm\"\ncovariance = { diagonal = { file = \"v.csv\" } }\n\
             [[block]]\nname = \"w\"\ny = [1, 2]\ncovariance = { dense = { file = \"c.npy\" } }\n",
        )
        .unwrap();
        assert_eq!((observation.y(), observation.len()), (&[1.5, 1.0, 2.0][..], 4));
        assert_eq!(observation.noise().to_dense()[(1, 2)], 1.0);
        // A column that is not there, one that holds words, a file of two columns without `column`
        let q = |more: &str| {
            read(&format!("[[block]]\nfile = \"q.csv\"\n{more}\ncovariance = {{ scalar = 1 }}\n"))
        };
        assert!(q("column = \"q\"").unwrap_err().picture(false).contains("it has `day`, `q_mm` and `gauge`"));
        assert!(q("column = \"gauge\"").unwrap_err().picture(false).contains("line 3: `A` is not a number"));
        assert!(q("").unwrap_err().picture(false).contains("line 3: `2001-01-01` is not a number"));
        let missing = read("[[block]]\nfile = \"no.csv\"\ncovariance = { scalar = 1 }\n").unwrap_err();
        assert!(missing.picture(false).contains("no.csv"), "{}", missing.picture(false));
    }

    /// (document, line at fault, what title and picture say)
    const FAULTS: &[(&str, usize, &str)] = &[
        ("", 1, "at least one `[[block]]`"),
        ("[[block]]\ny = [1]\n", 3, "covariance"),
        ("[[block]]\ncovariance = { scalar = 1 }\n", 3, "add `y = …` here"),
        ("[[block]]\ny = []\ncovariance = { scalar = 1 }\n", 4, "at least one value"),
        ("[[block]]\ny = [1, \"2\"]\ncovariance = { scalar = 1 }\n", 4, "found a string, allowed: a number"),
        ("[[block]]\ny = [1,\n inf]\ncovariance = { scalar = 1 }\n", 5, "row 2 is inf"),
        ("[[block]]\ny = [nan]\ncovariance = { scalar = 1 }\n", 3, "no value of `y` is observed"),
        ("[[block]]\ny = [1]\ncovariance = 0.1\n", 5, "found a decimal number"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = -1 }\n", 5, "the variance of row 1 is -1"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = nan }\n", 5, "above 0"),
        ("[[block]]\ny = [1]\ncovariance = { svd = 1 }\n", 5, "`scalar`, `diagonal` or `dense`"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = 1, diagonal = [1] }\n", 5, "found 2 forms"),
        ("[[block]]\ny = [1]\ncovariance = { diagonal = \"v.csv\" }\n", 5, "found a string"),
        ("[[block]]\ny = [1, 2]\ncovariance = { diagonal = [1] }\n", 5, "2 rows, as many as `y`"),
        ("[[block]]\ny = [1, 2]\ncovariance = { diagonal = [1,\n0] }\n", 6, "the variance of row 2 is 0"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0]] }\n", 5, "1 × 2, not square"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0], [1]] }\n", 5, "rows differ in length"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0.5],\n[0.4, 1]] }\n", 6, "not symmetric"),
        (
            "[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, inf],\n[inf, 1]] }\n",
            6,
            "covariance 1 of row 2 is inf",
        ),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 2], [2, 1]] }\n", 5, "not positive definite"),
        ("[[block]]\ny = [1]\ncolour = 1\ncovariance = { scalar = 1 }\n", 5, "unknown key `colour`"),
        ("[[block]]\nname = \"a b\"\ny = [1]\ncovariance = { scalar = 1 }\n", 4, "found `a b`"),
        (
            "[[block]]\nname = \"a\"\ny = [1]\ncovariance = { scalar = 1 }\n[[block]]\nname = \"a\"\ny = [1]\ncovariance = { scalar = 1 }\n",
            8,
            "which block 1 has already",
        ),
    ];

    #[test]
    fn every_fault_is_marked_at_its_line() {
        for (body, line, says) in FAULTS {
            let fault = read(body).expect_err(body);
            let text = format!("{fault}\n{}", fault.picture(false));
            assert!(text.contains(says), "{body}\n{text}");
            assert_eq!(fault.line(), *line, "{body}\n{text}");
        }
    }

    #[test]
    fn the_hint_writes_what_was_meant() {
        let hint = |body: &str| Explain::hint(&read(body).unwrap_err()).unwrap();
        let number = hint("[[block]]\ny = [1]\ncovariance = 0.1\n");
        assert_eq!(number, "write `covariance = { scalar = 0.1 }`");
        assert_eq!(hint("[[block]]\ny = [1]\ncovariance = { diagnal = [1] }\n"), "did you mean `diagonal`?");
        let text = hint("[[block]]\ny = [1]\ncovariance = { diagonal = \"v.csv\" }\n");
        assert_eq!(text, "write `{ diagonal = { file = \"v.csv\" } }`");
    }
}
