//! Publishing: a file is whole or absent, whatever dies in between.
//!
//! ```text
//!   publish             tmp, write, rename            outcomes' side files: a newer one replaces
//!   publish_new         tmp, write, link, unlink      outcomes: the first wins
//!   …_durable           the same with fsync of file and folder
//!   whole_folder        files into a hidden folder, then one rename of the folder
//! ```
//! Leftover `.tmp` files are what a kill leaves; readers skip names that begin with a dot.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::files::FileError;

/// How long a name may be reserved before its content follows, where links are refused.
const RESERVED: Duration = Duration::from_secs(2);

/// Make `bytes` visible at `path`, all or nothing, replacing what is there.
///
/// # Errors
/// The folder is missing, the disk is full, permissions.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let tmp = written(path, bytes, false)?;
    rename(&tmp, path, bytes)
}

/// As [`publish`], and it survives a power loss.
///
/// # Errors
/// As [`publish`].
pub fn publish_durable(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let tmp = written(path, bytes, true)?;
    rename(&tmp, path, bytes)?;
    sync_folder(parent(path))
}

/// Make `bytes` visible at `path` unless something is there already; tells whether it was this call.
///
/// # Errors
/// As [`publish`]; that another was first is no error.
pub fn publish_new(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let tmp = written(path, bytes, false)?;
    link_first(&tmp, path, bytes)
}

/// As [`publish_new`], and it survives a power loss.
///
/// # Errors
/// As [`publish`].
pub fn publish_new_durable(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let tmp = written(path, bytes, true)?;
    let first = link_first(&tmp, path, bytes)?;
    sync_folder(parent(path))?;
    Ok(first)
}

/// A file that is written piece by piece under a hidden name, and then shown whole. One that is dropped before that
/// leaves nothing.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    tmp: PathBuf,
    file: Option<File>,
}

impl Draft {
    /// Begin one for `path`.
    ///
    /// # Errors
    /// As [`publish`].
    pub fn new(path: &Path) -> Result<Self, FileError> {
        let (tmp, file) =
            unused(path, |tmp| File::create_new(tmp)).map_err(|(_, e)| FileError::io("write", path)(e))?;
        Ok(Self { path: path.to_owned(), tmp, file: Some(file) })
    }

    /// What is written so far, to go on with.
    pub fn file(&mut self) -> &mut File {
        self.file.as_mut().expect("a draft is open until it is shown")
    }

    /// Show it, replacing what is there; with `durable` it survives a power loss.
    ///
    /// # Errors
    /// As [`publish`].
    pub fn show(mut self, durable: bool) -> Result<(), FileError> {
        let file = self.file.take().expect("a draft is shown once");
        let shown =
            if durable { file.sync_all() } else { Ok(()) }.and_then(|()| fs::rename(&self.tmp, &self.path));
        if shown.is_err() {
            let _ = fs::remove_file(&self.tmp);
        }
        shown.map_err(FileError::io("write", &self.path))?;
        if durable { sync_folder(parent(&self.path)) } else { Ok(()) }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: a leftover hurts nobody.
            let _ = fs::remove_file(&self.tmp);
        }
    }
}

/// Build a folder under a hidden name with `fill`, then show it whole at `path`; false if another was first.
///
/// # Errors
/// What `fill` returns, or the system refuses.
pub fn whole_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<bool, E> {
    let hidden = unused(path, |hidden| fs::create_dir(hidden))
        .map_err(|(hidden, e)| FileError::io("make", &hidden)(e))?
        .0;
    let filled = fill(&hidden).and_then(|()| {
        sync_folder(&hidden)?;
        match fs::rename(&hidden, path) {
            Ok(()) => Ok(true),
            // A folder with files in it is never replaced by a rename: another was first.
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(false),
            // NFS: the answer got lost, and the repetition found nothing to rename.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !hidden.exists() && path.is_dir() => Ok(true),
            Err(e) => Err(FileError::io("make", path)(e).into()),
        }
    });
    if !matches!(filled, Ok(true)) {
        // Best effort: a leftover hidden folder hurts nobody.
        let _ = fs::remove_dir_all(&hidden);
    }
    let first = filled?;
    sync_folder(parent(path))?;
    Ok(first)
}

/// As [`whole_folder`] without its syncs, for what may be made again; the folder around it is made where it is missing.
///
/// # Errors
/// As `fill`, or the disk.
pub fn fresh_folder<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<bool, E> {
    if path.exists() {
        return Ok(false);
    }
    let hidden = || unused(path, |hidden| fs::create_dir(hidden));
    let hidden = match hidden() {
        Err((_, e)) if e.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(parent(path)).map_err(FileError::io("make", parent(path)))?;
            hidden()
        }
        other => other,
    };
    let hidden = hidden.map_err(|(hidden, e)| FileError::io("make", &hidden)(e))?.0;
    let made = fill(&hidden).and_then(|()| match fs::rename(&hidden, path) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound && !hidden.exists() && path.is_dir() => Ok(true),
        Err(e) => Err(FileError::io("make", path)(e).into()),
    });
    if !matches!(made, Ok(true)) {
        // Best effort: a leftover hidden folder hurts nobody.
        let _ = fs::remove_dir_all(&hidden);
    }
    made
}

/// Make names in a folder survive a power loss.
///
/// # Errors
/// The folder cannot be opened. A file system that cannot sync folders is no failure.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let dir = File::open(folder).map_err(FileError::io("open", folder))?;
    match dir.sync_all() {
        Ok(()) => Ok(()),
        Err(e)
            if matches!(e.raw_os_error(), Some(libc::EINVAL | libc::EBADF | libc::ENOTSUP | libc::EROFS)) =>
        {
            Ok(())
        }
        Err(e) => Err(FileError::io("sync", folder)(e)),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Hidden name in the same folder, unique for host, process and call.
fn hidden_name(path: &Path) -> PathBuf {
    static HOST: OnceLock<String> = OnceLock::new();
    static CALL: AtomicU32 = AtomicU32::new(0);
    let host = HOST.get_or_init(|| {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect()
    });
    let name = path.file_name().expect("a published file has a name").to_string_lossy();
    let call = CALL.fetch_add(1, Ordering::Relaxed);
    parent(path).join(format!(".{name}.{host}.{}.{call}.tmp", std::process::id()))
}

/// Make something under a hidden name that nobody uses. A process that was killed leaves its names behind,
/// and in a container the next one may have its number; two containers may even share host name and numbers.
fn unused<T>(
    path: &Path,
    make: impl Fn(&Path) -> io::Result<T>,
) -> Result<(PathBuf, T), (PathBuf, io::Error)> {
    loop {
        let hidden = hidden_name(path);
        match make(&hidden) {
            Ok(made) => return Ok((hidden, made)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err((hidden, e)),
        }
    }
}

fn written(path: &Path, bytes: &[u8], durable: bool) -> Result<PathBuf, FileError> {
    let (tmp, mut file) =
        unused(path, |tmp| File::create_new(tmp)).map_err(|(_, e)| FileError::io("write", path)(e))?;
    let mut write = || -> io::Result<()> {
        file.write_all(bytes)?;
        if durable {
            file.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|e| {
        // Best effort: a leftover hurts nobody.
        let _ = fs::remove_file(&tmp);
        FileError::io("write", path)(e)
    })?;
    Ok(tmp)
}

fn rename(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    match fs::rename(tmp, path) {
        Ok(()) => Ok(()),
        // NFS: the answer got lost, and the repetition found nothing to rename.
        Err(e) if e.kind() == io::ErrorKind::NotFound && fs::read(path).is_ok_and(|b| b == bytes) => Ok(()),
        Err(e) => {
            let _ = fs::remove_file(tmp);
            Err(FileError::io("write", path)(e))
        }
    }
}

/// `link` never replaces: of several writers one is first. On NFS a lost answer may report an error
/// although the link was made; then the link count of our own file tells.
fn link_first(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let linked = fs::hard_link(tmp, path);
    let first = match &linked {
        Ok(()) => true,
        Err(_) => {
            use std::os::unix::fs::MetadataExt;
            fs::metadata(tmp).is_ok_and(|m| m.nlink() == 2)
        }
    };
    let result = match linked {
        Err(e) if !first => match e.kind() {
            io::ErrorKind::AlreadyExists => Ok(false),
            // No hard links here (some FUSE and SMB mounts): an exclusive create decides who is first,
            // the rename over it makes the content whole.
            io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::TooManyLinks => {
                return exclusive_then_rename(tmp, path, bytes);
            }
            _ => Err(FileError::io("write", path)(e)),
        },
        _ => Ok(true),
    };
    let _ = fs::remove_file(tmp);
    result
}

/// The name is reserved by an empty file, then the content renamed over it. One who dies in between leaves
/// the empty file: readers take it for nothing, and the next writer takes the name over.
fn exclusive_then_rename(tmp: &Path, path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    match File::create_new(path) {
        Ok(_) => rename(tmp, path, bytes).map(|()| true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && stays_empty(path) => {
            rename(tmp, path, bytes).map(|()| true)
        }
        Err(e) => {
            let _ = fs::remove_file(tmp);
            if e.kind() == io::ErrorKind::AlreadyExists {
                Ok(false)
            } else {
                Err(FileError::io("write", path)(e))
            }
        }
    }
}

/// Was this name reserved by one who is gone? A live one needs milliseconds.
fn stays_empty(path: &Path) -> bool {
    let until = Instant::now() + RESERVED;
    loop {
        match fs::metadata(path) {
            Ok(m) if m.is_file() && m.len() == 0 => {}
            _ => return false,
        }
        if Instant::now() > until {
            return true;
        }
        std::thread::sleep(RESERVED / 40);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("ekp-publish-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn of_many_writers_of_a_new_file_exactly_one_is_first_and_its_bytes_stay() {
        let dir = folder("race");
        for round in 0..50 {
            let path = dir.join(format!("data_{round}"));
            let firsts: Vec<usize> = std::thread::scope(|s| {
                let handles: Vec<_> = (0..8)
                    .map(|i| {
                        let path = &path;
                        s.spawn(move || publish_new(path, format!("{i}").as_bytes()).unwrap().then_some(i))
                    })
                    .collect();
                handles.into_iter().filter_map(|h| h.join().unwrap()).collect()
            });
            assert_eq!(firsts.len(), 1);
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}", firsts[0]));
        }
        let left = fs::read_dir(&dir)
            .unwrap()
            .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'))
            .count();
        assert_eq!(left, 0, "no temporary file is left");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn names_that_a_killed_process_of_the_same_number_left_are_not_used() {
        let dir = folder("left");
        let (path, target) = (dir.join("a"), dir.join("b"));
        let name = |path: &Path, ahead: u32| {
            let next = hidden_name(path).to_string_lossy().into_owned();
            let (head, call) = next.strip_suffix(".tmp").unwrap().rsplit_once('.').unwrap();
            let call: u32 = call.parse().unwrap();
            PathBuf::from(format!("{head}.{}.tmp", call + ahead))
        };
        for ahead in 1..40 {
            fs::write(name(&path, ahead), "left behind").unwrap();
            fs::create_dir(name(&target, ahead)).unwrap();
        }
        publish(&path, b"new").unwrap();
        assert!(
            whole_folder::<FileError>(&target, |hidden| {
                fs::write(hidden.join("a"), "x").map_err(FileError::io("write", hidden))
            })
            .unwrap()
        );
        assert_eq!(fs::read(&path).unwrap(), b"new");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_name_that_was_reserved_and_never_filled_is_taken_over() {
        let dir = folder("reserved");
        let path = dir.join("update.toml");
        File::create(&path).unwrap();
        let tmp = written(&path, b"whole", false).unwrap();
        assert!(exclusive_then_rename(&tmp, &path, b"whole").unwrap());
        let tmp = written(&path, b"late", false).unwrap();
        assert!(!exclusive_then_rename(&tmp, &path, b"late").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_folder_appears_whole_and_is_never_replaced() {
        let dir = folder("whole");
        let target = dir.join("iteration_001");
        let make = |text: &'static str| {
            whole_folder::<FileError>(&target, |hidden| {
                fs::write(hidden.join("a"), text).map_err(FileError::io("write", hidden))
            })
        };
        assert!(make("first").unwrap());
        assert!(!make("second").unwrap());
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "first");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
