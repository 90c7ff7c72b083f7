//! Step lengths: how much of the data's weight one step takes.
//!
//! Belongs here: rules for Δt, and when the pseudo-time is used up. Not here: what is done with Δt.

use super::evidence::{Evidence, Misfits};
use super::sampler;
use crate::numerics::columns;
use crate::problem::{AlgorithmError, State};

/// A rule for the step length Δt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Schedule {
    /// Always the same
    Fixed {
        /// Δt > 0
        step: f64,
    },
    /// The same until a person sets another length for the steps to come
    Mutable {
        /// Δt > 0
        step: f64,
    },
    /// `a / (‖D‖_F + eps)` with the drift matrix D of the samplers: short where the data pull hard
    EksStable {
        /// a > 0
        numerator: f64,
    },
    /// The data-misfit controller
    DataMisfit {
        /// The pseudo-time T to reach: 1 gives the data their weight once; may be infinite
        terminate_at: f64,
        /// What happens then
        on_terminate: OnTerminate,
    },
}

/// What happens when the pseudo-time is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTerminate {
    /// The run is over
    Stop,
    /// Steps go on with the last length
    ContinueFixed,
    /// Steps go on with the controller's length
    Continue,
}

/// Where a run stands between steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Progress {
    /// Sum of steps
    pub time: f64,
    /// Last step
    pub step: f64,
    /// The step that took the remainder to T was made. A flag, because `t + (T − t)` may round below T.
    pub reached: bool,
}

impl Progress {
    /// As kept between calls.
    ///
    /// # Errors
    /// `State` when an entry is missing.
    pub fn read(state: &State) -> Result<Self, AlgorithmError> {
        let entry = |key: &str| {
            let found = state.scalars.get(key).copied();
            found.ok_or_else(|| AlgorithmError::State { key: key.to_owned() })
        };
        Ok(Self { time: entry("time")?, step: entry("step")?, reached: entry("reached")? != 0.0 })
    }

    /// The same where a shorter step was made than was planned: the remainder to T is still to be taken.
    #[must_use]
    pub fn shortened(self, before: &Self, step: f64) -> Self {
        if step == self.step {
            return self;
        }
        Self { time: before.time + step, step, reached: before.reached }
    }

    /// Keep it.
    pub fn write(&self, state: &mut State) {
        let reached = f64::from(u8::from(self.reached));
        for (key, value) in [("time", self.time), ("step", self.step), ("reached", reached)] {
            state.scalars.insert(key.to_owned(), value);
        }
    }
}

impl Schedule {
    /// Whether no step may follow.
    pub fn is_over(&self, progress: &Progress) -> bool {
        let stops = matches!(self, Self::DataMisfit { on_terminate: OnTerminate::Stop, .. });
        stops && progress.reached
    }

    /// Refuse a step after the last.
    ///
    /// # Errors
    /// `Over`.
    pub fn may_go_on(&self, progress: &Progress) -> Result<(), AlgorithmError> {
        if self.is_over(progress) { Err(AlgorithmError::Over { time: progress.time }) } else { Ok(()) }
    }

    /// The next step: its length, and where the run stands after it.
    ///
    /// Controller, with `Φⱼ = ½ (gⱼ − y)ᵀ Γ⁻¹ (gⱼ − y)`: `q = max(p / 2 mean Φ, √(p / 2 var Φ))` (divisor J − 1), and
    /// no further than T. Fits that are perfect or all alike ask for an infinite step: then the remainder, or 1.
    ///
    /// # Errors
    /// `Over` after the last step; `NoConvergence` for misfits beyond all numbers.
    ///
    /// # Source
    /// Controller: Iglesias & Yang (2021), Inverse Problems 37, 025008, doi:10.1088/1361-6420/abd29b. Stable step:
    /// Kovachki & Stuart (2019), Inverse Problems 35, 095005, doi:10.1088/1361-6420/ab1c3a.
    pub fn next(
        &self,
        progress: &Progress,
        misfits: &Misfits,
        evidence: &Evidence,
    ) -> Result<Progress, AlgorithmError> {
        self.may_go_on(progress)?;
        let on = |step: f64| Progress { time: progress.time + step, step, reached: false };
        let (terminate_at, on_terminate) = match *self {
            Self::Fixed { step } | Self::Mutable { step } => return Ok(on(step)),
            Self::EksStable { numerator } => {
                let drift = sampler::drift(evidence);
                let pull = columns::dot(drift.data(), drift.data());
                let step = numerator / (pull.sqrt() + f64::EPSILON);
                if !step.is_finite() || step <= 0.0 {
                    return Err(AlgorithmError::NoConvergence { what: "the misfits" });
                }
                return Ok(on(step));
            }
            Self::DataMisfit { terminate_at, on_terminate } => (terminate_at, on_terminate),
        };
        if progress.reached && on_terminate == OnTerminate::ContinueFixed {
            return Ok(Progress { time: progress.time + progress.step, ..*progress });
        }
        let q = controller(misfits);
        if q.is_nan() || q <= 0.0 {
            return Err(AlgorithmError::NoConvergence { what: "the misfits" });
        }
        if progress.reached {
            let step = if q.is_finite() { q } else { 1.0 };
            return Ok(Progress { time: progress.time + step, step, reached: true });
        }
        let remainder = terminate_at - progress.time;
        if q >= remainder && remainder.is_finite() {
            return Ok(Progress { time: terminate_at, step: remainder, reached: true });
        }
        let step = if q.is_finite() { q } else { 1.0 };
        Ok(Progress { time: progress.time + step, step, reached: false })
    }
}

/// q of the controller; infinite where nothing limits it.
fn controller(misfits: &Misfits) -> f64 {
    let n = misfits.members.len() as f64;
    let p = misfits.rows as f64;
    let mean = misfits.members.iter().map(|m| 0.5 * m).sum::<f64>() / n;
    let variance = misfits.members.iter().map(|m| (0.5 * m - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // A variance that overflows leaves the mean to decide.
    let by_spread = if variance.is_finite() { (p / (2.0 * variance)).sqrt() } else { 0.0 };
    (p / (2.0 * mean)).max(by_spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::etki;
    use crate::kalman::evidence::{Keep, Rows, gather};
    use crate::kalman::given::{covariance, noise};
    use crate::numerics::fixture::Fixture;

    #[test]
    fn the_controller_repeats_the_reference_runs() {
        for case in Fixture::read("schedulers").cases("*") {
            let inputs = &case.inputs;
            let y = inputs.vector("y");
            let noise = noise(&[(covariance(inputs), y.len())]);
            let on_terminate = match inputs.word("on_terminate") {
                "stop" => OnTerminate::Stop,
                "continue_fixed" => OnTerminate::ContinueFixed,
                _ => OnTerminate::Continue,
            };
            let schedule = Schedule::DataMisfit { terminate_at: inputs.number("terminate_at"), on_terminate };
            let (mut u, mut at, mut steps) = (inputs.matrix("u"), Progress::default(), Vec::new());
            let want = case.expected.matrices("u_per_step");
            for (g, want) in inputs.matrices("g_per_step").iter().zip(&want) {
                assert!(!schedule.is_over(&at), "{}: one step too few", case.name);
                let rows: Vec<usize> = (0..g.nrows()).collect();
                let members: Vec<usize> = (0..g.ncols()).collect();
                let rows = Rows { g, rows: &rows, members: &members, y: &y, noise: &noise };
                let (evidence, misfits) = gather(&rows, Keep::Gram);
                at = schedule.next(&at, &misfits, &evidence).unwrap();
                steps.push(at.step);
                u = etki::update(&u, &evidence, at.step).unwrap();
                case.assert_near("u", u.data(), want.data());
            }
            case.assert_near("dt", &steps, &case.expected.vector("dt"));
            let ends = case.expected.words("outcome").last().unwrap() == "terminated";
            assert_eq!(schedule.is_over(&at), ends, "{}", case.name);
        }
    }

    #[test]
    fn the_stable_step_is_that_of_the_reference_in_both_forms() {
        for case in Fixture::read("samplers").cases("*_stable_step") {
            let inputs = &case.inputs;
            let (g, y) = (inputs.matrix("g"), inputs.vector("y"));
            let noise = noise(&[(covariance(inputs), y.len())]);
            for keep in [Keep::Gram, Keep::Whitened] {
                let evidence = crate::kalman::given::evidence(&g, &y, &noise, keep);
                let schedule = Schedule::EksStable { numerator: inputs.number("numerator") };
                let at = schedule.next(&Progress::default(), &Misfits::default(), &evidence).unwrap();
                case.assert_near("dt", &[at.step], &[case.expected.number("dt")]);
            }
        }
    }

    #[test]
    fn a_step_that_may_change_adds_up_like_a_fixed_one() {
        let mut at = Progress::default();
        for step in [0.5, 0.25, 0.25] {
            at = Schedule::Mutable { step }.next(&at, &misfits(&[1.0]), &none()).unwrap();
        }
        assert_eq!(at, Progress { time: 1.0, step: 0.25, reached: false });
        assert!(!Schedule::Mutable { step: 1.0 }.is_over(&at));
    }

    fn none() -> Evidence {
        Evidence::Gram { s: Default::default(), b: Vec::new() }
    }

    fn misfits(members: &[f64]) -> Misfits {
        Misfits { rows: 2, members: members.to_vec(), ..Misfits::default() }
    }

    fn to(terminate_at: f64, on_terminate: OnTerminate) -> Schedule {
        Schedule::DataMisfit { terminate_at, on_terminate }
    }

    #[test]
    fn the_remainder_reaches_the_end_whatever_rounding_says() {
        // 0.1 + (1 − 0.1) and the like need not be 1.
        for start in [0.1, 0.3, 0.7, 1.0 / 3.0, 0.999_999_9] {
            let at = Progress { time: start, step: 0.1, reached: false };
            let stop = to(1.0, OnTerminate::Stop);
            let end = stop.next(&at, &misfits(&[0.0, 0.0]), &none()).unwrap();
            assert_eq!((end.time, end.reached), (1.0, true));
            assert!(stop.is_over(&end));
            assert!(matches!(
                stop.next(&end, &misfits(&[1.0, 2.0]), &none()),
                Err(AlgorithmError::Over { .. })
            ));
        }
    }

    #[test]
    fn perfect_fits_and_equal_fits_take_the_remainder_or_one() {
        let at = Progress::default();
        for members in [[0.0, 0.0], [4.0, 4.0]] {
            assert_eq!(to(2.5, OnTerminate::Stop).next(&at, &misfits(&members), &none()).unwrap().step, 2.5);
            let endless =
                to(f64::INFINITY, OnTerminate::Stop).next(&at, &misfits(&members), &none()).unwrap();
            assert_eq!((endless.step, endless.reached), (1.0, false));
        }
        let nan = to(1.0, OnTerminate::Stop).next(&at, &misfits(&[f64::NAN, 1.0]), &none());
        assert!(matches!(nan, Err(AlgorithmError::NoConvergence { .. })));
    }

    #[test]
    fn progress_survives_its_state() {
        let at = Progress { time: 0.1 + 0.2, step: 0.2, reached: true };
        let mut state = State::default();
        at.write(&mut state);
        assert_eq!(Progress::read(&state).unwrap(), at);
        state.scalars.remove("step");
        assert!(matches!(Progress::read(&state), Err(AlgorithmError::State { key }) if key == "step"));
    }
}
