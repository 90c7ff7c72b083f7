//! `[model]` of an experiment, where it names a command.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::explain::Marked;
use crate::files::human::{Section, Value};
use crate::models::external::argument::Argument;
use crate::models::external::link::plain;
use crate::models::external::mpi::Mpi;
use crate::models::external::output::{Column, Csv, Format, Reader};
use crate::models::external::program::Program;
use crate::models::external::{Declared, External, LOG};

/// The name of the output when nothing else is said.
const STEM: &str = "model_output";
/// Formats and how their files are called.
const FORMATS: [&str; 5] = ["toml", "csv", "text", "json", "npy"];

impl External {
    /// Read `command`, `files`, `templates`, `output`, `timeout_s`, `version_command`, `mpi` of `[model]`;
    /// paths are relative to `base`, the folder of the experiment. The caller reads the other keys of
    /// `[model]` and finishes it.
    ///
    /// # Errors
    /// A value that cannot be used, at its line.
    pub fn read(model: &Section<'_>, base: &Path) -> Result<Self, Marked> {
        Self::read_with(model, base, &[])
    }

    /// The same with further placeholders for the arguments of its command.
    ///
    /// # Errors
    /// As [`External::read`].
    pub fn read_with(model: &Section<'_>, base: &Path, more: &[String]) -> Result<Self, Marked> {
        let source = Arc::clone(model.source());
        let words = strings(model, "command", "[\"./model.sh\", \"{parameters}\", \"{data}\"]")?;
        let argument = |(text, span): &(String, Range<usize>)| {
            Argument::parse_with(text, more)
                .map_err(|bad| Marked::new(&source, span.clone(), bad.title, bad.label).hint(bad.hint))
        };
        let command = words.iter().map(argument).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = command.first().filter(|first| first.fixed() != Some("")) else {
            let title = "`command` names no program";
            return Err(model.wrong("command", title, "allowed: a program and its arguments"));
        };
        let templates = templates(model)?;
        let made = templates.iter().map(|t| t.to.clone()).collect();
        let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
        let timeout = model.number("timeout_s", "seconds, above 0", |s| s > 0.0 && s < 1e9)?;
        let version = strings(model, "version_command", "[\"./model.sh\", \"--version\"]")?;
        let reader = reader(model)?;
        if let Some(t) = templates.iter().find(|t| t.to == reader.file || t.to == Path::new(LOG)) {
            let title = format!("`{}` is written by the model itself", t.to.display());
            return Err(Marked::new(
                &source,
                t.from_span.clone(),
                title,
                "give the filled file another name",
            ));
        }
        Ok(Self {
            program: Program::new(first.clone(), made),
            command_span: words.first().map_or(0..0, |(_, span)| span.clone()),
            command,
            patterns: strings(model, "files", "[\"model.sh\", \"grid/*.nc\"]")?,
            templates,
            reader,
            timeout: timeout.map(Duration::from_secs_f64),
            version_command: version.into_iter().map(|(word, _)| word).collect(),
            mpi: mpi(model)?,
            prepared: OnceLock::new(),
            made: OnceLock::new(),
            base,
            source,
        })
    }
}

impl External {
    /// Whether its output is a file of TOML, as a cell of a grid leaves it.
    pub fn leaves_toml(&self) -> bool {
        matches!(self.reader.format, Format::Toml(_))
    }
}

/// An array of strings, each with its place; empty when the key is absent.
fn strings(section: &Section<'_>, key: &str, example: &str) -> Result<Vec<(String, Range<usize>)>, Marked> {
    let Some(node) = section.node(key) else { return Ok(Vec::new()) };
    let wrong = |span: &Range<usize>, found: &str| {
        let title = format!("`{key}` has the wrong type");
        let label = format!("found {found}, allowed: an array of strings, `{key} = {example}`");
        Marked::new(section.source(), span.clone(), title, label)
    };
    let Value::Array(items) = &node.value else {
        let fault = wrong(&node.span, node.value.kind());
        let words = match &node.value {
            Value::Text(text) => shlex::split(text),
            _ => None,
        };
        return Err(match words.filter(|words| !words.is_empty()) {
            Some(words) => fault.hint(format!("write `{key} = {words:?}`")),
            None => fault,
        });
    };
    let text = |item: &crate::files::human::Node| match &item.value {
        Value::Text(text) if !text.contains('\0') => Ok((text.clone(), item.span.clone())),
        Value::Text(_) => Err(wrong(&item.span, "a string with a zero byte")),
        other => Err(wrong(&item.span, other.kind())),
    };
    items.iter().map(text).collect()
}

/// A path that stays below the working folder.
fn below(section: &Section<'_>, key: &str, text: &str) -> Result<PathBuf, Marked> {
    let path = plain(Path::new(text));
    let inside = path.components().all(|c| matches!(c, Component::Normal(_))) && !text.contains('\0');
    if inside && path.file_name().is_some() && !text.ends_with('/') {
        return Ok(path);
    }
    let label = "allowed: a file below the working folder, without `..`";
    Err(section.wrong(key, format!("`{key}` leaves the working folder"), label))
}

fn templates(model: &Section<'_>) -> Result<Vec<Declared>, Marked> {
    let mut all: Vec<Declared> = Vec::new();
    for section in model.sections("templates")? {
        let from: String = section.need("from")?;
        let to = below(&section, "to", &section.need::<String>("to")?)?;
        section.finish()?;
        if all.iter().any(|other| other.to == to) {
            return Err(section.wrong(
                "to",
                "two templates are filled into one file",
                "give it another name",
            ));
        }
        let from_span = section.node("from").map_or(0..0, |node| node.span.clone());
        all.push(Declared { from: from.into(), to, from_span });
    }
    Ok(all)
}

fn reader(model: &Section<'_>) -> Result<Reader, Marked> {
    let Some(output) = model.section("output")? else {
        let file = format!("{STEM}.toml").into();
        return Ok(Reader { file, format: Format::Toml(vec![STEM.into()]) });
    };
    let name = output.choice("format", &FORMATS)?.unwrap_or("toml");
    let ending = if name == "text" { "txt" } else { name };
    let file = match output.opt::<String>("file")? {
        Some(file) => below(&output, "file", &file)?,
        None => format!("{STEM}.{ending}").into(),
    };
    if file == Path::new(LOG) {
        let label = format!("`{LOG}` takes what the model prints; let it write another file");
        return Err(output.wrong("file", "the output cannot be the log", label));
    }
    let key = |output: &Section<'_>| -> Result<Option<Vec<String>>, Marked> {
        let Some(key) = output.opt::<String>("key")? else { return Ok(None) };
        Ok(Some(key.split('.').map(str::to_owned).collect()))
    };
    let format = match name {
        "csv" => Format::Csv(csv(&output)?),
        "text" => Format::Text,
        "json" => Format::Json(key(&output)?.unwrap_or_default()),
        "npy" => Format::Npy,
        _ => Format::Toml(key(&output)?.unwrap_or_else(|| vec![STEM.into()])),
    };
    output.finish()?;
    Ok(Reader { file, format })
}

fn csv(output: &Section<'_>) -> Result<Csv, Marked> {
    let header = output.opt("header")?.unwrap_or(true);
    let skip = output.integer("skip", 0..=1_000_000)?.unwrap_or(0) as usize;
    let separator: String = output.opt("separator")?.unwrap_or_else(|| ",".into());
    let separator = match separator.as_bytes() {
        [one] if *one != b'\n' && *one != b'"' => *one,
        _ => {
            let label = "allowed: one sign, as `,` `;` or a tab `\"\\t\"`";
            return Err(output.wrong("separator", "`separator` is no single sign", label));
        }
    };
    let column = |section: &Section<'_>, key: &str| -> Result<Option<Column>, Marked> {
        let Some(node) = section.node(key) else { return Ok(None) };
        match &node.value {
            Value::Integer(k) if *k >= 1 => Ok(Some(Column::Number(*k as usize))),
            Value::Text(name) if header => Ok(Some(Column::Name(name.clone()))),
            _ => {
                let label = if header {
                    "allowed: a name of the heading, or a number from 1"
                } else {
                    "allowed with `header = false`: a number from 1"
                };
                Err(section.wrong(key, format!("`{key}` is no column"), label))
            }
        }
    };
    let single = column(output, "column")?;
    let mut columns: Vec<(Option<String>, Column)> = single.map(|c| (None, c)).into_iter().collect();
    if let Some(blocks) = output.section("columns")? {
        if !columns.is_empty() {
            let label = "either one column, or one per block";
            return Err(output.wrong("columns", "`column` and `columns` are both given", label));
        }
        for block in blocks.keys() {
            columns.extend(column(&blocks, block)?.map(|c| (Some(block.to_owned()), c)));
        }
    }
    Ok(Csv { columns, separator, skip, header })
}

fn mpi(model: &Section<'_>) -> Result<Option<Mpi>, Marked> {
    let Some(section) = model.section("mpi")? else { return Ok(None) };
    let ranks = section.integer("ranks", 1..=1_000_000)?;
    let ranks = ranks.ok_or_else(|| section.missing("ranks", "processes of one member"))? as usize;
    let launcher = match section.opt::<String>("launcher")? {
        None => None,
        Some(text) => match shlex::split(&text).filter(|words| !words.is_empty()) {
            Some(words) => Some(words),
            None => {
                let label = "allowed: a launcher with its options, `srun --mpi=pmix`";
                return Err(section.wrong("launcher", "`launcher` is no command line", label));
            }
        },
    };
    section.finish()?;
    Ok(Some(Mpi { ranks, launcher }))
}
