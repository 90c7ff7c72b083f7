//! Faults of `priors.toml`.

use super::{Case, case, prior};

pub(super) fn cases() -> Vec<Case> {
    vec![
        // The file
        case("prior_empty").file("priors.toml", ""),
        case("prior_nothing_calibrated").file("priors.toml", "[gravity]\nvalue = 9.81\n"),
        case("prior_not_toml").file("priors.toml", "[amplitude\nprior = 1\n"),
        case("prior_not_utf8").bytes("priors.toml", b"[amplitude]\ndescription = \"\xb0C\"\n"),
        case("prior_table_twice").file("priors.toml", "[a]\nvalue = 1\n\n[b]\nvalue = 1\n\n[a]\nvalue = 2\n"),
        case("prior_unreadable").unreadable("priors.toml"),
        case("prior_folder").folder("priors.toml"),
        // Keys
        prior("prior_number", "prior = 3"),
        prior("prior_table", "prior = { mean = 0 }"),
        prior("prior_empty_text", "prior = \"\""),
        constrained("constraint_missing", "Parameterized(Normal(0, 5))", ""),
        constrained("constraint_number", "Parameterized(Normal(0, 5))", "constraint = 0"),
        constrained("constraint_misspelt", "Parameterized(Normal(0, 5))", "constraint = \"no_constrain()\""),
        constrained("constraint_word", "Parameterized(Normal(0, 5))", "constraint = \"positive\""),
        constrained("constraint_reversed", "Parameterized(Normal(0, 5))", "constraint = \"bounded(5, 0)\""),
        constrained("constraint_one_bound", "Parameterized(Normal(0, 5))", "constraint = \"bounded(5)\""),
        constrained(
            "constraint_too_many",
            "Parameterized(Normal(0, 5))",
            "constraint = \"[no_constraint(), no_constraint()]\"",
        ),
        constrained(
            "constraint_too_few",
            "Parameterized(MvNormal(3, 1.0))",
            "constraint = \"bounded_below(0)\"",
        ),
        constrained(
            "constraint_repeat_of_two",
            "Parameterized(MvNormal(4, 1.0))",
            "constraint = \"repeat([no_constraint(), no_constraint()], 2)\"",
        ),
        prior(
            "regularised_twice",
            "prior = \"constrained_gaussian(vert_shift, 0, 1, -Inf, Inf)\"\nL1 = 0.1\nL2 = 0.1",
        ),
        prior(
            "regularised_by_text",
            "prior = \"constrained_gaussian(vert_shift, 0, 1, -Inf, Inf)\"\nL1 = \"0.1\"",
        ),
        prior(
            "regularised_by_nan",
            "prior = \"constrained_gaussian(vert_shift, 0, 1, -Inf, Inf)\"\nL2 = nan",
        ),
        // Outer constructors
        free("outer_bare", "Normal(0, 5)"),
        free("outer_misspelt", "Parametrized(Normal(0, 5))"),
        free("outer_unknown", "Gaussian(0, 5)"),
        free("outer_not_closed", "Parameterized(Normal(0, 5)"),
        free("outer_two", "Parameterized(Normal(0, 5)) + 1"),
        free("outer_fixed_upper", "Fixed"),
        // Random fields
        free("field_without_terms", "gaussian_random_field(Matern(1, 0.25), grid(0, 1, 20), grid(0, 1, 20))"),
        free("field_terms_many", "gaussian_random_field(Matern(1, 0.25), grid(0, 1, 20); terms = 50)"),
        free("field_kernel_unknown", "gaussian_random_field(Gauss(0.25), grid(0, 1, 20); terms = 5)"),
        free("field_axis_reversed", "gaussian_random_field(Matern(1, 0.25), grid(1, 0, 20); terms = 5)"),
        free("field_keyword", "gaussian_random_field(Matern(1, 0.25), grid(0, 1, 20); trems = 5)"),
        // Distributions
        free("law_misspelt", "Parameterized(Nomral(0, 5))"),
        free("law_unknown", "Parameterized(VonMises(0, 5))"),
        free("law_too_many_numbers", "Parameterized(Normal(0, 5, 1))"),
        free("law_without_number", "Parameterized(TDist())"),
        free("law_std_negative", "Parameterized(Normal(0, -5))"),
        free("law_std_zero", "Parameterized(Normal(0, 0))"),
        free("law_mv_identity", "Parameterized(MvNormal(0, I))"),
        free("law_mv_fraction", "Parameterized(MvNormal(2.5, 1))"),
        free("law_mv_huge", "Parameterized(MvNormal(1000000, 1))"),
        free("law_interval", "Parameterized(Uniform(1, 0))"),
        free("law_mode_outside", "Parameterized(TriangularDist(0, 1, 3))"),
        free("law_shape", "Parameterized(Gamma(0, 1))"),
        free("law_not_a_call", "Parameterized(5)"),
        // Numbers
        free("number_arithmetic", "Parameterized(Normal(0, 1/3))"),
        free("number_name", "Parameterized(Normal(0, sigma))"),
        free("number_nan", "Parameterized(Normal(NaN, 1))"),
        free("number_infinite", "Parameterized(Normal(0, Inf))"),
        free("number_beyond_double", "Parameterized(Normal(0, 1e999))"),
        free("number_two_points", "Parameterized(Normal(0, 1.2.3))"),
        free("number_missing", "Parameterized(Normal(0, ))"),
        free("number_comma", "Parameterized(Normal(0 5))"),
        // Vectors and samples
        free("vector_without_list", "VectorOfParameterized(Normal(0, 1))"),
        free("vector_empty", "VectorOfParameterized([])"),
        free("vector_repeat_zero", "VectorOfParameterized(repeat([Normal(0, 1)], 0))"),
        free("vector_repeat_two", "VectorOfParameterized(repeat([Normal(0, 1), Normal(0, 2)], 3))"),
        free("samples_ragged", "Samples([1 2 3; 4 5])"),
        free("samples_one_draw", "Samples([1; 2])"),
        free("samples_commas", "Samples([1, 2; 3, 4])"),
        free("samples_empty", "Samples([])"),
        // constrained_gaussian
        prior("gaussian_too_few", "prior = \"constrained_gaussian(vert_shift, 0, 1)\""),
        prior("gaussian_too_many", "prior = \"constrained_gaussian(vert_shift, 0, 1, 0, 1, 2)\""),
        prior(
            "gaussian_keyword",
            "prior = \"constrained_gaussian(vert_shift, 0, 1, -Inf, Inf; repeat = 3)\"",
        ),
        prior(
            "gaussian_repeats_zero",
            "prior = \"constrained_gaussian(vert_shift, 0, 1, -Inf, Inf; repeats = 0)\"",
        ),
        prior("gaussian_mean_outside", "prior = \"constrained_gaussian(vert_shift, -1, 1, 0, Inf)\""),
        prior("gaussian_std_zero", "prior = \"constrained_gaussian(vert_shift, 0, 0, -Inf, Inf)\""),
        prior("gaussian_std_wide", "prior = \"constrained_gaussian(vert_shift, 0.5, 0.6, 0, 1)\""),
        prior("gaussian_bounds_reversed", "prior = \"constrained_gaussian(vert_shift, 0, 1, 5, -5)\""),
        prior("gaussian_no_name", "prior = \"constrained_gaussian(0, 1, -Inf, Inf)\""),
        prior("gaussian_open_quote", "prior = 'constrained_gaussian(\"vert_shift, 0, 1, -Inf, Inf)'"),
        prior("gaussian_lower_case_inf", "prior = \"constrained_gaussian(vert_shift, 0, 1, -inf, inf)\""),
        // Strings of several lines and signs of other alphabets: the place must still be right
        prior(
            "place_in_several_lines",
            "prior = \"\"\"\nVectorOfParameterized([\n  Normal(0, 1),\n  Nomral(0, 1)])\"\"\"\nconstraint = \"no_constraint()\"",
        ),
        prior("place_after_letters", "prior = \"constrained_gaussian(ρ₁, 0, −1, -Inf, Inf)\""),
    ]
}

/// A prior expression beside `no_constraint()`.
fn free(name: &'static str, expression: &str) -> Case {
    prior(name, &format!("prior = \"{expression}\"\nconstraint = \"no_constraint()\""))
}

fn constrained(name: &'static str, expression: &str, constraint: &str) -> Case {
    prior(name, &format!("prior = \"{expression}\"\n{constraint}"))
}
