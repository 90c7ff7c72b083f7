//! Packs: many cheap members share one outcome, so that the file server sees hundreds of files, not millions.
//!
//! ```text
//!   chunk_000001/parameters.npy    members × d, float64: a row per member
//!                data.npy          members × p, the same way; NaN rows for failed members
//!                data.toml         names it with shape and digest, tells the failed ones; written last
//!                timing.toml
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::files::npy;
use crate::files::{
    Chunk, FileError, Iteration, Members, RunDir, Stored, digest, load_record, load_state, publish,
    publish_new,
};
use crate::models::{Cause, ModelError, ThetaRef};
use crate::numerics::Mat;
use crate::problem::{Ensemble, Prior};
use crate::steps::member::{Options, Outcome, in_lanes, judged, place};
use crate::steps::outcomes::{Gathered, Left};
use crate::steps::parameters::{ENSEMBLE, near, theta};
use crate::steps::timing::{Clock, Who, job_id};
use crate::steps::tries::set_aside;
use crate::steps::{Run, StepError};

/// Write the parameters of all packs into an iteration's (hidden) folder.
///
/// # Errors
/// The disk.
pub(super) fn write_parameters(
    dir: &RunDir,
    prior: &Prior,
    iteration: Iteration,
    hidden: &Path,
    ensemble: &Ensemble,
) -> Result<(), StepError> {
    for chunk in 1..=dir.chunks(iteration) {
        let name = dir.chunk(iteration, chunk);
        let folder = hidden.join(name.file_name().expect("a chunk has a name"));
        fs::create_dir(&folder).map_err(FileError::io("make", &folder))?;
        let path = folder.join("parameters.npy");
        fs::write(&path, parameters(dir, prior, ensemble, iteration, chunk))
            .map_err(FileError::io("write", &path))?;
    }
    Ok(())
}

/// The bytes of a pack's parameters.
fn parameters(dir: &RunDir, prior: &Prior, ensemble: &Ensemble, iteration: Iteration, chunk: u32) -> Vec<u8> {
    let members = dir.chunk_members(iteration, chunk);
    let columns = members.clone().count();
    let mut data = Vec::with_capacity(prior.values() * columns);
    for member in members {
        data.extend(theta(dir, prior, ensemble.u.col(member as usize - 1)));
    }
    npy::write(&[columns, prior.values()], &data)
}

/// Run the packs that hold `members`.
///
/// # Errors
/// The iteration is not there, the disk.
pub(super) fn run(
    run: &Run,
    iteration: Iteration,
    members: &Members,
    options: &Options,
    each: &(dyn Fn(u32, &Outcome) + Sync),
) -> Result<(), StepError> {
    if !run.dir.iteration(iteration).is_dir() {
        return Err(FileError::NotYet { iteration, path: run.dir.iteration(iteration) }.into());
    }
    let chunks = chunks(run, members.iter());
    let lanes = if run.experiment.model.whole { 1 } else { options.threads.clamp(1, chunks.len().max(1)) };
    in_lanes(lanes, &chunks, |&chunk| {
        let outcomes = one(run, iteration, chunk, options)?;
        for (member, outcome) in run.dir.chunk_members(iteration, chunk).zip(&outcomes) {
            each(member, outcome);
        }
        Ok(())
    })
}

/// The parameters of a pack. A file that is gone or cut short is written anew from the ensemble.
fn load(run: &Run, iteration: Iteration, chunk: u32) -> Result<Vec<u8>, StepError> {
    let folder = run.dir.chunk(iteration, chunk);
    let path = folder.join("parameters.npy");
    match fs::read(&path) {
        Ok(bytes) if npy::read(&bytes).is_ok() => return Ok(bytes),
        Ok(_) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) if e.kind() == ErrorKind::IsADirectory => set_aside(&folder, &["parameters.npy"])?,
        Err(e) => return Err(FileError::io("read", &path)(e).into()),
    }
    let ensemble: Ensemble = load_state(&run.dir.ensemble(iteration), ENSEMBLE.0, ENSEMBLE.1)?;
    let bytes = parameters(&run.dir, &run.prior()?, &ensemble, iteration, chunk);
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    publish(&path, &bytes)?;
    Ok(bytes)
}

fn one(run: &Run, iteration: Iteration, chunk: u32, options: &Options) -> Result<Vec<Outcome>, StepError> {
    let folder = run.dir.chunk(iteration, chunk);
    let path = folder.join("parameters.npy");
    let bytes = load(run, iteration, chunk)?;
    let asked = run.asked(iteration)?;
    let expected = digest(&bytes);
    let members: Vec<u32> = run.dir.chunk_members(iteration, chunk).collect();
    if !options.again
        && let Ok((left, _)) = look(run, iteration, asked.total(), &folder, &expected, members.len())
    {
        let outcome = |l: &Left| match l {
            Left::Failed { .. } => Outcome::AlreadyFailed,
            _ => Outcome::AlreadyDone,
        };
        return Ok(left.iter().map(outcome).collect());
    }
    let invalid = |why: String| FileError::Invalid { path: path.clone(), kind: "array of parameters", why };
    let read = npy::read(&bytes).map_err(|e| invalid(e.to_string()))?;
    let id = &run.dir.identity;
    let d: usize = id.components.iter().sum();
    if read.shape != [members.len(), d] {
        return Err(invalid(format!("its shape is {:?}, not {} × {d}", read.shape, members.len())).into());
    }
    // A row per member in the file is a column per member here.
    let values = Mat::from_columns(d, members.len(), read.data);
    let names: Vec<(String, usize)> =
        id.parameters.iter().cloned().zip(id.components.iter().copied()).collect();
    let mut places: Vec<_> =
        members.iter().map(|&m| place(run, &asked, iteration, m, 1, &folder, options)).collect();
    let want = run.want(&asked);
    let clock = Clock::start();
    let results =
        run.experiment.model.forward.run(ThetaRef { names: &names, values: &values }, &want, &mut places);
    let results: Vec<_> =
        results.into_iter().map(|r| r.and_then(|output| judged(run, &asked, output))).collect();
    let who = Who { job: job_id(), element: options.element, worker: options.worker, threads: 1, attempt: 1 };
    publish(&folder.join("timing.toml"), clock.stop(clock.own_usage(), &who).text().as_bytes())?;
    publish_chunk(run, iteration, chunk, &folder, &expected, &results, options.again)?;
    let seconds = clock.wall_s() / members.len() as f64;
    Ok(results
        .into_iter()
        .map(|r| match r {
            Ok(_) => Outcome::Done { seconds },
            Err(e) => Outcome::Failed { reason: e.message },
        })
        .collect())
}

fn publish_chunk(
    run: &Run,
    iteration: Iteration,
    chunk: u32,
    folder: &Path,
    parameters: &str,
    results: &[Result<crate::models::Output, ModelError>],
    again: bool,
) -> Result<(), StepError> {
    let rows = run.asked(iteration)?.total();
    let mut data = Vec::with_capacity(rows * results.len());
    let (mut failed, mut causes, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for (member, result) in run.dir.chunk_members(iteration, chunk).zip(results) {
        match result {
            Ok(output) => output.blocks.iter().for_each(|b| data.extend_from_slice(b)),
            Err(error) => {
                data.extend(std::iter::repeat_n(f64::NAN, rows));
                failed.push(member);
                causes.push(error.cause.word().to_owned());
                messages.push(error.message.clone());
            }
        }
    }
    let bytes = npy::write(&[results.len(), rows], &data);
    // Two processes on one pack write the same bytes: the one that renames last changes nothing.
    publish(&folder.join("data.npy"), &bytes)?;
    let members: Vec<u32> = run.dir.chunk_members(iteration, chunk).collect();
    let (first, last) = (members[0], members[members.len() - 1]);
    let record = Chunk {
        parameters: parameters.to_owned(),
        data: digest(&bytes),
        shape: vec![results.len(), rows],
        failed,
        causes,
        messages,
        ..Chunk::default()
    };
    let text = Chunk::finish(record.begin(&format!(
        "ekp chunk: members {first} to {last} of iteration {iteration}, a row each in `data.npy`.\n\
         Written last: its presence closes the pack.\n\
         By hand:  ekp-run-member . -i {iteration} -m {first} --again"
    )));
    let path = folder.join("data.toml");
    if again {
        publish(&path, text.as_bytes())?;
    } else if !publish_new(&path, text.as_bytes())?
        && look(run, iteration, rows, folder, parameters, results.len()).is_err()
    {
        set_aside(folder, &["data.toml"])?;
        publish_new(&path, text.as_bytes())?;
    }
    Ok(())
}

/// The outcomes in a pack's folder, or in which way it has none.
fn look(
    run: &Run,
    iteration: Iteration,
    rows: usize,
    folder: &Path,
    parameters: &str,
    members: usize,
) -> Result<(Vec<Left>, Vec<f64>), String> {
    let record = Chunk::read(folder).map_err(|why| format!("`data.toml`: {why}"))?.ok_or("no `data.toml`")?;
    if record.parameters != parameters {
        return Err("`data.toml` answers other parameters".into());
    }
    let bytes = fs::read(folder.join("data.npy")).map_err(|e| format!("`data.npy` cannot be read: {e}"))?;
    if digest(&bytes) != record.data {
        return Err("`data.npy` is not the file that `data.toml` names".into());
    }
    let array = npy::read(&bytes).map_err(|e| e.to_string())?;
    if array.shape != [members, rows] {
        return Err(format!("`data.npy` has shape {:?}, not {members} × {rows}", array.shape));
    }
    let first = run.dir.chunk_members(iteration, chunk_number(folder)).next().unwrap_or(1);
    let left = (0..members)
        .map(|j| {
            let member = first + u32::try_from(j).expect("members are counted in u32");
            match record.failed.iter().position(|&m| m == member) {
                Some(k) => Left::Failed {
                    cause: record.causes.get(k).cloned().unwrap_or_default(),
                    message: record.messages.get(k).cloned().unwrap_or_default(),
                },
                None => Left::Data { digest: format!("{} row {}", record.data, j + 1), form: Stored::Other },
            }
        })
        .collect();
    // A row per member in the file is a column per member here.
    Ok((left, array.data))
}

fn chunk_number(folder: &Path) -> u32 {
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    name.rsplit('_').next().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// The outcomes of all packs, member by member.
pub(super) fn gather(
    run: &Run,
    prior: &Prior,
    ensemble: &Ensemble,
    iteration: Iteration,
) -> Result<Gathered, StepError> {
    let rows: usize = run.dir.identity.lengths.iter().sum();
    let mut all = Vec::with_capacity(ensemble.u.ncols());
    let mut data = Vec::with_capacity(rows * ensemble.u.ncols());
    for chunk in 1..=run.dir.chunks(iteration) {
        let members = run.dir.chunk_members(iteration, chunk).count();
        let bytes = parameters(&run.dir, prior, ensemble, iteration, chunk);
        match look_here(run, iteration, chunk, &bytes) {
            Ok((left, values)) => {
                all.extend(left);
                data.extend(values);
            }
            Err(why) => {
                all.extend(std::iter::repeat_n(Left::Missing(why), members));
                data.extend(std::iter::repeat_n(f64::NAN, rows * members));
            }
        }
    }
    Ok(Gathered { g: Mat::from_columns(rows, all.len(), data), left: all, verdicts: Vec::new() })
}

/// Move what is no outcome out of the way of these members, and give their packs back the parameters of the
/// ensemble.
pub(super) fn put_aside(
    run: &Run,
    prior: &Prior,
    ensemble: &Ensemble,
    iteration: Iteration,
    members: impl Iterator<Item = u32>,
) -> Result<(), StepError> {
    for chunk in chunks(run, members) {
        let folder = run.dir.chunk(iteration, chunk);
        let bytes = parameters(&run.dir, prior, ensemble, iteration, chunk);
        let path = folder.join("parameters.npy");
        if fs::read(&path).is_ok_and(|found| !same(&found, &bytes)) {
            publish(&path, &bytes)?;
        }
        if look_here(run, iteration, chunk, &bytes).is_err() {
            set_aside(&folder, &["data.toml"])?;
        }
    }
    Ok(())
}

/// The outcomes of a pack whose parameters are `bytes` on this host: another one may have rounded the last
/// digit otherwise, and the outcome answers the file that was written there.
fn look_here(
    run: &Run,
    iteration: Iteration,
    chunk: u32,
    bytes: &[u8],
) -> Result<(Vec<Left>, Vec<f64>), String> {
    let folder = run.dir.chunk(iteration, chunk);
    let members = run.dir.chunk_members(iteration, chunk).count();
    let rows = run.asked(iteration).map_err(|e| e.to_string())?.total();
    look(run, iteration, rows, &folder, &digest(bytes), members).or_else(|why| {
        match fs::read(folder.join("parameters.npy")) {
            Ok(found) if found != bytes && same(&found, bytes) => {
                look(run, iteration, rows, &folder, &digest(&found), members)
            }
            _ => Err(why),
        }
    })
}

/// The same parameters but for round-off.
fn same(a: &[u8], b: &[u8]) -> bool {
    match (npy::read(a), npy::read(b)) {
        (Ok(a), Ok(b)) => a.shape == b.shape && near(&a.data, &b.data),
        _ => false,
    }
}

/// The packs of these members, each once.
fn chunks(run: &Run, members: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut chunks: Vec<u32> = members.map(|m| (m - 1) / run.dir.identity.pack + 1).collect();
    chunks.dedup();
    chunks
}

/// Digest of its parameters and the numbers of a member, if its pack has an outcome.
pub(super) fn recorded(run: &Run, iteration: Iteration, member: u32) -> Option<(String, Vec<f64>)> {
    let chunk = (member - 1) / run.dir.identity.pack + 1;
    let folder = run.dir.chunk(iteration, chunk);
    let expected = digest(&fs::read(folder.join("parameters.npy")).ok()?);
    let members: Vec<u32> = run.dir.chunk_members(iteration, chunk).collect();
    let rows = run.asked(iteration).ok()?.total();
    let (_, data) = look(run, iteration, rows, &folder, &expected, members.len()).ok()?;
    let at = members.iter().position(|m| *m == member)?;
    Some((format!("{expected} row {}", at + 1), data[at * rows..][..rows].to_vec()))
}

/// Members that the packs of an iteration record as failed.
pub(super) fn failed(run: &Run, iteration: Iteration) -> Vec<u32> {
    (1..=run.dir.chunks(iteration))
        .filter_map(|chunk| load_record::<Chunk>(&run.dir.chunk(iteration, chunk).join("data.toml")).ok())
        .flat_map(|chunk| chunk.failed)
        .collect()
}

/// Give the packs of these members another try.
pub(super) fn reopen(run: &Run, iteration: Iteration, members: &[u32]) -> Result<(), StepError> {
    for chunk in chunks(run, members.iter().copied()) {
        set_aside(&run.dir.chunk(iteration, chunk), &["data.toml"])?;
    }
    Ok(())
}

/// Mark the members of a pack as failed without running them.
pub(super) fn mark_failed(
    run: &Run,
    iteration: Iteration,
    chunk: u32,
    cause: Cause,
    reason: &str,
) -> Result<(), StepError> {
    let folder = run.dir.chunk(iteration, chunk);
    let expected = digest(&load(run, iteration, chunk)?);
    let members = run.dir.chunk_members(iteration, chunk).count();
    if look(run, iteration, run.asked(iteration)?.total(), &folder, &expected, members).is_ok() {
        return Ok(());
    }
    let results: Vec<_> = (0..members).map(|_| Err(ModelError::new(cause, reason))).collect();
    publish_chunk(run, iteration, chunk, &folder, &expected, &results, true)
}
