//! `constrained_gaussian`: the normal law in unconstrained space whose image has a given mean and spread.
//!
//! One-sided: a shifted log-normal, in closed form. Two-sided: a logit-normal, whose moments have no
//! closed form (Atchison & Shen 1980, doi:10.1093/biomet/67.2.261); found to round-off by Newton's method.
//! EKP.jl minimises with a loose simplex, and differs by about 1e-4 in mean and standard deviation.

use super::constraint::Constraint;
use super::grammar::Gaussian;
use super::place::Fault;
use super::token::Number;
use crate::explain::plain;

/// What the search found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Mean in unconstrained space
    pub(super) mu: f64,
    /// Standard deviation in unconstrained space
    pub(super) sigma: f64,
    pub(super) constraint: Constraint,
    /// Mean and standard deviation of the image are those asked for
    pub(super) exact: bool,
    /// A bound is nearer to the mean than 1.2 standard deviations
    pub(super) near_bound: bool,
}

/// Check what was asked for, and find the law.
pub(super) fn fit(asked: &Gaussian) -> Result<Fit, Fault> {
    let (mean, std) = (asked.mean.value, asked.std.value);
    let (lower, upper) = (asked.lower.value, asked.upper.value);
    let constraint = Constraint::new(lower, upper).ok_or_else(|| {
        let label = format!("lower {}, upper {}, the first must be smaller", julia(lower), julia(upper));
        Fault::new(asked.lower.at.start..asked.upper.at.end, "nothing lies between these bounds", label)
    })?;
    let wrong = |n: &Number, title: &str, allowed: String| {
        Err(Fault::new(n.at.clone(), title, format!("found {}, allowed: {allowed}", julia(n.value))))
    };
    if !(lower < mean && mean < upper) {
        let allowed = match (lower.is_finite(), upper.is_finite()) {
            (true, false) => format!("larger than {}", julia(lower)),
            (false, true) => format!("smaller than {}", julia(upper)),
            _ => format!("larger than {} and smaller than {}", julia(lower), julia(upper)),
        };
        return wrong(&asked.mean, "the mean lies outside the bounds", allowed);
    }
    if std < f64::MIN_POSITIVE {
        return wrong(&asked.std, "the standard deviation is too small", "larger than 0".into());
    }
    if matches!(constraint, Constraint::Between(..)) && !(mean - std > lower && mean + std < upper) {
        let allowed = format!("smaller than {}", julia((mean - lower).min(upper - mean)));
        let title = "mean ± one standard deviation lies outside the bounds";
        return wrong(&asked.std, title, allowed);
    }
    let (mu, sigma, exact) = solve(mean, std, constraint);
    if !(mu.is_finite() && sigma.is_finite() && sigma > 0.0) {
        let allowed = "a ratio to the distance of the bounds that a double can hold".to_owned();
        return wrong(&asked.std, "no normal distribution has this image", allowed);
    }
    let near_bound = mean - 1.2 * std <= lower || mean + 1.2 * std >= upper;
    Ok(Fit { mu, sigma, constraint, exact, near_bound })
}

/// A number as it stands in these expressions.
fn julia(x: f64) -> String {
    plain(x).replace("inf", "Inf")
}

/// Mean and standard deviation in unconstrained space, and whether they fit to 1e-10 of the interval.
fn solve(mean: f64, std: f64, constraint: Constraint) -> (f64, f64, bool) {
    let one_sided = |distance: f64| {
        let q = (std / distance).powi(2).ln_1p();
        (distance.ln() - 0.5 * q, q.sqrt(), true)
    };
    match constraint {
        Constraint::Free => (mean, std, true),
        Constraint::Below(a) => one_sided(mean - a),
        Constraint::Above(b) => one_sided(b - mean),
        Constraint::Between(a, b) => {
            // Seen from the nearer bound: then the logistic is small and keeps its digits.
            let (from_a, from_b) = (mean - a, b - mean);
            let (mu, sigma, exact) = LogitNormal::new().solve(from_a.min(from_b) / (b - a), std / (b - a));
            (if from_a <= from_b { mu } else { -mu }, sigma, exact)
        }
    }
}

/// Expectations under a standard normal z, by the trapezoid rule on [−12, 12] with 4001 nodes. The
/// integrand is analytic in a strip of half-width π/σ, hence the rule is exact to rounding for every σ
/// that occurs (Trefethen & Weideman 2014, doi:10.1137/130932132).
struct LogitNormal {
    nodes: Vec<(f64, f64)>,
}

impl LogitNormal {
    fn new() -> Self {
        const LAST: u32 = 4000;
        let node = |k: u32| -12.0 + 24.0 * f64::from(k) / f64::from(LAST);
        let weight = |z: f64| (-0.5 * z * z).exp();
        let sum: f64 = (0..=LAST).map(|k| weight(node(k))).sum();
        Self { nodes: (0..=LAST).map(|k| (node(k), weight(node(k)) / sum)).collect() }
    }

    /// Mean and standard deviation of logistic(mu + sigma z).
    fn moments(&self, mu: f64, sigma: f64) -> (f64, f64) {
        let logistic = |z: f64| Constraint::Between(0.0, 1.0).constrain(mu + sigma * z);
        let values: Vec<f64> = self.nodes.iter().map(|(z, _)| logistic(*z)).collect();
        let mean: f64 = self.nodes.iter().zip(&values).map(|((_, w), s)| w * s).sum();
        let variance: f64 =
            self.nodes.iter().zip(&values).map(|((_, w), s)| w * (s - mean) * (s - mean)).sum();
        (mean, variance.sqrt())
    }

    /// Damped Newton in (mu, ln sigma) for mean `m0` ≤ 1/2 and standard deviation `s0` on the unit interval.
    fn solve(&self, m0: f64, s0: f64) -> (f64, f64, bool) {
        // The mean is compared relative to its size, so that an answer near a bound keeps its digits, too.
        let scale = m0 * (1.0 - m0);
        let residual = |[mu, tau]: [f64; 2]| {
            let (m, s) = self.moments(mu, tau.exp());
            [(m - m0) / scale, s.ln() - s0.ln()]
        };
        let size = |r: [f64; 2]| r[0].hypot(r[1]);
        let mut x = [m0.ln() - (-m0).ln_1p(), (s0 / scale).ln()];
        let mut r = residual(x);
        'newton: for _ in 0..200 {
            if r[0].abs().max(r[1].abs()) <= 1e-14 {
                break;
            }
            const H: f64 = 1e-6;
            let column = |k: usize| {
                let (mut up, mut down) = (x, x);
                up[k] += H;
                down[k] -= H;
                let (up, down) = (residual(up), residual(down));
                [(up[0] - down[0]) / (2.0 * H), (up[1] - down[1]) / (2.0 * H)]
            };
            let (p, q) = (column(0), column(1));
            let determinant = p[0] * q[1] - q[0] * p[1];
            let step = [(q[0] * r[1] - q[1] * r[0]) / determinant, (p[1] * r[0] - p[0] * r[1]) / determinant];
            let mut length = 1.0;
            for _ in 0..=30 {
                let trial = [x[0] + length * step[0], x[1] + length * step[1]];
                let found = residual(trial);
                if size(found) < size(r) {
                    (x, r) = (trial, found);
                    continue 'newton;
                }
                length *= 0.5;
            }
            break; // the rounding floor, near 1e-15
        }
        let (m, s) = self.moments(x[0], x[1].exp());
        (x[0], x[1].exp(), (m - m0).abs() <= 1e-10 && (s - s0).abs() <= 1e-10)
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::{self, Expression};
    use super::*;
    use crate::numerics::fixture::Fixture;

    fn read(mean: f64, std: f64, lower: f64, upper: f64) -> Result<Fit, Fault> {
        let [mean, std, lower, upper] = [mean, std, lower, upper].map(julia);
        let text = format!("constrained_gaussian(x, {mean}, {std}, {lower}, {upper})");
        match grammar::prior(&text)? {
            Expression::Gaussian(asked) => fit(&asked),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_second_implementation_finds_the_same() {
        for case in Fixture::read("priors").cases("cg_*|transform_*") {
            let (given, want) = (&case.inputs, &case.expected);
            let (lower, upper) = (given.number("lower"), given.number("upper"));
            if case.name.starts_with("transform_") {
                let constraint = Constraint::new(lower, upper).unwrap();
                let phi: Vec<f64> = given.vector("u").iter().map(|u| constraint.constrain(*u)).collect();
                case.assert_near("phi", &phi, &want.vector("phi"));
                let back = given.vector("phi_back");
                let back: Vec<f64> = back.iter().map(|x| constraint.unconstrain(*x).unwrap()).collect();
                case.assert_near("u_back", &back, &want.vector("u_back"));
                continue;
            }
            let found = read(given.number("mean"), given.number("std"), lower, upper);
            if case.name.starts_with("cg_error_") {
                assert!(found.is_err() && want.flag("error"), "{}", case.name);
                continue;
            }
            let found = found.unwrap();
            assert!(found.exact, "{}", case.name);
            case.assert_near("mu", &[found.mu], &[want.number("mu")]);
            case.assert_near("sigma", &[found.sigma], &[want.number("sigma")]);
            let phi: Vec<f64> =
                given.vector("u_grid").iter().map(|u| found.constraint.constrain(*u)).collect();
            case.assert_near("phi_grid", &phi, &want.vector("phi_grid"));
        }
    }

    #[test]
    fn a_mean_close_to_a_bound_keeps_its_digits_on_both_sides() {
        // Far below the upper bound the image is log-normal: closed form, up to terms of order m0
        let q = 0.25f64.ln_1p();
        let low = read(1e-9, 5e-10, 0.0, 1.0).unwrap();
        assert!((low.mu - (1e-9f64.ln() - 0.5 * q)).abs() < 1e-8, "{low:?}");
        assert!((low.sigma - q.sqrt()).abs() < 1e-8);
        let high = read(-1e-9, 5e-10, -1.0, 0.0).unwrap();
        assert_eq!((high.mu, high.sigma), (-low.mu, low.sigma));
    }

    #[test]
    fn a_bound_within_one_and_a_fifth_deviations_is_noticed() {
        assert!(read(1.0, 0.9, 0.0, f64::INFINITY).unwrap().near_bound);
        assert!(!read(1.0, 0.8, 0.0, f64::INFINITY).unwrap().near_bound);
    }
}
