//! Every kind of chain gives the bytes of a run in one process.

use super::bed::Bed;
use super::{records, reference, site, starts};
use crate::support::{Study, same_science};

#[test]
fn up_front_classic_and_rolling_chains_give_the_bytes_of_one_process() {
    let Some(bed) = Bed::shared() else { return };
    // Given one experiment, run in one process
    let study = Study::sinusoid("chains").members(6).iterations(3);
    let expected = reference(&study);
    // When it is also run by each kind of chain, side by side
    let kinds = [
        ("up_front", "[slurm]\nchain = \"up-front\"\n"),
        ("classic", "[slurm]\ndependency = \"afterok\"\n"),
        ("rolling", "[slurm]\nchain = \"rolling\"\n"),
        ("packed", "[slurm]\nmembers_per_task = 4\narray_limit = 1\n"),
    ];
    let runs = kinds.map(|(name, text)| {
        site(&study, text);
        let run = study.init(name);
        bed.submit(&run);
        run
    });
    // Then all have the same bytes, and every member ran once
    for run in &runs {
        bed.finished(run);
        same_science(&expected, run);
    }
    assert_eq!(starts(&runs[0], "iteration_002/6.out"), 1);
    let [up_front, _, rolling, packed] = &runs;
    assert_eq!(records(up_front).len(), 1);
    // rolling: one submission per iteration, and one for the tables of times
    assert_eq!(records(rolling).len(), 4, "{}", bed.story(rolling));
    assert!(packed.has("logs/iteration_000/2.out") && !packed.has("logs/iteration_000/3.out"));
}

#[test]
fn ekp_launch_shows_the_jobs_submits_them_and_tells_the_result() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("launched").members(4).iterations(1);
    let run = study.init("run");
    // When it is asked what it would do
    let plan = bed.tool(&run, "ekp-launch").args([".", "--on", "slurm", "--dry-run"]).succeeds().out();
    // Then it shows every job with what it waits for, and submits none
    for line in ["init", "it000.members [1-4]", "afterok:1,afterany:2", "afterany:3"] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    assert!(bed.jobs(&run).is_empty() && !run.has("jobs/0001.toml"));
    // And when it is told to, it stays until the end
    let ended = bed.tool(&run, "ekp-launch").args([".", "--on", "slurm"]).succeeds();
    ended.prints("amplitude").says("iteration   0");
    same_science(&reference(&study), &run);
}

#[test]
fn after_an_early_stop_the_queue_is_empty_within_seconds() {
    let Some(bed) = Bed::shared() else { return };
    // Given a run that may have many more iterations than its data allow
    let study = Study::sinusoid("early").members(6).iterations(60);
    let run = study.init("run");
    // When it stops by itself
    bed.submit(&run);
    bed.wait(&run, "stop.toml", 120, || run.has("stop.toml"));
    // Then what waited is gone soon, without running
    bed.wait(&run, "an empty queue", 15, || bed.jobs(&run).is_empty());
    assert_ne!(run.toml("stop.toml")["reason"].as_str(), Some("iterations"));
    assert!(!run.has("logs/iteration_059/1.out"));
}
