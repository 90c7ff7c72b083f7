//! A search without a coordinator as an array of workers: elements that end early, are lost, or run again.

use super::bed::Bed;
use super::{records, site, starts};
use crate::dds::{best_is_the_best, land, scores};
use crate::support::{Study, TestRun};

fn study(name: &str, budget: i64) -> Study {
    land(name, "dds-async", 4, budget).set("model.landscape.cost_s", 0.15)
}

fn complete(bed: &Bed, run: &TestRun, budget: usize) {
    assert_eq!(scores(run).len(), budget, "{}", bed.story(run));
    assert_eq!(run.toml("stop.toml")["failed"].as_integer(), Some(0), "{}", bed.story(run));
    best_is_the_best(run);
}

/// The number of the array job of the workers.
fn array(bed: &Bed, run: &TestRun) -> String {
    let line = bed.seen(run, &["it000.members", "RUNNING"]);
    line.split(['_', ' ']).next().unwrap().to_owned()
}

#[test]
fn workers_that_are_told_to_end_leave_the_rest_to_a_new_chain() {
    let Some(bed) = Bed::shared() else { return };
    let study = study("workers-drain", 120);
    let run = study.init("run");
    bed.submit(&run);
    let job = array(bed, &run);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 8);
    // When Slurm says that the wall time ends
    bed.program(&run, "scancel").args(["--batch", "--signal=USR1", &job]).succeeds();
    bed.finished(&run);
    // Then each finished what it ran, and a second chain did the rest
    let records = records(&run);
    assert!(records.len() >= 2, "{}", bed.story(&run));
    assert_eq!(records[1]["step"].as_str(), Some("members"));
    assert!((1..=4).map(|e| starts(&run, &format!("iteration_000/{e}.out"))).sum::<usize>() > 4);
    complete(bed, &run, 120);
}

#[test]
fn a_worker_that_is_lost_and_one_that_is_requeued_cost_no_trial() {
    let Some(bed) = Bed::shared() else { return };
    let study = study("workers-lost", 120);
    site(&study, "[slurm]\narray_limit = 3\n");
    let run = study.init("run");
    bed.submit(&run);
    let job = array(bed, &run);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 8);
    bed.program(&run, "scancel").args([&format!("{job}_1")]).succeeds();
    bed.program(&run, "scontrol").args(["requeue", &format!("{job}_2")]).run();
    bed.finished(&run);
    complete(bed, &run, 120);
}
