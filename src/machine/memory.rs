//! Memory that this process may use: the machine's, cut by its control groups.

use std::fs;
use std::path::Path;

use crate::machine::cores::groups;

/// Memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The machine's, or the smallest limit of the control groups above us
    pub total: u64,
    /// Of it not in use, caches counted as free
    pub available: u64,
}

impl Memory {
    /// That of this process; `None` where the kernel does not tell.
    pub fn here() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    fn below(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        let total = field("MemTotal")?;
        let mut memory = Self { total, available: field("MemAvailable").unwrap_or(total) };
        let (second, first) = groups(root, "memory");
        for folder in &second {
            memory.cut(folder, "memory.max", "memory.current", "inactive_file");
        }
        for folder in &first {
            memory.cut(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
        }
        Some(memory)
    }

    fn cut(&mut self, folder: &Path, limit: &str, used: &str, cache: &str) {
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        // `max`, or a number near 2⁶³, is no limit.
        let Some(limit) = number(limit).filter(|&bytes| bytes < self.total || bytes < 1 << 60) else {
            return;
        };
        let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok());
        let used = number(used).unwrap_or(0).saturating_sub(cached.unwrap_or(0));
        self.total = self.total.min(limit);
        self.available = self.available.min(limit.saturating_sub(used));
    }
}

/// The smallest limit of the control groups above us, bytes; none where none cuts.
pub(super) fn limit(root: &Path) -> Option<u64> {
    let number = |path: std::path::PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let (second, first) = groups(root, "memory");
    let all = second
        .iter()
        .map(|f| f.join("memory.max"))
        .chain(first.iter().map(|f| f.join("memory.limit_in_bytes")));
    all.filter_map(number).filter(|bytes| *bytes < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    #[test]
    fn a_control_group_cuts_and_its_cache_counts_as_free() {
        let dir = Scratch::new("memory").unwrap();
        for (name, text) in [
            ("proc/meminfo", "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:    900 kB\n"),
            ("proc/self/cgroup", "0::/job\n"),
            ("sys/fs/cgroup/job/memory.max", "512000\n"),
            ("sys/fs/cgroup/job/memory.current", "400000\n"),
            ("sys/fs/cgroup/job/memory.stat", "anon 1\ninactive_file 100000\n"),
        ] {
            fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(Memory::below(dir.path()), Some(Memory { total: 512_000, available: 212_000 }));
        assert_eq!(limit(dir.path()), Some(512_000));
        fs::write(dir.path().join("sys/fs/cgroup/job/memory.max"), "max\n").unwrap();
        assert_eq!(Memory::below(dir.path()), Some(Memory { total: 1_024_000, available: 921_600 }));
    }

    #[test]
    fn this_machine_has_memory() {
        let memory = Memory::here().unwrap();
        assert!(memory.total > 1 << 20 && memory.available <= memory.total);
    }
}
