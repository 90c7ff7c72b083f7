//! `platform/<host>.toml`: what each host of a run is, written by the first task there.

use std::fs;

use crate::files::{RunDir, TomlText, publish};
use crate::machine::{self, platform};
use crate::steps::Run;

/// Record this host, if nobody has. A record that cannot be written costs nobody a member.
pub fn once(run: &Run) {
    of_host(&run.dir, || run.experiment.model.external.as_ref().and_then(|e| e.version()));
}

/// The same for any run folder; `version` tells the model's version, and is asked only by the first.
pub(super) fn of_host(dir: &RunDir, version: impl FnOnce() -> Option<String>) {
    let path = dir.platform(machine::host());
    if path.exists() {
        return;
    }
    let Ok(body) = toml::to_string(&platform::this_machine()) else { return };
    let mut text =
        TomlText::comments("ekp platform: what this host is, seen by the first task that ran on it.");
    text.text("schema", "ekp.platform").number("version", 1);
    if let Some(version) = version() {
        text.text("model_version", &version);
    }
    let text = format!("{}{body}", text.finish());
    if let Some(folder) = path.parent() {
        let _ = fs::create_dir_all(folder);
    }
    let _ = publish(&path, text.as_bytes());
}
