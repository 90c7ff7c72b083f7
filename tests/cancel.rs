//! `ekp-cancel`: the mark first; whatever runs sees it; going on lifts it.

use std::time::{Duration, Instant};

use crate::support::{Study, same_science};

#[test]
fn nothing_goes_on_after_the_mark_until_the_run_is_launched_again() {
    let study = Study::sinusoid("cancel").members(4).iterations(2);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-cancel")
        .args(["--reason", "wrong observations"])
        .succeeds()
        .says("cancelled (`cancel.toml`)");
    let mark = run.toml("cancel.toml");
    assert_eq!(mark["schema"].as_str(), Some("ekp.cancel"));
    assert_eq!(mark["reason"].as_str(), Some("wrong observations"));
    assert!(mark["by"].as_str().unwrap().contains('@') && mark["time"].as_str().unwrap().ends_with('Z'));
    // No step begins anything
    let before = run.snapshot();
    run.tool("ekp-run-member").args(["-i", "0", "-m", "1"]).fails(5).says("cancelled");
    run.tool("ekp-update").args(["-i", "0"]).fails(5);
    run.tool("ekp-worker").args(["."]).fails(5);
    // The same again changes nothing
    run.tool("ekp-cancel").succeeds().says("it was cancelled before");
    assert_eq!(run.snapshot(), before);
    run.tool("ekp-status").succeeds().prints("cancelled by ").prints("wrong observations");
    // Going on lifts it
    run.launch(&["--on", "threads"]);
    assert!(!run.has("cancel.toml") && run.has("stop.toml"));
    // A run that is over stays so
    run.tool("ekp-cancel").succeeds().says("the run is over");
    assert!(!run.has("cancel.toml"));
}

#[test]
fn the_workers_of_a_launch_stop_at_their_next_member() {
    // Given a launch whose members take a while, so that it does not end while a busy machine starts `ekp-cancel`
    let study = Study::external("workers").members(8).iterations(2);
    let flag = study.folder.path().join("slow");
    let wait = format!("#!/bin/sh\nif [ -e '{}' ]; then sleep 3; fi\n", flag.display());
    let study = study.model(&include_str!("../templates/model.sh").replacen("#!/bin/sh\n", &wait, 1));
    let other = study.init("other");
    other.launch(&["-q", "--on", "threads", "--workers", "4"]);
    let mut runs = Vec::new();
    for carrier in ["local", "threads"] {
        let run = study.init(carrier);
        study.folder.write("slow", "");
        let mut launch = run.tool("ekp-launch").args([".", "--on", carrier, "--workers", "2"]).command();
        launch.stderr(std::process::Stdio::piped());
        let launch = launch.spawn().unwrap();
        let begun = || run.snapshot().keys().any(|name| name.ends_with("data.toml"));
        let until = Instant::now() + Duration::from_secs(60);
        while !begun() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
        // When it is cancelled
        run.tool("ekp-cancel").succeeds();
        let ended = launch.wait_with_output().unwrap();
        // Then it ends, says why, and leaves whole outcomes only
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(5), "{carrier}: {said}");
        assert!(said.contains("cancelled"), "{carrier}: {said}");
        assert!(!run.has("stop.toml"), "{carrier}");
        std::fs::remove_file(&flag).unwrap();
        // And launched again it comes to the same end as one that was never touched
        run.launch(&["-q", "--on", "threads", "--workers", "4"]);
        runs.push(run);
    }
    same_science(&runs[0], &other);
    same_science(&runs[1], &other);
}
