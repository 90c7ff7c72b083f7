//! `model_output = […]`, or `[model_output]` with one array per block.

use toml::de::{DeTable, DeValue};

use crate::models::external::output::Found;

/// The numbers below a key of a TOML file, its parts outermost first.
pub(crate) fn numbers(text: &str, key: &[String]) -> Result<Found, String> {
    let line = |at: usize| 1 + text.as_bytes()[..at.min(text.len())].iter().filter(|&&b| b == b'\n').count();
    let root = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let why = error.message().lines().next().unwrap_or("");
        format!("line {}: not TOML ({why}); was the file cut short?", line(at))
    })?;
    let mut table = root.get_ref();
    let Some((last, path)) = key.split_last() else { return Err("no key was given".into()) };
    let lacks = || format!("has no `{}`", key.join("."));
    for step in path {
        table = match table.get(step.as_str()).map(|node| node.get_ref()) {
            Some(DeValue::Table(inner)) => inner,
            _ => return Err(lacks()),
        };
    }
    let node = table.get(last.as_str()).ok_or_else(lacks)?;
    let array = |node: &toml::Spanned<DeValue<'_>>| -> Result<Vec<f64>, String> {
        let one = |node: &toml::Spanned<DeValue<'_>>| {
            let at = || line(node.span().start);
            let wrong = |kind: &str| format!("line {}: found {kind}, expected a number", at());
            match node.get_ref() {
                DeValue::Float(x) => x.as_str().parse().map_err(|_| wrong("something else")),
                DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                    Ok(i) => Ok(i as f64),
                    Err(_) => i.as_str().parse().map_err(|_| wrong("something else")),
                },
                DeValue::String(_) => Err(wrong("a string")),
                DeValue::Boolean(_) => Err(wrong("a boolean")),
                DeValue::Datetime(_) => Err(wrong("a date")),
                DeValue::Array(_) => Err(wrong("an array")),
                DeValue::Table(_) => Err(wrong("a table")),
            }
        };
        match node.get_ref() {
            DeValue::Array(items) => items.iter().map(one).collect(),
            _ => Ok(vec![one(node)?]),
        }
    };
    match node.get_ref() {
        DeValue::Table(blocks) => {
            // Only numbers are blocks; a model may leave notes beside them.
            let blocks = blocks.iter().filter(|(_, n)| !matches!(n.get_ref(), DeValue::String(_)));
            let pair = |(name, node): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let name: &std::borrow::Cow<'_, str> = name.get_ref();
                Ok((name.to_string(), array(node)?))
            };
            Ok(Found::Blocks(blocks.map(pair).collect::<Result<_, String>>()?))
        }
        _ => Ok(Found::Whole(array(node)?)),
    }
}
