//! Series: several observations, of which an iteration sees a batch.
//!
//! An epoch is a list of batches; every epoch has as many. Iteration n (from 0) sees batch `n mod E` of epoch
//! `n / E`, so that the place in the series is the number of the iteration: a refused update, a kill and a restart
//! leave it where it was. Shuffles come from the run's addressed random numbers, one address for each epoch.
//! Belongs here: which batch it is, and the observation that it makes. Not here: reading the file, telling a model.

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::Observation;
use crate::numerics::{Purpose, Streams};

/// How a series is cut into batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Minibatch {
    /// All observations in each iteration
    All,
    /// These batches (observations from 0)
    Fixed {
        /// Each batch in the order in which its observations are stacked
        batches: Vec<Vec<usize>>,
        /// The batches, not what is in them, in another order in each epoch
        shuffled: bool,
    },
    /// Batches of so many, drawn anew in each epoch
    Random {
        /// Observations in a batch
        size: usize,
        /// What is left over: dropped, or added to the last batch
        trim: bool,
    },
}

/// A batch: which observations, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// From 0
    pub epoch: u32,
    /// From 0, within the epoch
    pub position: u32,
    /// Batches of an epoch
    pub batches: u32,
    /// From 0, in the order of the stacked y
    pub observations: Vec<usize>,
}

impl Minibatch {
    /// Batches of an epoch over n observations.
    pub fn length(&self, n: usize) -> usize {
        match self {
            Self::All => 1,
            Self::Fixed { batches, .. } => batches.len(),
            Self::Random { size, .. } => n / size,
        }
    }

    /// The batches of an epoch over n observations.
    pub fn epoch(&self, n: usize, epoch: u32, draw: &Streams) -> Vec<Vec<usize>> {
        match self {
            Self::All => vec![(0..n).collect()],
            Self::Fixed { batches, shuffled: false } => batches.clone(),
            Self::Fixed { batches, shuffled: true } => {
                permutation(batches.len(), epoch, draw).into_iter().map(|k| batches[k].clone()).collect()
            }
            Self::Random { size, trim } => cut(&permutation(n, epoch, draw), *size, *trim),
        }
    }

    /// The batch of an iteration, counted from 0, over n observations.
    pub fn batch(&self, n: usize, iteration: u32, draw: &Streams) -> Batch {
        let batches = u32::try_from(self.length(n)).expect("an epoch has fewer than four billion batches");
        let (epoch, position) = (iteration / batches, iteration % batches);
        let observations = self.epoch(n, epoch, draw).swap_remove(position as usize);
        Batch { epoch, position, batches, observations }
    }
}

/// Batches of `size`, one after the other; the remainder goes into the last, or is dropped.
fn cut(order: &[usize], size: usize, trim: bool) -> Vec<Vec<usize>> {
    let mut batches: Vec<Vec<usize>> = order.chunks_exact(size).map(<[usize]>::to_vec).collect();
    if let (false, Some(last)) = (trim, batches.last_mut()) {
        last.extend_from_slice(order.chunks_exact(size).remainder());
    }
    batches
}

/// 0 to n − 1 in an order that depends on seed and epoch alone (Fisher & Yates).
fn permutation(n: usize, epoch: u32, draw: &Streams) -> Vec<usize> {
    let mut stream = draw.at(Purpose::Minibatch, epoch, 0);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, stream.random_range(0..=last));
    }
    order
}

/// Several observations and how they are cut into batches.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Series {
    /// Name of each, unique
    pub names: Vec<String>,
    /// Each by itself; names of blocks are unique over all of them
    pub parts: Vec<Observation>,
    /// Which are seen when
    pub minibatch: Minibatch,
}

impl Series {
    /// The batch of an iteration, counted from 0, and the observation it makes.
    pub fn at(&self, iteration: u32, draw: &Streams) -> (Batch, Observation) {
        let batch = self.minibatch.batch(self.parts.len(), iteration, draw);
        let observation = Observation::join(batch.observations.iter().map(|&k| &self.parts[k]));
        (batch, observation)
    }

    /// Names of a batch's observations.
    pub fn names_of(&self, batch: &Batch) -> Vec<String> {
        batch.observations.iter().map(|&k| self.names[k].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::fixture::Fixture;
    use crate::problem::observation::{Block, Covariance};

    fn part(name: &str, y: Vec<f64>) -> Observation {
        let block = Block { name: name.into(), y };
        Observation::new(vec![(block, Covariance::Scalar(0.5))]).unwrap()
    }

    #[test]
    fn batches_repeat_the_reference() {
        for case in Fixture::read("groups_minibatch").cases("minibatch_*") {
            let inputs = &case.inputs;
            let order: Vec<usize> = inputs.vector("permutation").iter().map(|&k| k as usize).collect();
            let size = inputs.number("batch_size") as usize;
            let batches = cut(&order, size, inputs.word("method") == "trim");
            let want: Vec<Vec<usize>> = case
                .expected
                .vectors("batches")
                .iter()
                .map(|b| b.iter().map(|&k| k as usize).collect())
                .collect();
            assert_eq!(batches, want, "{}", case.name);
            let parts: Vec<Observation> = inputs
                .vectors("observations")
                .into_iter()
                .enumerate()
                .map(|(k, y)| part(&format!("o{k}"), y))
                .collect();
            let names = (0..parts.len()).map(|k| format!("o{k}")).collect();
            let series = Series { names, parts, minibatch: Minibatch::Fixed { batches, shuffled: false } };
            for (n, stacked) in case.expected.vectors("stacked").iter().enumerate() {
                let (batch, observation) = series.at(n as u32, &Streams::new(1));
                assert_eq!((batch.position as usize, observation.y()), (n, &stacked[..]), "{}", case.name);
            }
        }
    }

    #[test]
    fn an_epoch_sees_each_observation_once_and_the_next_in_another_order() {
        let draw = Streams::new(7);
        let random = Minibatch::Random { size: 3, trim: false };
        assert_eq!(random.length(11), 3);
        let flat = |epoch| random.epoch(11, epoch, &draw).concat();
        let mut sorted = flat(0);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..11).collect::<Vec<_>>());
        assert!(flat(0) != flat(1) && flat(0) == flat(0), "orders are addressed by the epoch");
        assert_eq!(random.epoch(11, 0, &draw).iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 5]);
        let trimmed = Minibatch::Random { size: 3, trim: true }.epoch(11, 0, &draw);
        assert_eq!(trimmed.concat(), flat(0)[..9]);
        let batch = random.batch(11, 4, &draw);
        assert_eq!((batch.epoch, batch.position, batch.batches), (1, 1, 3));
        assert_eq!(batch.observations, random.epoch(11, 1, &draw)[1]);
        let shuffled = Minibatch::Fixed { batches: vec![vec![0, 1], vec![2], vec![3, 4]], shuffled: true };
        let mut seen: Vec<_> = (0..3).map(|n| shuffled.batch(5, n, &draw).observations).collect();
        seen.sort();
        assert_eq!(seen, [vec![0, 1], vec![2], vec![3, 4]]);
    }

    #[test]
    fn orders_are_equally_likely() {
        // 24 orders of 4 over 24 000 epochs: each 1000 ± 31; six standard deviations
        let mut counts = std::collections::BTreeMap::new();
        for epoch in 0..24_000 {
            *counts.entry(permutation(4, epoch, &Streams::new(3))).or_insert(0_i32) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|n| (n - 1000).abs() < 190), "{counts:?}");
    }

    #[test]
    fn parts_of_unequal_length_and_with_gaps_are_stacked_in_the_order_of_the_batch() {
        let parts =
            vec![part("a", vec![1.0, f64::NAN, 3.0]), part("b", vec![4.0]), part("c", vec![5.0, 6.0])];
        let names = ["a", "b", "c"].map(String::from).to_vec();
        let minibatch = Minibatch::Fixed { batches: vec![vec![2, 0], vec![1]], shuffled: false };
        let series = Series { names, parts, minibatch };
        let (batch, first) = series.at(0, &Streams::new(1));
        assert_eq!(series.names_of(&batch), ["c", "a"]);
        assert_eq!(
            (first.y(), first.observed(), first.len()),
            (&[5.0, 6.0, 1.0, 3.0][..], &[0, 1, 2, 4][..], 5)
        );
        assert_eq!((first.noise().len(), first.shape()[1].clone()), (4, ("a".to_owned(), 3)));
        assert_eq!(series.at(3, &Streams::new(1)).1.y(), [4.0]);
    }
}
