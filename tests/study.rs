//! The scaling study of `examples/scaling`: which cases it has, and that all of its parts run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Folder, TestRun, golden, program, there, tool};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scaling")
}

/// Names of the cases of a platform, in the order in which they run, each once; first those that every machine has,
/// then those that need more (NumPy, JAX, a card).
fn cases(platform: &str) -> [Vec<String>; 2] {
    let folder = Folder::new("study_cases");
    let sweep = tool("ekp-sweep", folder.path());
    let told =
        sweep.args([examples().as_os_str()]).args(["x", "--dry-run", "--platform", platform]).succeeds();
    let text = fs::read_to_string(examples().join("4_backends/sweep.toml")).unwrap();
    let listed: toml::Table = text.parse().unwrap();
    let here = |case: &&toml::Value| {
        let platforms = case.get("platforms").and_then(toml::Value::as_array);
        platforms.is_none_or(|all| all.iter().any(|one| one.as_str() == Some(platform)))
    };
    let optional: Vec<String> = listed["case"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|case| case.get("optional").is_some())
        .filter(here)
        .map(|case| case["name"].as_str().unwrap().to_owned())
        .collect();
    let mut names: Vec<String> = Vec::new();
    for line in told.out().lines().filter(|line| line.contains('\t')) {
        let run = line.split('\t').next().unwrap();
        let name =
            run.rsplit_once("_r").filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(run, |(name, _)| name);
        let workers = line.split('\t').nth(3).unwrap();
        let shown = format!("{name}\t{workers}");
        if !names.contains(&shown) && !optional.iter().any(|one| one == name) {
            names.push(shown);
        }
    }
    // What is not listed is said to be left out.
    let missing = optional.iter().filter(|name| !told.out().contains(&format!("{name}\t"))).count();
    assert!(missing == 0 || told.err().contains("left out: "), "{optional:?} {}", told.err());
    [names, optional]
}

#[test]
fn the_cases_of_the_study_are_those_of_other_studies_and_ours() {
    let all = ["laptop", "hpc"].map(|platform| {
        let [cases, optional] = cases(platform);
        let shown = format!("{}\noptional: {}\n", cases.join("\n"), optional.join(" "));
        golden(&format!("study/{platform}.txt"), &shown);
        let name = |case: &String| case.split('\t').next().unwrap().to_owned();
        cases.iter().map(name).chain(optional).collect::<Vec<String>>()
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
        ["sync_dds_np16", "sync_dds_np64", "async_dds_pool20_batch16", "jax_gpu_jit", "weak_distributed"]
            .map(String::from),
    );
    large.extend(models.iter().map(|m| format!("ensemble_hybrid_{m}")));
    for (names, wanted) in [(laptop, &small), (hpc, &large)] {
        let missing: Vec<&String> = wanted.iter().filter(|name| !names.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}

/// A copy of the study with little to do: no repeats, budgets of 24; `change` may change a sweep, or leave it out.
pub(crate) fn small(folder: &Folder, change: impl Fn(&str, &mut toml::Table) -> bool) {
    for entry in fs::read_dir(examples()).unwrap() {
        let path = entry.unwrap().path().join("sweep.toml");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let name = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let mut table: toml::Table = text.parse().unwrap();
        table.insert("repeats".into(), 1.into());
        from_here(&mut table);
        let budget = if name.contains("weak") { 6 } else { 24 };
        let set = table.entry("set").or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
        set.remove("algorithm");
        set.insert("algorithm.budget".into(), budget.into());
        // A process of Python takes seconds where JAX is.
        for case in table.get_mut("case").and_then(toml::Value::as_array_mut).into_iter().flatten() {
            if case.get("optional").is_some() && case["name"].as_str().unwrap().starts_with("jax_") {
                case["set"].as_table_mut().unwrap().insert("algorithm.budget".into(), 2.into());
            }
        }
        if change(&name, &mut table) {
            folder.write(&format!("{name}/sweep.toml"), &toml::to_string(&table).unwrap());
        }
    }
}

#[test]
fn all_parts_of_the_study_run_and_end_in_tables_and_figures() {
    let folder = Folder::new("study");
    // Given the study but for the Kalman calibrations, which have a test of their own
    small(&folder, |name, _| !name.starts_with("eki"));
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

#[test]
fn what_a_run_costs_besides_the_model_is_told_by_its_length_and_by_how_many_go_together() {
    // Given the sweep of short runs, 64 of them at most
    let folder = Folder::new("overhead");
    let of = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/overhead");
    for name in ["experiment.toml", "program.toml", "priors.toml", "nap.sh"] {
        fs::copy(of.join(name), folder.path().join(name)).unwrap();
    }
    let text = fs::read_to_string(of.join("1_quick/sweep.toml")).unwrap();
    let few = |n: &str| format!("algorithm.members = {n}\nalgorithm.budget  = {n}");
    let few_set = |n: &str| format!("\"algorithm.members\" = {n}, \"algorithm.budget\" = {n}");
    let mut less = text.clone();
    for n in ["2048", "1024", "256", "512"] {
        less = less.replace(&few(n), &few("64")).replace(&few_set(n), &few_set("8"));
    }
    less = less.replace("cost_s = 0.1\n", "cost_s = 0.02\n");
    folder.write("1_quick/sweep.toml", &less);
    tool("ekp-sweep", folder.path()).args([".", "study", "-q"]).succeeds();
    let study = TestRun { path: folder.path().join("study") };
    program("make", &study.path).args(["-s"]).succeeds();
    // When it is reported on
    tool("ekp-report", folder.path()).args(["study", "--format", "svg"]).succeeds();
    // Then there is a figure with a number for each way and length: no way is cheaper than none
    assert!(study.has("report/fig_overhead.svg") && !study.has("report/fig_async_dds.svg"));
    let table = study.read("report/data/fig_overhead_a.csv");
    let rows: Vec<Vec<f64>> =
        table.lines().skip(1).map(|line| line.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 30, "three lengths, ten ways: {table}");
    assert!(table.starts_with("way (claim pack pool program threads),together,"), "{table}");
    for row in &rows {
        let (run_s, besides_s, efficiency) = (row[2], row[3], row[4]);
        assert!(besides_s > 0.0 && (efficiency - run_s / (run_s + besides_s)).abs() < 1e-12, "{row:?}");
    }
    assert!(study.read("report/report.html").contains("What a worker spends on a run besides the model"));
}
