//! The whole way of a member through real programs.

use super::*;
use crate::explain::Explain;
use crate::files::human::Document;
use crate::machine::folder::Scratch;
use crate::models::test_place;
use crate::numerics::Mat;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// An experiment folder and a working folder.
struct Bench {
    dir: Scratch,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let bench = Self { dir: Scratch::new("external").unwrap() };
        for (name, text) in files {
            let path = bench.base().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            if text.starts_with("#!") {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        fs::create_dir_all(bench.base()).unwrap();
        bench
    }

    fn base(&self) -> PathBuf {
        self.dir.path().join("experiment")
    }

    fn read(&self, text: &str) -> Result<External, Marked> {
        let text = format!("[model]\n{text}");
        let document = Document::parse(Path::new("experiment.toml"), &text)?;
        let model = document.section().section("model")?.unwrap();
        let external = External::read(&model, &self.base())?;
        model.finish()?;
        Ok(external)
    }

    fn place(&self, member: u32) -> Place {
        let mut place = test_place(member);
        place.run = self.dir.path().join("run");
        place.folder = place.run.join(format!("member {member}/try_1"));
        place.parameters = place.run.join(format!("member {member}/parameters.toml"));
        fs::create_dir_all(&place.folder).unwrap();
        fs::write(&place.parameters, "[a]\nvalue = 0.5\n").unwrap();
        place
    }

    fn run(&self, external: &External, blocks: &[(&str, usize)]) -> Result<Output, ModelError> {
        let want = Want::series(blocks.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect());
        let values = Mat::from_columns(2, 1, vec![0.1, -2.0]);
        let names = names();
        let thetas = ThetaRef { names: &names, values: &values };
        external.run(thetas, &want, &mut [self.place(7)]).remove(0)
    }
}

fn names() -> Vec<(String, usize)> {
    vec![("a".into(), 1), ("b".into(), 1)]
}

const MODEL: &str = "#!/bin/sh\n. ./settings\necho \"model_output = [$a, $b, $(cat data/x)]\" > \"$1\"\n";

#[test]
fn a_member_is_linked_filled_run_and_read() {
    let bench =
        Bench::new(&[("model.sh", MODEL), ("settings.tmpl", "a={{a}}\nb={{b:.2e}}\n"), ("data/x", "5")]);
    let external = bench
        .read(
            "command = ['./model.sh', '{data}']\nfiles = ['model.sh', 'data/*']\n\
             templates = [{ from = 'settings.tmpl', to = 'settings' }]\n",
        )
        .unwrap();
    assert_eq!(external.check(&names()).unwrap(), Vec::<String>::new());
    for _ in 0..2 {
        // The second time everything is there already
        let output = bench.run(&external, &[("p", 2), ("q", 1)]).unwrap();
        assert_eq!(output.blocks, [vec![0.1, -2.0], vec![5.0]]);
        let usage = output.usage.unwrap();
        assert!(usage.wall_s > 0.0 && usage.peak_rss_mb > 0.0, "{usage:?}");
    }
    let folder = bench.place(7).folder;
    assert!(folder.join("data/x").is_symlink() && !folder.join("settings").is_symlink());
}

#[test]
fn a_model_finds_its_variables_and_its_folder() {
    let bench = Bench::new(&[]);
    let external = bench
        .read("command = ['sh', '-c', 'pwd; env', '{member}']\noutput = { format = 'text', file = 'o' }")
        .unwrap();
    let error = bench.run(&external, &[("q", 1)]).unwrap_err();
    assert_eq!(error.cause, Cause::Output);
    assert!(error.message.contains("wrote no `o`"), "{error}");
    let place = bench.place(7);
    let log = fs::read_to_string(place.folder.join(LOG)).unwrap();
    let (folder, data) = (place.folder.display(), place.folder.join("o"));
    for line in [
        format!("{folder}"),
        format!("EKP_RUN={}", place.run.display()),
        "EKP_ITERATION=3".into(),
        "EKP_MEMBER=7".into(),
        "EKP_TRY=1".into(),
        format!("EKP_SEED={}", place.seed),
        format!("EKP_PARAMETERS={}", place.parameters.display()),
        format!("EKP_DATA={}", data.display()),
        "EKP_WORKER=1".into(),
        "EKP_THREADS=1".into(),
        "OMP_NUM_THREADS=1".into(),
    ] {
        assert!(log.lines().any(|l| l == line), "{line} not in {log}");
    }
}

#[test]
fn bad_ends_are_told_apart() {
    let bench = Bench::new(&[]);
    let run = |text: &str, more: &str| {
        let external = bench.read(&format!("command = ['sh', '-c', '''{text}''']\n{more}")).unwrap();
        bench.run(&external, &[("q", 365)]).unwrap_err()
    };
    let error = run("echo no grid >&2; exit 3", "");
    assert_eq!((error.cause, error.exit_code), (Cause::Exit, Some(3)));
    assert!(error.stderr_tail.ends_with("no grid") && error.usage.is_some(), "{error:?}");
    let error = run("kill -SEGV $$", "");
    assert_eq!((error.cause, error.signal), (Cause::Signal, Some(11)));
    assert_eq!(run("sleep 100 & wait", "timeout_s = 0.1").cause, Cause::Timeout);
    assert!(run("no_such_program_here", "").message.contains("a program is missing"));
    let error = run("echo 'model_output = [1, 2, 3]' > $EKP_DATA", "");
    assert_eq!(error.message, "`model_output.toml`: has 3 numbers, observation block `q` has 365");
}

#[test]
fn a_stale_output_is_not_read() {
    let bench = Bench::new(&[]);
    let external = bench.read("command = ['true']").unwrap();
    fs::write(bench.place(7).folder.join("model_output.toml"), "model_output = [1]\n").unwrap();
    let error = bench.run(&external, &[("q", 1)]).unwrap_err();
    assert!(error.message.contains("wrote no `model_output.toml`"), "{error}");
}

#[test]
fn a_raised_flag_ends_the_member_as_lost() {
    let bench = Bench::new(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let external = bench.read("command = ['sleep', '100']").unwrap();
    let mut place = bench.place(7);
    place.stop = Some(Arc::clone(&stop));
    let (start, want) = (Instant::now(), Want::series(vec![("q".into(), 1)]));
    stop.store(true, Ordering::Relaxed);
    let thetas = ThetaRef { names: &[], values: &Mat::zeros(0, 1) };
    let error = external.run(thetas, &want, &mut [place]).remove(0).unwrap_err();
    assert_eq!(error.cause, Cause::Lost);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_program_beside_the_experiment_needs_no_link() {
    let bench = Bench::new(&[("bin/m.sh", "#!/bin/sh\necho 4 > o.txt\n")]);
    let text = "command = ['./bin/m.sh']\noutput = { format = 'text', file = 'o.txt' }";
    let external = bench.read(text).unwrap();
    external.check(&names()).unwrap();
    assert_eq!(bench.run(&external, &[("q", 1)]).unwrap().blocks, [[4.0]]);
}

#[test]
fn faults_are_found_before_anything_runs() {
    let bench = Bench::new(&[
        ("plain", "x"),
        ("bad.sh", "#!/no/python\n"),
        ("ok.sh", "#!/bin/sh\n"),
        ("t", "x {{a}}\n"),
        ("typo", "y\n{{aa}} {{b}}\n"),
    ]);
    for (text, words) in [
        ("command = './model.sh'", "wrong type"),
        ("command = []", "names no program"),
        ("command = ['x', '{parametres}']", "unknown placeholder `{parametres}`"),
        ("command = ['no-such-program']", "no program `no-such-program` in `PATH`"),
        ("command = ['./no.sh']", "no program `"),
        ("command = ['./plain']", "is not executable"),
        ("command = ['./bad.sh']", "`/no/python`"),
        ("command = ['./ok.sh']\nfiles = ['ok.sh', 'nix/*']", "`nix/*` matches nothing"),
        (
            "command = ['./ok.sh']\ntemplates = [{ from = 't', to = 'u' }]",
            "no template uses the parameter `b`",
        ),
        (
            "command = ['./ok.sh']\ntemplates = [{ from = 'typo', to = 'u' }]",
            "typo:2: no parameter is called `aa`",
        ),
        ("command = ['./ok.sh']\ntemplates = [{ from = 'none', to = 'u' }]", "cannot read template"),
        ("command = ['./ok.sh']\ntemplates = [{ from = 't', to = '../u' }]", "leaves the working folder"),
        ("command = ['./ok.sh']\noutput = { format = 'cvs' }", "no such choice"),
        ("command = ['./ok.sh']\noutput = { format = 'csv', colum = 1 }", "unknown key `colum`"),
        ("command = ['./ok.sh']\ntimeout_s = 0", "out of range"),
        ("command = ['./ok.sh']\nmpi = { launcher = 'srun' }", "lacks `ranks`"),
        ("comand = ['./ok.sh']\ncommand = ['./ok.sh']", "unknown key `comand`"),
    ] {
        let fault = bench.read(text).and_then(|e| e.check(&names())).unwrap_err();
        assert!(fault.to_string().contains(words), "{text}: {fault}");
    }
    // With `{parameters}` in the command a template need not use them all
    let external =
        bench.read("command = ['./ok.sh', '{parameters}']\ntemplates = [{ from = 't', to = 'u' }]");
    assert!(external.unwrap().check(&names()).is_ok());
    let fault = bench.read("command = ['x', '{parametres}']").unwrap_err();
    assert_eq!(Explain::hint(&fault).unwrap(), "did you mean `{parameters}`?");
}

#[test]
fn the_printed_command_does_the_same_by_hand() {
    let bench = Bench::new(&[("it's.sh", "#!/bin/sh\necho $EKP_MEMBER \"$@\" > o.txt\n")]);
    let text = "command = [\"./it's.sh\", '{member}', 'a b', '$HOME']\nfiles = ['*']\n\
                output = { format = 'text', file = 'o.txt' }";
    let external = bench.read(text).unwrap();
    let mut place = bench.place(9);
    place.folder = place.run.join("by hand");
    let printed = external.printable(&place);
    let done = std::process::Command::new("sh").args(["-ec", &printed]).status().unwrap();
    assert!(done.success(), "{printed}");
    assert_eq!(fs::read_to_string(place.folder.join("o.txt")).unwrap(), "9 9 a b $HOME\n");
}

#[test]
fn the_version_is_the_first_line_it_prints() {
    let bench = Bench::new(&[("v.sh", "#!/bin/sh\necho; echo model 1.2; echo more\n")]);
    let external = bench.read("command = ['./v.sh']\nversion_command = ['./v.sh', '--version']").unwrap();
    assert_eq!(external.version().as_deref(), Some("model 1.2"));
    assert_eq!(bench.read("command = ['./v.sh']").unwrap().version(), None);
}

#[test]
fn ranks_are_started_by_their_launcher() {
    // A launcher of our own: it shows what it was given
    let launcher = "#!/bin/sh\necho \"$@\" >&2\nshift 3\n[ \"$1\" = 2 ] && shift\nexec \"$@\"\n";
    let bench = Bench::new(&[("run.sh", launcher), ("m.sh", "#!/bin/sh\necho 3 > o.txt\n")]);
    let text = format!(
        "command = ['./m.sh', 'x y']\noutput = {{ format = 'text', file = 'o.txt' }}\n\
         mpi = {{ ranks = 2, launcher = \"'{}' --a 'b c'\" }}",
        bench.base().join("run.sh").display()
    );
    let external = bench.read(&text).unwrap();
    assert_eq!(external.ranks(), 2);
    assert_eq!(bench.run(&external, &[("q", 1)]).unwrap().blocks, [[3.0]]);
    let log = fs::read_to_string(bench.place(7).folder.join(LOG)).unwrap();
    assert!(log.starts_with("--a b c -n 2 /"), "{log}");
}
