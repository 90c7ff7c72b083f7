//! One table of a user's file, read key by key: what is wrong is told with what is allowed.
//!
//! Belongs here: types, ranges, words, missing and unknown keys. Not here: parsing the text.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

use crate::explain::{Marked, Source, nearest, one_of};
use crate::files::human::{Node, Table, Value};

/// A type that a node can be read as.
pub trait FromNode: Sized {
    /// What is allowed, in words: `a string`.
    const ALLOWED: &'static str;
    /// The value, if the node has it.
    fn from_node(node: &Node) -> Option<Self>;
}

impl FromNode for String {
    const ALLOWED: &'static str = "a string";
    fn from_node(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Text(s) => Some(s.clone()),
            _ => None,
        }
    }
}
impl FromNode for bool {
    const ALLOWED: &'static str = "`true` or `false`";
    fn from_node(node: &Node) -> Option<Self> {
        match node.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }
}
impl FromNode for f64 {
    const ALLOWED: &'static str = "a number";
    fn from_node(node: &Node) -> Option<Self> {
        node.value.number()
    }
}
impl FromNode for i64 {
    const ALLOWED: &'static str = "an integer";
    fn from_node(node: &Node) -> Option<Self> {
        match node.value {
            Value::Integer(i) => Some(i),
            _ => None,
        }
    }
}
impl<T: FromNode> FromNode for Vec<T> {
    const ALLOWED: &'static str = "an array";
    fn from_node(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            _ => None,
        }
    }
}

/// One table of a user's file, read key by key.
#[derive(Debug)]
pub struct Section<'a> {
    source: &'a Arc<Source>,
    name: String,
    table: &'a Table,
    span: Range<usize>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Section<'a> {
    /// A view of `table`, called `name` (dotted, empty for the top level) in messages.
    pub fn new(source: &'a Arc<Source>, name: &str, table: &'a Table, span: Range<usize>) -> Self {
        Self { source, name: name.to_owned(), table, span, asked: RefCell::default() }
    }

    /// `[name]` as a person would look for it.
    pub fn title(&self) -> String {
        if self.name.is_empty() { "the top level".into() } else { format!("`[{}]`", self.name) }
    }

    /// The file this came from.
    pub fn source(&self) -> &'a Arc<Source> {
        self.source
    }

    /// Keys in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.table.entries.iter().map(|(key, ..)| key.as_str())
    }

    /// The raw node of a key; counts as asked for.
    pub fn node(&self, key: &str) -> Option<&'a Node> {
        self.asked.borrow_mut().push(key.to_owned());
        self.table.get(key)
    }

    /// A value that may be absent.
    ///
    /// # Errors
    /// The key is there with another type.
    pub fn opt<T: FromNode>(&self, key: &str) -> Result<Option<T>, Marked> {
        let Some(node) = self.node(key) else { return Ok(None) };
        match T::from_node(node) {
            Some(value) => Ok(Some(value)),
            None => Err(self.wrong(
                key,
                format!("`{key}` has the wrong type"),
                format!("found {}, allowed: {}", node.value.kind(), T::ALLOWED),
            )),
        }
    }

    /// A value that must be there.
    ///
    /// # Errors
    /// The key is missing, or has another type.
    pub fn need<T: FromNode>(&self, key: &str) -> Result<T, Marked> {
        self.opt(key)?.ok_or_else(|| self.missing(key, T::ALLOWED))
    }

    /// An integer in a range.
    ///
    /// # Errors
    /// Not an integer, or outside.
    pub fn integer(&self, key: &str, allowed: std::ops::RangeInclusive<i64>) -> Result<Option<i64>, Marked> {
        let Some(found) = self.opt::<i64>(key)? else { return Ok(None) };
        if allowed.contains(&found) {
            return Ok(Some(found));
        }
        let range = match (*allowed.start(), *allowed.end()) {
            (low, i64::MAX) => format!("an integer, at least {low}"),
            (low, high) => format!("an integer from {low} to {high}"),
        };
        Err(self.wrong(key, format!("`{key}` is out of range"), format!("found {found}, allowed: {range}")))
    }

    /// A finite number for which `fits` holds; `allowed` says so in words.
    ///
    /// # Errors
    /// Not a number, or one that does not fit.
    pub fn number(
        &self,
        key: &str,
        allowed: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, Marked> {
        let Some(found) = self.opt::<f64>(key)? else { return Ok(None) };
        if found.is_finite() && fits(found) {
            return Ok(Some(found));
        }
        Err(self.wrong(key, format!("`{key}` is out of range"), format!("found {found}, allowed: {allowed}")))
    }

    /// One of a few words.
    ///
    /// # Errors
    /// Another word; the nearest is offered.
    pub fn choice(&self, key: &str, allowed: &[&'static str]) -> Result<Option<&'static str>, Marked> {
        let Some(found) = self.opt::<String>(key)? else { return Ok(None) };
        if let Some(word) = allowed.iter().find(|a| **a == found) {
            return Ok(Some(word));
        }
        let fault = self.wrong(
            key,
            format!("`{key}` has no such choice"),
            format!("found `{found}`, allowed: {}", one_of(allowed)),
        );
        Err(match nearest(&found, allowed) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        })
    }

    /// A table inside this one.
    ///
    /// # Errors
    /// The key is there, but is no table.
    pub fn section(&self, key: &str) -> Result<Option<Section<'a>>, Marked> {
        let Some(node) = self.node(key) else { return Ok(None) };
        match &node.value {
            Value::Table(table) => {
                Ok(Some(Section::new(self.source, &self.below(key), table, node.span.clone())))
            }
            other => Err(self.wrong(
                key,
                format!("`{key}` has the wrong type"),
                format!("found {}, allowed: a table", other.kind()),
            )),
        }
    }

    /// The tables of `[[key]]`, or of an array of inline tables; none when the key is absent.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn sections(&self, key: &str) -> Result<Vec<Section<'a>>, Marked> {
        let Some(node) = self.node(key) else { return Ok(Vec::new()) };
        let wrong = |kind: &str| {
            let label = format!("found {kind}, allowed: an array of tables");
            self.wrong(key, format!("`{key}` has the wrong type"), label)
        };
        let Value::Array(items) = &node.value else { return Err(wrong(node.value.kind())) };
        items
            .iter()
            .map(|item| match &item.value {
                Value::Table(table) => {
                    Ok(Section::new(self.source, &self.below(key), table, item.span.clone()))
                }
                other => Err(wrong(other.kind())),
            })
            .collect()
    }

    fn below(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// A fault at the value of `key` (at the section's head when the key is absent).
    pub fn wrong(&self, key: &str, title: impl Into<String>, label: impl Into<String>) -> Marked {
        let span = self.table.get(key).map_or(self.span.clone(), |node| node.span.clone());
        Marked::new(self.source, span, title, label)
    }

    /// The fault of a key that must be there.
    pub fn missing(&self, key: &str, allowed: &str) -> Marked {
        let label = format!("add `{key} = …` here: {allowed}");
        Marked::new(self.source, self.span.clone(), format!("{} lacks `{key}`", self.title()), label)
    }

    /// Refuse every key that nobody asked for.
    ///
    /// # Errors
    /// The first unknown key in the file, with the nearest known one.
    pub fn finish(&self) -> Result<(), Marked> {
        let asked = self.asked.borrow();
        for (key, span, _) in &self.table.entries {
            if asked.contains(key) {
                continue;
            }
            let mut known: Vec<&str> = asked.iter().map(String::as_str).collect();
            known.sort_unstable();
            known.dedup();
            let label = format!("allowed in {}: {}", self.title(), known.join(", "));
            let fault = Marked::new(self.source, span.clone(), format!("unknown key `{key}`"), label);
            return Err(match nearest(key, &known) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::files::human::Document;

    #[test]
    fn tables_keep_the_order_of_the_file_and_unknown_keys_are_refused_with_the_nearest() {
        let text = "[zeta]\na = 1\n[alpha]\nmembres = 2\n";
        let document = Document::parse(Path::new("x.toml"), text).unwrap();
        let top = document.section();
        assert_eq!(top.keys().collect::<Vec<_>>(), ["zeta", "alpha"]);
        let alpha = top.section("alpha").unwrap().unwrap();
        assert_eq!(alpha.integer("members", 2..=9).unwrap(), None);
        let fault = alpha.finish().unwrap_err();
        assert_eq!(fault.to_string(), "x.toml:4: unknown key `membres`");
        assert_eq!(crate::explain::Explain::hint(&fault).unwrap(), "did you mean `members`?");
    }
}
