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

/// Most objectives for which [`hypervolume_shares`] measures volumes.
pub const MOST_VOLUME: usize = 3;

/// The share of the dominated volume that each point alone holds, above the worst value of each objective less a tenth
/// of its range. Exact for two objectives, by the sorted staircase, and for three, by sweeping it downwards (O(n log n)
/// for each of n points while the staircase is short); of others the crowding distance is told.
pub fn hypervolume_shares(goals: &[&[f64]]) -> Vec<f64> {
    let least = |q: usize| goals.iter().map(|g| g[q]).fold(f64::INFINITY, f64::min);
    let most = |q: usize| goals.iter().map(|g| g[q]).fold(f64::NEG_INFINITY, f64::max);
    let reference = |q: usize| {
        let range = most(q) - least(q);
        least(q) - if range > 0.0 { 0.1 * range } else { 1.0 }
    };
    match goals.first().map_or(0, |g| g.len()) {
        2 => areas(goals, [reference(0), reference(1)]),
        3 => {
            let low = [reference(0), reference(1), reference(2)];
            (0..goals.len()).map(|i| volume_alone(goals, i, low)).collect()
        }
        _ => crowding(goals),
    }
}

/// The area above `low` that each point of a front of two objectives alone holds.
fn areas(goals: &[&[f64]], low: [f64; 2]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..goals.len()).collect();
    order.sort_by(|&a, &b| goals[a][0].total_cmp(&goals[b][0]).then(a.cmp(&b)));
    let mut shares = vec![0.0; goals.len()];
    for (at, &i) in order.iter().enumerate() {
        // Along the front the first goal rises and the second falls.
        let before = at.checked_sub(1).map_or(low[0], |b| goals[order[b]][0]);
        let after = order.get(at + 1).map_or(low[1], |&a| goals[a][1]);
        shares[i] = ((goals[i][0] - before) * (goals[i][1] - after)).max(0.0);
    }
    shares
}

/// The volume above `low` that point `i` of three objectives alone holds: its box less what the others hold of it.
fn volume_alone(goals: &[&[f64]], i: usize, low: [f64; 3]) -> f64 {
    let own = goals[i];
    let mut others: Vec<[f64; 3]> = goals
        .iter()
        .enumerate()
        .filter(|(j, _)| *j != i)
        .map(|(_, g)| std::array::from_fn(|q| g[q].min(own[q])))
        .collect();
    others.sort_by(|a, b| b[2].total_cmp(&a[2]));
    let (mut stairs, mut held) = (Stairs { steps: Vec::new(), low: [low[0], low[1]], area: 0.0 }, 0.0);
    for (k, point) in others.iter().enumerate() {
        stairs.add(point[0], point[1]);
        let next = others.get(k + 1).map_or(low[2], |below| below[2]);
        held += stairs.area * (point[2] - next);
    }
    ((0..3).map(|q| own[q] - low[q]).product::<f64>() - held).max(0.0)
}

/// The union of rectangles between `low` and some points.
struct Stairs {
    /// Corners that no other covers: the first number rises, the second falls
    steps: Vec<(f64, f64)>,
    low: [f64; 2],
    area: f64,
}

impl Stairs {
    fn add(&mut self, x: f64, y: f64) {
        let mut end = self.steps.partition_point(|step| step.0 < x);
        if self.steps.get(end).is_some_and(|step| step.1 >= y) {
            return;
        }
        end += usize::from(self.steps.get(end).is_some_and(|step| step.0 == x));
        let begin = self.steps.partition_point(|step| step.1 > y).min(end);
        let left = begin.checked_sub(1).map_or(self.low[0], |b| self.steps[b].0);
        let (mut before, mut at) = (0.0, left);
        for step in &self.steps[begin..end] {
            before += (step.0 - at) * (step.1 - self.low[1]);
            at = step.0;
        }
        let right = self.steps.get(end).map_or(self.low[1], |step| step.1);
        before += (x - at) * (right - self.low[1]);
        self.area += (x - left) * (y - self.low[1]) - before;
        self.steps.splice(begin..end, [(x, y)]);
    }
}
