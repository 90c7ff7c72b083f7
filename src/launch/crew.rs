//! A crew carries out a plan on this machine: members in lanes, everything else in between.
//!
//! Belongs here: the order of a plan's tasks, and what becomes of members that were lost on the way.
//! Not here: what a lane is (a thread, a process).

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crate::files::{Iteration, Member, Members};
use crate::launch::{LaunchError, Means, Watch};
use crate::models::Cause;
use crate::plan::{Command, Plan, Task};
use crate::steps::member::{self, Outcome};
use crate::steps::reopen::RERUNS;
use crate::steps::{Run, StepError, due, ensemble, update};

/// One lane: runs members one after the other.
pub trait Lane: Send {
    /// Run members; a lane that broke down tells so by [`LaunchError::Carrier`] and can be asked again.
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
pub fn carry(
    run: &Run,
    watch: &dyn Watch,
    means: &Means,
    mut lane: impl FnMut(usize) -> Result<Box<dyn Lane>, LaunchError>,
) -> Result<(), LaunchError> {
    let mut lanes = Vec::new();
    let mut reruns = 0;
    loop {
        let now = due::due(run)?;
        let grain = run.dir.identity.pack;
        let first = run.experiment.first_iteration;
        let plan = Plan::iteration_loop(&now, first, run.end()?, run.dir.identity.members, grain);
        if plan.tasks.is_empty() {
            return Ok(());
        }
        if lanes.is_empty() {
            let wanted = means.workers.min(run.dir.chunks() as usize).max(1);
            for number in 1..=wanted {
                lanes.push(lane(number)?);
            }
        }
        match through(run, watch, means, &plan, &mut lanes) {
            // Lost or defective outcomes: those members run again, a few times.
            Err(LaunchError::Step(StepError::NotReady { iteration, missing, .. })) if reruns < RERUNS => {
                reruns += 1;
                set_aside(run, iteration, &missing)?;
                for (m, why) in missing.iter().take(5) {
                    watch.note(&format!("member {m} of iteration {iteration} runs again: {why}"));
                }
            }
            Err(LaunchError::Step(StepError::NotReady { iteration, missing, .. })) => {
                for (m, why) in &missing {
                    member::mark_failed(
                        run,
                        iteration,
                        *m,
                        Cause::Lost,
                        &format!("lost {RERUNS} times: {why}"),
                    )?;
                }
            }
            other => return other,
        }
    }
}

fn set_aside(run: &Run, iteration: Iteration, missing: &[(Member, String)]) -> Result<(), LaunchError> {
    for (m, _) in missing {
        let folder = if run.dir.packed() {
            run.dir.chunk(iteration, (m - 1) / run.dir.identity.pack + 1)
        } else {
            run.dir.member(iteration, *m)
        };
        member::set_aside(&folder, &["data.toml", "failed.toml"])?;
    }
    Ok(())
}

/// Carry out one plan: tasks stand in order, so members that follow each other run side by side.
fn through(
    run: &Run,
    watch: &dyn Watch,
    means: &Means,
    plan: &Plan,
    lanes: &mut [Box<dyn Lane>],
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
                if let update::Outcome::Closed(update) | update::Outcome::Finished(update) =
                    update::run(run, *iteration, false)?
                {
                    watch.closed(&update);
                }
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
    lanes: &mut [Box<dyn Lane>],
    watch: &dyn Watch,
    means: &Means,
) -> Result<(), LaunchError> {
    let queue = Mutex::new(parts.iter());
    let each = |member: Member, outcome: &Outcome| watch.member(member, outcome);
    let work = |lane: &mut Box<dyn Lane>| -> Result<(), LaunchError> {
        loop {
            if means.stop.load(Ordering::Relaxed) {
                return Err(StepError::Interrupted.into());
            }
            let Some(part) = queue.lock().expect("no one panics under this lock").next() else {
                return Ok(());
            };
            let mut broken = 0;
            loop {
                match lane.members(iteration, part, &each) {
                    Ok(()) => break,
                    // The lane died under this part: once more, and then the update finds it missing.
                    Err(LaunchError::Carrier { what, .. }) if broken < 2 => {
                        broken += 1;
                        watch.note(&format!("{what}: member {part} of iteration {iteration} runs again"));
                    }
                    Err(LaunchError::Carrier { .. }) => break,
                    Err(e) => {
                        // Nothing more is handed out; what runs may finish.
                        queue.lock().expect("no one panics under this lock").by_ref().for_each(drop);
                        return Err(e);
                    }
                }
            }
        }
    };
    if lanes.len() == 1 {
        return work(&mut lanes[0]);
    }
    let work = &work;
    std::thread::scope(|scope| {
        let all: Vec<_> = lanes.iter_mut().map(|lane| scope.spawn(move || work(lane))).collect();
        // The first error counts; all lanes are waited for.
        all.into_iter().map(|lane| lane.join().expect("a lane does not panic")).fold(Ok(()), Result::and)
    })
}
