//! Leases: who works on which member, on a disk that several machines share.
//!
//! A lease is a folder `try_K`. Taking it is making it; losing it is finding a later one beside it.
//! An expired one is never touched: it may have been taken anew by then. A lease saves work, it does
//! not keep truth: the name of the outcome does that.
//! Belongs here: taking, renewing, finding what has expired. Not here: what is done under a lease.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use crate::files::{FileError, TomlText};

/// How long a reading of the file server's clock may be carried on by our own: a pool that waits asks for
/// every member it waits for, and each reading costs the server a file.
const CARRIED: Duration = Duration::from_secs(30);

/// What makes a try's folder a lease.
pub const CLAIM: &str = "claim.toml";

/// A lease that this process holds.
#[derive(Debug)]
pub struct Lease {
    /// Number of the try
    pub attempt: u32,
    /// Its folder
    pub folder: PathBuf,
    /// When its claim was written, or touched since, as far as its holder knows
    pub touched: Instant,
}

/// The answer to a claim.
#[derive(Debug)]
pub enum Claim {
    /// It is ours
    Got(Lease),
    /// Another one is at work
    Busy,
}

/// Try to take the work of the member in `folder`. A lease not touched for `lease_s` seconds by the
/// file server's clock counts as left behind.
///
/// # Errors
/// The folder cannot be read or written.
pub fn claim(folder: &Path, lease_s: f64, worker: &str) -> Result<Claim, FileError> {
    let tries = tries(folder)?;
    let last = tries.iter().copied().max().unwrap_or(0);
    // Any of them: who holds a try and runs the model once more does so in a later one without a claim.
    for number in tries {
        let held = folder.join(format!("try_{number}"));
        let claimed = fs::metadata(held.join(CLAIM)).and_then(|m| m.modified()).ok();
        if let Some(touched) = claimed.or_else(|| just_made(&held)) {
            let age = now(folder)?.duration_since(touched).unwrap_or(Duration::ZERO);
            if age.as_secs_f64() < lease_s {
                return Ok(Claim::Busy);
            }
        }
    }
    let attempt = last + 1;
    let mine = folder.join(format!("try_{attempt}"));
    match fs::create_dir(&mine) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(Claim::Busy),
        Err(e) => return Err(FileError::io("make", &mine)(e)),
    }
    write_claim(&mine, lease_s, worker).inspect_err(|_| {
        // A try without a claim would keep others waiting for nothing.
        let _ = fs::remove_dir_all(&mine);
    })?;
    Ok(Claim::Got(Lease { attempt, folder: mine, touched: Instant::now() }))
}

/// Say who works in the try's folder `mine`. It belongs to this process alone, and of a claim others look at the time
/// only: no need to write it elsewhere first.
///
/// # Errors
/// The disk.
pub fn write_claim(mine: &Path, lease_s: f64, worker: &str) -> Result<(), FileError> {
    let mut text = TomlText::comments("Who works on this member. Live while touched within the lease.");
    text.text("schema", "ekp.claim").number("version", 1);
    text.text("worker", worker).float("lease_s", lease_s);
    let path = mine.join(CLAIM);
    fs::write(&path, text.finish()).map_err(FileError::io("write", &path))
}

/// Between mkdir and the claim a folder is empty, and its own time counts. One that holds other things is no
/// lease: a defective outcome was put aside there, or somebody works without one.
fn just_made(folder: &Path) -> Option<SystemTime> {
    let names: Vec<_> = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.file_name()).collect();
    // Hidden: a claim that is being written. By its name: it was written since we looked for it.
    let other = |name: &std::ffi::OsString| name != CLAIM && !name.as_encoded_bytes().starts_with(b".");
    if !names.iter().any(|name| name == CLAIM) && names.iter().any(other) {
        return None;
    }
    fs::metadata(folder).and_then(|m| m.modified()).ok()
}

/// The tries in a member's folder, in no order.
fn tries(folder: &Path) -> Result<Vec<u32>, FileError> {
    let entries = fs::read_dir(folder).map_err(FileError::io("read", folder))?;
    Ok(entries.filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix("try_")?.parse().ok()).collect())
}

/// Now, by the file server's clock, at most `CARRIED` by our own since it was last asked.
fn now(folder: &Path) -> Result<SystemTime, FileError> {
    static KNOWN: Mutex<Option<(Instant, SystemTime)>> = Mutex::new(None);
    let mut known = KNOWN.lock().expect("no one panics under this lock");
    if let Some((at, then)) = *known
        && at.elapsed() < CARRIED
    {
        return Ok(then + at.elapsed());
    }
    let now = server_now(folder)?;
    *known = Some((Instant::now(), now));
    Ok(now)
}

/// Now, as the file server sees it: a scratch file of our own tells.
///
/// # Errors
/// The folder cannot be written.
pub fn server_now(folder: &Path) -> Result<SystemTime, FileError> {
    let scratch = folder.join(format!(".clock.{}.{:?}.tmp", std::process::id(), std::thread::current().id()));
    let now = fs::File::create(&scratch).and_then(|f| f.metadata()?.modified());
    let _ = fs::remove_file(&scratch);
    now.map_err(FileError::io("write", &scratch))
}

impl Lease {
    /// Say that the work goes on; false when that could not be said. Writing the byte that is there moves the file's
    /// time by the file server's clock, not by ours.
    pub fn renew(&self) -> bool {
        use std::os::unix::fs::FileExt;
        let claim = fs::File::options().write(true).open(self.folder.join(CLAIM));
        claim.and_then(|f| f.write_all_at(b"#", 0)).is_ok()
    }
}

/// The number of the next try in a member's folder, without a lease.
///
/// # Errors
/// The folder cannot be read.
pub fn next_try(folder: &Path) -> Result<u32, FileError> {
    Ok(tries(folder)?.into_iter().max().unwrap_or(0) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_defective_outcome_put_aside_does_not_look_like_a_lease() {
        let dir = std::env::temp_dir().join(format!("ekp-lease-aside-{}", std::process::id()));
        fs::create_dir_all(dir.join("try_1")).unwrap();
        assert!(matches!(claim(&dir, 60.0, "a").unwrap(), Claim::Busy), "somebody is about to claim it");
        fs::write(dir.join("try_1/data.toml"), "torn").unwrap();
        let Claim::Got(lease) = claim(&dir, 60.0, "a").unwrap() else { panic!("nobody holds it") };
        assert_eq!(lease.attempt, 2);
        assert!(matches!(claim(&dir, 60.0, "b").unwrap(), Claim::Busy));
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_retry_that_takes_longer_than_the_lease_is_not_taken_over() {
        // Given a lease whose holder tries again, in a folder of its own
        let member = std::env::temp_dir().join(format!("ekp-lease-retry-{}", std::process::id()));
        fs::create_dir_all(&member).unwrap();
        let Claim::Got(lease) = claim(&member, 0.4, "first").unwrap() else { panic!("free") };
        fs::create_dir(member.join(format!("try_{}", next_try(&member).unwrap()))).unwrap();
        // When that folder is older than the lease, but the lease is renewed
        std::thread::sleep(Duration::from_millis(500));
        let renewed = Instant::now();
        assert!(lease.renew());
        // Then the member is taken (for as long as a busy machine lets this look), until the lease runs out
        let Claim::Busy = claim(&member, 0.4, "second").unwrap() else {
            assert!(renewed.elapsed() > Duration::from_millis(390));
            return fs::remove_dir_all(member).unwrap();
        };
        std::thread::sleep(Duration::from_millis(500));
        let Claim::Got(third) = claim(&member, 0.4, "third").unwrap() else { panic!("expired") };
        assert_eq!(third.attempt, 3);
        fs::remove_dir_all(member).unwrap();
    }

    #[test]
    fn of_many_claimants_one_gets_it_and_an_expired_lease_is_followed_by_another() {
        let dir = std::env::temp_dir().join(format!("ekp-lease-{}", std::process::id()));
        for round in 0..100 {
            let member = dir.join(format!("{round}"));
            fs::create_dir_all(&member).unwrap();
            let got = std::thread::scope(|s| {
                let all: Vec<_> = (0..8)
                    .map(|i| {
                        let member = &member;
                        s.spawn(move || matches!(claim(member, 60.0, &i.to_string()).unwrap(), Claim::Got(_)))
                    })
                    .collect();
                all.into_iter().filter(|_| true).map(|h| h.join().unwrap()).filter(|g| *g).count()
            });
            assert_eq!(got, 1, "round {round}");
            let Claim::Got(second) = claim(&member, 0.0, "late").unwrap() else { panic!("expired") };
            assert_eq!(second.attempt, 2);
        }
        fs::remove_dir_all(dir).unwrap();
    }
}
