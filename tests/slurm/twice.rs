//! Submitting twice, cancelling, going on; what the caller's environment may not do.

use super::bed::Bed;
use super::{external, model, records, reference, starts};
use crate::support::{Study, same_science};

#[test]
fn two_submissions_at_once_make_one_chain() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("twice").members(4).iterations(2);
    let run = study.init("run");
    // When several are started together, by bash and by sbatch, and a few while the first is ending: one
    // that had just completed its record was once taken for dead, and its jobs were called back
    let start = || bed.program(&run, "bash").args(["ekp_calibration.sbatch"]).command().spawn().unwrap();
    let mut scripts: Vec<_> = (0..3).map(|_| start()).collect();
    bed.submit(&run);
    for _ in 0..5 {
        std::thread::sleep(std::time::Duration::from_millis(40));
        scripts.push(start());
    }
    assert!(scripts.iter_mut().all(|script| script.wait().unwrap().success()));
    bed.finished(&run);
    // Then one of them submitted, and every element was started once
    assert_eq!(records(&run).len(), 1, "{}", bed.story(&run));
    assert_eq!(starts(&run, "iteration_000/1.out"), 1);
    assert_eq!(starts(&run, "iteration_001/4.out"), 1);
    // And submitting again when it is over does nothing
    let before = run.science();
    bed.program(&run, "bash").args(["ekp_calibration.sbatch"]).succeeds().says("the run is over");
    assert_eq!(run.science(), before);
    same_science(&reference(&study), &run);
}

#[test]
fn a_cancelled_run_leaves_an_empty_queue_and_goes_on_when_submitted_again() {
    let Some(bed) = Bed::shared() else { return };
    let study = external("cancel", "[ -z \"$SLURM_JOB_ID\" ] || sleep 1");
    let run = study.init("run");
    let other = study.init("other");
    bed.submit(&run);
    bed.seen(&run, &["it000.members", "RUNNING"]);
    bed.submit(&other);
    bed.seen(&other, &[".collect"]);
    // When it is cancelled in the middle
    bed.tool(&run, "ekp-cancel").succeeds().says("cancelled");
    // Then nothing of it is left, and another run of the same experiment is not touched
    assert!(bed.jobs(&run).is_empty(), "{}", bed.story(&run));
    assert!(run.has("cancel.toml") && !bed.jobs(&other).is_empty());
    bed.tool(&run, "ekp-run-member").args([".", "-i", "0", "-m", "1"]).fails(5);
    // And when it is submitted again, it goes on
    bed.submit(&run);
    bed.finished(&run);
    assert!(!run.has("cancel.toml"));
    study.folder.script("model.sh", &model(""));
    let expected = reference(&study);
    same_science(&expected, &run);
    bed.finished(&other);
    same_science(&expected, &other);
}

#[test]
fn a_dirty_environment_of_the_caller_changes_nothing() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("dirty").members(4).iterations(2);
    let run = study.init("run");
    let by_bash = study.init("by_bash");
    let dirt = [
        ("SBATCH_ARRAY_INX", "1-3"),
        ("SBATCH_ARRAY", "2-3"),
        ("SBATCH_DEPENDENCY", "afterok:99999"),
        ("SLURM_ARRAY_TASK_ID", "2"),
        ("SLURM_ARRAY_JOB_ID", "77"),
        ("SLURM_EXPORT_ENV", "NONE"),
        ("SBATCH_EXPORT", "NONE"),
        ("SBATCH_TIMELIMIT", "5"),
        ("SQUEUE_FORMAT", "%i"),
        ("SQUEUE_STATES", "completed"),
    ];
    for (run, program, args) in [
        (&run, "sbatch", vec!["--parsable", "ekp_calibration.sbatch"]),
        (&by_bash, "bash", vec!["ekp_calibration.sbatch"]),
    ] {
        let dirty = bed.program(run, program).args(args);
        // Of these the job that submits would never start: they are for the script run by bash.
        let fatal = |name: &str| program == "sbatch" && name == "SBATCH_DEPENDENCY";
        let dirty = dirt
            .iter()
            .filter(|(name, _)| !fatal(name))
            .fold(dirty, |call, (name, value)| call.env(name, value));
        dirty.succeeds();
    }
    let expected = reference(&study);
    for run in [&run, &by_bash] {
        bed.finished(run);
        assert_eq!(records(run).len(), 1);
        assert_eq!(starts(run, "iteration_000/2.out"), 1);
        same_science(&expected, run);
    }
}

#[test]
fn members_that_ran_out_of_time_or_memory_get_more_of_it() {
    let Some(bed) = Bed::shared() else { return };
    // Given a first iteration whose members 2 and 5 were cut off, as their logs tell
    let study = Study::sinusoid("more").members(6).iterations(1);
    super::site(&study, "[slurm.member]\ntime = 30\nmem = \"1G\"\n[slurm.retry]\ntime_factor = 1.5\n");
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "1,3-4,6"]).succeeds();
    let log = |element: u32, why: &str| {
        let text = format!("iteration 0 element {element} on n1, job 1\nslurmstepd: error: {why}\n");
        let path = run.path.join(format!("logs/iteration_000/{element}.out"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    log(2, "*** JOB 1 ON n1 CANCELLED AT 2026-11-20T11:00:00 DUE TO TIME LIMIT ***");
    log(5, "Detected 1 oom-kill event(s) in StepId=1.batch.");
    // When a chain begins
    let begun = bed.tool(&run, "ekp-launch").args([".", "--begin"]).succeeds().out();
    // Then the two that lack an outcome are submitted, with more of both
    assert!(begun.starts_with("0001 members 0 2,5 ekp:"), "{begun}");
    assert!(begun.trim_end().ends_with(" --time=00:45:00 --mem=1536M"), "{begun}");
    // And a submission that was begun and given up does not stand in the way of the next
    let again = bed.tool(&run, "ekp-launch").args([".", "--begin"]).succeeds().out();
    assert!(again.starts_with("0002 members 0 2,5 "), "{again}");
}
