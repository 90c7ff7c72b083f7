//! The record of a pack: which arrays hold the parameters and outputs of many members, and who of them failed.
//!
//! Written last in its folder: it vouches for the arrays by their digests, and for itself by a sum on its last line.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use crate::files::{Record, TomlText, crc32, parse_record};

/// `chunk_NNNNNN/data.toml`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Chunk {
    /// Digest of the parameters it answers
    pub parameters: String,
    /// Digest of `data.npy`
    pub data: String,
    /// Of `data.npy`: members, numbers of each
    pub shape: Vec<usize>,
    /// Members without data
    pub failed: Vec<u32>,
    /// In which way, one each
    pub causes: Vec<String>,
    /// In a line, one each
    pub messages: Vec<String>,
    /// Id of the run, in a batch of forward models
    #[serde(default)]
    pub run: String,
    /// Number of the first model, in a batch of forward models
    #[serde(default)]
    pub first: u32,
    /// What a second run of some models gave, in a batch of forward models
    #[serde(default)]
    pub check: Check,
}

impl Record for Chunk {
    const SCHEMA: &'static str = "ekp.chunk";
    const VERSION: u32 = 1;
}

/// Some models a second time: how far the numbers lie apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub struct Check {
    /// Models that ran again, each by itself
    pub models: u32,
    /// Largest |difference| to the batch: 0 when each bit is the same
    pub alone: f64,
    /// Models that ran by the reference, too
    pub referred: u32,
    /// Largest |difference| to the reference, divided by the |number| of the reference
    pub reference: f64,
}

impl Check {
    /// Of both together.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        // NaN: one of the two runs gave a number, the other none.
        let larger = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) };
        Self {
            models: self.models + other.models,
            alone: larger(self.alone, other.alone),
            referred: self.referred + other.referred,
            reference: larger(self.reference, other.reference),
        }
    }

    /// The keys of a table `[check]`.
    pub fn write(&self, text: &mut TomlText) {
        text.table("check").number("models", self.models).float("alone", self.alone);
        text.number("referred", self.referred).float("reference", self.reference);
    }
}

impl Chunk {
    /// The record in a pack's folder; none when there is no file.
    ///
    /// # Errors
    /// In which way the file is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, String> {
        let path = folder.join("data.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("it cannot be read: {e}")),
        };
        let (body, sum) = text.rsplit_once("# crc32 ").ok_or("it is cut short")?;
        if sum.trim_end() != crc32(body.as_bytes()) {
            return Err("its checksum does not fit its content (cut short, or changed)".into());
        }
        parse_record(&path, text.as_bytes()).map(Some).map_err(|e| e.to_string())
    }

    /// The keys that all packs have.
    pub fn begin(&self, comments: &str) -> TomlText {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let mut text = TomlText::record::<Self>(comments);
        text.text("parameters", &self.parameters)
            .text("data", &self.data)
            .raw(&format!("shape = [{}]", shape.join(", ")))
            .numbers("failed", &self.failed)
            .texts("causes", &self.causes)
            .texts("messages", &self.messages);
        text
    }

    /// The whole text with the sum on its last line.
    pub fn finish(mut text: TomlText) -> String {
        let mut text = text.finish();
        text.push_str(&format!("# crc32 {}\n", crc32(text.as_bytes())));
        text
    }
}
