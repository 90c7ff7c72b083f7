//! Laws of scaling, fitted to measured points.

/// The serial fraction f of `1/S = f + (1 − f)/p` (Amdahl 1967, doi:10.1145/1465482.1465560) by least squares over
/// points (p, S), within [0, 1]; none without a point at p > 1. The limit of speed-up is 1/f.
pub fn amdahl(points: &[(f64, f64)]) -> Option<f64> {
    let pairs = points.iter().map(|&(p, s)| (1.0 - 1.0 / p, 1.0 / s - 1.0 / p));
    let (ab, aa) = pairs.fold((0.0, 0.0), |(ab, aa), (a, b)| (ab + a * b, aa + a * a));
    (aa > 0.0).then(|| (ab / aa).clamp(0.0, 1.0))
}

/// The serial fraction α of `S = p − α (p − 1)` (Gustafson 1988, doi:10.1145/42411.42415), where work grows with p,
/// over points (p, S = p T₁(w) / T_p(p w)); none without a point at p > 1.
pub fn gustafson(points: &[(f64, f64)]) -> Option<f64> {
    let sums =
        points.iter().fold((0.0, 0.0), |(n, d), &(p, s)| (n + (p - s) * (p - 1.0), d + (p - 1.0).powi(2)));
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
}

/// Slope b of `ln t = a + b ln n` by least squares; none where all n are the same.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<(f64, f64)> = points.iter().map(|&(n, t)| (n.ln(), t.ln())).collect();
    let n = logs.len() as f64;
    let (mx, my) = (logs.iter().map(|p| p.0).sum::<f64>() / n, logs.iter().map(|p| p.1).sum::<f64>() / n);
    let (xy, xx) =
        logs.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + (x - mx) * (y - my), xx + (x - mx).powi(2)));
    (xx > 1e-12).then(|| xy / xx)
}

/// `T(p) = serial + parallel / p + tree log₂ p + line p`, seconds, each ≥ 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Does not shrink with workers
    pub serial: f64,
    /// Is shared out
    pub parallel: f64,
    /// Grows as a tree of messages does
    pub tree: f64,
    /// Grows with each worker: launching them one after the other, one disk
    pub line: f64,
}

/// The law of costs by least squares with no negative part, over points (p, T). With few points some parts are zero;
/// none of no points. Sixteen subsets of the parts are tried: the best feasible one is the solution.
pub fn cost(points: &[(f64, f64)]) -> Option<Cost> {
    if points.is_empty() {
        return None;
    }
    let row = |p: f64| [1.0, 1.0 / p, p.log2(), p];
    let error = |c: &[f64; 4]| -> f64 {
        points.iter().map(|&(p, t)| (row(p).iter().zip(c).map(|(a, c)| a * c).sum::<f64>() - t).powi(2)).sum()
    };
    let mut best: Option<([f64; 4], f64)> = None;
    for subset in 1_u32..16 {
        let parts: Vec<usize> = (0..4).filter(|k| subset >> k & 1 == 1).collect();
        if parts.len() > points.len() {
            continue;
        }
        let Some(solved) = least_squares(points, &parts, row) else { continue };
        if solved.iter().any(|c| *c < 0.0) {
            continue;
        }
        let found = error(&solved);
        // More parts have to earn their place: round-off alone is no gain.
        if best.is_none_or(|(_, before)| found < before * (1.0 - 1e-9) - 1e-18) {
            best = Some((solved, found));
        }
    }
    best.map(|([serial, parallel, tree, line], _)| Cost { serial, parallel, tree, line })
}

/// Normal equations over some of the parts, by elimination with pivots; none where they are singular.
fn least_squares(points: &[(f64, f64)], parts: &[usize], row: impl Fn(f64) -> [f64; 4]) -> Option<[f64; 4]> {
    let n = parts.len();
    let mut a = vec![vec![0.0; n + 1]; n];
    for &(p, t) in points {
        let r = row(p);
        for i in 0..n {
            for j in 0..n {
                a[i][j] += r[parts[i]] * r[parts[j]];
            }
            a[i][n] += r[parts[i]] * t;
        }
    }
    let scale = (0..n).map(|i| a[i][i]).fold(0.0, f64::max);
    for k in 0..n {
        let pivot = (k..n).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        if a[k][k].abs() <= 1e-12 * scale {
            return None;
        }
        for i in 0..n {
            if i != k {
                let factor = a[i][k] / a[k][k];
                let above = a[k].clone();
                a[i].iter_mut().zip(&above).skip(k).for_each(|(x, y)| *x -= factor * y);
            }
        }
    }
    let mut solved = [0.0; 4];
    for (k, &part) in parts.iter().enumerate() {
        solved[part] = a[k][n] / a[k][k];
    }
    Some(solved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amdahls_law_is_found_again() {
        let law = |f: f64| -> Vec<(f64, f64)> {
            [1.0, 2.0, 4.0, 8.0].map(|p| (p, 1.0 / (f + (1.0 - f) / p))).to_vec()
        };
        assert!((amdahl(&law(0.1)).unwrap() - 0.1).abs() < 1e-12, "round-off of four terms");
        assert_eq!(amdahl(&[(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]), Some(0.0));
        assert_eq!(amdahl(&[(2.0, 3.0)]), Some(0.0), "faster than possible is no negative part");
        assert_eq!(amdahl(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn gustafsons_law_is_found_again() {
        let points = [1.0, 2.0, 8.0].map(|p| (p, p - 0.2 * (p - 1.0)));
        assert!((gustafson(&points).unwrap() - 0.2).abs() < 1e-12);
        assert_eq!(gustafson(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn the_slope_of_a_power_is_its_exponent() {
        let points = [1.0, 12.0, 385.0, 2331.0].map(|n: f64| (n, 3e-5 * n.powf(1.1)));
        assert!((slope(&points).unwrap() - 1.1).abs() < 1e-12);
        assert_eq!(slope(&[(5.0, 1.0)]), None);
    }

    #[test]
    fn costs_are_told_apart_and_none_is_negative() {
        let at = |p: f64| 2.0 + 16.0 / p + 0.5 * p.log2() + 0.01 * p;
        let points = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0].map(|p| (p, at(p)));
        let c = cost(&points).unwrap();
        let off = [(c.serial, 2.0), (c.parallel, 16.0), (c.tree, 0.5), (c.line, 0.01)];
        assert!(
            off.iter().all(|(found, true_)| (found - true_).abs() < 1e-8),
            "{c:?}: condition 1e4, squared"
        );
        // A curve that only falls has no growing part
        let falling = cost(&[(1.0, 8.0), (2.0, 4.0), (4.0, 2.0)]).unwrap();
        assert!(
            (falling.parallel - 8.0).abs() < 1e-9 && falling.tree == 0.0 && falling.line == 0.0,
            "{falling:?}"
        );
        assert_eq!(cost(&[]), None);
    }
}
