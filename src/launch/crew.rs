//! A crew carries out a plan on this machine: members in lanes, everything else in between.
//!
//! Belongs here: the order of a plan's tasks, and what becomes of members that were lost on the way.
//! Not here: what a lane is (a thread, a process).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use crate::files::{Iteration, Member, Members};
use crate::launch::{LaunchError, Means, Watch};
use crate::plan::{Command, Plan, Task};
use crate::steps::member::Outcome;
use crate::steps::reopen::RERUNS;
use crate::steps::{Run, StepError, due, ensemble, update};

/// One lane: runs members one after the other.
pub trait Lane: Send {
    /// Run members; a lane that broke down tells so by [`LaunchError::Died`] and can be asked again, one
    /// that cannot be set up any more by [`LaunchError::Carrier`].
    ///
    /// # Errors
    /// A step's error, or the lane itself.
    fn members(
        &mut self,
        iteration: Iteration,
        members: &Members,
        each: &(dyn Fn(Member, &Outcome) + Sync),
    ) -> Result<(), LaunchError>;
}

/// Carry the run on to its end.
///
/// # Errors
/// The first step that cannot go on.
pub fn carry<'a>(
    run: &Run,
    watch: &dyn Watch,
    means: &Means,
    mut lane: impl FnMut(usize) -> Result<Box<dyn Lane + 'a>, LaunchError>,
) -> Result<(), LaunchError> {
    let mut lanes = Vec::new();
    let mut reruns: BTreeMap<Iteration, usize> = BTreeMap::new();
    loop {
        let now = due::due(run)?;
        let grain = run.dir.identity.pack;
        let first = run.experiment.first_iteration;
        let plan = Plan::iteration_loop(&now, first, run.end()?, &|at| run.dir.members(at), grain);
        if plan.tasks.is_empty() {
            return Ok(());
        }
        if lanes.is_empty() {
            let wanted = means.workers.min(run.dir.most_members().div_ceil(grain) as usize).max(1);
            for number in 1..=wanted {
                match lane(number) {
                    Ok(lane) => lanes.push(lane),
                    Err(e) if lanes.is_empty() => return Err(e),
                    Err(e) => {
                        watch.note(&format!("{} workers, not {wanted}: {e}", lanes.len()));
                        break;
                    }
                }
            }
        }
        match through(run, watch, means, &plan, &mut lanes) {
            // Lost or defective outcomes (the update has put those aside): they run again, a few times.
            Err(LaunchError::Step(StepError::NotReady { iteration, missing, .. })) => {
                let times = reruns.entry(iteration).or_default();
                *times += 1;
                let again = *times <= RERUNS;
                if !again {
                    update::count_lost(run, iteration, &missing)?;
                }
                for (m, why) in missing.iter().take(5) {
                    let what = if again { "runs again" } else { "counts as failed" };
                    watch.note(&format!("member {m} of iteration {iteration} {what}: {why}"));
                }
            }
            other => return other,
        }
    }
}

/// Carry out one plan: tasks stand in order, so members that follow each other run side by side.
fn through(
    run: &Run,
    watch: &dyn Watch,
    means: &Means,
    plan: &Plan,
    lanes: &mut Vec<Box<dyn Lane + '_>>,
) -> Result<(), LaunchError> {
    let mut tasks = plan.tasks.as_slice();
    while let [task, rest @ ..] = tasks {
        if means.stop.load(Ordering::Relaxed) {
            return Err(StepError::Interrupted.into());
        }
        match &task.command {
            Command::Ensemble => {
                ensemble::run(run)?;
            }
            Command::Member { iteration, .. } => {
                let side_by_side = tasks.iter().take_while(|t| is_member(t)).count();
                let parts: Vec<Members> = tasks[..side_by_side].iter().filter_map(members_of).collect();
                watch.begin(*iteration, parts.iter().map(Members::len).sum());
                spread(*iteration, &parts, lanes, watch, means)?;
                tasks = &tasks[side_by_side..];
                continue;
            }
            Command::Update { iteration } => {
                let threads = means.workers.saturating_mul(means.threads);
                super::told(watch, &update::run_by(run, *iteration, threads)?);
                if due::stopped(run)?.is_some() {
                    return Ok(());
                }
            }
            // Timings are collected by whoever asks for them: reading needs no step.
            Command::Timings => {}
        }
        tasks = rest;
    }
    Ok(())
}

/// Each of some works in a thread, the first in this one; what each came to, none of those whose thread could not be
/// started: the others take over what it would have done.
pub(super) fn side_by_side<T: Send, E: Send>(
    all: &mut [T],
    work: impl Fn(&mut T) -> E + Sync,
) -> Vec<Option<E>> {
    let Some((first, others)) = all.split_first_mut() else { return Vec::new() };
    let work = &work;
    std::thread::scope(|scope| {
        let start = |one| std::thread::Builder::new().spawn_scoped(scope, move || work(one)).ok();
        let others: Vec<_> = others.iter_mut().map(start).collect();
        let first = Some(work(first));
        let end =
            |thread: std::thread::ScopedJoinHandle<'_, E>| thread.join().expect("a lane does not panic");
        std::iter::once(first).chain(others.into_iter().map(|thread| thread.map(end))).collect()
    })
}

fn is_member(task: &Task) -> bool {
    matches!(task.command, Command::Member { .. })
}

fn members_of(task: &Task) -> Option<Members> {
    match &task.command {
        Command::Member { members, .. } => Some(members.clone()),
        _ => None,
    }
}

/// Hand the parts out to the lanes as they come free.
fn spread(
    iteration: Iteration,
    parts: &[Members],
    lanes: &mut Vec<Box<dyn Lane + '_>>,
    watch: &dyn Watch,
    means: &Means,
) -> Result<(), LaunchError> {
    let queue = Mutex::new(parts.iter().cloned().collect::<VecDeque<Members>>());
    let hand = Hand { iteration, queue: &queue, lanes: lanes.len().max(1), watch, means };
    if let [lane] = lanes.as_mut_slice() {
        return match hand.work(lane.as_mut()) {
            Ok(Lived::On) => Ok(()),
            Ok(Lived::Retired(e)) | Err(e) => Err(e),
        };
    }
    let ends = side_by_side(lanes, |lane| hand.work(lane.as_mut()));
    // The first error counts; all lanes were waited for.
    let mut retired = None;
    let mut keep = Vec::with_capacity(ends.len());
    for end in ends {
        keep.push(match end.unwrap_or(Ok(Lived::On))? {
            Lived::On => true,
            Lived::Retired(e) => {
                watch.note(&format!("one worker less: {e}"));
                retired = Some(e);
                false
            }
        });
    }
    let mut keep = keep.into_iter();
    lanes.retain(|_| keep.next().unwrap_or(false));
    match retired {
        Some(e) if lanes.is_empty() => Err(e),
        // What the last lanes left behind is found missing by the update, and runs again.
        _ => Ok(()),
    }
}

/// Work that is handed to a lane at once, seconds: long beside the talk, short beside any model worth a worker.
const HANDED_OUT_S: f64 = 0.05;

/// Is a lane still of use?
enum Lived {
    On,
    /// It cannot be set up any more (no more processes, no more open files)
    Retired(LaunchError),
}

/// What a lane works on.
struct Hand<'a> {
    iteration: Iteration,
    queue: &'a Mutex<VecDeque<Members>>,
    lanes: usize,
    watch: &'a dyn Watch,
    means: &'a Means,
}

impl Hand<'_> {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Members>> {
        self.queue.lock().expect("no one panics under this lock")
    }

    fn stopped(&self) -> Result<(), LaunchError> {
        if self.means.stop.load(Ordering::Relaxed) { Err(StepError::Interrupted.into()) } else { Ok(()) }
    }

    /// The next parts, `wanted` of them if the other lanes find enough, too; none when all are handed out.
    fn next(&self, wanted: usize) -> Option<Members> {
        let mut queue = self.queue();
        let share = queue.len().div_ceil(2 * self.lanes);
        let taken: Vec<Member> = (0..wanted.clamp(1, share.max(1)))
            .filter_map(|_| queue.pop_front())
            .flat_map(|part| part.iter().collect::<Vec<_>>())
            .collect();
        (!taken.is_empty()).then(|| Members::new(taken))
    }

    fn work(&self, lane: &mut dyn Lane) -> Result<Lived, LaunchError> {
        let each = |member: Member, outcome: &Outcome| self.watch.member(member, outcome);
        let mut wanted = 1;
        loop {
            self.stopped()?;
            let Some(part) = self.next(wanted) else { return Ok(Lived::On) };
            let start = Instant::now();
            let mut broken = 0;
            loop {
                match lane.members(self.iteration, &part, &each) {
                    Ok(()) => {
                        // Quick members are handed out by the dozen: talk with a worker costs time, too.
                        let one = start.elapsed().as_secs_f64() / part.len() as f64;
                        wanted = (HANDED_OUT_S / one.max(1e-6)) as usize;
                        break;
                    }
                    // The lane died under this part: once more, and then the update finds it missing.
                    Err(e @ LaunchError::Died { .. }) => {
                        self.stopped()?;
                        broken += 1;
                        wanted = 1;
                        if broken > 2 {
                            break;
                        }
                        let iteration = self.iteration;
                        self.watch.note(&format!("{e}: member {part} of iteration {iteration} runs again"));
                    }
                    Err(e @ LaunchError::Carrier { .. }) => {
                        self.stopped()?;
                        self.queue().push_front(part);
                        return Ok(Lived::Retired(e));
                    }
                    Err(e) => {
                        // Nothing more is handed out; what runs may finish.
                        self.queue().clear();
                        self.stopped()?;
                        return Err(e);
                    }
                }
            }
        }
    }
}
