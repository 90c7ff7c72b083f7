//! The student and teacher networks: their shape and their first weights.
//!
//! a₀ = x; z_l = a_{l−1} W_l + b_l; a_l = act(z_l); the last layer is linear. A parameter vector has, layer by layer,
//! W_l (fan_in × fan_out, row by row), then b_l.

use std::ops::Range;

use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::numerics::Stream;

/// What follows a hidden layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// max(0, z), with slope 0 at 0
    Relu,
    /// tanh z
    Tanh,
    /// z Φ(z) in its tanh form
    Gelu,
    /// z: a deep linear network
    Identity,
}

impl Activation {
    /// Their names.
    pub const WORDS: [&'static str; 4] = ["relu", "tanh", "gelu", "identity"];
    const ALL: [Self; 4] = [Self::Relu, Self::Tanh, Self::Gelu, Self::Identity];
    /// By name.
    pub fn of(word: &str) -> Option<Self> {
        Self::WORDS.iter().position(|w| *w == word).map(|k| Self::ALL[k])
    }
    /// Its name.
    pub fn word(self) -> &'static str {
        Self::WORDS[Self::ALL.iter().position(|a| *a == self).unwrap_or(0)]
    }
}

/// Layers and their places in a parameter vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Inputs, hidden widths, outputs
    pub sizes: Vec<usize>,
    /// Whether layers have a bias
    pub bias: bool,
    /// After each hidden layer
    pub activation: Activation,
}

impl Shape {
    /// A network; no hidden width at all is a linear regression.
    pub fn new(d_in: usize, hidden: &[usize], d_out: usize, bias: bool, activation: Activation) -> Self {
        Self { sizes: [&[d_in], hidden, &[d_out]].concat(), bias, activation }
    }

    /// Numbers of layer `l`, weights and bias, within the vector.
    pub fn layer(&self, l: usize) -> Range<usize> {
        let size = |l: usize| (self.sizes[l] + usize::from(self.bias)) * self.sizes[l + 1];
        let start = (0..l).map(size).sum();
        start..start + size(l)
    }

    /// Layers of weights.
    pub fn layers(&self) -> usize {
        self.sizes.len() - 1
    }

    /// Numbers in all.
    pub fn parameters(&self) -> usize {
        self.layer(self.layers() - 1).end
    }

    /// Each weight matrix and each bias as a range of the vector.
    pub fn tensors(&self) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        for l in 0..self.layers() {
            let Range { start, end } = self.layer(l);
            let weights = start + self.sizes[l] * self.sizes[l + 1];
            all.push(start..weights);
            if self.bias {
                all.push(weights..end);
            }
        }
        all
    }

    /// Largest working set of one example and its parameters, for estimates of memory.
    pub fn inputs(&self) -> usize {
        self.sizes[0]
    }

    /// Outputs.
    pub fn outputs(&self) -> usize {
        self.sizes[self.sizes.len() - 1]
    }
}

/// Equal hidden widths of about `target` parameters: the root of (D−1)h² + (d_in + D + d_out)h = target, cut off, at
/// least 1. The same with biases off.
pub fn infer_widths(d_in: usize, d_out: usize, depth: usize, target: usize) -> Vec<usize> {
    let h = match depth {
        0 => return Vec::new(),
        1 => target.saturating_sub(d_out) / (d_in + 1),
        _ => {
            let (a, b) = ((depth - 1) as f64, (d_in + depth + d_out) as f64);
            ((-b + (b * b + 4.0 * a * target as f64).sqrt()) / (2.0 * a)) as usize
        }
    };
    vec![h.max(1); depth]
}

/// Ways to draw first weights.
pub const INITS: [&str; 5] = ["he", "lecun", "xavier", "orthogonal", "normal"];

/// First weights: biases 0, weights normal cut off at ±2σ, σ = √(s/fan)/0.8796 (the divisor gives back the variance
/// lost by the cut); the output layer always s = 1 and fan_in.
pub fn initial(shape: &Shape, init: &str, stream: &mut Stream) -> Vec<f64> {
    let mut w = vec![0.0; shape.parameters()];
    for l in 0..shape.layers() {
        let (fan_in, fan_out) = (shape.sizes[l], shape.sizes[l + 1]);
        let start = shape.layer(l).start;
        let weights = &mut w[start..start + fan_in * fan_out];
        let variance = match init {
            _ if l + 1 == shape.layers() => 1.0 / fan_in as f64,
            "he" => 2.0 / fan_in as f64,
            "lecun" => 1.0 / fan_in as f64,
            "xavier" => 2.0 / (fan_in + fan_out) as f64,
            "orthogonal" => {
                orthogonal(fan_in, fan_out, stream, weights);
                continue;
            }
            _ => 0.879_625_661_034_239_8_f64.powi(2),
        };
        let sigma = variance.sqrt() / 0.879_625_661_034_239_8;
        for x in weights {
            *x = loop {
                let z: f64 = StandardNormal.sample(stream);
                if z.abs() <= 2.0 {
                    break z * sigma;
                }
            };
        }
    }
    w
}

/// Rows or columns, whichever are fewer, orthonormal and uniformly so: Gram–Schmidt on normal vectors, twice.
fn orthogonal(fan_in: usize, fan_out: usize, stream: &mut Stream, out: &mut [f64]) {
    let (count, length) = (fan_in.min(fan_out), fan_in.max(fan_out));
    let mut all: Vec<Vec<f64>> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut v: Vec<f64> = (0..length).map(|_| stream.sample(StandardNormal)).collect();
        for _ in 0..2 {
            for u in &all {
                let dot: f64 = u.iter().zip(&v).map(|(a, b)| a * b).sum();
                v.iter_mut().zip(u).for_each(|(v, u)| *v -= dot * u);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= norm);
        all.push(v);
    }
    for i in 0..fan_in {
        for j in 0..fan_out {
            out[i * fan_out + j] = if fan_in <= fan_out { all[i][j] } else { all[j][i] };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numerics::{Purpose, Streams};

    #[test]
    fn first_weights_have_the_variance_asked_for() {
        let shape = Shape::new(40, &[60, 50], 1, true, Activation::Relu);
        for (init, want) in
            [("he", 2.0 / 40.0), ("lecun", 1.0 / 40.0), ("xavier", 1.0 / 50.0), ("normal", 1.0)]
        {
            let w = initial(&shape, init, &mut Streams::new(1).at(Purpose::Target, 0, 1));
            let first = &w[..2400];
            let variance = first.iter().map(|x| x * x).sum::<f64>() / 2400.0;
            // 4 √(2/2400) of itself, less for a normal that is cut off
            let want = if init == "normal" { 0.774 } else { want };
            assert!((variance / want - 1.0).abs() < 0.12, "{init} {variance} {want}");
            assert!(w[2400..2460].iter().all(|b| *b == 0.0));
        }
        let w = initial(&shape, "orthogonal", &mut Streams::new(1).at(Purpose::Target, 0, 1));
        let dot = |a: usize, b: usize| (0..60).map(|j| w[a * 60 + j] * w[b * 60 + j]).sum::<f64>();
        assert!((dot(3, 3) - 1.0).abs() < 1e-13 && dot(3, 4).abs() < 1e-13);
    }

    #[test]
    fn tensors_cover_the_vector() {
        let shape = Shape::new(3, &[4, 5], 2, true, Activation::Tanh);
        let tensors = shape.tensors();
        assert!(tensors.windows(2).all(|t| t[0].end == t[1].start));
        assert_eq!((tensors.len(), tensors[5].end), (6, shape.parameters()));
        assert_eq!(Activation::of("gelu").unwrap().word(), "gelu");
    }
}
