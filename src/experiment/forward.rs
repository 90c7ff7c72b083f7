//! `[outputs]` of a batch of forward models: what each model gives, where only the user can tell, and what is made of it.

use toml_edit::{DocumentMut, Item, Table};

use crate::explain::Marked;
use crate::files::human::{Section, Value};
use crate::problem::Inputs;
use crate::problem::inputs::CHECK;

/// Quantiles of each output, when nobody asks for others.
const QUANTILES: [f64; 3] = [0.1, 0.5, 0.9];

/// `[inputs]` and `[outputs]`: a batch of forward models.
#[derive(Debug, Clone)]
pub struct Forwards {
    /// `[inputs]`
    pub inputs: Inputs,
    /// `[outputs]`
    pub outputs: BatchOutputs,
}

/// `[outputs]`
#[derive(Debug, Clone)]
pub struct BatchOutputs {
    /// Names and lengths of what a program gives; a built-in model knows it
    pub blocks: Option<Vec<(String, usize)>>,
    /// Shares from 0 to 1
    pub quantiles: Vec<f64>,
    /// All outputs in one array, too
    pub merged: bool,
}

impl Forwards {
    /// Read both tables.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(top: &Section<'_>) -> Result<Self, Marked> {
        let inputs = top.section("inputs")?.ok_or_else(|| {
            top.wrong("", "the table `[inputs]` is missing", "add `[inputs]`: where the parameters come from")
                .hint("for example `prior = 100000`: so many draws of the prior")
        })?;
        let inputs = Inputs::read(&inputs)?;
        let mut outputs = BatchOutputs { blocks: None, quantiles: QUANTILES.to_vec(), merged: false };
        if let Some(section) = top.section("outputs")? {
            outputs.blocks = blocks(&section)?;
            if let Some(shares) = section.opt::<Vec<f64>>("quantiles")? {
                if shares.iter().any(|q| !(0.0..=1.0).contains(q)) {
                    let label = "allowed: shares from 0 to 1, such as [0.1, 0.5, 0.9]";
                    return Err(section.wrong("quantiles", "a quantile is out of range", label));
                }
                outputs.quantiles = shares;
            }
            outputs.merged = section.opt("merged")?.unwrap_or(false);
            section.finish()?;
        }
        Ok(Self { inputs, outputs })
    }
}

/// Defaults written out for a reader of the run folder.
pub(super) fn defaults(document: &mut DocumentMut) {
    let quantiles = format!("{QUANTILES:?}");
    let all = [
        ("inputs", "chunk", "\"auto\""),
        ("inputs", "check", &CHECK.to_string()),
        ("outputs", "quantiles", &quantiles),
        ("outputs", "merged", "false"),
    ];
    for (table, key, value) in all {
        let item = document.as_table_mut().entry(table).or_insert(Item::Table(Table::new()));
        let inline = item.is_inline_table();
        let Some(table) = item.as_table_like_mut().filter(|table| table.get(key).is_none()) else { continue };
        let value: toml_edit::Value = value.parse().expect("the defaults above are TOML");
        table.insert(key, Item::Value(if inline { value } else { value.decorated(" ", "  # default") }));
    }
}

/// `blocks = { q = 365 }`
fn blocks(section: &Section<'_>) -> Result<Option<Vec<(String, usize)>>, Marked> {
    let Some(table) = section.section("blocks")? else { return Ok(None) };
    let mut blocks = Vec::new();
    for name in table.keys() {
        match table.node(name).map(|node| &node.value) {
            Some(Value::Integer(n)) if (1..=1_000_000_000).contains(n) => {
                blocks.push((name.to_owned(), usize::try_from(*n).expect("at least 1")));
            }
            _ => {
                return Err(table.wrong(
                    name,
                    format!("the block `{name}` has no length"),
                    "allowed: how many numbers it has, such as `q = 365`",
                ));
            }
        }
    }
    if blocks.is_empty() {
        return Err(section.wrong(
            "blocks",
            "there is no block",
            "allowed: names with lengths, `{ q = 365 }`",
        ));
    }
    Ok(Some(blocks))
}
