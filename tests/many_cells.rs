//! A grid of five hundred cells: what it costs the tools, and how often they call the scheduler.

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::grid::small;
use crate::support::{Folder, TestRun, program, tool, tools};

/// Twenty targets by 24 samplers whose programs do nothing.
fn many(name: &str) -> Folder {
    let folder = small(name, "", "");
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    let text = text
        .replace("values = [\"a\", \"b\", \"c\"]", "range = [1, 20]")
        .replace("[axis.options.long]\nsteps = 40\n[axis.options.short]\nsteps = 4\n", "range = [1, 24]\n")
        .replace("\"./build.sh\", \"{target}\", \"{seed}\"", "\"/bin/true\"")
        .replace("\"./sample.sh\", \"{upstream}\", \"{sampler.steps}\"", "\"/bin/true\"");
    folder.write("experiment.toml", &text);
    folder
}

/// Submit a grid to a scheduler that takes everything, in a folder whose name wants quotes; its calls of `sbatch`,
/// and how often something else was asked.
fn submitted(folder: &Folder) -> (Vec<String>, usize) {
    fs::create_dir(folder.path().join("bin")).unwrap();
    folder.script("bin/sbatch", "#!/bin/sh\necho \"sbatch $*\" >> ../calls\nwc -l < ../calls\n");
    for name in ["squeue", "scontrol", "sacct", "scancel"] {
        folder.script(&format!("bin/{name}"), &format!("#!/bin/sh\necho \"{name} $*\" >> ../asked\n"));
    }
    let bin = folder.path().join("bin");
    let path =
        format!("{}:{}:{}", bin.display(), tools().display(), std::env::var("PATH").unwrap_or_default());
    tool("ekp-init", folder.path()).args(["-q", "experiment.toml", "a person's run"]).succeeds();
    let run = TestRun { path: folder.path().join("a person's run") };
    program("bash", &run.path).args(["ekp_calibration.sbatch"]).env("PATH", &path).succeeds();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let chdir = format!("--chdir={} ", run.path.display());
    let calls: Vec<String> = read("calls").lines().map(str::to_owned).collect();
    assert!(calls.iter().all(|call| call.contains(&chdir)), "{calls:?}");
    (calls, read("asked").lines().count())
}

#[test]
fn a_grid_of_m_labels_is_m_and_three_calls_of_sbatch_however_many_its_cells() {
    let (all, asked) = submitted(&many("many-calls"));
    // One call for the targets, one for each label, the merge, the tables of times
    assert_eq!(all.len(), 24 + 3, "{all:?}");
    assert!(all[0].contains("--array=1-20 ") && !all[0].contains("--dependency"), "{}", all[0]);
    for call in &all[1..25] {
        assert!(call.contains("--array=1-20 ") && call.contains("--dependency=aftercorr:1 "), "{call}");
        assert!(call.contains("--kill-on-invalid-dep=yes"), "{call}");
    }
    let ends: String = (1..=25).map(|id| format!(":{id}")).collect();
    assert!(all[25].contains(&format!("--dependency=afterany{ends} ")), "{}", all[25]);
    assert!(all[26].contains("--dependency=afterany:26 "), "{}", all[26]);
    assert!(asked <= 3, "the scheduler is asked a few times, not once a cell: {asked}");
}

#[test]
fn where_an_index_may_not_be_large_arrays_are_cut_alike_and_wait_for_their_own_part() {
    // Given a cluster whose largest index is 8, and 20 targets by 2 samplers
    let folder = many("many-parts");
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    folder.write("experiment.toml", &text.replace("range = [1, 24]", "range = [1, 2]"));
    folder.write("site.toml", "[slurm]\nmax_array_size = 9\n");
    let (all, _) = submitted(&folder);
    assert_eq!(all.len(), 3 * 3 + 2, "{all:?}");
    let word = |call: &str, option: &str| -> String {
        call.split_whitespace().find_map(|w| w.strip_prefix(option)).unwrap_or_default().to_owned()
    };
    let parts = ["1-8", "1-8", "1-4"];
    for (k, call) in all.iter().take(9).enumerate() {
        assert_eq!(word(call, "--array="), parts[k % 3], "{call}");
        // Build arrays are jobs 1 to 3: each part of a sampler waits for the same part
        let wait = if k < 3 { String::new() } else { format!("aftercorr:{}", k % 3 + 1) };
        assert_eq!(word(call, "--dependency="), wait, "{call}");
        let block = if k < 3 { 1 } else { k / 3 };
        assert!(call.ends_with(&format!(".sbatch {block} {}", 8 * (k % 3))), "{call}");
    }
}

#[test]
fn five_hundred_cells_are_planned_run_and_shown() {
    let folder = many("grid-many");
    let wall = |args: &[&str], name: &str, at: &Path| {
        let before = Instant::now();
        tool(name, at).args(args).succeeds();
        before.elapsed().as_secs_f64()
    };
    let init = wall(&["-q", "experiment.toml", "run"], "ekp-init", folder.path());
    let run = folder.path().join("run");
    let plan = wall(&["--dry-run", "--on", "slurm"], "ekp-launch", &run);
    let all = wall(&["-q", "--workers", "2"], "ekp-launch", &run);
    let shown = wall(&["."], "ekp-status", &run);
    eprintln!("500 cells, wall: init {init:.3} s, plan {plan:.3} s, all {all:.3} s, status {shown:.3} s");
    assert_eq!(fs::read_to_string(run.join("results/small_runs.csv")).unwrap().lines().count(), 501);
}
