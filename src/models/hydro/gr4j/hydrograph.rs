//! The unit hydrographs of GR4J: shares of the water of a step that arrive in the steps that follow.
//!
//! # Source
//! Perrin, Michel & Andréassian (2003), J. Hydrol. 279, 275–289, doi:10.1016/S0022-1694(03)00225-7, eqs. 9–17.

/// Longest time x4 that is kept, steps: the second hydrograph is twice as long.
pub(super) const LONGEST: f64 = 20.0;

/// Ordinates of the fast hydrograph, as long as x4.
pub(super) fn first(x4: f64) -> Vec<f64> {
    differences(x4, |t| if t >= 1.0 { 1.0 } else { t.powf(2.5) })
}

/// Ordinates of the slow one, twice as long.
pub(super) fn second(x4: f64) -> Vec<f64> {
    let until = |t: f64| match t {
        t if t <= 1.0 => 0.5 * t.powf(2.5),
        t if t < 2.0 => 1.0 - 0.5 * (2.0 - t).powf(2.5),
        _ => 1.0,
    };
    let mut ordinates = differences(x4, until);
    let steps = (2.0 * x4).ceil() as usize;
    let more = ordinates.len()..steps;
    ordinates.extend(more.map(|j| until((j as f64 + 1.0) / x4) - until(j as f64 / x4)));
    ordinates
}

/// Differences of the share that has arrived after t x4 steps.
fn differences(x4: f64, until: impl Fn(f64) -> f64) -> Vec<f64> {
    let steps = x4.ceil() as usize;
    (0..steps).map(|j| until((j as f64 + 1.0) / x4) - until(j as f64 / x4)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::hydro::testing::{numbers, reference};

    #[test]
    fn ordinates_agree_with_the_second_implementation_and_add_up() {
        for case in reference("gr4j_piscataquis.json")["cases"].as_object().unwrap().values() {
            let x4 = numbers(&case["x"])[3];
            for (ours, key) in [(first(x4), "uh1"), (second(x4), "uh2")] {
                let theirs = numbers(&case[key]);
                assert_eq!(ours.len(), theirs.len());
                assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-14), "{key} {x4}");
                assert!((ours.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            }
        }
    }
}
