//! Limits of a cluster: short arrays, short memory, many small members.

use super::bed::Bed;
use super::{records, reference, site, starts};
use crate::support::{Study, same_science};

#[test]
fn short_arrays_and_a_forgetful_controller_are_no_obstacle() {
    let options = ["--set", "MaxArraySize=11", "--set", "MinJobAge=2"];
    let Some(bed) = Bed::own("limits", &options) else { return };
    // Given 35 members where an array may have ten, as ekp-init finds out
    let study = Study::sinusoid("short").members(35).iterations(2);
    let up_front = bed.init(&study, "up_front").says("`max_array_size = 11` in site.toml").run();
    site(&study, "[slurm]\nchain = \"rolling\"\n");
    let rolling = bed.init(&study, "rolling").run();
    // And an sbatch so slow that the first job is forgotten before the second names it
    let slow = study.folder.script("slow/sbatch", SLOW);
    bed.submit(&rolling);
    // The scripts put the tools in front of PATH, and sbatch is none of them.
    let path = format!("{}:{}", slow.parent().unwrap().display(), std::env::var("PATH").unwrap());
    bed.program(&up_front, "bash").args(["ekp_calibration.sbatch"]).env("PATH", path).succeeds();
    std::fs::remove_dir(up_front.path.join("forgotten")).expect("the first job was forgotten");
    // Then each member runs once, in arrays with offsets
    let expected = reference(&study);
    for run in [&up_front, &rolling] {
        bed.finished(run);
        assert_eq!(starts(run, "iteration_000/30+5.out"), 1, "{}", bed.story(run));
        same_science(&expected, run);
    }
    assert_eq!(records(&up_front)[0]["jobs"]["it001.members"].as_array().unwrap().len(), 4);
}

/// An `sbatch` that waits until the controller has forgotten the job to be waited for, once.
const SLOW: &str = r#"#!/bin/bash
for word; do [[ $word = --dependency=afterok:* ]] && id=${word##*:}; done
if [ -n "$id" ] && mkdir forgotten 2>/dev/null; then
  while squeue -j "$id" >/dev/null 2>&1; do sleep 0.5; done
fi
exec "$(type -ap sbatch | grep -v /slow/ | head -n 1)" "$@"
"#;

#[test]
fn a_run_with_more_jobs_than_the_queue_holds_is_made_rolling() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("many").members(100).iterations(60);
    let run = bed.init(&study, "run").says("6060 jobs at once are too many").run();
    assert_eq!(run.toml("site.toml")["slurm"]["chain"].as_str(), Some("rolling"));
    assert!(run.read("ekp_update.sbatch").contains("ekp-launch . --on slurm --next"));
}

#[test]
fn a_thousand_empty_members_are_few_elements_of_one_array() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("thousand").members(1000).iterations(1);
    let run = study.init("run");
    bed.submit(&run);
    bed.finished(&run);
    assert_eq!(records(&run)[0]["jobs"]["it000.members"].as_array().unwrap().len(), 1);
    let logs = std::fs::read_dir(run.path.join("logs/iteration_000")).unwrap().count();
    assert!((2..=41).contains(&logs), "{logs} logs, the update's among them");
    same_science(&reference(&study), &run);
}
