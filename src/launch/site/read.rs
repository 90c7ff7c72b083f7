//! Reading `site.toml`: every value checked before it can stand in a job script.
//!
//! `#SBATCH` lines are read by Slurm, not by a shell: nothing in them can be quoted, so what would
//! need quoting is refused here.

use std::collections::BTreeMap;

use super::{Chain, Dependency, Local, Memory, Request, Retry, Site, Slurm, Walltime, Workers};
use crate::explain::Marked;
use crate::files::human::{Document, Node, Section, Value};

/// Options that the chain sets itself; in `extra` they would fight with it.
const OURS: [(&str, &str); 7] = [
    ("--array", "-a"),
    ("--dependency", "-d"),
    ("--chdir", "-D"),
    ("--output", "-o"),
    ("--comment", "--comment"),
    ("--job-name", "-J"),
    ("--wait", "-W"),
];

impl Site {
    /// Read a whole `site.toml`.
    ///
    /// # Errors
    /// The first value that cannot be used, or an unknown key, at its line.
    pub fn read(document: &Document) -> Result<Self, Marked> {
        let top = document.section();
        top.choice("schema", &["ekp.site"])?;
        top.integer("version", 1..=1)?;
        let slurm = top.section("slurm")?.map_or(Ok(Slurm::default()), |section| slurm(&section))?;
        let local = top.section("local")?.map_or(Ok(Local::default()), |section| local(&section))?;
        top.finish()?;
        Ok(Self { slurm, local })
    }
}

fn slurm(section: &Section<'_>) -> Result<Slurm, Marked> {
    let default = Slurm::default();
    let kind = |name: &str| {
        section.section(name)?.map_or(Ok(Request::default()), |below| {
            let found = request(&below)?;
            below.finish()?;
            Ok(found)
        })
    };
    let mut stage = BTreeMap::new();
    if let Some(stages) = section.section("stage")? {
        for name in stages.keys() {
            if let Some(below) = stages.section(name)? {
                stage.insert(name.to_owned(), request(&below)?);
                below.finish()?;
            }
        }
    }
    let found = Slurm {
        all: request(section)?,
        init: kind("init")?,
        member: kind("member")?,
        update: kind("update")?,
        collect: kind("collect")?,
        stage,
        array_limit: count(section, "array_limit")?,
        max_array_size: section
            .integer("max_array_size", 2..=4_000_001)? // 4 000 001: the largest Slurm allows
            .map_or(default.max_array_size, |n| n as u32),
        chain: match section.choice("chain", &["up-front", "rolling"])? {
            Some("rolling") => Chain::Rolling,
            _ => Chain::UpFront,
        },
        dependency: match section.choice("dependency", &["afterany", "afterok"])? {
            Some("afterok") => Dependency::AfterOk,
            _ => Dependency::AfterAny,
        },
        submit_from_jobs: section.opt("submit_from_jobs")?.unwrap_or(default.submit_from_jobs),
        retry: section.section("retry")?.map_or(Ok(default.retry), |below| retry(&below))?,
    };
    if found.chain == Chain::Rolling && !found.submit_from_jobs {
        let title = "a rolling chain needs `submit_from_jobs = true`";
        let label = "each update job submits the next iteration";
        let hint = "where jobs may not submit jobs use `chain = \"up-front\"`";
        return Err(section.wrong("chain", title, label).hint(hint));
    }
    section.finish()?;
    Ok(found)
}

fn retry(section: &Section<'_>) -> Result<Retry, Marked> {
    let default = Retry::default();
    let factor = |key: &str, otherwise: f64| {
        let found = section.number(key, "a number from 1 to 100", |x| (1.0..=100.0).contains(&x))?;
        Ok(found.unwrap_or(otherwise))
    };
    let found = Retry {
        time_factor: factor("time_factor", default.time_factor)?,
        mem_factor: factor("mem_factor", default.mem_factor)?,
    };
    section.finish()?;
    Ok(found)
}

fn local(section: &Section<'_>) -> Result<Local, Marked> {
    let default = Local::default();
    let workers = match section.node("workers").map(|node| &node.value) {
        None => default.workers,
        Some(value) => match value {
            Value::Text(text) => Workers::parse(text),
            Value::Integer(number) => Workers::from_integer(*number),
            _ => None,
        }
        .ok_or_else(|| wrong(section, "workers", "is not a number of workers", Workers::ALLOWED))?,
    };
    let threads = section.integer("threads", 1..=4096)?.map_or(default.threads, |n| n as u32);
    section.finish()?;
    Ok(Local { workers, threads })
}

fn request(section: &Section<'_>) -> Result<Request, Marked> {
    let found = Request {
        partition: word(section, "partition")?,
        account: word(section, "account")?,
        qos: word(section, "qos")?,
        constraint: word(section, "constraint")?,
        time: amount(section, "time", Walltime::ALLOWED, Walltime::parse)?,
        nodes: count(section, "nodes")?,
        ntasks: count(section, "ntasks")?,
        cpus_per_task: count(section, "cpus_per_task")?,
        mem: amount(section, "mem", Memory::ALLOWED, Memory::parse)?,
        mem_per_cpu: amount(section, "mem_per_cpu", Memory::ALLOWED, Memory::parse)?,
        gres: word(section, "gres")?,
        exclusive: section.opt("exclusive")?,
        mail: word(section, "mail")?,
        modules: modules(section)?,
        env: environment(section)?,
        prologue: lines(section, "prologue")?,
        extra: extra(section)?,
        members_per_task: count(section, "members_per_task")?,
    };
    if found.mem.is_some() && found.mem_per_cpu.is_some() {
        let title = "`mem` and `mem_per_cpu` exclude each other";
        return Err(section.wrong("mem_per_cpu", title, "Slurm takes one of the two"));
    }
    Ok(found)
}

fn wrong(section: &Section<'_>, key: &str, fault: &str, allowed: &str) -> Marked {
    section.wrong(key, format!("`{key}` {fault}"), format!("allowed: {allowed}"))
}

/// A value of a directive: nothing that Slurm's own reader would cut, strip or take for a comment.
fn word(section: &Section<'_>, key: &str) -> Result<Option<String>, Marked> {
    let Some(found) = section.opt::<String>(key)? else { return Ok(None) };
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\' | '#');
    if !found.is_empty() && !found.starts_with('-') && found.chars().all(clean) {
        return Ok(Some(found));
    }
    let allowed = "one word, without blanks, line ends, quotes, `\\` or `#`";
    Err(wrong(section, key, "cannot stand in an `#SBATCH` line", allowed))
}

fn count(section: &Section<'_>, key: &str) -> Result<Option<u32>, Marked> {
    Ok(section.integer(key, 1..=10_000_000)?.map(|n| n as u32))
}

/// A time or a memory: text in the scheduler's form, or a plain integer.
fn amount<T>(
    section: &Section<'_>,
    key: &str,
    allowed: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Marked> {
    let Some(Node { value, .. }) = section.node(key) else { return Ok(None) };
    let parsed = match value {
        Value::Text(text) => parse(text),
        Value::Integer(number) => parse(&number.to_string()),
        _ => None,
    };
    parsed.map(Some).ok_or_else(|| wrong(section, key, "cannot be read", allowed))
}

fn modules(section: &Section<'_>) -> Result<Option<Vec<String>>, Marked> {
    let Some(found) = section.opt::<Vec<String>>("modules")? else { return Ok(None) };
    let clean = |m: &String| !m.is_empty() && !m.starts_with('-') && m.chars().all(|c| c.is_ascii_graphic());
    if found.iter().all(clean) {
        return Ok(Some(found));
    }
    let allowed = "names as `module load` takes them, one per entry, without blanks";
    Err(wrong(section, "modules", "has an entry that is no module name", allowed))
}

fn environment(section: &Section<'_>) -> Result<BTreeMap<String, String>, Marked> {
    let mut env = BTreeMap::new();
    let Some(below) = section.section("env")? else { return Ok(env) };
    for name in below.keys() {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
            let fault = "is no name of an environment variable";
            return Err(wrong(&below, name, fault, "letters, digits and `_`, no digit first"));
        }
        if name.starts_with("SLURM_") || name.starts_with("SBATCH_") || name.starts_with("EKP_") {
            let title = format!("`{name}` is set by Slurm or by ekp itself");
            let label = "allowed: any name that does not begin with SLURM_, SBATCH_ or EKP_";
            return Err(below.wrong(name, title, label));
        }
        let value = match below.node(name).map(|node| &node.value) {
            Some(Value::Text(text)) if !text.contains(['\n', '\r', '\0']) => text.clone(),
            Some(Value::Integer(number)) => number.to_string(),
            _ => {
                return Err(wrong(
                    &below,
                    name,
                    "is no value of a variable",
                    "one line of text, or an integer",
                ));
            }
        };
        env.insert(name.to_owned(), value);
    }
    Ok(env)
}

/// Lines of text: an array of them, or one string of several.
fn lines(section: &Section<'_>, key: &str) -> Result<Option<Vec<String>>, Marked> {
    let allowed = "an array of lines, or one string of lines";
    let found = match section.node(key).map(|node| &node.value) {
        None => return Ok(None),
        Some(Value::Text(text)) => text.lines().map(str::to_owned).collect(),
        Some(Value::Array(_)) => section.opt::<Vec<String>>(key)?.unwrap_or_default(),
        Some(_) => return Err(wrong(section, key, "is no shell text", allowed)),
    };
    if found.iter().any(|line| line.contains(['\n', '\r', '\0'])) {
        return Err(wrong(section, key, "has a line end inside a line", allowed));
    }
    Ok(Some(found))
}

fn extra(section: &Section<'_>) -> Result<Option<Vec<String>>, Marked> {
    let found = lines(section, "extra")?;
    for line in found.iter().flatten() {
        let Some(options) = line.strip_prefix("#SBATCH ") else {
            let fault = format!("has the line `{line}`");
            return Err(wrong(section, "extra", &fault, "lines that begin with `#SBATCH `"));
        };
        let named = options.split_whitespace().map(|word| word.split('=').next().unwrap_or(word));
        for option in named {
            if let Some((long, _)) = OURS.iter().find(|(long, short)| option == *long || option == *short) {
                let title = format!("`extra` sets `{long}`");
                return Err(section.wrong("extra", title, "the chain sets it for every job; leave it out"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Explain;
    use std::path::Path;

    fn read(text: &str) -> Result<Site, Marked> {
        Site::read(&Document::parse(Path::new("site.toml"), text).unwrap())
    }

    fn fault(text: &str) -> String {
        read(text).expect_err(text).to_string()
    }

    #[test]
    fn every_key_of_the_contract_is_read() {
        let site = read(
            r##"
            [slurm]
            partition = "cpu"
            account = "p123"
            qos = "long"
            constraint = "skylake&ib"
            time = 30
            nodes = 1
            ntasks = 4
            cpus_per_task = 2
            mem = "4G"
            gres = "gpu:a100:1"
            exclusive = true
            mail = "me@example.org"
            modules = ["gcc/12", "openmpi"]
            env = { OMP_PLACES = "cores", N = 3 }
            prologue = """
            source ~/venv/bin/activate
            ulimit -s unlimited"""
            extra = ["#SBATCH --licenses=matlab:1"]
            members_per_task = 5
            array_limit = 40
            max_array_size = 501
            chain = "rolling"
            dependency = "afterok"
            submit_from_jobs = true
            [slurm.member]
            mem_per_cpu = 2000
            [slurm.update]
            time = "1-00:00:00"
            [slurm.stage.build]
            nodes = 2
            [slurm.retry]
            time_factor = 3
            [local]
            workers = -2
            threads = 2
            "##,
        )
        .unwrap();
        assert_eq!(site.slurm.all.time, Some(Walltime::seconds(1800)));
        assert_eq!(site.slurm.all.env["N"], "3");
        assert_eq!(site.slurm.all.prologue.as_ref().unwrap().len(), 2);
        assert_eq!(site.slurm.member.mem_per_cpu, Some(Memory(2000)));
        assert_eq!(site.slurm.update.time, Some(Walltime::seconds(86_400)));
        assert_eq!(site.slurm.stage["build"].nodes, Some(2));
        assert_eq!(site.slurm.retry, Retry { time_factor: 3.0, mem_factor: 1.5 });
        assert_eq!(site.slurm.chain, Chain::Rolling);
        assert_eq!(site.slurm.dependency, Dependency::AfterOk);
        assert_eq!(site.slurm.largest_index(), 500);
        assert_eq!(site.local, Local { workers: Workers::AllBut(2), threads: 2 });
        assert_eq!(read("").unwrap(), Site::default());
    }

    #[test]
    fn a_value_that_would_break_a_directive_is_refused_at_its_line() {
        let text = "[slurm]\npartition = \"a b\"\n";
        assert_eq!(fault(text), "site.toml:2: `partition` cannot stand in an `#SBATCH` line");
        for bad in ["a\\nb", "", "-x", "a#b", "it's", "a\\tb"] {
            assert!(fault(&format!("[slurm]\naccount = \"{bad}\"\n")).contains("account"), "{bad}");
        }
    }

    #[test]
    fn wrong_amounts_names_and_lines_are_refused() {
        assert!(fault("[slurm]\ntime = \"1h\"\n").contains("`time` cannot be read"));
        assert!(fault("[slurm]\nmem = \"4X\"\n").contains("`mem` cannot be read"));
        assert!(fault("[slurm]\nmem = 1\nmem_per_cpu = 1\n").contains("exclude each other"));
        assert!(fault("[slurm]\nenv = { \"2A\" = \"x\" }\n").contains("`2A`"));
        assert!(fault("[slurm]\nenv = { SLURM_CONF = \"x\" }\n").contains("SLURM_CONF"));
        assert!(fault("[slurm]\nextra = [\"--exclusive\"]\n").contains("`--exclusive`"));
        assert!(fault("[slurm]\nextra = [\"#SBATCH --array=1-3\"]\n").contains("sets `--array`"));
        assert!(fault("[slurm]\nextra = [\"#SBATCH -d singleton\"]\n").contains("sets `--dependency`"));
        assert!(fault("[local]\nworkers = 0\n").contains("`workers`"));
        assert!(fault("[slurm]\nchain = \"rolling\"\nsubmit_from_jobs = false\n").contains("rolling"));
    }

    #[test]
    fn every_example_of_a_site_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sbatch/sites");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 7, "{files:?}");
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with("# "), "{} does not say what it is", path.display());
            let site = Site::read(&Document::parse(&path, &text).unwrap()).unwrap_or_else(|e| panic!("{e}"));
            assert_ne!(site, Site::default(), "{}", path.display());
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        let hint = |text: &str| Explain::hint(&read(text).unwrap_err()).unwrap();
        let fault = read("[slurm.member]\ncpus_per_tasks = 4\n").unwrap_err();
        assert_eq!(fault.to_string(), "site.toml:2: unknown key `cpus_per_tasks`");
        assert_eq!(Explain::hint(&fault).unwrap(), "did you mean `cpus_per_task`?");
        assert_eq!(hint("[slrum]\n"), "did you mean `slurm`?");
    }
}
