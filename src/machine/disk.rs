//! What kind of disk a folder lies on.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A file system, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// Its name: `nfs`, `lustre`, `ext4`; `unknown` for a number that is not in the list
    pub name: &'static str,
    /// Other machines may see it: names may show up late, locks may be missing
    pub network: bool,
    /// It lives in memory and is gone after a restart
    pub memory: bool,
    /// Free for us, in bytes
    pub free_bytes: u64,
}

/// Numbers from `linux/magic.h`, statfs(2) and the file systems' own sources.
const KNOWN: &[(u32, &str, bool)] = &[
    (0x6969, "nfs", true),
    (0x0BD0_0BD0, "lustre", true),
    (0x4750_4653, "gpfs", true),
    (0x1983_0326, "beegfs", true),
    (0xFF53_4D42, "cifs", true),
    (0xFE53_4D42, "smb2", true),
    (0x517B, "smb", true),
    (0x00C3_6400, "ceph", true),
    (0x5346_414F, "afs", true),
    (0x6B41_4653, "kafs", true),
    (0xAAD7_AAEA, "panfs", true),
    (0x2003_0528, "orangefs", true),
    (0x0102_1997, "9p", true),
    (0x0116_1970, "gfs2", true),
    (0x7461_636F, "ocfs2", true),
    (0x4753_4C4F, "quobyte", true),
    // sshfs, glusterfs, some BeeGFS and WekaFS mounts: may be anything, so expect the worst
    (0x6573_5546, "fuse", true),
    (0xEF53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683E, "btrfs", false),
    (0x2FC1_2FC1, "zfs", false),
    (0x794C_7630, "overlayfs", false),
    (0xF2F5_2010, "f2fs", false),
    (0x0102_1994, "tmpfs", false),
    (0x8584_58F6, "ramfs", false),
];

/// What disk a folder lies on.
///
/// # Errors
/// The folder is not there, or the file system does not answer.
pub fn disk(folder: &Path) -> io::Result<Disk> {
    let name = CString::new(folder.as_os_str().as_bytes())?;
    // SAFETY: a zeroed statfs is valid: all its fields are numbers.
    let mut answer: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a C string that lives through the call, and one statfs on our stack.
    if unsafe { libc::statfs(name.as_ptr(), &raw mut answer) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The kernel's number has 32 bits; its C type differs between architectures.
    let kind = answer.f_type as u32;
    let (name, network) =
        KNOWN.iter().find(|(number, ..)| *number == kind).map_or(("unknown", false), |(_, n, net)| (n, *net));
    let free_bytes = answer.f_bavail.saturating_mul(answer.f_bsize as u64);
    Ok(Disk { name, network, memory: matches!(name, "tmpfs" | "ramfs"), free_bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_disk_is_known_and_no_number_is_listed_twice() {
        if let Ok(found) = disk(Path::new("/dev/shm")) {
            assert!(!found.network, "{found:?}");
        }
        let mut numbers: Vec<u32> = KNOWN.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), KNOWN.len());
        assert!(disk(Path::new("/no/such/folder")).is_err());
    }
}
