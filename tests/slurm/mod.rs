//! On a real Slurm of virtual nodes (`tests/slurm/bed`).
//!
//! Most tests share one bed; those that kill daemons or need other limits have their own. Where Slurm is
//! missing and cannot be installed, tests skip and say so; with CI=true or EKP_REQUIRE_SLURM=1 they fail.

mod bed;
mod chains;
mod cut;
mod elsewhere;
mod failures;
mod grids;
mod limits;
mod llc;
mod lost;
mod pools;
mod sweeps;
mod twice;
mod workers;

use crate::support::{Study, TestRun};

/// The model of the templates, `prefix` run before it.
fn model(prefix: &str) -> String {
    let text = include_str!("../../templates/model.sh");
    text.replacen("#!/bin/sh\n", &format!("#!/bin/sh\n{prefix}\n"), 1)
}

/// A study with the external model, `prefix` run before it; 6 members, 2 iterations.
fn external(name: &str, prefix: &str) -> Study {
    Study::external(name).members(6).iterations(2).model(&model(prefix))
}

/// The same science, carried out in this process's way: the run to compare with.
fn reference(study: &Study) -> TestRun {
    let run = study.init("reference");
    run.launch(&["--on", "threads", "--workers", "2"]);
    run
}

/// A site file beside the experiment.
fn site(study: &Study, text: &str) {
    study.folder.write("site.toml", text);
}

/// `iteration N element E on …` lines of a log: how often the element was started.
fn starts(run: &TestRun, log: &str) -> usize {
    let path = run.path.join("logs").join(log);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| line.starts_with("iteration ") && line.contains(" element ")).count()
}

/// Records of submissions.
fn records(run: &TestRun) -> Vec<toml::Table> {
    (1..)
        .map_while(|n| {
            let name = format!("jobs/{n:04}.toml");
            run.has(&name).then(|| run.toml(&name))
        })
        .collect()
}
