//! Chains from their start to their last draw, with as many threads as there are, stopped and resumed without a trace.
//!
//! While warming up all chains make one draw, then what they share is tuned, in the order of chains; afterwards chains
//! go on alone for a while. Random numbers have addresses (run, what for, draw, chain), so neither threads nor a
//! stop in between move a bit. The state is published as one file at a round's end: every so often, and when told to stop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files::{FileError, load_state, publish, save_state};
use crate::models::llc::density::{Density, Setting};
use crate::models::llc::log::Log;
use crate::models::llc::method::{At, Draw, Method};
use crate::models::llc::objective::Objective;
use crate::numerics::panels::Real;

/// Kind and version of a state file.
const KIND: &str = "ekp.llc-chains";
const VERSION: u32 = 1;
/// Its name.
const NAME: &str = "chains.bin";
/// How long chains go on alone.
const ROUND: Duration = Duration::from_millis(200);

/// Where and how a run is carried out; nothing here changes a number.
#[derive(Debug, Clone, Copy)]
pub struct Carry<'a> {
    /// Folder of the state file; none: no state is kept
    pub checkpoint: Option<&'a Path>,
    /// Whose state: another's is not taken
    pub id: &'a str,
    /// Chains at once
    pub threads: usize,
    /// Set by a signal
    pub stop: Option<&'a AtomicBool>,
    /// Between two states
    pub every: Duration,
    /// Hears how far it is
    pub log: Log<'a>,
}

/// All draws of a run.
#[derive(Debug, Clone)]
pub struct Chains {
    /// Kept draws of each chain
    pub draws: Vec<Vec<Draw>>,
    /// Work of warming up, tuning included: gradients and losses, all chains
    pub warmup: [f64; 2],
    /// ε at the end
    pub step_size: f64,
    /// `Method::stability`
    pub stability: f64,
    /// Seconds of warming up and of sampling, over all tries
    pub seconds: [f64; 2],
}

/// How it ended.
#[derive(Debug)]
pub enum Ended {
    /// With its last draw
    Done(Chains),
    /// Told to stop; its state is published
    Stopped,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(
    serialize = "S: Serialize, U: Serialize",
    deserialize = "S: DeserializeOwned, U: DeserializeOwned"
))]
struct Saved<S, U> {
    id: String,
    /// Draws made by every chain, warming up included
    done: u64,
    tuning: U,
    states: Vec<S>,
    draws: Vec<Vec<Draw>>,
    warmup: [f64; 2],
    seconds: [f64; 2],
}

/// Run all chains to their end, or until told to stop. A state in the checkpoint folder is gone on from.
///
/// # Errors
/// The state cannot be written. One that cannot be read is begun again.
pub fn run<T: Real, M: Method<T>>(
    method: &M,
    setting: &Setting<T>,
    objective: &dyn Objective<T>,
    carry: Carry<'_>,
) -> Result<Ended, FileError> {
    let (warmup, kept) = method.length();
    let mut densities: Vec<Density<T>> =
        (0..setting.chains).map(|_| Density::new(objective.twin(), setting)).collect();
    let begun = Instant::now();
    let total = warmup + kept;
    let mut saved = match load::<T, M>(&carry) {
        Some(saved) => {
            carry.log.line(&format!("goes on behind draw {} of {total}", saved.done));
            saved
        }
        None => {
            let chains = densities.iter_mut().zip(0..);
            let states: Vec<M::State> = chains.map(|(d, c)| method.start(setting, d, c)).collect();
            let tuning = method.tuning(setting, &mut densities[0], &states);
            let work = |of: fn(&Density<T>) -> f64| densities.iter().map(of).sum::<f64>();
            let warmup = [work(|d| d.fge), work(|d| d.losses)];
            let (id, draws) = (carry.id.to_owned(), vec![Vec::new(); states.len()]);
            Saved {
                id,
                done: 0,
                tuning,
                states,
                draws,
                warmup,
                seconds: [begun.elapsed().as_secs_f64(), 0.0],
            }
        }
    };
    let (mut published, mut length) = (Instant::now(), 1_u64);
    while saved.done < total {
        let stop = carry.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
        if let Some(folder) = carry.checkpoint
            && (stop || published.elapsed() >= carry.every)
        {
            publish(&folder.join(NAME), &save_state(KIND, VERSION, &saved)?)?;
            published = Instant::now();
            carry.log.line(&format!("draw {} of {total}: state kept", saved.done));
        }
        if stop {
            carry.log.line("told to stop");
            return Ok(Ended::Stopped);
        }
        let round = Instant::now();
        let warming = saved.done < warmup;
        let count = if warming { 1 } else { length.min(total - saved.done) };
        let draws = together(
            method,
            setting,
            &saved.tuning,
            &mut densities,
            &mut saved.states,
            saved.done,
            count,
            carry.threads,
        );
        if warming {
            let last: Vec<Draw> = draws.iter().map(|d| d[0]).collect();
            for draw in &last {
                saved.warmup[0] += draw.fge;
                saved.warmup[1] += draw.losses;
            }
            let work =
                |d: &[Density<T>]| [d.iter().map(|d| d.fge).sum::<f64>(), d.iter().map(|d| d.losses).sum()];
            let before = work(&densities);
            method.adapt(setting, &mut saved.tuning, &mut densities, &saved.states, &last, saved.done);
            let after = work(&densities);
            (0..2).for_each(|k| saved.warmup[k] += after[k] - before[k]);
        } else {
            saved.draws.iter_mut().zip(draws).for_each(|(all, more)| all.extend(more));
            let took = round.elapsed();
            length = if took < ROUND / 2 {
                length * 2
            } else if took > ROUND {
                (length / 2).max(1)
            } else {
                length
            };
        }
        saved.done += count;
        saved.seconds[usize::from(!warming)] += round.elapsed().as_secs_f64();
        if warming && saved.done == warmup {
            let (s, step) = (saved.seconds[0], method.step_size(&saved.tuning));
            carry.log.line(&format!("warmed up in {s:.3} s, step size {step:.3e}"));
        }
    }
    Ok(Ended::Done(Chains {
        step_size: method.step_size(&saved.tuning),
        stability: method.stability(setting, &saved.tuning),
        draws: saved.draws,
        warmup: saved.warmup,
        seconds: saved.seconds,
    }))
}

/// The state of this very run, if there is one and it is whole.
fn load<T: Real, M: Method<T>>(carry: &Carry<'_>) -> Option<Saved<M::State, M::Tuning>> {
    let path = carry.checkpoint?.join(NAME);
    load_state(&path, KIND, VERSION).ok().filter(|saved: &Saved<M::State, M::Tuning>| saved.id == carry.id)
}

/// `count` draws of each chain from draw `first` on, chains spread over threads.
#[allow(clippy::too_many_arguments)] // one call, of the loop above
fn together<T: Real, M: Method<T>>(
    method: &M,
    setting: &Setting<T>,
    tuning: &M::Tuning,
    densities: &mut [Density<T>],
    states: &mut [M::State],
    first: u64,
    count: u64,
    threads: usize,
) -> Vec<Vec<Draw>> {
    let one = |chain: usize, density: &mut Density<T>, state: &mut M::State| -> Vec<Draw> {
        let draw = |number| method.draw(setting, tuning, density, state, At { number, chain: chain as u32 });
        (first..first + count).map(draw).collect()
    };
    let chains = densities.len();
    let share = chains.div_ceil(threads.clamp(1, chains));
    if share == chains {
        return (0..chains).map(|c| one(c, &mut densities[c], &mut states[c])).collect();
    }
    std::thread::scope(|scope| {
        let parts = densities.chunks_mut(share).zip(states.chunks_mut(share)).enumerate();
        let workers: Vec<_> = parts
            .map(|(k, (densities, states))| {
                let one = &one;
                scope.spawn(move || -> Vec<Vec<Draw>> {
                    let both = densities.iter_mut().zip(states).enumerate();
                    both.map(|(c, (density, state))| one(k * share + c, density, state)).collect()
                })
            })
            .collect();
        workers.into_iter().flat_map(|w| w.join().expect("a chain does not panic")).collect()
    })
}
