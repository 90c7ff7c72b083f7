//! Back ends of built-in models: the same numbers on each, and a word where one cannot work.

use std::collections::BTreeMap;

use crate::support::{Study, TestRun, tool};

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
            Ok(ours) => same(backend, &ours, &plain),
            Err(words) => {
                let head = format!("`backend = \"{backend}\"` cannot work here: ");
                assert!(words.contains(&head) && words.contains("backend = \"threads\""), "{words}");
                eprintln!("skipped: {}", words.lines().find(|line| line.contains(&head)).unwrap());
            }
        }
    }
}
