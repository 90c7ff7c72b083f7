//! The documentation points at things that are there: files, headings, tools and their options.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Folder, program, tool};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, with its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = walkdir::WalkDir::new(root().join("docs")).into_iter().flatten().map(|e| e.path().to_owned());
    let examples = walkdir::WalkDir::new(root().join("examples")).max_depth(2).into_iter().flatten();
    let examples = examples.map(|e| e.path().to_owned());
    let top = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let mut paths: Vec<PathBuf> = docs.chain(examples).chain(top).collect();
    paths.retain(|path| {
        path.extension().is_some_and(|e| e == "md") && !path.starts_with(root().join("docs/book"))
    });
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The name that a heading has in a link.
fn anchor(heading: &str) -> String {
    let plain = heading.trim().trim_start_matches('#').trim().to_lowercase();
    let plain: String =
        plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).collect();
    plain.replace(' ', "-")
}

/// Text outside of fenced code.
fn prose(text: &str) -> String {
    let mut inside = false;
    let outside = |line: &&str| {
        inside ^= line.trim_start().starts_with("```");
        !inside
    };
    text.lines().filter(outside).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_link_of_the_documentation_points_at_something() {
    let mut faults = Vec::new();
    for (path, text) in pages() {
        for part in prose(&text).split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let there = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            // Measured on real hardware, and written with the measurements.
            if !there.exists() && !there.ends_with("performance.md") {
                faults.push(format!("{}: no `{target}`", path.display()));
            } else if !heading.is_empty() {
                let page = fs::read_to_string(&there).unwrap();
                if !page.lines().filter(|l| l.starts_with('#')).any(|l| anchor(l) == heading) {
                    faults.push(format!("{}: no heading for `{target}`", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let summary = fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    for (path, _) in pages() {
        if let Ok(name) = path.strip_prefix(root().join("docs"))
            && name != Path::new("SUMMARY.md")
        {
            assert!(summary.contains(&format!("({})", name.display())), "{} is missing", name.display());
        }
    }
}

/// What is code on a page: fenced lines, and `inline` pieces.
fn code(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut all = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if inside {
            all.push(line.to_owned());
        } else {
            all.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    all
}

/// Tools with the options that follow them on a line of code.
fn calls(line: &str) -> Vec<(String, Vec<String>)> {
    let mut calls: Vec<(String, Vec<String>)> = Vec::new();
    let (mut open, mut quoted) = (false, false);
    // What follows a wide gap, or a `#`, is said about the command.
    let command = line.trim_start().split("   ").next().unwrap().split(" #").next().unwrap();
    for word in command.split_whitespace() {
        // An option inside quotes belongs to another program.
        let inside = quoted;
        quoted ^= word.matches('\'').count() % 2 == 1;
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '-');
        let name = bare.strip_prefix("ekp-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        });
        if name {
            calls.push((bare.to_owned(), Vec::new()));
            open = true;
        } else if ["|", "||", "&&", ";", "&"].contains(&word) {
            open = false;
        } else if let (true, Some((_, options))) = (open, calls.last_mut())
            && !inside
            && bare.starts_with('-')
            && bare.len() > 1
            && !bare.as_bytes()[1].is_ascii_digit()
        {
            options.push(bare.split('=').next().unwrap().to_owned());
        }
        open &= !word.ends_with(';');
    }
    calls
}

#[test]
fn every_tool_and_option_of_the_documentation_exists() {
    let mut helps: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut faults = BTreeSet::new();
    for (path, text) in pages() {
        for (name, options) in code(&text).iter().flat_map(|line| calls(line)) {
            if !root().join(format!("src/bin/{name}.rs")).exists() {
                faults.insert(format!("{}: there is no `{name}`", path.display()));
                continue;
            }
            let known = helps.entry(name.clone()).or_insert_with(|| {
                let help = tool(&name, root()).args(["--help"]).succeeds().out();
                let words = help.split(|c: char| c.is_whitespace() || c == ',' || c == '=');
                words.filter(|w| w.starts_with('-')).map(str::to_owned).collect()
            });
            for option in options.iter().filter(|option| !known.contains(*option)) {
                faults.insert(format!("{}: `{name}` has no `{option}`", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_tool_is_on_the_page_of_tools() {
    let page = fs::read_to_string(root().join("docs/tools.md")).unwrap();
    for entry in fs::read_dir(root().join("src/bin")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().replace(".rs", "");
        assert!(name == "ekp-manual" || page.contains(&format!("## {name}\n")), "`{name}` is missing");
    }
}

#[test]
fn the_commands_of_the_first_pages_work_as_they_stand() {
    let fortran = program("gfortran", root()).args(["--version"]).command().output().is_ok();
    for name in ["README.md", "docs/quick_start.md", "docs/your_model.md"] {
        // Given all shell blocks of a page, but those that build, or want a compiler that is not here
        let page = fs::read_to_string(root().join(name)).unwrap();
        let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        let blocks =
            blocks.filter(|block| !block.starts_with("make ") && (fortran || !block.contains("gfortran")));
        let folder = Folder::new("commands");
        folder.write("all.sh", &blocks.collect::<Vec<_>>().join("\n"));
        // When a newcomer types them one after the other
        let typed = program("bash", folder.path()).args(["-euo", "pipefail", "all.sh"]).env("EDITOR", "true");
        let typed = typed.env("TMPDIR", folder.path()).succeeds();
        // Then a run is at its end
        assert!(typed.err().contains("the result is") || name.ends_with("your_model.md"), "{}", typed.err());
    }
}
