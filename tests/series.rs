//! A series in minibatches, through the tools: the example runs, repeats itself, and survives kills.

use std::fs;

use crate::support::{Study, same_science, tool};

/// Names of the observations of an iteration.
fn seen(run: &crate::support::TestRun, iteration: u32) -> Vec<String> {
    let batch = run.toml(&format!("iteration_{iteration:03}/batch.toml"));
    batch["observations"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_iteration_sees_its_batch_and_an_epoch_all_of_them() {
    let study =
        Study::example("series", "minibatch").set("algorithm.terminate_at", f64::INFINITY).iterations(6);
    let run = study.init("run");
    run.launch(&["--workers", "2"]);
    for epoch in 0..2 {
        let mut all: Vec<String> =
            (4 * epoch..4 * epoch + 4).filter(|&n| n < 7).flat_map(|n| seen(&run, n)).collect();
        let n = all.len();
        all.sort();
        all.dedup();
        assert_eq!((all.len(), n), if epoch == 0 { (12, 12) } else { (9, 9) });
    }
    assert_ne!(seen(&run, 0), seen(&run, 4), "the next epoch has another order");
    for n in 0..6 {
        let data = run.toml(&format!("iteration_{n:03}/member_003/data.toml"));
        let output = data["model_output"].as_table().unwrap();
        assert_eq!(
            output.keys().cloned().collect::<std::collections::BTreeSet<_>>(),
            seen(&run, n).into_iter().collect()
        );
        for (name, values) in output {
            assert_eq!(values.as_array().unwrap().len(), if name == "year_12" { 8 } else { 12 });
        }
    }
    // The table has a column for each number of the series, and cells for what was asked
    let table = run.tool("ekp-export").succeeds().out();
    let mut lines = table.lines();
    let columns = lines.next().unwrap().split(',').count();
    assert_eq!(columns, 3 + 3 + 11 * 12 + 8);
    assert!(lines.all(|line| line.split(',').count() == columns));
}

#[test]
fn a_run_in_pieces_with_losses_has_the_bytes_of_one_at_once() {
    let study = Study::example("series-pieces", "minibatch").members(8).iterations(5);
    let at_once = study.init("at_once");
    at_once.launch(&["--workers", "1"]);
    let pieces = study.init("pieces");
    pieces.tool("ekp-init-ensemble").succeeds();
    for n in 0..5 {
        if pieces.has("stop.toml") {
            break;
        }
        let i = n.to_string();
        let members = |list: &str| pieces.tool("ekp-run-member").args([".", "-i", &i, "-m", list]).succeeds();
        members("5-8");
        // Too early: refused, and nothing moves on
        let before = seen(&pieces, n);
        pieces.tool("ekp-update").args([".", "-i", &i]).fails(3);
        assert_eq!(seen(&pieces, n), before);
        if n == 2 {
            fs::remove_file(pieces.path.join("iteration_002/batch.toml")).unwrap();
            fs::remove_file(pieces.path.join("iteration_002/member_006/data.toml")).unwrap();
        }
        members("1-8");
        pieces.tool("ekp-update").args([".", "-i", &i]).succeeds();
        if n == 1 {
            // Killed between the decision and the next iteration
            fs::remove_dir_all(pieces.path.join("iteration_002")).unwrap();
            pieces.tool("ekp-update").args([".", "-i", &i]).succeeds();
        }
    }
    same_science(&at_once, &pieces);
}

#[test]
fn a_pseudo_time_for_fewer_passes_than_one_is_told() {
    let study = Study::example("series-time", "minibatch").set("algorithm.terminate_at", 1.0);
    tool("ekp-init", study.folder.path())
        .args(["--check"])
        .succeeds()
        .says("`terminate_at = 4.0` gives each observation its weight once");
}

#[test]
fn a_large_covariance_is_factored_once_and_the_record_may_vanish() {
    let study = Study::sinusoid("factored").members(6).iterations(3);
    // 150 copies of the two outputs are no physics, but a dense matrix of 300 rows
    let n = 150;
    let rows: Vec<String> = (0..n)
        .map(|i| {
            let row: Vec<String> =
                (0..n).map(|j| format!("{:?}", 0.1 * (-f64::from(u32::abs_diff(i, j))).exp())).collect();
            row.join(",")
        })
        .collect();
    study.folder.write("c.csv", &rows.join("\n"));
    study.folder.write(
        "observation.toml",
        &format!(
            "schema = \"ekp.observation\"\nversion = 1\n[[block]]\nname = \"y\"\ny = {:?}\ncovariance = {{ dense = {{ file = \"c.csv\" }} }}\n",
            vec![1.0; n as usize]
        ),
    );
    let study = study
        .set("model.command", toml::Value::from(vec!["./model.sh"]))
        .set("model.files", toml::Value::from(vec!["model.sh"]))
        .set(
            "model.output",
            "output = { format = \"text\", file = \"out.txt\" }".parse::<toml::Table>().unwrap()["output"]
                .clone(),
        );
    study.folder.script(
        "model.sh",
        "#!/bin/sh\nawk '/^\\[/ { t = $1 } $1 == \"value\" { p[t] = $3 } END { for (i = 0; i < 150; i++) printf \"%.17g\\n\", p[\"[amplitude]\"] + p[\"[vert_shift]\"] * i / 150 }' \"$EKP_PARAMETERS\" > out.txt\n",
    );
    let mut text: toml::Table =
        fs::read_to_string(study.folder.path().join("experiment.toml")).unwrap().parse().unwrap();
    text["model"].as_table_mut().unwrap().remove("builtin");
    study.folder.write("experiment.toml", &text.to_string());
    let (kept, lost) = (study.init("kept"), study.init("lost"));
    assert!(kept.has("observation.bin"));
    kept.launch(&["--workers", "1"]);
    fs::remove_file(lost.path.join("observation.bin")).unwrap();
    lost.launch(&["--workers", "1"]);
    assert!(lost.has("observation.bin"), "made again by the first update");
    same_science(&kept, &lost);
}
