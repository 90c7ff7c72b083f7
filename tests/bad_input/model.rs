//! Faults of `[model]`, and of the files of a model.

use super::{COMMAND, Case, command, experiment};

pub(super) fn cases() -> Vec<Case> {
    vec![
        experiment("model_neither", "builtin = \"sinusoid\"", ""),
        experiment("model_both", "builtin = \"sinusoid\"", "builtin = \"sinusoid\"\ncommand = [\"./model.sh\"]"),
        experiment("builtin_misspelt", "sinusoid", "sinusiod"),
        experiment("builtin_unknown", "sinusoid", "hydrology"),
        experiment("builtin_number", "\"sinusoid\"", "1"),
        experiment("builtin_with_timeout", "builtin = \"sinusoid\"", "builtin = \"sinusoid\"\ntimeout_s = 60"),
        experiment("builtin_option_unknown", "builtin = \"sinusoid\"", "builtin = \"sinusoid\"\nsinusoid = { points = 3 }"),
        experiment(
            "builtin_option_out_of_range",
            "builtin = \"sinusoid\"",
            "builtin = \"lorenz96\"\nlorenz96 = { dt = 2.0 }",
        ),
        experiment("builtin_other_parameters", "sinusoid", "lorenz96"),
        experiment("builtin_other_parameter_name", "sinusoid", "sinusoid")
            .file("priors.toml", "[amplitud]\nprior = \"constrained_gaussian(amplitud, 2, 1, 0, Inf)\"\n[vert_shift]\nprior = \"constrained_gaussian(vert_shift, 2, 1, 0, Inf)\"\n"),
        experiment("pack_zero", "builtin = \"sinusoid\"", "builtin = \"sinusoid\"\npack = 0"),
        experiment("backend_unknown", "builtin = \"sinusoid\"", "builtin = \"hbv\"\nbackend = \"vector\"\nhbv = {}"),
        experiment("backend_of_others", "builtin = \"sinusoid\"", "builtin = \"sinusoid\"\nbackend = \"simd\""),
        experiment("backend_of_hbv", "builtin = \"sinusoid\"", "builtin = \"gr4j\"\nbackend = \"cuda\"\ngr4j = {}"),
        experiment(
            "backend_with_domain",
            "builtin = \"sinusoid\"",
            "builtin = \"hbv\"\nbackend = \"cuda\"\nhbv = { domain = {} }",
        ),
        // command
        command("command_empty", "[\"./model.sh\", \"{parameters}\", \"{data}\"]", "[]"),
        command("command_text", "[\"./model.sh\", \"{parameters}\", \"{data}\"]", "\"./model.sh {parameters} {data}\""),
        command("command_number_inside", "\"{data}\"]", "\"{data}\", 3]"),
        command("command_empty_word", "\"./model.sh\"", "\"\""),
        command("placeholder_unknown", "{parameters}", "{paramters}"),
        command("placeholder_shell", "{data}", "${EKP_DATA}"),
        command("placeholder_open", "{data}", "{data"),
        command("pack_with_command", "files", "pack = 10\nfiles"),
        command("program_not_in_path", "./model.sh", "no-such-model"),
        command("program_not_there", "./model.sh", "./modle.sh"),
        command("program_not_executable", "./model.sh", "./model.sh").mode("model.sh", 0o644),
        command("program_without_interpreter_line", "", "").file("model.sh", "echo 1\n"),
        command("program_with_missing_interpreter", "", "").file("model.sh", "#!/no/such/python\n"),
        command("program_with_windows_lines", "", "").file("model.sh", "#!/bin/sh\r\necho 1\r\n"),
        command("program_is_a_folder", "./model.sh", "./src").folder("src"),
        // files
        command("files_without_match", "\"model.sh\"]", "\"model.sh\", \"grid/*.nc\"]"),
        command("files_bad_pattern", "\"model.sh\"]", "\"model.sh\", \"grid[.nc\"]"),
        command("files_text", "[\"model.sh\"]", "\"model.sh\""),
        // templates
        template("template_not_there", "", None),
        template("template_hole_unknown", "a = {{amplitude}}\nb = {{vert_shfit}}\n", Some("")),
        template("template_parameter_unused", "a = {{amplitude}}\n", Some("")),
        template("template_hole_open", "a = {{amplitude\nb = {{vert_shift}}\n", Some("")),
        template("template_format_unknown", "a = {{amplitude:12.5q}} {{vert_shift}}\n", Some("")),
        template("template_component", "a = {{amplitude[2]}} {{vert_shift}}\n", Some("")),
        template("template_without_holes", "a = 1\n", Some("")),
        template("template_empty", "", Some("")),
        command("template_leaves_folder", "files", "templates = [{ from = \"in.tmpl\", to = \"../in.nml\" }]\nfiles")
            .file("in.tmpl", "{{amplitude}} {{vert_shift}}"),
        command("template_without_to", "files", "templates = [{ from = \"in.tmpl\" }]\nfiles"),
        command("template_text", "files", "templates = \"in.tmpl\"\nfiles"),
        command("template_key_unknown", "files", "templates = [{ form = \"in.tmpl\", to = \"in.nml\" }]\nfiles"),
        // output
        output("output_format_unknown", "{ format = \"hdf5\" }"),
        output("output_leaves_folder", "{ file = \"../out.csv\", format = \"csv\" }"),
        output("output_is_the_log", "{ file = \"log.txt\", format = \"text\" }"),
        output("output_key_unknown", "{ file = \"out.csv\", format = \"csv\", colum = \"q\" }"),
        output("output_column_and_columns", "{ format = \"csv\", column = 1, columns = { y = 2 } }"),
        output("output_column_zero", "{ format = \"csv\", column = 0 }"),
        output("output_separator", "{ format = \"csv\", separator = \", \" }"),
        output("output_text", "\"out.csv\""),
        // the rest
        command("timeout_zero", "files", "timeout_s = 0\nfiles"),
        command("timeout_text", "files", "timeout_s = \"10 min\"\nfiles"),
        command("mpi_without_ranks", "files", "mpi = { launcher = \"srun\" }\nfiles"),
        command("mpi_ranks_zero", "files", "mpi = { ranks = 0 }\nfiles"),
        command("mpi_launcher_open_quote", "files", "mpi = { ranks = 2, launcher = \"srun 'x\" }\nfiles"),
        command("model_key_unknown", "files", "comand = [\"./model.sh\"]\nfiles"),
    ]
}

fn template(name: &'static str, text: &str, there: Option<&str>) -> Case {
    assert!(COMMAND.contains("\"{parameters}\", "));
    let lines =
        "command = [\"./model.sh\", \"{data}\"]\ntemplates = [{ from = \"in.tmpl\", to = \"in.nml\" }]";
    let case = command(name, "command = [\"./model.sh\", \"{parameters}\", \"{data}\"]", lines);
    if there.is_some() { case.file("in.tmpl", text) } else { case }
}

fn output(name: &'static str, table: &str) -> Case {
    command(name, "files", &format!("output = {table}\nfiles"))
}
