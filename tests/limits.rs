//! Few open files, many workers: slower perhaps, never wrong.

use crate::support::{Ended, Study, TestRun, program, same_science, tools};

/// `ekp-launch` where a process may have 64 files open, soft and hard.
fn launch(run: &TestRun, args: &str) -> Ended {
    let launch = tools().join("ekp-launch");
    let line = format!("ulimit -n 64 && exec '{}' . {args}", launch.display());
    program("/bin/sh", &run.path).args(["-c", &line]).succeeds()
}

#[test]
fn thirty_two_workers_and_five_hundred_members_with_64_open_files() {
    let study = Study::sinusoid("files").members(500).iterations(1);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
    for (name, args) in [
        ("local", "--on local --workers 32"),
        ("threads", "--on threads --workers 32"),
        ("once", "--once --workers 32"),
    ] {
        let run = study.init(name);
        launch(&run, args).says("workers, not 32: `ulimit -n` allows 64 open files");
        if name == "once" {
            // That was step 0 and the only iteration: nothing is left
            launch(&run, "--once");
        }
        same_science(&quiet, &run);
    }
}

#[test]
fn thirty_two_threads() {
    let study = Study::sinusoid("threads").members(64).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads", "--workers", "32"]);
    same_science(&quiet, &run);
}

#[test]
fn an_external_model_with_64_open_files() {
    // A model as cheap as they come: it copies an answer that depends on the member
    let study = Study::external("files-external")
        .model("#!/bin/sh\necho \"model_output = [1, $2, 3, $2, 5]\" > \"$1\"\n")
        .set("model.command", toml::Value::Array(["./model.sh", "{data}", "{member}"].map(Into::into).into()))
        .members(500)
        .iterations(1)
        .set("failures.retries", 0);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--workers", "2"]);
    assert_eq!(quiet.toml("iteration_000/update.toml")["ok"].as_integer(), Some(500));
    for args in ["--on local --workers 32", "--on threads --workers 32"] {
        let run = study.init(args.split(' ').nth(1).unwrap());
        launch(&run, args).says("workers, not 32");
        same_science(&quiet, &run);
    }
}

#[test]
fn what_this_machine_refuses_is_no_failure_of_the_model() {
    // Given a machine where no further process can be started
    let study = Study::external("refused").members(4).iterations(1);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    // (strace answers the start of a process, of whatever kind, with EAGAIN, as `ulimit -u` does)
    if !crate::support::strace::there() {
        return;
    }
    let log = study.folder.path().join("log");
    let options =
        ["-e", "trace=clone,clone3,vfork,fork", "-e", "inject=clone,clone3,vfork,fork:error=EAGAIN"];
    let ended = crate::support::strace::strace(&options, &log, "ekp-run-member", &run.path)
        .args([".", "-i", "0", "-m", "1"])
        .run();
    // Then nothing is recorded as failed, and the run ends as ever
    let ended = ended.code(1).says("member 1 of iteration 0 could not be run: cannot start").says("hint: ");
    assert!(!run.has("iteration_000/member_001/failed.toml"), "{}", ended.err());
    run.launch(&["-q"]);
    same_science(&quiet, &run);
}
