//! What `ekp-init` adds to the science of a run folder: the site, the scripts, the Makefile.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::experiment::load;
use crate::explain::{count, nearest, one_of};
use crate::files::{FileError, RunDir, publish};
use crate::launch::dry_run::core_time;
use crate::launch::queue::{Patience, Queue};
use crate::launch::scripts::{self, ScriptContext};
use crate::launch::site::{Chain, Job, Site};
use crate::launch::{LaunchError, tools};
use crate::models::external::External;
use crate::steps::init::{self, Made, Prepared, Request};
use crate::steps::{Run, trial};

/// Elements of an array when the site does not say: more is a burden for the scheduler, not a help.
const ELEMENTS: u32 = 40;
/// A controller that does not answer in this time is not waited for.
pub(super) const ANSWER: Duration = Duration::from_secs(5);
/// From this many members on an element runs several of them.
const MANY: u32 = 1000;

/// The site: `--site`, else `site.toml` beside the experiment, else what every cluster understands.
///
/// # Errors
/// A fault in the file, at its line.
pub fn site(given: Option<&Path>, experiment: &Path) -> Result<Site, LaunchError> {
    let beside = experiment.parent().unwrap_or(Path::new("")).join("site.toml");
    match given {
        Some(path) if !path.exists() => Err(refused(
            format!("there is no site file `{}`", path.display()),
            "name it, or leave `--site` out: `site.toml` beside the experiment is taken where there is one",
        )),
        Some(path) => read_site(path),
        None if beside.is_file() => read_site(&beside),
        None => Ok(Site::default()),
    }
}

/// A `site.toml` by its path.
pub(super) fn read_site(path: &Path) -> Result<Site, LaunchError> {
    let document = load(path).map_err(|e| LaunchError::Step(e.into()))?;
    Ok(Site::read(&document).map_err(Box::new)?)
}

/// The site of a run folder.
///
/// # Errors
/// A fault in its `site.toml`.
pub fn site_of(run: &Run) -> Result<Site, LaunchError> {
    site_of_dir(&run.dir)
}

/// The site of any run folder.
///
/// # Errors
/// A fault in its `site.toml`.
pub fn site_of_dir(dir: &RunDir) -> Result<Site, LaunchError> {
    let path = dir.top("site.toml");
    if !path.is_file() {
        return Ok(Site::default());
    }
    read_site(&path)
}

/// Members of one array element.
pub fn per_element(members: u32, pack: u32, site: &Site) -> u32 {
    let asked = site.slurm.request(Job::Member).members_per_task;
    let wanted = asked.unwrap_or(if members >= MANY { members.div_ceil(ELEMENTS) } else { 1 });
    // A pack has one outcome: it is never divided.
    wanted.max(1).div_ceil(pack) * pack
}

/// Array elements of an iteration, and of those with another number; workers are as many as the run says.
fn elements(dir: &RunDir, per_element: u32, iterations: u32) -> (u32, Vec<(u32, u32)>) {
    let id = &dir.identity;
    let usual = id.members.div_ceil(per_element);
    if dir.leaderless() {
        return (id.members, Vec::new());
    }
    let all = id.first_iteration..id.first_iteration + iterations;
    let of = |iteration| (iteration, dir.members(iteration).div_ceil(per_element));
    (usual, all.map(of).filter(|(_, count)| *count != usual).collect())
}

/// What the scripts of a run need to know.
///
/// # Errors
/// The folder of the tools cannot be found.
pub fn context(prepared: &Prepared, site: &Site, made_by: &str) -> Result<ScriptContext, LaunchError> {
    let id = &prepared.identity;
    let dir = RunDir::making(&prepared.root, id.clone());
    let per_element = per_element(id.members, id.pack, site);
    let (elements, sizes) = elements(&dir, per_element, id.iterations);
    Ok(ScriptContext {
        name: id.name.clone(),
        run_id: id.id.clone(),
        members: id.members,
        elements,
        sizes,
        workers: dir.leaderless(),
        per_element,
        first_iteration: id.first_iteration,
        iterations: id.iterations,
        pad: id.iteration_digits,
        tools: tools()?,
        made_by: made_by.to_owned(),
        member_ranks: ranks(prepared.experiment.model.external.as_deref()),
    })
}

/// Check and make a run folder with everything in it.
///
/// # Errors
/// As [`init::check`] and [`init::make`].
pub fn make(request: &Request, given: Option<&Path>, made_by: &str) -> Result<(Prepared, Made), LaunchError> {
    let prepared = init::check(request)?;
    let site = match RunDir::open(&prepared.root) {
        // The run's own copy is what people edit; `--site` replaces it.
        Ok(dir) if given.is_none() => read_site(&dir.top("site.toml"))?,
        _ => site(given, &request.experiment)?,
    };
    make_at(prepared, &site, made_by)
}

/// The same for a site that is known.
///
/// # Errors
/// As [`make`].
pub fn make_for(request: &Request, site: Site, made_by: &str) -> Result<(Prepared, Made), LaunchError> {
    make_at(init::check(request)?, &site, made_by)
}

fn make_at(mut prepared: Prepared, site: &Site, made_by: &str) -> Result<(Prepared, Made), LaunchError> {
    let there = RunDir::open(&prepared.root).ok();
    let (site, notes) = suited(site, &prepared);
    prepared.warnings.extend(notes);
    let mut context = context(&prepared, &site, made_by)?;
    if let Some(dir) = &there {
        context.iterations = dir.iterations()?; // the run may have been extended
        context.run_id.clone_from(&dir.identity.id); // by tools that knew fewer defaults
    }
    let mut files = scripts::render(&context, &site)?;
    files.push(("Makefile".into(), scripts::makefile(&context)?));
    files.push(("site.toml".into(), site.text()));
    let made = init::make(&prepared, &files)?;
    Ok((prepared, made))
}

/// The site as the cluster's limits allow it, where Slurm is on this machine and answers; what was changed.
fn suited(site: &Site, prepared: &Prepared) -> (Site, Vec<String>) {
    let (mut site, mut notes) = (site.clone(), Vec::new());
    let queue = Queue { patience: Patience { call: ANSWER, pauses: Vec::new() }, clients: None };
    let Ok(limits) = queue.limits() else { return (site, notes) };
    let slurm = &mut site.slurm;
    if let Some(size) = limits.max_array_size.filter(|&size| size >= 2 && size < slurm.max_array_size) {
        notes.push(format!("`max_array_size = {size}` in site.toml: the largest this cluster allows"));
        slurm.max_array_size = size;
    }
    let id = &prepared.identity;
    let elements = u64::from(id.members.div_ceil(per_element(id.members, id.pack, &site)));
    let jobs = (elements + 1) * u64::from(id.iterations);
    if site.slurm.chain == Chain::UpFront && !limits.fits(jobs) {
        let many = format!("{jobs} jobs at once are too many for this cluster's queue");
        if site.slurm.submit_from_jobs {
            site.slurm.chain = Chain::Rolling;
            notes.push(format!(
                "{many}: `chain = \"rolling\"` in site.toml, each update submits the next iteration"
            ));
        } else {
            notes.push(format!(
                "{many}: set `members_per_task` in site.toml, so that each runs several members"
            ));
        }
    }
    (site, notes)
}

/// What an experiment is, in one line.
pub fn summary(prepared: &Prepared) -> String {
    let e = &prepared.experiment;
    if e.searching().is_some() {
        return format!(
            "{} with {} at a time, {}, {} of `{}`",
            e.method,
            e.members,
            count(prepared.given.prior().dim(), "parameter"),
            count(e.budget as usize, "evaluation"),
            e.model.title
        );
    }
    let observations: usize = prepared.identity.lengths.iter().sum();
    if let Some(planned) = prepared.given.forward() {
        return format!(
            "{} of `{}`, {}, {}, in {} of {}",
            count(planned.found.record.models as usize, "model"),
            e.model.title,
            count(planned.found.record.columns.len(), "parameter"),
            count(observations, "output"),
            count(planned.chunks() as usize, "chunk"),
            planned.chunk
        );
    }
    format!(
        "{} with {}, {}, {}, at most {} of `{}`",
        e.method,
        count(e.members as usize, "member"),
        count(prepared.given.prior().dim(), "parameter"),
        count(observations, "observation"),
        count(e.iterations as usize, "iteration"),
        e.model.title
    )
}

/// What to type next.
pub fn next_steps(prepared: &Prepared, site: &Site) -> String {
    let root = shown(&prepared.root);
    let submit = if site.slurm.submit_from_jobs { "sbatch" } else { "bash" };
    format!(
        "next:  ekp-launch {root}                        on this machine\n\
         or:    cd {root} && {submit} ekp_calibration.sbatch"
    )
}

/// A path as a person types it: from here if it lies below, quoted where the shell needs it.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let path = path.strip_prefix(&here).unwrap_or(path).to_string_lossy().into_owned();
    let path = if path.is_empty() { ".".into() } else { path };
    shlex::try_quote(&path).map_or_else(|_| path.clone(), std::borrow::Cow::into_owned)
}

/// The command of this process, as typed, for the head of generated files.
pub fn made_by() -> String {
    let mut words: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(program) = words.first_mut() {
        *program = Path::new(program)
            .file_name()
            .map_or_else(|| "ekp-init".into(), |n| n.to_string_lossy().into_owned());
    }
    let words: Vec<String> = words
        .iter()
        .map(|w| {
            shlex::try_quote(&w.replace(['\n', '\r'], " "))
                .map_or_else(|_| w.clone(), std::borrow::Cow::into_owned)
        })
        .collect();
    words.join(" ")
}

/// Run one member at the centre of the prior; the report, and whether it gave an outcome.
///
/// # Errors
/// The disk.
pub fn try_once(prepared: &Prepared, site: &Site) -> Result<(String, bool), LaunchError> {
    let folder = std::env::temp_dir().join(format!("ekp-try-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder); // of an earlier process with our number
    let threads = site.local.threads.max(1) as usize;
    let trial = trial::at_centre(prepared, &folder, threads)?;
    let prior = prepared.given.prior();
    let mut text = String::from("one member at the centre of the prior:\n");
    for (name, value) in prior.row_names().iter().zip(prior.physical(&prior.centre())) {
        text.push_str(&format!("  {name} = {value}\n"));
    }
    let good = trial.result.is_ok();
    match &trial.result {
        Ok(output) => {
            let names = trial.want.blocks.iter().zip(&output.blocks);
            for ((name, expected), values) in names {
                let odd = values.iter().filter(|x| !x.is_finite()).count();
                text.push_str(&format!(
                    "output `{name}`: {}, as many as wanted ({expected}), {odd} not finite\n",
                    count(values.len(), "number")
                ));
            }
            let u = trial.usage;
            let ranks = ranks(prepared.experiment.model.external.as_deref()).map_or(1, |r| r as usize);
            let e = &prepared.experiment;
            let runs = match prepared.given.forward() {
                Some(planned) => f64::from(planned.found.record.models),
                None if e.budget > 0 => f64::from(e.budget),
                None => f64::from(e.members) * f64::from(e.iterations),
            };
            let workers = crate::launch::workers::count(site.local.workers, threads) as f64;
            text.push_str(&format!(
                "wall {:.3} s, cpu {:.3} s, memory {:.1} MB, disk {:.3} MB\n\
                 whole run, at most: {runs} members, {}, {} here with {workers} workers, {:.3} MB while it runs",
                u.wall_s,
                u.cpu_s,
                u.peak_rss_mb,
                trial.disk as f64 * 1e-6,
                core_time(runs * u.wall_s * (threads * ranks) as f64),
                duration(runs * u.wall_s / workers),
                trial.disk as f64 * 1e-6 * workers
            ));
            // Best effort: a leftover in the temporary folder hurts nobody.
            let _ = std::fs::remove_dir_all(&folder);
        }
        Err(error) => {
            text.push_str(&format!("it failed: {error}\n"));
            if !error.stderr_tail.is_empty() {
                text.push_str(&format!("its last lines:\n{}\n", error.stderr_tail.trim_end()));
            }
            text.push_str(&format!("its folder is kept: `{}`", trial.folder.display()));
        }
    }
    Ok((text, good))
}

/// Seconds, minutes or hours, for people.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// Write the scripts of a run folder anew, from its own copies (after an extension, or an edit of its
/// `site.toml`); true when one of them changed.
///
/// # Errors
/// Its files cannot be read.
pub fn rewrite(run: &Run, given: Option<&Path>) -> Result<bool, LaunchError> {
    let site = match given {
        Some(path) => read_site(path)?,
        None => site_of(run)?,
    };
    let id = &run.dir.identity;
    let per_element = per_element(id.members, id.pack, &site);
    let iterations = run.dir.iterations().map_err(LaunchError::from)?;
    let (elements, sizes) = elements(&run.dir, per_element, iterations);
    let context = ScriptContext {
        name: id.name.clone(),
        run_id: id.id.clone(),
        members: id.members,
        elements,
        sizes,
        workers: run.dir.leaderless(),
        per_element,
        first_iteration: id.first_iteration,
        iterations,
        pad: id.iteration_digits,
        tools: tools()?,
        made_by: made_by(),
        member_ranks: ranks(run.experiment.model.external.as_deref()),
    };
    let mut files = scripts::render(&context, &site)?;
    files.push(("Makefile".into(), scripts::makefile(&context)?));
    files.push(("site.toml".into(), site.text()));
    let mut renewed = false;
    for (name, text) in files {
        renewed |= init::renew(&run.dir.top(&name), &text)?;
    }
    Ok(renewed)
}

fn ranks(external: Option<&External>) -> Option<u32> {
    external.map(External::ranks).filter(|&r| r > 1).and_then(|r| u32::try_from(r).ok())
}

/// Write starter files for a method into a folder; returns what was written.
///
/// # Errors
/// An unknown method, a folder that holds such files already.
pub fn starter(method: &str, folder: &Path) -> Result<Vec<PathBuf>, LaunchError> {
    let method = crate::experiment::present(method);
    let (grid, swept) = (method == crate::experiment::grid::METHOD, method == SWEEP);
    if !grid && !swept && !crate::experiment::METHODS.contains(&method) {
        let known = [crate::experiment::METHODS, &[crate::experiment::grid::METHOD, SWEEP]].concat();
        let allowed = one_of(&known);
        let hint = match nearest(method, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "for example `ekp-init --new etki DIR`".into(),
        };
        return Err(refused(format!("there is no method `{method}`; allowed: {allowed}"), &hint));
    }
    if let Some(file) = folder.ancestors().find(|path| path.is_file()) {
        return Err(refused(format!("`{}` is a file, not a folder", file.display()), "name another folder"));
    }
    let filled = |text: &str| {
        // A sweep varies a search.
        let text = text.replace("{{method}}", if swept { "dds" } else { method });
        // Methods that place their members say how many there are.
        if crate::experiment::places_members(method) { text.replace(MEMBERS, "") } else { text }
    };
    let batch = method == "forward";
    let own = |name: &str| !batch || name != "observation.toml";
    let starter = match method {
        _ if grid => crate::launch::grid::setup::STARTER.as_slice(),
        "dds" | "dds-async" | SWEEP => SEARCH.as_slice(),
        _ => STARTER.as_slice(),
    };
    let mut files: Vec<(PathBuf, String)> = starter
        .iter()
        .filter(|(name, _)| own(name))
        .map(|(name, text)| match *name {
            "experiment.toml" if batch => (folder.join(name), BATCH.to_owned()),
            _ => (folder.join(name), filled(text)),
        })
        .collect();
    if swept {
        files.insert(0, (folder.join("sweep.toml"), CASES.to_owned()));
    }
    if matches!(method, "utki" | "uki") {
        files[0].1 = files[0].1.replace(ITERATIONS, IMPOSED);
    }
    if method == "sparse-eki" {
        let limit = "\n[algorithm.sparse]\nlimit = 10.0               # most that the magnitudes of the parameters may sum to\n";
        files[0].1.push_str(limit);
    }
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(refused(format!("`{}` is there already", path.display()), "name another folder"));
    }
    std::fs::create_dir_all(folder).map_err(FileError::io("make", folder)).map_err(|e| {
        match e.is_place() {
            true => {
                refused(e.to_string(), "name a folder, or where one can be made: `ekp-init --new etki DIR`")
            }
            false => e.into(),
        }
    })?;
    for (path, text) in &files {
        publish(path, text.as_bytes())?;
        if text.starts_with("#!") {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, mode).map_err(FileError::io("change", path))?;
        }
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

fn refused(what: String, hint: &str) -> LaunchError {
    crate::steps::StepError::Refused { what, hint: hint.into() }.into()
}

/// What `--new` calls the starter of a sweep.
pub const SWEEP: &str = "sweep";
const CASES: &str = include_str!("../../templates/sweep/sweep.toml");

/// As it stands in the template.
const MEMBERS: &str = "members    = 20            # model runs per iteration\n";

/// As it stands in the template, and for unscented methods: their spread is that of the posterior with the prior imposed.
const ITERATIONS: &str = "iterations = 10            # at most; it stops when the data are used up\n";
const IMPOSED: &str = "iterations = 10            # all of them: the last spread is the posterior's\n\
    impose_prior = true        # the prior counts in each step; without it the spread is not the posterior's\n";

/// The experiment of a batch.
const BATCH: &str = include_str!("../../templates/forward/experiment.toml");

const SEARCH: [(&str, &str); 4] = [
    ("experiment.toml", include_str!("../../templates/dds/experiment.toml")),
    ("priors.toml", include_str!("../../templates/dds/priors.toml")),
    ("site.toml", include_str!("../../templates/site.toml")),
    ("model.sh", include_str!("../../templates/dds/model.sh")),
];

const STARTER: [(&str, &str); 9] = [
    ("experiment.toml", include_str!("../../templates/experiment.toml")),
    ("priors.toml", include_str!("../../templates/priors.toml")),
    ("observation.toml", include_str!("../../templates/observation.toml")),
    ("site.toml", include_str!("../../templates/site.toml")),
    ("model.py", include_str!("../../templates/model.py")),
    ("model.jl", include_str!("../../templates/model.jl")),
    ("model.sh", include_str!("../../templates/model.sh")),
    ("model.f90", include_str!("../../templates/model.f90")),
    ("namelist.tmpl", include_str!("../../templates/namelist.tmpl")),
];
