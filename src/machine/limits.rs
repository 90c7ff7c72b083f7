//! Limits the kernel sets to this process.
#![allow(unsafe_code)]

use std::io;

/// More open files than any pool here needs. Not simply the hard limit: where that is 10⁹ (some containers),
/// older programs that close every possible descriptor at start would hang, and children inherit the limit.
const ENOUGH: u64 = 65_536;

/// How many files this process may have open: (soft, hard).
///
/// # Errors
/// The kernel refuses to tell.
pub fn open_files() -> io::Result<(u64, u64)> {
    let limit = get()?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raise the soft limit of open files to the hard one, at most to 65 536; returns the limit that holds.
///
/// # Errors
/// The kernel refuses.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = get()?;
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

fn get() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one rlimit, on our stack.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
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
}
