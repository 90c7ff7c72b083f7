//! Faults are told at the line that a person wrote, with what to type, and models are not asked for what they cannot do.

use std::fs;

use crate::support::{Folder, Study, tool};

#[test]
fn a_fault_of_a_setting_is_marked_in_the_setting() {
    let study = Study::sinusoid("setting");
    tool("ekp-init", study.folder.path())
        .args(["experiment.toml", "run", "--set", "algorithm.membrs=40"])
        .fails(2)
        .says("--set:1:1")
        .says("algorithm.membrs=40")
        .says("did you mean `members`?");
    tool("ekp-launch", study.folder.path())
        .args(["nofile.toml"])
        .fails(2)
        .says("there is no experiment `nofile.toml`");
    tool("ekp-sweep", study.folder.path()).args(["nofile.toml"]).fails(2).says("hint: name the file");
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-update").args(["-i", "0"]).fails(3).says("hint: `ekp-run-member . -i 0 -m 1-20` runs them");
    run.tool("ekp-update").args(["-i", "99999999999"]).fails(2).says("at most 4294967295");
}

#[test]
fn a_fault_of_a_sweep_is_marked_in_the_sweep() {
    let study = Study::sinusoid("swept");
    let told = |more: &str, line: usize, says: &[&str]| {
        let text = format!("schema = \"ekp.sweep\"\nversion = 1\nname = \"s\"\n{more}\n");
        study.folder.write("sweep.toml", &text);
        let mut ended = tool("ekp-sweep", study.folder.path()).args(["sweep.toml"]).fails(2);
        ended = ended.says(&format!("sweep.toml:{line}:"));
        says.iter().fold(ended, |ended, text| ended.says(text));
    };
    told("experiment = \"nofile.toml\"\n[[case]]\nname = \"a\"", 4, &["there is no such experiment"]);
    let own = "experiment = \"experiment.toml\"\n";
    told(
        &format!("{own}[[case]]\nname = \"a\"\n[case.set]\nalgorithm.membrs = 4"),
        8,
        &["did you mean `members`?"],
    );
    told(&format!("{own}[[case]]\nname = \"a\"\n[case.set]\nsite.slurm.partitn = \"x\""), 8, &["partition"]);
    told(
        &format!("{own}[[axis]]\nname = \"n\"\nvalues = [1, 2]\nsets = \"lunch.workers\""),
        8,
        &["did you mean `launch`?"],
    );
    told(&format!("{own}[[case]]\nname = \"a\"\nset = {{ sead = 3 }}"), 7, &["did you mean `seed`?"]);
}

#[test]
fn what_does_not_fit_a_built_in_model_is_marked_where_it_is_said() {
    let study = Study::example("fit", "synthetic_basin");
    let text = fs::read_to_string(study.folder.path().join("experiment_dds.toml")).unwrap();
    study.folder.write("late.toml", &text.replace("2004-12-31", "2034-12-31"));
    tool("ekp-init", study.folder.path())
        .args(["late.toml", "run"])
        .fails(2)
        .says("calibration = [\"2002-01-01\", \"2034-12-31\"]")
        .says("cannot be scored there");
    let priors = fs::read_to_string(study.folder.path().join("priors.toml")).unwrap();
    study.folder.write(
        "priors.toml",
        &format!(
            "{priors}\n[fcc]\nprior = \"Parameterized(Normal(0, 1))\"\nconstraint = \"bounded(0, 1)\"\n"
        ),
    );
    tool("ekp-init", study.folder.path())
        .args(["experiment_dds.toml", "run"])
        .fails(2)
        .says("priors.toml:")
        .says("fc");
    study.folder.write("mixed.toml", &text.replace("2001-12-31", "2002-01-01"));
    tool("ekp-init", study.folder.path())
        .args(["mixed.toml", "run"])
        .fails(2)
        .says("begins within `spin_up`");
}

const SOUNDINGS: &str = "schema = \"ekp.experiment\"\nversion = 1\nname = \"s\"\nseed = 1\n\n\
    [model]\nbuiltin = \"tem1d\"\n\n[model.tem1d]\nsystem = \"default\"\nlayers = 2\n\n\
    [algorithm]\nmethod = \"forward\"\n\n[inputs]\n";

#[test]
fn a_batch_has_no_models_that_cannot_be() {
    let folder = Folder::new("impossible");
    folder.write("models.csv", "rho1,rho2,h1\n10,100,20\n10,1e6,20\n");
    let told = |inputs: &str, says: &[&str]| {
        folder.write("experiment.toml", &format!("{SOUNDINGS}{inputs}\n"));
        let ended = tool("ekp-init", folder.path()).args(["experiment.toml", "run"]).fails(2);
        says.iter().fold(ended, |ended, text| ended.says(text));
    };
    let grid = |rho: &str, name: &str, h: &str| {
        format!("[inputs.grid]\nrho1 = [{rho}]\n{name} = [10, 100]\nh1 = {{ linspace = {h} }}")
    };
    told(&grid("10", "rho2", "[-10, 50, 4]"), &["experiment.toml:20:", "h1 = -10 is no thickness"]);
    told(&grid("1e7", "rho2", "[10, 50, 4]"), &["experiment.toml:18:", "outside of"]);
    told(&grid("10", "rho9", "[10, 50, 4]"), &["experiment.toml:19:", "did you mean `rho2`?"]);
    told("table = \"models.csv\"", &["experiment.toml:17:", "rho2 = 1000000 is outside of"]);
    folder.write("experiment.toml", &format!("{SOUNDINGS}{}\n", grid("10", "rho2", "[10, 50, 4]")));
    tool("ekp-init", folder.path()).args(["experiment.toml", "run"]).succeeds();
    // Of a prior a word is said.
    folder.write(
        "priors.toml",
        "[rho1]\nprior = \"constrained_gaussian(rho1, 30, 10, 0, Inf)\"\n\
         [rho2]\nprior = \"constrained_gaussian(rho2, 30, 10, 0, Inf)\"\n\
         [h1]\nprior = \"Parameterized(Normal(0, 5))\"\nconstraint = \"no_constraint()\"\n",
    );
    folder.write(
        "experiment.toml",
        &format!("{SOUNDINGS}prior = 100\n")
            .replace("[inputs]", "[prior]\nfile = \"priors.toml\"\n\n[inputs]"),
    );
    tool("ekp-init", folder.path())
        .args(["experiment.toml", "drawn"])
        .succeeds()
        .says("% of the draws of `h1` are no thickness");
}
