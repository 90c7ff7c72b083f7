//! The rolling chain: submit what is due now, and nothing behind its update.

use std::fs;

use crate::files::FileError;
use crate::launch::LaunchError;
use crate::launch::queue::{JobId, Submission as Job};
use crate::launch::scripts::job_name;
use crate::launch::slurm::begin::{Begun, Start};
use crate::launch::slurm::{Scheduler, submissions};
use crate::steps::due;

impl Scheduler<'_> {
    /// Submit exactly what is due: the open members and their update, or, when the run is over, the
    /// tables of times, once. True if something was submitted.
    ///
    /// # Errors
    /// As [`Scheduler::begin`], or Slurm refuses a job; what was submitted before it is recorded.
    pub fn next(&self, start: Start) -> Result<bool, LaunchError> {
        if due::stopped(self.run)?.is_some() {
            return self.tables();
        }
        let Some(begun) = self.begin_with(start, true)? else { return Ok(false) };
        let mut submitted = Vec::new();
        let result = self.iteration(&begun, &mut submitted);
        self.record(&begun, &submitted)?;
        result.map(|()| true)
    }

    fn iteration(&self, begun: &Begun, submitted: &mut Vec<(String, JobId)>) -> Result<(), LaunchError> {
        let name = format!("it{:0width$}", begun.iteration, width = self.dir().identity.iteration_digits);
        let logs = self.dir().logs(begun.iteration);
        fs::create_dir_all(&logs).map_err(FileError::io("make", &logs))?;
        let logs = format!("logs/{}", self.dir().logs_name(begun.iteration));
        let number = begun.iteration.to_string();
        let mut after = String::new();
        if begun.step == "init" {
            let job = self.job("init", begun, "logs/init.out".into(), &["ekp_init_ensemble.sbatch"]);
            after = format!("afterok:{}", self.submit("init", job, submitted)?);
        }
        let mut ended = String::new();
        for part in &begun.arrays {
            let offset = part.offset.to_string();
            let output =
                if begun.many { format!("{logs}/{offset}+%a.out") } else { format!("{logs}/%a.out") };
            let what = format!("{name}.members");
            let mut job = self.job(&what, begun, output, &["ekp_run_member.sbatch", &number, &offset]);
            job.dependency.clone_from(&after);
            job.array = Some(part.indices.clone());
            job.more.clone_from(&begun.options);
            ended.push_str(&format!(":{}", self.submit(&what, job, submitted)?));
        }
        let what = format!("{name}.update");
        let mut job = self.job(&what, begun, format!("{logs}/update.out"), &["ekp_update.sbatch", &number]);
        // After any end of the members: the update judges their files.
        let end = if self.site.slurm.dependency == crate::launch::site::Dependency::AfterOk {
            "afterok"
        } else {
            "afterany"
        };
        job.dependency = [after, if ended.is_empty() { ended } else { format!("{end}{ended}") }]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(",");
        self.submit(&what, job, submitted)?;
        Ok(())
    }

    /// The run is over: its tables of times, unless a submission had them.
    fn tables(&self) -> Result<bool, LaunchError> {
        let begun = loop {
            let records = submissions(self.dir())?;
            if records
                .iter()
                .any(|(_, record)| record.step == "collect" || record.jobs.contains_key("collect"))
            {
                (self.note)("the run is over (`stop.toml`): nothing to submit");
                return Ok(false);
            }
            let begun = self.blank("collect", due::open_iteration(self.run).unwrap_or(0));
            if let Some(begun) = self.claim(begun, &records, Start::Again, true)? {
                break begun;
            }
        };
        let job = self.job("collect", &begun, "logs/collect.out".into(), &["ekp_collect_timings.sbatch"]);
        let mut submitted = Vec::new();
        let result = self.submit("collect", job, &mut submitted);
        self.record(&begun, &submitted)?;
        result.map(|_| true)
    }

    fn record(&self, begun: &Begun, submitted: &[(String, JobId)]) -> Result<bool, LaunchError> {
        let words: Vec<String> = submitted.iter().map(|(what, id)| format!("{what}={id}")).collect();
        self.submitted(begun.record, &words.join(" "))
    }

    fn job(&self, what: &str, begun: &Begun, output: String, script: &[&str]) -> Job {
        Job {
            name: format!("{}.{what}", job_name(&self.dir().identity.name)),
            comment: begun.token.clone(),
            folder: self.dir().root().to_owned(),
            output,
            script: script.iter().map(|&word| word.to_owned()).collect(),
            ..Job::default()
        }
    }

    fn submit(
        &self,
        what: &str,
        job: Job,
        submitted: &mut Vec<(String, JobId)>,
    ) -> Result<JobId, LaunchError> {
        let known: Vec<JobId> = submitted.iter().map(|(_, id)| *id).collect();
        let id = self.queue.submit(&job, &known)?;
        submitted.push((what.to_owned(), id));
        Ok(id)
    }
}
