//! Back ends of built-in models and models outside: the same numbers on each, and a word where one cannot work.

use std::collections::BTreeMap;
use std::process::Command;

use crate::support::{Study, TestRun, program, there, tool};

/// The outcomes of a run and its result, by file.
fn outcomes(run: &TestRun) -> BTreeMap<String, Vec<u8>> {
    let counts = |name: &String| name.ends_with("data.toml") || name.ends_with(".npy") || name == "stop.toml";
    let all: BTreeMap<_, _> = run.science().into_iter().filter(|(name, _)| counts(name)).collect();
    assert!(all.len() > 10, "{:?}", all.keys());
    all
}

/// The made-up basin with packs of 40 sets, on `backend`.
fn study(name: &str, backend: &str) -> Study {
    let study = Study::example(name, "synthetic_basin");
    let text = std::fs::read_to_string(study.folder.path().join("experiment_dds.toml")).unwrap();
    let head = format!("[model]\npack = 40\nbackend = \"{backend}\"");
    study.folder.write("experiment_dds.toml", &text.replace("[model]", &head));
    study
}

/// A short search with `threads` for the one worker; none, with the reason, where the back end cannot work.
fn searched(backend: &str, threads: &str) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let study = study(&format!("backend-{backend}-{threads}"), backend);
    let ended = tool("ekp-init", study.folder.path())
        .args(["experiment_dds.toml", "run"])
        .args(["--set", "algorithm.members=100", "--set", "algorithm.budget=300"])
        .run();
    let run = TestRun { path: study.folder.path().join("run") };
    if ended.output.status.code() == Some(2) {
        assert!(!run.path.exists(), "refused before anything is made");
        return Err(ended.err());
    }
    ended.code(0);
    run.launch(&["--on", "threads", "--workers", threads]);
    Ok(outcomes(&run))
}

fn same(backend: &str, ours: &BTreeMap<String, Vec<u8>>, plain: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(plain.keys().collect::<Vec<_>>(), ours.keys().collect::<Vec<_>>());
    for (name, bytes) in plain {
        assert!(&ours[name] == bytes, "{backend}: {name} differs");
    }
}

/// The first generation, whose sets do not depend on scores, to 1e-9; drivers of Vulkan may round twice.
fn near(ours: &BTreeMap<String, Vec<u8>>, plain: &BTreeMap<String, Vec<u8>>) {
    let numbers = |bytes: &[u8]| -> Vec<f64> {
        bytes[128..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let first = |name: &&String| name.starts_with("iteration_000/") && name.ends_with("data.npy");
    let names: Vec<&String> = plain.keys().filter(first).collect();
    assert!(!names.is_empty(), "{:?}", plain.keys());
    for name in names {
        for (a, b) in numbers(&ours[name]).iter().zip(numbers(&plain[name])) {
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }
}

#[test]
fn a_search_has_the_same_outcomes_on_every_back_end() {
    let plain = searched("simd", "1").unwrap();
    for (backend, threads) in [("scalar", "1"), ("threads", "1"), ("threads", "3")] {
        same(backend, &searched(backend, threads).unwrap(), &plain);
    }
}

#[test]
fn a_device_has_the_same_outcomes_or_says_what_it_lacks() {
    let plain = searched("simd", "1").unwrap();
    for backend in ["cuda", "wgpu"] {
        match searched(backend, "1") {
            Ok(ours) if backend == "cuda" => same(backend, &ours, &plain),
            Ok(ours) => near(&ours, &plain),
            Err(words) => {
                let head = format!("`backend = \"{backend}\"` cannot work here: ");
                assert!(words.contains(&head) && words.contains("backend = \"threads\""), "{words}");
                let why = words.lines().find(|line| line.contains(&head)).unwrap();
                // A card is rare; Vulkan in software is a package.
                if backend == "cuda" || there(why, cfg!(not(feature = "wgpu"))) {
                    eprintln!("skipped: {why}");
                }
            }
        }
    }
}

/// `PATH` with a Python first that has these modules.
fn python_with(modules: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let has = |path: &String| {
        let program = ["-c", &format!("import tomllib, {modules}")];
        let ended = Command::new("env").arg("python3").args(program).env("PATH", path).output();
        ended.is_ok_and(|ended| ended.status.success())
    };
    // The one of the system may have what another in front of it lacks.
    [path.clone(), format!("/usr/bin:{path}")].into_iter().find(has)
}

/// Scores of the members of all iterations.
fn scores(run: &TestRun) -> BTreeMap<String, f64> {
    let counts = |name: &str| name.ends_with("/data.toml");
    let score = |name: &String| run.toml(name)["model_output"]["score"][0].as_float().unwrap();
    run.science().keys().filter(|name| counts(name)).map(|name| (name.clone(), score(name))).collect()
}

#[test]
fn hbv_as_a_program_in_numpy_or_jax_has_the_scores_of_the_one_inside() {
    let path = python_with("numpy");
    if !there("python3 (3.11 or later) with numpy", path.is_some()) {
        return;
    }
    let path = path.unwrap();
    let study = Study::example("hbv-numpy", "synthetic_basin");
    let run = |experiment: &str, measure: &[&str]| {
        let folder = study.folder.path().join(experiment.replace(".toml", ""));
        tool("ekp-init", study.folder.path())
            .env("PATH", &path)
            .args([experiment, folder.to_str().unwrap(), "--set", "algorithm.members=4"])
            .args(["--set", "algorithm.budget=12"])
            .args(measure)
            .succeeds();
        let run = TestRun { path: folder };
        run.tool("ekp-launch").env("PATH", &path).args([".", "--workers", "2"]).succeeds();
        run
    };
    let inside = run("experiment_dds.toml", &["--set", "score.name=\"kge\""]);
    let outside = run("experiment_dds_numpy.toml", &[]);
    let (inside_scores, outside_scores) = (scores(&inside), scores(&outside));
    assert_eq!(inside_scores.len(), 12);
    // The table of times tells the best KGE so far at each update, whoever works it out
    let table = |run: &TestRun| {
        run.tool("ekp-collect-timings").succeeds();
        let text = run.read("results/timing_raw.csv");
        assert!(text.lines().next().unwrap().ends_with(",best_kge"));
        let last = |line: &str| line.rsplit(',').next().unwrap().parse::<f64>().ok();
        text.lines().filter(|line| line.contains(",update,")).map(last).collect::<Vec<_>>()
    };
    let best: Vec<f64> = table(&inside).into_iter().map(|best| best.expect("a KGE")).collect();
    assert!(best.len() == 3 && best.is_sorted(), "{best:?}");
    let most = inside_scores.values().copied().fold(f64::NEG_INFINITY, f64::max);
    assert!((best[2] - most).abs() < 1e-12);
    assert!(table(&outside).iter().all(Option::is_some));
    for (name, score) in &inside_scores {
        let theirs = outside_scores[name];
        assert!((score - theirs).abs() < 1e-9, "{name}: {score} inside, {theirs} outside");
    }
    // Each host says what it is, and the program which version it has.
    let platforms: Vec<_> =
        outside.snapshot().into_iter().filter(|(n, _)| n.starts_with("platform/")).collect();
    assert_eq!(platforms.len(), 1);
    let words = String::from_utf8_lossy(&platforms[0].1).into_owned();
    assert!(words.contains("hbv.py 1.0, numpy") && words.contains("cores = "), "{words}");

    // The same sets as one batch, and by JAX where it is.
    let parameters: Vec<toml::Table> =
        inside_scores.keys().map(|name| inside.toml(&name.replace("data.toml", "parameters.toml"))).collect();
    let names: Vec<String> = parameters[0].keys().cloned().collect();
    let row = |table: &toml::Table| -> String {
        names.iter().map(|n| table[n]["value"].to_string()).collect::<Vec<_>>().join(",")
    };
    let rows: Vec<String> = parameters.iter().map(row).collect();
    study.folder.write("sets.csv", &format!("{}\n{}\n", names.join(","), rows.join("\n")));
    let jax = python_with("jax, numpy");
    if jax.is_none() {
        eprintln!("skipped: no python3 here has jax");
    }
    let arrays = [("numpy", Some(&path)), ("jax-jit", jax.as_ref())];
    for (array, path) in arrays.into_iter().filter_map(|(array, path)| Some((array, path?))) {
        program("./hbv.py", study.folder.path())
            .env("PATH", path)
            .args(["--batch", "sets.csv", "scores.csv", "--array", array])
            .succeeds();
        let text = std::fs::read_to_string(study.folder.path().join("scores.csv")).unwrap();
        let batch: Vec<f64> = text.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert_eq!(batch.len(), 12);
        for (ours, theirs) in inside_scores.values().zip(batch) {
            assert!((ours - theirs).abs() < 1e-9, "{array}: {ours} {theirs}");
        }
    }
}

#[test]
fn tiles_of_a_gaussian_are_the_picture_made_in_one_piece() {
    if !there("python3", python_with("array").is_some()) {
        return;
    }
    let study = Study::example("gaussian2d", "gaussian2d");
    let folder = study.folder.path();
    let here = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let options = ["--step", "0.05", "--sigma", "0.7", "--extent=-2,1.5,-1,2"];
    program("./gaussian2d.py", folder).args(options).args(["--out", "serial"]).succeeds();
    let serial = here("serial.npy");
    assert_eq!(serial.len() % 64, 70 * 60 * 8 % 64);
    for tasks in ["1", "2", "4", "13"] {
        program("sh", folder).args(["tasks.sh", tasks]).args(options).succeeds();
        assert!(here("tasks/picture.npy") == serial, "{tasks} tasks");
        assert!(here("tasks/picture.pgm") == here("serial.pgm"), "{tasks} tasks");
    }
    let pool = ["--workers", "3", "--tiles", "5", "--out", "futures"];
    program("./concurrent_futures.py", folder).args(options).args(pool).succeeds();
    assert!(here("futures.npy") == serial);

    // More tiles than one digit counts, by two workers
    let text = std::fs::read_to_string(folder.join("experiment.toml")).unwrap();
    let changes = [
        ("range = [1, 4]", "range = [1, 12]"),
        ("\"--tiles\", \"4\"", "\"--tiles\", \"12\""),
        ("values = [0.01]", "values = [0.05, 0.04]"),
        ("values = [1.0]", "values = [0.7]"),
        ("values = [\"-2,2,-2,2\"]", "values = [\"-2,1.5,-1,2\"]"),
    ];
    let text = changes.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    study.folder.write("experiment.toml", &text);
    tool("ekp-launch", folder).args(["experiment.toml", "--workers", "2"]).succeeds();
    let pictures: Vec<_> = walkdir::WalkDir::new(folder.join("runs"))
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_name() == "picture.npy")
        .map(|entry| std::fs::read(entry.path()).unwrap())
        .collect();
    assert_eq!(pictures.len(), 2, "one for each step");
    assert!(pictures.contains(&serial), "the tiles of step 0.05 are the serial picture");
}
