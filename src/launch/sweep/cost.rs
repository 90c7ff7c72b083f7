//! What a sweep costs before it is made: core-hours and disk of its cases, as far as anything is known of them.
//!
//! A case costs what the members of its group took that have run in the folder; else its time limits bound it; else
//! nothing is known, and that is said. Not here: the cost of one run (`launch::dry_run`).

use std::collections::BTreeMap;

use crate::experiment::sweep::Case;
use crate::explain::count;
use crate::files::RunDir;
use crate::launch::dry_run::{Measured, core_time, measured};
use crate::launch::setup::per_element;
use crate::launch::site::{Job, Site};
use crate::models::external::External;
use crate::steps::init::Prepared;

/// What is known of a case.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    /// Core-seconds and bytes, from members that have run
    Measured(f64, f64),
    /// Core-seconds after which everything has been ended
    Limit(f64),
    /// Nothing
    Nothing,
}

/// The cost of cases, as they are added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Costs {
    groups: BTreeMap<String, Measured>,
    measured: (usize, f64, f64),
    limited: (usize, f64),
    unknown: usize,
}

impl Costs {
    /// Look for members of this case that have run: they tell of all cases of its group, which differ in workers alone.
    pub fn look(&mut self, case: &Case, prepared: &Prepared) {
        if !self.groups.contains_key(&case.group)
            && let Ok(dir) = RunDir::open(&prepared.root)
            && let Some(found) = measured(&dir)
        {
            self.groups.insert(case.group.clone(), found);
        }
    }

    /// Add a case of so many members; what its line says.
    pub fn add(&mut self, case: &Case, prepared: &Prepared, site: &Site, members: u64) -> String {
        match self.known(case, prepared, site, members) {
            Known::Measured(seconds, bytes) => {
                let (cases, all_s, all_bytes) = self.measured;
                self.measured = (cases + 1, all_s + seconds, all_bytes + bytes);
                format!("about {}, {:.1} MB", core_time(seconds), bytes * 1e-6)
            }
            Known::Limit(seconds) => {
                self.limited = (self.limited.0 + 1, self.limited.1 + seconds);
                format!("at most {}", core_time(seconds))
            }
            Known::Nothing => {
                self.unknown += 1;
                "cost unknown".into()
            }
        }
    }

    fn known(&self, case: &Case, prepared: &Prepared, site: &Site, members: u64) -> Known {
        let all = members as f64;
        if let Some(found) = self.groups.get(&case.group) {
            return Known::Measured(found.seconds * all, found.bytes * all);
        }
        let external = prepared.experiment.model.external.as_deref();
        let cores = f64::from(case.launch.threads.max(1)) * external.map_or(1, External::ranks).max(1) as f64;
        if let Some(limit) = external.and_then(External::timeout) {
            return Known::Limit(limit.as_secs_f64() * cores * all);
        }
        let asked = site.slurm.request(Job::Member);
        match asked.time.and_then(|time| time.0).filter(|_| case.launch.on == "slurm") {
            Some(seconds) => {
                let id = &prepared.identity;
                let elements = id.members.div_ceil(per_element(id.members, id.pack, site));
                let cores =
                    u64::from(asked.ntasks.unwrap_or(1)) * u64::from(asked.cpus_per_task.unwrap_or(1));
                Known::Limit((u64::from(elements) * u64::from(id.iterations) * seconds * cores) as f64)
            }
            None => Known::Nothing,
        }
    }

    /// The sums of cases added here and elsewhere.
    pub fn plus(&mut self, other: &Self) {
        let (here, there) = (&mut self.measured, other.measured);
        *here = (here.0 + there.0, here.1 + there.1, here.2 + there.2);
        self.limited = (self.limited.0 + other.limited.0, self.limited.1 + other.limited.1);
        self.unknown += other.unknown;
    }

    /// A line for each kind of knowledge.
    pub fn lines(&self) -> Vec<String> {
        let (measured, seconds, bytes) = self.measured;
        let (limited, limit_s) = self.limited;
        let mut told = Vec::new();
        if measured > 0 {
            let (time, size) = (core_time(seconds), bytes * 1e-6);
            told.push(format!(
                "{}: about {time}, {size:.1} MB, as members took that have run",
                count(measured, "case")
            ));
        }
        if limited > 0 {
            let (cases, time) = (count(limited, "case"), core_time(limit_s));
            told.push(format!("{cases}: at most {time}, by the time limits; disk unknown"));
        }
        if self.unknown > 0 {
            told.push(format!(
                "{}: core-hours and disk unknown, no member has run and no time limit is set (`ekp-init --try` measures one)",
                count(self.unknown, "case")
            ));
        }
        told
    }
}
