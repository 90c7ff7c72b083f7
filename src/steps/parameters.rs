//! What the model reads: `parameters.toml` of each member, written from the ensemble, checked when read.

use std::fs;

use crate::files::{FileError, Iteration, Member, RunDir, crc32, digest, load_state, publish};
use crate::problem::MemberFile;
use crate::problem::{Ensemble, Prior};
use crate::steps::{Run, StepError};

/// Kind and version of `ensemble.bin`.
pub const ENSEMBLE: (&str, u32) = ("ekp.ensemble", 1);
/// Kind and version of `state.bin`.
pub const STATE: (&str, u32) = ("ekp.state", 1);

const MARK: &str = ", crc32 ";

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
        let theta = self.prior.constrain(ensemble.u.col(member as usize - 1));
        let body = self.file.text("", &theta)?;
        let place = self.dir.shown(iteration, member, "");
        Ok(format!(
            "# ekp parameters 1: {}{MARK}{}\n{body}",
            place.trim_end_matches('/'),
            crc32(body.as_bytes())
        ))
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
        Ok(text) if whole(&text) => return Ok(Loaded::new(text)),
        Ok(_) => {}
        Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData) => {
            let folder = run.dir.iteration(iteration);
            if !folder.is_dir() {
                return Err(FileError::NotYet { iteration, path: folder }.into());
            }
        }
        Err(e) => return Err(FileError::io("read", &path)(e).into()),
    }
    let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let prior = run.prior()?;
    let text = Writer::new(&run.dir, &prior).text(&ensemble, iteration, member)?;
    fs::create_dir_all(run.dir.member(iteration, member)).map_err(FileError::io("make", &path))?;
    publish(&path, text.as_bytes())?;
    Ok(Loaded::new(text))
}

/// A parameters file of a person's own, for a trial: any text.
pub fn unchecked(text: String) -> Loaded {
    Loaded::new(text)
}

fn whole(text: &str) -> bool {
    let Some((first, body)) = text.split_once('\n') else { return false };
    first.split_once(MARK).is_some_and(|(_, sum)| sum == crc32(body.as_bytes()))
}
