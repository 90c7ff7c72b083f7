//! A target: data, the minimum w* that a student was trained to, and its loss, as files that vouch for themselves.
//!
//! `target.toml` names `w.npy`, `x.npy` and `y.npy` with their digests; it is written last.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use crate::files::{FileError, Record, TomlText, digest, load_record, npy, publish};
use crate::models::llc::data::{self, Part};
use crate::models::llc::gradient::{Examples, Network};
use crate::models::llc::known;
use crate::models::llc::loss::Loss;
use crate::models::llc::network::{Activation, Shape, initial};
use crate::models::llc::objective::{Objective, Polynomial, Product};
use crate::models::llc::options::{Kind, TargetOptions};
use crate::models::llc::train::train;
use crate::models::{Cause, ModelError};
use crate::numerics::panels::Real;

/// Facts of a target, as `target.toml` has them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TargetRecord {
    /// `tgt_…`
    pub target_id: String,
    /// SHA-256 of what it was made from
    pub config_hash: String,
    /// As in the options
    pub kind: String,
    /// Presets of model, data and teacher
    pub presets: Vec<String>,
    /// `f64` or `f32`
    pub precision: String,
    /// Of data, teacher and first weights
    pub seed: i64,
    /// Parameters
    pub p: usize,
    /// Examples
    pub n: usize,
    /// Widths from input to output (network, deep-linear)
    pub sizes: Vec<usize>,
    /// Whether layers have a bias
    pub bias: bool,
    /// After each hidden layer
    pub activation: String,
    /// Name of the loss
    pub loss: String,
    /// σ of the loss
    pub noise_scale: f64,
    /// ν of the loss
    pub student_df: f64,
    /// Rank of a planted product
    pub rank: usize,
    /// Of a monomial
    pub half_exponents: Vec<usize>,
    /// Of a monomial
    pub copies: usize,
    /// Of a quadratic
    pub eigenvalues: Vec<f64>,
    /// L_n(w*), reckoned in doubles over all examples
    #[serde(rename = "L0")]
    pub l0: f64,
    /// ‖∇L_n(w*)‖∞
    pub grad_norm_inf: f64,
    /// Steps of training
    pub train_steps: usize,
    /// Why training ended
    pub stop_reason: String,
    /// λ, where it is known
    pub llc_true: Option<f64>,
    /// Digests of `w.npy`, `x.npy`, `y.npy`
    pub arrays: Vec<String>,
}

impl Record for TargetRecord {
    const SCHEMA: &'static str = "ekp.llc-target";
    const VERSION: u32 = 1;
}

/// A target in memory.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its facts
    pub facts: TargetRecord,
    /// w*
    pub w: Vec<f64>,
    /// n × d_in
    pub x: Vec<f64>,
    /// n × d_out
    pub y: Vec<f64>,
}

const NAMES: [&str; 3] = ["w.npy", "x.npy", "y.npy"];

impl Target {
    /// Make it: draw data, train, look where it ended.
    ///
    /// # Errors
    /// Training went to infinity.
    pub fn build(options: &TargetOptions) -> Result<Self, ModelError> {
        let mut facts = TargetRecord {
            target_id: options.id(),
            config_hash: options.hash(),
            kind: options.kind_word().into(),
            presets: options.presets.to_vec(),
            precision: options.precision.into(),
            seed: options.seed as i64,
            p: 0,
            n: options.n,
            sizes: Vec::new(),
            bias: false,
            activation: Activation::Identity.word().into(),
            loss: options.loss.into(),
            noise_scale: 1.0,
            student_df: 1.0,
            rank: 0,
            half_exponents: Vec::new(),
            copies: 1,
            eigenvalues: Vec::new(),
            l0: 0.0,
            grad_norm_inf: 0.0,
            train_steps: 0,
            stop_reason: "planted".into(),
            llc_true: None,
            arrays: Vec::new(),
        };
        let (mut w, mut x, mut y) = (Vec::new(), Vec::new(), Vec::new());
        match &options.kind {
            Kind::Network { shape, init, data, teacher, training } => {
                (x, y) = data::draw(data, teacher, options.seed);
                facts.sizes.clone_from(&shape.sizes);
                facts.bias = shape.bias;
                facts.activation = shape.activation.word().into();
                (facts.noise_scale, facts.student_df) = (data.noise_scale, data.student_df);
                if shape.layers() == 1 {
                    facts.llc_true = Some(shape.parameters() as f64 / 2.0); // regular
                }
                let first = initial(shape, init, &mut data::stream(options.seed, Part::Init));
                let draft = Self { facts: facts.clone(), w: Vec::new(), x: x.clone(), y: y.clone() };
                let trained = train(draft.objective::<f64>().as_mut(), first, training);
                if !trained.loss.is_finite() {
                    let message = format!(
                        "training diverged: the loss is {} after {} steps; make `training.learning_rate` smaller than {:?}",
                        trained.loss, trained.steps, training.learning_rate
                    );
                    return Err(ModelError::new(Cause::Output, message));
                }
                (w, facts.train_steps, facts.stop_reason) = (trained.w, trained.steps, trained.reason.into());
            }
            Kind::DeepLinear { widths, rank } => {
                w = Product::new(widths, *rank).planted();
                facts.sizes.clone_from(widths);
                facts.rank = *rank;
                facts.llc_true = known::deep_linear(widths, *rank).map(|(lambda, _)| lambda);
            }
            Kind::Monomial { half_exponents, copies } => {
                w.resize(half_exponents.len() * copies, 0.0);
                facts.half_exponents.clone_from(half_exponents);
                facts.copies = *copies;
                facts.llc_true = Some(known::monomial(half_exponents).0 * *copies as f64);
            }
            Kind::Quadratic { eigenvalues } => {
                w.resize(eigenvalues.len(), 0.0);
                facts.eigenvalues.clone_from(eigenvalues);
                facts.llc_true = Some(eigenvalues.iter().filter(|a| **a > 0.0).count() as f64 / 2.0);
            }
        }
        if options.precision == "f32" {
            w.iter_mut().for_each(|w| *w = f64::from(*w as f32));
        }
        facts.p = w.len();
        let mut target = Self { facts, w, x, y };
        let mut g = vec![0.0; target.w.len()];
        target.facts.l0 = target.objective::<f64>().gradient(&target.w, &mut g);
        target.facts.grad_norm_inf = g.iter().fold(0.0, |most, g| g.abs().max(most));
        Ok(target)
    }

    /// L_n, with data where it has some.
    pub fn objective<T: Real>(&self) -> Box<dyn Objective<T>> {
        let facts = &self.facts;
        match facts.kind.as_str() {
            "deep-linear" => Box::new(Product::new(&facts.sizes, facts.rank)),
            "monomial" => Box::new(Polynomial::Monomial(facts.half_exponents.clone(), facts.copies)),
            "quadratic" => Box::new(Polynomial::Quadratic(facts.eigenvalues.clone())),
            _ => {
                let loss = Loss::of(&facts.loss, facts.noise_scale, facts.student_df).unwrap_or(Loss::Mse);
                let data = Arc::new(Examples::new(facts.n, &self.x, &self.y));
                Box::new(Network::new(Arc::new(self.shape()), loss, data))
            }
        }
    }

    fn shape(&self) -> Shape {
        let activation = Activation::of(&self.facts.activation).unwrap_or(Activation::Relu);
        Shape { sizes: self.facts.sizes.clone(), bias: self.facts.bias, activation }
    }

    /// Parts of w that may have a scale of their own: tensors of a network; all of a closed form.
    pub fn tensors(&self) -> Vec<std::ops::Range<usize>> {
        if self.facts.sizes.is_empty() {
            return std::iter::once(0..self.facts.p).collect();
        }
        self.shape().tensors()
    }

    /// Leave it in `folder`, its record last.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&mut self, folder: &Path) -> Result<(), FileError> {
        let n = self.facts.n;
        self.facts.arrays.clear();
        for (name, data) in NAMES.iter().zip([&self.w, &self.x, &self.y]) {
            let shape = match data.len() {
                0 => vec![0],
                length if *name == "w.npy" => vec![length],
                length => vec![n, length / n],
            };
            let bytes = npy::write(&shape, data);
            self.facts.arrays.push(digest(&bytes));
            publish(&folder.join(name), &bytes)?;
        }
        publish(&folder.join("target.toml"), self.text().as_bytes())
    }

    fn text(&self) -> String {
        let f = &self.facts;
        let numbers = |all: &[usize]| all.iter().map(|n| *n as u32).collect::<Vec<u32>>();
        let mut text = TomlText::record::<TargetRecord>(
            "ekp llc-target: a minimum w* and its data, for samplers.\n\
             w.npy, x.npy and y.npy lie beside; `arrays` are their digests. Written last.",
        );
        text.text("target_id", &f.target_id)
            .text("config_hash", &f.config_hash)
            .text("kind", &f.kind)
            .texts("presets", &f.presets)
            .text("precision", &f.precision)
            .number("seed", f.seed)
            .number("p", f.p as i128)
            .number("n", f.n as i128)
            .numbers("sizes", &numbers(&f.sizes))
            .boolean("bias", f.bias)
            .text("activation", &f.activation)
            .text("loss", &f.loss)
            .float("noise_scale", f.noise_scale)
            .float("student_df", f.student_df)
            .number("rank", f.rank as i128)
            .numbers("half_exponents", &numbers(&f.half_exponents))
            .number("copies", f.copies as i128)
            .floats("eigenvalues", &f.eigenvalues)
            .float("L0", f.l0)
            .float("grad_norm_inf", f.grad_norm_inf)
            .number("train_steps", f.train_steps as i128)
            .text("stop_reason", &f.stop_reason);
        if let Some(lambda) = f.llc_true {
            text.float("llc_true", lambda);
        }
        text.texts("arrays", &f.arrays).finish()
    }

    /// Read it from `folder`, arrays checked against their digests.
    ///
    /// # Errors
    /// A file is missing, not whole, or not the one that the record names.
    pub fn load(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join("target.toml");
        let facts: TargetRecord = load_record(&path)?;
        let mut arrays = Vec::new();
        for (name, known) in NAMES.iter().zip(&facts.arrays) {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(FileError::io("read", &path))?;
            let bad = |why: String| FileError::Invalid { path: path.clone(), kind: "array", why };
            if digest(&bytes) != *known {
                return Err(bad("its bytes are not those that `target.toml` names".into()));
            }
            arrays.push(npy::read(&bytes).map_err(|e| bad(e.to_string()))?.data);
        }
        let bad = |why: &str| FileError::Invalid { path: path.clone(), kind: "record", why: why.into() };
        let [w, x, y] = <[Vec<f64>; 3]>::try_from(arrays).map_err(|_| bad("`arrays` has three digests"))?;
        let data = match facts.kind.as_str() {
            "network" => facts.n,
            _ => 0,
        };
        let ends = (facts.sizes.first().copied().unwrap_or(0), facts.sizes.last().copied().unwrap_or(0));
        if w.len() != facts.p || x.len() != data * ends.0 || y.len() != data * ends.1 {
            return Err(bad("its arrays have other lengths"));
        }
        Ok(Self { facts, w, x, y })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::llc::options::tests::read;

    #[test]
    fn a_small_network_is_trained_to_a_minimum_and_reads_back() {
        let options = read("model = { activation = \"tanh\" }\ntraining = { steps = 2000 }").unwrap();
        let mut target = Target::build(&options).unwrap();
        // σ² of the noise is 0.01, of which p of n degrees of freedom are fitted away
        assert!(target.facts.l0 > 0.002 && target.facts.l0 < 0.02, "{:?}", target.facts);
        assert!(target.facts.grad_norm_inf < 1e-4, "{:?}", target.facts);
        let folder = std::env::temp_dir().join(format!("ekp-llc-target-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        target.write(&folder).unwrap();
        let back = Target::load(&folder).unwrap();
        assert_eq!((&back.facts, &back.w, &back.x), (&target.facts, &target.w, &target.x));
        // Another w is noticed
        let mut bytes = std::fs::read(folder.join("w.npy")).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(folder.join("w.npy"), bytes).unwrap();
        assert!(Target::load(&folder).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn training_that_diverges_says_so() {
        let options = read("training = { optimizer = \"sgd\", learning_rate = 1e9, steps = 50 }").unwrap();
        // The first loss is finite and is kept; a loss that never was finite is an error
        let built = Target::build(&options);
        assert!(built.is_ok_and(|t| t.facts.stop_reason != "steps"));
        let options = read("data = { noise_scale = 1e200 }").unwrap();
        assert!(Target::build(&options).unwrap_err().to_string().contains("diverged"));
    }
}
