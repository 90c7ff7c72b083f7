//! What Slurm's words mean for a person: refusals, and reasons for which a waiting job will never start.

/// The controller is away or full: it comes back, and asking again is right.
pub(super) fn passes(said: &str) -> bool {
    ["nable to contact", "temporarily unavailable", "temporarily unable", "timed out", "onnection refused"]
        .iter()
        .any(|words| said.contains(words))
}

/// The programs are installed, and no cluster is configured.
pub(super) fn is_unconfigured(said: &str) -> bool {
    said.contains("Could not establish a configuration source")
}

/// The job is not there any more.
pub(super) fn is_gone(said: &str) -> bool {
    said.contains("Invalid job id") || said.contains("already completing or completed")
}

/// What to change after a refusal, by the words in it.
pub(super) fn of_refusal(said: &str) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 13] = [
        ("partition", "`partition` in site.toml: `sinfo -s` lists them"),
        ("qos", "`qos` in site.toml: `sacctmgr show qos format=name` lists them"),
        ("account", "`account` in site.toml: `sacctmgr show assoc user=$USER format=account` lists yours"),
        ("Memory specification", "`mem` or `mem_per_cpu` in site.toml asks for more than any node has"),
        ("gres", "`gres` in site.toml: `sinfo -o '%P %G'` lists them"),
        ("feature specification", "`constraint` in site.toml: `sinfo -o '%P %f'` lists features"),
        ("time limit", "`time` in site.toml is longer than the partition allows: `sinfo -o '%P %l'`"),
        ("node count", "`nodes` in site.toml: more than the partition has or allows"),
        (
            "node configuration",
            "site.toml asks for more CPUs, memory or nodes than any node here has: `sinfo -o '%P %c %m'`",
        ),
        ("array specification", "`max_array_size` in site.toml: `scontrol show config | grep MaxArraySize`"),
        (
            "violates",
            "a limit of your account is reached: `chain = \"rolling\"` in site.toml submits one iteration at a time; of a grid \
             raise `members_per_task`",
        ),
        ("dependency", "a job it waits for is gone: submit again, it goes on where the files say"),
        ("isabled", "`submit_from_jobs = false` in site.toml where jobs may not submit jobs"),
    ];
    let lower = said.to_lowercase();
    ADVICE.iter().find(|(words, _)| lower.contains(&words.to_lowercase())).map(|(_, advice)| *advice)
}

/// Whether a job that waits for this reason will wait for ever unless somebody acts.
pub fn never_starts(reason: &str) -> bool {
    advice(reason).is_some()
}

/// What to do about a reason that does not resolve itself; none for reasons that do.
pub fn advice(reason: &str) -> Option<&'static str> {
    // Reasons may carry details: `ReqNodeNotAvail, UnavailableNodes:n2`, `(launch failed requeued held)`.
    let word = reason.trim_matches(['(', ')']).split([',', ' ', ':']).next().unwrap_or_default();
    Some(match word {
        "PartitionTimeLimit" => {
            "more `time` than the partition allows: lower it in site.toml, then cancel and submit again"
        }
        "PartitionNodeLimit" | "PartitionConfig" => {
            "more nodes, CPUs or memory than the partition gives: mend site.toml, then cancel and submit again"
        }
        "PartitionDown" | "PartitionInactive" => {
            "the partition is closed: choose another in site.toml, or wait for its operators"
        }
        "ReqNodeNotAvail" => "the nodes asked for are down or reserved: `sinfo -R` says why",
        "BadConstraints" => {
            "no node has what `constraint`, `gres` or `mem` ask for: mend site.toml, then cancel and submit again"
        }
        "DependencyNeverSatisfied" => {
            "a job it waits for failed: cancel and submit again, the run goes on where it stands"
        }
        "JobHeldUser" => "held by you: `scontrol release` lets it go",
        "JobHeldAdmin" => "held by an administrator: ask them",
        "launch" if reason.contains("held") => {
            "it could not be started and is held: `scontrol release` tries again"
        }
        "JobHoldMaxRequeue" => "it was restarted too often and is held: `scontrol release` tries again",
        "InvalidAccount" | "AccountNotAllowed" => "mend `account` in site.toml, then cancel and submit again",
        "InvalidQOS" | "QOSNotAllowed" => "mend `qos` in site.toml, then cancel and submit again",
        _ if word.contains("MaxWallDurationPerJob") || word.ends_with("MaxWallDurationPerJobLimit") => {
            "more `time` than your account or service allows: lower it in site.toml, then cancel and submit again"
        }
        // Per-job limits stay; limits on the sum of jobs pass when other jobs end.
        _ if is_limit(word) && word.contains("PerJob") => {
            "one job asks for more than your account or service allows: mend site.toml, then cancel and submit again"
        }
        _ if is_limit(word) && word.contains("Submit") => {
            "more jobs than you may have in the queue: `chain = \"rolling\"` in site.toml submits one iteration at a time; of a grid \
             raise `members_per_task`"
        }
        _ if is_limit(word)
            && (word.contains("GrpCPUMinutes")
                || word.contains("GrpTRESMinutes")
                || word.contains("Billing")) =>
        {
            "the budget of the account is used up: name another `account` in site.toml"
        }
        _ => return None,
    })
}

fn is_limit(word: &str) -> bool {
    word.starts_with("Assoc") || word.starts_with("QOS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_pass_are_told_from_reasons_that_stay() {
        for stays in [
            "PartitionTimeLimit",
            "PartitionConfig",
            "ReqNodeNotAvail, UnavailableNodes:n2",
            "BadConstraints",
            "DependencyNeverSatisfied",
            "JobHeldUser",
            "JobHeldAdmin",
            "launch failed requeued held",
            "AssocMaxSubmitJobLimit",
            "QOSMaxWallDurationPerJobLimit",
            "AssocMaxCpuPerJobLimit",
            "AssocGrpCPUMinutesLimit",
        ] {
            assert!(never_starts(stays), "{stays}");
        }
        for passes in [
            "None",
            "Priority",
            "Resources",
            "Dependency",
            "JobArrayTaskLimit",
            "BeginTime",
            "AssocGrpCpuLimit",
            "QOSMaxJobsPerUserLimit",
        ] {
            assert_eq!(advice(passes), None, "{passes}");
        }
    }

    #[test]
    fn a_refusal_names_the_key_to_change() {
        let advice = of_refusal("Batch job submission failed: Invalid partition name specified").unwrap();
        assert!(advice.starts_with("`partition`"));
        assert!(of_refusal("Memory specification can not be satisfied").unwrap().starts_with("`mem`"));
        assert_eq!(of_refusal("something new"), None);
    }
}
