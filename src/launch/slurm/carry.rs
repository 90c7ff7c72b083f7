//! Slurm as a launcher: the calibration script submits, the files tell how far it is.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::files::load_record;
use crate::launch::slurm::Scheduler;
use crate::launch::{LaunchError, Launcher, Means, Watch};
use crate::plan::Due;
use crate::steps::{Run, StepError, Update, due};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often the controller is asked, and only while the files do not move.
const ASK: Duration = Duration::from_secs(30);

/// A chain of jobs.
#[derive(Debug)]
pub struct Slurm {
    /// The stop flag: it ends the watching, not the jobs
    pub means: Means,
}

impl Launcher for Slurm {
    fn launch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        submit(run.dir.root())?;
        self.watch(run, watch)
    }
}

/// Run the calibration script of the run folder `root`, which submits what is left.
///
/// # Errors
/// It cannot be started, or says why it failed.
pub(in crate::launch) fn submit(root: &Path) -> Result<(), LaunchError> {
    let script = "ekp_calibration.sbatch";
    let mut command = Command::new("bash");
    command.arg(script).current_dir(root).stdin(Stdio::null());
    // stdout is for data: what the script says goes where messages go.
    command.stdout(Stdio::from(std::io::stderr()));
    let failed = |what: String| LaunchError::Carrier {
        what,
        hint: format!("`bash {script}` in the run folder says more; the run is safe on disk"),
    };
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(format!("`{script}` ended with {status}"))),
        Err(e) => Err(failed(format!("cannot start `bash`: {e}"))),
    }
}

impl Slurm {
    fn watch(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        let mut told = run.experiment.first_iteration;
        let mut begun = None;
        let mut moved = Instant::now();
        loop {
            while run.dir.update(told).exists() && run.dir.iteration(told + 1).is_dir() {
                let update: Update = load_record(&run.dir.update(told))?;
                watch.closed(&update);
                told += 1;
                moved = Instant::now();
            }
            run.not_cancelled()?;
            match due::due(run)? {
                Due::Over => return Ok(()),
                Due::Members(iteration, members) if begun != Some(iteration) => {
                    watch.begin(iteration, members.len());
                    begun = Some(iteration);
                }
                _ => {}
            }
            if self.means.stop.load(Ordering::Relaxed) {
                watch.note("no longer watched; the jobs go on (`ekp-status`, `ekp-cancel`)");
                return Err(StepError::Interrupted.into());
            }
            if moved.elapsed() > ASK {
                self.still_queued(run, watch)?;
                moved = Instant::now();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// A queue without jobs of ours ends the watch; the files have the last word, a moment later.
    fn still_queued(&self, run: &Run, watch: &dyn Watch) -> Result<(), LaunchError> {
        let note = |text: &str| watch.note(text);
        if !Scheduler::new(run, &note)?.jobs()?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(LOOK);
        if due::due(run)? == Due::Over {
            return Ok(());
        }
        run.not_cancelled()?;
        Err(LaunchError::Carrier {
            what: "the run is not at its end, and none of its jobs is in the queue".into(),
            hint: "`ekp-status` says where it stands, `logs/` why; the same command again goes on".into(),
        })
    }
}
