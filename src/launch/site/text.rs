//! Writing `site.toml`: every key, with what it means, so that nobody has to look it up.

use std::fmt::Write as _;

use super::{Chain, Dependency, Request, Site, Slurm, Workers};

/// Keys that a job may ask for, with an example and a word on each, in the order they are written.
const KEYS: [(&str, &str, &str); 18] = [
    ("partition", "\"cpu\"", "where jobs wait"),
    ("account", "\"p123\"", "who pays"),
    ("qos", "\"normal\"", "quality of service"),
    ("constraint", "\"skylake\"", "features a node must have"),
    ("time", "\"01:00:00\"", "wall time of one job: minutes, HH:MM:SS, D-HH:MM:SS"),
    ("nodes", "1", "nodes of one job"),
    ("ntasks", "1", "processes of one job"),
    ("cpus_per_task", "1", "cores of one process"),
    ("mem", "\"4G\"", "memory per node; or"),
    ("mem_per_cpu", "\"2G\"", "memory per core"),
    ("gres", "\"gpu:1\"", "GPUs and the like"),
    ("exclusive", "true", "whole nodes"),
    ("mail", "\"me@example.org\"", "told when a job fails and when the last one ends"),
    ("modules", "[\"gcc/12\"]", "`module load`, in this order"),
    ("env", "{ OMP_PLACES = \"cores\" }", "environment variables"),
    ("prologue", "[\"source ~/venv/bin/activate\"]", "lines of shell, after modules"),
    ("extra", "[\"#SBATCH --licenses=x:1\"]", "`#SBATCH` lines as they stand"),
    ("members_per_task", "10", "members that one array element runs; absent: chosen by ekp-init"),
];

const HEAD: &str = "\
# site.toml: the machine this run uses. Nothing here changes a number of the result.
# Edit freely, then `ekp-init` again to write the scripts anew. A line behind `#` is not set.

schema  = \"ekp.site\"
version = 1

[slurm]
";

impl Site {
    /// The whole file, with comments; reading it gives the same site.
    pub fn text(&self) -> String {
        let mut out = String::from(HEAD);
        let slurm = &self.slurm;
        request(&mut out, &slurm.all, true);
        out.push('\n');
        chain(&mut out, slurm);
        for (name, about, below) in [
            ("init", "the first ensemble, and the job that submits the chain", &slurm.init),
            ("member", "members: the models", &slurm.member),
            ("update", "closing an iteration", &slurm.update),
            ("collect", "tables of times, at the end", &slurm.collect),
        ] {
            let _ = writeln!(out, "\n# Only for {about}; any key of [slurm] above up to `members_per_task`.");
            let _ = writeln!(out, "[slurm.{name}]");
            request(&mut out, below, false);
        }
        for (name, below) in &slurm.stage {
            let _ =
                writeln!(out, "\n# Only for cells of this stage of a grid.\n[slurm.stage.{}]", text(name));
            request(&mut out, below, false);
        }
        out.push_str(
            "\n# A member that ran out of time or memory gets more when it runs again.\n[slurm.retry]\n",
        );
        let _ = writeln!(out, "time_factor = {:?}", slurm.retry.time_factor);
        let _ = writeln!(out, "mem_factor  = {:?}", slurm.retry.mem_factor);
        let workers = match self.local.workers {
            words @ (Workers::Physical | Workers::Logical) => text(&words.to_string()),
            number => number.to_string(),
        };
        out.push_str("\n# Worker processes on one machine (`ekp-launch`).\n[local]\n");
        let _ = writeln!(out, "workers = {workers:<10}  # physical, logical, 8, -2 (all cores but two)");
        let _ = writeln!(out, "threads = {:<10}  # of each worker", self.local.threads);
        out
    }
}

fn chain(out: &mut String, slurm: &Slurm) {
    match slurm.array_limit {
        Some(limit) => {
            _ = writeln!(out, "array_limit      = {limit}  # elements of an array that run at once")
        }
        None => out.push_str("# array_limit      = 50  # elements of an array that run at once\n"),
    }
    let chain = match slurm.chain {
        Chain::UpFront => "up-front",
        Chain::Rolling => "rolling",
    };
    let dependency = match slurm.dependency {
        Dependency::AfterAny => "afterany",
        Dependency::AfterOk => "afterok",
    };
    let _ = writeln!(
        out,
        "max_array_size   = {}  # `scontrol show config | grep MaxArraySize`\n\
         chain            = \"{chain}\"  # or \"rolling\": each update submits the next iteration\n\
         dependency       = \"{dependency}\"  # or \"afterok\": one lost member ends the chain\n\
         submit_from_jobs = {}  # false: compute nodes may not run sbatch",
        slurm.max_array_size, slurm.submit_from_jobs,
    );
}

/// The keys that are set; those that are not as commented examples when `all` is asked for.
fn request(out: &mut String, request: &Request, all: bool) {
    for (key, example, about) in KEYS {
        match value(request, key) {
            Some(value) => _ = writeln!(out, "{key} = {value}  # {about}"),
            None if all => _ = writeln!(out, "# {key} = {example}  # {about}"),
            None => {}
        }
    }
}

fn value(request: &Request, key: &str) -> Option<String> {
    let word = |value: &Option<String>| value.as_deref().map(text);
    let number = |value: Option<u32>| value.map(|n| n.to_string());
    let list = |value: &Option<Vec<String>>| value.as_ref().map(|lines| array(lines));
    match key {
        "partition" => word(&request.partition),
        "account" => word(&request.account),
        "qos" => word(&request.qos),
        "constraint" => word(&request.constraint),
        "time" => request.time.map(|time| text(&time.to_string())),
        "nodes" => number(request.nodes),
        "ntasks" => number(request.ntasks),
        "cpus_per_task" => number(request.cpus_per_task),
        "mem" => request.mem.map(|mem| text(&mem.to_string())),
        "mem_per_cpu" => request.mem_per_cpu.map(|mem| text(&mem.to_string())),
        "gres" => word(&request.gres),
        "exclusive" => request.exclusive.map(|yes| yes.to_string()),
        "mail" => word(&request.mail),
        "modules" => list(&request.modules),
        "env" => (!request.env.is_empty()).then(|| {
            let entries: Vec<String> =
                request.env.iter().map(|(k, v)| format!("{k} = {}", text(v))).collect();
            format!("{{ {} }}", entries.join(", "))
        }),
        "prologue" => list(&request.prologue),
        "extra" => list(&request.extra),
        "members_per_task" => number(request.members_per_task),
        _ => None,
    }
}

/// A TOML string on one line.
fn text(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", c as u32),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn array(lines: &[String]) -> String {
    match lines {
        [] => "[]".into(),
        [only] => format!("[{}]", text(only)),
        lines => {
            let lines: Vec<String> = lines.iter().map(|line| format!("    {},\n", text(line))).collect();
            format!("[\n{}]", lines.concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::human::Document;
    use std::path::Path;

    fn again(site: &Site) -> Site {
        let text = site.text();
        let document =
            Document::parse(Path::new("site.toml"), &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Site::read(&document).unwrap_or_else(|e| panic!("{e}\n{text}"))
    }

    #[test]
    fn a_site_written_out_reads_as_the_same_site() {
        assert_eq!(again(&Site::default()), Site::default());
        let mut site = Site::default();
        site.slurm.all.prologue = Some(vec!["export A=\"b c\"".into(), "cd 'x\\y'\t# z".into()]);
        site.slurm.all.env.insert("PATHS".into(), "a:\"b\"".into());
        site.slurm.all.extra = Some(vec![]);
        site.slurm.member.time = Some(super::super::Walltime(None));
        site.slurm.member.mem = Some(super::super::Memory(1500));
        site.slurm.stage.insert("run 2".into(), Request { exclusive: Some(false), ..Request::default() });
        site.slurm.array_limit = Some(7);
        site.slurm.dependency = Dependency::AfterOk;
        site.local.workers = Workers::AllBut(2);
        assert_eq!(again(&site), site);
    }

    #[test]
    fn every_key_stands_in_the_default_file_set_or_as_an_example() {
        let text = Site::default().text();
        for (key, ..) in KEYS {
            assert!(text.contains(&format!("# {key} = ")), "{key}");
        }
    }
}
