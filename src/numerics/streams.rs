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
    /// The noise of a sampler
    Sampler = 10,
    /// Additive inflation
    Inflation = 11,
    /// Which covariances a random localiser keeps
    Dropout = 20,
    /// Draws of the prior within a step
    PriorDraw = 21,
    /// Noise put on parameters after a sparse step
    Jitter = 22,
    /// Batches of a series, an address for each epoch
    Minibatch = 30,
    /// Draws of the prior that a report shows
    Report = 40,
    /// A trial of a search, by its number
    Search = 41,
    /// Data, teacher and first weights of a network that is trained
    Target = 50,
    /// Chains that sample around what was trained
    Chain = 51,
}

/// All random numbers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    seed: u64,
    part: u32,
}

impl Streams {
    /// The streams of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, part: 0 }
    }

    /// The streams of one part of a step, such as one group of parameters: part 0 is the whole.
    #[must_use]
    pub fn part(&self, part: u32) -> Self {
        Self { part, ..*self }
    }

    /// The generator at an address.
    pub fn at(&self, purpose: Purpose, iteration: u32, member: u32) -> Stream {
        self.address(purpose, iteration, member).stream()
    }

    /// An address, for whoever may never ask for its numbers.
    pub fn address(&self, purpose: Purpose, iteration: u32, member: u32) -> Address {
        Address { seed: self.seed, part: self.part, purpose, iteration, member }
    }

    /// A seed for a model that brings its own generator: below 2⁶³, so that every language reads it.
    ///
    /// Each part of the address goes through the finaliser of SplitMix64 (Steele, Lea & Flood 2014,
    /// doi:10.1145/2714064.2660195), a bijection in which every bit changes half of all bits.
    pub fn model_seed(&self, iteration: u32, member: u32) -> u64 {
        let place = (u64::from(iteration) << 32) | u64::from(member);
        mixed(mixed(self.seed) ^ mixed(place ^ ((Purpose::Model as u64) << 56))) >> 1
    }
}

fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Where a stream is. Making a generator asks what the processor can do, which costs a short process dearly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    seed: u64,
    part: u32,
    purpose: Purpose,
    iteration: u32,
    member: u32,
}

impl Address {
    /// The generator there.
    pub fn stream(self) -> Stream {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8] = self.purpose as u8;
        key[9..13].copy_from_slice(&self.iteration.to_le_bytes());
        key[13..17].copy_from_slice(&self.part.to_le_bytes());
        let mut stream = ChaCha12Rng::from_seed(key);
        stream.set_stream(u64::from(self.member));
        stream
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
        let all = [
            Purpose::Prior,
            Purpose::Perturbation,
            Purpose::Redraw,
            Purpose::Model,
            Purpose::Sampler,
            Purpose::Inflation,
            Purpose::Dropout,
            Purpose::PriorDraw,
            Purpose::Jitter,
            Purpose::Minibatch,
            Purpose::Search,
            Purpose::Report,
            Purpose::Target,
            Purpose::Chain,
        ];
        for purpose in all {
            for iteration in 0..4 {
                for member in 1..5 {
                    assert!(seen.insert(draw.at(purpose, iteration, member).next_u64()));
                    assert!(seen.insert(draw.part(1).at(purpose, iteration, member).next_u64()));
                }
            }
        }
        assert!(seen.contains(&draw.at(Purpose::Redraw, 3, 4).next_u64()));
        let seeds: std::collections::BTreeSet<u64> =
            (0..100).flat_map(|i| (1..100).map(move |m| draw.model_seed(i, m))).collect();
        assert!(seeds.len() == 100 * 99 && seeds.iter().all(|s| s >> 63 == 0));
        assert_ne!(draw.model_seed(1, 2), Streams::new(43).model_seed(1, 2));
    }
}
