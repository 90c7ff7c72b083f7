//! What this machine is: the facts that explain a timing.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::machine::cores::{Cores, topology};
use crate::machine::details::{Details, details};
use crate::machine::host::host;
use crate::machine::memory::Memory;
use crate::machine::process::{self, End, Job};
use crate::machine::{limits, simd};

/// Longest time a foreign program (`scontrol`, `nvidia-smi`) may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this machine is. What it does not tell is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Platform {
    /// Name of the node
    pub host: String,
    /// Kernel release
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// Name of the distribution
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// Processor, in its maker's words
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Sockets of the machine
    pub sockets: usize,
    /// Cores of the machine
    pub cores: usize,
    /// Hardware threads of the machine
    pub threads: usize,
    /// Cores this process may use: affinity mask and quota
    pub usable_cores: usize,
    /// Hardware threads this process may use
    pub usable_threads: usize,
    /// Vector units, widest last
    pub simd: Vec<&'static str>,
    /// Memory this process may use, 10⁶ bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
    /// Of it free, 10⁶ bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_free_mb: Option<f64>,
    /// Files this process may have open
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_files: Option<u64>,
    /// The MPI that `mpirun` starts, in its own words
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mpi: Option<String>,
    /// Clocks, limits, load, the build, the job
    #[serde(flatten)]
    pub details: Details,
    /// Graphics processors
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpu: Vec<Gpu>,
    /// The scheduler, where its commands are in `PATH`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
}

/// A graphics processor.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gpu {
    /// Model
    pub name: String,
    /// Memory, 10⁶ bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<f64>,
    /// Version of its driver
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
}

/// A scheduler and its limits.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Scheduler {
    /// `slurm`
    pub name: String,
    /// Version
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// One more than the largest index of an array
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_array_size: Option<u64>,
    /// Jobs the controller keeps, array elements counted
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_job_count: Option<u64>,
    /// How long a finished job is remembered, seconds
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_job_age_s: Option<u64>,
    /// Why the limits are absent
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Look at this machine, its GPUs and its scheduler. Takes seconds where those are slow to answer.
pub fn platform() -> Platform {
    Platform { mpi: mpi(), gpu: gpu(), scheduler: scheduler(), ..this_machine() }
}

/// Look at this machine alone: no other program is asked, so it takes a millisecond.
pub fn this_machine() -> Platform {
    let (cpus, usable, memory) = (topology(Path::new("/")), Cores::here(), Memory::here());
    let count = |mut keys: Vec<(usize, usize)>| {
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    };
    Platform {
        host: host().to_owned(),
        kernel: line("/proc/sys/kernel/osrelease"),
        system: field("/etc/os-release", "PRETTY_NAME=").map(|name| name.trim_matches('"').to_owned()),
        cpu: field("/proc/cpuinfo", "model name")
            .map(|name| name.trim_start_matches([' ', '\t', ':']).to_owned()),
        sockets: count(cpus.iter().map(|c| (c.package, 0)).collect()).max(1),
        cores: count(cpus.iter().map(|c| (c.package, c.first_sibling)).collect()).max(usable.physical),
        threads: cpus.len().max(usable.logical),
        usable_cores: usable.physical,
        usable_threads: usable.logical,
        simd: simd::units(),
        memory_mb: memory.map(|m| (m.total as f64 * 1e-6).round()),
        memory_free_mb: memory.map(|m| (m.available as f64 * 1e-6).round()),
        open_files: limits::open_files().ok().map(|(soft, _)| soft),
        mpi: None,
        details: details(),
        gpu: Vec::new(),
        scheduler: None,
    }
}

/// `mpirun (Open MPI) 4.1.4`
fn mpi() -> Option<String> {
    let text = ask("mpirun", &["--version"]).ok()?;
    text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
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
