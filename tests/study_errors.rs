//! Ways in which a study of scaling says what is not so, each with a test that ours does not.
//!
//! One search, a landscape whose runs take their time without a core, in small sweeps carried out by make; and the
//! list of cases of `examples/scaling`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::dds::land;
use crate::support::{Study, TestRun, program, tool};

type Row = BTreeMap<String, String>;

fn rows(text: &str) -> Vec<Row> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

fn number(row: &Row, key: &str) -> f64 {
    row[key].parse().unwrap_or_else(|_| panic!("{key} = `{}`", row[key]))
}

/// A sweep over a search of `budget` runs of `cost_s` each; `cases` follow the head.
fn sweep(name: &str, budget: i64, cost_s: f64, cases: &str) -> (Study, TestRun) {
    let study = land(name, "dds", 4, budget).set("model.landscape.cost_s", cost_s);
    let head = "schema = \"ekp.sweep\"\nversion = 1\nname = \"part\"\nexperiment = \"experiment.toml\"\n";
    study.folder.write("sweep.toml", &format!("{head}{cases}"));
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let made = TestRun { path: study.folder.path().join("study") };
    (study, made)
}

/// All of it run; the rows of its cases by name.
fn carried_out(sweep: &TestRun) -> BTreeMap<String, Row> {
    program("make", &sweep.path).args(["-s", "-k", "-j2"]).run();
    sweep.tool("ekp-collect-timings").succeeds();
    let table = rows(&sweep.read("results/scaling_metrics.csv"));
    table.into_iter().map(|row| (row["variant"].clone(), row)).collect()
}

const WAYS: &str = "[[case]]\nname = \"serial\"\nset = { \"algorithm.method\" = \"dds-async\", \"algorithm.members\" = 1, \"launch.workers\" = 1 }\n\
    [[case]]\nname = \"generations\"\nset = { \"launch.workers\" = 4 }\n\
    [[case]]\nname = \"nobody_waits\"\nset = { \"algorithm.method\" = \"dds-async\", \"launch.workers\" = 4 }\n\
    [[case]]\nname = \"from_a_pool\"\nset = { \"algorithm.method\" = \"dds-async\", \"algorithm.selection\" = \"pool\", \"algorithm.pool_size\" = 3, \"algorithm.claim_size\" = 2, \"launch.workers\" = 4 }\n";

#[test]
fn error_1_and_2_workers_work_and_every_form_has_the_same_evaluations() {
    let (_study, sweep) = sweep("error_1_2", 32, 0.05, WAYS);
    let cases = carried_out(&sweep);
    // Evaluations of a case do not grow with its workers, its pool, or what a worker is handed at a time
    for (name, row) in &cases {
        assert_eq!((number(row, "budget"), number(row, "evals_ok")), (32.0, 32.0), "{name}");
    }
    // Workers are no ornament: some of them ran at the same time, those of the serial control never
    let raw = rows(&sweep.read("results/timing_raw.csv"));
    let at_once = |case: &str| {
        let own = raw.iter().filter(|row| row["experiment"] == case && row["kind"] != "update");
        own.map(|row| number(row, "num_processes")).fold(0.0, f64::max)
    };
    assert_eq!(at_once("serial"), 1.0);
    for case in ["generations", "nobody_waits", "from_a_pool"] {
        assert!(at_once(case) > 1.0, "{case}");
    }
    // And none of the searches ran at equal evaluations only: the time to the same score is there, too
    let target = &cases["serial"]["target_score"];
    assert!(!target.is_empty() && cases.values().all(|row| &row["target_score"] == target));
}

#[test]
fn error_3_the_number_of_workers_is_what_was_launched_whatever_the_case_is_called() {
    let (_study, sweep) = sweep(
        "error_3",
        12,
        0.0,
        "[[case]]\nname = \"async_dds_pool5_batch4\"\nset = { \"algorithm.method\" = \"dds-async\", \"launch.workers\" = 3 }\n\
         [[case]]\nname = \"called_np64\"\nset = { \"launch.workers\" = 2 }\n",
    );
    let cases = carried_out(&sweep);
    assert_eq!(number(&cases["async_dds_pool5_batch4"], "workers"), 3.0);
    assert_eq!(number(&cases["called_np64"], "workers"), 2.0);
}

#[test]
fn error_4_jobs_say_what_they_need_before_their_first_command_and_share_no_table() {
    let (study, sweep) = sweep("error_4", 8, 0.0, WAYS);
    study.folder.write(
        "site.toml",
        "[slurm]\npartition = \"cpu\"\n[slurm.member]\ncpus_per_task = 4\nmem = \"2G\"\n",
    );
    let run = study.init("run");
    let mut scripts = 0;
    for folder in [&sweep.path, &run.path] {
        for entry in fs::read_dir(folder)
            .unwrap()
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|x| x == "sbatch"))
        {
            let text = fs::read_to_string(entry.path()).unwrap();
            let first =
                text.lines().position(|line| !line.starts_with('#') && !line.trim().is_empty()).unwrap();
            for (k, line) in text.lines().enumerate().filter(|(_, line)| line.starts_with("#SBATCH")) {
                assert!(k < first && !line.contains('$'), "{}: {line}", entry.path().display());
            }
            // What elements of an array and cases of a sweep run: nothing that two of them could write into at once
            let name = entry.file_name().into_string().unwrap();
            assert!(
                !name.contains("_run_member") && name != "run_case.sbatch" || !text.contains(">>"),
                "{name}"
            );
            scripts += 1;
        }
    }
    assert!(scripts > 6, "{scripts}");
    let member = run.read("ekp_run_member.sbatch");
    assert!(
        member.contains("#SBATCH --cpus-per-task=4\n") && member.contains("#SBATCH --mem=2G\n"),
        "{member}"
    );
    // Each case of a sweep asks for its own workers, in words of the submission itself
    let submit = sweep.read("submit_all.sbatch");
    assert!(submit.contains("submit serial \"\" local 1 1 --nodes=1"), "{submit}");
    assert!(submit.contains("local 4 1 --nodes=1"), "{submit}");
    // Every member has a file of its own; tables are made of them afterwards
    run.launch(&["-q", "--workers", "2"]);
    let own = run
        .snapshot()
        .keys()
        .filter(|name| name.contains("member_") && name.ends_with("/timing.toml"))
        .count();
    assert_eq!(own, 8);
    assert!(!run.has("results/timing_raw.csv"));
}

#[test]
fn error_5_modes_are_what_they_are_called_and_a_failure_is_no_success() {
    // The study's own modes: four workers one case after the other; one each, all at once; eight each, all at once
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scaling");
    let folder = crate::support::Folder::new("error_5_modes");
    let told = tool("ekp-sweep", folder.path())
        .args([examples.as_os_str()])
        .args(["x", "--dry-run", "--platform", "hpc", "--part", "6"])
        .succeeds()
        .out();
    let workers = |mode: &str| -> Vec<String> {
        let own = told.lines().filter(|line| line.starts_with(&format!("ensemble_{mode}_")));
        own.map(|line| line.split('\t').nth(3).unwrap().to_owned()).collect()
    };
    for (mode, wanted) in [("sequential", "4 workers"), ("parallel", "1 worker"), ("hybrid", "8 workers")] {
        assert_eq!(workers(mode), vec![wanted; 4], "{mode}:\n{told}");
    }
    // One after the other, and at once, in what carries them out
    let both = |schedule: &str| {
        let name = format!("error_5_{schedule}");
        let (study, made) = sweep(
            &name,
            8,
            0.02,
            &format!(
                "schedule = \"{schedule}\"\n[[case]]\nname = \"quick\"\nset = {{ \"launch.workers\" = 1 }}\n\
                      [[case]]\nname = \"slow\"\nset = {{ \"launch.workers\" = 1, \"model.landscape.cost_s\" = 0.08 }}\n\
                      [[case]]\nname = \"bad\"\nset = {{ \"launch.workers\" = 1, \"model.landscape.failures\" = 1.0 }}\n"
            ),
        );
        let cases = carried_out(&made);
        (study, made, cases)
    };
    let span = |made: &TestRun, case: &str| {
        let raw = rows(&made.read("results/timing_raw.csv"));
        let own: Vec<Row> = raw.into_iter().filter(|row| row["experiment"] == case).collect();
        let ends = |key: &str| own.iter().map(|row| row[key].clone()).collect::<Vec<String>>();
        (ends("timestamp").into_iter().min().unwrap(), ends("end_timestamp").into_iter().max().unwrap())
    };
    let (_a, one, cases) = both("sequential");
    assert!(span(&one, "quick").1 <= span(&one, "slow").0, "the second begins when the first has ended");
    // What a case took is its own, from its first begin to its last end, not when somebody came to wait for it
    for made in [&one, &both("parallel").1] {
        let table = rows(&made.read("results/scaling_metrics.csv"));
        for row in table.iter().filter(|row| row["variant"] != "bad") {
            let (begin, end) = span(made, &row["variant"]);
            let seconds = |stamp: &str| ekp::report::timings::seconds(stamp).unwrap();
            let own = seconds(&end) - seconds(&begin);
            assert!(
                (number(row, "wall_median_s") - own).abs() < 1e-5,
                "microseconds of stamps: {row:?} {own}"
            );
        }
    }
    // A case whose runs all fail has no time, no speed-up, and counts as failed
    let bad = &cases["bad"];
    assert_eq!((bad["n_runs"].as_str(), bad["failed_runs"].as_str()), ("0", "1"));
    assert_eq!(
        (bad["wall_median_s"].as_str(), bad["speedup"].as_str(), bad["evals_ok"].as_str()),
        ("", "", "0")
    );
    let raw = rows(&one.read("results/timing_raw.csv"));
    assert!(
        raw.iter()
            .filter(|row| row["experiment"] == "bad" && row["kind"] != "update")
            .all(|row| row["success"] == "false")
    );
}

#[test]
fn error_6_time_per_evaluation_is_the_models_own() {
    let (_study, sweep) =
        sweep("error_6", 16, 0.05, "[[case]]\nname = \"four\"\nset = { \"launch.workers\" = 4 }\n");
    let row = &carried_out(&sweep)["four"];
    let raw = rows(&sweep.read("results/timing_raw.csv"));
    let members: Vec<&Row> = raw.iter().filter(|row| row["kind"] == "member").collect();
    let mean =
        members.iter().map(|row| number(row, "wall_clock_seconds")).sum::<f64>() / members.len() as f64;
    assert_eq!(members.len(), 16);
    assert!((number(row, "time_per_eval_s") - mean).abs() < 1e-3, "microseconds of stamps: {row:?} {mean}");
    // A run sleeps 50 ms: wall time over evaluations, with four at once, would say less than it can be
    assert!(number(row, "time_per_eval_s") >= 0.0499);
    // Start-up, files, waiting have columns of their own; all of them are the time that workers were held
    let parts =
        ["model_s", "startup_s", "io_s", "wait_s", "idle_tail_s", "lost_s"].map(|key| number(row, key));
    let held = number(row, "wall_median_s") * 4.0;
    assert!((parts.iter().sum::<f64>() / held - 1.0).abs() < 1e-4, "{parts:?} {held}");
}

#[test]
fn error_7_scores_come_from_outcomes_and_a_missing_baseline_is_said() {
    // Given a model that prints one score and gives another
    let study = land("error_7", "dds", 2, 8);
    let text = fs::read_to_string(study.folder.path().join("experiment.toml")).unwrap();
    let (head, tail) = (text.split("[model]").next().unwrap(), text.split("[prior]").nth(1).unwrap());
    study.folder.write(
        "experiment.toml",
        &format!("{head}[model]\ncommand = [\"./model.sh\", \"{{parameters}}\", \"{{data}}\"]\nfiles = [\"model.sh\"]\n[prior]{tail}"),
    );
    let study = study.model("#!/bin/sh\necho 'KGE = 0.999'\necho 'model_output = [0.25]' > \"$2\"\n");
    study.folder.write(
        "sweep.toml",
        "schema = \"ekp.sweep\"\nversion = 1\nname = \"part\"\nexperiment = \"experiment.toml\"\nrepeats = 2\n\
         [[axis]]\nname = \"workers\"\nvalues = [2, 4]\nsets = \"launch.workers\"\n",
    );
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let sweep = TestRun { path: study.folder.path().join("study") };
    // When it has run on 2 and 4 workers, never on one
    program("make", &sweep.path).args(["-s", "-j2"]).succeeds();
    sweep
        .tool("ekp-collect-timings")
        .succeeds()
        .says("no run on one worker; speed-up is relative to 2 workers");
    // Then the score is that of the outcomes, and speed-up is counted from what was measured
    let table = rows(&sweep.read("results/scaling_metrics.csv"));
    for row in &table {
        assert_eq!(
            (number(row, "best_score"), number(row, "n_runs"), number(row, "baseline_workers")),
            (0.25, 2.0, 2.0)
        );
    }
    assert_eq!((number(&table[0], "speedup"), number(&table[0], "efficiency")), (1.0, 1.0));
    let gained = number(&table[0], "wall_median_s") / number(&table[1], "wall_median_s");
    assert!((number(&table[1], "speedup") / gained - 1.0).abs() < 1e-12, "round-off");
    assert!((number(&table[1], "efficiency") / (gained / 2.0) - 1.0).abs() < 1e-12, "four are twice two");
}

/// Cases of the study on a cluster, as the dry run lists them.
fn listed() -> Vec<String> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scaling");
    let folder = crate::support::Folder::new("error_listed");
    let sweep = tool("ekp-sweep", folder.path()).args([examples.as_os_str()]).args([
        "x",
        "--dry-run",
        "--platform",
        "hpc",
    ]);
    sweep.succeeds().out().lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn error_8_back_ends_get_many_sets_at_once_and_the_price_of_one_alone_is_shown_apart() {
    let cases = listed();
    for backend in ["scalar", "simd", "threads"] {
        for sets in [1, 64, 1024, 16384] {
            let name = format!("backend_{backend}_batch{sets}");
            assert!(cases.iter().any(|case| case.starts_with(&name)), "{name}");
        }
    }
    // The same of a device, in the file: where there is none its cases are left out with a word
    let text = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scaling/4_backends/sweep.toml"),
    )
    .unwrap();
    for sets in [1, 64, 1024, 16384] {
        assert!(text.contains(&format!("_cuda_batch{sets}\"")), "{sets}");
    }
}

#[test]
fn error_9_curves_are_drawn_for_runs_of_several_costs() {
    let cases = listed();
    for cost in ["0.001", "0.01", "0.1", "1", "10"] {
        for workers in [1, 2, 4, 8, 16, 32, 64] {
            let name = format!("cost_{cost}s_np{workers}");
            assert!(cases.contains(&name), "{name}: {cases:?}");
        }
    }
    // What a run costs beside its model is a column of the figure, per evaluation
    let (_study, sweep) = sweep(
        "error_9",
        16,
        0.001,
        "[[axis]]\nname = \"workers\"\nvalues = [1, 2]\nsets = \"launch.workers\"\n",
    );
    carried_out(&sweep);
    sweep.tool("ekp-report").succeeds();
    let beside = rows(&sweep.read("report/data/fig_strong_scaling_c.csv"));
    assert!(beside.iter().all(|row| number(row, "besides_ms_per_evaluation") > 0.0), "{beside:?}");
}
