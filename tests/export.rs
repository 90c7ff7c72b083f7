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
        .args(["-o", "t.feather"])
        .fails(2)
        .says("feather")
        .says("there are `csv`, `npy` and `parquet`");
    run.tool("ekp-export").args(["--format", "npy"]).fails(2).says("`-o table.npy`");
    run.tool("ekp-export").args(["--format", "parquet"]).fails(2).says("`-o table.parquet`");
    // Parquet has its mark at both ends
    run.tool("ekp-export").args(["-o", "t.parquet"]).succeeds();
    let bytes = fs::read(run.path.join("t.parquet")).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
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
    run.tool("ekp-probe").args(["no/such/folder"]).fails(2).says("cannot probe `no/such/folder`");
}

#[test]
fn a_run_in_the_layout_of_climacalibrate_reads_back() {
    let study = Study::external("export-climacalibrate").members(5).iterations(2).set("failures.retries", 0);
    let study = study.model(
        "#!/bin/sh\n[ \"$EKP_MEMBER\" != 3 ] || exit 1\necho \"model_output = [1, 2, $EKP_MEMBER, 4, 5.5]\" > $2\n",
    );
    let run = study.init("run");
    run.launch(&["-q", "--workers", "1"]);
    let table = csv::Reader::from_reader(run.tool("ekp-export").args(["."]).succeeds().out().as_bytes())
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
        .collect::<Vec<_>>();
    let export = || run.tool("ekp-export").args([".", "--climacalibrate", "-o", "julia"]);
    export().succeeds();
    let at = |name: &str| run.path.join("julia").join(name);
    let read = |name: &str| fs::read_to_string(at(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    // The first iteration of the run, 0, is theirs, 1; the last ensemble has no outputs.
    let g: Vec<Vec<f64>> = read("iteration_001/G_ensemble.csv")
        .lines()
        .map(|line| line.split(',').map(|x| x.parse().unwrap()).collect())
        .collect();
    assert_eq!((g.len(), g[0].len()), (5, 5));
    assert!(g[0][2].is_nan() && g[2][4] == 5.0 && g[4][0] == 5.5);
    let array = ekp::files::npy::read(&fs::read(at("iteration_001/G_ensemble.npy")).unwrap()).unwrap();
    assert_eq!(array.shape, [5, 5]);
    assert!(array.data.iter().zip(g.concat()).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert_eq!(read("iteration_001/member_001/checkpoint.txt"), "completed\n");
    assert_eq!(read("iteration_001/member_003/checkpoint.txt"), "started\n");
    assert!(
        !at("iteration_003/G_ensemble.csv").exists()
            && !at("iteration_003/member_001/checkpoint.txt").exists()
    );
    for row in &table {
        let n: usize = row[0].parse().unwrap();
        let parameters: toml::Table =
            read(&format!("iteration_{:03}/member_{:0>3}/parameters.toml", n + 1, row[1])).parse().unwrap();
        let names = run.toml("run.toml")["parameters"].clone();
        for (k, name) in names.as_array().unwrap().iter().enumerate() {
            let entry = &parameters[name.as_str().unwrap()];
            assert_eq!(entry["type"].as_str(), Some("float"));
            assert_eq!(entry["value"].as_float().unwrap(), row[3 + k].parse::<f64>().unwrap());
        }
    }
    export().fails(2).says("holds files already");
}
