//! Another try for a grid: the stop mark goes, and failed cells run again.

use std::fs;

use crate::files::{Failed, FileError, load_record};
use crate::models::Cause;
use crate::steps::grid::GridRun;
use crate::steps::reopen::Reopened;
use crate::steps::{StepError, tries};

/// Prepare a grid to go on. What a person marked as failed stays so. `members` are counted over all stages.
///
/// # Errors
/// The disk.
pub fn reopen(run: &GridRun) -> Result<Reopened, StepError> {
    let mut done = Reopened::default();
    match fs::remove_file(run.dir.cancel()) {
        Ok(()) => done.lifted = true,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(FileError::io("remove", &run.dir.cancel())(e).into()),
    }
    if run.is_over() {
        return Ok(done);
    }
    for stage in 1..=run.last_stage() {
        for cell in 1..=run.cells(stage) {
            let folder = run.folder(stage, cell);
            let failed = load_record::<Failed>(&folder.join("failed.toml"));
            let again =
                failed.is_ok_and(|f| f.cause != Cause::User.word() && !stands_on_marked(run, stage, cell));
            if again && !folder.join("data.toml").exists() {
                tries::set_aside(&folder, &["failed.toml"])?;
                done.members.push(cell);
            }
        }
    }
    Ok(done)
}

/// Whether a cell before it was marked by a person, which no other try changes.
fn stands_on_marked(run: &GridRun, stage: u32, cell: u32) -> bool {
    run.upstream(stage, cell).into_iter().any(|(before, cells)| {
        cells.into_iter().any(|c| {
            let record = load_record::<Failed>(&run.folder(before, c).join("failed.toml"));
            record.is_ok_and(|f| f.cause == Cause::User.word()) || stands_on_marked(run, before, c)
        })
    })
}
