//! A netCDF file as a table: a row for each step, a column for each series.
//!
//! The variable of times has units `days since 2002-10-01` and the like. Variables on the same axis become columns;
//! those with one more axis become a column for each place along it, named as a variable of whole numbers along that
//! axis has them (`gru_id`), else from 1 on. Axes of length 1 do not count.
//! Belongs here: axes, times, names. Not here: bytes (`files::netcdf`), units (`Unit`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use chrono::{NaiveDateTime, TimeDelta};

use super::date;
use crate::files::netcdf::{self, Variable};

/// The text of the table, and what the file says of units, by column.
pub(super) struct AsTable {
    pub(super) text: String,
    pub(super) units: BTreeMap<String, String>,
}

/// `dates` names the variable of times; where there is none, `time` is it.
///
/// # Errors
/// In words.
pub(super) fn as_table(path: &Path, bytes: Vec<u8>, dates: &str) -> Result<AsTable, String> {
    let mut all = netcdf::read(path, bytes)?;
    let name = if all.contains_key(dates) { dates } else { "time" };
    let Some(times) = all.remove(name) else {
        let known: Vec<&str> = all.keys().map(String::as_str).collect();
        return Err(format!(
            "it has no variable `time`; `dates = \"…\"` names another, of: {}",
            known.join(", ")
        ));
    };
    let rows = dates_of(name, &times)?;
    let mut columns = Vec::<(String, Vec<f64>)>::new();
    let mut units = BTreeMap::new();
    for (name, variable) in &all {
        let shape: Vec<usize> = variable.shape.iter().copied().filter(|n| *n != 1).collect();
        let mut add = |column: String, numbers: Vec<f64>| {
            if let Some(unit) = variable.texts.get("units") {
                units.insert(column.clone(), unit.clone());
            }
            columns.push((column, numbers));
        };
        match shape[..] {
            [n] if n == rows.len() => add(name.clone(), variable.numbers.clone()),
            [n, places] if n == rows.len() => {
                let names = names(&all, places);
                let only = all.values().filter(|v| v.shape == variable.shape).count() == 1;
                for (k, place) in names.into_iter().enumerate() {
                    let numbers = variable.numbers.iter().skip(k).step_by(places).copied().collect();
                    add(if only { place } else { format!("{name}:{place}") }, numbers);
                }
            }
            _ => {}
        }
    }
    let mut text = dates.to_owned();
    columns.iter().for_each(|(name, _)| text.extend([",", name]));
    for (i, row) in rows.iter().enumerate() {
        text.push('\n');
        text.push_str(row);
        for (_, numbers) in &columns {
            // Nothing where it is missing
            let _ = match numbers[i] {
                x if x.is_nan() => write!(text, ","),
                x => write!(text, ",{x}"),
            };
        }
    }
    text.push('\n');
    Ok(AsTable { text, units })
}

/// Names of the places along an axis.
fn names(all: &BTreeMap<String, Variable>, places: usize) -> Vec<String> {
    let fits = |variable: &&Variable| variable.whole && variable.shape == [places];
    let of = all.iter().filter(|(_, variable)| fits(variable));
    // Of several, the one that says so.
    let best = of.max_by_key(|(name, _)| name.to_lowercase().contains("id"));
    match best {
        Some((_, variable)) => variable.numbers.iter().map(|x| format!("{x}")).collect(),
        None => (1..=places).map(|k| k.to_string()).collect(),
    }
}

/// Dates of the steps. A day's mean may carry any hour of the day, always the same one: its row is that of the day.
fn dates_of(name: &str, times: &Variable) -> Result<Vec<String>, String> {
    let units = times.texts.get("units").map_or("", String::as_str);
    let allowed = "allowed: `days since 2002-10-01`, also hours, minutes, seconds";
    let odd = || format!("the units of `{name}` are `{units}`, {allowed}");
    let (unit, since) = units.split_once(" since ").ok_or_else(odd)?;
    let seconds = match unit.trim().to_lowercase().as_str() {
        "d" | "day" | "days" => 86_400.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "min" | "mins" | "minute" | "minutes" => 60.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        _ => return Err(odd()),
    };
    let calendar = times.texts.get("calendar").map_or("standard", String::as_str);
    if !["standard", "gregorian", "proleptic_gregorian"].contains(&calendar.to_lowercase().as_str()) {
        return Err(format!("`{name}` counts days of the calendar `{calendar}`: allowed is the usual one"));
    }
    let start = begin(since).ok_or_else(odd)?;
    let at = |x: &f64| -> Result<NaiveDateTime, String> {
        let seconds = (x * seconds).round();
        if !seconds.is_finite() || seconds.abs() > 1e12 {
            return Err(format!("`{name}` has a time that is missing"));
        }
        let later = TimeDelta::try_seconds(seconds as i64).and_then(|delta| start.checked_add_signed(delta));
        later.ok_or_else(|| format!("`{name}` has a time that no calendar has"))
    };
    let all: Vec<NaiveDateTime> = times.numbers.iter().map(at).collect::<Result<_, _>>()?;
    let daily = all.len() > 1 && all[1] - all[0] == TimeDelta::days(1);
    let same = all.iter().all(|t| t.time() == all[0].time());
    let form = if daily && same { "%Y-%m-%d" } else { "%Y-%m-%dT%H:%M:%S" };
    Ok(all.iter().map(|t| t.format(form).to_string()).collect())
}

/// `2002-10-01`, `2002-10-1 0:0:0.0`, `… UTC`
fn begin(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().trim_end_matches("UTC").trim_end_matches('Z').trim_end();
    let text = text.trim_end_matches("+00:00").trim_end_matches("+0:00").trim_end();
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let parts: Vec<u32> = day.split('-').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [year, month, day] = parts[..] else { return None };
    let day = date(&format!("{year:04}-{month:02}-{day:02}"))?;
    let mut seconds = 0.0;
    for (part, each) in time.trim().split(':').filter(|part| !part.is_empty()).zip([3600.0, 60.0, 1.0]) {
        seconds += part.parse::<f64>().ok()? * each;
    }
    Some(day + TimeDelta::seconds(seconds as i64))
}
