//! Members that Slurm itself ends: over their wall time, over their memory. They come back with more.

use super::bed::Bed;
use super::{external, model, records, reference, site};
use crate::support::{Study, TestRun, same_science};

/// The first attempt of member 3 does `this` and would go on for minutes.
fn once(name: &str, this: &str) -> Study {
    let prefix = format!(
        "once=\"$EKP_RUN.once\"; [ $EKP_ITERATION$EKP_MEMBER = 03 ] && mkdir \"$once\" 2>/dev/null && {this}"
    );
    external(name, &prefix).members(4).iterations(1)
}

/// The options of the arrays of the last submission.
fn second_submission(bed: &Bed, run: &TestRun) -> toml::Table {
    let mut records = records(run);
    assert_eq!(records.len(), 2, "{}", bed.story(run));
    assert_eq!(records[1]["elements"].as_str(), Some("3"));
    records.remove(1)
}

#[test]
fn a_member_over_its_wall_time_comes_back_with_more() {
    let Some(bed) = Bed::shared() else { return };
    // Given a member that takes long the first time, and five minutes for each
    let study = once("wall", "sleep 300");
    site(&study, "[slurm]\ntime = \"5:00\"\n");
    let run = study.init("run");
    bed.submit(&run);
    bed.wait(&run, "the slow member", 60, || run.path.with_extension("once").exists());
    let job = bed.seen(&run, &["it000.members", "_3 RUNNING"]);
    // When its time is over (Slurm looks every half minute)
    let id = format!("jobid={}", job.split(' ').next().unwrap());
    bed.program(&run, "scontrol").args(["update", &id, "EndTime=now+1seconds"]).succeeds();
    bed.finished(&run);
    // Then Slurm has said so in its log, and the next attempt got more
    assert!(run.read("logs/iteration_000/3.out").contains("DUE TO TIME LIMIT"), "{}", bed.story(&run));
    let options = second_submission(bed, &run)["options"].to_string();
    assert!(options.contains("--time="), "{options}");
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}

#[test]
fn a_member_over_its_memory_comes_back_with_more() {
    let settings = ["--set", "JobAcctGatherFrequency=task=1", "--set", "JobAcctGatherParams=OverMemoryKill"];
    let Some(bed) = Bed::own("memory", &settings) else { return };
    // Given a member that fills 200 MB the first time, and 60 for each
    let study = once("memory", "x=$(head -c 200000000 /dev/zero | tr '\\0' a) && sleep 60");
    site(&study, "[slurm]\nmem = \"60M\"\n");
    let run = study.init("run");
    bed.submit(&run);
    bed.finished(&run);
    let options = second_submission(&bed, &run)["options"].to_string();
    assert!(options.contains("--mem="), "{options}");
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}
