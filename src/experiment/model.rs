//! `[model]`: a name becomes a model.

use std::path::Path;
use std::sync::Arc;

use crate::explain::{Marked, nearest, one_of};
use crate::files::human::Section;
use crate::models::backend::Backend;
use crate::models::darcy::Darcy;
use crate::models::external::External;
use crate::models::hydro;
use crate::models::landscape::Landscape;
use crate::models::lorenz96;
use crate::models::sinusoid::Sinusoid;
use crate::models::tem1d;
use crate::models::{Cause, Forward, ModelError, Output, Place, ThetaRef, Want};

/// Names that `builtin` may have.
const BUILTIN: &[&str] = &["sinusoid", "lorenz96", "darcy", "hbv", "gr4j", "fuse", "landscape", "tem1d"];

/// The forward model of an experiment.
#[derive(Clone)]
pub struct Model {
    /// How it is run
    pub forward: Arc<dyn Forward>,
    /// The same, when it is a program of its own
    pub external: Option<Arc<External>>,
    /// `sinusoid`, or the command
    pub title: String,
    /// Members that share one outcome
    pub pack: u32,
    /// It has use for all threads itself: others are not to share them out among members
    pub whole: bool,
}

impl Model {
    /// Read `[model]`; paths are relative to `base`.
    ///
    /// # Errors
    /// Neither or both of `builtin` and `command`, an unknown name, a fault in the model's options.
    pub fn read(section: &Section<'_>, base: &Path) -> Result<Self, Marked> {
        Self::with(section, base, true)
    }

    /// The same without the data of a built-in model, for tools that run none: it cannot be asked for anything.
    ///
    /// # Errors
    /// As [`Model::read`], as far as it is read.
    pub fn unbuilt(section: &Section<'_>, base: &Path) -> Result<Self, Marked> {
        Self::with(section, base, false)
    }

    fn with(section: &Section<'_>, base: &Path, build: bool) -> Result<Self, Marked> {
        let builtin: Option<String> = section.opt("builtin")?;
        let pack = section.integer("pack", 1..=1_000_000)?.unwrap_or(1);
        let pack = u32::try_from(pack).expect("at most a million");
        let model = match builtin {
            Some(name) => {
                if section.keys().any(|k| k == "command") {
                    let label =
                        "allowed: `builtin` for a model of the toolkit, or `command` for a program of yours";
                    return Err(section.wrong(
                        "command",
                        "`[model]` has both `builtin` and `command`",
                        label,
                    ));
                }
                let options = section.section(&name)?;
                if !BUILTIN.contains(&name.as_str()) {
                    return Err(unknown(section, &name));
                }
                let asked = Backend::read(section, &name)?;
                let backend = asked.unwrap_or_default();
                if !build {
                    let forward = Arc::new(Unbuilt);
                    return Ok(Self {
                        forward,
                        external: None,
                        title: name,
                        pack,
                        whole: backend.takes_all(),
                    });
                }
                let forward: Arc<dyn Forward> = match name.as_str() {
                    "sinusoid" => Arc::new(Sinusoid::read(options.as_ref())?),
                    "lorenz96" => lorenz96::forward(options.as_ref())?,
                    "darcy" => Arc::new(Darcy::read(options.as_ref())?),
                    "landscape" => Arc::new(Landscape::read(options.as_ref())?),
                    "hbv" => hydro::hbv::forward(needed(section, &name, options.as_ref())?, base, backend)?,
                    "gr4j" => hydro::gr4j::forward(needed(section, &name, options.as_ref())?, base, backend)?,
                    "tem1d" => tem1d::forward(needed(section, &name, options.as_ref())?, base)?,
                    "fuse" => hydro::fuse::forward(needed(section, &name, options.as_ref())?, base)?,
                    _ => return Err(unknown(section, &name)),
                };
                let forward = backend.wrap(forward);
                Self { forward, external: None, title: name, pack, whole: backend.takes_all() }
            }
            None if section.keys().any(|k| k == "command") => {
                let external = Arc::new(External::read(section, base)?);
                if pack > 1 {
                    let label = format!("found {pack}, allowed with `command`: 1");
                    return Err(section.wrong("pack", "`pack` needs a built-in model", label).hint(
                        "to run many members in one array element set `members_per_task` in `site.toml`",
                    ));
                }
                let title = section.opt::<Vec<String>>("command")?.unwrap_or_default().join(" ");
                Self { forward: external.clone(), external: Some(external), title, pack, whole: true }
            }
            None => {
                let label = format!(
                    "add `builtin = …`: {}, or `command = [\"./model.sh\", \"{{parameters}}\", \"{{data}}\"]`",
                    one_of(BUILTIN)
                );
                return Err(section.wrong("", "`[model]` names no model", label));
            }
        };
        section.finish()?;
        Ok(model)
    }

    /// Whether a report asks it for its soundings, as far as its name tells: also where it is not built.
    pub fn has_soundings(&self) -> bool {
        self.title == "tem1d"
    }

    /// What the caller needs back, from names and lengths of the observation blocks.
    pub fn want(names: &[String], lengths: &[usize]) -> Want {
        Want::series(names.iter().cloned().zip(lengths.iter().copied()).collect())
    }
}

/// In place of a built-in model whose data nobody has read.
struct Unbuilt;

impl Forward for Unbuilt {
    fn run(&self, _: ThetaRef<'_>, _: &Want, places: &mut [Place]) -> Vec<Result<Output, ModelError>> {
        // Lost is no outcome: whatever went wrong here is not recorded as a fault of the model.
        let lost = || ModelError::new(Cause::Lost, "this tool runs no model");
        places.iter().map(|_| Err(lost())).collect()
    }
}

/// Options of a model that cannot do without.
fn needed<'a, 'b>(
    section: &Section<'_>,
    name: &str,
    options: Option<&'b Section<'a>>,
) -> Result<&'b Section<'a>, Marked> {
    options.ok_or_else(|| section.missing(name, &format!("a table `[model.{name}]` with its options")))
}

fn unknown(section: &Section<'_>, name: &str) -> Marked {
    let label = format!("found `{name}`, allowed: {}", one_of(BUILTIN));
    let fault = section.wrong("builtin", "there is no such built-in model", label);
    match nearest(name, BUILTIN) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault
            .hint("any program can be a model: `command = [\"./model.sh\", \"{parameters}\", \"{data}\"]`"),
    }
}
