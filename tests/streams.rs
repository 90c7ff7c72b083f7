//! Outcomes by the million: in TOML, in npy beside it, in memory or block by block, the same bytes.

use std::fs;

use ekp::files::{ARRAY, data_beside, data_text, digest};

use crate::support::{Study, TestRun};

/// A linear model with 3 parameters and `p` outputs in two blocks, whose members wait for their update.
fn study(name: &str, p: usize, members: i64) -> Study {
    let study = Study::external(name).members(members).iterations(2).set("failures.nan_tolerance", 0.1);
    let wave = |n: usize, f: f64| -> Vec<f64> { (0..n).map(|i| (f * i as f64).sin() * 3.0).collect() };
    study.folder.write(
        "observation.toml",
        &format!(
            "schema = \"ekp.observation\"\nversion = 1\n[[block]]\nname = \"a\"\ny = {:?}\ncovariance = {{ scalar = 400.0 }}\n\
             [[block]]\nname = \"b\"\ny = {:?}\ncovariance = {{ scalar = 900.0 }}\n",
            wave(p - 1000, 0.37),
            wave(1000, 0.11)
        )
        // Some rows were not observed.
        .replacen("0.0, ", "nan, ", 1),
    );
    study
}

/// Make the first ensemble, and for every member an outcome that depends on its number alone.
fn begin(study: &Study, run: &str, p: usize, npy: bool) -> TestRun {
    let run = study.init(run);
    run.tool("ekp-init-ensemble").args(["-q", "."]).succeeds();
    let members = run.toml("run.toml")["members"].as_integer().unwrap() as usize;
    for member in 1..=members {
        let folder = run.path.join(format!("iteration_000/member_{member:03}"));
        let parameters = digest(&fs::read(folder.join("parameters.toml")).unwrap());
        let mut values: Vec<f64> =
            (0..p).map(|i| ((i * (member + 3)) as f64 * 0.01).sin() * 3.0 + member as f64 / 7.0).collect();
        if member == 4 {
            values[17] = f64::NAN;
        }
        if member == 6 {
            values[p - 5] = f64::NAN;
        }
        let blocks: [(&str, &[f64]); 2] = [("a", &values[..p - 1000]), ("b", &values[p - 1000..])];
        let text = if npy {
            let (text, array) = data_beside("", &parameters, &blocks);
            fs::write(folder.join(ARRAY), array).unwrap();
            text
        } else {
            data_text("", &parameters, &blocks)
        };
        if member == 5 {
            run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "5", "--fail", "a test"]).succeeds();
        } else {
            fs::write(folder.join("data.toml"), text).unwrap();
        }
    }
    run
}

/// Everything that the update decided, and the next ensemble; digests of the outcomes differ between forms.
fn decided(run: &TestRun) -> (String, Vec<u8>, Vec<u8>) {
    let update = run.read("iteration_000/update.toml");
    let update: Vec<&str> = update.lines().filter(|line| !line.contains("blake3:")).collect();
    let read = |name: &str| fs::read(run.path.join("iteration_001").join(name)).unwrap();
    (update.join("\n"), read("ensemble.bin"), read("state.bin"))
}

#[test]
fn every_form_and_way_of_reading_ends_in_the_same_bytes() {
    let p = 60_000;
    let study = study("streams", p, 20);
    let mut first = None;
    for (name, npy, memory) in [("a", false, "512"), ("b", false, "0"), ("c", true, "512"), ("d", true, "0")]
    {
        let run = begin(&study, name, p, npy);
        run.tool("ekp-update").args(["-q", ".", "-i", "0", "--memory", memory]).succeeds();
        let decided = decided(&run);
        assert!(decided.0.contains("ok = 19\nfailed = 1\n"), "{}", decided.0);
        assert_eq!(first.get_or_insert_with(|| decided.clone()), &decided, "{name}");
        fs::remove_dir_all(&run.path).unwrap();
    }
}

#[test]
fn outputs_that_do_not_fit_into_memory_are_read_block_by_block() {
    // 50 × 300 000 doubles are 120 MB; half of that is all there is.
    let p = 300_000;
    let study = study("streams-small", p, 50);
    let run = begin(&study, "run", p, true);
    let update = |memory: &str| {
        let line = format!("ulimit -v 110000; exec \"$0\" -q . -i 0 --memory {memory}");
        let tool = run.tool("ekp-update").command();
        crate::support::program("sh", &run.path).args(["-c".as_ref(), line.as_ref(), tool.get_program()])
    };
    let whole = update("4096").run();
    assert!(!whole.err().is_empty(), "it went through");
    assert!(!run.has("iteration_000/update.toml"));
    update("64").succeeds();
    assert!(run.has("iteration_001/ensemble.bin"));
}

#[test]
fn members_write_an_array_beside_when_told_and_a_damaged_one_runs_again() {
    let study = Study::external("streams-npy").members(6).iterations(2).set("files.outputs", "npy");
    let plain = Study::external("streams-toml").members(6).iterations(2);
    let (run, other) = (study.init("run"), plain.init("run"));
    run.tool("ekp-init-ensemble").args(["-q", "."]).succeeds();
    let members =
        |run: &TestRun| run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-6"]).succeeds();
    members(&run);
    let array = "iteration_000/member_003/data.npy";
    let good = fs::read(run.path.join(array)).unwrap();
    fs::write(run.path.join(array), &good[..good.len() - 8]).unwrap();
    run.tool("ekp-update").args([".", "-i", "0"]).fails(3).says("data.npy").says("cut short");
    members(&run);
    assert_eq!(fs::read(run.path.join(array)).unwrap(), good);
    run.launch(&["-q", "--workers", "2"]);
    other.launch(&["-q", "--workers", "2"]);
    assert_eq!(run.result(), other.result());
    assert!(run.has("iteration_001/member_006/data.npy") && !other.has("iteration_001/member_006/data.npy"));
}
