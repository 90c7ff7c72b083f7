//! Any executable as a cell of a grid.
//!
//! As a member it gets links, filled templates, a command and its environment; beside those of a member there are
//! placeholders for the axes and for what the cells before it left. It prints into the logs of its cell, leaves
//! files in its working folder, and may write `model_output.toml`: scalars that become columns of the results.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::explain::Marked;
use crate::files::{digest, digest_file};
use crate::machine::process::{self, Job};
use crate::models::cell::{Cell, CellPlace, Row, Scalar};
use crate::models::external::output::Format;
use crate::models::external::template::Bound;
use crate::models::external::{External, check, environment, refused, verdict};
use crate::models::{Cause, ModelError};
use crate::numerics::Mat;

/// A value that a command may name in braces.
#[derive(Debug, Clone, PartialEq)]
pub struct Hole {
    /// `target`, `sampler.draws`
    pub name: String,
    /// As a command sees it
    pub text: String,
    /// As a number, for templates
    pub number: Option<f64>,
}

/// A program with the values of one cell.
#[derive(Debug)]
pub struct ProgramCell {
    /// Shared by the cells of a stage
    pub external: Arc<External>,
    /// What its command and templates may name
    pub holes: Vec<Hole>,
    /// All values in canonical form: part of the id
    pub canonical: String,
}

/// Placeholders that every cell has, beside those of a member.
pub const CELL_WORDS: [&str; 3] = ["stage", "cell", "checkpoint"];

impl External {
    /// Do the files, the templates and the program fit? `numbers` are the holes with numbers. Returns warnings.
    ///
    /// # Errors
    /// The first thing that would make every cell fail, at its line.
    pub fn check_cell(&self, numbers: &[String]) -> Result<Vec<String>, Marked> {
        let names: Vec<(String, usize)> = numbers.iter().map(|name| (name.clone(), 1)).collect();
        // A value that no template names is no fault here: commands name them, too.
        check::check_with(self, &names, false)
    }

    /// What makes the numbers, beside the values of a cell: the words of the command, the content of what is
    /// linked, of templates, and of a program that lies beside the experiment.
    fn fingerprint(&self) -> Result<String, String> {
        let mut text = String::new();
        for word in &self.command {
            text.push_str(&format!("word {:?}\n", word.written()));
        }
        let seen = |path: &Path| digest_file(path).map_err(|e| e.to_string());
        for link in self.links().map_err(|(_, message)| message)?.iter() {
            for entry in walkdir::WalkDir::new(&link.from).sort_by_file_name().follow_links(true) {
                let entry = entry.map_err(|e| e.to_string())?;
                if entry.file_type().is_file() {
                    let below = entry.path().strip_prefix(&link.from).unwrap_or(Path::new(""));
                    let name = link.to.join(below);
                    text.push_str(&format!(
                        "file {:?} {}\n",
                        name.display().to_string(),
                        seen(entry.path())?
                    ));
                }
            }
        }
        for template in &self.templates {
            let bytes = seen(&self.base.join(&template.from))?;
            text.push_str(&format!("template {:?} {bytes}\n", template.to.display().to_string()));
        }
        // A program of the system is named, not read: another host may have another build of it.
        if let Some(first) = self.command.first().and_then(|first| first.fixed())
            && first.contains('/')
            && !Path::new(first).is_absolute()
        {
            let path = self.base.join(first);
            if path.is_file() {
                text.push_str(&format!("program {}\n", seen(&path)?));
            }
        }
        if let Some(mpi) = &self.mpi {
            text.push_str(&format!("ranks {}\n", mpi.ranks));
        }
        Ok(text)
    }
}

impl Cell for ProgramCell {
    fn id(&self, stage: &str, upstream: &[String]) -> Result<String, ModelError> {
        let made = self.external.made.get_or_init(|| self.external.fingerprint());
        let made = made.clone().map_err(|e| ModelError::new(Cause::Exit, e))?;
        let all = format!("ekp.cell 1\n{made}values {}\nafter {}\n", self.canonical, upstream.join(" "));
        Ok(format!("{stage}_{}", &digest(all.as_bytes())["blake3:".len()..][..12]))
    }

    fn run(&self, cell: &CellPlace) -> Result<Row, ModelError> {
        let external = &self.external;
        let prepared = external.prepared()?;
        let place = &cell.place;
        prepared.lay_out(&place.folder)?;
        let numbers: Vec<(&Hole, f64)> = self.holes.iter().filter_map(|h| Some((h, h.number?))).collect();
        let names: Vec<(String, usize)> = numbers.iter().map(|(h, _)| (h.name.clone(), 1)).collect();
        let values = Mat::from_columns(numbers.len(), 1, numbers.iter().map(|(_, x)| *x).collect());
        for template in &prepared.templates {
            let bound: Vec<Bound> =
                template.bind(&names).map_err(|e| ModelError::new(Cause::Exit, e.to_string()))?;
            let to = place.folder.join(&template.to);
            template.write(&bound, values.col(0), &to).map_err(|e| refused("write", &to, &e))?;
        }
        let data = external.data(place);
        let more = self.words(cell);
        let program = match &prepared.program {
            Some(program) if program.is_absolute() => program.clone(),
            Some(in_folder) => place.folder.join(in_folder),
            None => external.program.of(place, &data, &external.base),
        };
        let args = external.command[1..].iter().map(|arg| arg.fill_with(place, &data, &more));
        let (program, args) = match &external.mpi {
            None => (program, args.collect()),
            Some(mpi) => mpi.wrap(&program, args, place.threads)?,
        };
        let mut env = environment::variables(place, &data, external.mpi.as_ref());
        env.extend(self.environment(cell));
        let mut job = Job::new(&program, &args, &place.folder);
        (job.env, job.without, job.timeout) = (&env, environment::is_ours_alone, external.timeout);
        job.stop = place.stop.as_deref();
        let ended = process::run_apart(&job, &cell.log, &cell.err).map_err(|e| verdict::not_started(&e))?;
        let usage = verdict::judge(&ended, &cell.err, external.timeout).map_err(|mut error| {
            if error.stderr_tail.is_empty() {
                error.stderr_tail = verdict::tail(&cell.log);
            }
            error
        })?;
        // Links point into the user's folder: what stays is what the cell made.
        for link in prepared.links.iter() {
            let _ = fs::remove_file(place.folder.join(&link.to));
        }
        let facts = external.facts(&data).map_err(|message| ModelError {
            stderr_tail: verdict::tail(&cell.err),
            usage: Some(usage),
            ..ModelError::new(Cause::Output, message)
        })?;
        Ok(Row { facts, usage: Some(usage) })
    }

    fn in_process(&self) -> bool {
        false
    }
}

impl ProgramCell {
    /// What the command may name beside the words of a member.
    fn words(&self, cell: &CellPlace) -> Vec<(String, OsString)> {
        let mut all: Vec<(String, OsString)> =
            self.holes.iter().map(|hole| (hole.name.clone(), hole.text.clone().into())).collect();
        all.push(("stage".into(), cell.stage.clone().into()));
        all.push(("cell".into(), cell.id.clone().into()));
        all.push(("checkpoint".into(), cell.checkpoint.clone().into()));
        for upstream in &cell.upstream {
            all.push((format!("upstream.{}", upstream.stage), joined(&upstream.folders)));
        }
        if let [only] = cell.upstream.as_slice() {
            all.push(("upstream".into(), joined(&only.folders)));
        }
        all
    }

    /// What it finds in its environment beside the variables of a member.
    fn environment(&self, cell: &CellPlace) -> Vec<(OsString, OsString)> {
        let name = |head: &str, tail: &str| -> OsString {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            format!("{head}{}", tail.chars().map(plain).collect::<String>()).into()
        };
        let mut all: Vec<(OsString, OsString)> = vec![
            ("EKP_STAGE".into(), cell.stage.clone().into()),
            ("EKP_CELL".into(), cell.id.clone().into()),
            ("EKP_CHECKPOINT".into(), cell.checkpoint.clone().into()),
        ];
        for upstream in &cell.upstream {
            all.push((name("EKP_UPSTREAM_", &upstream.stage), joined(&upstream.folders)));
        }
        if let [only] = cell.upstream.as_slice() {
            all.push(("EKP_UPSTREAM".into(), joined(&only.folders)));
        }
        for hole in &self.holes {
            all.push((name("EKP_AXIS_", &hole.name), hole.text.clone().into()));
        }
        all
    }
}

/// Folders as one word; several are joined by `:`, as in `PATH`.
fn joined(folders: &[std::path::PathBuf]) -> OsString {
    std::env::join_paths(folders).unwrap_or_default()
}

impl External {
    /// The scalars that a program left; a file that it did not write is none.
    fn facts(&self, path: &Path) -> Result<Vec<(String, Scalar)>, String> {
        let name = self.reader.file.display();
        let Format::Toml(keys) = &self.reader.format else {
            return Err(format!("`{name}`: a cell of a grid leaves TOML"));
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(format!("cannot read `{name}`: {e}")),
        };
        let table = text.parse::<toml::Table>().map_err(|e| {
            format!(
                "`{name}`: not TOML ({}); was the file cut short?",
                e.message().lines().next().unwrap_or("")
            )
        })?;
        // Either the facts stand at the top, or below the key that a member would use.
        let inner = keys.iter().try_fold(&table, |table, key| table.get(key)?.as_table());
        let mut facts = Vec::new();
        for (key, value) in inner.unwrap_or(&table) {
            let Some(value) = Scalar::of(value) else {
                return Err(format!("`{name}`: `{key}` is {}, a column takes one value", value.type_str()));
            };
            facts.push((key.clone(), value));
        }
        Ok(facts)
    }
}
