//! Batches and soundings.

use super::*;

#[test]
fn cups_in_batches_give_the_numbers_of_their_page() {
    let study = Study::example("forward_batch", "forward_batch");
    for name in ["experiment.toml", "table.toml", "grid.toml"] {
        let (run, ended) = launched(&study, name, &["--workers", "2"]);
        if name == "experiment.toml" {
            readme_shows_from(&study, &ended, "block ");
        }
        assert_eq!(run.toml("stop.toml")["reason"].as_str(), Some("batch"));
    }
    // The line with a slip of the pen is a failed model, its folder is kept
    let table = TestRun { path: study.folder.path().join("runs/cups_table") };
    table.tool("ekp-status").succeeds().prints("3 of 4 models ok, 1 failed").prints("the first is 4");
    assert!(table.path.join("iteration_000/chunk_000002/try_1/model_0000004/cooling.txt").exists());
    let grid = TestRun { path: study.folder.path().join("runs/cups_grid") };
    let shape = grid.toml("results/data.toml")["shape"].as_array().unwrap().clone();
    assert_eq!(shape.iter().filter_map(toml::Value::as_integer).collect::<Vec<_>>(), [4, 3, 1, 10]);
}

#[test]
fn uncertain_earths_give_the_band_of_their_page_whoever_computes_them() {
    // Given a thirtieth of the earths, in chunks that several workers share
    let study = Study::example("tem1d_monte_carlo", "tem1d_monte_carlo");
    let study = study.set("inputs.prior", 3000).set("inputs.chunk", 256).set("inputs.check", 100);
    let (one, two) = (study.init("one"), study.init("two"));
    one.launch(&["-q", "--on", "threads", "--workers", "1"]);
    two.launch(&["-q", "--on", "local", "--workers", "2"]);
    // Then sequential and parallel are the same bytes, a batch is its models one by one, and the contours agree
    same_science(&one, &two);
    let check = &one.toml("stop.toml")["check"];
    assert_eq!((check["models"].as_integer(), check["alone"].as_float()), (Some(30), Some(0.0)));
    assert!(check["reference"].as_float().unwrap() < 1e-6);
    // and medians are those of the page: ln B has a deviation of 1.4, so a median of 3000 one of 0.032
    let text = one.read("results/quantiles.csv");
    for (gate, median) in [(1, 7.789e-12), (21, 1.583e-14), (41, 1.328e-17)] {
        let line = text.lines().find(|line| line.starts_with(&format!("b,{gate},"))).unwrap();
        let cells: Vec<f64> = line.split(',').skip(2).map(|cell| cell.parse().unwrap()).collect();
        assert!((cells[6] / median).ln().abs() < 0.13, "gate {gate}: {} for {median}", cells[6]); // 4 σ
        assert!(cells[0] == 3000.0 && cells[5] < cells[6] && cells[6] < cells[7]);
    }
}

#[test]
fn a_grid_of_earths_has_an_axis_for_each_parameter() {
    let study = Study::example("tem1d_grid", "tem1d_grid");
    // As text: the axes stand in the order of the file
    let path = study.folder.path().join("experiment.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("50]", "5]").replace("40]", "4]").replace("30]", "3]")).unwrap();
    tool("ekp-init", study.folder.path()).args(["-q", "experiment.toml", "run"]).succeeds();
    let run = TestRun { path: study.folder.path().join("run") };
    run.launch(&["-q", "--workers", "2"]);
    let record = run.toml("results/data.toml");
    let shape: Vec<i64> =
        record["shape"].as_array().unwrap().iter().filter_map(toml::Value::as_integer).collect();
    assert_eq!(shape, [5, 4, 3, 82]);
    assert_eq!(record["axis"][0]["name"].as_str(), Some("rho1"));
    assert!(!record["model"]["conventions"].as_array().unwrap().is_empty());
    // 10 ohm m over 10 ohm m is a half space: its response does not know the thickness
    let csv = run.tool("ekp-export").succeeds().out();
    let rows: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let same: Vec<_> = rows.iter().filter(|r| r[2] == "100.0" && r[3] == "100.0").collect();
    assert_eq!(same.len(), 3, "{csv}");
    for (k, (a, b)) in same[0].iter().zip(same[2].iter()).enumerate().skip(5) {
        let (a, b): (f64, f64) = (a.parse().unwrap(), b.parse().unwrap());
        assert!((a / b - 1.0).abs() < 1e-10, "output {k}: {a} {b}"); // round-off of the recursion
    }
}

#[test]
fn the_benchmark_of_earths_fills_its_two_tables() {
    if !there("awk, column", works(&["sh", "-c", "command -v awk && command -v column"])) {
        return;
    }
    let folder = crate::support::Folder::new("tem1d_benchmark");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tem1d_benchmark/benchmark.sh");
    let ended = program(script, folder.path()).args(["1000"]).succeeds();
    assert!(ended.out().contains("models_per_s"), "{}", ended.out());
    assert_eq!(fs::read_to_string(folder.path().join("benchmark_models.csv")).unwrap().lines().count(), 3);
}

#[test]
fn the_benchmark_of_batches_fills_its_two_tables() {
    if !there("awk, column", works(&["sh", "-c", "command -v awk && command -v column"])) {
        return;
    }
    let study = Study::example("forward_benchmark", "forward_benchmark");
    let ended = program("./benchmark.sh", study.folder.path()).args(["experiment.toml", "1000"]).succeeds();
    assert!(ended.out().starts_with("models  sequential_s  parallel_s"), "{}", ended.out());
    let rows = |name: &str| fs::read_to_string(study.folder.path().join(name)).unwrap().lines().count();
    assert_eq!(rows("benchmark_models.csv"), 3);
    assert!(rows("benchmark_workers.csv") >= 3);
}

#[test]
fn a_survey_is_inverted_sounding_by_sounding_in_one_run() {
    if !python() {
        return;
    }
    // Given a short line of the example
    let study = Study::example("survey", "tem1d_survey").set("model.tem1d.soundings", 12);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tem1d_sounding/system.toml");
    fs::copy(from, study.folder.path().join("system.toml")).unwrap();
    let study = study.set("model.tem1d.system", "system.toml");
    let truth = fs::read_to_string(study.folder.path().join("truth.toml")).unwrap();
    study.folder.write("truth.toml", &truth.replace("../tem1d_sounding/", ""));
    let script = fs::read_to_string(study.folder.path().join("make_survey.py")).unwrap();
    study.folder.script("make_survey.py", &script.replace("../tem1d_sounding/", ""));
    let here = study.folder.path();
    program("python3", here).args(["make_survey.py", "earth", "12"]).succeeds();
    tool("ekp-launch", here).args(["-q", "truth.toml"]).succeeds();
    tool("ekp-export", here).args(["runs/survey_truth", "-o", "clean.csv"]).succeeds();
    program("python3", here).args(["make_survey.py", "data", "12", "clean.csv"]).succeeds();
    // When it is inverted
    let (run, _) = launched(&study, "experiment.toml", &["--on", "threads"]);
    // Then most parameters are within 1.5 standard deviations (87 % of a normal law; 48 of 60 is 1.7 sd below)
    let found = run.result();
    let earths = fs::read_to_string(here.join("truth.csv")).unwrap();
    let names = ["rho1", "rho2", "rho3", "h1", "h2"];
    let mut within = 0;
    for (k, line) in earths.lines().skip(1).enumerate() {
        for (name, truth) in names.iter().zip(line.split(',')) {
            let (mean, sd) = found[&format!("s{:03}_{name}", k + 1)];
            within += usize::from((mean - truth.parse::<f64>().unwrap()).abs() < 1.5 * sd);
        }
    }
    assert!(within >= 48, "{within} of 60");
}

#[test]
fn a_sounding_gives_its_layers_back() {
    let study = Study::example("sounding", "tem1d_sounding");
    let (run, ended) = launched(&study, "experiment.toml", &["--on", "threads"]);
    readme_shows(&study, &ended);
    near(&run, &[("rho1", 30.0), ("rho2", 200.0), ("rho3", 5.0), ("h1", 10.0), ("h2", 40.0)], 1.5);
    // The members fit as the noise allows: chi2/n, before the last step
    let last = run.toml("stop.toml")["final"].as_integer().unwrap() - 1;
    let fit = run.toml(&format!("iteration_{last:03}/update.toml"))["avg_rmse"].as_float().unwrap();
    assert!(fit * fit < 1.3, "{fit}");
    // And the report has decays, profiles and a table beside the truth
    run.tool("ekp-report").args([".", "--truth", "../../truth.csv"]).succeeds().says("6 figures");
    let lines = |name: &str| -> Vec<Vec<String>> {
        let text = run.read(&format!("report/data/{name}"));
        text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
    };
    assert_eq!(lines("fig_soundings_a.csv").len(), 1 + 43, "a line for each gate");
    let profile = lines("fig_soundings_b.csv");
    // In the conductor p10 and p90 are close to the 5 ohm m that are there
    let deepest: Vec<f64> = profile.last().unwrap()[5..].iter().map(|x| x.parse().unwrap()).collect();
    assert!(deepest.iter().all(|rho| (rho / 5.0 - 1.0).abs() < 0.1), "{deepest:?}");
    let table = lines("posterior.csv");
    let truth: Vec<&str> = table[1..].iter().map(|row| row.last().unwrap().as_str()).collect();
    assert_eq!(truth, ["30.0", "200.0", "5.0", "10.0", "40.0"]);
}
