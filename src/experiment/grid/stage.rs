//! `[[stage]]`: a name, the axes it goes over, what it comes after, its model, its retries.

use std::path::Path;
use std::sync::Arc;

use crate::experiment::grid::axis::{is_name, scalars, shown};
use crate::experiment::grid::blocks::{Before, Block, Spec, arrange, count};
use crate::experiment::grid::canonical::{canonical, canonical_table};
use crate::experiment::grid::{Axis, builtin};
use crate::explain::{Marked, Place, nearest, one_of};
use crate::files::human::{Node, Section, Table, Value};
use crate::models::cell::Cell;
use crate::models::external::External;
use crate::models::external::cell::{CELL_WORDS, Hole, ProgramCell};

/// Most cells of one stage.
const MOST: usize = 1_000_000;

/// A stage of a grid, with its cells.
pub struct Stage {
    /// Its name
    pub name: String,
    /// Its axes
    pub over: Vec<usize>,
    /// Stages it comes after, from 0
    pub after: Vec<usize>,
    /// Further tries of a failed cell
    pub retries: u32,
    /// The command, or the name of the model
    pub title: String,
    /// Its cells, in order
    pub cells: Vec<Spec>,
    /// Which of them wait together
    pub blocks: Vec<Block>,
    kind: Kind,
    /// Where its model stands
    place: Place,
}

/// What runs.
enum Kind {
    Program(Arc<External>),
    Builtin { name: String, options: Table },
}

impl Stage {
    /// Read one `[[stage]]`, after the stages before it in the file.
    ///
    /// # Errors
    /// The first fault, at its line.
    pub fn read(
        section: &Section<'_>,
        base: &Path,
        axes: &[Axis],
        before: &[Self],
        retries: u32,
    ) -> Result<Self, Marked> {
        let name: String = section.need("name")?;
        if !is_name(&name) {
            let label = format!("found `{name}`, allowed: letters, digits and `_`, a letter first");
            return Err(section.wrong("name", "a stage cannot have this name", label));
        }
        if before.iter().any(|stage| stage.name == name) {
            return Err(section.wrong(
                "name",
                format!("there are two stages `{name}`"),
                "give it another name",
            ));
        }
        let after = after(section, &name, before)?;
        let over = over(section, axes)?;
        let retries = match section.integer("retries", 0..=100)? {
            Some(own) => u32::try_from(own).expect("at most 100"),
            None => retries,
        };
        if count(axes, &over).is_none_or(|n| n > MOST) {
            let label = format!("the product of its axes; allowed: at most {MOST}");
            return Err(section.wrong("over", "a stage has too many cells", label));
        }
        let earlier: Vec<Before<'_>> = after.iter().map(|&k| before[k].before()).collect();
        let (cells, blocks) = arrange(axes, &over, &earlier);
        let Some(model) = section.section("model")? else {
            let allowed = "a table, as in `model = { command = [\"./build.sh\", \"{target}\"] }`";
            return Err(section.missing("model", allowed));
        };
        let more = words(axes, &over, &after, before);
        let (kind, title) = kind(&model, base, &more)?;
        let place = section.place("model");
        section.finish()?;
        Ok(Self { name, over, after, retries, title, cells, blocks, kind, place })
    }

    fn before(&self) -> Before<'_> {
        Before { over: &self.over, cells: &self.cells, blocks: &self.blocks }
    }

    /// The block of a cell, both from 0.
    pub fn block_of(&self, cell: usize) -> usize {
        self.blocks.partition_point(|block| block.first <= cell).saturating_sub(1)
    }

    /// Labels of a cell, in the order of its axes.
    pub fn labels<'a>(&self, axes: &'a [Axis], cell: usize) -> Vec<(&'a str, &'a str)> {
        let of = |(&axis, &label): (&usize, &usize)| {
            (axes[axis].name.as_str(), axes[axis].labels[label].name.as_str())
        };
        self.over.iter().zip(&self.cells[cell].labels).map(of).collect()
    }

    /// The labels of a cell for people: `target=a, sampler=hmc`.
    pub fn shown(&self, axes: &[Axis], cell: usize) -> String {
        let words: Vec<String> =
            self.labels(axes, cell).iter().map(|(axis, label)| format!("{axis}={label}")).collect();
        if words.is_empty() { self.name.clone() } else { words.join(", ") }
    }

    /// The program, where it is one.
    pub fn program(&self) -> Option<&External> {
        match &self.kind {
            Kind::Program(external) => Some(external),
            Kind::Builtin { .. } => None,
        }
    }

    /// Name of the model of the toolkit, where it is one.
    pub fn builtin(&self) -> Option<&str> {
        match &self.kind {
            Kind::Program(_) => None,
            Kind::Builtin { name, .. } => Some(name),
        }
    }

    /// A cell, ready to run. `own` are the axes that no stage before it goes over.
    ///
    /// # Errors
    /// Options that its model refuses, at their line.
    pub fn cell(
        &self,
        axes: &[Axis],
        own: &[usize],
        seed: u64,
        number: usize,
    ) -> Result<Arc<dyn Cell>, Marked> {
        let spec = &self.cells[number];
        let chosen = || self.over.iter().zip(&spec.labels).map(|(&axis, &k)| (axis, &axes[axis].labels[k]));
        match &self.kind {
            Kind::Program(external) => {
                let mut holes = Vec::new();
                let mut canonical_text = format!("seed i{seed}");
                for (axis, label) in chosen() {
                    let name = &axes[axis].name;
                    holes.push(hole(name.clone(), &label.node.value, &label.name));
                    if let Some(table) = label.options() {
                        holes.extend(scalars("", table).into_iter().map(|(key, value)| {
                            let text = shown(&value).unwrap_or_default();
                            hole(format!("{name}.{key}"), &value, &text)
                        }));
                    }
                    let value = canonical(&label.node.value);
                    canonical_text.push_str(&format!(" {name} {:?} {value}", label.name));
                }
                Ok(Arc::new(ProgramCell { external: external.clone(), holes, canonical: canonical_text }))
            }
            Kind::Builtin { name, options } => {
                let mut table = options.clone();
                let mut span = self.place.span.clone();
                for (axis, label) in chosen().filter(|(axis, _)| own.contains(axis)) {
                    match label.options() {
                        Some(more) => {
                            span = label.node.span.clone();
                            merge(&mut table, more);
                        }
                        None => set(&mut table, &axes[axis].name, &label.node),
                    }
                }
                let section = Section::new(&self.place.source, &format!("stage.model.{name}"), &table, span);
                let cell = builtin::cell(name, &section)?;
                section.finish()?;
                Ok(cell)
            }
        }
    }

    /// The options of a cell in canonical form, for people who compare ids.
    pub fn options(&self) -> Option<String> {
        match &self.kind {
            Kind::Program(_) => None,
            Kind::Builtin { options, .. } => Some(canonical_table(options)),
        }
    }
}

fn hole(name: String, value: &Value, text: &str) -> Hole {
    Hole { name, text: text.to_owned(), number: value.number() }
}

/// Deep: tables are merged, anything else is replaced.
fn merge(into: &mut Table, from: &Table) {
    for (key, span, node) in &from.entries {
        match into.entries.iter_mut().find(|(known, ..)| known == key) {
            Some((_, _, Node { value: Value::Table(inner), .. }))
                if matches!(node.value, Value::Table(_)) =>
            {
                if let Value::Table(more) = &node.value {
                    merge(inner, more);
                }
            }
            Some(entry) => *entry = (key.clone(), span.clone(), node.clone()),
            None => into.entries.push((key.clone(), span.clone(), node.clone())),
        }
    }
}

fn set(into: &mut Table, key: &str, node: &Node) {
    into.entries.retain(|(known, ..)| known != key);
    into.entries.push((key.to_owned(), node.span.clone(), node.clone()));
}

fn after(section: &Section<'_>, name: &str, before: &[Stage]) -> Result<Vec<usize>, Marked> {
    let names: Vec<String> = match section.node("after").map(|node| &node.value) {
        None => return Ok(Vec::new()),
        Some(Value::Text(one)) => vec![one.clone()],
        Some(_) => section.need("after")?,
    };
    let known: Vec<&str> = before.iter().map(|stage| stage.name.as_str()).collect();
    let mut found = Vec::new();
    for after in names {
        match known.iter().position(|known| *known == after) {
            Some(k) if found.contains(&k) => {
                return Err(section.wrong(
                    "after",
                    format!("`{name}` is after `{after}` twice"),
                    "once is enough",
                ));
            }
            Some(k) => found.push(k),
            None => {
                let label = match known.as_slice() {
                    [] => format!("found `{after}`, but no stage stands before this one"),
                    known => format!("found `{after}`, allowed: {} (stages further up)", one_of(known)),
                };
                let fault = section.wrong("after", "there is no such stage before this one", label);
                return Err(match nearest(&after, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                });
            }
        }
    }
    Ok(found)
}

fn over(section: &Section<'_>, axes: &[Axis]) -> Result<Vec<usize>, Marked> {
    let names: Vec<String> = section.need("over")?;
    let known: Vec<&str> = axes.iter().map(|axis| axis.name.as_str()).collect();
    let mut found = Vec::new();
    for name in names {
        match known.iter().position(|known| *known == name) {
            Some(k) if found.contains(&k) => {
                return Err(section.wrong(
                    "over",
                    format!("axis `{name}` stands here twice"),
                    "once is enough",
                ));
            }
            Some(k) => found.push(k),
            None => {
                let label = match known.as_slice() {
                    [] => format!("found `{name}`, but there is no `[[axis]]`"),
                    known => format!("found `{name}`, allowed: {}", one_of(known)),
                };
                let fault = section.wrong("over", "there is no such axis", label);
                return Err(match nearest(&name, &known) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => fault,
                });
            }
        }
    }
    Ok(found)
}

/// Placeholders of a command beside those of a member.
fn words(axes: &[Axis], over: &[usize], after: &[usize], before: &[Stage]) -> Vec<String> {
    let mut all: Vec<String> = CELL_WORDS.iter().map(|word| (*word).to_owned()).collect();
    all.extend(over.iter().flat_map(|&axis| axes[axis].holes()));
    if after.len() == 1 {
        all.push("upstream".into());
    }
    all.extend(after.iter().map(|&k| format!("upstream.{}", before[k].name)));
    all
}

fn kind(model: &Section<'_>, base: &Path, more: &[String]) -> Result<(Kind, String), Marked> {
    let builtin: Option<String> = model.opt("builtin")?;
    let has_command = model.keys().any(|key| key == "command");
    match builtin {
        Some(_) if has_command => {
            let label = "allowed: `builtin` for a model of the toolkit, or `command` for a program of yours";
            Err(model.wrong("command", "a stage has both `builtin` and `command`", label))
        }
        Some(name) => {
            if !builtin::NAMES.contains(&name.as_str()) {
                let known =
                    if builtin::NAMES.is_empty() { "none yet".to_owned() } else { one_of(builtin::NAMES) };
                let label = format!("found `{name}`, allowed in a stage: {known}");
                let fault = model.wrong("builtin", "there is no such model for a stage", label);
                return Err(match nearest(&name, builtin::NAMES) {
                    Some(near) => fault.hint(format!("did you mean `{near}`?")),
                    None => {
                        fault.hint("any program can be a stage: `command = [\"./build.sh\", \"{target}\"]`")
                    }
                });
            }
            let options = match model.node(&name).map(|node| &node.value) {
                Some(Value::Table(table)) => table.clone(),
                Some(other) => {
                    let label = format!("found {}, allowed: a table of options", other.kind());
                    return Err(model.wrong(&name, format!("`{name}` has the wrong type"), label));
                }
                None => Table::default(),
            };
            model.finish()?;
            Ok((Kind::Builtin { name: name.clone(), options }, name))
        }
        None if has_command => {
            let external = External::read_with(model, base, more)?;
            model.finish()?;
            if !external.leaves_toml() {
                let label =
                    "allowed: `{ file = \"facts.toml\" }`, scalars that become columns of the results";
                return Err(model.wrong("output", "a cell of a grid leaves TOML", label));
            }
            let title = model.opt::<Vec<String>>("command")?.unwrap_or_default().join(" ");
            Ok((Kind::Program(Arc::new(external)), title))
        }
        None => {
            let label = "add `command = [\"./build.sh\", \"{target}\"]`: any program, its arguments with placeholders";
            Err(model.wrong("", "a stage names no model", label))
        }
    }
}
