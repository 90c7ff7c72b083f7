//! Few open files, many workers: slower perhaps, never wrong.

use crate::dds::{best_is_the_best, land, scores};
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

/// `ekp-launch` with six workers asked for, which may start so many processes or threads and no more: strace answers the
/// next with EAGAIN, as `ulimit -u` does. (Root, who knows no such limit, is answered the same.)
fn launch_few(study: &Study, on: &str, started: usize) -> (TestRun, Ended) {
    let run = study.init(&format!("{on}{started}"));
    let calls = "clone,clone3,vfork,fork";
    let inject = format!("inject={calls}:error=EAGAIN:when={}+", started + 1);
    let options = ["-e", &format!("trace={calls}"), "-e", &inject];
    let log = run.path.with_extension("strace");
    let launch = crate::support::strace::strace_alone(&options, &log, "ekp-launch", &run.path);
    let ended = launch.args([".", "--on", on, "--workers", "6"]).run();
    (run, ended)
}

#[test]
fn a_search_with_fewer_workers_than_asked_for_ends_with_all_its_trials() {
    if !crate::support::strace::there() {
        return;
    }
    let study = land("fewer-workers", "dds-async", 1, 40);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
    for on in ["threads", "local"] {
        for started in 0..=3 {
            let (run, ended) = launch_few(&study, on, started);
            if on == "local" && started == 0 {
                // Of processes one is needed; nothing is half made, and the run goes on by what the hint says
                ended.code(1).says("cannot start `ekp-worker`: ").says("hint: `--on threads`");
                assert!(scores(&run).is_empty());
                run.launch(&["-q", "--on", "threads", "--workers", "1"]);
                same_science(&quiet, &run);
                continue;
            }
            // Then those that there are do all the trials, the launcher's own thread among them
            ended.code(0).says(" workers, not 6: ");
            assert_eq!(scores(&run).len(), 40, "{on} {started}");
            best_is_the_best(&run);
            if on == "threads" && started == 0 {
                same_science(&quiet, &run);
            }
        }
    }
}

#[test]
fn threads_that_cannot_be_started_cost_an_iteration_nothing_but_time() {
    if !crate::support::strace::there() {
        return;
    }
    let members = Study::sinusoid("fewer-threads").members(12).iterations(2);
    let cells = Study::example("fewer-cells", "grid_shell");
    for (study, started) in [(&members, 0), (&members, 2), (&cells, 40), (&cells, 100)] {
        let quiet = study.init(&format!("quiet{started}"));
        quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
        // (A cell is a program: it needs processes, and is no failure when none is left)
        let (run, ended) = launch_few(study, "threads", started);
        if ended.output.status.code() != Some(0) {
            ended.code(1).says("could not be run: cannot start");
            run.launch(&["-q", "--on", "threads"]);
        }
        same_science(&quiet, &run);
    }
}
