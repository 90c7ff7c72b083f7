//! Series from CSV files: dates at equal steps, columns by name, units declared and checked.
//!
//! Belongs here: bytes to numbers in mm/step and °C; every fault points at its line of the file.
//! Not here: what a model makes of them (`basin`).

use std::io::Read as _;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use crate::explain::{Marked, Place, Source, nearest, one_of, plain, reason};
use crate::files::human;

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
    /// Its steps
    pub calendar: Calendar,
}

impl Table {
    /// Read a file named at `named`; `dates` is the name of its column of dates.
    ///
    /// A name that ends in `.gz` is unpacked. Lines that start with `#` and empty ones are passed over. The separator is that of the heading: `,`, `;` or a tab.
    ///
    /// # Errors
    /// The file cannot be read, rows of unequal length, dates that are none or not at equal steps.
    pub fn read(path: &Path, named: &Place, dates: &str) -> Result<Self, Marked> {
        Self::split(Self::source(path, named)?, dates)
    }

    /// The same without dates: rows of anything.
    ///
    /// # Errors
    /// The file cannot be read, or rows of unequal length.
    pub fn plain(path: &Path, named: &Place) -> Result<Self, Marked> {
        Self::cut(Self::source(path, named)?)
    }

    /// The text of a file, unpacked where its name ends in `.gz`.
    fn source(path: &Path, named: &Place) -> Result<Arc<Source>, Marked> {
        let read = || {
            let bytes = std::fs::read(path)?;
            if path.extension().is_none_or(|end| end != "gz") {
                return Ok(bytes);
            }
            let mut whole = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut whole)?;
            Ok(whole)
        };
        let bytes = read().map_err(|error: std::io::Error| {
            let label = format!("`{}`: {}", path.display(), reason(&error));
            let fault = named.marked("this file cannot be read", label);
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    fault.hint("paths are relative to the folder of the file they stand in")
                }
                _ => fault,
            }
        })?;
        Ok(Source::new(path, human::text(path, bytes)?))
    }

    fn split(source: Arc<Source>, dates: &str) -> Result<Self, Marked> {
        let mut table = Self::cut(source)?;
        table.calendar = table.dates(dates)?;
        Ok(table)
    }

    fn cut(source: Arc<Source>) -> Result<Self, Marked> {
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
        let table = Self { source: Arc::clone(&source), heading, rows, calendar: none };
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
                let bounds = (plain(unit.to(low * per_day)), plain(unit.to(high * per_day)));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<Table, Marked> {
        Table::split(Source::new("forcing.csv", text), "date")
    }

    fn numbers(text: &str, kind: Kind, unit: &str) -> Result<Vec<f64>, Marked> {
        let table = table(text)?;
        table.numbers(1, kind, unit, Unit::of(unit, table.calendar.step_h, Some(86.4)).unwrap())
    }

    #[test]
    fn units_become_mm_per_step_and_degrees_and_missing_flow_is_nan() {
        let text = |x: &str| format!("# made by hand\ndate, x\n2004-01-01,{x}\n2004-01-02, \"2\"\n\n");
        for (kind, unit, first, second) in [
            (Kind::Depth, "mm/d", 1.0, 2.0),
            (Kind::Depth, "m/d", 1000.0, 2000.0),
            (Kind::Flow, "m3/s", 1.0, 2.0), // 86.4 km²: 1 m³/s is 1 mm/d
            (Kind::Flow, "l/s", 1e-3, 2e-3),
            (Kind::Temperature, "degC", 1.0, 2.0),
        ] {
            let found = numbers(&text("1"), kind, unit).unwrap();
            assert!((found[0] - first).abs() < 1e-15 && (found[1] - second).abs() < 1e-15, "{unit}");
        }
        assert_eq!(numbers(&text("274.15"), Kind::Temperature, "K").unwrap_err().line(), 4);
        for missing in ["", "NA", "nan", "-9999"] {
            assert!(numbers(&text(missing), Kind::Flow, "m3/s").unwrap()[0].is_nan(), "{missing}");
        }
        let hourly = "date;x\n2004-01-01 00:00;1\n2004-01-01 06:00;2\n";
        assert_eq!(numbers(hourly, Kind::Depth, "mm/d").unwrap(), [0.25, 0.5]);
    }

    #[test]
    fn every_fault_has_its_line() {
        for (rows, line, words) in [
            ("2004-01-01,1\n2004-01-02,x", 3, "not a number"),
            ("2004-01-01,1\n2004-01-02,", 3, "missing"),
            ("2004-01-01,1\n2004-01-02,-1", 3, "not plausible"),
            ("2004-01-01,1\n2004-01-02,2,3", 3, "another length"),
            ("2004-01-01,1\n2004-01-02,1\n2004-01-04,1", 4, "one step"),
            ("2004-01-01,1\n2004-01-03,1", 3, "step of time"),
            ("2004-01-01,1\n01/02/2004,1", 3, "no date"),
            ("2004-01-01,1", 1, "too few rows"),
        ] {
            let fault = numbers(&format!("date,x\n{rows}\n"), Kind::Depth, "mm/d").unwrap_err();
            assert!(fault.to_string().contains(words), "{fault}");
            assert_eq!((fault.line(), fault.path()), (line, Path::new("forcing.csv")), "{fault}");
        }
        assert!(table("").unwrap_err().to_string().contains("no rows"));
        assert!(table("day,x\n1,2\n").unwrap_err().to_string().contains("no column `date`"));
        let missing = table("date,rain\n2004-01-01,1\n2004-01-02,1\n").unwrap().column("rian").unwrap_err();
        assert_eq!(missing.near.as_deref(), Some("rain"));
    }

    #[test]
    fn days_become_steps() {
        let start = date("2004-02-27").unwrap();
        let calendar = Calendar { start, step_h: 6, steps: 20 };
        let day = |d: u32, m: u32| NaiveDate::from_ymd_opt(2004, m, d).unwrap();
        assert_eq!(calendar.steps_of(day(28, 2), day(1, 3)), Some(4..16));
        assert_eq!(calendar.steps_of(day(28, 2), day(3, 3)), None);
        assert_eq!(calendar.steps_of(day(26, 2), day(1, 3)), None);
        assert_eq!(calendar.at(5).to_string(), "2004-02-28 06:00:00");
    }
}
