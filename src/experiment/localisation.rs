//! `[algorithm.localisation]`: what is done to covariances of few members.

use super::groups;
use crate::explain::{Marked, Place, nearest};
use crate::files::human::{Section, Value};
use crate::kalman::localise::{Correction, Form, Localisation, Rule, Std, Weight};
use crate::problem::Problem;

/// Names that stand in `[algorithm]`, with their places: they are looked up when priors and observation are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Named {
    pub(super) parameters: Vec<(String, Place)>,
    pub(super) blocks: Vec<(String, Place)>,
    pub(super) groups: Vec<groups::Stands>,
    /// Numbers of parameters that something is for
    pub(super) sizes: Vec<(usize, Place)>,
}

impl Named {
    /// Refuse names that the problem does not have.
    ///
    /// # Errors
    /// The first such name, at its place, with the nearest known one.
    pub(super) fn fit(&self, problem: &Problem) -> Result<(), Marked> {
        let dimension = problem.prior.dim();
        if let Some((found, place)) = self.sizes.iter().find(|(size, _)| *size != dimension) {
            let label = format!("found {found}, needed: one for each of the {dimension} parameters");
            return Err(place.marked("its size is not that of the parameters", label));
        }
        let mut parameters: Vec<String> =
            problem.prior.names().iter().map(|(name, _)| name.clone()).collect();
        // A parameter of one component is its own row.
        let rows = problem.prior.row_names();
        let more: Vec<String> = rows.into_iter().filter(|row| !parameters.contains(row)).collect();
        parameters.extend(more);
        let blocks: Vec<String> = problem.observation.blocks().iter().map(|b| b.name.clone()).collect();
        for (names, known, what) in
            [(&self.parameters, &parameters, "parameter"), (&self.blocks, &blocks, "observation block")]
        {
            for (name, place) in names {
                if known.contains(name) {
                    continue;
                }
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let fault = place
                    .marked(format!("there is no {what} `{name}`"), format!("known: {}", known.join(", ")));
                return Err(match nearest(name, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                });
            }
        }
        Ok(())
    }
}

/// Rules that `[algorithm.localisation]` knows.
const RULES: &[&str] = &["none", "delta", "rbf", "dropout", "weights", "sec", "sec-fisher", "sec-nice"];
/// Keys of each rule.
const KEYS: &[(&str, &[&str])] = &[
    ("rbf", &["length"]),
    ("dropout", &["keep"]),
    ("weights", &["weights"]),
    ("sec", &["alpha", "cutoff"]),
    ("sec-nice", &["delta_ug", "delta_gg", "std"]),
];

/// `[algorithm.localisation]`: its rule with the keys of that rule; `None` without the table.
pub(super) fn read(
    algorithm: &Section<'_>,
    method: &str,
    members: u32,
    named: &mut Named,
) -> Result<Option<Localisation>, Marked> {
    let Some(section) = algorithm.section("localisation")? else { return Ok(None) };
    let word = section.choice("rule", RULES)?;
    let word = word.ok_or_else(|| section.missing("rule", "such as \"sec-nice\""))?;
    for (rule, key) in KEYS.iter().flat_map(|(rule, keys)| keys.iter().map(move |key| (*rule, *key))) {
        if rule != word && section.keys().any(|k| k == key) {
            let label = format!("it belongs to `rule = \"{rule}\"`, this is `{word}`");
            return Err(section.wrong(key, format!("`{key}` has no use here"), label));
        }
    }
    if word == "none" {
        if section.keys().any(|k| k == "form") {
            return Err(section.wrong("form", "`form` has no use here", "`rule` is `none`"));
        }
        section.finish()?;
        return Ok(None);
    }
    let rule = rule(&section, word, named)?;
    let form = form(&section, method, word)?;
    if word == "sec-fisher" && members < 4 {
        let label = format!("it needs 4 members, there are {members}");
        return Err(section.wrong("rule", "`sec-fisher` cannot be used here", label));
    }
    section.finish()?;
    Ok(Some(Localisation { rule, form }))
}

fn rule(section: &Section<'_>, word: &str, named: &mut Named) -> Result<Rule, Marked> {
    let share = |key: &str| section.number(key, "from 0 to 1", |x| (0.0..=1.0).contains(&x));
    let positive = |key: &str| section.number(key, "zero or a positive number", |x| x >= 0.0);
    Ok(match word {
        "delta" => Rule::Delta,
        "rbf" => {
            let length = section.number("length", "a positive number", |x| x > 0.0)?;
            let missing = || section.missing("length", "in positions of the output, such as 2.0");
            Rule::Rbf { length: length.ok_or_else(missing)? }
        }
        "dropout" => {
            let missing = || section.missing("keep", "share of covariances that are kept, such as 0.5");
            Rule::Dropout { keep: share("keep")?.ok_or_else(missing)? }
        }
        "weights" => Rule::Weights(weights(section, named)?),
        "sec" => Rule::Correction(Correction::Sec {
            alpha: positive("alpha")?.unwrap_or(1.0),
            cutoff: share("cutoff")?.unwrap_or(0.0),
        }),
        "sec-fisher" => Rule::Correction(Correction::Fisher),
        _ => Rule::Correction(Correction::Nice {
            delta_ug: positive("delta_ug")?.unwrap_or(1.0),
            delta_gg: positive("delta_gg")?.unwrap_or(1.0),
            std: match section.choice("std", &["peer", "theory"])? {
                Some("theory") => Std::Theory,
                _ => Std::Peer,
            },
        }),
    })
}

/// `[algorithm.localisation.weights]`: a row for each parameter, in it a weight for each block.
fn weights(section: &Section<'_>, named: &mut Named) -> Result<Vec<Weight>, Marked> {
    let Some(table) = section.section("weights")? else {
        return Err(section.missing("weights", "a table `PARAMETER = { BLOCK = 0.5 }`"));
    };
    let mut weights = Vec::new();
    for parameter in table.keys() {
        named.parameters.push((parameter.to_owned(), table.place(parameter)));
        let row = table.section(parameter)?.ok_or_else(|| table.missing(parameter, "a table"))?;
        for block in row.keys() {
            named.blocks.push((block.to_owned(), row.place(block)));
            let odd = row.node(block).is_some_and(|node| matches!(node.value, Value::Table(_)));
            if odd {
                let label = "allowed: a number from 0 to 1";
                return Err(row.wrong(block, format!("`{block}` has the wrong type"), label));
            }
            let weight = row.number(block, "from 0 to 1", |x| (0.0..=1.0).contains(&x))?;
            let weight = weight.expect("the key is there");
            weights.push(Weight { parameter: parameter.to_owned(), block: block.to_owned(), weight });
        }
    }
    if weights.is_empty() {
        let label = "allowed: rows such as `drag = { wind = 0.5 }`; pairs that are not named weigh 1";
        return Err(section.wrong("weights", "`weights` is empty", label));
    }
    Ok(weights)
}

/// The form a method has without saying.
pub(super) fn default_form(method: &str) -> &'static str {
    if method == "etki" { "local" } else { "joint" }
}

fn form(section: &Section<'_>, method: &str, rule: &str) -> Result<Form, Marked> {
    let asked = section.choice("form", &["joint", "cross", "local"])?;
    let form = asked.unwrap_or(default_form(method));
    let at = if asked.is_some() { "form" } else { "rule" };
    let kernel = ["delta", "rbf", "dropout", "weights"].contains(&rule);
    let refuse = |label: String, hint: &str| {
        let title = format!("method `{method}` cannot use this localisation");
        Err(section.wrong(at, title, label).hint(hint))
    };
    match (method, form) {
        ("etki", "local") if kernel => Ok(Form::Local),
        ("etki", "local") => refuse(
            format!(
                "`{rule}` corrects covariances, and `etki` forms none; it can use `weights`, `delta`, `rbf`, `dropout`"
            ),
            "divide parameters and data by `[[algorithm.group]]`, or choose `method = \"eki\"`",
        ),
        ("etki", _) => refuse(
            format!("`{form}` edits covariances, and `etki` forms none; allowed: `local`"),
            "divide parameters and data by `[[algorithm.group]]`, or choose `method = \"eki\"`",
        ),
        (_, "local") => refuse(
            "`local` is a form of `etki`; allowed: `joint`, with `eki` also `cross`".into(),
            "`method = \"etki\"` has it",
        ),
        ("eki", "cross") => Ok(Form::Cross),
        (_, "cross") => refuse(
            format!("`cross` is a form of `eki`; `{method}` has `joint` alone"),
            "leave `form` out; with `gnki` it is linear in the data as it is",
        ),
        _ => Ok(Form::Joint),
    }
}
