//! What would be submitted, before anything is.

use std::fmt::Write as _;

use crate::launch::LaunchError;
use crate::launch::dry_run::cost;
use crate::launch::scripts;
use crate::launch::site::{Chain, Dependency};
use crate::launch::slurm::Scheduler;
use crate::plan::Due;
use crate::steps::due;

impl Scheduler<'_> {
    /// The jobs that are left with what each waits for, core-hours, files and disk.
    ///
    /// # Errors
    /// The disk.
    pub fn dry_run(&self) -> Result<String, LaunchError> {
        let id = &self.dir().identity;
        let (mut iteration, mut open, mut last) =
            (id.first_iteration, self.dir().members(id.first_iteration), None);
        let mut text = String::new();
        let mut jobs = 0;
        let mut line = |what: String, call: String, after: String| {
            jobs += 1;
            let after = if after.is_empty() { after } else { format!("    {after}") };
            let _ = writeln!(text, "{jobs:>4}  {what:<24}  {call}{after}");
            jobs
        };
        let mut elements = match due::due(self.run)? {
            Due::Over => return Ok("nothing: the run is over (`stop.toml`)\n".into()),
            Due::Ensemble => {
                last = Some(line("init".into(), "ekp_init_ensemble.sbatch".into(), String::new()));
                (1..=self.elements_at(iteration)).collect()
            }
            Due::Members(at, members) => {
                (iteration, open) = (at, u32::try_from(members.len()).unwrap_or(u32::MAX));
                self.elements_of(&members.iter().collect::<Vec<u32>>())
            }
            Due::Update(at) => {
                (iteration, open) = (at, 0);
                Vec::new()
            }
        };
        let first = iteration;
        let (mut members, mut counted) = (0u64, 0u64);
        while iteration < self.run.end()? {
            let name = format!("it{iteration:0width$}", width = id.iteration_digits);
            let after = last.map_or(String::new(), |job| format!("afterok:{job}"));
            let mut ended = String::new();
            for part in scripts::arrays(elements.iter().copied(), &self.site.slurm) {
                let what = format!("{name}.members [{}]", part.indices);
                let offset = if part.offset > 0 { format!(" {}", part.offset) } else { String::new() };
                let call = format!("ekp_run_member.sbatch {iteration}{offset}");
                let _ = write!(ended, ":{}", line(what, call, after.clone()));
            }
            members += u64::from(open);
            counted += elements.len() as u64;
            let end = if self.site.slurm.dependency == Dependency::AfterOk { "afterok" } else { "afterany" };
            let ended = if ended.is_empty() { ended } else { format!("{end}{ended}") };
            let both =
                [after, ended].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
            last = Some(line(format!("{name}.update"), format!("ekp_update.sbatch {iteration}"), both));
            iteration += 1;
            open = self.dir().members(iteration);
            elements = (1..=self.elements_at(iteration)).collect();
        }
        let before = last.map_or(String::new(), |job| format!("afterany:{job}"));
        let jobs = line("collect".into(), "ekp_collect_timings.sbatch".into(), before);
        let iterations = u64::from(iteration - first);
        if self.site.slurm.chain == Chain::Rolling {
            text.push_str("rolling: one iteration is in the queue at a time\n");
        }
        let asked = self.member_request();
        let _ = writeln!(
            text,
            "{iterations} iterations at most, {jobs} jobs with {counted} array elements, about {} files",
            5 * members + 6 * iterations
        );
        if let Some(seconds) = asked.time.and_then(|time| time.0) {
            let cores = u64::from(asked.ntasks.unwrap_or(1)) * u64::from(asked.cpus_per_task.unwrap_or(1));
            let hours = (counted * seconds * cores) as f64 / 3600.0;
            let _ = writeln!(text, "members may use {hours:.1} core-hours before their wall time ends them");
        }
        let _ = writeln!(text, "{}", cost(self.run, usize::try_from(members).unwrap_or(usize::MAX)));
        Ok(text)
    }

    /// The array elements that run these members (ascending).
    pub(super) fn elements_of(&self, members: &[u32]) -> Vec<u32> {
        if self.dir().leaderless() {
            // Workers, no more of them than there are trials left.
            let left = u32::try_from(members.len()).unwrap_or(u32::MAX);
            return (1..=self.elements().min(left)).collect();
        }
        let mut elements: Vec<u32> = members.iter().map(|m| (m - 1) / self.per_element() + 1).collect();
        elements.dedup();
        elements
    }
}
