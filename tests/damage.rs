//! Files that were damaged, mixed up or lost: each defect is named, and mended where it can be.

use std::fs;
use std::path::Path;

use crate::support::{Study, TestRun, same_science, tool};

/// Eight members, two iterations; all members of iteration 0 have run.
fn half_way(name: &str) -> (Study, TestRun, TestRun) {
    let study = Study::sinusoid(name).members(8).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "2"]);
    let run = ran(&study, "run");
    (study, quiet, run)
}

fn ran(study: &Study, name: &str) -> TestRun {
    let run = study.init(name);
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-8"]).succeeds();
    run
}

fn member(run: &TestRun, m: u32, file: &str) -> std::path::PathBuf {
    run.path.join(format!("iteration_000/member_{m:03}/{file}"))
}

/// The file with a change and a checksum that fits.
fn summed(path: &Path, change: impl Fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let body = change(&text[..text.rfind("# crc32").unwrap()]);
    fs::write(path, format!("{body}# crc32 {:08x}\n", crc32fast::hash(body.as_bytes()))).unwrap();
}

/// The text from the first number of the first block on.
fn first_number(text: &str) -> (&str, &str, &str) {
    let at = text.find("[model_output]").unwrap();
    let from = at + text[at + 1..].find('[').unwrap() + 2;
    let end = from + text[from..].find([',', ']']).unwrap();
    (&text[..from], &text[from..end], &text[end..])
}

/// One way to damage an outcome, and what is said about it. Member m is damaged in the m-th way.
type Damage = (fn(&TestRun, &Path), &'static str);

const DAMAGES: [Damage; 8] = [
    (|_, path| fs::write(path, &fs::read(path).unwrap()[..120]).unwrap(), "cut short"),
    (|run, path| _ = fs::copy(member(run, 8, "data.toml"), path).unwrap(), "it answers other parameters"),
    (
        |_, path| {
            summed(path, |t| {
                let (a, _, c) = first_number(t);
                format!("{a}inf{c}")
            })
        },
        "holds an infinite number at position 1",
    ),
    (
        |_, path| {
            summed(path, |t| {
                let (a, x, c) = first_number(t);
                format!("{a}{x}, 1.5{c}")
            })
        },
        "has 2 numbers, the observation has 1",
    ),
    (|_, path| fs::write(path, "").unwrap(), "it is empty"),
    (
        |_, path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
            fs::write(path.join("inside"), "x").unwrap();
        },
        "it is a folder",
    ),
    (|_, path| fs::write(path, b"model_output = \xff\xfe\n").unwrap(), "invalid utf-8"),
    (
        |_, path| summed(path, |t| t.replace("[model_output]\n", "[model_output]\nother = [1.0]\n")),
        "it has blocks",
    ),
];

fn damage(run: &TestRun) {
    // The last first: member 2 gets a copy of the whole outcome of member 8
    for m in 1..=8 {
        let (damage, _) = DAMAGES[m as usize - 1];
        damage(run, &member(run, m, "data.toml"));
    }
}

#[test]
fn each_defect_of_an_outcome_is_named_by_the_update_and_its_member_runs_again() {
    let (_study, quiet, run) = half_way("named");
    for (m, (damage, words)) in (1..).zip(DAMAGES) {
        // Given one damaged outcome
        let path = member(&run, m, "data.toml");
        let good = fs::read(&path).unwrap();
        damage(&run, &path);
        // When the iteration is to be closed, the defect is named and put aside
        run.tool("ekp-update").args([".", "-i", "0"]).fails(3).says(&format!("member {m}: ")).says(words);
        assert!(!path.exists() && member(&run, m, "try_1/data.toml").exists(), "{words}");
        // Then only that member runs again, with the same bytes
        let again = run.tool("ekp-run-member").args([".", "-i", "0", "-m", "1-8"]).succeeds();
        assert_eq!(again.err().matches("already done").count(), 7, "{words}\n{}", again.err());
        assert_eq!(fs::read(&path).unwrap(), good, "{words}");
    }
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

#[test]
fn defective_outcomes_are_put_aside_by_whoever_runs_the_members() {
    let (study, quiet, by_hand) = half_way("aside");
    damage(&by_hand);
    by_hand.tool("ekp-run-member").args([".", "-i", "0", "-m", "1-8"]).succeeds().says("member 5: done");
    assert!(member(&by_hand, 6, "try_1/data.toml/inside").exists());
    by_hand.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &by_hand);
    for (name, tool, args) in [
        ("threads", "ekp-launch", &[".", "--on", "threads"][..]),
        ("local", "ekp-launch", &[".", "--on", "local", "--workers", "2"]),
        ("worker", "ekp-worker", &[".", "--to-end"]),
    ] {
        let run = ran(&study, name);
        damage(&run);
        let ended = run.tool(tool).args(args).succeeds();
        if tool == "ekp-launch" {
            ended.says("member 1 of iteration 0 runs again").says("it answers other parameters");
        }
        same_science(&quiet, &run);
    }
    // A call now and then (`--once`, from cron) gets there as well
    let run = ran(&study, "once");
    damage(&run);
    run.tool("ekp-launch").args([".", "--once"]).fails(3).says("8 of 8 members have no outcome");
    run.tool("ekp-launch").args([".", "--once"]).succeeds();
    run.tool("ekp-launch").args([".", "--once"]).succeeds();
    same_science(&quiet, &run);
}

#[test]
fn a_torn_failure_record_is_no_outcome() {
    let (_study, quiet, run) = half_way("torn");
    for (m, bytes) in [(1, &b"schema = \"ekp.fai"[..]), (2, b""), (3, b"\xff\xff\xff")] {
        fs::remove_file(member(&run, m, "data.toml")).unwrap();
        fs::write(member(&run, m, "failed.toml"), bytes).unwrap();
    }
    fs::remove_file(member(&run, 4, "data.toml")).unwrap();
    fs::create_dir(member(&run, 4, "failed.toml")).unwrap();
    run.tool("ekp-update")
        .args([".", "-i", "0"])
        .fails(3)
        .says("failed.toml`: it is empty")
        .says("it is a folder");
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

#[test]
fn a_link_to_nowhere_in_place_of_an_outcome_does_not_swallow_results() {
    let (_study, quiet, run) = half_way("link");
    let path = member(&run, 3, "data.toml");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", &path).unwrap();
    run.tool("ekp-update").args([".", "-i", "0"]).fails(3).says("member 3");
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

#[test]
fn damaged_parameters_are_written_anew_from_the_ensemble() {
    let study = Study::sinusoid("parameters").members(8).iterations(2);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads"]);
    for (k, args) in
        [&["ekp-run-member", ".", "-i", "0", "-m", "1-8"][..], &["ekp-worker", "."]].iter().enumerate()
    {
        let run = study.init(&format!("run_{k}"));
        run.tool("ekp-init-ensemble").succeeds();
        let path = |m| member(&run, m, "parameters.toml");
        fs::remove_file(path(1)).unwrap();
        fs::write(path(2), &fs::read(path(2)).unwrap()[..100]).unwrap();
        // A copy of another member's is whole, but in the wrong place
        fs::copy(path(8), path(3)).unwrap();
        fs::remove_file(path(4)).unwrap();
        fs::create_dir(path(4)).unwrap();
        fs::write(path(5), b"\xff").unwrap();
        fs::remove_dir_all(path(6).parent().unwrap()).unwrap();
        run.tool(args[0]).args(&args[1..]).succeeds();
        run.launch(&["-q"]);
        same_science(&quiet, &run);
    }
}

#[test]
fn parameters_brought_in_from_another_run_do_not_go_round_in_circles() {
    let (study, quiet, run) = half_way("foreign");
    // Given a member that ran with whole parameters of the right name, from a run with another seed
    let study_b = study.set("seed", 7);
    let other = ran(&study_b, "other");
    for file in ["parameters.toml", "data.toml"] {
        fs::copy(member(&other, 2, file), member(&run, 2, file)).unwrap();
    }
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "2"]).succeeds().says("already done");
    // When it is to be closed, it is found out; then it runs with its own
    run.tool("ekp-update")
        .args([".", "-i", "0"])
        .fails(3)
        .says("member 2")
        .says("it answers other parameters");
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "2"]).succeeds().says("done in");
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

#[test]
fn parameters_rounded_otherwise_on_another_host_are_those_of_the_ensemble() {
    let (_study, _quiet, run) = half_way("rounded");
    // Given a member whose parameters differ in the last digit, and the outcome that answers them
    let path = member(&run, 2, "parameters.toml");
    let text = fs::read_to_string(&path).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix("value = ")).unwrap();
    let next = format!("{:?}", value.parse::<f64>().unwrap().next_up());
    let (head, body) = text.split_once('\n').unwrap();
    let body = body.replacen(value, &next, 1);
    let head = head.rsplit_once(' ').unwrap().0;
    fs::write(&path, format!("{head} {:08x}\n{body}", crc32fast::hash(body.as_bytes()))).unwrap();
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "2"]).succeeds().says("done in");
    // Then the update takes it
    run.tool("ekp-update").args([".", "-i", "0"]).succeeds().says("8 ok, 0 failed");
}

#[test]
fn a_damaged_ensemble_is_an_error_that_changes_nothing_and_can_be_made_anew() {
    let (_study, quiet, run) = half_way("ensemble");
    run.tool("ekp-update").args(["-q", ".", "-i", "0"]).succeeds();
    let path = run.path.join("iteration_001/ensemble.bin");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    run.tool("ekp-run-member").args(["-q", ".", "-i", "1", "-m", "1-8"]).succeeds();
    let before = run.snapshot();
    run.tool("ekp-update")
        .args([".", "-i", "1"])
        .fails(1)
        .says("iteration_001/ensemble.bin` is not a valid state file: its bytes have changed")
        .says("hint: remove `");
    assert_eq!(run.snapshot(), before);
    // As the hint says
    fs::remove_dir_all(run.path.join("iteration_001")).unwrap();
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

#[test]
fn a_damaged_start_of_a_fork_is_an_error_before_anything_is_made_and_is_put_back() {
    // Given a fork, and one like it that was left alone
    let parent = Study::sinusoid("start").members(6).iterations(2);
    parent.init("first").launch(&["-q", "--on", "threads"]);
    let study = parent.set("seed", 7);
    let fork = |from: &str, name: &str| {
        let init = tool("ekp-init", study.folder.path());
        init.args(["experiment.toml", name, "--from", from]).succeeds()
    };
    for (from, name) in [("first:1", "quiet"), ("first:1", "run"), ("first:2", "other")] {
        fork(from, name);
    }
    let [quiet, run, other] =
        ["quiet", "run", "other"].map(|name| TestRun { path: study.folder.path().join(name) });
    quiet.launch(&["-q", "--on", "threads"]);
    let path = run.path.join("start.bin");
    let good = fs::read(&path).unwrap();
    // When one byte is another (of the head: kind, version, size, digest; of the numbers), the file is cut short,
    // longer, empty, a folder, gone, or that of another fork
    let flipped = (0..good.len()).step_by(11).chain([good.len() - 1]).map(|at| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    });
    let cut = (0..good.len()).step_by(41).map(|at| good[..at].to_vec());
    let foreign = [fs::read(other.path.join("start.bin")).unwrap(), [&good[..], b"x"].concat()];
    for bytes in flipped.chain(cut).chain(foreign) {
        fs::write(&path, &bytes).unwrap();
        refused(&run);
    }
    for folder in [false, true] {
        fs::remove_file(&path).unwrap();
        if folder {
            fs::create_dir(&path).unwrap();
        }
        refused(&run);
        if folder {
            fs::remove_dir(&path).unwrap();
        }
        // Then the words that made the run put it back, as the hint says
        fork("first:1", "run");
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    fs::write(&path, &good[..20]).unwrap();
    fork("first:1", "run");
    run.launch(&["-q", "--on", "threads"]);
    same_science(&quiet, &run);
}

/// Nothing can be made from the start of this fork: one error each, and nothing has changed.
fn refused(run: &TestRun) {
    let before = run.snapshot();
    for (name, args) in [("ekp-init-ensemble", &["."][..]), ("ekp-launch", &[".", "-q", "--on", "threads"])] {
        let ended = run.tool(name).args(args).fails(1).says("start.bin").says("hint: `ekp-init`");
        assert_eq!(ended.err().matches("error: ").count(), 1, "{}", ended.err());
    }
    assert_eq!(run.snapshot(), before);
    let names = || fs::read_dir(&run.path).unwrap().flatten().map(|entry| entry.file_name());
    let made = names().any(|name| {
        name.as_encoded_bytes().starts_with(b"iteration") || name.as_encoded_bytes().starts_with(b".")
    });
    assert!(!made, "{:?}", names().collect::<Vec<_>>());
}

#[test]
fn the_next_iteration_is_made_from_the_outcomes_that_were_used_not_from_late_ones() {
    let (study, _quiet, run) = half_way("late");
    fs::remove_file(member(&run, 3, "data.toml")).unwrap();
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "3", "--fail", "bad mesh"]).succeeds();
    run.tool("ekp-update").args(["-q", ".", "-i", "0"]).succeeds();
    let kept = study.folder.path().join("kept");
    fs::rename(run.path.join("iteration_001"), &kept).unwrap();
    // A result that comes in after the decision
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "3", "--again"]).succeeds().says("done in");
    run.tool("ekp-update").args([".", "-i", "0"]).succeeds();
    let bytes = |folder: &Path, file: &str| fs::read(folder.join(file)).unwrap();
    for file in ["ensemble.bin", "state.bin", "member_003/parameters.toml"] {
        assert_eq!(bytes(&kept, file), bytes(&run.path.join("iteration_001"), file), "{file}");
    }
    // An outcome that was used and is gone cannot be replaced by another one
    fs::remove_dir_all(run.path.join("iteration_001")).unwrap();
    fs::remove_file(member(&run, 5, "data.toml")).unwrap();
    run.tool("ekp-update")
        .args([".", "-i", "0"])
        .fails(1)
        .says("made from other outcomes")
        .says("(member 5)");
}

#[test]
fn a_purge_of_closed_iterations_does_not_hurt() {
    let study = Study::sinusoid("purge").members(8).iterations(4);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads"]);
    let run = study.init("run");
    for _ in 0..2 {
        run.tool("ekp-launch").args(["-q", ".", "--once"]).succeeds();
    }
    for iteration in 0..2 {
        for m in 1..=8 {
            fs::remove_dir_all(run.path.join(format!("iteration_{iteration:03}/member_{m:03}"))).unwrap();
        }
    }
    run.launch(&["-q", "--on", "threads"]);
    let purged =
        |name: &String| !["iteration_000/member", "iteration_001/member"].iter().any(|p| name.starts_with(p));
    let science = |run: &TestRun| run.science().into_iter().filter(|(n, _)| purged(n)).collect::<Vec<_>>();
    assert_eq!(science(&quiet), science(&run));
}

#[test]
fn an_early_end_was_forgotten_when_the_update_died_before_it_wrote_stop_toml() {
    // Given a run whose data are used up before its iterations are
    let study = Study::sinusoid("early").members(8).iterations(6).set("algorithm.terminate_at", 0.01);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--on", "threads"]);
    let last = quiet.toml("stop.toml")["final"].as_integer().unwrap();
    assert!(last < 6, "{last}");
    for (k, args) in
        [&["-q", "--on", "threads"][..], &["-q", "--once"], &["-q", "--on", "local"]].iter().enumerate()
    {
        // When its last update dies just before the stop record
        let run = study.init(&format!("run_{k}"));
        run.launch(&["-q", "--on", "threads"]);
        fs::remove_file(run.path.join("stop.toml")).unwrap();
        // Then nobody goes on beyond the end
        run.launch(args);
        same_science(&quiet, &run);
    }
    let run = study.init("by_hand");
    run.launch(&["-q", "--on", "threads"]);
    fs::remove_file(run.path.join("stop.toml")).unwrap();
    run.tool("ekp-update").args([".", "-i", &last.to_string()]).succeeds().says("the run is over");
    same_science(&quiet, &run);
}
