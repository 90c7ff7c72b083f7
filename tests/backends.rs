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

/// A short search, `threads` for the one worker.
fn searched(backend: &str, threads: &str) -> BTreeMap<String, Vec<u8>> {
    let study = study(&format!("backend-{backend}-{threads}"), backend);
    tool("ekp-init", study.folder.path())
        .args(["experiment_dds.toml", "run"])
        .args(["--set", "algorithm.members=100", "--set", "algorithm.budget=300"])
        .succeeds();
    let run = TestRun { path: study.folder.path().join("run") };
    run.launch(&["--on", "threads", "--workers", threads]);
    outcomes(&run)
}

#[test]
fn a_search_has_the_same_outcomes_on_every_back_end() {
    let plain = searched("simd", "1");
    for (backend, threads) in [("scalar", "1"), ("threads", "1"), ("threads", "3")] {
        let other = searched(backend, threads);
        assert_eq!(plain.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (name, bytes) in &plain {
            assert!(&other[name] == bytes, "{backend} on {threads}: {name} differs");
        }
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_back_end_that_was_not_built_is_refused_before_anything_is_made() {
    let study = study("backend-not-built", "cuda");
    let ended = tool("ekp-init", study.folder.path()).args(["experiment_dds.toml"]).fails(2);
    ended.says("built without the feature `cuda`").says("backend = \"threads\"");
    assert!(!study.folder.path().join("runs").exists());
}
