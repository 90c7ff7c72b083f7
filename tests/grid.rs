//! Grids: stages of cells, on every launcher of this machine, killed, edited, with cells that fail.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::strace;
use crate::support::{Folder, Study, TestRun, program, same_science, there, tool};

/// A grid of three targets by two samplers; `prefix` is run before each sampler, `first` before each build.
pub(crate) fn small(name: &str, first: &str, prefix: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(
        "experiment.toml",
        r#"schema = "ekp.experiment"
version = 1
name = "small"
seed = 7
[algorithm]
method = "grid"
[[axis]]
name = "target"
values = ["a", "b", "c"]
[[axis]]
name = "sampler"
[axis.options.long]
steps = 40
[axis.options.short]
steps = 4
[[stage]]
name = "build"
over = ["target"]
[stage.model]
command = ["./build.sh", "{target}", "{seed}"]
[[stage]]
name = "sample"
over = ["target", "sampler"]
after = "build"
[stage.model]
command = ["./sample.sh", "{upstream}", "{sampler.steps}"]
[failures]
retries = 0
"#,
    );
    folder.script(
        "build.sh",
        &format!("#!/bin/sh\nset -eu\n{first}\necho \"$1 $2\" > weights.txt\necho \"weight = ${{#2}}\" > model_output.toml\n"),
    );
    folder.script(
        "sample.sh",
        &format!(
            "#!/bin/sh\nset -eu\n{prefix}\ncat \"$1/weights.txt\" > trace.txt\ni=0\nwhile [ $i -lt $2 ]; do i=$((i + 1)); echo $i >> trace.txt; done\n\
             echo \"steps = $2\" > model_output.toml\necho \"sampled\"\necho \"a word\" >&2\n"
        ),
    );
    folder
}

pub(crate) fn made(folder: &Folder, run: &str) -> TestRun {
    tool("ekp-init", folder.path()).args(["-q", "experiment.toml", run]).succeeds();
    TestRun { path: folder.path().join(run) }
}

/// The table: a map from column to value for each row.
pub(crate) fn rows(run: &TestRun) -> Vec<std::collections::BTreeMap<String, String>> {
    let text = run.read("results/small_runs.csv");
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    lines.map(|row| head.iter().cloned().zip(row).collect()).collect()
}

/// Folder of the only cell of a stage with these labels.
fn cell(run: &TestRun, labels: &[&str]) -> String {
    let fits = |row: &std::collections::BTreeMap<String, String>| {
        labels
            .iter()
            .all(|label| [&row["stage"], &row["target"], &row["sampler"]].contains(&&(*label).to_owned()))
    };
    rows(run).iter().find(|row| fits(row)).map(|row| row["folder"].clone()).unwrap()
}

#[test]
fn every_launcher_gives_the_same_bytes_and_a_row_for_each_cell() {
    let folder = small("grid-launchers", "", "");
    let local = made(&folder, "local");
    local.launch(&["--workers", "3"]).prints("results/small_runs.csv").says("all 9 cells are ok");
    for (name, on) in [("threads", "threads"), ("make", "make"), ("mpi", "mpi")] {
        if on == "mpi"
            && !there("mpirun", program("mpirun", folder.path()).args(["--version"]).try_run().is_some())
        {
            continue;
        }
        let run = made(&folder, name);
        run.launch(&["--on", on, "--workers", "2"]);
        same_science(&local, &run);
    }
    let pool = made(&folder, "pool");
    pool.tool("ekp-worker").args([".", "--to-end"]).succeeds().says("9 done, 0 failed");
    same_science(&local, &pool);
    // One by one, by hand, the later stage before its time
    let hand = made(&folder, "hand");
    hand.tool("ekp-run-member")
        .args([".", "-i", "2", "-m", "1"])
        .fails(3)
        .says("waits for `build` of target=a");
    hand.tool("ekp-run-member").args([".", "-i", "1", "-m", "1-3"]).succeeds();
    hand.tool("ekp-update").args([".", "-i", "2"]).fails(3).says("6 of 9 cells have no outcome yet");
    assert_eq!(rows(&hand).iter().filter(|row| row["state"] == "missing").count(), 6);
    hand.tool("ekp-run-member").args([".", "-i", "2", "-m", "1-6", "--threads", "2"]).succeeds();
    hand.tool("ekp-update").args([".", "-i", "2"]).succeeds();
    same_science(&local, &hand);
    // What the table says
    let rows = rows(&local);
    assert_eq!(rows.len(), 9);
    assert!(rows.iter().all(|row| row["state"] == "ok"));
    let last = &rows[8];
    assert_eq!(
        (last["stage"].as_str(), last["target"].as_str(), last["sampler"].as_str()),
        ("sample", "c", "short")
    );
    assert_eq!(last["steps"], "4");
    assert!(!last["build.weight"].is_empty(), "a cell has the facts of the one it stands on");
    // Logs by the names of cells
    let id = last["id"].clone();
    assert_eq!(local.read(&format!("logs/sample/{id}.log")), "sampled\n");
    assert_eq!(local.read(&format!("logs/sample/{id}.err")), "a word\n");
    assert!(local.read(&format!("stage_2_sample/{id}/output/trace.txt")).ends_with("3\n4\n"));
    // Finished: nothing runs again, nothing changes
    let before = local.snapshot();
    local.launch(&[]).says("nothing to do");
    local.tool("ekp-run-member").args([".", "-i", "2", "-m", "1-6"]).succeeds().says("already done");
    assert_eq!(before, local.snapshot());
    assert_eq!(local.tool("ekp-status").args(["--next"]).succeeds().out(), "");
}

#[test]
fn a_target_that_fails_costs_only_its_own_cells_and_gets_another_try() {
    let folder = small(
        "grid-fails",
        "[ \"$1\" != b ] || [ -e ../../../../mended ] || { echo no way >&2; exit 3; }",
        "",
    );
    let run = made(&folder, "run");
    let ended = run.tool("ekp-launch").args(["."]).fails(4);
    ended.says("3 of 9 cells have no data: 1 failed, 2 stand on those").says("exit status 3: no way");
    let states: Vec<String> = rows(&run).iter().map(|row| row["state"].clone()).collect();
    assert_eq!(states.iter().filter(|s| *s == "ok").count(), 6);
    let all = rows(&run);
    let bad: Vec<_> = all.iter().filter(|row| row["state"] != "ok").collect();
    assert_eq!((bad[0]["cause"].as_str(), bad[0]["stage"].as_str()), ("exit", "build"));
    for row in &bad[1..] {
        assert_eq!(
            (row["state"].as_str(), row["cause"].as_str(), row["target"].as_str()),
            ("upstream", "upstream", "b")
        );
        assert!(row["message"].contains("`build` of target=b failed: exit status 3: no way"), "{row:?}");
    }
    assert!(!run.has("stop.toml"));
    let status = run.tool("ekp-status").succeeds().out();
    assert!(
        status.contains("1 cell failed, 2 more stand on those") && status.contains("build target=b: exit"),
        "{status}"
    );
    // Mended: only what has no data runs again
    folder.write("mended", "");
    let good = cell(&run, &["sample", "a", "long"]);
    let before = fs::metadata(run.path.join(&good).join("data.toml")).unwrap().modified().unwrap();
    run.launch(&[]).says("3 cells without data get another try").says("all 9 cells are ok");
    assert_eq!(fs::metadata(run.path.join(&good).join("data.toml")).unwrap().modified().unwrap(), before);
}

#[test]
fn a_cell_that_is_killed_at_any_time_resumes_to_the_same_bytes() {
    let folder = small("grid-kills", "sleep 0.05", "sleep 0.1");
    let expected = made(&folder, "expected");
    expected.launch(&["--workers", "2"]);
    let run = made(&folder, "run");
    // When launcher and workers are killed again and again, at moments that differ
    for k in 0..6u64 {
        let mut command = run.tool("ekp-launch").args([".", "--workers", "2", "-q"]).command();
        use std::os::unix::process::CommandExt;
        command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(30 + 47 * k));
        let _ = child.kill();
        child.wait().unwrap();
    }
    // Then what is left ends with the same bytes
    run.launch(&["--workers", "2", "-q"]);
    same_science(&expected, &run);
    // Outcomes cut short are no outcomes; a file that an outcome vouches for must be there
    let torn = cell(&run, &["sample", "b", "short"]);
    let text = run.read(&format!("{torn}/data.toml"));
    fs::write(run.path.join(&torn).join("data.toml"), &text[..text.len() / 2]).unwrap();
    let robbed = cell(&run, &["sample", "c", "long"]);
    fs::remove_file(run.path.join(&robbed).join("output/trace.txt")).unwrap();
    fs::remove_file(run.path.join("stop.toml")).unwrap();
    run.tool("ekp-update").args([".", "-i", "2"]).fails(3).says("2 of 9 cells");
    run.launch(&["-q"]);
    same_science(&expected, &run);
}

#[test]
fn a_cell_killed_at_any_call_that_changes_the_disk_is_run_again_to_the_same_bytes() {
    if !strace::there() {
        return;
    }
    let folder = small("grid-points", "", "");
    let expected = made(&folder, "expected");
    expected.launch(&["-q"]);
    // Given a run whose targets are built, when one sampler is killed at its K-th call of a name
    let fresh = || {
        let _ = fs::remove_dir_all(folder.path().join("run"));
        let run = made(&folder, "run");
        run.tool("ekp-run-member").args([".", "-q", "-i", "1", "-m", "1-3"]).succeeds();
        run
    };
    let calls = "mkdir,rename,linkat,link,unlink,unlinkat,rmdir,openat,write";
    let args = [".", "-q", "-i", "2", "-m", "1"];
    let (ended, all) = strace::record(calls, "ekp-run-member", &fresh().path, &args);
    ended.code(0);
    let own = all.first().map(|call| call.pid.clone());
    let points: Vec<_> =
        all.into_iter().filter(|c| Some(&c.pid) == own.as_ref() && c.changes() && c.succeeded()).collect();
    assert!(points.len() > 10, "{points:?}");
    for point in points {
        let run = fresh();
        let inject = format!("inject={}:signal=SIGKILL:when={}", point.name, point.number);
        let options = ["-e", &format!("trace={}", point.name), "-e", &inject];
        let log = folder.path().join("log");
        let ended = strace::strace_alone(&options, &log, "ekp-run-member", &run.path).args(args).run();
        use std::os::unix::process::ExitStatusExt;
        let what = format!("{} {} {}", point.number, point.name, point.text);
        assert_eq!(ended.output.status.signal(), Some(9), "{what}");
        // Then the rest of the grid runs, and that cell again, to the same bytes
        run.launch(&["-q", "--on", "threads", "--workers", "1"]);
        same_science(&expected, &run);
    }
}

#[test]
fn finished_cells_come_over_to_a_grid_that_grew() {
    let folder = small("grid-grows", "", "");
    let old = made(&folder, "old");
    old.launch(&[]);
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    let grown = text
        .replace("values = [\"a\", \"b\", \"c\"]", "values = [\"d\", \"a\", \"b\", \"c\"]")
        .replace("steps = 4\n", "steps = 5\n");
    folder.write("experiment.toml", &grown);
    // The same folder is refused, with the way out
    let refused = tool("ekp-init", folder.path()).args(["experiment.toml", "old"]).fails(2);
    refused.says("holds a run of another experiment").says("--from");
    let new = folder.path().join("new");
    tool("ekp-init", folder.path())
        .args(["experiment.toml", "new", "--from", "old"])
        .succeeds()
        .says("6 finished cells came over"); // three targets, three long samplers
    let new = TestRun { path: new };
    new.launch(&["-v"]).says("all 12 cells are ok");
    // As if all had run here
    let fresh = made(&folder, "fresh");
    fresh.launch(&[]);
    same_science(&fresh, &new);
}

#[test]
fn a_person_may_mark_a_cell_and_it_stays_so() {
    let folder = small("grid-mark", "", "");
    let run = made(&folder, "run");
    run.tool("ekp-run-member").args([".", "-i", "1", "-m", "3", "--fail", "not wanted"]).succeeds();
    run.tool("ekp-launch").args(["."]).fails(4);
    run.tool("ekp-launch").args(["."]).fails(4).says("user: not wanted");
    assert_eq!(rows(&run).iter().filter(|row| row["state"] == "ok").count(), 6);
}

#[test]
fn what_is_wrong_in_a_grid_is_told_with_its_line() {
    let folder = small("grid-bad", "", "");
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    let check = |from: &str, to: &str, says: &[&str]| {
        assert!(text.contains(from), "{from}");
        folder.write("bad.toml", &text.replacen(from, to, 1));
        let ended = tool("ekp-init", folder.path()).args(["--check", "bad.toml"]).fails(2);
        says.iter().fold(ended, |ended, says| ended.says(says));
    };
    check(
        "after = \"build\"",
        "after = \"bild\"",
        &["bad.toml:", "no such stage before this one", "did you mean `build`?"],
    );
    check(
        "{sampler.steps}",
        "{sampler.step}",
        &["unknown placeholder `{sampler.step}`", "did you mean `{sampler.steps}`?"],
    );
    check(
        "values = [\"a\", \"b\", \"c\"]",
        "values = [\"a\", [1]]",
        &["a value is a scalar", "found an array"],
    );
    check("values = [\"a\", \"b\", \"c\"]", "values = []", &["an axis needs labels"]);
    check("name = \"sample\"", "name = \"a-b\"", &["a stage cannot have this name"]);
    check("retries = 0", "quorum = 0.5", &["`quorum` has no use in a grid"]);
    check("[[axis]]", "[prior]\nfile = \"p\"\n[[axis]]", &["`[prior]` has no use here"]);
    check("./build.sh", "./bild.sh", &["there is no program"]);
    check(
        "over = [\"target\"]",
        "over = [\"target\", \"tool\"]",
        &["there is no such axis", "allowed: `target` or `sampler`"],
    );
    check("{upstream}", "{upstream.sample}", &["unknown placeholder"]);
    let output = "[stage.model]\noutput = { file = \"x.csv\", format = \"csv\" }\n";
    check("[stage.model]\n", output, &["a cell of a grid leaves TOML"]);
    check("method = \"grid\"", "method = \"gird\"", &["`method` has no such choice", "did you mean `grid`?"]);
    let run = made(&folder, "run");
    run.tool("ekp-update").args([".", "-i", "1"]).fails(2).says("a grid is merged once");
    run.tool("ekp-run-member").args([".", "-i", "3", "-m", "1"]).fails(2).says("there is no stage 3");
    run.tool("ekp-init-ensemble").args(["."]).fails(2).says("is a run of a grid");
    run.tool("ekp-run-member").args([".", "--cell", "x"]).fails(2).says("there is no cell `x`");
}

#[test]
fn what_would_run_is_told_before_anything_does() {
    let folder = small("grid-dry", "", "");
    folder.write(
        "site.toml",
        "[slurm]\ntime = \"01:00:00\"\n[slurm.stage.sample]\ncpus_per_task = 2\nmem = \"4G\"\n",
    );
    let run = made(&folder, "run");
    let before = run.snapshot();
    let plan = run.tool("ekp-launch").args([".", "--on", "slurm", "--dry-run"]).succeeds().out();
    for line in [
        "build [1-3]",
        "sample.long [1-3]",
        "aftercorr:1",
        "(2 cores, 4G, 01:00:00)",
        "afterany:1:2:3",
        "5 jobs with 9 array elements for 9 cells",
        "15.0 core-hours",
    ] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    assert_eq!(before, run.snapshot());
    run.tool("ekp-run-member").args([".", "-i", "1", "-m", "2"]).succeeds();
    let plan = run.tool("ekp-launch").args([".", "--dry-run"]).succeeds().out();
    for line in ["ekp-run-member . -i 1 -m 1,3", "ekp-run-member . -i 2 -m 1,3    # sample.long", "MB disk"] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    for script in
        ["ekp_calibration.sbatch", "ekp_stage_build.sbatch", "ekp_stage_sample.sbatch", "ekp_merge.sbatch"]
    {
        program("bash", &run.path).args(["-n", script]).succeeds();
    }
    if there("shellcheck", program("shellcheck", &run.path).args(["--version"]).try_run().is_some()) {
        program("shellcheck", &run.path)
            .args(["ekp_calibration.sbatch", "ekp_stage_build.sbatch", "ekp_merge.sbatch"])
            .succeeds();
    }
}

#[test]
fn the_starter_runs_as_it_is() {
    let folder = Folder::new("grid-starter");
    tool("ekp-init", folder.path()).args(["--new", "grid", "."]).succeeds();
    tool("ekp-launch", folder.path()).args(["experiment.toml", "-q"]).succeeds();
    let table = fs::read_to_string(folder.path().join("runs/my_grid/results/my_grid_runs.csv")).unwrap();
    assert_eq!(table.lines().count(), 1 + 2 + 4);
}

#[test]
fn the_example_in_shell_finds_the_order_of_each_rule() {
    let study = Study::example("grid-shell", "grid_shell");
    tool("ekp-launch", study.folder.path()).args(["experiment.toml", "-q"]).succeeds();
    let text =
        fs::read_to_string(study.folder.path().join("runs/integrals/results/integrals_runs.csv")).unwrap();
    // Its page tells every cell, and that there are no samplers to choose from
    let report = |args: &[&str]| tool("ekp-report", study.folder.path()).args(["runs/integrals"]).args(args);
    report(&[]).succeeds().prints("runs/integrals/report/report.html");
    let page = fs::read_to_string(study.folder.path().join("runs/integrals/report/report.html")).unwrap();
    assert!(page.contains("grid of 33 cells in 3 stages") && page.contains("<td>monte_carlo</td>"));
    report(&["--best"]).fails(2).says("no runs of samplers to choose from");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let at = |name: &str| head.iter().position(|h| *h == name).unwrap();
    let all: Vec<Vec<&str>> = lines.collect();
    let error = |function: &str, rule: &str, points: &str| -> f64 {
        let row = all.iter().find(|row| {
            row[at("function")] == function && row[at("rule")] == rule && row[at("points")] == points
        });
        row.unwrap()[at("error")].parse().unwrap()
    };
    // Midpoint rule of x²: the error is exactly h²/12
    for (points, h) in [("10", 0.1f64), ("100", 0.01), ("1000", 0.001)] {
        assert!((error("square", "midpoint", points) - h * h / 12.0).abs() < 1e-12, "{points}");
    }
    // Simpson is exact for it, and of order four for a smooth one, of order 3/2 at the root's corner
    assert!(error("square", "simpson", "10") < 1e-15);
    let order = |f: &str| (error(f, "simpson", "10") / error(f, "simpson", "100")).log10();
    assert!((order("wave") - 4.0).abs() < 0.1 && (order("root") - 1.5).abs() < 0.1);
}

/// `results/llc_runs.csv` of an example, by target and sampler: mean, its error, R-hat, state.
fn llc_runs(example: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let study = Study::example(example, example);
    tool("ekp-launch", study.folder.path()).args(["experiment.toml", "-q", "--workers", "2"]).succeeds();
    let path = study.folder.path().join(format!("runs/{example}/results/llc_runs.csv"));
    let mut reader = csv_of(&fs::read_to_string(path).unwrap());
    let head = reader.remove(0);
    reader.into_iter().map(|row| head.iter().cloned().zip(row).collect()).collect()
}

/// Rows of a CSV whose quoted cells may hold line ends.
fn csv_of(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}

#[test]
fn samplers_find_the_coefficients_that_are_known_exactly() {
    let rows = llc_runs("llc_known");
    // At n = 1000 (nβ = 144.765) and γ = 1: ½ Σ nβa/(nβa + γ); twenty times the finite-n values of w⁴, w⁶ and
    // w₁²w₂² by quadrature; a deep linear target as another implementation sampled it (error 0.008)
    let exact = [1.9639, 20.0 * 0.24309, 20.0 * 0.15686, 20.0 * 0.36140, 3.255];
    assert_eq!(rows.len(), exact.len());
    for (row, exact) in rows.iter().zip(exact) {
        let number = |name: &str| row[name].parse::<f64>().unwrap();
        assert_eq!(row["state"], "ok");
        let error = number("llc_mcse").hypot(0.008);
        assert!((number("llc_mean") - exact).abs() < 4.0 * error, "{row:?} is not {exact}");
        assert!(number("r_hat") < 1.05);
    }
}

#[test]
fn two_targets_by_three_samplers_have_six_rows() {
    let rows = llc_runs("llc_smoke");
    let labels: Vec<&str> = rows.iter().map(|row| row["label"].as_str()).collect();
    assert_eq!(labels, ["hmc", "hmc", "sgld", "sgld", "vi", "vi"]);
    assert!(rows.iter().all(|row| row["state"] == "ok" && !row["llc_mean"].is_empty()));
}

#[test]
fn the_medium_grid_of_samplers_is_made_of_what_it_says() {
    let study = Study::example("llc-medium", "llc_grid");
    let check = tool("ekp-init", study.folder.path()).args(["--check", "experiment.toml"]).succeeds();
    check.says("a grid of 40 cells: 8 of `build_target`, 32 of `run_sampler`");
}
