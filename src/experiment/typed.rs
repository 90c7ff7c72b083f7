//! Where a fault was typed, when it came with a `--set` and not with the file.
//!
//! Settings are put into the text of the file before anything reads it; a fault found there is moved back into the
//! setting, to the very letters where it holds their text. Not here: putting them in (`copy`).

use std::ops::Range;

use toml_edit::{Document, TableLike};

use crate::explain::Marked;

/// Which setting a fault lies in, and which of its bytes, in a text that `with_settings` made; none where the text was
/// so `before`.
pub fn setting_at(fault: &Marked, before: &str, settings: &[String]) -> Option<(usize, Range<usize>)> {
    let (text, at) = (fault.source().text.as_str(), fault.span());
    let document = Document::parse(text).ok();
    let places: Vec<Option<(Range<usize>, Range<usize>)>> =
        settings.iter().map(|setting| place(document.as_ref()?, setting)).collect();
    let holds =
        |outer: &Range<usize>, inner: &Range<usize>| outer.start <= inner.start && inner.end <= outer.end;
    // The last of them counts, where two set the same.
    for (k, (setting, place)) in settings.iter().zip(&places).enumerate().rev() {
        match place {
            Some((key, _)) if holds(key, &at) => return Some((k, 0..setting.len())),
            Some((_, value)) if holds(value, &at) => {
                let from = typed(setting, &text[value.clone()]).filter(|_| at != *value);
                let within = |from| from + at.start - value.start..from + at.end - value.start;
                return Some((k, from.map_or(0..setting.len(), within)));
            }
            _ => {}
        }
    }
    let line = fault.text().trim();
    if before.lines().any(|old| old.trim() == line) {
        return None;
    }
    let key = line.split_once('=').map(|(key, _)| key.trim().trim_start_matches('{').trim());
    let last = settings.iter().rposition(|setting| key.is_some() && keys(setting).last().copied() == key);
    // A table that is wrong as a whole: the last setting in it.
    let k =
        last.or_else(|| places.iter().rposition(|p| p.as_ref().is_some_and(|(_, value)| holds(&at, value))))?;
    Some((k, 0..settings[k].len()))
}

/// Where a fault stands in the file as it was `before` settings, if its line is there and only once: they may have
/// moved it.
pub fn line_before(fault: &Marked, before: &str) -> Option<Range<usize>> {
    let (text, at) = (fault.source().text.as_str(), fault.span());
    let begin = text[..at.start].rfind('\n').map_or(0, |end| end + 1);
    let line = fault.text();
    let once = |text: &str| text.lines().filter(|other| *other == line).count() == 1;
    if at.end > begin + line.len() || !once(text) || !once(before) {
        return None;
    }
    let offset = |other: &str| other.as_ptr().addr() - before.as_ptr().addr();
    let from = offset(before.lines().find(|other| *other == line)?);
    Some(from + at.start - begin..from + at.end - begin)
}

/// The keys of a setting's path.
fn keys(setting: &str) -> Vec<&str> {
    setting.split('=').next().unwrap_or_default().split('.').map(str::trim).collect()
}

/// The bytes of a setting's last key and of its value in the text.
fn place(document: &Document<&str>, setting: &str) -> Option<(Range<usize>, Range<usize>)> {
    let keys = keys(setting);
    let (last, tables) = keys.split_last()?;
    let mut table: &dyn TableLike = document.as_table();
    for key in tables {
        table = table.get(key)?.as_table_like()?;
    }
    let (key, item) = table.get_key_value(last)?;
    Some((key.span()?, item.span()?))
}

/// Where the value of a setting begins, if it stands in the text as it was typed: a bare word is quoted there.
fn typed(setting: &str, value: &str) -> Option<usize> {
    let (_, given) = setting.split_once('=')?;
    (given.trim() == value).then(|| setting.len() - given.trim_start().len())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::experiment::with_settings;
    use crate::explain::Source;

    /// What of the settings is marked for a fault at `found` in the text with them.
    fn marked(before: &str, settings: &[&str], found: &str) -> Option<String> {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let text = with_settings(before, &settings).unwrap();
        let from = text.find(found).unwrap_or_else(|| panic!("{found}: {text}"));
        let source = Source::new(Path::new("e.toml"), text);
        let fault = Marked::new(&source, from..from + found.len(), "wrong", "so");
        setting_at(&fault, before, &settings).map(|(k, span)| settings[k][span].to_owned())
    }

    const FILE: &str = "seed = 1\n[inputs]\nchunk = 4\ngrid = { a = [1, 2], b = { linspace = [0, 1, 5] } }\n";

    #[test]
    fn a_fault_within_a_value_is_marked_by_its_letters() {
        let one = |setting: &str, found: &str| marked(FILE, &["seed=2", setting], found).unwrap();
        assert_eq!(one("inputs.grid.a=[1, 'x']", "'x'"), "'x'");
        assert_eq!(one("inputs.grid.b={linspaec=[0,1]}", "linspaec"), "linspaec");
        assert_eq!(one("inputs.grid.b = { linspace = [0, 9] }", "[0, 9]"), "[0, 9]");
        assert_eq!(one("inputs.grid={ a = [7], b = [\"ü\", 8] }", "8"), "8");
    }

    #[test]
    fn a_wrong_key_value_or_table_is_marked_by_its_setting() {
        let one = |settings: &[&str], found: &str| marked(FILE, settings, found);
        assert_eq!(one(&["inputs.chunk=0"], "0").as_deref(), Some("inputs.chunk=0"));
        assert_eq!(one(&["inputs.chunck=3"], "chunck").as_deref(), Some("inputs.chunck=3"));
        assert_eq!(one(&["seed=word"], "\"word\"").as_deref(), Some("seed=word"));
        // Two set the same: the last counts. A table that is wrong as a whole has the last setting within
        assert_eq!(one(&["seed=2", "seed=3"], "3").as_deref(), Some("seed=3"));
        let whole = "{ a = [3], b = { linspace = [0, 1, 5] } }";
        assert_eq!(
            one(&["inputs.grid.a=[3]", "inputs.chunk=1"], whole).as_deref(),
            Some("inputs.grid.a=[3]")
        );
        // What was in the file before is no fault of a setting
        assert_eq!(one(&["inputs.chunk=1"], "[1, 2]"), None);
        assert_eq!(one(&["inputs.prior=5"], "grid"), None);
    }

    #[test]
    fn a_line_that_settings_moved_is_found_again_where_it_was() {
        let before = "axis = [1]\n\n[a]\nx = 1\ny = 2\n[b]\nx = 1\n";
        let text = "axis = [\n1,\n2]\n[a]\nx = 1\ny = 2\n[b]\nx = 1\n";
        let source = Source::new(Path::new("e.toml"), text);
        let at = |found: &str| {
            let from = text.find(found).unwrap();
            line_before(&Marked::new(&source, from..from + found.len(), "wrong", "so"), before)
        };
        assert_eq!(at("2\n[b]").map(|span| before[span].to_owned()), None, "two lines");
        assert_eq!(at("y").map(|span| before[span].to_owned()).as_deref(), Some("y"));
        assert_eq!((at("x = 1"), at("2]")), (None, None), "twice; not there");
    }
}
