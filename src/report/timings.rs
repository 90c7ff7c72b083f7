//! Tables of times: a row for each member, pack and update of a run, from their `timing.toml`.
//!
//! Works on runs that are over, under way or half-made: what is not there has no row. The names of columns
//! that other scaling studies use are theirs (`experiment`, `num_processes`, `wall_clock_seconds`, `best_kge`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Datelike, NaiveDate};

use crate::files::{Failed, FileError, Iteration, RunDir, load_record, publish};
use crate::report::ReportError;
use crate::steps::grid::GridRun;
use crate::steps::timing::Timing;
use crate::steps::{Run, Update, best};

/// Name of the table.
pub const NAME: &str = "timing_raw.csv";

/// Headings, units in their names.
pub const COLUMNS: [&str; 24] = [
    "experiment",
    "config_file",
    "run_index",
    "iteration",
    "kind",
    "member",
    "members",
    "success",
    "error",
    "num_processes",
    "timestamp",
    "end_timestamp",
    "wall_clock_seconds",
    "cpu_seconds",
    "peak_rss_mb",
    "bytes_read",
    "bytes_written",
    "host",
    "job",
    "array_task",
    "worker",
    "threads",
    "try",
    "best_kge",
];

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A member
    Member,
    /// Members that share an outcome
    Pack,
    /// The closing of an iteration
    Update,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Pack => "pack",
            Self::Update => "update",
        }
    }
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Name of the experiment
    pub experiment: String,
    /// Its file in the run folder, as the run was named
    pub config_file: String,
    /// Which of the runs of this experiment, from 1
    pub run_index: usize,
    /// Iteration
    pub iteration: Iteration,
    /// What it is about
    pub kind: Kind,
    /// The member, or the first of a pack; 0 for an update
    pub member: u32,
    /// How many members
    pub members: u32,
    /// Why it has no data; empty when it has
    pub error: String,
    /// Rows of this iteration that were at work at the same time, at most
    pub num_processes: usize,
    /// What it cost
    pub timing: Timing,
    /// The best KGE of the run when this row ended, of a search that is scored by it: at each update of `dds`, at each
    /// row of `dds-async`
    pub best_kge: Option<f64>,
}

/// All rows of a run, in the order iteration, kind, member; and what could not be read.
///
/// # Errors
/// It is no run folder.
pub fn rows(root: &Path, run_index: usize) -> Result<(Vec<Row>, Vec<String>), ReportError> {
    let dir = RunDir::open(root)?;
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    if dir.identity.method == crate::experiment::grid::METHOD {
        return cells(root, run_index);
    }
    let mut iteration = dir.identity.first_iteration;
    while dir.iteration(iteration).is_dir() {
        let mut of = Reader {
            dir: &dir,
            run_index,
            iteration,
            rows: Vec::new(),
            warnings: &mut warnings,
            room: Vec::new(),
        };
        of.members();
        let parallel = at_once(&of.rows);
        of.rows.iter_mut().for_each(|row| row.num_processes = parallel);
        of.row(Kind::Update, 0, dir.members(iteration), &dir.update_timing(iteration), String::new);
        all.append(&mut of.rows);
        iteration += 1;
    }
    if dir.budget() > 0 {
        scored(root, &mut all)?;
    }
    Ok((all, warnings))
}

/// Put the best KGE so far into the rows of a search that is scored by it.
fn scored(root: &Path, rows: &mut [Row]) -> Result<(), ReportError> {
    // A run that cannot be opened any more keeps its times
    let Ok(run) = Run::look(root) else { return Ok(()) };
    if run.experiment.searching().is_none_or(|searching| searching.score.names != ["kge"]) {
        return Ok(());
    }
    if !run.dir.leaderless() {
        for row in rows.iter_mut().filter(|row| row.kind == Kind::Update) {
            let update: Option<Update> = load_record(&run.dir.update(row.iteration)).ok();
            row.best_kge = update.and_then(|update| update.search?.score.first().copied());
        }
        return Ok(());
    }
    let scores: BTreeMap<u32, f64> =
        best::trials(&run)?.into_iter().filter_map(|(n, _, score)| Some((n, *score?.first()?))).collect();
    let mut order: Vec<usize> = (0..rows.len()).filter(|&k| rows[k].kind != Kind::Update).collect();
    order.sort_by(|&a, &b| rows[a].timing.end.cmp(&rows[b].timing.end));
    let mut best = f64::NEG_INFINITY;
    for row in order {
        let row = &mut rows[row];
        let of = scores.range(row.member..row.member.saturating_add(row.members)).map(|(_, score)| *score);
        best = of.fold(best, f64::max);
        row.best_kge = best.is_finite().then_some(best);
    }
    Ok(())
}

/// The same of a grid: its stages stand where iterations stand, its cells where members stand.
fn cells(root: &Path, run_index: usize) -> Result<(Vec<Row>, Vec<String>), ReportError> {
    let run = GridRun::open(root)?;
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for stage in 1..=run.last_stage() {
        let mut of = Reader {
            dir: &run.dir,
            run_index,
            iteration: stage,
            rows: Vec::new(),
            warnings: &mut warnings,
            room: Vec::new(),
        };
        for cell in 1..=run.cells(stage) {
            let folder = run.folder(stage, cell);
            of.row(Kind::Member, cell, 1, &folder.join("timing.toml"), || {
                match folder.join("data.toml").exists() {
                    true => String::new(),
                    false => {
                        load_record(&folder.join("failed.toml")).map_or("lost".into(), |f: Failed| f.cause)
                    }
                }
            });
        }
        let parallel = at_once(&of.rows);
        of.rows.iter_mut().for_each(|row| row.num_processes = parallel);
        all.append(&mut of.rows);
    }
    Ok((all, warnings))
}

struct Reader<'a> {
    dir: &'a RunDir,
    run_index: usize,
    iteration: Iteration,
    rows: Vec<Row>,
    warnings: &'a mut Vec<String>,
    /// Room for a file
    room: Vec<u8>,
}

impl Reader<'_> {
    fn members(&mut self) {
        // The decision says how members of a closed iteration counted, whatever came later.
        let update: Option<Update> = load_record(&self.dir.update(self.iteration)).ok();
        let used = |member: u32| update.as_ref().and_then(|u| u.outcomes.get(member as usize - 1).cloned());
        let cause = |mark: &str| mark.strip_prefix("failed: ").unwrap_or_default().to_owned();
        let dir = self.dir;
        if dir.identity.models > 0 {
            for chunk in 1..=dir.members(self.iteration) {
                let models = dir.models_of(chunk);
                let count = models.end() - models.start() + 1;
                let path = dir.member(self.iteration, chunk).join("timing.toml");
                self.row(Kind::Pack, *models.start(), count, &path, String::new);
            }
            return;
        }
        if dir.packed() {
            for chunk in 1..=dir.chunks(self.iteration) {
                let members = dir.chunk_members(self.iteration, chunk);
                let failed =
                    members.clone().filter(|&m| used(m).is_some_and(|u| !cause(&u).is_empty())).count();
                let error = if failed > 0 { format!("{failed} failed") } else { String::new() };
                let path = dir.chunk(self.iteration, chunk).join("timing.toml");
                self.row(Kind::Pack, *members.start(), members.clone().count() as u32, &path, || error);
            }
            return;
        }
        for member in 1..=dir.members(self.iteration) {
            let folder = dir.member(self.iteration, member);
            self.row(Kind::Member, member, 1, &folder.join("timing.toml"), || match used(member) {
                Some(mark) => cause(&mark),
                None if folder.join("data.toml").exists() => String::new(),
                None => load_record(&folder.join("failed.toml")).map_or("lost".into(), |f: Failed| f.cause),
            });
        }
    }

    fn row(&mut self, kind: Kind, member: u32, members: u32, path: &Path, error: impl FnOnce() -> String) {
        let timing = match Timing::load(path, &mut self.room) {
            Ok(timing) => timing,
            Err(e) if e.is_missing() => return,
            Err(e) => return self.warnings.push(e.to_string()),
        };
        self.rows.push(Row {
            experiment: self.dir.identity.name.clone(),
            config_file: self.dir.top("experiment.toml").display().to_string(),
            run_index: self.run_index,
            iteration: self.iteration,
            kind,
            member,
            members,
            error: error(),
            num_processes: 1,
            timing,
            best_kge: None,
        });
    }
}

/// Seconds since 1970 of a time stamp.
pub fn seconds(stamp: &str) -> Option<f64> {
    micros(stamp).map(|t| t as f64 * 1e-6)
}

/// Microseconds since 1970 of a time stamp.
fn micros(stamp: &str) -> Option<i64> {
    written(stamp.as_bytes())
        .or_else(|| DateTime::parse_from_rfc3339(stamp).ok().map(|t| t.timestamp_micros()))
}

/// The same of `2026-11-20T11:00:00.000000Z`, as our clocks write it; none of another form.
fn written(stamp: &[u8]) -> Option<i64> {
    const FORM: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";
    let fits = |(s, f): (&u8, &u8)| if *f == b'0' { s.is_ascii_digit() } else { s == f };
    if stamp.len() != FORM.len() || !stamp.iter().zip(FORM).all(fits) {
        return None;
    }
    let number = |at: std::ops::Range<usize>| stamp[at].iter().fold(0, |n, d| 10 * n + i64::from(d - b'0'));
    let date = NaiveDate::from_ymd_opt(number(0..4) as i32, number(5..7) as u32, number(8..10) as u32)?;
    let days = i64::from(date.num_days_from_ce()) - DAYS_TO_1970;
    let (hour, minute, second) = (number(11..13), number(14..16), number(17..19));
    let sound = hour < 24 && minute < 60 && second < 60; // a leap second is another parser's matter
    sound.then(|| (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + number(20..26))
}

/// Days from the first of the year 1 to that of 1970, the first one counted.
const DAYS_TO_1970: i64 = 719_163;

/// How many of the rows were at work at the same time, at most.
fn at_once(rows: &[Row]) -> usize {
    let mut edges: Vec<(i64, i32)> = Vec::new();
    for row in rows {
        if let (Some(start), Some(end)) = (micros(&row.timing.start), micros(&row.timing.end)) {
            edges.extend([(start, 1), (end.max(start + 1), -1)]);
        }
    }
    // Where one ends as another begins there is one.
    edges.sort_unstable();
    let mut now = 0;
    edges
        .iter()
        .map(|(_, edge)| {
            now += edge;
            now
        })
        .max()
        .map_or(1, |n| usize::try_from(n).unwrap_or(1).max(1))
}

/// The table as CSV.
///
/// # Errors
/// None that a disk could make; kept for the writer's sake.
pub fn csv(rows: &[Row]) -> Result<Vec<u8>, ReportError> {
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(256 * (rows.len() + 1)));
    let wrong = |e: csv::Error| FileError::Invalid { path: NAME.into(), kind: "table", why: e.to_string() };
    writer.write_record(COLUMNS).map_err(wrong)?;
    // One record and one room for digits serve all rows.
    let (mut record, mut digits) = (csv::ByteRecord::new(), String::new());
    for row in rows {
        let t = &row.timing;
        record.clear();
        let mut put = |cell: std::fmt::Arguments<'_>| {
            digits.clear();
            let _ = digits.write_fmt(cell); // into memory
            record.push_field(digits.as_bytes());
        };
        put(format_args!("{}", row.experiment));
        put(format_args!("{}", row.config_file));
        put(format_args!("{}", row.run_index));
        put(format_args!("{}", row.iteration));
        put(format_args!("{}", row.kind.word()));
        if row.member == 0 {
            put(format_args!(""))
        } else {
            put(format_args!("{}", row.member))
        }
        put(format_args!("{}", row.members));
        put(format_args!("{}", row.error.is_empty()));
        put(format_args!("{}", row.error));
        put(format_args!("{}", row.num_processes));
        put(format_args!("{}", t.start));
        put(format_args!("{}", t.end));
        put(format_args!("{:?}", t.wall_s));
        put(format_args!("{:?}", t.cpu_s));
        put(format_args!("{:?}", t.peak_rss_mb));
        put(format_args!("{}", t.bytes_read));
        put(format_args!("{}", t.bytes_written));
        put(format_args!("{}", t.host));
        put(format_args!("{}", t.job));
        put(format_args!("{}", t.array_task));
        put(format_args!("{}", t.worker));
        put(format_args!("{}", t.threads));
        put(format_args!("{}", t.attempt));
        match row.best_kge {
            Some(best) => put(format_args!("{best:?}")),
            None => put(format_args!("")),
        }
        writer.write_byte_record(&record).map_err(wrong)?;
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new(NAME))(e.into_error()))?)
}

/// Write the table into a folder, which is made if need be; its path.
///
/// # Errors
/// The disk.
pub fn write(folder: &Path, rows: &[Row]) -> Result<std::path::PathBuf, ReportError> {
    std::fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
    let path = folder.join(NAME);
    publish(&path, &csv(rows)?)?;
    Ok(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn row(member: u32, start_s: u32, wall_s: f64) -> Row {
        let stamp = |s: u32| format!("2026-11-20T11:{:02}:{:02}.000000Z", s / 60, s % 60);
        Row {
            experiment: "s".into(),
            config_file: "s/experiment.toml".into(),
            run_index: 1,
            iteration: 0,
            kind: Kind::Member,
            member,
            members: 1,
            error: String::new(),
            num_processes: 1,
            timing: Timing {
                host: "n1".into(),
                start: stamp(start_s),
                end: stamp(start_s + wall_s.ceil() as u32),
                wall_s,
                cpu_s: wall_s / 2.0,
                peak_rss_mb: 100.0,
                bytes_read: 0,
                bytes_written: 0,
                job: String::new(),
                array_task: 0,
                worker: 1,
                threads: 1,
                attempt: 1,
            },
            best_kge: None,
        }
    }

    #[test]
    fn workers_are_counted_by_what_ran_at_the_same_time() {
        // 1 and 2 overlap, 3 begins as 2 ends, 4 stands alone
        let rows = [row(1, 0, 10.0), row(2, 5, 10.0), row(3, 15, 5.0), row(4, 60, 1.0)];
        assert_eq!(at_once(&rows), 2);
        assert_eq!(at_once(&[]), 1);
    }

    #[test]
    fn stamps_of_our_clocks_are_read_as_any_reader_would() {
        for stamp in
            ["1970-01-01T00:00:00.000000Z", "2024-02-29T23:59:59.999999Z", "2026-11-20T11:04:05.060708Z"]
        {
            let any = DateTime::parse_from_rfc3339(stamp).unwrap().timestamp_micros();
            assert_eq!(written(stamp.as_bytes()), Some(any), "{stamp}");
        }
        // Another form is read, too; what is no time is none
        assert_eq!(micros("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(
            (micros("2026-02-30T00:00:00.000000Z"), micros("2026-02-28T24:00:00.000000Z")),
            (None, None)
        );
    }

    #[test]
    fn every_row_has_a_cell_for_each_heading() {
        let text = String::from_utf8(csv(&[row(1, 0, 10.0)]).unwrap()).unwrap();
        let cells: Vec<usize> = text.lines().map(|l| l.split(',').count()).collect();
        assert_eq!(cells, [COLUMNS.len(), COLUMNS.len()]);
    }
}
