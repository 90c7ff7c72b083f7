//! docs/protocol.md and finished runs say the same: every file and every key, both ways.
//!
//! The page is read as a table: a heading `### `path`` names files, the rows below it keys. What is marked
//! "(only …)" need not be in these runs, but may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::{Study, TestRun, program, tool, tools};

/// A section of the page: files, and the keys that they may hold.
#[derive(Debug)]
struct Section {
    /// Path, and whether only some runs have it
    files: Vec<(String, bool)>,
    /// Key, and whether only some files have it
    keys: Vec<(String, bool)>,
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    fs::read_to_string(path).unwrap()
}

fn sections(page: &str) -> Vec<Section> {
    let mut all: Vec<Section> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            all.push(Section { files: names(heading), keys: Vec::new() });
            inside = true;
        } else if line.starts_with("## ") {
            inside = false;
        } else if let (true, Some(row)) = (inside, line.strip_prefix("| `")) {
            let key = row.split('`').next().unwrap().to_owned();
            all.last_mut().unwrap().keys.push((key, row.contains("(only")));
        }
    }
    all
}

/// `a` (only with `b`), `c`
fn names(heading: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let mut rest = heading;
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        let mark = after.strip_prefix(" (only").and_then(|mark| mark.split_once(')'));
        names.push((name.to_owned(), mark.is_some()));
        rest = mark.map_or(after, |(_, after)| after).trim_start_matches([',', ' ']);
    }
    assert!(rest.is_empty(), "the heading `{heading}` names files in another way");
    names
}

/// A path in the words of the page: `iteration_003/member_007/…` is `iteration_NNN/member_MMM/…`.
fn general(path: &str) -> String {
    let one = |part: &str| -> String {
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        for (stem, sign) in [
            ("iteration_", "NNN"),
            ("member_", "MMM"),
            ("trials_", "NNN"),
            ("trial_", "NNNNNN"),
            ("chunk_", "NNNNNN"),
            ("try_", "K"),
        ] {
            if part.strip_prefix(stem).is_some_and(is_number) {
                return format!("{stem}{sign}");
            }
        }
        match part.strip_suffix(".toml") {
            Some(stem) if is_number(stem) => "NNNN.toml".into(),
            Some(stem) if stem.strip_prefix("extend_").is_some_and(is_number) => "extend_NNN.toml".into(),
            _ => part.to_owned(),
        }
    };
    let mut parts: Vec<String> = path.split('/').map(one).collect();
    if parts[0].starts_with("stage_") {
        parts[0] = "stage_N_NAME".into();
        if parts.len() > 2 {
            parts[1] = "ID".into();
            if parts[2] == "output" {
                return "stage_N_NAME/ID/output/".into();
            }
        }
    } else if parts[0].starts_with("ekp_stage_") {
        parts[0] = "ekp_stage_NAME.sbatch".into();
    } else if parts[0] == "results"
        && let Some((_, ending)) = parts[1].split_once("_runs.")
    {
        parts[1] = format!("NAME_runs.{ending}");
    }
    match parts[0].as_str() {
        "platform" => parts[1] = "HOST.toml".into(),
        "logs" => return "logs/".into(),
        _ => {}
    }
    parts.join("/")
}

/// The keys of a record: `by.host`; entries of an array of tables share theirs.
fn keys(table: &toml::Table, above: &str, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => keys(inner, &path, found),
            toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
                items.iter().filter_map(toml::Value::as_table).for_each(|inner| keys(inner, &path, found));
            }
            _ => {
                found.insert(path);
            }
        }
    }
}

/// `*` stands for one part of a key.
fn fits(pattern: &str, key: &str) -> bool {
    let (pattern, key): (Vec<&str>, Vec<&str>) = (pattern.split('.').collect(), key.split('.').collect());
    pattern.len() == key.len() && pattern.iter().zip(&key).all(|(p, k)| *p == "*" || p == k)
}

/// Runs of every kind that this machine can make.
fn runs() -> (Vec<TestRun>, Vec<Study>) {
    let small = Study::sinusoid("protocol").members(6).iterations(3);
    let plain = small.init("plain");
    plain.launch(&["--workers", "2"]);

    let pooled = small.init("pooled");
    pooled.tool("ekp-worker").args(["--to-end"]).succeeds();

    let cancelled = small.init("cancelled");
    cancelled.launch(&["--once"]);
    // Without Slurm on PATH: whatever is installed here, there is no queue to ask.
    cancelled.tool("ekp-cancel").env("PATH", tools()).succeeds();

    tool("ekp-init", small.folder.path())
        .args(["-q", "--from", "plain:2", "experiment.toml", "forked"])
        .succeeds();
    let forked = TestRun { path: small.folder.path().join("forked") };
    forked.launch(&["--workers", "1"]);
    forked.tool("ekp-init").args(["--extend", "iterations=4", "."]).succeeds();
    forked.launch(&["--workers", "1"]);

    plain.tool("ekp-export").args([".", "--climacalibrate", "-o", "../theirs"]).succeeds();
    tool("ekp-init", small.folder.path())
        .args(["-q", "--adopt", "theirs", "--set", "algorithm.iterations=4", "experiment.toml", "adopted"])
        .succeeds();
    let adopted = TestRun { path: small.folder.path().join("adopted") };
    adopted.launch(&["--workers", "1"]);

    // Every option of `[algorithm]` in some run: their experiments need not be run to be read
    let set = |study: Study, options: &[(&str, &str)]| {
        options.iter().fold(study, |study, (key, word)| study.set(&format!("algorithm.{key}"), *word))
    };
    let named = |options| set(Study::sinusoid("protocol-options").iterations(2), options);
    let pushed = named(&[("method", "eki"), ("momentum", "first-order"), ("inflation", "additive")])
        .set("algorithm.inflation_rate", 0.1);
    let heavy = named(&[("momentum", "constant")]).set("algorithm.impose_prior", true);
    let sampler = named(&[("method", "aldi")]);
    let points = named(&[("method", "uki")]).members(5);
    let imposed = named(&[("method", "utki")]).members(5).set("algorithm.impose_prior", true);
    let mutable = named(&[("scheduler", "mutable")]);
    let others = vec![pushed, heavy, sampler, points, imposed, mutable];
    let optional: Vec<TestRun> = others.iter().map(|study| study.init("options")).collect();
    optional[5].tool("ekp-init").args(["--extend", "step=0.5", "."]).succeeds();
    optional[4].launch(&["--workers", "1"]);

    let many = Study::sinusoid("protocol-pack").members(6).iterations(2).set("model.pack", 4);
    let packed = many.init("packed");
    packed.launch(&["--workers", "2"]);

    let own = Study::external("protocol-own").members(6).iterations(2).set("failures.retries", 0);
    own.folder.script(
        "wrap.sh",
        "#!/bin/sh\n[ \"$EKP_MEMBER\" != 3 ] || { echo no forcing file >&2; exit 7; }\n\
         [ \"$EKP_MEMBER\" != 5 ] || kill -9 $$\nexec ./model.sh \"$@\"\n",
    );
    let words = |words: &[&str]| toml::Value::from(words.to_vec());
    let own = own
        .set("model.command", words(&["./wrap.sh", "{parameters}", "{data}"]))
        .set("model.files", words(&["wrap.sh", "model.sh"]))
        .set("model.version_command", words(&["echo", "model 1.0"]));
    let external = own.init("external");
    external.launch(&["--workers", "2"]);

    let localised = "method = 'eki'\n[localisation]\nrule = 'sec-nice'\n\
                     [[group]]\nparameters = ['amplitude', 'vert_shift']\nblocks = ['range', 'mean']";
    let sparse = "method = 'sparse-eki'\nsparse = { limit = 9.0 }\nlocalisation = { rule = 'weights', \
                  weights = { amplitude = { mean = 0.5 } } }";
    let beside = Study::sinusoid("protocol-npy").members(4).iterations(1).set("files.outputs", "npy");
    let arrays = beside.init("arrays");
    arrays.launch(&["--workers", "1"]);

    let years = Study::example("protocol-series", "minibatch").members(4).iterations(2);
    let series = years.init("series");
    series.launch(&["--workers", "2"]);

    let stages = crate::grid::small("protocol-grid", "[ \"$1\" != b ] || exit 3", "");
    let grid = crate::grid::made(&stages, "grid");
    grid.tool("ekp-launch").args([".", "-q", "--workers", "2"]).fails(4);
    grid.tool("ekp-worker").args(["."]).succeeds();
    std::mem::forget(stages); // removed with the machine's other temporary files

    let (searches, of_searches) = searches();
    let (batches, of_batches) = batches();
    let optional = [optional, batches, searches].concat();
    let others = others.into_iter().chain(of_batches).chain(of_searches).collect();
    let flow = Study::example("protocol-field", "darcy").members(4).iterations(1);
    let field = flow.init("field");
    field.launch(&["--workers", "2"]);
    let mut runs = [
        vec![plain, pooled, cancelled, forked, adopted, packed, external, arrays, series, grid, field],
        optional,
    ]
    .concat();
    let studies = [vec![small, many, own, beside, years, flow], others];
    let mut studies: Vec<Study> = studies.into_iter().flatten().collect();
    for (name, keys) in [("localised", localised), ("sparse", sparse), ("newton", "method = 'gnki'")] {
        let mut study = Study::sinusoid(&format!("protocol-{name}")).members(6).iterations(1);
        for (key, value) in keys.parse::<toml::Table>().unwrap() {
            study = study.set(&format!("algorithm.{key}"), value);
        }
        let run = study.init(name);
        run.launch(&["--on", "threads", "--workers", "1"]);
        runs.push(run);
        studies.push(study);
    }
    (runs, studies)
}

/// Batches of forward models: draws, a table with failures, a grid.
fn batches() -> (Vec<TestRun>, Vec<Study>) {
    let drawn =
        Study::example("protocol-batch", "forward_batch").set("inputs.prior", 9).set("inputs.chunk", 4);
    let runs = ["table.toml", "grid.toml"].map(|name| {
        let path = drawn.folder.path().join(name);
        let out = tool("ekp-init", drawn.folder.path()).args(["-q", name]).succeeds().out();
        let run = TestRun { path: out.trim_end().into() };
        assert!(path.exists());
        run.launch(&["--workers", "2"]);
        run
    });
    let prior = drawn.init("drawn");
    prior.tool("ekp-worker").args(["--to-end"]).succeeds();
    ([vec![prior], runs.to_vec()].concat(), vec![drawn])
}

/// Searches: generations with failures, a larger budget and every option; workers, alone and in blocks.
fn searches() -> (Vec<TestRun>, Vec<Study>) {
    let land = |name: &str, method: &str| crate::dds::land(name, method, 4, 40);
    let table = |text: &str| toml::Value::Table(text.parse().unwrap());
    let names = |names: &[&str]| toml::Value::from(names.to_vec());
    let full = land("protocol-dds", "dds")
        .set("model.landscape.failures", 0.2)
        .set("algorithm.initial", 6)
        .set("algorithm.initial_failures", 90)
        .set("algorithm.widen", true)
        .set("algorithm.selection", "pool")
        .set("algorithm.pool_size", 4)
        .set("algorithm.integer", names(&["x[1]"]))
        .set("algorithm.choice", names(&["x[2]"]))
        .set("algorithm.fixed", table("'x[3]' = 1.0"))
        .set("algorithm.tied", table("'x[4]' = { to = 'x[5]', factor = 0.5, offset = 1.0 }"))
        .set("algorithm.order", toml::Value::from(vec![names(&["x[5]", "x[6]"])]))
        .set("algorithm.start", table("'x[1]' = 1.0\n'x[2]' = 2.0\n'x[5]' = 3.0\n'x[6]' = 4.0"))
        .set("score.direction", "minimise");
    let generations = full.init("generations");
    generations.launch(&["--workers", "2"]);
    generations.tool("ekp-init").args(["--extend", "budget=50", "."]).succeeds();
    generations.launch(&["--workers", "2"]);
    let single = land("protocol-async", "dds-async").set("model.landscape.failures", 0.2);
    let trials = single.init("trials");
    trials.launch(&["--workers", "2"]);
    let many = land("protocol-blocks", "dds-async").set("algorithm.claim_size", 16);
    let blocks = many.init("blocks");
    blocks.launch(&["--workers", "2"]);
    let same = land("protocol-tied", "dds").set("algorithm.tied", table("'x[1]' = 'x[2]'")).init("tied");
    (vec![generations, trials, blocks, same], vec![full, single, many])
}

#[test]
fn the_page_names_every_file_and_key_of_a_run_and_no_others() {
    let sections = sections(&page());
    let (runs, _studies) = runs();
    let mut files_found: BTreeSet<String> = BTreeSet::new();
    let mut keys_found: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut faults: BTreeSet<String> = BTreeSet::new();
    for run in &runs {
        for (path, bytes) in run.snapshot() {
            if path.split('/').any(|part| part.starts_with('.')) {
                continue;
            }
            let path = general(&path);
            // A model's working folder holds whatever it likes.
            let named = |s: &Section| s.files.iter().any(|(file, _)| *file == path);
            let Some(at) = sections.iter().position(named) else {
                if !path.contains("/try_K/") {
                    faults.insert(format!("`{path}` is not on the page"));
                }
                continue;
            };
            files_found.insert(path.clone());
            if !path.ends_with(".toml") {
                continue;
            }
            let table: toml::Table = String::from_utf8(bytes).unwrap().parse().unwrap();
            let found = keys_found.entry(at).or_default();
            keys(&table, "", found);
            for key in found.iter().filter(|key| !sections[at].keys.iter().any(|(p, _)| fits(p, key))) {
                faults.insert(format!("`{key}` of `{path}` is not on the page"));
            }
        }
    }
    for (at, section) in sections.iter().enumerate() {
        for (file, _) in section.files.iter().filter(|(file, only)| !only && !files_found.contains(file)) {
            faults.insert(format!("no run has `{file}`, which the page names without \"(only …)\""));
        }
        let Some(found) = keys_found.get(&at) else { continue };
        for (key, _) in section.keys.iter().filter(|(p, only)| !only && !found.iter().any(|k| fits(p, k))) {
            faults.insert(format!("no `{}` has `{key}`, named without \"(only …)\"", section.files[0].0));
        }
    }
    assert!(faults.is_empty(), "docs/protocol.md:\n{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_readers_and_writers_on_the_page_work() {
    // Given the Python of the page, and a Python that knows TOML
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !program("python3", here).args(["-c", "import tomllib"]).command().status().is_ok_and(|s| s.success())
    {
        eprintln!("skipped: no python3 with tomllib");
        return;
    }
    let page = page();
    let snippets: Vec<&str> =
        page.split("```python\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let study = Study::sinusoid("protocol-python").members(4).iterations(2);
    study.folder.write("read.py", snippets[0]);
    study.folder.write("write.py", snippets[1]);
    let run = study.init("run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args(["-i", "0", "-m", "2-4"]).succeeds();
    // When one outcome is written by hand
    let b3sum = program("b3sum", here).args(["--version"]).command().output().is_ok();
    if b3sum {
        let written = program("python3", &run.path).args(["../write.py", "iteration_000/member_001"]).run();
        written.code(0);
        run.tool("ekp-run-member").args(["-i", "0", "-m", "1"]).succeeds().says("already done");
    }
    run.launch(&["--workers", "1"]);
    // Then it is read like the others
    let read = program("python3", &run.path).args(["../read.py", "."]).succeeds();
    assert_eq!(read.out().lines().count(), 8, "{}", read.out());
    if b3sum {
        read.prints("[2.1] [6.9]");
    }
}
