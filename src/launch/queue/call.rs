//! Running a client program of Slurm: clean environment, time limit, both outputs.

use std::ffi::OsString;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::QueueError;

/// What a program said.
#[derive(Debug)]
pub(super) struct Answer {
    /// Status 0
    pub(super) good: bool,
    /// Standard output
    pub(super) out: String,
    /// Standard error
    pub(super) err: String,
}

/// Variables by which a job, or a person's habits, would change what a client does.
const LEAKS: [&str; 5] = ["SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SCONTROL_"];

/// Of these variables those a client must not see.
fn leaks(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let leaks = |name: &OsString| {
        let text = name.to_string_lossy();
        // SLURM_CONF says which cluster is meant.
        text != "SLURM_CONF" && LEAKS.iter().any(|lead| text.starts_with(lead))
    };
    names.filter(leaks).collect()
}

/// Run `place`, called `program` in messages.
pub(super) fn call(
    program: &str,
    place: &Path,
    arguments: &[String],
    folder: &Path,
    limit: Duration,
) -> Result<Answer, QueueError> {
    let io = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => QueueError::NotHere { program: program.into(), why: "is not installed" },
        _ => QueueError::Io { program: program.into(), source },
    };
    let mut command = Command::new(place);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in leaks(std::env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    let mut child = command.spawn().map_err(io)?;
    let out = collect(child.stdout.take());
    let err = collect(child.stderr.take());
    let until = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        if let Some(status) = child.try_wait().map_err(io)? {
            break status;
        }
        if Instant::now() >= until {
            // It may hang in the system for ever: neither its end nor its pipes are waited for.
            let _ = child.kill();
            return Err(QueueError::Hung { program: program.into(), seconds: limit.as_secs() });
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    // A grandchild may keep a pipe open after the program's end: what is there by then is the answer.
    let rest = Duration::from_secs(2);
    let text = |pipe: mpsc::Receiver<Vec<u8>>| {
        String::from_utf8_lossy(&pipe.recv_timeout(rest).unwrap_or_default()).into_owned()
    };
    Ok(Answer { good: status.success(), out: text(out), err: text(err) })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error of the pipe is still worth telling.
            let _ = pipe.read_to_end(&mut bytes);
        }
        let _ = send.send(bytes);
    });
    receive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_a_job_does_not_leak_into_the_jobs_it_submits() {
        let names =
            ["SLURM_ARRAY_TASK_ID", "SBATCH_EXPORT", "SLURM_CONF", "SQUEUE_FORMAT", "PATH", "MY_SLURM_X"];
        let leaking = leaks(names.into_iter().map(OsString::from));
        assert_eq!(leaking, ["SLURM_ARRAY_TASK_ID", "SBATCH_EXPORT", "SQUEUE_FORMAT"]);
    }
}
