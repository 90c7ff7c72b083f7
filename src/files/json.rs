//! Texts in the canonical form of JSON that names of cells and targets are digests of.

use std::fmt::Write as _;

/// Append a text in quotes, with the escapes that RFC 8785 has.
pub fn push_string(text: &mut String, s: &str) {
    text.push('"');
    for c in s.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\r' => text.push_str("\\r"),
            c if (c as u32) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", c as u32);
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_escape_reads_back_as_what_was_written() {
        let all: String = (0..0x100).filter_map(char::from_u32).chain("\u{2028}\u{1f30d}".chars()).collect();
        let mut text = String::new();
        push_string(&mut text, &all);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), all);
        let mut text = String::new();
        push_string(&mut text, "a\"\\\u{1}\n");
        assert_eq!(text, r#""a\"\\\u0001\n""#);
    }
}
