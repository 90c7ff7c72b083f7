//! Batches of forward models: draws, tables, grids; chunks that any launcher makes, kills, damage, statistics.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::processes::Dice;
use crate::support::strace::{record, strace, there};
use crate::support::{Folder, TestRun, same_science, tool};

const PRIORS: &str = "[amplitude]\nprior = \"constrained_gaussian(amplitude, 2, 1, 0, Inf)\"\ntype = \"float\"\n\n\
                      [vert_shift]\nprior = \"Parameterized(Normal(0, 5))\"\nconstraint = \"no_constraint()\"\n";

/// A study of the sinusoid, without an observation.
fn study(name: &str, tables: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("priors.toml", PRIORS);
    let prior = if tables.contains("prior =") { "[prior]\nfile = \"priors.toml\"\n\n" } else { "" };
    folder.write(
        "experiment.toml",
        &format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"batch\"\nseed = 42\n\n[model]\nbuiltin = \"sinusoid\"\n\n\
             {prior}{tables}\n\n[algorithm]\nmethod = \"forward\"\n"
        ),
    );
    folder
}

/// Cooling of a cup by Newton's law: a program with two parameters and three outputs.
fn cups(name: &str, tables: &str) -> Folder {
    let folder = Folder::new(name);
    folder.script(
        "cup.sh",
        "#!/bin/sh\nset -eu\nawk '/^\\[/ { n = substr($1, 2, length($1) - 2) } $1 == \"value\" { p[n] = $3 }\n\
         END { if (p[\"tau\"] < 0) exit 7; printf \"model_output = [\"\n\
         for (t = 1; t <= 3; t++) printf \"%s%.17g\", (t > 1 ? \", \" : \"\"), p[\"start\"] * exp(-t / p[\"tau\"]); print \"]\" }' \"$1\" > \"$2\"\n",
    );
    folder.write(
        "experiment.toml",
        &format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"cups\"\nseed = 1\n\n[model]\n\
             command = [\"./cup.sh\", \"{{parameters}}\", \"{{data}}\"]\nfiles = [\"cup.sh\"]\n\n{tables}\n\n\
             [outputs]\nblocks = {{ warm = 3 }}\nmerged = true\n\n[algorithm]\nmethod = \"forward\"\n"
        ),
    );
    folder
}

fn init(folder: &Folder, name: &str) -> TestRun {
    tool("ekp-init", folder.path()).args(["-q", "experiment.toml", name]).succeeds();
    TestRun { path: folder.path().join(name) }
}

/// An array of doubles, read in the plainest words.
fn npy(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let bytes = fs::read(path).unwrap();
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let head = String::from_utf8_lossy(&bytes[10..10 + length]).into_owned();
    let shape = head.split_once("'shape': (").unwrap().1.split_once(')').unwrap().0;
    let shape = shape.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let data = bytes[10 + length..].chunks(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect();
    (shape, data)
}

/// All rows of a run, chunk after chunk.
fn rows(run: &TestRun, file: &str) -> Vec<f64> {
    let chunks = fs::read_dir(run.path.join("iteration_000")).unwrap();
    let mut chunks: Vec<_> = chunks.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    chunks.sort();
    chunks.iter().flat_map(|chunk| npy(&chunk.join(file)).1).collect()
}

/// Cells of `quantiles.csv`, by block and heading.
fn statistics(run: &TestRun) -> BTreeMap<(String, String), f64> {
    let text = run.read("results/quantiles.csv");
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let mut cells = BTreeMap::new();
    for line in lines {
        let block = format!("{}[{}]", line[0], line[1]);
        for (name, cell) in head.iter().zip(&line).skip(2) {
            cells.insert((block.clone(), name.clone()), cell.parse().unwrap());
        }
    }
    cells
}

#[test]
fn a_table_gives_the_closed_form_row_by_row_in_any_order_of_columns() {
    // Given a table whose columns stand in another order than the model's, comments and blanks in it
    let folder = study("forward-table", "[inputs]\ntable = \"m.csv\"\nchunk = 3\ncheck = 2");
    let mut table = "# made by hand\nvert_shift, amplitude\n\n".to_owned();
    let models: Vec<(f64, f64)> = (0..8).map(|k| (f64::from(k) - 3.0, 0.5 * f64::from(k))).collect();
    models.iter().for_each(|(v, a)| table.push_str(&format!("{v:?},{a:?}\n")));
    folder.write("m.csv", &table);
    let run = init(&folder, "run");
    run.launch(&["-q"]);
    // Then each row is that of its model: max − min is 2A up to half a step of the grid, the mean v up to A/630
    let outputs = rows(&run, "data.npy");
    for ((v, a), g) in models.iter().zip(outputs.chunks(2)) {
        assert!((g[0] - 2.0 * a).abs() <= 2.0 * a * 2e-5 && (g[1] - v).abs() <= a * 2e-2, "{v} {a} {g:?}");
    }
    assert_eq!(rows(&run, "parameters.npy"), models.iter().flat_map(|(v, a)| [*v, *a]).collect::<Vec<_>>());
    // and the four checked models were the same alone
    let stop = run.toml("stop.toml");
    assert_eq!(stop["check"]["models"].as_integer(), Some(4));
    assert_eq!(stop["check"]["alone"].as_float(), Some(0.0));
    run.tool("ekp-status").succeeds().prints("8 of 8 models ok").prints("the same bits");
    // A table as npy is the same run
    let names = "['vert_shift', 'amplitude']";
    let python = format!(
        "import struct\nd = {:?}\nh = \"{{'descr': '<f8', 'fortran_order': False, 'shape': (8, 2), }}\\n\".encode()\n\
         open('m.npy', 'wb').write(b'\\x93NUMPY\\x01\\x00' + struct.pack('<H', len(h)) + h + struct.pack('<16d', *d))",
        models.iter().flat_map(|(v, a)| [*v, *a]).collect::<Vec<_>>()
    );
    let made = crate::support::program("python3", folder.path()).args(["-c", &python]).try_run();
    if made.is_some() {
        let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
        let text = text.replace("table = \"m.csv\"", &format!("table = 'm.npy'\ncolumns = {names}"));
        folder.write("experiment.toml", &text);
        let again = init(&folder, "again");
        again.launch(&["-q"]);
        assert_eq!(rows(&again, "data.npy"), outputs);
    }
}

#[test]
fn draws_are_functions_of_seed_and_number_alone_and_statistics_those_of_sorted_rows() {
    let folder = study("forward-prior", "[inputs]\nprior = 500\nchunk = 64");
    let run = init(&folder, "run");
    run.launch(&["-q", "--on", "threads", "--workers", "3"]);
    // A longer batch in other chunks begins with the same models
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    folder.write("experiment.toml", &text.replace("500", "700").replace("64", "101"));
    let longer = init(&folder, "longer");
    longer.launch(&["-q"]);
    for file in ["parameters.npy", "data.npy"] {
        assert_eq!(rows(&run, file), rows(&longer, file)[..1000]);
    }
    // Quantiles as numpy defines them, by sorting
    let outputs = rows(&run, "data.npy");
    let cells = statistics(&run);
    for (k, block) in ["range[1]", "mean[1]"].iter().enumerate() {
        let mut column: Vec<f64> = outputs.chunks(2).map(|g| g[k]).collect();
        let mean = column.iter().sum::<f64>() / 500.0;
        column.sort_by(f64::total_cmp);
        let cell = |name: &str| cells[&((*block).to_owned(), name.to_owned())];
        for (name, share) in [("p10", 0.1), ("p50", 0.5), ("p90", 0.9)] {
            let at: f64 = share * 499.0;
            let (low, part) = (column[at as usize], at.fract());
            let expected = low + part * (column[at as usize + 1] - low);
            assert_eq!(cell(name), expected, "{block} {name}");
        }
        assert_eq!((cell("min"), cell("max")), (column[0], column[499]));
        assert!((cell("mean") - mean).abs() < 1e-12); // a sum in another order
    }
}

#[test]
fn a_grid_is_in_c_order_with_its_axes_in_the_record() {
    let folder = cups(
        "forward-grid",
        "[inputs]\nchunk = 5\ngrid = { start = { linspace = [10, 40, 4] }, tau = { logspace = [0, 1, 3] } }",
    );
    let run = init(&folder, "run");
    run.launch(&["-q", "--workers", "2"]);
    let (shape, data) = npy(&run.path.join("results/data.npy"));
    assert_eq!(shape, [4, 3, 3]);
    let taus = [1.0, 10f64.sqrt(), 10.0];
    for (k, g) in data.chunks(3).enumerate() {
        let (start, tau) = (10.0 * (k / 3 + 1) as f64, taus[k % 3]);
        for (t, x) in (1..).zip(g) {
            let expected = start * (-f64::from(t) / tau).exp();
            assert!((x - expected).abs() < 1e-13 * start, "{k} {t}: {x} {expected}"); // awk and rust round alike or nearly
        }
    }
    let axes = run.toml("results/data.toml");
    let axes = axes["axis"].as_array().unwrap();
    assert_eq!(axes[0]["name"].as_str(), Some("start"));
    assert_eq!(axes[1]["values"].as_array().unwrap().len(), 3);
    // Programs leave no folders behind, and the table has a line for each model
    assert!(!run.path.join("iteration_000/chunk_000001/try_1").exists());
    let csv = run.tool("ekp-export").succeeds().out();
    assert_eq!(csv.lines().count(), 13);
    assert!(csv.starts_with("model,state,start,tau,warm[1],warm[2],warm[3]\n1,ok,10.0,1.0,"), "{csv}");
    run.tool("ekp-export").args([".", "-o", "all.parquet"]).succeeds().says("12 models");
    assert_eq!(run.tool("ekp-cat").args(["all.parquet"]).succeeds().out(), csv);
    run.tool("ekp-export").args([".", "-o", "all.npy"]).succeeds();
    assert_eq!(npy(&run.path.join("all.outputs.npy")).1, data);
    run.tool("ekp-cat").args(["all.outputs.npy"]).succeeds();
    run.tool("ekp-cat").args(["iteration_000/chunk_000002/data.npy"]).succeeds().prints("column_3");
}

#[test]
fn models_that_fail_are_rows_of_nan_and_too_many_stop_the_run() {
    let folder = cups(
        "forward-failed",
        "[inputs]\ntable = \"m.csv\"\nchunk = 2\ncheck = 0\n\n[failures]\nretries = 0",
    );
    folder.write("m.csv", "start,tau\n10,1\n20,-1\n30,2\n40,-2\n50,3\n");
    let run = init(&folder, "run");
    run.launch(&["-q"]);
    let data = rows(&run, "data.npy");
    assert!(data[3..6].iter().all(|x| x.is_nan()) && data[6..9].iter().all(|x| x.is_finite()));
    let stop = run.toml("stop.toml");
    assert_eq!((stop["ok"].as_integer(), stop["failed"].as_integer()), (Some(3), Some(2)));
    assert_eq!(statistics(&run)[&("warm[1]".into(), "count".into())], 3.0);
    // In the table of all models they have their parameters and gaps for outputs
    run.tool("ekp-export").args([".", "-o", "all.parquet"]).succeeds();
    let table = run.tool("ekp-cat").args(["all.parquet"]).succeeds().out();
    assert_eq!(table, run.tool("ekp-export").succeeds().out());
    assert!(table.lines().nth(2).unwrap().starts_with("2,failed,20.0,-1.0,,,"), "{table}");
    run.tool("ekp-status")
        .succeeds()
        .prints("3 of 5 models ok, 2 failed")
        .prints("exit: 2 models, the first is 2");
    // The folder of a failed model is kept
    assert!(run.path.join("iteration_000/chunk_000001/try_1/model_0000002/log.txt").exists());
    folder.write("m.csv", "start,tau\n10,-1\n20,-1\n30,2\n40,-2\n50,3\n");
    let worse = init(&folder, "worse");
    worse.tool("ekp-launch").args(["-q", "."]).fails(4).says("3 of 5");
    // Once the model is mended a second launch runs the chunks with failures again
    let model = fs::read_to_string(folder.path().join("cup.sh")).unwrap();
    folder.script("cup.sh", &model.replace("exit 7", "p[\"tau\"] = -p[\"tau\"]"));
    worse.launch(&["-q"]);
    assert_eq!(worse.toml("stop.toml")["ok"].as_integer(), Some(5));
}

#[test]
fn all_launchers_and_any_number_of_workers_give_the_same_bytes() {
    let folder = study(
        "forward-launchers",
        "[inputs]\nprior = 203\nchunk = 20\ncheck = 50\n\n[outputs]\nmerged = true",
    );
    let quiet = init(&folder, "quiet");
    quiet.launch(&["-q", "--on", "threads", "--workers", "1"]);
    for (k, args) in [
        &["--on", "local", "--workers", "3"][..],
        &["--on", "threads", "--workers", "4"],
        &["--on", "make", "--workers", "2"],
        &["--once"],
    ]
    .iter()
    .enumerate()
    {
        let run = init(&folder, &format!("run_{k}"));
        run.launch(args);
        same_science(&quiet, &run);
    }
    let pool = init(&folder, "pool");
    pool.tool("ekp-worker").args([".", "--to-end"]).succeeds();
    same_science(&quiet, &pool);
    // By hand, out of order
    let hand = init(&folder, "hand");
    hand.tool("ekp-init-ensemble").succeeds();
    hand.tool("ekp-run-member").args([".", "-i", "0", "-m", "3-11", "--threads", "2"]).succeeds();
    hand.tool("ekp-update").args([".", "-i", "0"]).fails(3).says("2 of 11");
    hand.tool("ekp-status").args(["--next"]).succeeds().prints("members 0 1-2");
    hand.tool("ekp-run-member").args([".", "-i", "0", "--element", "1", "--per-element", "2"]).succeeds();
    hand.tool("ekp-update").args([".", "-i", "0", "--threads", "3"]).succeeds().says("203 models ok");
    same_science(&quiet, &hand);
}

#[test]
fn damaged_chunks_are_found_and_run_again() {
    let folder = study("forward-damage", "[inputs]\nprior = 100\nchunk = 25");
    let quiet = init(&folder, "quiet");
    quiet.launch(&["-q"]);
    let run = init(&folder, "run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "1-4"]).succeeds();
    let chunk = |n: u32, file: &str| run.path.join(format!("iteration_000/chunk_{n:06}/{file}"));
    let mut bytes = fs::read(chunk(1, "data.npy")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(chunk(1, "data.npy"), bytes).unwrap();
    fs::write(chunk(2, "data.toml"), &fs::read(chunk(2, "data.toml")).unwrap()[..150]).unwrap();
    fs::copy(chunk(3, "data.toml"), chunk(4, "data.toml")).unwrap();
    run.tool("ekp-update")
        .args([".", "-i", "0"])
        .fails(3)
        .says("3 of 4")
        .says("`data.npy` is not the file that `data.toml` names")
        .says("answers other parameters");
    run.launch(&["-q"]);
    same_science(&quiet, &run);
}

#[test]
fn killed_at_random_points_a_batch_ends_with_the_same_bytes() {
    if !there() {
        return;
    }
    const CALLS: [&str; 6] = ["openat", "mkdir", "rename", "linkat", "write", "fsync"];
    let folder = study("forward-kill", "[inputs]\nprior = 60\nchunk = 10\n\n[outputs]\nmerged = true");
    let quiet = init(&folder, "quiet");
    quiet.launch(&["-q"]);
    let args = ["-q", ".", "--on", "threads", "--workers", "1"];
    let counted = init(&folder, "counted");
    let (_, calls) = record(&CALLS.join(","), "ekp-launch", &counted.path, &args);
    let mut dice = Dice::new(5);
    for round in 0..8 {
        let run = init(&folder, &format!("run_{round}"));
        for _ in 0..3 {
            let call = &calls[dice.below(calls.len())];
            let inject = format!("inject={}:signal=SIGKILL:when={}", call.name, call.number);
            let options = ["-e", &format!("trace={}", call.name), "-e", &inject];
            strace(&options, &folder.path().join("log"), "ekp-launch", &run.path).args(args).run();
        }
        run.launch(&["-q"]);
        same_science(&quiet, &run);
    }
}

#[test]
fn the_choice_of_chunks_is_settled_when_the_run_is_made() {
    let folder = study("forward-auto", "[inputs]\nprior = 100");
    let run = init(&folder, "run");
    // A batch of a few milliseconds is one chunk: nothing is gained by sharing it out
    assert_eq!(run.toml("run.toml")["chunk"].as_integer(), Some(100));
    let before = run.snapshot();
    tool("ekp-init", folder.path()).args(["experiment.toml", "run"]).succeeds().says("nothing changed");
    assert_eq!(run.snapshot(), before);
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    folder.write("experiment.toml", &text.replace("prior = 100", "prior = 101"));
    tool("ekp-init", folder.path()).args(["experiment.toml", "run"]).fails(2).says("inputs.prior");
}

#[test]
fn what_cannot_be_is_told_with_its_line() {
    let said = |tables: &str, table: &str, words: &[&str]| {
        let folder = study("forward-bad", tables);
        folder.write("m.csv", table);
        let mut ended = tool("ekp-init", folder.path()).args(["--check"]).fails(2);
        for word in words {
            ended = ended.says(word);
        }
    };
    said("", "", &["the table `[inputs]` is missing"]);
    said("[inputs]\n", "", &["where the parameters come from", "experiment.toml:9"]);
    said("[inputs]\ntable = \"n.csv\"", "", &["this table cannot be used", "n.csv"]);
    said(
        "[inputs]\ntable = \"m.csv\"",
        "amplitude,vert_shift\n1,2\n3,x\n",
        &["line 3, column `vert_shift`: `x`"],
    );
    said("[inputs]\ntable = \"m.csv\"", "amplitude,shift\n1,2\n", &["`vert_shift`"]);
    said("[inputs]\ntable = \"m.csv\"", "1,2\n", &["the heading is missing"]);
    said("[inputs]\nprior = 10\n\n[outputs]\nquantiles = [10, 50]", "", &["a quantile is out of range"]);
    said(
        "[inputs]\nprior = 10\n\n[observation]\nfile = \"o.toml\"",
        "",
        &["`[observation]` has no use here"],
    );
    said(
        "[inputs]\ngrid = { amplitude = { linspace = [1, 2] }, vert_shift = [0] }",
        "",
        &["found 2 numbers"],
    );
    said("[inputs]\ngrid = { amplitude = [1] }", "", &["`vert_shift`"]);
    // A program does not tell by itself how many numbers it gives
    let folder = cups("forward-bad", "[inputs]\ngrid = { start = [1], tau = [2] }");
    let text = fs::read_to_string(folder.path().join("experiment.toml")).unwrap();
    folder.write("experiment.toml", &text.replace("blocks = { warm = 3 }\n", ""));
    tool("ekp-init", folder.path()).args(["--check"]).fails(2).says("nobody says how many numbers");
    // Its run has no member to look at by itself
    folder.write("experiment.toml", &text);
    let run = init(&folder, "run");
    run.tool("ekp-init-ensemble").succeeds();
    run.tool("ekp-run-member")
        .args([".", "-i", "0", "-m", "1", "--print"])
        .fails(2)
        .says("chunks of many models");
    run.tool("ekp-run-member").args([".", "-i", "0", "-m", "2"]).fails(2).says("there is no member 2");
    tool("ekp-init", folder.path()).args(["--extend", "iterations=3", "run"]).fails(2).says("no iterations");
    tool("ekp-init", folder.path()).args(["--try"]).succeeds().says("whole run, at most: 1 members");
}

#[test]
fn derivatives_of_soundings_are_those_of_differences() {
    let folder = Folder::new("forward-derivatives");
    // An earth, then each of ln rho1, rho2, rho3, h1, h2 a little larger and smaller
    let (base, step) = ([50.0, 5.0, 200.0, 12.0, 30.0_f64], 1e-3_f64);
    let mut table = String::from("rho1,rho2,rho3,h1,h2\n");
    let mut line = |x: &[f64]| {
        table.push_str(&x.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(","));
        table.push('\n');
    };
    line(&base);
    for k in 0..5 {
        for sign in [1.0, -1.0] {
            let mut moved = base;
            moved[k] *= (sign * step).exp();
            line(&moved);
        }
    }
    folder.write("models.csv", &table);
    let experiment = |options: &str| {
        format!(
            "schema = \"ekp.experiment\"\nversion = 1\nname = \"batch\"\nseed = 1\n[model]\nbuiltin = \"tem1d\"\n\
             [model.tem1d]\nsystem = \"default\"\nlayers = 3\n{options}[inputs]\ntable = \"models.csv\"\n\
             [algorithm]\nmethod = \"forward\"\n"
        )
    };
    folder.write("experiment.toml", &experiment("derivatives = \"ln_rho_ln_h\"\n"));
    tool("ekp-launch", folder.path()).args(["experiment.toml", "-q"]).succeeds();
    let run = TestRun { path: folder.path().join("runs/batch") };
    let csv = run.tool("ekp-export").succeeds().out();
    let mut lines = csv.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let rows: Vec<Vec<f64>> =
        lines.map(|row| row.iter().skip(2).map(|x| x.parse().unwrap()).collect()).collect();
    assert_eq!(rows.len(), 11);
    let head = &head[2..];
    // Gates, then as many derivatives for each of five quantities, in this order
    let gates = (head.len() - 5) / 6;
    assert_eq!(head.len(), 5 + 6 * gates);
    for (k, name) in ["ln_rho1", "ln_rho2", "ln_rho3", "ln_h1", "ln_h2"].iter().enumerate() {
        for i in 0..gates {
            let at = 5 + (1 + k) * gates + i;
            assert!(head[at].contains(&format!("_by_{name}")), "{}", head[at]);
            let difference = (rows[1 + 2 * k][5 + i] - rows[2 + 2 * k][5 + i]) / (2.0 * step);
            let (found, gate) = (rows[0][at], rows[0][5 + i]);
            // The third derivative times step^2/6, in units of the gate
            assert!((found - difference).abs() < 2e-5 * gate.abs(), "{}: {found} {difference}", head[at]);
        }
    }
    assert!(run.toml("stop.toml")["check"]["alone"].as_float().unwrap() == 0.0);
    // Polarised layers have none, and say so
    folder.write("experiment.toml", &experiment("derivatives = \"ln_rho\"\nfixed = { m1 = 0.1 }\n"));
    tool("ekp-init", folder.path())
        .args(["--check", "experiment.toml"])
        .fails(2)
        .says("there are no such derivatives");
}
