//! No file that a person or a broken disk may hand over makes the readers panic.
//!
//! Sound files are spoilt at random: parts cut, doubled, swapped, replaced by what TOML and the grammars know.
//! These are calls of the library, since thousands of cases are needed; `fuzz/corpus` is replayed here, too.

use std::fs;
use std::path::{Path, PathBuf};

use ekp::experiment::{self, Experiment};
use ekp::explain::Marked;
use ekp::files::human::{self, Document};
use ekp::files::{crc32, data_text, digest, npy, parquet, parse_data, parse_state, save_state};
use ekp::launch::site::Site;
use ekp::numerics::Mat;
use ekp::problem::{Ensemble, MemberFile, Observation, Prior, State};
use proptest::prelude::*;

const CASES: u32 = 2000;

const EXPERIMENT: &str = r#"schema = "ekp.experiment"
version = 1
name = "study"
seed = 42
[model]
command = ["./model.sh", "{parameters}", "{data}", "{{x}}"]
files = ["model.sh", "grid/*.nc"]
templates = [{ from = "in.tmpl", to = "in.nml" }]
output = { file = "out.csv", format = "csv", columns = { y = 2 } }
timeout_s = 600
mpi = { ranks = 4, launcher = "srun --mpi=pmix" }
[prior]
file = "priors.toml"
names = ["a", "b"]
[observation]
file = "observation.toml"
[algorithm]
method = "eki"
members = 20
iterations = 10
scheduler = "fixed"
step = 0.1
[failures]
quorum = 0.5
"#;

const PRIORS: &str = r#"[drag]
prior = "Parameterized(Normal(-3.5, 0.8))"
constraint = "bounded_below(0.0)"
L1 = 0.5
[mixing]
prior = "Parameterized(MvNormal(4, 0.5))"
constraint = "[no_constraint(), bounded_below(-2.0), bounded_above(3.0), bounded(-1.0, 1.0)]"
[tabulated]
prior = "Samples([0.1 0.4 -0.2; 1.5 1.1 1.9])"
constraint = "[bounded(-1.0, 1.0), no_constraint()]"
[weights]
prior = "VectorOfParameterized(repeat([Laplace(0.0, 1.0)], 6))"
constraint = "repeat([no_constraint()], 6)"
[rate]
prior = "constrained_gaussian(rate, 55.5, 10, 0, Inf; repeats = 3)"
[wide]
prior = """constrained_gaussian("wide", 0.4,
  0.1, 0, 1)"""
["old name"]
prior = "fixed"
value = "0.64"
"#;

const OBSERVATION: &str = r#"schema = "ekp.observation"
version = 1
[[block]]
name = "q"
y = [3.1, nan, 2.7]
covariance = { diagonal = [0.1, 0.1, 0.2] }
[[block]]
file = "q.csv"
column = "q"
covariance = { diagonal = { file = "v.csv" } }
[[block]]
y = [1, 2]
[block.covariance]
dense = [[1.0, 0.5],
         [0.5, 1.0]]
"#;

const SITE: &str = r##"schema = "ekp.site"
version = 1
[slurm]
partition = "cpu"
time = "1-02:03:04"
mem = "4G"
nodes = 1
modules = ["gcc/12"]
env = { OMP_PLACES = "cores", N = 3 }
prologue = """
source x
ulimit -s unlimited"""
extra = ["#SBATCH --licenses=a:1"]
chain = "rolling"
[slurm.member]
mem_per_cpu = 2000
[slurm.stage.build]
nodes = 2
[slurm.retry]
time_factor = 3
[local]
workers = -2
"##;

/// What a mutation may put in.
const WORDS: &[&str] = &[
    "",
    "\n",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "(",
    ")",
    "\"",
    "'",
    "\"\"\"",
    ",",
    ";",
    ".",
    "=",
    "#",
    "-",
    "_",
    " ",
    "\t",
    "\r\n",
    "\\",
    "\\u03b2",
    "β",
    "€",
    "\u{feff}",
    "0",
    "1",
    "-1",
    "1e308",
    "1e999",
    "-0.0",
    "nan",
    "inf",
    "Inf",
    "-Inf",
    "9223372036854775807",
    "9223372036854775808",
    "99999999999999999999",
    "1000000",
    "0x10",
    "1_0",
    "true",
    "2026-01-01",
    "x",
    "x = 1\n",
    "[x]\n",
    "[[block]]\n",
    "file = \"nan.csv\"\n",
    "Normal",
    "MvNormal",
    "Samples",
    "repeat",
    "repeats",
    "bounded",
    "constrained_gaussian",
    "{{",
    "}}",
    "{parameters}",
    "seed",
    "*",
    "?",
    "[a-",
];

/// Kind, where (in 65536ths), how much, which word.
type Edit = (u8, u16, u8, usize);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    proptest::collection::vec((0..6u8, any::<u16>(), 0..40u8, 0..WORDS.len()), 1..6)
}

/// The text with each edit done; always at whole characters.
fn spoilt(text: &str, edits: &[Edit]) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for &(kind, place, amount, word) in edits {
        let at = usize::from(place) * letters.len() / 65536;
        let to = (at + usize::from(amount)).min(letters.len());
        let cut: Vec<char> = letters[at..to].to_vec();
        match kind {
            0 => drop(letters.drain(at..to)),
            1 => drop(letters.splice(at..at, WORDS[word].chars())),
            2 => drop(letters.splice(at..to, WORDS[word].chars())),
            3 => drop(letters.splice(at..at, cut)),
            4 => letters[at..to].reverse(),
            _ => {
                // The word takes the place of what follows the next `=`.
                let from = letters[at..].iter().position(|c| *c == '=').map_or(letters.len(), |k| at + k + 1);
                let end = letters[from..].iter().position(|c| *c == '\n').map_or(letters.len(), |k| from + k);
                drop(letters.splice(from..end, WORDS[word].chars()));
            }
        }
    }
    letters.into_iter().collect()
}

/// A fault must also be drawn without harm: its place lies in the file.
fn told<T>(result: Result<T, Marked>) -> Option<T> {
    result.map_err(|fault| (fault.to_string(), fault.picture(false), fault.line())).ok()
}

/// A folder without files: what is named is not there.
fn nowhere() -> PathBuf {
    PathBuf::from("/nonexistent")
}

fn experiment(text: &str) {
    let Some(document) = told(Document::parse(Path::new("experiment.toml"), text)) else { return };
    if told(Experiment::read(&document, &nowhere())).is_some() {
        let copy = experiment::run_copy(text, 20);
        let again = Document::parse(Path::new("copy.toml"), &copy).expect("the copy of a good file is TOML");
        told(Experiment::read(&again, &nowhere())).expect("the copy of a good experiment is good");
        assert_eq!(experiment::run_copy(&copy, 20), copy, "the copy of the copy is the copy");
    }
    let settings = [text.lines().next().unwrap_or_default().to_owned(), "algorithm.members=3".into()];
    let _ = experiment::with_settings(text, &settings);
}

fn prior(text: &str) {
    let Some(document) = told(Document::parse(Path::new("priors.toml"), text)) else { return };
    let Some(prior) = told(Prior::read(&document, None)) else { return };
    if prior.dim() > 1000 {
        return; // a million components are allowed, and slow here
    }
    let theta = prior.constrain(&prior.centre());
    let _ =
        (prior.describe(), prior.moments(), prior.log_density(&prior.centre()), prior.unconstrain(&theta));
    let text = match prior.member_file().text("", &theta) {
        Ok(text) => text,
        Err(_) => return, // not finite
    };
    assert_eq!(MemberFile::read(&text, prior.names()).expect("what was written reads back"), theta);
}

fn observation(text: &str) {
    let Some(document) = told(Document::parse(Path::new("observation.toml"), text)) else { return };
    let _ = told(Observation::read(&document, &nowhere()));
    let _ = told(ekp::problem::observation::text::whole(&document, &nowhere()));
}

fn site(text: &str) {
    let Some(document) = told(Document::parse(Path::new("site.toml"), text)) else { return };
    if let Some(site) = told(Site::read(&document)) {
        let text = site.text();
        let again = Document::parse(Path::new("again.toml"), &text).expect("a site is written as TOML");
        assert_eq!(Site::read(&again).expect("a site that was written is read"), site);
    }
}

fn data(bytes: &[u8]) {
    let _ = parse_data(bytes, "blake3:0", &["q".into(), "y".into()], &[3, 2]);
}

fn array(bytes: &[u8]) {
    if let Ok(array) = npy::read(bytes) {
        assert_eq!(array.shape.iter().product::<usize>(), array.data.len());
    }
}

fn table(bytes: &[u8]) {
    if let Ok(table) = parquet::read(bytes) {
        assert!(table.columns.iter().all(|(_, values)| values.len() == table.rows));
    }
}

/// A state file with this content, its checksum right: what a bug or another version may leave.
fn state(body: &[u8]) {
    let path = Path::new("state.bin");
    let stamped =
        |kind: &str| [format!("{kind} 1 {} {}\n", body.len(), digest(body)).as_bytes(), body].concat();
    let whole = |mat: &Mat| (0..mat.ncols()).map(|j| mat.col(j).len()).sum::<usize>();
    if let Ok(ensemble) = parse_state::<Ensemble>(path, &stamped("ekp.ensemble"), "ekp.ensemble", 1) {
        assert_eq!(whole(&ensemble.u), ensemble.u.nrows() * ensemble.u.ncols());
    }
    if let Ok(state) = parse_state::<State>(path, &stamped("ekp.state"), "ekp.state", 1) {
        state.arrays.values().for_each(|mat| assert_eq!(whole(mat), mat.nrows() * mat.ncols()));
    }
}

/// Bytes with some changed, cut off or put in.
fn spoilt_bytes(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for &(kind, place, amount, word) in edits {
        let at = usize::from(place) * bytes.len() / 65536;
        match kind {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, WORDS[word].bytes())),
            2 => bytes[at..].iter_mut().take(8).for_each(|b| *b = 0xff),
            _ => bytes[at..].iter_mut().take(1).for_each(|b| *b = b.wrapping_add(amount)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_experiment_makes_the_reader_panic(edits in edits()) {
        experiment(&spoilt(EXPERIMENT, &edits));
    }

    #[test]
    fn no_prior_makes_the_reader_panic(edits in edits()) {
        prior(&spoilt(PRIORS, &edits));
    }

    #[test]
    fn no_observation_makes_the_reader_panic(edits in edits()) {
        observation(&spoilt(OBSERVATION, &edits));
    }

    #[test]
    fn no_site_makes_the_reader_panic(edits in edits()) {
        site(&spoilt(SITE, &edits));
    }

    #[test]
    fn no_text_at_all_makes_a_reader_panic(text in "\\PC{0,200}", bytes: Vec<u8>) {
        for read in [experiment, prior, observation, site] {
            read(&text);
        }
        let _ = told(human::text(Path::new("x.toml"), bytes.clone()));
        data(&bytes);
        array(&bytes);
    }

    #[test]
    fn no_outcome_makes_the_reader_panic(edits in edits()) {
        let text = data_text("an outcome", "blake3:0", &[("q", &[1.0, f64::NAN, 3.0]), ("y", &[1e-300, 2.0])]);
        let body = text.rsplit_once("# crc32").unwrap().0;
        let body = spoilt(body, &edits);
        // With the right sum the text itself is read, and without it refused.
        let stamped = format!("{body}# crc32 {}\n", crc32(body.as_bytes()));
        data(stamped.as_bytes());
        data(&spoilt_bytes(text.as_bytes(), &edits));
    }

    #[test]
    fn no_array_makes_the_reader_panic(edits in edits()) {
        array(&spoilt_bytes(&npy::write(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, f64::NAN]), &edits));
    }

    #[test]
    fn no_state_makes_the_reader_panic(edits in edits()) {
        let ensemble = Ensemble { u: Mat::from_columns(2, 3, vec![1.0; 6]) };
        let mut of_run = State::default();
        of_run.scalars.insert("time".into(), 0.5);
        of_run.arrays.insert("a".into(), Mat::zeros(2, 2));
        let bodies = [save_state("x", 1, &ensemble).unwrap(), save_state("x", 1, &of_run).unwrap()];
        for bytes in bodies {
            let start = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
            state(&spoilt_bytes(&bytes[start..], &edits));
        }
    }

    #[test]
    fn no_table_makes_the_reader_panic(edits in edits()) {
        let columns = [
            ("x".to_owned(), parquet::Values::Double(vec![Some(0.1), None, Some(-1e300)])),
            ("s".to_owned(), parquet::Values::Text(vec![None, Some("β".into()), Some(String::new())])),
        ];
        table(&spoilt_bytes(&parquet::table(&columns, &[("schema", "ekp.test 1")]), &edits));
    }
}

#[test]
fn the_corpus_of_the_fuzzers_does_no_harm() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut count = 0;
    for entry in walkdir::WalkDir::new(&corpus).into_iter().flatten().filter(|e| e.file_type().is_file()) {
        let bytes = fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for read in [experiment, prior, observation, site] {
            read(&text);
        }
        data(&bytes);
        array(&bytes);
        state(&bytes);
        table(&bytes);
        count += 1;
    }
    assert!(count >= 8, "only {count} files below {}", corpus.display());
}
