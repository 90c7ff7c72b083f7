//! Grids by `--set`: a fault is marked in what was typed, for the file has no such line.

use super::{Case, case};

/// A batch of forward models over a grid.
const FORWARD: &str = r#"schema = "ekp.experiment"
version = 1
name = "study"
seed = 42

[model]
builtin = "sinusoid"

[inputs]
chunk = 4
grid = { amplitude = { linspace = [1, 3, 5] }, vert_shift = [6, 7] }

[algorithm]
method = "forward"
"#;

/// Stages of cells.
const STAGES: &str = r#"schema = "ekp.experiment"
version = 1
name = "study"
seed = 42

[algorithm]
method = "grid"

[[axis]]
name = "size"
values = [1, 2]

[[stage]]
name = "build"
over = ["size"]
[stage.model]
command = ["/bin/echo", "{size}"]
"#;

pub(crate) fn cases() -> Vec<Case> {
    let forward = |name, set| case(name).file("experiment.toml", FORWARD).init(&["--set", set]);
    let stages = |name, set| case(name).file("experiment.toml", STAGES).init(&["--set", set]);
    vec![
        forward("set_grid_axis_misspelt", "inputs.grid.amplitud=[1, 2]"),
        forward("set_grid_axis_number", "inputs.grid.amplitude=3"),
        forward("set_grid_axis_text", "inputs.grid={ amplitude = [1, 2], vert_shift = [\"six\"] }"),
        forward("set_grid_axis_empty", "inputs.grid.vert_shift=[]"),
        forward("set_grid_axis_infinite", "inputs.grid.amplitude.logspace=[400, 401, 3]"),
        forward("set_grid_rule_misspelt", "inputs.grid.amplitude={ linspaec = [1, 3, 5] }"),
        forward("set_grid_rule_short", "inputs.grid.amplitude={ linspace = [1, 3] }"),
        forward("set_grid_count_zero", "inputs.grid.amplitude={ linspace = [1, 3, 0] }"),
        forward("set_grid_too_many", "inputs.grid.amplitude={ linspace = [1, 3, 900000000] }"),
        forward("set_grid_chunk_zero", "inputs.chunk=0"),
        forward("set_grid_word", "inputs.grid=amplitude"),
        stages("set_axis_through", "axis.size.values=[1, 2]"),
        stages("set_axis_label_twice", "axis=[{ name = \"size\", values = [1, 2, 1] }]"),
        stages("set_axis_name", "axis=[{ name = \"my size\", values = [1, 2] }]"),
        stages("set_axis_range", "axis=[{ name = \"size\", range = [3, 1] }]"),
        stages("set_axis_type", "axis=[{ name = \"size\", values = [1, [2]] }]"),
        stages("set_axis_other", "axis=[{ name = \"length\", values = [1, 2] }]"),
        stages("set_axis_rule_misspelt", "axis=[{ name = \"size\", valeus = [1, 2] }]"),
        stages("set_retries_of_a_grid", "failures.retries=-1"),
        stages("set_seed_of_a_grid", "seed=many"),
    ]
}
