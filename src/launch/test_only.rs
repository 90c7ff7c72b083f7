//! `sbatch --test-only`: would Slurm take the jobs of this run? Nothing is submitted.
//!
//! Slurm checks partition, account, limits and the size of the array, and tells when the job would start.
//! Belongs here: asking, and telling a refusal from a scheduler that is not there. Not here: submitting.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::files::FileError;
use crate::launch::site::Site;
use crate::launch::{LaunchError, scripts, setup};
use crate::machine::folder::Scratch;
use crate::machine::process::{self, End, Job};
use crate::steps::StepError;
use crate::steps::init::Prepared;

/// How long an answer may take: a controller that is down lets `sbatch` wait for minutes.
const PATIENCE: Duration = Duration::from_secs(20);
/// The jobs that carry the work; the others ask for the same or less.
const SHOWN: [&str; 2] = ["ekp_run_member.sbatch", "ekp_update.sbatch"];
/// Words of an `sbatch` that could not ask: no word about the job.
const SILENT: [&str; 4] =
    ["nable to contact", "configuration source", "onnection refused", "ommunication connection failure"];

/// Show member and update job to Slurm, where it is; a line for people each.
///
/// # Errors
/// Slurm refuses a job: the site is at fault.
pub fn test_only(prepared: &Prepared, site: &Site) -> Result<Told, LaunchError> {
    let context = setup::context(prepared, site, "ekp-init --check")?;
    let array = scripts::arrays(1..=context.elements, &site.slurm).into_iter().next();
    let shown =
        scripts::render(&context, site)?.into_iter().filter(|(name, _)| SHOWN.contains(&name.as_str()));
    let shown = shown.map(|(name, text)| {
        let indices = array.as_ref().filter(|_| name.contains("member")).map(|array| array.indices.clone());
        Shown { name, text, array: indices }
    });
    ask_all(&shown.collect::<Vec<_>>())
}

/// What Slurm says.
pub struct Told {
    /// For people
    pub lines: Vec<String>,
    /// All that a client without a cluster says, where that is more than a clause
    pub more: Option<String>,
}

/// A script, as it is shown to Slurm.
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) text: String,
    /// What `--array` takes
    pub(super) array: Option<String>,
}

/// Show scripts to Slurm, where it is; a line for people each.
pub(super) fn ask_all(shown: &[Shown]) -> Result<Told, LaunchError> {
    let Some(sbatch) = process::find("sbatch".as_ref()) else {
        let lines = vec!["no `sbatch` here: the jobs were not shown to Slurm".into()];
        return Ok(Told { lines, more: None });
    };
    let scratch = Scratch::within(&std::env::temp_dir(), "check")
        .map_err(FileError::io("make", &std::env::temp_dir()))?;
    let (mut lines, mut more) = (Vec::new(), None);
    for Shown { name, text, array } in shown {
        let path = scratch.path().join(name);
        fs::write(&path, text).map_err(FileError::io("write", &path))?;
        let mut args: Vec<OsString> = vec!["--test-only".into()];
        if let Some(array) = array {
            args.push(format!("--array={array}").into());
        }
        args.extend([path.into_os_string(), "0".into()]);
        match ask(&sbatch, &args, scratch.path()) {
            Answer::Taken(says) => lines.push(format!("Slurm takes `{name}`: {says}")),
            Answer::Silent(says) => {
                // A client without a cluster chatters: the first clause says what there is.
                let first = says.split("; ").next().unwrap_or_default();
                lines.push(format!("Slurm does not answer, `{name}` was not checked: {first}"));
                if first.len() < says.len() {
                    more = Some(says);
                }
                break;
            }
            Answer::Refused(says) => {
                let what = format!("Slurm refuses `{name}`: {says}");
                let hint =
                    "mend `site.toml`; `sinfo` and `sacctmgr show assoc user=$USER` tell what there is";
                return Err(StepError::Refused { what, hint: hint.into() }.into());
            }
        }
    }
    Ok(Told { lines, more })
}

enum Answer {
    Taken(String),
    Refused(String),
    Silent(String),
}

fn ask(sbatch: &Path, args: &[OsString], folder: &Path) -> Answer {
    // Variables of a job we may be in would count as options.
    let foreign =
        |name: &[u8]| name != b"SLURM_CONF" && (name.starts_with(b"SLURM_") || name.starts_with(b"SBATCH_"));
    let mut job = Job::new(sbatch, args, folder);
    (job.without, job.timeout) = (foreign, Some(PATIENCE));
    let answer = match process::capture(&job) {
        Ok(answer) => answer,
        Err(error) => return Answer::Silent(crate::explain::reason(&error)),
    };
    let lines = answer.stderr.lines().chain(answer.stdout.lines()).map(str::trim).filter(|l| !l.is_empty());
    let plain = |l: &str| {
        l.trim_start_matches("sbatch: ")
            .trim_start_matches("error: ")
            .trim_start_matches("fatal: ")
            .to_owned()
    };
    let says: Vec<String> = lines.map(plain).collect();
    let all = says.join("; ");
    match answer.ended.end {
        End::Exit(0) => Answer::Taken(says.last().cloned().unwrap_or_else(|| "accepted".into())),
        End::Exit(_) if !all.is_empty() && !SILENT.iter().any(|words| all.contains(words)) => {
            Answer::Refused(all)
        }
        End::Timeout => Answer::Silent(format!("no answer within {} s", PATIENCE.as_secs())),
        _ => Answer::Silent(all),
    }
}
