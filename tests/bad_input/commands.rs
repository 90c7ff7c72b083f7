//! Faults of command lines, and of the folders they name.

use super::{Case, EXPERIMENT, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        // --set
        case("set_without_equals").init(&["--set", "algorithm.members"]),
        case("set_empty_key").init(&["--set", "algorithm.=3"]),
        case("set_without_key").init(&["--set", "=3"]),
        case("set_through_a_value").init(&["--set", "seed.x=3"]),
        case("set_unknown_key").init(&["--set", "algorithm.membres=30"]),
        case("set_out_of_range").init(&["--set", "algorithm.members=1"]),
        case("set_new_table_out_of_range").init(&["--set", "failures.quorum=2"]),
        case("set_wrong_type").init(&["--set", "algorithm.members=many"]),
        case("set_without_value").init(&["--set", "algorithm.members="]),
        case("set_open_array").init(&["--set", "prior.names=[\"amplitude\""]),
        // Folders
        case("experiment_argument_not_there").init(&["experimnt.toml"]),
        case("run_is_a_file").init(&["experiment.toml", "priors.toml"]),
        case("run_below_a_file").init(&["experiment.toml", "priors.toml/run"]),
        case("run_is_occupied").init(&["experiment.toml", "data"]).file("data/q.csv", "1\n"),
        case("run_of_another_experiment")
            .made()
            .file("experiment.toml", EXPERIMENT.replace("seed = 42", "seed = 43").replace("20", "30"))
            .init(&["experiment.toml", "run"]),
        case("run_of_another_prior")
            .made()
            .file("priors.toml", super::PRIORS.replace("9.81", "1.62"))
            .init(&["experiment.toml", "run"]),
        case("run_of_another_observation")
            .made()
            .file("observation.toml", super::OBSERVATION.replace("7.0", "8.0"))
            .init(&["experiment.toml", "run"]),
        case("three_folders").init(&["experiment.toml", "a", "b"]),
        case("option_unknown").init(&["--chek"]),
        case("check_and_try").init(&["--check", "--try"]),
        // --new
        case("new_unknown").init(&["--new", "ekti", "fresh"]),
        case("new_occupied").init(&["--new", "etki", "."]),
        case("new_in_a_file").init(&["--new", "etki", "priors.toml"]),
        // --extend
        case("extend_nonsense").made().init(&["--extend", "20", "run"]),
        case("extend_text").made().init(&["--extend", "iterations=many", "run"]),
        case("extend_smaller").made().init(&["--extend", "iterations=5", "run"]),
        case("extend_too_many").made().init(&["--extend", "iterations=200000", "run"]),
        case("extend_step_of_a_fixed_run").made().init(&["--extend", "step=0.5", "run"]),
        case("fork_to_utki").made().init(&[
            "--set",
            "algorithm.method=utki",
            "--set",
            "algorithm.members=5",
            "--from",
            "run:0",
            "experiment.toml",
            "forked",
        ]),
        case("extend_no_run").init(&["--extend", "iterations=20"]),
        case("extend_experiment").init(&["--extend", "iterations=20", "experiment.toml"]),
        // --from
        case("from_nonsense").init(&["--from", "run", "experiment.toml", "fork"]),
        case("from_no_run").init(&["--from", "data:1", "experiment.toml", "fork"]),
        case("from_no_such_iteration").made().init(&["--from", "run:7", "experiment.toml", "fork"]),
        case("from_not_a_number").made().init(&["--from", "run:last", "experiment.toml", "fork"]),
        // Run folders
        case("not_a_run").tool("ekp-init-ensemble", &[]),
        case("not_there").tool("ekp-init-ensemble", &["rum"]),
        case("run_argument_is_a_file").tool("ekp-update", &["priors.toml", "-i", "0"]),
        case("run_record_garbage")
            .made()
            .file("run/run.toml", "garbage\n")
            .tool("ekp-init-ensemble", &["run"]),
        case("run_record_empty").made().file("run/run.toml", "").tool("ekp-init-ensemble", &["run"]),
        case("run_record_version")
            .made()
            .file("run/run.toml", "schema = \"ekp.run\"\nversion = 2\n")
            .tool("ekp-init-ensemble", &["run"]),
        case("run_record_foreign")
            .made()
            .file("run/run.toml", "schema = \"ekp.stop\"\nversion = 1\n")
            .tool("ekp-init-ensemble", &["run"]),
        case("run_copy_gone").made().gone("run/experiment.toml").tool("ekp-init-ensemble", &["run"]),
        case("run_copy_edited")
            .made()
            .file("run/priors.toml", "[amplitude]\nprior = \"fixed\"\n")
            .tool("ekp-init-ensemble", &["run"]),
        // Members and iterations
        case("members_argument_zero").made().tool("ekp-run-member", &["run", "-i", "0", "--members", "0"]),
        case("members_argument_backwards").made().tool("ekp-run-member", &["run", "-i", "0", "-m", "3-1"]),
        case("members_argument_words").made().tool("ekp-run-member", &["run", "-i", "0", "-m", "all"]),
        case("members_argument_beyond").made().tool("ekp-run-member", &["run", "-i", "0", "-m", "19-21"]),
        case("members_argument_missing").made().tool("ekp-run-member", &["run", "-i", "0"]),
        case("iteration_argument_word").made().tool("ekp-run-member", &["run", "-i", "x", "-m", "1"]),
        case("iteration_argument_negative").made().tool("ekp-update", &["run", "-i", "-1"]),
        case("iteration_argument_missing").made().tool("ekp-update", &["run"]),
        case("element_without_per_element")
            .made()
            .tool("ekp-run-member", &["run", "-i", "0", "--element", "1"]),
        case("element_zero")
            .made()
            .tool("ekp-run-member", &["run", "-i", "0", "--element", "0", "--per-element", "1"]),
        case("element_beyond")
            .made()
            .tool("ekp-run-member", &["run", "-i", "0", "--element", "21", "--per-element", "1"]),
        case("threads_zero").made().tool("ekp-run-member", &["run", "-i", "0", "-m", "1", "--threads", "0"]),
        // Launching
        case("launch_carrier_unknown").made().tool("ekp-launch", &["run", "--on", "pbs"]),
        case("launch_workers_zero").made().tool("ekp-launch", &["run", "--workers", "0"]),
        case("launch_workers_word").made().tool("ekp-launch", &["run", "--workers", "all"]),
        case("launch_nothing_there").tool("ekp-launch", &["rum"]),
        case("launch_no_experiment").tool("ekp-launch", &["priors.toml"]),
        case("launch_bad_site")
            .made()
            .file("run/site.toml", "[local]\nworker = 2\n")
            .tool("ekp-launch", &["run"]),
        case("worker_rank_word").made().tool("ekp-worker", &["run", "--rank", "first"]),
        case("worker_lease_nan").made().tool("ekp-worker", &["run", "--lease", "nan"]),
    ]
}
