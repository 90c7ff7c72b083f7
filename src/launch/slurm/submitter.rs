//! Who submits, and whether they are still at it.

use std::fs;

use serde::Deserialize;

use crate::files::{FileError, RunDir, server_now};
use crate::launch::queue::{JobId, Listed, State};
use crate::machine;

/// A submission on a host that cannot be asked counts as given up after this long: no controller keeps
/// a chain of `sbatch` calls waiting longer than their patience lasts.
const LONGEST_S: u64 = 30 * 60;

/// The process that submits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Submitter {
    /// Its host
    pub host: String,
    /// Its number there
    pub pid: u32,
    /// When it started, in the kernel's ticks: numbers are handed out again
    pub pid_start: u64,
    /// The job it runs in, 0 outside
    pub job: JobId,
}

impl Submitter {
    /// This process, or the script that calls it and says so in `EKP_SUBMITTER`.
    pub(super) fn here() -> Self {
        let script = std::env::var("EKP_SUBMITTER").ok().and_then(|pid| pid.parse().ok());
        let pid = script.unwrap_or_else(std::process::id);
        Self {
            host: machine::host().to_owned(),
            pid,
            pid_start: started(pid).unwrap_or(0),
            job: own_job().unwrap_or(0),
        }
    }

    /// Whether it still submits, as far as can be told from here.
    pub(super) fn is_alive(&self, dir: &RunDir, number: u32, listed: &[Listed]) -> Result<bool, FileError> {
        if self.host == machine::host() {
            return Ok(started(self.pid) == Some(self.pid_start));
        }
        if self.job != 0 {
            let runs = |job: &Listed| job.own == self.job && job.state == State::Running;
            // Our own number, and not this process: an earlier run of this job, which was requeued.
            return Ok(own_job() != Some(self.job) && listed.iter().any(runs));
        }
        let path = dir.job(number);
        let made = fs::metadata(&path).and_then(|m| m.modified()).map_err(FileError::io("read", &path))?;
        let age = server_now(&dir.jobs())?.duration_since(made).unwrap_or_default();
        Ok(age.as_secs() < LONGEST_S)
    }
}

/// The job this process runs in; of an array the element.
pub(super) fn own_job() -> Option<JobId> {
    std::env::var("SLURM_JOB_ID").ok()?.parse().ok()
}

/// When a process of this host started; none when there is no such process.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state and 19 more fields follow it.
    let mut after = stat.rsplit_once(')')?.1.split_whitespace();
    if after.next()? == "Z" {
        return None;
    }
    after.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_with_its_number_but_another_start_does_not() {
        let me = std::process::id();
        assert!(started(me).is_some());
        assert_eq!(started(me), started(me));
        assert_eq!(started(u32::MAX), None);
    }
}
