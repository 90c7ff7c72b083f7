//! The outcomes of an iteration: what each member left, judged by content, not by presence.

use crate::files::{Asked, Defect, Found, Iteration, Member, Stored, digest, load_state};
use crate::kalman::streamed::Verdict;
use crate::numerics::Mat;
use crate::problem::{Ensemble, Prior};
use crate::steps::parameters::{ENSEMBLE, Writer, own_digest, restore};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError, pack, trials};

/// What one member left.
#[derive(Debug, Clone, PartialEq)]
pub enum Left {
    /// Numbers, with the digest that `update.toml` records
    Data {
        /// Of the outcome
        digest: String,
        /// Where its numbers lie
        form: Stored,
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

/// What the members of an iteration left.
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// Member by member
    pub left: Vec<Left>,
    /// Outputs, p × J: all blocks one after the other; members without data are columns of NaN. Empty when the
    /// outputs are to be read block by block
    pub g: Mat,
    /// In place of the outputs what they are, member by member
    pub verdicts: Vec<Verdict>,
}

impl Gathered {
    /// The outputs, after members may have been set aside.
    pub fn matrix(mut self) -> Mat {
        for (j, left) in self.left.iter().enumerate() {
            if !matches!(left, Left::Data { .. }) {
                self.g.col_mut(j).fill(f64::NAN);
            }
        }
        self.g
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
) -> Result<Gathered, StepError> {
    if run.dir.packed() {
        return pack::gather(run, prior, ensemble, iteration);
    }
    let members = run.dir.members(iteration) as usize;
    let mut look = Looker::new(run, prior, ensemble, iteration)?;
    let mut g = Mat::zeros(look.asked.total(), members);
    let mut left = Vec::with_capacity(members);
    for (member, j) in (1..).zip(0..members) {
        left.push(look.at(member, g.col_mut(j))?);
        if !matches!(left[j], Left::Data { .. }) {
            g.col_mut(j).fill(f64::NAN);
        }
    }
    Ok(Gathered { left, g, verdicts: Vec::new() })
}

/// Looks at one member after the other.
pub(super) struct Looker<'a> {
    run: &'a Run,
    /// What the iteration's members were to give
    asked: Asked<'a>,
    writer: Writer<'a>,
    ensemble: &'a Ensemble,
    iteration: Iteration,
    /// Room for a member's file
    text: Vec<u8>,
}

impl<'a> Looker<'a> {
    /// # Errors
    /// What the iteration asks for cannot be read.
    pub(super) fn new(
        run: &'a Run,
        prior: &'a Prior,
        ensemble: &'a Ensemble,
        iteration: Iteration,
    ) -> Result<Self, StepError> {
        let (asked, writer) = (run.asked(iteration)?, Writer::new(&run.dir, prior));
        Ok(Self { run, asked, writer, ensemble, iteration, text: Vec::new() })
    }

    /// What a member left; its numbers go to `out`, which holds rubbish when it has none.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub(super) fn at(&mut self, member: Member, out: &mut [f64]) -> Result<Left, StepError> {
        let text = self.writer.text(self.ensemble, self.iteration, member)?;
        Ok(match self.found(member, &text, out)? {
            Found::Data(data) => Left::Data { digest: data.digest, form: data.form },
            Found::Failed(f) => Left::Failed { cause: f.cause, message: f.message },
            Found::Missing => Left::Missing("no `data.toml` and no `failed.toml`".into()),
            Found::Defective { file, defect } => {
                Left::Missing(format!("`{}`: {defect}", self.run.dir.shown(self.iteration, member, file)))
            }
        })
    }

    /// What a member left, whose parameters are `text` on this host.
    fn found(&mut self, member: Member, text: &str, out: &mut [f64]) -> Result<Found, StepError> {
        let (asked, folder) = (&self.asked, self.run.dir.member(self.iteration, member));
        let expected = digest(text.as_bytes());
        let found = Found::read(&folder, &expected, &asked.blocks, &asked.lengths, out, &mut self.text)?;
        if let Found::Defective { defect: Defect::Foreign { .. }, .. } = found
            && let Some(own) =
                own_digest(&self.run.dir, self.iteration, member, &self.writer.theta(self.ensemble, member))
        {
            // Another host may round the last digit of a bound's exponential otherwise: the outcome answers the
            // file that was written there.
            return Ok(Found::read(&folder, &own, &asked.blocks, &asked.lengths, out, &mut self.text)?);
        }
        Ok(found)
    }
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
    let mut look = Looker::new(run, prior, ensemble, iteration)?;
    let mut values = vec![0.0; look.asked.total()];
    for member in members {
        let text = look.writer.text(ensemble, iteration, member)?;
        if own_digest(&run.dir, iteration, member, &look.writer.theta(ensemble, member)).is_none() {
            restore(run, iteration, member, &text)?;
        }
        // Looked at once more: by now another process may have put a good one there.
        if let Found::Defective { .. } = look.found(member, &text, &mut values)? {
            set_aside(&run.dir.member(iteration, member), &["data.toml", "failed.toml"])?;
        }
    }
    Ok(())
}

/// Members of an iteration that have no outcome, by presence of files alone: quick, for status and plans.
/// The update judges by content.
///
/// # Errors
/// The disk cannot be read.
pub fn missing(run: &Run, iteration: Iteration) -> Result<Vec<u32>, StepError> {
    let all = run.dir.members(iteration);
    if run.dir.packed() {
        // A pack is asked once.
        let open = |chunk: &u32| !run.dir.chunk(iteration, *chunk).join("data.toml").exists();
        let chunks = (1..=run.dir.chunks(iteration)).filter(open);
        return Ok(chunks.flat_map(|chunk| run.dir.chunk_members(iteration, chunk)).collect());
    }
    let open = |member: &u32| {
        let folder = run.dir.member(iteration, *member);
        !folder.join("data.toml").exists() && !folder.join("failed.toml").exists()
    };
    Ok((1..=all).filter(open).collect())
}

/// Members of an iteration that have no outcome, judged by content as the update does.
///
/// # Errors
/// The disk cannot be read.
pub fn open(run: &Run, iteration: Iteration) -> Result<Vec<u32>, StepError> {
    if run.dir.leaderless() {
        return trials::open(run);
    }
    let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let left = gather(run, &run.prior()?, &ensemble, iteration)?.left;
    Ok((1u32..).zip(&left).filter(|(_, left)| matches!(left, Left::Missing(_))).map(|(m, _)| m).collect())
}
