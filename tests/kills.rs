//! A tool dies, or the disk is full, at any point where it changes something: the run goes on to the same bytes.
//!
//! Faults are injected from outside, by `strace -e inject=SYSCALL:…:when=N`: the N-th call of that name ends
//! the process (`signal=SIGKILL`, before the call does anything) or is answered with an error
//! (`error=ENOSPC`). So the tools under test are the ones that users run: a seam in production code would
//! test the seam, and would miss every call that nobody thought of. A first, undisturbed run under strace
//! lists the calls that change the disk; then each of them is hit once, on a fresh copy of the run.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use crate::support::strace::{record, strace, strace_alone, there};
use crate::support::{Folder, Study, TestRun, same_science, tool};

/// Everything that changes what is on a disk.
const CALLS: &str = "openat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,write,fsync";
/// Those that a full disk may refuse.
const NEED_SPACE: [&str; 8] = ["openat", "mkdir", "rename", "renameat2", "link", "linkat", "write", "fsync"];

/// Where everything happens: always in the same folder, whose path stands in `run.toml`.
struct Stage {
    folder: Folder,
    /// The study as it is worked on
    place: PathBuf,
    /// The run that nothing disturbed
    quiet: TestRun,
}

/// One tool call on a run that stands at a certain point.
struct Scene {
    /// The study before the call
    before: PathBuf,
    tool: &'static str,
    args: &'static [&'static str],
}

impl Stage {
    /// With three members and two iterations.
    fn new(study: Study) -> Self {
        let study = study.members(3).iterations(2);
        let folder = Folder::new("stage");
        let place = folder.path().join("study");
        let quiet = TestRun { path: folder.path().join("quiet/run") };
        copy(study.folder.path(), &folder.path().join("fresh"));
        let stage = Self { folder, place, quiet };
        stage.scene("quiet", LAUNCH, &[INIT, LAUNCH]);
        stage
    }

    /// The study after these calls, kept under a name.
    fn scene(&self, name: &str, (tool, args): Call, before: &[Call]) -> Scene {
        self.set(&self.folder.path().join("fresh"));
        for (tool_before, args) in before {
            crate::support::tool(tool_before, &self.place).args(*args).succeeds();
        }
        let kept = self.folder.path().join(name);
        fs::rename(&self.place, &kept).unwrap();
        Scene { before: kept, tool, args }
    }

    fn set(&self, from: &Path) {
        let _ = fs::remove_dir_all(&self.place);
        copy(from, &self.place);
    }

    /// Hit each call of a scene once; returns how many points there were.
    fn every_point(&self, scene: &Scene, fault: Fault, every: usize) -> usize {
        let run = TestRun { path: self.place.join("run") };
        self.set(&scene.before);
        let (ended, calls) = record(CALLS, scene.tool, &self.place, scene.args);
        ended.code(0);
        // The tool itself, not the model it starts
        let own = calls.first().map(|c| c.pid.clone());
        let calls = calls.into_iter().filter(|c| Some(&c.pid) == own.as_ref());
        let points: Vec<_> =
            calls.filter(|c| c.changes() && c.succeeded() && fault.may_hit(&c.name)).step_by(every).collect();
        for point in &points {
            self.set(&scene.before);
            let inject = format!("inject={}:{}:when={}", point.name, fault.word(), point.number);
            let options = ["-e", &format!("trace={}", point.name), "-e", &inject];
            let log = self.folder.path().join("log");
            let ended = strace_alone(&options, &log, scene.tool, &self.place).args(scene.args).run();
            let what = format!("{} {fault:?} at {} {}({}", scene.tool, point.number, point.name, point.text);
            match fault {
                Fault::Kill => assert_eq!(ended.output.status.signal(), Some(libc::SIGKILL), "{what}"),
                // Some calls are a courtesy (`platform/`): without them the tool does its work.
                Fault::Full if ended.output.status.success() => {}
                Fault::Full => {
                    let said = ended.err();
                    assert_eq!(ended.output.status.code(), Some(1), "{what}\n{said}");
                    assert_eq!(said.matches("error: ").count(), 1, "{what}: one error\n{said}");
                    assert!(
                        said.contains("cannot ") && said.to_lowercase().contains("no space left"),
                        "{what}\n{said}"
                    );
                    assert!(said.contains("hint: the disk is full: free space"), "{what}\n{said}");
                    let named =
                        [self.place.to_str().unwrap(), "run"].iter().any(|p| said.contains(&format!("`{p}")));
                    assert!(named, "{what}: names the path\n{said}");
                    let left = hidden(&self.place);
                    assert!(left.is_empty(), "{what}: left half made {left:?}");
                }
            }
            if !run.has("run.toml") {
                tool("ekp-init", &self.place).args(INIT.1).succeeds();
            }
            run.launch(&["-q", "--on", "threads", "--workers", "1"]);
            telling(&what, || same_science(&self.quiet, &run));
        }
        points.len()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    Full,
}

impl Fault {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "signal=SIGKILL",
            Self::Full => "error=ENOSPC",
        }
    }
    fn may_hit(self, call: &str) -> bool {
        self == Self::Kill || NEED_SPACE.contains(&call)
    }
}

fn telling(what: &str, check: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)) {
        eprintln!("after {what}");
        std::panic::resume_unwind(panic);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in walkdir::WalkDir::new(from) {
        let entry = entry.unwrap();
        let to = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs::create_dir(&to).unwrap();
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Names that begin with a dot: what is half made.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let names = walkdir::WalkDir::new(folder).into_iter().flatten();
    names.filter(|e| e.file_name().to_string_lossy().starts_with('.')).map(|e| e.path().to_owned()).collect()
}

type Call = (&'static str, &'static [&'static str]);

const INIT: Call = ("ekp-init", &["-q", "experiment.toml", "run"]);
const ENSEMBLE: Call = ("ekp-init-ensemble", &["-q", "run"]);
const MEMBER: Call = ("ekp-run-member", &["-q", "run", "-i", "0", "-m", "2"]);
const MEMBERS: Call = ("ekp-run-member", &["-q", "run", "-i", "0", "-m", "1-3"]);
const UPDATE: Call = ("ekp-update", &["-q", "run", "-i", "0"]);
const LAST_MEMBERS: Call = ("ekp-run-member", &["-q", "run", "-i", "1", "-m", "1-3"]);
const LAST_UPDATE: Call = ("ekp-update", &["-q", "run", "-i", "1"]);
const LAUNCH: Call = ("ekp-launch", &["-q", "run", "--on", "threads", "--workers", "1"]);

/// Every call in its place, and one that makes all of them in one process.
const SCENES: [(&str, Call, &[Call]); 6] = [
    ("init", INIT, &[]),
    ("ensemble", ENSEMBLE, &[INIT]),
    ("member", MEMBER, &[INIT, ENSEMBLE]),
    ("update", UPDATE, &[INIT, ENSEMBLE, MEMBERS]),
    ("last", LAST_UPDATE, &[INIT, ENSEMBLE, MEMBERS, UPDATE, LAST_MEMBERS]),
    ("launch", LAUNCH, &[INIT]),
];

fn everywhere(fault: Fault) {
    if !there() {
        return;
    }
    let stage = Stage::new(Study::sinusoid("study"));
    let mut points: Vec<(&str, usize)> = SCENES
        .iter()
        .map(|(name, call, before)| {
            // A full disk is met by each tool above; a launch makes the same calls.
            let every = if *name == "launch" && fault == Fault::Full { 3 } else { 1 };
            (*name, stage.every_point(&stage.scene(name, *call, before), fault, every))
        })
        .collect();
    // A program of its own: a working folder, links, a log
    let stage = Stage::new(Study::external("external"));
    let scene = stage.scene("member", MEMBER, &[INIT, ENSEMBLE]);
    points.push(("external", stage.every_point(&scene, fault, 1)));
    eprintln!("{fault:?}: {points:?}");
    // Each publication has several points: a list that shrinks has lost sight of them.
    assert!(points.iter().all(|(_, n)| *n >= 5), "{points:?}");
}

#[test]
fn killed_at_any_point_the_run_ends_with_the_same_bytes() {
    everywhere(Fault::Kill);
}

#[test]
fn on_a_full_disk_each_tool_says_so_and_the_run_ends_with_the_same_bytes() {
    everywhere(Fault::Full);
}

#[test]
fn where_links_are_refused_a_name_is_reserved_and_a_kill_in_between_does_not_block_the_run() {
    if !there() {
        return;
    }
    let stage = Stage::new(Study::sinusoid("links"));
    let refused = "inject=linkat:error=EPERM";
    let mut points = 0;
    for (name, call, before) in [SCENES[2], SCENES[3]] {
        let scene = stage.scene(name, call, before);
        let log = stage.folder.path().join("log");
        // At each rename: what was reserved before it stays empty
        for when in 1.. {
            stage.set(&scene.before);
            let inject = format!("inject=rename:signal=SIGKILL:when={when}");
            let options = ["-e", "trace=linkat,rename", "-e", refused, "-e", &inject];
            let ended = strace(&options, &log, scene.tool, &stage.place).args(scene.args).run();
            let options = ["-e", "trace=linkat", "-e", refused];
            let resumed = strace(&options, &log, "ekp-launch", &stage.place).args(LAUNCH.1).run();
            resumed.code(0);
            same_science(&stage.quiet, &TestRun { path: stage.place.join("run") });
            if ended.output.status.success() {
                break;
            }
            points += 1;
        }
    }
    assert!(points >= 5, "{points}");
}

#[test]
fn what_must_survive_a_power_loss_is_synced_before_it_gets_its_name() {
    if !there() {
        return;
    }
    let stage = Stage::new(Study::sinusoid("synced"));
    stage.set(&stage.folder.path().join("fresh"));
    let mut synced = Vec::new();
    for (tool, args) in [INIT, LAUNCH] {
        let log = stage.folder.path().join("log");
        strace(&["-y", "-e", "trace=fsync,fdatasync"], &log, tool, &stage.place).args(args).succeeds();
        let text = fs::read_to_string(&log).unwrap();
        synced.extend(text.lines().filter_map(|l| Some(l.split_once('<')?.1.split_once('>')?.0.to_owned())));
    }
    for name in [
        "run.toml",
        "experiment.toml",
        "priors.toml",
        "observation.toml",
        "ensemble.bin",
        "state.bin",
        ".update.toml",
        ".stop.toml",
    ] {
        let file = |path: &&String| path.rsplit('/').next().is_some_and(|last| last.starts_with(name));
        assert!(synced.iter().find(file).is_some(), "`{name}` is not synced: {synced:#?}");
    }
    // And the folders in which names appear
    for folder in ["study", "run", "iteration_000"] {
        assert!(synced.iter().any(|p| p.ends_with(&format!("/{folder}"))), "`{folder}`: {synced:#?}");
    }
    // Outcomes are not: a checksum and another run are cheaper
    assert!(!synced.iter().any(|p| p.contains("/.data.toml")), "{synced:#?}");
}
