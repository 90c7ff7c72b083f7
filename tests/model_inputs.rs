//! Files that a model is made from belong to the run: others are refused where the model runs, and not needed elsewhere.

use std::fs;

use crate::support::{Study, TestRun, tool};

/// A search of 16 trials with the forcing of an example.
fn search(name: &str) -> (Study, TestRun) {
    let study = Study::example(name, "synthetic_basin");
    let text = fs::read_to_string(study.folder.path().join("experiment_dds.toml")).unwrap();
    study.folder.write("small.toml", &text.replace("budget  = 1000", "budget  = 16"));
    tool("ekp-init", study.folder.path()).args(["-q", "small.toml", "run"]).succeeds();
    let path = study.folder.path().join("run");
    (study, TestRun { path })
}

#[test]
fn a_changed_forcing_is_refused_with_its_name_and_the_old_one_goes_on() {
    let (study, run) = search("inputs-forcing");
    let record = run.toml("run.toml");
    assert_eq!(record["inputs"].as_array().unwrap()[0].as_str(), Some("forcing.csv"), "{record}");
    let forcing = study.folder.path().join("forcing.csv");
    let sound = fs::read_to_string(&forcing).unwrap();
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "1-2"]).succeeds();
    fs::write(&forcing, format!("# the same numbers\n{sound}")).unwrap();
    for (name, args) in [
        ("ekp-run-member", ["-i", "0", "-m", "3"].as_slice()),
        ("ekp-worker", &["."]),
        ("ekp-launch", &[".", "--workers", "1"]),
    ] {
        run.tool(name)
            .args(args)
            .fails(2)
            .says("`forcing.csv` changed since this run was made")
            .says("put that back");
    }
    // The same experiment with another forcing is no repetition.
    tool("ekp-init", study.folder.path())
        .args(["small.toml", "run"])
        .fails(2)
        .says("forcing.csv: the model's input is another");
    // Runs made before these were recorded: nothing is held against them.
    let text = run.read("run.toml");
    let old: Vec<&str> = text.lines().filter(|line| !line.starts_with("input")).collect();
    fs::write(run.path.join("run.toml"), old.join("\n") + "\n").unwrap();
    run.tool("ekp-run-member").args(["-qi", "0", "-m", "3"]).succeeds();
    fs::write(run.path.join("run.toml"), text).unwrap();
    fs::write(&forcing, sound).unwrap();
    run.launch(&["--workers", "2"]);
}

#[test]
fn a_finished_run_is_read_without_what_its_model_was_made_from() {
    let (study, run) = search("inputs-gone");
    run.launch(&["--workers", "2"]);
    fs::remove_file(study.folder.path().join("forcing.csv")).unwrap();
    for (name, args) in [
        ("ekp-status", ["."].as_slice()),
        ("ekp-status", &[".", "--json"]),
        ("ekp-status", &[".", "--next"]),
        ("ekp-report", &["."]),
        ("ekp-export", &["."]),
        ("ekp-collect-timings", &["."]),
        ("ekp-collect-timings", &[".", "--advise"]),
        ("ekp-init", &["--extend", "budget=24", "."]),
        ("ekp-cancel", &["."]),
    ] {
        run.tool(name).args(args).succeeds();
    }
    run.tool("ekp-worker").args(["."]).fails(2).says("forcing.csv");
}

#[test]
fn a_changed_system_of_a_sounding_is_refused() {
    let study = Study::example("inputs-system", "tem1d_sounding").members(8).iterations(1);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    let system = study.folder.path().join("system.toml");
    let text = fs::read_to_string(&system).unwrap();
    fs::write(&system, text + "# another day\n").unwrap();
    run.tool("ekp-run-member")
        .args(["-i", "0", "-m", "1"])
        .fails(2)
        .says("the model's input `system.toml` changed since this run was made");
    run.tool("ekp-update").args(["-i", "0"]).fails(3);
    run.tool("ekp-status").succeeds();
}

#[test]
fn a_report_without_the_model_says_what_changed_and_what_is_missing() {
    // Given a sounding that was inverted, and a report on it
    let study = Study::example("inputs-report", "tem1d_sounding").members(8).iterations(1);
    let run = study.init("run");
    run.launch(&["-q", "--on", "threads"]);
    let report = |folder: &str| run.tool("ekp-report").args([".", "-o", folder]).succeeds();
    let page = |folder: &str| run.read(&format!("{folder}/report.html"));
    let told = report("before").err();
    assert!(!told.contains("warning") && page("before").contains("id=\"fig_soundings\""), "{told}");
    // When its measuring system is another, or gone
    let system = study.folder.path().join("system.toml");
    let text = fs::read_to_string(&system).unwrap();
    fs::write(&system, format!("{text}# another day\n")).unwrap();
    let changed = report("changed").err();
    fs::remove_file(&system).unwrap();
    let gone = report("gone").err();
    // Then one line says so, and the page has the same words and no soundings
    for (told, folder, why) in [
        (changed, "changed", "the model's input `system.toml` changed since this run was made"),
        (gone, "gone", "system.toml"),
    ] {
        let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(lines.len(), 1, "{told}");
        let line = lines[0].strip_prefix("warning: ").unwrap();
        assert!(line.starts_with("the report is made without the model: ") && line.contains(why), "{line}");
        assert!(line.ends_with("decays and layers of its soundings are missing"), "{line}");
        let page = page(folder);
        assert!(page.contains(&format!("<p class=\"bad\">{}</p>", line.replace('"', "&quot;"))), "{line}");
        assert!(!page.contains("id=\"fig_soundings\"") && page.contains("id=\"fig_convergence\""));
    }
}

#[test]
fn scores_and_figures_of_a_search_need_no_model_and_that_is_said() {
    let (study, run) = search("inputs-scores");
    run.launch(&["-q", "--on", "threads"]);
    let told = |folder: &str| {
        run.tool("ekp-collect-timings").args(["-o", folder]).succeeds();
        let report = run.tool("ekp-report").args([".", "-o", folder]).succeeds().err();
        (report, run.read(&format!("{folder}/timing_raw.csv")), run.read(&format!("{folder}/fig_search.svg")))
    };
    let (before, times, figure) = told("before");
    assert!(!before.contains("warning"), "{before}");
    fs::write(study.folder.path().join("forcing.csv"), "date\n").unwrap();
    let (after, same_times, same_figure) = told("after");
    assert!(after.contains("warning: the report is made without the model: "), "{after}");
    assert!(after.contains("nothing is missing"), "{after}");
    assert!(times == same_times && figure == same_figure);
}

#[test]
fn a_changed_template_of_a_program_is_refused() {
    let study = Study::external("inputs-template");
    let template = study.folder.write("in.tmpl", "offset = {{offset}}\nslope = {{slope}}\n");
    let entry: toml::Table = "from = \"in.tmpl\"\nto = \"in.nml\"".parse().unwrap();
    let study = study.set("model.templates", vec![toml::Value::Table(entry)]).members(4).iterations(1);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    fs::write(template, "offset = {{offset}}\nslope = {{slope:.3f}}\n").unwrap();
    run.tool("ekp-run-member").args(["-i", "0", "-m", "1"]).fails(2).says("`in.tmpl`");
}
