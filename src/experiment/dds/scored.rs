//! `[score]`: what a search makes large, and when it is scored.

use crate::explain::{Marked, nearest, one_of};
use crate::files::human::Section;
use crate::models::{Measure, Period, Scoring, Want};

/// What is to be made large.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// What a model is asked for
    pub scoring: Scoring,
    /// A name for each objective
    pub names: Vec<String>,
    /// Small is good (scores of a model's own only)
    pub minimise: bool,
    /// Days on which the best is scored once more at the end
    pub evaluation: Option<Period>,
}

impl Scored {
    /// Names and lengths of what an outcome holds: `score`, a number for each objective, and what each consists of.
    pub fn layout(&self) -> Vec<(String, usize)> {
        let mut all = vec![("score".to_owned(), self.names.len())];
        for measure in &self.scoring.measures {
            all.extend(parts(*measure).iter().map(|part| (self.part(*measure, part), 1)));
        }
        all
    }

    /// `r`, or `kge_prime_r` where there are several measures.
    pub fn part(&self, measure: Measure, part: &str) -> String {
        match self.scoring.measures.len() {
            1 => part.to_owned(),
            _ => format!("{}_{part}", measure.word().replace('-', "_")),
        }
    }

    /// What a model is asked for.
    pub fn want(&self) -> Want {
        // A program writes as many numbers as there are objectives.
        let blocks = if self.scoring.measures.is_empty() { self.layout() } else { Vec::new() };
        Want { blocks, score: Some(self.scoring.clone()) }
    }

    /// What the search makes large, from the scores as they are.
    pub fn goals(&self, scores: &[f64]) -> Vec<f64> {
        let goal = |(k, x): (usize, &f64)| match self.scoring.measures.get(k) {
            Some(Measure::Pbias) => -x.abs(),
            None if self.minimise => -x,
            _ => *x,
        };
        scores.iter().enumerate().map(goal).collect()
    }

    /// The scores behind goals.
    pub fn shown(&self, goals: &[f64]) -> Vec<f64> {
        goals.iter().map(|g| if self.minimise { -g } else { *g }).collect()
    }

    /// For the heads of files: what is scored, and when.
    pub fn words(&self) -> String {
        let mut words = self.names.join(", ");
        if let Some(period) = self.scoring.period {
            words.push_str(&format!(" of {period}"));
        }
        if let Some(spin_up) = self.scoring.spin_up {
            words.push_str(&format!(" after {spin_up}"));
        }
        words
    }
}

/// What a measure consists of, as models name it, and the number of pairs.
pub fn parts(measure: Measure) -> &'static [&'static str] {
    match measure {
        Measure::Kge | Measure::KgePrime => &["r", "variability", "beta", "pairs"],
        Measure::Nse | Measure::LogNse => &["pairs"],
        Measure::Pbias => &["mean_observed", "mean_simulated", "pairs"],
    }
}

/// `[score]`: the goals, their direction and the periods that count.
pub(super) fn read(section: &Section<'_>) -> Result<Scored, Marked> {
    let from_model = section.opt::<bool>("from_model")?.unwrap_or(false);
    let names: Option<Vec<String>> = match section.opt::<String>("name") {
        Ok(one) => one.map(|name| vec![name]),
        Err(_) => section.opt("name")?,
    };
    let minimise = section.choice("direction", &["maximise", "minimise"])?;
    let spin_up = Period::read(section, "spin_up")?;
    let period = Period::read(section, "calibration")?;
    let evaluation = Period::read(section, "evaluation")?;
    section.finish()?;
    if let Some(before) = spin_up {
        for (key, scored) in [("calibration", period), ("evaluation", evaluation)] {
            if let Some(scored) = scored.filter(|scored| scored.first <= before.last) {
                let label = format!(
                    "it begins on {}, `spin_up` ends on {}; allowed: days after it, which it does not know yet",
                    scored.first, before.last
                );
                return Err(section.wrong(key, format!("`{key}` begins within `spin_up`"), label));
            }
        }
    }
    if names.as_ref().is_some_and(Vec::is_empty) {
        return Err(section.wrong(
            "name",
            "`name` is empty",
            "allowed: a name, or several for several objectives",
        ));
    }
    if from_model {
        for key in ["spin_up", "calibration", "evaluation"] {
            if section.keys().any(|k| k == key) {
                let label = "a model with a score of its own knows its periods itself";
                return Err(section.wrong(key, format!("`{key}` has no use here"), label));
            }
        }
        let names = names.unwrap_or_else(|| vec!["score".into()]);
        let scoring = Scoring { measures: Vec::new(), spin_up: None, period: None };
        return Ok(Scored { scoring, names, minimise: minimise == Some("minimise"), evaluation: None });
    }
    if minimise.is_some() {
        let label = "every measure has one; it belongs to `from_model = true`";
        return Err(section.wrong("direction", "`direction` has no use here", label));
    }
    let allowed = format!("{}; or `from_model = true`", one_of(Measure::NAMES));
    let names = names.ok_or_else(|| section.missing("name", &allowed))?;
    let mut measures = Vec::new();
    for name in &names {
        let Some(measure) = Measure::parse(name) else {
            let label = format!("found `{name}`, allowed: {allowed}");
            let fault = section.wrong("name", "there is no such measure", label);
            return Err(match nearest(name, Measure::NAMES) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            });
        };
        if measures.contains(&measure) {
            let label = format!("`{name}` stands there twice");
            return Err(section.wrong("name", "an objective is named twice", label));
        }
        measures.push(measure);
    }
    Ok(Scored { scoring: Scoring { measures, spin_up, period }, names, minimise: false, evaluation })
}
