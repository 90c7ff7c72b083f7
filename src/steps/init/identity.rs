//! Who a run is: `run.toml`, from an experiment and all that it names.
//!
//! Belongs here: the digests that tell one run from another. Not here: reading what is digested (`init`, `inputs`).

use std::path::Path;

use crate::experiment::{Experiment, Form, Task};
use crate::files::human::canonical;
use crate::files::{Identity, TomlText, digest, run_id};
use crate::steps::init::{Given, Prepared, relative};
use crate::steps::inputs;

/// Who the run will be.
pub(super) fn identity(
    experiment: &Experiment,
    given: &Given,
    texts: &[(&'static str, String)],
    base: &Path,
    root: &Path,
    beginning: &str,
) -> Identity {
    // Comments and order are not the science: digests are taken of the values.
    let of = |name: &str| {
        let text = texts.iter().find(|(known, _)| *known == name);
        text.map_or_else(String::new, |(_, text)| digest(canonical(text).as_bytes()))
    };
    let (experiment_digest, priors) = (of("experiment.toml"), of("priors.toml"));
    let observation = of("observation.toml");
    let (blocks, lengths) = given.layout().into_iter().unzip();
    let pack = match &experiment.task {
        Task::Search(searching) if let Form::Workers { claim_size } = searching.form => claim_size,
        _ => experiment.model.pack.min(experiment.members),
    };
    let (parameters, components) = given.prior().names().iter().cloned().unzip();
    let series = given.problem().and_then(|problem| problem.observation.series());
    let (inputs, input_digests) = inputs::of(&experiment.model, base).into_iter().unzip();
    let digits = |n: u32| n.to_string().len().max(3);
    Identity {
        name: experiment.name.clone(),
        id: run_id(&experiment_digest, &priors, &format!("{observation}{beginning}")),
        tools: env!("CARGO_PKG_VERSION").into(),
        seed: experiment.seed,
        method: experiment.method.clone(),
        members: experiment.members,
        sizes: experiment.sizes.clone(),
        budget: experiment.budget,
        iterations: experiment.iterations,
        first_iteration: experiment.first_iteration,
        iteration_digits: digits(experiment.iterations + 1),
        member_digits: digits(experiment.members),
        pack,
        models: given.forward().map_or(0, |planned| planned.found.record.models),
        chunk: given.forward().map_or(0, |planned| planned.chunk),
        parameters,
        components,
        blocks,
        lengths,
        observations: series.map_or_else(Vec::new, |series| series.names.clone()),
        inputs,
        input_digests,
        base: base.to_owned(),
        base_relative: relative(root, base),
        experiment: experiment_digest,
        priors,
        observation,
    }
}

/// The text of `run.toml`, with what is told in its head.
pub(super) fn run_record(prepared: &Prepared) -> String {
    let id = &prepared.identity;
    let mut comments = "ekp run: who this run is. Written once by `ekp-init`, never changed.\n\
                        `base` is the folder of the experiment file, where the model's files are."
        .to_owned();
    if let Some(origin) = &prepared.origin {
        comments.push_str(&format!("\nIts first ensemble (`start.bin`) is that of {origin}."));
    }
    if let Some(adopted) = &prepared.adopted {
        comments
            .push_str(&format!("\nIts first iterations (`adopted.toml`) were made in `{}`.", adopted.origin));
    }
    record_of(id, &comments)
}

/// The text of `run.toml`.
pub(in crate::steps) fn record_of(id: &Identity, comments: &str) -> String {
    let lengths = |n: &[usize]| n.iter().map(|&n| u32::try_from(n).unwrap_or(u32::MAX)).collect::<Vec<u32>>();
    let mut text = TomlText::record::<Identity>(comments);
    text.text("name", &id.name)
        .text("id", &id.id)
        .text("tools", &id.tools)
        .number("seed", id.seed)
        .text("method", &id.method)
        .number("members", id.members);
    if !id.sizes.is_empty() {
        text.numbers("sizes", &id.sizes);
    }
    if id.budget > 0 {
        text.number("budget", id.budget);
    }
    text.number("iterations", id.iterations)
        .number("first_iteration", id.first_iteration)
        .number("iteration_digits", i64::try_from(id.iteration_digits).unwrap_or(3))
        .number("member_digits", i64::try_from(id.member_digits).unwrap_or(3))
        .number("pack", id.pack);
    if id.models > 0 {
        text.number("models", id.models).number("chunk", id.chunk);
    }
    text.texts("parameters", &id.parameters)
        .numbers("components", &lengths(&id.components))
        .texts("blocks", &id.blocks)
        .numbers("lengths", &lengths(&id.lengths));
    if !id.observations.is_empty() {
        text.texts("observations", &id.observations);
    }
    if !id.inputs.is_empty() {
        text.texts("inputs", &id.inputs).texts("input_digests", &id.input_digests);
    }
    text.text("base", &id.base.to_string_lossy())
        .text("base_relative", &id.base_relative.to_string_lossy())
        .text("experiment", &id.experiment)
        .text("priors", &id.priors);
    if !id.observation.is_empty() {
        text.text("observation", &id.observation);
    }
    text.finish()
}
