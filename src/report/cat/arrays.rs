//! State files and npy arrays: numbers in rows.

use std::path::Path;

use crate::files::{RunDir, TomlText, digest, load_record, load_state, npy, peek_state};
use crate::numerics::Mat;
use crate::problem::{Ensemble, State};
use crate::report::ReportError;
use crate::report::cat::{Form, Printed, csv, damaged, float};
use crate::report::export::Arrays;
use crate::steps::parameters::{ENSEMBLE, STATE};

/// A state file: its first line, then what it holds.
pub(super) fn state(path: &Path, bytes: &[u8], form: Form) -> Result<Printed, ReportError> {
    let fault = |e: crate::files::FileError| match e {
        crate::files::FileError::Invalid { why, .. } => damaged(path, why),
        other => other.into(),
    };
    let (kind, version, _) = peek_state(path, bytes).map_err(fault)?;
    let line = String::from_utf8_lossy(bytes.split(|&b| b == b'\n').next().unwrap_or_default()).into_owned();
    let text = match (kind.as_str(), form) {
        (kind, form) if kind == ENSEMBLE.0 => {
            let ensemble: Ensemble = load_state(path, ENSEMBLE.0, ENSEMBLE.1).map_err(fault)?;
            let names = names(path, ensemble.u.nrows());
            match form {
                Form::Toml => ensemble_toml(&line, &ensemble.u, &names),
                Form::Csv => ensemble_csv(&ensemble.u, &names),
            }
        }
        (kind, form) if kind == STATE.0 => {
            let state: State = load_state(path, STATE.0, STATE.1).map_err(fault)?;
            match form {
                Form::Toml => state_toml(&line, &state),
                Form::Csv => state_csv(&state),
            }
        }
        (other, _) => {
            let why =
                format!("it holds `{other}` version {version}, known are `{}` and `{}`", ENSEMBLE.0, STATE.0);
            return Err(ReportError::Foreign { path: path.to_owned(), why });
        }
    };
    Ok(Printed { text, note: format!("{kind} version {version}, its checksum fits") })
}

/// Names of the parameters, from the run the file lies in; `u[1]`, `u[2]` … elsewhere.
fn names(path: &Path, rows: usize) -> Vec<String> {
    let run = std::path::absolute(path)
        .ok()
        .and_then(|path| path.ancestors().skip(1).take(3).find_map(|folder| RunDir::open(folder).ok()));
    let named: Vec<String> = run.map_or_else(Vec::new, |run| {
        let id = run.identity;
        let one = |(name, &n): (&String, &usize)| match n {
            1 => vec![name.clone()],
            n => (1..=n).map(|k| format!("{name}[{k}]")).collect(),
        };
        id.parameters.iter().zip(&id.components).flat_map(one).collect()
    });
    if named.len() == rows { named } else { (1..=rows).map(|k| format!("u[{k}]")).collect() }
}

fn row(m: &Mat, i: usize) -> Vec<f64> {
    (0..m.ncols()).map(|j| m.col(j)[i]).collect()
}

fn ensemble_toml(line: &str, u: &Mat, names: &[String]) -> String {
    let mut text = TomlText::comments(&format!(
        "{line}\nAn ensemble: for each parameter one number per member, unconstrained\n(physical values: `parameters.toml`, `ekp-export`)."
    ));
    text.number("members", u.ncols() as i128).number("parameters", u.nrows() as i128).table("unconstrained");
    for (i, name) in names.iter().enumerate() {
        text.floats(name, &row(u, i));
    }
    text.finish()
}

fn ensemble_csv(u: &Mat, names: &[String]) -> String {
    let head: Vec<String> = std::iter::once("member".into())
        .chain(names.iter().map(|n| format!("{n} (unconstrained)")))
        .collect();
    let rows = (0..u.ncols()).map(|j| {
        std::iter::once((j + 1).to_string()).chain(u.col(j).iter().map(|&x| float(x))).collect::<Vec<_>>()
    });
    csv(std::iter::once(head).chain(rows))
}

fn state_toml(line: &str, state: &State) -> String {
    let mut text = TomlText::comments(&format!(
        "{line}\nWhat the algorithm keeps between iterations: numbers, and arrays row by row."
    ));
    text.table("scalars");
    for (name, value) in &state.scalars {
        text.float(name, *value);
    }
    text.table("arrays");
    for (name, m) in &state.arrays {
        let rows: Vec<String> = (0..m.nrows())
            .map(|i| format!("[{}]", row(m, i).into_iter().map(float).collect::<Vec<_>>().join(", ")))
            .collect();
        text.raw(&format!("{} = [{}]", crate::files::quoted(name), rows.join(", ")));
    }
    text.finish()
}

fn state_csv(state: &State) -> String {
    let mut rows = vec![["name", "row", "column", "value"].map(str::to_owned).to_vec()];
    for (name, value) in &state.scalars {
        rows.push(vec![name.clone(), String::new(), String::new(), float(*value)]);
    }
    for (name, m) in &state.arrays {
        for i in 0..m.nrows() {
            for j in 0..m.ncols() {
                rows.push(vec![name.clone(), (i + 1).to_string(), (j + 1).to_string(), float(m.col(j)[i])]);
            }
        }
    }
    csv(rows)
}

/// An array, held against the record beside it that names it.
pub(super) fn npy(path: &Path, bytes: &[u8], form: Form) -> Result<Printed, ReportError> {
    let array = npy::read(bytes).map_err(|e| damaged(path, e.to_string()))?;
    let note = match vouched(path, bytes) {
        Some((record, true)) => format!("its checksum is the one in `{record}`"),
        Some((record, false)) => {
            return Err(damaged(path, format!("it is not the file that `{record}` names: another checksum")));
        }
        None => "no record beside it names it".into(),
    };
    let width = array.shape.get(1).copied().unwrap_or(1);
    let rows = array.shape[0];
    let line =
        |i: usize| array.data[i * width..(i + 1) * width].iter().map(|&x| float(x)).collect::<Vec<_>>();
    let text = match form {
        Form::Csv => {
            let head = if array.shape.len() == 1 {
                vec!["value".into()]
            } else {
                (1..=width).map(|k| format!("column_{k}")).collect()
            };
            csv(std::iter::once(head).chain((0..rows).map(line)))
        }
        Form::Toml => {
            let shape: Vec<String> = array.shape.iter().map(usize::to_string).collect();
            let values: Vec<String> = match array.shape.len() {
                1 => (0..rows).flat_map(line).collect(),
                _ => (0..rows).map(|i| format!("[{}]", line(i).join(", "))).collect(),
            };
            format!("shape = [{}]\nvalues = [\n  {},\n]\n", shape.join(", "), values.join(",\n  "))
        }
    };
    Ok(Printed { text, note })
}

/// The record beside an array that names it, and whether its checksum fits.
fn vouched(path: &Path, bytes: &[u8]) -> Option<(String, bool)> {
    let name = path.file_name()?.to_str()?;
    if name == "data.npy" {
        let text = std::fs::read_to_string(path.with_file_name("data.toml")).ok()?;
        let record: toml::Table = text.parse().ok()?;
        return Some(("data.toml".into(), record.get("data")?.as_str()? == digest(bytes)));
    }
    let beside = format!("{}.toml", name.strip_suffix(".npy")?.rsplit_once('.')?.0);
    let record: Arrays = load_record(&path.with_file_name(&beside)).ok()?;
    let array = record.array.iter().find(|array| array.file == name)?;
    Some((beside, array.checksum == digest(bytes)))
}
