//! Reading `observation.toml`: every fault points at its line.
//!
//! ```toml
//! schema  = "ekp.observation"
//! version = 1
//!
//! [[block]]
//! name = "discharge"
//! y = [3.1, nan, 2.7]                      # nan: not observed; or file = "q.csv", column = "q_mm"
//! covariance = { diagonal = [0.1, 0.1, 0.2] }  # variances; or scalar, dense; each also { file = "…" }
//! ```

use std::path::Path;

use super::batches;
use super::forms::{covariance, rule};
use super::given::{from_file, list};
use super::{Block, Covariance, Observation, ObservationError};
use crate::explain::{Marked, plain};
use crate::files::human::{Document, Section};

impl Observation {
    /// Read an observation; files it names are looked for in `folder`.
    ///
    /// # Errors
    /// The first fault, at its place in the document.
    pub fn read(document: &Document, folder: &Path) -> Result<Self, Marked> {
        let top = document.section();
        top.schema("ekp.observation", 1)?;
        let sections = top.sections("block")?;
        let observations = top.sections("observation")?;
        if !observations.is_empty() {
            if !sections.is_empty() {
                let label =
                    "found both, allowed: `[[block]]` for one observation, `[[observation]]` for a series";
                return Err(top.wrong(
                    "observation",
                    "`[[block]]` and `[[observation]]` exclude each other",
                    label,
                ));
            }
            let whole = batches::series(&top, &observations, folder)?;
            top.finish()?;
            return Ok(whole);
        }
        if top.node("minibatch").is_some() {
            let label = "it cuts the tables `[[observation]]` into batches, there are none";
            return Err(top.wrong("minibatch", "`[minibatch]` needs a series", label));
        }
        top.finish()?;
        if sections.is_empty() {
            return Err(top.missing("block", "at least one `[[block]]` with `y` and `covariance`"));
        }
        joined(&top, &sections, parts(&sections, folder)?)
    }
}

/// One observation of its blocks; `above` is the table they stand in.
pub(super) fn joined(
    above: &Section<'_>,
    sections: &[Section<'_>],
    parts: Vec<(Block, Covariance)>,
) -> Result<Observation, Marked> {
    {
        let names: Vec<String> = parts.iter().map(|(block, _)| block.name.clone()).collect();
        Observation::new(parts).map_err(|error| match &error {
            ObservationError::Covariance { name, error: fault } => {
                let k = names.iter().position(|other| other == name).unwrap_or(0);
                let label = format!("allowed: {}", rule(fault, 0));
                sections[k]
                    .wrong("covariance", error.to_string(), label)
                    .hint("a covariance estimated from fewer samples than rows is singular: add a diagonal")
            }
            other => above.wrong("block", other.to_string(), "nothing to compare a model with"),
        })
    }
}

/// Each block with its covariance.
pub(super) fn parts(sections: &[Section<'_>], folder: &Path) -> Result<Vec<(Block, Covariance)>, Marked> {
    let mut parts: Vec<(Block, Covariance)> = Vec::with_capacity(sections.len());
    for (k, section) in sections.iter().enumerate() {
        let taken: Vec<&str> = parts.iter().map(|(block, _)| block.name.as_str()).collect();
        let name = name(section, k, &taken)?;
        let y = y(section, folder)?;
        let covariance = covariance(section, folder, &y)?;
        section.finish()?;
        parts.push((Block { name, y }, covariance));
    }
    Ok(parts)
}

/// The block's name: given, or its number.
fn name(section: &Section<'_>, k: usize, taken: &[&str]) -> Result<String, Marked> {
    let given: Option<String> = section.opt("name")?;
    let name = given.unwrap_or_else(|| format!("block_{}", k + 1));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        let label = format!("found `{name}`, allowed: letters, digits, `_` and `-`");
        return Err(section.wrong("name", "a block's name is a key of the model's output", label));
    }
    if let Some(first) = taken.iter().position(|other| *other == name) {
        let label = format!("found `{name}`, which block {} has already", first + 1);
        return Err(section
            .wrong("name", "two blocks have one name", label)
            .hint("give each block its own `name`"));
    }
    Ok(name)
}

/// The block's values, from the file itself or one beside it.
fn y(section: &Section<'_>, folder: &Path) -> Result<Vec<f64>, Marked> {
    let given = match (section.node("y"), section.node("file")) {
        (Some(node), None) => {
            let given = list(section, "y", node)?;
            if section.node("column").is_some() {
                return Err(section.wrong("column", "`column` belongs to `file`", "there is no `file` here"));
            }
            given
        }
        (None, Some(_)) => {
            let given = from_file(section, folder)?;
            given.one_column(section, "file")?;
            given
        }
        (None, None) => return Err(section.missing("y", "an array of numbers, or `file = \"….csv\"`")),
        (Some(_), Some(_)) => {
            return Err(section.wrong(
                "file",
                "values are given twice",
                "found `y` and `file`, allowed: one of them",
            ));
        }
    };
    let key = if section.node("y").is_some() { "y" } else { "file" };
    if given.data.is_empty() {
        return Err(section.wrong(key, "a block needs at least one value", "found none"));
    }
    if let Some(i) = given.data.iter().position(|y| y.is_infinite()) {
        let label = format!(
            "row {} is {}, allowed: a number, or `nan` for not observed",
            i + 1,
            plain(given.data[i])
        );
        return Err(given.fault(section, i, 0, "an observed value is infinite", label));
    }
    Ok(given.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;

    fn read(body: &str) -> Result<Observation, Marked> {
        let text = format!("schema = \"ekp.observation\"\nversion = 1\n{body}");
        let document = Document::parse(Path::new("observation.toml"), &text)?;
        Observation::read(
            &document,
            &std::env::temp_dir().join(format!("ekp-observation-{}", std::process::id())),
        )
    }

    /// A folder with files for one test process.
    fn file(name: &str, bytes: &[u8]) {
        let folder = std::env::temp_dir().join(format!("ekp-observation-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }

    #[test]
    fn blocks_keep_their_order_and_a_nan_is_not_observed() {
        let observation = read(
            "[[block]]\nname = \"q\"\ny = [1, nan, 3.5]\ncovariance = { diagonal = [1, 2, 3] }\n\
             [[block]]\ny = [7.0, 8.0]\ncovariance = { dense = [[2.0, 0.5], [0.5, 1.0]] }\n",
        )
        .unwrap();
        assert_eq!(observation.shape(), [("q".to_owned(), 3), ("block_2".to_owned(), 2)]);
        assert_eq!((observation.len(), observation.observed()), (5, &[0, 2, 3, 4][..]));
        assert_eq!(observation.y(), [1.0, 3.5, 7.0, 8.0]);
        let gamma = observation.noise().to_dense();
        assert!((gamma[(1, 1)] - 3.0).abs() < 1e-15, "round-off of a root and a square");
        assert_eq!((gamma[(2, 2)], gamma[(2, 3)], gamma[(0, 1)]), (2.0, 0.5, 0.0));
    }

    #[test]
    fn values_and_covariances_may_stand_in_files() {
        file("q.csv", b"# daily\nday, q_mm, gauge\n2001-01-01, 1.5, A\n2001-01-02,, A\n");
        file("v.csv", b"0.1\n0.2\n");
        file("c.npy", &crate::files::npy::write(&[2, 2], &[4.0, 1.0, 1.0, 9.0]));
        let observation = read(
            "[[block]]\nname = \"q\"\nfile = \"q.csv\"\ncolumn = \"q_mm\"\ncovariance = { diagonal = { file = \"v.csv\" } }\n\
             [[block]]\nname = \"w\"\ny = [1, 2]\ncovariance = { dense = { file = \"c.npy\" } }\n",
        )
        .unwrap();
        assert_eq!((observation.y(), observation.len()), (&[1.5, 1.0, 2.0][..], 4));
        assert_eq!(observation.noise().to_dense()[(1, 2)], 1.0);
        // A column that is not there, one that holds words, a file of two columns without `column`
        let q = |more: &str| {
            read(&format!("[[block]]\nfile = \"q.csv\"\n{more}\ncovariance = {{ scalar = 1 }}\n"))
        };
        assert!(q("column = \"q\"").unwrap_err().picture(false).contains("it has `day`, `q_mm` and `gauge`"));
        assert!(q("column = \"gauge\"").unwrap_err().picture(false).contains("line 3: `A` is not a number"));
        assert!(q("").unwrap_err().picture(false).contains("line 3: `2001-01-01` is not a number"));
        let missing = read("[[block]]\nfile = \"no.csv\"\ncovariance = { scalar = 1 }\n").unwrap_err();
        assert!(missing.picture(false).contains("no.csv"), "{}", missing.picture(false));
    }

    /// (document, line at fault, what title and picture say)
    const FAULTS: &[(&str, usize, &str)] = &[
        ("", 1, "at least one `[[block]]`"),
        ("[[block]]\ny = [1]\n", 3, "covariance"),
        ("[[block]]\ncovariance = { scalar = 1 }\n", 3, "add `y = …` here"),
        ("[[block]]\ny = []\ncovariance = { scalar = 1 }\n", 4, "at least one value"),
        ("[[block]]\ny = [1, \"2\"]\ncovariance = { scalar = 1 }\n", 4, "found a string, allowed: a number"),
        ("[[block]]\ny = [1,\n inf]\ncovariance = { scalar = 1 }\n", 5, "row 2 is inf"),
        ("[[block]]\ny = [nan]\ncovariance = { scalar = 1 }\n", 3, "no value of `y` is observed"),
        ("[[block]]\ny = [1]\ncovariance = 0.1\n", 5, "found a decimal number"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = -1 }\n", 5, "the variance of row 1 is -1"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = nan }\n", 5, "above 0"),
        ("[[block]]\ny = [1]\ncovariance = { svd = 1 }\n", 5, "`scalar`, `diagonal`, `dense`"),
        ("[[block]]\ny = [1]\ncovariance = { scalar = 1, diagonal = [1] }\n", 5, "found 2 forms"),
        ("[[block]]\ny = [1]\ncovariance = { diagonal = \"v.csv\" }\n", 5, "found a string"),
        ("[[block]]\ny = [1, 2]\ncovariance = { diagonal = [1] }\n", 5, "2 rows, as many as `y`"),
        ("[[block]]\ny = [1, 2]\ncovariance = { diagonal = [1,\n0] }\n", 6, "the variance of row 2 is 0"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0]] }\n", 5, "1 × 2, not square"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0], [1]] }\n", 5, "rows differ in length"),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 0.5],\n[0.4, 1]] }\n", 6, "not symmetric"),
        (
            "[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, inf],\n[inf, 1]] }\n",
            6,
            "covariance 1 of row 2 is inf",
        ),
        ("[[block]]\ny = [1, 2]\ncovariance = { dense = [[1, 2], [2, 1]] }\n", 5, "not positive definite"),
        ("[[block]]\ny = [1]\ncolour = 1\ncovariance = { scalar = 1 }\n", 5, "unknown key `colour`"),
        ("[[block]]\nname = \"a b\"\ny = [1]\ncovariance = { scalar = 1 }\n", 4, "found `a b`"),
        (
            "[[block]]\nname = \"a\"\ny = [1]\ncovariance = { scalar = 1 }\n[[block]]\nname = \"a\"\ny = [1]\ncovariance = { scalar = 1 }\n",
            8,
            "which block 1 has already",
        ),
    ];

    #[test]
    fn every_fault_is_marked_at_its_line() {
        for (body, line, says) in FAULTS {
            let fault = read(body).expect_err(body);
            let text = format!("{fault}\n{}", fault.picture(false));
            assert!(text.contains(says), "{body}\n{text}");
            assert_eq!(fault.line(), *line, "{body}\n{text}");
        }
    }

    #[test]
    fn covariances_of_low_rank_are_read_in_place_and_from_files() {
        file("z.csv", b"a,b,c\n1,2,3\n2,2,4\n0,1,0\n4,0,1\n");
        file("u.npy", &crate::files::npy::write(&[3, 1], &[0.6, 0.8, 0.0]));
        let of = |covariance: &str| {
            let body = format!("[[block]]\ny = [1, 2, 3]\ncovariance = {covariance}\n");
            read(&body).unwrap_or_else(|e| panic!("{covariance}: {e}")).noise().to_dense()
        };
        let g = of("{ low_rank = { u = { file = \"u.npy\" }, s = [4] }, plus = { scalar = 0.5 } }");
        assert!((g[(0, 1)] - 4.0 * 0.48).abs() < 1e-15 && (g[(2, 2)] - 0.5).abs() < 1e-15);
        let same = of(
            "{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0] }, plus = { diagonal = [0.5, 0.5, 0.5] } }",
        );
        assert_eq!(g, same);
        let samples = of("{ samples = { file = \"z.csv\" } }");
        // Variances of 1, 2, 0, 4 and 3, 4, 0, 1; their covariance
        assert!(
            (samples[(0, 0)] - 35.0 / 12.0).abs() < 1e-14 && (samples[(2, 2)] - 10.0 / 3.0).abs() < 1e-14
        );
        let cut = of("{ samples = { file = \"z.csv\" }, rank = 1, plus = { scalar = 0.1 } }");
        assert!(cut[(0, 0)] < samples[(0, 0)] + 0.1);
        let precision = of("{ precision = { diagonal = [2, 2, 2], tall = [[1], [0], [0]] } }");
        assert!((precision[(0, 0)] - 1.0).abs() < 1e-15 && (precision[(1, 1)] - 0.5).abs() < 1e-15);
        let pseudo = of("{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0] }, pseudo_inverse = true }");
        assert!((pseudo[(0, 0)] - 1.44).abs() < 1e-15);
    }

    #[test]
    fn low_rank_forms_are_refused_with_what_would_do() {
        for (covariance, says) in [
            ("{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0] } }", "has no inverse"),
            ("{ samples = [[1, 2, 3], [2, 1, 5]] }", "has no inverse"),
            (
                "{ low_rank = { u = [[0.6], [0.8]], s = [4.0] }, plus = { scalar = 1 } }",
                "found 2 rows, allowed: 3",
            ),
            (
                "{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0, 1.0] }, plus = { scalar = 1 } }",
                "one for each column",
            ),
            (
                "{ low_rank = { u = [[0.6], [0.8], [nan]], s = [4.0] }, plus = { scalar = 1 } }",
                "number 1 of row 3",
            ),
            ("{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [-4.0] }, plus = { scalar = 1 } }", "found -4"),
            ("{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0] }, plus = { scalar = 0 } }", "is 0"),
            (
                "{ low_rank = { u = [[0.6], [0.8], [0.0]], s = [4.0] }, plus = 0.1 }",
                "`plus` has the wrong type",
            ),
            ("{ low_rank = { u = [[0.6], [0.8], [0.0]] } }", "`s`"),
            ("{ low_rank = 3 }", "found an integer"),
            ("{ samples = [[1, 2], [2, 1], [0, 1]], plus = { scalar = 1 } }", "exchange rows and columns"),
            ("{ samples = [[1, 2, 3]], plus = { scalar = 1 } }", "several draws"),
            ("{ samples = [[1, 2, 3], [1, 2, 3]], rank = 1, plus = { scalar = 1 } }", "no covariance"),
            ("{ scalar = 1, plus = { scalar = 1 } }", "`plus` has no use here"),
            ("{ dense = [[1]], rank = 2 }", "belongs to `samples`"),
            ("{ precision = { diagonal = [1, 1, 1], tall = [[2], [0], [0]] } }", "not positive definite"),
            ("{ precision = { diagonal = [1, 0, 1], tall = [[2], [0], [0]] } }", "found 0"),
        ] {
            let fault = read(&format!("[[block]]\ny = [1, 2, 3]\ncovariance = {covariance}\n"))
                .expect_err(covariance);
            let text =
                format!("{fault}\n{}\n{}", fault.picture(false), Explain::hint(&fault).unwrap_or_default());
            assert!(text.contains(says), "{covariance}\n{text}");
            assert_eq!(fault.line(), 5, "{covariance}\n{text}");
        }
    }

    #[test]
    fn the_hint_writes_what_was_meant() {
        let hint = |body: &str| Explain::hint(&read(body).unwrap_err()).unwrap();
        let number = hint("[[block]]\ny = [1]\ncovariance = 0.1\n");
        assert_eq!(number, "write `covariance = { scalar = 0.1 }`");
        assert_eq!(hint("[[block]]\ny = [1]\ncovariance = { diagnal = [1] }\n"), "did you mean `diagonal`?");
        let text = hint("[[block]]\ny = [1]\ncovariance = { diagonal = \"v.csv\" }\n");
        assert_eq!(text, "write `{ diagonal = { file = \"v.csv\" } }`");
    }
}
