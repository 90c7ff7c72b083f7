//! Run folders with awkward names, in new places, and submissions from the wrong one.

use super::bed::Bed;
use super::{external, model, records, reference};
use crate::support::{TestRun, same_science};

#[test]
fn a_folder_with_blanks_and_quotes_in_its_path_may_be_moved_between_two_launches() {
    let Some(bed) = Bed::shared() else { return };
    // Given a run in an awkward place, cancelled in the middle
    let study = external("moved", "[ -z \"$SLURM_JOB_ID\" ] || sleep 1");
    let first = study.init("it's \"here\" $HOME");
    bed.submit(&first);
    bed.wait(&first, "the first iteration to end", 90, || first.has("iteration_001"));
    bed.tool(&first, "ekp-cancel").succeeds();
    // When it is moved and submitted again
    let run = TestRun { path: study.folder.path().join("now  there; #2") };
    std::fs::rename(&first.path, &run.path).unwrap();
    bed.submit(&run);
    bed.finished(&run);
    // Then it went on where it stood
    assert_eq!(records(&run)[1]["iteration"].as_integer(), Some(1));
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}

#[test]
fn a_submission_from_the_wrong_folder_says_so_where_people_look() {
    let Some(bed) = Bed::shared() else { return };
    let study = external("wrong", "");
    let run = study.init("run");
    let above = TestRun { path: study.folder.path().to_owned() };
    let job = bed.sbatch(&above, &["run/ekp_calibration.sbatch"]);
    bed.drained(&above);
    let log = format!("slurm-{job}.out");
    bed.wait(&above, &log, 30, || above.has(&log));
    assert!(above.read(&log).contains("cd into it first"), "{}", above.read(&log));
    assert!(!run.has("jobs/0001.toml"));
}
