//! Errors that help: what went wrong, where in whose file, what to do, and the exit code.
//!
//! Belongs here: the trait every error of the house implements, the exit codes, and the marked
//! line of a file that a person wrote. Not here: any concrete error of a room.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a tool tells the shell. The numbers are part of the contract with users' scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, already done, or the run is over
    Done = 0,
    /// Failed
    Failed = 1,
    /// Wrong usage, or an input file that cannot be used
    Usage = 2,
    /// Inputs are missing: come again later
    NotYet = 3,
    /// Too many members failed
    Quorum = 4,
    /// The run was cancelled
    Cancelled = 5,
}

/// An error that says what to do next and how the tool ends.
pub trait Explain: std::error::Error {
    /// The next thing to do, without full stop
    fn hint(&self) -> Option<String> {
        None
    }
    /// How the tool ends
    fn exit(&self) -> Exit {
        Exit::Failed
    }
    /// The line of a user's file that is at fault
    fn marked(&self) -> Option<&Marked> {
        None
    }
}

/// The text of a file that a person wrote, kept to point into.
#[derive(Debug)]
pub struct Source {
    /// Where it was read, as the user named it
    pub path: PathBuf,
    /// All of it
    pub text: String,
}

impl Source {
    /// A shared source.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at.min(self.text.len())].iter().filter(|&&b| b == b'\n').count()
    }
}

/// Bytes of a user's file: where a value came from, kept to point at when it turns out wrong later.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file
    pub source: Arc<Source>,
    /// Bytes in it
    pub span: Range<usize>,
}

/// Places are the same where they name the same bytes of the same file.
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.source.path == other.source.path && self.span == other.span
    }
}

impl Place {
    /// A fault here, as [`Marked::new`].
    pub fn marked(&self, title: impl Into<String>, label: impl Into<String>) -> Marked {
        Marked::new(&self.source, self.span.clone(), title, label)
    }
}

/// A fault in a user's file: exit code 2, with file, line, what was found and what is allowed.
#[derive(Debug, Clone)]
pub struct Marked {
    source: Arc<Source>,
    span: Range<usize>,
    title: String,
    label: String,
    hint: Option<String>,
}

impl Marked {
    /// A fault at `span` (bytes): `title` says what is wrong, `label` what was found and what is allowed.
    pub fn new(
        source: &Arc<Source>,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Self {
        // Whole characters, within the text: a picture of anything else would be none.
        let start = source.text.floor_char_boundary(span.start);
        let span = start..source.text.ceil_char_boundary(span.end).max(start);
        let source = Arc::clone(source);
        Self { source, span, title: title.into(), label: label.into(), hint: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The file with its text.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The bytes that are marked.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line in the file, from 1.
    pub fn line(&self) -> usize {
        self.source.line(self.span.start)
    }

    /// The text of that line.
    pub fn text(&self) -> &str {
        self.source.text.lines().nth(self.line() - 1).unwrap_or_default()
    }

    /// The same fault at another place, where that is what a person wrote.
    #[must_use]
    pub fn moved(self, place: &Place) -> Self {
        Self { source: Arc::clone(&place.source), span: place.span.clone(), ..self }
    }

    /// What is wrong.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The marked line as a picture of several lines, without the title.
    pub fn picture(&self, colour: bool) -> String {
        use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
        // As a person here would type it: a full path pushes the message off the screen.
        let here = std::env::current_dir().unwrap_or_default();
        let path = self.source.path.strip_prefix(&here).unwrap_or(&self.source.path).to_string_lossy();
        let snippet = Snippet::source(self.source.text.as_str())
            .path(path)
            .annotation(AnnotationKind::Primary.span(self.span.clone()).label(self.label.as_str()));
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let whole = renderer.render(&[Level::ERROR.primary_title("").element(snippet)]);
        // The title is printed by the caller, in the words of its tool.
        whole.split_once('\n').map_or(String::new(), |(_, rest)| rest.to_owned())
    }
}

impl fmt::Display for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path().display(), self.line(), self.title)
    }
}

impl std::error::Error for Marked {}

impl Explain for Marked {
    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
    fn exit(&self) -> Exit {
        Exit::Usage
    }
    fn marked(&self) -> Option<&Marked> {
        Some(self)
    }
}

/// An error in one line, for those who go on all the same: of a fault in a file what is wrong and what was found.
pub fn briefly<E: Explain>(error: &E) -> String {
    let line = match error.marked() {
        Some(fault) => format!("{}: {}", fault.title, fault.label),
        None => error.to_string(),
    };
    line.replace('\n', " ")
}

/// The entry of `allowed` that a person most likely meant by `found`, if any is near.
pub fn nearest<'a>(found: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let fold = |s: &str| s.to_lowercase().replace(['-', ' '], "_");
    let found = fold(found);
    let near = |a: &str| edits(&found, &fold(a));
    // `retry` means `retries`: the same beginning counts as much as few edits.
    let begins = |a: &str| found.chars().zip(fold(a).chars()).take_while(|(x, y)| x == y).count() >= 4;
    let best = allowed.iter().min_by_key(|a| near(a))?;
    (near(best) <= 1 + found.chars().count() / 3 || begins(best)).then_some(*best)
}

/// What the system says, as a part of our sentence: without its number and capital letter.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => return "no such file or folder".into(),
        io::ErrorKind::IsADirectory => return "it is a folder".into(),
        io::ErrorKind::NotADirectory => return "a part of the path is a file, not a folder".into(),
        _ => {}
    }
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next() {
        // An abbreviation keeps its capitals.
        Some(first) if !letters.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// `1 member`, `3 members`.
pub fn count(n: usize, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// A number as a person writes it in TOML: `3`, `0.1`, `1e-300`, `nan`.
pub fn plain(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.fract() == 0.0 && x.abs() < 1e15 { format!("{x}") } else { format!("{x:?}") }
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (above + 1).min(row[j] + 1).min(diagonal + usize::from(x != *y));
            diagonal = above;
        }
    }
    row[b.len()]
}

/// `a`, `b` or `c`: a list of alternatives for a person.
pub fn one_of(allowed: &[&str]) -> String {
    match allowed {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|a| format!("`{a}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marked_line_names_file_and_line_and_shows_the_place() {
        let source = Source::new("experiment.toml", "name = \"a\"\nmembers = -3\n");
        let marked = Marked::new(&source, 21..23, "`members` is too small", "found -3, at least 2");
        assert_eq!(marked.to_string(), "experiment.toml:2: `members` is too small");
        let picture = marked.picture(false);
        assert!(picture.contains("members = -3"), "{picture}");
        assert!(picture.contains("^^ found -3, at least 2"), "{picture}");
    }

    #[test]
    fn the_nearest_key_is_offered_only_when_it_is_near() {
        assert_eq!(nearest("membres", &["members", "iterations"]), Some("members"));
        assert_eq!(nearest("nan-tolerance", &["nan_tolerance", "quorum"]), Some("nan_tolerance"));
        assert_eq!(nearest("zzz", &["members", "iterations"]), None);
        assert_eq!(nearest("retry", &["lost", "nan_tolerance", "quorum", "retries"]), Some("retries"));
    }

    #[test]
    fn the_words_of_the_system_become_a_part_of_a_sentence() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ELOOP)), "too many levels of symbolic links");
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ENOENT)), "no such file or folder");
        assert_eq!([0.1, 3.0, 1e-300, f64::NAN].map(plain), ["0.1", "3", "1e-300", "nan"]);
    }
}
