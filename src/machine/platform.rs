//! What this machine is: every fact that explains a timing, in one table.
//!
//! Read from `/proc`, `/sys` and the environment; nothing is started. What is not told is absent. What other programs
//! have to be asked for (MPI, GPUs, the scheduler) is put in by [`super::probe`].

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::machine::cores::{Cores, topology};
use crate::machine::host::host;
use crate::machine::limits;
use crate::machine::memory::Memory;

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
    /// Highest clock that the processor may have, or else the present one, MHz
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_mhz: Option<f64>,
    /// How the clock is governed: `performance`, `powersave`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub governor: Option<String>,
    /// Several hardware threads share a core
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smt: Option<bool>,
    /// Nodes of memory
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numa_nodes: Option<usize>,
    /// Hardware threads that this process may run on: `0-3,8`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    /// Limit of the control group, cores
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_cores: Option<f64>,
    /// Limit of the control group, 10⁶ bytes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup_memory_mb: Option<f64>,
    /// Processes that wanted a core in the last minute: 1 to the number of cores, and the machine was busy without us
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// The tools
    pub build: Build,
    /// The job that this process is part of
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
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

/// How the tools were compiled.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// Their version
    pub tools: &'static str,
    /// Of the compiler
    pub compiler: &'static str,
    /// For which machine
    pub target: &'static str,
    /// 0 to 3
    pub opt_level: &'static str,
    /// Checks of a debug build are in
    pub checked: bool,
    /// Instructions that all of it may use
    pub target_features: &'static str,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            tools: env!("CARGO_PKG_VERSION"),
            compiler: env!("EKP_COMPILER"),
            target: env!("EKP_TARGET"),
            opt_level: env!("EKP_OPT_LEVEL"),
            checked: cfg!(debug_assertions),
            target_features: env!("EKP_TARGET_FEATURES"),
        }
    }
}

/// What the scheduler gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Job {
    /// Its number
    pub id: String,
    /// Partition
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Nodes
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u64>,
    /// Tasks
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Cores of each
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus_per_task: Option<u64>,
    /// Elements of its array
    #[serde(skip_serializing_if = "Option::is_none")]
    pub array_size: Option<u64>,
}

/// Vector units of this machine that matter to us, widest last.
fn vector_units() -> Vec<&'static str> {
    let mut units = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        units.push("sse2"); // every x86-64 has it
        if std::is_x86_feature_detected!("avx") {
            units.push("avx");
        }
        if std::is_x86_feature_detected!("fma") {
            units.push("fma");
        }
        if std::is_x86_feature_detected!("avx2") {
            units.push("avx2");
        }
        if std::is_x86_feature_detected!("avx512f") {
            units.push("avx512f");
        }
    }
    #[cfg(target_arch = "aarch64")]
    units.push("neon");
    units
}

/// Look at this machine alone: no other program is asked, so it takes a millisecond.
pub fn this_machine() -> Platform {
    within(Path::new("/"), &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
}

/// The same under another root and in another environment.
fn within(root: &Path, var: &dyn Fn(&str) -> Option<String>) -> Platform {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|t| t.trim().to_owned());
    let number = |path: &str| text(path)?.parse::<f64>().ok();
    // The rest of the first line that begins so
    let field = |path: &str, key: &str| {
        let all = text(path)?;
        let rest = all.lines().find_map(|line| line.strip_prefix(key))?;
        Some(rest.trim_matches([' ', '\t', ':', '"']).to_owned())
    };
    let (cpus, usable, memory) = (topology(root), Cores::here(), Memory::here());
    let count = |mut keys: Vec<(usize, usize)>| {
        keys.sort_unstable();
        keys.dedup();
        keys.len()
    };
    let cpu = "sys/devices/system/cpu/cpu0/cpufreq/";
    let highest = number(&format!("{cpu}cpuinfo_max_freq")).map(|khz| khz / 1000.0);
    let nodes = fs::read_dir(root.join("sys/devices/system/node")).ok().map(|entries| {
        let is_node = |name: &str| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
        entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_node)).count()
    });
    let amount = |name: &str| var(name)?.parse::<u64>().ok();
    let megabytes = |bytes: u64| (bytes as f64 * 1e-6).round();
    Platform {
        host: host().to_owned(),
        kernel: text("proc/sys/kernel/osrelease"),
        system: field("etc/os-release", "PRETTY_NAME="),
        cpu: field("proc/cpuinfo", "model name"),
        sockets: count(cpus.iter().map(|c| (c.package, 0)).collect()).max(1),
        cores: count(cpus.iter().map(|c| (c.package, c.first_sibling)).collect()).max(usable.physical),
        threads: cpus.len().max(usable.logical),
        usable_cores: usable.physical,
        usable_threads: usable.logical,
        simd: vector_units(),
        memory_mb: memory.map(|m| megabytes(m.total)),
        memory_free_mb: memory.map(|m| megabytes(m.available)),
        open_files: limits::open_files().ok().map(|(soft, _)| soft),
        mpi: None,
        clock_mhz: highest.or_else(|| field("proc/cpuinfo", "cpu MHz")?.parse().ok()),
        governor: text(&format!("{cpu}scaling_governor")),
        smt: text("sys/devices/system/cpu/smt/active").map(|t| t == "1"),
        numa_nodes: nodes.filter(|n| *n > 0),
        affinity: field("proc/self/status", "Cpus_allowed_list"),
        cgroup_cores: super::cores::quota(root),
        cgroup_memory_mb: super::memory::limit(root).map(megabytes),
        load: text("proc/loadavg").and_then(|t| t.split(' ').next()?.parse().ok()),
        build: Build::default(),
        job: var("SLURM_JOB_ID").map(|id| Job {
            id,
            partition: var("SLURM_JOB_PARTITION"),
            nodes: amount("SLURM_JOB_NUM_NODES"),
            tasks: amount("SLURM_NTASKS"),
            cpus_per_task: amount("SLURM_CPUS_PER_TASK"),
            array_size: amount("SLURM_ARRAY_TASK_COUNT"),
        }),
        gpu: Vec::new(),
        scheduler: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    #[test]
    fn files_of_the_kernel_and_words_of_the_scheduler_are_read() {
        let scratch = Scratch::new("details").unwrap();
        let put = |path: &str, text: &str| {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3400000\n");
        put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
        put("sys/devices/system/cpu/smt/active", "1\n");
        put("sys/devices/system/node/node0/meminfo", "");
        put("sys/devices/system/node/node1/meminfo", "");
        put("sys/devices/system/node/online", "0-1\n");
        put("proc/self/status", "Name:\tekp\nCpus_allowed_list:\t0-3,8\n");
        put("proc/loadavg", "2.50 1.00 0.50 1/200 4711\n");
        let var = |name: &str| match name {
            "SLURM_JOB_ID" => Some("17".to_owned()),
            "SLURM_NTASKS" => Some("8".to_owned()),
            _ => None,
        };
        let found = within(scratch.path(), &var);
        assert_eq!((found.clock_mhz, found.governor.as_deref()), (Some(3400.0), Some("performance")));
        assert_eq!((found.smt, found.numa_nodes, found.load), (Some(true), Some(2), Some(2.5)));
        assert_eq!(found.affinity.as_deref(), Some("0-3,8"));
        let job = found.job.unwrap();
        assert_eq!((job.id.as_str(), job.tasks, job.nodes), ("17", Some(8), None));
        assert!(!Build::default().compiler.is_empty());
        // Where nothing is told nothing is said
        let bare = within(&scratch.path().join("nowhere"), &|_| None);
        assert_eq!((bare.clock_mhz, bare.governor, bare.smt, bare.numa_nodes), (None, None, None, None));
        assert_eq!((bare.cpu, bare.affinity, bare.load, bare.job), (None, None, None, None));
    }
}
