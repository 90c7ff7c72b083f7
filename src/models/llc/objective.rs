//! What is sampled: L_n(w) and its gradient, of a network or of a closed form whose coefficient is known.

use crate::numerics::panels::Real;

/// A loss L_n of `parameters()` numbers. Each chain has its own (`twin`), data are shared.
pub trait Objective<T: Real>: Send {
    /// Length of w.
    fn parameters(&self) -> usize;
    /// Examples behind it, which a minibatch draws from; 0 where there are none.
    fn examples(&self) -> usize;
    /// L_n(w).
    fn loss(&mut self, w: &[T]) -> f64;
    /// L_n(w); its gradient goes into `g`.
    fn gradient(&mut self, w: &[T], g: &mut [T]) -> f64;
    /// The same over some examples. Without examples: over all there is.
    fn batch_gradient(&mut self, w: &[T], rows: &[u32], g: &mut [T]) -> f64;
    /// Another with its own working memory.
    fn twin(&self) -> Box<dyn Objective<T>>;
}

/// K = Σ over copies Π wᵢ^(2kᵢ), or ½ Σ aᵢ wᵢ².
#[derive(Debug, Clone, PartialEq)]
pub enum Polynomial {
    /// Half exponents of one copy, and how many copies
    Monomial(Vec<usize>, usize),
    /// Eigenvalues
    Quadratic(Vec<f64>),
}

impl<T: Real> Objective<T> for Polynomial {
    fn parameters(&self) -> usize {
        match self {
            Self::Monomial(k, copies) => k.len() * copies,
            Self::Quadratic(a) => a.len(),
        }
    }
    fn examples(&self) -> usize {
        0
    }
    fn loss(&mut self, w: &[T]) -> f64 {
        let mut g = vec![T::ZERO; w.len()];
        self.gradient(w, &mut g)
    }
    fn gradient(&mut self, w: &[T], g: &mut [T]) -> f64 {
        match self {
            Self::Quadratic(a) => {
                let mut sum = 0.0;
                for ((g, w), a) in g.iter_mut().zip(w).zip(a.iter()) {
                    let w = w.wide();
                    *g = T::of(*a * w);
                    sum += 0.5 * *a * w * w;
                }
                sum
            }
            Self::Monomial(k, _) => {
                let mut sum = 0.0;
                for (g, w) in g.chunks_exact_mut(k.len()).zip(w.chunks_exact(k.len())) {
                    let factor = |i: usize| w[i].wide().powi(2 * k[i] as i32);
                    sum += (0..k.len()).map(factor).product::<f64>();
                    for (i, g) in g.iter_mut().enumerate() {
                        let others: f64 = (0..k.len()).filter(|&j| j != i).map(factor).product();
                        let e = 2 * k[i] as i32;
                        let own = if e == 0 { 0.0 } else { f64::from(e) * w[i].wide().powi(e - 1) };
                        *g = T::of(own * others);
                    }
                }
                sum
            }
        }
    }
    fn batch_gradient(&mut self, w: &[T], _rows: &[u32], g: &mut [T]) -> f64 {
        self.gradient(w, g)
    }
    fn twin(&self) -> Box<dyn Objective<T>> {
        Box::new(self.clone())
    }
}

/// ½‖W₁ ⋯ W_M − T‖², T = diag(1, …, 1, 0, …): the population loss of a deep linear network without noise.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    widths: Vec<usize>,
    rank: usize,
}

impl Product {
    /// Widths from input to output, and the rank of the true product.
    pub fn new(widths: &[usize], rank: usize) -> Self {
        Self { widths: widths.to_vec(), rank }
    }

    /// The planted minimum: an identity block of size `rank` in every layer.
    pub fn planted(&self) -> Vec<f64> {
        let mut w = Vec::new();
        for pair in self.widths.windows(2) {
            for i in 0..pair[0] {
                w.extend((0..pair[1]).map(|j| if i == j && i < self.rank { 1.0 } else { 0.0 }));
            }
        }
        w
    }
}

/// a (m × k) · b (k × n), row by row.
fn times(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for (row, a) in c.chunks_exact_mut(n).zip(a.chunks_exact(k)) {
        for (a, b) in a.iter().zip(b.chunks_exact(n)) {
            row.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
        }
    }
    c
}

fn transposed(a: &[f64], rows: usize, cols: usize) -> Vec<f64> {
    (0..rows * cols).map(|k| a[(k % rows) * cols + k / rows]).collect()
}

impl<T: Real> Objective<T> for Product {
    fn parameters(&self) -> usize {
        self.widths.windows(2).map(|p| p[0] * p[1]).sum()
    }
    fn examples(&self) -> usize {
        0
    }
    fn loss(&mut self, w: &[T]) -> f64 {
        let mut g = vec![T::ZERO; w.len()];
        self.gradient(w, &mut g)
    }
    fn gradient(&mut self, w: &[T], g: &mut [T]) -> f64 {
        let h = &self.widths;
        let (layers, first, last) = (h.len() - 1, h[0], h[h.len() - 1]);
        let mut matrices = Vec::new();
        let mut start = 0;
        for pair in h.windows(2) {
            let size = pair[0] * pair[1];
            matrices.push(w[start..start + size].iter().map(|x| x.wide()).collect::<Vec<f64>>());
            start += size;
        }
        // before[l] = W₁ ⋯ W_l (first × h_l)
        let mut before = vec![Vec::new(), matrices[0].clone()];
        for l in 1..layers {
            before.push(times(&before[l], &matrices[l], [first, h[l], h[l + 1]]));
        }
        let mut residual = before[layers].clone();
        for k in 0..self.rank {
            residual[k * last + k] -= 1.0;
        }
        let loss = 0.5 * residual.iter().map(|r| r * r).sum::<f64>();
        // after = W_{l+1} ⋯ W_M; gradient of W_l is before[l−1]ᵀ R afterᵀ
        let mut right = residual; // R · afterᵀ, first × h_{l+1}
        let mut end = start;
        for l in (0..layers).rev() {
            let size = h[l] * h[l + 1];
            let gradient = match l {
                0 => right.clone(),
                _ => times(&transposed(&before[l], first, h[l]), &right, [h[l], first, h[l + 1]]),
            };
            for (g, x) in g[end - size..end].iter_mut().zip(&gradient) {
                *g = T::of(*x);
            }
            end -= size;
            if l > 0 {
                right = times(&right, &transposed(&matrices[l], h[l], h[l + 1]), [first, h[l + 1], h[l]]);
            }
        }
        loss
    }
    fn batch_gradient(&mut self, w: &[T], _rows: &[u32], g: &mut [T]) -> f64 {
        self.gradient(w, g)
    }
    fn twin(&self) -> Box<dyn Objective<T>> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(objective: &mut dyn Objective<f64>) {
        let p = objective.parameters();
        let w: Vec<f64> = (0..p).map(|k| (k as f64 * 1.3).sin() + 0.2).collect();
        let mut g = vec![0.0; p];
        objective.gradient(&w, &mut g);
        for k in 0..p {
            let at = |h: f64, o: &mut dyn Objective<f64>| {
                let mut w = w.clone();
                w[k] += h;
                o.loss(&w)
            };
            let slope = (at(1e-5, objective) - at(-1e-5, objective)) / 2e-5;
            assert!((slope - g[k]).abs() < 1e-7 * (1.0 + slope.abs()), "{k}: {slope} {}", g[k]); // h²
        }
    }

    #[test]
    fn gradients_are_differences() {
        differences(&mut Polynomial::Quadratic(vec![1.0, 10.0, 3.0]));
        differences(&mut Polynomial::Monomial(vec![1, 2, 0], 2));
        differences(&mut Product::new(&[3, 2, 4, 3], 1));
        differences(&mut Product::new(&[2, 2], 2));
    }

    #[test]
    fn the_planted_point_is_a_minimum() {
        let mut product = Product::new(&[4, 3, 4], 2);
        let w = product.planted();
        let mut g = vec![1.0; w.len()];
        assert_eq!(Objective::<f64>::gradient(&mut product, &w, &mut g), 0.0);
        assert!(g.iter().all(|g| *g == 0.0));
    }
}
