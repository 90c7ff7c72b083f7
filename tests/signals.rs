//! Asked to stop: models and workers end at once, nobody is left behind, and the run goes on later.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::processes::{alive, below, signal, wait_for};
use crate::support::{Study, TestRun, same_science, tool};

/// A model that sleeps for ten minutes with a child of its own, as long as the file `slow` is there.
fn study(name: &str) -> Study {
    sleeping(name, 600)
}

fn sleeping(name: &str, seconds: u32) -> Study {
    let study = Study::external(name);
    let model = fs::read_to_string(study.folder.path().join("model.sh")).unwrap();
    let path = study.folder.path().join("slow");
    let slow = format!("if [ -e '{}' ]; then sleep {seconds} & wait; fi\n", path.display());
    let study = study.model(&model.replacen('\n', &format!("\n{slow}"), 1)).members(4).iterations(2);
    study.folder.write("slow", "");
    study
}

/// Start a tool in a process group of its own, as a shell does, and wait until its models sleep.
fn start(run: &TestRun, name: &str, args: &[&str], models: usize) -> (Child, Vec<u32>) {
    let mut command = tool(name, &run.path).args(args).command();
    let child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let sleeping = |pid: u32| below(pid).iter().filter(|(_, name)| name == "sleep").count();
    wait_for("the models run", 120, || sleeping(child.id()) >= models);
    let all = below(child.id()).into_iter().map(|(pid, _)| pid).collect();
    (child, all)
}

fn stops(
    study: &Study,
    quiet: &TestRun,
    name: &str,
    tool: &str,
    args: &[&str],
    models: usize,
    how: (&str, i64),
) {
    let run = study.init(name);
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    study.folder.write("slow", "");
    let (child, family) = start(&run, tool, args, models);
    let begin = Instant::now();
    // Negative: Ctrl-C, to the group; positive: `kill`, to the process alone
    assert!(signal(how.0, how.1 * i64::from(child.id())));
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    // The models sleep for 600 s: this is sooner, on a busy machine too
    assert!(begin.elapsed() < Duration::from_secs(300), "{name}: after {:?}", begin.elapsed());
    assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
    assert!(said.contains("error: stopped by a signal; what was finished is on disk"), "{name}: {said}");
    assert_eq!(said.matches("error: ").count(), 1, "{name}: one error\n{said}");
    assert!(said.contains("hint: the same command again goes on"), "{name}: {said}");
    wait_for("nobody is left behind", 120, || !family.iter().any(|&pid| alive(pid)));
    // A model that we ended is no failure
    let failed = run.science().into_keys().find(|n| n.ends_with("failed.toml"));
    assert_eq!(failed, None, "{name}");
    fs::remove_file(study.folder.path().join("slow")).unwrap();
    run.launch(&["-q", "--workers", "2"]);
    same_science(quiet, &run);
}

#[test]
fn nobody_is_left_behind() {
    let study = study("signals");
    fs::remove_file(study.folder.path().join("slow")).unwrap();
    let quiet = study.init("quiet");
    quiet.launch(&["-q"]);
    let go = |name: &str, tool: &str, args: &[&str], models: usize, how: (&str, i64)| {
        stops(&study, &quiet, name, tool, args, models, how);
    };
    let local = [".", "--on", "local", "--workers", "3"];
    go("local_term", "ekp-launch", &local, 3, ("TERM", 1));
    go("local_int", "ekp-launch", &local, 3, ("INT", 1));
    go("local_ctrl_c", "ekp-launch", &local, 3, ("INT", -1));
    go("threads_term", "ekp-launch", &[".", "--on", "threads", "--workers", "3"], 3, ("TERM", 1));
    go("once_term", "ekp-launch", &[".", "--once", "--workers", "3"], 3, ("TERM", 1));
    go("worker_term", "ekp-worker", &[".", "--to-end", "--lease", "1"], 1, ("TERM", 1));
    go("member_term", "ekp-run-member", &[".", "-i", "0", "-m", "1-4"], 1, ("TERM", 1));
}

#[test]
fn make_and_its_calls_end_too() {
    let study = study("signals-make");
    let run = study.init("run");
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    for how in [("TERM", 1), ("INT", -1)] {
        let (child, family) = start(&run, "ekp-launch", &[".", "--on", "make", "--workers", "3"], 3);
        assert!(signal(how.0, how.1 * i64::from(child.id())));
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("ekp-launch: error: stopped by a signal"), "{said}");
        wait_for("nobody is left behind", 120, || !family.iter().any(|&pid| alive(pid)));
    }
}

#[test]
fn ranks_under_mpirun_end_too() {
    let asked = crate::support::program("mpirun", std::path::Path::new("/")).args(["--version"]).try_run();
    if !crate::support::there("mpirun", asked.is_some()) {
        return;
    }
    // A busy mpirun kills its ranks before they have passed the signal on: their models sleep to their own end
    let study = sleeping("signals-mpi", 60);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").args(["-q"]).succeeds();
    let (child, family) = start(&run, "ekp-launch", &[".", "--on", "mpi", "--workers", "2"], 2);
    assert!(signal("TERM", i64::from(child.id())));
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("ekp-launch: error: stopped by a signal"), "{said}");
    wait_for("nobody is left behind", 180, || !family.iter().any(|&pid| alive(pid)));
}

#[test]
fn a_worker_that_is_asked_to_end_is_replaced() {
    // Given a launch whose models sleep
    let study = study("replaced");
    let run = study.init("run");
    let (child, _) = start(&run, "ekp-launch", &[".", "--on", "local", "--workers", "2"], 2);
    // When one of its workers gets a signal, and no one else
    let workers = below(child.id()).into_iter().filter(|(_, name)| name.starts_with("ekp-worker"));
    let first = workers.map(|(pid, _)| pid).next().unwrap();
    fs::remove_file(study.folder.path().join("slow")).unwrap();
    assert!(signal("TERM", first.into()));
    wait_for("the worker ends", 60, || !alive(first));
    for (pid, _) in below(child.id()).into_iter().filter(|(_, name)| name == "sleep") {
        signal("TERM", pid.into());
    }
    // Then another takes its place and the run ends well
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(run.toml("iteration_000/update.toml")["ok"].as_integer(), Some(4));
}
