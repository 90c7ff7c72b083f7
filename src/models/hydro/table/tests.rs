//! Tables: units, faults, calendars; netCDF files.

use super::*;

fn table(text: &str) -> Result<Table, Marked> {
    Table::split(
        (Source::new("forcing.csv", text), BTreeMap::new(), Input::new(Path::new("forcing.csv"), &[])),
        "date",
    )
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

/// Files of the C library: `tests/reference/hydro/netcdf`, with the program that made them.
#[cfg(feature = "netcdf")]
mod netcdf_files {
    use std::path::PathBuf;

    use super::*;

    const FILES: [&str; 4] =
        ["netcdf4_packed.nc", "netcdf4_plain.nc", "classic_packed.nc", "offset64_plain.nc"];

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/hydro/netcdf")
    }

    fn read(path: &Path) -> Result<Table, Marked> {
        let place = Place { source: Source::new("experiment.toml", "forcing = \"f.nc\""), span: 0..7 };
        Table::read(path, &place, "date")
    }

    fn series(table: &Table, column: &str, kind: Kind, unit: &str) -> Result<Vec<f64>, Marked> {
        let column = table.column(column).expect("it is there");
        table.numbers(column, kind, unit, Unit::of(unit, 24, Some(86.4)).unwrap())
    }

    #[test]
    fn files_of_the_c_library_give_the_numbers_that_were_put_in() {
        for name in FILES {
            let table = read(&folder().join(name)).unwrap();
            // Means of days, stamped at noon
            assert_eq!(table.calendar.at(0).to_string(), "2004-01-01 00:00:00", "{name}");
            assert_eq!((table.calendar.step_h, table.calendar.steps), (24, 12));
            for (k, basin) in ["71028585", "71032409", "71032292"].iter().enumerate() {
                let rain = series(&table, &format!("pptrate:{basin}"), Kind::Depth, "kg/m2/s").unwrap();
                let air = series(&table, &format!("airtemp:{basin}"), Kind::Temperature, "K").unwrap();
                for i in 0..12 {
                    let (p, t) = (((i + 1) * (k + 1)) as f64 / 8.0, i as f64 - 3.0);
                    assert!((rain[i] - p).abs() < 1e-6 * p, "{name} {basin} {i}: {}", rain[i]); // single precision
                    assert!((air[i] - t).abs() < 1e-12, "{name} {basin} {i}: {}", air[i]);
                }
            }
            let flow = series(&table, "q", Kind::Flow, "m3/s").unwrap();
            assert!(flow[3].is_nan() && flow[4] == 14.0 && flow.iter().filter(|q| q.is_nan()).count() == 1);
            // Another unit than that of the file is a fault, not a guess
            let fault = series(&table, "airtemp:71028585", Kind::Temperature, "degC").unwrap_err();
            assert!(format!("{fault:?}").contains("the file says `K`"), "{fault:?}");
        }
    }

    #[test]
    fn a_file_that_was_cut_short_is_one_clear_error_wherever_it_was_cut() {
        let folder_of_cut = std::env::temp_dir().join(format!("ekp-netcdf-cut-{}", std::process::id()));
        std::fs::create_dir_all(&folder_of_cut).unwrap();
        let path = folder_of_cut.join("cut.nc");
        for name in FILES {
            let whole = std::fs::read(folder().join(name)).unwrap();
            // A record of the classic form has some padding behind it, which nobody misses.
            for length in (8..whole.len() - 64).step_by(whole.len() / 40) {
                std::fs::write(&path, &whole[..length]).unwrap();
                let fault = format!("{:?}", read(&path).unwrap_err());
                assert!(fault.contains("this netCDF file cannot be used"), "{name} {length}: {fault}");
                assert!(fault.contains("cut.nc"), "{fault}");
            }
        }
        std::fs::remove_dir_all(folder_of_cut).unwrap();
    }

    #[test]
    fn times_that_cannot_be_used_are_named() {
        let folder = std::env::temp_dir().join(format!("ekp-netcdf-times-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, units, calendar, words) in [
            ("time", "months since 2004-01-01", "standard", "the units of `time`"),
            ("time", "days since 2004-01-01", "noleap", "calendar `noleap`"),
            ("day", "days since 2004-01-01", "standard", "no variable `time`"),
        ] {
            let mut file = hdf5_pure::FileBuilder::new();
            let times = file.create_dataset(name).with_f64_data(&[0.0, 1.0]);
            times.set_attr("units", hdf5_pure::AttrValue::String(units.into()));
            times.set_attr("calendar", hdf5_pure::AttrValue::String(calendar.into()));
            let path = folder.join("f.nc");
            file.write(&path).unwrap();
            let fault = format!("{:?}", read(&path).unwrap_err());
            assert!(fault.contains(words), "{fault}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
