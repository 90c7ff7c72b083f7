//! The folder of a closed try, which moves on to the next trial of its worker.
//!
//! A trial of a model of this process leaves nothing in its try but the claim, and a claim says who works, not on what:
//! moved into the next trial's folder it is that trial's lease. So a worker makes and removes one such folder, not one
//! for each trial: to remove a folder is the dearest call that a trial would make (on a disk that tells its device of
//! freed blocks, dearer than all others together). Nobody but its worker touches a try, and a trial that has its
//! outcome needs no lease, so nobody misses it.

use std::fs;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::files::Lease;

/// A try that holds a claim and nothing else. Dropped, it is removed.
#[derive(Debug)]
pub(super) struct Spare(Lease);

impl Spare {
    /// Of a lease whose work has ended.
    pub(super) fn new(lease: Lease) -> Self {
        Self(lease)
    }

    /// Make it the try at `place`, in a folder that nobody else knows yet; none when it is gone.
    pub(super) fn moved(mut self, place: &Path, lease_s: f64) -> Option<Lease> {
        // It must not look expired where it appears, nor soon after: what renews it there waits for a quarter of it.
        if self.0.touched.elapsed() > Duration::from_secs_f64(lease_s / 8.0) {
            self.0.touched = self.0.renew().then(Instant::now)?;
        }
        fs::rename(&self.0.folder, place).ok()?;
        self.0.folder = PathBuf::new();
        Some(Lease { attempt: 1, folder: place.to_owned(), touched: self.0.touched })
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        let folder = mem::take(&mut self.0.folder);
        if !folder.as_os_str().is_empty() {
            // Best effort: beside an outcome it hurts nobody.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Claim, claim};

    fn lease(folder: &Path, lease_s: f64) -> Option<Lease> {
        match claim(folder, lease_s, "a").unwrap() {
            Claim::Got(lease) => Some(lease),
            Claim::Busy => None,
        }
    }

    #[test]
    fn a_moved_claim_is_live_where_it_appears_and_removed_where_it_stays() {
        let root = std::env::temp_dir().join(format!("ekp-spare-{}", std::process::id()));
        for name in ["first", "second"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        // Given a try whose claim is about to expire
        let old = lease(&root.join("first"), 0.6).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        // When it moves on
        let new = Spare::new(old).moved(&root.join("second/try_1"), 0.6).unwrap();
        std::thread::sleep(Duration::from_millis(400));
        // Then it holds the second trial (for as long as a busy machine lets this look), and no longer the first
        assert!(
            new.touched.elapsed() > Duration::from_millis(590) || lease(&root.join("second"), 0.6).is_none()
        );
        let again = lease(&root.join("first"), 60.0).unwrap();
        assert_eq!(again.attempt, 1);
        drop(Spare::new(again));
        assert!(!root.join("first/try_1").exists() && root.join("second/try_1/claim.toml").exists());
        // And one whose folder is gone moves nowhere
        fs::remove_dir_all(root.join("second/try_1")).unwrap();
        assert!(Spare::new(new).moved(&root.join("first/try_1"), 60.0).is_none());
        fs::remove_dir_all(root).unwrap();
    }
}
