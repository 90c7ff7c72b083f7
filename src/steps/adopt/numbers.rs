//! Numbers as other tools leave them: csv or text, npy, TOML.
//!
//! Belongs here: bytes to a table of numbers, rows and columns as they stand. Not here: what a length should be.

use std::fs;
use std::path::Path;

use crate::files::npy;

/// Numbers of a file, with the shape they have there.
#[derive(Debug, Clone)]
pub(super) struct Numbers {
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Row by row
    pub(super) data: Vec<f64>,
}

impl Numbers {
    /// The same numbers in the same shape; NaN is NaN.
    pub(super) fn same(&self, other: &Self) -> bool {
        let equal = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        (self.rows, self.cols) == (other.rows, other.cols) && self.data.iter().zip(&other.data).all(equal)
    }
}

/// Read a file by its ending; what is wrong in words, without the file's name.
pub(super) fn read(path: &Path) -> Result<Numbers, String> {
    let bytes = fs::read(path).map_err(|e| format!("it cannot be read: {}", e.kind()))?;
    if bytes.is_empty() {
        return Err("it is empty".into());
    }
    if path.extension().is_some_and(|e| e == "npy") {
        let array = npy::read(&bytes).map_err(|e| e.to_string())?;
        let (rows, cols) = (array.shape[0], array.shape.get(1).copied().unwrap_or(1));
        return Ok(Numbers { rows, cols, data: array.data });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text (UTF-8)".to_owned())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if path.extension().is_some_and(|e| e == "toml") { toml_numbers(text) } else { table(text) }
}

/// A row to a line, with commas, tabs or blanks between numbers; `#` begins a comment.
fn table(text: &str) -> Result<Numbers, String> {
    let mut numbers = Numbers { rows: 0, cols: 0, data: Vec::new() };
    for (k, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let before = numbers.data.len();
        let commas = line.contains([',', ';']);
        let words: Vec<&str> = if commas {
            line.split([',', ';']).map(str::trim).collect()
        } else {
            line.split_whitespace().collect()
        };
        for word in words {
            let number = word.parse().ok().or_else(|| word.replace(['d', 'D'], "e").parse().ok());
            numbers.data.push(number.ok_or_else(|| {
                let short: String = word.chars().take(40).collect();
                format!("line {}: found `{short}`, expected a number", k + 1)
            })?);
        }
        let found = numbers.data.len() - before;
        if numbers.rows > 0 && found != numbers.cols {
            return Err(format!("numbers in line {}: {found}, in those before it: {}", k + 1, numbers.cols));
        }
        numbers.cols = found;
        numbers.rows += 1;
    }
    if numbers.rows == 0 { Err("it holds no numbers".into()) } else { Ok(numbers) }
}

/// `model_output = [...]`
fn toml_numbers(text: &str) -> Result<Numbers, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|e: toml::de::Error| e.message().lines().next().unwrap_or_default().to_owned())?;
    let array = table.get("model_output").ok_or("it has no `model_output`")?;
    let number = |v: &toml::Value| v.as_float().or_else(|| v.as_integer().map(|i| i as f64));
    let data: Option<Vec<f64>> = match array {
        toml::Value::Array(items) => items.iter().map(number).collect(),
        one => number(one).map(|x| vec![x]),
    };
    let data = data.ok_or("`model_output` is no array of numbers")?;
    Ok(Numbers { rows: data.len(), cols: 1, data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_julia_and_others_write_is_read() {
        let of = |text: &str| table(text).map(|n| (n.rows, n.cols, n.data));
        assert_eq!(of("1.0\n2e0\n"), Ok((2, 1, vec![1.0, 2.0])));
        assert_eq!(of("1.0,2.0\r\n3.0, 4\n"), Ok((2, 2, vec![1.0, 2.0, 3.0, 4.0])));
        assert_eq!(of("# heading\n1\t2\n\n3\t-Inf\n"), Ok((2, 2, vec![1.0, 2.0, 3.0, f64::NEG_INFINITY])));
        assert!(table("NaN,1\n").unwrap().data[0].is_nan());
        assert_eq!(of("1.5D0"), Ok((1, 1, vec![1.5])));
        assert_eq!(of("1,2\n3\n").unwrap_err(), "numbers in line 2: 1, in those before it: 2");
        assert_eq!(of("1\nx\n").unwrap_err(), "line 2: found `x`, expected a number");
        assert_eq!(of("\n# only this\n").unwrap_err(), "it holds no numbers");
        assert_eq!(toml_numbers("model_output = [1, 2.5]").unwrap().data, [1.0, 2.5]);
        assert!(toml_numbers("model_output = ['x']").unwrap_err().contains("no array of numbers"));
        assert!(toml_numbers("output = [1]").unwrap_err().contains("no `model_output`"));
    }
}
