//! `[model.llc-target]`: what a target is made from, with the presets `small` and `base`.

use crate::explain::Marked;
use crate::files::human::Section;
use crate::models::llc::data::{DataOptions, INPUTS, NOISES, Teacher};
use crate::models::llc::ids::{Value, hash, id};
use crate::models::llc::loss::Loss;
use crate::models::llc::network::{Activation, INITS, Shape, infer_widths};
use crate::models::llc::train::{OPTIMIZERS, Training};

/// What a target is.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A student network, trained on data of a teacher; without hidden layers a linear regression
    Network {
        /// The student
        shape: Shape,
        /// Its first weights
        init: &'static str,
        /// Data
        data: DataOptions,
        /// Who made them
        teacher: Box<Teacher>,
        /// How it is trained
        training: Training,
    },
    /// A deep linear network with its population loss, at the planted minimum
    DeepLinear {
        /// Input, hidden, output
        widths: Vec<usize>,
        /// Of the true product
        rank: usize,
    },
    /// Σ over copies Π wᵢ^(2kᵢ), at 0
    Monomial {
        /// kᵢ
        half_exponents: Vec<usize>,
        /// How often
        copies: usize,
    },
    /// ½ Σ aᵢ wᵢ², at 0
    Quadratic {
        /// aᵢ
        eigenvalues: Vec<f64>,
    },
}

/// Everything that makes a target.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetOptions {
    /// What it is
    pub kind: Kind,
    /// Of data, teacher and first weights
    pub seed: u64,
    /// `f64` or `f32`: what w* is rounded to, and what samplers reckon in
    pub precision: &'static str,
    /// One of [`Loss::WORDS`]
    pub loss: &'static str,
    /// n: of the data, or what nβ is reckoned from where there are none
    pub n: usize,
    /// Names of the presets, for the table
    pub presets: [String; 3],
}

const KINDS: [&str; 4] = ["network", "deep-linear", "monomial", "quadratic"];
const PRESETS: [&str; 2] = ["base", "small"];

fn sized(section: &Section<'_>, key: &str, low: i64, default: usize) -> Result<usize, Marked> {
    Ok(section.integer(key, low..=100_000_000)?.map_or(default, |n| n as usize))
}

fn above(section: &Section<'_>, key: &str, default: f64) -> Result<f64, Marked> {
    Ok(section.number(key, "above 0", |x| x > 0.0)?.unwrap_or(default))
}

fn at_least_0(section: &Section<'_>, key: &str, default: f64) -> Result<f64, Marked> {
    Ok(section.number(key, "at least 0", |x| x >= 0.0)?.unwrap_or(default))
}

/// A list of counts within bounds.
fn counts(section: &Section<'_>, key: &str, low: i64, high: i64) -> Result<Option<Vec<usize>>, Marked> {
    let Some(all) = section.opt::<Vec<i64>>(key)? else { return Ok(None) };
    if let Some(odd) = all.iter().find(|n| !(low..=high).contains(*n)) {
        let label = format!("found {odd}, allowed: integers from {low} to {high}");
        return Err(section.wrong(key, format!("`{key}` is out of range"), label));
    }
    Ok(Some(all.into_iter().map(|n| n as usize).collect()))
}

impl TargetOptions {
    /// From `[model.llc-target]`; all keys have defaults. The caller finishes the section.
    ///
    /// # Errors
    /// A key of a table within it is unknown; a value has another type or is out of range.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let kind = section.choice("kind", &KINDS)?.unwrap_or("network");
        let seed = section.integer("seed", 0..=i64::MAX)?.unwrap_or(42) as u64;
        let precision = section.choice("precision", &["f64", "f32"])?.unwrap_or("f64");
        let loss = section.choice("loss", &Loss::WORDS)?.unwrap_or("mse");
        let none = || [kind.to_owned(), "none".to_owned(), "none".to_owned()];
        let n = |default| sized(section, "n", 1, default);
        let needs = |key: &str, example: &str| section.missing(key, example);
        let closed = |kind, n, presets| Ok(Self { kind, seed, precision, loss: "mse", n, presets });
        match kind {
            "deep-linear" => {
                let widths =
                    counts(section, "widths", 1, 10_000)?.ok_or_else(|| needs("widths", "[4, 3, 4]"))?;
                let most = widths.iter().copied().min().unwrap_or(0);
                if widths.len() < 2 {
                    return Err(section.wrong(
                        "widths",
                        "`widths` is too short",
                        "input and output at least",
                    ));
                }
                let rank = section.integer("rank", 0..=most as i64)?.unwrap_or(0) as usize;
                closed(Kind::DeepLinear { widths, rank }, n(10_000)?, none())
            }
            "monomial" => {
                let half = counts(section, "half_exponents", 0, 20)?;
                let half_exponents = half.ok_or_else(|| needs("half_exponents", "[1, 1] for w₁²w₂²"))?;
                if half_exponents.iter().all(|k| *k == 0) {
                    let label = "allowed: at least one above 0";
                    return Err(section.wrong("half_exponents", "the monomial is constant", label));
                }
                let copies = sized(section, "copies", 1, 1)?;
                closed(Kind::Monomial { half_exponents, copies }, n(1000)?, none())
            }
            "quadratic" => {
                let all: Option<Vec<f64>> = section.opt("eigenvalues")?;
                let eigenvalues = all.ok_or_else(|| needs("eigenvalues", "[1.0, 10.0, 100.0]"))?;
                if eigenvalues.is_empty() || eigenvalues.iter().any(|a| !a.is_finite() || *a < 0.0) {
                    let label = "allowed: numbers, at least 0";
                    return Err(section.wrong("eigenvalues", "`eigenvalues` is out of range", label));
                }
                closed(Kind::Quadratic { eigenvalues }, n(1000)?, none())
            }
            _ => Self::network(section, seed, precision, loss),
        }
    }

    fn network(
        section: &Section<'_>,
        seed: u64,
        precision: &'static str,
        loss: &'static str,
    ) -> Result<Self, Marked> {
        let preset = |key: &str, table: Option<&Section<'_>>| -> Result<&'static str, Marked> {
            Ok(match table {
                Some(table) => table.choice("preset", &PRESETS)?.unwrap_or("small"),
                None => section.choice(key, &PRESETS)?.unwrap_or("small"),
            })
        };
        // `model = "base"`, or a table `[….model]` with `preset = "base"` and changes
        let table = |key: &str| match section.node(key).map(|node| &node.value) {
            Some(crate::files::human::Value::Table(_)) => section.section(key),
            _ => Ok(None),
        };
        let (model, data, teacher, training) =
            (table("model")?, table("data")?, table("teacher")?, section.section("training")?);
        let presets = [preset("model", model.as_ref())?, preset("data", data.as_ref())?];
        let (base_model, base_data) = (presets[0] == "base", presets[1] == "base");

        let empty = crate::files::human::Table::default();
        let blank = |key: &str| Section::new(section.source(), key, &empty, 0..0);
        let model = model.unwrap_or_else(|| blank("model"));
        let (d_in, depth, target) = if base_model { (32, 3, 10_000) } else { (4, 2, 50) };
        let d_in = sized(&model, "d_in", 1, d_in)?;
        let d_out = sized(&model, "d_out", 1, 1)?;
        let depth = model.integer("depth", 0..=64)?.map_or(depth, |d| d as usize);
        let target = model.integer("target_params", 1..=100_000_000)?.map_or(target, |p| p as usize);
        let hidden =
            counts(&model, "widths", 1, 100_000)?.unwrap_or_else(|| infer_widths(d_in, d_out, depth, target));
        let word = model.choice("activation", &Activation::WORDS)?.unwrap_or("relu");
        let activation = Activation::of(word).unwrap_or(Activation::Relu);
        let bias = model.opt("bias")?.unwrap_or(true);
        let init = model.choice("init", &INITS)?.unwrap_or("he");
        let shape = Shape::new(d_in, &hidden, d_out, bias, activation);
        model.finish()?;

        let data = data.unwrap_or_else(|| blank("data"));
        let options = DataOptions {
            n: sized(&data, "n", 1, if base_data { 20_000 } else { 100 })?,
            x: data.choice("x", &INPUTS)?.unwrap_or("gauss_iso"),
            cov_decay: above(&data, "cov_decay", 0.95)?,
            mixture_k: sized(&data, "mixture_k", 1, 4)?,
            mixture_spread: at_least_0(&data, "mixture_spread", 2.0)?,
            x_dim_latent: sized(&data, "x_dim_latent", 1, 2)?,
            noise: data.choice("noise", &NOISES)?.unwrap_or("gauss"),
            noise_scale: above(&data, "noise_scale", 0.1)?,
            hetero_scale: at_least_0(&data, "hetero_scale", 0.1)?,
            student_df: above(&data, "student_df", 4.0)?,
            outlier_frac: data
                .number("outlier_frac", "from 0 to 1", |x| (0.0..=1.0).contains(&x))?
                .unwrap_or(0.05),
            outlier_scale: at_least_0(&data, "outlier_scale", 2.0)?,
        };
        data.finish()?;

        let (named, teacher) = Self::teacher(section, teacher, &shape, init, blank)?;
        let training = training.unwrap_or_else(|| blank("training"));
        let trained = Training {
            optimizer: training.choice("optimizer", &OPTIMIZERS)?.unwrap_or("adam"),
            learning_rate: above(&training, "learning_rate", 1e-3)?,
            steps: sized(&training, "steps", 0, 5000)?,
            early_stop_tol: at_least_0(&training, "early_stop_tol", 1e-6)?,
            polish: training.opt("polish")?.unwrap_or(true),
        };
        training.finish()?;
        let presets = [presets[0].to_owned(), presets[1].to_owned(), named];
        let n = options.n;
        let kind =
            Kind::Network { shape, init, data: options, teacher: Box::new(teacher), training: trained };
        Ok(Self { kind, seed, precision, loss, n, presets })
    }

    /// `teacher = "same"` (the default), `"base"`, `"small"`, or a table.
    fn teacher<'a>(
        section: &Section<'a>,
        table: Option<Section<'a>>,
        shape: &Shape,
        init: &'static str,
        blank: impl Fn(&str) -> Section<'a>,
    ) -> Result<(String, Teacher), Marked> {
        const WORDS: [&str; 3] = ["same", "base", "small"];
        let named = match &table {
            Some(table) => table.choice("preset", &WORDS)?.unwrap_or("same"),
            None => section.choice("teacher", &WORDS)?.unwrap_or("same"),
        };
        let table = table.unwrap_or_else(|| blank("teacher"));
        let (depth, target, dropout) = match named {
            "base" => (3, 100, 0.1),
            "small" => (2, 50, 0.0),
            _ => (shape.layers() - 1, 0, 0.0),
        };
        let depth = table.integer("depth", 0..=64)?.map_or(depth, |d| d as usize);
        let target = table.integer("target_params", 1..=100_000_000)?.map_or(target, |p| p as usize);
        let same = &shape.sizes[1..shape.sizes.len() - 1];
        let widths = counts(&table, "widths", 1, 100_000)?;
        let hidden = match (widths, target) {
            (Some(widths), _) => widths,
            (None, 0) => same.to_vec(),
            (None, target) => infer_widths(shape.inputs(), shape.outputs(), depth, target),
        };
        let word = table.choice("activation", &Activation::WORDS)?.unwrap_or(shape.activation.word());
        let activation = Activation::of(word).unwrap_or(shape.activation);
        let dropout_rate = table.number("dropout_rate", "from 0 to below 1", |x| (0.0..1.0).contains(&x))?;
        let init = table.choice("init", &INITS)?.unwrap_or(init);
        table.finish()?;
        let shape = Shape::new(shape.inputs(), &hidden, shape.outputs(), true, activation);
        Ok((named.to_owned(), Teacher { shape, init, dropout_rate: dropout_rate.unwrap_or(dropout) }))
    }

    /// What its numbers follow from, and nothing else.
    pub fn payload(&self) -> Value {
        let text = |word: &str| Value::text(word);
        let shape = |s: &Shape| {
            Value::table([
                ("sizes", Value::counts(&s.sizes)),
                ("bias", Value::Bool(s.bias)),
                ("activation", text(s.activation.word())),
            ])
        };
        let kind = match &self.kind {
            Kind::Network { shape: student, init, data, teacher, training } => Value::table([
                ("model", shape(student)),
                ("init", text(init)),
                (
                    "data",
                    Value::table([
                        ("x", text(data.x)),
                        ("cov_decay", Value::Float(data.cov_decay)),
                        ("mixture_k", Value::count(data.mixture_k)),
                        ("mixture_spread", Value::Float(data.mixture_spread)),
                        ("x_dim_latent", Value::count(data.x_dim_latent)),
                        ("noise", text(data.noise)),
                        ("noise_scale", Value::Float(data.noise_scale)),
                        ("hetero_scale", Value::Float(data.hetero_scale)),
                        ("student_df", Value::Float(data.student_df)),
                        ("outlier_frac", Value::Float(data.outlier_frac)),
                        ("outlier_scale", Value::Float(data.outlier_scale)),
                    ]),
                ),
                (
                    "teacher",
                    Value::table([
                        ("model", shape(&teacher.shape)),
                        ("init", text(teacher.init)),
                        ("dropout_rate", Value::Float(teacher.dropout_rate)),
                    ]),
                ),
                (
                    "training",
                    Value::table([
                        ("optimizer", text(training.optimizer)),
                        ("learning_rate", Value::Float(training.learning_rate)),
                        ("steps", Value::count(training.steps)),
                        ("early_stop_tol", Value::Float(training.early_stop_tol)),
                        ("polish", Value::Bool(training.polish)),
                    ]),
                ),
            ]),
            Kind::DeepLinear { widths, rank } => {
                Value::table([("widths", Value::counts(widths)), ("rank", Value::count(*rank))])
            }
            Kind::Monomial { half_exponents, copies } => Value::table([
                ("half_exponents", Value::counts(half_exponents)),
                ("copies", Value::count(*copies)),
            ]),
            Kind::Quadratic { eigenvalues } => Value::table([("eigenvalues", Value::floats(eigenvalues))]),
        };
        Value::table([
            ("schema", text("ekp.llc-target 1")),
            ("kind", text(self.kind_word())),
            ("of", kind),
            ("n", Value::count(self.n)),
            ("loss", text(self.loss)),
            ("precision", text(self.precision)),
            ("seed", Value::Integer(self.seed as i64)),
        ])
    }

    /// `network`, `deep-linear`, `monomial`, `quadratic`
    pub fn kind_word(&self) -> &'static str {
        match self.kind {
            Kind::Network { .. } => KINDS[0],
            Kind::DeepLinear { .. } => KINDS[1],
            Kind::Monomial { .. } => KINDS[2],
            Kind::Quadratic { .. } => KINDS[3],
        }
    }

    /// `tgt_` and twelve digits.
    pub fn id(&self) -> String {
        id("tgt_", &self.payload())
    }

    /// All 64 digits.
    pub fn hash(&self) -> String {
        hash(&self.payload())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::files::human::Document;
    use std::path::Path;

    pub(crate) fn read(text: &str) -> Result<TargetOptions, Marked> {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        let top = document.section();
        let options = TargetOptions::read(&top)?;
        top.finish()?;
        Ok(options)
    }

    #[test]
    fn presets_are_those_of_the_reference_and_ids_follow_content_alone() {
        let base = read("model = \"base\"\ndata = \"base\"").unwrap();
        let Kind::Network { shape, data, .. } = &base.kind else { panic!() };
        assert_eq!((shape.parameters(), data.n), (9921, 20_000));
        let small = read("").unwrap();
        let Kind::Network { shape, data, teacher, .. } = &small.kind else { panic!() };
        assert_eq!((shape.parameters(), data.n, teacher.shape.parameters()), (45, 100, 45));
        // The same said in other words has the same id; another value has another
        let same =
            read("seed = 42\nmodel = { preset = \"small\", widths = [4, 4] }\nloss = \"mse\"").unwrap();
        assert_eq!(small.id(), same.id());
        assert_ne!(small.id(), read("seed = 43").unwrap().id());
        assert_ne!(small.id(), read("training = { steps = 10 }").unwrap().id());
        assert!(small.id().starts_with("tgt_") && small.id().len() == 16);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (text, words) in [
            ("seeds = 3", "unknown key"),
            ("model = { width = [3] }", "unknown key"),
            ("kind = \"deep-linear\"", "widths"),
            ("kind = \"deep-linear\"\nwidths = [3, 2]\nrank = 3", "out of range"),
            ("kind = \"monomial\"\nhalf_exponents = [0]", "constant"),
            ("data = { x = \"gaus_iso\" }", "x"),
            ("precision = \"f16\"", "precision"),
        ] {
            assert!(read(text).unwrap_err().to_string().contains(words), "{text}");
        }
    }
}
