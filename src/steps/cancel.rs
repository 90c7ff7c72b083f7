//! The stop mark: `cancel.toml`. Every step looks for it before it begins anything.

use chrono::{SecondsFormat, Utc};
use serde::Deserialize;

use crate::files::{Record, RunDir, TomlText, publish_new_durable};
use crate::machine;
use crate::steps::StepError;

/// `cancel.toml`: the run is not to go on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cancelled {
    /// Why, in a person's words; may be empty
    #[serde(default)]
    pub reason: String,
    /// When, RFC 3339, UTC
    #[serde(default)]
    pub time: String,
    /// Who, `user@host`
    #[serde(default)]
    pub by: String,
}

impl Record for Cancelled {
    const SCHEMA: &'static str = "ekp.cancel";
    const VERSION: u32 = 1;
}

impl Cancelled {
    /// Now, by whoever runs this.
    pub fn now(reason: &str) -> Self {
        let user = ["USER", "LOGNAME", "SLURM_JOB_USER"].iter().find_map(|name| std::env::var(name).ok());
        let user = user.filter(|user| !user.is_empty()).unwrap_or_else(|| "unknown".into());
        Self {
            reason: reason.into(),
            time: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            by: format!("{user}@{}", machine::host()),
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        TomlText::record::<Self>(
            "ekp cancel: the run is not to go on; every step looks for this file before it begins.\n\
             Written by `ekp-cancel`. Submitting or launching the run again removes it and goes on.",
        )
        .text("reason", &self.reason)
        .text("time", &self.time)
        .text("by", &self.by)
        .finish()
    }
}

/// Set the mark, durably; false when it was there already, which then stays as it is.
///
/// # Errors
/// The disk.
pub fn mark(dir: &RunDir, reason: &str) -> Result<bool, StepError> {
    Ok(publish_new_durable(&dir.cancel(), Cancelled::now(reason).text().as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_reads_back() {
        let mark = Cancelled::now("the prior is \"wrong\"\nsecond line");
        assert_eq!(toml::from_str::<Cancelled>(&mark.text()).unwrap().reason.trim_end(), mark.reason);
    }
}
