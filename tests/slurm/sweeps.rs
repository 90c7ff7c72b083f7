//! A sweep as jobs: one for each case, one after the other.

use super::bed::Bed;
use crate::support::{Study, TestRun, tool};

#[test]
fn the_cases_of_a_sweep_run_as_jobs_one_after_the_other_and_end_in_tables() {
    let Some(bed) = Bed::shared() else { return };
    // Given two cases: a pool of workers in one job, and ranks on two nodes
    let study = Study::sinusoid("sweep_slurm").members(6).iterations(2);
    study.folder.write(
        "sweep.toml",
        "schema = \"ekp.sweep\"\nversion = 1\nname = \"ways\"\nexperiment = \"experiment.toml\"\n\
         [[case]]\nname = \"pool\"\nset = { \"launch.workers\" = 2 }\n\
         [[case]]\nname = \"chain\"\nset = { \"launch.on\" = \"slurm\" }\n",
    );
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let sweep = TestRun { path: study.folder.path().join("study") };
    // When all are submitted
    bed.program(&sweep, "bash").args(["submit_all.sbatch"]).succeeds().says("queued: 2 cases");
    bed.wait(&sweep, "the tables", 120, || sweep.has("results/scaling_metrics.csv"));
    // Then both are over, the second began after the first had ended, and a second submission has nothing to do
    assert!(sweep.has("pool/stop.toml") && sweep.has("chain/stop.toml"), "{}", bed.story(&sweep));
    let at = |file: &str, key: &str| sweep.toml(file)[key].as_str().unwrap().to_owned();
    let (end, begin) = (
        at("pool/iteration_001/timing.toml", "end"),
        at("chain/iteration_000/member_001/timing.toml", "start"),
    );
    assert!(end < begin, "{end} {begin}");
    bed.program(&sweep, "bash").args(["submit_all.sbatch"]).succeeds().says("queued: 0 cases");
    // What the scheduler keeps of the jobs is there, or it is said that it keeps nothing
    let told = bed.tool(&sweep, "ekp-collect-timings").succeeds().err();
    assert!(sweep.has("results/accounting.csv") || told.contains("no `accounting.csv`: "), "{told}");
    bed.drained(&sweep);
}
