//! What `ekp-init` adds to the science of a run folder: the site, the scripts, the Makefile.

use std::path::{Path, PathBuf};

use crate::experiment::{ExperimentError, load};
use crate::launch::scripts::{self, ScriptContext};
use crate::launch::site::{Job, Site};
use crate::launch::{LaunchError, tools};
use crate::steps::Run;
use crate::steps::init::{self, Made, Prepared, Request};

/// Elements of an array when the site does not say: more is a burden for the scheduler, not a help.
const ELEMENTS: u32 = 40;
/// From this many members on an element runs several of them.
const MANY: u32 = 1000;

/// The site: `--site`, else `site.toml` beside the experiment, else what every cluster understands.
///
/// # Errors
/// A fault in the file, at its line.
pub fn site(given: Option<&Path>, experiment: &Path) -> Result<Site, LaunchError> {
    let beside = experiment.parent().unwrap_or(Path::new("")).join("site.toml");
    let path: PathBuf = match given {
        Some(path) => path.to_owned(),
        None if beside.is_file() => beside,
        None => return Ok(Site::default()),
    };
    let document = load(&path).map_err(|e| LaunchError::Step(e.into()))?;
    Ok(Site::read(&document).map_err(Box::new)?)
}

/// The site of a run folder.
///
/// # Errors
/// A fault in its `site.toml`.
pub fn site_of(run: &Run) -> Result<Site, LaunchError> {
    let path = run.dir.top("site.toml");
    if !path.is_file() {
        return Ok(Site::default());
    }
    let document = load(&path).map_err(|e| LaunchError::Step(e.into()))?;
    Ok(Site::read(&document).map_err(Box::new)?)
}

/// Members of one array element.
pub fn per_element(members: u32, pack: u32, site: &Site) -> u32 {
    let asked = site.slurm.request(Job::Member).members_per_task;
    let wanted = asked.unwrap_or(if members >= MANY { members.div_ceil(ELEMENTS) } else { 1 });
    // A pack has one outcome: it is never divided.
    wanted.max(1).div_ceil(pack) * pack
}

/// What the scripts of a run need to know.
///
/// # Errors
/// The folder of the tools cannot be found.
pub fn context(prepared: &Prepared, site: &Site, made_by: &str) -> Result<ScriptContext, LaunchError> {
    let id = &prepared.identity;
    let per_element = per_element(id.members, id.pack, site);
    Ok(ScriptContext {
        name: id.name.clone(),
        run_id: id.id.clone(),
        members: id.members,
        elements: id.members.div_ceil(per_element),
        per_element,
        first_iteration: id.first_iteration,
        iterations: id.iterations,
        pad: id.iteration_digits,
        tools: tools()?,
        made_by: made_by.to_owned(),
        member_ranks: prepared.experiment.model.external.as_ref().and_then(|e| e.ranks()),
    })
}

/// Check and make a run folder with everything in it.
///
/// # Errors
/// As [`init::check`] and [`init::make`].
pub fn make(request: &Request, site: &Site, made_by: &str) -> Result<(Prepared, Made), LaunchError> {
    let prepared = init::check(request)?;
    let context = context(&prepared, site, made_by)?;
    let mut files = scripts::render(&context, site)?;
    files.push(("Makefile".into(), scripts::makefile(&context)?));
    files.push(("site.toml".into(), site.text()));
    let made = init::make(&prepared, &files)?;
    Ok((prepared, made))
}
