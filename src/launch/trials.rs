//! Workers of a search without a coordinator, on this machine: they share the run folder and nothing else.
//!
//! Belongs here: starting them, as threads or as processes, and showing how far they are. Not here: what they do
//! (`steps::trials`).

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::explain::reason;
use crate::launch::threads::FILES;
use crate::launch::workers::{conclude, that_fit};
use crate::launch::{LaunchError, Means, Watch, tools};
use crate::machine::signals;
use crate::steps::member::Outcome;
use crate::steps::worker::{self, Worker};
use crate::steps::{Run, StepError, outcomes};

/// Open files of the launcher for each worker that is a process.
const HANDLES: usize = 1;
/// How often results are counted for the bar.
const COUNT: Duration = Duration::from_secs(1);

/// Workers as threads of this process.
///
/// # Errors
/// The first that one of them had.
pub(super) fn threads(run: &Run, means: &Means, watch: &dyn Watch) -> Result<(), LaunchError> {
    let first = run.dir.identity.first_iteration;
    watch.begin(first, run.dir.budget() as usize);
    let error: Mutex<Option<StepError>> = Mutex::new(None);
    let work = |rank: usize| {
        let worker = Worker { options: means.of_lane(rank), to_end: true, wait: true, ..Worker::plain() };
        let each = |trial: u32, outcome: &Outcome| watch.member(trial, outcome);
        if let Err(e) = worker::work(run, &worker, &each) {
            error.lock().expect("no one panics under this lock").get_or_insert(e);
        }
    };
    let wanted = that_fit(means.workers.max(1), FILES, watch);
    std::thread::scope(|scope| {
        let work = &work;
        for rank in 2..=wanted {
            if let Err(e) = std::thread::Builder::new().spawn_scoped(scope, move || work(rank)) {
                watch.note(&format!("{} workers, not {wanted}: {}", rank - 1, reason(&e)));
                break;
            }
        }
        // This thread is one of them: where no other can be started the search comes to its end all the same.
        work(1);
    });
    match error.into_inner().expect("no one panics under this lock") {
        Some(e) => Err(e.into()),
        None => conclude(run, watch, means, "all workers ended"),
    }
}

/// Workers as processes.
///
/// # Errors
/// None can be started; what kept the run from its end.
pub(super) fn processes(run: &Run, means: &Means, watch: &dyn Watch) -> Result<(), LaunchError> {
    let first = run.dir.identity.first_iteration;
    watch.begin(first, run.dir.budget() as usize);
    let program = tools()?.join("ekp-worker");
    let mut children: Vec<Child> = Vec::new();
    let wanted = that_fit(means.workers.max(1), HANDLES, watch);
    for rank in 1..=wanted {
        let mut command = Command::new(&program);
        command.arg(run.dir.root()).args(["--to-end", "-q", "--rank", &rank.to_string()]);
        command.args(["--threads", &means.threads.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        match command.spawn() {
            Ok(child) => children.push(child),
            Err(e) if children.is_empty() => {
                let hint = "`--on threads` needs no other program".into();
                return Err(LaunchError::Carrier {
                    what: format!("cannot start `ekp-worker`: {}", reason(&e)),
                    hint,
                });
            }
            Err(e) => {
                watch.note(&format!("{} workers, not {wanted}: {}", children.len(), reason(&e)));
                break;
            }
        }
    }
    let (mut told, mut asked) = (0, false);
    let mut counted = Instant::now();
    loop {
        if means.stop.load(Ordering::Relaxed) && !std::mem::replace(&mut asked, true) {
            children.iter().for_each(|child| signals::terminate(child.id()));
        }
        children.retain_mut(|child| !matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
        if children.is_empty() || counted.elapsed() > COUNT {
            let open = outcomes::missing(run, first)?.len();
            let ended = (run.dir.budget() as usize).saturating_sub(open);
            for trial in told..ended {
                watch.member(u32::try_from(trial + 1).unwrap_or(u32::MAX), &Outcome::Done { seconds: 0.0 });
            }
            told = told.max(ended);
            counted = Instant::now();
        }
        if children.is_empty() {
            return conclude(run, watch, means, "all workers ended");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
