//! Adopted iterations as files of a run: what every tool of the house reads.

use std::path::Path;

use super::{Adopted, AdoptedRecord, Got, Past};
use crate::files::{ARRAY, Failed, TomlText, data_beside, data_text, digest, publish};
use crate::problem::{Problem, Stop};
use crate::steps::ensemble::{durable, write_iteration};
use crate::steps::outcomes::Left;
use crate::steps::parameters::Writer;
use crate::steps::{Run, StepError, Update, update};

/// Write `adopted` into the run folder at `hidden`, which has its `run.toml` already and no name yet.
///
/// # Errors
/// The disk.
pub(in crate::steps) fn write(adopted: &Adopted, problem: &Problem, hidden: &Path) -> Result<(), StepError> {
    let run = Run::look(hidden)?;
    let first = run.dir.identity.first_iteration;
    durable(&run.dir.adopted(), record(adopted, first).as_bytes())?;
    let mut decided = None;
    for (iteration, past) in (first..).zip(&adopted.iterations) {
        write_iteration(
            &run.dir,
            &problem.prior,
            Some(&problem.observation),
            iteration,
            &past.ensemble,
            &past.state,
        )?;
        let place = format!("{}/{}", adopted.origin, past.name);
        let marks = members(&run, problem, iteration, past, &place)?;
        let Some(closed) = &past.closed else { break };
        let mut report = closed.report.clone();
        for (j, why) in &mut report.set_aside {
            if let Got::Failed(cause, message) = &past.got[*j] {
                *why = format!("{cause}: {message}");
            }
        }
        let stop = match closed.stop {
            Some(Stop::Time) => "time",
            None => "",
        };
        let mut update = Update::new(iteration, &report, stop, marks);
        update.adopted = place;
        durable(&run.dir.update(iteration), update.text().as_bytes())?;
        decided = Some(update);
    }
    if let Some(update) = decided {
        // The other tool may have come to the end of the experiment.
        update::finish(&run, update.iteration, &update)?;
    }
    Ok(())
}

/// Parameters and outcomes of an iteration; what `update.toml` says of each member.
fn members(
    run: &Run,
    problem: &Problem,
    iteration: u32,
    past: &Past,
    place: &str,
) -> Result<Vec<String>, StepError> {
    let writer = Writer::new(&run.dir, &problem.prior);
    let shape = problem.observation.shape();
    let mut marks = Vec::with_capacity(past.got.len());
    for ((member, theta), got) in (1u32..).zip(&past.theta).zip(&past.got) {
        let folder = run.dir.member(iteration, member);
        // To the last digit as the other tool's model saw them: the unconstrained ensemble may round.
        let text = writer.text_of(theta, iteration, member)?;
        let parameters = digest(text.as_bytes());
        publish(&folder.join("parameters.toml"), text.as_bytes())?;
        let left = match got {
            Got::Data(values) => {
                let mut rest = values.as_slice();
                let mut blocks: Vec<(&str, &[f64])> = Vec::with_capacity(shape.len());
                for (name, length) in &shape {
                    let (block, after) = rest.split_at(*length);
                    rest = after;
                    blocks.push((name, block));
                }
                let comments = format!(
                    "ekp data: member {member} of iteration {iteration}.\nAdopted from `{place}/{}`.",
                    past.source
                );
                let text = if run.experiment.outputs.beside(values.len()) {
                    let (text, array) = data_beside(&comments, &parameters, &blocks);
                    publish(&folder.join(ARRAY), &array)?;
                    text
                } else {
                    data_text(&comments, &parameters, &blocks)
                };
                publish(&folder.join("data.toml"), text.as_bytes())?;
                digest(text.as_bytes())
            }
            Got::Failed(cause, message) => {
                let failed = Failed {
                    cause: (*cause).into(),
                    exit_code: None,
                    signal: None,
                    message: message.clone(),
                    stderr_tail: String::new(),
                    rerun: format!("ekp-run-member . -i {iteration} -m {member} --again"),
                    attempt: 0,
                };
                let comments = format!("ekp failed: member {member} of iteration {iteration} has no data.");
                publish(&folder.join("failed.toml"), failed.text(&comments).as_bytes())?;
                Left::Failed { cause: failed.cause, message: failed.message }.mark()
            }
            Got::Nothing => Left::Missing(String::new()).mark(),
        };
        marks.push(left);
    }
    Ok(marks)
}

fn record(adopted: &Adopted, first: u32) -> String {
    let closed = adopted.iterations.iter().filter(|past| past.closed.is_some()).count();
    let names: Vec<&str> = adopted.iterations.iter().map(|past| past.name.as_str()).collect();
    let sources: Vec<&str> = adopted.iterations.iter().map(|past| past.source.as_str()).collect();
    TomlText::record::<AdoptedRecord>(
        "ekp adopted: the first iterations of this run were made by another tool. Written once by `ekp-init --adopt`.\n\
         Parameters and outputs are those of that folder; steps and pseudo-time are replayed from them.",
    )
    .text("folder", &adopted.origin)
    .number("first_iteration", first)
    .number("closed", i64::try_from(closed).unwrap_or(i64::MAX))
    .texts("iterations", &names)
    .texts("outputs", &sources)
    .text("digest", &adopted.digest)
    .finish()
}
