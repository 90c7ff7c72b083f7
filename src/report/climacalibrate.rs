//! A run in the layout of ClimaCalibrate: folders of members that Julia tools read without a package of ours.
//!
//! ```text
//!   DIR/priors.toml  y.csv
//!       iteration_001/G_ensemble.csv  G_ensemble.npy     p × J: a member is a column; NaN where it has no outputs
//!                     u.csv                              d × J, unconstrained
//!                     member_001/parameters.toml         [name] type = "float", value = …
//!                                checkpoint.txt          started | completed
//! ```
//! Their state objects (JLD2) hold Julia types and closures: a Julia script makes them anew from these files.
//! Belongs here: names and forms of that layout. Not here: which numbers a run has.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{FileError, TomlText, load_state, npy};
use crate::numerics::Mat;
use crate::problem::{Ensemble, Prior};
use crate::report::ReportError;
use crate::report::export::{Row, Table, table};
use crate::steps::Run;
use crate::steps::parameters::ENSEMBLE;

/// Write `run` into `folder`, which must be new or empty; tells the table that was written and the folder of each
/// iteration.
///
/// # Errors
/// The folder holds other files; an ensemble that is damaged, the disk.
pub fn write(run: &Run, folder: &Path) -> Result<(Table, Vec<PathBuf>), ReportError> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(ReportError::Refused {
            what: format!("`{}` holds files already", folder.display()),
            hint: "name a new folder: `-o DIR`".into(),
        });
    }
    let table = table(run)?;
    let problem = run.problem()?;
    fs::create_dir_all(folder).map_err(FileError::io("make", folder))?;
    let priors = run.dir.root().join("priors.toml");
    fs::copy(&priors, folder.join("priors.toml")).map_err(FileError::io("copy", &priors))?;
    let y: Vec<f64> = problem.observation.blocks().iter().flat_map(|block| block.y.iter().copied()).collect();
    put(&folder.join("y.csv"), csv(&Mat::from_columns(y.len(), 1, y)).as_bytes())?;
    let first = run.dir.identity.first_iteration;
    let mut written = Vec::new();
    let mut rows = table.rows.as_slice();
    while let Some(one) = rows.first() {
        let members = rows.iter().take_while(|row| row.iteration == one.iteration).count();
        // They count from 1.
        let place = folder.join(format!("iteration_{:03}", one.iteration - first + 1));
        let ensemble: Ensemble = load_state(&run.dir.ensemble(one.iteration), ENSEMBLE.0, ENSEMBLE.1)?;
        iteration(run, &problem.prior, &place, &rows[..members], table.outputs.len(), &ensemble.u)?;
        written.push(place);
        rows = &rows[members..];
    }
    Ok((table, written))
}

fn iteration(
    run: &Run,
    prior: &Prior,
    place: &Path,
    rows: &[Row],
    outputs: usize,
    u: &Mat,
) -> Result<(), ReportError> {
    for row in rows {
        let folder = place.join(format!("member_{:03}", row.member));
        fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
        // What a model gets: the table has coefficients of random fields, here stand their values.
        let theta = prior.constrain(u.col(row.member as usize - 1));
        put(&folder.join("parameters.toml"), parameters(run, &theta).as_bytes())?;
        // The last ensemble was not run: there is nothing to tell.
        if row.state != "result" {
            let state = if row.outputs.is_some() { "completed\n" } else { "started\n" };
            put(&folder.join("checkpoint.txt"), state.as_bytes())?;
        }
    }
    put(&place.join("u.csv"), csv(u).as_bytes())?;
    if rows.iter().all(|row| row.state == "result") {
        return Ok(());
    }
    let g = Mat::from_fn(outputs, rows.len(), |i, j| rows[j].outputs.as_ref().map_or(f64::NAN, |g| g[i]));
    put(&place.join("G_ensemble.csv"), csv(&g).as_bytes())?;
    // Row by row in the file
    put(&place.join("G_ensemble.npy"), &npy::write(&[g.nrows(), g.ncols()], g.transpose().data()))?;
    Ok(())
}

/// Calibrated parameters alone, as their `save_parameters` writes them.
fn parameters(run: &Run, theta: &[f64]) -> String {
    let mut text = TomlText::default();
    let mut rest = theta;
    for (name, &components) in run.dir.identity.parameters.iter().zip(&run.dir.identity.components) {
        let (values, after) = rest.split_at(components);
        rest = after;
        text.raw(&format!("[{}]", crate::files::key(name))).text("type", "float");
        match values {
            [one] => text.float("value", *one),
            several => text.floats("value", several),
        };
    }
    text.finish()
}

fn csv(rows: &Mat) -> String {
    let mut text = String::new();
    for i in 0..rows.nrows() {
        for j in 0..rows.ncols() {
            let x = rows[(i, j)];
            let comma = if j == 0 { "" } else { "," };
            let _ = if x.is_nan() { write!(text, "{comma}NaN") } else { write!(text, "{comma}{x:?}") };
        }
        text.push('\n');
    }
    text
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    fs::write(path, bytes).map_err(FileError::io("write", path))
}
