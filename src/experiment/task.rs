//! What a run is to do, by kind of method: the one place where the name of a method becomes a task.
//!
//! Belongs here: the list of methods, which tables each kind brings, and what a calibration against an
//! observation asks of its files. Not here: the keys of `[algorithm]` of one kind (a file each).

use std::path::{Path, PathBuf};

use super::dds::{self, Form, Searching};
use super::forward::Forwards;
use super::localisation::Named as Names;
use super::{ExperimentError, Failures, Named, algorithm, groups, needed};
use crate::explain::{Explain, Marked};
use crate::files::human::{Document, Section, Value};
use crate::kalman::Method;
use crate::problem::inputs::Source;
use crate::problem::{Observation, Prior, Problem, observation};

/// Methods that `[algorithm]` knows.
pub const METHODS: &[&str] =
    &["etki", "eki", "gnki", "sparse-eki", "eks", "aldi", "utki", "uki", "dds", "dds-async", "forward"];

/// What methods were called before: experiments and runs with such a name mean the present one.
const FORMER: &[(&str, &str)] = &[("sparse", "sparse-eki")];

/// The present name of a method.
pub fn present(method: &str) -> &str {
    FORMER.iter().find(|(before, _)| *before == method).map_or(method, |(_, now)| now)
}

/// The method that `[algorithm]` names, if it names one.
pub(super) fn chosen(
    algorithm: &Section<'_>,
    known: &[&'static str],
) -> Result<Option<&'static str>, Marked> {
    if let Some(Value::Text(word)) = algorithm.node("method").map(|node| &node.value)
        && let Some((_, now)) = FORMER.iter().find(|(before, _)| before == word)
    {
        return Ok(Some(now));
    }
    algorithm.choice("method", known)
}

/// Tables of one kind of method alone, and the method that others are told of.
const TABLES: &[(&str, &str)] =
    &[("score", "dds"), ("inputs", "forward"), ("outputs", "forward"), ("axis", "grid"), ("stage", "grid")];

/// What is to be done.
pub enum Task {
    /// A calibration against an observation by a Kalman method
    Kalman(Box<Calibration>),
    /// A batch of forward models: no update
    Forward(Forwards),
    /// A search for the best score
    Search(Box<Searching>),
}

impl Task {
    /// The parameters come from a table or a grid.
    pub(super) fn needs_no_prior(&self) -> bool {
        match self {
            Self::Kalman(_) | Self::Search(_) => false,
            Self::Forward(forwards) => !matches!(forwards.inputs.source, Source::Prior(_)),
        }
    }

    /// Take in what `[failures]` says; false when it asks for what the method does not do.
    pub(super) fn tolerate(&mut self, failures: &Failures) -> bool {
        match self {
            Self::Kalman(calibration) => {
                calibration.algorithm.tolerate(failures.nan_tolerance);
                failures.outlier_factor.is_none_or(|factor| calibration.algorithm.sets_aside_outliers(factor))
            }
            Self::Forward(_) => failures.outlier_factor.is_none(),
            Self::Search(_) => true,
        }
    }
}

/// What the file asks for.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) task: Task,
    /// 0 where the method says how many, and the file does not
    pub(super) members: u32,
    /// As in [`super::Experiment`]
    pub(super) sizes: Vec<u32>,
    pub(super) budget: u32,
    pub(super) iterations: u32,
    pub(super) warnings: Vec<String>,
}

/// The method and its tables.
pub(super) fn read(top: &Section<'_>) -> Result<Asked, Marked> {
    let known = [METHODS, &[super::grid::METHOD]].concat();
    let method = top.section("algorithm")?.map(|a| chosen(&a, &known)).transpose()?.flatten();
    match method {
        Some(super::grid::METHOD) => {
            let section = needed(top, "algorithm")?;
            let label = "a grid has stages and no parameters; `ekp-init` and `ekp-launch` take it as it is";
            Err(section.wrong("method", "a grid has no use here", label))
        }
        Some("forward") => forward(top),
        Some(word @ ("dds" | "dds-async")) => search(top, word),
        _ => kalman(top),
    }
}

fn forward(top: &Section<'_>) -> Result<Asked, Marked> {
    let section = needed(top, "algorithm")?;
    section.node("method");
    section.finish()?;
    if top.keys().any(|key| key == "observation") {
        let label = "`forward` runs models and compares them with nothing: leave it out";
        return Err(top.wrong("observation", "`[observation]` has no use here", label));
    }
    Ok(Asked {
        method: "forward".into(),
        task: Task::Forward(Forwards::read(top)?),
        members: 0,
        sizes: Vec::new(),
        budget: 0,
        iterations: 1,
        warnings: Vec::new(),
    })
}

/// Refuse the tables of other kinds of method.
pub(super) fn own_tables(top: &Section<'_>, method: &str) -> Result<(), Marked> {
    for (table, of) in TABLES {
        if top.keys().any(|k| k == *table) && !method.starts_with(of) {
            let label = format!("`[{table}]` belongs to method `{of}`, this is `{method}`");
            return Err(top.wrong(table, format!("`[{table}]` has no use here"), label));
        }
    }
    Ok(())
}

fn search(top: &Section<'_>, word: &str) -> Result<Asked, Marked> {
    debug_assert!(dds::SEARCHES.contains(&word));
    let read = dds::read(top)?;
    let (members, budget) = (read.members, read.searching.budget);
    let (sizes, iterations) = match read.searching.form {
        Form::Generations => {
            let (first, generations) = read.searching.generations(members, budget);
            (if first == members { Vec::new() } else { vec![first] }, generations)
        }
        Form::Workers { .. } => (Vec::new(), 1),
    };
    Ok(Asked {
        method: read.method.to_owned(),
        task: Task::Search(Box::new(read.searching)),
        members,
        sizes,
        budget,
        iterations,
        warnings: read.warnings,
    })
}

fn kalman(top: &Section<'_>) -> Result<Asked, Marked> {
    let observation = needed(top, "observation")?;
    let observation_file = Named::read(&observation)?;
    observation.finish()?;
    let read = algorithm::read(&needed(top, "algorithm")?)?;
    let calibration = Calibration { observation_file, algorithm: read.kalman, named: read.named };
    Ok(Asked {
        method: read.method,
        task: Task::Kalman(Box::new(calibration)),
        members: read.members,
        sizes: Vec::new(),
        budget: 0,
        iterations: read.iterations,
        warnings: read.warnings,
    })
}

/// A calibration against an observation.
pub struct Calibration {
    /// `observation.toml`
    pub observation_file: Named,
    /// The algorithm
    pub algorithm: Method,
    /// Names in `[algorithm]`
    named: Names,
}

/// What the prior tells of a method.
pub(super) struct Settled {
    pub(super) members: u32,
    pub(super) warnings: Vec<String>,
}

impl Calibration {
    /// What waits for the prior: the number of members, and the places of the names in `[algorithm]`.
    pub(super) fn settle(
        &self,
        section: &Section<'_>,
        method: &str,
        asked: u32,
        prior: &Prior,
    ) -> Result<Settled, Marked> {
        let (mut members, mut warnings) = (asked, Vec::new());
        if let Some(places) = self.algorithm.places(prior) {
            let places = u32::try_from(places).unwrap_or(u32::MAX);
            if asked != 0 && asked != places {
                let d = prior.dim();
                let label =
                    format!("found {asked}, but `{method}` places {places} for {d} parameters: leave it out");
                return Err(section.wrong("members", "the method says how many members there are", label));
            }
            members = places;
        }
        if self.algorithm.samples() && members as usize <= prior.dim() + 1 {
            let d = prior.dim();
            warnings.push(format!(
                "a sampler does not reach all of the posterior with {members} members for {d} parameters: more than {} do", d + 1
            ));
        }
        self.algorithm.check(prior).map_err(|error| {
            let title = format!("`{method}` cannot begin from this prior");
            let fault = section.wrong("method", title, error.to_string());
            Explain::hint(&error).into_iter().fold(fault, Marked::hint)
        })?;
        Ok(Settled { members, warnings })
    }

    /// A problem that has all parameters and blocks that `[algorithm]` names.
    ///
    /// # Errors
    /// A name that it has not, at its line.
    pub fn fitting(&self, problem: Problem) -> Result<Problem, ExperimentError> {
        self.named.fit(&problem)?;
        groups::fit(self.algorithm.groups(), &self.named.groups, &problem)?;
        Ok(problem)
    }

    /// The observation, from the file that the experiment names, seen from `folder`.
    ///
    /// # Errors
    /// A fault in its file.
    pub fn observation(&self, folder: &Path) -> Result<Observation, ExperimentError> {
        let (document, beside) = self.observation_text(folder)?;
        Ok(Observation::read(&document, &beside)?)
    }

    /// The observation as a text that needs no other file; as it stands where it names none.
    ///
    /// # Errors
    /// A fault in its file.
    pub fn whole_observation(&self, folder: &Path) -> Result<String, ExperimentError> {
        let (document, beside) = self.observation_text(folder)?;
        Ok(observation::text::whole(&document, &beside)?)
    }

    fn observation_text(&self, folder: &Path) -> Result<(Document, PathBuf), Marked> {
        let document = self.observation_file.load(folder)?;
        let beside = document.source.path.parent().unwrap_or(folder).to_owned();
        Ok((document, beside))
    }
}
