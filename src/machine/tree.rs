//! How many names a tree of folders has.
//!
//! A study of a thousand runs has half a million of them: each folder is opened once, seen from the one above it, and
//! listed into the same room; nobody asks for anything else.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for a listing, in words of eight bytes so that records lie as the system wants them: 32 KiB.
const ROOM: usize = 4096;
/// Bytes before the name in a record: inode, offset (8 each), length (2), kind (1).
const HEAD: usize = 19;

/// Files and folders below a folder, links counted and not followed; what cannot be listed counts as empty.
pub fn names_below(root: &Path) -> u64 {
    let Ok(name) = CString::new(root.as_os_str().as_bytes()) else { return 0 };
    let mut room = vec![0_u64; ROOM];
    open(libc::AT_FDCWD, &name, 0).map_or(0, |folder| below(&folder, &mut room))
}

fn below(folder: &File, room: &mut [u64]) -> u64 {
    let mut count = 0;
    // Names of folders, each with its zero: they are gone through when the room is free again.
    let mut folders: Vec<u8> = Vec::new();
    while let Some(bytes) = listed(folder, room) {
        let mut rest = bytes;
        while rest.len() > HEAD {
            let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
            let Some((record, more)) = rest.split_at_checked(length.max(HEAD)) else { break };
            rest = more;
            let Ok(name) = CStr::from_bytes_until_nul(&record[HEAD..]) else { continue };
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            count += 1;
            // Where the file system does not tell the kind, opening it tells.
            if matches!(record[18], libc::DT_DIR | libc::DT_UNKNOWN) {
                folders.extend(name.to_bytes_with_nul());
            }
        }
    }
    for name in folders.split_inclusive(|&b| b == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        if let Some(inner) = open(folder.as_raw_fd(), name, libc::O_NOFOLLOW) {
            count += below(&inner, room);
        }
    }
    count
}

fn open(at: libc::c_int, name: &CStr, flags: libc::c_int) -> Option<File> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC | flags;
    // SAFETY: `name` ends with a zero, `at` is an open folder or the current one; the call keeps neither.
    let fd = unsafe { libc::openat(at, name.as_ptr(), flags) };
    // SAFETY: a number that is not negative is a descriptor that was just opened and that nobody else has.
    (fd >= 0).then(|| unsafe { File::from_raw_fd(fd) })
}

/// The next records of a folder; none at its end, and after an error.
fn listed<'a>(folder: &File, room: &'a mut [u64]) -> Option<&'a [u8]> {
    let size = size_of_val(room);
    // SAFETY: `room` is memory of ours of `size` bytes, which the call fills from its begin.
    let n = unsafe { libc::syscall(libc::SYS_getdents64, folder.as_raw_fd(), room.as_mut_ptr(), size) };
    let n = usize::try_from(n).ok().filter(|&n| n > 0 && n <= size)?;
    // SAFETY: the first `n` bytes of `room` are initialised, and bytes have no alignment.
    Some(unsafe { std::slice::from_raw_parts(room.as_ptr().cast::<u8>(), n) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;
    use std::fs;

    #[test]
    fn every_name_is_counted_once_and_links_are_not_followed() {
        let scratch = Scratch::new("tree").unwrap();
        let root = scratch.path();
        // More names than the room holds at once: 2000 of a hundred letters
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        (0..2000).for_each(|k| fs::write(root.join(format!("a/{k:0100}")), "").unwrap());
        fs::write(root.join("a/b/c/.hidden"), "").unwrap();
        std::os::unix::fs::symlink(root, root.join("a/b/loop")).unwrap();
        assert_eq!(names_below(root), 3 + 2000 + 1 + 1);
        assert_eq!(names_below(&root.join("a/b/c")), 1);
        assert_eq!((names_below(&root.join("none")), names_below(&root.join("a/b/c/.hidden"))), (0, 0));
    }
}
