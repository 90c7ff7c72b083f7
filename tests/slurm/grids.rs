//! Grids on Slurm: an array for each block, element after element; what fails, is lost, is done already.

use super::bed::Bed;
use super::{records, starts};
use crate::grid::{made, rows, small};
use crate::support::same_science;

#[test]
fn a_grid_is_one_array_a_label_that_waits_element_by_element_and_gives_the_same_bytes() {
    let Some(bed) = Bed::shared() else { return };
    // Given three targets by two samplers, and one target that takes its time
    let folder = small("slurm-grid", "[ \"$1\" != c ] || sleep 6", "");
    let expected = made(&folder, "expected");
    expected.launch(&["-q"]);
    let run = made(&folder, "run");
    // When it is submitted
    bed.submit(&run);
    bed.wait(&run, "the submission's record", 60, || {
        records(&run).first().is_some_and(|record| record["complete"].as_bool() == Some(true))
    });
    // Then it was five calls of sbatch: one build array, one array a label, the merge, the tables of times
    let jobs = records(&run)[0]["jobs"].as_table().unwrap().clone();
    let names: Vec<&String> = jobs.keys().collect();
    assert_eq!(names, ["build", "collect", "merge", "sample.long", "sample.short"]);
    let number = |name: &str| jobs[name].as_array().unwrap()[0].to_string();
    let depends = |name: &str| {
        let said = bed.program(&run, "scontrol").args(["show", "job", "-o", &number(name)]).run().out();
        said.split_whitespace()
            .filter(|w| w.starts_with("Dependency="))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let sample = depends("sample.long");
    assert!(sample.iter().any(|d| d.contains("aftercorr:")), "{sample:?}");
    assert!(depends("merge").iter().all(|d| d.matches("afterany:").count() >= 1));
    // And a sampler ends before the slow target is built: it waited for its own alone
    bed.wait(&run, "a sampler", 60, || {
        walkdir::WalkDir::new(run.path.join("stage_2_sample"))
            .into_iter()
            .flatten()
            .any(|e| e.file_name() == "data.toml")
    });
    let built = walkdir::WalkDir::new(run.path.join("stage_1_build")).into_iter().flatten();
    assert_eq!(built.filter(|e| e.file_name() == "data.toml").count(), 2, "{}", bed.story(&run));
    bed.finished(&run);
    same_science(&expected, &run);
    assert!(rows(&run).iter().all(|row| row["state"] == "ok" && !row["job"].is_empty()));
    assert_eq!(starts(&run, "sample/b2_3.out"), 1);
    assert!(run.has("results/timing_raw.csv"));
    // Submitted again, nothing is submitted
    bed.program(&run, "bash").args(["ekp_calibration.sbatch"]).succeeds().says("nothing to submit");
    assert_eq!(records(&run).len(), 1);
}

#[test]
fn a_target_that_fails_costs_only_its_own_cells_and_only_they_are_submitted_again() {
    let Some(bed) = Bed::shared() else { return };
    let folder = small(
        "slurm-grid-fails",
        "[ \"$1\" != b ] || [ -e ../../../../mended ] || { echo no way >&2; exit 3; }",
        "",
    );
    folder.write("site.toml", "[slurm]\nmembers_per_task = 2\n");
    let run = made(&folder, "run");
    bed.submit(&run);
    bed.wait(&run, "the table", 90, || run.has("results/small_runs.csv"));
    bed.drained(&run);
    let all = rows(&run);
    assert_eq!(all.len(), 9);
    assert_eq!(all.iter().filter(|row| row["state"] == "ok").count(), 6, "{}", bed.story(&run));
    assert_eq!(all.iter().filter(|row| row["state"] == "upstream").count(), 2);
    assert!(!run.has("stop.toml"));
    // When it is mended and submitted again, only the elements that lack data are in the queue
    folder.write("mended", "");
    bed.program(&run, "bash")
        .args(["ekp_calibration.sbatch"])
        .succeeds()
        .says("3 cells without data get another try");
    bed.finished(&run);
    assert!(rows(&run).iter().all(|row| row["state"] == "ok"));
    assert_eq!((starts(&run, "build/b1_1.out"), starts(&run, "build/b1_2.out")), (2, 1));
    assert_eq!((starts(&run, "sample/b1_1.out"), starts(&run, "sample/b1_2.out")), (2, 1));
}

#[test]
fn cells_that_vanish_with_their_jobs_run_again_by_themselves() {
    let Some(bed) = Bed::shared() else { return };
    // Given a target whose first job dies without a word
    let die = "[ \"$1\" != a ] || [ -e ../../../../died ] || { touch ../../../../died; kill -KILL $PPID; sleep 5; }";
    let folder = small("slurm-grid-lost", die, "");
    let run = made(&folder, "run");
    bed.submit(&run);
    bed.finished(&run);
    // Then its cells and no others ran again, in a chain that the merge began
    let records = records(&run);
    assert_eq!(records.len(), 2, "{}", bed.story(&run));
    assert_eq!(records[1]["rerun"].as_bool(), Some(true));
    assert!(rows(&run).iter().all(|row| row["state"] == "ok"));
    assert_eq!((starts(&run, "build/b1_1.out"), starts(&run, "build/b1_2.out")), (2, 1));
}
