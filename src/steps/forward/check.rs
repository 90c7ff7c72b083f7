//! Some models a second time: alone, and by the model's reference. How far the numbers lie apart goes into the record.

use crate::files::Check;
use crate::models::{Forward, ModelError, Output, Place, ThetaRef, Want};
use crate::numerics::Mat;

/// Run the model of column `j` again, hold it against what the batch gave.
pub(super) fn again(
    forward: &dyn Forward,
    thetas: ThetaRef<'_>,
    want: &Want,
    place: &Place,
    j: usize,
    batch: &Result<Output, ModelError>,
) -> Check {
    let values = Mat::from_columns(thetas.values.nrows(), 1, thetas.values.col(j).to_vec());
    let one = ThetaRef { names: thetas.names, values: &values };
    let mut places = [place.clone()];
    let alone = forward.run(one, want, &mut places).pop();
    let mut check = Check {
        models: 1,
        alone: apart(batch.as_ref().ok(), good(alone.as_ref()), |d, _| d),
        ..Check::default()
    };
    if let Some(mut referred) = forward.reference(one, want, &mut places) {
        check.referred = 1;
        let relative = |d: f64, x: f64| if d == 0.0 { 0.0 } else { d / x.abs() };
        check.reference = apart(batch.as_ref().ok(), good(referred.pop().as_ref()), relative);
    }
    check
}

fn good(result: Option<&Result<Output, ModelError>>) -> Option<&Output> {
    result.and_then(|r| r.as_ref().ok())
}

/// The largest difference by some measure; NaN where one of the two gave numbers, or a number, and the other none.
fn apart(a: Option<&Output>, b: Option<&Output>, measure: impl Fn(f64, f64) -> f64) -> f64 {
    let (a, b) = match (a, b) {
        (None, None) => return 0.0,
        (Some(a), Some(b)) => (a, b),
        _ => return f64::NAN,
    };
    let pairs = a.blocks.iter().flatten().zip(b.blocks.iter().flatten());
    pairs.fold(0.0, |worst, (&x, &y)| match (x.is_nan(), y.is_nan()) {
        (true, true) => worst,
        (false, false) if !worst.is_nan() => worst.max(measure((x - y).abs(), y)),
        _ => f64::NAN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_the_largest_and_what_is_missing_on_one_side_is_none() {
        let output = |numbers: &[f64]| Output { blocks: vec![numbers.to_vec()], ..Output::default() };
        let (a, b) = (output(&[1.0, f64::NAN, 3.0]), output(&[1.0, f64::NAN, 2.0]));
        assert_eq!(apart(Some(&a), Some(&b), |d, _| d), 1.0);
        assert_eq!(apart(Some(&a), Some(&b), |d, x| d / x), 0.5);
        assert!(apart(Some(&a), Some(&output(&[1.0, 2.0, 3.0])), |d, _| d).is_nan());
        assert!(apart(Some(&a), None, |d, _| d).is_nan() && apart(None, None, |d, _| d) == 0.0);
        let all = Check { models: 1, alone: 0.0, referred: 1, reference: 1e-7 };
        assert_eq!(all.join(Check { models: 2, alone: 1.0, referred: 1, reference: 1e-9 }).reference, 1e-7);
    }
}
