//! Packed runs: many members, one outcome; the same launchers, kills and damage.

use std::fs;

use crate::support::processes::Dice;
use crate::support::strace::{record, strace, there};
use crate::support::{Study, TestRun, same_science};

fn study(name: &str) -> Study {
    Study::sinusoid(name).members(25).iterations(3).set("model.pack", 10)
}

fn quiet(study: &Study) -> TestRun {
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
    quiet
}

#[test]
fn packed_and_unpacked_runs_give_the_same_result_and_so_do_all_launchers() {
    let study = study("packs");
    let quiet = quiet(&study);
    for (k, args) in [
        &["--on", "local", "--workers", "3"][..],
        &["--on", "threads", "--workers", "4"],
        &["--on", "make", "--workers", "2"],
    ]
    .iter()
    .enumerate()
    {
        let run = study.init(&format!("run_{k}"));
        run.launch(args);
        same_science(&quiet, &run);
    }
    let pool = study.init("pool");
    pool.tool("ekp-worker").args([".", "--to-end"]).succeeds();
    same_science(&quiet, &pool);
    let study = study.set("model.pack", 1);
    let plain = study.init("plain");
    plain.launch(&["-q"]);
    assert_eq!(quiet.read("stop.toml"), plain.read("stop.toml"));
}

#[test]
fn a_defective_pack_runs_again() {
    let study = study("packs-defect");
    let quiet = quiet(&study);
    for (k, (tool, args)) in [
        ("ekp-launch", &["-q", ".", "--on", "local"][..]),
        ("ekp-launch", &["-q", ".", "--on", "threads"]),
        // A pool once went round in circles here: it looked for the member's folder, which a pack has not
        ("ekp-worker", &["-q", ".", "--to-end"]),
    ]
    .iter()
    .enumerate()
    {
        let run = study.init(&format!("run_{k}"));
        run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
        run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-25"]).succeeds();
        let chunk = |n: u32, file: &str| run.path.join(format!("iteration_000/chunk_{n:06}/{file}"));
        // One flipped bit in the numbers, a record cut short, parameters of another pack
        let mut bytes = fs::read(chunk(1, "data.npy")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(chunk(1, "data.npy"), bytes).unwrap();
        fs::write(chunk(2, "data.toml"), &fs::read(chunk(2, "data.toml")).unwrap()[..200]).unwrap();
        run.tool("ekp-update")
            .args([".", "-i", "0"])
            .fails(3)
            .says("20 of 25 members have no outcome yet")
            .says("`data.npy` is not the file that `data.toml` names");
        fs::copy(chunk(1, "parameters.npy"), chunk(2, "parameters.npy")).unwrap();
        fs::remove_file(chunk(3, "data.toml")).unwrap();
        fs::write(chunk(3, "parameters.npy"), "short").unwrap();
        run.tool(tool).args(*args).succeeds();
        same_science(&quiet, &run);
    }
}

#[test]
fn a_run_member_call_mends_a_pack() {
    let study = study("packs-hand");
    let quiet = quiet(&study);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    fs::remove_dir_all(run.path.join("iteration_000/chunk_000002")).unwrap();
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-25"]).succeeds();
    fs::remove_file(run.path.join("iteration_000/chunk_000003/data.npy")).unwrap();
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "25"]).succeeds();
    run.launch(&["-q"]);
    same_science(&quiet, &run);
}

#[test]
fn killed_at_random_points_a_packed_run_ends_with_the_same_bytes() {
    if !there() {
        return;
    }
    const CALLS: [&str; 6] = ["openat", "mkdir", "rename", "linkat", "write", "fsync"];
    let study = study("packs-kill");
    let quiet = quiet(&study);
    let args = ["-q", ".", "--on", "threads", "--workers", "1"];
    let counted = study.init("counted");
    let (_, calls) = record(&CALLS.join(","), "ekp-launch", &counted.path, &args);
    let mut dice = Dice::new(3);
    for round in 0..12 {
        let run = study.init(&format!("run_{round}"));
        // Killed three times on its way
        for _ in 0..3 {
            let call = &calls[dice.below(calls.len())];
            let inject = format!("inject={}:signal=SIGKILL:when={}", call.name, call.number);
            let options = ["-e", &format!("trace={}", call.name), "-e", &inject];
            strace(&options, &study.folder.path().join("log"), "ekp-launch", &run.path).args(args).run();
        }
        run.launch(&["-q"]);
        same_science(&quiet, &run);
    }
}
