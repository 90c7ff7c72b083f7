//! Limits the kernel sets to this process.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// More open files than any pool here needs. Not simply the hard limit: where that is 10⁹ (some containers),
/// older programs that close every possible descriptor at start would hang, and children inherit the limit.
const ENOUGH: u64 = 65_536;

/// How many files this process may have open: (soft, hard).
///
/// # Errors
/// The kernel refuses to tell.
pub fn open_files() -> io::Result<(u64, u64)> {
    let limit = get(libc::RLIMIT_NOFILE)?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raise the soft limit of open files to the hard one, at most to 65 536; returns the limit that holds.
///
/// # Errors
/// The kernel refuses.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = get(libc::RLIMIT_NOFILE)?;
    let wanted = limit.rlim_max.min(ENOUGH);
    if limit.rlim_cur >= wanted {
        return Ok(limit.rlim_cur);
    }
    limit.rlim_cur = wanted;
    // SAFETY: a valid rlimit, read only.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(wanted)
}

/// How many more processes and threads the user of this process may start; none where nothing limits them (root),
/// or where `wanted` is so far below the limit that counting is not worth it.
pub fn processes_left(wanted: u64) -> Option<u64> {
    // SAFETY: it takes nothing and cannot fail.
    let user = unsafe { libc::getuid() };
    let limit = get(libc::RLIMIT_NPROC).ok()?.rlim_cur;
    let far = limit == libc::RLIM_INFINITY || wanted < limit / 4;
    (user != 0 && !far).then(|| limit.saturating_sub(threads_of(user)))
}

/// Threads of all processes of a user, as the kernel counts them.
fn threads_of(user: u32) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = processes.filter(|entry| entry.metadata().is_ok_and(|m| m.uid() == user));
    own.map(|entry| fs::read_dir(entry.path().join("task")).map_or(0, |tasks| tasks.count() as u64)).sum()
}

fn get(what: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one rlimit, on our stack.
    if unsafe { libc::getrlimit(what, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_soft_limit_is_raised() {
        let (_, hard) = super::open_files().unwrap();
        let now = super::raise_open_files().unwrap();
        assert!(now >= hard.min(super::ENOUGH));
        assert_eq!(super::open_files().unwrap().0, now);
    }

    #[test]
    fn this_process_is_among_those_of_its_user() {
        use std::os::unix::fs::MetadataExt;
        let user = std::fs::metadata("/proc/self").unwrap().uid();
        assert!(super::threads_of(user) >= 2, "the test's thread, and the one that waits for it");
        assert_eq!(super::processes_left(0), None);
    }
}
