//! `timing.toml`: where, when and at what cost something ran.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use crate::files::{FileError, Record, TomlText, parse_record};
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

/// More than a record of ours has, bytes.
const ROOM: usize = 4096;

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
    /// Read a record; `room` is for its bytes, so that a hundred thousand of them need no memory of their own.
    ///
    /// # Errors
    /// As [`crate::files::load_record`].
    pub fn load(path: &Path, room: &mut Vec<u8>) -> Result<Self, FileError> {
        room.resize(ROOM, 0);
        let read = |mut file: fs::File| {
            // A file of ours is one call: what is shorter than asked for has been read to its end.
            let mut n = file.read(room)?;
            while n == room.len() {
                room.resize(2 * n, 0);
                n += file.read(&mut room[n..])?;
            }
            room.truncate(n);
            Ok(())
        };
        fs::File::open(path).and_then(read).map_err(FileError::io("read", path))?;
        // Our own writer's lines are read as they stand; what looks different is read as any TOML.
        std::str::from_utf8(room).ok().and_then(Self::written).map_or_else(|| parse_record(path, room), Ok)
    }

    /// The lines of [`Timing::text`], one after the other; none where one of them looks different.
    fn written(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip_while(|line| line.starts_with('#'));
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(" = ");
        let schema = value("schema")?.strip_prefix('"')?.strip_suffix('"')?;
        if schema != Self::SCHEMA || whole::<u32>(value("version")?)? != Self::VERSION {
            return None;
        }
        let timing = Self {
            host: plain(value("host")?)?,
            start: plain(value("start")?)?,
            end: plain(value("end")?)?,
            wall_s: decimal(value("wall_s")?)?,
            cpu_s: decimal(value("cpu_s")?)?,
            peak_rss_mb: decimal(value("peak_rss_mb")?)?,
            bytes_read: whole(value("bytes_read")?)?,
            bytes_written: whole(value("bytes_written")?)?,
            job: plain(value("job")?)?,
            array_task: whole(value("array_task")?)?,
            worker: whole(value("worker")?)?,
            threads: whole(value("threads")?)?,
            attempt: whole(value("try")?)?,
        };
        lines.next().is_none().then_some(timing)
    }

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

/// `"n1"`, without anything that would have to be unfolded.
fn plain(value: &str) -> Option<String> {
    let text = value.strip_prefix('"')?.strip_suffix('"')?;
    (!text.bytes().any(|b| b == b'\\' || b == b'"' || b.is_ascii_control())).then(|| text.to_owned())
}

/// `17`, without sign and leading zeros.
fn whole<N: FromStr>(value: &str) -> Option<N> {
    let digits = value.bytes().all(|b| b.is_ascii_digit());
    (digits && (value.len() == 1 || !value.starts_with('0'))).then(|| value.parse().ok())?
}

/// `0.25` or `1.5e-7`: digits on both sides of a point, as floats are written.
fn decimal(value: &str) -> Option<f64> {
    let (left, right) = value.split_once('.')?;
    let (right, power) = right.split_once('e').unwrap_or((right, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let left = left.strip_prefix('-').unwrap_or(left);
    let whole = digits(left) && (left.len() == 1 || !left.starts_with('0'));
    (whole && digits(right) && digits(power.strip_prefix('-').unwrap_or(power)))
        .then(|| value.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing {
            host: "n1".into(),
            start: "2026-11-20T11:00:00.000000Z".into(),
            end: "2026-11-20T11:00:01.000000Z".into(),
            wall_s: 0.1,
            cpu_s: 1.5e-7,
            peak_rss_mb: 100.0,
            bytes_read: u64::MAX / 2,
            bytes_written: 0,
            job: "4711".into(),
            array_task: 3,
            worker: 1,
            threads: 8,
            attempt: 2,
        }
    }

    #[test]
    fn what_is_written_is_read_without_a_parser_and_the_same() {
        let text = timing().text();
        assert_eq!(Timing::written(&text), Some(timing()));
        let parsed: Timing = parse_record(Path::new("x"), text.as_bytes()).unwrap();
        assert_eq!(parsed, timing());
        // A name that has to be unfolded, a duration without a point: the parser's work, with the parser's answer
        let odd = Timing { host: "a \"b\" \\ c".into(), ..timing() };
        assert_eq!(Timing::written(&odd.text()), None);
        assert_eq!(parse_record::<Timing>(Path::new("x"), odd.text().as_bytes()).unwrap(), odd);
    }

    #[test]
    fn nothing_is_taken_that_the_parser_refuses() {
        let text = timing().text();
        // A byte less, or another one, anywhere
        for at in 0..text.len() {
            let (left, right) = (&text[..at], &text[at + 1..]);
            for damaged in [
                left.to_owned(),
                format!("{left}{right}"),
                format!("{left}0{right}"),
                format!("{left}-{right}"),
                format!("{left}\"{right}"),
            ] {
                if let Some(found) = Timing::written(&damaged) {
                    let parsed: Timing = parse_record(Path::new("x"), damaged.as_bytes()).unwrap();
                    assert_eq!(found, parsed, "{damaged}");
                }
            }
        }
    }
}
