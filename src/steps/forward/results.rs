//! What a batch comes to: statistics of each output, an index of its chunks, and one array of all, if asked for.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;

use crate::files::rows::{Reader, Writer};
use crate::files::{Chunk, FileError, Iteration, Record, TomlText, load_record, publish};
use crate::numerics::quantiles::{Parts, Summary, summaries};
use crate::steps::forward::{Batch, InputsRecord};
use crate::steps::{Run, StepError};

/// Numbers that are copied at once.
const PIECE: usize = 1 << 17;

/// `results/data.toml`: what the array of all models is.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Whole {}

impl Record for Whole {
    const SCHEMA: &'static str = "ekp.results";
    const VERSION: u32 = 1;
}

/// The outputs of all chunks. Files are opened when they are read: thousands at once would be too many.
struct Outputs<'a> {
    run: &'a Run,
    iteration: Iteration,
    columns: usize,
}

impl Outputs<'_> {
    fn open(&self, part: usize) -> Result<Reader, FileError> {
        let number = u32::try_from(part + 1).expect("chunks are counted in u32");
        Reader::open(&self.run.dir.member(self.iteration, number).join("data.npy"))
    }
}

impl Parts for Outputs<'_> {
    type Error = FileError;
    fn parts(&self) -> usize {
        self.run.dir.identity.members as usize
    }
    fn columns(&self) -> usize {
        self.columns
    }
    fn read(&self, part: usize, columns: Range<usize>, out: &mut Vec<f64>) -> Result<(), FileError> {
        let reader = self.open(part)?;
        reader.read(0..reader.rows, columns, out)
    }
}

/// Write `results/`.
///
/// # Errors
/// The disk.
pub(super) fn write(
    run: &Run,
    batch: &Batch<'_>,
    records: &[Chunk],
    threads: usize,
) -> Result<(), StepError> {
    let folder = run.dir.results();
    fs::create_dir_all(&folder).map_err(FileError::io("make", &folder))?;
    let outputs = Outputs { run, iteration: batch.iteration, columns: batch.want.total() };
    let Some(forwards) = run.experiment.forwards() else { return Ok(()) };
    let wanted = &forwards.outputs;
    let found = summaries(&outputs, &wanted.quantiles, threads)?;
    publish(&folder.join("quantiles.csv"), quantiles(batch, &wanted.quantiles, &found).as_bytes())?;
    publish(&folder.join("chunks.csv"), index(run, batch, records).as_bytes())?;
    if wanted.merged { merge(run, batch, &outputs) } else { Ok(()) }
}

/// `p10`, `p2.5`
pub(super) fn percent(share: f64) -> String {
    // Shares are decimal numbers: their hundredfold has the noise of the last bit.
    format!("p{}", (share * 1e8).round() / 1e6)
}

/// A line for each output.
fn quantiles(batch: &Batch<'_>, shares: &[f64], found: &[Summary]) -> String {
    let mut text = "block,index,count,mean,std,min,max".to_owned();
    shares.iter().for_each(|share| text.push_str(&format!(",{}", percent(*share))));
    text.push('\n');
    let places = batch.want.blocks.iter().flat_map(|(name, n)| (1..=*n).map(move |k| (name, k)));
    for ((name, k), s) in places.zip(found) {
        let name = if name.contains([',', '"']) {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            name.clone()
        };
        // Writing into a string does not fail.
        let _ = write!(text, "{name},{k},{},{:?},{:?},{:?},{:?}", s.count, s.mean, s.std, s.min, s.max);
        s.quantiles.iter().for_each(|q| {
            let _ = write!(text, ",{q:?}");
        });
        text.push('\n');
    }
    text
}

/// A line for each chunk.
fn index(run: &Run, batch: &Batch<'_>, records: &[Chunk]) -> String {
    let mut text = "chunk,first,models,failed,folder,parameters,data\n".to_owned();
    let iteration = run.dir.iteration_name(batch.iteration);
    for (number, record) in (1..).zip(records) {
        let _ = writeln!(
            text,
            "{number},{},{},{},{iteration}/{},{},{}",
            record.first,
            record.shape[0],
            record.failed.len(),
            run.dir.member_name(number),
            record.parameters,
            record.data
        );
    }
    text
}

/// All outputs in one array, of a grid with its axes.
fn merge(run: &Run, batch: &Batch<'_>, outputs: &Outputs<'_>) -> Result<(), StepError> {
    let inputs: InputsRecord = load_record(&run.dir.inputs())?;
    let mut shape = inputs.grid().map_or_else(|| vec![inputs.models as usize], |grid| grid.shape());
    shape.push(outputs.columns);
    let path = run.dir.results().join("data.npy");
    let mut writer = Writer::new(&path, &shape)?;
    let mut numbers = Vec::new();
    for part in 0..outputs.parts() {
        let reader = outputs.open(part)?;
        let step = (PIECE / outputs.columns.max(1)).max(1);
        for first in (0..reader.rows).step_by(step) {
            reader.read(first..(first + step).min(reader.rows), 0..outputs.columns, &mut numbers)?;
            writer.append(&numbers)?;
        }
    }
    let (digest, _) = writer.show(false)?;
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut text = TomlText::record::<Whole>(
        "ekp results: all models of the batch in one array, in C order: the last length is that of the outputs,\n\
         the ones before it are the axes below, or the models. Failed models are NaN.",
    );
    text.text("data", &digest).raw(&format!("shape = [{}]", lengths.join(", "))).text("dtype", "<f8");
    batch.write_blocks(&mut text);
    for axis in &inputs.axis {
        text.raw("").raw("[[axis]]");
        text.text("name", &axis.name).floats("values", &axis.values);
    }
    publish(&run.dir.results().join("data.toml"), text.finish().as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn shares_have_the_names_people_give_them() {
        assert_eq!(
            [0.1, 0.5, 0.9, 0.025, 0.999, 0.0, 1.0, 0.07].map(percent).join(" "),
            "p10 p50 p90 p2.5 p99.9 p0 p100 p7"
        );
    }
}
