//! Inflation: an ensemble that lost too much of its spread gets some back after each step.
//!
//! Belongs here: how much, in which form, and what is kept for it between steps. Not here: the step.
//!
//! # Source
//! Anderson & Anderson (1999), Mon. Weather Rev. 127, 2741–2758,
//! doi:10.1175/1520-0493(1999)127<2741:AMCIOT>2.0.CO;2; in the form that balances the contraction of one step Δt,
//! with covariance × 1/(1 − sΔt): Huang, Schneider & Stuart (2022), J. Comput. Phys. 463, 111262,
//! doi:10.1016/j.jcp.2022.111262. As in EnsembleKalmanProcesses.jl 2.7.1.

use super::spread::Root;
use crate::numerics::{LinalgError, Mat, linalg};
use crate::problem::{AlgorithmError, State};

/// What is kept between steps: the first ensemble, where its spread is the unit of additive inflation.
const KEPT: &str = "inflation_ensemble";

/// A rule for inflation.
#[derive(Debug, Clone, PartialEq)]
pub enum Inflation {
    /// None
    None,
    /// `ū + (u − ū)/√(1 − sΔt)`: the covariance grows by 1/(1 − sΔt), nobody leaves the span
    Multiplicative(Rate),
    /// `u + √(sΔt/(1 − sΔt)) Σ^½ ξ`: the covariance grows by sΔt/(1 − sΔt) Σ
    Additive {
        /// s
        rate: Rate,
        /// Σ
        of: Sigma,
    },
}

/// The rate s of inflation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// The same at every step
    Fixed(f64),
    /// `s = k min(1, 1/Δt)`: long steps inflate no more than a step of 1
    Capped(f64),
}

/// Which covariance additive inflation adds; those of ensembles have the divisor J − 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Sigma {
    /// That of the first ensemble: scaled as the prior
    Initial,
    /// That of the ensemble itself
    Current,
    /// This variance for each parameter, unit of unconstrained space squared
    Scalar(f64),
    /// These variances, d
    Diagonal(Vec<f64>),
    /// This covariance by its principal root, d × d
    Root(Mat),
}

impl Sigma {
    /// Parameters that it is for; none where it fits any number.
    pub fn parameters(&self) -> Option<usize> {
        match self {
            Self::Diagonal(variances) => Some(variances.len()),
            Self::Root(root) => Some(root.nrows()),
            Self::Initial | Self::Current | Self::Scalar(_) => None,
        }
    }
}

impl Rate {
    /// sΔt, the share of the covariance that a step gives back.
    ///
    /// # Errors
    /// `Inflation` for sΔt of 1 or more.
    pub fn share(self, dt: f64) -> Result<f64, AlgorithmError> {
        let rate = match self {
            Self::Fixed(s) => s,
            Self::Capped(k) => k * f64::min(1.0, 1.0 / dt),
        };
        let share = rate * dt;
        if share < 1.0 { Ok(share) } else { Err(AlgorithmError::Inflation { rate, step: dt }) }
    }
}

/// Share of the covariance that a step gives back at most, where its length was not known beforehand.
const MOST: f64 = 0.9;

impl Inflation {
    /// The same with a rate that a step of this length can bear (`sΔt` at most 0.9), and a word where it had to be less.
    pub fn limited(&self, dt: f64) -> (Self, Option<String>) {
        let mut rule = self.clone();
        let (Self::Multiplicative(rate) | Self::Additive { rate, .. }) = &mut rule else {
            return (rule, None);
        };
        if rate.share(dt).is_ok_and(|share| share <= MOST) {
            return (rule, None);
        }
        let told = format!(
            "the inflation of a step of {dt:.3e} would be without bound: a rate of {:.3e} was taken",
            MOST / dt
        );
        *rate = Rate::Fixed(MOST / dt);
        (rule, Some(told))
    }

    /// Whether standard normals are needed (d for each member).
    pub fn is_random(&self) -> bool {
        matches!(self, Self::Additive { .. })
    }

    /// Inflate the newest ensemble `u` (d × J) after a step of length `dt`, which a row may have of its own.
    ///
    /// `tried` is the ensemble before the step: the first time it is the first ensemble of the run, and is kept
    /// where its covariance will be needed. `xi` are standard normals, d × J, one column per member; not read
    /// where [`Inflation::is_random`] says no.
    ///
    /// # Errors
    /// `Inflation` for sΔt of 1 or more; `Shape` when what was kept is not of this run; `NoConvergence`.
    pub fn apply(
        &self,
        u: &mut Mat,
        tried: &Mat,
        dt: impl Fn(usize) -> f64,
        xi: &Mat,
        state: &mut State,
    ) -> Result<(), AlgorithmError> {
        let shares = |rate: Rate| (0..u.nrows()).map(|i| rate.share(dt(i))).collect::<Result<Vec<f64>, _>>();
        match self {
            Self::None => Ok(()),
            Self::Multiplicative(rate) => {
                let shares = shares(*rate)?;
                multiplicative(u, &shares);
                Ok(())
            }
            Self::Additive { rate, of } => {
                let shares = shares(*rate)?;
                let fits = |found: usize| match u.nrows() {
                    expected if expected == found => Ok(()),
                    expected => Err(AlgorithmError::Shape { what: "inflation_covariance", found, expected }),
                };
                let spread = |u: &Mat| covariance(u).map_err(AlgorithmError::of("the ensemble's spread"));
                let drawn = match of {
                    Sigma::Current => spread(u)?.times(0.0, xi),
                    Sigma::Initial => {
                        let first = state.arrays.entry(KEPT.into()).or_insert_with(|| tried.clone());
                        if first.nrows() != u.nrows() {
                            let (found, expected) = (first.nrows(), u.nrows());
                            return Err(AlgorithmError::Shape { what: KEPT, found, expected });
                        }
                        spread(first)?.times(0.0, xi)
                    }
                    Sigma::Scalar(variance) => {
                        Mat::from_fn(xi.nrows(), xi.ncols(), |i, j| variance.sqrt() * xi[(i, j)])
                    }
                    Sigma::Diagonal(variances) => {
                        fits(variances.len())?;
                        Mat::from_fn(xi.nrows(), xi.ncols(), |i, j| variances[i].sqrt() * xi[(i, j)])
                    }
                    Sigma::Root(root) => {
                        fits(root.nrows())?;
                        linalg::matmul(root, xi) // d × J
                    }
                };
                additive(u, &shares, &drawn);
                Ok(())
            }
        }
    }
}

fn covariance(u: &Mat) -> Result<Root, LinalgError> {
    Root::of(u, u.ncols() as f64 - 1.0)
}

/// `ū + (u − ū)/√(1 − share)`, row by row.
fn multiplicative(u: &mut Mat, shares: &[f64]) {
    let mean = u.mean();
    let factors: Vec<f64> = shares.iter().map(|share| 1.0 / (1.0 - share).sqrt()).collect();
    for j in 0..u.ncols() {
        let rows = u.col_mut(j).iter_mut().zip(&mean).zip(&factors);
        rows.for_each(|((u, m), factor)| *u = m + (*u - m) * factor);
    }
}

/// `u + √(share/(1 − share)) Σ^½ ξ`, row by row, from `drawn` = Σ^½ ξ, d × J.
fn additive(u: &mut Mat, shares: &[f64], drawn: &Mat) {
    let factors: Vec<f64> = shares.iter().map(|share| (share / (1.0 - share)).sqrt()).collect();
    for j in 0..u.ncols() {
        let rows = u.col_mut(j).iter_mut().zip(drawn.col(j)).zip(&factors);
        rows.for_each(|((u, x), factor)| *u += factor * x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kalman::given::{apart, rough};
    use crate::numerics::fixture::Fixture;
    use crate::numerics::linalg::Cholesky;

    #[test]
    fn reference_values_are_met() {
        for case in Fixture::read("extras").cases("inflate_*") {
            let inputs = &case.inputs;
            let (mut u, s, dt) = (inputs.matrix("u"), inputs.number("s"), inputs.number("dt"));
            let share = Rate::Fixed(s).share(dt);
            let each = |share: f64| vec![share; u.nrows()];
            if case.name == "inflate_error" {
                assert!(matches!(share, Err(AlgorithmError::Inflation { rate: 2.0, step: 0.5 })));
                continue;
            }
            let shares = each(share.unwrap());
            if inputs.has("cov") {
                // Columns ±L of Σ = L Lᵀ have covariance Σ with divisor 2.
                let l = Cholesky::new(&inputs.matrix("cov")).unwrap();
                let d = u.nrows();
                let sign = |j| if j < d { 1.0 } else { -1.0 };
                let columns = Mat::from_fn(d, 2 * d, |i, j| sign(j) * l.factor()[(i, j % d)]);
                let root = Root::of(&columns, 2.0).unwrap();
                additive(&mut u, &shares, &root.times(0.0, &inputs.matrix("xi")));
            } else {
                multiplicative(&mut u, &shares);
            }
            case.assert_near("u", u.data(), case.expected.matrix("u").data());
        }
    }

    #[test]
    fn the_covariance_grows_as_promised_and_the_first_spread_is_remembered() {
        let (first, later) = (rough(1, 3, 400_000), rough(2, 3, 400_000));
        let xi = rough(3, 3, 400_000);
        let cov = |u: &Mat| linalg::covariance(u, 399_999.0);
        let mut wide = later.clone();
        wide.data_mut().iter_mut().for_each(|u| *u *= 0.1);
        let mut state = State::default();
        let rule = Inflation::Additive { rate: Rate::Fixed(0.5), of: Sigma::Initial };
        let mut one = wide.clone();
        rule.apply(&mut one, &first, |_| 0.4, &xi, &mut state).unwrap();
        // 0.01 I + 0.2/0.8 I: three standard errors of a variance, 3 √(2/J)
        let want = Mat::from_fn(3, 3, |i, j| if i == j { 0.26 } else { 0.0 });
        assert!(apart(cov(&one).data(), want.data()) < 3.0 * (2.0f64 / 400_000.0).sqrt());
        // The second step finds the first ensemble, whatever was tried before it
        let mut two = wide.clone();
        rule.apply(&mut two, &wide, |_| 0.4, &xi, &mut state).unwrap();
        assert_eq!(one, two);
        // Both forms agree in law where the ensemble's own spread is added
        let (mut times, mut plus) = (wide.clone(), wide.clone());
        let rate = Rate::Fixed(0.5);
        Inflation::Multiplicative(rate).apply(&mut times, &first, |_| 0.4, &xi, &mut state).unwrap();
        Inflation::Additive { rate, of: Sigma::Current }
            .apply(&mut plus, &first, |_| 0.4, &xi, &mut state)
            .unwrap();
        assert!(apart(cov(&plus).data(), cov(&times).data()) < 3.0 * (2.0f64 / 400_000.0).sqrt());
        assert!(apart(&times.mean(), &wide.mean()) < 1e-9);
    }

    #[test]
    fn a_covariance_of_the_users_is_added_as_it_is() {
        let (u, xi) = (rough(1, 2, 200_000), rough(2, 2, 200_000));
        let grown = |of: Sigma| {
            let mut after = u.clone();
            let rule = Inflation::Additive { rate: Rate::Fixed(0.5), of };
            rule.apply(&mut after, &u, |_| 1.0, &xi, &mut State::default()).unwrap();
            linalg::covariance(&after, 199_999.0)
        };
        // I + 0.5/0.5 Sigma, to three standard errors of a variance of 5
        let near = 3.0 * 5.0 * (2.0f64 / 200_000.0).sqrt();
        assert!(apart(grown(Sigma::Scalar(2.0)).data(), &[3.0, 0.0, 0.0, 3.0]) < near);
        assert!(apart(grown(Sigma::Diagonal(vec![4.0, 0.0])).data(), &[5.0, 0.0, 0.0, 1.0]) < near);
        let sigma = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { 1.0 });
        let root = linalg::symmetric_root(&sigma).unwrap();
        assert!(apart(grown(Sigma::Root(root)).data(), &[3.0, 1.0, 1.0, 3.0]) < near);
        let rule = Inflation::Additive { rate: Rate::Fixed(0.5), of: Sigma::Diagonal(vec![1.0]) };
        let wrong = rule.apply(&mut u.clone(), &u, |_| 1.0, &xi, &mut State::default());
        assert!(matches!(wrong, Err(AlgorithmError::Shape { what: "inflation_covariance", .. })));
    }

    #[test]
    fn long_steps_inflate_no_more_than_a_step_of_one() {
        assert_eq!(Rate::Capped(1e-3).share(0.5).unwrap(), 0.5e-3);
        assert!((Rate::Capped(1e-3).share(1e9).unwrap() - 1e-3).abs() < 1e-18);
        assert!(Rate::Fixed(0.1).share(10.0).is_err());
        // A step that nobody could know beforehand inflates as much as it can bear, and says so
        let rule = Inflation::Multiplicative(Rate::Fixed(0.1));
        assert_eq!(rule.limited(5.0), (rule.clone(), None));
        let (less, told) = rule.limited(20.0);
        assert!(
            matches!(less, Inflation::Multiplicative(rate) if (rate.share(20.0).unwrap() - 0.9).abs() < 1e-12)
        );
        assert!(told.unwrap().contains("a rate of 4.500e-2 was taken"));
    }
}
