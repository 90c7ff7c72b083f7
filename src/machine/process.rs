//! One program from start to end: its own group, its log, its limits, what it cost.
//!
//! Started by `posix_spawn` (half the cost of fork and exec, and independent of our own size). Ended by `wait4`,
//! which gives exit code, CPU time and peak memory for nothing. No pipes and no threads: output goes to a
//! file. A time limit or a stop flag is watched through a pidfd (Linux 5.3; older kernels are asked every
//! few milliseconds).
//!
//! Belongs here: start, watch, end. Not here: what the end means for a member.
#![allow(unsafe_code)]

mod spawn;
mod watch;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use watch::{LOOK, Watched, end_group, reap, signal_group};

/// A program just written may still be open for writing in a child that another thread is starting
/// (`ETXTBSY`): it passes within milliseconds. The pauses below double up to two seconds in all.
const BUSY_PAUSES: u32 = 10;

/// What to run, and where.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// An absolute path, or a name to be looked up in `PATH`
    pub program: &'a Path,
    /// Arguments after the program's name
    pub args: &'a [OsString],
    /// Working folder
    pub folder: &'a Path,
    /// Added to the environment, or replacing what is there
    pub env: &'a [(OsString, OsString)],
    /// Names of our environment that it must not inherit
    pub without: fn(&[u8]) -> bool,
    /// Ended after this long
    pub timeout: Option<Duration>,
    /// Ended when this turns true
    pub stop: Option<&'a AtomicBool>,
}

impl<'a> Job<'a> {
    /// A program with arguments in a folder, in our environment, without limits.
    pub fn new(program: &'a Path, args: &'a [OsString], folder: &'a Path) -> Self {
        Self { program, args, folder, env: &[], without: |_| false, timeout: None, stop: None }
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status
    Exit(i32),
    /// By a signal from elsewhere
    Signal(i32),
    /// By us: it ran longer than its limit
    Timeout,
    /// By us: the stop flag was raised
    Stopped,
}

/// What a program left behind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ended {
    /// How it ended
    pub end: End,
    /// From start to end
    pub wall_s: f64,
    /// User and system time, of it and of those of its children it waited for
    pub cpu_s: f64,
    /// Largest resident set of any one process, 10⁶ bytes. Never below our own resident set at the start:
    /// the kernel counts the moment before `exec`
    pub peak_rss_mb: f64,
    /// Bytes that came from a disk (not from the page cache; network disks are not counted)
    pub bytes_read: u64,
    /// Bytes that went towards a disk
    pub bytes_written: u64,
}

/// Run a program to its end; its output is appended to `log`.
///
/// # Errors
/// The log cannot be opened, or the program cannot be started: not found, not executable. Both are named.
pub fn run(job: &Job<'_>, log: &Path) -> io::Result<Ended> {
    let log =
        OpenOptions::new().create(true).append(true).open(log).map_err(|e| named(&e, "cannot open", log))?;
    finish(job, &log, &log)
}

/// As [`run`], with standard output and standard error in files of their own.
///
/// # Errors
/// As [`run`].
pub fn run_apart(job: &Job<'_>, stdout: &Path, stderr: &Path) -> io::Result<Ended> {
    let open = |path: &Path| {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map_err(|e| named(&e, "cannot open", path))
    };
    finish(job, &open(stdout)?, &open(stderr)?)
}

/// What a short program printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Captured {
    /// How it ended and what it cost
    pub ended: Ended,
    /// Standard output, bad bytes replaced
    pub stdout: String,
    /// Standard error, bad bytes replaced
    pub stderr: String,
}

/// Run a program and keep what it prints, in memory: no pipe that could fill up, no file on a disk.
///
/// # Errors
/// The program cannot be started: not found, not executable. It is named.
pub fn capture(job: &Job<'_>) -> io::Result<Captured> {
    let (stdout, stderr) = (in_memory()?, in_memory()?);
    let ended = finish(job, &stdout, &stderr)?;
    Ok(Captured { ended, stdout: content(&stdout)?, stderr: content(&stderr)? })
}

fn in_memory() -> io::Result<File> {
    // SAFETY: the name is a C string; the result is checked before it is owned.
    let fd = unsafe { libc::memfd_create(c"ekp".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just handed out this descriptor; nobody else has it.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn content(mut file: &File) -> io::Result<String> {
    use io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn finish(job: &Job<'_>, stdout: &File, stderr: &File) -> io::Result<Ended> {
    let start = Instant::now();
    let pid = started(job, stdout, stderr)?;
    let cut = if job.timeout.is_some() || job.stop.is_some() { watch(pid, start, job) } else { Ok(None) };
    if cut.is_err() {
        signal_group(pid, libc::SIGKILL); // nobody else would ever end it
    }
    let (status, usage) = reap(pid)?;
    let end = match cut? {
        Some(end) => end,
        None if libc::WIFSIGNALED(status) => End::Signal(libc::WTERMSIG(status)),
        None => End::Exit(libc::WEXITSTATUS(status)),
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 * 1e-6;
    Ok(Ended {
        end,
        wall_s: start.elapsed().as_secs_f64(),
        cpu_s: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        peak_rss_mb: usage.ru_maxrss as f64 * 1024e-6, // KiB on Linux
        bytes_read: usage.ru_inblock as u64 * 512,
        bytes_written: usage.ru_oublock as u64 * 512,
    })
}

fn started(job: &Job<'_>, stdout: &File, stderr: &File) -> io::Result<libc::pid_t> {
    let mut pause = 0;
    loop {
        match spawn::start(job, stdout, stderr) {
            Ok(pid) => return Ok(pid),
            Err(e) if e.raw_os_error() == Some(libc::ETXTBSY) && pause < BUSY_PAUSES => {
                std::thread::sleep(Duration::from_millis(2 << pause));
                pause += 1;
            }
            Err(e) if !job.folder.is_dir() => return Err(named(&e, "cannot enter folder", job.folder)),
            Err(e) => return Err(named(&e, "cannot start", job.program)),
        }
    }
}

/// The same kind of error, with the thing in question and words for a person.
fn named(error: &io::Error, what: &str, path: &Path) -> io::Error {
    let why = match error.raw_os_error() {
        Some(libc::ENOENT) => "not found (or the interpreter its first line names is not)".to_owned(),
        Some(libc::EACCES) => "permission denied (is it executable? `chmod +x`)".to_owned(),
        Some(libc::ENOEXEC) => "no program for this machine (a script needs a `#!` line)".to_owned(),
        _ => error.to_string(),
    };
    let why = if what == "cannot start" { why } else { error.to_string() };
    io::Error::new(error.kind(), format!("{what} `{}`: {why}", path.display()))
}

/// Wait until the leader has ended (it stays a zombie), or end the group: then say how.
fn watch(pid: libc::pid_t, start: Instant, job: &Job<'_>) -> io::Result<Option<End>> {
    let watched = Watched::new(pid);
    loop {
        let left = job.timeout.map(|limit| limit.saturating_sub(start.elapsed()));
        let cut = if left == Some(Duration::ZERO) {
            Some(End::Timeout)
        } else if job.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            Some(End::Stopped)
        } else {
            None
        };
        if let Some(end) = cut {
            // It may have ended at the same moment: then it ended by itself.
            if watched.ended(Duration::ZERO)? {
                return Ok(None);
            }
            end_group(pid, &watched)?;
            return Ok(Some(end));
        }
        let mut pause = left.unwrap_or(LOOK);
        if job.stop.is_some() {
            pause = pause.min(LOOK);
        }
        if watched.ended(pause)? {
            return Ok(None);
        }
    }
}

/// Where a program of this name lies: as given when it holds a `/`, else the first executable in `PATH`.
pub fn find(name: &Path) -> Option<std::path::PathBuf> {
    if name.components().count() > 1 || name.is_absolute() {
        return is_executable(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| is_executable(p))
}

/// A regular file that we may execute.
pub fn is_executable(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(name) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a C string that lives through the call.
    path.is_file() && unsafe { libc::access(name.as_ptr(), libc::X_OK) } == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    fn sh(text: &str) -> Vec<OsString> {
        vec!["-c".into(), text.into()]
    }

    fn alive(pid: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    }

    #[test]
    fn exit_code_signal_and_output_come_back() {
        let dir = Scratch::new("process").unwrap();
        let log = dir.path().join("log.txt");
        let sh_path = Path::new("/bin/sh");
        for (text, end) in [("echo a; echo b >&2; exit 3", End::Exit(3)), ("kill -9 $$", End::Signal(9))] {
            let args = sh(text);
            assert_eq!(run(&Job::new(sh_path, &args, dir.path()), &log).unwrap().end, end);
        }
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "a\nb\n");
    }

    #[test]
    fn what_it_cost_is_plausible() {
        // 30 MB touched (dd's buffer) and at least some CPU time
        let dir = Scratch::new("cost").unwrap();
        let args: Vec<OsString> =
            ["if=/dev/zero", "of=/dev/null", "bs=30M", "count=20"].map(Into::into).into();
        let ended = run(&Job::new(Path::new("dd"), &args, dir.path()), &dir.path().join("log")).unwrap();
        assert_eq!(ended.end, End::Exit(0));
        assert!(ended.peak_rss_mb > 30.0 && ended.peak_rss_mb < 500.0, "{ended:?}");
        assert!(ended.cpu_s > 0.001 && ended.cpu_s < ended.wall_s * 1.5 + 0.05, "{ended:?}");
    }

    #[test]
    fn a_time_limit_ends_grandchildren_too() {
        let dir = Scratch::new("limit").unwrap();
        // The second one ignores TERM: only KILL ends it
        for text in ["sleep 1000 & echo $!; wait", "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"] {
            let log = dir.path().join(format!("log{}", text.len()));
            let args = sh(text);
            let mut job = Job::new(Path::new("sh"), &args, dir.path());
            job.timeout = Some(Duration::from_millis(200));
            let ended = run(&job, &log).unwrap();
            assert_eq!(ended.end, End::Timeout);
            assert!(ended.wall_s >= 0.2 && ended.wall_s < 300.0, "{ended:?}");
            let child: i32 = std::fs::read_to_string(&log).unwrap().trim().parse().unwrap();
            let start = Instant::now();
            while alive(child) {
                assert!(start.elapsed() < Duration::from_secs(120), "{text}: the grandchild lives on");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    #[test]
    fn a_raised_flag_ends_the_group() {
        let dir = Scratch::new("flag").unwrap();
        let stop = AtomicBool::new(false);
        let args = sh("sleep 1000");
        let ended = std::thread::scope(|s| {
            s.spawn(|| {
                std::thread::sleep(Duration::from_millis(150));
                stop.store(true, Ordering::Relaxed);
            });
            let mut job = Job::new(Path::new("sh"), &args, dir.path());
            job.stop = Some(&stop);
            run(&job, &dir.path().join("log")).unwrap()
        });
        assert_eq!(ended.end, End::Stopped);
        assert!(ended.wall_s < 300.0);
    }

    #[test]
    fn those_left_behind_by_a_leader_that_ended_well_are_left_alone() {
        let dir = Scratch::new("left").unwrap();
        let args = sh("sleep 30 & echo $!");
        let mut job = Job::new(Path::new("sh"), &args, dir.path());
        job.timeout = Some(Duration::from_secs(60));
        let ended = run(&job, &dir.path().join("log")).unwrap();
        assert_eq!(ended.end, End::Exit(0));
        let child: i32 = std::fs::read_to_string(dir.path().join("log")).unwrap().trim().parse().unwrap();
        assert!(alive(child) || ended.wall_s > 29.0);
    }

    #[test]
    fn a_program_that_cannot_be_started_is_named() {
        let dir = Scratch::new("none").unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        for (program, word) in [(Path::new("/no/such"), "not found"), (plain.as_path(), "chmod")] {
            let error = run(&Job::new(program, &[], dir.path()), &dir.path().join("log")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&program.display().to_string()) && text.contains(word), "{text}");
        }
        let gone = dir.path().join("gone");
        let error = run(&Job::new(Path::new("true"), &[], &gone), &dir.path().join("log")).unwrap_err();
        assert!(error.to_string().contains("cannot enter folder"), "{error}");
    }

    #[test]
    fn environment_is_added_and_removed_and_output_captured() {
        let args = sh("echo $EKP_A-$EKP_B; echo e >&2");
        let env = [("EKP_A".into(), "1".into()), ("EKP_B".into(), "2".into())];
        let mut job = Job::new(Path::new("sh"), &args, Path::new("/"));
        job.env = &env;
        let captured = capture(&job).unwrap();
        assert_eq!((captured.stdout.as_str(), captured.stderr.as_str()), ("1-2\n", "e\n"));
        let args = sh("echo ${PATH-none}");
        let mut job = Job::new(Path::new("/bin/sh"), &args, Path::new("/"));
        job.without = |name| name == b"PATH";
        assert_ne!(capture(&job).unwrap().stdout.trim(), std::env::var("PATH").unwrap());
    }
}
