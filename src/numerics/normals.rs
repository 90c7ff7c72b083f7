//! Standard normal numbers from an addressed stream.

use rand::RngExt;
use rand_distr::StandardNormal;

use crate::numerics::Stream;

/// The next `n` standard normal numbers of a stream (ziggurat of rand_distr 0.6).
pub fn standard_normals(stream: &mut Stream, n: usize) -> Vec<f64> {
    (0..n).map(|_| stream.sample(StandardNormal)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{Purpose, Streams};

    #[test]
    fn the_first_four_moments_are_those_of_a_normal() {
        let n = 200_000;
        let x = standard_normals(&mut Streams::new(1).at(Purpose::Prior, 0, 1), n);
        let moment = |k: i32| x.iter().map(|x| x.powi(k)).sum::<f64>() / n as f64;
        // Four standard errors: √(1, 2, 15, 96)/√n
        for (k, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
            let off = (moment(k) - mean).abs();
            assert!(off < 4.0 * (variance / n as f64).sqrt(), "moment {k} off by {off}");
        }
    }
}
