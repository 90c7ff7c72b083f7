//! One plan, several carriers: the same bytes.

use crate::support::strace::{record, there};
use crate::support::{Study, TestRun, same_science, tool};

#[test]
fn every_launcher_on_this_machine_gives_the_same_bytes() {
    // Given the same experiment in five run folders
    let study = Study::sinusoid("launchers").members(7).iterations(4);
    let by_hand = study.init("by_hand");
    by_hand.tool("ekp-init-ensemble").succeeds();
    // When one is carried out by hand, out of order
    for iteration in 0..4 {
        let i = iteration.to_string();
        by_hand.tool("ekp-run-member").args([".", "-i", &i, "-m", "5,2"]).succeeds();
        by_hand.tool("ekp-update").args([".", "-i", &i]).fails(3).says("members have no outcome yet");
        by_hand.tool("ekp-run-member").args([".", "-i", &i, "-m", "1-7"]).succeeds();
        by_hand.tool("ekp-update").args([".", "-i", &i]).succeeds();
    }
    // And the others by launchers
    let carriers = [
        vec!["--on", "local", "--workers", "3"],
        vec!["--on", "threads", "--workers", "1"],
        vec!["--on", "threads", "--workers", "4"],
        vec!["--on", "make", "--workers", "3"],
    ];
    for (k, args) in carriers.iter().enumerate() {
        let run = study.init(&format!("run_{k}"));
        run.launch(args);
        // Then the science has the same bytes
        same_science(&by_hand, &run);
    }
}

#[test]
fn a_member_that_ran_before_is_left_alone() {
    let study = Study::sinusoid("again").members(4);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-i", "0", "-m", "2"]).succeeds();
    let before = run.snapshot();
    let second = run.tool("ekp-run-member").args(["-i", "0", "-m", "2"]).succeeds();
    assert_eq!(second.err(), "already done\n");
    assert_eq!(run.snapshot(), before);
}

#[test]
fn threads_share_one_run_and_the_files_its_model_is_made_from_are_read_no_more_often() {
    if !there() {
        return;
    }
    // Given a model that is made from a table of forcing
    let study = Study::example("opened", "synthetic_basin");
    let opened = |workers: &str| {
        let run = TestRun { path: study.folder.path().join(format!("run{workers}")) };
        let init = tool("ekp-init", study.folder.path()).args(["-q", "experiment_dds.toml"]);
        init.args([&run.path])
            .args(["--set", "algorithm.members=8", "--set", "algorithm.budget=16"])
            .succeeds();
        let args = [".", "-q", "--on", "threads", "--workers", workers];
        let (ended, calls) = record("openat", "ekp-launch", &run.path, &args);
        ended.code(0);
        calls.iter().filter(|call| call.text.contains("forcing.csv")).count()
    };
    // Then eight threads open it as often as one does
    let one = opened("1");
    assert!(one > 0 && one == opened("8"), "{one}");
}
