//! A search without a coordinator as an array of workers: elements that end early, are lost, or run again.

use std::collections::BTreeSet;

use super::bed::Bed;
use super::{records, site, starts};
use crate::dds::{best_is_the_best, land, scores};
use crate::support::{Study, TestRun};

fn study(name: &str, budget: i64) -> Study {
    land(name, "dds-async", 4, budget).set("model.landscape.cost_s", 0.15)
}

fn complete(bed: &Bed, run: &TestRun, budget: usize) {
    assert_eq!(scores(run).len(), budget, "{}", bed.story(run));
    assert_eq!(run.toml("stop.toml")["failed"].as_integer(), Some(0), "{}", bed.story(run));
    best_is_the_best(run);
}

/// The number of the array job of the workers.
fn array(bed: &Bed, run: &TestRun) -> String {
    let line = bed.seen(run, &["it000.members", "RUNNING"]);
    line.split(['_', ' ']).next().unwrap().to_owned()
}

#[test]
fn workers_that_are_told_to_end_leave_the_rest_to_a_new_chain() {
    let Some(bed) = Bed::shared() else { return };
    let study = study("workers-drain", 120);
    let run = study.init("run");
    bed.submit(&run);
    let job = array(bed, &run);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 8);
    // When Slurm says that the wall time ends
    bed.program(&run, "scancel").args(["--batch", "--signal=USR1", &job]).succeeds();
    bed.finished(&run);
    // Then each finished what it ran, and a second chain did the rest
    let records = records(&run);
    assert!(records.len() >= 2, "{}", bed.story(&run));
    assert_eq!(records[1]["step"].as_str(), Some("members"));
    assert!((1..=4).map(|e| starts(&run, &format!("iteration_000/{e}.out"))).sum::<usize>() > 4);
    complete(bed, &run, 120);
}

#[test]
fn a_worker_that_is_lost_and_one_that_is_requeued_cost_no_trial() {
    let Some(bed) = Bed::shared() else { return };
    let study = study("workers-lost", 120);
    site(&study, "[slurm]\narray_limit = 3\n");
    let run = study.init("run");
    bed.submit(&run);
    let job = array(bed, &run);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 8);
    bed.program(&run, "scancel").args([&format!("{job}_1")]).succeeds();
    bed.program(&run, "scontrol").args(["requeue", &format!("{job}_2")]).run();
    bed.finished(&run);
    complete(bed, &run, 120);
}

/// A search whose runs take a second until `quick` is there.
fn slow(name: &str, budget: i64) -> Study {
    let study = Study::started(name, "dds-async").members(4).set("algorithm.budget", budget);
    let text = std::fs::read_to_string(study.folder.path().join("model.sh")).unwrap();
    let wait = "#!/bin/sh\n[ -z \"$SLURM_JOB_ID\" ] || [ -f \"$EKP_RUN.quick\" ] || sleep 1\n";
    study.model(&text.replacen("#!/bin/sh\n", wait, 1))
}

/// Trials of an earlier look are what they were.
fn kept(before: &[(String, f64)], after: &[(String, f64)]) {
    let name = |(name, score): &(String, f64)| (name.clone(), score.to_bits());
    let after: BTreeSet<_> = after.iter().map(name).collect();
    assert!(before.iter().map(name).all(|trial| after.contains(&trial)), "an outcome changed");
}

#[test]
fn workers_stop_before_their_wall_time_ends_and_the_next_chain_goes_on() {
    let Some(bed) = Bed::shared() else { return };
    // Given a minute for each worker, and more trials than fit into it
    let study = slow("workers-wall", 240);
    site(&study, "[slurm]\ntime = \"1:00\"\n");
    let run = study.init("run");
    bed.submit(&run);
    // When Slurm says that it will be over (a minute or less before, as it sees fit)
    bed.wait(&run, "a second chain", 150, || records(&run).len() > 1);
    let before = scores(&run);
    std::fs::write(run.path.with_extension("quick"), "").unwrap();
    bed.finished(&run);
    // Then nobody was cut off: each finished what it ran, and left; what was found by then still counts
    for element in 1..=4 {
        let log = run.read(&format!("logs/iteration_000/{element}.out"));
        assert!(!log.contains("DUE TO TIME LIMIT"), "{}", bed.story(&run));
        assert!(log.contains("the job ends soon"), "{}", bed.story(&run));
    }
    assert!((8..240).contains(&before.len()), "{}", before.len());
    let second = &records(&run)[1];
    assert_eq!(second["open"].as_integer(), Some(240 - before.len() as i64), "{second}");
    kept(&before, &scores(&run));
    complete(bed, &run, 240);
    run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("bit for bit");
}

#[test]
fn a_node_lost_under_workers_costs_their_leases_and_no_trial() {
    let Some(bed) = Bed::own("workers-node", &["--nodes", "3", "--cpus", "2"]) else { return };
    // Given six workers on three nodes, whose leases run out soon
    let study = slow("workers-node", 60).members(6);
    let member = "extra = [\"#SBATCH --no-requeue\"]\nprologue = [\"export EKP_LEASE=4\"]";
    site(&study, &format!("[slurm.member]\n{member}\n"));
    let run = study.init("run");
    bed.submit(&run);
    bed.seen(&run, &["it000.members", "RUNNING", " n2 "]);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 10);
    let before = scores(&run);
    // When the plug of one node is pulled
    bed.verb(&["node-kill", "n2", "--now"]);
    let tries = || {
        let trials = std::fs::read_dir(run.path.join("trials_000")).unwrap().flatten();
        trials.filter(|trial| trial.path().join("try_2/claim.toml").exists()).count()
    };
    // Then others take over what its workers held
    bed.wait(&run, "trials taken over", 120, || tries() > 0);
    std::fs::write(run.path.with_extension("quick"), "").unwrap();
    bed.finished(&run);
    kept(&before, &scores(&run));
    complete(&bed, &run, 60);
    run.tool("ekp-run-member").args([".", "--best"]).succeeds().says("bit for bit");
}

#[test]
fn workers_that_all_go_down_with_their_node_are_followed_by_others() {
    let Some(bed) = Bed::own("workers-down", &["--nodes", "2", "--cpus", "2"]) else { return };
    // Given workers on one node, who do not come back by themselves, and the rest of the run on another
    let study = slow("workers-down", 30).members(2);
    let member = "extra = [\"#SBATCH --no-requeue\", \"#SBATCH -w n2\"]\nprologue = [\"export EKP_LEASE=4\"]";
    site(&study, &format!("[slurm]\nextra = [\"#SBATCH -w n1\"]\n[slurm.member]\n{member}\n"));
    let run = study.init("run");
    bed.submit(&run);
    bed.wait(&run, "some trials", 90, || scores(&run).len() > 3);
    let before = scores(&run);
    // When the plug of that node is pulled, and it is there again later
    bed.verb(&["node-kill", "n2", "--now"]);
    bed.wait(&run, "a second chain", 90, || records(&run).len() > 1);
    let open = records(&run)[1]["open"].as_integer().unwrap();
    assert!(open > 0 && open < 30, "{open}");
    std::fs::write(run.path.with_extension("quick"), "").unwrap();
    bed.verb(&["node-start", "n2"]);
    bed.finished(&run);
    // Then a second chain took over what they held, and nothing was run twice
    kept(&before, &scores(&run));
    complete(&bed, &run, 30);
}

#[test]
fn chains_that_finish_no_trial_come_to_an_end_and_go_on_when_asked() {
    let Some(bed) = Bed::shared() else { return };
    // Given workers that end before they run anything
    let study = land("workers-idle", "dds-async", 2, 12);
    let mended = study.folder.path().join("mended");
    let prologue = format!("[ -f '{}' ] || exit 1", mended.display());
    site(&study, &format!("[slurm.member]\nprologue = [{prologue:?}]\n"));
    let run = study.init("run");
    bed.submit(&run);
    // Then a second chain tries once more, and no third
    bed.wait(&run, "a second chain", 90, || records(&run).len() > 1);
    bed.drained(&run);
    let (chains, said) = (records(&run).len(), run.read("logs/iteration_000/update.out"));
    assert_eq!(chains, 2, "{}", bed.story(&run));
    assert!(
        said.contains("2 arrays of workers, one behind the other, finished no trial: 12 are still open"),
        "{said}"
    );
    assert!(!run.has("stop.toml") && scores(&run).is_empty(), "{}", bed.story(&run));
    // And when it is mended, submitting again goes on
    std::fs::write(&mended, "").unwrap();
    bed.submit(&run);
    bed.finished(&run);
    complete(bed, &run, 12);
}
