//! Routing by a triangle of base MAXBAS: the share of a step's runoff that leaves in each step that follows.
//!
//! # Source
//! Lindström et al. (1997), J. Hydrol. 201, 272–288, doi:10.1016/S0022-1694(97)00041-3.

/// How the triangle becomes weights of steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Routing {
    /// Its area over each step: the published form, smooth in `maxbas`
    #[default]
    Integral,
    /// Its height at the end of each step, divided by the sum: no routing at all up to a base of 2 steps
    Nodal,
}

/// Weights of the steps 0, 1, … for a base of `maxbas` steps; their sum is 1.
pub fn weights(routing: Routing, maxbas: f64) -> Vec<f64> {
    if maxbas <= 1.0 {
        return vec![1.0];
    }
    let steps = maxbas.ceil() as usize;
    let height = |i: usize| {
        let (u, half) = (i as f64 + 1.0, maxbas / 2.0);
        if u <= half { u / half } else { ((maxbas - u) / half).max(0.0) }
    };
    let area_to = |u: f64| {
        if u >= maxbas {
            1.0
        } else if u <= maxbas / 2.0 {
            2.0 * (u / maxbas).powi(2)
        } else {
            1.0 - 2.0 * ((maxbas - u) / maxbas).powi(2)
        }
    };
    let raw: Vec<f64> = match routing {
        Routing::Nodal => (0..steps).map(height).collect(),
        Routing::Integral => (0..steps).map(|i| area_to(i as f64 + 1.0) - area_to(i as f64)).collect(),
    };
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::hydro::testing::{numbers, reference};

    #[test]
    fn both_forms_agree_with_the_second_implementation() {
        for case in reference("small_pieces.json")["maxbas"].as_array().unwrap() {
            for (routing, key) in [(Routing::Nodal, "nodal"), (Routing::Integral, "integral")] {
                let mut ours = weights(routing, case["maxbas"].as_f64().unwrap());
                let theirs = numbers(&case[key]);
                ours.resize(theirs.len(), 0.0);
                for (a, b) in ours.iter().zip(&theirs) {
                    assert!((a - b).abs() < 1e-15, "{case} {ours:?}");
                }
            }
        }
    }

    #[test]
    fn weights_close_the_balance_for_every_base() {
        for k in 0..200 {
            let maxbas = 0.5 + 0.17 * f64::from(k);
            for routing in [Routing::Integral, Routing::Nodal] {
                let weights = weights(routing, maxbas);
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-15 * weights.len() as f64);
                assert!(weights.iter().all(|w| *w >= 0.0));
            }
        }
    }
}
