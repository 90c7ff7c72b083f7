//! How a program ended, in the words of `failed.toml`: the same whenever and wherever it ends that way, so
//! that no time, size or place stands in them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use crate::machine::memory::Memory;
use crate::machine::process::{End, Ended};
use crate::models::{Cause, ModelError, Usage};

/// Lines and bytes of the log that go into an error.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 4096;
/// Share of the memory that makes a SIGKILL look like the kernel's.
const NEARLY_ALL: f64 = 0.8;
/// What programs, launchers and Slurm say when memory runs out, in lower case.
const MEMORY_WORDS: [&str; 11] = [
    "out of memory",
    "out-of-memory",
    "oom-kill",
    "oom_kill",
    "oom kill",
    "oom killer",
    "cannot allocate memory",
    "exceeded memory limit",
    "memoryerror",
    "std::bad_alloc",
    "outofmemoryerror",
];

/// What a program cost, or why it counts as failed.
pub(crate) fn judge(ended: &Ended, log: &Path, timeout: Option<Duration>) -> Result<Usage, ModelError> {
    let usage = Usage {
        wall_s: ended.wall_s,
        cpu_s: ended.cpu_s,
        peak_rss_mb: ended.peak_rss_mb,
        bytes_read: ended.bytes_read,
        bytes_written: ended.bytes_written,
    };
    if ended.end == End::Exit(0) {
        return Ok(usage);
    }
    let stderr_tail = tail(log);
    let (cause, message) = match ended.end {
        End::Exit(code) => exit(code, &stderr_tail),
        End::Signal(signal) => killed(signal, ended.peak_rss_mb, &stderr_tail),
        End::Timeout => {
            let limit = timeout.map_or(0.0, |limit| limit.as_secs_f64());
            (Cause::Timeout, format!("ended by us: it ran longer than `timeout_s = {limit}`"))
        }
        End::Stopped => (Cause::Lost, "ended early: this process was told to stop".into()),
    };
    let (exit_code, signal) = match ended.end {
        End::Exit(137) => (Some(137), Some(libc::SIGKILL)),
        End::Exit(code) => (Some(code), None),
        End::Signal(signal) => (None, Some(signal)),
        End::Timeout | End::Stopped => (None, None),
    };
    Err(ModelError { cause, exit_code, signal, message, stderr_tail, usage: Some(usage) })
}

fn exit(code: i32, tail: &str) -> (Cause, String) {
    let said = last_words(tail).map_or_else(|| "it printed nothing".to_owned(), shortened);
    let find = |words: &str| tail.lines().rev().map(str::trim).find(|line| line.contains(words));
    if speaks_of_memory(tail) {
        return (Cause::Memory, format!("exit status {code}, out of memory: {said}"));
    }
    if find("--oversubscribe").is_some() {
        let message = "the MPI launcher has fewer slots (cores) here than the member has ranks: more cores, \
                       or `launcher = \"mpirun --oversubscribe\"` in `[model.mpi]`";
        return (Cause::Exit, message.into());
    }
    let message = match code {
        126 | 127 => {
            let library = find("error while loading shared libraries");
            let missing = find("command not found").or_else(|| find(": not found"));
            match (library, missing) {
                (Some(line), _) => {
                    format!("a library is missing (a module not loaded?): {}", shortened(line))
                }
                (None, Some(line)) => {
                    format!("a program is missing (a module not loaded?): {}", shortened(line))
                }
                _ if code == 127 => format!("exit status 127, as when a program is not found: {said}"),
                _ => format!("exit status 126, as when a program is not executable: {said}"),
            }
        }
        // 128 + signal is how a shell or an MPI launcher reports it
        137 => {
            let message =
                format!("exit status 137: a process was killed (SIGKILL), often for lack of memory: {said}");
            return (Cause::Signal, message);
        }
        129..=159 => match signal_name(code - 128) {
            Some(name) => format!("exit status {code}, as when a process is ended by {name}: {said}"),
            None => format!("exit status {code}: {said}"),
        },
        _ => format!("exit status {code}: {said}"),
    };
    (Cause::Exit, message)
}

/// The last line that says something: not a rule of dashes, nor, where the model itself said something, what an
/// MPI launcher prints between such rules once it is over.
fn last_words(tail: &str) -> Option<&str> {
    let rule = |line: &str| line.len() >= 20 && line.bytes().all(|b| b == b'-');
    let (mut inside, mut own, mut any) = (false, None, None);
    for line in tail.lines().map(str::trim) {
        if rule(line) {
            inside = !inside;
        } else if line.contains(char::is_alphanumeric) {
            any = Some(line);
            own = if inside { own } else { any };
        }
    }
    own.or(any).or_else(|| tail.lines().rev().map(str::trim).find(|line| !line.is_empty()))
}

fn killed(signal: i32, peak_rss_mb: f64, tail: &str) -> (Cause, String) {
    let name = signal_name(signal)
        .map_or_else(|| format!("signal {signal}"), |name| format!("signal {signal} ({name})"));
    if speaks_of_memory(tail) {
        return (Cause::Memory, format!("killed by {name}, out of memory (`timing.toml` has its peak)"));
    }
    if signal != libc::SIGKILL {
        return (Cause::Signal, format!("killed by {name}"));
    }
    let total = Memory::here().map_or(f64::INFINITY, |memory| memory.total as f64 * 1e-6);
    if peak_rss_mb > NEARLY_ALL * total {
        let message = format!("killed by {name} when it used nearly all memory (`timing.toml` has its peak)");
        return (Cause::Memory, message);
    }
    (Cause::Signal, format!("killed by {name}, perhaps for lack of memory (`timing.toml` has its peak)"))
}

fn speaks_of_memory(tail: &str) -> bool {
    let tail = tail.to_lowercase();
    MEMORY_WORDS.iter().any(|words| tail.contains(words))
}

fn shortened(line: &str) -> String {
    let mut short: String = line.chars().take(200).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL, an instruction this processor lacks",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGTERM => "SIGTERM",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        _ => return None,
    })
}

/// The last lines of a log, bad bytes replaced; empty when there is none.
pub(crate) fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A program that could not even be started: the status a shell would give, or trouble of this machine.
pub(crate) fn not_started(error: &io::Error) -> ModelError {
    let text = error.to_string();
    let words = ["No space left", "quota", "Too many open files", "Resource temporarily", "Cannot allocate"];
    if text.starts_with("cannot open") || words.iter().any(|words| text.contains(words)) {
        return ModelError::new(Cause::Lost, text);
    }
    let code = match error.kind() {
        io::ErrorKind::NotFound => Some(127),
        io::ErrorKind::PermissionDenied => Some(126),
        _ => None,
    };
    ModelError { exit_code: code, ..ModelError::new(Cause::Exit, text) }
}

/// The same for a name that nobody knows.
pub(crate) fn not_found(message: &str) -> ModelError {
    ModelError { exit_code: Some(127), ..ModelError::new(Cause::Exit, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(end: End) -> Ended {
        Ended { end, wall_s: 1.5, cpu_s: 1.0, peak_rss_mb: 20.0, bytes_read: 0, bytes_written: 0 }
    }

    fn verdict(end: End, log: &str) -> ModelError {
        let dir = crate::machine::folder::Scratch::new("verdict").unwrap();
        let path = dir.path().join("log.txt");
        std::fs::write(&path, log).unwrap();
        judge(&ended(end), &path, Some(Duration::from_secs(1))).unwrap_err()
    }

    #[test]
    fn ends_become_causes() {
        let error = verdict(End::Exit(3), "fine\nno such grid\n");
        assert_eq!((error.cause, error.exit_code), (Cause::Exit, Some(3)));
        assert_eq!(error.message, "exit status 3: no such grid");
        assert_eq!(verdict(End::Signal(11), "").signal, Some(11));
        assert_eq!(verdict(End::Signal(9), "").cause, Cause::Signal);
        let error = verdict(End::Signal(9), "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0\n");
        assert_eq!(error.cause, Cause::Memory);
        assert_eq!(verdict(End::Exit(137), "mpirun: killed\n").cause, Cause::Signal);
        assert_eq!(verdict(End::Exit(1), "MemoryError\n").cause, Cause::Memory);
        assert_eq!(verdict(End::Timeout, "").cause, Cause::Timeout);
        assert_eq!(verdict(End::Stopped, "").cause, Cause::Lost);
    }

    #[test]
    fn a_missing_library_or_program_is_named() {
        let log =
            "./m: error while loading shared libraries: libnetcdf.so.19: cannot open shared object file\n";
        let error = verdict(End::Exit(127), log);
        assert!(error.message.contains("libnetcdf.so.19") && error.message.contains("module"), "{error}");
        let error = verdict(End::Exit(127), "./m.sh: line 2: cdo: command not found\n");
        assert!(error.message.contains("a program is missing"), "{error}");
    }

    #[test]
    fn the_banner_of_an_mpi_launcher_is_not_what_the_model_said() {
        let rule = "-".repeat(74);
        let banner = format!(
            "{rule}\nPrimary job  terminated normally, but\n{rule}\n{rule}\nmpirun detected that\n\n  Exit code:    9\n{rule}\n"
        );
        let error = verdict(End::Exit(9), &format!("wanted are 4 processes\n{banner}"));
        assert_eq!(error.message, "exit status 9: wanted are 4 processes");
        assert_eq!(verdict(End::Exit(9), &banner).message, "exit status 9: Exit code:    9");
        assert_eq!(verdict(End::Exit(1), "---\n***\n").message, "exit status 1: ***");
        // Open MPI, on a machine with fewer cores than ranks
        let slots =
            format!("Alternatively, you can use the --oversubscribe option to ignore the\nlaunch.\n{rule}\n");
        assert!(verdict(End::Exit(1), &slots).message.contains("[model.mpi]"));
    }

    #[test]
    fn the_tail_is_twenty_lines_and_four_kibibytes_of_any_bytes() {
        let dir = crate::machine::folder::Scratch::new("tail").unwrap();
        let path = dir.path().join("log");
        let lines: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(&path, &lines).unwrap();
        let tail_text = tail(&path);
        assert_eq!(tail_text.lines().count(), 20);
        assert!(tail_text.ends_with("line 999"));
        std::fs::write(&path, vec![0xff; 10_000]).unwrap();
        assert_eq!(tail(&path).chars().count(), 4096);
        assert_eq!(tail(&dir.path().join("none")), "");
    }
}
