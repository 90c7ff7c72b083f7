//! A hundred processes killed at random: launchers, workers, models. The run ends as if nothing had been.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::processes::{Dice, below, signal};
use crate::support::{Study, TestRun, same_science, tool};

/// The line of the default study, 20 ms later.
const SLOW: &str = "#!/bin/sh\nsleep 0.02\nexec awk -f line.awk \"$1\" > \"$2\"\n";
const LINE: &str = r#"/^\[/ { name = substr($0, 2, length($0) - 2) }
$1 == "value" { p[name] = $3 }
END { printf "model_output = ["
  for (i = 0; i < p["points"]; i++) printf "%s%.17g", (i ? ", " : ""), p["offset"] + p["slope"] * i
  print "]" }
"#;

fn study(name: &str, members: i64, iterations: i64) -> Study {
    let study = Study::external(name).model(SLOW);
    study.folder.write("line.awk", LINE);
    let files = toml::Value::Array(vec!["model.sh".into(), "line.awk".into()]);
    study
        .set("model.files", files)
        .members(members)
        .iterations(iterations)
        .set("algorithm.scheduler", "fixed")
        .set("algorithm.step", 0.1)
        // A killed model is a failed one: it must not be killed for good by bad luck.
        .set("failures.retries", 50)
}

/// Outcomes and closed iterations, counted as a reader of the folder does.
fn all_counted(run: &TestRun, members: i64, iterations: u32) {
    for iteration in 0..iterations {
        let update = run.toml(&format!("iteration_{iteration:03}/update.toml"));
        assert_eq!(update["ok"].as_integer(), Some(members), "iteration {iteration}");
        assert_eq!(update["failed"].as_integer(), Some(0), "iteration {iteration}");
        for member in 1..=members {
            let folder = format!("iteration_{iteration:03}/member_{member:03}");
            assert!(run.has(&format!("{folder}/data.toml")) && !run.has(&format!("{folder}/failed.toml")));
        }
    }
}

fn start(run: &TestRun, name: &str, args: &[&str]) -> Child {
    let mut command = tool(name, &run.path).args(args).command();
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn after_a_hundred_random_kills_the_bytes_are_those_of_a_quiet_run() {
    let study = study("storm", 12, 4);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--workers", "4"]);
    let mut dice = Dice::new(7);
    let mut kills = [0; 3];
    // Runs until the hundred are full: a run may end before
    for round in 1.. {
        let run = study.init(&format!("run_{round}"));
        let mut launcher = start(&run, "ekp-launch", &["-q", ".", "--on", "local", "--workers", "4"]);
        let begin = Instant::now();
        loop {
            if let Some(status) = launcher.try_wait().unwrap() {
                if status.success() {
                    break;
                }
                assert_eq!(status.code(), None, "it ends well, or by a kill");
                launcher = start(&run, "ekp-launch", &["-q", ".", "--on", "local", "--workers", "4"]);
            }
            assert!(begin.elapsed() < Duration::from_secs(300), "the run makes no progress");
            std::thread::sleep(Duration::from_millis(10 + dice.below(60) as u64));
            if kills.iter().sum::<usize>() >= 100 {
                continue;
            }
            let (workers, models): (Vec<_>, Vec<_>) =
                below(launcher.id()).into_iter().partition(|(_, name)| name.starts_with("ekp-"));
            let kind = [0, 1, 1, 2, 2][dice.below(5)];
            let pid = match kind {
                0 => launcher.id(),
                1 if !workers.is_empty() => workers[dice.below(workers.len())].0,
                2 if !models.is_empty() => models[dice.below(models.len())].0,
                _ => continue,
            };
            kills[kind] += usize::from(signal("KILL", pid.into()));
        }
        same_science(&quiet, &run);
        all_counted(&run, 12, 4);
        if kills.iter().sum::<usize>() >= 100 {
            break;
        }
    }
    eprintln!("killed: {} launchers, {} workers, {} models", kills[0], kills[1], kills[2]);
}

#[test]
fn a_pool_of_leasing_workers_that_die_ends_with_the_same_bytes() {
    let study = study("pool", 8, 3);
    let quiet = study.init("quiet");
    quiet.launch(&["-q", "--workers", "4"]);
    let run = study.init("run");
    let mut dice = Dice::new(11);
    let begin = |rank: usize| {
        start(&run, "ekp-worker", &["-q", ".", "--to-end", "--lease", "1", "--rank", &rank.to_string()])
    };
    let mut pool: Vec<Child> = (1..=4).map(begin).collect();
    let mut kills = 0;
    let started = Instant::now();
    let mut ended = [false; 4];
    while ended.contains(&false) {
        assert!(started.elapsed() < Duration::from_secs(300), "the pool makes no progress");
        std::thread::sleep(Duration::from_millis(20 + dice.below(80) as u64));
        let victim = dice.below(4);
        if kills < 14 && !ended[victim] && pool[victim].kill().is_ok() {
            kills += 1;
        }
        for (k, worker) in pool.iter_mut().enumerate() {
            match worker.try_wait().unwrap() {
                Some(status) if status.success() => ended[k] = true,
                Some(status) => {
                    assert_eq!(status.code(), None, "it ends well, or by a kill");
                    *worker = begin(k + 1);
                }
                None => {}
            }
        }
    }
    assert!(kills >= 5, "{kills}");
    same_science(&quiet, &run);
    all_counted(&run, 8, 3);
}
