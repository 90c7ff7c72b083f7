//! Series from CSV and netCDF files: dates at equal steps, columns by name, units declared and checked.
//!
//! Belongs here: bytes to numbers in mm/step and °C; every fault points at its line of the file.
//! Not here: what a model makes of them (`basin`).

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use crate::explain::{Marked, Place, Source, nearest, one_of, plain, reason};
use crate::files::human;
use crate::models::Input;

#[cfg(feature = "netcdf")]
mod netcdf;
#[cfg(test)]
mod tests;

/// What a column holds; says which units and which numbers are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Precipitation or potential evapotranspiration: a depth per time, always there
    Depth,
    /// Air temperature, always there
    Temperature,
    /// Flow: may be missing
    Flow,
}

impl Kind {
    /// Units as they are declared.
    pub fn units(self) -> &'static [&'static str] {
        match self {
            Self::Depth => &["mm/d", "mm/h", "mm/step", "m/d", "kg/m2/s"],
            Self::Temperature => &["degC", "K"],
            Self::Flow => &["m3/s", "mm/d", "mm/h", "mm/step", "l/s", "ft3/s"],
        }
    }

    /// Bounds of what is plausible: mm/d or °C.
    fn bounds(self) -> (f64, f64) {
        match self {
            Self::Depth => (0.0, 2000.0),
            Self::Temperature => (-90.0, 70.0),
            Self::Flow => (0.0, f64::INFINITY),
        }
    }
}

/// From a declared unit to mm/step or °C: `x · factor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit {
    factor: f64,
    offset: f64,
}

impl Unit {
    /// `unit` is one of [`Kind::units`]; steps of `step_h` hours. `None`: a flow in volumes needs `area_km2`.
    pub fn of(unit: &str, step_h: u32, area_km2: Option<f64>) -> Option<Self> {
        let step_h = f64::from(step_h);
        // m³/s · 3600 s/h · step / (10³ m³/mm per km²)
        let volume = |area: f64| 3.6 * step_h / area;
        let (factor, offset) = match unit {
            "mm/d" => (step_h / 24.0, 0.0),
            "mm/h" => (step_h, 0.0),
            "m/d" => (1000.0 * step_h / 24.0, 0.0),
            "kg/m2/s" => (3600.0 * step_h, 0.0),
            "K" => (1.0, -273.15),
            "m3/s" => (volume(area_km2?), 0.0),
            "l/s" => (volume(area_km2?) * 1e-3, 0.0),
            "ft3/s" => (volume(area_km2?) * 0.028_316_846_592, 0.0),
            _ => (1.0, 0.0),
        };
        Some(Self { factor, offset })
    }

    /// To mm/step or °C.
    pub fn from(self, x: f64) -> f64 {
        x * self.factor + self.offset
    }

    /// Back to the declared unit.
    pub fn to(self, x: f64) -> f64 {
        (x - self.offset) / self.factor
    }
}

/// Steps of equal length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calendar {
    /// Begin of the first step
    pub start: NaiveDateTime,
    /// Hours of a step: a divisor of 24
    pub step_h: u32,
    /// Number of steps
    pub steps: usize,
}

impl Calendar {
    /// Begin of step `i`.
    pub fn at(&self, i: usize) -> NaiveDateTime {
        self.start + TimeDelta::hours(i64::from(self.step_h) * i as i64)
    }

    /// The step that begins with this day; below 0 and past the end for days outside.
    pub fn step_of(&self, day: NaiveDate) -> i64 {
        let hours = (day.and_time(chrono::NaiveTime::MIN) - self.start).num_hours();
        hours.div_euclid(i64::from(self.step_h))
    }

    /// Steps of the days from `first` to `last`. `None`: they are not all here.
    pub fn steps_of(&self, first: NaiveDate, last: NaiveDate) -> Option<Range<usize>> {
        let from = usize::try_from(self.step_of(first)).ok()?;
        let to = usize::try_from(self.step_of(last) + i64::from(24 / self.step_h)).ok()?;
        (from < to && to <= self.steps).then_some(from..to)
    }
}

/// A CSV file with a column of dates, split into cells.
#[derive(Debug)]
pub struct Table {
    source: Arc<Source>,
    heading: Vec<Range<usize>>,
    rows: Vec<Vec<Range<usize>>>,
    /// The file it was read from
    pub input: Input,
    /// What the file itself says of units, by column
    units: BTreeMap<String, String>,
    /// Its steps
    pub calendar: Calendar,
}

/// The text of a table, the units that it came with, and the file.
type Text = (Arc<Source>, Units, Input);

/// Units by column.
type Units = BTreeMap<String, String>;

impl Table {
    /// Read a file named at `named`; `dates` is the name of its column of dates.
    ///
    /// A netCDF file is told by its first bytes, and becomes such a table. A name that ends in `.gz` is unpacked. Lines that start with `#` and empty ones are passed over. The separator is that of the heading: `,`, `;` or a tab.
    ///
    /// # Errors
    /// The file cannot be read, rows of unequal length, dates that are none or not at equal steps.
    pub fn read(path: &Path, named: &Place, dates: &str) -> Result<Self, Marked> {
        Self::split(Self::source(path, named, dates)?, dates)
    }

    /// The same without dates: rows of anything.
    ///
    /// # Errors
    /// The file cannot be read, or rows of unequal length.
    pub fn plain(path: &Path, named: &Place) -> Result<Self, Marked> {
        Self::cut(Self::source(path, named, "date")?)
    }

    /// The text of a file, unpacked where its name ends in `.gz`.
    fn source(path: &Path, named: &Place, dates: &str) -> Result<Text, Marked> {
        let read = || {
            let bytes = std::fs::read(path)?;
            let input = Input::new(path, &bytes);
            if path.extension().is_none_or(|end| end != "gz") {
                return Ok((bytes, input));
            }
            let mut whole = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut whole)?;
            Ok((whole, input))
        };
        let (bytes, input) = read().map_err(|error: std::io::Error| {
            let label = format!("`{}`: {}", path.display(), reason(&error));
            let fault = named.marked("this file cannot be read", label);
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    fault.hint("paths are relative to the folder of the file they stand in")
                }
                _ => fault,
            }
        })?;
        if bytes.starts_with(b"CDF") || bytes.starts_with(b"\x89HDF") {
            let shown = |words: String| {
                let label = format!("`{}`: {words}", path.display());
                named.marked("this netCDF file cannot be used", label)
            };
            let (source, units) = of_netcdf(path, bytes, dates).map_err(shown)?;
            return Ok((source, units, input));
        }
        Ok((Source::new(path, human::text(path, bytes)?), BTreeMap::new(), input))
    }

    fn split(text: Text, dates: &str) -> Result<Self, Marked> {
        let mut table = Self::cut(text)?;
        table.calendar = table.dates(dates)?;
        Ok(table)
    }

    fn cut((source, units, input): Text) -> Result<Self, Marked> {
        let text = source.text.trim_start_matches('\u{feff}');
        let mut at = source.text.len() - text.len();
        let mut lines = Vec::new();
        for line in text.split_inclusive('\n') {
            let plain = line.trim_end();
            if !plain.is_empty() && !plain.starts_with('#') {
                lines.push(at..at + plain.len());
            }
            at += line.len();
        }
        let whole = |title: &str, label: &str| Marked::new(&source, 0..0, title, label);
        let Some((first, rest)) = lines.split_first() else {
            return Err(whole(
                "this file has no rows",
                "allowed: a heading with the names of columns, then a row for each step",
            ));
        };
        let head = &source.text[first.clone()];
        let separator = [',', ';', '\t'].into_iter().find(|c| head.contains(*c)).unwrap_or(',');
        let heading = cells(&source.text, first.clone(), separator);
        let rows: Vec<_> = rest.iter().map(|line| cells(&source.text, line.clone(), separator)).collect();
        let none = Calendar { start: NaiveDateTime::default(), step_h: 24, steps: rows.len() };
        let table = Self { source: Arc::clone(&source), heading, rows, input, units, calendar: none };
        for (row, line) in table.rows.iter().zip(rest) {
            if row.len() != table.heading.len() {
                let label = format!("{} cells, the heading has {}", row.len(), table.heading.len());
                return Err(Marked::new(&source, line.clone(), "this row has another length", label)
                    .hint("was the file cut short? Cells are separated as in the heading"));
            }
        }
        Ok(table)
    }

    /// Number of rows below the heading.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// A number that fits; `allowed` says so in words.
    ///
    /// # Errors
    /// No number, or one that does not fit.
    pub fn number(
        &self,
        row: usize,
        column: usize,
        allowed: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Result<f64, Marked> {
        let cell = self.cell(row, column);
        match cell.parse::<f64>() {
            Ok(x) if x.is_finite() && fits(x) => Ok(x),
            _ => {
                let label = format!("found `{cell}`, allowed: {allowed}");
                Err(self.wrong(row, column, "this number cannot be used", label))
            }
        }
    }

    /// The text of a cell.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        &self.source.text[self.rows[row][column].clone()]
    }

    /// A fault at a cell.
    pub fn wrong(
        &self,
        row: usize,
        column: usize,
        title: impl Into<String>,
        label: impl Into<String>,
    ) -> Marked {
        Marked::new(&self.source, self.rows[row][column].clone(), title, label)
    }

    /// Where a column stands. An error says which there are, and is the reader's to place.
    pub fn column(&self, name: &str) -> Result<usize, NoColumn> {
        let names: Vec<&str> = self.heading.iter().map(|cell| &self.source.text[cell.clone()]).collect();
        names.iter().position(|known| *known == name).ok_or_else(|| NoColumn {
            label: format!(
                "`{}` has {}",
                self.source.path.display(),
                one_of(&names).replace(" or ", " and ")
            ),
            near: nearest(name, &names).map(str::to_owned),
        })
    }

    /// Is the declared unit the one that the file says?
    fn agrees(&self, column: usize, declared: &str) -> Result<(), Marked> {
        let heading = self.heading[column].clone();
        match self.units.get(&self.source.text[heading.clone()]) {
            Some(own) if !means(own, declared) => {
                let label = format!("the file says `{own}`, the experiment `{declared}`");
                Err(Marked::new(&self.source, heading, "the declared unit is not that of the file", label)
                    .hint("declare the unit that the numbers have; they are converted"))
            }
            _ => Ok(()),
        }
    }

    fn dates(&self, name: &str) -> Result<Calendar, Marked> {
        let column = self.column(name).map_err(|missing| {
            let end = self.heading.last().map_or(0, |cell| cell.end);
            Marked::new(&self.source, 0..end, format!("there is no column `{name}`"), missing.label)
                .hint("say which column has the dates: `dates = \"day\"`")
        })?;
        let date = |row: usize| {
            date(self.cell(row, column)).ok_or_else(|| {
                let label = format!(
                    "found `{}`, allowed: `2004-01-31` or `2004-01-31T06:00`",
                    self.cell(row, column)
                );
                self.wrong(row, column, "this is no date", label)
            })
        };
        if self.rows.len() < 2 {
            return Err(Marked::new(&self.source, 0..0, "this file has too few rows", "allowed: at least 2"));
        }
        let start = date(0)?;
        let hours = (date(1)? - start).num_minutes();
        let step_h = match u32::try_from(hours / 60) {
            Ok(h) if hours % 60 == 0 && h > 0 && 24 % h == 0 => h,
            _ => {
                let label =
                    format!("{} after the row above, allowed: 1, 2, 3, 4, 6, 8, 12 or 24 hours", span(hours));
                return Err(self.wrong(1, column, "this is no step of time", label));
            }
        };
        let calendar = Calendar { start, step_h, steps: self.rows.len() };
        for row in 2..self.rows.len() {
            let (found, expected) = (date(row)?, calendar.at(row));
            if found != expected {
                let label = format!(
                    "{} after the row above, the first two rows have {step_h} h",
                    span((found - calendar.at(row - 1)).num_minutes())
                );
                return Err(self
                    .wrong(row, column, "this row is not one step after the last", label)
                    .hint("forcing has no gaps; a missing flow is an empty cell"));
            }
        }
        Ok(calendar)
    }

    /// The numbers of a column in mm/step or °C. Missing flow, which is an empty cell, `NA`, `nan` or a number below
    /// 0, is NaN.
    ///
    /// # Errors
    /// No number, a missing one where none may be missing, or one that is not plausible in this unit.
    pub fn numbers(
        &self,
        column: usize,
        kind: Kind,
        unit_name: &str,
        unit: Unit,
    ) -> Result<Vec<f64>, Marked> {
        self.agrees(column, unit_name)?;
        let (low, high) = kind.bounds();
        let per_day = if kind == Kind::Temperature { 1.0 } else { f64::from(self.calendar.step_h) / 24.0 };
        let number = |row: usize| {
            let cell = self.cell(row, column);
            let missing = cell.is_empty() || cell.eq_ignore_ascii_case("na");
            let number = if missing { Some(f64::NAN) } else { cell.parse::<f64>().ok() };
            let Some(found) = number else {
                let label = format!("found `{cell}`, allowed: a number with a decimal point");
                return Err(self.wrong(row, column, "this is not a number", label));
            };
            if kind == Kind::Flow {
                return Ok(if found.is_finite() && found >= 0.0 { unit.from(found) } else { f64::NAN });
            }
            let x = unit.from(found);
            if !x.is_finite() {
                let label = "allowed: a number in every row";
                return Err(self
                    .wrong(row, column, "forcing is missing here", label)
                    .hint("fill the gap before; only flow may be missing"));
            }
            if x < low * per_day || x > high * per_day {
                // What the units make of round numbers is not round to the last digit.
                let round = |x: f64| plain((x * 1e6).round() / 1e6);
                let bounds = (round(unit.to(low * per_day)), round(unit.to(high * per_day)));
                let label =
                    format!("found {} {unit_name}, allowed: {} to {}", plain(found), bounds.0, bounds.1);
                return Err(self
                    .wrong(row, column, "this number is not plausible", label)
                    .hint("is the declared unit that of the column?"));
            }
            Ok(x)
        };
        (0..self.rows.len()).map(number).collect()
    }
}

/// The table of a netCDF file; an error in words.
#[cfg(feature = "netcdf")]
fn of_netcdf(path: &Path, bytes: Vec<u8>, dates: &str) -> Result<(Arc<Source>, Units), String> {
    let table = netcdf::as_table(path, bytes, dates)?;
    Ok((Source::new(path, table.text), table.units))
}

#[cfg(not(feature = "netcdf"))]
fn of_netcdf(_: &Path, _: Vec<u8>, _: &str) -> Result<(Arc<Source>, Units), String> {
    Err("this program was built without netCDF (`--features netcdf`)".into())
}

/// Whether a unit of a file (`kg m-2 s-1`) is a declared one (`kg/m2/s`). Words that are no unit at all decide nothing.
fn means(own: &str, declared: &str) -> bool {
    let plain: String = own.to_lowercase().chars().filter(|c| !" *^_.".contains(*c)).collect();
    let spellings: &[&str] = match declared {
        "mm/d" => &["mm/d", "mm/day", "mmd-1", "mmday-1", "kg/m2/d", "kgm-2d-1", "kgm-2day-1"],
        "mm/h" => &["mm/h", "mm/hr", "mm/hour", "mmh-1", "mmhr-1", "mmhour-1", "kgm-2h-1"],
        "mm/step" => &["mm", "mm/step", "kgm-2", "kg/m2"],
        "m/d" => &["m/d", "m/day", "md-1", "mday-1"],
        "kg/m2/s" => &["kg/m2/s", "kgm-2s-1", "mm/s", "mms-1"],
        "degC" => &["degc", "degreesc", "degreec", "celsius", "degcelsius", "degreescelsius", "°c", "c"],
        "K" => &["k", "kelvin", "degk", "degreesk"],
        "m3/s" => &["m3/s", "m3s-1", "cms", "cumec", "cumecs"],
        "l/s" => &["l/s", "ls-1"],
        "ft3/s" => &["ft3/s", "ft3s-1", "cfs"],
        _ => &[],
    };
    plain.is_empty() || plain == "1" || plain == "-" || spellings.contains(&plain.as_str())
}

/// A column that is not there.
#[derive(Debug)]
pub struct NoColumn {
    /// Which there are
    pub label: String,
    /// The one most likely meant
    pub near: Option<String>,
}

/// Cells of one line, trimmed; a separator between double quotes is none, and the quotes are not of the cell.
fn cells(text: &str, line: Range<usize>, separator: char) -> Vec<Range<usize>> {
    let mut cells = Vec::new();
    let (mut start, mut quoted) = (line.start, false);
    let mut end_of = |start: usize, end: usize| {
        let cell = &text[start..end];
        let inner = cell.trim();
        let from = start + (cell.len() - cell.trim_start().len());
        match inner.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(rest) => cells.push(from + 1..from + 1 + rest.len()),
            None => cells.push(from..from + inner.len()),
        }
    };
    for (k, c) in text[line.clone()].char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                end_of(start, line.start + k);
                start = line.start + k + 1;
            }
            _ => {}
        }
    }
    end_of(start, line.end);
    cells
}

fn date(text: &str) -> Option<NaiveDateTime> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(day.and_time(chrono::NaiveTime::MIN));
    }
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), form).ok())
}

fn span(minutes: i64) -> String {
    if minutes % 60 == 0 { format!("{} h", minutes / 60) } else { format!("{minutes} min") }
}
