//! Waiting for a child with a limit, ending its group, and taking what it left.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Time between TERM and KILL.
const GRACE: Duration = Duration::from_secs(2);
/// How often the stop flag is looked at. A signal to the waiting thread wakes it sooner.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// TERM to the group, a moment of grace, KILL to what is left. The leader is not reaped yet, so the group's
/// number cannot have gone to strangers.
pub(super) fn end_group(pid: libc::pid_t, watched: &Watched) -> io::Result<()> {
    signal_group(pid, libc::SIGTERM);
    let start = Instant::now();
    while start.elapsed() < GRACE {
        if watched.ended(GRACE.saturating_sub(start.elapsed()).min(LOOK))? {
            break;
        }
    }
    signal_group(pid, libc::SIGKILL);
    Ok(())
}

/// Send a signal to all of the group that a child of ours leads; nobody left is fine.
pub(super) fn signal_group(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: no memory is involved; the group leader is a child of ours that is not reaped.
    // An error means that nobody is left, which is what was wanted.
    unsafe { libc::kill(-pid, signal) };
}

/// A child whose end can be waited for with a limit.
pub(super) struct Watched {
    pid: libc::pid_t,
    pidfd: Option<OwnedFd>,
}

impl Watched {
    /// Watch a child that is not reaped yet; without a pidfd of the kernel its end is asked for now and then.
    pub(super) fn new(pid: libc::pid_t) -> Self {
        // SAFETY: a system call on numbers; close-on-exec is always set on the descriptor it returns.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        // SAFETY: a descriptor the kernel just handed out; nobody else has it.
        let pidfd = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) });
        Self { pid, pidfd }
    }

    /// Has it ended, at the latest after `limit`? May return early without an end.
    pub(super) fn ended(&self, limit: Duration) -> io::Result<bool> {
        match &self.pidfd {
            Some(fd) => {
                let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
                let ms = limit.as_micros().div_ceil(1000).min(3_600_000) as libc::c_int;
                // SAFETY: one pollfd, on our stack.
                let ready = unsafe { libc::poll(&raw mut poll, 1, ms) };
                if ready >= 0 {
                    return Ok(ready > 0);
                }
                let error = io::Error::last_os_error();
                // A signal: look at the stop flag.
                if error.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(error) }
            }
            None => self.ended_asking(limit),
        }
    }

    /// Without a pidfd: ask, with growing pauses up to 5 ms.
    fn ended_asking(&self, limit: Duration) -> io::Result<bool> {
        let start = Instant::now();
        let mut pause = Duration::from_micros(100);
        loop {
            // SAFETY: a zeroed siginfo is valid, and is what the call leaves when nobody has ended.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            // SAFETY: the call writes one siginfo, on our stack.
            if unsafe { libc::waitid(libc::P_PID, self.pid as libc::id_t, &raw mut info, flags) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: waitid fills this field, or leaves the zero.
            if unsafe { info.si_pid() } != 0 {
                return Ok(true);
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }
}

/// Status and cost; the child's number is free afterwards.
pub(super) fn reap(pid: libc::pid_t) -> io::Result<(libc::c_int, libc::rusage)> {
    let mut status = 0;
    // SAFETY: a zeroed rusage is valid: all its fields are numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to our stack.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            return Ok((status, usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_pidfd_is_asked_instead() {
        let mut sleep = std::process::Command::new("sleep");
        #[expect(clippy::zombie_processes, reason = "`reap` below waits for it")]
        let child = sleep.arg("0.05").spawn().unwrap();
        let watched = Watched { pid: child.id() as libc::pid_t, pidfd: None };
        assert!(!watched.ended(Duration::ZERO).unwrap());
        assert!(watched.ended(Duration::from_secs(20)).unwrap());
        assert!(libc::WIFEXITED(reap(watched.pid).unwrap().0));
    }
}
