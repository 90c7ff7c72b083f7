//! A crew carries out a grid on this machine: a cell is handed out as soon as the cells it stands on have an
//! outcome, whatever its stage.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use crate::files::{Iteration, Member, Members};
use crate::launch::crew::{Lane, side_by_side};
use crate::launch::grid::WatchCells;
use crate::launch::{LaunchError, Means};
use crate::steps::StepError;
use crate::steps::grid::due::{self, CellState, state};
use crate::steps::grid::{GridRun, merge};
use crate::steps::reopen::RERUNS;

/// A cell: stage and number, from 1.
type Key = (Iteration, Member);

/// How often a lane looks whether it is to stop while it waits for a cell.
const LOOK: Duration = Duration::from_millis(100);

/// Carry the grid to its end.
///
/// # Errors
/// What keeps it from its end; failed cells (exit 4).
pub fn carry<'a>(
    run: &GridRun,
    watch: &dyn WatchCells,
    means: &Means,
    lane: &mut dyn FnMut(usize) -> Result<Box<dyn Lane + 'a>, LaunchError>,
) -> Result<(), LaunchError> {
    let mut lanes: Vec<Box<dyn Lane + 'a>> = Vec::new();
    for round in 0.. {
        if run.is_over() {
            return Ok(());
        }
        let board = Board::new(run);
        let open = board.open();
        if open > 0 {
            watch.left(run, &due::open(run).iter().map(Vec::len).collect::<Vec<_>>());
            let wanted = means.workers.min(open).max(1);
            while lanes.len() < wanted {
                match lane(lanes.len() + 1) {
                    Ok(lane) => lanes.push(lane),
                    Err(e) if lanes.is_empty() => return Err(e),
                    Err(e) => {
                        watch.note(&format!("{} workers, not {wanted}: {e}", lanes.len()));
                        break;
                    }
                }
            }
            through(run, watch, means, &board, &mut lanes)?;
        }
        match merge::run(run, false) {
            Ok(merge::Outcome::Complete(merged)) => {
                watch.complete(run, &merged);
                return Ok(());
            }
            Ok(merge::Outcome::Over) => return Ok(()),
            // Lost or defective outcomes (the merge has put those aside): they run again, a few times.
            Err(StepError::CellsOpen { missing, .. }) => {
                let again = round < RERUNS;
                for (_, why) in missing.iter().take(5) {
                    watch.note(&format!(
                        "{} {}",
                        why,
                        if again { "; it runs again" } else { "; it counts as failed" }
                    ));
                }
                if !again {
                    let left = board.left(run);
                    merge::count_lost(run, &left)?;
                }
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn through(
    run: &GridRun,
    watch: &dyn WatchCells,
    means: &Means,
    board: &Board,
    lanes: &mut [Box<dyn Lane + '_>],
) -> Result<(), LaunchError> {
    let ends = side_by_side(lanes, |lane| board.work(run, watch, means, lane.as_mut()));
    ends.into_iter().flatten().find(Result::is_err).unwrap_or(Ok(()))
}

/// Which cells are ready, which wait for how many others.
struct Board {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    /// Cells that can run; later stages first, so that results come early
    ready: BTreeSet<(std::cmp::Reverse<Iteration>, Member)>,
    /// Open cells before a cell that is not ready
    waits: HashMap<Key, usize>,
    /// Cells that wait for a cell
    behind: HashMap<Key, Vec<Key>>,
    running: usize,
    /// Handed out, and still without an outcome
    given_up: Vec<Key>,
    over: bool,
}

impl Board {
    fn new(run: &GridRun) -> Self {
        let mut inner = Inner {
            ready: BTreeSet::new(),
            waits: HashMap::new(),
            behind: HashMap::new(),
            running: 0,
            given_up: Vec::new(),
            over: false,
        };
        let is_open = |key: Key| state(run, key.0, key.1) == CellState::Open;
        for stage in 1..=run.last_stage() {
            for cell in 1..=run.cells(stage) {
                if !is_open((stage, cell)) {
                    continue;
                }
                let before = run.upstream(stage, cell);
                let before = before.into_iter().flat_map(|(s, cells)| cells.into_iter().map(move |c| (s, c)));
                let open: Vec<Key> = before.filter(|&key| is_open(key)).collect();
                if open.is_empty() {
                    inner.ready.insert((std::cmp::Reverse(stage), cell));
                    continue;
                }
                inner.waits.insert((stage, cell), open.len());
                for key in open {
                    inner.behind.entry(key).or_default().push((stage, cell));
                }
            }
        }
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn open(&self) -> usize {
        let inner = self.inner.lock().expect("no one panics under this lock");
        inner.ready.len() + inner.waits.len()
    }

    /// Cells without an outcome, for those who give up on them.
    fn left(&self, run: &GridRun) -> Vec<(Iteration, Member, String)> {
        let open = |stage: Iteration| {
            (1..=run.cells(stage)).filter(move |&c| state(run, stage, c) == CellState::Open)
        };
        let why = || "no outcome after several tries".to_owned();
        (1..=run.last_stage()).flat_map(|s| open(s).map(move |c| (s, c, why()))).collect()
    }

    /// The next cell; none when no more will come.
    fn next(&self, means: &Means) -> Option<Key> {
        let mut inner = self.inner.lock().expect("no one panics under this lock");
        loop {
            if inner.over || means.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some((stage, cell)) = inner.ready.pop_first() {
                inner.running += 1;
                return Some((stage.0, cell));
            }
            if inner.running == 0 {
                self.changed.notify_all();
                return None;
            }
            inner = self.changed.wait_timeout(inner, LOOK).expect("no one panics under this lock").0;
        }
    }

    /// A cell was run; whether it has an outcome decides what happens behind it.
    fn done(&self, key: Key, has_outcome: bool) {
        let mut inner = self.inner.lock().expect("no one panics under this lock");
        inner.running -= 1;
        if has_outcome {
            for next in inner.behind.remove(&key).unwrap_or_default() {
                let left = inner.waits.get_mut(&next).map(|left| {
                    *left -= 1;
                    *left
                });
                if left == Some(0) {
                    inner.waits.remove(&next);
                    inner.ready.insert((std::cmp::Reverse(next.0), next.1));
                }
            }
        } else {
            inner.given_up.push(key);
        }
        self.changed.notify_all();
    }

    fn end(&self) {
        self.inner.lock().expect("no one panics under this lock").over = true;
        self.changed.notify_all();
    }

    fn work(
        &self,
        run: &GridRun,
        watch: &dyn WatchCells,
        means: &Means,
        lane: &mut dyn Lane,
    ) -> Result<(), LaunchError> {
        while let Some((stage, number)) = self.next(means) {
            let cells = Members::new(vec![number]);
            let mut broken = 0;
            loop {
                let result =
                    lane.members(stage, &cells, &|cell, outcome| watch.cell(run, stage, cell, outcome));
                match result {
                    Ok(()) => {
                        self.done((stage, number), true);
                        break;
                    }
                    // The lane died under this cell: once more, and then the merge finds it missing.
                    Err(e @ LaunchError::Died { .. })
                        if broken < 2 && !means.stop.load(Ordering::Relaxed) =>
                    {
                        broken += 1;
                        watch.note(&format!("{e}: `{}` runs again", run.id(stage, number)));
                    }
                    Err(LaunchError::Died { .. }) => {
                        self.done((stage, number), false);
                        break;
                    }
                    Err(e) => {
                        self.done((stage, number), false);
                        self.end();
                        if means.stop.load(Ordering::Relaxed) {
                            return Err(StepError::Interrupted.into());
                        }
                        return Err(e);
                    }
                }
            }
        }
        if means.stop.load(Ordering::Relaxed) { Err(StepError::Interrupted.into()) } else { Ok(()) }
    }
}
