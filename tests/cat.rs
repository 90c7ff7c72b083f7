//! `ekp-cat`: any record, verified, as TOML or CSV; damage is named.

use std::fs;

use crate::support::{Study, TestRun, program};

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
    run.tool("ekp-cat").args(["none.toml"]).fails(2).says("cannot read `none.toml`");
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

/// A Python that has pyarrow: `EKP_TEST_PYTHON`, or the one in `PATH`; none of its answers is waited for elsewhere.
fn pyarrow() -> Option<String> {
    let python = std::env::var("EKP_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let asked = program(&python, ".".as_ref()).args(["-c", "import pyarrow.parquet"]).try_run();
    let there = asked.is_some_and(|answer| answer.output.status.success());
    if !there {
        eprintln!("skipped: pyarrow is not here");
    }
    there.then_some(python)
}

#[test]
fn tables_of_parquet_are_printed_as_they_were_exported() {
    let study = Study::sinusoid("cat_parquet").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    run.tool("ekp-export").args(["-o", "t.parquet"]).succeeds();
    run.tool("ekp-export").args(["-o", "t.csv"]).succeeds();
    // The same cells, gaps included: the last ensemble has no outputs
    assert_eq!(cat(&run, &["t.parquet"]), run.read("t.csv"));
    let table: toml::Table = cat(&run, &["t.parquet", "--toml"]).parse().unwrap();
    let rows = table["row"].as_array().unwrap();
    assert_eq!((table["rows"].as_integer(), rows.len()), (Some(12), 12));
    assert!(rows[0].get("range[1]").is_some() && rows[11].get("range[1]").is_none());
    assert_eq!(table["notes"]["name"].as_str(), run.toml("run.toml")["name"].as_str());
    // Cut short it is told so
    let bytes = fs::read(run.path.join("t.parquet")).unwrap();
    fs::write(run.path.join("cut.parquet"), &bytes[..bytes.len() - 9]).unwrap();
    run.tool("ekp-cat").args(["cut.parquet"]).fails(1).says("cut short");
}

#[test]
fn tables_of_parquet_are_those_of_another_program() {
    let Some(python) = pyarrow() else { return };
    let study = Study::sinusoid("cat_pyarrow").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    run.tool("ekp-export").args(["-o", "t.parquet"]).succeeds();
    // Read by the other program: cell for cell what we print
    let script = "import sys, pyarrow.parquet as pq\nt = pq.read_table(sys.argv[1])\nprint(','.join(t.column_names))\n\
                  for row in t.to_pylist(): print(','.join('' if v is None else str(v) for v in row.values()))\n";
    let told = program(&python, &run.path).args(["-c", script, "t.parquet"]).succeeds().out();
    let numbers = |text: &str| -> Vec<Vec<String>> {
        let cell = |c: &str| c.parse::<f64>().map_or_else(|_| c.to_owned(), |x| format!("{x:?}"));
        text.lines().map(|line| line.split(',').map(cell).collect()).collect()
    };
    assert_eq!(numbers(&told), numbers(&cat(&run, &["t.parquet"])));
    // Written by it, plain: five types, gaps, several groups and pages
    let script = "import pyarrow as pa, pyarrow.parquet as pq\nn = range(5000)\nt = pa.table({\n\
         'word': pa.array([None if k % 3 == 0 else 'č' + str(k) for k in n]),\n\
         'small': pa.array([None if k % 5 == 0 else k - 7 for k in n], pa.int32()),\n\
         'large': pa.array([k << 40 for k in n], pa.int64()),\n\
         'x': pa.array([None if k >= 2500 else k / 7 for k in n]),\n\
         'single': pa.array([k / 4 for k in n], pa.float32()),\n\
         'yes': pa.array([k % 2 == 0 for k in n])})\n\
         plain = dict(compression='none', use_dictionary=False, row_group_size=1999, data_page_size=1000)\n\
         pq.write_table(t, 'plain.parquet', **plain)\npq.write_table(t, 'usual.parquet')\n\
         pq.write_table(t, 'words.parquet', compression='none')\n";
    program(&python, &run.path).args(["-c", script]).succeeds();
    let text = cat(&run, &["plain.parquet"]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (5001, "word,small,large,x,single,yes"));
    assert_eq!(lines[1], ",,0,0.0,0.0,true");
    assert_eq!(lines[2], format!("č1,-6,{},{:?},0.25,false", 1_i64 << 40, 1.0 / 7.0));
    assert_eq!(lines[5000], format!("č4999,4992,{},,1249.75,false", 4999_i64 << 40));
    // What is beyond us is told with what to do
    run.tool("ekp-cat")
        .args(["usual.parquet"])
        .fails(2)
        .says("is compressed (snappy)")
        .says("use_dictionary");
    run.tool("ekp-cat").args(["words.parquet"]).fails(2).says("has a dictionary").says("compression");
}
