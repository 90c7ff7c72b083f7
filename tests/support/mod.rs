//! Helpers of the tests: run folders, tools, snapshots. Tests speak through the tools only.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod bow;
pub mod processes;
pub mod strace;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The folder of the built tools.
pub fn tools() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_ekp-init")).parent().unwrap().to_owned()
}

/// A folder of one test, removed at its end unless the test failed (or EKP_KEEP is set).
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ekp-test-{}-{number}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
    /// An executable script.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("EKP_KEEP").is_some() {
            eprintln!("kept: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Is what a test needs on this machine? If not the test says so and passes, or fails where all is required.
pub fn there(what: &str, found: bool) -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|v| v == value);
    let required = set("EKP_REQUIRE_ALL", "1") || set("CI", "true");
    assert!(found || !required, "{what} is not here, and EKP_REQUIRE_ALL=1 or CI=true asks for it");
    if !found {
        eprintln!("skipped: {what} is not here");
    }
    found
}

/// One call of a tool.
pub struct Tool(Command);

/// A tool in a folder, with the other tools on PATH and nothing of the caller's scheduler.
pub fn tool(name: &str, folder: &Path) -> Tool {
    let mut command = Command::new(tools().join(name));
    command.current_dir(folder).stdin(Stdio::null());
    clean(&mut command);
    Tool(command)
}

/// Any program in a folder, as [`tool`].
pub fn program(name: impl AsRef<OsStr>, folder: &Path) -> Tool {
    let mut command = Command::new(name);
    command.current_dir(folder).stdin(Stdio::null());
    clean(&mut command);
    Tool(command)
}

fn clean(command: &mut Command) {
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", tools().display())).env("LC_ALL", "C.UTF-8");
    for (name, _) in std::env::vars() {
        let scheduler = name.starts_with("SLURM_") || name.starts_with("SBATCH_");
        if (scheduler && name != "SLURM_CONF")
            || name == "MAKEFLAGS"
            || name == "MAKELEVEL"
            || name == "MFLAGS"
        {
            command.env_remove(name);
        }
    }
}

impl Tool {
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }
    pub fn command(self) -> Command {
        self.0
    }
    /// Run it to its end, whatever that is.
    pub fn run(mut self) -> Ended {
        let shown = format!("{:?}", self.0);
        let output = self.0.output().unwrap_or_else(|e| panic!("{shown}: {e}"));
        Ended { shown, output }
    }
    /// Run it, if it is there at all.
    pub fn try_run(mut self) -> Option<Ended> {
        let shown = format!("{:?}", self.0);
        self.0.output().ok().map(|output| Ended { shown, output })
    }
    pub fn succeeds(self) -> Ended {
        self.run().code(0)
    }
    pub fn fails(self, code: i32) -> Ended {
        self.run().code(code)
    }
}

/// How a tool ended.
pub struct Ended {
    shown: String,
    pub output: Output,
}

impl Ended {
    pub fn code(self, code: i32) -> Self {
        let found = self.output.status.code();
        assert_eq!(found, Some(code), "{}\n--- stdout\n{}--- stderr\n{}", self.shown, self.out(), self.err());
        self
    }
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
    pub fn says(self, text: &str) -> Self {
        assert!(self.err().contains(text), "{}\nstderr lacks {text:?}:\n{}", self.shown, self.err());
        self
    }
    pub fn prints(self, text: &str) -> Self {
        assert!(self.out().contains(text), "{}\nstdout lacks {text:?}:\n{}", self.shown, self.out());
        self
    }
}

/// A study: an experiment with its files, and the runs made from it.
pub struct Study {
    pub folder: Folder,
    experiment: toml::Table,
}

impl Study {
    /// The sinusoid of the examples: 20 members, at most 10 iterations.
    pub fn sinusoid(name: &str) -> Self {
        Self::example(name, "sinusoid")
    }

    /// A copy of an example.
    pub fn example(name: &str, example: &str) -> Self {
        let folder = Folder::new(name);
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        for entry in walkdir::WalkDir::new(&from) {
            let entry = entry.unwrap();
            let relative = entry.path().strip_prefix(&from).unwrap();
            if relative.starts_with("runs") {
                continue;
            }
            let to = folder.path().join(relative);
            if entry.file_type().is_dir() {
                fs::create_dir_all(&to).unwrap();
            } else {
                fs::copy(entry.path(), &to).unwrap();
            }
        }
        // Some examples have several experiments under names of their own.
        let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap_or_default();
        Self { experiment: text.parse().unwrap(), folder }
    }

    /// The linear toy with an external model: `y = offset + slope x` at five points, by `/bin/sh` and awk.
    pub fn external(name: &str) -> Self {
        let study = Self::started(name, "etki");
        fs::remove_file(study.folder.path().join("site.toml")).unwrap();
        study
    }

    /// The starter files of a method, as they are.
    pub fn started(name: &str, method: &str) -> Self {
        let folder = Folder::new(name);
        tool("ekp-init", folder.path()).args(["-q", "--new", method, "."]).succeeds();
        let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
        Self { experiment: text.parse().unwrap(), folder }
    }

    /// Set a value: `algorithm.members`.
    pub fn set(mut self, path: &str, value: impl Into<toml::Value>) -> Self {
        let mut keys: Vec<&str> = path.split('.').collect();
        let last = keys.pop().unwrap();
        let mut table = &mut self.experiment;
        for key in keys {
            let entry = table.entry(key).or_insert(toml::Value::Table(toml::Table::new()));
            table = entry.as_table_mut().unwrap();
        }
        table.insert(last.to_owned(), value.into());
        fs::write(self.folder.path().join("experiment.toml"), self.experiment.to_string()).unwrap();
        self
    }

    /// The name of one of its experiments.
    pub fn name(&self, experiment: &str) -> String {
        let text = fs::read_to_string(self.folder.path().join(experiment)).unwrap();
        text.parse::<toml::Table>().unwrap()["name"].as_str().unwrap().to_owned()
    }

    pub fn members(self, n: i64) -> Self {
        self.set("algorithm.members", n)
    }

    pub fn iterations(self, n: i64) -> Self {
        self.set("algorithm.iterations", n)
    }

    /// The model's script in place of the default one.
    pub fn model(self, script: &str) -> Self {
        self.folder.script("model.sh", script);
        self
    }

    /// Make a run folder of this name beside the experiment.
    pub fn init(&self, run: &str) -> TestRun {
        tool("ekp-init", self.folder.path()).args(["experiment.toml", run]).succeeds();
        TestRun { path: self.folder.path().join(run) }
    }
}

/// A run folder.
#[derive(Clone)]
pub struct TestRun {
    pub path: PathBuf,
}

impl TestRun {
    pub fn tool(&self, name: &str) -> Tool {
        tool(name, &self.path)
    }
    /// Carry it to its end by `ekp-launch` with these arguments.
    pub fn launch(&self, args: &[&str]) -> Ended {
        self.tool("ekp-launch").args(["."]).args(args).succeeds()
    }
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }
    pub fn toml(&self, name: &str) -> toml::Table {
        self.read(name).parse().unwrap_or_else(|e| panic!("{name}: {e}"))
    }
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }
    /// Mean of each parameter in `stop.toml`.
    pub fn result(&self) -> BTreeMap<String, (f64, f64)> {
        let stop = self.toml("stop.toml");
        let number = |t: &toml::Value, key: &str| t[key].as_float().unwrap();
        let entry =
            |t: &toml::Value| (t["name"].as_str().unwrap().to_owned(), (number(t, "mean"), number(t, "std")));
        stop["result"].as_array().unwrap().iter().map(entry).collect()
    }
    /// Every file with its bytes.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&self.path).into_iter().flatten() {
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(&self.path).unwrap().to_string_lossy().into_owned();
                // A file may be a passing one of a run under way.
                if let Ok(bytes) = fs::read(entry.path()) {
                    files.insert(name, bytes);
                }
            }
        }
        files
    }
    /// The files whose bytes are the same on every launcher (CONTRACT: all but timing, jobs, platform, tries,
    /// site, scripts, logs).
    pub fn science(&self) -> BTreeMap<String, Vec<u8>> {
        let machine = |name: &str| {
            name.ends_with("timing.toml")
                || name.ends_with(".sbatch")
                || ["Makefile", "site.toml"].contains(&name)
                || ["jobs/", "platform/", "logs/", "results/", "report/"].iter().any(|p| name.starts_with(p))
                || name.split('/').any(|part| part.starts_with("try_") || part.starts_with('.'))
        };
        self.snapshot().into_iter().filter(|(name, _)| !machine(name)).collect()
    }
}

/// Two runs have the same science, byte by byte.
pub fn same_science(a: &TestRun, b: &TestRun) {
    let (a, b) = (a.science(), b.science());
    let names = |m: &BTreeMap<String, Vec<u8>>| m.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b), "the same files");
    for (name, bytes) in &a {
        assert_eq!(String::from_utf8_lossy(bytes), String::from_utf8_lossy(&b[name]), "{name}");
    }
}

/// Compare with a golden file; `EKP_BLESS=1` rewrites it.
pub fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("EKP_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{} (EKP_BLESS=1 rewrites it)", path.display());
}
