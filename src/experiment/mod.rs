//! The experiment: `experiment.toml` as types, its defaults, and the names turned into things.
//!
//! Belongs here: reading and checking what the user asked for, and the three `match`es that turn a
//! name into an algorithm, a model, a prior. Not here: the machine (partition, account, modules):
//! that is `site.toml`, in `launch`.

mod algorithm;
mod choices;
mod copy;
pub mod dds;
mod forward;
pub mod grid;
mod groups;
mod localisation;
mod model;
mod sparse;
pub mod sweep;
mod task;
mod typed;

use std::path::{Path, PathBuf};

use crate::explain::{Explain, Marked, Place, reason};
use crate::files::FileError;
use crate::files::human::{Document, Names, Section};
use crate::problem::Prior;

pub use self::dds::{Form, Scored, Searching};
pub use algorithm::places_members;
pub use copy::{Difference, differences, grid_copy, run_copy, with_settings};
pub use forward::{BatchOutputs, Forwards};
pub use model::Model;
pub use task::{Calibration, METHODS, Task, present};
pub use typed::{line_before, setting_at};

/// Why an experiment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// A fault in a file that the user wrote
    #[error(transparent)]
    Marked(#[from] Box<Marked>),
    /// A file cannot be read
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no experiment where one was named
    #[error("there is no experiment `{}`", path.display())]
    Absent {
        /// As typed, or the default
        path: PathBuf,
    },
    /// A `--set` that names nothing
    #[error("`--set {setting}`: {why}")]
    Setting {
        /// As typed
        setting: String,
        /// What is wrong with it
        why: String,
    },
}

impl From<Marked> for ExperimentError {
    fn from(marked: Marked) -> Self {
        Self::Marked(Box::new(marked))
    }
}

impl Explain for ExperimentError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Marked(e) => Explain::hint(e.as_ref()),
            Self::File(e) => e.hint(),
            Self::Absent { .. } => Some(
                "name it: `ekp-init path/experiment.toml`; or start one: `ekp-init --new etki DIR`".into(),
            ),
            Self::Setting { .. } => {
                Some("write `--set algorithm.members=40`: a key with its tables, then a TOML value".into())
            }
        }
    }
    fn exit(&self) -> crate::explain::Exit {
        crate::explain::Exit::Usage
    }
    fn marked(&self) -> Option<&Marked> {
        match self {
            Self::Marked(e) => Some(e),
            _ => None,
        }
    }
}

/// What becomes of members without an outcome when the iteration is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// They run again
    Rerun,
    /// They count as failed
    Fail,
}

/// Which closed tries keep their working folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of them
    All,
    /// Those that failed
    Failed,
    /// The last one of each member
    Last,
}

/// Where the numbers of an outcome stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// In TOML up to a hundred thousand of them, beside it when there are more
    Auto,
    /// In `data.toml`
    Toml,
    /// In `data.npy` beside it
    Npy,
}

impl Outputs {
    /// Whether `count` numbers stand in an array beside the record.
    pub fn beside(self, count: usize) -> bool {
        match self {
            Self::Auto => count > 100_000,
            Self::Toml => false,
            Self::Npy => true,
        }
    }
}

/// `[failures]`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Failures {
    /// Further tries of a failed member in the same `ekp-run-member`
    pub retries: u32,
    /// Share of members that must have succeeded
    pub quorum: f64,
    /// Members without an outcome
    pub lost: Lost,
    /// Share of NaN per block that an outcome may hold
    pub nan_tolerance: f64,
    /// Members whose misfit is larger than so many times the median count as failed
    pub outlier_factor: Option<f64>,
}

/// A file that the experiment names.
#[derive(Debug, Clone)]
pub struct Named {
    /// As written, relative to the folder of the experiment
    pub path: PathBuf,
    /// Where it is named
    pub place: Place,
}

impl Named {
    fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let path: String = section.need("file")?;
        if path.is_empty() {
            return Err(section.wrong("file", "`file` is empty", "allowed: a path, relative to this file"));
        }
        Ok(Self { path: path.into(), place: section.place("file") })
    }

    /// The document, seen from `folder`.
    fn load(&self, folder: &Path) -> Result<Document, Marked> {
        let path = folder.join(&self.path);
        let bytes = std::fs::read(&path).map_err(|error| {
            let label = format!("`{}`: {}", path.display(), reason(&error));
            let fault = self.place.marked("this file cannot be read", label);
            match error.kind() {
                std::io::ErrorKind::NotFound => {
                    fault.hint("paths are relative to the folder of the file they stand in")
                }
                _ => fault,
            }
        })?;
        Document::from_bytes(&path, bytes)
    }
}

/// `experiment.toml`, checked.
pub struct Experiment {
    /// Name of the run
    pub name: String,
    /// Seed of all random numbers, below 2⁶³
    pub seed: u64,
    /// The forward model
    pub model: Model,
    /// `priors.toml`; none where a table or a grid says what the parameters are
    pub prior_file: Option<Named>,
    /// Order and subset of parameters
    pub prior_names: Option<Names>,
    /// Method, as written
    pub method: String,
    /// What is to be done, by kind of method
    pub task: Task,
    /// Members of an iteration; 0 until [`Experiment::settle`] where the method says how many, and the file does not
    pub members: u32,
    /// Members of the first iterations, where they have another number
    pub sizes: Vec<u32>,
    /// Members of all iterations together at most; 0 without such a limit
    pub budget: u32,
    /// Iterations, at most
    pub iterations: u32,
    /// `[failures]`
    pub failures: Failures,
    /// Number of the first iteration
    pub first_iteration: u32,
    /// `[files] keep`
    pub keep: Keep,
    /// `[files] outputs`
    pub outputs: Outputs,
    /// What a person should know
    pub warnings: Vec<String>,
}

impl Experiment {
    /// Read and check. `base` is the folder that the model's paths are relative to.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(document: &Document, base: &Path) -> Result<Self, Marked> {
        Self::with(document, base, Model::read)
    }

    /// The same for tools that run no model: the data of a built-in one are not read, and may be gone.
    ///
    /// # Errors
    /// As [`Experiment::read`].
    pub fn look(document: &Document, base: &Path) -> Result<Self, Marked> {
        Self::with(document, base, Model::unbuilt)
    }

    fn with(
        document: &Document,
        base: &Path,
        model: impl Fn(&Section<'_>, &Path) -> Result<Model, Marked>,
    ) -> Result<Self, Marked> {
        let top = document.section();
        top.schema("ekp.experiment", 1).map_err(|fault| match top.node("schema") {
            None => fault.hint("`ekp-init --new etki DIR` writes an experiment to start from"),
            Some(_) => fault,
        })?;
        let name = name(&top)?;
        let seed = top
            .integer("seed", 0..=i64::MAX)?
            .ok_or_else(|| top.missing("seed", "an integer, such as 42"))?;
        let model_section = needed(&top, "model")?;
        let model = model(&model_section, base)?;
        let asked = task::read(&top)?;
        let (mut prior_file, mut prior_names) = (None, None);
        // Tables and grids say themselves what the parameters are.
        if !asked.task.needs_no_prior() || top.keys().any(|key| key == "prior") {
            let prior = needed(&top, "prior")?;
            prior_file = Some(Named::read(&prior)?);
            prior_names = Names::read(&prior, "names")?;
            prior.finish()?;
        }
        let failures = failures(&top)?;
        let first_iteration = match top.section("layout")? {
            Some(layout) => {
                let first = layout.integer("first_iteration", 0..=1)?.unwrap_or(0);
                layout.finish()?;
                u32::try_from(first).expect("0 or 1")
            }
            None => 0,
        };
        let (mut keep, mut outputs) = (Keep::Failed, Outputs::Auto);
        if let Some(files) = top.section("files")? {
            keep = match files.choice("keep", &["all", "failed", "last"])? {
                Some("all") => Keep::All,
                Some("last") => Keep::Last,
                _ => Keep::Failed,
            };
            outputs = match files.choice("outputs", &["auto", "toml", "npy"])? {
                Some("toml") => Outputs::Toml,
                Some("npy") => Outputs::Npy,
                _ => Outputs::Auto,
            };
            files.finish()?;
        }
        task::own_tables(&top, &asked.method)?;
        top.finish()?;
        let mut task = asked.task;
        if !task.tolerate(&failures) {
            let label =
                "this method, or `failed_members = \"ignore\"`, sets nobody aside; allowed with `\"redraw\"`";
            let place = top.section("failures")?.map_or(top.place("failures"), |f| f.place("outlier_factor"));
            return Err(place.marked("`outlier_factor` has no use here", label));
        }
        Ok(Self {
            name,
            seed: seed.unsigned_abs(),
            model,
            prior_file,
            prior_names,
            method: asked.method,
            task,
            members: asked.members,
            sizes: asked.sizes,
            budget: asked.budget,
            iterations: asked.iterations,
            failures,
            first_iteration,
            keep,
            outputs,
            warnings: asked.warnings,
        })
    }

    /// What only method and prior together can tell: the number of members that a method places itself, and
    /// whether the prior has what it needs. `document` is where the experiment was read from.
    ///
    /// # Errors
    /// Another number of members in the file; a prior without mean and covariance for a method that needs them.
    pub fn settle(&mut self, document: &Document, prior: &Prior) -> Result<(), Marked> {
        let top = document.section();
        let section = needed(&top, "algorithm")?;
        match &self.task {
            Task::Kalman(calibration) => {
                let settled = calibration.settle(&section, &self.method, self.members, prior)?;
                self.members = settled.members;
                self.warnings.extend(settled.warnings);
            }
            Task::Forward(_) => {}
            Task::Search(searching) => {
                let search = searching.search(prior, self.members)?;
                if search.space.free().is_empty() {
                    self.warnings.push("no parameter can move: one evaluation is all there is".into());
                    (self.sizes, self.budget, self.iterations) = (Vec::new(), 1, 1);
                }
            }
        }
        Ok(())
    }

    /// A calibration against an observation, where the method is one.
    pub fn calibration(&self) -> Option<&Calibration> {
        match &self.task {
            Task::Kalman(calibration) => Some(calibration),
            Task::Forward(_) => None,
            Task::Search(_) => None,
        }
    }

    /// A batch of forward models, where the method is that.
    pub fn forwards(&self) -> Option<&Forwards> {
        match &self.task {
            Task::Forward(forwards) => Some(forwards),
            Task::Search(_) => None,
            Task::Kalman(_) => None,
        }
    }

    /// A search for the best score, where the method is one.
    pub fn searching(&self) -> Option<&Searching> {
        match &self.task {
            Task::Search(searching) => Some(searching),
            Task::Forward(_) => None,
            Task::Kalman(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn calibration_mut(&mut self) -> Option<&mut Calibration> {
        match &mut self.task {
            Task::Kalman(calibration) => Some(calibration),
            Task::Forward(_) => None,
            Task::Search(_) => None,
        }
    }

    /// The prior alone; the functions of its random fields out of `fields.bin` beside it, where that has them.
    ///
    /// # Errors
    /// A fault in its file.
    pub fn prior(&self, folder: &Path) -> Result<Prior, ExperimentError> {
        self.prior_with(folder, &folder.join("fields.bin"))
    }

    /// The same with the functions of its random fields out of the record `fields`, where that has them.
    ///
    /// # Errors
    /// A fault in its file.
    pub fn prior_with(&self, folder: &Path, fields: &Path) -> Result<Prior, ExperimentError> {
        let document = match &self.prior_file {
            Some(file) => file.load(folder)?,
            None => load(&folder.join("priors.toml"))?,
        };
        Ok(Prior::read_with(&document, self.prior_names.as_ref(), fields)?)
    }

    /// Where the file of the prior says this parameter, seen from `folder`.
    pub fn prior_place(&self, folder: &Path, name: &str) -> Option<Place> {
        let document = self.prior_file.as_ref()?.load(folder).ok()?;
        let top = document.section();
        top.keys().any(|key| key == name).then(|| top.place(name))
    }

    /// The prior as it stands in its file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn prior_text(&self, folder: &Path) -> Result<String, ExperimentError> {
        Ok(match &self.prior_file {
            Some(file) => file.load(folder)?.source.text.clone(),
            None => String::new(),
        })
    }
}

/// Read a file that a person wrote.
///
/// # Errors
/// It cannot be read, or is no TOML.
pub fn load(path: &Path) -> Result<Document, ExperimentError> {
    let bytes = std::fs::read(path).map_err(FileError::io("read", path))?;
    Ok(Document::from_bytes(path, bytes)?)
}

fn needed<'a>(top: &Section<'a>, name: &str) -> Result<Section<'a>, Marked> {
    top.section(name)?.ok_or_else(|| {
        let title = format!("the table `[{name}]` is missing");
        if let Some((found, span)) = top.misspelt(name) {
            return Marked::new(top.source(), span, title, format!("found `[{found}]`"))
                .hint(format!("did you mean `[{name}]`?"));
        }
        Marked::new(top.source(), 0..0, title, format!("add `[{name}]` with its keys to this file"))
            .hint("`ekp-init --new etki DIR` writes a complete experiment to start from")
    })
}

/// Names become folders and job names: letters, digits and `._-` only.
fn name(top: &Section<'_>) -> Result<String, Marked> {
    let name: String = top.need("name")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > 60 || !name.chars().all(plain) || name.starts_with(['.', '-']) {
        let label = format!(
            "found `{name}`, allowed: 1 to 60 letters, digits, `.`, `_`, `-`, not beginning with `.` or `-`"
        );
        return Err(top.wrong("name", "`name` cannot be used as a folder's name", label));
    }
    Ok(name)
}

fn failures(top: &Section<'_>) -> Result<Failures, Marked> {
    let mut failures =
        Failures { retries: 1, quorum: 0.5, lost: Lost::Rerun, nan_tolerance: 0.0, outlier_factor: None };
    let Some(section) = top.section("failures")? else { return Ok(failures) };
    if let Some(retries) = section.integer("retries", 0..=100)? {
        failures.retries = u32::try_from(retries).expect("at most 100");
    }
    if let Some(quorum) = section.number("quorum", "a share from 0 to 1", |q| (0.0..=1.0).contains(&q))? {
        failures.quorum = quorum;
    }
    if let Some("fail") = section.choice("lost", &["rerun", "fail"])? {
        failures.lost = Lost::Fail;
    }
    if let Some(share) =
        section.number("nan_tolerance", "a share from 0 to 1", |q| (0.0..=1.0).contains(&q))?
    {
        failures.nan_tolerance = share;
    }
    failures.outlier_factor = section.number("outlier_factor", "a number above 1", |x| x > 1.0)?;
    section.finish()?;
    Ok(failures)
}
