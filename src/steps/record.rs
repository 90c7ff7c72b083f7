//! The records that close things: `update.toml` and `stop.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::files::{Record, TomlText};
use crate::problem::{BlockFit, GroupSteps, Report};
use crate::steps::forward::merge::Merged;

/// `update.toml`: the decision that closes an iteration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Update {
    /// Which iteration
    pub iteration: u32,
    /// Members used
    pub ok: u32,
    /// Members set aside
    pub failed: u32,
    /// Step length Δt
    #[serde(default)]
    pub step: f64,
    /// Pseudo-time after the step
    #[serde(default)]
    pub time: f64,
    /// (1/p) (ḡ − y)ᵀ Γ⁻¹ (ḡ − y)
    #[serde(default)]
    pub misfit: f64,
    /// Mean over members of the root mean square weighted residual
    #[serde(default)]
    pub avg_rmse: f64,
    /// Standard deviation of each parameter after the step, unconstrained
    #[serde(default)]
    pub spread: Vec<f64>,
    /// Why the algorithm wants no further iteration; empty when it goes on
    pub stop: String,
    /// Per member the digest of the outcome used; `failed: CAUSE` where there was none
    pub outcomes: Vec<String>,
    /// Members set aside by the algorithm, and why
    #[serde(default)]
    pub set_aside: Vec<String>,
    /// What a person should know
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Further measures of the ensemble before the step, by name
    #[serde(default)]
    pub metrics: BTreeMap<String, f64>,
    /// How well each block is met, before the step
    #[serde(default, rename = "block")]
    pub blocks: Vec<BlockFit>,
    /// What a search knows after it
    pub search: Option<Progress>,
    /// Each group's step, where groups take steps of their own
    #[serde(default)]
    pub groups: Option<GroupSteps>,
    /// Where the iteration and the ensemble after it came from, when another tool made them; else empty
    #[serde(default)]
    pub adopted: String,
}

/// `[search]` of `update.toml`: how far a search is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    /// Evaluations so far, failed ones too
    pub evaluations: u32,
    /// As many as there will be, as it was when this was written
    pub budget: u32,
    /// Failed ones among them
    pub failed: u32,
    /// Number of the best trial; 0 before there is one
    pub best: u32,
    /// Its score, a number for each objective
    pub score: Vec<f64>,
    /// Trials that nobody beats; 1 with one objective
    pub archive: u32,
}

impl Record for Update {
    const SCHEMA: &'static str = "ekp.update";
    const VERSION: u32 = 1;
}

impl Update {
    /// From what the algorithm reports.
    pub fn new(iteration: u32, report: &Report, stop: &str, outcomes: Vec<String>) -> Self {
        let count = |n: usize| u32::try_from(n).expect("no more than members");
        Self {
            iteration,
            ok: count(report.used),
            failed: count(outcomes.len() - report.used),
            step: report.step,
            time: report.time,
            misfit: report.misfit,
            avg_rmse: report.avg_rmse,
            spread: report.spread.clone(),
            stop: stop.to_owned(),
            outcomes,
            set_aside: report.set_aside.iter().map(|(j, why)| format!("member {}: {why}", j + 1)).collect(),
            warnings: report.warnings.clone(),
            metrics: report.metrics.clone(),
            blocks: report.blocks.clone(),
            search: None,
            groups: report.groups.clone(),
            adopted: String::new(),
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let n = self.iteration;
        let comments = if self.adopted.is_empty() {
            format!(
                "ekp update: closes iteration {n}. What it was made from and what it decided.\nBy hand:  ekp-update . -i {n}"
            )
        } else {
            format!(
                "ekp update: closes iteration {n}, which another tool made; adopted by `ekp-init --adopt`.\nStep and time are replayed from its outputs, the next ensemble is taken as it was."
            )
        };
        let mut text = TomlText::record::<Self>(&comments);
        text.number("iteration", self.iteration).number("ok", self.ok).number("failed", self.failed);
        if self.search.is_none() {
            text.float("step", self.step)
                .float("time", self.time)
                .float("misfit", self.misfit)
                .float("avg_rmse", self.avg_rmse)
                .floats("spread", &self.spread);
        }
        text.text("stop", &self.stop);
        if !self.adopted.is_empty() {
            text.text("adopted", &self.adopted);
        }
        text.texts("set_aside", &self.set_aside).texts("warnings", &self.warnings).raw("outcomes = [");
        for outcome in &self.outcomes {
            text.raw(&format!("  {},", crate::files::quoted(outcome)));
        }
        text.raw("]");
        if let Some(search) = &self.search {
            text.table("search")
                .number("evaluations", search.evaluations)
                .number("budget", search.budget)
                .number("failed", search.failed)
                .number("best", search.best)
                .floats("score", &search.score)
                .number("archive", search.archive);
            return text.finish();
        }
        text.table("metrics");
        for (name, value) in &self.metrics {
            text.float(name, *value);
        }
        if let Some(GroupSteps { step, time, misfit }) = &self.groups {
            text.table("groups").floats("step", step).floats("time", time).floats("misfit", misfit);
        }
        for fit in &self.blocks {
            let BlockFit { name, loss, avg_rmse, unweighted_loss, unweighted_avg_rmse, crps } = fit;
            text.raw("").raw("[[block]]");
            text.text("name", name).float("loss", *loss).float("avg_rmse", *avg_rmse);
            text.float("unweighted_loss", *unweighted_loss)
                .float("unweighted_avg_rmse", *unweighted_avg_rmse);
            if let Some(crps) = crps {
                text.float("crps", *crps);
            }
        }
        text.finish()
    }
}

/// `stop.toml`: why the run is over, and its result.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Stopped {
    /// `time` (the algorithm reached its end), `iterations` (as many as asked for), `cells` (all of a grid are ok), or `budget`
    /// (of a search)
    pub reason: String,
    /// The iteration whose ensemble is the result; nobody runs it
    #[serde(rename = "final")]
    pub last: u32,
    /// The result in physical units; none where nothing was estimated; of a search see `best`
    #[serde(default)]
    pub result: Vec<Estimate>,
    /// Evaluations of a search; else 0
    #[serde(default)]
    pub evaluations: u32,
    /// Failed ones among them
    #[serde(default)]
    pub failed: u32,
    /// The best trial of a search; of several objectives those that nobody beats
    #[serde(default)]
    pub best: Vec<Best>,
}

/// The best trial, with all that its score stands for.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Best {
    /// Its number, from 1
    pub trial: u32,
    /// Its folder, or that of its pack
    pub folder: String,
    /// A number for each objective
    pub score: Vec<f64>,
    /// What was scored, and when
    pub scored: String,
    /// Digest of its parameters, as its `data.toml` has it
    pub parameters: String,
    /// What the scores consist of, pairs of numbers among them
    #[serde(default)]
    pub parts: BTreeMap<String, f64>,
    /// Scores of the evaluation period, where there is one
    #[serde(default)]
    pub evaluation: BTreeMap<String, f64>,
    /// Physical values, in the order of `run.toml`
    pub names: Vec<String>,
    /// The same order
    pub values: Vec<f64>,
}

/// A parameter, before and after.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Estimate {
    /// `amplitude`, `mixing[2]`
    pub name: String,
    /// Mean of the first ensemble, physical units
    pub prior_mean: f64,
    /// Standard deviation of the first ensemble (divisor J − 1)
    pub prior_std: f64,
    /// Mean of the last ensemble
    pub mean: f64,
    /// Standard deviation of the last ensemble
    pub std: f64,
}

impl Record for Stopped {
    const SCHEMA: &'static str = "ekp.stop";
    const VERSION: u32 = 1;
}

impl Stopped {
    /// The text of the file.
    pub fn text(&self, folder: &str) -> String {
        let comments = if self.evaluations == 0 {
            format!("ekp stop: the run is over. The result is the ensemble of {folder}.")
        } else {
            "ekp stop: the search is over. Its result stands in `[[best]]`.\nAgain, by hand:  ekp-run-member . --best".into()
        };
        let mut text = TomlText::record::<Self>(&comments);
        text.text("reason", &self.reason).number("final", self.last);
        if self.evaluations > 0 {
            text.number("evaluations", self.evaluations).number("failed", self.failed);
        }
        for best in &self.best {
            best.put(&mut text);
        }
        for e in &self.result {
            text.raw("").raw("[[result]]");
            text.text("name", &e.name)
                .float("prior_mean", e.prior_mean)
                .float("prior_std", e.prior_std)
                .float("mean", e.mean)
                .float("std", e.std);
        }
        text.finish()
    }

    /// The text of the file for a grid whose cells are all ok.
    pub fn text_of_grid(&self, cells: usize, marked: &[String]) -> String {
        let comments =
            format!("ekp stop: the run is over. All {cells} cells are ok, `results/` has a row for each.");
        let mut text = TomlText::record::<Self>(&comments);
        text.text("reason", &self.reason).number("final", self.last).texts("marked", marked).finish()
    }

    /// The text of the file for a batch of forward models, which has statistics and no estimate.
    pub fn of_batch(last: u32, merged: &Merged) -> String {
        let mut text = TomlText::record::<Self>(
            "ekp stop: the run is over. What the batch comes to stands in `results/`.",
        );
        text.text("reason", "batch").number("final", last);
        text.number("ok", merged.ok).number("failed", merged.failed);
        merged.check.write(&mut text);
        text.finish()
    }

    /// In words for a person.
    pub fn why(&self) -> &'static str {
        match self.reason.as_str() {
            "batch" => "all models of the batch have run",
            "time" => "the data are used up (pseudo-time T reached)",
            "budget" => "the budget of evaluations is used up",
            "cells" => "all cells are ok",
            _ => "all iterations asked for are done",
        }
    }
}

impl Best {
    fn put(&self, text: &mut TomlText) {
        text.raw("").raw("[[best]]");
        text.number("trial", self.trial)
            .text("folder", &self.folder)
            .floats("score", &self.score)
            .text("scored", &self.scored)
            .text("parameters", &self.parameters)
            .texts("names", &self.names)
            .floats("values", &self.values);
        for (table, numbers) in [("parts", &self.parts), ("evaluation", &self.evaluation)] {
            if !numbers.is_empty() {
                text.table(&format!("best.{table}"));
                for (name, value) in numbers {
                    text.float(name, *value);
                }
            }
        }
    }
}
