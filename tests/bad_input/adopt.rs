//! Faults of folders that are to be adopted, and of experiments that cannot adopt one.

use super::{Case, case};

const MEMBERS: [&str; 3] = ["member_001", "member_002", "member_003"];

const ADOPT: [&str; 6] = ["--set", "algorithm.members=3", "--adopt", "theirs", "experiment.toml", "run"];

fn parameters(amplitude: &str, more: &str) -> String {
    format!(
        "[amplitude]\ntype = \"float\"\nvalue = {amplitude}\n[vert_shift]\ntype = \"float\"\nvalue = 6.5\n{more}"
    )
}

/// A name of `theirs/`; cases live as long as the test.
fn at(iteration: u32, rest: &str) -> &'static str {
    Box::leak(format!("theirs/iteration_{iteration:03}/{rest}").into_boxed_str())
}

/// Three members in these iterations; the last iteration has no outputs.
fn folder(name: &'static str, iterations: &[u32]) -> Case {
    let mut case = case(name).init(&ADOPT);
    for (k, &iteration) in iterations.iter().enumerate() {
        for (j, member) in MEMBERS.iter().enumerate() {
            let value = format!("1.{j}{k}");
            case = case.file(at(iteration, &format!("{member}/parameters.toml")), parameters(&value, ""));
            if k + 1 < iterations.len() {
                let outputs = format!("2.{j}\n6.{k}{j}\n");
                case = case.file(at(iteration, &format!("{member}/output.csv")), outputs);
            }
        }
    }
    case
}

fn theirs(name: &'static str) -> Case {
    folder(name, &[0, 1])
}

fn second(text: &str) -> (&'static str, String) {
    (at(0, "member_002/parameters.toml"), text.to_owned())
}

/// The second member's parameters are `text`.
fn parameter(name: &'static str, text: &str) -> Case {
    let (file, text) = second(text);
    theirs(name).file(file, text)
}

/// The second member's output is `text`.
fn output(name: &'static str, text: &str) -> Case {
    theirs(name).file(at(0, "member_002/output.csv"), text)
}

fn set(case: Case, setting: &'static str) -> Case {
    case.init(&[&["--set", setting], &ADOPT[..]].concat())
}

pub(super) fn cases() -> Vec<Case> {
    let near = "3.01\n7.01\n";
    let mut over = folder("adopt_beyond_the_end", &[0, 1, 2]);
    for member in MEMBERS {
        over = over.file(at(0, &format!("{member}/output.csv")), near.replace("01", &member[7..]));
    }
    let mut dead = theirs("adopt_nobody_survived");
    for member in &MEMBERS[..2] {
        dead = dead.file(at(0, &format!("{member}/output.csv")), "NaN\nNaN\n");
    }
    let mut silent = theirs("adopt_outputs_missing");
    for member in MEMBERS {
        silent = silent.gone(at(0, &format!("{member}/output.csv")));
    }
    let mut julia =
        theirs("adopt_matrix_jld2").file(at(0, "G_ensemble.jld2"), "HDF5-based Julia Data Format");
    for member in MEMBERS {
        julia = julia.gone(at(0, &format!("{member}/output.csv")));
    }
    vec![
        // The folder
        case("adopt_not_there").init(&ADOPT),
        case("adopt_a_file").init(&["--adopt", "priors.toml", "experiment.toml", "run"]),
        case("adopt_a_run").made().init(&["--adopt", "run", "experiment.toml", "again"]),
        case("adopt_no_iterations").init(&ADOPT).file("theirs/eki.jld2", "HDF5-based Julia Data Format"),
        folder("adopt_first_iterations_missing", &[2, 3]),
        folder("adopt_gap_of_iterations", &[1, 2, 4]),
        theirs("adopt_gap_of_members").file(at(1, "member_005/parameters.toml"), ""),
        theirs("adopt_members_differ").file(at(1, "member_004/parameters.toml"), ""),
        theirs("adopt_other_ensemble_size").init(&["--adopt", "theirs", "experiment.toml", "run"]),
        theirs("adopt_a_number_twice").file(at(1, "member_0003/parameters.toml"), ""),
        // Parameters
        theirs("adopt_no_parameters").gone(at(0, "member_002/parameters.toml")),
        parameter("adopt_parameters_not_toml", "amplitude: 1.0\n"),
        parameter("adopt_parameter_missing", "[amplitude]\nvalue = 1.0\n"),
        parameter("adopt_parameter_unknown", &parameters("1.0", "[gravty]\nvalue = 9.81\n")),
        parameter("adopt_parameter_on_its_bound", &parameters("0.0", "")),
        parameter("adopt_parameter_beyond_its_bound", &parameters("-0.5", "")),
        parameter("adopt_parameter_not_finite", &parameters("nan", "")),
        parameter("adopt_parameter_of_another_kind", &parameters("[1.0, 2.0]", "")),
        parameter("adopt_parameter_not_calibrated_here", &parameters("1.0", "[gravity]\nvalue = 9.7\n"))
            .file(at(0, "member_001/parameters.toml"), parameters("1.0", "[gravity]\nvalue = 9.81\n")),
        // Outputs
        output("adopt_output_short", "2.0\n"),
        output("adopt_output_infinite", "2.0\nInf\n"),
        output("adopt_output_of_words", "2.0\nerror\n"),
        output("adopt_output_empty", ""),
        theirs("adopt_outputs_contradict").file(at(0, "member_002/output.txt"), "2.0\n6.0\n"),
        theirs("adopt_output_npy_torn")
            .gone(at(0, "member_002/output.csv"))
            .bytes(at(0, "member_002/output.npy"), b"\x93NUMPY\x01\x00"),
        theirs("adopt_output_toml_without_numbers")
            .gone(at(0, "member_002/output.csv"))
            .file(at(0, "member_002/output.toml"), "output = [2.0, 6.0]\n"),
        theirs("adopt_output_jld2")
            .gone(at(0, "member_002/output.csv"))
            .file(at(0, "member_002/output.jld2"), "HDF5-based Julia Data Format"),
        julia,
        theirs("adopt_matrix_transposed").file(at(0, "G_ensemble.csv"), "2.0,6.0\n2.1,6.1\n2.2,6.2\n"),
        theirs("adopt_matrix_ragged").file(at(0, "G_ensemble.csv"), "2.0,2.1,2.2\n6.0,6.1\n"),
        theirs("adopt_matrix_infinite").file(at(0, "G_ensemble.csv"), "2.0,2.1,2.2\n6.0,-Inf,6.2\n"),
        silent,
        theirs("adopt_checkpoint_unknown").file(at(0, "member_001/checkpoint.txt"), "failed\n"),
        dead,
        // The experiment
        folder("adopt_more_iterations_than_asked_for", &[0, 1, 2, 3]).init(
            &[&["--set", "algorithm.iterations=2", "--set", "algorithm.scheduler=fixed"], &ADOPT[..]]
                .concat(),
        ),
        over,
        theirs("adopt_with_utki").init(&[
            "--set",
            "algorithm.method=utki",
            "--set",
            "algorithm.members=5",
            "--adopt",
            "theirs",
            "experiment.toml",
            "run",
        ]),
        set(theirs("adopt_with_packs"), "model.pack=2"),
        theirs("adopt_and_from").init(&["--adopt", "theirs", "--from", "run:1", "experiment.toml", "b"]),
        theirs("adopt_into_a_run").made().init(&["--adopt", "theirs", "run"]),
        theirs("adopt_where_another_run_is").made().init(&[
            "--set",
            "algorithm.members=3",
            "--adopt",
            "theirs",
            "experiment.toml",
            "run",
        ]),
    ]
}
