//! One argument of the command, with `{placeholders}`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::explain::{nearest, one_of};
use crate::models::Place;

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Parameters,
    Data,
    Run,
    Iteration,
    Member,
    Seed,
    Threads,
    Try,
}

const WORDS: [(&str, Word); 8] = [
    ("parameters", Word::Parameters),
    ("data", Word::Data),
    ("run", Word::Run),
    ("iteration", Word::Iteration),
    ("member", Word::Member),
    ("seed", Word::Seed),
    ("threads", Word::Threads),
    ("try", Word::Try),
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Word(Word),
    /// Of a cell of a grid: an axis, what stands before it
    More(String),
}

/// An argument, cut at its placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    parts: Vec<Part>,
}

/// What is wrong with an argument, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadArgument {
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) hint: String,
}

impl Argument {
    /// Cut at `{word}`, a word of ours or one of `more`; `{{` and `}}` are braces.
    pub(crate) fn parse_with(text: &str, more: &[String]) -> Result<Self, BadArgument> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..at + 1];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = if brace == "{" { rest.find('}') } else { None };
            let Some(end) = end else { return Err(lonely(brace)) };
            let name = &rest[..end];
            let part = match WORDS.iter().find(|(known, _)| *known == name) {
                Some((_, word)) => Part::Word(*word),
                None if more.iter().any(|known| known == name) => Part::More(name.to_owned()),
                None => return Err(unknown(name, more)),
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self { parts })
    }

    /// The text, when it is the same for every member.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// As it was written, for a fingerprint.
    pub(crate) fn written(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Part::More(name) => format!("{{{name}}}"),
            Part::Word(word) => {
                let name = WORDS.iter().find(|(_, known)| known == word).map_or("", |(name, _)| name);
                format!("{{{name}}}")
            }
        };
        self.parts.iter().map(part).collect()
    }

    /// Does it name this?
    pub(crate) fn names(&self, word: Word) -> bool {
        self.parts.contains(&Part::Word(word))
    }

    /// With everything filled in; paths as they are, whatever their bytes.
    pub(crate) fn fill(&self, place: &Place, data: &Path) -> OsString {
        self.fill_with(place, data, &[])
    }

    /// The same for one that was read with further placeholders.
    pub(crate) fn fill_with(&self, place: &Place, data: &Path, more: &[(String, OsString)]) -> OsString {
        let mut filled = OsString::new();
        for part in &self.parts {
            let number: u64 = match part {
                Part::Text(text) => {
                    filled.push(text);
                    continue;
                }
                Part::More(name) => {
                    let found = more.iter().find(|(known, _)| known == name);
                    filled.push(found.map_or(OsStr::new(""), |(_, value)| value));
                    continue;
                }
                Part::Word(Word::Parameters) => {
                    filled.push(&place.parameters);
                    continue;
                }
                Part::Word(Word::Data) => {
                    filled.push(data);
                    continue;
                }
                Part::Word(Word::Run) => {
                    filled.push(&place.run);
                    continue;
                }
                Part::Word(Word::Iteration) => place.iteration.into(),
                Part::Word(Word::Member) => place.member.into(),
                Part::Word(Word::Seed) => place.seed,
                Part::Word(Word::Threads) => place.threads as u64,
                Part::Word(Word::Try) => place.attempt.into(),
            };
            filled.push(OsStr::new(&number.to_string()));
        }
        filled
    }
}

fn lonely(brace: &str) -> BadArgument {
    BadArgument {
        title: format!("a `{brace}` stands alone"),
        label: "braces hold the name of a placeholder".into(),
        hint: format!("for a brace that the model is to see, write `{brace}{brace}`"),
    }
}

fn unknown(name: &str, more: &[String]) -> BadArgument {
    let mut known = WORDS.map(|(known, _)| known).to_vec();
    known.extend(more.iter().map(String::as_str));
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean `{{{near}}}`?"),
        None => "for braces that the model is to see, write `{{` and `}}`".into(),
    };
    BadArgument {
        title: format!("unknown placeholder `{{{name}}}`"),
        label: format!("allowed in braces: {}", one_of(&known)),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::test_place;
    use proptest::prelude::*;

    fn fill(text: &str) -> String {
        let filled = Argument::parse_with(text, &[]).unwrap().fill(&test_place(7), Path::new("/w/out.csv"));
        filled.into_string().unwrap()
    }

    #[test]
    fn placeholders_are_filled_and_doubled_braces_are_braces() {
        assert_eq!(fill("--out={data}"), "--out=/w/out.csv");
        assert_eq!(fill("{iteration}/{member}/{try}/{threads}"), "3/7/1/1");
        assert_eq!(fill(r#"{{"a": {member}}}"#), r#"{"a": 7}"#);
        assert_eq!(fill(""), "");
        assert_eq!(fill("{seed}").parse::<u64>().unwrap(), test_place(7).seed);
    }

    #[test]
    fn an_unknown_placeholder_is_refused_with_the_nearest() {
        let bad = Argument::parse_with("{paramters}", &[]).unwrap_err();
        assert_eq!(bad.hint, "did you mean `{parameters}`?");
        assert!(Argument::parse_with("{", &[]).is_err() && Argument::parse_with("a}", &[]).is_err());
        assert!(Argument::parse_with("{é", &[]).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_escaping_is_undone(text in "\\PC*") {
            let _ = Argument::parse_with(&text, &[]);
            let escaped = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(fill(&escaped), text);
        }
    }
}
