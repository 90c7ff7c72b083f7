//! What the model reads: `parameters.toml` of each member, written from the ensemble, checked when read.

use std::fs;
use std::io::ErrorKind;

use crate::files::{FileError, Iteration, Member, RunDir, crc32, digest, load_state, publish};
use crate::problem::MemberFile;
use crate::problem::{Ensemble, Prior};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError, trials};

/// Kind and version of `ensemble.bin`.
pub const ENSEMBLE: (&str, u32) = ("ekp.ensemble", 1);
/// Kind and version of `state.bin`.
pub const STATE: (&str, u32) = ("ekp.state", 1);

/// The first line, up to the checksum of what follows: a copy from another member says so.
fn place(dir: &RunDir, iteration: Iteration, member: Member) -> String {
    let shown = dir.shown(iteration, member, "");
    format!("# ekp parameters 1: {}, crc32 ", shown.trim_end_matches('/'))
}

/// What a model gets for a column of `ensemble.bin`: a search keeps physical values there, since a trial may lie on a
/// bound, where the unconstrained ones are infinite.
pub(super) fn theta(dir: &RunDir, prior: &Prior, column: &[f64]) -> Vec<f64> {
    if dir.identity.budget > 0 { column.to_vec() } else { prior.constrain(column) }
}

/// Writes the files of one run.
pub struct Writer<'a> {
    dir: &'a RunDir,
    file: MemberFile,
    prior: &'a Prior,
}

impl<'a> Writer<'a> {
    /// For a run with this prior.
    pub fn new(dir: &'a RunDir, prior: &'a Prior) -> Self {
        Self { dir, file: prior.member_file(), prior }
    }

    /// The values of a member, physical units.
    pub(super) fn theta(&self, ensemble: &Ensemble, member: Member) -> Vec<f64> {
        theta(self.dir, self.prior, ensemble.u.col(member as usize - 1))
    }

    /// The text for column `member - 1` of the ensemble.
    ///
    /// # Errors
    /// A parameter is not finite.
    pub fn text(
        &self,
        ensemble: &Ensemble,
        iteration: Iteration,
        member: Member,
    ) -> Result<String, StepError> {
        self.text_of(&self.theta(ensemble, member), iteration, member)
    }

    /// The text for these physical values.
    ///
    /// # Errors
    /// A parameter is not finite.
    pub(super) fn text_of(
        &self,
        theta: &[f64],
        iteration: Iteration,
        member: Member,
    ) -> Result<String, StepError> {
        let body = self.file.text("", theta)?;
        let place = place(self.dir, iteration, member);
        Ok(format!("{place}{}\n{body}", crc32(body.as_bytes())))
    }
}

/// A member's parameters as they stand on disk.
#[derive(Debug)]
pub struct Loaded {
    /// The text
    pub text: String,
    /// Its digest: what the outcome must answer
    pub digest: String,
}

impl Loaded {
    fn new(text: String) -> Self {
        let digest = digest(text.as_bytes());
        Self { text, digest }
    }
}

/// The parameters of a member. A file that is gone, cut short or changed is written anew from the
/// ensemble (only the ensemble is synced, a power loss may shorten the rest).
///
/// # Errors
/// The iteration is not there, or the disk fails.
pub fn load(run: &Run, iteration: Iteration, member: Member) -> Result<Loaded, StepError> {
    let path = run.dir.parameters(iteration, member);
    match fs::read_to_string(&path) {
        Ok(text) if whole(&text, &place(&run.dir, iteration, member)) => return Ok(Loaded::new(text)),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::InvalidData => {}
        Err(e) if e.kind() == ErrorKind::IsADirectory => {
            set_aside(&run.dir.member(iteration, member), &["parameters.toml"])?;
        }
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let folder = run.dir.iteration(iteration);
            if !folder.is_dir() {
                return Err(FileError::NotYet { iteration, path: folder }.into());
            }
        }
        Err(e) => return Err(FileError::io("read", &path)(e).into()),
    }
    if run.dir.leaderless() {
        return Ok(Loaded::new(trials::restore(run, member)?));
    }
    let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let prior = run.prior()?;
    let text = Writer::new(&run.dir, &prior).text(&ensemble, iteration, member)?;
    fs::create_dir_all(run.dir.member(iteration, member)).map_err(FileError::io("make", &path))?;
    publish(&path, text.as_bytes())?;
    Ok(Loaded::new(text))
}

/// Digest of a member's parameters as they stand on disk, if the file is whole, says that it is this
/// member's, and holds the numbers of the ensemble: a whole file may also come from another run.
pub(super) fn own_digest(
    dir: &RunDir,
    iteration: Iteration,
    member: Member,
    theta: &[f64],
) -> Option<String> {
    let text = fs::read_to_string(dir.parameters(iteration, member)).ok()?;
    let id = &dir.identity;
    let names: Vec<(String, usize)> =
        id.parameters.iter().cloned().zip(id.components.iter().copied()).collect();
    let own = whole(&text, &place(dir, iteration, member))
        && MemberFile::read(&text, &names).is_ok_and(|found| near(&found, theta));
    own.then(|| digest(text.as_bytes()))
}

/// The same numbers, as two hosts make them out of the same ensemble: exponentials and logarithms may differ
/// in the last digit (2e-16), which a difference of bounds magnifies. Another member's or run's are farther off.
pub(super) fn near(a: &[f64], b: &[f64]) -> bool {
    const ROUND_OFF: f64 = 1e-9;
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= ROUND_OFF * a.abs().max(b.abs()))
}

fn whole(text: &str, place: &str) -> bool {
    let Some((first, body)) = text.split_once('\n') else { return false };
    first.strip_prefix(place).is_some_and(|sum| sum == crc32(body.as_bytes()))
}

/// Write `text` where other parameters stand: whole, of the right name, but not those of this ensemble
/// (a file brought in from another run). A missing file is left to [`load`].
///
/// # Errors
/// The disk.
pub(super) fn restore(run: &Run, iteration: Iteration, member: Member, text: &str) -> Result<(), FileError> {
    let path = run.dir.parameters(iteration, member);
    match fs::read(&path) {
        Ok(bytes) if bytes != text.as_bytes() => publish(&path, text.as_bytes()),
        _ => Ok(()),
    }
}
