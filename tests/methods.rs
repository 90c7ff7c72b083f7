//! Every method from end to end, through the tools: what is asked for in the file is what happens in the run.
//!
//! Whether the numbers are right is tested beside the methods; here they have to come near the truth (A = 1, v = 7).

use std::fs;

use crate::support::{Study, TestRun, tool};

/// The experiment file loses its number of members, for methods that place them.
fn without_members(study: &Study) {
    let path = study.folder.path().join("experiment.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("members")).collect();
    fs::write(&path, kept.join("\n") + "\n").unwrap();
}

fn near_the_truth(run: &TestRun) {
    let result = run.result();
    // Three standard deviations of the observation's noise, √0.1 for v and half of it for A, as for a posterior mean
    assert!((result["amplitude"].0 - 1.0).abs() < 0.5, "{result:?}");
    assert!((result["vert_shift"].0 - 7.0).abs() < 1.0, "{result:?}");
}

#[test]
fn samplers_sample_the_posterior_of_the_sinusoid() {
    for method in ["aldi", "eks"] {
        let study = Study::sinusoid("samplers").set("algorithm.method", method).iterations(120);
        let run = study.init("run");
        let copy = run.read("experiment.toml");
        assert!(copy.contains("scheduler = \"eks-stable\"  # default: short steps"), "{copy}");
        run.launch(&["--on", "threads"]);
        near_the_truth(&run);
        let stop = run.toml("stop.toml");
        assert_eq!(stop["reason"].as_str(), Some("iterations"));
        // The spread is of the size of the posterior's, 0.15 and 0.32: no collapse, no blow-up
        let (a, v) = (run.result()["amplitude"].1, run.result()["vert_shift"].1);
        assert!((0.04..0.5).contains(&a) && (0.1..1.0).contains(&v), "{method}: {a} {v}");
        let update = run.toml("iteration_100/update.toml");
        assert!(update["metrics"]["bayes_loss"].as_float().is_some());
    }
}

#[test]
fn unscented_methods_place_their_members_and_carry_mean_and_covariance() {
    let mut results = Vec::new();
    for (method, points, members) in
        [("utki", "symmetric", 5), ("uki", "symmetric", 5), ("utki", "simplex", 4)]
    {
        let study = Study::sinusoid("unscented")
            .set("algorithm.method", method)
            .set("algorithm.sigma_points", points)
            .set("algorithm.impose_prior", true);
        without_members(&study);
        let run = study.init("run");
        assert_eq!(run.toml("run.toml")["members"].as_integer(), Some(members));
        let copy = run.read("experiment.toml");
        assert!(copy.contains(&format!("members = {members}  # default")), "{copy}");
        assert!(copy.contains("prior_weight = \"once\""), "{copy}");
        // Making it again from the same file is the same run
        let again = tool("ekp-init", study.folder.path()).args(["experiment.toml", "run"]);
        again.succeeds().says("nothing changed");
        run.launch(&["--on", "threads"]);
        near_the_truth(&run);
        // The result is mean and covariance of the state: v has no bounds, so its spread is the last update's
        let spread = run.toml("iteration_009/update.toml")["spread"][1].as_float().unwrap();
        assert!((run.result()["vert_shift"].1 / spread - 1.0).abs() < 1e-9);
        // and for the prior that of the prior itself, mean 0 and standard deviation 5
        let first = run.toml("stop.toml")["result"][1].clone();
        assert!(first["prior_mean"].as_float().unwrap().abs() < 1e-9);
        assert!((first["prior_std"].as_float().unwrap() - 5.0).abs() < 1e-9);
        results.push(run.result());
    }
    // `uki` without a nugget is `utki`, to the last bit
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_failed_point_is_left_out_and_the_others_weigh_more() {
    let study = Study::started("unscented-failed", "utki").set("failures.retries", 0);
    let model = fs::read_to_string(study.folder.path().join("model.sh")).unwrap();
    let fails = "#!/bin/sh\n[ \"$EKP_MEMBER\" != 3 ] || exit 7\n";
    study.folder.script("model.sh", &model.replacen("#!/bin/sh\n", fails, 1));
    let study = study.iterations(2);
    let run = study.init("run");
    run.launch(&["--workers", "1"]);
    let update = run.toml("iteration_000/update.toml");
    assert_eq!(update["ok"].as_integer(), Some(4));
    assert!(update["set_aside"][0].as_str().unwrap().starts_with("member 3: exit"));
    assert!(run.has("stop.toml"));
}

#[test]
fn options_of_the_ensemble_methods_reach_the_run() {
    for (method, options) in [
        ("etki", vec![("momentum", "constant")]),
        ("eki", vec![("momentum", "first-order")]),
        ("etki", vec![("inflation", "additive"), ("inflation_covariance", "current")]),
        ("eki", vec![("inflation", "multiplicative")]),
    ] {
        let mut study = Study::sinusoid("options").set("algorithm.method", method).members(10).iterations(6);
        for (key, word) in &options {
            study = study.set(&format!("algorithm.{key}"), *word);
        }
        if options[0].0 == "inflation" {
            study = study.set("algorithm.inflation_rate", 0.1);
        }
        let run = study.init("run");
        run.launch(&["--on", "threads"]);
        let misfit =
            |n: i64| run.toml(&format!("iteration_{n:03}/update.toml"))["misfit"].as_float().unwrap();
        let last = run.toml("stop.toml")["final"].as_integer().unwrap() - 1;
        assert!(misfit(last) < misfit(0), "{method} {options:?}");
    }
    for method in ["etki", "eki"] {
        let study = Study::sinusoid("imposed").set("algorithm.method", method).iterations(12);
        let study = study.set("algorithm.impose_prior", true).set("algorithm.on_terminate", "continue");
        let run = study.init("run");
        let damped = run.read("experiment.toml").contains("inflation = \"prior-damping\"");
        assert_eq!(damped, method == "eki");
        run.launch(&["--on", "threads"]);
        near_the_truth(&run);
        assert!(run.toml("iteration_003/update.toml")["metrics"]["bayes_loss"].as_float().is_some());
    }
}

#[test]
fn a_mutable_step_holds_for_the_steps_to_come_and_not_for_those_decided() {
    let study = Study::sinusoid("mutable").members(6).iterations(3);
    let study = study.set("algorithm.scheduler", "mutable").set("algorithm.step", 0.1);
    let run = study.init("run");
    let extend = |run: &TestRun, to: &str| run.tool("ekp-init").args(["--extend", to, "."]);
    let close = |n: &str| {
        run.tool("ekp-run-member").args(["-i", n, "-m", "1-6"]).succeeds();
        run.tool("ekp-update").args(["-i", n]).succeeds();
    };
    let step = |n: &str| run.toml(&format!("iteration_00{n}/update.toml"))["step"].as_float().unwrap();
    run.tool("ekp-init-ensemble").succeeds();
    close("0");
    assert_eq!(step("0"), 0.1);
    // When another length is set
    extend(&run, "step=0.3").succeeds().says("steps have the length 0.3 from now on");
    extend(&run, "step=0.3").succeeds().says("nothing changed");
    assert!(!run.has("extend_002.toml"));
    close("1");
    assert_eq!((step("0"), step("1")), (0.1, 0.3));
    // Then an update that died after its decision is made again with the step it decided, whatever was set since
    let before = run.science();
    extend(&run, "step=0.7").succeeds();
    fs::remove_dir_all(run.path.join("iteration_002")).unwrap();
    run.tool("ekp-update").args(["-i", "1"]).succeeds();
    for (name, bytes) in &before {
        assert_eq!(run.science().get(name), Some(bytes), "{name}");
    }
    close("2");
    assert!((run.toml("iteration_002/update.toml")["time"].as_float().unwrap() - 1.1).abs() < 1e-12);
    // What is no length is refused
    extend(&run, "step=0").fails(2).says("allowed is a positive number");
    extend(&run, "step=-1").fails(2);
    extend(&run, "step=inf").fails(2);
}

#[test]
fn further_measures_are_told_of_methods_that_do_not_use_the_prior() {
    let study = Study::sinusoid("measures").set("algorithm.method", "eki").iterations(2);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    let update = run.toml("iteration_000/update.toml");
    for name in ["bayes_loss", "crps", "unweighted_loss", "unweighted_avg_rmse"] {
        assert!(update["metrics"][name].as_float().is_some(), "{name}");
    }
    run.tool("ekp-status").args(["-v"]).succeeds().prints("bayes_loss").prints("avg_rmse");
    run.tool("ekp-status").args(["--json"]).succeeds().prints("\"bayes_loss\":");
}

#[test]
fn inflation_takes_a_covariance_of_the_users_for_each_parameter() {
    let study = Study::sinusoid("sigma")
        .set("algorithm.method", "eki")
        .set("algorithm.inflation", "additive")
        .set("algorithm.inflation_rate", 0.1)
        .iterations(2);
    for (k, fits) in [(0, "[[0.1, 0.02], [0.02, 0.1]]"), (1, "[0.1, 0.2]"), (2, "0.1")] {
        let arg = format!("algorithm.inflation_covariance={fits}");
        tool("ekp-init", study.folder.path())
            .args(["-q", "experiment.toml", &format!("run{k}"), "--set", &arg])
            .succeeds();
        let run = TestRun { path: study.folder.path().join(format!("run{k}")) };
        run.launch(&["-q", "--on", "threads"]);
    }
    for (wrong, why) in [
        ("[0.1, 0.2, 0.3]", "one for each of the 2 parameters"),
        ("[[1.0, 2.0], [2.0, 1.0]]", "without negative eigenvalues"),
        ("[[1.0, 0.5], [0.2, 1.0]]", "a symmetric matrix"),
        ("[-1.0, 1.0]", "zero or positive"),
    ] {
        let arg = format!("algorithm.inflation_covariance={wrong}");
        tool("ekp-init", study.folder.path())
            .args(["--check", "experiment.toml", "--set", &arg])
            .fails(2)
            .says(why);
    }
}

#[test]
fn few_members_for_many_parameters_are_said() {
    let study = Study::sinusoid("few").set("algorithm.method", "etki").members(12);
    tool("ekp-init", study.folder.path())
        .args(["--check", "experiment.toml"])
        .succeeds()
        .says("12 members for 2 parameters are few: 20 give a usable covariance");
}
