//! The local pool: worker processes that live as long as the launch, one member at a time each.
//!
//! A worker is `ekp-worker RUN --serve`: it takes a line `ITERATION MEMBERS` on its standard input and
//! answers with a line per member and `end CODE`. That is talk between a launcher and its own children;
//! what members leave for updates goes through files as everywhere. A worker that dies (memory, a kill)
//! takes one member with it, which is handed to a new worker.
//!
//! Workers stand in process groups of their own: Ctrl-C reaches the launcher alone, which asks each worker
//! once to end. (Asked twice, a worker ends at once and leaves its model behind.)

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::explain::{Exit, Explain};
use crate::files::{Iteration, Member, Members};
use crate::launch::crew::{self, Lane};
use crate::launch::{LaunchError, Launcher, Means, Watch, tools, trials, workers};
use crate::machine::signals;
use crate::steps::member::Outcome;
use crate::steps::{Run, StepError};

/// Open files of the launcher for each worker: both ends of its talk.
const FILES: usize = 2;
/// How often the stop flag is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Members run in worker processes.
#[derive(Debug)]
pub struct Local {
    /// How many, and the stop flag
    pub means: Means,
}

impl Launcher for Local {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        if run.dir.leaderless() {
            return trials::processes(run, &self.means, watch);
        }
        self.with_workers(run.dir.root(), watch, |means, lane| crew::carry(run, watch, means, lane))
    }
}

/// Makes the lane of a number.
type Lanes<'a> = &'a mut dyn FnMut(usize) -> Result<Box<dyn Lane>, LaunchError>;

impl Local {
    /// Have `carry` do its work with worker processes on the run in `root`; they end with it.
    ///
    /// # Errors
    /// Those of `carry`, or a worker that cannot be started.
    pub(super) fn with_workers(
        &self,
        root: &Path,
        watch: &dyn Watch,
        carry: impl FnOnce(&Means, Lanes<'_>) -> Result<(), LaunchError>,
    ) -> Result<(), LaunchError> {
        let program = tools()?.join("ekp-worker");
        let mut means = self.means.clone();
        means.workers = workers::that_fit(means.workers, FILES, watch);
        let pool = Arc::new(Pool::default());
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if means.stop.load(Ordering::Relaxed) {
                        pool.end();
                    }
                    std::thread::park_timeout(LOOK);
                }
            });
            let result = carry(&means, &mut |number| {
                let mut command = Command::new(&program);
                command.arg(root).arg("--serve").process_group(0);
                command.args(["--rank", &number.to_string(), "--threads", &means.threads.to_string()]);
                let mut worker = Worker { command, child: None, pool: Arc::clone(&pool) };
                worker.talk()?;
                Ok(Box::new(worker) as Box<dyn Lane>)
            });
            over.store(true, Ordering::Relaxed);
            watcher.thread().unpark();
            result
        })
    }
}

/// The workers that live, and whether each was asked to end.
#[derive(Debug, Default)]
struct Pool(Mutex<BTreeMap<u32, bool>>);

impl Pool {
    /// Ask those that were not asked yet.
    fn end(&self) {
        for (pid, asked) in self.0.lock().expect("no one panics under this lock").iter_mut() {
            if !std::mem::replace(asked, true) {
                signals::terminate(*pid);
            }
        }
    }

    fn add(&self, child: &Child) {
        self.0.lock().expect("no one panics under this lock").insert(child.id(), false);
    }

    /// Wait for the end of a worker. It is taken off the list in the moment its number becomes free: a number
    /// that was given to another process is never signalled.
    fn wait(&self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        loop {
            {
                let mut list = self.0.lock().expect("no one panics under this lock");
                if let Some(status) = child.try_wait()? {
                    list.remove(&child.id());
                    return Ok(status);
                }
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOK);
        }
    }
}

struct Worker {
    command: Command,
    child: Option<Talk>,
    pool: Arc<Pool>,
}

struct Talk {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Worker {
    fn talk(&mut self) -> Result<&mut Talk, LaunchError> {
        if self.child.is_none() {
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = self.command.spawn().map_err(|e| LaunchError::Carrier {
                what: format!("cannot start `{}`: {e}", self.command.get_program().display()),
                hint: match e.kind() {
                    std::io::ErrorKind::NotFound => {
                        "are all tools in one folder? `make install` puts them there"
                    }
                    _ => "fewer `--workers` need fewer processes and open files (`ulimit -u`, `ulimit -n`)",
                }
                .into(),
            })?;
            self.pool.add(&child);
            let to = child.stdin.take().expect("stdin was asked for");
            let from = BufReader::new(child.stdout.take().expect("stdout was asked for"));
            self.child = Some(Talk { child, to, from });
        }
        Ok(self.child.as_mut().expect("just made"))
    }

    /// The worker is gone, or speaks nonsense: say how it ended.
    fn ended(&mut self) -> LaunchError {
        let how = match self.child.take() {
            Some(Talk { mut child, to, from }) => {
                drop((to, from));
                self.pool.wait(&mut child).map_or_else(|e| e.to_string(), |status| status.to_string())
            }
            None => "never started".into(),
        };
        LaunchError::Died { how }
    }
}

impl Lane for Worker {
    fn members(
        &mut self,
        iteration: Iteration,
        members: &Members,
        each: &(dyn Fn(Member, &Outcome) + Sync),
    ) -> Result<(), LaunchError> {
        let talk = self.talk()?;
        if writeln!(talk.to, "{iteration} {members}").and_then(|()| talk.to.flush()).is_err() {
            return Err(self.ended());
        }
        let mut line = String::new();
        loop {
            line.clear();
            match talk.from.read_line(&mut line) {
                Ok(n) if n > 0 && line.ends_with('\n') => {}
                _ => return Err(self.ended()),
            }
            match Answer::parse(line.trim_end()) {
                Some(Answer::Member(member, outcome)) => each(member, &outcome),
                Some(Answer::End(Exit::Done, ..)) => return Ok(()),
                Some(Answer::End(Exit::Cancelled, ..)) => return Err(StepError::Cancelled.into()),
                Some(Answer::End(exit, what, hint)) => return Err(LaunchError::Worker { what, hint, exit }),
                None => return Err(self.ended()),
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(Talk { mut child, to, from }) = self.child.take() {
            // Its input ends: it finishes what it does and leaves.
            drop((to, from));
            let _ = self.pool.wait(&mut child);
        }
    }
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// How a member ended
    Member(Member, Outcome),
    /// The line it was given is done, or why not, and what to do about it
    End(Exit, String, Option<String>),
}

impl Answer {
    /// As a line.
    pub fn line(&self) -> String {
        let flat = |s: &str| s.replace(['\n', '\r', '\t'], " ");
        match self {
            Self::Member(m, Outcome::AlreadyDone) => format!("already {m}\n"),
            Self::Member(m, Outcome::AlreadyFailed) => format!("alreadyfailed {m}\n"),
            Self::Member(m, Outcome::Closed) => format!("closed {m}\n"),
            Self::Member(m, Outcome::Done { seconds }) => format!("done {m} {seconds:?}\n"),
            Self::Member(m, Outcome::Failed { reason }) => format!("failed {m} {}\n", flat(reason)),
            Self::End(exit, what, hint) => {
                let hint = hint.as_ref().map_or(String::new(), |hint| format!("\t{}", flat(hint)));
                format!("end {} {}{hint}\n", *exit as u8, flat(what))
            }
        }
    }

    /// From a line; `None` when it is no answer.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let number: u32 = number.parse().ok()?;
        Some(match word {
            "already" => Self::Member(number, Outcome::AlreadyDone),
            "alreadyfailed" => Self::Member(number, Outcome::AlreadyFailed),
            "closed" => Self::Member(number, Outcome::Closed),
            "done" => Self::Member(number, Outcome::Done { seconds: rest.parse().ok()? }),
            "failed" => Self::Member(number, Outcome::Failed { reason: rest.to_owned() }),
            "end" => {
                let exit = match number {
                    0 => Exit::Done,
                    2 => Exit::Usage,
                    3 => Exit::NotYet,
                    4 => Exit::Quorum,
                    5 => Exit::Cancelled,
                    _ => Exit::Failed,
                };
                let (what, hint) =
                    rest.split_once('\t').map_or((rest, None), |(w, h)| (w, Some(h.to_owned())));
                Self::End(exit, what.to_owned(), hint)
            }
            _ => return None,
        })
    }

    /// The end of a line of work.
    pub fn end<E: Explain>(result: &Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::End(Exit::Done, String::new(), None),
            Err(e) => Self::End(e.exit(), e.to_string(), e.hint()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_read_back() {
        for answer in [
            Answer::Member(7, Outcome::Done { seconds: 0.25 }),
            Answer::Member(1, Outcome::AlreadyDone),
            Answer::Member(9, Outcome::Failed { reason: "exit status 3".into() }),
            Answer::End(Exit::Cancelled, "it was cancelled".into(), None),
            Answer::End(Exit::Failed, "no space".into(), Some("free some".into())),
        ] {
            assert_eq!(Answer::parse(answer.line().trim_end()), Some(answer));
        }
        assert_eq!(Answer::parse("nonsense"), None);
        assert_eq!(Answer::parse("done x 1"), None);
    }
}
