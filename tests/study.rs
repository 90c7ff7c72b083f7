//! The scaling study of `examples/scaling`: which cases it has, and that all of its parts run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Folder, TestRun, golden, program, there, tool};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scaling")
}

/// Names of the cases of a platform, in the order in which they run, each once.
fn cases(platform: &str) -> Vec<String> {
    let folder = Folder::new("study_cases");
    let sweep = tool("ekp-sweep", folder.path());
    let told =
        sweep.args([examples().as_os_str()]).args(["x", "--dry-run", "--platform", platform]).succeeds();
    // A graphics processor is listed, or it is said that there is none.
    if platform == "hpc" {
        assert!(told.out().contains("jax_gpu_jit") || told.err().contains("jax_gpu_jit"), "{}", told.err());
    }
    let mut names: Vec<String> = Vec::new();
    let device = |line: &&str| !line.starts_with("jax_gpu") && !line.contains("_cuda_");
    for line in told.out().lines().filter(device) {
        let run = line.split('\t').next().unwrap();
        let name =
            run.rsplit_once("_r").filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(run, |(name, _)| name);
        let workers = line.split('\t').nth(3).unwrap();
        let shown = format!("{name}\t{workers}");
        if !names.contains(&shown) {
            names.push(shown);
        }
    }
    names
}

#[test]
fn the_cases_of_the_study_are_those_of_other_studies_and_ours() {
    let all = ["laptop", "hpc"].map(|platform| {
        let cases = cases(platform);
        golden(&format!("study/{platform}.txt"), &format!("{}\n", cases.join("\n")));
        let name = |case: &String| case.split('\t').next().unwrap().to_owned();
        cases.iter().map(name).collect::<Vec<String>>()
    });
    // What the published study calls its cases: each is here, under its name
    let [laptop, hpc] = &all;
    let powers = |most: u32| (0..).map(|k| 1_u32 << k).take_while(move |&p| p <= most);
    let mut small: Vec<String> = Vec::new();
    small.extend(powers(8).flat_map(|p| [format!("strong_processpool_np{p}"), format!("strong_mpi_np{p}")]));
    small.extend(["sync_dds_np4", "async_dds_pool5_batch4", "async_dds_pool10_batch8"].map(String::from));
    small.extend(["jax_numpy", "jax_cpu_nojit", "jax_cpu_jit"].map(String::from));
    small.extend([1, 4, 8].map(|n| format!("jax_jit_np{n}")));
    small.extend(["weak_lumped", "weak_elevation", "weak_semidist"].map(String::from));
    let models = ["hbv", "gr4j", "fuse", "hype"];
    small.extend(
        models.iter().flat_map(|m| [format!("ensemble_sequential_{m}"), format!("ensemble_parallel_{m}")]),
    );
    let mut large = small.clone();
    large.extend(powers(64).map(|p| format!("strong_processpool_np{p}")));
    large.extend(powers(128).map(|p| format!("strong_mpi_np{p}")));
    large.extend(
        ["sync_dds_np16", "sync_dds_np64", "async_dds_pool20_batch16", "weak_distributed"].map(String::from),
    );
    large.extend(models.iter().map(|m| format!("ensemble_hybrid_{m}")));
    for (names, wanted) in [(laptop, &small), (hpc, &large)] {
        let missing: Vec<&String> = wanted.iter().filter(|name| !names.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn all_parts_of_the_study_run_and_end_in_tables_and_figures() {
    let folder = Folder::new("study");
    // Given a copy of the study with little to do: budgets of 24, no repeats
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path().join("sweep.toml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mut table: toml::Table = text.parse().unwrap();
        if name.starts_with("eki") {
            continue; // has a test of its own
        }
        table.insert("repeats".into(), 1.into());
        from_here(&mut table);
        let budget = if name.contains("weak") { 6 } else { 24 };
        let set = table.entry("set").or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
        set.remove("algorithm");
        set.insert("algorithm.budget".into(), budget.into());
        folder.write(&format!("{name}/sweep.toml"), &toml::to_string(&table).unwrap());
    }
    let study = TestRun { path: folder.path().join("study") };
    tool("ekp-sweep", folder.path()).args([".", "study", "--platform", "laptop"]).succeeds();
    // When make carries all of it out
    program("make", &study.path).args(["-s", "-j4"]).succeeds();
    // Then every case has a row, and those that could run are over
    let mpi = there("mpirun", program("mpirun", folder.path()).args(["--version"]).try_run().is_some());
    let table = study.read("results/scaling_metrics.csv");
    let rows: Vec<std::collections::BTreeMap<String, String>> =
        csv::Reader::from_reader(table.as_bytes()).deserialize().map(|row| row.unwrap()).collect();
    assert!(rows.len() > 40, "{table}");
    for row in rows {
        if mpi || row["experiment"] != "strong_mpi" {
            assert_eq!(
                (row["n_runs"].as_str(), row["failed_runs"].as_str()),
                ("1", "0"),
                "{}",
                row["variant"]
            );
        }
    }
    tool("ekp-report", folder.path()).args(["study"]).succeeds();
    assert!(study.has("report/report.html"));
}

/// Paths from the repository.
fn from_here(table: &mut toml::Table) {
    for (key, value) in table.iter_mut() {
        match value {
            toml::Value::Table(inner) => from_here(inner),
            toml::Value::Array(items) => {
                items.iter_mut().filter_map(toml::Value::as_table_mut).for_each(from_here);
            }
            toml::Value::String(text) if key == "experiment" => {
                let file = Path::new(&*text).file_name().unwrap().to_owned();
                *text = examples().join("models").join(file).display().to_string();
            }
            _ => {}
        }
    }
}
