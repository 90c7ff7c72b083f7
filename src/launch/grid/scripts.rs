//! The job scripts and the Makefile of a grid, made from the templates of `sbatch/`.

use minijinja::{Value, context};

use crate::experiment::grid::{After, Grid};
use crate::launch::grid::per_element;
use crate::launch::scripts::{ScriptContext, ScriptError, common, environment, fill, values};
use crate::launch::site::{Job, Site};

/// File name of a stage's script.
pub(in crate::launch) fn script_of(stage: &str) -> String {
    format!("ekp_stage_{stage}.sbatch")
}

/// The scripts: file name and text, in the order they run.
///
/// # Errors
/// A folder of tools that cannot stand in `PATH`.
pub fn render(
    grid: &Grid,
    context: &ScriptContext,
    site: &Site,
) -> Result<Vec<(String, String)>, ScriptError> {
    let environment = environment()?;
    let slurm = &site.slurm;
    let mut files = Vec::new();
    let shape: Vec<String> = grid
        .stages
        .iter()
        .map(|stage| {
            let blocks = stage.blocks.iter().map(|block| block.name.as_str()).filter(|name| !name.is_empty());
            let blocks: Vec<&str> = blocks.take(6).collect();
            let more = if stage.blocks.len() > blocks.len() && !blocks.is_empty() { ", ..." } else { "" };
            let blocks =
                if blocks.is_empty() { String::new() } else { format!(" ({}{more})", blocks.join(", ")) };
            format!("{} cells of {}{blocks}", stage.cells.len(), stage.name)
        })
        .collect();
    let base = values(context, slurm, Job::Init, "chain")?;
    let chain = context! { shape => shape.join(" -> "), cells => grid.total(), ..base };
    files.push(("ekp_calibration.sbatch".to_owned(), fill(&environment, "ekp_grid.sbatch", chain)?));
    for (number, stage) in (1..).zip(&grid.stages) {
        let ranks = stage.program().map(|p| p.ranks()).filter(|&r| r > 1).and_then(|r| u32::try_from(r).ok());
        // A model of the toolkit keeps its state when its time ends; what a program does with USR1 is its own affair.
        let keeps_state = stage.builtin().is_some();
        let own = ScriptContext { member_ranks: ranks, workers: keeps_state, ..context.clone() };
        let per = per_element(site, &stage.name);
        let blocks: Vec<Value> = (1..)
            .zip(&stage.blocks)
            .map(|(b, block)| {
                let elements = block.cells.div_ceil(per as usize);
                context! { number => b, name => block.name.as_str(), elements }
            })
            .collect();
        let base = values(&own, slurm, Job::Stage(&stage.name), "members")?;
        let values = context! { stage => stage.name.as_str(), number, per_element => per, blocks, script => script_of(&stage.name), keeps_state, ..base };
        files.push((script_of(&stage.name), fill(&environment, "ekp_stage.sbatch", values)?));
    }
    let base = values(context, slurm, Job::Update, "update")?;
    let last = context! { stages => grid.stages.len(), ..base };
    files.push(("ekp_merge.sbatch".into(), fill(&environment, "ekp_merge.sbatch", last)?));
    let base = values(context, slurm, Job::Collect, "collect")?;
    files
        .push(("ekp_collect_timings.sbatch".into(), fill(&environment, "ekp_collect_timings.sbatch", base)?));
    files.push(("Makefile".into(), makefile(grid, context, site)?));
    Ok(files)
}

/// The same steps on one machine.
fn makefile(grid: &Grid, context: &ScriptContext, site: &Site) -> Result<String, ScriptError> {
    let name = |stage: usize, block: usize| match grid.stages[stage].blocks.len() {
        1 => grid.stages[stage].name.clone(),
        _ => format!("{}.{}", grid.stages[stage].name, block + 1),
    };
    let mut blocks = Vec::new();
    for (k, stage) in grid.stages.iter().enumerate() {
        let per = per_element(site, &stage.name);
        for (b, block) in stage.blocks.iter().enumerate() {
            let before = match block.after {
                After::Nothing => String::new(),
                After::Each(theirs) if per == per_element(site, &grid.stages[stage.after[0]].name) => {
                    format!("{}.%", name(stage.after[0], theirs))
                }
                _ => {
                    let all = stage
                        .after
                        .iter()
                        .flat_map(|&s| (0..grid.stages[s].blocks.len()).map(move |b| (s, b)));
                    all.map(|(s, b)| name(s, b)).collect::<Vec<_>>().join(" ")
                }
            };
            blocks.push(context! {
                name => name(k, b),
                labels => block.name.as_str(),
                stage => k + 1,
                number => b + 1,
                elements => block.cells.div_ceil(per as usize),
                per_element => per,
                before,
            });
        }
    }
    let values = context! { blocks, stages => grid.stages.len(), cells => grid.total(), ..common(context)? };
    fill(&environment()?, "Makefile.grid", values)
}
