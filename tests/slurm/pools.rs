//! Pools of workers under srun and mpirun, and members that are parallel themselves.

use std::process::Command;

use super::bed::Bed;
use super::{external, reference, site};
use crate::support::{Study, same_science};

#[test]
fn workers_under_srun_are_a_pool_also_when_they_cannot_see_each_other() {
    let Some(bed) = Bed::shared() else { return };
    let study = Study::sinusoid("pools").members(8).iterations(2);
    let expected = reference(&study);
    // pmix is right for nobody here, none and pmi2 make four worlds of one rank each
    let kinds = ["none", "pmi2", "pmix"];
    let runs = kinds.map(|kind| {
        let run = study.init(kind);
        let call = format!(
            "unset SLURM_EXPORT_ENV; srun --cpus-per-task=1 --mpi={kind} {} . --to-end",
            tool("ekp-worker")
        );
        bed.sbatch(&run, &["--ntasks=4", "--output=logs/pool.out", "--wrap", &call]);
        run
    });
    for run in &runs {
        bed.finished(run);
        same_science(&expected, run);
    }
}

#[test]
fn mpirun_inside_a_job_starts_a_pool() {
    let Some(bed) = Bed::shared() else { return };
    if Command::new("mpirun").arg("--version").output().is_err() {
        assert!(std::env::var("CI").is_err(), "`mpirun` is not installed");
        return eprintln!("skipped: `mpirun` is not installed");
    }
    let study = Study::sinusoid("mpirun").members(8).iterations(2);
    let run = study.init("run");
    let call = format!("{} . --on mpi --workers 4 --starter 'mpirun -n 4'", tool("ekp-launch"));
    bed.sbatch(&run, &["--ntasks=4", "--output=logs/pool.out", "--wrap", &call]);
    bed.finished(&run);
    same_science(&reference(&study), &run);
}

#[test]
fn a_member_of_four_ranks_runs_under_srun_and_refuses_fewer() {
    let Some(bed) = Bed::shared() else { return };
    let study = external("ranks", "");
    // Given a model whose ranks must see each other
    let source = study.folder.write("ranks.c", RANKS);
    let program = study.folder.path().join("ranks");
    let built = Command::new("mpicc").arg("-o").arg(&program).arg(&source).status();
    if !built.is_ok_and(|status| status.success()) {
        assert!(std::env::var("CI").is_err(), "`mpicc` is not installed");
        return eprintln!("skipped: `mpicc` is not installed");
    }
    let command = ["./ranks", "./model.sh", "{parameters}", "{data}"].map(toml::Value::from).to_vec();
    let study = study
        .members(4)
        .iterations(1)
        .set("model.command", command)
        .set("model.files", vec![toml::Value::from("ranks"), "model.sh".into()])
        .set("model.mpi.ranks", 4)
        .set("model.mpi.launcher", "srun --mpi=pmix");
    site(&study, "[slurm.member]\nnodes = 2\n");
    let run = study.init("run");
    // When its members run as jobs of four tasks on two nodes
    bed.submit(&run);
    bed.finished(&run);
    // Then none of them failed
    assert_eq!(run.toml("iteration_000/update.toml")["failed"].as_integer(), Some(0), "{}", bed.story(&run));
    assert!(run.read("ekp_run_member.sbatch").contains("#SBATCH --ntasks=4\n"));
}

fn tool(name: &str) -> String {
    format!("'{}'", crate::support::tools().join(name).display())
}

/// Rank 0 runs the rest of its command line, once all four are there.
const RANKS: &str = r#"
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
  int rank, size, status = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size != 4) { fprintf(stderr, "4 ranks wanted, %d here\n", size); MPI_Abort(MPI_COMM_WORLD, 5); }
  if (rank == 0) {
    pid_t pid = fork();
    if (pid == 0) { execv(argv[1], argv + 1); _exit(127); }
    waitpid(pid, &status, 0);
  }
  MPI_Bcast(&status, 1, MPI_INT, 0, MPI_COMM_WORLD);
  MPI_Finalize();
  return status ? 1 : 0;
}
"#;
