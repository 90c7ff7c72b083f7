//! Bad input: every fault is told completely, ends with 2, and leaves nothing behind.
//!
//! A case is a sound study with one thing spoilt. What the tool says is compared, whole, with
//! `tests/golden/bad_input/NAME.txt` (EKP_BLESS=1 rewrites them): read them as a tired person at midnight.

mod adopt;
mod commands;
mod experiment;
mod grids;
mod model;
mod observation;
mod prior;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::{Folder, golden, tool};

const EXPERIMENT: &str = r#"schema = "ekp.experiment"
version = 1
name = "study"
seed = 42

[model]
builtin = "sinusoid"

[prior]
file = "priors.toml"

[observation]
file = "observation.toml"

[algorithm]
method = "etki"
members = 20
iterations = 10
"#;

/// The same with a program: it is never started.
const COMMAND: &str = r#"schema = "ekp.experiment"
version = 1
name = "study"
seed = 42

[model]
command = ["./model.sh", "{parameters}", "{data}"]
files = ["model.sh"]

[prior]
file = "priors.toml"

[observation]
file = "observation.toml"

[algorithm]
members = 20
iterations = 10
"#;

const PRIORS: &str = r#"[amplitude]
prior = "constrained_gaussian(amplitude, 2, 1, 0, Inf)"
type = "float"

[vert_shift]
prior = "Parameterized(Normal(0, 5))"
constraint = "no_constraint()"

[gravity]
value = 9.81

[known]
prior = "fixed"
value = 1.0
"#;

const OBSERVATION: &str = r#"schema = "ekp.observation"
version = 1

[[block]]
name = "y"
y = [3.0, 7.0]
covariance = { scalar = 0.1 }
"#;

const SITE: &str = r#"[slurm]
partition = "compute"
time = "01:00:00"

[local]
workers = 2
"#;

enum Spoilt {
    Text(String),
    Bytes(Vec<u8>),
    Folder,
    Loop,
    Mode(u32),
    Gone,
}

/// A study with one fault.
pub(crate) struct Case {
    name: &'static str,
    tool: &'static str,
    args: Vec<&'static str>,
    files: Vec<(&'static str, Spoilt)>,
    /// `ekp-init experiment.toml run` is done before anything is spoilt
    made: bool,
}

pub(crate) fn case(name: &'static str) -> Case {
    let args = vec!["experiment.toml"];
    Case { name, tool: "ekp-init", args, files: Vec::new(), made: false }
}

impl Case {
    /// A file with another text.
    pub(crate) fn file(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.files.push((name, Spoilt::Text(text.into())));
        self
    }
    pub(crate) fn bytes(mut self, name: &'static str, bytes: &[u8]) -> Self {
        self.files.push((name, Spoilt::Bytes(bytes.to_vec())));
        self
    }
    pub(crate) fn gone(mut self, name: &'static str) -> Self {
        self.files.push((name, Spoilt::Gone));
        self
    }
    pub(crate) fn folder(mut self, name: &'static str) -> Self {
        self.files.push((name, Spoilt::Folder));
        self
    }
    pub(crate) fn mode(mut self, name: &'static str, mode: u32) -> Self {
        self.files.push((name, Spoilt::Mode(mode)));
        self
    }
    /// A file that nobody can read, not even root: a link to itself.
    pub(crate) fn unreadable(mut self, name: &'static str) -> Self {
        self.files.push((name, Spoilt::Loop));
        self
    }
    pub(crate) fn tool(mut self, tool: &'static str, args: &[&'static str]) -> Self {
        (self.tool, self.args) = (tool, args.to_vec());
        self
    }
    pub(crate) fn init(self, args: &[&'static str]) -> Self {
        self.tool("ekp-init", args)
    }
    pub(crate) fn made(mut self) -> Self {
        self.made = true;
        self
    }
    fn edited(self, file: &'static str, text: &str, from: &str, to: &str) -> Self {
        assert!(text.contains(from), "{}: {file} has no {from:?}", self.name);
        self.file(file, text.replacen(from, to, 1))
    }

    fn run(&self) -> Result<String, String> {
        let folder = Folder::new(self.name);
        let path = folder.path();
        for (name, text) in [
            ("experiment.toml", EXPERIMENT),
            ("priors.toml", PRIORS),
            ("observation.toml", OBSERVATION),
            ("site.toml", SITE),
        ] {
            folder.write(name, text);
        }
        folder.script("model.sh", "#!/bin/sh\n");
        if self.made {
            tool("ekp-init", path).args(["-q", "experiment.toml", "run"]).succeeds();
        }
        for (name, spoilt) in &self.files {
            let file = path.join(name);
            match spoilt {
                Spoilt::Text(text) => drop(folder.write(name, text)),
                Spoilt::Bytes(bytes) => fs::write(&file, bytes).unwrap(),
                Spoilt::Mode(mode) => fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap(),
                Spoilt::Folder | Spoilt::Loop | Spoilt::Gone => {
                    let _ = fs::remove_file(&file);
                    match spoilt {
                        Spoilt::Folder => fs::create_dir_all(&file).unwrap(),
                        Spoilt::Loop => symlink(&file, &file).unwrap(),
                        _ => {}
                    }
                }
            }
        }
        let before = listing(path);
        let ended = tool(self.tool, path).args(&self.args).run();
        let found = ended.err().replace(&path.display().to_string(), "DIR");
        if ended.output.status.code() != Some(2) {
            return Err(format!("ended with {:?}, not 2\n{found}", ended.output.status));
        }
        if !ended.out().is_empty() {
            return Err(format!("printed on stdout: {}", ended.out()));
        }
        let after = listing(path);
        if before != after {
            return Err(format!("left something behind: {before:?} became {after:?}"));
        }
        Ok(format!("$ {} {}\n{found}", self.tool, self.args.join(" ")))
    }
}

/// The experiment with `from` replaced by `to`.
pub(crate) fn experiment(name: &'static str, from: &str, to: &str) -> Case {
    case(name).edited("experiment.toml", EXPERIMENT, from, to)
}

/// The experiment with a command, and `from` replaced by `to`.
pub(crate) fn command(name: &'static str, from: &str, to: &str) -> Case {
    case(name).edited("experiment.toml", COMMAND, from, to)
}

/// The prior of `vert_shift` with these keys in place of its own.
pub(crate) fn prior(name: &'static str, keys: &str) -> Case {
    let own = "prior = \"Parameterized(Normal(0, 5))\"\nconstraint = \"no_constraint()\"";
    case(name).edited("priors.toml", PRIORS, own, keys)
}

/// The observation with `from` replaced by `to`.
pub(crate) fn observation(name: &'static str, from: &str, to: &str) -> Case {
    case(name).edited("observation.toml", OBSERVATION, from, to)
}

/// A site.
pub(crate) fn site(name: &'static str, text: &str) -> Case {
    case(name).file("site.toml", text)
}

/// Every name below a folder with its bytes: what a failed tool must not change.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    entries
        .map(|e| {
            let name = e.path().strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            (name, if e.file_type().is_file() { fs::read(e.path()).unwrap_or_default() } else { Vec::new() })
        })
        .collect()
}

/// Words of the language or of its libraries that no person should meet.
const LEAKS: [&str; 12] = [
    "panicked",
    "unwrap",
    "Some(",
    "None",
    "Err(",
    "Ok(",
    "os error",
    "ParseIntError",
    "PathBuf",
    "Utf8Error",
    "NotFound",
    "src/",
];

fn all(cases: Vec<Case>) {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for case in &cases {
        assert!(seen.insert(case.name), "two cases are called {}", case.name);
        match case.run() {
            Ok(text) => {
                let leak = LEAKS.iter().find(|leak| text.contains(**leak));
                if let Some(leak) = leak {
                    faults.push(format!("{}: says {leak:?}\n{text}", case.name));
                }
                let name = format!("bad_input/{}.txt", case.name);
                let same = std::panic::catch_unwind(|| golden(&name, &text));
                if same.is_err() {
                    faults.push(format!("{}: says something else now", case.name));
                }
            }
            Err(fault) => faults.push(format!("{}: {fault}", case.name)),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn a_bad_experiment_is_explained_and_leaves_nothing() {
    all(experiment::cases());
}

#[test]
fn a_bad_model_table_is_explained_and_leaves_nothing() {
    all(model::cases());
}

#[test]
fn a_bad_prior_is_explained_and_leaves_nothing() {
    all(prior::cases());
}

#[test]
fn a_bad_observation_is_explained_and_leaves_nothing() {
    all(observation::cases());
}

#[test]
fn a_bad_site_is_explained_and_leaves_nothing() {
    all(site::cases());
}

#[test]
fn a_bad_command_line_is_explained_and_leaves_nothing() {
    all(commands::cases());
}

#[test]
fn a_bad_grid_on_the_command_line_is_marked_where_it_was_typed() {
    all(grids::cases());
}

#[test]
fn a_bad_folder_to_adopt_is_explained_and_leaves_nothing() {
    all(adopt::cases());
}

#[test]
fn every_golden_text_belongs_to_a_case() {
    let cases = [
        experiment::cases(),
        model::cases(),
        prior::cases(),
        observation::cases(),
        site::cases(),
        commands::cases(),
        grids::cases(),
        adopt::cases(),
    ];
    let names: BTreeSet<String> = cases.iter().flatten().map(|c| format!("{}.txt", c.name)).collect();
    assert_eq!(names.len(), cases.iter().map(Vec::len).sum::<usize>(), "each name once");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/bad_input");
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(names.contains(&name), "no case writes {name}");
    }
}
