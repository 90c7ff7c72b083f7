//! The local pool: worker processes that live as long as the launch, one member at a time each.
//!
//! A worker is `ekp-worker RUN --serve`: it takes a line `ITERATION MEMBERS` on its standard input and
//! answers with a line per member and `end CODE`. That is talk between a launcher and its own children;
//! what members leave for updates goes through files as everywhere. A worker that dies (memory, a kill)
//! takes one member with it, which is handed to a new worker.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::explain::{Exit, Explain};
use crate::files::{Iteration, Member, Members};
use crate::launch::crew::{self, Lane};
use crate::launch::{LaunchError, Launcher, Means, Watch, tools};
use crate::steps::member::Outcome;
use crate::steps::{Run, StepError};

/// Members run in worker processes.
#[derive(Debug)]
pub struct Local {
    /// How many, and the stop flag
    pub means: Means,
}

impl Launcher for Local {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        let program = tools()?.join("ekp-worker");
        crew::carry(run, watch, &self.means, |number| {
            let mut command = Command::new(&program);
            command.arg(run.dir.root()).arg("--serve");
            command.args(["--rank", &number.to_string(), "--threads", &self.means.threads.to_string()]);
            Ok(Box::new(Worker { command, child: None }) as Box<dyn Lane>)
        })
    }
}

struct Worker {
    command: Command,
    child: Option<Talk>,
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
                hint: "are all tools in one folder? `make install` puts them there".into(),
            })?;
            let to = child.stdin.take().expect("stdin was asked for");
            let from = BufReader::new(child.stdout.take().expect("stdout was asked for"));
            self.child = Some(Talk { child, to, from });
        }
        Ok(self.child.as_mut().expect("just made"))
    }

    /// The worker is gone: say how it ended.
    fn ended(&mut self) -> LaunchError {
        let how = match self.child.take() {
            Some(mut talk) => talk.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string()),
            None => "never started".into(),
        };
        LaunchError::Carrier { what: format!("a worker died ({how})"), hint: "see `ekp-status`".into() }
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
                Some(Answer::End(Exit::Done, _)) => return Ok(()),
                Some(Answer::End(Exit::Cancelled, _)) => return Err(StepError::Cancelled.into()),
                Some(Answer::End(_, what)) => {
                    return Err(
                        StepError::Refused { what, hint: "see the worker's message above".into() }.into()
                    );
                }
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
            let _ = child.wait();
        }
    }
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// How a member ended
    Member(Member, Outcome),
    /// The line it was given is done, or why not
    End(Exit, String),
}

impl Answer {
    /// As a line.
    pub fn line(&self) -> String {
        let flat = |s: &str| s.replace(['\n', '\r'], " ");
        match self {
            Self::Member(m, Outcome::AlreadyDone) => format!("already {m}\n"),
            Self::Member(m, Outcome::AlreadyFailed) => format!("alreadyfailed {m}\n"),
            Self::Member(m, Outcome::Closed) => format!("closed {m}\n"),
            Self::Member(m, Outcome::Done { seconds }) => format!("done {m} {seconds:?}\n"),
            Self::Member(m, Outcome::Failed { reason }) => format!("failed {m} {}\n", flat(reason)),
            Self::End(exit, what) => format!("end {} {}\n", *exit as u8, flat(what)),
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
                Self::End(exit, rest.to_owned())
            }
            _ => return None,
        })
    }

    /// The end of a line of work.
    pub fn end<E: Explain>(result: &Result<(), E>) -> Self {
        match result {
            Ok(()) => Self::End(Exit::Done, String::new()),
            Err(e) => Self::End(e.exit(), e.to_string()),
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
            Answer::End(Exit::Cancelled, "it was cancelled".into()),
        ] {
            assert_eq!(Answer::parse(answer.line().trim_end()), Some(answer));
        }
        assert_eq!(Answer::parse("nonsense"), None);
        assert_eq!(Answer::parse("done x 1"), None);
    }
}
