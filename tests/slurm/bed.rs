//! The bed as tests see it: submit, look, wait, break.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{Ended, Study, TestRun, Tool, program, tool};

/// A cluster of four virtual nodes.
pub(super) struct Bed {
    dir: PathBuf,
    own: bool,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slurm/bed")
}

impl Bed {
    /// The bed that tests share: the one they were started in (`bed run -- cargo test`), else one that
    /// goes with this process. None where there is no Slurm to be had.
    pub(super) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Bed>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                // Never a cluster that happens to be configured here: its folder must be a bed.
                let here = std::env::var_os("SLURM_CONF").map(PathBuf::from);
                let here = here.and_then(|conf| Some(conf.parent()?.to_owned()));
                if let Some(dir) = here.filter(|dir| dir.join("bed").is_file()) {
                    return Some(Self { dir, own: false });
                }
                Self::up("shared", &[]) // a static is never dropped: it goes with this process
            })
            .as_ref()
    }

    /// A bed for one test.
    pub(super) fn own(name: &str, options: &[&str]) -> Option<Self> {
        Self::up(name, options)
    }

    fn up(name: &str, options: &[&str]) -> Option<Self> {
        let me = std::process::id().to_string();
        let dir = PathBuf::from(format!("/tmp/ekp-bed-{me}-{name}"));
        let mut command = Command::new(script());
        command.args(["up", "--for", &me, "--dir"]).arg(&dir).args(options);
        let output = command.output().expect("bash is installed");
        if output.status.success() {
            return Some(Self { dir, own: true });
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let required = std::env::var("CI").is_ok_and(|ci| ci == "true")
            || std::env::var("EKP_REQUIRE_SLURM").is_ok_and(|yes| yes == "1");
        let missing = ["not installed", "could not install"].iter().any(|words| said.contains(words));
        assert!(!required && missing, "no Slurm to test on: {said}");
        eprintln!("skipped: no Slurm to test on: {said}");
        None
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("slurm.conf")
    }

    /// One of our tools in a run folder.
    pub(super) fn tool(&self, run: &TestRun, name: &str) -> Tool {
        run.tool(name).env("SLURM_CONF", self.conf())
    }

    /// Any program in a run folder.
    pub(super) fn program(&self, run: &TestRun, name: &str) -> Tool {
        program(name, &run.path).env("SLURM_CONF", self.conf())
    }

    /// `sbatch` in a run folder; the job's number.
    pub(super) fn sbatch(&self, run: &TestRun, args: &[&str]) -> String {
        let ended = self.program(run, "sbatch").args(["--parsable"]).args(args).succeeds();
        ended.out().trim().to_owned()
    }

    /// Make a run folder where Slurm can be asked.
    pub(super) fn init(&self, study: &Study, run: &str) -> Made {
        let call = tool("ekp-init", study.folder.path()).args(["experiment.toml", run]);
        let ended = call.env("SLURM_CONF", self.conf()).succeeds();
        Made { ended, run: TestRun { path: study.folder.path().join(run) } }
    }

    /// What a person types.
    pub(super) fn submit(&self, run: &TestRun) {
        self.sbatch(run, &["ekp_calibration.sbatch"]);
    }

    /// A verb of the bed.
    pub(super) fn verb(&self, verb: &[&str]) {
        let status = Command::new(script()).args(verb).arg("--dir").arg(&self.dir).status().unwrap();
        assert!(status.success(), "bed {verb:?}");
    }

    /// The run's jobs that wait or run, a line each: number, state, reason, node, name.
    pub(super) fn jobs(&self, run: &TestRun) -> Vec<String> {
        self.queue(run).into_iter().filter(|job| !job.contains(" COMPLETING ")).collect()
    }

    /// Those that are being cleared away, too: one whose node died may come back.
    fn queue(&self, run: &TestRun) -> Vec<String> {
        let format = "%i %T %r %N %j\u{1f}%Z";
        let ended = self.program(run, "squeue").args(["--me", "-h", "-o", format]).run();
        let ours = |line: &str| {
            let (job, folder) = line.split_once('\u{1f}')?;
            (Path::new(folder) == run.path).then(|| job.to_owned())
        };
        ended.out().lines().filter_map(ours).collect()
    }

    /// Wait until something is true.
    pub(super) fn wait(&self, run: &TestRun, what: &str, seconds: u64, mut until: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !until() {
            assert!(Instant::now() < end, "waited {seconds} s for {what}\n{}", self.story(run));
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Wait until the run is over and none of its jobs is left.
    pub(super) fn finished(&self, run: &TestRun) {
        self.wait(run, "stop.toml", 120, || run.has("stop.toml") || self.queue(run).is_empty());
        assert!(run.has("stop.toml"), "the queue is empty, the run not over\n{}", self.story(run));
        self.drained(run);
    }

    /// Wait until none of the run's jobs is left.
    pub(super) fn drained(&self, run: &TestRun) {
        self.wait(run, "an empty queue", 90, || self.queue(run).is_empty());
    }

    /// Wait until a job whose line holds all these words is there.
    pub(super) fn seen(&self, run: &TestRun, words: &[&str]) -> String {
        let mut found = None;
        self.wait(run, &format!("a job {words:?}"), 60, || {
            let jobs = self.jobs(run);
            found = jobs.into_iter().find(|job| words.iter().all(|word| job.contains(word)));
            found.is_some()
        });
        found.unwrap()
    }

    /// Everything there is to know when a test fails.
    pub(super) fn story(&self, run: &TestRun) -> String {
        let mut story = format!("queue:\n  {}\n", self.jobs(run).join("\n  "));
        for entry in walkdir::WalkDir::new(run.path.join("logs")).sort_by_file_name().into_iter().flatten() {
            if entry.file_type().is_file() {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(8).collect();
                let _ = writeln!(story, "{}:", entry.path().strip_prefix(&run.path).unwrap().display());
                last.iter().rev().for_each(|line| _ = writeln!(story, "    {line}"));
            }
        }
        story
    }
}

/// A run folder, and what ekp-init said when it made it.
pub(super) struct Made {
    ended: Ended,
    run: TestRun,
}

impl Made {
    pub(super) fn says(self, text: &str) -> Self {
        Self { ended: self.ended.says(text), ..self }
    }
    pub(super) fn run(self) -> TestRun {
        self.run
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = Command::new(script()).args(["logs", "--dir"]).arg(&self.dir).status();
        }
        if self.own {
            let _ = Command::new(script()).args(["down", "--dir"]).arg(&self.dir).status();
        }
    }
}
