//! Make the run folder of a grid: everything checked first, then everything at once, or nothing.

use std::fs;
use std::path::{Path, PathBuf};

use crate::experiment::grid::{Grid, METHOD};
use crate::experiment::{ExperimentError, differences, grid_copy, with_settings};
use crate::files::human::{self, Document};
use crate::files::{FileError, Identity, RunDir, digest, run_id, whole_folder};
use crate::steps::StepError;
use crate::steps::ensemble::durable;
use crate::steps::grid::{index, reuse};
use crate::steps::init::{Made, Request, at_setting, named, record_of, relative, renew};

/// A grid that can be run: every file read and checked.
pub struct Prepared {
    /// The grid
    pub grid: Grid,
    /// Id of every cell, stage by stage
    pub ids: Vec<Vec<String>>,
    /// Who the run will be
    pub identity: Identity,
    /// Where it will be, absolute
    pub root: PathBuf,
    /// What a person should know
    pub warnings: Vec<String>,
    /// A run whose finished cells are taken over
    pub from: Option<PathBuf>,
    text: String,
}

/// Whether the experiment of a request is a grid, as far as it can be read.
pub fn asked(request: &Request) -> bool {
    let text = fs::read_to_string(&request.experiment).unwrap_or_default();
    with_settings(&text, &request.settings).is_ok_and(|text| crate::experiment::grid::is_grid(&text))
}

/// Read and check everything; write nothing.
///
/// # Errors
/// The first fault in any of the files, at its line.
pub fn check(request: &Request, from: Option<&Path>) -> Result<Prepared, StepError> {
    checked(request, from).map_err(|error| at_setting(error, request))
}

fn checked(request: &Request, from: Option<&Path>) -> Result<Prepared, StepError> {
    let path = &request.experiment;
    let user = fs::read(path).map_err(FileError::io("read", path))?;
    let user = human::text(path, user).map_err(ExperimentError::from)?;
    let text = with_settings(&user, &request.settings)?;
    let document = Document::parse(&named(request), &text).map_err(ExperimentError::from)?;
    let absolute = std::path::absolute(path).map_err(FileError::io("find", path))?;
    let base = absolute.parent().unwrap_or(Path::new("/")).to_owned();
    let grid = Grid::read(&document, &base).map_err(ExperimentError::from)?;
    let mut warnings = Vec::new();
    let ids = grid.ids(&mut warnings).map_err(ExperimentError::from)?;
    let root = request.run.clone().unwrap_or_else(|| base.join("runs").join(&grid.name));
    let root: PathBuf =
        std::path::absolute(&root).map_err(FileError::io("find", &root))?.components().collect();
    let text = grid_copy(&text);
    let identity = identity(&grid, &ids, &text, &base, &root);
    let from = from.map(Path::to_owned);
    Ok(Prepared { grid, ids, identity, root, warnings, from, text })
}

fn identity(grid: &Grid, ids: &[Vec<String>], text: &str, base: &Path, root: &Path) -> Identity {
    let values = text.parse::<toml::Table>().map_or_else(|_| text.to_owned(), |t| t.to_string());
    let experiment = digest(values.as_bytes());
    let cells = digest(ids.concat().join(" ").as_bytes());
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Identity {
        name: grid.name.clone(),
        id: run_id(&experiment, &cells, ""),
        tools: env!("CARGO_PKG_VERSION").into(),
        seed: grid.seed,
        method: METHOD.into(),
        members: count(grid.total()),
        sizes: Vec::new(),
        budget: 0,
        iterations: count(grid.stages.len()),
        first_iteration: 1,
        iteration_digits: 3,
        member_digits: 3,
        pack: 1,
        models: 0,
        chunk: 0,
        parameters: Vec::new(),
        components: Vec::new(),
        blocks: Vec::new(),
        lengths: Vec::new(),
        observations: Vec::new(),
        inputs: Vec::new(),
        input_digests: Vec::new(),
        base: base.to_owned(),
        base_relative: relative(root, base),
        experiment,
        priors: String::new(),
        observation: String::new(),
    }
}

/// Make the run folder; how many finished cells came from another run. `machine` are the files that belong to
/// the machine: they are written anew when they differ.
///
/// # Errors
/// The folder holds another run or other files; the disk.
pub fn make(prepared: &Prepared, machine: &[(String, String)]) -> Result<(Made, usize), StepError> {
    let root = &prepared.root;
    let occupied = |why: String| StepError::Occupied { folder: root.display().to_string(), why };
    if let Some(file) = root.ancestors().find(|path| path.is_file()) {
        return Err(occupied(format!("`{}` is a file", file.display())));
    }
    if root.join("run.toml").exists() {
        return Ok((refresh(prepared, machine)?, 0));
    }
    if fs::read_dir(root).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(occupied("other files are there".into()));
    }
    let parent = root.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(FileError::io("make", parent))?;
    let mut brought = 0;
    let made = whole_folder(root, |hidden| {
        let lasting = |path: &Path, text: &str| durable(path, text.as_bytes());
        lasting(&hidden.join("experiment.toml"), &prepared.text)?;
        for (name, text) in machine {
            let path = hidden.join(name);
            fs::write(&path, text).map_err(FileError::io("write", &path))?;
        }
        for folder in ["jobs", "logs", "platform", "results"] {
            let path = hidden.join(folder);
            fs::create_dir(&path).map_err(FileError::io("make", &path))?;
        }
        let making = RunDir::making(hidden, prepared.identity.clone());
        for (number, stage) in (1..).zip(&prepared.grid.stages) {
            let folder = making.stage(number, &stage.name);
            fs::create_dir(&folder).map_err(FileError::io("make", &folder))?;
            lasting(&making.cells(number, &stage.name), &index::text(&prepared.grid, number, &prepared.ids))?;
            // A scheduler opens its logs itself, and only where the folder is there.
            let logs = hidden.join("logs").join(&stage.name);
            fs::create_dir(&logs).map_err(FileError::io("make", &logs))?;
        }
        if let Some(from) = &prepared.from {
            brought = reuse::bring(prepared, from, hidden)?;
        }
        let comments = "ekp run: who this run is. Written once by `ekp-init`, never changed.\n\
                        `base` is the folder of the experiment file, where the programs are.";
        lasting(&hidden.join("run.toml"), &record_of(&prepared.identity, comments))?;
        Ok::<(), StepError>(())
    })?;
    Ok(if made { (Made::New, brought) } else { (refresh(prepared, machine)?, 0) })
}

fn refresh(prepared: &Prepared, machine: &[(String, String)]) -> Result<Made, StepError> {
    let root = &prepared.root;
    let found = RunDir::open(root)?.identity;
    if found.id != prepared.identity.id {
        let before = fs::read_to_string(root.join("experiment.toml")).unwrap_or_default();
        let mut lines: Vec<String> =
            differences(&before, &prepared.text).iter().map(|d| format!("experiment.toml: {d}")).collect();
        if lines.is_empty() && found.method == METHOD {
            lines.push("a program, or a file of one, is another than when the run was made".into());
        }
        lines.truncate(12);
        return Err(StepError::OtherGrid { folder: root.display().to_string(), differences: lines });
    }
    let mut made = Made::Same;
    for (name, text) in machine {
        if renew(&root.join(name), text)? {
            made = Made::Refreshed;
        }
    }
    Ok(made)
}
