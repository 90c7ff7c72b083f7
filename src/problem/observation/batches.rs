//! Reading a series: `[[observation]]` with its blocks, and `[minibatch]`.
//!
//! ```toml
//! [[observation]]
//! name = "y1990"
//! [[observation.block]]                       # its block is called `y1990`; several are `y1990_q`, `y1990_snow`
//! y = [3.1, 2.9]
//! covariance = { scalar = 0.04 }
//!
//! [minibatch]                                 # without it: all observations in each iteration
//! size = 3                                    # drawn anew in each epoch; remainder = "extend" or "trim"
//! # batches = [["y1990", "y1991"], ["y1992"]] # or these; order = "given" or "random"
//! ```

use std::path::Path;

use super::read::{joined, parts};
use super::{Block, Covariance, Minibatch, Observation, Series};
use crate::explain::{Marked, nearest};
use crate::files::human::{Section, Value};

/// The whole series as one observation that knows its parts.
pub(super) fn series(
    top: &Section<'_>,
    observations: &[Section<'_>],
    folder: &Path,
) -> Result<Observation, Marked> {
    let mut names: Vec<String> = Vec::with_capacity(observations.len());
    let mut each = Vec::with_capacity(observations.len());
    let mut blocks: Vec<String> = Vec::new();
    for (k, section) in observations.iter().enumerate() {
        let name = name(section, k, &names)?;
        let sections = section.sections("block")?;
        section.finish()?;
        if sections.is_empty() {
            return Err(
                section.missing("block", "at least one `[[observation.block]]` with `y` and `covariance`")
            );
        }
        let named = sections.len() > 1 || sections[0].node("name").is_some();
        let parts: Vec<(Block, Covariance)> = parts(&sections, folder)?
            .into_iter()
            .map(|(block, covariance)| {
                let full = if named { format!("{name}_{}", block.name) } else { name.clone() };
                (Block { name: full, ..block }, covariance)
            })
            .collect();
        for ((block, _), section) in parts.iter().zip(&sections) {
            if blocks.contains(&block.name) {
                let label = format!("`{}` is a block of another observation already", block.name);
                return Err(section.wrong("name", "two blocks of the series have one name", label));
            }
            blocks.push(block.name.clone());
        }
        each.push(joined(section, &sections, parts)?);
        names.push(name);
    }
    let minibatch = match top.section("minibatch")? {
        Some(section) => minibatch(&section, &names)?,
        None => Minibatch::All,
    };
    Ok(Observation::of_series(Series { names, parts: each, minibatch }))
}

fn name(section: &Section<'_>, k: usize, taken: &[String]) -> Result<String, Marked> {
    let given: Option<String> = section.opt("name")?;
    let name = given.unwrap_or_else(|| format!("observation_{}", k + 1));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        let label = format!("found `{name}`, allowed: letters, digits, `_` and `-`");
        return Err(section.wrong("name", "an observation's name is part of a key", label));
    }
    if taken.contains(&name) {
        let label = format!("found `{name}` for the second time");
        return Err(section.wrong("name", "two observations have one name", label));
    }
    Ok(name)
}

fn minibatch(section: &Section<'_>, names: &[String]) -> Result<Minibatch, Marked> {
    let foreign = |key: &str, of: &str| {
        let title = format!("`{key}` has no use here");
        Err(section.wrong(key, title, format!("it goes with `{of}`, which is not there")))
    };
    let minibatch = match (section.node("batches"), section.node("size")) {
        (Some(_), Some(_)) => {
            let label = "found `batches` and `size`, allowed: one of them";
            return Err(section.wrong("size", "batches are given twice", label));
        }
        (Some(_), None) if section.node("remainder").is_some() => return foreign("remainder", "size"),
        (None, Some(_)) if section.node("order").is_some() => return foreign("order", "batches"),
        (Some(_), None) => {
            let shuffled = section.choice("order", &["given", "random"])? == Some("random");
            Minibatch::Fixed { batches: batches(section, names)?, shuffled }
        }
        (None, Some(_)) => {
            let most = i64::try_from(names.len()).unwrap_or(i64::MAX);
            let size = section.integer("size", 1..=most)?.unwrap_or(1);
            let trim = section.choice("remainder", &["extend", "trim"])? == Some("trim");
            Minibatch::Random { size: usize::try_from(size).expect("at least 1"), trim }
        }
        (None, None) => {
            return Err(section.missing("size", "observations in a batch, or `batches` with their names"));
        }
    };
    section.finish()?;
    Ok(minibatch)
}

/// `batches = [["a", "b"], ["c"]]`
fn batches(section: &Section<'_>, names: &[String]) -> Result<Vec<Vec<usize>>, Marked> {
    let wrong = |span: &std::ops::Range<usize>, title: &str, label: String| {
        Marked::new(section.source(), span.clone(), title, label)
    };
    let node = section.node("batches").expect("it is there");
    let title = "`batches` lists the observations of each batch";
    let shape = |found: &Value| {
        format!("found {}, allowed: names of observations, `[[\"a\", \"b\"], [\"c\"]]`", found.kind())
    };
    let Value::Array(lists) = &node.value else { return Err(wrong(&node.span, title, shape(&node.value))) };
    if lists.is_empty() {
        return Err(wrong(&node.span, title, "found none, allowed: at least one batch".into()));
    }
    let mut all = Vec::with_capacity(lists.len());
    for list in lists {
        let Value::Array(items) = &list.value else {
            return Err(wrong(&list.span, title, shape(&list.value)));
        };
        if items.is_empty() {
            return Err(wrong(&list.span, "a batch is empty", "allowed: at least one name".into()));
        }
        let mut batch = Vec::with_capacity(items.len());
        for item in items {
            let Value::Text(name) = &item.value else {
                return Err(wrong(&item.span, title, shape(&item.value)));
            };
            let Some(k) = names.iter().position(|known| known == name) else {
                let fault = wrong(&item.span, "a batch names no observation", format!("found `{name}`"));
                let known: Vec<&str> = names.iter().map(String::as_str).collect();
                return Err(match nearest(name, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                });
            };
            if batch.contains(&k) {
                let label = format!("found `{name}` for the second time");
                return Err(wrong(&item.span, "a batch holds an observation twice", label));
            }
            batch.push(k);
        }
        all.push(batch);
    }
    if let Some(k) = (0..names.len()).find(|k| !all.iter().any(|batch| batch.contains(k))) {
        let label = format!("`{}` is in none of them", names[k]);
        return Err(wrong(&node.span, "an observation is never seen", label)
            .hint("put it into a batch, or leave it out of the file"));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;
    use crate::files::human::Document;
    use crate::numerics::Streams;

    const THREE: &str = "[[observation]]\nname = \"a\"\n[[observation.block]]\ny = [1, 2]\ncovariance = { scalar = 1 }\n\
        [[observation]]\nname = \"b\"\n[[observation.block]]\nname = \"q\"\ny = [3]\ncovariance = { scalar = 1 }\n\
        [[observation.block]]\nname = \"s\"\ny = [4, nan]\ncovariance = { scalar = 2 }\n\
        [[observation]]\n[[observation.block]]\ny = [5]\ncovariance = { scalar = 1 }\n";

    fn read(body: &str) -> Result<Observation, Marked> {
        let text = format!("schema = \"ekp.observation\"\nversion = 1\n{body}");
        Observation::read(&Document::parse(Path::new("observation.toml"), &text)?, Path::new("/nowhere"))
    }

    #[test]
    fn observations_keep_their_order_and_name_their_blocks() {
        let whole = read(THREE).unwrap();
        let names: Vec<String> = whole.shape().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b_q", "b_s", "observation_3"]);
        assert_eq!((whole.y(), whole.len()), (&[1.0, 2.0, 3.0, 4.0, 5.0][..], 6));
        let series = whole.series().unwrap();
        assert_eq!(series.minibatch, Minibatch::All);
        assert_eq!(series.at(5, &Streams::new(1)).1.y(), whole.y());
        let fixed = format!("{THREE}[minibatch]\nbatches = [[\"b\", \"a\"], [\"observation_3\"]]\n");
        let fixed = read(&fixed).unwrap();
        let (batch, observation) = fixed.series().unwrap().at(2, &Streams::new(1));
        assert_eq!((batch.epoch, batch.position), (1, 0));
        assert_eq!(observation.y(), [3.0, 4.0, 1.0, 2.0]);
    }

    #[test]
    fn what_makes_no_batches_is_refused() {
        for (minibatch, says) in [
            ("", "lacks `size`"),
            ("size = 4", "found 4, allowed: an integer from 1 to 3"),
            ("size = 2\nremainder = \"drop\"", "`extend` or `trim`"),
            ("size = 2\norder = \"random\"", "goes with `batches`"),
            ("size = 2\nbatches = [[\"a\"]]", "given twice"),
            ("batches = [[\"a\", \"b\"]]", "`observation_3` is in none"),
            ("batches = [[\"a\", \"a\"]]", "second time"),
            ("batches = [[\"a\", \"bb\"]]", "did you mean `b`?"),
            ("batches = [[1]]", "found an integer"),
            ("batches = [\"a\"]", "found a string"),
            ("batches = [[]]", "a batch is empty"),
            ("batches = []", "at least one batch"),
            ("size = 1\nsizes = 2", "unknown key `sizes`"),
        ] {
            let fault = read(&format!("{THREE}[minibatch]\n{minibatch}\n")).expect_err(minibatch);
            let text =
                format!("{fault}\n{}\n{}", fault.picture(false), Explain::hint(&fault).unwrap_or_default());
            assert!(text.contains(says), "{minibatch}\n{text}");
        }
        for (body, says) in [
            ("[minibatch]\nsize = 1\n[[block]]\ny = [1]\ncovariance = { scalar = 1 }\n", "needs a series"),
            ("[[block]]\ny = [1]\ncovariance = { scalar = 1 }\n[[observation]]\n", "both"),
            ("[[observation]]\nname = \"a\"\n", "lacks `block`"),
            (&THREE.replace("\"b\"", "\"a\""), "two observations have one name"),
            (&THREE.replace("\"b\"", "\"a b\""), "found `a b`"),
            (&THREE.replace("\"s\"", "\"q\""), "two blocks have one name"),
        ] {
            let fault = read(body).expect_err(body);
            let text = format!("{fault}\n{}", fault.picture(false));
            assert!(text.contains(says), "{body}\n{text}");
        }
    }
}
