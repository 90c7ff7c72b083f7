//! A step whose outputs do not fit into memory: they come a few rows of all members at a time.
//!
//! ETKI, EKI without a nugget, the misfit controller and the metrics need the p outputs of J members only through
//! J × J sums over rows. The rows come in the panels of the step in memory and are added up in the same order, so
//! both ways end in the same bits. Memory: J² numbers, one panel, and what the source keeps.
//! Belongs here: the order of such a step. Not here: formulas, where rows come from.

use std::ops::Range;

use super::evidence::{Evidence, Keep, Misfits, gather_from};
use super::repair::{self, Sorted};
use super::schedule::Progress;
use super::{FailureRule, Inflation, Kalman, Process, Schedule, eki, etki, metrics, normals, survivors_of};
use crate::numerics::{Mat, Purpose, Streams, columns};
use crate::problem::{AlgorithmError, Ensemble, Observation, Problem, Report, State, Step, Stop};

/// Outputs of members, row by row: any number of passes, each in ascending order.
pub trait Outputs {
    /// Begin a pass at the first row.
    fn rewind(&mut self);
    /// Rows `rows` of a member, at most a panel of them; each call of a member comes after its last.
    ///
    /// # Errors
    /// `Outputs`.
    fn read(&mut self, member: usize, rows: &Range<usize>, out: &mut [f64]) -> Result<(), AlgorithmError>;
}

/// What a member's outputs are, from one look at all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Finite
    Whole,
    /// Some values are missing, not too many
    Holed,
    /// Set aside, and why
    Failed(String),
}

/// An ensemble and where its outputs come from.
pub struct Tried<'a> {
    /// Which iteration this is, from 0
    pub iteration: u32,
    /// What was tried
    pub ensemble: &'a Ensemble,
    /// Member by member, as [`Kalman::verdict`] says
    pub verdicts: &'a [Verdict],
    /// The outputs of those that have not failed
    pub outputs: &'a mut dyn Outputs,
}

impl Kalman {
    /// Whether a step can do with outputs that come row by row. Every part of the method has to say so.
    pub fn streams(&self, problem: &Problem) -> bool {
        let Self { process, members, failures, impose_prior, nugget, schedule, .. } = self;
        let Self { localisation, groups, outlier_factor, inflation, .. } = self;
        let Self { momentum: _, nan_tolerance: _, sparse: _, threads: _, own_steps: _, .. } = self;
        let by_products = match process {
            Process::Etki => true,
            Process::Eki { .. } => *nugget == 0.0,
            Process::Eks | Process::Aldi | Process::Gnki { .. } | Process::Sparse { .. } => false,
        };
        let plain = localisation.is_none() && groups.is_empty() && outlier_factor.is_none();
        let by_products = by_products && plain && *inflation == Inflation::None;
        // A step that a person may change is decided elsewhere.
        let by_products =
            by_products && matches!(schedule, Schedule::Fixed { .. } | Schedule::DataMisfit { .. });
        // Below, the outputs themselves are used, or the score of metrics needs sums of its own.
        let many = problem.observation.observed().len();
        let many = many >= *members && many * members > metrics::CRPS_LIMIT;
        by_products && !impose_prior && *failures == FailureRule::Redraw && many
    }

    /// What one member's outputs are.
    pub fn verdict(&self, column: &[f64], observation: &Observation) -> Verdict {
        if columns::is_finite(column) {
            return Verdict::Whole;
        }
        repair::judge(column, observation, self.nan_tolerance).map_or(Verdict::Holed, Verdict::Failed)
    }

    /// One step, as [`crate::problem::Algorithm::next`] makes it with all outputs at hand: the same bits. None when this step needs
    /// them all (eigenvalues over too many orders of magnitude).
    ///
    /// # Errors
    /// As there; `Outputs`.
    pub fn next_streamed(
        &self,
        problem: &Problem,
        state: &State,
        tried: Tried<'_>,
        draw: &Streams,
    ) -> Result<Option<Step>, AlgorithmError> {
        let Tried { iteration, ensemble: Ensemble { u: all }, verdicts, outputs } = tried;
        let before = Progress::read(state)?;
        self.schedule.may_go_on(&before)?;
        let mut sorted = sorted(verdicts)?;
        if problem.observation.observed().len() * sorted.survivors.len() <= metrics::CRPS_LIMIT {
            // So few are left that a score is taken which products do not give.
            return Ok(None);
        }
        let u = survivors_of(all, &sorted);
        let u = u.as_ref();
        let mut panels = Panels {
            outputs,
            observation: &problem.observation,
            members: &sorted.survivors,
            holed: verdicts.contains(&Verdict::Holed),
            imputed: 0,
            room: Vec::new(),
        };
        let (data, misfits) = panels.gather()?;
        let imputed = panels.imputed;
        let after = self.schedule.next(&before, &misfits, &data)?;
        let Some(moved) = self.move_by_products(u, &data, after.step, draw, iteration, &sorted.survivors)?
        else {
            return Ok(None);
        };
        let twins = panels.twins(&misfits)?;
        sorted.imputed = imputed;

        let xi = normals(draw, Purpose::Redraw, iteration, &sorted.failed(), u.nrows());
        let (next, singular) =
            repair::complete(moved, &sorted, &xi).map_err(AlgorithmError::of("the survivors' spread"))?;
        let mut state = state.clone();
        let next = self.momentum.push(next, all, &sorted.failed(), &mut state)?;
        let stop = self.schedule.is_over(&after).then_some(Stop::Time);
        let mut measures = metrics::plain(&misfits);
        if let Some(loss) = metrics::bayes_loss_by(&misfits, &u.mean(), &problem.prior) {
            measures.insert("bayes_loss".into(), loss);
        }
        let report = Report {
            step: after.step,
            time: after.time,
            misfit: misfits.loss(),
            avg_rmse: misfits.avg_rmse(),
            spread: metrics::spread(&next),
            used: sorted.survivors.len(),
            imputed: sorted.imputed,
            metrics: measures,
            blocks: Vec::new(),
            warnings: self.warnings(&before, u.nrows(), twins, &sorted, singular),
            groups: None,
            set_aside: sorted.failed,
        };
        after.write(&mut state);
        Ok(Some(Step { ensemble: Ensemble { u: next }, state, stop, report }))
    }

    /// The survivors' step from products alone; none where those are not enough.
    fn move_by_products(
        &self,
        u: &Mat,
        data: &Evidence,
        dt: f64,
        draw: &Streams,
        iteration: u32,
        survivors: &[usize],
    ) -> Result<Option<Mat>, AlgorithmError> {
        let members = u.ncols();
        let divisor = if self.process == Process::Etki { members - 1 } else { members };
        if data.is_stiff(dt / divisor as f64) {
            return Ok(None);
        }
        let drawn = match (self.process, data) {
            (Process::Eki { perturbed: true }, Evidence::Gram { s, b }) => {
                let numbers = normals(draw, Purpose::Perturbation, iteration, survivors, b.len());
                let drawn = eki::noise_in_ensemble_space(s, &numbers);
                Some(drawn.map_err(AlgorithmError::of("the observation's noise"))?)
            }
            _ => None,
        };
        let moved = match self.process {
            Process::Etki => etki::update(u, data, dt),
            _ => eki::update(u, data, dt, drawn.as_ref()),
        }
        .map_err(AlgorithmError::of("the members' outputs"))?;
        if moved.is_finite() { Ok(Some(moved)) } else { Err(AlgorithmError::NotFinite) }
    }
}

/// Who is learnt from.
fn sorted(verdicts: &[Verdict]) -> Result<Sorted<'static>, AlgorithmError> {
    let (mut survivors, mut failed) = (Vec::new(), Vec::new());
    for (j, verdict) in verdicts.iter().enumerate() {
        match verdict {
            Verdict::Failed(why) => failed.push((j, why.clone())),
            _ => survivors.push(j),
        }
    }
    repair::enough(&survivors, verdicts.len())?;
    Ok(Sorted { g: std::borrow::Cow::Owned(Mat::default()), survivors, failed, imputed: 0 })
}

/// The survivors' outputs as panels of observed rows, holes filled as [`repair::sort`] fills them.
struct Panels<'a> {
    outputs: &'a mut dyn Outputs,
    observation: &'a Observation,
    members: &'a [usize],
    /// Whether values are missing anywhere
    holed: bool,
    /// Values filled in
    imputed: usize,
    /// Room for rows between which some are not observed
    room: Vec<f64>,
}

impl Panels<'_> {
    fn gather(&mut self) -> Result<(Evidence, Misfits), AlgorithmError> {
        self.outputs.rewind();
        let (y, noise, n) = (self.observation.y(), self.observation.noise(), self.members.len());
        gather_from(y, noise, n, Keep::Gram, |range, panel, sum| self.load(range, panel, sum))
    }

    fn load(&mut self, range: &Range<usize>, panel: &mut Mat, sum: &mut [f64]) -> Result<(), AlgorithmError> {
        let wanted = &self.observation.observed()[range.clone()];
        let rows = wanted[0]..wanted[wanted.len() - 1] + 1;
        for (j, &member) in self.members.iter().enumerate() {
            if rows.len() == wanted.len() {
                self.outputs.read(member, &rows, panel.col_mut(j))?;
            } else {
                self.room.resize(rows.len(), 0.0);
                self.outputs.read(member, &rows, &mut self.room)?;
                let from = &self.room;
                let to = panel.col_mut(j).iter_mut();
                to.zip(wanted).for_each(|(to, &i)| *to = from[i - rows.start]);
            }
        }
        if self.holed {
            self.fill(&self.observation.y()[range.clone()], panel);
        }
        for j in 0..self.members.len() {
            columns::add_scaled(sum, 1.0, panel.col(j));
        }
        Ok(())
    }

    fn fill(&mut self, y: &[f64], panel: &mut Mat) {
        let n = self.members.len();
        for (i, &y) in y.iter().enumerate() {
            let (mut sum, mut have) = (0.0, 0_usize);
            for j in 0..n {
                let x = panel[(i, j)];
                if x.is_finite() {
                    sum += x;
                    have += 1;
                }
            }
            if have == n {
                continue;
            }
            let value = if have == 0 { y } else { sum / have as f64 };
            for j in 0..n {
                if !panel[(i, j)].is_finite() {
                    panel[(i, j)] = value;
                    self.imputed += 1;
                }
            }
        }
    }

    /// As [`metrics::twins`]. Equal outputs have equal distances from the data, to the bit: only such neighbours are
    /// worth another pass.
    fn twins(&mut self, misfits: &Misfits) -> Result<Option<(usize, usize)>, AlgorithmError> {
        let plain = &misfits.plain_members;
        let mut pairs = metrics::neighbours(misfits);
        pairs.retain(|&(a, b)| plain[a].to_bits() == plain[b].to_bits());
        if pairs.is_empty() {
            return Ok(None);
        }
        self.outputs.rewind();
        let n = self.members.len();
        for range in self.observation.noise().panels(super::evidence::PANEL) {
            let mut panel = Mat::zeros(range.len(), n);
            self.load(&range, &mut panel, &mut vec![0.0; range.len()])?;
            pairs.retain(|&(a, b)| panel.col(a) == panel.col(b));
            if pairs.is_empty() {
                return Ok(None);
            }
        }
        Ok(pairs.first().map(|&(a, b)| (self.members[a], self.members[b])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{observation, rough, standard_prior};
    use crate::kalman::{Momentum, OnTerminate};
    use crate::numerics::linalg;
    use crate::problem::observation::{Block, Covariance};
    use crate::problem::{Algorithm, Evaluated};

    /// Outputs that lie in memory, handed out row by row.
    struct Held<'a>(&'a Mat, Vec<usize>);

    impl Outputs for Held<'_> {
        fn rewind(&mut self) {
            self.1 = vec![0; self.0.ncols()];
        }
        fn read(&mut self, j: usize, rows: &Range<usize>, out: &mut [f64]) -> Result<(), AlgorithmError> {
            assert!(rows.start >= self.1[j], "ascending");
            self.1[j] = rows.end;
            out.copy_from_slice(&self.0.col(j)[rows.clone()]);
            Ok(())
        }
    }

    fn both(kalman: &Kalman, problem: &Problem, u: &Mat, g: &Mat) -> (Step, Option<Step>) {
        let mut state = State::default();
        Progress::default().write(&mut state);
        let (ensemble, draw) = (Ensemble { u: u.clone() }, Streams::new(3));
        let tried = Evaluated { iteration: 1, ensemble: &ensemble, g: g.clone() };
        let whole = kalman.next(problem, state.clone(), &tried, &draw).unwrap();
        assert!(kalman.streams(problem));
        let verdicts: Vec<Verdict> =
            (0..g.ncols()).map(|j| kalman.verdict(g.col(j), &problem.observation)).collect();
        let outputs = &mut Held(g, Vec::new());
        let tried = Tried { iteration: 1, ensemble: &ensemble, verdicts: &verdicts, outputs };
        (whole, kalman.next_streamed(problem, &state, tried, &draw).unwrap())
    }

    fn equal(kalman: &Kalman, problem: &Problem, u: &Mat, g: &Mat) -> Step {
        let (whole, streamed) = both(kalman, problem, u, g);
        let streamed = streamed.expect("products are enough");
        assert_eq!(whole.report, streamed.report);
        assert_eq!(
            (&whole.ensemble, &whole.state, &whole.stop),
            (&streamed.ensemble, &streamed.state, &streamed.stop)
        );
        whole
    }

    #[test]
    fn a_streamed_step_has_the_bits_of_one_in_memory() {
        let (d, p, members) = (3, 54_000, 24);
        let (u, h) = (rough(80, d, members), rough(81, p, d));
        let mut g = linalg::matmul(&h, &u);
        let mut y = rough(82, p, 1).data().to_vec();
        // Rows that were not observed, one alone and a run of them
        y[100] = f64::NAN;
        y[800..3000].fill(f64::NAN);
        let dense = rough(83, 40, 40);
        let dense = Mat::from_fn(40, 40, |i, j| {
            f64::from(u8::from(i == j)) * 9.0 + linalg::matmul_nt(&dense, &dense)[(i, j)]
        });
        let block = |name: &str, y: &[f64]| Block { name: name.into(), y: y.to_vec() };
        let observation = Observation::new(vec![
            (block("a", &y[..53_000]), Covariance::Scalar(90.0)),
            (block("b", &y[53_000..53_040]), Covariance::Dense(dense)),
            (block("c", &y[53_040..]), Covariance::Diagonal((0..960).map(|i| 50.0 + f64::from(i)).collect())),
        ])
        .unwrap();
        let problem = Problem { prior: standard_prior(d), observation };
        for (round, process) in
            [Process::Etki, Process::Eki { perturbed: true }, Process::Eki { perturbed: false }]
                .into_iter()
                .enumerate()
        {
            let momentum = if round == 2 { Momentum::Nesterov } else { Momentum::None };
            let kalman = Kalman { momentum, nan_tolerance: 0.01, ..Kalman::new(process, members) };
            equal(&kalman, &problem, &u, &g);
            if round == 0 {
                // From here on: a failed member, holes in others and in all, twins
                g.col_mut(4).fill(f64::NAN);
                (0..members).for_each(|j| g[(5000, j)] = f64::NAN);
                g[(7, 2)] = f64::NAN;
                g[(50_010, 9)] = f64::INFINITY;
                let twin = g.col(11).to_vec();
                g.col_mut(13).copy_from_slice(&twin);
            } else {
                let step = equal(&kalman, &problem, &u, &g);
                assert_eq!((step.report.set_aside.len(), step.report.imputed), (1, 25));
                assert!(step.report.warnings.iter().any(|w| w.contains("same outputs")));
            }
        }
    }

    #[test]
    fn what_needs_all_outputs_says_so() {
        let (u, g) = (rough(90, 2, 30), rough(91, 40_000, 30));
        let problem = Problem {
            prior: standard_prior(2),
            observation: observation(vec![0.0; 40_000], Covariance::Scalar(1e-9)),
        };
        let kalman = Kalman { schedule: Schedule::Fixed { step: 1.0 }, ..Kalman::new(Process::Etki, 30) };
        assert!(both(&kalman, &problem, &u, &g).1.is_none());
        let endless =
            Schedule::DataMisfit { terminate_at: f64::INFINITY, on_terminate: OnTerminate::Continue };
        equal(&Kalman { schedule: endless, ..kalman.clone() }, &problem, &u, &g);
        let eki = Kalman::new(Process::Eki { perturbed: true }, 30);
        for no in [
            Kalman { nugget: 1e-8, ..eki.clone() },
            Kalman { impose_prior: true, ..eki.clone() },
            Kalman { failures: FailureRule::Ignore, ..eki.clone() },
            Kalman::new(Process::Etki, 20),
        ] {
            assert!(!no.streams(&problem), "{no:?}");
        }
    }
}
