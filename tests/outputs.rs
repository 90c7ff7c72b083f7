//! Where output goes: a full disk behind stdout is told, and paths that cannot be used are wrong usage with advice.

use std::fs::{self, File};
use std::io::Read;
use std::process::Stdio;

use crate::support::{Study, there};

#[test]
fn data_that_stdout_does_not_take_end_a_tool_with_1() {
    if !there("/dev/full", File::create("/dev/full").is_ok()) {
        return;
    }
    let study = Study::sinusoid("stdout").members(4).iterations(2);
    let run = study.init("run");
    let full = |name: &str, args: &[&str]| {
        let mut command = run.tool(name).args(args).command();
        let ended = command.stdout(File::create("/dev/full").unwrap()).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{name} {args:?}: {said}");
        assert!(said.contains("stdout cannot be written"), "{name} {args:?}: {said}");
    };
    full("ekp-launch", &["--dry-run"]);
    run.launch(&["-q", "--on", "threads"]);
    for (name, args) in [
        ("ekp-export", ["."].as_slice()),
        ("ekp-export", &[".", "-o", "table.csv"]),
        ("ekp-cat", &["stop.toml"]),
        ("ekp-status", &["."]),
        ("ekp-status", &[".", "--json"]),
        ("ekp-probe", &[]),
        ("ekp-run-member", &["-i", "0", "-m", "1", "--scratch", "scratch"]),
        ("ekp-collect-timings", &["."]),
        ("ekp-collect-timings", &[".", "--advise"]),
        ("ekp-report", &["."]),
        ("ekp-init", &["."]),
        ("ekp-launch", &["."]),
    ] {
        full(name, args);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let study = Study::sinusoid("reader").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    for (name, args) in [("ekp-export", "."), ("ekp-cat", "stop.toml")] {
        let mut command = run.tool(name).args([args]).command();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ended = child.wait().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(ended.success() && said.is_empty(), "{name}: {ended} {said}");
    }
}

#[test]
fn paths_that_cannot_be_used_are_wrong_usage_with_advice() {
    let study = Study::sinusoid("paths").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    fs::write(run.path.join("file"), "").unwrap();
    fs::create_dir(run.path.join("folder")).unwrap();
    let before = run.snapshot().len();
    for (name, args) in [
        ("ekp-cat", ["nofile"].as_slice()),
        ("ekp-cat", &["file/x"]),
        ("ekp-probe", &["nowhere"]),
        ("ekp-probe", &["file"]),
        ("ekp-export", &[".", "-o", "folder", "--format", "csv"]),
        ("ekp-export", &[".", "-o", "/nowhere/x.csv"]),
        ("ekp-export", &[".", "-o", "nowhere/x.npy"]),
        ("ekp-export", &[".", "-o", "file", "--climacalibrate"]),
        ("ekp-collect-timings", &[".", "-o", "file"]),
        ("ekp-collect-timings", &[".", "-o", "/proc/x"]),
        ("ekp-report", &[".", "-o", "file"]),
        ("ekp-report", &[".", "-o", "/proc/x"]),
        ("ekp-init", &["--new", "etki", "/proc/x"]),
        ("ekp-init", &["--new", "etki", "file"]),
    ] {
        let told = run.tool(name).args(args).fails(2).says("hint: ");
        assert_eq!(told.out(), "", "{name} {args:?}");
    }
    assert_eq!(run.snapshot().len(), before);
}
