//! A full grid: every combination of the values of some axes, the last axis fastest (C order).

use crate::explain::Marked;
use crate::files::human::{Section, Value};

/// One parameter and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The parameter: `rho1`, or `mixing[2]`
    pub name: String,
    /// Its values, in the order of the file
    pub values: Vec<f64>,
}

/// Some axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// In the order of the file; the last one is the fastest
    pub axes: Vec<Axis>,
}

impl Grid {
    /// Read `[inputs.grid]`: for each parameter a list, `{ linspace = [from, to, n] }` or
    /// `{ logspace = [from, to, n] }`, exponents of ten as numpy has them.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let axes = section.keys().map(|name| axis(section, name)).collect::<Result<Vec<_>, _>>()?;
        if axes.is_empty() {
            return Err(section.wrong(
                "",
                "this grid has no axis",
                "add `name = [values]` for each parameter",
            ));
        }
        Ok(Self { axes })
    }

    /// Number of combinations; none when it does not fit 64 bits.
    pub fn models(&self) -> Option<u64> {
        self.axes.iter().try_fold(1u64, |n, axis| n.checked_mul(axis.values.len() as u64))
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> Vec<usize> {
        self.axes.iter().map(|axis| axis.values.len()).collect()
    }

    /// The parameters of model `k`, from 0, at the end of `out`.
    pub fn push(&self, k: u64, out: &mut Vec<f64>) {
        let from = out.len();
        let mut rest = k;
        for axis in self.axes.iter().rev() {
            let n = axis.values.len() as u64;
            out.push(axis.values[(rest % n) as usize]);
            rest /= n;
        }
        out[from..].reverse();
    }
}

fn axis(section: &Section<'_>, name: &str) -> Result<Axis, Marked> {
    const ALLOWED: &str =
        "allowed: a list of numbers, `{ linspace = [from, to, n] }` or `{ logspace = [from, to, n] }`";
    let table = matches!(section.node(name).map(|node| &node.value), Some(Value::Table(_)));
    let values = if table {
        let inner = section.section(name)?.expect("it is a table");
        let keys: Vec<&str> = inner.keys().collect();
        let values = match keys.as_slice() {
            ["list"] => inner.need::<Vec<f64>>("list")?,
            [key @ ("linspace" | "logspace")] => spaced(&inner, key)?,
            [key] => {
                return Err(inner.wrong(key, format!("the axis `{name}` has no rule `{key}`"), ALLOWED));
            }
            _ => return Err(section.wrong(name, format!("the axis `{name}` needs one rule"), ALLOWED)),
        };
        inner.finish()?;
        values
    } else {
        section
            .need::<Vec<f64>>(name)
            .map_err(|_| section.wrong(name, format!("the axis `{name}` has no values"), ALLOWED))?
    };
    if values.is_empty() || values.iter().any(|x| !x.is_finite()) {
        let label = if values.is_empty() { "it is empty" } else { "not all of its values are finite" };
        return Err(section.wrong(name, format!("the axis `{name}` cannot be used"), label));
    }
    Ok(Axis { name: name.to_owned(), values })
}

/// `n` values from one end to the other, both included.
fn spaced(inner: &Section<'_>, key: &str) -> Result<Vec<f64>, Marked> {
    let numbers = inner.need::<Vec<f64>>(key)?;
    let wrong = |label: String| inner.wrong(key, format!("`{key}` cannot be used"), label);
    let &[from, to, n] = numbers.as_slice() else {
        return Err(wrong(format!("found {} numbers, allowed: [from, to, n]", numbers.len())));
    };
    if !(from.is_finite() && to.is_finite() && (1.0..=1e9).contains(&n) && n.fract() == 0.0) {
        return Err(wrong("allowed: two finite ends, and a whole number of values from 1 on".into()));
    }
    let n = n as usize;
    let at = |k: usize| match k {
        0 => from,
        k if k + 1 == n => to,
        k => from + (to - from) * (k as f64 / (n - 1) as f64),
    };
    let values = (0..n).map(at);
    Ok(if key == "logspace" { values.map(power_of_ten).collect() } else { values.collect() })
}

/// Whole powers are exact; the others are those of this machine's library, and are written into the run.
fn power_of_ten(x: f64) -> f64 {
    if x.fract() == 0.0 && x.abs() <= 300.0 {
        return format!("1e{x}").parse().expect("a power of ten is a number");
    }
    10f64.powf(x)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::files::human::Document;

    fn read(text: &str) -> Result<Grid, Marked> {
        let document = Document::parse(Path::new("experiment.toml"), text).unwrap();
        Grid::read(&document.section().section("grid").unwrap().unwrap())
    }

    #[test]
    fn the_last_axis_is_the_fastest_and_ends_are_exact() {
        let text =
            "grid = { rho1 = { logspace = [1, 3, 5] }, rho2 = { linspace = [10, 40, 4] }, h = [2, 1.5] }";
        let grid = read(text).unwrap();
        assert_eq!((grid.shape(), grid.models()), (vec![5, 4, 2], Some(40)));
        assert_eq!(grid.axes[1].values, [10.0, 20.0, 30.0, 40.0]);
        let rho = &grid.axes[0].values;
        assert_eq!((rho[0], rho[2], rho[4]), (10.0, 100.0, 1000.0));
        assert!((rho[1] / 10f64.sqrt() - 10.0).abs() < 1e-14); // a rounding of the power
        let mut all = Vec::new();
        (0..40).for_each(|k| grid.push(k, &mut all));
        // In C order, by the definition
        for (k, row) in all.chunks(3).enumerate() {
            assert_eq!(row, [rho[k / 8], grid.axes[1].values[k / 2 % 4], grid.axes[2].values[k % 2]]);
        }
        assert_eq!(read("grid = { a = { linspace = [3, 9, 1] } }").unwrap().axes[0].values, [3.0]);
    }

    #[test]
    fn faults_of_axes_are_told() {
        for (text, word) in [
            ("grid = {}", "no axis"),
            ("grid = { a = [] }", "it is empty"),
            ("grid = { a = 'x' }", "no values"),
            ("grid = { a = { linspace = [1, 2] } }", "found 2 numbers"),
            ("grid = { a = { linspace = [1, 2, 2.5] } }", "whole number"),
            ("grid = { a = { linspace = [1, 2, 2], list = [1] } }", "one rule"),
            ("grid = { a = { geomspace = [1, 2, 2] } }", "no rule `geomspace`"),
            ("grid = { a = { logspace = [1, 400, 3] } }", "not all of its values are finite"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(
                format!("{fault} {}", fault.picture(false)).contains(word),
                "{text}: {}",
                fault.picture(false)
            );
        }
    }
}
