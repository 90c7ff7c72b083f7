//! Faults of `experiment.toml`, without those of `[model]`.

use super::{Case, EXPERIMENT, OBSERVATION, PRIORS, case, experiment};

pub(super) fn cases() -> Vec<Case> {
    vec![
        // No TOML
        experiment("experiment_no_equals", "seed = 42", "seed 42"),
        experiment("experiment_open_string", "\"study\"", "\"study"),
        experiment("experiment_bare_word", "\"study\"", "study"),
        experiment("experiment_comma_for_point", "members = 20", "members = 20,5"),
        experiment("experiment_key_twice", "seed = 42", "seed = 42\nseed = 43"),
        experiment("experiment_table_twice", "[prior]", "[model]"),
        case("experiment_empty").file("experiment.toml", ""),
        case("experiment_blank").file("experiment.toml", "\n\n# nothing yet\n"),
        case("experiment_not_utf8").bytes("experiment.toml", b"# caf\xe9\nname = \"study\"\n"),
        case("experiment_folder_in_its_place").folder("experiment.toml").init(&["experiment.toml"]),
        case("experiment_unreadable").unreadable("experiment.toml"),
        case("experiment_gone").gone("experiment.toml").init(&[]),
        case("experiment_folder_without").init(&["."]).gone("experiment.toml"),
        case("experiment_is_an_observation").file("experiment.toml", OBSERVATION),
        case("experiment_is_a_prior").file("experiment.toml", PRIORS),
        // Schema, version, name, seed
        experiment("schema_misspelt", "ekp.experiment", "ekp.experimnt"),
        experiment("schema_missing", "schema = \"ekp.experiment\"\n", ""),
        experiment("version_unknown", "version = 1", "version = 2"),
        experiment("version_as_text", "version = 1", "version = \"1\""),
        experiment("version_missing", "version = 1\n", ""),
        experiment("name_missing", "name = \"study\"\n", ""),
        experiment("name_with_blank", "\"study\"", "\"my study\""),
        experiment("name_with_slash", "\"study\"", "\"../study\""),
        experiment("name_is_a_number", "\"study\"", "7"),
        experiment("name_too_long", "\"study\"", &format!("\"{}\"", "study_".repeat(11))),
        experiment("seed_missing", "seed = 42\n", ""),
        experiment("seed_negative", "42", "-1"),
        experiment("seed_too_large", "42", "9223372036854775808"),
        experiment("seed_fraction", "42", "4.2"),
        experiment("seed_as_text", "42", "\"42\""),
        // Tables
        experiment("table_model_missing", "[model]\nbuiltin = \"sinusoid\"\n", ""),
        experiment("table_prior_missing", "[prior]\nfile = \"priors.toml\"\n", ""),
        experiment("table_observation_missing", "[observation]\nfile = \"observation.toml\"\n", ""),
        experiment(
            "table_algorithm_missing",
            "[algorithm]\nmethod = \"etki\"\nmembers = 20\niterations = 10\n",
            "",
        ),
        experiment("table_as_text", "[prior]\nfile = \"priors.toml\"", "prior = \"priors.toml\""),
        experiment("table_as_array", "[algorithm]", "[[algorithm]]"),
        experiment("table_misspelt", "[algorithm]", "[algoritm]"),
        experiment("table_foreign", "[algorithm]", "[score]\nname = \"kge\"\n\n[algorithm]"),
        experiment("table_unknown", "[algorithm]", "[machine]\ncores = 4\n\n[algorithm]"),
        experiment("key_unknown_at_top", "seed = 42", "seed = 42\nsead = 42"),
        // [prior] and [observation]
        experiment("prior_file_missing", "file = \"priors.toml\"\n", ""),
        experiment("prior_file_not_there", "priors.toml", "prior.toml"),
        experiment("prior_file_is_a_folder", "\"priors.toml\"", "\".\""),
        experiment("prior_file_empty_name", "\"priors.toml\"", "\"\""),
        experiment(
            "prior_key_unknown",
            "file = \"priors.toml\"",
            "file = \"priors.toml\"\nname = [\"amplitude\"]",
        ),
        experiment("observation_file_not_there", "observation.toml", "obs/observation.toml"),
        experiment("observation_key_unknown", "file = \"observation.toml\"", "fil = \"observation.toml\""),
        // names
        names("names_unknown", "[\"amplitude\", \"vert_shfit\"]"),
        names("names_twice", "[\"amplitude\", \"vert_shift\", \"amplitude\"]"),
        names("names_without_prior", "[\"amplitude\", \"gravity\"]"),
        names("names_fixed", "[\"amplitude\", \"known\"]"),
        names("names_empty", "[]"),
        names("names_numbers", "[\"amplitude\", 2]"),
        names("names_text", "\"amplitude\""),
        names("names_leave_one_out", "[\"amplitude\"]"),
        // [algorithm]
        experiment("method_unknown", "etki", "etk"),
        experiment("method_number", "\"etki\"", "3"),
        experiment("members_missing", "members = 20\n", ""),
        experiment("members_one", "20", "1"),
        experiment("members_negative", "20", "-20"),
        experiment("members_fraction", "20", "20.0"),
        experiment("members_text", "20", "\"20\""),
        experiment("members_too_many", "20", "100000000"),
        experiment("members_misspelt", "members", "membres"),
        experiment("iterations_zero", "10", "0"),
        experiment("iterations_missing", "iterations = 10\n", ""),
        algorithm("perturb_with_etki", "perturb = true"),
        algorithm("nugget_with_etki", "nugget = 0.1"),
        algorithm("scheduler_unknown", "scheduler = \"data_misfit\""),
        algorithm("step_with_data_misfit", "step = 1.0"),
        algorithm("step_zero", "scheduler = \"fixed\"\nstep = 0"),
        algorithm("step_infinite", "scheduler = \"fixed\"\nstep = inf"),
        algorithm("terminate_at_zero", "terminate_at = 0"),
        algorithm("terminate_at_nan", "terminate_at = nan"),
        algorithm("number_too_large", "terminate_at = 1e400"),
        algorithm("on_terminate_unknown", "on_terminate = \"halt\""),
        // What only some methods, schedulers, momenta and inflations know
        algorithm("momentum_r_without_first_order", "momentum = \"nesterov\"\nmomentum_r = 3"),
        algorithm("momentum_factor_of_one", "momentum = \"constant\"\nmomentum_factor = 1"),
        algorithm("inflation_without_rate", "inflation = \"additive\""),
        algorithm("inflation_rate_alone", "inflation_rate = 0.1"),
        algorithm(
            "inflation_without_bound",
            "scheduler = \"fixed\"\nstep = 2\ninflation = \"multiplicative\"\ninflation_rate = 0.5",
        ),
        algorithm("inflation_damping_without_prior", "inflation = \"prior-damping\""),
        algorithm(
            "inflation_covariance_of_multiplicative",
            "inflation = \"multiplicative\"\ninflation_rate = 0.1\ninflation_covariance = \"current\"",
        ),
        algorithm("sigma_points_with_etki", "sigma_points = \"simplex\""),
        algorithm("numerator_with_data_misfit", "numerator = 1.0"),
        method("momentum_with_aldi", "aldi", "momentum = \"nesterov\""),
        method("inflation_with_eks", "eks", "inflation = \"additive\"\ninflation_rate = 0.1"),
        method("impose_prior_with_aldi", "aldi", "impose_prior = true"),
        method("members_with_utki", "utki", ""),
        method("aldi_with_cauchy", "aldi", "").edited(
            "priors.toml",
            PRIORS,
            "Parameterized(Normal(0, 5))",
            "Parameterized(Cauchy(0, 5))",
        ),
        method("redraw_with_utki", "utki", "failed_members = \"redraw\""),
        method("nugget_with_utki", "utki", "nugget = 1e-8"),
        method("alpha_with_imposed_prior", "uki", "impose_prior = true\nalpha_reg = 0.5"),
        method("prior_weight_without_imposed_prior", "uki", "prior_weight = \"twice\""),
        method("update_freq_negative", "uki", "update_freq = -1"),
        algorithm("draws_with_etki", "draws = \"peer\""),
        method("gnki_step_above_one", "gnki", "step = 1.5"),
        method("sparse_without_limit", "sparse-eki", ""),
        method("sparse_limit_zero", "sparse-eki", "sparse = { limit = 0 }"),
        method("sparse_limit_missing", "sparse-eki", "sparse = { limits = 2 }"),
        method(
            "sparse_parameter_unknown",
            "sparse-eki",
            "sparse = { limit = 2, parameters = [\"amplitud\"] }",
        ),
        method("sparse_table_with_eki", "eki", "sparse = { limit = 2 }"),
        // [algorithm.localisation]
        localised("localisation_without_rule", "eki", "form = \"cross\""),
        localised("localisation_unknown", "eki", "rule = \"sec_nice\""),
        localised("localisation_as_text", "eki", "weights = \"all\"\nrule = \"weights\""),
        localised("localisation_with_etki", "etki", "rule = \"sec-nice\""),
        localised("localisation_with_uki", "uki", "rule = \"delta\""),
        localised("localisation_joint_with_etki", "etki", "rule = \"delta\"\nform = \"joint\""),
        localised("localisation_local_with_eki", "eki", "rule = \"delta\"\nform = \"local\""),
        localised("localisation_cross_with_gnki", "gnki", "rule = \"delta\"\nform = \"cross\""),
        localised("localisation_foreign_key", "eki", "rule = \"sec\"\nlength = 2"),
        localised("localisation_form_of_none", "eki", "rule = \"none\"\nform = \"joint\""),
        localised("localisation_length_missing", "eki", "rule = \"rbf\""),
        localised("localisation_keep_above_one", "eki", "rule = \"dropout\"\nkeep = 1.5"),
        localised("localisation_alpha_negative", "eki", "rule = \"sec\"\nalpha = -1"),
        localised("weights_missing", "eki", "rule = \"weights\""),
        localised("weights_above_one", "eki", "rule = \"weights\"\nweights.amplitude.y = 2"),
        localised("weights_without_block", "eki", "rule = \"weights\"\nweights.amplitude = 0.5"),
        localised("weights_unknown_parameter", "eki", "rule = \"weights\"\nweights.amplitud.y = 0.5"),
        localised("weights_unknown_block", "eki", "rule = \"weights\"\nweights.amplitude.z = 0.5"),
        // [[algorithm.group]]
        group("group_without_blocks", "parameters = [\"amplitude\"]"),
        group("group_empty", "parameters = []\nblocks = [\"y\"]"),
        group("group_unknown_parameter", "parameters = [\"amplitud\"]\nblocks = [\"y\"]"),
        group("group_unknown_block", "parameters = [\"amplitude\"]\nblocks = [\"x\"]"),
        group("group_leaves_one_out", "parameters = [\"amplitude\"]\nblocks = [\"y\"]"),
        group(
            "group_twice",
            "parameters = [\"amplitude\", \"vert_shift\"]\nblocks = [\"y\"]\n\
             [[algorithm.group]]\nparameters = [\"amplitude\"]\nblocks = [\"y\"]",
        ),
        // The smaller tables
        algorithm("outlier_factor_small", "[failures]\noutlier_factor = 0.5"),
        algorithm(
            "outlier_factor_with_ignore",
            "failed_members = \"ignore\"\n[failures]\noutlier_factor = 1e6",
        ),
        algorithm("retries_negative", "[failures]\nretries = -1"),
        algorithm("quorum_above_one", "[failures]\nquorum = 50"),
        algorithm("quorum_nan", "[failures]\nquorum = nan"),
        algorithm("lost_unknown", "[failures]\nlost = \"ignore\""),
        algorithm("lost_boolean", "[failures]\nlost = true"),
        algorithm("nan_tolerance_negative", "[failures]\nnan_tolerance = -0.1"),
        algorithm("failures_key_unknown", "[failures]\nretry = 3"),
        algorithm("first_iteration_two", "[layout]\nfirst_iteration = 2"),
        algorithm("keep_unknown", "[files]\nkeep = \"none\""),
        algorithm("date_for_number", "[failures]\nquorum = 2026-01-01"),
    ]
}

fn names(name: &'static str, list: &str) -> Case {
    experiment(name, "file = \"priors.toml\"", &format!("file = \"priors.toml\"\nnames = {list}"))
}

fn method(name: &'static str, method: &str, more: &str) -> Case {
    let text = EXPERIMENT.replace("\"etki\"", &format!("\"{method}\""));
    case(name).file("experiment.toml", format!("{text}{more}\n"))
}

fn algorithm(name: &'static str, more: &str) -> Case {
    case(name).file("experiment.toml", format!("{EXPERIMENT}{more}\n"))
}

fn localised(name: &'static str, of: &str, keys: &str) -> Case {
    method(name, of, &format!("[algorithm.localisation]\n{keys}"))
}

fn group(name: &'static str, keys: &str) -> Case {
    algorithm(name, &format!("[[algorithm.group]]\n{keys}"))
}
