//! Signals that ask for an end: a flag at the first, an immediate end at the second.

#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

/// A flag that turns true at TERM (Slurm, before it kills), INT (a person) or USR1 (`--signal=B:USR1@120`).
/// A second such signal ends the process at once with 128 + its number.
///
/// # Errors
/// The kernel refuses the handler.
pub fn stop_flag() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT, SIGUSR1] {
        // First in the list: acts only when the flag is up already.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// For a worker: the flag of TERM and INT as [`stop_flag`] gives it, and another one of USR1, after which what runs may
/// finish and nothing else begins.
///
/// # Errors
/// The kernel refuses the handler.
pub fn stop_and_drain() -> io::Result<(Arc<AtomicBool>, Arc<AtomicBool>)> {
    let (stop, drain) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    signal_hook::flag::register(SIGUSR1, Arc::clone(&drain))?;
    Ok((stop, drain))
}

/// Ask a process to end (TERM).
pub fn terminate(pid: u32) {
    send(i64::from(pid), SIGTERM);
}

/// What Ctrl-C does to a process group: INT to each of its processes.
pub fn interrupt_group(leader: u32) {
    send(-i64::from(leader), SIGINT);
}

fn send(pid: i64, signal: i32) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    if pid.unsigned_abs() > 1 {
        // SAFETY: no memory is involved. An error means that nobody is there, which is what was wanted.
        unsafe { libc::kill(pid, signal) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    #[test]
    fn a_child_is_asked_to_end() {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        // A program that was started in the background may ignore Ctrl-C, and so would its children
        // SAFETY: sets a disposition back to the default; no handler is involved.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
        let sleep = || std::process::Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let mut child = sleep();
        super::terminate(child.id());
        assert_eq!(child.wait().unwrap().signal(), Some(super::SIGTERM));
        let mut child = sleep();
        super::interrupt_group(child.id());
        assert_eq!(child.wait().unwrap().signal(), Some(super::SIGINT));
    }

    #[test]
    fn the_first_signal_raises_the_flag() {
        let stop = super::stop_flag().unwrap();
        assert!(!stop.load(Ordering::Relaxed));
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
        assert!(stop.load(Ordering::Relaxed));
    }
}
