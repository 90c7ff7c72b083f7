//! Members run again: with more time or memory where they ran out of it, and not on hosts where all fail.
//!
//! The logs of array elements are the evidence: each attempt begins with a line that names its host, and
//! Slurm adds why it ended one. Reading them needs no accounting and no scheduler.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::files::{Iteration, RunDir};
use crate::launch::LaunchError;
use crate::launch::queue::QueueError;
use crate::launch::site::{Request, Retry};
use crate::launch::slurm::{Desk, Scheduler};

/// A host with so many failures and no success is left out.
const FAILURES: u32 = 3;
/// Of a log that a chatty model filled only the end is read.
const TAIL: usize = 1 << 20;

/// What the logs of an iteration tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    /// The most often that one member ran out of time
    timeouts: u32,
    /// … out of memory
    out_of_memory: u32,
    /// Failures and successes by host
    hosts: BTreeMap<String, (u32, u32)>,
}

impl Scheduler<'_> {
    /// More options for the arrays of a chain that begins with `open` members of `iteration`.
    pub(super) fn options(&self, iteration: Iteration, open: &[u32]) -> Result<Vec<String>, LaunchError> {
        let evidence = self.evidence(iteration, open);
        self.more(&self.member_request(), &evidence)
    }

    fn evidence(&self, iteration: Iteration, open: &[u32]) -> Evidence {
        let mut evidence = Evidence::default();
        if self.dir().leaderless() {
            // A worker that ran to the end of its time did what it was for.
            return evidence;
        }
        let (per, largest) = (self.per_element(), self.site.slurm.largest_index());
        for element in 1..=self.elements() {
            let Some(log) = log(self.dir(), iteration, element, largest) else { continue };
            let members = (element - 1) * per + 1..=element * per;
            let is_open = members.clone().any(|m| open.contains(&m));
            let succeeded = !is_open && members.clone().any(|m| self.has_data(iteration, m));
            evidence.add(&log, is_open, succeeded);
        }
        evidence
    }

    fn has_data(&self, iteration: Iteration, member: u32) -> bool {
        let dir = self.dir();
        if member > dir.members(iteration) {
            return false;
        }
        let folder = match dir.packed() {
            true => dir.chunk(iteration, (member - 1) / dir.identity.pack + 1),
            false => dir.member(iteration, member),
        };
        folder.join("data.toml").exists()
    }
}

impl Desk<'_> {
    /// More options for arrays that want what `request` says, after this evidence.
    pub(super) fn more(&self, request: &Request, evidence: &Evidence) -> Result<Vec<String>, LaunchError> {
        let mut options = Vec::new();
        options.extend(self.more_time(request, evidence.timeouts)?);
        options.extend(self.more_memory(request, evidence.out_of_memory));
        let bad = evidence.bad_hosts();
        if !bad.is_empty() {
            (self.note)(&format!("every member failed on {}: left out", bad.join(", ")));
            options.push(format!("--exclude={}", bad.join(",")));
        }
        Ok(options)
    }

    fn more_time(&self, request: &Request, timeouts: u32) -> Result<Option<String>, LaunchError> {
        if timeouts == 0 {
            return Ok(None);
        }
        let partition = match self.patiently(|| self.queue.partition(request.partition.as_deref())) {
            Ok(partition) => partition,
            // Without an answer the site's own words must do.
            Err(QueueError::Refused { .. }) => Default::default(),
            Err(other) => return Err(other.into()),
        };
        let Some(base) = request.time.and_then(|time| time.0).or(partition.default_s) else {
            (self.note)("members ran out of time; set `time` in site.toml to give them more");
            return Ok(None);
        };
        let wanted = larger(base, self.site.slurm.retry, timeouts, |retry| retry.time_factor);
        let given = partition.longest_s.map_or(wanted, |longest| wanted.min(longest.max(base)));
        let time = crate::launch::site::Walltime::seconds(given.next_multiple_of(60));
        (self.note)(&format!("members ran out of time: they get {time}"));
        Ok(Some(format!("--time={time}")))
    }

    fn more_memory(&self, request: &Request, times: u32) -> Option<String> {
        if times == 0 {
            return None;
        }
        let more = |memory: crate::launch::site::Memory| {
            crate::launch::site::Memory(larger(memory.0, self.site.slurm.retry, times, |r| r.mem_factor))
        };
        let option = match (request.mem, request.mem_per_cpu) {
            // 0 is all the node has: there is no more.
            (Some(mem), _) if mem.0 > 0 => format!("--mem={}", more(mem)),
            (None, Some(mem)) => format!("--mem-per-cpu={}", more(mem)),
            _ => {
                (self.note)(
                    "members ran out of memory; set `mem` or `mem_per_cpu` in site.toml to give them more",
                );
                return None;
            }
        };
        (self.note)(&format!("members ran out of memory: they get {option}"));
        Some(option)
    }
}

fn larger(base: u64, retry: Retry, times: u32, factor: impl Fn(&Retry) -> f64) -> u64 {
    // Ten doublings are a thousand times as much: past that it is no longer a matter of too little.
    let factor = factor(&retry).powi(times.min(10) as i32);
    (base as f64 * factor).ceil() as u64
}

/// The end of the log of an array element; named by its index, and by its offset where it has one.
fn log(dir: &RunDir, iteration: Iteration, element: u32, largest: u32) -> Option<String> {
    let logs = dir.logs(iteration);
    let offset = (element - 1) / largest * largest;
    let names = [format!("{element}.out"), format!("{offset}+{}.out", element - offset)];
    names.iter().find_map(|name| end_of(&logs.join(name)))
}

/// The end of a log, if it is there.
pub(super) fn end_of(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL)..]).into_owned())
}

impl Evidence {
    /// Count what the log of a member tells: attempts out of time or memory, and how they ended on which host.
    pub(super) fn add(&mut self, log: &str, is_open: bool, succeeded: bool) {
        let (mut timeouts, mut out_of_memory) = (0, 0);
        let attempts = attempts(log);
        let last = attempts.len().saturating_sub(1);
        for (k, attempt) in attempts.iter().enumerate() {
            timeouts += u32::from(attempt.timeout);
            out_of_memory += u32::from(attempt.out_of_memory);
            if attempt.called_back {
                continue;
            }
            let (failures, successes) = self.hosts.entry(attempt.host.clone()).or_default();
            // Whoever came before the last did not bring it to its end.
            if k == last && succeeded { *successes += 1 } else { *failures += 1 }
        }
        if is_open {
            self.timeouts = self.timeouts.max(timeouts);
            self.out_of_memory = self.out_of_memory.max(out_of_memory);
        }
    }

    /// Hosts where all fails, if there are hosts where something succeeds: else it is not the hosts.
    fn bad_hosts(&self) -> Vec<String> {
        if !self.hosts.values().any(|(_, successes)| *successes > 0) {
            return Vec::new();
        }
        let bad =
            |(_, (failures, successes)): &(&String, &(u32, u32))| *failures >= FAILURES && *successes == 0;
        self.hosts.iter().filter(bad).map(|(host, _)| host.clone()).collect()
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Attempt {
    host: String,
    timeout: bool,
    out_of_memory: bool,
    /// Ended from outside: by a person, a limit, another job's priority. The host is not to blame
    called_back: bool,
}

/// The attempts that a log tells of: `iteration 3 element 7 on n2, job 12` begins each.
fn attempts(log: &str) -> Vec<Attempt> {
    let mut attempts: Vec<Attempt> = Vec::new();
    for line in log.lines() {
        if let Some(host) = host(line) {
            attempts.push(Attempt { host: host.to_owned(), ..Attempt::default() });
        }
        let Some(attempt) = attempts.last_mut() else { continue };
        attempt.timeout |= line.contains("DUE TO TIME LIMIT");
        attempt.called_back |= line.contains("CANCELLED AT") && !line.contains("NODE FAILURE");
        attempt.out_of_memory |= [
            "exceeded memory limit",
            "xceeded job memory limit",
            "oom-kill",
            "oom_kill",
            "Out Of Memory",
            "OUT_OF_MEMORY",
        ]
        .iter()
        .any(|words| line.contains(words));
    }
    attempts
}

fn host(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("iteration ")?;
    let (_, rest) = rest.split_once(" element ")?;
    let (_, rest) = rest.split_once(" on ")?;
    let (host, _) = rest.split_once(", job ")?;
    (!host.is_empty() && !host.contains(' ')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: &str = "\
iteration 3 element 7 on n2, job 12
slurmstepd: error: *** JOB 12 ON n2 CANCELLED AT 2026-11-20T11:00:00 DUE TO TIME LIMIT ***
iteration 3 element 7 on n1, job 12
slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch. Some of the step tasks have been OOM Killed.
iteration 3 element 7 on n1, job 13
";

    #[test]
    fn a_log_tells_each_attempt_with_its_host_and_what_it_ran_out_of() {
        let found = attempts(KILLED);
        let of = |host: &str, timeout, out_of_memory| Attempt {
            host: host.into(),
            timeout,
            out_of_memory,
            called_back: timeout,
        };
        assert_eq!(found, [of("n2", true, false), of("n1", false, true), of("n1", false, false)]);
    }

    #[test]
    fn only_hosts_where_nothing_ever_succeeds_are_left_out() {
        let on = |host: &str| format!("iteration 0 element 1 on {host}, job 1\n");
        let mut evidence = Evidence::default();
        for _ in 0..3 {
            evidence.add(&on("bad"), true, false);
            evidence.add(&on("mixed"), true, false);
        }
        // all fail everywhere: it is the model, not the hosts
        assert!(evidence.bad_hosts().is_empty());
        evidence.add(&on("mixed"), false, true);
        evidence.add(&on("few"), true, false);
        assert_eq!(evidence.bad_hosts(), ["bad"]);
        // a host whose jobs a person called back did nothing wrong
        for _ in 0..3 {
            evidence.add(
                &(on("good") + "slurmstepd: error: *** JOB 1 ON good CANCELLED AT 2026-11-20T11:00:00 ***\n"),
                true,
                false,
            );
        }
        assert_eq!(evidence.bad_hosts(), ["bad"]);
    }

    #[test]
    fn each_time_it_ran_out_the_request_grows_by_the_factor() {
        let retry = Retry { time_factor: 2.0, mem_factor: 1.5 };
        assert_eq!(larger(60, retry, 1, |r| r.time_factor), 120);
        assert_eq!(larger(60, retry, 3, |r| r.time_factor), 480);
        assert_eq!(larger(1000, retry, 2, |r| r.mem_factor), 2250);
        let mut evidence = Evidence::default();
        evidence.add(KILLED, true, false);
        assert_eq!((evidence.timeouts, evidence.out_of_memory), (1, 1));
    }
}
