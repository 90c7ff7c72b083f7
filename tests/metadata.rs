//! What a run costs the file server: files, folders and links made, and system calls of a member.
//!
//! A file that is written under a hidden name and renamed counts once; one that is linked into place counts
//! twice, as the server sees it. Counted by strace, so that no part of the code can be forgotten.

use crate::dds::land;
use crate::support::strace::{Call, record, there};
use crate::support::{Study, TestRun};

/// Every call that can make a name.
const MAKING: &str = "openat,open,mkdir,mkdirat,link,linkat,symlink,symlinkat";

/// What a tool makes below the run folder.
fn made(run: &TestRun, tool: &str, args: &[&str]) -> usize {
    let (ended, calls) = record(MAKING, tool, &run.path, args);
    ended.code(0);
    let root = run.path.display().to_string();
    let here = |c: &Call| c.text.contains(&root) || !c.text.contains("\"/");
    calls.iter().filter(|c| c.makes() && here(c)).count()
}

/// A run whose first call on this host is over: that one also writes `platform/`.
fn started(study: &Study) -> TestRun {
    let run = study.init("run");
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1"]).succeeds();
    run
}

/// Names made per member and per iteration, and files that stay.
#[test]
fn a_member_costs_few_files() {
    if !there() {
        return;
    }
    // Step 0 makes a folder and `parameters.toml` for each member
    let study = Study::sinusoid("m-builtin").members(11).iterations(2);
    let run = study.init("run");
    let step_0 = made(&run, "ekp-init-ensemble", &["-q", "."]);
    assert!(step_0 <= 2 * 11 + 6, "step 0: {step_0}");
    let study = Study::sinusoid("m-builtin").members(11).iterations(2);
    let run = started(&study);
    let ten = made(&run, "ekp-run-member", &["-q", ".", "-i", "0", "-m", "2-11"]);
    let builtin = 2.0 + ten as f64 / 10.0;
    assert!(builtin <= 5.0, "built-in: {builtin} per member");
    let update = made(&run, "ekp-update", &["-q", ".", "-i", "0"]) - 2 * 11;
    assert!(update <= 6, "update: {update} besides the members' own");
    // External: a working folder, a log, the model's output; one linked file here
    let external = Study::external("m-external").members(11).iterations(2);
    let run = started(&external);
    let ten = made(&run, "ekp-run-member", &["-q", ".", "-i", "0", "-m", "2-11"]);
    let external = 2.0 + ten as f64 / 10.0;
    assert!(external <= 10.0 + 1.0, "external: {external} per member");
    // Under a lease: the try's folder and its claim as well
    let leased = Study::sinusoid("m-leased").members(11).iterations(2);
    let run = started(&leased);
    let ten = made(&run, "ekp-worker", &["-q", ".", "-i", "0"]);
    let leased = 2.0 + ten as f64 / 10.0;
    assert!(leased <= 8.0, "leased: {leased} per member");
    // Packed: a thousand members in ten packs
    let packed = Study::sinusoid("m-packed").members(1000).iterations(1).set("model.pack", 100);
    let run = packed.init("run");
    let step_0 = made(&run, "ekp-init-ensemble", &["-q", "."]);
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1"]).succeeds();
    let nine = made(&run, "ekp-run-member", &["-q", ".", "-i", "0", "-m", "101-1000"]);
    let packed = step_0 as f64 / 1000.0 + nine as f64 / 900.0;
    assert!(packed <= 0.1, "packed: {packed} per member");
    eprintln!(
        "made per member: built-in {builtin}, external {external} (one linked), leased {leased}, packed {packed:.3}; update {update}"
    );
}

/// The lease of a trial moves on to the next of its worker: the dearest call, to remove a folder, is made once.
#[test]
fn leased_trials_remove_no_folders() {
    if !there() {
        return;
    }
    let study = land("m-trials", "dds-async", 1, 40);
    let run = study.init("run");
    let (ended, calls) = record("unlinkat,rmdir", "ekp-worker", &run.path, &["-q", ".", "--leave"]);
    ended.code(0);
    let folder = |c: &&Call| c.name == "rmdir" || c.text.contains("AT_REMOVEDIR");
    let removed = calls.iter().filter(folder).filter(|c| c.succeeded()).count();
    assert!(removed <= 1, "{removed} folders removed");
    assert!(!run.path.join("trials_000/trial_000040/try_1").exists(), "the last one goes with its worker");
}

#[test]
fn a_run_holds_few_files() {
    let (members, iterations) = (12, 3);
    for study in [Study::sinusoid("few"), Study::external("few-external")] {
        let study = study
            .members(members)
            .iterations(iterations)
            .set("algorithm.scheduler", "fixed")
            .set("algorithm.step", 0.01);
        let run = study.init("run");
        let before = run.snapshot().len();
        run.launch(&["-q"]);
        let files = run.snapshot().len() - before;
        let folders = walkdir::WalkDir::new(&run.path).into_iter().flatten();
        let folders = folders.filter(|e| e.file_type().is_dir()).count();
        let limit = (5 * members + 6) * (iterations + 1);
        assert!((files + folders) as i64 <= limit, "{files} files, {folders} folders, at most {limit}");
        eprintln!("{members} members, {iterations} iterations: {files} files, {folders} folders");
    }
}

#[test]
fn a_member_makes_few_system_calls_and_reads_no_file_twice() {
    if !there() {
        return;
    }
    let study = Study::sinusoid("calls").members(3).iterations(1);
    let run = started(&study);
    let (ended, calls) = record("all", "ekp-run-member", &run.path, &["-q", ".", "-i", "0", "-m", "2"]);
    ended.code(0);
    let root = run.path.display().to_string();
    let of = |names: &[&str]| calls.iter().filter(|c| names.contains(&c.name.as_str())).count();
    let on_run: Vec<&Call> = calls.iter().filter(|c| c.text.contains(&root)).collect();
    let mut read: Vec<&str> = on_run
        .iter()
        .filter(|c| c.name == "openat" && c.succeeded() && !c.text.contains("O_CREAT"))
        .map(|c| c.text.split('"').nth(1).unwrap())
        .collect();
    read.sort_unstable();
    let all = read.len();
    read.dedup();
    eprintln!(
        "{} system calls, {} of them name files of the run: {} opened, {} asked for; {} memory maps",
        calls.len(),
        on_run.len(),
        of(&["openat"]),
        of(&["stat", "statx", "newfstatat", "lstat", "access", "readlink"]),
        of(&["mmap", "munmap", "mprotect", "brk"]),
    );
    assert_eq!(read.len(), all, "a file was read twice: {read:?}");
    assert!(on_run.len() <= 24, "{} calls on files of the run", on_run.len());
    // 126 here, two thirds of them the loader's and the allocator's; another system may need more
    assert!(calls.len() <= 190, "{}", calls.len());
}
