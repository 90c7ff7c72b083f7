//! What this machine is, and what a folder's disk can do.
//!
//! Reads   the machine, its scheduler
//! Writes  nothing; TOML on stdout (in a folder that is probed scratch files, removed again)

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::files::{FileError, TomlText};
use ekp::machine::{folder, probe};
use ekp::report::{ReportError, place};

/// What may be named.
const PROBED: &str = "name a folder that you may write in: `ekp-probe .`";

/// What this machine is, and what a folder's disk can do
#[derive(Debug, Parser)]
#[command(
    name = "ekp-probe",
    version,
    after_help = "Examples:
  ekp-probe                  cores, memory, SIMD, GPU, scheduler and its limits
  ekp-probe /scratch/me      and the disk there: rename, link, mkdir, flock, bandwidth, clock skew"
)]
pub(crate) struct Args {
    /// A folder whose disk is measured with scratch files
    folder: Option<PathBuf>,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-probe", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    // The disk first: a folder that is not there is told at once.
    let disk = match &args.folder {
        Some(path) => {
            args.voice.detail("measuring the disk");
            Some(probed(path)?)
        }
        None => None,
    };
    let mut text = TomlText::comments(
        "ekp platform: what this machine is. mb are 10^6 bytes; what it does not tell is absent.",
    );
    text.text("schema", "ekp.platform").number("version", 1).raw(body(&probe::platform())?.trim_end());
    if let Some(disk) = &disk {
        text.table("folder").raw(body(disk)?.trim_end());
    }
    cli::out(&text.finish());
    Ok(Exit::Done)
}

/// What a folder's disk can do.
fn probed(path: &Path) -> Result<folder::FolderReport, ReportError> {
    if path.exists() && !path.is_dir() {
        let what = format!("`{}` is a file", path.display());
        return Err(ReportError::Refused { what, hint: PROBED.into() });
    }
    folder::probe_folder(path).map_err(FileError::io("probe", path)).map_err(place::refused(PROBED))
}

fn body(what: &impl serde::Serialize) -> Result<String, FileError> {
    toml::to_string(what).map_err(|e| FileError::Invalid {
        path: Path::new("the probe").to_owned(),
        kind: "record",
        why: e.to_string(),
    })
}
