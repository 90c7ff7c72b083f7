//! The machine: what jobs ask for, how the chain is cut for this cluster, how many workers a laptop runs.
//!
//! `site.toml` holds the machine and never the science; a run gives the same numbers under any site.
//! Belongs here: the types, their defaults, what one kind of job asks for in the end.
//! Not here: the text of the scripts (`launch::scripts`), talking to the scheduler (`launch::queue`).

use std::collections::BTreeMap;

mod amounts;
mod read;
mod text;

pub use amounts::{Memory, Walltime, Workers};

/// Everything `site.toml` says, with defaults.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Site {
    /// `[slurm]`
    pub slurm: Slurm,
    /// `[local]`
    pub local: Local,
}

/// `[slurm]` and the tables below it.
#[derive(Debug, Clone, PartialEq)]
pub struct Slurm {
    /// What every job asks for
    pub all: Request,
    /// `[slurm.init]`
    pub init: Request,
    /// `[slurm.member]`
    pub member: Request,
    /// `[slurm.update]`
    pub update: Request,
    /// `[slurm.collect]`
    pub collect: Request,
    /// `[slurm.stage.<name>]`, for grids
    pub stage: BTreeMap<String, Request>,
    /// Elements of one array that run at the same time, at most
    pub array_limit: Option<u32>,
    /// The cluster's `MaxArraySize`: the largest index is one less
    pub max_array_size: u32,
    /// How the jobs of a run get into the queue
    pub chain: Chain,
    /// What an update waits for
    pub dependency: Dependency,
    /// Whether a running job may submit jobs
    pub submit_from_jobs: bool,
    /// How lost members come back
    pub retry: Retry,
}

/// How the jobs of a run get into the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chain {
    /// All of them at once, each waiting for the one before
    #[default]
    UpFront,
    /// One iteration at a time: each update submits the next
    Rolling,
}

/// What an update waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dependency {
    /// The end of every member, however it ended; the update judges the files
    #[default]
    AfterAny,
    /// The success of every member: the classic chain, which one lost member ends
    AfterOk,
}

/// `[slurm.retry]`: what a member that ran out of something gets the next time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Retry {
    /// Factor on the wall time after a time limit, ≥ 1
    pub time_factor: f64,
    /// Factor on the memory after an out-of-memory kill, ≥ 1
    pub mem_factor: f64,
}

/// What a job asks for; a key that is absent is left to what stands above it, at last to Slurm.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// `--partition`
    pub partition: Option<String>,
    /// `--account`
    pub account: Option<String>,
    /// `--qos`
    pub qos: Option<String>,
    /// `--constraint`
    pub constraint: Option<String>,
    /// `--time`
    pub time: Option<Walltime>,
    /// `--nodes`
    pub nodes: Option<u32>,
    /// `--ntasks`
    pub ntasks: Option<u32>,
    /// `--cpus-per-task`
    pub cpus_per_task: Option<u32>,
    /// `--mem`, per node; excludes `mem_per_cpu`
    pub mem: Option<Memory>,
    /// `--mem-per-cpu`; excludes `mem`
    pub mem_per_cpu: Option<Memory>,
    /// `--gres`
    pub gres: Option<String>,
    /// `--exclusive`
    pub exclusive: Option<bool>,
    /// `--mail-user`: told when a job fails and when the last one ends
    pub mail: Option<String>,
    /// `module load`, in this order
    pub modules: Option<Vec<String>>,
    /// Environment variables, each a key of its own
    pub env: BTreeMap<String, String>,
    /// Lines of shell, after modules
    pub prologue: Option<Vec<String>>,
    /// `#SBATCH` lines as they stand
    pub extra: Option<Vec<String>>,
    /// Members that one array element runs; absent: as the plan chooses
    pub members_per_task: Option<u32>,
}

/// `[local]`: worker processes on one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// How many
    pub workers: Workers,
    /// Threads of each
    pub threads: u32,
}

/// The kinds of job a run is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job<'a> {
    /// The first ensemble; also the job that submits the chain
    Init,
    /// Members of an iteration
    Member,
    /// Closing an iteration
    Update,
    /// Tables of times
    Collect,
    /// Cells of a stage of a grid
    Stage(&'a str),
}

impl Default for Slurm {
    fn default() -> Self {
        Self {
            all: Request::default(),
            init: Request::default(),
            member: Request::default(),
            update: Request::default(),
            collect: Request::default(),
            stage: BTreeMap::new(),
            array_limit: None,
            max_array_size: 1001, // Slurm's own default
            chain: Chain::default(),
            dependency: Dependency::default(),
            submit_from_jobs: true,
            retry: Retry::default(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self { time_factor: 2.0, mem_factor: 1.5 }
    }
}

impl Default for Local {
    fn default() -> Self {
        Self { workers: Workers::Physical, threads: 1 }
    }
}

impl Slurm {
    /// What a job of this kind asks for in the end.
    pub fn request(&self, job: Job<'_>) -> Request {
        match job {
            Job::Init => self.init.over(&self.all),
            Job::Member => self.member.over(&self.all),
            Job::Update => self.update.over(&self.all),
            Job::Collect => self.collect.over(&self.all),
            // A cell is a member of its stage.
            Job::Stage(name) => match self.stage.get(name) {
                Some(stage) => stage.over(&self.member.over(&self.all)),
                None => self.member.over(&self.all),
            },
        }
    }

    /// The largest index an array may have here.
    pub fn largest_index(&self) -> u32 {
        self.max_array_size - 1
    }
}

impl Request {
    /// This, and where it is silent `below`. Lists replace lists; of the environment each variable counts.
    #[must_use]
    pub fn over(&self, below: &Self) -> Self {
        let word = |mine: &Option<String>, theirs: &Option<String>| mine.clone().or_else(|| theirs.clone());
        let list = |mine: &Option<Vec<String>>, theirs: &Option<Vec<String>>| {
            mine.clone().or_else(|| theirs.clone())
        };
        // Slurm takes one of the two: asking for one per kind of job takes back the other.
        let memory = if self.mem.is_some() || self.mem_per_cpu.is_some() { self } else { below };
        let mut env = below.env.clone();
        env.extend(self.env.clone());
        Self {
            partition: word(&self.partition, &below.partition),
            account: word(&self.account, &below.account),
            qos: word(&self.qos, &below.qos),
            constraint: word(&self.constraint, &below.constraint),
            time: self.time.or(below.time),
            nodes: self.nodes.or(below.nodes),
            ntasks: self.ntasks.or(below.ntasks),
            cpus_per_task: self.cpus_per_task.or(below.cpus_per_task),
            mem: memory.mem,
            mem_per_cpu: memory.mem_per_cpu,
            gres: word(&self.gres, &below.gres),
            exclusive: self.exclusive.or(below.exclusive),
            mail: word(&self.mail, &below.mail),
            modules: list(&self.modules, &below.modules),
            env,
            prologue: list(&self.prologue, &below.prologue),
            extra: list(&self.extra, &below.extra),
            members_per_task: self.members_per_task.or(below.members_per_task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_job_overrides_key_by_key_and_one_memory_replaces_the_other() {
        let mut slurm = Slurm::default();
        slurm.all.partition = Some("cpu".into());
        slurm.all.mem = Some(Memory(1024));
        slurm.all.env.insert("A".into(), "1".into());
        slurm.all.env.insert("B".into(), "1".into());
        slurm.member.mem_per_cpu = Some(Memory(100));
        slurm.member.env.insert("B".into(), "2".into());
        let member = slurm.request(Job::Member);
        assert_eq!(member.partition.as_deref(), Some("cpu"));
        assert_eq!((member.mem, member.mem_per_cpu), (None, Some(Memory(100))));
        assert_eq!(member.env["A"], "1");
        assert_eq!(member.env["B"], "2");
        assert_eq!(slurm.request(Job::Update).mem, Some(Memory(1024)));
    }

    #[test]
    fn a_stage_stands_on_what_members_ask_for() {
        let mut slurm = Slurm::default();
        slurm.member.cpus_per_task = Some(4);
        slurm.stage.insert("build".into(), Request { nodes: Some(2), ..Request::default() });
        let build = slurm.request(Job::Stage("build"));
        assert_eq!((build.nodes, build.cpus_per_task), (Some(2), Some(4)));
        assert_eq!(slurm.request(Job::Stage("other")).nodes, None);
    }
}
