//! Searches, and the rivers they are for.

use super::*;

#[test]
fn the_top_of_the_landscape_is_found_by_generations_and_by_workers() {
    let study = Study::example("search", "search");
    for (experiment, workers) in [("experiment.toml", "2"), ("async.toml", "1")] {
        let (run, _) = launched(&study, experiment, &["--on", "threads", "--workers", workers]);
        let score =
            run.toml("stop.toml")["best"].as_array().unwrap()[0]["score"].as_array().unwrap()[0].as_float();
        assert!(score > Some(-2.0), "{experiment}: {score:?}");
    }
}

#[test]
fn the_made_up_basin_gives_its_parameters_back() {
    let study = Study::example("basin", "synthetic_basin");
    if python() {
        let written = |name: &str| fs::read(study.folder.path().join(name)).unwrap();
        let before = (written("forcing.csv"), written("observed.csv"));
        program("python3", study.folder.path()).args(["make_data.py"]).succeeds();
        assert_eq!((written("forcing.csv"), written("observed.csv")), before);
    }
    let (run, ended) = launched(&study, "experiment_eki.toml", &[]);
    readme_shows(&study, &ended);
    let truth = [
        ("tt", 0.4),
        ("cfmax", 3.1),
        ("fc", 280.0),
        ("lp", 0.75),
        ("beta", 2.2),
        ("k1", 0.11),
        ("k2", 0.012),
        ("perc", 1.6),
        ("maxbas", 3.4),
    ];
    near(&run, &truth, 2.0);
    // The same problem for a search, in generations and without them: a few of its thousand evaluations
    for name in ["experiment_dds.toml", "experiment_dds_async.toml"] {
        let path = study.folder.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("budget  = 1000", "budget  = 120")).unwrap();
        let (_, ended) = launched(&study, name, &["--workers", "2"]);
        assert!(ended.err().contains("120 evaluations, 0 failed"), "{}", ended.err());
    }
}

#[test]
fn a_hydrological_program_that_stops_half_way_and_exits_with_0_is_a_failed_member() {
    let study = Study::example("external_hydro", "external_hydro");
    let (run, ended) = launched(&study, "experiment.toml", &["--workers", "2"]);
    readme_shows(&study, &ended);
    near(&run, &[("ttmp", 0.5), ("cmlt", 3.2), ("cevp", 0.12), ("rrcs1", 0.18)], 3.0);
    let failed: Vec<String> = (1..=40)
        .map(|j| run.path.join(format!("iteration_000/member_{j:03}")))
        .filter(|member| member.join("failed.toml").exists())
        .map(|member| {
            let log = fs::read_to_string(member.join("try_2/hyss_000.log")).unwrap();
            assert!(log.starts_with("ERROR: negative soil water"), "{log}");
            fs::read_to_string(member.join("failed.toml")).unwrap()
        })
        .collect();
    assert_eq!(failed.len(), 14);
    assert!(failed.iter().all(|text| text.contains("cause = \"output\"")), "{failed:?}");
    assert!(failed.iter().any(|text| text.contains("has 6 numbers, observation block")), "{failed:?}");
}

#[test]
fn the_bow_is_calibrated_where_its_data_are_at_hand() {
    let Some(data) = std::env::var_os("EKP_TEST_DATA") else {
        eprintln!("skipped: `EKP_TEST_DATA` does not say where the data of the Bow are");
        return;
    };
    let study = Study::example("bow", "bow");
    let mut setting = std::ffi::OsString::from("EKP_TEST_DATA=");
    setting.push(&data);
    program("make", study.folder.path()).args(["-s"]).args([setting]).succeeds();
    let (run, ended) = launched(&study, "experiment.toml", &["--on", "threads"]);
    let said = ended.out() + &ended.err();
    let readme = fs::read_to_string(study.folder.path().join("README.md")).unwrap();
    let told: Vec<&str> =
        readme.lines().filter(|l| l.starts_with("best: ") || l.starts_with("evaluation period: ")).collect();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|line| said.contains(line)), "{said}");
    run.tool("ekp-run-member").args(["--best"]).succeeds().prints("pairs = [1461.0]");
    tool("ekp-init", study.folder.path()).args(["gr4j.toml", "--check"]).succeeds();
}
