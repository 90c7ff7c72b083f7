//! What tests are fed: the reference values of `tests/reference/kalman` (format: its `README.md`), and rough numbers.

use serde_json::Value;

use crate::numerics::Mat;

/// Entries that look random, below ½ in size, and are the same everywhere.
pub(crate) fn rough(rows: usize, cols: usize) -> Mat {
    let mut x = 0.37_f64;
    Mat::from_fn(rows, cols, |_, _| {
        x = 3.99 * x * (1.0 - x);
        x - 0.5
    })
}

/// One file of cases.
pub(crate) struct Fixture {
    rtol: f64,
    atol: f64,
    cases: Vec<Case>,
}

/// Inputs and expected outputs.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) inputs: Part,
    pub(crate) expected: Part,
    rtol: f64,
    atol: f64,
}

/// Named numbers, vectors and matrices.
pub(crate) struct Part(Value);

impl Fixture {
    /// The file of that name.
    pub(crate) fn read(name: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/kalman");
        let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        let mut all: Value = serde_json::from_str(&text).unwrap();
        let number = |key: &str| all["tolerance"][key].as_f64().unwrap();
        let (rtol, atol) = (number("rtol"), number("atol"));
        let Value::Array(cases) = all["cases"].take() else { panic!("{name}: no cases") };
        let case = |mut case: Value| Case {
            name: case["name"].as_str().unwrap().to_owned(),
            inputs: Part(case["inputs"].take()),
            expected: Part(case["expected"].take()),
            rtol,
            atol,
        };
        Self { rtol, atol, cases: cases.into_iter().map(case).collect() }
    }

    /// Cases whose name fits one of the patterns, which `|` separates; at least one does.
    ///
    /// A pattern stands in the source as it is: the test below finds by it which cases have a reader.
    pub(crate) fn cases(&self, patterns: &str) -> Vec<&Case> {
        assert!(self.rtol > 0.0 && self.atol > 0.0);
        let found: Vec<&Case> = self.cases.iter().filter(|case| fits(&case.name, patterns)).collect();
        assert!(!found.is_empty(), "no case fits");
        found
    }
}

fn fits(name: &str, patterns: &str) -> bool {
    patterns.split('|').any(|pattern| glob::Pattern::new(pattern).unwrap().matches(name))
}

impl Case {
    /// |got − want| ≤ atol + rtol max|want|
    pub(crate) fn assert_near(&self, what: &str, got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len(), "{}: {what}", self.name);
        let most = want.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let both_nan = got.is_nan() && want.is_nan();
            let near = (got - want).abs() <= self.atol + self.rtol * most;
            assert!(both_nan || near, "{}: {what}[{i}]: {got}, expected {want}", self.name);
        }
    }
}

impl Part {
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.get(key).is_some()
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap()
    }

    pub(crate) fn number(&self, key: &str) -> f64 {
        number(&self.0[key])
    }

    pub(crate) fn vector(&self, key: &str) -> Vec<f64> {
        self.0[key].as_array().unwrap_or_else(|| panic!("no vector {key}")).iter().map(number).collect()
    }

    pub(crate) fn matrix(&self, key: &str) -> Mat {
        matrix(&self.0[key])
    }

    pub(crate) fn matrices(&self, key: &str) -> Vec<Mat> {
        self.0[key].as_array().unwrap_or_else(|| panic!("no list {key}")).iter().map(matrix).collect()
    }

    pub(crate) fn list(&self, key: &str) -> Vec<Self> {
        self.0[key].as_array().unwrap_or_else(|| panic!("no list {key}")).iter().cloned().map(Self).collect()
    }

    pub(crate) fn part(&self, key: &str) -> Self {
        Self(self.0[key].clone())
    }

    pub(crate) fn vectors(&self, key: &str) -> Vec<Vec<f64>> {
        let list = |v: &Value| v.as_array().unwrap().iter().map(number).collect();
        self.0[key].as_array().unwrap_or_else(|| panic!("no list {key}")).iter().map(list).collect()
    }

    pub(crate) fn words(&self, key: &str) -> Vec<String> {
        self.0[key].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn word(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap()
    }
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(s) => s.parse().unwrap(),
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

fn matrix(value: &Value) -> Mat {
    let size = |key: &str| value[key].as_u64().unwrap() as usize;
    let (rows, cols) = (size("rows"), size("cols"));
    let data: Vec<f64> = value["data"].as_array().unwrap().iter().map(number).collect();
    Mat::from_fn(rows, cols, |i, j| data[i * cols + j])
}

mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_case_of_every_file_has_a_reader() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let mut readers: BTreeMap<String, String> = BTreeMap::new();
        for entry in walkdir::WalkDir::new(root).into_iter().flatten() {
            if entry.path().extension().is_none_or(|e| e != "rs") || entry.path().ends_with("fixture.rs") {
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap();
            for reader in text.split("Fixture::read(\"").skip(1) {
                let (file, rest) =
                    reader.split_once("\").cases(\"").expect("a reader names file and patterns");
                let patterns = readers.entry(file.to_owned()).or_default();
                patterns.push('|');
                patterns.push_str(rest.split('"').next().unwrap());
            }
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/kalman");
        let (mut files, mut unread) = (0, Vec::new());
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            files += 1;
            let name = path.file_stem().unwrap().to_str().unwrap();
            let patterns = readers.get(name).map_or("", |p| p.trim_start_matches('|'));
            for case in &Fixture::read(name).cases {
                if !fits(&case.name, patterns) {
                    unread.push(format!("{name}: {}", case.name));
                }
            }
        }
        assert_eq!(files, readers.len(), "{readers:?}");
        assert!(unread.is_empty(), "no test reads\n{}", unread.join("\n"));
    }
}
