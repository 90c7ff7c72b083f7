//! The observation as it was read and factored, in a record: a large covariance is read and factored once per run.
//!
//! Text of two thousand squared numbers takes seconds to read, their Cholesky factor some tenths; the record takes
//! milliseconds. It answers the bytes of `observation.toml` and the version of the tools, and is made again
//! from them whenever it does not. Belongs here: making and opening that record. Not here: where it lies.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Observation;
use crate::files::{FileError, digest, load_state, save_state};

/// Kind and version of the record.
const KIND: (&str, u32) = ("ekp.observation.factored", 2);
/// Below so many numbers in the factors a record saves nothing.
const LEAST: usize = 20_000;

#[derive(Serialize, Deserialize)]
struct Record<O> {
    /// Of the text it was made from, and by which version
    key: String,
    observation: O,
}

fn key(text: &[u8]) -> String {
    format!("{} {}", digest(text), env!("CARGO_PKG_VERSION"))
}

impl Observation {
    /// The record of this observation, read from `text`; none where it would save nothing.
    ///
    /// # Errors
    /// It cannot be encoded.
    pub fn record(&self, text: &[u8]) -> Result<Option<Vec<u8>>, FileError> {
        if self.noise.size() < LEAST {
            return Ok(None);
        }
        let record = Record { key: key(text), observation: self };
        save_state(KIND.0, KIND.1, &record).map(Some)
    }

    /// The observation kept at `path`, if it is there, whole, and answers `text`.
    pub fn kept(path: &Path, text: &[u8]) -> Option<Self> {
        let record: Record<Self> = load_state(path, KIND.0, KIND.1).ok()?;
        (record.key == key(text)).then_some(record.observation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::Mat;
    use crate::problem::observation::{Block, Covariance};

    #[test]
    fn a_large_covariance_comes_back_with_its_factor_and_only_for_its_text() {
        let of = |n: usize| {
            let gamma = Mat::from_fn(n, n, |i, j| (-(i.abs_diff(j) as f64)).exp());
            let block = Block { name: "y".into(), y: (0..n).map(|i| i as f64).collect() };
            Observation::new(vec![(block, Covariance::Dense(gamma))]).unwrap()
        };
        assert!(of(20).record(b"text").unwrap().is_none(), "small ones are read anew");
        let big = of(160);
        let path = std::env::temp_dir().join(format!("ekp-kept-{}", std::process::id()));
        std::fs::write(&path, big.record(b"text").unwrap().unwrap()).unwrap();
        let back = Observation::kept(&path, b"text").unwrap();
        let (mut a, mut b) = (Mat::identity(160), Mat::identity(160));
        big.noise().whiten(&mut a);
        back.noise().whiten(&mut b);
        assert_eq!((a, big.y(), big.shape()), (b, back.y(), back.shape()));
        assert!(Observation::kept(&path, b"another text").is_none());
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[5000] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(Observation::kept(&path, b"text").is_none(), "a damaged one is no record");
        std::fs::remove_file(path).unwrap();
    }
}
