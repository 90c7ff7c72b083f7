//! Every example runs as its README says, and gives the numbers that stand there.

mod batches;
mod searches;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Ended, Study, TestRun, program, same_science, there, tool};

/// What CONTRACT leaves out of "the same bytes", as arguments of `diff -r`; the README of lorenz96 shows them.
const MACHINE: &str =
    "-x timing.toml -x jobs -x platform -x 'try_*' -x site.toml -x '*.sbatch' -x Makefile -x logs";

/// Does this command end with 0?
fn works(words: &[&str]) -> bool {
    let ended = Command::new(words[0]).args(&words[1..]).output();
    ended.is_ok_and(|output| output.status.success())
}

fn python() -> bool {
    there("python3 (3.11 or later)", works(&["python3", "-c", "import tomllib"]))
}

fn gfortran() -> bool {
    there("gfortran", works(&["gfortran", "--version"]))
}

fn mpicc() -> bool {
    there("mpicc", works(&["mpicc", "--version"])) && mpirun()
}

fn mpirun() -> bool {
    there("mpirun", works(&["mpirun", "--version"]))
}

/// A copy of an example with its model built by its own Makefile.
fn built(name: &str) -> Study {
    let study = Study::example(name, name);
    program("make", study.folder.path()).args(["-s"]).succeeds();
    study
}

/// `ekp-launch experiment.toml`, with the run folder that it makes.
fn launched(study: &Study, experiment: &str, args: &[&str]) -> (TestRun, Ended) {
    let name = study.name(experiment);
    let ended = tool("ekp-launch", study.folder.path()).args([experiment]).args(args).succeeds();
    (TestRun { path: study.folder.path().join("runs").join(name) }, ended)
}

/// The README shows the result table as the tool prints it.
fn readme_shows(study: &Study, ended: &Ended) {
    readme_shows_from(study, ended, "parameter ");
}

/// The same of a table that begins with other words.
fn readme_shows_from(study: &Study, ended: &Ended, head: &str) {
    let readme = fs::read_to_string(study.folder.path().join("README.md")).unwrap();
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: Vec<String> = readme.lines().map(squeezed).collect();
    let said = ended.out();
    let table = said.lines().skip_while(|line| !line.starts_with(head));
    let rows: Vec<String> = table.take_while(|line| !line.starts_with("over:")).map(squeezed).collect();
    assert!(rows.len() > 1, "no result table:\n{said}");
    for row in rows {
        assert!(told.contains(&row), "README.md of {} lacks `{row}`:\n{said}", study.name("experiment.toml"));
    }
}

/// Each parameter lies within `k` posterior standard deviations of the truth.
fn near(run: &TestRun, truth: &[(&str, f64)], k: f64) {
    let found = run.result();
    for (name, truth) in truth {
        let (mean, std) = found[*name];
        assert!((mean - truth).abs() <= k * std, "{name}: {mean} ± {std}, truth {truth}");
    }
}

#[test]
fn every_example_has_a_readme_and_passes_its_check() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in fs::read_dir(examples).unwrap() {
        let folder = entry.unwrap().path();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        assert!(readme.contains("ekp-"), "{} has no README.md with its commands", folder.display());
        // A model that is built first is checked by its own test.
        if folder.join("experiment.toml").exists() && !folder.join("Makefile").exists() {
            tool("ekp-init", &folder).args(["--check"]).succeeds();
        }
    }
}

#[test]
fn the_sinusoid_demo_makes_its_run_folder_beside_the_experiment() {
    let study = Study::example("demo", "sinusoid");
    let (run, ended) = launched(&study, "experiment.toml", &[]);
    readme_shows(&study, &ended);
    assert_eq!(run.toml("stop.toml")["reason"].as_str(), Some("time"));
    // The best that the data allow: A = range/2 ± 0.158, v = mean ± 0.316
    near(&run, &[("amplitude", 2.083 / 2.0), ("vert_shift", 6.911)], 1.0);
    // A second call finds it done
    let before = run.snapshot();
    tool("ekp-launch", study.folder.path()).args(["experiment.toml"]).succeeds();
    assert_eq!(run.snapshot(), before);
}

#[test]
fn the_series_in_minibatches_gives_the_numbers_of_its_page() {
    let study = Study::example("minibatch", "minibatch");
    let (run, ended) = launched(&study, "experiment.toml", &["--workers", "2"]);
    readme_shows(&study, &ended);
    near(&run, &[("level_c", 8.0), ("swing_c", 11.0), ("warmest", 6.8)], 2.0);
    assert_eq!(run.toml("stop.toml")["final"].as_integer(), Some(6));
}

#[test]
fn the_permeability_is_found_from_the_pressures() {
    let study = Study::example("darcy", "darcy");
    let (run, _) = launched(&study, "experiment.toml", &["--on", "threads"]);
    let truth: Vec<f64> = fs::read_to_string(study.folder.path().join("truth.csv"))
        .unwrap()
        .lines()
        .skip(1)
        .map(|line| line.parse::<f64>().unwrap().ln())
        .collect();
    let last = run.toml("stop.toml")["final"].as_integer().unwrap();
    let off = |iteration: i64| {
        let mut mean = vec![0.0; truth.len()];
        for member in 1..=50 {
            let file = run.toml(&format!("iteration_{iteration:03}/member_{member:03}/parameters.toml"));
            let values = file["permeability"]["value"].as_array().unwrap().clone();
            assert_eq!(values.len(), truth.len());
            mean.iter_mut().zip(values).for_each(|(m, v)| *m += v.as_float().unwrap().ln() / 50.0);
        }
        let square: f64 = mean.iter().zip(&truth).map(|(m, t)| (m - t).powi(2)).sum();
        (square / truth.len() as f64).sqrt()
    };
    // The page says 7 iterations, 1.06 and 0.35
    assert_eq!(last, 7);
    assert!((off(0) - 1.06).abs() < 0.005 && (off(last) - 0.35).abs() < 0.005, "{} {}", off(0), off(last));
    let misfit = |n: i64| run.toml(&format!("iteration_{n:03}/update.toml"))["misfit"].as_float().unwrap();
    assert!((misfit(0) - 511.0).abs() < 1.0 && (misfit(6) - 2.3).abs() < 0.1);
    // The functions come out of the record: without it the same, worked out anew
    let kept = fs::read(run.path.join("fields.bin")).unwrap();
    assert!(kept.len() > 50 * 37 * 37 * 8);
    fs::remove_file(run.path.join("fields.bin")).unwrap();
    let before = run.snapshot();
    fs::remove_file(run.path.join("iteration_003/member_005/parameters.toml")).unwrap();
    run.tool("ekp-run-member").args([".", "-i", "3", "-m", "5", "--scratch", "scratch"]).succeeds();
    let name = "iteration_003/member_005/parameters.toml";
    assert_eq!(fs::read(run.path.join(name)).unwrap(), before[name]);
}

#[test]
fn the_file_interface_by_hand_gives_what_the_launcher_gives() {
    let study = Study::example("by_hand", "sinusoid_interface");
    program("./run.sh", study.folder.path()).succeeds();
    let by_hand = TestRun { path: study.folder.path().join("runs/sinusoid_interface") };
    // The order is that of `names`, not that of the file, and the tables are as they stood there
    let names = by_hand.toml("run.toml")["parameters"].clone();
    assert_eq!(names, toml::Value::try_from(["amplitude", "vert_shift"]).unwrap());
    let member = by_hand.read("iteration_005/member_006/parameters.toml");
    assert!(member.find("[vert_shift]") < member.find("[amplitude]"), "{member}");
    assert_eq!(by_hand.toml("stop.toml")["final"].as_integer(), Some(5));
    let other = study.init("runs/launched");
    let ended = other.launch(&["--on", "threads"]);
    readme_shows(&study, &ended);
    same_science(&by_hand, &other);
}

#[test]
fn lorenz_96_has_the_same_bytes_on_threads_workers_and_either_mpi() {
    let study = Study::example("lorenz", "lorenz96").set("model.lorenz96.t_start", 40.0);
    let mut carriers = vec![vec!["--on", "threads"], vec!["--on", "local"]];
    if mpirun() {
        carriers.push(vec!["--on", "mpi"]);
    }
    // The name that Debian gives the one beside Open MPI
    if there("mpirun.mpich", works(&["mpirun.mpich", "--version"])) {
        carriers.push(vec!["--on", "mpi", "--starter", "mpirun.mpich -n 2"]);
    }
    let runs: Vec<TestRun> = (1..)
        .zip(carriers)
        .map(|(number, on)| {
            let run = study.init(&format!("runs/{number}"));
            run.launch(&[on, vec!["--workers", "2"]].concat());
            run
        })
        .collect();
    // The README's own command, and the stricter comparison
    let readme = fs::read_to_string(study.folder.path().join("README.md")).unwrap();
    assert!(readme.contains(MACHINE), "{MACHINE}");
    for run in &runs[1..] {
        let diff = format!("diff -r {MACHINE} {} {}", runs[0].path.display(), run.path.display());
        assert_eq!(program("sh", study.folder.path()).args(["-c", &diff]).succeeds().out(), "");
        same_science(&runs[0], run);
    }
}

#[test]
fn lorenz_96_finds_its_forcing() {
    let study = Study::example("lorenz_full", "lorenz96");
    let (run, _) = launched(&study, "experiment.toml", &["--on", "threads"]);
    // The range that eight repetitions keep (tests/statistics.rs)
    let found = run.result();
    assert!((7.9..=8.1).contains(&found["F"].0) && (2.38..=2.62).contains(&found["A"].0), "{found:?}");
    let (run, _) = launched(&study, "constant.toml", &["--on", "threads"]);
    near(&run, &[("F", 8.0)], 3.0);
}

#[test]
fn a_model_in_python_runs() {
    if !python() {
        return;
    }
    let study = Study::example("python", "external_python");
    tool("ekp-init", study.folder.path()).args(["--try"]).succeeds().says("40 numbers");
    let (run, ended) = launched(&study, "experiment.toml", &[]);
    readme_shows(&study, &ended);
    near(&run, &[("k_d", 5.0), ("c", 0.6), ("s0_mm", 20.0)], 2.0);
    let platform = fs::read_dir(run.path.join("platform")).unwrap().next().unwrap().unwrap();
    let said = fs::read_to_string(platform.path()).unwrap();
    assert!(said.contains("model_version = \"reservoir 1.0\""), "{said}");
}

#[test]
fn a_model_in_shell_runs() {
    let study = Study::example("shell", "external_shell");
    let (run, ended) = launched(&study, "experiment.toml", &[]);
    readme_shows(&study, &ended);
    near(&run, &[("start_c", 90.0), ("room_c", 18.0), ("tau_min", 15.0)], 2.0);
}

#[test]
fn a_model_in_fortran_runs_and_its_unstable_members_are_set_aside() {
    if !gfortran() {
        return;
    }
    let study = built("external_fortran");
    let (run, ended) = launched(&study, "experiment.toml", &[]);
    readme_shows(&study, &ended);
    near(&run, &[("kappa_mm2_per_s", 1.2), ("heater_c", 80.0)], 3.0);
    // Then members failed, and they are those whose diffusivity is above 2.5
    let mut failed = 0;
    for member in 1..=20 {
        let folder = format!("iteration_000/member_{member:03}");
        let parameters = run.toml(&format!("{folder}/parameters.toml"));
        let unstable = parameters["kappa_mm2_per_s"]["value"].as_float().unwrap() > 2.5;
        assert_eq!(run.has(&format!("{folder}/failed.toml")), unstable, "member {member}");
        if unstable {
            failed += 1;
            let record = run.toml(&format!("{folder}/failed.toml"));
            assert_eq!((record["cause"].as_str(), record["exit_code"].as_integer()), (Some("exit"), Some(3)));
            assert!(record["message"].as_str().unwrap().contains("unstable: kappa dt / dx**2"), "{record}");
            // Its folder is kept for people to look at, and the namelist in it is filled
            assert!(run.read(&format!("{folder}/try_1/rod.nml")).contains("heater_c"));
        }
    }
    assert!(failed >= 2, "{failed}");
    assert_eq!(run.toml("iteration_000/update.toml")["failed"].as_integer(), Some(failed));
}

#[test]
fn a_member_of_four_processes_runs_and_refuses_to_run_alone() {
    if !mpicc() {
        return;
    }
    let launcher = "mpirun --oversubscribe";
    let study = built("hpc_member").members(5).iterations(1).set("model.mpi.launcher", launcher);
    let (run, _) = launched(&study, "experiment.toml", &["--on", "threads"]);
    assert_eq!(run.toml("iteration_000/update.toml")["ok"].as_integer(), Some(5));
    // Given a launcher that starts processes which do not see each other (as srun with a wrong --mpi does)
    let alone = study.folder.script(
        "alone",
        "#!/bin/sh\n[ \"$1\" = -n ] || exit 1\nn=$2; shift 2\ni=0\n\
         while [ $i -lt \"$n\" ]; do \"$@\" || status=$?; i=$((i + 1)); done\nexit ${status:-0}\n",
    );
    let study = study.set("model.mpi.launcher", alone.to_str().unwrap());
    let run = study.init("runs/alone");
    run.tool("ekp-init-ensemble").succeeds();
    // Then the model notices, writes nothing, and the member says why
    run.tool("ekp-run-member").args(["-i", "0", "-m", "1", "--strict"]).fails(1);
    let failed = run.toml("iteration_000/member_001/failed.toml");
    assert_eq!(failed["exit_code"].as_integer(), Some(9));
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("has 1 processes, wanted are 4"), "{message}");
    // And the script asks Slurm for four processes
    assert!(run.read("ekp_run_member.sbatch").contains("#SBATCH --ntasks=4"));
}

/// How often each member's model was started.
fn starts(run: &TestRun) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for line in run.read("logs/model_runs.txt").lines() {
        *count.entry(line.to_owned()).or_default() += 1;
    }
    count
}

#[test]
fn three_of_twelve_candidates_are_found_and_the_others_are_zero() {
    if !python() {
        return;
    }
    let study = Study::example("sparse", "sparse_regression");
    let (run, ended) = launched(&study, "experiment.toml", &["--workers", "2"]);
    readme_shows(&study, &ended);
    let found = run.result();
    assert_eq!(found.len(), 12);
    for (name, (mean, std)) in found {
        match name.as_str() {
            // Least squares on the right three is within 3 · 0.1/√30 of the truth
            "coefficient[2]" => assert!((mean - 2.0).abs() < 0.06, "{mean}"),
            "coefficient[5]" => assert!((mean + 1.5).abs() < 0.06, "{mean}"),
            "coefficient[10]" => assert!((mean - 1.0).abs() < 0.06, "{mean}"),
            _ => assert_eq!((mean, std), (0.0, 0.0), "{name}"),
        }
    }
}

#[test]
fn a_hundred_unknowns_are_found_with_twenty_members_where_they_are_localised() {
    if !python() {
        return;
    }
    let study = Study::example("localisation", "localisation");
    let readme = fs::read_to_string(study.folder.path().join("README.md")).unwrap();
    for experiment in ["experiment.toml", "without.toml"] {
        let (run, _) = launched(&study, experiment, &["--workers", "2"]);
        let misfit = run.toml("iteration_007/update.toml")["misfit"].as_float().unwrap();
        assert!(readme.contains(&format!("| `{experiment}` | {misfit:.1} |")), "{experiment}: {misfit}");
    }
}

#[test]
fn fifty_overlapping_calls_from_cron_make_one_run() {
    // Given the run as one process makes it
    let study = Study::example("cron", "cron");
    let alone = study.init("runs/alone");
    alone.launch(&["--on", "threads", "--workers", "1"]);
    // When fifty loops of `--once` are at it until it is over, each call as cron would make it
    let run = study.init("runs/cron");
    let caller = || {
        for _ in 0..1000 {
            let call = run.tool("ekp-launch").args([".", "--once", "-q"]).run();
            let code = call.output.status.code();
            assert!(matches!(code, Some(0 | 3)), "exit {code:?}: {}", call.err());
            if run.has("stop.toml") {
                return;
            }
            // 3: others are at it, come again
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the run does not end");
    };
    std::thread::scope(|scope| (0..50).for_each(|_| drop(scope.spawn(caller))));
    // Then it is the same run, and no model ran twice
    same_science(&alone, &run);
    assert_eq!(starts(&alone), starts(&run));
    assert!(starts(&run).values().all(|&n| n == 1), "{:?}", starts(&run));
    readme_shows(&study, &run.launch(&[]));
    // And the line of the crontab works as it stands
    let crontab = fs::read_to_string(study.folder.path().join("crontab")).unwrap();
    let line = crontab.lines().find(|line| line.starts_with("*/5")).unwrap();
    let command = line.split_whitespace().skip(5).collect::<Vec<_>>().join(" ");
    let home = study.folder.path().join("study");
    fs::create_dir(&home).unwrap();
    std::os::unix::fs::symlink(study.folder.path().join("runs"), home.join("runs")).unwrap();
    program("sh", Path::new("/")).args(["-c", &command]).env("HOME", study.folder.path()).succeeds();
    assert_eq!(run.read("logs/cron.log"), "");
}

#[test]
fn each_starter_model_works_from_new_to_the_end() {
    let mut results: Vec<BTreeMap<String, (f64, f64)>> = Vec::new();
    let sh = "command = [\"./model.sh\", \"{parameters}\", \"{data}\"]\nfiles = [\"model.sh\"]";
    let py = "command = [\"./model.py\", \"{parameters}\", \"{data}\"]\nfiles = [\"model.py\"]";
    let f90 = "command = [\"./model\"]\nfiles = [\"model\"]\n\
               templates = [{ from = \"namelist.tmpl\", to = \"namelist.nml\" }]\n\
               output = { file = \"out.csv\", format = \"csv\", column = \"y\" }";
    let f90_works = gfortran();
    for (method, name, model, possible) in
        [("etki", "sh", sh, true), ("etki", "py", py, python()), ("etki", "f90", f90, f90_works)]
    {
        if !possible {
            continue;
        }
        let study = Study::started(&format!("starter_{name}"), method);
        // What the comments of experiment.toml show is what is set here
        let text = fs::read_to_string(study.folder.path().join("experiment.toml")).unwrap();
        let squeezed = |line: &str| line.replace([' ', '#'], "");
        let shown: Vec<String> = text.lines().map(squeezed).collect();
        for line in model.lines() {
            assert!(
                shown.iter().any(|s| s.starts_with(&squeezed(line))),
                "the template does not show `{line}`"
            );
        }
        if name == "f90" {
            let build = ["-O2", "-o", "model", "model.f90"];
            program("gfortran", study.folder.path()).args(build).succeeds();
        }
        let study = study.set("model", model.parse::<toml::Table>().unwrap());
        tool("ekp-init", study.folder.path()).args(["--check"]).succeeds();
        tool("ekp-init", study.folder.path()).args(["--try"]).succeeds().says("5 numbers");
        let (run, _) = launched(&study, "experiment.toml", &[]);
        assert_eq!(run.toml("stop.toml")["reason"].as_str(), Some("time"));
        // Least squares of the template's observation is 1.5 x + 1.04
        near(&run, &[("slope", 1.5), ("offset", 1.04)], 1.0);
        results.push(run.result());
    }
    // Then all give the same line
    for result in &results {
        for (name, (mean, _)) in result {
            let (first, _) = results[0][name];
            assert!((mean - first).abs() < 1e-9, "{name}: {mean} {first}"); // round-off of five sums
        }
    }
    // And another method is written where one stands
    let study = Study::started("starter_eki", "eki");
    let text = fs::read_to_string(study.folder.path().join("experiment.toml")).unwrap();
    assert!(text.contains("method     = \"eki\"") && !text.contains("{{method}}"));
    launched(&study, "experiment.toml", &[]);
}
