//! Members, nodes and controllers that are lost on the way.

use std::thread::sleep;
use std::time::Duration;

use super::bed::Bed;
use super::{external, model, records, reference, site, starts};
use crate::support::same_science;

#[test]
fn only_lost_members_run_again_and_one_new_chain_finishes_the_run() {
    let Some(bed) = Bed::shared() else { return };
    // Given a member that takes long the first time
    let prefix = "once=\"$EKP_RUN.once\"; [ $EKP_ITERATION$EKP_MEMBER = 03 ] && mkdir \"$once\" 2>/dev/null && sleep 300";
    let study = external("lost", prefix);
    let run = study.init("run");
    bed.submit(&run);
    // When somebody kills its job
    bed.wait(&run, "the slow member", 60, || run.path.with_extension("once").exists());
    let job = bed.seen(&run, &["it000.members", "_3 RUNNING"]);
    bed.program(&run, "scancel").args([job.split(' ').next().unwrap()]).succeeds();
    bed.finished(&run);
    // Then that element runs again, no other does, and the old chain's rest is gone
    let records = records(&run);
    assert_eq!(records.len(), 2, "{}", bed.story(&run));
    assert_eq!(records[1]["elements"].as_str(), Some("3"));
    assert_eq!(records[1]["rerun"].as_bool(), Some(true));
    assert_eq!(starts(&run, "iteration_000/3.out"), 2);
    assert_eq!(starts(&run, "iteration_000/2.out"), 1);
    assert_eq!(starts(&run, "iteration_001/2.out"), 1);
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}

#[test]
fn where_jobs_may_not_submit_a_login_node_goes_on_after_a_loss() {
    let Some(bed) = Bed::shared() else { return };
    let prefix = "once=\"$EKP_RUN.once\"; [ $EKP_MEMBER = 3 ] && mkdir \"$once\" 2>/dev/null && sleep 300";
    let study = external("login", prefix).members(4).iterations(1);
    site(&study, "[slurm]\nsubmit_from_jobs = false\n");
    let run = study.init("run");
    // Given the chain, which a job may not submit
    let job = bed.sbatch(&run, &["ekp_calibration.sbatch"]);
    bed.drained(&run);
    assert!(run.read(&format!("logs/calibration-{job}.out")).contains("on a login node"));
    bed.program(&run, "bash").args(["ekp_calibration.sbatch"]).succeeds();
    // When a member is lost
    let job = bed.seen(&run, &["it000.members", "_3 RUNNING"]);
    bed.wait(&run, "the slow member", 60, || run.path.with_extension("once").exists());
    bed.program(&run, "scancel").args([job.split(' ').next().unwrap()]).succeeds();
    bed.drained(&run);
    // Then the update says what to type, and that goes on
    assert!(run.read("logs/iteration_000/update.out").contains("bash ekp_calibration.sbatch"));
    bed.program(&run, "bash").args(["ekp_calibration.sbatch"]).succeeds();
    bed.finished(&run);
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}

#[test]
fn a_node_lost_under_members_and_under_an_update_costs_time_and_nothing_else() {
    let Some(bed) = Bed::own("nodes", &["--nodes", "3", "--cpus", "2"]) else { return };
    // Given members that are not requeued by Slurm when their node dies, and slow steps
    let study = external("nodes", "[ -z \"$SLURM_JOB_ID\" ] || sleep 2").iterations(1);
    site(
        &study,
        "[slurm.member]\nextra = [\"#SBATCH --no-requeue\"]\n[slurm.update]\nprologue = [\"sleep 3\"]\n",
    );
    let run = study.init("run");
    bed.submit(&run);
    // When a node dies while members run on it
    let job = bed.seen(&run, &["it000.members", "RUNNING", " n2 "]);
    bed.verb(&["node-kill", "n2", "--now"]);
    // Then the update finds them missing, and a new chain runs just these
    bed.wait(&run, "a new chain", 60, || {
        records(&run).get(1).is_some_and(|r| r["complete"].as_bool() == Some(true))
    });
    let again = &records(&run)[1];
    assert_eq!(again["rerun"].as_bool(), Some(true), "{job}");
    bed.verb(&["node-start", "n2"]);
    // And when a node dies under the update, the update is run again elsewhere
    let update = again["jobs"]["it000.update"][0].to_string();
    let update = bed.seen(&run, &[&format!("{update} RUNNING")]);
    let node = ["n1", "n2", "n3"].into_iter().find(|n| update.contains(&format!(" {n} "))).unwrap();
    sleep(Duration::from_secs(1));
    bed.verb(&["node-kill", node, "--now"]);
    bed.finished(&run);
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}

#[test]
fn a_controller_killed_in_the_middle_loses_nothing_when_the_run_is_submitted_again() {
    let Some(bed) = Bed::own("controller", &["--nodes", "2"]) else { return };
    let study = external("controller", "[ -z \"$SLURM_JOB_ID\" ] || sleep 1");
    let run = study.init("run");
    bed.submit(&run);
    bed.seen(&run, &["it000.members", "RUNNING"]);
    // When the controller dies with what it had not saved, and comes back
    bed.verb(&["ctl-kill"]);
    sleep(Duration::from_secs(2));
    bed.verb(&["ctl-start"]);
    // Then submitting again, as often as the chain stands still, brings the run to its end
    // and an operator takes back that the nodes were closed for doing what it had forgotten (duplicate jobs)
    for _ in 0..4 {
        sleep(Duration::from_secs(6));
        bed.program(&run, "scontrol").args(["update", "nodename=n[1-2]", "state=resume"]).run();
        if run.has("stop.toml") {
            break;
        }
        bed.submit(&run);
        let mut still = (Vec::new(), 0);
        bed.wait(&run, "the end, or a standstill", 120, || {
            sleep(Duration::from_secs(1));
            let jobs = bed.jobs(&run);
            still = if jobs == still.0 { (jobs, still.1 + 1) } else { (jobs, 0) };
            run.has("stop.toml") || still.1 > 8
        });
    }
    bed.finished(&run);
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}
