//! Input files of a model with `{{holes}}` for parameters.
//!
//! `{{name}}` is printed in the shortest form that reads back to the same double, `{{name:12.5e}}` as C
//! would, `{{name[2]}}` is a component, from 1. A hole is on one line; its name may have spaces around it.
//! The rest of the file is copied byte by byte, whatever its encoding.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::explain::{Marked, Source, nearest, one_of, reason};
use crate::models::external::printf::Format;

/// A template, cut at its holes.
#[derive(Debug)]
pub(crate) struct Template {
    /// Where the filled file goes, below the working folder
    pub(crate) to: PathBuf,
    path: PathBuf,
    bytes: Vec<u8>,
    /// What stands between the braces
    holes: Vec<Range<usize>>,
    /// Permissions of the template: a filled script stays executable
    mode: u32,
}

/// A hole that knows its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Row of θ
    pub(crate) row: usize,
    format: Option<Format>,
}

/// A template that cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BadTemplate {
    #[error("cannot read template `{path}`: {error}")]
    Read { path: PathBuf, error: String },
    #[error(transparent)]
    Marked(Marked),
}

impl Template {
    /// Read a template and find its holes; `to` is where its filled copy goes in the working folder.
    pub(crate) fn load(from: &Path, to: &Path) -> Result<Self, BadTemplate> {
        let fail = |error: io::Error| BadTemplate::Read { path: from.to_owned(), error: reason(&error) };
        let bytes = fs::read(from).map_err(fail)?;
        let mode = fs::metadata(from).map_err(fail)?.permissions().mode() & 0o777;
        // The user must be able to write what is copied from a read-only original.
        let mut template =
            Self { to: to.to_owned(), path: from.to_owned(), bytes, holes: Vec::new(), mode: mode | 0o200 };
        template.holes = template
            .cut()
            .map_err(|(at, title, label)| BadTemplate::Marked(template.mark(at, title, label)))?;
        Ok(template)
    }

    /// Places of what stands in double braces.
    fn cut(&self) -> Result<Vec<Range<usize>>, (Range<usize>, String, String)> {
        let (bytes, mut holes, mut at) = (&self.bytes, Vec::new(), 0);
        while let Some(open) = find(bytes, at, b"{{") {
            // `{{{a}}}` is a hole in braces: the two inner ones count.
            let mut start = open + 2;
            while bytes.get(start) == Some(&b'{') {
                start += 1;
            }
            let line_end = find(bytes, start, b"\n").unwrap_or(bytes.len());
            let Some(end) = find(bytes, start, b"}}").filter(|&end| end <= line_end) else {
                let label = "no `}}` follows on this line".to_owned();
                return Err((open..start, "a hole is never closed".into(), label));
            };
            holes.push(start..end);
            at = end + 2;
        }
        Ok(holes)
    }

    /// Find the parameter of each hole.
    pub(crate) fn bind(&self, names: &[(String, usize)]) -> Result<Vec<Bound>, Marked> {
        let mut rows = HashMap::with_capacity(names.len());
        let mut row = 0;
        for (name, length) in names {
            rows.insert(name.as_str(), (row, *length));
            row += length;
        }
        self.holes.iter().map(|hole| self.bound(hole.clone(), &rows, names)).collect()
    }

    fn bound(
        &self,
        hole: Range<usize>,
        rows: &HashMap<&str, (usize, usize)>,
        names: &[(String, usize)],
    ) -> Result<Bound, Marked> {
        let text = String::from_utf8_lossy(&self.bytes[hole.clone()]);
        let text = text.trim();
        let fault = |title: String, label: String| self.mark(hole.clone(), title, label);
        // A name may itself hold a colon or a bracket: the whole text is tried first.
        let (name, index, format) = if rows.contains_key(text) {
            (text, None, None)
        } else {
            let (name, format) = match text.rsplit_once(':') {
                Some((name, format)) => (name.trim_end(), Some(format.trim_start())),
                None => (text, None),
            };
            let format = format.map(Format::parse).transpose();
            let format = format.map_err(|allowed| fault(format!("`{text}` has no format of C"), allowed))?;
            match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
                Some((head, index)) if !rows.contains_key(name) => {
                    (head.trim_end(), Some(index.trim()), format)
                }
                _ => (name, None, format),
            }
        };
        let Some(&(row, length)) = rows.get(name) else {
            let known: Vec<&str> = names.iter().map(|(name, _)| name.as_str()).collect();
            let label = format!("calibrated are {}", one_of(&known).replace(" or ", " and "));
            let marked = fault(format!("no parameter is called `{name}`"), label);
            return Err(match nearest(name, &known) {
                Some(near) => marked.hint(format!("did you mean `{{{{{near}}}}}`?")),
                None => marked,
            });
        };
        let Some(index) = index else {
            if length == 1 {
                return Ok(Bound { row, format });
            }
            let label = format!("write `{{{{{name}[1]}}}}` to `{{{{{name}[{length}]}}}}`");
            return Err(fault(format!("`{name}` has {length} components"), label));
        };
        match index.parse::<usize>() {
            Ok(k) if (1..=length).contains(&k) => Ok(Bound { row: row + k - 1, format }),
            _ => {
                let label = match length {
                    1 => format!("it is a single number: write `{{{{{name}}}}}`"),
                    _ => format!("allowed: 1 to {length}"),
                };
                Err(fault(format!("`{name}` has no component `{index}`"), label))
            }
        }
    }

    fn mark(&self, at: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Marked {
        // Bytes that are not UTF-8 take more room in the text that is shown.
        let shown = |end: usize| String::from_utf8_lossy(&self.bytes[..end]).len();
        let span = shown(at.start)..shown(at.end);
        let source: Arc<Source> = Source::new(&self.path, String::from_utf8_lossy(&self.bytes));
        Marked::new(&source, span, title, label)
    }

    /// The file with its holes filled from a column of θ.
    pub(crate) fn fill(&self, bound: &[Bound], theta: &[f64]) -> Vec<u8> {
        let mut filled = Vec::with_capacity(self.bytes.len() + 16 * bound.len());
        let mut at = 0;
        for (hole, bound) in self.holes.iter().zip(bound) {
            filled.extend_from_slice(&self.bytes[at..hole.start - 2]);
            let x = theta[bound.row];
            let printed = bound.format.map_or_else(|| format!("{x:?}"), |format| format.print(x));
            filled.extend_from_slice(printed.as_bytes());
            at = hole.end + 2;
        }
        filled.extend_from_slice(&self.bytes[at..]);
        filled
    }

    /// Fill and write. What stood there goes first: it may be a link into the user's own folder.
    pub(crate) fn write(&self, bound: &[Bound], theta: &[f64], to: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(self.mode);
        let mut file = match options.open(to) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(to)?;
                options.open(to)?
            }
            opened => opened?,
        };
        file.write_all(&self.fill(bound, theta))
    }
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;
    use crate::machine::folder::Scratch;
    use proptest::prelude::*;

    fn names() -> Vec<(String, usize)> {
        vec![("a".into(), 1), ("v".into(), 3), ("old name".into(), 1), ("x:y".into(), 1)]
    }

    fn fill(text: &[u8]) -> Result<Vec<u8>, String> {
        let dir = Scratch::new("template").unwrap();
        let path = dir.path().join("in.tmpl");
        fs::write(&path, text).unwrap();
        let template = Template::load(&path, Path::new("in")).map_err(|e| e.to_string())?;
        let bound =
            template.bind(&names()).map_err(|e| format!("{e}; {}", Explain::hint(&e).unwrap_or_default()))?;
        Ok(template.fill(&bound, &[0.1, 1.0, -2.5, 1e-300, 7.0, 8.0]))
    }

    fn filled(text: &str) -> String {
        String::from_utf8(fill(text.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn holes_take_shortest_numbers_formats_and_components() {
        assert_eq!(filled("a = {{a}}\n"), "a = 0.1\n");
        assert_eq!(filled("{{a:12.5e}}|{{ a : -8.2f }}|"), " 1.00000e-01|0.10    |");
        assert_eq!(filled("{{v[1]}} {{v[2]:d}} {{v[3]}}"), "1.0 -2 1e-300");
        assert_eq!(filled("{{old name}}{{x:y}}{{x:y:.1f}}"), "7.08.08.0");
        assert_eq!(filled("{\"p\": {\"a\": {{a}}}}"), "{\"p\": {\"a\": 0.1}}");
        assert_eq!(filled("{{{a}}} {a} }}"), "{0.1} {a} }}");
    }

    #[test]
    fn bytes_that_are_no_text_pass_through() {
        assert_eq!(fill(b"\xff\xe9 {{a}} \xfe").unwrap(), b"\xff\xe9 0.1 \xfe");
    }

    #[test]
    fn faults_name_the_line_and_what_is_allowed() {
        let fault = fill(b"x\n\xe9 {{aa}}\n").unwrap_err();
        assert!(fault.contains("in.tmpl:2: no parameter is called `aa`"), "{fault}");
        assert!(fault.contains("`{{a}}`"), "{fault}");
        for (text, words) in [
            ("{{v}}", "has 3 components"),
            ("{{v[4]}}", "no component `4`"),
            ("{{v[0]}}", "no component `0`"),
            ("{{a:5q}}", "no format of C"),
            ("\n\n{{a\n}}", ":3: a hole is never closed"),
        ] {
            let fault = fill(text.as_bytes()).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
    }

    #[test]
    fn a_filled_script_stays_executable_and_a_link_is_not_written_through() {
        let dir = Scratch::new("filled").unwrap();
        let (from, to) = (dir.path().join("run.tmpl"), dir.path().join("run.sh"));
        fs::write(&from, "#!/bin/sh\necho {{a}}\n").unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o555)).unwrap();
        std::os::unix::fs::symlink(&from, &to).unwrap();
        let template = Template::load(&from, Path::new("run.sh")).unwrap();
        let bound = template.bind(&names()).unwrap();
        template.write(&bound, &[0.5; 6], &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "#!/bin/sh\necho 0.5\n");
        assert!(fs::read_to_string(&from).unwrap().contains("{{a}}"));
        assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o700, 0o700);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, braces in "[{}a\\[\\]:1-9.e\n v]*") {
            let _ = fill(&bytes);
            let _ = fill(braces.as_bytes());
        }
    }
}
