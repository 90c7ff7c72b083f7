//! Places inside a string expression: from a byte of the decoded text to a byte of the file.
//!
//! Belongs here: a fault found while reading an expression, and its way to a marked line.
//! Not here: what is at fault.

use std::ops::Range;
use std::sync::Arc;

use crate::explain::{Marked, Source};
use crate::files::human::Node;

/// What is wrong at some bytes of an expression.
#[derive(Debug)]
pub(super) struct Fault {
    at: Range<usize>,
    title: String,
    label: String,
    hint: Option<String>,
}

impl Fault {
    /// A fault at `at` (bytes of the decoded expression): `title` says what is wrong, `label` what was
    /// found and what is allowed.
    pub(super) fn new(at: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { at, title: title.into(), label: label.into(), hint: None }
    }

    /// The same with advice.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with advice, unless it has some.
    pub(super) fn or_hint(mut self, hint: &str) -> Self {
        self.hint.get_or_insert_with(|| hint.to_owned());
        self
    }

    /// The same, marked in the file: `node` is the string whose decoded text is `text`; `table` names the
    /// parameter, since the marked line may not.
    pub(super) fn mark(self, source: &Arc<Source>, node: &Node, text: &str, table: &str) -> Marked {
        let span = in_file(source, &node.span, text, &self.at).unwrap_or(node.span.clone());
        let marked = Marked::new(source, span, format!("`[{table}]`: {}", self.title), self.label);
        match self.hint {
            Some(hint) => marked.hint(hint),
            None => marked,
        }
    }
}

/// Where the bytes `at` of the decoded `text` stand in the file; `None` when that cannot be told for
/// sure, as in a string of several lines with escapes.
fn in_file(source: &Source, span: &Range<usize>, text: &str, at: &Range<usize>) -> Option<Range<usize>> {
    let raw = source.text.get(span.clone())?;
    let offsets = offsets(raw)?;
    // One offset for each byte and one for the end: else the text was decoded in another way than here.
    if offsets.len() != text.len() + 1 {
        return None;
    }
    let start = span.start + offsets.get(at.start)?;
    let end = span.start + offsets.get(at.end)?;
    let longer = source.text.get(start..)?.chars().next().map_or(0, char::len_utf8);
    let range = start..end.max(start + longer);
    source.text.get(range.clone()).map(|_| range)
}

/// For each byte of the decoded string, and for its end, the byte of `raw` (with its quotes) it came from.
fn offsets(raw: &str) -> Option<Vec<usize>> {
    for (quote, escapes) in [("\"\"\"", true), ("'''", false)] {
        if let Some(body) = raw.strip_prefix(quote).and_then(|r| r.strip_suffix(quote)) {
            // Carriage returns and escaped line ends decode in ways not worth following.
            if body.contains('\r') || escapes && body.contains('\\') {
                return None;
            }
            let first = quote.len() + usize::from(body.starts_with('\n'));
            return Some((first..=raw.len() - quote.len()).collect());
        }
    }
    if raw.len() < 2 {
        return None;
    }
    let body = raw.get(1..raw.len() - 1)?;
    if raw.starts_with('\'') {
        return Some((1..raw.len()).collect());
    }
    let mut offsets = Vec::with_capacity(raw.len());
    let mut rest = body.char_indices();
    while let Some((at, letter)) = rest.next() {
        let mut decoded = letter.len_utf8();
        if letter == '\\' {
            let digits = match rest.next()?.1 {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            decoded = 1;
            if digits > 0 {
                let code = body.get(at + 2..at + 2 + digits)?;
                decoded = char::from_u32(u32::from_str_radix(code, 16).ok()?)?.len_utf8();
                rest.nth(digits - 1)?;
            }
        }
        let whole = letter != '\\';
        offsets.extend((0..decoded).map(|byte| 1 + at + if whole { byte } else { 0 }));
    }
    offsets.push(raw.len() - 1);
    Some(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::{Document, Value};
    use std::path::Path;

    /// Each character of the decoded string must be found at its place in the file.
    fn agrees(raw: &str) -> Option<Vec<String>> {
        let document = Document::parse(Path::new("p.toml"), &format!("# é\na = {raw}\n")).unwrap();
        let node = document.root.get("a").unwrap();
        let Value::Text(text) = &node.value else { panic!("not a string") };
        text.char_indices()
            .map(|(at, letter)| {
                let range = in_file(&document.source, &node.span, text, &(at..at + letter.len_utf8()))?;
                Some(document.source.text[range].to_owned())
            })
            .collect()
    }

    #[test]
    fn characters_are_found_in_every_kind_of_string() {
        let each = |s: &str| Some(s.chars().map(String::from).collect::<Vec<_>>());
        assert_eq!(agrees("\"aβc\""), each("aβc"));
        assert_eq!(agrees("'a\\c'"), each("a\\c"));
        assert_eq!(agrees("\"\"\"\nab\n c\"\"\""), each("ab\n c"));
        assert_eq!(agrees("'''ab'''"), each("ab"));
        let escaped = agrees("\"\\\"r\\u03b2é\\\\z\"").unwrap();
        assert_eq!(escaped, ["\\\"", "r", "\\u03b2", "é", "\\\\", "z"]);
        assert_eq!(agrees("\"\"\"a\\\n  b\"\"\""), None);
    }
}
