//! Models that fail, and nodes on which all of them do.

use super::bed::Bed;
use super::{external, model, records, reference, site};
use crate::support::{TestRun, same_science};

/// How often the model of a member was started; it leaves a line each time.
const COUNT: &str = r#"tries="$EKP_RUN.tries.$EKP_ITERATION.$EKP_MEMBER"; echo x >>"$tries""#;

fn tries(run: &TestRun, iteration: u32, member: u32) -> usize {
    let path = format!("{}.tries.{iteration}.{member}", run.path.display());
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[test]
fn a_member_that_fails_at_first_is_tried_again_and_nothing_else_is() {
    let Some(bed) = Bed::shared() else { return };
    // Given a model whose third member fails the first time
    let prefix = format!("{COUNT}\n[ $EKP_MEMBER = 3 ] && [ $(wc -l <\"$tries\") = 1 ] && exit 7");
    let study = external("retry", &prefix);
    let run = study.init("run");
    // When the chain runs
    bed.submit(&run);
    bed.finished(&run);
    // Then that one ran twice, all others once, and the bytes are those of one process
    for iteration in 0..2 {
        for member in 1..=6 {
            let expected = if member == 3 { 2 } else { 1 };
            assert_eq!(tries(&run, iteration, member), expected, "iteration {iteration} member {member}");
        }
    }
    assert_eq!(records(&run).len(), 1);
    same_science(&reference(&study), &run);
}

#[test]
fn a_member_that_always_fails_is_named_and_the_others_go_on() {
    let Some(bed) = Bed::shared() else { return };
    let study = external("one_bad", "[ $EKP_MEMBER = 2 ] && { echo out of range >&2; exit 9; }");
    let run = study.init("run");
    bed.submit(&run);
    bed.finished(&run);
    let failed = run.toml("iteration_001/member_002/failed.toml");
    assert_eq!(failed["exit_code"].as_integer(), Some(9));
    assert!(failed["stderr_tail"].as_str().unwrap().contains("out of range"));
    assert_eq!(run.toml("iteration_001/update.toml")["failed"].as_integer(), Some(1));
    same_science(&reference(&study), &run);
}

#[test]
fn too_many_failures_end_the_chain_with_4_and_submitting_again_tries_them_anew() {
    let Some(bed) = Bed::shared() else { return };
    // Given a model that fails for five members of six until it is mended
    let prefix = "[ $EKP_MEMBER != 4 ] && [ ! -e \"$EKP_RUN/../mended\" ] && exit 9";
    let study = external("many_bad", prefix);
    let run = study.init("run");
    // When the chain runs
    bed.submit(&run);
    bed.seen(&run, &[".collect"]);
    bed.drained(&run);
    // Then the update ended with 4, said why, and nothing after it ran
    assert!(!run.has("stop.toml") && !run.has("iteration_001"));
    let update = records(&run)[0]["jobs"]["it000.update"][0].as_integer().unwrap().to_string();
    bed.program(&run, "scontrol").args(["show", "job", "-o", &update]).succeeds().prints("ExitCode=4:0");
    assert!(
        run.read("logs/iteration_000/update.out").contains("5 of 6 members failed"),
        "{}",
        bed.story(&run)
    );
    // And when the model is mended, submitting again runs the five, not the one that was good
    study.folder.write("mended", "");
    bed.submit(&run);
    bed.finished(&run);
    assert_eq!(records(&run)[1]["elements"].as_str(), Some("1-3,5-6"));
    same_science(&reference(&study), &run);
}

#[test]
fn a_node_on_which_every_member_fails_is_left_out_the_next_time() {
    let Some(bed) = Bed::own("badnode", &["--nodes", "2", "--cpus", "4"]) else { return };
    // Given a node that fails at once and so takes most of the members; the other one is slow
    let prefix = "[ \"$SLURMD_NODENAME\" = n1 ] && exit 1; [ -z \"$SLURMD_NODENAME\" ] || sleep 1";
    let study = external("bad_node", prefix).members(14).iterations(1).set("failures.retries", 0);
    site(&study, "[slurm.member]\ncpus_per_task = 2\n");
    let run = study.init("run");
    bed.submit(&run);
    bed.seen(&run, &[".collect"]);
    bed.drained(&run);
    assert!(!run.has("stop.toml"), "too many members failed\n{}", bed.story(&run));
    // When it is submitted again
    bed.submit(&run);
    bed.finished(&run);
    // Then that node is not asked for, and the run comes to its end
    let options = records(&run)[1]["options"].to_string();
    assert!(options.contains("--exclude=n1"), "{options}");
    study.folder.script("model.sh", &model(""));
    same_science(&reference(&study), &run);
}
