//! Parameters of adopted members: in the priors, within their open bounds, and unconstrained.

use std::collections::BTreeMap;
use std::fs;

use super::folder::Theirs;
use super::refused;
use crate::explain::{Explain, nearest};
use crate::files::FileError;
use crate::numerics::Mat;
use crate::problem::{Ensemble, MemberFile, Prior, PriorError};
use crate::steps::StepError;
use crate::steps::parameters::near;

/// Reads members' files, and remembers what must be the same in all of them.
pub(super) struct Reader<'a> {
    prior: &'a Prior,
    /// Every table of `priors.toml`
    tables: toml::Table,
    /// `value` of tables that are not calibrated, and the file that had it first
    fixed: BTreeMap<String, (toml::Value, String)>,
}

impl<'a> Reader<'a> {
    /// `priors` is the text of `priors.toml`, which was read before.
    pub(super) fn new(prior: &'a Prior, priors: &str) -> Self {
        Self { prior, tables: priors.parse().unwrap_or_default(), fixed: BTreeMap::new() }
    }

    /// Physical values of each member, and the ensemble they make.
    pub(super) fn iteration(&mut self, theirs: &Theirs) -> Result<(Vec<Vec<f64>>, Ensemble), StepError> {
        let mut theta = Vec::with_capacity(theirs.members.len());
        let mut u = Mat::zeros(self.prior.dim(), theirs.members.len());
        for (j, folder) in theirs.members.iter().enumerate() {
            let path = folder.join("parameters.toml");
            let shown = path.display().to_string();
            let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => refused(
                    format!("`{shown}` is not there"),
                    "each member has a `parameters.toml`, a table with `value` for each parameter",
                ),
                std::io::ErrorKind::InvalidData => {
                    refused(format!("`{shown}` is not text (UTF-8)"), "bring the file back")
                }
                _ => FileError::io("read", &path)(error).into(),
            })?;
            let values = self.member(&text).map_err(|fault| fault.told(&shown))?;
            let free = self.prior.unconstrain(&values).map_err(|e| Fault::Prior(e).told(&shown))?;
            if !near(&self.prior.constrain(&free), &values) {
                return Err(refused(
                    format!(
                        "`{shown}`: a parameter is so close to a bound that its distance is lost in rounding"
                    ),
                    "are these the bounds it was made with? `priors.toml` says which are used here",
                ));
            }
            self.same(&text, &shown)?;
            u.col_mut(j).copy_from_slice(&free);
            theta.push(values);
        }
        Ok((theta, Ensemble { u }))
    }

    /// The calibrated values; every table must be one of the priors.
    fn member(&self, text: &str) -> Result<Vec<f64>, Fault> {
        let values = MemberFile::read(text, self.prior.names())?;
        let tables: toml::Table = text.parse().unwrap_or_default();
        let unknown =
            tables.iter().find(|(name, value)| value.is_table() && !self.tables.contains_key(*name));
        match unknown {
            Some((name, _)) => {
                let known: Vec<&str> = self.tables.keys().map(String::as_str).collect();
                let near = nearest(name, &known).map(str::to_owned);
                Err(Fault::Unknown { name: name.clone(), near })
            }
            None => Ok(values),
        }
    }

    /// What is not calibrated here must not have been calibrated there.
    fn same(&mut self, text: &str, shown: &str) -> Result<(), StepError> {
        let tables: toml::Table = text.parse().unwrap_or_default();
        let calibrated = |name: &str| self.prior.names().iter().any(|(known, _)| known == name);
        for (name, table) in tables.iter().filter(|(name, _)| !calibrated(name)) {
            let Some(value) = table.get("value") else { continue };
            match self.fixed.get(name) {
                None => drop(self.fixed.insert(name.clone(), (value.clone(), shown.to_owned()))),
                Some((before, _)) if before.to_string() == value.to_string() => {}
                Some((before, first)) => {
                    return Err(refused(
                        format!(
                            "`{name}` is {before} in `{first}` and {value} in `{shown}`, but the experiment does not calibrate it"
                        ),
                        "name all parameters that were calibrated: `prior.names`, and `priors.toml` with a prior for each",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// What is wrong with a member's file.
enum Fault {
    Prior(PriorError),
    Unknown { name: String, near: Option<String> },
}

impl From<PriorError> for Fault {
    fn from(error: PriorError) -> Self {
        Self::Prior(error)
    }
}

impl Fault {
    /// With the name of the file.
    fn told(self, shown: &str) -> StepError {
        match self {
            Self::Unknown { name, near } => refused(
                format!("`{shown}` has a parameter `{name}`, which is not in `priors.toml`"),
                &match near {
                    Some(near) => format!(
                        "did you mean `{near}`? parameters that are not calibrated are tables without `prior`"
                    ),
                    None => {
                        "give it a table there: with a prior if it was calibrated, without one if not".into()
                    }
                },
            ),
            Self::Prior(error) => {
                let hint = match &error {
                    PriorError::Outside { .. } => Some(
                        "bounds are open, and those of `priors.toml`: is it the file that these members were made with?"
                            .into(),
                    ),
                    PriorError::NotFinite { .. } => {
                        Some("no model can have run with it: move this iteration, and those after it, away".into())
                    }
                    other => other.hint(),
                };
                refused(format!("`{shown}`: {error}"), &hint.unwrap_or_default())
            }
        }
    }
}
