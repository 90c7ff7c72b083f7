//! Leases under fire: workers that are killed, paused, or out of disk. Every trial ends with one result, the best is
//! the best of all.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::dds::{best_is_the_best, land, scores};
use crate::support::processes::{Dice, signal};
use crate::support::strace::{strace, there};
use crate::support::{TestRun, tool};

fn worker(run: &TestRun, rank: usize, lease: &str) -> Child {
    let rank = rank.to_string();
    let args = [".", "-q", "--to-end", "--rank", &rank, "--lease", lease];
    let mut command = tool("ekp-worker", &run.path).args(args).command();
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Every trial has one outcome, and its number says which it is.
fn complete(run: &TestRun, budget: usize) {
    let stop = run.toml("stop.toml");
    assert_eq!(stop["evaluations"].as_integer(), Some(budget as i64));
    // A trial that three workers died with is given up, and recorded: with a hundred kills that is one at times.
    let lost = stop["failed"].as_integer().unwrap() as usize;
    assert!(lost <= 3, "{lost} trials were given up");
    let outcomes = run.toml("trials_000/update.toml")["outcomes"].as_array().unwrap().clone();
    let given_up = outcomes.iter().filter(|o| o.as_str() == Some("failed: lost")).count();
    assert_eq!((outcomes.len(), scores(run).len(), given_up), (budget, budget - lost, lost));
    best_is_the_best(run);
}

#[test]
fn sixteen_workers_with_a_hundred_kills_and_pauses_lose_no_trial() {
    let budget = 1200;
    let study = land("fire", "dds-async", 16, budget).set("model.landscape.cost_s", 0.05);
    let study_of_run = study.set("model.landscape.cost_sd", 0.5);
    let run = study_of_run.init("run");
    let (mut dice, lease) = (Dice::new(11), "0.6");
    let mut workers: Vec<Child> = (1..=16).map(|rank| worker(&run, rank, lease)).collect();
    let (mut kills, mut paused, mut round) = (0, Vec::<(u32, Instant)>::new(), 0);
    let began = Instant::now();
    while !run.has("stop.toml") {
        assert!(began.elapsed() < Duration::from_secs(280), "it does not end");
        round += 1;
        let k = dice.below(16);
        let pid = workers[k].id();
        // As many as the trials that are done ask for: all hundred have happened by half the budget, however fast
        let done = std::fs::read_dir(run.path.join("trials_000")).map_or(0, Iterator::count);
        if kills < 100 && (dice.below(3) > 0 || kills * 6 < done) {
            // Killed, and another takes the place
            signal("KILL", i64::from(pid));
            workers[k].wait().unwrap();
            kills += 1;
            workers[k] = worker(&run, k + 1, lease);
            if kills * 6 < done {
                continue;
            }
        } else if paused.len() < 3 && round % 4 == 0 && !paused.iter().any(|(p, _)| *p == pid) {
            // Paused for longer than its lease: its trial is taken over, then it wakes up and publishes, too
            signal("STOP", i64::from(pid));
            paused.push((pid, Instant::now()));
        }
        paused.retain(|(pid, since)| {
            let wakes = since.elapsed() > Duration::from_millis(1500);
            if wakes {
                signal("CONT", i64::from(*pid));
            }
            !wakes
        });
        std::thread::sleep(Duration::from_millis(40));
    }
    for (pid, _) in &paused {
        signal("CONT", i64::from(*pid));
    }
    for child in &mut workers {
        child.wait().unwrap();
    }
    eprintln!("{kills} kills in {:.1} s", began.elapsed().as_secs_f64());
    assert!(kills >= 100, "{kills} kills: it was over too soon");
    complete(&run, budget as usize);
}

#[test]
fn a_disk_that_is_full_for_a_while_costs_no_trial() {
    if !there() {
        return;
    }
    let study_of_run = land("fire-disk", "dds-async", 2, 60);
    let run = study_of_run.init("run");
    for when in [3, 11, 24, 50, 77] {
        // From the n-th write on the disk is full, for this worker
        let log = run.path.with_extension("strace");
        let inject = format!("inject=write:error=ENOSPC:when={when}+");
        let ended = strace(&["-e", "trace=write", "-e", &inject], &log, "ekp-worker", &run.path)
            .args([".", "-q", "--to-end", "--lease", "0.2"])
            .run();
        ended.code(1);
    }
    run.tool("ekp-worker").args([".", "-q", "--to-end", "--lease", "0.2"]).succeeds();
    complete(&run, 60);
}

#[test]
fn a_trial_on_which_three_workers_died_counts_as_lost() {
    let study_of_run = land("fire-lost", "dds-async", 2, 12);
    let run = study_of_run.init("run");
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-6"]).succeeds();
    // Three tries of trial 7 that nobody renews
    let trial = run.path.join("trials_000/trial_000007");
    let kept = run.path.join("trials_000/trial_000001");
    std::fs::create_dir_all(&trial).unwrap();
    for name in ["trial.toml", "parameters.toml"] {
        std::fs::write(trial.join(name), "torn").unwrap();
        assert!(kept.join(name).exists());
    }
    for k in 1..=3 {
        let place = trial.join(format!("try_{k}"));
        std::fs::create_dir(&place).unwrap();
        std::fs::write(place.join("claim.toml"), "").unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    run.tool("ekp-worker").args([".", "-q", "--to-end", "--lease", "0.2"]).succeeds();
    let stop = run.toml("stop.toml");
    assert_eq!((stop["evaluations"].as_integer(), stop["failed"].as_integer()), (Some(12), Some(1)));
    assert_eq!(run.toml("trials_000/trial_000007/failed.toml")["cause"].as_str(), Some("lost"));
    best_is_the_best(&run);
}
