//! Reading what a model wrote: five formats, one way to say what is wrong.
//!
//! NaN passes: how much of it is tolerated is the caller's to judge. Infinity, a wrong length, a missing or
//! torn file do not; the message names the file, the place, what was found and what was expected.

mod csv;
mod json;
mod text;
mod toml;

use std::fs;
use std::path::{Path, PathBuf};

use crate::files::npy;
use crate::models::Want;

pub(crate) use csv::{Column, Csv};

/// Where and how the output is read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reader {
    /// Below the working folder
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
}

/// How a file holds numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Format {
    /// The path of keys to the numbers
    Toml(Vec<String>),
    Csv(Csv),
    /// Numbers between white space
    Text,
    /// The path of keys to the numbers; empty: the top level, or `model_output` in it
    Json(Vec<String>),
    Npy,
}

/// Numbers as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// One array: the blocks one after the other
    Whole(Vec<f64>),
    /// An array per block
    Blocks(Vec<(String, Vec<f64>)>),
}

impl Reader {
    /// The blocks wanted, or one line that says what is wrong.
    pub(crate) fn read(&self, path: &Path, want: &Want) -> Result<Vec<Vec<f64>>, String> {
        let name = self.file.display();
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("the model ended well, but wrote no `{name}` in its working folder")
            }
            _ => format!("cannot read `{name}`: {error}"),
        })?;
        self.parse(&bytes, want).map_err(|what| format!("`{name}`: {what}"))
    }

    fn parse(&self, bytes: &[u8], want: &Want) -> Result<Vec<Vec<f64>>, String> {
        if bytes.is_empty() {
            return Err("the file is empty".into());
        }
        if want.score.is_some()
            && let Format::Toml(key) = &self.format
            && *key == ["model_output"]
            && let Ok(found) = toml::numbers(utf8(bytes)?, &["score".to_owned()])
        {
            // Without another key a score stands at the top: `score = 0.93`.
            return fit(found, want);
        }
        let found = match &self.format {
            Format::Toml(key) => toml::numbers(utf8(bytes)?, key)?,
            Format::Csv(csv) => csv.numbers(utf8(bytes)?)?,
            Format::Text => text::numbers(utf8(bytes)?)?,
            Format::Json(key) => json::numbers(utf8(bytes)?, key)?,
            Format::Npy => Found::Whole(npy::read(bytes).map_err(|e| e.to_string())?.data),
        };
        fit(found, want)
    }
}

/// The blocks in the order wanted, with the lengths wanted, and nothing infinite.
fn fit(found: Found, want: &Want) -> Result<Vec<Vec<f64>>, String> {
    let blocks = match found {
        Found::Whole(numbers) => {
            if numbers.len() != want.total() {
                return Err(format!("has {}, {}", counted(numbers.len()), want.words()));
            }
            let mut rest = numbers.into_iter();
            want.blocks.iter().map(|&(_, length)| rest.by_ref().take(length).collect()).collect()
        }
        Found::Blocks(mut found) => {
            let mut blocks = Vec::with_capacity(want.blocks.len());
            for (name, length) in &want.blocks {
                let Some(at) = found.iter().position(|(known, _)| known == name) else {
                    let known: Vec<String> = found.iter().map(|(known, _)| format!("`{known}`")).collect();
                    return Err(format!("has no block `{name}`, only {}", known.join(", ")));
                };
                let numbers = std::mem::take(&mut found[at].1);
                if numbers.len() != *length {
                    let n = counted(numbers.len());
                    return Err(format!("block `{name}` has {n}, observation block `{name}` has {length}"));
                }
                blocks.push(numbers);
            }
            blocks
        }
    };
    for (numbers, (name, _)) in blocks.iter().zip(&want.blocks) {
        let numbers: &Vec<f64> = numbers;
        if let Some(at) = numbers.iter().position(|x| x.is_infinite()) {
            return Err(format!("number {} of block `{name}` is {}", at + 1, numbers[at]));
        }
    }
    Ok(blocks)
}

fn counted(n: usize) -> String {
    if n == 1 { "1 number".into() } else { format!("{n} numbers") }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        format!("line {line}: not text (byte {} is not UTF-8)", error.valid_up_to() + 1)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// A number as programs print it: Fortran's `1.5D+03` and R's `NA` included.
fn number(text: &str) -> Option<f64> {
    match text.parse() {
        Ok(x) => Some(x),
        Err(_) if text == "NA" => Some(f64::NAN),
        Err(_) => text.contains(['d', 'D']).then(|| text.replace(['d', 'D'], "e").parse().ok())?,
    }
}

/// What was found instead of a number, shortened.
fn not_a_number(found: &str) -> String {
    let short: String = found.chars().take(40).collect();
    if short.contains('*') && short.chars().all(|c| c == '*') {
        return format!("found `{short}` (a number too wide for its Fortran format), expected a number");
    }
    format!("found `{short}`, expected a number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn want(blocks: &[(&str, usize)]) -> Want {
        Want::series(blocks.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect())
    }

    fn parse(format: Format, bytes: &[u8], blocks: &[(&str, usize)]) -> Result<Vec<Vec<f64>>, String> {
        Reader { file: "out".into(), format }.parse(bytes, &want(blocks))
    }

    fn column(name: &str) -> Format {
        Format::Csv(Csv {
            columns: vec![(None, Column::Name(name.into()))],
            separator: b',',
            skip: 0,
            header: true,
        })
    }

    fn key(path: &str) -> Vec<String> {
        path.split('.').filter(|k| !k.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn toml_may_hold_one_array_or_one_per_block() {
        let model = || Format::Toml(key("model_output"));
        let one = b"# note\nmodel_output = [1, 2.5, nan]\n";
        let blocks = parse(model(), one, &[("a", 1), ("b", 2)]).unwrap();
        assert_eq!((blocks[0][0], blocks[1][0]), (1.0, 2.5));
        assert!(blocks[1][1].is_nan());
        let two = b"schema = 'x'\n[model_output]\nb = [2.0, 3.0]\na = 1.0\nextra = [9]\n";
        assert_eq!(parse(model(), two, &[("a", 1), ("b", 2)]).unwrap(), [vec![1.0], vec![2.0, 3.0]]);
        let deep = b"[r.s]\nt = [4]\n";
        assert_eq!(parse(Format::Toml(key("r.s.t")), deep, &[("a", 1)]).unwrap(), [[4.0]]);
    }

    #[test]
    fn a_score_stands_at_the_top_or_in_the_output() {
        let scoring = crate::models::Scoring { measures: Vec::new(), spin_up: None, period: None };
        let want = Want { score: Some(scoring), ..want(&[("score", 1)]) };
        let reader = Reader { file: "out.toml".into(), format: Format::Toml(key("model_output")) };
        for text in ["score = 0.93\n", "model_output = 0.93\n", "[model_output]\nscore = [0.93]\nbias = 2\n"]
        {
            assert_eq!(reader.parse(text.as_bytes(), &want).unwrap(), [[0.93]], "{text}");
        }
        assert!(reader.parse(b"score = [1.0, 2.0]\n", &want).is_err());
        assert!(reader.parse(b"kge = 1.0\n", &want).unwrap_err().contains("has no `model_output`"));
    }

    #[test]
    fn csv_is_read_by_name_or_number_and_columns_by_block() {
        let text = b"t, q_mm ,e\n1,0.5,x\n2,1.5D0,y\n";
        assert_eq!(parse(column("q_mm"), text, &[("q", 2)]).unwrap(), [[0.5, 1.5]]);
        let csv = Csv { columns: vec![(None, Column::Number(2))], separator: b';', skip: 0, header: false };
        assert_eq!(parse(Format::Csv(csv), b"1;2\n3;\n", &[("q", 1), ("r", 1)]).unwrap()[0], [2.0]);
        let columns =
            vec![(Some("b".into()), Column::Name("e".into())), (Some("a".into()), Column::Name("t".into()))];
        let csv = Csv { columns, separator: b',', skip: 0, header: true };
        let blocks = parse(Format::Csv(csv), b"t,e\n1,3\n2,4\n", &[("a", 2), ("b", 2)]).unwrap();
        assert_eq!(blocks, [[1.0, 2.0], [3.0, 4.0]]);
        // Lines before the heading are passed over, and counted
        let titled =
            Csv { columns: vec![(None, Column::Name("q".into()))], separator: b'\t', skip: 1, header: true };
        let found = titled.numbers("!! outflow, m3/s\nDATE\tq\n2004-01-01\t1.5\n").unwrap();
        assert_eq!(found, Found::Whole(vec![1.5]));
        let fault = titled.numbers("!! outflow, m3/s\nDATE\tq\n2004-01-01\tx\n").unwrap_err();
        assert!(fault.starts_with("line 3"), "{fault}");
        let only = Csv { columns: vec![], separator: b',', skip: 0, header: true };
        assert_eq!(parse(Format::Csv(only.clone()), b"q\n1\n", &[("q", 1)]).unwrap(), [[1.0]]);
        let fault = parse(Format::Csv(only), b"q,r\n1,2\n", &[("q", 1)]).unwrap_err();
        assert!(fault.contains("`column`"), "{fault}");
    }

    #[test]
    fn text_json_and_npy_are_read() {
        assert_eq!(
            parse(Format::Text, b"1 2e0\n# c\n 3.0D+00 # d\n", &[("q", 3)]).unwrap(),
            [[1.0, 2.0, 3.0]]
        );
        assert_eq!(parse(Format::Json(vec![]), b"[1, 2.5]", &[("q", 2)]).unwrap(), [[1.0, 2.5]]);
        let object = br#"{"model_output": {"b": [1], "a": 2}}"#;
        assert_eq!(parse(Format::Json(vec![]), object, &[("a", 1), ("b", 1)]).unwrap(), [[2.0], [1.0]]);
        let deep = br#"{"a": {"b": [null, 1]}}"#;
        assert!(parse(Format::Json(key("a.b")), deep, &[("q", 2)]).unwrap()[0][0].is_nan());
        let mut npy = npy::write(&[2], &[1.5, -2.0]);
        assert_eq!(parse(Format::Npy, &npy, &[("q", 2)]).unwrap(), [[1.5, -2.0]]);
        npy.pop();
        assert!(parse(Format::Npy, &npy, &[("q", 2)]).unwrap_err().contains("15 bytes"));
    }

    #[test]
    fn each_defect_is_named_with_its_place() {
        let toml = || Format::Toml(key("model_output"));
        let long = &[("q", 365)][..];
        for (format, bytes, blocks, words) in [
            (
                toml(),
                &b"model_output = [1, 2, 3]\n"[..],
                long,
                "has 3 numbers, observation block `q` has 365",
            ),
            (
                toml(),
                b"[model_output]\nq = [1]\n",
                long,
                "block `q` has 1 number, observation block `q` has 365",
            ),
            (toml(), b"[model_output]\nr = [1]\n", long, "has no block `q`, only `r`"),
            (
                toml(),
                b"a = 1\nmodel_output = [1,\n 'x']\n",
                long,
                "line 3: found a string, expected a number",
            ),
            (toml(), b"model_output = [1, 2", long, "line 1"),
            (toml(), b"x = 1\n", long, "has no `model_output`"),
            (toml(), b"model_output = [1.0, inf]\n", &[("q", 2)], "number 2 of block `q` is inf"),
            (toml(), b"", long, "empty"),
            (toml(), b"\n\xff", long, "line 2: not text"),
            (column("q"), b"t,q\n1,2\n2\n", &[("q", 2)], "line 3 has 1 field, the heading has 2"),
            (column("q"), b"t,q\n1,x\n", &[("q", 1)], "line 2: found `x`, expected a number"),
            (column("q"), b"t,r\n1,2\n", &[("q", 1)], "has no column `q`, only `t`, `r`"),
            (Format::Text, b"1 2\n***** 4\n", &[("q", 4)], "line 2: found `*****` (a number too wide"),
            (Format::Json(vec![]), b"[1, NaN]", &[("q", 2)], "write `null`"),
            (Format::Json(vec![]), b"[1, ", &[("q", 2)], "cut short"),
            (Format::Npy, b"\x93NUMPX", &[("q", 2)], "npy"),
        ] {
            let fault = parse(format, bytes, blocks).unwrap_err();
            assert!(fault.contains(words), "{fault}");
        }
        let two = parse(toml(), b"model_output = [1]\n", &[("q", 365), ("e", 2)]).unwrap_err();
        assert_eq!(two, "has 1 number, the observation blocks `q`, `e` have 365 + 2 = 367");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_panic(bytes: Vec<u8>, text in "[-0-9.,;:eE{}\\[\\]\"'#=a-c \n]*") {
            let formats = [
                Format::Toml(key("model_output")), column("a"), Format::Text, Format::Json(vec![]),
                Format::Json(key("a.b")), Format::Npy,
            ];
            let npy = [b"\x93NUMPY\x01\x00", bytes.as_slice()].concat();
            for format in formats {
                for input in [&bytes[..], text.as_bytes(), &npy] {
                    let _ = parse(format.clone(), input, &[("a", 1), ("b", 2)]);
                }
            }
        }
    }
}
