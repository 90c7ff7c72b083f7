//! Outcomes too large for memory: looked at one by one, then read block by block.
//!
//! The first pass checks every outcome as always and keeps of each only what it is; the second gives the step its
//! rows. Belongs here: files as a source of rows. Not here: the step.

use std::ops::Range;

use crate::files::{Column, FileError, Iteration};
use crate::kalman::Kalman;
use crate::kalman::streamed::{Outputs, Tried};
use crate::numerics::{Mat, Streams};
use crate::problem::{AlgorithmError, Ensemble, Problem, State, Step};
use crate::steps::outcomes::{Gathered, Left, Looker, gather};
use crate::steps::{Run, StepError};

/// Bytes that all members' pieces take together: small beside a panel's products, large beside a read.
const PIECES: usize = 32 << 20;

/// The method, where the outputs take more than `mib` MiB together and it can do without them all. Packs hold cheap
/// members, and are read whole.
pub(super) fn due<'a>(run: &'a Run, problem: &Problem, mib: u32) -> Option<&'a Kalman> {
    let members = u64::from(run.dir.most_members());
    let bytes = 8 * problem.observation.len() as u64 * members;
    let large = !run.dir.packed() && bytes > u64::from(mib) << 20;
    run.experiment.calibration()?.algorithm.drawn().filter(|kalman| large && kalman.streams(problem))
}

/// Look at every member, keeping one member's numbers at a time.
///
/// # Errors
/// The disk cannot be read.
pub(super) fn survey(
    run: &Run,
    kalman: &Kalman,
    problem: &Problem,
    tried: &Ensemble,
    iteration: Iteration,
) -> Result<Gathered, StepError> {
    let mut column = vec![0.0; problem.observation.len()];
    let mut look = Looker::new(run, &problem.prior, tried, iteration)?;
    let (mut left, mut verdicts) = (Vec::new(), Vec::new());
    for member in 1..=run.dir.members(iteration) {
        let found = look.at(member, &mut column)?;
        if !matches!(found, Left::Data { .. }) {
            column.fill(f64::NAN);
        }
        verdicts.push(kalman.verdict(&column, &problem.observation));
        left.push(found);
    }
    Ok(Gathered { left, g: Mat::default(), verdicts })
}

/// The step, block by block; none when it needs all outputs at once, or an outcome is not in a form that can be read
/// in pieces.
///
/// # Errors
/// The disk, the mathematics.
#[allow(clippy::too_many_arguments)] // an iteration, what its members left, and the method
pub(super) fn step(
    run: &Run,
    kalman: &Kalman,
    problem: &Problem,
    iteration: Iteration,
    tried: &Ensemble,
    state: &State,
    gathered: &mut Gathered,
) -> Result<Option<Step>, StepError> {
    let Gathered { left, verdicts, .. } = gathered;
    let size = (PIECES / left.len()).clamp(4096, 1 << 16);
    let asked = run.asked(iteration)?;
    let mut columns = Vec::with_capacity(left.len());
    let mut nothing = None;
    for ((member, left), verdict) in (1..).zip(left.iter()).zip(verdicts.iter_mut()) {
        let Left::Data { form, .. } = left else {
            // It may have had data that came after the decision.
            let nan = || kalman.verdict(&vec![f64::NAN; problem.observation.len()], &problem.observation);
            *verdict = nothing.get_or_insert_with(nan).clone();
            columns.push(None);
            continue;
        };
        let folder = run.dir.member(iteration, member);
        let Some(column) = Column::new(&folder, form, &asked.lengths, size)? else {
            return Ok(None);
        };
        columns.push(Some(column));
    }
    let tried = Tried {
        iteration: iteration - run.experiment.first_iteration,
        ensemble: tried,
        verdicts,
        outputs: &mut Files(columns),
    };
    let draw = Streams::new(run.experiment.seed);
    Ok(kalman.next_streamed(problem, state, tried, &draw)?)
}

/// All outputs in memory after all, of exactly those outcomes that were looked at before.
///
/// # Errors
/// The disk; an outcome that is another now.
pub(super) fn all(
    run: &Run,
    problem: &Problem,
    iteration: Iteration,
    tried: &Ensemble,
    left: &[Left],
) -> Result<Mat, StepError> {
    let mut again = gather(run, &problem.prior, tried, iteration)?;
    for ((member, before), now) in (1..).zip(left).zip(&mut again.left) {
        match before {
            Left::Data { .. } if before.mark() != now.mark() => {
                return Err(StepError::Outcomes { iteration, member });
            }
            _ => now.clone_from(before),
        }
    }
    Ok(again.matrix())
}

/// Members' files as a source of rows.
struct Files(Vec<Option<Column>>);

impl Outputs for Files {
    fn rewind(&mut self) {
        self.0.iter_mut().flatten().for_each(Column::rewind);
    }

    fn read(&mut self, member: usize, rows: &Range<usize>, out: &mut [f64]) -> Result<(), AlgorithmError> {
        let Some(column) = &mut self.0[member] else {
            out.fill(f64::NAN);
            return Ok(());
        };
        column.read(rows, out).map_err(|e: FileError| AlgorithmError::Outputs { why: e.to_string() })
    }
}
