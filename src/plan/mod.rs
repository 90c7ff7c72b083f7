//! Plans: lists of tool calls with "after". A launcher carries one out without knowing why.
//!
//! Belongs here: what a tool call is, and how the plan of an iteration loop looks.
//! Not here: how or where anything is started, what is done already.

pub mod grid;

use crate::files::{Iteration, Members};

/// One call of a tool on a run folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `ekp-init-ensemble`
    Ensemble,
    /// `ekp-run-member -i N -m LIST`
    Member {
        /// Iteration
        iteration: Iteration,
        /// Which members
        members: Members,
    },
    /// `ekp-update -i N`
    Update {
        /// Iteration
        iteration: Iteration,
    },
    /// `ekp-collect-timings`
    Timings,
}

impl Command {
    /// The call as typed in the run folder.
    pub fn argv(&self) -> Vec<String> {
        let words: Vec<String> = match self {
            Self::Ensemble => vec!["ekp-init-ensemble".into(), ".".into()],
            Self::Member { iteration, members } => {
                vec![
                    "ekp-run-member".into(),
                    ".".into(),
                    "-i".into(),
                    iteration.to_string(),
                    "-m".into(),
                    members.to_string(),
                ]
            }
            Self::Update { iteration } => {
                vec!["ekp-update".into(), ".".into(), "-i".into(), iteration.to_string(), "--close".into()]
            }
            Self::Timings => vec!["ekp-collect-timings".into(), ".".into()],
        };
        words
    }
}

/// A call and the calls that must have ended before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What
    pub command: Command,
    /// Indices into the plan, all smaller than its own
    pub after: Vec<usize>,
}

/// Tool calls in an order in which each stands after what it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The calls
    pub tasks: Vec<Task>,
}

/// Where a run stands, seen from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// The first ensemble is to be made
    Ensemble,
    /// Members of this iteration have no outcome
    Members(Iteration, Members),
    /// All members have an outcome: the iteration is to be closed
    Update(Iteration),
    /// Nothing is left to do
    Over,
}

impl Plan {
    /// What is left of an iteration loop: the open members, their update, then every further iteration
    /// before `end` with as many members as `all` says, `grain` members to a call.
    pub fn iteration_loop(
        due: &Due,
        first: Iteration,
        end: Iteration,
        all: &dyn Fn(Iteration) -> u32,
        grain: u32,
    ) -> Self {
        let mut plan = Self::default();
        let mut last = None;
        let (mut iteration, mut open) = match due {
            Due::Over => return plan,
            Due::Ensemble => {
                last = Some(plan.push(Command::Ensemble, Vec::new()));
                (first, Members::all(all(first)))
            }
            Due::Members(iteration, members) => (*iteration, members.clone()),
            Due::Update(iteration) => (*iteration, Members::new(Vec::new())),
        };
        while iteration < end {
            let mut after: Vec<usize> = last.into_iter().collect();
            let list: Vec<u32> = open.iter().collect();
            let mut runs = Vec::new();
            for part in list.chunks(grain.max(1) as usize) {
                let members = Members::new(part.to_vec());
                runs.push(plan.push(Command::Member { iteration, members }, after.clone()));
            }
            if !runs.is_empty() {
                after = runs;
            }
            last = Some(plan.push(Command::Update { iteration }, after));
            iteration += 1;
            open = Members::all(all(iteration));
        }
        plan.push(Command::Timings, last.into_iter().collect());
        plan
    }

    fn push(&mut self, command: Command, after: Vec<usize>) -> usize {
        self.tasks.push(Task { command, after });
        self.tasks.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_in_the_middle_begins_with_its_open_members() {
        let due = Due::Members(1, "2,5".parse().unwrap());
        let plan = Plan::iteration_loop(&due, 0, 3, &|_| 4, 2);
        let calls: Vec<String> = plan.tasks.iter().map(|t| t.command.argv().join(" ")).collect();
        assert_eq!(
            calls,
            [
                "ekp-run-member . -i 1 -m 2,5",
                "ekp-update . -i 1 --close",
                "ekp-run-member . -i 2 -m 1-2",
                "ekp-run-member . -i 2 -m 3-4",
                "ekp-update . -i 2 --close",
                "ekp-collect-timings ."
            ]
        );
        assert_eq!(plan.tasks[4].after, [2, 3]);
        assert!(plan.tasks.iter().enumerate().all(|(i, t)| t.after.iter().all(|&a| a < i)));
    }
}
