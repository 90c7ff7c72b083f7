//! Scripts held against `tests/golden/scripts/`, `bash -n` and shellcheck; `EKP_BLESS=1` rewrites the files.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io::Write as _};

use super::*;
use crate::launch::site::{Memory, Walltime};

fn sinusoid() -> ScriptContext {
    ScriptContext {
        name: "sinusoid".into(),
        run_id: "sinusoid-3f9a1c".into(),
        members: 20,
        elements: 20,
        sizes: Vec::new(),
        workers: false,
        per_element: 1,
        first_iteration: 0,
        iterations: 10,
        pad: 3,
        tools: "/opt/ekp/bin".into(),
        made_by: "ekp-init experiment.toml runs/sinusoid".into(),
        member_ranks: None,
    }
}

fn golden(case: &str, file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/scripts").join(case).join(file)
}

fn held(case: &str, file: &str, text: &str) {
    let path = golden(case, file);
    if env::var_os("EKP_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{} differs; EKP_BLESS=1 writes it anew. Now:\n{text}", path.display());
}

fn check(program: &str, arguments: &[&str], text: &str) {
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        assert!(env::var_os("CI").is_none(), "`{program}` is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {said}\n{text}");
}

/// All scripts of a case are checked; those named (all when none is) are held against golden files.
fn case(name: &str, context: &ScriptContext, site: &Site, files: &[&str]) -> Vec<(String, String)> {
    let scripts = render(context, site).unwrap();
    for (file, text) in &scripts {
        assert!(text.starts_with("#!/bin/bash\n"), "sbatch refuses a script without `#!`");
        assert!(!text.contains('\r') && text.ends_with('\n') && !text.contains("\n\n\n"), "{file}:\n{text}");
        check("bash", &["-n"], text);
        check("shellcheck", &["-e", "SC2016", "-"], text); // 2016: a person's value may hold a `$`
        if files.is_empty() || files.contains(&file.as_str()) {
            held(name, file, text);
        }
    }
    scripts
}

#[test]
fn the_up_front_chain() {
    case("up-front", &sinusoid(), &Site::default(), &[]);
}

#[test]
fn the_rolling_chain() {
    let mut site = Site::default();
    site.slurm.chain = Chain::Rolling;
    case("rolling", &sinusoid(), &site, &["ekp_calibration.sbatch", "ekp_update.sbatch"]);
}

#[test]
fn the_classic_chain() {
    let mut site = Site::default();
    site.slurm.dependency = Dependency::AfterOk;
    case("classic", &sinusoid(), &site, &["ekp_calibration.sbatch"]);
}

#[test]
fn more_members_than_an_array_may_have() {
    let mut site = Site::default();
    site.slurm.max_array_size = 11;
    site.slurm.array_limit = Some(8);
    let context = ScriptContext { members: 70, elements: 35, per_element: 2, ..sinusoid() };
    case("offsets", &context, &site, &["ekp_calibration.sbatch", "ekp_run_member.sbatch"]);
}

#[test]
fn jobs_that_may_not_submit_jobs() {
    let mut site = Site::default();
    site.slurm.submit_from_jobs = false;
    case("no-nested-sbatch", &sinusoid(), &site, &["ekp_calibration.sbatch", "ekp_update.sbatch"]);
}

#[test]
fn a_site_with_modules_environment_and_prologue_and_awkward_names() {
    let mut site = Site::default();
    let all = &mut site.slurm.all;
    all.partition = Some("cpu".into());
    all.time = Some(Walltime::seconds(1800));
    all.mail = Some("me@example.org".into());
    all.modules = Some(vec!["gcc/12".into(), "openmpi".into()]);
    all.env.insert("TITLE".into(), "it's $HOME; \"quoted\"".into());
    all.prologue = Some(vec!["ulimit -s unlimited".into()]);
    all.extra = Some(vec!["#SBATCH --licenses=matlab:1".into()]);
    site.slurm.member.mem = Some(Memory(4096));
    site.slurm.member.exclusive = Some(true);
    let context = ScriptContext {
        name: "it's a `run`".into(),
        run_id: "it's a run-77".into(),
        tools: "/opt/my tools/bin".into(),
        made_by: "ekp-init 'my experiment.toml' \"runs/a\nb\"".into(),
        member_ranks: Some(4),
        ..sinusoid()
    };
    case(
        "site",
        &context,
        &site,
        &["ekp_calibration.sbatch", "ekp_run_member.sbatch", "ekp_collect_timings.sbatch"],
    );
}

#[test]
fn the_makefile() {
    held("up-front", "Makefile", &makefile(&ScriptContext { iterations: 2, ..sinusoid() }).unwrap());
}

#[test]
fn make_runs_every_step_once_and_in_order_in_a_folder_with_blanks() {
    // Given a folder with blanks, and tools that only tell what they were asked
    let dir = env::temp_dir().join(format!("ekp make it's {}", std::process::id()));
    let tools = dir.join("to $ols");
    fs::create_dir_all(&tools).unwrap();
    for tool in ["ekp-init-ensemble", "ekp-run-member", "ekp-update", "ekp-collect-timings"] {
        // Written by another process: a program this one holds open cannot be run ("text file busy").
        let text = format!("#!/bin/sh\necho {tool} \"$@\" >>told\n");
        let mut write = Command::new("bash");
        write.args(["-c", "printf %s \"$1\" >\"$0\"; chmod 755 \"$0\""]).arg(tools.join(tool)).arg(text);
        assert!(write.status().unwrap().success());
    }
    let context =
        ScriptContext { elements: 3, per_element: 2, first_iteration: 1, iterations: 2, tools, ..sinusoid() };
    fs::write(dir.join("Makefile"), makefile(&context).unwrap()).unwrap();
    // When make runs with 8 jobs
    let output = Command::new("make").arg("-j8").current_dir(&dir).env_remove("MAKEFLAGS").output().unwrap();
    // Then init, three elements, their update, three more, their update, and the tables
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = fs::read_to_string(dir.join("told")).unwrap();
    let mut told: Vec<&str> = told.lines().collect();
    assert_eq!(told.len(), 1 + 3 + 1 + 3 + 1 + 1, "{told:?}");
    told[1..4].sort_unstable();
    assert_eq!(told[0], "ekp-init-ensemble .");
    assert_eq!(told[1], "ekp-run-member . --element 1 --per-element 2 -i 1");
    assert_eq!(told[3], "ekp-run-member . --element 3 --per-element 2 -i 1");
    assert_eq!(told[4], "ekp-update . -i 1");
    assert_eq!(told[8..], ["ekp-update . -i 2", "ekp-collect-timings ."]);
    fs::remove_dir_all(&dir).unwrap();
}
