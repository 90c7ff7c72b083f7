//! Faults of `site.toml`.

use super::{Case, case, site};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("site_not_toml").file("site.toml", "#!/bin/bash\n#SBATCH --time=1:00\nmodule load gcc\n"),
        case("site_folder").init(&["--site", ".", "experiment.toml"]),
        case("site_not_there").init(&["--site", "hpc.toml", "experiment.toml"]),
        site("site_schema", "schema = \"ekp.experiment\"\n"),
        site("site_table_unknown", "[slrum]\ntime = 10\n"),
        site("site_key_unknown", "[slurm]\npartitoin = \"cpu\"\n"),
        site("site_key_at_top", "partition = \"cpu\"\n"),
        site("site_member_key_unknown", "[slurm.member]\ncpus_per_tasks = 4\n"),
        site("site_kind_unknown", "[slurm.members]\ntime = 10\n"),
        slurm("site_time_hours", "time = \"1h\""),
        slurm("site_time_zero", "time = 0"),
        slurm("site_time_number", "time = 1.5"),
        slurm("site_mem_unit", "mem = \"4 GB\""),
        slurm("site_mem_bytes", "mem = \"4B\""),
        slurm("site_mem_twice", "mem = \"4G\"\nmem_per_cpu = \"1G\""),
        slurm("site_partition_blank", "partition = \"cpu long\""),
        slurm("site_partition_line", "partition = \"cpu\\n#SBATCH --time=1\""),
        slurm("site_partition_empty", "partition = \"\""),
        slurm("site_account_dash", "account = \"-A p1\""),
        slurm("site_nodes_zero", "nodes = 0"),
        slurm("site_nodes_text", "nodes = \"2\""),
        slurm("site_exclusive_text", "exclusive = \"yes\""),
        slurm("site_modules_blank", "modules = [\"gcc/12 openmpi\"]"),
        slurm("site_modules_text", "modules = \"gcc/12\""),
        slurm("site_env_name", "env = { \"2A\" = \"x\" }"),
        slurm("site_env_slurm", "env = { SLURM_CONF = \"/etc/slurm.conf\" }"),
        slurm("site_env_lines", "env = { A = \"x\\ny\" }"),
        slurm("site_prologue_number", "prologue = 3"),
        slurm("site_extra_bare", "extra = [\"--exclusive\"]"),
        slurm("site_extra_array", "extra = [\"#SBATCH --array=1-3\"]"),
        slurm("site_chain_unknown", "chain = \"upfront\""),
        slurm("site_rolling_without_submission", "chain = \"rolling\"\nsubmit_from_jobs = false"),
        slurm("site_dependency_unknown", "dependency = \"after\""),
        slurm("site_array_size_one", "max_array_size = 1"),
        slurm("site_array_limit_zero", "array_limit = 0"),
        slurm("site_members_per_task_zero", "members_per_task = 0"),
        site("site_retry_below_one", "[slurm.retry]\ntime_factor = 0.5\n"),
        site("site_stage_key_unknown", "[slurm.stage.build]\nnode = 2\n"),
        site("site_workers_zero", "[local]\nworkers = 0\n"),
        site("site_workers_word", "[local]\nworkers = \"all\"\n"),
        site("site_threads_many", "[local]\nthreads = 100000\n"),
        site("site_local_key_unknown", "[local]\ncores = 4\n"),
    ]
}

fn slurm(name: &'static str, line: &str) -> Case {
    site(name, &format!("[slurm]\n{line}\n"))
}
