//! Ensemble Kalman methods: each a pure function on arrays, and here the order in which things are done.
//!
//! Belongs here: the processes, step lengths, repair of failed members, metrics: one file each.
//! Not here: files, processes of the machine, threads it did not get as an argument.

pub mod accelerate;
#[cfg(test)]
mod closed;
pub mod eki;
pub mod etki;
pub mod evidence;
#[cfg(test)]
mod given;
pub mod gnki;
pub mod groups;
pub mod inflate;
pub mod localise;
pub mod method;
pub mod metrics;
mod names;
pub mod repair;
pub mod sampler;
pub mod schedule;
pub mod sparse;
pub mod spread;
pub mod streamed;
mod survivors;
pub mod unscented;

pub use accelerate::Momentum;
pub use gnki::Draws;
pub use groups::Group;
pub use inflate::{Inflation, Rate, Sigma};
pub use localise::Localisation;
pub use method::Method;
pub use repair::FailureRule;
pub use schedule::{OnTerminate, Schedule};
pub use sparse::Sparse;
pub use unscented::{Points, Unscented};

use crate::numerics::{Mat, Purpose, Streams, standard_normals};
use crate::problem::{Algorithm, AlgorithmError, Ensemble, Evaluated, Problem, Report, State, Step, Stop};
use evidence::Rows;
use repair::Sorted;
use schedule::Progress;
use survivors::Survivors;

/// How an ensemble moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// Ensemble Kalman inversion
    Eki {
        /// Each member sees its own draw of the observation: right spread for many members, noise for few
        perturbed: bool,
    },
    /// Ensemble transform Kalman inversion: deterministic
    Etki,
    /// Ensemble Kalman sampler
    Eks,
    /// Affine-invariant interacting Langevin dynamics
    Aldi,
    /// Gauss-Newton Kalman inversion: the prior counts in each step
    Gnki {
        /// Each member sees its own draw of the observation
        perturbed: bool,
        /// How large draws of prior and noise are
        draws: Draws,
    },
    /// Ensemble Kalman inversion, then a limit on the sum of magnitudes ([`Kalman::sparse`])
    Sparse {
        /// Each member sees its own draw of the observation
        perturbed: bool,
    },
}

impl Process {
    /// Whether the members become a sample of the posterior as T → ∞; the prior counts at each step then.
    pub fn samples(self) -> bool {
        matches!(self, Self::Eks | Self::Aldi)
    }

    /// Whether each step needs the prior's mean and covariance.
    fn needs_prior(self) -> bool {
        self.samples() || matches!(self, Self::Gnki { .. })
    }
}

/// An ensemble Kalman method with all its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct Kalman {
    /// How the ensemble moves
    pub process: Process,
    /// Ensemble size J
    pub members: usize,
    /// Step lengths
    pub schedule: Schedule,
    /// How much a step goes on in the direction of the last
    pub momentum: Momentum,
    /// What becomes of failed members
    pub failures: FailureRule,
    /// Share of a block's values that may be missing before a member counts as failed
    pub nan_tolerance: f64,
    /// Count the prior as data at each step, to converge to the maximum of the posterior as T → ∞;
    /// the first ensemble may then start anywhere
    pub impose_prior: bool,
    /// Added to the diagonal of covariances, of the samplers' covariance of parameters: 0, or 2⁻²⁶ to repeat
    /// EKP.jl's numbers; not for ETKI
    pub nugget: f64,
    /// How much spread each step gives back
    pub inflation: Inflation,
    /// What is done to covariances of few members
    pub localisation: Option<Localisation>,
    /// Parameters that learn from some of the data alone; empty: all from all
    pub groups: Vec<Group>,
    /// Members whose misfit is larger than so many times the median count as failed
    pub outlier_factor: Option<f64>,
    /// The limit of the sparse method
    pub sparse: Sparse,
    /// Threads for the pass over the outputs; the bits do not depend on it
    pub threads: usize,
}

impl Kalman {
    /// A method with its defaults: misfit controller to T = 1, no momentum, failed members redrawn, nothing missing tolerated.
    pub fn new(process: Process, members: usize) -> Self {
        Self {
            process,
            members,
            schedule: Schedule::DataMisfit { terminate_at: 1.0, on_terminate: OnTerminate::Stop },
            momentum: Momentum::None,
            failures: FailureRule::default(),
            nan_tolerance: 0.0,
            impose_prior: false,
            nugget: 0.0,
            inflation: Inflation::None,
            localisation: None,
            groups: Vec::new(),
            outlier_factor: None,
            sparse: Sparse::default(),
            threads: 1,
        }
    }
}

impl Kalman {
    /// Whether the misfit controller ends the run when its pseudo-time is used up.
    pub fn stops(&self) -> bool {
        matches!(self.schedule, Schedule::DataMisfit { on_terminate: OnTerminate::Stop, .. })
    }

    /// Whether each step is a combination of members: localisation and groups leave their span, and Gauss and Newton
    /// add draws of the prior.
    pub fn stays_in_span(&self) -> bool {
        let mixes = matches!(self.process, Process::Gnki { .. });
        self.localisation.is_none() && self.groups.is_empty() && !mixes
    }
}

impl Algorithm for Kalman {
    fn first(&self, problem: &Problem, draw: &Streams) -> (Ensemble, State) {
        let mut u = Mat::zeros(problem.prior.dim(), self.members);
        for j in 0..self.members {
            let member = problem.prior.sample(&mut draw.at(Purpose::Prior, 0, number(j)));
            u.col_mut(j).copy_from_slice(&member);
        }
        let mut state = State::default();
        Progress::default().write(&mut state);
        (Ensemble { u }, state)
    }

    fn next(
        &self,
        problem: &Problem,
        state: State,
        tried: &Evaluated<'_>,
        draw: &Streams,
    ) -> Result<Step, AlgorithmError> {
        let (observation, ensemble) = (&problem.observation, &tried.ensemble.u);
        if ensemble.ncols() != tried.g.ncols() {
            let (found, expected) = (tried.g.ncols(), ensemble.ncols());
            return Err(AlgorithmError::Shape { what: "g", found, expected });
        }
        let before = Progress::read(&state)?;
        self.schedule.may_go_on(&before)?;

        // 1. Failures are set aside.
        let mut sorted = match self.failures {
            FailureRule::Redraw => repair::sort(&tried.g, observation, self.nan_tolerance)?,
            FailureRule::Ignore => Sorted::all(&tried.g, observation)?,
        };
        if let Some(factor) = self.outlier_factor {
            repair::outliers(&mut sorted, observation, factor)?;
        }
        let u = ensemble.select_cols(&sorted.survivors); // d × J
        let rows = Rows {
            g: &sorted.g,
            rows: observation.observed(),
            members: &sorted.survivors,
            y: observation.y(),
            noise: observation.noise(),
        };
        let survivors = Survivors::new(self, &problem.prior, &u, rows)?;

        // 2. The length of the step, which may refuse it.
        let (data, misfits) = survivors.look();
        let after = self.schedule.next(&before, &misfits, &data)?;

        // 3. The survivors move, group by group; a localised step may have to be shorter.
        let planned = after.step;
        let mut seen = None;
        let (moved, step) =
            groups::step(self, problem, &survivors, data, planned, draw, tried.iteration, &mut seen)?;
        let after = after.shortened(&before, step);

        // 4. The failed are drawn anew from the moved survivors.
        let xi = normals(draw, Purpose::Redraw, tried.iteration, &sorted.failed(), u.nrows());
        let (next, singular) =
            repair::complete(&moved, &sorted, &xi).map_err(AlgorithmError::of("the survivors' spread"))?;

        // 5. All but those go on in the direction of their last step.
        let mut state = state;
        let mut next = self.momentum.push(next, ensemble, &sorted.failed(), &mut state)?;

        // 6. Spread that was lost is given back.
        let xi = if self.inflation.is_random() {
            let everyone: Vec<usize> = (0..next.ncols()).collect();
            normals(draw, Purpose::Inflation, tried.iteration, &everyone, next.nrows())
        } else {
            Mat::default()
        };
        self.inflation.apply(&mut next, ensemble, after.step, &xi, &mut state)?;
        if !next.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }

        // 7. What people and the next call are told.
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        let mut metrics = metrics::measure(&rows, &misfits, seen.as_ref())?;
        if let Some(loss) = survivors.bayes_loss(&misfits)? {
            metrics.insert("bayes_loss".into(), loss);
        }
        let mut warnings =
            self.warnings(&before, u.nrows(), metrics::twins(&rows, &misfits), &sorted, singular);
        if step < planned && !matches!(self.process, Process::Gnki { .. }) {
            warnings.push(format!(
                "the localised step of {planned:.3e} would have made the misfit grow: {step:.3e} was taken"
            ));
        }
        let report = Report {
            step: after.step,
            time: after.time,
            misfit: misfits.loss(),
            avg_rmse: misfits.avg_rmse(),
            spread: metrics::spread(&next),
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            metrics,
            blocks: metrics::blocks(&rows, observation).map_err(AlgorithmError::of("the observation"))?,
            warnings,
            set_aside: sorted.failed,
        };
        after.write(&mut state);
        Ok(Step { ensemble: Ensemble { u: next }, state, stop, report })
    }
}

impl Kalman {
    /// What a person should know about this step.
    fn warnings(
        &self,
        before: &Progress,
        parameters: usize,
        twins: Option<(usize, usize)>,
        sorted: &Sorted<'_>,
        singular: bool,
    ) -> Vec<String> {
        let (used, failed) = (sorted.survivors.len(), sorted.failed.len());
        let mut said = Vec::new();
        if failed > used {
            said.push(format!("{failed} of {} members failed: the step learns from {used}", failed + used));
        }
        if singular {
            said.push("the survivors span too little: redrawn members lie almost within their span".into());
        }
        if let Some((a, b)) = twins {
            said.push(format!("members {} and {} have the same outputs", number(a), number(b)));
        }
        if before.time == 0.0 && used <= parameters && self.stays_in_span() {
            said.push(format!(
                "{used} members for {parameters} parameters: no step leaves the span of the first ensemble"
            ));
        }
        if before.time == 0.0 && self.process == (Process::Eki { perturbed: false }) {
            said.push("without perturbed observations the spread falls below the posterior's".into());
        }
        said
    }
}

/// Members count from 1 in addresses of random numbers, as in names of folders.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).expect("fewer than four billion members")
}

/// `n` standard normals for each member, from its own stream: no member's numbers depend on another's fate.
fn normals(draw: &Streams, purpose: Purpose, iteration: u32, members: &[usize], n: usize) -> Mat {
    let column = |&j: &usize| standard_normals(&mut draw.at(purpose, iteration, number(j)), n);
    Mat::from_columns(n, members.len(), members.iter().flat_map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::fixture::Fixture;
    use crate::numerics::linalg;
    use crate::problem::observation::{Block, Covariance, Observation};
    use given::{Linear, apart, covariance, observation, rough, standard_prior};

    fn problem(observation: Observation, d: usize) -> Problem {
        Problem { prior: standard_prior(d), observation }
    }

    fn start(u: &Mat) -> (Ensemble, State) {
        let mut state = State::default();
        Progress::default().write(&mut state);
        (Ensemble { u: u.clone() }, state)
    }

    fn tried(iteration: u32, ensemble: &Ensemble, g: Mat) -> Evaluated<'_> {
        Evaluated { iteration, ensemble, g }
    }

    #[test]
    fn the_sinusoid_without_phase_repeats_the_reference_to_its_end() {
        for case in Fixture::read("end_to_end").cases("*_etki_*") {
            let inputs = &case.inputs;
            let problem = problem(observation(inputs.vector("y"), covariance(inputs)), 2);
            let kalman = Kalman::new(Process::Etki, 20);
            let (mut ensemble, mut state) = start(&inputs.matrix("u0"));
            let (want, mut steps) = (case.expected.matrices("u_per_step"), Vec::new());
            for (n, want) in want.iter().enumerate() {
                let u = &ensemble.u;
                let g = Mat::from_fn(2, 20, |i, j| if i == 0 { 2.0 * u[(0, j)].exp() } else { u[(1, j)] });
                let step =
                    kalman.next(&problem, state, &tried(n as u32, &ensemble, g), &Streams::new(1)).unwrap();
                case.assert_near("u", step.ensemble.u.data(), want.data());
                steps.push(step.report.step);
                (ensemble, state) = (step.ensemble, step.state);
                // The step that takes the remainder says so, and no other.
                assert_eq!(
                    step.stop.is_some(),
                    steps.len() == case.expected.vector("dt").len(),
                    "{}",
                    case.name
                );
            }
            case.assert_near("dt", &steps, &case.expected.vector("dt"));
        }
    }

    #[test]
    fn the_sinusoid_with_corrected_correlations_and_momentum_repeats_the_reference_to_its_end() {
        use localise::{Correction, Form, Rule, Std};
        for case in Fixture::read("end_to_end").cases("*_eki_*") {
            let inputs = &case.inputs;
            let problem = problem(observation(inputs.vector("y"), covariance(inputs)), 2);
            let rule = Rule::Correction(Correction::Nice { delta_ug: 1.0, delta_gg: 1.0, std: Std::Peer });
            let kalman = Kalman {
                momentum: Momentum::Nesterov,
                nugget: inputs.number("nugget"),
                localisation: Some(Localisation { rule, form: Form::Joint }),
                ..Kalman::new(Process::Eki { perturbed: false }, 20)
            };
            let (mut ensemble, mut state) = start(&inputs.matrix("u0"));
            let (mut steps, mut losses) = (Vec::new(), Vec::new());
            for (n, want) in case.expected.matrices("u_per_step").iter().enumerate() {
                let u = &ensemble.u;
                let g = Mat::from_fn(2, 20, |i, j| if i == 0 { 2.0 * u[(0, j)].exp() } else { u[(1, j)] });
                let step =
                    kalman.next(&problem, state, &tried(n as u32, &ensemble, g), &Streams::new(1)).unwrap();
                case.assert_near("u", step.ensemble.u.data(), want.data());
                steps.push(step.report.step);
                losses.push(step.report.misfit);
                (ensemble, state) = (step.ensemble, step.state);
                assert_eq!(step.stop.is_some(), steps.len() == case.expected.vector("dt").len());
            }
            case.assert_near("dt", &steps, &case.expected.vector("dt"));
            case.assert_near("loss", &losses, &case.expected.vector("loss"));
            let mean = ensemble.u.mean();
            case.assert_near("phi", &[mean[0].exp(), mean[1]], &case.expected.vector("phi_mean_final"));
        }
    }

    #[test]
    fn the_first_ensemble_is_drawn_member_by_member() {
        let problem = problem(observation(vec![0.0], Covariance::Scalar(1.0)), 3);
        let draw = Streams::new(42);
        let (few, state) = Kalman::new(Process::Etki, 4).first(&problem, &draw);
        let (many, _) = Kalman::new(Process::Etki, 9).first(&problem, &draw);
        assert_eq!(few.u, many.u.select_cols(&[0, 1, 2, 3]));
        assert_eq!(Progress::read(&state).unwrap(), Progress::default());
        let second = problem.prior.sample(&mut draw.at(Purpose::Prior, 0, 2));
        assert_eq!(few.u.col(1), second);
    }

    /// All processes, with p above and below J.
    fn everything() -> Vec<(Kalman, Linear, Mat)> {
        use localise::{Correction, Form, Rule};
        let mut all = Vec::new();
        let all_processes = [
            Process::Etki,
            Process::Eki { perturbed: true },
            Process::Eki { perturbed: false },
            Process::Eks,
            Process::Aldi,
            Process::Gnki { perturbed: true, draws: Draws::Exact },
            Process::Sparse { perturbed: true },
        ];
        for process in all_processes {
            for (p, members) in [(20, 8), (3, 8), (3, 3)] {
                for (impose_prior, nugget) in [(false, 0.0), (true, 1e-8)] {
                    let momentum = if impose_prior { Momentum::Nesterov } else { Momentum::None };
                    let rate = Rate::Fixed(0.1);
                    let inflation = match (impose_prior, p > members) {
                        (false, _) => Inflation::None,
                        (true, true) => Inflation::Additive { rate, of: Sigma::Initial },
                        (true, false) => Inflation::Multiplicative(rate),
                    };
                    let sparse = Sparse { limit: 1.0, jitter: 1e-4, ..Sparse::default() };
                    let usual = Kalman::new(process, members);
                    let kalman = Kalman { impose_prior, nugget, momentum, inflation, sparse, ..usual };
                    let sec = Rule::Correction(Correction::Sec { alpha: 0.5, cutoff: 0.05 });
                    let weights = Rule::Weights(Vec::new());
                    let forms: &[(Rule, Form)] = match process {
                        Process::Etki => &[(weights, Form::Local)],
                        Process::Eki { .. } => &[(sec, Form::Joint), (weights, Form::Cross)],
                        Process::Eks | Process::Aldi => &[],
                        _ => &[(sec, Form::Joint)],
                    };
                    for (rule, form) in forms {
                        let localisation = Some(Localisation { rule: rule.clone(), form: *form });
                        let kalman = Kalman { localisation, ..kalman.clone() };
                        all.push((kalman, Linear::new(60, 3, p), rough(61, 3, members)));
                    }
                    let group = |parameters: &[&str]| Group {
                        parameters: parameters.iter().map(|&p| p.to_owned()).collect(),
                        blocks: vec!["all".into()],
                    };
                    let groups = vec![group(&["u2", "u0"]), group(&["u1"])];
                    let grouped = Kalman { groups, ..kalman.clone() };
                    all.push((grouped, Linear::new(60, 3, p), rough(61, 3, members)));
                    all.push((kalman, Linear::new(60, 3, p), rough(61, 3, members)));
                }
            }
        }
        all
    }

    #[test]
    fn equal_calls_give_equal_bits_and_a_failed_member_shifts_no_other_members_numbers() {
        let draw = Streams::new(7);
        for (kalman, linear, u) in everything() {
            let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 3);
            let (ensemble, state) = start(&u);
            let g = linalg::matmul(&linear.h, &u);
            let step = |g: &Mat| {
                kalman.next(&problem, state.clone(), &tried(2, &ensemble, g.clone()), &draw).unwrap()
            };
            let (one, two) = (step(&g), step(&g));
            assert_eq!((&one.ensemble, &one.state, &one.report), (&two.ensemble, &two.state, &two.report));
            // A failed member: its own outputs no longer matter, whatever else stands in its column.
            let mut failed = g.clone();
            failed.col_mut(1).fill(f64::NAN);
            let mut half = g.clone();
            half[(0, 1)] = f64::INFINITY;
            let (a, b) = (step(&failed), step(&half));
            assert_eq!(a.ensemble, b.ensemble);
            assert_eq!((a.report.used, a.report.set_aside[0].0), (u.ncols() - 1, 1));
            assert!(a.ensemble.u.is_finite());
        }
    }

    #[test]
    fn what_was_not_observed_has_no_influence() {
        let draw = Streams::new(7);
        for (kalman, linear, u) in everything() {
            let p = linear.y.len();
            // Given row 1 of the observation is not there, in the full problem and in one without that row
            let mut y = linear.y.clone();
            y[1] = f64::NAN;
            let kept: Vec<usize> = (0..p).filter(|&i| i != 1).collect();
            let short = Mat::from_fn(p - 1, p - 1, |i, j| linear.gamma[(kept[i], kept[j])]);
            let masked = problem(observation(y, Covariance::Dense(linear.gamma.clone())), 3);
            let y = kept.iter().map(|&i| linear.y[i]).collect();
            let without = problem(observation(y, Covariance::Dense(short)), 3);
            // When the model gives nonsense there, Then both steps are one
            let (ensemble, state) = start(&u);
            let g = linalg::matmul(&linear.h, &u);
            let mut nonsense = g.clone();
            (0..u.ncols()).for_each(|j| nonsense[(1, j)] = if j == 0 { f64::NAN } else { 1e9 });
            let rest = Mat::from_fn(p - 1, u.ncols(), |i, j| g[(kept[i], j)]);
            let a = kalman.next(&masked, state.clone(), &tried(0, &ensemble, nonsense), &draw).unwrap();
            let b = kalman.next(&without, state, &tried(0, &ensemble, rest), &draw).unwrap();
            assert_eq!(a.ensemble, b.ensemble);
        }
    }

    #[test]
    fn refused_steps_say_why() {
        let linear = Linear::new(70, 3, 5);
        let u = rough(71, 3, 6);
        let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 3);
        let (ensemble, state) = start(&u);
        let g = linalg::matmul(&linear.h, &u);
        let kalman = Kalman::new(Process::Etki, 6);
        let draw = Streams::new(1);
        let next = |kalman: &Kalman, state: &State, g: &Mat| {
            kalman.next(&problem, state.clone(), &tried(0, &ensemble, g.clone()), &draw)
        };
        let mut over = state.clone();
        Progress { time: 1.0, step: 0.2, reached: true }.write(&mut over);
        assert!(matches!(next(&kalman, &over, &g), Err(AlgorithmError::Over { .. })));
        assert!(matches!(next(&kalman, &State::default(), &g), Err(AlgorithmError::State { .. })));
        let short = g.select_cols(&[0, 1]);
        assert!(matches!(next(&kalman, &state, &short), Err(AlgorithmError::Shape { .. })));
        let nan = Mat::from_fn(5, 6, |_, _| f64::NAN);
        let dead = next(&kalman, &state, &nan);
        assert!(matches!(dead, Err(AlgorithmError::TooFewMembers { found: 0, total: 6 })));
        // One hole refuses the step where failures are ignored.
        let mut hole = g.clone();
        hole[(0, 0)] = f64::NAN;
        let ignore = Kalman { failures: FailureRule::Ignore, ..kalman };
        assert!(matches!(next(&ignore, &state, &hole), Err(AlgorithmError::NoConvergence { .. })));
        next(&ignore, &state, &g).unwrap();
    }

    #[test]
    fn an_imposed_prior_brings_a_linear_problem_to_its_maximum() {
        // Infinite-time ETKI: the mean tends to the maximum of the posterior like 1/T.
        let linear = Linear::new(80, 2, 3);
        let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 2);
        let (map, _) = linear.posterior(&[0.0; 2], &Mat::identity(2));
        let schedule = Schedule::Fixed { step: 1.0 };
        let kalman = Kalman { impose_prior: true, schedule, ..Kalman::new(Process::Etki, 6) };
        let mut far = rough(81, 2, 6);
        far.data_mut().iter_mut().for_each(|x| *x = 3.0 * *x + 5.0);
        let (mut ensemble, mut state) = start(&far);
        for n in 0..2000 {
            let g = linalg::matmul(&linear.h, &ensemble.u);
            let step = kalman.next(&problem, state, &tried(n, &ensemble, g), &Streams::new(1)).unwrap();
            assert!(step.report.metrics.contains_key("bayes_loss"));
            (ensemble, state) = (step.ensemble, step.state);
        }
        assert!(apart(&ensemble.u.mean(), &map) < 5e-3); // a few times 1/T
    }

    #[test]
    fn fewer_members_than_parameters_stay_in_their_span() {
        let linear = Linear::new(90, 6, 10);
        let u = rough(91, 6, 4);
        let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 6);
        for process in [Process::Etki, Process::Eki { perturbed: true }] {
            let (ensemble, state) = start(&u);
            let g = linalg::matmul(&linear.h, &u);
            let kalman = Kalman::new(process, 4);
            let next = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
            assert!(next.report.warnings.iter().any(|w| w.starts_with("4 members for 6 parameters")));
            // The moved members add no direction to the old ones.
            let both = Mat::from_columns(6, 8, [u.data(), next.ensemble.u.data()].concat());
            let about = u.mean();
            let off = Mat::from_fn(6, 8, |i, j| both[(i, j)] - about[i]);
            let s = linalg::thin_svd(&off).unwrap().s;
            assert!(s[3] < 1e-13 * s[0], "{s:?}");
        }
    }

    #[test]
    fn every_process_lowers_the_error_of_linear_and_nonlinear_maps() {
        // d = 2, truth (−1, 2) in physical units; prior N(0, ½²) bounded to (−2, 2), and N(3, ½²); 30 members,
        // 12 outputs with noise 0.1, here 15 steps: the error of the mean must be below that of the first ensemble.
        let truth: [f64; 2] = [-1.0, 2.0];
        let physical = |u: &[f64]| [4.0 / (1.0 + (-u[0]).exp()) - 2.0, u[1]];
        let line = rough(400, 12, 2);
        let linear = |x: [f64; 2]| -> Vec<f64> {
            (0..12).map(|i| line[(i, 0)] * x[0] + line[(i, 1)] * x[1]).collect()
        };
        let norms = |x: [f64; 2]| -> Vec<f64> {
            let (a, b) = ((x[0] - truth[0]).abs(), (x[1] - truth[1]).abs());
            (0..12).map(|i| [a + b, a.hypot(b), a.max(b)][i % 3]).collect()
        };
        let prior = "[a]\nprior = \"Parameterized(Normal(0, 0.5))\"\nconstraint = \"bounded(-2, 2)\"\n\
                     [b]\nprior = \"Parameterized(Normal(3, 0.5))\"\nconstraint = \"no_constraint()\"\n";
        let document = crate::files::human::Document::parse("priors.toml".as_ref(), prior).unwrap();
        let prior = crate::problem::Prior::read(&document, None).unwrap();
        let maps: [&dyn Fn([f64; 2]) -> Vec<f64>; 2] = [&linear, &norms];
        let sec = localise::Rule::Correction(localise::Correction::Sec { alpha: 0.2, cutoff: 0.0 });
        for (n, map) in maps.iter().enumerate() {
            let noise = rough(410 + n as u64, 12, 1);
            let y = map(truth).iter().zip(noise.data()).map(|(g, e)| g + 0.1 * e).collect();
            let problem =
                Problem { prior: prior.clone(), observation: observation(y, Covariance::Scalar(0.01)) };
            for process in [
                Process::Etki,
                Process::Eki { perturbed: true },
                Process::Gnki { perturbed: true, draws: Draws::Exact },
                Process::Sparse { perturbed: true },
            ] {
                for localised in [false, true] {
                    let form =
                        if process == Process::Etki { localise::Form::Local } else { localise::Form::Joint };
                    let rule =
                        if process == Process::Etki { localise::Rule::Weights(vec![]) } else { sec.clone() };
                    let kalman = Kalman {
                        schedule: Schedule::Fixed { step: 0.5 },
                        sparse: Sparse { limit: 3.5, ..Sparse::default() },
                        localisation: localised.then_some(Localisation { rule, form }),
                        ..Kalman::new(process, 30)
                    };
                    let draw = Streams::new(7);
                    let (mut ensemble, mut state) = kalman.first(&problem, &draw);
                    let error = |u: &Mat| {
                        let x = physical(&u.mean());
                        (x[0] - truth[0]).hypot(x[1] - truth[1])
                    };
                    let before = error(&ensemble.u);
                    for iteration in 0..15 {
                        let columns = (0..30).flat_map(|j| map(physical(ensemble.u.col(j)))).collect();
                        let g = Mat::from_columns(12, 30, columns);
                        let step =
                            kalman.next(&problem, state, &tried(iteration, &ensemble, g), &draw).unwrap();
                        (ensemble, state) = (step.ensemble, step.state);
                    }
                    let after = error(&ensemble.u);
                    assert!(after < before, "{process:?} {localised} map {n}: {before} became {after}");
                }
            }
        }
    }

    #[test]
    fn a_member_that_went_astray_is_drawn_anew_and_named() {
        let linear = Linear::new(97, 2, 3);
        let problem = problem(observation(linear.y.clone(), Covariance::Dense(linear.gamma.clone())), 2);
        let (ensemble, state) = start(&rough(98, 2, 8));
        let mut g = linalg::matmul(&linear.h, &ensemble.u);
        g[(1, 4)] = 1e9;
        let kalman = Kalman { outlier_factor: Some(1e6), ..Kalman::new(Process::Etki, 8) };
        let step =
            kalman.next(&problem, state.clone(), &tried(0, &ensemble, g.clone()), &Streams::new(3)).unwrap();
        assert_eq!((step.report.used, step.report.set_aside[0].0), (7, 4));
        assert!(step.report.set_aside[0].1.starts_with("its misfit is "));
        // The step is that of a member which failed
        g.col_mut(4).fill(f64::NAN);
        let failed = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
        assert_eq!(failed.ensemble, step.ensemble);
    }

    #[test]
    fn members_with_the_same_outputs_are_named() {
        let observation =
            Observation::new(vec![(Block { name: "a".into(), y: vec![0.0; 2] }, Covariance::Scalar(1.0))])
                .unwrap();
        let problem = problem(observation, 2);
        let (ensemble, state) = start(&rough(95, 2, 4));
        let mut g = rough(96, 2, 4);
        let copy = g.col(0).to_vec();
        g.col_mut(3).copy_from_slice(&copy);
        let kalman = Kalman::new(Process::Etki, 4);
        let step = kalman.next(&problem, state, &tried(0, &ensemble, g), &Streams::new(3)).unwrap();
        assert_eq!(step.report.warnings, ["members 1 and 4 have the same outputs"]);
    }
}
