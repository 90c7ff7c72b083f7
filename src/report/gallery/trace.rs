//! `trace.npy` of a run, chain by chain, and what is drawn of it: few enough points for a page, no peak lost.

use std::path::Path;

use crate::files::npy;
use crate::models::llc::sample::TRACE;

/// Draws of all chains, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// llc of each draw of each chain
    pub llc: Vec<Vec<f64>>,
    /// Full-gradient equivalents of each chain up to each draw
    pub fge: Vec<Vec<f64>>,
    /// Draws that the integrator lost
    pub divergent: Vec<Vec<bool>>,
}

impl Trace {
    /// Read it.
    ///
    /// # Errors
    /// It is not there, or it is no trace: in words.
    pub fn read(path: &Path) -> Result<Self, String> {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let bytes = std::fs::read(path).map_err(|e| format!("`{name}`: {e}"))?;
        let array = npy::read(&bytes).map_err(|e| format!("`{name}`: {e}"))?;
        if array.shape.len() != 2 || array.shape[1] != TRACE.len() {
            return Err(format!("`{name}` has the shape {:?}, not draws × {}", array.shape, TRACE.len()));
        }
        let mut trace = Self { llc: Vec::new(), fge: Vec::new(), divergent: Vec::new() };
        for row in array.data.chunks_exact(TRACE.len()) {
            let chain = row[0] as usize;
            if chain > trace.llc.len() || chain + 1 < trace.llc.len() {
                return Err(format!("`{name}`: chains are not in order"));
            }
            if chain == trace.llc.len() {
                trace.llc.push(Vec::new());
                trace.fge.push(Vec::new());
                trace.divergent.push(Vec::new());
            }
            trace.llc[chain].push(row[2]);
            trace.fge[chain].push(row[7]);
            trace.divergent[chain].push(row[6] != 0.0);
        }
        if trace.llc.is_empty() {
            return Err(format!("`{name}` has no draws"));
        }
        Ok(trace)
    }

    /// Draws of the longest chain.
    pub fn draws(&self) -> usize {
        self.llc.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Mean of the draws of each chain so far, at about `points` places: (draws of a chain, work of all chains,
    /// mean of all, mean of each chain).
    pub fn running(&self, points: usize) -> Vec<(usize, f64, f64, Vec<f64>)> {
        let n = self.llc.iter().map(Vec::len).min().unwrap_or(0);
        let every = n.div_ceil(points.max(1)).max(1);
        let mut sums = vec![0.0; self.llc.len()];
        let mut all = Vec::new();
        for k in 0..n {
            for (sum, chain) in sums.iter_mut().zip(&self.llc) {
                *sum += chain[k];
            }
            if (k + 1) % every == 0 || k + 1 == n {
                let means: Vec<f64> = sums.iter().map(|sum| sum / (k + 1) as f64).collect();
                let mean = means.iter().sum::<f64>() / means.len() as f64;
                all.push((k + 1, self.fge.iter().map(|fge| fge[k]).sum(), mean, means));
            }
        }
        all
    }

    /// For each chain and bin of ranks among all draws, how many of the chain's draws are there over how many are
    /// expected. Equal values share the mean of their ranks.
    pub fn ranks(&self, bins: usize) -> Vec<Vec<f64>> {
        let all: Vec<f64> = self.llc.concat();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_by(|&a, &b| all[a].total_cmp(&all[b]));
        let mut rank = vec![0.0; all.len()];
        let mut k = 0;
        while k < order.len() {
            let mut end = k + 1;
            while end < order.len() && all[order[end]] == all[order[k]] {
                end += 1;
            }
            order[k..end].iter().for_each(|&i| rank[i] = (k + end - 1) as f64 / 2.0);
            k = end;
        }
        let mut counts = vec![vec![0.0; bins]; self.llc.len()];
        let mut draw = 0;
        for (count, chain) in counts.iter_mut().zip(&self.llc) {
            let expected = chain.len() as f64 / bins as f64;
            for _ in chain {
                let bin = (rank[draw] * bins as f64 / all.len() as f64) as usize;
                count[bin.min(bins - 1)] += 1.0 / expected;
                draw += 1;
            }
        }
        counts
    }
}

/// A line of at most 2 `bins` points through all values: the smallest and the largest of each bin, in their order.
pub fn envelope(values: &[f64], bins: usize) -> Vec<(f64, f64)> {
    if values.len() <= 2 * bins {
        return values.iter().enumerate().map(|(k, x)| (k as f64, *x)).collect();
    }
    let mut points = Vec::with_capacity(2 * bins);
    for bin in 0..bins {
        let (from, to) = (bin * values.len() / bins, (bin + 1) * values.len() / bins);
        let by = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
        let (Some(low), Some(high)) = ((from..to).min_by(by), (from..to).max_by(by)) else { continue };
        for k in [low.min(high), low.max(high)] {
            points.push((k as f64, values[k]));
        }
    }
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    fn trace(llc: &[&[f64]]) -> Trace {
        Trace {
            llc: llc.iter().map(|c| c.to_vec()).collect(),
            fge: llc.iter().map(|c| (1..=c.len()).map(|k| 10.0 * k as f64).collect()).collect(),
            divergent: llc.iter().map(|c| vec![false; c.len()]).collect(),
        }
    }

    #[test]
    fn means_and_ranks_are_those_of_their_definitions() {
        let t = trace(&[&[1.0, 3.0, 5.0, 7.0], &[2.0, 4.0, 6.0, 8.0]]);
        let running = t.running(2);
        assert_eq!(running[0], (2, 40.0, 2.5, vec![2.0, 3.0]));
        assert_eq!(running[1], (4, 80.0, 4.5, vec![4.0, 5.0]));
        assert_eq!(t.ranks(2), [[1.0, 1.0], [1.0, 1.0]]);
        let apart = trace(&[&[1.0, 2.0], &[3.0, 4.0]]);
        assert_eq!(apart.ranks(2), [[2.0, 0.0], [0.0, 2.0]]);
    }

    #[test]
    fn a_line_of_few_points_keeps_every_peak() {
        let mut values: Vec<f64> = (0..10_000).map(|k| f64::from(k % 7)).collect();
        values[4321] = 99.0;
        let line = envelope(&values, 50);
        assert!(line.len() <= 100 && line.contains(&(4321.0, 99.0)));
        assert!(line.windows(2).all(|p| p[0].0 < p[1].0));
        assert_eq!(envelope(&[1.0, 2.0], 50), [(0.0, 1.0), (1.0, 2.0)]);
    }

    #[test]
    fn what_is_no_trace_is_told() {
        let dir = Scratch::new("trace").unwrap();
        let path = dir.path().join("trace.npy");
        assert!(Trace::read(&path).unwrap_err().contains("trace.npy"));
        std::fs::write(&path, npy::write(&[2, 3], &[0.0; 6])).unwrap();
        assert!(Trace::read(&path).unwrap_err().contains("[2, 3]"));
        let row = |chain: f64, llc: f64| [chain, 0.0, llc, 0.1, 1.0, 0.0, 0.0, 5.0];
        let data = [row(0.0, 1.0), row(0.0, 2.0), row(1.0, 3.0)].concat();
        std::fs::write(&path, npy::write(&[3, 8], &data)).unwrap();
        assert_eq!(Trace::read(&path).unwrap().llc, [vec![1.0, 2.0], vec![3.0]]);
    }
}
