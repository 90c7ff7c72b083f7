//! What the scheduler's accounting knows of the jobs of a run, and what the machine is: tables beside the times.
//!
//! Belongs here: `accounting.csv` from `sacct`, `platform.toml` from the probe and the records of the hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{FileError, TomlText, publish};
use crate::machine::{folder, probe};
use crate::report::ReportError;
use crate::report::timings::Row;

/// Name of the table.
pub const NAME: &str = "accounting.csv";
/// Name of the report on the machine.
pub const PLATFORM: &str = "platform.toml";
/// What is asked of `sacct`, in the words of its manual; all versions since 22.05 have them.
const FIELDS: &str =
    "JobID,JobName,State,ExitCode,Submit,Start,End,ElapsedRaw,AllocCPUS,NodeList,MaxRSS,TotalCPU";

/// Ask `sacct` for the jobs of these rows and write `accounting.csv`; its path, or a word why there is none. Rows
/// without jobs have nothing to ask.
///
/// # Errors
/// The disk.
pub fn write(folder: &Path, rows: &[Row]) -> Result<Result<Option<PathBuf>, String>, ReportError> {
    let jobs: BTreeSet<&str> =
        rows.iter().map(|row| row.timing.job.as_str()).filter(|job| is_id(job)).collect();
    if jobs.is_empty() {
        return Ok(Ok(None));
    }
    let list = jobs.into_iter().collect::<Vec<_>>().join(",");
    match probe::ask("sacct", &["-nP", "-j", &list, "-o", FIELDS]) {
        Ok(text) if !text.trim().is_empty() => {
            let path = folder.join(NAME);
            publish(&path, &table(&text)?)?;
            Ok(Ok(Some(path)))
        }
        Ok(_) => Ok(Err(format!("no `{NAME}`: the scheduler's accounting knows none of the jobs {list}"))),
        Err(why) => Ok(Err(format!("no `{NAME}`: {why}; times are those that the tools measured"))),
    }
}

fn is_id(job: &str) -> bool {
    !job.is_empty() && job.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// Lines with `|` between cells as CSV.
fn table(text: &str) -> Result<Vec<u8>, ReportError> {
    let columns = FIELDS.split(',').count();
    let mut writer = csv::Writer::from_writer(Vec::new());
    let wrong = |e: csv::Error| FileError::Invalid { path: NAME.into(), kind: "table", why: e.to_string() };
    writer.write_record(FIELDS.split(',')).map_err(wrong)?;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        // A name may hold the sign: what is too much of a line stays out.
        let cells: Vec<&str> = line.split('|').collect();
        if cells.len() == columns {
            writer.write_record(cells).map_err(wrong)?;
        }
    }
    Ok(writer.into_inner().map_err(|e| FileError::io("write", Path::new(NAME))(e.into_error()))?)
}

/// Write `platform.toml`: this machine and the disk of `measured`, with the records of the hosts that worked, as
/// tables `[host.NAME]`. One that is there is left alone: it tells of the time of the first collection.
///
/// # Errors
/// The disk.
pub fn platform(folder: &Path, measured: &Path, runs: &[PathBuf]) -> Result<PathBuf, ReportError> {
    let path = folder.join(PLATFORM);
    if path.exists() {
        return Ok(path);
    }
    let mut text = TomlText::comments(
        "ekp platform: the machine where times were collected, its disk, and in `[host]` each host that worked.\n\
         mb are 10^6 bytes; what a machine does not tell is absent. Again: remove it and collect.",
    );
    text.text("schema", "ekp.platform").number("version", 1).raw(body(&probe::platform()).trim_end());
    // A folder that cannot be written is no reason to have no table.
    if let Ok(disk) = folder::probe_folder(measured) {
        text.table("folder").raw(body(&disk).trim_end());
    }
    let mut hosts: BTreeMap<String, String> = BTreeMap::new();
    for run in runs {
        for entry in fs::read_dir(run.join("platform")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().trim_end_matches(".toml").to_owned();
            if let Ok(text) = fs::read_to_string(entry.path()) {
                hosts.entry(name).or_insert(text);
            }
        }
    }
    let hosts: toml::Table = hosts
        .into_iter()
        .filter_map(|(name, text)| Some((name, toml::Value::Table(text.parse().ok()?))))
        .collect();
    let mut text = text.finish();
    if !hosts.is_empty() {
        let all = toml::Table::from_iter([("host".to_owned(), toml::Value::Table(hosts))]);
        text.push_str(&format!("\n{}", toml::to_string(&all).unwrap_or_default()));
    }
    publish(&path, text.as_bytes())?;
    Ok(path)
}

fn body(what: &impl serde::Serialize) -> String {
    toml::to_string(what).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_accounting_become_rows_and_broken_ones_do_not() {
        let line = "12_1|run.member|COMPLETED|0:0|2026-01-01T00:00:00|2026-01-01T00:00:01|2026-01-01T00:00:03|2|1|n1||00:01.5";
        let text = table(&format!("{line}\n12|too few\n\n")).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("12_1,run.member,COMPLETED,0:0,"), "{text}");
        assert!(is_id("4711") && is_id("4711_3") && !is_id("") && !is_id("1;rm"));
    }
}
