//! What a batch is, before there is a run: its models, what each gives, how many share a file.

use std::path::Path;

use crate::experiment::{Experiment, ExperimentError, Forwards};
use crate::explain::{Explain, Marked, plain};
use crate::files::human::Document;
use crate::files::{Identity, RunDir};
use crate::models::{CheckError, Place, Want};
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::Prior;
use crate::problem::inputs::{self, Source};
use crate::steps::StepError;
use crate::steps::forward::source::{Found, find};
use crate::steps::forward::{columns, pilot};

/// Models that a pilot may run.
const PILOT: u32 = 1024;

/// A batch that can be run.
pub struct Planned {
    /// The prior, or one made of the range of the inputs
    pub prior: Prior,
    /// What `[inputs]` comes to
    pub found: Found,
    /// What each model gives
    pub want: Want,
    /// Text of `priors.toml`
    pub prior_text: String,
    /// Models of a chunk
    pub chunk: u32,
}

impl Planned {
    /// Read what the experiment names, seen from `folder`.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(
        experiment: &Experiment,
        forwards: &Forwards,
        folder: &Path,
    ) -> Result<Self, ExperimentError> {
        let given = match &experiment.prior_file {
            Some(_) => Some(experiment.prior(folder)?),
            None => None,
        };
        let found = find(&forwards.inputs.source, given.as_ref(), folder)?;
        let named = inputs::parameters(&found.record.columns).map_err(|(column, why)| {
            let label = format!("the column `{column}`: {why}");
            forwards.inputs.place.marked("the parameters cannot be told from the names of the columns", label)
        });
        let (prior, prior_text) = match given {
            Some(prior) => {
                if !matches!(forwards.inputs.source, Source::Prior(_)) {
                    fit(forwards, &named?, &prior)?;
                }
                (prior, experiment.prior_text(folder)?)
            }
            None => {
                let text = found.centre(&named?);
                let document = Document::parse(Path::new("priors.toml"), &text)?;
                (Prior::read_with(&document, None, Path::new(""))?, text)
            }
        };
        let want = wanted(experiment, forwards, prior.names())?;
        allowed(experiment, forwards, &found)?;
        Ok(Self { prior, found, want, prior_text, chunk: 0 })
    }

    /// Settle how many models share a file: as asked for, as the run in `root` has it, else by a pilot.
    pub fn settle(&mut self, experiment: &Experiment, forwards: &Forwards, root: &Path) {
        let models = self.found.record.models;
        let there = RunDir::open(root).ok().map(|dir| dir.identity).filter(|id| id.models == models);
        self.chunk = match (forwards.inputs.chunk, there) {
            (Some(chunk), _) => chunk.min(models),
            (None, Some(Identity { chunk, .. })) => chunk,
            (None, None) => {
                let numbers = self.want.total() + self.found.record.columns.len();
                pilot::choose(models, numbers, self.seconds(experiment))
            }
        };
    }

    /// Files of the batch.
    pub fn chunks(&self) -> u32 {
        self.found.record.models.div_ceil(self.chunk.max(1))
    }

    /// Seconds of a model in a batch. Programs are not started behind a user's back.
    fn seconds(&self, experiment: &Experiment) -> Option<f64> {
        if experiment.model.external.is_some() {
            return None;
        }
        let draw = Streams::new(experiment.seed);
        let place = |model| Place {
            run: "/".into(),
            iteration: experiment.first_iteration,
            member: model,
            attempt: 1,
            seed: draw.model_seed(0, model),
            stream: draw.address(Purpose::Model, 0, model),
            parameters: "/".into(),
            folder: "/".into(),
            threads: 1,
            worker: 1,
            stop: None,
            batch: String::new(),
        };
        let models = PILOT.min(self.found.record.models);
        let mut values = Vec::new();
        for model in 1..=models {
            values.extend(match self.found.record.grid() {
                Some(grid) => {
                    let mut one = Vec::new();
                    // Spread over the whole grid, in the order of the prior
                    grid.push(u64::from(model - 1) * u64::from(self.found.record.models / models), &mut one);
                    let order = order(&self.found.record.columns, &columns(self.prior.names()));
                    order.into_iter().map(|k| one[k]).collect()
                }
                None => self.prior.constrain(&self.prior.sample(&mut draw.at(Purpose::Prior, 0, model))),
            });
        }
        let values = Mat::from_columns(self.prior.values(), models as usize, values);
        pilot::measure(experiment.model.forward.as_ref(), self.prior.names(), &self.want, &values, place)
    }

    /// Why a batch starts from no ensemble.
    pub fn no_ensemble() -> StepError {
        StepError::Refused {
            what: "a batch of forward models has no ensemble".into(),
            hint: "`--from` and `--adopt` are for runs of the Kalman methods".into(),
        }
    }
}

/// Where each of `wanted` stands in `columns`.
pub(super) fn order(columns: &[String], wanted: &[String]) -> Vec<usize> {
    let at = |name: &String| columns.iter().position(|column| column == name).unwrap_or_default();
    wanted.iter().map(at).collect()
}

/// The names of a table or a grid are those of the prior.
fn fit(forwards: &Forwards, named: &[(String, usize)], prior: &Prior) -> Result<(), Marked> {
    let wrong = |label: String| {
        Err(forwards.inputs.place.marked("the inputs do not fit the prior", label).hint(
            "`names` in `[prior]` chooses a part of its tables; without `[prior]` the inputs alone count",
        ))
    };
    for (name, n) in prior.names() {
        match named.iter().find(|(known, _)| known == name) {
            Some((_, found)) if found == n => {}
            Some((_, found)) => return wrong(format!("`{name}` has {found} numbers here, {n} in the prior")),
            None => return wrong(format!("they have no `{name}`, which the prior has")),
        }
    }
    match named.iter().find(|(name, _)| !prior.names().iter().any(|(known, _)| known == name)) {
        Some((name, _)) => wrong(format!("they have `{name}`, which the prior has not")),
        None => Ok(()),
    }
}

/// The model can take the least and the greatest value of each column.
fn allowed(experiment: &Experiment, forwards: &Forwards, found: &Found) -> Result<(), Marked> {
    for (column, (least, most)) in found.record.columns.iter().zip(found.range()) {
        for value in [*least, *most] {
            if let Err(words) = experiment.model.forward.allows(column, value) {
                let title = format!("`{}` cannot take these values", experiment.model.title);
                let label = format!("{column} = {} is {words}", plain(value));
                return Err(forwards.inputs.place_of(column).marked(title, label));
            }
        }
    }
    Ok(())
}

/// What each model gives: as the model tells, or as `[outputs]` says.
fn wanted(experiment: &Experiment, forwards: &Forwards, names: &[(String, usize)]) -> Result<Want, Marked> {
    let place = &forwards.inputs.place;
    let place_of = |e: &CheckError| match e {
        CheckError::Parameter { name: Some(name), .. } => forwards.inputs.place_of(name),
        _ => place,
    };
    if let Some(blocks) = &forwards.outputs.blocks {
        return Ok(Want::series(blocks.clone()));
    }
    let told = experiment.model.forward.shape(names).map_err(|e| match e.marked() {
        Some(marked) => marked.clone(),
        None => {
            let fault = place_of(&e).marked("the model does not fit these parameters", e.to_string());
            Explain::hint(&e).into_iter().fold(fault, Marked::hint)
        }
    })?;
    told.map(Want::series).ok_or_else(|| {
        place
            .marked(
                "nobody says how many numbers the model gives",
                "add `[outputs]` with `blocks = { q = 365 }`: names and lengths of what the program writes",
            )
            .hint("`ekp-init --try` then runs it once, and compares")
    })
}
