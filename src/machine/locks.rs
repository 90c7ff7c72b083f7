//! Who on this machine holds a lock on a file, seen without touching the lock.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number
    pub pid: u32,
    /// Its name, cut by the kernel after 15 signs
    pub program: String,
}

/// The process of this machine that holds an exclusive `flock` on a file. Trying the lock would tell, too,
/// but would take it for a moment from somebody who wants it.
pub fn holder(path: &Path) -> Option<Holder> {
    let inode = fs::metadata(path).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().filter_map(|line| lock(line, inode)).find_map(|pid| {
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(Holder { pid, program: program.trim_end().to_owned() })
    })
}

/// `1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF`. The device is not compared: stacked file systems
/// name another one here than `stat` does.
fn lock(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, "WRITE", pid, place, ..] = words[..] else { return None };
    let found: u64 = place.rsplit(':').next()?.parse().ok()?;
    (found == inode).then(|| pid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    #[test]
    fn the_holder_of_a_lock_is_seen_while_it_holds_it() {
        assert_eq!(lock("1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF", 5678), Some(1234));
        assert_eq!(lock("1: FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF", 678), None);
        // One who waits for it does not hold it
        assert_eq!(lock("1: -> FLOCK  ADVISORY  WRITE 1234 fe:01:5678 0 EOF", 5678), None);
        let dir = Scratch::new("locks").unwrap();
        let path = dir.path().join("file");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(holder(&path), None);
        file.try_lock().unwrap();
        assert_eq!(holder(&path).map(|h| h.pid), Some(std::process::id()));
        drop(file);
        assert_eq!(holder(&path), None);
    }
}
