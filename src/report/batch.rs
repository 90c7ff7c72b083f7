//! The table of a batch of forward models: a row for each model, written chunk by chunk, however many there are.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::files::parquet::{self, Kind, Values};
use crate::files::rows::{Reader, Writer};
use crate::files::{Draft, FileError, TomlText, publish};
use crate::report::ReportError;
use crate::report::export::Arrays;
use crate::steps::forward::{self, Batch};
use crate::steps::{Run, StepError};

/// Rows that are held at once.
const ROWS: usize = 4096;

/// Numbers of a group of rows in Parquet: 8 MB, and of very long rows up to 32 MB: each group costs every reader a
/// description of all columns.
const GROUP: usize = 1 << 20;

/// What was written.
#[derive(Debug, Clone, Default)]
pub struct Written {
    /// Models
    pub rows: usize,
    /// Files
    pub files: Vec<PathBuf>,
    /// What a person should know
    pub warnings: Vec<String>,
}

/// Names of parameters and outputs, in the order of the arrays.
fn columns(run: &Run) -> (Vec<String>, Vec<String>) {
    let id = &run.dir.identity;
    let outputs = id.blocks.iter().zip(&id.lengths);
    (
        forward::columns(&run.parameters()),
        outputs.flat_map(|(name, &n)| (1..=n).map(move |k| format!("{name}[{k}]"))).collect(),
    )
}

/// Hand on the rows of every chunk that is there: number of the first model, parameters, outputs, failed models.
fn walk(
    run: &Run,
    mut each: impl FnMut(u32, &[f64], &[f64], &[u32]) -> Result<(), FileError>,
) -> Result<usize, ReportError> {
    let batch = Batch::open(run)?;
    let (mut parameters, mut outputs) = (Vec::new(), Vec::new());
    let mut missing = 0;
    for number in 1..=run.dir.identity.members {
        let Ok(Some(record)) = forward::record(&batch, number) else {
            missing += 1;
            continue;
        };
        let folder = run.dir.member(run.dir.identity.first_iteration, number);
        let open = |name: &str| Reader::open(&folder.join(name)).map_err(StepError::from);
        let (inputs, data) = (open("parameters.npy")?, open("data.npy")?);
        for first in (0..data.rows).step_by(ROWS) {
            let rows = first..(first + ROWS).min(data.rows);
            inputs.read(rows.clone(), 0..inputs.columns, &mut parameters)?;
            data.read(rows, 0..data.columns, &mut outputs)?;
            let model = record.first + u32::try_from(first).unwrap_or(u32::MAX);
            each(model, &parameters, &outputs, &record.failed)?;
        }
    }
    Ok(missing)
}

fn told(missing: usize) -> Vec<String> {
    if missing == 0 {
        Vec::new()
    } else {
        vec![format!("{missing} chunks have no outcome yet: they are left out")]
    }
}

/// The table as CSV: model, state, parameters, outputs; into a file, or to stdout.
///
/// # Errors
/// The disk.
pub fn csv(run: &Run, path: Option<&Path>) -> Result<Written, ReportError> {
    let (names, outputs) = columns(run);
    let mut draft = path.map(Draft::new).transpose()?;
    let mut text =
        ["model".to_owned(), "state".into()].into_iter().chain(names.clone()).chain(outputs.clone());
    let mut text = text.by_ref().map(|name| quoted(&name)).collect::<Vec<_>>().join(",");
    text.push('\n');
    let mut rows = 0;
    let shown = path.map_or_else(|| "standard output".into(), Path::to_owned);
    let mut flush = |text: &mut String| {
        let written = match &mut draft {
            Some(draft) => draft.file().write_all(text.as_bytes()),
            None => match std::io::stdout().lock().write_all(text.as_bytes()) {
                // A reader that went away (`| head`) is no error.
                Err(gone) if gone.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
                told => told,
            },
        };
        text.clear();
        written.map_err(FileError::io("write", &shown))
    };
    let missing = walk(run, |first, parameters, numbers, failed| {
        let all = parameters.chunks_exact(names.len().max(1)).zip(numbers.chunks_exact(outputs.len().max(1)));
        for (model, (theta, g)) in (first..).zip(all) {
            let lost = failed.binary_search(&model).is_ok();
            text.push_str(&format!("{model},{}", if lost { "failed" } else { "ok" }));
            theta.iter().for_each(|x| text.push_str(&format!(",{x:?}")));
            g.iter().for_each(|x| text.push_str(&if lost { ",".into() } else { format!(",{x:?}") }));
            text.push('\n');
            rows += 1;
        }
        flush(&mut text)
    })?;
    flush(&mut text)?;
    if let Some(draft) = draft {
        draft.show(false)?;
    }
    Ok(Written { rows, files: path.map(Path::to_owned).into_iter().collect(), warnings: told(missing) })
}

fn quoted(name: &str) -> String {
    if name.contains([',', '"', '\n']) {
        format!("\"{}\"", name.replace('"', "\"\""))
    } else {
        name.to_owned()
    }
}

/// Rows that are gathered for a group of Parquet, number by number as they come.
#[derive(Default)]
struct Gathered {
    models: Vec<u32>,
    failed: Vec<bool>,
    /// models × parameters
    parameters: Vec<f64>,
    /// models × outputs
    outputs: Vec<f64>,
}

impl Gathered {
    /// Write them as a group, one column after the other, and forget them; their memory stays for the next.
    fn flush(&mut self, writer: &mut parquet::Writer<BufWriter<&mut File>>) -> std::io::Result<()> {
        let rows = self.models.len();
        if rows == 0 {
            return Ok(());
        }
        let state = |failed: &bool| Some(if *failed { "failed" } else { "ok" }.to_owned());
        let own = [
            Values::Int64(self.models.iter().map(|&m| Some(i64::from(m))).collect()),
            Values::Text(self.failed.iter().map(state).collect()),
        ];
        let given = columns_of(&self.parameters, rows, |_, x| Some(x));
        // A failed model has no outputs; a NaN of one that did not fail is a number that it gave.
        let found = columns_of(&self.outputs, rows, |k, x| (!self.failed[k]).then_some(x));
        writer.group(rows, own.into_iter().chain(given).chain(found))?;
        self.models.clear();
        self.failed.clear();
        self.parameters.clear();
        self.outputs.clear();
        Ok(())
    }
}

/// The columns of numbers that lie row by row.
fn columns_of(
    numbers: &[f64],
    rows: usize,
    of: impl Fn(usize, f64) -> Option<f64> + Copy,
) -> impl Iterator<Item = Values> {
    let width = numbers.len() / rows;
    (0..width)
        .map(move |column| Values::Double((0..rows).map(|k| of(k, numbers[k * width + column])).collect()))
}

/// The table as Parquet, in groups of rows: model, state, parameters, outputs.
///
/// # Errors
/// The disk.
pub fn parquet(run: &Run, path: &Path) -> Result<Written, ReportError> {
    let (names, outputs) = columns(run);
    let heads = [("model".to_owned(), Kind::Int64), ("state".into(), Kind::Text)]
        .into_iter()
        .chain(names.iter().chain(&outputs).map(|name| (name.clone(), Kind::Double)))
        .collect();
    let id = &run.dir.identity;
    let mut draft = Draft::new(path)?;
    let wrong = |e| FileError::io("write", path)(e);
    let out = BufWriter::new(draft.file());
    let mut writer =
        parquet::Writer::new(out, heads, &[("run", &id.id), ("name", &id.name)]).map_err(wrong)?;
    let width = (names.len() + outputs.len()).max(1);
    let most = (GROUP / width).max(ROWS.min(4 * GROUP / width)).max(1);
    let (mut rows, mut gathered) = (0, Gathered::default());
    let missing = walk(run, |first, parameters, numbers, failed| {
        let count = numbers.len() / outputs.len().max(1);
        let models = first..first + u32::try_from(count).unwrap_or(u32::MAX);
        gathered.failed.extend(models.clone().map(|model| failed.binary_search(&model).is_ok()));
        gathered.models.extend(models);
        gathered.parameters.extend_from_slice(parameters);
        gathered.outputs.extend_from_slice(numbers);
        rows += count;
        if gathered.models.len() >= most { gathered.flush(&mut writer).map_err(wrong) } else { Ok(()) }
    })?;
    gathered.flush(&mut writer).map_err(wrong)?;
    let out = writer.finish().map_err(wrong)?;
    out.into_inner().map_err(|e| wrong(e.into_error()))?;
    draft.show(false)?;
    Ok(Written { rows, files: vec![path.to_owned()], warnings: told(missing) })
}

/// Two arrays, parameters and outputs, and the record that names them, written last.
///
/// # Errors
/// The disk; chunks that are not there yet.
pub fn npy(run: &Run, path: &Path) -> Result<Written, ReportError> {
    let (names, outputs) = columns(run);
    let models = run.dir.identity.models as usize;
    let stem = path.file_stem().map_or_else(|| "table".into(), |s| s.to_string_lossy().into_owned());
    let file = |part: &str| format!("{stem}.{part}.npy");
    let at = |part: &str| path.with_file_name(file(part));
    let mut inputs = Writer::new(&at("parameters"), &[models, names.len()])?;
    let mut data = Writer::new(&at("outputs"), &[models, outputs.len()])?;
    let mut rows = 0;
    let missing = walk(run, |_, parameters, numbers, _| {
        rows += numbers.len() / outputs.len().max(1);
        inputs.append(parameters)?;
        data.append(numbers)
    })?;
    if missing > 0 {
        return Err(ReportError::Refused {
            what: format!("{missing} chunks have no outcome yet: an array of all models cannot be written"),
            hint: "`ekp-launch` carries the run on; csv takes what is there".into(),
        });
    }
    let mut text = TomlText::record::<Arrays>(&format!(
        "ekp export: every model of `{}`, a row each, in two arrays of the same row order.\n\
         parameters are physical values; outputs are NaN where a model has none.",
        run.dir.identity.name
    ));
    text.text("run", &run.dir.identity.id);
    let mut files = Vec::new();
    for (part, writer, columns) in [("parameters", inputs, &names), ("outputs", data, &outputs)] {
        let (digest, _) = writer.show(false)?;
        files.push(at(part));
        text.raw("").raw("[[array]]");
        text.text("name", part)
            .text("file", &file(part))
            .raw(&format!("shape = [{models}, {}]", columns.len()))
            .text("dtype", "<f8")
            .text("checksum", &digest)
            .texts("columns", columns);
    }
    let record = path.with_file_name(format!("{stem}.toml"));
    publish(&record, text.finish().as_bytes())?;
    files.push(record);
    Ok(Written { rows, files, warnings: Vec::new() })
}
