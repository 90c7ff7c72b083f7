//! `sweep.toml`: one experiment in many cases, each a run of its own.
//!
//! ```text
//!   schema = "ekp.sweep"                        version = 1
//!   name = "strong"                             experiment = "experiment.toml"       site = "site.toml" (optional)
//!   names = "strong_processpool_np{workers}"    repeats = 3                          part = 1
//!   schedule = "sequential" | "parallel" | "hybrid"      at_once = 4                 exclusive = true
//!   first_seed = 42   repeats have the seeds 42, 43, ... (without it all have that of the experiment)
//!   [set]             settings of all cases: `algorithm.members`, `site.slurm.time`, `launch.on`, `launch.workers`
//!   [[axis]]          name, values (or range, or options: settings for each label), sets = "launch.workers"
//!   [[case]]          name, set: a case of its own; platforms = ["hpc"] where it belongs to some only; cost = 2.5;
//!                     on.hpc = settings that it has on this platform alone; optional = true: left out where it cannot be
//!   [platform.hpc]    axis.workers = [1, 2, 4, 8] in place of an axis's values; set = settings
//! ```
//!
//! Belongs here: which cases there are, and what each changes. Not here: making and starting them (`launch::sweep`).

mod case;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::experiment::Named;
use crate::experiment::grid::{Axis, Label, scalars, shown};
use crate::explain::{Marked, Place, nearest, one_of};
use crate::files::human::{Document, Node, Section, Value};
use crate::files::quoted;

use case::{case, foreign};

/// Most cases of a sweep, repeats counted.
const MOST: usize = 100_000;

/// In which order cases run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// One after the other: they must not disturb each other
    Sequential,
    /// All at once
    Parallel,
    /// So many at once, those of the greatest cost first
    Hybrid(u32),
}

/// A sweep, read.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Its name
    pub name: String,
    /// Which part of a larger study it is, from 1; 0 where it is none
    pub part: u32,
    /// How its cases follow each other
    pub order: Order,
    /// Jobs of cases have a node for themselves
    pub exclusive: bool,
    /// The site of all cases, before what they change
    pub site: Option<PathBuf>,
    /// In the order in which they run
    pub cases: Vec<Case>,
}

/// A case: one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// Its name, without the repeat
    pub name: String,
    /// Which repeat, from 1; 0 where there is one only
    pub repeat: u32,
    /// Cases of one group differ in their number of workers alone
    pub group: String,
    /// The experiment that it changes
    pub experiment: PathBuf,
    /// `key=value` of the experiment
    pub settings: Vec<String>,
    /// `key=value` of the site
    pub site: Vec<String>,
    /// How it is carried out
    pub launch: Launch,
    /// How long it takes, in any unit, as far as anybody knows
    pub cost: f64,
    /// Where the sweep says each setting (`site.…` of the site), and `experiment`
    pub places: Vec<(String, Place)>,
    /// Where the machine or the build cannot do it, it is left out with a word, and is no fault
    pub optional: bool,
}

/// How a case is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// As `ekp-launch --on` has it
    pub on: String,
    /// Members at once
    pub workers: u32,
    /// Threads of each
    pub threads: u32,
    /// Nodes of a job
    pub nodes: u32,
}

impl Default for Launch {
    fn default() -> Self {
        Self { on: "local".into(), workers: 1, threads: 1, nodes: 1 }
    }
}

impl Case {
    /// Name of its run folder.
    pub fn folder(&self) -> String {
        if self.repeat == 0 { self.name.clone() } else { format!("{}_r{}", self.name, self.repeat) }
    }
}

/// A setting: key, value as TOML, and where it stands.
type Setting = (String, String, std::ops::Range<usize>);

impl Sweep {
    /// Read a sweep as `platform` has it; paths are relative to `folder`.
    ///
    /// # Errors
    /// The first fault, at its line; a platform that the file does not have.
    pub fn read(document: &Document, folder: &Path, platform: Option<&str>) -> Result<Self, Marked> {
        let top = document.section();
        top.schema("ekp.sweep", 1)?;
        let name: String = top.need("name")?;
        plain_name(&top, "name", &name)?;
        let path = folder.join(top.need::<String>("experiment")?);
        let experiment = Named { path, place: top.place("experiment") };
        let site = top.opt::<String>("site")?.map(|path| folder.join(path));
        let pattern: Option<String> = top.opt("names")?;
        let number =
            |key, most| Ok::<_, Marked>(top.integer(key, 1..=most)?.map(|n| u32::try_from(n).unwrap_or(1)));
        let repeats = number("repeats", 1000)?.unwrap_or(1);
        let first_seed = number("first_seed", i64::from(u32::MAX))?;
        let part = number("part", 1000)?.unwrap_or(0);
        let at_once = number("at_once", 100_000)?;
        let order = match (top.choice("schedule", &["sequential", "parallel", "hybrid"])?, at_once) {
            (Some("hybrid"), Some(n)) => Order::Hybrid(n),
            (Some("hybrid"), None) => {
                return Err(top.missing("at_once", "how many cases run at the same time, such as 4"));
            }
            (_, Some(_)) => {
                return Err(top.wrong(
                    "at_once",
                    "`at_once` has no use here",
                    "allowed with `schedule = \"hybrid\"`",
                ));
            }
            (Some("parallel"), None) => Order::Parallel,
            _ => Order::Sequential,
        };
        let exclusive = top.opt("exclusive")?.unwrap_or(false);
        let mut common = settings(top.section("set")?)?;
        let mut axes = Vec::new();
        for section in top.sections("axis")? {
            axes.push(Swept::read(&section)?);
        }
        let chosen = Platform::read(&top, platform, &mut axes)?;
        common.extend(chosen);
        let mut cases = Vec::new();
        if !axes.is_empty() {
            let pattern = pattern.unwrap_or_else(|| default_pattern(&name, &axes));
            grid(&top, &axes, &pattern, &common, &experiment, folder, &mut cases)?;
        } else if pattern.is_some() {
            return Err(top.wrong("names", "`names` is for the cases of axes", "there is no `[[axis]]`"));
        }
        let listed = top.sections("case")?;
        for section in &listed {
            if let Some(case) = single(section, &common, &experiment, folder, platform)? {
                cases.push(case);
            }
        }
        top.finish()?;
        // Where all belong to other platforms there are none here, and that is no fault.
        if cases.is_empty() && listed.is_empty() {
            return Err(top.wrong("", "the sweep has no cases", "add an `[[axis]]`, or a `[[case]]`"));
        }
        if cases.len().saturating_mul(repeats as usize) > MOST {
            let label = format!("{} cases with {repeats} repeats; allowed: {MOST} runs", cases.len());
            return Err(top.wrong("name", "the sweep is too large", label));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = cases.iter().find(|case| !names.insert(case.name.clone())) {
            let label = format!("two cases are called `{}`; name all that differs in `names`", twice.name);
            return Err(top.wrong("name", "cases have names of their own", label));
        }
        if matches!(order, Order::Hybrid(_) | Order::Parallel) {
            cases.sort_by(|a, b| b.cost.total_cmp(&a.cost));
        }
        let repeated = |case: Case| -> Vec<Case> {
            let with = |repeat: u32| {
                let mut one = Case { repeat, ..case.clone() };
                if let Some(first) = first_seed {
                    one.settings.push(format!("seed={}", u64::from(first) + u64::from(repeat.max(1)) - 1));
                }
                one
            };
            if repeats == 1 { vec![with(0)] } else { (1..=repeats).map(with).collect() }
        };
        let cases = cases.into_iter().flat_map(repeated).collect();
        Ok(Self { name, part, order, exclusive, site, cases })
    }
}

/// An axis and what its labels set.
struct Swept {
    axis: Axis,
    sets: Vec<String>,
}

impl Swept {
    fn read(section: &Section<'_>) -> Result<Self, Marked> {
        let sets = match section.node("sets").map(|n| &n.value) {
            Some(Value::Array(_)) => section.need::<Vec<String>>("sets")?,
            Some(_) => vec![section.need::<String>("sets")?],
            None => Vec::new(),
        };
        if let Some(fault) =
            sets.iter().find_map(|key| foreign(key, |title, label| section.wrong("sets", title, label)))
        {
            return Err(fault);
        }
        let axis = Axis::read(section)?;
        let tables = axis.labels.iter().all(|label| label.options().is_some());
        if tables != sets.is_empty() {
            let label = if tables {
                "the labels are tables of settings: leave `sets` out"
            } else {
                "which key the values are for, such as \"launch.workers\""
            };
            return Err(if tables {
                section.wrong("sets", "`sets` has no use here", label)
            } else {
                section.missing("sets", label)
            });
        }
        Ok(Self { axis, sets })
    }

    /// What its k-th label sets.
    fn settings(&self, k: usize) -> Vec<Setting> {
        let label = &self.axis.labels[k];
        match label.options() {
            Some(table) => scalars("", table)
                .into_iter()
                .filter_map(|(key, value)| Some((key, text(&value)?, label.node.span.clone())))
                .collect(),
            None => {
                let value = text(&label.node.value).unwrap_or_default();
                self.sets.iter().map(|key| (key.clone(), value.clone(), label.node.span.clone())).collect()
            }
        }
    }
}

/// `[platform.NAME]`
struct Platform;

impl Platform {
    /// Put the values of a platform in place of those of axes; its settings.
    fn read(top: &Section<'_>, wanted: Option<&str>, axes: &mut [Swept]) -> Result<Vec<Setting>, Marked> {
        let Some(all) = top.section("platform")? else {
            return match wanted {
                Some(name) => Err(top.wrong(
                    "name",
                    format!("there is no platform `{name}`"),
                    "the sweep has no `[platform]`",
                )),
                None => Ok(Vec::new()),
            };
        };
        let names: Vec<&str> = all.keys().collect();
        let mut chosen = Vec::new();
        for name in &names {
            let Some(one) = all.section(name)? else { continue };
            let set = settings(one.section("set")?)?;
            let replaced = one.section("axis")?;
            one.finish()?;
            if wanted != Some(*name) {
                continue;
            }
            chosen = set;
            for key in replaced.iter().flat_map(Section::keys) {
                let replaced = replaced.as_ref().expect("it has keys");
                let known: Vec<String> = axes.iter().map(|a| a.axis.name.clone()).collect();
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                let Some(axis) = axes.iter_mut().find(|a| a.axis.name == key) else {
                    return Err(replaced.wrong(
                        key,
                        format!("there is no axis `{key}`"),
                        format!("allowed: {}", one_of(&known)),
                    ));
                };
                let Some(Node { value: Value::Array(items), .. }) = replaced.node(key) else {
                    return Err(replaced.wrong(
                        key,
                        format!("`{key}` has the wrong type"),
                        "allowed: an array of values",
                    ));
                };
                axis.axis.labels = items
                    .iter()
                    .filter_map(|node| Some(Label { name: shown(&node.value)?, node: node.clone() }))
                    .collect();
            }
        }
        match wanted {
            Some(name) if !names.contains(&name) => {
                let label = format!("found `--platform {name}`, allowed: {}", one_of(&names));
                let fault = top.wrong("platform", format!("there is no platform `{name}`"), label);
                Err(nearest(name, &names)
                    .into_iter()
                    .fold(fault, |f, near| f.hint(format!("did you mean `{near}`?"))))
            }
            _ => Ok(chosen),
        }
    }
}

/// Settings of a table: dotted keys with scalars and arrays as TOML.
fn settings(section: Option<Section<'_>>) -> Result<Vec<Setting>, Marked> {
    fn walk(prefix: &str, section: &Section<'_>, all: &mut Vec<Setting>) -> Result<(), Marked> {
        for key in section.keys() {
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            let node = section.node(key).expect("a key of this table");
            match &node.value {
                Value::Table(_) => walk(&name, &section.section(key)?.expect("it is a table"), all)?,
                Value::Array(_) => {
                    all.push((name, section.source().text[node.span.clone()].to_owned(), node.span.clone()))
                }
                scalar => all.push((name, text(scalar).unwrap_or_default(), node.span.clone())),
            }
        }
        Ok(())
    }
    let mut all = Vec::new();
    if let Some(section) = section {
        walk("", &section, &mut all)?;
    }
    Ok(all)
}

/// A scalar as TOML.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(quoted(text)),
        other => shown(other),
    }
}

fn plain_name(section: &Section<'_>, key: &str, name: &str) -> Result<(), Marked> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(fits) && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    let label =
        format!("found `{name}`, allowed: letters, digits, `.`, `_`, `-`; it becomes the name of a folder");
    Err(section.wrong(key, "this cannot be a name", label))
}

fn default_pattern(name: &str, axes: &[Swept]) -> String {
    let parts: Vec<String> = axes.iter().map(|a| format!("_{0}{{{0}}}", a.axis.name)).collect();
    format!("{name}{}", parts.concat())
}

/// Every combination of labels, the last axis fastest.
fn grid(
    top: &Section<'_>,
    axes: &[Swept],
    pattern: &str,
    common: &[Setting],
    experiment: &Named,
    folder: &Path,
    cases: &mut Vec<Case>,
) -> Result<(), Marked> {
    let total =
        axes.iter().try_fold(1_usize, |n, a| n.checked_mul(a.axis.labels.len())).filter(|n| *n <= MOST);
    let Some(total) = total else {
        return Err(top.wrong("axis", "the axes have too many combinations", format!("allowed: {MOST}")));
    };
    for number in 0..total {
        let (mut rest, mut picks) = (number, vec![0; axes.len()]);
        for (pick, axis) in picks.iter_mut().zip(axes).rev() {
            *pick = rest % axis.axis.labels.len();
            rest /= axis.axis.labels.len();
        }
        let (mut name, mut group) = (pattern.to_owned(), Vec::new());
        let mut all = common.to_vec();
        for (axis, &k) in axes.iter().zip(&picks) {
            let label = &axis.axis.labels[k].name;
            name = name.replace(&format!("{{{}}}", axis.axis.name), label);
            if axis.sets != ["launch.workers"] {
                group.push(label.clone());
            }
            all.extend(axis.settings(k));
        }
        if name.contains(['{', '}']) {
            let known: Vec<String> = axes.iter().map(|a| format!("{{{}}}", a.axis.name)).collect();
            let label = format!("`{name}` is left; allowed: {}", known.join(" "));
            return Err(top.wrong("names", "there is no such axis", label));
        }
        plain_name(top, "names", &name)?;
        cases.push(case(top, name, group.join(" "), all, experiment, folder)?);
    }
    Ok(())
}

/// A `[[case]]`; none where it belongs to other platforms.
fn single(
    section: &Section<'_>,
    common: &[Setting],
    experiment: &Named,
    folder: &Path,
    platform: Option<&str>,
) -> Result<Option<Case>, Marked> {
    let name: String = section.need("name")?;
    plain_name(section, "name", &name)?;
    let group = section.opt::<String>("group")?.unwrap_or_else(|| name.clone());
    let platforms: Option<Vec<String>> = section.opt("platforms")?;
    let cost = section.number("cost", "a number above 0", |x| x > 0.0)?.unwrap_or(1.0);
    let optional = section.opt("optional")?.unwrap_or(false);
    let mut all = common.to_vec();
    all.extend(settings(section.section("set")?)?);
    if let Some(on) = section.section("on")? {
        for name in on.keys().map(str::to_owned).collect::<Vec<_>>() {
            let own = settings(on.section(&name)?)?;
            if platform == Some(name.as_str()) {
                all.extend(own);
            }
        }
        on.finish()?;
    }
    section.finish()?;
    let made = case(section, name, group, all, experiment, folder)?;
    let here = platforms.is_none_or(|p| platform.is_some_and(|wanted| p.iter().any(|p| p == wanted)));
    Ok(here.then_some(Case { cost, optional, ..made }))
}

#[cfg(test)]
mod tests;
