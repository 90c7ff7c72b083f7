//! Constructors of distributions: names, parameters and defaults as in Julia's Distributions.jl.
//!
//! Belongs here: from a call to a law, and every refusal of its numbers. Not here: what a law does.

use super::distribution::Law;
use super::grammar::Call;
use super::place::Fault;
use super::token::Number;
use crate::explain::{nearest, plain};

/// A constructor: its name, what it takes, how many it may take (the rest have defaults).
struct Constructor {
    name: &'static str,
    takes: &'static str,
    counts: &'static [usize],
}

const fn constructor(name: &'static str, takes: &'static str, counts: &'static [usize]) -> Constructor {
    Constructor { name, takes, counts }
}

const CONSTRUCTORS: [Constructor; 15] = [
    constructor("Normal", "mean, standard deviation", &[0, 1, 2]),
    constructor("MvNormal", "number of components, standard deviation", &[2]),
    constructor("LogNormal", "mean and standard deviation of the logarithm", &[0, 1, 2]),
    constructor("Gamma", "shape, scale", &[0, 1, 2]),
    constructor("InverseGamma", "shape, scale", &[0, 1, 2]),
    constructor("Exponential", "scale", &[0, 1]),
    constructor("Uniform", "lower end, upper end", &[0, 2]),
    constructor("Beta", "two shapes", &[0, 1, 2]),
    constructor("TriangularDist", "lower end, upper end, mode", &[2, 3]),
    constructor("Laplace", "location, scale", &[0, 1, 2]),
    constructor("Cauchy", "location, scale", &[0, 1, 2]),
    constructor("Logistic", "location, scale", &[0, 1, 2]),
    constructor("TDist", "degrees of freedom", &[1]),
    constructor("Weibull", "shape, scale", &[0, 1, 2]),
    constructor("Chisq", "degrees of freedom", &[1]),
];

/// Is there a distribution of this name?
pub(super) fn is_known(name: &str) -> bool {
    CONSTRUCTORS.iter().any(|c| c.name == name)
}

/// The components a call means: one, or k equal ones for `MvNormal(k, s)`.
pub(super) fn of(call: &Call) -> Result<(Law, usize), Fault> {
    let Some(constructor) = CONSTRUCTORS.iter().find(|c| c.name == call.name) else {
        return Err(unknown(call));
    };
    let given = &call.arguments;
    if !constructor.counts.contains(&given.len()) {
        let counts: Vec<String> = constructor.counts.iter().map(usize::to_string).collect();
        let label = format!("found {}, allowed: {}", given.len(), counts.join(" or "));
        let title = format!("`{}` takes {}", call.name, constructor.takes);
        return Err(Fault::new(call.at.clone(), title, label));
    }
    let any = |i: usize, default: f64| given.get(i).map_or(default, |n| n.value);
    // A subnormal scale loses its digits in the first multiplication.
    let positive = |i: usize, what: &str, least: f64, most: f64| match given.get(i) {
        Some(n) if !(n.value >= least && n.value <= most) => Err(not_positive(n, what, least, most)),
        _ => Ok(any(i, 1.0)),
    };
    let scale = |i: usize| positive(i, "scale", f64::MIN_POSITIVE, f64::MAX);
    let std = |i: usize| positive(i, "standard deviation", f64::MIN_POSITIVE, f64::MAX);
    // Beyond these the samplers lose all digits, or do not end.
    let shape = |i: usize| positive(i, "shape", 1e-6, 1e12);
    let law = match constructor.name {
        "Normal" => Law::Normal(any(0, 0.0), std(1)?),
        "MvNormal" => {
            return Ok((Law::Normal(0.0, std(1)?), given[0].count("the first number of `MvNormal`")?));
        }
        "LogNormal" => Law::LogNormal(any(0, 0.0), std(1)?),
        "Gamma" => Law::Gamma(shape(0)?, scale(1)?),
        "InverseGamma" => Law::InverseGamma(shape(0)?, scale(1)?),
        "Exponential" => Law::Exponential(scale(0)?),
        "Uniform" => interval(call, any(0, 0.0), any(1, 1.0), None)?,
        "Beta" => Law::Beta(shape(0)?, if given.len() == 1 { shape(0)? } else { shape(1)? }),
        "TriangularDist" => {
            let (a, b) = (any(0, 0.0), any(1, 1.0));
            interval(call, a, b, Some(any(2, a / 2.0 + b / 2.0)))?
        }
        "Laplace" => Law::Laplace(any(0, 0.0), scale(1)?),
        "Cauchy" => Law::Cauchy(any(0, 0.0), scale(1)?),
        "Logistic" => Law::Logistic(any(0, 0.0), scale(1)?),
        "TDist" => Law::StudentT(positive(0, "degrees of freedom", 1e-6, 1e12)?),
        "Weibull" => Law::Weibull(shape(0)?, scale(1)?),
        _ => Law::ChiSquared(positive(0, "degrees of freedom", 1e-6, 1e12)?),
    };
    Ok((law, 1))
}

fn interval(call: &Call, a: f64, b: f64, mode: Option<f64>) -> Result<Law, Fault> {
    if !(a < b && (b - a).is_finite()) {
        let label = format!("found {} and {}, the first must be smaller", plain(a), plain(b));
        return Err(Fault::new(call.at.clone(), format!("`{}` has no interval", call.name), label));
    }
    match mode {
        None => Ok(Law::Uniform(a, b)),
        Some(c) if a <= c && c <= b => Ok(Law::Triangular(a, b, c)),
        Some(c) => {
            let label = format!("found {}, allowed: from {} to {}", plain(c), plain(a), plain(b));
            let title = "the mode (third number) lies outside the interval";
            Err(Fault::new(call.arguments.get(2).map_or(call.at.clone(), |n| n.at.clone()), title, label))
        }
    }
}

fn not_positive(found: &Number, what: &str, least: f64, most: f64) -> Fault {
    let wide = most == f64::MAX;
    let allowed = if wide { "larger than 0".into() } else { format!("from {least:e} to {most:e}") };
    let label = format!("found {}, allowed: {allowed}", plain(found.value));
    let fault = Fault::new(found.at.clone(), format!("this {what} is out of range"), label);
    if found.value == 0.0 {
        fault.hint("a known parameter has `prior = \"fixed\"` and a `value`")
    } else {
        fault
    }
}

fn unknown(call: &Call) -> Fault {
    let names: Vec<&str> = CONSTRUCTORS.iter().map(|c| c.name).collect();
    let label = format!("found `{}`, allowed: {}", call.name, names.join(", "));
    let fault = Fault::new(call.name_at.clone(), "unknown distribution", label);
    match nearest(&call.name, &names) {
        Some(near) => fault.hint(format!("did you mean `{near}`?")),
        None => fault,
    }
}
