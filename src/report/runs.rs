//! Which runs a person means: folders, and patterns such as `'runs/*'`.

use std::path::{Path, PathBuf};

use crate::report::ReportError;

/// The run folders that `named` stand for, in that order, those of a pattern by name.
///
/// # Errors
/// A pattern that is none, or that matches no run. A plain path is taken as it is.
pub fn runs(named: &[String]) -> Result<Vec<PathBuf>, ReportError> {
    let mut found: Vec<PathBuf> = Vec::new();
    for name in named {
        for path in one(name)? {
            if !found.contains(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn one(name: &str) -> Result<Vec<PathBuf>, ReportError> {
    // A folder may have a bracket in its name: what is there is meant.
    if Path::new(name).exists() || !name.contains(['*', '?', '[']) {
        return Ok(vec![PathBuf::from(name)]);
    }
    let wrong = |e: glob::PatternError| ReportError::Pattern { pattern: name.into(), why: e.msg.into() };
    let found: Vec<PathBuf> =
        glob::glob(name).map_err(wrong)?.flatten().filter(|path| path.join("run.toml").is_file()).collect();
    if found.is_empty() {
        return Err(ReportError::NoRuns { pattern: name.into() });
    }
    Ok(found)
}

/// A path in a run as a person types it from where the run was named: `runs/a/stop.toml`, in the run itself `stop.toml`.
pub fn typed(run: &str, inner: &str) -> String {
    let run = run.trim_end_matches('/').trim_start_matches("./");
    if run.is_empty() || run == "." { inner.to_owned() } else { format!("{run}/{inner}") }
}

/// A word of a command line, quoted where the shell needs it.
pub fn word(text: &str) -> String {
    shlex::try_quote(text).map_or_else(|_| text.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_as_it_is_typed() {
        assert_eq!(typed(".", "stop.toml"), "stop.toml");
        assert_eq!(typed("./runs/a/", "stop.toml"), "runs/a/stop.toml");
        assert_eq!(typed("/x", "stop.toml"), "/x/stop.toml");
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused_and_a_plain_path_is_not() {
        assert!(matches!(runs(&["/no/such/*".into()]), Err(ReportError::NoRuns { .. })));
        assert!(matches!(runs(&["a[".into()]), Err(ReportError::Pattern { .. })));
        assert_eq!(runs(&["/no/such".into(), "/no/such".into()]).unwrap().len(), 1);
    }
}
