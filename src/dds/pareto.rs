//! Several objectives, each to be as large as it can: who beats whom, and who stands alone.

/// Whether `a` is nowhere worse than `b`, and somewhere better.
pub fn dominates(a: &[f64], b: &[f64]) -> bool {
    a.iter().zip(b).all(|(a, b)| a >= b) && a.iter().zip(b).any(|(a, b)| a > b)
}

/// How far each point stands from its neighbours: the sum over objectives of the distance between the two neighbours,
/// as a share of the whole range. Points at an end get the largest share that another point has, or 1.
///
/// # Source
/// Deb et al. (2002), IEEE Trans. Evol. Comput. 6, 182–197, doi:10.1109/4235.996017; there the ends get ∞, which is
/// no probability.
pub fn crowding(goals: &[&[f64]]) -> Vec<f64> {
    let n = goals.len();
    let mut sums = vec![0.0; n];
    let mut ends = vec![false; n];
    let objectives = goals.first().map_or(0, |g| g.len());
    #[allow(clippy::needless_range_loop)] // an objective of all points, not a point
    for q in 0..objectives {
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| goals[a][q].total_cmp(&goals[b][q]).then(a.cmp(&b)));
        let (first, last) = (order[0], order[n - 1]);
        ends[first] = true;
        ends[last] = true;
        let range = goals[last][q] - goals[first][q];
        if range > 0.0 {
            for three in order.windows(3) {
                sums[three[1]] += (goals[three[2]][q] - goals[three[0]][q]) / range;
            }
        }
    }
    let inner = sums.iter().zip(&ends).filter(|(_, end)| !**end).map(|(sum, _)| *sum);
    let largest = inner.fold(0.0, f64::max);
    let of_end = if largest > 0.0 { largest } else { 1.0 };
    sums.iter().zip(&ends).map(|(sum, end)| if *end { of_end } else { *sum }).collect()
}

/// The share of the dominated volume that each point alone holds, above the worst value of each objective less a tenth
/// of its range. Exact for two objectives, by the sorted staircase; for more the crowding distance stands in.
pub fn hypervolume_shares(goals: &[&[f64]]) -> Vec<f64> {
    let n = goals.len();
    if n == 0 || goals[0].len() != 2 {
        return crowding(goals);
    }
    let least = |q: usize| goals.iter().map(|g| g[q]).fold(f64::INFINITY, f64::min);
    let most = |q: usize| goals.iter().map(|g| g[q]).fold(f64::NEG_INFINITY, f64::max);
    let reference = |q: usize| {
        let range = most(q) - least(q);
        least(q) - if range > 0.0 { 0.1 * range } else { 1.0 }
    };
    let (low, left) = (reference(1), reference(0));
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| goals[a][0].total_cmp(&goals[b][0]).then(a.cmp(&b)));
    let mut shares = vec![0.0; n];
    for (at, &i) in order.iter().enumerate() {
        // Along the front the first goal rises and the second falls.
        let before = at.checked_sub(1).map_or(left, |b| goals[order[b]][0]);
        let after = order.get(at + 1).map_or(low, |&a| goals[a][1]);
        shares[i] = ((goals[i][0] - before) * (goals[i][1] - after)).max(0.0);
    }
    shares
}
