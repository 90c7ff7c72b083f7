//! What was asked of the scheduler against what was used, and the lines of `site.toml` that follow.
//!
//! Belongs here: the sums. Not here: how `site.toml` and the scheduler write amounts (the caller does).

use crate::report::table::{count, span, table};
use crate::report::timings::{Kind, Row};

/// What is added to the largest amount seen.
const MARGIN: f64 = 1.25;
/// Below this a job does not get its shell and the tools into memory, MiB.
const LEAST_MIB: u64 = 128;
/// A core that is busy for less than this share of the time is not needed.
const BUSY: f64 = 0.5;

/// What one job asks for: `[slurm.member]` with what stands above it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// Wall time, seconds
    pub time_s: Option<u64>,
    /// Memory of the node, MiB
    pub mem_mib: Option<u64>,
    /// Memory of each core, MiB
    pub mem_per_cpu_mib: Option<u64>,
    /// Cores
    pub cpus: Option<u32>,
    /// Members that one array element runs
    pub per_element: u32,
}

/// What was used at most, and what to ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Wall time of the longest element, seconds
    pub used_s: f64,
    /// Which: a sentence
    pub longest: String,
    /// Largest resident set, MiB
    pub used_mib: f64,
    /// Whose: a sentence
    pub largest: String,
    /// CPU time over wall time times threads, all members together
    pub busy: f64,
    /// Wall time to ask for, whole minutes in seconds
    pub time_s: u64,
    /// Memory to ask for, MiB
    pub mem_mib: u64,
    /// Cores to ask for, when fewer would do
    pub cpus: Option<u32>,
    /// Members that were measured
    pub members: usize,
}

/// From the rows of any number of runs; none when no member has run yet.
pub fn advise(rows: &[Row], asked: &Asked) -> Option<Advice> {
    let members: Vec<&Row> = rows.iter().filter(|r| r.kind != Kind::Update).collect();
    let largest = members.iter().max_by(|a, b| a.timing.peak_rss_mb.total_cmp(&b.timing.peak_rss_mb))?;
    let (used_s, longest) = longest(&members, asked.per_element.max(1))?;
    let cpu: f64 = members.iter().map(|r| r.timing.cpu_s).sum();
    let given: f64 = members.iter().map(|r| r.timing.wall_s * f64::from(r.timing.threads.max(1))).sum();
    let busy = if given > 0.0 { cpu / given } else { 0.0 };
    let most = members.iter().map(|r| r.timing.cpu_s / r.timing.wall_s.max(1e-9)).fold(0.0, f64::max);
    let cpus = asked.cpus.filter(|&n| n > 1 && busy < BUSY).map(|n| (most.ceil().max(1.0) as u32).min(n));
    Some(Advice {
        used_s,
        longest,
        used_mib: mib(largest.timing.peak_rss_mb),
        largest: whose(largest),
        busy,
        time_s: (used_s * MARGIN / 60.0).ceil().max(1.0) as u64 * 60,
        mem_mib: ((mib(largest.timing.peak_rss_mb) * MARGIN - 1e-6).ceil() as u64).max(LEAST_MIB),
        cpus: cpus.filter(|&n| Some(n) != asked.cpus),
        members: members.iter().map(|r| r.members as usize).sum(),
    })
}

/// An element runs its members one after the other: its time is their sum.
fn longest(members: &[&Row], per_element: u32) -> Option<(f64, String)> {
    let mut best: Option<(f64, &Row)> = None;
    let mut from = 0;
    while from < members.len() {
        let key = |r: &Row| (r.config_file.clone(), r.iteration, (r.member - 1) / per_element);
        let same = members[from..].iter().take_while(|r| key(r) == key(members[from])).count();
        let sum: f64 = members[from..from + same].iter().map(|r| r.timing.wall_s).sum();
        if best.is_none_or(|(most, _)| sum > most) {
            best = Some((sum, members[from]));
        }
        from += same;
    }
    let (sum, row) = best?;
    let who = match per_element {
        1 => whose(row),
        n => format!("the {n} members from {}, iteration {}", (row.member - 1) / n * n + 1, row.iteration),
    };
    Some((sum, who))
}

fn whose(row: &Row) -> String {
    format!("member {}, iteration {}, {}", row.member, row.iteration, row.timing.host)
}

/// How the caller writes amounts, as `site.toml` has them.
pub trait Amounts {
    /// `01:30:00`
    fn time(&self, seconds: u64) -> String;
    /// `1500M`
    fn memory(&self, mib: u64) -> String;
}

impl Advice {
    /// Lines for `site.toml`, the comparison in comments.
    pub fn text(&self, asked: &Asked, amounts: &dyn Amounts) -> String {
        let none = || "not set".to_owned();
        let memory = match (asked.mem_mib, asked.mem_per_cpu_mib) {
            (Some(mib), _) => amounts.memory(mib),
            (None, Some(mib)) => format!("{} per cpu", amounts.memory(mib)),
            _ => none(),
        };
        let rows = [
            ["", "asked", "used", "by"].map(str::to_owned).to_vec(),
            vec![
                "time".into(),
                asked.time_s.map_or_else(none, |s| amounts.time(s)),
                span(self.used_s),
                self.longest.clone(),
            ],
            vec!["memory".into(), memory, format!("{:.0} MiB", self.used_mib), self.largest.clone()],
            vec![
                "cpus".into(),
                asked.cpus.map_or_else(none, |n| n.to_string()),
                format!("{:.0} % busy", 100.0 * self.busy),
                count(self.members, "member"),
            ],
        ];
        let mut text = String::from("# Asked against used; what follows has a margin of 25 %.\n");
        table(&rows).lines().for_each(|line| text.push_str(&format!("#   {line}\n")));
        text.push_str(
            "# Memory is that of the largest process: a member of several processes needs their sum.\n",
        );
        text.push_str(&format!("[slurm.member]\ntime = \"{}\"\n", amounts.time(self.time_s)));
        match asked.mem_per_cpu_mib.filter(|_| asked.mem_mib.is_none()) {
            Some(_) => {
                let cpus = u64::from(self.cpus.or(asked.cpus).unwrap_or(1).max(1));
                text.push_str(&format!(
                    "mem_per_cpu = \"{}\"\n",
                    amounts.memory(self.mem_mib.div_ceil(cpus))
                ));
            }
            None => text.push_str(&format!("mem = \"{}\"\n", amounts.memory(self.mem_mib))),
        }
        if let Some(cpus) = self.cpus {
            text.push_str(&format!("cpus_per_task = {cpus}\n"));
        }
        text
    }
}

/// 10⁶ bytes, as measured, in the MiB that Slurm counts.
fn mib(mb: f64) -> f64 {
    mb * 1e6 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::timings::tests::row;

    #[test]
    fn a_margin_of_a_quarter_is_added_to_the_longest_element_and_the_largest_member() {
        // Elements of two members: 10 + 20 and 100 + 5 seconds
        let mut rows = [row(1, 0, 10.0), row(2, 0, 20.0), row(3, 0, 100.0), row(4, 0, 5.0)];
        rows[1].timing.peak_rss_mb = 416.0;
        let asked = Asked { time_s: Some(3600), cpus: Some(4), per_element: 2, ..Asked::default() };
        let advice = advise(&rows, &asked).unwrap();
        assert_eq!((advice.used_s, advice.time_s), (105.0, 180)); // 131.25 s in whole minutes
        assert_eq!((advice.used_mib.round(), advice.mem_mib), (397.0, 496)); // 416e6 bytes are 396.7 MiB
        assert_eq!((advice.busy, advice.cpus), (0.5, None));
        assert_eq!(advice.longest, "the 2 members from 3, iteration 0");
        assert_eq!(advise(&[], &asked), None);
    }

    #[test]
    fn idle_cores_are_given_back() {
        let mut rows = [row(1, 0, 10.0)];
        rows[0].timing.threads = 4;
        let asked = Asked { cpus: Some(4), per_element: 1, ..Asked::default() };
        let advice = advise(&rows, &asked).unwrap();
        assert_eq!((advice.busy, advice.cpus), (0.125, Some(1)));
        assert_eq!(advice.mem_mib, LEAST_MIB);
    }
}
