//! From the call `gaussian_random_field(…)` to what it asks for, and every refusal of its numbers.

use super::field::{Axis, Spec};
use super::grammar::{Call, FieldCall};
use super::modes::{MOST, largest_problem};
use super::place::Fault;
use super::token::{MOST_COMPONENTS, Number};
use crate::explain::{nearest, plain};

const FORM: &str =
    "it is `gaussian_random_field(Matern(smoothness, length), grid(from, to, points), …; terms = 50)`";

/// What a call asks for.
pub(super) fn spec(call: &FieldCall) -> Result<Spec, Fault> {
    let Some((kernel, grids)) = call.calls.split_first() else {
        let label = "allowed: `Matern(smoothness, length)` first";
        return Err(Fault::new(call.at.clone(), "a random field needs a covariance", label).hint(FORM));
    };
    let [nu, length] = numbers(kernel, "Matern", "smoothness, correlation length", 2)? else {
        unreachable!("two numbers were asked for")
    };
    within(nu, "smoothness", 0.05, 100.0)?;
    within(length, "correlation length", f64::MIN_POSITIVE, f64::MAX)?;
    if grids.is_empty() || grids.len() > 3 {
        let label = format!("found {}, allowed: 1 to 3 times `grid(from, to, points)`", grids.len());
        return Err(
            Fault::new(call.at.clone(), "a random field lives on one to three axes", label).hint(FORM)
        );
    }
    let axes = grids.iter().map(axis).collect::<Result<Vec<_>, _>>()?;
    let (mut terms, mut mean, mut std) = (None, 0.0, 1.0);
    for (k, (name, at, number)) in call.options.iter().enumerate() {
        if call.options[..k].iter().any(|(other, ..)| other == name) {
            return Err(Fault::new(at.clone(), format!("`{name}` is given twice"), "the second time"));
        }
        match name.as_str() {
            "terms" => terms = Some((number.count("`terms`")?, number)),
            "mean" => mean = number.value,
            "std" => {
                within(number, "standard deviation", f64::MIN_POSITIVE, f64::MAX)?;
                std = number.value;
            }
            other => {
                let label = format!("found `{other}`, allowed: `terms`, `mean`, `std`");
                let fault = Fault::new(at.clone(), "unknown keyword of `gaussian_random_field`", label);
                return Err(match nearest(other, &["terms", "mean", "std"]) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                });
            }
        }
    }
    let spec = Spec { nu: nu.value, length: length.value, std, mean, axes, terms: 0 };
    let (points, size) = (spec.points(), largest_problem(&spec.axes));
    if size > MOST || points > MOST_COMPONENTS {
        let most = MOST << spec.axes.len();
        let label = format!("found {points} points, allowed on such a grid: about {most}");
        return Err(Fault::new(call.at.clone(), "the grid has too many points", label));
    }
    match terms {
        None => {
            let label = "add `; terms = 50`: how many coefficients are calibrated";
            Err(Fault::new(call.at.clone(), "a random field lacks `terms`", label).hint(FORM))
        }
        Some((terms, number)) if terms > points => {
            let label = format!("found {terms}, allowed: at most {points}, the points of the grid");
            Err(Fault::new(number.at.clone(), "there are more terms than points", label))
        }
        Some((terms, _)) => Ok(Spec { terms, ..spec }),
    }
}

fn axis(call: &Call) -> Result<Axis, Fault> {
    let given = numbers(call, "grid", "first point, last point, number of points", 3)?;
    let (from, to) = (given[0].value, given[1].value);
    if !(from < to && (to - from).is_finite()) {
        let label = format!("found {} and {}, the first must be smaller", plain(from), plain(to));
        return Err(Fault::new(call.at.clone(), "this axis has no length", label));
    }
    let points = given[2].count("the third number of `grid`")?;
    if points < 2 {
        let label = format!("found {points}, allowed: at least 2");
        return Err(Fault::new(given[2].at.clone(), "an axis has both its ends", label));
    }
    Ok(Axis { from, to, points })
}

fn numbers<'a>(call: &'a Call, name: &str, takes: &str, n: usize) -> Result<&'a [Number], Fault> {
    if call.name != name {
        let label = format!("found `{}`, allowed here: `{name}({takes})`", call.name);
        return Err(Fault::new(call.name_at.clone(), format!("`{name}` is wanted here"), label).hint(FORM));
    }
    if call.arguments.len() != n {
        let label = format!("found {}, allowed: {n}", call.arguments.len());
        return Err(Fault::new(call.at.clone(), format!("`{name}` takes {takes}"), label));
    }
    Ok(&call.arguments)
}

fn within(found: &Number, what: &str, least: f64, most: f64) -> Result<(), Fault> {
    if (least..=most).contains(&found.value) {
        return Ok(());
    }
    let allowed =
        if most == f64::MAX { "larger than 0".to_owned() } else { format!("from {least:?} to {most:?}") };
    let label = format!("found {}, allowed: {allowed}", plain(found.value));
    Err(Fault::new(found.at.clone(), format!("this {what} is out of range"), label))
}
