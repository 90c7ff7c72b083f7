//! Momentum: a step goes on a little in the direction of the one before.
//!
//! Belongs here: rules for the push, and what they keep between steps. Not here: the step itself.
//!
//! # Source
//! Nesterov (1983), Doklady AN SSSR 269, 543–547, with the recursion of Su, Boyd & Candès (2016), JMLR 17(153);
//! the first-order rule is eq. (7) there, a heavy ball of constant weight Polyak (1964), USSR Comput. Math. Math.
//! Phys. 4, 1–17, doi:10.1016/0041-5553(64)90137-5; for ensembles Vernon, Bach & Dunbar (2025), arXiv:2501.08779.
//! As the accelerators of EnsembleKalmanProcesses.jl 2.7.1, but that a member drawn anew after a failure gets no push: it did not move.

use crate::numerics::Mat;
use crate::problem::{AlgorithmError, State};

/// What is kept between steps: the ensemble before its push, θ of Nesterov's rule, steps so far of the first-order rule.
const KEPT: (&str, &str, &str) = ("momentum_ensemble", "momentum_theta", "momentum_steps");

/// A rule for momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Momentum {
    /// None
    None,
    /// β_k = θ_k (1/θ_{k−1} − 1) with θ_0 = 1, θ_k = (√(θ⁴_{k−1} + 4 θ²_{k−1}) − θ²_{k−1}) / 2: 0, 0.28, 0.43, …
    Nesterov,
    /// β_k = 1 − r/(k + 2): 0, 1/4, 2/5, … for r = 3, and slower to begin for larger r
    FirstOrder {
        /// r ≥ 3 in the theory
        r: f64,
    },
    /// β the same at every step
    Constant {
        /// β
        factor: f64,
    },
}

impl Momentum {
    /// `v = u + β (u − u_prev)`, where u is this step's ensemble and u_prev the last one's, both before their push.
    ///
    /// | symbol | argument | shape | unit |
    /// |---|---|---|---|
    /// | u | `moved` | d × J | unconstrained parameter space |
    /// | u_prev | `tried` at the first step, then from `state` | d × J | the same |
    /// | | `redrawn` | indices of members that did not move | |
    ///
    /// # Errors
    /// `State` or `Shape` when what was kept does not belong to this ensemble.
    pub fn push(
        self,
        moved: Mat,
        tried: &Mat,
        redrawn: &[usize],
        state: &mut State,
    ) -> Result<Mat, AlgorithmError> {
        if self == Self::None {
            return Ok(moved);
        }
        let (beta, counter) = self.weight(state);
        let previous = state.arrays.get(KEPT.0).unwrap_or(tried);
        if previous.nrows() != moved.nrows() || previous.ncols() != moved.ncols() {
            let (found, expected) = (previous.ncols(), moved.ncols());
            return Err(AlgorithmError::Shape { what: KEPT.0, found, expected });
        }
        let pushed = Mat::from_fn(moved.nrows(), moved.ncols(), |i, j| {
            let u = moved[(i, j)];
            if redrawn.contains(&j) { u } else { u + beta * (u - previous[(i, j)]) }
        });
        if !pushed.is_finite() {
            return Err(AlgorithmError::NotFinite);
        }
        if let Some((key, value)) = counter {
            state.scalars.insert(key.into(), value);
        }
        state.arrays.insert(KEPT.0.into(), moved);
        Ok(pushed)
    }

    /// β of the step after `state`, and what the rule will count by: a name and its new value.
    fn weight(self, state: &State) -> (f64, Option<(&'static str, f64)>) {
        let kept = |key: &str, none: f64| state.scalars.get(key).copied().unwrap_or(none);
        match self {
            Self::None => (0.0, None),
            Self::Constant { factor } => (factor, None),
            Self::Nesterov => {
                let before = kept(KEPT.1, 1.0);
                let theta = ((before * before + 4.0).sqrt() - before) * before / 2.0;
                (theta * (1.0 / before - 1.0), Some((KEPT.1, theta)))
            }
            Self::FirstOrder { r } => {
                let k = kept(KEPT.2, 0.0) + 1.0;
                (1.0 - r / (k + 2.0), Some((KEPT.2, k)))
            }
        }
    }

    /// Remember an ensemble that another program made in place of [`Momentum::push`]: what it was before its push,
    /// `u = (v + β u_prev) / (1 + β)`, takes the place of what was kept in `after`.
    ///
    /// | symbol | argument | shape | unit |
    /// |---|---|---|---|
    /// | v | `next` | d × J | unconstrained parameter space |
    /// | u_prev | `tried` at the first step, then from `before` | d × J | the same |
    /// | | `redrawn` | indices of members that got no push | |
    pub fn recall(self, before: &State, tried: &Mat, next: &Mat, redrawn: &[usize], after: &mut State) {
        if self == Self::None {
            return;
        }
        let (beta, _) = self.weight(before);
        let previous = before.arrays.get(KEPT.0).unwrap_or(tried);
        let moved = Mat::from_fn(next.nrows(), next.ncols(), |i, j| {
            let v = next[(i, j)];
            if redrawn.contains(&j) { v } else { (v + beta * previous[(i, j)]) / (1.0 + beta) }
        });
        after.arrays.insert(KEPT.0.into(), moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(x: &[f64]) -> Mat {
        Mat::from_columns(1, x.len(), x.to_vec())
    }

    #[test]
    fn nesterov_repeats_the_published_sequence() {
        // θ: 1, (√5 − 1)/2, … and β: 0, then 0.2817… (EKP.jl's first two), then towards 1 like 1 − 3/k
        let mut state = State::default();
        let mut betas = Vec::new();
        for k in 0..200 {
            // Each step moves by one: the push is β itself.
            let (tried, moved) = (line(&[f64::from(k)]), line(&[f64::from(k + 1)]));
            let pushed = Momentum::Nesterov.push(moved.clone(), &tried, &[], &mut state).unwrap();
            betas.push(pushed[(0, 0)] - moved[(0, 0)]);
        }
        assert!((state.scalars["momentum_theta"] - 2.0 / 202.0).abs() < 3e-4); // θ_k ≈ 2/(k + 2)
        let theta = (5f64.sqrt() - 1.0) / 2.0;
        let next = ((theta.powi(4) + 4.0 * theta * theta).sqrt() - theta * theta) / 2.0;
        assert_eq!(betas[0], 0.0);
        assert!((betas[1] - next * (1.0 / theta - 1.0)).abs() < 1e-15);
        assert!((betas[1] - 0.2818).abs() < 1e-4);
        assert!(betas.windows(2).all(|b| b[0] < b[1]));
        assert!((betas[199] - (1.0 - 3.0 / 202.0)).abs() < 1e-3);
    }

    #[test]
    fn what_another_program_pushed_is_known_from_where_it_went() {
        for rule in [Momentum::Nesterov, Momentum::FirstOrder { r: 3.0 }, Momentum::Constant { factor: 0.9 }]
        {
            let (mut tried, mut own, mut theirs) = (line(&[0.0, 1.0]), State::default(), State::default());
            for k in 1..5 {
                let moved = line(&[f64::from(k * k), 1.0 - f64::from(k)]);
                let before = theirs.clone();
                let pushed = rule.push(moved.clone(), &tried, &[], &mut own).unwrap();
                // Given a replay that came out somewhere else
                rule.push(line(&[-7.0, 7.0]), &tried, &[], &mut theirs).unwrap();
                // When it is told where they went, then it remembers what they do
                rule.recall(&before, &tried, &pushed, &[], &mut theirs);
                assert_eq!(own.scalars, theirs.scalars);
                for (a, b) in own.arrays[KEPT.0].data().iter().zip(theirs.arrays[KEPT.0].data()) {
                    assert!((a - b).abs() < 1e-12 * a.abs().max(1.0), "{a} {b}"); // round-off of a few products
                }
                tried = pushed;
            }
        }
    }

    #[test]
    fn reference_values_are_met() {
        use crate::numerics::fixture::Fixture;
        for case in Fixture::read("extras").cases("nesterov*") {
            let inputs = &case.inputs;
            let rule = match case.name.as_str() {
                "nesterov" => Momentum::Nesterov,
                "nesterov_first_order" => Momentum::FirstOrder { r: inputs.number("r") },
                _ => Momentum::Constant { factor: inputs.number("lambda") },
            };
            let (mut tried, mut state) = (inputs.matrix("u0"), State::default());
            for (moved, want) in inputs.matrices("updates").into_iter().zip(case.expected.matrices("v")) {
                tried = rule.push(moved, &tried, &[], &mut state).unwrap();
                case.assert_near("v", tried.data(), want.data());
            }
            if case.expected.has("theta") {
                let last = *case.expected.vector("theta").last().unwrap();
                case.assert_near("theta", &[state.scalars[KEPT.1]], &[last]);
            }
        }
    }

    #[test]
    fn who_did_not_move_gets_no_push_now_nor_for_its_jump_later() {
        // Every rule remembers the new value of a member drawn anew, so that its jump is no direction.
        for rule in [Momentum::FirstOrder { r: 3.0 }, Momentum::Constant { factor: 0.9 }] {
            let mut state = State::default();
            rule.push(line(&[1.0, 1.0]), &line(&[0.0, 0.0]), &[], &mut state).unwrap();
            let second = rule.push(line(&[2.0, 50.0]), &line(&[0.0, 0.0]), &[1], &mut state).unwrap();
            assert!(second[(0, 0)] > 2.0 && second[(0, 1)] == 50.0, "{second:?}");
            let third = rule.push(line(&[2.0, 50.0]), &line(&[0.0, 0.0]), &[], &mut state).unwrap();
            assert_eq!(third, line(&[2.0, 50.0]));
        }
        let mut state = State::default();
        let push = |state: &mut State, moved: &[f64], redrawn: &[usize]| {
            let pushed = Momentum::Nesterov.push(line(moved), &line(&[0.0, 0.0]), redrawn, state).unwrap();
            pushed.data().to_vec()
        };
        assert_eq!(push(&mut state, &[1.0, 1.0], &[]), [1.0, 1.0]);
        let second = push(&mut state, &[2.0, 50.0], &[1]);
        assert!(second[0] > 2.28 && second[1] == 50.0, "{second:?}");
        let third = push(&mut state, &[2.0, 50.0], &[]);
        assert_eq!(third, [2.0, 50.0]);
        // Another ensemble size: the state is not of this run
        assert!(Momentum::Nesterov.push(line(&[1.0]), &line(&[1.0]), &[], &mut state).is_err());
        assert_eq!(Momentum::None.push(line(&[1.0]), &line(&[0.0]), &[], &mut state).unwrap(), line(&[1.0]));
    }
}
