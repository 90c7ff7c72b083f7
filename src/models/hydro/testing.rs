//! For the tests of this folder: reference values, and the real catchments where they are at hand.
#![allow(dead_code)] // not every model has every kind of reference

use std::path::PathBuf;

use serde_json::Value;

use crate::models::hydro::basin::{Band, Basin};
use crate::models::hydro::table::{Calendar, Kind, Table, Unit};

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "reference", "hydro"].iter().collect()
}

/// A file of `tests/reference/hydro`.
pub(crate) fn reference(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// A column of a CSV file there.
pub(crate) fn series(file: &str, column: &str) -> Vec<f64> {
    let mut reader = csv::Reader::from_path(folder().join(file)).unwrap();
    let at = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    reader.records().map(|row| row.unwrap()[at].parse().unwrap()).collect()
}

/// Named numbers.
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A file of the real catchments (`bow/bow_daily_lumped.csv`); none, with a word, where they are not at hand.
pub(crate) fn data(name: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("EKP_TEST_DATA") else {
        eprintln!("skipped: `EKP_TEST_DATA` does not say where {name} is");
        return None;
    };
    Some(PathBuf::from(folder).join(name))
}

/// A lumped basin from one of those files, flow in `q_mm`, `pet_mm` as stored.
pub(crate) fn basin(name: &str) -> Option<Basin> {
    let path = data(name)?;
    let place = crate::explain::Place { source: crate::explain::Source::new("test", ""), span: 0..0 };
    let table = Table::read(&path, &place, "date").unwrap();
    let column = |name: &str, kind: Kind| {
        table.numbers(table.column(name).unwrap(), kind, "mm/d", Unit::of("mm/d", 24, None).unwrap()).unwrap()
    };
    Some(Basin {
        precipitation: column("precip_mm", Kind::Depth),
        temperature: column("temp_c", Kind::Temperature),
        pet: column("pet_mm", Kind::Depth),
        flow: Some(column("q_mm", Kind::Flow)),
        calendar: table.calendar,
        ..synthetic(1)
    })
}

/// Days of a made-up climate: cold winters, wet and dry spells, no randomness.
pub(crate) fn synthetic(steps: usize) -> Basin {
    let wave = |i: usize, period: f64| (i as f64 * std::f64::consts::TAU / period).sin();
    let temperature: Vec<f64> =
        (0..steps).map(|i| 4.0 - 12.0 * wave(i + 91, 365.25) + 4.0 * wave(i, 9.3)).collect();
    let precipitation =
        (0..steps).map(|i| (8.0 * wave(i, 7.1) + 6.0 * wave(i, 17.7) - 5.0).max(0.0)).collect();
    let start = chrono::NaiveDate::from_ymd_opt(2001, 1, 1).unwrap().and_time(chrono::NaiveTime::MIN);
    Basin {
        calendar: Calendar { start, step_h: 24, steps },
        precipitation,
        pet: temperature.iter().map(|t| (0.12 * (t + 5.0)).max(0.0)).collect(),
        temperature,
        flow: None,
        bands: vec![Band { dz_km: 0.0, share: 1.0 }],
        lapse: -6.5,
        gradient: 0.0,
        output: None,
        output_unit: Unit::of("mm/step", 24, None).unwrap(),
        inputs: Vec::new(),
    }
}

/// The twelve elevation bands of the Bow, lapse and gradient of the reference runs.
pub(crate) fn twelve_bands(basin: &mut Basin) {
    let mut reader = csv::Reader::from_path(data("bow/bow_bands12.csv").unwrap()).unwrap();
    let column = |name: &str, row: &csv::StringRecord, heading: &csv::StringRecord| -> f64 {
        row[heading.iter().position(|known| known == name).unwrap()].parse().unwrap()
    };
    let heading = reader.headers().unwrap().clone();
    let band = |row: csv::Result<csv::StringRecord>| {
        let row = row.unwrap();
        Band {
            dz_km: (column("elev_mean_m", &row, &heading) - 2137.8) / 1000.0,
            share: column("area_frac", &row, &heading),
        }
    };
    basin.bands = reader.records().map(band).collect();
    (basin.lapse, basin.gradient) = (-6.5, 0.1);
}
