//! `[[axis]]`: a name and its labels, each with a value or a table of options.
//!
//! ```text
//!   values = ["a", "b"]            scalars; the label is how the value is written
//!   range = [1, 10]                whole numbers, both ends included
//!   linspace = [0.0, 1.0, 5]       logspace = [-3, 3, 7]   (exponents of ten)
//!   [axis.options.hmc]             a table of options for each label
//! ```

use crate::explain::{Marked, Place, plain};
use crate::files::human::{Node, Section, Table, Value};

/// Most labels of one axis.
const MOST: usize = 1_000_000;
/// Ways to say what the labels are.
const WAYS: [&str; 5] = ["values", "range", "linspace", "logspace", "options"];

/// An axis of a grid.
#[derive(Debug, Clone)]
pub struct Axis {
    /// Its name
    pub name: String,
    /// Its labels, in order
    pub labels: Vec<Label>,
    /// Where its name stands
    pub place: Place,
}

/// One label of an axis.
#[derive(Debug, Clone)]
pub struct Label {
    /// How people call it
    pub name: String,
    /// A scalar, or a table of options
    pub node: Node,
}

impl Label {
    /// Its options, where it has a table of them.
    pub fn options(&self) -> Option<&Table> {
        match &self.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }
}

impl Axis {
    /// Read one `[[axis]]`.
    ///
    /// # Errors
    /// No name, no labels or two ways to say them, a value that is no scalar, a label that is there twice.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let name: String = section.need("name")?;
        if !is_name(&name) {
            let label = format!("found `{name}`, allowed: letters, digits and `_`, a letter first");
            return Err(section.wrong("name", "an axis cannot have this name", label));
        }
        let given: Vec<&str> = WAYS.iter().copied().filter(|way| section.keys().any(|k| k == *way)).collect();
        let labels = match given.as_slice() {
            [] => return Err(section.missing("values", "an array, as in `values = [1, 2, 3]`")),
            ["values"] => values(section)?,
            ["options"] => options(section)?,
            [way] => numbers(section, way)?,
            [first, second, ..] => {
                let label = format!("`{first}` says already what the labels are");
                return Err(section.wrong(second, "an axis has one list of labels", label));
            }
        };
        if labels.is_empty() || labels.len() > MOST {
            let label = format!("found {}, allowed: 1 to {MOST}", labels.len());
            return Err(section.wrong(given[0], "an axis needs labels", label));
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = labels.iter().find(|label| !seen.insert(label.name.as_str())) {
            let title = format!("axis `{name}` has the label `{}` twice", twice.name);
            let label = "each label is one cell: the same work is never done twice";
            return Err(Marked::new(section.source(), twice.node.span.clone(), title, label));
        }
        section.finish()?;
        Ok(Self { name, labels, place: section.place("name") })
    }

    /// Names that a command may use: the axis itself, and keys that all labels have with a scalar.
    pub fn holes(&self) -> Vec<String> {
        let of = |label: &Label| -> Vec<String> {
            label
                .options()
                .map(|table| scalars("", table).into_iter().map(|(k, _)| k).collect())
                .unwrap_or_default()
        };
        let mut shared = self.labels.first().map(of).unwrap_or_default();
        for label in &self.labels[1..] {
            let own = of(label);
            shared.retain(|key| own.contains(key));
        }
        let keys = shared.into_iter().map(|key| format!("{}.{key}", self.name));
        std::iter::once(self.name.clone()).chain(keys).collect()
    }
}

/// Scalars of a table, by dotted keys.
pub(crate) fn scalars(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (key, _, node) in &table.entries {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match &node.value {
            Value::Table(inner) => all.extend(scalars(&name, inner)),
            Value::Array(_) => {}
            scalar => all.push((name, scalar.clone())),
        }
    }
    all
}

/// A scalar as a person writes it.
pub(crate) fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::Text(text) => text.clone(),
        Value::Integer(i) => i.to_string(),
        Value::Float(x) => plain(*x),
        Value::Bool(b) => b.to_string(),
        Value::Datetime(d) => d.clone(),
        Value::Array(_) | Value::Table(_) => return None,
    })
}

/// A name that can stand in a file name, a job name, a placeholder and a variable.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn values(section: &Section<'_>) -> Result<Vec<Label>, Marked> {
    let Some(Node { value: Value::Array(items), .. }) = section.node("values") else {
        let label = "allowed: an array of strings, numbers, or `true` and `false`";
        return Err(section.wrong("values", "`values` has the wrong type", label));
    };
    let one = |item: &Node| {
        let name = shown(&item.value).ok_or_else(|| {
            let label =
                format!("found {}, allowed: a string, a number, `true` or `false`", item.value.kind());
            Marked::new(section.source(), item.span.clone(), "a value is a scalar", label)
                .hint("tables of options stand in `[axis.options.LABEL]`")
        })?;
        if name.is_empty() || name.contains(char::is_control) {
            let label = "allowed: a text of one line that is not empty";
            return Err(Marked::new(section.source(), item.span.clone(), "this is no label", label));
        }
        Ok(Label { name, node: item.clone() })
    };
    items.iter().map(one).collect()
}

fn options(section: &Section<'_>) -> Result<Vec<Label>, Marked> {
    let Some(tables) = section.section("options")? else { return Ok(Vec::new()) };
    let mut labels = Vec::new();
    for key in tables.keys() {
        let node = tables.node(key).expect("a key of this table");
        if !matches!(node.value, Value::Table(_)) {
            let label = format!("found {}, allowed: a table of options", node.value.kind());
            return Err(tables.wrong(key, format!("label `{key}` has no options"), label));
        }
        labels.push(Label { name: key.to_owned(), node: node.clone() });
    }
    Ok(labels)
}

fn numbers(section: &Section<'_>, way: &str) -> Result<Vec<Label>, Marked> {
    let span = section.place(way).span;
    let wrong = |allowed: &str| {
        section.wrong(way, format!("`{way}` is no list of labels"), format!("allowed: {allowed}"))
    };
    let label = |value: Value| {
        let name = shown(&value).expect("numbers are scalars");
        Label { name, node: Node { value, span: span.clone() } }
    };
    if way == "range" {
        let ends: Vec<i64> = section.need("range")?;
        let allowed = "two whole numbers, the smaller first, as in `range = [1, 10]`";
        let &[first, last] = ends.as_slice() else { return Err(wrong(allowed)) };
        if first > last || last.abs_diff(first) >= MOST as u64 {
            return Err(wrong(allowed));
        }
        return Ok((first..=last).map(|i| label(Value::Integer(i))).collect());
    }
    let given: Vec<f64> = section.need(way)?;
    let allowed = "two ends and how many, as in `linspace = [0.0, 1.0, 5]`";
    let &[from, to, count] = given.as_slice() else { return Err(wrong(allowed)) };
    let fits =
        from.is_finite() && to.is_finite() && count.fract() == 0.0 && (2.0..=MOST as f64).contains(&count);
    if !fits {
        return Err(wrong(allowed));
    }
    let n = count as usize;
    let at = |k: usize| {
        let x = if k + 1 == n { to } else { from + (to - from) * k as f64 / (n - 1) as f64 };
        if way == "logspace" { 10f64.powf(x) } else { x }
    };
    Ok((0..n).map(|k| label(Value::Float(at(k)))).collect())
}
