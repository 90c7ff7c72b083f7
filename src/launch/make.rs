//! GNU make carries the run: the `Makefile` of the run folder, the same calls, make's own resume.

use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::launch::workers::{carried, conclude};
use crate::launch::{LaunchError, Launcher, Means, Watch};
use crate::machine::signals;
use crate::steps::Run;

/// `make -jN` in the run folder.
#[derive(Debug)]
pub struct Make {
    /// How many at once
    pub means: Means,
}

impl Launcher for Make {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        let status = self.carry(run.dir.root())?;
        conclude(run, watch, &self.means, &format!("`make` ended with {status}"))
    }
}

impl Make {
    /// `make` in the run folder `root`, to its end.
    ///
    /// # Errors
    /// There is no make.
    pub(super) fn carry(&self, root: &Path) -> Result<ExitStatus, LaunchError> {
        let mut command = Command::new("make");
        command.current_dir(root).arg(format!("-j{}", self.means.workers)).arg("--no-print-directory");
        // A make above this one must not hand its flags and job slots down.
        for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES"] {
            command.env_remove(variable);
        }
        command.env("EKP_THREADS", self.means.threads.to_string());
        // stdout is for data: what make echoes goes where messages go.
        command.stdout(Stdio::from(std::io::stderr()));
        // As Ctrl-C would: make waits for its calls, and each of them gets the signal once.
        carried(&mut command, &self.means, signals::interrupt_group).map_err(|e| LaunchError::Carrier {
            what: format!("cannot start `make`: {e}"),
            hint: "`--on local` needs no other program".into(),
        })
    }
}
