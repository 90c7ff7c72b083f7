//! `timing.toml`: where, when and at what cost something ran.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::files::{Record, TomlText};
use crate::machine;
use crate::models::Usage;

/// Where, when and at what cost a member, a pack or an update ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Host (the node's name under Slurm)
    pub host: String,
    /// RFC 3339, UTC
    pub start: String,
    /// RFC 3339, UTC
    pub end: String,
    /// Wall time of the run that gave the outcome
    pub wall_s: f64,
    /// User and system time
    pub cpu_s: f64,
    /// Largest resident set
    pub peak_rss_mb: f64,
    /// Read from disk
    pub bytes_read: u64,
    /// Written to disk
    pub bytes_written: u64,
    /// Scheduler's job, empty without one
    pub job: String,
    /// Array element, 0 without one
    pub array_task: u32,
    /// Worker, from 1
    pub worker: u32,
    /// Threads it was given
    pub threads: u32,
    /// Which try, from 1
    #[serde(rename = "try")]
    pub attempt: u32,
}

impl Record for Timing {
    const SCHEMA: &'static str = "ekp.timing";
    const VERSION: u32 = 1;
}

/// A running clock.
#[derive(Debug)]
pub struct Clock {
    start: DateTime<Utc>,
    wall: std::time::Instant,
    cpu_s: f64,
}

impl Clock {
    /// Start it.
    pub fn start() -> Self {
        Self { start: Utc::now(), wall: std::time::Instant::now(), cpu_s: machine::thread_cpu_s() }
    }

    /// Seconds so far.
    pub fn wall_s(&self) -> f64 {
        self.wall.elapsed().as_secs_f64()
    }

    /// Cost of what ran in this thread since the start.
    pub fn own_usage(&self) -> Usage {
        Usage {
            wall_s: self.wall_s(),
            cpu_s: machine::thread_cpu_s() - self.cpu_s,
            peak_rss_mb: machine::own_peak_rss_mb(),
            bytes_read: 0,
            bytes_written: 0,
        }
    }

    /// The record.
    pub fn stop(&self, usage: Usage, who: &Who) -> Timing {
        let stamp = |t: DateTime<Utc>| t.to_rfc3339_opts(SecondsFormat::Micros, true);
        Timing {
            host: machine::host().to_owned(),
            start: stamp(self.start),
            end: stamp(Utc::now()),
            wall_s: usage.wall_s,
            cpu_s: usage.cpu_s,
            peak_rss_mb: usage.peak_rss_mb,
            bytes_read: usage.bytes_read,
            bytes_written: usage.bytes_written,
            job: who.job.clone(),
            array_task: who.element,
            worker: who.worker,
            threads: u32::try_from(who.threads).unwrap_or(u32::MAX),
            attempt: who.attempt,
        }
    }
}

/// Who runs something.
#[derive(Debug, Clone, Default)]
pub struct Who {
    /// Scheduler's job
    pub job: String,
    /// Array element
    pub element: u32,
    /// Worker
    pub worker: u32,
    /// Threads
    pub threads: usize,
    /// Try
    pub attempt: u32,
}

/// The scheduler's id of the job this process is part of; empty without one.
pub fn job_id() -> String {
    let var = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    var("SLURM_ARRAY_JOB_ID").or_else(|| var("SLURM_JOB_ID")).unwrap_or_default()
}

impl Timing {
    /// The text of the file.
    pub fn text(&self) -> String {
        let comments = "ekp timing: where, when and at what cost. Seconds, 10^6 bytes (mb), bytes.";
        TomlText::record::<Self>(comments)
            .text("host", &self.host)
            .text("start", &self.start)
            .text("end", &self.end)
            .float("wall_s", self.wall_s)
            .float("cpu_s", self.cpu_s)
            .float("peak_rss_mb", self.peak_rss_mb)
            .number("bytes_read", self.bytes_read)
            .number("bytes_written", self.bytes_written)
            .text("job", &self.job)
            .number("array_task", self.array_task)
            .number("worker", self.worker)
            .number("threads", self.threads)
            .number("try", self.attempt)
            .finish()
    }
}
