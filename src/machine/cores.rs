//! Cores that this process may use: affinity mask, SMT siblings, cgroup quota.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Cores that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Cores of silicon within the affinity mask and the quota; at least 1
    pub physical: usize,
    /// Hardware threads within the affinity mask and the quota; at least 1
    pub logical: usize,
}

impl Cores {
    /// Those of this process. Slurm's `--cpus-per-task` acts through the mask or the quota.
    pub fn here() -> Self {
        let root = Path::new("/");
        Self::within(&mask(), &topology(root), quota(root))
    }

    fn within(mask: &[usize], topology: &[Cpu], quota: Option<f64>) -> Self {
        let mut seen = BTreeSet::new();
        for &cpu in mask {
            let known = topology.iter().find(|c| c.number == cpu);
            // A core whose siblings nobody tells is a core of its own.
            seen.insert(known.map_or((usize::MAX, cpu), |c| (c.package, c.first_sibling)));
        }
        // Half a core of quota is better served by one worker than by none; 2.9 are two.
        let limit = quota.map_or(usize::MAX, |q| (q.floor() as usize).max(1));
        Self { physical: seen.len().clamp(1, limit), logical: mask.len().clamp(1, limit) }
    }
}

/// Numbers of the hardware threads in the affinity mask of this process.
fn mask() -> Vec<usize> {
    // The kernel refuses a mask shorter than its own, so the mask grows until it fits.
    let mut words = vec![0u64; 16];
    loop {
        let bytes = size_of_val(words.as_slice());
        // SAFETY: the buffer is ours and its length in bytes is passed; any bits are a valid mask.
        let answer = unsafe { libc::sched_getaffinity(0, bytes, words.as_mut_ptr().cast()) };
        if answer == 0 {
            break;
        }
        if words.len() > 1 << 14 {
            let n = std::thread::available_parallelism().map_or(1, usize::from);
            return (0..n).collect();
        }
        words = vec![0; words.len() * 2];
    }
    let bits =
        words.iter().enumerate().flat_map(|(w, bits)| (0..64).map(move |b| (w * 64 + b, bits >> b & 1)));
    bits.filter(|(_, bit)| *bit == 1).map(|(cpu, _)| cpu).collect()
}

/// One hardware thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Its number
    pub(crate) number: usize,
    /// Socket
    pub(crate) package: usize,
    /// Smallest number among the threads of its core
    pub(crate) first_sibling: usize,
}

/// All hardware threads that are on, from sysfs below `root`.
pub(crate) fn topology(root: &Path) -> Vec<Cpu> {
    let folder = root.join("sys/devices/system/cpu");
    let online = fs::read_to_string(folder.join("online")).unwrap_or_default();
    let number = |path: PathBuf| fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    list(&online)
        .into_iter()
        .map(|cpu| {
            let here = folder.join(format!("cpu{cpu}/topology"));
            let siblings = fs::read_to_string(here.join("thread_siblings_list")).unwrap_or_default();
            Cpu {
                number: cpu,
                package: number(here.join("physical_package_id")).unwrap_or(0),
                first_sibling: list(&siblings).first().copied().unwrap_or(cpu),
            }
        })
        .collect()
}

/// `0-3,8,10-11` as numbers.
fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
        (last < 1 << 20).then_some(first..=last)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The folders of this process's control group from its own to the top: version 2, and one controller of version 1.
pub(crate) fn groups(root: &Path, controller: &str) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let text = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let (mut second, mut first) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(names), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let path = Path::new(path.trim_start_matches('/'));
        let up = |top: PathBuf| path.ancestors().map(move |p| top.join(p)).collect::<Vec<_>>();
        if names.is_empty() {
            second = up(root.join("sys/fs/cgroup"));
            second.extend(up(root.join("sys/fs/cgroup/unified")));
        } else if names.split(',').any(|name| name == controller) {
            first = up(root.join("sys/fs/cgroup").join(names));
            first.extend(up(root.join("sys/fs/cgroup").join(controller)));
        }
    }
    (second, first)
}

/// CPU time per time that the control groups above us allow: the smallest.
pub(super) fn quota(root: &Path) -> Option<f64> {
    let (second, first) = groups(root, "cpu");
    let pair = |quota: &str, period: &str| {
        let (quota, period) = (quota.trim().parse::<f64>().ok()?, period.trim().parse::<f64>().ok()?);
        (quota > 0.0 && period > 0.0).then(|| quota / period) // -1 and `max`: no limit
    };
    let of_second = second.iter().filter_map(|folder| {
        let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        pair(quota, period)
    });
    let of_first = first.iter().filter_map(|folder| {
        let quota = fs::read_to_string(folder.join("cpu.cfs_quota_us")).ok()?;
        pair(&quota, &fs::read_to_string(folder.join("cpu.cfs_period_us")).ok()?)
    });
    of_second.chain(of_first).min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    fn write(root: &Path, name: &str, text: &str) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn here_there_is_at_least_one_core_and_no_more_physical_than_logical() {
        let cores = Cores::here();
        assert!(cores.physical >= 1 && cores.physical <= cores.logical);
        assert!(cores.logical <= std::thread::available_parallelism().unwrap().get());
    }

    #[test]
    fn siblings_count_once_and_quotas_cut() {
        // Two sockets, two cores each, two threads per core: i and i + 4 share a core
        let dir = Scratch::new("cores").unwrap();
        write(dir.path(), "sys/devices/system/cpu/online", "0-7\n");
        for cpu in 0..8 {
            let base = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            write(dir.path(), &format!("{base}/physical_package_id"), &format!("{}\n", cpu % 4 / 2));
            let siblings = format!("{},{}\n", cpu % 4, cpu % 4 + 4);
            write(dir.path(), &format!("{base}/thread_siblings_list"), &siblings);
        }
        let cpus = topology(dir.path());
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(Cores::within(&all, &cpus, None), Cores { physical: 4, logical: 8 });
        assert_eq!(Cores::within(&[0, 4, 5], &cpus, None), Cores { physical: 2, logical: 3 });
        assert_eq!(Cores::within(&all, &cpus, Some(2.9)), Cores { physical: 2, logical: 2 });
        assert_eq!(Cores::within(&all, &cpus, Some(0.5)), Cores { physical: 1, logical: 1 });
        assert_eq!(Cores::within(&all, &[], None), Cores { physical: 8, logical: 8 });
    }

    #[test]
    fn the_tightest_group_above_us_holds_in_both_versions() {
        let dir = Scratch::new("quota").unwrap();
        write(dir.path(), "proc/self/cgroup", "4:cpu,cpuacct:/job/step\n0::/a/b\n");
        assert_eq!(quota(dir.path()), None);
        write(dir.path(), "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
        write(dir.path(), "sys/fs/cgroup/a/cpu.max", "350000 100000\n");
        assert_eq!(quota(dir.path()), Some(3.5));
        write(dir.path(), "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "150000\n");
        write(dir.path(), "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n");
        write(dir.path(), "sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_quota_us", "-1\n");
        write(dir.path(), "sys/fs/cgroup/cpu,cpuacct/job/step/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(dir.path()), Some(1.5));
    }

    #[test]
    fn cpu_lists_are_read() {
        assert_eq!(list("0-2,5,7-8\n"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(list("x,,3-"), Vec::<usize>::new());
    }
}
