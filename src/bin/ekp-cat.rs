//! Print any record of the toolkit, its checksum verified.
//!
//! Reads   a state file, an `.npy` array, a Parquet table, or a TOML record
//! Writes  nothing; TOML or CSV on stdout

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use ekp::cli::{self, Voice};
use ekp::explain::Exit;
use ekp::report::ReportError;
use ekp::report::cat::{self, Form};

/// Print any record of the toolkit, its checksum verified
#[derive(Debug, Parser)]
#[command(
    name = "ekp-cat",
    version,
    after_help = "Examples:
  ekp-cat iteration_003/ensemble.bin --csv
  ekp-cat iteration_003/member_007/data.toml
  ekp-cat iteration_003/chunk_000001/data.npy
  ekp-cat results/table.parquet --toml

Of Parquet it reads flat tables with plain pages, as the toolkit writes them; not what is compressed or has
dictionaries. From Python: write_table(table, path, compression=\"none\", use_dictionary=False)"
)]
pub(crate) struct Args {
    /// The file
    file: PathBuf,
    /// As a table
    #[arg(long, conflicts_with = "toml")]
    csv: bool,
    /// As TOML
    #[arg(long)]
    toml: bool,
    #[command(flatten)]
    voice: Voice,
}

#[allow(dead_code, reason = "the generator of manual pages includes this file")]
fn main() -> ExitCode {
    cli::finish("ekp-cat", run(&Args::parse()))
}

fn run(args: &Args) -> Result<Exit, ReportError> {
    let form = match (args.csv, args.toml) {
        (true, _) => Some(Form::Csv),
        (_, true) => Some(Form::Toml),
        _ => None,
    };
    let printed = cat::cat(&args.file, form)?;
    args.voice.detail(&printed.note);
    cli::out(&printed.text);
    Ok(Exit::Done)
}
