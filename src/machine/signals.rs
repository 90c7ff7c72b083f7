//! Signals that ask for an end: a flag at the first, an immediate end at the second.

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

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    #[test]
    fn the_first_signal_raises_the_flag() {
        let stop = super::stop_flag().unwrap();
        assert!(!stop.load(Ordering::Relaxed));
        signal_hook::low_level::raise(signal_hook::consts::SIGUSR1).unwrap();
        assert!(stop.load(Ordering::Relaxed));
    }
}
