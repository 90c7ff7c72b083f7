//! One table of a user's file, read key by key: what is wrong is told with what is allowed.
//!
//! Belongs here: types, ranges, words, missing and unknown keys. Not here: parsing the text.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::explain::{Marked, Place, Source, nearest, one_of, plain};
use crate::files::human::{Document, Node, Table, Value};

/// A type that a node can be read as.
pub trait FromNode: Sized {
    /// What is allowed, in words: `a string`.
    const ALLOWED: &'static str;
    /// The same for an array of them.
    const ARRAY: &'static str = "an array";
    /// The value, if the node has it.
    fn from_node(node: &Node) -> Option<Self>;
    /// The entry of an array that is at fault.
    fn odd(_node: &Node) -> Option<&Node> {
        None
    }
}

impl FromNode for String {
    const ALLOWED: &'static str = "a string";
    const ARRAY: &'static str = "an array of strings";
    fn from_node(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Text(s) => Some(s.clone()),
            _ => None,
        }
    }
}
impl FromNode for bool {
    const ALLOWED: &'static str = "`true` or `false`";
    const ARRAY: &'static str = "an array of `true` and `false`";
    fn from_node(node: &Node) -> Option<Self> {
        match node.value {
            Value::Bool(b) => Some(b),
            _ => None,
        }
    }
}
impl FromNode for f64 {
    const ALLOWED: &'static str = "a number";
    const ARRAY: &'static str = "an array of numbers";
    fn from_node(node: &Node) -> Option<Self> {
        node.value.number()
    }
}
impl FromNode for i64 {
    const ALLOWED: &'static str = "an integer";
    const ARRAY: &'static str = "an array of integers";
    fn from_node(node: &Node) -> Option<Self> {
        match node.value {
            Value::Integer(i) => Some(i),
            _ => None,
        }
    }
}
impl<T: FromNode> FromNode for Vec<T> {
    const ALLOWED: &'static str = T::ARRAY;
    fn from_node(node: &Node) -> Option<Self> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            _ => None,
        }
    }
    fn odd(node: &Node) -> Option<&Node> {
        match &node.value {
            Value::Array(items) => items.iter().find(|item| T::from_node(item).is_none()),
            _ => None,
        }
    }
}

/// A list of names with the place of each, for faults that show only later.
#[derive(Debug, Clone)]
pub struct Names {
    names: Vec<(String, Place)>,
    /// The whole list
    pub place: Place,
}

impl Names {
    /// The list at `key`, if it is there.
    ///
    /// # Errors
    /// Something else than an array of strings.
    pub fn read(section: &Section<'_>, key: &str) -> Result<Option<Self>, Marked> {
        let Some(texts) = section.opt::<Vec<String>>(key)? else { return Ok(None) };
        let place = section.place(key);
        let spans = match section.node(key).map(|node| &node.value) {
            Some(Value::Array(items)) => items.iter().map(|item| item.span.clone()).collect(),
            _ => Vec::new(),
        };
        let at = |span| Place { source: Arc::clone(&place.source), span };
        let names = texts.into_iter().zip(spans.into_iter().map(at)).collect();
        Ok(Some(Self { names, place }))
    }

    /// Each name with its place, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.names.iter().map(|(name, place)| (name.as_str(), place))
    }
}

/// One table of a user's file, read key by key.
#[derive(Debug)]
pub struct Section<'a> {
    source: &'a Arc<Source>,
    name: String,
    /// One of several: `[[name]]`
    many: bool,
    table: &'a Table,
    span: Range<usize>,
    asked: RefCell<Vec<String>>,
}

impl<'a> Section<'a> {
    /// A view of `table`, called `name` (dotted, empty for the top level) in messages.
    pub fn new(source: &'a Arc<Source>, name: &str, table: &'a Table, span: Range<usize>) -> Self {
        Self { source, name: name.to_owned(), many: false, table, span, asked: RefCell::default() }
    }

    /// `[name]` as a person would look for it.
    pub fn title(&self) -> String {
        match (self.name.as_str(), self.many) {
            ("", _) => "the top level".into(),
            (name, false) => format!("`[{name}]`"),
            (name, true) => format!("`[[{name}]]`"),
        }
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
            None => Err(self.wrong_type::<T>(key, node)),
        }
    }

    /// What stands at `key` is of another type; in an array the odd entry is the place.
    fn wrong_type<T: FromNode>(&self, key: &str, node: &Node) -> Marked {
        let title = format!("`{key}` has the wrong type");
        let label = |found: &Node| format!("found {}, allowed: {}", found.value.kind(), T::ALLOWED);
        if let Some(odd) = T::odd(node) {
            return Marked::new(self.source, odd.span.clone(), title, label(odd));
        }
        let fault = Marked::new(self.source, node.span.clone(), title, label(node));
        let meant = match &node.value {
            // `"20"` and `20.0` where 20 is meant
            Value::Text(text) => text.trim().to_owned(),
            Value::Float(x) if x.fract() == 0.0 => plain(*x),
            _ => return fault,
        };
        let document = Document::parse(Path::new(""), &format!("x = {meant}\n")).ok();
        match document.as_ref().and_then(|d| d.root.get("x")).and_then(T::from_node) {
            Some(_) => fault.hint(format!("write `{key} = {meant}`")),
            None => fault,
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
            (low, high) if low == high => low.to_string(),
            (low, high) if low + 1 == high => format!("{low} or {high}"),
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
        Err(self.wrong(
            key,
            format!("`{key}` is out of range"),
            format!("found {}, allowed: {allowed}", plain(found)),
        ))
    }

    /// `schema` and `version`: which kind of file this is.
    ///
    /// # Errors
    /// Another kind, or a version that these tools do not know.
    pub fn schema(&self, expected: &'static str, known: i64) -> Result<(), Marked> {
        let add = |key: &str, line: String| {
            let title = format!("this is no `{expected}` file: `{key}` is missing");
            Marked::new(self.source, 0..0, title, format!("add `{line}` at the top"))
        };
        let line = format!("schema = \"{expected}\"");
        let found: String = self.opt("schema")?.ok_or_else(|| add("schema", line))?;
        if found != expected {
            let label = format!("found `{found}`, allowed: `{expected}`");
            return Err(self.wrong("schema", "this is another kind of file", label));
        }
        let line = format!("version = {known}");
        let version: i64 = self.opt("version")?.ok_or_else(|| add("version", line))?;
        if version != known {
            let title = format!("this file has version {version} of `{expected}`");
            let label = format!("these tools know version {known}");
            return Err(self
                .wrong("version", title, label)
                .hint("`ekp-init --version` tells how old the tools are"));
        }
        Ok(())
    }

    /// One of a few words.
    ///
    /// # Errors
    /// Another word; the nearest is offered.
    pub fn choice(&self, key: &str, allowed: &[&'static str]) -> Result<Option<&'static str>, Marked> {
        let Some(node) = self.node(key) else { return Ok(None) };
        let Value::Text(found) = &node.value else {
            let label = format!("found {}, allowed: {}", node.value.kind(), one_of(allowed));
            return Err(self.wrong(key, format!("`{key}` has the wrong type"), label));
        };
        if let Some(word) = allowed.iter().find(|a| *a == found) {
            return Ok(Some(word));
        }
        let fault = self.wrong(
            key,
            format!("`{key}` has no such choice"),
            format!("found `{found}`, allowed: {}", one_of(allowed)),
        );
        Err(match nearest(found, allowed) {
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
            other => Err(self
                .wrong(
                    key,
                    format!("`{key}` has the wrong type"),
                    format!("found {}, allowed: a table", other.kind()),
                )
                .hint(format!("write `[{}]` on a line of its own, its keys below", self.below(key)))),
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
                .hint(format!("write `[[{}]]`, with two brackets", self.below(key)))
        };
        let Value::Array(items) = &node.value else { return Err(wrong(node.value.kind())) };
        items
            .iter()
            .map(|item| match &item.value {
                Value::Table(table) => {
                    let one = Section::new(self.source, &self.below(key), table, item.span.clone());
                    Ok(Section { many: true, ..one })
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

    /// The place of the value of `key`, or the section's head.
    pub fn place(&self, key: &str) -> Place {
        let span = self.table.get(key).map_or(self.span.clone(), |node| node.span.clone());
        Place { source: Arc::clone(self.source), span }
    }

    /// The fault of a key that must be there; a key of nearly this name is the place.
    pub fn missing(&self, key: &str, allowed: &str) -> Marked {
        let title = match self.name.as_str() {
            "" => format!("`{key}` is missing"),
            _ => format!("{} lacks `{key}`", self.title()),
        };
        if let Some((found, span)) = self.misspelt(key) {
            return Marked::new(self.source, span, title, format!("found `{found}`"))
                .hint(format!("did you mean `{key}`?"));
        }
        Marked::new(self.source, self.span.clone(), title, format!("add `{key} = …` here: {allowed}"))
    }

    /// A key that nobody asked for, with nearly this name.
    pub fn misspelt(&self, key: &str) -> Option<(&'a str, Range<usize>)> {
        let asked = self.asked.borrow();
        let strange = self.table.entries.iter().filter(|(k, ..)| !asked.contains(k));
        let near = strange.filter(|(k, ..)| nearest(k, &[key]).is_some());
        near.map(|(k, span, _)| (k.as_str(), span.clone())).next()
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
            let label = match (self.name.as_str(), known.as_slice()) {
                (_, []) => format!("allowed in {}: nothing", self.title()),
                ("", known) => format!("allowed at the top level: {}", known.join(", ")),
                (_, known) => format!("allowed in {}: {}", self.title(), known.join(", ")),
            };
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
