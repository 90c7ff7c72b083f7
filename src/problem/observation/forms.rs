//! Reading the covariance of a block: one form, and what may go with it.
//!
//! ```toml
//! covariance = { scalar = 0.1 }
//! covariance = { diagonal = [0.1, 0.2] }
//! covariance = { dense = [[2.0, 0.5], [0.5, 1.0]] }
//! covariance = { low_rank = { u = [[0.8], [0.6]], s = [4.0] }, plus = { scalar = 0.1 } }   # U diag(s) Uᵀ + D
//! covariance = { samples = { file = "noise.npy" }, rank = 10, plus = { diagonal = [0.1, 0.2] } }
//! covariance = { precision = { diagonal = [10.0, 10.0], tall = [[1.0], [2.0]] } }          # Γ⁻¹ = D − R Rᵀ
//! ```
//!
//! All numbers may stand in `{ file = "…" }`. Belongs here: forms and their refusals. Not here: what a form does.

use std::path::Path;

use super::given::{Given, numbers};
use super::{Covariance, CovarianceError, noise, samples};
use crate::explain::{Marked, nearest, one_of, plain};
use crate::files::human::{Section, Value};
use crate::numerics::{Mat, linalg};

/// Forms of a covariance that exist.
const FORMS: [&str; 6] = ["scalar", "diagonal", "dense", "low_rank", "samples", "precision"];
/// Keys that go with some of them.
const OPTIONS: [&str; 3] = ["plus", "rank", "pseudo_inverse"];

/// The block's covariance.
pub(super) fn covariance(section: &Section<'_>, folder: &Path, y: &[f64]) -> Result<Covariance, Marked> {
    let allowed =
        "`{ scalar = variance }`, `{ diagonal = [variances] }`, `{ dense = [[…], …] }`, or a low-rank form";
    match section.node("covariance").map(|node| &node.value) {
        None => return Err(section.missing("covariance", allowed)),
        Some(Value::Table(_)) => {}
        Some(other) => {
            let label = format!("found {}, allowed: {allowed}", other.kind());
            let fault = section.wrong("covariance", "a covariance says which form it has", label);
            return Err(match other.number() {
                Some(s) => fault.hint(format!("write `covariance = {{ scalar = {s:?} }}`")),
                None => fault,
            });
        }
    }
    let Some(table) = section.section("covariance")? else {
        return Err(section.missing("covariance", allowed));
    };
    if let Some(unknown) = table.keys().find(|key| !FORMS.contains(key) && !OPTIONS.contains(key)) {
        let label = format!("found `{unknown}`, allowed: {}", one_of(&FORMS));
        let fault = table.wrong(unknown, "a covariance has no such form", label);
        return Err(match nearest(unknown, &[&FORMS[..], &OPTIONS[..]].concat()) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        });
    }
    let known: Vec<&str> = FORMS.into_iter().filter(|form| table.node(form).is_some()).collect();
    let [form] = known[..] else {
        let found = if known.is_empty() { "none".to_owned() } else { format!("{} forms", known.len()) };
        let label = format!("found {found}, allowed: one of {}", one_of(&FORMS));
        return Err(section.wrong("covariance", "a covariance has one form", label));
    };
    for option in OPTIONS {
        let belongs = form == "samples" || (form == "low_rank" && option != "rank");
        if table.node(option).is_some() && !belongs {
            let to = if option == "rank" { "`samples`" } else { "`low_rank` and `samples`" };
            let label = format!("it belongs to {to}, this is `{form}`");
            return Err(table.wrong(option, format!("`{option}` has no use here"), label));
        }
    }
    match form {
        "low_rank" => low_rank(&table, folder, y.len()),
        "samples" => of_samples(&table, folder, y.len()),
        "precision" => precision(&table, folder, y.len()),
        _ => plain_form(&table, form, folder, y.len()),
    }
}

/// `scalar`, `diagonal` or `dense`.
fn plain_form(table: &Section<'_>, form: &str, folder: &Path, rows: usize) -> Result<Covariance, Marked> {
    let node = table.node(form).expect("the form was found");
    let given = numbers(table, form, node, folder)?;
    let covariance = match form {
        "dense" => Covariance::Dense(given.matrix()),
        "diagonal" => Covariance::Diagonal(given.one_column(table, form)?.to_vec()),
        _ if given.data.len() == 1 => Covariance::Scalar(given.data[0]),
        _ => {
            let label = format!("found {} numbers, allowed: one", given.data.len());
            return Err(table.wrong(form, "a scalar covariance is one number", label));
        }
    };
    covariance.check(rows).map_err(|error| {
        let (title, label) = (error.to_string(), format!("allowed: {}", rule(&error, rows)));
        let (row, col) = match &error {
            CovarianceError::Entry { row, col, .. } | CovarianceError::Asymmetric { row, col, .. } => {
                (*row, *col)
            }
            _ => return table.wrong(form, title, label),
        };
        let fault = given.fault(table, row - 1, col - 1, title, label);
        match error {
            CovarianceError::Entry { .. } => fault
                .hint("variances, not standard deviations; a value that was not observed is `nan` in `y`"),
            _ => fault,
        }
    })?;
    Ok(covariance)
}

/// `low_rank = { u, s }`: U diag(s) Uᵀ, with what goes with it.
fn low_rank(table: &Section<'_>, folder: &Path, rows: usize) -> Result<Covariance, Marked> {
    let inner = inside(table, "low_rank", "`{ u = [[…], …], s = […] }`")?;
    let u = needed(&inner, "u", "its patterns, an array of rows", folder)?;
    height(&inner, "u", &u, rows)?;
    finite(&inner, &u)?;
    let s = needed(&inner, "s", "the variance along each column of `u`", folder)?;
    inner.finish()?;
    s.one_column(&inner, "s")?;
    if s.rows != u.cols {
        let label = format!("found {}, allowed: {}, one for each column of `u`", s.rows, u.cols);
        return Err(inner.wrong("s", "`s` and `u` do not fit together", label));
    }
    if let Some(k) = s.data.iter().position(|s| !s.is_finite() || *s < 0.0) {
        let label = format!("found {}, allowed: 0 or a positive number", plain(s.data[k]));
        return Err(s.fault(&inner, k, 0, "a variance of `s` is out of range", label));
    }
    let v = Mat::from_fn(u.rows, u.cols, |i, k| u.data[i * u.cols + k] * s.data[k].sqrt());
    with_diagonal(table, "low_rank", folder, v, rows)
}

/// `samples`: a row for each draw of the noise.
fn of_samples(table: &Section<'_>, folder: &Path, rows: usize) -> Result<Covariance, Marked> {
    let draws = needed(table, "samples", "draws of the noise, a row for each", folder)?;
    if draws.cols != rows {
        let label = format!("found {} numbers in a draw, allowed: {rows}, as many as `y` has", draws.cols);
        let fault = table.wrong("samples", "draws of the noise have another length than `y`", label);
        return Err(match draws.rows == rows {
            true => fault.hint("a row is a draw: exchange rows and columns"),
            false => fault,
        });
    }
    if draws.rows < 2 {
        let label = format!("found {}, allowed: at least 2 rows", draws.rows);
        return Err(table.wrong("samples", "a covariance needs several draws", label));
    }
    finite(table, &draws)?;
    let rank = table.integer("rank", 1..=1_000_000)?.map(|rank| usize::try_from(rank).unwrap_or(usize::MAX));
    let z = draws.matrix().transpose(); // p × N
    let v = samples::patterns(&z, rank).map_err(|_| {
        table.wrong("samples", "the draws have no covariance", "they range over too many orders of magnitude")
    })?;
    if v.ncols() == 0 {
        let label = "all draws are the same";
        return Err(table.wrong("samples", "the draws have no covariance", label));
    }
    with_diagonal(table, "samples", folder, v, rows)
}

/// V Vᵀ with `plus`, or as it is.
fn with_diagonal(
    table: &Section<'_>,
    form: &str,
    folder: &Path,
    v: Mat,
    rows: usize,
) -> Result<Covariance, Marked> {
    let pseudo: bool = table.opt("pseudo_inverse")?.unwrap_or(false);
    let diagonal = match table.node("plus") {
        None => None,
        Some(_) => {
            let plus = inside(table, "plus", "`{ scalar = variance }` or `{ diagonal = [variances] }`")?;
            let key = if plus.node("diagonal").is_some() { "diagonal" } else { "scalar" };
            if plus.node(key).is_none() {
                return Err(plus.missing("scalar", "a variance, or `diagonal` with one for each value"));
            }
            let found = plain_form(&plus, key, folder, rows)?;
            plus.finish()?;
            Some(match found {
                Covariance::Diagonal(d) => d,
                Covariance::Scalar(s) => vec![s; rows],
                _ => unreachable!("`plus` is read as one of these two"),
            })
        }
    };
    // More patterns than rows: the matrix itself is smaller. A mean was taken off the draws.
    let full = v.ncols() > rows || (form == "low_rank" && v.ncols() == rows);
    match diagonal {
        Some(_) if pseudo => {
            let label = "with `plus` the covariance has an inverse";
            Err(table.wrong("pseudo_inverse", "`pseudo_inverse` has no use here", label))
        }
        Some(d) if !full => Ok(Covariance::Spiked { d, v }),
        None if pseudo => Ok(Covariance::Span(v)),
        None if !full => {
            let label = match form {
                "samples" => {
                    format!("found {} patterns for {rows} values; one goes with the mean", v.ncols())
                }
                _ => format!("found {} patterns for {rows} values", v.ncols()),
            };
            Err(table.wrong(form, "a covariance of low rank has no inverse", label).hint(
                "add the noise of each value by itself: `plus = { scalar = … }`; `pseudo_inverse = true` gives residuals outside the patterns no weight at all",
            ))
        }
        d => {
            let mut gamma = linalg::matmul_nt(&v, &v);
            linalg::mirror(&mut gamma);
            d.iter().flatten().enumerate().for_each(|(i, d)| gamma[(i, i)] += d);
            Ok(Covariance::Dense(gamma))
        }
    }
}

/// `precision = { diagonal, tall }`: the inverse is D − R Rᵀ.
fn precision(table: &Section<'_>, folder: &Path, rows: usize) -> Result<Covariance, Marked> {
    let inner = inside(table, "precision", "`{ diagonal = […], tall = [[…], …] }`")?;
    let d = needed(&inner, "diagonal", "one over a variance for each value", folder)?;
    let values = d.one_column(&inner, "diagonal")?.to_vec();
    height(&inner, "diagonal", &d, rows)?;
    if let Some(i) = values.iter().position(|d| !d.is_finite() || *d <= 0.0) {
        let label = format!("found {}, allowed: a positive number", plain(values[i]));
        return Err(d.fault(&inner, i, 0, "an entry of the precision is out of range", label));
    }
    let tall = needed(&inner, "tall", "R of the precision D − R Rᵀ, an array of rows", folder)?;
    height(&inner, "tall", &tall, rows)?;
    finite(&inner, &tall)?;
    inner.finish()?;
    let r = tall.matrix();
    if noise::inverse(&values, &r).is_err() {
        let label = "allowed: all eigenvalues of Rᵀ D⁻¹ R below 1, so that D − R Rᵀ is positive definite";
        return Err(inner.wrong("tall", "the precision is not positive definite", label));
    }
    Ok(Covariance::Precision { d: values, r })
}

fn inside<'a>(table: &Section<'a>, key: &str, allowed: &str) -> Result<Section<'a>, Marked> {
    if let Some(node) = table.node(key)
        && !matches!(node.value, Value::Table(_))
    {
        let label = format!("found {}, allowed: {allowed}", node.value.kind());
        return Err(table.wrong(key, format!("`{key}` has the wrong type"), label));
    }
    table.section(key)?.ok_or_else(|| table.missing(key, allowed))
}

fn needed(table: &Section<'_>, key: &str, what: &str, folder: &Path) -> Result<Given, Marked> {
    let node = table.node(key).ok_or_else(|| table.missing(key, what))?;
    numbers(table, key, node, folder)
}

fn height(table: &Section<'_>, key: &str, given: &Given, rows: usize) -> Result<(), Marked> {
    if given.rows == rows {
        return Ok(());
    }
    let label = format!("found {} rows, allowed: {rows}, as many as `y` has", given.rows);
    Err(table.wrong(key, format!("`{key}` does not fit `y`"), label))
}

fn finite(table: &Section<'_>, given: &Given) -> Result<(), Marked> {
    match given.data.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(k) => {
            let (row, col) = (k / given.cols, k % given.cols);
            let label = format!("found {}, allowed: a finite number", plain(given.data[k]));
            let title = format!("number {} of row {} cannot be used", col + 1, row + 1);
            Err(given.fault(table, row, col, title, label))
        }
    }
}

/// What is allowed where a covariance has this fault, for the mark below the place; `rows` are those of `y`.
pub(super) fn rule(error: &CovarianceError, rows: usize) -> String {
    match error {
        CovarianceError::Length { .. } | CovarianceError::NotSquare { .. } => {
            format!("{rows} rows, as many as `y` has")
        }
        CovarianceError::Entry { row, col, .. } if row == col => "a finite number above 0".into(),
        CovarianceError::Entry { .. } | CovarianceError::Pattern { .. } => "a finite number".into(),
        CovarianceError::Asymmetric { .. } => "a symmetric matrix".into(),
        CovarianceError::NotPositiveDefinite => "a positive definite matrix, each eigenvalue above 0".into(),
    }
}
