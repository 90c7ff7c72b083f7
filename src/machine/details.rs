//! What else explains a timing: clocks, limits, load, memory nodes, the job, how the tools were compiled.
//!
//! Read from `/proc`, `/sys` and the environment; nothing is started. What is not told is absent.

use std::fs;
use std::path::Path;

use serde::Serialize;

/// Facts beside those of [`super::probe::Platform`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Details {
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

/// Look.
pub fn details() -> Details {
    within(Path::new("/"), &|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
}

/// The same under another root and in another environment.
fn within(root: &Path, var: &dyn Fn(&str) -> Option<String>) -> Details {
    let text = |path: &str| fs::read_to_string(root.join(path)).ok().map(|t| t.trim().to_owned());
    let number = |path: &str| text(path)?.parse::<f64>().ok();
    let field = |path: &str, key: &str| {
        let all = text(path)?;
        let line = all.lines().find(|line| line.starts_with(key))?;
        Some(line[key.len()..].trim_matches([' ', '\t', ':']).to_owned())
    };
    let cpu = "sys/devices/system/cpu/cpu0/cpufreq/";
    let highest = number(&format!("{cpu}cpuinfo_max_freq")).map(|khz| khz / 1000.0);
    let nodes = fs::read_dir(root.join("sys/devices/system/node")).ok().map(|entries| {
        let is_node = |name: &str| name.strip_prefix("node").is_some_and(|n| n.parse::<u32>().is_ok());
        entries.flatten().filter(|e| e.file_name().to_str().is_some_and(is_node)).count()
    });
    let count = |name: &str| var(name)?.parse::<u64>().ok();
    Details {
        clock_mhz: highest.or_else(|| field("proc/cpuinfo", "cpu MHz")?.parse().ok()),
        governor: text(&format!("{cpu}scaling_governor")),
        smt: text("sys/devices/system/cpu/smt/active").map(|t| t == "1"),
        numa_nodes: nodes.filter(|n| *n > 0),
        affinity: field("proc/self/status", "Cpus_allowed_list"),
        cgroup_cores: super::cores::quota(root),
        cgroup_memory_mb: super::memory::limit(root).map(|bytes| (bytes as f64 * 1e-6).round()),
        load: text("proc/loadavg").and_then(|t| t.split(' ').next()?.parse().ok()),
        build: Build::default(),
        job: var("SLURM_JOB_ID").map(|id| Job {
            id,
            partition: var("SLURM_JOB_PARTITION"),
            nodes: count("SLURM_JOB_NUM_NODES"),
            tasks: count("SLURM_NTASKS"),
            cpus_per_task: count("SLURM_CPUS_PER_TASK"),
            array_size: count("SLURM_ARRAY_TASK_COUNT"),
        }),
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
        assert_eq!(bare, Details::default());
    }
}
