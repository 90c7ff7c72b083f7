//! A member that is itself parallel: its launcher and what surrounds it.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::machine::process;
use crate::models::ModelError;
use crate::models::external::verdict;

/// `[model.mpi]`.
#[derive(Debug, Clone)]
pub(crate) struct Mpi {
    /// Processes of one member
    pub(crate) ranks: usize,
    /// The launcher's words; `None`: `srun` inside Slurm, else `mpirun`
    pub(crate) launcher: Option<Vec<String>>,
}

impl Mpi {
    fn words(&self) -> Vec<String> {
        self.launcher.clone().unwrap_or_else(|| {
            let inside = std::env::var_os("SLURM_JOB_ID").is_some();
            vec![if inside { "srun" } else { "mpirun" }.to_owned()]
        })
    }

    /// The launcher's own name, without folders.
    pub(crate) fn launcher_name(&self) -> String {
        let words = self.words();
        let name = words.first().map(Path::new).and_then(Path::file_name);
        name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
    }

    /// The launcher with its arguments, then the model's command.
    pub(crate) fn wrap(
        &self,
        program: &Path,
        args: impl Iterator<Item = OsString>,
        threads: usize,
    ) -> Result<(PathBuf, Vec<OsString>), ModelError> {
        let words = self.words();
        let name = words.first().map_or("", String::as_str);
        let Some(launcher) = process::find(Path::new(name)) else {
            return Err(verdict::not_found(&format!("no MPI launcher `{name}` in `PATH`")));
        };
        let mut all: Vec<OsString> = words.iter().skip(1).map(Into::into).collect();
        if self.launcher_name() == "srun" {
            // Some versions hand sbatch's value on, some do not: always say it (it implies `--exact`).
            if !words.iter().any(|word| word == "-c" || word.starts_with("--cpus-per-task")) {
                all.push(format!("--cpus-per-task={threads}").into());
            }
            // Inside a step all cores are taken, by the step itself.
            if std::env::var_os("SLURM_STEP_ID").is_some() && !words.iter().any(|word| word == "--overlap") {
                all.push("--overlap".into());
            }
        }
        all.push("-n".into());
        all.push(self.ranks.to_string().into());
        all.push(program.into());
        all.extend(args);
        Ok((launcher, all))
    }

    /// Variables that the launcher needs.
    pub(crate) fn variables(&self) -> Vec<(&'static str, &'static str)> {
        let mut variables = Vec::new();
        if self.launcher_name() == "srun" {
            return variables;
        }
        if std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0) {
            // In a container everybody is root; Open MPI refuses without both.
            variables.push(("OMPI_ALLOW_RUN_AS_ROOT", "1"));
            variables.push(("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"));
        }
        // Open MPI binds rank 0 of every launch to core 0: members side by side would all share it.
        for binding in ["OMPI_MCA_hwloc_base_binding_policy", "PRTE_MCA_hwloc_default_binding_policy"] {
            if std::env::var_os(binding).is_none() {
                variables.push((binding, "none"));
            }
        }
        variables
    }
}

/// Is this variable the mark of a rank? A worker may itself be started by `srun` or `mpirun`; a model that
/// inherits its rank would wait for the others for ever.
pub(crate) fn is_rank_mark(name: &str) -> bool {
    const PREFIXES: [&str; 11] = [
        "PMI_",
        "PMI2_",
        "PMIX_",
        "PRTE_LAUNCHED",
        "HYDI_",
        "MPI_LOCAL",
        "OMPI_COMM_WORLD_",
        "OMPI_MCA_orte_",
        "OMPI_MCA_ess",
        "OMPI_MCA_pmix",
        "OMPI_MCA_initial_wdir",
    ];
    const NAMES: [&str; 9] = [
        "OMPI_UNIVERSE_SIZE",
        "OMPI_APP_CTX_NUM_PROCS",
        "OMPI_NUM_APP_CTX",
        "OMPI_FIRST_RANKS",
        "OMPI_FILE_LOCATION",
        "OMPI_COMMAND",
        "OMPI_ARGV",
        "OMPI_MCA_cpu_type",
        // `--export=…` of an outer job: an inner srun would start its step without a PATH
        "SLURM_EXPORT_ENV",
    ];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
