//! The run's own copy of the experiment: settings applied, defaults written out, differences shown.

use std::collections::BTreeMap;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use crate::experiment::dds::SEARCHES;
use crate::experiment::{ExperimentError, choices, present};

/// Defaults that a reader of the run folder should see, in the order of tables.
/// (table, key, TOML value, only for these methods, a bar between them)
const DEFAULTS: &[(&str, &str, &str, Option<&str>)] = &[
    ("model", "pack", "1", None),
    ("algorithm", "method", "\"etki\"", None),
    ("failures", "retries", "1", None),
    ("failures", "quorum", "0.5", None),
    ("failures", "lost", "\"rerun\"", None),
    ("failures", "nan_tolerance", "0.0", None),
    ("layout", "first_iteration", "0", None),
    ("files", "keep", "\"failed\"", None),
    ("files", "outputs", "\"auto\"", None),
];

/// The text with `key.path=value` settings applied; comments and order stay.
///
/// # Errors
/// A setting that is no `key=value`, or passes through something that is no table.
pub fn with_settings(text: &str, settings: &[String]) -> Result<String, ExperimentError> {
    if settings.is_empty() {
        return Ok(text.to_owned());
    }
    // A file with a syntax error keeps it: the reader points at it.
    let Ok(mut document) = text.parse::<DocumentMut>() else { return Ok(text.to_owned()) };
    for setting in settings {
        let wrong = |why: &str| ExperimentError::Setting { setting: setting.clone(), why: why.into() };
        let (path, value) = setting.split_once('=').ok_or_else(|| wrong("it has no `=`"))?;
        let value = value.trim();
        if value.is_empty() {
            return Err(wrong("it has no value; an empty text is `\"\"`"));
        }
        // A bare word is a string: shells eat quotes. What opens like TOML must be TOML.
        let value: Value = match value.parse() {
            Ok(value) => value,
            Err(_) if value.starts_with(['[', '{', '"', '\'']) => {
                return Err(wrong(
                    "its value is not closed, or has a fault inside; does the shell see the quotes?",
                ));
            }
            Err(_) => Value::from(value),
        };
        let keys: Vec<&str> = path.split('.').map(str::trim).collect();
        let Some((last, tables)) = keys.split_last().filter(|_| keys.iter().all(|k| !k.is_empty())) else {
            return Err(wrong("a key is empty"));
        };
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for key in tables {
            let item = table.entry(key).or_insert(Item::Table(Table::new()));
            table = item.as_table_like_mut().ok_or_else(|| wrong(&format!("`{key}` is no table")))?;
        }
        match table.get_mut(last).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = value;
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(last, Item::Value(value));
            }
        }
    }
    Ok(document.to_string())
}

/// The copy that goes into the run folder: file names as they are there, defaults written out, choices of the
/// algorithm explained. `members` is written where the method says how many.
pub fn run_copy(text: &str, members: u32) -> String {
    let Ok(mut document) = text.parse::<DocumentMut>() else { return text.to_owned() };
    document["prior"]["file"] = toml_edit::value("priors.toml");
    if let Some(observation) = document.get_mut("observation") {
        observation["file"] = toml_edit::value("observation.toml");
    }
    let named = document["algorithm"].get("method").and_then(Item::as_str).unwrap_or("etki").to_owned();
    let method = present(&named).to_owned();
    if method != named
        && let Some(word) = document["algorithm"].get_mut("method").and_then(Item::as_value_mut)
    {
        let decor = word.decor().clone();
        *word = method.as_str().into();
        *word.decor_mut() = decor;
    }
    let own = choices::defaults(&method, &document["algorithm"], members);
    let own = own.iter().map(|(key, value)| ("algorithm", *key, value.as_str(), None));
    for (table, key, value, only) in DEFAULTS.iter().copied().chain(own) {
        if only.is_some_and(|m| m != method) || (key == "quorum" && SEARCHES.contains(&method.as_str())) {
            continue;
        }
        let item = document.as_table_mut().entry(table).or_insert(Item::Table(Table::new()));
        let Some(table) = item.as_table_like_mut() else { continue };
        if table.get(key).is_none() {
            let value: Value = value.parse().expect("the defaults above are TOML");
            table.insert(key, Item::Value(value.decorated(" ", "  # default")));
        }
    }
    if method == "forward" {
        super::forward::defaults(&mut document);
    }
    inner_defaults(&mut document, &method);
    choices::explain(&mut document);
    document.to_string()
}

/// The copy of an experiment that is a grid: its defaults written out.
pub fn grid_copy(text: &str) -> String {
    let Ok(mut document) = text.parse::<DocumentMut>() else { return text.to_owned() };
    let own = [("failures", "retries"), ("failures", "lost"), ("files", "keep")];
    for (table, key, value, _) in DEFAULTS.iter().filter(|(table, key, ..)| own.contains(&(*table, *key))) {
        let item = document.as_table_mut().entry(table).or_insert(Item::Table(Table::new()));
        let Some(table) = item.as_table_like_mut() else { continue };
        if table.get(key).is_none() {
            let value: Value = value.parse().expect("the defaults above are TOML");
            table.insert(key, Item::Value(value.decorated(" ", "  # default")));
        }
    }
    choices::explain(&mut document);
    document.to_string()
}

/// Defaults of tables within `[algorithm]`, where the user has written the table.
fn inner_defaults(document: &mut DocumentMut, method: &str) {
    let rule = |document: &DocumentMut| {
        let table = document["algorithm"].get("localisation")?.as_table_like()?;
        Some(table.get("rule")?.as_str()?.to_owned())
    };
    let mut more: Vec<(&str, &str, String)> = Vec::new();
    if let Some(rule) = rule(document).filter(|rule| rule != "none") {
        let keys: &[(&str, &str)] = match rule.as_str() {
            "sec" => &[("alpha", "1.0"), ("cutoff", "0.0")],
            "sec-nice" => &[("delta_ug", "1.0"), ("delta_gg", "1.0"), ("std", "\"peer\"")],
            _ => &[],
        };
        more.push(("localisation", "form", format!("\"{}\"", super::localisation::default_form(method))));
        more.extend(keys.iter().map(|(key, value)| ("localisation", *key, (*value).to_owned())));
    }
    if method == "sparse-eki" {
        let keys = [("threshold", "0.0"), ("jitter", "0.0"), ("scaling", "\"consistent\"")];
        more.extend(keys.map(|(key, value)| ("sparse", key, value.to_owned())));
    }
    for (table, key, value) in more {
        let Some(item) = document["algorithm"].get_mut(table) else { continue };
        // A comment would cut off the rest of a table that stands on one line.
        let inline = item.is_inline_table();
        let Some(table) = item.as_table_like_mut().filter(|table| table.get(key).is_none()) else { continue };
        let value: Value = value.parse().expect("the defaults above are TOML");
        table.insert(key, Item::Value(if inline { value } else { value.decorated(" ", "  # default") }));
    }
}

/// One key that differs between two experiments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `algorithm.members`
    pub key: String,
    /// In the run
    pub before: Option<String>,
    /// Asked for now
    pub after: Option<String>,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |v: &Option<String>| v.clone().unwrap_or_else(|| "(absent)".into());
        write!(f, "{}: the run has {}, now {}", self.key, show(&self.before), show(&self.after))
    }
}

/// Keys whose values differ; comments and order do not count.
pub fn differences(before: &str, after: &str) -> Vec<Difference> {
    let (before, after) = (flat(before), flat(after));
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.into_iter()
        .filter(|k| before.get(*k) != after.get(*k))
        .map(|k| Difference { key: k.clone(), before: before.get(k).cloned(), after: after.get(k).cloned() })
        .collect()
}

fn flat(text: &str) -> BTreeMap<String, String> {
    fn walk(prefix: &str, value: &toml::Value, into: &mut BTreeMap<String, String>) {
        let below = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => table.iter().for_each(|(k, v)| walk(&below(k), v, into)),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                items.iter().enumerate().for_each(|(i, v)| walk(&below(&(i + 1).to_string()), v, into));
            }
            other => {
                let mut shown = other.to_string();
                if shown.chars().count() > 80 {
                    let head: String = shown.chars().take(60).collect();
                    shown = format!("{head}… ({})", crate::files::digest(other.to_string().as_bytes()));
                }
                into.insert(prefix.to_owned(), shown);
            }
        }
    }
    let mut into = BTreeMap::new();
    if let Ok(table) = text.parse::<toml::Table>() {
        walk("", &toml::Value::Table(table), &mut into);
    }
    into
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_keep_comments_and_make_missing_tables() {
        let text = "# why\nname = \"a\"\n[algorithm]\nmembers = 20 # few\n";
        let settings = ["algorithm.members=40".into(), "failures.quorum=0.9".into(), "name=b".into()];
        let set = with_settings(text, &settings).unwrap();
        assert!(set.contains("# why") && set.contains("members = 40 # few"), "{set}");
        assert!(set.contains("[failures]\nquorum = 0.9") && set.contains("name = \"b\""), "{set}");
        assert!(with_settings(text, &["nothing".into()]).is_err());
        assert!(with_settings(text, &["name.x=1".into()]).is_err());
    }

    #[test]
    fn the_copy_explains_the_choice_in_force() {
        let text = |more: &str| format!("[prior]\n[observation]\n[algorithm]\nmembers = 20\n{more}\n");
        let copy = |more: &str| run_copy(&text(more), 20);
        let gnki = copy("method = \"gnki\"");
        assert!(
            gnki.contains("draws = \"exact\"  # default") && gnki.contains("step = 1.0  # default"),
            "{gnki}"
        );
        assert!(
            gnki.contains("scheduler = \"fixed\"  # default") && gnki.contains("rule = \"none\""),
            "{gnki}"
        );
        let nice = copy("method = \"eki\"\n[algorithm.localisation]\nrule = \"sec-nice\"");
        assert!(
            nice.contains("form = \"joint\"  # default") && nice.contains("std = \"peer\"  # default"),
            "{nice}"
        );
        let inline = copy("localisation = { rule = \"delta\" }");
        assert!(
            inline.contains("{ rule = \"delta\" , form = \"local\" }") || inline.contains("form = \"local\""),
            "{inline}"
        );
        let sparse = copy("method = \"sparse-eki\"\nsparse = { limit = 2.0 }");
        // By its former name it is the same experiment.
        assert_eq!(copy("method = \"sparse\"\nsparse = { limit = 2.0 }"), sparse);
        for text in [gnki, nice, inline, sparse] {
            let copied: toml::Table = text.parse().unwrap();
            assert!(copied["algorithm"]["failed_members"].as_str() == Some("redraw"), "{text}");
        }
    }

    #[test]
    fn differences_name_the_key_and_both_values() {
        let found = differences("[a]\nx = 1\ny = 2\n", "[a]\n# new\ny = 2\nx = 3\n");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "a.x: the run has 1, now 3");
    }
}
