//! A river as a tree of reaches: what runs off a basin leaves by its reach, through all reaches below it.
//!
//! Belongs here: order, Muskingum weights, the way of water through one reach and through all. Not here: where runoff
//! comes from (`spread`), how a file is read (`read`).
//!
//! # Source
//! Linear Muskingum routing (McCarthy 1938; Cunge 1969, doi:10.1080/00221686909500264): storage
//! `S = K (x I + (1 − x) O)`, `O₁ = C₀ I₁ + C₁ I₀ + C₂ O₀` with `C₀ + C₁ + C₂ = 1`, stable and free of negative weights
//! for `2 K x ≤ Δt ≤ 2 K (1 − x)`.

/// Largest weight of the inflow, x. Up to ⅓ whole numbers of parts always meet the bounds of Δt.
pub const LARGEST_X: f64 = 1.0 / 3.0;
/// Parts of a step beyond which a reach is passed at once: its travel time is below 2e-6 of a step.
const MOST_PARTS: f64 = 1e6;

/// A tree of reaches, one for each basin.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// The reach below, none at the outlet
    down: Vec<Option<usize>>,
    /// Length, km
    length_km: Vec<f64>,
    /// Reaches, each after all that are above it
    order: Vec<usize>,
}

/// What is no tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTree {
    /// No reach is the last
    NoOutlet,
    /// Two are
    TwoOutlets(usize, usize),
    /// The way down from this reach comes back to it
    Circle(usize),
}

impl Network {
    /// From the reach below each and its length.
    ///
    /// # Errors
    /// This is no tree with one outlet.
    pub fn new(down: Vec<Option<usize>>, length_km: Vec<f64>) -> Result<Self, NoTree> {
        let n = down.len();
        let mut outlets = (0..n).filter(|i| down[*i].is_none());
        let outlet = outlets.next().ok_or(NoTree::NoOutlet)?;
        if let Some(other) = outlets.next() {
            return Err(NoTree::TwoOutlets(outlet, other));
        }
        // Leaves first; a reach comes when all above it have come
        let mut above = vec![0_usize; n];
        down.iter().flatten().for_each(|to| above[*to] += 1);
        let mut order: Vec<usize> = (0..n).filter(|i| above[*i] == 0).collect();
        let mut next = 0;
        while let Some(&i) = order.get(next) {
            next += 1;
            if let Some(to) = down[i] {
                above[to] -= 1;
                if above[to] == 0 {
                    order.push(to);
                }
            }
        }
        if order.len() < n {
            let caught = (0..n).find(|i| above[*i] > 0).expect("some have not come");
            return Err(NoTree::Circle(caught));
        }
        Ok(Self { down, length_km, order })
    }

    /// Number of reaches.
    pub fn len(&self) -> usize {
        self.down.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.down.is_empty()
    }

    /// The outlet's flow from the runoff of each basin, all in one volume per step; `step_s` seconds, celerity in m/s.
    /// Beside it what is still on its way at the end, in volumes. The rivers are empty at the start.
    pub fn route(&self, mut runoff: Vec<Vec<f64>>, step_s: f64, celerity: f64, x: f64) -> (Vec<f64>, f64) {
        let mut on_its_way = 0.0;
        for &i in &self.order {
            let mut flow = std::mem::take(&mut runoff[i]);
            let travel = self.length_km[i] * 1000.0 / celerity / step_s;
            on_its_way += Reach::new(travel, x).map_or(0.0, |reach| reach.pass(&mut flow));
            match self.down[i] {
                Some(to) => runoff[to].iter_mut().zip(&flow).for_each(|(sum, q)| *sum += q),
                None => return (flow, on_its_way),
            }
        }
        unreachable!("the outlet is the last in order")
    }
}

/// A reach with its weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reach {
    /// Equal pieces one after the other, for a reach longer than a step allows
    pieces: u32,
    /// Travel time of a piece, steps
    k: f64,
    /// Weight of the inflow
    x: f64,
    /// Parts of a step
    parts: f64,
    /// Weights of the inflow at the end and at the start of a part, and of the outflow at its start
    weights: [f64; 3],
    /// C₂^(parts − 1): what is left at the end of a step of a difference in its first part
    tail: f64,
    /// Mean of C₂^j over the parts
    mean: f64,
}

impl Reach {
    /// `travel`: K of the whole reach in steps. `None`: water passes at once.
    pub fn new(travel: f64, x: f64) -> Option<Self> {
        assert!((0.0..=LARGEST_X).contains(&x), "x is from 0 to 1/3");
        // Δt/step = pieces/parts must lie within 2 K x … 2 K (1 − x)
        let parts = (1.0 / (2.0 * travel * (1.0 - x))).ceil().max(1.0);
        if travel <= 0.0 || parts > MOST_PARTS {
            return None;
        }
        let pieces = (2.0 * travel * x).ceil().max(1.0);
        let (k, dt) = (travel / pieces, 1.0 / parts);
        let below = 2.0 * k * (1.0 - x) + dt;
        let weights = [dt - 2.0 * k * x, dt + 2.0 * k * x, 2.0 * k * (1.0 - x) - dt].map(|w| w / below);
        let keep = weights[2];
        let tail = power(keep, parts as u64 - 1);
        let mean = if parts == 1.0 { 1.0 } else { (1.0 - tail * keep) / (parts * (1.0 - keep)) };
        Some(Self { pieces: pieces as u32, k, x, parts, weights, tail, mean })
    }

    /// Outflow in place of inflow, volume per step both. What stays in the reach at the end, in volumes.
    ///
    /// Inflow is even within a step, so the parts of a step need no loop: the outflow tends to the inflow by C₂ a part.
    pub fn pass(&self, flow: &mut [f64]) -> f64 {
        let [c0, c1, c2] = self.weights;
        let mut stays = 0.0;
        for _ in 0..self.pieces {
            let (mut before, mut out) = (0.0, 0.0);
            for q in flow.iter_mut() {
                let inflow = *q;
                let gap = c0 * inflow + c1 * before + c2 * out - inflow;
                (before, out) = (inflow, inflow + gap * self.tail);
                *q = inflow + gap * self.mean;
            }
            // The sums over a part are trapezoids: half a part of the last difference is still to be booked
            stays += self.k * (self.x * before + (1.0 - self.x) * out) + 0.5 * (before - out) / self.parts;
        }
        stays
    }
}

/// xⁿ by squaring.
fn power(mut x: f64, mut n: u64) -> f64 {
    let mut p = 1.0;
    while n > 0 {
        if n & 1 == 1 {
            p *= x;
        }
        x *= x;
        n >>= 1;
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Part by part, as it stands in books.
    fn slowly(reach: &Reach, flow: &[f64]) -> Vec<f64> {
        let mut flow = flow.to_vec();
        for _ in 0..reach.pieces {
            let (mut before, mut out) = (0.0, 0.0);
            for q in &mut flow {
                let inflow = *q;
                let mut sum = 0.0;
                for _ in 0..reach.parts as u64 {
                    out = reach.weights[0] * inflow + reach.weights[1] * before + reach.weights[2] * out;
                    before = inflow;
                    sum += out;
                }
                *q = sum / reach.parts;
            }
        }
        flow
    }

    fn rain(steps: usize) -> Vec<f64> {
        (0..steps).map(|i| if i % 17 == 3 { 20.0 } else { f64::from(i as u32 % 5) * 0.2 }).collect()
    }

    #[test]
    fn weights_are_stable_and_add_up_for_any_reach() {
        for x in [0.0, 0.1, 0.2, LARGEST_X] {
            for exponent in -50..30 {
                let travel = 1.37 * 10_f64.powf(f64::from(exponent) / 10.0);
                let reach = Reach::new(travel, x).unwrap();
                let sum: f64 = reach.weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-15, "{travel} {x}");
                assert!(reach.weights.iter().all(|w| *w >= -1e-15), "{travel} {x}: {reach:?}");
                let dt = 1.0 / reach.parts;
                let (low, high) = (2.0 * reach.k * x, 2.0 * reach.k * (1.0 - x));
                assert!(low <= dt * (1.0 + 1e-12) && dt <= high * (1.0 + 1e-12), "{travel} {x}");
                assert!((reach.k * f64::from(reach.pieces) / travel - 1.0).abs() < 1e-12);
            }
        }
        assert_eq!(Reach::new(0.0, 0.2), None);
    }

    #[test]
    fn parts_without_a_loop_give_what_the_loop_gives() {
        for travel in [0.003, 0.02, 0.27, 0.9, 1.4, 8.0] {
            let reach = Reach::new(travel, 0.2).unwrap();
            let mut flow = rain(100);
            let slow = slowly(&reach, &flow);
            reach.pass(&mut flow);
            for (a, b) in flow.iter().zip(&slow) {
                assert!((a - b).abs() < 1e-12, "{travel}: {a} {b}");
            }
        }
    }

    #[test]
    fn a_pulse_arrives_whole_and_after_the_travel_time() {
        for travel in [0.05, 0.4, 1.3, 6.0] {
            let reach = Reach::new(travel, 0.2).unwrap();
            let mut flow = vec![0.0; 400];
            flow[0] = 1.0;
            let stays = reach.pass(&mut flow);
            assert!((flow.iter().sum::<f64>() + stays - 1.0).abs() < 1e-13);
            let centre: f64 = flow.iter().enumerate().map(|(i, q)| i as f64 * q).sum();
            assert!((centre - travel).abs() < 1e-9, "{travel}: {centre}");
            assert!(flow.iter().all(|q| *q >= 0.0));
        }
    }

    #[test]
    fn a_tree_is_walked_from_its_leaves_and_no_water_is_lost() {
        // 3 → 1 → 0, 4 → 1, 2 → 0
        let down = vec![None, Some(0), Some(0), Some(1), Some(1)];
        let tree = Network::new(down, vec![2.0, 30.0, 0.0, 150.0, 12.0]).unwrap();
        let place = |i: usize| tree.order.iter().position(|k| *k == i).unwrap();
        assert!(place(3) < place(1) && place(4) < place(1) && place(1) < place(0) && place(0) == 4);
        let runoff: Vec<Vec<f64>> =
            (1..=5).map(|k| rain(300).iter().map(|q| q * f64::from(k)).collect()).collect();
        let all: f64 = runoff.iter().flatten().sum();
        let (flow, on_its_way) = tree.route(runoff, 86_400.0, 1.0, 0.2);
        assert!((flow.iter().sum::<f64>() + on_its_way - all).abs() < 1e-12 * all);
        assert!(on_its_way > 0.0);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let new = |down: &[Option<usize>]| Network::new(down.to_vec(), vec![1.0; down.len()]).unwrap_err();
        assert_eq!(new(&[Some(1), Some(0)]), NoTree::NoOutlet);
        assert_eq!(new(&[None, Some(0), None]), NoTree::TwoOutlets(0, 2));
        assert_eq!(new(&[None, Some(2), Some(1)]), NoTree::Circle(1));
    }
}
