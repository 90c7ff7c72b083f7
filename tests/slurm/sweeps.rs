//! A sweep as jobs: one for each case, one after the other.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bed::Bed;
use crate::study::small;
use crate::support::{Folder, Study, TestRun, tool};

/// One of these tests at a time: where a job waits for jobs that it submitted, and one between them in the queue for
/// all nodes of the bed, none of the three would begin or end.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_cases_of_a_sweep_run_as_jobs_one_after_the_other_and_end_in_tables() {
    let Some(bed) = Bed::shared() else { return };
    let _alone = alone();
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

/// Workers and nodes as four nodes of four cores have them; false where a case has more nodes.
fn fit(settings: &mut toml::Table) -> bool {
    let number = |key: &str| settings.get(key).and_then(toml::Value::as_integer);
    let (workers, nodes) = (number("launch.workers"), number("launch.nodes").unwrap_or(1));
    if let Some(workers) = workers {
        settings.insert("launch.workers".into(), workers.min(4 * nodes).into());
    }
    nodes <= 4
}

#[test]
fn pools_ranks_and_searches_of_the_study_run_as_jobs_of_a_cluster() {
    let Some(bed) = Bed::shared() else { return };
    let _alone = alone();
    // Given the first three parts as `--platform hpc` has them, no larger than the bed
    let folder = Folder::new("study_slurm");
    small(&folder, |name, sweep| {
        if !["1_strong", "2_", "3_"].iter().any(|part| name.starts_with(part)) {
            return false;
        }
        let hpc = sweep["platform"]["hpc"].as_table_mut().unwrap();
        hpc.remove("set");
        if let Some(axis) = hpc.get_mut("axis") {
            axis["workers"] = vec![4].into();
        }
        for axis in sweep.get_mut("axis").and_then(toml::Value::as_array_mut).into_iter().flatten() {
            match axis["name"].as_str().unwrap() {
                "workers" => axis["values"] = vec![4].into(),
                "sd" => axis["values"] = vec![0.25].into(),
                _ => {}
            }
        }
        let cases = sweep.get_mut("case").and_then(toml::Value::as_array_mut);
        for cases in cases.into_iter() {
            cases.retain_mut(|case| {
                let hpc = case.get_mut("on").and_then(|on| on.get_mut("hpc"));
                hpc.and_then(toml::Value::as_table_mut).is_none_or(fit)
                    && fit(case["set"].as_table_mut().unwrap())
                    && !case["name"].as_str().unwrap().contains("mpi_padded")
            });
        }
        true
    });
    tool("ekp-sweep", folder.path()).args([".", "study", "--platform", "hpc"]).succeeds();
    let study = TestRun { path: folder.path().join("study") };
    let listed = study.read("sweep.tsv");
    for case in
        ["strong_processpool_np4\t", "strong_mpi_np64\t", "async_dds_pool20_batch16\t", "stragglers_sync_np4"]
    {
        assert!(listed.contains(case), "{listed}");
    }
    // When they are submitted as one
    bed.sbatch(&study, &["submit_all.sbatch"]);
    bed.wait(&study, "the tables", 300, || study.has("results/scaling_metrics.csv"));
    bed.drained(&study);
    // Then every case is over, nothing of it is missing, and ranks were on as many nodes as were asked for
    let table = study.read("results/scaling_metrics.csv");
    let rows: Vec<BTreeMap<String, String>> =
        csv::Reader::from_reader(table.as_bytes()).deserialize().map(|row| row.unwrap()).collect();
    assert_eq!(rows.len(), listed.lines().count() - 1, "{table}");
    for row in &rows {
        let case = &row["variant"];
        let ended = (row["n_runs"].as_str(), row["failed_runs"].as_str(), row["evals_failed"].as_str());
        assert_eq!(ended, ("1", "0", "0"), "{case}\n{}", bed.story(&study));
        for column in ["wall_median_s", "model_s", "evals_per_s", "utilisation", "best_score", "core_hours"] {
            assert!(row[column].parse::<f64>().is_ok(), "{case}: {column} is `{}`", row[column]);
        }
        let evaluations: u64 = row["evals_ok"].parse().unwrap();
        assert!(evaluations >= 24, "{case}: {evaluations}");
    }
    bed.program(&study, "bash").args(["submit_all.sbatch"]).succeeds().says("queued: 0 cases");
}
