//! Local learning coefficients through the tools: cells killed and signalled, targets and samplers that fail,
//! marks, the gallery, tables for export.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use crate::support::processes::{Dice, signal, wait_for};
use crate::support::{Folder, TestRun, same_science, tool};

/// Two targets by these samplers: `[axis.options.LABEL]` tables as text.
pub(crate) fn study(name: &str, targets: &str, samplers: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write(
        "experiment.toml",
        &format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"nets\"\nseed = 1\n[algorithm]\nmethod = \"grid\"\n\
             [[axis]]\nname = \"target\"\n{targets}\n[[axis]]\nname = \"sampler\"\n{samplers}\n\
             [[stage]]\nname = \"build_target\"\nover = [\"target\"]\nmodel = {{ builtin = \"llc-target\" }}\n\
             [[stage]]\nname = \"run_sampler\"\nover = [\"target\", \"sampler\"]\nafter = \"build_target\"\n\
             model = {{ builtin = \"llc-sample\" }}\n"
        ),
    );
    folder
}

/// A network of 45 parameters, trained on 100 examples.
pub(crate) const SMALL: &str = "[axis.options.small]\nmodel = { preset = \"small\", activation = \"tanh\" }\ntraining = { steps = 200, polish = false }";
/// A minimum of two parameters in closed form.
const QUADRATIC: &str = "[axis.options.quadratic]\nkind = \"quadratic\"\neigenvalues = [1.0, 100.0]";

fn made(folder: &Folder, run: &str) -> TestRun {
    tool("ekp-init", folder.path()).args(["-q", "experiment.toml", run]).succeeds();
    TestRun { path: folder.path().join(run) }
}

/// `results/llc_runs.csv`, a map for each row.
pub(crate) fn rows(run: &TestRun) -> Vec<BTreeMap<String, String>> {
    let text = run.read("results/llc_runs.csv");
    csv::Reader::from_reader(text.as_bytes()).deserialize().map(|row| row.unwrap()).collect()
}

/// The text of every log of a stage.
fn logs(run: &TestRun, stage: &str, ending: &str) -> String {
    let entries = fs::read_dir(run.path.join("logs").join(stage)).into_iter().flatten().flatten();
    let ours = entries.filter(|e| e.path().extension().is_some_and(|found| found == ending));
    ours.map(|e| fs::read_to_string(e.path()).unwrap()).collect()
}

/// The state file of the only cell that is being sampled, once there is one.
fn state(run: &TestRun) -> Option<Vec<u8>> {
    let mut all = walkdir::WalkDir::new(run.path.join("stage_2_run_sampler")).into_iter().flatten();
    all.find(|e| e.file_name() == "chains.bin").and_then(|e| fs::read(e.path()).ok())
}

/// Samplers of each kind that keep their state after every draw of a long warming up: cells that last for the sake of
/// the disk, whatever the processor.
const KEEPING: &str = "[axis.options.hmc]\ndraws = 200\nwarmup = 1500\ncheckpoint_s = 0\n\
    [axis.options.mclmc]\nsampler = \"mclmc\"\ndraws = 200\nwarmup = 1500\ncheckpoint_s = 0\n\
    [axis.options.sgld]\nsampler = \"sgld\"\nsteps = 4000\nwarmup = 3000\nbatch = 4\neval_every = 2\ncheckpoint_s = 0\n\
    [axis.options.vi]\nsampler = \"vi\"\nsteps = 1500\nbatch = 4\neval_every = 1\ncheckpoint_s = 0";

#[test]
fn a_cell_killed_at_random_goes_on_from_its_state_to_the_same_bytes() {
    let folder = study("llc-kills", QUADRATIC, KEEPING);
    let expected = made(&folder, "expected");
    expected.launch(&["-q", "--workers", "2"]);
    let run = made(&folder, "run");
    run.tool("ekp-run-member").args([".", "-q", "-i", "1", "-m", "1"]).succeeds();
    // When every sampler is killed again and again, a random while after it kept a new state
    let mut dice = Dice::new(11);
    let mut kills = 0;
    for cell in 1..=4 {
        for _ in 0..5 {
            let args = [".", "-q", "-i", "2", "-m", &cell.to_string()];
            let mut command = run.tool("ekp-run-member").args(args).command();
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let before = state(&run);
            while state(&run) == before && child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            std::thread::sleep(std::time::Duration::from_micros(dice.below(20_000) as u64));
            let _ = child.kill();
            if child.wait().unwrap().signal() == Some(9) {
                kills += 1;
            }
        }
    }
    assert!(kills >= 4, "{kills} kills: the cells are too short");
    // Then it goes on where it stood, and ends with the same bytes
    run.launch(&["-q", "--workers", "2"]);
    assert!(logs(&run, "run_sampler", "log").contains("goes on behind draw"));
    same_science(&expected, &run);
}

#[test]
fn at_a_signal_a_cell_keeps_its_state_and_goes_on_to_the_same_bytes() {
    let hmc = "[axis.options.hmc]\ndraws = 200\nwarmup = 2000\ncheckpoint_s = 0";
    let folder = study("llc-signal", QUADRATIC, hmc);
    let expected = made(&folder, "expected");
    expected.launch(&["-q"]);
    for name in ["USR1", "TERM"] {
        let run = made(&folder, name);
        run.tool("ekp-run-member").args([".", "-q", "-i", "1", "-m", "1"]).succeeds();
        let mut command = run.tool("ekp-run-member").args([".", "-q", "-i", "2", "-m", "1"]).command();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("a state", 60, || state(&run).is_some());
        signal(name, child.id().into());
        assert_eq!(child.wait().unwrap().code(), Some(1), "{name}");
        assert!(state(&run).is_some(), "{name}: it kept no state");
        run.launch(&["-q"]);
        let log = logs(&run, "run_sampler", "log");
        assert!(log.contains("told to stop") && log.contains("goes on behind draw"), "{log}");
        same_science(&expected, &run);
    }
}

#[test]
fn a_target_that_cannot_train_and_a_sampler_that_diverges_are_rows_with_their_causes() {
    let targets = format!("{QUADRATIC}\n[axis.options.wild]\ndata = {{ noise_scale = 1e200 }}");
    let samplers = "[axis.options.hmc]\ndraws = 200\nwarmup = 100\n\
        [axis.options.sgld]\nsampler = \"sgld\"\nsteps = 3000\nwarmup = 100\nstep_size = 1.0";
    let folder = study("llc-fails", &targets, samplers);
    let run = made(&folder, "run");
    let ended = run.tool("ekp-launch").args(["."]).fails(4);
    let ended =
        ended.says("4 of 6 cells have no data: 2 failed, 2 stand on those").says("logs/build_target/");
    ended.says("the chains diverged").says("target=quadratic, sampler=sgld").says("logs/run_sampler/");
    let all = rows(&run);
    assert_eq!(all.len(), 4, "two targets by two samplers");
    let states: Vec<&str> = all.iter().map(|row| row["state"].as_str()).collect();
    assert_eq!(states, ["ok", "failed", "diverged", "failed"], "{all:?}");
    assert!(all[1]["error"].contains("`build_target` of target=wild failed"), "{}", all[1]["error"]);
    assert!(all[2]["error"].contains("step size"), "{}", all[2]["error"]);
    // What is named as the log holds the cause, under the names of such workflows
    assert!(logs(&run, "run_sampler", "err").contains("diverged"));
    assert!(!logs(&run, "build_target", "err").is_empty());
    let name = format!("logs/run_sampler/{}_hmc_{}.log", all[0]["target_id"], all[0]["run_id"]);
    assert!(run.has(&name), "{name}");
    // A report does not fail for it: the tile of each such run tells why and names the log
    run.tool("ekp-report").succeeds().says("5 figures");
    let page = run.read("report/report.html");
    assert!(page.contains("diverged: the chains diverged") && page.contains("failed: `build_target` of"));
    assert!(
        page.matches("log: ./logs/run_sampler/").count() + page.matches("log: logs/run_sampler/").count()
            >= 3
    );
}

#[test]
fn a_cell_whose_chains_have_not_met_is_marked_everywhere() {
    let samplers = "[axis.options.hmc]\ndraws = 200\nwarmup = 100\n\
        [axis.options.slow]\nsampler = \"sgld\"\nsteps = 3000\nwarmup = 0\neval_every = 10\nstep_size = 1e-9";
    let folder = study("llc-marks", QUADRATIC, samplers);
    let run = made(&folder, "run");
    let said = "R-hat";
    run.launch(&[]).says("all 3 cells are ok, 1 of them marked").says(said);
    let all = rows(&run);
    assert_eq!((all[0]["mark"].as_str(), all[1]["state"].as_str()), ("", "ok"));
    assert!(all[1]["mark"].contains(said) && all[1]["r_hat"].parse::<f64>().unwrap() > 1.1);
    assert!(run.read("results/nets_runs.csv").contains("the chains have not met"));
    let marked = run.toml("stop.toml")["marked"].as_array().unwrap().clone();
    assert!(marked.len() == 1 && marked[0].as_str().unwrap().contains(said), "{marked:?}");
    let status = run.tool("ekp-status").succeeds().out();
    assert!(status.contains("run_sampler target=quadratic, sampler=slow: R-hat"), "{status}");
    let json = run.tool("ekp-status").args(["--json"]).succeeds().out();
    assert!(json.contains("\"marked\""), "{json}");
    assert!(logs(&run, "run_sampler", "log").contains("marked: R-hat"));
    run.tool("ekp-report").succeeds();
    let page = run.read("report/report.html");
    assert!(
        page.contains("Marked, not to be believed as they are") && page.contains("<b class=\"bad\">R-hat")
    );
}

/// Names of the figures of a report, workers left out.
fn figures(run: &TestRun, folder: &str) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(run.path.join(folder))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".svg") && name != "fig_workers.svg")
        .collect();
    all.sort();
    all
}

#[test]
fn the_gallery_shows_what_is_chosen_and_never_fails_for_what_is_missing() {
    let targets = format!("{QUADRATIC}\n{SMALL}");
    let samplers = "[axis.options.hmc]\ndraws = 120\nwarmup = 60\n\
        [axis.options.sgld]\nsampler = \"sgld\"\nsteps = 1200\nwarmup = 400\nbatch = 16\neval_every = 10";
    let folder = study("llc-gallery", &targets, samplers);
    let run = made(&folder, "run");
    // Given a grid that has not begun: a page of tiles that say so
    run.tool("ekp-report").args([".", "-o", "early"]).succeeds();
    assert_eq!(figures(&run, "early").len(), 4);
    assert!(run.read("early/report.html").contains("not begun"));
    run.launch(&["-q", "--workers", "2"]);
    // All of them
    run.tool("ekp-report")
        .args([".", "-o", "all", "--format", "svg,png"])
        .succeeds()
        .prints("all/report.html");
    let all = figures(&run, "all");
    assert_eq!(
        all,
        ["fig_quadratic_hmc.svg", "fig_quadratic_sgld.svg", "fig_small_hmc.svg", "fig_small_sgld.svg"]
    );
    assert!(fs::read(run.path.join("all/fig_small_hmc.png")).unwrap().starts_with(b"\x89PNG"));
    let page = run.read("all/report.html");
    let beyond = page.replace("http://www.w3.org/2000/svg", "");
    assert!(
        !beyond.contains("http") && !beyond.contains("<script") && !beyond.contains("src="),
        "self-contained"
    );
    assert!(page.contains("R̂ 1.") && page.contains("reference") && page.contains(" σ<"));
    // The numbers behind the panels: the estimate at the end of the run is that of the table
    let text = run.read("all/data/fig_small_hmc_b.csv");
    let last: Vec<f64> = text.lines().last().unwrap().split(',').map(|x| x.parse().unwrap()).collect();
    let rows = rows(&run);
    let row = rows.iter().find(|row| row["label"] == "hmc" && row["model"] == "small").unwrap();
    let number = |name: &str| row[name].parse::<f64>().unwrap();
    assert_eq!((last[0], last[1]), (120.0, number("total_fge")));
    assert!((last[2] / number("llc_mean") - 1.0).abs() < 1e-9, "another order of 480 sums");
    // Ranks: every chain has as many draws as every other
    let text = run.read("all/data/fig_small_hmc_c.csv");
    let chain: Vec<f64> =
        text.lines().skip(1).map(|l| l.split(',').nth(2).unwrap().parse().unwrap()).collect();
    assert!((chain.iter().sum::<f64>() / chain.len() as f64 - 1.0).abs() < 1e-9);
    // Chosen: by label, by target, the best of each
    for (args, expected) in [
        (vec!["--label", "sgld"], vec!["fig_quadratic_sgld.svg", "fig_small_sgld.svg"]),
        (vec!["--target", "small"], vec!["fig_small_hmc.svg", "fig_small_sgld.svg"]),
        (vec!["--target", &row["target_id"], "--label", "hmc"], vec!["fig_small_hmc.svg"]),
    ] {
        run.tool("ekp-report").args([".", "-o", "chosen"]).args(&args).succeeds();
        assert_eq!(figures(&run, "chosen"), expected, "{args:?}");
        fs::remove_dir_all(run.path.join("chosen")).unwrap();
    }
    run.tool("ekp-report").args([".", "-o", "best", "--best"]).succeeds();
    assert_eq!(figures(&run, "best").len(), 2);
    run.tool("ekp-report").args([".", "--label", "hmd"]).fails(2).says("did you mean `hmc`?");
    run.tool("ekp-report").args([".", "--target", "large"]).fails(2).says("target=quadratic; target=small");
    // A trace that is gone, and one that is cut short, are tiles
    fs::remove_file(run.path.join(&row["run_dir"]).join("output/trace.npy")).unwrap();
    let other = rows.iter().find(|row| row["label"] == "sgld" && row["model"] == "small").unwrap();
    fs::write(run.path.join(&other["run_dir"]).join("output/trace.npy"), b"\x93NUMPY").unwrap();
    run.tool("ekp-report").args([".", "-o", "robbed"]).succeeds().says("5 figures");
    assert_eq!(figures(&run, "robbed"), all);
    assert!(run.read("robbed/report.html").contains("trace.npy"));
}

#[test]
fn what_a_grid_of_samplers_will_cost_is_told_before_anything_runs() {
    let samplers =
        "[axis.options.hmc]\ndraws = 1000\nwarmup = 500\n[axis.options.long]\ndraws = 20000\nwarmup = 500";
    let folder = study("llc-forecast", SMALL, samplers);
    let run = made(&folder, "run");
    let told = run.tool("ekp-launch").args([".", "--dry-run", "--on", "slurm"]).succeeds().out();
    // 4 chains of (1500 + 20500) × 10 gradients of 6 · 100 · 45 flops at 20 GFLOP/s; 64 bytes a draw
    assert!(told.contains("`run_sampler`: 2 cells, by their options 1.2 core-seconds, "), "{told}");
    assert!(told.contains("about 5.4 MB disk") && told.contains("`build_target`: 1 cells, by"), "{told}");
    let memory = told.split("core-seconds, ").nth(2).unwrap().split(' ').next().unwrap();
    assert!((20.0..30.0).contains(&memory.parse::<f64>().unwrap()), "{told}");
}

#[test]
fn the_tables_of_a_grid_are_exported_and_what_does_not_fit_is_refused() {
    let folder = study("llc-export", QUADRATIC, "[axis.options.hmc]\ndraws = 100\nwarmup = 50");
    let run = made(&folder, "run");
    // Before anything has run: a row for each cell
    let early = run.tool("ekp-export").succeeds().says("nets_runs: 2 rows").out();
    assert_eq!(early.lines().filter(|line| line.contains(",missing,")).count(), 2, "{early}");
    run.launch(&["-q"]);
    for (table, file) in [("nets_runs", "cells"), ("llc_runs", "runs")] {
        for ending in ["csv", "parquet"] {
            let name = format!("{file}.{ending}");
            run.tool("ekp-export").args([".", "-q", "--table", table, "-o", &name]).succeeds().prints(&name);
            let theirs = fs::read(run.path.join(format!("results/{table}.{ending}"))).unwrap();
            assert!(theirs == fs::read(run.path.join(&name)).unwrap(), "{name}");
        }
    }
    let refused = |args: &[&str], says: &str| {
        run.tool("ekp-export").args(["."]).args(args).fails(2).says(says);
    };
    refused(&["-o", "x.npy"], "allowed of a grid: csv, parquet");
    refused(&["--format", "parquet"], "name it: `-o table.parquet`");
    refused(&["--table", "runs"], "allowed: `nets_runs`, `llc_runs`");
    refused(&["--climacalibrate", "-o", "x"], "a grid has no ensembles");
}

#[test]
fn a_grid_from_cron_gives_no_other_try_and_a_rolling_chain_is_no_chain_of_a_grid() {
    let targets = format!("{QUADRATIC}\n[axis.options.wild]\ndata = {{ noise_scale = 1e200 }}");
    let folder = study("llc-once", &targets, "[axis.options.hmc]\ndraws = 100\nwarmup = 50");
    folder.write("site.toml", "[slurm]\nchain = \"rolling\"\n");
    tool("ekp-init", folder.path())
        .args(["experiment.toml", "run"])
        .succeeds()
        .says("a grid is submitted as a whole")
        .says("members_per_task");
    let run = TestRun { path: folder.path().join("run") };
    run.tool("ekp-launch").args([".", "--once"]).fails(4).says("1 failed, 1 stand on those");
    let tries = || {
        walkdir::WalkDir::new(run.path.join("stage_1_build_target"))
            .into_iter()
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("try_"))
            .count()
    };
    let before = tries();
    run.tool("ekp-launch").args([".", "--once"]).fails(4);
    assert_eq!(tries(), before, "what failed waits for a person");
    run.tool("ekp-launch").args(["."]).fails(4).says("2 cells without data get another try");
    assert!(tries() > before);
}
