//! What `ekp-init` adds to a grid: the site, the scripts, the Makefile.

use std::path::Path;

use crate::experiment::grid::{Grid, Stage};
use crate::files::{Identity, RunDir};
use crate::launch::grid::{per_element, scripts, shown};
use crate::launch::queue::{Patience, Queue};
use crate::launch::scripts::{ScriptContext, arrays};
use crate::launch::setup::{ANSWER, made_by, read_site, site, site_of_dir};
use crate::launch::site::{Chain, Site};
use crate::launch::test_only::{Shown, Told, ask_all};
use crate::launch::{LaunchError, tools};
use crate::steps::grid::GridRun;
use crate::steps::grid::init::{self, Prepared};
use crate::steps::init::{Made, Request, renew};

fn context(id: &Identity, made_by: &str) -> Result<ScriptContext, LaunchError> {
    Ok(ScriptContext {
        name: id.name.clone(),
        run_id: id.id.clone(),
        members: id.members,
        elements: 1,
        sizes: Vec::new(),
        workers: false,
        per_element: 1,
        first_iteration: 1,
        iterations: id.iterations.max(1),
        pad: 3,
        tools: tools()?,
        made_by: made_by.to_owned(),
        member_ranks: None,
    })
}

fn machine(
    grid: &Grid,
    id: &Identity,
    site: &Site,
    made_by: &str,
) -> Result<Vec<(String, String)>, LaunchError> {
    let mut files = scripts::render(grid, &context(id, made_by)?, site)?;
    files.push(("site.toml".into(), site.text()));
    Ok(files)
}

/// Check and make a run folder with everything in it; how many finished cells came from the run `from`.
///
/// # Errors
/// As [`init::check`] and [`init::make`].
pub fn make(
    request: &Request,
    from: Option<&Path>,
    given: Option<&Path>,
    made_by: &str,
) -> Result<(Prepared, Made, usize), LaunchError> {
    let mut prepared = init::check(request, from)?;
    let there = RunDir::open(&prepared.root).ok();
    let site = match &there {
        // The run's own copy is what people edit; `--site` replaces it.
        Some(dir) if given.is_none() => read_site(&dir.top("site.toml"))?,
        _ => site(given, &request.experiment)?,
    };
    prepared.warnings.extend(strange(&prepared.grid, &site));
    let (site, notes) = if there.is_none() { suited(&prepared.grid, &site) } else { (site, Vec::new()) };
    prepared.warnings.extend(notes);
    let files = machine(&prepared.grid, &prepared.identity, &site, made_by)?;
    let (made, brought) = init::make(&prepared, &files)?;
    Ok((prepared, made, brought))
}

/// Show the stages' arrays and the merge to Slurm, where it is; a line for people each.
///
/// # Errors
/// Slurm refuses a job: the site is at fault.
pub fn test_only(prepared: &Prepared, site: &Site) -> Result<Told, LaunchError> {
    let files = machine(&prepared.grid, &prepared.identity, site, "ekp-init --check")?;
    let stages = prepared.grid.stages.iter().map(|stage| (scripts::script_of(&stage.name), Some(stage)));
    let wanted = stages.chain([("ekp_merge.sbatch".to_owned(), None)]);
    let shown = wanted.filter_map(|(name, stage)| {
        let text = files.iter().find(|(file, _)| *file == name)?.1.clone();
        let array = stage.and_then(|stage| {
            let elements = stage.blocks.first()?.cells.div_ceil(per_element(site, &stage.name) as usize);
            let parts = arrays(1..=u32::try_from(elements).unwrap_or(u32::MAX), &site.slurm);
            parts.into_iter().next().map(|part| part.indices)
        });
        Some(Shown { name, text, array })
    });
    ask_all(&shown.collect::<Vec<_>>())
}

/// What the site says that is nothing to a grid: stages that only the site knows, a rolling chain.
pub fn strange(grid: &Grid, site: &Site) -> Vec<String> {
    let known = |name: &str| grid.stages.iter().any(|stage| stage.name == name);
    let names = site.slurm.stage.keys().filter(|name| !known(name));
    let mut all: Vec<String> = names
        .map(|name| format!("site.toml: `[slurm.stage.{name}]`, but the grid has no such stage"))
        .collect();
    if site.slurm.chain == Chain::Rolling {
        all.push(
            "site.toml: `chain = \"rolling\"`, but a grid is submitted as a whole; where so many jobs are not allowed, \
             set `members_per_task`"
                .into(),
        );
    }
    all
}

/// The site as the cluster's limits allow it, where Slurm is on this machine and answers; what was changed, and
/// what a person should change.
fn suited(grid: &Grid, site: &Site) -> (Site, Vec<String>) {
    let (mut site, mut notes) = (site.clone(), Vec::new());
    let queue = Queue { patience: Patience { call: ANSWER, pauses: Vec::new() }, clients: None };
    let Ok(limits) = queue.limits() else { return (site, notes) };
    if let Some(size) = limits.max_array_size.filter(|&size| size >= 2 && size < site.slurm.max_array_size) {
        notes.push(format!("`max_array_size = {size}` in site.toml: the largest this cluster allows"));
        site.slurm.max_array_size = size;
    }
    let elements = |stage: &Stage| -> usize {
        let per = per_element(&site, &stage.name) as usize;
        stage.blocks.iter().map(|block| block.cells.div_ceil(per)).sum()
    };
    let jobs: usize = grid.stages.iter().map(elements).sum();
    if !limits.fits(jobs as u64) {
        notes.push(format!(
            "{jobs} jobs at once are too many for this cluster's queue: set `members_per_task` of a stage in \
             site.toml, so that each runs several cells"
        ));
    }
    (site, notes)
}

/// Write the scripts of a run folder anew, from its own copies.
///
/// # Errors
/// A fault in the site file, the disk.
pub fn rewrite(run: &GridRun, given: Option<&Path>) -> Result<bool, LaunchError> {
    let site = match given {
        Some(path) => read_site(path)?,
        None => site_of_dir(&run.dir)?,
    };
    let mut renewed = false;
    for (name, text) in machine(&run.grid, &run.dir.identity, &site, &made_by())? {
        renewed |= renew(&run.dir.top(&name), &text)?;
    }
    Ok(renewed)
}

/// What a grid is, in one line.
pub fn summary(grid: &Grid) -> String {
    let stages: Vec<String> =
        grid.stages.iter().map(|stage| format!("{} of `{}`", stage.cells.len(), stage.name)).collect();
    format!("a grid of {} cells: {}", grid.total(), stages.join(", "))
}

/// What to type next.
pub fn next_steps(root: &Path, site: &Site) -> String {
    let root = shown(root);
    let submit = if site.slurm.submit_from_jobs { "sbatch" } else { "bash" };
    format!(
        "look:  ekp-launch {root} --dry-run              what would run\n\
         next:  ekp-launch {root}                        on this machine\n\
         or:    cd {root} && {submit} ekp_calibration.sbatch"
    )
}

/// Starter files of a grid.
pub const STARTER: [(&str, &str); 4] = [
    ("experiment.toml", include_str!("../../../templates/grid/experiment.toml")),
    ("build.sh", include_str!("../../../templates/grid/build.sh")),
    ("sample.sh", include_str!("../../../templates/grid/sample.sh")),
    ("site.toml", include_str!("../../../templates/grid/site.toml")),
];
