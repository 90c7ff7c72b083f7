//! The outcomes of an iteration: what each member left, judged by content, not by presence.

use crate::files::{Asked, Data, Defect, Found, Iteration, Member, digest, load_state};
use crate::numerics::Mat;
use crate::problem::{Ensemble, Prior};
use crate::steps::member::set_aside;
use crate::steps::parameters::{ENSEMBLE, Writer, own_digest, restore};
use crate::steps::{Run, StepError, pack};

/// What one member left.
#[derive(Debug, Clone, PartialEq)]
pub enum Left {
    /// Numbers, with the digest that `update.toml` records
    Data {
        /// All blocks, one after the other
        values: Vec<f64>,
        /// Of the outcome
        digest: String,
    },
    /// It failed
    Failed {
        /// The word of `failed.toml`
        cause: String,
        /// One line
        message: String,
    },
    /// No outcome, and what was found in its place
    Missing(String),
}

impl Left {
    /// As `update.toml` records it.
    pub fn mark(&self) -> String {
        match self {
            Self::Data { digest, .. } => digest.clone(),
            Self::Failed { cause, .. } => format!("failed: {cause}"),
            Self::Missing(_) => "failed: lost".into(),
        }
    }
}

/// Look at every member of an iteration.
///
/// # Errors
/// The disk cannot be read.
pub fn gather(
    run: &Run,
    prior: &Prior,
    ensemble: &Ensemble,
    iteration: Iteration,
) -> Result<Vec<Left>, StepError> {
    if run.dir.packed() {
        return pack::gather(run, prior, ensemble, iteration);
    }
    let writer = Writer::new(&run.dir, prior);
    let asked = run.asked(iteration)?;
    (1..=run.dir.identity.members)
        .map(|member| {
            let text = writer.text(ensemble, iteration, member)?;
            Ok(match look(run, &asked, &writer, ensemble, iteration, member, &text)? {
                Found::Data(data) => Left::Data { values: flat(&data), digest: data.digest },
                Found::Failed(f) => Left::Failed { cause: f.cause, message: f.message },
                Found::Missing => Left::Missing("no `data.toml` and no `failed.toml`".into()),
                Found::Defective { file, defect } => {
                    Left::Missing(format!("`{}`: {defect}", run.dir.shown(iteration, member, file)))
                }
            })
        })
        .collect()
}

/// What a member left, whose parameters are `text` on this host.
fn look(
    run: &Run,
    asked: &Asked<'_>,
    writer: &Writer<'_>,
    ensemble: &Ensemble,
    iteration: Iteration,
    member: Member,
    text: &str,
) -> Result<Found, StepError> {
    let folder = run.dir.member(iteration, member);
    let found = Found::look(&folder, &digest(text.as_bytes()), &asked.blocks, &asked.lengths)?;
    if let Found::Defective { defect: Defect::Foreign { .. }, .. } = found
        && let Some(own) = own_digest(&run.dir, iteration, member, &writer.theta(ensemble, member))
    {
        // Another host may round the last digit of a bound's exponential otherwise: the outcome answers the
        // file that was written there.
        return Ok(Found::look(&folder, &own, &asked.blocks, &asked.lengths)?);
    }
    Ok(found)
}

/// Move what is no outcome out of the way of these members, so that they run again wherever presence
/// decides, and give them back the parameters of the ensemble.
///
/// # Errors
/// The disk.
pub(super) fn put_aside(
    run: &Run,
    prior: &Prior,
    ensemble: &Ensemble,
    iteration: Iteration,
    members: impl Iterator<Item = Member>,
) -> Result<(), StepError> {
    if run.dir.packed() {
        return pack::put_aside(run, prior, ensemble, iteration, members);
    }
    let writer = Writer::new(&run.dir, prior);
    let asked = run.asked(iteration)?;
    for member in members {
        let text = writer.text(ensemble, iteration, member)?;
        if own_digest(&run.dir, iteration, member, &writer.theta(ensemble, member)).is_none() {
            restore(run, iteration, member, &text)?;
        }
        // Looked at once more: by now another process may have put a good one there.
        if let Found::Defective { .. } = look(run, &asked, &writer, ensemble, iteration, member, &text)? {
            set_aside(&run.dir.member(iteration, member), &["data.toml", "failed.toml"])?;
        }
    }
    Ok(())
}

fn flat(data: &Data) -> Vec<f64> {
    data.blocks.iter().flat_map(|(_, values)| values.iter().copied()).collect()
}

/// Outputs as a matrix p × J; members without data are columns of NaN.
pub fn matrix(asked: &Asked<'_>, left: &[Left]) -> Mat {
    let rows = asked.total();
    let mut g = Mat::zeros(rows, left.len());
    for (j, outcome) in left.iter().enumerate() {
        match outcome {
            Left::Data { values, .. } => g.col_mut(j).copy_from_slice(values),
            _ => g.col_mut(j).fill(f64::NAN),
        }
    }
    g
}

/// Members of an iteration that have no outcome, by presence of files alone: quick, for status and plans.
/// The update judges by content.
///
/// # Errors
/// The disk cannot be read.
pub fn missing(run: &Run, iteration: Iteration) -> Result<Vec<u32>, StepError> {
    let open = |member: &u32| {
        if run.dir.packed() {
            return !run
                .dir
                .chunk(iteration, (member - 1) / run.dir.identity.pack + 1)
                .join("data.toml")
                .exists();
        }
        let folder = run.dir.member(iteration, *member);
        !folder.join("data.toml").exists() && !folder.join("failed.toml").exists()
    };
    Ok((1..=run.dir.identity.members).filter(open).collect())
}

/// Members of an iteration that have no outcome, judged by content as the update does.
///
/// # Errors
/// The disk cannot be read.
pub fn open(run: &Run, iteration: Iteration) -> Result<Vec<u32>, StepError> {
    let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let left = gather(run, &run.prior()?, &ensemble, iteration)?;
    Ok((1u32..).zip(&left).filter(|(_, left)| matches!(left, Left::Missing(_))).map(|(m, _)| m).collect())
}
