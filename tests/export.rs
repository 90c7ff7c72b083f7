//! `ekp-export`: one table with the numbers of the files.

use std::fs;

use crate::support::{Study, TestRun};

fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

/// One failed member in a closed iteration, one missing in the open one.
fn half_way(name: &str) -> TestRun {
    let study = Study::sinusoid(name).members(4).iterations(3);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "2", "--fail", "by hand"]).succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "1-4"]).succeeds();
    run.tool("ekp-update").args(["-qi", "0"]).succeeds();
    run.tool("ekp-run-member").args(["-qi", "1", "-m", "1-3"]).succeeds();
    // The folder outlives its study: it is removed here at the end of each test
    std::mem::forget(study);
    run
}

#[test]
fn every_cell_is_the_number_of_its_file() {
    let run = half_way("export");
    let table = rows(&run.tool("ekp-export").succeeds().out());
    assert_eq!(table.len(), 8);
    let states: Vec<&str> = table.iter().map(|r| r["state"].as_str()).collect();
    assert_eq!(states, ["ok", "failed:user", "ok", "ok", "ok", "ok", "ok", "missing"]);
    for row in &table {
        let folder = format!("iteration_{:0>3}/member_{:0>3}", row["iteration"], row["member"]);
        let parameters = run.toml(&format!("{folder}/parameters.toml"));
        for name in ["amplitude", "vert_shift"] {
            let expected = parameters[name]["value"].as_float().unwrap();
            assert_eq!(row[name].parse::<f64>().unwrap().to_bits(), expected.to_bits(), "{folder} {name}");
        }
        if row["state"] != "ok" {
            assert_eq!((row["range[1]"].as_str(), row["mean[1]"].as_str()), ("", ""));
            continue;
        }
        let data = run.toml(&format!("{folder}/data.toml"));
        for name in ["range", "mean"] {
            let expected = data["model_output"][name][0].as_float().unwrap();
            assert_eq!(row[&format!("{name}[1]")].parse::<f64>().unwrap().to_bits(), expected.to_bits());
        }
    }
    // To a file
    run.tool("ekp-export").args(["-o", "table.csv"]).succeeds().says("8 rows, 2 parameters, 2 outputs");
    assert_eq!(rows(&run.read("table.csv")), table);
    // At the end the last ensemble is there as the result
    run.launch(&["-q", "--on", "threads"]);
    let table = rows(&run.tool("ekp-export").succeeds().out());
    assert_eq!(table.iter().filter(|r| r["state"] == "result").count(), 4);
    // Members' files may be gone: parameters stay, outputs are empty, and that is said
    fs::remove_dir_all(run.path.join("iteration_000/member_001")).unwrap();
    let told = run.tool("ekp-export").succeeds().says("the outputs of 1 member of `iteration_000` are gone");
    let (now, then) = (&rows(&told.out())[0], &table[0]);
    assert_eq!(
        (now["state"].as_str(), &now["amplitude"], now["mean[1]"].as_str()),
        ("ok", &then["amplitude"], "")
    );
    fs::remove_dir_all(run.path.parent().unwrap()).unwrap();
}

#[test]
fn arrays_never_stand_alone() {
    let run = half_way("arrays");
    let told = run.tool("ekp-export").args(["-o", "table.npy"]).succeeds();
    let files: Vec<String> = told.out().lines().map(str::to_owned).collect();
    assert_eq!(files, ["table.parameters.npy", "table.outputs.npy", "table.index.npy", "table.toml"]);
    let record = run.toml("table.toml");
    let arrays = record["array"].as_array().unwrap();
    let shapes: Vec<String> = arrays.iter().map(|a| a["shape"].to_string()).collect();
    assert_eq!(shapes, ["[8, 2]", "[8, 2]", "[8, 3]"]);
    assert_eq!(arrays[1]["columns"][1].as_str(), Some("mean[1]"));
    // They hold what the table holds
    let csv = rows(&run.tool("ekp-export").succeeds().out());
    let cat = |name: &str| {
        run.tool("ekp-cat")
            .args([name, "-v"])
            .succeeds()
            .says("its checksum is the one in `table.toml`")
            .out()
    };
    let index = rows(&cat("table.index.npy"));
    let states = record["states"].as_array().unwrap();
    for ((row, index), values) in csv.iter().zip(&index).zip(rows(&cat("table.parameters.npy"))) {
        assert_eq!(row["amplitude"], values["column_1"]);
        let code: f64 = index["column_3"].parse().unwrap();
        assert_eq!(Some(row["state"].as_str()), states[code as usize].as_str());
    }
    fs::remove_dir_all(run.path.parent().unwrap()).unwrap();
}

#[test]
fn other_formats_are_refused_with_those_that_exist() {
    let study = Study::sinusoid("formats").members(4);
    let run = study.init("run");
    run.tool("ekp-export")
        .args(["-o", "t.parquet"])
        .fails(2)
        .says("parquet")
        .says("there are `csv` and `npy`");
    run.tool("ekp-export").args(["--format", "npy"]).fails(2).says("`-o table.npy`");
    // A run without an ensemble has a table without rows
    assert_eq!(
        run.tool("ekp-export").succeeds().out(),
        "iteration,member,state,amplitude,vert_shift,range[1],mean[1]\n"
    );
}

#[test]
fn a_machine_and_a_disk_can_be_described() {
    let study = Study::sinusoid("probe");
    let run = study.init("run");
    let machine: toml::Table = run.tool("ekp-probe").succeeds().out().parse().unwrap();
    assert_eq!(machine["schema"].as_str(), Some("ekp.platform"));
    assert!(machine["usable_cores"].as_integer().unwrap() >= 1 && !machine.contains_key("folder"));
    let before = run.snapshot();
    let both: toml::Table = run.tool("ekp-probe").args(["."]).succeeds().out().parse().unwrap();
    assert!(both["folder"]["create_rename_us"].as_float().unwrap() > 0.0);
    assert_eq!(run.snapshot(), before);
    run.tool("ekp-probe").args(["no/such/folder"]).fails(1).says("cannot probe `no/such/folder`");
}
