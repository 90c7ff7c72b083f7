//! The job scripts and the Makefile of a run folder, made from the templates of `sbatch/`.
//!
//! One pure function of what the run is and what the site says: same input, same bytes. Values that a
//! shell reads are quoted by the `sh` filter; values of `#SBATCH` lines, which no shell reads, were
//! checked when `site.toml` was read. Belongs here: which directives a kind of job gets, how members
//! are cut into arrays. Not here: what the scripts' commands do.

use std::path::PathBuf;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, ErrorKind, Value, context};

use super::site::{Chain, Dependency, Job, Request, Site, Slurm};
use crate::explain::Explain;

const TEMPLATES: [(&str, &str); 14] = [
    ("start.inc", include_str!("../../sbatch/start.inc")),
    ("ekp_calibration.sbatch", include_str!("../../sbatch/ekp_calibration.sbatch")),
    ("ekp_init_ensemble.sbatch", include_str!("../../sbatch/ekp_init_ensemble.sbatch")),
    ("ekp_run_member.sbatch", include_str!("../../sbatch/ekp_run_member.sbatch")),
    ("ekp_update.sbatch", include_str!("../../sbatch/ekp_update.sbatch")),
    ("ekp_collect_timings.sbatch", include_str!("../../sbatch/ekp_collect_timings.sbatch")),
    ("Makefile", include_str!("../../sbatch/Makefile")),
    ("run_case.sbatch", include_str!("../../sbatch/run_case.sbatch")),
    ("submit_all.sbatch", include_str!("../../sbatch/submit_all.sbatch")),
    ("sweep.make", include_str!("../../sbatch/sweep.make")),
    ("ekp_grid.sbatch", include_str!("../../sbatch/ekp_grid.sbatch")),
    ("ekp_stage.sbatch", include_str!("../../sbatch/ekp_stage.sbatch")),
    ("ekp_merge.sbatch", include_str!("../../sbatch/ekp_merge.sbatch")),
    ("Makefile.grid", include_str!("../../sbatch/Makefile.grid")),
];

/// What a run's scripts need to know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptContext {
    /// The experiment's name
    pub name: String,
    /// What `run.toml` says this run is; a script refuses a folder without it
    pub run_id: String,
    /// Members of an iteration
    pub members: u32,
    /// Array elements of an iteration
    pub elements: u32,
    /// The same of iterations with another number
    pub sizes: Vec<(u32, u32)>,
    /// Elements are workers that lease what is open, not members
    pub workers: bool,
    /// Members of one element
    pub per_element: u32,
    /// Number of the first iteration
    pub first_iteration: u32,
    /// Iterations at most, ≥ 1
    pub iterations: u32,
    /// Digits of an iteration in file names
    pub pad: usize,
    /// Folder of the tools
    pub tools: PathBuf,
    /// The command that makes the scripts
    pub made_by: String,
    /// Ranks of a member that is itself parallel: tasks of a member job where the site names none
    pub member_ranks: Option<u32>,
}

/// Why there are no scripts.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The folder of the tools cannot stand in `PATH`
    #[error("the tools lie in `{}`, and {why}", .tools.display())]
    Tools {
        /// The folder
        tools: PathBuf,
        /// What is wrong with its name
        why: &'static str,
    },
    /// There is nothing to run
    #[error("a chain of {iterations} iterations with {elements} array elements has nothing to run")]
    Empty {
        /// Iterations asked for
        iterations: u32,
        /// Elements asked for
        elements: u32,
    },
    /// A template and this file disagree
    #[error("template `{name}`: {cause}")]
    Template {
        /// Which
        name: &'static str,
        /// What minijinja says
        cause: minijinja::Error,
    },
}

impl Explain for ScriptError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Tools { .. } => Some("install them elsewhere: `make install PREFIX=…`".into()),
            Self::Empty { .. } | Self::Template { .. } => None,
        }
    }
}

/// One array of a set of elements: Slurm limits the largest index, so higher ones get an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayPart {
    /// What `--array` takes
    pub indices: String,
    /// Element = index + offset
    pub offset: u32,
}

/// Cut `elements` (ascending, from 1) into arrays that fit the site.
pub fn arrays(elements: impl IntoIterator<Item = u32>, slurm: &Slurm) -> Vec<ArrayPart> {
    let largest = slurm.largest_index();
    let mut parts: Vec<(u32, Vec<u32>)> = Vec::new();
    for element in elements {
        let offset = (element - 1) / largest * largest;
        match parts.last_mut() {
            Some((last, indices)) if *last == offset => indices.push(element - offset),
            _ => parts.push((offset, vec![element - offset])),
        }
    }
    // The limit is for the run, not for each of its arrays.
    let throttle = slurm.array_limit.map(|limit| (limit / parts.len().max(1) as u32).max(1));
    let limit = |indices: &[u32]| match throttle {
        Some(limit) if (limit as usize) < indices.len() => format!("%{limit}"),
        _ => String::new(),
    };
    parts
        .into_iter()
        .map(|(offset, indices)| ArrayPart { indices: ranges(&indices) + &limit(&indices), offset })
        .collect()
}

/// `1-3,7` for 1, 2, 3, 7.
fn ranges(numbers: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => parts.push((number, number)),
        }
    }
    let text = |&(a, b): &(u32, u32)| if a == b { a.to_string() } else { format!("{a}-{b}") };
    parts.iter().map(text).collect::<Vec<_>>().join(",")
}

/// The arrays as one word, as the calibration script reads it: `1-20`, `1-10:0/1-5:10`, `none`.
///
/// `many` says whether this run's script knows offsets, which it does when all its elements need them.
pub fn word_of(parts: &[ArrayPart], many: bool) -> String {
    match parts {
        [] => "none".into(),
        [only] if !many => only.indices.clone(),
        parts => {
            let words: Vec<String> = parts.iter().map(|p| format!("{}:{}", p.indices, p.offset)).collect();
            words.join("/")
        }
    }
}

/// Whether a run of so many elements needs arrays with offsets here.
pub fn needs_offsets(elements: u32, slurm: &Slurm) -> bool {
    elements > slurm.largest_index()
}

/// A job name that Slurm, squeue's columns and a shell take as one word.
pub fn job_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    name.chars().map(plain).collect()
}

/// The comment by which every job of a run is found: `ekp:<run>:<what>`.
pub fn comment(run_id: &str, what: &str) -> String {
    format!("ekp:{}:{what}", job_name(run_id))
}

/// The five job scripts: file name and text, in the order they run.
///
/// # Errors
/// Nothing to run, or a folder of tools that cannot stand in `PATH`.
pub fn render(context: &ScriptContext, site: &Site) -> Result<Vec<(String, String)>, ScriptError> {
    let environment = environment()?;
    let jobs = [
        ("ekp_calibration.sbatch", Job::Init, "chain"),
        ("ekp_init_ensemble.sbatch", Job::Init, "init"),
        ("ekp_run_member.sbatch", Job::Member, "members"),
        ("ekp_update.sbatch", Job::Update, "update"),
        ("ekp_collect_timings.sbatch", Job::Collect, "collect"),
    ];
    let text = |(file, job, what): (&'static str, Job<'_>, &str)| {
        let values = values(context, &site.slurm, job, what)?;
        Ok((file.to_owned(), fill(&environment, file, values)?))
    };
    jobs.into_iter().map(text).collect()
}

/// The Makefile: the same steps on one machine.
///
/// # Errors
/// As `render`.
pub fn makefile(context: &ScriptContext) -> Result<String, ScriptError> {
    let name = |number: u32| format!("it{number:0width$}", width = context.pad);
    let first = context.first_iteration;
    let its: Vec<Value> = (first..first + context.iterations)
        .map(|number| {
            let before = if number == first { "init".to_owned() } else { name(number - 1) };
            let other = context.sizes.iter().find(|(iteration, _)| *iteration == number);
            let (elements, count) = match other {
                Some((_, count)) => (format!("elements_{}", name(number)), *count),
                None => ("elements".to_owned(), 0),
            };
            context! { number, name => name(number), before, elements, count }
        })
        .collect();
    let values = context! {
        its,
        elements => context.elements,
        per_element => context.per_element,
        workers => context.workers,
        ..common(context)?
    };
    fill(&environment()?, "Makefile", values)
}

/// The templates with their filters; a name without a value is an error.
pub(super) fn environment() -> Result<Environment<'static>, ScriptError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    // A tag alone on its line leaves no line behind.
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.map_err(|cause| ScriptError::Template { name: "syntax", cause })?);
    environment.add_filter("sh", |text: String| match shlex::try_quote(&text) {
        Ok(quoted) => Ok(quoted.into_owned()),
        Err(error) => Err(minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string())),
    });
    environment.add_filter("make", |text: String| text.replace('$', "$$").replace('#', "\\#"));
    for (name, text) in TEMPLATES {
        environment.add_template(name, text).map_err(|cause| ScriptError::Template { name, cause })?;
    }
    Ok(environment)
}

/// The text of a template with these values.
pub(super) fn fill(
    environment: &Environment<'_>,
    name: &'static str,
    values: Value,
) -> Result<String, ScriptError> {
    let template = environment.get_template(name).map_err(|cause| ScriptError::Template { name, cause })?;
    template.render(values).map_err(|cause| ScriptError::Template { name, cause })
}

/// What scripts and Makefile share.
pub(super) fn common(context: &ScriptContext) -> Result<Value, ScriptError> {
    if context.iterations == 0 || context.elements == 0 {
        return Err(ScriptError::Empty { iterations: context.iterations, elements: context.elements });
    }
    let refuse = |why| ScriptError::Tools { tools: context.tools.clone(), why };
    let tools = context.tools.to_str().ok_or_else(|| refuse("its name is not UTF-8"))?;
    if tools.contains([':', '\n']) {
        return Err(refuse("a `:` or a line end cannot stand in PATH"));
    }
    Ok(context! {
        name => one_line(&context.name),
        made_by => one_line(&context.made_by),
        members => context.members,
        iterations => context.iterations,
        tools,
    })
}

/// What a script of Slurm needs for a job: its request, its parts of the array, `what` it is for.
pub(super) fn values(
    context: &ScriptContext,
    slurm: &Slurm,
    job: Job<'_>,
    what: &str,
) -> Result<Value, ScriptError> {
    let request = slurm.request(job);
    let parts = arrays(1..=context.elements, slurm);
    let most = context.sizes.iter().map(|(_, count)| *count).max().unwrap_or(0).max(context.elements);
    let many = needs_offsets(most, slurm);
    let env: Vec<Vec<String>> = request.env.iter().map(|(k, v)| vec![k.clone(), v.clone()]).collect();
    let rolling = slurm.chain == Chain::Rolling;
    Ok(context! {
        run_id => context.run_id.as_str(),
        job_name => job_name(&context.name),
        per_element => context.per_element,
        first => context.first_iteration,
        last => context.first_iteration + (context.iterations - 1),
        pad => context.pad,
        directives => directives(context, &request, job, what),
        env,
        modules => request.modules.unwrap_or_default(),
        prologue => request.prologue.unwrap_or_default(),
        own_log => what == "chain",
        submit_from_jobs => slurm.submit_from_jobs,
        by_hand => if slurm.submit_from_jobs { "sbatch" } else { "bash" },
        rolling,
        classic => slurm.dependency == Dependency::AfterOk,
        many,
        workers => context.workers,
        arrays => word_of(&parts, many),
        first_array => context.elements.min(slurm.largest_index()),
        ..common(context)?
    })
}

/// The `#SBATCH` lines of one kind of job. What the chain relies on it also gives on the command line.
fn directives(context: &ScriptContext, request: &Request, job: Job<'_>, what: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut set = |option: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("#SBATCH --{option}={value}")));
    };
    let number = |value: Option<u32>| value.map(|n| n.to_string());
    let member = matches!(job, Job::Member | Job::Stage(_));
    set("job-name", Some(format!("{}.{what}", job_name(&context.name))));
    set("comment", Some(comment(&context.run_id, "hand")));
    set(
        "output",
        Some(match what {
            "chain" => "/dev/null".into(),
            "members" => "logs/%x-%A_%a.out".into(),
            _ => "logs/%x-%j.out".into(),
        }),
    );
    if member && context.workers {
        // What runs may finish, or keeps its state; nothing else begins.
        let lead = request.time.and_then(|time| time.0).map_or(120, |seconds| (seconds / 5).clamp(5, 120));
        set("signal", Some(format!("B:USR1@{lead}")));
    }
    set("open-mode", Some("append".into())); // a requeued job keeps the log of its first run
    place(request, &mut set);
    set("nodes", number(request.nodes));
    let ranks = context.member_ranks.filter(|_| member);
    set("ntasks", number(request.ntasks.or(ranks).or(Some(1))));
    set("cpus-per-task", number(request.cpus_per_task.or(Some(1))));
    set("mem", request.mem.map(|mem| mem.to_string()));
    set("mem-per-cpu", request.mem_per_cpu.map(|mem| mem.to_string()));
    set("gres", request.gres.clone());
    set("mail-user", request.mail.clone());
    let mail = if what == "collect" { "END,FAIL" } else { "FAIL" };
    set("mail-type", request.mail.as_ref().map(|_| mail.to_owned()));
    if request.exclusive == Some(true) {
        lines.push("#SBATCH --exclusive".into());
    }
    lines.push("#SBATCH --requeue".into()); // a lost node is no failure: every step may run twice
    lines.extend(request.extra.iter().flatten().cloned());
    lines
}

/// The `#SBATCH` lines that a site wants of a job whose size its submitter says.
pub(super) fn of_site(request: &Request, name: &str) -> Vec<String> {
    let mut lines = vec![format!("#SBATCH --job-name={name}")];
    let mut set = |option: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("#SBATCH --{option}={value}")));
    };
    set("open-mode", Some("append".into()));
    place(request, &mut set);
    set("mem", request.mem.map(|mem| mem.to_string()));
    set("mem-per-cpu", request.mem_per_cpu.map(|mem| mem.to_string()));
    lines.push("#SBATCH --requeue".into());
    lines.extend(request.extra.iter().flatten().cloned());
    lines
}

/// Where and how long a job may run.
fn place(request: &Request, set: &mut impl FnMut(&str, Option<String>)) {
    set("partition", request.partition.clone());
    set("account", request.account.clone());
    set("qos", request.qos.clone());
    set("constraint", request.constraint.clone());
    set("time", request.time.map(|time| time.to_string()));
}

/// Fit for one line of comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(elements: impl IntoIterator<Item = u32>, slurm: &Slurm, many: bool) -> String {
        word_of(&arrays(elements, slurm), many)
    }

    #[test]
    fn elements_past_the_largest_index_get_offsets() {
        let slurm = Slurm { max_array_size: 11, ..Slurm::default() };
        assert_eq!(words(1..=35, &slurm, true), "1-10:0/1-10:10/1-10:20/1-5:30");
        assert_eq!(words([3, 11, 12, 35], &slurm, true), "3:0/1-2:10/5:30");
        assert_eq!(words([3], &slurm, true), "3:0");
        assert_eq!(words([1, 2, 3, 7, 9, 10], &slurm, false), "1-3,7,9-10");
        assert_eq!(words([], &slurm, true), "none");
    }

    #[test]
    fn the_limit_of_running_elements_is_shared_by_all_arrays() {
        let slurm = Slurm { max_array_size: 11, array_limit: Some(8), ..Slurm::default() };
        assert_eq!(words(1..=10, &slurm, false), "1-10%8");
        assert_eq!(words(1..=20, &slurm, true), "1-10%4:0/1-10%4:10");
        assert_eq!(words([4, 5], &slurm, false), "4-5");
    }

    #[test]
    fn a_folder_of_tools_with_a_colon_is_refused() {
        let context = ScriptContext {
            name: "x".into(),
            run_id: "r".into(),
            members: 1,
            elements: 1,
            sizes: Vec::new(),
            workers: false,
            per_element: 1,
            first_iteration: 0,
            iterations: 1,
            pad: 3,
            tools: "/a:b".into(),
            made_by: "ekp-init".into(),
            member_ranks: None,
        };
        let fault = render(&context, &Site::default()).unwrap_err().to_string();
        assert_eq!(fault, "the tools lie in `/a:b`, and a `:` or a line end cannot stand in PATH");
    }
}
