//! `trial.toml`: what a trial is, and what was known when it was made. Whole, and never replaced.

use std::path::Path;

use serde::Deserialize;

use super::View;
use crate::dds::Trial;
use crate::files::{Record, TomlText, crc32, parse_record};
use crate::steps::Run;

/// `trial.toml`
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TrialRecord {
    /// Digest of the science: two runs in one folder would be seen
    pub run: String,
    /// Its number, from 1: it fixes random numbers and probability
    pub trial: u32,
    /// Evaluations in all, as it was then
    pub budget: u32,
    /// Probability with which each coordinate moved
    pub p: f64,
    /// Coordinates that moved
    pub moved: u32,
    /// The trial that it started from; 0 for a draw
    pub parent: u32,
    /// Score of that trial, each as large as can be; none for a draw
    pub parent_goals: Vec<f64>,
    /// Results that its maker knew
    pub known: u32,
    /// Successes since a new best, as its maker knew
    pub stagnant: u32,
    /// Physical, in the order of `run.toml`
    pub values: Vec<f64>,
}

impl Record for TrialRecord {
    const SCHEMA: &'static str = "ekp.trial";
    const VERSION: u32 = 1;
}

impl TrialRecord {
    /// The record of a trial before its model runs, with what the worker knew by then.
    pub(super) fn new(run: &Run, number: u32, trial: Trial, view: &View) -> Self {
        let parent = trial.parent.unwrap_or(0);
        let goals = view.standing.kept.iter().find(|found| found.trial == parent);
        Self {
            run: run.dir.identity.id.clone(),
            trial: number,
            budget: run.dir.budget(),
            p: trial.p,
            moved: trial.moved,
            parent,
            parent_goals: goals.map_or_else(Vec::new, |found| found.goals.clone()),
            known: view.standing.done,
            stagnant: view.standing.stagnant,
            values: trial.x,
        }
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let n = self.trial;
        let text = TomlText::record::<Self>(&format!(
            "ekp trial: number {n} of a search, made from what its worker knew.\nBy hand:  ekp-run-member . -i 0 -m {n} --again"
        ))
        .text("run", &self.run)
        .number("trial", n)
        .number("budget", self.budget)
        .float("p", self.p)
        .number("moved", self.moved)
        .number("parent", self.parent)
        .floats("parent_goals", &self.parent_goals)
        .number("known", self.known)
        .number("stagnant", self.stagnant)
        .floats("values", &self.values)
        .finish();
        let sum = crc32(text.as_bytes());
        format!("{text}# crc32 {sum}\n")
    }

    /// The file, if it is whole.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (body, sum) = text.rsplit_once("# crc32 ")?;
        let record: Self = parse_record(path, text.as_bytes()).ok()?;
        let finite = record.values.iter().all(|x| x.is_finite());
        (sum.trim_end() == crc32(body.as_bytes()) && finite).then_some(record)
    }
}
