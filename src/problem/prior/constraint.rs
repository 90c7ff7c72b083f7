//! Constraints: a bijection from the real line onto an open interval, component by component.
//!
//! Belongs here: both directions, safe at their ends. Not here: distributions.

use super::grammar::Call;
use super::place::Fault;
use crate::explain::{nearest, one_of, plain};

/// The open interval in which a component lives, and how it is mapped to the real line.
///
/// | constraint | to unconstrained | back |
/// |---|---|---|
/// | `Free` | x | u |
/// | `Below(a)`: bounded below by a | ln(x − a) | a + eᵘ |
/// | `Above(b)`: bounded above by b | ln(b − x), so that larger u means smaller x | b − eᵘ |
/// | `Between(a, b)` | ln((x − a)/(b − x)) | a + (b − a)/(1 + e⁻ᵘ) |
///
/// As in EnsembleKalmanProcesses.jl, doi:10.21105/joss.04869.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Constraint {
    /// (−∞, ∞)
    Free,
    /// (a, ∞)
    Below(f64),
    /// (−∞, b)
    Above(f64),
    /// (a, b)
    Between(f64, f64),
}

impl Constraint {
    /// The constraint onto (`lower`, `upper`), either of which may be infinite; `None` if nothing lies
    /// between them, or if their distance is no double.
    pub fn new(lower: f64, upper: f64) -> Option<Self> {
        match (lower.is_finite(), upper.is_finite()) {
            (true, true) => {
                (lower < upper && (upper - lower).is_finite()).then_some(Self::Between(lower, upper))
            }
            (true, false) => (upper == f64::INFINITY).then_some(Self::Below(lower)),
            (false, true) => (lower == f64::NEG_INFINITY).then_some(Self::Above(upper)),
            (false, false) => (lower < upper).then_some(Self::Free),
        }
    }

    /// Lower and upper end; infinite where there is none.
    pub fn bounds(self) -> (f64, f64) {
        match self {
            Self::Free => (f64::NEG_INFINITY, f64::INFINITY),
            Self::Below(a) => (a, f64::INFINITY),
            Self::Above(b) => (f64::NEG_INFINITY, b),
            Self::Between(a, b) => (a, b),
        }
    }

    /// The physical value of an unconstrained one. Far out (|u| > 37 or so between two bounds) it is the
    /// bound itself, and past u = 709 a one-sided one is infinite.
    pub fn constrain(self, u: f64) -> f64 {
        match self {
            Self::Free => u,
            Self::Below(a) => a + u.exp(),
            Self::Above(b) => b - u.exp(),
            Self::Between(a, b) => {
                // The share of the interval to the nearer end: no overflow, and exact near both ends.
                let e = (-u.abs()).exp();
                let share = e / (1.0 + e);
                let x = if u < 0.0 { a + (b - a) * share } else { b - (b - a) * share };
                x.clamp(a, b)
            }
        }
    }

    /// The unconstrained value of a physical one; `None` outside the open interval.
    pub fn unconstrain(self, x: f64) -> Option<f64> {
        let (lower, upper) = self.bounds();
        if !(lower < x && x < upper) {
            return None;
        }
        Some(match self {
            Self::Free => x,
            Self::Below(a) => (x - a).ln(),
            Self::Above(b) => (b - x).ln(),
            Self::Between(a, b) => {
                let (low, high) = (x - a, b - x);
                let odds = low / high;
                // The quotient is exact near the middle; past the range of doubles the logs are.
                if odds.is_normal() { odds.ln() } else { low.ln() - high.ln() }
            }
        })
    }
}

/// Names of constraints and what they take.
const NAMES: [&str; 4] = ["no_constraint", "bounded_below", "bounded_above", "bounded"];

/// What a call means.
pub(super) fn of(call: &Call) -> Result<Constraint, Fault> {
    let numbers: Vec<f64> = call.arguments.iter().map(|n| n.value).collect();
    let (bounds, form) = match (call.name.as_str(), numbers.as_slice()) {
        ("no_constraint", []) => return Ok(Constraint::Free),
        ("bounded_below", [a]) => ((*a, f64::INFINITY), "bounded_below(a)"),
        ("bounded_above", [b]) => ((f64::NEG_INFINITY, *b), "bounded_above(b)"),
        ("bounded", [a, b]) => ((*a, *b), "bounded(a, b)"),
        (name, found) => return Err(unknown(name, found.len(), call)),
    };
    Constraint::new(bounds.0, bounds.1).ok_or_else(|| {
        let label = format!("lower bound {}, upper bound {}", plain(bounds.0), plain(bounds.1));
        Fault::new(call.at.clone(), "no number fulfils this constraint", label)
            .hint(format!("in `{form}` the lower bound must be smaller than the upper one"))
    })
}

fn unknown(name: &str, found: usize, call: &Call) -> Fault {
    let takes = match name {
        "no_constraint" => Some("no number"),
        "bounded_below" | "bounded_above" => Some("one number"),
        "bounded" => Some("two numbers"),
        _ => None,
    };
    if let Some(takes) = takes {
        let label = format!("found {found}, allowed: {takes}");
        return Fault::new(call.at.clone(), format!("`{name}` takes {takes}"), label);
    }
    let label = format!("found `{name}`, allowed: {}", one_of(&NAMES));
    let fault = Fault::new(call.name_at.clone(), "unknown constraint", label);
    match nearest(name, &NAMES) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn infinite_bounds_are_no_bounds_and_an_empty_interval_is_none() {
        let inf = f64::INFINITY;
        assert_eq!(Constraint::new(-inf, inf), Some(Constraint::Free));
        assert_eq!(Constraint::new(2.0, inf), Some(Constraint::Below(2.0)));
        assert_eq!(Constraint::new(-inf, 2.0), Some(Constraint::Above(2.0)));
        for (a, b) in
            [(1.0, 1.0), (2.0, 1.0), (inf, inf), (inf, 1.0), (1.0, -inf), (inf, -inf), (-1e308, 1e308)]
        {
            assert_eq!(Constraint::new(a, b), None, "{a} {b}");
        }
    }

    #[test]
    fn far_out_values_end_at_the_bounds_which_have_no_way_back() {
        let between = Constraint::Between(-3.0, 7.0);
        for (u, x) in [(-800.0, -3.0), (f64::NEG_INFINITY, -3.0), (800.0, 7.0), (f64::INFINITY, 7.0)] {
            assert_eq!(between.constrain(u), x);
            assert_eq!(between.unconstrain(x), None);
        }
        assert_eq!(Constraint::Below(0.0).unconstrain(0.0), None);
        assert_eq!(Constraint::Above(0.0).unconstrain(f64::NEG_INFINITY), None);
        assert_eq!(Constraint::Free.unconstrain(f64::NAN), None);
    }

    fn constraints() -> impl Strategy<Value = Constraint> {
        let end = -1e3..1e3f64;
        prop_oneof![
            Just(Constraint::Free),
            end.clone().prop_map(Constraint::Below),
            end.clone().prop_map(Constraint::Above),
            (end, 1e-2..1e3f64).prop_map(|(a, width)| Constraint::Between(a, a + width)),
        ]
    }

    proptest! {
        #[test]
        fn unconstrain_undoes_constrain(constraint in constraints(), u in -8.0..8.0f64) {
            let x = constraint.constrain(u);
            let (a, b) = constraint.bounds();
            // x is known to an ulp of the largest bound; the map back divides that by the distance to the
            // nearer bound, and the logarithm adds an ulp of |u|.
            let largest = [a, b, x].into_iter().filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()));
            let distance = (x - a).min(b - x);
            let slope = if distance.is_finite() { 1.0 / distance } else { 0.0 };
            let tolerance = 8.0 * f64::EPSILON * (largest * slope + u.abs() + 1.0);
            prop_assert!((constraint.unconstrain(x).unwrap() - u).abs() <= tolerance);
        }

        #[test]
        fn no_number_leaves_the_closed_interval(constraint in constraints(), u in proptest::num::f64::ANY) {
            let x = constraint.constrain(u);
            let (a, b) = constraint.bounds();
            prop_assert!(u.is_nan() || (a <= x && x <= b));
        }
    }
}
