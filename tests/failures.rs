//! Members that fail: retried, recorded with their cause, set aside, given another try.

use std::fs;

use crate::support::processes::{alive, wait_for};
use crate::support::{Study, TestRun, same_science};

/// The line of the default study, after `before`. `$EKP_BESIDE` is the folder of the study; each start is
/// written into `starts` there.
fn study(name: &str, before: &str) -> Study {
    let study = Study::external(name);
    let beside = study.folder.path().display().to_string();
    study.model(&format!(
        "#!/bin/sh\nEKP_BESIDE='{beside}'\necho \"$EKP_ITERATION $EKP_MEMBER\" >> \"$EKP_BESIDE/starts\"\n{before}\nawk '\n  \
         /^\\[/ {{ name = substr($0, 2, length($0) - 2) }}\n  $1 == \"value\" {{ p[name] = $3 }}\n  END {{\n    \
         printf \"model_output = [\"\n    for (i = 0; i < p[\"points\"]; i++) printf \"%s%.17g\", (i ? \", \" : \"\"), \
         p[\"offset\"] + p[\"slope\"] * i\n    print \"]\"\n  }}' \"$1\" > \"$2\"\n"
    ))
}

/// How often each member of each iteration was started: `0 3` → 2.
fn starts(study: &Study) -> Vec<(String, usize)> {
    let text = fs::read_to_string(study.folder.path().join("starts")).unwrap_or_default();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.chunk_by(|a, b| a == b).map(|c| (c[0].to_owned(), c.len())).collect()
}

fn failed(run: &TestRun, m: u32) -> toml::Table {
    run.toml(&format!("iteration_000/member_{m:03}/failed.toml"))
}

fn has(run: &TestRun, m: u32, file: &str) -> bool {
    run.has(&format!("iteration_000/member_{m:03}/{file}"))
}

#[test]
fn a_member_that_fails_once_is_tried_once_more_and_nothing_else_is() {
    let flaky = "if [ \"$EKP_ITERATION $EKP_MEMBER\" = '0 2' ] && [ $EKP_TRY = 1 ]; then echo no; exit 3; fi";
    let study = study("flaky", flaky).members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--workers", "2"]);
    for (who, times) in starts(&study) {
        assert_eq!(times, if who == "0 2" { 2 } else { 1 }, "{who}");
    }
    assert_eq!(starts(&study).len(), 8);
    assert_eq!(run.toml("iteration_000/update.toml")["failed"].as_integer(), Some(0));
    assert_eq!(run.toml("iteration_000/member_002/timing.toml")["try"].as_integer(), Some(2));
    assert_eq!(run.read("iteration_000/member_002/try_1/log.txt"), "no\n");
}

#[test]
fn each_cause_is_recorded_and_the_run_goes_on_above_the_quorum() {
    let ways = "case $EKP_MEMBER in
      1) echo wrong grid >&2; exit 7;;
      2) kill -SEGV $$;;
      3) sleep 60 & echo $! > $EKP_BESIDE/grandchild; wait;;
      4) echo MemoryError >&2; exit 1;;
      5) echo nonsense > $2; exit 0;;
      6) echo 'model_output = [1, 2, 3, 4, inf]' > $2; exit 0;;
      7) echo 'model_output = [1, 2, 3, 4, nan]' > $2; exit 0;;
    esac";
    let study = study("causes", ways)
        .members(14)
        .iterations(1)
        .set("failures.retries", 0)
        .set("model.timeout_s", 0.5);
    let run = study.init("run");
    run.launch(&["-q", "--workers", "4"]);
    let update = run.toml("iteration_000/update.toml");
    assert_eq!((update["ok"].as_integer(), update["failed"].as_integer()), (Some(7), Some(7)));
    let causes = ["exit", "signal", "timeout", "memory", "output", "output", "output"];
    for (m, cause) in (1u32..).zip(causes) {
        assert_eq!(failed(&run, m)["cause"].as_str(), Some(cause), "member {m}: {}", failed(&run, m));
        assert_eq!(update["outcomes"][m as usize - 1].as_str(), Some(format!("failed: {cause}").as_str()));
    }
    assert_eq!(failed(&run, 1)["exit_code"].as_integer(), Some(7));
    assert_eq!(failed(&run, 1)["message"].as_str(), Some("exit status 7: wrong grid"));
    assert_eq!(failed(&run, 2)["signal"].as_integer(), Some(11));
    assert!(failed(&run, 6)["message"].as_str().unwrap().contains("inf"));
    // The limit ends the whole process group
    let grandchild: u32 =
        fs::read_to_string(study.folder.path().join("grandchild")).unwrap().trim().parse().unwrap();
    wait_for("the grandchild ends", 120, || !alive(grandchild));
    // The records are the same whenever they are written: no time, no size, no host in them
    let again = study.init("again");
    again.launch(&["-q", "--workers", "3"]);
    same_science(&run, &again);
}

#[test]
fn below_the_quorum_it_stops_and_goes_on_when_the_cause_is_mended() {
    let broken = "if [ -e $EKP_BESIDE/broken ] && [ $EKP_MEMBER -le 3 ]; then exit 1; fi";
    let study = study("quorum", broken).members(4).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    study.folder.write("broken", "");
    let run = study.init("run");
    run.tool("ekp-launch").args(["-q", "."]).fails(4).says("3 of 4 members failed, at most 2 may");
    run.tool("ekp-update").args([".", "-i", "0"]).fails(4).says("hint:");
    // Not mended: every launch is another try, and says the same
    run.tool("ekp-launch").args(["."]).fails(4).says("3 failed members get another try");
    fs::remove_file(study.folder.path().join("broken")).unwrap();
    run.tool("ekp-launch").args(["."]).succeeds().says("3 failed members get another try");
    same_science(&quiet, &run);
}

#[test]
fn what_stays_of_tries_is_what_was_asked_for() {
    let flaky = "if [ $EKP_MEMBER = 1 ] && [ $EKP_TRY = 1 ]; then exit 3; fi";
    for (keep, first_try, second_try, other) in
        [("all", true, true, true), ("failed", true, false, false), ("last", false, true, true)]
    {
        let study = study("keep", flaky).members(3).iterations(1).set("files.keep", keep);
        let run = study.init("run");
        run.launch(&["-q"]);
        assert_eq!(has(&run, 1, "try_1"), first_try, "{keep}: the try that failed");
        assert_eq!(has(&run, 1, "try_2"), second_try, "{keep}: the one that succeeded");
        assert_eq!(has(&run, 2, "try_1"), other, "{keep}: of a member that never failed");
        assert!(has(&run, 1, "data.toml") && has(&run, 1, "parameters.toml") && has(&run, 1, "timing.toml"));
    }
}

#[test]
fn lost_members_run_again_or_count_as_failed() {
    for (lost, code) in [("rerun", 3), ("fail", 0)] {
        let study = Study::sinusoid("lost").members(6).iterations(1).set("failures.lost", lost);
        let run = study.init("run");
        run.tool("ekp-init-ensemble").succeeds();
        run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-5"]).succeeds();
        run.tool("ekp-update").args([".", "-i", "0"]).fails(3).says("1 of 6 members have no outcome yet");
        run.tool("ekp-update").args([".", "-i", "0", "--close"]).fails(code);
        assert_eq!(has(&run, 6, "failed.toml"), code == 0);
        if code == 0 {
            assert_eq!(failed(&run, 6)["cause"].as_str(), Some("lost"));
            assert_eq!(run.toml("iteration_000/update.toml")["ok"].as_integer(), Some(5));
        }
    }
}

#[test]
fn a_person_marks_repeats_and_looks_without_traces() {
    let study = study("person", "[ \"$EKP_MEMBER\" = 4 ] && exit 2").members(4).iterations(1);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    let call = |args: &[&str]| run.tool("ekp-run-member").args([".", "-i", "0", "-m"]).args(args);
    // --fail
    call(&["1", "--fail", "bad mesh"]).succeeds().says("marked as failed");
    assert_eq!(failed(&run, 1)["message"].as_str(), Some("bad mesh"));
    call(&["1", "--fail", "worse mesh"]).succeeds();
    assert_eq!(failed(&run, 1)["message"].as_str(), Some("worse mesh"));
    call(&["1"]).succeeds().says("already failed");
    // --again replaces it
    call(&["1", "--again"]).succeeds().says("done in");
    assert!(has(&run, 1, "data.toml") && !has(&run, 1, "failed.toml"));
    call(&["1", "--fail", "no"]).succeeds().says("it has data; nothing changed");
    // --strict
    call(&["4"]).succeeds().says("model failed: exit status 2");
    call(&["4", "--strict"]).fails(1);
    // --scratch publishes nothing
    let before = run.snapshot();
    let scratch = study.folder.path().join("scratch");
    let printed =
        call(&["1", "--scratch", scratch.to_str().unwrap()]).succeeds().says("nothing published").out();
    assert_eq!(run.snapshot(), before);
    let numbers = |text: &str| -> Vec<f64> {
        let list = &text[text.find('[').unwrap() + 1..text.rfind(']').unwrap()];
        list.split(',').filter(|n| !n.trim().is_empty()).map(|n| n.trim().parse().unwrap()).collect()
    };
    let data = run.toml("iteration_000/member_001/data.toml");
    let of_run: Vec<f64> =
        data["model_output"]["y"].as_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect();
    assert_eq!(numbers(&printed), of_run);
    // --print, pasted into a shell, does the same
    let pasted = call(&["1", "--print"]).succeeds().out();
    assert_eq!(run.snapshot(), before, "printing changes nothing");
    crate::support::program("/bin/sh", study.folder.path()).args(["-c", &pasted]).succeeds();
    let made = walkdir::WalkDir::new(run.path.join("iteration_000/member_001"))
        .into_iter()
        .flatten()
        .find(|e| e.path().parent().unwrap().ends_with("try_1") && e.file_name() == "model_output.toml")
        .unwrap_or_else(|| panic!("no output after\n{pasted}"));
    assert_eq!(numbers(&fs::read_to_string(made.path()).unwrap()), of_run);
}

#[test]
fn nan_is_tolerated_as_far_as_was_said() {
    let holes = "if [ $EKP_MEMBER = 1 ]; then echo 'model_output = [1, 2, 3, 4, nan]' > $2; exit 0; fi\n\
                 if [ $EKP_MEMBER = 2 ]; then echo 'model_output = [1, nan, 3, 4, nan]' > $2; exit 0; fi";
    let study = study("nan", holes).members(6).iterations(1).set("failures.nan_tolerance", 0.2);
    let run = study.init("run");
    run.launch(&["-q"]);
    assert!(has(&run, 1, "data.toml"), "one in five is tolerated");
    assert!(
        failed(&run, 2)["message"].as_str().unwrap().contains("2 NaN among 5 numbers"),
        "{}",
        failed(&run, 2)
    );
}

#[test]
fn a_cancelled_run_does_nothing_until_it_is_launched_again() {
    let study = Study::sinusoid("cancel").members(4).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    fs::write(run.path.join("cancel.toml"), "schema = \"ekp.cancel\"\nversion = 1\n").unwrap();
    let before = run.snapshot();
    for (tool, args) in [
        ("ekp-run-member", &[".", "-i", "0", "-m", "1"][..]),
        ("ekp-update", &[".", "-i", "0"]),
        ("ekp-worker", &["."]),
        ("ekp-worker", &[".", "--to-end"]),
        ("ekp-launch", &[".", "--once"]),
    ] {
        run.tool(tool).args(args).fails(5).says("the run was cancelled");
    }
    assert_eq!(run.snapshot(), before);
    run.tool("ekp-launch").args(["."]).succeeds().says("`cancel.toml` is lifted");
    same_science(&quiet, &run);
}

#[test]
fn a_mark_set_while_members_run_stops_the_launcher() {
    for on in ["local", "threads", "make"] {
        let mark = "[ \"$EKP_ITERATION $EKP_MEMBER\" = '1 1' ] && echo > $EKP_RUN/cancel.toml";
        let study = study("mark", mark).members(3).iterations(4);
        let run = study.init("run");
        run.tool("ekp-launch").args(["-q", ".", "--on", on, "--workers", "1"]).fails(5);
        assert!(run.has("iteration_001") && !run.has("iteration_002"), "{on}");
    }
}

#[test]
fn failures_of_the_disk_in_a_worker_keep_their_advice() {
    // Given a member folder that cannot be written
    let study = Study::sinusoid("advice").members(3).iterations(1);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    fs::create_dir(run.path.join("iteration_000/member_002/timing.toml")).unwrap();
    let ended = run.tool("ekp-launch").args(["."]).fails(1).says("cannot write `");
    assert!(ended.err().contains("member_002/timing.toml"), "{}", ended.err());
}
