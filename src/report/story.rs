//! The story of a calibration: what a report tells of a run, read once.
//!
//! Belongs here: ensembles in physical units, outputs of the first and the last iteration that were run, decisions,
//! what was observed. Works on runs under way, and where members' files are gone. Not here: pictures.

use crate::files::{FileError, Iteration, load_record, load_state};
use crate::models::soundings::Soundings;
use crate::numerics::{Mat, Purpose, Streams};
use crate::problem::Ensemble;
use crate::report::ReportError;
use crate::steps::parameters::ENSEMBLE;
use crate::steps::{Run, Update, due, outcomes};

/// Draws from the prior that its marginals are shown with.
const PRIOR_DRAWS: u32 = 4000;

/// What was observed, and what an ensemble made of it.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Name of the block
    pub block: String,
    /// What was observed; NaN: not
    pub y: Vec<f64>,
    /// Standard deviation of its noise
    pub sd: Vec<f64>,
    /// Outputs of the first iteration: rows are those of `y`, a column per member with data
    pub first: Vec<Vec<f64>>,
    /// Outputs of the last iteration that was run
    pub last: Vec<Vec<f64>>,
}

/// A run, read.
#[derive(Debug, Clone)]
pub struct Story {
    /// Name of the experiment
    pub name: String,
    /// Names of the parameters, a row each
    pub parameters: Vec<String>,
    /// Decisions of the closed iterations, in order
    pub updates: Vec<Update>,
    /// Number of each ensemble's iteration
    pub iterations: Vec<Iteration>,
    /// Ensembles in physical units, d × J each, oldest first
    pub ensembles: Vec<Mat>,
    /// Draws from the prior, d × many
    pub prior: Mat,
    /// Observations and outputs; empty where outputs are gone, or the observation is a series
    pub fits: Vec<Fit>,
    /// What parameters and blocks are as soundings, of a model that has such
    pub soundings: Option<Soundings>,
    /// What is known of each parameter; NaN: nothing
    pub truth: Vec<f64>,
    /// Iterations of `first` and `last` outputs
    pub shown: Option<(Iteration, Iteration)>,
    /// What a person should know
    pub warnings: Vec<String>,
}

impl Story {
    /// Read a run.
    ///
    /// # Errors
    /// A damaged ensemble or decision, the disk.
    pub fn read(run: &Run) -> Result<Self, ReportError> {
        let id = &run.dir.identity;
        if run.experiment.searching().is_some() {
            return Err(ReportError::Refused {
                what: format!("figures are drawn of ensembles, and `{}` has none", id.method),
                hint: "`ekp-status` tells what the search found, `ekp-export` makes a table of its trials"
                    .into(),
            });
        }
        let prior = run.prior()?;
        let mut story = Self {
            name: id.name.clone(),
            parameters: prior.row_names(),
            updates: Vec::new(),
            iterations: Vec::new(),
            ensembles: Vec::new(),
            prior: Mat::zeros(0, 0),
            fits: Vec::new(),
            truth: Vec::new(),
            soundings: run.experiment.model.forward.soundings(),
            shown: None,
            warnings: Vec::new(),
        };
        story.truth = vec![f64::NAN; story.parameters.len()];
        let mut last_run = None;
        let mut raw = Vec::new();
        let mut iteration = id.first_iteration;
        while run.dir.iteration(iteration).is_dir() {
            let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
            let columns = (0..ensemble.u.ncols()).flat_map(|j| prior.physical(ensemble.u.col(j))).collect();
            story.ensembles.push(Mat::from_columns(story.parameters.len(), ensemble.u.ncols(), columns));
            story.iterations.push(iteration);
            raw.push(ensemble);
            match load_record(&run.dir.update(iteration)) {
                Ok(update) => story.updates.push(update),
                Err(e) if e.is_missing() || !due::decided(run, iteration) => {}
                Err(e) => return Err(e.into()),
            }
            if due::decided(run, iteration) {
                last_run = Some(raw.len() - 1);
            }
            iteration += 1;
        }
        let draw = Streams::new(id.seed);
        let columns = (1..=PRIOR_DRAWS)
            .flat_map(|k| prior.physical(&prior.sample(&mut draw.at(Purpose::Report, 0, k))));
        story.prior = Mat::from_columns(story.parameters.len(), PRIOR_DRAWS as usize, columns.collect());
        if let Some(last) = last_run {
            story.outputs(run, &prior, &raw, last)?;
        }
        Ok(story)
    }

    fn outputs(
        &mut self,
        run: &Run,
        prior: &crate::problem::Prior,
        ensembles: &[Ensemble],
        last: usize,
    ) -> Result<(), ReportError> {
        let problem = run.problem()?;
        let observation = &problem.observation;
        if observation.series().is_some() {
            self.warnings.push("the observation is a series: each iteration sees another part of it, so outputs are not drawn against it".into());
            return Ok(());
        }
        let sd = deviations(observation)?;
        let (mut row, mut fits) = (0, Vec::new());
        for block in observation.blocks() {
            let n = block.len();
            fits.push(Fit {
                block: block.name.clone(),
                y: block.y.clone(),
                sd: sd[row..row + n].to_vec(),
                first: Vec::new(),
                last: Vec::new(),
            });
            row += n;
        }
        let mut part = |k: usize, put: fn(&mut Fit) -> &mut Vec<Vec<f64>>| -> Result<usize, ReportError> {
            let gathered = outcomes::gather(run, prior, &ensembles[k], self.iterations[k])?;
            let with: Vec<usize> = (0..gathered.left.len())
                .filter(|&j| matches!(gathered.left[j], outcomes::Left::Data { .. }))
                .collect();
            let mut row = 0;
            for fit in &mut fits {
                let n = fit.y.len();
                *put(fit) = with.iter().map(|&j| gathered.g.col(j)[row..row + n].to_vec()).collect();
                row += n;
            }
            Ok(with.len())
        };
        let found = (part(0, |fit| &mut fit.first)?, part(last, |fit| &mut fit.last)?);
        if found.0 == 0 || found.1 == 0 {
            self.warnings
                .push("the members' outputs are gone: they are not drawn against the observation".into());
            return Ok(());
        }
        self.fits = fits;
        self.shown = Some((self.iterations[0], self.iterations[last]));
        Ok(())
    }
}

/// The standard deviation of the noise of each number of the observation; NaN where it was not observed.
fn deviations(observation: &crate::problem::Observation) -> Result<Vec<f64>, FileError> {
    let total: usize = observation.shape().iter().map(|(_, n)| n).sum();
    let mut sd = vec![f64::NAN; total];
    let variances = observation.noise().variances();
    for (&row, variance) in observation.observed().iter().zip(variances) {
        sd[row] = variance.sqrt();
    }
    Ok(sd)
}
