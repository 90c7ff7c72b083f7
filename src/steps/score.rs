//! Scores as outcomes hold them: `score`, a number for each objective, and what each consists of.

use crate::experiment::Scored;
use crate::experiment::dds::parts;
use crate::models::{Cause, ModelError, Output};

/// What a model gave, in the layout of its outcome.
///
/// # Errors
/// Other scores than asked for.
pub(super) fn blocks(score: &Scored, mut output: Output) -> Result<Output, ModelError> {
    let measures = &score.scoring.measures;
    if measures.is_empty() && output.scores.is_empty() {
        // A program wrote them as they are.
        return Ok(output);
    }
    let odd = |message: String| ModelError { usage: output.usage, ..ModelError::new(Cause::Output, message) };
    if output.scores.len() != score.names.len() {
        return Err(odd(format!(
            "the model gave {} scores, {} are asked for",
            output.scores.len(),
            score.names.len()
        )));
    }
    let mut blocks = vec![output.scores.iter().map(|score| score.value).collect::<Vec<f64>>()];
    for (measure, found) in measures.iter().zip(&output.scores) {
        for part in parts(*measure) {
            let value = match *part {
                "pairs" => found.pairs as f64,
                part => found.parts.iter().find(|(name, _)| name == part).map_or(f64::NAN, |(_, x)| *x),
            };
            blocks.push(vec![value]);
        }
    }
    output.blocks = blocks;
    Ok(output)
}
