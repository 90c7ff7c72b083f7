//! Slurm's clients played by scripts: what a real one does not do on demand.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A folder of fake clients; they keep notes in it.
struct Fake {
    dir: PathBuf,
}

impl Fake {
    fn new(name: &str, clients: &[(&str, &str)]) -> Self {
        let dir = std::env::temp_dir().join(format!("ekp-queue-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (client, body) in clients {
            let file = dir.join(client);
            let text = format!("#!/bin/bash\ncd '{}'\n{body}\n", dir.display());
            // Written by another process: a program this one holds open cannot be run ("text file busy").
            let mut write = Command::new("bash");
            write.args(["-c", "printf %s \"$1\" >\"$0\"; chmod 755 \"$0\""]);
            assert!(write.arg(&file).arg(text).status().unwrap().success());
        }
        Self { dir }
    }

    fn queue(&self) -> Queue {
        let pauses = vec![Duration::from_millis(10); 3];
        Queue { patience: Patience { call: Duration::from_secs(5), pauses }, clients: Some(self.dir.clone()) }
    }

    fn note(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn job() -> Submission {
    Submission {
        name: "s.it003.members".into(),
        comment: "ekp:abc:0001".into(),
        folder: std::env::temp_dir(),
        dependency: "afterok:7".into(),
        array: Some("1-3".into()),
        output: "logs/%a.out".into(),
        more: vec!["--exclude=n2".into()],
        script: vec!["ekp_run_member.sbatch".into(), "3".into()],
    }
}

#[test]
fn what_the_chain_relies_on_stands_on_the_command_line() {
    let fake = Fake::new("options", &[("sbatch", "printf '%s\\n' \"$@\" >asked; echo 41")]);
    assert_eq!(fake.queue().submit(&job(), &[]).unwrap(), 41);
    let asked = fake.note("asked");
    for option in [
        "--parsable",
        "--kill-on-invalid-dep=yes",
        "--dependency=afterok:7",
        "--array=1-3",
        "--comment=ekp:abc:0001",
    ] {
        assert!(asked.lines().any(|line| line == option), "{option}: {asked}");
    }
    assert!(asked.ends_with("--exclude=n2\nekp_run_member.sbatch\n3\n"), "{asked}");
}

#[test]
fn a_banner_before_the_number_and_a_cluster_behind_it_do_no_harm() {
    let fake =
        Fake::new("banner", &[("sbatch", "echo Welcome to 1000 nodes; echo careful >&2; echo '42;east'")]);
    assert_eq!(fake.queue().submit(&job(), &[]).unwrap(), 42);
}

#[test]
fn an_answer_without_a_number_is_an_error_and_not_a_guess() {
    let fake = Fake::new("nonsense", &[("sbatch", "echo Submitted batch job 7")]);
    let fault = fake.queue().submit(&job(), &[]).unwrap_err();
    assert_eq!(fault.to_string(), "`sbatch` gave no job number: Submitted batch job 7");
}

#[test]
fn a_controller_that_is_away_is_asked_again() {
    let away = "echo x >>tries; [ $(wc -l <tries) = 3 ] && { echo 43; exit; }
        echo 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)' >&2; exit 1";
    let fake = Fake::new("away", &[("sbatch", away), ("squeue", "exit 1")]);
    assert_eq!(fake.queue().submit(&job(), &[]).unwrap(), 43);
    assert_eq!(fake.note("tries").lines().count(), 3);
}

#[test]
fn a_refusal_is_told_at_once_with_its_words() {
    let refuse = "echo x >>tries; echo 'sbatch: error: invalid partition specified: nope' >&2
        echo 'sbatch: error: Batch job submission failed: Invalid partition name specified' >&2; exit 1";
    let fake = Fake::new("refusal", &[("sbatch", refuse)]);
    let fault = fake.queue().submit(&job(), &[]).unwrap_err();
    assert!(
        fault.to_string().ends_with("nope; Batch job submission failed: Invalid partition name specified"),
        "{fault}"
    );
    assert!(fault.hint().unwrap().contains("sinfo"));
    assert_eq!(fake.note("tries").lines().count(), 1);
}

#[test]
fn a_job_whose_number_got_lost_on_the_way_is_found_and_not_submitted_twice() {
    let lost = "echo x >>tries; echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1";
    let mut fields = ["44_[1-3]", "44", "44", "PENDING", "Priority", "(null)", "N/A", "t", "", "", "", "/"];
    fields[9] = "s.it003.members";
    fields[10] = "ekp:abc:0001";
    let listed = |id: &str| fields.join("\u{1f}").replace("44", id);
    let squeue = format!("cat <<'END'\n{}\n{}\nEND", listed("40"), listed("44"));
    let fake = Fake::new("lost", &[("sbatch", lost), ("squeue", &squeue)]);
    // 40 is an earlier array of the same name: it is known, the other one is ours
    assert_eq!(fake.queue().submit(&job(), &[40]).unwrap(), 44);
    assert_eq!(fake.note("tries").lines().count(), 1);
}

#[test]
fn a_client_that_hangs_is_given_up_in_the_end() {
    let fake = Fake::new("hang", &[("sbatch", "exec sleep 60"), ("squeue", "exit 1")]);
    let mut queue = fake.queue();
    queue.patience.call = Duration::from_millis(50);
    let fault = queue.submit(&job(), &[]).unwrap_err();
    assert!(matches!(fault, QueueError::Away { tries: 4, .. }), "{fault}");
}

#[test]
fn jobs_that_are_gone_are_no_error() {
    let gone = "echo 'scancel: error: Kill job error on job id 7: Invalid job id specified' >&2; exit 1";
    let fake = Fake::new("gone", &[("scancel", gone)]);
    fake.queue().cancel(&[7]).unwrap();
}

#[test]
fn a_machine_without_slurm_says_so() {
    let fake = Fake::new("none", &[]);
    assert_eq!(fake.queue().mine().unwrap_err().to_string(), "`squeue` is not installed on this machine");
    let fatal = "echo 'squeue: fatal: Could not establish a configuration source' >&2; exit 1";
    let fake = Fake::new("unconfigured", &[("squeue", fatal)]);
    let fault = fake.queue().mine().unwrap_err();
    assert_eq!(fault.to_string(), "`squeue` finds no Slurm to talk to on this machine");
}
