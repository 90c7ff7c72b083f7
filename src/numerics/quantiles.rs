//! Quantiles and moments of columns of numbers too many for memory: exact, in a few passes.
//!
//! A double has 64 bits, and once its sign is turned round their order is that of the numbers. A pass counts the
//! numbers of each column by their leading 16 bits (a sixteenth of an octave); the rank that is sought lies in one of
//! these bins. When few enough numbers lie in the bins that matter they are collected and sorted, otherwise the next
//! 16 bits are counted. Two passes do for any usual law, five for every one. The results are order statistics,
//! so they do not depend on how the rows are divided, nor on the number of threads.
//!
//! # Source
//! Selection by radix, Knuth, The Art of Computer Programming 3, 5.2.5; the quantile between two order statistics is
//! definition 7 of Hyndman & Fan (1996), doi:10.2307/2684934, that of numpy.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::numerics::moments::{Moments, NONE, of_part};

/// Bits of a pass.
const BITS: u32 = 16;
/// Numbers that may be collected: 32 MiB.
const COLLECTED: u64 = 4 << 20;
/// Bins that the counts of one thread may take: 32 MiB.
const BINS: usize = 8 << 20;
/// Columns of one pass, at most.
const COLUMNS: usize = 1024;
/// Threads: more would only wait for memory.
const THREADS: usize = 8;

/// Rows of numbers in parts, each of which can be read again.
pub trait Parts: Sync {
    /// Why a part cannot be read
    type Error: Send;
    /// How many parts
    fn parts(&self) -> usize;
    /// Numbers of a row
    fn columns(&self) -> usize;
    /// Some columns of all rows of a part, row by row, in place of what `out` holds.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, part: usize, columns: Range<usize>, out: &mut Vec<f64>) -> Result<(), Self::Error>;
}

/// A column in a few numbers. NaN counts as missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Numbers that are not NaN
    pub count: u64,
    /// Their mean; NaN without any
    pub mean: f64,
    /// Standard deviation, divisor n − 1; NaN for fewer than two
    pub std: f64,
    /// Least
    pub min: f64,
    /// Greatest
    pub max: f64,
    /// At the shares asked for
    pub quantiles: Vec<f64>,
}

/// A summary of each column; `shares` lie from 0 to 1.
///
/// # Errors
/// A part cannot be read.
pub fn summaries<P: Parts>(parts: &P, shares: &[f64], threads: usize) -> Result<Vec<Summary>, P::Error> {
    within(parts, shares, threads, COLLECTED, BINS)
}

fn within<P: Parts>(
    parts: &P,
    shares: &[f64],
    threads: usize,
    collected: u64,
    bins: usize,
) -> Result<Vec<Summary>, P::Error> {
    let threads = threads.clamp(1, THREADS.min(parts.parts().max(1)));
    let mut all = Vec::with_capacity(parts.columns());
    let mut size = COLUMNS;
    while all.len() < parts.columns() {
        let columns = all.len()..(all.len() + size).min(parts.columns());
        let block = Block { parts, columns: columns.clone(), shares, threads, collected, bins };
        match block.summaries()? {
            Some(some) => all.extend(some),
            // Numbers of all sizes: fewer columns at a time. One column has 65 536 bins for each rank.
            None => size = (columns.len() / 2).max(1),
        }
    }
    Ok(all)
}

/// The order of these is that of the numbers.
fn key(x: f64) -> u64 {
    // −0 is 0.
    let bits = (x + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn number(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// Columns that are looked at together.
struct Block<'a, P> {
    parts: &'a P,
    columns: Range<usize>,
    shares: &'a [f64],
    threads: usize,
    collected: u64,
    bins: usize,
}

/// Numbers whose leading bits are known, and the ranks sought among them.
#[derive(Debug, Clone)]
struct Target {
    /// The leading bits, at the low end
    prefix: u64,
    /// How many such numbers
    count: u64,
    /// Rank among them, and where its number is to go
    ranks: Vec<(u64, usize)>,
}

/// Numbers counted by some of their bits: a window that grows as it must.
#[derive(Debug, Clone, Default)]
struct Counts {
    first: usize,
    counts: Vec<u32>,
}

impl Counts {
    /// Room for a bin; how many are new.
    #[cold]
    fn grow(&mut self, bin: usize) -> usize {
        let before = self.counts.len();
        if before == 0 {
            self.first = bin;
        }
        let first = self.first.min(bin).saturating_sub(8);
        let end = (self.first + before).max(bin + 8).min(1 << BITS);
        let mut counts = vec![0; end - first];
        counts[self.first - first..self.first - first + before].copy_from_slice(&self.counts);
        (self.first, self.counts) = (first, counts);
        self.counts.len() - before
    }

    /// The first number of a bin makes a new one; how many bins are new.
    #[inline(always)]
    fn add(&mut self, bin: usize) -> usize {
        if let Some(count) = self.counts.get_mut(bin.wrapping_sub(self.first)) {
            *count += 1;
            return 0;
        }
        let new = self.grow(bin);
        self.counts[bin - self.first] += 1;
        new
    }

    fn join(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        for bin in [other.first, other.first + other.counts.len() - 1] {
            if self.counts.get(bin.wrapping_sub(self.first)).is_none() {
                self.grow(bin);
            }
        }
        for (k, count) in other.counts.iter().enumerate() {
            self.counts[other.first + k - self.first] += count;
        }
    }
}

/// What one thread found in its parts.
struct Found<T> {
    /// For each column, for each target
    of: Vec<Vec<T>>,
    /// Moments of each part it read, when asked for
    moments: Vec<(usize, Vec<Moments>)>,
}

impl<P: Parts> Block<'_, P> {
    /// None when the numbers are too far apart for so many columns.
    fn summaries(&self) -> Result<Option<Vec<Summary>>, P::Error> {
        let width = self.columns.len();
        let whole = || Target { prefix: 0, count: 0, ranks: Vec::new() };
        // The first pass counts everything, and tells how many numbers there are.
        let mut targets = vec![vec![whole()]; width];
        let Some((counts, moments)) = self.count(&targets, 0, true)? else { return Ok(None) };
        let mut summaries: Vec<Summary> = moments.iter().map(|m| self.begun(m)).collect();
        let mut ends: Vec<Vec<f64>> = vec![vec![f64::NAN; 2 * self.shares.len()]; width];
        for (targets, m) in targets.iter_mut().zip(&moments) {
            targets[0].count = m.count;
            targets[0].ranks = ranks(m.count, self.shares);
        }
        let mut known = BITS;
        targets = narrowed(&targets, &counts);
        while targets.iter().flatten().any(|t| !t.ranks.is_empty()) {
            if known == u64::BITS {
                // All bits are known: the numbers of a target are one number.
                for (ends, targets) in ends.iter_mut().zip(&targets) {
                    for t in targets {
                        t.ranks.iter().for_each(|&(_, place)| ends[place] = number(t.prefix));
                    }
                }
                break;
            }
            let wanted: u64 = targets.iter().flatten().map(|t| t.count).sum();
            if wanted <= self.collected {
                self.collect(&targets, known, &mut ends)?;
                break;
            }
            let Some((counts, _)) = self.count(&targets, known, false)? else { return Ok(None) };
            targets = narrowed(&targets, &counts);
            known += BITS;
        }
        for ((summary, ends), m) in summaries.iter_mut().zip(&ends).zip(&moments) {
            summary.quantiles = between(m.count, self.shares, ends);
        }
        Ok(Some(summaries))
    }

    fn begun(&self, m: &Moments) -> Summary {
        let some = |x: f64| if m.count > 0 { x } else { f64::NAN };
        let std = if m.count > 1 { (m.squares / (m.count - 1) as f64).sqrt() } else { f64::NAN };
        Summary {
            count: m.count,
            mean: some(m.mean),
            std,
            min: some(m.min),
            max: some(m.max),
            quantiles: Vec::new(),
        }
    }

    /// Count the numbers of each target by the `BITS` bits that follow the `known` ones.
    #[allow(clippy::type_complexity)] // counts of each target of each column, moments of each column
    fn count(
        &self,
        targets: &[Vec<Target>],
        known: u32,
        moments: bool,
    ) -> Result<Option<(Vec<Vec<Counts>>, Vec<Moments>)>, P::Error> {
        let wide = AtomicUsize::new(0);
        let work = |found: &mut Found<Counts>, numbers: &[f64]| {
            let mut new = 0;
            for row in numbers.chunks_exact(targets.len()) {
                for ((&x, targets), counts) in row.iter().zip(targets).zip(&mut found.of) {
                    if x.is_nan() {
                        continue;
                    }
                    let key = key(x);
                    if known == 0 {
                        new += counts[0].add((key >> (64 - BITS)) as usize);
                        continue;
                    }
                    for (t, counts) in targets.iter().zip(counts) {
                        if key >> (64 - known) == t.prefix {
                            new += counts.add((key >> (64 - known - BITS)) as usize & 0xffff);
                        }
                    }
                }
            }
            let bins: usize = wide.fetch_add(new, Ordering::Relaxed) + new;
            targets.len() == 1 || bins <= self.bins * self.threads
        };
        let Some(found) = self.pass(targets, moments, work)? else { return Ok(None) };
        let mut all: Vec<Vec<Counts>> = targets.iter().map(|t| vec![Counts::default(); t.len()]).collect();
        let mut of_parts = vec![Vec::new(); if moments { self.parts.parts() } else { 0 }];
        for Found { of, moments } in found {
            for (all, of) in all.iter_mut().flatten().zip(of.iter().flatten()) {
                all.join(of);
            }
            moments.into_iter().for_each(|(part, m)| of_parts[part] = m);
        }
        // Part after part, so that sums do not depend on the threads.
        let mut sums = vec![NONE; targets.len()];
        for part in &of_parts {
            sums.iter_mut().zip(part).for_each(|(sum, m)| *sum = sum.join(*m));
        }
        Ok(Some((all, sums)))
    }

    /// Collect the numbers of all targets, sort them as far as needed, and read the ranks.
    fn collect(&self, targets: &[Vec<Target>], known: u32, ends: &mut [Vec<f64>]) -> Result<(), P::Error> {
        let work = |found: &mut Found<Vec<f64>>, numbers: &[f64]| {
            for row in numbers.chunks_exact(targets.len()) {
                for ((&x, targets), lists) in row.iter().zip(targets).zip(&mut found.of) {
                    let prefix = key(x) >> (64 - known);
                    for (t, list) in targets.iter().zip(lists) {
                        if prefix == t.prefix && !x.is_nan() {
                            list.push(x);
                        }
                    }
                }
            }
            true
        };
        let found = self.pass(targets, false, work)?.expect("collecting is never too wide");
        for (c, targets) in targets.iter().enumerate() {
            for (t, target) in targets.iter().enumerate() {
                let mut list: Vec<f64> = Vec::with_capacity(target.count as usize);
                found.iter().for_each(|found| list.extend_from_slice(&found.of[c][t]));
                for &(rank, place) in &target.ranks {
                    let (_, x, _) = list.select_nth_unstable_by(rank as usize, f64::total_cmp);
                    ends[c][place] = *x + 0.0;
                }
            }
        }
        Ok(())
    }

    /// Read all parts, by several threads; none when `work` finds its room used up.
    fn pass<T: Default + Clone + Send>(
        &self,
        targets: &[Vec<Target>],
        moments: bool,
        work: impl Fn(&mut Found<T>, &[f64]) -> bool + Sync,
    ) -> Result<Option<Vec<Found<T>>>, P::Error> {
        let next = AtomicUsize::new(0);
        let one = || {
            let of = targets.iter().map(|t| vec![T::default(); t.len()]).collect();
            let mut found = Found { of, moments: Vec::new() };
            let mut numbers = Vec::new();
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= self.parts.parts() {
                    return Ok(Some(found));
                }
                let read = self.parts.read(part, self.columns.clone(), &mut numbers);
                if let Err(e) = read {
                    next.store(self.parts.parts(), Ordering::Relaxed);
                    return Err(e);
                }
                if moments {
                    found.moments.push((part, of_part(&numbers, targets.len())));
                }
                if !work(&mut found, &numbers) {
                    next.store(self.parts.parts(), Ordering::Relaxed);
                    return Ok(None);
                }
            }
        };
        if self.threads == 1 {
            return Ok(one()?.map(|found| vec![found]));
        }
        std::thread::scope(|scope| {
            // A thread that the system refuses leaves its parts to the others.
            let start = |_| std::thread::Builder::new().spawn_scoped(scope, one).ok();
            let others: Vec<_> = (1..self.threads).filter_map(start).collect();
            let mine = std::iter::once(one());
            mine.chain(others.into_iter().map(|t| t.join().expect("a pass does not panic"))).collect()
        })
    }
}

/// The order statistics that the shares of `count` numbers need: two each.
fn ranks(count: u64, shares: &[f64]) -> Vec<(u64, usize)> {
    if count == 0 {
        return Vec::new();
    }
    let both = |(k, share): (usize, &f64)| {
        let low = (share * (count - 1) as f64).floor() as u64;
        [(low, 2 * k), ((low + 1).min(count - 1), 2 * k + 1)]
    };
    shares.iter().enumerate().flat_map(both).collect()
}

/// Between the two order statistics of each share.
fn between(count: u64, shares: &[f64], ends: &[f64]) -> Vec<f64> {
    let one = |(share, ends): (&f64, &[f64])| {
        let at = share * count.saturating_sub(1) as f64;
        let part = at - at.floor();
        // Equal ends stay what they are, also infinite ones.
        if part == 0.0 || ends[0] == ends[1] { ends[0] } else { ends[0] + part * (ends[1] - ends[0]) }
    };
    shares.iter().zip(ends.chunks_exact(2)).map(one).collect()
}

/// The bins that ranks lie in become the new targets.
fn narrowed(targets: &[Vec<Target>], counts: &[Vec<Counts>]) -> Vec<Vec<Target>> {
    let of_column = |(targets, counts): (&Vec<Target>, &Vec<Counts>)| {
        let mut new: Vec<Target> = Vec::new();
        for (target, counts) in targets.iter().zip(counts) {
            let mut ranks = target.ranks.clone();
            ranks.sort_unstable();
            let mut rest = ranks.as_slice();
            let mut below = 0;
            for (k, &count) in counts.counts.iter().enumerate() {
                let end = below + u64::from(count);
                let inside = rest.iter().take_while(|(rank, _)| *rank < end).count();
                if inside > 0 {
                    let prefix = target.prefix << BITS | (counts.first + k) as u64;
                    let ranks = rest[..inside].iter().map(|&(rank, place)| (rank - below, place)).collect();
                    new.push(Target { prefix, count: u64::from(count), ranks });
                    rest = &rest[inside..];
                }
                below = end;
            }
        }
        new
    };
    targets.iter().zip(counts).map(of_column).collect()
}

#[cfg(test)]
mod tests;
