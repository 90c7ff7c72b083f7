//! Several at once: one result, the same bytes, and no error but those that are documented.

use std::fs;
use std::process::{Child, Stdio};

use crate::support::{Study, TestRun, same_science, tool};

/// Start all, wait for all; tells exit code and what each said.
fn at_once(run: &TestRun, calls: &[(&str, Vec<String>)]) -> Vec<(i32, String)> {
    let start = |(name, args): &(&str, Vec<String>)| -> Child {
        let mut command = tool(name, &run.path).args(args).command();
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let all: Vec<Child> = calls.iter().map(start).collect();
    all.into_iter()
        .map(|child| {
            let ended = child.wait_with_output().unwrap();
            (ended.status.code().unwrap_or(-1), String::from_utf8_lossy(&ended.stderr).into_owned())
        })
        .collect()
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(|a| (*a).to_owned()).collect()
}

#[test]
fn two_updates_two_members_two_first_ensembles_at_once() {
    let study = Study::sinusoid("races").members(6).iterations(3);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    for round in 0..4 {
        let run = study.init(&format!("run_{round}"));
        let both = |name: &'static str, args: &[&str]| {
            for (code, said) in at_once(&run, &vec![(name, words(args)); 3]) {
                assert_eq!(code, 0, "{name}: {said}");
            }
        };
        both("ekp-init-ensemble", &["."]);
        for iteration in ["0", "1", "2"] {
            both("ekp-run-member", &[".", "-i", iteration, "-m", "1-6"]);
            both("ekp-update", &[".", "-i", iteration]);
        }
        same_science(&quiet, &run);
        let hidden = run.snapshot().into_keys().find(|n| n.split('/').any(|p| p.starts_with('.')));
        assert_eq!(hidden, None, "nothing half made is left");
    }
}

#[test]
fn two_inits_of_one_folder_at_once_make_one_run() {
    for round in 0..10 {
        let study = Study::sinusoid("inits").members(3).iterations(1);
        let here = TestRun { path: study.folder.path().to_owned() };
        let init = ("ekp-init", words(&["-q", "experiment.toml", "run"]));
        for (code, said) in at_once(&here, &vec![init; 4]) {
            assert_eq!(code, 0, "round {round}: {said}");
        }
        TestRun { path: here.path.join("run") }.launch(&["-q"]);
        // Another experiment in the same folder is refused, whoever comes first
        let ours = ("ekp-init", words(&["-q", "experiment.toml", "two"]));
        let theirs = ("ekp-init", words(&["-q", "--set", "seed=7", "experiment.toml", "two"]));
        let mut codes: Vec<i32> = at_once(&here, &[ours, theirs]).into_iter().map(|(code, _)| code).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 2], "round {round}");
    }
}

#[test]
fn sixteen_workers_do_each_member_once() {
    // Given a model that counts its starts
    let study = Study::external("sixteen");
    let count = study.folder.path().join("starts");
    let model = fs::read_to_string(study.folder.path().join("model.sh")).unwrap();
    let line = format!("\necho \"$EKP_ITERATION $EKP_MEMBER\" >> '{}'\n", count.display());
    let study = study.model(&model.replacen('\n', &line, 1)).members(20).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    fs::remove_file(&count).unwrap();
    let run = study.init("run");
    // When sixteen workers that know nothing of each other carry the run
    let worker = |rank: i32| ("ekp-worker", words(&["-q", ".", "--to-end", "--rank", &rank.to_string()]));
    for (code, said) in at_once(&run, &(1..=16).map(worker).collect::<Vec<_>>()) {
        assert_eq!((code, said.as_str()), (0, ""));
    }
    // Then each member ran once
    let text = fs::read_to_string(&count).unwrap();
    let mut starts: Vec<&str> = text.lines().collect();
    starts.sort_unstable();
    let all = starts.len();
    starts.dedup();
    assert_eq!((starts.len(), all), (40, 40));
    same_science(&quiet, &run);
    let leases: Vec<_> = run.snapshot().into_keys().filter(|n| n.contains("/try_")).collect();
    assert!(leases.is_empty(), "{leases:?}");
}

#[test]
fn a_second_launcher_is_told_and_two_calls_of_once_share_the_work() {
    let study = Study::sinusoid("second").members(8).iterations(3);
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    let run = study.init("run");
    let launch = ("ekp-launch", words(&["-q", "."]));
    for (code, said) in at_once(&run, &vec![launch; 3]) {
        assert!(code == 0 || code == 3 && said.contains("another `ekp-launch` is at work"), "{code} {said}");
    }
    run.launch(&["-q"]);
    same_science(&quiet, &run);
    let run = study.init("once");
    for _ in 0..8 {
        for (code, said) in at_once(&run, &vec![("ekp-launch", words(&["-q", ".", "--once"])); 3]) {
            assert!(code == 0 || code == 3, "{code} {said}");
        }
    }
    same_science(&quiet, &run);
}
