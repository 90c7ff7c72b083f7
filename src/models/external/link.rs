//! Files of the user, linked into the working folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use crate::explain::reason;

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    /// What it points to: absolute
    pub(crate) from: PathBuf,
    /// Where it stands, below the working folder
    pub(crate) to: PathBuf,
}

impl Link {
    /// Make it; one that is there already stays when it is the same, and is replaced otherwise.
    pub(crate) fn make(&self, folder: &Path) -> io::Result<()> {
        let to = folder.join(&self.to);
        match symlink(&self.from, &to) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(&to).is_ok_and(|there| there == self.from) {
                    return Ok(());
                }
                fs::remove_file(&to)?;
                symlink(&self.from, &to)
            }
            made => made,
        }
    }
}

/// All links of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Links {
    links: Vec<Link>,
    /// Matched, but not linked: the model writes files of these names itself
    pub(crate) left_out: Vec<PathBuf>,
}

impl Links {
    /// What the patterns match below `base`; what lies elsewhere is linked under its own name. `own` are
    /// the files that are written in the working folder. An error names the pattern by its index.
    pub(crate) fn find(
        base: &Path,
        patterns: &[(String, Range<usize>)],
        own: &[&Path],
    ) -> Result<Self, (usize, String)> {
        let mut found: BTreeMap<PathBuf, (PathBuf, usize)> = BTreeMap::new();
        let mut left_out = Vec::new();
        for (k, (pattern, _)) in patterns.iter().enumerate() {
            for from in matches(base, pattern).map_err(|message| (k, message))? {
                let to = target(base, pattern, &from);
                if own.contains(&to.as_path()) {
                    left_out.push(to);
                    continue;
                }
                if let Some(inside) = own.iter().find(|own| own.starts_with(&to)) {
                    return Err((
                        k,
                        format!(
                            "the folder `{}` would be linked as a whole, and `{}` written into the original; list its files instead: `{}/*`",
                            to.display(),
                            inside.display(),
                            to.display()
                        ),
                    ));
                }
                match found.get(&to) {
                    Some((other, _)) if *other != from => {
                        let (a, b) = (other.display(), from.display());
                        return Err((
                            k,
                            format!("`{a}` and `{b}` would both be linked as `{}`", to.display()),
                        ));
                    }
                    _ => {
                        found.insert(to, (from, k));
                    }
                }
            }
        }
        // What lies in a folder that is itself linked is there already.
        let mut links: Vec<Link> = Vec::with_capacity(found.len());
        for (to, (from, _)) in found {
            if !links.iter().rev().any(|link| to.starts_with(&link.to)) {
                links.push(Link { from, to });
            }
        }
        Ok(Self { links, left_out })
    }

    /// All links, in the order of the list.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Link> {
        self.links.iter()
    }

    /// Is this path, relative to the working folder, there by a link?
    pub(crate) fn bring(&self, path: &Path) -> bool {
        self.links.iter().any(|link| path.starts_with(&link.to))
    }
}

/// Without `.` components.
pub(crate) fn plain(path: &Path) -> PathBuf {
    path.components().filter(|c| *c != Component::CurDir).collect()
}

fn matches(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let written = plain(Path::new(pattern));
    // Signs like `[` in the base are no pattern; `join` lets an absolute pattern win.
    let escaped = Path::new(&glob::Pattern::escape(&base.to_string_lossy())).join(&written);
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
    let paths = glob::glob_with(&escaped.to_string_lossy(), options);
    let paths =
        paths.map_err(|_| format!("`{pattern}` is no pattern: `[` needs a `]`, `**` stands between `/`"))?;
    let mut found = Vec::new();
    for path in paths {
        found.push(path.map_err(|e| format!("cannot read `{}`: {}", e.path().display(), reason(e.error())))?);
    }
    if found.is_empty() {
        return Err(format!("`{pattern}` matches nothing below `{}`", base.display()));
    }
    Ok(found)
}

fn target(base: &Path, pattern: &str, from: &Path) -> PathBuf {
    let outside =
        Path::new(pattern).components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir));
    match from.strip_prefix(base) {
        Ok(below) if !outside => below.to_owned(),
        _ => from.file_name().map_or_else(|| from.to_owned(), PathBuf::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::folder::Scratch;

    fn tree(dir: &Path) -> PathBuf {
        let base = dir.join("exp [1]");
        for file in ["model.sh", "log.txt", "grid/a.nc", "grid/b.nc", "grid/.hidden", "sub/deep/c"] {
            let path = base.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        fs::write(dir.join("shared.py"), "x").unwrap();
        base
    }

    fn find(base: &Path, patterns: &[&str], own: &[&str]) -> Result<Links, (usize, String)> {
        let patterns: Vec<_> = patterns.iter().map(|p| ((*p).to_owned(), 0..0)).collect();
        Links::find(base, &patterns, &own.iter().map(Path::new).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_keep_their_sub_paths_and_strangers_their_names() {
        let dir = Scratch::new("links").unwrap();
        let base = tree(dir.path());
        let links = find(&base, &["./model.sh", "grid/*", "sub", "sub/deep/c", "../shared.py"], &[]).unwrap();
        let to: Vec<_> = links.iter().map(|link| link.to.to_str().unwrap()).collect();
        assert_eq!(to, ["grid/a.nc", "grid/b.nc", "model.sh", "shared.py", "sub"]);
        assert!(links.bring(Path::new("sub/deep/c")) && !links.bring(Path::new("grid")));
        let work = dir.path().join("work");
        fs::create_dir_all(work.join("grid")).unwrap();
        for link in links.iter().chain(links.iter()) {
            link.make(&work).unwrap();
        }
        assert_eq!(fs::read_to_string(work.join("sub/deep/c")).unwrap(), "x");
        assert_eq!(fs::read_link(work.join("model.sh")).unwrap(), base.join("model.sh"));
    }

    #[test]
    fn what_the_model_writes_is_never_a_link_into_the_users_folder() {
        let dir = Scratch::new("own").unwrap();
        let base = tree(dir.path());
        let links = find(&base, &["*"], &["log.txt", "out.toml"]).unwrap();
        assert_eq!(links.left_out, [Path::new("log.txt")]);
        assert!(!links.bring(Path::new("log.txt")) && links.bring(Path::new("model.sh")));
        let (k, message) = find(&base, &["model.sh", "grid"], &["grid/run.nml"]).unwrap_err();
        assert!(k == 1 && message.contains("`grid/*`"), "{message}");
    }

    #[test]
    fn a_pattern_without_a_match_is_an_error() {
        let dir = Scratch::new("nothing").unwrap();
        let base = tree(dir.path());
        let (k, message) = find(&base, &["grid/*.nc", "gird/*.nc"], &[]).unwrap_err();
        assert!(k == 1 && message.contains("matches nothing"), "{message}");
        assert!(find(&base, &["a[", "x"], &[]).unwrap_err().1.contains("no pattern"));
    }
}
