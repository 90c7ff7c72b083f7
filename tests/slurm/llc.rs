//! Samplers on Slurm: each after its own target, killed at random and stopped by the clock, to the same bytes.

use super::bed::Bed;
use super::{records, starts};
use crate::llc::{rows, study};
use crate::support::processes::{Dice, signal};
use crate::support::{Folder, TestRun, same_science, tool};

/// Two minima in closed form; a sampler that lasts for a second or two, for the sake of the disk.
fn grid(name: &str, draws: u32) -> (Folder, TestRun, TestRun) {
    let targets = "[axis.options.flat]\nkind = \"quadratic\"\neigenvalues = [1.0, 10.0]\n\
        [axis.options.steep]\nkind = \"quadratic\"\neigenvalues = [1.0, 100.0]";
    let samplers = format!(
        "[axis.options.hmc]\ndraws = 200\nwarmup = {draws}\ncheckpoint_s = 0\n\
         [axis.options.sgld]\nsampler = \"sgld\"\nsteps = 2000\nwarmup = 500\nbatch = 4\neval_every = 2"
    );
    let folder = study(name, targets, &samplers);
    folder.write("site.toml", "[slurm]\ntime = \"00:10:00\"\n");
    let made = |name: &str| {
        tool("ekp-init", folder.path()).args(["-q", "experiment.toml", name]).succeeds();
        TestRun { path: folder.path().join(name) }
    };
    let (expected, run) = (made("expected"), made("run"));
    expected.launch(&["-q", "--workers", "2"]);
    (folder, expected, run)
}

/// Processes of `ekp-run-member` that work on a sampler of this run which has kept a state.
fn samplers(run: &TestRun) -> Vec<u32> {
    let kept = |folder: &std::path::Path| {
        let mut all = walkdir::WalkDir::new(folder).into_iter().flatten();
        all.any(|e| e.file_name() == "chains.bin")
    };
    if !kept(&run.path.join("stage_2_run_sampler")) {
        return Vec::new();
    }
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    let ours = |pid: &u32| {
        let link = |name: &str| std::fs::read_link(format!("/proc/{pid}/{name}")).ok();
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        link("cwd").is_some_and(|cwd| cwd == run.path) && words.contains("ekp-run-member . -i 2 --block 1")
    };
    pids.filter(ours).collect()
}

#[test]
fn a_sampler_killed_at_random_is_submitted_again_and_goes_on_to_the_same_bytes() {
    let Some(bed) = Bed::shared() else { return };
    let (_folder, expected, run) = grid("slurm-llc-kill", 6000);
    bed.submit(&run);
    // When one sampler dies without a word, a random while after it kept a state
    let mut killed = false;
    bed.wait(&run, "a sampler to kill", 90, || {
        let Some(pid) = samplers(&run).first().copied() else { return false };
        std::thread::sleep(std::time::Duration::from_millis(Dice::new(5).below(60) as u64));
        killed = signal("KILL", pid.into());
        true
    });
    bed.finished(&run);
    // Then the merge submitted what was lost again, and the bytes are those of a run that nobody disturbed
    if killed {
        let records = records(&run);
        assert!(records.len() == 2 && records[1]["rerun"].as_bool() == Some(true), "{}", bed.story(&run));
    }
    same_science(&expected, &run);
    // A row for each cell; how long each waited is known here, and only here
    let all = rows(&run);
    assert!(all.len() == 4 && all.iter().all(|row| row["state"] == "ok"), "{all:?}");
    for row in &all {
        let seconds = |name: &str| row[name].parse::<f64>().unwrap();
        assert!(seconds("queue_sec") >= 0.0 && seconds("sample_sec") > 0.0 && seconds("ess_per_sec") > 0.0);
        assert!(!row["job_id"].is_empty());
    }
    assert!(rows(&expected).iter().all(|row| row["queue_sec"].is_empty() && !row["adapt_sec"].is_empty()));
}

#[test]
fn near_the_end_of_its_time_a_sampler_keeps_its_state_and_is_queued_again_under_its_number() {
    let Some(bed) = Bed::shared() else { return };
    let (_folder, expected, run) = grid("slurm-llc-time", 6000);
    assert!(run.read("ekp_stage_run_sampler.sbatch").contains("#SBATCH --signal=B:USR1@120"));
    bed.submit(&run);
    // When Slurm says that the time is nearly over
    let mut job = String::new();
    bed.wait(&run, "a sampler at work", 90, || {
        let Some(pid) = samplers(&run).first().copied() else { return false };
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let of =
            |name: &str| environment.split('\0').find_map(|word| word.strip_prefix(name)).map(str::to_owned);
        job = of("SLURM_ARRAY_JOB_ID=")
            .zip(of("SLURM_ARRAY_TASK_ID="))
            .map_or(String::new(), |(a, e)| format!("{a}_{e}"));
        !job.is_empty()
    });
    bed.program(&run, "scancel").args(["--batch", "--signal=USR1", &job]).run();
    bed.finished(&run);
    // Then the same element ran again, nothing was submitted anew, and the bytes are the same
    let element = job.rsplit('_').next().unwrap();
    let log = format!("run_sampler/b1_{element}.out");
    if starts(&run, &log) > 1 {
        assert!(run.read(&format!("logs/{log}")).contains("keeps its state and is queued again"));
    } else {
        eprintln!("the sampler ended before the signal came");
    }
    assert_eq!(records(&run).len(), 1, "{}", bed.story(&run));
    same_science(&expected, &run);
}
