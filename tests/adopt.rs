//! `ekp-init --adopt`: folders of EKP.jl and ClimaCalibrate, in every form they have, go on as runs.

use std::fs;
use std::path::Path;

use crate::support::{Ended, Study, TestRun, tool};

const MEMBERS: usize = 4;

/// How a folder looks.
#[derive(Clone, Copy, Debug)]
struct Layout {
    base: usize,
    /// The whole dictionary, as EKP.jl writes it; else calibrated tables alone, as ClimaCalibrate
    whole: bool,
    outputs: &'static str,
}

fn theta(iteration: usize, member: usize) -> [f64; 2] {
    let (k, j) = (iteration as f64, member as f64);
    [1.0 / 3.0 + 0.31 * j + 0.1 * k, 5.1 + 0.7 * j / 3.0 + 0.2 * k]
}

/// What their model made of it, block after block.
fn g(iteration: usize, member: usize) -> [f64; 2] {
    let [amplitude, shift] = theta(iteration, member);
    [2.0 * amplitude + 0.01, shift - 0.02]
}

/// An array as numpy writes it; Julia's stand column by column.
fn npy(rows: usize, cols: usize, fortran: bool, at: impl Fn(usize, usize) -> f64) -> Vec<u8> {
    let shape = if cols == 1 { format!("({rows},)") } else { format!("({rows}, {cols})") };
    let order = if fortran { "True" } else { "False" };
    let head = format!("{{'descr': '<f8', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.as_bytes());
    let (outer, inner) = if fortran { (cols, rows) } else { (rows, cols) };
    for a in 0..outer {
        for b in 0..inner {
            let x = if fortran { at(b, a) } else { at(a, b) };
            bytes.extend(x.to_le_bytes());
        }
    }
    bytes
}

fn put(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A folder with `iterations`, the last one without outputs.
fn synthesise(folder: &Path, layout: Layout, iterations: usize) {
    for k in 0..iterations {
        let place = folder.join(format!("iteration_{:03}", layout.base + k));
        for j in 1..=MEMBERS {
            let member = place.join(format!("member_{j:03}"));
            let [amplitude, shift] = theta(k, j);
            let text = if layout.whole {
                format!(
                    "[amplitude]\nprior = \"constrained_gaussian(amplitude, 2, 1, 0, Inf)\"\nvalue = {amplitude:?}\n\n\
                     [vert_shift]\nprior = \"x\"\nvalue = {shift:?}\ntype = \"float\"\n"
                )
            } else {
                format!(
                    "[vert_shift]\ntype = \"float\"\nvalue = {shift:?}\n[amplitude]\ntype = \"float\"\nvalue = {amplitude:?}\n"
                )
            };
            put(&member.join("parameters.toml"), text);
            if k + 1 < iterations {
                let [a, b] = g(k, j);
                let lines = format!("{a:?}\n{b:?}\n");
                match layout.outputs {
                    "output.npy" => put(&member.join("output.npy"), npy(2, 1, false, |i, _| [a, b][i])),
                    name @ ("output.csv" | "output.txt") => put(&member.join(name), lines),
                    name @ ("output.toml" | "model_output.toml") => {
                        put(&member.join(name), format!("model_output = [{a:?}, {b:?}]\n"));
                    }
                    _ => put(&member.join("checkpoint.txt"), "completed\n"),
                }
            }
        }
        if k + 1 < iterations {
            let row = |i: usize| (1..=MEMBERS).map(|j| format!("{:?}", g(k, j)[i])).collect::<Vec<_>>();
            match layout.outputs {
                "G_ensemble.csv" => {
                    put(
                        &place.join("G_ensemble.csv"),
                        format!("{}\n{}\n", row(0).join(","), row(1).join(",")),
                    );
                }
                "G_ensemble.npy" => {
                    put(&place.join("G_ensemble.npy"), npy(2, MEMBERS, true, |i, j| g(k, j + 1)[i]));
                    put(&place.join("eki_file.jld2"), "HDF5-based Julia Data Format");
                }
                _ => {}
            }
        }
    }
}

fn study(name: &str) -> Study {
    Study::sinusoid(name).members(MEMBERS as i64).iterations(5)
}

fn adopt(study: &Study, args: &[&str]) -> Ended {
    tool("ekp-init", study.folder.path())
        .args(["--adopt", "theirs"])
        .args(args)
        .args(["experiment.toml", "run"])
        .run()
}

fn run(study: &Study) -> TestRun {
    TestRun { path: study.folder.path().join("run") }
}

fn number(run: &TestRun, file: &str, key: &str) -> f64 {
    run.toml(file)[key].as_float().unwrap()
}

#[test]
fn every_layout_becomes_the_same_run_and_goes_on() {
    let layout = |base, whole, outputs| Layout { base, whole, outputs };
    let layouts = [
        layout(0, true, "output.csv"),
        layout(1, false, "output.txt"),
        layout(1, true, "output.npy"),
        layout(0, false, "output.toml"),
        layout(1, false, "model_output.toml"),
        layout(0, true, "G_ensemble.csv"),
        layout(1, false, "G_ensemble.npy"),
    ];
    let mut times = Vec::new();
    for layout in layouts {
        // Given a folder with two closed iterations and an open one
        let study = study("adopt-layouts").set("layout.first_iteration", layout.base as i64);
        synthesise(&study.folder.path().join("theirs"), layout, 3);
        // When it is adopted
        adopt(&study, &[]).code(0).says("adopted 3 iterations of `theirs`: 2 closed");
        let run = run(&study);
        // Then parameters and outputs are those of the folder, digit by digit
        for k in 0..3 {
            let name = format!("iteration_{:03}", layout.base + k);
            for j in 1..=MEMBERS {
                let parameters = run.toml(&format!("{name}/member_{j:03}/parameters.toml"));
                let [amplitude, shift] = theta(k, j);
                assert_eq!(parameters["amplitude"]["value"].as_float(), Some(amplitude), "{layout:?}");
                assert_eq!(parameters["vert_shift"]["value"].as_float(), Some(shift), "{layout:?}");
                if k < 2 {
                    let data = run.toml(&format!("{name}/member_{j:03}/data.toml"));
                    let output = |block: &str| data["model_output"][block][0].as_float().unwrap();
                    assert_eq!([output("range"), output("mean")], g(k, j), "{layout:?}");
                }
            }
            if k < 2 {
                let update = run.toml(&format!("{name}/update.toml"));
                assert_eq!(update["adopted"].as_str(), Some(format!("../theirs/{name}").as_str()));
                assert_eq!(update["ok"].as_integer(), Some(MEMBERS as i64));
            }
        }
        times.push(number(&run, &format!("iteration_{:03}/update.toml", layout.base + 1), "time"));
        // and every reading tool takes it for a run
        let before = run.snapshot();
        run.tool("ekp-status").succeeds().prints("4");
        let next = run.tool("ekp-status").args(["--next"]).succeeds().out();
        assert_eq!(next, format!("members {} 1-{MEMBERS}\n", layout.base + 2));
        assert_eq!(run.tool("ekp-export").succeeds().out().matches(",ok,").count(), 2 * MEMBERS);
        let first = format!("iteration_{:03}", layout.base);
        run.tool("ekp-cat").args([format!("{first}/ensemble.bin")]).succeeds();
        run.tool("ekp-cat").args([format!("{first}/update.toml")]).succeeds();
        run.tool("ekp-update").args(["-i", &layout.base.to_string()]).succeeds().says("already");
        assert_eq!(run.snapshot(), before);
        // and it goes on to its end
        run.launch(&["-q", "--on", "threads", "--workers", "2"]);
        assert!(run.has("stop.toml"));
        let open = run.toml(&format!("iteration_{:03}/update.toml", layout.base + 2));
        assert!(!open.contains_key("adopted"));
        assert!(open["time"].as_float().unwrap() > times[0]);
    }
    // The same numbers in other files give the same pseudo-time.
    assert!(times[0] > 0.0 && times[0] < 1.0 && times.iter().all(|t| *t == times[0]), "{times:?}");
}

#[test]
fn an_exported_run_adopted_again_ends_where_the_run_itself_would() {
    for momentum in ["none", "nesterov"] {
        // Given three iterations of a run in the layout of ClimaCalibrate
        let study = Study::sinusoid("adopt-export").members(8).set("algorithm.momentum", momentum);
        let study = study.set("algorithm.scheduler", "fixed").set("algorithm.step", 0.15).iterations(3);
        let own = study.init("own");
        own.launch(&["-q", "--on", "threads", "--workers", "1"]);
        own.tool("ekp-export").args([".", "--climacalibrate", "-o", "../theirs"]).succeeds();
        // When it is adopted by an experiment with five
        adopt(&study, &["--set", "algorithm.iterations=5"]).code(0).says("3 closed, pseudo-time 0.4500");
        let run = run(&study);
        // Then parameters and outputs are the same, and so is what was decided
        for k in 0..3 {
            let at = |rest: &str| format!("iteration_00{k}/{rest}");
            for j in 1..=8 {
                let value = |run: &TestRun, name: &str| {
                    run.toml(&at(&format!("member_00{j}/parameters.toml")))[name]["value"].as_float().unwrap()
                };
                for name in ["amplitude", "vert_shift"] {
                    assert_eq!(value(&own, name).to_bits(), value(&run, name).to_bits());
                }
                let data =
                    |run: &TestRun| run.toml(&at(&format!("member_00{j}/data.toml")))["model_output"].clone();
                assert_eq!(data(&own), data(&run));
            }
            for key in ["step", "time", "misfit", "avg_rmse"] {
                assert_eq!(
                    number(&own, &at("update.toml"), key),
                    number(&run, &at("update.toml"), key),
                    "{key}"
                );
            }
        }
        // and both go on to the same end: the method draws nothing, the model's seeds are those of the run
        run.launch(&["-q", "--on", "threads", "--workers", "1"]);
        own.tool("ekp-init").args(["-q", "--extend", "iterations=5", "."]).succeeds();
        own.launch(&["-q", "--on", "threads", "--workers", "1"]);
        for ((name, a), b) in own.result().into_iter().zip(run.result().into_values()) {
            // round-off of logarithms, carried through two steps
            assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9, "{momentum} {name}: {a:?} {b:?}");
        }
    }
}

#[test]
fn members_without_numbers_failed_in_closed_iterations_and_run_in_the_open_one() {
    let study = study("adopt-failed");
    let theirs = study.folder.path().join("theirs");
    synthesise(&theirs, Layout { base: 0, whole: false, outputs: "output.csv" }, 3);
    // Given in the first one a member of NaN, in the second one without an output
    put(&theirs.join("iteration_000/member_002/output.csv"), "NaN\n1.0\n");
    fs::remove_file(theirs.join("iteration_001/member_003/output.csv")).unwrap();
    // and in the open one an output, one half written, and one of NaN
    put(&theirs.join("iteration_002/member_001/output.csv"), "2.0\n6.0\n");
    put(&theirs.join("iteration_002/member_001/checkpoint.txt"), "completed\n");
    put(&theirs.join("iteration_002/member_002/output.csv"), "2.0\n");
    put(&theirs.join("iteration_002/member_002/checkpoint.txt"), "started\n");
    put(&theirs.join("iteration_002/member_004/output.csv"), "NaN\nNaN\n");
    adopt(&study, &[])
        .code(0)
        .says("outputs of 1 member with `checkpoint.txt` at `started`")
        .says("the last has 1 of 4");
    let run = run(&study);
    let cause = |file: &str| run.toml(file)["cause"].as_str().unwrap().to_owned();
    assert_eq!(cause("iteration_000/member_002/failed.toml"), "output");
    assert_eq!(cause("iteration_001/member_003/failed.toml"), "lost");
    let update = run.toml("iteration_001/update.toml");
    assert_eq!((update["ok"].as_integer(), update["failed"].as_integer()), (Some(3), Some(1)));
    assert_eq!(update["outcomes"][2].as_str(), Some("failed: lost"));
    assert!(update["set_aside"][0].as_str().unwrap().contains("member 3: lost: adopted without outputs"));
    assert_eq!(run.tool("ekp-status").args(["--next"]).succeeds().out(), "members 2 2-4\n");
    run.launch(&["-q", "--on", "threads", "--workers", "1"]);
    assert!(
        run.read("iteration_002/member_001/data.toml").contains("Adopted from `../theirs/iteration_002/")
    );
    assert!(run.read("iteration_002/member_002/data.toml").contains("ekp-run-member"));
}

#[test]
fn a_folder_that_is_at_its_end_is_a_run_that_is_over() {
    let study = study("adopt-over").iterations(2);
    let theirs = study.folder.path().join("theirs");
    synthesise(&theirs, Layout { base: 0, whole: true, outputs: "G_ensemble.csv" }, 3);
    adopt(&study, &["--check"]).code(0).says("2 closed");
    assert!(!study.folder.path().join("run").exists());
    adopt(&study, &[]).code(0);
    let run = run(&study);
    let stop = run.toml("stop.toml");
    assert_eq!((stop["reason"].as_str(), stop["final"].as_integer()), (Some("iterations"), Some(2)));
    let mean: f64 = (1..=MEMBERS).map(|j| theta(2, j)[0]).sum::<f64>() / MEMBERS as f64;
    assert!((run.result()["amplitude"].0 - mean).abs() < 1e-12); // round-off of logarithms
    // The same again changes nothing
    let before = run.snapshot();
    adopt(&study, &[]).code(0).says("nothing changed");
    assert_eq!(run.snapshot(), before);
    // Other numbers are another run, and so is none at all
    put(&theirs.join("iteration_000/G_ensemble.csv"), "1,2,3,4\n5,6,7,8\n");
    adopt(&study, &[]).code(2).says("adopted.toml: its first iterations are others");
    // What was adopted is not drawn from the prior in its place when it is gone
    let (first, kept) = (run.path.join("iteration_000"), study.folder.path().join("kept"));
    fs::rename(&first, &kept).unwrap();
    let refused = run.tool("ekp-init-ensemble").fails(1).says("iteration_000` cannot be used: it is gone");
    refused.says("hint: put it back from a copy");
    assert!(!first.exists());
    fs::rename(&kept, &first).unwrap();
    tool("ekp-init", study.folder.path()).args(["experiment.toml", "run"]).fails(2).says("adopted.toml");
    assert_eq!(run.snapshot(), before);
    // More iterations go on from there
    run.tool("ekp-init").args(["-q", "--extend", "iterations=3", "."]).succeeds();
    run.launch(&["-q", "--on", "threads", "--workers", "1"]);
    assert_eq!(run.toml("stop.toml")["final"].as_integer(), Some(3));
}

#[test]
fn every_method_with_an_ensemble_goes_on() {
    for (method, more) in
        [("eki", "none"), ("gnki", "none"), ("eks", "none"), ("aldi", "none"), ("eki", "first-order")]
    {
        let study = study("adopt-methods").set("algorithm.method", method).iterations(3);
        let study = if more == "none" { study } else { study.set("algorithm.momentum", more) };
        let layout = Layout { base: 0, whole: true, outputs: "output.csv" };
        synthesise(&study.folder.path().join("theirs"), layout, 3);
        adopt(&study, &[]).code(0).says("2 closed");
        let run = run(&study);
        run.launch(&["-q", "--on", "threads", "--workers", "1"]);
        assert!(run.has("stop.toml"), "{method}");
    }
}
