//! Processes from outside: trees, signals, what is left of them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// Send a signal (`KILL`, `TERM`, `INT`) to a process; a negative number means a process group.
/// False when nobody was there.
pub fn signal(name: &str, pid: i64) -> bool {
    Command::new("bash")
        .args(["-c", &format!("kill -{name} -- {pid} 2>/dev/null")])
        .status()
        .unwrap()
        .success()
}

/// Is it there, and no zombie?
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(_, state)| state != 'Z' && state != 'X')
}

/// All processes below `root`, with their names; not `root` itself.
pub fn below(root: u32) -> Vec<(u32, String)> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?.0)))
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(all.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    let name =
        |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
    found[1..].iter().map(|&pid| (pid, name(pid))).collect()
}

/// Parent and state.
fn stat(pid: u32) -> Option<(u32, char)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((words.next()?.parse().ok()?, state))
}

/// Wait until something is so, at most `seconds`.
pub fn wait_for(what: &str, seconds: u64, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(seconds);
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not after {seconds} s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Numbers that look random and are the same every time.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// From 0 to below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        // Knuth's MMIX generator; the high bits are the good ones
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}
