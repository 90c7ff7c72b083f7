//! Faults of `observation.toml`, and of the files it names.

use super::{Case, case, observation};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("observation_empty").file("observation.toml", ""),
        case("observation_without_block")
            .file("observation.toml", "schema = \"ekp.observation\"\nversion = 1\n"),
        case("observation_not_toml").file("observation.toml", "y: [1, 2]\n"),
        case("observation_unreadable").unreadable("observation.toml"),
        observation("observation_schema", "ekp.observation", "ekp.data"),
        observation("observation_version", "version = 1", "version = 3"),
        observation("block_single_brackets", "[[block]]", "[block]"),
        observation("block_misspelt", "[[block]]", "[[blocks]]"),
        observation("block_key_unknown", "name", "nmae"),
        observation("block_name_blank", "\"y\"", "\"my y\""),
        observation(
            "block_name_twice",
            "[[block]]",
            "[[block]]\nname = \"y\"\ny = [1]\ncovariance = { scalar = 1 }\n\n[[block]]",
        ),
        observation("y_missing", "y = [3.0, 7.0]\n", ""),
        observation("y_empty", "[3.0, 7.0]", "[]"),
        observation("y_number", "[3.0, 7.0]", "3.0"),
        observation("y_text_inside", "[3.0, 7.0]", "[3.0, \"7.0\"]"),
        observation("y_nested", "[3.0, 7.0]", "[[3.0, 7.0]]"),
        observation("y_infinite", "[3.0, 7.0]", "[3.0, -inf]"),
        observation("y_all_nan", "[3.0, 7.0]", "[nan, nan]"),
        observation("y_length", "[3.0, 7.0]", "[3.0, 7.0, 1.0]"),
        observation("y_and_file", "y = [3.0, 7.0]", "y = [3.0, 7.0]\nfile = \"q.csv\""),
        observation("column_without_file", "y = [3.0, 7.0]", "y = [3.0, 7.0]\ncolumn = \"q\""),
        // Series
        observation("series_and_block", "[[block]]", "[[observation]]\nname = \"a\"\n\n[[block]]"),
        observation(
            "series_without_block",
            "[[block]]\nname = \"y\"\ny = [3.0, 7.0]\ncovariance = { scalar = 0.1 }\n",
            "[[observation]]\nname = \"a\"\n",
        ),
        observation("minibatch_without_series", "[[block]]", "[minibatch]\nsize = 2\n\n[[block]]"),
        observation(
            "minibatch_size",
            "[[block]]",
            "[minibatch]\nsize = 2\n\n[[observation]]\n[[observation.block]]",
        ),
        observation(
            "minibatch_unknown_name",
            "[[block]]",
            "[minibatch]\nbatches = [[\"first\"]]\n\n[[observation]]\nname = \"frist\"\n[[observation.block]]",
        ),
        // Files
        file("y_file_not_there", "file = \"q.csv\"", None),
        file("y_file_ending", "file = \"q.dat\"", Some(("q.dat", b"1\n2\n"))),
        file(
            "y_file_no_column",
            "file = \"q.csv\"\ncolumn = \"q_mm\"",
            Some(("q.csv", b"time,q\n1,3.0\n2,7.0\n")),
        ),
        file("y_file_two_columns", "file = \"q.csv\"", Some(("q.csv", b"3.0,1\n7.0,2\n"))),
        file("y_file_word", "file = \"q.csv\"", Some(("q.csv", b"q\n3.0\nseven\n"))),
        file("y_file_ragged", "file = \"q.csv\"\ncolumn = \"q\"", Some(("q.csv", b"t,q\n1,3.0\n2\n"))),
        file("y_file_empty", "file = \"q.csv\"", Some(("q.csv", b""))),
        file("y_file_infinite", "file = \"q.csv\"", Some(("q.csv", b"q\n3.0\ninf\n"))),
        file("y_file_comma_decimal", "file = \"q.csv\"", Some(("q.csv", b"q\n3,0\n7,0\n"))),
        file("y_file_not_npy", "file = \"q.npy\"", Some(("q.npy", b"3.0\n7.0\n"))),
        file("y_file_npy_cut", "file = \"q.npy\"", Some(("q.npy", b"\x93NUMPY\x01\x00"))),
        file("y_file_is_a_folder", "file = \"runs.csv\"", None).folder("runs.csv"),
        file("y_file_number", "file = 7", None),
        // Covariance
        observation("covariance_missing", "covariance = { scalar = 0.1 }\n", ""),
        covariance("covariance_number", "0.1"),
        covariance("covariance_array", "[0.1, 0.1]"),
        covariance("covariance_empty_table", "{}"),
        covariance("covariance_two_forms", "{ scalar = 0.1, diagonal = [0.1, 0.1] }"),
        covariance("covariance_misspelt", "{ diagnal = [0.1, 0.1] }"),
        covariance("covariance_unknown_form", "{ variance = 0.1 }"),
        covariance("covariance_negative", "{ scalar = -0.1 }"),
        covariance("covariance_zero", "{ diagonal = [0.1, 0] }"),
        covariance("covariance_nan", "{ scalar = nan }"),
        covariance("covariance_text", "{ scalar = \"0.1\" }"),
        covariance("covariance_short", "{ diagonal = [0.1] }"),
        covariance("covariance_file_as_text", "{ diagonal = \"v.csv\" }"),
        covariance("covariance_file_not_there", "{ diagonal = { file = \"v.csv\" } }"),
        covariance("covariance_file_key", "{ dense = { path = \"v.csv\" } }"),
        covariance("covariance_not_square", "{ dense = [[1.0, 0.0]] }"),
        covariance("covariance_ragged", "{ dense = [[1.0, 0.0], [1.0]] }"),
        covariance("covariance_flat", "{ dense = [1.0, 0.0, 0.0, 1.0] }"),
        covariance("covariance_asymmetric", "{ dense = [[1.0, 0.5], [0.4, 1.0]] }"),
        covariance("covariance_not_positive", "{ dense = [[1.0, 2.0], [2.0, 1.0]] }"),
        covariance("covariance_low_rank_alone", "{ low_rank = { u = [[0.6], [0.8]], s = [4.0] } }"),
        covariance(
            "covariance_low_rank_shape",
            "{ low_rank = { u = [[0.6, 0.8]], s = [4.0] }, plus = { scalar = 0.1 } }",
        ),
        covariance("covariance_plus_number", "{ low_rank = { u = [[0.6], [0.8]], s = [4.0] }, plus = 0.1 }"),
        covariance("covariance_samples_few", "{ samples = [[3.0, 7.0], [2.0, 6.0]] }"),
        covariance(
            "covariance_samples_turned",
            "{ samples = [[3.0, 7.0, 1.0], [2.0, 6.0, 2.0]], plus = { scalar = 0.1 } }",
        ),
        covariance("covariance_rank_without_samples", "{ dense = [[1.0, 0.0], [0.0, 1.0]], rank = 1 }"),
        covariance(
            "covariance_precision_negative",
            "{ precision = { diagonal = [1.0, 1.0], tall = [[2.0], [0.0]] } }",
        ),
        covariance("covariance_file_zero", "{ diagonal = { file = \"v.csv\" } }")
            .file("v.csv", "v\n0.1\n0.0\n"),
    ]
}

fn file(name: &'static str, keys: &str, there: Option<(&'static str, &[u8])>) -> Case {
    let case = observation(name, "y = [3.0, 7.0]", keys);
    match there {
        Some((file, bytes)) => case.bytes(file, bytes),
        None => case,
    }
}

fn covariance(name: &'static str, form: &str) -> Case {
    observation(name, "{ scalar = 0.1 }", form)
}
