//! Talking to Slurm: submit, list, cancel, ask for limits.
//!
//! The queue is a hint, the files are the truth: nothing here decides what a run has done. Every client
//! program runs with an environment cleaned of this job's own `SLURM_*` and `SBATCH_*` variables and under
//! a time limit. Belongs here: how Slurm is asked, and what its answers mean. Not here: what is submitted.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::explain::{Exit, Explain};

mod advice;
mod call;
mod limits;
mod list;

pub use advice::{advice, never_starts};
pub use limits::{Limits, Partition};
pub use list::{Listed, State};

use call::{Answer, call};

/// A job as Slurm numbers it; of an array the number of the whole.
pub type JobId = u64;

/// How long and how often a submission is tried.
#[derive(Debug, Clone)]
pub struct Patience {
    /// Limit of one call. A full queue holds `sbatch` for about two minutes before it gives up.
    pub call: Duration,
    /// Pauses between tries while the controller is away or full
    pub pauses: Vec<Duration>,
}

impl Default for Patience {
    fn default() -> Self {
        let pauses = [5, 10, 20, 40, 80, 160].map(Duration::from_secs).to_vec();
        Self { call: Duration::from_secs(180), pauses }
    }
}

/// One job to submit: what the chain relies on stands on the command line, where no file or variable beats it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// `--job-name`
    pub name: String,
    /// `--comment`, by which it is found again
    pub comment: String,
    /// Folder it runs in
    pub folder: PathBuf,
    /// `--dependency`, empty for none
    pub dependency: String,
    /// `--array`, for an array
    pub array: Option<String>,
    /// `--output`, relative to the folder
    pub output: String,
    /// More options, as they stand
    pub more: Vec<String>,
    /// The script and its arguments
    pub script: Vec<String>,
}

/// What Slurm did not do.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// No Slurm here
    #[error("`{program}` {why} on this machine")]
    NotHere {
        /// Which program was asked
        program: String,
        /// In which way it is not here
        why: &'static str,
    },
    /// It said no
    #[error("`{program}` refused: {said}")]
    Refused {
        /// Which program
        program: String,
        /// Its words
        said: String,
    },
    /// It said "later", again and again
    #[error("`{program}` could not reach or use the controller, {tries} times: {said}")]
    Away {
        /// Which program
        program: String,
        /// How often it was asked
        tries: usize,
        /// Its words
        said: String,
    },
    /// It said nothing
    #[error("`{program}` did not answer within {seconds} s")]
    Hung {
        /// Which program
        program: String,
        /// The limit
        seconds: u64,
    },
    /// It said something else
    #[error("`{program}` gave no job number: {said}")]
    NoNumber {
        /// Which program
        program: String,
        /// Its words
        said: String,
    },
    /// The program could not be run
    #[error("cannot run `{program}`: {source}")]
    Io {
        /// Which program
        program: String,
        /// Why
        source: std::io::Error,
    },
}

impl Explain for QueueError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NotHere { .. } => Some("submit where Slurm is, or use `ekp-launch --on local`".into()),
            Self::Refused { said, .. } => advice::of_refusal(said).map(str::to_owned),
            Self::Away { .. } | Self::Hung { .. } => {
                Some("the run is safe on disk: the same command again, later, goes on".into())
            }
            Self::NoNumber { .. } => Some(
                "does this site wrap `sbatch`? `sbatch --parsable` must print the number on its last line"
                    .into(),
            ),
            Self::Io { .. } => None,
        }
    }

    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// The scheduler.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// How long it is asked
    pub patience: Patience,
    /// Folder of Slurm's programs where `PATH` does not have them
    pub clients: Option<PathBuf>,
}

impl Queue {
    /// Submit a job; its number.
    ///
    /// A controller that is away or full is asked again. Before that the queue is searched for the job:
    /// an answer may have got lost after the job was accepted. `known` are jobs of the same name and
    /// comment that were submitted before.
    ///
    /// # Errors
    /// Slurm is not here, refused, or stayed away for as long as our patience lasts.
    pub fn submit(&self, job: &Submission, known: &[JobId]) -> Result<JobId, QueueError> {
        let mut pauses = self.patience.pauses.iter();
        let mut tries = 0;
        loop {
            let answer = self.call("sbatch", &arguments(job), &job.folder);
            tries += 1;
            let said = match answer {
                Ok(Answer { good: true, out, .. }) => return number("sbatch", &out),
                Ok(Answer { err, .. }) if advice::is_unconfigured(&err) => {
                    return Err(QueueError::NotHere {
                        program: "sbatch".into(),
                        why: "finds no Slurm to talk to",
                    });
                }
                Ok(Answer { err, .. }) if !advice::passes(&err) => {
                    return Err(QueueError::Refused { program: "sbatch".into(), said: tidy(&err) });
                }
                Ok(Answer { err, .. }) => tidy(&err),
                Err(hung @ QueueError::Hung { .. }) => hung.to_string(),
                Err(other) => return Err(other),
            };
            let Some(pause) = pauses.next() else {
                return Err(QueueError::Away { program: "sbatch".into(), tries, said });
            };
            std::thread::sleep(*pause);
            if let Ok(listed) = self.mine()
                && let Some(found) = listed
                    .iter()
                    .find(|l| l.name == job.name && l.comment == job.comment && !known.contains(&l.id))
            {
                return Ok(found.id);
            }
        }
    }

    /// All jobs of this user that the controller remembers as not ended, in one call.
    ///
    /// # Errors
    /// Slurm is not here, or does not answer.
    pub fn mine(&self) -> Result<Vec<Listed>, QueueError> {
        let format = list::format();
        let answer = self.ask("squeue", &["--me", "--noheader", "--format", &format])?;
        Ok(list::parse(&answer))
    }

    /// Cancel jobs; those that are gone already are no error.
    ///
    /// # Errors
    /// Slurm is not here, or does not answer.
    pub fn cancel(&self, jobs: &[JobId]) -> Result<(), QueueError> {
        // Slurm takes a long list, a shell's argument list may not: hundreds at a time.
        for some in jobs.chunks(500) {
            let mut arguments = vec!["--quiet".to_owned()];
            arguments.extend(some.iter().map(JobId::to_string));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            match self.ask("scancel", &arguments) {
                Err(QueueError::Refused { said, .. }) if advice::is_gone(&said) => {}
                Err(other) => return Err(other),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// The cluster's limits.
    ///
    /// # Errors
    /// Slurm is not here, or does not answer.
    pub fn limits(&self) -> Result<Limits, QueueError> {
        Ok(Limits::parse(&self.ask("scontrol", &["show", "config"])?))
    }

    /// The wall times of a partition, or of the default one.
    ///
    /// # Errors
    /// Slurm is not here, or does not answer.
    pub fn partition(&self, name: Option<&str>) -> Result<Partition, QueueError> {
        let text = self.ask("scontrol", &["--oneliner", "show", "partition"])?;
        Ok(Partition::parse(&text, name))
    }

    fn call(&self, program: &str, arguments: &[String], folder: &Path) -> Result<Answer, QueueError> {
        let place = self.clients.as_ref().map_or(PathBuf::from(program), |folder| folder.join(program));
        call(program, &place, arguments, folder, self.patience.call)
    }

    /// A call that is not repeated: its output, or why there is none.
    fn ask(&self, program: &str, arguments: &[&str]) -> Result<String, QueueError> {
        let arguments: Vec<String> = arguments.iter().map(|&a| a.to_owned()).collect();
        let answer = self.call(program, &arguments, Path::new("/"))?;
        let said = || tidy(&answer.err);
        match answer.good {
            true => Ok(answer.out),
            false if advice::is_unconfigured(&answer.err) => {
                Err(QueueError::NotHere { program: program.into(), why: "finds no Slurm to talk to" })
            }
            false if advice::passes(&answer.err) => {
                Err(QueueError::Away { program: program.into(), tries: 1, said: said() })
            }
            false => Err(QueueError::Refused { program: program.into(), said: said() }),
        }
    }
}

fn arguments(job: &Submission) -> Vec<String> {
    let mut arguments = vec![
        "--parsable".to_owned(),
        "--kill-on-invalid-dep=yes".to_owned(),
        format!("--chdir={}", job.folder.display()),
        format!("--job-name={}", job.name),
        format!("--comment={}", job.comment),
        format!("--output={}", job.output),
    ];
    if !job.dependency.is_empty() {
        arguments.push(format!("--dependency={}", job.dependency));
    }
    arguments.extend(job.array.iter().map(|array| format!("--array={array}")));
    arguments.extend(job.more.iter().cloned());
    arguments.extend(job.script.iter().cloned());
    arguments
}

/// The number on the last line: `123` or `123;cluster`, after whatever a site's wrapper prints.
fn number(program: &str, out: &str) -> Result<JobId, QueueError> {
    let last = out.trim_end().lines().next_back().unwrap_or_default();
    let digits = last.split(';').next().unwrap_or_default();
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let parsed = if plain { digits.parse().ok() } else { None };
    parsed.ok_or_else(|| QueueError::NoNumber { program: program.into(), said: tidy(out) })
}

/// An error text on one line, without the program's name on each.
fn tidy(said: &str) -> String {
    let bare = |line: &str| {
        let line = line.trim();
        ["sbatch: ", "squeue: ", "scancel: ", "scontrol: ", "error: "]
            .iter()
            .fold(line, |line, lead| line.strip_prefix(lead).unwrap_or(line))
            .to_owned()
    };
    let lines: Vec<String> = said.lines().map(bare).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "it gave no reason".into() } else { lines.join("; ") }
}

#[cfg(test)]
mod tests;
