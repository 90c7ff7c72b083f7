//! The settings of a case: what is for the experiment, what for the site, and what for the launch.

use std::path::Path;
use std::sync::Arc;

use super::{Case, Launch, Setting};
use crate::experiment::Named;
use crate::explain::{Marked, Place, nearest, one_of};
use crate::files::human::Section;

/// Ways to carry a run, as `ekp-launch --on` has them.
const ON: &[&str] = &["local", "threads", "make", "mpi", "slurm"];

/// What a setting may begin with: the tables and keys of an experiment, and what is for the site and the launch.
const FIRST: &[&str] = &[
    "launch",
    "site",
    "experiment",
    "name",
    "seed",
    "model",
    "prior",
    "observation",
    "algorithm",
    "failures",
    "layout",
    "files",
    "score",
    "inputs",
    "outputs",
    "axis",
    "stage",
];

/// A fault, where a setting is for nothing.
pub(super) fn foreign(key: &str, wrong: impl Fn(String, String) -> Marked) -> Option<Marked> {
    let first = key.split('.').next().unwrap_or_default();
    if FIRST.contains(&first) {
        return None;
    }
    let label = "allowed: `launch.…`, `site.…`, `experiment`, or a key of the experiment with its tables";
    let fault = wrong(format!("`{key}` is a setting of nothing"), label.into());
    Some(nearest(first, FIRST).into_iter().fold(fault, |f, near| f.hint(format!("did you mean `{near}`?"))))
}

/// Tell apart what is for the experiment, for the site and for the launch; later settings count.
pub(super) fn case(
    section: &Section<'_>,
    name: String,
    group: String,
    all: Vec<Setting>,
    experiment: &Named,
    folder: &Path,
) -> Result<Case, Marked> {
    let mut case = Case {
        name,
        repeat: 0,
        group,
        experiment: experiment.path.clone(),
        settings: Vec::new(),
        site: Vec::new(),
        launch: Launch::default(),
        cost: 1.0,
        places: vec![("experiment".into(), experiment.place.clone())],
        optional: false,
    };
    for (key, value, span) in all {
        let place = Place { source: Arc::clone(section.source()), span: span.clone() };
        if let Some(fault) = foreign(&key, |title, label| place.marked(title, label)) {
            return Err(fault);
        }
        let wrong = |label: String| {
            Marked::new(section.source(), span.clone(), format!("`{key}` cannot be this"), label)
        };
        let bare = value.trim_matches('"');
        let count = || {
            bare.parse::<u32>()
                .ok()
                .filter(|n| (1..=1_000_000).contains(n))
                .ok_or_else(|| wrong(format!("found {value}, allowed: a number from 1 on")))
        };
        match key.as_str() {
            "launch.workers" => case.launch.workers = count()?,
            "launch.threads" => case.launch.threads = count()?,
            "launch.nodes" => case.launch.nodes = count()?,
            "launch.on" if ON.contains(&bare) => case.launch.on = bare.to_owned(),
            "launch.on" => return Err(wrong(format!("found {value}, allowed: {}", one_of(ON)))),
            "experiment" => {
                case.experiment = folder.join(bare);
                case.places.push((key, place));
            }
            other if other.starts_with("launch.") => {
                return Err(wrong("allowed: launch.on, launch.workers, launch.threads, launch.nodes".into()));
            }
            _ => {
                case.places.push((format!("{key}={value}"), place));
                match key.strip_prefix("site.") {
                    Some(key) => case.site.push(format!("{key}={value}")),
                    None => case.settings.push(format!("{key}={value}")),
                }
            }
        }
    }
    Ok(case)
}
