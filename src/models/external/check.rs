//! What can be known before the first member runs.

use std::path::{Path, PathBuf};

use crate::explain::Marked;
use crate::machine::process;
use crate::models::external::argument::Word;
use crate::models::external::template::{BadTemplate, Template};
use crate::models::external::{External, LOG, interpreter};

/// The first thing that would make every member fail; else warnings.
pub(crate) fn check(external: &External, names: &[(String, usize)]) -> Result<Vec<String>, Marked> {
    check_with(external, names, true)
}

/// The same; `every` parameter must reach the model.
pub(crate) fn check_with(
    external: &External,
    names: &[(String, usize)],
    every: bool,
) -> Result<Vec<String>, Marked> {
    let mut warnings = Vec::new();
    let links = external.links().map_err(|(k, message)| {
        let span = external.patterns.get(k).map_or(0..0, |(_, span)| span.clone());
        let label =
            "allowed: a file, or a pattern such as `grid/*.nc`; relative to the folder of the experiment";
        Marked::new(&external.source, span, message, label)
    })?;
    for path in &links.left_out {
        let kind = if path == Path::new(LOG) { "its log" } else { "its own file" };
        warnings.push(format!("`{}` is not linked: the model writes {kind} of that name", path.display()));
    }
    templates(external, names, every)?;
    let fault = |title: String, label: &str, hint: String| {
        Err(Marked::new(&external.source, external.command_span.clone(), title, label).hint(hint))
    };
    let found = match external.program.lookup(&links, &external.base) {
        Err(message) => {
            let label = "a name without `/` is looked for in `PATH`";
            let hint = "load its module first, or write its path: `./model.sh` beside the experiment";
            return fault(message, label, hint.into());
        }
        Ok(None) => return Ok(warnings), // depends on the member
        Ok(Some(path)) if path.is_absolute() => path,
        // A link: what it points to. A filled template: nothing to look at yet.
        Ok(Some(below)) => match original(external, &links, &below) {
            Some(path) => path,
            None => return Ok(warnings),
        },
    };
    if !found.exists() {
        let label = "relative to the folder of the experiment";
        let hint = "is it to be built first, or is the name misspelt?";
        return fault(format!("there is no program `{}`", found.display()), label, hint.into());
    }
    if found.is_dir() {
        let hint = "name the program in it";
        return fault(format!("`{}` is a folder", found.display()), "allowed: a program", hint.into());
    }
    if !process::is_executable(&found) {
        let title = format!("`{}` is not executable", found.display());
        return fault(title, "it could not be started", format!("`chmod +x {}`", found.display()));
    }
    if let Some((defect, hint)) = interpreter::defect(&found) {
        return fault(defect, "it could not be started", hint.into());
    }
    if let Some(mpi) = &external.mpi
        && process::find(Path::new(&mpi.launcher_name())).is_none()
    {
        let name = mpi.launcher_name();
        warnings
            .push(format!("the MPI launcher `{name}` is not in `PATH` here; it must be where members run"));
    }
    Ok(warnings)
}

/// Every hole has a parameter, and every parameter reaches the model.
fn templates(external: &External, names: &[(String, usize)], every: bool) -> Result<(), Marked> {
    let mut used = vec![false; names.iter().map(|(_, length)| length).sum()];
    for declared in &external.templates {
        let loaded = Template::load(&external.base.join(&declared.from), &declared.to);
        let template = loaded.map_err(|bad| match bad {
            BadTemplate::Marked(marked) => marked,
            read => {
                let label = "relative to the folder of the experiment";
                Marked::new(&external.source, declared.from_span.clone(), read.to_string(), label)
            }
        })?;
        for bound in template.bind(names)? {
            used[bound.row] = true;
        }
    }
    // A model that reads parameters.toml sees all of them anyway; so may one that is told nothing.
    if !every
        || external.templates.is_empty()
        || external.command.iter().any(|arg| arg.names(Word::Parameters))
    {
        return Ok(());
    }
    let mut row = 0;
    for (name, length) in names {
        if let Some(k) = (0..*length).find(|k| !used[row + k]) {
            let hole = if *length == 1 { name.clone() } else { format!("{name}[{}]", k + 1) };
            let span = external.templates.first().map_or(0..0, |t| t.from_span.clone());
            let title = format!("no template uses the parameter `{hole}`");
            let label = format!("write `{{{{{hole}}}}}` where the model is to read it");
            let marked = Marked::new(&external.source, span, title, label);
            return Err(
                marked.hint("or leave it out of `names` in `[prior]`, or pass `{parameters}` in the command")
            );
        }
        row += length;
    }
    Ok(())
}

/// The file behind a path of the working folder.
fn original(external: &External, links: &super::link::Links, below: &Path) -> Option<PathBuf> {
    if external.templates.iter().any(|t| t.to == below) {
        return None;
    }
    let link = links.iter().find(|link| below.starts_with(&link.to))?;
    let rest = below.strip_prefix(&link.to).ok()?;
    Some(if rest == Path::new("") { link.from.clone() } else { link.from.join(rest) })
}
