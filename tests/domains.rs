//! Models in the units of a real basin, from `experiment.toml` to `stop.toml`: bands, response units, cells.

use std::path::Path;

use crate::support::bow::{self, Bow, Moving};
use crate::support::{Folder, TestRun, tool};

const BANDS: &str = r#"
units = { file = "DATA/bow/bow_bands12.csv", elevation_m = "elev_mean_m" }
reference_m = 2137.8
"#;
const RIVER: &str = r#"
network = { file = "DATA/bow/bow_gru52_network.csv", id = "gru_id", down = "down_seg_id", length_m = "seg_length_m", elevation_m = "elev_m" }
precipitation = { file = "DATA/bow/bow_gru52_precip_mm.csv.gz", unit = "mm/d" }
temperature = { file = "DATA/bow/bow_gru52_temp_c.csv.gz", unit = "degC" }
"#;
const UNITS: &str =
    r#"units = { file = "DATA/bow/bow_hru_bands.csv", basin = "gru_id", elevation_m = "elev_mean_m" }"#;
const CELLS: &str =
    r#"units = { file = "DATA/bow/bow_cells.csv", basin = "gru_id", elevation_m = "elev_m" }"#;

/// Five trials of a model in a domain, scored over a spring; the scores.
fn scores(builtin: &str, own: &str, moving: &[Moving], domain: &str, data: &Path) -> Vec<f64> {
    let folder = Folder::new(&format!("domain-{builtin}"));
    let score = "name = \"nse\"\nspin_up = [\"2003-01-01\", \"2003-03-31\"]\n\
                 calibration = [\"2003-04-01\", \"2003-06-30\"]";
    let text = Bow { builtin, own, domain, score, members: 5, budget: 5 }.experiment(data);
    folder.write("experiment.toml", &text);
    folder.write("priors.toml", &bow::priors(moving));
    tool("ekp-init", folder.path()).args(["-q", "experiment.toml", "run"]).succeeds();
    let run = TestRun { path: folder.path().join("run") };
    run.launch(&["-q", "--on", "threads", "--workers", "1"]);
    let stop = run.toml("stop.toml");
    assert_eq!((stop["evaluations"].as_integer(), stop["failed"].as_integer()), (Some(5), Some(0)));
    run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("the same numbers, bit for bit");
    let mut all: Vec<f64> = crate::dds::scores(&run).into_iter().map(|(_, score)| score).collect();
    all.sort_by(f64::total_cmp);
    all
}

#[test]
fn every_model_runs_in_bands_units_and_cells_of_the_bow() {
    let Some(data) = bow::data("bow_cells.csv") else { return };
    let hbv = [("tt", -1.0, 1.0), ("cfmax", 2.0, 5.0)];
    let gr4j = [("x1", 100.0, 600.0), ("kf", 2.0, 6.0)];
    let fuse = [("MAXWATR_1", 50.0, 300.0), ("MFMAX", 3.0, 6.0)];
    let models: [(&str, &str, &[Moving]); 3] =
        [("hbv", "", &hbv), ("gr4j", "", &gr4j), ("fuse", "structure = \"arno_vic\"", &fuse)];
    for (builtin, own, moving) in models {
        let bands = scores(builtin, own, moving, BANDS, &data);
        assert_eq!(bands.len(), 5);
        // With a river, its speed is a parameter like others
        let moving = [moving, &[("celerity", 0.5, 2.0)]].concat();
        for domain in [UNITS, CELLS] {
            let all = scores(builtin, own, &moving, &format!("{domain}{RIVER}"), &data);
            assert!(all.len() == 5 && all.iter().all(|nse| nse.is_finite()), "{builtin} {all:?}");
            assert!(all[0] < all[4], "parameters have an effect: {builtin} {all:?}");
        }
    }
}

/// The forcing and the flow of an example as a classic netCDF file give the same bits as its table.
#[cfg(feature = "netcdf")]
#[test]
fn a_search_on_netcdf_files_is_the_search_on_tables() {
    use netcdf3::{DataSet, FileWriter, Version};

    use crate::support::Study;

    let study = Study::example("netcdf", "synthetic_basin");
    let text = std::fs::read_to_string(study.folder.path().join("experiment_dds.toml")).unwrap();
    let text = text.lines().map(|line| if line.starts_with("budget") { "budget = 40" } else { line });
    let text = text.collect::<Vec<_>>().join("\n");
    let best = |text: &str, name: &str| {
        study.folder.write("experiment.toml", text);
        let run = study.init(name);
        run.launch(&["-q", "--on", "threads", "--workers", "1"]);
        let best = run.toml("stop.toml")["best"].as_array().unwrap()[0].clone();
        (best["trial"].clone(), best["score"].clone(), best["values"].clone())
    };
    let expected = best(&text, "tables");
    let columns = |name: &str| -> (Vec<String>, Vec<Vec<f64>>) {
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).from_path(study.folder.path().join(name)).unwrap();
        let names: Vec<String> =
            reader.headers().unwrap().iter().map(|name| name.trim().to_owned()).collect();
        let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
        let number = |row: &csv::StringRecord, k: usize| row[k].trim().parse().unwrap_or(f64::NAN);
        let of = |k: usize| rows.iter().map(|row| number(row, k)).collect();
        (names.clone(), (0..names.len()).map(of).collect())
    };
    let (names, numbers) = columns("forcing.csv");
    let mut set = DataSet::new();
    let steps = numbers[0].len();
    set.add_fixed_dim("time", steps).unwrap();
    set.add_var_f64("time", &["time"]).unwrap();
    set.add_var_attr_string("time", "units", "days since 2001-01-01").unwrap();
    for name in &names[1..] {
        set.add_var_f64(name, &["time"]).unwrap();
        let unit = if name.starts_with("temp") { "degC" } else { "mm day-1" };
        set.add_var_attr_string(name, "units", unit).unwrap();
    }
    let mut writer = FileWriter::create_new(study.folder.path().join("forcing.nc")).unwrap();
    writer.set_def(&set, Version::Offset64Bit, 0).unwrap();
    let days: Vec<f64> = (0..steps).map(|day| day as f64).collect();
    writer.write_var_f64("time", &days).unwrap();
    for (name, numbers) in names.iter().zip(&numbers).skip(1) {
        writer.write_var_f64(name, numbers).unwrap();
    }
    writer.close().unwrap();
    let text = text.replace("\"forcing.csv\"", "\"forcing.nc\"");
    assert_eq!(best(&text, "netcdf"), expected);
    // Another unit than that of the file is refused where it stands
    study.folder.write("experiment.toml", &text.replace("\"degC\"", "\"K\""));
    let ended = tool("ekp-init", study.folder.path()).args(["--check"]).fails(2);
    ended.says("the file says `degC`, the experiment `K`");
}
