//! `ekp-init`: what it makes, what it refuses to touch, and its other tasks.

use std::fs;
use std::path::Path;

use crate::support::{Folder, Study, TestRun, program, tool, tools};

/// A fake `sbatch` in front of everything else on PATH.
fn with_sbatch(folder: &Folder, script: &str) -> String {
    folder.script("bin/sbatch", script);
    format!("{}:{}:/usr/bin:/bin", folder.path().join("bin").display(), tools().display())
}

fn run_at(folder: &Folder, name: &str) -> TestRun {
    TestRun { path: folder.path().join(name) }
}

#[test]
fn the_same_again_changes_no_byte_and_says_so() {
    let study = Study::sinusoid("again");
    let init = || tool("ekp-init", study.folder.path()).args(["experiment.toml"]);
    let first = init().succeeds();
    let run = run_at(&study.folder, "runs/sinusoid");
    assert_eq!(first.out(), format!("{}\n", run.path.display()), "the path, alone, on stdout");
    let first = first.says("made `");
    assert!(first.err().contains("next:  ekp-launch runs/sinusoid"), "{}", first.err());
    assert!(first.err().contains("cd runs/sinusoid && sbatch ekp_calibration.sbatch"), "{}", first.err());
    let before = run.snapshot();
    let second = init().succeeds().says("nothing changed");
    assert_eq!(second.out(), format!("{}\n", run.path.display()));
    assert_eq!(run.snapshot(), before);
    // Named in another way it is the same run: only the line that tells how would differ
    tool("ekp-init", study.folder.path()).args([".", "./runs/sinusoid/"]).succeeds().says("nothing changed");
    assert_eq!(run.snapshot(), before);
    // A comment is no science
    let text = fs::read_to_string(study.folder.path().join("experiment.toml")).unwrap();
    study.folder.write("experiment.toml", &format!("# thought again\n{text}"));
    init().succeeds().says("nothing changed");
    assert_eq!(run.snapshot(), before);
}

#[test]
fn settings_change_the_copy_and_leave_the_experiment() {
    let study = Study::sinusoid("settings");
    let before = fs::read(study.folder.path().join("experiment.toml")).unwrap();
    let sets = ["--set", "algorithm.members=7", "--set", "failures.quorum=0.9", "--set", "name=other"];
    tool("ekp-init", study.folder.path()).args(sets).succeeds();
    let run = run_at(&study.folder, "runs/other");
    let copy = run.toml("experiment.toml");
    assert_eq!(copy["algorithm"]["members"].as_integer(), Some(7));
    assert_eq!(copy["failures"]["quorum"].as_float(), Some(0.9));
    assert_eq!(run.toml("run.toml")["members"].as_integer(), Some(7));
    assert_eq!(fs::read(study.folder.path().join("experiment.toml")).unwrap(), before);
    // Defaults are written out, and marked
    assert!(run.read("experiment.toml").contains("retries = 1"), "{}", run.read("experiment.toml"));
    assert!(run.read("experiment.toml").contains("# default"));
}

#[test]
fn another_site_rewrites_machine_files_and_nothing_else() {
    let study = Study::sinusoid("site").members(4).iterations(2);
    let run = study.init("run");
    run.launch(&["--on", "threads"]);
    let (science, before) = (run.science(), run.snapshot());
    study.folder.write("hpc.toml", "[slurm]\npartition = \"long\"\ntime = 90\n");
    let init =
        || tool("ekp-init", study.folder.path()).args(["--site", "hpc.toml", "experiment.toml", "run"]);
    init().succeeds().says("scripts and site written anew");
    assert_eq!(run.science(), science);
    let changed: Vec<String> = run
        .snapshot()
        .into_iter()
        .filter(|(name, bytes)| before.get(name) != Some(bytes))
        .map(|c| c.0)
        .collect();
    assert!(changed.iter().all(|name| name.ends_with(".sbatch") || name == "site.toml"), "{changed:?}");
    assert!(run.read("ekp_run_member.sbatch").contains("#SBATCH --partition=long"));
    let after = run.snapshot();
    init().succeeds().says("nothing changed");
    assert_eq!(run.snapshot(), after);
}

#[test]
fn a_changed_experiment_is_refused_and_more_iterations_are_pointed_to_extend() {
    let study = Study::sinusoid("changed").iterations(3);
    let run = study.init("run");
    let before = run.snapshot();
    let study = study.iterations(9);
    let init = tool("ekp-init", study.folder.path()).args(["experiment.toml", "run"]).fails(2);
    init.says("experiment.toml: algorithm.iterations: the run has 3, now 9")
        .says("`ekp-init --extend iterations=N RUN`");
    assert_eq!(run.snapshot(), before);
    // The same for the length of steps
    let mutable = study.iterations(3).set("algorithm.scheduler", "mutable").set("algorithm.step", 0.5);
    mutable.init("mutable");
    let other = mutable.set("algorithm.step", 0.25);
    let init = tool("ekp-init", other.folder.path()).args(["experiment.toml", "mutable"]).fails(2);
    init.says("algorithm.step: the run has 0.5, now 0.25").says("`ekp-init --extend step=X RUN`");
}

#[test]
fn a_run_folder_is_no_experiment_to_begin_from() {
    let study = Study::sinusoid("inside").members(4);
    let run = study.init("run");
    let before = run.snapshot();
    let init = |args: &[&str]| tool("ekp-init", study.folder.path()).args(args.to_vec());
    for more in
        [vec!["other"], vec!["--set", "seed=1"], vec!["--try"], vec!["--check"], vec!["--from", "run:0"]]
    {
        init(&[&["run"], more.as_slice()].concat()).fails(2).says("`run` is a run folder already");
    }
    // By itself it looks whether the scripts still follow its site
    init(&["run"]).succeeds().says("nothing changed");
    run.tool("ekp-init").succeeds().says("nothing changed");
    assert_eq!(run.snapshot(), before);
    // Which a person may have edited
    fs::write(run.path.join("site.toml"), "[slurm]\npartition = \"long\"\n").unwrap();
    run.tool("ekp-init").succeeds().says("written anew");
    assert!(run.read("ekp_update.sbatch").contains("#SBATCH --partition=long"));
}

#[test]
fn check_makes_nothing_and_asks_slurm_where_it_is() {
    let study = Study::sinusoid("check");
    let folder = Folder::new("check-bin");
    let names = || walkdir::WalkDir::new(study.folder.path()).into_iter().flatten().count();
    let before = names();
    let check = |script: &str| {
        let path = with_sbatch(&folder, script);
        tool("ekp-init", study.folder.path()).args(["--check", "experiment.toml"]).env("PATH", path)
    };
    // Slurm takes the jobs
    let asked = folder.path().join("asked");
    let script = format!(
        "#!/bin/sh\necho \"$@ ${{SLURM_JOB_ID:-none}} ${{SBATCH_PARTITION:-none}}\" >> {}\n\
         echo 'sbatch: Job 12 to start at 2026-01-01T00:00:00 using 1 processors' >&2\n",
        asked.display()
    );
    let ended = check(&script).env("SLURM_JOB_ID", "7").env("SBATCH_PARTITION", "x").succeeds();
    let ended =
        ended.says("etki with 20 members").says("Slurm takes `ekp_run_member.sbatch`: Job 12 to start");
    assert_eq!(ended.out(), "");
    let asked = fs::read_to_string(asked).unwrap();
    assert_eq!(asked.lines().count(), 2, "{asked}");
    assert!(asked.lines().all(|l| l.starts_with("--test-only ") && l.ends_with(" none none")), "{asked}");
    assert!(asked.contains("--array=1-20 "), "{asked}");
    // Slurm refuses one
    let refusal = "#!/bin/sh\necho 'sbatch: error: invalid partition specified: cpu' >&2\n\
                   echo 'allocation failure: Invalid partition name specified' >&2\nexit 1\n";
    check(refusal)
        .fails(2)
        .says("Slurm refuses `ekp_run_member.sbatch`: invalid partition specified: cpu; allocation failure")
        .says("mend `site.toml`");
    // Slurm does not answer: no word about the experiment
    let silent =
        "#!/bin/sh\necho 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2\nexit 1\n";
    check(silent).succeeds().says("Slurm does not answer");
    // No Slurm
    fs::remove_file(folder.path().join("bin/sbatch")).unwrap();
    let bare = folder.path().join("bin");
    tool("ekp-init", study.folder.path())
        .args(["--check"])
        .env("PATH", bare)
        .succeeds()
        .says("no `sbatch` here");
    assert_eq!(names(), before);
}

#[test]
fn a_trial_runs_the_real_command_and_publishes_nothing() {
    let study = Study::external("try");
    let temporary = Folder::new("try-tmp");
    let files = |path: &Path| walkdir::WalkDir::new(path).into_iter().flatten().count();
    let before = files(study.folder.path());
    let try_it = || tool("ekp-init", study.folder.path()).args(["--try"]).env("TMPDIR", temporary.path());
    let ended = try_it().succeeds().says("slope = ").says("output `y`: 5 numbers").says("0 not finite");
    let ended = ended.says("wall ").says("memory ").says("disk ").says("whole run, at most: 200 members");
    assert_eq!(ended.out(), "");
    assert_eq!(files(study.folder.path()), before, "nothing beside the experiment");
    assert_eq!(files(temporary.path()), 1, "the trial's folder is gone");
    // A model that fails: its last words, its folder, exit 1
    let study = study.model("#!/bin/sh\necho 'cannot open grid.nc' >&2\nexit 3\n");
    let ended =
        tool("ekp-init", study.folder.path()).args(["--try"]).env("TMPDIR", temporary.path()).fails(1);
    let ended = ended.says("cannot open grid.nc").says("its folder is kept: `");
    let kept =
        ended.err().split("its folder is kept: `").nth(1).unwrap().split('`').next().unwrap().to_owned();
    assert!(Path::new(&kept).join("log.txt").is_file(), "{kept}");
    assert_eq!(files(study.folder.path()), before);
}

#[test]
fn a_trial_finds_outputs_of_the_wrong_length_and_numbers_that_are_none() {
    let temporary = Folder::new("odd-tmp");
    for (output, says) in [
        ("1.0, 2.0", "5"),
        ("1.0, 2.0, nan, 4.0, 5.0", "1 NaN among 5 numbers"),
        ("1.0, 2.0, inf, 4.0, 5.0", "number 3 of block `y` is inf"),
    ] {
        let study =
            Study::external("odd").model(&format!("#!/bin/sh\necho 'model_output = [{output}]' > \"$2\"\n"));
        let ended = tool("ekp-init", study.folder.path()).args(["--try"]).env("TMPDIR", temporary.path());
        ended.fails(1).says("it failed").says(says);
    }
}

#[test]
fn starter_files_of_every_method_pass_the_check() {
    for method in ekp::experiment::METHODS {
        let folder = Folder::new("new");
        let ended = tool("ekp-init", folder.path()).args(["--new", method, "fresh"]).succeeds();
        assert_eq!(ended.out(), "fresh\n");
        let path = format!("{}:/usr/bin:/bin", tools().display());
        let check = || tool("ekp-init", &folder.path().join("fresh")).env("PATH", &path);
        let checked = check().args(["--check"]).succeeds();
        // Nobody is warned of what a starter chose
        assert!(!checked.err().contains("warning"), "{method}: {}", checked.err());
        check().args(["-q", "--try"]).succeeds();
        // A second time nothing is overwritten
        tool("ekp-init", folder.path()).args(["--new", method, "fresh"]).fails(2).says("is there already");
    }
}

#[test]
fn an_extended_run_has_the_bytes_of_a_longer_one() {
    let study =
        Study::sinusoid("extend").members(6).set("algorithm.scheduler", "fixed").set("algorithm.step", 0.1);
    let study = study.iterations(4);
    let long = study.init("long");
    long.launch(&["--on", "threads"]);
    let study = study.iterations(2);
    let short = study.init("short");
    short.launch(&["--on", "threads"]);
    assert!(short.has("stop.toml"));
    let extend = || tool("ekp-init", study.folder.path()).args(["--extend", "iterations=4", "short"]);
    extend().succeeds().says("the run has 4 iterations now");
    assert!(!short.has("stop.toml"), "the old limit's mark is gone");
    assert!(
        short.read("ekp_calibration.sbatch").contains("at most 4 iterations")
            || short.read("Makefile").contains("4 iterations")
    );
    let extended = short.snapshot();
    extend().succeeds().says("nothing changed");
    assert_eq!(short.snapshot(), extended);
    // Made again from its experiment it stays extended
    tool("ekp-init", study.folder.path())
        .args(["experiment.toml", "short"])
        .succeeds()
        .says("nothing changed");
    assert_eq!(short.snapshot(), extended);
    short.launch(&["--on", "threads"]);
    let science = |run: &TestRun| {
        let mut files = run.science();
        for name in ["run.toml", "experiment.toml", "extend_001.toml"] {
            files.remove(name);
        }
        files
    };
    let (a, b) = (science(&short), science(&long));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&b[name]), "{name}");
    }
    // Fewer than before is no extension
    tool("ekp-init", study.folder.path()).args(["--extend", "iterations=3", "short"]).fails(2);
    assert_eq!(science(&short), a);
}

#[test]
fn a_run_that_used_its_data_up_is_not_extended() {
    let study = Study::sinusoid("used-up").members(8);
    let run = study.init("run");
    run.launch(&["--on", "threads"]);
    assert_eq!(run.toml("stop.toml")["reason"].as_str(), Some("time"));
    let before = run.snapshot();
    run.tool("ekp-init")
        .args(["--extend", "iterations=50"])
        .fails(2)
        .says("the data are used up")
        .says("--from RUN:N");
    assert_eq!(run.snapshot(), before);
}

#[test]
fn a_fork_begins_with_the_ensemble_of_its_parent() {
    let study =
        Study::sinusoid("fork").members(6).set("algorithm.scheduler", "fixed").set("algorithm.step", 0.1);
    let parent = study.iterations(3);
    let run = parent.init("first");
    run.launch(&["--on", "threads"]);
    // Another method, another seed
    let study = parent.set("algorithm.method", "eki").set("seed", 7).set("name", "forked");
    let fork = || tool("ekp-init", study.folder.path()).args(["--from", "first:2"]);
    fork().succeeds();
    let forked = run_at(&study.folder, "runs/forked");
    forked.tool("ekp-init-ensemble").succeeds();
    let read = |run: &TestRun, name: &str| fs::read(run.path.join(name)).unwrap();
    assert_eq!(read(&forked, "iteration_000/ensemble.bin"), read(&run, "iteration_002/ensemble.bin"));
    assert!(forked.read("run.toml").contains("iteration 2 of `../../first`"), "{}", forked.read("run.toml"));
    let before = forked.snapshot();
    fork().succeeds().says("nothing changed");
    assert_eq!(forked.snapshot(), before);
    forked.launch(&["--on", "threads"]);
    // From another iteration it is another run
    let other = tool("ekp-init", study.folder.path()).args(["--from", "first:1"]).fails(2);
    other.says("it starts from another ensemble");
    // The ensemble's size is not the fork's to choose
    let study = study.members(7);
    let odd =
        tool("ekp-init", study.folder.path()).args(["--from", "first:1", "experiment.toml", "odd"]).fails(2);
    odd.says("`first` has 6 members of `amplitude`, `vert_shift`, the experiment has 7");
    assert!(!study.folder.path().join("odd").exists());
}

#[test]
fn a_run_of_other_tools_goes_on_and_is_noted() {
    let study = Study::sinusoid("tools").members(4).iterations(1);
    let run = study.init("run");
    let text = run
        .read("run.toml")
        .replace(&format!("tools = \"{}\"", env!("CARGO_PKG_VERSION")), "tools = \"0.0.7\"");
    fs::write(run.path.join("run.toml"), text).unwrap();
    let note = "warning: version 0.0.7 of the tools made this run";
    tool("ekp-init", study.folder.path())
        .args(["experiment.toml", "run"])
        .succeeds()
        .says(note)
        .says("nothing changed");
    run.launch(&["--on", "threads"]).says(note);
    assert!(run.has("stop.toml"));
}

#[test]
fn a_run_folder_holds_the_numbers_of_its_observation() {
    // Given an observation whose numbers stand in files
    let study = Study::sinusoid("whole").members(4).iterations(2);
    let observation = "schema = \"ekp.observation\"\nversion = 1\n\n# seen in 2024\n[[block]]\nname = \"y\"\n\
                       file = \"data/q.csv\"\ncolumn = \"q\"\ncovariance = { diagonal = { file = \"data/v.csv\" } }\n";
    study.folder.write("observation.toml", observation);
    study.folder.write("data/q.csv", "t,q\n1,3.5\n2,6.75\n");
    study.folder.write("data/v.csv", "0.1\n0.30000000000000004\n");
    let run = study.init("run");
    // When they are gone
    fs::remove_dir_all(study.folder.path().join("data")).unwrap();
    // Then the run has them
    let copy = run.read("observation.toml");
    assert!(copy.contains("y = [3.5, 6.75]  # of data/q.csv, column q"), "{copy}");
    assert!(copy.contains("# seen in 2024") && copy.contains("0.30000000000000004"), "{copy}");
    run.launch(&["--on", "threads"]);
    // And the same numbers written in place are the same run
    let inline = "schema = \"ekp.observation\"\nversion = 1\n[[block]]\nname = \"y\"\ny = [3.5, 6.75]\n\
                  covariance = { diagonal = [0.1, 0.30000000000000004] }\n";
    study.folder.write("observation.toml", inline);
    tool("ekp-init", study.folder.path()).args(["experiment.toml", "run"]).succeeds().says("nothing changed");
}

#[test]
fn the_version_of_the_model_is_recorded_where_it_ran() {
    let script = "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'model 1.2 (abc)'; exit; fi\n\
                  echo 'model_output = [1.0, 2.0, 3.0, 4.0, 5.0]' > \"$2\"\n";
    let version = toml::Value::Array(vec!["./model.sh".into(), "--version".into()]);
    let study = Study::external("version").model(script).members(4).set("model.version_command", version);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-i", "0", "-m", "1"]).succeeds();
    let hosts: Vec<_> = fs::read_dir(run.path.join("platform")).unwrap().flatten().collect();
    assert_eq!(hosts.len(), 1);
    let text = fs::read_to_string(hosts[0].path()).unwrap();
    assert!(text.contains("model_version = \"model 1.2 (abc)\""), "{text}");
}

#[test]
fn completions_and_manual_pages_are_written_for_every_tool() {
    // The generator is built only with its feature: `make install` runs it, and this test where it is there.
    let manual = tools().join("ekp-manual");
    if !manual.exists() {
        return;
    }
    let folder = Folder::new("manual");
    program(&manual, folder.path()).args(["out"]).succeeds();
    let tools = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")).unwrap().flatten();
    for name in tools.map(|entry| entry.path().file_stem().unwrap().to_string_lossy().into_owned()) {
        let page = fs::read_to_string(folder.path().join(format!("out/man/{name}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && page.contains(&name.replace('-', "\\-")), "{page}");
        for file in [format!("bash/{name}.bash"), format!("zsh/_{name}"), format!("fish/{name}.fish")] {
            assert!(folder.path().join("out").join(&file).is_file(), "{file}");
        }
    }
}
