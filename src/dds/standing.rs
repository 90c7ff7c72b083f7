//! What the results so far come to: a fold over them, so that anyone who has the results has this, too.

use super::pareto::dominates;
use super::{Search, Select};

/// A trial that gave a score.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its number, from 1
    pub trial: u32,
    /// d values, physical
    pub x: Vec<f64>,
    /// One for each objective, each to be as large as it can
    pub goals: Vec<f64>,
}

/// A trial that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Tried {
    /// Its number, from 1
    pub trial: u32,
    /// d values, physical
    pub x: Vec<f64>,
    /// Its score; none when it failed, which is no score at all
    pub goals: Option<Vec<f64>>,
}

/// What is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Results merged
    pub done: u32,
    /// Of them failures
    pub failed: u32,
    /// Failures since the last success
    pub failed_in_row: u32,
    /// Successes since the last new best
    pub stagnant: u32,
    /// The best; the pool, best first; or the archive in the order of trials
    pub kept: Vec<Found>,
    /// Trials of the archive that entered with the last merge, ascending
    pub fresh: Vec<u32>,
}

impl Standing {
    /// The best by the first objective.
    pub fn best(&self) -> Option<&Found> {
        self.kept.iter().reduce(|best, found| if found.goals[0] > best.goals[0] { found } else { best })
    }
}

impl Search {
    /// Take in results that came together, in the order of their numbers.
    ///
    /// A newer result replaces an equal one, so that the search drifts over plateaus; of equal results that come
    /// together the one with the lowest number counts.
    pub fn merge(&self, standing: &mut Standing, together: &[Tried]) {
        standing.fresh.clear();
        let mut best: Option<&Tried> = None;
        for tried in together {
            standing.done += 1;
            let goals = tried.goals.as_ref().filter(|goals| goals.iter().all(|g| g.is_finite()));
            let Some(goals) = goals else {
                standing.failed += 1;
                standing.failed_in_row += 1;
                continue;
            };
            standing.failed_in_row = 0;
            standing.stagnant += 1;
            let found = || Found { trial: tried.trial, x: tried.x.clone(), goals: goals.clone() };
            match self.select {
                Select::Best => {
                    if best.and_then(|b| b.goals.as_ref()).is_none_or(|known| goals[0] > known[0]) {
                        best = Some(tried);
                    }
                }
                Select::Pool(size) => {
                    // Sorted, newer ones first among equals.
                    let at = standing.kept.partition_point(|known| known.goals[0] > goals[0]);
                    if at == 0 {
                        standing.stagnant = 0;
                    }
                    standing.kept.insert(at, found());
                    standing.kept.truncate(size.max(1) as usize);
                }
                _ => archive(standing, found()),
            }
        }
        if let Some(Tried { trial, x, goals: Some(goals) }) = best {
            let known = standing.kept.first().map(|known| known.goals[0]);
            if known.is_none_or(|known| goals[0] >= known) {
                if known.is_none_or(|known| goals[0] > known) {
                    standing.stagnant = 0;
                }
                standing.kept = vec![Found { trial: *trial, x: x.clone(), goals: goals.clone() }];
            }
        }
    }
}

/// Keep what nobody beats; equals of an older one stay out, so that the archive does not fill with copies.
fn archive(standing: &mut Standing, found: Found) {
    let beaten = |known: &Found| dominates(&known.goals, &found.goals) || known.goals == found.goals;
    if standing.kept.iter().any(beaten) {
        return;
    }
    standing.kept.retain(|known| !dominates(&found.goals, &known.goals));
    standing.stagnant = 0;
    standing.fresh.push(found.trial);
    standing.kept.push(found);
    standing.kept.sort_by_key(|known| known.trial);
    let kept = &standing.kept;
    standing.fresh.retain(|trial| kept.iter().any(|known| known.trial == *trial));
}
