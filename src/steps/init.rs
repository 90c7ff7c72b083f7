//! Make a run folder from an experiment: everything checked first, then everything at once, or nothing.

mod given;
mod identity;

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::experiment::{
    Experiment, ExperimentError, differences, line_before, run_copy, setting_at, with_settings,
};
use crate::explain::{Place, Source};
use crate::files::human::{self, Document};
use crate::files::{FileError, Identity, RunDir, load_record, load_state, publish, save_state, whole_folder};
use crate::problem::Ensemble;
use crate::steps::StepError;
use crate::steps::adopt::{self, Adopted, AdoptedRecord};
use crate::steps::ensemble::durable;
use crate::steps::fork;
use crate::steps::forward::Planned;
use crate::steps::inputs;
use crate::steps::parameters::ENSEMBLE;

pub use given::Given;
use given::{fits, of_calibration};
pub(super) use identity::record_of;
use identity::{identity, run_record};

/// What is to be made.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The experiment file
    pub experiment: PathBuf,
    /// The run folder; `runs/<name>` beside the experiment when absent
    pub run: Option<PathBuf>,
    /// `key.path=value`
    pub settings: Vec<String>,
    /// Start from the ensemble of this iteration of another run
    pub from: Option<(PathBuf, u32)>,
    /// Go on from a folder of EKP.jl or ClimaCalibrate
    pub adopt: Option<PathBuf>,
}

/// An experiment that can be run: every file read and checked.
pub struct Prepared {
    /// The experiment
    pub experiment: Experiment,
    /// What the method starts from
    pub given: Given,
    /// Who the run will be
    pub identity: Identity,
    /// Where it will be, absolute
    pub root: PathBuf,
    /// What a person should know
    pub warnings: Vec<String>,
    /// Iterations that another tool made
    pub adopted: Option<Adopted>,
    texts: Vec<(&'static str, String)>,
    start: Option<Ensemble>,
    /// Whose ensemble that is
    origin: Option<String>,
}

/// What `make` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// A new run folder
    New,
    /// It was there with the same experiment; nothing changed
    Same,
    /// It was there with the same experiment; machine files were written anew
    Refreshed,
}

/// Read and check everything; write nothing.
///
/// # Errors
/// The first fault in any of the files, at its line.
pub fn check(request: &Request) -> Result<Prepared, StepError> {
    checked(request).map_err(|error| at_setting(error, request))
}

/// What messages call the settings of the command line.
pub const TYPED: &str = "--set";

/// A fault that came with a `--set` is told there: the file has no such line. Any other at its line in the file, not in
/// the text with settings.
pub(super) fn at_setting(error: StepError, request: &Request) -> StepError {
    let StepError::Experiment(ExperimentError::Marked(fault)) = error else { return error };
    let before = fs::read_to_string(&request.experiment).unwrap_or_default();
    let name = named(request);
    if fault.path() != name || request.settings.is_empty() {
        return ExperimentError::Marked(fault).into();
    }
    let place = match setting_at(&fault, &before, &request.settings) {
        Some((k, span)) => Some(Place { source: Source::new(TYPED, request.settings[k].as_str()), span }),
        None => line_before(&fault, &before)
            .map(|span| Place { source: Source::new(name, before.as_str()), span }),
    };
    let fault = match place {
        Some(place) => Box::new(fault.moved(&place)),
        None => fault,
    };
    ExperimentError::Marked(fault).into()
}

fn checked(request: &Request) -> Result<Prepared, StepError> {
    let path = &request.experiment;
    let user = fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => ExperimentError::Absent { path: path.clone() },
        _ => FileError::io("read", path)(e).into(),
    })?;
    let user = human::text(path, user).map_err(ExperimentError::from)?;
    let text = with_settings(&user, &request.settings)?;
    let document = Document::parse(&named(request), &text).map_err(ExperimentError::from)?;
    let absolute = std::path::absolute(path).map_err(FileError::io("find", path))?;
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let mut experiment = Experiment::read(&document, &base).map_err(ExperimentError::from)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // The coefficients of a fork mean what they meant in its parent.
    let fields = request.from.as_ref().map(|(parent, _)| parent.join("fields.bin"));
    let mut given = Given::read(&experiment, folder, fields.as_deref())?;
    if let Given::Forward(planned) = &mut given {
        if request.from.is_some() || request.adopt.is_some() {
            return Err(Planned::no_ensemble());
        }
        if let Some(forwards) = experiment.forwards() {
            planned.settle(&experiment, forwards, &root_of(request, &base, &experiment.name)?);
        }
        experiment.members = planned.chunks();
    }
    experiment.settle(&document, given.prior()).map_err(ExperimentError::from)?;
    let mut warnings = experiment.warnings.clone();
    warnings.extend(given.prior().warnings.iter().cloned());
    fits(&experiment, &document, &given, folder, &mut warnings)?;
    warnings.extend(of_calibration(&experiment, &given));
    let mut texts = vec![
        ("experiment.toml", run_copy(&text, experiment.members)),
        (
            "priors.toml",
            match given.forward() {
                Some(planned) => planned.prior_text.clone(),
                None => experiment.prior_text(folder)?,
            },
        ),
    ];
    if let Some(calibration) = experiment.calibration() {
        texts.push(("observation.toml", calibration.whole_observation(folder)?));
    }
    let start = request
        .from
        .as_ref()
        .map(|(run, iteration)| fork::parent(run, *iteration, given.prior(), &experiment))
        .transpose()?;
    let mut adopted = request
        .adopt
        .as_ref()
        .map(|folder| match given.problem() {
            Some(problem) => adopt::read(folder, &experiment, problem, &texts[1].1),
            None => Err(adopt::no_ensembles(&experiment)),
        })
        .transpose()?;
    let root = root_of(request, &base, &experiment.name)?;
    let beginning = match &adopted {
        Some(adopted) => adopted.digest.clone(),
        None => match given.forward() {
            Some(planned) => planned.found.digest.clone(),
            None => start.as_ref().map_or(String::new(), fork::digest_of),
        },
    };
    let identity = identity(&experiment, &given, &texts, &base, &root, &beginning);
    let seen = |folder: &Path| {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        relative(&root, &folder).display().to_string().replace('\n', " ")
    };
    let origin =
        request.from.as_ref().map(|(run, iteration)| format!("iteration {iteration} of `{}`", seen(run)));
    if let (Some(adopted), Some(folder)) = (&mut adopted, &request.adopt) {
        adopted.origin = seen(folder);
        warnings.append(&mut adopted.warnings);
    }
    Ok(Prepared { experiment, given, identity, root, warnings, adopted, texts, start, origin })
}

/// Where the run is to be, absolute.
fn root_of(request: &Request, base: &Path, name: &str) -> Result<PathBuf, FileError> {
    let root = match &request.run {
        Some(run) => run.clone(),
        None => base.join("runs").join(name),
    };
    Ok(std::path::absolute(&root).map_err(FileError::io("find", &root))?.components().collect())
}

/// The experiment's name in messages: a fault may come from a `--set`.
pub(super) fn named(request: &Request) -> PathBuf {
    if request.settings.is_empty() {
        return request.experiment.clone();
    }
    let settings: Vec<String> = request.settings.iter().map(|s| format!("--set {s}")).collect();
    let mut name = request.experiment.clone().into_os_string();
    name.push(format!(" (with {})", settings.join(" ")));
    name.into()
}

/// `to` as seen from the folder `from`; both absolute.
pub(super) fn relative(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component<'_>>, Vec<Component<'_>>) =
        (from.components().collect(), to.components().collect());
    let same = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[same..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[same..].iter().copied()).collect();
    if path.as_os_str().is_empty() { ".".into() } else { path }
}

/// Make the run folder. `machine` are the files that belong to the machine, not to the science (site,
/// scripts, Makefile): they are written anew when they differ.
///
/// # Errors
/// The folder holds another run or other files; the disk.
pub fn make(prepared: &Prepared, machine: &[(String, String)]) -> Result<Made, StepError> {
    let root = &prepared.root;
    let occupied = |why: String| StepError::Occupied { folder: root.display().to_string(), why };
    if let Some(file) = root.ancestors().find(|path| path.is_file()) {
        return Err(occupied(format!("`{}` is a file", file.display())));
    }
    if root.join("run.toml").exists() {
        return refresh(prepared, &RunDir::open(root)?, machine);
    }
    if fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) {
        // Another call may have made the run since `run.toml` was looked for.
        if root.join("run.toml").exists() {
            return refresh(prepared, &RunDir::open(root)?, machine);
        }
        return Err(occupied("other files are there".into()));
    }
    let parent = root.parent().unwrap_or(Path::new("/"));
    let made_parent = !parent.exists();
    fs::create_dir_all(parent).map_err(FileError::io("make", parent))?;
    let made = whole_folder(root, |hidden| {
        let write = |name: &str, text: &[u8]| {
            let path = hidden.join(name);
            fs::write(&path, text).map_err(FileError::io("write", &path))
        };
        let lasting = |name: &str, text: &[u8]| durable(&hidden.join(name), text);
        for (name, text) in &prepared.texts {
            lasting(name, text.as_bytes())?;
        }
        for (name, text) in machine {
            write(name, text.as_bytes())?;
        }
        if let Some(problem) = prepared.given.problem()
            && let Some((_, text)) = prepared.texts.iter().find(|(name, _)| *name == "observation.toml")
            && let Some(bytes) = problem.observation.record(text.as_bytes())?
        {
            write("observation.bin", &bytes)?;
        }
        if let Some(bytes) = prepared.given.prior().fields()? {
            lasting("fields.bin", &bytes)?;
        }
        if let Some(start) = &prepared.start {
            lasting("start.bin", &save_state(ENSEMBLE.0, ENSEMBLE.1, start)?)?;
        }
        if let Some(planned) = prepared.given.forward() {
            lasting("inputs.toml", planned.found.write(hidden)?.as_bytes())?;
        }
        for folder in ["jobs", "logs", "platform"] {
            let path = hidden.join(folder);
            fs::create_dir(&path).map_err(FileError::io("make", &path))?;
        }
        lasting("run.toml", run_record(prepared).as_bytes())?;
        if let (Some(adopted), Some(problem)) = (&prepared.adopted, prepared.given.problem()) {
            adopt::write(adopted, problem, hidden)?;
        }
        Ok::<(), StepError>(())
    });
    if made.is_err() && made_parent {
        // Nothing is left of a run that could not be made; a folder that others use stays, it is not empty.
        let _ = fs::remove_dir(parent);
    }
    if made? {
        return Ok(Made::New);
    }
    refresh(prepared, &RunDir::open(root)?, machine)
}

fn refresh(prepared: &Prepared, dir: &RunDir, machine: &[(String, String)]) -> Result<Made, StepError> {
    let (root, found) = (&prepared.root, &dir.identity);
    let id = &prepared.identity;
    let now: Vec<_> = id.inputs.iter().cloned().zip(id.input_digests.iter().cloned()).collect();
    let mut lines: Vec<String> = inputs::changed(found, &now)
        .iter()
        .map(|name| format!("{name}: the model's input is another"))
        .collect();
    if found.id != prepared.identity.id {
        for (name, text) in &prepared.texts {
            let mut before = fs::read_to_string(root.join(name)).unwrap_or_default();
            if *name == "experiment.toml" {
                // Tools that know more defaults have not changed the experiment.
                before = run_copy(&before, prepared.identity.members);
            }
            lines.extend(differences(&before, text).iter().map(|d| format!("{name}: {d}")));
        }
        let start = there(load_state::<Ensemble>(&root.join("start.bin"), ENSEMBLE.0, ENSEMBLE.1));
        if !start.is_ok_and(|start| start == prepared.start) {
            lines.push("start.bin: it starts from another ensemble (`--from`)".into());
        }
        let theirs: Option<AdoptedRecord> = there(load_record(&root.join("adopted.toml")))?;
        if theirs.map(|record| record.digest) != prepared.adopted.as_ref().map(|a| a.digest.clone()) {
            lines.push("adopted.toml: its first iterations are others (`--adopt`)".into());
        }
    }
    if !lines.is_empty() {
        lines.truncate(12);
        return Err(StepError::Changed { folder: root.display().to_string(), differences: lines });
    }
    let mut made = Made::Same;
    if fork::restore(dir, prepared.start.as_ref())? {
        made = Made::Refreshed;
    }
    for (name, text) in machine {
        if renew(&root.join(name), text)? {
            made = Made::Refreshed;
        }
    }
    Ok(made)
}

/// What a file says, if there is one.
fn there<T>(read: Result<T, FileError>) -> Result<Option<T>, FileError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(e) if e.is_missing() => Ok(None),
        Err(e) => Err(e),
    }
}

/// Write a machine file anew when it says something else; true if it did. The line that tells by which
/// command it was written does not count.
///
/// # Errors
/// The disk.
pub fn renew(path: &Path, text: &str) -> Result<bool, FileError> {
    let says = |text: &str| {
        text.lines().filter(|line| !line.starts_with("# Written by:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let same = fs::read_to_string(path).is_ok_and(|there| says(&there) == says(text));
    if !same {
        publish(path, text.as_bytes())?;
    }
    Ok(!same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_is_seen_from_another() {
        let of = |a: &str, b: &str| relative(Path::new(a), Path::new(b)).display().to_string();
        assert_eq!(of("/a/runs/x", "/a"), "../..");
        assert_eq!(of("/a", "/a/b/c"), "b/c");
        assert_eq!(of("/a", "/a"), ".");
        assert_eq!(of("/r/x", "/a/b"), "../../a/b");
    }
}
