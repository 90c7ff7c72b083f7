//! Lines for people in a cell's log: what runs, how far it is, what came of it. No outcome depends on them.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

/// Where lines go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Log<'a>(Option<&'a Path>);

impl<'a> Log<'a> {
    /// To the end of this file.
    pub fn to(path: &'a Path) -> Self {
        Self(Some(path))
    }

    /// A line. A disk that cannot take it costs no result.
    pub fn line(&self, text: &str) {
        let Some(path) = self.0 else { return };
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
            let _ = file.write_all(format!("{text}\n").as_bytes());
        }
    }
}
