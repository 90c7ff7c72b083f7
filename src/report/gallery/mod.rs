//! Which runs of a grid of samplers are shown, and what is known of each: nothing that is missing stops a page.
//!
//! A run is a cell of a stage whose model has the table of LLC runs. Chosen are all, those of some targets or
//! labels, or the best one of each target. Belongs here: choosing, and reading rows and traces. Not here: pictures
//! (`figures`), the page (`html`).

mod trace;

use crate::explain::nearest;
use crate::files::{Iteration, Member};
use crate::models::cell::Scalar;
use crate::report::ReportError;
use crate::report::runs::typed;
use crate::steps::grid::{GridRun, Left, own};

pub use trace::{Trace, envelope};

/// Runs that are shown when nobody chooses; of more than these the best of each target.
const SHOWN: usize = 48;
/// A run is taken for the best of its target below this R-hat.
const R_HAT_OF_THE_BEST: f64 = 1.05;

/// What a person chose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Targets: an id, `network=deep, seed=42`, or a label such as `deep`; none: all
    pub targets: Vec<String>,
    /// Labels of samplers; none: all
    pub labels: Vec<String>,
    /// Of each target the run with the least work-normalised variance
    pub best: bool,
}

/// A run of a sampler on a target, whatever became of it.
#[derive(Debug, Clone)]
pub struct Sampled {
    /// Stage and number of its cell
    pub cell: (Iteration, Member),
    /// Id of the cell
    pub id: String,
    /// The target in words: `network=deep, seed=42`
    pub target: String,
    /// What the sampler is called
    pub label: String,
    /// Names and values of the table's row
    row: Vec<(String, Option<Scalar>)>,
    /// Where its complaints are, as a person types it
    pub log: String,
}

impl Sampled {
    /// A number of its row; NaN where there is none.
    pub fn number(&self, name: &str) -> f64 {
        match self.scalar(name) {
            Some(Scalar::Float(x)) => *x,
            Some(Scalar::Integer(i)) => *i as f64,
            _ => f64::NAN,
        }
    }

    /// A word of its row; empty where there is none.
    pub fn text(&self, name: &str) -> String {
        self.scalar(name).map_or_else(String::new, Scalar::csv)
    }

    fn scalar(&self, name: &str) -> Option<&Scalar> {
        self.row.iter().find(|(known, _)| known == name)?.1.as_ref()
    }

    /// Whether it has data.
    pub fn is_ok(&self) -> bool {
        self.text("state") == "ok"
    }

    /// λ̂ and its error as text: `6.55 ± 0.08`; without data how it ended.
    pub fn estimate(&self) -> String {
        let (mean, error) = (self.number("llc_mean"), self.number("llc_mcse"));
        if !self.is_ok() || !mean.is_finite() {
            return self.text("state");
        }
        if !error.is_finite() || error <= 0.0 {
            return format!("{mean:.3}");
        }
        // Two digits of the error, and as many of the mean.
        let decimals = (1.0 - error.log10().floor()).clamp(0.0, 9.0) as usize;
        format!("{mean:.decimals$} ± {error:.decimals$}")
    }

    /// How far it is from another run, in units of both errors; NaN where that cannot be said.
    pub fn away_from(&self, other: &Self) -> f64 {
        let error = self.number("llc_mcse").hypot(other.number("llc_mcse"));
        (self.number("llc_mean") - other.number("llc_mean")) / error
    }
}

/// All runs of samplers of a grid, target by target in the order of the file; empty for a grid of other things.
///
/// # Errors
/// The disk cannot be read.
pub fn runs(run: &GridRun, left: &[Vec<Left>], named: &str) -> Result<Vec<Sampled>, ReportError> {
    let mut all = Vec::new();
    for stage in run.grid.leaves() {
        let number = u32::try_from(stage + 1).unwrap_or(u32::MAX);
        let Some(table) = own::table(run, left, number)? else { continue };
        for (cell, row) in (1..).zip(table.rows) {
            let found = &run.grid.stages[stage];
            let target = match run.upstream(number, cell).as_slice() {
                [(before, cells)] if cells.len() == 1 => run.shown(*before, cells[0]),
                _ => "all".into(),
            };
            let (_, err) = run.logs(number, cell);
            let err = err.strip_prefix(run.dir.root()).unwrap_or(&err).display().to_string();
            let block = &found.blocks[found.block_of(cell as usize - 1)].name;
            let mut sampled = Sampled {
                cell: (number, cell),
                id: run.id(number, cell).to_owned(),
                target,
                label: block.clone(),
                row: table.columns.iter().cloned().zip(row).collect(),
                log: typed(named, &err),
            };
            if sampled.label.is_empty() {
                sampled.label = sampled.text("label");
            }
            all.push(sampled);
        }
    }
    // Blocks are samplers; people look at a target.
    let mut order: Vec<String> = Vec::new();
    for sampled in &all {
        if !order.contains(&sampled.target) {
            order.push(sampled.target.clone());
        }
    }
    all.sort_by_key(|sampled| order.iter().position(|target| *target == sampled.target));
    Ok(all)
}

/// The runs of a choice, and what a person should know of it. A chosen run without data is among them.
///
/// # Errors
/// A target or a label that the grid does not have.
pub fn choose<'a>(
    runs: &'a [Sampled],
    choice: &Choice,
) -> Result<(Vec<&'a Sampled>, Vec<String>), ReportError> {
    let mut notes = Vec::new();
    for (what, wanted, known) in
        [("target", &choice.targets, names(runs)), ("label", &choice.labels, labels(runs))]
    {
        for name in wanted {
            let fits = |run: &Sampled| if what == "target" { is_of(run, name) } else { run.label == *name };
            if !runs.iter().any(fits) {
                let meant = nearest(name, &known.iter().map(String::as_str).collect::<Vec<_>>());
                let meant = meant.map_or_else(String::new, |name| format!("did you mean `{name}`? "));
                return Err(ReportError::Refused {
                    what: format!("no run of this grid has the {what} `{name}`"),
                    hint: format!("{meant}there are: {}", known.join("; ")),
                });
            }
        }
    }
    let chosen = runs.iter().filter(|run| {
        (choice.targets.is_empty() || choice.targets.iter().any(|name| is_of(run, name)))
            && (choice.labels.is_empty() || choice.labels.contains(&run.label))
    });
    let chosen: Vec<&Sampled> = chosen.collect();
    let free = choice.targets.is_empty() && choice.labels.is_empty() && !choice.best;
    let too_many = free && chosen.len() > SHOWN;
    if !(choice.best || too_many) {
        return Ok((chosen, notes));
    }
    if too_many {
        notes.push(format!(
            "{} runs are too many for a page: shown is the best of each target; `--target` and `--label` choose others",
            chosen.len()
        ));
    }
    let mut best: Vec<&Sampled> = Vec::new();
    for target in names(runs) {
        let own: Vec<&&Sampled> = chosen.iter().filter(|run| run.target == target).collect();
        let fair = own.iter().filter(|run| run.number("r_hat") < R_HAT_OF_THE_BEST);
        let fair = fair.filter(|run| run.number("wnv").is_finite());
        match fair.min_by(|a, b| a.number("wnv").total_cmp(&b.number("wnv"))) {
            Some(run) => best.push(run),
            None if own.is_empty() => {}
            None => notes.push(format!("no run on {target} has an R-hat below {R_HAT_OF_THE_BEST}")),
        }
    }
    Ok((best, notes))
}

/// Whether a run is on the target that a person names.
fn is_of(run: &Sampled, name: &str) -> bool {
    run.text("target_id") == name
        || run.target == name
        || run
            .target
            .split(", ")
            .any(|part| part == name || part.split_once('=').is_some_and(|p| p.1 == name))
}

/// Every target in order.
pub fn names(runs: &[Sampled]) -> Vec<String> {
    each(runs.iter().map(|run| &run.target))
}

/// Every label in order.
pub fn labels(runs: &[Sampled]) -> Vec<String> {
    each(runs.iter().map(|run| &run.label))
}

fn each<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in all {
        if !found.contains(name) {
            found.push(name.clone());
        }
    }
    found
}

/// Of each target the run that others are held against: the HMC run with most draws.
pub fn reference<'a>(runs: &'a [Sampled], target: &str) -> Option<&'a Sampled> {
    let hmc = runs.iter().filter(|run| run.target == target && run.is_ok() && run.text("sampler") == "hmc");
    hmc.max_by(|a, b| a.number("draws").total_cmp(&b.number("draws")))
}

/// A file's name for the figure of a run: `fig_deep_42_hmc`, whatever its labels hold.
pub fn file_name(run: &GridRun, sampled: &Sampled) -> String {
    let (stage, cell) = sampled.cell;
    let labels = run.grid.stages[stage as usize - 1].labels(&run.grid.axes, cell as usize - 1);
    let plain = |label: &str| -> String {
        label.chars().map(|c| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '_' }).collect()
    };
    let words: Vec<String> = labels.iter().map(|(_, label)| plain(label)).collect();
    format!("fig_{}", words.join("_"))
}

/// The draws of a run.
///
/// # Errors
/// Why there are none, in words.
pub fn trace(run: &GridRun, sampled: &Sampled) -> Result<Trace, String> {
    let (stage, cell) = sampled.cell;
    Trace::read(&run.output(stage, cell).join("trace.npy"))
}

/// How a cell without data ended, and its message.
pub fn why(run: &GridRun, sampled: &Sampled) -> String {
    let (stage, cell) = sampled.cell;
    let (mut state, message) = (sampled.text("state"), sampled.text("error"));
    if state == "missing" && message.is_empty() {
        let begun = run.folder(stage, cell).is_dir();
        state = if begun { "no outcome yet" } else { "not begun" }.into();
    }
    if message.is_empty() { state } else { format!("{state}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(target: &str, label: &str, numbers: &[(&str, f64)]) -> Sampled {
        let mut row: Vec<(String, Option<Scalar>)> =
            numbers.iter().map(|(name, x)| ((*name).to_owned(), Some(Scalar::Float(*x)))).collect();
        row.push(("state".into(), Some(Scalar::Text("ok".into()))));
        row.push(("sampler".into(), Some(Scalar::Text(label.into()))));
        row.push(("target_id".into(), Some(Scalar::Text(format!("tgt_{target}")))));
        Sampled {
            cell: (2, 1),
            id: "run_1".into(),
            target: format!("net={target}, seed=4"),
            label: label.into(),
            row,
            log: "logs/x.err".into(),
        }
    }

    #[test]
    fn the_best_is_the_one_of_least_variance_whose_chains_have_met() {
        let runs = [
            run("a", "hmc", &[("wnv", 3.0), ("r_hat", 1.0)]),
            run("a", "sgld", &[("wnv", 1.0), ("r_hat", 1.2)]),
            run("a", "vi", &[("wnv", 0.5)]),
            run("b", "sgld", &[("wnv", 1.0), ("r_hat", 1.2)]),
        ];
        let (best, notes) = choose(&runs, &Choice { best: true, ..Choice::default() }).unwrap();
        assert_eq!(best.iter().map(|r| r.label.as_str()).collect::<Vec<_>>(), ["hmc"]);
        assert!(notes[0].contains("net=b"), "{notes:?}");
        // By an id, by a label of one axis, by all of them
        for name in ["tgt_b", "b", "net=b", "net=b, seed=4"] {
            let choice = Choice { targets: vec![name.into()], ..Choice::default() };
            assert_eq!(choose(&runs, &choice).unwrap().0.len(), 1, "{name}");
        }
        let choice = Choice { labels: vec!["hmd".into()], ..Choice::default() };
        let refused = choose(&runs, &choice).unwrap_err();
        let hint = crate::explain::Explain::hint(&refused).unwrap();
        assert!(hint.contains("did you mean `hmc`?"), "{hint}");
    }

    #[test]
    fn an_estimate_has_two_digits_of_its_error() {
        let of = |mean: f64, error: f64| run("a", "h", &[("llc_mean", mean), ("llc_mcse", error)]).estimate();
        assert_eq!(of(6.5512, 0.0834), "6.551 ± 0.083");
        assert_eq!(of(123.4, 12.0), "123 ± 12");
        assert_eq!(of(3.0, f64::NAN), "3.000");
    }
}
