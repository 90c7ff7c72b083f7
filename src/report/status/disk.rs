//! The space a run takes, by part.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::machine::disk::disk as ask;
use crate::report::table::{bytes, table};

/// Files and bytes of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Disk {
    /// Each part with its files and bytes
    pub parts: Vec<Part>,
    /// Free for us on that disk, bytes
    pub free_bytes: Option<u64>,
    /// Kind of file system
    pub kind: String,
}

/// What lies under one kind of name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// `iterations`, `tries`, `logs`, …
    pub name: String,
    /// How many
    pub files: u64,
    /// Together
    pub bytes: u64,
}

/// Walk a run folder; links are not followed.
pub fn disk(root: &Path) -> Disk {
    let mut parts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root).min_depth(1).into_iter().flatten() {
        if entry.file_type().is_dir() {
            continue;
        }
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        let names: Vec<String> = path.iter().map(|n| n.to_string_lossy().into_owned()).collect();
        let part = match names[0].as_str() {
            _ if names.iter().any(|n| n.starts_with("try_")) => "tries",
            name if name.starts_with("iteration_") => "iterations",
            "logs" => "logs",
            "results" | "report" => "results and reports",
            _ => "the rest",
        };
        let (files, bytes) = parts.entry(part).or_default();
        *files += 1;
        *bytes += entry.metadata().map_or(0, |m| m.len());
    }
    let found = ask(root).ok();
    Disk {
        parts: parts
            .into_iter()
            .map(|(name, (files, bytes))| Part { name: name.into(), files, bytes })
            .collect(),
        free_bytes: found.map(|d| d.free_bytes),
        kind: found.map_or("unknown", |d| d.name).into(),
    }
}

impl Disk {
    /// As a table for people.
    pub fn text(&self) -> String {
        let total = |of: fn(&Part) -> u64| self.parts.iter().map(of).sum::<u64>();
        let mut rows = vec![["disk", "files", "size"].map(str::to_owned).to_vec()];
        for part in &self.parts {
            rows.push(vec![part.name.clone(), part.files.to_string(), bytes(part.bytes)]);
        }
        rows.push(vec!["all".into(), total(|p| p.files).to_string(), bytes(total(|p| p.bytes))]);
        let free = self.free_bytes.map(|b| format!("free on this disk ({}): {}\n", self.kind, bytes(b)));
        format!("{}{}", table(&rows), free.unwrap_or_default())
    }
}
