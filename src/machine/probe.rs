//! Other programs asked about this machine: MPI, GPUs, the scheduler and its limits.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::machine::platform::{Gpu, Platform, Scheduler, this_machine};
use crate::machine::process::{self, End, Job};

/// Longest time a foreign program (`scontrol`, `nvidia-smi`) may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Look at this machine, its GPUs and its scheduler. Takes seconds where those are slow to answer.
pub fn platform() -> Platform {
    Platform { mpi: mpi(), gpu: gpu(), scheduler: scheduler(), ..this_machine() }
}

/// `mpirun (Open MPI) 4.1.4`
fn mpi() -> Option<String> {
    let text = ask("mpirun", &["--version"]).ok()?;
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn field(path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned())
}

/// What a program on `PATH` prints, if it ends well and soon; else why not.
///
/// # Errors
/// It is not there, it failed, it did not answer in time.
pub fn ask(name: &str, args: &[&str]) -> Result<String, String> {
    let program = process::find(Path::new(name)).ok_or_else(|| format!("`{name}` is not in `PATH`"))?;
    let args: Vec<OsString> = args.iter().map(Into::into).collect();
    let mut job = Job::new(&program, &args, Path::new("/"));
    job.timeout = Some(PATIENCE);
    let answer = process::capture(&job).map_err(|e| e.to_string())?;
    match answer.ended.end {
        End::Exit(0) => Ok(answer.stdout),
        End::Timeout => Err(format!("`{name}` did not answer within {} s", PATIENCE.as_secs())),
        _ => Err(format!("`{name}` failed: {}", answer.stderr.lines().next().unwrap_or("without a word"))),
    }
}

/// `nvidia-smi` knows memory and driver, but may be missing where `/proc` lists the cards.
fn gpu() -> Vec<Gpu> {
    let query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"];
    if let Ok(text) = ask("nvidia-smi", &query) {
        let found: Vec<Gpu> = text.lines().filter_map(smi_line).collect();
        if !found.is_empty() {
            return found;
        }
    }
    let Ok(cards) = fs::read_dir("/proc/driver/nvidia/gpus") else { return Vec::new() };
    let mut folders: Vec<_> = cards.filter_map(|card| Some(card.ok()?.path())).collect();
    folders.sort();
    let model = |folder: &std::path::PathBuf| field(folder.join("information").to_str()?, "Model:");
    folders.iter().filter_map(model).map(|name| Gpu { name, memory_mb: None, driver: None }).collect()
}

/// `NVIDIA A100-SXM4-40GB, 40960, 535.104.05`: memory in MiB.
fn smi_line(line: &str) -> Option<Gpu> {
    let mut fields = line.split(',').map(str::trim);
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let memory_mb =
        fields.next().and_then(|mib| mib.parse::<f64>().ok()).map(|mib| (mib * 1.048_576).round());
    Some(Gpu { name, memory_mb, driver: fields.next().map(str::to_owned) })
}

fn scheduler() -> Option<Scheduler> {
    process::find(Path::new("sbatch"))?;
    Some(match ask("scontrol", &["show", "config"]) {
        Ok(text) => slurm_limits(&text),
        Err(problem) => Scheduler { name: "slurm".into(), problem: Some(problem), ..Default::default() },
    })
}

/// From `scontrol show config`: lines of `Key = value`.
fn slurm_limits(text: &str) -> Scheduler {
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        lines.find(|(k, _)| k.trim().eq_ignore_ascii_case(key)).map(|(_, v)| v.trim().to_owned())
    };
    // `300 sec`
    let number = |key: &str| value(key)?.split_whitespace().next()?.parse::<u64>().ok();
    Scheduler {
        name: "slurm".into(),
        version: value("SLURM_VERSION"),
        max_array_size: number("MaxArraySize"),
        max_job_count: number("MaxJobCount"),
        min_job_age_s: number("MinJobAge"),
        problem: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_described_in_toml() {
        let platform = platform();
        assert!(
            platform.usable_cores <= platform.cores && platform.cores <= platform.threads,
            "{platform:?}"
        );
        let text = toml::to_string(&platform).unwrap();
        assert!(text.contains("host = "), "{text}");
    }

    #[test]
    fn the_limits_of_slurm_are_read_from_its_own_words() {
        let text = "Configuration data as of 2026-01-01\nMaxArraySize            = 1001\nMaxJobCount             = 10000\n\
                    MinJobAge               = 300 sec\nSLURM_VERSION           = 22.05.8\n";
        let limits = slurm_limits(text);
        assert_eq!((limits.max_array_size, limits.max_job_count), (Some(1001), Some(10000)));
        assert_eq!((limits.min_job_age_s, limits.version.as_deref()), (Some(300), Some("22.05.8")));
    }

    #[test]
    fn a_card_is_read_from_its_line() {
        let card = smi_line("NVIDIA A100-SXM4-40GB, 40960, 535.104.05").unwrap();
        assert_eq!((card.memory_mb, card.driver.as_deref()), (Some(42950.0), Some("535.104.05")));
        assert_eq!(smi_line(""), None);
    }
}
