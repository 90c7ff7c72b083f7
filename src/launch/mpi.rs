//! A pool of ranks: `mpirun` or `srun` starts `ekp-worker` on each, and they share the run by leases.
//!
//! No MPI library is involved, so ranks that cannot see each other (a wrong PMI makes N separate worlds)
//! still do each member once.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::launch::workers::{carried, conclude};
use crate::launch::{LaunchError, Launcher, Means, Watch, tools};
use crate::machine::{self, signals};
use crate::steps::Run;

/// Workers under `mpirun` or `srun`.
#[derive(Debug)]
pub struct Mpi {
    /// How many ranks
    pub means: Means,
    /// The words before the program; `mpirun` or `srun` by what is there when absent
    pub starter: Option<Vec<String>>,
}

impl Mpi {
    fn words(&self) -> Result<Vec<String>, LaunchError> {
        if let Some(words) = &self.starter {
            return Ok(words.clone());
        }
        let ranks = self.means.workers.to_string();
        let in_job = std::env::var_os("SLURM_JOB_ID").is_some();
        let threads = format!("--cpus-per-task={}", self.means.threads);
        if in_job && machine::process::find("srun".as_ref()).is_some() {
            return Ok(vec!["srun".into(), "-n".into(), ranks, threads, "--export=ALL".into()]);
        }
        if machine::process::find("mpirun".as_ref()).is_some() {
            return Ok(vec!["mpirun".into(), "-n".into(), ranks]);
        }
        Err(LaunchError::Carrier {
            what: "there is no `mpirun`, and this is no Slurm job with `srun`".into(),
            hint: "load your MPI module, or name the starter: `--starter 'mpiexec -n 8'`".into(),
        })
    }
}

impl Launcher for Mpi {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        let how = self.carry(run.dir.root())?;
        conclude(run, watch, &self.means, &how)
    }
}

impl Mpi {
    /// The pool on the run folder `root`, to its end; how that was, in words.
    ///
    /// # Errors
    /// There is no starter of ranks.
    pub(super) fn carry(&self, root: &Path) -> Result<String, LaunchError> {
        let words = self.words()?;
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(tools()?.join("ekp-worker")).arg(root).arg("--to-end");
        command.args(["--threads", &self.means.threads.to_string()]);
        // Open MPI refuses to run as root and to start more ranks than it counts cores, unless told.
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command
            .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
            .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
        // What an sbatch leaves behind would make every srun start without an environment.
        command.env_remove("SLURM_EXPORT_ENV");
        command.stdin(Stdio::null()).stdout(Stdio::from(std::io::stderr()));
        let status =
            carried(&mut command, &self.means, signals::terminate).map_err(|e| LaunchError::Carrier {
                what: format!("cannot start `{}`: {e}", words[0]),
                hint: "load your MPI module, or name the starter: `--starter 'mpiexec -n 8'`".into(),
            })?;
        Ok(format!("`{}` ended with {status}", words[0]))
    }
}
