//! How many workers, and the end of a launch that other programs carried.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::files::{FileError, RunDir};
use crate::launch::site::Workers;
use crate::launch::{LaunchError, Means, Watch};
use crate::machine;
use crate::plan::Due;
use crate::steps::{Run, StepError, due, trials, update};

/// Open files of a launcher besides those of its workers: its own, those of an update, those of a start.
const OWN_FILES: u64 = 24;
/// What a worker takes of the processes of a user: a thread of the launcher, itself, the model.
const PROCESSES: usize = 3;
/// Processes and threads of a launcher besides those: what asks the queue, signals, an update.
const OWN_PROCESSES: u64 = 8;

/// How many workers that is on this machine; a number given counts as it is, cores are shared out among the
/// threads of each worker.
pub fn count(workers: Workers, threads: usize) -> usize {
    let cores = machine::Cores::here();
    let found = workers.count(cores.physical, cores.logical);
    match workers {
        Workers::Count(_) => found,
        _ => (found / threads.max(1)).max(1),
    }
}

/// `--workers` from the command line.
///
/// # Errors
/// A text that is none of the allowed.
pub fn parse(text: &str) -> Result<Workers, String> {
    Workers::parse(text).ok_or_else(|| format!("allowed: {}", Workers::ALLOWED))
}

/// Fewer workers where this process may not have as many files open, or its user not as many processes, as they all
/// need. `files` is what one of them keeps open here.
pub fn that_fit(wanted: usize, files: usize, watch: &dyn Watch) -> usize {
    let open = machine::limits::open_files().ok().map(|(limit, _)| limit);
    let left = machine::limits::processes_left((wanted * PROCESSES) as u64);
    let (fit, notes) = fitting(wanted, files, open, left);
    notes.iter().for_each(|note| watch.note(note));
    fit
}

/// How many of the workers wanted find room, at least one, and why not more: `open` files this process may have,
/// `left` processes its user may start, none where there is no such limit.
fn fitting(wanted: usize, files: usize, open: Option<u64>, left: Option<u64>) -> (usize, Vec<String>) {
    let (mut fit, mut notes) = (wanted, Vec::new());
    let mut at_most = |free: u64, each: usize, limit: &str| {
        let room = (usize::try_from(free).unwrap_or(usize::MAX) / each.max(1)).max(1);
        if room < fit {
            notes.push(format!("{room} workers, not {fit}: {limit}"));
            fit = room;
        }
    };
    if let Some(limit) = open {
        at_most(limit.saturating_sub(OWN_FILES), files, &format!("`ulimit -n` allows {limit} open files"));
    }
    // A thread that could not be started would leave the others waiting.
    if let Some(left) = left {
        let limit = format!("`ulimit -u` leaves {left} processes and threads");
        at_most(left.saturating_sub(OWN_PROCESSES), PROCESSES, &limit);
    }
    (fit, notes)
}

/// Start a program that carries the plan, in a process group of its own, and wait for its end. When this
/// process is asked to stop, `pass_on` is called once with the program's number.
///
/// # Errors
/// It cannot be started.
pub fn carried(command: &mut Command, means: &Means, pass_on: fn(u32)) -> std::io::Result<ExitStatus> {
    let mut child = command.process_group(0).spawn()?;
    let mut passed = false;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if means.stop.load(Ordering::Relaxed) && !std::mem::replace(&mut passed, true) {
            pass_on(child.id());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// A courtesy: one launcher at a time. Where the file system cannot lock, nothing is lost but work done twice.
///
/// # Errors
/// [`LaunchError::Busy`] when another holds it.
pub fn alone(dir: &RunDir) -> Result<Option<File>, LaunchError> {
    let path = dir.top("run.toml");
    let Ok(file) = File::options().read(true).write(true).open(&path) else {
        return match File::open(&path) {
            Ok(_) => Ok(None),
            Err(e) => Err(FileError::io("open", &path)(e).into()),
        };
    };
    match fs2::FileExt::try_lock_exclusive(&file) {
        Ok(()) => Ok(Some(file)),
        Err(e) if e.kind() == fs2::lock_contended_error().kind() => Err(LaunchError::Busy),
        Err(_) => Ok(None),
    }
}

/// Another program carried the plan: the files say how it ended, not its exit status.
///
/// # Errors
/// What kept the run from its end.
pub fn conclude(run: &Run, watch: &dyn Watch, means: &Means, how: &str) -> Result<(), LaunchError> {
    if means.stop.load(Ordering::Relaxed) {
        return Err(StepError::Interrupted.into());
    }
    run.not_cancelled()?;
    match due::due(run)? {
        Due::Over => Ok(()),
        // Workers left trials: each says why itself.
        Due::Members(..) if run.dir.leaderless() && !trials::stuck_now(run)? => Err(stopped_short(how)),
        Due::Update(iteration) | Due::Members(iteration, _) => {
            // Asking for the update gives the reason in the words of the step.
            super::told(watch, &update::run_by(run, iteration, means.workers)?);
            match due::due(run)? {
                Due::Over => Ok(()),
                _ => Err(stopped_short(how)),
            }
        }
        Due::Ensemble => Err(stopped_short(how)),
    }
}

fn stopped_short(how: &str) -> LaunchError {
    LaunchError::Carrier {
        what: format!("the run is not at its end: {how}"),
        hint: "the same command again goes on".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_workers_as_find_room_and_at_least_one() {
        let fit = |open, left| fitting(8, 2, open, left);
        assert_eq!(fit(None, None), (8, Vec::new()), "no limits");
        // 8 workers with 2 files and 3 processes each, beside 24 files and 8 processes of the launcher's own
        assert_eq!(fit(Some(40), Some(32)), (8, Vec::new()), "just enough");
        let told = |notes: &[&str]| notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>();
        let processes = "7 workers, not 8: `ulimit -u` leaves 31 processes and threads";
        assert_eq!(fit(Some(40), Some(31)), (7, told(&[processes])));
        let files = "7 workers, not 8: `ulimit -n` allows 39 open files";
        assert_eq!(fit(Some(39), Some(32)), (7, told(&[files])));
        let fewer = "2 workers, not 7: `ulimit -u` leaves 16 processes and threads";
        assert_eq!(fit(Some(39), Some(16)), (2, told(&[files, fewer])));
        assert_eq!((fit(Some(0), None).0, fit(None, Some(0)).0), (1, 1), "one may find a way");
        assert_eq!(fitting(1, 2, Some(0), Some(0)), (1, Vec::new()));
    }
}
