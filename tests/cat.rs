//! `ekp-cat`: any record, verified, as TOML or CSV; damage is named.

use std::fs;

use crate::support::{Study, TestRun};

fn cat(run: &TestRun, args: &[&str]) -> String {
    run.tool("ekp-cat").args(args).succeeds().out()
}

#[test]
fn every_record_of_a_run_is_printed() {
    let study = Study::sinusoid("cat").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    run.tool("ekp-cancel").succeeds();
    let kinds = |name: &&String| name.ends_with(".toml") || name.ends_with(".bin");
    let files: Vec<String> = run.snapshot().keys().filter(kinds).cloned().collect();
    assert!(files.len() > 25);
    for name in &files {
        let text = cat(&run, &[name]);
        assert!(text.parse::<toml::Table>().is_ok(), "{name}:\n{text}");
        let table = cat(&run, &[name, "--csv"]);
        assert!(table.lines().count() > 1, "{name}:\n{table}");
    }
}

#[test]
fn an_ensemble_has_the_numbers_of_the_parameter_files() {
    // vert_shift has no bounds, so its unconstrained value is the physical one
    let study = Study::sinusoid("ensemble").members(3);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    let toml: toml::Table = cat(&run, &["iteration_000/ensemble.bin"]).parse().unwrap();
    let csv = cat(&run, &["iteration_000/ensemble.bin", "--csv"]);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    for (j, row) in reader.records().enumerate() {
        let member = run.toml(&format!("iteration_000/member_{:03}/parameters.toml", j + 1));
        let value = member["vert_shift"]["value"].as_float().unwrap();
        assert_eq!(row.unwrap()[2].parse::<f64>().unwrap(), value);
        assert_eq!(toml["unconstrained"]["vert_shift"][j].as_float().unwrap(), value);
    }
    assert_eq!(toml["members"].as_integer(), Some(3));
}

#[test]
fn damage_is_named_with_what_mends_it() {
    let study = Study::sinusoid("damage").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    let hurt = |name: &str, change: &dyn Fn(&mut Vec<u8>), says: &str| {
        let path = run.path.join(name);
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        change(&mut bad);
        fs::write(&path, bad).unwrap();
        let told = run.tool("ekp-cat").args([name]).fails(1).says(says).says("hint: ");
        assert_eq!(told.out(), "", "{name}");
        fs::write(&path, good).unwrap();
    };
    let cut = |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() - 9);
    let flip = |bytes: &mut Vec<u8>| {
        let at = bytes.iter().rposition(|&b| b == b'.').unwrap();
        bytes[at - 1] ^= 1;
    };
    let data = "iteration_000/member_001/data.toml";
    hurt(data, &cut, "its checksum does not fit");
    hurt(data, &flip, "its checksum does not fit");
    hurt(
        data,
        &|b| b.truncate(b.iter().rposition(|&b| b == b'#').unwrap()),
        "does not end with a `# crc32` line",
    );
    hurt("iteration_000/member_001/parameters.toml", &flip, "its checksum does not fit");
    hurt("iteration_000/ensemble.bin", &cut, "it should hold");
    hurt("iteration_000/state.bin", &|b| *b.last_mut().unwrap() ^= 1, "its bytes have changed");
    hurt("iteration_000/update.toml", &|b| b.truncate(b.len() / 2), "is no TOML");
    hurt("stop.toml", &Vec::clear, "it is empty");
    // What is none of ours is told so
    fs::write(run.path.join("photo.png"), b"\x89PNG\r\n\xff\xfe").unwrap();
    run.tool("ekp-cat").args(["photo.png"]).fails(2).says("no record of the toolkit");
    run.tool("ekp-cat").args(["iteration_000"]).fails(2).says("is a folder");
    run.tool("ekp-cat").args(["none.toml"]).fails(1).says("cannot read `none.toml`");
}

#[test]
fn packed_outcomes_are_held_against_the_record_that_names_them() {
    let study = Study::sinusoid("packed").members(6).iterations(1).set("model.pack", 4);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    let name = "iteration_000/chunk_000001/data.npy";
    let told =
        run.tool("ekp-cat").args([name, "-v"]).succeeds().says("its checksum is the one in `data.toml`");
    assert_eq!(told.out().lines().count(), 1 + 4);
    assert!(cat(&run, &[name, "--toml"]).starts_with("shape = [4, 2]\n"));
    let mut bytes = fs::read(run.path.join(name)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(run.path.join(name), bytes).unwrap();
    run.tool("ekp-cat").args([name]).fails(1).says("not the file that `data.toml` names");
}
