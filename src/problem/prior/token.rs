//! Words, numbers and signs of an expression, each with its place.
//!
//! Belongs here: what a name and a numeric literal look like in Julia. Not here: how they combine.

use std::ops::Range;

use super::place::Fault;

/// More components than any ensemble could hold; a guard for the memory of a typing error.
pub(super) const MOST_COMPONENTS: usize = 100_000;

/// A numeric literal.
#[derive(Debug, Clone)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) at: Range<usize>,
    integer: bool,
}

impl Number {
    /// As a number of components.
    pub(super) fn count(&self, what: &str) -> Result<usize, Fault> {
        if self.integer && self.value >= 1.0 && self.value <= MOST_COMPONENTS as f64 {
            return Ok(self.value as usize);
        }
        let label = format!("found {}, allowed: an integer from 1 to {MOST_COMPONENTS}", self.value);
        Err(Fault::new(self.at.clone(), format!("{what} is no number of components"), label))
    }
}

/// A place in an expression, moving forward.
pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    /// Bytes read
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    /// At the beginning of a text.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The next character, space or not.
    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Go past white space.
    pub(super) fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    /// Go past white space, and past this character if it is next; whether it was.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        self.space();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// What stands here, for a person, and its place.
    pub(super) fn here(&self) -> (String, Range<usize>) {
        match self.peek() {
            None => ("the end".into(), self.at..self.at),
            Some(first) => {
                let word: String = self.rest().chars().take_while(|c| c.is_alphanumeric()).take(20).collect();
                let word = if word.is_empty() { first.to_string() } else { word };
                (format!("`{}`", word.escape_debug()), self.at..self.at + word.len())
            }
        }
    }

    /// This character must be next; `why` says where it belongs, as in "after the list".
    pub(super) fn expect(&mut self, wanted: char, why: &str) -> Result<(), Fault> {
        if self.eat(wanted) { Ok(()) } else { Err(self.lacks(&format!("`{wanted}` is missing {why}"))) }
    }

    /// Something must stand here, and does not.
    pub(super) fn lacks(&self, title: &str) -> Fault {
        let (found, at) = self.here();
        let fault = Fault::new(at, title, format!("found {found}"));
        match self.peek() {
            Some('+' | '-' | '*' | '/' | '^' | '%' | '÷') => {
                fault.hint("nothing is evaluated here: write the result as a number")
            }
            _ => fault,
        }
    }

    /// Nothing but white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() {
            return Ok(());
        }
        let label = format!("found {}", self.here().0);
        Err(Fault::new(self.at..self.text.len(), "there is more than one expression", label))
    }

    /// A name and its place; `what` is how a fault calls it.
    pub(super) fn name(&mut self, what: &str) -> Result<(&'a str, Range<usize>), Fault> {
        self.space();
        let start = self.at;
        let length = name_length(self.rest());
        if length == 0 {
            let (found, at) = self.here();
            return Err(Fault::new(
                at,
                format!("{what} is missing"),
                format!("found {found}, allowed: a name"),
            ));
        }
        self.at += length;
        Ok((&self.text[start..self.at], start..self.at))
    }

    /// A numeric literal; with `bound` also `Inf`.
    pub(super) fn number(&mut self, bound: bool) -> Result<Number, Fault> {
        self.space();
        let start = self.at;
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['-', '+']));
        let negative = rest.starts_with('-');
        let unsigned = &rest[sign..];
        let word = &unsigned[..name_length(unsigned)];
        let (value, length, integer) = match word {
            "Inf" if bound => (f64::INFINITY, word.len(), false),
            "pi" | "π" => (std::f64::consts::PI, word.len(), false),
            _ => literal(unsigned).ok_or_else(|| self.no_number(bound))?,
        };
        self.at += sign + length;
        let at = start..self.at;
        let belongs = |c: &char| c.is_alphanumeric() || *c == '_' || *c == '.';
        if self.peek().is_some_and(|c| belongs(&c)) {
            let end = self.at + self.rest().chars().take_while(belongs).map(char::len_utf8).sum::<usize>();
            let label = format!("found `{}`, allowed: one literal", &self.text[start..end]);
            return Err(Fault::new(start..end, "this is not a number", label));
        }
        if value.is_infinite() && word != "Inf" {
            return Err(Fault::new(at, "this number is too large", "at most 1.8e308"));
        }
        Ok(Number { value: if negative { -value } else { value }, at, integer })
    }

    fn no_number(&self, bound: bool) -> Fault {
        let sign = usize::from(self.rest().starts_with(['-', '+']));
        let word: String = self.rest()[sign..].chars().take_while(|c| c.is_alphanumeric()).take(20).collect();
        let (found, at) = match word.as_str() {
            "" => self.here(),
            word => {
                let end = self.at + sign + word.len();
                (format!("`{}`", &self.text[self.at..end]), self.at..end)
            }
        };
        let allowed = if bound { "a number, `Inf` or `-Inf`" } else { "a finite number" };
        let title = if word.is_empty() { "a number is missing" } else { "this is no number" };
        let fault = Fault::new(at, title, format!("found {found}, allowed: {allowed}"));
        match (word.to_lowercase().as_str(), self.peek()) {
            ("inf" | "infinity", _) if bound => fault.hint("infinity is written `Inf`"),
            ("inf" | "infinity" | "nan", _) => fault,
            (_, Some('−' | '–' | '—')) => fault.hint("this dash is none of ASCII: write `-`"),
            (_, Some(c)) if c.is_alphabetic() => {
                fault.hint("nothing is evaluated here: write the value as a number")
            }
            _ => fault,
        }
    }
}

/// Bytes of the Julia identifier at the start of `text`, 0 if there is none.
fn name_length(text: &str) -> usize {
    let fits = |(i, c): &(usize, char)| {
        c.is_alphabetic()
            || *c == '_'
            || (*i > 0 && (c.is_numeric() || *c == '!'))
            || !(c.is_ascii() || c.is_whitespace() || c.is_control())
    };
    text.char_indices().take_while(fits).map(|(_, c)| c.len_utf8()).sum()
}

/// The unsigned numeric literal at the start of `text`: value, bytes, and whether it is an integer.
fn literal(text: &str) -> Option<(f64, usize, bool)> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let mut to = from;
        // `1_000`: an underscore stands between two digits.
        while bytes.get(to).is_some_and(|b| {
            b.is_ascii_digit() || *b == b'_' && to > from && bytes.get(to + 1).is_some_and(u8::is_ascii_digit)
        }) {
            to += 1;
        }
        to
    };
    let whole = digits(0);
    let mut end = whole;
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
        if end == 1 {
            return None;
        }
    }
    if end == 0 {
        return None;
    }
    let mut single = false;
    if let Some(b'e' | b'E' | b'f') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let last = digits(end + 1 + sign);
        if last > end + 1 + sign {
            single = bytes[end] == b'f';
            end = last;
        }
    }
    let plain = text[..end].replace('_', "").replace('f', "e");
    // `0.1f0` is a Julia Float32: the double nearest to the single, as Julia converts it.
    let value = if single { plain.parse::<f32>().ok().map(f64::from) } else { plain.parse::<f64>().ok() };
    value.map(|value| (value, end, end == whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Result<f64, Fault> {
        let mut reader = Reader::new(text);
        let number = reader.number(true)?;
        reader.end()?;
        Ok(number.value)
    }

    #[test]
    fn numbers_are_read_as_julia_writes_them() {
        for (text, value) in [
            ("0", 0.0),
            ("-5", -5.0),
            ("+5", 5.0),
            ("1e-3", 1e-3),
            ("6.626e-34", 6.626e-34),
            ("1f0", 1.0),
            ("0.1f0", f64::from(0.1f32)),
            ("1.", 1.0),
            (".5", 0.5),
            ("1_000.5", 1000.5),
            ("-Inf", f64::NEG_INFINITY),
            ("pi", std::f64::consts::PI),
        ] {
            assert_eq!(number(text).unwrap(), value, "{text}");
        }
        for text in
            ["", ".", "-", "- 5", "e5", "1.2.3", "2pi", "0x10", "1__0", "1_", "NaN", "1e999", "1/3", "a"]
        {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
