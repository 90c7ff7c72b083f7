//! Outputs of an adopted iteration: a matrix for all members, or a file for each.
//!
//! The matrix, `G_ensemble`, comes after the other tool's observation map, so it counts where both are there.
//! Belongs here: which file counts, lengths, what is not finite. Not here: numbers out of bytes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::folder::Theirs;
use super::numbers::{self, Numbers};
use super::{Got, refused};
use crate::models::{Cause, Output, Want};
use crate::steps::StepError;
use crate::steps::member::judged_as;

const MATRICES: [&str; 3] = ["G_ensemble.npy", "G_ensemble.csv", "G_ensemble.txt"];
const OUTPUTS: [&str; 5] = ["output.npy", "output.csv", "output.txt", "output.toml", "model_output.toml"];
const JULIA: [&str; 2] = ["output.jld2", "model_output.jld2"];

/// What the observation asks for.
pub(super) struct Wanted<'a> {
    /// Blocks with their lengths
    pub(super) shape: &'a [(String, usize)],
    /// As in `[failures]`
    pub(super) nan_tolerance: f64,
}

/// What the members of an iteration left, and the name of the files that say so.
pub(super) struct Found {
    pub(super) got: Vec<Got>,
    pub(super) source: String,
}

impl Wanted<'_> {
    /// The outputs of an iteration. In the `last` one members may lack theirs; in others they failed.
    ///
    /// # Errors
    /// `Refused` for outputs that cannot be read, or are of another length, infinite, or absent in all members.
    pub(super) fn iteration(
        &self,
        theirs: &Theirs,
        last: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Found, StepError> {
        let mut found = match one_of(&theirs.path, &MATRICES)? {
            Some((path, g)) => self.columns(&path, &g, theirs)?,
            None => self.members(theirs, last, warnings)?,
        };
        if found.got.iter().all(|got| *got == Got::Nothing) && !last {
            return Err(refused(
                format!("`{}` has no outputs, but another iteration follows it", theirs.path.display()),
                "write `G_ensemble.csv` or `.npy` (p × J, a member is a column), or each member's `output.csv`",
            ));
        }
        if last {
            // Who has no numbers yet runs, or runs once more.
            found
                .got
                .iter_mut()
                .filter(|got| matches!(got, Got::Failed(..)))
                .for_each(|got| *got = Got::Nothing);
        }
        Ok(found)
    }

    fn columns(&self, path: &Path, g: &Numbers, theirs: &Theirs) -> Result<Found, StepError> {
        let (p, members) = (self.total(), theirs.members.len());
        // One output of each member may stand as a single row or column.
        let flat = p == 1 && g.cols == 1 && g.rows == members;
        if (g.rows, g.cols) != (p, members) && !flat {
            let turned = (g.cols, g.rows) == (p, members);
            return Err(refused(
                format!(
                    "`{}` has {} rows and {} columns, needed are {} and {members} members",
                    path.display(),
                    g.rows,
                    g.cols,
                    self.words()
                ),
                if turned {
                    "it is transposed: a member is a column"
                } else {
                    "a member is a column, p × J"
                },
            ));
        }
        let column = |j: usize| (0..p).map(|i| g.data[i * members + j]).collect();
        let got = (0..members)
            .map(|j| self.judge(column(j), &format!("`{}`: column {}", path.display(), j + 1)))
            .collect::<Result<_, _>>()?;
        Ok(Found { got, source: name(path) })
    }

    fn members(&self, theirs: &Theirs, last: bool, warnings: &mut Vec<String>) -> Result<Found, StepError> {
        let (mut got, mut names) = (Vec::new(), BTreeSet::new());
        let (mut begun, mut bare) = (0, 0);
        for folder in &theirs.members {
            let checkpoint = Checkpoint::read(folder)?;
            let Some((path, output)) = one_of(folder, &OUTPUTS)? else {
                if let Some(julia) = JULIA.iter().map(|n| folder.join(n)).find(|path| path.exists()) {
                    return Err(jld2(&julia, "output.csv"));
                }
                bare += usize::from(last && checkpoint == Checkpoint::Completed);
                got.push(match last {
                    true => Got::Nothing,
                    false => Got::Failed(Cause::Lost.word(), "adopted without outputs".into()),
                });
                continue;
            };
            if last && checkpoint == Checkpoint::Started {
                // It may be half written: the other tool would run it again, too.
                begun += 1;
                got.push(Got::Nothing);
                continue;
            }
            names.insert(name(&path));
            if output.data.len() != self.total() || (output.rows > 1 && output.cols > 1) {
                return Err(refused(
                    format!("`{}` has {}, needed are {}", path.display(), counted(&output), self.words()),
                    "one number to a line, all blocks one after the other",
                ));
            }
            got.push(self.judge(output.data, &format!("`{}`", path.display()))?);
        }
        let none = |got: &Got| matches!(got, Got::Nothing | Got::Failed("lost", _));
        if got.iter().all(none) {
            let julia = theirs.path.join("G_ensemble.jld2");
            if julia.exists() {
                return Err(jld2(&julia, "G_ensemble.csv"));
            }
            got.fill(Got::Nothing);
        }
        let place = &theirs.name;
        let members = |n: usize| if n == 1 { "1 member".into() } else { format!("{n} members") };
        if begun > 0 {
            warnings.push(format!(
                "{place}: outputs of {} with `checkpoint.txt` at `started` are not taken: to be run again",
                members(begun)
            ));
        }
        if bare > 0 {
            warnings.push(format!(
                "{place}: {} `completed`, but without outputs that can be read here: to be run again",
                members(bare)
            ));
        }
        let source = names.into_iter().map(|n| format!("member_*/{n}")).collect::<Vec<_>>().join(", ");
        Ok(Found { got, source })
    }

    /// Is it an outcome? Infinite numbers are a fault of the file; too many NaN are a failed member.
    fn judge(&self, values: Vec<f64>, place: &str) -> Result<Got, StepError> {
        if let Some(at) = values.iter().position(|x| x.is_infinite()) {
            return Err(refused(
                format!("{place}: number {} is {}", at + 1, values[at]),
                "no step can be made with it: `NaN` in its place lets the member count as failed",
            ));
        }
        let mut rest = values.as_slice();
        let blocks = self.shape.iter().map(|(_, length)| {
            let (block, after) = rest.split_at(*length);
            rest = after;
            block.to_vec()
        });
        let output = Output { blocks: blocks.collect(), ..Output::default() };
        let want = Want::series(self.shape.to_vec());
        Ok(match judged_as(&want, self.nan_tolerance, output) {
            Ok(_) => Got::Data(values),
            Err(failed) => Got::Failed(failed.cause.word(), format!("adopted: {}", failed.message)),
        })
    }

    fn total(&self) -> usize {
        self.shape.iter().map(|(_, length)| length).sum()
    }

    /// ``3 outputs (`a` 2, `b` 1)``
    fn words(&self) -> String {
        let blocks: Vec<String> = self.shape.iter().map(|(name, n)| format!("`{name}` {n}")).collect();
        format!("{} outputs ({})", self.total(), blocks.join(", "))
    }
}

/// ClimaCalibrate's mark of a member.
#[derive(Debug, PartialEq)]
enum Checkpoint {
    Absent,
    Started,
    Completed,
}

impl Checkpoint {
    fn read(folder: &Path) -> Result<Self, StepError> {
        let path = folder.join("checkpoint.txt");
        let Ok(text) = fs::read_to_string(&path) else { return Ok(Self::Absent) };
        match text.lines().next().unwrap_or_default().trim() {
            "started" => Ok(Self::Started),
            "completed" => Ok(Self::Completed),
            other => {
                let short: String = other.chars().take(40).collect();
                Err(refused(
                    format!("`{}` says `{short}`; known are `started` and `completed`", path.display()),
                    "remove it, and the member's outputs count as they are",
                ))
            }
        }
    }
}

/// The first of these files that is there; others beside it must say the same.
fn one_of(folder: &Path, names: &[&str]) -> Result<Option<(PathBuf, Numbers)>, StepError> {
    let mut first: Option<(PathBuf, Numbers)> = None;
    for path in names.iter().map(|name| folder.join(name)).filter(|path| path.exists()) {
        let found = numbers::read(&path).map_err(|why| {
            refused(format!("`{}`: {why}", path.display()), "write it again, or move it away")
        })?;
        match &first {
            None => first = Some((path, found)),
            Some((_, before)) if before.same(&found) => {}
            Some((before, _)) => {
                return Err(refused(
                    format!("`{}` and `{}` hold different numbers", before.display(), path.display()),
                    "keep the one that counts",
                ));
            }
        }
    }
    Ok(first)
}

fn jld2(path: &Path, instead: &str) -> StepError {
    refused(
        format!("`{}` is JLD2, which only Julia reads, and no `{instead}` stands beside it", path.display()),
        "a few lines of Julia write it: docs/julia.md, \"From Julia to a run\"",
    )
}

fn counted(found: &Numbers) -> String {
    match (found.rows, found.cols) {
        (1, 1) => "1 number".into(),
        (n, 1) | (1, n) => format!("{n} numbers"),
        (rows, cols) => format!("{rows} rows of {cols} numbers"),
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
