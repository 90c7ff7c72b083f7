//! Any executable as a forward model: linked files, filled templates, a command, an output to read.
//!
//! What a program sees is fixed in the contract: its working folder, `EKP_*` variables, and whatever the
//! command names by `{placeholders}`. One member, start to end: link (`link`), fill (`template`), run
//! (`machine::process`), judge the end (`verdict`), read the output (`output`).
//!
//! Belongs here: everything between parameters and numbers. Not here: where outcomes are published, retries.

mod argument;
pub mod cell;
mod check;
mod environment;
mod interpreter;
mod link;
mod mpi;
mod output;
mod printf;
mod program;
mod read;
mod template;
mod verdict;

use std::ffi::OsString;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::explain::{Marked, Source};
use crate::machine::process::{self, Captured, End, Job};
use crate::models::{Cause, CheckError, Forward, Input, ModelError, Output, Place, ThetaRef, Want};

use argument::Argument;
use link::Links;
use mpi::Mpi;
use output::Reader;
use program::Program;
use template::Template;

/// Name of the file that takes what the model prints, in its working folder.
pub const LOG: &str = "log.txt";
/// Longest time `version_command` may take.
const VERSION_PATIENCE: Duration = Duration::from_secs(10);

/// Any executable.
#[derive(Debug)]
pub struct External {
    /// The experiment file, to point into
    source: Arc<Source>,
    /// Paths are relative to this folder; absolute
    base: PathBuf,
    command: Vec<Argument>,
    /// The first word of `command`, in the experiment file
    command_span: Range<usize>,
    program: Program,
    patterns: Vec<(String, Range<usize>)>,
    templates: Vec<Declared>,
    reader: Reader,
    timeout: Option<Duration>,
    version_command: Vec<String>,
    mpi: Option<Mpi>,
    /// Looked up at the first member of a process, then kept
    prepared: OnceLock<Result<Prepared, ModelError>>,
    /// What it is made of, read at the first question and kept
    made: OnceLock<Result<String, String>>,
}

/// A template as the experiment names it.
#[derive(Debug)]
struct Declared {
    from: PathBuf,
    to: PathBuf,
    from_span: Range<usize>,
}

/// What all members share.
#[derive(Debug)]
struct Prepared {
    links: Links,
    templates: Vec<Template>,
    /// Folders below the working folder that links and templates need
    folders: Vec<PathBuf>,
    /// The program, where it does not depend on the member
    program: Option<PathBuf>,
}

impl Prepared {
    /// Make the folders and links of a working folder.
    fn lay_out(&self, folder: &Path) -> Result<(), ModelError> {
        for below in &self.folders {
            let below = folder.join(below);
            fs::create_dir_all(&below).map_err(|e| refused("make", &below, &e))?;
        }
        for link in self.links.iter() {
            link.make(folder).map_err(|e| refused("link", &folder.join(&link.to), &e))?;
        }
        Ok(())
    }
}

/// The disk refuses something in a working folder: the member is lost, and may run again.
fn refused(what: &str, path: &Path, error: &std::io::Error) -> ModelError {
    ModelError::new(Cause::Lost, format!("cannot {what} `{}`: {error}", path.display()))
}

impl External {
    /// Longest time one member may take, if there is a limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Processes of one member: 1, or the ranks of `[model.mpi]`.
    pub fn ranks(&self) -> usize {
        self.mpi.as_ref().map_or(1, |mpi| mpi.ranks)
    }

    /// What the model says about its version: the first line `version_command` prints.
    pub fn version(&self) -> Option<String> {
        let answer = self.asked()?;
        let lines = [answer.stdout.as_str(), answer.stderr.as_str()];
        let mut lines = lines.iter().flat_map(|text| text.lines()).map(str::trim);
        lines.find(|line| !line.is_empty()).map(str::to_owned)
    }

    /// Why the model cannot even say its version, in the last words of `version_command`: something that it needs is
    /// not on this machine. None where it can, or where no command asks it.
    pub fn unable(&self) -> Option<String> {
        self.version_command.first()?;
        match self.asked() {
            Some(answer) if matches!(answer.ended.end, End::Exit(0)) => None,
            Some(answer) => {
                let last = answer.stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
                Some(last.unwrap_or("its `version_command` fails").to_owned())
            }
            None => Some("its `version_command` cannot be started".into()),
        }
    }

    /// What `version_command` prints.
    fn asked(&self) -> Option<Captured> {
        let (first, args) = self.version_command.split_first()?;
        let program = program::absolute(&self.base, Path::new(first))?;
        let args: Vec<OsString> = args.iter().map(Into::into).collect();
        let mut job = Job::new(&program, &args, &self.base);
        job.timeout = Some(VERSION_PATIENCE);
        process::capture(&job).ok()
    }

    /// Do the files, the templates and the program fit these parameters? Returns warnings.
    ///
    /// # Errors
    /// The first thing that would make every member fail, at its line.
    pub fn check(&self, names: &[(String, usize)]) -> Result<Vec<String>, Marked> {
        check::check(self, names)
    }

    /// What one member does, as text to paste into a shell.
    pub fn printable(&self, place: &Place) -> String {
        environment::printable(self, place)
    }

    /// Where the model is to leave its output.
    pub fn data(&self, place: &Place) -> PathBuf {
        place.folder.join(&self.reader.file)
    }

    /// What every member leaves in its working folder, as far as it is known: log, output, and links and filled templates
    /// that lie in the folder itself.
    pub fn files(&self) -> Vec<&Path> {
        let mut all = vec![Path::new(LOG), &self.reader.file];
        if let Some(Ok(prepared)) = self.prepared.get()
            && prepared.folders.is_empty()
        {
            all.extend(prepared.links.iter().map(|link| link.to.as_path()));
            all.extend(prepared.templates.iter().map(|template| template.to.as_path()));
        }
        all
    }

    fn prepared(&self) -> Result<&Prepared, ModelError> {
        self.prepared.get_or_init(|| self.prepare()).as_ref().map_err(Clone::clone)
    }

    fn prepare(&self) -> Result<Prepared, ModelError> {
        let fail = |message: String| ModelError::new(Cause::Exit, message);
        let links = self.links().map_err(|(_, message)| fail(message))?;
        let load =
            |t: &Declared| Template::load(&self.base.join(&t.from), &t.to).map_err(|e| fail(e.to_string()));
        let templates = self.templates.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let targets =
            links.iter().map(|link| link.to.as_path()).chain(templates.iter().map(|t| t.to.as_path()));
        let parents = targets.chain([self.reader.file.as_path()]).filter_map(Path::parent);
        let mut folders: Vec<PathBuf> = parents.filter(|p| *p != Path::new("")).map(Path::to_owned).collect();
        folders.sort_unstable();
        folders.dedup();
        let program = self.program.lookup(&links, &self.base).map_err(fail)?;
        Ok(Prepared { links, templates, folders, program })
    }

    /// What the globs match, without what this model writes itself.
    fn links(&self) -> Result<Links, (usize, String)> {
        let mut own: Vec<&Path> = vec![Path::new(LOG), &self.reader.file];
        own.extend(self.templates.iter().map(|t| t.to.as_path()));
        Links::find(&self.base, &self.patterns, &own)
    }

    fn one(
        &self,
        thetas: ThetaRef<'_>,
        bound: &[Vec<template::Bound>],
        j: usize,
        want: &Want,
        place: &Place,
    ) -> Result<Output, ModelError> {
        let prepared = self.prepared()?;
        prepared.lay_out(&place.folder)?;
        for (template, bound) in prepared.templates.iter().zip(bound) {
            let to = place.folder.join(&template.to);
            template.write(bound, thetas.values.col(j), &to).map_err(|e| refused("write", &to, &e))?;
        }
        // What an earlier start left in this folder is not this one's output.
        let data = self.data(place);
        match fs::remove_file(&data) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(refused("remove", &data, &e)),
            _ => {}
        }
        let program = match &prepared.program {
            Some(program) if program.is_absolute() => program.clone(),
            Some(in_folder) => place.folder.join(in_folder),
            None => self.program.of(place, &data, &self.base),
        };
        let args = self.command[1..].iter().map(|arg| arg.fill(place, &data));
        let (program, args) = match &self.mpi {
            None => (program, args.collect()),
            Some(mpi) => mpi.wrap(&program, args, place.threads)?,
        };
        let env = environment::variables(place, &data, self.mpi.as_ref());
        let mut job = Job::new(&program, &args, &place.folder);
        (job.env, job.without, job.timeout) = (&env, environment::is_ours_alone, self.timeout);
        job.stop = place.stop.as_deref();
        let log = place.folder.join(LOG);
        let ended = process::run(&job, &log).map_err(|e| verdict::not_started(&e))?;
        let usage = verdict::judge(&ended, &log, self.timeout)?;
        let blocks = self.reader.read(&data, want).map_err(|message| {
            let stderr_tail = verdict::tail(&log);
            ModelError { stderr_tail, usage: Some(usage), ..ModelError::new(Cause::Output, message) }
        })?;
        Ok(Output { blocks, usage: Some(usage), ..Output::default() })
    }
}

impl Forward for External {
    fn run(
        &self,
        thetas: ThetaRef<'_>,
        want: &Want,
        places: &mut [Place],
    ) -> Vec<Result<Output, ModelError>> {
        let bound = self.prepared().and_then(|prepared| {
            let bind =
                |t: &Template| t.bind(thetas.names).map_err(|e| ModelError::new(Cause::Exit, e.to_string()));
            prepared.templates.iter().map(bind).collect::<Result<Vec<_>, _>>()
        });
        let one = |(j, place): (usize, &mut Place)| match &bound {
            Ok(bound) => self.one(thetas, bound, j, want, place),
            Err(error) => Err(error.clone()),
        };
        places.iter_mut().enumerate().map(one).collect()
    }

    /// Templates; what is linked for the program is not read here, and may be large.
    fn inputs(&self) -> Vec<Input> {
        let read = |t: &Declared| {
            let path = self.base.join(&t.from);
            // One that cannot be read is told by the member that needs it.
            fs::read(&path).ok().map(|bytes| Input::new(&path, &bytes))
        };
        self.templates.iter().filter_map(read).collect()
    }

    fn in_process(&self) -> bool {
        false
    }

    fn fits(&self, names: &[(String, usize)], want: &Want) -> Result<Vec<String>, CheckError> {
        if want.score.as_ref().is_some_and(|scoring| !scoring.measures.is_empty()) {
            let what = "is a program: it writes its score itself, `score = 0.93` in its output; say `from_model = true`";
            return Err(CheckError::Data { model: "command".into(), what: what.into(), key: Some("name") });
        }
        Ok(self.check(names)?)
    }
}

#[cfg(test)]
mod tests;
