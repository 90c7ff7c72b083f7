//! How long a worker that finds everything held by others waits before it looks again.
//!
//! An eighth of what it has waited already: whoever it waits for loses at most that much by it, and the number of
//! looks grows with the logarithm of the wait. A look is never more than a tenth of the time, so that
//! many workers on a large folder, where each look costs, do not keep the disk busy with looking.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(2);
const LAST: Duration = Duration::from_secs(1);

/// The pauses of one worker.
#[derive(Debug, Default)]
pub(super) struct Patience(Option<Instant>);

impl Patience {
    /// There was something to do.
    pub(super) fn over(&mut self) {
        self.0 = None;
    }

    /// Sleep after a look, begun at `look`, that found nothing to do.
    pub(super) fn wait(&mut self, look: Instant) {
        let since = *self.0.get_or_insert(look);
        std::thread::sleep(pause(since.elapsed(), look.elapsed()));
    }
}

fn pause(waited: Duration, look: Duration) -> Duration {
    (waited / 8).max(look * 9).clamp(FIRST, LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks of a wait, and the worst share of it that is lost after its end.
    fn looks(wait: f64, look: f64) -> usize {
        let (mut at, mut n) = (0.0, 0);
        while at < wait {
            at += look;
            n += 1;
            at += pause(Duration::from_secs_f64(at), Duration::from_secs_f64(look)).as_secs_f64();
        }
        assert!(at - wait <= wait / 8.0 + 2.0 * look * 10.0 + 0.003, "{wait} {look}: {at}");
        n
    }

    #[test]
    fn few_looks_and_little_lost() {
        assert!(looks(0.01, 1e-5) <= 6);
        // ln(8 s / 16 ms) / ln(9/8) = 53, eight before it
        assert!(looks(8.0, 1e-5) <= 65);
        assert!(looks(3600.0, 1e-5) <= 65 + 3600);
    }

    #[test]
    fn looking_is_a_tenth_at_most() {
        assert!(looks(10.0, 0.05) <= 21);
        assert_eq!(pause(Duration::ZERO, Duration::from_secs(1)), LAST);
    }
}
