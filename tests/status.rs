//! `ekp-status`: the answer first, nothing written, few files read.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::{Study, TestRun, golden, program, tool};

/// Eight o'clock in the evening of some day.
const EVENING: u64 = 1_795_204_800;

/// The model of the templates with members that fail.
const FAILING: &str = r#"#!/bin/sh
case "$EKP_MEMBER" in
  2 | 3) echo "reading grid.nc" >&2; echo "grid.nc: no such file" >&2; exit 3 ;;
  4) kill -SEGV $$ ;;
  5) echo "model_output = [1, 2, 3]" > "$2"; exit 0 ;;
esac
awk '
  /^\[/ { name = substr($0, 2, length($0) - 2) }
  $1 == "value" { p[name] = $3 }
  END {
    printf "model_output = ["
    for (i = 0; i < p["points"]; i++) printf "%s%.17g", (i ? ", " : ""), p["offset"] + p["slope"] * i
    print "]"
  }' "$1" > "$2"
"#;

/// Two iterations of twelve members: the first closed, the second in trouble.
fn troubled() -> (Study, TestRun) {
    let study = Study::external("status").members(12).iterations(3).set("failures.retries", 0);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "1-12"]).succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "12", "--again"]).succeeds();
    run.tool("ekp-update").args(["-qi", "0"]).succeeds();
    let fails = study.model(FAILING);
    let on = |host: &str, members: &str| {
        run.tool("ekp-run-member").env("SLURMD_NODENAME", host).args(["-qi", "1", "-m", members]).succeeds();
    };
    on("n1", "1-2,4-7");
    on("n2", "3");
    // Cut short by a power loss
    let data = run.path.join("iteration_001/member_006/data.toml");
    let bytes = fs::read(&data).unwrap();
    fs::write(&data, &bytes[..bytes.len() / 2]).unwrap();
    // Killed by the scheduler
    let log = |name: &str, text: &str| {
        let folder = run.path.join("logs/iteration_001");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    };
    log(
        "8.out",
        "iteration 1 members 8 on n1\nslurmstepd: error: *** JOB 12 ON n1 CANCELLED AT 2026-11-20T11:00:00 DUE TO TIME LIMIT ***\n",
    );
    log(
        "9.out",
        "iteration 1 members 9 on n2\nslurmstepd: error: Detected 1 oom-kill event(s) in StepId=13.batch.\n",
    );
    // At work
    let lease = run.path.join("iteration_001/member_010/try_1");
    fs::create_dir(&lease).unwrap();
    fs::write(lease.join("claim.toml"), "# Who\nworker = \"n3 4711\"\nlease_s = 3600.0\n").unwrap();
    fixed_times(&run);
    (fails, run)
}

/// Times and numbers that are the same at every run.
fn fixed_times(run: &TestRun) {
    let edit = |name: &str, values: &[(&str, &str)]| {
        let text = run.read(name);
        let line = |line: &str| match values.iter().find(|(key, _)| line.starts_with(&format!("{key} = "))) {
            Some((key, value)) => format!("{key} = {value}\n"),
            None => format!("{line}\n"),
        };
        fs::write(run.path.join(name), text.lines().map(line).collect::<String>()).unwrap();
    };
    edit("iteration_000/timing.toml", &[("end", "\"2026-11-20T20:12:00.000000Z\"")]);
    edit("iteration_000/update.toml", &[("misfit", "321.5"), ("step", "0.0125"), ("time", "0.0125")]);
    let made = SystemTime::UNIX_EPOCH + Duration::from_secs(EVENING);
    let ensemble = fs::File::options().write(true).open(run.path.join("iteration_000/ensemble.bin")).unwrap();
    ensemble.set_modified(made).unwrap();
}

/// The text without what differs from run to run.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        match line.split_once(" since ") {
            Some((head, rest)) => {
                let tail = rest.find("  (").map_or("", |at| &rest[at..]);
                out.push_str(&format!("{head} since TIME{tail}\n"));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[test]
fn a_run_in_trouble_is_told_so_that_a_tired_person_knows_what_to_do() {
    let (study, run) = troubled();
    let told = tool("ekp-status", study.folder.path()).args(["run"]).succeeds();
    golden("status/troubled.txt", &steady(&told.out()));
    assert_eq!(told.err(), "");
    // From within the run paths are shorter, and the commands can be pasted there
    let inside = run.tool("ekp-status").succeeds();
    assert!(inside.out().contains("record  iteration_001/member_002/failed.toml"), "{}", inside.out());
    assert!(inside.out().contains("ekp-run-member . -i 1 -m 2 --again"), "{}", inside.out());
    // What is shown is there
    for line in told
        .out()
        .lines()
        .filter_map(|l| l.trim().strip_prefix("record  ").or(l.trim().strip_prefix("log     ")))
    {
        assert!(study.folder.path().join(line).is_file(), "{line}");
    }
}

#[test]
fn a_run_that_is_over_shows_its_result_and_why_members_were_left_out() {
    let study = Study::external("over").members(6).iterations(2).set("failures.retries", 0);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member")
        .args(["-qi", "0", "-m", "3", "--fail", "the node was struck by lightning"])
        .succeeds();
    run.launch(&["-q", "--on", "threads"]);
    let told = run.tool("ekp-status").succeeds();
    for part in
        ["over: all iterations asked for are done", "posterior mean", "iteration_002", "1 failed member"]
    {
        assert!(told.out().contains(part), "{part}:\n{}", told.out());
    }
    run.tool("ekp-status")
        .args(["--iteration", "0"])
        .succeeds()
        .prints("the node was struck by lightning")
        .prints("ekp-run-member . -i 0 -m 3 --scratch");
    run.tool("ekp-status").args(["--iteration", "7"]).fails(2).says("iteration 7 has not begun");
    // Cleaned of its members' files it is told all the same
    for m in 1..=6 {
        fs::remove_dir_all(run.path.join(format!("iteration_000/member_{m:03}"))).unwrap();
    }
    assert_eq!(run.tool("ekp-status").succeeds().out(), told.out());
}

#[test]
fn too_many_failures_are_told_with_the_quorum() {
    let study = Study::external("quorum")
        .members(6)
        .iterations(2)
        .set("failures.retries", 0)
        .model("#!/bin/sh\nexit 1\n");
    let run = study.init("run");
    run.tool("ekp-launch").args([".", "-q", "--on", "threads"]).fails(4);
    run.tool("ekp-status")
        .succeeds()
        .prints("6 of 6 members failed, at most 3 may (quorum 0.5)")
        .prints("mend the cause");
    run.tool("ekp-status").args(["--json"]).succeeds().prints("\"state\":\"quorum\"");
}

#[test]
fn json_holds_what_the_text_tells() {
    let (study, _) = troubled();
    let told = tool("ekp-status", study.folder.path()).args(["run", "--json", "--disk"]).succeeds();
    let json: serde_json::Value = serde_json::from_str(&told.out()).unwrap();
    assert_eq!(json["state"], "members");
    assert_eq!(json["due"], "members 1 6,8-12");
    assert_eq!(json["iterations"][0]["elapsed_s"], 720.0);
    let open = &json["iterations"][1];
    let counts = ["done", "running", "failed", "missing"].map(|key| open[key].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 4, 5]);
    assert_eq!(json["failures"].as_array().unwrap().len(), 4);
    assert_eq!(json["failures"][0]["stderr_tail"], "reading grid.nc\ngrid.nc: no such file\n");
    assert_eq!(json["lost"][0]["cause"], "time limit");
    assert_eq!(json["lost"][1]["cause"], "out of memory");
    assert_eq!(json["defective"][0]["member"], 6);
    assert_eq!(json["running"][0]["worker"], "n3 4711");
    assert!(json["disk"]["parts"].as_array().unwrap().len() >= 3);
}

#[test]
fn scripts_learn_the_step_that_is_due_through_a_whole_run() {
    let study = Study::sinusoid("next").members(4).iterations(2);
    let run = study.init("run");
    let next = || run.tool("ekp-status").args(["--next"]).succeeds().out();
    assert_eq!(next(), "init 0\n");
    run.tool("ekp-init-ensemble").succeeds();
    for (iteration, then) in [("0", "members 1 1-4\n"), ("1", "")] {
        assert_eq!(next(), format!("members {iteration} 1-4\n"));
        run.tool("ekp-run-member").args(["-i", iteration, "-m", "2,3"]).succeeds();
        assert_eq!(next(), format!("members {iteration} 1,4\n"));
        run.tool("ekp-run-member").args(["-i", iteration, "-m", "1,4"]).succeeds();
        assert_eq!(next(), format!("update {iteration}\n"));
        run.tool("ekp-update").args(["-i", iteration]).succeeds();
        assert_eq!(next(), then);
    }
}

#[test]
fn a_pattern_names_runs_a_line_each_and_folders_that_are_none_are_left_out() {
    let study = Study::sinusoid("glob").members(4).iterations(2);
    let (a, _b) = (study.init("runs/a"), study.init("runs/b"));
    fs::create_dir(study.folder.path().join("runs/notes")).unwrap();
    a.launch(&["-q", "--on", "threads"]);
    let status = |args: &[&str]| tool("ekp-status", study.folder.path()).args(args).run();
    let lines = status(&["runs/*"]).code(0).out();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.contains("runs/a") && lines.contains("over: ") && lines.contains("nothing has run yet"),
        "{lines}"
    );
    let next = status(&["--next", "runs/*"]).code(0).out();
    assert_eq!(next, "runs/b\tinit 0\n");
    let json = status(&["--json", "runs/*"]).code(0).out();
    assert!(json.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{json}");
    status(&["no/*"]).code(2).says("`no/*` names no run folder");
    status(&["runs/notes"]).code(2).says("not a run folder");
    // One that cannot be read does not hide the others
    fs::write(study.folder.path().join("runs/b/experiment.toml"), "name = ").unwrap();
    let lines = status(&["runs/*"]).code(1).out();
    assert!(lines.contains("over: ") && lines.lines().count() >= 3, "{lines}");
}

#[test]
fn watching_ends_when_the_run_is_over() {
    let study = Study::sinusoid("watch").members(4).iterations(2);
    let run = study.init("run");
    let mut watch = run.tool("ekp-status").args(["--watch"]).command();
    let watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    run.launch(&["-q", "--on", "threads"]);
    let ended = watch.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(String::from_utf8_lossy(&ended.stdout).contains("over: "));
}

#[test]
fn nobody_is_told_to_launch_what_is_being_launched() {
    let slow = FAILING.replacen("#!/bin/sh\n", "#!/bin/sh\nsleep 20\n", 1).replace("exit 3", "exit 0");
    let study = Study::external("at-work").members(4).iterations(1).model(&slow);
    let run = study.init("run");
    let mut launch = run.tool("ekp-launch").args([".", "-q", "--workers", "2"]).command();
    let mut launch = launch.stdout(std::process::Stdio::null()).spawn().unwrap();
    let began = SystemTime::now();
    let told = loop {
        let told = run.tool("ekp-status").succeeds().out();
        if told.contains("at work") || began.elapsed().unwrap() > Duration::from_secs(60) {
            break told;
        }
    };
    assert!(
        told.contains(&format!("`ekp-launch` is at work on it (process {} on this machine)", launch.id())),
        "{told}"
    );
    assert!(!told.contains("next:"), "{told}");
    launch.kill().unwrap();
    launch.wait().unwrap();
    let told = run.tool("ekp-status").succeeds().out();
    assert!(!told.contains("at work"), "{told}");
}

/// What a tool does to files, as strace sees it; none where strace is not installed or not allowed.
fn traced(run: &TestRun, name: &str, args: &[&str]) -> Option<String> {
    let log = run.path.parent().unwrap().join(format!("strace-{name}"));
    let tool = crate::support::tools().join(name);
    let words = ["-f", "-qq", "-o", log.to_str()?, "-e", "trace=%file", tool.to_str()?];
    let ended =
        std::panic::catch_unwind(|| program("strace", &run.path).args(words).args(args).run()).ok()?;
    if ended.output.status.code() != Some(0) {
        eprintln!("strace does not work here: {}", ended.err());
        return None;
    }
    fs::read_to_string(log).ok()
}

#[test]
fn reading_tools_write_nothing_and_work_on_a_folder_that_is_read_only() {
    let (_study, run) = troubled();
    let before = everything(&run.path);
    program("chmod", &run.path).args(["-R", "a-w", "."]).succeeds();
    let tools: [(&str, &[&str]); 6] = [
        ("ekp-status", &[]),
        ("ekp-status", &["--json", "--disk", "--iteration", "0"]),
        ("ekp-status", &["--next"]),
        ("ekp-export", &[]),
        ("ekp-collect-timings", &["--advise"]),
        ("ekp-cat", &["iteration_001/ensemble.bin"]),
    ];
    for (name, args) in tools {
        run.tool(name).args(args).succeeds();
        let Some(trace) = traced(&run, name, args) else { continue };
        let writes = [
            "O_WRONLY", "O_RDWR", "O_CREAT", "mkdir", "rename", "unlink", "link(", "linkat", "chmod", "utime",
        ];
        let bad: Vec<&str> = trace
            .lines()
            .filter(|l| {
                writes.iter().any(|w| l.contains(w)) && !l.contains("/dev/") && !l.contains("readlink")
            })
            .collect();
        assert!(bad.is_empty(), "{name} {args:?}: {bad:?}");
    }
    program("chmod", &run.path).args(["-R", "u+w", "."]).succeeds();
    assert_eq!(everything(&run.path), before);
}

#[test]
fn a_closed_iteration_costs_no_look_at_its_members_and_an_open_one_few_looks_at_each() {
    let study = Study::sinusoid("cost").members(50).iterations(3);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads", "--once"]);
    run.tool("ekp-run-member").args(["-qi", "1", "-m", "1-40"]).succeeds();
    let Some(trace) = traced(&run, "ekp-status", &[]) else { return };
    let looks = |part: &str| trace.lines().filter(|line| line.contains(part)).count();
    assert_eq!(looks("iteration_000/member_"), 0);
    // One open for an outcome; two failing ones and the list of tries where there is none
    assert_eq!(looks("iteration_001/member_"), 40 + 10 * 3, "{trace}");
    let Some(trace) = traced(&run, "ekp-status", &["--next"]) else { return };
    let looks = trace.lines().filter(|line| line.contains("/member_")).count();
    assert_eq!(looks, 40 + 10 * 2);
}

/// Every file and folder with its time and bytes.
fn everything(root: &Path) -> Vec<(String, SystemTime, Vec<u8>)> {
    let mut all: Vec<_> = walkdir::WalkDir::new(root)
        .into_iter()
        .flatten()
        .map(|entry| {
            let bytes =
                if entry.file_type().is_file() { fs::read(entry.path()).unwrap() } else { Vec::new() };
            let time = entry.metadata().unwrap().modified().unwrap();
            (entry.path().display().to_string(), time, bytes)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn one_question_to_the_scheduler_serves_all_runs_and_reasons_that_stay_are_named() {
    // Given two runs that were submitted, and a scheduler in which one stands still
    let study = Study::sinusoid("jobs").members(4).iterations(2);
    let runs = [study.init("runs/a"), study.init("runs/b")];
    let mut lines = String::new();
    for (run, reason) in runs.iter().zip(["PartitionTimeLimit", "Priority"]) {
        run.tool("ekp-init-ensemble").succeeds();
        fs::create_dir_all(run.path.join("jobs")).unwrap();
        let id = run.toml("run.toml")["id"].as_str().unwrap().to_owned();
        let token = format!("ekp:{id}:0001:ab");
        let record = format!(
            "schema = \"ekp.job\"\nversion = 1\ntoken = \"{token}\"\nstep = \"members\"\niteration = 0\nelements = \"1-4\"\n\
             rerun = false\nrolling = false\noptions = []\ntime = \"2026-11-20T11:00:00Z\"\ncomplete = true\n\
             [by]\nhost = \"n1\"\npid = 1\npid_start = 1\njob = 0\n[jobs]\n\"it000.members\" = [12]\n"
        );
        fs::write(run.path.join("jobs/0001.toml"), record).unwrap();
        let job = |shown: &str, state: &str, reason: &str, nodes: &str, name: &str| {
            let fields = [
                shown,
                "12",
                "12",
                state,
                reason,
                "(null)",
                "2026-11-20T12:00:00",
                "2026-11-20T11:00:00",
                nodes,
                name,
                &token,
                run.path.to_str().unwrap(),
            ];
            fields.join("\u{1f}") + "\n"
        };
        lines.push_str(&job("12_[1,4]", "PENDING", reason, "", "s.it000.members"));
        lines.push_str(&job("12_2", "RUNNING", "None", "n7", "s.it000.members"));
        lines.push_str(&job("13", "PENDING", "Dependency", "", "s.it000.update"));
    }
    let answer = study.folder.write("answer", &lines);
    let asked = study.folder.path().join("asked");
    let bin = study.folder.script(
        "bin/squeue",
        &format!("#!/bin/sh\necho asked >> '{}'\ncat '{}'\n", asked.display(), answer.display()),
    );
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let status =
        |args: &[&str]| tool("ekp-status", study.folder.path()).env("PATH", &path).args(args).succeeds();
    // When both are looked at
    status(&["runs/*"]);
    // Then the scheduler was asked once
    assert_eq!(fs::read_to_string(&asked).unwrap(), "asked\n");
    // And each run has its own jobs
    let stuck = status(&["runs/a"]);
    golden("status/stuck.txt", &stuck.out());
    let waits = status(&["runs/b"]).out();
    assert!(waits.contains("waiting: Priority, expected to start 2026-11-20T12:00:00"), "{waits}");
    assert!(!waits.contains("never starts"), "{waits}");
    assert!(status(&["runs/b", "--jobs"]).out().contains("13 s.it000.update waiting: the jobs before it"));
    // Where nothing was submitted nobody is asked
    fs::remove_file(&asked).unwrap();
    study.init("runs/c");
    status(&["runs/c"]);
    assert!(!asked.exists());
}
