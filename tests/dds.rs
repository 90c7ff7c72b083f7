//! Searches: the same trials on every launcher, budgets kept through failures and extensions, the best verified.

use ekp::dds::{Found, Standing};
use ekp::files::RunDir;
use ekp::numerics::Streams;
use ekp::steps::Run;
use ekp::steps::trials::TrialRecord;

use crate::support::strace::{record, there};
use crate::support::{Study, TestRun, same_science, tool};

/// A landscape of six numbers; `budget` trials.
pub(crate) fn land(name: &str, method: &str, members: i64, budget: i64) -> Study {
    Study::example(name, "search")
        .set("model.landscape.function", "sphere")
        .set("algorithm.method", method)
        .members(members)
        .set("algorithm.budget", budget)
}

fn number(table: &toml::Table, key: &str) -> i64 {
    table[key].as_integer().unwrap()
}

/// Scores of all outcomes of single trials, by folder.
pub(crate) fn scores(run: &TestRun) -> Vec<(String, f64)> {
    let outcome = |(name, bytes): (String, Vec<u8>)| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let table: toml::Table = text.parse().ok()?;
        let score = table.get("model_output")?.get("score")?.as_array()?[0].as_float()?;
        Some((name.strip_suffix("/data.toml")?.to_owned(), score))
    };
    run.snapshot().into_iter().filter(|(name, _)| name.ends_with("/data.toml")).filter_map(outcome).collect()
}

/// The best of `stop.toml` is the best of all outcomes.
pub(crate) fn best_is_the_best(run: &TestRun) {
    let stop = run.toml("stop.toml");
    let best = &stop["best"].as_array().unwrap()[0];
    let found = scores(run).into_iter().map(|(_, score)| score).fold(f64::NEG_INFINITY, f64::max);
    assert_eq!(best["score"].as_array().unwrap()[0].as_float(), Some(found));
}

#[test]
fn generations_have_the_same_bytes_on_every_launcher_and_for_any_number_of_workers() {
    let study = land("dds-same", "dds", 4, 58);
    let first = study.init("first");
    first.launch(&["-q", "--workers", "1"]);
    // Five draws, thirteen generations of four, and one more; behind them the best
    assert!(
        first.has("iteration_000/member_005/data.toml") && first.has("iteration_014/member_001/data.toml")
    );
    assert!(!first.has("iteration_014/member_002") && first.has("iteration_015/member_001/parameters.toml"));
    assert!(!first.has("iteration_015/member_001/data.toml") && !first.has("iteration_016"));
    let stop = first.toml("stop.toml");
    assert_eq!((stop["reason"].as_str(), number(&stop, "evaluations")), (Some("budget"), 58));
    assert_eq!(scores(&first).len(), 58);
    best_is_the_best(&first);
    for (name, on, workers) in [("pool", "local", "4"), ("threads", "threads", "3"), ("make", "make", "4")] {
        let other = study.init(name);
        other.launch(&["-q", "--on", on, "--workers", workers]);
        same_science(&first, &other);
    }
    let leased = study.init("leased");
    leased.tool("ekp-worker").args(["-q", "--to-end", "."]).succeeds();
    same_science(&first, &leased);
    // A pack of four shares an outcome; the trials are the same
    let study_of_packed = land("dds-packed", "dds", 4, 58).set("model.pack", 4);
    let packed = study_of_packed.init("packed");
    packed.launch(&["-q", "--workers", "2"]);
    let values = |run: &TestRun| run.toml("stop.toml")["best"].as_array().unwrap()[0]["values"].clone();
    assert_eq!(values(&first), values(&packed));
    // And the best once more
    for run in [&first, &packed] {
        run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("the same numbers, bit for bit");
    }
    first.tool("ekp-status").succeeds().prints("58 of 58 evaluations").prints("best: ");
}

#[test]
fn failed_trials_count_and_only_failures_end_it_with_4() {
    let study = land("dds-failures", "dds", 4, 60).set("model.landscape.failures", 0.3);
    let run = study.init("some");
    run.launch(&["-q", "--workers", "2"]);
    let stop = run.toml("stop.toml");
    let failed = number(&stop, "failed");
    assert!(number(&stop, "evaluations") == 60 && (5..35).contains(&failed), "{failed}");
    assert_eq!(scores(&run).len() as i64, 60 - failed);
    best_is_the_best(&run);
    for method in ["dds", "dds-async"] {
        let study_of_all = land("dds-storm", method, 4, 200).set("model.landscape.failures", 1.0);
        let all = study_of_all.init("all");
        let ended = all.tool("ekp-launch").args([".", "-q", "--workers", "2"]).fails(4);
        ended.says("evaluations in a row failed").says("this run was to fail");
        assert!(!all.has("stop.toml"));
    }
}

#[test]
fn without_a_coordinator_one_worker_repeats_itself_and_every_trial_can_be_made_again() {
    let study = land("async-one", "dds-async", 1, 80);
    let run = study.init("run");
    run.launch(&["-q", "--workers", "1"]);
    let again = study.init("again");
    again.tool("ekp-worker").args(["-q", "--to-end", "."]).succeeds();
    same_science(&run, &again);
    best_is_the_best(&run);
    run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("bit for bit");
    // Several workers: other trials, each the one that its record says
    let several = study.init("several");
    several.launch(&["-q", "--workers", "4"]);
    best_is_the_best(&several);
    let opened = Run::open(&several.path).unwrap();
    let (searching, prior) = (opened.experiment.searching().unwrap(), opened.prior().unwrap());
    let search = searching.search(&prior, 1).unwrap();
    let dir = RunDir::open(&several.path).unwrap();
    let read = |trial: u32| TrialRecord::read(&dir.member(0, trial).join("trial.toml")).unwrap();
    let mut searched = 0;
    for trial in 1..=80 {
        let made = read(trial);
        let mut standing = Standing { done: made.known, stagnant: made.stagnant, ..Standing::default() };
        if made.parent > 0 {
            let (x, goals) = (read(made.parent).values, made.parent_goals.clone());
            standing.kept.push(Found { trial: made.parent, x, goals });
            searched += 1;
        }
        let same = search.trial(&standing, trial, made.budget, &Streams::new(42));
        assert_eq!((same.x, same.p, same.moved), (made.values, made.p, made.moved), "trial {trial}");
    }
    // Five at random come first, and on a busy machine those that are taken before any of them has ended
    assert!((70..=75).contains(&searched), "{searched} of 80 have a parent");
}

#[test]
fn one_worker_without_a_coordinator_searches_as_one_trial_after_the_other() {
    let values = |method: &str| {
        let study_of_run = land("async-serial", method, 1, 60);
        let run = study_of_run.init("run");
        run.launch(&["-q", "--workers", "1"]);
        let stop = run.toml("stop.toml");
        let best = &stop["best"].as_array().unwrap()[0];
        (best["trial"].clone(), best["values"].clone())
    };
    assert_eq!(values("dds"), values("dds-async"));
}

#[test]
fn blocks_put_many_trials_under_one_lease_and_into_one_outcome() {
    let study = land("async-blocks", "dds-async", 2, 1010).set("algorithm.claim_size", 100);
    let one = study.init("one");
    one.launch(&["-q", "--on", "threads", "--workers", "1"]);
    let two = study.init("two");
    two.launch(&["-q", "--workers", "1"]);
    same_science(&one, &two);
    let pool = study.init("pool");
    pool.launch(&["-q", "--workers", "3"]);
    for run in [&one, &pool] {
        let stop = run.toml("stop.toml");
        assert_eq!((number(&stop, "evaluations"), number(&stop, "failed")), (1010, 0));
        assert!(run.has("trials_000/chunk_000011/data.toml") && !run.has("trials_000/chunk_000012"));
        run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("bit for bit");
    }
    // A block that was damaged is found, moved aside and run again
    let path = "trials_000/chunk_000003/data.toml";
    let torn = pool.read(path).replace("together = 16", "together = 61");
    std::fs::write(pool.path.join(path), torn).unwrap();
    ["stop.toml", "trials_000/update.toml"]
        .iter()
        .for_each(|n| std::fs::remove_file(pool.path.join(n)).unwrap());
    pool.launch(&["-q", "--workers", "2"]);
    assert_eq!(number(&pool.toml("stop.toml"), "evaluations"), 1010);
}

#[test]
fn a_larger_budget_is_a_new_record_and_the_search_goes_on() {
    for (method, end) in [("dds", "iteration_006"), ("dds-async", "trials_000/trial_000040")] {
        let study_of_run = land("dds-extend", method, 4, 22);
        let run = study_of_run.init("run");
        run.launch(&["-q", "--workers", "2"]);
        let before = scores(&run);
        let extend = || run.tool("ekp-init").args(["--extend", "budget=40", "."]);
        extend().succeeds().says("the search has 40 evaluations now");
        extend().succeeds().says("nothing changed");
        run.tool("ekp-init").args(["--extend", "budget=30", "."]).fails(2).says("cannot be cut");
        assert!(!run.has("stop.toml") && !run.has("iteration_006"), "what said the end is gone");
        run.launch(&["-q", "--workers", "2"]);
        assert!(run.has(end));
        let stop = run.toml("stop.toml");
        assert_eq!(number(&stop, "evaluations"), 40);
        let after = scores(&run);
        assert!(after.len() == 40 && before.iter().all(|old| after.contains(old)), "nothing ran twice");
        best_is_the_best(&run);
    }
}

#[test]
fn a_cancelled_search_stops_and_goes_on() {
    let study = land("async-cancel", "dds-async", 2, 60).set("model.landscape.cost_s", 0.02);
    let run = study.init("run");
    let mut command = run.tool("ekp-launch").args([".", "-q", "--workers", "2"]).command();
    let mut launcher = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    crate::support::processes::wait_for("some trials", 60, || scores(&run).len() > 5);
    run.tool("ekp-cancel").args([".", "-q"]).env("PATH", crate::support::tools()).succeeds();
    assert_eq!(launcher.wait().unwrap().code(), Some(5));
    assert!(scores(&run).len() < 60 && !run.has("stop.toml"));
    run.launch(&["-q", "--workers", "2"]);
    assert_eq!(scores(&run).len(), 60);
    best_is_the_best(&run);
}

#[test]
fn two_objectives_leave_an_archive_that_nobody_beats() {
    for method in ["dds", "dds-async"] {
        let study = land("dds-two", method, 4, 240).set("model.landscape.function", "two");
        let near = "[x]\nprior = \"VectorOfParameterized([Normal(0.0, 1.0), Normal(0.0, 1.0)])\"\n\
                    constraint = \"repeat([bounded(-5.0, 5.0)], 2)\"\ntype = \"float\"\n";
        study.folder.write("priors.toml", near);
        let study = study.set("model.landscape.at", 0.0);
        let study_of_run = study.set("score.name", toml::Value::from(vec!["near", "far"]));
        let run = study_of_run.init("run");
        run.launch(&["-q", "--workers", "2"]);
        let stop = run.toml("stop.toml");
        let archive = stop["best"].as_array().unwrap();
        let goals = |best: &toml::Value| -> Vec<f64> {
            best["score"].as_array().unwrap().iter().map(|x| x.as_float().unwrap()).collect()
        };
        assert!(archive.len() > 5, "{}", archive.len());
        for a in archive {
            assert!(!archive.iter().any(|b| ekp::dds::dominates(&goals(b), &goals(a))));
        }
    }
}

#[test]
fn a_program_with_a_score_is_searched_and_one_without_is_named() {
    for method in ["dds", "dds-async"] {
        let study = Study::started("dds-program", method).set("algorithm.budget", 24);
        let run = study.init("run");
        run.launch(&["-q", "--workers", "2"]);
        assert_eq!(number(&run.toml("stop.toml"), "evaluations"), 24);
        run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("bit for bit");
    }
    let odd = Study::started("dds-odd", "dds").model("#!/bin/sh\necho 'kge = 1' > \"$2\"\n");
    let tried = tool("ekp-init", odd.folder.path()).args(["--try"]).env("TMPDIR", odd.folder.path());
    tried.fails(1).says("has no `model_output`");
}

#[test]
fn what_does_not_go_together_is_refused_at_its_line() {
    let check = |study: Study, says: &str| {
        tool("ekp-init", study.folder.path()).args(["--check"]).fails(2).says(says);
    };
    let land = || land("dds-bad", "dds", 4, 60);
    let table = |text: &str| toml::Value::Table(text.parse().unwrap());
    let list = |names: &[&str]| toml::Value::from(names.to_vec());
    check(land().set("score.name", list(&["a", "b"])), "score(s) of its own");
    check(land().set("score", table("name = 'kgee'")), "did you mean `kge`?");
    check(land().set("algorithm.iterations", 4), "`iterations` has no use here");
    check(land().set("algorithm.claim_size", 4), "`claim_size` has no use here");
    check(land().set("algorithm.integer", list(&["y"])), "there is no parameter `y`");
    check(land().set("algorithm.logarithmic", list(&["x[1]"])), "a logarithm needs one above 0");
    check(land().set("algorithm.start", table("'x[1]' = 700.0")), "is out of its bounds");
    check(land().set("algorithm.start", table("'x[1]' = 7.0")), "a start names all parameters");
    check(land().set("algorithm.selection", "crowding"), "`selection` does not fit the score");
    check(land().set("failures.quorum", 0.5), "`quorum` has no use here");
    let unbounded = land();
    let priors = "[x]\nprior = \"Parameterized(Normal(0.0, 1.0))\"\nconstraint = \"bounded_below(0.0)\"\n";
    unbounded.folder.write("priors.toml", priors);
    check(unbounded, "a search needs two bounds for each parameter");
    let few = land().members(4).set("algorithm.budget", 100);
    let ended = tool("ekp-init", few.folder.path()).args(["--check"]).succeeds();
    ended.says("below 30 for each");
}

#[test]
fn a_leased_trial_makes_few_names_and_one_in_a_block_hardly_any() {
    if !there() {
        return;
    }
    const MAKING: &str = "openat,open,mkdir,mkdirat,link,linkat,symlink,symlinkat";
    let made = |run: &TestRun| {
        let (ended, calls) = record(MAKING, "ekp-worker", &run.path, &["-q", "."]);
        ended.code(0);
        let root = run.path.display().to_string();
        calls.iter().filter(|c| c.makes() && (c.text.contains(&root) || !c.text.contains("\"/"))).count()
    };
    let study_of_single = land("async-names", "dds-async", 1, 100);
    let single = study_of_single.init("run");
    // The first trial also writes what this host is.
    single.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1"]).succeeds();
    let names = made(&single) as f64 / 99.0;
    // Its folder, two files in it, timing, and the outcome twice: under a hidden name and its own
    assert!(names <= 6.1, "{names} names per trial");
    let study_of_blocks = land("async-names", "dds-async", 1, 2000).set("algorithm.claim_size", 200);
    let blocks = study_of_blocks.init("run");
    blocks.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1"]).succeeds();
    let in_blocks = made(&blocks) as f64 / 1800.0;
    assert!(in_blocks <= 0.1, "{in_blocks} names per trial");
    eprintln!("names made per trial: leased {names:.2}, in blocks of 200 {in_blocks:.3}");
}

#[test]
fn a_worker_that_waits_makes_no_names() {
    if !there() {
        return;
    }
    // Given trials that are done but for one, which another worker holds for some seconds
    let study_of_run = land("async-idle", "dds-async", 2, 12);
    let run = study_of_run.init("run");
    run.tool("ekp-run-member").args(["-q", ".", "-i", "0", "-m", "1-11"]).succeeds();
    let held = run.path.join("trials_000/trial_000012/try_1");
    std::fs::create_dir_all(&held).unwrap();
    std::fs::write(held.join("claim.toml"), "").unwrap();
    // When a worker waits for what that one may leave behind, and then takes it over
    const MAKING: &str = "openat,open,mkdir,mkdirat,link,linkat,symlink,symlinkat";
    let (ended, calls) = record(MAKING, "ekp-worker", &run.path, &["-q", ".", "--lease", "4"]);
    ended.code(0);
    assert_eq!(scores(&run).len(), 12);
    // Then all it made is that trial's names, and a reading of the file server's clock every half minute
    let root = run.path.display().to_string();
    let here = |c: &&crate::support::strace::Call| c.text.contains(&root) || !c.text.contains("\"/");
    let (clock, made): (Vec<_>, Vec<_>) =
        calls.iter().filter(|c| c.makes()).filter(here).partition(|c| c.text.contains(".clock."));
    assert!(made.len() <= 8 + 2, "{} names: {made:?}", made.len());
    assert!(clock.len() <= 4, "{} readings of the clock", clock.len());
    // And it looked seldom: pauses grow from a tenth of a second to five
    let looks = calls.iter().filter(|c| c.text.contains("trials_000\"") && c.text.contains("O_DIRECTORY"));
    assert!(looks.count() <= 40, "it looks all the time");
}
