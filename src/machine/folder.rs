//! What a folder's disk can do and how fast, measured with scratch files that are removed again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use serde::Serialize;

use crate::machine::disk::disk;
use crate::machine::host::host;

/// How often each small operation is timed; the middle one is told.
const ROUNDS: usize = 15;
/// How often a file is made, looked at and renamed: enough for the slowest of a hundred.
const MANY: usize = 200;
/// Bytes of the bandwidth probe: large against a network packet, small against a quota.
const BULK: usize = 8 << 20;

/// What a folder's disk can do. An operation the disk refuses is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderReport {
    /// The folder
    pub folder: PathBuf,
    /// Kind of file system
    pub disk: String,
    /// Shared with other machines
    pub network: bool,
    /// Free, 10⁶ bytes
    pub free_mb: f64,
    /// Kind of storage behind it: `ssd`, `hdd`; what a virtual disk claims to be
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<&'static str>,
    /// Create, write, close, stat and rename a small file, microseconds: the middle one of 200
    pub create_rename_us: f64,
    /// 99 of 100 take no longer, microseconds
    pub create_rename_p99_us: f64,
    /// The same with a sync of the file before, microseconds
    pub durable_us: f64,
    /// A hard link that must not replace, microseconds
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_us: Option<f64>,
    /// Make a folder, microseconds
    pub mkdir_us: f64,
    /// An exclusive lock, microseconds
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flock_us: Option<f64>,
    /// Open, read and close a small file, microseconds
    pub read_us: f64,
    /// Writing 8 MiB with a sync at the end, 10⁶ bytes per second
    pub write_mb_per_s: f64,
    /// Reading them again, 10⁶ bytes per second; out of memory where the system kept them
    pub read_mb_per_s: f64,
    /// The file server's clock less ours, seconds
    pub clock_skew_s: f64,
}

/// Measure what the disk of `folder` can do.
///
/// # Errors
/// Files cannot be made there. Nothing is left behind either way.
pub fn probe_folder(folder: &Path) -> io::Result<FolderReport> {
    let disk = disk(folder)?;
    let scratch = Scratch::within(folder, "probe")?;
    let dir = scratch.path();
    let small = |i: usize, durable: bool| {
        let tmp = dir.join(format!("t{i}"));
        let mut file = File::create(&tmp)?;
        file.write_all(b"ekp probe\n")?;
        if durable {
            file.sync_all()?;
        }
        drop(file);
        fs::metadata(&tmp)?;
        fs::rename(&tmp, dir.join(format!("f{i}")))
    };
    let made = sorted_us(MANY, |i| small(i, false))?;
    let (create_rename_us, create_rename_p99_us) = (made[MANY / 2], made[MANY * 99 / 100]);
    let durable_us = median_us(|i| small(i, true))?;
    let read_us = median_us(|i| fs::read(dir.join(format!("f{i}"))).map(drop))?;
    let link_us = median_us(|i| fs::hard_link(dir.join(format!("f{i}")), dir.join(format!("l{i}")))).ok();
    let mkdir_us = median_us(|i| fs::create_dir(dir.join(format!("d{i}"))))?;
    let lock = File::create(dir.join("lock"))?;
    let flock_us = median_us(|_| {
        lock.try_lock().map_err(io::Error::from)?;
        lock.unlock()
    });
    let start = Instant::now();
    let mut file = File::create(dir.join("bulk"))?;
    file.write_all(&vec![0x5a; BULK])?;
    file.sync_all()?;
    let write_mb_per_s = BULK as f64 * 1e-6 / start.elapsed().as_secs_f64();
    drop(file);
    let start = Instant::now();
    let read = fs::read(dir.join("bulk"))?;
    let read_mb_per_s = read.len() as f64 * 1e-6 / start.elapsed().as_secs_f64();
    Ok(FolderReport {
        folder: folder.to_owned(),
        disk: disk.name.to_owned(),
        network: disk.network,
        free_mb: disk.free_bytes as f64 * 1e-6,
        storage: storage(folder),
        create_rename_us,
        create_rename_p99_us,
        durable_us,
        link_us,
        mkdir_us,
        flock_us: flock_us.ok(),
        read_us,
        write_mb_per_s,
        read_mb_per_s,
        clock_skew_s: skew(dir)?,
    })
}

/// The server stamps a file between two looks at our clock.
fn skew(dir: &Path) -> io::Result<f64> {
    let since = |t: SystemTime| match t.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(d) => d.as_secs_f64(),
        Err(e) => -e.duration().as_secs_f64(),
    };
    let before = since(SystemTime::now());
    let mut file = File::create(dir.join("clock"))?;
    file.write_all(b"x")?;
    file.sync_all()?;
    let after = since(SystemTime::now());
    let server = since(file.metadata()?.modified()?);
    // Within the two looks there is nothing to tell; outside, the distance to the nearer one.
    Ok(if server < before { (server - before).min(0.0) } else { (server - after).max(0.0) })
}

fn median_us(operation: impl FnMut(usize) -> io::Result<()>) -> io::Result<f64> {
    Ok(sorted_us(ROUNDS, operation)?[ROUNDS / 2])
}

fn sorted_us(rounds: usize, mut operation: impl FnMut(usize) -> io::Result<()>) -> io::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(rounds);
    for i in 0..rounds {
        let start = Instant::now();
        operation(i)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// What the block device behind a folder says it is; none of disks in memory and of network disks.
fn storage(folder: &Path) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt;
    let device = fs::metadata(folder).ok()?.dev();
    let block = PathBuf::from(format!("/sys/dev/block/{}:{}", libc::major(device), libc::minor(device)));
    // A partition's queue is that of the device above it.
    let queue = ["queue/rotational", "../queue/rotational"].map(|name| fs::read_to_string(block.join(name)));
    let text = queue.into_iter().find_map(Result::ok)?;
    Some(if text.trim() == "0" { "ssd" } else { "hdd" })
}

/// A folder of our own that vanishes with its owner.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// In the folder for temporary files.
    #[cfg(test)]
    pub(crate) fn new(name: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), name)
    }

    /// In a folder that is there.
    pub(crate) fn within(folder: &Path, name: &str) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".ekp-{name}.{}.{}.{count}.tmp", host(), std::process::id());
        let path = std::path::absolute(folder)?.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing better can be done here than to leave it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_measures_and_leaves_nothing() {
        let dir = Scratch::new("folder").unwrap();
        let report = probe_folder(dir.path()).unwrap();
        assert!(report.create_rename_us > 0.0 && report.write_mb_per_s > 0.0);
        assert!(report.clock_skew_s.abs() < 5.0, "{report:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(probe_folder(&dir.path().join("no")).is_err());
    }
}
