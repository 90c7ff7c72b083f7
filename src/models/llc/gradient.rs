//! Loss and gradient of a network, by hand: blocks of panels that stay in the second-level cache.
//!
//! Forward, panel by panel through all layers; then, from the last layer to the first, the gradient of its weights
//! over the block and the errors of the layer before it, which take the place of its activations: one buffer a
//! layer. About 6 B p operations for B rows, less what the first layer's errors would cost.
//! Belongs here: the passes. Not here: the products (`numerics::panels`), where data come from.

use std::sync::Arc;

use crate::models::llc::loss::Loss;
use crate::models::llc::network::{Activation, Shape};
use crate::models::llc::objective::Objective;
use crate::numerics::panels::{After, Kernel, Lanes, Real, affine, gather, gelu, outer, pull_back, tanh};

/// Bytes that the buffers of a block may take, of a second-level cache of one MiB.
const BLOCK: usize = 512 << 10;
/// Panels of a block at most: more do not make the sums over rows any cheaper.
const PANELS: usize = 8;

/// Data that all chains on a target share.
#[derive(Debug)]
pub struct Examples<T> {
    /// Rows
    pub n: usize,
    /// n × d_in, row by row
    x: Vec<T>,
    /// n × d_out
    y: Vec<T>,
    x_panels: Vec<T>,
    y_panels: Vec<T>,
}

impl<T: Real> Examples<T> {
    /// From tables of n rows.
    pub fn new(n: usize, x: &[f64], y: &[f64]) -> Self {
        let narrow = |table: &[f64]| table.iter().map(|x| T::of(*x)).collect::<Vec<T>>();
        let (x, y) = (narrow(x), narrow(y));
        let all: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2³² examples")).collect();
        let panels = |table: &[T]| {
            let features = table.len() / n.max(1);
            let mut out = vec![T::ZERO; n.div_ceil(T::PANEL) * features * T::PANEL];
            gather(table, features, &all, &mut out);
            out
        };
        let (x_panels, y_panels) = (panels(&x), panels(&y));
        Self { n, x, y, x_panels, y_panels }
    }
}

/// L_n of a network on data.
#[derive(Debug)]
pub struct Network<T> {
    shape: Arc<Shape>,
    loss: Loss,
    data: Arc<Examples<T>>,
    /// Panels of a block
    block: usize,
    /// One a layer: activations, then errors
    layers: Vec<Vec<T>>,
    /// Slopes of gelu, which its activation does not tell
    slopes: Vec<Vec<T>>,
    /// A minibatch
    x: Vec<T>,
    y: Vec<T>,
}

impl<T: Real> Network<T> {
    /// With its own working memory.
    pub fn new(shape: Arc<Shape>, loss: Loss, data: Arc<Examples<T>>) -> Self {
        let gelu = shape.activation == Activation::Gelu;
        let wide: usize = shape.sizes[1..].iter().sum::<usize>() * if gelu { 2 } else { 1 };
        let block = (BLOCK / (wide * T::PANEL * size_of::<T>())).clamp(1, PANELS);
        let rows = block * T::PANEL;
        let buffers =
            |on: bool| shape.sizes[1..].iter().map(move |h| vec![T::ZERO; if on { h * rows } else { 0 }]);
        let (layers, slopes) = (buffers(true).collect(), buffers(gelu).collect());
        Self { shape, loss, data, block, layers, slopes, x: Vec::new(), y: Vec::new() }
    }

    /// Outputs for some rows of inputs (k × d_in), row by row.
    pub fn outputs(shape: &Shape, w: &[f64], x: &[f64]) -> Vec<f64> {
        let mut a = x.to_vec();
        for l in 0..shape.layers() {
            let (fan_in, fan_out) = (shape.sizes[l], shape.sizes[l + 1]);
            let layer = &w[shape.layer(l)];
            let mut next = Vec::with_capacity(a.len() / fan_in * fan_out);
            for row in a.chunks_exact(fan_in) {
                for j in 0..fan_out {
                    let bias = if shape.bias { layer[fan_in * fan_out + j] } else { 0.0 };
                    let z =
                        row.iter().enumerate().fold(bias, |z, (i, a)| a.mul_add(layer[i * fan_out + j], z));
                    next.push(match shape.activation {
                        _ if l + 1 == shape.layers() => z,
                        Activation::Relu => z.max(0.0),
                        Activation::Tanh => tanh(z),
                        Activation::Gelu => gelu(z).0,
                        Activation::Identity => z,
                    });
                }
            }
            a = next;
        }
        a
    }

    fn pass(&mut self, w: &[T], g: Option<&mut [T]>, batch: Option<usize>) -> f64 {
        let rows = batch.unwrap_or(self.data.n);
        let (x, y) = match batch {
            Some(_) => (&self.x, &self.y),
            None => (&self.data.x_panels, &self.data.y_panels),
        };
        let pass = Pass {
            shape: &self.shape,
            loss: self.loss,
            w,
            x,
            y,
            rows,
            block: self.block,
            layers: &mut self.layers,
            slopes: &mut self.slopes,
            g,
        };
        T::widest(pass)
    }
}

impl<T: Real> Objective<T> for Network<T> {
    fn parameters(&self) -> usize {
        self.shape.parameters()
    }
    fn examples(&self) -> usize {
        self.data.n
    }
    fn loss(&mut self, w: &[T]) -> f64 {
        self.pass(w, None, None)
    }
    fn gradient(&mut self, w: &[T], g: &mut [T]) -> f64 {
        self.pass(w, Some(g), None)
    }
    fn batch_gradient(&mut self, w: &[T], rows: &[u32], g: &mut [T]) -> f64 {
        let panels = rows.len().div_ceil(T::PANEL) * T::PANEL;
        let (d_in, d_out) = (self.shape.inputs(), self.shape.outputs());
        self.x.resize(panels * d_in, T::ZERO);
        self.y.resize(panels * d_out, T::ZERO);
        gather(&self.data.x, d_in, rows, &mut self.x);
        gather(&self.data.y, d_out, rows, &mut self.y);
        self.pass(w, Some(g), Some(rows.len()))
    }
    fn twin(&self) -> Box<dyn Objective<T>> {
        Box::new(Self::new(Arc::clone(&self.shape), self.loss, Arc::clone(&self.data)))
    }
}

/// One pass over panels of examples.
struct Pass<'a, T> {
    shape: &'a Shape,
    loss: Loss,
    w: &'a [T],
    x: &'a [T],
    y: &'a [T],
    /// Examples; what is left of the last panel counts for nothing
    rows: usize,
    block: usize,
    layers: &'a mut [Vec<T>],
    slopes: &'a mut [Vec<T>],
    g: Option<&'a mut [T]>,
}

impl<T: Real> Kernel<T> for Pass<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<L: Lanes<Number = T>>(mut self) -> f64 {
        let panels = self.rows.div_ceil(T::PANEL);
        if let Some(g) = &mut self.g {
            g.fill(T::ZERO);
        }
        let mut sum = 0.0;
        let mut start = 0;
        while start < panels {
            let count = self.block.min(panels - start);
            sum += self.forward::<L>(start, count);
            if self.g.is_some() {
                self.back::<L>(start, count);
            }
            start += count;
        }
        sum / (self.rows * self.shape.outputs()) as f64
    }
}

impl<T: Real> Pass<'_, T> {
    /// Panels `start ..` through all layers; the last buffer holds output errors. Sum of the losses.
    #[inline(always)]
    fn forward<L: Lanes<Number = T>>(&mut self, start: usize, count: usize) -> f64 {
        let (shape, last) = (self.shape, self.shape.layers() - 1);
        let terms = (self.rows * shape.outputs()) as f64;
        let mut sum = 0.0;
        for k in 0..count {
            for l in 0..=last {
                let (fan_in, fan_out) = (shape.sizes[l] * T::PANEL, shape.sizes[l + 1] * T::PANEL);
                let w = &self.w[shape.layer(l)];
                let (before, here) = self.layers.split_at_mut(l);
                let x = match l {
                    0 => &self.x[(start + k) * fan_in..(start + k + 1) * fan_in],
                    _ => &before[l - 1][k * fan_in..(k + 1) * fan_in],
                };
                let out = &mut here[0][k * fan_out..(k + 1) * fan_out];
                let ramp = l < last && shape.activation == Activation::Relu;
                affine::<L>(x, w, shape.bias, if ramp { After::Ramp } else { After::Keep }, out);
                if l < last && shape.activation == Activation::Tanh {
                    for a in out.iter_mut() {
                        *a = tanh(*a);
                    }
                }
                if l < last && shape.activation == Activation::Gelu {
                    let slopes = &mut self.slopes[l][k * fan_out..(k + 1) * fan_out];
                    for i in 0..out.len() {
                        let (a, slope) = gelu(out[i]);
                        out[i] = a;
                        slopes[i] = slope;
                    }
                }
            }
            let size = shape.outputs() * T::PANEL;
            let out = &mut self.layers[last][k * size..(k + 1) * size];
            let y = &self.y[(start + k) * size..(start + k + 1) * size];
            let valid = T::PANEL.min(self.rows - (start + k) * T::PANEL);
            for j in 0..shape.outputs() {
                let span = j * T::PANEL..(j + 1) * T::PANEL;
                sum += self.loss.errors(&mut out[span.clone()], &y[span], valid, terms);
            }
        }
        sum
    }

    /// Errors of the block's outputs become gradients of all weights.
    #[inline(always)]
    fn back<L: Lanes<Number = T>>(&mut self, start: usize, count: usize) {
        let shape = self.shape;
        let Some(g) = self.g.as_deref_mut() else { return };
        let mut l = shape.layers();
        while l > 0 {
            l -= 1;
            let (fan_in, fan_out) = (shape.sizes[l] * T::PANEL, shape.sizes[l + 1] * T::PANEL);
            let span = shape.layer(l);
            let (before, here) = self.layers.split_at_mut(l);
            let delta = &here[0][..count * fan_out];
            if l == 0 {
                let x = &self.x[start * fan_in..(start + count) * fan_in];
                outer::<L>(count, x, delta, shape.bias, &mut g[span]);
                return;
            }
            let a = &mut before[l - 1][..count * fan_in];
            outer::<L>(count, a, delta, shape.bias, &mut g[span.clone()]);
            let after = match shape.activation {
                Activation::Relu => After::Ramp,
                Activation::Tanh => After::Tanh,
                Activation::Gelu | Activation::Identity => After::Keep,
            };
            let w = &self.w[span];
            for k in 0..count {
                let out = &mut a[k * fan_in..(k + 1) * fan_in];
                pull_back::<L>(&delta[k * fan_out..(k + 1) * fan_out], w, after, out);
                if shape.activation == Activation::Gelu {
                    let slopes = &self.slopes[l - 1][k * fan_in..(k + 1) * fan_in];
                    for i in 0..out.len() {
                        out[i] *= slopes[i];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;

    pub(crate) fn numbers(v: &Value) -> Vec<f64> {
        match v {
            Value::Array(items) => items.iter().flat_map(numbers).collect(),
            other => vec![other.as_f64().unwrap()],
        }
    }

    /// A case of `mlp_grad.json`: its network, and w.
    pub(crate) fn fixture<T: Real>(id: &str) -> (Network<T>, Vec<f64>, Value) {
        let text = include_str!("../../../tests/reference/llc/mlp_grad.json");
        let all: Value = serde_json::from_str(text).unwrap();
        let case = all["cases"].as_array().unwrap().iter().find(|c| c["id"] == id).unwrap().clone();
        let n = |key: &str| case[key].as_u64().unwrap() as usize;
        let widths: Vec<usize> = numbers(&case["widths"]).iter().map(|x| *x as usize).collect();
        let activation = Activation::of(case["activation"].as_str().unwrap()).unwrap();
        let shape = Shape::new(n("d_in"), &widths, n("d_out"), case["bias"].as_bool().unwrap(), activation);
        let loss = Loss::of(case["loss"].as_str().unwrap(), 0.1, 4.0).unwrap();
        let data = Examples::new(n("n"), &numbers(&case["X"]), &numbers(&case["Y"]));
        (Network::new(Arc::new(shape), loss, Arc::new(data)), numbers(&case["w"]), case)
    }

    fn agrees<T: Real>(tolerance: f64) {
        for id in ["tanh_3_4_2", "relu_5_6_6_1", "gelu_2_3_3_1_t", "dln_3_2_3_nobias"] {
            let (mut network, w, case) = fixture::<T>(id);
            let w: Vec<T> = w.iter().map(|x| T::of(*x)).collect();
            let mut g = vec![T::ONE; w.len()];
            let loss = network.gradient(&w, &mut g);
            let want = case["loss_value"].as_f64().unwrap();
            assert!((loss - want).abs() < tolerance * want.abs(), "{id}: {loss} {want}");
            assert_eq!(loss.to_bits(), network.loss(&w).to_bits(), "{id}");
            let want = numbers(&case["grad"]);
            let scale = want.iter().fold(1.0_f64, |most, x| most.max(x.abs()));
            for (g, want) in g.iter().zip(&want) {
                assert!((g.wide() - want).abs() < 10.0 * tolerance * scale, "{id}: {g:?} {want}");
            }
            // All rows once as a batch are the whole
            let rows: Vec<u32> = (0..network.data.n as u32).collect();
            let mut batch = vec![T::ZERO; w.len()];
            network.batch_gradient(&w, &rows, &mut batch);
            assert_eq!(batch, g, "{id}");
        }
    }

    #[test]
    fn loss_and_gradient_are_those_of_the_second_implementation() {
        agrees::<f64>(1e-10);
        agrees::<f32>(1e-5);
    }

    #[test]
    fn blocks_and_vector_widths_are_not_seen() {
        // Given more rows than a block has, and a last panel that is not full
        let shape = Arc::new(Shape::new(5, &[70, 60], 2, true, Activation::Gelu));
        let n = 1111;
        let wave = |k: usize| (k as f64 * 0.618).sin();
        let x: Vec<f64> = (0..n * 5).map(wave).collect();
        let y: Vec<f64> = (0..n * 2).map(|k| wave(3 * k + 1)).collect();
        let w: Vec<f64> = (0..shape.parameters()).map(|k| 0.3 * wave(7 * k)).collect();
        let data = Arc::new(Examples::<f64>::new(n, &x, &y));
        let mut network = Network::new(Arc::clone(&shape), Loss::Mse, data);
        let mut g = vec![0.0; w.len()];
        let loss = network.gradient(&w, &mut g);
        // Then the loss is that of plain loops, and the gradient is its difference along itself
        let outputs = Network::<f64>::outputs(&shape, &w, &x);
        let plain = outputs.iter().zip(&y).map(|(o, y)| (o - y).powi(2)).sum::<f64>() / (2 * n) as f64;
        assert!((loss - plain).abs() < 1e-13, "{loss} {plain}");
        let norm = g.iter().map(|g| g * g).sum::<f64>();
        let mut along = |h: f64| {
            let w: Vec<f64> = w.iter().zip(&g).map(|(w, g)| w + h * g).collect();
            network.loss(&w)
        };
        let slope = (along(1e-5) - along(-1e-5)) / 2e-5;
        assert!((slope / norm - 1.0).abs() < 1e-7, "{slope} {norm}"); // h² and round-off / h
    }
}
