//! Random numbers by address: (seed, purpose, iteration, member) names a stream.
//!
//! The same address gives the same numbers whoever asks, in whatever order, on whatever machine.
//! ChaCha12 with the address as key and stream number; the algorithm is fixed by its paper, so it
//! outlives library versions (Bernstein 2008, "ChaCha, a variant of Salsa20").

use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

/// A generator at one address.
pub type Stream = ChaCha12Rng;

/// What the numbers are for. The codes are part of every result: never reuse one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first ensemble
    Prior = 1,
    /// Perturbed observations
    Perturbation = 2,
    /// Members drawn anew after a failure
    Redraw = 3,
    /// The model's own randomness
    Model = 4,
    /// Batches of a series, an address for each epoch
    Minibatch = 20,
}

/// All random numbers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The generator at an address.
    pub fn at(&self, purpose: Purpose, iteration: u32, member: u32) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8] = purpose as u8;
        key[9..13].copy_from_slice(&iteration.to_le_bytes());
        let mut stream = ChaCha12Rng::from_seed(key);
        stream.set_stream(u64::from(member));
        stream
    }

    /// A seed for a model that brings its own generator: below 2⁶³, so that every language reads it.
    pub fn model_seed(&self, iteration: u32, member: u32) -> u64 {
        use rand::Rng;
        self.at(Purpose::Model, iteration, member).next_u64() >> 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn addresses_do_not_share_numbers_and_repeat_themselves() {
        let draw = Streams::new(42);
        let mut seen = std::collections::BTreeSet::new();
        for purpose in
            [Purpose::Prior, Purpose::Perturbation, Purpose::Redraw, Purpose::Model, Purpose::Minibatch]
        {
            for iteration in 0..4 {
                for member in 1..5 {
                    assert!(seen.insert(draw.at(purpose, iteration, member).next_u64()));
                }
            }
        }
        assert!(seen.contains(&draw.at(Purpose::Redraw, 3, 4).next_u64()));
    }
}
