//! Long arrays of numbers in a person's file: read fast, and kept from the general parser.
//!
//! An observation of 10⁵ numbers is one array, and a general parser takes 50 times as long for it as its digits do. So
//! a file's long plain arrays are read first, and blanks are put in their place: the general parser sees an empty
//! array, and every other thing at the place where it stands in the file. A covariance is many such arrays, its rows.
//! Belongs here: finding those arrays. Not here: the rest of the file.

use std::cell::RefCell;
use std::ops::Range;

use crate::files::floats;
use crate::files::human::{Node, Value};

/// A shorter array is quick in any way.
const LONG: usize = 64;

/// The long arrays of a text.
#[derive(Debug, Default)]
pub(super) struct Long {
    /// Place of each `[`, and its numbers
    arrays: Vec<(usize, RefCell<Vec<Node>>)>,
    /// The text with blanks in place of their items; none when there is no long array
    pub(super) rest: Option<String>,
}

impl Long {
    /// Find them. Where quotes of three begin nothing is sought any more: what follows may be text.
    pub(super) fn find(text: &str) -> Self {
        let mut long = Self::default();
        let bytes = text.as_bytes();
        if bytes.len() < 2 * LONG {
            return long;
        }
        let (mut at, mut rest) = (0, Vec::new());
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'#' => at += bytes[at..].iter().position(|b| *b == b'\n').unwrap_or(bytes.len() - at),
                b'"' | b'\'' => {
                    if bytes[at..].starts_with(&[byte; 3]) {
                        break;
                    }
                    let Some(end) = closing(bytes, at) else { break };
                    at = end;
                }
                // Outside of texts and comments only arrays and names of tables begin so, and no name holds a comma.
                b'[' => {
                    if let Some((items, end)) =
                        numbers(bytes, at + 1).filter(|(items, _)| items.len() >= LONG)
                    {
                        if rest.is_empty() {
                            rest = bytes.to_vec();
                        }
                        // Items are ASCII: blanks in their place keep the text whole, line feeds keep its lines.
                        let inside = rest[at + 1..end - 1].iter_mut();
                        inside.filter(|b| **b != b'\n').for_each(|b| *b = b' ');
                        long.arrays.push((at, RefCell::new(items)));
                        at = end - 1;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if !rest.is_empty() {
            long.rest = Some(String::from_utf8(rest).expect("ASCII was replaced by ASCII"));
        }
        long
    }

    /// The numbers of the array whose `[` stands at `open`, handed out once.
    pub(super) fn at(&self, open: usize) -> Option<Vec<Node>> {
        let found = self.arrays.binary_search_by_key(&open, |(place, _)| *place).ok()?;
        Some(self.arrays[found].1.take())
    }
}

/// What a text says, whatever its comments, order and blanks: the general parser's own writing of its tables, the same
/// bytes in a twentieth of the time where arrays are long. A text that is not TOML stays as it is.
pub fn canonical(text: &str) -> String {
    let general = |text: &str| text.parse::<toml::Table>().ok().map(|table| table.to_string());
    in_pieces(text, general).or_else(|| general(text)).unwrap_or_else(|| text.to_owned())
}

/// Long arrays are set aside, and come back where the text that stood for them comes out; none where there are none, or
/// something in them may be written in another way.
fn in_pieces(text: &str, general: impl Fn(&str) -> Option<String>) -> Option<String> {
    const MARK: &str = "@long-array@";
    if text.contains(MARK) {
        return None;
    }
    let long = Long::find(text);
    let rest = long.rest.as_deref()?;
    let (mut short, mut from) = (String::new(), 0);
    for (k, (open, _)) in long.arrays.iter().enumerate() {
        short.push_str(&rest[from..=*open]);
        short.push_str(&format!("\"{MARK}{k}\""));
        from = open + 1;
    }
    short.push_str(&rest[from..]);
    drop(long.rest);
    let short = general(&short)?;
    let mut whole = String::with_capacity(text.len());
    let quoted = format!("\"{MARK}");
    let mut pieces = short.split(&quoted);
    whole.push_str(pieces.next()?);
    for piece in pieces {
        let (k, after) = piece.split_once('"')?;
        let items = long.arrays.get(k.parse::<usize>().ok()?)?.1.take();
        for (n, Node { value, span }) in items.iter().enumerate() {
            if n > 0 {
                whole.push_str(", ");
            }
            match value {
                Value::Integer(x) => whole.push_str(&x.to_string()),
                Value::Float(x) if text[span.clone()].contains(['.', 'e', 'E']) && x.is_finite() => {
                    whole.push_str(&decimal(*x));
                }
                _ => return None,
            }
        }
        whole.push_str(after);
    }
    Some(whole)
}

/// A finite number as the general writer writes it: all digits, no exponent.
fn decimal(x: f64) -> String {
    if x == 0.0 || x % 1.0 == 0.0 { format!("{x}.0") } else { format!("{x}") }
}

/// The last sign of a string that begins at `at`, if it ends on its line.
fn closing(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at + 1;
    loop {
        match *bytes.get(end)? {
            b'\n' => return None,
            b'\\' if bytes[at] == b'"' => end += 1,
            b if b == bytes[at] => return Some(end),
            _ => {}
        }
        end += 1;
    }
}

/// The items of an array from behind its `[`, and the place behind its `]`; none when one of them is odd.
fn numbers(bytes: &[u8], mut at: usize) -> Option<(Vec<Node>, usize)> {
    let mut items = Vec::new();
    loop {
        at = floats::blank(bytes, at);
        if bytes.get(at) == Some(&b']') {
            return Some((items, at + 1));
        }
        let (number, end) = floats::number(bytes, at)?;
        let span: Range<usize> = at..end;
        let whole = bytes[span.clone()].iter().all(|b| b.is_ascii_digit() || *b == b'-');
        // An integer stays one: messages name the kind of what they find.
        let value = if whole {
            Value::Integer(std::str::from_utf8(&bytes[span.clone()]).ok()?.parse().ok()?)
        } else {
            Value::Float(number)
        };
        items.push(Node { value, span });
        at = floats::blank(bytes, end);
        match bytes.get(at)? {
            b',' => at += 1,
            b']' => return Some((items, at + 1)),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    fn long(k: usize) -> String {
        (0..k).map(|i| if i % 7 == 3 { format!("{i},\n ") } else { format!("{}.25e-3, ", i) }).collect()
    }

    fn shown(node: &Node) -> String {
        format!("{node:?}")
    }

    #[test]
    fn long_arrays_are_what_the_general_parser_makes_of_them_places_and_all() {
        let numbers = long(200);
        let text = format!(
            "# y = [1\na = \"y = [\"\nq = 'it''\"\"'\n[[block]]\ny = [{numbers}]\ncovariance = {{ diagonal = [{numbers}], k = 1 }}\n\
             small = [1, 2]\nnested = [[{numbers}]]\nodd = [{numbers} 0x1]\nend = [{numbers}nan]\n"
        )
        .replace("'it''\"\"'", "'it\"'");
        let found = Long::find(&text);
        assert_eq!(found.arrays.len(), 4);
        let with = Document::parse(Path::new("x"), &text).unwrap();
        // With a comment in them they are not plain, and take the other way.
        let slow = text.replace(&numbers, &format!("{} 1,#\n", &numbers));
        assert!(Long::find(&slow).arrays.is_empty());
        let general = Document::parse(Path::new("x"), &slow).unwrap();
        for path in ["y", "nested", "odd"] {
            let of = |d: &Document| {
                let blocks = d.root.get("block").unwrap();
                let Value::Array(blocks) = &blocks.value else { panic!() };
                let Value::Table(block) = &blocks[0].value else { panic!() };
                let Value::Array(items) = block.get(path).unwrap().value.clone() else { panic!() };
                items
            };
            let (with, general) = (of(&with), of(&general));
            if path == "y" {
                assert_eq!((with.len(), general.len()), (200, 201));
                let start = text.find("y = [0").unwrap() + 5;
                assert_eq!(with[0].span.start, start);
                let same = |a: &Node, b: &Node| {
                    shown(&a.clone()).split("span").next() == shown(b).split("span").next()
                };
                assert!(with.iter().zip(&general).all(|(a, b)| same(a, b)));
            }
        }
    }

    #[test]
    fn canonical_text_is_that_of_the_general_parser() {
        let numbers = long(200);
        let odd = "-0.0, 0.0, 1e300, -2.5e-310, 1E5, 123456789.125, -7, 0, 5e-324, 0.1";
        let texts = [
            format!(
                "# c\nz = [{numbers}]\na = \"x\"\n[[block]]\ny = [{numbers}{odd}]\nm = [[{numbers}], [{numbers} 1]]\n"
            ),
            format!("b = {{ diagonal = [\n{numbers}], k = 1 }}\ns = [1, 2]\n[t.u]\nv = 'q'\n"),
            format!("y = [{numbers} +1.5]\nx = [{numbers} +3]\n"),
            format!("y = [{numbers} nan]\nx = [{numbers} inf, -inf]\n"),
            format!("y = [{numbers}]\nw = '@long-array@0'\n"),
            format!("y = [{numbers}]\ny = 1\n"),
            "not = = toml".into(),
            "short = [1.0, 2]\n".into(),
        ];
        for text in texts {
            let general =
                text.parse::<toml::Table>().map_or_else(|_| text.clone(), |table| table.to_string());
            assert!(canonical(&text) == general, "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_an_array_is_left_alone() {
        let numbers = long(100);
        let inside = format!("a = \"\"\"\ny = [{numbers}]\n\"\"\"\n");
        assert!(Long::find(&inside).rest.is_none());
        assert!(Long::find(&format!("# y = [{numbers}]\n").replace('\n', " ")).rest.is_none());
        assert!(Long::find(&format!("y = [{numbers}")).rest.is_none());
        assert!(Document::parse(Path::new("x"), &format!("y = [{numbers}] 1\n")).is_err());
        assert!(Document::parse(Path::new("x"), &format!("y = [{numbers}]]\n")).is_err());
    }
}
