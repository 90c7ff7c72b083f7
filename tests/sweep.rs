//! `ekp-sweep`: many cases of one experiment, carried out by make, put into tables and figures.

use std::fs;
use std::path::Path;

use crate::support::{Folder, Study, TestRun, program, there, tool};

const SWEEP: &str = "schema = \"ekp.sweep\"\nversion = 1\nname = \"pool\"\nexperiment = \"experiment.toml\"\n\
    names = \"strong_processpool_np{workers}\"\nrepeats = 2\n[set]\nalgorithm.members = 6\nalgorithm.iterations = 2\n\
    [[axis]]\nname = \"workers\"\nvalues = [1, 2]\nsets = \"launch.workers\"\n\
    [platform.hpc]\naxis.workers = [1, 2, 4]\n";

fn rows(text: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

fn swept(name: &str) -> (Study, TestRun) {
    let study = Study::sinusoid(name);
    study.folder.write("sweep.toml", SWEEP);
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds().says("4 cases, 4 new");
    let run = TestRun { path: study.folder.path().join("study") };
    (study, run)
}

#[test]
fn a_sweep_runs_by_make_and_leaves_tables_and_figures() {
    let (study, sweep) = swept("sweep_make");
    program("make", &sweep.path).succeeds();
    // Every case ran, with its own number of workers, and the same science
    for case in ["np1_r1", "np1_r2", "np2_r1", "np2_r2"] {
        assert!(sweep.has(&format!("strong_processpool_{case}/stop.toml")), "{case}");
    }
    let last = |case: &str| fs::read(sweep.path.join(case).join("iteration_002/ensemble.bin")).unwrap();
    assert_eq!(last("strong_processpool_np1_r1"), last("strong_processpool_np2_r2"));
    // The table has a row for each case: 6 members in each of 2 iterations, twice
    let table = rows(&sweep.read("results/scaling_metrics.csv"));
    assert_eq!(table.len(), 2);
    let number = |row: usize, key: &str| table[row][key].parse::<f64>().unwrap();
    for row in 0..2 {
        assert_eq!(
            (number(row, "evals_ok"), number(row, "n_runs"), number(row, "baseline_workers")),
            (24.0, 2.0, 1.0)
        );
        let walls = ["wall_min_s", "wall_median_s", "wall_max_s"].map(|key| number(row, key));
        assert!(walls.is_sorted(), "{walls:?}");
        // Two repeats: the mean time of the workers is that of the median run
        let held: f64 = ["model_s", "startup_s", "io_s", "wait_s", "idle_tail_s", "lost_s"]
            .map(|key| number(row, key))
            .iter()
            .sum();
        let median = number(row, "wall_median_s") * number(row, "workers");
        assert!((held / median - 1.0).abs() < 1e-6, "microseconds of time stamps: {held} {median}");
    }
    assert_eq!((number(0, "speedup"), number(0, "efficiency")), (1.0, 1.0));
    let gained = number(0, "wall_median_s") / number(1, "wall_median_s");
    assert!(
        (number(1, "speedup") - gained).abs() < 1e-12
            && (number(1, "efficiency") - gained / 2.0).abs() < 1e-12
    );
    assert_eq!(rows(&sweep.read("results/timing_raw.csv")).len(), 4 * 2 * (6 + 1));
    // The laws of the one group: two points of fixed work, told on the page, too
    let fits = rows(&sweep.read("results/scaling_fits.csv"));
    assert_eq!((fits.len(), fits[0]["kind"].as_str(), fits[0]["points"].as_str()), (1, "strong", "2"));
    let part: f64 = fits[0]["amdahl_f"].parse().unwrap();
    assert!((0.0..=1.0).contains(&part) && fits[0]["gustafson_alpha"].is_empty(), "{part}");
    assert!(fits[0]["cost_parallel_s"].parse::<f64>().unwrap() >= 0.0);
    // What has run tells what the whole costs
    tool("ekp-sweep", study.folder.path())
        .args(["sweep.toml", "study", "--dry-run"])
        .succeeds()
        .says("4 cases: about ")
        .says(" MB, as members took that have run");
    // And the report draws it
    tool("ekp-report", study.folder.path()).args(["study"]).succeeds().says("1 figure");
    let page = sweep.read("report/report.html");
    assert!(page.contains("strong_processpool_np2") && page.contains("serial part"));
    assert!(sweep.has("report/fig_strong_scaling.svg") && sweep.has("report/data/fig_strong_scaling_a.csv"));
    // Again: nothing is done twice
    let before = fs::read(sweep.path.join("strong_processpool_np1_r1/iteration_001/timing.toml")).unwrap();
    program("make", &sweep.path).succeeds();
    assert_eq!(
        fs::read(sweep.path.join("strong_processpool_np1_r1/iteration_001/timing.toml")).unwrap(),
        before
    );
}

#[test]
fn the_starter_of_a_sweep_runs_as_it_is() {
    let folder = Folder::new("sweep-starter");
    tool("ekp-init", folder.path()).args(["--new", "sweep", "."]).succeeds().says("sweep.toml");
    tool("ekp-sweep", folder.path()).args(["sweep.toml", "study"]).succeeds().says("6 cases, 6 new");
    program("make", &folder.path().join("study")).succeeds();
    let table = fs::read_to_string(folder.path().join("study/results/scaling_metrics.csv")).unwrap();
    assert_eq!(rows(&table).iter().map(|row| row["evals_ok"].as_str()).collect::<Vec<_>>(), ["48"; 3]);
    tool("ekp-init", folder.path()).args(["--new", "sweep", "."]).fails(2).says("is there already");
}

#[test]
fn a_missing_baseline_and_cases_that_did_not_run_are_said() {
    let study = Study::sinusoid("sweep_baseline");
    study
        .folder
        .write("sweep.toml", &SWEEP.replace("[1, 2]", "[2, 3]").replace("repeats = 2", "repeats = 1"));
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let sweep = TestRun { path: study.folder.path().join("study") };
    program("make", &sweep.path).args(["strong_processpool_np2"]).succeeds();
    sweep.tool("ekp-collect-timings").succeeds().says("`strong_processpool_np3`: 1 of 1 runs are not over");
    let table = rows(&sweep.read("results/scaling_metrics.csv"));
    assert_eq!(
        (table[1]["wall_median_s"].as_str(), table[1]["speedup"].as_str()),
        ("", ""),
        "no number is made up"
    );
    program("make", &sweep.path).succeeds();
    sweep
        .tool("ekp-collect-timings")
        .succeeds()
        .says("no run on one worker; speed-up is relative to 2 workers");
}

#[test]
fn cases_are_shown_chosen_and_refused_before_anything_is_made() {
    let study = Study::sinusoid("sweep_dry");
    study.folder.write("sweep.toml", SWEEP);
    let sweep = |args: &[&str]| tool("ekp-sweep", study.folder.path()).args(args);
    let told = sweep(&["--dry-run"]).succeeds().says("4 cases in all, at most 48 members").out();
    assert_eq!(told.lines().count(), 4);
    // Nothing has run and nothing limits a member: no number is made up
    assert!(told.lines().all(|line| line.ends_with("\tcost unknown")), "{told}");
    sweep(&["--dry-run"]).succeeds().says("4 cases: core-hours and disk unknown");
    assert!(!study.folder.path().join("runs").exists());
    sweep(&["--dry-run", "--platform", "hpc"]).succeeds().prints("strong_processpool_np4_r2");
    sweep(&["--dry-run", "--only", "*np2"]).succeeds().says("2 cases in all");
    sweep(&["--dry-run", "--platform", "hcp"])
        .fails(2)
        .says("there is no platform `hcp`")
        .says("did you mean `hpc`?");
    sweep(&["--dry-run", "--only", "nobody"]).fails(2).says("no case is left");
    // A chain of jobs is bounded by the time of its jobs: 4 cases of 12 members with an hour each
    let timed = SWEEP.replace("[set]", "[set]\nlaunch.on = \"slurm\"\nsite.slurm.time = \"1:00:00\"");
    study.folder.write("sweep.toml", &timed);
    sweep(&["--dry-run"])
        .succeeds()
        .prints("at most 12.0 core-hours")
        .says("4 cases: at most 48.0 core-hours, by the time limits");
    // A setting that the experiment does not take names the file, and nothing is half made
    study.folder.write("sweep.toml", &SWEEP.replace("algorithm.members = 6", "algorithm.membres = 6"));
    sweep(&["sweep.toml", "study"]).fails(2).says("membres").says("members");
    assert!(!study.folder.path().join("study").exists());
}

#[test]
fn the_scripts_of_a_sweep_are_sound_and_sweeps_of_a_folder_follow_each_other() {
    let study = Study::sinusoid("sweep_scripts");
    for (name, part) in [("a_first", 1), ("b_second", 2)] {
        fs::create_dir(study.folder.path().join(name)).unwrap();
        let text = SWEEP
            .replace("name = \"pool\"", &format!("name = \"{name}\"\npart = {part}"))
            .replace("experiment.toml", "../experiment.toml")
            .replace("strong_processpool", name)
            .replace("repeats = 2", "schedule = \"parallel\"");
        study.folder.write(&format!("{name}/sweep.toml"), &text);
    }
    tool("ekp-sweep", study.folder.path()).args([".", "study"]).succeeds().says("4 cases");
    let sweep = TestRun { path: study.folder.path().join("study") };
    let script = sweep.read("submit_all.sbatch");
    // Within a sweep all at once; the second begins when all of the first have ended
    assert!(script.contains("submit a_first_np2 \"\" local 2 1 --nodes=1"), "{script}");
    assert!(script.contains("submit b_second_np1 \"a_first_np1 a_first_np2\" local 1 1"), "{script}");
    tool("ekp-sweep", study.folder.path()).args([".", "other", "--part", "2"]).succeeds().says("2 cases");
    for name in ["submit_all.sbatch", "run_case.sbatch"] {
        program("bash", &sweep.path).args(["-n", name]).succeeds();
        let checks = Path::new("/usr/bin/shellcheck");
        if there("shellcheck", checks.exists()) {
            program(checks, &sweep.path).args([name]).succeeds();
        }
    }
}

#[test]
fn work_that_grows_with_the_workers_gives_gustafsons_fraction_in_the_table_of_laws() {
    // Given six members for each worker
    let study = Study::sinusoid("sweep_weak").iterations(1);
    let case = |p: u32| {
        let set = format!("{{ \"launch.workers\" = {p}, \"algorithm.members\" = {} }}", 6 * p);
        format!("[[case]]\nname = \"weak_np{p}\"\ngroup = \"six members each\"\nset = {set}\n")
    };
    let head = "schema = \"ekp.sweep\"\nversion = 1\nname = \"weak\"\nexperiment = \"experiment.toml\"\nrepeats = 2\n\
                [set]\nlaunch.on = \"threads\"\n";
    study.folder.write("sweep.toml", &format!("{head}{}", [1, 2, 4, 8].map(case).concat()));
    tool("ekp-sweep", study.folder.path()).args(["sweep.toml", "study"]).succeeds();
    let sweep = TestRun { path: study.folder.path().join("study") };
    program("make", &sweep.path).args(["-s"]).succeeds();
    // And times made up for a quarter that is serial: T(p) = 91 s p / (p - (p - 1) / 4), whole microseconds all
    for (p, wall_s) in [(1, 91.0), (2, 104.0), (4, 112.0), (8, 116.48)] {
        for repeat in 1..=2 {
            let run = TestRun { path: sweep.path.join(format!("weak_np{p}_r{repeat}")) };
            let members = (1..=6 * p).map(|m| format!("iteration_000/member_{m:03}/timing.toml"));
            let begin = "2026-11-20T11:00:00.000000Z";
            let end = format!("2026-11-20T11:0{}:{:09.6}Z", wall_s as u32 / 60, wall_s % 60.0);
            for name in members.chain(["iteration_000/timing.toml".into()]) {
                let line = |line: &str| match line.split(" = ").next() {
                    Some("start") => format!("start = \"{begin}\"\n"),
                    Some("end") => format!("end = \"{end}\"\n"),
                    _ => format!("{line}\n"),
                };
                let text: String = run.read(&name).lines().map(line).collect();
                fs::write(run.path.join(&name), text).unwrap();
            }
        }
    }
    // When they are collected
    sweep.tool("ekp-collect-timings").succeeds();
    let table = rows(&sweep.read("results/scaling_metrics.csv"));
    let walls: Vec<f64> = table.iter().map(|row| row["wall_median_s"].parse().unwrap()).collect();
    assert!([91.0, 104.0, 112.0, 116.48].iter().zip(&walls).all(|(a, b)| (a - b).abs() < 1e-5), "{walls:?}");
    // Then the one group grows with its workers, a quarter of its work does not, and no law of fixed work is told
    let fits = rows(&sweep.read("results/scaling_fits.csv"));
    let cell = |key: &str| fits[0][key].as_str();
    assert_eq!(fits.len(), 1, "{fits:?}");
    assert_eq!(
        [cell("group"), cell("kind"), cell("points"), cell("baseline_workers")],
        ["six members each", "weak", "4", "1"]
    );
    for key in ["gustafson_alpha", "gustafson_alpha_lo", "gustafson_alpha_hi"] {
        let alpha: f64 = cell(key).parse().unwrap();
        // Seconds since 1970 have 2e-7 s in a double; S changes by 8 of that over 100 s
        assert!((alpha - 0.25).abs() < 1e-7, "{key} {alpha}");
    }
    for key in [
        "amdahl_f",
        "amdahl_f_lo",
        "amdahl_f_hi",
        "cost_serial_s",
        "cost_parallel_s",
        "cost_tree_s",
        "cost_line_s",
    ] {
        assert_eq!(cell(key), "", "{key}");
    }
    tool("ekp-report", study.folder.path()).args(["study"]).succeeds();
    let page = sweep.read("report/report.html");
    assert!(page.contains("six members each: Gustafson's serial part 25.00 % (25.00 to 25.00)"));
    assert!(page.contains("six members each: the work is not the same") && !page.contains("Amdahl"));
}
